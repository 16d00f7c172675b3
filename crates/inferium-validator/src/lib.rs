//! A validator's duties beside consensus: judging segments and relaying requests.
//!
//! [`check_segment`] is the judgement itself: exact checks and a teacher-forced replay, compared
//! for equality (SPEC V). [`Duties`] follows the node's own finalised state, waits for evidence,
//! judges once, records the verdict, commits to it and shows it when all members are bound. Where
//! verdicts disagree it keeps what its own was made from, and answers for its replay (SPEC V8).
//!
//! What this crate is *not*: it takes no part in consensus (`inferium-chain`) and decides no
//! money (`inferium-ledger`).
//!
//! Invariants: a verdict is on disk before it leaves, and there is one per segment for ever;
//! evidence that was taken is on disk until it is judged, since no worker sends it twice; what it said
//! of a replay is on disk before it is shown, and stays what it is; only
//! evidence that matches what the chain holds is read, so no stranger can frame a worker; a
//! verdict of `Invalid` comes from a comparison, never from a failure of our own; the key that others
//! seal to is made anew by each process, and written nowhere (SPEC J2).

#![forbid(unsafe_code)]

mod archive;
mod check;
mod disagreement;
mod duties;
mod http;
mod shelf;
mod store;
mod why;

pub use check::{InvalidEvidence, SegmentFacts, authenticate, check_segment};
pub use disagreement::{Opinion, doubted_jobs, opinion_of};
pub use duties::{Duties, DutiesConfig, ValidatorCrime};
pub use http::router;
pub use inferium_store::StoreError;
pub use store::VerdictStore;
