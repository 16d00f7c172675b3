//! Boards of models, as the network folded them (SPEC L2): table and picture, each with its receipt and its inputs.
//!
//! Boards come from the gateway, in this process; that each is what its receipt commits to is for `inferium eval board
//! --from-network --verify`. Workers, validators and agents have their boards at `/leaderboard`.

use super::table::{Cell, Column, Table};
use super::{Found, Page};
use crate::WebState;
use crate::layout::{self, Section, badge, figure, grouped, money};
use crate::respond::Form;
use axum::{extract::State, response::Response};
use inferium_types::Amount;
use maud::{Markup, html};
use serde_json::{Value, json};

const COLUMNS: &[Column] = &[
    ("suite", "Suite", false),
    ("rank", "Rank", true),
    ("model", "Model", false),
    ("score_ppm", "Score", true),
    ("low_ppm", "From", true),
    ("high_ppm", "To", true),
    ("milliseconds_median", "Milliseconds an item", true),
    ("cost_nano_per_thousand", "1,000 items", true),
    ("receipts_verified_ppm", "Verified", true),
    ("command", "Run it again", false),
];
/// Height of a row of the picture, and where its line is, in the picture's units. It is a thousand units wide, so that a unit is a
/// tenth of a percent.
const ROW_HEIGHT: u64 = 28;
const ROW_MIDDLE: u64 = 14;

pub(super) async fn boards(State(state): State<WebState>, form: Form) -> Response {
    let found = page(&state).await;
    state.send(form, found)
}

async fn page(state: &WebState) -> Found {
    let answer = state.listing.boards().await.unwrap_or_default();
    let boards = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let height = state.chain.height();
    let tables: Vec<Table> = boards.iter().map(table).collect();
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    let html = html! {
        div.title { h1 { "Boards" } div.forms { a href="/boards.json" { "JSON" } a href="/boards.csv" { "CSV" } } }
        p.lead {
            "Models ranked by final results: a worker folded them, a committee folded them again, and "
            code { "inferium eval board --from-network --verify" } " has you do it. Nobody is ranked within noise. Workers, validators and agents are on the "
            a href="/leaderboard" { "leaderboard" } "."
        }
        section.figures {
            (figure("Suites", &html! { (boards.len()) }, "with a final board"))
            (figure("Models", &html! { (rows) }, "on all of them"))
            (figure("Height", &html! { (grouped(height)) }, "of the chain, as of this page"))
        }
        @if boards.is_empty() {
            p.empty { "No board is final yet. " code { "inferium eval publish FILE..." } " has results folded into one." }
        }
        @for (board, table) in boards.iter().zip(&tables) {
            section {
                h2 { (text(board, "suite")) @if let Some(name) = board.get("name").and_then(Value::as_str) { " · " span.soft { "“" (name) "”, as its publisher calls it" } } }
                p { (badge(standing(board))) " " a href=(format!("/explorer/receipts/{}", text(board, "id"))) { "its receipt" } " · "
                    a href=(text(board, "inputs_url")) { "what it was folded from" } }
                (picture(board))
                (table.html())
                @for left in left_out(board) { p.soft { (left) } }
            }
        }
    };
    let json = json!({"height": height, "data": boards});
    let mut page = Page::new("Boards", Section::Leaderboard, html, json);
    let all = Table { rows: tables.into_iter().flat_map(|table| table.rows).collect(), ..empty_table() };
    page.csv = Some(all.csv());
    Ok(page)
}

fn empty_table() -> Table {
    Table { caption: "Models", columns: COLUMNS, rows: Vec::new(), next: None, empty: "No model is on this board." }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// The gateway lists no board that stands otherwise.
fn standing(board: &Value) -> &'static str {
    if text(board, "status") == "settled" { "settled" } else { "final" }
}

fn rows_of(board: &Value) -> &[Value] {
    board.pointer("/board/rows").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn left_out(board: &Value) -> Vec<String> {
    let left = board.pointer("/board/left_out").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    left.iter().map(|one| format!("File {} is left out: {}.", number(one, "file"), text(one, "reason"))).collect()
}

fn table(board: &Value) -> Table {
    let percent = |row: &Value, field: &str| {
        let ppm = number(row, field);
        Cell::new(html! { (percent(ppm)) }, ppm)
    };
    let row = |row: &Value| {
        vec![
            Cell::text(text(board, "suite")),
            Cell::number(number(row, "rank")),
            Cell::text(text(row, "model")),
            percent(row, "score_ppm"),
            percent(row, "low_ppm"),
            percent(row, "high_ppm"),
            Cell::number(number(row, "milliseconds_median")),
            Cell::new(
                money(Amount::from_nano(number(row, "cost_nano_per_thousand"))),
                number(row, "cost_nano_per_thousand"),
            ),
            percent(row, "receipts_verified_ppm"),
            Cell::new(html! { code { (text(row, "command")) } }, text(row, "command")),
        ]
    };
    Table { rows: rows_of(board).iter().map(row).collect(), ..empty_table() }
}

/// Parts per million with one decimal.
fn percent(ppm: u64) -> String {
    let tenths = ppm.saturating_add(500) / 1_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Of each model a dot where its score is, and a bar where it lies at 95 %.
fn picture(board: &Value) -> Markup {
    let rows = rows_of(board);
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let height = count.saturating_mul(ROW_HEIGHT);
    let label = format!("Scores of {count} models on {} with their intervals at 95 %", text(board, "suite"));
    let at = |row: &Value, field: &str| number(row, field).min(1_000_000) / 1_000;
    html! {
        figure.intervals {
            figcaption { (text(board.get("board").unwrap_or(&Value::Null), "metric")) ": a dot is the score, a bar its interval at 95 %, from 0 to 100 %" }
            svg viewBox=(format!("0 0 1000 {height}")) height=(height) preserveAspectRatio="none" role="img" aria-label=(label) {
                @for tenth in 0..=10_u64 {
                    line.grid x1=(tenth * 100) x2=(tenth * 100) y1="0" y2=(height) {}
                }
                @for (place, row) in (0..).zip(rows) {
                    @let y = ROW_HEIGHT.saturating_mul(place).saturating_add(ROW_MIDDLE);
                    g {
                        title { (text(row, "model")) ": " (percent(number(row, "score_ppm"))) ", " (percent(number(row, "low_ppm"))) " to " (percent(number(row, "high_ppm"))) }
                        line.range x1=(at(row, "low_ppm")) x2=(at(row, "high_ppm")) y1=(y) y2=(y) {}
                        ellipse.mean cx=(at(row, "score_ppm")) cy=(y) rx="5" ry="5" {}
                    }
                }
            }
            ol { @for row in rows { li { (layout::short(text(row, "model"), 40)) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Value {
        json!({"id": "ab", "suite": "towns", "name": null, "status": "final", "inputs_url": "/v1/boards/ab/inputs",
        "board": {"metric": "recall_at_1", "left_out": [{"file": 2, "reason": "it is of a part of the suite"}],
        "rows": [
            {"rank": 1, "model": "<b>", "score_ppm": 800_000, "low_ppm": 711_499, "high_ppm": 1_000_000,
             "milliseconds_median": 12, "cost_nano_per_thousand": 39_000, "receipts_verified_ppm": 1_000_000, "command": "=again"},
            {"rank": 1, "model": "other", "score_ppm": 0, "low_ppm": 0, "high_ppm": 12},
        ]}})
    }

    #[test]
    fn a_board_has_a_row_and_a_dot_with_a_bar_for_each_model() {
        let table = table(&board());
        assert_eq!(table.rows.len(), 2);
        assert!(table.csv().contains("towns,1,<b>,800000,711499,1000000,12,39000,1000000,'=again"), "{}", table.csv());
        let drawn = picture(&board()).into_string();
        assert!(drawn.contains(r#"<line class="range" x1="711" x2="1000" y1="14" y2="14">"#), "{drawn}");
        assert!(drawn.contains(r#"cx="800" cy="14""#) && drawn.contains(r#"cx="0" cy="42""#), "{drawn}");
        assert!(
            drawn.contains("80.0 %, 71.1 % to 100.0 %") && drawn.contains("&lt;b&gt;") && !drawn.contains("<b>"),
            "{drawn}"
        );
        assert_eq!(left_out(&board()), ["File 2 is left out: it is of a part of the suite."]);
    }

    /// Whatever a gateway answers, a page comes of it.
    #[test]
    fn what_is_no_board_has_no_rows() {
        for odd in [Value::Null, json!({}), json!({"board": null}), json!({"board": {"rows": 1}}), json!([])] {
            assert!(table(&odd).rows.is_empty() && left_out(&odd).is_empty(), "{odd}");
            assert!(picture(&odd).into_string().contains("0 0 1000 0"));
        }
    }
}
