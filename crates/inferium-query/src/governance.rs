//! Proposals and parameters for people: what would change, and how a vote stands.

use inferium_chain::{GetError, LightClient};
use inferium_ledger::{Hold, Meta, Profile, Proposal, ProposalState, StateKey};
use inferium_types::{Amount, ParameterChange, ParameterRule, ParameterUnit, ProfileId, ProposalAction, VoteTally};
use serde_json::{Value, json};

/// What a proposal would change, line by line: what is, and what would be.
///
/// # Errors
/// [`GetError`].
pub async fn diff(chain: &LightClient, meta: &Meta, action: &ProposalAction) -> Result<Vec<String>, GetError> {
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

async fn listing(chain: &LightClient, id: ProfileId) -> Result<String, GetError> {
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
#[must_use]
pub fn in_unit(number: u64, unit: ParameterUnit) -> String {
    match unit {
        ParameterUnit::Nano => format!("{number} ({})", Amount::from_nano(number)),
        ParameterUnit::Ppm => format!("{number} ({}.{:04} %)", number / 10_000, number % 10_000),
        ParameterUnit::Milliseconds => format!("{number} ({})", duration(number)),
        ParameterUnit::Count => number.to_string(),
    }
}

/// A time in its largest whole unit.
#[must_use]
pub fn duration(ms: u64) -> String {
    let units =
        [(86_400_000, "day", "days"), (3_600_000, "hour", "hours"), (60_000, "minute", "minutes"), (1_000, "s", "s")];
    let unit = units.iter().find(|(size, ..)| ms >= *size && ms.is_multiple_of(*size));
    unit.map_or_else(
        || format!("{ms} ms"),
        |(size, one, many)| format!("{} {}", ms / size, if ms == *size { one } else { many }),
    )
}

/// The votes so far, once they are counted.
#[must_use]
pub fn tally_of(state: &ProposalState) -> Option<VoteTally> {
    match state {
        ProposalState::Voting { .. } => None,
        ProposalState::Counting { tally, .. }
        | ProposalState::Passed { tally, .. }
        | ProposalState::Ended { tally, .. } => Some(*tally),
    }
}

/// Where a proposal stands, in words.
#[must_use]
pub fn state_in_words(proposal: &Proposal, meta: &Meta) -> String {
    let seconds = |at_ms: u64| at_ms.saturating_sub(meta.timestamp_ms).div_ceil(1_000);
    match &proposal.state {
        ProposalState::Voting { closes_at_ms } => format!("open for votes for {} s", seconds(*closes_at_ms)),
        ProposalState::Counting { .. } => "votes are being counted".into(),
        ProposalState::Passed { executes_at_ms, .. } => format!("passed; executes in {} s", seconds(*executes_at_ms)),
        ProposalState::Ended { outcome, .. } => format!("ended: {}", outcome.name().replace('_', " ")),
    }
}

/// A proposal's JSON.
#[must_use]
pub fn as_json(number: u64, proposal: &Proposal, meta: &Meta) -> Value {
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

#[cfg(test)]
mod tests;
