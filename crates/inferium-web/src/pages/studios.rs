//! The catalogue of agents.

use super::table::{Cell, Column, PAGE_ROWS, Table};
use super::{Found, Page};
use crate::WebState;
use crate::index::Books;
use crate::layout::{self, Section, badge, grouped, money, short};
use crate::listing::ById;
use crate::respond::Form;
use axum::{
    extract::{Query, State},
    response::Response,
};
use inferium_query::boards::AgentState;
use inferium_types::{AccountId, AgentId, Amount};
use maud::{Markup, html};
use serde_json::json;
use std::collections::BTreeMap;

/// Characters of a search that are read.
const SEARCH_MAX: usize = 100;
const COLUMNS: &[Column] = &[
    ("agent", "Agent", false),
    ("name", "Name", false),
    ("summary", "Summary", false),
    ("creator", "Creator", false),
    ("state", "State", false),
    ("price_nano", "A run", true),
    ("runs", "Paid runs", true),
    ("earned_nano", "Its creator earned", true),
];

/// In which order agents are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Runs,
    Newest,
    Price,
}

const SORTS: [(Sort, &str, &str); 3] =
    [(Sort::Runs, "runs", "Most run"), (Sort::Newest, "newest", "Newest"), (Sort::Price, "price", "Least price")];

/// What of the catalogue is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    words: String,
    sort: Sort,
    /// From 1.
    page: usize,
}

impl Asked {
    pub(crate) fn of(query: &BTreeMap<String, String>) -> Self {
        let field = |name: &str| query.get(name).map_or("", |text| text.trim());
        Self {
            words: field("q").chars().take(SEARCH_MAX).collect(),
            sort: SORTS.iter().find(|(_, name, _)| *name == field("sort")).map_or(Sort::Runs, |(sort, ..)| *sort),
            page: field("page").parse().unwrap_or(1).max(1),
        }
    }

    /// The address of the catalogue in another order, or of another page.
    fn address(&self, sort: Sort, page: usize) -> String {
        let mut out = String::from("/studios");
        let mut mark = '?';
        let name = SORTS.iter().find(|(of, ..)| *of == sort).map_or("", |(_, name, _)| name);
        let page = page.to_string();
        for (field, value, is_usual) in [
            ("q", self.words.as_str(), self.words.is_empty()),
            ("sort", name, sort == Sort::Runs),
            ("page", page.as_str(), page == "1"),
        ] {
            if !is_usual {
                out.push(mark);
                out.push_str(field);
                out.push('=');
                out.push_str(&escaped(value));
                mark = '&';
            }
        }
        out
    }
}

/// A value in an address: what is not plain goes as percent and hex digits.
fn escaped(value: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(one).collect()
}

/// An agent of the catalogue.
#[derive(Debug)]
struct Row<'a> {
    /// Of two agents, that of the newer one is greater.
    place: u64,
    id: AgentId,
    name: &'a str,
    summary: &'a str,
    creator: AccountId,
    state: AgentState,
    price: Amount,
    runs: u64,
    earned: Amount,
}

impl Row<'_> {
    fn holds(&self, words: &str) -> bool {
        let whole = format!("{} {} {} {}", self.name, self.summary, self.creator, self.id).to_lowercase();
        words.split_whitespace().all(|word| whole.contains(word))
    }

    fn cells(&self) -> Vec<Cell> {
        let text = |text: &str| Cell { html: Markup::default(), value: text.into() };
        vec![
            text(&self.id.to_string()),
            text(self.name),
            text(self.summary),
            text(&self.creator.to_string()),
            text(self.state.name()),
            Cell::money(self.price),
            Cell::number(self.runs),
            Cell::money(self.earned),
        ]
    }
}

/// All agents that are open, from the blocks that were read, and those that are older than these from the gateway.
fn rows<'a>(books: &'a Books, listed: &'a ById) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = books
        .boards
        .agents()
        .filter(|(.., record)| record.state != AgentState::Closed)
        .map(|(place, id, record)| Row {
            place,
            id: *id,
            name: &record.name,
            // Words of another version are not those of this one.
            summary: listed.get(id).filter(|of| of.manifest == record.manifest).map_or("", |of| &of.summary),
            creator: record.creator,
            state: record.state,
            price: record.price,
            runs: record.runs,
            earned: record.earned,
        })
        .collect();
    let older = listed.iter().filter(|(id, _)| books.boards.agent(id).is_none());
    rows.extend(older.map(|(id, of)| Row {
        place: 0,
        id: *id,
        name: &of.name,
        summary: &of.summary,
        creator: of.creator,
        state: AgentState::Active,
        price: of.price,
        runs: of.runs,
        earned: Amount::ZERO,
    }));
    rows
}

fn sort(rows: &mut [Row<'_>], sort: Sort) {
    // Those that can be run come first, and of equals the newer one.
    rows.sort_by_key(|row| {
        let first = match sort {
            Sort::Runs => u64::MAX - row.runs,
            Sort::Newest => 0,
            Sort::Price => row.price.nano(),
        };
        (row.state, first, u64::MAX - row.place, row.id)
    });
}

/// True when the gateway has words for all agents that can be run, as they are now.
fn suffices(books: &Books, listed: &ById) -> bool {
    let mut open = books.boards.agents().filter(|(.., record)| record.state == AgentState::Active);
    open.all(|(_, id, record)| listed.get(id).is_some_and(|of| of.manifest == record.manifest))
}

pub(super) async fn catalogue(
    State(state): State<WebState>,
    Query(query): Query<BTreeMap<String, String>>,
    form: Form,
) -> Response {
    let listed = state.listing.list(|listed| suffices(&state.index.read(), listed)).await;
    let found: Found = Ok(page(&state.index.read(), &listed, &Asked::of(&query)));
    state.send(form, found)
}

/// The catalogue over what is known.
pub(crate) fn page(books: &Books, listed: &ById, asked: &Asked) -> Page {
    let mut rows = rows(books, listed);
    let (all, runs) = (rows.len(), rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.runs)));
    let words = asked.words.to_lowercase();
    rows.retain(|row| row.holds(&words));
    sort(&mut rows, asked.sort);
    let skipped = (asked.page - 1).saturating_mul(PAGE_ROWS);
    let shown = rows.get(skipped..).unwrap_or_default();
    let shown = shown.get(..PAGE_ROWS).unwrap_or(shown);
    let has_more = rows.len() > skipped.saturating_add(PAGE_ROWS);
    let next = has_more.then(|| asked.address(asked.sort, asked.page.saturating_add(1)));
    let table = Table {
        caption: "Agents",
        columns: COLUMNS,
        rows: shown.iter().map(Row::cells).collect(),
        next,
        empty: "No agent.",
    };
    let html = html! {
        section.studios {
            p.eyebrow { "Studios" }
            h1 { "Agents that show their work." }
            p.lead { "Anyone publishes one, anyone runs it for its price. A committee drives every run again, and its fee is split on the chain: to who hosted it, to who made it, to who checked it." }
            form.find action="/studios" method="get" role="search" aria-label="Agents" {
                label.unseen for="find" { "Search agents: name, what it does, or creator" }
                input #find name="q" type="search" value=(asked.words) maxlength=(SEARCH_MAX) placeholder="What should it do?" autocomplete="off";
                @if asked.sort != Sort::Runs { @for (of, name, _) in SORTS { @if of == asked.sort { input type="hidden" name="sort" value=(name); } } }
                button.primary type="submit" { "Search" }
            }
        }
        div.shelf {
            nav.orders aria-label="Order" { @for (of, _, title) in SORTS { a href=(asked.address(of, 1)) aria-current=[(of == asked.sort).then_some("true")] { (title) } } }
            p.note { @if asked.words.is_empty() { (counted(u64::try_from(all).unwrap_or(u64::MAX), "agent")) ", " (counted(runs, "paid run")) } @else { (rows.len()) " of " (all) " agents · " a href=(Asked { words: String::new(), ..asked.clone() }.address(asked.sort, 1)) { "show all" } }
            }
            div.forms { a href="/studios.json" { "JSON" } a href="/studios.csv" { "CSV" } }
        }
        @if shown.is_empty() { (nothing(asked, all)) }
        @else { ul.agents { @for row in shown { li { (card(row)) } } } }
        @if asked.page > 1 || table.next.is_some() {
            nav.more aria-label="Further agents" {
                @if asked.page > 1 { a.button href=(asked.address(asked.sort, asked.page - 1)) rel="prev" { "← Back" } " " }
                @if let Some(next) = &table.next { a.button href=(next) rel="next" { "More agents →" } }
            }
        }
    };
    let json = json!({"data": table.json_rows(), "next": table.next, "agents": rows.len(), "agents_all": all, "runs_all": runs});
    let mut page = Page::new("Studios", Section::Studios, html, json);
    page.csv = Some(table.csv());
    page
}

fn nothing(asked: &Asked, all: usize) -> Markup {
    html! {
        div.empty {
            @if all == 0 {
                p { "No agent has been published yet. Yours can be the first:" }
                p { code { "inferium studio init research" } " writes a manifest, " code { "inferium studio publish" } " puts it here." }
            } @else if asked.words.is_empty() { p { "There are no more agents. " a href="/studios" { "Back to the first" } } }
            @else { p { "No agent is like " q { (asked.words) } ". " a href="/studios" { "Show all" } } }
        }
    }
}

/// A number with what it counts.
pub(super) fn counted(number: u64, name: &str) -> String {
    format!("{} {name}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A square with an agent's first letter, in a colour that follows from its id.
pub(super) fn monogram(name: &str, id: &AgentId) -> Markup {
    let tint = id.digest().as_bytes().first().map_or(0, |byte| byte % 6);
    let letter: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    html! { span class={ "monogram tint-" (tint) } aria-hidden="true" { (letter) } }
}

fn card(row: &Row<'_>) -> Markup {
    html! {
        article.card.agent {
            header {
                (monogram(row.name, &row.id))
                div { h2 { a href={ "/studios/" (row.id) } { (row.name) } } p.by { "by " code title=(row.creator) { (short(&row.creator.to_string(), 10)) } } }
                @if row.state != AgentState::Active { (badge(row.state.name())) }
            }
            p.summary { @if row.state != AgentState::Active { span.soft { "It takes no new runs." } } @else if row.summary.is_empty() { span.soft { "Its manifest is not at this gateway, or says nothing of it." } } @else { (short(row.summary, 160)) } }
            dl {
                div { dt { "A run" } dd { (money(row.price)) } }
                div { dt { "Paid runs" } dd { (layout::grouped(row.runs)) } }
                div { dt { "Earned" } dd { (money(row.earned)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
