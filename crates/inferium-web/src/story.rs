//! Events as sentences, with links to what they name.

use crate::index::verdict_in_words;
use crate::layout::{Names, agent as agent_link, link, money, node};
use inferium_types::{ChallengeEnd, Event, TraceAsked};
use maud::{Markup, html};

/// What kind of event it is, as the chain names it.
pub(crate) fn kind(event: &Event) -> String {
    let name = format!("{event:?}");
    name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// One event as a sentence.
pub(crate) fn event(event: &Event, names: &Names) -> Markup {
    if let Some(told) = work(event, names).or_else(|| agents(event, names)) {
        return told;
    }
    match event {
        Event::NodeRegistered { node: of, role, .. } => html! { (node(of, names)) " registered as a " (role.name()) },
        Event::UrlChanged { node: of, url } => html! { (node(of, names)) " moved to " code { (url) } },
        Event::ProfileDeclared { profile, validator } => {
            html! { (node(validator, names)) " can replay the model profile " code { (profile) } }
        }
        Event::StallReported { worker, .. } => {
            html! { "a request to " (node(worker, names)) " is said to have no answer" }
        }
        Event::StallCertified { worker, .. } => {
            html! { "enough validators hold the request for " (node(worker, names)) ": its time runs" }
        }
        Event::StallAnswered { gateway, .. } => html! { "the request of " (node(gateway, names)) " was answered" },
        Event::Slashed(slash) => html! {
            (node(&slash.node, names)) " lost " (money(slash.amount)) ": " a href="/explorer/slashes" { (slash.rule.name().replace('_', " ")) }
        },
        Event::TransactionFailed { transaction, reason } => {
            html! { "transaction " (link("transactions", transaction)) " did nothing but cost its fee: " (reason) }
        }
        Event::SlashReleased { node: of, burned, .. } => {
            html! { (money(*burned)) " of the slash of " (node(of, names)) " were burned" }
        }
        Event::SlashOverturned { node: of, amount, .. } => {
            html! { (money(*amount)) " went back to " (node(of, names)) ": the slash was overturned" }
        }
        Event::ProfilePaused { profile } => html! { "the profile " code { (profile) } " is paused" },
        Event::Bonded { node: of, amount, .. } => html! { (money(*amount)) " were staked on " (node(of, names)) },
        Event::Unbonding { node: of, amount, .. } => html! { (money(*amount)) " of stake leave " (node(of, names)) },
        Event::Unbonded { account, amount, .. } => {
            html! { (money(*amount)) " of stake came back to " (link("accounts", account)) }
        }
        Event::Rewarded { node: of, epoch, fees, emission } => html! {
            (node(of, names)) " earned " (money(*fees)) " of fees and " (money(*emission)) " of the reward pool in epoch " (epoch)
        },
        Event::CapabilityMeasured { worker, score, tier, .. } => {
            html! { (node(worker, names)) " was measured: " (score) " work units a second, tier " (tier.name()) }
        }
        Event::AssessmentCalled { worker, .. } => html! { (node(worker, names)) " has to be measured again" },
        Event::TierLost { worker } => {
            html! { (node(worker, names)) " was not measured in time and serves nothing until it is" }
        }
        Event::ProposalOpened { proposal, .. } => {
            html! { a href={ "/governance/" (proposal) } { "proposal " (proposal) } " is put to the vote" }
        }
        Event::Voted { proposal, voter, choice } => html! {
            (link("accounts", voter)) " voted " (choice.name()) " on " a href={ "/governance/" (proposal) } { "proposal " (proposal) }
        },
        Event::ProposalClosed { proposal, outcome, .. } => html! {
            a href={ "/governance/" (proposal) } { "proposal " (proposal) } ": " (outcome.name().replace('_', " "))
        },
        Event::SuspicionChanged { worker, suspicion, judged, .. } => {
            html! { "replays say of " (node(worker, names)) " after " (judged) " segments: " (suspicion.name()) }
        }
        other => html! { code { (kind(other)) } },
    }
}

/// Agents and their runs.
fn agents(event: &Event, names: &Names) -> Option<Markup> {
    Some(match event {
        Event::AgentPublished { agent, creator, name, price, .. } => html! {
            (link("accounts", creator)) " published the agent " (agent_link(agent, Some(name))) ": a run costs " (money(*price))
        },
        Event::AgentUpdated { agent, version, price, widens_at_ms, .. } => html! {
            "agent " (agent_link(agent, None)) " was changed: version " (version) ", a run costs " (money(*price))
            @if widens_at_ms.is_some() { "; what widens its policy waits for an epoch" }
        },
        Event::AgentRetired { agent, stop_spending } => html! {
            "agent " (agent_link(agent, None)) " takes no new runs" @if *stop_spending { " and spends nothing any more" }
        },
        Event::AgentClosed { agent, creator, returned } => html! {
            "agent " (agent_link(agent, None)) " is closed: " (money(*returned)) " went back to " (link("accounts", creator))
        },
        Event::RunOpened { task, agent, version, payer, .. } => html! {
            "a run of agent " (agent_link(agent, None)) ", version " (version) ", waits for a host as task " (link("tasks", task))
            ", paid by " (link("accounts", payer))
        },
        Event::RunPaid { segment, agent, host, creator, payer, to_host, to_payer, to_creator, .. } => html! {
            "a run of agent " (agent_link(agent, None)) " gave its answer in segment " (link("segments", segment)) ": "
            (money(*to_host)) " to " (node(host, names)) ", " (money(*to_creator)) " to " (link("accounts", creator))
            @if !to_payer.is_zero() { ", " (money(*to_payer)) " back to " (link("accounts", payer)) }
        },
        Event::AgentSpent { agent, to, amount, hired, .. } => html! {
            "agent " (agent_link(agent, None)) @if hired.is_some() { " hired another one for at most " } @else { " paid " }
            (money(*amount)) " to " (link("accounts", to))
        },
        _ => return None,
    })
}

/// What a challenged worker is asked for.
pub(crate) fn asked_in_words(asked: &TraceAsked) -> String {
    match asked {
        TraceAsked::Leaves => "the leaves of its evidence".to_owned(),
        TraceAsked::Run { item } => format!("the run of input {item}"),
        TraceAsked::Span { first, chunks } => {
            format!("the hashes of chunks {first} to {}", first.saturating_add(*chunks).saturating_sub(1))
        }
        TraceAsked::Chunk { chunk } => format!("the values of chunk {chunk}"),
        TraceAsked::Sums { at } => format!("the partial sums of value {at}"),
    }
}

/// How a challenge ended.
pub(crate) const fn challenge_end_in_words(end: ChallengeEnd) -> &'static str {
    match end {
        ChallengeEnd::Refuted => "the ledger computed it, and the worker was wrong",
        ChallengeEnd::Withheld => "the worker did not show what it was asked",
        ChallengeEnd::Abandoned => "the challenger did not go on, and lost its bond",
        ChallengeEnd::Moot => "there is nothing left to decide",
    }
}

/// Tasks, segments and their verdicts.
fn work(event: &Event, names: &Names) -> Option<Markup> {
    Some(match event {
        Event::TaskOpened { task, requester, .. } => {
            html! { "task " (link("tasks", task)) " was opened by " (node(requester, names)) }
        }
        Event::TaskExpired { task, .. } => html! { "task " (link("tasks", task)) " expired: no worker took it" },
        Event::LeaseGranted { task, worker, .. } => {
            html! { "task " (link("tasks", task)) " was leased to " (node(worker, names)) }
        }
        Event::LeaseEnded { worker, end, .. } => {
            html! { "a lease of " (node(worker, names)) " ended: " (crate::index::spaced(&format!("{end:?}"))) }
        }
        Event::LeaseClosed { gateway, refund, .. } => {
            html! { "a lease of " (node(gateway, names)) " was closed; " (money(*refund)) " went back" }
        }
        Event::SegmentCommitted { segment, totals, .. } => html! {
            "segment " (link("segments", segment)) " was committed: " (totals.jobs) " jobs, " (totals.tokens()) " tokens"
        },
        Event::CommitteeDrawn { segment, members, .. } => html! {
            "a committee was drawn for segment " (link("segments", segment)) ": "
            @for (index, member) in members.iter().enumerate() { @if index > 0 { ", " } (node(member, names)) }
        },
        Event::RevealsOpened { segment, .. } => {
            html! { "all members are bound to their verdict on segment " (link("segments", segment)) }
        }
        Event::VerdictGiven { segment, validator, vote } => html! {
            (node(validator, names)) " on segment " (link("segments", segment)) ": " (verdict_in_words(vote))
        },
        Event::OpeningAsked { segment, worker, .. } => {
            html! { (node(worker, names)) " has to say what it planted in segment " (link("segments", segment)) }
        }
        Event::ForcedErrorOpened { segment, caught, .. } => html! {
            "segment " (link("segments", segment)) " held a planted job; " (caught.len()) " members had found it"
        },
        Event::SegmentApproved(outcome) if outcome.settled => html! {
            "segment " (link("segments", &outcome.segment)) " is settled: " (money(outcome.to_worker)) " to " (node(&outcome.worker, names))
        },
        Event::SegmentApproved(outcome) => html! {
            "segment " (link("segments", &outcome.segment)) " is final: " (outcome.approvers.len()) " validators approved it"
        },
        Event::SegmentRejected { segment, worker, reason, .. } => html! {
            "segment " (link("segments", segment)) " of " (node(worker, names)) " was rejected: " (crate::index::spaced(&format!("{reason:?}")))
        },
        Event::DisputeOpened { segment, challenger, bond } => html! {
            (node(challenger, names)) " disputes segment " (link("segments", segment)) " with a bond of " (money(*bond))
        },
        Event::DisputeClosed { segment, upheld, .. } => html! {
            "the dispute about segment " (link("segments", segment)) @if *upheld { " was upheld" } @else { " was not upheld" }
        },
        Event::ChallengeOpened { segment, challenger, worker, job, bond } => html! {
            (node(challenger, names)) " challenges job " (job) " of segment " (link("segments", segment)) ", computed by "
            (node(worker, names)) ", with a bond of " (money(*bond))
        },
        Event::TraceAsked { segment, worker, asked, .. } => html! {
            (node(worker, names)) " is to show " (asked_in_words(asked)) " of a challenged job in segment " (link("segments", segment))
        },
        Event::TraceShown { segment, shown, .. } => html! {
            "of a challenged job in segment " (link("segments", segment)) " was shown: " (format!("{shown:?}"))
        },
        Event::ChallengeClosed { segment, challenger, end, .. } => html! {
            "the challenge of " (node(challenger, names)) " about segment " (link("segments", segment)) " is over: "
            (challenge_end_in_words(*end))
        },
        _ => return None,
    })
}
