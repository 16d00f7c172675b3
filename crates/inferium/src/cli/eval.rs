//! How good models are.

use super::client::ServerArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `inferium eval`.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// List the suites that come with this program.
    List,
    /// Show what a suite asks, how it scores, and its hash.
    Show {
        /// Its name, or a folder with `suite.toml` and `items.jsonl`.
        suite: String,
    },
    /// Ask a model all items of a suite, and score its answers.
    Run(Box<EvalRunArgs>),
    /// Score a run's answers again, check its receipts, and refuse what does not come out; offline.
    Verify {
        /// What `eval run --out` wrote.
        file: PathBuf,
        /// The suite's folder, if it does not come with this program.
        #[arg(long, value_name = "DIR")]
        suite: Option<String>,
        /// The network key that `inferium up` printed; without it, receipts are not checked.
        #[arg(long, env = "INFERIUM_NETWORK_KEY", value_name = "KEY")]
        network_key: Option<String>,
        /// Ask the model so many of the items again, drawn at random, and refuse the run if an answer differs; not offline.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        again: Option<u32>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Compare runs of one suite with the first of them, item by item.
    Compare {
        /// What `eval run --out` wrote.
        #[arg(required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// The suite's folder, if it does not come with this program.
        #[arg(long, value_name = "DIR")]
        suite: Option<String>,
    },
    /// Rank models by their runs: quality with its interval, speed, price, share of items with receipts.
    Board {
        /// What `eval run --out` wrote.
        #[arg(required_unless_present = "from_network", conflicts_with = "from_network")]
        files: Vec<PathBuf>,
        /// The suite's folder, if it does not come with this program; of the network's boards the suite's name.
        #[arg(long, value_name = "DIR")]
        suite: Option<String>,
        #[command(flatten)]
        network: Box<EvalNetworkArgs>,
    },
    /// Have results folded into a board by a worker of the network, and wait until a committee has folded it again.
    Publish(Box<EvalPublishArgs>),
}

/// `inferium eval board`, where it is about the network.
#[derive(Debug, Args)]
pub(crate) struct EvalNetworkArgs {
    /// Show the network's last final boards, of all suites or of the one that --suite names.
    #[arg(long)]
    pub(crate) from_network: bool,
    /// Fold each of them again from what it was folded from, and check its receipt's commitments; exit 4 for one that does not come out.
    #[arg(long, requires = "from_network")]
    pub(crate) verify: bool,
    /// The network key that `inferium up` printed: every receipt is checked; without it, they are counted as `unchecked`.
    #[arg(long, env = "INFERIUM_NETWORK_KEY", value_name = "KEY")]
    pub(crate) network_key: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `inferium eval publish`.
#[derive(Debug, Args)]
pub(crate) struct EvalPublishArgs {
    /// What `eval run --out --receipts` wrote, of one suite that comes with this program.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What the board is called.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The network key that `inferium up` printed: the final board is folded here once more, and its receipt checked.
    #[arg(long, env = "INFERIUM_NETWORK_KEY", value_name = "KEY")]
    pub(crate) network_key: Option<String>,
    /// Wait so long for the committee.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `inferium eval run`.
#[derive(Debug, Args)]
pub(crate) struct EvalRunArgs {
    /// The suite's name, or a folder with `suite.toml` and `items.jsonl`.
    pub(crate) suite: String,
    /// The model.
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Keep answers here, line by line; the same command goes on where it was stopped.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Ask only so many items, the first of the order that the seed draws.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Draws the order of the items.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Items that are asked at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// Wait until every job is final, and keep the receipts.
    #[arg(long)]
    pub(crate) receipts: bool,
    /// Wait so long for a receipt.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
}
