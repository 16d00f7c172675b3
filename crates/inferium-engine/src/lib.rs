//! Inference whose results can be checked by equality.
//!
//! [`LlamaEngine`] serves GGUF models of the Llama family with one canonical arithmetic: a token's logits have the same
//! bits whether they are computed while generating, in a prompt, in a replay, alone or in a batch, on one thread or many,
//! with AVX-512, AVX2 or portable code. A validator therefore replays a claimed output ([`Engine::replay`]) and compares
//! [`Step`]s for equality, and finds by [`Engine::trace`] where another one departs. [`MockEngine`] offers the same without weights, for tests and for measuring everything else.
//! [`source`] fetches model files.
//!
//! With the feature `llamacpp` the same files can be computed by llama.cpp ([`Arithmetic::LlamaCpp`]): close, never equal, and so
//! for tolerance profiles alone.
//!
//! [`BertEmbedder`] turns texts into vectors in the same way: encoders of the BERT family in single precision, each text alone,
//! with the same bits on every machine ([`Embedder`]); [`BertEmbedder::load_integers`] does so with integers alone; [`MockEmbedder`] is a stand-in.
//!
//! [`exact`] is the encoders' arithmetic for those who bring their own weights, and [`Decoder`] a GGUF model as plain numbers: what
//! is trained by them has the same bits on every machine.
//!
//! It is *not* a text service: stop strings, prices, leases and evidence belong to the callers.
//!
//! # Invariants
//! - Equal requests to engines with equal [`ModelInfo`] (but for name, tier and context) give equal steps; equal texts to
//!   embedders with equal [`EmbedderInfo`] (but for the same) give equal vectors.
//! - Callers never block, queues and memory are bounded, an idle engine uses no processor time.
//! - Special tokens come from the chat template only, never from the text of a message; an embedder puts them around a text.
#![expect(unsafe_code, reason = "SIMD intrinsics; every use states why it is sound")]

mod answer;
mod api;
mod audit;
mod bert;
mod classifier;
mod decoder;
mod deviation;
mod embedder;
mod engine;
mod error;
pub mod exact;
mod gguf;
mod grammar;
mod interval;
mod judge;
mod kernel;
mod leaf;
mod llama;
mod llamacpp;
mod measure;
mod mock;
mod model;
mod pool;
mod prover;
mod scheduler;
mod score;
mod shaper;
pub mod source;
mod text;
mod trace;

pub use answer::Answer;
pub use api::{
    Engine, EngineError, EngineLoad, GenerateRequest, Measured, ModelInfo, ReplayReceiver, ReplayRequest, Step,
    StepReceiver, TokenizerInfo,
};
pub use audit::{Audit, AuditDesk, Audited, AuditedInput, IntegerEngine, RunName, ShownChunks};
pub use bert::{BertEmbedder, EmbedderDeviation, EmbedderOptions};
pub use classifier::{
    Classifier, ClassifierInfo, ClassifierInput, ClassifierTerms, EncoderTerms, InvalidClassifier, VECTOR_SCALE,
    quantised,
};
pub use decoder::{Decoder, DecoderLayer, DecoderShape, DecoderWeights};
pub use deviation::{Deviation, WeakCache};
pub use embedder::{Embedder, EmbedderInfo, MockEmbedder, MockEmbedderOptions, TextVector, VectorReceiver};
pub use engine::{Arithmetic, LlamaEngine, LoadOptions};
pub use error::LoadError;
pub use gguf::{WeakFormat, merge_gguf};
pub use inferium_eval::{BoardDocument, Folded, board_suites};
pub use inferium_sampling::SAMPLER_VERSION;
pub use interval::{IntervalTrainer, Trained};
pub use judge::{check_answer, compare, replay_seeded};
pub use kernel::Tier;
pub use llamacpp::{TextModel, TextRequest};
pub use mock::{MockEngine, MockOptions};
pub use model::{Comparison, FOLD_CONTEXT_TOKENS, Model, Prompt, TRAIN_CONTEXT_TOKENS, Unfit};
pub use prover::{PROVE_CONTEXT_TOKENS, Prover, Spend, prover_profile};
pub use score::{Score, ScoreReceiver, ScoreRequest, Scoring};
pub use text::TextStream;
pub use trace::{Trace, TraceReceiver, TraceRequest};
