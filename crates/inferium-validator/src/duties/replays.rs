//! Which segment is replayed next: of those that wait, the one whose verdict is due first.

use inferium_types::{ProfileId, SegmentId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Segments of one model that are replayed at a time. Where validators and workers of one process share an engine, replays of many
/// small segments would otherwise fill its queue, and jobs that clients wait for be refused.
const REPLAYS_AT_ONCE: usize = 2;

/// What is left of the time for a verdict, by blocks as well as by milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeLeft {
    /// More than half of it.
    Enough,
    /// At most half: what is not replayed now may not be replayed in time.
    Half,
    /// So little that whoever has found nothing out says so.
    Late,
}

/// A segment that is to be judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: SegmentId,
    pub(super) profile: ProfileId,
    /// When its verdict is due; Unix milliseconds.
    pub(super) due_ms: u64,
    pub(super) left: TimeLeft,
    pub(super) has_evidence: bool,
}

/// What to do about it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it waits for evidence, for its replay's end, for the next block, or for a turn.
    Wait,
    /// Replay it, with or without a turn.
    Start,
    /// Say that nothing was found out.
    Unavailable,
}

/// One of the replays that may run at a time; given back when it is dropped. `None`: it runs beyond their number.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    Running,
    /// At a height: one try per block.
    Failed(u64),
}

/// Replays that run and segments that wait for one.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// What was begun. To wait for a turn is not a try.
    tries: BTreeMap<SegmentId, Try>,
    /// When their verdicts are due, and their models.
    waiting: BTreeMap<SegmentId, (u64, ProfileId)>,
    turns: BTreeMap<ProfileId, Arc<Semaphore>>,
}

impl Replays {
    /// Decides about a segment at a height; what has to wait for a turn is remembered for [`Self::next`].
    pub(super) fn step(&mut self, wanted: Wanted, height: u64) -> Step {
        let Wanted { id, profile, due_ms, left, has_evidence } = wanted;
        let tried = self.tries.get(&id);
        // Without evidence, with evidence that our engine can't replay, or with more of it than there was time for: no verdict but
        // this one.
        if left == TimeLeft::Late && (!has_evidence || tried.is_some()) {
            return Step::Unavailable;
        }
        if !has_evidence || tried == Some(&Try::Running) || tried == Some(&Try::Failed(height)) {
            return Step::Wait;
        }
        if left == TimeLeft::Enough {
            self.waiting.insert(id, (due_ms, profile));
            return Step::Wait;
        }
        self.waiting.remove(&id);
        Step::Start
    }

    /// A turn of a model, if one is free.
    pub(super) fn turn(&mut self, profile: ProfileId) -> Turn {
        let turns = self.turns.entry(profile).or_insert_with(|| Arc::new(Semaphore::new(REPLAYS_AT_ONCE)));
        Arc::clone(turns).try_acquire_owned().ok()
    }

    /// The segment whose verdict is due first, of those that have waited for a turn and get one now. It waits no more.
    pub(super) fn next(&mut self) -> Option<(SegmentId, Turn)> {
        let is_free = |profile| self.turns.get(profile).is_none_or(|turns| turns.available_permits() > 0);
        let waiting = self.waiting.iter().filter(|(_, (_, profile))| is_free(profile));
        let (id, profile) = waiting.min_by_key(|(_, (due_ms, _))| *due_ms).map(|(id, (_, profile))| (*id, *profile))?;
        self.waiting.remove(&id);
        Some((id, self.turn(profile)))
    }

    /// A replay was begun.
    pub(super) fn begin(&mut self, id: SegmentId) {
        self.tries.insert(id, Try::Running);
    }

    /// It failed.
    pub(super) fn fail(&mut self, id: SegmentId, height: u64) {
        self.tries.insert(id, Try::Failed(height));
    }

    /// It is over.
    pub(super) fn end(&mut self, id: SegmentId) {
        self.tries.remove(&id);
    }

    /// Forgets segments that are not to be judged any more.
    pub(super) fn retain(&mut self, is_open: impl Fn(SegmentId) -> bool) {
        self.tries.retain(|id, _| is_open(*id));
        self.waiting.retain(|id, _| is_open(*id));
    }
}

#[cfg(test)]
mod tests;
