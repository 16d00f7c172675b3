//! What an embedding engine offers to workers, validators and gateways.

mod mock;

pub use mock::{MockEmbedder, MockEmbedderOptions};

use crate::{EngineError, EngineLoad, IntegerEngine};
use inferium_types::Digest;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A model that turns texts into vectors.
///
/// Object-safe; never blocks the caller. Results depend on the arguments only, bit for bit on every machine: not on the
/// other texts of a call, on what else runs, on threads or on the processor.
pub trait Embedder: Send + Sync + Debug {
    /// What is served.
    fn model(&self) -> &EmbedderInfo;

    /// Tokenises one text, with the special tokens that the model wants around it. Nothing is cut off, and the spelling of
    /// a special token inside the text stays text.
    ///
    /// # Errors
    /// [`EngineError::Text`] if the tokenizer refuses.
    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError>;

    /// Starts to embed texts, each given as the tokens of [`Embedder::encode`]. Vectors arrive in the order of the texts,
    /// each as soon as it is computed; the channel closes after the last one. Dropping the receiver cancels.
    ///
    /// An error in the channel is the last that arrives: [`EngineError::Stopped`] if the engine ends before the work does,
    /// [`EngineError::NotFinite`] if a text has no vector.
    ///
    /// # Errors
    /// - [`EngineError::Busy`]: the queue is full.
    /// - [`EngineError::EmptyPrompt`]: no text, or one without tokens.
    /// - [`EngineError::TooManyTexts`], [`EngineError::TooLong`], [`EngineError::UnknownToken`]: the request can never run.
    /// - [`EngineError::Stopped`]: the engine's thread is gone.
    fn embed(&self, texts: Vec<Vec<u32>>) -> Result<VectorReceiver, EngineError>;

    /// The integers that vectors are the direction of, where they are of integers alone. A job then holds the tokens of its texts, and the ledger can
    /// follow its runs (SPEC J8, V11).
    fn integers(&self) -> Option<&Arc<IntegerEngine>> {
        None
    }

    /// How busy the engine is, in calls of [`Embedder::embed`]; it has no cache.
    fn load(&self) -> EngineLoad;
}

/// The vectors of a call, one a text.
pub type VectorReceiver = mpsc::Receiver<Result<TextVector, EngineError>>;

/// What a model computes for a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextVector {
    /// The vector: shape `[width]`, length 1.
    pub values: Vec<f32>,
    /// Digest of the states that the vector is the mean of: shape `[tokens, width]`, the bits of each number; of a model of
    /// integers of its whole run ([`inferium_types::TraceRoot::digest`]). Nobody who knows the vector alone can name it, so it shows
    /// that the text was read (SPEC J8).
    pub states: Digest,
}

/// What an embedder serves; equal for two exactly if they must agree bit for bit.
///
/// Of the fields, `name` and `kernel_tier` don't influence results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderInfo {
    /// The model's own name.
    pub name: String,
    /// Merkle root over the served tensors (name, type, shape and bytes as computed with) and the settings of the model.
    pub weights_root: Digest,
    /// Digest of the vocabulary, the normaliser and the special tokens.
    pub tokenizer_hash: Digest,
    /// Digest of the engine's sources and of the crates that influence results.
    pub engine_build: Digest,
    /// Which instructions the kernels use on this machine.
    pub kernel_tier: String,
    /// Values of a vector.
    pub width: u32,
    /// Tokens of one text at most, special ones included.
    pub context_tokens: u32,
    /// Tokens of the vocabulary.
    pub vocab_size: u32,
}

impl EmbedderInfo {
    /// Checks that texts can ever be embedded.
    pub(crate) fn admit(&self, texts: &[Vec<u32>], texts_max: u32) -> Result<(), EngineError> {
        if texts.is_empty() || texts.iter().any(Vec::is_empty) {
            return Err(EngineError::EmptyPrompt);
        }
        if u32::try_from(texts.len()).is_ok_and(|count| count <= texts_max) {
            texts.iter().try_for_each(|tokens| self.admit_text(tokens))
        } else {
            Err(EngineError::TooManyTexts { texts: texts.len() as u64, texts_max })
        }
    }

    fn admit_text(&self, tokens: &[u32]) -> Result<(), EngineError> {
        let count = tokens.len() as u64;
        if count > u64::from(self.context_tokens) {
            return Err(EngineError::TooLong { tokens: count, context_tokens: self.context_tokens });
        }
        match tokens.iter().find(|&&token| token >= self.vocab_size) {
            Some(&token) => Err(EngineError::UnknownToken { token, vocab_size: self.vocab_size }),
            None => Ok(()),
        }
    }
}
