//! What shows to others what a job was asked and answered (SPEC J11).

use crate::{JobLeaf, JobOutput, JobPayload};
use borsh::{BorshDeserialize, BorshSerialize};

/// The private halves of a job: who has them, and the job's receipt, has proof of what was asked and what was answered.
///
/// Whoever is given it learns both, and the salts that hid them; nothing of any other job.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobOpening {
    /// What the model was given.
    pub payload: JobPayload,
    /// What it answered.
    pub output: JobOutput,
}

impl JobOpening {
    /// True if this is what the job's request and result commit to.
    #[must_use]
    pub fn opens(&self, job: &JobLeaf) -> bool {
        self.payload.commitment() == job.request.input_commitment
            && self.output.commitment() == job.result.output_commitment
    }
}
