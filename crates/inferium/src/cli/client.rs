//! What people use a running network with: chats, keys, looks at it.

use super::money::NetworkDir;
use super::parse::{parse_lifetime, parse_payment};
use clap::{Args, Subcommand};
use inferium_types::Amount;
use std::path::PathBuf;

/// `inferium run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The model.
    #[arg(default_value = crate::model::DEFAULT)]
    pub(crate) model: String,
    /// What to ask; without it, what stdin says, or a chat on a terminal.
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// What the model is told before everything else.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// From 0, always the likeliest, to 2.
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f64>,
    /// The same seed draws the same answer.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Tokens of an answer at most.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
}

/// The server that is asked.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Where the API begins, like http://127.0.0.1:8080/v1 [default: that of the data folder's network if one is named, else
    /// OPENAI_BASE_URL, else that of the usual data folder]. The API key is OPENAI_API_KEY there, or the data folder's.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file whose first line is the API key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// `inferium batch`.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Upload a file of requests, one a line, and have them answered.
    Submit {
        /// JSON Lines: each with `custom_id`, `method`, `url` and `body`.
        file: PathBuf,
        /// What all of its lines ask.
        #[arg(long, value_name = "URL", default_value = "/v1/chat/completions")]
        endpoint: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the API key's batches, newest first.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show where a batch stands, what it cost, and what is wrong with its file.
    Show {
        /// Its id.
        batch: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Begin no more lines of a batch.
    Cancel {
        /// Its id.
        batch: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print a batch's answers, one a line.
    Output {
        /// Its id.
        batch: String,
        /// The lines that have no answer, and why.
        #[arg(long)]
        errors: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `inferium key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an API key, and show its secret, once.
    Create {
        /// What to call it.
        #[arg(long)]
        name: Option<String>,
        /// What it may spend in all, in IFR [default: no limit].
        #[arg(long, value_name = "IFR", value_parser = parse_payment, allow_negative_numbers = true)]
        budget: Option<Amount>,
        /// How long it is good for: 30d, 12h, 90m, 45s or 2w [default: until it is revoked].
        #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
        expires: Option<u64>,
        /// Requests a minute at most [default: no limit].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rpm: Option<u32>,
        /// Tokens of prompts and answers a minute at most [default: no limit].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        tpm: Option<u32>,
        /// The models that it may use [default: all].
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        models: Vec<String>,
        #[command(flatten)]
        network: NetworkDir,
    },
    /// List all keys; none of their secrets is kept anywhere.
    List {
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Refuse a key from now on, for ever; what it has begun ends as it would have.
    Revoke {
        /// Its id, or its name.
        key: String,
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Print the address of the operator's pages, with the admin token that they take: who has it may do all that this machine may.
    Admin {
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Show what keys were used for, by day and model.
    Usage {
        #[command(flatten)]
        network: NetworkDir,
    },
}

/// `inferium ps`, `inferium top`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// `inferium doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) network: NetworkDir,
    #[command(flatten)]
    pub(crate) models: super::ModelsDir,
}

/// `inferium service`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Write a unit for systemd; `systemctl enable --now` starts it.
    Install {
        #[command(flatten)]
        unit: UnitArgs,
        /// The program [default: this one].
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Of a worker in front of another server: the file with the key that this one wants. systemd reads it, and hands
        /// it over; it is in no argument and no variable.
        #[arg(long, value_name = "FILE")]
        server_key_file: Option<PathBuf>,
        /// Print the unit instead.
        #[arg(long)]
        dry_run: bool,
        /// More arguments of the service, after `--`.
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Remove the unit.
    Uninstall {
        #[command(flatten)]
        unit: UnitArgs,
    },
    /// Tell whether it is installed, and runs.
    Status {
        #[command(flatten)]
        unit: UnitArgs,
    },
}

/// Which service.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct UnitArgs {
    /// What runs.
    #[arg(value_enum, default_value_t = Role::Up)]
    pub(crate) role: Role,
    /// A service of this user instead of the machine's.
    #[arg(long)]
    pub(crate) user: bool,
}

/// What runs as a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// `inferium up`.
    Up,
    /// `inferium worker join`.
    Worker,
}
