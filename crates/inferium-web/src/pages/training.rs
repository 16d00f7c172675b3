//! Runs of training, as the network takes their steps (SPEC X3): a table of all, and of each its losses as a curve, its roots and jobs.
//!
//! Runs come from the gateway, in this process; that an interval is what its steps come to is its committee's word, whose receipt is
//! linked, and `inferium train verify` has you say it too.

use super::nodes::{CHART_SCRIPTS, CHART_STYLES, chart};
use super::table::{Cell, Column, Table};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::layout::{Section, badge, figure, grouped, money, short};
use crate::respond::{Form, bare};
use axum::{
    extract::{Path, State},
    response::Response,
};
use inferium_types::{Amount, Digest};
use maud::{Markup, html};
use serde_json::{Value, json};

const RUNS: &[Column] = &[
    ("id", "Run", false),
    ("status", "Status", false),
    ("method", "What", false),
    ("model", "On", false),
    ("labels", "Labels", true),
    ("lines", "Lines", true),
    ("steps", "Steps", true),
    ("intervals_done", "Intervals", true),
    ("loss", "Loss", true),
    ("measured", "Held out", true),
    ("cost_nano", "Paid", true),
];
const JOBS: &[Column] = &[
    ("interval", "Interval", true),
    ("first_step", "From step", true),
    ("steps", "Steps", true),
    ("status", "Status", false),
    ("root", "Root after it", false),
    ("job", "Receipt", false),
    ("cost_nano", "Paid", true),
];

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn paid(value: &Value) -> Cell {
    Cell::new(money(Amount::from_nano(number(value, "/cost_nano"))), number(value, "/cost_nano"))
}

/// A loss with four decimals; nothing before there is one.
fn loss(value: Option<&Value>) -> Cell {
    let value = value.and_then(Value::as_f64);
    let shown = value.map_or_else(String::new, |loss| format!("{loss:.4}"));
    Cell::new(html! { (shown) }, value)
}

/// What was measured on the held-out part: the share of lines that were told apart, or a perplexity.
fn measured(measured: Option<&Value>) -> Option<String> {
    let lines = number(measured?, "/lines");
    if text(measured?, "/kind") == "perplexity" {
        return Some(format!("{:.2}", (number(measured?, "/loss_nano") as f64 / 1e9).exp()));
    }
    let tenths = number(measured?, "/correct").saturating_mul(1_000).checked_div(lines)?;
    Some(format!("{}.{} %", tenths / 10, tenths % 10))
}

fn is_adapters(run: &Value) -> bool {
    text(run, "/method") == "lora"
}

fn what(run: &Value) -> &'static str {
    if is_adapters(run) { "adapters" } else { "classifier" }
}

/// Labels of a classifier.
fn labels(run: &Value) -> String {
    run.get("labels").and_then(Value::as_u64).map_or_else(String::new, |labels| labels.to_string())
}

fn link(run: &Value) -> Cell {
    let id = text(run, "/id");
    Cell::new(html! { a href=(format!("/training/{id}")) { code { (short(id, 12)) } } }, id)
}

pub(super) async fn runs(State(state): State<WebState>, form: Form) -> Response {
    let found = page(&state).await;
    state.send(form, found)
}

async fn page(state: &WebState) -> Found {
    let answer = state.listing.trainings().await.unwrap_or_default();
    let runs = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let table = table(&runs);
    let height = state.chain.height();
    let steps = runs.iter().fold(0_u64, |sum, run| sum.saturating_add(number(run, "/intervals_done")));
    let html = html! {
        div.title { h1 { "Training" } div.forms { a href="/training.json" { "JSON" } a href="/training.csv" { "CSV" } } }
        p.lead {
            "Classifiers and adapters that workers train an interval at a time: a committee trains each interval again, to the bit, before the next one begins. "
            code { "inferium train head --on-network" } " sends a classifier, " code { "inferium train lora --on-network" } " adapters, and " code { "inferium train verify" } " has you train it a third time."
        }
        section.figures {
            (figure("Runs", &html! { (runs.len()) }, "that this gateway keeps"))
            (figure("Intervals", &html! { (grouped(steps)) }, "approved by committees"))
            (figure("Height", &html! { (grouped(height)) }, "of the chain, as of this page"))
        }
        (table.html())
    };
    let mut page = Page::new("Training", Section::Leaderboard, html, json!({"height": height, "data": runs}));
    page.csv = Some(table.csv());
    Ok(page)
}

fn table(runs: &[Value]) -> Table {
    let row = |run: &Value| {
        let held_out = measured(run.get("after"));
        vec![
            link(run),
            Cell::new(badge(text(run, "/status")), text(run, "/status")),
            Cell::text(what(run)),
            Cell::text(text(run, "/model/name")),
            Cell::new(html! { (labels(run)) }, run.get("labels").and_then(Value::as_u64)),
            Cell::number(number(run, "/lines")),
            Cell::number(number(run, "/steps")),
            Cell::new(
                html! { (number(run, "/intervals_done")) " of " (number(run, "/intervals")) },
                number(run, "/intervals_done"),
            ),
            loss(run.get("loss")),
            Cell::text(held_out.unwrap_or_default()),
            paid(run),
        ]
    };
    let empty = "Nothing was trained here yet.";
    Table { caption: "Runs of training", columns: RUNS, rows: runs.iter().map(row).collect(), next: None, empty }
}

pub(super) async fn run(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = run_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn run_page(state: &WebState, id: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No run of training is called {id}."));
    let id = Digest::from_hex(id).ok_or_else(unknown)?;
    let run = state.listing.training(&id).await.ok_or_else(unknown)?;
    Ok(show(&run))
}

fn show(run: &Value) -> Page {
    let id = text(run, "/id");
    let jobs = run.get("jobs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let table = jobs_table(jobs);
    let html = html! {
        div.title { h1 { "Training " code { (short(id, 12)) } } div.forms { a href=(format!("/training/{id}.json")) { "JSON" } } }
        p.lead {
            (badge(text(run, "/status")))
            @if is_adapters(run) {
                " Adapters of rank " (number(run, "/adapters/rank")) " of " (number(run, "/adapters/layers")) " layers of "
            } @else {
                " A classifier of " (number(run, "/labels")) " labels on the vectors of "
            }
            code { (text(run, "/model/name")) } ", " (grouped(number(run, "/steps"))) " steps of " (number(run, "/batch")) " examples."
        }
        @if let Some(waits) = run.get("waits").and_then(Value::as_str) { p { "It waits for " (waits) "." } }
        @if let Some(error) = run.get("error").and_then(Value::as_str) { p { "It was given up: " (error) "." } }
        section.figures {
            (figure("Intervals", &html! { (number(run, "/intervals_done")) " of " (number(run, "/intervals")) }, "approved by a committee"))
            (figure("Rejected", &html! { (number(run, "/rejected")) }, "jobs that no committee approved"))
            (figure(if is_adapters(run) { "Perplexity" } else { "Accuracy" }, &html! { (measured(run.get("after")).unwrap_or_else(|| "–".to_owned())) }, &before(run)))
            (figure("Paid", &money(Amount::from_nano(number(run, "/cost_nano"))), "for what was approved"))
        }
        (chart("Mean loss of the examples of each step", &format!("/training/{id}.json")))
        (table.html())
        (settings(run))
    };
    let mut page = Page::new(format!("Training {}", short(id, 12)), Section::Leaderboard, html, run.clone());
    page.scripts = CHART_SCRIPTS;
    page.styles = CHART_STYLES;
    page
}

fn before(run: &Value) -> String {
    let before = measured(run.get("before"));
    before.map_or_else(|| "on lines that no step sees".to_owned(), |found| format!("{found} before the first step"))
}

fn jobs_table(jobs: &[Value]) -> Table {
    let row = |job: &Value| {
        let (name, root) = (text(job, "/job"), text(job, "/root"));
        vec![
            Cell::number(number(job, "/interval")),
            Cell::number(number(job, "/first_step")),
            Cell::number(number(job, "/steps")),
            Cell::new(badge(text(job, "/status")), text(job, "/status")),
            Cell::new(html! { code { (short(root, 16)) } }, root),
            Cell::new(html! { a href=(format!("/explorer/receipts/{name}")) { code { (short(name, 12)) } } }, name),
            paid(job),
        ]
    };
    let empty = "No interval is final yet.";
    Table { caption: "Intervals", columns: JOBS, rows: jobs.iter().map(row).collect(), next: None, empty }
}

/// What was fixed before the first step, and what drew the rest.
fn settings(run: &Value) -> Markup {
    let nano = |pointer: &str| format!("{} billionths", grouped(number(run, pointer)));
    let announced = text(run, "/announcement/job");
    let facts = [
        ("Run", text(run, "/run").to_owned()),
        ("Data", format!("{} lines under {}", grouped(number(run, "/lines")), text(run, "/data_root"))),
        ("Drawn by", text(run, "/announcement/drawn").to_owned()),
        ("Order", text(run, "/order").to_owned()),
        ("First weights", text(run, "/seed").to_owned()),
        ("Learning rate", nano("/learning_rate_nano")),
        ("Root", text(run, "/root").to_owned()),
    ];
    html! {
        section {
            h2 { "What it is" }
            dl.words {
                @for (name, value) in facts { div { dt { (name) } dd { code { (value) } } } }
                @if !announced.is_empty() {
                    div { dt { "Announced" } dd { a href=(format!("/explorer/receipts/{announced}")) { code { (short(announced, 16)) } } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Value {
        json!({"id": "ab".repeat(32), "status": "finished", "labels": 3, "lines": 90, "steps": 40, "batch": 8, "intervals": 2,
            "intervals_done": 2, "loss": 0.25, "model": {"name": "<b>"}, "cost_nano": 5, "rejected": 1, "losses": [1.5, 0.25],
            "before": {"kind": "accuracy", "correct": 6, "lines": 18}, "after": {"kind": "accuracy", "correct": 17, "lines": 18},
            "jobs": [{"interval": 0, "first_step": 0, "steps": 20, "status": "final", "job": "cd", "root": "ef", "cost_nano": 5}]})
    }

    #[test]
    fn a_run_has_a_row_and_a_page_with_its_curve_and_jobs() {
        let table = table(&[run()]);
        assert!(
            table.csv().contains(&format!("{},finished,classifier,<b>,3,90,40,2,0.25,94.4 %,5", "ab".repeat(32))),
            "{}",
            table.csv()
        );
        let page = show(&run());
        let html = page.html.into_string();
        assert!(html.contains(&format!("data-chart=\"/training/{}.json\"", "ab".repeat(32))), "{html}");
        assert!(html.contains("94.4 %") && html.contains("33.3 % before the first step"), "{html}");
        assert!(
            html.contains("/explorer/receipts/cd") && html.contains("&lt;b&gt;") && !html.contains("<b>"),
            "{html}"
        );
        assert_eq!(page.json, run());
    }

    #[test]
    fn adapters_have_a_perplexity_and_no_labels() {
        let run = json!({"id": "ab".repeat(32), "status": "finished", "method": "lora", "adapters": {"rank": 4, "layers": 2}, "labels": null,
            "lines": 90, "steps": 4, "batch": 2, "model": {"name": "small"}, "before": {"kind": "perplexity", "tokens": 9, "loss_nano": 2_000_000_000_u64},
            "after": {"kind": "perplexity", "tokens": 9, "loss_nano": 0}});
        let csv = table(std::slice::from_ref(&run)).csv();
        assert!(csv.contains("finished,adapters,small,,90,4,0,,1.00,"), "{csv}");
        let html = show(&run).html.into_string();
        assert!(
            html.contains("Adapters of rank 4 of 2 layers") && html.contains("7.39 before the first step"),
            "{html}"
        );
        assert!(html.contains("Perplexity") && !html.contains("labels"), "{html}");
    }

    /// Whatever a gateway answers, a page comes of it.
    #[test]
    fn what_is_no_run_has_no_figures() {
        for odd in [Value::Null, json!({}), json!({"jobs": 1, "after": {"lines": 0}, "loss": "x"}), json!([])] {
            assert_eq!(table(std::slice::from_ref(&odd)).rows.len(), 1);
            assert!(show(&odd).html.into_string().contains("No interval is final yet."));
        }
    }
}
