//! Verdicts where engines can't agree bit by bit: what a worker shows of its run, beside a replay (SPEC V6).

use super::{DrawnJob, Replayed};
use inferium_engine::{ModelInfo, Step};
use inferium_sampling::{GrossFault, ReplayedPosition, compare, ends_wrongly, gross_fault};
use inferium_types::{Calibration, Digest, JobFault};

/// Judges one job by itself, and measures it for the judgement of all of the worker's jobs.
///
/// `steps` are measured. The projection of opened windows follows from the committee's draw, which came after the commitment.
pub(super) fn within(
    drawn: &DrawnJob<'_>,
    calibration: &Calibration,
    seed: [u8; 32],
    steps: &[Step],
    model: &ModelInfo,
) -> Result<Replayed, JobFault> {
    let DrawnJob { facts, index, leaf, job, .. } = drawn;
    let evidence = job.measured.as_ref().ok_or(JobFault::Windows)?;
    let tokens = &job.output.tokens;
    let mut replayed = Vec::with_capacity(steps.len());
    for (step, token) in steps.iter().zip(tokens) {
        let Some((measured, check)) = step.measured.as_deref().and_then(|own| Some((own, own.check?))) else {
            continue;
        };
        if ends_wrongly(calibration, &check, *token, measured.logprob, |token| model.is_eos(token)) {
            return Err(JobFault::Finish);
        }
        replayed.push(ReplayedPosition { check, logprob: measured.logprob, hidden: &measured.hidden });
    }
    let segment = facts.id.digest();
    let parts = [facts.seed.as_bytes().as_slice(), segment.as_bytes(), &index.to_be_bytes()];
    let fresh = *Digest::of("inferium/fresh-projection/1", &parts).as_bytes();
    let measures =
        compare(seed, fresh, evidence, &replayed, leaf.request.prompt_tokens).map_err(|_| JobFault::Windows)?;
    let statistics = measures.statistics(calibration);
    match gross_fault(calibration, &statistics, &measures.sketch_errors) {
        Some(GrossFault::Tokens) => Err(JobFault::GrossTokens),
        Some(GrossFault::Sketches) => Err(JobFault::GrossSketches),
        None => Ok(Replayed { digests: steps.iter().map(|step| step.digest).collect(), statistics }),
    }
}
