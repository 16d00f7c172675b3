//! A proof's bytes.

use serde::{Deserialize, Serialize};

use crate::error::VerifyError;
use crate::field::EF;
use crate::mask::MaskProof;
use crate::oracle::{Opening, Root};

/// Largest proof that is read.
pub const PROOF_BYTES_MAX: usize = 8 << 20;

/// What the bytes are.
#[derive(Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) trace: Root,
    /// Evaluations of input and trace at points drawn right after their commitments: they bind one polynomial of all
    /// that are near the committed word.
    pub(crate) early: [EF; 2],
    pub(crate) messages: Vec<EF>,
    /// Evaluations of weights, input and trace at the points where all claims on them ended.
    pub(crate) late: [EF; 3],
    pub(crate) mask: Option<MaskProof>,
    /// Of weights, input, trace.
    pub(crate) openings: [Opening; 3],
}

impl core::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Parts").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

/// A proof, as bytes in the one encoding that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof(Vec<u8>);

impl Proof {
    pub(crate) fn new(parts: &Parts) -> Option<Self> {
        postcard::to_allocvec(parts).ok().map(Self)
    }

    /// Takes bytes as a proof; whether they are one is found by [`crate::verify`].
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What goes on chain of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key("inferium zk proof 2026-11", &self.0)
    }

    /// Lengths in the bytes are not believed before their elements were read, so memory stays within a small multiple
    /// of the bytes; and only bytes that the parts would be written as are taken.
    pub(crate) fn parts(&self) -> Result<Parts, VerifyError> {
        if self.0.len() > PROOF_BYTES_MAX {
            return Err(VerifyError::Encoding);
        }
        let parts: Parts = postcard::from_bytes(&self.0).map_err(|_| VerifyError::Encoding)?;
        match postcard::to_allocvec(&parts) {
            Ok(bytes) if bytes == self.0 => Ok(parts),
            Ok(_) | Err(_) => Err(VerifyError::Encoding),
        }
    }
}
