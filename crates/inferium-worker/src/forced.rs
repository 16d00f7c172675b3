//! Planting: the unpaid jobs that the worker's own VRF orders it to put among its clients' (SPEC V5).
//!
//! A planted job must look like a client's to whoever does not replay it: it is made from the
//! conversation of a job beside it, cut short, done by the same engine in the same way, and named by a
//! sequence that no client's job has. A known-wrong one then gets the evidence root that was ordered.

use crate::job::{self, FinishedJob, JobContext, JobRefusal};
use inferium_engine::{Engine, EngineError};
use inferium_types::{FORCED_TOKENS, ForcedKind, ForcedOrder, JobPayload, JobRequest, LeaseId};
use std::time::Duration;

/// Tokens of a planted answer at most.
const ANSWER_TOKENS_MAX: u32 = 96;
/// Wait before a busy engine is asked again, and how often.
const BUSY_WAIT: Duration = Duration::from_millis(200);
const BUSY_TRIES: u32 = 100;

/// An order, and what it takes to follow it.
#[derive(Debug, Clone)]
pub(crate) struct Planting {
    pub(crate) order: ForcedOrder,
    pub(crate) kind: ForcedKind,
    /// A job that it shall look like.
    pub(crate) template: FinishedJob,
    /// Names it in its lease.
    pub(crate) sequence: u64,
}

/// Does the planted job.
pub(crate) async fn plant(context: JobContext, lease: LeaseId, planting: Planting) -> Result<FinishedJob, JobRefusal> {
    let template = &planting.template.leaf;
    let tokens_max = template.result.usage.completion_tokens.clamp(1, ANSWER_TOKENS_MAX);
    let (payload, prompt_tokens) = conversation(&planting, tokens_max, &*context.engine)?;
    let request = JobRequest {
        job: planting.order.job(),
        lease,
        sequence: planting.sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens,
        tokens_max,
        sampling: template.request.sampling,
        client_seed: template.request.client_seed,
    };
    let mut tries = 0;
    let mut finished = loop {
        match job::run_unread(context.clone(), request.clone(), payload.clone()).await {
            Err(JobRefusal::Engine(EngineError::Busy { .. })) if tries < BUSY_TRIES => tries += 1,
            done => break done?,
        }
        tokio::time::sleep(BUSY_WAIT).await;
    };
    if planting.kind == ForcedKind::Wrong {
        finished.leaf.result.evidence_root = planting.order.wrong_root();
    }
    Ok(finished)
}

/// The template's conversation with its last message cut short, so short that the whole job has at
/// most [`FORCED_TOKENS`]; and the tokens of its prompt.
fn conversation(planting: &Planting, tokens_max: u32, engine: &dyn Engine) -> Result<(JobPayload, u32), JobRefusal> {
    let mut payload = planting.template.evidence.payload.clone();
    payload.salt = *planting.order.choice("salt").as_bytes();
    let limit = FORCED_TOKENS.saturating_sub(tokens_max.into());
    let mut words = payload.messages.last().map_or(0, |last| last.content.split_whitespace().count());
    // Half of the words at least stay, at first.
    let half = words / 2;
    let more = planting.order.choice("words").draw(u64::try_from(words - half).unwrap_or(u64::MAX).saturating_add(1));
    words = half + usize::try_from(more).unwrap_or(0);
    loop {
        if let Some(last) = payload.messages.last_mut() {
            last.content = first_words(&last.content, words.max(1)).to_owned();
        }
        let found = engine.render_chat(&payload.messages)?.len();
        if u64::try_from(found).is_ok_and(|found| found <= limit) {
            return Ok((payload, u32::try_from(found).unwrap_or(u32::MAX)));
        }
        if payload.messages.len() > 1 {
            // A long conversation, or a long system prompt: the last message alone.
            payload.messages.drain(..payload.messages.len() - 1);
        } else if words > 1 {
            words /= 2;
        } else {
            let last = payload.messages.last_mut().filter(|last| last.content.chars().count() > 1);
            let Some(last) = last else { return Err(JobRefusal::PromptTokens { expected: 0, found }) };
            // One word without end.
            let half = last.content.chars().count() / 2;
            last.content = last.content.chars().take(half).collect();
        }
    }
}

/// The text up to the end of its `count`th word.
fn first_words(text: &str, count: usize) -> &str {
    let (mut words, mut is_inside) = (0, false);
    for (index, letter) in text.char_indices() {
        if is_inside && letter.is_whitespace() {
            words += 1;
            if words == count {
                return text.get(..index).unwrap_or(text);
            }
        }
        is_inside = !letter.is_whitespace();
    }
    text
}

#[cfg(test)]
mod tests;
