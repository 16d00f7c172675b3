//! What a run leaves: JSON Lines, so that a run that was stopped goes on where it was.
//!
//! The first line says what was run ([`RunHead`]); then, in any order, a line for each item and for each receipt; a finished run ends
//! with the line of its [`Summary`].

use crate::answer::{Answer, InvalidAnswer};
use crate::interval::Interval;
use crate::suite::Suite;
use crate::summary::{Score, Summary, summarise};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the format.
const VERSION: u32 = 1;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Line {
    /// What was run.
    Run(Box<RunHead>),
    /// One item's answer.
    Item(ItemRecord),
    /// One job's receipt.
    Receipt(ReceiptRecord),
    /// What the run comes to.
    Summary(Summary),
}

/// What was run: suite, model, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHead {
    /// Of the format.
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// Its hash; hex.
    pub suite_id: String,
    /// Name of the model at the server that was asked.
    pub model: String,
    /// Root of its weights, if the server says it; hex.
    pub weights_root: Option<String>,
    /// Its profile on the chain, which names weights, tokenizer, template and engine, if the server says it; hex.
    pub model_profile: Option<String>,
    /// How the network verifies its answers, if the server says it.
    pub verification: Option<String>,
    /// What draws the order of items.
    pub seed: u64,
    /// Items that were to be asked, the first of the order.
    pub items: u64,
    /// The command that runs the same again.
    pub command: String,
}

/// One item's answer, and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// The item.
    pub id: String,
    /// What the model answered.
    pub answer: Answer,
    /// Its scores, in the order of the suite's metrics; parts per million. None where they depend on other items (retrieval).
    pub scores_ppm: Option<Vec<u32>>,
    /// The jobs that it took; hex.
    pub jobs: Vec<String>,
    /// What each of them was asked and answered, for who has its receipt: base64 of a [`inferium_types::JobOpening`] each. None where
    /// the server gave none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub openings: Vec<String>,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Billionths of an IFR.
    pub cost_nano: u64,
    /// From the first request to the last answer.
    pub milliseconds: u64,
}

/// One job's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptRecord {
    /// The job; hex.
    pub job: String,
    /// The receipt's document, as the gateway gave it.
    pub document: Value,
}

/// A run as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// What was run.
    pub head: RunHead,
    /// Answers, in the order in which they came.
    pub items: Vec<ItemRecord>,
    /// Receipts by job.
    pub receipts: BTreeMap<String, Value>,
    /// What the run says that it comes to; `None` when it is not done.
    pub summary: Option<Summary>,
}

/// Why results do not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResults {
    /// A line does not parse, or is where it can't be.
    #[error("line {line}: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// They are of another suite, or of another version of it.
    #[error("the results are of suite {found}, this one is {expected}")]
    Suite {
        /// The suite's hash.
        expected: String,
        /// The results'.
        found: String,
    },
    /// No such item in the suite.
    #[error("the suite has no item {id:?}")]
    UnknownItem {
        /// The item.
        id: String,
    },
    /// No run asks so many items of this suite.
    #[error("a run of {found} items; the suite has {expected}, and at least one is asked")]
    Count {
        /// The suite's.
        expected: usize,
        /// The run's.
        found: u64,
    },
    /// An item that the seed does not draw, or one that it draws and that is not there.
    #[error("item {id:?} {fault}")]
    Drawn {
        /// The item.
        id: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A job that is named twice, or whose receipt belongs to no item.
    #[error("job {job} {fault}")]
    Job {
        /// The job; hex.
        job: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// An answer can't be scored.
    #[error("item {id:?}: {error}")]
    Answer {
        /// The item.
        id: String,
        /// Why.
        error: InvalidAnswer,
    },
    /// An item's scores are not what its answer comes to.
    #[error("item {id:?}: its scores are {found:?}, its answer comes to {expected:?}")]
    Score {
        /// The item.
        id: String,
        /// What the answer comes to.
        expected: Option<Vec<u32>>,
        /// What is claimed.
        found: Option<Vec<u32>>,
    },
    /// The run is not done.
    #[error("the run is not done: {found} of {expected} items, and no summary")]
    Unfinished {
        /// Items to ask.
        expected: u64,
        /// Items answered.
        found: u64,
    },
    /// The summary is not what the items come to.
    #[error("the summary's {field} is {found}, the items come to {expected}")]
    Summary {
        /// The first such field.
        field: String,
        /// What they come to.
        expected: String,
        /// What is claimed.
        found: String,
    },
}

impl Results {
    /// Reads a file's text. A last line that was cut off is an error here; see [`Results::whole`].
    ///
    /// # Errors
    /// [`InvalidResults::Line`].
    pub fn parse(text: &str) -> Result<Self, InvalidResults> {
        let mut results: Option<Self> = None;
        let mut seen = BTreeSet::new();
        for (line, content) in (1..).zip(text.lines()) {
            let at = |reason: String| InvalidResults::Line { line, reason };
            let parsed: Line = serde_json::from_str(content).map_err(|error| at(error.to_string()))?;
            match (&mut results, parsed) {
                (None, Line::Run(head)) if head.version != VERSION => {
                    return Err(at(format!("version {} of the format; {VERSION} is known", head.version)));
                }
                (None, Line::Run(head)) => results = Some(Self::begin(*head)),
                (None, _) => return Err(at("the first line is not of what was run".to_owned())),
                (Some(_), Line::Run(_)) => return Err(at("what was run is said twice".to_owned())),
                (Some(Self { summary: Some(_), .. }), _) => {
                    return Err(at("something follows the summary".to_owned()));
                }
                (Some(results), Line::Item(item)) => {
                    if !seen.insert(item.id.clone()) {
                        return Err(at(format!("item {:?} was there before", item.id)));
                    }
                    results.items.push(item);
                }
                (Some(results), Line::Receipt(receipt)) => {
                    if results.receipts.insert(receipt.job.clone(), receipt.document).is_some() {
                        return Err(at(format!("the receipt of job {} was there before", receipt.job)));
                    }
                }
                (Some(results), Line::Summary(summary)) => results.summary = Some(summary),
            }
        }
        results.ok_or_else(|| InvalidResults::Line { line: 1, reason: "the file is empty".to_owned() })
    }

    /// A run without answers.
    #[must_use]
    pub const fn begin(head: RunHead) -> Self {
        Self { head, items: Vec::new(), receipts: BTreeMap::new(), summary: None }
    }

    /// How much of a file that a run was stopped in the middle of is whole lines; bytes.
    #[must_use]
    pub fn whole(text: &str) -> usize {
        text.rfind('\n').map_or(0, |end| end.saturating_add(1))
    }

    /// Folds the answers anew and compares everything that was claimed; what the run comes to.
    ///
    /// Ensures: each item is one that the seed draws, and each that it draws is there; no job stands for two items; scores
    /// and summary follow from answers and receipts. Whether receipts hold is for their reader (`inferium-types`).
    ///
    /// # Errors
    /// [`InvalidResults`] with the first thing that does not hold.
    pub fn check(&self, suite: &Suite) -> Result<Summary, InvalidResults> {
        if self.head.suite_id != suite.id().to_string() {
            let (expected, found) = (suite.id().to_string(), self.head.suite_id.clone());
            return Err(InvalidResults::Suite { expected, found });
        }
        let Some(claimed) = &self.summary else {
            let found = u64::try_from(self.items.len()).unwrap_or(u64::MAX);
            return Err(InvalidResults::Unfinished { expected: self.head.items, found });
        };
        self.check_drawn(suite)?;
        self.check_jobs()?;
        self.check_scores(suite)?;
        let summary = summarise(suite, self)?;
        if summary == *claimed {
            return Ok(summary);
        }
        Err(difference(&summary, claimed))
    }

    fn check_drawn(&self, suite: &Suite) -> Result<(), InvalidResults> {
        let (expected, found) = (suite.items().len(), self.head.items);
        let count = usize::try_from(found).ok().filter(|count| (1..=expected).contains(count));
        let count = count.ok_or(InvalidResults::Count { expected, found })?;
        let drawn = suite.order(self.head.seed).into_iter().take(count);
        let drawn: BTreeSet<&str> =
            drawn.filter_map(|index| suite.items().get(index)).map(|item| item.id.as_str()).collect();
        let answered: BTreeSet<&str> = self.items.iter().map(|item| item.id.as_str()).collect();
        let fault = |id: &&str, fault| Err(InvalidResults::Drawn { id: (*id).to_owned(), fault });
        if let Some(id) = answered.difference(&drawn).next() {
            return fault(id, "is not one that the seed draws");
        }
        match drawn.difference(&answered).next() {
            Some(id) => fault(id, "is drawn, and has no answer here"),
            None => Ok(()),
        }
    }

    /// One job proves one item's answer.
    fn check_jobs(&self) -> Result<(), InvalidResults> {
        let fault = |job: &String, fault| Err(InvalidResults::Job { job: job.clone(), fault });
        let mut jobs = BTreeSet::new();
        for job in self.items.iter().flat_map(|item| &item.jobs) {
            if !jobs.insert(job) {
                return fault(job, "is named twice");
            }
        }
        match self.receipts.keys().find(|job| !jobs.contains(job)) {
            Some(job) => fault(job, "has a receipt, and belongs to no item"),
            None => Ok(()),
        }
    }

    fn check_scores(&self, suite: &Suite) -> Result<(), InvalidResults> {
        let items: BTreeMap<&str, _> = suite.items().iter().map(|item| (item.id.as_str(), item)).collect();
        for record in &self.items {
            let item = items.get(record.id.as_str());
            let item = item.ok_or_else(|| InvalidResults::UnknownItem { id: record.id.clone() })?;
            let expected = crate::score_item(suite, item, &record.answer)
                .map_err(|error| InvalidResults::Answer { id: record.id.clone(), error })?;
            if expected != record.scores_ppm {
                let (id, found) = (record.id.clone(), record.scores_ppm.clone());
                return Err(InvalidResults::Score { id, expected, found });
            }
        }
        Ok(())
    }
}

/// The first thing that a summary claims and the items do not come to; scores before all else.
fn difference(summary: &Summary, claimed: &Summary) -> InvalidResults {
    let mut scores = summary.scores.iter().zip(&claimed.scores);
    if let Some((expected, found)) = scores.find(|(expected, found)| expected != found) {
        let shown = |score: &Score| {
            let Score { metric, interval: Interval { mean, low, high } } = score;
            format!("{metric} {mean} ({low} to {high})")
        };
        return InvalidResults::Summary { field: "score".to_owned(), expected: shown(expected), found: shown(found) };
    }
    let as_value = |summary: &Summary| serde_json::to_value(summary).unwrap_or_default();
    let (expected, found) = (as_value(summary), as_value(claimed));
    let field = expected.as_object().and_then(|all| all.keys().find(|name| expected.get(name) != found.get(name)));
    let field = field.cloned().unwrap_or_default();
    let shown = |value: &Value| value.get(&field).map(Value::to_string).unwrap_or_default();
    InvalidResults::Summary { expected: shown(&expected), found: shown(&found), field }
}

#[cfg(test)]
mod tests;
