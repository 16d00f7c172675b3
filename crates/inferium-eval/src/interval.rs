//! A mean of scores with its interval, in whole numbers.

use serde::Serialize;

/// Parts of a whole.
pub const PPM: u32 = 1_000_000;
/// Square of the normal distribution's quantile for 95 %, 1.959963985²; millionths.
const Z2_MICRO: u128 = 3_841_459;
/// Scores that one mean is made of at most: the square below stays within 128 bits.
const COUNT_MAX: u64 = 1_000_000_000;

/// A mean of scores from 0 to 1 and where it lies at 95 %; parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// The mean, rounded down.
    #[serde(rename = "score_ppm")]
    pub mean: u32,
    /// The lower end, rounded down.
    #[serde(rename = "low_ppm")]
    pub low: u32,
    /// The upper end, rounded up.
    #[serde(rename = "high_ppm")]
    pub high: u32,
}

impl Interval {
    /// Of nothing: anything is possible.
    pub const UNKNOWN: Self = Self { mean: 0, low: 0, high: PPM };

    /// True when neither is surely better.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Wilson's interval of `count` scores that add up to `sum_ppm` (each from 0 to [`PPM`]; what is more counts as that).
///
/// Exact for scores that are right or wrong. For scores between, such as `mrr`, it is wider than need be, never narrower: no
/// distribution on 0 to 1 with this mean varies more than right and wrong do. More than 10⁹ scores count as 10⁹ with the same mean.
#[must_use]
pub fn wilson(sum_ppm: u64, count: u64) -> Interval {
    if count == 0 {
        return Interval::UNKNOWN;
    }
    let ppm = u128::from(PPM);
    let whole = u128::from(count) * ppm;
    let mean_exact = u128::from(sum_ppm).min(whole);
    let mean = mean_exact * ppm / whole;
    let (n, sum) = match count > COUNT_MAX {
        true => (u128::from(COUNT_MAX), mean * u128::from(COUNT_MAX)),
        false => (u128::from(count), mean_exact),
    };
    let whole = n * ppm;
    // With p = sum / whole, both ends are (2p + z²/n ± z·sqrt(4p(1−p)/n + z²/n²)) / (2 + 2z²/n), here multiplied by n·10⁶.
    let spread = Z2_MICRO * (4 * sum * (whole - sum) / whole) + Z2_MICRO * Z2_MICRO;
    let root = ceil_sqrt(spread);
    let (centre, scale) = (2 * sum + Z2_MICRO, 2 * (whole + Z2_MICRO));
    let low = centre.saturating_sub(root) * ppm / scale;
    let high = ((centre + root) * ppm).div_ceil(scale).min(ppm);
    let parts = |value: u128| u32::try_from(value).unwrap_or(PPM);
    // Rounding must not put the mean outside.
    Interval { mean: parts(mean), low: parts(low.min(mean)), high: parts(high.max(mean)) }
}

/// The smallest number whose square is at least `value`.
fn ceil_sqrt(value: u128) -> u128 {
    let root = value.isqrt();
    if root * root == value { root } else { root + 1 }
}

#[cfg(test)]
mod tests;
