//! The sequential test of one worker's results on one profile, over all its judged jobs (SPEC V7).
//!
//! For each thing that is measured there are a few bets against honesty. A bet's capital is multiplied, job by job, by a factor
//! whose expectation is at most 1 while the worker is honest, whatever the jobs, their order and when one looks. By Ville's
//! inequality an honest worker's capital then *ever* exceeds 10⁶ with a probability of at most 10⁻⁶, in its whole life.
//!
//! A worker may turn bad late, after honest jobs have eaten a bet's capital. So not all of it is put in at the start: before
//! job `i`, from 0, `1 / ((i + 1)(i + 2))` of it is, and these sum to 1.
//!
//! Everything here is integers, rounded down, so that rounding favours the worker; consensus reads it.

use crate::fixed::{ONE, Q64, exp2, log2_ratio, times};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{ALTERNATIVES_MAX, Calibration, ClippedSum, POSITION_KINDS, Ppm, ReplayStatistics, Suspicion};

#[cfg(test)]
mod tests;

/// How much of its capital a bet against a mean stakes on each job, in millionths.
const STAKES: [u32; 8] = [20_000, 50_000, 100_000, 200_000, 400_000, 600_000, 800_000, 900_000];
/// Millionths in one.
const PPM: u64 = 1_000_000;
/// Capital from which every job of the worker is replayed.
const SUSPECT: u64 = 100;
/// Capital from which it is convicted.
const CONVICTED: u64 = 1_000_000;

/// The bets that a calibration makes, worked out once.
///
/// A calibration that bounds nothing (a share or mean of zero, a share of one whole) makes no bets on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bets {
    /// Logarithms of how much likelier a flip is, and none, for each alternative and kind of position; with 32 bits after the
    /// point, rounded down.
    flips: Vec<[(i64, i64); POSITION_KINDS]>,
    logprob_mean: Ppm,
    sketch_mean: Ppm,
}

impl Bets {
    /// The bets of a calibration.
    #[must_use]
    pub fn new(calibration: &Calibration) -> Self {
        let alternatives = calibration.alternatives.iter().take(ALTERNATIVES_MAX);
        Self {
            flips: alternatives.map(|shares| log_ratios(&calibration.flips, shares)).collect(),
            logprob_mean: calibration.logprob_mean,
            sketch_mean: calibration.sketch_mean,
        }
    }
}

/// The capital of all bets against one worker's honesty on one profile.
///
/// Each is a number with 64 bits after the point.
#[derive(Clone, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct SequentialTest {
    /// Jobs that were judged.
    jobs: u64,
    /// Against flips of tokens: one for each alternative of the calibration.
    flips: [u128; ALTERNATIVES_MAX],
    /// Against the mean difference of log probabilities.
    logprobs: [u128; STAKES.len()],
    /// Against the mean error of sketches.
    sketches: [u128; STAKES.len()],
}

impl SequentialTest {
    /// Counts one judged job.
    pub fn judge(&mut self, bets: &Bets, measured: &ReplayStatistics) {
        let put_in = put_in(self.jobs);
        self.jobs = self.jobs.saturating_add(1);
        for (capital, ratios) in self.flips.iter_mut().zip(&bets.flips) {
            *capital = times(capital.saturating_add(put_in), likelihood_ratio(ratios, measured));
        }
        bet_on_mean(&mut self.logprobs, put_in, measured.logprobs, bets.logprob_mean);
        bet_on_mean(&mut self.sketches, put_in, measured.sketches, bets.sketch_mean);
    }

    /// What the test says now: the mean capital of all bets decides.
    #[must_use]
    pub fn suspicion(&self, bets: &Bets) -> Suspicion {
        match self.capital(bets) >> 64 {
            whole if whole >= u128::from(CONVICTED) => Suspicion::Convicted,
            whole if whole >= u128::from(SUSPECT) => Suspicion::Suspect,
            _ => Suspicion::None,
        }
    }

    /// Jobs that were judged.
    #[must_use]
    pub const fn jobs(&self) -> u64 {
        self.jobs
    }

    /// The decimal logarithm of the evidence against the worker, for pictures: 2 is suspect, 6 convicted.
    #[must_use]
    pub fn capital_log10(&self, bets: &Bets) -> f64 {
        // Nothing is left of a capital below the last bit.
        libm::log10(self.capital(bets).max(1) as f64 / ONE as f64)
    }

    /// The mean capital over the three things that are measured, each of which is the mean over its bets.
    fn capital(&self, bets: &Bets) -> Q64 {
        let mean = |capitals: &[u128], count: usize| {
            // Divided first: the sum of capitals may be too large.
            let count = u128::try_from(count.max(1)).unwrap_or(u128::MAX);
            capitals.iter().fold(0_u128, |sum, capital| sum.saturating_add(capital / count))
        };
        let flips = mean(&self.flips, bets.flips.len());
        let (logprobs, sketches) = (mean(&self.logprobs, STAKES.len()), mean(&self.sketches, STAKES.len()));
        (flips / 3).saturating_add(logprobs / 3).saturating_add(sketches / 3)
    }
}

/// The part of a bet's capital that is put in before job `index`.
fn put_in(index: u64) -> Q64 {
    let next = u128::from(index) + 1;
    ONE / next / (next + 1)
}

/// How much likelier a flip is with the alternative's `shares` than with the `honest` ones, and none, kind by kind.
///
/// The honest share of a kind of positions is anything up to its ceiling: with a share of flips below the ceiling the expectation
/// of the factor is below 1, since `shares` are above.
fn log_ratios(honest: &[Ppm; POSITION_KINDS], shares: &[Ppm; POSITION_KINDS]) -> [(i64, i64); POSITION_KINDS] {
    let mut ratios = [(0, 0); POSITION_KINDS];
    for ((ratio, honest), share) in ratios.iter_mut().zip(honest).zip(shares) {
        let stays = |share: &Ppm| Ppm::ONE.get().saturating_sub(share.get());
        let flipped = log2_ratio(share.get(), honest.get());
        let stayed = log2_ratio(stays(share), stays(honest));
        if let (Some(flipped), Some(stayed), true) = (flipped, stayed, share >= honest) {
            *ratio = (flipped, stayed);
        }
    }
    ratios
}

/// How much likelier what was measured is, at most.
fn likelihood_ratio(ratios: &[(i64, i64); POSITION_KINDS], measured: &ReplayStatistics) -> Q64 {
    let mut log = 0_i128;
    for (count, (flipped, stayed)) in measured.kinds.iter().zip(ratios) {
        let flips = count.flips.min(count.positions);
        log += i128::from(flips) * i128::from(*flipped) + i128::from(count.positions - flips) * i128::from(*stayed);
    }
    exp2(log)
}

/// Bets that the mean is above what honest workers have: `1 + stake (mean / honest − 1)`.
fn bet_on_mean(bets: &mut [u128; STAKES.len()], put_in: Q64, measured: ClippedSum, honest: Ppm) {
    let Some(mean) = measured.mean_ppm().map(|mean| mean.min(PPM)) else { return };
    if honest.get() == 0 {
        return;
    }
    for (capital, stake) in bets.iter_mut().zip(STAKES) {
        let won = u128::from(stake) * u128::from(mean) * ONE / u128::from(honest.get());
        let kept = (u128::from(PPM) - u128::from(stake)) * ONE;
        let factor = (kept + won) / u128::from(PPM);
        *capital = times(capital.saturating_add(put_in), factor);
    }
}
