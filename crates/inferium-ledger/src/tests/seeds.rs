//! The beacon: SPEC C4. What is bound in view v is drawn with seed(v+2) of exactly that view.

use super::support::*;
use crate::{BlockEnvironment, SegmentState};
use inferium_types::{Event, RejectReason, SeedSignature, SegmentId};

fn committed() -> (Chain, SegmentId, u64) {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.carries_seeds = false;
    let segment = chain.commit(lease, totals(1, 10, 10));
    let view = chain.view;
    (chain, segment, view)
}

fn block_with(chain: &mut Chain, view: u64, seeds: Vec<SeedSignature>) -> Vec<Event> {
    let environment = BlockEnvironment { view, seeds, ..chain.environment() };
    chain.block_in(&environment, &[]).unwrap()
}

#[test]
fn segment_waits_for_the_seed_two_views_on() {
    let (chain, segment, view) = committed();
    let SegmentState::AwaitingSeed { view: bound, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("undrawn")
    };
    assert_eq!(bound, view + 2);
    assert_eq!(chain.state.wanted_views(), [view + 2]);
    assert!(chain.state.is_busy());
}

/// Every seed but the right one, before and after, draws nothing; the right one draws, even late.
#[test]
fn only_the_seed_of_the_bound_view_draws() {
    let (mut chain, segment, view) = committed();
    let others: Vec<u64> = (0..=view + 1).chain(view + 3..view + 10).collect();
    block_with(&mut chain, view + 11, others.into_iter().map(seed).collect());
    assert_eq!(chain.committee(segment), Vec::<String>::new());
    assert_eq!(chain.state.meta().beacon, seed(view + 9).beacon());
    let newest = chain.state.meta().beacon;
    let events = block_with(&mut chain, view + 12, vec![seed(view + 2)]);
    assert!(matches!(events[0], Event::CommitteeDrawn { segment: of, .. } if of == segment));
    assert!(!chain.committee(segment).is_empty());
    assert_eq!(chain.state.meta().beacon, newest, "an old seed does not set the beacon back");
    assert_eq!(chain.state.wanted_views(), [] as [u64; 0]);
}

/// The seed that a block carries never draws what the same block binds.
#[test]
fn seed_of_the_same_block_draws_nothing() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let commitment = chain.segment(lease, totals(1, 10, 10));
    let body = inferium_types::TransactionBody::CommitSegment { commitment };
    let transaction = chain.tx("w0", body);
    let view = chain.view + 1;
    let environment = BlockEnvironment { view, seeds: (0..view + 5).map(seed).collect(), ..chain.environment() };
    chain.block_in(&environment, &[transaction]).unwrap();
    assert_eq!(chain.committee(commitment.terms.id()), Vec::<String>::new());
}

#[test]
fn another_seed_draws_another_committee() {
    let mut seen = std::collections::BTreeSet::new();
    let (chain, segment, view) = committed();
    for world in 0..64 {
        let mut chain = chain.clone();
        block_with(&mut chain, view + 3, vec![seed_of(view + 2, &world.to_string())]);
        seen.insert(chain.committee(segment));
    }
    assert_eq!(seen.len(), 6, "every pair of four validators");
}

/// SPEC T3: a seed that never comes ends in a refund.
#[test]
fn segment_without_a_seed_is_given_up() {
    let (mut chain, segment, _) = committed();
    let end = chain.now_ms + 3 * chain.parameters().verdict_ms;
    assert!(chain.wait_until(end - 1).iter().all(|event| !matches!(event, Event::SegmentRejected { .. })));
    let events = chain.block_at(end);
    let rejected = |event: &Event| matches!(event, Event::SegmentRejected { segment: of, reason: RejectReason::Unresolved, .. } if *of == segment);
    assert!(events.iter().any(rejected), "{events:?}");
    assert_eq!(chain.state.segment(&segment), None);
    assert!(chain.state.lease(&chain.state.leases().next().map(|(id, _)| *id).unwrap()).unwrap().reserved.is_zero());
}

/// SPEC T4, C4: matching uses the newest seed that the parent's block knew or this one carries.
#[test]
fn lease_is_granted_with_the_newest_beacon() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    assert_eq!(chain.state.lease(&lease).unwrap().beacon, chain.state.meta().beacon);
    assert_eq!(chain.state.meta().beacon_view, chain.view - 1);
}
