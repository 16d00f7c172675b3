//! What bends the logits of one position before a token is drawn (SPEC J10).

use inferium_types::Shaping;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Millionths in one.
const MICRO: f64 = 1e6;

/// The tokens that may be drawn at a position: one bit for each token of the vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    words: Vec<u32>,
}

impl Allowed {
    /// Of words of 32 tokens each, the lowest token in the lowest bit.
    #[must_use]
    pub const fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// Of these tokens, for a vocabulary of `vocab`; those beyond it are ignored.
    #[must_use]
    pub fn of(tokens: impl IntoIterator<Item = u32>, vocab: usize) -> Self {
        let mut words = vec![0; vocab.div_ceil(32)];
        for token in tokens {
            if let Some(word) = words.get_mut(token as usize / 32) {
                *word |= 1 << (token % 32);
            }
        }
        Self { words }
    }

    /// Whether a token may be drawn; one without a bit may not.
    #[must_use]
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }
}

/// What bends the logits of one position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adjustment {
    /// Millionths by token, in no order that matters.
    added: Vec<(u32, i64)>,
    /// All tokens, if there is no grammar.
    allowed: Option<Allowed>,
}

impl Adjustment {
    /// By a request's bias and penalties, `counts` of each token that the answer has so far, and what its grammar allows next.
    #[must_use]
    pub fn new(shaping: &Shaping, counts: &BTreeMap<u32, u32>, allowed: Option<Allowed>) -> Self {
        let mut added: BTreeMap<u32, i64> =
            shaping.bias.iter().map(|&(token, micro)| (token, i64::from(micro))).collect();
        if shaping.has_penalties() {
            for (&token, &count) in counts {
                let frequency = i64::from(shaping.frequency_penalty_micro).saturating_mul(i64::from(count));
                let penalty = frequency.saturating_add(i64::from(shaping.presence_penalty_micro));
                let sum = added.entry(token).or_default();
                *sum = sum.saturating_sub(penalty);
            }
        }
        Self { added: added.into_iter().collect(), allowed }
    }

    /// Bends logits, shape `[vocab]`.
    pub fn apply(&self, logits: &mut [f32]) {
        for &(token, micro) in &self.added {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += (micro as f64 / MICRO) as f32;
            }
        }
        let Some(allowed) = &self.allowed else { return };
        for (token, logit) in (0_u32..).zip(logits) {
            if !allowed.contains(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
