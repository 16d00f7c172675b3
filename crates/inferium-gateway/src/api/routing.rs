//! Which workers a request may go to: the object `provider`, by the names that OpenRouter gave its fields.

use super::error::ApiError;
use super::fields::{boolean, fields, string, strings};
use crate::hub::Preferences;
use inferium_types::{Amount, NodeId, PublicKey};
use serde_json::Value;

/// Which workers a request may go to, and how its results must be verified.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Routing {
    pub(super) preferences: Preferences,
    /// The mode that the model's results must be verified by.
    pub(super) verification: Option<String>,
    /// How its weights may be computed with.
    pub(super) quantizations: Option<Vec<String>>,
}

impl Routing {
    pub(super) fn read(value: &Value) -> Result<Self, ApiError> {
        let mut routing = Self::default();
        let preferences = &mut routing.preferences;
        for (name, value) in fields("provider", value)? {
            let param = format!("provider.{name}");
            match name.as_str() {
                _ if value.is_null() => {}
                "order" => preferences.order = workers(&param, value)?,
                "only" => preferences.only = Some(workers(&param, value)?),
                "ignore" => preferences.ignore = workers(&param, value)?,
                "allow_fallbacks" => preferences.allows_others = boolean(&param, value)?,
                // What workers deliver a second is not known here: the least busy one is taken first.
                "sort" if value.as_str() == Some("price") => preferences.is_by_price = true,
                "max_price" => max_price(value, preferences)?,
                "quantizations" => routing.quantizations = Some(strings(&param, value)?),
                "verification" => routing.verification = Some(string(&param, value)?),
                // Every parameter is honoured here or refused, whoever asks.
                "require_parameters" => drop(boolean(&param, value)?),
                // Prompts are sealed to the workers that read them and to nobody else.
                "data_collection" if matches!(value.as_str(), Some("allow")) => {}
                _ => return Err(ApiError::Unsupported { param }),
            }
        }
        Ok(routing)
    }
}

fn workers(param: &str, value: &Value) -> Result<Vec<NodeId>, ApiError> {
    let node = |id: &String| {
        let key = PublicKey::from_hex(id);
        key.ok_or_else(|| ApiError::invalid(param, format!("`{id}` in `{param}` is not a node's id: 64 hex digits")))
    };
    strings(param, value)?.iter().map(node).collect()
}

/// In IFR for a million tokens, as OpenRouter counts in dollars.
fn max_price(value: &Value, preferences: &mut Preferences) -> Result<(), ApiError> {
    for (name, value) in fields("provider.max_price", value)? {
        let param = format!("provider.max_price.{name}");
        let most = || {
            let written = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let amount: Option<Amount> = written.parse().ok();
            amount.ok_or_else(|| ApiError::invalid(&param, format!("`{param}` must be an amount of IFR")))
        };
        match name.as_str() {
            "prompt" => preferences.prompt_million_max = Some(most()?),
            "completion" => preferences.completion_million_max = Some(most()?),
            _ => return Err(ApiError::Unsupported { param }),
        }
    }
    Ok(())
}
