//! Ballots of a committee: commit and reveal (SPEC V2).
//!
//! A member is bound to its vote before it can see another's. It commits to it first, and shows it
//! once every seat is bound or the time to commit is over. Who finds every other seat bound has
//! nothing to copy from, and votes openly at once: a committee of one costs one transaction. What
//! the votes decide is looked at when no more can come (`verdicts.rs`), so that nobody ends a
//! judgement by keeping its own back.

use crate::Rejection;
use crate::entries::{Ballot, Member, Node, Phase, Segment, SegmentState};
use crate::execute::Block;
use inferium_types::{Digest, Event, NodeId, SegmentId, VerdictVote};

impl Block {
    /// SPEC V2: binds the member; who has a ballot already keeps it.
    pub(crate) fn commit_verdict(
        &mut self,
        sender: NodeId,
        id: SegmentId,
        commitment: Digest,
    ) -> Result<(), Rejection> {
        let mut segment = self.judged_by(sender, id)?;
        let (members, phase, _) = judging(&mut segment)?;
        let member = seat_of(members, sender)?;
        match member.ballot {
            Ballot::Blank if phase == Phase::Committing => member.ballot = Ballot::Committed { commitment },
            Ballot::Blank => return Err(Rejection::WrongState { what: "a late verdict" }),
            Ballot::Committed { .. } => return Err(Rejection::Exists { what: "commitment" }),
            Ballot::Given { .. } => return Err(Rejection::Exists { what: "verdict" }),
        }
        self.state.set_segment(id, Some(segment));
        self.go_on(id);
        Ok(())
    }

    /// SPEC V2: shows what the member committed to, or votes openly when all others are bound.
    pub(crate) fn submit_verdict(
        &mut self,
        sender: NodeId,
        id: SegmentId,
        vote: VerdictVote,
        salt: Option<Digest>,
    ) -> Result<(), Rejection> {
        let mut segment = self.judged_by(sender, id)?;
        let (jobs, known_wrong) = (segment.terms.totals.jobs, segment.opening.known_wrong());
        let profile = segment.profile;
        let (members, phase, seed) = judging(&mut segment)?;
        let is_done =
            |member: &Member| member.validator == sender || member.ballot.is_bound() || self.is_vacant(member);
        let others_bound = members.iter().all(is_done);
        let member = seat_of(members, sender)?;
        match (member.ballot, salt) {
            (Ballot::Given { .. }, _) => return Err(Rejection::Exists { what: "verdict" }),
            (Ballot::Blank, Some(_)) => return Err(Rejection::Unknown { what: "commitment" }),
            (Ballot::Blank, None) if phase != Phase::Committing => {
                return Err(Rejection::WrongState { what: "a late verdict" });
            }
            (Ballot::Blank, None) if !others_bound => {
                return Err(Rejection::WrongState { what: "an open verdict" });
            }
            (Ballot::Committed { .. }, _) if phase != Phase::Revealing => {
                return Err(Rejection::WrongState { what: "a reveal" });
            }
            (Ballot::Committed { commitment }, salt)
                if salt.map(|salt| vote.commitment(id, &seed, &sender, &salt)) != Some(commitment) =>
            {
                return Err(Rejection::Commitment);
            }
            (Ballot::Blank | Ballot::Committed { .. }, _) => {}
        }
        self.state.check_vote(profile, &vote)?;
        if matches!(vote, VerdictVote::Invalid { job, .. } if job >= jobs || Some(job) == known_wrong) {
            return Err(Rejection::OutOfBounds { field: "job" });
        }
        member.ballot = Ballot::Given { vote };
        self.state.set_segment(id, Some(segment));
        self.events.push(Event::VerdictGiven { segment: id, validator: sender, vote });
        self.go_on(id);
        Ok(())
    }

    /// The segment, if the sender has duties at all. SPEC C5: a removed validator has none left.
    fn judged_by(&self, sender: NodeId, id: SegmentId) -> Result<Segment, Rejection> {
        self.active_node(sender, "a validator", Node::is_validator)?;
        self.state.segments.get(&id).cloned().ok_or(Rejection::Unknown { what: "segment" })
    }

    /// SPEC C5: whoever was barred or removed has no duties any more. Its seat stays, and is silent.
    fn is_vacant(&self, member: &Member) -> bool {
        self.state.nodes.get(&member.validator).is_none_or(|node| node.disqualified)
    }

    /// Ends the phase when nobody is waited for in it any more.
    pub(crate) fn go_on(&mut self, id: SegmentId) {
        let Some(segment) = self.state.segments.get(&id) else { return };
        let SegmentState::Judging { members, phase, .. } = &segment.state else { return };
        let is_waited_for = |member: &Member| match phase {
            Phase::Committing => matches!(member.ballot, Ballot::Blank) && !self.is_vacant(member),
            Phase::Revealing => matches!(member.ballot, Ballot::Committed { .. }) && !self.is_vacant(member),
            Phase::Closed => true,
        };
        if !members.iter().any(is_waited_for) {
            self.end_phase(id);
        }
    }

    /// What waited for members that lost their seats in this block goes on.
    ///
    /// At the end of the block, and not where a seat is lost: that may be in the midst of a decision.
    pub(crate) fn go_on_without_vacated(&mut self) {
        while let Some(gone) = self.vacated.pop_first() {
            let is_seated = |segment: &Segment| match &segment.state {
                SegmentState::Judging { members, .. } => members.iter().any(|member| member.validator == gone),
                SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => false,
            };
            let judged = self.state.segments.iter().filter(|(_, segment)| is_seated(segment));
            let judged: Vec<SegmentId> = judged.map(|(id, _)| *id).collect();
            for id in judged {
                self.go_on(id);
            }
        }
    }

    /// All did what the phase was for, or its time is over: to the reveals, or to the decision.
    pub(crate) fn end_phase(&mut self, id: SegmentId) {
        let Some(mut segment) = self.state.segments.get(&id).cloned() else { return };
        let meta = self.state.meta();
        let due_ms = self.now_ms.saturating_add(meta.parameters.reveal_ms);
        let due_height = self.height.saturating_add(meta.parameters.reveal_blocks);
        let SegmentState::Judging { members, phase, due_at_ms, due_at_height, .. } = &mut segment.state else {
            return;
        };
        let is_hidden = members.iter().any(|member| matches!(member.ballot, Ballot::Committed { .. }));
        if *phase == Phase::Committing && is_hidden {
            *phase = Phase::Revealing;
            *due_at_ms = due_ms;
            *due_at_height = due_height;
            self.events.push(Event::RevealsOpened { segment: id, due_at_ms: due_ms });
            self.state.set_segment(id, Some(segment));
            return;
        }
        *phase = Phase::Closed;
        // SPEC S: drawn and silent, or bound and silent.
        let silent = members.iter().filter(|member| member.ballot.vote().is_none() && !self.is_vacant(member));
        let silent: Vec<NodeId> = silent.map(|member| member.validator).collect();
        self.state.set_segment(id, Some(segment));
        for member in silent {
            self.slash_missed_duty(member, id);
        }
        self.decide(id);
    }
}

/// The members of a committee at work, what they may do, and the draw's seed.
fn judging(segment: &mut Segment) -> Result<(&mut Vec<Member>, Phase, Digest), Rejection> {
    match &mut segment.state {
        SegmentState::Judging { members, phase, seed, .. } => Ok((members, *phase, *seed)),
        SegmentState::AwaitingSeed { .. } | SegmentState::Final { .. } => {
            Err(Rejection::WrongState { what: "a verdict" })
        }
    }
}

fn seat_of(members: &mut [Member], sender: NodeId) -> Result<&mut Member, Rejection> {
    members
        .iter_mut()
        .find(|member| member.validator == sender)
        .ok_or(Rejection::NotAllowed { expected: "a member of the committee" })
}
