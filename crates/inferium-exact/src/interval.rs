//! Where every value of a model can be, computed before it runs: what makes wrap-around impossible.

use crate::model::{ACCUMULATOR_MAX, Model, ModelError, Node, Op, Shape, Table};
use crate::sequence::{self, Channels, Reads};

/// Smallest and largest value that a tensor's elements can have, for any input in the model's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Smallest.
    pub min: i64,
    /// Largest.
    pub max: i64,
}

impl Interval {
    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Of `factor · self`.
    pub(crate) fn scaled(self, factor: i64) -> Self {
        let (a, b) = (factor.saturating_mul(self.min), factor.saturating_mul(self.max));
        Self { min: a.min(b), max: a.max(b) }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// Of products of a value of each.
    pub(crate) fn times(self, other: Self) -> Self {
        other.scaled(self.min).union(other.scaled(self.max))
    }

    /// How far from zero it gets.
    pub(crate) fn reach(self) -> i64 {
        self.max.max(self.min.saturating_neg())
    }

    pub(crate) const POINT: Self = Self { min: 0, max: 0 };
}

/// Intervals of the input and of every node's result, in order, each over all channels.
///
/// Zero is always within: positions that a proof pads a tensor with hold what an empty sum gives.
///
/// # Errors
/// [`ModelError`] when shapes do not fit, an accumulator could leave its range, or a table does not cover its indices.
pub fn intervals(model: &Model) -> Result<Vec<Interval>, ModelError> {
    let shapes = model.shapes()?;
    let input = Interval { min: model.input_min.into(), max: model.input_max.into() }.union(Interval::POINT);
    let mut all: Vec<Channels> = vec![vec![input; model.input.channels as usize]];
    for (index, node) in model.nodes.iter().enumerate() {
        let after = after(model, index, node, &all, &shapes)?;
        all.push(after);
    }
    Ok(all.iter().map(|channels| channels.iter().fold(Interval::POINT, |sum, one| sum.union(*one))).collect())
}

/// Of one node's result, by channel (sums of weights differ much between channels), from those of all before it.
pub(crate) fn after(
    model: &Model,
    index: usize,
    node: &Node,
    all: &[Channels],
    shapes: &[Shape],
) -> Result<Channels, ModelError> {
    let (Some(first), Some(shape)) = (all.get(node.input as usize), shapes.get(node.input as usize)) else {
        return Err(ModelError::Shape { node: index, what: "reads what is computed later" });
    };
    let second = node.op.second().and_then(|second| all.get(second as usize)).map_or(&[][..], Vec::as_slice);
    let after = match &node.op {
        Op::Dense { .. } | Op::Conv2d { .. } | Op::SumPool { .. } | Op::Affine { .. } => {
            step(&node.op, first, *shape, index)?
        }
        Op::Requantise { .. } | Op::Flatten => step(&node.op, first, *shape, index)?,
        Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } | Op::Add { .. } => {
            sequence::step(model, index, node, &Reads { first, shape: *shape, second })?
        }
        Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => {
            sequence::step(model, index, node, &Reads { first, shape: *shape, second })?
        }
    };
    for interval in &after {
        let reach = interval.reach();
        if reach > ACCUMULATOR_MAX {
            return Err(ModelError::Overflow { node: index, reach });
        }
    }
    Ok(after)
}

/// Of an operation that is not one of sequences.
fn step(op: &Op, before: &Channels, shape: Shape, node: usize) -> Result<Channels, ModelError> {
    Ok(match op {
        Op::Dense { weights, .. } => weights.chunks(before.len().max(1)).map(|row| sum(row, before, 1)).collect(),
        Op::Conv2d { outputs, kernel, weights, .. } => {
            let window = (*kernel as usize).pow(2);
            let row = before.len().saturating_mul(window);
            let count = *outputs as usize;
            weights.chunks(row.max(1)).take(count).map(|row| sum(row, before, window)).collect()
        }
        Op::SumPool { size } => before.iter().map(|one| one.scaled(i64::from(*size).pow(2))).collect(),
        Op::Affine { mantissas, biases } => {
            let mantissa = |channel: usize| mantissas.get(channel).map_or(1, |mantissa| i64::from(*mantissa));
            let of = |(channel, one): (usize, &Interval)| {
                let bias = biases.get(channel).map_or(0, |bias| i64::from(*bias));
                let bias = Interval { min: bias, max: bias };
                one.union(Interval::POINT).scaled(mantissa(channel)).plus(bias).union(Interval::POINT)
            };
            before.iter().enumerate().map(of).collect()
        }
        Op::Requantise { shift, table } => {
            let all = before.iter().fold(Interval::POINT, |sum, one| sum.union(*one));
            covers(table, all, *shift, node)?;
            let values = |of: Option<&i16>| of.map_or(0, |value| i64::from(*value));
            let range = Interval { min: values(table.values.iter().min()), max: values(table.values.iter().max()) };
            vec![range.union(Interval::POINT); before.len()]
        }
        Op::Flatten => {
            let area = usize::try_from(shape.area()).unwrap_or(usize::MAX);
            before.iter().flat_map(|one| std::iter::repeat_n(*one, area)).collect()
        }
        Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } | Op::Add { .. } => {
            before.clone()
        }
        Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => before.clone(),
    })
}

/// Of a sum of products; `window` weights in a row belong to one channel.
fn sum(weights: &[i16], channels: &Channels, window: usize) -> Interval {
    let products = weights.chunks(window).zip(channels);
    products.fold(Interval::POINT, |sum, (weights, channel)| {
        weights.iter().fold(sum, |sum, weight| sum.plus(channel.union(Interval::POINT).scaled((*weight).into())))
    })
}

/// The smallest and largest index of a requantisation.
pub(crate) fn indices(values: Interval, shift: u8) -> Interval {
    let half = 1_i64 << (shift - 1);
    Interval { min: (values.min + half) >> shift, max: (values.max + half) >> shift }
}

fn covers(table: &Table, values: Interval, shift: u8, node: usize) -> Result<(), ModelError> {
    let reach = indices(values, shift);
    let first = i64::from(table.first);
    let last = first + table.values.len() as i64 - 1;
    if first > reach.min || last < reach.max {
        return Err(ModelError::Table { node, first, last, low: reach.min, high: reach.max });
    }
    // What a table and its shift can express fits the field once: no two pairs (hi, lo) are one residue.
    let window = (table.values.len() as u64) << shift;
    if window > 1 << 30 || first.saturating_mul(1 << shift).abs() > 1 << 30 {
        return Err(ModelError::Overflow { node, reach: i64::try_from(window).unwrap_or(i64::MAX) });
    }
    Ok(())
}
