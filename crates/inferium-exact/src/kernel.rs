//! The fast path. Sums are of 32-bit integers in any order, which the contract makes exact, so they are laid out
//! for the compiler to put into vector registers.

use std::borrow::Borrow;

use crate::model::{Model, ModelError, Op, Shape};
use crate::run::{RunError, Trace, apply, check_input};

/// A model that passed its check, ready to run as often as wanted; borrowed, or shared.
#[derive(Debug, Clone)]
pub struct Engine<M> {
    model: M,
    shapes: Vec<Shape>,
}

impl<M: Borrow<Model>> Engine<M> {
    /// Checks the model, which takes about as long as a run.
    ///
    /// # Errors
    /// [`ModelError`], as [`Model::check`].
    pub fn new(model: M) -> Result<Self, ModelError> {
        model.borrow().check()?;
        let shapes = model.borrow().shapes()?;
        Ok(Self { model, shapes })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.model.borrow()
    }

    /// Whether an input is of the model's shape and range.
    ///
    /// # Errors
    /// [`RunError::Length`], [`RunError::Range`].
    pub fn check(&self, input: &[i32]) -> Result<(), RunError> {
        check_input(self.model.borrow(), input)
    }

    /// The model's output. The same as [`crate::run`]'s, which a test holds it to.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn infer(&self, input: &[i32]) -> Result<Vec<i32>, RunError> {
        Ok(self.trace(input)?.values.pop().unwrap_or_default())
    }

    /// Every value of the model's run. The same as [`crate::run`]'s.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn trace(&self, input: &[i32]) -> Result<Trace, RunError> {
        self.check(input)?;
        let mut values = vec![input.to_vec()];
        for node in &self.model.borrow().nodes {
            let source = node.input as usize;
            let (Some(before), Some(shape)) = (values.get(source), self.shapes.get(source)) else { continue };
            values.push(apply_fast(&node.op, before, *shape));
        }
        Ok(Trace { values })
    }
}

/// The output of one run; who runs a model more often keeps an [`Engine`].
///
/// # Errors
/// [`RunError`], as [`crate::run`].
pub fn infer(model: &Model, input: &[i32]) -> Result<Vec<i32>, RunError> {
    Engine::new(model)?.infer(input)
}

/// One operation; the fast forms of those that sum, the interpreter's of all others.
pub(crate) fn apply_fast(op: &Op, input: &[i32], shape: Shape) -> Vec<i32> {
    match op {
        Op::Dense { weights, .. } => dense(weights, input),
        Op::Conv2d { outputs, kernel, padding, weights } => {
            convolve(input, shape, [*outputs as usize, *kernel as usize, *padding as usize], weights)
        }
        Op::SumPool { .. } | Op::Affine { .. } | Op::Requantise { .. } | Op::Flatten => apply(op, input, shape),
    }
}

/// Products of 16-bit numbers where the input is so narrow, which it is behind every table.
fn dense(weights: &[i16], input: &[i32]) -> Vec<i32> {
    let narrow: Option<Vec<i16>> = input.iter().map(|value| i16::try_from(*value).ok()).collect();
    let rows = weights.chunks(input.len().max(1));
    match narrow {
        Some(narrow) => rows.map(|row| dot_narrow(row, &narrow)).collect(),
        None => rows.map(|row| dot_wide(row, input)).collect(),
    }
}

fn dot_narrow(weights: &[i16], input: &[i16]) -> i32 {
    let mut lanes = [0_i32; 16];
    let (blocks, inputs) = (weights.chunks_exact(16), input.chunks_exact(16));
    let rest = blocks.remainder().iter().zip(inputs.remainder());
    let rest = rest.fold(0_i32, |sum, (w, x)| sum.wrapping_add(i32::from(*w).wrapping_mul(i32::from(*x))));
    for (weights, input) in blocks.zip(inputs) {
        for ((lane, w), x) in lanes.iter_mut().zip(weights).zip(input) {
            *lane = lane.wrapping_add(i32::from(*w).wrapping_mul(i32::from(*x)));
        }
    }
    lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
}

fn dot_wide(weights: &[i16], input: &[i32]) -> i32 {
    weights.iter().zip(input).fold(0, |sum, (w, x)| sum.wrapping_add(i32::from(*w).wrapping_mul(*x)))
}

/// Row by row: a weight times a stretch of an input row is added to a stretch of an output row.
fn convolve(input: &[i32], shape: Shape, sizes: [usize; 3], weights: &[i16]) -> Vec<i32> {
    let [outputs, kernel, padding] = sizes;
    let (height, width, channels) = (shape.height as usize, shape.width as usize, shape.channels as usize);
    let (out_height, out_width) = (height + 2 * padding + 1 - kernel, width + 2 * padding + 1 - kernel);
    let mut result = vec![0_i32; outputs * out_height * out_width];
    let planes = result.chunks_exact_mut(out_height * out_width);
    for (plane, weights) in planes.zip(weights.chunks_exact(channels * kernel * kernel)) {
        for (input, weights) in input.chunks_exact(height * width).zip(weights.chunks_exact(kernel * kernel)) {
            for (y, row) in plane.chunks_exact_mut(out_width).enumerate() {
                for (dy, weights) in weights.chunks_exact(kernel).enumerate() {
                    let Some(source) = (y + dy).checked_sub(padding).and_then(|y| input.chunks_exact(width).nth(y))
                    else {
                        continue;
                    };
                    add_row(row, source, weights, padding);
                }
            }
        }
    }
    result
}

fn add_row(row: &mut [i32], source: &[i32], weights: &[i16], padding: usize) {
    for (dx, weight) in weights.iter().enumerate() {
        let weight = i32::from(*weight);
        // Output x reads input x + dx − padding; both stretches begin where that is not negative.
        let (skip_row, skip_source) = (padding.saturating_sub(dx), dx.saturating_sub(padding));
        let pairs = row.iter_mut().skip(skip_row).zip(source.iter().skip(skip_source));
        for (sum, value) in pairs {
            *sum = sum.wrapping_add(weight.wrapping_mul(*value));
        }
    }
}

#[cfg(test)]
mod tests;
