//! Evidence of segments that were judged: as long as members may turn out to disagree, and for a day when they do (SPEC V8).

use crate::disagreement::doubted_jobs;
use crate::shelf::{Room, size_of};
use crate::store::{Judgement, VerdictStore};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_ledger::{SegmentState, State, runs_of};
use inferium_store::StoreError;
use inferium_types::{Event, JobFault, ModelTask, NodeId, ProfileId, SegmentEvidence, VerdictVote};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a disagreement can be looked into after the chain decided; milliseconds of the chain's time.
const KEPT_MS: u64 = 24 * 3_600_000;

/// What is known of a judgement whose evidence is kept.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Notes {
    /// Whose engine judged it.
    profile: ProfileId,
    /// What blocks up to this one said is in here.
    height: u64,
    /// When it was taken, by the chain; milliseconds.
    taken_ms: u64,
    /// Bytes of the evidence.
    size: u64,
    /// Verdicts that are public.
    votes: BTreeMap<NodeId, VerdictVote>,
    /// When the chain decided, or another committee was drawn; milliseconds. No more votes come after it.
    closed_ms: Option<u64>,
}

impl Notes {
    /// Jobs about which verdicts disagree.
    pub(crate) fn doubted(&self) -> BTreeSet<u32> {
        doubted_jobs(self.votes.values())
    }

    /// The job that this member found computed wrong (SPEC V11).
    fn wrong_to(&self, member: &NodeId) -> Option<u32> {
        match self.votes.get(member) {
            Some(VerdictVote::Invalid { job, fault: JobFault::Classification | JobFault::Embedding }) => Some(*job),
            _ => None,
        }
    }

    /// Whether somebody may still want to look into it.
    fn is_in_doubt(&self) -> bool {
        !self.doubted().is_empty() || self.votes.keys().any(|member| self.wrong_to(member).is_some())
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// Notes what an event of a block says of this judgement; true if it says anything.
    fn on_event(&mut self, (segment, seed): Judgement, event: &Event, now_ms: u64) -> bool {
        if self.closed_ms.is_some() {
            return false;
        }
        match event {
            Event::VerdictGiven { segment: of, validator, vote } if *of == segment => {
                self.votes.insert(*validator, *vote);
            }
            Event::CommitteeDrawn { segment: of, seed: drawn, .. } if *of == segment && *drawn != seed => {
                self.closed_ms = Some(now_ms);
            }
            Event::SegmentApproved(outcome) if outcome.segment == segment => self.closed_ms = Some(now_ms),
            Event::SegmentRejected { segment: of, .. } if *of == segment => self.closed_ms = Some(now_ms),
            // What a court says no more of: the segment is final as it was, and settled later.
            Event::DisputeClosed { segment: of, .. } if *of == segment => self.closed_ms = Some(now_ms),
            _ => return false,
        }
        true
    }

    /// Whether there is no use for it any more.
    fn is_over(&self, now_ms: u64) -> bool {
        match self.closed_ms {
            Some(_) if !self.is_in_doubt() => true,
            Some(closed_ms) => now_ms > closed_ms.saturating_add(KEPT_MS),
            None => now_ms > self.taken_ms.saturating_add(KEPT_MS),
        }
    }
}

/// The evidence of judged segments. Its contents are on disk only.
#[derive(Debug)]
pub(crate) struct Archive {
    store: Arc<VerdictStore>,
    room: Room,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    notes: BTreeMap<Judgement, Notes>,
    /// The last block that was looked at.
    height: u64,
}

impl Archive {
    /// What a former run left is still there.
    pub(crate) fn open(store: Arc<VerdictStore>, room: Room) -> Result<Self, StoreError> {
        let notes: BTreeMap<Judgement, Notes> = store.judged_notes()?.into_iter().collect();
        let open = notes.values().filter(|notes| notes.closed_ms.is_none());
        let height = open.map(|notes| notes.height).min().unwrap_or(0);
        Ok(Self { store, room, kept: Mutex::new(Kept { notes, height }) })
    }

    /// Keeps the evidence that a verdict was made from, while its committee still sits. What was kept longest makes room,
    /// first of what nobody disagrees about.
    ///
    /// Nothing is kept where replays are measured, and not compared for equality.
    pub(crate) fn put(&self, state: &State, about: Judgement, evidence: &SegmentEvidence) -> Result<(), StoreError> {
        let Some(segment) = state.segment(&about.0) else { return Ok(()) };
        let SegmentState::Judging { members, seed, .. } = &segment.state else { return Ok(()) };
        // Of nothing else there are traces, or challenges: measures have no equality, and vectors of floats are compared whole.
        let has_traces = state.profile(&segment.profile).is_some_and(|entry| match entry.profile.task {
            ModelTask::Chat => !entry.engine().is_measured(),
            _ => runs_of(&entry.profile).is_some(),
        });
        if *seed != about.1 || !has_traces {
            return Ok(());
        }
        let votes = members.iter().filter_map(|member| Some((member.validator, member.ballot.vote()?))).collect();
        let (height, taken_ms) = (state.height(), state.meta().timestamp_ms);
        self.keep(
            about,
            Notes { profile: segment.profile, height, taken_ms, size: 0, votes, closed_ms: None },
            evidence,
        )
    }

    /// [`Self::put`], with what is known at first; the size follows from the evidence.
    fn keep(&self, about: Judgement, notes: Notes, evidence: &SegmentEvidence) -> Result<(), StoreError> {
        let size = size_of(evidence)?;
        let mut kept = self.lock();
        if kept.notes.contains_key(&about) || size > self.room.size {
            return Ok(());
        }
        let mut used = kept.notes.values().map(|notes| notes.bytes()).fold(size, usize::saturating_add);
        let mut surplus = Vec::new();
        let mut by_worth: Vec<_> = kept.notes.iter().collect();
        by_worth.sort_by_key(|(_, notes)| (notes.is_in_doubt(), notes.taken_ms));
        for (judgement, notes) in by_worth {
            let left = kept.notes.len().saturating_sub(surplus.len());
            if left < self.room.count && used <= self.room.size {
                break;
            }
            used = used.saturating_sub(notes.bytes());
            surplus.push(*judgement);
        }
        self.store.forget_judged(&surplus)?;
        kept.notes.retain(|judgement, _| !surplus.contains(judgement));
        let notes = Notes { size: size.try_into().unwrap_or(u64::MAX), ..notes };
        self.store.record_judged(about, &notes, evidence)?;
        // A crash may have thrown the state back behind what was looked at: for this one it is looked at again.
        kept.height = kept.height.min(notes.height);
        kept.notes.insert(about, notes);
        Ok(())
    }

    /// The next block to look at, of those up to `head`; none while nothing is undecided.
    pub(crate) fn next_block(&self, head: u64) -> Option<u64> {
        let mut kept = self.lock();
        if kept.notes.values().all(|notes| notes.closed_ms.is_some()) {
            kept.height = head;
        }
        kept.height.checked_add(1).filter(|next| *next <= head)
    }

    /// Notes what block `height` says. Blocks come in order; one that is kept nowhere any more may be left out.
    pub(crate) fn follow(&self, height: u64, now_ms: u64, events: &[Event]) -> Result<(), StoreError> {
        let mut kept = self.lock();
        for (about, notes) in kept.notes.iter_mut().filter(|(_, notes)| height > notes.height) {
            let told = events.iter().filter(|event| notes.on_event(*about, event, now_ms)).count();
            notes.height = height;
            if told > 0 {
                self.store.record_notes(*about, notes)?;
            }
        }
        kept.height = kept.height.max(height);
        Ok(())
    }

    /// Forgets what there is no use for any more.
    pub(crate) fn tidy(&self, now_ms: u64) -> Result<(), StoreError> {
        let mut kept = self.lock();
        let over: Vec<Judgement> =
            kept.notes.iter().filter(|(_, notes)| notes.is_over(now_ms)).map(|(about, _)| *about).collect();
        self.store.forget_judged(&over)?;
        kept.notes.retain(|about, _| !over.contains(about));
        Ok(())
    }

    /// Judgements that are over and in which this member found a job computed wrong, with that job.
    pub(crate) fn outvoted(&self, member: &NodeId) -> Vec<(Judgement, u32)> {
        let kept = self.lock();
        let over = kept.notes.iter().filter(|(_, notes)| notes.closed_ms.is_some());
        over.filter_map(|(about, notes)| Some((*about, notes.wrong_to(member)?))).collect()
    }

    /// The jobs of a judgement about which verdicts disagree; `None` when nothing of it is kept.
    pub(crate) fn doubted(&self, about: Judgement) -> Option<BTreeSet<u32>> {
        self.lock().notes.get(&about).map(Notes::doubted)
    }

    /// The profile of a judgement; `None` when nothing of it is kept.
    pub(crate) fn profile(&self, about: Judgement) -> Option<ProfileId> {
        self.lock().notes.get(&about).map(|notes| notes.profile)
    }

    /// The evidence of a judgement.
    pub(crate) fn get(&self, about: Judgement) -> Result<Option<SegmentEvidence>, StoreError> {
        self.store.judged(about)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
