//! The canonical embedder over a folder of sentence-transformers.

use super::config::Config;
use super::forward::Forward;
use super::queue::{Limits, Queue, Vectors};
use super::tokenizer::Tokenizer;
use super::weights::Weights;
use crate::engine::engine_build;
use crate::kernel::{ENCODER_ARITHMETIC_VERSION, Kernel, Tier};
use crate::pool::Pool;
use crate::{Embedder, EmbedderInfo, EngineError, EngineLoad, IntegerEngine, LoadError, VectorReceiver};
use inferium_types::Digest;
use std::path::Path;
use std::sync::Arc;

/// How an embedder is set up. None of it changes results, except [`EmbedderOptions::deviation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderOptions {
    /// Threads that compute; at least one. Several texts are spread over them, and so is a single one.
    pub threads: usize,
    /// Calls that share the threads in turns; at least one.
    pub max_active: u32,
    /// Calls that may wait; more are refused as [`EngineError::Busy`].
    pub max_queue: u32,
    /// Texts of a call at most; more are refused as [`EngineError::TooManyTexts`].
    pub max_texts: u32,
    /// Instructions to use; `None` for the fastest that the processor has.
    pub tier: Option<Tier>,
    /// How results depart from the canonical ones, for devnets and tests.
    pub deviation: EmbedderDeviation,
}

impl Default for EmbedderOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            max_active: 8,
            max_queue: 64,
            max_texts: 2048,
            tier: None,
            deviation: EmbedderDeviation::default(),
        }
    }
}

/// How an embedder departs from the canonical arithmetic; the default does not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EmbedderDeviation {
    /// Leaves out as many of the last layers: a cheat that computes less.
    pub skipped_layers: usize,
    /// Of integers alone: computes with other weights than it says, as [`crate::Classifier::crooked`].
    pub bent_weights: bool,
}

impl EmbedderDeviation {
    /// The build digest of an engine with this deviation: whoever computes otherwise is of another class.
    fn build(&self, canonical: Digest) -> Digest {
        if *self == Self::default() {
            return canonical;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"inferium/embedder-deviation/1\0");
        hasher.update(canonical.as_bytes());
        hasher.update(format!("{self:?}").as_bytes());
        Digest::from(*hasher.finalize().as_bytes())
    }
}

/// A sentence encoder of the BERT family, served with canonical arithmetic, or with integers alone: equal bits for equal texts on every machine.
///
/// It computes what sentence-transformers does with the same folder: the encoder's states, their mean over the tokens, and that
/// at length 1. One thread of its own does the work; dropping the embedder ends it after the current step.
#[derive(Debug)]
pub struct BertEmbedder {
    info: EmbedderInfo,
    tokenizer: Tokenizer,
    max_texts: u32,
    queue: Queue,
    pub(super) integers: Option<Arc<IntegerEngine>>,
}

impl BertEmbedder {
    /// Loads a model and starts its thread. Takes a fraction of a second for 22 million weights.
    ///
    /// `path` is the folder, or its `model.safetensors`; beside that file are `config.json`, `tokenizer.json`, `modules.json`,
    /// `sentence_bert_config.json` and `1_Pooling/config.json`. The model's name is the folder's.
    ///
    /// # Errors
    /// [`LoadError`], one variant per cause.
    pub fn load(path: &Path, options: EmbedderOptions) -> Result<Self, LoadError> {
        let tier = options.tier.unwrap_or_else(Tier::detect);
        let kernel = Kernel::new(tier).ok_or(LoadError::Tier { tier })?;
        let is_weights = path.extension().is_some_and(|extension| extension == "safetensors");
        let folder = if is_weights { path.parent().unwrap_or(path) } else { path };
        let config = Config::read(folder)?;
        let tokenizer = Tokenizer::load(&folder.join("tokenizer.json"))?;
        if tokenizer.vocab_size() != config.vocab {
            let (found, expected) = (tokenizer.vocab_size(), config.vocab);
            return Err(LoadError::Tokenizer { reason: format!("it has {found} tokens, the model {expected}") });
        }
        if config.context <= tokenizer.around() {
            return Err(LoadError::unsupported(format!("texts of {} tokens, special ones included", config.context)));
        }
        let context = config.context;
        let width = config.width;
        let (weights, weights_root) = Weights::load(&folder.join("model.safetensors"), config)?;
        let info = EmbedderInfo {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            weights_root,
            tokenizer_hash: tokenizer.hash(),
            engine_build: options.deviation.build(engine_build(ENCODER_ARITHMETIC_VERSION)),
            kernel_tier: tier.name().to_owned(),
            width: saturate(width),
            context_tokens: saturate(context),
            vocab_size: saturate(tokenizer.vocab_size()),
        };
        let pool = pool(&options)?;
        let threads = pool.threads();
        let forward = Forward::new(weights, kernel, pool, options.deviation.skipped_layers);
        Self::start(info, tokenizer, &options, threads, move |texts| forward.vectors(texts))
    }

    /// Starts the thread that has `vectors` compute as many texts at a time as there are threads for them.
    pub(super) fn start(
        info: EmbedderInfo,
        tokenizer: Tokenizer,
        options: &EmbedderOptions,
        threads: usize,
        vectors: impl FnMut(&[&[u32]]) -> Vectors + Send + 'static,
    ) -> Result<Self, LoadError> {
        let limits = Limits { active: (options.max_active as usize).max(1), queued: options.max_queue, texts: threads };
        let queue = Queue::start(limits, vectors).map_err(|error| LoadError::Threads { reason: error.to_string() })?;
        Ok(Self { info, tokenizer, max_texts: options.max_texts, queue, integers: None })
    }
}

/// The threads that compute.
pub(super) fn pool(options: &EmbedderOptions) -> Result<Pool, LoadError> {
    Pool::new(options.threads).map_err(|error| LoadError::Threads { reason: error.to_string() })
}

impl Embedder for BertEmbedder {
    fn model(&self) -> &EmbedderInfo {
        &self.info
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text)
    }

    fn embed(&self, texts: Vec<Vec<u32>>) -> Result<VectorReceiver, EngineError> {
        self.info.admit(&texts, self.max_texts)?;
        self.queue.submit(texts)
    }

    fn integers(&self) -> Option<&Arc<IntegerEngine>> {
        self.integers.as_ref()
    }

    fn load(&self) -> EngineLoad {
        self.queue.load()
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
