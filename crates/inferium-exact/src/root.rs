//! The model's id: a Merkle root over its structure, weights and tables.

use crate::model::{CONTRACT_VERSION, Model, Op};
use crate::sizes::Sizes;

/// Domain of the hashes.
pub const MODEL_ID_CONTEXT: &str = "inferium exact model 2026-11 leaf";
const NODE_CONTEXT: &str = "inferium exact model 2026-11 node";

/// Bytes of one piece of a part, which is a leaf: small enough to show one tile of a matrix in a dispute.
pub const MODEL_PIECE: usize = 16 * 1024;

/// Node, part and piece of a leaf.
pub(crate) type Place = (u32, u32, u32);
/// Where the leaf of the model's name, input and number of nodes is.
pub(crate) const HEADER: Place = (u32::MAX, 0, 0);

/// Root of the tree whose leaves are, node by node, the operation's sizes and then its numbers in pieces of 16 KiB;
/// the first leaf is the model's name, input and number of nodes. Every leaf names its node, part and piece.
#[must_use]
pub fn model_id(model: &Model) -> [u8; 32] {
    let mut level = Vec::new();
    each_leaf(model, |place, bytes| level.push(leaf(place, bytes)));
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or_default()
}

/// Shows `each` leaf of a model, in order: its place and its bytes.
pub(crate) fn each_leaf(model: &Model, mut each: impl FnMut(Place, &[u8])) {
    each(HEADER, &header(model));
    for (index, node) in (0_u32..).zip(&model.nodes) {
        let (sizes, numbers) = parts(&node.op);
        let sizes: Vec<u8> = sizes.iter().chain([&node.input]).flat_map(|size| size.to_le_bytes()).collect();
        each((index, 0, 0), &sizes);
        for (part, numbers) in (1_u32..).zip(numbers) {
            for (piece, bytes) in (0_u32..).zip(numbers.chunks(MODEL_PIECE)) {
                each((index, part, piece), bytes);
            }
        }
    }
}

pub(crate) fn header(model: &Model) -> Vec<u8> {
    let mut bytes = CONTRACT_VERSION.to_le_bytes().to_vec();
    let sizes = [model.input.channels, model.input.height, model.input.width];
    bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(model.input_min.to_le_bytes());
    bytes.extend(model.input_max.to_le_bytes());
    bytes.extend((model.nodes.len() as u64).to_le_bytes());
    bytes.extend(model.name.as_bytes());
    bytes
}

fn shorts(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Kind and sizes of an operation, and its numbers, each as wide as [`Sizes::widths`] says; the kinds' numbers are
/// their order in the codec.
pub(crate) fn parts(op: &Op) -> (Vec<u32>, Vec<Vec<u8>>) {
    let longs = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let numbers = match op {
        Op::Dense { weights, .. } | Op::Conv2d { weights, .. } => vec![shorts(weights)],
        Op::Affine { mantissas, biases } => vec![mantissas.clone(), longs(biases)],
        Op::Requantise { table, .. } => vec![shorts(&table.values)],
        Op::Embedding { tokens, positions, .. } => vec![shorts(tokens), shorts(positions)],
        Op::Softmax { exponentials, .. } => vec![shorts(exponentials)],
        Op::Scale { gains, biases } => vec![shorts(gains), longs(biases)],
        Op::SumPool { .. } | Op::Flatten | Op::Scores { .. } | Op::Mix { .. } | Op::Add { .. } => vec![],
        Op::Normalise { .. } | Op::SumPositions => vec![],
    };
    (Sizes::of(op).words(), numbers)
}

impl Model {
    /// One number of a part of an operation, as the id's leaves have them: parts count from 1. `None` where there is none.
    #[must_use]
    pub fn number(&self, node: u32, part: u32, index: u64) -> Option<i32> {
        let (op, index) = (&self.nodes.get(node as usize)?.op, usize::try_from(index).ok()?);
        let short = |values: &[i16]| values.get(index).map(|value| i32::from(*value));
        match (op, part) {
            (Op::Dense { weights, .. } | Op::Conv2d { weights, .. }, 1) => short(weights),
            (Op::Affine { mantissas, .. }, 1) => mantissas.get(index).map(|value| i32::from(*value)),
            (Op::Requantise { table, .. }, 1) => short(&table.values),
            (Op::Embedding { tokens, .. }, 1) => short(tokens),
            (Op::Embedding { positions, .. }, 2) => short(positions),
            (Op::Softmax { exponentials, .. }, 1) => short(exponentials),
            (Op::Scale { gains, .. }, 1) => short(gains),
            (Op::Affine { biases, .. } | Op::Scale { biases, .. }, 2) => biases.get(index).copied(),
            _ => None,
        }
    }
}

/// Hash of a leaf.
pub(crate) fn leaf((node, part, piece): Place, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(MODEL_ID_CONTEXT);
    for number in [node, part, piece] {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.update(bytes).finalize().as_bytes()
}

/// Hash of a pair, under a domain of its own.
pub(crate) fn pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(NODE_CONTEXT);
    *hasher.update(left).update(right).finalize().as_bytes()
}

/// The next level of the tree; one that is left over rises as it is.
pub(crate) fn above(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let each = |two: &[[u8; 32]]| match two {
        [left, right] => pair(left, right),
        [single, ..] => *single,
        [] => [0; 32],
    };
    level.chunks(2).map(each).collect()
}
