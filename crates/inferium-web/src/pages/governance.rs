//! Proposals, their votes, and the parameters that they may change.

use super::{Found, NoPage, Page};
use crate::WebState;
use crate::layout::{Section, badge, facts, link, money};
use crate::respond::{Form, bare};
use axum::{
    extract::{Path, State},
    response::Response,
};
use inferium_ledger::{Meta, Proposal, ProposalState, StateKey};
use inferium_query::governance::{as_json, diff, in_unit, state_in_words, tally_of};
use inferium_types::{Amount, PARAMETERS, ParameterUnit, VoteTally};
use maud::{Markup, html};
use serde_json::{Value, json};

/// Proposals that a list goes back.
const LISTED: u64 = 50;

async fn meta(state: &WebState) -> Result<Meta, NoPage> {
    let meta: Option<Meta> = state.chain.entry(&StateKey::Meta).await?;
    meta.ok_or_else(|| NoPage::Unavailable("the chain has no state".into()))
}

pub(super) async fn proposals(State(state): State<WebState>, form: Form) -> Response {
    let found = proposals_page(&state).await;
    state.send(form, found)
}

async fn proposals_page(state: &WebState) -> Found {
    let meta = meta(state).await?;
    let mut found: Vec<(u64, Proposal)> = Vec::new();
    for number in (meta.proposals.saturating_sub(LISTED)..meta.proposals).rev() {
        // Ended ones are removed after a while.
        let proposal: Option<Proposal> = state.chain.entry(&StateKey::Proposal(number)).await?;
        found.extend(proposal.map(|proposal| (number, proposal)));
    }
    let json = json!({
        "height": meta.height, "proposals": meta.proposals,
        "data": found.iter().map(|(number, proposal)| as_json(*number, proposal, &meta)).collect::<Vec<_>>(),
        "parameters": PARAMETERS.iter().map(|rule| json!({"name": rule.name, "value": rule.value(&meta.parameters), "min": rule.min, "max": rule.max, "critical": rule.is_critical})).collect::<Vec<_>>(),
    });
    let html = html! {
        div.title { h1 { "Governance" } div.forms { a.button href="/wallet#propose" { "Make a proposal" } a href="/governance.json" { "JSON" } } }
        p.lead { "Stake decides. A proposal that passes waits out its timelock and then executes itself, within bounds that no vote can leave." }
        @if found.is_empty() {
            p.empty { "No proposal is open, or ended lately. Anyone who can lock the deposit may " a href="/wallet#propose" { "make one" } ", here or by " code { "inferium gov propose" } "." }
        }
        div.cards { @for (number, proposal) in &found { (card(*number, proposal, &meta)) } }
        section { h2 { "Parameters" }
            details open { summary { (PARAMETERS.len()) " figures that a vote can change, and how far" }
                div.scroll tabindex="0" role="region" aria-label="Parameters" { table {
                    thead { tr { th scope="col" { "Parameter" } th.number scope="col" { "Now" } th.number scope="col" { "Least" } th.number scope="col" { "Greatest" } th scope="col" { "Takes" } } }
                    tbody { @for rule in PARAMETERS { tr {
                        td data-name="Parameter" { a href={ "/wallet#propose=" (rule.name) } title="Propose another value" { code { (rule.name) } } }
                        td.number data-name="Now" { strong { (figure(rule.value(&meta.parameters), rule.unit)) } }
                        td.number data-name="Least" { (figure(rule.min, rule.unit)) }
                        td.number data-name="Greatest" { (figure(rule.max, rule.unit)) }
                        td data-name="Takes" { @if rule.is_critical { "two thirds" } @else { "most votes" } }
                    } } }
                } }
            }
        }
    };
    Ok(Page::new("Governance", Section::Governance, html, json))
}

/// A parameter's number in its unit; as it is sent, in small.
fn figure(number: u64, unit: ParameterUnit) -> Markup {
    let text = in_unit(number, unit);
    match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
        Some((sent, shown)) => html! { (shown) small.sent { (sent) } },
        None => html! { (text) },
    }
}

fn state_name(state: &ProposalState) -> &'static str {
    match state {
        ProposalState::Voting { .. } => "voting",
        ProposalState::Counting { .. } => "counting",
        ProposalState::Passed { .. } => "passed",
        ProposalState::Ended { outcome, .. } => outcome.name(),
    }
}

fn card(number: u64, proposal: &Proposal, meta: &Meta) -> Markup {
    html! {
        a.card.proposal href={ "/governance/" (number) } {
            div.row { span.number { "#" (number) } (badge(state_name(&proposal.state))) }
            h2 { (proposal.terms.title) }
            p { (proposal.terms.action.name().replace('_', " ")) " · " (state_in_words(proposal, meta)) }
            @if let Some(tally) = tally_of(&proposal.state) { (bar(&tally, meta)) }
        }
    }
}

/// Votes and the quorum, in parts of all stake.
fn bar(tally: &VoteTally, meta: &Meta) -> Markup {
    let all = u128::from(meta.bonded.nano()).max(1);
    let part = |amount: Amount| u64::try_from(u128::from(amount.nano()) * 1_000_000 / all).unwrap_or(1_000_000);
    let votes = [("yes", tally.yes), ("no", tally.no), ("abstain", tally.abstain), ("veto", tally.veto)];
    html! {
        div.votes {
            @for (name, amount) in votes {
                div class={ "vote " (name) } { span { (name) } meter min="0" max="1000000" value=(part(amount)) aria-label={ (name) " votes" } {} span { (money(amount)) } }
            }
            p.note { "Of " (money(meta.bonded)) " at stake; the quorum is " (meta.parameters.quorum.get() / 10_000) " %." }
        }
    }
}

pub(super) async fn proposal(State(state): State<WebState>, Path(id): Path<String>, form: Form) -> Response {
    let found = proposal_page(&state, bare(&id)).await;
    state.send(form, found)
}

async fn proposal_page(state: &WebState, text: &str) -> Found {
    let unknown = || NoPage::Unknown(format!("No proposal {text:?} is open or ended lately."));
    let number: u64 = text.parse().map_err(|_| unknown())?;
    let meta = meta(state).await?;
    let proposal: Option<Proposal> = state.chain.entry(&StateKey::Proposal(number)).await?;
    let proposal = proposal.ok_or_else(unknown)?;
    let changes = diff(&state.chain, &meta, &proposal.terms.action).await?;
    let lines: Vec<&str> = changes.iter().flat_map(|change| change.lines()).collect();
    let mut json = as_json(number, &proposal, &meta);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("diff".into(), Value::from(lines.clone()));
    }
    let is_open = matches!(proposal.state, ProposalState::Voting { .. });
    let html = html! {
        div.title { h1 { span.soft { "#" (number) " " } (proposal.terms.title) } (badge(state_name(&proposal.state))) div.forms { a href={ "/governance/" (number) ".json" } { "JSON" } } }
        @if !proposal.terms.description.is_empty() { p.lead { (proposal.terms.description) } }
        (facts(&[
            ("State", html! { (state_in_words(&proposal, &meta)) }),
            ("Kind", html! { (proposal.terms.action.name().replace('_', " ")) }),
            ("Proposed by", link("accounts", &proposal.proposer)),
            ("Deposit", money(proposal.deposit)),
            ("Needs", html! { @if proposal.terms.action.needs_supermajority() { "two thirds of all stake" } @else { "most votes" } }),
        ]))
        section { h2 { "What it would change" }
            div.diff { @for line in &lines { div class=(match line.chars().next() { Some('+') => "add", Some('-') => "del", _ => "same" }) { (line) } } } }
        section { h2 { "Votes" }
            @match tally_of(&proposal.state) { Some(tally) => (bar(&tally, &meta)), None => p.empty { "Votes are counted when voting has ended." } } }
        @if is_open {
            section { h2 { "Vote" }
                p { "With all stake of the key that signs. You read the transaction in your wallet before you sign it." }
                p.row { @for choice in ["yes", "no", "abstain", "veto"] { a.button href={ "/wallet#vote=" (number) "&choice=" (choice) } { (choice) } } } }
        }
    };
    Ok(Page::new(proposal.terms.title.clone(), Section::Governance, html, json))
}
