//! Model profiles: what exactly is served, by hash (SPEC, "Words").

use crate::{
    Amount, AmountOverflow, Calibration, Digest, ProfileId, Tier, Usage, VerificationMode,
    limits::{EMBEDDING_WIDTH_MAX, NAME_SIZE_MAX},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// How far two runs of an engine agree, and so how a verdict is found.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EngineClass {
    /// D1: replay gives the same bits for one engine build and kernel tier; verdict by equality.
    Canonical {
        /// Digest of the engine's source and of the versions that matter.
        build: Digest,
        /// Instruction-set tier of the kernels.
        tier: String,
    },
    /// D2: engines of this class agree within a tolerance; verdict by statistics of a replay on one canonical engine, so
    /// that verifiers agree bit by bit on what they measure (SPEC V6).
    Tolerance {
        /// Build of the canonical engine that verifies.
        verifier: Digest,
        /// What an honest worker shows at most.
        calibration: Calibration,
    },
}

impl EngineClass {
    /// How results of this class are verified (SPEC T2).
    #[must_use]
    pub const fn mode(&self) -> VerificationMode {
        match self {
            Self::Canonical { .. } => VerificationMode::Exact,
            Self::Tolerance { .. } => VerificationMode::Sampled,
        }
    }

    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Canonical { .. } => "canonical",
            Self::Tolerance { .. } => "tolerance",
        }
    }

    /// The calibration of a class that has one.
    #[must_use]
    pub const fn calibration(&self) -> Option<&Calibration> {
        match self {
            Self::Canonical { .. } => None,
            Self::Tolerance { calibration, .. } => Some(calibration),
        }
    }
}

/// What a model does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ModelTask {
    /// Answers conversations.
    Chat,
    /// Gives texts vectors (SPEC J8).
    Embed {
        /// Values of a vector.
        width: u32,
    },
}

impl ModelTask {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed { .. } => "embedding",
        }
    }

    /// The least tier that serves it, of a kind of task whose least tier is `kind` (SPEC T1).
    #[must_use]
    pub const fn least_tier(self, kind: Tier) -> Tier {
        match self {
            Self::Chat => kind,
            Self::Embed { .. } => Tier::Low,
        }
    }

    /// The most that a worker is good for that was measured on it: how fast a machine embeds says
    /// nothing of how fast it answers (SPEC N3).
    #[must_use]
    pub const fn most_tier(self) -> Tier {
        match self {
            Self::Chat => Tier::High,
            Self::Embed { .. } => Tier::Low,
        }
    }
}

/// Weights, tokenizer, template and engine class, pinned by hash.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModelProfile {
    /// Name that clients ask for.
    pub name: String,
    /// What it does.
    pub task: ModelTask,
    /// Root over the served tensors.
    pub weights_root: Digest,
    /// Digest of the tokenizer.
    pub tokenizer_hash: Digest,
    /// Digest of the chat template; zero for a model that has no use for one.
    pub template_hash: Digest,
    /// How results are compared.
    pub engine: EngineClass,
    /// Version of the canonical sampler; 0 for a model that draws nothing.
    pub sampler_version: u16,
    /// Tokens that end an answer; none of a model that gives vectors.
    pub eos_tokens: Vec<u32>,
}

impl ModelProfile {
    /// The profile's id.
    #[must_use]
    pub fn id(&self) -> ProfileId {
        ProfileId::new(Digest::of_value("inferium/profile/1", self))
    }

    /// True when name and vectors are within their maxima, and a model that gives vectors is verified by equality:
    /// the statistics of a tolerance profile are those of drawn tokens (SPEC J8, V6).
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        let fits = match self.task {
            ModelTask::Chat => true,
            ModelTask::Embed { width } => {
                width > 0 && width <= EMBEDDING_WIDTH_MAX && matches!(self.engine, EngineClass::Canonical { .. })
            }
        };
        fits && !self.name.is_empty() && self.name.len() <= NAME_SIZE_MAX
    }
}

/// What tokens cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Price {
    /// For one token of the prompt.
    pub prompt_token: Amount,
    /// For one token of the answer.
    pub completion_token: Amount,
}

impl Price {
    /// The fee for `usage`.
    ///
    /// # Errors
    /// [`AmountOverflow`].
    pub fn fee(&self, usage: &Usage) -> Result<Amount, AmountOverflow> {
        self.prompt_token
            .times(u64::from(usage.prompt_tokens))?
            .add(self.completion_token.times(u64::from(usage.completion_tokens))?)
    }

    /// True when neither price is above `limit`'s.
    #[must_use]
    pub fn within(&self, limit: &Self) -> bool {
        self.prompt_token <= limit.prompt_token && self.completion_token <= limit.completion_token
    }
}
