//! Runs of agents, from the pool to the split of their fee (SPEC A2, A4, M5).

use super::studio::*;
use super::support::*;
use crate::{LeaseState, Rejection, SegmentState};
use inferium_types::{
    AgentTerms, Amount, Digest, Event, JobTotals, LeaseEnd, OfferTerms, Ppm, Price, RunTerms, SegmentTerms, SpendOrder,
    SpendingPolicy, TaskKind, TaskTerms, Tier, TransactionBody,
};

const OPEN: fn(RunTerms) -> TransactionBody = |terms| TransactionBody::OpenRun { terms };

/// SPEC A2, T1, N4: who may open a run, of what, and on which profile.
#[test]
fn run_is_opened_by_a_gateway_for_an_agent_as_it_is() {
    let chain = studio();
    let terms = run_terms(helper());
    for stranger in ["x0", "w0", "v0"] {
        chain.fails(stranger, OPEN(terms), &Rejection::NotAllowed { expected: "a gateway" });
    }
    let another = AgentTerms { price: nano(RUN_PRICE - 1), ..agent_terms() }.version_digest();
    for found in [Digest::ZERO, another] {
        let refused = Rejection::Version { expected: terms.version, found };
        chain.fails("g0", OPEN(RunTerms { version: found, ..terms }), &refused);
    }
    let unknown = RunTerms { agent: agent("x1", "helper"), ..terms };
    chain.fails("g0", OPEN(unknown), &Rejection::Unknown { what: "agent" });
    // Nobody declared the profile of hosts.
    let mut hostless = Chain::with(4, feeless(4)).furnished(2);
    hostless.ok("x0", publish("helper", agent_terms()));
    hostless.fails("g0", OPEN(terms), &Rejection::Unknown { what: "profile" });
    for open_ms in [0, 600_001] {
        chain.fails("g0", OPEN(RunTerms { open_ms, ..terms }), &Rejection::OutOfBounds { field: "open_ms" });
    }
    // A run names its agent; and hosts are no model.
    let usual = task_terms();
    let run = TaskTerms { kind: TaskKind::Agent, profile: host_profile(), ..usual };
    chain.fails("g0", TransactionBody::OpenTask { terms: run }, &Rejection::NoAgent);
    let inference = TaskTerms { profile: host_profile(), ..usual };
    let refused = Rejection::Profile { expected: "a model's" };
    chain.fails("g0", TransactionBody::OpenTask { terms: inference }, &refused);
    let assessment = TransactionBody::OpenAssessment { profile: host_profile(), report: report(Tier::High) };
    chain.fails("w0", assessment, &refused);
}

/// SPEC M4: price and reservation are locked, to the nano-IFR, and the run pins the agent as it is.
#[test]
fn run_locks_its_cost_and_pins_its_agent() {
    let mut chain = studio();
    let escrow = RUN_PRICE + 30_000;
    let transfer = TransactionBody::Transfer { to: id("x1"), amount: nano(chain.balance("g0") - escrow) };
    chain.ok("g0", transfer);
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    assert_eq!(chain.balance("g0"), 0);
    let lease = chain.state.lease(&run).unwrap();
    assert_eq!((lease.escrow.nano(), lease.price.completion_token.nano()), (escrow, RUN_PRICE));
    assert_eq!((lease.terms.jobs_max, lease.terms.tokens_max, lease.terms.lease_ms), (8, 1, 300_000));
    let opened = chain.events.iter().any(
        |event| matches!(event, Event::RunOpened { run: of, payer, version: 1, escrow: locked, .. } if *of == run && *payer == id("g0") && locked.nano() == escrow),
    );
    assert!(opened);
    let terms = AgentTerms { price: nano(1), policy: SpendingPolicy::NOTHING, ..agent_terms() };
    let changed = RunTerms { version: terms.version_digest(), ..run_terms(helper()) };
    chain.ok("x0", TransactionBody::UpdateAgent { agent: helper(), terms });
    let pinned = run_of(&chain, run);
    assert_eq!(
        (pinned.version, pinned.model, pinned.price.nano(), &pinned.policy),
        (1, profile(), RUN_PRICE, &policy())
    );
    assert_eq!((pinned.host, pinned.gateway, pinned.hirer), (Some(id("w0")), id("g0"), None));
    let (found, expected) = (run_terms(helper()).version, changed.version);
    chain.fails("g0", OPEN(run_terms(helper())), &Rejection::Version { expected, found });
    let short = Rejection::Insufficient { needed: nano(30_001), available: Amount::ZERO };
    chain.fails("g0", OPEN(changed), &short);
}

/// SPEC A2, T5: hosting is an offer of its own, at a least price; who does not offer it gets no run.
#[test]
fn only_who_offers_to_host_for_that_price_hosts() {
    let mut chain = studio();
    chain.ok("w0", hosting(0, HOST_PRICE));
    let waiting = open_run(&mut chain, "g0", run_terms(helper()));
    // An offer of the model is none of hosting, and one for more is too dear by one nano-IFR.
    chain.ok("w0", offer(8));
    chain.ok("w1", hosting(1, RUN_PRICE + 1));
    assert!(chain.state.lease(&waiting).is_none());
    chain.ok("w1", hosting(1, RUN_PRICE));
    let lease = chain.state.lease(&waiting).unwrap();
    assert_eq!((lease.worker, lease.price.completion_token.nano()), (id("w1"), RUN_PRICE));
    // Its one slot is taken, so the next run waits, and comes back unhosted.
    let before = chain.balance("g0");
    let unhosted = open_run(&mut chain, "g0", run_terms(helper()));
    assert!(chain.balance("g0") < before);
    chain.wait_until(chain.now_ms + 60_000);
    assert_eq!(chain.balance("g0"), before);
    assert!(chain.state.run(&unhosted).is_none());
    assert_eq!(chain.state.agent(&helper()).unwrap().open_runs, 1);
}

/// SPEC N3: Mid hosts; High when the run is starving; Low never.
#[test]
fn low_tiers_host_nothing_and_high_ones_what_starves() {
    for (tier, hosted_after_ms) in [(Tier::Low, None), (Tier::Mid, Some(0)), (Tier::High, Some(3_000))] {
        let mut chain = studio();
        chain.set_measured("w0", tier, 1_000);
        let opened_ms = chain.now_ms + BLOCK_MS;
        let run = open_run(&mut chain, "g0", run_terms(helper()));
        let mut hosted = chain.state.lease(&run).map(|_| chain.now_ms - opened_ms);
        while hosted.is_none() && chain.now_ms < opened_ms + 20_000 {
            chain.block(&[]);
            hosted = chain.state.lease(&run).map(|_| chain.now_ms - opened_ms);
        }
        assert_eq!(hosted, hosted_after_ms, "{tier:?}");
    }
}

/// SPEC M5, A4: the answer's fee goes 60 % to the host, 25 % to the creator, 10 % to the committee, the rest to the
/// treasury; the agent's books and the event agree with the accounts to the nano-IFR, and nothing is emitted for it.
#[test]
fn fee_of_an_answer_is_split_to_the_nano() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let steps = commit_steps(&mut chain, run, &[&[], &[]], true);
    assert!(matches!(chain.state.lease(&run).unwrap().state, LeaseState::Draining { end: LeaseEnd::Exhausted, .. }));
    let segment = approve_steps(&mut chain, &steps);
    let SegmentState::Final { approval, .. } = chain.state.segment(&segment).unwrap().state.clone() else {
        panic!("final")
    };
    assert_eq!(approval.replayed, Ppm::ONE);
    let count = u64::try_from(approval.approvers.len()).unwrap();
    let names: Vec<String> = approval.approvers.iter().map(|id| chain.name(id)).collect();
    let of = |chain: &Chain| {
        let members: u64 = names.iter().map(|name| chain.balance(name)).sum();
        let meta = chain.state.meta();
        [chain.balance("w0"), chain.balance("x0"), members, meta.treasury.nano(), meta.validator_pool.nano()]
    };
    let before = of(&chain);
    settle(&mut chain, segment);
    let after = of(&chain);
    let got: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let each = 100_000 / count;
    let (host, creator, committee) = (600_001, 250_000, each * count);
    assert_eq!(got, [host, creator, committee, RUN_PRICE - host - creator - committee, 0]);
    let paid = Event::RunPaid {
        run,
        segment,
        agent: helper(),
        host: id("w0"),
        creator: id("x0"),
        payer: id("g0"),
        fee: nano(RUN_PRICE),
        to_host: nano(host),
        to_payer: Amount::ZERO,
        to_creator: nano(creator),
        to_each_approver: nano(each),
        to_treasury: nano(got[3]),
    };
    assert!(chain.history.contains(&paid));
    let earned = chain.state.agent(&helper()).unwrap().earned;
    assert_eq!((earned.runs, earned.fees.nano(), earned.hosts.nano()), (1, RUN_PRICE, host));
    assert_eq!([earned.creator.nano(), earned.committees.nano(), earned.treasury.nano()], [creator, committee, got[3]]);
    assert!(chain.state.epoch_works.keys().all(|(_, node)| *node != id("w0")), "no emission");
    assert_eq!(chain.state.record(id("w0"), host_profile()).jobs(), 2);
}

/// SPEC M5, S3: a host that was barred meanwhile gets nothing: its part is the payer's.
#[test]
fn barred_hosts_part_returns_to_who_paid() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let steps = commit_steps(&mut chain, run, &[&[]], true);
    let segment = approve_steps(&mut chain, &steps);
    chain.state.nodes.get_mut(&id("w0")).unwrap().disqualified = true;
    let before = (chain.balance("g0"), chain.balance("w0"));
    settle(&mut chain, segment);
    // Its lease was closed meanwhile at the latest, so the reservation may have come and gone as well.
    assert!(chain.balance("g0") - before.0 >= 600_001);
    let earned = chain.state.agent(&helper()).unwrap().earned;
    assert_eq!((earned.runs, earned.hosts, earned.creator), (1, Amount::ZERO, nano(250_000)));
    assert_eq!(earned.refunded, nano(600_001));
    let parts = [earned.hosts, earned.creator, earned.committees, earned.treasury, earned.refunded];
    assert_eq!(parts.iter().map(|part| part.nano()).sum::<u64>(), earned.fees.nano());
    let told = chain.history.iter().any(|event| {
        matches!(event, Event::RunPaid { payer, to_host: Amount::ZERO, to_payer, .. }
            if *payer == id("g0") && *to_payer == nano(600_001))
    });
    assert!(told);
}

/// SPEC A2: steps before the answer cost nothing, are all replayed, and count as what the run may spend (V1).
#[test]
fn steps_without_the_answer_are_free_and_looked_at_as_what_they_may_move() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let steps = settled(&mut chain, run, &[&[pay("x1", 1)]], false);
    let lease = chain.state.lease(&run).unwrap();
    assert_eq!((lease.escrow.nano(), lease.jobs, lease.tokens), (RUN_PRICE + 30_000, 1, 0));
    assert_eq!(run_of(&chain, run).settled, [steps.root()]);
    assert!(!chain.history.iter().any(|event| matches!(event, Event::RunPaid { .. })));
    // With a whole IFR to spend three look at each step, though a newcomer's fee alone gives two.
    let members = |nano: u64| {
        let policy = SpendingPolicy { per_run: Amount::from_nano(nano), per_day: Amount::from_ifr(9), ..policy() };
        let mut chain = hosts_of(6, feeless(6));
        chain.ok("x0", publish("helper", AgentTerms { policy, ..agent_terms() }));
        let run = open_run(&mut chain, "g0", run_terms(helper()));
        let steps = commit_steps(&mut chain, run, &[&[]], false);
        chain.draw(steps.terms().id()).len()
    };
    assert_eq!((members(IFR - RUN_PRICE - 1), members(IFR - RUN_PRICE)), (2, 3));
}

/// SPEC A2: one answer, no prompt tokens, no more steps than the agent allows, and a segment for each block.
#[test]
fn totals_of_a_run_are_steps_and_one_answer() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let refuse = |chain: &Chain, totals: JobTotals, field| {
        let terms = SegmentTerms { lease: run, index: 0, totals, root: Digest::ZERO };
        let body = TransactionBody::CommitSegment { commitment: chain.sign(terms) };
        chain.fails("w0", body, &Rejection::OutOfBounds { field });
    };
    refuse(&chain, totals(1, 1, 0), "tokens");
    refuse(&chain, totals(2, 0, 2), "tokens");
    refuse(&chain, totals(9, 0, 1), "jobs");
    let nothing: &[SpendOrder] = &[];
    commit_steps(&mut chain, run, &[nothing; 8], false);
    assert!(chain.state.lease(&run).unwrap().state != LeaseState::Active, "no step is left");
}

/// SPEC A2, M4: a run without an answer costs its reservation; one that its host gave up, or whose steps were wrong, nothing.
#[test]
fn run_without_an_answer_is_refunded() {
    let late = |chain: &mut Chain| {
        let run = open_run(chain, "g0", run_terms(helper()));
        chain.wait_until(chain.now_ms + 300_000 + chain.parameters().lease_drain_ms + BLOCK_MS);
        assert!(chain.state.run(&run).is_none() && chain.state.lease(&run).is_none());
    };
    let mut chain = studio();
    let before = (chain.balance("g0"), chain.balance("w0"));
    late(&mut chain);
    let reservation = chain.balance("w0") - before.1;
    assert!((10_000..=30_000).contains(&reservation), "{reservation}");
    assert_eq!(before.0 - chain.balance("g0"), reservation);
    let given_up = |chain: &mut Chain| {
        let run = open_run(chain, "g0", run_terms(helper()));
        chain.ok("w0", TransactionBody::CloseLease { lease: run });
        finish_run(chain, run);
    };
    let wrong = |chain: &mut Chain| {
        let run = open_run(chain, "g0", run_terms(helper()));
        let segment = commit_steps(chain, run, &[&[pay("x1", 1)]], true).terms().id();
        chain.draw(segment);
        chain.vote_rest(segment, invalid());
        finish_run(chain, run);
    };
    for end in [given_up as fn(&mut Chain), wrong] {
        let mut chain = studio();
        let before = chain.balance("g0");
        end(&mut chain);
        assert_eq!(chain.balance("g0"), before);
        assert_eq!((funds(&chain, helper()), chain.state.agent(&helper()).unwrap().open_runs), (1_000, 0));
    }
}

/// SPEC T6: a run is too long for claims; it has its own time.
#[test]
fn no_claim_is_made_about_a_run() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let request = inferium_types::step_request(run, 0, &Digest::ZERO, &Digest::ZERO);
    for prompt_tokens in [0, 1] {
        let request = inferium_types::JobRequest { prompt_tokens, ..request.clone() };
        chain.fails("g0", TransactionBody::ReportStall { request }, &Rejection::OutOfBounds { field: "tokens" });
    }
}

/// SPEC G3: shares of a run can't be more than the run's fee.
#[test]
fn shares_of_a_run_fit_together() {
    let usual = feeless(4);
    let greedy = inferium_types::Parameters { run_share_host: Ppm::new(650_001), ..feeless(4) };
    assert!(greedy.check().is_err());
    let exact = inferium_types::Parameters { run_share_host: Ppm::new(650_000), ..usual };
    assert!(exact.check().is_ok());
}

/// A worker offers to host beside its model, and each has its own slots.
#[test]
fn slots_of_hosting_are_the_offers_own() {
    let mut chain = studio();
    chain.ok("w0", offer(1));
    let price = Price { prompt_token: Amount::ZERO, completion_token: nano(HOST_PRICE) };
    let terms = OfferTerms { slots: 1, price, context_tokens: 0, batches: false };
    chain.ok("w0", TransactionBody::SetOffer { profile: host_profile(), terms });
    chain.lease();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    assert!(chain.state.lease(&run).is_some());
    assert_eq!(chain.state.offer(host_profile(), id("w0")).unwrap().slots_used, 1);
    assert_eq!(chain.state.offer(profile(), id("w0")).unwrap().slots_used, 1);
}
