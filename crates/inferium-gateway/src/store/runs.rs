//! Agents whose manifests this gateway has, and runs that it kept.

use super::{GatewayStore, StoreError};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::Table;
use inferium_types::{
    AccountId, AgentId, AgentSpend, Amount, CallRecord, Digest, JobId, JobLeaf, JobPayload, LeaseId, RunCall,
    RunTranscript, SpendOrder, merkle_path,
};

const AGENTS: Table<AgentId, AgentRecord> = Table::new("agents");
/// Their names, for whoever looks one up.
const NAMES: Table<AgentId, String> = Table::new("agent-names");
/// By whose they are, then when they began; oldest first.
const RUNS: Table<(Digest, (u64, LeaseId)), String> = Table::new("runs");
/// The same without their calls.
const BRIEFS: Table<(Digest, (u64, LeaseId)), String> = Table::new("run-briefs");

/// By the run that ordered them.
const ORDERS: Table<LeaseId, OrdersRecord> = Table::new("run-orders");
/// By the run that hired and the place of its order among its calls.
const HIRED: Table<(LeaseId, u32), HiredRecord> = Table::new("hired");

const REVIEWS: Table<(AgentId, LeaseId), ReviewRecord> = Table::new("reviews");
/// Whose agent's a run was that was reviewed.
const REVIEWED: Table<LeaseId, AgentId> = Table::new("reviewed");

/// Reviews of an agent at most; the oldest goes.
pub(crate) const REVIEWS_MAX: usize = 500;
/// Agents whose manifests a gateway keeps at most.
pub(crate) const AGENTS_MAX: usize = 10_000;
/// Runs that are kept of one key; older ones are forgotten.
const RUNS_MAX: usize = 200;

/// An agent as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct AgentRecord {
    pub(crate) creator: AccountId,
    pub(crate) name: String,
    /// Byte for byte, as its hash is on the chain.
    pub(crate) manifest: String,
}

/// A run as its key is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRecord {
    pub(crate) began_at_ms: u64,
    /// The object of the API, as JSON.
    pub(crate) shown: String,
    /// The same without its calls.
    pub(crate) brief: String,
}

/// What who paid for a run says of its agent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ReviewRecord {
    /// Whose it is.
    pub(crate) payer: Digest,
    /// From 1 to 5.
    pub(crate) rating: u8,
    pub(crate) text: String,
    pub(crate) at_ms: u64,
    /// Whose receipt shows that the run was paid.
    pub(crate) job: JobId,
    /// Of the agent, as people count them.
    pub(crate) version: u64,
}

/// What a run ordered the ledger to spend, to be cited once its step is settled (SPEC A3).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct OrdersRecord {
    pub(crate) step: JobLeaf,
    /// Hashes of all of its calls.
    pub(crate) calls: Vec<Digest>,
    /// Orders by their places among the calls.
    pub(crate) orders: Vec<(u32, SpendOrder)>,
    /// Whose key the run was asked with: it pays the model calls of what is hired.
    pub(crate) payer: Digest,
    /// What hired runs are given, by the places of their orders.
    pub(crate) hires: Vec<(u32, JobPayload)>,
    /// What the model calls of all of these may cost together.
    pub(crate) hired_max: Amount,
}

/// What became of an order to hire.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum HiredRecord {
    /// It is a run of its own.
    Opened {
        /// Its name.
        run: LeaseId,
    },
    /// The ledger did not open it.
    Refused {
        /// Why.
        reason: String,
    },
}

impl OrdersRecord {
    /// Of a step that this key asked for, with what it hires others for; `None` if it orders nothing.
    pub(crate) fn of(
        step: JobLeaf,
        transcript: &RunTranscript,
        (payer, hires, hired_max): (Digest, Vec<(u32, JobPayload)>, Amount),
    ) -> Option<Self> {
        let order = |(index, call): (u32, &CallRecord)| match call {
            CallRecord::Spend { order } => Some((index, *order)),
            CallRecord::Model { .. } | CallRecord::Tool { .. } => None,
        };
        let orders: Vec<_> = (0..).zip(&transcript.calls).filter_map(order).collect();
        let calls = transcript.public().iter().map(RunCall::hash).collect();
        (!orders.is_empty()).then_some(Self { step, calls, orders, payer, hires, hired_max })
    }

    /// What cites each order, by its place, of a run whose one segment holds the step alone.
    pub(crate) fn spends(&self) -> Vec<(u32, AgentSpend)> {
        let spend = |(index, order): &(u32, SpendOrder)| {
            let spend = AgentSpend {
                run: self.step.request.lease,
                segment: 0,
                step: self.step.clone(),
                step_path: merkle_path(&[self.step.hash()], 0)?,
                order: *order,
                call_path: merkle_path(&self.calls, usize::try_from(*index).ok()?)?,
            };
            Some((*index, spend))
        };
        self.orders.iter().filter_map(spend).collect()
    }
}

impl GatewayStore {
    pub(crate) fn put_orders(&self, record: &OrdersRecord) -> Result<(), StoreError> {
        self.store.put(ORDERS, &record.step.request.lease, record)
    }

    pub(crate) fn orders(&self, run: LeaseId) -> Result<Option<OrdersRecord>, StoreError> {
        self.store.get(ORDERS, &run)
    }

    /// Runs whose orders were not all brought to the ledger yet, with the steps that gave them.
    pub(crate) fn ordering(&self) -> Result<Vec<(LeaseId, JobId)>, StoreError> {
        let mut found = Vec::new();
        self.store.for_each(ORDERS, |run, record| {
            found.push((run, record.step.request.job));
            Ok(())
        })?;
        Ok(found)
    }

    /// Keeps what became of an order to hire; that it was refused only where nothing else is known of it.
    pub(crate) fn put_hired(&self, order: (LeaseId, u32), record: &HiredRecord) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let is_news = matches!(record, HiredRecord::Opened { .. }) || tx.get(HIRED, &order)?.is_none();
            if is_news { tx.put(HIRED, &order, record) } else { Ok(()) }
        })
    }

    /// What became of an order to hire; `None` as long as it waits.
    pub(crate) fn hired(&self, order: (LeaseId, u32)) -> Result<Option<HiredRecord>, StoreError> {
        self.store.get(HIRED, &order)
    }

    pub(crate) fn remove_orders(&self, run: LeaseId) -> Result<(), StoreError> {
        self.store.remove(ORDERS, &run)
    }

    /// Keeps an agent's manifest, in the place of an older one; false when there is no room for another agent.
    pub(crate) fn put_agent(&self, id: AgentId, record: &AgentRecord) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            let has_room = tx.get(NAMES, &id)?.is_some() || self.store.keys(NAMES)?.len() < AGENTS_MAX;
            if has_room {
                tx.put(NAMES, &id, &record.name)?;
                tx.put(AGENTS, &id, record)?;
            }
            Ok(has_room)
        })
    }

    pub(crate) fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        self.store.get(AGENTS, &id)
    }

    /// Forgets an agent that takes no more runs; true if it was there.
    pub(crate) fn remove_agent(&self, id: AgentId) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            let was_there = tx.get(NAMES, &id)?.is_some();
            if was_there {
                tx.remove(NAMES, &id)?;
                tx.remove(AGENTS, &id)?;
            }
            Ok(was_there)
        })
    }

    /// Agents of a name.
    pub(crate) fn agents_called(&self, name: &str) -> Result<Vec<AgentId>, StoreError> {
        let mut found = Vec::new();
        self.store.for_each(NAMES, |id, known| {
            if known == name {
                found.push(id);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// At most so many of them, from one on, ascending.
    pub(crate) fn agents_from(&self, first: AgentId, most: usize) -> Result<Vec<(AgentId, AgentRecord)>, StoreError> {
        self.store.first(AGENTS, Some(&first), most)
    }

    /// Keeps a review, in the place of an older one of the same run, whose time it has: who says it anew does not come first again.
    pub(crate) fn put_review(
        &self,
        agent: AgentId,
        run: LeaseId,
        mut record: ReviewRecord,
    ) -> Result<ReviewRecord, StoreError> {
        let mut others = self.reviews(agent)?;
        if let Some((_, before)) = others.iter().find(|(other, _)| *other == run) {
            record.at_ms = before.at_ms;
        }
        others.retain(|(other, _)| *other != run);
        others.sort_by_key(|(other, review)| (review.at_ms, *other));
        let over = others.len().saturating_sub(REVIEWS_MAX - 1);
        self.store.write(|tx| {
            for (old, _) in others.iter().take(over) {
                tx.remove(REVIEWS, &(agent, *old))?;
                tx.remove(REVIEWED, old)?;
            }
            tx.put(REVIEWED, &run, &agent)?;
            tx.put(REVIEWS, &(agent, run), &record)?;
            Ok(record)
        })
    }

    /// Takes a review back that is this payer's; false if there is none.
    pub(crate) fn remove_review(&self, run: LeaseId, payer: Digest) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            let Some(agent) = tx.get(REVIEWED, &run)? else { return Ok(false) };
            let is_theirs = tx.get(REVIEWS, &(agent, run))?.is_some_and(|review| review.payer == payer);
            if is_theirs {
                tx.remove(REVIEWED, &run)?;
                tx.remove(REVIEWS, &(agent, run))?;
            }
            Ok(is_theirs)
        })
    }

    /// Reviews of an agent, by their runs.
    pub(crate) fn reviews(&self, agent: AgentId) -> Result<Vec<(LeaseId, ReviewRecord)>, StoreError> {
        let end = |byte| (agent, LeaseId::new(Digest::from([byte; 32])));
        let keys = self.store.keys_between(REVIEWS, &end(0), &end(u8::MAX))?;
        let with_record =
            |key: (AgentId, LeaseId)| self.store.get(REVIEWS, &key).map(|record| record.map(|record| (key.1, record)));
        keys.into_iter().filter_map(|key| with_record(key).transpose()).collect()
    }

    /// Keeps a run, as it stands now.
    pub(crate) fn put_run(&self, payer: Digest, run: LeaseId, record: &RunRecord) -> Result<(), StoreError> {
        let kept = self.runs(payer)?;
        let key = (record.began_at_ms, run);
        let over = kept.iter().filter(|other| **other != key).count().saturating_sub(RUNS_MAX - 1);
        let forgotten: Vec<_> = kept.iter().filter(|other| **other != key).take(over).collect();
        let mut hired = Vec::new();
        for (_, old) in &forgotten {
            hired.extend(self.store.keys_between(HIRED, &(*old, 0), &(*old, u32::MAX))?);
        }
        self.store.write(|tx| {
            for order in &hired {
                tx.remove(HIRED, order)?;
            }
            for old in forgotten {
                tx.remove(RUNS, &(payer, *old))?;
                tx.remove(BRIEFS, &(payer, *old))?;
            }
            tx.put(BRIEFS, &(payer, key), &record.brief)?;
            tx.put(RUNS, &(payer, key), &record.shown)
        })
    }

    /// Runs of a key, oldest first.
    pub(crate) fn runs(&self, payer: Digest) -> Result<Vec<(u64, LeaseId)>, StoreError> {
        let end = |at_ms| (payer, (at_ms, LeaseId::new(Digest::ZERO)));
        let keys = self.store.keys_between(BRIEFS, &end(0), &end(u64::MAX))?;
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// A run with all that it did, as JSON.
    pub(crate) fn run(&self, payer: Digest, key: (u64, LeaseId)) -> Result<Option<String>, StoreError> {
        self.store.get(RUNS, &(payer, key))
    }

    /// A run without its calls, as JSON.
    pub(crate) fn brief(&self, payer: Digest, key: (u64, LeaseId)) -> Result<Option<String>, StoreError> {
        self.store.get(BRIEFS, &(payer, key))
    }
}

#[cfg(test)]
mod tests;
