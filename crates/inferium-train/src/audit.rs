//! Which intervals are run again: drawn from a beacon when all roots are committed, so many that skipping does not pay (SPEC X2).
//!
//! Of `n` intervals `m` are wrong and `q` are drawn without replacement: none of the wrong ones is drawn with the chance
//! `C(n−m, q) / C(n, q)`. The default draws the fewest for which that is at most 5 % when a tenth is wrong. For many intervals these
//! are 29, whatever their number, since `0.9²⁹ < 5 %`: so the cost falls as intervals get shorter and more. With
//! [`BOTH_FROM`] intervals or more it is at most a tenth of the training; with fewer nothing reaches both, and the default keeps
//! the chance and pays more. An interval costs to verify what it cost to train, since intervals are of one length.

use inferium_eval::permutation;
use inferium_types::{Digest, Ppm};

#[cfg(test)]
mod tests;

/// Share of intervals that a cheat is assumed to get wrong.
pub const WRONG: Ppm = Ppm::new(100_000);
/// The chance, at most, that such a cheat is not caught.
pub const MISSED_MAX: f64 = 0.05;
/// Share of the training that its verification may cost.
pub const COST_MAX: f64 = 0.1;
/// From so many intervals on the default is within both [`MISSED_MAX`] and [`COST_MAX`].
pub const BOTH_FROM: u64 = 270;

/// How many intervals are drawn, and what that comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audit {
    /// Intervals of the run.
    pub intervals: u64,
    /// Those that are drawn.
    pub drawn: u64,
    /// The chance that none of the wrong ones is, if [`WRONG`] of all are.
    pub missed: f64,
    /// Share of the training's work.
    pub cost: f64,
}

impl Audit {
    /// The default: as few as catch a cheat that gets [`WRONG`] of the intervals wrong with a chance of 95 %.
    #[must_use]
    pub fn usual(intervals: u64) -> Self {
        let enough = |drawn: &u64| Self::of(intervals, *drawn).missed <= MISSED_MAX;
        let drawn = (0..=intervals).find(enough).unwrap_or(intervals);
        Self::of(intervals, drawn)
    }

    /// An audit of so many.
    #[must_use]
    pub fn of(intervals: u64, drawn: u64) -> Self {
        let drawn = drawn.min(intervals);
        let wrong = u64::try_from(u128::from(intervals) * u128::from(WRONG.get()))
            .map_or(intervals, |parts| parts.div_ceil(u64::from(Ppm::ONE.get())));
        let cost = if intervals == 0 { 0.0 } else { drawn as f64 / intervals as f64 };
        Self { intervals, drawn, missed: missed(intervals, wrong, drawn), cost }
    }

    /// The chance that a cheat in one single interval is missed: the share that is not drawn. One is enough to put other weights in,
    /// since all that follows is honestly computed from them.
    #[must_use]
    pub fn missed_in_one(&self) -> f64 {
        missed(self.intervals, 1, self.drawn)
    }

    /// True when both goals are reached.
    #[must_use]
    pub fn is_within_both(&self) -> bool {
        self.missed <= MISSED_MAX && self.cost <= COST_MAX
    }
}

/// The chance that `drawn` of `intervals`, without replacement, hold none of `wrong`.
#[must_use]
pub fn missed(intervals: u64, wrong: u64, drawn: u64) -> f64 {
    let right = intervals.saturating_sub(wrong);
    if drawn > right {
        return if wrong == 0 { 1.0 } else { 0.0 };
    }
    (0..drawn).fold(1.0, |chance, place| chance * ((right - place) as f64 / (intervals - place) as f64))
}

/// Draws intervals, sorted. `beacon` must not be known before `last_root`, the root after the last interval, is committed: who knew
/// what is drawn would compute no more than that.
#[must_use]
pub fn draw(beacon: &Digest, last_root: &Digest, audit: &Audit) -> Vec<u64> {
    let seed = Digest::of("inferium/training-audit/1", &[beacon.as_bytes(), last_root.as_bytes()]);
    let (count, drawn) = (usize::try_from(audit.intervals), usize::try_from(audit.drawn));
    let order = permutation(&seed, count.unwrap_or(usize::MAX));
    let mut intervals: Vec<u64> =
        order.into_iter().take(drawn.unwrap_or(usize::MAX)).filter_map(|index| u64::try_from(index).ok()).collect();
    intervals.sort_unstable();
    intervals
}
