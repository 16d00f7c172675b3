//! Tools: told to a model in the conversation, and called by it in a form that its grammar allows.
//!
//! The form is the one that Hermes models were trained on, and that other models read as well: `<tool_call>`, a JSON object
//! with name and arguments, `</tool_call>`, each on a line of its own. The grammar holds every model to it, however small.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What a call begins with, up to its name.
pub const CALL_OPEN: &str = "<tool_call>\n{\"name\": \"";
/// What stands between name and arguments.
pub const CALL_MIDDLE: &str = "\", \"arguments\": ";
/// What a call ends with. It holds a line break, which the arguments never do.
pub const CALL_CLOSE: &str = "}\n</tool_call>";

/// Keywords under which a part of a schema that lists properties may hold others that some other part lists.
const COMBINING: [&str; 7] =
    ["allOf", "unevaluatedProperties", "patternProperties", "dependentSchemas", "if", "then", "else"];

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name: letters, digits, underscores and dashes.
    pub name: String,
    /// As the model is told of it.
    pub told: Value,
    /// Rule of its arguments ([`rule`]).
    pub rule: String,
}

impl Function {
    /// Of its parts; `parameters` is a JSON schema, or null for a function without any.
    ///
    /// # Errors
    /// [`NotASchema`].
    pub fn new(name: &str, description: &Value, parameters: &Value, is_strict: bool) -> Result<Self, NotASchema> {
        let mut told = Map::from_iter([("name".to_owned(), json!(name))]);
        for (field, value) in [("description", description), ("parameters", parameters)] {
            if !value.is_null() {
                told.insert(field.to_owned(), value.clone());
            }
        }
        let schema = match parameters {
            Value::Object(list) if !list.is_empty() => parameters.clone(),
            _ => json!({"type": "object", "properties": {}}),
        };
        let rule = rule(if is_strict { schema } else { closed(schema) })?;
        Ok(Self { name: name.to_owned(), told: json!({"type": "function", "function": told}), rule })
    }
}

/// What an answer may be besides a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise<'a> {
    /// Nothing.
    Nothing,
    /// Any text that does not begin like a call.
    Text,
    /// What a rule allows.
    Rule(&'a str),
}

/// What the model is told of its functions.
#[must_use]
pub fn instructions(functions: &[Function]) -> String {
    let mut told = String::from(
        "You can call functions. These are their signatures, one on each line, within <tools></tools>:\n<tools>\n",
    );
    for function in functions {
        let _ = writeln!(told, "{}", function.told);
    }
    told.push_str(
        "</tools>\nTo call one, answer with its name and arguments as a JSON object within <tool_call></tool_call>:\n\
         <tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>\n\
         The result comes within <tool_response></tool_response>.",
    );
    told
}

/// The grammar of an answer that calls one of `functions`, several times if `is_parallel`, or is something else.
#[must_use]
pub fn grammar<'a>(
    functions: impl IntoIterator<Item = &'a Function>,
    otherwise: Otherwise<'_>,
    is_parallel: bool,
) -> String {
    let mut grammar = String::new();
    match otherwise {
        Otherwise::Nothing => grammar.push_str("start: calls\n"),
        Otherwise::Rule(rule) => {
            let _ = write!(grammar, "start: calls | other\nother: {rule}\n");
        }
        Otherwise::Text => grammar.push_str("start: calls | OTHER\nOTHER: /(?s:.*)/ & ~/<tool_call>(?s:.*)/\n"),
    }
    grammar.push_str(if is_parallel { "calls: call (\"\\n\" call)*\n" } else { "calls: call\n" });
    let (mut call, mut rules) = (String::new(), String::new());
    for (index, function) in functions.into_iter().enumerate() {
        let begin = json!(format!("{CALL_OPEN}{}{CALL_MIDDLE}", function.name));
        let _ = write!(call, "{} tool_{index}", if index == 0 { "call:" } else { " |" });
        let _ = writeln!(rules, "tool_{index}: {begin} arguments_{index} {}", json!(CALL_CLOSE));
        let _ = writeln!(rules, "arguments_{index}: {}", function.rule);
    }
    let _ = write!(grammar, "{call}\n{rules}");
    grammar
}

/// A call, as a model writes it.
#[must_use]
pub fn written(name: &str, arguments: &str) -> String {
    format!("{CALL_OPEN}{name}{CALL_MIDDLE}{}{CALL_CLOSE}", arguments.trim())
}

/// A tool's result, as the model is told.
#[must_use]
pub fn response(content: &str) -> String {
    format!("<tool_response>\n{content}\n</tool_response>")
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// Text.
    Text(&'a str),
    /// A call: name and arguments. Whatever follows it is not looked at.
    Call(&'a str, &'a str),
    /// A call that a limit cut off.
    CutOff,
}

/// Reads a whole answer.
#[must_use]
pub fn read(answer: &str) -> Said<'_> {
    let Some(call) = answer.strip_prefix(CALL_OPEN) else { return Said::Text(answer) };
    let parts = call.split_once(CALL_MIDDLE);
    parts
        .and_then(|(name, rest)| rest.split_once(CALL_CLOSE).map(|(arguments, _)| (name, arguments)))
        .map_or(Said::CutOff, |(name, arguments)| Said::Call(name, arguments))
}

/// What is given for a schema is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a schema must be an object")]
pub struct NotASchema;

/// The rule of a JSON value of this schema, in the grammar's notation. On one line, with one space after colons and commas:
/// where white space is free, a small model may never find an end of it.
///
/// # Errors
/// [`NotASchema`].
pub fn rule(mut schema: Value) -> Result<String, NotASchema> {
    match &mut schema {
        Value::Object(list) => {
            let style = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
            list.insert("x-guidance".to_owned(), style);
        }
        Value::Bool(true) => return rule(json!({})),
        _ => return Err(NotASchema),
    }
    Ok(format!("%json {schema}"))
}

/// A schema that does not say whether there may be other properties than it lists is read as one that forbids them, since
/// what fits that fits both, and a model that may invent properties does not stop.
#[must_use]
pub fn closed(schema: Value) -> Value {
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
