//! Replay of embeddings: every vector is computed again and compared to the bit (SPEC J8).

use super::{DrawnJob, Replayed};
use inferium_engine::{Embedder, EngineError};
use inferium_types::{Digest, Embedding, FinishReason, JobAnswer, JobFault, ReplayStatistics, merkle_root};

/// Exact checks and replay of a job that embeds `texts`, given as tokens.
pub(super) async fn check(
    drawn: &DrawnJob<'_>,
    embedder: &dyn Embedder,
    mut texts: Vec<Vec<u32>>,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let (request, result) = (&drawn.leaf.request, &drawn.leaf.result);
    if u32::try_from(texts.len()) != Ok(request.tokens_max) {
        return Ok(Err(JobFault::Prompt));
    }
    let JobAnswer::Embeddings(claimed) = &drawn.job.output.answer else { return Ok(Err(JobFault::Embedding)) };
    // Who left early got those that were ready; nobody else gets fewer than there are texts.
    let is_whole = claimed.len() == texts.len();
    let ends = match result.finish {
        FinishReason::EndOfText => is_whole,
        FinishReason::Cancelled => claimed.len() < texts.len(),
        FinishReason::Length | FinishReason::StopString => false,
    };
    if !ends || u32::try_from(claimed.len()) != Ok(result.usage.completion_tokens) {
        return Ok(Err(JobFault::Finish));
    }
    texts.truncate(claimed.len());
    let embeddings = match replay(embedder, texts).await {
        Ok(embeddings) => embeddings,
        // No honest worker serves a text that has no vector.
        Err(EngineError::NotFinite) => return Ok(Err(JobFault::Embedding)),
        Err(error) => return Err(error),
    };
    let digests: Vec<Digest> = embeddings.iter().map(Embedding::digest).collect();
    if embeddings != *claimed || merkle_root(&digests) != result.evidence_root {
        return Ok(Err(JobFault::Embedding));
    }
    Ok(Ok(Replayed { digests, statistics: ReplayStatistics::default() }))
}

async fn replay(embedder: &dyn Embedder, texts: Vec<Vec<u32>>) -> Result<Vec<Embedding>, EngineError> {
    let wanted = texts.len();
    let mut embeddings = Vec::with_capacity(wanted);
    if wanted == 0 {
        return Ok(embeddings);
    }
    let mut vectors = embedder.embed(texts)?;
    while embeddings.len() < wanted {
        embeddings.push(Embedding::new(&vectors.recv().await.ok_or(EngineError::Stopped)??));
    }
    Ok(embeddings)
}
