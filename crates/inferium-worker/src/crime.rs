//! Ways of cheating that a devnet can watch being caught. An honest worker commits none.

use inferium_engine::{Deviation, Engine, EngineError, GenerateRequest, WeakCache, WeakFormat};
use inferium_types::{ChatMessage, Digest};
use std::{fmt, str::FromStr};

/// Answers that a worker which picks the best one makes.
const TRIES: u8 = 4;

/// A crime, named for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crime {
    /// Serves cheaper weights under the profile's name: 4 bits each.
    WrongWeights,
    /// Weights and activations of 8 bits with one scale a row.
    CoarseRows,
    /// A cache of 8-bit floats.
    Fp8Cache,
    /// A cache of 4-bit integers.
    Int4Cache,
    /// Leaves out two layers.
    SkippedLayers,
    /// Leaves out the system prompt.
    NoSystemPrompt,
    /// Draws at a temperature a seventh above the one that was asked for: 0.8 for 0.7.
    Warmer,
    /// Draws at three sevenths above: 1.0 for 0.7.
    Hotter,
    /// Samples with a seed of its own.
    OwnSeed,
    /// Answers several times with seeds of its own, and sends the longest answer.
    BestOfFour,
    /// Sends a text that its tokens don't say; of embeddings, other values than the model gave.
    EditedText,
    /// Stops early and says that the model ended the answer.
    Truncated,
    /// Serves wrong weights, and shows the log probabilities of the true model's prefill.
    ForgedLogprobs,
    /// Shows the hidden states of other positions.
    ForgedSketches,
    /// Goes on after the model ended, and bills for it.
    OverGeneration,
    /// Answers with what it answered before; every text of a request with the embedding of the first.
    Copied,
    /// Answers with another model's text, and shows what a true prefill of it gives.
    AnotherModel,
    /// Takes leases and never answers.
    Silent,
    /// Puts the last model of a board first.
    InflatedBoard,
    /// Trains, and says that the losses were half of what they were.
    FabricatedLoss,
    /// Sends proofs with a byte that is another.
    FalseProof,
    /// Takes leases of proofs and never sends one.
    LateProof,
}

impl Crime {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::WrongWeights,
        Self::CoarseRows,
        Self::Fp8Cache,
        Self::Int4Cache,
        Self::SkippedLayers,
        Self::NoSystemPrompt,
        Self::Warmer,
        Self::Hotter,
        Self::OwnSeed,
        Self::BestOfFour,
        Self::EditedText,
        Self::Truncated,
        Self::ForgedLogprobs,
        Self::ForgedSketches,
        Self::OverGeneration,
        Self::Copied,
        Self::AnotherModel,
        Self::Silent,
        Self::InflatedBoard,
        Self::FabricatedLoss,
        Self::FalseProof,
        Self::LateProof,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongWeights => "wrong-weights",
            Self::CoarseRows => "coarse-rows",
            Self::Fp8Cache => "fp8-cache",
            Self::Int4Cache => "int4-cache",
            Self::SkippedLayers => "skipped-layers",
            Self::NoSystemPrompt => "no-system-prompt",
            Self::Warmer => "warmer",
            Self::Hotter => "hotter",
            Self::OwnSeed => "own-seed",
            Self::BestOfFour => "best-of-four",
            Self::EditedText => "edited-text",
            Self::Truncated => "truncated",
            Self::ForgedLogprobs => "forged-logprobs",
            Self::ForgedSketches => "forged-sketches",
            Self::OverGeneration => "over-generation",
            Self::Copied => "copied",
            Self::AnotherModel => "another-model",
            Self::Silent => "silent",
            Self::InflatedBoard => "inflated-board",
            Self::FabricatedLoss => "fabricated-loss",
            Self::FalseProof => "false-proof",
            Self::LateProof => "late-proof",
        }
    }

    /// How the engine departs from the profile's, for a crime that takes another engine.
    #[must_use]
    pub fn deviation(self) -> Option<Deviation> {
        let plain = Deviation::default();
        match self {
            Self::WrongWeights | Self::ForgedLogprobs => Some(Deviation { weights: Some(WeakFormat::Q4_0), ..plain }),
            Self::CoarseRows => {
                Some(Deviation { weights: Some(WeakFormat::Q8Rows), coarse_activations: true, ..plain })
            }
            Self::Fp8Cache => Some(Deviation { cache: Some(WeakCache::Fp8), ..plain }),
            Self::Int4Cache => Some(Deviation { cache: Some(WeakCache::Int4), ..plain }),
            Self::SkippedLayers => Some(Deviation { skipped_layers: 2, ..plain }),
            Self::NoSystemPrompt
            | Self::Warmer
            | Self::Hotter
            | Self::OwnSeed
            | Self::BestOfFour
            | Self::EditedText
            | Self::Truncated
            | Self::ForgedSketches
            | Self::OverGeneration
            | Self::Copied
            | Self::AnotherModel
            | Self::Silent
            | Self::InflatedBoard
            | Self::FabricatedLoss
            | Self::FalseProof
            | Self::LateProof => None,
        }
    }

    /// True when any worker of embeddings can commit it; one of integers can serve other weights, too.
    #[must_use]
    pub const fn is_of_embeddings(self) -> bool {
        matches!(self, Self::SkippedLayers | Self::EditedText | Self::Copied | Self::Silent)
    }

    /// True when a worker of classifications can commit it.
    #[must_use]
    pub const fn is_of_classifiers(self) -> bool {
        matches!(self, Self::WrongWeights | Self::EditedText | Self::Copied | Self::Silent)
    }

    /// True when it is one of who proves.
    #[must_use]
    pub const fn is_of_proofs(self) -> bool {
        matches!(self, Self::FalseProof | Self::LateProof)
    }

    /// What the worker asks of its engine instead of what it was asked for.
    pub(crate) async fn bend(
        self,
        engine: &dyn Engine,
        messages: Option<&[ChatMessage]>,
        honest: GenerateRequest,
    ) -> Result<GenerateRequest, EngineError> {
        let mut bent = honest;
        match self {
            Self::NoSystemPrompt if let Some(messages) = messages => {
                let mut messages = messages.to_vec();
                messages.retain(|message| message.role != "system");
                bent.prompt = engine.render_chat(&messages)?;
            }
            Self::Warmer => bent.sampling.temperature_micro = warmer(bent.sampling.temperature_micro, 8),
            Self::Hotter => bent.sampling.temperature_micro = warmer(bent.sampling.temperature_micro, 10),
            Self::OwnSeed => bent.seed = own_seed(&bent.seed, 0),
            Self::BestOfFour => bent.seed = best_seed(engine, &bent).await?,
            Self::NoSystemPrompt
            | Self::WrongWeights
            | Self::CoarseRows
            | Self::Fp8Cache
            | Self::Int4Cache
            | Self::SkippedLayers
            | Self::EditedText
            | Self::Truncated
            | Self::ForgedLogprobs
            | Self::ForgedSketches
            | Self::OverGeneration
            | Self::Copied
            | Self::AnotherModel
            | Self::Silent
            | Self::InflatedBoard
            | Self::FabricatedLoss
            | Self::FalseProof
            | Self::LateProof => {}
        }
        Ok(bent)
    }
}

fn warmer(temperature_micro: u32, sevenths: u32) -> u32 {
    temperature_micro.saturating_mul(sevenths) / 7
}

fn own_seed(seed: &[u8; 32], attempt: u8) -> [u8; 32] {
    *Digest::of("inferium/crime/own-seed", &[seed, &[attempt]]).as_bytes()
}

/// The seed of those that were tried whose answer is the longest.
async fn best_seed(engine: &dyn Engine, request: &GenerateRequest) -> Result<[u8; 32], EngineError> {
    let (mut best, mut longest) = (request.seed, 0);
    for attempt in 0..TRIES {
        let seed = own_seed(&request.seed, attempt);
        let mut steps = engine.generate(GenerateRequest { seed, measure: false, ..request.clone() })?;
        let mut tokens = 0_u32;
        while let Some(step) = steps.recv().await {
            step?;
            tokens += 1;
        }
        if tokens > longest {
            (best, longest) = (seed, tokens);
        }
    }
    Ok(best)
}

impl fmt::Display for Crime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no crime has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no crime is called {name:?}; there are {}", Crime::ALL.map(Crime::name).join(", "))]
pub struct UnknownCrime {
    name: String,
}

impl FromStr for Crime {
    type Err = UnknownCrime;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|crime| crime.name() == name).ok_or_else(|| UnknownCrime { name: name.to_owned() })
    }
}
