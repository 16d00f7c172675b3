//! What the state is made of.

mod agent;
mod ballot;
mod challenge;
mod conduct;
mod opening;

pub use agent::{Agent, AgentEarnings, Run, Widening};
pub use ballot::{Ballot, Member, Phase};
pub use challenge::{Challenge, ShownRun, ShownSpan, Turn};
pub use conduct::Conduct;
pub use opening::{Opening, OwedOrder, Planted};

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    AccountId, Amount, CapabilityReport, ChainId, Digest, EngineClass, JobId, JobTotals, LeaseEnd, ModelProfile,
    NodeId, NodeRole, OfferTerms, Parameters, Ppm, Price, ProfileId, ProposalOutcome, ProposalTerms, SegmentId,
    SegmentTerms, SlashRule, TaskId, TaskKind, TaskTerms, Tier, VerificationMode, VoteTally,
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
    /// Of them, overturned (SPEC S4).
    pub slashes_overturned: u64,
    /// What the reward pool began with, and when: what emission is scheduled by (SPEC M6).
    pub emission_from: (Amount, u64),
    /// Own and delegated stake of all nodes.
    pub bonded: Amount,
    /// Withdrawals so far: names the next one.
    pub unbondings: u64,
    /// Proposals so far: names the next one.
    pub proposals: u64,
    /// Spent from the treasury by votes: the epoch, and how much in it (SPEC G1).
    pub spent: (u64, Amount),
    /// Epoch of the last removal of a validator by a vote (SPEC G1).
    pub removed_epoch: Option<u64>,
    /// Version of the protocol in force.
    pub protocol: u32,
    /// The next one, and the height from which it is in force.
    pub upgrade: Option<(u64, u32)>,
    /// Measured workers by tier: Low, Mid, High.
    pub tiers: [u32; 3],
    /// Measured workers by the binary logarithm of their score (SPEC R2).
    pub speeds: [u32; 32],
}

impl Meta {
    /// When a window of `window_ms` that was open when the chain stood still last ends at the
    /// earliest: it begins anew (SPEC C3); milliseconds.
    pub(crate) const fn renewed_ms(&self, window_ms: u64) -> u64 {
        self.resumed_at_ms.saturating_add(window_ms)
    }
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

/// Stake of several owners: each holds shares of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Pool {
    /// What there is.
    pub tokens: Amount,
    /// In how many shares.
    pub shares: u128,
}

/// Stake that was added lately, by epoch: it has no vote on what was proposed before (SPEC G2).
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Fresh(pub Vec<(u64, u128)>);

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
    /// True for ever (SPEC S3), unless an appeal is won.
    pub disqualified: bool,
    /// True once a vote took its seat (SPEC G1).
    pub removed: bool,
    /// Delegated to it; a validator's only (SPEC M7).
    pub delegated: Pool,
    /// On its way back to its owners, and slashable until then.
    pub unbonding: Pool,
    /// What it keeps of its delegators' rewards.
    pub commission: Ppm,
    /// The epoch in which that changed last, and what it was before.
    pub commission_before: (u64, Ppm),
    /// Its slashes that are still held.
    pub holds: u32,
    /// Own stake added lately.
    pub fresh: Fresh,
    /// Shares of `delegated` added lately.
    pub fresh_shares: Fresh,
}

impl Node {
    /// A node that has just registered.
    #[must_use]
    pub const fn new(role: NodeRole, operator: AccountId, stake: Amount) -> Self {
        const NONE: Pool = Pool { tokens: Amount::ZERO, shares: 0 };
        Self {
            role,
            operator,
            stake,
            active_from_epoch: 0,
            beacon_from_view: 0,
            faults_ms: Vec::new(),
            unsettled: Amount::ZERO,
            disqualified: false,
            removed: false,
            delegated: NONE,
            unbonding: NONE,
            commission: Ppm::new(0),
            commission_before: (0, Ppm::new(0)),
            holds: 0,
            fresh: Fresh(Vec::new()),
            fresh_shares: Fresh(Vec::new()),
        }
    }
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
    /// Where it stands.
    pub listing: Listing,
    /// Slashes about it: the epoch, and how much in it (SPEC S5).
    pub slashed: (u64, Amount),
    /// Draws for its tasks that workers of each tier took part in (SPEC T5): Low, Mid, High.
    pub draws: [u64; 3],
    /// Of private weights, for how many proofs leases began (SPEC V12).
    pub openings_spent: u32,
}

/// Whether tasks of a profile may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Listing {
    /// Yes, once enough operators declared it (SPEC N4).
    Declared,
    /// Yes, by a vote; declarations are needed all the same.
    Approved,
    /// No, until a vote: its slashes took too much at once (SPEC S5).
    Paused,
    /// No, by a vote.
    Delisted,
}

impl Profile {
    /// How results are compared.
    #[must_use]
    pub const fn engine(&self) -> &EngineClass {
        &self.profile.engine
    }

    /// How results of the profile are verified (SPEC T2).
    #[must_use]
    pub const fn mode(&self) -> VerificationMode {
        self.profile.mode()
    }
}

/// A worker's standing offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// What it offers.
    pub terms: OfferTerms,
    /// Slots that leases hold.
    pub slots_used: u32,
    /// Draws of its tier when it was served last, or began to wait: those since then passed it over
    /// (SPEC T5).
    pub waits_from: u64,
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
    /// True once a segment of it was wrong, or came without evidence.
    pub spoiled: bool,
    /// When it began: height.
    pub granted_height: u64,
    /// When it began; milliseconds.
    pub granted_ms: u64,
    /// Height of its last segment, or of its beginning.
    pub segment_height: u64,
    /// When it ends; milliseconds.
    pub expires_at_ms: u64,
    /// State.
    pub state: LeaseState,
}

/// Who judges a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Stage {
    /// The committee that the beacon drew (SPEC V1).
    Committee,
    /// Everyone eligible, after a doubt (SPEC V3).
    Widened,
    /// The larger committee of a dispute (SPEC V4).
    Court,
    /// Everyone eligible, after a court without a decision.
    FullCourt,
}

/// How a committee came to approve.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Approval {
    /// Who approved, ascending.
    pub approvers: Vec<NodeId>,
    /// Drew the jobs that they replayed.
    pub seed: Digest,
    /// Share of jobs they replayed.
    pub replayed: Ppm,
    /// Members that were outvoted, ascending, and the job that each found wrong: who may challenge it (SPEC V11).
    pub rejections: Vec<(NodeId, u32)>,
}

impl Approval {
    /// Who attested, by approving, a replay of this job: nobody of one that was not drawn (SPEC V2).
    pub(crate) fn attested(&self, segment: SegmentId, job: u32) -> &[NodeId] {
        if segment.draws_job(&self.seed, job, self.replayed) { &self.approvers } else { &[] }
    }
}

/// A doubt about an approved segment (SPEC V4).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Dispute {
    /// Who doubts.
    pub challenger: NodeId,
    /// Locked.
    pub bond: Amount,
    /// What it doubts.
    pub approval: Approval,
    /// When it was to be paid; milliseconds.
    pub settles_at_ms: u64,
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
        /// How far it went.
        stage: Stage,
        /// What members may do now.
        phase: Phase,
        /// Draws the jobs to replay.
        seed: Digest,
        /// Share of jobs to replay.
        replay: Ppm,
        /// When the phase ends; milliseconds.
        due_at_ms: u64,
        /// Height before which nothing is overdue.
        due_at_height: u64,
    },
    /// Approved; waits for the end of its challenge window.
    Final {
        /// By whom, and how.
        approval: Approval,
        /// When it is paid; milliseconds.
        settles_at_ms: u64,
        /// Until when its pay waits beyond that, once it does: its worker is suspect (SPEC V7); milliseconds.
        held_until_ms: Option<u64>,
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
    /// Fee in all, locked in the lease; once a planted job is known, without it.
    pub fee: Amount,
    /// Kind of the lease's task.
    pub kind: TaskKind,
    /// From the lease's beginning to the commitment; milliseconds.
    pub elapsed_ms: u64,
    /// Tokens that its judges may have to replay, by which their window is sized: those of its jobs, or of a run all that its
    /// model calls may have.
    pub replay_tokens: u64,
    /// The open dispute about it.
    pub dispute: Option<Dispute>,
    /// True once it was disputed: that is possible once.
    pub disputed: bool,
    /// What its worker was ordered to plant, as far as the chain knows.
    pub opening: Opening,
    /// State.
    pub state: SegmentState,
}

impl Segment {
    /// When its members must be bound, or have shown their votes; milliseconds. `None` when no vote
    /// can come.
    ///
    /// The first window is longer for more tokens; both begin anew when the chain stood still
    /// (SPEC C3).
    #[must_use]
    pub const fn verdict_due_ms(&self, meta: &Meta) -> Option<u64> {
        let SegmentState::Judging { due_at_ms, phase, .. } = self.state else { return None };
        let renewed_ms = meta.renewed_ms(match phase {
            Phase::Committing => self.verdict_window_ms(&meta.parameters),
            Phase::Revealing => meta.parameters.reveal_ms,
            Phase::Closed => return None,
        });
        Some(if due_at_ms > renewed_ms { due_at_ms } else { renewed_ms })
    }

    /// Jobs and tokens that a client asked for, as far as the chain knows.
    #[must_use]
    pub fn clients_totals(&self) -> JobTotals {
        let mut totals = self.terms.totals;
        if let Some(planted) = self.opening.planted() {
            totals.jobs = totals.jobs.saturating_sub(1);
            totals.prompt_tokens = totals.prompt_tokens.saturating_sub(planted.usage.prompt_tokens.into());
            totals.completion_tokens = totals.completion_tokens.saturating_sub(planted.usage.completion_tokens.into());
        }
        totals
    }

    /// Time for its members to be bound; milliseconds.
    pub(crate) const fn verdict_window_ms(&self, parameters: &Parameters) -> u64 {
        parameters.verdict_ms.saturating_add(self.replay_tokens.saturating_mul(parameters.verdict_token_ms))
    }

    /// True when verdicts about it count for emission: not about steps that nobody pays for (SPEC A4).
    pub(crate) const fn counts_duties(&self) -> bool {
        !matches!(self.kind, TaskKind::Agent) || !self.fee.is_zero()
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
    /// The job it is about, where the chain knows it.
    pub job: Option<JobId>,
    /// Own stake that it took.
    pub own: Amount,
    /// What it took from delegators.
    pub delegated: Amount,
    /// What it took from stake on its way back.
    pub unbonding: Amount,
    /// True when it barred node and operator: an overturned one lifts that.
    pub disqualified: bool,
    /// Who proved it; they share its finder's part.
    pub provers: Vec<NodeId>,
    /// Who was harmed.
    pub harmed: Option<AccountId>,
    /// By how much at most: they get no more of it.
    pub harm: Amount,
    /// When it was taken; milliseconds.
    pub taken_at_ms: u64,
    /// When it is released; milliseconds.
    pub releases_at_ms: u64,
}

impl Hold {
    /// All that it took. Parts of the supply can't overflow.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        let some = self.own.nano().saturating_add(self.delegated.nano());
        Amount::from_nano(some.saturating_add(self.unbonding.nano()))
    }
}

/// A worker's record with one profile (SPEC R1), in millionths, so that what time takes away
/// bit by bit is not rounded away at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// Jobs settled since the last fault, less what time took away.
    pub jobs_micro: u64,
    /// Their tokens.
    pub tokens_micro: u64,
    /// Segments and leases failed, less what time took away.
    pub failures_micro: u64,
    /// When it was last brought up to date; milliseconds.
    pub updated_ms: u64,
}

impl Record {
    /// Jobs, to the nearest.
    #[must_use]
    pub const fn jobs(&self) -> u64 {
        nearest(self.jobs_micro)
    }

    /// Tokens, to the nearest.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        nearest(self.tokens_micro)
    }

    /// Failures, to the nearest.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        nearest(self.failures_micro)
    }
}

const fn nearest(micro: u64) -> u64 {
    match micro.saturating_add(500_000).checked_div(1_000_000) {
        Some(whole) => whole,
        None => 0,
    }
}

/// Stake that one account delegated to one validator (SPEC M7).
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Delegation {
    /// Shares of the validator's pool.
    pub shares: u128,
    /// Of them, added lately.
    pub fresh: Fresh,
}

/// Stake on its way back to its owner (SPEC M7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Unbonding {
    /// From which node.
    pub node: NodeId,
    /// To whom.
    pub account: AccountId,
    /// Shares of the node's unbonding pool.
    pub shares: u128,
    /// When it is paid; milliseconds.
    pub matures_at_ms: u64,
    /// True once it waited for slashes that were held when it was due.
    pub waited: bool,
}

/// What a node did in an epoch, for its emission (SPEC M6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct EpochWork {
    /// A worker's settled fees.
    pub fees: Amount,
    /// Fees in nano-IFR by priority in parts per million.
    pub weight: u128,
    /// A validator's verdicts that agreed with the outcome.
    pub duties: u64,
}

/// What an epoch that is over emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochReward {
    /// For all workers at most.
    pub workers: Amount,
    /// For all validators at most.
    pub validators: Amount,
    /// Sum of the workers' weights.
    pub weight: u128,
    /// Sum of the validators' duties.
    pub duties: u64,
}

/// What a worker's machine measured (SPEC N2).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Capability {
    /// What the worker says of it.
    pub report: CapabilityReport,
    /// Profile that it was measured with.
    pub profile: ProfileId,
    /// Its last capability task.
    pub lease: Option<inferium_types::LeaseId>,
    /// Work units a second; 0 before it was measured.
    pub score: u64,
    /// The tier that it may serve; `None` while it is not measured.
    pub tier: Option<Tier>,
    /// When it was measured last; milliseconds.
    pub measured_at_ms: u64,
    /// When it loses its tier unless it is measured again; milliseconds.
    pub call_due_ms: Option<u64>,
    /// When the next draw decides whether it is called; milliseconds.
    pub draw_at_ms: u64,
}

/// Where a proposal stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposalState {
    /// Votes are taken.
    Voting {
        /// Until when; milliseconds.
        closes_at_ms: u64,
    },
    /// Votes are counted, some in each block (SPEC C9).
    Counting {
        /// The last account counted.
        after: Option<AccountId>,
        /// The sums so far.
        tally: VoteTally,
        /// Validators' votes, and what their delegators have not voted themselves; ascending.
        validators: Vec<(NodeId, Option<inferium_types::VoteChoice>, Amount)>,
        /// When counting goes on; milliseconds.
        at_ms: u64,
    },
    /// Passed; waits for its timelock.
    Passed {
        /// The votes.
        tally: VoteTally,
        /// When it executes itself; milliseconds.
        executes_at_ms: u64,
    },
    /// Over; kept for readers for a while.
    Ended {
        /// How.
        outcome: ProposalOutcome,
        /// The votes.
        tally: VoteTally,
        /// Until when it is kept; milliseconds.
        until_ms: u64,
    },
}

/// Something put to the vote (SPEC G).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// What.
    pub terms: ProposalTerms,
    /// By whom.
    pub proposer: AccountId,
    /// Locked until it ends.
    pub deposit: Amount,
    /// Stake that was bonded in this epoch votes.
    pub snapshot_epoch: u64,
    /// Where it stands.
    pub state: ProposalState,
}
