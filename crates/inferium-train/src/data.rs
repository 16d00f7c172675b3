//! What is trained on: texts, line by line, named by a Merkle root.

use inferium_types::{Digest, Ppm, leaf_hash, merkle_root};
use serde::Deserialize;
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// Lines of a data set at most.
pub(crate) const LINES_MAX: usize = 1 << 20;
/// Bytes of a data set at most.
pub(crate) const BYTES_MAX: usize = 1 << 28;

/// One line of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The text; not empty.
    pub text: String,
    /// What it is an example of, where lines are to be told apart.
    #[serde(default)]
    pub label: Option<String>,
}

/// Texts to train on: JSON Lines of `{"text": …, "label": …}` or `{"text": …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    lines: Vec<Line>,
    leaves: Vec<Digest>,
    root: Digest,
}

/// Which lines are trained on, and which only measure; by number from 0, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Lines to train on.
    pub training: Vec<usize>,
    /// Lines that no step sees.
    pub held_out: Vec<usize>,
}

/// Why a text is no data set, or not the one that was named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDataSet {
    /// No lines.
    #[error("the data set is empty")]
    Empty,
    /// Too many bytes or lines.
    #[error("the data set has {found} {unit}; at most {most} are possible")]
    TooLarge {
        /// Bytes or lines.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A line that can't be used.
    #[error("line {line}: {reason}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Another data set than the one that was named.
    #[error("another data set: its root is {found}, and the run is of {expected}")]
    Root {
        /// The one that was named.
        expected: Digest,
        /// That of these lines.
        found: Digest,
    },
    /// Fewer than two labels: there is nothing to tell apart.
    #[error("a classifier needs at least two labels; this data set has {found}")]
    Labels {
        /// Labels that there are.
        found: usize,
    },
    /// One of both parts would be empty.
    #[error("of {lines} lines {held_out} would be held out; both parts need at least one")]
    Split {
        /// Lines of the data set.
        lines: usize,
        /// Those that are held out.
        held_out: usize,
    },
}

impl DataSet {
    /// Reads JSON Lines.
    ///
    /// # Errors
    /// [`InvalidDataSet`], one variant per cause, with the line.
    pub fn parse(text: &str) -> Result<Self, InvalidDataSet> {
        if text.len() > BYTES_MAX {
            return Err(InvalidDataSet::TooLarge { unit: "bytes", found: text.len(), most: BYTES_MAX });
        }
        let count = text.lines().count();
        if count > LINES_MAX {
            return Err(InvalidDataSet::TooLarge { unit: "lines", found: count, most: LINES_MAX });
        }
        let (mut lines, mut leaves) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (number, raw) in (1..).zip(text.lines()) {
            let invalid = |reason: String| InvalidDataSet::Line { line: number, reason };
            let line: Line = serde_json::from_str(raw).map_err(|error| invalid(printable(&error.to_string())))?;
            if line.text.trim().is_empty() {
                return Err(invalid("the text is empty".to_owned()));
            }
            if line.label.as_ref().is_some_and(|label| label.trim().is_empty()) {
                return Err(invalid("the label is empty".to_owned()));
            }
            if let Some(label) = line.label.as_ref().filter(|label| label.chars().any(char::is_control)) {
                return Err(invalid(format!("the label {label:?} has a control character")));
            }
            leaves.push(leaf_hash(raw.as_bytes()));
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(InvalidDataSet::Empty);
        }
        let root = merkle_root(&leaves);
        Ok(Self { lines, leaves, root })
    }

    /// Merkle root over the lines as they stand in the file, without their ends.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Refuses this data set where another one was named.
    ///
    /// # Errors
    /// [`InvalidDataSet::Root`].
    pub fn check(&self, expected: Digest) -> Result<(), InvalidDataSet> {
        if self.root == expected { Ok(()) } else { Err(InvalidDataSet::Root { expected, found: self.root }) }
    }

    /// All labels, sorted. Every line must have one.
    ///
    /// # Errors
    /// [`InvalidDataSet::Line`] for a line without a label, [`InvalidDataSet::Labels`].
    pub fn labels(&self) -> Result<Vec<String>, InvalidDataSet> {
        let mut labels = BTreeSet::new();
        for (number, line) in (1..).zip(&self.lines) {
            let missing = || InvalidDataSet::Line { line: number, reason: "it has no label".to_owned() };
            labels.insert(line.label.clone().ok_or_else(missing)?);
        }
        if labels.len() < 2 {
            return Err(InvalidDataSet::Labels { found: labels.len() });
        }
        Ok(labels.into_iter().collect())
    }

    /// Draws the held-out part: a line belongs to it by a hash of the order and the line itself, as it stands in the file, and by nothing
    /// else. So equal lines never stand on both sides; equal *texts* may, where their lines differ (another label, other spaces). Whoever
    /// knows the order can write lines for the side that they like: it says nothing about who chose both.
    ///
    /// # Errors
    /// [`InvalidDataSet::Split`] if one of both parts is empty.
    pub fn split(&self, order: &Digest, share: Ppm) -> Result<Split, InvalidDataSet> {
        let is_held_out = |leaf: &Digest| {
            let draw = Digest::of("inferium/held-out/1", &[order.as_bytes(), leaf.as_bytes()]);
            draw.draw(u64::from(Ppm::ONE.get())) < u64::from(share.get())
        };
        let (held_out, training): (Vec<usize>, Vec<usize>) =
            (0..self.leaves.len()).partition(|line| self.leaves.get(*line).is_some_and(is_held_out));
        if training.is_empty() || held_out.is_empty() {
            return Err(InvalidDataSet::Split { lines: self.lines.len(), held_out: held_out.len() });
        }
        Ok(Split { training, held_out })
    }
}

/// Words of somebody else's, a decoder's that quotes a field's name for example, without what would steer a terminal.
fn printable(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}
