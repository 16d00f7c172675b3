//! Requests of many parts: texts to embed, continuations to score.
//!
//! Such a request may hold far more than a worker should take at once: it becomes several jobs, each small enough to be
//! replayed in a moment, which run beside each other on whatever workers there are. A part comes whole or not at all.

use super::choices::{ifr, opening};
use super::{ApiModel, JOB_HEADER, error::ApiError};
use crate::hub::{Attempts, Hub, JobEvent, JobSpec, Preferences, Siblings, TakenTokens, Ticket};
use axum::{
    Json,
    http::HeaderValue,
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use inferium_types::{Amount, Digest, JobAnswer, JobOutput, JobPayload, SamplingParams, Usage};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Parts and tokens of one job at most; a longer part is a job of its own.
const JOB_PARTS_MAX: usize = 64;
const JOB_TOKENS_MAX: usize = 2_048;
/// Jobs of one request that run at a time.
const AT_ONCE: usize = 4;
/// Tries of one job: nothing of it was shown when it failed.
const TRIES: usize = 2;

/// Packs parts, each with its tokens, into jobs, and checks all that a worker would: what it had to refuse is not sent.
pub(super) fn pack<T>(
    (model, payer): (&ApiModel, Digest),
    parts: impl Iterator<Item = Result<(T, usize), ApiError>>,
    payload: impl Fn(Vec<T>) -> JobPayload,
) -> Result<Vec<JobSpec>, ApiError> {
    let mut specs = Vec::new();
    // A job counts a token for each part's answer, and fits into what leases are asked for.
    let room = usize::try_from(model.context_tokens).unwrap_or(usize::MAX).min(JOB_TOKENS_MAX + JOB_PARTS_MAX);
    let (mut packed, mut packed_tokens) = (Vec::new(), 0usize);
    for part in parts {
        let (part, tokens) = part?;
        let with_it = packed_tokens.saturating_add(tokens);
        let is_full = packed.len() >= JOB_PARTS_MAX
            || with_it > JOB_TOKENS_MAX
            || with_it.saturating_add(packed.len() + 1) > room;
        if is_full && !packed.is_empty() {
            specs.push(spec((model, payer), payload(std::mem::take(&mut packed)), packed_tokens)?);
            packed_tokens = 0;
        }
        packed.push(part);
        packed_tokens = packed_tokens.saturating_add(tokens);
    }
    specs.push(spec((model, payer), payload(packed), packed_tokens)?);
    Ok(specs)
}

/// A job of these parts, which have so many tokens.
pub(super) fn spec(
    (model, payer): (&ApiModel, Digest),
    payload: JobPayload,
    tokens: usize,
) -> Result<JobSpec, ApiError> {
    payload.check()?;
    let spec = JobSpec {
        profile: model.id,
        kind: model.kind,
        task: model.profile.task,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        tokens_max: payload.input.parts().and_then(|parts| u32::try_from(parts).ok()).unwrap_or(u32::MAX),
        payload: Arc::new(payload),
        sampling: SamplingParams::GREEDY,
        client_seed: None,
        payer,
        preferences: Preferences::default(),
        ticket: Ticket::default(),
        is_witnessed: false,
    };
    spec.check(model.context_tokens)?;
    Ok(spec)
}

/// One finished job of a request.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: String,
    pub(super) answer: JobAnswer,
    pub(super) usage: Usage,
    pub(super) cost: Amount,
    /// Of the result's commitment.
    pub(super) salt: [u8; 32],
    /// What the job was given.
    pub(super) payload: Arc<JobPayload>,
}

/// Runs all jobs of a request, in their order; the first failure ends all of them. One whose key can't pay for all is
/// refused before any of it is done.
pub(super) async fn run_all(hub: &Arc<Hub>, specs: Vec<JobSpec>) -> Result<Vec<Done>, ApiError> {
    hub.check_budget(&specs)?;
    let siblings: Arc<Siblings> = Arc::default();
    let prompts = specs.iter().map(|spec| u64::from(spec.prompt_tokens)).sum();
    let mut taken = Taken { tokens: hub.take_tokens(&specs)?, prompts, siblings: Arc::clone(&siblings) };
    // Of several jobs those beside one that fails are cancelled, and what workers have done of them is paid for.
    let is_several = specs.len() > 1;
    let mut running = futures::stream::iter(specs.into_iter().map(|spec| run(hub, spec, &siblings))).buffered(AT_ONCE);
    let mut done: Vec<Done> = Vec::new();
    while let Some(one) = running.next().await {
        let one = one.map_err(|error| match error {
            ApiError::WorkerFailed(reason) => ApiError::worker_failed(reason, is_several),
            error if is_several && siblings.any_begun() => ApiError::worker_failed(error.to_string(), true),
            error => error,
        })?;
        taken.done(one.usage);
        done.push(one);
    }
    Ok(done)
}

/// What came of one try of a job that nobody waits for.
pub(super) enum Tried {
    Done(Box<Done>),
    /// No worker takes it now.
    NoRoom,
    /// One took it, and failed.
    WorkerFailed(String),
}

/// Tries a job that may be tried again later.
///
/// # Errors
/// What trying again does not mend.
pub(super) async fn try_alone(hub: &Arc<Hub>, spec: JobSpec) -> Result<Tried, ApiError> {
    match run_all(hub, vec![spec]).await {
        Ok(mut done) => Ok(done.pop().map_or(Tried::NoRoom, |done| Tried::Done(Box::new(done)))),
        Err(ApiError::NoWorker | ApiError::Overloaded | ApiError::OverLimit(_)) => Ok(Tried::NoRoom),
        Err(ApiError::WorkerFailed(reason) | ApiError::WorkerFailedPaid(reason)) => Ok(Tried::WorkerFailed(reason)),
        Err(error) => Err(error),
    }
}

/// The tokens of jobs that are under way: whatever comes of them, their prompts are read.
struct Taken {
    tokens: TakenTokens,
    /// Tokens of the prompts that are not answered.
    prompts: u64,
    siblings: Arc<Siblings>,
}

impl Taken {
    fn done(&mut self, usage: Usage) {
        self.prompts = self.prompts.saturating_sub(usage.prompt_tokens.into());
        self.tokens.done(usage);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.siblings.any_begun() {
            self.tokens.came(usize::try_from(self.prompts).unwrap_or(usize::MAX));
        }
    }
}

/// A job, done anew when its worker failed: whatever of it had come, the client has seen nothing of it.
async fn run(hub: &Arc<Hub>, spec: JobSpec, siblings: &Arc<Siblings>) -> Result<Done, ApiError> {
    // A proof is not tried again with the seed that a worker has had (SPEC V10).
    let tries = if spec.task.is_proof() { 1 } else { TRIES };
    for _ in 1..tries {
        match run_once(hub, spec.clone(), siblings).await {
            Err(ApiError::WorkerFailed(_)) => {}
            done => return done,
        }
    }
    run_once(hub, spec, siblings).await
}

async fn run_once(hub: &Arc<Hub>, spec: JobSpec, siblings: &Arc<Siblings>) -> Result<Done, ApiError> {
    let started = Instant::now();
    let mut answer = spec.payload.input.no_answer();
    let payload = Arc::clone(&spec.payload);
    let mut attempts = Attempts::start(hub, spec, siblings).await?;
    let (usage, cost, salt) = loop {
        match attempts.next().await {
            // The hub ends a job that sends parts of another kind, or text.
            JobEvent::Parts(more) => drop(answer.append(more)),
            JobEvent::Text(_) | JobEvent::Called(_) => {}
            JobEvent::Done { usage, cost, salt, .. } => break (usage, cost, salt),
            JobEvent::Failed { reason } => return Err(ApiError::WorkerFailed(reason)),
        }
    };
    hub.metrics.job_seconds.observe(started.elapsed().as_secs_f64());
    Ok(Done { job: attempts.job().to_string(), answer, usage, cost, salt, payload })
}

/// What was read; nothing is written.
#[derive(Debug, Serialize)]
pub(super) struct PartUsage {
    pub(super) prompt_tokens: u64,
    pub(super) total_tokens: u64,
    /// IFR, decimal.
    cost: String,
    cost_nano: u64,
}

impl PartUsage {
    /// IFR, decimal.
    pub(super) fn cost(&self) -> &str {
        &self.cost
    }

    pub(super) const fn cost_nano(&self) -> u64 {
        self.cost_nano
    }

    pub(super) fn of(done: &[Done]) -> Self {
        let prompt_tokens = done.iter().map(|one| u64::from(one.usage.prompt_tokens)).sum();
        let cost = done.iter().fold(0, |sum: u64, one| sum.saturating_add(one.cost.nano()));
        Self { prompt_tokens, total_tokens: prompt_tokens, cost: ifr(Amount::from_nano(cost)), cost_nano: cost }
    }
}

/// What is ours in an answer: the jobs that it was made of, each with a receipt of its own.
#[derive(Debug, Serialize)]
pub(super) struct Extras {
    pub(super) jobs: Vec<JobExtras>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(super) struct JobExtras {
    job: String,
    status: &'static str,
    receipt_url: String,
    /// Which parts: the first and the last, counted from 0.
    texts: [usize; 2],
    /// Shows to others what it was asked and answered; if the client asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<String>,
}

impl JobExtras {
    /// Of the job that gave parts `first` to `end`, the latter not included.
    pub(super) fn new(done: &Done, (first, end): (usize, usize), is_opened: bool) -> Self {
        let (job, receipt_url) = (done.job.clone(), format!("/v1/receipts/{}", done.job));
        let output = || JobOutput { salt: done.salt, answer: done.answer.clone() };
        let opening = is_opened.then(|| opening(&done.payload, output()));
        Self { job, status: "provisional", receipt_url, texts: [first, end.saturating_sub(1)], opening }
    }
}

/// An answer, whose header names its first job.
pub(super) fn respond(answer: &impl Serialize, extras: &Extras) -> Response {
    let header = extras.jobs.first().and_then(|first| HeaderValue::from_str(&first.job).ok());
    let mut response = Json(answer).into_response();
    if let Some(header) = header {
        response.headers_mut().insert(JOB_HEADER, header);
    }
    response
}
