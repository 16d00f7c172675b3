//! Faster forms of the operations that multiply most.

use crate::kernel::plain::dot_narrow;
use crate::kernel::product::{Layout, Product};
use crate::model::{Op, Shape};

use super::{RECIPROCAL_BITS, Second, apply};

/// One of the operations on sequences; the same as [`apply`].
pub(crate) fn apply_fast(op: &Op, input: &[i32], shape: Shape, second: Second<'_>) -> Vec<i32> {
    match (op, second) {
        (Op::Scores { heads, .. }, Some((keys, of))) => {
            let size = (shape.channels / (*heads).max(1)).max(1) as usize;
            let (rows, columns) = (shape.width as usize, of.width as usize);
            let (queries, keys) = (by_position(input, rows, size), by_position(keys, columns, size));
            match (narrow(&queries), narrow(&keys)) {
                (Some(queries), Some(keys)) => scores(&queries, &keys, [rows, columns, size], dot_narrow),
                _ => apply(op, input, shape, second),
            }
        }
        (Op::Softmax { shift, bits, exponentials }, _) => {
            let mut shares = Vec::with_capacity(input.len());
            for row in input.chunks(shape.width.max(1) as usize) {
                softmax(row, [*shift, *bits], exponentials, &mut shares);
            }
            shares
        }
        // Both rows lie along positions already.
        (Op::Mix { .. }, Some((values, of))) => {
            let size = (of.channels / shape.channels.max(1)).max(1) as usize;
            let (rows, columns) = (shape.height.max(1) as usize, shape.width.max(1) as usize);
            match narrow(values) {
                Some(values) => mix(input, &values, [rows, columns, size]),
                None => apply(op, input, shape, second),
            }
        }
        _ => apply(op, input, shape, second),
    }
}

/// A convolution of window 1, by what is laid out for one position: a dense layer at every position.
pub(crate) fn at_positions(product: &Product, input: &[i32], shape: Shape) -> Vec<i32> {
    let channels = (shape.channels as usize).max(1);
    let positions = input.len() / channels;
    let sums = product.sums(&by_position(input, positions, channels), Layout::Planes);
    by_position(&sums, sums.len() / positions.max(1), positions)
}

/// Groups of `size` channels of `length` positions each, turned within each group: position by position.
fn by_position(values: &[i32], length: usize, size: usize) -> Vec<i32> {
    let mut turned = Vec::with_capacity(values.len());
    for group in values.chunks_exact((length * size).max(1)) {
        for position in 0..length {
            turned.extend(group.iter().skip(position).step_by(length.max(1)));
        }
    }
    turned
}

fn narrow(values: &[i32]) -> Option<Vec<i16>> {
    values.iter().map(|value| i16::try_from(*value).ok()).collect()
}

fn scores(queries: &[i16], keys: &[i16], sizes: [usize; 3], dot: impl Fn(&[i16], &[i16]) -> i32) -> Vec<i32> {
    let [rows, columns, size] = sizes;
    let heads = queries.chunks_exact((rows * size).max(1)).zip(keys.chunks_exact((columns * size).max(1)));
    let mut result = Vec::new();
    for (queries, keys) in heads {
        for query in queries.chunks_exact(size) {
            result.extend(keys.chunks_exact(size).map(|key| dot(query, key)));
        }
    }
    result
}

/// Everything fits 32 bits: differences by the gate, and products because no exponential is above their sum.
fn softmax(row: &[i32], [shift, bits]: [u8; 2], exponentials: &[i16], shares: &mut Vec<i32>) {
    let largest = row.iter().copied().max().unwrap_or(0);
    let last = exponentials.len().saturating_sub(1);
    let half = 1_u32 << (shift - 1);
    let start = shares.len();
    shares.extend(row.iter().map(|value| {
        let index = largest.wrapping_sub(*value).cast_unsigned().wrapping_add(half) >> shift;
        exponentials.get((index as usize).min(last)).map_or(0, |power| i32::from(*power))
    }));
    let (_, powers) = shares.split_at_mut(start);
    let sum = powers.iter().fold(0_i32, |sum, power| sum.wrapping_add(*power));
    let reciprocal = (1_i32 << RECIPROCAL_BITS) / sum.max(1);
    for power in powers {
        *power = power.wrapping_mul(reciprocal) >> (RECIPROCAL_BITS - bits);
    }
}

/// Shares have up to 17 bits, so they are taken apart into two numbers of 16 bits that products are fast of.
fn mix(shares: &[i32], values: &[i16], sizes: [usize; 3]) -> Vec<i32> {
    let [rows, columns, size] = sizes;
    let part = |of: fn(i32) -> i32| -> Vec<i16> {
        shares.iter().map(|share| i16::try_from(of(*share)).unwrap_or(0)).collect()
    };
    let (high, low) = (part(|share| share >> 8), part(|share| share & 255));
    let mut result = Vec::with_capacity(values.len());
    for (channel, values) in values.chunks_exact(columns).enumerate() {
        let first = channel / size * rows;
        let (high, low) = (high.chunks_exact(columns).skip(first), low.chunks_exact(columns).skip(first));
        let sum = |(high, low)| (dot_narrow(values, high) << 8).wrapping_add(dot_narrow(values, low));
        result.extend(high.zip(low).take(rows).map(sum));
    }
    result
}
