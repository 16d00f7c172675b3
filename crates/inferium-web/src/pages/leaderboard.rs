//! The leaderboard: workers, validators and agents, by the fold that `inferium leaderboard` makes again (SPEC L3).
//!
//! Counts, shares and ranks are the boards'; stake, speed and standing are of now, proven from the state root.

use super::explorer::hash;
use super::nodes::{CHART_SCRIPTS, CHART_STYLES, Proven, chart, meta};
use super::table::{Cell, Column, Table};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::index::Stated;
use crate::layout::{self, Names, Section, badge, copy, figure, grouped, money};
use crate::respond::Form;
use axum::{extract::State, response::Response};
use inferium_query::boards::{AgentRow, PAYERS_MAX, Role, ValidatorRow, WorkerRow};
use inferium_types::{Amount, NodeId};
use maud::{Markup, html};
use serde_json::{Value, json};

/// Rows of each board that are shown, the best first: for each node the chain is asked.
const SHOWN_MAX: usize = 100;

const WORKER_COLUMNS: &[Column] = &[
    ("rank", "#", false),
    ("node", "Worker", false),
    ("state", "State", false),
    ("verified_ppm", "Verified", true),
    ("low_ppm", "From", true),
    ("high_ppm", "To", true),
    ("approved", "Segments", true),
    ("jobs", "Answers", true),
    ("tokens", "Tokens", true),
    ("score", "Speed", true),
    ("stake_nano", "Stake", true),
    ("earned_nano", "Earned", true),
    ("slashes", "Slashes", true),
];
const VALIDATOR_COLUMNS: &[Column] = &[
    ("rank", "#", false),
    ("node", "Validator", false),
    ("state", "State", false),
    ("share_ppm", "Held", true),
    ("low_ppm", "From", true),
    ("high_ppm", "To", true),
    ("verdicts", "Verdicts", true),
    ("proposed", "Blocks", true),
    ("stake_nano", "Stake", true),
    ("delegated_nano", "Delegated", true),
    ("earned_nano", "Earned", true),
    ("slashes", "Slashes", true),
];
const AGENT_COLUMNS: &[Column] = &[
    ("rank", "#", false),
    ("agent", "Agent", false),
    ("name", "Name", false),
    ("creator", "Creator", false),
    ("state", "State", false),
    ("version", "Version", true),
    ("price_nano", "A run", true),
    ("runs", "Paid runs", true),
    ("payers", "Payers", true),
    ("fees_nano", "Fees", true),
    ("earned_nano", "Its creator earned", true),
];

pub(super) async fn leaderboard(State(state): State<WebState>, form: Form) -> Response {
    let found = page(&state).await;
    state.send(form, found)
}

/// The first rows with what the chain has of their nodes now.
async fn proven<'a, R>(
    state: &WebState,
    rows: &'a [R],
    node: impl Fn(&R) -> &str,
) -> Result<Vec<(&'a R, NodeId, Proven)>, NoPage> {
    let read = rows.iter().take(SHOWN_MAX).filter_map(|row| NodeId::from_hex(node(row)).map(|id| (row, id)));
    let read = read.map(|(row, id)| async move { Proven::read(state, id).await.map(|proven| (row, id, proven)) });
    futures::future::try_join_all(read).await
}

async fn page(state: &WebState) -> Found {
    let meta = meta(state).await?;
    let boards = state.index.boards(&state.chain.network_key());
    let (workers, validators, agents) = (&boards.workers, &boards.validators, &boards.agents);
    let worker_rows = proven(state, &workers.board.rows, |row| &row.node).await?;
    let validator_rows = proven(state, &validators.board.rows, |row| &row.node).await?;
    let worker_table = worker_table(&worker_rows, &state.names, meta.epoch);
    let validator_table = validator_table(&validator_rows, &state.names, meta.epoch);
    let agent_table = agent_table(&agents.board.rows);
    let gateways = gateways(state).await?;
    let gateway_json = |(id, proven): &(NodeId, Proven)| json!({"node": id.to_string(), "name": proven.name, "stake_nano": proven.stake().nano()});
    let json = json!({
        "height": meta.height, "epoch": meta.epoch, "bonded_nano": meta.bonded.nano(),
        "boards": {"workers": workers.json(), "validators": validators.json(), "agents": agents.json()},
        "workers": worker_table.json_rows(), "validators": validator_table.json_rows(), "agents": agent_table.json_rows(),
        "gateways": gateways.iter().map(gateway_json).collect::<Vec<_>>(),
        "minutes": state.index.read().minutes.iter().map(|minute| json!([minute.at_ms / 1_000, minute.blocks, minute.transactions, minute.jobs, minute.tokens])).collect::<Vec<Value>>(),
    });
    let html = html! {
        div.title { h1 { "Leaderboard" } div.forms { a href="/leaderboard.json" { "JSON" } a href="/leaderboard.csv" { "CSV" } } }
        p.lead { "Ranked by work that held, as certified blocks say it up to block " (grouped(workers.board.height)) ". Nobody is ranked within noise, and each board is folded again by the command below it. Stakes are proven from the state root. Models have " a href="/boards" { "boards" } ", runs of training their " a href="/training" { "curves" } "." }
        section.figures {
            (figure("Workers", &html! { (grouped(count(workers.board.rows.len()))) }, "execute answers"))
            (figure("Validators", &html! { (grouped(count(validators.board.rows.len()))) }, "replay and vote"))
            (figure("Agents", &html! { (grouped(count(agents.board.rows.len()))) }, "run on top"))
            (figure("At stake", &money(meta.bonded), "behind all of it"))
            (figure("Epoch", &html! { (grouped(meta.epoch)) }, "of the ledger"))
        }
        (chart("Tokens and blocks by the minute", "/leaderboard.json"))
        section { h2 { "Workers" } (worker_table.html()) (again(workers)) }
        section { h2 { "Validators" } (validator_table.html()) (again(validators)) }
        section { h2 { "Agents" } (agent_table.html()) (again(agents)) }
        section { h2 { "Gateways" } p.chips { @for (id, _) in &gateways { (layout::node(id, &state.names)) " " } } }
    };
    let mut page = Page::new("Leaderboard", Section::Leaderboard, html, json);
    page.csv = Some(worker_table.csv());
    page.scripts = CHART_SCRIPTS;
    page.styles = CHART_STYLES;
    Ok(page)
}

/// Gateways that registered.
async fn gateways(state: &WebState) -> Result<Vec<(NodeId, Proven)>, NoPage> {
    let ids: Vec<NodeId> = {
        let books = state.index.read();
        let found = books.boards.nodes().filter(|(_, node)| node.role == Some(Role::Gateway));
        found.map(|(id, _)| *id).take(SHOWN_MAX).collect()
    };
    let read = ids.into_iter().map(|id| async move { Proven::read(state, id).await.map(|proven| (id, proven)) });
    futures::future::try_join_all(read).await
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What a board is of, and the command that folds it again.
fn again<R>(stated: &Stated<R>) -> Markup {
    let board = &stated.board;
    html! {
        p.soft {
            "Folded from blocks " (grouped(board.first)) " to " (grouped(board.height)) ", digest " (hash(&stated.digest.to_string(), "the board's digest"))
            @if board.rows.len() > SHOWN_MAX { " · the first " (SHOWN_MAX) " of " (grouped(count(board.rows.len()))) " rows are shown" }
            @if !board.complete { " · there were more than a board has room for" }
        }
        p.soft {
            "Fold it again, with " code { "--rpc URL" } " of a validator where no network of yours runs: "
            code { (stated.command) } (copy(&stated.command, "the command"))
        }
    }
}

fn rank(rank: Option<u64>) -> Cell {
    let medal = match rank {
        Some(1) => "rank gold",
        Some(2) => "rank silver",
        Some(3) => "rank bronze",
        _ => "rank",
    };
    Cell::new(html! { @match rank { Some(rank) => span class=(medal) { (rank) }, None => "—" } }, rank)
}

/// Parts per million as a percentage with one decimal; nothing where nothing was judged.
fn percent(ppm: u32, is_judged: bool) -> Cell {
    let tenths = ppm.saturating_add(500) / 1_000;
    let shown = html! { @if is_judged { (tenths / 10) "." (tenths % 10) "\u{a0}%" } @else { "—" } };
    Cell::new(shown, is_judged.then_some(ppm))
}

/// Slashes that stand; what they took on a closer look.
fn slashes(count: u64, nano: u64) -> Cell {
    Cell::new(html! { span title=(Amount::from_nano(nano)) { (grouped(count)) } }, count)
}

/// How a node stands now; what the board says of it comes first.
fn standing(barred: bool, proven: &Proven, epoch: u64) -> Cell {
    let state = if barred { "barred" } else { proven.state(epoch) };
    Cell::new(badge(state), state)
}

fn nano(nano: u64) -> Cell {
    Cell::money(Amount::from_nano(nano))
}

fn worker_table(rows: &[(&WorkerRow, NodeId, Proven)], names: &Names, epoch: u64) -> Table {
    let cells = |(row, id, proven): &(&WorkerRow, NodeId, Proven)| {
        let is_judged = row.rank.is_some();
        vec![
            rank(row.rank),
            Cell::new(layout::node(id, names), row.node.as_str()),
            standing(row.barred, proven, epoch),
            percent(row.verified_ppm, is_judged),
            percent(row.low_ppm, is_judged),
            percent(row.high_ppm, is_judged),
            Cell::new(
                html! { (grouped(row.approved)) " of " (grouped(row.approved.saturating_add(row.rejected))) },
                row.approved,
            ),
            Cell::number(row.jobs),
            Cell::number(row.tokens),
            Cell::number(proven.capability.as_ref().map_or(0, |capability| capability.score)),
            Cell::money(proven.stake()),
            nano(row.earned_nano),
            slashes(row.slashes, row.slashed_nano),
        ]
    };
    Table {
        caption: "Workers by the share of their segments that held",
        columns: WORKER_COLUMNS,
        rows: rows.iter().map(cells).collect(),
        next: None,
        empty: "No worker has registered yet.",
    }
}

fn validator_table(rows: &[(&ValidatorRow, NodeId, Proven)], names: &Names, epoch: u64) -> Table {
    let cells = |(row, id, proven): &(&ValidatorRow, NodeId, Proven)| {
        let is_judged = row.rank.is_some();
        vec![
            rank(row.rank),
            Cell::new(layout::node(id, names), row.node.as_str()),
            standing(row.barred, proven, epoch),
            percent(row.share_ppm, is_judged),
            percent(row.low_ppm, is_judged),
            percent(row.high_ppm, is_judged),
            Cell::number(row.verdicts),
            Cell::number(row.proposed),
            Cell::money(proven.stake()),
            Cell::money(proven.node.as_ref().map_or(Amount::ZERO, |node| node.delegated.tokens)),
            nano(row.earned_nano),
            slashes(row.slashes, row.slashed_nano),
        ]
    };
    Table {
        caption: "Validators by the share of their duties that held",
        columns: VALIDATOR_COLUMNS,
        rows: rows.iter().map(cells).collect(),
        next: None,
        empty: "No validator is known.",
    }
}

fn agent_table(rows: &[AgentRow]) -> Table {
    let link = |agent: &str, text: &str| html! { a href={ "/studios/" (agent) } title=(agent) { (text) } };
    let cells = |row: &AgentRow| {
        let has_more = row.payers >= count(PAYERS_MAX);
        vec![
            rank(row.rank),
            Cell::new(html! { code { (link(&row.agent, &layout::short(&row.agent, 12))) } }, row.agent.as_str()),
            Cell::new(link(&row.agent, &row.name), row.name.as_str()),
            Cell::new(layout::link("accounts", &row.creator), row.creator.as_str()),
            Cell::new(badge(&row.state), row.state.as_str()),
            Cell::number(row.version.into()),
            nano(row.price_nano),
            Cell::number(row.runs),
            Cell::new(html! { (grouped(row.payers)) @if has_more { "+" } }, row.payers),
            nano(row.fees_nano),
            nano(row.earned_nano),
        ]
    };
    Table {
        caption: "Agents by what their runs cost those who paid",
        columns: AGENT_COLUMNS,
        rows: rows.iter().take(SHOWN_MAX).map(cells).collect(),
        next: None,
        empty: "No agent has been published yet.",
    }
}

#[cfg(test)]
mod tests;
