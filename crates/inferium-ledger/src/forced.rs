//! Forced errors: what a worker's VRF ordered it to plant, told after the verdict (SPEC V5).
//!
//! Every paid segment is opened once. Until then a doubt about it waits a little, since what was
//! found wrong may have been planted, and nothing of it is paid. A known-wrong job that comes to
//! light bars whoever attested to have replayed it, pays whoever found it, and sends the rest of
//! the segment to a new committee.

use crate::Rejection;
use crate::entries::{Approval, Opening, OwedOrder, Phase, Planted, Segment, SegmentState};
use crate::execute::Block;
use crate::verdicts::voters;
use inferium_types::{
    Amount, Digest, Event, ForcedKind, ForcedOrder, NodeId, NodeRole, OPENINGS_MAX, Ppm, RejectReason, SegmentId,
    SegmentOpening, VerdictVote,
};
use std::collections::BTreeSet;

/// Part of the treasury that one planted job may cost.
const TREASURY_PART: u64 = 1_000;

/// An opening that holds if its proof does.
struct Opened {
    /// Of the worker's VRF.
    input: Digest,
    planted: Option<Planted>,
}

impl Block {
    /// SPEC V5: by the segments' worker; all of them, or none.
    ///
    /// Whatever can be refused is refused before the first proof is checked, and a proof that is not
    /// the worker's bars it: checking proofs is dear, and this transaction free.
    pub(crate) fn open_segments(&mut self, sender: NodeId, openings: &[SegmentOpening]) -> Result<(), Rejection> {
        if openings.is_empty() || openings.len() > OPENINGS_MAX {
            return Err(Rejection::OutOfBounds { field: "openings" });
        }
        let mut known = BTreeSet::new();
        let mut opened = Vec::with_capacity(openings.len());
        for opening in openings {
            if !known.insert(opening.segment) {
                return Err(Rejection::Exists { what: "opening" });
            }
            opened.push(self.check_opening(sender, opening)?);
        }
        let Some(NodeRole::Worker { vrf }) = self.state.nodes.get(&sender).map(|node| node.role.clone()) else {
            return Err(Rejection::Unknown { what: "worker" });
        };
        let forged = openings.iter().zip(&opened).find(|(of, opened)| vrf.verify(&opened.input, &of.proof).is_none());
        if let Some((opening, _)) = forged {
            self.bar_forger(sender, opening.segment);
            return Ok(());
        }
        for (opening, Opened { planted, .. }) in openings.iter().zip(opened) {
            self.open_segment(opening.segment, planted);
        }
        Ok(())
    }

    /// What an opening says was planted, if its proof is the worker's.
    fn check_opening(&self, sender: NodeId, opening: &SegmentOpening) -> Result<Opened, Rejection> {
        let segment = self.state.segments.get(&opening.segment).ok_or(Rejection::Unknown { what: "segment" })?;
        if sender != segment.worker {
            return Err(Rejection::NotAllowed { expected: "the segment's worker" });
        }
        let order = match segment.opening {
            Opening::Closed(order) | Opening::Asked { order, .. } | Opening::Late(order) => order,
            Opening::NotOwed => return Err(Rejection::WrongState { what: "opening a segment that owes no order" }),
            Opening::Opened { .. } => return Err(Rejection::Exists { what: "opening" }),
        };
        // Before, it would tell the committee where to look.
        let is_judged = match segment.state {
            SegmentState::AwaitingSeed { .. } => false,
            SegmentState::Judging { .. } => !matches!(segment.opening, Opening::Closed(_)),
            SegmentState::Final { .. } => true,
        };
        if !is_judged {
            return Err(Rejection::WrongState { what: "an opening before the verdict" });
        }
        let lease =
            self.state.leases.get(&segment.terms.lease).ok_or(Rejection::Unknown { what: "the segment's lease" })?;
        let input = ForcedOrder::input(&lease.beacon, segment.terms.lease, segment.terms.index);
        let forced = ForcedOrder::of(opening.proof.output());
        let planted = match (forced.kind(order.share), &opening.planted) {
            (None, None) => None,
            (Some(_), None) if !order.has_room => None,
            (None, Some(_)) => return Err(Rejection::Evidence { why: "no job was ordered" }),
            (Some(_), None) => return Err(Rejection::Evidence { why: "the ordered job is missing" }),
            (Some(kind), Some(planted)) => {
                let job = planted
                    .position(&segment.terms)
                    .ok_or(Rejection::Evidence { why: "the job is not in the segment" })?;
                if !forced.is_met_by(kind, &planted.leaf) {
                    return Err(Rejection::Evidence { why: "the job is not the ordered one" });
                }
                Some(Planted { job, kind, usage: planted.leaf.result.usage })
            }
        };
        Ok(Opened { input, planted })
    }

    fn open_segment(&mut self, id: SegmentId, planted: Option<Planted>) {
        let Some(mut segment) = self.state.segments.get(&id).cloned() else { return };
        segment.opening = Opening::Opened { planted };
        let is_waiting = matches!(segment.state, SegmentState::Judging { phase: Phase::Closed, .. });
        match planted {
            Some(planted) => self.take_out(id, segment, planted),
            None => self.state.set_segment(id, Some(segment)),
        }
        if is_waiting {
            // The doubt goes on, unless it is over.
            self.decide(id);
        }
    }

    /// The planted job costs nothing, and what the votes about it were worth shows.
    fn take_out(&mut self, id: SegmentId, mut segment: Segment, planted: Planted) {
        let full_fee = segment.fee;
        let unpaid = segment.price.fee(&planted.usage).unwrap_or(Amount::ZERO).min(full_fee);
        segment.fee = full_fee.sub(unpaid).unwrap_or(Amount::ZERO);
        if let Some(mut lease) = self.state.leases.get(&segment.terms.lease).copied() {
            lease.reserved = lease.reserved.sub(unpaid).unwrap_or(Amount::ZERO);
            lease.jobs = lease.jobs.saturating_sub(1);
            lease.tokens = lease.tokens.saturating_sub(planted.usage.tokens());
            self.state.set_lease(segment.terms.lease, Some(lease));
        }
        if let Some(node) = self.state.nodes.get_mut(&segment.worker) {
            node.unsettled = node.unsettled.sub(unpaid).unwrap_or(Amount::ZERO);
        }
        let (blind, caught) = match planted.kind {
            ForcedKind::Right => (Vec::new(), Vec::new()),
            ForcedKind::Wrong => verdicts_on(id, &segment, planted.job),
        };
        let jackpot = self.pay_jackpot(full_fee, &caught);
        self.events.push(Event::ForcedErrorOpened {
            segment: id,
            worker: segment.worker,
            job: planted.job,
            kind: planted.kind,
            caught,
            jackpot,
        });
        // What the blind approved, and what a doubt left open, is looked at anew.
        let is_anew = planted.kind == ForcedKind::Wrong
            && (!blind.is_empty() || matches!(segment.state, SegmentState::Judging { .. }));
        for validator in blind {
            self.bar_blind_approver(validator, id);
        }
        if planted.kind == ForcedKind::Wrong {
            self.end_challenges_of_job(id, planted.job);
        }
        if is_anew {
            if let Some(dispute) = segment.dispute.take() {
                self.return_bond(id, &dispute, true);
            }
            segment.state = self.awaiting_seed();
        }
        self.state.set_segment(id, Some(segment));
    }

    /// What each member that caught a planted job gets of the treasury.
    ///
    /// All together at most what the treasury expects of so many segments as it takes for one planted
    /// job to turn up: self-dealing for it loses, and it can't run dry.
    fn pay_jackpot(&mut self, fee: Amount, caught: &[NodeId]) -> Amount {
        let meta = self.state.meta();
        let parameters = &meta.parameters;
        let shares = [parameters.fee_share_worker, parameters.fee_share_committee, parameters.fee_share_validators];
        let rest = shares.iter().fold(Ppm::ONE.get(), |rest, share| rest.saturating_sub(share.get()));
        let segments = Ppm::ONE.get().checked_div(parameters.forced_share.get()).unwrap_or(0);
        let expected = fee.share(Ppm::new(rest)).nano().saturating_mul(segments.into());
        let total =
            Amount::from_nano(expected).min(parameters.forced_jackpot_max).min(meta.treasury.split(TREASURY_PART));
        let each = total.split(u64::try_from(caught.len()).unwrap_or(u64::MAX));
        for member in caught {
            let meta = self.state.meta_mut();
            if let Ok(left) = meta.treasury.sub(each) {
                meta.treasury = left;
                self.pay_validator(*member, each);
                self.count_duty(*member);
            }
        }
        if caught.is_empty() { Amount::ZERO } else { each }
    }

    /// A doubt waits until the worker has said what it was ordered, or its time is over.
    pub(crate) fn ask_for_opening(&mut self, id: SegmentId, mut segment: Segment, order: OwedOrder) {
        let parameters = &self.state.meta().parameters;
        let until_ms = self.now_ms.saturating_add(parameters.forced_open_ms);
        // SPEC C3: a worker answers in blocks, and those of a busy network may be far apart.
        let until_height = self.height.saturating_add(parameters.reveal_blocks);
        segment.opening = Opening::Asked { order, until_ms };
        if let SegmentState::Judging { due_at_ms, due_at_height, .. } = &mut segment.state {
            (*due_at_ms, *due_at_height) = (until_ms, until_height);
        }
        self.events.push(Event::OpeningAsked { segment: id, worker: segment.worker, until_ms });
        self.state.set_segment(id, Some(segment));
    }

    /// The worker's time to answer a doubt is over, unless the chain stood still (SPEC C3).
    pub(crate) fn advance_doubt(&mut self, id: SegmentId, mut segment: Segment) {
        let Opening::Asked { order, until_ms } = segment.opening else { return };
        let meta = self.state.meta();
        let renewed_ms = meta.renewed_ms(meta.parameters.forced_open_ms);
        let mut later_ms = until_ms.max(renewed_ms);
        let SegmentState::Judging { due_at_ms, due_at_height, .. } = &mut segment.state else { return };
        if self.height < *due_at_height {
            later_ms = later_ms.max(self.now_ms.saturating_add(1));
        }
        let is_over = self.now_ms >= later_ms;
        *due_at_ms = later_ms;
        segment.opening = if is_over { Opening::Late(order) } else { Opening::Asked { order, until_ms: later_ms } };
        self.state.set_segment(id, Some(segment));
        if is_over {
            self.decide(id);
        }
    }

    /// A final segment whose challenge window is over is paid once it is opened; the worker has as
    /// long again for that.
    pub(crate) fn advance_unopened(&mut self, id: SegmentId, mut segment: Segment) {
        let parameters = &self.state.meta().parameters;
        let window_ms = parameters.challenge_ms;
        let renewed_ms = self.state.meta().renewed_ms(window_ms);
        let until_ms = match segment.opening {
            Opening::Asked { until_ms, .. } => until_ms.max(renewed_ms),
            _ => self.now_ms.saturating_add(window_ms),
        };
        if until_ms <= self.now_ms {
            self.record_fault(segment.worker, segment.profile);
            self.reject(id, &segment, RejectReason::Unopened);
            return;
        }
        let Some(order) = segment.opening.owed() else { return };
        if !segment.opening.is_asked() {
            self.events.push(Event::OpeningAsked { segment: id, worker: segment.worker, until_ms });
        }
        segment.opening = Opening::Asked { order, until_ms };
        self.state.set_segment(id, Some(segment));
    }
}

/// Members that approved the job although they were drawn to replay it, and those that found it
/// wrong. None of either when it was not drawn.
///
/// Who approved what is disputed now attested its replay as well: or a friend's dispute, whose bond
/// comes back, would save whoever approved blindly (SPEC V4, V5).
fn verdicts_on(id: SegmentId, segment: &Segment, job: u32) -> (Vec<NodeId>, Vec<NodeId>) {
    let attested = |approval: &Approval| approval.attested(id, job).to_vec();
    match &segment.state {
        SegmentState::AwaitingSeed { .. } => (Vec::new(), Vec::new()),
        SegmentState::Final { approval, .. } => (attested(approval), Vec::new()),
        SegmentState::Judging { members, seed, replay, .. } => {
            let mut blind = segment.dispute.as_ref().map_or_else(Vec::new, |dispute| attested(&dispute.approval));
            if !id.draws_job(seed, job, *replay) {
                return (blind, Vec::new());
            }
            blind.extend(voters(members, VerdictVote::approves));
            blind.sort_unstable();
            blind.dedup();
            let mut caught =
                voters(members, |vote| matches!(vote, VerdictVote::Invalid { job: found, .. } if *found == job));
            caught.retain(|member| blind.binary_search(member).is_err());
            (blind, caught)
        }
    }
}
