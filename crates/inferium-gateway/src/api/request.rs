//! Reading a chat request: every parameter is honoured, or refused by its name.
//!
//! Limits that workers hold a request to are not checked here, but on what is made of it for them.

use super::{error::ApiError, object};
use inferium_types::{ChatMessage, SamplingParams};
use serde_json::{Map, Value};

/// Tokens of an answer when the client sets no limit.
const TOKENS_DEFAULT: u32 = 512;
/// Parameters that don't change an answer; taken and not used.
const HARMLESS: [&str; 8] = [
    "user",
    "metadata",
    "service_tier",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
    "reasoning_effort",
];
/// Parameters that are taken at these values only, which ask for nothing.
fn is_neutral(name: &str, value: &Value) -> bool {
    match name {
        "n" => value.as_u64() == Some(1),
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logprobs" => value.as_bool() == Some(false),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        "tool_choice" => value.as_str() == Some("none"),
        "response_format" => value.get("type").and_then(Value::as_str) == Some("text"),
        "modalities" => {
            value.as_array().is_some_and(|list| list.len() == 1 && list.first().and_then(Value::as_str) == Some("text"))
        }
        _ => false,
    }
}

/// A chat request as the gateway understands it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    pub(super) messages: Vec<ChatMessage>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) tokens_max: Option<u32>,
    pub(super) sampling: SamplingParams,
    pub(super) stop: Vec<String>,
    pub(super) seed: Option<u64>,
}

impl ChatRequest {
    /// Parses a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let fields = object(body)?;
        let mut request = Self {
            model: String::new(),
            messages: Vec::new(),
            stream: false,
            include_usage: false,
            tokens_max: None,
            sampling: SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 },
            stop: Vec::new(),
            seed: None,
        };
        let mut legacy_max = None;
        for (name, value) in &fields {
            if value.is_null() {
                continue;
            }
            match name.as_str() {
                "model" => request.model = string(name, value)?,
                "messages" => request.messages = messages(value)?,
                "stream" => request.stream = boolean(name, value)?,
                "stream_options" => request.include_usage = stream_options(value)?,
                "max_completion_tokens" => request.tokens_max = Some(positive(name, value)?),
                "max_tokens" => legacy_max = Some(positive(name, value)?),
                "temperature" => request.sampling.temperature_micro = scaled(name, value, 0.0, 2.0)?,
                "top_p" => request.sampling.top_p_ppm = top_p(value)?,
                "top_k" => request.sampling.top_k = top_k(value)?,
                "stop" => request.stop = stop(value)?,
                "seed" => request.seed = Some(seed(value)?),
                other if HARMLESS.contains(&other) || is_neutral(other, value) => {}
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        // Newer clients send the longer name; it wins.
        request.tokens_max = request.tokens_max.or(legacy_max);
        if request.model.is_empty() {
            return Err(ApiError::invalid("model", "`model` is required"));
        }
        if request.messages.is_empty() {
            return Err(ApiError::invalid("messages", "`messages` needs at least one message"));
        }
        Ok(request)
    }

    /// Tokens of the answer at most, for a prompt of `prompt_tokens` in a context of `context`.
    pub(super) fn answer_limit(&self, prompt_tokens: u32, context: u32) -> Result<u32, ApiError> {
        let room = context.saturating_sub(prompt_tokens);
        let wanted = self.tokens_max.unwrap_or_else(|| TOKENS_DEFAULT.min(room).max(1));
        if wanted > room {
            return Err(ApiError::ContextLength { prompt: prompt_tokens, wanted, context });
        }
        Ok(wanted)
    }
}

fn string(name: &str, value: &Value) -> Result<String, ApiError> {
    value.as_str().map(str::to_owned).ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a string")))
}

fn boolean(name: &str, value: &Value) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be true or false")))
}

fn positive(name: &str, value: &Value) -> Result<u32, ApiError> {
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a whole number of at least 1")))
}

/// A decimal number in millionths, within bounds.
fn scaled(name: &str, value: &Value, least: f64, most: f64) -> Result<u32, ApiError> {
    let bounds = || ApiError::invalid(name, format!("`{name}` must be a number from {least} to {most}"));
    let number = value.as_f64().filter(|number| (least..=most).contains(number)).ok_or_else(bounds)?;
    // Bounded above, so the rounded value fits.
    // Zero has no sign here, whatever the client wrote.
    format!("{:.0}", number * 1e6 + 0.0).parse().map_err(|_| bounds())
}

fn top_p(value: &Value) -> Result<u32, ApiError> {
    match scaled("top_p", value, 0.0, 1.0)? {
        0 => Ok(1),
        parts => Ok(parts),
    }
}

fn top_k(value: &Value) -> Result<u32, ApiError> {
    // -1 is how some servers spell "off".
    if value.as_i64() == Some(-1) {
        return Ok(0);
    }
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| ApiError::invalid("top_k", "`top_k` must be a whole number, 0 or -1 for off"))
}

fn seed(value: &Value) -> Result<u64, ApiError> {
    let negative = value.as_i64().map(i64::cast_unsigned);
    value.as_u64().or(negative).ok_or_else(|| ApiError::invalid("seed", "`seed` must be a 64-bit whole number"))
}

/// How many and how long is what the payload checks.
fn stop(value: &Value) -> Result<Vec<String>, ApiError> {
    let list = match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    list.ok_or_else(|| ApiError::invalid("stop", "`stop` must be a string or a list of strings"))
}

fn stream_options(value: &Value) -> Result<bool, ApiError> {
    let options =
        value.as_object().ok_or_else(|| ApiError::invalid("stream_options", "`stream_options` must be an object"))?;
    let mut include_usage = false;
    for (name, value) in options {
        match name.as_str() {
            "include_usage" => include_usage = boolean("stream_options.include_usage", value)?,
            "include_obfuscation" if value.as_bool() == Some(false) => {}
            other => return Err(ApiError::Unsupported { param: format!("stream_options.{other}") }),
        }
    }
    Ok(include_usage)
}

fn messages(value: &Value) -> Result<Vec<ChatMessage>, ApiError> {
    let list = value.as_array().ok_or_else(|| ApiError::invalid("messages", "`messages` must be a list"))?;
    list.iter().enumerate().map(|(index, item)| message(index, item)).collect()
}

fn message(index: usize, value: &Value) -> Result<ChatMessage, ApiError> {
    let at = |field: &str| format!("messages[{index}]{field}");
    let fields = value.as_object().ok_or_else(|| ApiError::invalid(&at(""), "a message must be an object"))?;
    let mut role = None;
    let mut content = None;
    for (name, value) in fields {
        match name.as_str() {
            "role" => role = Some(message_role(&at(".role"), value)?),
            "content" => content = Some(message_content(&at(".content"), value)?),
            "name" | "refusal" | "audio" | "tool_calls" | "function_call" if value.is_null() => {}
            "annotations" | "tool_calls" if value.as_array().is_some_and(Vec::is_empty) => {}
            other => return Err(ApiError::Unsupported { param: at(&format!(".{other}")) }),
        }
    }
    Ok(ChatMessage {
        role: role.ok_or_else(|| ApiError::invalid(&at(".role"), "a message needs a `role`"))?,
        content: content.ok_or_else(|| ApiError::invalid(&at(".content"), "a message needs `content`"))?,
    })
}

fn message_role(param: &str, value: &Value) -> Result<String, ApiError> {
    match value.as_str() {
        Some(role @ ("system" | "user" | "assistant")) => Ok(role.to_owned()),
        // The newer word for the same thing.
        Some("developer") => Ok("system".to_owned()),
        Some("tool" | "function") => Err(ApiError::Unsupported { param: param.to_owned() }),
        _ => Err(ApiError::invalid(param, "`role` must be system, developer, user or assistant")),
    }
}

fn message_content(param: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part.get("type").and_then(Value::as_str) {
                Some("text") => part
                    .get("text")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
                    .ok_or_else(|| ApiError::invalid(param, "a text part needs `text`")),
                Some(kind) => Err(ApiError::Unsupported { param: format!("{param}[type={kind}]") }),
                None => Err(ApiError::invalid(param, "a content part needs a `type`")),
            })
            .collect(),
        _ => Err(ApiError::invalid(param, "`content` must be a string or a list of text parts")),
    }
}

#[cfg(test)]
mod tests;
