//! What an answer must look like: `response_format`, and the parameters of tools, as rules of a grammar.

use super::error::ApiError;
use super::fields::{boolean, fields, text};
use inferium_agent::form::{self, NotASchema, closed};
use serde_json::{Map, Value, json};

/// The rule that a `response_format` asks for; `None` for any text.
pub(super) fn response_format(param: &str, value: &Value) -> Result<Option<String>, ApiError> {
    let list = fields(param, value)?;
    match text(&format!("{param}.type"), list.get("type").unwrap_or(&Value::Null))? {
        "text" => Ok(None),
        "json_object" => rule(json!({"type": "object"})).map(Some),
        // The Responses API has the schema's fields beside the type, chat completions one level below.
        "json_schema" => match list.get("json_schema") {
            Some(inner) => schema(&format!("{param}.json_schema"), fields(param, inner)?).map(Some),
            None => schema(param, list).map(Some),
        },
        kind => Err(ApiError::Unsupported { param: format!("{param}[type={kind}]") }),
    }
}

fn schema(param: &str, list: &Map<String, Value>) -> Result<String, ApiError> {
    let (mut found, mut is_strict) = (None, false);
    for (name, value) in list {
        match name.as_str() {
            _ if value.is_null() => {}
            "schema" => found = Some(value.clone()),
            "strict" => is_strict = boolean(&format!("{param}.strict"), value)?,
            "name" | "description" | "type" => drop(text(&format!("{param}.{name}"), value)?),
            other => return Err(ApiError::Unsupported { param: format!("{param}.{other}") }),
        }
    }
    let found = found.ok_or_else(|| ApiError::invalid(param, format!("`{param}` needs a `schema`")))?;
    rule(if is_strict { found } else { closed(found) })
}

/// The rule of a JSON value of this schema ([`form::rule`]).
fn rule(schema: Value) -> Result<String, ApiError> {
    form::rule(schema).map_err(|error| refused(&error))
}

/// What is given for a schema is none.
pub(super) fn refused(error: &NotASchema) -> ApiError {
    ApiError::Schema { param: "schema".into(), message: error.to_string() }
}
