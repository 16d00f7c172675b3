//! `POST /v1/chat/completions`.

use super::calls::{CallReader, Piece};
use super::choices::{
    Bill, Head, Origin, Prepared, Render, Whole, add_bill, chat_logprobs, choose_model, close_chunks, extras,
    finish_name, fresh_id, gather, name_job, prepare, stream, text_engine, whole_extras,
};
use super::error::ApiError;
use super::request::ChatRequest;
use super::{ApiState, runs, sized, whole_body};
use crate::hub::TextPiece;
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use inferium_engine::Engine;
use inferium_types::{FinishReason, JobInput};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn completions(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let key = state.key(&headers)?;
    let payer = key.hash;
    let body = whole_body(body)?;
    let ChatRequest { asked, messages, tools } = sized(body.len(), move || ChatRequest::parse(&body)).await??;
    if runs::chat::agent_of(&asked).is_some() {
        return runs::chat::complete(&state, payer, ChatRequest { asked, messages, tools }).await;
    }
    let model = choose_model(&state, &asked, &key)?;
    let (is_stream, include_usage, choices) = (asked.stream, asked.include_usage, asked.choices as usize);
    let has_logprobs = asked.shaping.likeliest.is_some();
    let input = JobInput::Chat { messages, shaping: asked.shaping.clone() };
    let Prepared { model, specs } = prepare(model, (asked, payer), vec![input], "messages").await?;
    let engine = text_engine(&model)?;
    let head = Head::new("chatcmpl-", &model);
    let may_call = tools.may_call();
    if is_stream {
        let readers = (0..choices).map(|_| CallReader::new(may_call)).collect();
        let render = Chunks { head, engine, readers, include_usage, has_logprobs, extras: Vec::new(), last: None };
        return stream(&state.hub, specs, render).await;
    }
    let (wholes, bill) = gather(&state.hub, specs).await?;
    let shown: Vec<Value> = wholes
        .iter()
        .enumerate()
        .map(|(index, whole)| choice(&*engine, (index, whole), may_call, has_logprobs))
        .collect();
    let mut body = head.shown("chat.completion", &shown.into());
    add_bill(&mut body, &bill, whole_extras(&wholes));
    Ok(name_job(Json(body).into_response(), wholes.first().map(|whole| &whole.origin)))
}

/// A whole answer.
fn choice(engine: &dyn Engine, (index, whole): (usize, &Whole), may_call: bool, has_logprobs: bool) -> Value {
    let mut reader = CallReader::new(may_call);
    let mut pieces = reader.push(&whole.piece.text);
    pieces.extend(reader.finish());
    let mut content: Option<String> = None;
    let mut calls: Vec<(String, String)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Content(text) => content.get_or_insert_default().push_str(&text),
            Piece::Call(name) => calls.push((name, String::new())),
            Piece::Arguments(more) => {
                if let Some((_, arguments)) = calls.last_mut() {
                    arguments.push_str(&more);
                }
            }
        }
    }
    if calls.is_empty() {
        content.get_or_insert_default();
    }
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    let finish = if calls.is_empty() { finish_name(whole.finish) } else { call_finish(whole.finish) };
    if let (Some(fields), false) = (message.as_object_mut(), calls.is_empty()) {
        let call = |(name, arguments): (String, String)| json!({"id": fresh_id("call_"), "type": "function", "function": {"name": name, "arguments": arguments}});
        fields.insert("tool_calls".to_owned(), calls.into_iter().map(call).collect());
    }
    json!({
        "index": index,
        "message": message,
        "logprobs": logprobs(engine, &whole.piece, has_logprobs),
        "finish_reason": finish,
    })
}

const fn call_finish(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Length => "length",
        _ => "tool_calls",
    }
}

fn logprobs(engine: &dyn Engine, piece: &TextPiece, are_asked: bool) -> Value {
    if are_asked { json!({"content": chat_logprobs(engine, piece), "refusal": null}) } else { Value::Null }
}

/// Answers as chunks.
struct Chunks {
    head: Head,
    engine: Arc<dyn Engine>,
    readers: Vec<CallReader>,
    include_usage: bool,
    has_logprobs: bool,
    extras: Vec<Origin>,
    /// The last answer's end, which waits for the bill.
    last: Option<Value>,
}

impl Chunks {
    fn delta(&self, index: usize, delta: &Value, logprobs: &Value, finish: Option<&str>) -> Value {
        let choice = json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish});
        self.head.shown(CHUNK, &json!([choice]))
    }
}

/// What chunks say that they are.
const CHUNK: &str = "chat.completion.chunk";

/// One piece as a delta; of a call the `call`-th.
fn shown(call: usize, piece: Piece) -> Value {
    match piece {
        Piece::Content(text) => json!({"content": text}),
        Piece::Call(name) => json!({"tool_calls": [{
            "index": call,
            "id": fresh_id("call_"),
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }]}),
        Piece::Arguments(more) => json!({"tool_calls": [{"index": call, "function": {"arguments": more}}]}),
    }
}

impl Render for Chunks {
    fn open(&mut self) -> Vec<Value> {
        let opening = json!({"role": "assistant", "content": "", "refusal": null});
        (0..self.readers.len()).map(|index| self.delta(index, &opening, &Value::Null, None)).collect()
    }

    fn text(&mut self, index: usize, piece: TextPiece) -> Vec<Value> {
        let Some(reader) = self.readers.get_mut(index) else { return Vec::new() };
        let mut events = Vec::new();
        let mut begun = reader.calls;
        let pieces = reader.push(&piece.text);
        let mut logprobs = logprobs(&*self.engine, &piece, self.has_logprobs);
        for piece in pieces {
            begun += usize::from(matches!(piece, Piece::Call(_)));
            let delta = shown(begun.saturating_sub(1), piece);
            events.push(self.delta(index, &delta, &std::mem::take(&mut logprobs), None));
        }
        if !logprobs.is_null() {
            events.push(self.delta(index, &json!({}), &logprobs, None));
        }
        events
    }

    fn done(&mut self, index: usize, finish: FinishReason, origin: &Origin) -> Vec<Value> {
        self.extras.push(*origin);
        let Some(reader) = self.readers.get_mut(index) else { return Vec::new() };
        let (rest, calls) = (reader.finish(), reader.calls);
        let finish = if calls > 0 { call_finish(finish) } else { finish_name(finish) };
        let mut events: Vec<Value> = self.last.take().into_iter().collect();
        if let Some(piece) = rest {
            events.push(self.delta(index, &shown(calls.saturating_sub(1), piece), &Value::Null, None));
        }
        self.last = Some(self.delta(index, &json!({}), &Value::Null, Some(finish)));
        events
    }

    fn close(&mut self, bill: &Bill) -> Vec<Value> {
        let usage = self.include_usage.then(|| self.head.shown(CHUNK, &json!([])));
        close_chunks(self.last.take(), usage, bill, extras(self.extras.iter()))
    }

    fn fail(&mut self, error: &ApiError) -> Value {
        error.body()
    }
}
