//! How often the sequential test accuses honest workers at a calibration's ceilings (SPEC V7), simulated:
//! `cargo run --release -p inferium-calibration --example null_paths -- --paths 1000000`.
//!
//! Finished batches are kept in a file: the same command goes on, and a larger number of paths adds to them.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use inferium_calibration::{Means, NullWorker, Tally, known_calibration, read_calibration};
use inferium_types::{Calibration, Digest, POSITION_KINDS, encode};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Paths of a batch of each kind: a second or two.
const BATCH: u64 = 2_000;
/// Of 128 tokens, about as many positions of each gap as honest answers have, in short contexts.
const POSITIONS: [u32; 6] = [1, 2, 3, 6, 18, 98];

#[derive(Debug, Parser)]
struct Arguments {
    /// Paths of the honest worker, for each case.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    paths: u64,
    /// Paths of the worker that the bets assume, for each case.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    weighted: u64,
    /// Jobs of a worker's life, each a step of the test.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    jobs: u32,
    /// Seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// A `calibration.json` [default: that of SmolLM2-135M-Instruct].
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Where finished batches are kept.
    #[arg(long, default_value = "target/null-paths", value_name = "DIR")]
    out: PathBuf,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Some paths of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    means: usize,
    is_weighted: bool,
    index: u64,
}

impl Batch {
    /// How a finished batch is named in the file.
    fn name(&self) -> String {
        let kind = if self.is_weighted { "weighted" } else { "plain" };
        format!("{} {kind} {}", Means::ALL[self.means].name(), self.index)
    }

    fn run(&self, workers: &[NullWorker], seed: u64) -> Tally {
        let paths = self.index * BATCH..(self.index + 1) * BATCH;
        let worker = &workers[self.means];
        if self.is_weighted { Tally::of_weights(worker, seed, paths) } else { Tally::of_lives(worker, seed, paths) }
    }
}

/// Finished batches, of which each has a line of the file: its name and its five numbers, bit by bit.
struct Kept {
    file: File,
    done: Vec<(String, Tally)>,
}

impl Kept {
    fn open(path: &PathBuf) -> Result<Self, Box<dyn Error>> {
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        // A line that was cut off is of a batch that is not done.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let done = whole.lines().map(Self::read).collect::<Result<_, _>>()?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole.len() as u64)?;
        Ok(Self { file, done })
    }

    fn read(line: &str) -> Result<(String, Tally), Box<dyn Error>> {
        let (name, numbers) = line.split_once(':').ok_or("a line of the kept batches has no name")?;
        let bits: Vec<u64> =
            numbers.split_whitespace().map(|x| u64::from_str_radix(x, 16)).collect::<Result<_, _>>()?;
        let [paths, a, b, c, d] = bits[..] else {
            return Err("a line of the kept batches has not five numbers".into());
        };
        let [a, b, c, d] = [a, b, c, d].map(f64::from_bits);
        Ok((name.to_owned(), Tally { paths, sums: [a, b], squares: [c, d] }))
    }

    fn add(&mut self, name: String, tally: Tally) -> std::io::Result<()> {
        let Tally { paths, sums: [a, b], squares: [c, d] } = tally;
        let [a, b, c, d] = [a, b, c, d].map(f64::to_bits);
        writeln!(self.file, "{name}:{paths:x} {a:x} {b:x} {c:x} {d:x}")?;
        self.done.push((name, tally));
        Ok(())
    }

    fn tally(&self, batches: &[Batch]) -> Tally {
        // In order, so that sums of floats are the same whoever finished first.
        let of = |batch: &Batch| self.done.iter().find(|(name, _)| *name == batch.name()).map(|(_, tally)| tally);
        batches.iter().filter_map(of).fold(Tally::default(), |sum, tally| sum.with(tally))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let calibration = match &arguments.calibration {
        Some(path) => read_calibration(&fs::read_to_string(path)?)?,
        None => known_calibration("smollm2-135m-instruct").ok_or("no calibration comes with this crate")?,
    };
    let mut positions = [0; POSITION_KINDS];
    positions[..POSITIONS.len()].copy_from_slice(&POSITIONS);
    let worker = |means| NullWorker::new(&calibration, &positions, means, arguments.jobs);
    let workers = Means::ALL.map(worker);
    let batches = |means: usize, is_weighted: bool| -> Vec<Batch> {
        let paths = if is_weighted { arguments.weighted } else { arguments.paths };
        (0..paths.div_ceil(BATCH)).map(|index| Batch { means, is_weighted, index }).collect()
    };
    let cases: Vec<(usize, bool)> = (0..Means::ALL.len()).flat_map(|means| [(means, true), (means, false)]).collect();
    let all: Vec<Batch> = cases.iter().flat_map(|(means, is_weighted)| batches(*means, *is_weighted)).collect();

    fs::create_dir_all(&arguments.out)?;
    let kept = Mutex::new(Kept::open(&arguments.out.join(file_name(&arguments, &calibration, &positions)))?);
    run(&all, &workers, &arguments, &kept)?;
    let kept = kept.into_inner().map_err(|_| "a thread ended early")?;
    let rows: Vec<Value> = cases
        .iter()
        .map(|(means, is_weighted)| row(*means, *is_weighted, &kept.tally(&batches(*means, *is_weighted))))
        .collect();
    if arguments.json {
        println!("{}", json!({"jobs": arguments.jobs, "seed": arguments.seed, "positions": POSITIONS, "cases": rows}));
    } else {
        print_table(&arguments, &rows);
    }
    Ok(())
}

/// Batches of other settings, or of another version of the test, are in another file.
fn file_name(arguments: &Arguments, calibration: &Calibration, positions: &[u32]) -> String {
    let what = format!("{} {} {positions:?} {BATCH} {}", arguments.jobs, arguments.seed, env!("CARGO_PKG_VERSION"));
    let digest = Digest::of("inferium/null-paths/1", &[&encode(calibration), what.as_bytes()]);
    format!("{}.batches", &digest.to_string()[..12])
}

/// Runs what is not done yet, on all threads.
fn run(all: &[Batch], workers: &[NullWorker], arguments: &Arguments, kept: &Mutex<Kept>) -> Result<(), Box<dyn Error>> {
    let done: std::collections::BTreeSet<String> =
        kept.lock().map_err(|_| "no thread runs")?.done.iter().map(|(name, _)| name.clone()).collect();
    let open: Vec<&Batch> = all.iter().filter(|batch| !done.contains(&batch.name())).collect();
    let bar = ProgressBar::new(open.len() as u64);
    bar.set_style(ProgressStyle::with_template("batches [{bar:32}] {pos}/{len} {elapsed} {eta}")?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                while let Some(batch) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = batch.run(workers, arguments.seed);
                    let added = kept.lock().map(|mut kept| kept.add(batch.name(), tally));
                    if let (Ok(Err(error)), Ok(mut failed)) = (added, failed.lock()) {
                        *failed = Some(error);
                        return;
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    failed.into_inner().ok().flatten().map_or(Ok(()), |error| Err(error.into()))
}

fn row(means: usize, is_weighted: bool, tally: &Tally) -> Value {
    let [suspect, convicted] = [0, 1].map(|index| {
        let (probability, interval) = if is_weighted { tally.mean(index) } else { tally.share(index) };
        let seen = if is_weighted { Value::Null } else { json!(tally.sums[index] as u64) };
        json!({"paths": seen, "probability": probability, "interval_95": interval})
    });
    json!({
        "means": Means::ALL[means].name(), "kind": if is_weighted { "weighted" } else { "plain" }, "paths": tally.paths,
        "suspect": suspect, "convicted": convicted,
    })
}

fn print_table(arguments: &Arguments, rows: &[Value]) {
    println!("{} jobs a life, seed {}; intervals at 95 %", arguments.jobs, arguments.seed);
    println!("| means of jobs | paths | ever suspect | ever convicted |\n| --- | ---: | --- | --- |");
    for row in rows {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let figure = |value: &Value| value.as_f64().map_or_else(String::new, |x| format!("{x:.3e}"));
        let cell = |value: &Value| {
            let seen = value["paths"].as_u64().map_or_else(String::new, |seen| format!("{seen}: "));
            let [low, high] = [0, 1].map(|end| figure(&value["interval_95"][end]));
            format!("{seen}{} ({low} to {high})", figure(&value["probability"]))
        };
        let (means, kind) = (text(&row["means"]), text(&row["kind"]));
        println!("| {means}, {kind} | {} | {} | {} |", row["paths"], cell(&row["suspect"]), cell(&row["convicted"]));
    }
}
