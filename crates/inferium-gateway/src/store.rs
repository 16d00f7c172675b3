//! What a gateway must not forget: budgets, signed segments, outcomes, leases.

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_chain::EventProof;
use inferium_types::{
    Amount, Certificate, Digest, Header, JobId, JobLeaf, LeaseId, MerklePath, NodeId, Price, RejectReason, SegmentId,
    SegmentOutcome, SegmentTerms, Signature, SlashedNode, TaskId, TaskTerms, decode, encode,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use std::path::Path;

type Table<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

const KEYS: Table<'_> = TableDefinition::new("keys");
const LEASES: Table<'_> = TableDefinition::new("leases");
const TASKS: Table<'_> = TableDefinition::new("tasks");
const SEGMENTS: Table<'_> = TableDefinition::new("segments");
const JOBS: Table<'_> = TableDefinition::new("jobs");
const SLASHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("slashes");
const CURSOR: TableDefinition<'_, &str, u64> = TableDefinition::new("cursor");

/// The gateway's own disk failed; it stops (SPEC C8).
#[derive(Debug, Clone, thiserror::Error)]
#[error("the gateway's store failed: {reason}")]
pub struct StoreError {
    /// What the storage said.
    pub reason: String,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError { reason: error.to_string() }
}

/// A client's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct KeyRecord {
    /// What may be spent in all.
    pub(crate) budget: Amount,
    /// What was spent on segments that were signed and not rejected.
    pub(crate) spent: Amount,
}

/// A lease that the gateway pays for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) lease: LeaseId,
    pub(crate) worker: NodeId,
    pub(crate) terms: TaskTerms,
    pub(crate) price: Price,
    pub(crate) beacon: Digest,
    pub(crate) expires_at_ms: u64,
}

/// Proof that a segment was approved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ApprovalRecord {
    pub(crate) outcome: SegmentOutcome,
    pub(crate) path: MerklePath,
    pub(crate) headers: Vec<Header>,
    pub(crate) certificate: Certificate,
}

impl ApprovalRecord {
    pub(crate) fn new(outcome: SegmentOutcome, proof: EventProof) -> Self {
        Self { outcome, path: proof.path, headers: proof.headers, certificate: proof.certificate }
    }
}

/// Where a segment stands.
#[expect(clippy::large_enum_variant, reason = "almost every segment ends approved")]
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum SegmentStatus {
    /// Signed; the chain has not decided.
    Provisional,
    /// Final or settled.
    Approved(ApprovalRecord),
    /// Not approved; it cost nothing.
    Rejected(RejectReason),
}

/// A segment that the gateway signed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SegmentRecord {
    pub(crate) terms: SegmentTerms,
    pub(crate) signature: Signature,
    pub(crate) leaves: Vec<JobLeaf>,
    /// Whose budgets paid, by position in `leaves`.
    pub(crate) payers: Vec<(Digest, Amount)>,
    pub(crate) status: SegmentStatus,
}

/// A slash seen on the chain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SlashRecord {
    pub(crate) slash: SlashedNode,
    pub(crate) height: u64,
    pub(crate) burned: bool,
}

/// Durable memory of a gateway.
#[derive(Debug)]
pub(crate) struct GatewayStore {
    database: Database,
}

impl GatewayStore {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        for table in [KEYS, LEASES, TASKS, SEGMENTS, JOBS] {
            write.open_table(table).map_err(failed)?;
        }
        write.open_table(SLASHES).map_err(failed)?;
        write.open_table(CURSOR).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self { database })
    }

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

    pub(crate) fn key(&self, hash: Digest) -> Result<Option<KeyRecord>, StoreError> {
        self.get(KEYS, hash)
    }

    /// Makes a key known with a budget; one that is known keeps what it spent.
    pub(crate) fn ensure_key(&self, hash: Digest, budget: Amount) -> Result<(), StoreError> {
        self.write(|write| {
            let old: KeyRecord = read_in(write, KEYS, hash)?.unwrap_or_default();
            put_in(write, KEYS, hash, &KeyRecord { budget, ..old })
        })
    }

    pub(crate) fn put_lease(&self, record: &LeaseRecord) -> Result<(), StoreError> {
        self.write(|write| put_in(write, LEASES, record.lease.digest(), record))
    }

    /// Forgets a lease that the chain closed. Segments of it that were signed and never committed
    /// are rejected, and cost nothing.
    pub(crate) fn close_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        for index in 0u32.. {
            let id = SegmentId::of_lease(lease, index);
            let Some(record) = self.segment(id)? else { break };
            if record.status == SegmentStatus::Provisional {
                self.decide_segment(id, SegmentStatus::Rejected(RejectReason::Unresolved))?;
            }
        }
        self.remove_lease(lease)
    }

    pub(crate) fn remove_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.write(|write| remove_in(write, LEASES, lease.digest()))
    }

    pub(crate) fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        Ok(self.all(LEASES)?.into_iter().map(|(_, record)| record).collect())
    }

    pub(crate) fn put_task(&self, task: TaskId) -> Result<(), StoreError> {
        self.write(|write| put_in(write, TASKS, task.digest(), &task))
    }

    pub(crate) fn remove_task(&self, task: TaskId) -> Result<(), StoreError> {
        self.write(|write| remove_in(write, TASKS, task.digest()))
    }

    pub(crate) fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.all(TASKS)?.into_iter().map(|(_, task)| task).collect())
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Option<SegmentRecord>, StoreError> {
        self.get(SEGMENTS, id.digest())
    }

    /// The segment and position of a job.
    pub(crate) fn job(&self, job: JobId) -> Result<Option<(SegmentId, u32)>, StoreError> {
        self.get(JOBS, job.digest())
    }

    /// Keeps a segment, its jobs, and what they cost their payers: all or nothing.
    pub(crate) fn put_segment(&self, record: &SegmentRecord) -> Result<(), StoreError> {
        let id = record.terms.id();
        self.write(|write| {
            if read_in::<SegmentRecord>(write, SEGMENTS, id.digest())?.is_some() {
                return Err(StoreError { reason: format!("segment {id} was signed before") });
            }
            put_in(write, SEGMENTS, id.digest(), record)?;
            for (index, leaf) in (0u32..).zip(&record.leaves) {
                put_in(write, JOBS, leaf.request.job.digest(), &(id, index))?;
            }
            adjust_payers(write, record, Amount::add)
        })
    }

    /// Records what the chain decided; a rejected segment's cost goes back to its payers.
    pub(crate) fn decide_segment(&self, id: SegmentId, status: SegmentStatus) -> Result<bool, StoreError> {
        self.write(|write| {
            let Some(mut record) = read_in::<SegmentRecord>(write, SEGMENTS, id.digest())? else { return Ok(false) };
            let was_rejected = matches!(record.status, SegmentStatus::Rejected(_));
            if matches!(status, SegmentStatus::Rejected(_)) && !was_rejected {
                adjust_payers(write, &record, Amount::sub)?;
            }
            record.status = status;
            put_in(write, SEGMENTS, id.digest(), &record)?;
            Ok(true)
        })
    }

    pub(crate) fn put_slash(&self, number: u64, record: &SlashRecord) -> Result<(), StoreError> {
        self.write(|write| {
            let mut table = write.open_table(SLASHES).map_err(failed)?;
            table.insert(number, encode(record).as_slice()).map_err(failed)?;
            Ok(())
        })
    }

    pub(crate) fn slashes(&self) -> Result<Vec<(u64, SlashRecord)>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(SLASHES).map_err(failed)?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (number, value) = entry.map_err(failed)?;
            records.push((number.value(), decode(value.value()).map_err(failed)?));
        }
        Ok(records)
    }

    fn get<T: BorshDeserialize>(&self, table: Table<'_>, key: Digest) -> Result<Option<T>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        let bytes = table.get(key.as_bytes().as_slice()).map_err(failed)?;
        bytes.map(|bytes| decode(bytes.value()).map_err(failed)).transpose()
    }

    fn all<T: BorshDeserialize>(&self, table: Table<'_>) -> Result<Vec<(Digest, T)>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let mut bytes = [0u8; 32];
            bytes.copy_from_slice(key.value());
            records.push((Digest::from(bytes), decode(value.value()).map_err(failed)?));
        }
        Ok(records)
    }

    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let value = change(&write)?;
        write.commit().map_err(failed)?;
        Ok(value)
    }
}

fn adjust_payers(
    write: &WriteTransaction,
    record: &SegmentRecord,
    change: impl Fn(Amount, Amount) -> Result<Amount, inferium_types::AmountOverflow>,
) -> Result<(), StoreError> {
    for (payer, cost) in &record.payers {
        let mut key: KeyRecord = read_in(write, KEYS, *payer)?.unwrap_or_default();
        key.spent = change(key.spent, *cost).map_err(failed)?;
        put_in(write, KEYS, *payer, &key)?;
    }
    Ok(())
}

fn read_in<T: BorshDeserialize>(
    write: &WriteTransaction,
    table: Table<'_>,
    key: Digest,
) -> Result<Option<T>, StoreError> {
    let table = write.open_table(table).map_err(failed)?;
    let bytes = table.get(key.as_bytes().as_slice()).map_err(failed)?.map(|bytes| bytes.value().to_vec());
    bytes.map(|bytes: Vec<u8>| decode(&bytes).map_err(failed)).transpose()
}

fn put_in<T: BorshSerialize>(
    write: &WriteTransaction,
    table: Table<'_>,
    key: Digest,
    value: &T,
) -> Result<(), StoreError> {
    let mut table = write.open_table(table).map_err(failed)?;
    table.insert(key.as_bytes().as_slice(), encode(value).as_slice()).map_err(failed)?;
    Ok(())
}

fn remove_in(write: &WriteTransaction, table: Table<'_>, key: Digest) -> Result<(), StoreError> {
    let mut table = write.open_table(table).map_err(failed)?;
    table.remove(key.as_bytes().as_slice()).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
