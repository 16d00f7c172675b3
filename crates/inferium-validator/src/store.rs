//! What a validator must not forget: its verdicts, and requests it relays.

use inferium_types::{SegmentId, StallId, VerdictVote, decode, encode};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::path::Path;

const VERDICTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("verdicts");
const RELAYED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("relayed");

/// The node's own disk failed; the node stops (SPEC C8).
#[derive(Debug, thiserror::Error)]
#[error("the verdict store failed: {reason}")]
pub struct StoreError {
    /// What the storage said.
    pub reason: String,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError { reason: error.to_string() }
}

/// Durable memory of verdicts: one per segment, for ever.
#[derive(Debug)]
pub struct VerdictStore {
    database: Database,
}

impl VerdictStore {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// [`StoreError`], also when another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(VERDICTS).map_err(failed)?;
        write.open_table(RELAYED).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }

    /// The verdict that was recorded for a segment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verdict(&self, segment: SegmentId) -> Result<Option<VerdictVote>, StoreError> {
        self.get(VERDICTS, segment.digest().as_bytes())?.map(|bytes| decode(&bytes).map_err(failed)).transpose()
    }

    /// Records a verdict unless there is one, and returns the one that stands.
    ///
    /// Ensures: what it returns is on disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_verdict(&self, segment: SegmentId, vote: VerdictVote) -> Result<VerdictVote, StoreError> {
        let key = segment.digest();
        let write = self.database.begin_write().map_err(failed)?;
        let standing = {
            let mut table = write.open_table(VERDICTS).map_err(failed)?;
            let old = table.get(key.as_bytes().as_slice()).map_err(failed)?.map(|bytes| bytes.value().to_vec());
            match old {
                Some(bytes) => decode(&bytes).map_err(failed)?,
                None => {
                    table.insert(key.as_bytes().as_slice(), encode(&vote).as_slice()).map_err(failed)?;
                    vote
                }
            }
        };
        write.commit().map_err(failed)?;
        Ok(standing)
    }

    /// A relayed request's bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relayed(&self, stall: StallId) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(RELAYED, stall.digest().as_bytes())
    }

    /// Keeps a relayed request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_relayed(&self, stall: StallId, bytes: &[u8]) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(RELAYED).map_err(failed)?;
            table.insert(stall.digest().as_bytes().as_slice(), bytes).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// The claims whose requests are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn relayed_claims(&self) -> Result<Vec<StallId>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(RELAYED).map_err(failed)?;
        let mut claims = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, _) = entry.map_err(failed)?;
            let bytes: [u8; 32] = key.value().try_into().map_err(failed)?;
            claims.push(StallId::new(bytes.into()));
        }
        Ok(claims)
    }

    /// Forgets a relayed request, once its claim is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_relayed(&self, stall: StallId) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(RELAYED).map_err(failed)?;
            table.remove(stall.digest().as_bytes().as_slice()).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn get(&self, table: TableDefinition<'_, &[u8], &[u8]>, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        Ok(table.get(key).map_err(failed)?.map(|bytes| bytes.value().to_vec()))
    }
}

#[cfg(test)]
mod tests;
