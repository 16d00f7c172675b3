//! What trains intervals where models are held: another crate's work, which stands on this one (SPEC X3).

use crate::EngineError;
use inferium_types::{Digest, ModelProfile, TrainedInterval, TrainingInput};
use std::fmt::Debug;

/// Trains intervals of runs: equal inputs give equal bits, on every machine that runs its profile.
pub trait IntervalTrainer: Debug + Send + Sync {
    /// Its profile.
    fn profile(&self) -> ModelProfile;

    /// Checks that an input holds together, its start state with the root that it starts from as well; the examples that its steps
    /// see, which are what it costs: of an announcement one.
    ///
    /// # Errors
    /// [`EngineError::Training`].
    fn read(&self, input: &TrainingInput) -> Result<u32, EngineError>;

    /// Takes the steps of an interval.
    ///
    /// # Errors
    /// [`EngineError::Training`]: as of [`IntervalTrainer::read`], or a step leads to numbers that are none.
    fn train(&self, input: &TrainingInput) -> Result<Trained, EngineError>;
}

/// What came of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trained {
    /// What it leaves.
    pub interval: TrainedInterval,
    /// What each of its steps came to, which nobody finds from the interval alone.
    pub trace: Vec<Digest>,
}
