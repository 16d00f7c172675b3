use super::*;
use crate::mean_bets;
use crate::philox4x32_10;
use inferium_types::{ClippedSum, Digest, KindCount, POSITION_KINDS};

/// Shares of flips by gap, in ppm: honest ceilings, and what 8-bit weights, an 8-bit cache and 4-bit weights do.
const HONEST: [u32; 6] = [500_000, 600_000, 250_000, 120_000, 10_000, 2_000];
const EIGHT_BIT: [u32; 6] = [510_000, 610_000, 300_000, 180_000, 37_000, 4_000];
const CACHE: [u32; 6] = [520_000, 620_000, 350_000, 250_000, 75_000, 10_000];
const FOUR_BIT: [u32; 6] = [550_000, 650_000, 500_000, 450_000, 350_000, 210_000];
/// How often each gap occurs.
const OCCURS: [u32; 6] = [10_000, 15_000, 25_000, 50_000, 140_000, 760_000];

fn all_contexts(by_gap: [u32; 6]) -> [Ppm; POSITION_KINDS] {
    std::array::from_fn(|kind| Ppm::new(by_gap[kind % 6]))
}

fn calibration() -> Calibration {
    Calibration {
        corpus: Digest::ZERO,
        positions: 250_000,
        flips: all_contexts(HONEST),
        alternatives: [EIGHT_BIT, CACHE, FOUR_BIT].map(all_contexts).to_vec(),
        bad_margin_micro: 120_000,
        bad: Ppm::new(4_000),
        bad_correlation: Ppm::new(10_000),
        logprob_clip_micro: 600_000,
        logprob_mean: Ppm::new(60_000),
        sketch_clip_micro: 100_000,
        sketch_mean: Ppm::new(200_000),
        sketch_gross_micro: 200_000,
    }
}

/// Uniform numbers below a million.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        let [random, ..] = philox4x32_10([self.0, 0, 0, 0], [7, 7]);
        u32::try_from((u64::from(random) * 1_000_000) >> 32).unwrap()
    }

    fn draw(&mut self, shares: &[u32; 6]) -> usize {
        let mut at = self.next();
        shares.iter().position(|share| at.checked_sub(*share).map(|rest| at = rest).is_none()).unwrap_or(5)
    }

    fn job(&mut self, positions: u32, flips: [u32; 6]) -> ReplayStatistics {
        let mut measured = ReplayStatistics::default();
        for _ in 0..positions {
            let gap = self.draw(&OCCURS);
            measured.kinds[gap].positions += 1;
            measured.kinds[gap].flips += u32::from(self.next() < flips[gap]);
        }
        measured
    }
}

/// One job's figures of this mean, beside what is honest.
fn sum(count: u32, mean_ppm: u64, honest: Ppm) -> ClippedSum {
    let sum = ClippedSum { count, sum_ppm: u64::from(count) * mean_ppm, ..ClippedSum::default() };
    ClippedSum { bets: mean_bets(&sum, honest), ..sum }
}

/// Jobs until the test says `wanted`.
fn jobs_until(wanted: Suspicion, calibration: &Calibration, mut job: impl FnMut() -> ReplayStatistics) -> u64 {
    let bets = Bets::new(calibration);
    let mut test = SequentialTest::default();
    while test.suspicion(&bets) < wanted {
        test.judge(&bets, &job());
        assert!(test.steps() < 100_000, "never");
    }
    test.steps()
}

#[test]
fn what_is_put_in_is_all_there_is() {
    let all = (0..100_000).map(put_in).sum::<u128>();
    assert!(all < ONE && all > ONE / 1_000 * 999);
    assert_eq!(put_in(0), ONE / 2);
    assert_eq!(put_in(u64::MAX), 0, "and no overflow");
}

#[test]
fn fair_factors_have_an_expectation_of_at_most_one() {
    let calibration = calibration();
    // One position of one kind: exactly, over both outcomes, at the ceiling.
    for shares in &calibration.alternatives {
        for kind in 0..POSITION_KINDS {
            let factor = |flips| {
                let mut measured = ReplayStatistics::default();
                measured.kinds[kind] = KindCount { positions: 1, flips };
                exp2(likelihood_ratio(&log_ratios(&calibration.flips, shares), &measured))
            };
            let honest = u128::from(calibration.flips[kind].get());
            let expectation = honest * factor(1) + (1_000_000 - honest) * factor(0);
            assert!(expectation <= 1_000_000 * ONE, "kind {kind}");
            assert!(expectation > 999_999 * ONE, "kind {kind}: the bet is worth nothing");
        }
    }
    // A mean at the ceiling, as a lottery between nothing and everything.
    let mut bets = [0; STAKES.len()];
    for (mean, weight) in [(0, 940_000), (1_000_000, 60_000)] {
        let mut once = [0; STAKES.len()];
        bet(&mut once, ONE, sum(1, mean, calibration.logprob_mean).bets.map(i128::from));
        for (all, one) in bets.iter_mut().zip(once) {
            *all += one / 1_000_000 * weight;
        }
    }
    assert!(bets.iter().all(|capital| *capital <= ONE && *capital > ONE / 1_000_000 * 999_990), "{bets:?}");
}

#[test]
fn honest_workers_stay_clear_and_cheats_are_met_in_time() {
    let calibration = calibration();
    let bets = Bets::new(&calibration);
    let mut numbers = Numbers(0);
    let mut test = SequentialTest::default();
    let noisy = |logprob, error, of: ReplayStatistics| ReplayStatistics {
        logprobs: sum(100, logprob, calibration.logprob_mean),
        sketches: sum(12, error, calibration.sketch_mean),
        ..of
    };
    for _ in 0..3_000 {
        let honest = numbers.job(100, HONEST);
        test.judge(&bets, &noisy(60_000, 200_000, honest));
        assert_eq!(test.suspicion(&bets), Suspicion::None);
    }
    // Positions until conviction, from the first job on.
    let four = jobs_until(Suspicion::Convicted, &calibration, || numbers.job(10, FOUR_BIT));
    let cache = jobs_until(Suspicion::Convicted, &calibration, || numbers.job(50, CACHE));
    let eight = jobs_until(Suspicion::Convicted, &calibration, || numbers.job(400, EIGHT_BIT));
    assert!(four <= 3 && cache * 50 <= 1_500 && eight * 400 <= 8_000, "{four} {cache} {eight}");
    // Sketches see 8-bit weights at twice the honest error in a few dozen jobs of 12 sketches, and log probabilities too.
    let plain = ReplayStatistics::default();
    assert!(jobs_until(Suspicion::Convicted, &calibration, || noisy(60_000, 400_000, plain)) <= 40);
    assert!(jobs_until(Suspicion::Convicted, &calibration, || noisy(120_000, 200_000, plain)) <= 40);
    assert!(jobs_until(Suspicion::Suspect, &calibration, || noisy(60_000, 400_000, plain)) <= 20);
    // Many jobs at once are as good as many steps.
    let at_once = (0..40).fold(plain, |all, _| all.with(&noisy(60_000, 400_000, plain)));
    assert_eq!(jobs_until(Suspicion::Convicted, &calibration, || at_once), 1);
}

#[test]
fn a_worker_that_turns_bad_late_has_saved_nothing_up() {
    let calibration = calibration();
    let bets = Bets::new(&calibration);
    let mut numbers = Numbers(1 << 24);
    let mut test = SequentialTest::default();
    for _ in 0..2_000 {
        test.judge(&bets, &numbers.job(100, HONEST));
    }
    let mut jobs = 0;
    while test.suspicion(&bets) < Suspicion::Convicted {
        test.judge(&bets, &numbers.job(100, FOUR_BIT));
        jobs += 1;
        assert!(jobs < 10, "never");
    }
}

#[test]
fn nothing_measured_moves_nothing_and_nonsense_breaks_nothing() {
    let calibration = calibration();
    let bets = Bets::new(&calibration);
    let mut test = SequentialTest::default();
    for _ in 0..100 {
        test.judge(&bets, &ReplayStatistics::default());
    }
    assert_eq!(test.suspicion(&bets), Suspicion::None);
    // More flips than positions, sums beyond the clip: counted as the most that can be.
    let mut absurd = ReplayStatistics {
        logprobs: ClippedSum { count: 1, sum_ppm: u64::MAX, bets: [i64::MAX; STAKES.len()] },
        sketches: ClippedSum { count: u32::MAX, sum_ppm: u64::MAX, bets: [i64::MIN; STAKES.len()] },
        ..ReplayStatistics::default()
    };
    absurd.kinds = [KindCount { positions: 1, flips: u32::MAX }; POSITION_KINDS];
    let mut bounded = absurd;
    bounded.kinds = [KindCount { positions: 1, flips: 1 }; POSITION_KINDS];
    let (mut one, mut other) = (SequentialTest::default(), SequentialTest::default());
    one.judge(&bets, &absurd);
    other.judge(&bets, &bounded);
    assert_eq!(one, other);
    absurd.kinds = [KindCount { positions: u32::MAX, flips: u32::MAX }; POSITION_KINDS];
    for _ in 0..50 {
        one.judge(&bets, &absurd);
    }
    assert_eq!(one.suspicion(&bets), Suspicion::Convicted);
    // A calibration that bounds nothing convicts nobody.
    let empty = Calibration {
        flips: [Ppm::new(0); POSITION_KINDS],
        logprob_mean: Ppm::new(0),
        sketch_mean: Ppm::new(0),
        ..calibration
    };
    let most = sum(1, 1_000_000, empty.logprob_mean);
    let mut test = SequentialTest::default();
    for _ in 0..50 {
        test.judge(&Bets::new(&empty), &ReplayStatistics { logprobs: most, sketches: most, ..absurd });
    }
    assert_eq!(test.suspicion(&Bets::new(&empty)), Suspicion::None);
    // Nor does an alternative that is more honest than honesty.
    let upside_down = Calibration { alternatives: vec![empty.flips], ..calibration_of(HONEST) };
    let mut test = SequentialTest::default();
    for _ in 0..50 {
        let none = sum(1, 0, Ppm::new(50_000));
        test.judge(&Bets::new(&upside_down), &ReplayStatistics { logprobs: none, sketches: none, ..absurd });
    }
    assert_eq!(test.suspicion(&Bets::new(&upside_down)), Suspicion::None);
}

fn calibration_of(flips: [u32; 6]) -> Calibration {
    Calibration { flips: all_contexts(flips), ..calibration() }
}
