//! Shapes of results, and which of their axes are as long as the sequence.

use crate::model::{ELEMENTS_MAX, Shape};
use crate::sizes::{Graph, Sizes, Step};

/// A shape, and whether its height and its width are the sequence's length, which differs from input to input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) shape: Shape,
    pub(crate) is_long: [bool; 2],
}

/// The form of a node's result, whose sources are among `forms`; or what does not fit.
pub(crate) fn form(graph: &Graph, step: &Step, forms: &[Form]) -> Result<Form, &'static str> {
    let read = |index: u32| forms.get(index as usize).copied().ok_or("reads what is computed later");
    let input = read(step.input)?;
    let Some(second) = step.sizes.second() else { return of_one(graph, step, input) };
    of_two(graph, step, input, read(second)?)
}

fn of_one(graph: &Graph, step: &Step, input: Form) -> Result<Form, &'static str> {
    let shape = step.sizes.output(input.shape)?;
    let is_long = input.is_long.contains(&true);
    match step.sizes {
        Sizes::Dense { .. } | Sizes::SumPool { .. } | Sizes::Flatten if is_long => {
            Err("of a sequence, whose length differs, its weights or its shape would depend on the length")
        }
        Sizes::Conv2d { kernel, .. } if is_long && kernel != 1 => {
            Err("a convolution of a sequence has a window of one position")
        }
        Sizes::Embedding { outputs, tokens, positions } => {
            let rows = |count: i64| u64::try_from(count).unwrap_or(0).saturating_mul(outputs.into());
            let is_whole = u64::from(tokens) == rows(i64::from(graph.input_max) + 1)
                && u64::from(positions) == rows(graph.input.width.into());
            match step.input == 0 && graph.input_min >= 0 && is_whole {
                true => Ok(Form { shape, ..input }),
                false => Err("an embedding reads the input, and has a row for each token and each position of it"),
            }
        }
        Sizes::SumPositions => Ok(Form { shape, is_long: [false; 2] }),
        Sizes::Dense { .. } | Sizes::SumPool { .. } | Sizes::Flatten | Sizes::Conv2d { .. } | Sizes::Affine { .. } => {
            Ok(Form { shape, ..input })
        }
        Sizes::Requantise { .. } | Sizes::Softmax { .. } | Sizes::Normalise { .. } | Sizes::Scale { .. } => {
            Ok(Form { shape, ..input })
        }
        Sizes::Scores { .. } | Sizes::Mix { .. } | Sizes::Add { .. } => Err("an operation on two tensors"),
    }
}

fn of_two(graph: &Graph, step: &Step, input: Form, second: Form) -> Result<Form, &'static str> {
    let (x, other) = (input.shape, second.shape);
    match step.sizes {
        Sizes::Scores { heads, .. } => {
            let is_sound = x.height == 1 && other.height == 1 && x.channels == other.channels;
            match is_sound && heads > 0 && x.channels.is_multiple_of(heads) {
                true => Ok(Form {
                    shape: Shape { channels: heads, height: x.width, width: other.width },
                    is_long: [input.is_long[1], second.is_long[1]],
                }),
                false => Err("scores are of two tensors of equally many channels, which the heads divide"),
            }
        }
        Sizes::Mix { .. } => {
            let is_sound = other.height == 1 && other.width == x.width && input.is_long[1] == second.is_long[1];
            match is_sound && other.channels.is_multiple_of(x.channels) && shares(graph, step).is_some() {
                true => Ok(Form {
                    shape: Shape { channels: other.channels, height: 1, width: x.height },
                    is_long: [false, input.is_long[0]],
                }),
                false => {
                    Err("a mixture is of the shares of a softmax and as many positions, whose channels they divide")
                }
            }
        }
        Sizes::Add { .. } if input == second => Ok(input),
        _ => Err("a sum is of two tensors of one shape"),
    }
}

/// The bits of the shares that a node reads, if it reads those of a softmax.
pub(crate) fn shares(graph: &Graph, step: &Step) -> Option<u8> {
    match graph.steps.get((step.input as usize).checked_sub(1)?)?.sizes {
        Sizes::Softmax { bits, .. } => Some(bits),
        _ => None,
    }
}

/// Of an embedding, as far as its own numbers say.
pub(crate) fn embedded(input: Shape, outputs: u32, tokens: u32, positions: u32) -> Result<Shape, &'static str> {
    let has_rows = |table: u32, rows: u64| u64::from(table) >= rows.saturating_mul(outputs.into());
    let is_bounded = outputs > 0 && [tokens, positions].iter().all(|table| u64::from(*table) <= ELEMENTS_MAX);
    let is_line = input.channels == 1 && input.height == 1;
    match is_bounded && is_line && has_rows(tokens, 1) && has_rows(positions, input.width.into()) {
        true => Ok(Shape { channels: outputs, height: 1, width: input.width }),
        false => Err("tables of an embedding, or what it is applied to"),
    }
}
