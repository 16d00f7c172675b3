//! Batches as the hub meets them: which models have lines that wait, and which batches are to stop.

use super::{Hub, JobSpec};
use inferium_types::{Digest, ProfileId, TaskKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// For how long batches stand back once a request found no room.
const PRESSED: Duration = Duration::from_secs(30);

/// What batches there are to do.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    inner: Mutex<Inner>,
    /// A batch is new.
    new: Notify,
    /// A run of training is new.
    trainings: Notify,
    /// An answer is to be proved.
    proofs: Notify,
    /// A batch is to stop.
    stopped: Notify,
    /// Models have lines that wait and had none, or the other way round.
    demand: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Lines without a result, by model.
    lines: BTreeMap<ProfileId, usize>,
    cancelled: BTreeSet<Digest>,
    /// When a request that someone waits for last found no room, by model.
    pressed_at: BTreeMap<ProfileId, Instant>,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that has no result. Dropping it says that it has one, or gets none.
#[derive(Debug)]
pub(crate) struct Pending {
    hub: Arc<Hub>,
    profile: ProfileId,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut inner = self.hub.backlog.lock();
        let Some(lines) = inner.lines.get_mut(&self.profile) else { return };
        *lines = lines.saturating_sub(1);
        if *lines == 0 {
            inner.lines.remove(&self.profile);
            drop(inner);
            self.hub.backlog.demand.notify_one();
        }
    }
}

impl Hub {
    /// Counts a line that waits for a lease of its model.
    pub(crate) fn line_waits(self: &Arc<Self>, profile: ProfileId) -> Pending {
        let mut inner = self.backlog.lock();
        let lines = inner.lines.entry(profile).or_default();
        *lines = lines.saturating_add(1);
        let is_first = *lines == 1;
        drop(inner);
        if is_first {
            self.backlog.demand.notify_one();
        }
        Pending { hub: Arc::clone(self), profile }
    }

    /// How many lines for a model have no result.
    pub(crate) fn lines(&self, profile: ProfileId) -> usize {
        self.backlog.lock().lines.get(&profile).copied().unwrap_or(0)
    }

    /// True while lines for a model have no result.
    pub(crate) fn has_backlog(&self, profile: ProfileId) -> bool {
        self.backlog.lock().lines.contains_key(&profile)
    }

    /// Returns when models have lines that had none, or have none any more.
    pub(crate) async fn backlog_changed(&self) {
        self.backlog.demand.notified().await;
    }

    /// A batch is there to be done.
    pub(crate) fn batch_added(&self) {
        self.backlog.new.notify_one();
    }

    /// Returns when a batch was added.
    pub(crate) async fn next_batch(&self) {
        self.backlog.new.notified().await;
    }

    /// A run of training is there to be done.
    pub(crate) fn training_added(&self) {
        self.backlog.trainings.notify_one();
    }

    /// Returns when a run of training was added.
    pub(crate) async fn next_training(&self) {
        self.backlog.trainings.notified().await;
    }

    /// An answer is there to be proved.
    pub(crate) fn proof_added(&self) {
        self.backlog.proofs.notify_one();
    }

    /// Returns when a proof was asked for.
    pub(crate) async fn next_proof(&self) {
        self.backlog.proofs.notified().await;
    }

    /// Lets a batch begin no more lines.
    pub(crate) fn cancel_batch(&self, batch: Digest) {
        self.backlog.lock().cancelled.insert(batch);
        self.backlog.stopped.notify_waiters();
    }

    /// Returns when a batch is cancelled.
    pub(crate) async fn batch_cancelled(&self, batch: Digest) {
        loop {
            let stopped = self.backlog.stopped.notified();
            tokio::pin!(stopped);
            stopped.as_mut().enable();
            if self.backlog.lock().cancelled.contains(&batch) {
                return;
            }
            stopped.await;
        }
    }

    /// Forgets that a batch was cancelled: it has ended.
    pub(crate) fn batch_ended(&self, batch: Digest) {
        self.backlog.lock().cancelled.remove(&batch);
    }

    /// A job found no lease. It is of no concern to batches if another client's would have found one.
    pub(super) fn pressed(&self, spec: &JobSpec) {
        if spec.kind != TaskKind::Batch && !self.has_slot(spec.profile, spec.kind) {
            let before = self.backlog.lock().pressed_at.insert(spec.profile, Instant::now());
            if before.is_none_or(|before| before.elapsed() >= PRESSED) {
                self.backlog.demand.notify_one();
            }
        }
    }

    /// True while requests that someone waits for lack room, and for some time after that: batches stand back.
    pub(crate) fn is_pressed(&self, profile: ProfileId) -> bool {
        self.backlog.lock().pressed_at.get(&profile).is_some_and(|at| at.elapsed() < PRESSED)
    }

    /// True if a lease of this kind has a slot free for the model.
    pub(crate) fn has_slot(&self, profile: ProfileId, kind: TaskKind) -> bool {
        self.lock().leases.values().any(|entry| entry.serves(profile, kind) && entry.has_room(0))
    }

    /// Resolves when there may be more room than when it was enabled.
    pub(crate) fn more_room(&self) -> Notified<'_> {
        self.room.notified()
    }
}
