//! Stake on its way in and out: SPEC M7, and what S takes of it on the way.

use super::support::*;
use crate::{Rejection, SegmentState};
use inferium_types::{
    Amount, Event, NodeId, Parameters, Ppm, ProposalAction, ProposalOutcome, ProposalTerms, SegmentId, SlashRule,
    TransactionBody,
};

const SEAT: u64 = 50_000 * IFR;

/// Validators, `w0` and `g0`; nothing is earned in common.
fn chain() -> Chain {
    Chain::with(4, Parameters { fee_share_validators: Ppm::new(0), ..feeless(4) }).furnished(1)
}

/// What `account` has delegated to `validator`, as it is worth now.
fn worth(chain: &Chain, account: &str, validator: &str) -> u64 {
    let shares = chain.state.delegations.get(&(id(account), id(validator))).map_or(0, |of| of.shares);
    chain.state.node(&id(validator)).unwrap().delegated.value(shares).nano()
}

fn pools(chain: &Chain, name: &str) -> (u64, u64, u64) {
    let node = chain.state.node(&id(name)).unwrap();
    (node.stake.nano(), node.delegated.tokens.nano(), node.unbonding.tokens.nano())
}

const fn lacks(needed: u64, available: u64) -> Rejection {
    Rejection::Insufficient { needed: Amount::from_nano(needed), available: Amount::from_nano(available) }
}

/// A segment before its committee, and one of its members.
fn judged(chain: &mut Chain) -> (SegmentId, String) {
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    (segment, members[0].clone())
}

/// `member` rejects what all others approve: 5 %.
fn reject_wrongly(chain: &mut Chain, segment: SegmentId, member: &str) {
    chain.dissent(segment, member, invalid(), valid());
    let slashed = chain.history.iter().rev().find_map(|event| match event {
        Event::Slashed(slash) => Some((slash.node, slash.rule)),
        _ => None,
    });
    assert_eq!(slashed, Some((id(member), SlashRule::WrongRejection)));
}

fn matures_at_ms(chain: &Chain, number: u64) -> u64 {
    chain.state.unbondings().find(|(of, _)| **of == number).unwrap().1.matures_at_ms
}

// In.

/// SPEC M7: own stake is the node's or its operator's; delegated stake is anyone else's, and only
/// validators take it.
#[test]
fn own_stake_is_the_operators_and_delegated_stake_is_everyone_elses() {
    let mut chain = chain();
    let events = chain.ok("w0", bond("w0", 7));
    assert_eq!(events, [Event::Bonded { node: id("w0"), account: id("w0"), amount: Amount::from_nano(7) }]);
    let before = chain.balance(&operator_of("w0"));
    chain.ok(&operator_of("w0"), bond("w0", 5));
    assert_eq!(chain.balance(&operator_of("w0")), before - 5);
    chain.ok("v0", bond("v0", 3));
    chain.ok(&operator_of("g0"), bond("g0", 1));
    assert_eq!(
        [chain.stake("w0"), chain.stake("v0"), chain.stake("g0")],
        [1_000 * IFR + 12, SEAT + 3, 1_000 * IFR + 1]
    );

    chain.ok("x0", bond("v0", 2 * IFR));
    chain.ok("w0", bond("v0", IFR));
    assert_eq!(pools(&chain, "v0"), (SEAT + 3, 3 * IFR, 0));
    assert_eq!((worth(&chain, "x0", "v0"), worth(&chain, "w0", "v0")), (2 * IFR, IFR));
    let refused = Rejection::NotAllowed { expected: "the node or its operator: only validators take delegations" };
    for node in ["w0", "g0"] {
        chain.fails("x0", bond(node, 2 * IFR), &refused);
    }
    chain.fails("x0", bond("x5", IFR), &Rejection::Unknown { what: "node" });
    for node in ["v0", "w0"] {
        chain.fails("w0", bond(node, 0), &Rejection::OutOfBounds { field: "amount" });
    }
    let (needed, available) = (PURSE.nano() * 3, chain.balance("x1"));
    chain.fails("x1", bond("v0", needed), &lacks(needed, available));
    chain.fails(&operator_of("g0"), bond("g0", needed), &lacks(needed, chain.balance(&operator_of("g0"))));
}

#[test]
fn delegation_has_a_least_amount() {
    let mut chain = chain();
    let least = chain.parameters().delegation_min.nano();
    chain.fails("x0", bond("v0", least - 1), &lacks(least, least - 1));
    chain.ok("x0", bond("v0", least));
    chain.ok("x0", bond("v0", least + 1));
    assert_eq!(worth(&chain, "x0", "v0"), 2 * least + 1);
    // Own stake has none.
    chain.ok("v0", bond("v0", 1));
}

/// SPEC M7: a validator's own stake is a tenth of what is behind it at least, to the nano.
#[test]
fn a_tenth_of_the_stake_behind_a_validator_is_its_own() {
    let mut chain = chain();
    for name in ["x0", "x1", "x2", "x3"] {
        chain.ok(name, bond("v0", PURSE.nano()));
    }
    let last = 9 * SEAT - 4 * PURSE.nano();
    let field = "delegation: the validator's own stake is too small";
    chain.fails("x4", bond("v0", last + 1), &Rejection::OutOfBounds { field });
    chain.clone().ok("x4", bond("v0", last - 1));
    chain.ok("x4", bond("v0", last));
    assert_eq!(pools(&chain, "v0").1, 9 * SEAT);
    chain.fails("x5", bond("v0", IFR), &Rejection::OutOfBounds { field });
    // What it adds carries nine times as much, and can't leave from under it.
    chain.ok("v0", bond("v0", IFR));
    chain.fails("x5", bond("v0", 9 * IFR + 1), &Rejection::OutOfBounds { field });
    chain.ok("x5", bond("v0", 9 * IFR - 9));
    let field = "own stake: too small for what is delegated";
    chain.fails("v0", unbond("v0", 2), &Rejection::OutOfBounds { field });
    chain.ok("v0", unbond("v0", 1));
    chain.fails("v0", unbond("v0", 1), &Rejection::OutOfBounds { field });
}

#[test]
fn account_delegates_to_sixteen_validators() {
    let mut chain = Chain::with(17, feeless(17));
    for index in 0..15 {
        chain.ok("x0", bond(&format!("v{index}"), IFR));
    }
    chain.clone().ok("x0", bond("v16", IFR));
    chain.ok("x0", bond("v15", IFR));
    chain.fails("x0", bond("v16", IFR), &Rejection::OutOfBounds { field: "delegations" });
    chain.ok("x0", bond("v15", IFR));
    chain.ok("x1", bond("v16", IFR));
    // One that it takes back whole makes room for another.
    chain.ok("x0", unbond("v3", IFR - 1));
    chain.fails("x0", bond("v16", IFR), &Rejection::OutOfBounds { field: "delegations" });
    chain.ok("x0", unbond("v3", 1));
    chain.ok("x0", bond("v16", IFR));
}

/// SPEC M7, S2: what is held may come back to those who lost it, so nobody joins them meanwhile.
#[test]
fn no_one_delegates_while_a_slash_is_held() {
    let mut chain = chain();
    let (segment, member) = judged(&mut chain);
    chain.ok("x0", bond(&member, 100 * IFR));
    reject_wrongly(&mut chain, segment, &member);
    let refused = Rejection::WrongState { what: "delegating while slashed stake is held" };
    chain.fails("x1", bond(&member, IFR), &refused);
    chain.fails("x0", bond(&member, IFR), &refused);
    chain.ok(&member, bond(&member, IFR));
    chain.ok("x0", unbond(&member, IFR));
    let release = chain.state.holds().next().unwrap().1.releases_at_ms;
    chain.wait_until(release - BLOCK_MS);
    // In the block that releases it, transactions come first.
    chain.fails("x1", bond(&member, IFR), &refused);
    chain.wait_until(release);
    assert_eq!(chain.state.holds().count(), 0);
    chain.ok("x1", bond(&member, IFR));
}

// Out.

/// SPEC M7: after the unbonding time, to the millisecond; own stake goes to the operator.
#[test]
fn stake_comes_back_after_its_time() {
    let mut chain = chain();
    chain.ok("w0", bond("w0", 10 * IFR));
    chain.ok("x0", bond("v0", 20 * IFR));
    let before = [operator_of("w0"), "w0".into(), "x0".into()].map(|name| chain.balance(&name));
    let own = chain.tx("w0", unbond("w0", 10 * IFR));
    let delegated = chain.tx("x0", unbond("v0", 5 * IFR));
    let events = chain.block(&[own, delegated]);
    let matures_at_ms = chain.now_ms + chain.parameters().unbond_ms;
    let started = |unbonding, node, account: NodeId, ifr| {
        let amount = Amount::from_ifr(ifr);
        Event::Unbonding { unbonding, node: id(node), account, amount, matures_at_ms }
    };
    assert_eq!(events, [started(0, "w0", id(&operator_of("w0")), 10), started(1, "v0", id("x0"), 5)]);
    assert_eq!(pools(&chain, "w0"), (1_000 * IFR, 0, 10 * IFR));
    assert_eq!(pools(&chain, "v0"), (SEAT, 15 * IFR, 5 * IFR));
    chain.wait_until(matures_at_ms - 1);
    assert_eq!(chain.state.unbondings().count(), 2);
    let events = chain.wait_until(matures_at_ms);
    let paid = |unbonding, node, account: NodeId, ifr| Event::Unbonded {
        unbonding,
        node: id(node),
        account,
        amount: Amount::from_ifr(ifr),
    };
    for event in [paid(0, "w0", id(&operator_of("w0")), 10), paid(1, "v0", id("x0"), 5)] {
        assert!(events.contains(&event), "{events:?}");
    }
    let after = [operator_of("w0"), "w0".into(), "x0".into()].map(|name| chain.balance(&name));
    assert_eq!(after, [before[0] + 10 * IFR, before[1], before[2] + 5 * IFR]);
    assert_eq!(chain.state.unbondings().count(), 0);
    assert_eq!(pools(&chain, "w0").2 + pools(&chain, "v0").2, 0);
}

#[test]
fn stake_is_taken_back_once() {
    let mut chain = chain();
    chain.ok("x0", bond("v0", 10 * IFR));
    chain.fails("x1", unbond("v0", IFR), &Rejection::Unknown { what: "delegation" });
    chain.fails("x0", unbond("v1", IFR), &Rejection::Unknown { what: "delegation" });
    chain.fails("x0", unbond("x1", IFR), &Rejection::Unknown { what: "node" });
    chain.fails("x0", unbond("v0", 0), &Rejection::OutOfBounds { field: "amount" });
    chain.fails("x0", unbond("v0", 10 * IFR + 1), &lacks(10 * IFR + 1, 10 * IFR));
    chain.ok("x0", unbond("v0", 6 * IFR));
    chain.fails("x0", unbond("v0", 6 * IFR), &lacks(6 * IFR, 4 * IFR));
    chain.fails("x0", unbond("v0", 4 * IFR + 1), &lacks(4 * IFR + 1, 4 * IFR));
    chain.ok("x0", unbond("v0", 4 * IFR));
    chain.fails("x0", unbond("v0", 1), &Rejection::Unknown { what: "delegation" });
    // In one block, too.
    chain.ok("x0", bond("v0", 10 * IFR));
    let twice = [0, 1].map(|ahead| chain.tx_after("x0", ahead, unbond("v0", 10 * IFR)));
    let events = chain.block(&twice);
    let failed = events.iter().filter(|event| matches!(event, Event::TransactionFailed { .. })).count();
    assert_eq!((failed, pools(&chain, "v0")), (1, (SEAT, 0, 20 * IFR)));
}

/// A node keeps the least stake of its role, or leaves altogether; a validator's seat is handed
/// over first.
#[test]
fn node_keeps_its_least_stake_or_leaves() {
    let mut chain = chain();
    for (name, least) in [("w0", 1_000 * IFR), ("g0", 1_000 * IFR), ("v0", SEAT)] {
        chain.fails(name, unbond(name, 1), &lacks(least, least - 1));
        chain.fails(name, unbond(name, least - 1), &lacks(least, 1));
        chain.fails(name, unbond(name, least + 1), &lacks(least + 1, least));
        chain.ok(name, bond(name, 1));
        chain.fails(name, unbond(name, 2), &lacks(least, least - 1));
        chain.clone().ok(name, unbond(name, 1));
    }
    chain.fails("v0", unbond("v0", SEAT + 1), &lacks(SEAT, 0));
    let lease = chain.lease();
    let events = chain.ok("w0", unbond("w0", 1_000 * IFR + 1));
    assert!(events.contains(&Event::TierLost { worker: id("w0") }));
    assert!(events.iter().any(|event| matches!(event, Event::LeaseEnded { lease: of, .. } if *of == lease)));
    assert_eq!(chain.state.offer(profile(), id("w0")), None);
    assert_eq!(chain.state.meta().tiers, [0; 3]);
    // SPEC N5: a gateway without its bond opens nothing, however little it lacks.
    chain.set_measured("w0", inferium_types::Tier::Mid, 1_000);
    chain.ok("g0", unbond("g0", 1_000 * IFR + 1));
    let open = || TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open(), &lacks(1_000 * IFR, 0));
    chain.ok("g0", bond("g0", 1_000 * IFR - 1));
    chain.fails("g0", open(), &lacks(1_000 * IFR, 1_000 * IFR - 1));
    chain.ok("g0", bond("g0", 1));
    chain.ok("g0", open());
}

/// SPEC V4: its stake answers for what it has not been paid for.
#[test]
fn worker_with_unsettled_pay_stays() {
    let mut chain = chain();
    let lease = chain.lease();
    let segment = chain.approve(lease, totals(1, 10, 10));
    assert!(!chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    chain.fails("w0", unbond("w0", 1_000 * IFR), &lacks(1_000 * IFR, 0));
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    chain.wait_until(settles_at_ms - BLOCK_MS);
    // In the block that pays it, transactions come first.
    chain.fails("w0", unbond("w0", 1_000 * IFR), &lacks(1_000 * IFR, 0));
    chain.wait_until(settles_at_ms);
    chain.ok("w0", unbond("w0", 1_000 * IFR));
}

// Slashed.

/// SPEC M7: own, delegated and leaving stake lose the same share.
#[test]
fn slash_takes_its_share_of_what_is_leaving() {
    let mut chain = chain();
    let (segment, member) = judged(&mut chain);
    chain.ok("x0", bond(&member, 2_000 * IFR));
    chain.ok("x1", bond(&member, 500 * IFR));
    chain.ok("x0", unbond(&member, 1_000 * IFR));
    reject_wrongly(&mut chain, segment, &member);
    let (_, hold) = chain.state.holds().next().unwrap();
    let parts = [hold.own, hold.delegated, hold.unbonding].map(Amount::nano);
    assert_eq!(parts, [SEAT / 20, 75 * IFR, 50 * IFR]);
    assert_eq!(pools(&chain, &member), (SEAT - SEAT / 20, 1_425 * IFR, 950 * IFR));
    assert_eq!((worth(&chain, "x0", &member), worth(&chain, "x1", &member)), (950 * IFR, 475 * IFR));
    // What leaves after the slash is not cut again.
    chain.ok("x1", unbond(&member, 475 * IFR));
    let before = (chain.balance("x0"), chain.balance("x1"));
    chain.blocks(800);
    assert_eq!((chain.balance("x0"), chain.balance("x1")), (before.0 + 950 * IFR, before.1 + 475 * IFR));
    assert_eq!(pools(&chain, &member), (SEAT - SEAT / 20, 950 * IFR, 0));
}

/// All of it leaves no share behind, however little one is worth after a slash.
#[test]
fn whole_delegation_leaves_nothing_behind_after_a_slash() {
    let mut chain = chain();
    let (segment, member) = judged(&mut chain);
    chain.ok("x0", bond(&member, 3 * IFR + 1));
    chain.ok("x1", bond(&member, 7 * IFR + 3));
    reject_wrongly(&mut chain, segment, &member);
    // What would be worth less than a nano does not stay behind alone.
    let almost = worth(&chain, "x0", &member) - 1;
    let mut other = chain.clone();
    other.ok("x0", unbond(&member, almost - 1));
    let rest = other.state.delegations.get(&(id("x0"), id(&member))).map(|of| of.shares);
    assert_eq!(rest, Some(2));
    other.ok("x0", unbond(&member, 1));
    assert_eq!(other.state.delegations_of(id("x0")).count(), 0);
    for name in ["x0", "x1"] {
        let whole = worth(&chain, name, &member);
        chain.fails(name, unbond(&member, whole + 1), &lacks(whole + 1, whole));
        chain.ok(name, unbond(&member, whole));
        assert_eq!(chain.state.delegations_of(id(name)).count(), 0, "{name}");
    }
    assert_eq!(chain.state.node(&id(&member)).unwrap().delegated, crate::Pool::default());
}

/// SPEC M7, S2: a withdrawal that is due while a slash is held waits for one hold's time, once.
#[test]
fn withdrawal_waits_once_for_slashes_that_are_held() {
    let mut chain = chain();
    let (segment, member) = judged(&mut chain);
    chain.ok("x0", bond(&member, 100 * IFR));
    chain.ok("x1", bond("v0", 100 * IFR));
    let other = if member == "v0" { "v1" } else { "v0" };
    if member == "v0" {
        chain.ok("x1", bond("v1", 100 * IFR));
    }
    chain.ok("x0", unbond(&member, 40 * IFR));
    chain.ok("x1", unbond(other, 40 * IFR));
    let due = [0, 1].map(|number| matures_at_ms(&chain, number));
    reject_wrongly(&mut chain, segment, &member);
    chain.wait_until(due[1]);
    let waiting = *chain.state.unbondings().next().unwrap().1;
    assert_eq!(chain.state.unbondings().count(), 1, "what is nobody's slash is paid");
    assert!(waiting.waited);
    let hold_ms = chain.parameters().slash_hold_ms;
    let later = waiting.matures_at_ms;
    assert!((due[0] + hold_ms..=due[1] + hold_ms).contains(&later));
    // Another slash of the same node meanwhile makes it wait no longer, and takes its share.
    chain.wait_until(later - 100_000);
    let slashes = chain.state.meta().slashes;
    while chain.state.node(&id(&member)).unwrap().holds == 0 {
        let (segment, drawn) = judged(&mut chain);
        let members = chain.committee(segment);
        if members.contains(&member) {
            reject_wrongly(&mut chain, segment, &member);
        } else {
            chain.vote(segment, &members, valid());
            assert!(!drawn.is_empty());
        }
        assert!(chain.now_ms < later - 10_000, "not drawn");
    }
    assert_eq!(chain.state.meta().slashes, slashes + 1);
    let before = chain.balance("x0");
    chain.wait_until(later - 1);
    assert_eq!(chain.balance("x0"), before);
    chain.wait_until(later);
    assert_eq!(chain.state.node(&id(&member)).unwrap().holds, 1);
    assert_eq!(chain.balance("x0") - before, 40 * IFR * 95 / 100 * 75 / 100);
}

// Rewards.

/// Fees that validators earned in common, `nano` for each of four.
fn earn(chain: &mut Chain, nano: u64) {
    let meta = chain.state.meta_mut();
    meta.reward_pool = meta.reward_pool.sub(Amount::from_nano(4 * nano)).unwrap();
    meta.validator_pool = meta.validator_pool.add(Amount::from_nano(4 * nano)).unwrap();
}

/// SPEC M7: by stake, less commission on the delegators' part; among them by shares.
#[test]
fn rewards_are_shared_by_stake_less_commission() {
    for (commission, kept) in [(0u32, 0u64), (100_000, 50), (10_000, 5), (500_000, 250)] {
        let mut chain = chain();
        chain.ok("v0", TransactionBody::SetCommission { commission: Ppm::new(commission) });
        chain.ok("x0", bond("v0", 30_000 * IFR));
        chain.ok("x1", bond("v0", 20_000 * IFR));
        let before = [chain.balance("v0"), chain.balance("v1")];
        earn(&mut chain, 1_000);
        let events = chain.next_epoch();
        let fees = Amount::from_nano(1_000);
        let rewarded = |name: &str| Event::Rewarded { node: id(name), epoch: 0, fees, emission: Amount::ZERO };
        assert!(events.contains(&rewarded("v0")) && events.contains(&rewarded("v1")));
        assert_eq!(chain.balance("v0") - before[0], 500 + kept);
        assert_eq!(chain.balance("v1") - before[1], 1_000, "nobody delegated to it");
        let shared = 500 - kept;
        assert_eq!(pools(&chain, "v0"), (SEAT, SEAT + shared, 0));
        assert_eq!(worth(&chain, "x0", "v0"), 30_000 * IFR + shared * 3 / 5);
        assert_eq!(worth(&chain, "x1", "v0"), 20_000 * IFR + shared * 2 / 5);
        // Who comes after gets nothing of it.
        chain.ok("x2", bond("v0", 10_000 * IFR));
        assert!((10_000 * IFR - 1..=10_000 * IFR).contains(&worth(&chain, "x2", "v0")));
    }
}

/// At most a half; and while others' stake is at it, at most a hundredth more at a time.
#[test]
fn commission_has_limits() {
    let mut chain = chain();
    let set = |parts| TransactionBody::SetCommission { commission: Ppm::new(parts) };
    for stranger in ["x0", "w0", "g0"] {
        chain.fails(stranger, set(1), &Rejection::NotAllowed { expected: "a validator" });
    }
    chain.fails("v0", set(500_001), &Rejection::OutOfBounds { field: "commission" });
    chain.ok("v0", set(500_000));
    chain.ok("v0", set(20_000));
    chain.ok("x0", bond("v0", IFR));
    let field = "commission: it may rise by one percent an epoch";
    chain.fails("v0", set(30_001), &Rejection::OutOfBounds { field });
    chain.clone().ok("v0", set(29_999));
    chain.ok("v0", set(30_000));
    chain.fails("v0", set(30_001), &Rejection::OutOfBounds { field });
    // Down and up again in one epoch is no way around it, nor is the next epoch kept from it.
    chain.ok("v0", set(5_000));
    chain.fails("v0", set(30_001), &Rejection::OutOfBounds { field });
    chain.ok("v0", set(30_000));
    chain.next_epoch();
    chain.fails("v0", set(40_001), &Rejection::OutOfBounds { field });
    chain.ok("v0", set(40_000));
    chain.ok("v0", set(0));
    assert_eq!(chain.state.node(&id("v0")).unwrap().commission, Ppm::new(0));
    // Nobody is left to be protected.
    chain.ok("x0", unbond("v0", IFR));
    chain.ok("v0", set(400_000));
}

// The end.

/// A pool that was slashed to nothing takes no more: its shares are worth nothing, and stay so.
#[test]
fn pool_that_lost_everything_takes_no_more() {
    // The second wrong result takes everything here, and bars nobody.
    let parameters = Parameters { slash_wrong_again: Ppm::ONE, ..feeless(4) };
    let mut chain = Chain::with(4, parameters).furnished(1);
    for _ in 0..2 {
        while !chain.state.node(&id("w0")).unwrap().is_active(chain.state.meta().epoch) {
            chain.blocks(1);
        }
        let lease = chain.lease();
        chain.ok("w0", bond("w0", 3));
        if chain.state.meta().slashes == 1 {
            chain.ok(&operator_of("w0"), bond("w0", 1_000 * IFR));
            chain.ok("w0", unbond("w0", 1));
        }
        chain.convict(lease, totals(1, 10, 10));
    }
    let node = chain.state.node(&id("w0")).unwrap();
    assert!(!node.disqualified, "SPEC S3: it lost stake, not its right to work");
    let (_, hold) = chain.state.holds().last().unwrap();
    assert_eq!((hold.disqualified, hold.unbonding.nano()), (false, 1));
    assert!(!chain.state.operator(&id(&operator_of("w0"))).unwrap().barred);
    assert_eq!(pools(&chain, "w0"), (0, 0, 0));
    chain.ok(&operator_of("w0"), bond("w0", 1_001 * IFR));
    let refused = Rejection::WrongState { what: "adding to stake that was slashed to nothing" };
    chain.fails("w0", unbond("w0", IFR), &refused);
    // The withdrawal that lost everything ends, and others may begin.
    chain.blocks(800);
    assert_eq!(chain.state.unbondings().count(), 0);
    chain.ok("w0", unbond("w0", IFR));
}

/// SPEC G1: the seat goes at once, the money unbonds; who delegated may leave, nobody joins.
#[test]
fn removed_validator_gets_its_stake_back_in_time() {
    let mut chain = chain();
    chain.ok("x0", bond("v0", 10 * IFR));
    assert_eq!(chain.enact(ProposalAction::RemoveValidator { validator: id("v0") }), ProposalOutcome::Executed);
    let matures_at_ms = chain.now_ms + chain.parameters().unbond_ms;
    let (account, amount) = (id(&operator_of("v0")), Amount::from_nano(SEAT));
    let started = Event::Unbonding { unbonding: 0, node: id("v0"), account, amount, matures_at_ms };
    assert!(chain.events.contains(&started), "{:?}", chain.events);
    assert_eq!(pools(&chain, "v0"), (0, 10 * IFR, SEAT));
    assert!(chain.state.node(&id("v0")).unwrap().disqualified);
    assert!(!chain.state.operator(&account).unwrap().barred);
    chain.fails("x1", bond("v0", IFR), &Rejection::Disqualified);
    chain.fails("v0", bond("v0", IFR), &Rejection::Disqualified);
    chain.ok("x0", unbond("v0", 10 * IFR));
    let action = ProposalAction::RemoveValidator { validator: id("v0") };
    let again = ProposalTerms { title: "A title".into(), description: "Why.".into(), action };
    chain.fails("x15", TransactionBody::Propose { proposal: again }, &Rejection::Disqualified);
    let before = chain.balance(&operator_of("v0"));
    chain.wait_until(matures_at_ms);
    assert_eq!(chain.balance(&operator_of("v0")) - before, SEAT);
    // Its part of what is earned in common is the others'.
    let before = chain.balance("v0");
    earn(&mut chain, 300);
    chain.next_epoch();
    assert_eq!((chain.balance("v0"), chain.state.meta().validator_pool.nano()), (before, 0));
}

/// SPEC M2: odd amounts in and out, rewards and slashes; after every block all money is there, and
/// nobody takes out more than is in.
#[test]
fn rounding_makes_no_money() {
    let parameters = Parameters { delegation_min: Amount::from_nano(1), ..feeless(4) };
    let mut chain = Chain::with(4, parameters).furnished(1);
    let (segment, member) = judged(&mut chain);
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let names = ["x0", "x1", "x2", "x3", "x4"];
    let start: u64 = names.iter().map(|name| chain.balance(name)).sum();
    let mut earned = 0;
    for step in 0..400 {
        // Before its window is over.
        if step == 40 {
            reject_wrongly(&mut chain, segment, &member);
        }
        let name = names[usize::try_from(next(5)).unwrap()];
        let bits = 1 + next(40);
        let amount = 1 + next(1 << bits);
        let body = if next(2) == 0 { bond(&member, amount) } else { unbond(&member, amount) };
        let transaction = chain.tx(name, body);
        if next(3) == 0 {
            let nano = 1 + next(1_000_000);
            earn(&mut chain, nano);
            earned += 4 * nano;
        }
        chain.block(&[transaction]);
        let node = chain.state.node(&id(&member)).unwrap();
        let values: u64 = names.iter().map(|name| worth(&chain, name, &member)).sum();
        assert!(values <= node.delegated.tokens.nano());
        assert!(values + 5 >= node.delegated.tokens.nano(), "a nano each is lost to rounding at most");
    }
    // So that nothing more is earned while they leave.
    chain.next_epoch();
    for name in names {
        let whole = worth(&chain, name, &member);
        if whole > 0 {
            chain.ok(name, unbond(&member, whole));
            assert_eq!(chain.state.delegations_of(id(name)).count(), 0);
        }
    }
    chain.blocks(1_000);
    let end: u64 = names.iter().map(|name| chain.balance(name)).sum();
    assert!(end <= start + earned);
    assert!(chain.state.unbondings().count() == 0 && pools(&chain, &member).1 == 0);
}
