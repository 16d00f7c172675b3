//! Tasks and offers: what waits in the pool, and who may take it (SPEC T, N2, N3).

use crate::{Price, ProfileId, limits};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a worker's measured hardware is good for (SPEC N3), ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Tier {
    /// Lightweight tasks: embeddings, classification, evaluation items, leaderboard updates.
    Low,
    /// Real-time inference and agents.
    Mid,
    /// Large models and training.
    High,
}

impl Tier {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Mid => "mid",
            Self::High => "high",
        }
    }
}

/// Kinds of task (SPEC T1). [`TaskKind::policy`] says which are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum TaskKind {
    /// Chat and completions.
    Inference,
    /// A worker's capability task, which only the chain opens (SPEC N2).
    Benchmark,
    /// A run of an agent.
    Agent,
    /// Proofs of what a classifier said (SPEC V10).
    Validation,
    /// An interval of a training run.
    Training,
    /// Folding of final evaluations into ranks (SPEC L2).
    Leaderboard,
    /// Inference that nobody waits for.
    Batch,
}

/// What a kind's price is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceUnit {
    /// Tokens of prompts and answers.
    Token,
    /// Items of a suite.
    Item,
    /// Runs of an agent that gave their answer.
    Run,
    /// Intervals between checkpoints, each with the examples that its steps see.
    Interval,
    /// Proofs.
    Proof,
}

/// How a kind of task is treated (SPEC T1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindPolicy {
    /// Its name in words and JSON.
    pub name: &'static str,
    /// True when someone waits for the answer; false when only the deadline counts.
    pub is_real_time: bool,
    /// What its price is counted in.
    pub unit: PriceUnit,
    /// The least tier that may serve it.
    pub tier: Tier,
    /// When it is over at the latest, from its lease on; milliseconds.
    pub deadline_ms: u64,
    /// True when requesters may open it today; a run by [`crate::TransactionBody::OpenRun`].
    pub is_served: bool,
}

impl TaskKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Inference,
        Self::Benchmark,
        Self::Agent,
        Self::Validation,
        Self::Training,
        Self::Leaderboard,
        Self::Batch,
    ];

    /// How tasks of the kind are treated.
    #[must_use]
    pub const fn policy(self) -> KindPolicy {
        const HOUR: u64 = 3_600_000;
        let (name, is_real_time, unit, tier, deadline_ms, is_served) = match self {
            Self::Inference => ("inference", true, PriceUnit::Token, Tier::Mid, 24 * HOUR, true),
            Self::Benchmark => ("benchmark", false, PriceUnit::Token, Tier::Low, HOUR, false),
            Self::Agent => ("agent", true, PriceUnit::Run, Tier::Mid, 24 * HOUR, true),
            Self::Validation => ("validation", false, PriceUnit::Proof, Tier::Mid, 24 * HOUR, true),
            Self::Training => ("training", false, PriceUnit::Interval, Tier::High, 720 * HOUR, true),
            Self::Leaderboard => ("leaderboard", false, PriceUnit::Item, Tier::Low, HOUR, true),
            Self::Batch => ("batch", false, PriceUnit::Token, Tier::Mid, 24 * HOUR, true),
        };
        KindPolicy { name, is_real_time, unit, tier, deadline_ms, is_served }
    }
}

/// How results are verified (SPEC T2): `Exact` and `Sampled` follow from the profile's class, `Zk` is that of profiles of proofs; `Replicated` is not served yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum VerificationMode {
    /// Replay and compare digests for equality.
    Exact,
    /// Replay within tolerances.
    Sampled,
    /// Several workers, one result.
    Replicated,
    /// A proof for every job.
    Zk,
}

impl VerificationMode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Sampled, Self::Replicated, Self::Zk];

    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Sampled => "sampled",
            Self::Replicated => "replicated",
            Self::Zk => "zk",
        }
    }

    /// True when requesters may ask for it today.
    #[must_use]
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Exact | Self::Sampled | Self::Zk)
    }
}

/// A worker's standing offer for one profile (SPEC T4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OfferTerms {
    /// Jobs at a time; 0 withdraws the offer.
    pub slots: u32,
    /// Price asked.
    pub price: Price,
    /// Context that it can really hold, measured; tokens.
    pub context_tokens: u32,
    /// Whether it takes batches too, for their part of the price (SPEC M4).
    pub batches: bool,
}

/// What a requester wants (SPEC T).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TaskTerms {
    /// Kind.
    pub kind: TaskKind,
    /// Verification.
    pub mode: VerificationMode,
    /// Tier of the worker: at least the kind's.
    pub tier: Tier,
    /// Model profile.
    pub profile: ProfileId,
    /// Price at most.
    pub price_max: Price,
    /// Jobs at most.
    pub jobs_max: u32,
    /// Tokens at most, prompts and answers together.
    pub tokens_max: u64,
    /// Slots of the worker that the lease takes.
    pub slots: u32,
    /// Context that jobs may need; tokens.
    pub context_tokens: u32,
    /// How long the task may wait for a worker; milliseconds.
    pub open_ms: u64,
    /// How long the lease lasts; milliseconds.
    pub lease_ms: u64,
}

/// A graphics card or other accelerator, as its driver reports it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Accelerator {
    /// Its name.
    pub name: String,
    /// Its memory; MiB.
    pub memory_mib: u64,
}

/// What a worker says of its machine (SPEC N2). Nothing follows from it but the highest tier it
/// asks for: what counts is measured.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CapabilityReport {
    /// The highest tier it wants, whatever it measures.
    pub tier: Tier,
    /// The processor's name.
    pub cpu: String,
    /// Instruction sets that matter to inference.
    pub features: Vec<String>,
    /// Cores that it may use.
    pub cores: u32,
    /// Memory; MiB.
    pub memory_mib: u64,
    /// Accelerators.
    pub accelerators: Vec<Accelerator>,
}

impl CapabilityReport {
    /// True when every list and text is within [`limits`].
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let fits = |text: &String| text.len() <= limits::NAME_SIZE_MAX;
        fits(&self.cpu)
            && self.features.len() <= limits::REPORT_ITEMS_MAX
            && self.features.iter().all(fits)
            && self.accelerators.len() <= limits::REPORT_ITEMS_MAX
            && self.accelerators.iter().all(|card| fits(&card.name))
    }
}
