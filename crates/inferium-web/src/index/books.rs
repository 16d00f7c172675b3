//! The index's tables, and what each event writes into them.

use super::agents::AgentBooks;
use crate::story::{asked_in_words, challenge_end_in_words};
use inferium_chain::VerifiedBlock;
use inferium_query::{
    boards::{Fold, NODES_MAX},
    kept::Kept,
    slashes::Slashes,
};
use inferium_types::{
    AccountId, Amount, Digest, Event, Header, JobTotals, LeaseId, NodeId, ProfileId, SegmentId, SignedTransaction,
    TaskId, TransactionBody, TransactionId, VerdictVote,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Blocks that are kept whole.
const BLOCKS_MAX: usize = 20_000;
/// Transactions that are found by their names.
const TRANSACTIONS_MAX: usize = 50_000;
/// Segments, tasks and slashes.
const SEGMENTS_MAX: usize = 20_000;
const TASKS_MAX: usize = 20_000;
const SLASHES_MAX: usize = 10_000;
/// Accounts; those who came first stay.
const ACCOUNTS_MAX: usize = 20_000;
/// Transactions listed for an account, and segments for a node.
const LISTED_MAX: usize = 200;
/// Minutes of the charts: two days.
const MINUTES_MAX: usize = 2_880;
const MINUTE_MS: u64 = 60_000;

/// A block as the pages show it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) digest: Digest,
    pub(crate) events: Vec<Event>,
    pub(crate) transactions: Vec<(TransactionId, SignedTransaction)>,
}

impl Block {
    pub(super) fn of(block: &VerifiedBlock) -> Self {
        Self {
            header: block.header.clone(),
            digest: block.digest,
            events: block.events.clone(),
            transactions: block.transactions.iter().copied().zip(block.signed.iter().cloned()).collect(),
        }
    }
}

/// How far a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentState {
    Committed,
    Checking,
    Revealing,
    Rejected,
    Final,
    Settled,
}

impl SegmentState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Checking => "checking",
            Self::Revealing => "revealing",
            Self::Rejected => "rejected",
            Self::Final => "final",
            Self::Settled => "settled",
        }
    }
}

/// Something that happened to a segment or a task.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) height: u64,
    pub(crate) at_ms: u64,
    /// For programs.
    pub(crate) kind: &'static str,
    /// For people.
    pub(crate) text: String,
    /// Who did it.
    pub(crate) node: Option<NodeId>,
}

/// Steps of one thing at most.
const STEPS_MAX: usize = 100;

/// A segment.
#[derive(Debug)]
pub(crate) struct SegmentBook {
    pub(crate) lease: LeaseId,
    pub(crate) worker: Option<NodeId>,
    pub(crate) profile: Option<ProfileId>,
    pub(crate) totals: JobTotals,
    pub(crate) fee: Amount,
    pub(crate) committee: Vec<NodeId>,
    pub(crate) state: SegmentState,
    pub(crate) steps: Vec<Step>,
}

/// A task and its lease.
#[derive(Debug)]
pub(crate) struct TaskBook {
    pub(crate) requester: AccountId,
    pub(crate) profile: ProfileId,
    pub(crate) worker: Option<NodeId>,
    pub(crate) state: &'static str,
    pub(crate) segments: Vec<SegmentId>,
    pub(crate) steps: Vec<Step>,
}

/// Sums over one minute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Minute {
    pub(crate) at_ms: u64,
    pub(crate) blocks: u32,
    pub(crate) transactions: u32,
    pub(crate) jobs: u64,
    pub(crate) tokens: u64,
    pub(crate) fees: u64,
}

/// Everything that is remembered.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) blocks: VecDeque<Arc<Block>>,
    by_digest: BTreeMap<Digest, u64>,
    transactions: Kept<TransactionId, u64>,
    pub(crate) segments: Kept<SegmentId, SegmentBook>,
    pub(crate) tasks: Kept<TaskId, TaskBook>,
    leases: Kept<LeaseId, TaskId>,
    /// What is counted of nodes and agents, by the fold that commands make too.
    pub(crate) boards: Fold,
    /// Newest last.
    node_segments: BTreeMap<NodeId, VecDeque<SegmentId>>,
    accounts: BTreeMap<AccountId, VecDeque<TransactionId>>,
    pub(crate) slashes: Slashes,
    pub(crate) agents: AgentBooks,
    pub(crate) minutes: VecDeque<Minute>,
    pub(crate) transactions_all: u64,
    pub(crate) jobs_all: u64,
    pub(crate) tokens_all: u64,
    pub(crate) fees_all: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            blocks: VecDeque::new(),
            by_digest: BTreeMap::new(),
            transactions: Kept::new(TRANSACTIONS_MAX),
            segments: Kept::new(SEGMENTS_MAX),
            tasks: Kept::new(TASKS_MAX),
            leases: Kept::new(TASKS_MAX),
            boards: Fold::default(),
            node_segments: BTreeMap::new(),
            accounts: BTreeMap::new(),
            slashes: Slashes::default(),
            agents: AgentBooks::default(),
            minutes: VecDeque::new(),
            transactions_all: 0,
            jobs_all: 0,
            tokens_all: 0,
            fees_all: 0,
        }
    }
}

impl Books {
    pub(crate) fn head(&self) -> Option<&Arc<Block>> {
        self.blocks.back()
    }

    pub(crate) fn block(&self, height: u64) -> Option<&Arc<Block>> {
        let first = self.blocks.front()?.header.height;
        self.blocks.get(usize::try_from(height.checked_sub(first)?).ok()?)
    }

    pub(crate) fn height_of(&self, digest: &Digest) -> Option<u64> {
        self.by_digest.get(digest).copied()
    }

    /// The block of a transaction, and its place there.
    pub(crate) fn transaction(&self, id: &TransactionId) -> Option<(&Arc<Block>, &SignedTransaction)> {
        let block = self.block(*self.transactions.get(id)?)?;
        block.transactions.iter().find(|(of, _)| of == id).map(|(_, signed)| (block, signed))
    }

    /// Newest first.
    pub(crate) fn recent_transactions(&self, before: Option<u64>) -> impl Iterator<Item = (u64, TransactionId, u64)> {
        self.transactions.newest(before).map(|(place, id, height)| (place, *id, *height))
    }

    /// An account's own transactions, newest first.
    pub(crate) fn transactions_of(&self, account: &AccountId) -> impl Iterator<Item = TransactionId> {
        self.accounts.get(account).into_iter().flat_map(|list| list.iter().rev().copied())
    }

    pub(crate) fn knows_account(&self, account: &AccountId) -> bool {
        self.accounts.contains_key(account)
    }

    pub(crate) fn task_of(&self, lease: &LeaseId) -> Option<TaskId> {
        self.leases.get(lease).copied()
    }

    pub(super) fn take(&mut self, block: &Arc<Block>) {
        let header = &block.header;
        self.count_minute(header.timestamp_ms, block.transactions.len());
        for (id, signed) in &block.transactions {
            self.transactions.insert(*id, header.height);
            self.note_accounts(*id, signed);
        }
        self.boards.take(header, block.digest, &block.events);
        for event in &block.events {
            self.on_event(event, header);
            self.slashes.on_event(event, header.height);
            self.agents.on_event(event, header.height, header.timestamp_ms);
        }
        while self.slashes.slashes.len() > SLASHES_MAX {
            self.slashes.slashes.pop_first();
        }
        self.by_digest.insert(block.digest, header.height);
        self.blocks.push_back(Arc::clone(block));
        if self.blocks.len() > BLOCKS_MAX
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.by_digest.remove(&oldest.digest);
        }
    }

    fn count_minute(&mut self, at_ms: u64, transactions: usize) {
        let start = at_ms - at_ms % MINUTE_MS;
        if self.minutes.back().is_none_or(|minute| minute.at_ms < start) {
            self.minutes.push_back(Minute { at_ms: start, ..Minute::default() });
            if self.minutes.len() > MINUTES_MAX {
                self.minutes.pop_front();
            }
        }
        let count = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.transactions_all = self.transactions_all.saturating_add(u64::from(count));
        if let Some(minute) = self.minutes.back_mut() {
            minute.blocks = minute.blocks.saturating_add(1);
            minute.transactions = minute.transactions.saturating_add(count);
        }
    }

    fn note_accounts(&mut self, id: TransactionId, signed: &SignedTransaction) {
        let sender = signed.transaction.sender;
        let receiver = match &signed.transaction.body {
            TransactionBody::Transfer { to, .. } => Some(*to),
            TransactionBody::SpendAsAgent { spend } => Some(spend.order.recipient()),
            _ => None,
        };
        for account in std::iter::once(sender).chain(receiver.filter(|to| *to != sender)) {
            let has_room = self.accounts.len() < ACCOUNTS_MAX;
            if has_room || self.accounts.contains_key(&account) {
                let list = self.accounts.entry(account).or_default();
                list.push_back(id);
                if list.len() > LISTED_MAX {
                    list.pop_front();
                }
            }
        }
    }

    /// Segments that a node executed or approved, newest first.
    pub(crate) fn segments_of(&self, node: &NodeId) -> impl Iterator<Item = SegmentId> {
        self.node_segments.get(node).into_iter().flat_map(|list| list.iter().rev().copied())
    }

    fn note_segment(&mut self, node: NodeId, segment: SegmentId) {
        let has_room = self.node_segments.len() < NODES_MAX;
        if has_room || self.node_segments.contains_key(&node) {
            let list = self.node_segments.entry(node).or_default();
            list.push_back(segment);
            if list.len() > LISTED_MAX {
                list.pop_front();
            }
        }
    }

    fn on_event(&mut self, event: &Event, header: &Header) {
        match event {
            Event::TaskOpened { .. }
            | Event::TaskExpired { .. }
            | Event::LeaseGranted { .. }
            | Event::LeaseEnded { .. }
            | Event::LeaseClosed { .. } => self.on_task(event, header),
            _ => self.on_segment(event, header),
        }
    }

    fn on_task(&mut self, event: &Event, header: &Header) {
        let step =
            |kind, text: String, node| Step { height: header.height, at_ms: header.timestamp_ms, kind, text, node };
        match event {
            Event::TaskOpened { task, requester, profile } => {
                let steps = vec![step("opened", "opened, and its cost at most locked".into(), Some(*requester))];
                let (worker, state, segments) = (None, "open", Vec::new());
                let book = TaskBook { requester: *requester, profile: *profile, worker, state, segments, steps };
                self.tasks.insert(*task, book);
                self.leases.insert(LeaseId::of_task(*task), *task);
            }
            Event::TaskExpired { task, .. } => {
                self.with_task(*task, |book| {
                    book.end("expired", step("expired", "no worker took it; all of it went back".into(), None));
                });
            }
            Event::LeaseGranted { task, worker, .. } => self.with_task(*task, |book| {
                book.worker = Some(*worker);
                book.end("leased", step("leased", "leased to a worker".into(), Some(*worker)));
            }),
            Event::LeaseEnded { lease, end, .. } => self.with_lease(*lease, |book| {
                book.end("ended", step("ended", format!("its lease ended: {}", spaced(&format!("{end:?}"))), None));
            }),
            Event::LeaseClosed { lease, refund, .. } => self.with_lease(*lease, |book| {
                book.end("closed", step("closed", format!("its lease was closed; {refund} went back"), None));
            }),
            _ => {}
        }
    }

    fn with_task(&mut self, task: TaskId, change: impl FnOnce(&mut TaskBook)) {
        if let Some(book) = self.tasks.get_mut(&task) {
            change(book);
        }
    }

    fn with_lease(&mut self, lease: LeaseId, change: impl FnOnce(&mut TaskBook)) {
        if let Some(task) = self.leases.get(&lease).copied() {
            self.with_task(task, change);
        }
    }

    fn on_segment(&mut self, event: &Event, header: &Header) {
        let step =
            |kind, text: String, node| Step { height: header.height, at_ms: header.timestamp_ms, kind, text, node };
        match event {
            Event::SegmentCommitted { segment, lease, totals } => {
                let task = self.leases.get(lease).and_then(|task| self.tasks.get(task));
                let (worker, profile) = (task.and_then(|task| task.worker), task.map(|task| task.profile));
                let jobs = if totals.jobs == 1 { "1 job".to_owned() } else { format!("{} jobs", totals.jobs) };
                let text = format!("committed to the chain: {jobs} under one root, signed by both sides");
                self.segments.insert(
                    *segment,
                    SegmentBook {
                        lease: *lease,
                        worker,
                        profile,
                        totals: *totals,
                        fee: Amount::ZERO,
                        committee: Vec::new(),
                        state: SegmentState::Committed,
                        steps: vec![step("committed", text, worker)],
                    },
                );
                self.with_lease(*lease, |book| {
                    if book.segments.len() < LISTED_MAX {
                        book.segments.push(*segment);
                    }
                });
            }
            Event::CommitteeDrawn { segment, members, replay, .. } => {
                let replay = f64::from(replay.get()) / 10_000.0;
                let text = format!(
                    "a committee of {} was drawn by the beacon; it replays {replay} % of the jobs",
                    members.len()
                );
                self.with_segment(*segment, |book| {
                    book.committee.clone_from(members);
                    book.go(SegmentState::Checking, step("committee", text, None));
                });
            }
            Event::RevealsOpened { segment, .. } => {
                let text = "every member is bound to its verdict; now they show them".to_owned();
                self.with_segment(*segment, |book| book.go(SegmentState::Revealing, step("reveals", text, None)));
            }
            Event::VerdictGiven { segment, validator, vote } => {
                let verdict = step("verdict", verdict_in_words(vote), Some(*validator));
                self.with_segment(*segment, |book| book.note(verdict));
            }
            Event::SegmentApproved(outcome) => self.approved(outcome, header),
            Event::SegmentRejected { segment, worker, reason, .. } => {
                let text = format!("rejected: {}", spaced(&format!("{reason:?}")));
                self.with_segment(*segment, |book| {
                    book.go(SegmentState::Rejected, step("rejected", text, Some(*worker)));
                });
            }
            Event::DisputeOpened { segment, challenger, bond } => {
                let text = format!("disputed, with a bond of {bond}");
                self.with_segment(*segment, |book| book.note(step("disputed", text, Some(*challenger))));
            }
            Event::DisputeClosed { segment, challenger, upheld, .. } => {
                let text = if *upheld {
                    "the dispute was upheld: the segment was wrong"
                } else {
                    "the dispute was not upheld"
                };
                self.with_segment(*segment, |book| book.note(step("dispute", text.into(), Some(*challenger))));
            }
            Event::ChallengeOpened { segment, challenger, job, bond, .. } => {
                let text = format!("challenged job {job} before the ledger, with a bond of {bond}");
                self.with_segment(*segment, |book| book.note(step("challenged", text, Some(*challenger))));
            }
            Event::TraceAsked { segment, worker, asked, .. } => {
                let text = format!("is to show {}", asked_in_words(asked));
                self.with_segment(*segment, |book| book.note(step("asked", text, Some(*worker))));
            }
            Event::TraceShown { segment, shown, .. } => {
                let text = format!("the worker showed {shown:?}");
                self.with_segment(*segment, |book| book.note(step("shown", text, None)));
            }
            Event::ChallengeClosed { segment, challenger, end, .. } => {
                let text = format!("sees its challenge end: {}", challenge_end_in_words(*end));
                self.with_segment(*segment, |book| book.note(step("challenge", text, Some(*challenger))));
            }
            _ => {}
        }
    }

    fn with_segment(&mut self, segment: SegmentId, change: impl FnOnce(&mut SegmentBook)) {
        if let Some(book) = self.segments.get_mut(&segment) {
            change(book);
        }
    }

    fn approved(&mut self, outcome: &inferium_types::SegmentOutcome, header: &Header) {
        let step =
            |kind, text: String| Step { height: header.height, at_ms: header.timestamp_ms, kind, text, node: None };
        if outcome.settled {
            let text = format!(
                "the challenge window is over; {} paid, {} of it to the worker",
                outcome.fee, outcome.to_worker
            );
            self.with_segment(outcome.segment, |book| book.go(SegmentState::Settled, step("settled", text)));
            return;
        }
        let (jobs, tokens) = (u64::from(outcome.totals.jobs), outcome.totals.tokens());
        self.jobs_all = self.jobs_all.saturating_add(jobs);
        self.tokens_all = self.tokens_all.saturating_add(tokens);
        self.fees_all = self.fees_all.saturating_add(outcome.fee.nano());
        if let Some(minute) = self.minutes.back_mut() {
            minute.jobs = minute.jobs.saturating_add(jobs);
            minute.tokens = minute.tokens.saturating_add(tokens);
            minute.fees = minute.fees.saturating_add(outcome.fee.nano());
        }
        for node in std::iter::once(outcome.worker).chain(outcome.approvers.iter().copied()) {
            self.note_segment(node, outcome.segment);
        }
        let text = format!("approved by {} validators: final", outcome.approvers.len());
        self.with_segment(outcome.segment, |book| {
            book.fee = outcome.fee;
            book.profile = Some(outcome.profile);
            book.worker = Some(outcome.worker);
            book.go(SegmentState::Final, step("final", text));
        });
    }
}

impl TaskBook {
    fn end(&mut self, state: &'static str, step: Step) {
        self.state = state;
        if self.steps.len() < STEPS_MAX {
            self.steps.push(step);
        }
    }
}

impl SegmentBook {
    fn note(&mut self, step: Step) {
        if self.steps.len() < STEPS_MAX {
            self.steps.push(step);
        }
    }

    fn go(&mut self, state: SegmentState, step: Step) {
        self.state = state;
        self.note(step);
    }
}

/// A validator's judgement as a sentence.
pub(crate) fn verdict_in_words(vote: &VerdictVote) -> String {
    match vote {
        VerdictVote::Valid { .. } => "replayed it to the same bits: valid".to_owned(),
        VerdictVote::Invalid { job, fault } => format!("found job {job} wrong: {}", spaced(&format!("{fault:?}"))),
        VerdictVote::Unavailable => "got no usable evidence in time".to_owned(),
        VerdictVote::Measured { statistics, .. } => {
            format!("found nothing wrong; {} of {} tokens differ", statistics.flips(), statistics.positions())
        }
    }
}

/// `ClosedByGateway` as `closed by gateway`.
pub(crate) fn spaced(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(8));
    for letter in name.chars() {
        if letter.is_uppercase() && out.ends_with(char::is_alphanumeric) {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
