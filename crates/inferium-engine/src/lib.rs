//! Inference whose results can be checked by equality.
//!
//! [`LlamaEngine`] serves GGUF models of the Llama family with one canonical arithmetic: a token's logits have the same
//! bits whether they are computed while generating, in a prompt, in a replay, alone or in a batch, on one thread or many,
//! with AVX-512, AVX2 or portable code. A validator therefore replays a claimed output ([`Engine::replay`]) and compares
//! [`Step`]s for equality, and finds by [`Engine::trace`] where another one departs. [`MockEngine`] offers the same without weights, for tests and for measuring everything else.
//! [`source`] fetches model files.
//!
//! It is *not* a text service: stop strings, prices, leases and evidence belong to the callers.
//!
//! # Invariants
//! - Equal requests to engines with equal [`ModelInfo`] (but for name, tier and context) give equal steps.
//! - Callers never block, queues and memory are bounded, an idle engine uses no processor time.
//! - Special tokens come from the chat template only, never from the text of a message.
#![expect(unsafe_code, reason = "SIMD intrinsics; every use states why it is sound")]

mod answer;
mod api;
mod deviation;
mod engine;
mod error;
mod gguf;
mod kernel;
mod llama;
mod measure;
mod mock;
mod pool;
mod scheduler;
pub mod source;
mod text;
mod trace;

pub use answer::Answer;
pub use api::{
    Engine, EngineError, EngineLoad, GenerateRequest, Measured, ModelInfo, ReplayReceiver, ReplayRequest, Step,
    StepReceiver,
};
pub use deviation::{Deviation, WeakCache};
pub use engine::{LlamaEngine, LoadOptions};
pub use error::LoadError;
pub use gguf::WeakFormat;
pub use inferium_sampling::SAMPLER_VERSION;
pub use kernel::Tier;
pub use mock::{MockEngine, MockOptions};
pub use text::TextStream;
pub use trace::{Trace, TraceReceiver, TraceRequest};
