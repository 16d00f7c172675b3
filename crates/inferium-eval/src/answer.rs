//! What a model answered about one item, as it is kept: enough to score it again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What a model answered about one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Of each choice the sum of its tokens' log probabilities; billionths of a nat.
    Likelihoods {
        /// In the order of the item's choices.
        logprobs_nano: Vec<i64>,
    },
    /// A text.
    Text {
        /// As it came.
        text: String,
    },
    /// Two vectors: base64 of 32-bit floating point, least significant byte first.
    Vectors {
        /// Of the item's input.
        input: String,
        /// Of its passage.
        passage: String,
    },
}

/// Why an answer can't be scored. That it is wrong is no such reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// It is of another kind than the suite asks for.
    #[error("the answer is of another kind than the suite asks for")]
    Kind,
    /// It has another number of figures than the item has choices.
    #[error("the answer has {found} log probabilities, the item {expected} choices")]
    Choices {
        /// The item's.
        expected: usize,
        /// The answer's.
        found: usize,
    },
    /// A log probability is above zero, no number, or below every model's.
    #[error("a log probability is above zero, no number, or below -9,000,000 nats")]
    LogProbability,
    /// A vector is no base64 of numbers, has none, or another width than the others.
    #[error("a vector does not decode, or has another width than the others")]
    Vector,
    /// The item's own schema can't be used.
    #[error("the item's schema can't be used: {reason}")]
    Schema {
        /// Why.
        reason: String,
    },
}

/// The sum of a choice's log probabilities (nats) in billionths of a nat: each rounded by itself, half away from zero, so that the
/// sum does not depend on the order.
///
/// # Errors
/// [`InvalidAnswer::LogProbability`].
pub fn nano(logprobs: impl IntoIterator<Item = f64>) -> Result<i64, InvalidAnswer> {
    let mut sum = 0_i64;
    for logprob in logprobs {
        if !(-9e6..=0.0).contains(&logprob) {
            return Err(InvalidAnswer::LogProbability);
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is within ±9e15 by the check above")]
        let rounded = (logprob * 1e9).round() as i64;
        sum = sum.checked_add(rounded).ok_or(InvalidAnswer::LogProbability)?;
    }
    Ok(sum)
}

/// The numbers of a vector.
pub(crate) fn vector(text: &str) -> Result<Vec<f64>, InvalidAnswer> {
    let bytes = STANDARD.decode(text).map_err(|_| InvalidAnswer::Vector)?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f64> = numbers.iter().map(|number| f64::from(f32::from_le_bytes(*number))).collect();
    let is_good = rest.is_empty() && !numbers.is_empty() && numbers.iter().all(|number| number.is_finite());
    if is_good { Ok(numbers) } else { Err(InvalidAnswer::Vector) }
}
