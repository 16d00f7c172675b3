//! The command line.

mod bench;
mod chain;
mod client;
mod eval;
mod exact;
mod failure;
mod gov;
mod models;
mod money;
mod parse;
mod serving;
mod studio;
mod tools;
mod train;

pub(crate) use bench::{Arrivals, BenchCommand, BenchServeArgs};
pub(crate) use chain::{
    EarningsArgs, EarningsBy, LeaderboardArgs, LeaderboardOf, NodeCommand, ReceiptCommand, SlashesArgs, WhyArgs,
};
pub(crate) use client::{
    BatchCommand, DoctorArgs, KeyCommand, Role, RunArgs, ServerArgs, ServiceCommand, UnitArgs, WatchArgs,
};
pub(crate) use eval::{EvalCommand, EvalNetworkArgs, EvalPublishArgs, EvalRunArgs};
pub(crate) use exact::{
    CheckArgs, CompileArgs, ExactCommand, FetchArgs, HideArgs, Hides, ProveArgs, ZkBenchArgs, ZkCommand,
};
pub(crate) use failure::Failure;
pub(crate) use gov::{Choice, GovCommand, ProposeAction, ProposeArgs};
pub(crate) use models::{ModelArgs, ModelCommand, ModelsDir, ProfileCommand, PullArgs};
pub(crate) use money::{McpArgs, NetworkDir, SigningArgs, UnlockArgs, WalletCommand, WalletFile};
pub(crate) use parse::{parse_address, parse_id, parse_payment};
pub(crate) use serving::{ClassKind, DutyArgs, EngineKind, JoinArgs, ServingArgs, UpArgs, WantedTier, WorkerCommand};
pub(crate) use studio::{RunAgentArgs, StudioCommand};
pub(crate) use tools::ToolsArgs;
pub(crate) use train::{
    HeadArgs, LoraArgs, MachineArgs, PublishArgs, RemoteArgs, TrainCommand, TrainingArgs, VerifyArgs,
};

use crate::bisect::BisectArgs;
use crate::output::Format;
use clap::{ArgAction, Parser, Subcommand};
use inferium_types::Digest;
use std::path::PathBuf;

/// A decentralised AI inference network: OpenAI-compatible, verified, with receipts.
#[derive(Debug, Parser)]
#[command(name = "inferium", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// More logs on stderr; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Form of data on stdout.
    #[arg(long, global = true, value_enum, env = "INFERIUM_OUTPUT", default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// JSON on stdout: short for `--output json`.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The configuration [default: ~/.config/inferium/config.toml].
    #[arg(long, global = true, env = "INFERIUM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log on stderr, such as `debug` or `warn,inferium_gateway=trace` [default: more with each -v].
    #[arg(long, global = true, env = "INFERIUM_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

impl Cli {
    /// In what form data is printed.
    pub(crate) fn format(&self) -> Format {
        if self.json && self.output == Format::Table { Format::Json } else { self.output }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole network on this machine, and keep it running until Ctrl-C.
    Up(UpArgs),
    /// Chat with a model, or ask it one thing: `echo "Why is the sky blue?" | inferium run`.
    Run(RunArgs),
    /// Download a model of the catalogue or of an address, or import a GGUF file (`model pull`).
    Pull(PullArgs),
    /// List the models of the catalogue and of this machine (`model list`).
    #[command(visible_alias = "ls")]
    List(ModelsDir),
    /// Tell what a model is and where it comes from (`model show`).
    Show(ModelArgs),
    /// Remove a model from this machine (`model rm`).
    Rm(ModelArgs),
    /// Show the models that a running network serves, with workers and load.
    Ps(WatchArgs),
    /// Watch a running network: blocks, workers, jobs, tokens.
    Top(WatchArgs),
    /// Measure how fast a server answers.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Have a file of requests answered when there is room, at the price of batches.
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Measure how good a model is, on suites with fixed answers, and check what others measured.
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Train a classifier or adapters, on this machine or by a network, and check what others trained, bit by bit.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Make, show and run integer models, which answer with the same bits on every machine.
    #[command(subcommand)]
    Exact(ExactCommand),
    /// Prove what an integer model answers without showing the input, and check such proofs.
    #[command(subcommand)]
    Zk(ZkCommand),
    /// Make, list and revoke API keys of a running network.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look for what is wrong with this machine or its network, and say how to mend it.
    Doctor(DoctorArgs),
    /// Run a network or a worker as a service of systemd.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a folder.
    Man {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Get and verify receipts.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Get, list and remove models.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Calibrate what verdicts by statistics need for a model, where engines can't agree bit by bit.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// See the nodes of a network: stake, state, record, slashes.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Be a server of the Model Context Protocol on stdin and stdout, for assistants: ask models and agents, verify receipts, see and send money.
    Mcp(McpArgs),
    /// Keep money: make a wallet, see its balance, send from it, stake it.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Govern the network: propose, vote, and see what would change.
    #[command(subcommand)]
    Gov(GovCommand),
    /// Make agents: write their manifest, publish, change, fund and retire them, and see what they earned.
    #[command(subcommand)]
    Studio(StudioCommand),
    /// Run a worker that joins a network.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Show what a node earned: by day, by source, or by job segment.
    Earnings(EarningsArgs),
    /// Rank workers, validators or agents by what certified blocks say of them, folded here from every block.
    Leaderboard(LeaderboardArgs),
    /// Show all slashes, why, and how many of them were wrong.
    Slashes(SlashesArgs),
    /// Tell why a task, a job or a node is where it is: assigned, paid, final, or not.
    Why(WhyArgs),
    /// Find where the replays of two validators that disagree about a segment first differ: job, position, layer.
    Bisect(BisectArgs),
    /// Doubt an approved segment: locks a bond, which a larger committee decides about.
    Dispute {
        /// The segment; 64 hex digits, from its receipt.
        #[arg(value_parser = parse_id)]
        segment: Digest,
        #[command(flatten)]
        signing: SigningArgs,
    },
}

#[cfg(test)]
mod tests;
