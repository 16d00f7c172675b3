//! A worker: offers its engine to the task pool, serves the leases it gets, and proves its work.
//!
//! ```text
//! offer ──► lease ──► session with the gateway ──► jobs ──► segment, signed by both ──► chain
//!                                                             committee drawn ──► evidence
//! ```
//!
//! The worker pulls: it opens every connection itself, so it needs no open port. It believes no
//! one about the chain: everything it acts on comes through the light client.
//!
//! What this crate is *not*: it computes no logits (`inferium-engine`) and decides no money
//! (`inferium-ledger`).
//!
//! Invariants: a sequence of a lease is taken once, over restarts too, so an honest worker signs one
//! result for a request whatever happens; a segment is on disk before its signature leaves, and only
//! one that the gateway refused and never signed is replaced, in one write, by one without the jobs
//! that it did not get (SPEC J3); a job takes its sampling seed from the lease's VRF output and the
//! request alone; no text leaves it but sealed to who has to read it (SPEC J2).

#![forbid(unsafe_code)]

mod challenge;
mod crime;
mod evidence;
mod forced;
mod host;
mod job;
mod lease;
mod server;
mod session;
mod sessions;
mod stall;
mod store;
mod worker;

pub use crime::{Crime, UnknownCrime};
pub use host::{Hosting, OpenTools, RunFailure, ToolResponse, Tools};
pub use inferium_store::StoreError;
pub use job::{FinishedJob, JobRefusal, answer_honestly};
pub use server::{Server, ServerConfig, ServerError};
pub use worker::{Boards, Proving, Training, Worker, WorkerConfig, WorkerError};
