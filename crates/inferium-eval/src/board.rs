//! The fold of many runs: a board of one suite, whose rows are models.

use crate::interval::{Interval, wilson};
use crate::results::RunHead;
use crate::summary::Summary;
use std::collections::BTreeMap;

/// Models by how well they do on one suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    runs: BTreeMap<Key, Sums>,
}

/// One model on a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardRow {
    /// One more than models are surely better: those whose interval lies above this one's. So models that noise could have put in
    /// another order share a rank, unless a third one tells them apart.
    pub rank: u64,
    /// The model's name, as the first run of the board has it.
    pub model: String,
    /// Root of its weights, if servers said it; hex.
    pub weights_root: Option<String>,
    /// Its profile on the chain, if servers said it; hex. Checked receipts are of this one; the weights are as servers said.
    pub model_profile: Option<String>,
    /// The suite's score: the mean over all runs, with the interval of the largest one. The same items asked again say
    /// nothing new, so more runs do not make an interval narrower.
    pub score: Interval,
    /// Runs.
    pub runs: u64,
    /// Items of the largest run.
    pub items: u64,
    /// Cost of a thousand items, on average over all runs; billionths of an IFR.
    pub cost_nano_per_thousand: u64,
    /// The median of the medians of the times that items took; milliseconds.
    pub milliseconds_median: u64,
    /// Items all of whose jobs have receipts in their runs, checked or not; parts per million.
    pub receipts_ppm: u32,
    /// The command that runs the largest run again.
    pub command: String,
}

/// What runs are put together by: weights where they are known, and how their answers are verified; else the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    weights_root: Option<String>,
    model_profile: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    model: String,
    runs: u64,
    items: u64,
    /// Means times items; parts per million.
    score_ppm: u128,
    cost_nano: u128,
    receipts_ppm: u128,
    times: Vec<u64>,
    largest: u64,
    command: String,
}

impl Board {
    /// Adds a run that was checked. Runs without items or scores add nothing.
    ///
    /// Ensures: the board does not depend on the order in which runs are added, but for the names and commands of equal ones, which
    /// are those that come first in the alphabet.
    pub fn add(&mut self, head: &RunHead, summary: &Summary) {
        let Some(score) = summary.scores.first().filter(|_| summary.items > 0) else { return };
        let known = head.weights_root.is_some();
        let key = Key {
            weights_root: head.weights_root.clone(),
            model_profile: head.model_profile.clone(),
            name: (!known).then(|| head.model.clone()),
        };
        let sums = self.runs.entry(key).or_default();
        if sums.runs == 0 || head.model < sums.model {
            sums.model.clone_from(&head.model);
        }
        let is_next = summary.items == sums.largest && head.command < sums.command;
        if summary.items > sums.largest || is_next {
            sums.largest = summary.items;
            sums.command.clone_from(&head.command);
        }
        let items = u128::from(summary.items);
        sums.runs = sums.runs.saturating_add(1);
        sums.items = sums.items.saturating_add(summary.items);
        sums.score_ppm = sums.score_ppm.saturating_add(u128::from(score.interval.mean).saturating_mul(items));
        sums.cost_nano = sums.cost_nano.saturating_add(u128::from(summary.cost_nano));
        sums.receipts_ppm = sums.receipts_ppm.saturating_add(u128::from(summary.receipts_ppm).saturating_mul(items));
        sums.times.push(summary.milliseconds_median);
    }

    /// The rows: the best mean first, of equal ones by name and weights.
    #[must_use]
    pub fn rows(&self) -> Vec<BoardRow> {
        let mut rows: Vec<BoardRow> = self.runs.iter().map(|(key, sums)| sums.row(key)).collect();
        rows.sort_by(|one, other| {
            let tie = || (&one.model, &one.weights_root).cmp(&(&other.model, &other.weights_root));
            other.score.mean.cmp(&one.score.mean).then_with(tie)
        });
        let mut lows: Vec<u32> = rows.iter().map(|row| row.score.low).collect();
        lows.sort_unstable();
        for row in &mut rows {
            let better = lows.len().saturating_sub(lows.partition_point(|low| *low <= row.score.high));
            row.rank = u64::try_from(better).unwrap_or(u64::MAX).saturating_add(1);
        }
        rows
    }
}

impl Sums {
    fn row(&self, key: &Key) -> BoardRow {
        let items = u128::from(self.items.max(1));
        let mean = self.score_ppm.checked_div(items).unwrap_or(0);
        let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        let mut times = self.times.clone();
        times.sort_unstable();
        BoardRow {
            rank: 1,
            model: self.model.clone(),
            weights_root: key.weights_root.clone(),
            model_profile: key.model_profile.clone(),
            score: wilson(narrow(mean.saturating_mul(u128::from(self.largest))), self.largest),
            runs: self.runs,
            items: self.largest,
            cost_nano_per_thousand: narrow(self.cost_nano.saturating_mul(1_000).checked_div(items).unwrap_or(0)),
            milliseconds_median: times.get(times.len() / 2).copied().unwrap_or(0),
            receipts_ppm: u32::try_from(self.receipts_ppm.checked_div(items).unwrap_or(0)).unwrap_or(0),
            command: self.command.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
