use super::*;
use crate::Draw;
use crate::calibration::tests::calibration;

fn position(gap: f64, margin: f64, logprob_difference: f64) -> PositionMeasures {
    let check =
        PositionCheck { choice: 0, gap, margin, reach: margin, surprisal: 0.25, variance: 0.5, draw: Draw::CERTAIN };
    PositionMeasures { check, context_tokens: 100, logprob_difference }
}

#[test]
fn kinds_begin_where_the_last_one_ends() {
    for (gap, kind) in [(0.0, 0), (0.019, 0), (0.02, 1), (0.05, 2), (0.1, 3), (0.2, 4), (0.499, 4), (0.5, 5)] {
        assert_eq!(position_kind(gap, 0), kind, "{gap}");
    }
    assert_eq!(position_kind(f64::INFINITY, 0), 5);
    for (context, kind) in [(1_023, 5), (1_024, 11), (4_095, 11), (4_096, 17), (16_384, 23), (u32::MAX, 23)] {
        assert_eq!(position_kind(9.0, context), kind, "{context}");
    }
    assert_eq!(position_kind(f64::NAN, 0), 0, "no number is no firm choice");
}

#[test]
fn statistics_count_and_clip() {
    let calibration = calibration();
    let clip = calibration.logprob_clip_micro as f64 / 1e6;
    let bad = calibration.bad_margin_micro as f64 / 1e6;
    let job = JobMeasures {
        positions: vec![
            position(0.3, 0.0, 0.0),
            position(0.3, bad * 0.9, clip / 2.0),
            position(0.3, bad, clip),
            position(0.3, f64::INFINITY, f64::INFINITY),
            position(9.0, 0.0, f64::NAN),
        ],
        sketch_errors: vec![0.0, 2.0],
        is_covered: true,
    };
    let statistics = job.statistics(&calibration);
    assert_eq!((statistics.positions(), statistics.flips(), statistics.bad), (5, 3, 2));
    assert_eq!((statistics.kinds[4].positions, statistics.kinds[4].flips), (4, 3));
    assert_eq!((statistics.kinds[5].positions, statistics.kinds[5].flips), (1, 0));
    assert_eq!((statistics.logprobs.count, statistics.logprobs.sum_ppm), (5, 3_500_000));
    assert_eq!((statistics.sketches.count, statistics.sketches.sum_ppm), (2, 1_000_000));
    assert_eq!((statistics.surprisal_micro, statistics.variance_micro), (1_250_000, 2_500_000));
    assert_eq!(JobMeasures::default().statistics(&calibration), ReplayStatistics::default());
}

/// At the honest mean nothing is won, above it each stake wins its part, and without a measurement there is no bet.
#[test]
fn bets_on_a_mean_follow_its_ratio_to_the_honest_one() {
    let sum = |count, sum_ppm| ClippedSum { count, sum_ppm, ..ClippedSum::default() };
    let honest = Ppm::new(50_000);
    assert_eq!(mean_bets(&sum(10, 500_000), honest), [0; 8]);
    let exact = |mean: f64, stake: u32| (1.0 + f64::from(stake) / 1e6 * (mean / 50_000.0 - 1.0)).log2();
    for mean in [0_u64, 25_000, 100_000, 1_000_000] {
        for (bet, stake) in mean_bets(&sum(10, mean * 10), honest).into_iter().zip(STAKES) {
            let found = bet as f64 / 4_294_967_296.0;
            let exact = exact(mean as f64, stake);
            assert!(found <= exact + 1e-12 && exact - found < 1e-8, "{mean} {stake}: {found} {exact}");
        }
    }
    // Beyond the clip is at the clip.
    assert_eq!(mean_bets(&sum(1, u64::MAX), honest), mean_bets(&sum(1, 1_000_000), honest));
    assert_eq!(mean_bets(&sum(0, 0), honest), [0; 8]);
    assert_eq!(mean_bets(&sum(1, 1_000_000), Ppm::new(0)), [0; 8]);
}

/// A client chooses how answers are drawn and how long contexts are: where no calibration measured honest engines, only flips count.
#[test]
fn means_are_not_bet_on_where_no_calibration_measured() {
    let calibration = calibration();
    let noisy = |is_covered, context_tokens| JobMeasures {
        positions: vec![PositionMeasures { context_tokens, ..position(0.3, 0.0, 9.0) }],
        sketch_errors: vec![2.0],
        is_covered,
    };
    let bets = |job: JobMeasures, calibration: &Calibration| {
        let statistics = job.statistics(calibration);
        assert_eq!((statistics.logprobs.count, statistics.sketches.count), (1, 1), "measured all the same");
        [statistics.logprobs.bets, statistics.sketches.bets].concat()
    };
    assert!(bets(noisy(true, 100), &calibration).iter().all(|bet| *bet > 0));
    assert!(bets(noisy(false, 100), &calibration).iter().all(|bet| *bet == 0));
    let mut short = calibration;
    short.flips[6..].fill(Ppm::new(0));
    assert!(bets(noisy(true, 1_023), &short).iter().all(|bet| *bet > 0));
    assert!(bets(noisy(true, 1_024), &short).iter().all(|bet| *bet == 0), "no such context was measured");

    let sampling = |temperature_micro, top_p_ppm, top_k| SamplingParams { temperature_micro, top_p_ppm, top_k };
    for covered in [sampling(0, 1_000_000, 0), sampling(700_000, 1_000_000, 50), sampling(1_000_000, 950_000, 0)] {
        assert!(covers(&covered), "{covered:?}");
    }
    for other in [
        sampling(700_001, 1_000_000, 50),
        sampling(700_000, 1_000_000, 51),
        sampling(700_000, 1_000_000, 0),
        sampling(1_000_000, 950_001, 0),
        sampling(1_000_001, 950_000, 0),
    ] {
        assert!(!covers(&other), "{other:?}");
    }
}
