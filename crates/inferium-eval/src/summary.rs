//! The fold of one run: its scores with intervals, and what it took.

use crate::answer::{Answer, InvalidAnswer};
use crate::interval::{Interval, wilson};
use crate::results::{InvalidResults, Results};
use crate::score::score_all;
use crate::suite::Suite;
use inferium_types::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One score of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatScore", into = "FlatScore")]
pub struct Score {
    /// Which one ([`Scorer::metrics`](crate::Scorer::metrics)).
    pub metric: String,
    /// Mean and interval.
    pub interval: Interval,
}

/// A score as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatScore {
    metric: String,
    score_ppm: u32,
    low_ppm: u32,
    high_ppm: u32,
}

impl From<FlatScore> for Score {
    fn from(flat: FlatScore) -> Self {
        let FlatScore { metric, score_ppm: mean, low_ppm: low, high_ppm: high } = flat;
        Self { metric, interval: Interval { mean, low, high } }
    }
}

impl From<Score> for FlatScore {
    fn from(score: Score) -> Self {
        let Score { metric, interval: Interval { mean, low, high } } = score;
        Self { metric, score_ppm: mean, low_ppm: low, high_ppm: high }
    }
}

/// What a run comes to: all of it follows from its items and receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Items that were answered.
    pub items: u64,
    /// Items of the suite.
    pub suite_items: u64,
    /// Scores; the first is the suite's.
    pub scores: Vec<Score>,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// What the run cost; billionths of an IFR.
    pub cost_nano: u64,
    /// The median of the times that items took, each from its first request to its last answer; milliseconds.
    pub milliseconds_median: u64,
    /// Tokens of prompts and answers a second of those times, which may overlap; thousandths.
    pub tokens_per_second_milli: u64,
    /// Items all of whose jobs have their receipts here; parts per million of those that were answered.
    pub receipts_ppm: u32,
    /// Hash over suite, ids and answers alone: the same for every run of one model whose answers are the same; hex.
    pub answers_digest: String,
    /// Hash over everything before the summary; hex.
    pub digest: String,
}

/// Folds a run: scores every answer, and adds up.
///
/// # Errors
/// [`InvalidResults::Answer`], [`InvalidResults::UnknownItem`].
pub fn summarise(suite: &Suite, results: &Results) -> Result<Summary, InvalidResults> {
    let scores: Vec<Vec<u32>> = results.scores(suite)?.into_values().collect();
    let count = as_u64(scores.len());
    let metrics = suite.scorer().metrics().iter().enumerate().map(|(place, metric)| {
        let sum = scores.iter().filter_map(|all| all.get(place)).map(|score| u64::from(*score)).sum();
        Score { metric: (*metric).to_owned(), interval: wilson(sum, count) }
    });
    let items = &results.items;
    let total = |figure: &dyn Fn(&crate::ItemRecord) -> u64| {
        items.iter().fold(0_u64, |sum, item| sum.saturating_add(figure(item)))
    };
    let (prompt_tokens, completion_tokens) = (total(&|item| item.prompt_tokens), total(&|item| item.completion_tokens));
    let mut times: Vec<u64> = items.iter().map(|item| item.milliseconds).collect();
    times.sort_unstable();
    let tokens = prompt_tokens.saturating_add(completion_tokens);
    let proven = items
        .iter()
        .filter(|item| !item.jobs.is_empty() && item.jobs.iter().all(|job| results.receipts.contains_key(job)));
    let proven = as_u64(proven.count()).saturating_mul(1_000_000).checked_div(count).unwrap_or(0);
    Ok(Summary {
        items: count,
        suite_items: as_u64(suite.items().len()),
        scores: metrics.collect(),
        prompt_tokens,
        completion_tokens,
        cost_nano: total(&|item| item.cost_nano),
        milliseconds_median: times.get(times.len() / 2).copied().unwrap_or(0),
        tokens_per_second_milli: tokens
            .saturating_mul(1_000_000)
            .checked_div(total(&|item| item.milliseconds))
            .unwrap_or(0),
        receipts_ppm: u32::try_from(proven).unwrap_or(0),
        answers_digest: answers_digest(results),
        digest: digest(results),
    })
}

/// The answers, ordered by id.
fn answers_digest(results: &Results) -> String {
    let answers: BTreeMap<&str, &Answer> = results.items.iter().map(|item| (item.id.as_str(), &item.answer)).collect();
    hashed("inferium/eval-answers/1", &(&results.head.suite_id, answers))
}

/// The head, items as they came, receipts by job.
fn digest(results: &Results) -> String {
    let mut receipts = results.receipts.clone();
    // Whether JSON keeps the order of fields depends on what else a program is built with.
    receipts.values_mut().for_each(serde_json::Value::sort_all_objects);
    hashed("inferium/eval-results/1", &(&results.head, &results.items, &receipts))
}

/// Of a value's JSON, which has one form: fields in the order of the type, no white space.
fn hashed<T: Serialize>(domain: &str, value: &T) -> String {
    // Types of ours with text and whole numbers alone always have a JSON form.
    let text = serde_json::to_vec(value).unwrap_or_default();
    Digest::of(domain, &[&text]).to_string()
}

impl Results {
    /// Scores of each answered item, by its index in the suite.
    ///
    /// # Errors
    /// [`InvalidResults::Answer`], [`InvalidResults::UnknownItem`].
    pub fn scores(&self, suite: &Suite) -> Result<BTreeMap<usize, Vec<u32>>, InvalidResults> {
        let places: BTreeMap<&str, usize> =
            suite.items().iter().enumerate().map(|(index, item)| (item.id.as_str(), index)).collect();
        let mut answers: BTreeMap<usize, &Answer> = BTreeMap::new();
        for record in &self.items {
            let place = places.get(record.id.as_str());
            let place = place.ok_or_else(|| InvalidResults::UnknownItem { id: record.id.clone() })?;
            answers.insert(*place, &record.answer);
        }
        let named = |(index, error): (usize, InvalidAnswer)| {
            let id = suite.items().get(index).map(|item| item.id.clone()).unwrap_or_default();
            InvalidResults::Answer { id, error }
        };
        score_all(suite, &answers).map_err(named)
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
