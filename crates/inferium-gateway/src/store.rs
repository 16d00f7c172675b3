//! What a gateway must not forget: budgets, finished jobs, signed segments, outcomes, leases.

mod boards;
mod files;
mod keys;
mod payments;
mod proofs;
mod runs;
mod training;

pub(crate) use boards::BoardRecord;
pub(crate) use files::{
    BATCHES_MAX, BYTES_MAX, BatchEnd, BatchRecord, BatchStatus, Endpoint, FILES_MAX, Fault, FileContent, FileRecord,
    LineRecord, Made, OPEN_MAX, Repetition,
};
pub(crate) use keys::{KeyLimits, KeyTerms, UsageRow};
pub(crate) use payments::{PaymentRecord, PaymentState, add};
pub(crate) use proofs::{PROOFS_UNDER_WAY_MAX, ProofJob, ProofRecord, ProofState};
#[cfg(test)]
use runs::REVIEWS_MAX;
pub(crate) use runs::{AGENTS_MAX, AgentRecord, HiredRecord, OrdersRecord, ReviewRecord, RunRecord};

pub(crate) use training::{IntervalRow, PendingInterval, Progress, TrainingRecord, TrainingState};

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_chain::EventProof;
pub use inferium_store::StoreError;
use inferium_store::{StorageKey, Store, Table, Transaction};
use inferium_types::{
    Amount, Certificate, Digest, Header, JobId, JobLeaf, LeaseId, MerklePath, NodeId, Price, RejectReason, SecretKey,
    SegmentId, SegmentOutcome, SegmentTerms, Signature, SlashedNode, TaskId, TaskTerms,
};
use std::path::Path;

const KEYS: Table<Digest, KeyRecord> = Table::new("keys");
const LEASES: Table<LeaseId, LeaseRecord> = Table::new("leases");
const TASKS: Table<TaskId, TaskId> = Table::new("tasks");
const SEGMENTS: Table<SegmentId, SegmentRecord> = Table::new("segments");
/// The segment and position of a job.
const JOBS: Table<JobId, (SegmentId, u32)> = Table::new("jobs");
/// Sequences of a lease under a signature of this gateway, with the job that each of them names.
const SEQUENCES: Table<(LeaseId, u64), JobId> = Table::new("sequences");
const UNSIGNED: Table<JobId, UnsignedRecord> = Table::new("unsigned");
const SLASHES: Table<u64, SlashRecord> = Table::new("slashes");
const CURSOR: Table<(), u64> = Table::new("cursor");

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

/// A finished job that no signed segment holds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct UnsignedRecord {
    pub(crate) leaf: JobLeaf,
    /// Whose budget pays.
    pub(crate) payer: Digest,
    pub(crate) cost: Amount,
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

/// What makes room for something of a key: of what is over its own goes first, then that of whoever has most, and the oldest of it. Nobody
/// pushes out what others paid for by sending many. Each is its id, who pays, whether it is over, and when it was made.
fn makes_room<Id>(kept: Vec<(Id, Digest, bool, u64)>, payer: Digest) -> Option<Id> {
    let mut counts = std::collections::BTreeMap::new();
    for (_, of, ..) in &kept {
        let count: &mut usize = counts.entry(*of).or_default();
        *count = count.saturating_add(1);
    }
    let count = |of: &Digest| counts.get(of).copied().unwrap_or_default();
    let over = kept.into_iter().filter(|(_, _, is_over, _)| *is_over);
    over.min_by_key(|(_, of, _, made)| (*of != payer, usize::MAX - count(of), *made)).map(|(id, ..)| id)
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
    /// Signed by the gateway, and not committed before its lease closed; it cost nothing.
    Uncommitted,
}

impl SegmentStatus {
    /// True when its payers got back what it cost.
    const fn is_free(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::Uncommitted => true,
            Self::Provisional | Self::Approved(_) => false,
        }
    }
}

/// A segment that the gateway signed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SegmentRecord {
    pub(crate) terms: SegmentTerms,
    pub(crate) signature: Signature,
    pub(crate) leaves: Vec<JobLeaf>,
    /// Position of one that the worker planted, and nobody pays.
    pub(crate) planted: Option<u32>,
    /// Whose budgets paid, in the order of the other leaves.
    pub(crate) payers: Vec<(Digest, Amount)>,
    pub(crate) status: SegmentStatus,
}

/// A slash seen on the chain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SlashRecord {
    pub(crate) slash: SlashedNode,
    pub(crate) height: u64,
    pub(crate) state: SlashState,
}

/// What became of slashed stake (SPEC S2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum SlashState {
    Held,
    Burned,
    /// An appeal was won: it went back.
    Overturned,
}

impl SlashState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Burned => "burned",
            Self::Overturned => "overturned",
        }
    }
}

/// What goes back to whom, when a segment is not paid for.
pub(crate) type Refunds = Vec<(Digest, Amount)>;

/// Durable memory of a gateway. Every call may wait for the disk.
#[derive(Debug)]
pub(crate) struct GatewayStore {
    store: Store,
}

impl GatewayStore {
    /// Opens or creates the store of the gateway with this key.
    pub(crate) fn open(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        Ok(Self { store: Store::open(path, StorageKey::derive(key, "gateway"))? })
    }

    pub(crate) fn cursor(&self) -> Result<Option<u64>, StoreError> {
        self.store.get(CURSOR, &())
    }

    pub(crate) fn set_cursor(&self, next: u64) -> Result<(), StoreError> {
        self.store.put(CURSOR, &(), &next)
    }

    pub(crate) fn keys(&self) -> Result<Vec<(Digest, KeyRecord)>, StoreError> {
        self.store.all(KEYS)
    }

    /// Makes a key known with a budget; one that is known keeps what it spent, and what was credited to it.
    pub(crate) fn ensure_key(&self, hash: Digest, budget: Amount) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let old = tx.get(KEYS, &hash)?.unwrap_or_default();
            let budget = payments::add(budget, payments::credited(tx, &hash)?);
            tx.put(KEYS, &hash, &KeyRecord { budget, ..old })
        })
    }

    pub(crate) fn put_lease(&self, record: &LeaseRecord) -> Result<(), StoreError> {
        self.store.put(LEASES, &record.lease, record)
    }

    pub(crate) fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        self.store.values(LEASES)
    }

    /// Forgets a lease that the chain closed, and `unsigned`, the finished jobs of it that no
    /// segment holds. Segments of it that were signed and never committed cost nothing.
    pub(crate) fn close_lease(&self, lease: LeaseId, unsigned: &[JobId]) -> Result<Refunds, StoreError> {
        self.store.write(|tx| {
            let mut refunds = Refunds::new();
            for index in 0u32.. {
                let id = SegmentId::of_lease(lease, index);
                let Some(record) = tx.get(SEGMENTS, &id)? else { break };
                if record.status == SegmentStatus::Provisional {
                    refunds.extend(decide(tx, record, SegmentStatus::Uncommitted)?);
                }
            }
            for job in unsigned {
                tx.remove(UNSIGNED, job)?;
            }
            tx.remove(LEASES, &lease)?;
            Ok(refunds)
        })
    }

    pub(crate) fn put_task(&self, task: TaskId) -> Result<(), StoreError> {
        self.store.put(TASKS, &task, &task)
    }

    pub(crate) fn remove_task(&self, task: TaskId) -> Result<(), StoreError> {
        self.store.remove(TASKS, &task)
    }

    pub(crate) fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        self.store.keys(TASKS)
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Option<SegmentRecord>, StoreError> {
        self.store.get(SEGMENTS, &id)
    }

    /// The segment and position of a job.
    pub(crate) fn job(&self, job: JobId) -> Result<Option<(SegmentId, u32)>, StoreError> {
        self.store.get(JOBS, &job)
    }

    /// The job that a sequence of a lease names under a signature of this gateway.
    pub(crate) fn signed_sequence(&self, lease: LeaseId, sequence: u64) -> Result<Option<JobId>, StoreError> {
        self.store.get(SEQUENCES, &(lease, sequence))
    }

    /// Keeps finished jobs until a segment holds them. Those whose segment was signed, or whose
    /// lease was closed, before they got here need no keeping.
    pub(crate) fn put_unsigned(&self, records: &[UnsignedRecord]) -> Result<(), StoreError> {
        self.store.write(|tx| {
            for record in records {
                let request = &record.leaf.request;
                if tx.get(JOBS, &request.job)?.is_none() && tx.get(LEASES, &request.lease)?.is_some() {
                    tx.put(UNSIGNED, &request.job, record)?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn unsigned(&self) -> Result<Vec<UnsignedRecord>, StoreError> {
        self.store.values(UNSIGNED)
    }

    /// Keeps a segment, its jobs, and what they cost their payers: all or nothing.
    pub(crate) fn put_segment(&self, record: &SegmentRecord) -> Result<(), StoreError> {
        let id = record.terms.id();
        self.store.write(|tx| {
            if tx.get(SEGMENTS, &id)?.is_some() {
                return Err(StoreError::new(format_args!("segment {id} was signed before")));
            }
            tx.put(SEGMENTS, &id, record)?;
            for JobLeaf { request, .. } in &record.leaves {
                tx.put(SEQUENCES, &(request.lease, request.sequence), &request.job)?;
            }
            let clients = (0u32..).zip(&record.leaves).filter(|(index, _)| record.planted != Some(*index));
            for (index, leaf) in clients {
                tx.put(JOBS, &leaf.request.job, &(id, index))?;
                tx.remove(UNSIGNED, &leaf.request.job)?;
            }
            keys::count(tx, record)?;
            adjust_payers(tx, record, Amount::add)
        })
    }

    /// Records what the chain decided; a rejected segment's cost goes back to its payers, once.
    pub(crate) fn decide_segment(&self, id: SegmentId, status: SegmentStatus) -> Result<Refunds, StoreError> {
        self.store.write(|tx| match tx.get(SEGMENTS, &id)? {
            Some(record) => decide(tx, record, status),
            None => Ok(Refunds::new()),
        })
    }

    /// Records a slash, which is held from now on; one that is known stays as it is.
    pub(crate) fn put_slash(&self, slash: &SlashedNode, height: u64) -> Result<(), StoreError> {
        self.store.write(|tx| {
            if tx.get(SLASHES, &slash.slash)?.is_some() {
                return Ok(());
            }
            tx.put(SLASHES, &slash.slash, &SlashRecord { slash: slash.clone(), height, state: SlashState::Held })
        })
    }

    /// Records that a slash is held no more.
    pub(crate) fn end_slash(&self, number: u64, state: SlashState) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(record) = tx.get(SLASHES, &number)? else { return Ok(()) };
            tx.put(SLASHES, &number, &SlashRecord { state, ..record })
        })
    }

    /// The newest `count` slashes before slash `before`, newest first.
    pub(crate) fn slashes(&self, before: Option<u64>, count: usize) -> Result<Vec<(u64, SlashRecord)>, StoreError> {
        self.store.last(SLASHES, before.as_ref(), count)
    }

    /// Keeps every other writer waiting while `work` runs.
    #[cfg(test)]
    pub(crate) fn while_writing(&self, work: impl FnOnce()) {
        let written = self.store.write(|_| {
            work();
            Ok(())
        });
        assert_eq!(written, Ok(()));
    }
}

fn decide(tx: &Transaction, mut record: SegmentRecord, status: SegmentStatus) -> Result<Refunds, StoreError> {
    let mut refunds = Refunds::new();
    if status.is_free() && !record.status.is_free() {
        adjust_payers(tx, &record, Amount::sub)?;
        keys::free(tx, &record)?;
        refunds.clone_from(&record.payers);
    }
    record.status = status;
    tx.put(SEGMENTS, &record.terms.id(), &record)?;
    Ok(refunds)
}

fn adjust_payers(
    tx: &Transaction,
    record: &SegmentRecord,
    change: impl Fn(Amount, Amount) -> Result<Amount, inferium_types::AmountOverflow>,
) -> Result<(), StoreError> {
    for (payer, cost) in &record.payers {
        let mut key = tx.get(KEYS, payer)?.unwrap_or_default();
        key.spent = change(key.spent, *cost).map_err(StoreError::new)?;
        tx.put(KEYS, payer, &key)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
