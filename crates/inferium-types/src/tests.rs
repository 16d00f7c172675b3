//! Claims about the types as a whole.

mod agents;
mod amounts;
mod codec;
mod committed;
mod conformance;
mod equivocation;
mod forced;
mod fuzz;
mod jobs;
mod keys;
mod merkle;
mod parameters;
mod receipts;
mod sample;
mod statistics;
mod trace;
mod verdicts;
mod wallet;
