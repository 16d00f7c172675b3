//! The interpreter: what it computes is the answer, and all other ways to compute it are measured by it.

use thiserror::Error;

use crate::model::{Model, ModelError, Op, Shape};
use crate::sequence::{self, Second};

/// Why a model did not run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// It is not a model of the contract.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The input has another number of elements than the model takes.
    #[error("the input has {found} elements, the model takes {expected}")]
    Length {
        /// Elements that came.
        found: usize,
        /// Elements that the model takes.
        expected: u64,
    },
    /// The model takes sequences, and the input is empty or longer than the longest.
    #[error("the input has {found} tokens, the model takes 1 to {most}")]
    Sequence {
        /// Tokens that came.
        found: usize,
        /// Tokens that the model takes at most.
        most: u32,
    },
    /// An element of the input is out of the model's range.
    #[error("element {index} of the input is out of the model's range")]
    Range {
        /// Which element.
        index: usize,
    },
}

/// Everything that a run computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The input, then every node's result, each in the order of its shape.
    pub values: Vec<Vec<i32>>,
}

impl Trace {
    /// The last node's result.
    #[must_use]
    pub fn output(&self) -> &[i32] {
        self.values.last().map_or(&[], Vec::as_slice)
    }
}

/// Index of the largest value, of equal ones the first: the label of a classifier.
#[must_use]
pub fn argmax(values: &[i32]) -> usize {
    let best = |best: usize, (index, value): (usize, &i32)| if Some(value) > values.get(best) { index } else { best };
    values.iter().enumerate().fold(0, best)
}

/// Runs a model and keeps every value. Slow and plain on purpose.
///
/// # Errors
/// [`RunError`] when the model fails its check or the input is not of its shape and range.
pub fn run(model: &Model, input: &[i32]) -> Result<Trace, RunError> {
    model.check()?;
    check_input(model, input)?;
    let shapes = match u32::try_from(input.len()) {
        Ok(length) if model.is_sequence() => model.shapes_at(length)?,
        _ => model.shapes()?,
    };
    let mut values = vec![input.to_vec()];
    for node in &model.nodes {
        let read = |index: u32| Some((values.get(index as usize)?.as_slice(), *shapes.get(index as usize)?));
        let Some((before, shape)) = read(node.input) else { continue };
        let result = apply(&node.op, before, shape, node.op.second().and_then(read));
        values.push(result);
    }
    Ok(Trace { values })
}

pub(crate) fn check_input(model: &Model, input: &[i32]) -> Result<(), RunError> {
    let is_sequence = model.is_sequence();
    if is_sequence && (input.is_empty() || input.len() > model.input.width as usize) {
        return Err(RunError::Sequence { found: input.len(), most: model.input.width });
    }
    if !is_sequence && input.len() as u64 != model.input.elements() {
        return Err(RunError::Length { found: input.len(), expected: model.input.elements() });
    }
    let range = i32::from(model.input_min)..=i32::from(model.input_max);
    match input.iter().position(|value| !range.contains(value)) {
        Some(index) => Err(RunError::Range { index }),
        None => Ok(()),
    }
}

/// Values are in range because the model passed its check, so nothing here can wrap.
pub(crate) fn apply(op: &Op, input: &[i32], shape: Shape, second: Second<'_>) -> Vec<i32> {
    match op {
        Op::Dense { weights, .. } => weights.chunks(input.len().max(1)).map(|row| dot(row, input)).collect(),
        Op::Conv2d { outputs, kernel, padding, weights } => {
            let window = Window { kernel: *kernel as usize, padding: *padding as usize };
            convolve(input, shape, *outputs as usize, window, weights)
        }
        Op::SumPool { size } => pool(input, shape, *size as usize),
        Op::Affine { mantissas, biases } => {
            let area = area(shape);
            let of = |(index, value): (usize, &i32)| {
                let channel = index / area;
                let mantissa = mantissas.get(channel).map_or(1, |mantissa| i32::from(*mantissa));
                mantissa.wrapping_mul(*value).wrapping_add(biases.get(channel).copied().unwrap_or(0))
            };
            input.iter().enumerate().map(of).collect()
        }
        Op::Requantise { shift, table } => {
            let entry = |value: &i32| {
                let index = i64::from(split(*value, *shift).0) - i64::from(table.first);
                let index = usize::try_from(index).unwrap_or(0);
                table.values.get(index).map_or(0, |value| i32::from(*value))
            };
            input.iter().map(entry).collect()
        }
        Op::Flatten => input.to_vec(),
        Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } | Op::Add { .. } => {
            sequence::apply(op, input, shape, second)
        }
        Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => sequence::apply(op, input, shape, second),
    }
}

/// `hi` and `lo` of a value: `z + 2^(shift−1) = hi · 2^shift + lo` with `0 ≤ lo < 2^shift`.
#[must_use]
pub(crate) fn split(value: i32, shift: u8) -> (i32, i32) {
    let raised = value.wrapping_add(1 << (shift - 1));
    (raised >> shift, raised & ((1 << shift) - 1))
}

fn area(shape: Shape) -> usize {
    usize::try_from(shape.area()).unwrap_or(usize::MAX).max(1)
}

fn dot(weights: &[i16], input: &[i32]) -> i32 {
    weights.iter().zip(input).fold(0, |sum, (weight, value)| sum.wrapping_add(i32::from(*weight).wrapping_mul(*value)))
}

#[derive(Clone, Copy)]
struct Window {
    kernel: usize,
    padding: usize,
}

fn convolve(input: &[i32], shape: Shape, outputs: usize, window: Window, weights: &[i16]) -> Vec<i32> {
    let (height, width, channels) = (shape.height as usize, shape.width as usize, shape.channels as usize);
    let Window { kernel, padding } = window;
    let at = |channel: usize, y: usize, x: usize| {
        let (y, x) = (y.checked_sub(padding)?, x.checked_sub(padding)?);
        (y < height && x < width).then(|| input.get((channel * height + y) * width + x).copied())?
    };
    let mut result = Vec::new();
    for output in 0..outputs {
        for y in 0..height + 2 * padding + 1 - kernel {
            for x in 0..width + 2 * padding + 1 - kernel {
                let mut sum = 0_i32;
                for channel in 0..channels {
                    for (dy, dx) in (0..kernel).flat_map(|dy| (0..kernel).map(move |dx| (dy, dx))) {
                        let index = ((output * channels + channel) * kernel + dy) * kernel + dx;
                        let weight = weights.get(index).map_or(0, |weight| i32::from(*weight));
                        sum = sum.wrapping_add(weight.wrapping_mul(at(channel, y + dy, x + dx).unwrap_or(0)));
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

fn pool(input: &[i32], shape: Shape, size: usize) -> Vec<i32> {
    let (height, width) = (shape.height as usize, shape.width as usize);
    let mut result = Vec::new();
    for channel in 0..shape.channels as usize {
        for (y, x) in (0..height / size).flat_map(|y| (0..width / size).map(move |x| (y, x))) {
            let cells = (0..size).flat_map(|dy| (0..size).map(move |dx| (y * size + dy, x * size + dx)));
            let values = cells.filter_map(|(y, x)| input.get((channel * height + y) * width + x));
            result.push(values.fold(0_i32, |sum, value| sum.wrapping_add(*value)));
        }
    }
    result
}
