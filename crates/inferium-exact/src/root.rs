//! The model's id: a Merkle root over its structure, weights and tables.

use crate::model::{CONTRACT_VERSION, Model, Op};

/// Domain of the hashes.
pub const MODEL_ID_CONTEXT: &str = "inferium exact model 2026-11 leaf";
const NODE_CONTEXT: &str = "inferium exact model 2026-11 node";

/// Bytes of weights in one leaf: small enough to show one tile of a matrix in a dispute.
const LEAF_BYTES: usize = 16 * 1024;

/// Root of the tree whose leaves are, node by node, the operation's sizes and then its numbers in pieces of 16 KiB;
/// the first leaf is the model's name, input and number of nodes. Every leaf names its node, part and piece.
#[must_use]
pub fn model_id(model: &Model) -> [u8; 32] {
    let mut leaves = vec![leaf(u32::MAX, 0, 0, &header(model))];
    for (index, node) in (0_u32..).zip(&model.nodes) {
        let (sizes, numbers) = parts(&node.op);
        let sizes: Vec<u8> = sizes.iter().chain([&node.input]).flat_map(|size| size.to_le_bytes()).collect();
        leaves.push(leaf(index, 0, 0, &sizes));
        for (part, numbers) in (1_u32..).zip(numbers) {
            for (piece, bytes) in (0_u32..).zip(numbers.chunks(LEAF_BYTES)) {
                leaves.push(leaf(index, part, piece, bytes));
            }
        }
    }
    fold(leaves)
}

fn header(model: &Model) -> Vec<u8> {
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

/// Kind and sizes of an operation, and its numbers; the kinds' numbers are their order in the codec.
fn parts(op: &Op) -> (Vec<u32>, Vec<Vec<u8>>) {
    let length = |values: usize| u32::try_from(values).unwrap_or(u32::MAX);
    match op {
        Op::Dense { outputs, weights } => (vec![0, *outputs, length(weights.len())], vec![shorts(weights)]),
        Op::Conv2d { outputs, kernel, padding, weights } => {
            (vec![1, *outputs, *kernel, *padding, length(weights.len())], vec![shorts(weights)])
        }
        Op::SumPool { size } => (vec![2, *size], vec![]),
        Op::Affine { mantissas, biases } => {
            let numbers = biases.iter().flat_map(|bias| bias.to_le_bytes()).collect();
            (vec![3, length(mantissas.len()), length(biases.len())], vec![mantissas.clone(), numbers])
        }
        Op::Requantise { shift, table } => {
            let sizes = vec![4, u32::from(*shift), table.first.cast_unsigned(), length(table.values.len())];
            (sizes, vec![shorts(&table.values)])
        }
        Op::Flatten => (vec![5], vec![]),
        Op::Embedding { outputs, tokens, positions } => {
            let sizes = vec![6, *outputs, length(tokens.len()), length(positions.len())];
            (sizes, vec![shorts(tokens), shorts(positions)])
        }
        Op::Scores { heads, keys } => (vec![7, *heads, *keys], vec![]),
        Op::Softmax { shift, bits, exponentials } => {
            (vec![8, u32::from(*shift), u32::from(*bits), length(exponentials.len())], vec![shorts(exponentials)])
        }
        Op::Mix { values } => (vec![9, *values], vec![]),
        Op::Add { other } => (vec![10, *other], vec![]),
        Op::Normalise { is_centred, epsilon, shift } => {
            (vec![11, u32::from(*is_centred), *epsilon, u32::from(*shift)], vec![])
        }
        Op::Scale { gains, biases } => {
            let numbers = biases.iter().flat_map(|bias| bias.to_le_bytes()).collect();
            (vec![12, length(gains.len()), length(biases.len())], vec![shorts(gains), numbers])
        }
        Op::SumPositions => (vec![13], vec![]),
    }
}

fn leaf(node: u32, part: u32, piece: u32, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(MODEL_ID_CONTEXT);
    for number in [node, part, piece] {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.update(bytes).finalize().as_bytes()
}

/// Pairs are hashed under a domain of their own; one that is left over rises as it is.
fn fold(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        let pair = |pair: &[[u8; 32]]| match pair {
            [left, right] => {
                let mut hasher = blake3::Hasher::new_derive_key(NODE_CONTEXT);
                *hasher.update(left).update(right).finalize().as_bytes()
            }
            [single, ..] => *single,
            [] => [0; 32],
        };
        level = level.chunks(2).map(pair).collect();
    }
    level.first().copied().unwrap_or_default()
}
