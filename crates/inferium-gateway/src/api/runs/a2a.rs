//! An agent as others find and ask it by A2A 1.0: its card, and JSON-RPC with server-sent events. A task is a run.

use super::super::error::ApiError;
use super::super::once::event_stream;
use super::super::{ApiState, whole_body};
use super::agents::{Found, opener};
use super::open::{Begun, Ended, RunAsk, begin};
use super::shown_news;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State, rejection::BytesRejection, rejection::PathRejection};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use inferium_agent::Manifest;
use inferium_types::{Digest, LeaseId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The version of the protocol that is spoken here.
const VERSION: &str = "1.0";
const VERSION_HEADER: HeaderName = HeaderName::from_static("a2a-version");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Events of a task that wait for a slow client.
const EVENTS: usize = 64;

/// Errors of JSON-RPC and of the protocol, by their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Parse = -32_700,
    Request = -32_600,
    Method = -32_601,
    Params = -32_602,
    Internal = -32_603,
    TaskNotFound = -32_001,
    TaskNotCancelable = -32_002,
    ContentType = -32_005,
    Version = -32_009,
}

/// Why a call has no result.
#[derive(Debug)]
struct Refused(Code, String);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let code = if error.status().is_client_error() { Code::Params } else { Code::Internal };
        Self(code, error.to_string())
    }
}

fn failure(id: &Value, Refused(code, message): &Refused) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": *code as i32, "message": message}})
}

fn success(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

async fn found(state: &ApiState, agent: Result<Path<String>, PathRejection>) -> Result<Found, ApiError> {
    let agent = agent.map(|Path(agent)| agent).unwrap_or_default();
    opener(state)?.find(state, &agent).await
}

/// What the agent is and where it is asked.
pub(in super::super) async fn card(
    State(state): State<ApiState>,
    headers: HeaderMap,
    agent: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let found = found(&state, agent).await?;
    let manifest = Manifest::read(&found.manifest).map_err(ApiError::Internal)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = headers.get(FORWARDED).and_then(|scheme| scheme.to_str().ok()).filter(|scheme| *scheme == "https");
    let url = format!("{}://{host}/a2a/{}", scheme.unwrap_or("http"), found.id);
    let about = if manifest.summary.is_empty() { &manifest.name } else { &manifest.summary };
    let card = json!({
        "name": found.agent.name,
        "description": about,
        "version": found.agent.version.to_string(),
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": VERSION}],
        "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": false},
        "securitySchemes": {"apiKey": {"httpAuthSecurityScheme": {
            "scheme": "Bearer", "description": "An API key of this gateway.",
        }}},
        "securityRequirements": [{"schemes": {"apiKey": {"list": []}}}],
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "run",
            "name": found.agent.name,
            "description": about,
            "tags": manifest.tools.keys().collect::<Vec<_>>(),
        }],
    });
    Ok(Json(card).into_response())
}

pub(in super::super) async fn call(
    State(state): State<ApiState>,
    headers: HeaderMap,
    agent: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let payer = state.key(&headers)?.hash;
    let found = found(&state, agent).await?;
    let body = whole_body(body)?;
    let Ok(call) = serde_json::from_slice::<Value>(&body) else {
        return Ok(Json(failure(&Value::Null, &Refused(Code::Parse, "the body is no JSON".to_owned()))).into_response());
    };
    let id = call.get("id").cloned().unwrap_or_default();
    let outcome = match check(&headers, &call) {
        Ok(method) => answer(&state, (payer, &found), (method, call.get("params"), &id)).await,
        Err(refused) => Err(refused),
    };
    Ok(outcome.unwrap_or_else(|refused| Json(failure(&id, &refused)).into_response()))
}

/// The method of a call of this protocol.
fn check<'a>(headers: &HeaderMap, call: &'a Value) -> Result<&'a str, Refused> {
    if call.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Refused(Code::Request, "`jsonrpc` is \"2.0\"".to_owned()));
    }
    let version = headers.get(VERSION_HEADER).and_then(|version| version.to_str().ok()).unwrap_or(VERSION);
    let is_spoken = version == VERSION || version.strip_prefix(VERSION).is_some_and(|rest| rest.starts_with('.'));
    if !is_spoken {
        return Err(Refused(Code::Version, format!("A2A {VERSION} is spoken here, not {version}")));
    }
    let method = call.get("method").and_then(Value::as_str);
    method.ok_or_else(|| Refused(Code::Request, "`method` is missing".to_owned()))
}

async fn answer(
    state: &ApiState,
    (payer, found): (Digest, &Found),
    (method, params, id): (&str, Option<&Value>, &Value),
) -> Result<Response, Refused> {
    let params = params.cloned().unwrap_or_default();
    match method {
        "SendMessage" => {
            let context = context_of(&params);
            let begun = begin(state, payer, ask_of(found, &params)?).await?;
            let run = begun.run;
            let task = match begun.end().await {
                Ok(ended) => completed(run, &context, &ended),
                Err(error) => task(run, &context, &status("TASK_STATE_FAILED", Some(&error.to_string()))),
            };
            Ok(Json(success(id, &json!({"task": task}))).into_response())
        }
        "SendStreamingMessage" => {
            let context = context_of(&params);
            let begun = begin(state, payer, ask_of(found, &params)?).await?;
            Ok(events(begun, id.clone(), context))
        }
        "GetTask" => {
            let task = kept(state, payer, &params).await?;
            Ok(Json(success(id, &task)).into_response())
        }
        "CancelTask" => {
            kept(state, payer, &params).await?;
            Err(Refused(
                Code::TaskNotCancelable,
                "the task is over; one that runs ends when its request does".to_owned(),
            ))
        }
        other => Err(Refused(Code::Method, format!("there is no method {other:?} here"))),
    }
}

/// The client's name for what belongs together; one of our own where it has none.
fn context_of(params: &Value) -> String {
    let given = params.pointer("/message/contextId").and_then(Value::as_str).filter(|given| !given.is_empty());
    given.map_or_else(|| format!("context-{:032x}", rand::random::<u128>()), str::to_owned)
}

fn ask_of(found: &Found, params: &Value) -> Result<RunAsk, Refused> {
    let parts = params.pointer("/message/parts").and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| Refused(Code::Params, "`message.parts` is missing".to_owned()))?;
    let text = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
    let texts: Option<Vec<String>> = parts.iter().map(text).collect();
    let texts = texts.ok_or_else(|| Refused(Code::ContentType, "agents here read parts that are text".to_owned()))?;
    Ok(RunAsk {
        agent: found.id.to_string(),
        task: texts.join("\n"),
        files: Vec::new(),
        secrets: Vec::new(),
        price_max: None,
        version: None,
    })
}

fn status(state: &str, text: Option<&str>) -> Value {
    match text {
        Some(text) => json!({"state": state, "message": {
            "messageId": format!("message-{:032x}", rand::random::<u128>()),
            "role": "ROLE_AGENT", "parts": [{"text": text}],
        }}),
        None => json!({"state": state}),
    }
}

fn task(run: LeaseId, context: &str, status: &Value) -> Value {
    json!({"id": run.to_string(), "contextId": context, "status": status})
}

fn artifact(answer: &str) -> Value {
    json!({"artifactId": "answer", "name": "answer", "parts": [{"text": answer, "mediaType": "text/plain"}]})
}

fn completed(run: LeaseId, context: &str, ended: &Ended) -> Value {
    let mut task = task(run, context, &status("TASK_STATE_COMPLETED", None));
    if let Some(fields) = task.as_object_mut() {
        fields.insert("artifacts".to_owned(), json!([artifact(&ended.answer)]));
        fields.insert("metadata".to_owned(), metadata(&ended.shown));
    }
    task
}

/// What is ours in a task.
fn metadata(run: &Value) -> Value {
    json!({"cost": run.get("cost"), "inferium": run.get("inferium")})
}

/// A task of an earlier call.
async fn kept(state: &ApiState, payer: Digest, params: &Value) -> Result<Value, Refused> {
    let id = params.get("id").and_then(Value::as_str).unwrap_or_default();
    let missing = || Refused(Code::TaskNotFound, format!("this key has no task {id:?}"));
    let run = LeaseId::from_hex(id).ok_or_else(missing)?;
    let shown = super::kept(state, payer, run).await?.ok_or_else(missing)?;
    let text = |field: &str| shown.get(field).and_then(Value::as_str);
    let mut task = match text("error") {
        Some(error) => task(run, "", &status("TASK_STATE_FAILED", Some(error))),
        None => task(run, "", &status("TASK_STATE_COMPLETED", None)),
    };
    if let (Some(fields), Some(answer)) = (task.as_object_mut(), text("answer")) {
        fields.insert("artifacts".to_owned(), json!([artifact(answer)]));
        fields.insert("metadata".to_owned(), metadata(&shown));
    }
    Ok(task)
}

/// A task as it goes on.
fn events(mut begun: Begun, id: Value, context: String) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(EVENTS);
    tokio::spawn(async move {
        let run = begun.run;
        let event = |result: &Value| Bytes::from(format!("data: {}\n\n", success(&id, result)));
        let update = |status: &Value| json!({"statusUpdate": {"taskId": run.to_string(), "contextId": context, "status": status}});
        let opened = json!({"task": task(run, &context, &status("TASK_STATE_WORKING", None))});
        if sender.send(event(&opened)).await.is_err() {
            return;
        }
        loop {
            let news = tokio::select! {
                news = begun.news.recv() => news,
                // Dropping what was begun cancels it.
                () = sender.closed() => return,
            };
            let Some(news) = news else { break };
            let text = shown_news(&news).to_string();
            if sender.send(event(&update(&status("TASK_STATE_WORKING", Some(&text))))).await.is_err() {
                return;
            }
        }
        let ended = begun.ended.await.unwrap_or_else(|_| Err(ApiError::Internal("the run was lost".to_owned())));
        let last = match ended {
            Ok(ended) => vec![
                json!({"artifactUpdate": {
                    "taskId": run.to_string(), "contextId": context, "artifact": artifact(&ended.answer),
                    "lastChunk": true, "metadata": metadata(&ended.shown),
                }}),
                update(&status("TASK_STATE_COMPLETED", None)),
            ],
            Err(error) => vec![update(&status("TASK_STATE_FAILED", Some(&error.to_string())))],
        };
        for result in last {
            if sender.send(event(&result)).await.is_err() {
                return;
            }
        }
    });
    event_stream(receiver, None)
}
