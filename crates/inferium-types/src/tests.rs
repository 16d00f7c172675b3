//! Claims about the types as a whole.

mod amounts;
mod codec;
mod conformance;
mod keys;
mod merkle;
mod receipts;
mod sample;
