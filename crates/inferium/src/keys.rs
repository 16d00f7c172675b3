//! `inferium key`: API keys of a running gateway.

use crate::admin::Admin;
use crate::cli::{Failure, KeyCommand};
use crate::home::date_time;
use crate::output;
use crate::progress::{print, say};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_types::Amount;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create { name, budget, expires, rpm, tpm, models, network } => {
            let wanted = json!({
                "name": name,
                "budget_nano": budget.map(Amount::nano),
                "expires_in_s": expires,
                "requests_per_minute": rpm,
                "tokens_per_minute": tpm,
                "models": (!models.is_empty()).then_some(models),
            });
            let key = Admin::of(network.data)?.ask(Method::POST, "/keys", Some(&wanted)).await?;
            created(&key)
        }
        KeyCommand::List { network } => list(&Admin::of(network.data)?.get("/keys").await?),
        KeyCommand::Revoke { key, network } => {
            if key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c)) {
                return Err(Failure::usage(format!(
                    "{key:?} is no id or name that fits a URL; `inferium key list` has ids"
                )));
            }
            let path = format!("/keys/{}", key.replace(' ', "%20"));
            let revoked = Admin::of(network.data)?.ask(Method::DELETE, &path, None).await?;
            say(&format!("revoked {}", text(&revoked, "id")));
            if output::is_json() { output::print_json(&revoked) } else { Ok(()) }
        }
        KeyCommand::Admin { network } => {
            let address = Admin::of(network.data)?.pages();
            if output::is_json() { output::print_json(&json!({"pages": address})) } else { print(&address) }
        }
        KeyCommand::Usage { network } => usage(&Admin::of(network.data)?.get("/usage").await?),
    }
}

fn created(key: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(key);
    }
    say("This is the key's only copy: the gateway keeps a hash of it.");
    let name = text(key, "name");
    let name = if name.is_empty() { "none" } else { name };
    print(&format!(
        "secret   {}\nid       {}\nname     {name}\nbudget   {}\nexpires  {}\na minute {}\nmodels   {}",
        text(key, "secret"),
        text(key, "id"),
        amount(key, "budget_nano"),
        moment(key, "expires_at_ms"),
        a_minute(key),
        models(key),
    ))
}

fn list(keys: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(keys);
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["id", "name", "status", "budget", "spent", "left", "expires", "models"]);
    for key in rows(keys) {
        table.add_row([
            text(key, "id").to_owned(),
            text(key, "name").to_owned(),
            text(key, "status").to_owned(),
            amount(key, "budget_nano"),
            amount(key, "spent_nano"),
            amount(key, "left_nano"),
            moment(key, "expires_at_ms"),
            models(key),
        ]);
    }
    print(&table.to_string())
}

fn usage(usage: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(usage);
    }
    let mut table = Table::new();
    let head = ["day", "key", "name", "model", "jobs", "prompt tokens", "answer tokens", "cost"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    let number = |row: &Value, field: &str| row.get(field).and_then(Value::as_u64).unwrap_or_default().to_string();
    for row in rows(usage) {
        table.add_row([
            text(row, "day").to_owned(),
            text(row, "key").to_owned(),
            text(row, "name").to_owned(),
            text(row, "model").to_owned(),
            number(row, "jobs"),
            number(row, "prompt_tokens"),
            number(row, "completion_tokens"),
            amount(row, "cost_nano"),
        ]);
    }
    print(&table.to_string())
}

/// The rows of a list.
pub(crate) fn rows(list: &Value) -> &[Value] {
    list.get("data").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A field that is text.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn amount(key: &Value, field: &str) -> String {
    let nano = key.get(field).and_then(Value::as_u64);
    nano.map_or_else(|| "no limit".into(), |nano| Amount::from_nano(nano).to_string())
}

fn moment(key: &Value, field: &str) -> String {
    key.get(field).and_then(Value::as_u64).map_or_else(|| "never".into(), date_time)
}

/// How much it may ask for in a minute.
fn a_minute(key: &Value) -> String {
    let of = |field: &str, what: &str| key.get(field).and_then(Value::as_u64).map(|limit| format!("{limit} {what}"));
    let limits: Vec<String> =
        [of("requests_per_minute", "requests"), of("tokens_per_minute", "tokens")].into_iter().flatten().collect();
    if limits.is_empty() { "no limit".to_owned() } else { limits.join(", ") }
}

fn models(key: &Value) -> String {
    let names = key.get("models").and_then(Value::as_array);
    names.map_or_else(|| "all".into(), |names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
}
