//! What blocks say of nodes and agents, counted: the one place where the pages' and the boards' numbers come from.

use crate::earnings::{self, Source};
use crate::kept::Kept;
use inferium_types::{
    AccountId, AgentId, Amount, Digest, Event, Header, NodeId, RejectReason, SegmentId, SegmentOutcome, SlashRule,
    SlashedNode,
};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes; those who came first stay. Each was registered, and so had to lock a stake.
pub const NODES_MAX: usize = 10_000;
/// Agents; the oldest are forgotten first.
pub const AGENTS_MAX: usize = 10_000;
/// Payers of an agent that are told apart.
pub const PAYERS_MAX: usize = 256;
/// Slashes that can still be overturned; the oldest are forgotten first.
const HELD_MAX: usize = 100_000;
/// Segments within their challenge window; the oldest are forgotten first.
const OPEN_MAX: usize = 100_000;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Executes jobs.
    Worker,
    /// Checks them, and has a seat in consensus.
    Validator,
    /// Asks and pays.
    Gateway,
}

impl Role {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Validator => "validator",
            Self::Gateway => "gateway",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Worker, Self::Validator, Self::Gateway].into_iter().find(|role| role.name() == name)
    }
}

/// What is known of a node. Counts and sums stay at their greatest value.
#[derive(Debug, Clone, Default)]
pub struct NodeRecord {
    /// As it registered; before that, what it was seen doing.
    pub role: Option<Role>,
    /// Its segments that held; a worker's.
    pub approved: u64,
    /// Its segments that were rejected for what it did; a worker's.
    pub rejected: u64,
    /// Its segments that ended without a decision about them; a worker's.
    pub undecided: u64,
    /// Jobs of the segments that held.
    pub jobs: u64,
    /// Tokens of the segments that held.
    pub tokens: u64,
    /// Verdicts that it revealed; a validator's.
    pub verdicts: u64,
    /// Blocks that it proposed; a validator's.
    pub proposed: u64,
    /// Slashes that stand.
    pub slashes: u64,
    /// What they took.
    pub slashed: Amount,
    /// Slashes that were overturned.
    pub overturned: u64,
    /// Of the slashes that stand, those about a verdict.
    pub(super) faulty_verdicts: u64,
    /// Of the slashes that stand, those that disqualify.
    bars: u64,
    /// By where it came from.
    pub earned: BTreeMap<Source, Amount>,
}

impl NodeRecord {
    /// What it earned by all sources; nano-IFR.
    #[must_use]
    pub fn earned_nano(&self) -> u64 {
        self.earned.values().fold(0, |sum, amount| sum.saturating_add(amount.nano()))
    }

    /// True while a slash that disqualifies it stands.
    #[must_use]
    pub const fn is_barred(&self) -> bool {
        self.bars > 0
    }
}

/// Whether an agent can be asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentState {
    /// It takes runs.
    Active,
    /// It takes no new ones.
    Retired,
    /// Its last run is over.
    Closed,
}

impl AgentState {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Closed => "closed",
        }
    }
}

/// What is known of an agent. Counts and sums stay at their greatest value.
#[derive(Debug, Clone)]
pub struct AgentRecord {
    /// Its name, one of the creator's own.
    pub name: String,
    /// Who made it.
    pub creator: AccountId,
    /// Whether it can be asked.
    pub state: AgentState,
    /// Its version now, counted from 1 on.
    pub version: u32,
    /// SHA-256 of its manifest now.
    pub manifest: Digest,
    /// Price of a run now.
    pub price: Amount,
    /// Runs that were paid.
    pub runs: u64,
    /// What they cost in all.
    pub fees: Amount,
    /// What its creator earned.
    pub earned: Amount,
    payers: BTreeSet<AccountId>,
}

impl AgentRecord {
    /// Accounts that paid for runs; [`PAYERS_MAX`] stands for as many or more.
    #[must_use]
    pub fn payers(&self) -> u64 {
        u64::try_from(self.payers.len()).unwrap_or(u64::MAX)
    }
}

/// What of a slash goes back when it is overturned, beside its amount.
#[derive(Debug, Clone, Copy)]
struct HeldSlash {
    bars: bool,
    is_about_verdict: bool,
}

/// What an approved segment counts for, until it is settled.
#[derive(Debug, Clone, Copy)]
struct OpenSegment {
    worker: NodeId,
    jobs: u64,
    tokens: u64,
}

/// What the blocks of one stretch of the chain say of its nodes and agents.
///
/// Cost: a few look-ups in trees for each event.
#[derive(Debug)]
pub struct Fold {
    /// 0 as long as there is none.
    first: u64,
    height: u64,
    block: Digest,
    nodes: BTreeMap<NodeId, NodeRecord>,
    pub(super) has_all_nodes: bool,
    agents: Kept<AgentId, AgentRecord>,
    pub(super) has_all_agents: bool,
    held: Kept<u64, HeldSlash>,
    open: Kept<SegmentId, OpenSegment>,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            first: 0,
            height: 0,
            block: Digest::ZERO,
            nodes: BTreeMap::new(),
            has_all_nodes: true,
            agents: Kept::new(AGENTS_MAX),
            has_all_agents: true,
            held: Kept::new(HELD_MAX),
            open: Kept::new(OPEN_MAX),
        }
    }
}

fn add(sum: &mut Amount, amount: Amount) {
    *sum = Amount::from_nano(sum.nano().saturating_add(amount.nano()));
}

fn count(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

const fn is_about_verdict(rule: SlashRule) -> bool {
    matches!(rule, SlashRule::WrongApproval | SlashRule::WrongRejection | SlashRule::FalseReplay)
}

impl Fold {
    /// The first block that was taken; 0 when there was none.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The last block that was taken; 0 when there was none.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.height
    }

    pub(super) const fn block(&self) -> Digest {
        self.block
    }

    /// A node, once something was heard of it.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&NodeRecord> {
        self.nodes.get(id)
    }

    /// All nodes, by their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (&NodeId, &NodeRecord)> {
        self.nodes.iter()
    }

    /// An agent, if its publication was seen.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&AgentRecord> {
        self.agents.get(id)
    }

    /// Newest first: the place of each in the order in which they came, its id, and what is known.
    pub fn agents(&self) -> impl Iterator<Item = (u64, &AgentId, &AgentRecord)> {
        self.agents.newest(None)
    }

    /// Counts a verified block; `digest` is its own. One that does not follow the last one makes a new beginning, with
    /// itself as the first: a board over blocks with a gap could not be made again.
    pub fn take(&mut self, header: &Header, digest: Digest, events: &[Event]) {
        if self.first != 0 && self.height.checked_add(1) != Some(header.height) {
            *self = Self::default();
        }
        if self.first == 0 {
            self.first = header.height;
        }
        (self.height, self.block) = (header.height, digest);
        self.with_node(&header.proposer, Some(Role::Validator), |node| count(&mut node.proposed, 1));
        for event in events {
            self.on_event(event);
        }
    }

    /// Counts an event of the block that is being taken.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::NodeRegistered { node, role, .. } => {
                let role = Role::named(role.name());
                self.with_node(node, role, |node| node.role = role);
            }
            Event::SegmentApproved(outcome) => self.on_approved(outcome),
            Event::SegmentRejected { segment, worker, reason, .. } => self.on_rejected(segment, worker, *reason),
            Event::VerdictGiven { validator, .. } => {
                self.with_node(validator, Some(Role::Validator), |node| count(&mut node.verdicts, 1));
            }
            Event::Slashed(slash) => self.on_slashed(slash),
            Event::SlashReleased { slash, .. } => {
                self.held.remove(slash);
            }
            Event::SlashOverturned { slash, node, amount } => self.on_overturned(*slash, node, *amount),
            _ => self.on_agent(event),
        }
        for (node, earning) in earnings::payments(event, 0) {
            // Anybody can make an agent or pay for a run: of accounts that are no nodes nothing is kept.
            let is_anybodys = matches!(earning.source, Source::Agents | Source::Refunds);
            if !is_anybodys || self.nodes.contains_key(&node) {
                self.with_node(&node, None, |node| add(node.earned.entry(earning.source).or_default(), earning.amount));
            }
        }
    }

    /// Changes a node that is known, or that there is room for; `role` is what it was seen as.
    fn with_node(&mut self, id: &NodeId, role: Option<Role>, change: impl FnOnce(&mut NodeRecord)) {
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(id) {
            self.has_all_nodes = false;
            return;
        }
        let node = self.nodes.entry(*id).or_default();
        node.role = node.role.or(role);
        change(node);
    }

    fn on_approved(&mut self, outcome: &SegmentOutcome) {
        if outcome.settled {
            self.open.remove(&outcome.segment);
            return;
        }
        let (jobs, tokens) = (u64::from(outcome.totals.jobs), outcome.totals.tokens());
        self.open.insert(outcome.segment, OpenSegment { worker: outcome.worker, jobs, tokens });
        self.with_node(&outcome.worker, Some(Role::Worker), |node| {
            count(&mut node.approved, 1);
            count(&mut node.jobs, jobs);
            count(&mut node.tokens, tokens);
        });
        for approver in &outcome.approvers {
            self.with_node(approver, Some(Role::Validator), |_| {});
        }
    }

    fn on_rejected(&mut self, segment: &SegmentId, worker: &NodeId, reason: RejectReason) {
        // A court took back what a committee had approved: it did not hold.
        if let Some(open) = self.open.remove(segment) {
            self.with_node(&open.worker, Some(Role::Worker), |node| {
                node.approved = node.approved.saturating_sub(1);
                node.jobs = node.jobs.saturating_sub(open.jobs);
                node.tokens = node.tokens.saturating_sub(open.tokens);
            });
        }
        let is_workers = !matches!(reason, RejectReason::Unresolved | RejectReason::RunOver);
        self.with_node(worker, Some(Role::Worker), |node| {
            count(if is_workers { &mut node.rejected } else { &mut node.undecided }, 1);
        });
    }

    fn on_slashed(&mut self, slash: &SlashedNode) {
        let held = HeldSlash { bars: slash.disqualified, is_about_verdict: is_about_verdict(slash.rule) };
        self.held.insert(slash.slash, held);
        self.with_node(&slash.node, Role::named(&slash.role), |node| {
            count(&mut node.slashes, 1);
            add(&mut node.slashed, slash.amount);
            count(&mut node.bars, u64::from(held.bars));
            count(&mut node.faulty_verdicts, u64::from(held.is_about_verdict));
        });
    }

    fn on_overturned(&mut self, slash: u64, node: &NodeId, amount: Amount) {
        // Of a slash from before the first block nothing was counted.
        let Some(held) = self.held.remove(&slash) else { return };
        self.with_node(node, None, |node| {
            count(&mut node.overturned, 1);
            node.slashes = node.slashes.saturating_sub(1);
            node.slashed = node.slashed.sub(amount).unwrap_or(Amount::ZERO);
            node.bars = node.bars.saturating_sub(u64::from(held.bars));
            node.faulty_verdicts = node.faulty_verdicts.saturating_sub(u64::from(held.is_about_verdict));
        });
    }

    fn on_agent(&mut self, event: &Event) {
        match event {
            Event::AgentPublished { agent, creator, name, manifest, price } => {
                if self.agents.is_full() && self.agents.get(agent).is_none() {
                    self.has_all_agents = false;
                }
                let record = AgentRecord {
                    name: name.clone(),
                    creator: *creator,
                    state: AgentState::Active,
                    version: 1,
                    manifest: *manifest,
                    price: *price,
                    runs: 0,
                    fees: Amount::ZERO,
                    earned: Amount::ZERO,
                    payers: BTreeSet::new(),
                };
                self.agents.insert(*agent, record);
            }
            Event::AgentUpdated { agent, version, manifest, price, .. } => {
                if let Some(record) = self.agents.get_mut(agent) {
                    (record.version, record.manifest, record.price) = (*version, *manifest, *price);
                }
            }
            Event::AgentRetired { agent, .. } => self.set_state(agent, AgentState::Retired),
            Event::AgentClosed { agent, .. } => self.set_state(agent, AgentState::Closed),
            Event::RunPaid { agent, payer, fee, to_creator, .. } => {
                if let Some(record) = self.agents.get_mut(agent) {
                    count(&mut record.runs, 1);
                    add(&mut record.fees, *fee);
                    add(&mut record.earned, *to_creator);
                    if record.payers.len() < PAYERS_MAX {
                        record.payers.insert(*payer);
                    }
                }
            }
            _ => {}
        }
    }

    fn set_state(&mut self, agent: &AgentId, state: AgentState) {
        if let Some(record) = self.agents.get_mut(agent) {
            record.state = state;
        }
    }
}
