//! Nodes, accounts, slashes, and the leaderboard.

use super::explorer::{TRANSACTION_COLUMNS, hash, list, transaction_row};
use super::table::{Cell, PAGE_ROWS, Table};
use super::work::{why, why_box};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::index::NodeBook;
use crate::layout::{self, Section, badge, facts, figure, grouped, link, money};
use crate::respond::{Form, bare};
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use inferium_ledger::{Account, Capability, Meta, Node, StateKey};
use inferium_query::slashes::wilson;
use inferium_types::{AccountId, Amount, NodeId};
use maud::{Markup, html};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) const CHART_SCRIPTS: &[&str] = &["vendor/uplot/uPlot.iife.min.js", "js/chart.js"];
pub(super) const CHART_STYLES: &[&str] = &["vendor/uplot/uPlot.min.css"];
/// Nodes of the leaderboard.
const RANKED_MAX: usize = 200;

/// A chart that a script draws from a page's data.
pub(super) fn chart(title: &str, source: &str) -> Markup {
    html! { figure.chart { figcaption { (title) } div data-chart=(source) role="img" aria-label=(title) {} } }
}

/// A node as the chain has it, and as the index remembers it.
struct Ranked {
    id: NodeId,
    name: String,
    node: Option<Node>,
    capability: Option<Capability>,
    role: &'static str,
    jobs: u64,
    tokens: u64,
    approved: u64,
    rejected: u64,
    verdicts: u64,
    proposed: u64,
    slashes: u64,
    earned: u64,
}

impl Ranked {
    async fn read(state: &WebState, id: NodeId) -> Result<Self, NoPage> {
        let node: Option<Node> = state.chain.entry(&StateKey::Node(id)).await?;
        let is_worker = node.as_ref().is_some_and(Node::is_worker);
        let capability = if is_worker { state.chain.entry(&StateKey::Capability(id)).await? } else { None };
        let books = state.index.read();
        let nothing = NodeBook::default();
        let book = books.nodes.get(&id).unwrap_or(&nothing);
        let name = state.names.get(&id).cloned().unwrap_or_else(|| layout::short(&id.to_string(), 12));
        Ok(Self {
            id,
            name,
            role: node.as_ref().map(|node| node.role.name()).or(book.role).unwrap_or("account"),
            node,
            capability,
            jobs: book.jobs,
            tokens: book.tokens,
            approved: book.approved,
            rejected: book.rejected,
            verdicts: book.verdicts,
            proposed: book.proposed,
            slashes: book.slashes,
            earned: book.earned_nano(),
        })
    }

    fn stake(&self) -> Amount {
        self.node.as_ref().map_or(Amount::ZERO, |node| node.stake)
    }

    /// Segments that held, of all that were judged; in parts per million.
    fn verified_ppm(&self) -> Option<u64> {
        self.approved.saturating_mul(1_000_000).checked_div(self.approved.saturating_add(self.rejected))
    }

    fn state(&self, epoch: u64) -> &'static str {
        match &self.node {
            None => "unknown",
            Some(node) if node.disqualified => "disqualified",
            Some(node) if node.removed => "removed",
            Some(node) if node.is_active(epoch) => "active",
            Some(_) => "jailed",
        }
    }
}

async fn meta(state: &WebState) -> Result<Meta, NoPage> {
    let meta: Option<Meta> = state.chain.entry(&StateKey::Meta).await?;
    meta.ok_or_else(|| NoPage::Unavailable("the chain has no state".into()))
}

async fn ranked(state: &WebState) -> Result<Vec<Ranked>, NoPage> {
    let mut ids: Vec<NodeId> = state.names.keys().copied().collect();
    {
        let books = state.index.read();
        ids.extend(
            books
                .nodes
                .iter()
                .filter(|(id, book)| book.role.is_some() && !state.names.contains_key(id))
                .map(|(id, _)| *id),
        );
    }
    ids.truncate(RANKED_MAX);
    let read = ids.into_iter().map(|id| Ranked::read(state, id));
    futures::future::try_join_all(read).await
}

pub(super) async fn leaderboard(State(state): State<WebState>, form: Form) -> Response {
    let found = leaderboard_page(&state).await;
    state.send(form, found)
}

async fn leaderboard_page(state: &WebState) -> Found {
    let meta = meta(state).await?;
    let mut all = ranked(state).await?;
    all.sort_by_key(|ranked| (std::cmp::Reverse(ranked.tokens), std::cmp::Reverse(ranked.verdicts), ranked.id));
    let workers = workers_table(all.iter().filter(|ranked| ranked.role == "worker"), state, meta.epoch);
    let validators = validators_table(all.iter().filter(|ranked| ranked.role == "validator"), state, meta.epoch);
    let gateways: Vec<&Ranked> = all.iter().filter(|ranked| ranked.role == "gateway").collect();
    let json = json!({
        "height": meta.height, "epoch": meta.epoch, "bonded_nano": meta.bonded.nano(),
        "workers": workers.json_rows(), "validators": validators.json_rows(),
        "gateways": gateways.iter().map(|ranked| json!({"node": ranked.id.to_string(), "name": ranked.name, "stake_nano": ranked.stake().nano()})).collect::<Vec<_>>(),
        "minutes": state.index.read().minutes.iter().map(|minute| json!([minute.at_ms / 1_000, minute.blocks, minute.transactions, minute.jobs, minute.tokens])).collect::<Vec<_>>(),
    });
    let html = html! {
        div.title { h1 { "Leaderboard" } div.forms { a href="/leaderboard.json" { "JSON" } a href="/leaderboard.csv" { "CSV" } } }
        p.lead { "Ranked by work that held, up to block " (grouped(meta.height)) ": tokens of answers that a committee replayed and approved. Stakes are proven from the state root. Models have " a href="/boards" { "boards" } ", runs of training their " a href="/training" { "curves" } "." }
        section.figures {
            (figure("Workers", &html! { (workers.rows.len()) }, "execute answers"))
            (figure("Validators", &html! { (validators.rows.len()) }, "replay and vote"))
            (figure("At stake", &money(meta.bonded), "behind all of it"))
            (figure("Epoch", &html! { (grouped(meta.epoch)) }, "of the ledger"))
        }
        (chart("Tokens and blocks by the minute", "/leaderboard.json"))
        section { h2 { "Workers" } (workers.html()) }
        section { h2 { "Validators" } (validators.html()) }
        section { h2 { "Gateways" } p.chips { @for ranked in &gateways { (layout::node(&ranked.id, &state.names)) " " } } }
    };
    let mut page = Page::new("Leaderboard", Section::Leaderboard, html, json);
    page.csv = Some(workers.csv());
    page.scripts = CHART_SCRIPTS;
    page.styles = CHART_STYLES;
    Ok(page)
}

fn rank_of(index: usize) -> Cell {
    let rank = index.saturating_add(1);
    let medal = match rank {
        1 => "rank gold",
        2 => "rank silver",
        3 => "rank bronze",
        _ => "rank",
    };
    Cell::new(html! { span class=(medal) { (rank) } }, rank)
}

fn share(ranked: &Ranked) -> Cell {
    match ranked.verified_ppm() {
        None => Cell::new(html! { "—" }, None::<u64>),
        Some(ppm) => Cell::new(
            html! { meter.share min="0" max="1000000" value=(ppm) aria-label="Verified share" {} (ppm / 10_000) " %" },
            ppm,
        ),
    }
}

fn workers_table<'a>(all: impl Iterator<Item = &'a Ranked>, state: &WebState, epoch: u64) -> Table {
    let row = |(index, ranked): (usize, &Ranked)| {
        let score = ranked.capability.as_ref().map_or(0, |capability| capability.score);
        vec![
            rank_of(index),
            Cell::new(layout::node(&ranked.id, &state.names), ranked.id.to_string()),
            Cell::new(badge(ranked.state(epoch)), ranked.state(epoch)),
            Cell::number(ranked.tokens),
            Cell::number(ranked.jobs),
            share(ranked),
            Cell::number(score),
            Cell::money(ranked.stake()),
            Cell::money(Amount::from_nano(ranked.earned)),
            Cell::number(ranked.slashes),
        ]
    };
    Table {
        caption: "Workers by tokens of answers that held",
        columns: &[
            ("rank", "#", false),
            ("node", "Worker", false),
            ("state", "State", false),
            ("tokens", "Tokens", true),
            ("jobs", "Answers", true),
            ("verified_ppm", "Verified", true),
            ("score", "Speed", true),
            ("stake_nano", "Stake", true),
            ("earned_nano", "Earned", true),
            ("slashes", "Slashes", true),
        ],
        rows: all.enumerate().map(row).collect(),
        next: None,
        empty: "No worker has registered yet.",
    }
}

fn validators_table<'a>(all: impl Iterator<Item = &'a Ranked>, state: &WebState, epoch: u64) -> Table {
    let row = |(index, ranked): (usize, &Ranked)| {
        let delegated = ranked.node.as_ref().map_or(Amount::ZERO, |node| node.delegated.tokens);
        vec![
            rank_of(index),
            Cell::new(layout::node(&ranked.id, &state.names), ranked.id.to_string()),
            Cell::new(badge(ranked.state(epoch)), ranked.state(epoch)),
            Cell::number(ranked.verdicts),
            Cell::number(ranked.proposed),
            Cell::money(ranked.stake()),
            Cell::money(delegated),
            Cell::money(Amount::from_nano(ranked.earned)),
            Cell::number(ranked.slashes),
        ]
    };
    Table {
        caption: "Validators by verdicts",
        columns: &[
            ("rank", "#", false),
            ("node", "Validator", false),
            ("state", "State", false),
            ("verdicts", "Verdicts", true),
            ("proposed", "Blocks", true),
            ("stake_nano", "Stake", true),
            ("delegated_nano", "Delegated", true),
            ("earned_nano", "Earned", true),
            ("slashes", "Slashes", true),
        ],
        rows: all.enumerate().map(row).collect(),
        next: None,
        empty: "No validator is known.",
    }
}

pub(super) async fn node(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = node_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn node_page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No node {text:?} is registered."));
    let id = NodeId::from_hex(text).ok_or_else(unknown)?;
    let meta = meta(state).await?;
    let ranked = Ranked::read(state, id).await?;
    let node = ranked.node.as_ref().ok_or_else(unknown)?;
    let account: Account = state.chain.entry(&StateKey::Account(id)).await?.unwrap_or_default();
    let why = why(state, "node", text).await;
    let (earned, segments) = {
        let books = state.index.read();
        let book = books.nodes.get(&id);
        let earned: Vec<(&str, Amount)> = book
            .into_iter()
            .flat_map(|book| book.earned.iter().map(|(source, amount)| (source.name(), *amount)))
            .collect();
        (
            earned,
            book.into_iter().flat_map(|book| book.segments.iter().rev().take(PAGE_ROWS).copied()).collect::<Vec<_>>(),
        )
    };
    let standing = ranked.state(meta.epoch);
    let json = json!({
        "node": text, "name": ranked.name, "role": ranked.role, "state": standing, "operator": node.operator.to_string(),
        "stake_nano": node.stake.nano(), "delegated_nano": node.delegated.tokens.nano(), "unbonding_nano": node.unbonding.tokens.nano(),
        "unsettled_nano": node.unsettled.nano(), "balance_nano": account.balance.nano(), "jobs": ranked.jobs, "tokens": ranked.tokens,
        "verdicts": ranked.verdicts, "slashes": ranked.slashes, "earned_nano": ranked.earned, "why": why,
        "earned_by_source": earned.iter().map(|(source, amount)| json!({"source": source, "nano": amount.nano()})).collect::<Vec<_>>(),
        "segments": segments.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let html = html! {
        div.title { h1 { (ranked.name) } span.role { (ranked.role) } (badge(standing)) div.forms { a href={ "/explorer/nodes/" (text) ".json" } { "JSON" } } }
        (why_box(why.as_ref()))
        section.figures {
            (figure("Stake", &money(node.stake), "slashable"))
            (figure("Earned", &money(Amount::from_nano(ranked.earned)), "since the first block read"))
            (figure(if ranked.role == "worker" { "Answers that held" } else { "Verdicts" }, &html! { (grouped(if ranked.role == "worker" { ranked.jobs } else { ranked.verdicts })) }, ""))
            (figure("Slashes", &html! { (ranked.slashes) }, ""))
        }
        (facts(&[
            ("Address", hash(text, "the node's address")),
            ("Operator", link("accounts", &node.operator)),
            ("Balance", money(account.balance)),
            ("Final, not yet settled", money(node.unsettled)),
            ("On its way back", money(node.unbonding.tokens)),
            ("Delegated to it", money(node.delegated.tokens)),
            ("Speed", html! { @match &ranked.capability { Some(capability) => { (grouped(capability.score)) " work units a second" @if let Some(tier) = capability.tier { ", tier " (tier.name()) } }, None => "—" } }),
        ]))
        @if ranked.role == "worker" { (duty(state, text)) }
        section { h2 { "Earnings" } @if earned.is_empty() { p.empty { "Nothing yet." } }
            dl.words { @for (source, amount) in &earned { div { dt { (source) } dd { (money(*amount)) } } } } }
        section { h2 { "Newest segments" } @if segments.is_empty() { p.empty { "None yet." } }
            p.chips { @for segment in &segments { (link("segments", segment)) " " } } }
    };
    let mut page = Page::new(ranked.name.clone(), Section::Leaderboard, html, json);
    if state.is_for_operators {
        page.scripts = &["js/duty.js"];
    }
    Ok(page)
}

/// Where the operator of a worker has it pause, work again, or go.
fn duty(state: &WebState, node: &str) -> Markup {
    if !state.is_for_operators {
        return html! {
            section { h2 { "Duty" } p.hint { "Its operator has it pause, work again or drain at the gateway's admin address (" code { "inferium key admin" } " prints it), or with " code { "inferium worker pause" } "." } }
        };
    }
    html! {
        section #duty data-duty=(node) {
            h2 { "Duty " span.badge #duty-state role="status" { "…" } }
            p.hint { "Paused, it ends and is paid for what it began, and takes nothing new. Drained, it then goes for good." }
            form.card #duty-form {
                label { span { "Admin token" } input #admin-token type="password" autocomplete="off" spellcheck="false" placeholder="as `inferium key admin` prints it"; }
                p.row {
                    button type="button" data-set="paused" disabled { "Pause" }
                    button.primary type="button" data-set="working" disabled { "Work again" }
                    button type="button" data-set="draining" disabled { "Drain" }
                }
            }
            p.error #duty-error role="alert" {}
            dialog #drain aria-labelledby="drain-title" {
                h2 #drain-title { "Drain this worker?" }
                p { "It ends what it began and then goes. Nothing but a restart of its process brings it back." }
                div.row { button type="button" data-close="" { "Let it work" } button.primary type="button" #drain-now { "Drain" } }
            }
        }
    }
}

pub(super) async fn account(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = account_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn account_page(state: &WebState, text: &str) -> Found {
    let id = AccountId::from_hex(text)
        .ok_or_else(|| NoPage::Unknown(format!("{text:?} is no address: expected 64 hex digits.")))?;
    let account: Account = state.chain.entry(&StateKey::Account(id)).await?.unwrap_or_default();
    let books = state.index.read();
    let rows =
        books.transactions_of(&id).take(PAGE_ROWS).filter_map(|of| transaction_row(state, &books, &of)).collect();
    let table = Table {
        caption: "Transactions of the account, newest first",
        columns: TRANSACTION_COLUMNS,
        rows,
        next: None,
        empty: "None that is kept here.",
    };
    let json = json!({"account": text, "balance_nano": account.balance.nano(), "nonce": account.nonce, "transactions": table.json_rows()});
    let html = html! {
        div.title { h1 { "Account" } div.forms { a href={ "/explorer/accounts/" (text) ".json" } { "JSON" } } }
        section.figures { (figure("Balance", &money(account.balance), "proven from the state root")) (figure("Transactions sent", &html! { (grouped(account.nonce)) }, "")) }
        (facts(&[("Address", hash(text, "the address"))]))
        section { h2 { "Transactions" } (table.html()) }
    };
    let mut page = Page::new("Account", Section::Explorer, html, json);
    page.csv = Some(table.csv());
    Ok(page)
}

pub(super) async fn slashes(
    State(state): State<WebState>,
    Query(query): Query<BTreeMap<String, String>>,
    form: Form,
) -> Response {
    let before = super::explorer::after(&query).unwrap_or(u64::MAX);
    let books = state.index.read();
    let found: Vec<_> = books.slashes.slashes.range(..before).rev().take(PAGE_ROWS).collect();
    let next = found
        .last()
        .filter(|_| found.len() == PAGE_ROWS)
        .map(|(number, _)| format!("/explorer/slashes?after={number}"));
    let row = |(number, shown): &(&u64, &inferium_query::slashes::Shown)| {
        let slash = &shown.slash;
        vec![
            Cell::number(**number),
            Cell::new(layout::node(&slash.node, &state.names), slash.node.to_string()),
            Cell::new(html! { (slash.rule.name().replace('_', " ")) }, slash.rule.name()),
            Cell::money(slash.amount),
            Cell::new(html! { (badge(shown.state)) @if slash.disqualified { " " (badge("barred")) } }, shown.state),
            Cell::new(
                html! {
                    @if let Some(segment) = &slash.segment { (link("segments", segment)) br; }
                    @for verdict in &shown.verdicts { span.note { (verdict) } br; }
                    a href={ "/explorer/blocks/" (shown.height) } { "block " (grouped(shown.height)) }
                },
                shown.as_json(),
            ),
        ]
    };
    let table = Table {
        caption: "Slashes, newest first",
        columns: &[
            ("slash", "#", false),
            ("node", "Node", false),
            ("rule", "Rule", false),
            ("amount_nano", "Amount", true),
            ("state", "State", false),
            ("evidence", "Evidence", false),
        ],
        rows: found.iter().map(row).collect(),
        next,
        empty: "Nobody was slashed. Start a network with --crime to see it happen.",
    };
    let (all, overturned) = books.slashes.counts();
    let (low, high) = wilson(overturned, all);
    let mut page =
        list("Slashes", "Stake that was taken, with the evidence and what became of it.", "/explorer/slashes", &table);
    drop(books);
    page.html = html! { (page.html) p.note { (all) " slashes, " (overturned) " overturned; the rate of false ones is between " (format!("{low:.4}")) " and " (format!("{high:.4}")) " at 95 %." } };
    state.send(form, Ok(page))
}
