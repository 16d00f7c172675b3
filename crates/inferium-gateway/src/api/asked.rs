//! What requests for text have in common: the model, how it draws, how the answer is shaped and given.

use super::error::ApiError;
use super::fields::{array, boolean, fields, integer, positive, scaled, scaled_up, string, strings, within};
use super::routing::Routing;
use inferium_types::{SamplingParams, Shaping, limits};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Tokens of an answer when the client sets no limit.
pub(super) const TOKENS_DEFAULT: u32 = 512;
/// Answers to one request at most.
pub(super) const CHOICES_MAX: u32 = 16;
/// Parameters that don't change an answer; taken and not used.
pub(super) const HARMLESS: [&str; 8] = [
    "user",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "verbosity",
];

/// What requests for text have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// The model; further ones are tried in their order when no worker serves it.
    pub(super) models: Vec<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) tokens_max: Option<u32>,
    pub(super) sampling: SamplingParams,
    pub(super) shaping: Shaping,
    pub(super) seed: Option<u64>,
    /// Answers, each drawn by itself.
    pub(super) choices: u32,
    pub(super) routing: Routing,
    /// Whether the client is to be able to show others what was asked and answered.
    pub(super) opening: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            stream: false,
            include_usage: false,
            tokens_max: None,
            sampling: SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 },
            shaping: Shaping::default(),
            seed: None,
            choices: 1,
            routing: Routing::default(),
            opening: false,
        }
    }
}

impl Asked {
    /// Takes a parameter that all such requests know; false for any other.
    pub(super) fn take(&mut self, name: &str, value: &Value) -> Result<bool, ApiError> {
        match name {
            "model" => self.models.insert(0, string(name, value)?),
            "models" => self.models.extend(strings(name, value)?),
            "stream" => self.stream = boolean(name, value)?,
            "stream_options" => self.include_usage = stream_options(value)?,
            "temperature" => self.sampling.temperature_micro = scaled_up(name, value, 2.0)?,
            "top_p" => self.sampling.top_p_ppm = scaled_up(name, value, 1.0)?.max(1),
            "top_k" => self.sampling.top_k = top_k(value)?,
            "stop" => self.shaping.stop = stop(value)?,
            "seed" => self.seed = Some(seed(value)?),
            "n" => self.choices = within(name, value, 1, CHOICES_MAX)?,
            "presence_penalty" => self.shaping.presence_penalty_micro = scaled(name, value, -2.0, 2.0)?,
            "frequency_penalty" => self.shaping.frequency_penalty_micro = scaled(name, value, -2.0, 2.0)?,
            "logit_bias" => self.shaping.bias = logit_bias(value)?,
            "max_tokens" => self.tokens_max = Some(positive(name, value)?),
            "provider" => self.routing = Routing::read(value)?,
            "opening" => self.opening = boolean(name, value)?,
            other => return Ok(HARMLESS.contains(&other)),
        }
        Ok(true)
    }

    /// What can be said of the whole once all of it is read.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.models.first().is_none_or(String::is_empty) {
            return Err(ApiError::invalid("model", "`model` is required"));
        }
        if self.opening && self.stream {
            return Err(ApiError::invalid(
                "opening",
                "`opening` is part of a whole answer: it can't be had of a stream",
            ));
        }
        Ok(())
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

fn top_k(value: &Value) -> Result<u32, ApiError> {
    // -1 is how some servers spell "off".
    let number = integer(value);
    if number == Some(-1) {
        return Ok(0);
    }
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| ApiError::invalid("top_k", "`top_k` must be a whole number, 0 or -1 for off"))
}

fn seed(value: &Value) -> Result<u64, ApiError> {
    let number = integer(value).and_then(|number| {
        let negative = || i64::try_from(number).ok().map(i64::cast_unsigned);
        u64::try_from(number).ok().or_else(negative)
    });
    number.ok_or_else(|| ApiError::invalid("seed", "`seed` must be a 64-bit whole number"))
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

/// By rising token, as jobs have it.
fn logit_bias(value: &Value) -> Result<Vec<(u32, i32)>, ApiError> {
    const NAME: &str = "logit_bias";
    let list = fields(NAME, value)?;
    if list.len() > limits::BIASED_TOKENS_MAX {
        let message = format!("`{NAME}` has {} tokens; at most {} are allowed", list.len(), limits::BIASED_TOKENS_MAX);
        return Err(ApiError::invalid(NAME, message));
    }
    let mut bias = BTreeMap::new();
    for (token, value) in list {
        let id = token.parse().map_err(|_| ApiError::invalid(NAME, format!("`{token}` in `{NAME}` is not a token")))?;
        bias.insert(id, scaled(NAME, value, -100.0, 100.0)?);
    }
    Ok(bias.into_iter().collect())
}

fn stream_options(value: &Value) -> Result<bool, ApiError> {
    let mut include_usage = false;
    for (name, value) in fields("stream_options", value)? {
        match name.as_str() {
            "include_usage" => include_usage = boolean("stream_options.include_usage", value)?,
            "include_obfuscation" if value.as_bool() == Some(false) => {}
            other => return Err(ApiError::Unsupported { param: format!("stream_options.{other}") }),
        }
    }
    Ok(include_usage)
}

/// Parameters that are taken at these values only, which ask for nothing.
pub(super) fn is_neutral(name: &str, value: &Value) -> bool {
    match name {
        "functions" => array(name, value).is_ok_and(<[Value]>::is_empty),
        "store" | "echo" | "background" => value.as_bool() == Some(false),
        "suffix" => value.as_str() == Some(""),
        "best_of" => integer(value) == Some(1),
        "truncation" => value.as_str() == Some("disabled"),
        "include" => array(name, value).is_ok_and(<[Value]>::is_empty),
        "modalities" => {
            array(name, value).is_ok_and(|list| list.len() == 1 && list.first().and_then(Value::as_str) == Some("text"))
        }
        _ => false,
    }
}

/// A JSON object that is empty, or holds nothing but nulls.
pub(super) fn is_empty(fields: &Map<String, Value>) -> bool {
    fields.values().all(Value::is_null)
}
