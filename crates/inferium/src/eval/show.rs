//! What people and programs read of suites and runs.

use super::{load, percent};
use crate::cli::Failure;
use crate::output;
use crate::progress::print;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_eval::{BUILTIN, Item, Results, Score, Suite, Summary, Target, Template};
use inferium_types::Amount;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Items that are shown of a suite.
const SAMPLES: usize = 3;

pub(super) fn list() -> Result<(), Failure> {
    let suites: Vec<Suite> = BUILTIN.into_iter().map(load).collect::<Result<_, _>>()?;
    if output::is_json() {
        return output::print_json(&json!({ "data": suites.iter().map(about).collect::<Vec<_>>() }));
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["suite", "version", "items", "scores", "what it asks"]);
    for suite in &suites {
        table.add_row([
            suite.name().to_owned(),
            suite.version().to_string(),
            suite.items().len().to_string(),
            suite.scorer().metrics().join(", "),
            suite.about().to_owned(),
        ]);
    }
    print(&table.to_string())
}

fn about(suite: &Suite) -> Value {
    json!({
        "name": suite.name(),
        "version": suite.version(),
        "id": suite.id().to_string(),
        "about": suite.about(),
        "items": suite.items().len(),
        "scorer": suite.scorer().kind(),
        "scores": suite.scorer().metrics(),
        "asks": asks(suite.template()),
    })
}

/// How a model is asked, in words.
fn asks(template: &Template) -> String {
    match template {
        Template::Completion { delimiter, .. } => {
            format!("raw text without the chat template; choices are scored after {delimiter:?}, nothing is generated")
        }
        Template::Chat { tokens_max, stop, .. } => {
            let stop = if stop.is_empty() { String::new() } else { format!(", ended by {stop:?}") };
            format!("a conversation in the model's chat template, temperature 0, at most {tokens_max} tokens{stop}")
        }
        Template::Embedding {} => "input and passage become vectors, as they stand".to_owned(),
    }
}

pub(super) fn suite(suite: &Suite) -> Result<(), Failure> {
    if output::is_json() {
        let items: Vec<Value> = suite.items().iter().map(|item| item_json(suite, item)).collect();
        let mut document = about(suite);
        document["data"] = json!(items);
        return output::print_json(&document);
    }
    let mut lines = vec![
        format!("suite    {} version {}: {}", suite.name(), suite.version(), suite.about()),
        format!("id       {}", suite.id()),
        format!("items    {}", suite.items().len()),
        format!("asks     {}", asks(suite.template())),
        format!("scores   {} (scorer `{}`)", suite.scorer().metrics().join(", "), suite.scorer().kind()),
    ];
    for item in suite.items().iter().take(SAMPLES) {
        lines.push(format!("item     {}: {}", item.id, suite.prompt(item)));
        lines.push(format!("         {}", right(&item.target)));
    }
    print(&lines.join("\n"))
}

fn right(target: &Target) -> String {
    match target {
        Target::Choice { choices, answer } => {
            let right = choices.get(*answer).map_or("", String::as_str);
            format!("{}; right: {right}", choices.join(" | "))
        }
        Target::Text(text) => format!("right: {text}"),
        Target::Schema(schema) => format!("right: what fits {schema}"),
        Target::Passage(passage) => format!("right: {passage}"),
    }
}

fn item_json(suite: &Suite, item: &Item) -> Value {
    let mut row = json!({"id": item.id, "prompt": suite.prompt(item)});
    match &item.target {
        Target::Choice { choices, answer } => {
            row["choices"] = json!(choices);
            row["answer"] = json!(answer);
        }
        Target::Text(text) => row["answer"] = json!(text),
        Target::Schema(schema) => row["schema"] = schema.clone(),
        Target::Passage(passage) => row["passage"] = json!(passage),
    }
    row
}

/// A run that was checked, or just made.
pub(super) fn run(suite: &Suite, results: &Results, file: Option<&Path>) -> Result<(), Failure> {
    let Some(summary) = &results.summary else { return Err(Failure::failed("the run has no summary")) };
    let file = file.map(|path| path.display().to_string());
    if output::is_json() {
        let mut document = run_json(results, summary);
        document.insert("file".into(), json!(file));
        return output::print_json(&document.into());
    }
    let mut lines = in_words(suite, results, summary, false);
    lines.extend(file.map(|file| format!("{:11} {file}", "file")));
    print(&lines.join("\n"))
}

pub(super) fn run_json(results: &Results, summary: &Summary) -> Map<String, Value> {
    let mut document = Map::new();
    for part in [json!(results.head), json!(summary)] {
        if let Value::Object(fields) = part {
            document.extend(fields.into_iter().filter(|(name, _)| name != "version"));
        }
    }
    document
}

/// A run in words; `is_checked`: its receipts were, against the network's key.
pub(super) fn in_words(suite: &Suite, results: &Results, summary: &Summary, is_checked: bool) -> Vec<String> {
    let head = &results.head;
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        ("suite", format!("{} version {} ({})", suite.name(), suite.version(), suite.id())),
        ("model", format!("{} (weights {})", head.model, head.weights_root.clone().unwrap_or_else(unknown))),
        ("items", format!("{} of {}", summary.items, summary.suite_items)),
    ];
    rows.extend(summary.scores.iter().map(|score| (score.metric.as_str(), score_in_words(score))));
    let speed = summary.tokens_per_second_milli / 1_000;
    let (prompt, answer, cost) = (summary.prompt_tokens, summary.completion_tokens, summary.cost_nano);
    let receipts = match summary.receipts_ppm {
        0 => "none here; --receipts waits for them".to_owned(),
        share if is_checked => format!("final for {} % of the items", percent(share)),
        share => format!("in the file for {} % of the items, unchecked", percent(share)),
    };
    rows.extend([
        ("time", format!("{} ms an item (median), {speed} tokens a second and item", summary.milliseconds_median)),
        ("usage", format!("{prompt} tokens of prompts, {answer} of answers; {}", Amount::from_nano(cost))),
        ("checks", head.verification.clone().unwrap_or_else(unknown)),
        ("receipts", receipts),
        ("answers", format!("{} (the same for every run with these answers)", summary.answers_digest)),
        ("again", head.command.clone()),
    ]);
    rows.into_iter().map(|(name, text)| format!("{name:11} {text}")).collect()
}

/// A score with its interval.
pub(super) fn score_in_words(score: &Score) -> String {
    let interval = score.interval;
    format!("{} % ({} to {})", percent(interval.mean), percent(interval.low), percent(interval.high))
}
