//! Leases: which are open, which of them takes a job, and who is connected to serve them.

use super::jobs::JobSpec;
use super::{Ending, Hub, Inner};
use crate::store::{LeaseRecord, StoreError, UnsignedRecord};
use inferium_types::{
    Amount, ForcedOrder, ImpossibleJob, JobId, JobRequest, LeaseId, NodeId, Price, ProfileId, StallId, VrfProof,
    VrfPublicKey, limits, vrf_input, wire::GatewayMessage,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Leases that workers were ready for before the gateway had seen them on the chain.
const EARLY_MAX: usize = 1_024;
/// Those of one worker: more than a block grants it, and far from all.
const EARLY_OF_WORKER_MAX: usize = 32;
/// Zeros at the end of a lease's first sequence. Whatever stands before them, almost all sequences come after it.
const FIRST_SEQUENCE_ZEROS: u32 = 24;
const _: () = assert!((u32::MAX as u64) << FIRST_SEQUENCE_ZEROS < limits::SEQUENCE_MAX / 32);

/// Why no worker took a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoLease {
    /// No lease for the model is open with a connected worker.
    #[error("no worker serves this model now")]
    NoWorker,
    /// All of them are full.
    #[error("all workers are busy")]
    Busy,
    /// The budget does not cover the request.
    #[error("the request may cost {cost}, {left} of the budget is left")]
    Budget { cost: Amount, left: Amount },
    /// The key is for other models.
    #[error("this API key may not use `{model}`, only {}", crate::api::names(.allowed))]
    NotAllowed { model: String, allowed: Vec<String> },
    /// No lease could ever take it.
    #[error(transparent)]
    Impossible(#[from] ImpossibleJob),
}

/// What of a lease was used before the gateway came to serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LeaseUse {
    pub(crate) jobs: u32,
    pub(crate) tokens: u64,
    /// It takes no new jobs, only the segments of what it had.
    pub(crate) ended: bool,
}

/// A lease with what runs on it.
#[derive(Debug)]
pub(super) struct LeaseEntry {
    pub(super) record: LeaseRecord,
    vrf: VrfPublicKey,
    ended: bool,
    /// No new jobs: this claim that its worker stalled is being looked into.
    suspended: Option<StallId>,
    pub(super) outbox: Option<mpsc::Sender<GatewayMessage>>,
    pub(super) next_sequence: u64,
    pub(super) jobs_used: u32,
    pub(super) tokens_used: u64,
    pub(super) running: BTreeSet<JobId>,
    /// Finished jobs that no signed segment holds.
    pub(super) unsigned: BTreeMap<JobId, UnsignedRecord>,
}

impl LeaseEntry {
    fn new(record: LeaseRecord, vrf: VrfPublicKey, used: LeaseUse) -> Self {
        Self {
            record,
            vrf,
            ended: used.ended,
            suspended: None,
            outbox: None,
            // A sequence names one request for ever, and an earlier run may have used some that nothing here knows
            // of. What keeps them apart is the worker's word: before the first job this is raised to the sequence from
            // which on it took none (`lease_ready`), and it takes none twice. A random start is not above those of
            // before; it makes it unlikely that a worker whose word is wrong meets the same one again.
            next_sequence: u64::from(rand::random::<u32>()) << FIRST_SEQUENCE_ZEROS,
            jobs_used: used.jobs,
            tokens_used: used.tokens,
            running: BTreeSet::new(),
            unsigned: BTreeMap::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        // A worker may say that it took every sequence there is: its lease is of no use then.
        let has_sequences = self.next_sequence <= limits::SEQUENCE_MAX;
        self.outbox.is_some() && !self.ended && self.suspended.is_none() && has_sequences
    }

    /// What the worker's VRF ordered for segment `index`, if `proof` is its proof of that (SPEC V5).
    pub(super) fn order(&self, index: u32, proof: &VrfProof) -> Option<ForcedOrder> {
        let input = ForcedOrder::input(&self.record.beacon, self.record.lease, index);
        self.vrf.verify(&input, proof).map(ForcedOrder::of)
    }

    fn has_room(&self, tokens: u64) -> bool {
        self.jobs_used < self.record.terms.clients_jobs_max()
            && self.tokens_used.saturating_add(tokens) <= self.record.terms.clients_tokens_max()
            && u32::try_from(self.running.len()).unwrap_or(u32::MAX) < self.record.terms.slots
    }

    /// Gives the lease no more jobs because of a claim; false when that is no use, or another one
    /// is under way (SPEC T6: one at a time per running lease).
    pub(super) const fn suspend(&mut self, claim: StallId) -> bool {
        if self.ended || self.suspended.is_some() {
            return false;
        }
        self.suspended = Some(claim);
        true
    }
}

/// A worker's word that it is ready for a lease.
#[derive(Debug, Clone)]
pub(super) struct Early {
    proof: VrfProof,
    sequence_from: u64,
    outbox: mpsc::Sender<GatewayMessage>,
}

impl Hub {
    // From workers.

    /// A worker is ready to serve a lease; nothing happens unless the lease is its own and its proof holds.
    pub(crate) fn lease_ready(
        &self,
        worker: NodeId,
        lease: LeaseId,
        proof: &VrfProof,
        sequence_from: u64,
        outbox: &mpsc::Sender<GatewayMessage>,
    ) {
        let (vrf, beacon) = {
            let mut inner = self.lock();
            let Some(entry) = inner.leases.get(&lease) else {
                // It follows the chain too, and may be ahead: kept until the lease is known here.
                let of_worker = inner.early.keys().filter(|(_, of)| *of == worker).count();
                if inner.early.len() < EARLY_MAX && of_worker < EARLY_OF_WORKER_MAX {
                    let early = Early { proof: *proof, sequence_from, outbox: outbox.clone() };
                    inner.early.insert((lease, worker), early);
                }
                return;
            };
            if entry.record.worker != worker {
                return;
            }
            (entry.vrf, entry.record.beacon)
        };
        // SPEC J7: the seed of the lease's sampling is fixed here, before its first job.
        if vrf.verify(&vrf_input(&beacon, lease), proof).is_none() {
            warn!(%worker, %lease, "the worker's VRF proof is wrong");
            return;
        }
        let mut orphans = Vec::new();
        if let Some(entry) = self.lock().leases.get_mut(&lease) {
            if !entry.outbox.as_ref().is_some_and(|current| current.same_channel(outbox)) {
                orphans.extend(entry.running.iter().copied());
            }
            entry.next_sequence = entry.next_sequence.max(sequence_from);
            entry.outbox = Some(outbox.clone());
        }
        for job in orphans {
            self.end(job, &Ending::Disconnected);
        }
        info!(%worker, %lease, "lease ready");
        self.leases_changed();
    }

    /// True when the chain granted this worker a lease with this gateway.
    pub(crate) fn knows_worker(&self, worker: NodeId) -> bool {
        self.lock().leases.values().any(|entry| entry.record.worker == worker)
    }

    pub(crate) fn session_lost(&self, worker: NodeId, outbox: &mpsc::Sender<GatewayMessage>) {
        let mut lost = Vec::new();
        {
            let mut inner = self.lock();
            inner.early.retain(|_, early| !early.outbox.same_channel(outbox));
            for entry in inner.leases.values_mut().filter(|entry| entry.record.worker == worker) {
                if entry.outbox.as_ref().is_some_and(|current| current.same_channel(outbox)) {
                    entry.outbox = None;
                    lost.extend(entry.running.iter().copied());
                }
            }
        }
        for job in lost {
            self.end(job, &Ending::Disconnected);
        }
        self.leases_changed();
    }

    // From the chain.

    /// Makes leases known, all at once: a worker that is back proposes segments of any of them.
    pub(crate) fn add_leases(&self, leases: Vec<(LeaseRecord, VrfPublicKey, LeaseUse)>) {
        let mut ready = Vec::new();
        {
            let mut inner = self.lock();
            for (record, vrf, used) in leases {
                let lease = record.lease;
                if inner.leases.contains_key(&lease) {
                    continue;
                }
                let mut entry = LeaseEntry::new(record, vrf, used);
                for (job, record) in inner.take_recovered(lease) {
                    let usage = record.leaf.result.usage;
                    let tokens = u64::from(usage.prompt_tokens).saturating_add(u64::from(usage.completion_tokens));
                    entry.jobs_used = entry.jobs_used.saturating_add(1);
                    entry.tokens_used = entry.tokens_used.saturating_add(tokens);
                    entry.unsigned.insert(job, record);
                }
                let worker = entry.record.worker;
                inner.leases.insert(lease, entry);
                ready.extend(inner.early.remove(&(lease, worker)).map(|early| (lease, worker, early)));
            }
        }
        for (lease, worker, early) in ready {
            self.lease_ready(worker, lease, &early.proof, early.sequence_from, &early.outbox);
        }
    }

    pub(crate) fn end_lease(&self, lease: LeaseId) {
        if let Some(entry) = self.lock().leases.get_mut(&lease) {
            entry.ended = true;
        }
        self.leases_changed();
    }

    /// Forgets a lease that the chain closed: jobs of it that no segment holds have failed, and
    /// segments of it that were never committed cost nothing. Waits for the disk.
    pub(crate) fn close_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        let _turn = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let running: Vec<JobId> =
            self.lock().leases.get(&lease).map(|entry| entry.running.iter().copied().collect()).unwrap_or_default();
        for job in running {
            self.end(job, &Ending::LeaseClosed);
        }
        let lost: Vec<JobId> = {
            let mut inner = self.lock();
            let mut lost = inner.take_recovered(lease);
            lost.extend(inner.leases.remove(&lease).map(|entry| entry.unsigned).unwrap_or_default());
            for (job, record) in &lost {
                inner.budgets.free(record.payer, record.cost);
                inner.remember_failed(*job);
            }
            lost.into_keys().collect()
        };
        let refunds = self.store.close_lease(lease, &lost)?;
        self.lock().budgets.refund(&refunds);
        self.leases_changed();
        Ok(())
    }

    /// A claim was answered, or is over without consequence: its lease gets jobs again.
    pub(crate) fn resume(&self, claim: StallId) {
        let mut resumed = false;
        for entry in self.lock().leases.values_mut().filter(|entry| entry.suspended == Some(claim)) {
            entry.suspended = None;
            resumed = true;
        }
        if resumed {
            self.leases_changed();
        }
    }

    // For answers about the gateway itself.

    /// Leases for `profile` that are open, and the largest context among them.
    pub(crate) fn open_leases(&self, profile: ProfileId) -> (usize, u32) {
        let inner = self.lock();
        let open = inner.leases.values().filter(|e| e.record.terms.profile == profile && e.is_open());
        open.fold((0, 0), |(count, context), entry| {
            (count.saturating_add(1), context.max(entry.record.terms.context_tokens))
        })
    }

    /// Workers that serve a profile now, and the lowest price among them.
    pub(crate) fn market(&self, profile: ProfileId) -> (usize, Option<Price>) {
        let inner = self.lock();
        let open = inner.leases.values().filter(|e| e.record.terms.profile == profile && e.is_open());
        let (mut workers, mut lowest) = (BTreeSet::new(), None::<Price>);
        for entry in open {
            workers.insert(entry.record.worker);
            let price = entry.record.price;
            let sum = |price: &Price| price.prompt_token.nano().saturating_add(price.completion_token.nano());
            if lowest.is_none_or(|lowest| sum(&price) < sum(&lowest)) {
                lowest = Some(price);
            }
        }
        (workers.len(), lowest)
    }

    /// Who serves a lease.
    pub(crate) fn worker_of(&self, lease: LeaseId) -> Option<NodeId> {
        self.lock().leases.get(&lease).map(|entry| entry.record.worker)
    }

    /// Which leases are open is not what it was: whoever waits for one looks again.
    pub(super) fn leases_changed(&self) {
        let open = self.lock().leases.values().filter(|entry| entry.is_open()).count();
        self.metrics.leases_ready.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.room.notify_waiters();
    }
}

/// What makes one lease better than another, the lower the better: the client's wish, how busy it is, how much it was used.
type Rank = ((usize, u64), u64, u32, LeaseId);

impl Inner {
    /// The request of a job for the lease that takes it: open, with room, and the smallest share of its slots in use;
    /// ties go to the one with the fewest jobs so far, so that work spreads. No lease gets what its worker would have to
    /// refuse.
    pub(super) fn choose_lease(
        &self,
        spec: &JobSpec,
        job: JobId,
        attempt: u8,
        avoid: Option<NodeId>,
    ) -> Result<JobRequest, NoLease> {
        let (mut is_possible, mut is_busy) = (false, false);
        // Of the largest context, which says what would have been possible.
        let mut impossible: Option<(u32, ImpossibleJob)> = None;
        let mut best: Option<(Rank, JobRequest)> = None;
        let of_profile = self.leases.iter().filter(|(_, e)| e.record.terms.profile == spec.profile && e.is_open());
        for (id, entry) in of_profile {
            if !spec.preferences.allow(entry.record.worker, &entry.record.price) {
                continue;
            }
            let request = spec.request(job, attempt, *id, entry.next_sequence);
            let context = entry.record.terms.context_tokens;
            if let Err(reason) = request.check(context) {
                if impossible.is_none_or(|(largest, _)| context > largest) {
                    impossible = Some((context, reason));
                }
                continue;
            }
            is_possible = true;
            if Some(entry.record.worker) == avoid {
                continue;
            }
            if !entry.has_room(request.tokens()) {
                is_busy = true;
                continue;
            }
            let running = u64::try_from(entry.running.len()).unwrap_or(u64::MAX);
            let share = running.saturating_mul(1_000) / u64::from(entry.record.terms.slots.max(1));
            let wish = spec.preferences.rank(entry.record.worker, &entry.record.price);
            let rank = (wish, share, entry.jobs_used, *id);
            if best.as_ref().is_none_or(|(best, _)| rank < *best) {
                best = Some((rank, request));
            }
        }
        match (best, impossible) {
            (Some((_, request)), _) => Ok(request),
            (None, _) if is_busy => Err(NoLease::Busy),
            (None, Some((_, reason))) if !is_possible => Err(reason.into()),
            (None, _) => Err(NoLease::NoWorker),
        }
    }

    /// Takes what an earlier run left unsigned of a lease.
    fn take_recovered(&mut self, lease: LeaseId) -> BTreeMap<JobId, UnsignedRecord> {
        let (of_lease, others) =
            std::mem::take(&mut self.recovered).into_iter().partition(|(_, r)| r.leaf.request.lease == lease);
        self.recovered = others;
        of_lease
    }
}
