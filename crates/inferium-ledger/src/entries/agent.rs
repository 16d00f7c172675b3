//! Agents and their runs (SPEC A).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    AccountId, AgentId, AgentLimits, AgentTerms, Amount, Digest, NodeId, ProfileId, SPENDING_DAY_MS, SpendingPolicy,
};

/// A policy that allows more than the one in force, and waits.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Widening {
    /// The policy.
    pub policy: SpendingPolicy,
    /// From when it is in force; milliseconds.
    pub from_ms: u64,
}

/// What an agent's settled runs brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct AgentEarnings {
    /// Runs that gave their answer.
    pub runs: u64,
    /// Their fees.
    pub fees: Amount,
    /// Of these, what hosts got.
    pub hosts: Amount,
    /// What the creator got.
    pub creator: Amount,
    /// What committees got.
    pub committees: Amount,
    /// What the treasury got.
    pub treasury: Amount,
    /// What payers got back: the parts of hosts that were barred meanwhile.
    pub refunded: Amount,
}

/// A published agent (SPEC A1).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Agent {
    /// Who published it.
    pub creator: AccountId,
    /// Its name, one of the creator's own.
    pub name: String,
    /// Locked until it is closed.
    pub deposit: Amount,
    /// From 1, one more with each change of manifest, model, price or limits; a number for people
    /// ([`AgentTerms::version_digest`]).
    pub version: u32,
    /// What it is; the policy is the one that was in force when it was changed last.
    pub terms: AgentTerms,
    /// The policy that comes after that one.
    pub widening: Option<Widening>,
    /// True once it takes no new runs.
    pub retired: bool,
    /// Runs of it, and runs that it hired, which are not over.
    pub open_runs: u32,
    /// What it spent in one day of the headers' time: the day's number, and how much.
    pub spent: (u64, Amount),
    /// What its runs brought.
    pub earned: AgentEarnings,
}

impl Agent {
    /// The policy in force.
    #[must_use]
    pub fn policy_at(&self, now_ms: u64) -> &SpendingPolicy {
        match &self.widening {
            Some(widening) if widening.from_ms <= now_ms => &widening.policy,
            Some(_) | None => &self.terms.policy,
        }
    }

    /// The same agent, with a wider policy that came into force in its place.
    pub(crate) fn settled_at(mut self, now_ms: u64) -> Self {
        if let Some(widening) = self.widening.take_if(|widening| widening.from_ms <= now_ms) {
            self.terms.policy = widening.policy;
        }
        self
    }

    /// What it spent so far in the day of `now_ms`, and that day's number.
    #[must_use]
    pub fn spent_at(&self, now_ms: u64) -> (u64, Amount) {
        let day = now_ms.checked_div(SPENDING_DAY_MS).unwrap_or(0);
        if self.spent.0 == day { self.spent } else { (day, Amount::ZERO) }
    }
}

/// A run of an agent, from when it is opened until nothing of it can be spent any more; its lease has the same name
/// (SPEC A2).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Run {
    /// Of which agent.
    pub agent: AgentId,
    /// What was pinned when it was opened: the version's number ...
    pub version: u32,
    /// ... SHA-256 of the manifest ...
    pub manifest: Digest,
    /// ... the profile of the model that it calls ...
    pub model: ProfileId,
    /// ... the limits ...
    pub limits: AgentLimits,
    /// ... the policy in force ...
    pub policy: SpendingPolicy,
    /// ... and the price.
    pub price: Amount,
    /// Salted commitment to what it is given.
    pub input: Digest,
    /// The gateway that opened it, or that of the run which hired it.
    pub gateway: NodeId,
    /// The agent that hired it and pays for it; the gateway pays where there is none.
    pub hirer: Option<AgentId>,
    /// Who hosts it, once someone does.
    pub host: Option<NodeId>,
    /// What it spent.
    pub spent: Amount,
    /// Roots of its settled segments in their order, without a gap: a segment is settled when those before it are.
    pub settled: Vec<Digest>,
    /// What was spent already: segment, step and call, by their indices; ascending.
    pub cited: Vec<(u32, u64, u64)>,
    /// True once a segment of it was rejected: nothing of it is committed, settled or spent any more.
    pub over: bool,
    /// Once its lease is closed, until when its orders may be spent; milliseconds.
    pub ends_at_ms: Option<u64>,
}

impl Run {
    /// Who paid for it, and gets back what it does not earn.
    #[must_use]
    pub fn payer(&self) -> AccountId {
        self.hirer.map_or(self.gateway, |hirer| hirer.account())
    }

    /// True when its policy lets it spend anything at all.
    #[must_use]
    pub fn may_spend(&self) -> bool {
        !self.policy.run_max().is_zero()
    }

    /// What its host answers for from the grant until the lease is closed: the price, and all that it may spend (SPEC A2).
    #[must_use]
    pub fn cover(&self) -> Amount {
        Amount::from_nano(self.price.nano().saturating_add(self.policy.run_max().nano()))
    }

    /// What it may still move: the same, less what it has spent.
    #[must_use]
    pub fn at_stake(&self) -> Amount {
        self.cover().sub(self.spent).unwrap_or(self.price)
    }
}
