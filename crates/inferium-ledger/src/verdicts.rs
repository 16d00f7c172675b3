//! Committees: who judges a segment, and what their votes decide (SPEC V1, V3, C4). How members vote is
//! in `ballots.rs`.

use crate::capability::ASSESSMENT_REPLAY;
use crate::entries::{Approval, Ballot, Member, Opening, Phase, Segment, SegmentState, Stage};
use crate::execute::Block;
use crate::reputation;
use crate::segments::seed_window_ms;
use crate::state::Due;
use crate::statistics::agreeing;
use inferium_types::{
    Amount, Digest, Event, JobFault, NodeId, Ppm, RejectReason, SeedSignature, SegmentId, SlashRule, Suspicion, TaskId,
    TaskKind, VerdictVote,
};
use std::collections::BTreeSet;

/// What the votes of a committee amount to, once no more can come.
enum Tally {
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
                | Due::Proposal(_)
                | Due::Run(_)
                | Due::Challenge(_) => {}
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
            // SPEC V7: nothing of a suspect worker is left to chance.
            _ if self.state.suspicion(segment.worker, segment.profile) > Suspicion::None => Ppm::ONE,
            TaskKind::Benchmark => ASSESSMENT_REPLAY,
            // SPEC A2: what is ordered in a step may be spent, so all of them are looked at.
            TaskKind::Agent => Ppm::ONE,
            // SPEC L2: a board is read by many, and folded again in a moment.
            TaskKind::Leaderboard => Ppm::ONE,
            // SPEC X3: one wrong interval is enough to put other weights in.
            TaskKind::Training => Ppm::ONE,
            // SPEC V10: each proof is verified, which is what it is for.
            TaskKind::Validation => Ppm::ONE,
            _ => {
                let stake = self.state.nodes.get(&segment.worker).map_or(Amount::ZERO, |node| node.stake);
                let jobs = segment.terms.totals.jobs;
                let floor = reputation::replay_floor(segment.fee, jobs, stake, parameters.slash_wrong_result);
                reputation::replay_share(&record, parameters).max(floor).max(self.state.least_replay(segment.profile))
            }
        };
        let is_unplanted = matches!(segment.kind, TaskKind::Leaderboard | TaskKind::Training | TaskKind::Validation);
        let wanted = committee_size(
            self.state.at_stake(&segment),
            [parameters.committee_two_from, parameters.committee_three_from],
        )
        // SPEC L2, X3, V10: nothing is planted among boards, intervals and proofs, so one member would be compared with nobody.
        .max(if reputation::is_newcomer(&record, parameters) || is_unplanted { 2 } else { 1 });
        self.order_by_draw(&mut eligible, &seed, &[]);
        // SPEC V1: two eligible seats stay outside, for escalation.
        let size = wanted.min(eligible.len().saturating_sub(2)).max(1);
        eligible.truncate(size);
        self.seat(id, segment, eligible, Stage::Committee, seed, replay);
    }

    /// Validators that can replay the segment and belong to neither side (SPEC V1, N6).
    fn eligible_members(&self, segment: &Segment) -> Vec<NodeId> {
        let epoch = self.state.meta().epoch;
        // SPEC V4: nobody judges its own doubt.
        let challenger = segment.dispute.as_ref().map(|dispute| dispute.challenger);
        let sides = [Some(segment.worker), Some(segment.gateway), challenger];
        let sides = sides.map(|side| side.and_then(|side| self.state.operator_of(&side)));
        // SPEC N4: who has too little left to lose has nothing to say.
        let least = self.state.meta().parameters.validator_stake_min.split(2);
        let mut judges = self.state.judges_of(segment);
        judges.retain(|id| {
            self.state.nodes.get(id).is_some_and(|node| {
                node.is_active(epoch) && node.stake >= least && !sides.contains(&Some(node.operator))
            })
        });
        judges
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
        members.extend(newcomers.into_iter().map(|validator| Member { validator, ballot: Ballot::Blank }));
        members.sort_by_key(|member| member.validator);
        let parameters = &self.state.meta().parameters;
        let due_at_ms = self.now_ms.saturating_add(segment.verdict_window_ms(parameters));
        let due_at_height = self.height.saturating_add(parameters.verdict_blocks);
        let waiting = members.iter().filter(|m| !m.ballot.is_bound()).map(|m| m.validator).collect();
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
        let phase = Phase::Committing;
        segment.state = SegmentState::Judging { members, stage, phase, seed, replay, due_at_ms, due_at_height };
        self.state.set_segment(id, Some(segment));
        // With no one to add, the votes that are there may already decide. All can't widen again, so
        // this ends.
        self.go_on(id);
    }

    /// A segment's time has come: no seed, no verdicts, or settlement.
    pub(crate) fn advance_segment(&mut self, id: SegmentId) {
        let Some(mut segment) = self.state.segments.get(&id).cloned() else { return };
        if self.awaits_challenge(id, &segment) {
            return;
        }
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
            SegmentState::Judging { phase: Phase::Closed, .. } => self.advance_doubt(id, segment),
            SegmentState::Judging { due_at_ms, due_at_height, .. } => {
                // SPEC C3: nobody could do anything while the chain stood still, and a window is a time and a
                // least number of blocks.
                let renewed_ms = renewed_ms.filter(|renewed_ms| *due_at_ms < *renewed_ms);
                let early_ms = (self.height < *due_at_height).then(|| self.now_ms.saturating_add(1));
                if let Some(later_ms) = renewed_ms.or(early_ms) {
                    *due_at_ms = later_ms;
                    self.state.set_segment(id, Some(segment));
                } else {
                    self.end_phase(id);
                }
            }
            SegmentState::Final { .. } if segment.opening.owed().is_some() => self.advance_unopened(id, segment),
            SegmentState::Final { approval, .. } => {
                let approval = approval.clone();
                if !self.withholds_steps(id, &segment) && !self.withholds_pay(id, &segment) {
                    self.settle(id, &segment, &approval);
                }
            }
        }
    }

    /// Decides by the votes that are there: no more can come. Who gave none has paid for it already.
    pub(crate) fn decide(&mut self, id: SegmentId) {
        let Some(mut segment) = self.state.segments.get(&id).cloned() else { return };
        let SegmentState::Judging { members, stage, seed, replay, due_at_ms, due_at_height, .. } = &mut segment.state
        else {
            return;
        };
        let (members, stage, seed, replay) = (members.clone(), *stage, *seed, *replay);
        let (worker, profile) = (segment.worker, segment.profile);
        let verdict = match stage {
            Stage::Committee => match tally_unanimous(&members) {
                // SPEC V7: the word of a few makes nobody suspect, and clears nobody who is.
                Tally::Approved if self.state.is_doubtful(worker, profile, &members) => Tally::Widen,
                tally => tally,
            },
            Stage::Widened | Stage::FullCourt => tally_all(&members),
            Stage::Court => match tally_all(&members) {
                Tally::Unresolved | Tally::Unavailable => Tally::Widen,
                decided => decided,
            },
        };
        // SPEC V5: what a member finds wrong may have been planted. Before a doubt goes on, the worker
        // is asked.
        let is_doubt = matches!(verdict, Tally::Widen | Tally::Wrong { .. });
        if is_doubt && members.iter().any(|m| matches!(m.ballot.vote(), Some(VerdictVote::Invalid { .. }))) {
            match segment.opening {
                Opening::Asked { until_ms, .. } => {
                    *due_at_ms = until_ms;
                    *due_at_height = self.height.saturating_add(self.state.meta().parameters.reveal_blocks);
                    self.state.set_segment(id, Some(segment));
                    return;
                }
                Opening::Closed(order) => {
                    self.ask_for_opening(id, segment, order);
                    return;
                }
                Opening::NotOwed | Opening::Late(_) | Opening::Opened { .. } => {}
            }
        }
        match verdict {
            Tally::Approved => self.approved(id, segment, &members, seed, replay),
            Tally::Widen => {
                let next = if stage == Stage::Court { Stage::FullCourt } else { Stage::Widened };
                let seated: Vec<NodeId> = members.iter().map(|member| member.validator).collect();
                let limit = usize::try_from(self.state.meta().parameters.escalation_max).unwrap_or(usize::MAX);
                let mut more = self.eligible_members(&segment);
                self.order_by_draw(&mut more, &seed, &seated);
                more.truncate(limit.saturating_sub(seated.len()));
                self.seat(id, segment, more, next, seed, replay);
            }
            Tally::Wrong { job, fault } => {
                self.reject(id, &segment, RejectReason::ProvenWrong { job, fault });
                self.uphold_dispute(id, &segment);
                self.convict(&segment, id, &members, job);
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

    /// The members agree that nothing is wrong.
    fn approved(&mut self, id: SegmentId, segment: Segment, members: &[Member], seed: Digest, replay: Ppm) {
        let (approvers, measured) = agreeing(members);
        // SPEC V6: on a profile that is measured no verdict costs stake, either way.
        if !self.state.is_measured(segment.profile) {
            for rejecter in voters(members, |vote| matches!(vote, VerdictVote::Invalid { .. })) {
                self.slash_wrong_verdict(rejecter, SlashRule::WrongRejection, &segment, id, &approvers);
            }
            // SPEC V2: who replayed the drawn jobs has the effort that the others have.
            for other in voters(members, VerdictVote::approves).into_iter().filter(|one| !approvers.contains(one)) {
                self.slash_wrong_verdict(other, SlashRule::FalseReplay, &segment, id, &approvers);
            }
        }
        if segment.dispute.is_some() {
            self.dismiss_dispute(id, segment, &approvers);
        } else {
            let approval =
                Approval { approvers, seed, replayed: replay, rejections: rejections(id, members, &seed, replay) };
            self.approve(id, segment, approval, measured.as_ref());
        }
    }

    /// No decision: refund and no slash (SPEC T3); after a dispute, what was approved stands.
    fn unresolved(&mut self, id: SegmentId, segment: Segment) {
        match &segment.dispute {
            Some(_) => self.drop_dispute(id, segment),
            None => self.reject(id, &segment, RejectReason::Unresolved),
        }
    }
}

/// Members by the value of what they check (SPEC V1).
fn committee_size(fee: Amount, steps: [Amount; 2]) -> usize {
    steps.iter().filter(|step| fee >= **step).count().saturating_add(1)
}

/// Who found which job wrong, of those that it was given.
pub(crate) fn rejections(id: SegmentId, members: &[Member], seed: &Digest, replay: Ppm) -> Vec<(NodeId, u32)> {
    let of = |member: &Member| match member.ballot.vote().filter(|vote| draws(id, vote, seed, replay)) {
        Some(VerdictVote::Invalid { job, .. }) => Some((member.validator, job)),
        Some(VerdictVote::Valid { .. } | VerdictVote::Measured { .. } | VerdictVote::Unavailable) | None => None,
    };
    members.iter().filter_map(of).collect()
}

fn draws(id: SegmentId, vote: &VerdictVote, seed: &Digest, replay: Ppm) -> bool {
    matches!(vote, VerdictVote::Invalid { job, .. } if id.draws_job(seed, *job, replay))
}

pub(crate) fn voters(members: &[Member], wanted: impl Fn(&VerdictVote) -> bool) -> Vec<NodeId> {
    members.iter().filter(|m| m.ballot.vote().as_ref().is_some_and(&wanted)).map(|m| m.validator).collect()
}

/// A drawn committee: all must approve and say the same, any doubt or silence widens it (SPEC V3, V6).
fn tally_unanimous(members: &[Member]) -> Tally {
    let (approve, _) = agreeing(members);
    if approve.len() == members.len() { Tally::Approved } else { Tally::Widen }
}

/// All eligible validators: more than two thirds decide, counted over every seat.
fn tally_all(members: &[Member]) -> Tally {
    let seats = members.len();
    let decides = |count: usize| count.saturating_mul(3) > seats.saturating_mul(2);
    let (approve, _) = agreeing(members);
    let unavailable = voters(members, |vote| matches!(vote, VerdictVote::Unavailable)).len();
    let faults: Vec<(u32, JobFault)> = members
        .iter()
        .filter_map(|member| match member.ballot.vote() {
            Some(VerdictVote::Invalid { job, fault }) => Some((job, fault)),
            Some(VerdictVote::Valid { .. } | VerdictVote::Measured { .. } | VerdictVote::Unavailable) | None => None,
        })
        .collect();
    if decides(approve.len()) {
        Tally::Approved
    } else if decides(faults.len()) {
        let (job, fault) = faults.iter().min().copied().unwrap_or((0, JobFault::Leaf));
        Tally::Wrong { job, fault }
    } else if decides(unavailable.saturating_add(faults.len())) {
        // SPEC V3: evidence that some got, and that convinced none of them, is as good as none.
        Tally::Unavailable
    } else {
        Tally::Unresolved
    }
}
