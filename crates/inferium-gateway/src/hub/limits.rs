//! How much a key may ask for in a minute: requests, and tokens of prompts and answers.
//!
//! A bucket fills with what is asked for and drains evenly, all of it within a minute. Tokens are taken for what a request may come to; what
//! it did not come to is given back when it ends.

use super::{Hub, JobSpec};
use crate::store::KeyLimits;
use inferium_types::{Digest, Usage};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

const MINUTE_MS: u64 = 60_000;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limited {
    Requests,
    Tokens,
}

impl Limited {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// Why a request is not taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    pub(crate) limited: Limited,
    /// A minute.
    pub(crate) limit: u64,
    pub(crate) asked: u64,
    /// Milliseconds until there is room; `None` if there never is.
    pub(crate) wait_ms: Option<u64>,
}

/// A limit as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitView {
    pub(crate) limited: Limited,
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Milliseconds until all of it is there again.
    pub(crate) reset_ms: u64,
}

/// What was asked for and has not drained yet.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    limit: u64,
    /// In parts of which a minute's milliseconds drain `limit` each: exact, whatever the limit.
    parts: u64,
    at: Instant,
}

impl Bucket {
    const fn new(limit: u32, now: Instant) -> Self {
        Self { limit: limit as u64, parts: 0, at: now }
    }

    fn drain(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.parts = self.parts.saturating_sub(elapsed_ms.saturating_mul(self.limit));
        // The rest of a millisecond counts next time.
        self.at += std::time::Duration::from_millis(elapsed_ms);
    }

    /// Takes `count`, or says how long to wait for it.
    fn take(&mut self, count: u64, now: Instant) -> Result<(), Option<u64>> {
        self.drain(now);
        if count > self.limit {
            return Err(None);
        }
        let (with_it, most) = (self.parts + count * MINUTE_MS, self.limit * MINUTE_MS);
        if with_it > most {
            return Err(Some((with_it - most).div_ceil(self.limit.max(1))));
        }
        self.parts = with_it;
        Ok(())
    }

    /// Gives back `count` of `taken` that were taken `at` a moment, but for what has drained of them since.
    fn give_back(&mut self, count: u64, (taken, at): (u64, Instant), now: Instant) {
        self.drain(now);
        let elapsed_ms = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        let left = taken.saturating_mul(MINUTE_MS).saturating_sub(elapsed_ms.saturating_mul(self.limit));
        self.parts = self.parts.saturating_sub(count.saturating_mul(MINUTE_MS).min(left));
    }

    fn view(&mut self, limited: Limited, now: Instant) -> LimitView {
        self.drain(now);
        LimitView {
            limited,
            limit: self.limit,
            remaining: self.limit.saturating_sub(self.parts.div_ceil(MINUTE_MS)),
            reset_ms: self.parts.div_ceil(self.limit.max(1)),
        }
    }
}

/// The buckets of all keys that have limits.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<(Digest, Limited), Bucket>);

impl Limits {
    /// Makes a key's limits known.
    pub(super) fn set(&mut self, payer: Digest, limits: KeyLimits) {
        for (limited, limit) in [(Limited::Requests, limits.requests), (Limited::Tokens, limits.tokens)] {
            if let Some(limit) = limit {
                self.0.insert((payer, limited), Bucket::new(limit, Instant::now()));
            }
        }
    }

    fn take(&mut self, payer: Digest, limited: Limited, count: u64) -> Result<(), OverLimit> {
        let Some(bucket) = self.0.get_mut(&(payer, limited)) else { return Ok(()) };
        let limit = bucket.limit;
        bucket.take(count, Instant::now()).map_err(|wait_ms| OverLimit { limited, limit, asked: count, wait_ms })
    }
}

impl Hub {
    /// Counts a request of a key.
    pub(crate) fn take_request(&self, payer: Digest) -> Result<(), OverLimit> {
        self.lock().limits.take(payer, Limited::Requests, 1)
    }

    /// Takes the tokens that jobs of one key may come to.
    pub(crate) fn take_tokens(self: &Arc<Self>, specs: &[JobSpec]) -> Result<TakenTokens, OverLimit> {
        let of = |spec: &JobSpec| u64::from(spec.prompt_tokens).saturating_add(spec.tokens_max.into());
        let tokens = specs.iter().map(of).fold(0, u64::saturating_add);
        let payer = specs.first().map_or(Digest::ZERO, |spec| spec.payer);
        self.lock().limits.take(payer, Limited::Tokens, tokens)?;
        Ok(TakenTokens { hub: Arc::clone(self), payer, tokens, used: 0, at: Instant::now() })
    }

    /// A key's limits, as far as they are used now.
    pub(crate) fn limits(&self, payer: Digest) -> Vec<LimitView> {
        let mut inner = self.lock();
        let now = Instant::now();
        let of_payer = inner.limits.0.range_mut((payer, Limited::Requests)..=(payer, Limited::Tokens));
        of_payer.map(|((_, limited), bucket)| bucket.view(*limited, now)).collect()
    }
}

/// Tokens that were taken for a request. Dropping it gives back what was not used.
#[derive(Debug)]
pub(crate) struct TakenTokens {
    hub: Arc<Hub>,
    payer: Digest,
    tokens: u64,
    used: u64,
    at: Instant,
}

impl TakenTokens {
    /// A job of the request is done.
    pub(crate) fn done(&mut self, usage: Usage) {
        self.used = self.used.saturating_add(usage.tokens());
    }

    /// Tokens came of a job that may never be done.
    pub(crate) fn came(&mut self, tokens: usize) {
        self.used = self.used.saturating_add(u64::try_from(tokens).unwrap_or(u64::MAX));
    }
}

impl Drop for TakenTokens {
    fn drop(&mut self) {
        let unused = self.tokens.saturating_sub(self.used);
        if let Some(bucket) = self.hub.lock().limits.0.get_mut(&(self.payer, Limited::Tokens)) {
            bucket.give_back(unused, (self.tokens, self.at), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_drains_evenly_and_says_exactly_when_there_is_room() {
        let mut bucket = Bucket::new(7, Instant::now());
        for _ in 0..7 {
            assert_eq!(bucket.take(1, Instant::now()), Ok(()));
        }
        let wait_ms = bucket.take(1, Instant::now()).unwrap_err().unwrap();
        assert_eq!(wait_ms, 60_000u64.div_ceil(7));
        tokio::time::advance(Duration::from_millis(wait_ms - 1)).await;
        assert_eq!(bucket.take(1, Instant::now()), Err(Some(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(bucket.take(1, Instant::now()), Ok(()));
        assert_eq!(bucket.view(Limited::Requests, Instant::now()).remaining, 0);
        tokio::time::advance(Duration::from_secs(60)).await;
        let view = bucket.view(Limited::Requests, Instant::now());
        assert_eq!((view.limit, view.remaining, view.reset_ms), (7, 7, 0));
        assert_eq!(bucket.take(8, Instant::now()), Err(None), "more than a minute's worth is never there");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_of_milliseconds_are_not_lost() {
        let mut bucket = Bucket::new(60, Instant::now());
        assert_eq!(bucket.take(60, Instant::now()), Ok(()));
        for _ in 0..2_000 {
            tokio::time::advance(Duration::from_micros(500)).await;
            bucket.drain(Instant::now());
        }
        assert_eq!(bucket.view(Limited::Requests, Instant::now()).remaining, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back() {
        let mut bucket = Bucket::new(100, Instant::now());
        assert_eq!(bucket.take(90, Instant::now()), Ok(()));
        assert!(bucket.take(20, Instant::now()).is_err());
        let began = Instant::now();
        bucket.give_back(70, (90, began), began);
        assert_eq!(bucket.view(Limited::Tokens, Instant::now()).remaining, 80);
        assert_eq!(bucket.take(80, Instant::now()), Ok(()));

        // What has drained since is there already.
        let mut bucket = Bucket::new(100, began);
        assert_eq!(bucket.take(100, began), Ok(()));
        tokio::time::advance(Duration::from_secs(45)).await;
        assert_eq!(bucket.take(75, Instant::now()), Ok(()));
        bucket.give_back(100, (100, began), Instant::now());
        assert_eq!(bucket.view(Limited::Tokens, Instant::now()).remaining, 25);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(bucket.take(100, Instant::now()), Ok(()));
        bucket.give_back(100, (100, began), Instant::now());
        assert_eq!(bucket.view(Limited::Tokens, Instant::now()).remaining, 0);
    }
}
