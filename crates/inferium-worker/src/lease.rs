//! One lease under way: its running jobs, its finished ones, and the segment being agreed on.

use crate::job::FinishedJob;
use crate::store::{LeaseRecord, SegmentRecord};
use inferium_types::{
    Digest, ImpossibleJob, JobId, JobLeaf, JobPayload, JobRequest, JobTotals, NodeId, SecretKey, SegmentTerms,
    VrfProof, VrfSecretKey, limits, merkle_root, vrf_input,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// How long a gateway may take to sign a segment before it gets no more work on credit.
const SIGNING_PATIENCE: Duration = Duration::from_secs(30);
/// Sequences that one write to disk reserves.
const SEQUENCE_STEP: u64 = 1_024;
/// Bytes of a segment's evidence if every job is drawn: far below what validators take, since a
/// segment whose evidence does not get there is not paid.
pub(crate) const SEGMENT_SIZE_MAX: usize = limits::MESSAGE_SIZE_MAX / 2;

/// Why a lease does not take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("the lease is not this gateway's")]
    Gateway,
    #[error("the lease has ended")]
    Ended,
    #[error("the sequence may have been taken before; the next is {next}")]
    Sequence { next: u64 },
    #[error("all slots of the lease are busy")]
    Busy,
    #[error("the lease's jobs or tokens are used up")]
    Exhausted,
    #[error("the gateway has not signed the last segment")]
    Unsigned,
    #[error(transparent)]
    Impossible(#[from] ImpossibleJob),
}

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
    /// Jobs and tokens that the lease pays for so far: committed, finished, and at most what runs.
    used: LeaseUse,
    /// Tokens at most of each running job.
    reserved: BTreeMap<JobId, u64>,
    /// When the gateway was asked to sign what it has not signed yet.
    proposed_at: Option<Instant>,
    /// The lowest sequence that was not taken yet.
    pub(crate) next_sequence: u64,
    pub(crate) next_index: u32,
    pub(crate) agreement: Agreement,
}

/// What of a lease is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LeaseUse {
    pub(crate) jobs: u32,
    pub(crate) tokens: u64,
}

impl LeaseWork {
    /// Takes up a lease at the next segment's index. Sequences that a former run may have taken are
    /// not taken again (SPEC J1).
    pub(crate) fn new(record: LeaseRecord, vrf: &VrfSecretKey, next_index: u32, used: LeaseUse) -> Self {
        let vrf_proof = vrf.prove(&vrf_input(&record.beacon, record.lease));
        Self {
            vrf_proof,
            vrf_output: vrf_proof.output(),
            running: BTreeMap::new(),
            finished: Vec::new(),
            used,
            reserved: BTreeMap::new(),
            proposed_at: None,
            next_sequence: record.sequence_limit,
            next_index,
            agreement: Agreement::Idle,
            record,
        }
    }

    /// Refuses a request that this lease does not pay for, that was taken before, or that is
    /// larger than anything that a validator would check.
    pub(crate) fn check(&self, gateway: NodeId, request: &JobRequest, payload: &JobPayload) -> Result<(), NotTaken> {
        if self.record.gateway != gateway {
            return Err(NotTaken::Gateway);
        }
        if self.record.ended {
            return Err(NotTaken::Ended);
        }
        if request.sequence < self.next_sequence {
            return Err(NotTaken::Sequence { next: self.next_sequence });
        }
        // A job that ended here may not have ended there yet: some room beyond the slots.
        let slots = usize::try_from(self.record.terms.slots).unwrap_or(usize::MAX).saturating_mul(2);
        if self.running.len() >= slots {
            return Err(NotTaken::Busy);
        }
        // What is beyond them the chain would not take: nobody would pay for it.
        let terms = &self.record.terms;
        let tokens = self.used.tokens.saturating_add(request.tokens());
        if self.used.jobs >= terms.jobs_max || tokens > terms.tokens_max {
            return Err(NotTaken::Exhausted);
        }
        // Nor does anyone pay for what the gateway never signs.
        let is_proposed = matches!(self.agreement, Agreement::Proposed(_));
        if is_proposed && self.proposed_at.is_some_and(|at| at.elapsed() > SIGNING_PATIENCE) {
            return Err(NotTaken::Unsigned);
        }
        request.check(terms.context_tokens)?;
        Ok(payload.check()?)
    }

    /// Counts a job that begins.
    pub(crate) fn begin(&mut self, request: &JobRequest, cancel: watch::Sender<bool>) {
        self.used.jobs = self.used.jobs.saturating_add(1);
        self.used.tokens = self.used.tokens.saturating_add(request.tokens());
        self.reserved.insert(request.job, request.tokens());
        self.running.insert(request.job, cancel);
    }

    /// Counts a job that ended: what it did not use is free again.
    pub(crate) fn end(&mut self, job: JobId, finished: Option<FinishedJob>) {
        self.running.remove(&job);
        let reserved = self.reserved.remove(&job).unwrap_or(0);
        self.used.tokens = self.used.tokens.saturating_sub(reserved);
        match finished {
            Some(finished) => {
                let usage = finished.leaf.result.usage;
                let tokens = u64::from(usage.prompt_tokens).saturating_add(u64::from(usage.completion_tokens));
                self.used.tokens = self.used.tokens.saturating_add(tokens);
                self.finished.push(finished);
            }
            None => self.used.jobs = self.used.jobs.saturating_sub(1),
        }
    }

    /// True when waiting would not make the next segment any larger.
    pub(crate) fn has_whole_segment(&self) -> bool {
        !self.finished.is_empty() && self.cut() < self.finished.len()
    }

    /// Marks a sequence as taken. `Some` when the limit that survives a crash went up: the record
    /// must be on disk before anything about the job is signed (SPEC C8). In steps, since each
    /// costs a sync.
    ///
    /// Requires: [`LeaseWork::check`] let it pass, so it is at most [`limits::SEQUENCE_MAX`]. The sums below then are
    /// above it: were they cut off at the end of the numbers, the last sequence would be taken again and again.
    pub(crate) fn take(&mut self, sequence: u64) -> Option<&LeaseRecord> {
        self.next_sequence = sequence + 1;
        if sequence < self.record.sequence_limit {
            return None;
        }
        self.record.sequence_limit = sequence + SEQUENCE_STEP;
        Some(&self.record)
    }

    /// How many of the finished jobs the next segment holds: by count, by bytes, and by tokens.
    fn cut(&self) -> usize {
        let (mut size, mut tokens) = (0usize, 0u64);
        let fitting = self.finished.iter().take(limits::SEGMENT_JOBS_MAX).take_while(|job| {
            // An object that can't be measured would not be encoded either.
            let evidence = borsh::object_length(&job.evidence).unwrap_or(usize::MAX);
            let leaf = borsh::object_length(&job.leaf).unwrap_or(usize::MAX);
            size = size.saturating_add(evidence).saturating_add(leaf).saturating_add(size_of::<u32>());
            let usage = job.leaf.result.usage;
            tokens = tokens
                .saturating_add(u64::from(usage.prompt_tokens))
                .saturating_add(u64::from(usage.completion_tokens));
            size <= SEGMENT_SIZE_MAX && tokens <= limits::SEGMENT_TOKENS_MAX
        });
        // A job alone is bounded by what was taken.
        fitting.count().max(1)
    }

    /// Makes a segment of what is finished; `None` while another is under way or nothing is.
    pub(crate) fn make_segment(&mut self, key: &SecretKey) -> Option<SegmentRecord> {
        if self.agreement != Agreement::Idle || self.finished.is_empty() {
            return None;
        }
        let count = self.cut();
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
        self.proposed_at = Some(Instant::now());
        Some(SegmentRecord {
            terms,
            gateway: self.record.gateway,
            worker_signature: terms.sign_as_worker(key),
            gateway_signature: None,
            leaves,
            jobs,
        })
    }

    /// Takes back a segment that the gateway refused (SPEC J3): what the gateway got is proposed again at the same
    /// index. The segment to sign in its place, if there is anything to put there.
    ///
    /// When the gateway names no job that could be taken out, nothing can be agreed on: the work is lost and the lease
    /// over.
    pub(crate) fn take_back(
        &mut self,
        refused: SegmentRecord,
        undelivered: &[JobId],
        key: &SecretKey,
    ) -> Option<SegmentRecord> {
        self.agreement = Agreement::Idle;
        self.next_index = refused.terms.index;
        let before = refused.leaves.len();
        let jobs = refused.leaves.into_iter().zip(refused.jobs);
        let kept: Vec<FinishedJob> = jobs
            .filter(|(leaf, _)| !undelivered.contains(&leaf.request.job))
            .map(|(leaf, evidence)| FinishedJob { leaf, evidence })
            .collect();
        if kept.len() == before {
            self.finished.clear();
            self.record.ended = true;
            return None;
        }
        // First: they fitted into a segment before, so all of them are in this one, and a crash loses none.
        self.finished.splice(..0, kept);
        self.make_segment(key)
    }

    /// True once nothing of the lease is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.record.ended
            && self.running.is_empty()
            && self.finished.is_empty()
            && matches!(self.agreement, Agreement::Idle | Agreement::Resting)
    }
}

#[cfg(test)]
mod tests;
