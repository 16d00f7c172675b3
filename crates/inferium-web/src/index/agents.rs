//! Versions of agents, and what their runs paid and spent; what is counted of them is the fold's.

use inferium_query::{boards::AGENTS_MAX, kept::Kept};
use inferium_types::{AccountId, AgentId, Amount, Digest, Event, LeaseId, NodeId, SegmentId};
use std::collections::VecDeque;

/// Versions, paid runs and spends listed for an agent.
const LISTED_MAX: usize = 20;

/// What was published of an agent at one time.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) manifest: Digest,
    pub(crate) price: Amount,
    pub(crate) height: u64,
    pub(crate) at_ms: u64,
}

/// A run that gave its answer, and whose its fee is.
#[derive(Debug, Clone)]
pub(crate) struct PaidRun {
    pub(crate) run: LeaseId,
    pub(crate) segment: SegmentId,
    pub(crate) host: NodeId,
    pub(crate) payer: AccountId,
    pub(crate) fee: Amount,
    pub(crate) to_host: Amount,
    pub(crate) to_payer: Amount,
    pub(crate) to_creator: Amount,
    /// Of all members of the committee together.
    pub(crate) to_committee: Amount,
    pub(crate) to_treasury: Amount,
    pub(crate) height: u64,
    pub(crate) at_ms: u64,
}

/// Money that left an agent's account by an order of one of its runs.
#[derive(Debug, Clone)]
pub(crate) struct Spent {
    pub(crate) run: LeaseId,
    pub(crate) to: AccountId,
    pub(crate) amount: Amount,
    /// True for what was locked for a run of another agent.
    pub(crate) is_hire: bool,
    pub(crate) height: u64,
    pub(crate) at_ms: u64,
}

/// What an agent has a list of.
#[derive(Debug)]
pub(crate) struct AgentBook {
    /// Oldest first, all three.
    pub(crate) versions: VecDeque<Version>,
    pub(crate) paid: VecDeque<PaidRun>,
    pub(crate) spent: VecDeque<Spent>,
}

/// All agents that are remembered.
#[derive(Debug)]
pub(crate) struct AgentBooks {
    agents: Kept<AgentId, AgentBook>,
}

impl Default for AgentBooks {
    fn default() -> Self {
        Self { agents: Kept::new(AGENTS_MAX) }
    }
}

fn push<T>(list: &mut VecDeque<T>, one: T) {
    list.push_back(one);
    if list.len() > LISTED_MAX {
        list.pop_front();
    }
}

impl AgentBooks {
    pub(crate) fn get(&self, id: &AgentId) -> Option<&AgentBook> {
        self.agents.get(id)
    }

    /// Takes note of an event of the block of `height`, of the time `at_ms`. Blocks come in their order.
    pub(super) fn on_event(&mut self, event: &Event, height: u64, at_ms: u64) {
        match event {
            Event::AgentPublished { agent, manifest, price, .. } => {
                let version = Version { number: 1, manifest: *manifest, price: *price, height, at_ms };
                let versions = VecDeque::from([version]);
                self.agents.insert(*agent, AgentBook { versions, paid: VecDeque::new(), spent: VecDeque::new() });
            }
            Event::AgentUpdated { agent, version, manifest, price, .. } => self.with(agent, |book| {
                // A change of the policy alone makes no version.
                if book.versions.back().is_none_or(|last| last.number != *version) {
                    push(
                        &mut book.versions,
                        Version { number: *version, manifest: *manifest, price: *price, height, at_ms },
                    );
                }
            }),
            Event::RunPaid { agent, .. } => {
                if let Some(paid) = paid_run(event, height, at_ms) {
                    self.with(agent, |book| push(&mut book.paid, paid));
                }
            }
            Event::AgentSpent { run, agent, to, amount, hired, .. } => self.with(agent, |book| {
                let is_hire = hired.is_some();
                push(&mut book.spent, Spent { run: *run, to: *to, amount: *amount, is_hire, height, at_ms });
            }),
            _ => {}
        }
    }

    fn with(&mut self, agent: &AgentId, change: impl FnOnce(&mut AgentBook)) {
        if let Some(book) = self.agents.get_mut(agent) {
            change(book);
        }
    }
}

fn paid_run(event: &Event, height: u64, at_ms: u64) -> Option<PaidRun> {
    let Event::RunPaid { run, segment, host, payer, fee, to_host, to_payer, to_creator, to_treasury, .. } = event
    else {
        return None;
    };
    let others = [to_host, to_payer, to_creator, to_treasury];
    // The members' parts are equal; together they are what nobody else got.
    let to_committee = others.iter().fold(fee.nano(), |left, part| left.saturating_sub(part.nano()));
    Some(PaidRun {
        run: *run,
        segment: *segment,
        host: *host,
        payer: *payer,
        fee: *fee,
        to_host: *to_host,
        to_payer: *to_payer,
        to_creator: *to_creator,
        to_committee: Amount::from_nano(to_committee),
        to_treasury: *to_treasury,
        height,
        at_ms,
    })
}

#[cfg(test)]
mod tests;
