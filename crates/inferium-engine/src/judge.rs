//! Whether an answer in text is the model's, to the bit: what validators ask of workers' results, and hosts of agents of
//! the answers that they go on with.

use crate::{Answer, Engine, EngineError, ReplayRequest, Step};
use inferium_types::{
    Digest, FinishReason, JobAnswer, JobFault, JobInput, JobLeaf, JobOutput, JobPayload, TokenScore, merkle_root,
    replay_seed,
};

/// Reads the answer from its tokens again: same text, same end, same count.
///
/// # Errors
/// What differs.
pub fn check_answer(
    leaf: &JobLeaf,
    stop: &[String],
    (tokens, text): (&[u32], &str),
    engine: &dyn Engine,
) -> Result<(), JobFault> {
    let (request, result) = (&leaf.request, &leaf.result);
    let mut answer = Answer::new(stop, request.tokens_max);
    for token in tokens {
        answer.push(engine, *token);
    }
    let is_counted = u32::try_from(tokens.len()) == Ok(result.usage.completion_tokens);
    if !is_counted || answer.tokens() != tokens {
        return Err(JobFault::Finish);
    }
    if result.finish == FinishReason::Cancelled {
        answer.cancel();
    }
    if answer.finish() != Some(result.finish) {
        return Err(JobFault::Finish);
    }
    if answer.text() != text {
        return Err(JobFault::Text);
    }
    Ok(())
}

/// Compares a replay for equality; the digests of its positions.
///
/// # Errors
/// What differs.
pub fn compare(leaf: &JobLeaf, tokens: &[u32], scores: &[TokenScore], steps: &[Step]) -> Result<Vec<Digest>, JobFault> {
    if steps.len() != tokens.len() || steps.iter().zip(tokens).any(|(step, token)| step.token != *token) {
        return Err(JobFault::Token);
    }
    let digests: Vec<Digest> = steps.iter().map(|step| step.digest).collect();
    if merkle_root(&digests) != leaf.result.evidence_root {
        return Err(JobFault::Logits);
    }
    if !steps.iter().filter_map(|step| step.score.as_ref()).eq(scores) {
        return Err(JobFault::Score);
    }
    Ok(digests)
}

/// Replays the answer to a conversation whose draws follow from a seed of its own (SPEC J7), and compares all of it; the digests
/// of its positions. Hosts of agents and those who judge them ask by this one function, so that they can't differ.
///
/// `prefix_scope` is that of [`ReplayRequest`].
///
/// # Errors
/// [`EngineError`] when this engine could not replay it, which says nothing about the answer; inside, what differs.
pub async fn replay_seeded(
    engine: &dyn Engine,
    (leaf, payload, output): (&JobLeaf, &JobPayload, &JobOutput),
    prefix_scope: Option<Digest>,
) -> Result<Result<Vec<Digest>, JobFault>, EngineError> {
    let JobInput::Chat { messages, shaping } = &payload.input else { return Ok(Err(JobFault::Prompt)) };
    let JobAnswer::Text { tokens, text, scores } = &output.answer else { return Ok(Err(JobFault::Text)) };
    if payload.check().is_err() || !shaping.stop.is_empty() || shaping.likeliest.is_some() || !scores.is_empty() {
        return Ok(Err(JobFault::Prompt));
    }
    let read = engine.check_shaping(shaping).and_then(|()| engine.render_chat(messages));
    let prompt = match read {
        Ok(prompt) => prompt,
        Err(EngineError::Text { .. } | EngineError::Grammar { .. } | EngineError::UnknownToken { .. }) => {
            return Ok(Err(JobFault::Prompt));
        }
        Err(error) => return Err(error),
    };
    let is_bound = payload.commitment() == leaf.request.input_commitment
        && output.commitment() == leaf.result.output_commitment
        && u32::try_from(prompt.len()) == Ok(leaf.request.prompt_tokens)
        && leaf.request.client_seed.is_some();
    if !is_bound {
        return Ok(Err(JobFault::Prompt));
    }
    if let Err(fault) = check_answer(leaf, &shaping.stop, (tokens, text), engine) {
        return Ok(Err(fault));
    }
    if tokens.is_empty() || tokens.iter().any(|token| *token >= engine.model().vocab_size) {
        return Ok(Err(JobFault::Token));
    }
    // The seed is the request's own, so no worker's draw is in it.
    let seed = replay_seed(&leaf.request, &prompt, &Digest::ZERO);
    let replay = engine.replay(ReplayRequest {
        prompt,
        output: tokens.clone(),
        sampling: leaf.request.sampling,
        seed,
        shaping: shaping.clone(),
        prefix_scope,
        measure: false,
    })?;
    let steps = replay.await.map_err(|_| EngineError::Stopped)??;
    Ok(compare(leaf, tokens, scores, &steps))
}
