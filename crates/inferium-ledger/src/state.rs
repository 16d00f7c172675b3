//! The state: tables of entries, and queues derived from them.

use crate::challenges::challenge_due;
use crate::entries::{
    Account, Agent, Capability, Challenge, Conduct, Delegation, EpochReward, EpochWork, Hold, Lease, LeaseState, Meta,
    Node, Offer, Opening, Operator, Profile, Proposal, ProposalState, QueuePlace, Record, Run, Segment, SegmentState,
    Stall, StallState, Task, Unbonding,
};
use crate::error::CorruptState;
use crate::table::{Single, Table};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    AccountId, AgentId, Amount, Digest, Genesis, LeaseId, NodeId, NodeRole, Price, ProfileId, SegmentId, StallId,
    TaskId, TaskKind, TaskTerms, VoteChoice, decode, encode,
};
use std::cmp::Reverse;
use std::sync::Arc;

/// Names one entry of the state; its encoding is the key in the authenticated store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum StateKey {
    /// The one [`Meta`].
    Meta,
    /// An [`Account`].
    Account(AccountId),
    /// An [`Operator`].
    Operator(AccountId),
    /// A [`Node`].
    Node(NodeId),
    /// A [`Profile`].
    Profile(ProfileId),
    /// An [`Offer`].
    Offer((ProfileId, NodeId)),
    /// A [`Task`].
    Task(TaskId),
    /// A [`Lease`].
    Lease(LeaseId),
    /// A [`Segment`].
    Segment(SegmentId),
    /// A [`Stall`].
    Stall(StallId),
    /// A [`Hold`].
    Hold(u64),
    /// A [`Record`].
    Record((NodeId, ProfileId)),
    /// A [`Delegation`], by delegator and validator.
    Delegation((AccountId, NodeId)),
    /// An [`Unbonding`], by number.
    Unbonding(u64),
    /// An [`EpochWork`], by epoch and node.
    EpochWork((u64, NodeId)),
    /// An [`EpochReward`], by epoch.
    EpochReward(u64),
    /// A [`Capability`].
    Capability(NodeId),
    /// A [`Proposal`], by number.
    Proposal(u64),
    /// A [`VoteChoice`], by proposal and voter.
    Vote((u64, AccountId)),
    /// A [`Conduct`].
    Conduct((NodeId, ProfileId)),
    /// An [`Agent`].
    Agent(AgentId),
    /// A [`Run`], by its lease.
    Run(LeaseId),
    /// A [`Challenge`], by segment and challenger.
    Challenge((SegmentId, NodeId)),
}

/// The key's bytes in the authenticated store.
#[must_use]
pub fn state_key(key: &StateKey) -> Vec<u8> {
    encode(key)
}

/// Something that happens by itself at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Task(TaskId),
    Lease(LeaseId),
    Segment(SegmentId),
    Stall(StallId),
    Hold(u64),
    Unbonding(u64),
    Capability(NodeId),
    Proposal(u64),
    Run(LeaseId),
    Challenge((SegmentId, NodeId)),
}

/// Version of the protocol that this software knows (SPEC G1).
pub const PROTOCOL_VERSION: u32 = 1;

/// Order in which open tasks of a profile are served: highest price first, then oldest (SPEC T5).
pub(crate) type TaskRank = (ProfileId, Reverse<Amount>, (u64, u32), TaskId);

/// What an open task asks of an offer: told without a look at the task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Needs {
    pub(crate) slots: u32,
    pub(crate) context_tokens: u32,
    pub(crate) price_max: Price,
    pub(crate) is_batch: bool,
    /// Of a run, what its host answers for (SPEC A2).
    pub(crate) cover: Amount,
}

impl Needs {
    pub(crate) const fn of(terms: &TaskTerms, cover: Amount) -> Self {
        let TaskTerms { kind, slots, context_tokens, price_max, .. } = *terms;
        Self { slots, context_tokens, price_max, is_batch: matches!(kind, TaskKind::Batch), cover }
    }
}

/// The chain's state. Clones in constant time; changes share what they don't touch.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    meta: Single<Option<Meta>>,
    pub(crate) accounts: Table<AccountId, Account>,
    pub(crate) operators: Table<AccountId, Operator>,
    pub(crate) nodes: Table<NodeId, Node, Arc<Node>>,
    pub(crate) profiles: Table<ProfileId, Profile, Arc<Profile>>,
    pub(crate) offers: Table<(ProfileId, NodeId), Offer>,
    pub(crate) tasks: Table<TaskId, Task, Arc<Task>>,
    pub(crate) leases: Table<LeaseId, Lease, Arc<Lease>>,
    pub(crate) segments: Table<SegmentId, Segment, Arc<Segment>>,
    pub(crate) stalls: Table<StallId, Stall, Arc<Stall>>,
    pub(crate) holds: Table<u64, Hold, Arc<Hold>>,
    pub(crate) records: Table<(NodeId, ProfileId), Record>,
    pub(crate) delegations: Table<(AccountId, NodeId), Delegation>,
    pub(crate) unbondings: Table<u64, Unbonding>,
    pub(crate) epoch_works: Table<(u64, NodeId), EpochWork>,
    pub(crate) epoch_rewards: Table<u64, EpochReward>,
    pub(crate) capabilities: Table<NodeId, Capability, Arc<Capability>>,
    pub(crate) proposals: Table<u64, Proposal, Arc<Proposal>>,
    pub(crate) votes: Table<(u64, AccountId), VoteChoice>,
    pub(crate) conducts: Table<(NodeId, ProfileId), Conduct, Arc<Conduct>>,
    pub(crate) agents: Table<AgentId, Agent, Arc<Agent>>,
    pub(crate) runs: Table<LeaseId, Run, Arc<Run>>,
    pub(crate) challenges: Table<(SegmentId, NodeId), Challenge, Arc<Challenge>>,
    // Derived: never stored, rebuilt from the tables.
    pub(crate) queue: Table<TaskRank, Needs>,
    pub(crate) due: Table<(u64, Due), ()>,
    pub(crate) draws: Table<(u64, Due), ()>,
    /// The one claim about each lease (SPEC T6).
    pub(crate) claims: Table<LeaseId, StallId>,
}

/// Calls a macro with each stored table and its key.
macro_rules! for_each_table {
    ($visit:ident) => {
        $visit!(accounts, Account);
        $visit!(operators, Operator);
        $visit!(nodes, Node);
        $visit!(profiles, Profile);
        $visit!(offers, Offer);
        $visit!(tasks, Task);
        $visit!(leases, Lease);
        $visit!(segments, Segment);
        $visit!(stalls, Stall);
        $visit!(holds, Hold);
        $visit!(records, Record);
        $visit!(delegations, Delegation);
        $visit!(unbondings, Unbonding);
        $visit!(epoch_works, EpochWork);
        $visit!(epoch_rewards, EpochReward);
        $visit!(capabilities, Capability);
        $visit!(proposals, Proposal);
        $visit!(votes, Vote);
        $visit!(conducts, Conduct);
        $visit!(agents, Agent);
        $visit!(runs, Run);
        $visit!(challenges, Challenge);
    };
}

/// Calls a macro with each derived table.
macro_rules! for_each_queue {
    ($visit:ident) => {
        $visit!(queue, Queue);
        $visit!(due, Queue);
        $visit!(draws, Queue);
        $visit!(claims, Queue);
    };
}

impl State {
    /// No entries: what the store holds before block 1.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            meta: Single::new(None),
            accounts: Table::new(),
            operators: Table::new(),
            nodes: Table::new(),
            profiles: Table::new(),
            offers: Table::new(),
            tasks: Table::new(),
            leases: Table::new(),
            segments: Table::new(),
            stalls: Table::new(),
            holds: Table::new(),
            records: Table::new(),
            delegations: Table::new(),
            unbondings: Table::new(),
            epoch_works: Table::new(),
            epoch_rewards: Table::new(),
            capabilities: Table::new(),
            proposals: Table::new(),
            votes: Table::new(),
            conducts: Table::new(),
            agents: Table::new(),
            runs: Table::new(),
            challenges: Table::new(),
            queue: Table::new(),
            due: Table::new(),
            draws: Table::new(),
            claims: Table::new(),
        }
    }

    /// What block 1 builds on. Tokens that the genesis gives to no one are the reward pool
    /// (SPEC M1, M2).
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let mut state = Self::empty();
        let (mut given, mut bonded) = (0u64, 0u64);
        let mut give = |amount: Amount| given = given.saturating_add(amount.nano());
        for (id, balance) in &genesis.accounts {
            give(*balance);
            state.accounts.insert(*id, Account { balance: *balance, nonce: 0 });
        }
        for (id, bond) in &genesis.operators {
            give(*bond);
            state.operators.insert(*id, Operator { bond: *bond, barred: false });
        }
        for validator in &genesis.validators {
            give(validator.stake);
            let role = NodeRole::Validator { url: validator.url.clone() };
            state.nodes.insert(validator.node, Node::new(role, validator.operator, validator.stake));
            bonded = bonded.saturating_add(validator.stake.nano());
        }
        let reward_pool = Amount::from_nano(Genesis::SUPPLY.nano().saturating_sub(given));
        *state.meta.get_mut() = Some(Meta {
            chain: genesis.chain(),
            height: 0,
            view: 0,
            timestamp_ms: genesis.timestamp_ms,
            resumed_at_ms: 0,
            parameters: genesis.parameters.clone(),
            epoch: 0,
            epoch_started_ms: genesis.timestamp_ms,
            beacon: Digest::of("inferium/genesis-beacon/1", &[genesis.chain().digest().as_bytes()]),
            beacon_view: 0,
            match_from: None,
            reward_pool,
            treasury: Amount::ZERO,
            validator_pool: Amount::ZERO,
            burned: Amount::ZERO,
            slashes: 0,
            slashes_overturned: 0,
            emission_from: (reward_pool, genesis.timestamp_ms),
            bonded: Amount::from_nano(bonded),
            unbondings: 0,
            proposals: 0,
            spent: (0, Amount::ZERO),
            removed_epoch: None,
            protocol: PROTOCOL_VERSION,
            upgrade: None,
            tiers: [0; 3],
            speeds: [0; 32],
        });
        state
    }

    /// Rebuilds a state from all its stored entries.
    ///
    /// # Errors
    /// [`CorruptState`]: bytes that no state writes, or no meta entry.
    pub fn from_entries<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(entries: I) -> Result<Self, CorruptState> {
        let mut state = Self::empty();
        for (key, value) in entries {
            let corrupt = |e: inferium_types::InvalidEncoding| CorruptState { reason: e.reason };
            let key: StateKey = decode(&key).map_err(corrupt)?;
            macro_rules! load {
                ($id:expr, $table:ident) => {{
                    let value = decode(&value).map_err(corrupt)?;
                    state.$table.insert($id, value);
                }};
            }
            match key {
                StateKey::Meta => *state.meta.get_mut() = Some(decode(&value).map_err(corrupt)?),
                StateKey::Account(id) => load!(id, accounts),
                StateKey::Operator(id) => load!(id, operators),
                StateKey::Node(id) => load!(id, nodes),
                StateKey::Profile(id) => load!(id, profiles),
                StateKey::Offer(id) => load!(id, offers),
                StateKey::Task(id) => load!(id, tasks),
                StateKey::Lease(id) => load!(id, leases),
                StateKey::Segment(id) => load!(id, segments),
                StateKey::Stall(id) => load!(id, stalls),
                StateKey::Hold(id) => load!(id, holds),
                StateKey::Record(id) => load!(id, records),
                StateKey::Delegation(id) => load!(id, delegations),
                StateKey::Unbonding(id) => load!(id, unbondings),
                StateKey::EpochWork(id) => load!(id, epoch_works),
                StateKey::EpochReward(id) => load!(id, epoch_rewards),
                StateKey::Capability(id) => load!(id, capabilities),
                StateKey::Proposal(id) => load!(id, proposals),
                StateKey::Vote(id) => load!(id, votes),
                StateKey::Conduct(id) => load!(id, conducts),
                StateKey::Agent(id) => load!(id, agents),
                StateKey::Run(id) => load!(id, runs),
                StateKey::Challenge(id) => load!(id, challenges),
            }
        }
        if state.meta.get().is_none() {
            return Err(CorruptState { reason: "no meta entry".into() });
        }
        state.derive_queues();
        Ok(state)
    }

    /// Every stored entry, as (key, value) bytes.
    #[must_use]
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        Self::changes(&Self::empty(), self)
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key, value)))
            .collect()
    }

    /// The stored entries in which `child` differs from `parent`, ascending by key; `None` is a
    /// removed one.
    ///
    /// Cost: proportional to the difference, not to the state.
    #[must_use]
    pub fn changes(parent: &Self, child: &Self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        if parent.meta != child.meta {
            changes.push((state_key(&StateKey::Meta), child.meta.get().as_ref().map(encode)));
        }
        macro_rules! diff {
            ($table:ident, $key:ident) => {
                for (id, value) in parent.$table.differences(&child.$table) {
                    changes.push((state_key(&StateKey::$key(*id)), value.map(encode)));
                }
            };
        }
        for_each_table!(diff);
        changes.sort();
        changes
    }

    /// From here on, what is written can be taken back at once.
    pub(crate) fn mark(&mut self) {
        self.meta.mark();
        macro_rules! mark {
            ($table:ident, $key:ident) => {
                self.$table.mark();
            };
        }
        for_each_table!(mark);
        for_each_queue!(mark);
    }

    /// What was written since the mark stays.
    pub(crate) fn keep(&mut self) {
        self.meta.keep();
        macro_rules! keep {
            ($table:ident, $key:ident) => {
                self.$table.keep();
            };
        }
        for_each_table!(keep);
        for_each_queue!(keep);
    }

    /// The state is again what it was at the mark.
    pub(crate) fn take_back(&mut self) {
        self.meta.take_back();
        macro_rules! take_back {
            ($table:ident, $key:ident) => {
                self.$table.take_back();
            };
        }
        for_each_table!(take_back);
        for_each_queue!(take_back);
    }

    fn derive_queues(&mut self) {
        self.queue = self
            .tasks
            .iter()
            .map(|(id, task)| (task_rank(*id, task), Needs::of(&task.terms, self.cover_of(*id))))
            .collect();
        let mut due: Vec<(u64, Due)> = Vec::new();
        let mut draws: Vec<(u64, Due)> = Vec::new();
        due.extend(self.tasks.iter().map(|(id, task)| (task.expires_at_ms, Due::Task(*id))));
        due.extend(self.leases.iter().map(|(id, lease)| (lease_due(lease), Due::Lease(*id))));
        due.extend(self.segments.iter().map(|(id, segment)| (segment_due(segment), Due::Segment(*id))));
        due.extend(self.stalls.iter().map(|(id, stall)| (stall_due(stall), Due::Stall(*id))));
        due.extend(self.holds.iter().map(|(id, hold)| (hold.releases_at_ms, Due::Hold(*id))));
        due.extend(self.unbondings.iter().map(|(id, item)| (item.matures_at_ms, Due::Unbonding(*id))));
        due.extend(self.capabilities.iter().map(|(id, item)| (capability_due(item), Due::Capability(*id))));
        due.extend(self.proposals.iter().map(|(id, item)| (proposal_due(item), Due::Proposal(*id))));
        due.extend(self.runs.iter().filter_map(|(id, run)| Some((run.ends_at_ms?, Due::Run(*id)))));
        due.extend(self.challenges.iter().filter_map(|(id, item)| Some((challenge_due(item)?, Due::Challenge(*id)))));
        draws.extend(self.segments.iter().filter_map(|(id, s)| segment_view(s).map(|view| (view, Due::Segment(*id)))));
        draws.extend(self.stalls.iter().filter_map(|(id, s)| stall_view(s).map(|view| (view, Due::Stall(*id)))));
        self.due = due.into_iter().map(|item| (item, ())).collect();
        self.draws = draws.into_iter().map(|item| (item, ())).collect();
        self.claims = self.stalls.iter().map(|(id, stall)| (stall.lease, *id)).collect();
    }

    // Writers of entries with a place in a queue: the only way to change them.

    pub(crate) fn set_task(&mut self, id: TaskId, task: Option<Task>) -> Option<Arc<Task>> {
        let old = match task {
            Some(task) => {
                self.queue.insert(task_rank(id, &task), Needs::of(&task.terms, self.cover_of(id)));
                self.due.insert((task.expires_at_ms, Due::Task(id)), ());
                self.tasks.insert(id, task)
            }
            None => self.tasks.remove(&id),
        };
        if let Some(old) = old.as_ref().filter(|_| task.is_none()) {
            self.queue.remove(&task_rank(id, old));
            self.due.remove(&(old.expires_at_ms, Due::Task(id)));
        }
        old
    }

    pub(crate) fn set_lease(&mut self, id: LeaseId, lease: Option<Lease>) {
        let old = match lease {
            Some(lease) => self.leases.insert(id, lease),
            None => self.leases.remove(&id),
        };
        self.requeue(Due::Lease(id), old.as_deref().map(lease_due), lease.as_ref().map(lease_due));
    }

    pub(crate) fn set_segment(&mut self, id: SegmentId, segment: Option<Segment>) {
        let (due, view) = (segment.as_ref().map(segment_due), segment.as_ref().and_then(segment_view));
        let old = match segment {
            Some(segment) => self.segments.insert(id, segment),
            None => self.segments.remove(&id),
        };
        self.requeue(Due::Segment(id), old.as_deref().map(segment_due), due);
        self.redraw(Due::Segment(id), old.as_deref().and_then(segment_view), view);
    }

    pub(crate) fn set_stall(&mut self, id: StallId, stall: Option<Stall>) {
        let (due, view) = (stall.as_ref().map(stall_due), stall.as_ref().and_then(stall_view));
        let old = match stall {
            Some(stall) => {
                self.claims.insert(stall.lease, id);
                self.stalls.insert(id, stall)
            }
            None => {
                let old = self.stalls.remove(&id);
                if let Some(old) = &old {
                    self.claims.remove(&old.lease);
                }
                old
            }
        };
        self.requeue(Due::Stall(id), old.as_deref().map(stall_due), due);
        self.redraw(Due::Stall(id), old.as_deref().and_then(stall_view), view);
    }

    pub(crate) fn set_hold(&mut self, id: u64, hold: Option<Hold>) {
        let due = hold.as_ref().map(|hold| hold.releases_at_ms);
        let old = match hold {
            Some(hold) => self.holds.insert(id, hold),
            None => self.holds.remove(&id),
        };
        self.requeue(Due::Hold(id), old.map(|hold| hold.releases_at_ms), due);
    }

    pub(crate) fn set_unbonding(&mut self, id: u64, unbonding: Option<Unbonding>) {
        let due = unbonding.map(|unbonding| unbonding.matures_at_ms);
        let old = match unbonding {
            Some(unbonding) => self.unbondings.insert(id, unbonding),
            None => self.unbondings.remove(&id),
        };
        self.requeue(Due::Unbonding(id), old.map(|old| old.matures_at_ms), due);
    }

    pub(crate) fn put_capability(&mut self, id: NodeId, capability: Capability) -> Option<Arc<Capability>> {
        let due = capability_due(&capability);
        let old = self.capabilities.insert(id, capability);
        self.requeue(Due::Capability(id), old.as_deref().map(capability_due), Some(due));
        old
    }

    pub(crate) fn set_proposal(&mut self, id: u64, proposal: Option<Proposal>) {
        let due = proposal.as_ref().map(proposal_due);
        let old = match proposal {
            Some(proposal) => self.proposals.insert(id, proposal),
            None => self.proposals.remove(&id),
        };
        self.requeue(Due::Proposal(id), old.as_deref().map(proposal_due), due);
    }

    pub(crate) fn set_run(&mut self, id: LeaseId, run: Option<Run>) {
        let due = run.as_ref().and_then(|run| run.ends_at_ms);
        let old = match run {
            Some(run) => self.runs.insert(id, run),
            None => self.runs.remove(&id),
        };
        self.requeue(Due::Run(id), old.and_then(|old| old.ends_at_ms), due);
    }

    /// The only way to change a node's stake: the sum over all nodes follows it.
    pub(crate) fn set_node(&mut self, id: NodeId, node: Node) {
        let of = |node: &Node| node.stake.nano().saturating_add(node.delegated.tokens.nano());
        let new = of(&node);
        let old = self.nodes.insert(id, node).as_deref().map_or(0, of);
        let meta = self.meta_mut();
        meta.bonded = Amount::from_nano(meta.bonded.nano().saturating_sub(old).saturating_add(new));
    }

    pub(crate) fn requeue(&mut self, item: Due, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.due.remove(&(at, item));
        }
        if let Some(at) = new {
            self.due.insert((at, item), ());
        }
    }

    fn redraw(&mut self, item: Due, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        if let Some(view) = old {
            self.draws.remove(&(view, item));
        }
        if let Some(view) = new {
            self.draws.insert((view, item), ());
        }
    }

    pub(crate) const fn meta_entry(&self) -> Option<&Meta> {
        self.meta.get().as_ref()
    }

    /// The meta entry. Every state but [`State::empty`] has one, and no block executes on that.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        #[expect(
            clippy::expect_used,
            reason = "a broken invariant of the caller: only genesis and loaded states execute"
        )]
        self.meta.get().as_ref().expect("a state that executes has a meta entry")
    }

    pub(crate) fn meta_mut(&mut self) -> &mut Meta {
        #[expect(
            clippy::expect_used,
            reason = "a broken invariant of the caller: only genesis and loaded states execute"
        )]
        self.meta.get_mut().as_mut().expect("a state that executes has a meta entry")
    }
}

fn task_rank(id: TaskId, task: &Task) -> TaskRank {
    let price = task.terms.price_max.completion_token;
    // Where someone waits, that comes first: others would have to pay twice as much.
    let rank = if task.terms.kind.policy().is_real_time { price } else { Amount::from_nano(price.nano() / 2) };
    (task.terms.profile, Reverse(rank), task.opened, id)
}

impl From<TaskRank> for QueuePlace {
    fn from((profile, Reverse(price), opened, task): TaskRank) -> Self {
        Self { profile, price, opened, task }
    }
}

impl From<QueuePlace> for TaskRank {
    fn from(place: QueuePlace) -> Self {
        (place.profile, Reverse(place.price), place.opened, place.task)
    }
}

const fn lease_due(lease: &Lease) -> u64 {
    match lease.state {
        LeaseState::Active => lease.expires_at_ms,
        LeaseState::Draining { until_ms, .. } => until_ms,
    }
}

const fn capability_due(capability: &Capability) -> u64 {
    match capability.call_due_ms {
        Some(at_ms) => at_ms,
        None => capability.draw_at_ms,
    }
}

const fn proposal_due(proposal: &Proposal) -> u64 {
    match proposal.state {
        ProposalState::Voting { closes_at_ms } => closes_at_ms,
        ProposalState::Counting { at_ms, .. } => at_ms,
        ProposalState::Passed { executes_at_ms, .. } => executes_at_ms,
        ProposalState::Ended { until_ms, .. } => until_ms,
    }
}

fn segment_due(segment: &Segment) -> u64 {
    let asked_ms = match segment.opening {
        Opening::Asked { until_ms, .. } => Some(until_ms),
        Opening::NotOwed | Opening::Closed(_) | Opening::Late(_) | Opening::Opened { .. } => None,
    };
    match segment.state {
        SegmentState::AwaitingSeed { until_ms, .. } => until_ms,
        SegmentState::Judging { due_at_ms, .. } => due_at_ms,
        SegmentState::Final { settles_at_ms, held_until_ms, .. } => asked_ms.or(held_until_ms).unwrap_or(settles_at_ms),
    }
}

const fn segment_view(segment: &Segment) -> Option<u64> {
    match segment.state {
        SegmentState::AwaitingSeed { view, .. } => Some(view),
        SegmentState::Judging { .. } | SegmentState::Final { .. } => None,
    }
}

const fn stall_due(stall: &Stall) -> u64 {
    match stall.state {
        StallState::AwaitingSeed { until_ms, .. } | StallState::Relaying { until_ms, .. } => until_ms,
        StallState::Certified { due_at_ms, .. } => due_at_ms,
    }
}

const fn stall_view(stall: &Stall) -> Option<u64> {
    match stall.state {
        StallState::AwaitingSeed { view, .. } => Some(view),
        StallState::Relaying { .. } | StallState::Certified { .. } => None,
    }
}

// Readers.
impl State {
    /// Blocks so far.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.meta_entry().map_or(0, |meta| meta.height)
    }

    /// Views whose seed some draw still waits for, ascending.
    #[must_use]
    pub fn wanted_views(&self) -> Vec<u64> {
        let mut views: Vec<u64> = self.draws.keys().map(|(view, _)| *view).collect();
        views.dedup();
        views
    }

    /// True when the next blocks have something to decide soon, so that they should come fast.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.draws.is_empty()
    }

    /// Money and nonce of an account.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Account {
        self.accounts.get(id).copied().unwrap_or_default()
    }

    /// The nonce of the account's next transaction.
    #[must_use]
    pub fn next_nonce(&self, id: &AccountId) -> u64 {
        self.account(id).nonce
    }

    /// An operator.
    #[must_use]
    pub fn operator(&self, id: &AccountId) -> Option<&Operator> {
        self.operators.get(id)
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Who answers for a node.
    pub(crate) fn operator_of(&self, id: &NodeId) -> Option<AccountId> {
        self.nodes.get(id).map(|node| node.operator)
    }

    /// All nodes, ascending.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        self.nodes.iter()
    }

    /// A profile.
    #[must_use]
    pub fn profile(&self, id: &ProfileId) -> Option<&Profile> {
        self.profiles.get(id)
    }

    /// All profiles, ascending.
    pub fn profiles(&self) -> impl Iterator<Item = (&ProfileId, &Profile)> {
        self.profiles.iter()
    }

    /// A standing offer.
    #[must_use]
    pub fn offer(&self, profile: ProfileId, worker: NodeId) -> Option<&Offer> {
        self.offers.get(&(profile, worker))
    }

    /// An open task.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// All open tasks.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter()
    }

    /// A lease.
    #[must_use]
    pub fn lease(&self, id: &LeaseId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// All leases.
    pub fn leases(&self) -> impl Iterator<Item = (&LeaseId, &Lease)> {
        self.leases.iter()
    }

    /// A segment that is not settled yet.
    #[must_use]
    pub fn segment(&self, id: &SegmentId) -> Option<&Segment> {
        self.segments.get(id)
    }

    /// All segments that are not settled yet.
    pub fn segments(&self) -> impl Iterator<Item = (&SegmentId, &Segment)> {
        self.segments.iter()
    }

    /// A stall claim.
    #[must_use]
    pub fn stall(&self, id: &StallId) -> Option<&Stall> {
        self.stalls.get(id)
    }

    /// All stall claims.
    pub fn stalls(&self) -> impl Iterator<Item = (&StallId, &Stall)> {
        self.stalls.iter()
    }

    /// Slashed stake that is held.
    pub fn holds(&self) -> impl Iterator<Item = (&u64, &Hold)> {
        self.holds.iter()
    }

    /// A worker's record with a profile, as it is now.
    #[must_use]
    pub fn record(&self, worker: NodeId, profile: ProfileId) -> Record {
        let record = self.records.get(&(worker, profile)).copied().unwrap_or_default();
        let meta = self.meta();
        crate::reputation::brought_to(&record, meta.timestamp_ms, meta.parameters.record_half_life_ms)
    }

    /// Withdrawals of stake, by number.
    pub fn unbondings(&self) -> impl Iterator<Item = (&u64, &Unbonding)> {
        self.unbondings.iter()
    }
}
