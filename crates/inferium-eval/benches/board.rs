//! How fast the network's fold is: `cargo bench -p inferium-eval --features testing --bench board`. Every figure is the median of
//! several runs.
//!
//! The goal is a job's largest payload in far less than a second, so that every validator folds every board anew.

#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement: it times and prints")]

use inferium_eval::{fold_board, testing};
use inferium_types::{FoldInput, JobPayload};
use std::error::Error;
use std::time::Instant;

/// Runs of which a figure is the median.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let network = testing::network();
    // As many runs as a payload has room for.
    let mut files = Vec::new();
    loop {
        let number = files.len();
        let run = testing::final_run(&format!("model-{}", number % 7), u64::try_from(number)?, number % 5);
        files.push(testing::file(&run));
        if JobPayload::fold([0; 32], FoldInput { network, files: files.clone() }).check().is_err() {
            files.pop();
            break;
        }
    }
    let input = FoldInput { network, files };
    let mut times = Vec::new();
    let mut items = 0;
    for _ in 0..RUNS {
        let began = Instant::now();
        items = fold_board(&input, &network)?.items;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (count, size) = (input.files.len(), input.files.iter().map(String::len).sum::<usize>() / 1_000);
    println!(
        "{count} runs of {items} items in all, {size} kB with a receipt each, {count} certificates: folded in {:.0} ms",
        times[RUNS / 2]
    );
    Ok(())
}
