//! What all pages have: head, navigation, search, and the small parts that they are made of.

use crate::assets;
use crate::pages::Page;
use inferium_types::{AgentId, Amount, NodeId};
use maud::{DOCTYPE, Markup, html};
use std::{collections::BTreeMap, fmt, sync::Arc};
use time::{OffsetDateTime, UtcOffset};

/// Where a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Start,
    Studios,
    Playground,
    Explorer,
    Leaderboard,
    Governance,
    Wallet,
}

const SECTIONS: [(Section, &str, &str); 6] = [
    (Section::Studios, "/studios", "Studios"),
    (Section::Playground, "/playground", "Playground"),
    (Section::Explorer, "/explorer", "Explorer"),
    (Section::Leaderboard, "/leaderboard", "Leaderboard"),
    (Section::Governance, "/governance", "Governance"),
    (Section::Wallet, "/wallet", "Wallet"),
];

/// What is the same on every page of a network.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) network_key: String,
    pub(crate) height: u64,
}

/// Names of nodes.
pub(crate) type Names = Arc<BTreeMap<NodeId, String>>;

/// htmx without what a strict policy refuses: no styles of its own, no evaluated text, this origin only.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;

/// A whole document.
pub(crate) fn document(shell: &Shell, page: &Page) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                meta name="inferium-network-key" content=(shell.network_key);
                title { (page.title) " · Inferium" }
                script src=(assets::address("js/theme.js")) {}
                link rel="stylesheet" href=(assets::address("css/inferium.css"));
                @for style in page.styles { link rel="stylesheet" href=(assets::address(style)); }
                link rel="icon" href=(assets::address("img/mark.svg")) type="image/svg+xml";
                script src=(assets::address("vendor/htmx/htmx.min.js")) defer {}
                script src=(assets::address("js/app.js")) type="module" {}
                @for script in page.scripts {
                    @if script.ends_with(".iife.min.js") { script src=(assets::address(script)) defer {} }
                    @else { script src=(assets::address(script)) type="module" {} }
                }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                (header(shell, page.section))
                main #content tabindex="-1" { (page.html) }
                (footer(shell))
            }
        }
    }
}

fn header(shell: &Shell, section: Section) -> Markup {
    html! {
        header.top {
            div.bar {
                a.brand href="/" aria-label="Inferium, first page" {
                    img src=(assets::address("img/mark.svg")) alt="" width="26" height="26";
                    span { "Inferium" }
                }
                nav.sections aria-label="Sections" {
                    @for (of, address, name) in SECTIONS {
                        a href=(address) aria-current=[(of == section).then_some("page")] { (name) }
                    }
                }
                form.search action="/search" method="get" role="search" {
                    label.unseen for="search" { "Search: height, hash, address, name or job" }
                    input #search name="q" type="search" placeholder="Height, hash, name…" autocomplete="off" spellcheck="false";
                    kbd aria-hidden="true" { "/" }
                }
                a.head href="/explorer" title="Newest final block" {
                    span.pulse aria-hidden="true" {}
                    span.unseen { "Newest final block: " }
                    span data-head="" { (grouped(shell.height)) }
                }
                button.icon type="button" data-theme-toggle="" aria-label="Switch between light and dark" {
                    span.sun aria-hidden="true" { "☀" } span.moon aria-hidden="true" { "☾" }
                }
            }
        }
    }
}

fn footer(shell: &Shell) -> Markup {
    html! {
        footer.bottom {
            div.bar {
                p {
                    "Nothing here has to be believed: receipts are checked in your browser, from the network key alone."
                }
                p.key { span { "Network key" } code { (short(&shell.network_key, 30)) } (copy(&shell.network_key, "the network key")) }
            }
        }
    }
}

/// A button that copies a text.
pub(crate) fn copy(text: &str, what: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(text) aria-label={ "Copy " (what) } title={ "Copy " (what) } {
            span aria-hidden="true" {}
        }
    }
}

/// The beginning of a long name.
pub(crate) fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters).chain(std::iter::once('…')).collect()
}

/// A name that leads to its page.
pub(crate) fn link(kind: &str, id: &impl fmt::Display) -> Markup {
    let id = id.to_string();
    html! { a.id href={ "/explorer/" (kind) "/" (id) } title=(id) { (short(&id, 12)) } }
}

/// A node: by name, where it has one.
pub(crate) fn node(id: &NodeId, names: &Names) -> Markup {
    let text = id.to_string();
    let name = names.get(id);
    html! {
        a.node href={ "/explorer/nodes/" (text) } title=(text) {
            @match name { Some(name) => (name), None => code { (short(&text, 12)) } }
        }
    }
}

/// An agent: by name, where one is known.
pub(crate) fn agent(id: &AgentId, name: Option<&str>) -> Markup {
    let text = id.to_string();
    html! {
        a.node href={ "/studios/" (text) } title=(text) { @match name { Some(name) => (name), None => code { (short(&text, 12)) } } }
    }
}

/// Where something stands, as a badge.
pub(crate) fn badge(state: &str) -> Markup {
    let mood = match state {
        "final" | "settled" | "active" | "passed" | "executed" | "valid" | "leased" | "burned" | "finished" => "good",
        "rejected" | "disqualified" | "failed" | "vetoed" | "barred" | "expired" => "bad",
        "committed" | "checking" | "revealing" | "open" | "voting" | "held" | "provisional" | "counting"
        | "announced" | "training" => "busy",
        _ => "plain",
    };
    html! { span class={ "badge " (mood) } { (state.replace('_', " ")) } }
}

/// A block's time.
pub(crate) fn moment(at_ms: u64) -> Markup {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let time = time.to_offset(UtcOffset::UTC);
    let clock = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    let whole = format!("{}T{clock}Z", time.date());
    html! { time datetime=(whole) data-ms=(at_ms) title={ (time.date()) " " (clock) " UTC" } { (clock) } }
}

/// An amount, its decimals softer than its whole part.
pub(crate) fn money(amount: Amount) -> Markup {
    let text = amount.to_string();
    let number = text.strip_suffix(" IFR").unwrap_or(&text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let whole = grouped(whole.parse().unwrap_or(0));
    html! {
        span.money title={ (text) } {
            (whole) @if !decimals.is_empty() { span.soft { "." (decimals.chars().take(6).collect::<String>()) } } " " abbr title="Inferium's unit of money" { "IFR" }
        }
    }
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Name and value, one under the other.
pub(crate) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } }
    }
}

/// A figure with its name.
pub(crate) fn figure(name: &str, value: &Markup, note: &str) -> Markup {
    html! { div.figure { span.name { (name) } strong { (value) } @if !note.is_empty() { span.note { (note) } } } }
}
