//! Encoders of the BERT family: settings, tokenizer, weights, forward pass, and the thread that runs it.

mod config;
mod engine;
mod forward;
mod integer;
mod queue;
mod tokenizer;
mod weights;

pub use engine::{BertEmbedder, EmbedderDeviation, EmbedderOptions};
