//! Where every value of a model can be, computed before it runs: what makes wrap-around impossible.

use crate::model::{ACCUMULATOR_MAX, Model, ModelError, Op, Shape, Table};

/// Smallest and largest value that a tensor's elements can have, for any input in the model's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Smallest.
    pub min: i64,
    /// Largest.
    pub max: i64,
}

impl Interval {
    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Of `factor · self`.
    fn scaled(self, factor: i64) -> Self {
        let (a, b) = (factor.saturating_mul(self.min), factor.saturating_mul(self.max));
        Self { min: a.min(b), max: a.max(b) }
    }

    fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    const POINT: Self = Self { min: 0, max: 0 };
}

/// Of the input and of every node's result, by channel: sums of weights differ much between channels.
type Channels = Vec<Interval>;

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
        let source = node.input as usize;
        let (Some(before), Some(shape)) = (all.get(source), shapes.get(source)) else {
            return Err(ModelError::Shape { node: index, what: "reads what is computed later" });
        };
        let after = step(&node.op, before, *shape, index)?;
        for interval in &after {
            let reach = interval.max.max(interval.min.saturating_neg());
            if reach > ACCUMULATOR_MAX {
                return Err(ModelError::Overflow { node: index, reach });
            }
        }
        all.push(after);
    }
    Ok(all.iter().map(|channels| channels.iter().fold(Interval::POINT, |sum, one| sum.union(*one))).collect())
}

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
