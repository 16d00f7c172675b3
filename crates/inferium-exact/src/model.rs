//! The graph of a model, and the gate that every model passes before it runs or is proved.

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::interval::intervals;
use crate::sizes::{Graph, SOFTMAX, Sizes};

/// Version of the integer contract (`docs/exact.md`); part of every encoding and of every model id.
pub const CONTRACT_VERSION: u16 = 1;
/// No accumulator of an accepted model leaves ±this: ⌊2^29.9⌋, below half of the proof field's prime.
pub const ACCUMULATOR_MAX: i64 = 1_001_836_546;
/// Largest shift of a requantisation, in bits.
pub const SHIFT_MAX: u8 = 16;
/// Largest table of a requantisation: 2 to this many entries.
pub const TABLE_BITS_MAX: u8 = 16;
/// Most operations of a model.
pub const NODES_MAX: usize = 1024;
/// Most elements of one tensor of weights.
pub const ELEMENTS_MAX: u64 = 1 << 27;
/// Most elements of the input and all results together, and most channels of them: what the gate keeps an interval of,
/// however small the file.
pub const VALUES_MAX: u64 = 1 << 22;
/// Most elements of all tensors together of a model of sequences at its full length; each alone has [`VALUES_MAX`] at most.
/// Its channels are bounded as before, and with them the gate's memory; a trace that keeps everything takes four bytes for each of these, and an [`crate::Engine`] much less.
pub const SEQUENCE_VALUES_MAX: u64 = 1 << 27;

/// Channels, height and width of a tensor, stored in this order, width fastest. A vector has height and width 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Shape {
    /// Channels; the length of a vector.
    pub channels: u32,
    /// Rows of each channel.
    pub height: u32,
    /// Columns of each channel.
    pub width: u32,
}

impl Shape {
    /// A vector of this many elements.
    #[must_use]
    pub const fn vector(length: u32) -> Self {
        Self { channels: length, height: 1, width: 1 }
    }

    /// Number of elements.
    #[must_use]
    pub const fn elements(self) -> u64 {
        (self.channels as u64).saturating_mul(self.height as u64).saturating_mul(self.width as u64)
    }

    /// Elements of one channel.
    #[must_use]
    pub const fn area(self) -> u64 {
        (self.height as u64).saturating_mul(self.width as u64)
    }
}

/// Values by index: `values[i]` is the entry of `first + i`. Its length is a power of two.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Table {
    /// Index of the first entry.
    pub first: i32,
    /// Entries: clamp, activation and output scale in one look-up.
    pub values: Vec<i16>,
}

impl Table {
    /// The logarithm of its length, if that is a power of two up to the largest one.
    #[must_use]
    pub fn bits(&self) -> Option<u8> {
        let bits = u8::try_from(self.values.len().checked_ilog2()?).ok()?;
        (self.values.len().is_power_of_two() && bits <= TABLE_BITS_MAX).then_some(bits)
    }
}

/// One operation. Which integers it makes of which is `docs/exact.md`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Op {
    /// `acc[o] = Σ_i weights[o · inputs + i] · x[i]` over a vector.
    Dense {
        /// Length of the result.
        outputs: u32,
        /// Row by row, one row for each output.
        weights: Vec<i16>,
    },
    /// Sums of products over square windows, zeros beyond the edges: `weights[o][c][dy][dx]`.
    Conv2d {
        /// Channels of the result.
        outputs: u32,
        /// Side of the window.
        kernel: u32,
        /// Zeros around the input.
        padding: u32,
        /// By output channel, input channel, row, column.
        weights: Vec<i16>,
    },
    /// Sum over each `size`×`size` block; what is left over at the edges is dropped.
    SumPool {
        /// Side of a block.
        size: u32,
    },
    /// `z = mantissa[c] · acc + bias[c]`, by channel.
    Affine {
        /// One for each channel, or none at all: then all are 1.
        mantissas: Vec<u8>,
        /// One for each channel.
        biases: Vec<i32>,
    },
    /// `hi = ⌊(z + 2^(shift−1)) / 2^shift⌋`, `y = table[hi]`.
    Requantise {
        /// Bits that are dropped; at least 1.
        shift: u8,
        /// What each `hi` becomes.
        table: Table,
    },
    /// The same elements as a vector.
    Flatten,
    /// `acc[c, t] = tokens[x[t]][c] + positions[t][c]` of a sequence of tokens. A model with this operation takes
    /// sequences of any length up to its input's width.
    Embedding {
        /// Channels of the result.
        outputs: u32,
        /// Row by row, one row for each token that the input's range allows.
        tokens: Vec<i16>,
        /// Row by row, one row for each position of the longest sequence.
        positions: Vec<i16>,
    },
    /// `acc[h, i, j] = Σ_d x[h · size + d, i] · keys[h · size + d, j]`, where `size` is channels by heads.
    Scores {
        /// Channels of the result.
        heads: u32,
        /// The second tensor: 0 is the model's input, `n` the result of node `n − 1`.
        keys: u32,
    },
    /// Shares of 2^`bits` by exponentials of what a value lies below its row's largest.
    Softmax {
        /// Bits that are dropped of the differences; at least 1.
        shift: u8,
        /// A row's shares add up to at most 2 to this many, and a little less.
        bits: u8,
        /// By difference, the last for all larger ones too; the first is the largest, none negative.
        exponentials: Vec<i16>,
    },
    /// `acc[h · size + d, i] = Σ_j x[h, i, j] · values[h · size + d, j]`, where x are shares.
    Mix {
        /// The second tensor, as in [`Op::Scores`].
        values: u32,
    },
    /// The sum of two tensors of one shape.
    Add {
        /// The second tensor, as in [`Op::Scores`].
        other: u32,
    },
    /// `y = ⌊(c · s + 2^(shift−1)) / 2^shift⌋` at each position over its channels: `c = x − ⌊Σ x / n⌋`,
    /// `s = ⌊2^29 / √(Σ c² + epsilon)⌋`.
    Normalise {
        /// Whether the mean is taken off; if not, `c = x`.
        is_centred: bool,
        /// Added to the sum of squares; at least 1.
        epsilon: u32,
        /// Bits that are dropped; at least 1.
        shift: u8,
    },
    /// `z = gain[c] · acc + bias[c]`, by channel: an affine step whose factors have signs and 16 bits.
    Scale {
        /// One for each channel.
        gains: Vec<i16>,
        /// One for each channel.
        biases: Vec<i32>,
    },
    /// The sum over all positions of each channel, as a vector.
    SumPositions,
}

/// An operation and what it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// 0 is the model's input, `n` the result of node `n − 1`; only earlier ones.
    pub input: u32,
}

/// A model: integers in, integers out.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Model {
    /// For people; up to 64 bytes.
    pub name: String,
    /// Shape of the input.
    pub input: Shape,
    /// Smallest value of an input element.
    pub input_min: i16,
    /// Largest value of an input element.
    pub input_max: i16,
    /// Operations in order; the last one's result is the output.
    pub nodes: Vec<Node>,
}

/// Why something is not a model of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A size is zero or above its bound.
    #[error("{0} is out of bounds")]
    Size(&'static str),
    /// The operation does not fit the shape that it is applied to.
    #[error("node {node}: {what}")]
    Shape {
        /// Which node.
        node: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// A sum could leave the range in which integers and field elements are the same.
    #[error(
        "node {node}: a value could reach {reach}, beyond the bound of accumulators; use narrower weights or split the sum"
    )]
    Overflow {
        /// Which node.
        node: usize,
        /// How far it could get.
        reach: i64,
    },
    /// A table does not cover every index that its operation can produce.
    #[error("node {node}: the table covers {first}..={last}, and indices can be {low}..={high}")]
    Table {
        /// Which node.
        node: usize,
        /// The table's first index.
        first: i64,
        /// The table's last index.
        last: i64,
        /// Smallest possible index.
        low: i64,
        /// Largest possible index.
        high: i64,
    },
}

impl Model {
    /// Whether it takes sequences of any length up to its input's width: it has an [`Op::Embedding`]. Every other model
    /// takes inputs of exactly its shape.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.op, Op::Embedding { .. }))
    }

    /// Shapes of the input and of every node's result, in order; of a model of sequences those at its full length.
    ///
    /// # Errors
    /// [`ModelError`] at the first node that does not fit, or a size out of bounds.
    pub fn shapes(&self) -> Result<Vec<Shape>, ModelError> {
        self.shapes_at(self.input.width)
    }

    /// Shapes when the input has this width, which only models of sequences may have smaller than they say.
    ///
    /// # Errors
    /// [`ModelError`], as [`Model::shapes`], and for a width that the model does not take.
    pub fn shapes_at(&self, width: u32) -> Result<Vec<Shape>, ModelError> {
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            return Err(ModelError::Size("number of nodes"));
        }
        if self.name.len() > 64 {
            return Err(ModelError::Size("name or input range"));
        }
        let own = |index: usize| self.nodes.get(index).map_or(Ok(()), |node| node.op.check_numbers());
        Graph::of(self).shapes_at(width, own)
    }

    /// The gate: shapes agree, sizes are bounded, no accumulator can leave its range, tables cover their indices.
    ///
    /// # Errors
    /// The first [`ModelError`].
    pub fn check(&self) -> Result<(), ModelError> {
        intervals(self).map(|_| ())
    }

    /// Multiplications of weights by values, and of values by values in scores and mixtures, in one run at full length.
    ///
    /// # Errors
    /// [`ModelError`], as [`Model::shapes`].
    pub fn multiplications(&self) -> Result<u64, ModelError> {
        let shapes = self.shapes()?;
        let of = |(node, result): (&Node, &Shape)| match &node.op {
            Op::Dense { weights, .. } => weights.len() as u64,
            Op::Conv2d { weights, .. } => {
                (weights.len() as u64 / u64::from(result.channels.max(1))).saturating_mul(result.elements())
            }
            Op::Scores { heads, .. } => {
                let channels = shapes.get(node.input as usize).map_or(0, |shape| shape.channels);
                u64::from(channels / heads.max(&1)).saturating_mul(result.elements())
            }
            Op::Mix { .. } => {
                let positions = shapes.get(node.input as usize).map_or(0, |shape| shape.width);
                u64::from(positions).saturating_mul(result.elements())
            }
            Op::Affine { .. } | Op::SumPool { .. } | Op::Requantise { .. } | Op::Flatten => 0,
            Op::Embedding { .. } | Op::Softmax { .. } | Op::Add { .. } => 0,
            Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => 0,
        };
        Ok(self.nodes.iter().zip(shapes.iter().skip(1)).map(of).fold(0, u64::saturating_add))
    }

    /// Number of weights, gains and biases.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let count = |node: &Node| match &node.op {
            Op::Dense { weights, .. } | Op::Conv2d { weights, .. } => weights.len() as u64,
            Op::Affine { biases, .. } => biases.len() as u64,
            Op::Embedding { tokens, positions, .. } => tokens.len() as u64 + positions.len() as u64,
            Op::Scale { gains, biases } => gains.len() as u64 + biases.len() as u64,
            Op::SumPool { .. } | Op::Requantise { .. } | Op::Flatten | Op::Scores { .. } | Op::Softmax { .. } => 0,
            Op::Mix { .. } | Op::Add { .. } | Op::Normalise { .. } | Op::SumPositions => 0,
        };
        self.nodes.iter().map(count).sum()
    }
}

impl Op {
    /// The second tensor that it reads, if it reads one: 0 is the model's input, `n` the result of node `n − 1`.
    #[must_use]
    pub fn second(&self) -> Option<u32> {
        Sizes::of(self).second()
    }

    /// Shape of the result of an operation on one tensor, whatever its axes mean, or what does not fit.
    pub(crate) fn output(&self, input: Shape) -> Result<Shape, &'static str> {
        self.check_numbers()?;
        Sizes::of(self).output(input)
    }

    /// What of an operation's fitting the contract depends on its numbers and not only on its sizes.
    fn check_numbers(&self) -> Result<(), &'static str> {
        let Self::Softmax { exponentials, .. } = self else { return Ok(()) };
        let first = exponentials.first().copied().unwrap_or(0);
        match first > 0 && exponentials.iter().all(|entry| (0..=first).contains(entry)) {
            true => Ok(()),
            false => Err(SOFTMAX),
        }
    }
}
