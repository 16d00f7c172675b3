//! Questions that people ask of a chain, answered from verified blocks and proven entries: what a node
//! earned, what was slashed and why, what an agent is and brought, who did most work that held, what a
//! proposal would change.
//!
//! The command line and the pages ask the same, and get the same. What this crate is *not*: it follows
//! no chain and prints nothing; callers bring blocks and say how answers look.

#![forbid(unsafe_code)]

pub mod agents;
pub mod boards;
pub mod earnings;
pub mod governance;
pub mod kept;
pub mod slashes;
