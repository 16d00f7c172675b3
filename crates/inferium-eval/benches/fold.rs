//! How fast boards are folded: `cargo bench -p inferium-eval`. Every figure is the median of several runs.
//!
//! The goal is a hundred thousand results in less than a second, so that every validator can fold them anew.

#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement: it times and prints")]

use inferium_eval::{
    Answer, Board, Interval, ItemRecord, Line, Results, RunHead, Score, Suite, Summary, summarise, wilson,
};
use inferium_types::Digest;
use std::error::Error;
use std::time::Instant;

/// Results of a fold, and items of a run.
const COUNT: u64 = 100_000;
/// Models that the results are of.
const MODELS: u64 = 1_000;
/// Runs of which a figure is the median.
const RUNS: usize = 5;

const DEFINITION: &str = r#"
name = "bench"
version = 1
about = "."
[template]
kind = "chat"
prompt = "{input}"
tokens_max = 8
[scorer]
kind = "exact"
pattern = "[0-9]+"
"#;

fn head(index: u64, items: u64, suite_id: String) -> RunHead {
    let model = index % MODELS;
    RunHead {
        version: 1,
        suite: "bench".into(),
        suite_id,
        model: format!("model-{model}"),
        weights_root: Some(Digest::of("bench", &[&model.to_be_bytes()]).to_string()),
        model_profile: None,
        verification: None,
        seed: 0,
        items,
        command: format!("inferium eval run bench model-{model}"),
    }
}

fn score(index: u64) -> Interval {
    wilson(Digest::of("bench-score", &[&index.to_be_bytes()]).draw(101) * 1_000_000, 100)
}

fn summary(index: u64) -> Summary {
    Summary {
        items: 100,
        suite_items: 100,
        scores: vec![Score { metric: "exact_match".into(), interval: score(index) }],
        prompt_tokens: 4_000,
        completion_tokens: 800,
        cost_nano: 3_000_000 + index,
        milliseconds_median: 40 + index % 100,
        tokens_per_second_milli: 90_000,
        receipts_ppm: 1_000_000,
        answers_digest: String::new(),
        digest: String::new(),
    }
}

/// The median time of a measurement, in milliseconds.
fn median(mut measure: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        measure()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    let runs: Vec<(RunHead, Summary)> =
        (0..COUNT).map(|index| (head(index, 100, String::new()), summary(index))).collect();
    let mut board = Board::default();
    let fold = median(|| {
        board = Board::default();
        runs.iter().for_each(|(head, summary)| board.add(head, summary));
        Ok(())
    })?;
    let rank = median(|| if board.rows().len() as u64 == MODELS { Ok(()) } else { Err("rows are missing".into()) })?;
    println!("{COUNT} results of {MODELS} models folded in {fold:.0} ms, ranked in {rank:.2} ms");

    let lines = (0..COUNT).map(|i| format!("{{\"id\": \"{i}\", \"input\": \"{i}\", \"answer\": \"{i}\"}}\n"));
    let suite = Suite::parse(DEFINITION, &lines.collect::<String>())?;
    let mut results = Results::begin(head(0, COUNT, suite.id().to_string()));
    results.items.extend((0..COUNT).map(|index| {
        let is_right = index % 3 > 0;
        ItemRecord {
            id: index.to_string(),
            answer: Answer::Text { text: if is_right { index.to_string() } else { "no".into() } },
            scores_ppm: Some(vec![if is_right { 1_000_000 } else { 0 }]),
            jobs: Vec::new(),
            openings: Vec::new(),
            prompt_tokens: 40,
            completion_tokens: 8,
            cost_nano: 30_000,
            milliseconds: 50,
        }
    }));
    results.summary = Some(summarise(&suite, &results)?);
    let check = median(|| results.check(&suite).map(drop).map_err(Into::into))?;
    println!("one run of {COUNT} items checked in {check:.0} ms");

    let mut text = serde_json::to_string(&Line::Run(Box::new(results.head.clone())))?;
    for item in &results.items {
        text.push('\n');
        text.push_str(&serde_json::to_string(&Line::Item(item.clone()))?);
    }
    let parse = median(|| Results::parse(&text).map(drop).map_err(Into::into))?;
    println!("its {} MB read in {parse:.0} ms", text.len() / 1_000_000);
    Ok(())
}
