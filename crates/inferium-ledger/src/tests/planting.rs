//! Segments of workers that are ordered to plant jobs (SPEC V5), for random histories.
//!
//! What a segment holds follows from its lease, index and totals: nobody has to remember it.

use super::support::*;
use inferium_types::{
    Digest, FinishReason, ForcedKind, ForcedOrder, JobId, JobLeaf, JobRequest, JobResult, JobTotals, LeaseId,
    PlantedJob, SamplingParams, SegmentId, SegmentOpening, SegmentTerms, Usage, VrfProof, merkle_path, merkle_root,
};

/// What a worker did with the order for one segment.
pub(super) struct Planting {
    lease: LeaseId,
    totals: JobTotals,
    proof: VrfProof,
    order: ForcedOrder,
    /// What it planted as the last job, if anything.
    pub(super) planted: Option<ForcedKind>,
    /// Uniform, and the same whenever it is asked for.
    pub(super) dice: [u8; 32],
}

impl Planting {
    /// Of segment `index` of a lease that is on the chain.
    pub(super) fn of(chain: &Chain, lease: LeaseId, index: u32, totals: JobTotals) -> Self {
        let entry = *chain.state.lease(&lease).unwrap();
        let key = vrf(&chain.name(&entry.worker));
        let proof = key.prove(&ForcedOrder::input(&entry.beacon, lease, index));
        let order = ForcedOrder::of(proof.output());
        let dice = *Digest::of("test-dice", &[lease.digest().as_bytes(), &index.to_be_bytes()]).as_bytes();
        let is_obedient = !dice[0].is_multiple_of(8);
        let planted = order.kind(chain.parameters().forced_share).filter(|_| is_obedient);
        Self { lease, totals, proof, order, planted, dice }
    }

    /// Position of the planted job.
    pub(super) fn job(&self) -> usize {
        usize::try_from(self.totals.jobs).unwrap() - 1
    }

    /// The first job has nearly all tokens.
    fn leaves(&self) -> Vec<JobLeaf> {
        let mut prompt = u32::try_from(self.totals.prompt_tokens).unwrap();
        let mut completion = u32::try_from(self.totals.completion_tokens).unwrap();
        let mut leaves = Vec::new();
        for index in (0..=self.job()).rev() {
            let (prompt_tokens, completion_tokens) =
                if index == 0 { (prompt, completion) } else { (prompt.min(10), completion.min(5)) };
            prompt -= prompt_tokens;
            completion -= completion_tokens;
            let planted = self.planted.filter(|_| index == self.job());
            leaves.push(self.leaf(index, Usage { prompt_tokens, completion_tokens }, planted));
        }
        leaves.reverse();
        leaves
    }

    fn leaf(&self, index: usize, usage: Usage, planted: Option<ForcedKind>) -> JobLeaf {
        let name = Digest::of("test-planting", &[&u64::try_from(index).unwrap().to_be_bytes()]);
        let request = JobRequest {
            job: if planted.is_some() { self.order.job() } else { JobId::new(name) },
            lease: self.lease,
            sequence: u64::try_from(index).unwrap(),
            attempt: 0,
            input_commitment: Digest::ZERO,
            prompt_tokens: usage.prompt_tokens,
            tokens_max: usage.completion_tokens,
            sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
            client_seed: None,
        };
        let evidence_root = if planted == Some(ForcedKind::Wrong) { self.order.wrong_root() } else { name };
        let result = JobResult {
            request: request.digest(),
            output_commitment: Digest::ZERO,
            evidence_root,
            usage,
            finish: FinishReason::Length,
        };
        JobLeaf { request, result }
    }

    fn hashes(&self) -> Vec<Digest> {
        self.leaves().iter().map(JobLeaf::hash).collect()
    }

    pub(super) fn terms(&self, index: u32) -> SegmentTerms {
        SegmentTerms { lease: self.lease, index, totals: self.totals, root: merkle_root(&self.hashes()) }
    }

    /// What it says of the order, with this job of the segment.
    fn opening_with(&self, segment: SegmentId, job: Option<usize>) -> SegmentOpening {
        let planted = job.map(|job| PlantedJob {
            leaf: self.leaves()[job].clone(),
            path: merkle_path(&self.hashes(), job).unwrap(),
        });
        SegmentOpening { segment, proof: self.proof, planted }
    }

    /// As the worker did it.
    pub(super) fn opening(&self, segment: SegmentId) -> SegmentOpening {
        self.opening_with(segment, self.planted.map(|_| self.job()))
    }

    /// Says that it planted what it did not, or that it did not plant what it did.
    pub(super) fn lie(&self, segment: SegmentId) -> SegmentOpening {
        self.opening_with(segment, if self.planted.is_some() { None } else { Some(self.job()) })
    }

    /// With the proof of another's VRF, and as if nothing had been ordered.
    pub(super) fn forgery(&self, chain: &Chain, segment: SegmentId) -> SegmentOpening {
        let share = chain.parameters().forced_share;
        let proof = (0u32..)
            .map(|index| vrf("x0").prove(&Digest::of("test-forgery", &[&index.to_be_bytes()])))
            .find(|proof| ForcedOrder::of(proof.output()).kind(share).is_none())
            .unwrap();
        SegmentOpening { segment, proof, planted: None }
    }
}
