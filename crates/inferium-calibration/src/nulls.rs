//! How often the sequential test accuses the honest: workers at the very ceilings of a calibration, over their whole life.
//!
//! No honest worker is noisier: tokens flip at their ceilings' shares, and the expectation of each job's mean is its ceiling. What
//! is left to choose is how unevenly jobs are noisy, and [`Means`] are the cases.
//!
//! Conviction is far too rare to be seen by waiting for it. The capital of all bets, with what is not put in yet, is a likelihood
//! ratio: of the worker that the bets assume (one of the bets comes true, from one step on) to the honest one. So paths of that
//! worker are drawn, and one that is convicted counts with what the honest worker's is likelier: at most 10⁻⁶
//! ([`NullWorker::weigh`]). The mean is the honest worker's probability. Capitals are rounded down, so the estimate is rounded up.

use inferium_sampling::{Bets, SequentialTest, Suspicion, mean_bets, philox4x32_10};
use inferium_types::{Calibration, ClippedSum, POSITION_KINDS, Ppm, ReplayStatistics, STAKES};

#[cfg(test)]
mod tests;

/// The things that are measured: tokens, log probabilities, sketches.
const THINGS: f64 = 3.0;
/// Of a normal distribution, 97.5 % are below.
const NORMAL: f64 = 1.959_963_984_540_054;

/// How the means of an honest worker's jobs are spread about the ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// As far as can be: the whole clip in as few jobs as give the ceiling, nothing in the others.
    Extreme,
    /// As [`Means::Extreme`], and what is noisy in log probabilities is in its sketches too.
    ExtremeTogether,
    /// Half of the ceiling, or one and a half times that.
    Moderate,
}

impl Means {
    /// All cases.
    pub const ALL: [Self; 3] = [Self::Extreme, Self::ExtremeTogether, Self::Moderate];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Extreme => "extreme",
            Self::ExtremeTogether => "extreme-together",
            Self::Moderate => "moderate",
        }
    }
}

/// Where a random word falls: parts of the 2³² words, as their ends.
#[derive(Clone, Debug, PartialEq)]
struct Table(Vec<u64>);

impl Table {
    fn new(shares: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut ends: Vec<u64> = shares
            .into_iter()
            .map(|share| {
                sum += share;
                (sum.min(1.0) * (1_u64 << 32) as f64).round() as u64
            })
            .collect();
        if let Some(last) = ends.last_mut() {
            *last = 1 << 32;
        }
        Self(ends)
    }

    /// The number of hits among `count`, each of which has this share.
    fn binomial(count: u32, share: f64) -> Self {
        let (n, odds) = (f64::from(count), share / (1.0 - share));
        let mut probability = (1.0 - share).powf(n);
        Self::new((0..=count).map(|hits| {
            let this = probability;
            probability *= (n - f64::from(hits)) / (f64::from(hits) + 1.0) * odds;
            this
        }))
    }

    fn find(&self, word: u32) -> usize {
        self.0.iter().position(|end| u64::from(word) < *end).unwrap_or(0)
    }

    /// A word of part `index`, as a second random word says.
    fn within(&self, index: usize, word: u32) -> u32 {
        let end = self.0.get(index).copied().unwrap_or(1 << 32);
        let start = index.checked_sub(1).and_then(|before| self.0.get(before)).copied().unwrap_or(0);
        (start + ((end.saturating_sub(start) * u64::from(word)) >> 32)).try_into().unwrap_or(u32::MAX)
    }
}

/// Positions of one kind of each job.
#[derive(Clone, Debug)]
struct Flips {
    kind: usize,
    positions: u32,
    honest: Table,
    /// What each bet assumes.
    assumed: Vec<Table>,
}

/// A job's mean of one thing.
#[derive(Clone, Debug)]
struct Spread {
    sums: Vec<ClippedSum>,
    honest: Table,
    /// What each bet assumes.
    assumed: Vec<Table>,
}

impl Spread {
    fn new(ceiling: Ppm, means: Means) -> Self {
        let whole = u64::from(Ppm::ONE.get());
        let honest = u64::from(ceiling.get());
        let share = honest as f64 / whole as f64;
        let points = match means {
            Means::Extreme | Means::ExtremeTogether => [(0, 1.0 - share), (whole, share)],
            // Both are as far from the ceiling, and within the clip.
            Means::Moderate => {
                let far = (honest / 2).min(whole - honest);
                [(honest - far, 0.5), (honest + far, 0.5)]
            }
        };
        let sums = points.map(|(mean, _)| {
            let sum = ClippedSum { count: 1, sum_ppm: mean, ..ClippedSum::default() };
            ClippedSum { bets: mean_bets(&sum, ceiling), ..sum }
        });
        let likelier = |stake: u32, mean: u64| match honest {
            0 => 1.0,
            _ => 1.0 + f64::from(stake) / 1e6 * (mean as f64 / honest as f64 - 1.0),
        };
        let assumed = STAKES.map(|stake| Table::new(points.map(|(mean, share)| share * likelier(stake, mean))));
        Self { sums: sums.into(), honest: Table::new(points.map(|(_, share)| share)), assumed: assumed.into() }
    }

    fn sum(&self, word: u32) -> ClippedSum {
        self.sums.get(self.honest.find(word)).copied().unwrap_or_default()
    }
}

/// What a path's worker does from a step on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assumed {
    Flips(usize),
    Logprobs(usize),
    Sketches(usize),
}

/// An honest worker at the ceilings of a calibration.
#[derive(Clone, Debug)]
pub struct NullWorker {
    bets: Bets,
    alternatives: usize,
    jobs: u32,
    means: Means,
    flips: Vec<Flips>,
    logprobs: Spread,
    sketches: Spread,
}

impl NullWorker {
    /// A worker of `jobs` jobs, each with as many positions of each kind as `positions` says.
    #[must_use]
    pub fn new(calibration: &Calibration, positions: &[u32; POSITION_KINDS], means: Means, jobs: u32) -> Self {
        let share = |part: Ppm| f64::from(part.get()) / f64::from(Ppm::ONE.get());
        let bounds = |ceiling: Ppm| ceiling.get() > 0 && ceiling < Ppm::ONE;
        let kinds = positions.iter().zip(&calibration.flips).enumerate();
        let flips = kinds.filter(|(_, (positions, ceiling))| **positions > 0 && bounds(**ceiling));
        let flips = flips.map(|(kind, (&positions, &ceiling))| Flips {
            kind,
            positions,
            honest: Table::binomial(positions, share(ceiling)),
            assumed: calibration
                .alternatives
                .iter()
                .map(|shares| {
                    // There is no bet on what is no alternative.
                    let assumed = Some(shares[kind]).filter(|assumed| *assumed >= ceiling && bounds(*assumed));
                    Table::binomial(positions, share(assumed.unwrap_or(ceiling)))
                })
                .collect(),
        });
        Self {
            bets: Bets::new(calibration),
            alternatives: calibration.alternatives.len(),
            jobs,
            means,
            flips: flips.collect(),
            logprobs: Spread::new(calibration.logprob_mean, means),
            sketches: Spread::new(calibration.sketch_mean, means),
        }
    }

    /// The worst that the test ever says of the honest worker, in path number `path`.
    #[must_use]
    pub fn live(&self, seed: u64, path: u64) -> Suspicion {
        let mut test = SequentialTest::default();
        let mut worst = Suspicion::None;
        for step in 0..self.jobs {
            test.judge(&self.bets, &self.job(seed, path, step, None));
            worst = worst.max(test.suspicion(&self.bets));
            if worst == Suspicion::Convicted {
                break;
            }
        }
        worst
    }

    /// How much path number `path` of the worker that the bets assume counts for an honest worker that is ever suspect, and for
    /// one that is ever convicted.
    #[must_use]
    pub fn weigh(&self, seed: u64, path: u64) -> [f64; 2] {
        // The part of all capital that bets have: those on flips need alternatives.
        let has_flips = self.alternatives > 0;
        let mass = if has_flips { 1.0 } else { 1.0 - 1.0 / THINGS };
        let (assumed, from) = self.assume(words(seed, path, u32::MAX, 0), has_flips);
        let mut test = SequentialTest::default();
        let mut weights = [0.0; 2];
        for step in 0..self.jobs {
            let assumed = Some(assumed).filter(|_| step >= from);
            test.judge(&self.bets, &self.job(seed, path, step, assumed));
            let suspicion = test.suspicion(&self.bets);
            if suspicion == Suspicion::None {
                continue;
            }
            // What is not put in yet is still as it was.
            let left = mass / (f64::from(step) + 2.0);
            let weight = mass / (libm::pow(10.0, test.capital_log10(&self.bets)) + left);
            if weights[0] == 0.0 {
                weights[0] = weight;
            }
            if suspicion == Suspicion::Convicted {
                weights[1] = weight;
                break;
            }
        }
        weights
    }

    /// Which bet comes true, and from which step on: as capital is spread over them.
    fn assume(&self, [thing, bet, from, _]: [u32; 4], has_flips: bool) -> (Assumed, u32) {
        let of = |word: u32, count: usize| ((u64::from(word) * count as u64) >> 32) as usize;
        let assumed = match of(thing, if has_flips { 3 } else { 2 }) {
            0 => Assumed::Logprobs(of(bet, STAKES.len())),
            1 => Assumed::Sketches(of(bet, STAKES.len())),
            _ => Assumed::Flips(of(bet, self.alternatives)),
        };
        // 1 in k + 1 begin at k or later.
        let from = 1.0 / ((f64::from(from) + 1.0) / (1_u64 << 32) as f64) - 1.0;
        (assumed, from as u32)
    }

    /// What is measured of a job, of the honest worker or of one that does what a bet assumes.
    fn job(&self, seed: u64, path: u64, step: u32, assumed: Option<Assumed>) -> ReplayStatistics {
        let mut statistics = ReplayStatistics::default();
        let mut drawn = [0; 4];
        for (index, flips) in (0_u32..).zip(&self.flips) {
            if index.is_multiple_of(4) {
                drawn = words(seed, path, step, 1 + index / 4);
            }
            let table = match assumed {
                Some(Assumed::Flips(bet)) => flips.assumed.get(bet).unwrap_or(&flips.honest),
                _ => &flips.honest,
            };
            let count = &mut statistics.kinds[flips.kind];
            count.positions = flips.positions;
            count.flips = u32::try_from(table.find(drawn[(index % 4) as usize])).unwrap_or(u32::MAX);
        }
        let [logprob, sketch, within, _] = words(seed, path, step, 0);
        let (mut logprob, mut sketch) = (logprob, sketch);
        let together = self.means == Means::ExtremeTogether;
        match assumed {
            Some(Assumed::Logprobs(bet)) => logprob = tilted(&self.logprobs, bet, logprob, within),
            Some(Assumed::Sketches(bet)) if together => logprob = tilted(&self.sketches, bet, sketch, within),
            Some(Assumed::Sketches(bet)) => sketch = tilted(&self.sketches, bet, sketch, within),
            _ => {}
        }
        statistics.logprobs = self.logprobs.sum(logprob);
        statistics.sketches = self.sketches.sum(if together { logprob } else { sketch });
        statistics
    }
}

/// A word that an honest worker would draw its mean from, where the mean is as a bet assumes.
fn tilted(spread: &Spread, bet: usize, word: u32, within: u32) -> u32 {
    let Some(assumed) = spread.assumed.get(bet) else { return word };
    spread.honest.within(assumed.find(word), within)
}

/// Random words of one step of a path.
fn words(seed: u64, path: u64, step: u32, block: u32) -> [u32; 4] {
    let (low, high) = (seed as u32, (seed >> 32) as u32);
    // A step has fewer than 16 blocks: kinds of positions are 24. Paths are below 2^60.
    philox4x32_10([path as u32, ((path >> 32) as u32) << 4 | block, step, 0x6e75_6c6c], [low, high])
}

/// Paths of one kind, counted.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Tally {
    /// Paths.
    pub paths: u64,
    /// What those that were ever suspect, and those ever convicted, count in sum: each 1 of the honest worker's own paths, else
    /// its weight.
    pub sums: [f64; 2],
    /// Squares of the same.
    pub squares: [f64; 2],
}

impl Tally {
    /// Counts paths of the honest worker.
    #[must_use]
    pub fn of_lives(worker: &NullWorker, seed: u64, paths: std::ops::Range<u64>) -> Self {
        let one_if = |is: bool| if is { 1.0 } else { 0.0 };
        Self::of(paths, |path| {
            let worst = worker.live(seed, path);
            [one_if(worst >= Suspicion::Suspect), one_if(worst == Suspicion::Convicted)]
        })
    }

    /// Weighs paths of the worker that the bets assume.
    #[must_use]
    pub fn of_weights(worker: &NullWorker, seed: u64, paths: std::ops::Range<u64>) -> Self {
        Self::of(paths, |path| worker.weigh(seed, path))
    }

    fn of(paths: std::ops::Range<u64>, count: impl Fn(u64) -> [f64; 2]) -> Self {
        let mut tally = Self::default();
        for path in paths {
            tally.paths += 1;
            for (index, weight) in count(path).into_iter().enumerate() {
                tally.sums[index] += weight;
                tally.squares[index] += weight * weight;
            }
        }
        tally
    }

    /// This and another one.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.paths += other.paths;
        for index in 0..2 {
            self.sums[index] += other.sums[index];
            self.squares[index] += other.squares[index];
        }
        self
    }

    /// The probability at `index`, of suspicion or of conviction, and its 95 % interval by the normal distribution.
    #[must_use]
    pub fn mean(&self, index: usize) -> (f64, [f64; 2]) {
        let count = self.paths.max(1) as f64;
        let mean = self.sums[index] / count;
        let variance = (self.squares[index] / count - mean * mean).max(0.0);
        let error = NORMAL * (variance / count).sqrt();
        (mean, [(mean - error).max(0.0), mean + error])
    }

    /// As [`Tally::mean`], of paths that count 1 each, with the exact interval (Clopper and Pearson).
    #[must_use]
    pub fn share(&self, index: usize) -> (f64, [f64; 2]) {
        let hits = self.sums[index] as u64;
        (hits as f64 / self.paths.max(1) as f64, clopper_pearson(hits, self.paths))
    }
}

/// The exact 95 % interval of a share, of which `hits` of `count` were seen.
#[must_use]
pub fn clopper_pearson(hits: u64, count: u64) -> [f64; 2] {
    // P(hits or more) is 2.5 % at the lower end, P(hits or fewer) at the upper one.
    let solve = |is_below: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if is_below(middle) { low = middle } else { high = middle }
        }
        low
    };
    let lower = hits.checked_sub(1).map_or(0.0, |fewer| solve(&|share| 1.0 - at_most(fewer, count, share) < 0.025));
    let upper = if hits >= count { 1.0 } else { solve(&|share| at_most(hits, count, share) > 0.025) };
    [lower, upper]
}

/// P(`hits` or fewer of `count`), from the side that has less of it. The library that was tried for this is wrong where there are
/// thousands of hits.
fn at_most(hits: u64, count: u64, share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return if share <= 0.0 || hits >= count { 1.0 } else { 0.0 };
    }
    let n = count as f64;
    let exactly = |k: f64| {
        let choices = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
        (choices + k * share.ln() + (n - k) * (-share).ln_1p()).exp()
    };
    let odds = share / (1.0 - share);
    let mut k = hits as f64;
    let is_below = k < n * share;
    k += if is_below { 0.0 } else { 1.0 };
    let (mut term, mut sum) = (exactly(k), 0.0);
    // Each term is smaller than the one before.
    while term > sum * 1e-17 {
        sum += term;
        if is_below {
            term *= k / (n - k + 1.0) / odds;
            k -= 1.0;
        } else {
            term *= (n - k) / (k + 1.0) * odds;
            k += 1.0;
        }
    }
    if is_below { sum } else { 1.0 - sum }
}
