//! Messages between a worker and a gateway, over the connection that the worker opened.
//!
//! The worker proves its key, the gateway proves its own, then jobs flow one way and text the
//! other. Nothing here waits for a block: finished jobs are proposed as segments, which both sign.

use crate::{
    Digest, JobId, JobLeaf, JobPayload, JobRequest, JobResult, LeaseId, NodeId, SecretKey, SegmentTerms, Signature,
    StallId, VrfProof,
};
use borsh::{BorshDeserialize, BorshSerialize};

const SESSION_DOMAIN: &str = "inferium/session/1";
const RELAY_FETCH_DOMAIN: &str = "inferium/relay-fetch/1";

/// What both sides sign to open a session: the two keys and the two nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SessionHello {
    /// The worker.
    pub worker: NodeId,
    /// Chosen by the worker for this connection.
    pub worker_nonce: [u8; 32],
    /// The gateway.
    pub gateway: NodeId,
    /// Chosen by the gateway for this connection.
    pub gateway_nonce: [u8; 32],
}

impl SessionHello {
    /// Signs as the worker or the gateway.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(SESSION_DOMAIN, &crate::encode(self))
    }

    /// Checks the other side's signature.
    #[must_use]
    pub fn verify(&self, node: &NodeId, signature: &Signature) -> bool {
        node.verify(SESSION_DOMAIN, &crate::encode(self), signature)
    }
}

/// From a worker.
#[expect(clippy::large_enum_variant, reason = "segments are rare, and messages are never kept in bulk")]
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum WorkerMessage {
    /// Opens the session.
    Hello {
        /// Who.
        worker: NodeId,
        /// Fresh.
        nonce: [u8; 32],
    },
    /// Answers the gateway's [`GatewayMessage::Hello`].
    Prove {
        /// Over the [`SessionHello`].
        signature: Signature,
    },
    /// It is ready to serve a lease.
    LeaseReady {
        /// The lease.
        lease: LeaseId,
        /// Proves the seed of its sampling.
        vrf_proof: VrfProof,
        /// The first sequence that it takes: lower ones may have been signed before.
        sequence_from: u64,
    },
    /// The next piece of an answer.
    Delta {
        /// Which job.
        job: JobId,
        /// Tokens.
        tokens: Vec<u32>,
        /// Their text, as far as it is certain.
        text: String,
    },
    /// The end of an answer.
    Finished {
        /// Which job.
        job: JobId,
        /// The result.
        result: JobResult,
        /// Opens the output commitment.
        output_salt: [u8; 32],
    },
    /// The job can't be done; it costs nothing.
    Refused {
        /// Which job.
        job: JobId,
        /// In words.
        reason: String,
    },
    /// Proposes a segment.
    Segment {
        /// What.
        terms: SegmentTerms,
        /// Results in the order of the leaves.
        jobs: Vec<JobId>,
        /// The worker's signature over the terms.
        signature: Signature,
        /// What its VRF ordered it to plant among them (SPEC V5).
        planted: Option<Planting>,
    },
}

/// A planted job, as the gateway that has to sign for it sees it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Planting {
    /// Proves the order.
    pub proof: VrfProof,
    /// Its place among the segment's leaves.
    pub position: u32,
    /// Request and result.
    pub leaf: JobLeaf,
}

/// From a gateway.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum GatewayMessage {
    /// Answers a worker's hello and proves the gateway's key.
    Hello {
        /// Who.
        gateway: NodeId,
        /// Fresh.
        nonce: [u8; 32],
        /// Over the [`SessionHello`].
        signature: Signature,
    },
    /// The session is open.
    Welcome,
    /// A job.
    Job {
        /// Public half.
        request: JobRequest,
        /// Private half.
        payload: JobPayload,
    },
    /// The client left.
    Cancel {
        /// Which job.
        job: JobId,
    },
    /// Agrees to a segment.
    SegmentSigned {
        /// Which lease.
        lease: LeaseId,
        /// Which segment.
        index: u32,
        /// The gateway's signature over the terms.
        signature: Signature,
    },
    /// Does not agree to a segment.
    SegmentRefused {
        /// Which lease.
        lease: LeaseId,
        /// Which segment.
        index: u32,
        /// Jobs in it that were not delivered; without them it would agree.
        undelivered: Vec<JobId>,
        /// In words.
        reason: String,
    },
}

/// The worker's signature by which it fetches a request from a relay.
#[must_use]
pub fn sign_relay_fetch(stall: StallId, key: &SecretKey) -> Signature {
    key.sign(RELAY_FETCH_DOMAIN, stall.digest().as_bytes())
}

/// Checks the signature of [`sign_relay_fetch`].
#[must_use]
pub fn verify_relay_fetch(stall: StallId, worker: &NodeId, signature: &Signature) -> bool {
    worker.verify(RELAY_FETCH_DOMAIN, stall.digest().as_bytes(), signature)
}

/// A request that relays hold for a worker (SPEC T6).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RelayedRequest {
    /// Public half, which the claim on chain names by digest.
    pub request: JobRequest,
    /// Private half.
    pub payload: JobPayload,
}

impl RelayedRequest {
    /// True when the payload is the request's and the request has this digest.
    #[must_use]
    pub fn matches(&self, request: &Digest) -> bool {
        self.request.digest() == *request && self.payload.commitment() == self.request.input_commitment
    }
}
