//! Planting: the unpaid jobs that the worker's own VRF orders it to put among its clients' (SPEC V5).
//!
//! A planted job must look like a client's to whoever does not replay it: it is made from the
//! input of a job beside it, cut short, done by the same engine in the same way, and named by a
//! sequence that no client's job has. A known-wrong one then gets the evidence root that was ordered.

use crate::job::{self, FinishedJob, JobContext, JobRefusal};
use inferium_engine::{EngineError, Model};
use inferium_types::{
    ClassifierInputs, Continuation, FORCED_TOKENS, ForcedKind, ForcedOrder, JobInput, JobPayload, JobRequest, LeaseId,
};
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
    let (payload, prompt_tokens) = shortened(&planting, &context.model)?;
    let request = JobRequest {
        job: planting.order.job(),
        lease,
        sequence: planting.sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens,
        tokens_max: planting.tokens_max(),
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

impl Planting {
    /// Tokens of its answer at most; of texts to embed and of continuations to score, one.
    fn tokens_max(&self) -> u32 {
        match &self.template.evidence.payload.input {
            JobInput::Chat { .. } | JobInput::Complete { .. } => {
                self.template.leaf.result.usage.completion_tokens.clamp(1, ANSWER_TOKENS_MAX)
            }
            // Nothing is planted among boards and intervals.
            JobInput::Embed { .. }
            | JobInput::Score { .. }
            | JobInput::Run(_)
            | JobInput::Fold(_)
            | JobInput::Train(_)
            | JobInput::Prove(_)
            | JobInput::Classify(_) => 1,
        }
    }

    /// How many of `words` stay at first: half of them at least.
    fn words(&self, words: usize) -> usize {
        let half = words / 2;
        let more = self.order.choice("words").draw(u64::try_from(words - half).unwrap_or(u64::MAX).saturating_add(1));
        half + usize::try_from(more).unwrap_or(0)
    }
}

/// The template's input cut short, so short that the whole job has at most [`FORCED_TOKENS`]: of a conversation its last
/// message, of texts to embed one of them; and the tokens of its prompt.
fn shortened(planting: &Planting, model: &Model) -> Result<(JobPayload, u32), JobRefusal> {
    let mut payload = planting.template.evidence.payload.clone();
    payload.salt = *planting.order.choice("salt").as_bytes();
    if let JobInput::Embed { texts, .. } | JobInput::Classify(ClassifierInputs::Texts(texts)) = &mut payload.input {
        let chosen = planting.order.choice("text").draw(u64::try_from(texts.len()).unwrap_or(u64::MAX));
        *texts = texts.drain(..).skip(usize::try_from(chosen).unwrap_or(0)).take(1).collect();
    }
    let limit = FORCED_TOKENS.saturating_sub(planting.tokens_max().into());
    if let JobInput::Score { continuations, .. } = &mut payload.input {
        shorten_scores(planting, continuations, usize::try_from(limit).unwrap_or(usize::MAX));
        let found = model.read(&payload.input)?.tokens();
        return Ok((payload, u32::try_from(found).unwrap_or(u32::MAX)));
    }
    if let JobInput::Classify(ClassifierInputs::Tensors(tensors)) = &mut payload.input {
        shorten_tensors(planting, tensors);
        let found = model.read(&payload.input)?.tokens();
        return Ok((payload, u32::try_from(found).unwrap_or(u32::MAX)));
    }
    if let JobInput::Complete { prompt, .. } = &mut payload.input {
        let room = usize::try_from(limit).unwrap_or(usize::MAX);
        let kept = planting.words(prompt.len()).clamp(1, room.max(1));
        prompt.drain(..prompt.len().saturating_sub(kept));
        return Ok((payload, u32::try_from(kept).unwrap_or(u32::MAX)));
    }
    let mut words = planting.words(last(&mut payload.input).map_or(0, |text| text.split_whitespace().count()));
    loop {
        if let Some(text) = last(&mut payload.input) {
            *text = first_words(text, words.max(1)).to_owned();
        }
        model.fill_tokens(&mut payload.input)?;
        let found = model.read(&payload.input)?.tokens();
        if u64::try_from(found).is_ok_and(|found| found <= limit) {
            return Ok((payload, u32::try_from(found).unwrap_or(u32::MAX)));
        }
        if let JobInput::Chat { messages, .. } = &mut payload.input
            && messages.len() > 1
        {
            // A long conversation, or a long system prompt: the last message alone.
            messages.drain(..messages.len() - 1);
            continue;
        }
        if words > 1 {
            words /= 2;
            continue;
        }
        let text = last(&mut payload.input).filter(|text| text.chars().count() > 1);
        let Some(text) = text else { return Err(JobRefusal::PromptTokens { expected: 0, found }) };
        // One word without end.
        let half = text.chars().count() / 2;
        *text = text.chars().take(half).collect();
    }
}

/// The text that is cut.
fn last(input: &mut JobInput) -> Option<&mut String> {
    match input {
        JobInput::Chat { messages, .. } => messages.last_mut().map(|message| &mut message.content),
        JobInput::Embed { texts, .. } | JobInput::Classify(ClassifierInputs::Texts(texts)) => texts.last_mut(),
        JobInput::Classify(ClassifierInputs::Tensors(_))
        | JobInput::Score { .. }
        | JobInput::Complete { .. }
        | JobInput::Run(_)
        | JobInput::Fold(_)
        | JobInput::Train(_)
        | JobInput::Prove(_) => None,
    }
}

/// One of the tensors, with its end as its first element is: all values of it are some of its own, and so within the model's range;
/// none counts for more than planted jobs may have (SPEC J12).
fn shorten_tensors(planting: &Planting, tensors: &mut Vec<Vec<i16>>) {
    let chosen = planting.order.choice("text").draw(u64::try_from(tensors.len()).unwrap_or(u64::MAX));
    *tensors = tensors.drain(..).skip(usize::try_from(chosen).unwrap_or(0)).take(1).collect();
    let Some(tensor) = tensors.first_mut() else { return };
    let kept = planting.words(tensor.len());
    let first = tensor.first().copied().unwrap_or(0);
    tensor.iter_mut().skip(kept).for_each(|element| *element = first);
}

/// One of the continuations, with so much of what is before it as is near.
fn shorten_scores(planting: &Planting, continuations: &mut Vec<Continuation>, limit: usize) {
    let chosen = planting.order.choice("text").draw(u64::try_from(continuations.len()).unwrap_or(u64::MAX));
    *continuations = continuations.drain(..).skip(usize::try_from(chosen).unwrap_or(0)).take(1).collect();
    for Continuation { prompt, tokens } in continuations {
        tokens.truncate(limit.saturating_sub(1).max(1));
        let room = limit.saturating_sub(tokens.len()).max(1);
        let kept = planting.words(prompt.len()).clamp(1, room);
        prompt.drain(..prompt.len().saturating_sub(kept));
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
