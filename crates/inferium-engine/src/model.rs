//! A served model, whatever it does: what roles hold that serve several.

use crate::{Embedder, EmbedderInfo, Engine, EngineError, ModelInfo, SAMPLER_VERSION, ScoreRequest};
use inferium_types::{Continuation, Digest, EngineClass, JobInput, ModelProfile, ModelTask};
use std::sync::Arc;

/// A model by what it does. Clones share it.
#[derive(Clone, Debug)]
pub enum Model {
    /// Answers conversations.
    Chat(Arc<dyn Engine>),
    /// Gives texts vectors.
    Embedder(Arc<dyn Embedder>),
}

/// What a model reads of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The tokens of a conversation, ready for its answer.
    Chat(Vec<u32>),
    /// The tokens of each text.
    Texts(Vec<Vec<u32>>),
    /// Continuations to score, with how many of the likeliest tokens.
    Scores(Vec<ScoreRequest>),
}

impl Prompt {
    /// What [`inferium_types::Usage::prompt_tokens`] counts.
    #[must_use]
    pub fn tokens(&self) -> usize {
        match self {
            Self::Chat(tokens) => tokens.len(),
            Self::Texts(texts) => texts.iter().map(Vec::len).sum(),
            Self::Scores(requests) => {
                requests.iter().map(|one| one.prompt.len().saturating_add(one.tokens.len())).sum()
            }
        }
    }
}

impl Model {
    /// What it does.
    #[must_use]
    pub fn task(&self) -> ModelTask {
        match self {
            Self::Chat(_) => ModelTask::Chat,
            Self::Embedder(embedder) => ModelTask::Embed { width: embedder.model().width },
        }
    }

    /// The longest conversation with its answer, or the longest single text; tokens.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        match self {
            Self::Chat(engine) => engine.model().context_tokens,
            Self::Embedder(embedder) => embedder.model().context_tokens,
        }
    }

    /// Tokenises an input.
    ///
    /// # Errors
    /// - [`EngineError::Task`]: the input asks for what the model does not do.
    /// - [`EngineError::Text`]: template or tokenizer refuse.
    /// - [`EngineError::TooLong`]: a text to embed, or a continuation to score, is longer than the model reads.
    /// - [`EngineError::EmptyPrompt`], [`EngineError::UnknownToken`]: of a continuation to score.
    pub fn read(&self, input: &JobInput) -> Result<Prompt, EngineError> {
        match (self, input) {
            (Self::Chat(engine), JobInput::Chat { messages, .. }) => engine.render_chat(messages).map(Prompt::Chat),
            (Self::Chat(engine), JobInput::Score { continuations, likeliest }) => {
                let request = |one: &Continuation| {
                    engine.model().admit(&one.prompt, &one.tokens, one.tokens.len() as u64)?;
                    Ok(ScoreRequest { prompt: one.prompt.clone(), tokens: one.tokens.clone(), likeliest: *likeliest })
                };
                continuations.iter().map(request).collect::<Result<_, _>>().map(Prompt::Scores)
            }
            (Self::Embedder(embedder), JobInput::Embed { texts }) => {
                let context_tokens = embedder.model().context_tokens;
                let encode = |text: &String| {
                    let tokens = embedder.encode(text)?;
                    match u32::try_from(tokens.len()) {
                        Ok(count) if count <= context_tokens => Ok(tokens),
                        _ => Err(EngineError::TooLong { tokens: tokens.len() as u64, context_tokens }),
                    }
                };
                texts.iter().map(encode).collect::<Result<_, _>>().map(Prompt::Texts)
            }
            (model, _) => Err(EngineError::Task { does: model.task().name() }),
        }
    }

    /// The profile of this model under a name that clients ask for, compared for equality by engines of one `tier`.
    #[must_use]
    pub fn profile(&self, name: &str, tier: &str) -> ModelProfile {
        let class = |build: Digest| EngineClass::Canonical { build, tier: tier.to_owned() };
        let (task, name) = (self.task(), name.to_owned());
        match self {
            Self::Chat(engine) => {
                let ModelInfo { weights_root, tokenizer_hash, template_hash, engine_build, eos_tokens, .. } =
                    engine.model();
                ModelProfile {
                    name,
                    task,
                    weights_root: *weights_root,
                    tokenizer_hash: *tokenizer_hash,
                    template_hash: *template_hash,
                    engine: class(*engine_build),
                    sampler_version: SAMPLER_VERSION,
                    eos_tokens: eos_tokens.clone(),
                }
            }
            Self::Embedder(embedder) => {
                let EmbedderInfo { weights_root, tokenizer_hash, engine_build, .. } = embedder.model();
                ModelProfile {
                    name,
                    task,
                    weights_root: *weights_root,
                    tokenizer_hash: *tokenizer_hash,
                    template_hash: Digest::ZERO,
                    engine: class(*engine_build),
                    sampler_version: 0,
                    eos_tokens: Vec::new(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
