//! What a validator must not forget: its verdicts, requests it relays, evidence it took.

use crate::archive::Notes;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::{StorageKey, Store, StoreError, Table};
use inferium_types::{Digest, SecretKey, SegmentEvidence, SegmentId, SignedTrace, StallId, VerdictVote};
use std::path::Path;

const VERDICTS: Table<Judgement, VerdictVote> = Table::new("verdicts");
const RELAYED: Table<StallId, Vec<u8>> = Table::new("relayed");
/// The height at which each relayed request was taken.
const RELAYED_AT: Table<StallId, u64> = Table::new("relayed_at");
const EVIDENCE: Table<SegmentId, KeptEvidence> = Table::new("evidence");

/// Evidence that a verdict was made from, while it can be looked into.
const JUDGED: Table<Judgement, SegmentEvidence> = Table::new("judged");
const NOTES: Table<Judgement, Notes> = Table::new("judged_notes");
const TRACES: Table<TraceName, KeptTrace> = Table::new("traces");

/// A job of a judgement.
pub(crate) type TraceName = (Judgement, u32);

/// What this node said of its replay of a job, and must say again whenever it is asked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct KeptTrace {
    pub(crate) signed: SignedTrace,
    /// The cells as they are shown.
    pub(crate) cells: Vec<Digest>,
}

/// What a verdict is about: a segment, and the seed that drew its committee. The court of a dispute
/// (SPEC V4), and the committee after a planted job came to light (V5), are drawn anew.
pub(crate) type Judgement = (SegmentId, Digest);

/// Evidence, and the height at which it was taken: a state from before that, as a node may have
/// after a crash, says nothing about whether it is still wanted.
pub(crate) type KeptEvidence = (u64, SegmentEvidence);

/// Durable memory of a validator's duties; of verdicts for ever, one per segment
/// and draw.
#[derive(Debug)]
pub struct VerdictStore {
    store: Store,
}

impl VerdictStore {
    /// Opens or creates the store of the validator with this key.
    ///
    /// # Errors
    /// [`StoreError`], also when another process has it open, or it is another validator's.
    pub fn open(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        Ok(Self { store: Store::open(path, StorageKey::derive(key, "validator"))? })
    }

    /// The verdict that was recorded.
    pub(crate) fn verdict(&self, about: Judgement) -> Result<Option<VerdictVote>, StoreError> {
        self.store.get(VERDICTS, &about)
    }

    /// Records a verdict unless there is one, and returns the one that stands.
    ///
    /// Ensures: what it returns is on disk.
    pub(crate) fn record_verdict(&self, about: Judgement, vote: VerdictVote) -> Result<VerdictVote, StoreError> {
        self.store.write(|tx| match tx.get(VERDICTS, &about)? {
            Some(standing) => Ok(standing),
            None => tx.put(VERDICTS, &about, &vote).map(|()| vote),
        })
    }

    /// A relayed request's bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relayed(&self, stall: StallId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(RELAYED, &stall)
    }

    /// Keeps a relayed request that was taken at `height`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_relayed(&self, stall: StallId, height: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.write(|tx| {
            tx.put(RELAYED_AT, &stall, &height)?;
            tx.put(RELAYED, &stall, &bytes.to_vec())
        })
    }

    /// The claims whose requests are kept, and when these were taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relayed_claims(&self) -> Result<Vec<(StallId, u64)>, StoreError> {
        self.store.all(RELAYED_AT)
    }

    /// Forgets a relayed request, once its claim is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_relayed(&self, stall: StallId) -> Result<(), StoreError> {
        self.store.write(|tx| {
            tx.remove(RELAYED_AT, &stall)?;
            tx.remove(RELAYED, &stall)
        })
    }

    pub(crate) fn evidence(&self, segment: SegmentId) -> Result<Option<SegmentEvidence>, StoreError> {
        Ok(self.store.get(EVIDENCE, &segment)?.map(|(_, evidence)| evidence))
    }

    pub(crate) fn record_evidence(&self, kept: &KeptEvidence) -> Result<(), StoreError> {
        self.store.put(EVIDENCE, &kept.1.segment, kept)
    }

    /// Looks at all evidence, one at a time.
    pub(crate) fn for_each_evidence(
        &self,
        look: impl FnMut(SegmentId, KeptEvidence) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.store.for_each(EVIDENCE, look)
    }

    pub(crate) fn forget_evidence(&self, segments: &[SegmentId]) -> Result<(), StoreError> {
        if segments.is_empty() {
            return Ok(());
        }
        self.store.write(|tx| segments.iter().try_for_each(|segment| tx.remove(EVIDENCE, segment)))
    }

    pub(crate) fn judged_notes(&self) -> Result<Vec<(Judgement, Notes)>, StoreError> {
        self.store.all(NOTES)
    }

    pub(crate) fn judged(&self, about: Judgement) -> Result<Option<SegmentEvidence>, StoreError> {
        self.store.get(JUDGED, &about)
    }

    pub(crate) fn record_judged(
        &self,
        about: Judgement,
        notes: &Notes,
        evidence: &SegmentEvidence,
    ) -> Result<(), StoreError> {
        self.store.write(|tx| {
            tx.put(NOTES, &about, notes)?;
            tx.put(JUDGED, &about, evidence)
        })
    }

    pub(crate) fn record_notes(&self, about: Judgement, notes: &Notes) -> Result<(), StoreError> {
        self.store.put(NOTES, &about, notes)
    }

    /// Forgets judgements, with their traces.
    pub(crate) fn forget_judged(&self, judgements: &[Judgement]) -> Result<(), StoreError> {
        if judgements.is_empty() {
            return Ok(());
        }
        let mut traces = self.store.keys(TRACES)?;
        traces.retain(|(about, _)| judgements.contains(about));
        self.store.write(|tx| {
            traces.iter().try_for_each(|name| tx.remove(TRACES, name))?;
            judgements.iter().try_for_each(|about| {
                tx.remove(NOTES, about)?;
                tx.remove(JUDGED, about)
            })
        })
    }

    pub(crate) fn trace(&self, name: TraceName) -> Result<Option<KeptTrace>, StoreError> {
        self.store.get(TRACES, &name)
    }

    /// Keeps a trace, before anyone sees anything of it.
    pub(crate) fn record_trace(&self, name: TraceName, trace: &KeptTrace) -> Result<(), StoreError> {
        self.store.put(TRACES, &name, trace)
    }
}

#[cfg(test)]
pub(crate) mod tests;
