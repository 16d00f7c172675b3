//! A served model, whatever it does: what roles hold that serve several.

use crate::{
    Classifier, ClassifierInfo, ClassifierInput, Embedder, EmbedderInfo, Engine, EngineError, IntervalTrainer,
    ModelInfo, PROVE_CONTEXT_TOKENS, Prover, SAMPLER_VERSION, ScoreRequest, Trained,
};
use inferium_eval::{Folded, fold_board};
use inferium_types::{
    Continuation, Digest, EngineClass, JobInput, ModelProfile, ModelTask, NetworkKey, SamplingParams, TrainingInput,
    limits,
};
use std::sync::Arc;

/// A model by what it does. Clones share it.
#[derive(Clone, Debug)]
pub enum Model {
    /// Answers conversations.
    Chat(Arc<dyn Engine>),
    /// Gives texts vectors.
    Embedder(Arc<dyn Embedder>),
    /// No model at all: folds results into boards of the network with this key (SPEC L2).
    Folder(Arc<NetworkKey>),
    /// No model of its own either: trains intervals of runs (SPEC X3).
    Trainer(Arc<dyn IntervalTrainer>),
    /// Says of inputs which class they are of (SPEC J12).
    Classifier(Arc<Classifier>),
    /// Proves what a classifier said (SPEC V10).
    Prover(Arc<Prover>),
}

/// How results are compared where a request is to run, as far as that bears on what may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// To the bit.
    Equal,
    /// By statistics of one's own engine.
    Tolerant,
    /// By statistics of a server's tokens.
    Foreign,
}

impl From<&EngineClass> for Comparison {
    fn from(class: &EngineClass) -> Self {
        match class {
            EngineClass::Canonical { .. } => Self::Equal,
            EngineClass::Tolerance { .. } => Self::Tolerant,
            EngineClass::Foreign { .. } => Self::Foreign,
        }
    }
}

/// What no worker of a class takes, though the model reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// SPEC J9.
    #[error("scores are compared to the bit, and only on canonical profiles")]
    Scores,
    /// Text that is drawn so hot is not what a tokenizer makes of it (SPEC V9).
    #[error("on foreign profiles the temperature is at most 1")]
    Temperature,
    /// Servers take the spelling for the token, and so read another conversation (SPEC V9).
    #[error("on foreign profiles no message spells a special token")]
    SpecialToken,
    /// Bent logits are drawn from to the bit, or not at all (SPEC J10).
    #[error("grammars, tools, penalties and biases need a canonical profile")]
    Shaping,
    /// Log probabilities are compared to the bit (SPEC J9, J10).
    #[error("log probabilities need a canonical profile")]
    Likeliest,
    /// Servers are asked to answer conversations (SPEC V9).
    #[error("on foreign profiles only conversations are answered")]
    Completion,
}

/// What a lease of boards has room for: the most items, and their board.
pub const FOLD_CONTEXT_TOKENS: u32 = limits::FOLD_ITEMS_MAX + 1;
/// What a lease of training has room for: the most examples, and their interval.
pub const TRAIN_CONTEXT_TOKENS: u32 = limits::TRAINING_EXAMPLES_MAX + 1;
/// The highest temperature on foreign profiles, in millionths.
const FOREIGN_TEMPERATURE_MICRO_MAX: u32 = 1_000_000;

/// What a model reads of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The tokens of a conversation, ready for its answer, or those to go on with.
    Text(Vec<u32>),
    /// The tokens of each text.
    Texts(Vec<Vec<u32>>),
    /// Continuations to score, with how many of the likeliest tokens.
    Scores(Vec<ScoreRequest>),
    /// Results, folded: to know that they fold is to fold them.
    Board(Folded),
    /// An interval that can be trained, by the examples that its steps see.
    Interval(u32),
    /// Inputs to classify.
    Inputs(Vec<ClassifierInput>),
    /// An answer that can be proved, by what its proof counts as.
    Answer(u32),
}

impl Prompt {
    /// What [`inferium_types::Usage::prompt_tokens`] counts.
    #[must_use]
    pub fn tokens(&self) -> usize {
        match self {
            Self::Text(tokens) => tokens.len(),
            Self::Texts(texts) => texts.iter().map(Vec::len).sum(),
            Self::Scores(requests) => {
                requests.iter().map(|one| one.prompt.len().saturating_add(one.tokens.len())).sum()
            }
            Self::Board(folded) => usize::try_from(folded.items).unwrap_or(usize::MAX),
            Self::Inputs(inputs) => inputs.iter().map(ClassifierInput::tokens).sum(),
            Self::Interval(count) | Self::Answer(count) => usize::try_from(*count).unwrap_or(usize::MAX),
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
            Self::Folder(_) => ModelTask::Fold,
            Self::Trainer(_) => ModelTask::Train,
            Self::Prover(prover) => prover.profile().task,
            Self::Classifier(classifier) => {
                let ClassifierInfo { reads, labels, .. } = classifier.model();
                ModelTask::Classify { reads: *reads, classes: u32::try_from(labels.len()).unwrap_or(u32::MAX) }
            }
        }
    }

    /// Folds into boards of this network.
    #[must_use]
    pub fn folder(network: NetworkKey) -> Self {
        Self::Folder(Arc::new(network))
    }

    /// The longest conversation with its answer, or the longest single text; tokens. Of boards the most items, and the board; of training the most
    /// examples, and the interval.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        match self {
            Self::Chat(engine) => engine.model().context_tokens,
            Self::Embedder(embedder) => embedder.model().context_tokens,
            Self::Folder(_) => FOLD_CONTEXT_TOKENS,
            Self::Trainer(_) => TRAIN_CONTEXT_TOKENS,
            Self::Prover(_) => PROVE_CONTEXT_TOKENS,
            Self::Classifier(classifier) => classifier.model().context_tokens,
        }
    }

    /// Tokenises an input, or folds it: that takes milliseconds for each certificate, and is no work for a thread that others wait for.
    ///
    /// # Errors
    /// - [`EngineError::Task`]: the input asks for what the model does not do.
    /// - [`EngineError::Text`]: template or tokenizer refuse.
    /// - [`EngineError::TooLong`]: a text to embed, or a continuation to score, is longer than the model reads.
    /// - [`EngineError::EmptyPrompt`], [`EngineError::UnknownToken`]: of a continuation to score, or of tokens to go on with.
    /// - [`EngineError::Grammar`], [`EngineError::UnknownToken`]: the answer can't be shaped as the input says.
    /// - [`EngineError::Board`]: the results do not fold.
    /// - [`EngineError::Training`]: the interval's input does not hold together.
    /// - [`EngineError::Tensor`]: numbers to classify are not of the classifier's size and range.
    pub fn read(&self, input: &JobInput) -> Result<Prompt, EngineError> {
        match (self, input) {
            (Self::Chat(engine), JobInput::Chat { messages, shaping }) => {
                engine.check_shaping(shaping)?;
                engine.render_chat(messages).map(Prompt::Text)
            }
            (Self::Chat(engine), JobInput::Complete { prompt, shaping }) => {
                engine.check_shaping(shaping)?;
                engine.model().admit(prompt, &[], 1)?;
                Ok(Prompt::Text(prompt.clone()))
            }
            (Self::Chat(engine), JobInput::Score { continuations, likeliest }) => {
                let request = |one: &Continuation| {
                    engine.model().admit(&one.prompt, &one.tokens, one.tokens.len() as u64)?;
                    Ok(ScoreRequest { prompt: one.prompt.clone(), tokens: one.tokens.clone(), likeliest: *likeliest })
                };
                continuations.iter().map(request).collect::<Result<_, _>>().map(Prompt::Scores)
            }
            (Self::Embedder(embedder), JobInput::Embed { texts, tokens }) => {
                let context_tokens = embedder.model().context_tokens;
                let encode = |text: &String| {
                    let tokens = embedder.encode(text)?;
                    match u32::try_from(tokens.len()) {
                        Ok(0) => Err(EngineError::EmptyPrompt),
                        Ok(count) if count <= context_tokens => Ok(tokens),
                        _ => Err(EngineError::TooLong { tokens: tokens.len() as u64, context_tokens }),
                    }
                };
                let encoded: Vec<Vec<u32>> = texts.iter().map(encode).collect::<Result<_, _>>()?;
                let wanted: &[Vec<u32>] = if embedder.integers().is_some() { &encoded } else { &[] };
                if tokens != wanted {
                    let reason = "the tokens beside the texts are not what this model wants there".to_owned();
                    return Err(EngineError::Text { reason });
                }
                Ok(Prompt::Texts(encoded))
            }
            (Self::Folder(network), JobInput::Fold(input)) => {
                let folded = fold_board(input, network);
                folded.map(Prompt::Board).map_err(|refused| EngineError::Board { reason: refused.to_string() })
            }
            (Self::Classifier(classifier), JobInput::Classify(inputs)) => classifier.read(inputs).map(Prompt::Inputs),
            (Self::Trainer(trainer), JobInput::Train(input)) => trainer.read(input).map(Prompt::Interval),
            (Self::Prover(prover), JobInput::Prove(input)) => prover.read(input).map(Prompt::Answer),
            (model, _) => Err(EngineError::Task { does: model.task().name() }),
        }
    }

    /// Puts beside texts the tokens that a model of integers wants there (SPEC J8); everything else stays as it is.
    ///
    /// # Errors
    /// [`EngineError::Text`] if the tokenizer refuses.
    pub fn fill_tokens(&self, input: &mut JobInput) -> Result<(), EngineError> {
        if let (Self::Embedder(embedder), JobInput::Embed { texts, tokens }) = (self, input)
            && embedder.integers().is_some()
        {
            *tokens = texts.iter().map(|text| embedder.encode(text)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// Trains an interval, on a thread of its own.
    ///
    /// # Errors
    /// [`EngineError::Task`] of a model that trains none; else as [`IntervalTrainer::train`].
    pub async fn train_aside(&self, input: &TrainingInput) -> Result<Trained, EngineError> {
        let Self::Trainer(trainer) = self else { return Err(EngineError::Task { does: self.task().name() }) };
        let (trainer, input) = (Arc::clone(trainer), input.clone());
        tokio::task::spawn_blocking(move || trainer.train(&input)).await.map_err(|_| EngineError::Stopped)?
    }

    /// Works on a thread of its own with what proves.
    ///
    /// # Errors
    /// [`EngineError::Task`] of a model that proves nothing; else what `work` says.
    pub async fn prove_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Prover) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let Self::Prover(prover) = self else { return Err(EngineError::Task { does: self.task().name() }) };
        let prover = Arc::clone(prover);
        tokio::task::spawn_blocking(move || work(&prover)).await.map_err(|_| EngineError::Stopped)?
    }

    /// [`Model::read`] where others wait for the thread: what folds or trains is read on one of its own.
    ///
    /// # Errors
    /// As of [`Model::read`]; [`EngineError::Stopped`] when the program is ending.
    pub async fn read_aside(&self, input: &JobInput) -> Result<Prompt, EngineError> {
        if !matches!(self, Self::Folder(_) | Self::Trainer(_)) {
            return self.read(input);
        }
        let (model, input) = (self.clone(), input.clone());
        tokio::task::spawn_blocking(move || model.read(&input)).await.map_err(|_| EngineError::Stopped)?
    }

    /// Whether workers whose results are compared like this take the request: gateways ask for nothing else, relays certify nothing
    /// else, and workers refuse it.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fits(&self, comparison: Comparison, input: &JobInput, sampling: &SamplingParams) -> Result<(), Unfit> {
        match (self, input, comparison) {
            (_, JobInput::Score { .. }, Comparison::Tolerant | Comparison::Foreign) => Err(Unfit::Scores),
            (_, input, Comparison::Tolerant | Comparison::Foreign)
                if input.shaping().is_some_and(|shaping| !shaping.is_plain()) =>
            {
                Err(Unfit::Shaping)
            }
            (_, input, Comparison::Tolerant | Comparison::Foreign)
                if input.shaping().is_some_and(|shaping| shaping.likeliest.is_some()) =>
            {
                Err(Unfit::Likeliest)
            }
            (_, JobInput::Complete { .. }, Comparison::Foreign) => Err(Unfit::Completion),
            (_, JobInput::Chat { .. }, Comparison::Foreign)
                if sampling.temperature_micro > FOREIGN_TEMPERATURE_MICRO_MAX =>
            {
                Err(Unfit::Temperature)
            }
            (Self::Chat(engine), JobInput::Chat { messages, .. }, Comparison::Foreign)
                if engine.spells_special(messages) =>
            {
                Err(Unfit::SpecialToken)
            }
            _ => Ok(()),
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
            Self::Classifier(classifier) => {
                let ClassifierInfo { weights_root, encoder_hash, labels_hash, engine_build, .. } = classifier.model();
                ModelProfile {
                    name,
                    task,
                    weights_root: *weights_root,
                    tokenizer_hash: *encoder_hash,
                    template_hash: *labels_hash,
                    engine: class(*engine_build),
                    sampler_version: 0,
                    eos_tokens: Vec::new(),
                }
            }
            // There is one, under one name (SPEC L2).
            Self::Folder(_) => ModelProfile::folder(),
            Self::Trainer(trainer) => trainer.profile(),
            Self::Prover(prover) => prover.profile(),
        }
    }
}

#[cfg(test)]
mod tests;
