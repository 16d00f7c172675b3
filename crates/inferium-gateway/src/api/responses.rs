//! `POST /v1/responses`: the Responses API without state. Nothing is kept, so nothing can be gone back to.

use super::asked::{Asked, is_empty, is_neutral};
use super::calls::{CallReader, Piece};
use super::choices::{
    Bill, Head, Origin, Prepared, Render, chat_logprobs, choose_model, extras, fresh_id, gather, ifr, name_job,
    prepare, stream, text_engine,
};
use super::error::ApiError;
use super::fields::{array, boolean, fields, positive, string, text, within};
use super::request::{ChatRequest, message_content, push, written_call};
use super::schema::response_format;
use super::tools::{self, Tools};
use super::{ApiState, object, sized, whole_body};
use crate::hub::TextPiece;
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use inferium_engine::Engine;
use inferium_types::{ChatMessage, FinishReason, JobInput, limits};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an answer says again of its request.
const REPEATED: [&str; 11] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];

/// A request as the gateway understands it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResponseRequest {
    chat: ChatRequest,
    repeated: Map<String, Value>,
}

impl ResponseRequest {
    /// Parses a body: every parameter is honoured, or refused by its name.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let list = object(body)?;
        let (mut asked, mut tools, mut format) = (Asked::default(), Tools::default(), None);
        let (mut messages, mut instructions, mut likeliest, mut wants_logprobs) = (Vec::new(), None, None, false);
        for (name, value) in &list {
            match name.as_str() {
                _ if value.is_null() => {}
                "input" => messages = read_input(value)?,
                "instructions" => instructions = Some(string(name, value)?),
                "max_output_tokens" => asked.tokens_max = Some(positive(name, value)?),
                "text" => format = read_text(value)?,
                "top_logprobs" => likeliest = Some(within(name, value, 0, limits::LIKELIEST_MAX.into())?),
                "include" => wants_logprobs = read_include(value)?,
                "reasoning" if value.as_object().is_some_and(|fields| !fields.is_empty() || is_empty(fields)) => {}
                // Nothing is kept, whatever is asked for; the answer says so.
                "store" => drop(boolean(name, value)?),
                "stop" | "n" | "max_tokens" | "logit_bias" | "opening" => {
                    return Err(ApiError::Unsupported { param: name.clone() });
                }
                other if is_neutral(other, value) || asked.take(other, value)? || tools.take(other, value)? => {}
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        if wants_logprobs || likeliest.is_some_and(|count| count > 0) {
            asked.shaping.likeliest = Some(u8::try_from(likeliest.unwrap_or(0)).unwrap_or(u8::MAX));
        }
        if messages.is_empty() {
            return Err(ApiError::invalid("input", "`input` needs at least one message"));
        }
        if let Some(content) = instructions {
            messages.insert(0, ChatMessage { role: "system".to_owned(), content });
        }
        let mut repeated = Map::new();
        for name in REPEATED {
            repeated.insert(
                name.to_owned(),
                list.get(name).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| default_of(name)),
            );
        }
        Ok(Self { chat: ChatRequest::new(asked, messages, tools, format.as_deref())?, repeated })
    }
}

fn default_of(name: &str) -> Value {
    match name {
        "metadata" => json!({}),
        "parallel_tool_calls" => true.into(),
        "reasoning" => json!({"effort": null, "summary": null}),
        "temperature" | "top_p" => json!(1.0),
        "text" => json!({"format": {"type": "text"}}),
        "tool_choice" => "auto".into(),
        "tools" => json!([]),
        _ => Value::Null,
    }
}

fn read_text(value: &Value) -> Result<Option<String>, ApiError> {
    let mut format = None;
    for (name, value) in fields("text", value)? {
        match name.as_str() {
            _ if value.is_null() => {}
            "format" => format = response_format("text.format", value)?,
            "verbosity" => drop(text("text.verbosity", value)?),
            other => return Err(ApiError::Unsupported { param: format!("text.{other}") }),
        }
    }
    Ok(format)
}

fn read_include(value: &Value) -> Result<bool, ApiError> {
    let mut wants_logprobs = false;
    for item in array("include", value)? {
        match item.as_str() {
            Some("message.output_text.logprobs") => wants_logprobs = true,
            // There is no reasoning that could be encrypted.
            Some("reasoning.encrypted_content") => {}
            _ => return Err(ApiError::Unsupported { param: format!("include[{item}]") }),
        }
    }
    Ok(wants_logprobs)
}

/// Items of the input as turns of a conversation.
fn read_input(value: &Value) -> Result<Vec<ChatMessage>, ApiError> {
    if let Value::String(text) = value {
        return Ok(vec![ChatMessage { role: "user".to_owned(), content: text.clone() }]);
    }
    let bad = || ApiError::invalid("input", "`input` must be a string or a list of items");
    let mut messages: Vec<ChatMessage> = Vec::new();
    let mut last_kind = "";
    for (index, item) in array("input", value).map_err(|_| bad())?.iter().enumerate() {
        let at = |field: &str| format!("input[{index}]{field}");
        let list = fields(&at(""), item)?;
        let kind = list.get("type").and_then(Value::as_str).unwrap_or("message");
        let of = |name: &str| list.get(name).unwrap_or(&Value::Null);
        match kind {
            "message" => {
                let role = match of("role").as_str() {
                    Some("developer") => "system",
                    Some(role @ ("system" | "user" | "assistant")) => role,
                    _ => {
                        return Err(ApiError::invalid(
                            &at(".role"),
                            "`role` must be system, developer, user or assistant",
                        ));
                    }
                };
                let content = message_content(&at(".content"), of("content"))?;
                messages.push(ChatMessage { role: role.to_owned(), content });
            }
            "function_call" => {
                let content = written_call(&at(""), list)?;
                match messages.last_mut().filter(|last| last.role == "assistant") {
                    Some(last) => last.content = format!("{}\n{content}", last.content),
                    None => messages.push(ChatMessage { role: "assistant".to_owned(), content }),
                }
            }
            "function_call_output" => {
                text(&at(".call_id"), of("call_id"))?;
                let content = tools::response(&message_content(&at(".output"), of("output"))?);
                let message = ChatMessage { role: "user".to_owned(), content };
                push(&mut messages, message, (last_kind == kind, true));
            }
            other => return Err(ApiError::Unsupported { param: at(&format!("[type={other}]")) }),
        }
        last_kind = kind;
    }
    Ok(messages)
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let key = state.key(&headers)?;
    let payer = key.hash;
    let body = whole_body(body)?;
    let ResponseRequest { chat, repeated } = sized(body.len(), move || ResponseRequest::parse(&body)).await??;
    let ChatRequest { asked, messages, tools } = chat;
    let model = choose_model(&state, &asked, &key)?;
    let (is_stream, has_logprobs) = (asked.stream, asked.shaping.likeliest.is_some());
    let input = JobInput::Chat { messages, shaping: asked.shaping.clone() };
    let Prepared { model, specs } = prepare(model, (asked, payer), vec![input], "input").await?;
    let engine = text_engine(&model)?;
    let mut writer = Writer {
        head: Head::new("resp_", &model),
        repeated,
        engine,
        has_logprobs,
        reader: CallReader::new(tools.may_call()),
        held_logprobs: Vec::new(),
        output: Vec::new(),
        origin: None,
        finish: None,
        sequence: 0,
    };
    if is_stream {
        return stream(&state.hub, specs, writer).await;
    }
    let (wholes, bill) = gather(&state.hub, specs).await?;
    let Some(whole) = wholes.into_iter().next() else { return Err(ApiError::WorkerFailed("no answer".into())) };
    writer.text(0, whole.piece);
    writer.done(0, whole.finish, &whole.origin);
    let body = writer.response(Some(&bill));
    Ok(name_job(Json(body).into_response(), Some(&whole.origin)))
}

/// Writes a response, as events or whole.
struct Writer {
    head: Head,
    repeated: Map<String, Value>,
    engine: Arc<dyn Engine>,
    has_logprobs: bool,
    reader: CallReader,
    /// Of tokens whose text has not come yet.
    held_logprobs: Vec<Value>,
    /// Items so far; the last one may be under way.
    output: Vec<Item>,
    origin: Option<Origin>,
    finish: Option<FinishReason>,
    sequence: u64,
}

/// An item of the output.
enum Item {
    Message { id: String, text: String, logprobs: Vec<Value>, is_done: bool },
    Call { id: String, call: String, name: String, arguments: String, is_done: bool },
}

impl Item {
    fn id(&self) -> &str {
        match self {
            Self::Message { id, .. } | Self::Call { id, .. } => id,
        }
    }

    fn part(text: &str, logprobs: &[Value]) -> Value {
        json!({"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs})
    }

    fn json(&self, finish: Option<FinishReason>) -> Value {
        let status = |is_done: &bool| match (is_done, finish) {
            (false, _) => "in_progress",
            (true, Some(FinishReason::Length)) => "incomplete",
            (true, _) => "completed",
        };
        match self {
            Self::Message { id, text, logprobs, is_done } => {
                let content = if *is_done { json!([Self::part(text, logprobs)]) } else { json!([]) };
                json!({"id": id, "type": "message", "status": status(is_done), "role": "assistant", "content": content})
            }
            Self::Call { id, call, name, arguments, is_done } => json!({
                "id": id, "type": "function_call", "status": status(is_done), "call_id": call, "name": name,
                "arguments": arguments,
            }),
        }
    }
}

impl Writer {
    fn event(&mut self, kind: &str, mut fields: Value) -> Value {
        if let Some(list) = fields.as_object_mut() {
            list.insert("type".to_owned(), kind.into());
            list.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence = self.sequence.saturating_add(1);
        fields
    }

    /// The response as far as it has come; with a bill, whole.
    fn response(&self, bill: Option<&Bill>) -> Value {
        let is_cut = self.finish == Some(FinishReason::Length);
        let status = match (bill, is_cut) {
            (None, _) => "in_progress",
            (Some(_), true) => "incomplete",
            (Some(_), false) => "completed",
        };
        let output: Vec<Value> = match bill {
            Some(_) => self.output.iter().map(|item| item.json(self.finish)).collect(),
            None => Vec::new(),
        };
        let mut shown = json!({
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": if is_cut { json!({"reason": "max_output_tokens"}) } else { Value::Null },
            "model": self.head.model.profile.name,
            "output": output,
            "previous_response_id": null,
            "service_tier": "default",
            "store": false,
            "truncation": "disabled",
            "usage": bill.map(usage),
            "inferium": extras(self.origin.iter()),
        });
        if let Some(list) = shown.as_object_mut() {
            list.extend(self.repeated.clone());
        }
        shown
    }

    /// Begins an item.
    fn begin(&mut self, item: Item) -> Vec<Value> {
        let mut events = self.end_item();
        let (index, shown, id) = (self.output.len(), item.json(None), item.id().to_owned());
        let is_message = matches!(item, Item::Message { .. });
        self.output.push(item);
        events.push(self.event("response.output_item.added", json!({"output_index": index, "item": shown})));
        if is_message {
            let part = Item::part("", &[]);
            let fields = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part});
            events.push(self.event("response.content_part.added", fields));
        }
        events
    }

    /// Ends the item that is under way.
    fn end_item(&mut self) -> Vec<Value> {
        let index = self.output.len().saturating_sub(1);
        let finish = self.finish;
        let mut ended: Vec<(&str, Value)> = Vec::new();
        match self.output.last_mut() {
            Some(item @ Item::Message { is_done: false, .. }) => {
                let id = item.id().to_owned();
                if let Item::Message { text, logprobs, is_done, .. } = item {
                    *is_done = true;
                    let at = json!({"item_id": id, "output_index": index, "content_index": 0});
                    let with = |name: &str, value: Value| {
                        let mut fields = at.clone();
                        if let Some(list) = fields.as_object_mut() {
                            list.insert(name.to_owned(), value);
                        }
                        fields
                    };
                    let mut whole = with("text", text.clone().into());
                    if let Some(list) = whole.as_object_mut() {
                        list.insert("logprobs".to_owned(), logprobs.clone().into());
                    }
                    ended.push(("response.output_text.done", whole));
                    ended.push(("response.content_part.done", with("part", Item::part(text, logprobs))));
                }
                ended.push(("response.output_item.done", json!({"output_index": index, "item": item.json(finish)})));
            }
            Some(item @ Item::Call { is_done: false, .. }) => {
                if let Item::Call { id, name, arguments, is_done, .. } = item {
                    *is_done = true;
                    let fields = json!({"item_id": id, "output_index": index, "name": name, "arguments": arguments});
                    ended.push(("response.function_call_arguments.done", fields));
                }
                ended.push(("response.output_item.done", json!({"output_index": index, "item": item.json(finish)})));
            }
            _ => {}
        }
        ended.into_iter().map(|(kind, fields)| self.event(kind, fields)).collect()
    }

    /// Takes a piece of the answer.
    fn piece(&mut self, piece: Piece, more_logprobs: &mut Vec<Value>) -> Vec<Value> {
        let mut events = Vec::new();
        match piece {
            Piece::Content(delta) => {
                if !matches!(self.output.last(), Some(Item::Message { .. })) {
                    let id = fresh_id("msg_");
                    events =
                        self.begin(Item::Message { id, text: String::new(), logprobs: Vec::new(), is_done: false });
                }
                let index = self.output.len().saturating_sub(1);
                let Some(Item::Message { id, text, logprobs, .. }) = self.output.last_mut() else { return events };
                text.push_str(&delta);
                let new = std::mem::take(more_logprobs);
                logprobs.extend_from_slice(&new);
                let fields = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "delta": delta, "logprobs": new,
                });
                events.push(self.event("response.output_text.delta", fields));
            }
            Piece::Call(name) => {
                let (id, call) = (fresh_id("fc_"), fresh_id("call_"));
                events = self.begin(Item::Call { id, call, name, arguments: String::new(), is_done: false });
            }
            Piece::Arguments(delta) => {
                let index = self.output.len().saturating_sub(1);
                let Some(Item::Call { id, arguments, .. }) = self.output.last_mut() else { return events };
                arguments.push_str(&delta);
                let fields = json!({"item_id": id, "output_index": index, "delta": delta});
                events.push(self.event("response.function_call_arguments.delta", fields));
            }
        }
        events
    }
}

fn usage(bill: &Bill) -> Value {
    json!({
        "input_tokens": bill.usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": bill.usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": bill.usage.tokens(),
        "cost": ifr(bill.cost),
        "cost_nano": bill.cost.nano(),
    })
}

impl Render for Writer {
    fn open(&mut self) -> Vec<Value> {
        let response = self.response(None);
        vec![
            self.event("response.created", json!({"response": response})),
            self.event("response.in_progress", json!({"response": response})),
        ]
    }

    fn text(&mut self, _: usize, piece: TextPiece) -> Vec<Value> {
        // Those of tokens whose text is not certain yet come with the text.
        let mut logprobs = std::mem::take(&mut self.held_logprobs);
        if self.has_logprobs {
            logprobs.extend(chat_logprobs(&*self.engine, &piece));
        }
        let pieces = self.reader.push(&piece.text);
        let events = pieces.into_iter().flat_map(|piece| self.piece(piece, &mut logprobs)).collect();
        self.held_logprobs = logprobs;
        events
    }

    fn done(&mut self, _: usize, finish: FinishReason, origin: &Origin) -> Vec<Value> {
        self.origin = Some(*origin);
        self.finish = Some(finish);
        let mut events = Vec::new();
        if let Some(piece) = self.reader.finish() {
            let mut held = std::mem::take(&mut self.held_logprobs);
            events.extend(self.piece(piece, &mut held));
            self.held_logprobs = held;
        }
        if let Some(Item::Message { logprobs, .. }) = self.output.last_mut() {
            logprobs.append(&mut self.held_logprobs);
        }
        if self.output.is_empty() {
            // An empty answer is one.
            events.extend(self.piece(Piece::Content(String::new()), &mut Vec::new()));
        }
        events.extend(self.end_item());
        events
    }

    fn close(&mut self, bill: &Bill) -> Vec<Value> {
        let response = self.response(Some(bill));
        let is_cut = self.finish == Some(FinishReason::Length);
        let kind = if is_cut { "response.incomplete" } else { "response.completed" };
        vec![self.event(kind, json!({"response": response}))]
    }

    fn fail(&mut self, error: &ApiError) -> Value {
        let body = error.body();
        let of = |name: &str| body.get("error").and_then(|error| error.get(name)).cloned().unwrap_or(Value::Null);
        let fields = json!({"code": of("code"), "message": of("message"), "param": of("param")});
        self.event("error", fields)
    }

    fn is_named(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
