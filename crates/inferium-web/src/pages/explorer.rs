//! Blocks, transactions, and the search box.

use super::table::{Cell, PAGE_ROWS, Table};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::index::{Block, Books};
use crate::layout::{self, Section, badge, copy, facts, figure, grouped, link, moment};
use crate::respond::{Form, bare};
use crate::story;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use inferium_types::{AgentId, Amount, Digest, NodeId, SegmentId, SignedTransaction, TaskId, TransactionId};
use inferium_wallet::{describe, describe_body};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Blocks and transactions of the overview.
const LATEST: usize = 12;

/// From where a table goes on.
pub(super) fn after(query: &BTreeMap<String, String>) -> Option<u64> {
    query.get("after").and_then(|text| text.parse().ok())
}

pub(super) async fn overview(State(state): State<WebState>, form: Form) -> Response {
    let books = state.index.read();
    let blocks = blocks_table(&state, &books, None, LATEST);
    let segments = super::work::segments_table(&state, &books, None, LATEST);
    let minutes: Vec<Value> = books
        .minutes
        .iter()
        .map(|minute| json!([minute.at_ms / 1_000, minute.blocks, minute.transactions, minute.jobs, minute.tokens]))
        .collect();
    let json = json!({"height": state.chain.height(), "blocks": blocks.json_rows(), "segments": segments.json_rows(), "minutes": minutes});
    let html = html! {
        h1 { "Explorer" }
        section.figures {
            (figure("Final blocks", &html! { span data-head="" { (grouped(state.chain.height())) } }, ""))
            (figure("Transactions", &html! { (grouped(books.transactions_all)) }, ""))
            (figure("Answers final", &html! { (grouped(books.jobs_all)) }, ""))
            (figure("Fees of work that held", &layout::money(Amount::from_nano(books.fees_all)), ""))
        }
        (super::nodes::chart("Tokens and blocks by the minute", "/explorer.json"))
        nav.sub aria-label="Explorer" {
            a href="/explorer/blocks" { "Blocks" } a href="/explorer/transactions" { "Transactions" }
            a href="/explorer/segments" { "Segments" } a href="/explorer/tasks" { "Tasks" }
            a href="/leaderboard" { "Nodes" } a href="/explorer/slashes" { "Slashes" } a href="/proofs" { "Proofs" }
        }
        div.columns #live data-live="/explorer" {
            section { h2 { "Newest blocks" } (blocks.html()) }
            section { h2 { "Newest segments" } (segments.html()) }
        }
    };
    drop(books);
    let mut page = Page::new("Explorer", Section::Explorer, html, json);
    page.scripts = super::nodes::CHART_SCRIPTS;
    page.styles = super::nodes::CHART_STYLES;
    state.send(form, Ok(page))
}

fn blocks_table(state: &WebState, books: &Books, before: Option<u64>, rows: usize) -> Table {
    let below = before.unwrap_or(u64::MAX);
    let found: Vec<&Arc<Block>> =
        books.blocks.iter().rev().filter(|block| block.header.height < below).take(rows).collect();
    let next = found
        .last()
        .filter(|_| found.len() == rows)
        .map(|last| format!("/explorer/blocks?after={}", last.header.height));
    let row = |block: &&Arc<Block>| {
        let header = &block.header;
        vec![
            Cell::new(
                html! { a.strong href={ "/explorer/blocks/" (header.height) } { (grouped(header.height)) } },
                header.height,
            ),
            Cell::moment(header.timestamp_ms),
            Cell::number(u64::try_from(block.transactions.len()).unwrap_or(u64::MAX)),
            Cell::number(u64::try_from(block.events.len()).unwrap_or(u64::MAX)),
            Cell::new(layout::node(&header.proposer, &state.names), header.proposer.to_string()),
        ]
    };
    Table {
        caption: "Blocks, newest first",
        columns: &[
            ("height", "Block", false),
            ("timestamp_ms", "Time", false),
            ("transactions", "Transactions", true),
            ("events", "Events", true),
            ("proposer", "Proposer", false),
        ],
        rows: found.iter().map(row).collect(),
        next,
        empty: "No block has been read yet.",
    }
}

/// A page that is one table.
pub(super) fn list(title: &'static str, note: &str, address: &str, table: &Table) -> Page {
    let html = html! {
        div.title { h1 { (title) } div.forms { a href={ (address) ".json" } { "JSON" } a href={ (address) ".csv" } { "CSV" } } }
        p.lead { (note) }
        (table.html())
    };
    let mut page = Page::new(title, Section::Explorer, html, table.json());
    page.csv = Some(table.csv());
    page
}

pub(super) async fn blocks(
    State(state): State<WebState>,
    Query(query): Query<BTreeMap<String, String>>,
    form: Form,
) -> Response {
    let table = blocks_table(&state, &state.index.read(), after(&query), PAGE_ROWS);
    let page = list(
        "Blocks",
        "Every one certified by the validators' group key; this node checked each.",
        "/explorer/blocks",
        &table,
    );
    state.send(form, Ok(page))
}

pub(super) async fn block(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = block_page(&state, bare(&id));
    state.send(form, found)
}

fn block_page(state: &WebState, id: &str) -> Found {
    let books = state.index.read();
    let height = id.parse::<u64>().ok().or_else(|| Digest::from_hex(id).and_then(|digest| books.height_of(&digest)));
    let block = height.and_then(|height| books.block(height)).cloned();
    drop(books);
    let block = block.ok_or_else(|| NoPage::Unknown(format!("No block {id:?} is kept here.")))?;
    let header = &block.header;
    let words = |signed: &SignedTransaction| describe_body(&signed.transaction.body).title().to_owned();
    let json = json!({
        "height": header.height, "digest": block.digest.to_string(), "timestamp_ms": header.timestamp_ms,
        "parent": header.parent.to_string(), "state_root": header.state_root.to_string(),
        "receipts_root": header.receipts_root.to_string(), "body_root": header.body_root.to_string(),
        "epoch": header.epoch, "view": header.view, "proposer": header.proposer.to_string(), "status": "final",
        "transactions": block.transactions.iter().map(|(id, signed)| json!({"transaction": id.to_string(), "words": words(signed)})).collect::<Vec<_>>(),
        "events": block.events.iter().map(|event| json!({"kind": story::kind(event), "text": text_of(&story::event(event, &state.names))})).collect::<Vec<_>>(),
    });
    let html = html! {
        div.title {
            h1 { "Block " (grouped(header.height)) } (badge("final"))
            div.forms {
                a href={ "/explorer/blocks/" (header.height.saturating_sub(1)) } rel="prev" { "← " (header.height.saturating_sub(1)) }
                a href={ "/explorer/blocks/" (header.height.saturating_add(1)) } rel="next" { (header.height.saturating_add(1)) " →" }
                a href={ "/explorer/blocks/" (header.height) ".json" } { "JSON" }
            }
        }
        (facts(&[
            ("Digest", hash(&block.digest.to_string(), "the block's digest")),
            ("Time", moment(header.timestamp_ms)),
            ("Proposed by", layout::node(&header.proposer, &state.names)),
            ("Consensus", html! { "view " (grouped(header.view)) ", epoch " (header.epoch) }),
            ("Parent", html! { a.id href={ "/explorer/blocks/" (header.parent) } { (layout::short(&header.parent.to_string(), 16)) } }),
            ("State root", hash(&header.state_root.to_string(), "the state root")),
            ("Receipts root", hash(&header.receipts_root.to_string(), "the receipts root")),
        ]))
        section { h2 { (block.transactions.len()) " transactions" }
            @if block.transactions.is_empty() { p.empty { "None." } }
            ul.story { @for (id, signed) in &block.transactions { li { (link("transactions", id)) " " (words(signed)) } } }
        }
        section { h2 { "What it decided" }
            @if block.events.is_empty() { p.empty { "Nothing." } }
            ul.story { @for event in &block.events { li { (story::event(event, &state.names)) } } }
        }
    };
    Ok(Page::new(format!("Block {}", header.height), Section::Explorer, html, json))
}

/// Markup without its tags.
fn text_of(markup: &Markup) -> String {
    let (mut text, mut is_tag) = (String::new(), false);
    for letter in markup.0.chars() {
        match letter {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if !is_tag => text.push(letter),
            _ => {}
        }
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A long value with its copy button.
pub(super) fn hash(text: &str, what: &str) -> Markup {
    html! { span.hash { code title=(text) { (layout::short(text, 20)) } (copy(text, what)) } }
}

pub(super) async fn transactions(
    State(state): State<WebState>,
    Query(query): Query<BTreeMap<String, String>>,
    form: Form,
) -> Response {
    let table = {
        let books = state.index.read();
        let found: Vec<_> = books.recent_transactions(after(&query)).take(PAGE_ROWS).collect();
        let next = found
            .last()
            .filter(|_| found.len() == PAGE_ROWS)
            .map(|(place, ..)| format!("/explorer/transactions?after={place}"));
        let rows = found.iter().filter_map(|(_, id, _)| transaction_row(&state, &books, id)).collect();
        Table {
            caption: "Transactions, newest first",
            columns: TRANSACTION_COLUMNS,
            rows,
            next,
            empty: "No transaction has been read yet.",
        }
    };
    let page = list(
        "Transactions",
        "In words, by the same code that wallets show before they sign.",
        "/explorer/transactions",
        &table,
    );
    state.send(form, Ok(page))
}

pub(super) const TRANSACTION_COLUMNS: &[super::table::Column] = &[
    ("transaction", "Transaction", false),
    ("words", "What it does", false),
    ("sender", "From", false),
    ("height", "Block", true),
    ("timestamp_ms", "Time", false),
];

pub(super) fn transaction_row(state: &WebState, books: &Books, id: &TransactionId) -> Option<Vec<Cell>> {
    let (block, signed) = books.transaction(id)?;
    let sender = signed.transaction.sender;
    Some(vec![
        Cell::new(link("transactions", id), id.to_string()),
        Cell::text(describe_body(&signed.transaction.body).title()),
        Cell::new(account(&sender, state), sender.to_string()),
        Cell::new(
            html! { a href={ "/explorer/blocks/" (block.header.height) } { (grouped(block.header.height)) } },
            block.header.height,
        ),
        Cell::moment(block.header.timestamp_ms),
    ])
}

/// An account: a node's by its name.
pub(super) fn account(id: &NodeId, state: &WebState) -> Markup {
    if state.names.contains_key(id) { layout::node(id, &state.names) } else { link("accounts", id) }
}

pub(super) async fn transaction(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = transaction_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn transaction_page(state: &WebState, id: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No transaction {id:?} is kept here."));
    let name = TransactionId::from_hex(id).ok_or_else(unknown)?;
    let (block, signed) = {
        let books = state.index.read();
        let (block, signed) = books.transaction(&name).ok_or_else(unknown)?;
        (Arc::clone(block), signed.clone())
    };
    let fee = wallet_fee(state, &signed).await?;
    let described = describe(&signed.transaction, fee);
    let failed = block.events.iter().find_map(|event| match event {
        inferium_types::Event::TransactionFailed { transaction, reason } if *transaction == name => {
            Some(reason.clone())
        }
        _ => None,
    });
    let raw = hex::encode(inferium_types::encode(&signed));
    let json = json!({
        "transaction": id, "status": "final", "failed": failed, "height": block.header.height,
        "timestamp_ms": block.header.timestamp_ms, "title": described.title(),
        "fields": described.lines().iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(), "borsh": raw,
    });
    let pretty = serde_json::to_string_pretty(&json).unwrap_or_default();
    let html = html! {
        div.title { h1 { (described.title()) } @match &failed { Some(_) => (badge("failed")), None => (badge("final")) }
            div.forms { a href={ "/explorer/transactions/" (id) ".json" } { "JSON" } } }
        @if let Some(reason) = &failed { p.error { "It cost its fee and did nothing else: " (reason) } }
        (facts(&[
            ("Transaction", hash(id, "the transaction's name")),
            ("Block", html! { a href={ "/explorer/blocks/" (block.header.height) } { (grouped(block.header.height)) } }),
            ("Time", moment(block.header.timestamp_ms)),
        ]))
        section { h2 { "In words" } dl.words { @for (name, value) in described.lines() { div { dt { (name) } dd { (value) } } } } }
        details { summary { "Raw" } pre tabindex="0" { (pretty) } }
    };
    Ok(Page::new(described.title(), Section::Explorer, html, json))
}

/// What a transaction of this size costs by the parameters of now.
pub(super) async fn wallet_fee(state: &WebState, signed: &SignedTransaction) -> Result<Amount, NoPage> {
    let meta: Option<inferium_ledger::Meta> = state.chain.entry(&inferium_ledger::StateKey::Meta).await?;
    let meta = meta.ok_or_else(|| NoPage::Unavailable("the chain has no state".into()))?;
    let size = inferium_types::encode(signed).len();
    inferium_ledger::fee_of(&signed.transaction.body, size, &meta.parameters)
        .map_err(|error| NoPage::Unavailable(error.to_string()))
}

pub(super) async fn search(
    State(state): State<WebState>,
    Query(query): Query<BTreeMap<String, String>>,
    form: Form,
) -> Response {
    let text = query.get("q").map(|text| text.trim().to_lowercase()).unwrap_or_default();
    match resolve(&state, &text) {
        Some(address) => Redirect::to(&address).into_response(),
        None => state.send(
            form,
            Err(NoPage::Unknown(format!(
                "Nobody here knows {text:?}: search for a height, a digest, an address, a node's or an agent's name, or a job."
            ))),
        ),
    }
}

/// The newest agent of a name.
fn agent_named(books: &Books, name: &str) -> Option<AgentId> {
    books.boards.agents().find(|(.., record)| record.name == name).map(|(_, id, _)| *id)
}

/// The page of what a text names.
fn resolve(state: &WebState, text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|letter| !matches!(letter, ',' | '\u{202f}' | ' ' | '#')).collect();
    if let Ok(height) = digits.parse::<u64>() {
        return state.index.read().block(height).map(|_| format!("/explorer/blocks/{height}"));
    }
    if let Some((id, _)) = state.names.iter().find(|(_, name)| name.to_lowercase() == text) {
        return Some(format!("/explorer/nodes/{id}"));
    }
    let Some(digest) = Digest::from_hex(text) else {
        return agent_named(&state.index.read(), text).map(|id| format!("/studios/{id}"));
    };
    let books = state.index.read();
    let node = NodeId::from_bytes(*digest.as_bytes());
    let kind = if books.height_of(&digest).is_some() {
        "blocks"
    } else if books.transaction(&TransactionId::new(digest)).is_some() {
        "transactions"
    } else if books.segments.get(&SegmentId::new(digest)).is_some() {
        "segments"
    } else if books.tasks.get(&TaskId::new(digest)).is_some() {
        "tasks"
    } else if let Some(task) = books.task_of(&inferium_types::LeaseId::new(digest)) {
        return Some(format!("/explorer/tasks/{task}"));
    } else if books.boards.agent(&AgentId::new(digest)).is_some() {
        return Some(format!("/studios/{digest}"));
    } else if books.boards.node(&node).is_some() {
        "nodes"
    } else if books.knows_account(&node) {
        "accounts"
    } else {
        // The gateway alone knows jobs; its page says when it does not.
        "receipts"
    };
    Some(format!("/explorer/{kind}/{digest}"))
}
