//! Priority and replay share: SPEC R2, R3.

use super::{after_fault, after_work, brought_to, is_newcomer, replay_floor, replay_share, success};
use crate::entries::Record;
use inferium_types::{Amount, Parameters, Ppm};

const fn record(jobs: u64, failures: u64) -> Record {
    Record {
        jobs_micro: jobs.saturating_mul(1_000_000),
        tokens_micro: 1_000_000_000_000,
        failures_micro: failures.saturating_mul(1_000_000),
        updated_ms: 0,
    }
}

#[test]
fn success_grows_with_success_and_falls_with_failure() {
    for jobs in [0, 1, 10, 100, 1_000, 9_999] {
        for failures in [0, 1, 10, 1_000] {
            let here = success(&record(jobs, failures));
            assert!(success(&record(jobs + 1, failures)) >= here, "{jobs} {failures}");
            assert!(success(&record(jobs, failures + 100)) < here || here == 1, "{jobs} {failures}");
            assert!((1..1_000_000).contains(&here));
        }
    }
}

#[test]
fn success_is_never_zero_and_never_overflows() {
    for edge in [record(0, 0), record(0, u64::MAX), record(u64::MAX, u64::MAX), record(u64::MAX, 0)] {
        assert!((1..=1_000_000).contains(&success(&edge)), "{edge:?}");
    }
    assert_eq!(success(&record(10_000, 3)), success(&record(u64::MAX, 3)), "a record has its maximum");
}

/// SPEC R3: newcomer by jobs or by tokens; at the limits it is one no more.
#[test]
fn newcomer_needs_both_jobs_and_tokens() {
    let parameters = Parameters::mainnet();
    for (jobs, tokens, expected) in [(49, 20_000, true), (50, 19_999, true), (50, 20_000, false), (0, 0, true)] {
        let record = after_work(&Record::default(), jobs, tokens);
        assert_eq!(is_newcomer(&record, &parameters), expected);
        assert_eq!(replay_share(&record, &parameters) == Ppm::ONE, expected || jobs == 50);
    }
}

/// SPEC R3: what is at stake for a wrong job is at least three times what it gains, in the mean.
#[test]
fn replay_floor_follows_the_fee_of_a_job() {
    let (stake, slash) = (Amount::from_ifr(1_000), Ppm::new(100_000));
    for (fee_nano, jobs, expected) in [
        // 100 IFR are taken of who is caught: at a fee of 1 IFR three of a hundred.
        (1_000_000_000, 1, 30_000),
        (10_000_000_000, 10, 30_000),
        (33_333_333_333, 1, 999_999),
        (33_333_333_334, 1, 1_000_000),
        (u64::MAX, 1, 1_000_000),
        (0, 1, 0),
        (33_333, 1, 0),
        (33_334, 1, 1),
    ] {
        let found = replay_floor(Amount::from_nano(fee_nano), jobs, stake, slash);
        assert_eq!(found.get(), expected, "{fee_nano} for {jobs}");
    }
    assert_eq!(replay_floor(Amount::from_nano(1), 1, Amount::ZERO, slash), Ppm::ONE, "nothing to lose");
}

#[test]
fn fault_makes_a_newcomer() {
    let after = after_fault(&record(5_000, 2));
    assert_eq!((after.jobs(), after.tokens(), after.failures()), (0, 0, 3));
    assert!(is_newcomer(&after, &Parameters::mainnet()));
    assert_eq!(after_fault(&record(0, u64::MAX)).failures_micro, u64::MAX);
}

/// SPEC R1: half of a record is left after a half-life, whether it is looked at once or often.
#[test]
fn record_decays_with_time() {
    const HALF_LIFE_MS: u64 = 86_400_000;
    let start = Record { updated_ms: 1_000, ..record(1_000, 8) };
    let at = |now_ms| brought_to(&start, now_ms, HALF_LIFE_MS);
    assert_eq!(at(1_000), start);
    assert_eq!(at(0), start, "time does not go back");
    let half = at(1_000 + HALF_LIFE_MS);
    assert_eq!((half.jobs(), half.tokens(), half.failures()), (500, 500_000, 4));
    let often =
        (1..=1_000).fold(start, |record, step| brought_to(&record, 1_000 + step * HALF_LIFE_MS / 1_000, HALF_LIFE_MS));
    assert_eq!((often.jobs(), often.failures()), (500, 4));
    let gone = at(1_000 + 70 * HALF_LIFE_MS);
    assert_eq!((gone.jobs(), gone.tokens(), gone.failures()), (0, 0, 0));
}

/// One job is still one job a minute later.
#[test]
fn a_short_record_is_not_rounded_away() {
    let one = brought_to(&after_work(&Record::default(), 1, 10), 60_000, 86_400_000);
    assert_eq!((one.jobs(), one.tokens()), (1, 10));
}
