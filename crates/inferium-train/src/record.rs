//! What a trainer commits to: an interval of steps as a job, its result, and the chain of roots over them (SPEC X1).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{Digest, leaf_hash, merkle_root};

#[cfg(test)]
mod tests;

/// What one step left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StepRecord {
    /// Which step, from 0.
    pub step: u64,
    /// Bits of the mean loss of its examples, before it (f32).
    pub loss_bits: u32,
    /// [`crate::State::digest`] after it.
    pub state: Digest,
}

impl StepRecord {
    /// The mean loss, in nats.
    #[must_use]
    pub const fn loss(&self) -> f32 {
        f32::from_bits(self.loss_bits)
    }

    /// The record's leaf in the tree of its interval.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        leaf_hash(&inferium_types::encode(self))
    }
}

/// One interval, as a job: all that its worker has to be told. Spec and start state are fetched by their digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IntervalJob {
    /// [`crate::TrainingSpec::digest`].
    pub spec: Digest,
    /// The root that the interval starts from: it binds everything before, the start state included.
    pub start: Digest,
    /// Which interval, from 0.
    pub index: u64,
}

/// The result of a job: a record for each of its steps.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IntervalRecord {
    /// The job.
    pub job: IntervalJob,
    /// Its steps, in order; at least one.
    pub steps: Vec<StepRecord>,
}

impl IntervalRecord {
    /// Merkle root over the steps' leaves: what two trainers who disagree search in.
    #[must_use]
    pub fn steps_root(&self) -> Digest {
        merkle_root(&self.leaves())
    }

    /// Leaves of the steps, in order.
    #[must_use]
    pub fn leaves(&self) -> Vec<Digest> {
        self.steps.iter().map(StepRecord::leaf).collect()
    }

    /// The state that the interval ends in.
    #[must_use]
    pub fn end_state(&self) -> Digest {
        self.steps.last().map_or(Digest::ZERO, |step| step.state)
    }

    /// The root that the next interval starts from.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.job.root(&self.steps_root(), &self.end_state())
    }
}

impl IntervalJob {
    /// The root that the next interval starts from, if this one has such a root over its steps and ends in such a state.
    #[must_use]
    pub fn root(&self, steps: &Digest, state: &Digest) -> Digest {
        let Self { spec, start, index } = self;
        let parts: [&[u8]; 5] =
            [spec.as_bytes(), start.as_bytes(), &index.to_be_bytes(), steps.as_bytes(), state.as_bytes()];
        Digest::of("inferium/training-root/1", &parts)
    }
}

/// The root that a run starts from: the spec and the state before the first step.
#[must_use]
pub fn first_root(spec: &Digest, state: &Digest) -> Digest {
    Digest::of("inferium/training-start/1", &[spec.as_bytes(), state.as_bytes()])
}
