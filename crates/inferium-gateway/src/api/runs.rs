//! `/v1/agents` and `/v1/runs`: agents of Studios, and what they are asked to do (SPEC A).
//!
//! | part | what it does |
//! | --- | --- |
//! | `agents` | which agents there are, with the manifests that this gateway was given |
//! | `open` | opens a run on the chain, hands it to its host, and follows it to its end |
//! | `mcp` | an agent as a server of tools |
//! | `a2a` | an agent as other agents find and ask it |
//! | `chat` | an agent as a model of chat completions |
//! | `reviews` | what those say of an agent who paid for a run |
//! | `hired` | runs that other runs hired |
//! | `calls` | answers the model calls that hosts ask for |
//!
//! A run goes on apart from its request: a client that leaves cancels it.

pub(super) mod a2a;
mod agents;
mod calls;
pub(super) mod chat;
mod hired;
pub(super) mod mcp;
mod open;
pub(super) mod reviews;

pub(super) use agents::{PAGE_MAX as AGENTS_PAGE_MAX, list as list_agents, put_manifest, show as show_agent};
pub(crate) use calls::answer_calls;
pub(crate) use hired::host_hired;
pub(super) use open::Opener;
use open::{Begun, RunAsk, begin};

use super::choices::ifr;
use super::error::{ApiError, RUN};
use super::fields::{array, boolean, fields, string, text};
use super::once::{GoodEnd, event_stream};
use super::{ApiState, JOB_HEADER, object, whole_body};
use crate::hub::RunNews;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State, rejection::BytesRejection, rejection::PathRejection};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inferium_agent::is_secret_name;
use inferium_types::{Amount, Digest, LeaseId, RunFile, is_file_name, limits, wire::RunSecret};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Secrets of a request at most, and bytes of each value.
pub(super) const SECRETS_MAX: usize = 16;
pub(super) const SECRET_SIZE_MAX: usize = 4_096;
/// Events of a run that wait for a slow client.
const EVENTS: usize = 64;

/// A body of `POST /v1/runs`.
#[derive(Debug)]
struct RunRequest {
    ask: RunAsk,
    stream: bool,
}

impl RunRequest {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let list = object(body)?;
        let (mut agent, mut task, mut files, mut secrets, mut stream) =
            (None, None, BTreeMap::new(), Vec::new(), false);
        let (mut price_max, mut version) = (None, None);
        for (name, value) in &list {
            match name.as_str() {
                _ if value.is_null() => {}
                "agent" => agent = Some(string(name, value)?),
                "input" => task = Some(string(name, value)?),
                "files" => files = read_files(value)?,
                "secrets" => secrets = read_secrets(value)?,
                "price_max" => price_max = Some(read_price(value)?),
                "version" => version = Some(string(name, value)?),
                "stream" => stream = boolean(name, value)?,
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        let agent = agent.ok_or_else(|| ApiError::invalid("agent", "`agent` is required: a name or an id"))?;
        let task = task.ok_or_else(|| ApiError::invalid("input", "`input` is required: what the agent is to do"))?;
        if task.len() > limits::RUN_TASK_SIZE_MAX {
            let message =
                format!("`input` has {} bytes; at most {} are allowed", task.len(), limits::RUN_TASK_SIZE_MAX);
            return Err(ApiError::invalid("input", message));
        }
        let files = files.into_iter().map(|(name, bytes)| RunFile { name, bytes }).collect();
        Ok(Self { ask: RunAsk { agent, task, files, secrets, price_max, version }, stream })
    }
}

fn read_files(value: &Value) -> Result<BTreeMap<String, Vec<u8>>, ApiError> {
    let mut files = BTreeMap::new();
    for (index, item) in array("files", value)?.iter().enumerate() {
        let param = format!("files[{index}]");
        let list = fields(&param, item)?;
        if let Some(other) = list.keys().find(|name| !matches!(name.as_str(), "name" | "content" | "encoding")) {
            return Err(ApiError::Unsupported { param: format!("{param}.{other}") });
        }
        let field = |name: &str| list.get(name).unwrap_or(&Value::Null);
        let name = string(&format!("{param}.name"), field("name"))?;
        if !is_file_name(&name) {
            let message = format!("`{param}.name` is a plain file name without a path; not {name:?}");
            return Err(ApiError::invalid(&format!("{param}.name"), message));
        }
        let content = text(&format!("{param}.content"), field("content"))?;
        let bytes = match field("encoding") {
            Value::Null => content.as_bytes().to_vec(),
            Value::String(word) if word == "base64" => STANDARD
                .decode(content)
                .map_err(|_| ApiError::invalid(&format!("{param}.content"), "`content` is no base64"))?,
            _ => {
                let message = format!("`{param}.encoding` is `base64`, or absent for text");
                return Err(ApiError::invalid(&format!("{param}.encoding"), message));
            }
        };
        if files.insert(name.clone(), bytes).is_some() {
            return Err(ApiError::invalid("files", format!("two files have the name {name:?}")));
        }
    }
    let size: usize = files.values().map(Vec::len).fold(0, usize::saturating_add);
    if files.len() > limits::RUN_FILES_MAX || size > limits::RUN_FILES_SIZE_MAX {
        let message = format!(
            "{} files of {size} bytes; at most {} of {} bytes together are allowed",
            files.len(),
            limits::RUN_FILES_MAX,
            limits::RUN_FILES_SIZE_MAX
        );
        return Err(ApiError::invalid("files", message));
    }
    Ok(files)
}

/// IFR, in decimal.
fn read_price(value: &Value) -> Result<Amount, ApiError> {
    let wrong = |reason: String| ApiError::invalid("price_max", format!("`price_max`: {reason}"));
    text("price_max", value)?.parse().map_err(|error| wrong(format!("{error}")))
}

fn read_secrets(value: &Value) -> Result<Vec<RunSecret>, ApiError> {
    let list = fields("secrets", value)?;
    if list.len() > SECRETS_MAX {
        return Err(ApiError::invalid("secrets", format!("{} secrets; at most {SECRETS_MAX} are allowed", list.len())));
    }
    let secret = |(name, value): (&String, &Value)| {
        let value = string(&format!("secrets.{name}"), value)?;
        if !is_secret_name(name) || value.contains('\0') || value.len() > SECRET_SIZE_MAX {
            let message = format!(
                "`secrets`: a name that ends in TOKEN, KEY, SECRET or PASSWORD, and a value of at most {SECRET_SIZE_MAX} bytes"
            );
            return Err(ApiError::invalid("secrets", message));
        }
        Ok(RunSecret { name: name.clone(), value })
    };
    list.iter().map(secret).collect()
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let key = state.key(&headers)?;
    let RunRequest { ask, stream } = RunRequest::parse(&whole_body(body)?)?;
    let begun = begin(&state, key.hash, ask).await?;
    let job = HeaderValue::from_str(&begun.job.to_string()).ok();
    let mut response = if stream { events(begun) } else { Json(begun.end().await?.shown).into_response() };
    if let Some(job) = job {
        response.headers_mut().insert(JOB_HEADER, job);
    }
    Ok(response)
}

/// A run as server-sent events: what it does, and at the end the run itself.
fn events(mut begun: Begun) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(EVENTS);
    let good_end = GoodEnd::default();
    let reached = good_end.clone();
    tokio::spawn(async move {
        let event = |name: &str, value: &Value| Bytes::from(format!("event: {name}\ndata: {value}\n\n"));
        let opened = json!({"id": begun.run.to_string(), "object": "run", "status": "running"});
        if sender.send(event("run.created", &opened)).await.is_err() {
            return;
        }
        loop {
            let news = tokio::select! {
                news = begun.news.recv() => news,
                // Dropping what was begun cancels it.
                () = sender.closed() => return,
            };
            let Some(news) = news else { break };
            if sender.send(event("run.call", &shown_news(&news))).await.is_err() {
                return;
            }
        }
        let last = match begun.ended.await {
            Ok(Ok(ended)) => {
                reached.reached();
                event("run.completed", &ended.shown)
            }
            Ok(Err(error)) => event("error", &error.body()),
            Err(_) => event("error", &ApiError::Internal("the run was lost".to_owned()).body()),
        };
        let _ = sender.send(last).await;
    });
    event_stream(receiver, Some(good_end))
}

/// What a run did, while it goes on.
pub(super) fn shown_news(news: &RunNews) -> Value {
    match news {
        RunNews::Model { job, usage, cost, took_ms } => json!({
            "type": "model",
            "job": job.to_string(),
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost": ifr(*cost),
            "took_ms": took_ms,
        }),
        RunNews::Tool { tool, took_ms, failed } => {
            json!({"type": "tool", "name": tool, "took_ms": took_ms, "failed": failed})
        }
    }
}

pub(super) async fn list(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let payer = state.key(&headers)?.hash;
    let runs = state.hub.disk(move |hub| {
        let mut runs = Vec::new();
        for key in hub.store.runs(payer)?.into_iter().rev() {
            runs.extend(hub.store.brief(payer, key)?);
        }
        Ok(runs)
    });
    // What it did is in each run's own answer.
    let data: Vec<Value> = runs.await?.iter().filter_map(|brief| serde_json::from_str(brief).ok()).collect();
    Ok(Json(json!({"object": "list", "data": data})).into_response())
}

pub(super) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let payer = state.key(&headers)?.hash;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || ApiError::Missing { what: RUN, id: id.clone() };
    let run = LeaseId::from_hex(&id).ok_or_else(missing)?;
    let mut shown = kept(&state, payer, run).await?.ok_or_else(missing)?;
    hired::tell(&state, (payer, run), &mut shown).await?;
    Ok(Json(shown).into_response())
}

/// A run that is kept for a key.
async fn kept(state: &ApiState, payer: Digest, run: LeaseId) -> Result<Option<Value>, ApiError> {
    let record = state.hub.disk(move |hub| {
        let key = hub.store.runs(payer)?.into_iter().find(|(_, of)| *of == run);
        key.map_or(Ok(None), |key| hub.store.run(payer, key))
    });
    let shown = record.await?.map(|shown| serde_json::from_str(&shown));
    shown.transpose().map_err(|error| ApiError::Internal(error.to_string()))
}
