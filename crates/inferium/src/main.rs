//! `inferium`: every role of the network in one binary.
//!
//! `inferium up` is a whole network on one machine; the other commands read it. Data goes to
//! stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the network
//! or a source could not be reached, 4 refused: a receipt or request that does not hold.

mod bisect;
mod cli;
mod earnings;
mod gov;
mod hardware;
mod history;
mod home;
mod honest;
mod join;
mod model;
mod node;
mod profile;
mod progress;
mod receipt;
mod slashes;
mod up;
mod wallet;
mod why;

use clap::Parser as _;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logs(&cli);
    let outcome = match cli.command {
        Command::Up(arguments) => run(up::run(arguments)),
        Command::Receipt(command) => run(receipt::run(command)),
        Command::Model(command) => model::run(command),
        Command::Profile(command) => profile::run(command),
        Command::Node(command) => run(node::run(command)),
        Command::Wallet(command) => run(wallet::run(command)),
        Command::Gov(command) => run(gov::run(command)),
        Command::Worker(command) => run(join::run(command)),
        Command::Earnings(arguments) => run(earnings::run(arguments)),
        Command::Slashes(arguments) => run(slashes::run(arguments)),
        Command::Why(arguments) => run(why::run(arguments)),
        Command::Bisect(arguments) => run(bisect::run(arguments)),
        Command::Dispute { segment, signing } => {
            let segment = inferium_types::SegmentId::new(segment);
            run(wallet::from_wallet(signing, inferium_types::TransactionBody::OpenDispute { segment }))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::complain(&failure);
            failure.code()
        }
    }
}

/// Runs a command on an async runtime of its own.
fn run(command: impl Future<Output = Result<(), cli::Failure>>) -> Result<(), cli::Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| cli::Failure::failed(format!("cannot start the runtime: {error}")))?
        .block_on(command)
}

/// Logs go to stderr; `INFERIUM_LOG` (or `RUST_LOG`) chooses what.
fn init_logs(cli: &Cli) {
    let default = match cli.verbose {
        0 => "warn,inferium=info,inferium_worker=info,inferium_gateway=info,inferium_validator=info",
        1 => {
            "info,inferium=debug,inferium_worker=debug,inferium_gateway=debug,inferium_validator=debug,inferium_chain=debug"
        }
        _ => "debug",
    };
    let filter = ["INFERIUM_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| default.to_owned());
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let use_color = is_terminal && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(use_color)
        .with_target(false)
        .init();
}
