//! A gateway: speaks the OpenAI API to clients and pays workers for them.
//!
//! ```text
//! HTTP request ──► price, budget ──► lease with room ──► worker's session ──► tokens ──► client
//! finished jobs ──► segment, signed by both ──► chain ──► receipts
//! ```
//!
//! Nothing between request and last token waits for a block: leases are open before they are
//! needed, and answers are marked provisional until the chain has approved them.
//!
//! What this crate is *not*: it runs no model (it uses them for tokenizer and template only) and decides no money on the chain (`inferium-ledger`).
//!
//! Invariants: a segment's leaves and what they cost are on disk before the gateway signs it; it
//! signs one segment per lease and index for ever, and only results that are byte for byte what
//! the client got; what it knows of the chain comes through the light client; no text leaves it for
//! other nodes but sealed to who has to read it (SPEC J2).

#![forbid(unsafe_code)]

mod api;
mod chainside;
mod clock;
mod demand;
mod document;
mod gateway;
mod hub;
mod keys;
mod metrics;
mod session;
mod settle;
mod stall;
mod store;
mod switch;

pub use document::{InvalidDocument, receipt_document, verify_document};
pub use gateway::{DemandTerms, Gateway, GatewayConfig, GatewayError, ServedModel, ServedProofs, ServedTraining};
pub use keys::{AdminToken, ApiKey, InvalidApiKey};
pub use store::StoreError;
pub use switch::{KeepDuty, WorkerSwitch};
