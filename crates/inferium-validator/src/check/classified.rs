//! Replay of classifications: every number is computed again and compared (SPEC J12).

use super::{DrawnJob, Replayed};
use inferium_engine::{Classifier, ClassifierInput, EngineError};
use inferium_types::{FinishReason, JobAnswer, JobFault, ReplayStatistics, merkle_root, part_salt};
use std::sync::Arc;

/// Exact checks and replay of a job that classifies `inputs`.
pub(super) async fn check(
    drawn: &DrawnJob<'_>,
    classifier: &Arc<Classifier>,
    inputs: Vec<ClassifierInput>,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let JobAnswer::Logits(claimed) = &drawn.job.output.answer else { return Ok(Err(JobFault::Classification)) };
    if !drawn.has_all(inputs.len()) {
        return Ok(Err(JobFault::Classification));
    }
    let (mut all, mut leaves) = (Vec::with_capacity(inputs.len()), Vec::with_capacity(inputs.len()));
    for input in inputs {
        let (logits, states) = match classifier.classify(input).await {
            Ok(classified) => classified,
            // No honest worker classifies a text that has no vector.
            Err(EngineError::NotFinite) => return Ok(Err(JobFault::Classification)),
            Err(error) => return Err(error),
        };
        leaves.push(logits.leaf(&part_salt(&drawn.job.output.salt, all.len()), &states));
        all.push(logits);
    }
    if all != *claimed || merkle_root(&leaves) != drawn.leaf.result.evidence_root {
        return Ok(Err(JobFault::Classification));
    }
    if drawn.leaf.result.finish != FinishReason::EndOfText {
        return Ok(Err(JobFault::Finish));
    }
    Ok(Ok(Replayed { digests: leaves, statistics: ReplayStatistics::default() }))
}
