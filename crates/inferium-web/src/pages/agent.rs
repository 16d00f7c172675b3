//! An agent: what it is, what a run of it costs and whose that is, what it did so far, and a form to run it.

use super::explorer::{account as account_link, hash};
use super::start::key_field;
use super::studios::{counted, monogram};
use super::{Found, NoPage, Page};
use crate::WebState;
use crate::index::{PaidRun, Spent, Version};
use crate::layout::{Section, badge, copy, facts, figure, grouped, link, moment, money};
use crate::respond::{Form, bare};
use crate::{layout, readme};
use axum::{
    extract::{Path, State},
    response::Response,
};
use inferium_ledger::{Account, Agent, Meta, StateKey};
use inferium_query::{agents::as_json, boards::AgentState};
use inferium_types::{AccountId, AgentId, Amount, Digest, JobId, Parameters, Ppm, Recipients, SpendingPolicy, limits};
use maud::{Markup, html};
use serde_json::{Value, json};

/// Recipients of a policy that are named one by one.
const NAMED_MAX: usize = 8;
/// The best that a review says.
const BEST: u64 = 5;

/// What the index remembers, taken out of it.
#[derive(Debug, Default)]
struct Past {
    /// Its name and creator, if it was seen.
    seen: Option<(String, AccountId, AgentState)>,
    /// Newest first, all three.
    versions: Vec<Version>,
    paid: Vec<PaidRun>,
    spent: Vec<Spent>,
}

impl Past {
    fn of(state: &WebState, id: &AgentId) -> Self {
        let books = state.index.read();
        let seen = books.boards.agent(id).map(|record| (record.name.clone(), record.creator, record.state));
        books.agents.get(id).map_or_else(Self::default, |book| Self {
            seen,
            versions: book.versions.iter().rev().cloned().collect(),
            paid: book.paid.iter().rev().cloned().collect(),
            spent: book.spent.iter().rev().cloned().collect(),
        })
    }

    fn json(&self) -> [(&'static str, Value); 3] {
        let version = |of: &Version| {
            json!({
                "version": of.number, "manifest": of.manifest.to_string(), "price_nano": of.price.nano(),
                "height": of.height, "timestamp_ms": of.at_ms,
            })
        };
        let paid = |of: &PaidRun| {
            json!({
                "run": of.run.to_string(), "segment": of.segment.to_string(), "host": of.host.to_string(),
                "payer": of.payer.to_string(), "fee_nano": of.fee.nano(), "to_host_nano": of.to_host.nano(),
                "to_creator_nano": of.to_creator.nano(), "to_committee_nano": of.to_committee.nano(),
                "to_treasury_nano": of.to_treasury.nano(), "to_payer_nano": of.to_payer.nano(),
                "height": of.height, "timestamp_ms": of.at_ms,
            })
        };
        let spent = |of: &Spent| {
            json!({
                "run": of.run.to_string(), "to": of.to.to_string(), "amount_nano": of.amount.nano(),
                "hired": of.is_hire, "height": of.height, "timestamp_ms": of.at_ms,
            })
        };
        [
            ("versions", self.versions.iter().map(version).collect()),
            ("paid_runs", self.paid.iter().map(paid).collect()),
            ("spends", self.spent.iter().map(spent).collect()),
        ]
    }
}

/// The words of a manifest, which the chain's hash vouches for.
#[derive(Debug, Default)]
struct Words {
    summary: String,
    readme: String,
    model: String,
    tools: Vec<String>,
    secrets: Vec<String>,
    reviews: Reviews,
}

/// What those say of it who paid for a run; the gateway's word, but for the runs that they name.
#[derive(Debug, Default)]
struct Reviews {
    count: u64,
    /// Of their ratings, from 100 to 500.
    mean_hundredths: u64,
    newest: Vec<Review>,
}

#[derive(Debug)]
struct Review {
    rating: u64,
    text: String,
    version: u64,
    at_s: u64,
    job: String,
}

impl Reviews {
    fn of(agent: &Value) -> Self {
        let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(told) = agent.get("reviews") else { return Self::default() };
        let newest = told.get("newest").and_then(Value::as_array).into_iter().flatten();
        let review = |of: &Value| {
            JobId::from_hex(&text(of, "job")).map(|job| Review {
                rating: number(of, "rating").min(BEST),
                text: text(of, "text"),
                version: number(of, "version"),
                at_s: number(of, "at"),
                job: job.to_string(),
            })
        };
        Self {
            count: number(told, "count"),
            mean_hundredths: number(told, "mean_hundredths").min(BEST * 100),
            newest: newest.filter_map(review).collect(),
        }
    }

    fn json(&self) -> Value {
        let newest: Vec<Value> = self
            .newest
            .iter()
            .map(
                |of| json!({"rating": of.rating, "text": of.text, "version": of.version, "at": of.at_s, "job": of.job}),
            )
            .collect();
        json!({"count": self.count, "mean_hundredths": self.mean_hundredths, "newest": newest})
    }

    fn html(&self) -> Markup {
        html! {
            section.reviews #reviews { h2 { "Reviews" }
                @if self.newest.is_empty() { p.empty { "Nobody who paid for a run has said anything of it yet." } }
                @else {
                    p.lead { (stars(self.mean_hundredths / 100)) " " (self.mean_hundredths / 100) "." (format!("{:02}", self.mean_hundredths % 100)) " of " (BEST) ", " (counted(self.count, "review")) }
                    ul.plain { @for review in &self.newest {
                        li { div.row { (stars(review.rating)) span.note { "version " (review.version) " · " (moment(review.at_s.saturating_mul(1_000))) " · " a href={ "/explorer/receipts/" (review.job) } { "receipt" } } }
                            @if !review.text.is_empty() { p.said { (review.text) } } }
                    } }
                    p.note { "Each is of a run that was paid, as its receipt shows. Who paid may be its creator; the words are kept by this gateway." }
                }
            }
        }
    }
}

/// As a picture with its number in words.
fn stars(rating: u64) -> Markup {
    html! { span.stars role="img" aria-label={ (rating) " of " (BEST) } { @for place in 1..=BEST { span class=(if place <= rating { "star full" } else { "star" }) aria-hidden="true" { (if place <= rating { "★" } else { "☆" }) } } } }
}

impl Words {
    /// Those of the manifest that the chain has the hash of, or none.
    fn of(agent: &Value, manifest: &Digest) -> Option<Self> {
        let text = |name: &str| agent.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |name: &str| {
            let list = agent.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        (Digest::sha256(text("manifest").as_bytes()) == *manifest).then(|| Self {
            summary: text("summary"),
            readme: text("readme"),
            model: text("model"),
            tools: list("tools"),
            secrets: list("secrets"),
            reviews: Reviews::of(agent),
        })
    }
}

pub(super) async fn agent(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No agent {text:?} is published."));
    let id = AgentId::from_hex(text).ok_or_else(unknown)?;
    let past = Past::of(state, &id);
    let Some(entry) = state.chain.entry::<Agent>(&StateKey::Agent(id)).await? else {
        return closed(state, id, &past).ok_or_else(unknown);
    };
    let meta: Option<Meta> = state.chain.entry(&StateKey::Meta).await?;
    let meta = meta.ok_or_else(|| NoPage::Unavailable("the chain has no state".into()))?;
    let account: Account = state.chain.entry(&StateKey::Account(id.account())).await?.unwrap_or_default();
    let told = state.listing.agent(&id).await;
    let words = told.and_then(|agent| Words::of(&agent, &entry.terms.manifest));
    let shown = Shown { id, entry, balance: account.balance, now_ms: meta.timestamp_ms, words };
    let parts = split(shown.entry.terms.price, &meta.parameters);
    let mut json = as_json(id, &shown.entry, shown.balance, shown.now_ms);
    if let Some(fields) = json.as_object_mut() {
        let words = shown.words.as_ref();
        fields.insert("summary".into(), json!(words.map(|words| &words.summary)));
        fields.insert("readme".into(), json!(words.map(|words| &words.readme)));
        fields.insert("reviews".into(), json!(words.map(|words| words.reviews.json())));
        let split = parts.iter().map(|part| (format!("{}_nano", part.name), json!(part.amount.nano())));
        fields.insert("split".into(), Value::Object(split.collect()));
        fields.extend(past.json().map(|(name, value)| (name.to_owned(), value)));
    }
    let title = shown.entry.name.clone();
    let mut page = Page::new(title, Section::Studios, shown.html(state, &past, &parts), json);
    page.scripts = &["js/studio.js"];
    Ok(page)
}

/// The page of an agent that is gone from the chain's state: what blocks said of it.
fn closed(state: &WebState, id: AgentId, past: &Past) -> Option<Page> {
    let (name, creator, _) = past.seen.as_ref()?;
    let mut json = json!({"agent": id.to_string(), "name": name, "creator": creator.to_string(), "closed": true});
    if let Some(fields) = json.as_object_mut() {
        fields.extend(past.json().map(|(name, value)| (name.to_owned(), value)));
    }
    let html = html! {
        div.agent-head { (monogram(name, &id)) div { h1 { (name) } p.by { "by " (account_link(creator, state)) } } (badge("closed")) }
        p.lead { "It is closed: its last run is over, and its deposit and money went back to its creator." }
        (movements(state, past))
        section { h2 { "Versions" } (versions_table(&past.versions)) }
    };
    Some(Page::new(name.clone(), Section::Studios, html, json))
}

/// A part of a run's price.
struct Part {
    name: &'static str,
    title: &'static str,
    note: &'static str,
    share: Ppm,
    amount: Amount,
}

/// Whose a run's price is by the parameters in force (SPEC M5). Fractions are the treasury's.
fn split(price: Amount, parameters: &Parameters) -> [Part; 4] {
    let of = |share: Ppm| {
        let product = u128::from(price.nano()) * u128::from(share.get()) / u128::from(Ppm::ONE.get());
        u64::try_from(product).unwrap_or(u64::MAX)
    };
    let shares = [parameters.run_share_host, parameters.run_share_creator, parameters.run_share_committee];
    let [host, creator, committee] = shares.map(of);
    let left = shares.iter().fold(Ppm::ONE.get(), |left, share| left.saturating_sub(share.get()));
    let treasury = price.nano().saturating_sub(host).saturating_sub(creator).saturating_sub(committee);
    let part = |name, title, note, share, nano| Part { name, title, note, share, amount: Amount::from_nano(nano) };
    [
        part("host", "Host", "runs it in a sandbox", shares[0], host),
        part("creator", "Creator", "made it", shares[1], creator),
        part("committee", "Committee", "drives the run again", shares[2], committee),
        part("treasury", "Treasury", "the community's", Ppm::new(left), treasury),
    ]
}

/// An agent that is on the chain.
struct Shown {
    id: AgentId,
    entry: Agent,
    balance: Amount,
    now_ms: u64,
    words: Option<Words>,
}

impl Shown {
    fn html(&self, state: &WebState, past: &Past, parts: &[Part]) -> Markup {
        let (entry, earned) = (&self.entry, self.entry.earned);
        let summary = self.words.as_ref().map(|words| words.summary.as_str()).filter(|text| !text.is_empty());
        html! {
            div.agent-head {
                (monogram(&entry.name, &self.id))
                div { h1 { (entry.name) } p.by { "by " (account_link(&entry.creator, state)) " · version " (entry.version) " · " (counted(earned.runs, "paid run")) } }
                (badge(if entry.retired { "retired" } else { "active" }))
                div.forms { a href={ "/studios/" (self.id) ".json" } { "JSON" } }
            }
            @if let Some(summary) = summary { p.lead { (summary) } }
            div.agent-page {
                div {
                    (self.run_form())
                    (self.about())
                    @if let Some(words) = &self.words { (words.reviews.html()) }
                    (self.brought())
                    section { h2 { "Versions" } (versions_table(&past.versions)) }
                }
                aside aria-label="Terms" { (self.price(parts)) (self.terms(state)) }
            }
            (movements(state, past))
        }
    }

    fn brought(&self) -> Markup {
        let earned = self.entry.earned;
        html! {
            section { h2 { "What its runs brought" }
                div.figures.thirds {
                    (figure("Paid runs", &html! { (grouped(earned.runs)) }, "answered"))
                    (figure("Fees", &exact(earned.fees), "of all of them"))
                    (figure("Its creator", &exact(earned.creator), "earned"))
                    (figure("Hosts", &exact(earned.hosts), "earned"))
                    (figure("Committees", &exact(earned.committees), "earned"))
                    (figure("Treasury", &exact(earned.treasury), "earned"))
                }
            }
        }
    }

    fn run_form(&self) -> Markup {
        if self.entry.retired || self.words.is_none() {
            let why = if self.entry.retired {
                "It is retired and takes no new runs."
            } else {
                "It can't be run from here: its creator has not brought this gateway its manifest."
            };
            return html! { section.card { h2 { "Run it" } p { (why) } } };
        }
        let secrets = self.words.as_ref().map_or(&[][..], |words| &words.secrets);
        html! {
            section #studio data-agent=(self.id) aria-labelledby="run-title" {
                form.card.run #run {
                    div.row { h2 #run-title { "Run it" } span.soft { (money(self.entry.terms.price)) " and its model calls" } }
                    label.unseen for="task" { "What it is to do" }
                    textarea #task rows="3" maxlength=(limits::RUN_TASK_SIZE_MAX) required placeholder="What should it do?" {}
                    label { span { "Files " em { "up to " (limits::RUN_FILES_MAX) ", " (limits::RUN_FILES_SIZE_MAX >> 20) " MiB together" } } input #files type="file" multiple; }
                    @for name in secrets { label { span { (name) em { "a secret for its tools; the host sees it" } } input type="password" data-secret=(name) autocomplete="off" spellcheck="false" required; } }
                    div.row.ends { (key_field()) button.danger type="button" #stop hidden { "Stop" } button.primary type="submit" #go { "Run" } }
                    p.error #run-error role="alert" {}
                }
                div.outcome #outcome hidden {
                    div.row { h3 { "What it does" } span #run-state role="status" {} }
                    ol.calls #calls aria-live="polite" {}
                    figure.answer #answer-box hidden { figcaption { "Answer" } blockquote #answer aria-live="polite" {} div #proof {} }
                }
            }
            noscript { p.error { "Running it here takes JavaScript. On the command line: inferium studio run " (self.id) " TASK" } }
        }
    }

    fn about(&self) -> Markup {
        let Some(words) = &self.words else {
            let why = if self.entry.retired {
                "It is retired, and the gateway tells no more of it. The chain has its manifest's hash."
            } else {
                "Its manifest is not at this gateway. The chain has its hash."
            };
            return html! { section { h2 { "About" } p.empty { (why) } } };
        };
        html! {
            section.about { h2 { "About" }
                @if words.readme.trim().is_empty() { p.soft { "Its creator wrote no more of it." } }
                @else { div.readme { (readme::html(&words.readme)) } }
                @if !words.tools.is_empty() { p.chips aria-label="Tools" { @for tool in &words.tools { span.chip { (tool) } } } }
                p.note { "Words of its manifest, whose hash is the one on the chain." }
            }
        }
    }

    fn price(&self, parts: &[Part]) -> Markup {
        let one = u64::from(Ppm::ONE.get());
        let mut from = 0u64;
        let bars: Vec<(u64, u64)> = parts
            .iter()
            .map(|part| {
                let width = u64::from(part.share.get());
                from = from.saturating_add(width);
                (from.saturating_sub(width), width)
            })
            .collect();
        html! {
            section.card.price {
                h2 { "A run" }
                p.amount { (exact(self.entry.terms.price)) }
                p.note { "only when it gives its answer; model calls at their own price" }
                svg.split viewBox={ "0 0 " (one) " 10" } preserveAspectRatio="none" aria-hidden="true" {
                    @for (index, (from, width)) in bars.iter().enumerate() { rect class={ "part-" (index) } x=(from) y="0" width=(width) height="10" {} }
                }
                dl.parts {
                    @for (index, part) in parts.iter().enumerate() {
                        div { dt { span class={ "dot part-" (index) } aria-hidden="true" {} (part.title) small { (part.note) } } dd { b { (f64::from(part.share.get()) / 10_000.0) " %" } (exact(part.amount)) } }
                    }
                }
            }
        }
    }

    fn terms(&self, state: &WebState) -> Markup {
        let (terms, limits) = (&self.entry.terms, self.entry.terms.limits);
        let model = self.words.as_ref().map_or("", |words| words.model.as_str());
        let account = self.id.account().to_string();
        let (policy, spent) = (self.entry.policy_at(self.now_ms), self.entry.spent_at(self.now_ms).1);
        let waiting = self.entry.widening.as_ref().filter(|waiting| waiting.from_ms > self.now_ms);
        html! {
            section { h2 { "Limits of a run" }
                dl.words {
                    div { dt { "Model" } dd { @if model.is_empty() { code { (layout::short(&terms.model.to_string(), 16)) } } @else { (model) } } }
                    div { dt { "Steps" } dd { (limits.steps) } }
                    div { dt { "Tokens" } dd { (grouped(limits.tokens)) } }
                    div { dt { "Tool calls" } dd { (limits.tool_calls) } }
                    div { dt { "Time" } dd { (limits.run_ms / 1_000) " s" } }
                }
            }
            section { h2 { "Its own account" }
                p.amount.small { (exact(self.balance)) }
                p.note { a.id href={ "/explorer/accounts/" (account) } title=(account) { (layout::short(&account, 16)) } (copy(&account, "the agent's account")) " Nobody has a key for it: only the ledger spends from it." }
                p { (policy_in_words(policy, self.now_ms, state)) }
                @if !spent.is_zero() { p.note { "Today it spent " (exact(spent)) "." } }
                @if let Some(waiting) = waiting { p.note { "From " (moment(waiting.from_ms)) " on: " (policy_in_words(&waiting.policy, self.now_ms, state)) } }
            }
            (facts(&[
                ("Agent", hash(&self.id.to_string(), "the agent's id")),
                ("Manifest, SHA-256", hash(&terms.manifest.to_string(), "the manifest's hash")),
            ]))
        }
    }
}

/// An amount to the last nano-IFR.
fn exact(amount: Amount) -> Markup {
    let text = amount.to_string();
    let number = text.strip_suffix(" IFR").unwrap_or(&text);
    html! { span.money data-nano=(amount.nano()) { (number) " " abbr title="Inferium's unit of money" { "IFR" } } }
}

fn policy_in_words(policy: &SpendingPolicy, now_ms: u64, state: &WebState) -> Markup {
    if policy.run_max().is_zero() {
        return html! { "Its runs can spend nothing." };
    }
    if policy.expires_at_ms <= now_ms {
        return html! { "What it was allowed to spend ended on " (day(policy.expires_at_ms)) "." };
    }
    html! {
        "Its runs may pay "
        @match &policy.recipients {
            Recipients::Anybody => "anybody",
            Recipients::Nobody => "nobody",
            Recipients::Listed(accounts) => {
                @for (index, account) in accounts.iter().take(NAMED_MAX).enumerate() { @if index > 0 { ", " } (account_link(account, state)) }
                @if accounts.len() > NAMED_MAX { " and " (accounts.len() - NAMED_MAX) " others" }
            }
        }
        ": " (exact(policy.per_run)) " in a run and " (exact(policy.per_day)) " in a day at most"
        @if policy.expires_at_ms != u64::MAX { ", until " (day(policy.expires_at_ms)) }
        "."
    }
}

/// The day of a time, which may be far off.
fn day(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    let time = time::OffsetDateTime::from_unix_timestamp(seconds);
    time.map_or_else(|_| format!("{seconds} s after 1970"), |time| time.date().to_string())
}

/// What its runs paid, and what they spent.
fn movements(state: &WebState, past: &Past) -> Markup {
    html! {
        section { h2 { "Last paid runs" } (paid_table(state, &past.paid)) }
        @if !past.spent.is_empty() { section { h2 { "What it spent" } (spent_table(state, &past.spent)) } }
    }
}

/// A table; `head` names its columns and says which hold numbers.
fn table(caption: &str, head: &[(&str, bool)], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption.unseen { (caption) }
                thead { tr { @for (name, is_number) in head { th scope="col" class=[is_number.then_some("number")] { (name) } } } }
                tbody { @for cells in rows { tr { @for ((name, is_number), cell) in head.iter().zip(cells) { td data-name=(name) class=[is_number.then_some("number")] { (cell) } } } } }
            }
        }
    }
}

fn block(height: u64) -> Markup {
    html! { a href={ "/explorer/blocks/" (height) } { (grouped(height)) } }
}

fn paid_table(state: &WebState, paid: &[PaidRun]) -> Markup {
    if paid.is_empty() {
        return html! { p.empty { "None yet. A run is paid when its answer has passed the challenge window." } };
    }
    let row = |of: &PaidRun| {
        vec![
            html! { (moment(of.at_ms)) " " (link("segments", &of.segment)) },
            html! { (account_link(&of.payer, state)) @if !of.to_payer.is_zero() { small.sent { (exact(of.to_payer)) " back" } } },
            html! { (exact(of.fee)) },
            html! { (exact(of.to_host)) small.sent { (layout::node(&of.host, &state.names)) } },
            exact(of.to_creator),
            exact(of.to_committee),
            exact(of.to_treasury),
        ]
    };
    let head = [
        ("Settled", false),
        ("Paid by", false),
        ("Fee", true),
        ("To its host", true),
        ("Creator", true),
        ("Committee", true),
        ("Treasury", true),
    ];
    table("Paid runs, newest first", &head, &paid.iter().map(row).collect::<Vec<_>>())
}

fn spent_table(state: &WebState, spent: &[Spent]) -> Markup {
    let row = |of: &Spent| {
        vec![
            html! { (moment(of.at_ms)) },
            html! { (if of.is_hire { "locked for an agent that it hired" } else { "paid" }) },
            account_link(&of.to, state),
            exact(of.amount),
            html! { code title=(of.run) { (layout::short(&of.run.to_string(), 12)) } },
            block(of.height),
        ]
    };
    let head =
        [("Time", false), ("What", false), ("To", false), ("Amount", true), ("By its run", false), ("Block", true)];
    table("Spends, newest first", &head, &spent.iter().map(row).collect::<Vec<_>>())
}

fn versions_table(versions: &[Version]) -> Markup {
    if versions.is_empty() {
        return html! { p.empty { "It was published before the first block that was read here." } };
    }
    let row = |of: &Version| {
        vec![
            html! { b { (of.number) } },
            hash(&of.manifest.to_string(), "the manifest's hash"),
            exact(of.price),
            block(of.height),
            moment(of.at_ms),
        ]
    };
    let head = [("Version", false), ("Manifest", false), ("A run", true), ("Block", true), ("Published", false)];
    table("Versions, newest first", &head, &versions.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
