//! `POST /v1/embeddings`.

use super::choices::url_of;
use super::fields::{boolean, integer};
use super::parts::{Done, Extras, JobExtras, PartUsage, pack, respond, run_all};
use super::{ApiModel, ApiState, error::ApiError, object, sized, whole_body};
use crate::hub::JobSpec;
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use inferium_engine::{EngineError, Prompt};
use inferium_types::{Digest, Embedding, JobAnswer, JobInput, JobPayload, ModelTask};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Texts of one request at most, as clients of embedding APIs expect.
pub(super) const TEXTS_MAX: usize = 2_048;
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
    /// Whether the client is to be able to show others what was asked and answered.
    opening: bool,
}

impl EmbeddingRequest {
    /// Parses a body: every parameter is honoured, or refused by its name.
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let fields = object(body)?;
        let mut request =
            Self { model: String::new(), texts: Vec::new(), format: Format::Float, dimensions: None, opening: false };
        for (name, value) in fields {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("model", Value::String(model)) => request.model = model,
                ("model", _) => return Err(ApiError::invalid("model", "`model` must be a string")),
                ("input", value) => request.texts = input(value)?,
                ("encoding_format", value) => request.format = format(&value)?,
                ("dimensions", value) => {
                    let wrong = || ApiError::invalid("dimensions", "`dimensions` must be a positive integer");
                    let count = integer(&value).and_then(|count| u64::try_from(count).ok());
                    request.dimensions = Some(count.filter(|count| *count > 0).ok_or_else(wrong)?);
                }
                ("opening", value) => request.opening = boolean("opening", &value)?,
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
    usage: PartUsage,
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
        let task = model.profile.task;
        return Err(ApiError::OtherTask { model: request.model, does: task.name(), url: url_of(task) });
    };
    if request.dimensions.is_some_and(|dimensions| dimensions != u64::from(width)) {
        let message = format!("`{}` gives vectors of {width} values, and of no other number", model.profile.name);
        return Err(ApiError::invalid("dimensions", message));
    }
    let EmbeddingRequest { texts, format, opening, .. } = request;
    let size = texts.iter().map(|text| text.len().saturating_add(TEXT_SIZE)).sum();
    let preparing = Arc::clone(&model);
    let specs = sized(size, move || prepare(&preparing, texts, payer)).await??;
    let done = run_all(&state.hub, specs).await?;
    let values = done.iter().map(|done| done.answer.len()).sum::<usize>();
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let size = values.saturating_mul(width).saturating_mul(VALUE_SIZE);
    sized(size, move || answer(&model, done, (format, opening))).await
}

/// Tokenises, packs texts into jobs, and checks all that a worker would: what it had to refuse is not sent.
fn prepare(model: &ApiModel, texts: Vec<String>, payer: Digest) -> Result<Vec<JobSpec>, ApiError> {
    let parts = texts.into_iter().enumerate().map(|(index, text)| {
        let mut input = JobInput::Embed { texts: vec![text], tokens: Vec::new() };
        let read = model.model.fill_tokens(&mut input).and_then(|()| model.model.read(&input));
        let tokens = match read {
            Ok(prompt) => Prompt::tokens(&prompt),
            Err(EngineError::TooLong { tokens, context_tokens: context }) => {
                return Err(ApiError::TextLength { index, tokens, model: model.profile.name.clone(), context });
            }
            Err(error) => return Err(ApiError::invalid("input", format!("text {index}: {error}"))),
        };
        let JobInput::Embed { mut texts, tokens: mut given } = input else {
            return Err(ApiError::Internal("texts became something else".to_owned()));
        };
        Ok(((texts.pop().unwrap_or_default(), given.pop()), tokens))
    });
    pack((model, payer), parts, |parts| {
        let (texts, given): (Vec<String>, Vec<Option<Vec<u32>>>) = parts.into_iter().unzip();
        JobPayload {
            salt: rand::random(),
            input: JobInput::Embed { texts, tokens: given.into_iter().flatten().collect() },
        }
    })
}

fn answer(model: &ApiModel, done: Vec<Done>, (format, opening): (Format, bool)) -> Response {
    let usage = PartUsage::of(&done);
    let (mut data, mut jobs) = (Vec::new(), Vec::new());
    for one in done {
        let first = data.len();
        jobs.push(JobExtras::new(&one, (first, first + one.answer.len()), opening));
        let embeddings: Vec<Embedding> = if let JobAnswer::Embeddings(all) = one.answer { all } else { Vec::new() };
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
    }
    let model = model.profile.name.clone();
    let list = EmbeddingList { object: "list", data, model, usage, inferium: Extras { jobs } };
    respond(&list, &list.inferium)
}

#[cfg(test)]
mod tests;
