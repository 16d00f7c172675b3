//! The interpreter of these operations: plain, and what every faster form is measured by.

use crate::model::{Op, Shape};

use super::inverse_root::inverse_root;
use super::{RECIPROCAL_BITS, Second};

/// One of the operations on sequences; nothing of any other. Values are in range because the model passed its check.
pub(crate) fn apply(op: &Op, input: &[i32], shape: Shape, second: Second<'_>) -> Vec<i32> {
    match (op, second) {
        (Op::Embedding { outputs, tokens, positions }, _) => embed(input, *outputs as usize, tokens, positions),
        (Op::Scores { heads, .. }, Some((keys, of))) => {
            scores(input, shape.width as usize, keys, of.width as usize, head_size(shape, *heads))
        }
        (Op::Softmax { shift, bits, exponentials }, _) => {
            let rows = input.chunks(shape.width.max(1) as usize);
            rows.flat_map(|row| softmax(row, *shift, *bits, exponentials)).collect()
        }
        (Op::Mix { .. }, Some((values, of))) => mix(input, shape, values, head_size(of, shape.channels)),
        (Op::Add { .. }, Some((other, _))) => input.iter().zip(other).map(|(a, b)| a.wrapping_add(*b)).collect(),
        (Op::Normalise { is_centred, epsilon, shift }, _) => {
            normalise(input, area(shape), *is_centred, *epsilon, *shift)
        }
        (Op::Scale { gains, biases }, _) => {
            let channels = input.chunks(area(shape)).zip(gains.iter().zip(biases));
            let scaled = channels.flat_map(|(values, (gain, bias))| {
                values.iter().map(|value| i32::from(*gain).wrapping_mul(*value).wrapping_add(*bias))
            });
            scaled.collect()
        }
        (Op::SumPositions, _) => {
            let sum = |values: &[i32]| values.iter().fold(0_i32, |sum, value| sum.wrapping_add(*value));
            input.chunks(area(shape)).map(sum).collect()
        }
        _ => Vec::new(),
    }
}

fn area(shape: Shape) -> usize {
    usize::try_from(shape.area()).unwrap_or(usize::MAX).max(1)
}

fn head_size(shape: Shape, heads: u32) -> usize {
    (shape.channels / heads.max(1)).max(1) as usize
}

fn embed(input: &[i32], outputs: usize, tokens: &[i16], positions: &[i16]) -> Vec<i32> {
    let entry = |table: &[i16], row: usize, channel: usize| {
        table.get(row * outputs + channel).map_or(0, |entry| i32::from(*entry))
    };
    let row = |token: &i32| usize::try_from(*token).unwrap_or(0);
    let channel = |channel: usize| {
        let each = input.iter().enumerate();
        each.map(move |(at, token)| entry(tokens, row(token), channel) + entry(positions, at, channel))
    };
    (0..outputs).flat_map(channel).collect()
}

fn scores(queries: &[i32], rows: usize, keys: &[i32], columns: usize, size: usize) -> Vec<i32> {
    let mut result = Vec::new();
    let heads = queries.chunks_exact(size * rows).zip(keys.chunks_exact(size * columns));
    for (queries, keys) in heads {
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let query = queries.iter().skip(i).step_by(rows);
            let key = keys.iter().skip(j).step_by(columns);
            result.push(query.zip(key).fold(0_i32, |sum, (q, k)| sum.wrapping_add(q.wrapping_mul(*k))));
        }
    }
    result
}

/// The shares of a row: exponentials of what each value lies below the largest, times one reciprocal of their sum.
pub(crate) fn softmax(row: &[i32], shift: u8, bits: u8, exponentials: &[i16]) -> Vec<i32> {
    let largest = row.iter().copied().max().unwrap_or(0);
    let last = exponentials.len().saturating_sub(1);
    let exponential = |value: &i32| {
        let below = i64::from(largest) - i64::from(*value);
        let index = usize::try_from((below + (1 << (shift - 1))) >> shift).unwrap_or(last);
        exponentials.get(index.min(last)).map_or(0, |entry| i64::from(*entry))
    };
    let powers: Vec<i64> = row.iter().map(exponential).collect();
    // The one r with 0 ≤ 2^29 − r · S < S; the largest value's exponential is positive, so S is.
    let reciprocal = (1_i64 << RECIPROCAL_BITS) / powers.iter().sum::<i64>().max(1);
    // No exponential is above their sum, so no product is above 2^29; and a floored share is no larger than its part.
    let share = |power: &i64| i32::try_from((power * reciprocal) >> (RECIPROCAL_BITS - bits)).unwrap_or(0);
    powers.iter().map(share).collect()
}

fn mix(shares: &[i32], shape: Shape, values: &[i32], size: usize) -> Vec<i32> {
    let (rows, columns) = (shape.height.max(1) as usize, shape.width.max(1) as usize);
    let mut result = Vec::new();
    for (channel, values) in values.chunks(columns).enumerate() {
        let head = shares.chunks(columns).skip(channel / size * rows).take(rows);
        let dot = |row: &[i32]| row.iter().zip(values).fold(0_i32, |sum, (p, v)| sum.wrapping_add(p.wrapping_mul(*v)));
        result.extend(head.map(dot));
    }
    result
}

fn normalise(input: &[i32], area: usize, is_centred: bool, epsilon: u32, shift: u8) -> Vec<i32> {
    let mut result = vec![0; input.len()];
    let count = i64::try_from(input.len() / area).unwrap_or(i64::MAX).max(1);
    for position in 0..area {
        let values = || input.iter().skip(position).step_by(area).map(|value| i64::from(*value));
        // The floor, by the remainder that is not negative.
        let mean = if is_centred { values().sum::<i64>().div_euclid(count) } else { 0 };
        let squares: i64 = values().map(|value| (value - mean) * (value - mean)).sum();
        let root = i64::from(inverse_root(u64::try_from(squares).unwrap_or(0) + u64::from(epsilon)));
        for (place, value) in result.iter_mut().skip(position).step_by(area).zip(values()) {
            *place = i32::try_from(((value - mean) * root + (1 << (shift - 1))) >> shift).unwrap_or(0);
        }
    }
    result
}
