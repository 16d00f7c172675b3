//! The command line.

use crate::bisect::BisectArgs;
use crate::up::Cheat;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use inferium_chain::GetError;
use inferium_types::{AccountId, Amount, Digest, InvalidAmount, Ppm};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

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
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole network on this machine, and keep it running until Ctrl-C.
    Up(UpArgs),
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
    /// Keep money: make a wallet, see its balance, send from it, stake it.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Govern the network: propose, vote, and see what would change.
    #[command(subcommand)]
    Gov(GovCommand),
    /// Run a worker that joins a network.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Show what a node earned: by day, by source, or by job segment.
    Earnings(EarningsArgs),
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
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// Serve embeddings too, on a worker of their own, with this model if it is named.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = crate::model::EMBEDDER)]
    pub(crate) embeddings: Option<String>,
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
    /// over-generation, copied, another-model or silent; or let a validator cheat or err:
    /// lazy-validator, complacent-validator, skewed-validator.
    #[arg(long, value_name = "NAME")]
    pub(crate) crime: Option<Cheat>,
    /// The GGUF file that a worker of `--crime another-model` answers with; any that llama.cpp reads, in programs that were
    /// built with it.
    #[arg(long, value_name = "FILE")]
    pub(crate) other_model: Option<PathBuf>,
    /// Begin a new network with another parameter than a devnet's; may be given several times.
    /// `inferium gov parameters` lists them.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_change)]
    pub(crate) changes: Vec<(String, u64)>,
    /// Print one line of JSON on stdout once the network is ready.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `inferium profile`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Measure honest engines and cheats on a model, fit thresholds, and say whether they separate.
    ///
    /// Finished runs are kept: the same command goes on after an interruption.
    Calibrate {
        /// The model.
        #[arg(default_value = crate::model::DEFAULT)]
        name: String,
        /// Answers of each run.
        #[arg(long, default_value_t = 96, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
        jobs: u32,
        /// Tokens of an answer at most.
        #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_048))]
        tokens: u32,
        /// Where runs and report go [default: a folder beside the models].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Print the record as JSON on stdout.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        models: ModelsDir,
    },
    /// Let honest engines answer and judge each answer as a validator does: none may be rejected.
    ///
    /// Finished jobs are kept: the same command goes on, and a larger number of jobs adds to them.
    Honest(crate::honest::HonestArgs),
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
        /// Print the facts as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `inferium model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Download a model of the catalogue or of an address, or import a GGUF file.
    Pull {
        /// A name of the catalogue, a path, or an http(s) address of a GGUF file.
        name: String,
        /// SHA-256 of the file at an address, as 64 hex digits.
        #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
        sha256: Option<String>,
        #[command(flatten)]
        models: ModelsDir,
    },
    /// List the models of the catalogue and of this machine.
    List {
        #[command(flatten)]
        models: ModelsDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell what a model is and where it comes from.
    Show {
        /// The model.
        name: String,
        #[command(flatten)]
        models: ModelsDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a model from this machine.
    Rm {
        /// The model.
        name: String,
        #[command(flatten)]
        models: ModelsDir,
    },
}

/// Where models are kept.
#[derive(Debug, Args)]
pub(crate) struct ModelsDir {
    /// The folder of models [default: ~/.inferium/models].
    #[arg(long = "models", env = "INFERIUM_MODELS", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

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
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `inferium wallet`. No argument takes a secret: the words and the password come from a terminal,
/// from stdin or from a file.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a wallet and show its 24 words, once.
    New {
        #[command(flatten)]
        unlock: UnlockArgs,
        /// Print JSON, the words included.
        #[arg(long)]
        json: bool,
    },
    /// Make a wallet from 24 words that you have; asked for on the terminal, or read from stdin.
    Import {
        #[command(flatten)]
        unlock: UnlockArgs,
        /// Read the words from this file.
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the wallet's address.
    Address {
        #[command(flatten)]
        wallet: WalletFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what an account holds, proven against the network key.
    Balance {
        /// The account [default: the wallet's].
        #[arg(value_parser = parse_address)]
        address: Option<AccountId>,
        #[command(flatten)]
        wallet: WalletFile,
        #[command(flatten)]
        network: NetworkDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send money to an account.
    Send {
        /// The receiver's address.
        #[arg(value_parser = parse_address)]
        to: AccountId,
        /// How much, in IFR: 1.5
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Lock stake: for one's own node, or as a delegation to a validator.
    #[command(visible_alias = "delegate")]
    Stake {
        /// The node's name in the data folder, or its key.
        node: String,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Take stake back; it is paid after the unbonding time.
    Unbond {
        /// The node's name in the data folder, or its key.
        node: String,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// A validator's own: what it keeps of its delegators' rewards.
    Commission {
        /// In percent, with up to four decimals.
        #[arg(value_parser = parse_percent)]
        percent: Ppm,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Devnet only: get money from the test account of a network that `inferium up` made here.
    Faucet {
        /// The receiver [default: the wallet's account].
        #[arg(value_parser = parse_address)]
        address: Option<AccountId>,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, default_value = "100", allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        wallet: WalletFile,
        #[command(flatten)]
        network: NetworkDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which wallet.
#[derive(Debug, Args)]
pub(crate) struct WalletFile {
    /// The wallet's file [default: ~/.inferium/wallet.json].
    #[arg(long = "keystore", env = "INFERIUM_WALLET", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Which wallet, and where its password is.
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    pub(crate) wallet: WalletFile,
    /// Read the password from this file's first line instead of asking for it.
    #[arg(long, env = "INFERIUM_WALLET_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Which network.
#[derive(Debug, Args)]
pub(crate) struct NetworkDir {
    /// The data folder of a running `inferium up`.
    #[arg(long, env = "INFERIUM_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What every command that signs a transaction takes.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
    /// Sign with the key of this name in the data folder (gateway, validator-0, operator-worker, ...)
    /// instead of a wallet's.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) signer: Option<String>,
    /// Sign without asking; the transaction is shown all the same.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

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
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one proposal, what would change, and how the votes stand.
    Show {
        /// Its number.
        proposal: u64,
        #[command(flatten)]
        network: NetworkDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the parameters, their values and the bounds that no vote can leave.
    Parameters {
        #[command(flatten)]
        network: NetworkDir,
        /// Print JSON.
        #[arg(long)]
        json: bool,
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

/// `inferium worker`.
#[expect(clippy::large_enum_variant, reason = "parsed once")]
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Look at this machine, register, be measured, and work until Ctrl-C.
    Join(JoinArgs),
    /// Show what this machine has, as a worker would report it.
    Hardware {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
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
    /// Serve embeddings instead, with this model if it is named.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = crate::model::EMBEDDER)]
    pub(crate) embeddings: Option<String>,
    /// The highest tier to serve, whatever is measured.
    #[arg(long, value_enum, default_value_t = WantedTier::High)]
    pub(crate) tier: WantedTier,
    /// Jobs at a time.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) slots: u32,
    /// Stake, in IFR.
    #[arg(long, default_value = "1000", value_parser = parse_payment)]
    pub(crate) stake: Amount,
    /// Seconds that a stop may wait until what was signed is judged; what nobody can check any more costs stake.
    #[arg(long, default_value_t = 180, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) drain: u64,
    /// Devnet only: let the network's test account pay for stake and fees.
    #[arg(long)]
    pub(crate) faucet: bool,
    /// Print a line of JSON for each thing that happens.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
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

/// `inferium slashes`.
#[derive(Debug, Args)]
pub(crate) struct SlashesArgs {
    #[command(flatten)]
    pub(crate) network: NetworkDir,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `inferium why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A task, job, segment or node by its 64 hex digits, or a node's name in the data folder.
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        Self::network(format!("the chain can't be read: {error}"))
    }
}

impl Failure {
    /// Something of this machine failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The command line asks for something impossible.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Somebody could not be reached.
    pub(crate) fn network(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 3 }
    }

    /// What was given does not hold.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 4 }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// An account that somebody can hold the key of.
fn parse_address(text: &str) -> Result<AccountId, String> {
    let address = AccountId::from_hex(text).ok_or("an address is 64 hex digits")?;
    if address.is_valid() { Ok(address) } else { Err("no key has this address; is it mistyped?".to_owned()) }
}

/// An amount of money that is worth a transaction.
fn parse_payment(text: &str) -> Result<Amount, String> {
    let amount: Amount = text.parse().map_err(|error: InvalidAmount| error.to_string())?;
    if amount.is_zero() { Err("an amount of zero moves nothing".to_owned()) } else { Ok(amount) }
}

pub(crate) fn parse_id(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "64 hex digits are expected".to_owned())
}

/// NAME=VALUE, the value a whole number.
fn parse_change(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    let value = value.replace('_', "").parse().map_err(|_| format!("{value:?} is no whole number"))?;
    Ok((name.to_owned(), value))
}

/// A percentage with up to four decimals: exactly a number of parts per million.
fn parse_percent(text: &str) -> Result<Ppm, String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || decimals.len() > 4 || !is_number(whole) || !is_number(decimals) {
        return Err("a percentage with up to four decimals is expected, such as 5 or 2.5".to_owned());
    }
    let parts: u32 = format!("{whole}{decimals:0<4}").parse().map_err(|_| "not a number".to_owned())?;
    if parts > Ppm::ONE.get() { Err("more than 100 %".to_owned()) } else { Ok(Ppm::new(parts)) }
}

/// A checksum in the one spelling that is compared.
fn parse_sha256(text: &str) -> Result<String, String> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(text.to_ascii_lowercase()) } else { Err("64 hex digits are expected".to_owned()) }
}

#[cfg(test)]
mod tests;
