//! Claims about the ledger as a whole, by rule of SPEC.md.

mod ballots;
mod bonds;
mod capability;
mod disputes;
mod emission;
mod forced;
mod governance;
mod interleavings;
mod matching;
mod model;
mod money;
mod nodes;
mod planting;
mod pool;
mod random;
mod reload;
mod requests;
mod rollback;
mod seeds;
mod segments;
mod slashing;
mod stalls;
mod statistics;
mod support;
mod vectors;
mod verdicts;
