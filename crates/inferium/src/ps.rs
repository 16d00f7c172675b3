//! `inferium ps`: what a running network serves.

use crate::admin::Admin;
use crate::cli::{Failure, WatchArgs};
use crate::keys::text;
use crate::output;
use crate::progress::print;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};

pub(crate) async fn run(arguments: WatchArgs) -> Result<(), Failure> {
    let status = Admin::of(arguments.network.data)?.get("/status").await?;
    if output::is_json() {
        let models = status.get("models").cloned().unwrap_or_default();
        return output::print_json(&json!({"height": status.get("height"), "data": models}));
    }
    print(&table(&status))
}

/// The models of a status as a table.
pub(crate) fn table(status: &Value) -> String {
    let mut table = Table::new();
    let head = ["model", "for", "class", "workers", "leases", "running", "slots"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    for row in models(status) {
        table.add_row(row);
    }
    table.to_string()
}

/// The rows of that table.
pub(crate) fn models(status: &Value) -> Vec<[String; 7]> {
    let number = |model: &Value, field: &str| model.get(field).and_then(Value::as_u64).unwrap_or_default().to_string();
    let rows = status.get("models").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    let row = |model: &Value| {
        let workers = model.get("workers").and_then(Value::as_array).map_or(0, Vec::len);
        [
            text(model, "model").to_owned(),
            text(model, "task").to_owned(),
            text(model, "class").to_owned(),
            workers.to_string(),
            number(model, "leases"),
            number(model, "running"),
            number(model, "slots"),
        ]
    };
    rows.iter().map(row).collect()
}
