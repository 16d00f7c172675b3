//! A worker's record, its priority, and how much of its work is replayed (SPEC R).

use crate::State;
use crate::emission::decayed;
use crate::entries::Record;
use inferium_types::{Amount, NodeId, Parameters, Ppm, ProfileId};

/// Jobs after which a longer record adds no more priority.
const RECORD_JOBS_MAX: u64 = 10_000;

/// One job, token or failure of a record.
const MICRO: u64 = 1_000_000;
/// How many times what a wrong job gains it loses in the mean.
const GAIN_MARGIN: u128 = 3;
/// Least weight of the slowest: speed orders workers, it does not starve them.
const SPEED_MIN: Ppm = Ppm::new(100_000);

/// Lower bound of the success rate in parts per million, by the rule of succession less one
/// standard deviation's worth of evidence (SPEC R2).
pub(crate) fn success(record: &Record) -> u64 {
    let jobs_micro = record.jobs_micro.min(RECORD_JOBS_MAX.saturating_mul(MICRO));
    let trials_micro = jobs_micro.saturating_add(record.failures_micro).saturating_add(2 * MICRO);
    let rate = Amount::from_nano(1_000_000).by(jobs_micro.saturating_add(MICRO).into(), trials_micro.into()).nano();
    // The root of millionths is in thousandths.
    let margin = 500_000_000u64.checked_div(trials_micro.isqrt()).unwrap_or(0);
    rate.saturating_sub(margin).max(1)
}

impl State {
    /// Adaptive priority: success by speed, in parts per million (SPEC R2). It weighs draws (T5)
    /// and emission (M6).
    #[must_use]
    pub fn priority(&self, worker: NodeId, profile: ProfileId) -> u64 {
        self.priority_at(self.speed_percentile(&worker), worker, profile)
    }

    /// The same of a worker whose speed is known.
    pub(crate) fn priority_at(&self, percentile: Ppm, worker: NodeId, profile: ProfileId) -> u64 {
        let speed = u64::from(percentile.max(SPEED_MIN).get());
        let product = success(&self.record(worker, profile)).saturating_mul(speed);
        product.checked_div(u64::from(Ppm::ONE.get())).unwrap_or(0).max(1)
    }
}

/// True until a worker has shown both enough jobs and enough tokens (SPEC R3).
pub(crate) const fn is_newcomer(record: &Record, parameters: &Parameters) -> bool {
    record.jobs() < parameters.newcomer_jobs || record.tokens() < parameters.newcomer_tokens
}

/// Share of a worker's jobs that committees replay (SPEC R3): all of a newcomer's, then in
/// inverse proportion to its record, never less than the least.
pub(crate) fn replay_share(record: &Record, parameters: &Parameters) -> Ppm {
    if is_newcomer(record, parameters) {
        return Ppm::ONE;
    }
    let parts = parameters
        .newcomer_jobs
        .saturating_mul(1_000_000)
        .checked_div(record.jobs())
        .and_then(|parts| u32::try_from(parts).ok())
        .unwrap_or(1_000_000);
    Ppm::new(parts).max(parameters.replay_min)
}

/// Least share of jobs to replay so that a wrong one loses [`GAIN_MARGIN`] times what it could gain:
/// a job's fee, against what a wrong result takes of the worker's stake (SPEC R3).
pub(crate) fn replay_floor(fee: Amount, jobs: u32, stake: Amount, slash: Ppm) -> Ppm {
    let whole = u128::from(Ppm::ONE.get());
    let gain = u128::from(fee.nano()).saturating_mul(GAIN_MARGIN);
    let risk = u128::from(stake.nano()).saturating_mul(slash.get().into()).saturating_mul(jobs.into());
    // Millionths of millionths, since the slash is in millionths itself. Nothing at stake: all of them.
    let parts = gain.saturating_mul(whole).saturating_mul(whole).checked_div(risk).unwrap_or(whole);
    Ppm::new(u32::try_from(parts.min(whole)).unwrap_or(Ppm::ONE.get()))
}

/// What a segment without evidence costs its worker: its fee, and so much that a job whose evidence is
/// kept back when it is drawn loses [`GAIN_MARGIN`] times its fee in the mean (SPEC S). By the floor of
/// what is replayed (SPEC R3) it is never more than a wrong result takes, or [`GAIN_MARGIN`] times the
/// fee of a job.
pub(crate) fn withheld_cost(fee: Amount, jobs: u32, replayed: Ppm) -> Amount {
    let drawn = u128::from(jobs).saturating_mul(replayed.get().into());
    let gain = u128::from(fee.nano()).saturating_mul(GAIN_MARGIN).saturating_mul(Ppm::ONE.get().into());
    let cost = gain.checked_div(drawn).unwrap_or(0);
    Amount::from_nano(u64::try_from(cost).unwrap_or(u64::MAX)).max(fee)
}

/// Work was settled (SPEC R1).
pub(crate) fn after_work(record: &Record, jobs: u64, tokens: u64) -> Record {
    Record {
        jobs_micro: record.jobs_micro.saturating_add(jobs.saturating_mul(MICRO)),
        tokens_micro: record.tokens_micro.saturating_add(tokens.saturating_mul(MICRO)),
        ..*record
    }
}

/// A fault takes the record back to a newcomer's (SPEC R1).
pub(crate) const fn after_fault(record: &Record) -> Record {
    Record { jobs_micro: 0, tokens_micro: 0, failures_micro: record.failures_micro.saturating_add(MICRO), ..*record }
}

/// The record at `now_ms`: it loses half of its weight in every half-life (SPEC R1).
pub(crate) fn brought_to(record: &Record, now_ms: u64, half_life_ms: u64) -> Record {
    let elapsed_ms = now_ms.saturating_sub(record.updated_ms);
    let left = |number: u64| decayed(number, elapsed_ms, half_life_ms);
    Record {
        jobs_micro: left(record.jobs_micro),
        tokens_micro: left(record.tokens_micro),
        failures_micro: left(record.failures_micro),
        updated_ms: now_ms.max(record.updated_ms),
    }
}

#[cfg(test)]
mod tests;
