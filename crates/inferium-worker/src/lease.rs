//! One lease under way: its running jobs, its finished ones, and the segment being agreed on.

use crate::forced::Planting;
use crate::job::FinishedJob;
use crate::store::{LeaseRecord, SegmentRecord};
use inferium_types::{
    Digest, FORCED_TOKENS, ForcedOrder, ImpossibleJob, JobId, JobLeaf, JobPayload, JobRequest, JobTotals, NodeId, Ppm,
    SecretKey, SegmentId, SegmentTerms, TaskKind, VrfProof, VrfSecretKey, limits, merkle_root, step_request, vrf_input,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// How long a gateway may take to sign a segment before it gets no more work on credit.
const SIGNING_PATIENCE: Duration = Duration::from_secs(30);
/// Sequences that one write to disk reserves.
const SEQUENCE_STEP: u64 = 1_024;
/// Sequences below a taken one that are remembered as free, and how many in all.
const GAP: u64 = 4;
const GAPS_MAX: usize = 64;
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
    #[error("the request is not the one that follows from the run")]
    Step,
    #[error(transparent)]
    Impossible(#[from] ImpossibleJob),
}

/// Where the lease's current segment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// None under way.
    Idle,
    /// The job that was ordered for the next one is being done.
    Planting,
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
    vrf: VrfSecretKey,
    /// What the VRF says of a segment.
    forced: Option<(u32, VrfProof)>,
    /// Sequences that no client's job will have, ascending.
    gaps: Vec<u64>,
    /// Segments with a planted job that is not opened yet.
    planted: BTreeSet<u32>,
    /// A segment whose order could not be followed.
    unplanted: Option<u32>,
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
            vrf: vrf.clone(),
            forced: None,
            gaps: Vec::new(),
            planted: BTreeSet::new(),
            unplanted: None,
            record,
        }
    }

    /// What the VRF says of segment `index`.
    fn order(&mut self, index: u32) -> (VrfProof, ForcedOrder) {
        let proof = match self.forced {
            Some((of, proof)) if of == index => proof,
            _ => self.vrf.prove(&ForcedOrder::input(&self.record.beacon, self.record.lease, index)),
        };
        self.forced = Some((index, proof));
        (proof, ForcedOrder::of(proof.output()))
    }

    /// The order that has to be followed before the next segment is made (SPEC V5), when there is one.
    /// The lease makes no segment until [`LeaseWork::plant`].
    pub(crate) fn begin_planting(&mut self, share: Ppm) -> Option<Planting> {
        let is_due = self.agreement == Agreement::Idle && self.unplanted != Some(self.next_index);
        if !is_due || share.get() == 0 || !self.record.terms.holds_planted() {
            return None;
        }
        let first = self.finished.first()?.leaf.result.usage.tokens();
        let (_, order) = self.order(self.next_index);
        let kind = order.kind(share)?;
        if self.finished.iter().any(|job| job.leaf.request.job == order.job()) {
            return None;
        }
        // Where there is no room for it, none is owed.
        let (terms, planted) = (&self.record.terms, u32::try_from(self.planted.len()).ok()?.checked_add(1)?);
        let is_full = self.used.jobs.saturating_add(planted) > terms.jobs_max
            || self.used.tokens.saturating_add(u64::from(planted).saturating_mul(FORCED_TOKENS)) > terms.tokens_max
            || first.saturating_add(FORCED_TOKENS) > limits::SEGMENT_TOKENS_MAX;
        if is_full {
            return None;
        }
        let count = self.cut();
        let choice = usize::try_from(order.choice("template").draw(u64::try_from(count).ok()?)).ok()?;
        let template = self.finished.get(choice)?.clone();
        let near = template.leaf.request.sequence;
        let (place, _) = self.gaps.iter().enumerate().min_by_key(|(_, gap)| gap.abs_diff(near))?;
        let sequence = self.gaps.remove(place);
        self.agreement = Agreement::Planting;
        Some(Planting { order, kind, template, sequence })
    }

    /// Puts the ordered job among the finished ones; `None` when it could not be done, and the segment
    /// goes without.
    pub(crate) fn plant(&mut self, job: Option<FinishedJob>) {
        if self.agreement != Agreement::Planting {
            return;
        }
        self.agreement = Agreement::Idle;
        let Some(job) = job else {
            self.unplanted = Some(self.next_index);
            return;
        };
        let (_, order) = self.order(self.next_index);
        let count = self.cut();
        let place = order.choice("position").draw(u64::try_from(count).unwrap_or(1).saturating_add(1));
        let place = usize::try_from(place).unwrap_or(0).min(self.finished.len());
        self.finished.insert(place, job);
        if self.cut() <= place {
            // It took the place of a larger one; the segment must hold it.
            let job = self.finished.remove(place);
            self.finished.insert(0, job);
        }
    }

    /// What was planted in a segment is known, or the segment gone.
    pub(crate) fn opened(&mut self, segment: SegmentId) {
        let lease = self.record.lease;
        self.planted.retain(|index| SegmentId::of_lease(lease, *index) != segment);
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
        // SPEC V12: a lease of one proof is for one, whatever came of it and over restarts, since it may have shown something.
        let is_of_one = self.record.terms.kind == TaskKind::Validation && self.record.terms.jobs_max == 1;
        if is_of_one && self.next_sequence > 0 {
            return Err(NotTaken::Exhausted);
        }
        // What is beyond them the chain would not take: nobody would pay for it.
        let terms = &self.record.terms;
        let tokens = self.used.tokens.saturating_add(request.tokens());
        if self.used.jobs >= terms.clients_jobs_max() || tokens > terms.clients_tokens_max() {
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

    /// Refuses a step of a run that is not the lease's first and only one (SPEC A2), or that was begun before.
    pub(crate) fn check_run(
        &self,
        gateway: NodeId,
        request: &JobRequest,
        payload: &JobPayload,
    ) -> Result<(), NotTaken> {
        if self.record.gateway != gateway {
            return Err(NotTaken::Gateway);
        }
        if self.record.ended {
            return Err(NotTaken::Ended);
        }
        if request.sequence != 0 || self.next_sequence > 0 {
            return Err(NotTaken::Sequence { next: self.next_sequence });
        }
        if *request != step_request(self.record.lease, 0, &Digest::ZERO, &payload.commitment()) {
            return Err(NotTaken::Step);
        }
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
        self.gaps.extend(self.next_sequence.max(sequence.saturating_sub(GAP))..sequence);
        let old = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..old);
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
        let (proof, order) = self.order(self.next_index);
        let planted = leaves.iter().position(|leaf| leaf.request.job == order.job());
        let planted = planted.and_then(|position| u32::try_from(position).ok());
        if planted.is_some() {
            self.planted.insert(self.next_index);
        }
        self.next_index = self.next_index.saturating_add(1);
        self.agreement = Agreement::Proposed(terms);
        self.proposed_at = Some(Instant::now());
        Some(SegmentRecord {
            terms,
            gateway: self.record.gateway,
            worker_signature: terms.sign_as_worker(key),
            gateway_signature: None,
            forced_proof: Some(proof),
            planted,
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
        self.planted.remove(&refused.terms.index);
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
