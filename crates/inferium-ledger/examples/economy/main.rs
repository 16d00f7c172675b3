//! Does honesty pay? Honest and cheating strategies over the real ledger with mainnet parameters, in simulated time:
//! `cargo run --release -p inferium-ledger --example economy -- [--seed N] [--tasks N] [--svg FILE]`.
//!
//! Every transaction is signed, verified and executed by the ledger; agents decide which to send, and committee members
//! vote by what an honest replay of the drawn jobs would show. Ends with 1 if an honest strategy loses or a cheat pays.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a simulation, not the ledger: it prints what it found")]

mod agents;
mod cast;
mod chart;
mod simulation;
mod world;

use agents::{CHEAP, Must, PRICE, REPLAY_COST, WORK_COST};
use cast::Cast;
use inferium_types::{Amount, Parameters, Usage};
use simulation::{LEASE_JOBS, LEASE_SLOTS, Simulation, ifr};
use std::path::PathBuf;
use std::process::ExitCode;
use world::{BLOCK_MS, Outcome};

struct Arguments {
    seed: u64,
    tasks: u64,
    svg: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Outcome<Self> {
        let mut read = Self { seed: 1, tasks: 10_000, svg: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} takes a value"))?;
            match word.as_str() {
                "--seed" => read.seed = value.parse()?,
                "--tasks" => read.tasks = value.parse()?,
                "--svg" => read.svg = Some(value.into()),
                _ => return Err(format!("unknown: {word}").into()),
            }
        }
        Ok(read)
    }
}

/// What became of one strategy.
struct Line {
    name: &'static str,
    must: Must,
    agents: f64,
    leases: u64,
    jobs: u64,
    cost: f64,
    slashed: f64,
    windfall: f64,
    net: f64,
}

impl Line {
    fn per_agent(&self) -> f64 {
        self.net / self.agents
    }
}

fn lines(simulation: &Simulation) -> Vec<Line> {
    let strategies = simulation.cast.strategies.iter().enumerate();
    let line = |(index, strategy): (usize, &agents::Strategy)| {
        let mut line = Line {
            name: strategy.name,
            must: strategy.must,
            agents: 0.0,
            leases: 0,
            jobs: 0,
            cost: 0.0,
            slashed: 0.0,
            windfall: 0.0,
            net: 0.0,
        };
        for (number, agent) in simulation.cast.agents.iter().enumerate().filter(|(_, agent)| agent.strategy == index) {
            line.agents += 1.0;
            line.leases += agent.leases;
            line.jobs += agent.jobs;
            line.cost += agent.cost;
            line.slashed += agent.slashed;
            line.windfall += agent.windfall;
            line.net += simulation.net(number);
        }
        line
    };
    strategies.map(line).collect()
}

fn print_table(lines: &[Line], honest: f64) -> Vec<String> {
    let mut failed = Vec::new();
    println!(
        "| strategy | agents | leases | jobs or verdicts | revenue | cost | slashed | net per agent | net per job | | windfall per agent |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for line in lines {
        let net = line.per_agent();
        let (verdict, is_good) = match line.must {
            Must::Earn if net > 0.0 => ("earns", true),
            Must::Earn => ("LOSES, and must earn", false),
            Must::Lose if net < 0.0 => ("loses", true),
            Must::Lose => ("EARNS, and must lose", false),
            Must::EarnLess if net < honest => ("earns less than honest", true),
            Must::EarnLess => ("EARNS MORE than honest", false),
            Must::Shown => (if net < 0.0 { "loses" } else { "earns" }, true),
        };
        if !is_good {
            failed.push(format!("{}: {net:.6} IFR per agent", line.name));
        }
        let per_job = match (line.jobs, line.leases) {
            (0, 0) => "-".to_owned(),
            (0, leases) => format!("{:.6} a lease", line.net / leases as f64),
            (jobs, _) => format!("{:.6}", line.net / jobs as f64),
        };
        println!(
            "| {} | {} | {} | {} | {:.4} | {:.4} | {:.2} | {net:.4} | {per_job} | {verdict} | {:.2} |",
            line.name,
            line.agents,
            line.leases,
            line.jobs,
            line.net + line.cost + line.slashed,
            line.cost,
            line.slashed,
            line.windfall / line.agents,
        );
    }
    failed
}

fn print_assumptions(arguments: &Arguments) {
    println!(
        "seed {}, {} tasks, mainnet parameters, a block each {} s",
        arguments.seed,
        arguments.tasks,
        BLOCK_MS / 1_000
    );
    println!(
        "assumed: {} / {} nano-IFR for a token of prompt / answer; leases of {LEASE_JOBS} jobs on {LEASE_SLOTS} slots, \
         about 190 + 185 tokens a job; working costs {WORK_COST} of a token's price, replaying it {REPLAY_COST}; a \
         cheaper or shortened answer costs {CHEAP} of the work; rubbish, squatting and voting unseen cost nothing; every \
         gateway reports a request without an answer; whoever holds stake could not earn with it elsewhere",
        PRICE.prompt_token.nano(),
        PRICE.completion_token.nano(),
    );
    println!("not simulated: forced errors and their jackpots (SPEC V5) are not built; neither is their farming");
}

/// verification.md 6.3: the check probability must exceed C / ((1 - r) (R + S)).
fn print_inequality(simulation: &Simulation) -> Outcome<()> {
    let parameters = Parameters::mainnet();
    let price = ifr(PRICE.fee(&Usage { prompt_tokens: 190, completion_tokens: 185 })?);
    let saved = price * WORK_COST * (1.0 - CHEAP);
    let forgone = price * f64::from(parameters.fee_share_worker.get()) / 1e6;
    let stake = ifr(parameters.worker_stake_min);
    let slashed = stake * f64::from(parameters.slash_wrong_result.get()) / 1e6;
    let validators = simulation.cast.validators.len() as f64;
    let colluding = simulation.cast.validators.values().filter(|of| of.style == agents::ValidatorStyle::Lazy).count();
    let share = colluding as f64 / validators;
    let floor = f64::from(parameters.replay_min.get()) / 1e6;
    let least = saved / ((1.0 - share) * (forgone + slashed));
    println!("the inequality p > C / ((1 - r) (R + S)) of verification.md 6.3, for one job of {price:.6} IFR:");
    println!(
        "  C = {saved:.6} IFR saved, R = {forgone:.6} IFR forgone, S = {slashed} IFR slashed of {stake}, r = {share:.3}"
    );
    println!(
        "  p must exceed {least:.3e}; it is 1 for a newcomer and {floor} at least: a margin of {:.0}",
        floor / least
    );
    // C and R are shares of the job's price F: floor * (1 - r) * (R F + S) = C F.
    let (of_c, of_r) = (saved / price, forgone / price);
    let dear = floor * (1.0 - share) * slashed / (of_c - floor * (1.0 - share) * of_r);
    let most = stake * f64::from(parameters.unsettled_max.get()) / 1e6;
    println!(
        "  it fails at that floor for jobs dearer than {dear:.2} IFR ({:.2} % of the stake); unsettled pay allows {most} \
         IFR, for which p must exceed {:.3}",
        dear / stake * 100.0,
        of_c * most / ((1.0 - share) * (of_r * most + slashed)),
    );
    Ok(())
}

fn print_shares(simulation: &Simulation) {
    println!("leases of honest gateways per worker, against the mean of all workers, by quarter of the run:");
    for class in chart::classes(simulation) {
        let quarters: Vec<String> = (0..4)
            .map(|quarter| format!("{:.2}", chart::relative(simulation, class, quarter * 5..quarter * 5 + 5)))
            .collect();
        println!("  {}: {}", simulation.cast.strategies[class].name, quarters.join(", "));
    }
    let waits: Vec<String> = simulation
        .waits
        .iter()
        .map(|(blocks, leases)| format!("{blocks} blocks ({leases} leases to others)"))
        .collect();
    println!("  newcomers' waits from measurement to first lease: {}", waits.join(", "));
}

/// Who is harmed gets a part of a validator's stake, however small the harm: bait can pay.
fn print_bait(lines: &[Line]) {
    if let Some(hand) = lines.iter().find(|line| line.name.starts_with("hand: own worker cheats")) {
        println!(
            "bait: the hand whose own worker cheats its own gateway lost {:.2} IFR by that, and got {:.2} IFR of the stake of \
             strangers, lazy validators above all: where there are such, that pays",
            -hand.net, hand.windfall
        );
    }
}

/// Without forced errors nobody is caught where nobody cheats (SPEC V5).
fn print_dilemma(arguments: &Arguments) -> Outcome<()> {
    let tasks = (arguments.tasks / 4).max(1);
    let mut simulation = Simulation::new(Cast::without_cheats()?, arguments.seed, tasks);
    simulation.run()?;
    let lines = lines(&simulation);
    let net = |part: &str| lines.iter().find(|line| line.name.contains(part)).map_or(0.0, Line::per_agent);
    let (honest, lazy) = (net("validator: honest"), net("validator: lazy"));
    println!(
        "the validator's dilemma, {tasks} tasks without a cheating worker: an honest validator nets {honest:.6} IFR, a lazy one \
         {lazy:.6}: {} until forced errors are built (SPEC V5)",
        if lazy > honest { "laziness pays" } else { "laziness does not pay" }
    );
    Ok(())
}

fn run() -> Outcome<bool> {
    let arguments = Arguments::read()?;
    print_assumptions(&arguments);
    // Half of the tasks: about one is opened in each block.
    let late = arguments.tasks / 2;
    let mut simulation = Simulation::new(Cast::full(late.max(20))?, arguments.seed, arguments.tasks);
    simulation.run()?;
    let lines = lines(&simulation);
    let honest = lines.iter().find(|line| line.name == "worker: honest, medium").map_or(0.0, Line::per_agent);
    let failed = print_table(&lines, honest);
    let meta = simulation.world.state.meta();
    println!(
        "{} blocks, {} transactions, {} convictions of workers, {} slashes, {} burned, {} emitted",
        meta.height,
        simulation.world.included,
        simulation.convictions,
        meta.slashes,
        meta.burned,
        meta.emission_from.0.sub(meta.reward_pool).unwrap_or(Amount::ZERO),
    );
    for (reason, count) in &simulation.world.failures {
        println!("  {count} transactions without effect: {reason}");
    }
    print_inequality(&simulation)?;
    print_shares(&simulation);
    print_bait(&lines);
    print_dilemma(&arguments)?;
    if let Some(path) = &arguments.svg {
        chart::draw(&simulation, path)?;
    }
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
