//! Replay of scores: every continuation is scored again and compared to the bit (SPEC J9).

use super::{DrawnJob, Replayed};
use inferium_engine::{Engine, EngineError, ScoreRequest, Scoring};
use inferium_types::{JobAnswer, JobFault, ReplayStatistics, TokenScore, merkle_root};

/// Exact checks and replay of a job that scores.
pub(super) async fn check(
    drawn: &DrawnJob<'_>,
    engine: &dyn Engine,
    requests: Vec<ScoreRequest>,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    if drawn.facts.engine.is_measured() {
        // Where nothing is compared to the bit, no honest worker takes such a job.
        return Ok(Err(JobFault::Prompt));
    }
    let JobAnswer::Scores(claimed) = &drawn.job.output.answer else { return Ok(Err(JobFault::Score)) };
    if !drawn.is_whole(requests.len()) {
        return Ok(Err(JobFault::Finish));
    }
    let mut scoring = Scoring::new(engine, requests);
    let (mut scores, mut leaves) = (Vec::with_capacity(claimed.len()), Vec::with_capacity(claimed.len()));
    while let Some(found) = scoring.next().await {
        let (found, positions) = found?;
        leaves.push(TokenScore::leaf(&found, &positions));
        scores.push(found);
    }
    if scores != *claimed || merkle_root(&leaves) != drawn.leaf.result.evidence_root {
        return Ok(Err(JobFault::Score));
    }
    Ok(Ok(Replayed { digests: leaves, statistics: ReplayStatistics::default() }))
}
