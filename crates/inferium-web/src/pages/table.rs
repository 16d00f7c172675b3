//! Tables: once for people, once for programs, once for spreadsheets.

use crate::layout;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

/// Rows of one page of a table.
pub(crate) const PAGE_ROWS: usize = 50;

/// One cell: how it looks, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) html: Markup,
    pub(crate) value: Value,
}

impl Cell {
    pub(crate) fn new(html: Markup, value: impl Into<Value>) -> Self {
        Self { html, value: value.into() }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { html: html! { (text) }, value: text.into() }
    }

    pub(crate) fn number(number: u64) -> Self {
        Self { html: html! { (layout::grouped(number)) }, value: number.into() }
    }

    pub(crate) fn money(amount: inferium_types::Amount) -> Self {
        Self { html: layout::money(amount), value: amount.nano().into() }
    }

    pub(crate) fn moment(at_ms: u64) -> Self {
        Self { html: layout::moment(at_ms), value: at_ms.into() }
    }
}

/// A column: its name in JSON, its heading, and whether it holds numbers.
pub(crate) type Column = (&'static str, &'static str, bool);

/// A table with the place from which it goes on.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) caption: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Address of the next page.
    pub(crate) next: Option<String>,
    /// What is said when there are no rows.
    pub(crate) empty: &'static str,
}

impl Table {
    pub(crate) fn json_rows(&self) -> Vec<Value> {
        let row = |cells: &Vec<Cell>| {
            let fields =
                self.columns.iter().zip(cells).map(|((name, ..), cell)| ((*name).to_owned(), cell.value.clone()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }

    pub(crate) fn json(&self) -> Value {
        json!({"data": self.json_rows(), "next": self.next})
    }

    /// As RFC 4180 has it. A text that a spreadsheet would compute is made a text.
    pub(crate) fn csv(&self) -> String {
        let plain = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let quoted = |text: String| {
            if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
        };
        let mut lines = vec![self.columns.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",")];
        lines.extend(
            self.rows
                .iter()
                .map(|cells| cells.iter().map(|cell| quoted(plain(&cell.value))).collect::<Vec<_>>().join(",")),
        );
        lines.push(String::new());
        lines.join("\r\n")
    }

    pub(crate) fn html(&self) -> Markup {
        html! {
            @if self.rows.is_empty() { p.empty { (self.empty) } }
            @else {
                div.scroll tabindex="0" role="region" aria-label=(self.caption) {
                    table {
                        caption.unseen { (self.caption) }
                        thead { tr { @for (_, heading, is_number) in self.columns { th scope="col" class=[is_number.then_some("number")] { (heading) } } } }
                        tbody {
                            @for cells in &self.rows {
                                tr { @for ((_, heading, is_number), cell) in self.columns.iter().zip(cells) {
                                    td data-name=(heading) class=[is_number.then_some("number")] { (cell.html) }
                                } }
                            }
                        }
                    }
                }
                @if let Some(next) = &self.next { nav.more aria-label="Further rows" { a.button.quiet href=(next) rel="next" { "Older" } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
