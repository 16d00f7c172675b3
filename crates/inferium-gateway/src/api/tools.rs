//! Tools: told to the model in the conversation, and called by it in a form that its grammar allows.
//!
//! The form is the one that Hermes models were trained on, and that other models read as well: `<tool_call>`, a JSON object with name and
//! arguments, `</tool_call>`, each on a line of its own. The grammar holds every model to it, however small.

use super::error::ApiError;
use super::fields::{array, boolean, fields, text};
use super::schema::{closed, rule};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Tools of one request at most.
const TOOLS_MAX: usize = 128;
/// Bytes of a name at most.
const NAME_MAX: usize = 64;
/// What a call begins with, up to its name.
pub(super) const CALL_OPEN: &str = "<tool_call>\n{\"name\": \"";
/// What stands between name and arguments.
pub(super) const CALL_MIDDLE: &str = "\", \"arguments\": ";
/// What a call ends with. It holds a line break, which the arguments never do.
pub(super) const CALL_CLOSE: &str = "}\n</tool_call>";

/// A function that the client can call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tool {
    name: String,
    /// As the model is told of it.
    told: Value,
    /// Rule of its arguments.
    rule: String,
}

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
    pub(super) list: Vec<Tool>,
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
        if !self.may_call() {
            return None;
        }
        let mut told = String::from(
            "You can call functions. These are their signatures, one on each line, within <tools></tools>:\n<tools>\n",
        );
        for tool in &self.list {
            let _ = writeln!(told, "{}", tool.told);
        }
        told.push_str(
            "</tools>\nTo call one, answer with its name and arguments as a JSON object within <tool_call></tool_call>:\n\
             <tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>\n\
             The result comes within <tool_response></tool_response>.",
        );
        Some(told)
    }

    /// The grammar of an answer that is a call, or otherwise `text`: a rule, or `None` for any text.
    pub(super) fn grammar(&self, text: Option<&str>) -> Option<String> {
        if !self.may_call() {
            return text.map(|rule| format!("start: {rule}\n"));
        }
        let may_be_text = matches!(self.choice, None | Some(ToolChoice::Auto));
        let mut grammar = String::new();
        match (may_be_text, text) {
            (false, _) => grammar.push_str("start: calls\n"),
            (true, Some(rule)) => {
                let _ = write!(grammar, "start: calls | other\nother: {rule}\n");
            }
            (true, None) => grammar.push_str("start: calls | OTHER\nOTHER: /(?s:.*)/ & ~/<tool_call>(?s:.*)/\n"),
        }
        grammar.push_str(if self.parallel == Some(false) { "calls: call\n" } else { "calls: call (\"\\n\" call)*\n" });
        let allowed = |tool: &&Tool| match &self.choice {
            Some(ToolChoice::Named(name)) => tool.name == *name,
            _ => true,
        };
        let (mut call, mut rules) = (String::new(), String::new());
        for (index, tool) in self.list.iter().filter(allowed).enumerate() {
            let begin = json!(format!("{CALL_OPEN}{}{CALL_MIDDLE}", tool.name));
            let _ = write!(call, "{} tool_{index}", if index == 0 { "call:" } else { " |" });
            let _ = writeln!(rules, "tool_{index}: {begin} arguments_{index} {}", json!(CALL_CLOSE));
            let _ = writeln!(rules, "arguments_{index}: {}", tool.rule);
        }
        let _ = write!(grammar, "{call}\n{rules}");
        Some(grammar)
    }
}

/// A call of an earlier answer, as the model wrote it.
pub(super) fn written(name: &str, arguments: &str) -> String {
    format!("{CALL_OPEN}{name}{CALL_MIDDLE}{}{CALL_CLOSE}", arguments.trim())
}

/// A tool's result, as the model is told.
pub(super) fn response(content: &str) -> String {
    format!("<tool_response>\n{content}\n</tool_response>")
}

fn read_list(value: &Value) -> Result<Vec<Tool>, ApiError> {
    let items = array("tools", value)?;
    if items.len() > TOOLS_MAX {
        return Err(ApiError::invalid("tools", format!("{} tools; at most {TOOLS_MAX} are allowed", items.len())));
    }
    let tools: Vec<Tool> = items
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

fn read_tool(param: &str, value: &Value) -> Result<Tool, ApiError> {
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

fn read_function(param: &str, list: &Map<String, Value>) -> Result<Tool, ApiError> {
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
    let mut told = json!({"name": name});
    if let Some(told) = told.as_object_mut() {
        for (field, value) in [("description", &description), ("parameters", &parameters)] {
            if !value.is_null() {
                told.insert(field.to_owned(), value.clone());
            }
        }
    }
    let schema = match parameters {
        Value::Object(list) if !list.is_empty() => Value::Object(list),
        _ => json!({"type": "object", "properties": {}}),
    };
    let rule = rule(if is_strict { schema } else { closed(schema) })?;
    Ok(Tool { name, told: json!({"type": "function", "function": told}), rule })
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
