//! Verdicts where the worker fronts a server that nobody knows: what its tokens say, beside a replay (SPEC V9).

use super::{DrawnJob, Replayed};
use inferium_engine::{EngineError, Step};
use inferium_sampling::draw_statistics;
use inferium_types::{ForeignBounds, JobFault, merkle_root};

/// Measures one job for the judgement of all of the worker's jobs. By itself no job is wrong here but for what the worker made
/// of it: it shows nothing of the run, and says so.
///
/// # Errors
/// [`EngineError::Unmeasured`]: our own replay lacks something, which says nothing of the worker.
pub(super) fn draws(
    drawn: &DrawnJob<'_>,
    bounds: &ForeignBounds,
    tokens: &[u32],
    steps: &[Step],
) -> Result<Result<Replayed, JobFault>, EngineError> {
    if drawn.leaf.result.evidence_root != merkle_root(&[]) {
        return Ok(Err(JobFault::Windows));
    }
    let checks: Option<Vec<_>> = steps.iter().map(|step| step.measured.as_deref().and_then(|own| own.check)).collect();
    match checks {
        Some(checks) if checks.len() == tokens.len() => Ok(Ok(Replayed {
            digests: steps.iter().map(|step| step.digest).collect(),
            statistics: draw_statistics(&checks, bounds),
        })),
        _ => Err(EngineError::Unmeasured),
    }
}
