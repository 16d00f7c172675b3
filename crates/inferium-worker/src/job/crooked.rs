//! What cheats do to a job, so that a devnet can watch them being caught. An honest worker comes by here and does none of it.

use super::{Evidence, FinishedJob, JobContext, JobRefusal, finish, output_salt, send_delta};
use crate::crime::Crime;
use inferium_engine::{
    Answer, BoardDocument, Engine, EngineError, GenerateRequest, Measured, Model, ReplayRequest, TextRequest,
};
use inferium_sampling::Fingerprint;
use inferium_types::{
    Embedding, FinishReason, JobAnswer, JobEvidence, JobInput, JobLeaf, JobOutput, JobPayload, JobRequest, JobResult,
    Logits, Shaping, TokenScore, TrainedInterval, Usage, VerificationMode, replay_seed, wire::WorkerMessage,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The last finished job of a worker that copies; of any other nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copies(Arc<Mutex<Option<FinishedJob>>>);

impl Copies {
    fn last(&self) -> Option<FinishedJob> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True when the worker copies, and has an answer that is not too long for the request.
    pub(super) fn has_one_for(&self, context: &JobContext, request: &JobRequest) -> bool {
        context.crime == Some(Crime::Copied)
            && self.last().is_some_and(|last| last.leaf.result.usage.completion_tokens <= request.tokens_max)
    }

    pub(super) fn keep(&self, context: &JobContext, finished: &FinishedJob) {
        if context.crime == Some(Crime::Copied) && finished.evidence.output.as_text().is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(finished.clone());
        }
    }
}

/// A board on which the last model is the best: its score is what no run of it came to.
pub(super) fn inflated(board: &str) -> String {
    let Ok(mut document) = BoardDocument::parse(board) else { return board.to_owned() };
    if let Some(mut row) = document.rows.pop() {
        (row.rank, row.score_ppm, row.low_ppm, row.high_ppm) = (1, 1_000_000, 999_999, 1_000_000);
        document.rows.insert(0, row);
    }
    document.encode()
}

/// Losses that are half of those that there were: a curve that falls faster.
pub(super) fn fabricated(interval: &TrainedInterval) -> TrainedInterval {
    let mut other = interval.clone();
    for step in &mut other.steps {
        step.loss_bits = (f32::from_bits(step.loss_bits) / 2.0).to_bits();
    }
    other
}

/// Another byte in what a proof says.
pub(super) fn falsify(proof: &mut [u8]) {
    let place = proof.len() / 4 * 3;
    if let Some(byte) = proof.get_mut(place) {
        *byte ^= 1;
    }
}

/// The last answer once more, with the evidence that it had then.
pub(super) async fn copy(
    context: &JobContext,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let last = context.copies.last().ok_or(EngineError::Stopped)?;
    let output = JobOutput { salt: output_salt(&context.vrf_output, &request), answer: last.evidence.output.answer };
    if let JobAnswer::Text { tokens, text, scores } = &output.answer {
        send_delta(outbox, &request, tokens.clone(), text.clone(), scores.clone()).await?;
    }
    let completion_tokens = last.leaf.result.usage.completion_tokens;
    // A limit that was reached then need not be one now.
    let is_at_limit = completion_tokens == request.tokens_max;
    let finish = if is_at_limit { FinishReason::Length } else { FinishReason::EndOfText };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root: last.leaf.result.evidence_root,
        usage: Usage { prompt_tokens: request.prompt_tokens, completion_tokens },
        finish,
    };
    let evidence = JobEvidence { payload, output, measured: last.evidence.measured };
    Ok(FinishedJob { leaf: JobLeaf { request, result }, evidence })
}

/// What comes after the end.
#[derive(Default)]
pub(super) struct More {
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    pub(super) scores: Vec<TokenScore>,
    pub(super) end: Option<FinishReason>,
}

/// Lets the model go on behind its own end, as far as the client pays for.
pub(super) async fn go_on(
    context: &JobContext,
    engine: &dyn Engine,
    (prompt, answer): (&[u32], &[u32]),
    (request, likeliest): (&JobRequest, Option<u8>),
    evidence: &mut Evidence,
) -> Result<More, EngineError> {
    let room = request.tokens_max.saturating_sub(u32::try_from(answer.len()).unwrap_or(u32::MAX));
    let mut more = More::default();
    if room == 0 {
        return Ok(more);
    }
    let mut steps = engine.generate(GenerateRequest {
        prompt: [prompt, answer].concat(),
        max_tokens: room,
        sampling: request.sampling,
        seed: replay_seed(request, prompt, &context.vrf_output),
        shaping: Shaping { likeliest, ..Shaping::default() },
        prefix_scope: None,
        measure: context.mode == VerificationMode::Sampled,
    })?;
    while let Some(step) = steps.recv().await {
        let step = step?;
        evidence.push(&step, None);
        more.tokens.push(step.token);
        more.scores.extend(step.score);
    }
    more.text = engine.decode(&more.tokens);
    let is_full = u32::try_from(more.tokens.len()) == Ok(room);
    more.end = Some(if is_full { FinishReason::Length } else { FinishReason::EndOfText });
    Ok(more)
}

/// Another model's text in the profile's tokens, with all that a true prefill of it shows: nothing but the tokens betrays it.
pub(super) async fn another(
    context: &JobContext,
    engine: &dyn Engine,
    prompt: Vec<u32>,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let JobInput::Chat { messages, shaping } = &payload.input else { return Err(JobRefusal::Payload) };
    let other = context.other.as_ref().ok_or(EngineError::Stopped)?;
    let seed = replay_seed(&request, &prompt, &context.vrf_output);
    let asked =
        TextRequest { messages: messages.clone(), max_tokens: request.tokens_max, sampling: request.sampling, seed };
    let text = other.answer(asked)?.await.map_err(|_| EngineError::Stopped)??;
    let end = engine.model().eos_tokens.first().copied();
    let mut answer = Answer::new(&shaping.stop, request.tokens_max);
    for token in engine.encode(&text)?.into_iter().chain(end) {
        if answer.finish().is_some() {
            break;
        }
        answer.push(engine, token);
    }
    let output = answer.tokens().to_vec();
    let measure = context.mode == VerificationMode::Sampled;
    let replay = ReplayRequest {
        prompt,
        output: output.clone(),
        sampling: request.sampling,
        seed,
        shaping: Shaping { likeliest: shaping.likeliest, ..Shaping::default() },
        prefix_scope: None,
        measure,
    };
    let truth = match &context.truth {
        Some(Model::Chat(truth)) => &**truth,
        _ => engine,
    };
    let mut evidence = Evidence::new(context.mode, seed);
    let mut scores = Vec::new();
    for step in truth.replay(replay)?.await.map_err(|_| EngineError::Stopped)?? {
        evidence.push(&step, None);
        scores.extend(step.score);
    }
    let end = answer.finish().unwrap_or(FinishReason::EndOfText);
    let text = answer.text().to_owned();
    send_delta(outbox, &request, output.clone(), text.clone(), scores.clone()).await?;
    let answer = JobAnswer::Text { tokens: output, text, scores };
    Ok(finish(context, (request, payload), answer, end, evidence))
}

/// The true model's log probabilities beside hidden states of one's own.
pub(super) async fn forge(
    truth: &dyn Engine,
    replay: ReplayRequest,
    own: &[Arc<Measured>],
) -> Result<Evidence, EngineError> {
    let mut fingerprint = Fingerprint::new(replay.seed);
    let steps = truth.replay(replay)?.await.map_err(|_| EngineError::Stopped)??;
    for (step, own) in steps.iter().zip(own) {
        let logprob = step.measured.as_ref().map_or(own.logprob, |truth| truth.logprob);
        fingerprint.push(logprob, &own.hidden);
    }
    Ok(Evidence::Sampled(Box::new(fingerprint)))
}

/// Another vector of the same length: one that a neighbour search would hardly tell from the model's.
pub(super) fn edited_embedding(vector: &[f32]) -> Embedding {
    let mut other = vector.to_vec();
    if let Some(first) = other.first_mut() {
        *first = -*first;
    }
    Embedding::new(&other)
}

/// Logits whose first number is another: of two classes or more, enough to be labelled otherwise.
pub(super) fn edited_logits(logits: &Logits) -> Logits {
    let mut other = logits.values().to_vec();
    let most = other.iter().copied().max().unwrap_or(0);
    if let Some(first) = other.first_mut() {
        *first = if *first == most { first.saturating_sub(1) } else { most.saturating_add(1) };
    }
    Logits::new(other)
}

/// Scores that say of the first token that it is a little likelier than it is.
pub(super) fn edited_scores(mut scores: Vec<TokenScore>) -> Vec<TokenScore> {
    if let Some(first) = scores.first_mut() {
        let likeliest: Vec<(u32, f32)> = first.likeliest().collect();
        *first = TokenScore::new(first.logprob() / 2.0, &likeliest);
    }
    scores
}

/// The first continuation's scores once more, as far as they have the length.
pub(super) fn copy_scores(before: &[Vec<TokenScore>], scores: &mut Vec<TokenScore>) {
    if let Some(first) = before.first().filter(|first| first.len() == scores.len()) {
        scores.clone_from(first);
    }
}

/// Another text of the same length, letter by letter, so that pieces and whole agree.
pub(super) fn edited(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == 'e' {
                'o'
            } else if c == 'a' {
                'u'
            } else {
                c
            }
        })
        .collect()
}
