//! Model profiles: what exactly is served, by hash (SPEC, "Words").

use crate::{
    Amount, AmountOverflow, Calibration, ClassifierReads, Digest, DrawCount, Ppm, ProfileId, ReplayStatistics, Tier,
    Usage, VerificationMode,
    limits::{CLASSES_MAX, EMBEDDING_WIDTH_MAX, NAME_SIZE_MAX},
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
    /// D3: any server behind the worker, which neither draws with the network's seed nor shows its hidden states; verdict by
    /// what its tokens alone say, on one canonical engine (SPEC V9).
    Foreign {
        /// Build of the canonical engine that verifies.
        verifier: Digest,
        /// How far an honest server's arithmetic may be from that engine's.
        bounds: ForeignBounds,
    },
}

/// How far an honest server of a foreign profile may be from the canonical engine (SPEC V9). Set with room to spare, not
/// fitted: nobody knows the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ForeignBounds {
    /// How far the mean of a token's surprisal may be shifted, in millionths of its standard deviation.
    pub drift: Ppm,
    /// How far below the least token that the truncation keeps a token counts as kept, in millionths of a logit.
    pub margin_micro: u32,
    /// Share of positions with a token further below than that.
    pub outside: Ppm,
}

impl ForeignBounds {
    /// Room for other kernels, 8-bit arithmetic and 8-bit caches: a twentieth of a standard deviation, one logit, one position
    /// in a hundred.
    pub const USUAL: Self = Self { drift: Ppm::new(50_000), margin_micro: 1_000_000, outside: Ppm::new(10_000) };

    /// True where they leave honest servers some room, and the bets something to win.
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        let (drift, margin, outside) = (self.drift.get(), self.margin_micro, self.outside.get());
        drift >= 10_000
            && drift <= 200_000
            && margin >= 500_000
            && margin <= 4_000_000
            && outside >= 5_000
            && outside <= 20_000
    }
}

impl EngineClass {
    /// How results of this class are verified (SPEC T2).
    #[must_use]
    pub const fn mode(&self) -> VerificationMode {
        match self {
            Self::Canonical { .. } => VerificationMode::Exact,
            Self::Tolerance { .. } | Self::Foreign { .. } => VerificationMode::Sampled,
        }
    }

    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Canonical { .. } => "canonical",
            Self::Tolerance { .. } => "tolerance",
            Self::Foreign { .. } => "foreign",
        }
    }

    /// The calibration of a class that has one.
    #[must_use]
    pub const fn calibration(&self) -> Option<&Calibration> {
        match self {
            Self::Canonical { .. } | Self::Foreign { .. } => None,
            Self::Tolerance { calibration, .. } => Some(calibration),
        }
    }

    /// True where verdicts go by statistics, and not by equality.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        !matches!(self, Self::Canonical { .. })
    }

    /// True for statistics that replays of this class give: parts that fit together, and none of another class (SPEC V6, V9).
    #[must_use]
    pub fn gives(&self, statistics: &ReplayStatistics) -> bool {
        let ReplayStatistics { surprisal_micro, variance_micro, draws, .. } = *statistics;
        let of_class = match self {
            Self::Canonical { .. } => false,
            Self::Tolerance { .. } => draws == DrawCount::default(),
            Self::Foreign { .. } => {
                let alone = ReplayStatistics { surprisal_micro, variance_micro, draws, ..ReplayStatistics::default() };
                *statistics == alone
            }
        };
        of_class && statistics.is_well_formed()
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
    /// Nothing: the profile of hosts, which run agents ([`ModelProfile::host`], SPEC A2). Its build names the rules of runs.
    Host,
    /// Folds results into boards, without weights ([`ModelProfile::folder`], SPEC L2). Its build names the rules.
    Fold,
    /// Trains, without weights of its own ([`ModelProfile::trainer`], SPEC X3). Its build names the arithmetic.
    Train,
    /// Says of inputs which class they are of, by an integer model (SPEC J12).
    Classify {
        /// What one input is.
        reads: ClassifierReads,
        /// Classes, each with a number in every answer.
        classes: u32,
    },
    /// Proves what a classifier said ([`ModelProfile::prover`], SPEC V10). Its build names the verifier's key.
    Prove,
    /// Says which class inputs are of, by weights that only its workers have, and proves it ([`ModelProfile::private`], SPEC V12). Its build
    /// names the verifier's key.
    ProvePrivate {
        /// For how many proofs the key hides its weights: as many are opened tasks for, in all time.
        openings: u32,
    },
}

/// What the rules of boards fold: a hash over the ids of all suites that come with this software, in the order of their names
/// (`inferium_eval::suites_digest`), so that whoever has another suite has another profile.
const FOLDED_SUITES: &str = "875e8f758d3a0869cb9567681c4f3b7cf97257964a1bb225b7da84c2af322a19";

impl ModelTask {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed { .. } => "embedding",
            Self::Host => "agents",
            Self::Fold => "boards",
            Self::Train => "training",
            Self::Classify { .. } => "classification",
            Self::Prove => "proofs",
            Self::ProvePrivate { .. } => "private classification",
        }
    }

    /// The least tier that serves it, of a kind of task whose least tier is `kind` (SPEC T1).
    #[must_use]
    pub const fn least_tier(self, kind: Tier) -> Tier {
        match self {
            Self::Chat | Self::Host | Self::Fold | Self::Train => kind,
            Self::Embed { .. } | Self::Classify { .. } | Self::Prove | Self::ProvePrivate { .. } => Tier::Low,
        }
    }

    /// The most that a worker is good for that was measured on it: how fast a machine embeds or classifies says
    /// nothing of how fast it answers (SPEC N3). Nothing is measured on the profiles of hosts, of boards, of training and of proofs.
    #[must_use]
    pub const fn most_tier(self) -> Tier {
        match self {
            Self::Chat => Tier::High,
            Self::Embed { .. }
            | Self::Host
            | Self::Fold
            | Self::Train
            | Self::Classify { .. }
            | Self::Prove
            | Self::ProvePrivate { .. } => Tier::Low,
        }
    }

    /// True of what is done on profiles of proofs, in tasks of their own kind (SPEC V10, V12).
    #[must_use]
    pub const fn is_proof(self) -> bool {
        matches!(self, Self::Prove | Self::ProvePrivate { .. })
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

    /// The profile of hosts whose runs follow the rules of this software (SPEC A2): no weights, no tokenizer, nothing drawn.
    #[must_use]
    pub fn host() -> Self {
        Self::of_rules(ModelTask::Host, Digest::of("inferium/run-rules/2", &[]))
    }

    /// The profile of boards that are folded by the rules of this software from its suites (SPEC L2): no weights either.
    #[must_use]
    pub fn folder() -> Self {
        Self::of_rules(ModelTask::Fold, Digest::of("inferium/board-rules/2", &[FOLDED_SUITES.as_bytes()]))
    }

    /// The profile of training by the arithmetic that `build` names, which trainers and judges have in common (SPEC X1, X3): what is
    /// trained on comes with each job.
    #[must_use]
    pub fn trainer(build: Digest) -> Self {
        Self::of_rules(ModelTask::Train, build)
    }

    /// The profile of proofs about one classifier, by the digest of its verifier's key, which binds the model and the version of the proof
    /// (SPEC V10).
    #[must_use]
    pub fn prover(key: Digest) -> Self {
        Self::of_rules(ModelTask::Prove, key)
    }

    /// The profile of a classifier whose weights only its workers have, by the digest of its verifier's key; its name is what clients ask
    /// for, `openings` for how many proofs the key hides its weights (SPEC V12).
    #[must_use]
    pub fn private(name: &str, key: Digest, openings: u32) -> Self {
        Self { name: name.to_owned(), ..Self::of_rules(ModelTask::ProvePrivate { openings }, key) }
    }

    /// How results of this profile are verified (SPEC T2).
    #[must_use]
    pub const fn mode(&self) -> VerificationMode {
        match self.task {
            ModelTask::Prove | ModelTask::ProvePrivate { .. } => VerificationMode::Zk,
            _ => self.engine.mode(),
        }
    }

    /// Of what follows from rules alone, which `build` names.
    fn of_rules(task: ModelTask, build: Digest) -> Self {
        Self {
            name: task.name().to_owned(),
            task,
            weights_root: Digest::ZERO,
            tokenizer_hash: Digest::ZERO,
            template_hash: Digest::ZERO,
            engine: EngineClass::Canonical { build, tier: "any".to_owned() },
            sampler_version: 0,
            eos_tokens: Vec::new(),
        }
    }

    /// True when name, vectors and classes are within their maxima, and a model that gives vectors or classifies is verified by equality:
    /// the statistics of a tolerance profile are those of drawn tokens (SPEC J8, V6). A foreign profile's bounds bind (V9).
    /// Of hosts there is one profile (A2), and of boards (L2): who could declare another would choose who judges on it. Of training there
    /// is one for each arithmetic (X3), as of models for each engine, and of proofs one for each verifier's key (V10), of private weights one
    /// for each key, name and number of openings (V12).
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let fits = match self.task {
            ModelTask::Chat => true,
            ModelTask::Embed { width } => {
                width > 0 && width <= EMBEDDING_WIDTH_MAX && matches!(self.engine, EngineClass::Canonical { .. })
            }
            ModelTask::Classify { reads, classes } => {
                let is_bounded = classes > 0 && classes <= CLASSES_MAX && reads.is_well_formed();
                is_bounded && matches!(self.engine, EngineClass::Canonical { .. })
            }
            ModelTask::Host => *self == Self::host(),
            ModelTask::Fold => *self == Self::folder(),
            ModelTask::Train | ModelTask::Prove => match &self.engine {
                EngineClass::Canonical { build, .. } => *self == Self::of_rules(self.task, *build),
                EngineClass::Tolerance { .. } | EngineClass::Foreign { .. } => false,
            },
            ModelTask::ProvePrivate { openings } => match &self.engine {
                EngineClass::Canonical { build, .. } => {
                    openings > 0 && *self == Self::private(&self.name, *build, openings)
                }
                EngineClass::Tolerance { .. } | EngineClass::Foreign { .. } => false,
            },
        };
        let binds = match &self.engine {
            EngineClass::Foreign { bounds, .. } => bounds.is_well_formed(),
            EngineClass::Canonical { .. } | EngineClass::Tolerance { .. } => true,
        };
        fits && binds && !self.name.is_empty() && self.name.len() <= NAME_SIZE_MAX
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

    /// So much of it, each part rounded up: work that costs something is never free.
    #[must_use]
    pub fn part(&self, share: Ppm) -> Self {
        let rest = Ppm::new(Ppm::ONE.get().saturating_sub(share.get()));
        let part = |price: Amount| price.sub(price.share(rest)).unwrap_or(price);
        Self { prompt_token: part(self.prompt_token), completion_token: part(self.completion_token) }
    }

    /// True when neither price is above `limit`'s.
    #[must_use]
    pub fn within(&self, limit: &Self) -> bool {
        self.prompt_token <= limit.prompt_token && self.completion_token <= limit.completion_token
    }
}
