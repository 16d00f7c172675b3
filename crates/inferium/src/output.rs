//! In what form data goes to stdout: chosen once, when the command line is read.

use crate::cli::Failure;
use crate::progress::print;
use clap::ValueEnum;
use serde_json::Value;
use std::sync::OnceLock;

/// The form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// A line of JSON for each row, where there are rows.
    Ndjson,
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Chooses the form; the first choice stands.
pub(crate) fn choose(format: Format) {
    let _ = FORMAT.set(format);
}

fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// True when programs read what is printed.
pub(crate) fn is_json() -> bool {
    format() != Format::Table
}

/// Prints a document: whole, or row by row.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    match (format(), rows(value)) {
        (Format::Ndjson, Some(rows)) => rows.iter().try_for_each(|row| print(&row.to_string())),
        _ => print(&value.to_string()),
    }
}

/// Prints a document, or these rows of it.
pub(crate) fn print_json_or(value: &Value, rows: &[Value]) -> Result<(), Failure> {
    match format() {
        Format::Ndjson => rows.iter().try_for_each(|row| print(&row.to_string())),
        _ => print(&value.to_string()),
    }
}

/// The rows of a document that is a list, or has one as its `data`.
fn rows(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| value.get("data")?.as_array())
}

#[cfg(test)]
mod tests {
    use super::rows;
    use serde_json::json;

    #[test]
    fn rows_are_those_of_a_list_or_of_its_data() {
        assert_eq!(rows(&json!([1, 2])), Some(&vec![json!(1), json!(2)]));
        assert_eq!(rows(&json!({"height": 3, "data": [{"a": 1}]})), Some(&vec![json!({"a": 1})]));
        assert_eq!(rows(&json!({"data": 7})), None);
        assert_eq!(rows(&json!("text")), None);
    }
}
