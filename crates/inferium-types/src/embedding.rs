//! What embedding models answer (SPEC J8).

use crate::Digest;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// The vector that a model gives a text: the bits of its values, so that equal means equal.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Embedding {
    bits: Vec<u32>,
}

/// Says nothing of the values, from which a text can be guessed (SPEC J2).
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} values)", self.bits.len())
    }
}

impl Embedding {
    /// Of these values.
    #[must_use]
    pub fn new(values: &[f32]) -> Self {
        Self { bits: values.iter().map(|value| value.to_bits()).collect() }
    }

    /// The values: of an honest worker finite, of another any bits.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.bits.iter().map(|bits| f32::from_bits(*bits))
    }

    /// Digest of the values.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/embedding/1", self)
    }

    /// A leaf of its result's evidence (SPEC J8): with the digest of the states that it is made from, so that nobody finds
    /// it who has the answer and has not computed it.
    #[must_use]
    pub fn leaf(&self, salt: &Digest, states: &Digest) -> Digest {
        crate::evidence_leaf(salt, &self.digest(), states)
    }
}
