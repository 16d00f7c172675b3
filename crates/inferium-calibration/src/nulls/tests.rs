//! Estimates find what can be worked out.

use super::*;
use inferium_types::Digest;

const NO_POSITIONS: [u32; POSITION_KINDS] = [0; POSITION_KINDS];

fn calibration(logprobs: u32, sketches: u32, flips: u32, assumed: &[u32]) -> Calibration {
    Calibration {
        corpus: Digest::ZERO,
        positions: 10_000,
        flips: [Ppm::new(flips); POSITION_KINDS],
        alternatives: assumed.iter().map(|share| [Ppm::new(*share); POSITION_KINDS]).collect(),
        bad_margin_micro: 1,
        bad: Ppm::new(1),
        bad_correlation: Ppm::new(1),
        logprob_clip_micro: 1,
        logprob_mean: Ppm::new(logprobs),
        sketch_clip_micro: 1,
        sketch_mean: Ppm::new(sketches),
        sketch_gross_micro: 1,
    }
}

/// One outcome of a job, and its probability.
type Outcome = (ReplayStatistics, f64);

/// The probabilities of ever being suspect and convicted within `jobs`, by going through all histories.
fn exact(bets: &Bets, outcomes: &[Outcome], jobs: u32, test: &SequentialTest, was_suspect: bool) -> [f64; 2] {
    let mut sums = [0.0; 2];
    if jobs == 0 {
        return [if was_suspect { 1.0 } else { 0.0 }, 0.0];
    }
    for (statistics, probability) in outcomes {
        let mut test = test.clone();
        test.judge(bets, statistics);
        let suspicion = test.suspicion(bets);
        let [suspect, convicted] = match suspicion {
            Suspicion::Convicted => [1.0, 1.0],
            suspicion => exact(bets, outcomes, jobs - 1, &test, was_suspect || suspicion == Suspicion::Suspect),
        };
        sums[0] += probability * suspect;
        sums[1] += probability * convicted;
    }
    sums
}

fn with_means(worker: &NullWorker, logprob: usize, sketch: usize) -> ReplayStatistics {
    let (logprobs, sketches) = (worker.logprobs.sums[logprob], worker.sketches.sums[sketch]);
    ReplayStatistics { logprobs, sketches, ..ReplayStatistics::default() }
}

fn assert_near(tally: &Tally, exact: [f64; 2]) {
    for (index, exact) in exact.into_iter().enumerate() {
        let (mean, [low, high]) = tally.mean(index);
        // Twice the half interval is four standard errors.
        assert!(exact > 0.0 && (mean - exact).abs() <= high - low, "{index}: {mean} in {low} to {high}, is {exact}");
    }
}

#[test]
fn both_estimates_find_the_probability_of_few_jobs() {
    let calibration = calibration(2_000, 5_000, 0, &[]);
    let jobs = 4;
    let worker = NullWorker::new(&calibration, &NO_POSITIONS, Means::Extreme, jobs);
    let (l, s) = (0.002, 0.005);
    let outcomes = [
        (with_means(&worker, 0, 0), (1.0 - l) * (1.0 - s)),
        (with_means(&worker, 1, 0), l * (1.0 - s)),
        (with_means(&worker, 0, 1), (1.0 - l) * s),
        (with_means(&worker, 1, 1), l * s),
    ];
    let exact = exact(&worker.bets, &outcomes, jobs, &SequentialTest::default(), false);
    assert!(exact[0] > 1e-5 && exact[1] > 1e-9 && exact[1] < 1e-6, "{exact:?}");
    let weights = Tally::of_weights(&worker, 7, 0..200_000);
    assert_near(&weights, exact);
    // The weights know it far better than as many paths could.
    let (mean, [low, high]) = weights.mean(1);
    assert!((high - low) / mean < 0.1, "{mean} in {low} to {high}");
    let [low, high] = Tally::of_lives(&worker, 7, 0..300_000).share(0).1;
    assert!((low..=high).contains(&exact[0]), "{low} to {high}: {}", exact[0]);
}

#[test]
fn what_is_noisy_together_is_another_worker() {
    let calibration = calibration(2_000, 5_000, 0, &[]);
    let worker = NullWorker::new(&calibration, &NO_POSITIONS, Means::ExtremeTogether, 4);
    let outcomes =
        [(with_means(&worker, 0, 0), 0.995), (with_means(&worker, 0, 1), 0.003), (with_means(&worker, 1, 1), 0.002)];
    let exact = exact(&worker.bets, &outcomes, 4, &SequentialTest::default(), false);
    assert_near(&Tally::of_weights(&worker, 8, 0..200_000), exact);
}

#[test]
fn flips_are_weighed_by_their_kinds() {
    let calibration = calibration(0, 0, 1_000, &[400_000, 900_000]);
    let mut positions = NO_POSITIONS;
    positions[3] = 2;
    let worker = NullWorker::new(&calibration, &positions, Means::Moderate, 3);
    let job = |flips: u32| {
        let mut statistics = with_means(&worker, 0, 0);
        statistics.kinds[3].positions = 2;
        statistics.kinds[3].flips = flips;
        statistics
    };
    let p: f64 = 0.001;
    let outcomes = [(job(0), (1.0 - p).powi(2)), (job(1), 2.0 * p * (1.0 - p)), (job(2), p * p)];
    let exact = exact(&worker.bets, &outcomes, 3, &SequentialTest::default(), false);
    assert_near(&Tally::of_weights(&worker, 9, 0..200_000), exact);
}

/// SPEC V7: the bound is on what happens ever, whatever jobs look like.
#[test]
fn no_estimate_of_the_known_calibration_is_above_its_bound() {
    let calibration = crate::known_calibration("smollm2-135m-instruct").unwrap();
    let mut positions = NO_POSITIONS;
    positions[..6].copy_from_slice(&[1, 2, 3, 6, 18, 98]);
    for means in Means::ALL {
        let worker = NullWorker::new(&calibration, &positions, means, 60);
        let tally = Tally::of_weights(&worker, 1, 0..3_000);
        let [(suspect, _), (convicted, _)] = [tally.mean(0), tally.mean(1)];
        assert!(suspect > 0.0 && suspect <= 1e-2 && convicted > 0.0 && convicted <= 1e-6, "{means:?}: {tally:?}");
    }
}

#[test]
fn paths_are_the_same_in_any_parts() {
    let calibration = calibration(100_000, 200_000, 50_000, &[200_000]);
    let worker = NullWorker::new(&calibration, &[5; POSITION_KINDS], Means::Moderate, 20);
    let whole = Tally::of_weights(&worker, 3, 0..40);
    let parts = Tally::of_weights(&worker, 3, 0..15).with(&Tally::of_weights(&worker, 3, 15..40));
    assert_eq!(whole.paths, parts.paths);
    assert!((whole.sums[0] - parts.sums[0]).abs() < 1e-12);
    assert_ne!(Tally::of_weights(&worker, 4, 0..40).sums, whole.sums);
}

/// Published values: R's `binom.test`; of many hits, sums in Python with 60 digits; of nothing in n, 1 − 0.025^(1/n).
#[test]
fn intervals_are_exact() {
    let near = |found: [f64; 2], expected: [f64; 2]| {
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-6 * expected.max(1e-3), "{found}, not {expected}");
        }
    };
    near(clopper_pearson(0, 10), [0.0, 0.308_497_1]);
    near(clopper_pearson(10, 10), [0.691_502_9, 1.0]);
    near(clopper_pearson(5, 10), [0.187_086_0, 0.812_914_0]);
    near(clopper_pearson(1_923, 600_000), [3.063_552_36e-3, 3.351_277_49e-3]);
    near(clopper_pearson(4_000, 9_000), [0.434_142_3, 0.454_782_6]);
    let [low, high] = clopper_pearson(0, 10_000_000);
    assert!(low == 0.0 && (high - 3.688_879e-7).abs() < 1e-12, "{high:e}");
}
