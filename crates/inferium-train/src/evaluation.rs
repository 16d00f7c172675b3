//! How good weights are on texts that no step saw.

use inferium_eval::{Interval, PPM, wilson};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What was measured on the held-out part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Evaluation {
    /// A classifier's.
    Accuracy {
        /// Lines whose label it said.
        correct: u64,
        /// Lines.
        lines: u64,
        /// Mean loss of a line, in nats.
        loss: f64,
    },
    /// A language model's.
    Perplexity {
        /// Tokens that it had to say.
        tokens: u64,
        /// Mean loss of a token, in nats.
        loss: f64,
    },
}

impl Evaluation {
    /// Mean loss in nats.
    #[must_use]
    pub const fn loss(&self) -> f64 {
        match self {
            Self::Accuracy { loss, .. } | Self::Perplexity { loss, .. } => *loss,
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
            Self::Perplexity { loss, .. } => Some(libm::exp(*loss)),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let percent = |ppm: u32| format!("{:.1}", f64::from(ppm) / 1e4);
        match (self, self.accuracy()) {
            (Self::Accuracy { correct, lines, loss }, Some(share)) => format!(
                "accuracy {} % ({} to {}), {correct} of {lines} lines, loss {loss:.4}",
                percent(share.mean),
                percent(share.low),
                percent(share.high)
            ),
            (Self::Perplexity { tokens, loss }, _) => {
                format!("perplexity {:.2} over {tokens} tokens, loss {loss:.4}", libm::exp(*loss))
            }
            (Self::Accuracy { .. }, None) => String::new(),
        }
    }
}
