//! Forced errors (SPEC V5): what each worker's VRF orders, what it plants, and what it opens.

use crate::agents::{WORK_COST, WorkerStyle};
use crate::simulation::{Simulation, Truth, ifr};
use crate::world::Outcome;
use inferium_ledger::{Lease, SegmentState};
use inferium_types::{
    Digest, FinishReason, ForcedKind, ForcedOrder, JobLeaf, JobRequest, JobResult, JobTotals, LeaseId, NodeId,
    OPENINGS_MAX, PlantedJob, SamplingParams, SegmentId, SegmentOpening, SegmentTerms, TransactionBody, Usage,
    VrfProof, VrfSecretKey, merkle_path, merkle_root,
};
use std::collections::BTreeMap;

/// The planted job of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Plant {
    pub(crate) job: u32,
    pub(crate) kind: ForcedKind,
    pub(crate) leaf: JobLeaf,
}

/// What planted jobs did in one run.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Planted {
    pub(crate) wrong: u64,
    pub(crate) right: u64,
    /// Segments of workers that follow their orders.
    pub(crate) segments: u64,
    /// Known-wrong ones that a member found.
    pub(crate) caught: u64,
    /// Paid to finders; IFR.
    pub(crate) jackpots: f64,
    /// Validators barred by one.
    pub(crate) barred: u64,
}

/// The VRF key of a worker.
pub(crate) fn vrf_of(node: &NodeId) -> Outcome<VrfSecretKey> {
    Ok(VrfSecretKey::from_entropy(*Digest::of("economy-vrf", &[node.as_bytes()]).as_bytes())?)
}

/// What the worker's VRF says of the next segment of its lease.
pub(crate) fn order_of(id: LeaseId, lease: &Lease) -> Outcome<(VrfProof, ForcedOrder)> {
    let proof = vrf_of(&lease.worker)?.prove(&ForcedOrder::input(&lease.beacon, id, lease.segments));
    let order = ForcedOrder::of(proof.output());
    Ok((proof, order))
}

fn leaf_of(id: LeaseId, order: &ForcedOrder, kind: ForcedKind, usage: Usage) -> JobLeaf {
    let request = JobRequest {
        job: order.job(),
        lease: id,
        sequence: 0,
        attempt: 0,
        input_commitment: order.choice("salt"),
        prompt_tokens: usage.prompt_tokens,
        tokens_max: usage.completion_tokens,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    let evidence_root = match kind {
        ForcedKind::Wrong => order.wrong_root(),
        ForcedKind::Right => order.choice("evidence"),
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: order.choice("output"),
        evidence_root,
        usage,
        finish: FinishReason::Length,
    };
    JobLeaf { request, result }
}

/// Stand-ins for the leaves of a segment, with the planted one in its place.
fn hashes(terms: LeaseId, count: u32, plant: &Plant) -> Vec<Digest> {
    let of = |job: u32| Digest::of("economy-leaf", &[terms.digest().as_bytes(), &job.to_be_bytes()]);
    (0..count).map(|job| if job == plant.job { plant.leaf.hash() } else { of(job) }).collect()
}

/// The root of a segment of so many jobs: of its leaves where one of them is opened later.
pub(crate) fn root_of(id: LeaseId, index: u32, count: u32, plant: Option<&Plant>) -> Digest {
    plant.map_or_else(
        || Digest::of("economy-root", &[id.digest().as_bytes(), &index.to_be_bytes()]),
        |plant| merkle_root(&hashes(id, count, plant)),
    )
}

/// What the worker can say of a segment.
pub(crate) fn opening_of(terms: &SegmentTerms, proof: VrfProof, plant: Option<&Plant>) -> Outcome<SegmentOpening> {
    let planted = match plant {
        Some(plant) => {
            let all = hashes(terms.lease, terms.totals.jobs, plant);
            let path = merkle_path(&all, usize::try_from(plant.job)?).ok_or("no such leaf")?;
            Some(PlantedJob { leaf: plant.leaf.clone(), path })
        }
        None => None,
    };
    Ok(SegmentOpening { segment: terms.id(), proof, planted })
}

impl Simulation {
    /// Does the ordered job beside those of clients; what it costs is the worker's.
    pub(crate) fn plant(
        &mut self,
        id: LeaseId,
        order: &ForcedOrder,
        kind: ForcedKind,
        (totals, jobs): (&mut JobTotals, &mut Vec<(f64, bool)>),
    ) -> Outcome<(Plant, f64)> {
        let usage = Usage {
            prompt_tokens: 60 + u32::try_from(self.dice.below(101))?,
            completion_tokens: 40 + u32::try_from(self.dice.below(57))?,
        };
        let worth = ifr(crate::agents::PRICE.fee(&usage)?);
        let job = u32::try_from(order.choice("place").draw(u64::from(totals.jobs) + 1))?;
        *totals = totals.with(&usage).ok_or("too many tokens")?;
        // What its replay shows is said by the plant itself.
        jobs.insert(usize::try_from(job)?, (worth, false));
        match kind {
            ForcedKind::Wrong => self.planted.wrong += 1,
            ForcedKind::Right => self.planted.right += 1,
        }
        Ok((Plant { job, kind, leaf: leaf_of(id, order, kind, usage) }, worth * WORK_COST))
    }

    /// Opens all that is final, as workers do some time before it is paid.
    pub(crate) fn open_final(&mut self) {
        let mut by_worker: BTreeMap<NodeId, Vec<SegmentOpening>> = BTreeMap::new();
        for (id, segment) in self.world.state.segments() {
            let is_final = matches!(segment.state, SegmentState::Final { .. });
            if is_final && segment.opening.owed().is_some() {
                by_worker.entry(segment.worker).or_default().extend(self.opening(*id, segment.worker));
            }
        }
        for (worker, openings) in by_worker {
            for part in openings.chunks(OPENINGS_MAX) {
                self.world.send(worker, TransactionBody::OpenSegments { openings: part.to_vec() });
            }
        }
    }

    /// The chain asks.
    pub(crate) fn open_asked(&mut self, id: SegmentId, worker: NodeId) {
        if let Some(opening) = self.opening(id, worker) {
            self.world.send(worker, TransactionBody::OpenSegments { openings: vec![opening] });
        }
    }

    /// What the worker can and wants to say.
    fn opening(&self, id: SegmentId, worker: NodeId) -> Option<SegmentOpening> {
        let of = self.cast.workers.get(&worker)?;
        let truth = self.truths.get(&id)?;
        let is_hidden = match of.style {
            WorkerStyle::Closed => true,
            WorkerStyle::Shield => self.bars_own(truth, of.agent),
            _ => false,
        };
        truth.opening.clone().filter(|_| !is_hidden)
    }

    /// True when the planted job would bar a validator of the hand.
    fn bars_own(&self, truth: &Truth, agent: usize) -> bool {
        let is_wrong = truth.plant.as_ref().is_some_and(|plant| plant.kind == ForcedKind::Wrong && truth.is_drawn);
        is_wrong && truth.blind.iter().any(|voter| self.cast.agent_of.get(voter) == Some(&agent))
    }
}
