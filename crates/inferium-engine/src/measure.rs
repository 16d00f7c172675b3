//! What is measured at a position for engines that agree within a tolerance.

use crate::{Measured, TOP_TOKENS};
use inferium_sampling::{Sampler, log_sum_exp, top_tokens};

/// Measures one position: `claimed` is the token, `hidden` what the logits were made from.
pub(crate) fn measure(
    sampler: &Sampler,
    output_position: u64,
    logits: &[f32],
    claimed: u32,
    hidden: &[f32],
) -> Measured {
    let total = log_sum_exp(logits);
    let logit = usize::try_from(claimed).ok().and_then(|index| logits.get(index)).copied().unwrap_or(f32::MIN);
    let top = top_tokens(logits, TOP_TOKENS);
    Measured {
        check: sampler.check(output_position, logits, claimed),
        logprob: f64::from(logit) - total,
        top: top.into_iter().map(|(token, logit)| (token, f64::from(logit) - total)).collect(),
        hidden: hidden.to_vec(),
    }
}
