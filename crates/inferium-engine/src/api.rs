//! What an engine offers to workers, validators and gateways.

use crate::{ScoreReceiver, ScoreRequest, TraceReceiver, TraceRequest};
use inferium_sampling::PositionCheck;
use inferium_types::{ChatMessage, Digest, SamplingParams, Shaping, TokenScore};
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A model that generates, and re-computes what others generated.
///
/// Object-safe; both kinds of work never block the caller. Results depend on the arguments only: not on what else runs,
/// on threads, on batches or on the processor.
pub trait Engine: Send + Sync + Debug {
    /// What is served.
    fn model(&self) -> &ModelInfo;

    /// Starts a generation. Steps arrive as they are computed; the channel closes after the last one.
    ///
    /// The last step carries an end-of-text token or is the `max_tokens`-th. Dropping the receiver cancels.
    ///
    /// # Errors
    /// - [`EngineError::Busy`]: the queue is full.
    /// - [`EngineError::EmptyPrompt`], [`EngineError::TooLong`], [`EngineError::UnknownToken`]: the request can never run.
    /// - [`EngineError::Stopped`]: the engine's thread is gone.
    fn generate(&self, request: GenerateRequest) -> Result<StepReceiver, EngineError>;

    /// Starts a teacher-forced replay: for every position of the claimed output the step that this engine would have
    /// produced there, given the prompt and the claimed tokens before it. Dropping the receiver cancels.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    fn replay(&self, request: ReplayRequest) -> Result<ReplayReceiver, EngineError>;

    /// Starts a trace: a replay that draws nothing, and returns a digest of everything that it computes. Dropping the
    /// receiver cancels.
    ///
    /// # Errors
    /// As [`Engine::generate`], and [`EngineError::Untraceable`] if the arithmetic is not the canonical one.
    fn trace(&self, request: TraceRequest) -> Result<TraceReceiver, EngineError>;

    /// Scores given tokens after given ones, in one pass over them. Dropping the receiver cancels.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    fn score(&self, request: ScoreRequest) -> Result<ScoreReceiver, EngineError>;

    /// Tokenises plain text. Adds no special tokens and recognises none in the text.
    ///
    /// # Errors
    /// [`EngineError::Text`] if the tokenizer refuses.
    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError>;

    /// Renders a chat with the model's own template, ready for the assistant's answer, and tokenises it. Special tokens
    /// come from the template only; their spelling inside a message stays text.
    ///
    /// # Errors
    /// [`EngineError::Text`] if the template refuses the messages.
    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError>;

    /// Whether messages hold the spelling of a special token, which other servers take for the token itself.
    fn spells_special(&self, messages: &[ChatMessage]) -> bool;

    /// The bytes a token stands for; empty for special and unknown tokens. A token may be a part of a character.
    fn token_bytes(&self, token: u32) -> &[u8];

    /// The spelling of a special token; `None` for others.
    fn special(&self, token: u32) -> Option<&str>;

    /// What of the tokenizer clients may want to know.
    fn tokenizer(&self) -> TokenizerInfo;

    /// Checks that an answer can be shaped like that.
    ///
    /// # Errors
    /// - [`EngineError::Grammar`]: the grammar can't be read.
    /// - [`EngineError::UnknownToken`]: a bias for a token that there is not.
    fn check_shaping(&self, shaping: &Shaping) -> Result<(), EngineError>;

    /// The text of tokens, without special tokens; bytes that are not UTF-8 become U+FFFD.
    fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            bytes.extend_from_slice(self.token_bytes(token));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How busy the engine is.
    fn load(&self) -> EngineLoad;
}

/// The steps of a generation.
pub type StepReceiver = mpsc::Receiver<Result<Step, EngineError>>;

/// The result of a replay.
pub type ReplayReceiver = oneshot::Receiver<Result<Vec<Step>, EngineError>>;

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// The most tokens to generate; at least one.
    pub max_tokens: u32,
    /// How to draw.
    pub sampling: SamplingParams,
    /// How the answer is shaped; its stop strings are [`crate::Answer`]'s.
    pub shaping: Shaping,
    /// The sampling seed.
    pub seed: [u8; 32],
    /// Whose computed prompts it may begin with, and leaves its own to; `None` shares nothing. It shows in the time that an
    /// answer takes, never in the answer.
    pub prefix_scope: Option<Digest>,
    /// Whether steps have [`Step::measured`].
    pub measure: bool,
}

/// A replay of a claimed output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    /// The tokens that were continued; at least one.
    pub prompt: Vec<u32>,
    /// The claimed tokens; at least one.
    pub output: Vec<u32>,
    /// How they are claimed to be drawn.
    pub sampling: SamplingParams,
    /// How the answer is shaped; its stop strings are [`crate::Answer`]'s.
    pub shaping: Shaping,
    /// The sampling seed.
    pub seed: [u8; 32],
    /// Whose computed prompts it may begin with, and leaves its own to; `None` shares nothing. It shows in the time that an
    /// answer takes, never in the answer.
    pub prefix_scope: Option<Digest>,
    /// Whether steps have [`Step::measured`].
    pub measure: bool,
}

/// One output position.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The canonical sampler's choice.
    pub token: u32,
    /// [`inferium_sampling::position_digest`] of the token and the position's logits.
    pub digest: Digest,
    /// What is compared where engines agree within a tolerance only, if it was asked for.
    pub measured: Option<Arc<Measured>>,
    /// How likely the token is, in a replay the claimed one, if that was asked for ([`Shaping::likeliest`]).
    pub score: Option<TokenScore>,
}

/// A tokenizer as clients of other servers know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizerInfo {
    /// Spelling of the token that begins a text.
    pub bos_token: Option<String>,
    /// Spelling of the token that ends a text.
    pub eos_token: Option<String>,
    /// The chat template, in Jinja.
    pub chat_template: Option<String>,
}

/// What is measured at one output position. *The token* is the claimed one in a replay, the chosen one in a generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Of a replay: the token beside what the canonical sampler makes of these logits. A generation's token is what it makes.
    pub check: Option<PositionCheck>,
    /// Natural logarithm of the token's probability under the softmax of the logits, as they are.
    pub logprob: f64,
    /// The input of the language-model head, shape `[width]`.
    pub hidden: Vec<f32>,
}

/// What an engine serves; equal for two engines exactly if they must agree bit for bit.
///
/// Of the fields, `name`, `kernel_tier` and `context_tokens` don't influence results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The model's own name, from its file.
    pub name: String,
    /// Merkle root over the served tensors: name, type, shape and bytes as computed with.
    pub weights_root: Digest,
    /// Digest of the vocabulary, merges, pre-tokenizer and special tokens.
    pub tokenizer_hash: Digest,
    /// Digest of the chat template.
    pub template_hash: Digest,
    /// Digest of the engine's and the sampler's sources and of the crates that influence results.
    pub engine_build: Digest,
    /// Which instructions the kernels use on this machine.
    pub kernel_tier: String,
    /// The longest sequence (prompt and output) that this engine can hold.
    pub context_tokens: u32,
    /// Logits per position.
    pub vocab_size: u32,
    /// The tokens that end a text.
    pub eos_tokens: Vec<u32>,
}

impl ModelInfo {
    /// Whether a token ends a text.
    #[must_use]
    pub fn is_eos(&self, token: u32) -> bool {
        self.eos_tokens.contains(&token)
    }
}

/// How busy an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Generations and replays that are being computed.
    pub active: u32,
    /// Those that wait.
    pub queued: u32,
    /// Tokens the cache has room for.
    pub kv_tokens_total: u32,
    /// Tokens of it that are reserved.
    pub kv_tokens_reserved: u32,
    /// Tokens of it that ended sequences left for others to begin with.
    pub kv_tokens_kept: u32,
    /// Tokens that sequences found computed already, since the start.
    pub tokens_reused: u64,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The queue is full; trying later may help.
    #[error("the engine is busy: {queued} requests wait")]
    Busy {
        /// Requests that wait.
        queued: u32,
    },
    /// Prompt and output do not fit the context.
    #[error("{tokens} tokens do not fit the context of {context_tokens}")]
    TooLong {
        /// Tokens of the prompt plus those asked for.
        tokens: u64,
        /// The longest possible.
        context_tokens: u32,
    },
    /// The prompt, the output, a text to embed, or the number of tokens or texts asked for is empty.
    #[error("prompts, outputs and texts need at least one token each")]
    EmptyPrompt,
    /// One call has too many texts to embed.
    #[error("{texts} texts are more than the {texts_max} that one call may have")]
    TooManyTexts {
        /// Texts of the call.
        texts: u64,
        /// The most possible.
        texts_max: u32,
    },
    /// A token is not in the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocab_size: u32,
    },
    /// Tokenizer or chat template refuse a text.
    #[error("text refused: {reason}")]
    Text {
        /// Why.
        reason: String,
    },
    /// A grammar can't be read.
    #[error("the grammar can't be used: {reason}")]
    Grammar {
        /// Why.
        reason: String,
    },
    /// Results do not fold into a board.
    #[error("no board: {reason}")]
    Board {
        /// Why.
        reason: String,
    },
    /// An interval can't be trained: its input does not hold together, or its steps lead nowhere.
    #[error("no training: {reason}")]
    Training {
        /// Why.
        reason: String,
    },
    /// Numbers to classify are not of the model's size and range.
    #[error("no input of this classifier: {reason}")]
    Tensor {
        /// Why.
        reason: String,
    },
    /// The model does something else.
    #[error("the model is for {does}, and was given another input")]
    Task {
        /// What it is for.
        does: &'static str,
    },
    /// A replay lacks a position, or what was to be measured there.
    #[error("the engine did not measure what it was asked to")]
    Unmeasured,
    /// The numbers left the range of floats on the way: the text has no vector.
    #[error("the text has no finite vector")]
    NotFinite,
    /// The arithmetic keeps no record of what it computes on the way.
    #[error("this engine can't trace")]
    Untraceable,
    /// The library that computes gave up on a step.
    #[error("the engine failed: {reason}")]
    Failed {
        /// What the library says.
        reason: String,
    },
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

impl ModelInfo {
    /// Checks that a sequence can ever run.
    pub(crate) fn admit(&self, prompt: &[u32], output: &[u32], output_len: u64) -> Result<(), EngineError> {
        if prompt.is_empty() || output_len == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        let tokens = (prompt.len() as u64).saturating_add(output_len);
        if tokens > u64::from(self.context_tokens) {
            return Err(EngineError::TooLong { tokens, context_tokens: self.context_tokens });
        }
        match prompt.iter().chain(output).find(|&&token| token >= self.vocab_size) {
            Some(&token) => Err(EngineError::UnknownToken { token, vocab_size: self.vocab_size }),
            None => Ok(()),
        }
    }
}
