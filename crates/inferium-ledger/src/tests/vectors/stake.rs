//! Stake: in, out, and what it earns (SPEC M5 to M7).

use super::book::{Book, near, purse, purse_for, with};
use super::evidence::held;
use super::nodes::{barred, jailed};
use crate::StateKey;
use crate::entries::{Delegation, EpochWork, Fresh, Pool, Unbonding};
use crate::tests::support::*;
use inferium_types::{Amount, NodeId, Ppm, TransactionBody};

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::ready(1);
    for index in 0..4 {
        let amount = Amount::from_ifr(1_000);
        chain.ok("x9", TransactionBody::Transfer { to: id(&format!("v{index}")), amount });
        chain.ok("x9", TransactionBody::Transfer { to: id(&operator_of(&format!("v{index}"))), amount });
    }
    bonding(book, &chain);
    unbonding(book, &chain);
    set_commission(book, &chain);
    maturing(book, &chain);
    emission(book, &chain);
}

/// The chain with so much delegated to `v0`, in so many shares: a part of them `x0`'s, the rest `x2`'s.
fn delegated(chain: &Chain, tokens: u64, shares: u128, of_x0: u128) -> Chain {
    with(chain, |state| {
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        node.delegated = Pool { tokens: Amount::from_nano(tokens), shares };
        state.set_node(id("v0"), node);
        for (name, shares) in [("x0", of_x0), ("x2", shares - of_x0)] {
            let delegation = Delegation { shares, fresh: Fresh(Vec::new()) };
            state.delegations.insert((id(name), id("v0")), delegation);
        }
    })
}

fn bonding(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("bond");
    let own = bond("w0", 1);
    let exact = purse_for(chain, &operator_of("w0"), &own, 1);
    page.valid("own stake, by the operator, to the last nano-IFR", "M7", &exact, &operator_of("w0"), own.clone());
    page.valid("own stake, by the node", "M7", chain, "w0", bond("w0", 5));
    let body = bond("v0", IFR);
    page.valid("the first delegation, the least there is", "M7", chain, "x0", body.clone());
    // A share is worth two thirds of what it was.
    let cut = delegated(chain, 2 * IFR, u128::from(3 * IFR), u128::from(IFR));
    page.valid("more, after a slash: shares by what they are worth", "M7", &cut, "x0", bond("v0", IFR + 1));
    page.doors(chain, "x0", &body);
    page.invalid("one nano-IFR less than the least delegation", "M7", chain, "x0", bond("v0", IFR - 1), "insufficient");
    page.invalid("nothing", "M7", chain, "w0", bond("w0", 0), "out_of_bounds");
    page.invalid("nothing, delegated", "M7", chain, "x0", bond("v0", 0), "out_of_bounds");
    let short = purse_for(chain, "x0", &body, IFR - 1);
    page.invalid("one nano-IFR short of the delegation", "M7", &short, "x0", body.clone(), "insufficient");
    let poor = purse_for(chain, "w0", &own, 0);
    page.invalid("one nano-IFR short of own stake", "M7", &poor, "w0", own.clone(), "insufficient");
    page.invalid("to no node", "M7", chain, "x0", bond("x5", IFR), "unknown");
    page.invalid("a stranger, to a worker", "M7", chain, "x0", bond("w0", IFR), "not_allowed");
    page.invalid("a stranger, to a gateway", "M7", chain, "x0", bond("g0", IFR), "not_allowed");
    page.invalid("to a removed validator", "S3", &barred(chain, "v0"), "x0", body.clone(), "disqualified");
    page.invalid("own stake of a disqualified worker", "S3", &barred(chain, "w0"), "w0", own, "disqualified");
    let waiting = with(chain, |state| state.nodes.get_mut(&id("v0")).unwrap().holds = 1);
    page.invalid("while slashes of it are held", "M7", &waiting, "x0", body.clone(), "wrong_state");
    // Own stake is 50,000 IFR: nine times as much may be behind it.
    let full = delegated(chain, 450_000 * IFR - IFR, 1 << 60, 1);
    page.valid("up to nine times the own stake", "M7", &full, "x0", body.clone());
    page.invalid("one nano-IFR over nine times the own stake", "M7", &full, "x0", bond("v0", IFR + 1), "out_of_bounds");
    let lost = delegated(chain, 0, 1_000, 500);
    page.invalid("into a pool that was slashed to nothing", "M7", &lost, "x0", body.clone(), "wrong_state");
    let dear = delegated(chain, 200_000 * IFR, 1, 1);
    page.invalid("less than a share is worth", "M7", &dear, "x0", body.clone(), "out_of_bounds");
    let crowded = delegated(chain, IFR, (1 << 70) - 5, 1);
    page.invalid("past the most shares of a pool", "M7", &crowded, "x0", body.clone(), "overflow");
    let many = |count: u8| {
        with(chain, |state| {
            for index in 0..count {
                let delegation = Delegation { shares: 1, fresh: Fresh(Vec::new()) };
                state.delegations.insert((id("x0"), NodeId::from_bytes([index; 32])), delegation);
            }
        })
    };
    page.invalid("to a seventeenth validator", "M7", &many(16), "x0", body.clone(), "out_of_bounds");
    page.valid("to a sixteenth validator", "M7", &many(15), "x0", body.clone());
    let huge = purse(chain, "w0", u64::MAX);
    page.invalid("past the end of amounts", "M1", &huge, "w0", bond("w0", u64::MAX - 100_000), "overflow");
    page.invalid("all there can be, delegated", "M7", chain, "x0", bond("v0", u64::MAX), "out_of_bounds");
    page.invalid(
        "all there can be, by the operator",
        "M7",
        chain,
        &operator_of("w0"),
        bond("w0", u64::MAX),
        "insufficient",
    );
    page.invalid("nothing, to no node", "M7", chain, "x0", bond("x5", 0), "unknown");
    page.invalid("nothing, to a removed validator", "S3", &barred(chain, "v0"), "x0", bond("v0", 0), "disqualified");
    let all = delegated(chain, u64::MAX, 1 << 60, 1);
    page.invalid("delegations past the end of amounts", "M1", &all, "x0", body, "overflow");
    for (name, sender, node) in [
        ("one operator, to another's worker", operator_of("g0"), "w0"),
        ("a worker, to a gateway", "w0".into(), "g0"),
        ("a gateway, to a worker", "g0".into(), "w0"),
        ("a validator, to a worker", "v0".into(), "w0"),
        ("the operator of a validator, to a worker", operator_of("v0"), "w0"),
    ] {
        page.invalid(name, "M7", chain, &sender, bond(node, IFR), "not_allowed");
    }
}

fn unbonding(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("unbond");
    let all = 1_000 * IFR;
    page.valid("a worker leaves whole: no tier, no offer, no lease", "M7", &with_offer(chain), "w0", unbond("w0", all));
    let rich = with(chain, |state| {
        let mut node = state.nodes.get(&id("w0")).unwrap().clone();
        node.stake = Amount::from_nano(all + 10);
        node.fresh = Fresh(vec![(0, 4), (state.meta().epoch, 7)]);
        state.set_node(id("w0"), node);
    });
    let operator = operator_of("w0");
    page.valid("down to the least stake, the youngest first", "M7", &rich, &operator, unbond("w0", 10));
    let body = unbond("v0", IFR);
    // A share is worth two thirds of a nano-IFR.
    let three = delegated(chain, 2 * IFR, u128::from(3 * IFR), u128::from(2 * IFR));
    page.valid("of a delegation, as many shares as it takes", "M7", &three, "x0", body.clone());
    let rest = delegated(chain, 10 * IFR, u128::from(20 * IFR), u128::from(2 * IFR) + 1);
    page.valid("what would stay is worth nothing, and goes too", "M7", &rest, "x0", body.clone());
    page.doors(chain, "w0", &unbond("w0", all));
    page.invalid("one nano-IFR below the least stake", "M7", &rich, "w0", unbond("w0", 11), "insufficient");
    page.invalid("more than there is", "M7", chain, "w0", unbond("w0", all + 1), "insufficient");
    page.invalid("all there can be", "M1", chain, "w0", unbond("w0", u64::MAX), "insufficient");
    page.invalid("nothing", "M7", chain, "w0", unbond("w0", 0), "out_of_bounds");
    let owing = with(chain, |state| state.nodes.get_mut(&id("w0")).unwrap().unsettled = Amount::from_nano(1));
    page.invalid("a worker leaves with unsettled pay", "V4", &owing, "w0", unbond("w0", all), "insufficient");
    let mut gone = chain.clone();
    gone.ok("w0", unbond("w0", all));
    page.invalid("again, when all has left", "M7", &gone, "w0", unbond("w0", all), "insufficient");
    page.invalid("a gateway keeps a part of its bond", "N5", chain, "g0", unbond("g0", 1), "insufficient");
    page.invalid("a validator leaves its seat", "C5", chain, "v0", unbond("v0", 50_000 * IFR), "insufficient");
    page.invalid("a validator below its least stake", "N4", chain, "v0", unbond("v0", 1), "insufficient");
    let small = with(&delegated(chain, 450_000 * IFR, 1 << 60, 1), |state| {
        let mut node = state.nodes.get(&id("v0")).unwrap().clone();
        node.stake = Amount::from_ifr(50_001);
        node.delegated.tokens = Amount::from_nano(450_001 * IFR);
        state.set_node(id("v0"), node);
    });
    page.invalid("too little own stake for what is delegated", "M7", &small, "v0", body.clone(), "out_of_bounds");
    page.invalid("a stranger", "M7", chain, "x0", body.clone(), "unknown");
    page.invalid("from no node", "M7", chain, "x0", unbond("x5", IFR), "unknown");
    let worth = 4 * IFR / 3;
    page.invalid("one nano-IFR more than it is worth", "M7", &three, "x0", unbond("v0", worth + 1), "insufficient");
    page.invalid("another's delegation", "M7", &three, "x1", body.clone(), "unknown");
    let lost = delegated(chain, 0, 1_000, 500);
    page.invalid("from a pool that was slashed to nothing", "M7", &lost, "x0", unbond("v0", 1), "insufficient");
    let removed = barred(&three, "v0");
    page.valid("of a delegation to a removed validator", "M7", &removed, "x0", body);
    page.valid("a gateway leaves whole", "N5", chain, &operator_of("g0"), unbond("g0", all));
    for (name, sender) in [
        ("a worker's stake, by its gateway", "g0".to_owned()),
        ("a worker's stake, by a validator", "v0".to_owned()),
        ("a worker's stake, by another operator", operator_of("g0")),
        ("a worker's stake, by a stranger", "x3".to_owned()),
        ("a worker's stake, by a delegator of a validator", "x2".to_owned()),
        ("a worker's stake, by a validator's operator", operator_of("v0")),
        ("a worker's stake, by another validator", "v1".to_owned()),
        ("a worker's stake, by another stranger", "x4".to_owned()),
        ("a worker's stake, by another validator's operator", operator_of("v1")),
    ] {
        page.invalid(name, "M7", chain, &sender, unbond("w0", 1), "unknown");
    }
    page.invalid("nothing, by a stranger", "M7", chain, "x3", unbond("w0", 0), "out_of_bounds");
    page.invalid("nothing, of a delegation", "M7", &three, "x0", unbond("v0", 0), "out_of_bounds");
    page.invalid("all there can be, of a delegation", "M1", &three, "x0", unbond("v0", u64::MAX), "insufficient");
}

/// The chain in which `w0` has an offer and a lease.
fn with_offer(chain: &Chain) -> Chain {
    let mut chain = chain.clone();
    chain.lease();
    chain
}

fn set_commission(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("set_commission");
    let set = |parts| TransactionBody::SetCommission { commission: Ppm::new(parts) };
    page.valid("the highest, while nobody delegates", "M7", chain, "v0", set(500_000));
    let charging = |epoch, before, commission| {
        with(&delegated(chain, IFR, u128::from(IFR), 1), |state| {
            state.meta_mut().epoch = 7;
            let node = state.nodes.get_mut(&id("v0")).unwrap();
            node.commission_before = (epoch, Ppm::new(before));
            node.commission = Ppm::new(commission);
        })
    };
    let shared = charging(6, 0, 100_000);
    for (name, chain) in [
        ("the rest of the one percent of an epoch", charging(7, 100_000, 107_000)),
        ("up again, from where it was when the epoch began", charging(7, 100_000, 3)),
    ] {
        page.valid(name, "M7", &chain, "v0", set(110_000));
        page.numbers(name, &chain, "v0", &set(110_000));
        page.invalid(&format!("{name}: a millionth more"), "M7", &chain, "v0", set(110_001), "out_of_bounds");
    }
    page.valid("by one percent, while others' stake is at it", "M7", &shared, "v0", set(110_000));
    page.valid("down to nothing", "M7", &shared, "v0", set(0));
    let body = set(100_000);
    page.doors(chain, "v0", &body);
    page.invalid("a millionth over the highest", "M7", chain, "v0", set(500_001), "out_of_bounds");
    page.invalid("everything", "M7", chain, "v0", set(1_000_000), "out_of_bounds");
    page.invalid("a millionth over one percent", "M7", &shared, "v0", set(110_001), "out_of_bounds");
    let high = charging(6, 0, 495_000);
    page.invalid("one percent an epoch ends at the highest", "M7", &high, "v0", set(500_001), "out_of_bounds");
    page.invalid("everything at once", "M7", &shared, "v0", set(1_000_000), "out_of_bounds");
    page.invalid("a worker", "M7", chain, "w0", body.clone(), "not_allowed");
    page.invalid("a gateway", "M7", chain, "g0", body.clone(), "not_allowed");
    page.invalid("a stranger", "M7", chain, "x0", body.clone(), "not_allowed");
    page.invalid("the validator's operator", "M7", chain, &operator_of("v0"), body.clone(), "not_allowed");
    page.invalid("a delegator", "M7", &shared, "x0", body.clone(), "not_allowed");
    page.invalid("a removed validator", "S3", &barred(chain, "v0"), "v0", body.clone(), "disqualified");
    page.invalid("a jailed validator", "S", &jailed(chain, "v0", 1), "v0", body, "jailed");
}

fn maturing(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("unbonding");
    let at_ms = chain.now_ms + 120_000;
    let waits = |chain: &Chain, tokens: u64, waited| {
        let leaving = with(chain, |state| {
            let mut node = state.nodes.get(&id("w0")).unwrap().clone();
            node.unbonding = Pool { tokens: Amount::from_nano(tokens), shares: 300 };
            state.set_node(id("w0"), node);
            let operator = id(&operator_of("w0"));
            let unbonding = Unbonding { node: id("w0"), account: operator, shares: 200, matures_at_ms: at_ms, waited };
            state.set_unbonding(4, Some(unbonding));
        });
        near(&leaving, at_ms)
    };
    let about = [StateKey::Unbonding(4), StateKey::Node(id("w0"))];
    page.timed("it is paid", "M7", &waits(chain, 300, false), at_ms, &about);
    page.timed("slashes since took a part of it", "M7", &waits(chain, 271, false), at_ms, &about);
    page.timed("slashes took all of it", "M7", &waits(chain, 0, false), at_ms, &about);
    let slashed = held(chain, &[], None, |_| {});
    page.timed("it waits for one hold while slashes are held", "M7", &waits(&slashed, 271, false), at_ms, &about);
    page.timed("it waited, and waits no more", "M7", &waits(&slashed, 271, true), at_ms, &about);
}

fn emission(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("emission");
    let meta = chain.state.meta();
    let (epoch, at_ms) = (meta.epoch, meta.epoch_started_ms + meta.parameters.epoch_ms);
    let work = |fees: u64, weight, duties| EpochWork { fees: Amount::from_nano(fees), weight, duties };
    let worked = |works: &[(&str, EpochWork)]| {
        let worked = with(chain, |state| {
            for (name, work) in works {
                state.epoch_works.insert((epoch, id(name)), *work);
            }
        });
        near(&worked, at_ms)
    };
    let about = |names: &[&str]| names.iter().map(|name| StateKey::EpochWork((epoch, id(name)))).collect::<Vec<_>>();
    let fee = 3 * IFR + 7;
    let usual =
        worked(&[("w0", work(fee, u128::from(fee) * 400_000, 0)), ("v1", work(0, 0, 2)), ("v3", work(0, 0, 1))]);
    let names = ["w0", "v1", "v3"];
    page.timed("fees set the limit: a tenth of them, 70 : 30", "M6", &usual, at_ms, &about(&names));
    let dry = with(&usual, |state| {
        let meta = state.meta_mut();
        (meta.reward_pool, meta.emission_from.0) =
            (Amount::from_nano(2_000_000_000_000), Amount::from_nano(2_000_000_000_000));
    });
    page.timed("the schedule sets the limit, in integers", "M6", &dry, at_ms, &about(&names));
    let empty = with(&usual, |state| state.meta_mut().reward_pool = Amount::from_nano(5));
    page.timed("no more than is in the reward pool", "M6", &empty, at_ms, &about(&names));
    let gone = with(&usual, |state| state.nodes.get_mut(&id("w0")).unwrap().disqualified = true);
    page.timed("a disqualified worker earns nothing", "M6", &gone, at_ms, &about(&names));
    let shared = with(&delegated(&usual, 75_000 * IFR, 1 << 40, 1), |state| {
        state.nodes.get_mut(&id("v0")).unwrap().commission = Ppm::new(250_000);
    });
    page.timed("a validator shares with its delegators, less its commission", "M7", &shared, at_ms, &about(&names));
    let years_ms = 3 * chain.parameters().emission_halving_ms + 12_345;
    let mut late = with(&usual, |state| {
        state.meta_mut().timestamp_ms += years_ms;
        state.meta_mut().epoch_started_ms += years_ms;
    });
    late.now_ms += years_ms;
    page.timed("three halvings later", "M6", &late, at_ms + years_ms, &about(&names));
    let removed = barred(&usual, "v2");
    page.timed("a removed validator has no part in the fees", "C5", &removed, at_ms, &about(&names));
}
