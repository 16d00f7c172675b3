//! Proofs of what classifiers said (SPEC V10): which answer, of which model, how it stands, how long it took, and what stays hidden.
//!
//! They come from the gateway, in this process; that one was verified is its committee's word, whose receipt is linked and has its digest.

use super::table::{Cell, Column, Table};
use super::{Found, Page};
use crate::WebState;
use crate::layout::{Section, badge, figure, grouped, money, short};
use crate::respond::Form;
use axum::{extract::State, response::Response};
use inferium_types::Amount;
use maud::html;
use serde_json::{Value, json};

const PROOFS: &[Column] = &[
    ("job", "Answer", false),
    ("status", "Status", false),
    ("model", "Model", false),
    ("hides", "Hidden", false),
    ("took_ms", "Took", true),
    ("size", "Bytes", true),
    ("digest", "Digest", false),
    ("proof_job", "Receipt", false),
    ("cost_nano", "Paid", true),
];

fn text<'a>(proof: &'a Value, name: &str) -> &'a str {
    proof.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(proof: &Value, name: &str) -> Option<u64> {
    proof.get(name).and_then(Value::as_u64)
}

/// What a proof keeps to itself, in words.
fn hidden(proof: &Value) -> &'static str {
    match text(proof, "hides") {
        "activations" => "the input, and all that was computed from it",
        "activations_and_weights" => "the input, all that was computed from it, and the weights",
        _ => "nothing",
    }
}

pub(super) async fn proofs(State(state): State<WebState>, form: Form) -> Response {
    let found = page(&state).await;
    state.send(form, found)
}

async fn page(state: &WebState) -> Found {
    let answer = state.listing.proofs().await.unwrap_or_default();
    let proofs = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(show(&proofs, state.chain.height()))
}

fn show(proofs: &[Value], height: u64) -> Page {
    let table = table(proofs);
    let verified = proofs.iter().filter(|proof| matches!(text(proof, "status"), "final" | "settled")).count();
    let mut took: Vec<u64> = proofs.iter().filter_map(|proof| number(proof, "took_ms")).collect();
    took.sort_unstable();
    let median = took.get(took.len() / 2).map_or_else(|| "–".to_owned(), |took| seconds(*took));
    let html = html! {
        div.title { h1 { "Proofs" } div.forms { a href="/proofs.json" { "JSON" } a href="/proofs.csv" { "CSV" } } }
        p.lead {
            "A client that asks a classifier with " code { "\"verification\": \"zk\"" } " gets its answer at once, and a proof of it later: that a model whose weights "
            "are committed to gave this output to a committed input. A worker proves, its committee verifies, the chain keeps the digest. "
            "Model and output are public; with hiding, the input is not. Private weights, whose key is all that the network has of them, are hidden too. "
            code { "inferium zk fetch JOB" } " gets one, " code { "inferium receipt verify --proof" } " checks it offline."
        }
        section.figures {
            (figure("Proofs", &html! { (proofs.len()) }, "that this gateway keeps"))
            (figure("Verified", &html! { (verified) }, "by a committee"))
            (figure("Time", &html! { (median) }, "the median, from request to proof"))
            (figure("Height", &html! { (grouped(height)) }, "of the chain, as of this page"))
        }
        (table.html())
    };
    let mut page = Page::new("Proofs", Section::Explorer, html, json!({"height": height, "data": proofs}));
    page.csv = Some(table.csv());
    page
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:02} s", milliseconds / 1_000, milliseconds % 1_000 / 10)
}

fn table(proofs: &[Value]) -> Table {
    let receipt = |job: &str| {
        let link = html! { a href=(format!("/explorer/receipts/{job}")) { code { (short(job, 12)) } } };
        Cell::new(
            if job.is_empty() {
                html! {}
            } else {
                link
            },
            job,
        )
    };
    let row = |proof: &Value| {
        let (took, cost) = (number(proof, "took_ms"), number(proof, "cost_nano"));
        let digest = text(proof, "digest");
        vec![
            receipt(text(proof, "job")),
            Cell::new(badge(text(proof, "status")), text(proof, "status")),
            Cell::text(text(proof, "model")),
            Cell::new(html! { (hidden(proof)) }, text(proof, "hides")),
            Cell::new(html! { @if let Some(took) = took { (seconds(took)) } }, took),
            Cell::new(html! { @if let Some(size) = number(proof, "size") { (grouped(size)) } }, number(proof, "size")),
            Cell::new(html! { code { (short(digest, 16)) } }, digest),
            receipt(text(proof, "proof_job")),
            Cell::new(html! { @if let Some(cost) = cost { (money(Amount::from_nano(cost))) } }, cost),
        ]
    };
    let empty = "No proof was asked for here yet.";
    Table { caption: "Proofs of answers", columns: PROOFS, rows: proofs.iter().map(row).collect(), next: None, empty }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_has_a_row_that_says_what_stays_hidden() {
        let proofs = [
            json!({"job": "ab", "status": "final", "model": "<b>", "hides": "activations", "took_ms": 1_230, "size": 1_300_000,
                "digest": "cd", "proof_job": "ef", "cost_nano": 409_700}),
            json!({"job": "01", "status": "queued", "model": "digits", "hides": "nothing", "took_ms": null, "proof_job": null}),
        ];
        let page = show(&proofs, 7);
        let csv = page.csv.unwrap();
        assert!(csv.contains("ab,final,<b>,activations,1230,1300000,cd,ef,409700"), "{csv}");
        assert!(csv.contains("01,queued,digits,nothing,,,,,"), "{csv}");
        let html = page.html.into_string();
        assert!(html.contains("1.23 s") && html.contains("the input, and all that was computed from it"), "{html}");
        assert!(html.contains("/explorer/receipts/ef") && !html.contains("<b>"), "{html}");
        assert_eq!(page.json["height"], 7);
    }

    /// Whatever a gateway answers, a page comes of it.
    #[test]
    fn what_is_no_proof_has_no_figures() {
        for odd in [Value::Null, json!({}), json!([]), json!({"took_ms": "x", "size": -1})] {
            assert_eq!(table(std::slice::from_ref(&odd)).rows.len(), 1);
        }
        assert!(show(&[], 0).html.into_string().contains("No proof was asked for here yet."));
    }
}
