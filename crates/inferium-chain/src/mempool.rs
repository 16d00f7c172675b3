//! Transactions that wait for a block.
//!
//! One lane per sender, ordered by nonce. Everything is bounded; transactions of nodes' duties
//! come first in blocks and keep a part of the space to themselves, so that a flood of paid
//! transactions can't push a verdict past its deadline.

use crate::states::States;
use inferium_ledger::{Rejection, State, admit, is_duty};
use inferium_types::{
    AccountId, ChainId, InvalidSignature, SignedTransaction, TransactionBody, TransactionId, VerifiedTransaction,
    limits,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Notify, mpsc};

/// Transactions held.
const COUNT_MAX: usize = 16_384;
/// Bytes held.
const SIZE_MAX: usize = 16 * 1024 * 1024;
/// Share of both that others than duties may use, in quarters.
const ORDINARY_QUARTERS: usize = 3;
/// Transactions of one sender.
const LANE_MAX: usize = 256;
/// Final blocks after which an unused transaction is dropped: its sender may send it again.
const BLOCKS_WAITING_MAX: u64 = 3_000;
/// Reasons of late rejection that are remembered for those who ask.
const REJECTED_MAX: usize = 4_096;
/// Own transactions that wait to be sent to the other validators.
const GOSSIP_QUEUE: usize = 4_096;

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Not signed by its sender for this chain.
    #[error("{0}")]
    Signature(#[from] InvalidSignature),
    /// The ledger would not take it as things are.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// Too large.
    #[error("{found} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Another transaction of the sender waits with this nonce.
    #[error("another transaction with nonce {nonce} is waiting")]
    Occupied {
        /// The nonce.
        nonce: u64,
    },
    /// No space.
    #[error("too many transactions are waiting; try again later")]
    Full,
    /// The node is starting or stopping.
    #[error("the node is not ready")]
    NotReady,
}

#[derive(Debug)]
struct Waiting {
    transaction: VerifiedTransaction,
    arrival: u64,
    height: u64,
    own: bool,
}

#[derive(Debug, Default)]
struct Pool {
    lanes: BTreeMap<AccountId, BTreeMap<u64, Waiting>>,
    count: usize,
    size: usize,
    arrivals: u64,
    rejected: BTreeMap<TransactionId, String>,
    rejected_order: VecDeque<TransactionId>,
}

/// The mempool of one validator.
#[derive(Debug, Clone)]
pub(crate) struct Mempool {
    chain: ChainId,
    states: States,
    pool: Arc<Mutex<Pool>>,
    arrived: Arc<Notify>,
    gossip: mpsc::Sender<SignedTransaction>,
}

/// True for what goes before other transactions: duties, and the proof of a crime. That one is no
/// duty, and pays its fee, but a flood of paid transactions must not hold it up either.
const fn goes_first(body: &TransactionBody) -> bool {
    is_duty(body) || matches!(body, TransactionBody::ProveConflict { .. })
}

impl Mempool {
    /// An empty mempool, and the queue of transactions to send to the other validators.
    pub(crate) fn new(chain: ChainId, states: States) -> (Self, mpsc::Receiver<SignedTransaction>) {
        let (gossip, queue) = mpsc::channel(GOSSIP_QUEUE);
        let pool = Self { chain, states, pool: Arc::default(), arrived: Arc::new(Notify::new()), gossip };
        (pool, queue)
    }

    /// Takes a transaction from a client and passes it on.
    pub(crate) fn submit(&self, signed: SignedTransaction) -> Result<TransactionId, SubmitError> {
        let (id, is_new) = self.insert(signed.clone(), true)?;
        if is_new {
            // A full queue is no loss: what still waits is sent again later.
            let _ = self.gossip.try_send(signed);
        }
        Ok(id)
    }

    /// Takes a transaction that another validator passed on.
    pub(crate) fn receive(&self, signed: SignedTransaction) -> Result<TransactionId, SubmitError> {
        self.insert(signed, false).map(|(id, _)| id)
    }

    fn insert(&self, signed: SignedTransaction, own: bool) -> Result<(TransactionId, bool), SubmitError> {
        let state = self.states.last().ok_or(SubmitError::NotReady)?;
        let found = inferium_types::encode(&signed).len();
        let limit = signed.transaction.body.size_max();
        if found > limit {
            return Err(SubmitError::TooLarge { found, limit });
        }
        let (sender, nonce) = (signed.transaction.sender, signed.transaction.nonce);
        // Before the costly signature check: what waits already, or can't be used.
        if let Some(id) = self.waiting_id(&sender, nonce) {
            return if id == signed.id() { Ok((id, false)) } else { Err(SubmitError::Occupied { nonce }) };
        }
        let transaction = signed.verify(self.chain)?;
        admit(&state, &transaction)?;
        let id = transaction.id();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.insert(transaction, state.height(), own)?;
        drop(pool);
        self.arrived.notify_waiters();
        Ok((id, true))
    }

    fn waiting_id(&self, sender: &AccountId, nonce: u64) -> Option<TransactionId> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.lanes.get(sender)?.get(&nonce).map(|waiting| waiting.transaction.id())
    }

    /// Resolves at the next arrival after this call.
    pub(crate) fn arrival(&self) -> impl std::future::Future<Output = ()> + Send + '_ {
        self.arrived.notified()
    }

    /// True when a block on `state` could include something.
    pub(crate) fn has_candidates(&self, state: &State) -> bool {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.lanes.iter().any(|(sender, lane)| lane.contains_key(&state.next_nonce(sender)))
    }

    /// What a block on `state` may try to include: duties' senders first, then in order of
    /// arrival, one transaction of each sender after the other, nonces in order.
    pub(crate) fn candidates(&self, state: &State) -> Vec<VerifiedTransaction> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs: Vec<(bool, u64, Vec<&Waiting>)> = Vec::new();
        for (sender, lane) in &pool.lanes {
            let next = state.next_nonce(sender);
            let run: Vec<&Waiting> = lane
                .range(next..)
                .zip(next..)
                .take_while(|((nonce, _), want)| **nonce == *want)
                .map(|((_, w), _)| w)
                .collect();
            if let Some(first) = run.first() {
                runs.push((!goes_first(&first.transaction.transaction().body), first.arrival, run));
            }
        }
        runs.sort_by_key(|(ordinary, arrival, _)| (*ordinary, *arrival));
        let (mut chosen, mut size) = (Vec::new(), 0usize);
        for depth in 0..LANE_MAX {
            let round: Vec<&Waiting> = runs.iter().filter_map(|(_, _, run)| run.get(depth).copied()).collect();
            for waiting in &round {
                size = size.saturating_add(waiting.transaction.size());
                if chosen.len() >= limits::BLOCK_TRANSACTIONS_MAX || size > limits::BLOCK_TRANSACTIONS_SIZE_MAX {
                    return chosen;
                }
                chosen.push(waiting.transaction.clone());
            }
            if round.is_empty() {
                break;
            }
        }
        chosen
    }

    /// Drops what a proposer found impossible. What is merely ahead of its turn stays.
    pub(crate) fn reject(&self, rejected: Vec<(TransactionId, Rejection)>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, rejection) in rejected {
            if !matches!(rejection, Rejection::NonceTooHigh { .. }) {
                pool.remove(id);
                pool.remember(id, rejection.to_string());
            }
        }
    }

    /// Drops what a final block made stale.
    pub(crate) fn finalized(&self, state: &State) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let height = state.height();
        let mut stale = Vec::new();
        for (sender, lane) in &pool.lanes {
            let next = state.next_nonce(sender);
            stale.extend(
                lane.iter()
                    .filter(|(nonce, waiting)| {
                        **nonce < next || waiting.height.saturating_add(BLOCKS_WAITING_MAX) < height
                    })
                    .map(|(nonce, _)| (*sender, *nonce)),
            );
        }
        for (sender, nonce) in stale {
            pool.take(&sender, nonce);
        }
    }

    /// Own transactions that still wait although others should have them: to be passed on again.
    pub(crate) fn unconfirmed(&self, count_max: usize) -> Vec<SignedTransaction> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.lanes
            .values()
            .flat_map(BTreeMap::values)
            .filter(|waiting| waiting.own)
            .take(count_max)
            .map(|waiting| waiting.transaction.signed().clone())
            .collect()
    }

    /// True while the transaction waits here.
    pub(crate) fn contains(&self, id: TransactionId) -> bool {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.find(id).is_some()
    }

    /// Why the transaction was dropped, if this proposer did so lately.
    pub(crate) fn rejection(&self, id: TransactionId) -> Option<String> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).rejected.get(&id).cloned()
    }

    /// Transactions held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl Pool {
    fn insert(&mut self, transaction: VerifiedTransaction, height: u64, own: bool) -> Result<(), SubmitError> {
        let inner = transaction.transaction();
        let (sender, nonce, size) = (inner.sender, inner.nonce, transaction.size());
        let quarters = if goes_first(&inner.body) { 4 } else { ORDINARY_QUARTERS };
        let is_full =
            self.count >= COUNT_MAX / 4 * quarters || self.size.saturating_add(size) > SIZE_MAX / 4 * quarters;
        if is_full || self.lanes.get(&sender).is_some_and(|lane| lane.len() >= LANE_MAX) {
            return Err(SubmitError::Full);
        }
        let lane = self.lanes.entry(sender).or_default();
        if lane.contains_key(&nonce) {
            return Err(SubmitError::Occupied { nonce });
        }
        let arrival = self.arrivals;
        lane.insert(nonce, Waiting { transaction, arrival, height, own });
        self.arrivals = arrival.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.size = self.size.saturating_add(size);
        Ok(())
    }

    fn take(&mut self, sender: &AccountId, nonce: u64) {
        let Some(lane) = self.lanes.get_mut(sender) else { return };
        if let Some(waiting) = lane.remove(&nonce) {
            self.count = self.count.saturating_sub(1);
            self.size = self.size.saturating_sub(waiting.transaction.size());
        }
        if lane.is_empty() {
            self.lanes.remove(sender);
        }
    }

    fn find(&self, id: TransactionId) -> Option<(AccountId, u64)> {
        self.lanes.iter().find_map(|(sender, lane)| {
            lane.iter().find(|(_, waiting)| waiting.transaction.id() == id).map(|(nonce, _)| (*sender, *nonce))
        })
    }

    fn remove(&mut self, id: TransactionId) {
        if let Some((sender, nonce)) = self.find(id) {
            self.take(&sender, nonce);
        }
    }

    fn remember(&mut self, id: TransactionId, reason: String) {
        if self.rejected.insert(id, reason).is_none() {
            self.rejected_order.push_back(id);
        }
        while self.rejected_order.len() > REJECTED_MAX
            && let Some(oldest) = self.rejected_order.pop_front()
        {
            self.rejected.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
