//! Earnings are sums of what events say.

use super::summed;
use crate::cli::EarningsBy;
use inferium_query::earnings::{Earning, Source};
use inferium_types::{Amount, Digest, SegmentId};

fn earning(at_ms: u64, source: Source, segment: Option<SegmentId>, nano: u64) -> Earning {
    Earning { at_ms, source, segment, amount: Amount::from_nano(nano) }
}

#[test]
fn earnings_sum_up_by_day_source_and_segment() {
    let [s1, s2] = [[1; 32], [2; 32]].map(|bytes| SegmentId::new(Digest::from(bytes)));
    let earnings = [
        earning(0, Source::Jobs, Some(s1), 5),
        earning(1, Source::Jobs, Some(s2), 6),
        earning(86_400_000, Source::Emission, None, 7),
    ];
    let row = |what: &str, count, nano| (what.to_owned(), (count, nano));
    assert_eq!(summed(&earnings, EarningsBy::Day), [row("1970-01-01", 2, 11), row("1970-01-02", 1, 7)]);
    assert_eq!(summed(&earnings, EarningsBy::Source), [row("emission", 1, 7), row("jobs", 2, 11)]);
    assert_eq!(
        summed(&earnings, EarningsBy::Job),
        [row("(emission)", 1, 7), row(&s1.to_string(), 1, 5), row(&s2.to_string(), 1, 6)]
    );
}
