//! Profiles that are measured, tolerance and foreign ones: approvals that say what was measured, and what all of them say of
//! a worker (SPEC V6, V7, V9).
//!
//! Verifiers of such a profile replay on one engine, so that honest ones measure the same of the same evidence: a
//! committee agrees on statistics, not only on a yes. What it agreed on goes into a test of the worker on that
//! profile, which makes it suspect long before it convicts it.

use crate::Rejection;
use crate::entries::{Conduct, LeaseState, Member, Segment, SegmentState};
use crate::execute::Block;
use crate::state::State;
use inferium_sampling::Bets;
use inferium_types::{
    EngineClass, Event, LeaseEnd, LeaseId, ModelTask, NodeId, Ppm, Price, ProfileId, RejectReason, ReplayStatistics,
    SegmentId, Suspicion, TaskKind, VerdictVote, VerificationMode,
};

/// The members of the largest group whose approvals say the same, effort included (SPEC V2), and what it measured (SPEC V6).
///
/// Of groups of one size the one whose member comes first is taken, but none of these is two thirds of anything.
pub(crate) fn agreeing(members: &[Member]) -> (Vec<NodeId>, Option<ReplayStatistics>) {
    let approvals = || {
        members.iter().filter_map(|member| {
            let vote = member.ballot.vote().filter(VerdictVote::approves)?;
            Some((member.validator, vote))
        })
    };
    let group = |said: VerdictVote| approvals().filter(move |(_, other)| *other == said).map(|(id, _)| id);
    let mut largest = (Vec::new(), None);
    for (_, said) in approvals() {
        let of: Vec<NodeId> = group(said).collect();
        if of.len() > largest.0.len() {
            largest = (of, said.statistics().copied());
        }
    }
    largest
}

impl State {
    /// What replays say of a worker on a measured profile; `None` before its first segment was judged.
    #[must_use]
    pub fn conduct(&self, worker: NodeId, profile: ProfileId) -> Option<&Conduct> {
        self.conducts.get(&(worker, profile))
    }

    /// The same of all workers and measured profiles, ascending.
    pub fn conducts(&self) -> impl Iterator<Item = (&(NodeId, ProfileId), &Conduct)> {
        self.conducts.iter()
    }

    /// What replays say of a worker on a profile.
    #[must_use]
    pub fn suspicion(&self, worker: NodeId, profile: ProfileId) -> Suspicion {
        self.conduct(worker, profile).map_or(Suspicion::None, |conduct| conduct.suspicion)
    }

    /// True when statistics barred the worker from the profile (SPEC V7).
    #[must_use]
    pub fn is_barred_from(&self, worker: NodeId, profile: ProfileId) -> bool {
        self.suspicion(worker, profile) == Suspicion::Convicted
    }

    /// The class of a profile's engines; `None` for one that nobody declared.
    fn class_of(&self, profile: ProfileId) -> Option<&EngineClass> {
        self.profiles.get(&profile).map(crate::entries::Profile::engine)
    }

    /// True where verdicts go by statistics: on tolerance and foreign profiles (SPEC V6, V9).
    #[must_use]
    pub fn is_measured(&self, profile: ProfileId) -> bool {
        self.class_of(profile).is_some_and(EngineClass::is_measured)
    }

    fn is_foreign(&self, profile: ProfileId) -> bool {
        matches!(self.class_of(profile), Some(EngineClass::Foreign { .. }))
    }

    /// SPEC M4, V9: what a lease pays of the price that its worker offered.
    pub(crate) fn price_of(&self, profile: ProfileId, kind: TaskKind, offered: Price) -> Price {
        let parameters = &self.meta().parameters;
        let price = if self.is_foreign(profile) { offered.part(parameters.foreign_price_share) } else { offered };
        if kind == TaskKind::Batch { price.part(parameters.batch_price_share) } else { price }
    }

    /// Share of jobs that is replayed at least, whoever did them (SPEC R3, V9).
    pub(crate) fn least_replay(&self, profile: ProfileId) -> Ppm {
        if self.is_foreign(profile) { self.meta().parameters.foreign_replay_min } else { Ppm::new(0) }
    }

    /// The bets of a profile that is measured.
    fn bets_of(&self, profile: ProfileId) -> Option<Bets> {
        self.class_of(profile).and_then(Bets::of)
    }

    /// What a profile's model does; a chat's for one that nobody declared.
    pub(crate) fn task_of(&self, profile: ProfileId) -> ModelTask {
        self.profiles.get(&profile).map_or(ModelTask::Chat, |entry| entry.profile.task)
    }

    /// How often the weights of a profile may be opened yet, where they are private (SPEC V12).
    pub(crate) fn openings_left(&self, profile: ProfileId) -> Option<u32> {
        let entry = self.profiles.get(&profile)?;
        let ModelTask::ProvePrivate { openings } = entry.profile.task else { return None };
        Some(openings.saturating_sub(entry.openings_spent))
    }

    /// How results of a profile are verified (SPEC T2).
    pub(crate) fn mode_of(&self, profile: ProfileId) -> VerificationMode {
        self.profiles.get(&profile).map_or(VerificationMode::Exact, |entry| entry.mode())
    }

    /// SPEC V6, V9: an approval has the form of the profile's class, and what it measured is of that class.
    pub(crate) fn check_vote(&self, profile: ProfileId, vote: &VerdictVote) -> Result<(), Rejection> {
        let is_measured = self.is_measured(profile);
        let is_of_class = |statistics| self.class_of(profile).is_some_and(|class| class.gives(statistics));
        match vote {
            VerdictVote::Valid { .. } if is_measured => Err(Rejection::VoteForm { expected: "measured" }),
            VerdictVote::Measured { .. } if !is_measured => Err(Rejection::VoteForm { expected: "valid" }),
            VerdictVote::Measured { statistics, .. } if !is_of_class(statistics) => {
                Err(Rejection::OutOfBounds { field: "statistics" })
            }
            VerdictVote::Valid { .. }
            | VerdictVote::Measured { .. }
            | VerdictVote::Invalid { .. }
            | VerdictVote::Unavailable => Ok(()),
        }
    }

    /// True when what a drawn committee measured concerns a suspect worker, or would make it one (SPEC V7). Of a convicted one it
    /// decides nothing any more.
    pub(crate) fn is_doubtful(&self, worker: NodeId, profile: ProfileId, members: &[Member]) -> bool {
        let (Some(bets), Some(measured)) = (self.bets_of(profile), agreeing(members).1) else {
            return false;
        };
        let suspicion = self.suspicion(worker, profile);
        let mut test = self.conduct(worker, profile).map(|conduct| conduct.test.clone()).unwrap_or_default();
        test.judge(&bets, &measured);
        suspicion != Suspicion::Convicted && suspicion.max(test.suspicion(&bets)) > Suspicion::None
    }

    /// Final segments of a worker on a profile, ascending.
    fn finals_of(&self, worker: NodeId, profile: ProfileId) -> Vec<(SegmentId, Segment)> {
        let is_one = |segment: &Segment| {
            (segment.worker, segment.profile) == (worker, profile)
                && matches!(segment.state, SegmentState::Final { .. })
        };
        let finals = self.segments.iter().filter(|(_, segment)| is_one(segment));
        finals.map(|(id, segment)| (*id, segment.clone())).collect()
    }
}

impl Block {
    /// SPEC V7: what a committee agreed on is one step of the worker's test. True when it convicts the worker.
    pub(crate) fn fold(&mut self, id: SegmentId, segment: &Segment, measured: &ReplayStatistics) -> bool {
        let (worker, profile) = (segment.worker, segment.profile);
        let Some(bets) = self.state.bets_of(profile) else { return false };
        let mut conduct = self.state.conduct(worker, profile).cloned().unwrap_or_default();
        let before = conduct.suspicion;
        conduct.test.judge(&bets, measured);
        let suspicion = conduct.test.suspicion(&bets);
        let judged = conduct.test.steps();
        conduct.suspicion = suspicion;
        self.state.conducts.insert((worker, profile), conduct);
        if suspicion != before {
            self.events.push(Event::SuspicionChanged { worker, profile, suspicion, judged });
            match suspicion {
                Suspicion::None => self.release_pay(worker, profile),
                Suspicion::Suspect => {}
                Suspicion::Convicted => self.bar_from_profile(id, segment, before),
            }
        }
        suspicion == Suspicion::Convicted
    }

    /// A final segment's time to be paid has come. True when it waits on, or is gone: its worker is suspect, or barred.
    pub(crate) fn withholds_pay(&mut self, id: SegmentId, segment: &Segment) -> bool {
        let SegmentState::Final { settles_at_ms, held_until_ms, .. } = &segment.state else { return false };
        match self.state.suspicion(segment.worker, segment.profile) {
            Suspicion::None => false,
            // It was in dispute when the rest was rejected.
            Suspicion::Convicted => {
                self.reject(id, segment, RejectReason::Statistics);
                true
            }
            Suspicion::Suspect => {
                let wait_ms = self.state.meta().parameters.suspicion_ms;
                let until_ms = held_until_ms.unwrap_or_else(|| settles_at_ms.saturating_add(wait_ms));
                let waits = self.now_ms < until_ms;
                if waits {
                    self.hold_pay(id, segment.clone(), Some(until_ms));
                }
                waits
            }
        }
    }

    fn hold_pay(&mut self, id: SegmentId, mut segment: Segment, until_ms: Option<u64>) {
        if let SegmentState::Final { held_until_ms, .. } = &mut segment.state {
            *held_until_ms = until_ms;
            self.state.set_segment(id, Some(segment));
        }
    }

    /// The worker is not suspect any more: what waited for that is due.
    fn release_pay(&mut self, worker: NodeId, profile: ProfileId) {
        for (id, segment) in self.state.finals_of(worker, profile) {
            self.hold_pay(id, segment, None);
        }
    }

    /// SPEC V7: the worker is convicted, and leaves the profile for ever. What is final and not due yet is not paid.
    fn bar_from_profile(&mut self, id: SegmentId, segment: &Segment, before: Suspicion) {
        let (worker, profile) = (segment.worker, segment.profile);
        // SPEC V9: of a foreign profile the bar is all. Nobody measured how far honest servers are from each other.
        let slash = (!self.state.is_foreign(profile)).then(|| self.slash_statistics(segment, id));
        if let Some(conduct) = self.state.conducts.get_mut(&(worker, profile)) {
            conduct.slash = slash;
        }
        let leases: Vec<LeaseId> = self
            .state
            .leases
            .iter()
            .filter(|(_, lease)| {
                (lease.worker, lease.terms.profile) == (worker, profile) && lease.state == LeaseState::Active
            })
            .map(|(id, _)| *id)
            .collect();
        for lease in leases {
            self.end_lease(lease, LeaseEnd::Fault);
        }
        self.state.offers.remove(&(profile, worker));
        let wait_ms = if before == Suspicion::Suspect { self.state.meta().parameters.suspicion_ms } else { 0 };
        for (id, segment) in self.state.finals_of(worker, profile) {
            let SegmentState::Final { approval, settles_at_ms, held_until_ms } = &segment.state else { continue };
            if self.now_ms < held_until_ms.unwrap_or_else(|| settles_at_ms.saturating_add(wait_ms)) {
                self.reject(id, &segment, RejectReason::Statistics);
            } else {
                // Due in this block, which handles what is due at its end.
                self.settle(id, &segment, approval);
            }
        }
    }

    /// SPEC S2, V7: an overturned slash lifts the bar, and the worker's test begins anew.
    pub(crate) fn forget_conviction(&mut self, slash: u64) {
        let convicted = self.state.conducts.iter().find(|(_, conduct)| conduct.slash == Some(slash));
        let Some((worker, profile)) = convicted.map(|(key, _)| *key) else { return };
        self.state.conducts.remove(&(worker, profile));
        self.events.push(Event::SuspicionChanged { worker, profile, suspicion: Suspicion::None, judged: 0 });
    }
}
