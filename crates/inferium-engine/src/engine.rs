//! The engine over GGUF files of the Llama family: canonical, or as llama.cpp computes.

use crate::deviation::Deviation;
use crate::gguf::Gguf;
use crate::grammar::Grammars;
use crate::kernel::{ARITHMETIC_VERSION, Kernel, Tier};
use crate::llama::{Cache, Canonical, Config, Forward, Weights};
use crate::llamacpp;
use crate::pool::Pool;
use crate::scheduler::{Gauges, Job, Limits, Scheduler};
use crate::shaper::Shaper;
use crate::text::{ChatTemplate, Tokenizer};
use crate::{
    Engine, EngineError, EngineLoad, GenerateRequest, LoadError, ModelInfo, ReplayReceiver, ReplayRequest,
    ScoreReceiver, ScoreRequest, StepReceiver, TokenizerInfo, TraceReceiver, TraceRequest,
};
use inferium_types::{ChatMessage, Digest, Shaping};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Whose arithmetic computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Arithmetic {
    /// The canonical one: equal bits for equal requests.
    #[default]
    Canonical,
    /// llama.cpp's: logits and hidden states of the same weights, as they are served canonically, close to the canonical ones and never
    /// equal. Tokenizer, template and sampler are ours. Only in builds with the feature `llamacpp`; it can't trace.
    LlamaCpp,
}

impl Arithmetic {
    /// True when this program has it.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Canonical => true,
            Self::LlamaCpp => cfg!(feature = "llamacpp"),
        }
    }

    /// Of everything that can change its results, without deviations: [`ModelInfo::engine_build`].
    #[must_use]
    pub fn build(self) -> Digest {
        match self {
            Self::Canonical => engine_build(ARITHMETIC_VERSION),
            Self::LlamaCpp => llamacpp::build(),
        }
    }
}

/// How an engine is set up. None of it changes results, except [`LoadOptions::deviation`] and [`LoadOptions::arithmetic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that compute; at least one.
    pub threads: usize,
    /// Tokens of the cache, over all sequences. SmolLM2-135M needs 23 kB a token.
    pub kv_tokens: u32,
    /// Generations that run at once; half as many replays (at least one) run beside them.
    pub max_batch: u32,
    /// Requests that may wait; more are refused as [`EngineError::Busy`].
    pub max_queue: u32,
    /// Prompt and replay rows of a step; at most 32 while generations stream.
    pub chunk_rows: u32,
    /// Instructions to use; `None` for the fastest that the processor has.
    pub tier: Option<Tier>,
    /// How results depart from the canonical ones, for calibration, devnets and tests.
    pub deviation: Deviation,
    /// Whose arithmetic computes; llama.cpp's knows neither tiers nor deviations.
    pub arithmetic: Arithmetic,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            kv_tokens: 16_384,
            max_batch: 8,
            max_queue: 64,
            chunk_rows: 128,
            tier: None,
            deviation: Deviation::default(),
            arithmetic: Arithmetic::Canonical,
        }
    }
}

/// A Llama-family model. With the canonical arithmetic: equal bits for equal requests on every machine.
///
/// One thread of its own does the work; dropping the engine ends it after the current step.
#[derive(Debug)]
pub struct LlamaEngine {
    info: ModelInfo,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    bos: Option<u32>,
    grammars: Grammars,
    eos: Arc<[u32]>,
    gauges: Arc<Gauges>,
    max_queue: u32,
    /// Layers that a trace has; `None` if there are no traces.
    layers: Option<usize>,
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Prompt and replay rows of a step beside running streams: about 20 ms of SmolLM2-135M on one thread.
const ROWS_STREAMING: usize = 32;

impl LlamaEngine {
    /// Loads a model file and starts the engine's thread. Takes about a second for 135 million weights.
    ///
    /// # Errors
    /// [`LoadError`], one variant per cause.
    pub fn load(path: &Path, options: LoadOptions) -> Result<Self, LoadError> {
        let file = Gguf::open(path)?;
        let read = Read::from(&file)?;
        match options.arithmetic {
            Arithmetic::Canonical => Self::load_canonical(file, read, &options),
            Arithmetic::LlamaCpp => Self::load_llamacpp(file, read, &options),
        }
    }

    fn load_canonical(mut file: Gguf, read: Read, options: &LoadOptions) -> Result<Self, LoadError> {
        let tier = options.tier.unwrap_or_else(Tier::detect);
        let kernel = Kernel::new(tier).ok_or(LoadError::Tier { tier })?;
        let cache = Cache::new(&read.config, options.kv_tokens as usize);
        let context = read.context(cache.tokens_total())?;
        let (weights, weights_root) =
            Weights::load(&mut file, read.config.clone(), context, options.deviation.weights)?;
        let build = options.deviation.build(Arithmetic::Canonical.build());
        let info = read.info(weights_root, build, tier.name(), context);
        let pool = Pool::new(options.threads).map_err(|error| LoadError::Threads { reason: error.to_string() })?;
        let forward = Forward::new(weights, kernel, pool, options.deviation.clone());
        let layers = forward.layers();
        let compute = Canonical { forward, cache };
        Self::start(info, read, Some(layers), options, |limits, gauges, receiver| {
            spawn(move || Scheduler::new(compute, limits, gauges, receiver).run())
        })
    }

    fn load_llamacpp(mut file: Gguf, read: Read, options: &LoadOptions) -> Result<Self, LoadError> {
        if options.deviation != Deviation::default() || options.tier.is_some() {
            return Err(LoadError::unsupported("llama.cpp takes neither deviations nor instruction tiers"));
        }
        let context = read.context(options.kv_tokens as usize)?;
        let (weights, weights_root) = Weights::load(&mut file, read.config.clone(), context, None)?;
        drop(weights);
        let info = read.info(weights_root, Arithmetic::LlamaCpp.build(), "llama.cpp", context);
        let setup = llamacpp::Setup {
            file,
            threads: options.threads.max(1),
            kv_tokens: options.kv_tokens,
            vocab: read.config.vocab,
            width: read.config.width,
        };
        Self::start(info, read, None, options, |limits, gauges, receiver| {
            llamacpp::start(setup, limits, gauges, receiver)
        })
    }

    /// Starts the thread with what both arithmetics have in common.
    fn start(
        info: ModelInfo,
        read: Read,
        layers: Option<usize>,
        options: &LoadOptions,
        spawn: impl FnOnce(Limits, Arc<Gauges>, mpsc::Receiver<Job>) -> Result<JoinHandle<()>, LoadError>,
    ) -> Result<Self, LoadError> {
        let generations = (options.max_batch as usize).max(1);
        // Two rows are the least: prompts and replays share them.
        let chunk_rows = (options.chunk_rows as usize).max(2);
        let limits = Limits {
            generations,
            replays: (generations / 2).max(1),
            rows_streaming: chunk_rows.min(ROWS_STREAMING),
            rows_idle: chunk_rows,
        };
        let gauges = Arc::new(Gauges::default());
        let (jobs, receiver) = mpsc::channel();
        let thread = spawn(limits, Arc::clone(&gauges), receiver)?;
        Ok(Self {
            eos: info.eos_tokens.clone().into(),
            info,
            tokenizer: read.tokenizer,
            template: read.template,
            bos: read.bos,
            grammars: Grammars::default(),
            gauges,
            max_queue: options.max_queue,
            layers,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// What bends the logits of an answer.
    fn shaper(&self, shaping: &Shaping) -> Result<Option<Shaper>, EngineError> {
        let vocab = self.info.vocab_size;
        if let Some(&(token, _)) = shaping.bias.iter().find(|(token, _)| *token >= vocab) {
            return Err(EngineError::UnknownToken { token, vocab_size: vocab });
        }
        let words = || (0..vocab).map(|token| self.tokenizer.token_bytes(token).to_vec()).collect();
        let grammar = shaping.grammar.as_ref().map(|grammar| self.grammars.read(grammar, words, &self.eos));
        Ok(Shaper::new(shaping.clone(), grammar.transpose()?, vocab))
    }

    /// Hands a job to the thread, if the queue has room.
    fn submit(&self, job: Job) -> Result<(), EngineError> {
        let queued = &self.gauges.queued;
        let room = queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < self.max_queue).then_some(count + 1));
        if let Err(queued) = room {
            return Err(EngineError::Busy { queued });
        }
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(EngineError::Stopped) }
    }
}

impl Engine for LlamaEngine {
    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn generate(&self, request: GenerateRequest) -> Result<StepReceiver, EngineError> {
        self.info.admit(&request.prompt, &[], request.max_tokens.into())?;
        // One place for every step, so that the thread never waits for a slow reader. Memory grows with use only.
        let (to, receiver) = tokio::sync::mpsc::channel(request.max_tokens as usize);
        let shaper = self.shaper(&request.shaping)?;
        self.submit(Job::generate(request, shaper, Arc::clone(&self.eos), to))?;
        Ok(receiver)
    }

    fn replay(&self, request: ReplayRequest) -> Result<ReplayReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.output, request.output.len() as u64)?;
        let (to, receiver) = tokio::sync::oneshot::channel();
        let shaper = self.shaper(&request.shaping)?;
        self.submit(Job::replay(request, shaper, to))?;
        Ok(receiver)
    }

    fn trace(&self, request: TraceRequest) -> Result<TraceReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.output, request.output.len() as u64)?;
        let layers = self.layers.ok_or(EngineError::Untraceable)?;
        let (to, receiver) = tokio::sync::oneshot::channel();
        self.submit(Job::trace(request, layers, to))?;
        Ok(receiver)
    }

    fn score(&self, request: ScoreRequest) -> Result<ScoreReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.tokens, request.tokens.len() as u64)?;
        let (to, receiver) = tokio::sync::oneshot::channel();
        self.submit(Job::score(request, to))?;
        Ok(receiver)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text)
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError> {
        self.template.encode(&self.tokenizer, messages)
    }

    fn spells_special(&self, messages: &[ChatMessage]) -> bool {
        let holds = |text: &str| self.tokenizer.specials().any(|special| !special.is_empty() && text.contains(special));
        messages.iter().any(|message| holds(&message.role) || holds(&message.content))
    }

    fn token_bytes(&self, token: u32) -> &[u8] {
        self.tokenizer.token_bytes(token)
    }

    fn special(&self, token: u32) -> Option<&str> {
        self.tokenizer.spelling(token).filter(|spelling| self.tokenizer.special_id(spelling) == Some(token))
    }

    fn tokenizer(&self) -> TokenizerInfo {
        let spelling = |token: Option<u32>| token.and_then(|token| self.tokenizer.spelling(token)).map(str::to_owned);
        TokenizerInfo {
            bos_token: spelling(self.bos),
            eos_token: spelling(self.eos.first().copied()),
            chat_template: Some(self.template.source().to_owned()),
        }
    }

    fn check_shaping(&self, shaping: &Shaping) -> Result<(), EngineError> {
        self.shaper(shaping).map(drop)
    }

    fn load(&self) -> EngineLoad {
        self.gauges.load()
    }
}

impl Drop for LlamaEngine {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened; nothing is left to do here.
            let _ = thread.join();
        }
    }
}

/// What a file says besides its tensors.
#[derive(Debug)]
struct Read {
    name: String,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    config: Config,
    eos_tokens: Vec<u32>,
    bos: Option<u32>,
}

impl Read {
    fn from(file: &Gguf) -> Result<Self, LoadError> {
        let tokenizer = Tokenizer::from_gguf(file)?;
        let config = Config::read(file, tokenizer.vocab_size())?;
        let bos = file.integer("tokenizer.ggml.bos_token_id")?;
        let eos_tokens = eos_tokens(file, &tokenizer)?;
        let spelling = |token: Option<u32>| token.and_then(|token| tokenizer.spelling(token)).unwrap_or_default();
        let template = ChatTemplate::new(
            file.text("tokenizer.chat_template")?,
            spelling(bos),
            spelling(eos_tokens.first().copied()),
        )?;
        let name = file.text("general.name")?.unwrap_or("unnamed").to_owned();
        Ok(Self { name, tokenizer, template, config, eos_tokens, bos })
    }

    /// The longest sequence with a cache of as many tokens.
    fn context(&self, tokens: usize) -> Result<usize, LoadError> {
        let context = self.config.context.min(tokens);
        if context < 2 {
            return Err(LoadError::CacheTooSmall { kv_tokens: u32::try_from(tokens).unwrap_or(u32::MAX) });
        }
        Ok(context)
    }

    fn info(&self, weights_root: Digest, engine_build: Digest, tier: &str, context: usize) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            weights_root,
            tokenizer_hash: self.tokenizer.hash(),
            template_hash: self.template.hash(),
            engine_build,
            kernel_tier: tier.to_owned(),
            context_tokens: u32::try_from(context).unwrap_or(u32::MAX),
            vocab_size: u32::try_from(self.tokenizer.vocab_size()).unwrap_or(u32::MAX),
            eos_tokens: self.eos_tokens.clone(),
        }
    }
}

/// Starts the engine's thread.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LoadError> {
    std::thread::Builder::new()
        .name("inferium-engine".to_owned())
        .spawn(work)
        .map_err(|error| LoadError::Threads { reason: error.to_string() })
}

/// The digest of everything that can change results of an arithmetic, computed by the build script.
pub(crate) fn engine_build(arithmetic: &str) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(arithmetic.as_bytes());
    // Which characters are letters or spaces, and their lower case, come with the compiler.
    let (major, minor, update) = char::UNICODE_VERSION;
    hasher.update(&[major, minor, update]);
    hasher.update(env!("INFERIUM_ENGINE_BUILD").as_bytes());
    Digest::from(*hasher.finalize().as_bytes())
}

/// The tokens that end a text: the file's, and the usual ends of a turn if the vocabulary has them.
pub(crate) fn eos_tokens(file: &Gguf, tokenizer: &Tokenizer) -> Result<Vec<u32>, LoadError> {
    let mut tokens = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
        tokens.extend(file.integer(key)?);
    }
    for spelling in ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"] {
        tokens.extend(tokenizer.special_id(spelling));
    }
    let mut distinct = Vec::new();
    for token in tokens {
        if !distinct.contains(&token) {
            distinct.push(token);
        }
    }
    Ok(distinct)
}
