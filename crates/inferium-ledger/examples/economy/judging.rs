//! Committees: what each member would see, and what it votes.

use crate::agents::{REPLAY_COST, Validator, ValidatorStyle, WorkerStyle};
use crate::simulation::{Simulation, ifr};
use inferium_ledger::SegmentState;
use inferium_types::{Digest, ForcedKind, JobFault, NodeId, Ppm, SegmentId, VerdictVote};

/// The approval of who replayed.
const APPROVES: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };

/// What members know of the drawn jobs.
struct Sight {
    /// No one has judged these draws yet.
    is_fresh: bool,
    /// What the worker's own hand knows.
    known: VerdictVote,
    worker: Option<NodeId>,
}

impl Simulation {
    /// Members vote by what they would see.
    pub(crate) fn judge(&mut self, id: SegmentId, members: &[NodeId], drawn: (&Digest, Ppm), opened: Option<u32>) {
        let Some(sight) = self.look(id, drawn, opened) else { return };
        for member in members {
            if let Some(validator) = self.cast.validators.get(member).copied() {
                self.vote(id, *member, &validator, (&sight, members.len()));
            }
        }
    }

    fn look(&mut self, id: SegmentId, (seed, replay): (&Digest, Ppm), opened: Option<u32>) -> Option<Sight> {
        let worker = self.world.state.segment(&id).map(|segment| segment.worker);
        let style = worker.and_then(|worker| self.cast.workers.get(&worker)).map(|worker| worker.style);
        let truth = self.truths.get_mut(&id)?;
        let drawn: Vec<(u32, f64, bool)> = (0u32..)
            .zip(&truth.jobs)
            .filter(|(index, _)| opened != Some(*index) && id.draws_job(seed, *index, replay))
            .map(|(index, (worth, is_wrong))| (index, *worth, *is_wrong))
            .collect();
        truth.draws += 1;
        let is_fresh = truth.draws == 1 || (opened.is_some() && !truth.is_anew);
        truth.is_anew |= opened.is_some();
        truth.replay = replay;
        let wrong = drawn.iter().find(|(_, _, is_wrong)| *is_wrong).map(|(index, _, _)| *index);
        let plant = truth.plant.as_ref().filter(|plant| drawn.iter().any(|(index, _, _)| *index == plant.job));
        truth.is_drawn = plant.is_some();
        let planted = plant.filter(|plant| plant.kind == ForcedKind::Wrong).map(|plant| plant.job);
        if is_fresh {
            truth.is_kept_back = match style {
                Some(WorkerStyle::Rubbish | WorkerStyle::Withhold) => wrong.is_some(),
                Some(WorkerStyle::Honest { lost_ppm }) => self.dice.chance(lost_ppm),
                _ => false,
            };
        }
        let seen = match (wrong, planted) {
            (Some(wrong), Some(planted)) => Some((wrong.min(planted), planted < wrong)),
            (Some(wrong), None) => Some((wrong, false)),
            (None, planted) => planted.map(|planted| (planted, true)),
        };
        // A planted job's root is not that of its replay.
        let fault = |is_planted: bool| if is_planted { JobFault::Logits } else { truth.fault };
        let vote = match seen {
            _ if truth.is_kept_back => VerdictVote::Unavailable,
            Some((job, is_planted)) => VerdictVote::Invalid { job, fault: fault(is_planted) },
            None => APPROVES,
        };
        let known = planted.map_or(APPROVES, |job| VerdictVote::Invalid { job, fault: JobFault::Logits });
        // Nothing can be replayed without evidence.
        let cost = drawn.iter().map(|(_, worth, _)| worth * REPLAY_COST).sum::<f64>();
        truth.sight = (vote, if truth.is_kept_back { 0.0 } else { cost });
        Some(Sight { is_fresh, known, worker })
    }

    fn vote(&mut self, id: SegmentId, member: NodeId, validator: &Validator, (sight, members): (&Sight, usize)) {
        let worker = sight.worker.and_then(|worker| self.agent_of(&worker));
        let vote = match validator.style {
            ValidatorStyle::Silent => return,
            ValidatorStyle::Lazy => return self.approve_unseen(id, member),
            ValidatorStyle::LazyAtFirst if sight.is_fresh => return self.approve_unseen(id, member),
            // It sees no vote before it is bound: it binds itself blindly, and looks at the others' before it
            // shows its own (`show_hidden`).
            ValidatorStyle::Copy if members > 1 => return self.approve_unseen(id, member),
            ValidatorStyle::Farm if worker == Some(validator.agent) => sight.known,
            ValidatorStyle::Reject => VerdictVote::Invalid { job: 0, fault: JobFault::Token },
            ValidatorStyle::Honest
            | ValidatorStyle::LazyAtFirst
            | ValidatorStyle::Copy
            | ValidatorStyle::Dispute
            | ValidatorStyle::Farm => return self.replay(id, member),
        };
        self.give(id, member, vote, 0.0);
    }

    /// Votes what a replay shows.
    pub(crate) fn replay(&mut self, id: SegmentId, member: NodeId) {
        if let Some((vote, cost)) = self.truths.get(&id).map(|truth| truth.sight) {
            self.give(id, member, vote, cost);
        }
    }

    fn give(&mut self, id: SegmentId, member: NodeId, vote: VerdictVote, cost: f64) {
        if let Some(agent) = self.agent_of(&member) {
            self.cast.agents[agent].jobs += 1;
            self.cast.agents[agent].cost += cost;
            self.world.vote(member, id, vote);
        }
    }

    /// Approves what it did not replay. A planted job of such a segment is known-wrong and drawn with this chance.
    pub(crate) fn approve_unseen(&mut self, id: SegmentId, member: NodeId) {
        let Some(agent) = self.agent_of(&member) else { return };
        let owed = self.world.state.segment(&id).and_then(|segment| segment.opening.owed());
        let stake = self.world.state.node(&member).map_or(0.0, |node| ifr(node.stake));
        let order = owed.filter(|owed| owed.has_room).map_or(0.0, |owed| f64::from(owed.share.get()) / 2e6);
        // A hand's own worker would not tell.
        let worker = self.world.state.segment(&id).and_then(|segment| self.cast.workers.get(&segment.worker));
        let tells = worker.is_some_and(|worker| match worker.style {
            WorkerStyle::Disobey | WorkerStyle::Closed => false,
            WorkerStyle::Shield => worker.agent != agent,
            _ => true,
        });
        let at_stake = self.at_stake(id, member);
        if let Some(truth) = self.truths.get_mut(&id) {
            truth.blind.push(member);
            let of = &mut self.cast.agents[agent];
            of.jobs += 1;
            of.blind += 1;
            // What is kept back is rejected before anything is opened.
            if tells && !truth.is_kept_back {
                of.risk += order * f64::from(truth.replay.get()) / 1e6 * stake * at_stake;
            }
            // Nobody knows the replay's effort without the replay.
            self.world.vote(member, id, VerdictVote::Valid { effort: Digest::sha256(member.as_bytes()) });
        }
    }

    /// The share of its stake that a blind approval of a planted job costs: all of it, unless the member keeps it back
    /// when another one reveals the fault, and is silent before the committee and before all.
    fn at_stake(&self, id: SegmentId, member: NodeId) -> f64 {
        let style = |node: &NodeId| self.cast.validators.get(node).map(|validator| validator.style);
        let is_blind =
            |node: &NodeId| style(node).is_some_and(|style| style.is_lazy() || style == ValidatorStyle::Copy);
        let others_blind = self.world.state.segment(&id).is_none_or(|segment| match &segment.state {
            SegmentState::Judging { members, .. } => {
                members.iter().all(|other| other.validator == member || is_blind(&other.validator))
            }
            SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => true,
        });
        if others_blind || style(&member) != Some(ValidatorStyle::Copy) {
            return 1.0;
        }
        2.0 * f64::from(self.world.state.meta().parameters.slash_missed_duty.get()) / 1e6
    }

    /// Everyone bound shows its vote; who wanted to repeat others' waits for them first.
    pub(crate) fn show_hidden(&mut self, id: SegmentId) {
        for member in self.world.hidden_members(id) {
            match self.cast.validators.get(&member).map(|validator| validator.style) {
                Some(ValidatorStyle::Copy) => self.at_showing(id, member),
                _ => self.world.reveal(id, member),
            }
        }
    }

    /// Shows a blind approval unless another member found something wrong: keeping it back is a missed duty, and
    /// costs less than a wrong approval.
    pub(crate) fn show_if_unopposed(&mut self, id: SegmentId, member: NodeId) {
        let is_opposed = self.world.state.segment(&id).is_some_and(|segment| match &segment.state {
            SegmentState::Judging { members, .. } => {
                members.iter().any(|other| matches!(other.ballot.vote(), Some(VerdictVote::Invalid { .. })))
            }
            SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => false,
        });
        if !is_opposed {
            self.world.reveal(id, member);
        }
    }
}
