//! The state machine of the chain: money, nodes, the task pool, leases, segments, verdicts,
//! slashing and reputation.
//!
//! ```text
//! execute(&parent_state, &environment, &transactions) -> (state, events)
//! ```
//!
//! Pure: time, height and the beacon's seeds come in with the [`BlockEnvironment`]; equal inputs
//! give equal states and events on every machine. A transaction that fails changes only its
//! sender's fee and nonce (SPEC M3).
//!
//! What this crate is *not*: it verifies no signature of a transaction (it takes
//! [`VerifiedTransaction`](inferium_types::VerifiedTransaction)s only), stores nothing, and knows
//! no consensus. [`State`] clones in constant time, so that consensus can fork it per block, and
//! [`State::changes`] tells the entries in which two states differ, for the authenticated store.
//!
//! Invariants: [`State::audit`] holds after every block (SPEC M2); each table entry is in exactly
//! the derived queues that its own fields ask for, so a state rebuilt from its entries is equal.
//!
//! Where a rule lives: `execute.rs` drives a block; `table.rs` takes back what a failed transaction wrote; `money.rs` holds balances and fees (M);
//! `nodes.rs` registration (N); `pool.rs` tasks, offers and leases (T), `matching.rs` and `market.rs` T5; `segments.rs`
//! commitment and settlement (J, M5); `verdicts.rs` draws and tallies (V), `ballots.rs` V2, `disputes.rs` V4, `challenges.rs` V11; `stalls.rs` certified
//! delivery (T6); `forced.rs` planted jobs (V5); `statistics.rs` tolerance profiles (V6, V7); `slashing.rs` the table of S; `reputation.rs` R; `capability.rs` measured tiers
//! (N2, N3); `bonds.rs` delegation and unbonding (M7); `emission.rs` rewards (M5, M6);
//! `governance.rs` G; `agents.rs` agents and their runs (A1, A2, A4), `spends.rs` what they spend (A3); `why.rs` tells what is in whose way (T8).

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::float_arithmetic,
        clippy::indexing_slicing
    )
)]

mod agents;
mod ballots;
mod bonds;
mod capability;
mod challenges;
mod disputes;
mod emission;
mod entries;
mod error;
mod execute;
mod forced;
mod governance;
mod market;
mod matching;
mod money;
mod nodes;
mod pool;
mod reputation;
mod segments;
mod slashing;
mod spends;
mod stalls;
mod state;
mod statistics;
mod table;
mod verdicts;
mod why;

pub use challenges::{Runs, runs_of};
pub use entries::{
    Account, Agent, AgentEarnings, Approval, Ballot, Capability, Challenge, Conduct, Delegation, Dispute, EpochReward,
    EpochWork, Fresh, Hold, Lease, LeaseState, Listing, Member, Meta, Node, Offer, Opening, Operator, OwedOrder, Phase,
    Planted, Pool, Profile, Proposal, ProposalState, QueuePlace, Record, Run, Segment, SegmentState, ShownRun,
    ShownSpan, Stage, Stall, StallState, Task, Turn, Unbonding, Widening,
};
pub use error::{CorruptState, InvalidBlock, Rejection};
pub use execute::{Assembled, BlockEnvironment, Executed, admit, assemble, execute};
pub use money::{fee_of, is_duty};
pub use pool::LEASE_JOBS_MAX;
pub use state::{PROTOCOL_VERSION, State, StateKey, state_key};
pub use why::{Obstacle, WorkerWhy};

#[cfg(test)]
mod tests;
