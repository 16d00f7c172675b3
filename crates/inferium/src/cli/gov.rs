//! Proposals and votes.

use super::money::{NetworkDir, SigningArgs};
use super::parse::{parse_address, parse_change, parse_id, parse_payment};
use clap::{Args, Subcommand, ValueEnum};
use inferium_types::{AccountId, Amount, Digest};

/// `inferium gov`.
#[derive(Debug, Subcommand)]
pub(crate) enum GovCommand {
    /// Put something to the vote; the deposit comes back unless it is vetoed.
    Propose {
        #[command(subcommand)]
        action: ProposeAction,
    },
    /// Vote with all of the signer's stake; the last vote counts.
    Vote {
        /// Number of the proposal.
        proposal: u64,
        /// What to say.
        #[arg(value_enum)]
        choice: Choice,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// List proposals, the newest first.
    List {
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Show one proposal, what would change, and how the votes stand.
    Show {
        /// Its number.
        proposal: u64,
        #[command(flatten)]
        network: NetworkDir,
    },
    /// List the parameters, their values and the bounds that no vote can leave.
    Parameters {
        #[command(flatten)]
        network: NetworkDir,
    },
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// For it.
    Yes,
    /// Against it.
    No,
    /// Counts for the quorum only.
    Abstain,
    /// Against it, and its deposit should burn.
    Veto,
}

/// What all proposals have.
#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// A title, in a line.
    #[arg(long)]
    pub(crate) title: String,
    /// The reason.
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    #[command(flatten)]
    pub(crate) signing: SigningArgs,
}

/// `inferium gov propose`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProposeAction {
    /// Change parameters: all of them or none.
    Parameters {
        /// NAME=VALUE, in the parameter's unit (`inferium gov parameters`).
        #[arg(required = true, value_parser = parse_change)]
        changes: Vec<(String, u64)>,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// Pay from the treasury.
    Spend {
        /// The receiver's address.
        #[arg(value_parser = parse_address)]
        to: AccountId,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment)]
        amount: Amount,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// Approve a model profile that validators declared; ends a pause or a delisting.
    ApproveProfile {
        /// The profile; 64 hex digits.
        #[arg(value_parser = parse_id)]
        profile: Digest,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// Let no task of a model profile be opened any more.
    DelistProfile {
        /// The profile; 64 hex digits.
        #[arg(value_parser = parse_id)]
        profile: Digest,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// Overturn a slash within its hold: everything it took goes back.
    Restitute {
        /// Number of the slash (`inferium slashes`).
        slash: u64,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// Take a validator's seat and duties; its stake unbonds.
    RemoveValidator {
        /// Its name in the data folder, or its key.
        validator: String,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// From a height on, only software of a protocol version goes on.
    Upgrade {
        /// The height.
        #[arg(long)]
        height: u64,
        /// The protocol's version.
        #[arg(long)]
        version: u32,
        #[command(flatten)]
        propose: ProposeArgs,
    },
    /// A text that no code acts on.
    Text {
        #[command(flatten)]
        propose: ProposeArgs,
    },
}
