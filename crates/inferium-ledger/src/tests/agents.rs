//! Agents: published, changed, retired (SPEC A1).

use super::studio::*;
use super::support::*;
use crate::{Rejection, Widening};
use inferium_types::{
    AgentId, AgentLimits, AgentTerms, Amount, Digest, Event, ProfileId, Recipients, SpendingPolicy, TransactionBody,
    limits,
};

fn update(terms: AgentTerms) -> TransactionBody {
    TransactionBody::UpdateAgent { agent: helper(), terms }
}

fn with_policy(policy: SpendingPolicy) -> TransactionBody {
    update(AgentTerms { policy, ..agent_terms() })
}

const RETIRE: fn() -> TransactionBody = || TransactionBody::RetireAgent { agent: helper(), stop_spending: false };

/// SPEC A1: an agent is its creator's by its name; the deposit is locked, and anybody may fund it.
#[test]
fn published_agent_is_named_by_creator_and_name() {
    let mut chain = hosts();
    let before = chain.balance("x0");
    let events = chain.ok("x0", publish("helper", agent_terms()));
    assert!(events.contains(&Event::AgentPublished {
        agent: helper(),
        creator: id("x0"),
        name: "helper".into(),
        manifest: agent_terms().manifest,
        price: nano(RUN_PRICE),
    }));
    assert_eq!(before - chain.balance("x0"), IFR);
    let entry = chain.state.agent(&helper()).unwrap();
    assert_eq!((entry.version, entry.deposit, entry.open_runs), (1, Amount::from_ifr(1), 0));
    chain.fails("x0", publish("helper", agent_terms()), &Rejection::Exists { what: "agent" });
    // Another creator's agent of this name is another agent, and so is another name.
    chain.ok("x1", publish("helper", agent_terms()));
    chain.ok("x0", publish("helper-2", agent_terms()));
    assert_eq!(chain.state.agents().count(), 3);
    let accounts: std::collections::BTreeSet<_> = chain.state.agents().map(|(id, _)| id.account()).collect();
    assert_eq!(accounts.len(), 3);
    chain.ok("x5", TransactionBody::Transfer { to: helper().account(), amount: nano(7) });
    assert_eq!(funds(&chain, helper()), 7);
}

/// SPEC A1: names have one alphabet and a length; every field has its bounds.
#[test]
fn what_is_published_has_bounds() {
    let chain = hosts();
    let longest = "a".repeat(limits::AGENT_NAME_SIZE_MAX);
    for name in ["a", "7", "a-b", "a--b", &longest] {
        chain.clone().ok("x0", publish(name, agent_terms()));
    }
    let too_long = "a".repeat(limits::AGENT_NAME_SIZE_MAX + 1);
    for name in ["", "-a", "a-", "-", "A", "a_b", "a b", "ä", "a/b", "a\n", &too_long] {
        chain.fails("x0", publish(name, agent_terms()), &Rejection::OutOfBounds { field: "name" });
    }
    let out = |field| Rejection::OutOfBounds { field };
    let good = agent_terms();
    let limits = |change: fn(&mut AgentLimits)| {
        let mut terms = agent_terms();
        change(&mut terms.limits);
        publish("helper", terms)
    };
    let cases: [(TransactionBody, Rejection); 10] = [
        (publish("helper", AgentTerms { price: Amount::ZERO, ..good.clone() }), out("price")),
        (limits(|limits| limits.steps = 0), out("limits")),
        (limits(|limits| limits.steps = limits::RUN_STEPS_MAX + 1), out("limits")),
        (limits(|limits| limits.tokens = 0), out("limits")),
        (limits(|limits| limits.tokens = limits::RUN_TOKENS_MAX + 1), out("limits")),
        (limits(|limits| limits.tool_calls = limits::RUN_TOOL_CALLS_MAX + 1), out("limits")),
        (limits(|limits| limits.run_ms = 999), out("limits")),
        (limits(|limits| limits.run_ms = 86_400_001), out("run_ms")),
        (
            publish("helper", AgentTerms { model: ProfileId::new(Digest::ZERO), ..good.clone() }),
            Rejection::Unknown { what: "profile" },
        ),
        (
            publish("helper", AgentTerms { model: host_profile(), ..good }),
            Rejection::Profile { expected: "of conversations, and canonical" },
        ),
    ];
    for (body, expected) in cases {
        chain.fails("x0", body, &expected);
    }
    for at_bound in [
        limits(|limits| (limits.steps, limits.tool_calls) = (limits::RUN_STEPS_MAX, limits::RUN_TOOL_CALLS_MAX)),
        limits(|limits| (limits.steps, limits.tokens, limits.tool_calls, limits.run_ms) = (1, 1, 0, 1_000)),
        limits(|limits| (limits.tokens, limits.run_ms) = (limits::RUN_TOKENS_MAX, 86_400_000)),
    ] {
        chain.clone().ok("x0", at_bound);
    }
}

/// SPEC A1: recipients are a set with one form; the deposit is paid to the nano-IFR.
#[test]
fn recipients_ascend_and_the_deposit_is_needed() {
    let chain = hosts();
    let with = |recipients| {
        publish("helper", AgentTerms { policy: SpendingPolicy { recipients, ..policy() }, ..agent_terms() })
    };
    let mut accounts: Vec<_> = (0..u8::MAX).map(|index| agent("x0", &format!("a{index}")).account()).collect();
    accounts.sort();
    let most = accounts[..limits::RECIPIENTS_MAX].to_vec();
    for good in [Recipients::Nobody, Recipients::Anybody, Recipients::Listed(most.clone())] {
        chain.clone().ok("x0", with(good));
    }
    let (mut twice, mut swapped) = (most.clone(), most);
    twice[1] = twice[0];
    swapped.swap(0, 1);
    for bad in [vec![], accounts[..=limits::RECIPIENTS_MAX].to_vec(), twice, swapped] {
        chain.fails("x0", with(Recipients::Listed(bad)), &Rejection::OutOfBounds { field: "recipients" });
    }
    let mut short = chain;
    let mut leave = |left: u64| {
        let rest = short.balance("x0") - left;
        short.ok("x0", TransactionBody::Transfer { to: id("x1"), amount: nano(rest) });
        short.clone()
    };
    leave(IFR).ok("x0", publish("helper", agent_terms()));
    let needed = Amount::from_ifr(1);
    let missing = Rejection::Insufficient { needed, available: nano(IFR - 1) };
    leave(IFR - 1).fails("x0", publish("helper", agent_terms()), &missing);
}

/// SPEC A1: what a run is made of has versions, what it may spend has none.
#[test]
fn update_makes_a_version_of_all_but_the_policy() {
    let chain = studio();
    let changed = |change: fn(&mut AgentTerms)| {
        let mut chain = chain.clone();
        let mut terms = agent_terms();
        change(&mut terms);
        let events = chain.ok("x0", update(terms.clone()));
        let entry = chain.state.agent(&helper()).unwrap().clone();
        assert_eq!(entry.terms, terms);
        let (manifest, price, version) = (terms.manifest, terms.price, entry.version);
        let told = Event::AgentUpdated { agent: helper(), version, manifest, price, widens_at_ms: None };
        assert!(events.contains(&told), "{events:?}");
        version
    };
    assert_eq!(changed(|terms| terms.manifest = Digest::ZERO), 2);
    assert_eq!(changed(|terms| terms.price = nano(1)), 2);
    assert_eq!(changed(|terms| terms.limits.steps = 1), 2);
    assert_eq!(changed(|terms| terms.policy.per_run = nano(99)), 1);
    chain.fails("x0", update(agent_terms()), &Rejection::WrongState { what: "an update that changes nothing" });
    chain.fails("x1", with_policy(SpendingPolicy::NOTHING), &Rejection::NotAllowed { expected: "the agent's creator" });
    let unknown = TransactionBody::UpdateAgent { agent: AgentId::new(Digest::ZERO), terms: agent_terms() };
    chain.fails("x0", unknown, &Rejection::Unknown { what: "agent" });
    let free = AgentTerms { price: Amount::ZERO, ..agent_terms() };
    chain.fails("x0", update(free), &Rejection::OutOfBounds { field: "price" });
    let mut retired = chain.clone();
    let run = open_run(&mut retired, "g0", run_terms(helper()));
    retired.ok("x0", RETIRE());
    let refused = Rejection::WrongState { what: "changing more of a retired agent than its policy to a narrower one" };
    retired.fails("x0", update(AgentTerms { price: nano(1), ..agent_terms() }), &refused);
    let wider = SpendingPolicy { per_day: nano(251), ..policy() };
    retired.fails("x0", with_policy(wider), &refused);
    assert!(retired.state.run(&run).is_some());
}

/// SPEC A1: a creator that has lost its trust takes the money away from runs under way, retired or not; what waits is off.
#[test]
fn retired_agent_can_be_narrowed_and_retiring_can_end_its_spending() {
    let not_allowed = |what| Rejection::Policy { what };
    let mut chain = studio();
    let (_, steps) = ordered(&mut chain, &[pay("x1", 60), pay("x2", 1)]);
    chain.ok("x0", with_policy(SpendingPolicy { per_day: nano(300), ..policy() }));
    let mut narrowed = chain.clone();
    narrowed.ok("x0", RETIRE());
    narrowed.clone().ok("w0", spend(steps.cite(0, 2)));
    let narrow = SpendingPolicy { recipients: listed(&["x2"]), ..policy() };
    narrowed.ok("x0", with_policy(narrow.clone()));
    narrowed.fails("w0", spend(steps.cite(0, 2)), &not_allowed("this recipient"));
    let entry = narrowed.state.agent(&helper()).unwrap();
    assert_eq!((&entry.terms.policy, &entry.widening, entry.version), (&narrow, &None, 1));
    narrowed.clone().ok("w0", spend(steps.cite(0, 3)));
    narrowed.ok("x0", with_policy(SpendingPolicy::NOTHING));
    narrowed.fails("w0", spend(steps.cite(0, 3)), &not_allowed("spends after it expired"));
    // In one transaction.
    let events = chain.ok("x0", TransactionBody::RetireAgent { agent: helper(), stop_spending: true });
    assert!(events.contains(&Event::AgentRetired { agent: helper(), stop_spending: true }));
    let entry = chain.state.agent(&helper()).unwrap();
    assert_eq!((&entry.terms.policy, &entry.widening), (&SpendingPolicy::NOTHING, &None));
    chain.wait_until(chain.now_ms + chain.parameters().epoch_ms);
    chain.fails("w0", spend(steps.cite(0, 2)), &not_allowed("spends after it expired"));
}

/// SPEC A1: what only narrows is never refused for what became of parameters meanwhile.
#[test]
fn narrowing_asks_for_nothing_else() {
    let mut chain = studio();
    chain.state.meta_mut().parameters.lease_max_ms = 299_999;
    chain.fails(
        "x0",
        update(AgentTerms { price: nano(1), ..agent_terms() }),
        &Rejection::OutOfBounds { field: "run_ms" },
    );
    let twice = Recipients::Listed(vec![id("x1"), id("x1")]);
    let refused = Rejection::OutOfBounds { field: "recipients" };
    chain.fails("x0", with_policy(SpendingPolicy { recipients: twice, ..policy() }), &refused);
    chain.ok("x0", with_policy(SpendingPolicy::NOTHING));
}

/// SPEC A1: what narrows is in force at once; what widens an epoch later, to the millisecond; both can be in one update.
#[test]
fn narrowing_acts_at_once_and_widening_waits_an_epoch() {
    let mut chain = studio();
    let policy_now = |chain: &Chain| {
        let entry = chain.state.agent(&helper()).unwrap();
        (entry.policy_at(chain.now_ms).clone(), entry.widening.as_ref().map(|one| one.from_ms))
    };
    // Less in a run, but more in a day, and one recipient for another.
    let wanted =
        SpendingPolicy { per_run: nano(50), per_day: nano(300), recipients: listed(&["x2", "x4"]), ..policy() };
    let events = chain.ok("x0", with_policy(wanted.clone()));
    let from_ms = chain.now_ms + chain.parameters().epoch_ms;
    assert!(events.iter().any(
        |event| matches!(event, Event::AgentUpdated { widens_at_ms: Some(at_ms), version: 1, .. } if *at_ms == from_ms)
    ));
    let meanwhile = SpendingPolicy { per_run: nano(50), recipients: listed(&["x2"]), ..policy() };
    assert_eq!(policy_now(&chain), (meanwhile.clone(), Some(from_ms)));
    let entry = chain.state.agent(&helper()).unwrap();
    assert_eq!(entry.widening, Some(Widening { policy: wanted.clone(), from_ms }));
    assert_eq!(entry.policy_at(from_ms - 1), &meanwhile);
    assert_eq!(entry.policy_at(from_ms), &wanted);
    // What waits can be called off ...
    let mut off = chain.clone();
    off.ok("x0", with_policy(meanwhile.clone()));
    assert_eq!(policy_now(&off), (meanwhile.clone(), None));
    // ... and asking anew begins anew.
    let mut anew = chain.clone();
    anew.blocks(3);
    anew.ok("x0", with_policy(wanted.clone()));
    assert_eq!(policy_now(&anew), (meanwhile, Some(anew.now_ms + anew.parameters().epoch_ms)));
    // Once in force it is what later changes are measured by.
    chain.wait_until(from_ms);
    let nothing = Rejection::WrongState { what: "an update that changes nothing" };
    chain.fails("x0", with_policy(wanted.clone()), &nothing);
    let narrower = SpendingPolicy { per_day: nano(299), ..wanted };
    chain.ok("x0", with_policy(narrower.clone()));
    assert_eq!(policy_now(&chain), (narrower, None));
}

/// SPEC A1: without runs a retired agent is gone at once, its money its creator's; the name is free again.
#[test]
fn retired_agent_returns_everything() {
    let mut chain = studio();
    chain.fails("x1", RETIRE(), &Rejection::NotAllowed { expected: "the agent's creator" });
    let before = chain.balance("x0");
    let events = chain.ok("x0", RETIRE());
    let returned = nano(IFR + 1_000);
    assert!(events.contains(&Event::AgentClosed { agent: helper(), creator: id("x0"), returned }));
    assert_eq!(chain.balance("x0") - before, returned.nano());
    assert_eq!((chain.state.agent(&helper()), funds(&chain, helper())), (None, 0));
    chain.fails("x0", RETIRE(), &Rejection::Unknown { what: "agent" });
    // What is sent there afterwards is not lost: who publishes it again has it.
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(5) });
    chain.ok("x0", publish("helper", agent_terms()));
    let before = chain.balance("x0");
    chain.ok("x0", RETIRE());
    assert_eq!(chain.balance("x0") - before, IFR + 5);
}

/// SPEC A1: while a run can still cost or spend, the agent stays, and takes no new ones.
#[test]
fn retired_agent_stays_until_its_last_run_is_over() {
    let mut chain = studio();
    let (run, _) = ordered(&mut chain, &[pay("x1", 10)]);
    let second = open_run(&mut chain, "g0", run_terms(helper()));
    let events = chain.ok("x0", RETIRE());
    assert!(events.contains(&Event::AgentRetired { agent: helper(), stop_spending: false }));
    assert_eq!(chain.state.agent(&helper()).unwrap().open_runs, 2);
    chain.fails("x0", RETIRE(), &Rejection::WrongState { what: "retiring a retired agent" });
    let refused = Rejection::WrongState { what: "a run of a retired agent" };
    chain.fails("g0", TransactionBody::OpenRun { terms: run_terms(helper()) }, &refused);
    finish_run(&mut chain, second);
    assert_eq!(chain.state.agent(&helper()).unwrap().open_runs, 1);
    let before = chain.balance("x0");
    finish_run(&mut chain, run);
    assert_eq!(chain.state.agent(&helper()), None);
    assert_eq!(chain.balance("x0") - before, IFR + 1_000);
}
