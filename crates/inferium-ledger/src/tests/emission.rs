//! What work earns from the reward pool: SPEC M6.

use super::slashing::proof;
use super::support::*;
use crate::entries::EpochWork;
use inferium_types::{Amount, Event, OfferTerms, Parameters, Ppm, Price, TransactionBody};
use std::collections::BTreeMap;

/// A schedule that sets 4,000,000 nano free in its first epoch, and half as much in each after.
fn chain_with(parameters: Parameters) -> Chain {
    let parameters = Parameters { emission_halving_ms: parameters.epoch_ms, ..parameters };
    let mut chain = Chain::with(4, parameters).furnished(3);
    chain.next_epoch();
    let began_ms = chain.state.meta().epoch_started_ms;
    chain.state.meta_mut().emission_from = (Amount::from_nano(8_000_000), began_ms);
    chain
}

fn chain() -> Chain {
    chain_with(feeless(4))
}

/// As if the node had done this in the running epoch.
fn work(chain: &mut Chain, name: &str, fees: u64, weight: u128, duties: u64) {
    let key = (chain.state.meta().epoch, id(name));
    chain.state.epoch_works.insert(key, EpochWork { fees: Amount::from_nano(fees), weight, duties });
}

/// What nodes were paid from the reward pool, by name.
fn emitted(chain: &Chain, events: &[Event]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for event in events {
        if let Event::Rewarded { node, emission, .. } = event {
            *sums.entry(chain.name(node)).or_default() += emission.nano();
        }
    }
    sums.retain(|_, nano| *nano > 0);
    sums
}

fn all(parts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    parts.iter().map(|(name, nano)| ((*name).to_owned(), *nano)).collect()
}

const PLENTY: u64 = 1_000_000_000;

/// SPEC M6: half of what the schedule has left goes in each halving time, 70 % to workers and 30 %
/// to validators.
#[test]
fn schedule_halves_and_is_split_seventy_to_thirty() {
    let mut chain = chain();
    for increment in [4_000_000, 2_000_000, 1_000_000, 500_000] {
        work(&mut chain, "w0", PLENTY, 1, 0);
        work(&mut chain, "v0", 0, 0, 1);
        let (pool, balance) = (chain.state.meta().reward_pool.nano(), chain.balance("w0"));
        let events = chain.next_epoch();
        assert_eq!(emitted(&chain, &events), all(&[("w0", increment * 7 / 10), ("v0", increment * 3 / 10)]));
        assert_eq!(pool - chain.state.meta().reward_pool.nano(), increment);
        assert_eq!(chain.balance("w0") - balance, increment * 7 / 10);
    }
}

/// What the schedule set free for no one is not made up for later.
#[test]
fn no_work_earns_nothing() {
    let mut chain = chain();
    let pool = chain.state.meta().reward_pool;
    let events = chain.next_epoch();
    assert_eq!((emitted(&chain, &events), chain.state.meta().reward_pool), (all(&[]), pool));
    assert!(chain.state.epoch_rewards.is_empty());
    // Duties earn nothing when nothing was paid for.
    work(&mut chain, "v0", 0, 0, 7);
    let events = chain.next_epoch();
    assert_eq!((emitted(&chain, &events), chain.state.meta().reward_pool), (all(&[]), pool));
    work(&mut chain, "w0", PLENTY, 1, 0);
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[("w0", 700_000)]), "the third increment, and no more");
}

/// SPEC M6: at most half of the part of the fees that is not the worker's, which is a tenth.
#[test]
fn fees_limit_what_is_emitted() {
    for (fees, workers, validators) in [
        (0, 0, 0),
        (1, 0, 0),
        (10, 0, 1),
        (100, 7, 3),
        (39_999_990, 2_799_999, 1_200_000),
        (40_000_000, 2_800_000, 1_200_000),
        (40_000_010, 2_800_000, 1_200_000),
        (PLENTY, 2_800_000, 1_200_000),
    ] {
        let mut chain = chain();
        work(&mut chain, "w0", fees, u128::from(fees) * 500_000, 0);
        work(&mut chain, "v0", 0, 0, 1);
        let events = chain.next_epoch();
        let mut expected = all(&[("w0", workers), ("v0", validators)]);
        expected.retain(|_, nano| *nano > 0);
        assert_eq!(emitted(&chain, &events), expected, "{fees}");
    }
    let mut chain = chain_with(Parameters { emission_fee_max: Ppm::new(0), ..feeless(4) });
    work(&mut chain, "w0", PLENTY, 1, 0);
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[]));
}

/// SPEC M6: whoever buys from itself gets back less than it paid, at every price: also when it
/// holds the seats of the committee.
#[test]
fn self_dealing_loses_at_every_price() {
    for nano in [1, 2, 3, 7, 10, 99, 1_000, 12_345, 1_000_000, 999_999_999] {
        // The schedule sets more free than anyone can earn.
        let mut chain = Chain::with(4, feeless(4)).furnished(1);
        let price = Price { prompt_token: Amount::from_nano(nano), completion_token: Amount::from_nano(nano) };
        let terms = OfferTerms { slots: 1, price, context_tokens: 4_096, batches: true };
        chain.ok("w0", TransactionBody::SetOffer { profile: profile(), terms });
        let start = chain.balance("w0") + chain.balance("g0");
        let (_, lease) =
            chain.open("g0", inferium_types::TaskTerms { price_max: price, tokens_max: 50, ..task_terms() });
        let segment = chain.commit(lease, totals(1, 20, 30));
        let members = chain.draw(segment);
        let committee: u64 = members.iter().map(|name| chain.balance(name)).sum();
        chain.vote(segment, &members, valid());
        chain.blocks(80);
        assert_eq!((chain.state.leases().count(), chain.state.epoch_works.len()), (0, 0));
        let emission = emitted(&chain, &chain.history.clone());
        let fee = 50 * nano;
        assert!(emission.values().sum::<u64>() <= fee / 10, "{emission:?} of {fee}");
        let hands = chain.balance("w0") + chain.balance("g0");
        assert!(hands < start, "{nano}: {hands} of {start}");
        let paid: u64 = members.iter().map(|name| chain.balance(name)).sum();
        let common: u64 = chain
            .history
            .iter()
            .map(|event| match event {
                Event::Rewarded { node, fees, .. } if members.contains(&chain.name(node)) => fees.nano(),
                _ => 0,
            })
            .sum();
        let with_committee = hands + paid - committee - common;
        // 80 % and 12 %, and a tenth by emission at most: together more than the fee, so that the
        // committee must be none of its own. It is drawn, and never of either side (N6).
        assert!(with_committee <= start + fee * 2 / 100, "{nano}");
    }
}

/// SPEC S3: a barred worker gets nothing, and nobody gets its part.
#[test]
fn disqualified_nodes_get_none() {
    let mut chain = chain();
    let lease = chain.lease();
    chain.next_epoch();
    for name in ["w0", "w1"] {
        work(&mut chain, name, PLENTY, 5, 0);
    }
    let (first, second) = (proof("w0", lease, 1), proof("w0", lease, 2));
    chain.ok("x0", TransactionBody::ProveConflict { worker: id("w0"), first, second });
    let pool = chain.state.meta().reward_pool.nano();
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[("w1", 700_000)]));
    assert_eq!(pool - chain.state.meta().reward_pool.nano(), 700_000);
}

/// By weight, and each within what its own fees allow.
#[test]
fn workers_share_by_weight_within_their_fees() {
    let mut chain = chain();
    work(&mut chain, "w0", PLENTY, 6, 0);
    work(&mut chain, "w1", PLENTY, 1, 0);
    work(&mut chain, "w2", 10_000, 7, 0);
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[("w0", 1_200_000), ("w1", 200_000), ("w2", 700)]));
}

/// What fees allow is divided by weight as well: who weighs less leaves a part of its own unused.
#[test]
fn limit_by_fees_is_shared_by_weight() {
    let mut chain = chain();
    work(&mut chain, "w0", 1_000, 3, 0);
    work(&mut chain, "w1", 1_000, 1, 0);
    let events = chain.next_epoch();
    // 140 for both, at most 70 for each.
    assert_eq!(emitted(&chain, &events), all(&[("w0", 70), ("w1", 35)]));
}

#[test]
fn validators_share_by_duties() {
    let mut chain = chain();
    work(&mut chain, "w0", PLENTY, 1, 0);
    for (name, duties) in [("v0", 3), ("v1", 1), ("v2", 0)] {
        work(&mut chain, name, 0, 0, duties);
    }
    chain.ok("x0", bond("v0", 50_000 * IFR));
    let before = chain.balance("v0");
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[("v0", 900_000), ("v1", 300_000), ("w0", 2_800_000)]));
    // Half of what is behind it is delegated.
    assert_eq!(chain.balance("v0") - before, 450_000);
    assert_eq!(chain.state.node(&id("v0")).unwrap().delegated.tokens.nano(), 50_000 * IFR + 450_000);
}

/// SPEC C9: so many nodes are paid in a block; the others in later ones, all of them once.
#[test]
fn payment_carries_over_and_nothing_is_paid_twice() {
    let mut chain = Chain::with(4, feeless(4)).furnished(16);
    chain.next_epoch();
    chain.state.meta_mut().parameters.queue_work_max = 1;
    let began = chain.history.len();
    let mut expected = BTreeMap::new();
    for _ in 0..2 {
        let epoch = chain.state.meta().epoch;
        for index in 0..16u64 {
            let name = format!("w{index}");
            work(&mut chain, &name, PLENTY, 1, 0);
            expected.insert((epoch, id(&name)), PLENTY * 7 / 100);
        }
        for index in 0..4 {
            let name = format!("v{index}");
            work(&mut chain, &name, 0, 0, 1);
            expected.insert((epoch, id(&name)), 16 * PLENTY * 3 / 100 / 4);
        }
        chain.next_epoch();
        assert!(!chain.state.epoch_works.is_empty(), "one block is not enough");
    }
    // The second epoch ended while the first was being paid.
    assert_eq!(chain.state.epoch_rewards.len(), 1 + usize::from(chain.state.epoch_works.len() > 20));
    chain.blocks(60);
    let mut paid = BTreeMap::new();
    for event in &chain.history[began..] {
        if let Event::Rewarded { node, epoch, emission, .. } = event {
            assert_eq!(paid.insert((*epoch, *node), emission.nano()), None, "paid twice");
        }
    }
    assert_eq!(paid, expected);
    assert!(chain.state.epoch_works.is_empty() && chain.state.epoch_rewards.is_empty());
}

/// SPEC C5: several epochs may end with one block; their increments are one.
#[test]
fn late_block_emits_all_that_its_epochs_set_free() {
    let mut chain = chain();
    work(&mut chain, "w0", PLENTY, 1, 0);
    let end = chain.state.meta().epoch_started_ms + 3 * chain.parameters().epoch_ms;
    let events = chain.block_at(end);
    assert_eq!(emitted(&chain, &events), all(&[("w0", 7_000_000 * 7 / 10)]));
    work(&mut chain, "w0", PLENTY, 1, 0);
    let events = chain.next_epoch();
    assert_eq!(emitted(&chain, &events), all(&[("w0", 350_000)]));
}

/// From a settled segment to the pay of worker and committee, by the figures of SPEC M6.
#[test]
fn settled_work_is_rewarded_at_the_end_of_its_epoch() {
    let mut chain = Chain::with(4, feeless(4)).furnished(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 1_000, 500));
    let members = chain.draw(segment);
    let approved_in = chain.state.meta().epoch;
    chain.vote(segment, &members, valid());
    while chain.state.segment(&segment).is_some() {
        chain.blocks(1);
    }
    let settled_in = chain.state.meta().epoch;
    assert!(chain.state.epoch_works.contains_key(&(settled_in, id("w0"))));
    let work = *chain.state.epoch_works.get(&(settled_in, id("w0"))).unwrap();
    let fee = 2_000_000;
    let priority = chain.state.priority(id("w0"), profile());
    assert_eq!((work.fees.nano(), work.duties), (fee, 0));
    // It was weighed before its record grew.
    assert!(work.weight > 0 && work.weight <= u128::from(fee) * u128::from(priority));
    let events = chain.next_epoch();
    let mut expected = all(&[("w0", fee / 10 * 7 / 10)]);
    if approved_in == settled_in {
        expected.extend(members.iter().map(|name| (name.clone(), fee / 10 * 3 / 10 / 2)));
    }
    assert_eq!(emitted(&chain, &events), expected);
}
