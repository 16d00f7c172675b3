//! The test of one job by itself: only what no honest engine shows once in a million jobs (SPEC V6).

use crate::PositionCheck;
use inferium_types::{Calibration, Ppm, ReplayStatistics};

#[cfg(test)]
mod tests;

/// Answers with fewer tokens are not judged by their tokens alone.
pub const GROSS_POSITIONS_MIN: u64 = 32;
/// Jobs with fewer sketches are not judged by those.
pub const GROSS_SKETCHES_MIN: usize = 8;
/// How often an honest job may fail.
const LEVEL: f64 = 1e-6;
/// How much further than nearly all honest margins the margin of a wrong end is.
const ENDING_ROOM: f64 = 10.0;

/// What is grossly wrong with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrossFault {
    /// More tokens that the model would not have drawn than any honest engine's near-ties give.
    Tokens,
    /// Hidden states that are not the model's.
    Sketches,
}

/// Judges a job by what its replay measured; `sketch_errors` one by one.
#[must_use]
pub fn gross_fault(
    calibration: &Calibration,
    measured: &ReplayStatistics,
    sketch_errors: &[f64],
) -> Option<GrossFault> {
    let positions = measured.positions();
    if positions >= GROSS_POSITIONS_MIN && u64::from(measured.bad) >= bad_limit(calibration, positions) {
        return Some(GrossFault::Tokens);
    }
    if sketch_errors.len() >= GROSS_SKETCHES_MIN {
        let mut sorted = sketch_errors.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        if median * 1e6 > calibration.sketch_gross_micro as f64 {
            return Some(GrossFault::Sketches);
        }
    }
    None
}

/// Whether an answer ended, or went on, where no honest engine would: one position decides, so the margin must be far beyond
/// what near-ties give, whatever the truncation leaves out. `ends` says of a token whether it ends an answer.
///
/// What the tokens in between are is no matter of this: they are counted.
#[must_use]
pub fn ends_wrongly(
    calibration: &Calibration,
    check: &PositionCheck,
    claimed: u32,
    ends: impl Fn(u32) -> bool,
) -> bool {
    if check.agrees() || ends(claimed) == ends(check.choice) {
        return false;
    }
    check.reach * 1e6 > calibration.bad_margin_micro as f64 * ENDING_ROOM
}

/// The fewest bad positions among `positions` that honest jobs have less than once in a million: the upper tail of the
/// beta-binomial distribution with the calibration's share and correlation.
#[must_use]
pub fn bad_limit(calibration: &Calibration, positions: u64) -> u64 {
    let share = |part: Ppm| f64::from(part.get()) / f64::from(Ppm::ONE.get());
    // Nothing is impossible, or quite independent.
    let (mean, correlation) = (share(calibration.bad).clamp(1e-9, 1.0 - 1e-9), share(calibration.bad_correlation));
    let spread = 1.0 / correlation.clamp(1e-9, 1.0 - 1e-9) - 1.0;
    let (alpha, beta) = (mean * spread, (1.0 - mean) * spread);
    let count = positions as f64;
    // P(0) as a product of what each position leaves, then P(k + 1) / P(k); the tail is what is left of 1.
    let none: f64 = (0..positions).map(|i| libm::log1p(-alpha / (alpha + beta + i as f64))).sum();
    let mut probability = libm::exp(none);
    let mut above = 1.0;
    for bad in 0..=positions {
        if above < LEVEL {
            return bad;
        }
        above -= probability;
        let k = bad as f64;
        probability *= (count - k) / (k + 1.0) * (alpha + k) / (beta + count - k - 1.0);
    }
    positions.saturating_add(1)
}
