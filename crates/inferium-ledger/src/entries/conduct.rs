//! What replays say of a worker's results on a profile that is measured (SPEC V7, V9).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_sampling::{SequentialTest, Suspicion};

/// A worker's sequential test on one profile, over the segments that committees approved.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Conduct {
    /// The test; a segment is one step of it.
    pub test: SequentialTest,
    /// What it said after its last step.
    pub suspicion: Suspicion,
    /// The slash that followed when it convicted the worker, which is barred from the profile since; none follows on a foreign one.
    pub slash: Option<u64>,
}
