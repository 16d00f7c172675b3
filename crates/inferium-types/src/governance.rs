//! Proposals and votes (SPEC G).

use crate::{AccountId, Amount, ModelProfile, NodeId, ParameterRule, ProfileId, limits};
use borsh::{BorshDeserialize, BorshSerialize};

/// One parameter's new value.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ParameterChange {
    /// Name of the parameter.
    pub name: String,
    /// Its new value, in the parameter's unit.
    pub value: u64,
}

/// What a proposal does once it has passed; its kinds are G1's.
#[expect(clippy::large_enum_variant, reason = "proposals are few, and a profile is large where it is named whole")]
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposalAction {
    /// Changes parameters, all or none.
    ChangeParameters {
        /// Which, and to what.
        changes: Vec<ParameterChange>,
    },
    /// Pays from the treasury.
    SpendTreasury {
        /// To whom.
        to: AccountId,
        /// How much.
        amount: Amount,
    },
    /// Approves a model profile; ends its pause (SPEC S5) or delisting.
    ApproveProfile {
        /// The profile.
        profile: ModelProfile,
    },
    /// No task of the profile can be opened any more.
    DelistProfile {
        /// The profile.
        profile: ProfileId,
    },
    /// Overturns a slash within its hold.
    Restitute {
        /// Number of the slash.
        slash: u64,
    },
    /// Takes a validator's seat and duties; its stake unbonds.
    RemoveValidator {
        /// Which.
        validator: NodeId,
    },
    /// From this height on only software that knows the protocol version goes on.
    Upgrade {
        /// The height.
        height: u64,
        /// The protocol's version.
        version: u32,
    },
    /// Says something that no code acts on.
    Text,
}

impl ProposalAction {
    /// Its kind's name in words and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ChangeParameters { .. } => "parameters",
            Self::SpendTreasury { .. } => "spend",
            Self::ApproveProfile { .. } => "approve_profile",
            Self::DelistProfile { .. } => "delist_profile",
            Self::Restitute { .. } => "restitution",
            Self::RemoveValidator { .. } => "remove_validator",
            Self::Upgrade { .. } => "upgrade",
            Self::Text => "text",
        }
    }

    /// True when it takes two thirds of all stake (SPEC G2).
    #[must_use]
    pub fn needs_supermajority(&self) -> bool {
        match self {
            Self::ChangeParameters { changes } => changes
                .iter()
                // What no rule knows can't pass either.
                .any(|change| ParameterRule::find(&change.name).is_none_or(|rule| rule.is_critical)),
            Self::SpendTreasury { .. }
            | Self::Restitute { .. }
            | Self::RemoveValidator { .. }
            | Self::Upgrade { .. } => true,
            Self::ApproveProfile { .. } | Self::DelistProfile { .. } | Self::Text => false,
        }
    }
}

/// A proposal as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProposalTerms {
    /// What it is about, in a line.
    pub title: String,
    /// Why.
    pub description: String,
    /// What it does.
    pub action: ProposalAction,
}

impl ProposalTerms {
    /// True when texts and lists are within [`limits`].
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let is_short = match &self.action {
            ProposalAction::ChangeParameters { changes } => {
                !changes.is_empty() && changes.len() <= limits::PROPOSAL_CHANGES_MAX
            }
            ProposalAction::ApproveProfile { profile } => profile.is_well_formed(),
            ProposalAction::SpendTreasury { .. }
            | ProposalAction::DelistProfile { .. }
            | ProposalAction::Restitute { .. }
            | ProposalAction::RemoveValidator { .. }
            | ProposalAction::Upgrade { .. }
            | ProposalAction::Text => true,
        };
        is_short
            && !self.title.trim().is_empty()
            && self.title.len() <= limits::NAME_SIZE_MAX
            && self.description.len() <= limits::PROPOSAL_TEXT_SIZE_MAX
    }
}

/// What a voter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum VoteChoice {
    /// For it.
    Yes,
    /// Against it.
    No,
    /// Counts for the quorum only.
    Abstain,
    /// Against it, and against its being proposed at all.
    Veto,
}

impl VoteChoice {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Abstain => "abstain",
            Self::Veto => "veto",
        }
    }
}

/// Stake by what it voted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct VoteTally {
    /// For it.
    pub yes: Amount,
    /// Against it.
    pub no: Amount,
    /// Neither.
    pub abstain: Amount,
    /// Vetoes.
    pub veto: Amount,
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum ProposalOutcome {
    /// Passed; executes itself after the timelock.
    Passed,
    /// Too few voted.
    NoQuorum,
    /// Not enough for it.
    Failed,
    /// Vetoed: its deposit is burned.
    Vetoed,
    /// Passed and executed.
    Executed,
    /// Passed, but could not be executed any more.
    Void,
}

impl ProposalOutcome {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NoQuorum => "no_quorum",
            Self::Failed => "failed",
            Self::Vetoed => "vetoed",
            Self::Executed => "executed",
            Self::Void => "void",
        }
    }
}
