//! Signing segments: only what was delivered, once per lease and index, and on disk first.

use super::Hub;
use crate::store::{SegmentRecord, SegmentStatus, StoreError, UnsignedRecord};
use inferium_types::{
    Amount, Digest, FORCED_TOKENS, JobId, JobLeaf, JobRequest, JobTotals, NodeId, Ppm, SegmentTerms, Signature,
    merkle_root, wire::Planting,
};
use std::collections::BTreeSet;
use std::sync::{PoisonError, atomic::Ordering};

/// Why the gateway does not sign a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRefusal {
    /// Jobs in it that it must not hold: their results were not delivered or came too late, or their sequence names
    /// another.
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

impl From<SegmentRefusal> for NotSigned {
    fn from(refusal: SegmentRefusal) -> Self {
        Self::Refused(refusal)
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
        planting: Option<&Planting>,
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
        let mut leaves: Vec<JobLeaf> = delivered.into_iter().map(|record| record.leaf).collect();
        if let Some(planting) = planting {
            let place = self.check_planting(terms, planting, leaves.len())?;
            leaves.insert(place, planting.leaf.clone());
        }
        self.check_sequences(terms, &leaves, planting)?;
        let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
        if merkle_root(&hashes) != terms.root || JobTotals::of(&leaves) != Some(terms.totals) {
            return Err("root or totals are not those of the delivered results".into());
        }
        let signature = terms.sign_as_gateway(&self.key);
        let planted = planting.map(|planting| planting.position);
        let status = SegmentStatus::Provisional;
        let record = SegmentRecord { terms: *terms, signature, leaves, planted, payers, status };
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

    /// Where a job stands that the worker planted (SPEC V5): only one that its VRF ordered, which the
    /// chain takes off the fee.
    fn check_planting(
        &self,
        terms: &SegmentTerms,
        planting: &Planting,
        others: usize,
    ) -> Result<usize, SegmentRefusal> {
        let Planting { proof, position, leaf } = planting;
        let order = {
            let inner = self.lock();
            let entry = inner.leases.get(&terms.lease).ok_or("no such lease")?;
            entry.order(terms.index, proof).ok_or("the VRF proof is not the worker's for this segment")?
        };
        let share = Ppm::new(self.forced_share.load(Ordering::Relaxed));
        let kind = order.kind(share).ok_or("no job was ordered")?;
        let is_ordered = order.is_met_by(kind, leaf) && leaf.request.lease == terms.lease && leaf.is_consistent();
        if !is_ordered || leaf.result.usage.tokens() > FORCED_TOKENS {
            return Err("the planted job is not the ordered one".into());
        }
        let place = usize::try_from(*position).ok().filter(|place| *place <= others);
        place.ok_or_else(|| "the planted job has no place in the segment".into())
    }

    /// Every sequence of a lease is signed for once (SPEC J1, S): two requests for one would cost this gateway its bond,
    /// whoever brought them about. A worker chooses its planted job's sequence, and by its word for where this gateway
    /// goes on after a restart perhaps a client's.
    fn check_sequences(
        &self,
        terms: &SegmentTerms,
        leaves: &[JobLeaf],
        planting: Option<&Planting>,
    ) -> Result<(), NotSigned> {
        if let Some(Planting { leaf, .. }) = planting {
            // Also those that are not signed for yet: the client's job must still find its place.
            let inner = self.lock();
            let names_another = |request: &JobRequest| {
                request.lease == terms.lease
                    && request.sequence == leaf.request.sequence
                    && request.job != leaf.request.job
            };
            let entry = inner.leases.get(&terms.lease).ok_or("no such lease")?;
            let is_taken = entry.unsigned.values().any(|record| names_another(&record.leaf.request))
                || inner.running.values().any(|running| names_another(&running.request));
            if is_taken {
                return Err("the planted job's sequence names another job".into());
            }
        }
        let mut sequences = BTreeSet::new();
        for JobLeaf { request, .. } in leaves {
            let is_first = sequences.insert(request.sequence);
            if !is_first || self.store.signed_sequence(terms.lease, request.sequence)?.is_some() {
                let undelivered = vec![request.job];
                let reason = "a sequence in it names a job that is signed for".to_owned();
                return Err(SegmentRefusal { undelivered, reason }.into());
            }
        }
        Ok(())
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
