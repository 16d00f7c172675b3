//! Tolerance profiles: approvals that say what was measured, and what all of them say of a worker. SPEC T2, V6, V7, S.

use super::support::*;
use crate::{LeaseState, Listing, Obstacle, Opening, Rejection, SegmentState, Stage};
use inferium_sampling::{Bets, SequentialTest, mean_bets};
use inferium_types::{
    Amount, Calibration, ClippedSum, Digest, EngineClass, Event, JobFault, KindCount, LeaseEnd, LeaseId, ModelProfile,
    OfferTerms, POSITION_KINDS, Parameters, Ppm, ProposalAction, ProposalOutcome, RejectReason, ReplayStatistics,
    SegmentId, SlashRule, Suspicion, TaskTerms, Tier, TransactionBody, VerdictVote, VerificationMode,
};

/// Of 100 positions, 9 flips make an unknown worker suspect, and 12 convict it.
const SUSPECT: u32 = 9;
const CONVICTED: u32 = 12;

/// Honest engines flip 1 % at most, a cheat 20 %.
pub(super) fn calibration() -> Calibration {
    Calibration {
        corpus: Digest::ZERO,
        positions: 10_000,
        flips: [Ppm::new(10_000); POSITION_KINDS],
        alternatives: vec![[Ppm::new(200_000); POSITION_KINDS]],
        bad_margin_micro: 500_000,
        bad: Ppm::new(1_000),
        bad_correlation: Ppm::new(1_000),
        logprob_clip_micro: 1_000_000,
        logprob_mean: Ppm::new(100_000),
        sketch_clip_micro: 1_000_000,
        sketch_mean: Ppm::new(100_000),
        sketch_gross_micro: 3_000_000,
    }
}

pub(super) fn tolerance() -> ModelProfile {
    let engine = EngineClass::Tolerance { verifier: Digest::ZERO, calibration: calibration() };
    ModelProfile { engine, ..model("tolerance") }
}

/// What replays of 100 positions measured: so many flips, and half of what is honest of all else.
pub(super) fn statistics(flips: u32) -> ReplayStatistics {
    let sum = |count, sum_ppm, honest| {
        let sum = ClippedSum { count, sum_ppm, ..ClippedSum::default() };
        ClippedSum { bets: mean_bets(&sum, honest), ..sum }
    };
    let Calibration { logprob_mean, sketch_mean, .. } = calibration();
    let mut statistics = ReplayStatistics {
        logprobs: sum(100, 5_000_000, logprob_mean),
        sketches: sum(16, 800_000, sketch_mean),
        ..ReplayStatistics::default()
    };
    statistics.kinds[0] = KindCount { positions: 100, flips };
    statistics
}

pub(super) fn measured(flips: u32) -> VerdictVote {
    VerdictVote::Measured { effort: Digest::ZERO, statistics: statistics(flips) }
}

/// A chain that leases a tolerance profile; six validators.
pub(super) fn tolerant(parameters: Parameters) -> Chain {
    let mut chain = Chain::with(6, parameters);
    chain.model = tolerance();
    chain.furnished(2)
}

fn quiet() -> Chain {
    // Whatever is slashed, the profile goes on.
    tolerant(Parameters { profile_slash_max: Ppm::new(333_333), ..devnet(6) })
}

/// Commits a segment of a lease, and everyone who is asked votes this.
pub(super) fn judged(chain: &mut Chain, lease: LeaseId, vote: VerdictVote) -> SegmentId {
    let segment = chain.commit(lease, totals(1, 10, 10));
    chain.draw(segment);
    chain.vote_rest(segment, vote);
    segment
}

pub(super) fn suspicion(chain: &Chain) -> Suspicion {
    chain.state.suspicion(id("w0"), chain.profile())
}

fn settles_at_ms(chain: &Chain, segment: SegmentId) -> u64 {
    match chain.state.segment(&segment).unwrap().state {
        SegmentState::Final { settles_at_ms, .. } => settles_at_ms,
        _ => panic!("final"),
    }
}

pub(super) fn rejected(chain: &Chain, segment: SegmentId) -> Option<RejectReason> {
    chain.history.iter().find_map(|event| match event {
        Event::SegmentRejected { segment: of, reason, .. } if *of == segment => Some(*reason),
        _ => None,
    })
}

fn is_paid(chain: &Chain, segment: SegmentId) -> bool {
    let is_it = |event: &Event| matches!(event, Event::SegmentApproved(of) if of.segment == segment && of.settled);
    chain.history.iter().any(is_it)
}

fn slashes(chain: &Chain) -> Vec<(String, SlashRule)> {
    let slashed = chain.history.iter().filter_map(|event| match event {
        Event::Slashed(slash) => Some((chain.name(&slash.node), slash.rule)),
        _ => None,
    });
    slashed.collect()
}

fn changes(chain: &Chain) -> Vec<(Suspicion, u64)> {
    let changes = chain.history.iter().filter_map(|event| match event {
        Event::SuspicionChanged { suspicion, judged, .. } => Some((*suspicion, *judged)),
        _ => None,
    });
    changes.collect()
}

// Modes and votes.

#[test]
fn a_task_is_verified_as_its_profile_is() {
    let mut chain = quiet();
    chain.lease();
    let open = |mode| TransactionBody::OpenTask { terms: TaskTerms { mode, ..chain.terms() } };
    let refused = Rejection::Mode { expected: "sampled", found: "exact" };
    chain.fails("g0", open(VerificationMode::Exact), &refused);
    chain.fails("g0", open(VerificationMode::Replicated), &Rejection::NotServed { what: "replicated" });
    chain.fails("g0", open(VerificationMode::Zk), &Rejection::Mode { expected: "sampled", found: "zk" });
    let mut canonical = Chain::ready(1);
    canonical.lease();
    let terms = TaskTerms { mode: VerificationMode::Sampled, ..canonical.terms() };
    let refused = Rejection::Mode { expected: "exact", found: "sampled" };
    canonical.fails("g0", TransactionBody::OpenTask { terms }, &refused);
}

#[test]
fn approvals_have_the_form_of_the_profiles_class() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.bind(segment, &[(&members[0], valid())]);
    let refused = Rejection::VoteForm { expected: "measured" };
    chain.fails(&members[1], verdict(segment, valid()), &refused);
    let mut broken = statistics(1);
    broken.kinds[0].flips = 101;
    let vote = VerdictVote::Measured { effort: Digest::ZERO, statistics: broken };
    chain.fails(&members[1], verdict(segment, vote), &Rejection::OutOfBounds { field: "statistics" });
    // All of 100 positions flipped: that fits together.
    let mut all = chain.clone();
    all.ok(&members[1], verdict(segment, measured(100)));
    // What was committed to is looked at when it is shown.
    let body = chain.commitment(segment, &members[1], measured(0));
    chain.ok(&members[1], body);
    chain.fails(&members[0], reveal(segment, &members[0], valid()), &refused);
    chain.ok(&members[1], reveal(segment, &members[1], measured(0)));

    let mut canonical = Chain::ready(1);
    let lease = canonical.lease();
    let segment = canonical.commit(lease, totals(1, 10, 10));
    let members = canonical.draw(segment);
    canonical.bind(segment, &[(&members[0], measured(0))]);
    let refused = Rejection::VoteForm { expected: "valid" };
    canonical.fails(&members[1], verdict(segment, measured(0)), &refused);
}

/// SPEC V2, V6: a committee agrees on what it measured, and on what it was measured by; who alone says something else of
/// that loses nothing here.
#[test]
fn a_committee_agrees_on_statistics_and_on_efforts() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    assert_eq!(members.len(), 2);
    let by = |name: &str| VerdictVote::Measured { effort: Digest::sha256(name.as_bytes()), statistics: statistics(1) };
    chain.cast(segment, &[(&members[0], by("one")), (&members[1], by("one"))]);
    assert!(matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
    let doubted = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(doubted);
    chain.cast(doubted, &[(&members[0], by("one")), (&members[1], by("another"))]);
    chain.vote_rest(doubted, by("one"));
    assert!(matches!(chain.state.segment(&doubted).unwrap().state, SegmentState::Final { .. }));
    assert_eq!(slashes(&chain), []);
    let other = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(other);
    chain.cast(other, &[(&members[0], measured(1)), (&members[1], measured(2))]);
    assert!(matches!(chain.state.segment(&other).unwrap().state, SegmentState::Judging { stage: Stage::Widened, .. }));
}

/// A widened committee of six in which so many measured the same, one something else, and the rest find it wrong.
fn widened(same: usize) -> (Chain, SegmentId) {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.cast(segment, &[(&members[0], measured(1)), (&members[1], measured(2))]);
    let rest = chain.silent_members(segment);
    let votes = rest.iter().enumerate();
    let votes: Vec<_> =
        votes.map(|(at, name)| (name.as_str(), if at + 1 < same { measured(1) } else { invalid() })).collect();
    chain.cast(segment, &votes);
    (chain, segment)
}

/// SPEC V6: five of six seats are more than two thirds, four are not. Nobody loses anything by what it said.
#[test]
fn two_thirds_of_all_seats_must_measure_the_same() {
    let (chain, segment) = widened(5);
    let SegmentState::Final { approval, .. } = &chain.state.segment(&segment).unwrap().state else { panic!("final") };
    assert_eq!(approval.approvers.len(), 5, "who measured something else is none of them");
    assert_eq!(slashes(&chain), []);
    let (chain, segment) = widened(4);
    assert_eq!(rejected(&chain, segment), Some(RejectReason::Unresolved));
    assert_eq!(slashes(&chain), []);
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()), None, "nothing was agreed on");
}

#[test]
fn who_voted_otherwise_loses_the_pay_of_that_check_only() {
    let (mut chain, segment) = widened(5);
    let SegmentState::Final { approval, settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state.clone()
    else {
        panic!("final")
    };
    let outsider = (0..6).map(|at| format!("v{at}")).find(|name| !approval.approvers.contains(&id(name))).unwrap();
    let approver = chain.name(&approval.approvers[0]);
    let before = [&approver, &outsider].map(|name| (chain.balance(name), chain.stake(name)));
    chain.wait_until(settles_at_ms);
    assert!(is_paid(&chain, segment));
    let paid = chain.history.iter().find_map(|event| match event {
        Event::SegmentApproved(of) if of.settled => Some(of.to_each_approver.nano()),
        _ => None,
    });
    let after = [&approver, &outsider].map(|name| (chain.balance(name), chain.stake(name)));
    // The common part of all validators may have come to both meanwhile.
    assert_eq!((after[0].0 - before[0].0) - (after[1].0 - before[1].0), paid.unwrap());
    assert!(paid.unwrap() > 0);
    assert_eq!(after.map(|(_, stake)| stake), before.map(|(_, stake)| stake));
}

/// SPEC V6, S: a result proven wrong costs the worker as anywhere, and those who approved it nothing.
#[test]
fn wrong_results_convict_the_worker_and_no_validator() {
    for fault in [JobFault::Text, JobFault::Windows, JobFault::GrossTokens, JobFault::GrossSketches] {
        let mut chain = quiet();
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        let wrong = VerdictVote::Invalid { job: 0, fault };
        chain.cast(segment, &[(&members[0], measured(0)), (&members[1], wrong)]);
        chain.vote_rest(segment, wrong);
        assert_eq!(rejected(&chain, segment), Some(RejectReason::ProvenWrong { job: 0, fault }));
        assert_eq!(slashes(&chain), [("w0".to_owned(), SlashRule::WrongResult)]);
        assert_eq!(chain.stake("w0"), 900 * IFR);
        assert_eq!(chain.stake(&members[0]), chain.stake(&members[1]));
    }
}

#[test]
fn wrong_rejections_cost_nothing_and_silence_costs_as_ever() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    chain.draw(segment);
    let rejecter = chain.silent_members(segment)[0].clone();
    chain.dissent(segment, &rejecter, invalid(), measured(0));
    assert!(matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
    assert_eq!(slashes(&chain), []);
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.bind(segment, &[(&members[0], measured(0))]);
    let due_ms = chain.state.segment(&segment).unwrap().verdict_due_ms(chain.state.meta()).unwrap();
    while chain.now_ms < due_ms {
        chain.blocks(1);
    }
    chain.reveal(segment);
    assert_eq!(slashes(&chain), [(members[1].clone(), SlashRule::MissedDuty)]);
}

#[test]
fn no_planted_jobs_are_ordered_on_a_tolerance_profile() {
    let mut chain = tolerant(Parameters { forced_share: Ppm::new(200_000), ..devnet(6) });
    let lease = chain.lease_of(TaskTerms { tokens_max: 20_000, ..chain.terms() });
    let segment = chain.commit(lease, totals(1, 10, 10));
    assert_eq!(chain.state.segment(&segment).unwrap().opening, Opening::NotOwed);
}

// The test of a worker.

#[test]
fn what_committees_agree_on_is_a_step_of_the_workers_test() {
    let mut chain = quiet();
    let lease = chain.lease();
    let bets = Bets::new(&calibration());
    let mut test = SequentialTest::default();
    for flips in [0, 3, 1] {
        judged(&mut chain, lease, measured(flips));
        test.judge(&bets, &statistics(flips));
        let conduct = chain.state.conduct(id("w0"), chain.profile()).unwrap();
        assert_eq!((&conduct.test, conduct.suspicion, conduct.slash), (&test, Suspicion::None, None));
    }
    // What is not approved is no step.
    judged(&mut chain, lease, VerdictVote::Unavailable);
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()).unwrap().test, test);
    assert_eq!(changes(&chain), []);
    assert_eq!(chain.state.conducts().count(), 1);
}

#[test]
fn a_canonical_profile_has_no_test() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.approve(lease, totals(1, 10, 10));
    assert_eq!(chain.state.conducts().count(), 0);
    assert_eq!(suspicion(&chain), Suspicion::None);
}

/// SPEC V7: a dismissed dispute, whose court measured all jobs, counts nothing a second time.
#[test]
fn a_segment_is_one_step_whatever_becomes_of_it() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = judged(&mut chain, lease, measured(1));
    let before = chain.state.conduct(id("w0"), chain.profile()).cloned();
    chain.ok("g0", TransactionBody::OpenDispute { segment });
    chain.draw(segment);
    chain.vote_rest(segment, measured(7));
    assert!(chain.history.iter().any(|event| matches!(event, Event::DisputeClosed { upheld: false, .. })));
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()).cloned(), before);
    let at_ms = settles_at_ms(&chain, segment);
    chain.wait_until(at_ms);
    assert!(is_paid(&chain, segment));
}

#[test]
fn suspicion_begins_and_ends_at_its_limit() {
    for (flips, expected) in [
        (SUSPECT - 1, Suspicion::None),
        (SUSPECT, Suspicion::Suspect),
        (CONVICTED - 1, Suspicion::Suspect),
        (CONVICTED, Suspicion::Convicted),
    ] {
        let mut chain = quiet();
        let lease = chain.lease();
        judged(&mut chain, lease, measured(flips));
        assert_eq!(suspicion(&chain), expected, "{flips}");
        let told = if expected == Suspicion::None { vec![] } else { vec![(expected, 1)] };
        assert_eq!(changes(&chain), told);
    }
    let mut chain = quiet();
    let lease = chain.lease();
    judged(&mut chain, lease, measured(SUSPECT));
    judged(&mut chain, lease, measured(0));
    assert_eq!(changes(&chain), [(Suspicion::Suspect, 1), (Suspicion::None, 2)]);
}

/// What a drawn committee measured is not enough, either way: the rest of the court is asked.
#[test]
fn the_word_of_a_few_makes_nobody_suspect_and_clears_no_suspect() {
    let stage = |chain: &Chain, segment| match &chain.state.segment(&segment).unwrap().state {
        SegmentState::Judging { stage, .. } => Some(*stage),
        _ => None,
    };
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.vote(segment, &members, measured(CONVICTED));
    assert_eq!((suspicion(&chain), stage(&chain, segment)), (Suspicion::None, Some(Stage::Widened)));
    // The others measured nothing of the kind: no decision, and nobody pays.
    chain.vote_rest(segment, measured(0));
    assert_eq!((suspicion(&chain), rejected(&chain, segment)), (Suspicion::None, Some(RejectReason::Unresolved)));
    assert!(slashes(&chain).is_empty() && changes(&chain).is_empty());

    judged(&mut chain, lease, measured(SUSPECT));
    assert_eq!(suspicion(&chain), Suspicion::Suspect);
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.vote(segment, &members, measured(0));
    assert_eq!((suspicion(&chain), stage(&chain, segment)), (Suspicion::Suspect, Some(Stage::Widened)));
    chain.vote_rest(segment, measured(0));
    assert_eq!(suspicion(&chain), Suspicion::None);
    // Below suspicion a committee decides as ever.
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.vote(segment, &members, measured(1));
    assert_eq!(stage(&chain, segment), None);
    assert_eq!(rejected(&chain, segment), None);
}

#[test]
fn all_jobs_of_a_suspect_worker_are_replayed() {
    let mut chain = quiet();
    let lease = chain.lease();
    let veteran = record_of(1_000, 1_000_000, 0);
    chain.state.records.insert((id("w0"), chain.profile()), veteran);
    let replay = |chain: &mut Chain| {
        let segment = chain.commit(lease, totals(1, 10, 10));
        chain.draw(segment);
        let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else { panic!() };
        (segment, replay)
    };
    let (segment, share) = replay(&mut chain);
    assert_eq!(share, Ppm::new(50_000));
    chain.vote_rest(segment, measured(SUSPECT));
    assert_eq!(replay(&mut chain).1, Ppm::ONE);
}

/// SPEC V7: a suspect worker's pay waits for a minute beyond the challenge window, and comes then.
#[test]
fn pay_of_a_suspect_worker_waits_and_then_comes() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = judged(&mut chain, lease, measured(SUSPECT));
    let at_ms = settles_at_ms(&chain, segment);
    chain.wait_until(at_ms);
    assert!(!is_paid(&chain, segment));
    assert!(chain.state.why_segment(&segment).unwrap().contains("suspect"));
    let until_ms = at_ms + chain.parameters().suspicion_ms;
    chain.wait_until(until_ms - 1);
    assert!(!is_paid(&chain, segment));
    chain.block_at(until_ms);
    assert!(is_paid(&chain, segment) && suspicion(&chain) == Suspicion::Suspect);
}

#[test]
fn pay_comes_when_suspicion_is_over() {
    let mut chain = quiet();
    let lease = chain.lease();
    let held = judged(&mut chain, lease, measured(SUSPECT));
    let at_ms = settles_at_ms(&chain, held);
    judged(&mut chain, lease, measured(1));
    assert_eq!(suspicion(&chain), Suspicion::None);
    chain.wait_until(at_ms);
    assert!(is_paid(&chain, held), "it was never due while the worker was suspect");

    let mut chain = quiet();
    let lease = chain.lease();
    let held = judged(&mut chain, lease, measured(SUSPECT));
    let at_ms = settles_at_ms(&chain, held);
    chain.wait_until(at_ms + 1);
    assert!(!is_paid(&chain, held));
    let next = judged(&mut chain, lease, measured(0));
    assert!(is_paid(&chain, held), "in the block that ends the suspicion");
    assert!(!is_paid(&chain, next), "that has its own window");
}

/// A chain in which `w0` was convicted, and the lease that it had.
fn convicted() -> (Chain, LeaseId) {
    let mut chain = quiet();
    let lease = chain.lease();
    judged(&mut chain, lease, measured(0));
    judged(&mut chain, lease, measured(50));
    assert_eq!(suspicion(&chain), Suspicion::Convicted);
    (chain, lease)
}

#[test]
fn conviction_costs_a_fifth_of_the_stake_and_what_was_not_due() {
    let mut chain = quiet();
    let lease = chain.lease();
    let first = judged(&mut chain, lease, measured(SUSPECT));
    let at_ms = settles_at_ms(&chain, first);
    chain.wait_until(at_ms);
    let locked = chain.state.lease(&lease).unwrap().escrow;
    let second = judged(&mut chain, lease, measured(SUSPECT + 2));
    assert_eq!(suspicion(&chain), Suspicion::Convicted);
    assert_eq!(changes(&chain), [(Suspicion::Suspect, 1), (Suspicion::Convicted, 2)]);
    for segment in [first, second] {
        assert_eq!(rejected(&chain, segment), Some(RejectReason::Statistics), "held, or just final");
        assert!(!is_paid(&chain, segment));
    }
    assert_eq!(slashes(&chain), [("w0".to_owned(), SlashRule::Statistics)]);
    assert_eq!(chain.stake("w0"), 800 * IFR);
    let entry = chain.state.lease(&lease).unwrap();
    assert!(matches!(entry.state, LeaseState::Draining { end: LeaseEnd::Fault, .. }));
    assert_eq!((entry.escrow, entry.reserved, entry.segments_pending), (locked, Amount::ZERO, 0));
    assert!(chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    let node = chain.state.node(&id("w0")).unwrap();
    assert!(!node.disqualified && node.active_from_epoch <= chain.state.meta().epoch, "neither barred nor jailed");
    // SPEC V7: all of it burns.
    let burned = chain.state.meta().burned.nano();
    let until_ms = chain.now_ms + chain.parameters().slash_hold_ms;
    chain.wait_until(until_ms);
    assert_eq!(chain.state.meta().burned.nano() - burned, 200 * IFR);
}

#[test]
fn a_convicted_worker_leaves_that_profile_for_ever_and_no_other() {
    let (mut chain, lease) = convicted();
    assert_eq!(chain.state.offer(chain.profile(), id("w0")), None);
    let terms = OfferTerms { slots: 1, price: PRICE, context_tokens: 4_096, batches: true };
    let body = TransactionBody::SetOffer { profile: chain.profile(), terms };
    chain.fails("w0", body.clone(), &Rejection::BarredFromProfile);
    let assessed = TransactionBody::OpenAssessment { profile: chain.profile(), report: report(Tier::Mid) };
    chain.fails("w0", assessed, &Rejection::BarredFromProfile);
    let commitment = chain.segment(lease, totals(1, 10, 10));
    chain.fails("w0", TransactionBody::CommitSegment { commitment }, &Rejection::BarredFromProfile);
    // A task of that profile finds nobody, and says why.
    let terms = chain.terms();
    let (task, lease) = chain.open("g0", terms);
    assert_eq!(chain.state.lease(&lease), None);
    let why = chain.state.why_task(&task).unwrap();
    assert_eq!(why.len(), 1);
    assert_eq!((why[0].worker, &why[0].obstacles[..]), (id("w0"), &[Obstacle::Convicted][..]));
    assert_eq!(why[0].suspicion, Suspicion::Convicted);
    chain.ok("w1", body);
    assert!(chain.state.lease(&lease).is_some(), "another worker has it");
    // Another profile is no matter.
    chain.model = model("model");
    chain.declare_all();
    chain.lease();
}

/// SPEC V7: what is under way when the worker is convicted is judged, and not paid.
#[test]
fn nothing_of_a_convicted_worker_is_paid_later() {
    let mut chain = quiet();
    let lease = chain.lease();
    let disputed = judged(&mut chain, lease, measured(0));
    chain.ok("g0", TransactionBody::OpenDispute { segment: disputed });
    let under_way = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(under_way);
    judged(&mut chain, lease, measured(50));
    assert_eq!(suspicion(&chain), Suspicion::Convicted);
    let judged_before = chain.state.conduct(id("w0"), chain.profile()).unwrap().test.steps();
    chain.vote(under_way, &members, measured(60));
    assert_eq!(rejected(&chain, under_way), Some(RejectReason::Statistics));
    chain.vote_rest(disputed, measured(0));
    chain.blocks(40);
    assert_eq!(rejected(&chain, disputed), Some(RejectReason::Statistics));
    assert_eq!(slashes(&chain).len(), 1, "it is convicted once");
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()).unwrap().test.steps(), judged_before);
}

/// SPEC V7: what was due in the block that convicts its worker is paid, a millisecond later it would not be.
#[test]
fn what_is_due_when_the_worker_is_convicted_is_paid() {
    for (late_ms, is_due) in [(0, true), (1, false)] {
        let mut chain = quiet();
        let lease = chain.lease();
        let first = judged(&mut chain, lease, measured(0));
        let last = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(last);
        chain.vote(last, &members, measured(60));
        // A court has to say it, too.
        let others: Vec<String> =
            (0..6).map(|index| format!("v{index}")).filter(|name| !members.contains(name)).collect();
        let votes: Vec<(&str, VerdictVote)> = others.iter().map(|name| (name.as_str(), measured(60))).collect();
        let (name, body) = chain.last_reveal(last, &votes);
        let mut environment = chain.environment();
        environment.timestamp_ms = settles_at_ms(&chain, first) - late_ms;
        let transaction = chain.tx(&name, body);
        chain.block_in(&environment, &[transaction]).unwrap();
        assert_eq!(suspicion(&chain), Suspicion::Convicted);
        assert_eq!((is_paid(&chain, first), rejected(&chain, first).is_none()), (is_due, is_due));
    }
}

/// SPEC S2, V7: an appeal lifts the bar, and the test begins anew.
#[test]
fn an_overturned_conviction_is_forgotten() {
    let (mut chain, _) = convicted();
    let slash = chain.state.conduct(id("w0"), chain.profile()).unwrap().slash.unwrap();
    assert_eq!(chain.enact(ProposalAction::Restitute { slash }), ProposalOutcome::Executed);
    assert_eq!(chain.stake("w0"), 1_000 * IFR);
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()), None);
    assert_eq!(changes(&chain).last(), Some(&(Suspicion::None, 0)));
    let lease = chain.lease();
    let segment = judged(&mut chain, lease, measured(1));
    assert_eq!(suspicion(&chain), Suspicion::None);
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()).unwrap().test.steps(), 1);
    assert!(rejected(&chain, segment).is_none());
    judged(&mut chain, lease, measured(50));
    assert_eq!(slashes(&chain).iter().filter(|(_, rule)| *rule == SlashRule::Statistics).count(), 2);
}

#[test]
fn convictions_count_for_the_pause_of_a_profile() {
    let mut chain = tolerant(Parameters { profile_slash_max: Ppm::new(10_000), ..devnet(6) });
    let lease = chain.lease();
    // So much that a fifth of it is more than a hundredth of all.
    let mut node = chain.state.node(&id("w0")).unwrap().clone();
    let more = Amount::from_ifr(20_000);
    node.stake = node.stake.add(more).unwrap();
    chain.state.set_node(id("w0"), node);
    let meta = chain.state.meta_mut();
    meta.reward_pool = meta.reward_pool.sub(more).unwrap();
    judged(&mut chain, lease, measured(50));
    assert_eq!(chain.state.profile(&chain.profile()).unwrap().listing, Listing::Paused);
    assert!(chain.history.contains(&Event::ProfilePaused { profile: chain.profile() }));
}

/// SPEC N2, V7: a capability task on a tolerance profile is verified, and counts, as any work there.
#[test]
fn capability_tasks_are_steps_too() {
    for (flips, is_measured) in [(0, true), (50, false)] {
        let mut chain = quiet();
        let body = TransactionBody::OpenAssessment { profile: chain.profile(), report: report(Tier::Mid) };
        let transaction = chain.tx("w0", body);
        let lease = LeaseId::of_task(inferium_types::TaskId::new(transaction.id().digest()));
        chain.block(&[transaction]);
        assert_eq!(chain.state.lease(&lease).unwrap().terms.mode, VerificationMode::Sampled);
        judged(&mut chain, lease, measured(flips));
        let told = chain.history.iter().any(|event| matches!(event, Event::CapabilityMeasured { .. }));
        let tier = chain.state.capability(&id("w0")).unwrap().tier;
        assert_eq!((told, tier.is_some()), (is_measured, is_measured));
        assert_eq!(chain.state.conduct(id("w0"), chain.profile()).unwrap().test.steps(), 1);
    }
}
