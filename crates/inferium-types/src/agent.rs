//! Agents: what their creators publish, what a run commits to, and what it may spend (SPEC A).
//!
//! A run is a lease of kind `agent`. Each job of it is a *step*: its request commits to the run, the step before and the
//! run's input, its result to the answer and to the *calls* that were made in it, a Merkle tree of [`RunCall`]s. Of these
//! only the orders to spend are ever shown to the chain; the others are hashes there, for whoever was given the evidence.

use crate::{
    AccountId, AgentId, Amount, Digest, FinishReason, JobId, JobLeaf, JobRequest, JobResult, LeaseId, MerklePath,
    ProfileId, SamplingParams, Usage, leaf_hash,
    limits::{AGENT_NAME_SIZE_MAX, RECIPIENTS_MAX, RUN_STEPS_MAX, RUN_TOKENS_MAX, RUN_TOOL_CALLS_MAX},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Least time of a run; milliseconds.
const RUN_MS_MIN: u64 = 1_000;
/// A day of spending caps; milliseconds of the headers' time.
pub const SPENDING_DAY_MS: u64 = 86_400_000;

/// True for a name that an agent may have: 1 to [`AGENT_NAME_SIZE_MAX`] of `a-z`, `0-9` and `-`, no hyphen at either end
/// (SPEC A1).
#[must_use]
pub fn is_agent_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= AGENT_NAME_SIZE_MAX;
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    fits && name.bytes().all(is_letter) && !name.starts_with('-') && !name.ends_with('-')
}

/// How far a run of an agent may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AgentLimits {
    /// Steps, 1 to [`RUN_STEPS_MAX`]; each is a job of the run's lease.
    pub steps: u32,
    /// Tokens of all its model calls, prompts and answers together; 1 to [`RUN_TOKENS_MAX`].
    pub tokens: u64,
    /// Calls of tools, orders to spend among them; at most [`RUN_TOOL_CALLS_MAX`].
    pub tool_calls: u32,
    /// How long its lease lasts; milliseconds, a second at least.
    pub run_ms: u64,
}

impl AgentLimits {
    /// True within the maxima; what a lease may last at most is a governable parameter.
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        self.steps > 0
            && self.steps <= RUN_STEPS_MAX
            && self.tokens > 0
            && self.tokens <= RUN_TOKENS_MAX
            && self.tool_calls <= RUN_TOOL_CALLS_MAX
            && self.run_ms >= RUN_MS_MIN
    }
}

/// Whom an agent may pay. Another agent is named by its account ([`AgentId::account`]).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Recipients {
    /// Nobody: it can't spend.
    Nobody,
    /// These, ascending; at most [`RECIPIENTS_MAX`].
    Listed(Vec<AccountId>),
    /// Anybody.
    Anybody,
}

impl Recipients {
    /// True when `account` is among them.
    #[must_use]
    pub fn contains(&self, account: &AccountId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Listed(accounts) => accounts.binary_search(account).is_ok(),
            Self::Anybody => true,
        }
    }

    /// True when each of them is one of `other`'s.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        match self {
            Self::Nobody => true,
            Self::Listed(accounts) => accounts.iter().all(|account| other.contains(account)),
            Self::Anybody => *other == Self::Anybody,
        }
    }

    /// Those who are in both.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Anybody, both) | (both, Self::Anybody) => both.clone(),
            (Self::Listed(accounts), Self::Listed(_)) => {
                let both: Vec<AccountId> = accounts.iter().filter(|account| other.contains(account)).copied().collect();
                if both.is_empty() { Self::Nobody } else { Self::Listed(both) }
            }
            (Self::Nobody, _) | (_, Self::Nobody) => Self::Nobody,
        }
    }

    /// True for a list that ascends, is not empty and not too long, so that each set has one form.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        match self {
            Self::Nobody | Self::Anybody => true,
            Self::Listed(accounts) => {
                !accounts.is_empty()
                    && accounts.len() <= RECIPIENTS_MAX
                    && accounts.is_sorted_by(|one, next| one < next)
            }
        }
    }
}

/// What the ledger lets an agent spend (SPEC A3).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SpendingPolicy {
    /// In one run at most.
    pub per_run: Amount,
    /// In all runs of one day of the headers' time at most ([`SPENDING_DAY_MS`]).
    pub per_day: Amount,
    /// To whom.
    pub recipients: Recipients,
    /// When it ends: from this time on nothing is spent; milliseconds.
    pub expires_at_ms: u64,
}

impl SpendingPolicy {
    /// Nothing, to nobody.
    pub const NOTHING: Self =
        Self { per_run: Amount::ZERO, per_day: Amount::ZERO, recipients: Recipients::Nobody, expires_at_ms: 0 };

    /// True when all that it allows `other` allows as well.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.per_run <= other.per_run
            && self.per_day <= other.per_day
            && self.recipients.within(&other.recipients)
            && self.expires_at_ms <= other.expires_at_ms
    }

    /// The widest policy that is within both.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self {
            per_run: self.per_run.min(other.per_run),
            per_day: self.per_day.min(other.per_day),
            recipients: self.recipients.meet(&other.recipients),
            expires_at_ms: self.expires_at_ms.min(other.expires_at_ms),
        }
    }

    /// What it lets one run spend at most.
    #[must_use]
    pub fn run_max(&self) -> Amount {
        if self.recipients == Recipients::Nobody { Amount::ZERO } else { self.per_run.min(self.per_day) }
    }
}

/// What a creator publishes of an agent (SPEC A1).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AgentTerms {
    /// SHA-256 of the manifest, which itself is on no chain.
    pub manifest: Digest,
    /// Profile of the model that it calls.
    pub model: ProfileId,
    /// What a run costs that gives its answer, the fees of its model calls not included.
    pub price: Amount,
    /// How far a run may go.
    pub limits: AgentLimits,
    /// What it may spend.
    pub policy: SpendingPolicy,
}

impl AgentTerms {
    /// What a run is asked for by, so that nobody pays for what it has not seen (SPEC A2): a digest over manifest, model,
    /// price and limits. It is another one when any of these changes, and the same when they are published anew.
    ///
    /// The policy has no part in it: it binds the agent's account, not who asks.
    #[must_use]
    pub fn version_digest(&self) -> Digest {
        Digest::of_value("inferium/agent-version/1", &(self.manifest, self.model, self.price, self.limits))
    }

    /// The first field that is outside of its bounds.
    #[must_use]
    pub fn out_of_bounds(&self) -> Option<&'static str> {
        if self.price.is_zero() {
            return Some("price");
        }
        if !self.limits.is_well_formed() {
            return Some("limits");
        }
        (!self.policy.recipients.is_well_formed()).then_some("recipients")
    }
}

/// What a gateway, or an agent that hires another, asks for (SPEC A2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunTerms {
    /// Which agent.
    pub agent: AgentId,
    /// Its version ([`AgentTerms::version_digest`]); any other one is refused, so that nobody pays for what it has not seen.
    pub version: Digest,
    /// Salted commitment to what the run is given.
    pub input: Digest,
    /// How long it may wait for a host; milliseconds.
    pub open_ms: u64,
}

/// What a run orders the ledger to pay from its agent's account (SPEC A3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SpendOrder {
    /// A payment.
    Pay {
        /// To whom.
        to: AccountId,
        /// How much.
        amount: Amount,
    },
    /// A run of another agent; its price and the host's reservation are locked, and what it does not earn comes back.
    Hire {
        /// Which run.
        run: RunTerms,
    },
}

impl SpendOrder {
    /// Who is paid: of a hired agent its account.
    #[must_use]
    pub fn recipient(&self) -> AccountId {
        match self {
            Self::Pay { to, .. } => *to,
            Self::Hire { run } => run.agent.account(),
        }
    }
}

/// One call that a step made, a leaf of the tree under its result's evidence root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RunCall {
    /// A job that the model did, named [`JobId::of_call`].
    Model {
        /// [`JobLeaf::hash`] of that job.
        leaf: Digest,
    },
    /// A tool.
    Tool {
        /// Salted commitment to name and arguments.
        request: Digest,
        /// Salted commitment to what it returned.
        response: Digest,
    },
    /// An order to spend.
    Spend {
        /// What.
        order: SpendOrder,
    },
}

impl RunCall {
    /// The call's hash in its step's tree.
    #[must_use]
    pub fn hash(&self) -> Digest {
        leaf_hash(&crate::encode(self))
    }
}

/// Cites an order to spend in a settled step of a run (SPEC A3).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AgentSpend {
    /// The run.
    pub run: LeaseId,
    /// Index of the settled segment.
    pub segment: u32,
    /// The step.
    pub step: JobLeaf,
    /// Its path to the segment's root.
    pub step_path: MerklePath,
    /// The order.
    pub order: SpendOrder,
    /// Its path to the step's evidence root; its index is the call's.
    pub call_path: MerklePath,
}

impl AgentSpend {
    /// True when the order is one of the step's calls, and the step one of the run's in a segment of this root.
    #[must_use]
    pub fn proves(&self, root: &Digest) -> bool {
        self.step.request.lease == self.run
            && self.step.is_consistent()
            && self.step_path.root(self.step.hash()) == Some(*root)
            && self.call_path.root(RunCall::Spend { order: self.order }.hash()) == Some(self.step.result.evidence_root)
    }
}

/// The public half of step `index` of a run (SPEC A2): all of it follows from the run.
///
/// `before` is the [`JobLeaf::hash`] of the step before, zero for the first; `input` the run's ([`RunTerms::input`]).
#[must_use]
pub fn step_request(run: LeaseId, index: u32, before: &Digest, input: &Digest) -> JobRequest {
    JobRequest {
        job: JobId::new(Digest::of("inferium/run-step/1", &[run.digest().as_bytes(), &index.to_be_bytes()])),
        lease: run,
        sequence: u64::from(index),
        attempt: 0,
        input_commitment: crate::step_input(run, index, before, input),
        prompt_tokens: 0,
        tokens_max: 1,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    }
}

/// The result of a step: the calls that it made, by hash, and whether it gives the run's answer, which alone is paid.
#[must_use]
pub fn step_result(request: &JobRequest, output_commitment: Digest, calls: &[RunCall], is_answer: bool) -> JobResult {
    let calls: Vec<Digest> = calls.iter().map(RunCall::hash).collect();
    JobResult {
        request: request.digest(),
        output_commitment,
        evidence_root: crate::merkle_root(&calls),
        usage: Usage { prompt_tokens: 0, completion_tokens: u32::from(is_answer) },
        finish: FinishReason::EndOfText,
    }
}
