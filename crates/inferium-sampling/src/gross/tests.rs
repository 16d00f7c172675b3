use super::*;
use inferium_types::{ClippedSum, Digest, KindCount, POSITION_KINDS};

fn calibration(bad: u32, correlation: u32) -> Calibration {
    Calibration {
        corpus: Digest::ZERO,
        positions: 0,
        flips: [Ppm::new(0); POSITION_KINDS],
        alternatives: Vec::new(),
        bad_margin_micro: 120_000,
        bad: Ppm::new(bad),
        bad_correlation: Ppm::new(correlation),
        logprob_clip_micro: 1_000_000,
        logprob_mean: Ppm::new(0),
        sketch_clip_micro: 1_000_000,
        sketch_mean: Ppm::new(0),
        sketch_gross_micro: 200_000,
    }
}

fn measured(positions: u32, bad: u32) -> ReplayStatistics {
    let mut measured = ReplayStatistics { bad, ..ReplayStatistics::default() };
    measured.kinds[5] = KindCount { positions, flips: bad };
    measured.sketches = ClippedSum::default();
    measured
}

#[test]
fn independent_positions_give_the_binomial_limits() {
    // The same tails summed in another language.
    for (bad, expected) in [
        (1_000, [(32, 4), (64, 4), (128, 5), (256, 6), (400, 7), (1_000, 10), (4_000, 18)]),
        (3_000, [(32, 5), (64, 6), (128, 7), (256, 9), (400, 10), (1_000, 15), (4_000, 33)]),
    ] {
        for (positions, limit) in expected {
            assert_eq!(bad_limit(&calibration(bad, 0), positions), limit, "{bad} ppm of {positions}");
        }
    }
}

#[test]
fn what_comes_in_clusters_gets_more_room() {
    let mut last = bad_limit(&calibration(3_000, 0), 400);
    for correlation in [1_000, 10_000, 50_000, 200_000] {
        let limit = bad_limit(&calibration(3_000, correlation), 400);
        assert!(limit > last, "{limit} after {last}");
        last = limit;
    }
    // Nobody is judged where even all positions together prove nothing, and nothing breaks at the ends.
    assert_eq!(bad_limit(&calibration(1_000_000, 0), 50), 51);
    assert_eq!(bad_limit(&calibration(0, 0), 50), 1);
    assert_eq!(bad_limit(&calibration(1_000_000, 1_000_000), 50), 51);
    assert_eq!(bad_limit(&calibration(3_000, 0), 0), 1);
}

#[test]
fn the_limit_is_where_a_job_fails() {
    let calibration = calibration(3_000, 0);
    assert_eq!(gross_fault(&calibration, &measured(400, 9), &[]), None);
    assert_eq!(gross_fault(&calibration, &measured(400, 10), &[]), Some(GrossFault::Tokens));
    // Too short to be judged by its tokens, whatever they are.
    assert_eq!(gross_fault(&calibration, &measured(31, 31), &[]), None);
    assert_eq!(gross_fault(&calibration, &measured(32, 5), &[]), Some(GrossFault::Tokens));
    assert_eq!(gross_fault(&calibration, &measured(32, 4), &[]), None);
}

#[test]
fn sketches_are_judged_by_their_median_and_not_by_a_few() {
    let calibration = calibration(3_000, 0);
    let job = measured(400, 0);
    assert_eq!(gross_fault(&calibration, &job, &[0.3; 7]), None, "too few");
    assert_eq!(gross_fault(&calibration, &job, &[0.3; 8]), Some(GrossFault::Sketches));
    assert_eq!(gross_fault(&calibration, &job, &[0.2; 8]), None, "at the limit");
    let some = [0.3, 0.3, 0.3, 0.3, 0.01, 0.01, 0.01, 0.01, 0.01];
    assert_eq!(gross_fault(&calibration, &job, &some), None, "fewer than half");
    assert_eq!(gross_fault(&calibration, &job, &[f64::NAN; 8]), None, "no number convicts nobody");
}
