//! What a block decided: the leaves under its receipts root.
//!
//! A light client that holds a certified header checks a block's events against the header's
//! `receipts_root` and so learns everything it must act on, without state and without trust.

use crate::{
    AccountId, AgentId, Amount, ChallengeEnd, Digest, ForcedKind, JobFault, JobId, JobTotals, LeaseId, NodeId,
    NodeRole, Ppm, Price, ProfileId, ProposalOutcome, SegmentId, StallId, Suspicion, TaskId, TaskTerms, Tier,
    TraceAsked, TraceShown, TransactionId, VerdictVote, VoteChoice, VoteTally, leaf_hash,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LeaseEnd {
    /// Jobs or tokens are used up.
    Exhausted,
    /// Its time is over.
    Expired,
    /// The gateway closed it.
    ClosedByGateway,
    /// The worker closed it.
    ClosedByWorker,
    /// The worker was found at fault.
    Fault,
    /// There was no decision about a segment of a run, which ends by that (SPEC A2).
    Undecided,
}

/// Why a segment was not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RejectReason {
    /// The full committee found it wrong.
    ProvenWrong {
        /// Position of the job.
        job: u32,
        /// Which check.
        fault: JobFault,
    },
    /// No decision by the deadline: refund, no slash (SPEC T3).
    Unresolved,
    /// The worker gave no evidence (SPEC V2).
    Unavailable,
    /// The worker did not say in time what its VRF had ordered (SPEC V5).
    Unopened,
    /// What replays measured of its worker is no honest work of this profile (SPEC V7).
    Statistics,
    /// Another segment of its run was rejected (SPEC A2).
    RunOver,
}

/// A rule of the slashing table (SPEC S).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum SlashRule {
    /// A certified request got no result in time.
    DeadlineMissed,
    /// A result was proven wrong.
    WrongResult,
    /// Two results over one request.
    ConflictingResults,
    /// A verdict approved what was proven wrong.
    WrongApproval,
    /// A verdict rejected what was proven right.
    WrongRejection,
    /// A drawn member gave no verdict, or did not reveal it.
    MissedDuty,
    /// A gateway signed two sums for one segment.
    DoubleSigning,
    /// A validator signed two consensus votes that contradict each other.
    Equivocation,
    /// A worker signed an opening with a VRF proof that is not its own.
    ForgedProof,
    /// A worker gave no evidence of a segment.
    EvidenceWithheld,
    /// A gateway signed for two requests of one sequence.
    DoubleRequest,
    /// What replays measured of a worker over many jobs is no honest work of the profile.
    Statistics,
    /// A verdict attested a replay of what was proven right, and not the one that the others made.
    FalseReplay,
}

impl SlashRule {
    /// The rule's name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeadlineMissed => "deadline_missed",
            Self::WrongResult => "wrong_result",
            Self::ConflictingResults => "conflicting_results",
            Self::WrongApproval => "wrong_approval",
            Self::WrongRejection => "wrong_rejection",
            Self::MissedDuty => "missed_duty",
            Self::DoubleSigning => "double_signing",
            Self::Equivocation => "equivocation",
            Self::ForgedProof => "forged_proof",
            Self::EvidenceWithheld => "evidence_withheld",
            Self::DoubleRequest => "double_request",
            Self::Statistics => "statistics",
            Self::FalseReplay => "false_replay",
        }
    }
}

/// A slash as the chain records it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlashedNode {
    /// Number of the slash, which an appeal names.
    pub slash: u64,
    /// Who.
    pub node: NodeId,
    /// `worker`, `validator` or `gateway`.
    pub role: String,
    /// Its operator.
    pub operator: AccountId,
    /// Why.
    pub rule: SlashRule,
    /// The segment it is about, if any.
    pub segment: Option<SegmentId>,
    /// The job it is about, where the chain knows it.
    pub job: Option<JobId>,
    /// How much, delegators' part included.
    pub amount: Amount,
    /// When the hold ends; milliseconds.
    pub releases_at_ms: u64,
    /// True when it may never come back (SPEC S3).
    pub disqualified: bool,
}

/// A segment that was approved: what receipts prove.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentOutcome {
    /// The segment.
    pub segment: SegmentId,
    /// Its lease.
    pub lease: LeaseId,
    /// Who executed.
    pub worker: NodeId,
    /// Who asked and paid.
    pub gateway: NodeId,
    /// Model profile.
    pub profile: ProfileId,
    /// Merkle root over the job leaves.
    pub root: Digest,
    /// Sums.
    pub totals: JobTotals,
    /// Price.
    pub price: Price,
    /// Fee in all.
    pub fee: Amount,
    /// Committee members that approved, ascending.
    pub approvers: Vec<NodeId>,
    /// Share of jobs that they replayed.
    pub replayed: Ppm,
    /// Position of a job that is no client's, once it is known (SPEC V5).
    pub planted: Option<u32>,
    /// What the worker got; nothing before it is settled.
    pub to_worker: Amount,
    /// What each of the approvers got, and its delegators with it.
    pub to_each_approver: Amount,
    /// True once the challenge window is over and the worker paid.
    pub settled: bool,
}

/// One thing that a block decided.
#[expect(
    clippy::large_enum_variant,
    reason = "verdicts that say what was measured are few, and copied instead of shared"
)]
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Event {
    /// A node registered.
    NodeRegistered {
        /// Who.
        node: NodeId,
        /// Role, with its URL or VRF key.
        role: NodeRole,
        /// Operator.
        operator: AccountId,
    },
    /// A node moved.
    UrlChanged {
        /// Who.
        node: NodeId,
        /// Where to.
        url: String,
    },
    /// A validator can replay a profile.
    ProfileDeclared {
        /// Profile.
        profile: ProfileId,
        /// Who.
        validator: NodeId,
    },
    /// A task waits for a worker.
    TaskOpened {
        /// The task.
        task: TaskId,
        /// Who pays.
        requester: AccountId,
        /// Profile.
        profile: ProfileId,
    },
    /// No worker took the task in time; its escrow went back.
    TaskExpired {
        /// The task.
        task: TaskId,
        /// Who had opened it.
        requester: AccountId,
    },
    /// A worker got the task (SPEC T4, T5).
    LeaseGranted {
        /// The lease.
        lease: LeaseId,
        /// The task.
        task: TaskId,
        /// Who executes.
        worker: NodeId,
        /// Who asks.
        gateway: NodeId,
        /// Terms of the task.
        terms: TaskTerms,
        /// Price agreed.
        price: Price,
        /// Beacon that seeds the worker's VRF (SPEC J7).
        beacon: Digest,
        /// When it ends; milliseconds.
        expires_at_ms: u64,
    },
    /// A lease takes no more jobs.
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
        /// Its worker.
        worker: NodeId,
        /// Its gateway.
        gateway: NodeId,
        /// Why.
        end: LeaseEnd,
    },
    /// A lease is gone: what it did not earn went back, and no segment of it can follow.
    LeaseClosed {
        /// The lease.
        lease: LeaseId,
        /// Its worker.
        worker: NodeId,
        /// Its gateway.
        gateway: NodeId,
        /// What went back to the gateway.
        refund: Amount,
    },
    /// Jobs were committed.
    SegmentCommitted {
        /// The segment.
        segment: SegmentId,
        /// Its lease.
        lease: LeaseId,
        /// Sums.
        totals: JobTotals,
    },
    /// A committee was drawn (SPEC V1, C4), or widened (V3).
    CommitteeDrawn {
        /// The segment.
        segment: SegmentId,
        /// Its worker.
        worker: NodeId,
        /// Its profile.
        profile: ProfileId,
        /// Members that have to judge it now, ascending.
        members: Vec<NodeId>,
        /// Draws the jobs to replay.
        seed: Digest,
        /// Share of jobs to replay.
        replay: Ppm,
        /// A planted job that is known to be wrong, and not judged again (SPEC V5).
        planted: Option<u32>,
        /// When members must be bound to their verdicts; milliseconds.
        due_at_ms: u64,
    },
    /// Members that committed to a verdict reveal it now (SPEC V2).
    RevealsOpened {
        /// The segment.
        segment: SegmentId,
        /// When what was committed is due; milliseconds.
        due_at_ms: u64,
    },
    /// A member's judgement, now that it is public.
    VerdictGiven {
        /// The segment.
        segment: SegmentId,
        /// Who.
        validator: NodeId,
        /// Judgement.
        vote: VerdictVote,
    },
    /// A member doubts a segment: its worker is asked what its VRF ordered (SPEC V5).
    OpeningAsked {
        /// The segment.
        segment: SegmentId,
        /// Its worker.
        worker: NodeId,
        /// Until when; milliseconds.
        until_ms: u64,
    },
    /// A worker opened a segment that holds a planted job (SPEC V5).
    ForcedErrorOpened {
        /// The segment.
        segment: SegmentId,
        /// Its worker.
        worker: NodeId,
        /// Position of the job.
        job: u32,
        /// What it is.
        kind: ForcedKind,
        /// Members that had found it wrong, ascending.
        caught: Vec<NodeId>,
        /// What each of them got of the treasury.
        jackpot: Amount,
    },
    /// A segment is final, or settled.
    SegmentApproved(SegmentOutcome),
    /// A segment was not approved; its jobs cost nothing.
    SegmentRejected {
        /// The segment.
        segment: SegmentId,
        /// Its lease.
        lease: LeaseId,
        /// Its worker.
        worker: NodeId,
        /// Its gateway.
        gateway: NodeId,
        /// Why.
        reason: RejectReason,
    },
    /// A gateway claims that a request got no answer; relays were drawn.
    StallReported {
        /// The claim.
        stall: StallId,
        /// The lease.
        lease: LeaseId,
        /// The worker.
        worker: NodeId,
        /// The request's digest.
        request: Digest,
        /// Validators that hold the request for the worker once they have it, ascending.
        relays: Vec<NodeId>,
    },
    /// Enough relays hold the request: the worker's time runs.
    StallCertified {
        /// The claim.
        stall: StallId,
        /// The worker.
        worker: NodeId,
        /// Relays that hold the request, ascending.
        relays: Vec<NodeId>,
        /// When the answer is due; milliseconds.
        due_at_ms: u64,
    },
    /// The worker answered.
    StallAnswered {
        /// The claim.
        stall: StallId,
        /// Its gateway.
        gateway: NodeId,
    },
    /// Stake was taken (SPEC S).
    Slashed(SlashedNode),
    /// A transaction was included and paid for, but did nothing else (SPEC M3).
    TransactionFailed {
        /// Which.
        transaction: TransactionId,
        /// In words.
        reason: String,
    },
    /// Slashed stake left its hold.
    SlashReleased {
        /// Number of the slash.
        slash: u64,
        /// Whose it was.
        node: NodeId,
        /// Why it was taken.
        rule: SlashRule,
        /// How much was burned.
        burned: Amount,
        /// How much went to each that proved it.
        to_each_prover: Amount,
        /// How much went to who was harmed.
        to_harmed: Amount,
    },
    /// A slash was overturned: everything went back (SPEC S2).
    SlashOverturned {
        /// Number of the slash.
        slash: u64,
        /// Whose it was.
        node: NodeId,
        /// How much went back.
        amount: Amount,
    },
    /// Slashes about a profile took too much in one epoch: nothing is leased of it until governance
    /// approves it again (SPEC S5).
    ProfilePaused {
        /// The profile.
        profile: ProfileId,
    },
    /// Stake was added (SPEC M7).
    Bonded {
        /// To which node.
        node: NodeId,
        /// By whom.
        account: AccountId,
        /// How much.
        amount: Amount,
    },
    /// Stake is on its way back (SPEC M7).
    Unbonding {
        /// Number of the withdrawal.
        unbonding: u64,
        /// From which node.
        node: NodeId,
        /// To whom.
        account: AccountId,
        /// How much, as things stand.
        amount: Amount,
        /// When it is paid; milliseconds.
        matures_at_ms: u64,
    },
    /// Stake came back (SPEC M7).
    Unbonded {
        /// Number of the withdrawal.
        unbonding: u64,
        /// From which node.
        node: NodeId,
        /// To whom.
        account: AccountId,
        /// How much.
        amount: Amount,
    },
    /// What a node earned in an epoch beyond its segments' fees (SPEC M5, M6).
    Rewarded {
        /// Who.
        node: NodeId,
        /// The epoch.
        epoch: u64,
        /// From the validators' common part of fees.
        fees: Amount,
        /// From the reward pool.
        emission: Amount,
    },
    /// A worker's machine was measured (SPEC N2).
    CapabilityMeasured {
        /// Who.
        worker: NodeId,
        /// Profile that it was measured with.
        profile: ProfileId,
        /// Work units a second.
        score: u64,
        /// The tier that it may serve.
        tier: Tier,
    },
    /// A worker has to be measured again, or loses its tier (SPEC N2).
    AssessmentCalled {
        /// Who.
        worker: NodeId,
        /// Until when; milliseconds.
        due_at_ms: u64,
    },
    /// A worker was not measured in time: it serves nothing until it is.
    TierLost {
        /// Who.
        worker: NodeId,
    },
    /// An approved segment goes to a court (SPEC V4).
    DisputeOpened {
        /// The segment.
        segment: SegmentId,
        /// Who doubts it.
        challenger: NodeId,
        /// Locked.
        bond: Amount,
    },
    /// The court has spoken (SPEC V4).
    DisputeClosed {
        /// The segment.
        segment: SegmentId,
        /// Who doubted it.
        challenger: NodeId,
        /// True when the segment was wrong. Otherwise the bond is lost, unless there was no decision.
        upheld: bool,
        /// What of the bond went back.
        returned: Amount,
    },
    /// Something is put to the vote (SPEC G).
    ProposalOpened {
        /// Its number.
        proposal: u64,
        /// Who proposed it.
        proposer: AccountId,
        /// When voting ends; milliseconds.
        closes_at_ms: u64,
    },
    /// Someone voted.
    Voted {
        /// Number of the proposal.
        proposal: u64,
        /// Who.
        voter: AccountId,
        /// What.
        choice: VoteChoice,
    },
    /// A proposal went on or ended.
    ProposalClosed {
        /// Its number.
        proposal: u64,
        /// How.
        outcome: ProposalOutcome,
        /// The votes.
        tally: VoteTally,
    },
    /// What replays say of a worker on a tolerance profile is another thing now (SPEC V7).
    SuspicionChanged {
        /// Who.
        worker: NodeId,
        /// The profile.
        profile: ProfileId,
        /// What they say.
        suspicion: Suspicion,
        /// Segments that were judged so far.
        judged: u64,
    },
    /// An agent was published (SPEC A1).
    AgentPublished {
        /// Which.
        agent: AgentId,
        /// By whom.
        creator: AccountId,
        /// Its name, one of the creator's own.
        name: String,
        /// SHA-256 of its manifest.
        manifest: Digest,
        /// Price of a run.
        price: Amount,
    },
    /// An agent was changed.
    AgentUpdated {
        /// Which.
        agent: AgentId,
        /// Its version now.
        version: u32,
        /// SHA-256 of its manifest.
        manifest: Digest,
        /// Price of a run.
        price: Amount,
        /// When a policy that was widened comes into force; milliseconds.
        widens_at_ms: Option<u64>,
    },
    /// An agent takes no new runs.
    AgentRetired {
        /// Which.
        agent: AgentId,
        /// True when it spends nothing any more.
        stop_spending: bool,
    },
    /// A retired agent's last run is over: its deposit and money went to its creator.
    AgentClosed {
        /// Which.
        agent: AgentId,
        /// To whom.
        creator: AccountId,
        /// How much.
        returned: Amount,
    },
    /// A run waits for a host; the lease that it becomes has this name (SPEC A2).
    RunOpened {
        /// The run.
        run: LeaseId,
        /// The task that waits.
        task: TaskId,
        /// Of which agent.
        agent: AgentId,
        /// In which version, counted from 1 on.
        version: u32,
        /// Who pays: a gateway, or the account of an agent that hires.
        payer: AccountId,
        /// Salted commitment to what it is given.
        input: Digest,
        /// What was locked.
        escrow: Amount,
    },
    /// A run's answer was settled, and its fee split (SPEC M5). What is left of the fee is the treasury's.
    RunPaid {
        /// The run.
        run: LeaseId,
        /// The segment that holds the answer.
        segment: SegmentId,
        /// Of which agent.
        agent: AgentId,
        /// Who hosted it.
        host: NodeId,
        /// Who made it.
        creator: AccountId,
        /// Who paid: a gateway, or the account of an agent that hired.
        payer: AccountId,
        /// All of it.
        fee: Amount,
        /// Of it, the host's; nothing when it was barred meanwhile.
        to_host: Amount,
        /// What the payer got back: the part of a host that was barred meanwhile.
        to_payer: Amount,
        /// The creator's.
        to_creator: Amount,
        /// That of each who approved.
        to_each_approver: Amount,
        /// The treasury's.
        to_treasury: Amount,
    },
    /// The ledger spent from an agent's account (SPEC A3).
    AgentSpent {
        /// The run that ordered it.
        run: LeaseId,
        /// Whose account.
        agent: AgentId,
        /// The segment, step and call that were cited, by their indices.
        citation: (u32, u64, u64),
        /// To whom; of a hired agent its account.
        to: AccountId,
        /// How much; of a hired run what was locked.
        amount: Amount,
        /// The run that it hired, if it did.
        hired: Option<LeaseId>,
    },
    /// A validator says that a job of an approved segment was computed wrong (SPEC V11).
    ChallengeOpened {
        /// The segment.
        segment: SegmentId,
        /// Who says so.
        challenger: NodeId,
        /// Who computed it.
        worker: NodeId,
        /// Position of the job.
        job: u32,
        /// Locked.
        bond: Amount,
    },
    /// A challenged worker is to show something of its run.
    TraceAsked {
        /// The segment.
        segment: SegmentId,
        /// Who asks.
        challenger: NodeId,
        /// Who is asked.
        worker: NodeId,
        /// Position of the job.
        job: u32,
        /// Which of its inputs, once that is known.
        item: u32,
        /// For what.
        asked: TraceAsked,
        /// Until when; milliseconds.
        due_at_ms: u64,
    },
    /// A challenged worker showed what it was asked; it is the challenger's turn.
    TraceShown {
        /// The segment.
        segment: SegmentId,
        /// Who asked.
        challenger: NodeId,
        /// What was shown.
        shown: TraceShown,
        /// Until when the challenger has to go on; milliseconds.
        due_at_ms: u64,
    },
    /// A challenge is over.
    ChallengeClosed {
        /// The segment.
        segment: SegmentId,
        /// Who challenged it.
        challenger: NodeId,
        /// How it ended.
        end: ChallengeEnd,
        /// What of the bond went back.
        returned: Amount,
    },
}

impl Event {
    /// The event's hash in the block's receipts tree.
    #[must_use]
    pub fn hash(&self) -> Digest {
        leaf_hash(&crate::encode(self))
    }

    /// The receipts root over a block's events.
    #[must_use]
    pub fn root(events: &[Self]) -> Digest {
        let leaves: Vec<Digest> = events.iter().map(Self::hash).collect();
        crate::merkle_root(&leaves)
    }
}
