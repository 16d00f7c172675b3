//! An engine without weights.

use crate::grammar::Grammars;
use crate::measure::{Claim, measure};
use crate::score::{score, token_score};
use crate::shaper::Shaper;
use crate::trace::{row_cell, token_cell};
use crate::{
    Engine, EngineError, EngineLoad, GenerateRequest, ModelInfo, ReplayReceiver, ReplayRequest, ScoreReceiver,
    ScoreRequest, Step, StepReceiver, TokenizerInfo, Trace, TraceReceiver, TraceRequest,
};
use inferium_sampling::{Sampler, position_digest};
use inferium_types::{ChatMessage, Digest, Shaping, TraceStage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

#[cfg(test)]
mod tests;

/// Tokens 0..=255 are bytes; these are special.
const START: u32 = 256;
const END: u32 = 257;
const VOCAB: u32 = 258;
/// What it says of its depth.
const LAYERS: usize = 2;

/// How a mock behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockOptions {
    /// Two mocks agree exactly if their flavours are equal: another flavour plays a cheating worker.
    pub flavour: u64,
    /// Time between tokens.
    pub token_delay: Duration,
    /// The longest sequence.
    pub context_tokens: u32,
    /// Requests at once; more are refused as busy.
    pub max_active: u32,
    /// One in how many tokens ends the text; 0 for none.
    pub end_one_in: u32,
    /// Honest noise of an engine that can't agree bit by bit: logits are off by at most as many thousandths, hidden states by as
    /// many thousandths of their size.
    pub noise_milli: u16,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            flavour: 0,
            token_delay: Duration::ZERO,
            context_tokens: 8192,
            max_active: 4096,
            end_one_in: 0,
            noise_milli: 0,
        }
    }
}

/// An engine whose logits are a hash of the prefix: same interface, same sampler, same verification, microseconds a step.
///
/// Its tokenizer is bytes. Without a delay, work is done inside the call; with one, on a tokio task, so that
/// [`Engine::generate`] must then be called within a tokio runtime.
#[derive(Debug)]
pub struct MockEngine {
    info: ModelInfo,
    options: MockOptions,
    active: Arc<AtomicU32>,
    bytes: Vec<u8>,
    grammars: Grammars,
}

impl MockEngine {
    /// Makes a mock.
    #[must_use]
    pub fn new(options: MockOptions) -> Self {
        let digest = |what: &str| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"inferium/mock/1\0");
            hasher.update(what.as_bytes());
            hasher
        };
        let finish = |hasher: blake3::Hasher| Digest::from(*hasher.finalize().as_bytes());
        let mut weights = digest("weights");
        weights.update(&options.flavour.to_le_bytes());
        weights.update(&options.end_one_in.to_le_bytes());
        let info = ModelInfo {
            name: "mock".to_owned(),
            weights_root: finish(weights),
            tokenizer_hash: finish(digest("tokenizer")),
            template_hash: finish(digest("template")),
            engine_build: match options.noise_milli {
                0 => crate::engine::engine_build(crate::kernel::ARITHMETIC_VERSION),
                noise => finish(digest(&format!("noise {noise}"))),
            },
            kernel_tier: "mock".to_owned(),
            context_tokens: options.context_tokens,
            vocab_size: VOCAB,
            eos_tokens: vec![END],
        };
        Self {
            info,
            options,
            active: Arc::new(AtomicU32::new(0)),
            bytes: (0..=u8::MAX).collect(),
            grammars: Grammars::default(),
        }
    }
}

impl MockEngine {
    /// What bends the logits of an answer.
    fn shaper(&self, shaping: &Shaping) -> Result<Option<Shaper>, EngineError> {
        if let Some(&(token, _)) = shaping.bias.iter().find(|(token, _)| *token >= VOCAB) {
            return Err(EngineError::UnknownToken { token, vocab_size: VOCAB });
        }
        let words = || (0..VOCAB).map(|token| self.token_bytes(token).to_vec()).collect();
        let grammar = shaping.grammar.as_ref().map(|grammar| self.grammars.read(grammar, words, &[END]));
        Ok(Shaper::new(shaping.clone(), grammar.transpose()?, VOCAB))
    }
}

/// Counts a request to a mock while it lives.
#[derive(Debug)]
pub(crate) struct Active(Arc<AtomicU32>);

impl Active {
    /// Counts one more, if that is at most `max`.
    pub(crate) fn enter(active: &Arc<AtomicU32>, max: u32) -> Result<Self, EngineError> {
        let count = active.fetch_add(1, Ordering::Relaxed);
        let guard = Self(Arc::clone(active));
        if count >= max {
            return Err(EngineError::Busy { queued: count });
        }
        Ok(guard)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of a sequence: a hash of the weights and of all tokens so far.
#[derive(Clone, Debug)]
struct Chain {
    state: blake3::Hash,
    end_one_in: u32,
    noise: f32,
}

impl Chain {
    fn new(info: &ModelInfo, options: &MockOptions, prompt: &[u32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(info.weights_root.as_bytes());
        for token in prompt {
            hasher.update(&token.to_le_bytes());
        }
        let noise = f32::from(options.noise_milli) / 1_000.0;
        Self { state: hasher.finalize(), end_one_in: options.end_one_in, noise }
    }

    fn feed(&mut self, token: u32) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.state.as_bytes());
        hasher.update(&token.to_le_bytes());
        self.state = hasher.finalize();
    }

    /// Logits that prefer 16 lower-case letters and the space, and the end of the text when it is due.
    fn logits(&self) -> [f32; VOCAB as usize] {
        let mut logits = [-50.0; VOCAB as usize];
        let bytes = self.state.as_bytes();
        for (index, &byte) in bytes.iter().enumerate().take(17) {
            let token = if index == 16 { usize::from(b' ') } else { usize::from(b'a') + usize::from(byte % 26) };
            logits[token] = f32::from(bytes[31 - index]) / 32.0 + self.noise * self.turbulence(index);
        }
        let [a, b, c, d, ..] = *bytes;
        let draw = u32::from_le_bytes([a, b, c, d]);
        if self.end_one_in > 0 && draw.is_multiple_of(self.end_one_in) {
            logits[END as usize] = 100.0;
        }
        logits
    }

    /// The hash's bytes, as far as noise leaves them.
    fn hidden(&self) -> Vec<f32> {
        let bytes = self.state.as_bytes().iter().enumerate();
        bytes.map(|(index, byte)| (f32::from(*byte) - 127.5) * (1.0 + self.noise * self.turbulence(index))).collect()
    }

    /// A number within ±1 for place `index` of the state.
    fn turbulence(&self, index: usize) -> f32 {
        let bytes = self.state.as_bytes();
        f32::from(bytes[(index * 7 + 3) % bytes.len()] ^ bytes[(index + 11) % bytes.len()]) / 127.5 - 1.0
    }

    /// A cell of a trace: the state stands for all that a model computes before its last norm.
    fn cell(&self, stage: TraceStage, token: u32, next: u32) -> Digest {
        match stage {
            TraceStage::Token => token_cell(token),
            TraceStage::FinalNorm => row_cell(&self.hidden()),
            TraceStage::Logits => position_digest(next, &self.logits()),
            TraceStage::Embedding
            | TraceStage::KeysAndValues { .. }
            | TraceStage::Attention { .. }
            | TraceStage::FeedForward { .. } => Digest::from(*self.state.as_bytes()),
        }
    }

    /// The step at an output position, by the same sampler and digest as every engine's; of the token that is claimed, or of
    /// its own.
    fn step(&self, draw: &mut Draw, position: u64, claimed: Option<u32>) -> Step {
        let logits = self.logits();
        let mut bent = logits;
        if let Some(shaper) = &mut draw.shaper {
            shaper.next().apply(&mut bent);
        }
        let token = draw.sampler.choose(position, &bent);
        let measured = draw.measure.then(|| {
            let claim = claimed.map_or(Claim::Own(token), Claim::Token);
            Arc::new(measure(&draw.sampler, position, &logits, claim, &self.hidden()))
        });
        let next = claimed.unwrap_or(token);
        let score = draw.likeliest.map(|count| token_score(&logits, next, count));
        if let Some(shaper) = &mut draw.shaper {
            shaper.push(next);
        }
        Step { token, digest: position_digest(token, &logits), measured, score }
    }
}

/// How tokens are drawn, and what is told of each.
struct Draw {
    sampler: Sampler,
    shaper: Option<Shaper>,
    likeliest: Option<u8>,
    measure: bool,
}

/// A generation in progress.
struct Generation {
    chain: Chain,
    draw: Draw,
    position: u64,
    left: u32,
    to: mpsc::Sender<Result<Step, EngineError>>,
    _active: Active,
}

impl Generation {
    /// Sends one step; `false` after the last one.
    fn advance(&mut self) -> bool {
        let step = self.chain.step(&mut self.draw, self.position, None);
        let token = step.token;
        self.chain.feed(token);
        self.position += 1;
        self.left -= 1;
        self.to.try_send(Ok(step)).is_ok() && self.left > 0 && token != END
    }
}

impl Engine for MockEngine {
    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn generate(&self, request: GenerateRequest) -> Result<StepReceiver, EngineError> {
        self.info.admit(&request.prompt, &[], request.max_tokens.into())?;
        let active = Active::enter(&self.active, self.options.max_active)?;
        let (to, receiver) = mpsc::channel(request.max_tokens as usize);
        let draw = Draw {
            sampler: Sampler::new(request.sampling, request.seed),
            shaper: self.shaper(&request.shaping)?,
            likeliest: request.shaping.likeliest,
            measure: request.measure,
        };
        let mut generation = Generation {
            chain: Chain::new(&self.info, &self.options, &request.prompt),
            draw,
            position: 0,
            left: request.max_tokens,
            to,
            _active: active,
        };
        if self.options.token_delay.is_zero() {
            while generation.advance() {}
            return Ok(receiver);
        }
        let delay = self.options.token_delay;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| EngineError::Stopped)?;
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(delay).await;
                if !generation.advance() {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    fn replay(&self, request: ReplayRequest) -> Result<ReplayReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.output, request.output.len() as u64)?;
        let _active = Active::enter(&self.active, self.options.max_active)?;
        let mut draw = Draw {
            sampler: Sampler::new(request.sampling, request.seed),
            shaper: self.shaper(&request.shaping)?,
            likeliest: request.shaping.likeliest,
            measure: request.measure,
        };
        let mut chain = Chain::new(&self.info, &self.options, &request.prompt);
        let mut steps = Vec::with_capacity(request.output.len());
        for (position, &token) in (0_u64..).zip(&request.output) {
            steps.push(chain.step(&mut draw, position, Some(token)));
            chain.feed(token);
        }
        let (to, receiver) = oneshot::channel();
        // The receiver is right here.
        let _ = to.send(Ok(steps));
        Ok(receiver)
    }

    fn trace(&self, request: TraceRequest) -> Result<TraceReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.output, request.output.len() as u64)?;
        let _active = Active::enter(&self.active, self.options.max_active)?;
        let shape = request.shape(LAYERS);
        let TraceRequest { prompt, output } = request;
        let tokens = [prompt.as_slice(), output.as_slice()].concat();
        let mut chain = Chain::new(&self.info, &self.options, &[]);
        let (mut cells, prompt_len) = (Vec::new(), prompt.len());
        for (position, (&token, &next)) in tokens.iter().zip(tokens.iter().skip(1)).enumerate() {
            if position < prompt_len {
                chain = Chain::new(&self.info, &self.options, &prompt[..=position]);
            } else {
                chain.feed(token);
            }
            for stage in shape.stages_at(u32::try_from(position).unwrap_or(u32::MAX)) {
                cells.push(chain.cell(stage, token, next));
            }
        }
        let (to, receiver) = oneshot::channel();
        // The receiver is right here.
        let _ = to.send(Ok(Trace { shape, cells }));
        Ok(receiver)
    }

    fn score(&self, request: ScoreRequest) -> Result<ScoreReceiver, EngineError> {
        self.info.admit(&request.prompt, &request.tokens, request.tokens.len() as u64)?;
        let _active = Active::enter(&self.active, self.options.max_active)?;
        let mut chain = Chain::new(&self.info, &self.options, &request.prompt);
        let mut scores = Vec::with_capacity(request.tokens.len());
        for &token in &request.tokens {
            scores.push(score(&chain.logits(), token, request.likeliest));
            chain.feed(token);
        }
        let (to, receiver) = oneshot::channel();
        // The receiver is right here.
        let _ = to.send(Ok(scores));
        Ok(receiver)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError> {
        let mut tokens = Vec::new();
        for message in messages {
            tokens.push(START);
            tokens.extend(self.encode(&message.role)?);
            tokens.push(u32::from(b'\n'));
            tokens.extend(self.encode(&message.content)?);
            tokens.push(END);
        }
        tokens.push(START);
        tokens.extend(self.encode("assistant\n")?);
        Ok(tokens)
    }

    /// Its special tokens have no spelling.
    fn spells_special(&self, _: &[ChatMessage]) -> bool {
        false
    }

    fn token_bytes(&self, token: u32) -> &[u8] {
        let index = token as usize;
        self.bytes.get(index..=index).unwrap_or_default()
    }

    fn special(&self, token: u32) -> Option<&str> {
        match token {
            START => Some("<start>"),
            END => Some("<end>"),
            _ => None,
        }
    }

    fn tokenizer(&self) -> TokenizerInfo {
        TokenizerInfo { bos_token: None, eos_token: Some("<end>".to_owned()), chat_template: None }
    }

    fn check_shaping(&self, shaping: &Shaping) -> Result<(), EngineError> {
        self.shaper(shaping).map(drop)
    }

    fn load(&self) -> EngineLoad {
        EngineLoad { active: self.active.load(Ordering::Relaxed), ..EngineLoad::default() }
    }
}
