//! What the chain says: nodes, receipts, earnings, slashes, reasons.

use super::money::NetworkDir;
use super::parse::parse_id;
use clap::{Args, Subcommand, ValueEnum};
use inferium_types::Digest;
use std::path::PathBuf;

/// `inferium node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show one node, or all of a data folder's network: stake, state and record proven against the
    /// network key, slashes as the gateway reports them.
    Show {
        /// A node's key or name (worker, validator-0, ...).
        node: Option<String>,
        /// The data folder of a running `inferium up`.
        #[arg(long, env = "INFERIUM_DATA", value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

/// `inferium receipt`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Get the receipt of a job, waiting until it is final.
    Get {
        /// The job, from `x-inferium-job` or the answer's `inferium.job`.
        job: String,
        /// The gateway.
        #[arg(long, env = "INFERIUM_URL", default_value = "http://127.0.0.1:8080")]
        url: String,
        /// Write it to a file instead of stdout.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Give up after this many seconds.
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Check a receipt against a network key, offline.
    Verify {
        /// The receipt; `-` reads stdin.
        file: PathBuf,
        /// The network key that `inferium up` printed.
        #[arg(long, env = "INFERIUM_NETWORK_KEY", value_name = "KEY")]
        network_key: String,
        /// Also check that this is what the job was asked and answered: an answer of the API that was asked for with `"opening": true`.
        #[arg(long, value_name = "FILE")]
        answer: Option<PathBuf>,
        /// Also check a proof, and that it is the one that the job made, with the model or its key.
        #[arg(long, value_name = "PROOF", requires = "of")]
        proof: Option<PathBuf>,
        /// Refuse a proof of another job's answer.
        #[arg(long, value_name = "JOB", requires = "proof")]
        task: Option<String>,
        /// The model that the proof is about.
        #[arg(long, value_name = "FILE.ifx", group = "of", requires = "proof")]
        model: Option<PathBuf>,
        /// Its verification key, of `inferium zk key`.
        #[arg(long, value_name = "FILE", group = "of", requires = "proof")]
        key: Option<PathBuf>,
    },
}

/// `inferium earnings`.
#[derive(Debug, Args)]
pub(crate) struct EarningsArgs {
    /// The node's name in the data folder, or its key [default: the worker].
    #[arg(default_value = "worker")]
    pub(crate) node: String,
    /// Sum up by this.
    #[arg(long, value_enum, default_value_t = EarningsBy::Day)]
    pub(crate) by: EarningsBy,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// How earnings are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EarningsBy {
    /// By day (UTC).
    Day,
    /// By where they come from.
    Source,
    /// By segment of jobs.
    Job,
}

/// `inferium leaderboard`.
#[derive(Debug, Args)]
pub(crate) struct LeaderboardArgs {
    /// Whose board.
    #[arg(value_enum)]
    pub(crate) board: LeaderboardOf,
    /// Fold from this block on [default: the first, or the first that validators keep].
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// Fold up to this block [default: the newest final one].
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) up_to: Option<u64>,
    /// Show only so many rows, the best first; the digest is of all of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: Option<u32>,
    /// The digest that the board has to have; exit 4 if it has another.
    #[arg(long, value_name = "DIGEST", value_parser = parse_id)]
    pub(crate) expect: Option<Digest>,
    /// The network key that `inferium up` printed [default: that of the data folder].
    #[arg(long, env = "INFERIUM_NETWORK_KEY", value_name = "KEY")]
    pub(crate) network_key: Option<String>,
    /// A validator to ask, of a network without a data folder here; can be given several times.
    #[arg(long, value_name = "URL", requires = "network_key")]
    pub(crate) rpc: Vec<String>,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// Whose board it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaderboardOf {
    /// By the share of their segments that held.
    Workers,
    /// By the share of their duties that held.
    Validators,
    /// By what their runs cost those who paid.
    Agents,
}

/// `inferium slashes`.
#[derive(Debug, Args)]
pub(crate) struct SlashesArgs {
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// `inferium why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A task, job, segment or node by its 64 hex digits, or a node's name in the data folder.
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}
