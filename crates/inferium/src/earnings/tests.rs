//! Earnings are sums of what events say.

use super::{Earning, Source, day, summed};
use crate::cli::EarningsBy;
use inferium_types::Amount;

fn earning(at_ms: u64, source: Source, segment: Option<&str>, nano: u64) -> Earning {
    Earning { at_ms, source, segment: segment.map(str::to_owned), amount: Amount::from_nano(nano) }
}

#[test]
fn days_are_of_the_calendar() {
    assert_eq!(day(0), "1970-01-01");
    assert_eq!(day(951_782_400_000), "2000-02-29");
    assert_eq!(day(1_795_305_599_999), "2026-11-21");
    assert_eq!(day(1_795_305_600_000), "2026-11-22");
}

#[test]
fn earnings_sum_up_by_day_source_and_segment() {
    let earnings = [
        earning(0, Source::Jobs, Some("s1"), 5),
        earning(1, Source::Jobs, Some("s2"), 6),
        earning(86_400_000, Source::Emission, None, 7),
    ];
    let row = |what: &str, count, nano| (what.to_owned(), (count, nano));
    assert_eq!(summed(&earnings, EarningsBy::Day), [row("1970-01-01", 2, 11), row("1970-01-02", 1, 7)]);
    assert_eq!(summed(&earnings, EarningsBy::Source), [row("emission", 1, 7), row("jobs", 2, 11)]);
    assert_eq!(summed(&earnings, EarningsBy::Job), [row("(emission)", 1, 7), row("s1", 1, 5), row("s2", 1, 6)]);
}
