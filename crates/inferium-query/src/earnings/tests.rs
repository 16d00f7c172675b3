//! Payments are what events say, and dates are of the calendar.

use super::{Source, day, payments};
use inferium_types::{Amount, Event, NodeId};

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
