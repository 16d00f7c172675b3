//! Where values of these operations can be, whatever the length of the sequence.

use crate::interval::Interval;
use crate::model::{ACCUMULATOR_MAX, Model, ModelError, Node, Op, Shape};

use super::{NORMALISED_REACH, RECIPROCAL_BITS};

/// Of a tensor, by channel.
pub(crate) type Channels = Vec<Interval>;

/// What a node reads: the intervals of its sources, and the shape of the first at full length.
pub(crate) struct Reads<'a> {
    pub(crate) first: &'a Channels,
    pub(crate) shape: Shape,
    pub(crate) second: &'a [Interval],
}

/// Intervals of a node's result. The shapes of the model fit already.
pub(crate) fn step(model: &Model, index: usize, node: &Node, reads: &Reads<'_>) -> Result<Channels, ModelError> {
    let before = reads.first;
    let with_zero = |one: &Interval| one.union(Interval::POINT);
    Ok(match &node.op {
        Op::Embedding { outputs, tokens, positions } => {
            let pairs = columns(tokens, *outputs).into_iter().zip(columns(positions, *outputs));
            pairs.map(|(token, position)| with_zero(&token.plus(position))).collect()
        }
        Op::Scores { heads, .. } => {
            let size = (before.len() / (*heads).max(1) as usize).max(1);
            let products: Channels =
                before.iter().zip(reads.second).map(|(a, b)| with_zero(a).times(with_zero(b))).collect();
            products.chunks(size).map(|head| head.iter().fold(Interval::POINT, |sum, one| sum.plus(*one))).collect()
        }
        Op::Softmax { bits, exponentials, .. } => {
            // A difference of two scores, and the sum of a row's exponentials, which has to have a reciprocal.
            for score in before {
                bounded(index, score.max.saturating_sub(score.min), ACCUMULATOR_MAX)?;
            }
            let largest = exponentials.first().map_or(0, |first| i64::from(*first));
            bounded(index, largest.saturating_mul(reads.shape.width.into()), 1 << RECIPROCAL_BITS)?;
            vec![Interval { min: 0, max: 1 << bits }; before.len()]
        }
        Op::Mix { .. } => {
            // Shares of a row are not negative and add up to no more than 2^bits, however many there are.
            let whole = 1 << shares(model, node).unwrap_or(0);
            reads.second.iter().map(|value| with_zero(value).scaled(whole)).collect()
        }
        Op::Add { .. } => before.iter().zip(reads.second).map(|(a, b)| with_zero(&a.plus(*b))).collect(),
        Op::Normalise { shift, .. } => {
            let sum = before.iter().fold(Interval::POINT, |sum, one| sum.plus(with_zero(one)));
            bounded(index, sum.reach(), ACCUMULATOR_MAX)?;
            for one in before {
                if one.reach() > NORMALISED_REACH {
                    let what = "a normalisation is of values within ±65,536; use fewer bits";
                    return Err(ModelError::Shape { node: index, what });
                }
            }
            // c² ≤ v + ε, so |c| · s ≤ 2^29.
            let reach = 1 << (RECIPROCAL_BITS - shift);
            vec![Interval { min: -reach, max: reach }; before.len()]
        }
        Op::Scale { gains, biases } => {
            let of = |((one, gain), bias): ((&Interval, &i16), &i32)| {
                let bias = Interval { min: (*bias).into(), max: (*bias).into() };
                with_zero(&with_zero(one).scaled((*gain).into()).plus(bias))
            };
            before.iter().zip(gains).zip(biases).map(of).collect()
        }
        Op::SumPositions => {
            let area = i64::try_from(reads.shape.area()).unwrap_or(i64::MAX);
            before.iter().map(|one| with_zero(one).scaled(area)).collect()
        }
        Op::Dense { .. } | Op::Conv2d { .. } | Op::SumPool { .. } => before.clone(),
        Op::Affine { .. } | Op::Requantise { .. } | Op::Flatten => before.clone(),
    })
}

fn bounded(node: usize, reach: i64, bound: i64) -> Result<(), ModelError> {
    if reach > bound { Err(ModelError::Overflow { node, reach }) } else { Ok(()) }
}

/// Of each column of a table whose rows have this many entries.
fn columns(table: &[i16], outputs: u32) -> Channels {
    let width = outputs.max(1) as usize;
    let mut rows = table.chunks_exact(width).map(|row| row.iter().map(|entry| i64::from(*entry)));
    let point = |value: i64| Interval { min: value, max: value };
    let mut all: Channels = rows.next().map(|row| row.map(point).collect()).unwrap_or_default();
    for row in rows {
        for (one, value) in all.iter_mut().zip(row) {
            *one = one.union(point(value));
        }
    }
    all
}

/// The bits of the shares that a node reads, if it reads those of a softmax.
fn shares(model: &Model, node: &Node) -> Option<u8> {
    match &model.nodes.get((node.input as usize).checked_sub(1)?)?.op {
        Op::Softmax { bits, .. } => Some(*bits),
        _ => None,
    }
}
