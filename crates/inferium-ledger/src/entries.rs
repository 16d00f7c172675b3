//! What the state is made of.

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    AccountId, Amount, ChainId, Digest, EngineClass, JobId, LeaseEnd, ModelProfile, NodeId, NodeRole, OfferTerms,
    Parameters, Ppm, Price, ProfileId, SegmentId, SegmentTerms, SlashRule, TaskId, TaskTerms, VerdictVote,
};

/// The one entry that every block changes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Meta {
    /// The chain.
    pub chain: ChainId,
    /// Blocks so far.
    pub height: u64,
    /// View of the last block.
    pub view: u64,
    /// Its time; milliseconds.
    pub timestamp_ms: u64,
    /// Time of the last block that came after a pause (SPEC C3); milliseconds.
    pub resumed_at_ms: u64,
    /// Parameters in force.
    pub parameters: Parameters,
    /// Ledger epoch (SPEC C5).
    pub epoch: u64,
    /// When it began; milliseconds.
    pub epoch_started_ms: u64,
    /// The newest seed's value.
    pub beacon: Digest,
    /// View of that seed.
    pub beacon_view: u64,
    /// Where matching goes on after a block whose budget did not reach all open tasks (SPEC C9).
    pub match_from: Option<QueuePlace>,
    /// Not yet emitted.
    pub reward_pool: Amount,
    /// The community's.
    pub treasury: Amount,
    /// To be shared among validators when the epoch ends.
    pub validator_pool: Amount,
    /// Gone.
    pub burned: Amount,
    /// Slashes so far: names the next hold.
    pub slashes: u64,
}

/// A place in the queue of open tasks: one that a task has, or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QueuePlace {
    /// Profile of the task.
    pub profile: ProfileId,
    /// What it ranks by within the profile.
    pub price: Amount,
    /// Height and position of the transaction that opened it.
    pub opened: (u64, u32),
    /// The task.
    pub task: TaskId,
}

/// Money and nonce of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Free money.
    pub balance: Amount,
    /// Transactions so far.
    pub nonce: u64,
}

/// A bonded key that answers for nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Operator {
    /// Locked.
    pub bond: Amount,
    /// True for ever once a node of its was disqualified (SPEC S3).
    pub barred: bool,
}

/// A worker, validator or gateway.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Node {
    /// Role, with its URL or VRF key.
    pub role: NodeRole,
    /// Who answers for it.
    pub operator: AccountId,
    /// At stake.
    pub stake: Amount,
    /// First epoch in which it may work (again).
    pub active_from_epoch: u64,
    /// View of the first seed that may give it work: nobody knew it when the node was registered
    /// (SPEC N1).
    pub beacon_from_view: u64,
    /// Times of its upheld faults, the last three; milliseconds.
    pub faults_ms: Vec<u64>,
    /// Fees of its segments that are final but not settled.
    pub unsettled: Amount,
    /// True for ever (SPEC S3).
    pub disqualified: bool,
}

impl Node {
    /// True for a worker.
    #[must_use]
    pub const fn is_worker(&self) -> bool {
        matches!(self.role, NodeRole::Worker { .. })
    }

    /// True for a validator.
    #[must_use]
    pub const fn is_validator(&self) -> bool {
        matches!(self.role, NodeRole::Validator { .. })
    }

    /// True for a gateway.
    #[must_use]
    pub const fn is_gateway(&self) -> bool {
        matches!(self.role, NodeRole::Gateway { .. })
    }

    /// True when it may work in `epoch`.
    #[must_use]
    pub const fn is_active(&self, epoch: u64) -> bool {
        !self.disqualified && self.active_from_epoch <= epoch
    }
}

/// A model profile and who can replay it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Profile {
    /// The profile.
    pub profile: ModelProfile,
    /// Validators that declared it, ascending.
    pub validators: Vec<NodeId>,
}

impl Profile {
    /// How results are compared.
    #[must_use]
    pub const fn engine(&self) -> &EngineClass {
        &self.profile.engine
    }
}

/// A worker's standing offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// What it offers.
    pub terms: OfferTerms,
    /// Slots that leases hold.
    pub slots_used: u32,
    /// Draws in a row that passed it over (SPEC T5).
    pub passed_over: u32,
}

impl Offer {
    /// Slots that no lease holds.
    #[must_use]
    pub const fn slots_free(&self) -> u32 {
        self.terms.slots.saturating_sub(self.slots_used)
    }
}

/// A task that waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Task {
    /// Who pays: a gateway.
    pub requester: NodeId,
    /// Terms.
    pub terms: TaskTerms,
    /// Locked for it.
    pub escrow: Amount,
    /// When it was opened: height, and position among the block's transactions.
    pub opened: (u64, u32),
    /// When it expires; milliseconds.
    pub expires_at_ms: u64,
}

/// State of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LeaseState {
    /// Takes jobs.
    Active,
    /// Takes no new jobs; commits what it had.
    Draining {
        /// Why it ended.
        end: LeaseEnd,
        /// When it is closed at the earliest; milliseconds.
        until_ms: u64,
        /// When it takes its last segment; milliseconds.
        commits_until_ms: u64,
    },
}

/// A task assigned to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lease {
    /// The task it came from.
    pub task: TaskId,
    /// Who executes.
    pub worker: NodeId,
    /// Who asks and pays.
    pub gateway: NodeId,
    /// Terms.
    pub terms: TaskTerms,
    /// Price agreed.
    pub price: Price,
    /// Seeds the worker's VRF (SPEC J7).
    pub beacon: Digest,
    /// What is left of the lock, segments' fees included until they are settled or returned.
    pub escrow: Amount,
    /// Fees of segments under way.
    pub reserved: Amount,
    /// Jobs committed.
    pub jobs: u32,
    /// Tokens committed.
    pub tokens: u64,
    /// Segments committed.
    pub segments: u32,
    /// Segments not yet settled or rejected.
    pub segments_pending: u32,
    /// When it began: height.
    pub granted_height: u64,
    /// Height of its last segment, or of its beginning.
    pub segment_height: u64,
    /// When it ends; milliseconds.
    pub expires_at_ms: u64,
    /// State.
    pub state: LeaseState,
}

/// A committee member and its vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Who.
    pub validator: NodeId,
    /// Its judgement, once given.
    pub vote: Option<VerdictVote>,
}

/// State of a segment.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SegmentState {
    /// Bound to the beacon; its committee is drawn when the view's seed is known (SPEC C4).
    AwaitingSeed {
        /// The view.
        view: u64,
        /// When it is given up; milliseconds.
        until_ms: u64,
    },
    /// Before its committee.
    Judging {
        /// Members, ascending.
        members: Vec<Member>,
        /// True once every eligible validator was drawn.
        widened: bool,
        /// Draws the jobs to replay.
        seed: Digest,
        /// Share of jobs to replay.
        replay: Ppm,
        /// When verdicts are due; milliseconds.
        due_at_ms: u64,
        /// Height before which nothing is overdue.
        due_at_height: u64,
    },
    /// Approved; waits for the end of its challenge window.
    Final {
        /// Who approved, ascending.
        approvers: Vec<NodeId>,
        /// Share of jobs they replayed.
        replayed: Ppm,
        /// When it is paid; milliseconds.
        settles_at_ms: u64,
    },
}

/// A committed batch of jobs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Segment {
    /// As both sides signed it.
    pub terms: SegmentTerms,
    /// Who executed.
    pub worker: NodeId,
    /// Who asked.
    pub gateway: NodeId,
    /// Model profile.
    pub profile: ProfileId,
    /// Price.
    pub price: Price,
    /// Fee in all, locked in the lease.
    pub fee: Amount,
    /// State.
    pub state: SegmentState,
}

impl Segment {
    /// When its verdicts are due; milliseconds. `None` before the draw and after the decision.
    ///
    /// The window is longer for more tokens, and begins anew when the chain stood still (SPEC C3).
    #[must_use]
    pub const fn verdict_due_ms(&self, meta: &Meta) -> Option<u64> {
        let SegmentState::Judging { due_at_ms, .. } = self.state else { return None };
        let renewed_ms = meta.resumed_at_ms.saturating_add(self.verdict_window_ms(&meta.parameters));
        Some(if due_at_ms > renewed_ms { due_at_ms } else { renewed_ms })
    }

    /// Time for its verdicts; milliseconds.
    pub(crate) const fn verdict_window_ms(&self, parameters: &Parameters) -> u64 {
        let totals = &self.terms.totals;
        let tokens = totals.prompt_tokens.saturating_add(totals.completion_tokens);
        parameters.verdict_ms.saturating_add(tokens.saturating_mul(parameters.verdict_token_ms))
    }
}

/// State of a stall claim.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum StallState {
    /// Relays are drawn when the view's seed is known.
    AwaitingSeed {
        /// The view.
        view: u64,
        /// When it lapses; milliseconds.
        until_ms: u64,
    },
    /// Relays wait for the payload.
    Relaying {
        /// Who, ascending, and who certified.
        relays: Vec<(NodeId, bool)>,
        /// When it lapses; milliseconds.
        until_ms: u64,
    },
    /// The worker's time runs.
    Certified {
        /// When the answer is due; milliseconds.
        due_at_ms: u64,
        /// Height before which nothing is overdue.
        due_at_height: u64,
    },
}

/// A claim that a request got no answer (SPEC T6).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stall {
    /// The lease.
    pub lease: inferium_types::LeaseId,
    /// The worker.
    pub worker: NodeId,
    /// The gateway.
    pub gateway: NodeId,
    /// The request's digest.
    pub request: Digest,
    /// Tokens of its prompt and answer at most.
    pub tokens: u64,
    /// The job.
    pub job: JobId,
    /// State.
    pub state: StallState,
}

impl Stall {
    /// Time for its answer; milliseconds.
    pub(crate) const fn answer_window_ms(&self, parameters: &Parameters) -> u64 {
        parameters.stall_answer_ms.saturating_add(self.tokens.saturating_mul(parameters.stall_token_ms))
    }
}

/// Slashed stake that waits for its end (SPEC S2).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hold {
    /// Whose it was.
    pub node: NodeId,
    /// Why it was taken.
    pub rule: SlashRule,
    /// The segment it is about.
    pub segment: Option<SegmentId>,
    /// How much.
    pub amount: Amount,
    /// Who proved it; they share its finder's part.
    pub provers: Vec<NodeId>,
    /// Who was harmed.
    pub harmed: Option<AccountId>,
    /// When it is released; milliseconds.
    pub releases_at_ms: u64,
}

/// A worker's record with one profile (SPEC R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// Jobs settled since the last fault.
    pub jobs: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Segments and leases failed, in all.
    pub failures: u64,
}
