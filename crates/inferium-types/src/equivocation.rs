//! Consensus votes that no honest validator signs together (SPEC S).
//!
//! Threshold partials could be forged by enough colluders, so they blame nobody; the ed25519
//! signature that every vote carries besides them does.

use crate::certificate::{consensus_namespace, put_varint};
use crate::{ChainId, Digest, NodeId, SecretKey, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a consensus vote says about its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum VoteSubject {
    /// This block is the view's.
    Notarize {
        /// View of the block's parent.
        parent_view: u64,
        /// The block.
        block: Digest,
    },
    /// The view has no block.
    Nullify,
    /// This block is final.
    Finalize {
        /// View of the block's parent.
        parent_view: u64,
        /// The block.
        block: Digest,
    },
}

/// One consensus vote with its signer's identity signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConsensusVote {
    /// Consensus epoch.
    pub epoch: u64,
    /// View.
    pub view: u64,
    /// What it says.
    pub subject: VoteSubject,
    /// The voter's ed25519 signature.
    pub signature: Signature,
}

impl ConsensusVote {
    /// Signs as the consensus engine does.
    #[must_use]
    pub fn sign(chain: ChainId, epoch: u64, view: u64, subject: VoteSubject, key: &SecretKey) -> Self {
        let mut vote = Self { epoch, view, subject, signature: Signature::from_bytes([0; 64]) };
        let (namespace, message) = vote.signed_bytes(chain);
        vote.signature = key.sign_in(&namespace, &message);
        vote
    }

    /// Checks the voter's signature, over the bytes that the consensus engine signs.
    #[must_use]
    pub fn signed_by(&self, chain: ChainId, validator: &NodeId) -> bool {
        let (namespace, message) = self.signed_bytes(chain);
        validator.verify_in(&namespace, &message, &self.signature)
    }

    /// Namespace and message.
    fn signed_bytes(&self, chain: ChainId) -> (Vec<u8>, Vec<u8>) {
        let mut message = Vec::with_capacity(62);
        put_varint(&mut message, self.epoch);
        put_varint(&mut message, self.view);
        let suffix: &[u8] = match &self.subject {
            VoteSubject::Nullify => b"_NULLIFY",
            VoteSubject::Notarize { parent_view, block } => {
                put_varint(&mut message, *parent_view);
                message.extend_from_slice(block.as_bytes());
                b"_NOTARIZE"
            }
            VoteSubject::Finalize { parent_view, block } => {
                put_varint(&mut message, *parent_view);
                message.extend_from_slice(block.as_bytes());
                b"_FINALIZE"
            }
        };
        ([consensus_namespace(chain).as_slice(), suffix].concat(), message)
    }

    /// True when no honest validator signs both: two blocks notarised, two blocks finalised, or a
    /// block finalised in a view that was skipped.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        use VoteSubject::{Finalize, Notarize, Nullify};
        if (self.epoch, self.view) != (other.epoch, other.view) {
            return false;
        }
        match (&self.subject, &other.subject) {
            (Notarize { .. }, Notarize { .. }) | (Finalize { .. }, Finalize { .. }) => self.subject != other.subject,
            (Nullify, Finalize { .. }) | (Finalize { .. }, Nullify) => true,
            (Notarize { .. }, Nullify | Finalize { .. })
            | (Nullify, Notarize { .. } | Nullify)
            | (Finalize { .. }, Notarize { .. }) => false,
        }
    }
}
