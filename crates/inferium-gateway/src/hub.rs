//! Where requests meet leases: who serves what, what it costs, and what workers send back.

use crate::metrics::Metrics;
use crate::store::{GatewayStore, LeaseRecord, SegmentRecord, SegmentStatus, StoreError};
use inferium_engine::Engine;
use inferium_types::{
    Amount, Digest, FinishReason, JobId, JobLeaf, JobOutput, JobPayload, JobRequest, JobResult, JobTotals, LeaseId,
    NodeId, ProfileId, SamplingParams, SecretKey, SegmentTerms, Signature, Usage, VrfProof, VrfPublicKey, merkle_root,
    vrf_input, wire::GatewayMessage,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

/// Requests that wait for a lease with room.
const WAITING_MAX: usize = 512;
/// Time for a worker to end a job that was cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a lease gets no jobs after its worker did not answer.
const SUSPENSION: Duration = Duration::from_secs(60);
/// Leases that workers were ready for before the gateway had seen them on the chain.
const EARLY_MAX: usize = 1_024;
/// Bytes of text that one token may stand for, and some for the whole.
const TOKEN_TEXT_MAX: usize = 256;
/// Failed jobs whose status is remembered.
const FAILED_MAX: usize = 10_000;

/// What a job tells the request that waits for it.
#[derive(Debug, Clone)]
pub(crate) enum JobEvent {
    /// More of the answer.
    Text(String),
    /// The end.
    Done { usage: Usage, finish: FinishReason },
    /// No answer, or no more of it.
    Failed { reason: String },
}

/// What a client asked, ready for a worker.
#[derive(Debug, Clone)]
pub(crate) struct JobSpec {
    pub(crate) profile: ProfileId,
    pub(crate) payload: JobPayload,
    pub(crate) prompt_tokens: u32,
    pub(crate) tokens_max: u32,
    pub(crate) sampling: SamplingParams,
    pub(crate) client_seed: Option<u64>,
    pub(crate) payer: Digest,
}

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
    /// The prompt and its answer are longer than any worker's context.
    #[error("{tokens} tokens do not fit the measured context of {context_tokens}")]
    TooLong { tokens: u64, context_tokens: u32 },
    #[error("{0}")]
    Store(String),
}

/// Why the gateway does not sign a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRefusal {
    /// Jobs in it whose results were not delivered, or came too late.
    pub(crate) undelivered: Vec<JobId>,
    pub(crate) reason: String,
}

impl From<&str> for SegmentRefusal {
    fn from(reason: &str) -> Self {
        Self { undelivered: Vec::new(), reason: reason.to_owned() }
    }
}

/// A lease with what runs on it.
#[derive(Debug)]
struct LeaseEntry {
    record: LeaseRecord,
    vrf: VrfPublicKey,
    ended: bool,
    /// No new jobs: a stall is being looked into.
    suspended_until: Option<Instant>,
    outbox: Option<mpsc::Sender<GatewayMessage>>,
    next_sequence: u64,
    jobs_used: u32,
    tokens_used: u64,
    running: BTreeSet<JobId>,
    /// Finished jobs that no signed segment holds.
    unsigned: BTreeMap<JobId, (JobLeaf, Digest, Amount)>,
}

impl LeaseEntry {
    fn is_open(&self) -> bool {
        self.outbox.is_some() && !self.ended && !self.is_suspended()
    }

    fn is_suspended(&self) -> bool {
        self.suspended_until.is_some_and(|until| Instant::now() < until)
    }

    fn has_room(&self, tokens: u64) -> bool {
        self.jobs_used < self.record.terms.jobs_max
            && self.tokens_used.saturating_add(tokens) <= self.record.terms.tokens_max
            && u32::try_from(self.running.len()).unwrap_or(u32::MAX) < self.record.terms.slots
    }
}

/// A worker's word that it is ready for a lease.
#[derive(Debug, Clone)]
struct Early {
    worker: NodeId,
    proof: VrfProof,
    sequence_from: u64,
    outbox: mpsc::Sender<GatewayMessage>,
}

/// A job that a worker is at.
#[derive(Debug)]
struct RunningJob {
    request: JobRequest,
    payload: JobPayload,
    payer: Digest,
    cost_max: Amount,
    tokens: Vec<u32>,
    text: String,
    events: mpsc::UnboundedSender<JobEvent>,
    /// The client left: only then may the worker say that the answer was cancelled.
    cancelled: bool,
}

#[derive(Debug, Default)]
struct Inner {
    leases: BTreeMap<LeaseId, LeaseEntry>,
    running: BTreeMap<JobId, RunningJob>,
    /// Cost at most of what runs or waits for a segment, by payer.
    reserved: BTreeMap<Digest, Amount>,
    failed: VecDeque<JobId>,
    /// Workers that were ready before this gateway's follower had seen their lease.
    early: BTreeMap<LeaseId, Early>,
    waiting: usize,
}

/// A job under way, as the request that waits for it holds it. Dropping it before the end
/// cancels the job.
#[derive(Debug)]
pub(crate) struct JobHandle {
    pub(crate) job: JobId,
    pub(crate) request: JobRequest,
    pub(crate) events: mpsc::UnboundedReceiver<JobEvent>,
    hub: Arc<Hub>,
    finished: bool,
}

impl JobHandle {
    /// The next event; after `Done` or `Failed` there is none.
    pub(crate) async fn next(&mut self) -> Option<JobEvent> {
        let event = self.events.recv().await;
        if matches!(event, None | Some(JobEvent::Done { .. } | JobEvent::Failed { .. })) {
            self.finished = true;
        }
        event
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.hub.cancel(self.job);
        // A worker that does not even take a cancellation must not hold slot and budget.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (hub, job) = (Arc::clone(&self.hub), self.job);
            runtime.spawn(async move {
                tokio::time::sleep(CANCEL_PATIENCE).await;
                hub.fail(job, "the worker did not take the cancellation");
            });
        }
    }
}

/// The meeting place. Shared by the API, the sessions and the chain's follower.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) key: SecretKey,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: GatewayStore,
    pub(crate) metrics: Metrics,
    inner: Mutex<Inner>,
    room: Notify,
    fatal: mpsc::Sender<StoreError>,
}

impl Hub {
    pub(crate) fn new(
        key: SecretKey,
        engine: Arc<dyn Engine>,
        store: GatewayStore,
        fatal: mpsc::Sender<StoreError>,
    ) -> Self {
        Self { key, engine, store, metrics: Metrics::new(), inner: Mutex::default(), room: Notify::new(), fatal }
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

    /// Hands a job to the lease with the least work, waiting for room up to `patience`.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        spec: &JobSpec,
        job: JobId,
        attempt: u8,
        avoid: Option<NodeId>,
        patience: Duration,
    ) -> Result<JobHandle, NoLease> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.try_submit(spec, job, attempt, avoid) {
                Err(NoLease::Busy) => {}
                outcome => return outcome,
            }
            let waiting = {
                let mut inner = self.lock();
                inner.waiting = inner.waiting.saturating_add(1);
                inner.waiting
            };
            let outcome = if waiting > WAITING_MAX {
                Err(NoLease::Busy)
            } else {
                tokio::time::timeout_at(deadline, room).await.map_err(|_| NoLease::Busy)
            };
            let mut inner = self.lock();
            inner.waiting = inner.waiting.saturating_sub(1);
            drop(inner);
            outcome?;
        }
    }

    fn try_submit(
        self: &Arc<Self>,
        spec: &JobSpec,
        job: JobId,
        attempt: u8,
        avoid: Option<NodeId>,
    ) -> Result<JobHandle, NoLease> {
        let tokens = u64::from(spec.prompt_tokens).saturating_add(u64::from(spec.tokens_max));
        let mut inner = self.lock();
        // Read under the lock: what is being signed is either still reserved or already spent.
        let key = self.store.key(spec.payer).map_err(|e| NoLease::Store(e.to_string()))?.unwrap_or_default();
        let lease = choose_lease(&inner, spec.profile, tokens, avoid)?;
        let reserved = inner.reserved.get(&spec.payer).copied().unwrap_or_default();
        let Some(entry) = inner.leases.get_mut(&lease) else { return Err(NoLease::NoWorker) };
        let Some(outbox) = entry.outbox.clone() else { return Err(NoLease::NoWorker) };
        let usage = Usage { prompt_tokens: spec.prompt_tokens, completion_tokens: spec.tokens_max };
        let cost = entry.record.price.fee(&usage).unwrap_or(Amount::from_nano(u64::MAX));
        let left =
            Amount::from_nano(key.budget.nano().saturating_sub(key.spent.nano()).saturating_sub(reserved.nano()));
        if cost > left {
            return Err(NoLease::Budget { cost, left });
        }
        let request = JobRequest {
            job,
            lease,
            sequence: entry.next_sequence,
            attempt,
            input_commitment: spec.payload.commitment(),
            prompt_tokens: spec.prompt_tokens,
            tokens_max: spec.tokens_max,
            sampling: spec.sampling,
            client_seed: spec.client_seed,
        };
        let message = GatewayMessage::Job { request: request.clone(), payload: spec.payload.clone() };
        if outbox.try_send(message).is_err() {
            return Err(NoLease::Busy);
        }
        entry.next_sequence = entry.next_sequence.saturating_add(1);
        entry.jobs_used = entry.jobs_used.saturating_add(1);
        entry.tokens_used = entry.tokens_used.saturating_add(tokens);
        entry.running.insert(job);
        inner.reserved.insert(spec.payer, Amount::from_nano(reserved.nano().saturating_add(cost.nano())));
        let (sender, events) = mpsc::unbounded_channel();
        inner.running.insert(
            job,
            RunningJob {
                request: request.clone(),
                payload: spec.payload.clone(),
                payer: spec.payer,
                cost_max: cost,
                tokens: Vec::new(),
                text: String::new(),
                events: sender,
                cancelled: false,
            },
        );
        self.metrics.jobs_running.inc();
        Ok(JobHandle { job, request, events, hub: Arc::clone(self), finished: false })
    }

    /// Tells the worker that nobody waits for the job any more.
    pub(crate) fn cancel(&self, job: JobId) {
        let mut inner = self.lock();
        let lease = inner.running.get_mut(&job).map(|running| {
            running.cancelled = true;
            running.request.lease
        });
        if let Some(outbox) = lease.and_then(|lease| inner.leases.get(&lease)).and_then(|e| e.outbox.clone()) {
            drop(inner);
            let message = GatewayMessage::Cancel { job };
            if let Err(mpsc::error::TrySendError::Full(message)) = outbox.try_send(message) {
                tokio::spawn(async move {
                    let _ = outbox.send(message).await;
                });
            }
        }
    }

    // From workers.

    /// A worker is ready to serve a lease; true when the lease is its own and its proof holds.
    pub(crate) fn lease_ready(
        &self,
        worker: NodeId,
        lease: LeaseId,
        proof: &VrfProof,
        sequence_from: u64,
        outbox: &mpsc::Sender<GatewayMessage>,
    ) -> bool {
        let (vrf, beacon) = {
            let mut inner = self.lock();
            let Some(entry) = inner.leases.get(&lease) else {
                // It follows the chain too, and may be ahead: kept until the lease is known here.
                if inner.early.len() < EARLY_MAX {
                    let early = Early { worker, proof: *proof, sequence_from, outbox: outbox.clone() };
                    inner.early.insert(lease, early);
                }
                return false;
            };
            if entry.record.worker != worker {
                return false;
            }
            (entry.vrf, entry.record.beacon)
        };
        // SPEC J7: the seed of the lease's sampling is fixed here, before its first job.
        if vrf.verify(&vrf_input(&beacon, lease), proof).is_none() {
            warn!(%worker, %lease, "the worker's VRF proof is wrong");
            return false;
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
            self.fail(job, "the worker connected anew");
        }
        info!(%worker, %lease, "lease ready");
        self.refresh_gauges();
        self.room.notify_waiters();
        true
    }

    /// True when the chain granted this worker a lease with this gateway.
    pub(crate) fn knows_worker(&self, worker: NodeId) -> bool {
        self.lock().leases.values().any(|entry| entry.record.worker == worker)
    }

    pub(crate) fn session_lost(&self, worker: NodeId, outbox: &mpsc::Sender<GatewayMessage>) {
        let mut lost = Vec::new();
        {
            let mut inner = self.lock();
            for entry in inner.leases.values_mut().filter(|entry| entry.record.worker == worker) {
                if entry.outbox.as_ref().is_some_and(|current| current.same_channel(outbox)) {
                    entry.outbox = None;
                    lost.extend(entry.running.iter().copied());
                }
            }
        }
        for job in lost {
            self.fail(job, "the worker's connection broke");
        }
        self.refresh_gauges();
    }

    pub(crate) fn delta(&self, worker: NodeId, job: JobId, tokens: &[u32], text: String) {
        let mut inner = self.lock();
        if !serves(&inner, worker, job) {
            return;
        }
        let Some(running) = inner.running.get_mut(&job) else { return };
        let room = usize::try_from(running.request.tokens_max).unwrap_or(usize::MAX);
        let text_room = room.saturating_add(1).saturating_mul(TOKEN_TEXT_MAX);
        let is_text_over = running.text.len().saturating_add(text.len()) > text_room;
        if is_text_over || running.tokens.len().saturating_add(tokens.len()) > room {
            drop(inner);
            self.fail(job, "the worker sent more than was asked for");
            return;
        }
        running.tokens.extend_from_slice(tokens);
        running.text.push_str(&text);
        if !text.is_empty() {
            // A receiver that is gone has cancelled the job.
            let _ = running.events.send(JobEvent::Text(text));
        }
    }

    /// The end of a job: taken only when it is byte for byte what the client got.
    pub(crate) fn finished(&self, worker: NodeId, job: JobId, result: JobResult, salt: [u8; 32]) {
        let mut inner = self.lock();
        if !serves(&inner, worker, job) {
            return;
        }
        let Some(running) = inner.running.get_mut(&job) else { return };
        let output =
            JobOutput { salt, tokens: std::mem::take(&mut running.tokens), text: std::mem::take(&mut running.text) };
        let leaf = JobLeaf { request: running.request.clone(), result };
        let is_counted = u32::try_from(output.tokens.len()) == Ok(leaf.result.usage.completion_tokens);
        let is_early = leaf.result.finish == FinishReason::Cancelled && !running.cancelled;
        if is_early || !leaf.is_consistent() || !is_counted || leaf.result.output_commitment != output.commitment() {
            drop(inner);
            self.fail(job, "the worker's result is not what it sent");
            return;
        }
        let (usage, finish, payer) = (leaf.result.usage, leaf.result.finish, running.payer);
        let cost_max = running.cost_max;
        let events = running.events.clone();
        let lease = running.request.lease;
        inner.running.remove(&job);
        let unused = u64::from(leaf.request.tokens_max).saturating_sub(u64::from(usage.completion_tokens));
        if let Some(entry) = inner.leases.get_mut(&lease) {
            let cost = entry.record.price.fee(&usage).unwrap_or_default();
            entry.running.remove(&job);
            entry.tokens_used = entry.tokens_used.saturating_sub(unused);
            entry.unsigned.insert(job, (leaf, payer, cost));
            // From here on the reservation is exactly the cost.
            adjust_reserved(&mut inner, payer, cost_max, cost);
        }
        drop(inner);
        self.metrics.jobs_running.dec();
        self.metrics.prompt_tokens.inc_by(u64::from(usage.prompt_tokens));
        self.metrics.completion_tokens.inc_by(u64::from(usage.completion_tokens));
        let _ = events.send(JobEvent::Done { usage, finish });
        self.room.notify_waiters();
    }

    pub(crate) fn refused(&self, worker: NodeId, job: JobId, reason: &str) {
        if serves(&self.lock(), worker, job) {
            self.fail(job, &format!("the worker refused: {reason}"));
        }
    }

    /// Ends a job without a result; it costs nothing, and its worker need not go on with it.
    pub(crate) fn fail(&self, job: JobId, reason: &str) {
        self.cancel(job);
        let mut inner = self.lock();
        let Some(running) = inner.running.remove(&job) else { return };
        let tokens = u64::from(running.request.prompt_tokens).saturating_add(u64::from(running.request.tokens_max));
        if let Some(entry) = inner.leases.get_mut(&running.request.lease) {
            entry.running.remove(&job);
            entry.jobs_used = entry.jobs_used.saturating_sub(1);
            entry.tokens_used = entry.tokens_used.saturating_sub(tokens);
        }
        adjust_reserved(&mut inner, running.payer, running.cost_max, Amount::ZERO);
        remember_failed(&mut inner, job);
        drop(inner);
        self.metrics.jobs_running.dec();
        let _ = running.events.send(JobEvent::Failed { reason: reason.to_owned() });
        self.room.notify_waiters();
    }

    /// The gateway's signature over a segment, if everything in it is as it was delivered.
    pub(crate) fn sign_segment(
        &self,
        worker: NodeId,
        terms: &SegmentTerms,
        jobs: &[JobId],
        worker_signature: &Signature,
    ) -> Result<Signature, SegmentRefusal> {
        if !terms.signed_by_worker(&worker, worker_signature) {
            return Err("the worker's signature is wrong".into());
        }
        if let Some(standing) = self.must(self.store.segment(terms.id())).flatten() {
            // Asked again after a break: the same answer, or none.
            return if standing.terms == *terms {
                Ok(standing.signature)
            } else {
                Err("another segment stands there".into())
            };
        }
        let mut inner = self.lock();
        let entry =
            inner.leases.get_mut(&terms.lease).filter(|entry| entry.record.worker == worker).ok_or("no such lease")?;
        let mut chosen = Vec::with_capacity(jobs.len());
        let distinct: BTreeSet<&JobId> = jobs.iter().collect();
        if distinct.len() != jobs.len() {
            return Err("a job stands in it twice".into());
        }
        let undelivered: Vec<JobId> = jobs.iter().filter(|job| !entry.unsigned.contains_key(*job)).copied().collect();
        if !undelivered.is_empty() {
            return Err(SegmentRefusal { undelivered, reason: "jobs in it were not delivered".into() });
        }
        chosen.extend(jobs.iter().filter_map(|job| entry.unsigned.get(job).cloned()));
        let leaves: Vec<JobLeaf> = chosen.iter().map(|(leaf, _, _)| leaf.clone()).collect();
        let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
        if merkle_root(&hashes) != terms.root || JobTotals::of(&leaves) != Some(terms.totals) {
            return Err("root or totals are not those of the delivered results".into());
        }
        let payers: Vec<(Digest, Amount)> = chosen.iter().map(|(_, payer, cost)| (*payer, *cost)).collect();
        let signature = terms.sign_as_gateway(&self.key);
        let record = SegmentRecord {
            terms: *terms,
            signature,
            leaves,
            payers: payers.clone(),
            status: SegmentStatus::Provisional,
        };
        // SPEC C8: on disk before the signature leaves.
        self.must(self.store.put_segment(&record)).ok_or("the gateway's store failed")?;
        for job in jobs {
            entry.unsigned.remove(job);
        }
        for (payer, cost) in payers {
            adjust_reserved(&mut inner, payer, cost, Amount::ZERO);
        }
        Ok(signature)
    }

    // From the chain.

    pub(crate) fn add_lease(&self, record: LeaseRecord, vrf: VrfPublicKey, jobs_used: u32, tokens_used: u64) {
        let lease = record.lease;
        // Sequences of an earlier run may have been used by jobs that no segment holds: start far
        // above them, since a sequence names one request for ever.
        let next_sequence = u64::from(rand::random::<u32>()) << 24;
        let entry = LeaseEntry {
            record,
            vrf,
            ended: false,
            suspended_until: None,
            outbox: None,
            next_sequence,
            jobs_used,
            tokens_used,
            running: BTreeSet::new(),
            unsigned: BTreeMap::new(),
        };
        let early = {
            let mut inner = self.lock();
            inner.leases.entry(lease).or_insert(entry);
            inner.early.remove(&lease)
        };
        if let Some(early) = early {
            self.lease_ready(early.worker, lease, &early.proof, early.sequence_from, &early.outbox);
        }
    }

    pub(crate) fn end_lease(&self, lease: LeaseId) {
        if let Some(entry) = self.lock().leases.get_mut(&lease) {
            entry.ended = true;
        }
        self.refresh_gauges();
    }

    /// Forgets a lease that the chain closed: jobs of it that no segment holds have failed.
    pub(crate) fn close_lease(&self, lease: LeaseId) {
        let running: Vec<JobId> =
            self.lock().leases.get(&lease).map(|entry| entry.running.iter().copied().collect()).unwrap_or_default();
        for job in running {
            self.fail(job, "the lease was closed");
        }
        let mut inner = self.lock();
        let Some(entry) = inner.leases.remove(&lease) else { return };
        for (job, (_, payer, cost)) in entry.unsigned {
            adjust_reserved(&mut inner, payer, cost, Amount::ZERO);
            remember_failed(&mut inner, job);
        }
        drop(inner);
        self.refresh_gauges();
    }

    /// Gives no more jobs to a lease whose worker does not answer.
    pub(crate) fn suspend(&self, lease: LeaseId) -> bool {
        let mut inner = self.lock();
        let Some(entry) = inner.leases.get_mut(&lease) else { return false };
        let was_open = !entry.is_suspended();
        entry.suspended_until = Some(Instant::now() + SUSPENSION);
        was_open
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

    /// Who serves a lease.
    pub(crate) fn worker_of(&self, lease: LeaseId) -> Option<NodeId> {
        self.lock().leases.get(&lease).map(|entry| entry.record.worker)
    }

    /// What the job of a running request holds, for a claim that it stalled.
    pub(crate) fn stalled(&self, job: JobId) -> Option<(JobRequest, JobPayload)> {
        self.lock().running.get(&job).map(|running| (running.request.clone(), running.payload.clone()))
    }

    pub(crate) fn is_known(&self, job: JobId) -> bool {
        let inner = self.lock();
        inner.running.contains_key(&job) || inner.leases.values().any(|entry| entry.unsigned.contains_key(&job))
    }

    pub(crate) fn has_failed(&self, job: JobId) -> bool {
        self.lock().failed.contains(&job)
    }

    fn refresh_gauges(&self) {
        let open = self.lock().leases.values().filter(|entry| entry.is_open()).count();
        self.metrics.leases_ready.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

/// The open lease with room and the smallest share of its slots in use; ties go to the one with
/// the fewest jobs so far, so that work spreads.
fn choose_lease(inner: &Inner, profile: ProfileId, tokens: u64, avoid: Option<NodeId>) -> Result<LeaseId, NoLease> {
    let mut open = 0usize;
    let mut context_max = 0u32;
    let mut best: Option<(u64, u32, LeaseId)> = None;
    let of_profile = inner.leases.iter().filter(|(_, e)| e.record.terms.profile == profile && e.is_open());
    for (id, entry) in of_profile {
        context_max = context_max.max(entry.record.terms.context_tokens);
        if tokens > u64::from(entry.record.terms.context_tokens) || Some(entry.record.worker) == avoid {
            continue;
        }
        open = open.saturating_add(1);
        if !entry.has_room(tokens) {
            continue;
        }
        let running = u64::try_from(entry.running.len()).unwrap_or(u64::MAX);
        let share = running.saturating_mul(1_000) / u64::from(entry.record.terms.slots.max(1));
        let rank = (share, entry.jobs_used, *id);
        if best.is_none_or(|best| rank < best) {
            best = Some(rank);
        }
    }
    match best {
        Some((_, _, lease)) => Ok(lease),
        None if context_max > 0 && tokens > u64::from(context_max) => {
            Err(NoLease::TooLong { tokens, context_tokens: context_max })
        }
        None if open > 0 => Err(NoLease::Busy),
        None => Err(NoLease::NoWorker),
    }
}

fn serves(inner: &Inner, worker: NodeId, job: JobId) -> bool {
    inner
        .running
        .get(&job)
        .and_then(|running| inner.leases.get(&running.request.lease))
        .is_some_and(|entry| entry.record.worker == worker)
}

fn remember_failed(inner: &mut Inner, job: JobId) {
    if inner.failed.len() >= FAILED_MAX {
        inner.failed.pop_front();
    }
    inner.failed.push_back(job);
}

/// Replaces part of what is reserved for a payer.
fn adjust_reserved(inner: &mut Inner, payer: Digest, old: Amount, new: Amount) {
    let reserved = inner.reserved.entry(payer).or_default();
    *reserved = Amount::from_nano(reserved.nano().saturating_sub(old.nano()).saturating_add(new.nano()));
    if reserved.is_zero() {
        inner.reserved.remove(&payer);
    }
}

#[cfg(test)]
mod tests;
