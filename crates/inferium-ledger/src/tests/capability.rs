//! What machines can do, measured by the chain: SPEC N2, N3; and which tasks follow: T1, T2.

use super::slashing::proof;
use super::support::*;
use crate::{Rejection, SegmentState};
use inferium_types::{
    Amount, CapabilityReport, ClassifierReads, Event, JobTotals, LeaseId, ModelTask, Ppm, ProfileId, SegmentId, TaskId,
    TaskKind, TaskTerms, Tier, TransactionBody, VerificationMode, limits,
};

fn assessment(tier: Tier) -> TransactionBody {
    TransactionBody::OpenAssessment { profile: profile(), report: report(tier) }
}

/// A registered worker that was never measured.
fn unmeasured() -> Chain {
    Chain::ready(0).joined("w0")
}

impl Chain {
    fn joined(mut self, name: &str) -> Self {
        let operator = operator_of(name);
        self.ok(&operator, TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) });
        let body = self.registration(name, &operator, worker_role(name), Amount::from_ifr(1_000));
        self.ok(name, body);
        self
    }

    /// `name` asks for its capability task; the lease.
    fn begin(&mut self, name: &str, tier: Tier) -> LeaseId {
        let transaction = self.tx(name, assessment(tier));
        let lease = LeaseId::of_task(TaskId::new(transaction.id().digest()));
        let events = self.block(&[transaction]);
        let granted = |event: &Event| {
            matches!(event, Event::LeaseGranted { lease: of, worker, gateway, terms, .. }
                if *of == lease && *worker == id(name) && worker == gateway && terms.kind == TaskKind::Benchmark)
        };
        assert!(events.iter().any(granted), "{events:?}");
        lease
    }

    /// Commits the capability task so many milliseconds after its lease began.
    fn finish(&mut self, lease: LeaseId, totals: JobTotals, elapsed_ms: u64) -> SegmentId {
        let commitment = self.segment(lease, totals);
        let granted = self.state.lease(&lease).unwrap();
        let (worker, at_ms) = (self.name(&granted.worker), granted.granted_ms + elapsed_ms);
        let transaction = self.tx(&worker, TransactionBody::CommitSegment { commitment });
        let mut environment = self.environment();
        environment.timestamp_ms = at_ms;
        self.block_in(&environment, &[transaction]).unwrap();
        commitment.terms.id()
    }

    /// From the request to the measure.
    fn measure(&mut self, name: &str, tier: Tier, totals: JobTotals, elapsed_ms: u64) -> SegmentId {
        let lease = self.begin(name, tier);
        let segment = self.finish(lease, totals, elapsed_ms);
        let members = self.draw(segment);
        self.vote(segment, &members, valid());
        segment
    }

    fn tier(&self, name: &str) -> Option<Tier> {
        self.state.capability(&id(name)).and_then(|capability| capability.tier)
    }
}

/// Totals of so many work units: a token of an answer counts eight.
fn units(count: u64) -> JobTotals {
    totals(2, count % 8, count / 8)
}

// N2.

/// SPEC N2: score = (prompt + 8 x answer tokens) x 1000 / milliseconds from lease to commitment.
#[test]
fn score_is_work_by_time() {
    for (jobs, elapsed_ms, score) in [
        (totals(2, 100, 50), 1_000, 500),
        (totals(2, 100, 50), 500, 1_000),
        (totals(2, 100, 50), 999, 500),
        (totals(2, 100, 50), 1_001, 499),
        (totals(2, 0, 1), 8_001, 0),
        (totals(2, 7, 0), 7_000, 1),
    ] {
        let mut chain = unmeasured();
        assert_eq!(chain.state.capability(&id("w0")), None);
        chain.measure("w0", Tier::High, jobs, elapsed_ms);
        let tier = if score >= 100 { Tier::Mid } else { Tier::Low };
        let measured = Event::CapabilityMeasured { worker: id("w0"), profile: profile(), score, tier };
        assert!(chain.events.contains(&measured), "{jobs:?} in {elapsed_ms}: {:?}", chain.events);
        let capability = chain.state.capability(&id("w0")).unwrap();
        assert_eq!((capability.score, capability.tier, capability.call_due_ms), (score, Some(tier), None));
        assert_eq!(capability.measured_at_ms, chain.now_ms);
        assert_eq!(capability.draw_at_ms, chain.now_ms + chain.parameters().epoch_ms);
        assert_eq!(chain.state.meta().speeds.iter().sum::<u32>(), 1);
    }
}

/// SPEC N3: the thresholds are exact, and nobody serves a higher tier than it wants.
#[test]
fn tier_is_measured_and_capped_by_the_report() {
    for (work, wanted, expected) in [
        (99, Tier::High, Tier::Low),
        (100, Tier::High, Tier::Mid),
        (101, Tier::High, Tier::Mid),
        (19_999, Tier::High, Tier::Mid),
        (20_000, Tier::High, Tier::High),
        (20_001, Tier::High, Tier::High),
        (20_000, Tier::Mid, Tier::Mid),
        (20_000, Tier::Low, Tier::Low),
        (99, Tier::Low, Tier::Low),
    ] {
        let mut chain = unmeasured();
        chain.measure("w0", wanted, units(work), 1_000);
        assert_eq!(chain.tier("w0"), Some(expected), "{work} wanting {wanted:?}");
        let mut tiers = [0; 3];
        tiers[[Tier::Low, Tier::Mid, Tier::High].iter().position(|tier| *tier == expected).unwrap()] = 1;
        assert_eq!(chain.state.meta().tiers, tiers);
    }
}

/// It is one segment, replayed in part by a committee like any other, and the lease ends with it.
#[test]
fn capability_task_is_one_judged_segment() {
    let mut chain = unmeasured();
    let lease = chain.begin("w0", Tier::Mid);
    let segment = chain.finish(lease, units(1_000), 1_000);
    assert_eq!(chain.tier("w0"), None, "not before it is approved");
    let second = chain.segment(lease, units(1_000));
    let refused = chain.tx("w0", TransactionBody::CommitSegment { commitment: second });
    // A lease that ended takes what it had, but that is one segment: the second changes no time.
    let mut other = chain.clone();
    other.block(&[refused]);
    let members = chain.draw(segment);
    assert!(members.len() >= 2, "of a newcomer");
    let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else { panic!("judging") };
    assert_eq!(replay, Ppm::new(250_000));
    chain.vote(segment, &members, valid());
    assert_eq!(chain.tier("w0"), Some(Tier::Mid));
}

#[test]
fn one_capability_task_at_a_time() {
    let mut chain = unmeasured();
    let refused = Rejection::WrongState { what: "a second capability task" };
    let lease = chain.begin("w0", Tier::Mid);
    chain.fails("w0", assessment(Tier::Mid), &refused);
    let segment = chain.finish(lease, units(1_000), 2_500);
    chain.fails("w0", assessment(Tier::Mid), &refused);
    let members = chain.draw(segment);
    chain.vote(segment, &members, valid());
    chain.fails("w0", assessment(Tier::Mid), &refused);
    while chain.state.segment(&segment).is_some() {
        chain.blocks(1);
    }
    chain.clone().begin("w0", Tier::Mid);
    // One that came to nothing is in nobody's way once it has ended.
    let lease = chain.begin("w0", Tier::Mid);
    chain.ok("w0", TransactionBody::CloseLease { lease });
    chain.begin("w0", Tier::Mid);
}

/// SPEC M4, N2: 16,384 tokens at its price and the reservation are locked; most of it comes back.
#[test]
fn capability_task_is_paid_for() {
    let chain = unmeasured();
    let parameters = chain.parameters();
    let needed = parameters.assessment_price.nano() * limits::SEGMENT_TOKENS_MAX + parameters.reservation_min.nano();
    let fee = fee_of(parameters, &chain.tx("w0", assessment(Tier::Mid))).nano();
    for (left, is_enough) in [(needed + fee - 1, false), (needed + fee, true), (needed + fee + 1, true)] {
        let mut chain = chain.clone();
        let body = |nano| TransactionBody::Transfer { to: id("x0"), amount: Amount::from_nano(nano) };
        let costs = fee_of(chain.parameters(), &chain.tx("w0", body(1))).nano();
        chain.ok("w0", body(chain.balance("w0") - costs - left));
        if is_enough {
            let lease = chain.begin("w0", Tier::Mid);
            assert_eq!(chain.balance("w0"), left - needed - fee);
            assert_eq!(chain.state.lease(&lease).unwrap().escrow.nano(), needed);
        } else {
            let (needed, available) = (Amount::from_nano(needed), Amount::from_nano(left - fee));
            chain.fails("w0", assessment(Tier::Mid), &Rejection::Insufficient { needed, available });
        }
    }
    // 20 % of the tokens' price go to others, all else comes back.
    let mut chain = chain;
    let before = chain.balance("w0");
    chain.measure("w0", Tier::Mid, totals(2, 1_000, 1_000), 1_000);
    chain.blocks(60);
    assert_eq!(chain.state.leases().count(), 0);
    assert_eq!(chain.balance("w0"), before - fee - 200_000 / 5);
}

#[test]
fn only_active_workers_are_measured_with_leasable_profiles() {
    let mut chain = unmeasured();
    for stranger in ["x0", "g0", "v0"] {
        chain.fails(stranger, assessment(Tier::Mid), &Rejection::NotAllowed { expected: "a worker" });
    }
    let body = |profile: ProfileId, report: CapabilityReport| TransactionBody::OpenAssessment { profile, report };
    let unknown = body(model("another").id(), report(Tier::Mid));
    chain.fails("w0", unknown, &Rejection::Unknown { what: "profile" });
    chain.ok("v0", TransactionBody::DeclareProfile { profile: model("another") });
    let few = body(model("another").id(), report(Tier::Mid));
    chain.fails("w0", few, &Rejection::ProfileNotLeasable { found: 1, needed: 3 });
    let most = limits::REPORT_ITEMS_MAX;
    let with = |features: usize, size: usize| CapabilityReport {
        features: vec!["f".into(); features],
        cpu: "c".repeat(size),
        ..report(Tier::Mid)
    };
    for report in [with(most + 1, 1), with(1, limits::NAME_SIZE_MAX + 1)] {
        chain.fails("w0", body(profile(), report), &Rejection::OutOfBounds { field: "report" });
    }
    chain.clone().ok("w0", body(profile(), with(most, limits::NAME_SIZE_MAX)));
    // Jailed.
    chain.set_measured("w0", Tier::Mid, 1_000);
    let lease = chain.lease();
    chain.convict(lease, totals(1, 10, 10));
    let until = chain.state.node(&id("w0")).unwrap().active_from_epoch;
    chain.fails("w0", assessment(Tier::Mid), &Rejection::Jailed { until });
    assert_eq!(chain.tier("w0"), Some(Tier::Mid), "a wrong result says nothing about the machine");
}

/// SPEC V3, N2: it is work like any other, and whoever cheats in it serves nothing.
#[test]
fn wrong_capability_task_convicts_and_costs_the_tier() {
    let mut chain = unmeasured();
    chain.set_measured("w0", Tier::Mid, 1_000);
    let stake = chain.stake("w0");
    let lease = chain.begin("w0", Tier::High);
    let segment = chain.finish(lease, units(20_000), 1_000);
    chain.draw(segment);
    chain.vote_rest(segment, invalid());
    assert!(chain.history.contains(&Event::TierLost { worker: id("w0") }));
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (None, [0; 3]));
    assert_eq!(chain.stake("w0"), stake - stake / 10);
    let (_, hold) = chain.state.holds().next().unwrap();
    assert_eq!(hold.harmed, None, "nobody but itself asked for it");
    assert_eq!(chain.record("w0").2, 1);
}

/// Nothing is earned by it but its own fee's part: no record, no emission (SPEC R1, M6).
#[test]
fn capability_task_earns_no_record_and_no_emission() {
    let mut chain = unmeasured();
    let pool = chain.state.meta().reward_pool;
    let segment = chain.measure("w0", Tier::Mid, units(1_000), 1_000);
    chain.blocks(60);
    assert_eq!(chain.state.segment(&segment), None);
    let settled = |event: &Event| matches!(event, Event::SegmentApproved(outcome) if outcome.settled);
    assert!(chain.history.iter().any(settled));
    assert_eq!(chain.record("w0"), (0, 0, 0));
    assert_eq!(chain.state.meta().reward_pool, pool);
    assert!(chain.state.epoch_works.is_empty());
}

/// It takes no slot of an offer, and so gives none back.
#[test]
fn capability_task_frees_no_slot() {
    let mut chain = unmeasured();
    chain.set_measured("w0", Tier::Mid, 1_000);
    chain.blocks(4);
    chain.ok("w0", offer(2));
    let used = |chain: &Chain| chain.state.offer(profile(), id("w0")).unwrap().slots_used;
    chain.lease();
    let lease = chain.begin("w0", Tier::Mid);
    assert_eq!(used(&chain), 1);
    chain.ok("w0", TransactionBody::CloseLease { lease });
    assert_eq!(used(&chain), 1);
    chain.open("g0", task_terms());
    chain.open("g0", task_terms());
    assert_eq!((used(&chain), chain.state.tasks().count()), (2, 1));
}

// Calls.

fn called() -> (Chain, u64) {
    let mut chain = unmeasured();
    chain.state.meta_mut().parameters.assessment_share = Ppm::ONE;
    chain.measure("w0", Tier::Mid, units(1_000), 1_000);
    let draw_at_ms = chain.state.capability(&id("w0")).unwrap().draw_at_ms;
    chain.wait_until(draw_at_ms - 1);
    assert_eq!(chain.state.capability(&id("w0")).unwrap().call_due_ms, None);
    let events = chain.wait_until(draw_at_ms);
    let due_at_ms = draw_at_ms + chain.parameters().assessment_call_ms;
    assert!(events.contains(&Event::AssessmentCalled { worker: id("w0"), due_at_ms }), "{events:?}");
    (chain, due_at_ms)
}

#[test]
fn worker_that_does_not_come_loses_its_tier() {
    let (mut chain, due_at_ms) = called();
    chain.wait_until(due_at_ms - 1);
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (Some(Tier::Mid), [0, 1, 0]));
    let events = chain.wait_until(due_at_ms);
    assert!(events.contains(&Event::TierLost { worker: id("w0") }));
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (None, [0; 3]));
    assert_eq!(chain.state.meta().speeds, [0; 32]);
    // It is not called again, but may come at any time.
    chain.blocks(100);
    assert_eq!(chain.history.iter().filter(|event| matches!(event, Event::AssessmentCalled { .. })).count(), 1);
    chain.measure("w0", Tier::Mid, units(1_000), 1_000);
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (Some(Tier::Mid), [0, 1, 0]));
}

#[test]
fn worker_that_comes_keeps_its_tier() {
    let (mut chain, due_at_ms) = called();
    chain.measure("w0", Tier::Mid, units(500), 1_000);
    let capability = chain.state.capability(&id("w0")).unwrap();
    assert_eq!((capability.tier, capability.score, capability.call_due_ms), (Some(Tier::Mid), 500, None));
    chain.wait_until(due_at_ms);
    assert_eq!(chain.tier("w0"), Some(Tier::Mid));
    // It came, and did worse.
    let (mut chain, _) = called();
    chain.measure("w0", Tier::Mid, units(50), 1_000);
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (Some(Tier::Low), [1, 0, 0]));
}

/// Who began in time is waited for; who begins at the last moment, to put it off, is not.
#[test]
fn running_capability_task_puts_the_end_off() {
    let ahead_ms = called().0.parameters().assessment_ms;
    for (late_ms, keeps) in [(0, true), (1, false), (ahead_ms - 1, false)] {
        let (mut chain, due_at_ms) = called();
        chain.wait_until(due_at_ms - ahead_ms + late_ms - BLOCK_MS);
        let lease = chain.begin("w0", Tier::Mid);
        assert_eq!(chain.now_ms, due_at_ms - ahead_ms + late_ms);
        chain.wait_until(due_at_ms);
        assert_eq!(chain.tier("w0").is_some(), keeps, "{late_ms}");
        if keeps {
            // It never commits, and begins another: that helps no more.
            chain.ok("w0", TransactionBody::CloseLease { lease });
            chain.begin("w0", Tier::Mid);
            chain.blocks(5);
            assert_eq!(chain.tier("w0"), None);
        }
    }
}

/// SPEC C3: nobody could come while the chain stood still.
#[test]
fn pause_of_the_chain_renews_the_call() {
    let (mut chain, due_at_ms) = called();
    chain.wait_until(due_at_ms - 1_000);
    let resumed_ms = chain.now_ms + chain.parameters().pause_ms + 1;
    chain.block_at(resumed_ms);
    assert_eq!(chain.tier("w0"), Some(Tier::Mid));
    let renewed_ms = resumed_ms + chain.parameters().assessment_call_ms;
    assert_eq!(chain.state.capability(&id("w0")).unwrap().call_due_ms, Some(renewed_ms));
    chain.wait_until(renewed_ms - 1);
    assert_eq!(chain.tier("w0"), Some(Tier::Mid));
    chain.wait_until(renewed_ms);
    assert_eq!(chain.tier("w0"), None);
}

/// The beacon decides, in the share that is set.
#[test]
fn share_of_workers_is_called() {
    let mut chain = Chain::with(4, feeless(4)).furnished(16);
    chain.state.meta_mut().parameters.assessment_share = Ppm::new(250_000);
    let start_ms = chain.now_ms;
    let (mut calls, rounds) = (0, 20);
    for round in 1..=rounds {
        for index in 0..16 {
            let mut capability = chain.state.capability(&id(&format!("w{index}"))).unwrap().clone();
            (capability.call_due_ms, capability.draw_at_ms) = (None, start_ms + round * 1_000);
            chain.state.set_capability(id(&format!("w{index}")), capability);
        }
        let events = chain.block_at(start_ms + round * 1_000);
        calls += events.iter().filter(|event| matches!(event, Event::AssessmentCalled { .. })).count();
    }
    assert!((50..110).contains(&calls), "{calls} of 320, 80 expected");
}

// N3.

/// Has a worker of each of these tiers, some of which offer.
fn tiered(workers: &[(&str, Tier, bool)]) -> Chain {
    let mut chain = Chain::ready(0);
    for (name, tier, offers) in workers {
        chain.register(name, worker_role(name), Amount::from_ifr(1_000));
        chain.set_measured(name, *tier, 1_000);
        if *offers {
            chain.ok(name, offer(8));
        }
    }
    chain.blocks(4);
    chain
}

/// SPEC N3: their own tier at once, a higher one once the task is starving, a lower one never.
#[test]
fn tasks_reach_their_tier_and_higher_ones_when_they_starve() {
    let mut chain = tiered(&[("w0", Tier::Mid, true)]);
    let (_, lease) = chain.open("g0", task_terms());
    assert!(chain.state.lease(&lease).is_some());

    let mut chain = tiered(&[("w0", Tier::High, true), ("w1", Tier::Mid, false)]);
    let (task, lease) = chain.open("g0", task_terms());
    let starving_ms = chain.now_ms + chain.parameters().starving_ms;
    chain.wait_until(starving_ms - 1);
    assert!(chain.state.task(&task).is_some());
    chain.wait_until(starving_ms);
    assert_eq!(chain.state.lease(&lease).unwrap().worker, id("w0"));

    let mut chain = tiered(&[("w0", Tier::Low, true), ("w1", Tier::Mid, false)]);
    let (task, lease) = chain.open("g0", task_terms());
    chain.blocks(59);
    assert!(chain.state.task(&task).is_some());
    chain.blocks(1);
    assert_eq!((chain.state.task(&task), chain.state.lease(&lease)), (None, None));
    // With both, the right one gets it, always.
    let mut chain = tiered(&[("w0", Tier::High, true), ("w1", Tier::Mid, true)]);
    for _ in 0..8 {
        let (_, lease) = chain.open("g0", task_terms());
        assert_eq!(chain.state.lease(&lease).unwrap().worker, id("w1"));
    }
}

#[test]
fn task_that_no_measured_worker_may_serve_is_refused() {
    let open = |tier| TransactionBody::OpenTask { terms: TaskTerms { tier, ..task_terms() } };
    let chain = tiered(&[("w0", Tier::Low, true)]);
    chain.fails("g0", open(Tier::Mid), &Rejection::NoWorkers { tier: "mid" });
    chain.fails("g0", open(Tier::High), &Rejection::NoWorkers { tier: "high" });
    let mut chain = tiered(&[("w0", Tier::Mid, true)]);
    chain.fails("g0", open(Tier::High), &Rejection::NoWorkers { tier: "high" });
    chain.ok("g0", open(Tier::Mid));
    // A higher tier may serve it once it starves.
    let mut chain = tiered(&[("w0", Tier::High, true)]);
    for tier in [Tier::Mid, Tier::High] {
        chain.ok("g0", open(tier));
    }
}

/// SPEC T1, T2: what nobody serves yet is refused at once, whoever asks with whatever money.
#[test]
fn kinds_and_modes_that_are_not_served_are_refused() {
    let chain = tiered(&[("w0", Tier::High, true)]);
    let open = |terms| TransactionBody::OpenTask { terms };
    let mut refused = 0;
    for kind in TaskKind::ALL {
        for mode in VerificationMode::ALL {
            let terms = TaskTerms { kind, mode, tier: Tier::High, ..task_terms() };
            let policy = kind.policy();
            let reason = if kind == TaskKind::Agent {
                // SPEC A2: a run is opened with its agent.
                Rejection::NoAgent
            } else if kind == TaskKind::Leaderboard {
                // SPEC L2: boards are folded on a profile of their own.
                Rejection::Profile { expected: "the one of boards" }
            } else if kind == TaskKind::Training {
                // SPEC X3: so it is with training.
                Rejection::Profile { expected: "one of training" }
            } else if kind == TaskKind::Validation {
                // SPEC V10: and with proofs.
                Rejection::Profile { expected: "one of proofs" }
            } else if !policy.is_served {
                Rejection::NotServed { what: policy.name }
            } else if !mode.is_served() {
                Rejection::NotServed { what: mode.name() }
            } else if mode != VerificationMode::Exact {
                // SPEC T2: the profile has another one.
                Rejection::Mode { expected: "exact", found: mode.name() }
            } else {
                chain.clone().ok("g0", open(terms));
                continue;
            };
            chain.fails("g0", open(terms), &reason);
            refused += 1;
        }
    }
    assert_eq!(refused, 7 * 4 - 2, "all but exact inference, waited for or not");
    let low = TaskTerms { tier: Tier::Low, ..task_terms() };
    chain.fails("g0", open(low), &Rejection::OutOfBounds { field: "tier" });
}

/// SPEC S3: a barred worker counts for no tier any more, also when its task is approved after that.
#[test]
fn barred_worker_serves_no_tier() {
    let bar = |chain: &mut Chain, lease| {
        let (first, second) = (proof("w0", lease, 1), proof("w0", lease, 2));
        chain.ok("x0", TransactionBody::ProveConflict { worker: id("w0"), first, second });
    };
    let mut chain = unmeasured();
    let lease = chain.begin("w0", Tier::Mid);
    let segment = chain.finish(lease, units(1_000), 1_000);
    let members = chain.draw(segment);
    bar(&mut chain, lease);
    chain.vote(segment, &members, valid());
    assert_eq!((chain.tier("w0"), chain.state.meta().tiers), (None, [0; 3]));
    let open = TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open, &Rejection::NoWorkers { tier: "mid" });

    let mut chain = tiered(&[("w0", Tier::Mid, false), ("w1", Tier::High, false)]);
    assert_eq!(chain.state.meta().tiers, [0, 1, 1]);
    bar(&mut chain, LeaseId::new(inferium_types::Digest::ZERO));
    assert_eq!(chain.state.meta().tiers, [0, 0, 1]);
    assert_eq!(chain.state.meta().speeds.iter().sum::<u32>(), 1);
}

/// SPEC R2: the share of measured workers that are slower, half of those about as fast.
#[test]
fn speed_is_relative_to_the_other_workers() {
    let mut chain = Chain::ready(4);
    let percentile = |chain: &Chain, name: &str| chain.state.speed_percentile(&id(name)).get();
    assert_eq!(percentile(&chain, "w0"), 500_000);
    for (name, score) in [("w0", 100), ("w1", 1_000), ("w2", 1_023), ("w3", 100_000)] {
        chain.set_measured(name, Tier::Mid, score);
    }
    let found = ["w0", "w1", "w2", "w3"].map(|name| percentile(&chain, name));
    assert_eq!(found, [125_000, 500_000, 500_000, 875_000]);
    assert_eq!(percentile(&chain, "x0"), 0);
    assert!(chain.state.priority(id("w3"), profile()) > chain.state.priority(id("w1"), profile()));
    let slowest = chain.state.priority(id("w0"), profile());
    assert!(slowest > 0 && slowest < chain.state.priority(id("w1"), profile()));
}

/// SPEC J12, T1: a classifier's profile is one of models: Low is enough there, it is measured, and neither boards nor training belong to it.
#[test]
fn classifiers_are_served_by_the_lowest_tier() {
    let mut chain = tiered(&[("w0", Tier::Low, true)]);
    let task = ModelTask::Classify { reads: ClassifierReads::Texts, classes: 2 };
    chain.state.profiles.get_mut(&profile()).unwrap().profile.task = task;
    let open = |terms| TransactionBody::OpenTask { terms };
    let terms = TaskTerms { tier: Tier::Low, ..task_terms() };
    let boards = TaskTerms { kind: TaskKind::Leaderboard, ..terms };
    chain.fails("g0", open(boards), &Rejection::Profile { expected: "the one of boards" });
    let training = TaskTerms { kind: TaskKind::Training, ..terms };
    chain.fails("g0", open(training), &Rejection::Profile { expected: "one of training" });
    chain.open("g0", terms);
    // The same tier is not enough where a model answers.
    let mut answers = tiered(&[("w0", Tier::Low, true)]);
    answers.state.profiles.get_mut(&profile()).unwrap().profile.task = ModelTask::Chat;
    answers.fails("g0", open(terms), &Rejection::OutOfBounds { field: "tier" });
}
