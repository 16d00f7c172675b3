//! Does honesty pay? Honest and cheating strategies over the real ledger with mainnet parameters, in simulated time:
//! `cargo run --release -p inferium-ledger --example economy -- [--seed N] [--seeds N] [--tasks N] [--commission PERCENT]
//! [--svg FILE]`.
//!
//! Every transaction is signed, verified and executed by the ledger; agents decide which to send, and committee members
//! vote by what an honest replay of the drawn jobs would show. Ends with 1 if an honest strategy loses or a cheat pays in
//! the mean of all seeds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a simulation, not the ledger: it prints what it found")]

mod agents;
mod cast;
mod chart;
mod judging;
mod planting;
mod report;
mod simulation;
mod world;

use cast::Cast;
use inferium_types::Ppm;
use simulation::Simulation;
use std::path::PathBuf;
use std::process::ExitCode;
use world::Outcome;

/// What validators keep of their delegators' rewards unless told; per cent.
const COMMISSION: u32 = 30;

struct Arguments {
    seed: u64,
    /// So many runs with successive seeds, added up.
    seeds: u64,
    tasks: u64,
    /// What validators keep of their delegators' rewards.
    commission: Ppm,
    svg: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Outcome<Self> {
        let mut read = Self { seed: 1, seeds: 3, tasks: 3_000, commission: Ppm::new(COMMISSION * 10_000), svg: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} takes a value"))?;
            match word.as_str() {
                "--seed" => read.seed = value.parse()?,
                "--seeds" => read.seeds = value.parse()?,
                "--tasks" => read.tasks = value.parse()?,
                "--commission" => read.commission = Ppm::new(value.parse::<u32>()? * 10_000),
                "--svg" => read.svg = Some(value.into()),
                _ => return Err(format!("unknown: {word}").into()),
            }
        }
        Ok(read)
    }
}

/// Numbers of one market with several seeds.
fn simulate(cast: impl Fn() -> Outcome<Cast>, arguments: &Arguments, tasks: u64) -> Outcome<Vec<Simulation>> {
    (arguments.seed..arguments.seed + arguments.seeds)
        .map(|seed| {
            let mut simulation = Simulation::new(cast()?, seed, tasks, arguments.commission);
            simulation.run()?;
            Ok(simulation)
        })
        .collect()
}

fn run() -> Outcome<bool> {
    let arguments = Arguments::read()?;
    report::print_assumptions(&arguments);
    // Half of the tasks: about one is opened in each block.
    let late = (arguments.tasks / 2).max(20);
    let runs = simulate(|| Cast::full(late), &arguments, arguments.tasks)?;
    let first = runs.first().ok_or("no seed")?;
    let lines = report::lines(&runs);
    let mut failed = report::print_table(&lines);
    for run in &runs {
        report::print_run(run);
    }
    report::print_inequality(first)?;
    report::print_duty(first)?;
    report::print_jackpots(&runs);
    report::print_shares(first);
    report::print_bait(&lines);
    if let Some(path) = &arguments.svg {
        chart::draw(first, path)?;
    }
    drop(runs);
    println!();
    // Newcomers' jobs are all replayed: it takes longer until that is a small part.
    let (tasks, once) = (arguments.tasks / 2 * 3, Arguments { seeds: 1, ..arguments });
    println!("the validator's dilemma: one run without a cheating worker, {tasks} tasks");
    let runs = simulate(Cast::without_cheats, &once, tasks)?;
    failed.extend(report::print_table(&report::lines(&runs)));
    report::print_jackpots(&runs);
    drop(runs);
    println!();
    let tasks = arguments.tasks / 3;
    println!("who would repeat votes is bound before it sees one: one run with honest nodes and such, {tasks} tasks");
    let runs = simulate(Cast::with_copiers, &once, tasks)?;
    failed.extend(report::print_copying(&report::lines(&runs)));
    for line in &failed {
        println!("FAILED: {line}");
    }
    Ok(failed.is_empty())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
