//! Low-rank adapters: where their numbers stand among a state's, and what they add to a product.

use super::parts::{add_scaled, dot};
use crate::TensorShape;
use inferium_engine::DecoderShape;
use std::ops::Range;

/// Where the adapters' numbers are: for each adapted block, from the lowest up, query A `[rank, width]` and B `[queries, rank]`, value A
/// and B.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdapterPlaces {
    width: usize,
    query_width: usize,
    value_width: usize,
    rank: usize,
    /// `alpha / rank`.
    scale: f32,
    layers: usize,
    first: usize,
}

/// The adapters of one block.
#[derive(Debug)]
pub(super) struct Adapter<'a> {
    pub(super) query: LowRank<'a>,
    pub(super) value: LowRank<'a>,
}

/// An adapter of one product: `y = y + scale · (B · (A · x))`.
#[derive(Debug)]
pub(super) struct LowRank<'a> {
    /// `[rank, inputs]`.
    down: &'a [f32],
    /// `[outputs, rank]`.
    up: &'a [f32],
    /// Where both stand.
    down_place: Range<usize>,
    up_place: Range<usize>,
    inputs: usize,
    outputs: usize,
    scale: f32,
}

impl AdapterPlaces {
    pub(super) fn new(shape: &DecoderShape, rank: usize, scale: f32, layers: usize) -> Self {
        Self {
            width: shape.width,
            query_width: shape.heads * shape.head_size,
            value_width: shape.kv_heads * shape.head_size,
            rank,
            scale,
            layers,
            first: shape.layers.saturating_sub(layers),
        }
    }

    /// The tensors, named as the libraries that load adapters do.
    pub(super) fn shapes(&self) -> Vec<TensorShape> {
        let size = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (width, rank) = (size(self.width), size(self.rank));
        let tensors = |layer: usize| {
            let parts = [("q_proj", size(self.query_width)), ("v_proj", size(self.value_width))];
            parts.into_iter().flat_map(move |(part, outputs)| {
                let name = |half: &str| format!("model.layers.{layer}.self_attn.{part}.lora_{half}.weight");
                [TensorShape::new(name("A"), &[rank, width]), TensorShape::new(name("B"), &[outputs, rank])]
            })
        };
        (self.first..self.first + self.layers).flat_map(tensors).collect()
    }

    fn size(&self) -> usize {
        self.rank * (2 * self.width + self.query_width + self.value_width)
    }

    /// The adapters of block `layer`, if it has some.
    pub(super) fn adapter<'a>(&self, parameters: &'a [f32], layer: usize, first: usize) -> Option<Adapter<'a>> {
        let start = layer.checked_sub(first)?.checked_mul(self.size())?;
        let (down, query_up) = (self.rank * self.width, self.rank * self.query_width);
        let query = self.low_rank(parameters, start, self.query_width)?;
        let value = self.low_rank(parameters, start + down + query_up, self.value_width)?;
        Some(Adapter { query, value })
    }

    fn low_rank<'a>(&self, parameters: &'a [f32], start: usize, outputs: usize) -> Option<LowRank<'a>> {
        let middle = start + self.rank * self.width;
        let (down_place, up_place) = (start..middle, middle..middle + self.rank * outputs);
        Some(LowRank {
            down: parameters.get(down_place.clone())?,
            up: parameters.get(up_place.clone())?,
            down_place,
            up_place,
            inputs: self.width,
            outputs,
            scale: self.scale,
        })
    }
}

impl LowRank<'_> {
    fn rank(&self) -> usize {
        self.down.len() / self.inputs
    }

    /// Adds the adapter's part to the rows `out`; returns `A · x` of each row.
    pub(super) fn forward(&self, x: &[f32], out: &mut [f32]) -> Vec<f32> {
        let rank = self.rank();
        let mut low = Vec::with_capacity(x.len() / self.inputs * rank);
        for (x, out) in x.chunks_exact(self.inputs).zip(out.chunks_exact_mut(self.outputs)) {
            let first = low.len();
            low.extend(self.down.chunks_exact(self.inputs).map(|row| dot(row, x)));
            let low = low.get(first..).unwrap_or_default();
            for (out, row) in out.iter_mut().zip(self.up.chunks_exact(rank)) {
                *out += self.scale * dot(row, low);
            }
        }
        low
    }

    /// From the slopes of the outputs: adds to those of the inputs, and to the adapter's own among all gradients.
    pub(super) fn backward(&self, x: &[f32], low: &[f32], slopes: &[f32], inputs: &mut [f32], gradient: &mut [f32]) {
        let rank = self.rank();
        let rows = x.chunks_exact(self.inputs).zip(low.chunks_exact(rank)).zip(slopes.chunks_exact(self.outputs));
        for (((x, low), slopes), inputs) in rows.zip(inputs.chunks_exact_mut(self.inputs)) {
            let mut low_slopes = vec![0.0_f32; rank];
            let up_gradient = gradient.get_mut(self.up_place.clone()).unwrap_or_default();
            let ups = self.up.chunks_exact(rank).zip(up_gradient.chunks_exact_mut(rank));
            for ((up, up_gradient), slope) in ups.zip(slopes) {
                let slope = self.scale * slope;
                add_scaled(&mut low_slopes, slope, up);
                add_scaled(up_gradient, slope, low);
            }
            let down_gradient = gradient.get_mut(self.down_place.clone()).unwrap_or_default();
            let downs = self.down.chunks_exact(self.inputs).zip(down_gradient.chunks_exact_mut(self.inputs));
            for ((down, down_gradient), slope) in downs.zip(&low_slopes) {
                add_scaled(inputs, *slope, down);
                add_scaled(down_gradient, *slope, x);
            }
        }
    }
}
