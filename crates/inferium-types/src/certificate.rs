//! Finality certificates and beacon seeds, as light clients, receipts and contracts check them.

use crate::{ChainId, Digest, GroupKey};
use borsh::{BorshDeserialize, BorshSerialize};

/// A certificate that does not prove what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The group key did not sign this digest at this view.
    #[error("the group key did not sign this block")]
    Signature,
}

/// The validators' threshold signature that finalises a block (SPEC C1, C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Consensus epoch.
    pub epoch: u64,
    /// View in which the block was proposed.
    pub view: u64,
    /// View of its parent.
    pub parent_view: u64,
    /// The group's signature.
    pub signature: [u8; 48],
}

impl Certificate {
    /// Checks that the group key finalised the block with digest `block` on `chain`.
    ///
    /// Cost: one pairing check, about a millisecond.
    ///
    /// # Errors
    /// [`InvalidCertificate::Signature`].
    pub fn verify(&self, chain: ChainId, key: &GroupKey, block: Digest) -> Result<(), InvalidCertificate> {
        let mut message = Vec::with_capacity(62);
        for number in [self.epoch, self.view, self.parent_view] {
            put_varint(&mut message, number);
        }
        message.extend_from_slice(block.as_bytes());
        let namespace = [consensus_namespace(chain).as_slice(), b"_FINALIZE"].concat();
        if key.verify(&namespace, &message, &self.signature) { Ok(()) } else { Err(InvalidCertificate::Signature) }
    }
}

/// The group's signature over one view: the beacon's value there (SPEC C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SeedSignature {
    /// The view.
    pub view: u64,
    /// The group's signature.
    pub signature: [u8; 48],
}

impl SeedSignature {
    /// Checks the seed of `epoch` and its view.
    #[must_use]
    pub fn verify(&self, chain: ChainId, key: &GroupKey, epoch: u64) -> bool {
        let namespace = [consensus_namespace(chain).as_slice(), b"_SEED"].concat();
        key.verify(&namespace, &seed_message(epoch, self.view), &self.signature)
    }

    /// The beacon's value: uniform, and unknown before the view.
    #[must_use]
    pub fn beacon(&self) -> Digest {
        Digest::of("inferium/beacon/1", &[&self.view.to_be_bytes(), &self.signature])
    }
}

/// What the group signs as the seed of a view.
#[must_use]
pub fn seed_message(epoch: u64, view: u64) -> Vec<u8> {
    let mut message = Vec::with_capacity(20);
    put_varint(&mut message, epoch);
    put_varint(&mut message, view);
    message
}

/// The prefix of everything that validators sign in consensus on `chain`.
pub(crate) fn consensus_namespace(chain: ChainId) -> Vec<u8> {
    [b"inferium/".as_slice(), chain.digest().as_bytes()].concat()
}

/// LEB128, as the consensus engine encodes integers.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}
