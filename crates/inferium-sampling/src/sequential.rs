//! The sequential test of one worker's results on one profile, over all its judged jobs (SPEC V7).
//!
//! For each thing that is measured there are a few bets against honesty. A bet's capital is multiplied, job by job, by a factor
//! whose expectation is at most 1 while the worker is honest, whatever the jobs, their order and when one looks. By Ville's
//! inequality an honest worker's capital then *ever* exceeds 10⁶ with a probability of at most 10⁻⁶, in its whole life.
//! Jobs that are judged at once, of one segment, are one step: their factors are multiplied first.
//!
//! A worker may turn bad late, after honest jobs have eaten a bet's capital. So not all of it is put in at the start: before
//! step `i`, from 0, `1 / ((i + 1)(i + 2))` of it is, and these sum to 1.
//!
//! Everything here is integers, rounded down, so that rounding favours the worker; consensus reads it.

use crate::fixed::{ONE, Q64, exp2, log2_ratio, times};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{
    ALTERNATIVES_MAX, Calibration, EngineClass, ForeignBounds, POSITION_KINDS, Ppm, ReplayStatistics, STAKES,
    Suspicion, TEMPERS,
};

#[cfg(test)]
mod tests;

/// Capital from which every job of the worker is replayed.
const SUSPECT: u64 = 100;
/// Capital from which it is convicted.
const CONVICTED: u64 = 1_000_000;
/// Shares of positions outside of the truncation that cheats have (SPEC V9).
const OUTSIDE: [Ppm; 2] = [Ppm::new(50_000), Ppm::new(300_000)];

/// The bets that a class of engines makes, worked out once.
///
/// What bounds nothing (a share or mean of zero, a share of one whole) makes no bets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bets(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Logarithms of how much likelier a flip is, and none, for each alternative and kind of position; with 32 bits after the
    /// point, rounded down.
    Tolerance(Vec<[(i64, i64); POSITION_KINDS]>),
    /// The same of a token outside of the truncation, and of none.
    Foreign([(i64, i64); OUTSIDE.len()]),
}

impl Bets {
    /// The bets of a calibration.
    #[must_use]
    pub fn new(calibration: &Calibration) -> Self {
        let alternatives = calibration.alternatives.iter().take(ALTERNATIVES_MAX);
        Self(Kind::Tolerance(alternatives.map(|shares| log_ratios(&calibration.flips, shares)).collect()))
    }

    /// The bets of a foreign profile.
    #[must_use]
    pub fn foreign(bounds: &ForeignBounds) -> Self {
        Self(Kind::Foreign(OUTSIDE.map(|share| log_ratio(bounds.outside, share))))
    }

    /// The bets of a class; `None` where verdicts go by equality.
    #[must_use]
    pub fn of(class: &EngineClass) -> Option<Self> {
        match class {
            EngineClass::Canonical { .. } => None,
            EngineClass::Tolerance { calibration, .. } => Some(Self::new(calibration)),
            EngineClass::Foreign { bounds, .. } => Some(Self::foreign(bounds)),
        }
    }
}

/// The capital of all bets against one worker's honesty on one profile.
///
/// Each is a number with 64 bits after the point.
#[derive(Clone, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct SequentialTest {
    /// Steps: segments that were judged.
    steps: u64,
    /// Against flips of tokens: one for each alternative of the calibration.
    flips: [u128; ALTERNATIVES_MAX],
    /// Against the mean difference of log probabilities.
    logprobs: [u128; STAKES.len()],
    /// Against the mean error of sketches.
    sketches: [u128; STAKES.len()],
    /// On a foreign profile, against the temperature of draws.
    draws: [u128; TEMPERS.len()],
    /// There, against the share of tokens outside of the truncation.
    outside: [u128; OUTSIDE.len()],
}

impl SequentialTest {
    /// Counts what was judged at once: one job, or all that were drawn of a segment.
    pub fn judge(&mut self, bets: &Bets, measured: &ReplayStatistics) {
        let put_in = put_in(self.steps);
        self.steps = self.steps.saturating_add(1);
        match &bets.0 {
            Kind::Tolerance(flips) => {
                bet(&mut self.flips, put_in, flips.iter().map(|ratios| likelihood_ratio(ratios, measured)));
                bet(&mut self.logprobs, put_in, measured.logprobs.bets.map(i128::from));
                bet(&mut self.sketches, put_in, measured.sketches.bets.map(i128::from));
            }
            Kind::Foreign(outside) => {
                let draws = &measured.draws;
                let log = |ratio: &(i64, i64)| weigh(draws.outside, draws.positions, *ratio);
                bet(&mut self.draws, put_in, draws.bets.map(i128::from));
                bet(&mut self.outside, put_in, outside.iter().map(log));
            }
        }
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

    /// How often something was judged.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The decimal logarithm of the evidence against the worker, for pictures: 2 is suspect, 6 convicted.
    #[must_use]
    pub fn capital_log10(&self, bets: &Bets) -> f64 {
        // Nothing is left of a capital below the last bit.
        libm::log10(self.capital(bets).max(1) as f64 / ONE as f64)
    }

    /// The mean capital over the things that are measured, three or, on a foreign profile, two; each is the mean over its bets.
    fn capital(&self, bets: &Bets) -> Q64 {
        let mean = |capitals: &[u128], count: usize| {
            // Divided first: the sum of capitals may be too large.
            let count = u128::try_from(count.max(1)).unwrap_or(u128::MAX);
            capitals.iter().fold(0_u128, |sum, capital| sum.saturating_add(capital / count))
        };
        match &bets.0 {
            Kind::Tolerance(alternatives) => {
                let flips = mean(&self.flips, alternatives.len());
                let (logprobs, sketches) = (mean(&self.logprobs, STAKES.len()), mean(&self.sketches, STAKES.len()));
                (flips / 3).saturating_add(logprobs / 3).saturating_add(sketches / 3)
            }
            Kind::Foreign(_) => {
                let (draws, outside) = (mean(&self.draws, TEMPERS.len()), mean(&self.outside, OUTSIDE.len()));
                (draws / 2).saturating_add(outside / 2)
            }
        }
    }
}

/// The part of a bet's capital that is put in before step `index`.
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
        *ratio = log_ratio(*honest, *share);
    }
    ratios
}

/// The same of one share; nothing, where the two tell nothing.
fn log_ratio(honest: Ppm, share: Ppm) -> (i64, i64) {
    let stays = |share: Ppm| Ppm::ONE.get().saturating_sub(share.get());
    let hit = log2_ratio(share.get().into(), honest.get().into());
    let missed = log2_ratio(stays(share).into(), stays(honest).into());
    match (hit, missed) {
        (Some(hit), Some(missed)) if share >= honest => (hit, missed),
        _ => (0, 0),
    }
}

/// The logarithm of how much likelier so many hits among so many positions are.
fn weigh(hits: u32, positions: u32, (hit, missed): (i64, i64)) -> i128 {
    let hits = hits.min(positions);
    i128::from(hits) * i128::from(hit) + i128::from(positions - hits) * i128::from(missed)
}

/// The logarithm of how much likelier the flips that were measured are, at most.
fn likelihood_ratio(ratios: &[(i64, i64); POSITION_KINDS], measured: &ReplayStatistics) -> i128 {
    let kinds = measured.kinds.iter().zip(ratios);
    kinds.map(|(count, ratio)| weigh(count.flips, count.positions, *ratio)).sum()
}

/// Multiplies what each bet has by what a step brought it, a binary logarithm.
fn bet(capitals: &mut [u128], put_in: Q64, logs: impl IntoIterator<Item = i128>) {
    for (capital, log) in capitals.iter_mut().zip(logs) {
        *capital = times(capital.saturating_add(put_in), exp2(log));
    }
}
