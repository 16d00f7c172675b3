//! What an agent's account pays, and what nobody makes it pay (SPEC A3).

use super::studio::*;
use super::support::*;
use crate::{Rejection, SegmentState};
use inferium_types::{
    AgentSpend, AgentTerms, Digest, Event, LeaseId, Recipients, RunCall, RunTerms, SpendOrder, SpendingPolicy,
    TransactionBody, merkle_path,
};

fn change_policy(chain: &mut Chain, policy: SpendingPolicy) {
    let terms = AgentTerms { policy, ..agent_terms() };
    chain.ok("x0", TransactionBody::UpdateAgent { agent: helper(), terms });
}

fn cap(cap: &'static str, limit: u64, found: u64) -> Rejection {
    Rejection::PolicyCap { cap, limit: nano(limit), found: nano(found) }
}

fn not_allowed(what: &'static str) -> Rejection {
    Rejection::Policy { what }
}

/// SPEC A3: what a settled step ordered is paid once, by whoever of its two sides asks.
#[test]
fn settled_order_is_paid_once() {
    let mut chain = studio();
    let (run, steps) = ordered(&mut chain, &[pay("x1", 40), pay("x1", 40)]);
    let before = chain.balance("x1");
    for stranger in ["x0", "x1", "w1", "v0"] {
        let refused = Rejection::NotAllowed { expected: "the run's host or gateway" };
        chain.fails(stranger, spend(steps.cite(0, 2)), &refused);
    }
    let events = chain.ok("w0", spend(steps.cite(0, 2)));
    let (citation, to, amount) = ((0, 0, 2), id("x1"), nano(40));
    assert!(events.contains(&Event::AgentSpent { run, agent: helper(), citation, to, amount, hired: None }));
    assert_eq!((chain.balance("x1") - before, funds(&chain, helper())), (40, 960));
    for sender in ["w0", "g0"] {
        chain.fails(sender, spend(steps.cite(0, 2)), &Rejection::Exists { what: "spend" });
    }
    // The other order is another call, though it says the same.
    chain.ok("g0", spend(steps.cite(0, 3)));
    assert_eq!((chain.balance("x1") - before, funds(&chain, helper())), (80, 920));
    assert_eq!(run_of(&chain, run).cited, [(0, 0, 2), (0, 0, 3)]);
    assert_eq!((run_of(&chain, run).spent, chain.state.agent(&helper()).unwrap().spent.1), (nano(80), nano(80)));
}

/// SPEC A3: committed, judged and final are not settled: until pay is due a step may still be found wrong.
#[test]
fn nothing_is_spent_before_its_step_is_settled() {
    let mut chain = studio();
    let run = open_run(&mut chain, "g0", run_terms(helper()));
    let refused = Rejection::Unknown { what: "settled segment of the run" };
    let steps = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false);
    chain.fails("w0", spend(steps.cite(0, 2)), &refused);
    let segment = approve_steps(&mut chain, &steps);
    chain.fails("w0", spend(steps.cite(0, 2)), &refused);
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    chain.wait_until(settles_at_ms - BLOCK_MS);
    chain.fails("w0", spend(steps.cite(0, 2)), &refused);
    // A dispute that finds it wrong ends that for good.
    let mut disputed = chain.clone();
    disputed.ok("g0", TransactionBody::OpenDispute { segment });
    disputed.draw(segment);
    disputed.vote_rest(segment, invalid());
    assert!(disputed.state.segment(&segment).is_none());
    let over = Rejection::WrongState { what: "a spend of a run that is over" };
    disputed.fails("w0", spend(steps.cite(0, 2)), &over);
    chain.wait_until(settles_at_ms);
    chain.ok("w0", spend(steps.cite(0, 2)));
}

/// SPEC A3: the order is a call of a step of a settled segment of the run, bit by bit.
#[test]
fn only_what_the_step_ordered_is_spent() {
    let mut chain = studio();
    let (run, steps) = ordered(&mut chain, &[pay("x1", 1)]);
    let (other, others) = ordered(&mut chain, &[pay("x2", 1)]);
    let lies: [fn(&mut AgentSpend); 10] = [
        |spend| spend.order = pay("x1", 2),
        |spend| spend.order = pay("x2", 1),
        |spend| spend.call_path.index = 1,
        |spend| spend.call_path.count = 4,
        |spend| spend.call_path = alone(),
        |spend| spend.step_path.count = 2,
        |spend| spend.step_path.siblings.push(Digest::ZERO),
        |spend| spend.step.result.evidence_root = RunCall::Spend { order: spend.order }.hash(),
        |spend| spend.step.result.output_commitment = Digest::ZERO,
        |spend| spend.step.request.sequence = 1,
    ];
    let proves_nothing = Rejection::Evidence { why: "no step of the segment ordered this" };
    for lie in lies {
        let mut cited = steps.cite(0, 2);
        lie(&mut cited);
        chain.fails("w0", spend(cited), &proves_nothing);
    }
    // What one run ordered is no other's, and a tool's result is no order.
    chain.fails("w0", spend(AgentSpend { run: other, ..steps.cite(0, 2) }), &proves_nothing);
    chain.fails("w0", spend(AgentSpend { run, ..others.cite(0, 2) }), &proves_nothing);
    let calls: Vec<Digest> = steps.steps[0].calls.iter().map(RunCall::hash).collect();
    let as_tool = AgentSpend { call_path: merkle_path(&calls, 1).unwrap(), ..steps.cite(0, 2) };
    chain.fails("w0", spend(as_tool), &proves_nothing);
    let nowhere = AgentSpend { segment: 1, ..steps.cite(0, 2) };
    chain.fails("w0", spend(nowhere), &Rejection::Unknown { what: "settled segment of the run" });
    let unknown = AgentSpend { run: LeaseId::new(Digest::ZERO), ..steps.cite(0, 2) };
    chain.fails("w0", spend(unknown), &Rejection::Unknown { what: "run" });
}

/// SPEC A3: caps of run and day count every spend, in however many parts, to the nano-IFR.
#[test]
fn caps_hold_to_the_nano() {
    let mut chain = studio();
    let (run, steps) = ordered(&mut chain, &[pay("x1", 60), pay("x1", 41), pay("x1", 40), pay("x1", 1)]);
    chain.ok("w0", spend(steps.cite(0, 2)));
    chain.fails("w0", spend(steps.cite(0, 3)), &cap("run", 100, 101));
    chain.ok("w0", spend(steps.cite(0, 4)));
    chain.fails("w0", spend(steps.cite(0, 5)), &cap("run", 100, 101));
    assert_eq!(run_of(&chain, run).spent, nano(100));
    // A second run has a cap of its own; a third one meets the day's.
    let (_, second) = ordered(&mut chain, &[pay("x2", 100)]);
    chain.ok("w0", spend(second.cite(0, 2)));
    let (third, steps) = ordered(&mut chain, &[pay("x1", 51), pay("x1", 50)]);
    chain.fails("w0", spend(steps.cite(0, 2)), &cap("day", 250, 251));
    chain.ok("w0", spend(steps.cite(0, 3)));
    chain.fails("w0", spend(steps.cite(0, 2)), &cap("run", 100, 101));
    assert_eq!((funds(&chain, helper()), run_of(&chain, third).spent), (750, nano(50)));
}

/// SPEC A3: a day is one of the header's time; the run's cap knows no days.
#[test]
fn day_begins_anew_at_its_millisecond() {
    let parameters = inferium_types::Parameters { run_spend_ms: 2 * DAY_MS, ..feeless(4) };
    let mut chain = hosts_of(4, parameters);
    chain.ok(
        "x0",
        publish("helper", AgentTerms { policy: SpendingPolicy { per_day: nano(100), ..policy() }, ..agent_terms() }),
    );
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(1_000) });
    let (_, first) = ordered(&mut chain, &[pay("x1", 99), pay("x1", 1)]);
    let (_, second) = ordered(&mut chain, &[pay("x1", 100)]);
    chain.ok("w0", spend(first.cite(0, 2)));
    chain.fails("w0", spend(second.cite(0, 2)), &cap("day", 100, 199));
    let midnight_ms = DAY_MS * (chain.now_ms / DAY_MS + 1);
    chain.block_at(midnight_ms - 2 * BLOCK_MS);
    chain.fails("w0", spend(second.cite(0, 2)), &cap("day", 100, 199));
    chain.block_at(midnight_ms - BLOCK_MS);
    // The next block is the first of the new day.
    chain.ok("w0", spend(second.cite(0, 2)));
    assert_eq!(chain.state.agent(&helper()).unwrap().spent, (midnight_ms / DAY_MS, nano(100)));
    chain.fails("w0", spend(first.cite(0, 3)), &cap("day", 100, 101));
}

/// SPEC A3: whom it may pay, and until when; from its own account it pays itself nothing.
#[test]
fn recipients_and_expiry_bind() {
    let mut chain = studio();
    let expires_at_ms = chain.now_ms + 200_000;
    change_policy(&mut chain, SpendingPolicy { expires_at_ms, ..policy() });
    let itself = SpendOrder::Pay { to: helper().account(), amount: nano(1) };
    let (_, steps) = ordered(&mut chain, &[pay("x1", 1), pay("x3", 1), itself, pay("x1", 0)]);
    chain.fails("w0", spend(steps.cite(0, 3)), &not_allowed("this recipient"));
    chain.fails("w0", spend(steps.cite(0, 4)), &Rejection::OutOfBounds { field: "to" });
    chain.fails("w0", spend(steps.cite(0, 5)), &Rejection::OutOfBounds { field: "amount" });
    chain.wait_until(expires_at_ms - BLOCK_MS);
    chain.fails("w0", spend(steps.cite(0, 2)), &not_allowed("spends after it expired"));
    // A millisecond earlier it could be paid.
    let mut environment = chain.environment();
    environment.timestamp_ms = expires_at_ms - 1;
    let transaction = chain.tx("w0", spend(steps.cite(0, 2)));
    let events = chain.block_in(&environment, &[transaction]).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::AgentSpent { .. })));
    // Nobody, and anybody.
    let with = |recipients| {
        let mut chain = hosts();
        chain.ok(
            "x0",
            publish("helper", AgentTerms { policy: SpendingPolicy { recipients, ..policy() }, ..agent_terms() }),
        );
        chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(1_000) });
        let (run, steps) = ordered(&mut chain, &[pay("x9", 1)]);
        (chain, run, steps)
    };
    let (chain, _, steps) = with(Recipients::Nobody);
    chain.fails("w0", spend(steps.cite(0, 2)), &not_allowed("this recipient"));
    let (mut chain, _, steps) = with(Recipients::Anybody);
    chain.ok("w0", spend(steps.cite(0, 2)));
}

/// SPEC A1, A3: narrowing takes from runs that are under way; widening gives them nothing.
#[test]
fn both_the_pinned_policy_and_the_one_in_force_allow_a_spend() {
    let mut chain = studio();
    let (_, steps) = ordered(&mut chain, &[pay("x1", 60), pay("x2", 60), pay("x3", 60), pay("x1", 101)]);
    let mut narrowed = chain.clone();
    change_policy(&mut narrowed, SpendingPolicy { per_run: nano(59), recipients: listed(&["x1"]), ..policy() });
    narrowed.fails("w0", spend(steps.cite(0, 2)), &cap("run", 59, 60));
    narrowed.fails("w0", spend(steps.cite(0, 3)), &not_allowed("this recipient"));
    change_policy(&mut narrowed, SpendingPolicy::NOTHING);
    narrowed.fails("w0", spend(steps.cite(0, 2)), &not_allowed("spends after it expired"));
    let wide =
        SpendingPolicy { per_run: nano(1_000), per_day: nano(1_000), recipients: Recipients::Anybody, ..policy() };
    change_policy(&mut chain, wide);
    chain.wait_until(chain.now_ms + chain.parameters().epoch_ms);
    chain.fails("w0", spend(steps.cite(0, 4)), &not_allowed("this recipient"));
    chain.fails("w0", spend(steps.cite(0, 5)), &cap("run", 100, 101));
    let (_, later) = ordered(&mut chain, &[pay("x3", 101)]);
    chain.ok("w0", spend(later.cite(0, 2)));
}

/// SPEC A3: an account that has too little pays nothing; and orders are good for as long as the run, no longer.
#[test]
fn account_must_have_it_and_the_run_must_not_be_over() {
    let mut chain = hosts();
    chain.ok("x0", publish("helper", agent_terms()));
    let (run, steps) = ordered(&mut chain, &[pay("x1", 10), pay("x1", 1)]);
    let short = |available| Rejection::Insufficient { needed: nano(10), available: nano(available) };
    chain.fails("w0", spend(steps.cite(0, 2)), &short(0));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(9) });
    chain.fails("w0", spend(steps.cite(0, 2)), &short(9));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(2) });
    chain.ok("g0", TransactionBody::CloseLease { lease: run });
    chain.wait_until(chain.now_ms + chain.parameters().lease_drain_ms);
    assert!(chain.state.lease(&run).is_none());
    let ends_at_ms = run_of(&chain, run).ends_at_ms.unwrap();
    assert_eq!(ends_at_ms, chain.now_ms + chain.parameters().run_spend_ms);
    chain.wait_until(ends_at_ms - 2 * BLOCK_MS);
    chain.ok("w0", spend(steps.cite(0, 2)));
    // It is over when the block at that time ends: until then, in that block as well, it may spend.
    chain.clone().ok("w0", spend(steps.cite(0, 3)));
    chain.block(&[]);
    assert!(chain.state.run(&run).is_none());
    chain.fails("w0", spend(steps.cite(0, 3)), &Rejection::Unknown { what: "run" });
}

/// SPEC A1, A3: orders are calls of tools, and no more of them are spent than the agent allows.
#[test]
fn spends_are_no_more_than_tool_calls() {
    let mut chain = hosts();
    let limits = inferium_types::AgentLimits { tool_calls: 1, ..agent_terms().limits };
    chain.ok("x0", publish("helper", AgentTerms { limits, ..agent_terms() }));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(1_000) });
    let (_, steps) = ordered(&mut chain, &[pay("x1", 1), pay("x1", 1)]);
    chain.ok("w0", spend(steps.cite(0, 3)));
    chain.fails("w0", spend(steps.cite(0, 2)), &Rejection::OutOfBounds { field: "tool_calls" });
}

// Hiring.

/// What a hired run locks: its price, and the host's reservation.
const HIRE: u64 = RUN_PRICE + 30_000;

/// [`helper`], which may hire `x4`'s agent `clerk` twice, and has the money for it.
fn hiring() -> Chain {
    let mut chain = hosts();
    let recipients = Recipients::Listed(vec![agent("x4", "clerk").account()]);
    let policy = SpendingPolicy { per_run: nano(HIRE), per_day: nano(2 * HIRE), recipients, ..policy() };
    chain.ok("x0", publish("helper", AgentTerms { policy, ..agent_terms() }));
    chain.ok("x4", publish("clerk", AgentTerms { policy: SpendingPolicy::NOTHING, ..agent_terms() }));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(3 * HIRE) });
    chain
}

fn hire() -> SpendOrder {
    SpendOrder::Hire { run: run_terms(agent("x4", "clerk")) }
}

/// The run that an order hired.
fn hired(events: &[Event]) -> LeaseId {
    events.iter().find_map(|event| if let Event::AgentSpent { hired, .. } = event { *hired } else { None }).unwrap()
}

/// SPEC A3: the hired run is escrowed from the agent's account, and pays host, creator and committee when it settles.
#[test]
fn hired_run_pays_on_delivery() {
    let mut chain = hiring();
    let (run, steps) = ordered(&mut chain, &[hire(), hire()]);
    let events = chain.ok("w0", spend(steps.cite(0, 2)));
    let clerk = agent("x4", "clerk");
    let second = hired(&events);
    assert_eq!(funds(&chain, helper()), 2 * HIRE);
    let entry = run_of(&chain, second);
    assert_eq!(
        (entry.agent, entry.hirer, entry.gateway, entry.payer()),
        (clerk, Some(helper()), id("g0"), helper().account())
    );
    assert_eq!((run_of(&chain, run).spent, chain.state.agent(&clerk).unwrap().open_runs), (nano(HIRE), 1));
    assert_eq!(chain.state.agent(&helper()).unwrap().open_runs, 2);
    // The caps count it as any spend, and a second one is too much for this run.
    chain.fails("w0", spend(steps.cite(0, 3)), &cap("run", HIRE, 2 * HIRE));
    let creator = chain.balance("x4");
    settled(&mut chain, second, &[&[]], true);
    assert_eq!(chain.balance("x4") - creator, 250_000);
    finish_run(&mut chain, second);
    // What it did not cost is back: all but price and reservation.
    let cost = 3 * HIRE - funds(&chain, helper());
    assert!((RUN_PRICE + 10_000..=HIRE).contains(&cost), "{cost}");
    assert_eq!(chain.state.agent(&clerk).unwrap().earned.runs, 1);
}

/// SPEC A3: what is not delivered returns to the hiring agent's account; the caps don't forget it.
#[test]
fn undelivered_hire_returns() {
    let mut chain = hiring();
    let (_, steps) = ordered(&mut chain, &[hire()]);
    // Nobody hosts it.
    let mut unhosted = chain.clone();
    unhosted.ok("w0", hosting(0, HOST_PRICE));
    let events = unhosted.ok("w0", spend(steps.cite(0, 2)));
    assert_eq!(funds(&unhosted, helper()), 2 * HIRE);
    unhosted.wait_until(unhosted.now_ms + 60_000);
    assert_eq!(funds(&unhosted, helper()), 3 * HIRE);
    assert!(unhosted.state.run(&hired(&events)).is_none());
    assert_eq!(unhosted.state.agent(&helper()).unwrap().spent.1, nano(HIRE));
    // It is wrong.
    let second = hired(&chain.ok("w0", spend(steps.cite(0, 2))));
    let segment = commit_steps(&mut chain, second, &[&[]], true).terms().id();
    chain.draw(segment);
    chain.vote_rest(segment, invalid());
    finish_run(&mut chain, second);
    assert_eq!(funds(&chain, helper()), 3 * HIRE);
}

/// SPEC A1, A3: a hire is refused like a run; and a retired agent waits for those that it hired.
#[test]
fn hires_are_runs_like_others() {
    let mut chain = hiring();
    let clerk = agent("x4", "clerk");
    let other = SpendOrder::Hire { run: run_terms(agent("x4", "another")) };
    let found = Digest::sha256(b"another version");
    let stale = SpendOrder::Hire { run: RunTerms { version: found, ..run_terms(clerk) } };
    let myself = SpendOrder::Hire { run: run_terms(helper()) };
    let (run, steps) = ordered(&mut chain, &[hire(), other, stale, myself]);
    chain.fails("w0", spend(steps.cite(0, 3)), &not_allowed("this recipient"));
    chain.fails("w0", spend(steps.cite(0, 4)), &Rejection::Version { expected: run_terms(clerk).version, found });
    chain.fails("w0", spend(steps.cite(0, 5)), &Rejection::OutOfBounds { field: "to" });
    let mut retired = chain.clone();
    retired.ok("x4", TransactionBody::RetireAgent { agent: clerk, stop_spending: false });
    retired.fails("w0", spend(steps.cite(0, 2)), &Rejection::Unknown { what: "agent" });
    let second = hired(&chain.ok("w0", spend(steps.cite(0, 2))));
    chain.ok("x0", TransactionBody::RetireAgent { agent: helper(), stop_spending: false });
    let before = chain.balance("x0");
    chain.ok("w0", TransactionBody::CloseLease { lease: second });
    finish_run(&mut chain, second);
    assert_eq!((chain.state.agent(&helper()).unwrap().open_runs, funds(&chain, helper())), (1, 3 * HIRE));
    finish_run(&mut chain, run);
    assert_eq!(chain.state.agent(&helper()), None);
    assert_eq!(chain.balance("x0") - before, IFR + 3 * HIRE);
}

/// SPEC S3, N5: a gateway that has nothing left to answer with opens no run, not by a hire either.
#[test]
fn hire_needs_its_gateway() {
    let mut chain = hiring();
    let (_, steps) = ordered(&mut chain, &[hire()]);
    chain.state.nodes.get_mut(&id("g0")).unwrap().disqualified = true;
    chain.fails("w0", spend(steps.cite(0, 2)), &Rejection::Disqualified);
    assert_eq!(funds(&chain, helper()), 3 * HIRE);
}
