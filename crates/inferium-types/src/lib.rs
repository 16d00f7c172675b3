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

mod amount;
mod certificate;
mod codec;
mod crypto;
mod digest;
mod event;
mod genesis;
mod header;
mod ids;
mod job;
pub mod limits;
mod merkle;
mod network_key;
mod profile;
mod receipt;
mod transaction;
pub mod wire;

pub use amount::{Amount, AmountOverflow, Ppm, NANO_PER_IFR};
pub use certificate::{seed_message, Certificate, InvalidCertificate, SeedSignature};
pub use codec::{decode, encode, InvalidEncoding};
pub use crypto::{
    GroupKey, InvalidKey, PublicKey, SecretKey, Signature, VrfProof, VrfPublicKey, VrfSecretKey,
};
pub use digest::Digest;
pub use event::{Event, LeaseEnd, RejectReason, SegmentOutcome, SlashRule, SlashState, SlashedNode};
pub use genesis::{Genesis, GenesisNode, Parameters};
pub use header::{Header, HEADER_VERSION};
pub use ids::{
    AccountId, ChainId, JobId, LeaseId, NodeId, ProfileId, SegmentId, StallId, TaskId, TransactionId,
};
pub use job::{
    replay_seed, vrf_input, ChatMessage, FinishReason, JobEvidence, JobLeaf, JobOutput, JobPayload,
    JobRequest, JobResult, JobTotals, SamplingParams, SegmentEvidence, Usage,
};
pub use merkle::{leaf_hash, merkle_path, merkle_root, MerklePath};
pub use network_key::{InvalidNetworkKey, NetworkKey};
pub use profile::{EngineClass, ModelProfile, Price};
pub use receipt::{InvalidReceipt, Receipt, ReceiptFacts, ReceiptStatus};
pub use transaction::{
    NodeRole, OfferTerms, SignedTransaction, TaskKind, TaskTerms, Transaction, TransactionBody,
    JobFault, VerdictVote, VerificationMode, VerifiedTransaction, InvalidSignature, SegmentCommitment, SegmentTerms, JobProof,
};

#[cfg(test)]
mod tests;
