//! AdamW: how weights follow from gradients. Plain IEEE operations in the order written, so that the bits are the same everywhere.

use crate::State;
use crate::spec::OptimiserTerms;

#[cfg(test)]
mod tests;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Takes a step along `gradient`, which has as many numbers as the state has weights.
pub(crate) fn update(state: &mut State, gradient: &[f32], terms: &OptimiserTerms) {
    state.step = state.step.saturating_add(1);
    let rate = rate(terms, state.step);
    let decay = rate * from_nano(terms.weight_decay_nano);
    let (left_1, left_2) = (1.0 - power(BETA_1, state.step), 1.0 - power(BETA_2, state.step));
    let moments = state.first_moment.iter_mut().zip(&mut state.second_moment);
    for ((weight, (first, second)), slope) in state.parameters.iter_mut().zip(moments).zip(gradient) {
        *first = BETA_1 * *first + (1.0 - BETA_1) * slope;
        *second = BETA_2 * *second + ((1.0 - BETA_2) * slope) * slope;
        let (mean, square) = (*first / left_1, *second / left_2);
        *weight = (*weight - decay * *weight) - rate * (mean / (square.sqrt() + EPSILON));
    }
}

/// The rate of step `step`, from 1: it grows evenly to its full size.
fn rate(terms: &OptimiserTerms, step: u64) -> f32 {
    let full = from_nano(terms.learning_rate_nano);
    let warmup = u64::from(terms.warmup_steps);
    if step >= warmup { full } else { full * (step as f32 / warmup as f32) }
}

fn from_nano(nano: u32) -> f32 {
    (f64::from(nano) / 1e9) as f32
}

/// `base` to the `exponent`, by squares: the platform's own power has other bits elsewhere.
fn power(base: f32, exponent: u64) -> f32 {
    let (mut result, mut square, mut left) = (1.0_f64, f64::from(base), exponent);
    while left > 0 {
        if left % 2 == 1 {
            result *= square;
        }
        square *= square;
        left /= 2;
    }
    result as f32
}
