//! The private half of a job of training (SPEC X3): what an interval is computed from, and what comes of it.
//!
//! How it is computed is `inferium-train`'s; the chain has only commitments to both.

use crate::{Digest, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What a run is trained on, and where in it an interval starts.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TrainingInput {
    /// The run's spec, as `inferium-train` encodes it.
    pub spec: Vec<u8>,
    /// The data set: JSON Lines.
    pub data: String,
    /// Of a classifier, the vectors of all its lines, one after the other; little-endian. Of adapters nothing.
    pub vectors: Vec<u8>,
    /// Where the interval starts; nothing of an announcement, which trains nothing.
    pub at: Option<IntervalStart>,
}

/// The start of an interval: its root binds its state.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IntervalStart {
    /// Which interval, from 0.
    pub index: u64,
    /// The root that it starts from.
    pub root: Digest,
    /// Of the interval before it, whose root this is: what it started from, and the root over its steps. Nothing before the first.
    pub before: Option<(Digest, Digest)>,
    /// The state that it starts from.
    pub state: Vec<u8>,
}

/// One step, as it was committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TrainedStep {
    /// Bits of the mean loss of its examples, before it.
    pub loss_bits: u32,
    /// Digest of the state after it.
    pub state: Digest,
}

/// What an interval leaves; of an announcement no step and no state.
#[derive(Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct TrainedInterval {
    /// Its steps, in order.
    pub steps: Vec<TrainedStep>,
    /// The state that it ends in.
    pub state: Vec<u8>,
}

impl TrainingInput {
    /// True when its parts are within their bounds. Their size together is a payload's.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let is_state_small = self.at.as_ref().is_none_or(|at| at.state.len() <= limits::TRAINING_STATE_SIZE_MAX);
        !self.spec.is_empty() && !self.data.is_empty() && is_state_small
    }
}

impl TrainedInterval {
    /// The leaf of its evidence: with what its steps came to on the way, so that nobody finds it who has the interval and has not
    /// computed it.
    #[must_use]
    pub fn leaf(&self, trace: &[Digest]) -> Digest {
        Digest::of_value("inferium/interval/1", &(self, trace))
    }

    /// True when it is no larger than an interval may be.
    #[must_use]
    pub const fn is_bounded(&self) -> bool {
        self.steps.len() <= limits::TRAINING_STEPS_MAX && self.state.len() <= limits::TRAINING_STATE_SIZE_MAX
    }
}

/// Says nothing of texts and labels: it may end up in a log (SPEC J2).
impl fmt::Debug for TrainingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainingInput({} bytes, {:?})", self.data.len().saturating_add(self.vectors.len()), self.at)
    }
}

impl fmt::Debug for IntervalStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interval {} from {:?}", self.index, self.root)
    }
}

impl fmt::Debug for TrainedInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainedInterval({} steps, {} bytes)", self.steps.len(), self.state.len())
    }
}
