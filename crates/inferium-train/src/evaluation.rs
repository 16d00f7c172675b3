//! How good weights are on texts that no step saw.

use inferium_eval::{Interval, PPM, wilson};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What was measured on the held-out part: whole numbers, so that what was written and read again is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Evaluation {
    /// A classifier's.
    Accuracy {
        /// Lines whose label it said.
        correct: u64,
        /// Lines.
        lines: u64,
        /// Mean loss of a line, in billionths of a nat.
        loss_nano: u64,
    },
    /// A language model's.
    Perplexity {
        /// Tokens that it had to say.
        tokens: u64,
        /// Mean loss of a token, in billionths of a nat.
        loss_nano: u64,
    },
}

/// The mean of a sum of losses, in billionths, rounded; 0 of none. A sum that is no number is the worst loss there is, and not the best.
pub(crate) fn mean_nano(sum: f64, count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    if !sum.is_finite() {
        return u64::MAX;
    }
    // What is negative becomes 0, and what is too large the largest: a conversion of Rust's, the same everywhere.
    (sum / count as f64 * 1e9).round() as u64
}

impl Evaluation {
    /// Mean loss in nats.
    #[must_use]
    pub fn loss(&self) -> f64 {
        match self {
            Self::Accuracy { loss_nano, .. } | Self::Perplexity { loss_nano, .. } => *loss_nano as f64 / 1e9,
        }
    }

    /// A classifier's share of right answers, with Wilson's interval at 95 %.
    #[must_use]
    pub fn accuracy(&self) -> Option<Interval> {
        match self {
            Self::Accuracy { correct, lines, .. } => Some(wilson(correct.saturating_mul(u64::from(PPM)), *lines)),
            Self::Perplexity { .. } => None,
        }
    }

    /// A language model's perplexity: e to the mean loss.
    #[must_use]
    pub fn perplexity(&self) -> Option<f64> {
        match self {
            Self::Accuracy { .. } => None,
            Self::Perplexity { .. } => Some(libm::exp(self.loss())),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let percent = |ppm: u32| format!("{:.1}", f64::from(ppm) / 1e4);
        let loss = self.loss();
        if let Self::Accuracy { loss_nano: u64::MAX, .. } | Self::Perplexity { loss_nano: u64::MAX, .. } = self {
            return "nothing: the loss is no finite number".to_owned();
        }
        match (self, self.accuracy()) {
            (Self::Accuracy { correct, lines, .. }, Some(share)) => format!(
                "accuracy {} % ({} to {}), {correct} of {lines} lines, loss {loss:.4}",
                percent(share.mean),
                percent(share.low),
                percent(share.high)
            ),
            (Self::Perplexity { tokens, .. }, _) => {
                format!("perplexity {:.2} over {tokens} tokens, loss {loss:.4}", libm::exp(loss))
            }
            (Self::Accuracy { .. }, None) => String::new(),
        }
    }
}
