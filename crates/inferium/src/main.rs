//! `inferium`: every role of the network in one binary.
//!
//! `inferium up` is a whole network on one machine; the other commands read it. Data goes to
//! stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the network
//! or a source could not be reached, 4 refused: a receipt or request that does not hold.

mod admin;
mod alive;
mod batches;
mod bench;
mod bisect;
mod cli;
mod config;
mod doctor;
mod duty;
mod earnings;
mod eval;
mod exact;
mod files;
mod gov;
mod hardware;
mod history;
mod home;
mod honest;
mod hosting;
mod join;
mod keys;
mod leaderboard;
mod logs;
mod mcp;
mod model;
mod node;
mod output;
mod processor;
mod profile;
mod progress;
mod ps;
mod receipt;
mod remote;
mod run;
mod service;
mod shell;
mod slashes;
mod studio;
mod top;
mod train;
mod up;
mod usage;
mod wallet;
mod why;
mod zk;

use cli::{BenchCommand, Cli, Command, ModelCommand};
use std::process::ExitCode;

fn main() -> ExitCode {
    match processor::missing() {
        Some(feature) => processor::complain(feature),
        None => start(),
    }
}

#[inline(never)]
fn start() -> ExitCode {
    // A process that confines itself for an agent's tool reads no configuration and starts no thread before that.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "tool") {
        return inferium_tools::helper(arguments);
    }
    let outcome = config::command_line().and_then(|cli| {
        output::choose(cli.format());
        let _logs = logs::init(&cli);
        dispatch(cli)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::complain(&failure);
            failure.code()
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), cli::Failure> {
    match cli.command {
        Command::Up(arguments) => run(up::run(arguments)),
        Command::Bench(BenchCommand::Serve(arguments)) => run(bench::run(*arguments)),
        Command::Run(arguments) => run(run::run(arguments, cli.verbose > 0)),
        Command::Pull(arguments) => model::run(ModelCommand::Pull(arguments)),
        Command::List(arguments) => model::run(ModelCommand::List(arguments)),
        Command::Show(arguments) => model::run(ModelCommand::Show(arguments)),
        Command::Rm(arguments) => model::run(ModelCommand::Rm(arguments)),
        Command::Ps(arguments) => run(ps::run(arguments)),
        Command::Top(arguments) => run(top::run(arguments)),
        Command::Batch(command) => run(batches::run(command)),
        Command::Eval(command) => run(eval::run(command)),
        Command::Train(command) => train::run(command),
        Command::Exact(command) => exact::run(command),
        Command::Zk(command) => zk::run(command),
        Command::Key(command) => run(keys::run(command)),
        Command::Doctor(arguments) => run(doctor::run(arguments)),
        Command::Service(command) => service::run(command),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { out } => shell::man(out.as_deref()),
        Command::Receipt(command) => run(receipt::run(command)),
        Command::Model(command) => model::run(command),
        Command::Profile(command) => profile::run(command),
        Command::Node(command) => run(node::run(command)),
        Command::Mcp(arguments) => run(mcp::run(arguments)),
        Command::Wallet(command) => run(wallet::run(command)),
        Command::Gov(command) => run(gov::run(command)),
        Command::Studio(command) => run(studio::run(command)),
        Command::Worker(command) => run(join::run(command)),
        Command::Earnings(arguments) => run(earnings::run(arguments)),
        Command::Leaderboard(arguments) => run(leaderboard::run(arguments)),
        Command::Slashes(arguments) => run(slashes::run(arguments)),
        Command::Why(arguments) => run(why::run(arguments)),
        Command::Bisect(arguments) => run(bisect::run(arguments)),
        Command::Dispute { segment, signing } => {
            let segment = inferium_types::SegmentId::new(segment);
            run(wallet::from_wallet(signing, inferium_types::TransactionBody::OpenDispute { segment }))
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
