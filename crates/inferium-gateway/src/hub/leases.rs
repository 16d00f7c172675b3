//! Leases: which are open, which of them takes a job, and who is connected to serve them.

use super::jobs::JobSpec;
use super::{Ending, Hub, Inner};
use crate::store::{LeaseRecord, StoreError, UnsignedRecord};
use inferium_types::{
    Amount, ForcedOrder, ImpossibleJob, JobId, JobRequest, LeaseId, NodeId, Price, ProfileId, StallId, TaskKind,
    VrfProof, VrfPublicKey, limits, vrf_input, wire::GatewayMessage,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

/// Leases that workers were ready for before the gateway had seen them on the chain.
const EARLY_MAX: usize = 1_024;
/// Those of one worker: more than a block grants it, and far from all.
const EARLY_OF_WORKER_MAX: usize = 32;
/// Zeros at the end of a lease's first sequence. Whatever stands before them, almost all sequences come after it.
const FIRST_SEQUENCE_ZEROS: u32 = 24;
const _: () = assert!((u32::MAX as u64) << FIRST_SEQUENCE_ZEROS < limits::SEQUENCE_MAX / 32);

/// How long a lease for batches is kept that has nothing to do: each costs a fee, however short it is.
const UNUSED: Duration = Duration::from_secs(60);

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
    /// No new jobs: it is to be closed as soon as it is idle.
    retired: bool,
    /// When a job was last given to it, or it was made.
    used_at: Instant,
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
            retired: false,
            used_at: Instant::now(),
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
        self.outbox.is_some() && self.is_active() && self.suspended.is_none() && has_sequences
    }

    /// Gives it up if it lies idle since so long: it is to be closed then.
    pub(super) fn retire_unused(&mut self, since: Duration) {
        if self.is_active() && self.is_idle() && self.used_at.elapsed() >= since {
            self.retired = true;
        }
    }

    /// True when a job was given to it, or may have been in an earlier run of this gateway.
    pub(super) fn was_begun(&self) -> bool {
        self.jobs_used > 0 || !self.running.is_empty()
    }

    /// True if nothing runs on it, and a segment holds all that it did.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.unsigned.is_empty()
    }

    /// Takes a job.
    pub(super) fn take(&mut self, job: JobId, tokens: u64) {
        self.jobs_used = self.jobs_used.saturating_add(1);
        self.tokens_used = self.tokens_used.saturating_add(tokens);
        self.running.insert(job);
        self.used_at = Instant::now();
    }

    /// True until it is over, or being closed.
    const fn is_active(&self) -> bool {
        !self.ended && !self.retired
    }

    fn is_of(&self, profile: ProfileId, kind: TaskKind) -> bool {
        self.record.terms.profile == profile && self.record.terms.kind == kind
    }

    /// True when it takes jobs for a profile, of those that are asked as `kind`.
    pub(super) fn serves(&self, profile: ProfileId, kind: TaskKind) -> bool {
        self.is_of(profile, kind) && self.is_open()
    }

    /// What the worker's VRF ordered for segment `index`, if `proof` is its proof of that (SPEC V5).
    pub(super) fn order(&self, index: u32, proof: &VrfProof) -> Option<ForcedOrder> {
        let input = ForcedOrder::input(&self.record.beacon, self.record.lease, index);
        self.vrf.verify(&input, proof).map(ForcedOrder::of)
    }

    pub(super) fn has_room(&self, tokens: u64) -> bool {
        self.has_left(tokens) && u32::try_from(self.running.len()).unwrap_or(u32::MAX) < self.record.terms.slots
    }

    /// True while it is good for a job of so many tokens, if not at this moment.
    fn has_left(&self, tokens: u64) -> bool {
        self.jobs_used < self.record.terms.clients_jobs_max()
            && self.tokens_used.saturating_add(tokens) <= self.record.terms.clients_tokens_max()
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

/// Which lease may be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// Also one that is at work, which it ends first.
    Busy,
    Idle,
    /// One that is idle, and was for a while.
    Unused,
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

    // For the demand.

    /// Leases that are not over, and how many of them have a whole context left, if not a slot free at the moment: those whose worker was
    /// not heard of yet count as well.
    pub(crate) fn active_leases(&self, profile: ProfileId, kind: TaskKind) -> (usize, usize) {
        let inner = self.lock();
        let active = inner.leases.values().filter(|entry| entry.is_of(profile, kind) && entry.is_active());
        active.fold((0, 0), |(count, roomy), entry| {
            (
                count.saturating_add(1),
                roomy.saturating_add(usize::from(entry.has_left(entry.record.terms.context_tokens.into()))),
            )
        })
    }

    /// Gives a lease no more jobs, so that it is idle in time and can be closed; false if none is as it should be. Rather one that serves
    /// nobody now, and none if fewer than `keep` would be left that do.
    pub(crate) fn retire(&self, profile: ProfileId, kind: TaskKind, whose: Retired, keep: usize) -> bool {
        let mut inner = self.lock();
        let open = inner.leases.values().filter(|entry| entry.serves(profile, kind)).count();
        let fit = inner.leases.values_mut().filter(|entry| {
            let is_fit = match whose {
                // One that serves nobody has no slots to give.
                Retired::Busy => entry.is_open(),
                Retired::Idle => entry.is_idle(),
                Retired::Unused => entry.is_idle() && entry.used_at.elapsed() >= UNUSED,
            };
            let left = open.saturating_sub(usize::from(entry.is_open()));
            entry.is_of(profile, kind) && entry.is_active() && is_fit && left >= keep
        });
        let found = fit.min_by_key(|entry| (entry.is_open(), entry.running.len()));
        found.map(|entry| entry.retired = true).is_some()
    }

    /// Leases that get no more jobs and are idle: to be closed.
    pub(crate) fn retired(&self) -> Vec<LeaseId> {
        let inner = self.lock();
        let done = inner.leases.iter().filter(|(_, entry)| entry.retired && !entry.ended && entry.is_idle());
        done.map(|(lease, _)| *lease).collect()
    }

    /// True if a lease of this kind is to be closed and is not yet. One whose worker is away may stay so for as long as it lasts.
    pub(crate) fn is_retiring(&self, profile: ProfileId, kind: TaskKind) -> bool {
        let inner = self.lock();
        let mut retiring = inner.leases.values().filter(|entry| entry.is_of(profile, kind) && entry.retired);
        retiring.any(|entry| !entry.ended && entry.outbox.is_some())
    }

    /// A lease that could not be closed is used again.
    pub(crate) fn reinstate(&self, lease: LeaseId) {
        if let Some(entry) = self.lock().leases.get_mut(&lease) {
            entry.retired = false;
        }
        self.leases_changed();
    }

    // For answers about the gateway itself.

    /// Leases for `profile` and of `kind` that are open, and the largest context among them.
    pub(crate) fn open_leases(&self, profile: ProfileId, kind: TaskKind) -> (usize, u32) {
        let inner = self.lock();
        let open = inner.leases.values().filter(|e| e.serves(profile, kind));
        open.fold((0, 0), |(count, context), entry| {
            (count.saturating_add(1), context.max(entry.record.terms.context_tokens))
        })
    }

    /// Checks that a key can pay for all of some jobs of one profile, on the cheapest lease that could take them.
    pub(crate) fn check_budget(&self, specs: &[JobSpec]) -> Result<(), NoLease> {
        let Some(first) = specs.first() else { return Ok(()) };
        let inner = self.lock();
        let of_profile = inner.leases.values().filter(|e| e.serves(first.profile, first.kind));
        let costs = of_profile
            .filter(|entry| first.preferences.allow(entry.record.worker, &entry.record.price))
            .filter(|entry| specs.iter().all(|spec| spec.check(entry.record.terms.context_tokens).is_ok()))
            .map(|entry| {
                specs.iter().map(|spec| spec.cost_max(&entry.record.price).nano()).fold(0, u64::saturating_add)
            });
        let cost = Amount::from_nano(costs.min().unwrap_or_default());
        let left = inner.budgets.left(first.payer);
        if cost > left { Err(NoLease::Budget { cost, left }) } else { Ok(()) }
    }

    /// Workers that serve requests for a profile now, and the lowest price among them.
    pub(crate) fn market(&self, profile: ProfileId, kind: TaskKind) -> (usize, Option<Price>) {
        let inner = self.lock();
        let open = inner.leases.values().filter(|e| e.serves(profile, kind));
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
        let left = self.budgets.left(spec.payer);
        let mut too_dear: Option<Amount> = None;
        let of_profile = self.leases.iter().filter(|(_, e)| e.serves(spec.profile, spec.kind));
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
            let cost = spec.cost_max(&entry.record.price);
            if cost > left {
                too_dear = Some(too_dear.map_or(cost, |least| least.min(cost)));
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
            (None, _) if too_dear.is_some() => Err(NoLease::Budget { cost: too_dear.unwrap_or_default(), left }),
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
