//! `inferium gov`: proposals with what they would change, votes, parameters and their bounds.

use crate::cli::{Choice, Failure, GovCommand, ProposeAction, ProposeArgs};
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up;
use crate::wallet::from_wallet;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_chain::LightClient;
use inferium_ledger::{Meta, Profile, Proposal, StateKey};
use inferium_query::governance::{as_json, diff, in_unit, state_in_words, tally_of};
use inferium_types::{
    PARAMETERS, ParameterChange, ParameterRule, ProfileId, ProposalAction, ProposalTerms, TransactionBody, VoteChoice,
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
