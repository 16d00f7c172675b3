//! Policies are sets of what they allow; names and steps are each one thing (SPEC A).

use super::sample::Gen;
use crate::*;

fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 32])
}

/// A policy among few, so that any two are often related.
fn policy(g: &mut Gen) -> SpendingPolicy {
    let accounts: Vec<AccountId> = (0..4).filter(|_| g.below(2) == 1).map(account).collect();
    let recipients = match g.below(4) {
        0 => Recipients::Nobody,
        1 => Recipients::Anybody,
        _ if accounts.is_empty() => Recipients::Nobody,
        _ => Recipients::Listed(accounts),
    };
    let mut few = || g.below(3);
    let (per_run, per_day) = (Amount::from_nano(few()), Amount::from_nano(few()));
    SpendingPolicy { per_run, per_day, recipients, expires_at_ms: few() }
}

/// What a policy allows, one question at a time.
fn allows(policy: &SpendingPolicy) -> Vec<bool> {
    let numbers = || 0..3u64;
    let caps = numbers().flat_map(|sum| [policy.per_run.nano() >= sum, policy.per_day.nano() >= sum]);
    let times = numbers().map(|at_ms| at_ms < policy.expires_at_ms);
    // Four that may be listed, and one that never is.
    let payees = (0..5).map(|number| policy.recipients.contains(&account(number)));
    caps.chain(times).chain(payees).collect()
}

#[test]
fn a_policy_is_within_another_if_that_allows_all_that_it_does_and_two_meet_in_what_both_allow() {
    let mut g = Gen::new(21);
    let mut related = 0;
    for _ in 0..3_000 {
        let (one, other) = (policy(&mut g), policy(&mut g));
        let (by_one, by_other) = (allows(&one), allows(&other));
        let implied = by_one.iter().zip(&by_other).all(|(one, other)| !one || *other);
        assert_eq!(one.within(&other), implied, "{one:?} in {other:?}");
        let meet = one.meet(&other);
        let both: Vec<bool> = by_one.iter().zip(&by_other).map(|(one, other)| *one && *other).collect();
        assert_eq!(allows(&meet), both, "{one:?} and {other:?}");
        assert!(meet.within(&one) && meet.within(&other) && meet.recipients.is_well_formed());
        assert_eq!(meet == one, one.within(&other), "a policy within another meets it in itself");
        related += u32::from(implied);
    }
    assert!((100..2_900).contains(&related), "{related}");
}

#[test]
fn a_run_may_move_the_lesser_cap_and_nothing_to_nobody() {
    let mut policy =
        SpendingPolicy { per_run: Amount::from_nano(5), per_day: Amount::from_nano(3), ..SpendingPolicy::NOTHING };
    assert_eq!(policy.run_max(), Amount::ZERO);
    policy.recipients = Recipients::Anybody;
    assert_eq!(policy.run_max().nano(), 3);
    policy.per_day = Amount::from_nano(9);
    assert_eq!(policy.run_max().nano(), 5);
}

#[test]
fn names_of_agents_and_calls_are_each_ones_own() {
    let (run, other) = (LeaseId::new(Digest::sha256(b"run")), LeaseId::new(Digest::sha256(b"other")));
    let names = [
        JobId::of_call(run, 0, 1),
        JobId::of_call(run, 1, 0),
        JobId::of_call(other, 0, 1),
        step_request(run, 0, &Digest::ZERO, &Digest::ZERO).job,
        step_request(run, 1, &Digest::ZERO, &Digest::ZERO).job,
    ];
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    let agent = AgentId::of_creator(&account(1), "ab");
    assert_ne!(agent, AgentId::of_creator(&account(1), "a"));
    assert_ne!(agent, AgentId::of_creator(&account(2), "ab"));
    assert_ne!(agent.account().as_bytes(), agent.digest().as_bytes());
    for (name, is_name) in
        [("a", true), ("a-1", true), ("", false), ("-", false), ("a-", false), ("A", false), ("a.b", false)]
    {
        assert_eq!(is_agent_name(name), is_name, "{name}");
    }
}

/// SPEC A1: a version is what a run is and costs; it is another one when any of that changes, and the policy has no part in it.
#[test]
fn a_version_is_named_by_all_that_a_run_is_and_costs() {
    let mut g = Gen::new(9);
    let terms: AgentTerms = g.next();
    let version = terms.version_digest();
    let changes: [fn(&mut AgentTerms); 7] = [
        |terms| terms.manifest = Digest::sha256(b"another"),
        |terms| terms.model = ProfileId::new(Digest::sha256(b"another")),
        |terms| terms.price = Amount::from_nano(terms.price.nano() ^ 1),
        |terms| terms.limits.steps ^= 1,
        |terms| terms.limits.tokens ^= 1,
        |terms| terms.limits.tool_calls ^= 1,
        |terms| terms.limits.run_ms ^= 1,
    ];
    let mut versions = std::collections::BTreeSet::from([version]);
    for change in changes {
        let mut changed = terms.clone();
        change(&mut changed);
        assert!(versions.insert(changed.version_digest()));
    }
    assert_eq!(AgentTerms { policy: SpendingPolicy::NOTHING, ..terms }.version_digest(), version);
}

/// SPEC A2: of hosts there is one profile, so that nobody picks who judges.
#[test]
fn hosts_have_one_profile() {
    let host = ModelProfile::host();
    assert!(host.is_well_formed());
    let build = EngineClass::Canonical { build: Digest::ZERO, tier: "any".into() };
    for other in [
        ModelProfile { name: "agent".into(), ..host.clone() },
        ModelProfile { weights_root: Digest::sha256(b"w"), ..host.clone() },
        ModelProfile { sampler_version: 1, ..host.clone() },
        ModelProfile { engine: build, ..host },
    ] {
        assert!(!other.is_well_formed(), "{other:?}");
        assert!(ModelProfile { task: ModelTask::Chat, ..other }.is_well_formed());
    }
}

/// A step binds the run, its place, the step before and the input, and its result every call in its order.
#[test]
fn a_step_binds_what_it_follows_from() {
    let run = LeaseId::new(Digest::sha256(b"run"));
    let [before, input, output] = [b"before", b"inputs", b"output"].map(|text| Digest::sha256(text));
    let usual = step_request(run, 3, &before, &input);
    for other in [
        step_request(run, 4, &before, &input),
        step_request(run, 3, &input, &input),
        step_request(run, 3, &before, &before),
        step_request(LeaseId::new(input), 3, &before, &input),
    ] {
        assert_ne!(other.input_commitment, usual.input_commitment);
    }
    let pay = |nano| RunCall::Spend { order: SpendOrder::Pay { to: account(7), amount: Amount::from_nano(nano) } };
    let calls = [RunCall::Model { leaf: before }, pay(1), pay(2)];
    for is_answer in [false, true] {
        let result = step_result(&usual, output, &calls, is_answer);
        let leaf = JobLeaf { request: usual.clone(), result };
        assert!(leaf.is_consistent());
        assert_eq!(leaf.result.usage.tokens(), u64::from(is_answer));
        let hashes: Vec<Digest> = calls.iter().map(RunCall::hash).collect();
        let leaves = [leaf.hash(), Digest::ZERO];
        let cited = |order, call| AgentSpend {
            run,
            segment: 0,
            step: leaf.clone(),
            step_path: merkle_path(&leaves, 0).unwrap(),
            order,
            call_path: merkle_path(&hashes, call).unwrap(),
        };
        let root = merkle_root(&leaves);
        let order = |nano| SpendOrder::Pay { to: account(7), amount: Amount::from_nano(nano) };
        assert!(cited(order(1), 1).proves(&root) && cited(order(2), 2).proves(&root));
        assert!(!cited(order(1), 2).proves(&root) && !cited(order(3), 1).proves(&root));
        assert!(!cited(order(1), 1).proves(&merkle_root(&leaves[..1])));
        assert!(!AgentSpend { run: LeaseId::new(input), ..cited(order(1), 1) }.proves(&root));
    }
}
