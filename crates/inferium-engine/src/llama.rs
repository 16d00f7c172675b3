//! The Llama family: weights, cache and forward pass.

mod cache;
mod canonical;
mod config;
mod forward;
mod weights;

pub(crate) use cache::{Cache, SequenceCache};
pub(crate) use canonical::Canonical;
pub(crate) use config::Config;
pub(crate) use forward::{Batch, Forward, Row};
pub(crate) use weights::Weights;
