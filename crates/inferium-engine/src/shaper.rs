//! How an answer is shaped, position by position.

use crate::grammar::GrammarState;
use inferium_sampling::Adjustment;
use inferium_types::Shaping;
use std::collections::BTreeMap;

/// Follows the tokens of an answer, and says what bends the logits of the next one (SPEC J10).
#[derive(Debug)]
pub(crate) struct Shaper {
    shaping: Shaping,
    grammar: Option<GrammarState>,
    counts: BTreeMap<u32, u32>,
    vocab: usize,
}

impl Shaper {
    /// At the beginning of an answer; `None` for one that is not bent.
    pub(crate) fn new(shaping: Shaping, grammar: Option<GrammarState>, vocab: u32) -> Option<Self> {
        let vocab = vocab as usize;
        (!shaping.is_plain()).then(|| Self { shaping, grammar, counts: BTreeMap::new(), vocab })
    }

    /// What bends the logits of the next position.
    pub(crate) fn next(&mut self) -> Adjustment {
        let allowed = self.grammar.as_mut().map(|grammar| grammar.allowed(self.vocab));
        Adjustment::new(&self.shaping, &self.counts, allowed)
    }

    /// Goes on by a token.
    pub(crate) fn push(&mut self, token: u32) {
        if self.shaping.has_penalties() {
            let count = self.counts.entry(token).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.push(token);
        }
    }
}
