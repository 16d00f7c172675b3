//! The nouns of the Inferium network, as bytes.
//!
//! Ids, amounts, signatures, transactions, headers, events and receipts, each with one canonical
//! encoding: [borsh](https://borsh.io), where decoding refuses trailing bytes, unknown tags and
//! unsorted maps, so that `encode(decode(bytes)) == bytes` for everything that decodes. Only the
//! block [`Header`] has a hand-made fixed layout, since EVM contracts read it from call data.
//!
//! What this crate is *not*: it decides nothing. Which transaction may do what is the ledger's
//! business (`inferium-ledger`); who talks to whom is the services'.
//!
//! Invariants: no clock, no entropy, no IO, no floats, no hash-map order; every list that comes
//! from a stranger has a named maximum ([`limits`]).

#![forbid(unsafe_code)]

mod agent;
mod amount;
mod assessment;
mod certificate;
mod challenge;
mod classify;
mod codec;
mod committed;
mod crypto;
mod digest;
mod duty;
mod embedding;
mod equivocation;
mod event;
mod fold;
mod forced;
mod genesis;
mod governance;
mod header;
mod ids;
mod job;
pub mod limits;
mod merkle;
mod network_key;
mod opening;
mod parameters;
mod profile;
mod proof;
mod receipt;
mod run;
mod score;
mod sealed;
mod shaping;
mod statistics;
mod task;
mod trace;
mod training;
mod transaction;
pub mod wire;

pub use agent::{
    AgentLimits, AgentSpend, AgentTerms, Recipients, RunCall, RunTerms, SPENDING_DAY_MS, SpendOrder, SpendingPolicy,
    is_agent_name, step_request, step_result,
};
pub use amount::{Amount, AmountOverflow, InvalidAmount, NANO_PER_IFR, Ppm};
pub use assessment::{ASSESSMENT_TOKENS, assessment_payload, assessment_request};
pub use certificate::{Certificate, InvalidCertificate, SeedSignature, seed_message};
pub use challenge::{
    ChallengeEnd, ChallengeTerms, ModelRise, OpenedChunk, OpenedPiece, Refutation, RefutedClaim, TraceAsked, TraceRoot,
    TraceShown,
};
pub use classify::{ClassifierInputs, ClassifierReads, Logits, evidence_leaf};
pub use codec::{InvalidEncoding, decode, encode};
pub use committed::{Committed, CommittedKind, InputPart, OpenedInput, OpenedOutput, part_salt};
pub use crypto::{
    GroupKey, InvalidKey, PublicKey, SealingKey, SecretKey, Signature, VrfProof, VrfPublicKey, VrfSecretKey,
};
pub use digest::Digest;
pub use duty::Duty;
pub use embedding::Embedding;
pub use equivocation::{ConsensusVote, VoteSubject};
pub use event::{Event, LeaseEnd, RejectReason, SegmentOutcome, SlashRule, SlashedNode};
pub use fold::FoldInput;
pub use forced::{FORCED_ROOM, FORCED_TOKENS, ForcedKind, ForcedOrder, OPENINGS_MAX, PlantedJob, SegmentOpening};
pub use genesis::{Genesis, GenesisNode};
pub use governance::{ParameterChange, ProposalAction, ProposalOutcome, ProposalTerms, VoteChoice, VoteTally};
pub use header::{HEADER_VERSION, Header};
pub use ids::{
    AccountId, AgentId, ChainId, JobId, LeaseId, NodeId, ProfileId, SegmentId, StallId, TaskId, TransactionId,
};
pub use job::{
    ChatMessage, FinishReason, ImpossibleJob, JobAnswer, JobEvidence, JobInput, JobLeaf, JobOutput, JobPayload,
    JobRequest, JobResult, JobTotals, SamplingParams, SegmentEvidence, Usage, board_leaf, replay_seed, vrf_input,
};
pub use merkle::{MerkleNode, MerklePath, MerkleTree, leaf_hash, merkle_path, merkle_root};
pub use network_key::{InvalidNetworkKey, NetworkKey};
pub use opening::JobOpening;
pub use parameters::{InvalidParameter, PARAMETERS, ParameterRule, ParameterUnit, Parameters};
pub use profile::{EngineClass, ForeignBounds, ModelProfile, ModelTask, Price};
pub use proof::{ProvingInput, proof_leaf};
pub use receipt::{CheckedCertificates, InvalidReceipt, Receipt, ReceiptFacts, ReceiptStatus};
pub use run::{CallRecord, ModelOutput, RunFile, RunInput, RunTool, RunTranscript, is_file_name, step_input};
pub use score::{Continuation, TokenScore};
pub use sealed::{SealPurpose, Sealed, SealedEvidence, SealingKeyProof};
pub use shaping::Shaping;
pub use statistics::{
    ALTERNATIVES_MAX, CONTEXT_ENDS, Calibration, ClippedSum, DrawCount, GAP_ENDS_MICRO, KindCount, LOGPROB_STEPS,
    MeasuredEvidence, MeasuredWindow, OPENED_WINDOWS, OpenedWindow, POSITION_KINDS, ReplayStatistics,
    SKETCHES_PER_WINDOW, STAKES, Sketch, Suspicion, TEMPERS, WINDOW_TOKENS,
};
pub use task::{
    Accelerator, CapabilityReport, KindPolicy, OfferTerms, PriceUnit, TaskKind, TaskTerms, Tier, VerificationMode,
};
pub use trace::{SignedTrace, TraceCell, TraceClaim, TraceKey, TraceSearch, TraceShape, TraceStage, UnboundAnswer};
pub use training::{IntervalStart, TrainedInterval, TrainedStep, TrainingInput};
pub use transaction::{
    InvalidSignature, JobFault, JobProof, NodeRole, RequestProof, SegmentCommitment, SegmentTerms, SignedTotals,
    SignedTransaction, Transaction, TransactionBody, VerdictVote, VerifiedTransaction,
};

#[cfg(test)]
mod tests;
