//! The fast path: sums in whatever instructions the machine has, in any order, which the contract makes exact.
//!
//! `micro` is the loop and why all its forms agree, `x86` those of x86-64, `product` what is packed for them.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::interval::{Interval, intervals};
use crate::model::{Model, ModelError, Op, Shape};
use crate::run::{RunError, Trace, apply, check_input};
use fused::Chain;
use product::{Layout, Product};

mod fused;
mod micro;
mod plain;
mod product;
mod tier;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use tier::{Tier, TierError};

/// A model that passed its check, ready to run as often as wanted; borrowed, or shared. It holds the weights a second time, laid out
/// for the machine's instructions: one or two bytes each.
#[derive(Debug, Clone)]
pub struct Engine<M> {
    model: M,
    shapes: Vec<Shape>,
    /// Of each node that sums.
    products: Vec<Option<Arc<Product>>>,
    /// The whole, where it is such a chain.
    chain: Option<Chain>,
    tier: Tier,
}

impl<M: Borrow<Model>> Engine<M> {
    /// Checks the model, which takes about as long as a run, and lays out its weights for the fastest instructions of this machine.
    ///
    /// # Errors
    /// [`ModelError`], as [`Model::check`].
    pub fn new(model: M) -> Result<Self, ModelError> {
        Self::of(model, Tier::detect())
    }

    /// The same for instructions of the caller's choice: answers are equal, so this is for tests and measurements.
    ///
    /// # Errors
    /// [`TierError::Unsupported`] when this machine lacks them; [`TierError::Model`], as [`Model::check`].
    pub fn with_tier(model: M, tier: Tier) -> Result<Self, TierError> {
        if !tier.is_supported() {
            return Err(TierError::Unsupported(tier));
        }
        Ok(Self::of(model, tier)?)
    }

    fn of(model: M, tier: Tier) -> Result<Self, ModelError> {
        let graph = model.borrow();
        let (reach, shapes) = (intervals(graph)?, graph.shapes()?);
        let none = Interval { min: i64::MIN, max: i64::MAX };
        let products = graph.nodes.iter().map(|node| {
            let source = node.input as usize;
            let values = reach.get(source).copied().unwrap_or(none);
            shapes.get(source).and_then(|shape| Product::new(&node.op, *shape, values, tier, None)).map(Arc::new)
        });
        let products: Vec<_> = products.collect();
        let chain = Chain::new(graph, &shapes, &reach, &products, tier);
        Ok(Self { model, shapes, products, chain, tier })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.model.borrow()
    }

    /// Which instructions it runs in.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The instruction that sums products in each node that has some, in order: `portable`, `vpmaddwd`, `vpdpwssd` or `vpdpbusd`;
    /// `wide` where values need more than 16 bits.
    pub fn instructions(&self) -> Vec<&'static str> {
        let nodes = self.model.borrow().nodes.iter().zip(&self.products);
        let of = |(node, product): (&crate::model::Node, &Option<Arc<Product>>)| match (&node.op, product) {
            (_, Some(product)) => Some(product.instruction()),
            (Op::Dense { .. } | Op::Conv2d { .. }, None) => Some("wide"),
            _ => None,
        };
        nodes.filter_map(of).collect()
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
        Ok(self.infer_batch(&[input])?.pop().unwrap_or_default())
    }

    /// The outputs of several inputs, in their order. Each is what [`Engine::infer`] gives of it alone: inputs can be split among calls and threads in
    /// any way. Weights are read once for many, so it is faster.
    ///
    /// # Errors
    /// [`RunError`] at the first input that is not of the model's shape and range.
    pub fn infer_batch<I: AsRef<[i32]>>(&self, inputs: &[I]) -> Result<Vec<Vec<i32>>, RunError> {
        let graph = self.model.borrow();
        let (min, max) = (i32::from(graph.input_min), i32::from(graph.input_max));
        for input in inputs.iter().map(AsRef::as_ref) {
            // Without a way out, so that it is a loop over vectors; what is wrong is then found as everywhere.
            let is_beyond = input.iter().fold(false, |beyond, value| beyond | (*value < min) | (*value > max));
            if is_beyond || input.len() as u64 != graph.input.elements() {
                self.check(input)?;
            }
        }
        if let Some(chain) = &self.chain {
            return Ok(chain.run(inputs));
        }
        Ok(inputs.iter().map(|input| self.run(input.as_ref()).values.pop().unwrap_or_default()).collect())
    }

    /// Every value of the model's run. The same as [`crate::run`]'s.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn trace(&self, input: &[i32]) -> Result<Trace, RunError> {
        self.check(input)?;
        Ok(self.run(input))
    }

    /// Of a checked input.
    fn run(&self, input: &[i32]) -> Trace {
        let mut values = vec![input.to_vec()];
        for (node, product) in self.model.borrow().nodes.iter().zip(&self.products) {
            let source = node.input as usize;
            let (Some(before), Some(shape)) = (values.get(source), self.shapes.get(source)) else { continue };
            values.push(match product {
                Some(product) => product.sums(before, Layout::Planes),
                None => plain::step(&node.op, before, *shape),
            });
        }
        Trace { values }
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
