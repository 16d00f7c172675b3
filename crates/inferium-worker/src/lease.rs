//! One lease under way: its running jobs, its finished ones, and the segment being agreed on.

use crate::job::FinishedJob;
use crate::store::{LeaseRecord, SegmentRecord};
use inferium_types::{
    Digest, JobId, JobLeaf, JobRequest, JobTotals, NodeId, SecretKey, SegmentTerms, VrfProof, limits, merkle_root,
};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Where the lease's current segment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// None under way.
    Idle,
    /// The gateway was asked to sign.
    Proposed(SegmentTerms),
    /// Sent to the chain.
    Committing(SegmentTerms),
    /// Collecting jobs for a while.
    Resting,
}

/// A lease that the worker serves.
#[derive(Debug)]
pub(crate) struct LeaseWork {
    pub(crate) record: LeaseRecord,
    pub(crate) vrf_proof: VrfProof,
    pub(crate) vrf_output: Digest,
    /// Running jobs; setting the flag cancels one.
    pub(crate) running: BTreeMap<JobId, watch::Sender<bool>>,
    /// Finished jobs that no segment holds yet.
    pub(crate) finished: Vec<FinishedJob>,
    /// The lowest sequence that was not taken yet.
    pub(crate) next_sequence: u64,
    pub(crate) next_index: u32,
    pub(crate) agreement: Agreement,
}

impl LeaseWork {
    /// True for a request that this lease pays for and that was never taken before.
    pub(crate) fn takes(&self, gateway: NodeId, request: &JobRequest) -> bool {
        // A job that ended here may not have ended there yet: some room beyond the slots.
        let slots = usize::try_from(self.record.terms.slots).unwrap_or(usize::MAX).saturating_mul(2);
        let tokens = u64::from(request.prompt_tokens).saturating_add(u64::from(request.tokens_max));
        self.record.gateway == gateway
            && !self.record.ended
            && request.sequence >= self.next_sequence
            && self.running.len() < slots
            && tokens <= u64::from(self.record.terms.context_tokens)
    }

    /// Makes a segment of what is finished; `None` while another is under way or nothing is.
    pub(crate) fn make_segment(&mut self, key: &SecretKey) -> Option<SegmentRecord> {
        if self.agreement != Agreement::Idle || self.finished.is_empty() {
            return None;
        }
        let count = self.finished.len().min(limits::SEGMENT_JOBS_MAX);
        let (leaves, jobs): (Vec<JobLeaf>, Vec<_>) =
            self.finished.drain(..count).map(|job| (job.leaf, job.evidence)).unzip();
        let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
        let terms = SegmentTerms {
            lease: self.record.lease,
            index: self.next_index,
            totals: JobTotals::of(&leaves)?,
            root: merkle_root(&hashes),
        };
        self.next_index = self.next_index.saturating_add(1);
        self.agreement = Agreement::Proposed(terms);
        Some(SegmentRecord {
            terms,
            gateway: self.record.gateway,
            worker_signature: terms.sign_as_worker(key),
            gateway_signature: None,
            leaves,
            jobs,
        })
    }

    /// True once nothing of the lease is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.record.ended
            && self.running.is_empty()
            && self.finished.is_empty()
            && matches!(self.agreement, Agreement::Idle | Agreement::Resting)
    }
}
