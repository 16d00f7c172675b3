//! Intervals of training: trained again from the same start, and compared bit by bit (SPEC X3).

use super::{DrawnJob, Replayed};
use inferium_engine::{EngineError, Model, Trained};
use inferium_train::{TrainingSpec, bisect, record};
use inferium_types::{
    IntervalStart, JobAnswer, JobFault, JobInput, ReplayStatistics, TrainedInterval, TrainingInput, merkle_root,
};
use tracing::warn;

/// Trains an interval again, and compares all that a worker says of it.
///
/// Attested is what each step came to, which is in no evidence.
pub(super) async fn check(drawn: &DrawnJob<'_>, model: &Model) -> Result<Result<Replayed, JobFault>, EngineError> {
    let JobInput::Train(input) = &drawn.job.payload.input else { return Ok(Err(JobFault::Prompt)) };
    let JobAnswer::Intervals(claimed) = &drawn.job.output.answer else { return Ok(Err(JobFault::Interval)) };
    if !drawn.is_whole(1) {
        return Ok(Err(JobFault::Finish));
    }
    let [claimed] = claimed.as_slice() else { return Ok(Err(JobFault::Interval)) };
    let Trained { interval, trace } = match model.train_aside(input).await {
        Ok(trained) => trained,
        // What leads nowhere is claimed by no honest worker.
        Err(EngineError::Training { .. }) => return Ok(Err(JobFault::Interval)),
        Err(error) => return Err(error),
    };
    if *claimed != interval {
        match differing_step(input, [claimed, &interval]) {
            Some(step) => {
                warn!(segment = %drawn.facts.id, job = drawn.index, step, "an interval was not trained as claimed");
            }
            None => {
                warn!(segment = %drawn.facts.id, job = drawn.index, "an interval claims other steps, or another end");
            }
        }
        return Ok(Err(JobFault::Interval));
    }
    if merkle_root(&[interval.leaf(&trace)]) != drawn.leaf.result.evidence_root {
        return Ok(Err(JobFault::Interval));
    }
    Ok(Ok(Replayed { digests: trace, statistics: ReplayStatistics::default() }))
}

/// The first step that a worker's interval and ours differ in, from the roots over both downwards: what a dispute would be about.
pub(super) fn differing_step(input: &TrainingInput, sides: [&TrainedInterval; 2]) -> Option<u64> {
    let spec: TrainingSpec = inferium_types::decode(&input.spec).ok()?;
    let IntervalStart { index, root, .. } = input.at.as_ref()?;
    let job = inferium_train::IntervalJob { spec: spec.digest(), start: *root, index: *index };
    let [claimed, found] = sides.map(|interval| record(&spec, job, interval));
    bisect(&claimed, &found).map(|bisection| bisection.step)
}
