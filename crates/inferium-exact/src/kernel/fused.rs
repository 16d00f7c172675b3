//! A model as a chain of stages: sums, their affine step and their table at once, in 16-bit values with channels innermost. For those
//! who want the output alone: nothing between is written in the contract's order.

use std::sync::Arc;

use super::plain;
use super::product::{After, Layout, Product, is_narrow};
use super::tier::Tier;
use crate::interval::Interval;
use crate::model::{Model, Node, Op, Shape};

/// Elements of one value that inputs are run together for: what stays in a core's cache.
const TOGETHER: u64 = 1 << 15;

#[derive(Debug, Clone)]
enum Stage {
    /// Sums, affine step, table.
    Values(Arc<Product>, After),
    /// Sums over blocks of so many rows and columns.
    Pool(usize, Shape),
    /// Sums, and the affine step on them: the output.
    Sums(Arc<Product>, Option<Op>, Shape),
}

/// The whole of a model.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    stages: Vec<Stage>,
    /// How many inputs are run together.
    together: usize,
}

impl Chain {
    /// Of a model whose every operation reads the one before and which ends in sums; nothing of any other. `products` are those of the
    /// model's nodes.
    pub(crate) fn new(
        model: &Model,
        shapes: &[Shape],
        reach: &[Interval],
        products: &[Option<Arc<Product>>],
        tier: Tier,
    ) -> Option<Self> {
        if model.nodes.iter().enumerate().any(|(index, node)| node.input as usize != index) {
            return None;
        }
        let widest = shapes.iter().map(|shape| shape.elements()).max()?;
        let together = usize::try_from(TOGETHER / widest.max(1)).ok()?.max(1);
        let (mut stages, mut layout, mut flattened) = (Vec::new(), Layout::Planes, None);
        let mut rest = model.nodes.as_slice();
        loop {
            let at = model.nodes.len() - rest.len();
            let (shape, values) = (*shapes.get(at)?, *reach.get(at)?);
            let mut product = |op: &Op| match flattened.take() {
                // Only a dense layer can read what was flattened where it stands.
                Some(_) if !matches!(op, Op::Dense { .. }) => None,
                Some(before) => Product::new(op, shape, values, tier, Some(before)).map(Arc::new),
                None => products.get(at).cloned().flatten(),
            };
            rest = match rest {
                [Node { op: Op::Flatten, .. }, rest @ ..] => {
                    // In the contract's order, and of a vector, nothing moves.
                    flattened = flattened.or((layout == Layout::Interleaved && shape.area() > 1).then_some(shape));
                    rest
                }
                [Node { op: Op::SumPool { size }, .. }, rest @ ..]
                    if layout == Layout::Interleaved && is_narrow(*reach.get(at + 1)?) =>
                {
                    stages.push(Stage::Pool(*size as usize, shape));
                    rest
                }
                [
                    Node { op, .. },
                    Node { op: Op::Affine { mantissas, biases }, .. },
                    Node { op: Op::Requantise { shift, table }, .. },
                    rest @ ..,
                ] => {
                    stages.push(Stage::Values(product(op)?, After::new(mantissas, biases, *shift, table)));
                    layout = Layout::Interleaved;
                    rest
                }
                [Node { op, .. }] | [Node { op, .. }, Node { op: Op::Affine { .. }, .. }] => {
                    let affine = rest.get(1).map(|node| node.op.clone());
                    stages.push(Stage::Sums(product(op)?, affine, *shapes.get(at + 1)?));
                    return Some(Self { stages, together });
                }
                _ => return None,
            };
        }
    }

    /// Outputs of checked inputs.
    pub(crate) fn run<I: AsRef<[i32]>>(&self, inputs: &[I]) -> Vec<Vec<i32>> {
        let mut outputs = Vec::with_capacity(inputs.len());
        for inputs in inputs.chunks(self.together) {
            let results = self.run_together(&narrowed(inputs));
            let size = results.len() / inputs.len();
            outputs.extend(results.chunks(size.max(1)).map(<[i32]>::to_vec));
        }
        outputs
    }

    fn run_together(&self, inputs: &[i16]) -> Vec<i32> {
        let (mut values, mut layout): (Option<Vec<i16>>, _) = (None, Layout::Planes);
        for stage in &self.stages {
            let before = values.as_deref().unwrap_or(inputs);
            values = Some(match stage {
                Stage::Values(product, after) => product.values(before, layout, after),
                Stage::Pool(size, shape) => pool(before, *size, *shape),
                Stage::Sums(product, affine, shape) => {
                    let sums = product.sums(before, layout);
                    return match affine {
                        Some(affine) => plain::step(affine, &sums, *shape, None),
                        None => sums,
                    };
                }
            });
            layout = Layout::Interleaved;
        }
        Vec::new()
    }
}

/// Inputs one behind the other; a checked one's range is of 16 bits.
fn narrowed<I: AsRef<[i32]>>(inputs: &[I]) -> Vec<i16> {
    let mut values = Vec::with_capacity(inputs.iter().map(|input| input.as_ref().len()).sum());
    for input in inputs {
        #[expect(clippy::cast_possible_truncation, reason = "checked against the model's range")]
        values.extend(input.as_ref().iter().map(|value| *value as i16));
    }
    values
}

/// Sums over blocks of interleaved values; the gate's interval says that they fit.
fn pool(values: &[i16], size: usize, shape: Shape) -> Vec<i16> {
    let (height, width, channels) = (shape.height as usize, shape.width as usize, shape.channels as usize);
    let (out_height, out_width) = (height / size, width / size);
    let line = width * channels;
    let items = values.len() / (height * line).max(1);
    let mut result = vec![0_i16; items * out_height * out_width * channels];
    let mut sums = vec![0_i16; line];
    for (item, result) in
        values.chunks_exact(height * line).zip(result.chunks_exact_mut(out_height * out_width * channels))
    {
        for (lines, row) in item.chunks_exact(size * line).zip(result.chunks_exact_mut(out_width * channels)) {
            sums.fill(0);
            for line in lines.chunks_exact(line) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum = sum.wrapping_add(*value);
                }
            }
            for (block, places) in sums.chunks_exact(size * channels).zip(row.chunks_exact_mut(channels)) {
                for pixel in block.chunks_exact(channels) {
                    for (place, sum) in places.iter_mut().zip(pixel) {
                        *place = place.wrapping_add(*sum);
                    }
                }
            }
        }
    }
    result
}
