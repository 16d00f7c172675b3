//! Fitting a profile's calibration to measurements: what honest engines show at most, and what cheats show.
//!
//! Half of the jobs fit, the other half must confirm: honest ones raise no suspicion, and every control is convicted. A profile
//! whose controls don't separate is no use, and is refused.

use crate::measures::{JobMeasures, position_kind};
use crate::{Bets, GROSS_POSITIONS_MIN, SequentialTest, Suspicion, gross_fault};
use inferium_types::{ALTERNATIVES_MAX, Calibration, Digest, POSITION_KINDS, Ppm};

#[cfg(test)]
pub(crate) mod tests;

/// Room above the worst honest mean.
const ROOM: f64 = 1.15;
/// Room above the worst honest share of bad positions: the kernels of tomorrow differ more than those that were measured.
const BAD_ROOM: f64 = 1.5;
/// Where figures are clipped, in nearly all honest ones: a bet on a mean wins at most what the clip is above the honest mean.
const CLIP_ROOM: f64 = 4.0;
/// How much larger than nearly all honest errors a gross one is.
const GROSS_ROOM: f64 = 3.0;
/// Quantile of the normal distribution for upper bounds at 99.9 %.
const BOUND: f64 = 3.09;
/// Honest positions below which nothing is fitted.
pub const CALIBRATION_POSITIONS_MIN: u64 = 2_000;

/// Jobs of one engine with one setting.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is, for people.
    pub name: String,
    /// Its jobs.
    pub jobs: Vec<JobMeasures>,
}

impl Run {
    fn part(&self, odd: bool) -> impl Iterator<Item = &JobMeasures> {
        self.jobs.iter().skip(usize::from(odd)).step_by(2)
    }

    fn positions(&self) -> u64 {
        self.jobs.iter().map(|job| job.positions.len() as u64).sum()
    }
}

/// Why a calibration can't be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Inadmissible {
    /// Too little to fit anything to.
    #[error("{found} honest positions; at least {CALIBRATION_POSITIONS_MIN} are needed")]
    TooFew {
        /// How many there are.
        found: u64,
    },
    /// Honest work is suspect under what was fitted to other honest work.
    #[error("honest work of `{name}` is suspect after {jobs} jobs: its noise is too uneven")]
    Honest {
        /// Which engine.
        name: String,
        /// After how many jobs.
        jobs: u64,
    },
    /// A cheat looks like honest work.
    #[error("`{name}` is not told from honest work within {positions} positions")]
    Control {
        /// Which control.
        name: String,
        /// How many positions it had.
        positions: u64,
    },
}

/// How a control was told from honest work.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The control.
    pub name: String,
    /// Positions until the sequential test convicted it; `None`: never, of all there were.
    pub convicted_after: Option<u64>,
    /// Positions until it was suspect.
    pub suspect_after: Option<u64>,
    /// Jobs that failed by themselves, of those with enough positions.
    pub gross: (u64, u64),
}

/// Fits a calibration to the even jobs.
///
/// `alternatives` names the controls that bets on flips are made for, mildest first; the others are met by the same bets.
///
/// # Errors
/// [`Inadmissible::TooFew`].
pub fn fit(
    corpus: Digest,
    honest: &[Run],
    controls: &[Run],
    alternatives: &[&str],
) -> Result<Calibration, Inadmissible> {
    let positions = honest.iter().map(Run::positions).sum();
    if positions < CALIBRATION_POSITIONS_MIN {
        return Err(Inadmissible::TooFew { found: positions });
    }
    let margins = pooled(honest, |job| job.positions.iter().map(|p| p.check.margin).collect());
    let logprobs = pooled(honest, |job| job.positions.iter().map(|p| p.logprob_difference).collect());
    let errors = pooled(honest, |job| job.sketch_errors.clone());
    let [bad_margin, logprob, sketch] = [margins, logprobs, errors].map(|values| quantile(values, 0.999));
    let flips = ceilings(honest);
    let mut calibration = Calibration {
        corpus,
        positions,
        flips,
        alternatives: Vec::new(),
        // A margin of nothing is a tie that either may win.
        bad_margin_micro: micro(bad_margin).max(1),
        bad: Ppm::new(0),
        bad_correlation: Ppm::new(0),
        logprob_clip_micro: micro(logprob * CLIP_ROOM).max(1),
        logprob_mean: Ppm::new(0),
        sketch_clip_micro: micro(sketch * CLIP_ROOM).max(1),
        sketch_mean: Ppm::new(0),
        sketch_gross_micro: micro(sketch * GROSS_ROOM),
    };
    for name in alternatives.iter().take(ALTERNATIVES_MAX) {
        if let Some(control) = controls.iter().find(|control| control.name == *name) {
            calibration.alternatives.push(shares(control, &flips));
        }
    }
    (calibration.bad, calibration.bad_correlation) = bad_positions(honest, &calibration);
    calibration.logprob_mean = mean_ceiling(honest, &calibration, |s| s.logprobs.mean_ppm());
    calibration.sketch_mean = mean_ceiling(honest, &calibration, |s| s.sketches.mean_ppm());
    Ok(calibration)
}

/// Judges the odd jobs by a calibration.
///
/// # Errors
/// [`Inadmissible`].
pub fn confirm(calibration: &Calibration, honest: &[Run], controls: &[Run]) -> Result<Vec<Detection>, Inadmissible> {
    let bets = Bets::new(calibration);
    for engine in honest {
        let mut test = SequentialTest::default();
        for job in engine.part(true) {
            let statistics = job.statistics(calibration);
            test.judge(&bets, &statistics);
            if test.suspicion(&bets) > Suspicion::None
                || gross_fault(calibration, &statistics, &job.sketch_errors).is_some()
            {
                return Err(Inadmissible::Honest { name: engine.name.clone(), jobs: test.steps() });
            }
        }
    }
    let detections: Vec<Detection> = controls.iter().map(|control| detect(calibration, control)).collect();
    for (detection, control) in detections.iter().zip(controls) {
        if detection.convicted_after.is_none() {
            let positions = control.part(true).map(|job| job.positions.len() as u64).sum();
            return Err(Inadmissible::Control { name: control.name.clone(), positions });
        }
    }
    Ok(detections)
}

/// How soon the odd jobs of a control are told from honest work.
#[must_use]
pub fn detect(calibration: &Calibration, control: &Run) -> Detection {
    let mut detection =
        Detection { name: control.name.clone(), convicted_after: None, suspect_after: None, gross: (0, 0) };
    let bets = Bets::new(calibration);
    let mut test = SequentialTest::default();
    let mut positions = 0;
    for job in control.part(true) {
        let statistics = job.statistics(calibration);
        positions += statistics.positions();
        test.judge(&bets, &statistics);
        let suspicion = test.suspicion(&bets);
        if suspicion >= Suspicion::Suspect {
            detection.suspect_after.get_or_insert(positions);
        }
        if suspicion == Suspicion::Convicted {
            detection.convicted_after.get_or_insert(positions);
        }
        if statistics.positions() >= GROSS_POSITIONS_MIN {
            detection.gross.0 += u64::from(gross_fault(calibration, &statistics, &job.sketch_errors).is_some());
            detection.gross.1 += 1;
        }
    }
    detection
}

fn pooled(engines: &[Run], values: impl Fn(&JobMeasures) -> Vec<f64>) -> Vec<f64> {
    engines.iter().flat_map(|engine| engine.part(false)).flat_map(values).collect()
}

/// The value that a share of all is at most; 0 of nothing.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().filter(|value| value.is_finite()).unwrap_or(0.0)
}

fn micro(value: f64) -> u64 {
    libm::ceil(value * 1e6) as u64
}

/// Rounded up: every share is a ceiling.
fn ppm(value: f64) -> Ppm {
    Ppm::new(u32::try_from(libm::ceil(value.clamp(0.0, 1.0) * 1e6) as u64).unwrap_or(u32::MAX))
}

/// Wilson's upper bound of a share, at 99.9 %.
fn upper_share(hits: u64, count: u64) -> f64 {
    let (k, n, z2) = (hits as f64, count as f64, BOUND * BOUND);
    let centre = k + z2 / 2.0;
    let spread = BOUND * libm::sqrt(k * (n - k) / n + z2 / 4.0);
    ((centre + spread) / (n + z2)).min(1.0)
}

fn count_kinds(engine: &Run) -> [(u64, u64); POSITION_KINDS] {
    let mut counts = [(0, 0); POSITION_KINDS];
    for position in engine.part(false).flat_map(|job| &job.positions) {
        let kind = position_kind(position.check.gap, position.context_tokens).min(POSITION_KINDS - 1);
        counts[kind].0 += u64::from(!position.check.agrees());
        counts[kind].1 += 1;
    }
    counts
}

/// Above the worst engine's share of flips, kind by kind; zero, which bounds nothing, where none has any positions.
fn ceilings(honest: &[Run]) -> [Ppm; POSITION_KINDS] {
    let mut ceilings = [Ppm::new(0); POSITION_KINDS];
    for engine in honest {
        for (ceiling, (flips, count)) in ceilings.iter_mut().zip(count_kinds(engine)) {
            if count > 0 {
                *ceiling = (*ceiling).max(ppm(upper_share(flips, count) * ROOM));
            }
        }
    }
    ceilings
}

/// A control's shares of flips, nowhere below the honest ceiling.
fn shares(control: &Run, honest: &[Ppm; POSITION_KINDS]) -> [Ppm; POSITION_KINDS] {
    let mut shares = *honest;
    for (share, (flips, count)) in shares.iter_mut().zip(count_kinds(control)) {
        if count > 0 {
            // Half a flip more, of one position more: a share of one whole could never be wrong.
            *share = (*share).max(ppm((flips as f64 + 0.5) / (count as f64 + 1.0)));
        }
    }
    shares
}

/// Above every engine's share of bad positions, and how much these come together within a job.
fn bad_positions(honest: &[Run], calibration: &Calibration) -> (Ppm, Ppm) {
    let mut worst = 0.0_f64;
    let mut correlation = 0.0_f64;
    for engine in honest {
        let jobs: Vec<(f64, f64)> = engine
            .part(false)
            .map(|job| job.statistics(calibration))
            .map(|statistics| (f64::from(statistics.bad), statistics.positions() as f64))
            .filter(|(_, positions)| *positions > 1.0)
            .collect();
        let (bad, positions) = jobs.iter().fold((0.0, 0.0), |sum, job| (sum.0 + job.0, sum.1 + job.1));
        if positions == 0.0 {
            continue;
        }
        worst = worst.max(upper_share(bad as u64, positions as u64));
        // By moments: pairs of bad positions within jobs, beyond those of independent ones.
        let share = bad / positions;
        let together: f64 = jobs.iter().map(|(bad, _)| bad * (bad - 1.0)).sum();
        let pairs: f64 = jobs.iter().map(|(_, positions)| positions * (positions - 1.0)).sum();
        if share > 0.0 && pairs > 0.0 {
            correlation = correlation.max((together / pairs - share * share) / (share * (1.0 - share)));
        }
    }
    // Doubled: a few jobs say little about how uneven the next ones are.
    (ppm(worst * BAD_ROOM), ppm((correlation * 2.0).max(0.001)))
}

/// Above the mean of the noisiest job of any engine.
///
/// Not of all jobs: a client chooses what it asks, and may ask the noisiest again and again. A bet is fair only if every job's
/// expectation is below its ceiling.
fn mean_ceiling(
    honest: &[Run],
    calibration: &Calibration,
    of: impl Fn(&inferium_types::ReplayStatistics) -> Option<u64>,
) -> Ppm {
    let jobs = honest.iter().flat_map(|engine| engine.part(false));
    let means = jobs.filter_map(|job| of(&job.statistics(calibration)));
    ppm(means.max().unwrap_or(0) as f64 / 1e6 * ROOM)
}
