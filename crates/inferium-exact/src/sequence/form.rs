//! Shapes of results, and which of their axes are as long as the sequence.

use crate::model::{ELEMENTS_MAX, Model, Node, Op, SHIFT_MAX, Shape, TABLE_BITS_MAX};

use super::SHARE_BITS_MAX;

/// A shape, and whether its height and its width are the sequence's length, which differs from input to input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) shape: Shape,
    pub(crate) is_long: [bool; 2],
}

/// The form of a node's result, whose sources are among `forms`; or what does not fit.
pub(crate) fn form(model: &Model, node: &Node, forms: &[Form]) -> Result<Form, &'static str> {
    let read = |index: u32| forms.get(index as usize).copied().ok_or("reads what is computed later");
    let input = read(node.input)?;
    let Some(second) = node.op.second() else { return of_one(model, node, input) };
    of_two(model, node, input, read(second)?)
}

fn of_one(model: &Model, node: &Node, input: Form) -> Result<Form, &'static str> {
    let shape = node.op.output(input.shape)?;
    let is_long = input.is_long.contains(&true);
    match &node.op {
        Op::Dense { .. } | Op::SumPool { .. } | Op::Flatten if is_long => {
            Err("of a sequence, whose length differs, its weights or its shape would depend on the length")
        }
        Op::Conv2d { kernel, .. } if is_long && *kernel != 1 => {
            Err("a convolution of a sequence has a window of one position")
        }
        Op::Embedding { outputs, tokens, positions } => {
            let rows = |count: i64| u64::try_from(count).unwrap_or(0).saturating_mul((*outputs).into());
            let is_whole = tokens.len() as u64 == rows(i64::from(model.input_max) + 1)
                && positions.len() as u64 == rows(model.input.width.into());
            match node.input == 0 && model.input_min >= 0 && is_whole {
                true => Ok(Form { shape, ..input }),
                false => Err("an embedding reads the input, and has a row for each token and each position of it"),
            }
        }
        Op::SumPositions => Ok(Form { shape, is_long: [false; 2] }),
        Op::Dense { .. } | Op::SumPool { .. } | Op::Flatten | Op::Conv2d { .. } | Op::Affine { .. } => {
            Ok(Form { shape, ..input })
        }
        Op::Requantise { .. } | Op::Softmax { .. } | Op::Normalise { .. } | Op::Scale { .. } => {
            Ok(Form { shape, ..input })
        }
        Op::Scores { .. } | Op::Mix { .. } | Op::Add { .. } => Err("an operation on two tensors"),
    }
}

fn of_two(model: &Model, node: &Node, input: Form, second: Form) -> Result<Form, &'static str> {
    let (x, other) = (input.shape, second.shape);
    match &node.op {
        Op::Scores { heads, .. } => {
            let is_sound = x.height == 1 && other.height == 1 && x.channels == other.channels;
            match is_sound && *heads > 0 && x.channels.is_multiple_of(*heads) {
                true => Ok(Form {
                    shape: Shape { channels: *heads, height: x.width, width: other.width },
                    is_long: [input.is_long[1], second.is_long[1]],
                }),
                false => Err("scores are of two tensors of equally many channels, which the heads divide"),
            }
        }
        Op::Mix { .. } => {
            let is_sound = other.height == 1 && other.width == x.width && input.is_long[1] == second.is_long[1];
            match is_sound && other.channels.is_multiple_of(x.channels) && shares(model, node).is_some() {
                true => Ok(Form {
                    shape: Shape { channels: other.channels, height: 1, width: x.height },
                    is_long: [false, input.is_long[0]],
                }),
                false => {
                    Err("a mixture is of the shares of a softmax and as many positions, whose channels they divide")
                }
            }
        }
        Op::Add { .. } if input == second => Ok(input),
        _ => Err("a sum is of two tensors of one shape"),
    }
}

/// The bits of the shares that a node reads, if it reads those of a softmax.
pub(crate) fn shares(model: &Model, node: &Node) -> Option<u8> {
    match &model.nodes.get((node.input as usize).checked_sub(1)?)?.op {
        Op::Softmax { bits, .. } => Some(*bits),
        _ => None,
    }
}

/// Of an embedding, as far as its own numbers say.
pub(crate) fn embedded(input: Shape, outputs: u32, tokens: &[i16], positions: &[i16]) -> Result<Shape, &'static str> {
    let has_rows = |table: &[i16], rows: u64| table.len() as u64 >= rows.saturating_mul(outputs.into());
    let is_bounded = outputs > 0 && [tokens, positions].iter().all(|table| table.len() as u64 <= ELEMENTS_MAX);
    let is_line = input.channels == 1 && input.height == 1;
    match is_bounded && is_line && has_rows(tokens, 1) && has_rows(positions, input.width.into()) {
        true => Ok(Shape { channels: outputs, height: 1, width: input.width }),
        false => Err("tables of an embedding, or what it is applied to"),
    }
}

/// Whether a softmax's own numbers fit the contract.
pub(crate) fn softmax_form(shift: u8, bits: u8, exponentials: &[i16]) -> Result<(), &'static str> {
    let first = exponentials.first().copied().unwrap_or(0);
    let is_table = exponentials.len().is_power_of_two() && exponentials.len() <= 1 << TABLE_BITS_MAX;
    let is_falling = first > 0 && exponentials.iter().all(|entry| (0..=first).contains(entry));
    match (1..=SHIFT_MAX).contains(&shift) && (1..=SHARE_BITS_MAX).contains(&bits) && is_table && is_falling {
        true => Ok(()),
        false => Err("shift, bits or exponentials of a softmax"),
    }
}
