//! Whole Inferium chains on a deterministic runtime: virtual time, a simulated network, storage
//! that fails on demand. The same seed gives the same run, down to every byte sent.
//!
//! The validators are the real ones: `inferium-chain` with its consensus, storage and ledger.
//! Only clock, network and disk are simulated. What must hold is asked of all of them after each
//! run: the same blocks, the same state roots, money conserved, progress.
//!
//! What this crate is *not*: it measures nothing, and simulates no LLM.
//!
//! ```no_run
//! use inferium_sim::{Network, Scenario};
//!
//! let runs = Scenario::new(Network::new(4)).blocks(30).seeds(0..3).run()?;
//! assert_eq!(runs.len(), 3);
//! # Ok::<(), String>(())
//! ```

#![forbid(unsafe_code)]

mod network;
mod scenario;

pub use network::{Network, Validator};
pub use scenario::{Fault, Run, Scenario};
