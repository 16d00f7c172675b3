//! What a verifier can say of tokens that some server drew with a seed of its own (SPEC V9).
//!
//! Of an honest server it knows the distribution that each token was drawn from, and nothing else. A bet that takes the
//! temperature for another one multiplies its capital by `p^(-k/16) / Σ p^(1 - k/16)`, the sum over what the truncation keeps:
//! how much likelier the token is by that other temperature. Its expectation under an honest draw is 1 whatever the prompt and
//! the tokens before, so that no calibration is needed. What is left is that the server's arithmetic is not the verifier's.
//! A difference of logits by `δ` shifts the mean of the surprisal by the covariance of both, at most `sd(δ)` times the
//! surprisal's standard deviation; the bounds name how much of that is honest, and each bet pays it at every position.

use crate::PositionCheck;
use crate::position::Draw;
use inferium_types::{DrawCount, ForeignBounds, ReplayStatistics, TEMPERS};

#[cfg(test)]
mod tests;

const MICRO: f64 = 1e6;
/// The point of binary logarithms.
const LOG_ONE: f64 = 4_294_967_296.0;
/// What one of [`TEMPERS`] counts.
const SIXTEENTH: f64 = 1.0 / 16.0;

/// Over the probabilities of what a truncation keeps: the natural logarithm of `Σ p^(1 - k/16)`, for each of [`TEMPERS`].
///
/// Powers are products of square roots, which are the same bits everywhere.
pub(crate) fn tempered_sums(probabilities: impl Iterator<Item = f64>) -> [f64; TEMPERS.len()] {
    let mut sums = [0.0; TEMPERS.len()];
    for p in probabilities {
        let half = p.sqrt();
        let quarter = half.sqrt();
        let eighth = quarter.sqrt();
        let sixteenth = eighth.sqrt();
        let seven_eighths = half * quarter * eighth;
        // In the order of `TEMPERS`.
        let powers =
            [seven_eighths * sixteenth, seven_eighths, half * quarter, half, p * eighth, p * quarter, p * half, p * p];
        for (sum, power) in sums.iter_mut().zip(powers) {
            *sum += power;
        }
    }
    sums.map(libm::log)
}

/// What a validator reveals of one job of a foreign profile, from every position of its replay.
#[must_use]
pub fn draw_statistics(checks: &[PositionCheck], bounds: &ForeignBounds) -> ReplayStatistics {
    let mut draws = DrawCount::default();
    let mut logs = [0.0; TEMPERS.len()];
    let (mut surprisal, mut variance) = (0.0, 0.0);
    let drift = f64::from(bounds.drift.get()) / MICRO;
    for check in checks {
        let Draw { beyond, logprob, sums } = &check.draw;
        draws.positions = draws.positions.saturating_add(1);
        let is_outside = beyond * MICRO > f64::from(bounds.margin_micro);
        draws.outside = draws.outside.saturating_add(u32::from(is_outside));
        let paid = drift * check.variance.sqrt();
        for ((log, temper), sum) in logs.iter_mut().zip(TEMPERS).zip(sums) {
            let by = f64::from(temper) * SIXTEENTH;
            *log += -by * logprob - sum - by.abs() * paid;
        }
        surprisal += check.surprisal;
        variance += check.variance;
    }
    // Rounded once a job; a cast of a float saturates.
    draws.bets = logs.map(|log| libm::floor(log * std::f64::consts::LOG2_E * LOG_ONE) as i64);
    ReplayStatistics {
        surprisal_micro: libm::round(surprisal * MICRO) as i64,
        variance_micro: libm::round(variance * MICRO) as u64,
        draws,
        ..ReplayStatistics::default()
    }
}
