//! The fast path: sums in whatever instructions the machine has, in any order, which the contract makes exact.
//!
//! `micro` is the loop and why all its forms agree, `x86` those of x86-64, `product` what is packed for them.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::interval::{Interval, intervals};
use crate::model::{Model, ModelError, Op, Shape};
use crate::run::{RunError, Trace, check_input};
use crate::sequence;
use fused::Chain;
use product::{Layout, Product};

mod fused;
mod micro;
pub(crate) mod plain;
pub(crate) mod product;
mod tier;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use tier::{Tier, TierError};

/// A model that passed its check, ready to run as often as wanted; borrowed, or shared. It holds the weights a second time, laid out
/// for the machine's instructions: one or two bytes each, and of few outputs up to four times as many.
#[derive(Debug, Clone)]
pub struct Engine<M> {
    model: M,
    shapes: Vec<Shape>,
    /// Of each node.
    sums: Vec<Sums>,
    is_sequence: bool,
    last_reads: Vec<usize>,
    /// The whole, where it is such a chain.
    chain: Option<Chain>,
    tier: Tier,
}

impl<M: Borrow<Model>> Engine<M> {
    /// Checks the model and lays out its weights for the fastest instructions of this machine: once, for some dozens of runs' time.
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
        let is_sequence = graph.is_sequence();
        let shortest = if is_sequence { graph.shapes_at(1)? } else { shapes.clone() };
        let none = Interval { min: i64::MIN, max: i64::MAX };
        let sums = graph.nodes.iter().map(|node| {
            let source = node.input as usize;
            let values = reach.get(source).copied().unwrap_or(none);
            let (Some(shape), Some(short)) = (shapes.get(source), shortest.get(source)) else { return Sums::None };
            if outputs(&node.op) < OUTPUTS_LEAST {
                return Sums::None;
            }
            let product = |shape| Product::new(&node.op, shape, values, tier, None).map(Arc::new);
            match &node.op {
                // What is as long as the sequence is laid out for one position, which is all that this operation looks at.
                Op::Conv2d { kernel: 1, padding: 0, .. } if short != shape && shape.height == 1 => {
                    product(Shape::vector(shape.channels)).map_or(Sums::None, Sums::Positions)
                }
                _ if short != shape => Sums::None,
                _ => product(*shape).map_or(Sums::None, Sums::Whole),
            }
        });
        let sums: Vec<_> = sums.collect();
        let products: Vec<_> = sums.iter().map(|sums| sums.product().cloned()).collect();
        let chain = if is_sequence { None } else { Chain::new(graph, &shapes, &reach, &products, tier) };
        let last_reads = last_reads(graph);
        Ok(Self { model, shapes, sums, is_sequence, last_reads, chain, tier })
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
        let nodes = self.model.borrow().nodes.iter().zip(self.sums.iter().map(Sums::product));
        let of = |(node, product): (&crate::model::Node, Option<&Arc<Product>>)| match (&node.op, product) {
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
        inputs.iter().map(|input| self.visit_checked(input.as_ref(), |_| ())).collect()
    }

    /// Shows every value of the model's run to `each`: the input, then each node's result as soon as it is there; and gives the output. Only what later
    /// nodes read is kept meanwhile, where [`Engine::trace`] keeps everything.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn visit(&self, input: &[i32], each: impl FnMut(&[i32])) -> Result<Vec<i32>, RunError> {
        self.check(input)?;
        self.visit_checked(input, each)
    }

    fn visit_checked(&self, input: &[i32], mut each: impl FnMut(&[i32])) -> Result<Vec<i32>, RunError> {
        each(input);
        let mut values = self.run(input, |values, index| {
            each(values.get(index + 1).map_or(&[], Vec::as_slice));
            for (value, last) in values.iter_mut().zip(&self.last_reads) {
                if *last == index {
                    *value = Vec::new();
                }
            }
        })?;
        Ok(values.pop().unwrap_or_default())
    }

    /// Every value of the model's run. The same as [`crate::run`]'s.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn trace(&self, input: &[i32]) -> Result<Trace, RunError> {
        self.check(input)?;
        Ok(Trace { values: self.run(input, |_, _| {})? })
    }

    /// All values of a checked input; `after` is called with them and a node's index when that node has run.
    fn run(&self, input: &[i32], mut after: impl FnMut(&mut [Vec<i32>], usize)) -> Result<Vec<Vec<i32>>, RunError> {
        let model = self.model.borrow();
        let narrowed;
        let shapes = match u32::try_from(input.len()) {
            Ok(length) if self.is_sequence => {
                narrowed = model.shapes_at(length)?;
                &narrowed
            }
            _ => &self.shapes,
        };
        let mut values = vec![input.to_vec()];
        for (index, (node, sums)) in model.nodes.iter().zip(&self.sums).enumerate() {
            let read = |index: u32| Some((values.get(index as usize)?.as_slice(), *shapes.get(index as usize)?));
            let Some((before, shape)) = read(node.input) else { continue };
            let result = match sums {
                Sums::Whole(product) => product.sums(before, Layout::Planes),
                Sums::Positions(product) => sequence::at_positions(product, before, shape),
                Sums::None => plain::step(&node.op, before, shape, node.op.second().and_then(read)),
            };
            values.push(result);
            after(&mut values, index);
        }
        Ok(values)
    }
}

/// Outputs of an operation that is laid out, at least: of fewer the padding would be most of it, four times what the file has.
const OUTPUTS_LEAST: u32 = 4;

const fn outputs(op: &Op) -> u32 {
    match op {
        Op::Dense { outputs, .. } | Op::Conv2d { outputs, .. } => *outputs,
        _ => u32::MAX,
    }
}

/// Of a node that sums products, what is laid out for it.
#[derive(Debug, Clone)]
enum Sums {
    /// Nothing: it does not, or its values need more than 16 bits.
    None,
    /// For its whole input.
    Whole(Arc<Product>),
    /// For each position of a sequence.
    Positions(Arc<Product>),
}

impl Sums {
    const fn product(&self) -> Option<&Arc<Product>> {
        match self {
            Self::None => None,
            Self::Whole(product) | Self::Positions(product) => Some(product),
        }
    }
}

/// Of the input and each node's result, the node that reads it last; none that is read by nothing.
fn last_reads(model: &Model) -> Vec<usize> {
    let mut last = vec![usize::MAX; model.nodes.len() + 1];
    for (index, node) in model.nodes.iter().enumerate() {
        for read in [Some(node.input), node.op.second()].into_iter().flatten() {
            if let Some(place) = last.get_mut(read as usize) {
                *place = index;
            }
        }
    }
    last
}

/// The output of one run; who runs a model more often keeps an [`Engine`], whose making takes much longer.
///
/// # Errors
/// [`RunError`], as [`crate::run`].
pub fn infer(model: &Model, input: &[i32]) -> Result<Vec<i32>, RunError> {
    Engine::new(model)?.infer(input)
}

/// An operation on several inputs of one shape, each of which becomes its result.
pub(crate) fn apply_all(op: &Op, shape: Shape, inputs: &mut [Vec<i32>]) {
    let values = inputs.iter().flatten().fold(Interval { min: 0, max: 0 }, |reach, value| Interval {
        min: reach.min.min(i64::from(*value)),
        max: reach.max.max(i64::from(*value)),
    });
    let product = Product::new(op, shape, values, Tier::detect(), None);
    for input in inputs {
        *input = match &product {
            Some(product) => product.sums(input, Layout::Planes),
            None => plain::step(op, input, shape, None),
        };
    }
}

#[cfg(test)]
mod tests;
