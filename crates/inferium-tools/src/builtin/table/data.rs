//! Tables as they were read.

use rust_decimal::Decimal;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Columns at most.
const COLUMNS_MAX: usize = 1_000;

/// Digits of numbers as people write them; exponents beyond it are no amounts.
const NUMBER_CHARS_MAX: usize = 40;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Tsv,
    JsonLines,
}

/// Rows of cells, each as many as there are columns; a cell that is missing is `None`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Format {
    /// By the end of a file's name.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

impl Data {
    /// Reads a table.
    ///
    /// # Errors
    /// In words, with the line.
    pub(super) fn read(format: Format, text: &str) -> Result<Self, String> {
        // Spreadsheets write it before everything else.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let data = match format {
            Format::Csv => separated(text, b','),
            Format::Tsv => separated(text, b'\t'),
            Format::JsonLines => json_lines(text),
        }?;
        if data.columns.is_empty() || data.columns.len() > COLUMNS_MAX {
            return Err(format!("it has {} columns; 1 to {COLUMNS_MAX} can be read", data.columns.len()));
        }
        Ok(data)
    }

    /// The number of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize, String> {
        self.columns
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| format!("there is no column {name:?}; there are {}", self.columns.join(", ")))
    }
}

fn separated(text: &str, separator: u8) -> Result<Data, String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?;
    let mut columns: Vec<String> = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let name = header.trim();
        let name = if name.is_empty() { format!("column {}", index.saturating_add(1)) } else { name.to_owned() };
        if columns.contains(&name) {
            return Err(format!("two columns are called {name:?}"));
        }
        columns.push(name);
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        Ok(record.iter().map(|cell| Some(cell.trim()).filter(|cell| !cell.is_empty()).map(str::to_owned)).collect())
    });
    let rows = rows.collect::<Result<_, String>>()?;
    Ok(Data { columns, rows })
}

/// An object a line; columns in the order in which they appear, those of one line by name.
fn json_lines(text: &str) -> Result<Data, String> {
    let mut columns: Vec<String> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // As they are written, so that no digit of a number is lost.
        let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line)
            .map_err(|error| format!("line {}: no object of JSON: {error}", index.saturating_add(1)))?;
        let mut row = vec![None; columns.len()];
        for (name, value) in object {
            let column = *numbers.entry(name.clone()).or_insert_with(|| {
                columns.push(name);
                columns.len().saturating_sub(1)
            });
            if columns.len() > COLUMNS_MAX {
                return Err(format!("line {}: over {COLUMNS_MAX} columns", index.saturating_add(1)));
            }
            row.resize(columns.len(), None);
            if let Some(cell) = row.get_mut(column) {
                *cell = cell_of(value.get());
            }
        }
        rows.push(row);
    }
    for row in &mut rows {
        row.resize(columns.len(), None);
    }
    Ok(Data { columns, rows })
}

fn cell_of(value: &str) -> Option<String> {
    match value {
        "null" | "\"\"" => None,
        _ => Some(serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned())),
    }
}

/// A cell as an exact decimal, if it is one.
pub(super) fn number(cell: &str) -> Option<Decimal> {
    let digits = cell.len() <= NUMBER_CHARS_MAX && cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if !digits || cell.contains('_') {
        return None;
    }
    let number = Decimal::from_str_exact(cell).ok().or_else(|| Decimal::from_scientific(cell).ok())?;
    Some(number.normalize())
}
