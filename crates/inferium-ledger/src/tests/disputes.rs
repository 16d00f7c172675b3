//! Doubts about what was approved: SPEC V4.

use super::support::*;
use crate::{Phase, Rejection, SegmentState, Stage};
use inferium_types::{
    Amount, Event, LeaseId, NodeId, Parameters, Ppm, RejectReason, SegmentId, SlashRule, TransactionBody, VerdictVote,
};

const BOND: u64 = 10 * IFR;

fn dispute(segment: SegmentId) -> TransactionBody {
    TransactionBody::OpenDispute { segment }
}

#[derive(Clone)]
struct Case {
    chain: Chain,
    lease: LeaseId,
    segment: SegmentId,
    approvers: Vec<String>,
    settles_at_ms: u64,
}

/// Nine validators, of which two approved a segment of `w0` for `g0`.
fn approved() -> Case {
    let case = approved_of(1, false);
    assert_eq!(case.approvers.len(), 2);
    case
}

/// The same of so many jobs, and of a worker of record.
fn approved_of(jobs: u32, is_of_record: bool) -> Case {
    // One seat is a tenth of all stake: that alone must not pause the profile (S5).
    let parameters = Parameters { profile_slash_max: Ppm::new(333_333), ..feeless(4) };
    let mut chain = Chain::with(9, parameters).furnished(1);
    for index in 0..9 {
        let name = format!("v{index}");
        chain.ok("x9", TransactionBody::Transfer { to: id(&name), amount: Amount::from_ifr(100) });
    }
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    if is_of_record {
        chain.state.records.insert((id("w0"), chain.profile()), record_of(10_000, 10_000_000, 0));
    }
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(jobs, 1_000, 500));
    let approvers = chain.draw(segment);
    chain.vote(segment, &approvers, valid());
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    Case { chain, lease, segment, approvers, settles_at_ms }
}

impl Case {
    /// A validator that did not judge it.
    fn outsider(&self) -> String {
        (0..9).map(|index| format!("v{index}")).find(|name| !self.approvers.contains(name)).unwrap()
    }

    /// `challenger` disputes it, and the court is drawn; its members.
    fn court(&mut self, challenger: &str) -> Vec<String> {
        let events = self.chain.ok(challenger, dispute(self.segment));
        let bond = Amount::from_nano(BOND);
        let opened = Event::DisputeOpened { segment: self.segment, challenger: id(challenger), bond };
        assert!(events.contains(&opened), "{events:?}");
        self.chain.draw(self.segment)
    }

    fn settlements(&self) -> usize {
        let settled = |event: &&Event| matches!(event, Event::SegmentApproved(outcome) if outcome.settled && outcome.segment == self.segment);
        self.chain.history.iter().filter(settled).count()
    }

    fn stage(&self) -> Option<Stage> {
        match self.chain.state.segment(&self.segment)?.state {
            SegmentState::Judging { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// Votes of some; they are shown once all members are bound.
    fn say(&mut self, members: &[String], vote: VerdictVote) {
        self.chain.vote(self.segment, members, vote);
    }

    /// Votes of all: some, and the rest.
    fn say_both(&mut self, some: (&[String], VerdictVote), rest: (&[String], VerdictVote)) {
        let both =
            some.0.iter().map(|name| (name.as_str(), some.1)).chain(rest.0.iter().map(|name| (name.as_str(), rest.1)));
        self.chain.cast(self.segment, &both.collect::<Vec<_>>());
    }

    fn closed(&self, challenger: &str, upheld: bool, returned: u64) -> Event {
        let returned = Amount::from_nano(returned);
        Event::DisputeClosed { segment: self.segment, challenger: id(challenger), upheld, returned }
    }
}

fn slashed(chain: &Chain) -> Vec<(NodeId, SlashRule)> {
    let slashes = chain.history.iter().filter_map(|event| match event {
        Event::Slashed(slash) => Some((slash.node, slash.rule)),
        _ => None,
    });
    slashes.collect()
}

#[test]
fn gateway_or_any_validator_disputes_and_no_one_else() {
    let case = approved();
    let refused = Rejection::NotAllowed { expected: "the segment's gateway or a validator" };
    for stranger in ["w0", "g1", "x0"] {
        case.chain.fails(stranger, dispute(case.segment), &refused);
    }
    for name in ["g0".to_owned(), case.outsider(), case.approvers[0].clone()] {
        let mut chain = case.chain.clone();
        let before = chain.balance(&name);
        chain.ok(&name, dispute(case.segment));
        assert_eq!(before - chain.balance(&name), BOND);
        assert_eq!(chain.state.segment(&case.segment).unwrap().dispute.as_ref().unwrap().bond.nano(), BOND);
    }
}

#[test]
fn bond_must_be_there_to_the_last_nano() {
    let case = approved();
    for (left, is_enough) in [(BOND - 1, false), (BOND, true)] {
        let mut chain = case.chain.clone();
        let amount = Amount::from_nano(chain.balance("g0") - left);
        chain.ok("g0", TransactionBody::Transfer { to: id("x0"), amount });
        if is_enough {
            chain.ok("g0", dispute(case.segment));
            assert_eq!(chain.balance("g0"), 0);
        } else {
            let (needed, available) = (Amount::from_nano(BOND), Amount::from_nano(left));
            chain.fails("g0", dispute(case.segment), &Rejection::Insufficient { needed, available });
        }
    }
}

#[test]
fn only_what_is_final_is_disputed_and_once() {
    let mut case = approved();
    let early = Rejection::WrongState { what: "a dispute about a segment that is not final" };
    let segment = case.chain.commit(case.lease, totals(1, 10, 10));
    case.chain.fails("g0", dispute(segment), &early);
    case.chain.draw(segment);
    case.chain.fails("g0", dispute(segment), &early);
    let unknown = SegmentId::new(inferium_types::Digest::ZERO);
    case.chain.fails("g0", dispute(unknown), &Rejection::Unknown { what: "segment" });
    let court = case.court("g0");
    case.chain.fails(&case.outsider(), dispute(case.segment), &early);
    case.say(&court, valid());
    assert!(matches!(case.chain.state.segment(&case.segment).unwrap().state, SegmentState::Final { .. }));
    for name in ["g0".to_owned(), case.outsider()] {
        case.chain.fails(&name, dispute(case.segment), &Rejection::Exists { what: "dispute" });
    }
}

/// SPEC V4: in the block at the end of the window a dispute still counts, in the next it does not.
#[test]
fn dispute_comes_before_the_pay_to_the_millisecond() {
    for (late_ms, is_taken) in [(0, true), (1, false)] {
        let mut case = approved();
        case.chain.wait_until(case.settles_at_ms - 1);
        if !is_taken {
            case.chain.block_at(case.settles_at_ms);
        }
        let transaction = case.chain.tx("g0", dispute(case.segment));
        let mut environment = case.chain.environment();
        environment.timestamp_ms = case.settles_at_ms + late_ms;
        let events = case.chain.block_in(&environment, &[transaction]).unwrap();
        let failed = events.iter().any(|event| matches!(event, Event::TransactionFailed { .. }));
        assert_eq!(failed, !is_taken);
        assert_eq!(case.settlements(), usize::from(!is_taken));
    }
}

/// SPEC C4, V4: drawn with the seed two views on, larger than the committee, and for all jobs.
#[test]
fn court_is_drawn_with_the_bound_seed() {
    let mut case = approved();
    case.chain.carries_seeds = false;
    case.chain.ok("g0", dispute(case.segment));
    let view = case.chain.view;
    assert_eq!(case.chain.state.wanted_views(), [view + 2]);
    let mut seen = std::collections::BTreeSet::new();
    for world in 0..8 {
        let mut chain = case.chain.clone();
        for (at, drawn) in [(view + 1, false), (view + 3, false), (view + 2, true)] {
            let mut environment = chain.environment();
            environment.seeds = vec![seed_of(at, &world.to_string())];
            chain.block_in(&environment, &[]).unwrap();
            assert_eq!(!chain.committee(case.segment).is_empty(), drawn);
        }
        let SegmentState::Judging { members, stage, replay, .. } = &chain.state.segment(&case.segment).unwrap().state
        else {
            panic!("judging")
        };
        assert_eq!((members.len(), *stage, *replay), (7, Stage::Court, Ppm::ONE));
        seen.insert(chain.committee(case.segment));
    }
    assert!(seen.len() > 4, "{} of 8 courts differ", seen.len());
}

/// SPEC V4: half of the bond is the court's, half the worker's with what does not divide; the
/// segment stands, and is paid once.
#[test]
fn dismissed_dispute_costs_its_bond() {
    let mut case = approved();
    let unsettled = case.chain.state.node(&id("w0")).unwrap().unsettled;
    let court = case.court("g0");
    let (worker, gateway) = (case.chain.balance("w0"), case.chain.balance("g0"));
    let members: Vec<u64> = court.iter().map(|name| case.chain.balance(name)).collect();
    // One that rejects, and one that finds no evidence.
    let said = [invalid()].into_iter().chain([valid(); 5]).chain([VerdictVote::Unavailable]);
    let votes: Vec<_> = court.iter().zip(said).map(|(name, vote)| (name.as_str(), vote)).collect();
    case.chain.cast(case.segment, &votes);
    assert!(case.chain.events.contains(&case.closed("g0", false, 0)), "{:?}", case.chain.events);
    assert_eq!(slashed(&case.chain), [(id(&court[0]), SlashRule::WrongRejection)]);
    let part = BOND / 2 / 5;
    for (name, before) in court.iter().zip(members) {
        let is_paid = court[1..6].contains(name);
        assert_eq!(case.chain.balance(name) - before, if is_paid { part } else { 0 }, "{name}");
    }
    assert_eq!(case.chain.balance("w0") - worker, BOND - 5 * part);
    assert_eq!(case.chain.balance("g0"), gateway);
    let entry = case.chain.state.segment(&case.segment).unwrap().clone();
    let SegmentState::Final { approval, settles_at_ms, .. } = entry.state else { panic!("final") };
    let mut expected: Vec<NodeId> = case.approvers.iter().map(|name| id(name)).collect();
    expected.sort_unstable();
    assert_eq!((approval.approvers, approval.replayed), (expected, Ppm::ONE), "as it was");
    // The outvoted member has time to challenge it (SPEC V11).
    let challenge_ms = case.chain.state.meta().parameters.challenge_ms;
    assert_eq!(settles_at_ms, case.settles_at_ms.max(case.chain.now_ms + challenge_ms));
    assert_eq!((entry.dispute, entry.disputed), (None, true));
    // Its pay waited all the time.
    assert_eq!(case.chain.state.node(&id("w0")).unwrap().unsettled, unsettled);
    case.chain.wait_until(settles_at_ms);
    case.chain.blocks(30);
    assert_eq!((case.settlements(), case.chain.state.segment(&case.segment)), (1, None));
    assert!(case.chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
}

/// What does not divide among seven is the worker's.
#[test]
fn bond_is_shared_to_the_last_nano() {
    let mut case = approved();
    let court = case.court("g0");
    let worker = case.chain.balance("w0");
    case.say(&court, valid());
    assert_eq!(case.chain.balance("w0") - worker, BOND - 7 * (BOND / 2 / 7));
}

/// SPEC V4, S: the worker pays as for any wrong result, who approved loses everything, the fee goes
/// back, and so does the bond.
#[test]
fn upheld_dispute_convicts_worker_and_approvers() {
    let mut case = approved();
    let outsider = case.outsider();
    let stakes = [case.chain.stake("w0"), case.chain.stake(&case.approvers[0])];
    let before = case.chain.balance(&outsider);
    let court = case.court(&outsider);
    let others: Vec<String> = court.iter().filter(|name| !case.approvers.contains(name)).cloned().collect();
    let own: Vec<String> = court.iter().filter(|name| case.approvers.contains(name)).cloned().collect();
    // Who approved it first changes its mind: that helps nobody.
    case.say_both((&own, invalid()), (&others, invalid()));
    assert_eq!(case.chain.state.segment(&case.segment), None);
    assert!(case.chain.history.contains(&case.closed(&outsider, true, BOND)));
    assert_eq!(case.chain.balance(&outsider), before);
    let rejected = |event: &Event| {
        matches!(event, Event::SegmentRejected { segment, reason: RejectReason::ProvenWrong { .. }, .. }
            if *segment == case.segment)
    };
    assert!(case.chain.history.iter().any(rejected));
    assert_eq!(case.chain.stake("w0"), stakes[0] - stakes[0] / 10);
    for name in &case.approvers {
        assert_eq!(case.chain.stake(name), 0);
        assert!(case.chain.state.node(&id(name)).unwrap().disqualified);
    }
    let mut rules = slashed(&case.chain);
    rules.sort();
    let mut expected: Vec<_> = case.approvers.iter().map(|name| (id(name), SlashRule::WrongApproval)).collect();
    expected.push((id("w0"), SlashRule::WrongResult));
    expected.sort();
    assert_eq!(rules, expected);
    for (_, hold) in case.chain.state.holds() {
        assert!(hold.provers.contains(&id(&outsider)), "who doubted proved it");
        assert!(case.approvers.iter().all(|name| !hold.provers.contains(&id(name))));
        assert!(hold.provers.is_sorted());
    }
    // It is never paid, and all that was locked is free.
    case.chain.blocks(60);
    assert_eq!((case.settlements(), case.chain.state.leases().count()), (0, 0));
    assert!(case.chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    let refund = case.chain.history.iter().find_map(|event| match event {
        Event::LeaseClosed { lease, refund, .. } if *lease == case.lease => Some(refund.nano()),
        _ => None,
    });
    assert_eq!(refund, Some(2_000 * 100_000 + 60_000), "everything: it ended by the worker's fault");
}

/// SPEC V2, V4: first approvers attested the jobs that were drawn for them, and no other.
#[test]
fn first_approvers_answer_for_the_jobs_that_they_were_to_replay() {
    // A worker of record, of whose jobs few are replayed.
    let case = approved_of(40, true);
    let SegmentState::Final { approval, .. } = case.chain.state.segment(&case.segment).unwrap().state.clone() else {
        panic!("final")
    };
    let draws = |job: u32, share: u32| case.segment.draws_job(&approval.seed, job, Ppm::new(share));
    let undrawn = (0..40).find(|job| !draws(*job, approval.replayed.get())).unwrap();
    let first = (0..=1_000_000).find(|share| draws(undrawn, *share)).unwrap();
    for (share, is_drawn) in [(approval.replayed.get(), false), (first - 1, false), (first, true)] {
        let mut case = case.clone();
        let mut segment = case.chain.state.segment(&case.segment).unwrap().clone();
        let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
        approval.replayed = Ppm::new(share);
        case.chain.state.set_segment(case.segment, Some(segment));
        let stakes: Vec<u64> = case.approvers.iter().map(|name| case.chain.stake(name)).collect();
        let court = case.court("g0");
        let fault = inferium_types::JobFault::Token;
        case.say(&court, VerdictVote::Invalid { job: undrawn, fault });
        assert_eq!(case.chain.state.segment(&case.segment), None);
        for (name, stake) in case.approvers.iter().zip(stakes) {
            assert_eq!(case.chain.stake(name), if is_drawn { 0 } else { stake });
            assert_eq!(case.chain.state.node(&id(name)).unwrap().disqualified, is_drawn);
        }
        let approvals = slashed(&case.chain).into_iter().filter(|(_, rule)| *rule == SlashRule::WrongApproval);
        assert_eq!(approvals.count(), if is_drawn { case.approvers.len() } else { 0 });
        assert!(slashed(&case.chain).contains(&(id("w0"), SlashRule::WrongResult)));
    }
}

/// Who approved what it then doubts gets no part of anyone's stake for it, its own least of all.
#[test]
fn approver_that_doubts_itself_is_no_prover() {
    let mut case = approved();
    let approver = case.approvers[0].clone();
    let court = case.court(&approver);
    case.say(&court, invalid());
    assert_eq!(case.chain.state.segment(&case.segment), None);
    assert!(case.chain.history.contains(&case.closed(&approver, true, BOND)));
    assert!(case.chain.state.node(&id(&approver)).unwrap().disqualified);
    assert_eq!(case.chain.state.holds().count(), 3);
    assert!(case.chain.state.holds().all(|(_, hold)| !hold.provers.contains(&id(&approver))));
}

/// A court that can't decide becomes everyone; what they can't decide stands, and costs nothing.
#[test]
fn dispute_without_a_decision_changes_nothing() {
    let mut case = approved();
    let before = case.chain.balance("g0");
    let court = case.court("g0");
    // Seven split: four, three.
    case.say(&court[..4], valid());
    assert_eq!(case.stage(), Some(Stage::Court));
    case.say_both((&court[4..6], invalid()), (&court[6..], VerdictVote::Unavailable));
    assert_eq!(case.stage(), Some(Stage::FullCourt));
    assert_eq!(case.chain.committee(case.segment).len(), 9);
    let rest = case.chain.silent_members(case.segment);
    assert_eq!(rest.len(), 2);
    case.say(&rest, VerdictVote::Unavailable);
    assert!(case.chain.history.contains(&case.closed("g0", false, BOND)));
    assert_eq!(case.chain.balance("g0"), before);
    assert_eq!(slashed(&case.chain), []);
    case.chain.blocks(60);
    assert_eq!(case.settlements(), 1);
}

#[test]
fn court_that_stays_silent_missed_its_duty_and_the_segment_stands() {
    let mut case = approved();
    let before = case.chain.balance("g0");
    let court = case.court("g0");
    while case.stage() == Some(Stage::Court) {
        case.chain.blocks(1);
    }
    assert_eq!(case.stage(), Some(Stage::FullCourt));
    assert_eq!(slashed(&case.chain).len(), court.len());
    while case.stage() == Some(Stage::FullCourt) {
        case.chain.blocks(1);
    }
    assert_eq!(slashed(&case.chain).len(), court.len() + 9);
    assert!(slashed(&case.chain).iter().all(|(_, rule)| *rule == SlashRule::MissedDuty));
    assert_eq!(case.chain.balance("g0"), before);
    case.chain.blocks(60);
    assert_eq!(case.settlements(), 1);
}

/// What a court left open everyone decides: 7 of 9 are more than two thirds, 6 are not. Who got no evidence counts with who
/// found it wrong (V3).
#[test]
fn full_court_decides_by_two_thirds_of_all() {
    let none = VerdictVote::Unavailable;
    for (more, others, is_upheld) in [(3, valid(), true), (2, valid(), false), (2, none, true), (0, none, true)] {
        let mut case = approved();
        let court = case.court("g0");
        case.say(&court[..4], invalid());
        while case.chain.phase(case.segment) == Some(Phase::Committing) {
            case.chain.blocks(1);
        }
        case.chain.reveal(case.segment);
        // Votes stay; who missed its duty may still do it.
        let rest = case.chain.silent_members(case.segment);
        assert_eq!((case.stage(), rest.len()), (Some(Stage::FullCourt), 5));
        case.say_both((&rest[..more], invalid()), (&rest[more..], others));
        assert!(case.chain.history.contains(&case.closed("g0", is_upheld, BOND)), "{more}");
        assert_eq!(case.chain.state.segment(&case.segment).is_none(), is_upheld);
    }
}

/// Without anyone who could judge, it stands.
#[test]
fn dispute_without_a_seed_is_given_up() {
    let mut case = approved();
    let before = case.chain.balance("g0");
    case.chain.ok("g0", dispute(case.segment));
    case.chain.carries_seeds = false;
    let until_ms = case.chain.now_ms + 3 * case.chain.parameters().verdict_ms;
    case.chain.wait_until(until_ms - 1);
    assert_eq!(case.chain.balance("g0"), before - BOND);
    case.chain.wait_until(until_ms);
    assert_eq!(case.chain.balance("g0"), before);
    assert!(case.chain.events.contains(&case.closed("g0", false, BOND)));
    case.chain.blocks(2);
    assert_eq!(case.settlements(), 1);
}

/// Of a capability task the worker is its own gateway; it can't doubt itself for a prover's part.
#[test]
fn worker_disputes_nothing_of_its_own() {
    let mut case = approved();
    let body = TransactionBody::OpenAssessment { profile: profile(), report: report(inferium_types::Tier::Mid) };
    let transaction = case.chain.tx("w0", body);
    let lease = LeaseId::of_task(inferium_types::TaskId::new(transaction.id().digest()));
    case.chain.block(&[transaction]);
    let segment = case.chain.approve(lease, totals(2, 10, 10));
    let refused = Rejection::NotAllowed { expected: "the segment's gateway or a validator" };
    case.chain.fails("w0", dispute(segment), &refused);
    case.chain.ok(&case.outsider(), dispute(segment));
}

/// SPEC V4: nobody judges its own doubt.
#[test]
fn a_challenger_is_not_of_its_court() {
    let mut case = approved();
    let challenger = case.outsider();
    let court = case.court(&challenger);
    assert_eq!(court.len(), 7);
    assert!(!court.contains(&challenger));
    // Nor when all are asked.
    case.say_both((&court[..4], valid()), (&court[4..], invalid()));
    let all = case.chain.committee(case.segment);
    assert!(all.len() == 8 && !all.contains(&challenger), "{all:?}");
}

/// SPEC V11: who was outvoted in a court may challenge, and has time for it.
#[test]
fn outvoted_members_of_a_court_have_time_to_challenge() {
    let mut case = approved();
    let court = case.court("g0");
    let (against, rest) = court.split_at(2);
    let against = against.to_vec();
    let late_ms = case.settles_at_ms - 1_000;
    case.chain.wait_until(late_ms);
    case.say_both((&against, invalid()), (rest, valid()));
    let SegmentState::Final { approval, settles_at_ms, .. } = &case.chain.state.segment(&case.segment).unwrap().state
    else {
        panic!("final")
    };
    let VerdictVote::Invalid { job, .. } = invalid() else { panic!("a job") };
    let mut expected: Vec<(NodeId, u32)> = against.iter().map(|name| (id(name), job)).collect();
    expected.sort();
    assert_eq!(approval.rejections, expected);
    assert_eq!(*settles_at_ms, case.chain.now_ms + case.chain.parameters().challenge_ms);
}
