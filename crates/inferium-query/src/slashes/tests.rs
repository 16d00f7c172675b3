//! Slashes by the chain's events, and an interval that does not pretend.

use super::{Slashes, wilson};
use inferium_types::{AccountId, Amount, Digest, Event, NodeId, SegmentId, SlashRule, SlashedNode, VerdictVote};

fn slashed(number: u64, segment: SegmentId) -> Event {
    Event::Slashed(SlashedNode {
        slash: number,
        node: NodeId::from_bytes([1; 32]),
        role: "worker".into(),
        operator: AccountId::from_bytes([2; 32]),
        rule: SlashRule::WrongResult,
        segment: Some(segment),
        job: None,
        amount: Amount::from_nano(7),
        releases_at_ms: 9,
        disqualified: false,
    })
}

#[test]
fn a_slash_has_its_verdicts_and_its_end() {
    let segment = SegmentId::new(Digest::sha256(b"segment"));
    let mut seen = Slashes::default();
    let vote = VerdictVote::Invalid { job: 3, fault: inferium_types::JobFault::Token };
    let events = [
        Event::VerdictGiven { segment, validator: NodeId::from_bytes([3; 32]), vote },
        slashed(0, segment),
        slashed(1, SegmentId::new(Digest::ZERO)),
        Event::SlashOverturned { slash: 0, node: NodeId::from_bytes([1; 32]), amount: Amount::from_nano(7) },
    ];
    for event in &events {
        seen.on_event(event, 5);
    }
    assert_eq!(seen.counts(), (2, 1));
    assert_eq!((seen.slashes[&0].state, seen.slashes[&1].state), ("overturned", "held"));
    assert!(seen.slashes[&0].verdicts[0].ends_with("invalid, job 3: token"), "{:?}", seen.slashes[&0].verdicts);
    assert!(seen.slashes[&1].verdicts.is_empty());
}

#[test]
fn the_interval_is_wide_for_little_and_narrow_for_much() {
    assert_eq!(wilson(0, 0), (0.0, 1.0));
    let (low, high) = wilson(0, 10);
    assert!(low == 0.0 && (0.27..0.28).contains(&high), "{low} {high}");
    let (low, high) = wilson(50, 100);
    assert!((0.40..0.41).contains(&low) && (0.59..0.60).contains(&high), "{low} {high}");
    assert!(wilson(0, 10_000).1 < 0.0004);
}
