//! Committees: who judges a segment, and what their votes decide (SPEC V1 to V3, C4).

use crate::capability::ASSESSMENT_REPLAY;
use crate::entries::{Approval, Member, Node, Opening, Segment, SegmentState, Stage};
use crate::execute::Block;
use crate::segments::seed_window_ms;
use crate::state::Due;
use crate::{Rejection, reputation};
use inferium_types::{
    Amount, Digest, Event, JobFault, NodeId, Ppm, RejectReason, SeedSignature, SegmentId, TaskId, TaskKind, VerdictVote,
};
use std::collections::BTreeSet;

/// What the votes of a committee amount to.
enum Tally {
    /// Votes are missing that could decide.
    Waiting,
    /// All approve.
    Approved,
    /// More members have to look.
    Widen,
    /// Proven wrong.
    Wrong { job: u32, fault: JobFault },
    /// The worker gave no evidence.
    Unavailable,
    /// No decision is possible any more.
    Unresolved,
}

impl Block {
    /// Everything that was bound to this seed's view is drawn now (SPEC C4).
    pub(crate) fn draw_with(&mut self, seed: &SeedSignature) {
        let beacon = seed.beacon();
        let meta = self.state.meta_mut();
        if seed.view > meta.beacon_view {
            meta.beacon = beacon;
            meta.beacon_view = seed.view;
        }
        // All of them were bound in blocks of that one view, so the size of a block bounds them.
        let first = Due::Task(TaskId::new(Digest::ZERO));
        let bound: Vec<Due> = self
            .state
            .draws
            .range((seed.view, first)..)
            .map(|(at, ())| at)
            .take_while(|(view, _)| *view == seed.view)
            .map(|(_, item)| *item)
            .collect();
        for item in bound {
            match item {
                Due::Segment(id) => self.draw_committee(id, &beacon),
                Due::Stall(id) => self.draw_relays(id, &beacon),
                Due::Task(_)
                | Due::Lease(_)
                | Due::Hold(_)
                | Due::Unbonding(_)
                | Due::Capability(_)
                | Due::Proposal(_) => {}
            }
        }
    }

    fn draw_committee(&mut self, id: SegmentId, beacon: &Digest) {
        let Some(segment) = self.state.segments.get(&id).cloned() else { return };
        let seed = Digest::of("inferium/committee/1", &[beacon.as_bytes(), id.digest().as_bytes()]);
        let mut eligible = self.eligible_members(&segment);
        if eligible.is_empty() {
            self.unresolved(id, segment);
            return;
        }
        let parameters = &self.state.meta().parameters;
        if segment.dispute.is_some() {
            // SPEC V4: a larger committee looks at everything again.
            let size = usize::try_from(parameters.court_size).unwrap_or(usize::MAX);
            self.order_by_draw(&mut eligible, &seed, &[]);
            eligible.truncate(size);
            self.seat(id, segment, eligible, Stage::Court, seed, Ppm::ONE);
            return;
        }
        let record = self.state.record(segment.worker, segment.profile);
        let replay = match segment.kind {
            TaskKind::Benchmark => ASSESSMENT_REPLAY,
            _ => {
                let stake = self.state.nodes.get(&segment.worker).map_or(Amount::ZERO, |node| node.stake);
                let jobs = segment.terms.totals.jobs;
                let floor = reputation::replay_floor(segment.fee, jobs, stake, parameters.slash_wrong_result);
                reputation::replay_share(&record, parameters).max(floor)
            }
        };
        let wanted = committee_size(segment.fee, [parameters.committee_two_from, parameters.committee_three_from])
            .max(if reputation::is_newcomer(&record, parameters) { 2 } else { 1 });
        self.order_by_draw(&mut eligible, &seed, &[]);
        // SPEC V1: two eligible seats stay outside, for escalation.
        let size = wanted.min(eligible.len().saturating_sub(2)).max(1);
        eligible.truncate(size);
        self.seat(id, segment, eligible, Stage::Committee, seed, replay);
    }

    /// Validators that can replay the segment's profile and belong to neither side (SPEC V1, N6).
    fn eligible_members(&self, segment: &Segment) -> Vec<NodeId> {
        let epoch = self.state.meta().epoch;
        // SPEC V4: nobody judges its own doubt.
        let challenger = segment.dispute.as_ref().map(|dispute| dispute.challenger);
        let sides = [Some(segment.worker), Some(segment.gateway), challenger];
        let sides = sides.map(|side| side.and_then(|side| self.state.operator_of(&side)));
        // SPEC N4: who has too little left to lose has nothing to say.
        let least = self.state.meta().parameters.validator_stake_min.split(2);
        self.state.profiles.get(&segment.profile).map_or_else(Vec::new, |profile| {
            profile
                .validators
                .iter()
                .filter(|id| {
                    self.state.nodes.get(*id).is_some_and(|node| {
                        node.is_active(epoch) && node.stake >= least && !sides.contains(&Some(node.operator))
                    })
                })
                .copied()
                .collect()
        })
    }

    /// Puts candidates in the order of their draw, and keeps one of each operator that does not
    /// answer for a member already (SPEC N6, C4).
    fn order_by_draw(&self, candidates: &mut Vec<NodeId>, seed: &Digest, seated: &[NodeId]) {
        let mut operators: BTreeSet<_> = seated.iter().map(|id| self.state.operator_of(id)).collect();
        candidates.sort_by_key(|validator| Digest::of("inferium/member/1", &[seed.as_bytes(), validator.as_bytes()]));
        candidates.retain(|candidate| operators.insert(self.state.operator_of(candidate)));
    }

    /// Gives `newcomers` a seat each and starts their time.
    fn seat(
        &mut self,
        id: SegmentId,
        mut segment: Segment,
        newcomers: Vec<NodeId>,
        stage: Stage,
        seed: Digest,
        replay: Ppm,
    ) {
        let mut members = match &segment.state {
            SegmentState::Judging { members, .. } => members.clone(),
            SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => Vec::new(),
        };
        members.extend(newcomers.into_iter().map(|validator| Member { validator, vote: None }));
        members.sort_by_key(|member| member.validator);
        let parameters = &self.state.meta().parameters;
        let due_at_ms = self.now_ms.saturating_add(segment.verdict_window_ms(parameters));
        let due_at_height = self.height.saturating_add(parameters.verdict_blocks);
        let waiting = members.iter().filter(|m| m.vote.is_none()).map(|m| m.validator).collect();
        self.events.push(Event::CommitteeDrawn {
            segment: id,
            worker: segment.worker,
            profile: segment.profile,
            members: waiting,
            seed,
            replay,
            planted: segment.opening.known_wrong(),
            due_at_ms,
        });
        segment.state = SegmentState::Judging { members, stage, seed, replay, due_at_ms, due_at_height };
        self.state.set_segment(id, Some(segment));
    }

    pub(crate) fn submit_verdict(&mut self, sender: NodeId, id: SegmentId, vote: VerdictVote) -> Result<(), Rejection> {
        // SPEC C5: a removed validator has no duties left.
        self.active_node(sender, "a validator", Node::is_validator)?;
        let mut segment = self.state.segments.get(&id).cloned().ok_or(Rejection::Unknown { what: "segment" })?;
        let jobs = segment.terms.totals.jobs;
        let SegmentState::Judging { members, .. } = &mut segment.state else {
            return Err(Rejection::WrongState { what: "a verdict" });
        };
        let member = members
            .iter_mut()
            .find(|member| member.validator == sender)
            .ok_or(Rejection::NotAllowed { expected: "a member of the committee" })?;
        if member.vote.is_some() {
            return Err(Rejection::Exists { what: "verdict" });
        }
        let known_wrong = segment.opening.known_wrong();
        if matches!(vote, VerdictVote::Invalid { job, .. } if job >= jobs || Some(job) == known_wrong) {
            return Err(Rejection::OutOfBounds { field: "job" });
        }
        member.vote = Some(vote);
        self.state.set_segment(id, Some(segment));
        self.events.push(Event::VerdictGiven { segment: id, validator: sender, vote });
        self.decide(id, false);
        Ok(())
    }

    /// A segment's time has come: no seed, no verdicts, or settlement.
    pub(crate) fn advance_segment(&mut self, id: SegmentId) {
        let Some(mut segment) = self.state.segments.get(&id).cloned() else { return };
        let meta = self.state.meta();
        let renewed_ms = segment.verdict_due_ms(meta);
        let seed_ms = meta.renewed_ms(seed_window_ms(&meta.parameters));
        match &mut segment.state {
            SegmentState::AwaitingSeed { until_ms, .. } => {
                if *until_ms < seed_ms {
                    *until_ms = seed_ms;
                    self.state.set_segment(id, Some(segment));
                } else {
                    self.unresolved(id, segment);
                }
            }
            SegmentState::Judging { .. } if segment.opening.is_asked() => self.advance_doubt(id, segment),
            SegmentState::Judging { due_at_ms, due_at_height, .. } => {
                // SPEC C3: nobody could vote while the chain stood still, and a window is a time and a
                // least number of blocks.
                let renewed_ms = renewed_ms.filter(|renewed_ms| *due_at_ms < *renewed_ms);
                let early_ms = (self.height < *due_at_height).then(|| self.now_ms.saturating_add(1));
                if let Some(later_ms) = renewed_ms.or(early_ms) {
                    *due_at_ms = later_ms;
                    self.state.set_segment(id, Some(segment));
                } else {
                    self.decide(id, true);
                }
            }
            SegmentState::Final { .. } if segment.opening.owed().is_some() => self.advance_unopened(id, segment),
            SegmentState::Final { approval, .. } => {
                let approval = approval.clone();
                self.settle(id, &segment, &approval);
            }
        }
    }

    /// Tallies what is there; at `overdue`, missing votes are missed duties.
    pub(crate) fn decide(&mut self, id: SegmentId, overdue: bool) {
        let Some(segment) = self.state.segments.get(&id).cloned() else { return };
        let SegmentState::Judging { members, stage, seed, replay, .. } = &segment.state else { return };
        let (members, stage, seed, replay) = (members.clone(), *stage, *seed, *replay);
        let verdict = match stage {
            Stage::Committee => tally_unanimous(&members, overdue),
            Stage::Widened | Stage::FullCourt => tally_all(&members, overdue),
            Stage::Court => match tally_all(&members, overdue) {
                Tally::Unresolved | Tally::Unavailable => Tally::Widen,
                decided => decided,
            },
        };
        // SPEC V5: what a member finds wrong may have been planted. Before a doubt goes on, the worker
        // is asked.
        let is_doubt = matches!(verdict, Tally::Widen | Tally::Wrong { .. });
        if is_doubt && members.iter().any(|m| matches!(m.vote, Some(VerdictVote::Invalid { .. }))) {
            if segment.opening.is_asked() {
                return;
            }
            if let Opening::Closed(order) = segment.opening {
                self.ask_for_opening(id, segment, order);
                return;
            }
        }
        if overdue {
            for member in members.iter().filter(|member| member.vote.is_none()) {
                self.slash_missed_duty(member.validator, id);
            }
        }
        match verdict {
            Tally::Waiting => {}
            Tally::Approved => {
                let rejecters = voters(&members, |vote| matches!(vote, VerdictVote::Invalid { .. }));
                let approvers = voters(&members, |vote| matches!(vote, VerdictVote::Valid { .. }));
                for rejecter in rejecters {
                    self.slash_wrong_rejection(rejecter, &segment, id, &approvers);
                }
                if segment.dispute.is_some() {
                    self.dismiss_dispute(id, segment, &approvers);
                } else {
                    self.approve(id, segment, Approval { approvers, seed, replayed: replay });
                }
            }
            Tally::Widen => {
                let next = if stage == Stage::Court { Stage::FullCourt } else { Stage::Widened };
                let seated: Vec<NodeId> = members.iter().map(|member| member.validator).collect();
                let limit = usize::try_from(self.state.meta().parameters.escalation_max).unwrap_or(usize::MAX);
                let mut more = self.eligible_members(&segment);
                self.order_by_draw(&mut more, &seed, &seated);
                more.truncate(limit.saturating_sub(seated.len()));
                self.seat(id, segment, more, next, seed, replay);
                // With no one to add, the votes that are there may already decide.
                self.decide_seated(id);
            }
            Tally::Wrong { job, fault } => {
                self.reject(id, &segment, RejectReason::ProvenWrong { job, fault });
                self.uphold_dispute(id, &segment);
                self.convict(&segment, id, &members);
            }
            Tally::Unavailable => {
                self.record_fault(segment.worker, segment.profile);
                self.reject(id, &segment, RejectReason::Unavailable);
                self.uphold_dispute(id, &segment);
                self.slash_withheld(&segment, id, replay);
            }
            Tally::Unresolved => self.unresolved(id, segment),
        }
    }

    /// No decision: refund and no slash (SPEC T3); after a dispute, what was approved stands.
    fn unresolved(&mut self, id: SegmentId, segment: Segment) {
        match &segment.dispute {
            Some(_) => self.drop_dispute(id, segment),
            None => self.reject(id, &segment, RejectReason::Unresolved),
        }
    }

    /// One more tally of a widened committee; it can't widen again, so this ends.
    fn decide_seated(&mut self, id: SegmentId) {
        let complete = self.state.segments.get(&id).is_some_and(|segment| match &segment.state {
            SegmentState::Judging { members, .. } => members.iter().all(|member| member.vote.is_some()),
            SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => false,
        });
        if complete {
            self.decide(id, false);
        }
    }
}

/// Members by the value of what they check (SPEC V1).
fn committee_size(fee: Amount, steps: [Amount; 2]) -> usize {
    steps.iter().filter(|step| fee >= **step).count().saturating_add(1)
}

fn voters(members: &[Member], wanted: impl Fn(&VerdictVote) -> bool) -> Vec<NodeId> {
    members.iter().filter(|m| m.vote.as_ref().is_some_and(&wanted)).map(|m| m.validator).collect()
}

/// A drawn committee: all must approve, any doubt widens it (SPEC V3).
fn tally_unanimous(members: &[Member], overdue: bool) -> Tally {
    let doubts = members.iter().any(|m| matches!(m.vote, Some(VerdictVote::Invalid { .. } | VerdictVote::Unavailable)));
    let missing = members.iter().any(|m| m.vote.is_none());
    if doubts || (missing && overdue) {
        Tally::Widen
    } else if missing {
        Tally::Waiting
    } else {
        Tally::Approved
    }
}

/// All eligible validators: more than two thirds decide, counted over every seat.
fn tally_all(members: &[Member], overdue: bool) -> Tally {
    let seats = members.len();
    let decides = |count: usize| count.saturating_mul(3) > seats.saturating_mul(2);
    let valid = voters(members, |vote| matches!(vote, VerdictVote::Valid { .. })).len();
    let unavailable = voters(members, |vote| matches!(vote, VerdictVote::Unavailable)).len();
    let faults: Vec<(u32, JobFault)> = members
        .iter()
        .filter_map(|member| match member.vote {
            Some(VerdictVote::Invalid { job, fault }) => Some((job, fault)),
            Some(VerdictVote::Valid { .. } | VerdictVote::Unavailable) | None => None,
        })
        .collect();
    let missing = members.iter().any(|member| member.vote.is_none());
    if decides(valid) {
        Tally::Approved
    } else if decides(faults.len()) {
        let (job, fault) = faults.iter().min().copied().unwrap_or((0, JobFault::Leaf));
        Tally::Wrong { job, fault }
    } else if decides(unavailable) {
        Tally::Unavailable
    } else if missing && !overdue {
        Tally::Waiting
    } else {
        Tally::Unresolved
    }
}
