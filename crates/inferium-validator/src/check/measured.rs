//! Verdicts where engines can't agree bit by bit: what a worker shows of its run, beside a replay (SPEC V6).

use super::{DrawnJob, Replayed};
use inferium_engine::{EngineError, ModelInfo, Step};
use inferium_sampling::{GrossFault, ReplayedPosition, compare, covers, ends_wrongly, gross_fault};
use inferium_types::{Calibration, Digest, JobFault, ReplayStatistics};

/// Judges one job by itself, and measures it for the judgement of all of the worker's jobs.
///
/// # Errors
/// [`EngineError::Unmeasured`]: our own replay lacks something, which says nothing of the worker.
pub(super) fn within(
    drawn: &DrawnJob<'_>,
    calibration: &Calibration,
    seed: [u8; 32],
    (tokens, steps): (&[u32], &[Step]),
    model: &ModelInfo,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let mut replayed = Vec::with_capacity(steps.len());
    for step in steps {
        let measured = step.measured.as_deref().and_then(|own| Some((own, own.check?)));
        let (own, check) = measured.ok_or(EngineError::Unmeasured)?;
        replayed.push(ReplayedPosition { check, logprob: own.logprob, hidden: &own.hidden });
    }
    if replayed.len() != tokens.len() {
        return Err(EngineError::Unmeasured);
    }
    let ends = |token| model.is_eos(token);
    if replayed.iter().zip(tokens).any(|(own, token)| ends_wrongly(calibration, &own.check, *token, ends)) {
        return Ok(Err(JobFault::Finish));
    }
    let judged = judge(drawn, calibration, seed, &replayed);
    Ok(judged.map(|statistics| Replayed { digests: steps.iter().map(|step| step.digest).collect(), statistics }))
}

/// The projection of opened windows follows from the committee's draw, which came after the commitment.
fn judge(
    drawn: &DrawnJob<'_>,
    calibration: &Calibration,
    seed: [u8; 32],
    replayed: &[ReplayedPosition<'_>],
) -> Result<ReplayStatistics, JobFault> {
    let DrawnJob { facts, index, leaf, job, .. } = drawn;
    let evidence = job.measured.as_ref().ok_or(JobFault::Windows)?;
    let segment = facts.id.digest();
    let parts = [facts.seed.as_bytes().as_slice(), segment.as_bytes(), &index.to_be_bytes()];
    let fresh = *Digest::of("inferium/fresh-projection/1", &parts).as_bytes();
    let mut measures =
        compare(seed, fresh, evidence, replayed, leaf.request.prompt_tokens).map_err(|_| JobFault::Windows)?;
    measures.is_covered = covers(&leaf.request.sampling);
    let statistics = measures.statistics(calibration);
    match gross_fault(calibration, &statistics, &measures.sketch_errors) {
        Some(GrossFault::Tokens) => Err(JobFault::GrossTokens),
        Some(GrossFault::Sketches) => Err(JobFault::GrossSketches),
        None => Ok(statistics),
    }
}
