//! Runs of training: what they are trained on, how far they are, and every interval that a committee approved.

use super::{GatewayStore, SEGMENTS, StoreError, makes_room};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::Table;
use inferium_types::{Amount, Digest, JobId, SegmentId};

const RUNS: Table<Digest, TrainingRecord> = Table::new("trainings");
/// What they are trained on: the data set, and the bits of its vectors; megabytes.
const DATA: Table<Digest, (String, Vec<u8>)> = Table::new("training-data");
/// By the run and the number of intervals before it; the first has none.
const CHECKPOINTS: Table<(Digest, u64), Vec<u8>> = Table::new("training-checkpoints");
const INTERVALS: Table<(Digest, u64), IntervalRow> = Table::new("training-intervals");
/// The interval that a committee looks at.
const PENDING: Table<Digest, PendingInterval> = Table::new("training-pending");
/// What drew the committees of segments that hold training.
const DRAWS: Table<SegmentId, Digest> = Table::new("training-draws");

/// Runs that are kept; the oldest that is over goes.
pub(crate) const TRAININGS_MAX: usize = 64;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum TrainingState {
    /// Its order is not drawn.
    Announced,
    Training,
    Finished,
    /// Why.
    Failed(String),
}

impl TrainingState {
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed(_))
    }
}

/// How far a run is: what a list says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Progress {
    /// Intervals that were approved.
    pub(crate) intervals: u64,
    /// What they cost.
    pub(crate) cost: Amount,
    /// The root after the last of them, and bits of the loss of its last step.
    pub(crate) last: Option<(Digest, u32)>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TrainingRecord {
    /// Who pays, and may have what comes of it.
    pub(crate) payer: Digest,
    pub(crate) created_at_ms: u64,
    /// The spec as it was announced, encoded.
    pub(crate) open: Vec<u8>,
    pub(crate) lines: u64,
    pub(crate) state: TrainingState,
    /// The announcement's job, once it was done.
    pub(crate) announcement: Option<JobId>,
    /// What drew the committee of its segment, once that approved it.
    pub(crate) drawn: Option<Digest>,
    /// The spec with its order and seed, encoded.
    pub(crate) spec: Option<Vec<u8>>,
    pub(crate) progress: Progress,
    /// Jobs that no committee approved.
    pub(crate) rejected: u32,
    /// What has to come before it goes on, in words.
    pub(crate) waits: Option<String>,
    /// What was measured on the held-out part before and after, as JSON.
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// An interval that was approved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct IntervalRow {
    pub(crate) job: JobId,
    /// The root after it.
    pub(crate) root: Digest,
    /// Bits of the loss of each step.
    pub(crate) losses: Vec<u32>,
    pub(crate) cost: Amount,
}

/// One that a worker claims.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct PendingInterval {
    pub(crate) row: IntervalRow,
    /// The checkpoint that it leads to.
    pub(crate) checkpoint: Vec<u8>,
}

/// Runs of a key under way at most.
const UNDER_WAY_MAX: usize = 4;

impl GatewayStore {
    /// Keeps a run that is new; false where there is no room for one that is not over, or the key has too many under way.
    pub(crate) fn put_training(
        &self,
        id: Digest,
        record: &TrainingRecord,
        data: &(String, Vec<u8>),
    ) -> Result<bool, StoreError> {
        let kept = self.trainings()?;
        let under_way = kept.iter().filter(|(_, of)| of.payer == record.payer && !of.state.is_over()).count();
        if under_way >= UNDER_WAY_MAX {
            return Ok(false);
        }
        if kept.len() >= TRAININGS_MAX {
            let all = kept.iter().map(|(id, of)| (*id, of.payer, of.state.is_over(), of.created_at_ms)).collect();
            let Some(goes) = makes_room(all, record.payer) else { return Ok(false) };
            self.remove_training(goes)?;
        }
        self.store.write(|tx| {
            tx.put(DATA, &id, data)?;
            tx.put(RUNS, &id, record)
        })?;
        Ok(true)
    }

    fn remove_training(&self, id: Digest) -> Result<(), StoreError> {
        let checkpoints = self.store.keys_between(CHECKPOINTS, &(id, 0), &(id, u64::MAX))?;
        self.store.write(|tx| {
            for key in &checkpoints {
                tx.remove(CHECKPOINTS, key)?;
                tx.remove(INTERVALS, key)?;
            }
            tx.remove(PENDING, &id)?;
            tx.remove(DATA, &id)?;
            tx.remove(RUNS, &id)
        })
    }

    pub(crate) fn trainings(&self) -> Result<Vec<(Digest, TrainingRecord)>, StoreError> {
        self.store.all(RUNS)
    }

    pub(crate) fn training(&self, id: Digest) -> Result<Option<TrainingRecord>, StoreError> {
        self.store.get(RUNS, &id)
    }

    /// Changes a run that there is.
    pub(crate) fn change_training(
        &self,
        id: Digest,
        change: impl FnOnce(&mut TrainingRecord),
    ) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(RUNS, &id)? else { return Ok(()) };
            change(&mut record);
            tx.put(RUNS, &id, &record)
        })
    }

    pub(crate) fn training_data(&self, id: Digest) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        self.store.get(DATA, &id)
    }

    pub(crate) fn training_checkpoint(&self, id: Digest, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(CHECKPOINTS, &(id, index))
    }

    /// Intervals that were approved, in their order.
    pub(crate) fn training_intervals(&self, id: Digest) -> Result<Vec<IntervalRow>, StoreError> {
        let keys = self.store.keys_between(INTERVALS, &(id, 0), &(id, u64::MAX))?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.extend(self.store.get(INTERVALS, &key)?);
        }
        Ok(rows)
    }

    pub(crate) fn pending_interval(&self, id: Digest) -> Result<Option<PendingInterval>, StoreError> {
        self.store.get(PENDING, &id)
    }

    /// Keeps what a worker claims before anybody relies on it.
    pub(crate) fn put_pending(&self, id: Digest, pending: &PendingInterval) -> Result<(), StoreError> {
        self.store.put(PENDING, &id, pending)
    }

    /// The committee does not approve what a worker claimed: the interval is done again.
    pub(crate) fn reject_pending(&self, id: Digest) -> Result<(), StoreError> {
        self.store.write(|tx| {
            tx.remove(PENDING, &id)?;
            let Some(mut record) = tx.get(RUNS, &id)? else { return Ok(()) };
            record.rejected = record.rejected.saturating_add(1);
            tx.put(RUNS, &id, &record)
        })
    }

    /// A run begins: its order is drawn. Whatever was there of another draw is not.
    pub(crate) fn begin_training(
        &self,
        id: Digest,
        (drawn, spec): (Digest, Vec<u8>),
        first: &[u8],
        before: &str,
    ) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(RUNS, &id)? else { return Ok(()) };
            record.state = TrainingState::Training;
            (record.drawn, record.spec) = (Some(drawn), Some(spec));
            (record.before, record.waits) = (Some(before.to_owned()), None);
            tx.put(CHECKPOINTS, &(id, 0), &first.to_vec())?;
            tx.put(RUNS, &id, &record)
        })
    }

    /// The interval that was pending is approved; it is number `index`, from 0.
    pub(crate) fn approve_pending(&self, id: Digest, index: u64) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(PendingInterval { row, checkpoint }) = tx.get(PENDING, &id)? else { return Ok(()) };
            let next = index.saturating_add(1);
            tx.put(CHECKPOINTS, &(id, next), &checkpoint)?;
            tx.put(INTERVALS, &(id, next), &row)?;
            tx.remove(PENDING, &id)?;
            let Some(mut record) = tx.get(RUNS, &id)? else { return Ok(()) };
            let loss = row.losses.last().copied().unwrap_or_default();
            let cost = record.progress.cost.add(row.cost).map_err(StoreError::new)?;
            record.progress = Progress { intervals: next, cost, last: Some((row.root, loss)) };
            tx.put(RUNS, &id, &record)
        })
    }

    /// Remembers what drew the first committee of a segment of training, if this gateway signed it.
    pub(crate) fn note_draw(&self, segment: SegmentId, seed: Digest) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            if tx.get(SEGMENTS, &segment)?.is_none() || tx.get(DRAWS, &segment)?.is_some() {
                return Ok(false);
            }
            tx.put(DRAWS, &segment, &seed)?;
            Ok(true)
        })
    }

    pub(crate) fn draw_of(&self, segment: SegmentId) -> Result<Option<Digest>, StoreError> {
        self.store.get(DRAWS, &segment)
    }
}

#[cfg(test)]
mod tests;
