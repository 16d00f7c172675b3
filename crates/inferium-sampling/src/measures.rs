//! From positions to what consensus reads: integers, clipped by a profile's calibration.

use crate::PositionCheck;
use crate::fixed::log2_ratio;
use inferium_types::{
    CONTEXT_ENDS, Calibration, ClippedSum, GAP_ENDS_MICRO, POSITION_KINDS, Ppm, ReplayStatistics, STAKES,
    SamplingParams,
};

#[cfg(test)]
mod tests;

/// Millionths in one.
const MICRO: f64 = 1e6;
const PPM: u64 = 1_000_000;

/// One position of a replay beside what the worker says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionMeasures {
    /// The claimed token beside the verifier's logits.
    pub check: PositionCheck,
    /// Tokens before the position, the prompt's included.
    pub context_tokens: u32,
    /// How far the worker's log probability of the token is from the verifier's, in nats.
    pub logprob_difference: f64,
}

/// One replayed job.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct JobMeasures {
    /// Every output position.
    pub positions: Vec<PositionMeasures>,
    /// [`crate::sketch_error`] of every sketch.
    pub sketch_errors: Vec<f64>,
    /// Whether it was drawn in a way that calibrations cover ([`covers`]).
    pub is_covered: bool,
}

/// Whether calibrations measure answers that are drawn like this: others may be noisier on honest engines, and a client chooses.
/// Flips are counted by how firm a choice is, which holds for every way to draw; means of figures are only bet on where this is
/// true.
#[must_use]
pub const fn covers(sampling: &SamplingParams) -> bool {
    let SamplingParams { temperature_micro, top_p_ppm, top_k } = *sampling;
    let is_narrow = temperature_micro <= 700_000 && top_k >= 1 && top_k <= 50;
    temperature_micro == 0 || is_narrow || (temperature_micro <= 1_000_000 && top_p_ppm <= 950_000)
}

/// The kind of a position among [`POSITION_KINDS`]: by its gap, then by its context.
#[must_use]
pub fn position_kind(gap: f64, context_tokens: u32) -> usize {
    let gap = GAP_ENDS_MICRO.iter().filter(|&&end| gap * MICRO >= end as f64).count();
    let context = CONTEXT_ENDS.iter().filter(|&&end| context_tokens >= end).count();
    context * (GAP_ENDS_MICRO.len() + 1) + gap
}

impl JobMeasures {
    /// What a validator reveals of the job.
    #[must_use]
    pub fn statistics(&self, calibration: &Calibration) -> ReplayStatistics {
        let mut statistics = ReplayStatistics::default();
        let (mut surprisal, mut variance) = (0.0, 0.0);
        for position in &self.positions {
            let check = &position.check;
            let kind = position_kind(check.gap, position.context_tokens).min(POSITION_KINDS - 1);
            let flips = u32::from(!check.agrees());
            statistics.kinds[kind].positions = statistics.kinds[kind].positions.saturating_add(1);
            statistics.kinds[kind].flips = statistics.kinds[kind].flips.saturating_add(flips);
            let is_bad = !check.agrees() && check.margin * MICRO >= calibration.bad_margin_micro as f64;
            statistics.bad = statistics.bad.saturating_add(u32::from(is_bad));
            add(&mut statistics.logprobs, position.logprob_difference, calibration.logprob_clip_micro);
            surprisal += check.surprisal;
            variance += check.variance;
        }
        for error in &self.sketch_errors {
            add(&mut statistics.sketches, *error, calibration.sketch_clip_micro);
        }
        if self.is_covered && self.has_known_contexts(calibration) {
            statistics.logprobs.bets = mean_bets(&statistics.logprobs, calibration.logprob_mean);
            statistics.sketches.bets = mean_bets(&statistics.sketches, calibration.sketch_mean);
        }
        // Rounded once a job; a cast of a float saturates.
        statistics.surprisal_micro = libm::round(surprisal * MICRO) as i64;
        statistics.variance_micro = libm::round(variance * MICRO) as u64;
        statistics
    }
}

impl JobMeasures {
    /// True when the calibration measured contexts as long as this job's: its longest one has flips of some kind.
    fn has_known_contexts(&self, calibration: &Calibration) -> bool {
        let longest = self.positions.iter().map(|position| position.context_tokens).max().unwrap_or(0);
        let gaps = GAP_ENDS_MICRO.len() + 1;
        let kinds = calibration.flips.chunks(gaps).nth(position_kind(0.0, longest) / gaps);
        kinds.is_some_and(|kinds| kinds.iter().any(|share| share.get() > 0))
    }
}

/// Bets that one job's mean is above what honest workers have, `1 + stake (mean / honest − 1)`, as binary logarithms.
///
/// Its expectation is at most 1 for an honest job whatever makes the figures within it alike: a bet on each by itself
/// would take a conversation that is noisier than others for many proofs. Where nothing was measured, or `honest` bounds
/// nothing, there is no bet.
#[must_use]
pub fn mean_bets(measured: &ClippedSum, honest: Ppm) -> [i64; STAKES.len()] {
    let mean = measured.mean_ppm().map(|mean| mean.min(PPM)).filter(|_| honest.get() > 0);
    STAKES.map(|stake| {
        let Some(mean) = mean else { return 0 };
        let (stake, honest) = (u64::from(stake), u64::from(honest.get()));
        // Products of two numbers of millionths each.
        log2_ratio((PPM - stake) * honest + stake * mean, PPM * honest).unwrap_or(0)
    })
}

/// Adds a figure as its part of the clip; what is no number counts as the whole clip.
fn add(sum: &mut ClippedSum, value: f64, clip_micro: u64) {
    let part = value * MICRO / clip_micro.max(1) as f64;
    let part = if part < 1.0 { libm::round(part.max(0.0) * MICRO) as u64 } else { 1_000_000 };
    sum.count = sum.count.saturating_add(1);
    sum.sum_ppm = sum.sum_ppm.saturating_add(part);
}
