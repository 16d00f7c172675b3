//! What shapes an answer besides [`crate::SamplingParams`] (SPEC J10): where it ends, what a token's logit is raised or lowered by,
//! what the text must look like, and what is told of each token.
//!
//! All of it is a part of the job's input, so that whoever replays the job bends the same logits in the same way.

use crate::{ImpossibleJob, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// How an answer is shaped. The default shapes nothing.
#[derive(Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shaping {
    /// Texts that end the answer, and are not a part of it.
    pub stop: Vec<String>,
    /// Millionths that are added to the logits of tokens: by rising token, each once.
    pub bias: Vec<(u32, i32)>,
    /// Millionths that the logit of a token loses once the answer has it.
    pub presence_penalty_micro: i32,
    /// Millionths that the logit of a token loses for each time that the answer has it.
    pub frequency_penalty_micro: i32,
    /// What the text must look like: a grammar in Lark's notation as llguidance reads it, JSON schemas included.
    pub grammar: Option<String>,
    /// Tells of each token how likely it was, and of so many of the likeliest tokens there.
    pub likeliest: Option<u8>,
}

impl Shaping {
    /// True when tokens are drawn from the model's logits as they are.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.bias.is_empty() && !self.has_penalties() && self.grammar.is_none()
    }

    /// True when what the answer has counts against a token.
    #[must_use]
    pub const fn has_penalties(&self) -> bool {
        self.presence_penalty_micro != 0 || self.frequency_penalty_micro != 0
    }

    /// Its limits.
    pub(crate) fn check(&self) -> Result<(), ImpossibleJob> {
        if self.stop.len() > limits::STOP_STRINGS_MAX {
            return Err(ImpossibleJob::StopStrings { count: self.stop.len() });
        }
        let fits = |text: &&String| !text.is_empty() && text.len() <= limits::STOP_STRING_SIZE_MAX;
        if let Some(text) = self.stop.iter().find(|text| !fits(text)) {
            return Err(ImpossibleJob::StopString { size: text.len() });
        }
        if self.bias.len() > limits::BIASED_TOKENS_MAX {
            return Err(ImpossibleJob::BiasedTokens { count: self.bias.len() });
        }
        let rises = self.bias.iter().zip(self.bias.iter().skip(1)).all(|((one, _), (next, _))| one < next);
        if !rises || self.bias.iter().any(|(_, micro)| micro.unsigned_abs() > limits::BIAS_MICRO_MAX) {
            return Err(ImpossibleJob::Bias);
        }
        let penalties = [self.presence_penalty_micro, self.frequency_penalty_micro];
        if penalties.iter().any(|micro| micro.unsigned_abs() > limits::PENALTY_MICRO_MAX) {
            return Err(ImpossibleJob::Penalty);
        }
        match (&self.grammar, self.likeliest) {
            (Some(grammar), _) if grammar.is_empty() || grammar.len() > limits::GRAMMAR_SIZE_MAX => {
                Err(ImpossibleJob::Grammar { size: grammar.len() })
            }
            (Some(grammar), _) if grammar.lines().count() > limits::GRAMMAR_LINES_MAX => {
                Err(ImpossibleJob::GrammarLines { lines: grammar.lines().count() })
            }
            (_, Some(count)) if count > limits::LIKELIEST_MAX => Err(ImpossibleJob::Likeliest { count }),
            _ => Ok(()),
        }
    }
}

/// Of stop strings alone.
impl From<Vec<String>> for Shaping {
    fn from(stop: Vec<String>) -> Self {
        Self { stop, ..Self::default() }
    }
}

/// Says nothing of texts and tokens: it may end up in a log (SPEC J2).
impl fmt::Debug for Shaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grammar = self.grammar.as_ref().map_or(0, String::len);
        write!(f, "Shaping({} stop strings, {} biased, grammar of {grammar} bytes)", self.stop.len(), self.bias.len())
    }
}
