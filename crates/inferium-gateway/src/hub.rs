//! Where requests meet leases: who serves what, what it costs, and what workers send back.
//!
//! | part | what it does |
//! | --- | --- |
//! | `jobs` | a job from its submission to its end, whatever ends it |
//! | `attempts` | the tries for one answer: hedge and retry |
//! | `ending` | the ways in which one ends without a result |
//! | `deadlines` | until when a worker must have shown something |
//! | `backlog` | batches: which of them were cancelled, and what they wait for |
//! | `leases` | which leases are open, and which of them takes a job |
//! | `limits` | how much keys may ask for in a minute |
//! | `payments` | what clients pay with, until a final block decides it |
//! | `runs` | runs of agents, and the model calls that their hosts ask for |
//! | `load` | how busy what is served is |
//! | `segments` | signing what was delivered |
//! | `unsigned` | keeping finished jobs until a segment holds them |
//! | `budgets` | what keys may spend, and did |
//! | `keyring` | which keys there are, what each may be used for, and until when |
//!
//! Invariants: nothing waits for the disk while it holds the hub's mutex; what a budget has left
//! never counts a job twice and never forgets one: it is reserved until the same critical section
//! that makes it spent, or frees it.

mod attempts;
mod backlog;
mod budgets;
mod deadlines;
mod ending;
mod jobs;
mod keyring;
mod leases;
mod limits;
mod load;
mod payments;
mod preferences;
mod runs;
mod segments;
mod unsigned;

pub(crate) use attempts::{Attempts, Siblings};
pub(crate) use backlog::Pending;
pub(crate) use ending::Ending;
pub(crate) use jobs::{JobEvent, JobHandle, JobSpec, TextPiece, Ticket};
pub(crate) use keyring::{KeyRefusal, KeyView, NotRevoked, UNLIMITED, key_id};
pub(crate) use leases::{LeaseUse, NoLease, Retired};
pub(crate) use limits::{LimitView, Limited, OverLimit, TakenTokens};
pub(crate) use payments::{NotTaken, PENDING_EACH_MAX, Settled};
pub(crate) use preferences::Preferences;
pub(crate) use runs::{CallAsked, HiredRun, RunNews, RunReservation, RunSpec, calls_max};
pub(crate) use segments::NotSigned;
pub(crate) use unsigned::keep_unsigned;

use crate::metrics::Metrics;
use crate::stall::Claim;
use crate::store::{GatewayStore, SegmentStatus, StoreError, UnsignedRecord};
use backlog::Backlog;
use budgets::Budgets;
use inferium_types::{Digest, JobId, LeaseId, NodeId, ProfileId, SecretKey, SegmentId, TaskKind, TransactionId};
use jobs::RunningJob;
use leases::{Early, LeaseEntry};
use limits::Limits;
use payments::Payments;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Failed jobs whose status is remembered.
const FAILED_MAX: usize = 10_000;
/// Finished jobs on their way to the disk, before workers' sessions wait for it.
const UNSIGNED_QUEUE: usize = 4_096;

#[derive(Debug, Default)]
struct Inner {
    leases: BTreeMap<LeaseId, LeaseEntry>,
    running: BTreeMap<JobId, RunningJob>,
    /// The deadline of every running job.
    deadlines: BTreeSet<(Instant, JobId)>,
    budgets: Budgets,
    limits: Limits,
    /// What clients call the profiles that are served.
    names: BTreeMap<ProfileId, String>,
    failed: VecDeque<JobId>,
    /// Workers that were ready before this gateway's follower had seen their lease.
    early: BTreeMap<(LeaseId, NodeId), Early>,
    /// Finished jobs of an earlier run, whose lease was not read from the chain yet.
    recovered: BTreeMap<JobId, UnsignedRecord>,
    /// What requests that wait for room wait for.
    waiting: BTreeMap<u64, (ProfileId, TaskKind)>,
    next_ticket: u64,
    /// Runs that keys have under way.
    runs: BTreeMap<Digest, u32>,
    /// Hired runs under way.
    hired: BTreeSet<LeaseId>,
}

impl Inner {
    fn remember_failed(&mut self, job: JobId) {
        if self.failed.len() >= FAILED_MAX {
            self.failed.pop_front();
        }
        self.failed.push_back(job);
    }
}

/// What comes out of a hub; whoever made it attends to these.
#[derive(Debug)]
pub(crate) struct Outlets {
    /// The disk failed: the gateway must stop (SPEC C8).
    pub(crate) fatal: mpsc::Receiver<StoreError>,
    /// Workers that did not answer.
    pub(crate) claims: mpsc::UnboundedReceiver<Claim>,
    /// Finished jobs, to be kept by [`keep_unsigned`].
    pub(crate) unsigned: mpsc::Receiver<UnsignedRecord>,
    /// Clients' payments, to be brought to the chain.
    pub(crate) payments: mpsc::UnboundedReceiver<TransactionId>,
    /// Model calls that hosts of runs ask for.
    pub(crate) calls: mpsc::UnboundedReceiver<CallAsked>,
    /// Runs that other runs hired, to be hosted.
    pub(crate) hired: mpsc::UnboundedReceiver<HiredRun>,
}

/// The meeting place. Shared by the API, the sessions and the chain's follower.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) key: SecretKey,
    pub(crate) store: GatewayStore,
    pub(crate) metrics: Metrics,
    inner: Mutex<Inner>,
    payments: Payments,
    backlog: Backlog,
    /// Held while a segment is signed or a lease closed, over the disk's time too: of two
    /// proposals of one segment the second finds what the first left.
    books: Mutex<()>,
    room: Notify,
    /// A deadline is earlier than all that were known.
    sooner: Notify,
    fatal: mpsc::Sender<StoreError>,
    /// One claim per lease at a time, so it is bounded by the leases.
    claims: mpsc::UnboundedSender<Claim>,
    /// One call per run at a time.
    calls: mpsc::UnboundedSender<CallAsked>,
    hired: mpsc::UnboundedSender<HiredRun>,
    unsigned: mpsc::Sender<UnsignedRecord>,
    /// Share of segments whose worker is ordered to plant a job, as the chain has it; parts per million (SPEC V5).
    pub(crate) forced_share: AtomicU32,
}

impl Hub {
    /// A hub with what an earlier run left in `store`.
    pub(crate) fn new(key: SecretKey, store: GatewayStore) -> Result<(Arc<Self>, Outlets), StoreError> {
        let terms = store.key_terms()?;
        let mut limits = Limits::default();
        terms.iter().for_each(|(payer, terms)| limits.set(*payer, terms.limits));
        let mut inner = Inner { budgets: Budgets::new(store.keys()?, terms), limits, ..Inner::default() };
        for record in store.unsigned()? {
            inner.budgets.reserve(record.payer, record.cost);
            inner.recovered.insert(record.leaf.request.job, record);
        }
        let (payments, to_send) = Payments::new(store.pending_payments()?);
        let (fatal_tx, fatal) = mpsc::channel(1);
        let (claims_tx, claims) = mpsc::unbounded_channel();
        let (calls_tx, calls) = mpsc::unbounded_channel();
        let (hired_tx, hired) = mpsc::unbounded_channel();
        let (unsigned_tx, unsigned) = mpsc::channel(UNSIGNED_QUEUE);
        let hub = Self {
            key,
            store,
            metrics: Metrics::new(),
            inner: Mutex::new(inner),
            payments,
            backlog: Backlog::default(),
            books: Mutex::default(),
            room: Notify::new(),
            sooner: Notify::new(),
            fatal: fatal_tx,
            claims: claims_tx,
            calls: calls_tx,
            hired: hired_tx,
            unsigned: unsigned_tx,
            forced_share: AtomicU32::new(0),
        };
        Ok((Arc::new(hub), Outlets { fatal, claims, unsigned, payments: to_send, calls, hired }))
    }

    pub(crate) fn node(&self) -> NodeId {
        self.key.public_key()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failed write stops the gateway (SPEC C8).
    pub(crate) fn must<T>(&self, outcome: Result<T, StoreError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                // Full means that the news is on its way already.
                let _ = self.fatal.try_send(error);
                None
            }
        }
    }

    /// Does what waits for the disk where no request waits for it.
    pub(crate) async fn disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let hub = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&hub)).await.unwrap_or_else(|error| Err(StoreError::new(error)))
    }

    // From the chain.

    /// Records what the chain decided about a segment. Waits for the disk.
    pub(crate) fn decide_segment(&self, id: SegmentId, status: SegmentStatus) -> Result<(), StoreError> {
        let refunds = self.store.decide_segment(id, status)?;
        self.lock().budgets.refund(&refunds);
        Ok(())
    }

    // For answers about the gateway itself.

    /// True if a key may use a model, and may have something left to pay for it with.
    pub(crate) fn may_ask(&self, payer: Digest, profile: ProfileId) -> bool {
        self.has_budget(payer) && self.lock().check_model(payer, profile).is_ok()
    }

    /// True unless a key has spent all that it may.
    pub(crate) fn has_budget(&self, payer: Digest) -> bool {
        let inner = self.lock();
        !inner.budgets.left(payer).is_zero() || inner.budgets.reserved(payer) > 0
    }

    /// True while some of a key's budget is reserved: what is left may be more soon, or is known to be spent.
    pub(crate) fn has_reserved(&self, payer: Digest) -> bool {
        self.lock().budgets.reserved(payer) > 0
    }

    /// True while a job runs, or is finished and in no signed segment.
    pub(crate) fn is_known(&self, job: JobId) -> bool {
        let inner = self.lock();
        inner.running.contains_key(&job)
            || inner.recovered.contains_key(&job)
            || inner.leases.values().any(|entry| entry.unsigned.contains_key(&job))
    }

    pub(crate) fn has_failed(&self, job: JobId) -> bool {
        self.lock().failed.contains(&job)
    }
}

#[cfg(test)]
mod tests;
