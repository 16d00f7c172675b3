//! Registration: SPEC N1, N4, N5, N6, S3.

use super::support::*;
use crate::Rejection;
use inferium_types::{Amount, Event, NodeRole, Tier, TransactionBody, VerdictVote, limits};
use std::collections::BTreeSet;

#[test]
fn operator_registers_with_exactly_the_least_bond() {
    let mut chain = Chain::new();
    let needed = chain.parameters().operator_bond_min;
    let less = Amount::from_nano(needed.nano() - 1);
    chain.fails(
        "x0",
        TransactionBody::RegisterOperator { bond: less },
        &Rejection::Insufficient { needed, available: less },
    );
    chain.ok("x0", TransactionBody::RegisterOperator { bond: needed });
    assert_eq!(chain.state.operator(&id("x0")).unwrap().bond, needed);
    chain.fails("x0", TransactionBody::RegisterOperator { bond: needed }, &Rejection::Exists { what: "operator" });
}

#[test]
fn operator_cannot_bond_more_than_it_has() {
    let chain = Chain::new();
    let transaction = chain.tx("x0", TransactionBody::RegisterOperator { bond: Amount::from_ifr(200_000) });
    let available = PURSE.sub(fee_of(chain.parameters(), &transaction)).unwrap();
    let needed = Amount::from_ifr(200_000);
    chain.fails(
        "x0",
        TransactionBody::RegisterOperator { bond: needed },
        &Rejection::Insufficient { needed, available },
    );
}

/// SPEC N1, N5: each role at its least stake, and one nano below.
#[test]
fn node_registers_with_exactly_the_least_stake_of_its_role() {
    let mut chain = Chain::new();
    let parameters = chain.parameters().clone();
    let cases =
        [("w0", worker_role("w0"), parameters.worker_stake_min), ("g0", gateway_role(), parameters.gateway_bond_min)];
    for (name, role, needed) in cases {
        let operator = operator_of(name);
        chain.ok(&operator, TransactionBody::RegisterOperator { bond: parameters.operator_bond_min });
        let less = Amount::from_nano(needed.nano() - 1);
        let body = chain.registration(name, &operator, role.clone(), less);
        chain.fails(name, body, &Rejection::Insufficient { needed, available: less });
        let body = chain.registration(name, &operator, role.clone(), needed);
        let events = chain.ok(name, body.clone());
        assert_eq!(events, [Event::NodeRegistered { node: id(name), role, operator: id(&operator) }]);
        assert_eq!(chain.stake(name), needed.nano());
        chain.fails(name, body, &Rejection::Exists { what: "node" });
    }
}

#[test]
fn node_needs_an_operator_that_signed_for_it_and_its_role() {
    let mut chain = Chain::new();
    let stake = Amount::from_ifr(1_000);
    let body = chain.registration("g0", "x0", gateway_role(), stake);
    chain.fails("g0", body, &Rejection::Unknown { what: "operator" });
    chain.ok("x0", TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) });
    let wrong = Rejection::Signature { whose: "operator's" };
    let for_another = chain.registration("g1", "x0", gateway_role(), stake);
    chain.fails("g0", for_another, &wrong);
    let TransactionBody::RegisterNode { operator, operator_signature, .. } =
        chain.registration("g0", "x0", worker_role("g0"), stake)
    else {
        panic!("a registration")
    };
    let other_role = TransactionBody::RegisterNode { role: gateway_role(), operator, operator_signature, stake };
    chain.fails("g0", other_role, &wrong);
    let by_another = chain.registration("g0", "x0", gateway_role(), stake);
    let TransactionBody::RegisterNode { role, operator_signature, stake, .. } = by_another else {
        panic!("a registration")
    };
    chain.ok("x1", TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) });
    let swapped = TransactionBody::RegisterNode { role, operator: id("x1"), operator_signature, stake };
    chain.fails("g0", swapped, &wrong);
}

#[test]
fn urls_are_bounded_and_have_a_known_scheme() {
    let mut chain = Chain::ready(1);
    let longest = format!("https://{}", "a".repeat(limits::URL_SIZE_MAX - 8));
    let refused = Rejection::OutOfBounds { field: "url" };
    for url in ["", "ftp://gateway.example", "gateway.example", "javascript:alert(1)"] {
        chain.fails("g0", TransactionBody::SetUrl { url: url.into() }, &refused);
    }
    chain.fails("g0", TransactionBody::SetUrl { url: format!("{longest}a") }, &refused);
    let events = chain.ok("g0", TransactionBody::SetUrl { url: longest.clone() });
    assert_eq!(events, [Event::UrlChanged { node: id("g0"), url: longest.clone() }]);
    assert_eq!(chain.state.node(&id("g0")).unwrap().role, NodeRole::Gateway { url: longest });
    let url = || TransactionBody::SetUrl { url: "http://a.example".into() };
    chain.ok("v0", url());
    chain.fails("w0", url(), &Rejection::NotAllowed { expected: "a validator or gateway" });
    chain.fails("x0", url(), &Rejection::Unknown { what: "node" });
    let bad = NodeRole::Gateway { url: "gopher://a".into() };
    chain.ok(&operator_of("g1"), TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) });
    let body = chain.registration("g1", &operator_of("g1"), bad, Amount::from_ifr(1_000));
    chain.fails("g1", body, &refused);
}

/// SPEC N4: only validators declare, each once, and a name has its maximum.
#[test]
fn profiles_are_declared_by_validators_once_each() {
    let mut chain = Chain::ready(1);
    let declare = |name: &str| TransactionBody::DeclareProfile { profile: model(name) };
    chain.fails("v0", declare("model"), &Rejection::Exists { what: "declaration" });
    chain.fails("w0", declare("model"), &Rejection::NotAllowed { expected: "a validator" });
    chain.fails("x0", declare("model"), &Rejection::NotAllowed { expected: "a validator" });
    let field = Rejection::OutOfBounds { field: "profile" };
    chain.fails("v0", declare(""), &field);
    let longest = "m".repeat(limits::NAME_SIZE_MAX);
    chain.fails("v0", declare(&format!("{longest}m")), &field);
    let events = chain.ok("v0", declare(&longest));
    assert_eq!(events, [Event::ProfileDeclared { profile: model(&longest).id(), validator: id("v0") }]);
    let listed = &chain.state.profile(&profile()).unwrap().validators;
    assert_eq!(listed.len(), 4);
    assert!(listed.is_sorted());
}

/// SPEC N4: operators - 1 is too few, exactly enough suffices.
#[test]
fn profile_is_leasable_from_the_least_number_of_operators_on() {
    let mut chain = Chain::new();
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    chain.register("g0", gateway_role(), Amount::from_ifr(1_000));
    let open = || TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open(), &Rejection::Unknown { what: "profile" });
    for found in 1..3 {
        chain.ok(&format!("v{}", found - 1), TransactionBody::DeclareProfile { profile: model("model") });
        chain.fails("g0", open(), &Rejection::ProfileNotLeasable { found, needed: 3 });
    }
    chain.ok("v2", TransactionBody::DeclareProfile { profile: model("model") });
    chain.ok("g0", open());
}

/// SPEC N4: two seats of one operator count once.
#[test]
fn two_validators_of_one_operator_count_as_one() {
    let operators = ["a", "b", "b"].map(operator_of);
    let mut chain = Chain::seated(&operators, devnet(3));
    chain.register("g0", gateway_role(), Amount::from_ifr(1_000));
    chain.declare_all();
    let open = TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open, &Rejection::ProfileNotLeasable { found: 2, needed: 3 });
}

/// SPEC N6: a worker never serves its operator's gateway.
#[test]
fn nodes_of_one_operator_are_never_matched() {
    let mut chain = Chain::ready(1);
    let body = chain.registration("g1", &operator_of("w0"), gateway_role(), Amount::from_ifr(1_000));
    chain.ok("g1", body);
    chain.ok("w0", offer(4));
    let (task, lease) = chain.open("g1", task_terms());
    assert!(chain.state.task(&task).is_some());
    assert_eq!(chain.state.lease(&lease), None);
    let (_, lease) = chain.open("g0", task_terms());
    assert!(chain.state.lease(&lease).is_some());
}

/// SPEC N6, V1: validators of either side's operator judge nothing.
#[test]
fn validators_of_either_side_are_not_drawn() {
    let mut chain = Chain::new();
    chain.declare_all();
    let body = chain.registration("w0", &operator_of("v0"), worker_role("w0"), Amount::from_ifr(1_000));
    chain.ok("w0", body);
    chain.set_measured("w0", Tier::Mid, 1_000);
    let body = chain.registration("g0", &operator_of("v1"), gateway_role(), Amount::from_ifr(1_000));
    chain.ok("g0", body);
    let lease = chain.lease();
    for _ in 0..6 {
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        chain.vote(segment, &members, VerdictVote::Unavailable);
        let all = chain.committee(segment);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(!all.contains(&"v0".to_owned()) && !all.contains(&"v1".to_owned()));
        let rest = chain.silent_members(segment);
        chain.vote(segment, &rest, VerdictVote::Unavailable);
    }
}

#[test]
fn only_active_workers_offer_and_only_gateways_open() {
    let chain = Chain::ready(1);
    let open = || TransactionBody::OpenTask { terms: task_terms() };
    for stranger in ["x0", "g0", "v0"] {
        chain.fails(stranger, offer(1), &Rejection::NotAllowed { expected: "a worker" });
    }
    for stranger in ["x0", "w0", "v0"] {
        chain.fails(stranger, open(), &Rejection::NotAllowed { expected: "a gateway" });
    }
}

/// SPEC C5: money buys no seat after the genesis.
#[test]
fn no_validator_registers_after_the_genesis() {
    let mut chain = Chain::new();
    let operator = operator_of("x0");
    let bond = chain.parameters().operator_bond_min;
    chain.ok(&operator, TransactionBody::RegisterOperator { bond });
    let body = chain.registration("x0", &operator, validator_role(), Amount::from_ifr(50_000));
    chain.fails("x0", body, &Rejection::NotAllowed { expected: "a seat of the genesis" });
}

/// SPEC N6: one operator has one vote in a committee, drawn or widened, and one relay.
#[test]
fn operator_with_several_seats_sits_once() {
    let operators = ["a", "b", "b", "b", "c", "d"].map(operator_of);
    let mut chain = Chain::seated(&operators, devnet(4)).furnished(1);
    for _ in 0..8 {
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        assert_eq!(operators_of(&chain, &members), members.len());
        // Four operators, two of whom stay outside at first.
        assert_eq!(members.len(), 2);
        chain.vote(segment, &members, invalid());
        let widened = chain.silent_members(segment);
        assert_eq!(widened.len(), 2, "one of each operator but for who voted");
        assert_eq!(operators_of(&chain, &[widened, members].concat()), 4);
        chain.ok("g0", TransactionBody::CloseLease { lease });
    }
}

fn operators_of(chain: &Chain, validators: &[String]) -> usize {
    let operators: BTreeSet<_> = validators.iter().map(|name| chain.state.node(&id(name)).unwrap().operator).collect();
    operators.len()
}

/// SPEC N1: a worker is given work by a seed that nobody knew when it chose its VRF key.
#[test]
fn worker_waits_for_a_seed_younger_than_its_registration() {
    let mut chain = Chain::ready(0);
    // One that offers nothing, so that tasks of its tier may be opened.
    chain.register("w1", worker_role("w1"), Amount::from_ifr(1_000));
    let (_, lease) = chain.open("g0", task_terms());
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_000));
    let registered = chain.view;
    let delay = chain.parameters().draw_delay_views;
    chain.ok("w0", offer(1));
    while chain.state.meta().beacon_view < registered + delay {
        assert_eq!(chain.state.lease(&lease), None, "the newest seed is of view {}", chain.state.meta().beacon_view);
        chain.blocks(1);
    }
    let granted = chain.state.lease(&lease).unwrap();
    assert_eq!(granted.worker, id("w0"));
    assert_eq!(granted.granted_height, chain.state.height(), "not a block later");
}
