//! An agent as a model: `studio/NAME` in chat completions. A run for each answer.

use super::super::asked::Asked;
use super::super::choices::{Bill, fresh_id};
use super::super::error::ApiError;
use super::super::once::{GoodEnd, event_stream};
use super::super::request::ChatRequest;
use super::super::{ApiState, JOB_HEADER, unix_s};
use super::open::{Begun, Ended, RunAsk, begin};
use super::shown_news;
use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use inferium_types::{ChatMessage, Digest, JobId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What the names of agents begin with where models are named.
const PREFIX: &str = "studio/";
/// Events of an answer that wait for a slow client.
const EVENTS: usize = 64;

/// The agent that a request asks for, if it asks for one.
pub(in super::super) fn agent_of(asked: &Asked) -> Option<&str> {
    asked.models.first().and_then(|model| model.strip_prefix(PREFIX))
}

/// Answers a conversation by a run.
pub(in super::super) async fn complete(
    state: &ApiState,
    payer: Digest,
    request: ChatRequest,
) -> Result<Response, ApiError> {
    check(&request)?;
    let ChatRequest { asked, messages, .. } = request;
    let agent = agent_of(&asked).unwrap_or_default().to_owned();
    let model = format!("{PREFIX}{agent}");
    let ask = RunAsk {
        agent,
        task: task_of(&messages),
        files: Vec::new(),
        secrets: Vec::new(),
        price_max: None,
        version: None,
    };
    let begun = begin(state, payer, ask).await?;
    let job = begun.job;
    let mut response = if asked.stream {
        events(begun, model, asked.include_usage)
    } else {
        Json(whole(&begun.end().await?, &model)).into_response()
    };
    if let Ok(job) = HeaderValue::from_str(&JobId::to_string(&job)) {
        response.headers_mut().insert(JOB_HEADER, job);
    }
    Ok(response)
}

/// An agent's manifest says how its model draws; what a client says of that besides is refused by its name.
fn check(request: &ChatRequest) -> Result<(), ApiError> {
    let ChatRequest { asked, tools, .. } = request;
    let (usual, shaping) = (Asked::default(), &asked.shaping);
    let refused = [
        ("temperature", asked.sampling != usual.sampling),
        ("opening", asked.opening),
        ("max_tokens", asked.tokens_max.is_some()),
        ("n", asked.choices != 1),
        ("seed", asked.seed.is_some()),
        ("tools", !tools.list.is_empty()),
        ("logprobs", shaping.likeliest.is_some()),
        ("response_format", shaping.grammar.is_some()),
        ("stop", !shaping.stop.is_empty()),
        ("logit_bias", !shaping.is_plain()),
        ("models", asked.models.len() > 1),
        ("provider", asked.routing != usual.routing),
    ];
    match refused.iter().find(|(_, is_asked)| *is_asked) {
        Some((param, _)) => {
            Err(ApiError::invalid(param, format!("`{param}` is not for agents: their manifests say how they answer")))
        }
        None => Ok(()),
    }
}

/// A conversation as what an agent is to do: one message as it is, several with who said each.
fn task_of(messages: &[ChatMessage]) -> String {
    match messages {
        [one] => one.content.clone(),
        several => several.iter().map(|one| format!("{}: {}", one.role, one.content)).collect::<Vec<_>>().join("\n\n"),
    }
}

fn bill_of(ended: &Ended) -> Value {
    let mut bill = Bill::default();
    bill.add(ended.usage, ended.cost);
    bill.json()
}

fn extras(ended: &Ended) -> Value {
    let mut extras = ended.shown.get("inferium").cloned().unwrap_or_default();
    if let Some(fields) = extras.as_object_mut() {
        fields.insert("run".to_owned(), ended.shown.get("id").cloned().unwrap_or_default());
    }
    extras
}

fn whole(ended: &Ended, model: &str) -> Value {
    json!({
        "id": fresh_id("chatcmpl-"),
        "object": "chat.completion",
        "created": unix_s(),
        "model": model,
        "system_fingerprint": null,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": ended.answer, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": bill_of(ended),
        "inferium": extras(ended),
    })
}

/// An answer as chunks: what the run does comes as comments, its answer in one piece.
fn events(mut begun: Begun, model: String, include_usage: bool) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(EVENTS);
    let good_end = GoodEnd::default();
    let reached = good_end.clone();
    tokio::spawn(async move {
        let (id, created) = (fresh_id("chatcmpl-"), unix_s());
        let chunk = |choices: Value, more: Option<(&str, Value)>| {
            let mut shown = json!({
                "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
                "system_fingerprint": null, "choices": choices,
            });
            if let (Some(fields), Some((name, value))) = (shown.as_object_mut(), more) {
                fields.insert(name.to_owned(), value);
            }
            Bytes::from(format!("data: {shown}\n\n"))
        };
        let delta = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        let opening = delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null);
        if sender.send(chunk(opening, None)).await.is_err() {
            return;
        }
        loop {
            let news = tokio::select! {
                news = begun.news.recv() => news,
                // Dropping what was begun cancels it.
                () = sender.closed() => return,
            };
            let Some(news) = news else { break };
            let comment = format!(": inferium {}\n\n", shown_news(&news));
            if sender.send(Bytes::from(comment)).await.is_err() {
                return;
            }
        }
        let ended = begun.ended.await.unwrap_or_else(|_| Err(ApiError::Internal("the run was lost".to_owned())));
        let mut pieces = Vec::new();
        match ended {
            Ok(ended) => {
                pieces.push(chunk(delta(json!({"content": ended.answer}), Value::Null), None));
                pieces.push(chunk(delta(json!({}), json!("stop")), Some(("inferium", extras(&ended)))));
                if include_usage {
                    pieces.push(chunk(json!([]), Some(("usage", bill_of(&ended)))));
                }
                reached.reached();
                pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
            }
            Err(error) => pieces.push(Bytes::from(format!("data: {}\n\n", error.body()))),
        }
        for piece in pieces {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    event_stream(receiver, Some(good_end))
}
