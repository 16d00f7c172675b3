//! Priority and replay share: SPEC R2, R3.

use super::{after_fault, integer_sqrt, is_newcomer, priority, replay_share};
use crate::entries::Record;
use inferium_types::{Parameters, Ppm};

const fn record(jobs: u64, failures: u64) -> Record {
    Record { jobs, tokens: 1_000_000, failures }
}

#[test]
fn priority_grows_with_success_and_falls_with_failure() {
    for jobs in [0, 1, 10, 100, 1_000, 9_999] {
        for failures in [0, 1, 10, 1_000] {
            let here = priority(&record(jobs, failures));
            assert!(priority(&record(jobs + 1, failures)) >= here, "{jobs} {failures}");
            assert!(priority(&record(jobs, failures + 100)) < here || here == 1, "{jobs} {failures}");
            assert!((1..1_000_000).contains(&here));
        }
    }
}

#[test]
fn priority_is_never_zero_and_never_overflows() {
    for edge in [record(0, 0), record(0, u64::MAX), record(u64::MAX, u64::MAX), record(u64::MAX, 0)] {
        assert!((1..=1_000_000).contains(&priority(&edge)), "{edge:?}");
    }
    assert_eq!(priority(&record(10_000, 3)), priority(&record(u64::MAX, 3)), "a record has its maximum");
}

/// SPEC R3: newcomer by jobs or by tokens; at the limits it is one no more.
#[test]
fn newcomer_needs_both_jobs_and_tokens() {
    let parameters = Parameters::mainnet();
    for (jobs, tokens, expected) in [(49, 20_000, true), (50, 19_999, true), (50, 20_000, false), (0, 0, true)] {
        let record = Record { jobs, tokens, failures: 0 };
        assert_eq!(is_newcomer(&record, &parameters), expected);
        assert_eq!(replay_share(&record, &parameters) == Ppm::ONE, expected || jobs == 50);
    }
}

#[test]
fn fault_makes_a_newcomer() {
    let after = after_fault(&record(5_000, 2));
    assert_eq!(after, Record { jobs: 0, tokens: 0, failures: 3 });
    assert!(is_newcomer(&after, &Parameters::mainnet()));
    assert_eq!(after_fault(&record(0, u64::MAX)).failures, u64::MAX);
}

#[test]
fn square_root_is_rounded_down() {
    for number in 0..10_000u64 {
        let root = integer_sqrt(number);
        assert!(root * root <= number && (root + 1) * (root + 1) > number);
    }
    assert_eq!(integer_sqrt(u64::MAX), u64::from(u32::MAX));
}
