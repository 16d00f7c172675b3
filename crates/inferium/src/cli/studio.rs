//! Agents: their manifests, and what the chain has of them.

use super::client::ServerArgs;
use super::money::{NetworkDir, SigningArgs};
use super::parse::{parse_address, parse_payment};
use super::tools::ToolsArgs;
use clap::{Args, Subcommand};
use inferium_types::{AccountId, Amount, is_agent_name};
use std::path::PathBuf;
use std::time::Duration;

/// `inferium studio`.
#[derive(Debug, Subcommand)]
pub(crate) enum StudioCommand {
    /// Write a manifest to begin with: every key, explained; it can be published as it is.
    Init {
        /// The agent's name: a-z, 0-9 and hyphens.
        #[arg(value_parser = parse_name)]
        name: String,
        /// Where to write it.
        #[arg(long, default_value = "agent.toml", value_name = "FILE")]
        out: PathBuf,
        /// What it is to begin with: plain, with every key explained, or an agent that is of use as it is.
        #[arg(long, default_value = "plain", value_name = "TEMPLATE", value_parser = clap::builder::PossibleValuesParser::new(inferium_agent::Manifest::templates()))]
        template: String,
        /// The model that it calls: its name, or its profile of 64 hex digits.
        #[arg(long, default_value = crate::model::DEFAULT, value_name = "MODEL")]
        model: String,
    },
    /// Publish an agent; locks its deposit.
    Publish {
        #[command(flatten)]
        manifest: ManifestFile,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Change an agent of one's own to what its manifest says now. What narrows its spending is in force at once.
    Update {
        #[command(flatten)]
        manifest: ManifestFile,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Let an agent of one's own take no new runs; with the last one its money comes back.
    Retire {
        /// Its name.
        #[arg(value_parser = parse_name)]
        name: String,
        /// Let it spend nothing any more, at once, in runs that are under way either.
        #[arg(long)]
        stop_spending: bool,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Pay into an agent's account, from which only its runs can spend.
    Fund {
        /// The agent: the name of one's own, or the id of any, 64 hex digits.
        agent: String,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Let the runs of a manifest hire another agent: writes its id, version and manifest into the file.
    Hire {
        /// The agent to be hired: its name where there is one of it, or its id of 64 hex digits.
        agent: String,
        /// The manifest whose agent hires.
        #[arg(long, default_value = "agent.toml", value_name = "FILE")]
        into: PathBuf,
        /// What the model knows it by; its name unless said otherwise.
        #[arg(long, value_parser = parse_name, value_name = "NAME")]
        called: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Have an agent do something, and print its answer. What it does is told on the way.
    Run(RunAgentArgs),
    /// List the last runs that this API key asked for.
    Runs {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one run: each call of its model and tools, and what came back.
    Logs {
        /// The run, by its id.
        run: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Say what a run was worth, once its receipt is final; it stands on its agent's page.
    Review {
        /// The run, by its id.
        run: String,
        /// From 1 to 5, the more the better.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
        rating: u8,
        /// What others should know.
        words: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the agents of a network.
    List {
        /// Those of this account only.
        #[arg(long, value_parser = parse_address, value_name = "ADDRESS")]
        creator: Option<AccountId>,
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Try an agent's tools as its hosts run them: list those of a manifest or of what is built in, and call one.
    Tools(ToolsArgs),
    /// Show one agent: what it is, what it may spend, what it has, and what its runs brought.
    Show {
        /// The agent: its name where there is one of it, or its id of 64 hex digits.
        agent: String,
        #[command(flatten)]
        network: NetworkDir,
    },
}

/// What an agent is to do.
#[derive(Debug, Args)]
pub(crate) struct RunAgentArgs {
    /// The agent: its name where there is one of it, or its id of 64 hex digits.
    pub(crate) agent: String,
    /// What it is to do; from a pipe if it is not said here.
    pub(crate) task: Vec<String>,
    /// A file that its tools see; of a folder the files in it. Can be given several times.
    #[arg(long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// A secret that its tools need, by the name that the manifest has: the variable of that name. Can be given several times.
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,
    /// Refuse a run that costs more than so much IFR, its model calls not included.
    #[arg(long, value_parser = parse_payment, value_name = "IFR")]
    pub(crate) price_max: Option<Amount>,
    /// Run it again and again, with so much time between: 30s, 10m, 2h.
    #[arg(long, value_parser = parse_pause, value_name = "TIME")]
    pub(crate) every: Option<Duration>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

fn parse_pause(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 30s, 10m or 2h");
    let split = text.find(|one: char| !one.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    match number.checked_mul(seconds) {
        Some(0) | None => Err(wrong()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

/// Which manifest.
#[derive(Debug, Args)]
pub(crate) struct ManifestFile {
    /// The manifest.
    #[arg(default_value = "agent.toml", value_name = "FILE")]
    pub(crate) file: PathBuf,
}

fn parse_name(text: &str) -> Result<String, String> {
    if is_agent_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 40 of a-z, 0-9 and -, and no hyphen at an end".to_owned())
    }
}
