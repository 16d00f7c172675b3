//! What a worker must not forget: its leases, and the segments it signed with their evidence.

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    Digest, JobEvidence, JobLeaf, LeaseId, NodeId, Price, SegmentId, SegmentTerms, Signature, TaskTerms, decode, encode,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::path::Path;

const LEASES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("leases");
const SEGMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("segments");
const CURSOR: TableDefinition<'_, &str, u64> = TableDefinition::new("cursor");

/// The node's own disk failed; the node stops (SPEC C8).
#[derive(Debug, thiserror::Error)]
#[error("the worker's store failed: {reason}")]
pub struct StoreError {
    /// What the storage said.
    pub reason: String,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError { reason: error.to_string() }
}

/// A lease as the chain granted it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) lease: LeaseId,
    pub(crate) gateway: NodeId,
    pub(crate) terms: TaskTerms,
    pub(crate) price: Price,
    pub(crate) beacon: Digest,
    pub(crate) expires_at_ms: u64,
    pub(crate) ended: bool,
    /// Sequences below this one may have been taken; a later run takes none of them again, so
    /// that no two results for one request are ever signed.
    pub(crate) sequence_limit: u64,
}

/// A segment that the worker signed, with all it takes to prove it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SegmentRecord {
    pub(crate) terms: SegmentTerms,
    pub(crate) gateway: NodeId,
    pub(crate) worker_signature: Signature,
    pub(crate) gateway_signature: Option<Signature>,
    pub(crate) leaves: Vec<JobLeaf>,
    pub(crate) jobs: Vec<JobEvidence>,
}

/// Durable memory of a worker.
#[derive(Debug)]
pub(crate) struct WorkerStore {
    database: Database,
}

impl WorkerStore {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(LEASES).map_err(failed)?;
        write.open_table(SEGMENTS).map_err(failed)?;
        write.open_table(CURSOR).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }

    /// The first block that was not handled yet.
    pub(crate) fn cursor(&self) -> Result<Option<u64>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(CURSOR).map_err(failed)?;
        Ok(table.get("next").map_err(failed)?.map(|height| height.value()))
    }

    pub(crate) fn set_cursor(&self, next: u64) -> Result<(), StoreError> {
        self.write(|write| {
            write.open_table(CURSOR).map_err(failed)?.insert("next", next).map_err(failed)?;
            Ok(())
        })
    }

    pub(crate) fn put_lease(&self, record: &LeaseRecord) -> Result<(), StoreError> {
        self.put(LEASES, record.lease.digest(), &encode(record))
    }

    pub(crate) fn remove_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.remove(LEASES, lease.digest())
    }

    pub(crate) fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        self.all(LEASES)
    }

    /// Keeps a new segment. Ensures: it is on disk, and no other was signed in its place.
    pub(crate) fn put_segment(&self, record: &SegmentRecord) -> Result<(), StoreError> {
        let id = record.terms.id();
        if self.segment(id)?.is_some_and(|standing| standing.terms != record.terms) {
            return Err(StoreError { reason: format!("segment {id} was signed before with other contents") });
        }
        self.put(SEGMENTS, id.digest(), &encode(record))
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Option<SegmentRecord>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(SEGMENTS).map_err(failed)?;
        let bytes = table.get(id.digest().as_bytes().as_slice()).map_err(failed)?;
        bytes.map(|bytes| decode(bytes.value()).map_err(failed)).transpose()
    }

    pub(crate) fn segments(&self) -> Result<Vec<SegmentRecord>, StoreError> {
        self.all(SEGMENTS)
    }

    pub(crate) fn remove_segment(&self, id: SegmentId) -> Result<(), StoreError> {
        self.remove(SEGMENTS, id.digest())
    }

    fn put(&self, table: TableDefinition<'_, &[u8], &[u8]>, key: Digest, value: &[u8]) -> Result<(), StoreError> {
        self.write(|write| {
            let mut table = write.open_table(table).map_err(failed)?;
            table.insert(key.as_bytes().as_slice(), value).map_err(failed)?;
            Ok(())
        })
    }

    fn remove(&self, table: TableDefinition<'_, &[u8], &[u8]>, key: Digest) -> Result<(), StoreError> {
        self.write(|write| {
            write.open_table(table).map_err(failed)?.remove(key.as_bytes().as_slice()).map_err(failed)?;
            Ok(())
        })
    }

    fn write(&self, change: impl FnOnce(&redb::WriteTransaction) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        change(&write)?;
        write.commit().map_err(failed)
    }

    fn all<T: BorshDeserialize>(&self, table: TableDefinition<'_, &[u8], &[u8]>) -> Result<Vec<T>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (_, value) = entry.map_err(failed)?;
            records.push(decode(value.value()).map_err(failed)?);
        }
        Ok(records)
    }
}

#[cfg(test)]
pub(crate) mod tests;
