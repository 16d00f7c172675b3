//! Scorers: from answers to scores, by one rule each.

use crate::answer::{Answer, InvalidAnswer, vector};
use crate::interval::PPM;
use crate::item::{Item, Target};
use crate::suite::{Scorer, Suite, Take};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a score is called, as lm-eval does where it has it.
pub type MetricName = &'static str;

impl Scorer {
    /// The scores that come of one answer; the first is the suite's.
    #[must_use]
    pub const fn metrics(&self) -> &'static [MetricName] {
        match self {
            Self::Choice { length_normalised: false } => &["acc", "acc_norm"],
            Self::Choice { length_normalised: true } => &["acc_norm", "acc"],
            Self::Exact { .. } => &["exact_match"],
            Self::Json {} => &["valid"],
            Self::Retrieval {} => &["recall_at_1", "mrr"],
        }
    }
}

/// Scores of one answer, in the order of [`Scorer::metrics`]; parts per million. `None` where they depend on other items'
/// answers (retrieval): see [`score_all`].
///
/// # Errors
/// [`InvalidAnswer`].
pub fn score_item(suite: &Suite, item: &Item, answer: &Answer) -> Result<Option<Vec<u32>>, InvalidAnswer> {
    let right = |is_right: bool| if is_right { PPM } else { 0 };
    match (suite.scorer(), answer, &item.target) {
        (
            Scorer::Choice { length_normalised },
            Answer::Likelihoods { logprobs_nano },
            Target::Choice { choices, answer },
        ) => {
            let (plain, by_length) = choose(choices, logprobs_nano)?;
            let (acc, acc_norm) = (right(plain == *answer), right(by_length == *answer));
            Ok(Some(if *length_normalised { vec![acc_norm, acc] } else { vec![acc, acc_norm] }))
        }
        (Scorer::Exact { take, ignore_case, .. }, Answer::Text { text }, Target::Text(expected)) => {
            let said = normalised(text, suite.pattern(), *take);
            let is_right = said.is_some_and(|said| match ignore_case {
                true => said.to_lowercase() == expected.to_lowercase(),
                false => said == expected,
            });
            Ok(Some(vec![right(is_right)]))
        }
        (Scorer::Json {}, Answer::Text { text }, Target::Schema(schema)) => {
            Ok(Some(vec![right(is_valid(text, schema)?)]))
        }
        (Scorer::Retrieval {}, Answer::Vectors { input, passage }, Target::Passage(_)) => {
            (vector(input)?.len() == vector(passage)?.len()).then_some(None).ok_or(InvalidAnswer::Vector)
        }
        _ => Err(InvalidAnswer::Kind),
    }
}

/// Scores of answers by their item's index, in the order of [`Scorer::metrics`]; parts per million. Passages are looked for among
/// those of the answered items.
///
/// # Errors
/// The index and [`InvalidAnswer`].
pub fn score_all(
    suite: &Suite,
    answers: &BTreeMap<usize, &Answer>,
) -> Result<BTreeMap<usize, Vec<u32>>, (usize, InvalidAnswer)> {
    if matches!(suite.scorer(), Scorer::Retrieval {}) {
        return retrieve(answers);
    }
    let mut scores = BTreeMap::new();
    for (index, answer) in answers {
        let item = suite.items().get(*index).ok_or((*index, InvalidAnswer::Kind))?;
        let found = score_item(suite, item, answer).map_err(|error| (*index, error))?;
        scores.insert(*index, found.ok_or((*index, InvalidAnswer::Kind))?);
    }
    Ok(scores)
}

/// The likeliest choice, and the likeliest one by character.
fn choose(choices: &[String], logprobs_nano: &[i64]) -> Result<(usize, usize), InvalidAnswer> {
    if choices.len() != logprobs_nano.len() {
        return Err(InvalidAnswer::Choices { expected: choices.len(), found: logprobs_nano.len() });
    }
    if logprobs_nano.iter().any(|logprob| *logprob > 0) {
        return Err(InvalidAnswer::LogProbability);
    }
    let figures: Vec<(i128, i128)> = choices
        .iter()
        .zip(logprobs_nano)
        .map(|(choice, logprob)| (i128::from(*logprob), i128::try_from(choice.chars().count()).unwrap_or(i128::MAX)))
        .collect();
    let best = |is_better: &dyn Fn((i128, i128), (i128, i128)) -> bool| {
        let mut best: Option<(usize, (i128, i128))> = None;
        for (index, figure) in figures.iter().enumerate() {
            if best.is_none_or(|(_, leader)| is_better(*figure, leader)) {
                best = Some((index, *figure));
            }
        }
        best.map_or(0, |(index, _)| index)
    };
    let plain = best(&|one, other| one.0 > other.0);
    // a / m > b / n without division: lengths are above zero.
    let by_length = best(&|one, other| one.0.saturating_mul(other.1) > other.0.saturating_mul(one.1));
    Ok((plain, by_length))
}

/// What of an answer is compared; `None` where the pattern matches nowhere.
fn normalised<'a>(text: &'a str, pattern: Option<&Regex>, take: Take) -> Option<&'a str> {
    let Some(pattern) = pattern else { return Some(text.trim()) };
    let mut found = pattern.captures_iter(text);
    let capture = match take {
        Take::First => found.next(),
        Take::Last => found.last(),
    };
    let matched = capture.and_then(|capture| capture.get(1).or_else(|| capture.get(0)));
    matched.map(|matched| matched.as_str().trim())
}

/// True when an answer, or what stands in its code fence, is JSON that fits.
fn is_valid(text: &str, schema: &Value) -> Result<bool, InvalidAnswer> {
    let validator =
        jsonschema::validator_for(schema).map_err(|error| InvalidAnswer::Schema { reason: error.to_string() })?;
    let found: Result<Value, _> = serde_json::from_str(unfenced(text));
    Ok(found.is_ok_and(|value| validator.is_valid(&value)))
}

/// An answer without the code fence that it is in, if it begins with one.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|rest| Some(rest.split_once('\n')?.1));
    inside.map_or(text, |inside| inside.split("```").next().unwrap_or_default().trim())
}

/// Looks for each input's passage among those of all answers.
fn retrieve(answers: &BTreeMap<usize, &Answer>) -> Result<BTreeMap<usize, Vec<u32>>, (usize, InvalidAnswer)> {
    let mut vectors = Vec::new();
    for (index, answer) in answers {
        let Answer::Vectors { input, passage } = answer else { return Err((*index, InvalidAnswer::Kind)) };
        let decoded = |text| vector(text).map_err(|error| (*index, error));
        vectors.push((*index, decoded(input)?, unit(decoded(passage)?)));
    }
    let width = vectors.first().map_or(0, |(_, input, _)| input.len());
    let odd = vectors.iter().find(|(_, input, passage)| input.len() != width || passage.len() != width);
    if let Some((index, _, _)) = odd {
        return Err((*index, InvalidAnswer::Vector));
    }
    let mut scores = BTreeMap::new();
    for (place, (index, input, own)) in vectors.iter().enumerate() {
        let nearness = dot(input, own);
        let before = vectors.iter().enumerate().filter(|(other, (_, _, passage))| {
            let found = dot(input, passage);
            found > nearness || (found == nearness && *other < place)
        });
        let rank = u32::try_from(before.count()).unwrap_or(u32::MAX).saturating_add(1);
        scores.insert(*index, vec![if rank == 1 { PPM } else { 0 }, PPM / rank]);
    }
    Ok(scores)
}

/// A vector divided by its length; of no length it stays as it is, near to nothing.
fn unit(vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 { vector.into_iter().map(|value| value / length).collect() } else { vector }
}

/// Products added up from the first to the last, so that every machine gets the same bits.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).fold(0.0, |sum, (a, b)| sum + a * b)
}

#[cfg(test)]
mod tests;
