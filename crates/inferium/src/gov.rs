//! `inferium gov`: proposals with what they would change, votes, parameters and their bounds.

use crate::cli::{Choice, Failure, GovCommand, ProposeAction, ProposeArgs};
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use crate::wallet::from_wallet;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::LightClient;
use inferium_ledger::{Hold, Meta, Profile, Proposal, ProposalState, StateKey};
use inferium_types::{
    Amount, PARAMETERS, ParameterChange, ParameterRule, ParameterUnit, ProfileId, ProposalAction, ProposalTerms,
    TransactionBody, VoteChoice, VoteTally,
};
use serde_json::{Value, json};
use std::path::Path;

/// Proposals that a list goes back.
const LISTED: u64 = 50;

pub(crate) async fn run(command: GovCommand) -> Result<(), Failure> {
    match command {
        GovCommand::Propose { action } => propose(action).await,
        GovCommand::Vote { proposal, choice, signing } => {
            from_wallet(signing, TransactionBody::Vote { proposal, choice: choice.into() }).await
        }
        GovCommand::List { network } => list(&data_dir(network.data)).await,
        GovCommand::Show { proposal, network } => show(proposal, &data_dir(network.data)).await,
        GovCommand::Parameters { network } => parameters(&data_dir(network.data)).await,
    }
}

impl From<Choice> for VoteChoice {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Yes => Self::Yes,
            Choice::No => Self::No,
            Choice::Abstain => Self::Abstain,
            Choice::Veto => Self::Veto,
        }
    }
}

async fn propose(action: ProposeAction) -> Result<(), Failure> {
    let (action, arguments) = match action {
        ProposeAction::Parameters { changes, propose } => {
            let changes = changes.into_iter().map(|(name, value)| ParameterChange { name, value }).collect();
            (ProposalAction::ChangeParameters { changes }, propose)
        }
        ProposeAction::Spend { to, amount, propose } => (ProposalAction::SpendTreasury { to, amount }, propose),
        ProposeAction::ApproveProfile { profile, propose } => {
            (approval(ProfileId::new(profile), &propose).await?, propose)
        }
        ProposeAction::DelistProfile { profile, propose } => {
            (ProposalAction::DelistProfile { profile: ProfileId::new(profile) }, propose)
        }
        ProposeAction::Restitute { slash, propose } => (ProposalAction::Restitute { slash }, propose),
        ProposeAction::RemoveValidator { validator, propose } => {
            let validator = up::node_named(&validator, &data_dir(propose.signing.network.data.clone()))?;
            (ProposalAction::RemoveValidator { validator }, propose)
        }
        ProposeAction::Upgrade { height, version, propose } => (ProposalAction::Upgrade { height, version }, propose),
        ProposeAction::Text { propose } => (ProposalAction::Text, propose),
    };
    let ProposeArgs { title, description, signing } = arguments;
    let proposal = ProposalTerms { title, description, action };
    let data = data_dir(signing.network.data.clone());
    let (_, chain) = up::connect(&data).await?;
    let meta = meta(&chain).await?;
    for line in diff(&chain, &meta, &proposal.action).await? {
        crate::progress::say(&line);
    }
    if let ProposalAction::ChangeParameters { changes } = &proposal.action {
        refuse_impossible(&meta, changes)?;
    }
    from_wallet(signing, TransactionBody::Propose { proposal }).await
}

/// What the ledger would refuse, before anything is signed.
fn refuse_impossible(meta: &Meta, changes: &[ParameterChange]) -> Result<(), Failure> {
    let changed = changes
        .iter()
        .try_fold(meta.parameters.clone(), |parameters, change| parameters.with(&change.name, change.value));
    changed.and_then(|parameters| parameters.check()).map_err(|error| Failure::refused(error.to_string()))
}

/// The whole profile, which a proposal to approve it carries.
async fn approval(id: ProfileId, arguments: &ProposeArgs) -> Result<ProposalAction, Failure> {
    let (_, chain) = up::connect(&data_dir(arguments.signing.network.data.clone())).await?;
    let known: Option<Profile> = chain.entry(&StateKey::Profile(id)).await?;
    let known = known.ok_or_else(|| Failure::refused(format!("no validator has declared a profile {id}")))?;
    Ok(ProposalAction::ApproveProfile { profile: known.profile })
}

async fn meta(chain: &LightClient) -> Result<Meta, Failure> {
    let meta: Option<Meta> = chain.entry(&StateKey::Meta).await?;
    meta.ok_or_else(|| Failure::failed("the chain has no state"))
}

/// What a proposal would change, line by line: what is, and what would be.
async fn diff(chain: &LightClient, meta: &Meta, action: &ProposalAction) -> Result<Vec<String>, Failure> {
    Ok(match action {
        ProposalAction::ChangeParameters { changes } => {
            changes.iter().map(|change| parameter_diff(meta, change)).collect()
        }
        ProposalAction::SpendTreasury { to, amount } => vec![
            format!("- treasury       {}", meta.treasury),
            format!("+ treasury       {}", meta.treasury.sub(*amount).unwrap_or(Amount::ZERO)),
            format!("+ {to}  {amount} more"),
        ],
        ProposalAction::ApproveProfile { profile } => {
            let id = profile.id();
            vec![format!("- profile {id} is {}", listing(chain, id).await?), format!("+ profile {id} is approved")]
        }
        ProposalAction::DelistProfile { profile } => {
            let now = listing(chain, *profile).await?;
            vec![format!("- profile {profile} is {now}"), format!("+ profile {profile} is delisted")]
        }
        ProposalAction::Restitute { slash } => {
            let hold: Option<Hold> = chain.entry(&StateKey::Hold(*slash)).await?;
            match hold {
                None => vec![format!("  slash {slash} is not held: there is nothing to give back")],
                Some(hold) => vec![
                    format!("- {} of node {} is held for {}", hold.amount(), hold.node, hold.rule.name()),
                    format!(
                        "+ all of it goes back{}",
                        if hold.disqualified { ", and so does its seat or work" } else { "" }
                    ),
                ],
            }
        }
        ProposalAction::RemoveValidator { validator } => {
            vec![format!("- validator {validator} has a seat"), "+ it has none; its stake unbonds".into()]
        }
        ProposalAction::Upgrade { height, version } => vec![
            format!("- protocol version {}", meta.protocol),
            format!("+ protocol version {version} from block {height} on (now {})", meta.height),
        ],
        ProposalAction::Text => vec!["  nothing that code acts on".into()],
    })
}

async fn listing(chain: &LightClient, id: ProfileId) -> Result<String, Failure> {
    let profile: Option<Profile> = chain.entry(&StateKey::Profile(id)).await?;
    Ok(profile.map_or_else(|| "unknown".to_owned(), |profile| format!("{:?}", profile.listing).to_lowercase()))
}

fn parameter_diff(meta: &Meta, change: &ParameterChange) -> String {
    match ParameterRule::find(&change.name) {
        None => format!("  {}: there is no such parameter", change.name),
        Some(rule) => format!(
            "- {name} = {}\n+ {name} = {}   (bounds: {} to {}{})",
            in_unit(rule.value(&meta.parameters), rule.unit),
            in_unit(change.value, rule.unit),
            in_unit(rule.min, rule.unit),
            in_unit(rule.max, rule.unit),
            if rule.is_critical { "; takes two thirds of all stake" } else { "" },
            name = rule.name,
        ),
    }
}

/// A parameter's number for people, with the number as it is sent.
fn in_unit(number: u64, unit: ParameterUnit) -> String {
    match unit {
        ParameterUnit::Nano => format!("{number} ({})", Amount::from_nano(number)),
        ParameterUnit::Ppm => format!("{number} ({}.{:04} %)", number / 10_000, number % 10_000),
        ParameterUnit::Milliseconds => format!("{number} ({})", duration(number)),
        ParameterUnit::Count => number.to_string(),
    }
}

/// A time in its largest whole unit.
fn duration(ms: u64) -> String {
    let units = [(86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "s")];
    let unit = units.iter().find(|(size, _)| ms >= *size && ms.is_multiple_of(*size));
    unit.map_or_else(|| format!("{ms} ms"), |(size, name)| format!("{} {name}", ms / size))
}

async fn list(data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let meta = meta(&chain).await?;
    let mut found = Vec::new();
    for number in (meta.proposals.saturating_sub(LISTED)..meta.proposals).rev() {
        // Ended ones are removed after a while.
        let proposal: Option<Proposal> = chain.entry(&StateKey::Proposal(number)).await?;
        found.extend(proposal.map(|proposal| (number, proposal)));
    }
    if output::is_json() {
        let data: Vec<Value> = found.iter().map(|(number, proposal)| as_json(*number, proposal, &meta)).collect();
        return output::print_json(&json!({"height": meta.height, "proposals": meta.proposals, "data": data}));
    }
    if found.is_empty() {
        return print("no proposals are open, or ended lately");
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["number", "kind", "title", "state"]);
    for (number, proposal) in &found {
        let title = proposal.terms.title.escape_debug().to_string();
        table.add_row([
            number.to_string(),
            proposal.terms.action.name().into(),
            title,
            state_in_words(proposal, &meta),
        ]);
    }
    print(&table.to_string())
}

async fn show(number: u64, data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let meta = meta(&chain).await?;
    let proposal: Option<Proposal> = chain.entry(&StateKey::Proposal(number)).await?;
    let proposal = proposal.ok_or_else(|| Failure::refused(format!("no proposal {number} is open or ended lately")))?;
    let changes = diff(&chain, &meta, &proposal.terms.action).await?;
    if output::is_json() {
        let mut shown = as_json(number, &proposal, &meta);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("diff".into(), changes.join("\n").lines().collect::<Vec<_>>().into());
        }
        return output::print_json(&shown);
    }
    let votes = tally_of(&proposal.state).map_or_else(String::new, |tally| {
        format!(
            "\nyes {}, no {}, abstain {}, veto {} of {} bonded",
            tally.yes, tally.no, tally.abstain, tally.veto, meta.bonded
        )
    });
    let rule = if proposal.terms.action.needs_supermajority() { "two thirds of all stake" } else { "most votes" };
    print(&format!(
        "proposal {number}: {}\n{}\nby {}\n\n{}\n\nneeds {rule}\n{}{votes}",
        proposal.terms.title.escape_debug(),
        proposal.terms.description.escape_debug(),
        proposal.proposer,
        changes.join("\n"),
        state_in_words(&proposal, &meta),
    ))
}

fn tally_of(state: &ProposalState) -> Option<VoteTally> {
    match state {
        ProposalState::Voting { .. } => None,
        ProposalState::Counting { tally, .. }
        | ProposalState::Passed { tally, .. }
        | ProposalState::Ended { tally, .. } => Some(*tally),
    }
}

fn state_in_words(proposal: &Proposal, meta: &Meta) -> String {
    let seconds = |at_ms: u64| at_ms.saturating_sub(meta.timestamp_ms).div_ceil(1_000);
    match &proposal.state {
        ProposalState::Voting { closes_at_ms } => format!("open for votes for {} s", seconds(*closes_at_ms)),
        ProposalState::Counting { .. } => "votes are being counted".into(),
        ProposalState::Passed { executes_at_ms, .. } => format!("passed; executes in {} s", seconds(*executes_at_ms)),
        ProposalState::Ended { outcome, .. } => format!("ended: {}", outcome.name().replace('_', " ")),
    }
}

fn as_json(number: u64, proposal: &Proposal, meta: &Meta) -> Value {
    let (state, at_ms) = match &proposal.state {
        ProposalState::Voting { closes_at_ms } => ("voting", Some(*closes_at_ms)),
        ProposalState::Counting { .. } => ("counting", None),
        ProposalState::Passed { executes_at_ms, .. } => ("passed", Some(*executes_at_ms)),
        ProposalState::Ended { outcome, .. } => (outcome.name(), None),
    };
    let tally = tally_of(&proposal.state).map(|tally| {
        json!({
            "yes_nano": tally.yes.nano(),
            "no_nano": tally.no.nano(),
            "abstain_nano": tally.abstain.nano(),
            "veto_nano": tally.veto.nano(),
        })
    });
    json!({
        "proposal": number,
        "kind": proposal.terms.action.name(),
        "title": proposal.terms.title,
        "description": proposal.terms.description,
        "proposer": proposal.proposer.to_string(),
        "deposit_nano": proposal.deposit.nano(),
        "snapshot_epoch": proposal.snapshot_epoch,
        "state": state,
        "at_ms": at_ms,
        "tally": tally,
        "bonded_nano": meta.bonded.nano(),
        "needs_supermajority": proposal.terms.action.needs_supermajority(),
    })
}

async fn parameters(data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let meta = meta(&chain).await?;
    if output::is_json() {
        let rule = |rule: &ParameterRule| {
            json!({
                "name": rule.name,
                "value": rule.value(&meta.parameters),
                "unit": format!("{:?}", rule.unit).to_lowercase(),
                "min": rule.min,
                "max": rule.max,
                "critical": rule.is_critical,
            })
        };
        let data: Vec<Value> = PARAMETERS.iter().map(rule).collect();
        return output::print_json(&json!({"height": meta.height, "data": data}));
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["parameter", "value", "least", "greatest"]);
    for rule in PARAMETERS {
        let cell = |number| in_unit(number, rule.unit);
        table.add_row([rule.name.into(), cell(rule.value(&meta.parameters)), cell(rule.min), cell(rule.max)]);
    }
    print(&table.to_string())
}

#[cfg(test)]
mod tests;
