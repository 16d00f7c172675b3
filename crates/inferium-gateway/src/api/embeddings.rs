//! `POST /v1/embeddings`.
//!
//! A request may hold far more texts than a worker should take at once: it becomes several jobs, each small enough to
//! be replayed in a moment, which run beside each other on whatever workers there are.

use super::{ApiModel, ApiState, JOB_HEADER, error::ApiError, sized, whole_body};
use crate::hub::{Attempts, Hub, JobEvent, JobSpec, NoLease};
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures::{StreamExt as _, TryStreamExt as _};
use inferium_engine::{EngineError, Prompt};
use inferium_types::{Amount, Digest, Embedding, JobInput, JobPayload, ModelTask, SamplingParams, Usage};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Texts and tokens of one job at most; a longer text is a job of its own.
const JOB_TEXTS_MAX: usize = 64;
const JOB_TOKENS_MAX: usize = 2_048;
/// Jobs of one request that run at a time.
const AT_ONCE: usize = 4;
/// Texts of one request at most, as clients of embedding APIs expect.
const TEXTS_MAX: usize = 2_048;
/// Tries of one job: nothing of it was shown when it failed.
const TRIES: usize = 2;
/// What a text counts for beside its bytes, and a value of a vector as it is written, where it is asked how long something takes.
const TEXT_SIZE: usize = 256;
const VALUE_SIZE: usize = 12;
/// Parameters that don't change an answer; taken and not used.
const HARMLESS: [&str; 2] = ["user", "metadata"];

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// As JSON numbers.
    Float,
    /// Base64 of little-endian `f32`.
    Base64,
}

/// A request as the gateway understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EmbeddingRequest {
    model: String,
    texts: Vec<String>,
    format: Format,
    dimensions: Option<u64>,
}

impl EmbeddingRequest {
    /// Parses a body: every parameter is honoured, or refused by its name.
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body).map_err(|error| ApiError::Json(error.to_string()))?;
        let Value::Object(fields) = value else {
            return Err(ApiError::Json("expected an object".into()));
        };
        let mut request = Self { model: String::new(), texts: Vec::new(), format: Format::Float, dimensions: None };
        for (name, value) in fields {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("model", Value::String(model)) => request.model = model,
                ("model", _) => return Err(ApiError::invalid("model", "`model` must be a string")),
                ("input", value) => request.texts = input(value)?,
                ("encoding_format", value) => request.format = format(&value)?,
                ("dimensions", value) => {
                    let wrong = || ApiError::invalid("dimensions", "`dimensions` must be a positive integer");
                    request.dimensions = Some(value.as_u64().filter(|count| *count > 0).ok_or_else(wrong)?);
                }
                (name, _) if HARMLESS.contains(&name) => {}
                (name, _) => return Err(ApiError::Unsupported { param: name.to_owned() }),
            }
        }
        if request.model.is_empty() {
            return Err(ApiError::invalid("model", "`model` is required"));
        }
        if request.texts.is_empty() {
            return Err(ApiError::invalid("input", "`input` needs at least one text"));
        }
        Ok(request)
    }
}

fn format(value: &Value) -> Result<Format, ApiError> {
    match value.as_str() {
        Some("float") => Ok(Format::Float),
        Some("base64") => Ok(Format::Base64),
        _ => Err(ApiError::invalid("encoding_format", "`encoding_format` is \"float\" or \"base64\"")),
    }
}

/// One text or several; no token ids, which belong to the vocabulary of one model.
fn input(value: Value) -> Result<Vec<String>, ApiError> {
    let wrong = |message: String| Err(ApiError::invalid("input", message));
    let items = match value {
        Value::String(text) => vec![Value::String(text)],
        Value::Array(items) => items,
        _ => return wrong("`input` must be a string or an array of strings".into()),
    };
    if items.len() > TEXTS_MAX {
        return wrong(format!("`input` has {} texts; at most {TEXTS_MAX} are allowed", items.len()));
    }
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) if text.is_empty() => return wrong(format!("text {index} of `input` is empty")),
            Value::String(text) => texts.push(text),
            Value::Number(_) | Value::Array(_) => {
                return wrong(
                    "`input` of token ids is not taken: every model here has a vocabulary of its own; send text \
                     (in LangChain: check_embedding_ctx_length=False)"
                        .into(),
                );
            }
            _ => return wrong(format!("text {index} of `input` must be a string")),
        }
    }
    Ok(texts)
}

/// What a client gets.
#[derive(Serialize)]
struct EmbeddingList {
    object: &'static str,
    data: Vec<EmbeddingItem>,
    model: String,
    usage: EmbeddingUsage,
    inferium: Extras,
}

#[derive(Serialize)]
struct EmbeddingItem {
    object: &'static str,
    index: usize,
    embedding: Written,
}

/// A vector as the client asked for it.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct EmbeddingUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// What is ours in an answer: the jobs that it was made of, each with a receipt of its own.
#[derive(Serialize)]
struct Extras {
    jobs: Vec<JobExtras>,
}

#[derive(Serialize)]
struct JobExtras {
    job: String,
    status: &'static str,
    receipt_url: String,
    /// Which texts: the first and the last, counted from 0.
    texts: [usize; 2],
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let body = whole_body(body)?;
    let request = sized(body.len(), move || EmbeddingRequest::parse(&body)).await??;
    let model = Arc::clone(state.model(&request.model)?);
    let ModelTask::Embed { width } = model.profile.task else {
        let does = model.profile.task.name();
        return Err(ApiError::OtherTask { model: request.model, does, url: "/v1/chat/completions" });
    };
    if request.dimensions.is_some_and(|dimensions| dimensions != u64::from(width)) {
        let message = format!("`{}` gives vectors of {width} values, and of no other number", model.profile.name);
        return Err(ApiError::invalid("dimensions", message));
    }
    let EmbeddingRequest { texts, format, .. } = request;
    let size = texts.iter().map(|text| text.len().saturating_add(TEXT_SIZE)).sum();
    let preparing = Arc::clone(&model);
    let specs = sized(size, move || prepare(&preparing, texts, payer)).await??;
    check_budget(&state.hub, &model, &specs, payer)?;
    let prompt_tokens = specs.iter().map(|spec| u64::from(spec.prompt_tokens)).sum();
    // In the order of the texts; the first failure ends all of them.
    let done: Vec<Done> = futures::stream::iter(specs.into_iter().map(|spec| run(&state.hub, spec)))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let usage = EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens };
    let values = done.iter().flat_map(|done| &done.embeddings).map(|embedding| embedding.values().len());
    let size = values.sum::<usize>().saturating_mul(VALUE_SIZE);
    sized(size, move || answer(&model, done, usage, format)).await
}

/// A request whose key can't pay for all of it is refused before any of it is done.
fn check_budget(hub: &Hub, model: &ApiModel, specs: &[JobSpec], payer: Digest) -> Result<(), ApiError> {
    let cost = specs.iter().try_fold(Amount::ZERO, |sum, spec| {
        let usage = Usage { prompt_tokens: spec.prompt_tokens, completion_tokens: spec.tokens_max };
        sum.add(model.price_max.fee(&usage)?)
    });
    let (cost, left) = (cost.unwrap_or(Amount::from_nano(u64::MAX)), hub.left(payer));
    if cost > left { Err(NoLease::Budget { cost, left }.into()) } else { Ok(()) }
}

/// Tokenises, packs texts into jobs, and checks all that a worker would: what it had to refuse is not sent.
fn prepare(model: &ApiModel, texts: Vec<String>, payer: Digest) -> Result<Vec<JobSpec>, ApiError> {
    let mut specs = Vec::new();
    let (mut packed, mut packed_tokens) = (Vec::new(), 0usize);
    for (index, text) in texts.into_iter().enumerate() {
        let input = JobInput::Embed { texts: vec![text] };
        let tokens = match model.model.read(&input) {
            Ok(prompt) => Prompt::tokens(&prompt),
            Err(EngineError::TooLong { tokens, context_tokens: context }) => {
                return Err(ApiError::TextLength { index, tokens, model: model.profile.name.clone(), context });
            }
            Err(error) => return Err(ApiError::invalid("input", format!("text {index}: {error}"))),
        };
        let JobInput::Embed { texts: mut one } = input else { continue };
        let is_full = packed.len() >= JOB_TEXTS_MAX || packed_tokens.saturating_add(tokens) > JOB_TOKENS_MAX;
        if is_full && !packed.is_empty() {
            specs.push(pack(model, std::mem::take(&mut packed), packed_tokens, payer)?);
            packed_tokens = 0;
        }
        packed.append(&mut one);
        packed_tokens = packed_tokens.saturating_add(tokens);
    }
    specs.push(pack(model, packed, packed_tokens, payer)?);
    Ok(specs)
}

fn pack(model: &ApiModel, texts: Vec<String>, tokens: usize, payer: Digest) -> Result<JobSpec, ApiError> {
    let tokens_max = u32::try_from(texts.len()).unwrap_or(u32::MAX);
    let payload = JobPayload::embed(rand::random(), texts);
    payload.check()?;
    let spec = JobSpec {
        profile: model.id,
        task: model.profile.task,
        input_commitment: payload.commitment(),
        payload: Arc::new(payload),
        prompt_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        tokens_max,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
        payer,
    };
    spec.check(model.context_tokens)?;
    Ok(spec)
}

/// The embeddings of one job.
struct Done {
    job: String,
    embeddings: Vec<Embedding>,
}

/// A job, done anew when its worker failed: whatever of it had come, the client has seen nothing of it.
async fn run(hub: &Arc<Hub>, spec: JobSpec) -> Result<Done, ApiError> {
    for _ in 1..TRIES {
        match run_once(hub, spec.clone()).await {
            Err(ApiError::WorkerFailed(_)) => {}
            done => return done,
        }
    }
    run_once(hub, spec).await
}

async fn run_once(hub: &Arc<Hub>, spec: JobSpec) -> Result<Done, ApiError> {
    let started = Instant::now();
    let mut attempts = Attempts::start(hub, spec).await?;
    let mut embeddings = Vec::new();
    loop {
        match attempts.next().await {
            JobEvent::Embeddings(more) => embeddings.extend(more),
            // Texts have none: the hub ends a job that sends some.
            JobEvent::Text(_) => {}
            JobEvent::Done { .. } => break,
            JobEvent::Failed { reason } => return Err(ApiError::WorkerFailed(reason)),
        }
    }
    hub.metrics.job_seconds.observe(started.elapsed().as_secs_f64());
    Ok(Done { job: attempts.job().to_string(), embeddings })
}

fn answer(model: &ApiModel, done: Vec<Done>, usage: EmbeddingUsage, format: Format) -> Response {
    let (mut data, mut jobs) = (Vec::new(), Vec::new());
    for Done { job, embeddings } in done {
        let first = data.len();
        for embedding in embeddings {
            let embedding = match format {
                Format::Float => Written::Float(embedding.values().collect()),
                Format::Base64 => {
                    let bytes: Vec<u8> = embedding.values().flat_map(f32::to_le_bytes).collect();
                    Written::Base64(BASE64.encode(bytes))
                }
            };
            data.push(EmbeddingItem { object: "embedding", index: data.len(), embedding });
        }
        let receipt_url = format!("/v1/receipts/{job}");
        jobs.push(JobExtras { job, status: "provisional", receipt_url, texts: [first, data.len().saturating_sub(1)] });
    }
    let header = jobs.first().and_then(|first| HeaderValue::from_str(&first.job).ok());
    let model = model.profile.name.clone();
    let list = EmbeddingList { object: "list", data, model, usage, inferium: Extras { jobs } };
    let mut response = Json(list).into_response();
    if let Some(header) = header {
        response.headers_mut().insert(JOB_HEADER, header);
    }
    response
}

#[cfg(test)]
mod tests;
