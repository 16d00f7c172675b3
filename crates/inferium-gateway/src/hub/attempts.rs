//! One answer, whatever it takes: a first try, a hedge when that is slow, a second try when it
//! failed before anything was seen (SPEC T6, T7).

use super::deadlines::hedge_after;
use super::{Hub, JobEvent, JobHandle, JobSpec, NoLease};
use inferium_types::{Digest, JobId, NodeId, TaskKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a request waits for a lease with room before it is shed.
const PATIENCE: Duration = Duration::from_secs(10);
/// And a line of a batch, of which something was done before: a failure now would be paid for in vain.
const BATCH_PATIENCE: Duration = Duration::from_secs(600);

/// And results to fold: a task is opened for them, which waits for a worker of tier Low, and longer for one above (SPEC N3).
const BOARD_PATIENCE: Duration = Duration::from_secs(60);

/// The answers that one request asks for.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    running: AtomicUsize,
    begun: AtomicBool,
}

impl Siblings {
    /// True when a worker had one of them: then sending the request again is paid for again.
    pub(crate) fn any_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// An answer that runs beside its siblings.
#[derive(Debug)]
struct Beside(Arc<Siblings>);

impl Beside {
    fn new(siblings: &Arc<Siblings>) -> Self {
        siblings.begun.store(true, Ordering::Release);
        siblings.running.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(siblings))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The tries for one answer; at most two of them run at a time. Dropping them cancels both.
pub(crate) struct Attempts {
    hub: Arc<Hub>,
    spec: JobSpec,
    handle: JobHandle,
    hedge: Option<JobHandle>,
    /// When to hedge, unless something was seen by then or a hedge was tried before.
    hedge_at: Option<Instant>,
    seen: bool,
    _beside: Beside,
}

/// Whose event it is.
enum From {
    First(JobEvent),
    Hedge(JobEvent),
    Clock,
}

impl Attempts {
    /// Hands the job to a lease, waiting for one with room: longer while others of the same request run, which make some.
    pub(crate) async fn start(hub: &Arc<Hub>, spec: JobSpec, siblings: &Arc<Siblings>) -> Result<Self, NoLease> {
        let until = Instant::now() + patience_of(&spec);
        // A line of a batch waits elsewhere for its beginning: what waits here is in others' way.
        let patience = if spec.kind == TaskKind::Batch { Duration::ZERO } else { PATIENCE };
        let handle = loop {
            let room = hub.more_room();
            tokio::pin!(room);
            room.as_mut().enable();
            match hub.submit(&spec, new_job(), 0, None, patience).await {
                Err(NoLease::Busy) if siblings.running.load(Ordering::Acquire) > 0 => {}
                // One of boards is opened because this waits for it.
                Err(NoLease::Busy | NoLease::NoWorker)
                    if spec.kind == TaskKind::Leaderboard && Instant::now() < until =>
                {
                    let _ = tokio::time::timeout_at(until, room).await;
                }
                // Leases of batches go and come again.
                Err(NoLease::Busy | NoLease::NoWorker)
                    if spec.kind == TaskKind::Batch && siblings.any_begun() && Instant::now() < until =>
                {
                    let _ = tokio::time::timeout(PATIENCE, room).await;
                }
                outcome => break outcome?,
            }
        };
        // An interval is megabytes, a proof seconds of cores, and both would be paid.
        let is_hedged = !matches!(spec.kind, TaskKind::Training | TaskKind::Validation);
        let hedge_at = is_hedged.then(|| Instant::now() + hedge_after(spec.prompt_tokens));
        let beside = Beside::new(siblings);
        Ok(Self { hub: Arc::clone(hub), spec, handle, hedge: None, hedge_at, seen: false, _beside: beside })
    }

    /// The job whose answer the client gets. It may be another one until the first event.
    pub(crate) const fn job(&self) -> JobId {
        self.handle.job
    }

    /// The worker that has it.
    pub(crate) fn worker(&self) -> Option<NodeId> {
        self.hub.worker_of(self.handle.request.lease)
    }

    /// The next event of the answer; after `Done` or `Failed` there is none.
    pub(crate) async fn next(&mut self) -> JobEvent {
        loop {
            let event = match self.wait().await {
                From::Clock => {
                    self.begin_hedge();
                    continue;
                }
                From::First(JobEvent::Failed { reason }) if !self.seen => match self.go_on_without().await {
                    true => continue,
                    false => JobEvent::Failed { reason },
                },
                From::Hedge(JobEvent::Failed { .. }) => {
                    self.hedge = None;
                    continue;
                }
                From::First(event) => {
                    self.leave_hedge();
                    event
                }
                From::Hedge(event) => {
                    if let Some(hedge) = self.hedge.take() {
                        leave(std::mem::replace(&mut self.handle, hedge));
                    }
                    event
                }
            };
            self.seen = true;
            self.hedge_at = None;
            return event;
        }
    }

    async fn wait(&mut self) -> From {
        let lost = || JobEvent::Failed { reason: "the job was lost".into() };
        let (handle, hedge, hedge_at) = (&mut self.handle, &mut self.hedge, self.hedge_at);
        tokio::select! {
            biased;
            event = handle.next() => From::First(event.unwrap_or_else(lost)),
            event = async { match hedge {
                Some(hedge) => hedge.next().await,
                None => std::future::pending().await,
            } } => From::Hedge(event.unwrap_or_else(lost)),
            () = async { match hedge_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            } } => From::Clock,
        }
    }

    /// SPEC T7: a new job on another worker's lease, if one has room at once.
    fn begin_hedge(&mut self) {
        self.hedge_at = None;
        let worker = self.hub.worker_of(self.handle.request.lease);
        if let Ok(hedge) = self.hub.try_submit(&self.spec, new_job(), 0, worker) {
            self.hub.metrics.hedges.inc();
            self.hedge = Some(hedge);
        }
    }

    /// The first try failed and showed nothing: the hedge takes its place, or a second try (SPEC
    /// T6). False when there is neither.
    async fn go_on_without(&mut self) -> bool {
        if let Some(hedge) = self.hedge.take() {
            self.handle = hedge;
            return true;
        }
        // A proof's payload holds the seed of a commitment, which is for one proof (SPEC V10): who has it may have made one.
        if self.handle.request.attempt > 0 || self.spec.kind == TaskKind::Validation {
            return false;
        }
        self.hedge_at = None;
        let (job, worker) = (self.handle.job, self.hub.worker_of(self.handle.request.lease));
        match self.hub.submit(&self.spec, job, 1, worker, patience_of(&self.spec)).await {
            Ok(handle) => {
                self.handle = handle;
                true
            }
            Err(_) => false,
        }
    }

    fn leave_hedge(&mut self) {
        if let Some(hedge) = self.hedge.take() {
            leave(hedge);
        }
    }
}

/// Lets a try that lost the race end: cancelled at its first sign of life, so that its worker is
/// paid for what it sent; a worker that gives none is held to its deadline like any other.
fn leave(mut loser: JobHandle) {
    tokio::spawn(async move {
        let _ = loser.next().await;
    });
}

const fn patience_of(spec: &JobSpec) -> Duration {
    match spec.kind {
        TaskKind::Batch => BATCH_PATIENCE,
        TaskKind::Leaderboard => BOARD_PATIENCE,
        _ => PATIENCE,
    }
}

fn new_job() -> JobId {
    JobId::new(Digest::from(rand::random::<[u8; 32]>()))
}
