//! Payments are what events say, and dates are of the calendar.

use super::{Source, day, payments};
use inferium_types::{AgentId, Amount, Digest, Event, LeaseId, NodeId, SegmentId};

#[test]
fn days_are_of_the_calendar() {
    assert_eq!(day(0), "1970-01-01");
    assert_eq!(day(951_782_400_000), "2000-02-29");
    assert_eq!(day(1_795_305_599_999), "2026-11-21");
    assert_eq!(day(1_795_305_600_000), "2026-11-22");
}

#[test]
fn a_reward_is_two_payments_and_nothing_is_none() {
    let node = NodeId::from_bytes([1; 32]);
    let rewarded = |fees| Event::Rewarded { node, epoch: 3, fees, emission: Amount::from_nano(7) };
    let both = payments(&rewarded(Amount::from_nano(5)), 9);
    let sources: Vec<_> = both.iter().map(|(to, earning)| (*to, earning.source, earning.amount.nano())).collect();
    assert_eq!(sources, [(node, Source::Fees, 5), (node, Source::Emission, 7)]);
    assert_eq!(payments(&rewarded(Amount::ZERO), 9).len(), 1);
}

#[test]
fn a_paid_run_is_its_creators_earning_and_says_nothing_twice() {
    let (host, creator) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
    let segment = SegmentId::new(Digest::sha256(b"segment"));
    let payer = NodeId::from_bytes([3; 32]);
    let paid = |to_creator, to_payer| Event::RunPaid {
        run: LeaseId::new(Digest::ZERO),
        segment,
        agent: AgentId::new(Digest::ZERO),
        host,
        creator,
        payer,
        fee: Amount::from_nano(100),
        to_host: Amount::from_nano(60),
        to_payer,
        to_creator,
        to_each_approver: Amount::from_nano(5),
        to_treasury: Amount::from_nano(5),
    };
    // Host and committee are paid by the segment, whose event tells it.
    let all = |to_creator, to_payer| -> Vec<_> {
        let all = payments(&paid(Amount::from_nano(to_creator), Amount::from_nano(to_payer)), 9);
        all.iter().map(|(to, earning)| (*to, earning.source, earning.segment, earning.amount.nano())).collect()
    };
    assert_eq!(all(25, 0), [(creator, Source::Agents, Some(segment), 25)]);
    assert_eq!(all(0, 0), []);
    // A barred host's part is back with who paid.
    let back = (payer, Source::Refunds, Some(segment), 60);
    assert_eq!(all(25, 60), [(creator, Source::Agents, Some(segment), 25), back]);
}
