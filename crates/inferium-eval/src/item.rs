//! Items of a suite, a line of JSON each.

use crate::suite::{InvalidSuite, Scorer};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// One question and what is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, another for each.
    pub id: String,
    /// What the model is asked about.
    pub input: String,
    /// What is right.
    pub target: Target,
}

/// What is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One of several texts.
    Choice {
        /// The texts; at least two.
        choices: Vec<String>,
        /// Index of the right one.
        answer: usize,
    },
    /// A text.
    Text(String),
    /// JSON that fits a JSON schema.
    Schema(Value),
    /// The passage that is meant, among those of all items.
    Passage(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceLine {
    id: String,
    input: String,
    choices: Vec<String>,
    answer: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextLine {
    id: String,
    input: String,
    answer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaLine {
    id: String,
    input: String,
    schema: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PassageLine {
    id: String,
    input: String,
    passage: String,
}

/// The items of a suite with this scorer.
pub(crate) fn parse(scorer: &Scorer, text: &str) -> Result<Vec<Item>, InvalidSuite> {
    let mut ids = BTreeSet::new();
    let mut items = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let at = |reason: String| InvalidSuite::Item { line, reason };
        let item = parse_line(scorer, content).map_err(at)?;
        if !ids.insert(item.id.clone()) {
            return Err(at(format!("the id {:?} was there before", item.id)));
        }
        items.push(item);
    }
    Ok(items)
}

fn parse_line(scorer: &Scorer, line: &str) -> Result<Item, String> {
    if line.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let item = match scorer {
        Scorer::Choice { .. } => {
            let ChoiceLine { id, input, choices, answer } = read(line)?;
            check_choices(&choices, answer)?;
            // Such a space would be a part of the choice's tokens (see the template's delimiter).
            if input.trim() != input {
                return Err("the input has white space around it".to_owned());
            }
            Item { id, input, target: Target::Choice { choices, answer } }
        }
        Scorer::Exact { .. } => {
            let TextLine { id, input, answer } = read(line)?;
            if answer.is_empty() || answer.trim() != answer {
                return Err("the answer is empty, or has white space around it".to_owned());
            }
            Item { id, input, target: Target::Text(answer) }
        }
        Scorer::Json {} => {
            let SchemaLine { id, input, schema } = read(line)?;
            jsonschema::validator_for(&schema).map_err(|error| format!("the schema: {error}"))?;
            Item { id, input, target: Target::Schema(schema) }
        }
        Scorer::Retrieval {} => {
            let PassageLine { id, input, passage } = read(line)?;
            if passage.trim().is_empty() {
                return Err("the passage is empty".to_owned());
            }
            Item { id, input, target: Target::Passage(passage) }
        }
    };
    if item.id.is_empty() || item.input.trim().is_empty() {
        return Err("the id or the input is empty".to_owned());
    }
    Ok(item)
}

fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

fn check_choices(choices: &[String], answer: usize) -> Result<(), String> {
    let distinct: BTreeSet<&String> = choices.iter().collect();
    if choices.len() < 2 || distinct.len() != choices.len() {
        return Err("at least two choices are expected, each another".to_owned());
    }
    if choices.iter().any(|choice| choice.is_empty() || choice.trim() != choice) {
        return Err("a choice is empty, or has white space around it".to_owned());
    }
    if answer >= choices.len() {
        return Err(format!("the answer is choice {answer}, and there are {}, from 0", choices.len()));
    }
    Ok(())
}
