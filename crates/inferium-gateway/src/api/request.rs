//! Reading a chat request: every parameter is honoured, or refused by its name.
//!
//! Limits that workers hold a request to are not checked here, but on what is made of it for them.

use super::asked::{Asked, is_neutral};
use super::error::ApiError;
use super::fields::{array, boolean, fields, positive, text, within};
use super::object;
use super::schema::response_format;
use super::tools::{self, Tools};
use inferium_types::{ChatMessage, limits};
use serde_json::{Map, Value};

/// A chat request as the gateway understands it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChatRequest {
    pub(super) asked: Asked,
    pub(super) messages: Vec<ChatMessage>,
    pub(super) tools: Tools,
}

impl ChatRequest {
    /// Parses a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let list = object(body)?;
        let mut asked = Asked::default();
        let mut tools = Tools::default();
        let mut messages = Vec::new();
        let (mut format, mut longer_max, mut wants_logprobs, mut likeliest) = (None, None, false, None);
        for (name, value) in &list {
            match name.as_str() {
                _ if value.is_null() => {}
                "messages" => messages = conversation(value)?,
                "max_completion_tokens" => longer_max = Some(positive(name, value)?),
                "response_format" => format = response_format(name, value)?,
                "logprobs" => wants_logprobs = boolean(name, value)?,
                "top_logprobs" => likeliest = Some(within(name, value, 0, limits::LIKELIEST_MAX.into())?),
                // Nothing is kept, whatever is asked for.
                "store" => drop(boolean(name, value)?),
                other if asked.take(other, value)? || tools.take(other, value)? || is_neutral(other, value) => {}
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        // Newer clients send the longer name; it wins.
        asked.tokens_max = longer_max.or(asked.tokens_max);
        if likeliest.is_some() && !wants_logprobs {
            return Err(ApiError::invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true"));
        }
        if wants_logprobs {
            asked.shaping.likeliest = Some(u8::try_from(likeliest.unwrap_or(0)).unwrap_or(u8::MAX));
        }
        if messages.is_empty() {
            return Err(ApiError::invalid("messages", "`messages` needs at least one message"));
        }
        Self::new(asked, messages, tools, format.as_deref())
    }

    /// Of its parts; `format` is the rule of an answer that is no call.
    pub(super) fn new(
        mut asked: Asked,
        mut messages: Vec<ChatMessage>,
        tools: Tools,
        format: Option<&str>,
    ) -> Result<Self, ApiError> {
        asked.check()?;
        tools.check()?;
        asked.shaping.grammar = tools.grammar(format);
        if let Some(told) = tools.instructions() {
            match messages.first_mut().filter(|first| first.role == "system") {
                Some(first) => first.content = format!("{}\n\n{told}", first.content),
                None => messages.insert(0, ChatMessage { role: "system".to_owned(), content: told }),
            }
        }
        Ok(Self { asked, messages, tools })
    }
}

/// The turns of a conversation, in words that every model's template knows: calls of tools as the model wrote them, and their results
/// as what the user says next.
fn conversation(value: &Value) -> Result<Vec<ChatMessage>, ApiError> {
    let mut messages: Vec<ChatMessage> = Vec::new();
    let mut last_is_result = false;
    for (index, item) in array("messages", value)?.iter().enumerate() {
        let (message, is_result) = message(index, item)?;
        push(&mut messages, message, (last_is_result, is_result));
        last_is_result = is_result;
    }
    Ok(messages)
}

/// Adds a turn; results of tools that follow each other are one.
pub(super) fn push(messages: &mut Vec<ChatMessage>, message: ChatMessage, are_results: (bool, bool)) {
    match messages.last_mut() {
        Some(last) if are_results == (true, true) => last.content = format!("{}\n{}", last.content, message.content),
        _ => messages.push(message),
    }
}

/// A message, and whether it is a tool's result.
fn message(index: usize, value: &Value) -> Result<(ChatMessage, bool), ApiError> {
    let at = |field: &str| format!("messages[{index}]{field}");
    let list = fields(&at(""), value)?;
    let (mut role, mut content, mut calls, mut speaker, mut answers) = (None, None, Vec::new(), None, false);
    for (name, value) in list {
        match name.as_str() {
            "role" => role = Some(message_role(&at(".role"), value)?),
            "content" if value.is_null() => {}
            "content" => content = Some(message_content(&at(".content"), value)?),
            _ if value.is_null() => {}
            "name" => speaker = Some(text(&at(".name"), value)?),
            "tool_calls" => calls = message_calls(&at(".tool_calls"), value)?,
            "tool_call_id" => answers = text(&at(".tool_call_id"), value).map(|_| true)?,
            "refusal" => content = content.or(Some(text(&at(".refusal"), value)?.to_owned())),
            "annotations" if value.as_array().is_some_and(Vec::is_empty) => {}
            // What an earlier answer said for itself; people may read it, models need not.
            "reasoning_content" | "reasoning" => drop(text(&at(&format!(".{name}")), value)?),
            other => return Err(ApiError::Unsupported { param: at(&format!(".{other}")) }),
        }
    }
    let role = role.ok_or_else(|| ApiError::invalid(&at(".role"), "a message needs a `role`"))?;
    if !calls.is_empty() && role != "assistant" {
        return Err(ApiError::invalid(&at(".tool_calls"), "only the assistant calls tools"));
    }
    if role == "tool" {
        if !answers {
            return Err(ApiError::invalid(&at(".tool_call_id"), "a tool's message needs a `tool_call_id`"));
        }
        let content = content.ok_or_else(|| ApiError::invalid(&at(".content"), "a message needs `content`"))?;
        return Ok((ChatMessage { role: "user".to_owned(), content: tools::response(&content) }, true));
    }
    if content.is_none() && calls.is_empty() {
        return Err(ApiError::invalid(&at(".content"), "a message needs `content`"));
    }
    let spoken = content.filter(|content| !content.is_empty() || calls.is_empty());
    let said = spoken.into_iter().chain(calls).collect::<Vec<_>>().join("\n");
    // Templates know no names: who speaks is said as in a script.
    let content = speaker.map_or_else(|| said.clone(), |name| format!("{name}: {said}"));
    Ok((ChatMessage { role, content }, false))
}

fn message_role(param: &str, value: &Value) -> Result<String, ApiError> {
    match value.as_str() {
        Some(role @ ("system" | "user" | "assistant" | "tool")) => Ok(role.to_owned()),
        // The newer word for the same thing.
        Some("developer") => Ok("system".to_owned()),
        Some("function") => Err(ApiError::Unsupported { param: param.to_owned() }),
        _ => Err(ApiError::invalid(param, "`role` must be system, developer, user, assistant or tool")),
    }
}

/// A text, or the texts of parts, one after the other.
pub(super) fn message_content(param: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part.get("type").and_then(Value::as_str) {
                Some(kind @ ("text" | "input_text" | "output_text" | "refusal")) => {
                    let field = if kind == "refusal" { "refusal" } else { "text" };
                    let text = part.get(field).and_then(Value::as_str).map(str::to_owned);
                    text.ok_or_else(|| ApiError::invalid(param, format!("a {kind} part needs `{field}`")))
                }
                Some(kind) => Err(ApiError::Content { param: format!("{param}[type={kind}]") }),
                None => Err(ApiError::invalid(param, "a content part needs a `type`")),
            })
            .collect(),
        _ => Err(ApiError::invalid(param, "`content` must be a string or a list of text parts")),
    }
}

fn message_calls(param: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let call = |item: &Value| {
        let list = fields(param, item)?;
        let function = fields(&format!("{param}.function"), list.get("function").unwrap_or(&Value::Null))?;
        written_call(&format!("{param}.function"), function)
    };
    array(param, value)?.iter().map(call).collect()
}

/// An earlier call, by fields that hold name and arguments.
pub(super) fn written_call(param: &str, function: &Map<String, Value>) -> Result<String, ApiError> {
    let field = |name: &str| text(&format!("{param}.{name}"), function.get(name).unwrap_or(&Value::Null));
    Ok(tools::written(field("name")?, field("arguments")?))
}

#[cfg(test)]
mod tests;
