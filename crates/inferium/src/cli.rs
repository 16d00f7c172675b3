//! The command line.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use inferium_worker::Crime;
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
    /// See the nodes of a network: stake, state, record, slashes.
    #[command(subcommand)]
    Node(NodeCommand),
}

/// Which engine runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// The canonical engine, on the real model.
    Llama,
    /// No model: made-up tokens, for tests and for measuring everything else.
    Mock,
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
    /// The model to serve.
    #[arg(long, default_value = crate::model::DEFAULT, value_name = "NAME")]
    pub(crate) model: String,
    /// The engine to serve it with.
    #[arg(long, value_enum, default_value_t = EngineKind::Llama)]
    pub(crate) engine: EngineKind,
    /// Threads that the engine computes with [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Forget the network in the data folder and start a new one.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Milliseconds between blocks while work waits [default: 100].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) pace_ms: Option<u64>,
    /// Milliseconds between blocks while nothing waits.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) idle_pace_ms: u64,
    /// Add a worker that cheats, to watch it being caught: wrong-weights, edited-text, truncated,
    /// own-seed or silent.
    #[arg(long, value_name = "NAME")]
    pub(crate) crime: Option<Crime>,
    /// Print one line of JSON on stdout once the network is ready.
    #[arg(long)]
    pub(crate) json: bool,
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

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
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

/// A checksum in the one spelling that is compared.
fn parse_sha256(text: &str) -> Result<String, String> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(text.to_ascii_lowercase()) } else { Err("64 hex digits are expected".to_owned()) }
}
