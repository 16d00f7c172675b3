//! `table`: describes and queries the tables of the folder.
//!
//! Numbers are decimals of up to 28 digits, added and compared exactly; a mean is rounded to 12 places. What has more
//! digits, or separators in it, is a text.

mod data;
mod query;

use super::folder::Folder;
use super::{Tools, read, schema, unknown};
use data::Data;
use futures::future::BoxFuture;
use query::Query;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Bytes of a table.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Different values that are counted of a column.
const DISTINCT_MAX: usize = 1_000;

/// Tables that are described at once.
const DESCRIBED_MAX: usize = 8;

/// Characters of a value in a description.
const EXAMPLE_CHARS: usize = 40;

pub(super) struct Table {
    folder: Folder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DescribeArguments {
    path: Option<String>,
}

impl Table {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    fn list_tables(&self) -> Result<String, String> {
        let (files, _) = self.folder.files()?;
        let tables = files.iter().filter(|file| data::Format::of(&file.path).is_some());
        let tables: Vec<String> = tables.map(|file| format!("{} ({} bytes)\n", file.path, file.bytes)).collect();
        Ok(if tables.is_empty() { "the folder has no tables".to_owned() } else { tables.concat() })
    }

    fn open(&self, path: &str) -> Result<Data, String> {
        let format = data::Format::of(path)
            .ok_or_else(|| format!("{path:?} is no table: its name ends in .csv, .tsv, .jsonl or .ndjson"))?;
        let text = self.folder.text(path, FILE_BYTES_MAX)?;
        Data::read(format, &text).map_err(|reason| format!("{path:?}: {reason}"))
    }

    fn describe(&self, path: &str) -> Result<String, String> {
        let data = self.open(path)?;
        let mut words = format!("{path}: {} rows, {} columns\n", data.rows.len(), data.columns.len());
        for (index, name) in data.columns.iter().enumerate() {
            let _ = writeln!(words, "{name}: {}", describe_column(&data, index)?);
        }
        Ok(words)
    }

    /// Every table, one after the other; what can't be read says why.
    fn describe_all(&self) -> Result<String, String> {
        let (files, _) = self.folder.files()?;
        let tables = files.iter().filter(|file| data::Format::of(&file.path).is_some()).take(DESCRIBED_MAX);
        let told: Vec<String> =
            tables.map(|file| self.describe(&file.path).unwrap_or_else(|reason| format!("{reason}\n"))).collect();
        Ok(if told.is_empty() { "the folder has no tables".to_owned() } else { told.join("\n") })
    }

    fn do_call(&self, tool: &str, arguments: Value) -> Result<String, String> {
        match tool {
            "list" => read::<Nothing>(arguments).and_then(|Nothing {}| self.list_tables()),
            "describe" => read::<DescribeArguments>(arguments).and_then(|arguments| match arguments.path {
                Some(path) => self.describe(&path),
                None => self.describe_all(),
            }),
            "query" => {
                let query: Query = read(arguments)?;
                query.run(&self.open(&query.path)?)
            }
            _ => Err(unknown(tool)),
        }
    }
}

/// Kind, missing and different values of a column; least, greatest and mean of numbers, a few values of texts.
fn describe_column(data: &Data, column: usize) -> Result<String, String> {
    let cells: Vec<&str> = data.rows.iter().filter_map(|row| row.get(column)?.as_deref()).collect();
    let missing = data.rows.len().saturating_sub(cells.len());
    let mut different = BTreeSet::new();
    // One more than are counted tells that there are more.
    let counted = cells.iter().all(|cell| {
        different.insert(*cell);
        different.len() <= DISTINCT_MAX
    });
    let distinct = if counted { different.len().to_string() } else { format!("over {DISTINCT_MAX}") };
    let numbers: Option<Vec<_>> = cells.iter().map(|cell| data::number(cell)).collect();
    let figures = match numbers {
        Some(numbers) if !numbers.is_empty() => {
            let (least, greatest) = (numbers.iter().min().copied(), numbers.iter().max().copied());
            let whole = numbers.iter().all(|number| number.fract().is_zero());
            let kind = if whole { "whole numbers" } else { "numbers" };
            let mean = query::mean(&numbers).map_or_else(|_| "too large to add".to_owned(), query::in_words);
            let ends = [least, greatest].map(|end| end.map(query::in_words).unwrap_or_default());
            format!("{kind}, min {}, max {}, mean {mean}", ends[0], ends[1])
        }
        _ => {
            let examples = different.iter().take(3).map(|cell| cell.chars().take(EXAMPLE_CHARS).collect::<String>());
            format!("text, such as {}", examples.collect::<Vec<_>>().join(" | "))
        }
    };
    Ok(if cells.is_empty() {
        "empty".to_owned()
    } else {
        format!("{figures}; {distinct} different, {missing} missing")
    })
}

impl Tools for Table {
    fn list(&self) -> Vec<(&'static str, String, Value)> {
        let path = json!({"type": "string", "description": "a path as `list` shows it"});
        let query = "Filters, groups, aggregates and sorts the rows of a table; the answer is CSV. Numbers are exact decimals of up to 28 digits; means are rounded to 12 places. Without group_by and aggregate it returns rows.";
        vec![
            ("list", "Lists the tables of the folder: CSV, TSV and JSON Lines.".to_owned(), schema(&[], 0)),
            (
                "describe",
                "Describes a table, or all of them without a path: rows, and for each column its kind, missing and different values, min, max and mean."
                    .to_owned(),
                schema(&[("path", path.clone())], 0),
            ),
            ("query", query.to_owned(), query::schema(path)),
        ]
    }

    fn call<'a>(&'a self, tool: &'a str, arguments: Value) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move { self.do_call(tool, arguments) })
    }
}

#[cfg(test)]
mod tests;
