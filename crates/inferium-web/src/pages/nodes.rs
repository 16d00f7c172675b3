//! Nodes, accounts and slashes.

use super::explorer::{TRANSACTION_COLUMNS, hash, list, transaction_row};
use super::table::{Cell, PAGE_ROWS, Table};
use super::work::{why, why_box};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::layout::{self, Section, badge, facts, figure, grouped, link, money};
use crate::respond::{Form, bare};
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use inferium_ledger::{Account, Capability, Meta, Node, StateKey};
use inferium_query::{boards::NodeRecord, slashes::wilson};
use inferium_types::{AccountId, Amount, NodeId};
use maud::{Markup, html};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) const CHART_SCRIPTS: &[&str] = &["vendor/uplot/uPlot.iife.min.js", "js/chart.js"];
pub(super) const CHART_STYLES: &[&str] = &["vendor/uplot/uPlot.min.css"];

/// A chart that a script draws from a page's data.
pub(super) fn chart(title: &str, source: &str) -> Markup {
    html! { figure.chart { figcaption { (title) } div data-chart=(source) role="img" aria-label=(title) {} } }
}

/// A node as the chain has it, proven, with its name for people.
pub(super) struct Proven {
    pub(super) name: String,
    pub(super) node: Option<Node>,
    pub(super) capability: Option<Capability>,
}

impl Proven {
    pub(super) async fn read(state: &WebState, id: NodeId) -> Result<Self, NoPage> {
        let node: Option<Node> = state.chain.entry(&StateKey::Node(id)).await?;
        let is_worker = node.as_ref().is_some_and(Node::is_worker);
        let capability = if is_worker { state.chain.entry(&StateKey::Capability(id)).await? } else { None };
        let name = state.names.get(&id).cloned().unwrap_or_else(|| layout::short(&id.to_string(), 12));
        Ok(Self { name, node, capability })
    }

    pub(super) fn stake(&self) -> Amount {
        self.node.as_ref().map_or(Amount::ZERO, |node| node.stake)
    }

    pub(super) fn state(&self, epoch: u64) -> &'static str {
        match &self.node {
            None => "unknown",
            Some(node) if node.disqualified => "disqualified",
            Some(node) if node.removed => "removed",
            Some(node) if node.is_active(epoch) => "active",
            Some(_) => "jailed",
        }
    }
}

pub(super) async fn meta(state: &WebState) -> Result<Meta, NoPage> {
    let meta: Option<Meta> = state.chain.entry(&StateKey::Meta).await?;
    meta.ok_or_else(|| NoPage::Unavailable("the chain has no state".into()))
}

pub(super) async fn node(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = node_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn node_page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No node {text:?} is registered."));
    let id = NodeId::from_hex(text).ok_or_else(unknown)?;
    let meta = meta(state).await?;
    let proven = Proven::read(state, id).await?;
    let node = proven.node.as_ref().ok_or_else(unknown)?;
    let account: Account = state.chain.entry(&StateKey::Account(id)).await?.unwrap_or_default();
    let why = why(state, "node", text).await;
    let (record, segments): (NodeRecord, Vec<_>) = {
        let books = state.index.read();
        (books.boards.node(&id).cloned().unwrap_or_default(), books.segments_of(&id).take(PAGE_ROWS).collect())
    };
    let earned: Vec<(&str, Amount)> = record.earned.iter().map(|(source, amount)| (source.name(), *amount)).collect();
    let (role, is_worker, standing) = (node.role.name(), node.is_worker(), proven.state(meta.epoch));
    let json = json!({
        "node": text, "name": proven.name, "role": role, "state": standing, "operator": node.operator.to_string(),
        "stake_nano": node.stake.nano(), "delegated_nano": node.delegated.tokens.nano(), "unbonding_nano": node.unbonding.tokens.nano(),
        "unsettled_nano": node.unsettled.nano(), "balance_nano": account.balance.nano(), "jobs": record.jobs, "tokens": record.tokens,
        "verdicts": record.verdicts, "slashes": record.slashes, "earned_nano": record.earned_nano(), "why": why,
        "earned_by_source": earned.iter().map(|(source, amount)| json!({"source": source, "nano": amount.nano()})).collect::<Vec<_>>(),
        "segments": segments.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let html = html! {
        div.title { h1 { (proven.name) } span.role { (role) } (badge(standing)) div.forms { a href={ "/explorer/nodes/" (text) ".json" } { "JSON" } } }
        (why_box(why.as_ref()))
        section.figures {
            (figure("Stake", &money(node.stake), "slashable"))
            (figure("Earned", &money(Amount::from_nano(record.earned_nano())), "since the first block read"))
            (figure(if is_worker { "Answers that held" } else { "Verdicts" }, &html! { (grouped(if is_worker { record.jobs } else { record.verdicts })) }, ""))
            (figure("Slashes", &html! { (record.slashes) }, "that stand"))
        }
        (facts(&[
            ("Address", hash(text, "the node's address")),
            ("Operator", link("accounts", &node.operator)),
            ("Balance", money(account.balance)),
            ("Final, not yet settled", money(node.unsettled)),
            ("On its way back", money(node.unbonding.tokens)),
            ("Delegated to it", money(node.delegated.tokens)),
            ("Speed", html! { @match &proven.capability { Some(capability) => { (grouped(capability.score)) " work units a second" @if let Some(tier) = capability.tier { ", tier " (tier.name()) } }, None => "—" } }),
        ]))
        @if is_worker { (duty(state, text)) }
        section { h2 { "Earnings" } @if earned.is_empty() { p.empty { "Nothing yet." } }
            dl.words { @for (source, amount) in &earned { div { dt { (source) } dd { (money(*amount)) } } } } }
        section { h2 { "Newest segments" } @if segments.is_empty() { p.empty { "None yet." } }
            p.chips { @for segment in &segments { (link("segments", segment)) " " } } }
    };
    let mut page = Page::new(proven.name.clone(), Section::Leaderboard, html, json);
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
