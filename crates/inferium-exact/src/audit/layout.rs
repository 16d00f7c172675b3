//! Where each value of a run stands in the stream, and in how many tiles it is computed.

use crate::model::Shape;
use crate::sizes::{Sizes, Step};

use super::{SUMS_MAX, TILE, is_by_position};

/// Where each value of a run stands in the stream, and how it is computed, for one model and one length of its input.
#[derive(Debug, Clone)]
pub struct Layout {
    steps: Vec<Step>,
    /// Of the input and of every node's result.
    tensors: Vec<Tensor>,
    values: u64,
}

#[derive(Debug, Clone, Copy)]
struct Tensor {
    /// Position of its first value in the stream.
    start: u64,
    shape: Shape,
}

/// A node with the shapes of what it reads and of what it gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) node: u32,
    pub(super) step: Step,
    pub(super) input: Shape,
    /// Of the second tensor; where there is none, of the first.
    pub(super) second: Shape,
    pub(super) result: Shape,
}

impl Reading {
    /// Operands of a sum; none of an operation that is no sum.
    pub(super) fn operands(&self) -> Option<u64> {
        let channels = u64::from(self.input.channels);
        Some(match self.step.sizes {
            Sizes::Dense { .. } => self.input.elements(),
            Sizes::Conv2d { kernel, .. } => channels.saturating_mul(u64::from(kernel).pow(2)),
            Sizes::SumPool { size } => u64::from(size).pow(2),
            Sizes::Scores { heads, .. } => channels / u64::from(heads.max(1)),
            Sizes::Mix { .. } => self.input.width.into(),
            Sizes::SumPositions => self.input.area(),
            Sizes::Affine { .. } | Sizes::Requantise { .. } | Sizes::Flatten | Sizes::Embedding { .. } => return None,
            Sizes::Softmax { .. } | Sizes::Add { .. } | Sizes::Normalise { .. } | Sizes::Scale { .. } => return None,
        })
    }

    fn tiles(&self) -> u64 {
        self.operands().map_or(1, |operands| operands.div_ceil(TILE as u64).max(1))
    }
}

impl Layout {
    /// Of shapes that fit the steps. None when one value has too many tiles.
    pub(super) fn new(steps: Vec<Step>, shapes: &[Shape]) -> Option<Self> {
        let mut values = 0_u64;
        let mut tensors = Vec::with_capacity(shapes.len());
        for shape in shapes {
            tensors.push(Tensor { start: values, shape: *shape });
            values = values.checked_add(shape.elements())?;
        }
        let layout = Self { steps, tensors, values };
        let is_short = |tensor: u32| layout.reading(tensor).is_some_and(|reading| reading.tiles() <= SUMS_MAX as u64);
        (1..layout.tensors()).all(is_short).then_some(layout)
    }

    /// Length of the stream.
    #[must_use]
    pub const fn values(&self) -> u64 {
        self.values
    }

    /// How many tensors there are: the input, and each node's result.
    #[must_use]
    pub fn tensors(&self) -> u32 {
        u32::try_from(self.tensors.len()).unwrap_or(u32::MAX)
    }

    /// How many elements a tensor has: 0 is the input, `n` the result of node `n − 1`.
    #[must_use]
    pub fn elements(&self, tensor: u32) -> Option<u64> {
        self.tensors.get(tensor as usize).map(|tensor| tensor.shape.elements())
    }

    /// Which tensor's value stands at this position of the stream, and its index there in the contract's order.
    #[must_use]
    pub fn place(&self, at: u64) -> Option<(u32, u64)> {
        if at >= self.values {
            return None;
        }
        let index = self.tensors.partition_point(|tensor| tensor.start <= at).checked_sub(1)?;
        let Tensor { start, shape } = self.tensors.get(index)?;
        let (inside, channels) = (at.checked_sub(*start)?, u64::from(shape.channels.max(1)));
        let inside = match is_by_position(*shape) {
            true => inside % channels * u64::from(shape.width) + inside / channels,
            false => inside,
        };
        Some((u32::try_from(index).ok()?, inside))
    }

    /// The position in the stream of a tensor's value, by its index in the contract's order.
    #[must_use]
    pub fn at(&self, tensor: u32, index: u64) -> Option<u64> {
        let Tensor { start, shape } = self.tensors.get(tensor as usize)?;
        if index >= shape.elements() {
            return None;
        }
        let width = u64::from(shape.width.max(1));
        let inside = match is_by_position(*shape) {
            true => index % width * u64::from(shape.channels) + index / width,
            false => index,
        };
        start.checked_add(inside)
    }

    /// Tiles of the value at this position of the stream, at most [`SUMS_MAX`]: 1 for operations that are no sums.
    /// None for the input and beyond the end.
    #[must_use]
    pub fn tiles(&self, at: u64) -> Option<u32> {
        let (tensor, _) = self.place(at)?;
        u32::try_from(self.reading(tensor)?.tiles()).ok()
    }

    /// The node whose result this tensor is; none of the input.
    pub(super) fn reading(&self, tensor: u32) -> Option<Reading> {
        let node = tensor.checked_sub(1)?;
        let step = *self.steps.get(node as usize)?;
        let shape = |tensor: u32| self.tensors.get(tensor as usize).map(|tensor| tensor.shape);
        let second = shape(step.sizes.second().unwrap_or(step.input))?;
        Some(Reading { node, step, input: shape(step.input)?, second, result: shape(tensor)? })
    }
}
