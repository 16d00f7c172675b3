//! Tools of requests: read, and brought into the form in which models are told of them and call them ([`inferium_agent::form`]).

use super::error::ApiError;
use super::fields::{array, boolean, fields, text};
use inferium_agent::form::{self, Function, Otherwise};
pub(super) use inferium_agent::form::{CALL_CLOSE, CALL_MIDDLE, CALL_OPEN, response, written};
use serde_json::{Map, Value};

/// Tools of one request at most.
pub(super) const TOOLS_MAX: usize = 128;
/// Bytes of a name at most.
pub(super) const NAME_MAX: usize = 64;
/// Which tools the model may call, or must.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum ToolChoice {
    /// None.
    None,
    /// As it likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The tools of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tools {
    pub(super) list: Vec<Function>,
    pub(super) choice: Option<ToolChoice>,
    /// More than one call in an answer; `None` if the client does not say.
    pub(super) parallel: Option<bool>,
}

impl Tools {
    /// Takes a parameter about tools; false for any other.
    pub(super) fn take(&mut self, name: &str, value: &Value) -> Result<bool, ApiError> {
        match name {
            "tools" => self.list = read_list(value)?,
            "tool_choice" => self.choice = Some(read_choice(value)?),
            "parallel_tool_calls" => self.parallel = Some(boolean(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// True when an answer may hold calls.
    pub(super) fn may_call(&self) -> bool {
        !self.list.is_empty() && self.choice != Some(ToolChoice::None)
    }

    /// Checks that what must be called is there.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        match &self.choice {
            Some(ToolChoice::Required) if self.list.is_empty() => {
                Err(ApiError::invalid("tool_choice", "`tool_choice` is required, but there are no `tools`"))
            }
            Some(ToolChoice::Named(name)) if !self.list.iter().any(|tool| tool.name == *name) => {
                Err(ApiError::invalid("tool_choice", format!("`tool_choice` names `{name}`, which is not in `tools`")))
            }
            _ => Ok(()),
        }
    }

    /// What the model is told; `None` if it may not call anything.
    pub(super) fn instructions(&self) -> Option<String> {
        self.may_call().then(|| form::instructions(&self.list))
    }

    /// The grammar of an answer that is a call, or otherwise `text`: a rule, or `None` for any text.
    pub(super) fn grammar(&self, text: Option<&str>) -> Option<String> {
        if !self.may_call() {
            return text.map(|rule| format!("start: {rule}\n"));
        }
        let may_be_text = matches!(self.choice, None | Some(ToolChoice::Auto));
        let otherwise = match (may_be_text, text) {
            (false, _) => Otherwise::Nothing,
            (true, Some(rule)) => Otherwise::Rule(rule),
            (true, None) => Otherwise::Text,
        };
        let allowed = |tool: &&Function| match &self.choice {
            Some(ToolChoice::Named(name)) => tool.name == *name,
            _ => true,
        };
        Some(form::grammar(self.list.iter().filter(allowed), otherwise, self.parallel != Some(false)))
    }
}

fn read_list(value: &Value) -> Result<Vec<Function>, ApiError> {
    let items = array("tools", value)?;
    if items.len() > TOOLS_MAX {
        return Err(ApiError::invalid("tools", format!("{} tools; at most {TOOLS_MAX} are allowed", items.len())));
    }
    let tools: Vec<Function> = items
        .iter()
        .enumerate()
        .map(|(index, item)| read_tool(&format!("tools[{index}]"), item))
        .collect::<Result<_, _>>()?;
    for (index, tool) in tools.iter().enumerate() {
        if tools.iter().take(index).any(|other| other.name == tool.name) {
            return Err(ApiError::invalid("tools", format!("two tools have the name `{}`", tool.name)));
        }
    }
    Ok(tools)
}

fn read_tool(param: &str, value: &Value) -> Result<Function, ApiError> {
    let list = fields(param, value)?;
    let kind = text(&format!("{param}.type"), list.get("type").unwrap_or(&Value::Null))?;
    if kind != "function" {
        return Err(ApiError::Unsupported { param: format!("{param}[type={kind}]") });
    }
    // The Responses API has the function's fields beside the type, chat completions one level below.
    match list.get("function") {
        Some(function) => {
            if let Some(other) = list.keys().find(|name| !matches!(name.as_str(), "type" | "function")) {
                return Err(ApiError::Unsupported { param: format!("{param}.{other}") });
            }
            let param = format!("{param}.function");
            read_function(&param, fields(&param, function)?)
        }
        None => read_function(param, list),
    }
}

fn read_function(param: &str, list: &Map<String, Value>) -> Result<Function, ApiError> {
    let (mut found, mut description, mut parameters, mut is_strict) = (None, Value::Null, Value::Null, false);
    for (name, value) in list {
        let field = format!("{param}.{name}");
        match name.as_str() {
            _ if value.is_null() => {}
            "name" => found = Some(read_name(&field, value)?),
            "description" => description = Value::String(text(&field, value)?.to_owned()),
            "parameters" => parameters = Value::Object(fields(&field, value)?.clone()),
            "strict" => is_strict = boolean(&field, value)?,
            "type" => {}
            _ => return Err(ApiError::Unsupported { param: field }),
        }
    }
    let name = found.ok_or_else(|| ApiError::invalid(param, format!("`{param}` needs a `name`")))?;
    Function::new(&name, &description, &parameters, is_strict).map_err(|error| super::schema::refused(&error))
}

fn read_name(param: &str, value: &Value) -> Result<String, ApiError> {
    let name = text(param, value)?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if name.is_empty() || name.len() > NAME_MAX || !is_plain {
        let message = format!("`{param}` must be 1 to {NAME_MAX} letters, digits, underscores or dashes");
        return Err(ApiError::invalid(param, message));
    }
    Ok(name.to_owned())
}

fn read_choice(value: &Value) -> Result<ToolChoice, ApiError> {
    const NAME: &str = "tool_choice";
    let bad =
        || ApiError::invalid(NAME, "`tool_choice` must be none, auto, required or an object that names a function");
    match value {
        Value::String(word) => match word.as_str() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            _ => Err(bad()),
        },
        Value::Object(list) if list.get("type").and_then(Value::as_str) == Some("function") => {
            let name = list.get("function").and_then(|function| function.get("name")).or_else(|| list.get("name"));
            name.and_then(Value::as_str).map(|name| ToolChoice::Named(name.to_owned())).ok_or_else(bad)
        }
        Value::Object(list) if list.contains_key("type") => {
            Err(ApiError::Unsupported { param: format!("{NAME}[type={}]", list.get("type").unwrap_or(&Value::Null)) })
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests;
