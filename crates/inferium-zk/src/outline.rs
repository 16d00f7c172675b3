//! A model without its numbers: all that a circuit follows from, and so all that a verifier's key has to hold beside
//! the commitment to them.

use inferium_exact::{Model, ModelError, Node, Op, RunError, Shape, TABLE_BITS_MAX, Table};
use serde::{Deserialize, Serialize};

use crate::error::ProveError;
use crate::oracle::VARIABLES_MAX;

/// Why a model with an operation on sequences is refused.
pub(crate) const SEQUENCE: &str =
    "operations on sequences (embeddings, attention, residual sums, normalisation) run, but are not proved";

/// What each operation is, without weights, mantissas, biases and entries of tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Dense {
        outputs: u32,
    },
    Conv2d {
        outputs: u32,
        kernel: u32,
        padding: u32,
    },
    SumPool {
        size: u32,
    },
    Affine {
        is_scaled: bool,
    },
    Requantise {
        shift: u8,
        first: i32,
        bits: u8,
    },
    Flatten,
    /// An operation on sequences, which no circuit is made of yet.
    Sequence,
}

/// Shape and range of the input, and the operations in order, each with what it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outline {
    input: [u32; 3],
    range: [i16; 2],
    nodes: Vec<(u32, Kind)>,
}

impl Outline {
    pub(crate) fn of(model: &Model) -> Self {
        let kind = |op: &Op| match op {
            Op::Dense { outputs, .. } => Kind::Dense { outputs: *outputs },
            Op::Conv2d { outputs, kernel, padding, .. } => {
                Kind::Conv2d { outputs: *outputs, kernel: *kernel, padding: *padding }
            }
            Op::SumPool { size } => Kind::SumPool { size: *size },
            Op::Affine { mantissas, .. } => Kind::Affine { is_scaled: !mantissas.is_empty() },
            Op::Requantise { shift, table } => {
                Kind::Requantise { shift: *shift, first: table.first, bits: table.bits().unwrap_or(0) }
            }
            Op::Flatten => Kind::Flatten,
            Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } => Kind::Sequence,
            Op::Add { .. } | Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => Kind::Sequence,
        };
        Self {
            input: [model.input.channels, model.input.height, model.input.width],
            range: [model.input_min, model.input_max],
            nodes: model.nodes.iter().map(|node| (node.input, kind(&node.op))).collect(),
        }
    }

    /// Whether an input is of the model's shape and range; the model is known to take no sequences.
    pub(crate) fn check(&self, input: &[i32]) -> Result<(), RunError> {
        let expected = self.input.iter().map(|side| u64::from(*side)).product();
        if input.len() as u64 != expected {
            return Err(RunError::Length { found: input.len(), expected });
        }
        let range = self.range.map(i32::from);
        match input.iter().position(|value| *value < range[0] || *value > range[1]) {
            Some(index) => Err(RunError::Range { index }),
            None => Ok(()),
        }
    }

    /// A model of this outline whose numbers are all zero. They take no more memory than the largest weights that can
    /// be committed to, whatever the outline says.
    ///
    /// # Errors
    /// [`ProveError`] when shapes do not fit, or there is more than one commitment holds.
    pub(crate) fn model(&self) -> Result<Model, ProveError> {
        let [channels, height, width] = self.input;
        let [input_min, input_max] = self.range;
        let input = Shape { channels, height, width };
        let mut model = Model { name: String::new(), input, input_min, input_max, nodes: Vec::new() };
        let mut shapes = vec![input];
        let mut room = 1_u64 << VARIABLES_MAX;
        for (node, (source, kind)) in self.nodes.iter().enumerate() {
            let wrong = ModelError::Shape { node, what: "reads what is computed later" };
            let shape = shapes.get(*source as usize).ok_or(wrong)?;
            let op = zeros(kind, *shape, &mut room)?;
            model.nodes.push(Node { op, input: *source });
            shapes = model.shapes()?;
        }
        Ok(model)
    }
}

/// An operation with zeros for its numbers, of which no more than `room` are made.
fn zeros(kind: &Kind, shape: Shape, room: &mut u64) -> Result<Op, ProveError> {
    let mut take = |factors: &[u64]| {
        let count = factors.iter().fold(1_u64, |product, factor| product.saturating_mul(*factor));
        *room = room.checked_sub(count).ok_or(ProveError::Unsupported("more numbers than one commitment holds"))?;
        usize::try_from(count).map_err(|_| ProveError::Unsupported("more numbers than this machine counts"))
    };
    Ok(match kind {
        Kind::Dense { outputs } => {
            Op::Dense { outputs: *outputs, weights: vec![0; take(&[(*outputs).into(), shape.elements()])?] }
        }
        Kind::Conv2d { outputs, kernel, padding } => {
            let side = u64::from(*kernel);
            let count = take(&[(*outputs).into(), shape.channels.into(), side, side])?;
            Op::Conv2d { outputs: *outputs, kernel: *kernel, padding: *padding, weights: vec![0; count] }
        }
        Kind::SumPool { size } => Op::SumPool { size: *size },
        Kind::Affine { is_scaled } => {
            let channels = take(&[shape.channels.into()])?;
            // The gate refuses nothing of a zero mantissa, and the circuit asks only whether there are some.
            Op::Affine { mantissas: vec![0; if *is_scaled { channels } else { 0 }], biases: vec![0; channels] }
        }
        Kind::Requantise { shift, first, bits } => {
            let bits = (*bits).min(TABLE_BITS_MAX);
            Op::Requantise { shift: *shift, table: Table { first: *first, values: vec![0; take(&[1 << bits])?] } }
        }
        Kind::Flatten => Op::Flatten,
        Kind::Sequence => return Err(ProveError::Unsupported(SEQUENCE)),
    })
}
