//! Tasks, segments and receipts: what was asked, who did it, and who checked it.

use super::explorer::{after, hash, list};
use super::table::{Cell, PAGE_ROWS, Table};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::index::{Books, SegmentBook, Step, TaskBook};
use crate::layout::{self, Names, Section, badge, facts, grouped, link, moment, money};
use crate::respond::{Form, bare};
use axum::{
    Json,
    extract::{Path, Query, State},
    response::Response,
};
use inferium_types::{Digest, JobId, SegmentId, TaskId};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Time for a validator to say why.
const WHY_TIMEOUT: Duration = Duration::from_secs(3);

type Pages = Query<BTreeMap<String, String>>;

pub(super) fn segments_table(state: &WebState, books: &Books, before: Option<u64>, rows: usize) -> Table {
    let found: Vec<_> = books.segments.newest(before).take(rows).collect();
    let next =
        found.last().filter(|_| found.len() == rows).map(|(place, ..)| format!("/explorer/segments?after={place}"));
    let row = |(_, id, book): &(u64, &SegmentId, &SegmentBook)| {
        let at_ms = book.steps.first().map_or(0, |step| step.at_ms);
        vec![
            Cell::new(link("segments", *id), id.to_string()),
            Cell::new(badge(book.state.name()), book.state.name()),
            Cell::new(
                html! { @match &book.worker { Some(worker) => (layout::node(worker, &state.names)), None => "—" } },
                book.worker.map(|worker| worker.to_string()),
            ),
            Cell::number(u64::from(book.totals.jobs)),
            Cell::number(book.totals.tokens()),
            Cell::moment(at_ms),
        ]
    };
    Table {
        caption: "Segments, newest first",
        columns: &[
            ("segment", "Segment", false),
            ("state", "State", false),
            ("worker", "Worker", false),
            ("jobs", "Answers", true),
            ("tokens", "Tokens", true),
            ("timestamp_ms", "Time", false),
        ],
        rows: found.iter().map(row).collect(),
        next,
        empty: "No answer has been committed yet. Ask a question in the playground.",
    }
}

pub(super) async fn segments(State(state): State<WebState>, Query(query): Pages, form: Form) -> Response {
    let table = segments_table(&state, &state.index.read(), after(&query), PAGE_ROWS);
    let note = "Finished answers under one root, signed by worker and gateway, judged by a committee.";
    state.send(form, Ok(list("Segments", note, "/explorer/segments", &table)))
}

pub(super) async fn segment(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = segment_page(&state, bare(&id));
    state.send(form, found)
}

fn segment_page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No segment {text:?} is kept here."));
    let id = SegmentId::from_hex(text).ok_or_else(unknown)?;
    let books = state.index.read();
    let book = books.segments.get(&id).ok_or_else(unknown)?;
    let task = books.task_of(&book.lease);
    let json = json!({
        "segment": text, "state": book.state.name(), "lease": book.lease.to_string(),
        "task": task.map(|task| task.to_string()), "worker": book.worker.map(|worker| worker.to_string()),
        "profile": book.profile.map(|profile| profile.to_string()), "jobs": book.totals.jobs,
        "prompt_tokens": book.totals.prompt_tokens, "completion_tokens": book.totals.completion_tokens,
        "fee_nano": book.fee.nano(), "committee": book.committee.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "steps": steps_json(&book.steps, &state.names),
    });
    let html = html! {
        div.title { h1 { "Segment" } (badge(book.state.name())) div.forms { a href={ "/explorer/segments/" (text) ".json" } { "JSON" } } }
        (facts(&[
            ("Segment", hash(text, "the segment's name")),
            ("Worker", html! { @match &book.worker { Some(worker) => (layout::node(worker, &state.names)), None => "unknown" } }),
            ("Task", html! { @match task { Some(task) => (link("tasks", &task)), None => "unknown" } }),
            ("Answers", html! { (book.totals.jobs) }),
            ("Tokens", html! { (grouped(book.totals.prompt_tokens)) " of prompts, " (grouped(book.totals.completion_tokens)) " of answers" }),
            ("Fee", money(book.fee)),
            ("Committee", html! { @for (index, member) in book.committee.iter().enumerate() { @if index > 0 { ", " } (layout::node(member, &state.names)) } @if book.committee.is_empty() { "not drawn yet" } }),
        ]))
        section { h2 { "What happened" } (timeline(&book.steps, &state.names)) }
    };
    Ok(Page::new("Segment", Section::Explorer, html, json))
}

/// `GET /api/v1/segments/{id}`: how far a segment is, for who waits for it; `unknown` while no block holds it.
pub(super) async fn standing(State(state): State<WebState>, Path(id): Path<String>) -> Json<Value> {
    match segment_page(&state, &id) {
        Ok(page) => Json(page.json),
        Err(_) => Json(json!({"segment": id, "state": "unknown", "steps": []})),
    }
}

fn steps_json(steps: &[Step], names: &Names) -> Vec<Value> {
    let step = |step: &Step| {
        json!({
            "kind": step.kind, "text": step.text, "height": step.height, "timestamp_ms": step.at_ms,
            "node": step.node.map(|node| node.to_string()),
            "name": step.node.and_then(|node| names.get(&node).cloned()),
        })
    };
    steps.iter().map(step).collect()
}

fn timeline(steps: &[Step], names: &Names) -> Markup {
    html! {
        ol.timeline {
            @for step in steps {
                li class=(step.kind) {
                    div.when { a href={ "/explorer/blocks/" (step.height) } { "block " (grouped(step.height)) } (moment(step.at_ms)) }
                    p { @if let Some(node) = &step.node { (layout::node(node, names)) " " } (step.text) }
                }
            }
        }
    }
}

pub(super) async fn tasks(State(state): State<WebState>, Query(query): Pages, form: Form) -> Response {
    let table = {
        let books = state.index.read();
        let found: Vec<_> = books.tasks.newest(after(&query)).take(PAGE_ROWS).collect();
        let next = found
            .last()
            .filter(|_| found.len() == PAGE_ROWS)
            .map(|(place, ..)| format!("/explorer/tasks?after={place}"));
        let row = |(_, id, book): &(u64, &TaskId, &TaskBook)| {
            vec![
                Cell::new(link("tasks", *id), id.to_string()),
                Cell::new(badge(book.state), book.state),
                Cell::new(super::explorer::account(&book.requester, &state), book.requester.to_string()),
                Cell::new(
                    html! { @match &book.worker { Some(worker) => (layout::node(worker, &state.names)), None => "—" } },
                    book.worker.map(|worker| worker.to_string()),
                ),
                Cell::number(u64::try_from(book.segments.len()).unwrap_or(u64::MAX)),
                Cell::moment(book.steps.first().map_or(0, |step| step.at_ms)),
            ]
        };
        Table {
            caption: "Tasks, newest first",
            columns: &[
                ("task", "Task", false),
                ("state", "State", false),
                ("requester", "Asked by", false),
                ("worker", "Worker", false),
                ("segments", "Segments", true),
                ("timestamp_ms", "Opened", false),
            ],
            rows: found.iter().map(row).collect(),
            next,
            empty: "No task has been opened yet.",
        }
    };
    let note = "Paid work that waits in the pool until the beacon gives it to a worker.";
    state.send(form, Ok(list("Tasks", note, "/explorer/tasks", &table)))
}

pub(super) async fn task(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = task_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn task_page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No task {text:?} is kept here."));
    let id = TaskId::from_hex(text).ok_or_else(unknown)?;
    let why = why(state, "task", text).await;
    let books = state.index.read();
    let book = books.tasks.get(&id).ok_or_else(unknown)?;
    let json = json!({
        "task": text, "state": book.state, "requester": book.requester.to_string(), "profile": book.profile.to_string(),
        "worker": book.worker.map(|worker| worker.to_string()), "why": why,
        "segments": book.segments.iter().map(ToString::to_string).collect::<Vec<_>>(), "steps": steps_json(&book.steps, &state.names),
    });
    let html = html! {
        div.title { h1 { "Task" } (badge(book.state)) div.forms { a href={ "/explorer/tasks/" (text) ".json" } { "JSON" } } }
        (why_box(why.as_ref()))
        (facts(&[
            ("Task", hash(text, "the task's name")),
            ("Asked by", super::explorer::account(&book.requester, state)),
            ("Model profile", hash(&book.profile.to_string(), "the model profile")),
            ("Worker", html! { @match &book.worker { Some(worker) => (layout::node(worker, &state.names)), None => "none yet" } }),
        ]))
        section { h2 { "What happened" } (timeline(&book.steps, &state.names)) }
        section { h2 { "Segments" } @if book.segments.is_empty() { p.empty { "None yet." } }
            p.chips { @for segment in book.segments.iter().rev() { (link("segments", segment)) " " } } }
    };
    Ok(Page::new("Task", Section::Explorer, html, json))
}

/// What a validator's state says: the first that knows. Nothing proves it, and the page says so.
pub(super) async fn why(state: &WebState, what: &str, id: &str) -> Option<Value> {
    for url in state.chain.urls() {
        let asked = state.http.get(format!("{url}/why/v1/{what}/{id}")).timeout(WHY_TIMEOUT).send().await;
        match asked {
            Ok(answer) if answer.status().is_success() => return answer.json().await.ok(),
            // It answered: the others know no more.
            Ok(_) => return None,
            Err(error) => tracing::debug!(%error, url, "asking the next validator why"),
        }
    }
    None
}

pub(super) fn why_box(why: Option<&Value>) -> Markup {
    let text = why.and_then(|why| why.get("text")).and_then(Value::as_str);
    html! {
        @if let Some(text) = text {
            aside.why { h2 { "Why?" } p { (text) } p.note { "A validator says so from its state; it is not proven here." } }
        }
    }
}

pub(super) async fn receipt(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let text = bare(&id).to_owned();
    if JobId::from_hex(&text).is_none() || Digest::from_hex(&text).is_none() {
        return state.send(form, Err(NoPage::Unknown(format!("{text:?} is no job: expected 64 hex digits."))));
    }
    let html = html! {
        div.title { h1 { "Receipt" } span #receipt-state { (badge("open")) } div.forms { a #receipt-json href={ "/v1/receipts/" (text) } { "JSON" } a #receipt-file href={ "/v1/receipts/" (text) } download={ "receipt-" (layout::short(&text, 12)) ".json" } { "Download" } } }
        p.lead { "Checked in this browser from the network key. The gateway sent the file; it is not asked whether it is true." }
        (facts(&[("Job", hash(&text, "the job's name"))]))
        div #receipt data-job=(text) role="status" {}
        noscript { p.error { "Checking a receipt here takes JavaScript. Offline: inferium receipt verify." } }
    };
    let json = json!({"job": text, "receipt_url": format!("/v1/receipts/{text}")});
    let mut page = Page::new("Receipt", Section::Explorer, html, json);
    page.scripts = &["js/receipt-page.js"];
    state.send(form, Ok(page))
}
