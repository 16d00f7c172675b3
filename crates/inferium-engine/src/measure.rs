//! What is measured at a position for engines that agree within a tolerance.

use crate::Measured;
use inferium_sampling::{Sampler, log_sum_exp};

/// Which token is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The sampler's own choice, which needs no check.
    Own(u32),
    /// One that somebody else claims.
    Token(u32),
}

/// Measures one position; `hidden` is what the logits were made from.
pub(crate) fn measure(
    sampler: &Sampler,
    output_position: u64,
    logits: &[f32],
    claim: Claim,
    hidden: &[f32],
) -> Measured {
    let (token, check) = match claim {
        Claim::Own(token) => (token, None),
        Claim::Token(token) => (token, Some(sampler.check(output_position, logits, token))),
    };
    let logit = usize::try_from(token).ok().and_then(|index| logits.get(index)).copied().unwrap_or(f32::MIN);
    Measured { check, logprob: f64::from(logit) - log_sum_exp(logits), hidden: hidden.to_vec() }
}
