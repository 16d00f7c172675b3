//! Sealed bytes, what they are for, and who proves the key that they are sealed to (SPEC J2).
//!
//! Only the forms are here. `inferium-seal` makes and opens them.

use crate::wire::SessionHello;
use crate::{Digest, NodeId, SealingKey, SecretKey, SegmentId, Signature, StallId};
use borsh::{BorshDeserialize, BorshSerialize};

const PURPOSE_DOMAIN: &str = "inferium/seal/1";
const KEY_DOMAIN: &str = "inferium/sealing-key/1";

/// What sealed bytes are for. They open for nothing else: this is HPKE's `info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SealPurpose {
    /// What the worker says in a session.
    WorkerMessages {
        /// Which.
        session: SessionHello,
    },
    /// What the gateway says in a session.
    GatewayMessages {
        /// Which.
        session: SessionHello,
    },
    /// A segment's evidence, from its worker to a member of its committee.
    Evidence {
        /// The segment.
        segment: SegmentId,
        /// The seed that drew the committee.
        draw: Digest,
        /// The member.
        member: NodeId,
    },
    /// The request of a claim, from its gateway to a relay (SPEC T6).
    Lodged {
        /// The claim.
        stall: StallId,
        /// The relay.
        relay: NodeId,
    },
    /// The request of a claim, from a relay to its worker (SPEC T6).
    Fetched {
        /// The claim.
        stall: StallId,
        /// The worker.
        worker: NodeId,
    },
}

impl SealPurpose {
    /// The bytes that both ends give to HPKE as `info`.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        crate::encode(&(PURPOSE_DOMAIN.to_owned(), self))
    }
}

/// One message, sealed to one key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sealed {
    /// Whose holder opens it. Named, so that who made a new key meanwhile can say so.
    pub key: SealingKey,
    /// HPKE's encapsulated key.
    pub encapsulated: [u8; 32],
    /// The ciphertext and its tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// Bytes that the encoding has beyond those of the message.
    pub const OVERHEAD: usize = 32 + 32 + 4 + 16;
}

/// A segment's evidence on its way to one member of its committee.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedEvidence {
    /// The segment.
    pub segment: SegmentId,
    /// The seed that drew the committee.
    pub draw: Digest,
    /// Whom it is for.
    pub member: NodeId,
    /// The encoding of a [`SegmentEvidence`](crate::SegmentEvidence).
    pub sealed: Sealed,
}

impl SealedEvidence {
    /// Bytes that the encoding has beyond those of the evidence.
    pub const OVERHEAD: usize = 3 * 32 + Sealed::OVERHEAD;

    /// What it is sealed for.
    #[must_use]
    pub const fn purpose(&self) -> SealPurpose {
        SealPurpose::Evidence { segment: self.segment, draw: self.draw, member: self.member }
    }
}

/// A node's word for its sealing key. It is given over a nonce of who asks, so that no old one
/// passes for it, and no clock is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealingKeyProof {
    /// The key.
    pub key: SealingKey,
    /// The node's, over the key and the nonce.
    pub signature: Signature,
}

impl SealingKeyProof {
    /// Bytes of the encoding.
    pub const SIZE: usize = 32 + 64;

    /// Answers who asked with `nonce`.
    #[must_use]
    pub fn sign(key: SealingKey, nonce: &[u8; 32], node: &SecretKey) -> Self {
        Self { key, signature: node.sign(KEY_DOMAIN, &crate::encode(&(key, nonce))) }
    }

    /// The key, when `node` itself gave it for `nonce`.
    #[must_use]
    pub fn verify(&self, node: &NodeId, nonce: &[u8; 32]) -> Option<SealingKey> {
        node.verify(KEY_DOMAIN, &crate::encode(&(self.key, nonce)), &self.signature).then_some(self.key)
    }
}
