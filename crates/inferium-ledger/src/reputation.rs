//! A worker's record, its priority, and how much of its work is replayed (SPEC R).

use crate::entries::Record;
use inferium_types::{Parameters, Ppm};

/// Jobs after which a longer record adds no more priority.
const RECORD_JOBS_MAX: u64 = 10_000;

/// Weight in the draw of workers (SPEC R2, T5): a lower bound of the success rate in parts per
/// million, by the rule of succession less one standard deviation's worth of evidence.
pub(crate) fn priority(record: &Record) -> u64 {
    let jobs = record.jobs.min(RECORD_JOBS_MAX);
    let trials = jobs.saturating_add(record.failures).saturating_add(2);
    let rate = jobs.saturating_add(1).saturating_mul(1_000_000).checked_div(trials).unwrap_or(0);
    let margin = 500_000u64.checked_div(integer_sqrt(trials)).unwrap_or(0);
    rate.saturating_sub(margin).max(1)
}

/// True until a worker has shown both enough jobs and enough tokens (SPEC R3).
pub(crate) const fn is_newcomer(record: &Record, parameters: &Parameters) -> bool {
    record.jobs < parameters.newcomer_jobs || record.tokens < parameters.newcomer_tokens
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
        .checked_div(record.jobs)
        .and_then(|parts| u32::try_from(parts).ok())
        .unwrap_or(1_000_000);
    Ppm::new(parts).max(parameters.replay_min)
}

fn integer_sqrt(number: u64) -> u64 {
    number.isqrt()
}

/// A fault takes the record back to a newcomer's (SPEC R1).
pub(crate) const fn after_fault(record: &Record) -> Record {
    Record { jobs: 0, tokens: 0, failures: record.failures.saturating_add(1) }
}

#[cfg(test)]
mod tests;
