//! Evidence that waits for its judgement: on disk, since no worker sends it twice, and bounded.

use crate::store::VerdictStore;
use inferium_store::StoreError;
use inferium_types::{SegmentEvidence, SegmentId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much evidence is kept at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Segments.
    pub(crate) count: usize,
    /// Bytes of all of it.
    pub(crate) size: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { count: 256, size: 256 * 1024 * 1024 }
    }
}

/// The evidence that a validator holds. Its contents are on disk only.
#[derive(Debug)]
pub(crate) struct Shelf {
    store: Arc<VerdictStore>,
    room: Room,
    kept: Mutex<BTreeMap<SegmentId, Kept>>,
}

/// What is known of kept evidence without reading it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    size: usize,
    /// The height at which it was taken.
    height: u64,
}

impl Shelf {
    /// What a former run left is still there.
    pub(crate) fn open(store: Arc<VerdictStore>, room: Room) -> Result<Self, StoreError> {
        let mut kept = BTreeMap::new();
        store.for_each_evidence(|segment, (height, evidence)| {
            kept.insert(segment, Kept { size: size_of(&evidence)?, height });
            Ok(())
        })?;
        Ok(Self { store, room, kept: Mutex::new(kept) })
    }

    /// Keeps evidence that is authentic in the state of `height`; false when there is no room for it.
    ///
    /// Ensures: once true, it is on disk.
    pub(crate) fn put(&self, height: u64, evidence: SegmentEvidence) -> Result<bool, StoreError> {
        let (segment, size) = (evidence.segment, size_of(&evidence)?);
        // Held over the write: two at once must not both get the last room.
        let mut kept = self.lock();
        if kept.contains_key(&segment) {
            // Authentic evidence of a segment has one form: this is the same again.
            return Ok(true);
        }
        let used: usize = kept.values().map(|kept| kept.size).sum();
        if kept.len() >= self.room.count || used.saturating_add(size) > self.room.size {
            return Ok(false);
        }
        self.store.record_evidence(&(height, evidence))?;
        kept.insert(segment, Kept { size, height });
        Ok(true)
    }

    pub(crate) fn has(&self, segment: SegmentId) -> bool {
        self.lock().contains_key(&segment)
    }

    pub(crate) fn get(&self, segment: SegmentId) -> Result<Option<SegmentEvidence>, StoreError> {
        self.store.evidence(segment)
    }

    /// Forgets evidence that is not what is wanted any more.
    pub(crate) fn remove(&self, segment: SegmentId) -> Result<(), StoreError> {
        let mut kept = self.lock();
        self.store.forget_evidence(&[segment])?;
        kept.remove(&segment);
        Ok(())
    }

    /// Forgets what the state of `height` does not want any more. What was taken later stays: it
    /// came in meanwhile, or a crash threw the state back.
    pub(crate) fn retain(&self, height: u64, is_wanted: impl Fn(SegmentId) -> bool) -> Result<(), StoreError> {
        let mut kept = self.lock();
        let over = kept.iter().filter(|(segment, kept)| kept.height <= height && !is_wanted(**segment));
        let over: Vec<SegmentId> = over.map(|(segment, _)| *segment).collect();
        self.store.forget_evidence(&over)?;
        kept.retain(|segment, _| !over.contains(segment));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SegmentId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn size_of(evidence: &SegmentEvidence) -> Result<usize, StoreError> {
    borsh::object_length(evidence).map_err(StoreError::new)
}

#[cfg(test)]
pub(crate) mod tests;
