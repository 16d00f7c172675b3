//! What a worker must not forget: its leases, the segments it signed with their evidence, and the
//! claims that it owes an answer.

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::{StorageKey, Store, StoreError, Table};
use inferium_types::{
    Digest, JobEvidence, JobLeaf, LeaseId, NodeId, Price, SecretKey, SegmentId, SegmentTerms, Signature, StallId,
    TaskTerms, VrfProof,
};
use std::path::Path;

const LEASES: Table<LeaseId, LeaseRecord> = Table::new("leases");
const SEGMENTS: Table<SegmentId, SegmentRecord> = Table::new("segments");
const CLAIMS: Table<StallId, ClaimRecord> = Table::new("claims");
const CHALLENGES: Table<(SegmentId, NodeId), ChallengeRecord> = Table::new("challenges");
/// The first block that was not handled yet.
const CURSOR: Table<(), u64> = Table::new("cursor");

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
    /// What the VRF says of the segment (SPEC V5); none of a capability task.
    pub(crate) forced_proof: Option<VrfProof>,
    /// Position of the job that was planted.
    pub(crate) planted: Option<u32>,
    pub(crate) leaves: Vec<JobLeaf>,
    pub(crate) jobs: Vec<JobEvidence>,
}

/// A certified claim against the worker, which it owes an answer (SPEC T6). The chain names the
/// relays in an event only, and handles no event twice.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ClaimRecord {
    pub(crate) stall: StallId,
    /// Who holds the request.
    pub(crate) relays: Vec<NodeId>,
}

/// A challenge of one of the worker's jobs (SPEC V11). The chain names it in an event only, until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChallengeRecord {
    pub(crate) segment: SegmentId,
    pub(crate) challenger: NodeId,
    /// Position of the job.
    pub(crate) job: u32,
}

/// Durable memory of a worker.
#[derive(Debug)]
pub(crate) struct WorkerStore {
    store: Store,
}

impl WorkerStore {
    /// Opens or creates the store of the worker with this key.
    pub(crate) fn open(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        Ok(Self { store: Store::open(path, StorageKey::derive(key, "worker"))? })
    }

    /// The first block that was not handled yet.
    pub(crate) fn cursor(&self) -> Result<Option<u64>, StoreError> {
        self.store.get(CURSOR, &())
    }

    pub(crate) fn set_cursor(&self, next: u64) -> Result<(), StoreError> {
        self.store.put(CURSOR, &(), &next)
    }

    pub(crate) fn put_lease(&self, record: &LeaseRecord) -> Result<(), StoreError> {
        self.store.put(LEASES, &record.lease, record)
    }

    pub(crate) fn remove_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.remove(LEASES, &lease)
    }

    pub(crate) fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        self.store.values(LEASES)
    }

    /// Keeps a new segment, or one that the gateway signed meanwhile. Ensures: it is on disk, and took no other's
    /// place, which only [`WorkerStore::replace_segment`] does.
    pub(crate) fn put_segment(&self, record: &SegmentRecord) -> Result<(), StoreError> {
        let id = record.terms.id();
        self.store.write(|tx| {
            if tx.get(SEGMENTS, &id)?.is_some_and(|standing| standing.terms != record.terms) {
                return Err(StoreError::new(format_args!("segment {id} was signed before with other contents")));
            }
            tx.put(SEGMENTS, &id, record)
        })
    }

    /// Removes a segment that the gateway refused, for `other` at its index if there is anything left to sign. One
    /// write: a kill leaves the one or the other, and loses no job that both hold.
    pub(crate) fn replace_segment(&self, refused: SegmentId, other: Option<&SegmentRecord>) -> Result<(), StoreError> {
        self.store.write(|tx| {
            if tx.get(SEGMENTS, &refused)?.is_some_and(|standing| standing.gateway_signature.is_some()) {
                return Err(StoreError::new(format_args!("segment {refused} is signed by both")));
            }
            match other {
                None => tx.remove(SEGMENTS, &refused),
                Some(record) if record.terms.id() == refused => tx.put(SEGMENTS, &refused, record),
                Some(record) => {
                    Err(StoreError::new(format_args!("segment {} is not in the place of {refused}", record.terms.id())))
                }
            }
        })
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Option<SegmentRecord>, StoreError> {
        self.store.get(SEGMENTS, &id)
    }

    /// Every segment's name; their contents may be large.
    pub(crate) fn segment_ids(&self) -> Result<Vec<SegmentId>, StoreError> {
        self.store.keys(SEGMENTS)
    }

    pub(crate) fn remove_segment(&self, id: SegmentId) -> Result<(), StoreError> {
        self.store.remove(SEGMENTS, &id)
    }

    pub(crate) fn put_claim(&self, record: &ClaimRecord) -> Result<(), StoreError> {
        self.store.put(CLAIMS, &record.stall, record)
    }

    pub(crate) fn remove_claim(&self, stall: StallId) -> Result<(), StoreError> {
        self.store.remove(CLAIMS, &stall)
    }

    pub(crate) fn put_challenge(&self, record: &ChallengeRecord) -> Result<(), StoreError> {
        self.store.put(CHALLENGES, &(record.segment, record.challenger), record)
    }

    pub(crate) fn remove_challenge(&self, key: (SegmentId, NodeId)) -> Result<(), StoreError> {
        self.store.remove(CHALLENGES, &key)
    }

    pub(crate) fn challenges(&self) -> Result<Vec<ChallengeRecord>, StoreError> {
        self.store.values(CHALLENGES)
    }

    pub(crate) fn claims(&self) -> Result<Vec<ClaimRecord>, StoreError> {
        self.store.values(CLAIMS)
    }
}

#[cfg(test)]
pub(crate) mod tests;
