//! What an answer must look like: `response_format`, and the parameters of tools, as rules of a grammar.

use super::error::ApiError;
use super::fields::{boolean, fields, text};
use serde_json::{Map, Value, json};

/// Keywords under which a part of a schema that lists properties may hold others that some other part lists.
const COMBINING: [&str; 7] =
    ["allOf", "unevaluatedProperties", "patternProperties", "dependentSchemas", "if", "then", "else"];

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

/// The rule of a JSON value of this schema, in the grammar's notation. On one line, with one space after colons and commas: where
/// white space is free, a small model may never find an end of it.
pub(super) fn rule(mut schema: Value) -> Result<String, ApiError> {
    match &mut schema {
        Value::Object(list) => {
            let style = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
            list.insert("x-guidance".to_owned(), style);
        }
        Value::Bool(true) => return rule(json!({})),
        _ => return Err(ApiError::Schema { param: "schema".into(), message: "a schema must be an object".into() }),
    }
    Ok(format!("%json {schema}"))
}

/// A schema that does not say whether there may be other properties than it lists is read as one that forbids them, since what fits that
/// fits both, and a model that may invent properties does not stop.
pub(super) fn closed(schema: Value) -> Value {
    if COMBINING.iter().any(|word| holds(&schema, word)) { schema } else { close(schema) }
}

fn holds(schema: &Value, word: &str) -> bool {
    match schema {
        Value::Object(list) => list.iter().any(|(name, value)| name == word || holds(value, word)),
        Value::Array(items) => items.iter().any(|item| holds(item, word)),
        _ => false,
    }
}

fn close(schema: Value) -> Value {
    match schema {
        Value::Object(list) => {
            let mut list: Map<String, Value> = list
                .into_iter()
                .map(|(name, value)| {
                    let is_data = matches!(name.as_str(), "enum" | "const" | "default" | "examples");
                    (name, if is_data { value } else { close(value) })
                })
                .collect();
            let is_object = list.get("type").and_then(Value::as_str) == Some("object");
            if is_object && list.contains_key("properties") && !list.contains_key("additionalProperties") {
                list.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            Value::Object(list)
        }
        Value::Array(items) => items.into_iter().map(close).collect(),
        other => other,
    }
}
