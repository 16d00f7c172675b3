//! Messages between a worker and a gateway, over the connection that the worker opened.
//!
//! The worker proves its key, the gateway proves its own, then jobs flow one way and text the
//! other. Nothing here waits for a block: finished jobs are proposed as segments, which both sign.
//!
//! The first three messages are in the clear: the two hellos and the worker's proof. What both sign
//! there holds a fresh sealing key of each, and every later message is sealed under these, each
//! direction in one sequence (SPEC J2).

use crate::{
    Digest, Embedding, JobId, JobLeaf, JobPayload, JobRequest, JobResult, LeaseId, Logits, ModelOutput, NodeId,
    RunTranscript, SamplingParams, SealPurpose, SealingKey, SecretKey, SegmentTerms, Signature, StallId, TokenScore,
    TrainedInterval, VrfProof,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

const SESSION_DOMAIN: &str = "inferium/session/2";
const RELAY_FETCH_DOMAIN: &str = "inferium/relay-fetch/2";

/// What both sides sign to open a session: of each its key, nonce and sealing key, so that nobody
/// between them can put in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SessionHello {
    /// The worker.
    pub worker: NodeId,
    /// Chosen by the worker for this connection.
    pub worker_nonce: [u8; 32],
    /// Made by the worker for this connection.
    pub worker_key: SealingKey,
    /// The gateway.
    pub gateway: NodeId,
    /// Chosen by the gateway for this connection.
    pub gateway_nonce: [u8; 32],
    /// Made by the gateway for this connection.
    pub gateway_key: SealingKey,
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

    /// What the worker's messages are sealed for.
    #[must_use]
    pub const fn from_worker(self) -> SealPurpose {
        SealPurpose::WorkerMessages { session: self }
    }

    /// What the gateway's messages are sealed for.
    #[must_use]
    pub const fn from_gateway(self) -> SealPurpose {
        SealPurpose::GatewayMessages { session: self }
    }
}

/// From a worker.
#[expect(clippy::large_enum_variant, reason = "segments are rare, and messages are never kept in bulk")]
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum WorkerMessage {
    /// Opens the session. In the clear.
    Hello {
        /// Who.
        worker: NodeId,
        /// Fresh.
        nonce: [u8; 32],
        /// Fresh: what the gateway seals to.
        key: SealingKey,
    },
    /// Answers the gateway's [`GatewayMessage::Hello`]. In the clear; everything after it is sealed.
    Prove {
        /// HPKE's encapsulated key of this direction, made under the worker's sealing key.
        encapsulated: [u8; 32],
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
        /// Of each token its score, if that was asked for; else none.
        scores: Vec<TokenScore>,
    },
    /// The next embeddings of a job, in the order of its texts.
    Embeddings {
        /// Which job.
        job: JobId,
        /// Some of them.
        embeddings: Vec<Embedding>,
    },
    /// Scores of the next continuations of a job, in their order.
    Scores {
        /// Which job.
        job: JobId,
        /// Of some of them.
        scores: Vec<Vec<TokenScore>>,
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
    /// A run needs an answer of its model (SPEC A2): the gateway has another lease's worker give it.
    CallModel {
        /// The run's step.
        step: JobId,
        /// Which of its calls.
        call: u32,
        /// What the model is given.
        payload: JobPayload,
        /// How it draws.
        sampling: SamplingParams,
        /// Tokens of its answer at most.
        tokens_max: u32,
    },
    /// A run called a tool: told to whoever waits for the run.
    CalledTool {
        /// The run's step.
        step: JobId,
        /// The tool.
        tool: String,
        /// How long it took; milliseconds.
        took_ms: u64,
        /// True when it failed.
        failed: bool,
    },
    /// What a run did, before it is finished.
    Transcript {
        /// The run's step.
        step: JobId,
        /// What.
        transcript: RunTranscript,
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
    /// The board that a job folded (SPEC L2), before it is finished.
    Board {
        /// Which job.
        job: JobId,
        /// Its one encoding.
        board: String,
    },
    /// The interval that a job trained (SPEC X3), before it is finished.
    Trained {
        /// Which job.
        job: JobId,
        /// What came of it.
        interval: TrainedInterval,
    },
    /// What a classifier says of the next inputs of a job, in their order (SPEC J12).
    Logits {
        /// Which job.
        job: JobId,
        /// Of some of them.
        logits: Vec<Logits>,
    },
    /// The proof that a job made (SPEC V10), before it is finished.
    Proof {
        /// Which job.
        job: JobId,
        /// With its statement, as files hold it.
        proof: Vec<u8>,
    },
}

/// Says nothing of what a client asked or got: a message may end up in a log.
impl fmt::Debug for WorkerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { worker, .. } => write!(f, "Hello({worker:?})"),
            Self::Prove { .. } => f.write_str("Prove"),
            Self::LeaseReady { lease, sequence_from, .. } => write!(f, "LeaseReady({lease:?} from {sequence_from})"),
            Self::Delta { job, tokens, .. } => write!(f, "Delta({job:?}, {} tokens)", tokens.len()),
            Self::Embeddings { job, embeddings } => write!(f, "Embeddings({job:?}, {})", embeddings.len()),
            Self::Scores { job, scores } => write!(f, "Scores({job:?}, {})", scores.len()),
            Self::Finished { job, result, .. } => write!(f, "Finished({job:?}, {:?})", result.usage),
            Self::CallModel { step, call, payload, .. } => write!(f, "CallModel({step:?}, {call}, {payload:?})"),
            Self::CalledTool { step, tool, took_ms, failed } => {
                write!(f, "CalledTool({step:?}, {tool}, {took_ms} ms, failed: {failed})")
            }
            Self::Transcript { step, transcript } => write!(f, "Transcript({step:?}, {transcript:?})"),
            Self::Refused { job, reason } => write!(f, "Refused({job:?}: {reason})"),
            Self::Segment { terms, .. } => write!(f, "Segment({terms:?})"),
            Self::Board { job, board } => write!(f, "Board({job:?}, {} bytes)", board.len()),
            Self::Logits { job, logits } => write!(f, "Logits({job:?}, {})", logits.len()),
            Self::Trained { job, interval } => write!(f, "Trained({job:?}, {interval:?})"),
            Self::Proof { job, proof } => write!(f, "Proof({job:?}, {} bytes)", proof.len()),
        }
    }
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

/// A job that a model did for a run.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModelAnswer {
    /// Request and result.
    pub leaf: JobLeaf,
    /// The private half of the result.
    pub output: ModelOutput,
}

/// A secret that the tools of a run are given.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunSecret {
    /// The variable of the tools' environment.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Says nothing of the value.
impl fmt::Debug for RunSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunSecret({})", self.name)
    }
}

/// From a gateway.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum GatewayMessage {
    /// Answers a worker's hello and proves the gateway's key. In the clear; everything after it is sealed.
    Hello {
        /// Who.
        gateway: NodeId,
        /// Fresh.
        nonce: [u8; 32],
        /// Fresh: what the worker seals to.
        key: SealingKey,
        /// HPKE's encapsulated key of this direction, made under the gateway's sealing key.
        encapsulated: [u8; 32],
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
    /// What the tools of a run are given and nobody else is: before its job.
    Secrets {
        /// The run's step.
        step: JobId,
        /// By name, ascending.
        secrets: Vec<RunSecret>,
    },
    /// Answers [`WorkerMessage::CallModel`].
    ModelCalled {
        /// The run's step.
        step: JobId,
        /// Which of its calls.
        call: u32,
        /// The job with its output, or in words why there is none.
        outcome: Result<ModelAnswer, String>,
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

/// What a worker sends a relay to get the request of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RelayFetch {
    /// Fresh: what the request is sealed to.
    pub key: SealingKey,
    /// The worker's, over the claim and that key.
    pub signature: Signature,
}

impl RelayFetch {
    /// Asks for the request of `stall`, sealed to `key`.
    #[must_use]
    pub fn sign(stall: StallId, key: SealingKey, worker: &SecretKey) -> Self {
        Self { key, signature: worker.sign(RELAY_FETCH_DOMAIN, &crate::encode(&(stall, key))) }
    }

    /// True when the worker itself asks for the request of `stall`.
    #[must_use]
    pub fn is_from(&self, worker: &NodeId, stall: StallId) -> bool {
        worker.verify(RELAY_FETCH_DOMAIN, &crate::encode(&(stall, self.key)), &self.signature)
    }
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
