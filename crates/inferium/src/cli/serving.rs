//! Networks and workers that run on this machine.

use super::models::ModelsDir;
use super::money::NetworkDir;
use super::parse::{parse_change, parse_payment};
use crate::up::Cheat;
use clap::{Args, Subcommand, ValueEnum};
use inferium_types::Amount;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which engine runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// The canonical engine, on the real model; on the tolerance class it adds up in another order.
    Llama,
    /// llama.cpp, on the real model, for workers of the tolerance class; in programs that were built with it.
    Llamacpp,
    /// No model: made-up tokens, for tests and for measuring everything else.
    Mock,
    /// A server that speaks OpenAI's API, named by --server; of the model's file only what reads and writes text is used by a
    /// worker. Goes with --class foreign, and means it.
    Openai,
}

/// How results of a worker are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClassKind {
    /// Replay is equality: workers run the canonical engine.
    Canonical,
    /// Replay is within a tolerance: workers add up in an order of their own, as stock engines do, and are judged by
    /// statistics.
    Tolerance,
    /// A server behind the worker draws, with a seed of its own: its tokens are judged by statistics, and pay is less.
    Foreign,
}

/// What is served, and with what.
#[derive(Debug, Args)]
pub(crate) struct ServingArgs {
    /// The model to serve; a worker that joins serves the network's.
    #[arg(long, default_value = crate::model::DEFAULT, value_name = "NAME")]
    pub(crate) model: String,
    /// The engine to serve it with.
    #[arg(long, value_enum, default_value_t = EngineKind::Llama)]
    pub(crate) engine: EngineKind,
    /// Threads that the engine computes with [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// How results are verified.
    #[arg(long, value_enum, default_value_t = ClassKind::Canonical)]
    pub(crate) class: ClassKind,
    /// The calibration of the tolerance class, as `inferium profile calibrate` writes it [default: the one that is known for
    /// the model].
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// Of the foreign class: where the server's API begins, like http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The server's name for the model [default: the first that it lists].
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) server_model: Option<String>,
    /// A file with the key that the server wants.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) server_key_file: Option<PathBuf>,
}

impl ServingArgs {
    /// How results are verified, also where the engine says it.
    pub(crate) fn class(&self) -> ClassKind {
        if self.engine == EngineKind::Openai { ClassKind::Foreign } else { self.class }
    }
}

/// `inferium up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the network keeps its data.
    #[arg(long, env = "INFERIUM_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the API listens; port 0 picks a free one.
    #[arg(long, env = "INFERIUM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Where metrics listen; port 0 picks a free one.
    #[arg(long, env = "INFERIUM_ADMIN", default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) admin: SocketAddr,
    /// Validators of a new network.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) validators: u32,
    /// Take no files and no batches of requests that nobody waits for.
    #[arg(long)]
    pub(crate) no_batches: bool,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
    /// Serve embeddings too, on a worker of their own, with this model if it is named; or with an integer model, by the folder that `exact
    /// compile` wrote.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = crate::model::EMBEDDER)]
    pub(crate) embeddings: Option<String>,
    /// Serve a classifier too, on a worker of its own: an integer model (.ifx), or the folder that `train publish` writes. Can be
    /// given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) classifier: Vec<PathBuf>,
    /// Serve a classifier of private weights too, by its key (`zk hide`): a worker that joins with the weights answers, and proves. Its name is that of
    /// the file. Can be given several times.
    #[arg(long, value_name = "KEY")]
    pub(crate) private: Vec<PathBuf>,
    /// Train too, classifiers and adapters of the model, on a worker of its own, which must measure tier High: a devnet on processors alone takes
    /// --set tier_high_score=N.
    #[arg(long)]
    pub(crate) training: bool,
    /// Forget the network in the data folder and start a new one.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Milliseconds between blocks while work waits [default: 100].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) pace_ms: Option<u64>,
    /// Milliseconds between blocks while nothing waits.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) idle_pace_ms: u64,
    /// Add a worker that cheats, to watch it being caught: wrong-weights, coarse-rows, fp8-cache, int4-cache, skipped-layers,
    /// no-system-prompt, warmer, hotter, own-seed, best-of-four, edited-text, truncated, forged-logprobs, forged-sketches,
    /// over-generation, copied, another-model, silent, inflated-board, with --training fabricated-loss, or with --classifier false-proof, late-proof; or let a validator cheat or err:
    /// lazy-validator, complacent-validator, skewed-validator.
    #[arg(long, value_name = "NAME")]
    pub(crate) crime: Option<Cheat>,
    /// So many validators, the first ones, approve together whatever they find wrong: to watch what one honest validator can do against them (SPEC V11).
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) accomplices: u32,
    /// The GGUF file that a worker of `--crime another-model` answers with; any that llama.cpp reads, in programs that were
    /// built with it.
    #[arg(long, value_name = "FILE")]
    pub(crate) other_model: Option<PathBuf>,
    /// Begin a new network with another parameter than a devnet's; may be given several times.
    /// `inferium gov parameters` lists them.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_change)]
    pub(crate) changes: Vec<(String, u64)>,
}

/// `inferium worker`.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Look at this machine, register, be measured, and work until Ctrl-C.
    Join(Box<JoinArgs>),
    /// Show what this machine has, as a worker would report it.
    Hardware,
    /// List the workers of a running network's data folder, and whether they take work.
    List {
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Have a worker end what it began and take nothing new; it stays so over restarts.
    Pause(DutyArgs),
    /// Have a paused worker take work again.
    Resume(DutyArgs),
    /// Have a worker end what it began, and then go; a restart of its network brings it back.
    Drain(DutyArgs),
}

/// Which worker is meant.
#[derive(Debug, Args)]
pub(crate) struct DutyArgs {
    /// Its name or node [default: the only one].
    pub(crate) worker: Option<String>,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
}

/// `inferium worker join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Data folder of the network to join, or its `network.json`.
    #[arg(long, value_name = "PATH", env = "INFERIUM_NETWORK")]
    pub(crate) network: Option<PathBuf>,
    /// Where the worker keeps its keys and data [default: ~/.inferium/worker].
    #[arg(long, value_name = "DIR", env = "INFERIUM_WORKER_DATA")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
    /// Serve embeddings instead, with this model if it is named; or with an integer model, by its folder.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = crate::model::EMBEDDER)]
    pub(crate) embeddings: Option<String>,
    /// Serve a classifier instead: an integer model (.ifx), or the folder that `train publish` writes.
    #[arg(long, value_name = "PATH", conflicts_with = "embeddings")]
    pub(crate) classifier: Option<PathBuf>,
    /// Answer by private weights too, which nobody else has, and prove each answer: an integer model (.ifx), whose name is that of the file.
    #[arg(long, value_name = "FILE.ifx", conflicts_with = "classifier", requires = "secret")]
    pub(crate) private: Option<PathBuf>,
    /// The secret that `zk hide` drew for them, which counts how often they are opened.
    #[arg(long, value_name = "FILE", requires = "private")]
    pub(crate) secret: Option<PathBuf>,
    /// The highest tier to serve, whatever is measured.
    #[arg(long, value_enum, default_value_t = WantedTier::High)]
    pub(crate) tier: WantedTier,
    /// Jobs at a time, at most; no more than the engine's cache has room for are offered.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) slots: u32,
    /// Take no batches: requests that nobody waits for, at half the price.
    #[arg(long)]
    pub(crate) no_batches: bool,
    /// Host so many runs of agents at once, of agents that call this worker's model. What a run may spend is answered for with the
    /// stake.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(crate) host_agents: u32,
    /// The least price of a run that is hosted, in IFR.
    #[arg(long, default_value = "0.000000001", value_parser = parse_payment, value_name = "IFR", requires = "host_agents")]
    pub(crate) host_price: Amount,
    /// A program that agents' manifests may name as a server of tools; it runs in a sandbox. Can be given several times.
    #[arg(long, value_name = "PROGRAM", requires = "host_agents")]
    pub(crate) allow_tool: Vec<PathBuf>,
    /// Fold so many boards at once, from results that others publish: it takes no model, and tier Low is enough.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(crate) boards: u32,
    /// What an item of these results costs, in IFR.
    #[arg(long, default_value = "0.00000001", value_parser = parse_payment, value_name = "IFR")]
    pub(crate) board_price: Amount,
    /// Train so many intervals of runs at once: classifiers, and adapters of its own model. It takes tier High.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(crate) training: u32,
    /// What an example that a step sees costs, in IFR; of adapters, what a token of one does.
    #[arg(long, default_value = "0.00000001", value_parser = parse_payment, value_name = "IFR", requires = "training")]
    pub(crate) example_price: Amount,
    /// What an interval costs beside its examples, in IFR.
    #[arg(long, default_value = "0.00001", value_parser = parse_payment, value_name = "IFR", requires = "training")]
    pub(crate) interval_price: Amount,
    /// Prove so many answers of a classifier of numbers at once.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) proofs: u32,
    /// Stake, in IFR.
    #[arg(long, default_value = "1000", value_parser = parse_payment)]
    pub(crate) stake: Amount,
    /// Seconds that a stop may wait until what was signed is judged; what nobody can check any more costs stake.
    #[arg(long, default_value_t = 180, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) drain: u64,
    /// Devnet only: let the network's test account pay for stake and fees.
    #[arg(long)]
    pub(crate) faucet: bool,
}

/// The highest tier that a worker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WantedTier {
    /// Embeddings, classification, evaluation items.
    Low,
    /// Real-time inference and agents.
    Mid,
    /// Large models and training.
    High,
}
