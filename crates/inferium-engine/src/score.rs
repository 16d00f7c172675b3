//! Scores: how likely given tokens are after given ones.

use crate::{Engine, EngineError};
use inferium_sampling::{log_sum_exp, position_digest};
use inferium_types::{Digest, TokenScore};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Tokens to score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// The tokens before them; at least one.
    pub prompt: Vec<u32>,
    /// The tokens; at least one.
    pub tokens: Vec<u32>,
    /// How many of the likeliest tokens are told at each position.
    pub likeliest: u8,
}

/// One scored position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// How likely the token is, and which are the likeliest.
    pub score: TokenScore,
    /// [`position_digest`] of the token and the position's logits.
    pub digest: Digest,
}

/// The scores of a request, one for each token.
pub type ScoreReceiver = oneshot::Receiver<Result<Vec<Score>, EngineError>>;

/// Requests of one [`Scoring`] that an engine has at a time.
const AT_ONCE: usize = 4;

/// Many requests, scored in their order and a few at a time.
#[derive(Debug)]
pub struct Scoring<'a> {
    engine: &'a dyn Engine,
    waiting: VecDeque<ScoreRequest>,
    running: VecDeque<ScoreReceiver>,
}

impl<'a> Scoring<'a> {
    /// Of these; nothing begins before [`Self::next`] is awaited.
    #[must_use]
    pub fn new(engine: &'a dyn Engine, requests: Vec<ScoreRequest>) -> Self {
        Self { engine, waiting: requests.into(), running: VecDeque::new() }
    }

    /// The scores of the next request, and the digests of its positions; `None` after the last one. Dropping the whole cancels
    /// what runs.
    ///
    /// # Errors
    /// As [`Engine::score`]; a busy engine is one only when it does nothing for this yet.
    pub async fn next(&mut self) -> Option<Result<(Vec<TokenScore>, Vec<Digest>), EngineError>> {
        while self.running.len() < AT_ONCE
            && let Some(request) = self.waiting.front()
        {
            match self.engine.score(request.clone()) {
                Ok(receiver) => self.running.push_back(receiver),
                Err(EngineError::Busy { .. }) if !self.running.is_empty() => break,
                Err(error) => return Some(Err(error)),
            }
            self.waiting.pop_front();
        }
        let first = self.running.pop_front()?;
        let scores = first.await.unwrap_or(Err(EngineError::Stopped));
        Some(scores.map(|scores| scores.into_iter().map(|one| (one.score, one.digest)).unzip()))
    }
}

/// Scores a token by a position's logits, shape `[vocab]`.
pub(crate) fn score(logits: &[f32], token: u32, likeliest: u8) -> Score {
    Score { score: token_score(logits, token, likeliest), digest: position_digest(token, logits) }
}

/// How likely a token is by a position's logits, shape `[vocab]`, and which are the likeliest.
pub(crate) fn token_score(logits: &[f32], token: u32, likeliest: u8) -> TokenScore {
    let total = log_sum_exp(logits);
    let logit = |token: u32| usize::try_from(token).ok().and_then(|index| logits.get(index)).copied();
    // Rounded once, from the exact difference in double precision; at most 0, since the sum is good to a millionth only.
    let logprob = |logit: f32| (f64::from(clean(logit)) - total).clamp(f64::from(f32::MIN), 0.0) as f32;
    let likeliest: Vec<(u32, f32)> =
        highest(logits, likeliest.into()).into_iter().map(|(token, logit)| (token, logprob(logit))).collect();
    TokenScore::new(logprob(logit(token).unwrap_or(f32::MIN)), &likeliest)
}

/// As the sum over all logits takes them: what is no number is the lowest, and there is nothing above the highest.
fn clean(logit: f32) -> f32 {
    if logit.is_nan() { f32::MIN } else { logit.clamp(f32::MIN, f32::MAX) }
}

/// The `count` highest logits with their tokens, the highest first, of equals the lower token first.
fn highest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, logit) in (0_u32..).zip(logits).map(|(token, logit)| (token, clean(*logit))) {
        // Equal logits stay behind those that came first.
        let place = kept.partition_point(|(_, other)| other.total_cmp(&logit).is_ge());
        if place < count {
            kept.insert(place, (token, logit));
            kept.truncate(count);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
