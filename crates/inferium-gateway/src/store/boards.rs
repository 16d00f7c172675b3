//! Boards that were folded here, with what they were folded from: whoever doubts one recomputes it.

use super::{GatewayStore, StoreError};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::Table;
use inferium_types::{Digest, JobId, JobOutput, JobPayload};
use std::collections::BTreeSet;

/// By suite, then when they were made; oldest first.
const BOARDS: Table<(Digest, (u64, JobId)), BoardRecord> = Table::new("boards");
/// Which board a job is.
const BOARD_JOBS: Table<JobId, (Digest, u64)> = Table::new("board-jobs");
/// What they were folded from; megabytes.
const BOARD_INPUTS: Table<JobId, JobPayload> = Table::new("board-inputs");

/// Boards that are kept of one suite; of older ones those that are spared.
pub(crate) const BOARDS_MAX: usize = 16;
/// And these at most.
const SPARED_MAX: usize = 4 * BOARDS_MAX;

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BoardRecord {
    pub(crate) job: JobId,
    /// The suite's id.
    pub(crate) suite: Digest,
    /// As whoever published it calls it.
    pub(crate) name: Option<String>,
    pub(crate) created_at_ms: u64,
    /// The board with its salt: opened for everyone once it is final, since a board is for all to read.
    pub(crate) output: JobOutput,
}

impl BoardRecord {
    const fn key(&self) -> (Digest, (u64, JobId)) {
        (self.suite, (self.created_at_ms, self.job))
    }
}

impl GatewayStore {
    /// Keeps a board and its inputs. Older ones of its suite beyond [`BOARDS_MAX`] go, the oldest first, but for those of `spared`; beyond
    /// [`SPARED_MAX`] those too.
    pub(crate) fn put_board(
        &self,
        record: &BoardRecord,
        payload: &JobPayload,
        spared: &BTreeSet<JobId>,
    ) -> Result<(), StoreError> {
        let kept = self.boards_of(record.suite)?;
        let over = kept.len().saturating_sub(BOARDS_MAX - 1);
        let far_over = kept.len().saturating_sub(SPARED_MAX - 1);
        let (lost, others): (Vec<_>, Vec<_>) = kept.into_iter().enumerate().partition(|(place, _)| *place < far_over);
        let gone = others.into_iter().filter(|(_, old)| !spared.contains(&old.job)).take(over.saturating_sub(far_over));
        let gone: Vec<BoardRecord> = lost.into_iter().chain(gone).map(|(_, old)| old).collect();
        self.store.write(|tx| {
            for old in &gone {
                tx.remove(BOARDS, &old.key())?;
                tx.remove(BOARD_JOBS, &old.job)?;
                tx.remove(BOARD_INPUTS, &old.job)?;
            }
            tx.put(BOARDS, &record.key(), record)?;
            tx.put(BOARD_JOBS, &record.job, &(record.suite, record.created_at_ms))?;
            tx.put(BOARD_INPUTS, &record.job, payload)
        })
    }

    /// Boards of a suite, oldest first.
    pub(crate) fn boards_of(&self, suite: Digest) -> Result<Vec<BoardRecord>, StoreError> {
        let end = |at_ms, bytes| (suite, (at_ms, JobId::new(Digest::from(bytes))));
        let keys = self.store.keys_between(BOARDS, &end(0, [0; 32]), &end(u64::MAX, [u8::MAX; 32]))?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.store.get(BOARDS, &key)?);
        }
        Ok(found)
    }

    pub(crate) fn board(&self, job: JobId) -> Result<Option<BoardRecord>, StoreError> {
        let Some((suite, created_at_ms)) = self.store.get(BOARD_JOBS, &job)? else { return Ok(None) };
        self.store.get(BOARDS, &(suite, (created_at_ms, job)))
    }

    /// What a board was folded from.
    pub(crate) fn board_inputs(&self, job: JobId) -> Result<Option<JobPayload>, StoreError> {
        self.store.get(BOARD_INPUTS, &job)
    }
}

#[cfg(test)]
mod tests;
