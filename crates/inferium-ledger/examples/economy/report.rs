//! What the runs showed, in words and numbers.

use crate::Arguments;
use crate::agents::{CHEAP, Must, PRICE, REPLAY_COST, Strategy, WORK_COST};
use crate::chart;
use crate::planting::Planted;
use crate::simulation::{LEASE_JOBS, LEASE_SLOTS, SEGMENT_JOBS, Simulation, ifr};
use crate::world::{BLOCK_MS, Outcome};
use inferium_types::{Amount, Parameters, Usage};

/// What became of one strategy.
pub(crate) struct Line {
    name: &'static str,
    must: Must,
    agents: f64,
    runs: f64,
    leases: u64,
    jobs: u64,
    cost: f64,
    slashed: f64,
    windfall: f64,
    net: f64,
    /// With planted jobs counted by chance.
    expected: f64,
    blind: u64,
    forced: f64,
    risk: f64,
}

impl Line {
    fn per_agent(&self) -> f64 {
        self.expected / self.agents
    }

    fn per_lease(&self) -> f64 {
        self.expected / self.leases.max(1) as f64
    }
}

/// Every strategy, all runs added up.
pub(crate) fn lines(runs: &[Simulation]) -> Vec<Line> {
    let Some(first) = runs.first() else { return Vec::new() };
    let empty = |strategy: &Strategy| Line {
        name: strategy.name,
        must: strategy.must,
        agents: 0.0,
        runs: runs.len() as f64,
        leases: 0,
        jobs: 0,
        cost: 0.0,
        slashed: 0.0,
        windfall: 0.0,
        net: 0.0,
        expected: 0.0,
        blind: 0,
        forced: 0.0,
        risk: 0.0,
    };
    let mut lines: Vec<Line> = first.cast.strategies.iter().map(empty).collect();
    for run in runs {
        for (number, agent) in run.cast.agents.iter().enumerate() {
            let line = &mut lines[agent.strategy];
            line.agents += 1.0;
            line.leases += agent.leases;
            line.jobs += agent.jobs;
            line.cost += agent.cost;
            line.slashed += agent.slashed;
            line.windfall += agent.windfall;
            line.net += run.net(number);
            line.expected += run.expected(number);
            line.blind += agent.blind;
            line.forced += agent.forced;
            line.risk += agent.risk;
        }
    }
    lines
}

pub(crate) fn print_table(lines: &[Line]) -> Vec<String> {
    let mut failed = Vec::new();
    // Whoever does the same, but honestly.
    let honest_of = |line: &Line| {
        let is_worker = line.name.starts_with("worker");
        let name = if is_worker { "worker: honest, medium" } else { "validator: honest, nothing delegated" };
        lines.iter().find(|line| line.name == name)
    };
    let earns_less = |line: &Line, of: fn(&Line) -> f64| honest_of(line).is_some_and(|honest| of(line) < of(honest));
    println!(
        "| strategy | agents | leases | jobs or verdicts | revenue | cost | slashed | net per agent | expected | expected per job | | windfall per agent |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for line in lines {
        let net = line.per_agent();
        let (verdict, is_good) = match line.must {
            Must::Earn if net > 0.0 => ("earns", true),
            Must::Earn => ("LOSES, and must earn", false),
            Must::Lose if net < 0.0 => ("loses", true),
            Must::Lose => ("EARNS, and must lose", false),
            Must::EarnLess if earns_less(line, Line::per_agent) => ("earns less than honest", true),
            Must::EarnLess => ("EARNS MORE than honest", false),
            Must::EarnLessALease if earns_less(line, Line::per_lease) => ("earns less a lease than honest", true),
            Must::EarnLessALease => ("EARNS MORE a lease than honest", false),
            Must::Shown => (if net < 0.0 { "loses" } else { "earns" }, true),
        };
        if !is_good {
            failed.push(format!("{}: {net:.6} IFR per agent", line.name));
        }
        let per_job = match (line.jobs, line.leases) {
            (0, 0) => "-".to_owned(),
            (0, leases) => format!("{:.6} a lease", line.expected / leases as f64),
            (jobs, _) => format!("{:.6}", line.expected / jobs as f64),
        };
        println!(
            "| {} | {} | {} | {} | {:.4} | {:.4} | {:.2} | {:.4} | {net:.4} | {per_job} | {verdict} | {:.2} |",
            line.name,
            line.agents / line.runs,
            line.leases,
            line.jobs,
            line.net + line.cost + line.slashed,
            line.cost,
            line.slashed,
            line.net / line.agents,
            line.windfall / line.agents,
        );
    }
    for line in lines.iter().filter(|line| line.blind > 0) {
        println!(
            "unseen, {}: {} verdicts; planted jobs take {:.2} IFR of it in the mean, and took {:.2}",
            line.name, line.blind, line.risk, line.forced
        );
    }
    failed
}

/// Votes are public before the verdict (SPEC V2): whoever waits for another's has no need of a replay.
pub(crate) fn print_copying(lines: &[Line]) -> Option<String> {
    let net = |part: &str| lines.iter().find(|line| line.name.contains(part)).map_or(0.0, Line::per_agent);
    let (honest, copies) = (net("nothing delegated"), net("repeats others' votes"));
    println!(
        "copying where nobody is lazy: an honest validator nets {honest:.6} IFR, one that repeats others' votes {copies:.6}: {}",
        if copies < honest { "copying does not pay" } else { "copying pays" }
    );
    (copies >= honest)
        .then(|| format!("validator: repeats others' votes, where nobody is lazy: {copies:.6} IFR per agent"))
}

pub(crate) fn print_assumptions(arguments: &Arguments) {
    println!(
        "{} runs from seed {} on, {} tasks each, mainnet parameters, a block each {} s",
        arguments.seeds,
        arguments.seed,
        arguments.tasks,
        BLOCK_MS / 1_000
    );
    println!(
        "assumed: {} / {} nano-IFR for a token of prompt / answer; leases of {LEASE_JOBS} jobs on {LEASE_SLOTS} slots, \
         {SEGMENT_JOBS} a segment, about 190 + 185 tokens a job; working costs {WORK_COST} of a token's price, replaying it {REPLAY_COST}; a \
         cheaper or shortened answer costs {CHEAP} of the work; rubbish, squatting and voting unseen cost nothing; every \
         gateway reports a request without an answer; whoever holds stake could not earn with it elsewhere",
        PRICE.prompt_token.nano(),
        PRICE.completion_token.nano(),
    );
    println!(
        "net: what became of it; expected: the same with the stake that planted jobs take counted by their chance, verdict by \
         verdict, and not by luck; that is what is judged"
    );
}

/// What the run did as a whole.
pub(crate) fn print_run(run: &Simulation) {
    let meta = run.world.state.meta();
    println!(
        "{} blocks, {} transactions, {} convictions of workers, {} slashes, {} burned, {} emitted",
        meta.height,
        run.world.included,
        run.convictions,
        meta.slashes,
        meta.burned,
        meta.emission_from.0.sub(meta.reward_pool).unwrap_or(Amount::ZERO),
    );
    for (reason, count) in &run.world.failures {
        println!("  {count} transactions without effect: {reason}");
    }
}

/// What one job of usual size costs; IFR.
fn usual_job() -> Outcome<f64> {
    Ok(ifr(PRICE.fee(&Usage { prompt_tokens: 190, completion_tokens: 185 })?))
}

/// verification.md 6.3: the check probability must exceed C / ((1 - r) (R + S)).
pub(crate) fn print_inequality(simulation: &Simulation) -> Outcome<()> {
    let parameters = Parameters::mainnet();
    let price = usual_job()?;
    let saved = price * WORK_COST * (1.0 - CHEAP);
    let forgone = price * f64::from(parameters.fee_share_worker.get()) / 1e6;
    let stake = ifr(parameters.worker_stake_min);
    let slashed = stake * f64::from(parameters.slash_wrong_result.get()) / 1e6;
    let validators = simulation.cast.validators.len() as f64;
    let lazy = simulation.cast.validators.values().filter(|of| of.style.is_lazy()).count();
    let share = lazy as f64 / validators;
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
    // SPEC R3: a dear job is replayed with three times its fee by what a wrong one loses.
    let most = stake * f64::from(parameters.unsettled_max.get()) / 1e6;
    for fee in [floor * slashed / 3.0, most] {
        let replayed = (3.0 * fee / slashed).min(1.0).max(floor);
        let least = fee * (saved / price) / ((1.0 - share) * (forgone / price * fee + slashed));
        println!(
            "  a job of {fee:.2} IFR is replayed with {replayed:.3} (SPEC R3) and needs {least:.3}: a margin of {:.1}",
            replayed / least
        );
    }
    Ok(())
}

/// A validator replays when that costs less than what it stands to lose: e < c S.
pub(crate) fn print_duty(simulation: &Simulation) -> Outcome<()> {
    let parameters = Parameters::mainnet();
    let jobs = f64::from(SEGMENT_JOBS);
    let effort = jobs * usual_job()? * REPLAY_COST;
    let chance = f64::from(parameters.forced_share.get()) / 2e6;
    let stake = ifr(parameters.validator_stake_min);
    println!(
        "the inequality e < c S of a validator, for one verdict about a segment of {jobs} jobs, of which the share p is replayed:"
    );
    println!(
        "  e = {effort:.6} p IFR of replay, c = {chance} p that a known-wrong job is planted and drawn, S = {stake} IFR: \
         c S = {:.0} p IFR, a margin of {:.0}, whatever p is",
        chance * stake,
        chance * stake / effort
    );
    println!(
        "  it fails for segments dearer than {:.0} IFR; a worker with {} of stake may have {:.0} IFR unsettled",
        chance * stake / REPLAY_COST,
        parameters.worker_stake_min,
        ifr(parameters.worker_stake_min) * f64::from(parameters.unsettled_max.get()) / 1e6
    );
    let count = simulation.cast.validators.len() as f64;
    println!(
        "  with {count:.0} validators and two in a committee one blind verdict costs {:.2} IFR in the mean at p = 0.01",
        chance * 0.01 * stake
    );
    Ok(())
}

/// What planted jobs did, and what their farming could bring.
pub(crate) fn print_jackpots(runs: &[Simulation]) {
    let parameters = Parameters::mainnet();
    let sum = |of: fn(&Planted) -> f64| runs.iter().map(|run| of(&run.planted)).sum::<f64>();
    println!(
        "planted: {} known-wrong and {} known-right jobs in {} segments, {} found by a member, {:.6} IFR of jackpots, {} validators barred",
        sum(|of| of.wrong as f64),
        sum(|of| of.right as f64),
        sum(|of| of.segments as f64),
        sum(|of| of.caught as f64),
        sum(|of| of.jackpots),
        sum(|of| of.barred as f64),
    );
    let taken = [parameters.fee_share_worker, parameters.fee_share_committee, parameters.fee_share_validators];
    let rest = 1.0 - taken.iter().map(|share| f64::from(share.get())).sum::<f64>() / 1e6;
    println!(
        "  farming: a jackpot is {rest:.2} of a fee x the segments per order, for half of the orders: at most {:.3} of all fees paid, \
         if the hand alone sat in every committee; buying from oneself loses {:.2}, of which emission returns half at most",
        rest / 2.0,
        1.0 - f64::from(parameters.fee_share_worker.get()) / 1e6,
    );
}

pub(crate) fn print_shares(simulation: &Simulation) {
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

/// Who proves a wrong approval gets a part of a validator's stake, however small the harm: bait can pay.
pub(crate) fn print_bait(lines: &[Line]) {
    let of = |name: &str| lines.iter().find(|line| line.name.starts_with(name));
    if let Some((hand, honest)) = of("hand: own worker cheats").zip(of("validator: honest")) {
        println!(
            "bait: the hand whose own worker cheats its own gateway lost {:.2} IFR by that, and its nodes got {:.2} IFR of the stake \
             of strangers, lazy validators above all; an honest validator got {:.2}",
            -hand.net / hand.agents,
            hand.windfall / hand.agents,
            honest.windfall / honest.agents
        );
    }
}
