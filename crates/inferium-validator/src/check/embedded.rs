//! Replay of embeddings: every vector is computed again and compared to the bit (SPEC J8).

use super::{DrawnJob, Replayed};
use inferium_engine::{Embedder, EngineError, TextVector};
use inferium_types::{Digest, Embedding, FinishReason, JobAnswer, JobFault, ReplayStatistics, merkle_root, part_salt};

/// Exact checks and replay of a job that embeds `texts`, given as tokens.
pub(super) async fn check(
    drawn: &DrawnJob<'_>,
    embedder: &dyn Embedder,
    texts: Vec<Vec<u32>>,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let JobAnswer::Embeddings(claimed) = &drawn.job.output.answer else { return Ok(Err(JobFault::Embedding)) };
    if !drawn.has_all(texts.len()) {
        return Ok(Err(JobFault::Embedding));
    }
    let (embeddings, leaves) = match replay(embedder, texts, &drawn.job.output.salt).await {
        Ok(replayed) => replayed,
        // No honest worker serves a text that has no vector.
        Err(EngineError::NotFinite) => return Ok(Err(JobFault::Embedding)),
        Err(error) => return Err(error),
    };
    if embeddings != *claimed || merkle_root(&leaves) != drawn.leaf.result.evidence_root {
        return Ok(Err(JobFault::Embedding));
    }
    if drawn.leaf.result.finish != FinishReason::EndOfText {
        return Ok(Err(JobFault::Finish));
    }
    Ok(Ok(Replayed { digests: leaves, statistics: ReplayStatistics::default() }))
}

/// The vectors, and the leaves of their evidence.
async fn replay(
    embedder: &dyn Embedder,
    texts: Vec<Vec<u32>>,
    salt: &[u8; 32],
) -> Result<(Vec<Embedding>, Vec<Digest>), EngineError> {
    let wanted = texts.len();
    let (mut embeddings, mut leaves) = (Vec::with_capacity(wanted), Vec::with_capacity(wanted));
    let mut vectors = embedder.embed(texts)?;
    while embeddings.len() < wanted {
        let TextVector { values, states } = vectors.recv().await.ok_or(EngineError::Stopped)??;
        let embedding = Embedding::new(&values);
        leaves.push(embedding.leaf(&part_salt(salt, embeddings.len()), &states));
        embeddings.push(embedding);
    }
    Ok((embeddings, leaves))
}
