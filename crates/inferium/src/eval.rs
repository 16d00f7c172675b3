//! `inferium eval`: asks models the items of suites, keeps their answers, and checks what was kept.
//!
//! What a score is, and how many make a board, is `inferium-eval`'s; here are requests, files and words.

mod ask;
mod check;
mod kept;
mod measure;
mod network;
mod show;

use crate::cli::{EvalCommand, Failure};
use inferium_eval::{BUILTIN, InvalidSuite, Suite, builtin};
use std::path::Path;

pub(crate) async fn run(command: EvalCommand) -> Result<(), Failure> {
    match command {
        EvalCommand::List => show::list(),
        EvalCommand::Show { suite } => show::suite(&load(&suite)?),
        EvalCommand::Run(arguments) => measure::run(&arguments).await,
        EvalCommand::Verify { file, suite, network_key, again, server } => {
            let again = again.map(|count| (count, server));
            check::verify(&file, suite.as_deref(), network_key.as_deref(), again).await
        }
        EvalCommand::Compare { files, suite } => check::compare_runs(&files, suite.as_deref()),
        EvalCommand::Board { suite, network, .. } if network.from_network => {
            network::from_network(&network, suite.as_deref()).await
        }
        EvalCommand::Board { files, suite, network } => {
            check::board(&files, suite.as_deref(), network.network_key.as_deref())
        }
        EvalCommand::Publish(arguments) => network::publish(&arguments).await,
    }
}

/// A suite that comes with the program, or one of a folder.
fn load(name: &str) -> Result<Suite, Failure> {
    let invalid = |error: InvalidSuite| Failure::refused(format!("{name}: {error}"));
    if let Some(suite) = builtin(name) {
        return suite.map_err(invalid);
    }
    let folder = Path::new(name);
    if !folder.is_dir() {
        let known = BUILTIN.join(", ");
        return Err(Failure::usage(format!("there is no suite `{name}`; there is {known}, or name a folder")));
    }
    let read = |file: &str| {
        let path = folder.join(file);
        std::fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
    };
    Suite::parse(&read("suite.toml")?, &read("items.jsonl")?).map_err(invalid)
}

/// Parts per million as a percentage with one decimal.
fn percent(ppm: u32) -> String {
    let tenths = (ppm.saturating_add(500)) / 1_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
