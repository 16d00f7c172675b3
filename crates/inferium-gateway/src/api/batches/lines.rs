//! The lines of a batch's file: each a request.

use crate::store::{Endpoint, Fault};
use axum::body::Bytes;
use inferium_types::TaskKind;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Lines of a file at most.
pub(in crate::api) const LINES_MAX: usize = 50_000;
/// Characters of a line's name at most.
const CUSTOM_ID_MAX: usize = 512;
/// Faults that are told at most.
const FAULTS_MAX: usize = 100;
/// Kind of the leases that batches run on.
pub(super) const KIND: TaskKind = TaskKind::Batch;

/// A request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 0.
    pub(super) number: u32,
    pub(super) custom_id: String,
    /// The model that it names, of several the first.
    pub(super) model: Option<String>,
    pub(super) body: Bytes,
}

/// Reads a file; all that is wrong with it, if something is.
pub(super) fn read(content: &[u8], endpoint: Endpoint) -> Result<Vec<Line>, Vec<Fault>> {
    let (mut lines, mut faults, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    let whole = |code: &str, message: String| vec![Fault { code: code.into(), message, param: None, line: None }];
    let written = content.split(|byte| *byte == b'\n').zip(0u32..);
    for (text, number) in written.filter(|(text, _)| !text.trim_ascii().is_empty()) {
        if lines.len() >= LINES_MAX {
            return Err(whole("too_many_lines", format!("a batch has at most {LINES_MAX} lines")));
        }
        match read_line(text, number, endpoint) {
            Ok(line) if names.insert(line.custom_id.clone()) => lines.push(line),
            Ok(line) => {
                let message =
                    format!("`custom_id` must be another one in each line; `{}` is there twice", line.custom_id);
                faults.push(fault(number, "duplicate_custom_id", Some("custom_id"), message));
            }
            Err(found) => faults.push(found),
        }
        if faults.len() >= FAULTS_MAX {
            break;
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if lines.is_empty() {
        return Err(whole("empty_file", "the file has no lines".into()));
    }
    Ok(lines)
}

fn fault(number: u32, code: &str, param: Option<&str>, message: impl Into<String>) -> Fault {
    let param = param.map(str::to_owned);
    Fault { code: code.into(), message: message.into(), param, line: Some(number.saturating_add(1)) }
}

fn read_line(text: &[u8], number: u32, endpoint: Endpoint) -> Result<Line, Fault> {
    const FIELDS: [&str; 4] = ["custom_id", "method", "url", "body"];
    let invalid = |param: &str, message: &str| fault(number, "invalid_request", Some(param), message);
    let not_json = |message: String| fault(number, "invalid_json_line", None, message);
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| not_json(format!("the line is not a JSON object: {error}")))?;
    if let Some(other) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(invalid(other, "a line has `custom_id`, `method`, `url` and `body`, and nothing else"));
    }
    let custom_id = match fields.remove("custom_id") {
        Some(Value::String(id)) if (1..=CUSTOM_ID_MAX).contains(&id.chars().count()) => id,
        _ => {
            let message = format!("`custom_id` must be a string of 1 to {CUSTOM_ID_MAX} characters");
            return Err(invalid("custom_id", &message));
        }
    };
    if fields.get("method").and_then(Value::as_str) != Some("POST") {
        return Err(invalid("method", "`method` must be `POST`"));
    }
    if fields.get("url").and_then(Value::as_str) != Some(endpoint.url()) {
        let message = format!("`url` must be the endpoint of the batch, `{}`", endpoint.url());
        return Err(fault(number, "mismatched_url", Some("url"), message));
    }
    let Some(Value::Object(body)) = fields.remove("body") else {
        return Err(invalid("body", "`body` must be an object"));
    };
    if body.get("stream").is_some_and(|stream| !matches!(stream, Value::Null | Value::Bool(false))) {
        return Err(invalid("body.stream", "a line of a batch can't be streamed"));
    }
    let first = || body.get("models").and_then(|models| models.get(0));
    let model = body.get("model").filter(|model| !model.is_null()).or_else(first);
    let model = model.and_then(Value::as_str).map(str::to_owned);
    Ok(Line { number, custom_id, model, body: Value::Object(body).to_string().into() })
}
