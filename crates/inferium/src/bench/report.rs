//! What a run showed.

use super::load::Sample;
use crate::cli::BenchServeArgs;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Percentiles that are shown.
const PERCENTILES: [u32; 4] = [50, 90, 95, 99];

/// A run's figures; times in milliseconds, ascending.
#[derive(Debug)]
pub(super) struct Report {
    load: Value,
    took: Duration,
    pub(super) answers: usize,
    errors: BTreeMap<String, usize>,
    prompt_tokens: u64,
    answer_tokens: u64,
    pub(super) times: [Times; 5],
}

/// One kind of times of all answers.
#[derive(Debug)]
pub(super) struct Times {
    /// As in the JSON.
    pub(super) name: &'static str,
    /// For people.
    pub(super) label: &'static str,
    /// Ascending, in milliseconds.
    pub(super) sorted: Vec<f64>,
}

impl Times {
    fn new(name: &'static str, label: &'static str, times: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = times.collect();
        sorted.sort_by(f64::total_cmp);
        Self { name, label, sorted }
    }

    /// The least time that at least `percent` of all keep to; `None` of none.
    pub(super) fn percentile(&self, percent: u32) -> Option<f64> {
        let rank = (self.sorted.len() * percent as usize).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied()
    }

    fn mean(&self) -> Option<f64> {
        let count = self.sorted.len();
        (count > 0).then(|| self.sorted.iter().sum::<f64>() / count as f64)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// To a microsecond.
fn rounded(time: Option<f64>) -> Value {
    time.map_or(Value::Null, |time| ((time * 1e3).round() / 1e3).into())
}

impl Report {
    pub(super) fn new(arguments: &BenchServeArgs, samples: &[Sample], took: Duration) -> Self {
        let load = json!({
            "model": arguments.model,
            "loop": if arguments.rate.is_some() { "open" } else { "closed" },
            "rate": arguments.rate,
            "arrivals": arguments.rate.map(|_| format!("{:?}", arguments.arrivals).to_lowercase()),
            "concurrency": arguments.rate.is_none().then(|| arguments.concurrency.unwrap_or(1)),
            "requests": arguments.requests,
            "prompt_words": arguments.prompt_words,
            "shared_words": arguments.shared_words,
            "max_tokens": arguments.max_tokens,
            "temperature": arguments.temperature,
            "seed": arguments.seed,
        });
        let mut errors = BTreeMap::new();
        for error in samples.iter().filter_map(|sample| sample.error.clone()) {
            *errors.entry(error).or_default() += 1;
        }
        let whole: Vec<&Sample> = samples.iter().filter(|sample| sample.error.is_none()).collect();
        let times = [
            Times::new("first_token_ms", "first token", whole.iter().filter_map(|one| one.first.map(millis))),
            Times::new("per_token_ms", "per token after it", whole.iter().filter_map(|one| per_token(one))),
            Times::new(
                "inter_token_ms",
                "from piece to piece",
                whole.iter().flat_map(|one| one.gaps.iter().map(|gap| millis(*gap))),
            ),
            Times::new("end_to_end_ms", "whole answer", whole.iter().map(|one| millis(one.total))),
            Times::new("late_ms", "left late by", samples.iter().map(|one| millis(one.late))),
        ];
        Self {
            load,
            took,
            answers: whole.len(),
            errors,
            prompt_tokens: whole.iter().map(|one| one.prompt_tokens).sum(),
            answer_tokens: whole.iter().map(|one| one.answer_tokens).sum(),
            times,
        }
    }

    fn per_second(&self, count: f64) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    pub(super) fn json(&self) -> Value {
        let times = self.times.iter().map(|times| {
            let mut figures = serde_json::Map::new();
            figures.insert("mean".into(), rounded(times.mean()));
            for percent in PERCENTILES {
                figures.insert(format!("p{percent}"), rounded(times.percentile(percent)));
            }
            figures.insert("max".into(), rounded(times.sorted.last().copied()));
            (times.name.to_owned(), Value::from(figures))
        });
        let mut document = serde_json::Map::new();
        document.insert("load".into(), self.load.clone());
        document.insert("seconds".into(), self.took.as_secs_f64().into());
        document.insert("answers".into(), self.answers.into());
        document.insert("errors".into(), json!(self.errors));
        document.insert("prompt_tokens".into(), self.prompt_tokens.into());
        document.insert("answer_tokens".into(), self.answer_tokens.into());
        document.insert("requests_per_second".into(), self.per_second(self.answers as f64).into());
        document.insert("answer_tokens_per_second".into(), self.per_second(self.answer_tokens as f64).into());
        document.extend(times);
        document.into()
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        let head = ["ms", "mean", "p50", "p90", "p95", "p99", "max"];
        table.load_style(UTF8_FULL_CONDENSED).set_header(head);
        for times in self.times.iter().filter(|times| times.sorted.last().is_some_and(|last| *last > 0.0)) {
            let percentiles = PERCENTILES.map(|percent| times.percentile(percent));
            let figures = std::iter::once(times.mean()).chain(percentiles).chain([times.sorted.last().copied()]);
            let figures = figures.map(|figure| figure.map_or(String::new(), |figure| format!("{figure:.2}")));
            table.add_row(std::iter::once(times.label.to_owned()).chain(figures));
        }
        let mut lines = vec![format!(
            "{} answers in {:.1} s: {:.1} requests/s, {:.1} tokens/s of {} answered and {} asked",
            self.answers,
            self.took.as_secs_f64(),
            self.per_second(self.answers as f64),
            self.per_second(self.answer_tokens as f64),
            self.answer_tokens,
            self.prompt_tokens,
        )];
        lines.extend(self.errors.iter().map(|(error, count)| format!("{count} failed: {error}")));
        lines.push(table.to_string());
        lines.join("\n")
    }
}

/// Time for each token after the first.
fn per_token(sample: &Sample) -> Option<f64> {
    let after = u32::try_from(sample.answer_tokens.saturating_sub(1)).ok().filter(|after| *after > 0)?;
    let text: Duration = sample.gaps.iter().sum();
    Some(millis(text) / f64::from(after))
}
