//! Scores: how likely given tokens are after given ones, by a model that answers conversations (SPEC J9). What
//! multiple-choice benchmarks and classification by labels are made of.

use crate::{Digest, ImpossibleJob, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// Tokens to score, and what stands before them.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Continuation {
    /// What comes first; at least one token.
    pub prompt: Vec<u32>,
    /// What is scored, each token after all before it; at least one.
    pub tokens: Vec<u32>,
}

impl Continuation {
    /// Tokens of both.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.prompt.len().saturating_add(self.tokens.len())
    }

    /// True when there is no token at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Says nothing of the tokens: it may end up in a log (SPEC J2).
impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Continuation({} tokens after {})", self.tokens.len(), self.prompt.len())
    }
}

/// How likely a token is where it stands: the bits of its figures, so that equal means equal.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenScore {
    logprob: u32,
    likeliest: Vec<(u32, u32)>,
}

/// Says nothing of the figures, from which a text can be guessed (SPEC J2).
impl fmt::Debug for TokenScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenScore({} likeliest)", self.likeliest.len())
    }
}

impl TokenScore {
    /// Of a token's log probability, in nats, and the likeliest tokens there with theirs.
    #[must_use]
    pub fn new(logprob: f32, likeliest: &[(u32, f32)]) -> Self {
        let bits = |(token, logprob): &(u32, f32)| (*token, logprob.to_bits());
        Self { logprob: logprob.to_bits(), likeliest: likeliest.iter().map(bits).collect() }
    }

    /// Natural logarithm of the token's probability under the softmax of the logits, as they are: of an honest worker at
    /// most 0 and no NaN, of another any bits.
    #[must_use]
    pub const fn logprob(&self) -> f32 {
        f32::from_bits(self.logprob)
    }

    /// The likeliest tokens, the likeliest first, of equals the lower id first; with their log probabilities.
    pub fn likeliest(&self) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        self.likeliest.iter().map(|(token, logprob)| (*token, f32::from_bits(*logprob)))
    }

    /// A leaf of its result's evidence, of one continuation: with digests of all logits that its scores are made from, so
    /// that nobody finds it who has the answer and has not computed it.
    #[must_use]
    pub fn leaf(scores: &[Self], positions: &[Digest]) -> Digest {
        Digest::of_value("inferium/scores/1", &(scores, positions))
    }
}

/// Limits of a job that scores.
pub(crate) fn check(continuations: &[Continuation], likeliest: u8) -> Result<(), ImpossibleJob> {
    if continuations.is_empty() || continuations.len() > limits::TEXTS_MAX {
        return Err(ImpossibleJob::Texts { count: continuations.len() });
    }
    if continuations.iter().any(|one| one.prompt.is_empty() || one.tokens.is_empty()) {
        return Err(ImpossibleJob::NoTokens);
    }
    if likeliest > limits::LIKELIEST_MAX {
        return Err(ImpossibleJob::Likeliest { count: likeliest });
    }
    // Of each token its figure, a count, and each likely one's id and figure; of each continuation a count.
    let scored: usize = continuations.iter().map(|one| one.tokens.len()).fold(0, usize::saturating_add);
    let size = scored.saturating_mul(8 + 8 * usize::from(likeliest)).saturating_add(4 * continuations.len());
    if size > limits::PAYLOAD_SIZE_MAX { Err(ImpossibleJob::Size) } else { Ok(()) }
}
