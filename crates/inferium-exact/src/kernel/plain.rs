//! The operations that multiply no matrices, in loops that a compiler can put into vector registers. Equal to the interpreter's.

use crate::model::{Op, Shape, Table};
use crate::run::apply;
use crate::sequence::{self, Second};

/// One operation on inputs that stand one behind the other; on one alone where it reads a second tensor, or a sequence.
pub(crate) fn step(op: &Op, input: &[i32], shape: Shape, second: Second<'_>) -> Vec<i32> {
    let size = usize::try_from(shape.elements()).unwrap_or(usize::MAX).max(1);
    let area = usize::try_from(shape.area()).unwrap_or(usize::MAX).max(1);
    match op {
        Op::Affine { mantissas, biases } => affine(input, mantissas, biases, area),
        Op::Requantise { shift, table } => requantise(input, *shift, table),
        Op::SumPool { size: 2 } => pool_pairs(input, shape),
        Op::Flatten => input.to_vec(),
        Op::Dense { .. } | Op::Conv2d { .. } | Op::SumPool { .. } => {
            input.chunks(size).flat_map(|input| apply(op, input, shape, None)).collect()
        }
        Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } | Op::Add { .. } => {
            sequence::apply_fast(op, input, shape, second)
        }
        Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => sequence::apply_fast(op, input, shape, second),
    }
}

/// Σ of products of numbers whose sum the contract bounds, in lanes for a compiler.
pub(crate) fn dot_narrow(weights: &[i16], input: &[i16]) -> i32 {
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

fn affine(input: &[i32], mantissas: &[u8], biases: &[i32], area: usize) -> Vec<i32> {
    let mut result = input.to_vec();
    for item in result.chunks_mut((biases.len() * area).max(1)) {
        if area == 1 {
            for (value, bias) in item.iter_mut().zip(biases).take(if mantissas.is_empty() { usize::MAX } else { 0 }) {
                *value = value.wrapping_add(*bias);
            }
            for ((value, mantissa), bias) in item.iter_mut().zip(mantissas).zip(biases) {
                *value = i32::from(*mantissa).wrapping_mul(*value).wrapping_add(*bias);
            }
            continue;
        }
        for (channel, (plane, bias)) in item.chunks_mut(area).zip(biases).enumerate() {
            let mantissa = mantissas.get(channel).map_or(1, |mantissa| i32::from(*mantissa));
            for value in plane {
                *value = mantissa.wrapping_mul(*value).wrapping_add(*bias);
            }
        }
    }
    result
}

fn requantise(input: &[i32], shift: u8, table: &Table) -> Vec<i32> {
    let half = 1 << (shift - 1);
    let entry = |value: &i32| {
        // The gate keeps the index within the table, which is at most 2^16 long.
        let index = (value.wrapping_add(half) >> shift).wrapping_sub(table.first);
        let index = usize::try_from(index).unwrap_or(0);
        table.values.get(index).map_or(0, |value| i32::from(*value))
    };
    input.iter().map(entry).collect()
}

/// Blocks of two by two, the usual ones.
fn pool_pairs(input: &[i32], shape: Shape) -> Vec<i32> {
    let (height, width) = (shape.height as usize, shape.width as usize);
    let mut result = Vec::with_capacity(input.len() / 4);
    for plane in input.chunks_exact(height * width) {
        for lines in plane.chunks_exact(2 * width) {
            let (above, below) = lines.split_at(width);
            let blocks = above.chunks_exact(2).zip(below.chunks_exact(2));
            let sum = |of: &[i32]| of.iter().fold(0_i32, |sum, value| sum.wrapping_add(*value));
            result.extend(blocks.map(|(above, below)| sum(above).wrapping_add(sum(below))));
        }
    }
    result
}
