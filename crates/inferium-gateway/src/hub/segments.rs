//! Signing segments: only what was delivered, once per lease and index, and on disk first.

use super::Hub;
use crate::store::{SegmentRecord, SegmentStatus, StoreError, UnsignedRecord};
use inferium_types::{Amount, Digest, JobId, JobLeaf, JobTotals, NodeId, SegmentTerms, Signature, merkle_root};
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// Why the gateway does not sign a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRefusal {
    /// Jobs in it whose results were not delivered, or came too late.
    pub(crate) undelivered: Vec<JobId>,
    pub(crate) reason: String,
}

impl From<&str> for SegmentRefusal {
    fn from(reason: &str) -> Self {
        Self { undelivered: Vec::new(), reason: reason.to_owned() }
    }
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotSigned {
    /// The worker asked for what it can't have.
    Refused(SegmentRefusal),
    /// The gateway's disk failed: the worker gets no answer, and asks again.
    Store(StoreError),
}

impl From<&str> for NotSigned {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<StoreError> for NotSigned {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Hub {
    /// The gateway's signature over a segment, if everything in it is as it was delivered. Waits
    /// for the disk.
    pub(crate) fn sign_segment(
        &self,
        worker: NodeId,
        terms: &SegmentTerms,
        jobs: &[JobId],
        worker_signature: &Signature,
    ) -> Result<Signature, NotSigned> {
        if !terms.signed_by_worker(&worker, worker_signature) {
            return Err("the worker's signature is wrong".into());
        }
        let _turn = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = self.store.segment(terms.id())? {
            // Asked again after a break: the same answer, or none.
            return if standing.terms == *terms {
                Ok(standing.signature)
            } else {
                Err("another segment stands there".into())
            };
        }
        let delivered = self.delivered(worker, terms, jobs).map_err(NotSigned::Refused)?;
        let payers: Vec<(Digest, Amount)> = delivered.iter().map(|record| (record.payer, record.cost)).collect();
        let leaves: Vec<JobLeaf> = delivered.into_iter().map(|record| record.leaf).collect();
        let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
        if merkle_root(&hashes) != terms.root || JobTotals::of(&leaves) != Some(terms.totals) {
            return Err("root or totals are not those of the delivered results".into());
        }
        let signature = terms.sign_as_gateway(&self.key);
        let record = SegmentRecord { terms: *terms, signature, leaves, payers, status: SegmentStatus::Provisional };
        // SPEC C8: on disk before the signature leaves. Its jobs are reserved and known meanwhile.
        self.store.put_segment(&record)?;
        let mut inner = self.lock();
        if let Some(entry) = inner.leases.get_mut(&terms.lease) {
            for job in jobs {
                entry.unsigned.remove(job);
            }
        }
        inner.budgets.spend(&record.payers);
        Ok(signature)
    }

    /// The finished jobs of a proposal, as they were delivered.
    fn delivered(
        &self,
        worker: NodeId,
        terms: &SegmentTerms,
        jobs: &[JobId],
    ) -> Result<Vec<UnsignedRecord>, SegmentRefusal> {
        let distinct: BTreeSet<&JobId> = jobs.iter().collect();
        if distinct.len() != jobs.len() {
            return Err("a job stands in it twice".into());
        }
        let inner = self.lock();
        let entry =
            inner.leases.get(&terms.lease).filter(|entry| entry.record.worker == worker).ok_or("no such lease")?;
        let undelivered: Vec<JobId> = jobs.iter().filter(|job| !entry.unsigned.contains_key(*job)).copied().collect();
        if !undelivered.is_empty() {
            return Err(SegmentRefusal { undelivered, reason: "jobs in it were not delivered".into() });
        }
        Ok(jobs.iter().filter_map(|job| entry.unsigned.get(job).cloned()).collect())
    }
}
