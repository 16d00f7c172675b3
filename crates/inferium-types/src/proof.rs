//! The private half of a job of proving (SPEC V10): what a classifier was given, and which answer is to be proved.
//!
//! What a proof is, and how it is verified, is `inferium-zk`'s; the chain has only commitments to input and proof.

use crate::{Digest, JobId};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What a proof is made from.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProvingInput {
    /// The job whose answer is proved: the proof is for it, and none for another one.
    pub job: JobId,
    /// What the classifier was given: of each tensor its elements, in the job's order.
    pub tensors: Vec<Vec<i16>>,
    /// Draws the one commitment to them that the proof's statement holds. Whoever knows both opens it; never used again.
    pub seed: [u8; 32],
    /// Whether the proof hides what it was computed from.
    pub hides: bool,
}

/// Says nothing of the tensors and the seed: it may end up in a log (SPEC J2).
impl fmt::Debug for ProvingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvingInput({:?}, {} tensors, hides: {})", self.job, self.tensors.len(), self.hides)
    }
}

/// The one leaf of a proof's evidence (SPEC V10): what the chain, and so a receipt, has of it. Unsalted, since a proof that hides says
/// nothing but its statement, and whoever has it can be asked for no more.
#[must_use]
pub fn proof_leaf(proof: &[u8]) -> Digest {
    Digest::of("inferium/proof/1", &[proof])
}
