//! A run after an interval, as bytes: what resumes start from and validators are given.

use crate::record::{IntervalJob, IntervalRecord, StepRecord, first_root};
use crate::state::{State, TensorShape, count};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// How a checkpoint begins.
const MAGIC: &[u8] = b"inferium-checkpoint/1\n";

/// A run before its first interval, or after one.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The run.
    pub spec: Digest,
    /// The interval that led here; `None` before the first.
    pub record: Option<IntervalRecord>,
    /// The state.
    pub state: State,
}

/// The bytes between magic and digest.
#[derive(BorshSerialize, BorshDeserialize)]
struct Stored {
    spec: Digest,
    /// Intervals before this state, then the root that the last of them started from.
    index: u64,
    start: Digest,
    steps: Vec<StepRecord>,
    shapes: Vec<TensorShape>,
    state: Vec<u8>,
}

/// Why bytes are no checkpoint of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCheckpoint {
    /// It does not begin as one.
    #[error("not a checkpoint, or one of another version")]
    Magic,
    /// Cut off or changed: the digest at its end is not that of its bytes.
    #[error("the checkpoint is damaged or was cut off")]
    Damaged,
    /// What it holds can't be read.
    #[error("the checkpoint can't be read: {reason}")]
    Encoding {
        /// What the decoder met.
        reason: String,
    },
    /// Of another run.
    #[error("the checkpoint is of another run: {found}, and not {expected}")]
    AnotherRun {
        /// The run that was asked for.
        expected: Digest,
        /// The checkpoint's.
        found: Digest,
    },
    /// A tensor of another name or shape.
    #[error("tensor {place} of the checkpoint is {found}, and not {expected}")]
    Shape {
        /// Which one, from 0.
        place: usize,
        /// The run's.
        expected: String,
        /// The checkpoint's.
        found: String,
    },
    /// A weight, moment or loss is infinite or no number: no step leads there.
    #[error("the checkpoint has a {what} that is no finite number")]
    NotFinite {
        /// A number of the state, or a loss.
        what: &'static str,
    },
    /// The state is not the one that its record names.
    #[error("the checkpoint's {what} is not what its record says")]
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
}

impl Checkpoint {
    /// Intervals before this state.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.job.index.saturating_add(1))
    }

    /// The root that the next interval starts from.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.record.as_ref().map_or_else(|| first_root(&self.spec, &self.state.digest()), IntervalRecord::root)
    }

    /// The next interval, as a job.
    #[must_use]
    pub fn next_job(&self) -> IntervalJob {
        IntervalJob { spec: self.spec, start: self.root(), index: self.index() }
    }

    /// The file's bytes: magic, content, SHA-256 of both.
    #[must_use]
    pub fn to_bytes(&self, shapes: &[TensorShape]) -> Vec<u8> {
        let stored = Stored {
            spec: self.spec,
            index: self.index(),
            start: self.record.as_ref().map_or(Digest::ZERO, |record| record.job.start),
            steps: self.record.as_ref().map(|record| record.steps.clone()).unwrap_or_default(),
            shapes: shapes.to_vec(),
            state: self.state.to_bytes(),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&inferium_types::encode(&stored));
        let digest = Digest::sha256(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads a checkpoint of the run `spec` whose tensors are `shapes`.
    ///
    /// # Errors
    /// [`InvalidCheckpoint`], one variant per cause: damaged, of another run, of another shape, or not consistent.
    pub fn from_bytes(bytes: &[u8], spec: Digest, shapes: &[TensorShape]) -> Result<Self, InvalidCheckpoint> {
        let stored = read(bytes)?;
        if stored.spec != spec {
            return Err(InvalidCheckpoint::AnotherRun { expected: spec, found: stored.spec });
        }
        same_shapes(shapes, &stored.shapes)?;
        let state = State::from_bytes(&stored.state, count(shapes))
            .map_err(|error| InvalidCheckpoint::Encoding { reason: error.to_string() })?;
        let record = match stored.index.checked_sub(1) {
            None if stored.steps.is_empty() && stored.start == Digest::ZERO => None,
            None => return Err(InvalidCheckpoint::Inconsistent { what: "record" }),
            Some(index) => {
                let job = IntervalJob { spec, start: stored.start, index };
                Some(IntervalRecord { job, steps: stored.steps })
            }
        };
        let checkpoint = Self { spec, record, state };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// The tensors of a checkpoint's bytes, for who has no model at hand to say what they must be.
    ///
    /// # Errors
    /// As [`Checkpoint::from_bytes`].
    pub fn shapes(bytes: &[u8]) -> Result<Vec<TensorShape>, InvalidCheckpoint> {
        Ok(read(bytes)?.shapes)
    }

    /// Whether state and record tell the same.
    pub(crate) fn check(&self) -> Result<(), InvalidCheckpoint> {
        if !self.state.is_finite() {
            return Err(InvalidCheckpoint::NotFinite { what: "number" });
        }
        let Some(record) = &self.record else {
            let is_first = self.state.step == 0;
            return if is_first { Ok(()) } else { Err(InvalidCheckpoint::Inconsistent { what: "step" }) };
        };
        if record.steps.iter().any(|step| !step.loss().is_finite()) {
            return Err(InvalidCheckpoint::NotFinite { what: "loss" });
        }
        if record.end_state() != self.state.digest() {
            return Err(InvalidCheckpoint::Inconsistent { what: "state" });
        }
        let last = record.steps.last().map(|record| record.step.saturating_add(1));
        if last != Some(self.state.step) {
            return Err(InvalidCheckpoint::Inconsistent { what: "step" });
        }
        Ok(())
    }
}

/// What is between magic and digest.
fn read(bytes: &[u8]) -> Result<Stored, InvalidCheckpoint> {
    if !bytes.starts_with(MAGIC) {
        return Err(InvalidCheckpoint::Magic);
    }
    let (content, digest) = bytes.split_last_chunk::<32>().ok_or(InvalidCheckpoint::Damaged)?;
    if Digest::sha256(content).as_bytes() != digest {
        return Err(InvalidCheckpoint::Damaged);
    }
    let encoded = content.get(MAGIC.len()..).ok_or(InvalidCheckpoint::Damaged)?;
    inferium_types::decode(encoded).map_err(|error| InvalidCheckpoint::Encoding { reason: error.to_string() })
}

/// Refuses the first tensor that is not the run's.
fn same_shapes(expected: &[TensorShape], found: &[TensorShape]) -> Result<(), InvalidCheckpoint> {
    let words = |shape: Option<&TensorShape>| {
        shape.map_or_else(|| "none".to_owned(), |shape| format!("{:?} {:?}", shape.name, shape.dimensions))
    };
    for place in 0..expected.len().max(found.len()) {
        let (wanted, there) = (expected.get(place), found.get(place));
        if wanted != there {
            return Err(InvalidCheckpoint::Shape { place, expected: words(wanted), found: words(there) });
        }
    }
    Ok(())
}
