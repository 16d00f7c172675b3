//! What is left of a model without its numbers: kinds, sizes and how many numbers there are of each sort. Shapes
//! follow from that alone, so somebody who knows only the sizes behind a model's id knows where every value of a run
//! stands.

use crate::model::{ELEMENTS_MAX, Model, ModelError, Node, Op, SEQUENCE_VALUES_MAX, SHIFT_MAX, Shape, TABLE_BITS_MAX};
use crate::model::{NODES_MAX, VALUES_MAX};
use crate::sequence::{self, Form};

/// An operation's kind and sizes; of its numbers how many there are, [`u32::MAX`] for more than that, which no model
/// of the contract has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    Dense { outputs: u32, weights: u32 },
    Conv2d { outputs: u32, kernel: u32, padding: u32, weights: u32 },
    SumPool { size: u32 },
    Affine { mantissas: u32, biases: u32 },
    Requantise { shift: u8, first: i32, entries: u32 },
    Flatten,
    Embedding { outputs: u32, tokens: u32, positions: u32 },
    Scores { heads: u32, keys: u32 },
    Softmax { shift: u8, bits: u8, exponentials: u32 },
    Mix { values: u32 },
    Add { other: u32 },
    Normalise { is_centred: bool, epsilon: u32, shift: u8 },
    Scale { gains: u32, biases: u32 },
    SumPositions,
}

impl Sizes {
    pub(crate) fn of(op: &Op) -> Self {
        let shorts = |values: &[i16]| u32::try_from(values.len()).unwrap_or(u32::MAX);
        let longs = |values: &[i32]| u32::try_from(values.len()).unwrap_or(u32::MAX);
        match op {
            Op::Dense { outputs, weights } => Self::Dense { outputs: *outputs, weights: shorts(weights) },
            Op::Conv2d { outputs, kernel, padding, weights } => {
                Self::Conv2d { outputs: *outputs, kernel: *kernel, padding: *padding, weights: shorts(weights) }
            }
            Op::SumPool { size } => Self::SumPool { size: *size },
            Op::Affine { mantissas, biases } => {
                let mantissas = u32::try_from(mantissas.len()).unwrap_or(u32::MAX);
                Self::Affine { mantissas, biases: longs(biases) }
            }
            Op::Requantise { shift, table } => {
                Self::Requantise { shift: *shift, first: table.first, entries: shorts(&table.values) }
            }
            Op::Flatten => Self::Flatten,
            Op::Embedding { outputs, tokens, positions } => {
                Self::Embedding { outputs: *outputs, tokens: shorts(tokens), positions: shorts(positions) }
            }
            Op::Scores { heads, keys } => Self::Scores { heads: *heads, keys: *keys },
            Op::Softmax { shift, bits, exponentials } => {
                Self::Softmax { shift: *shift, bits: *bits, exponentials: shorts(exponentials) }
            }
            Op::Mix { values } => Self::Mix { values: *values },
            Op::Add { other } => Self::Add { other: *other },
            Op::Normalise { is_centred, epsilon, shift } => {
                Self::Normalise { is_centred: *is_centred, epsilon: *epsilon, shift: *shift }
            }
            Op::Scale { gains, biases } => Self::Scale { gains: shorts(gains), biases: longs(biases) },
            Op::SumPositions => Self::SumPositions,
        }
    }

    /// As the model's id holds them: the kind, which is its order in the codec, then the sizes.
    pub(crate) fn words(self) -> Vec<u32> {
        match self {
            Self::Dense { outputs, weights } => vec![0, outputs, weights],
            Self::Conv2d { outputs, kernel, padding, weights } => vec![1, outputs, kernel, padding, weights],
            Self::SumPool { size } => vec![2, size],
            Self::Affine { mantissas, biases } => vec![3, mantissas, biases],
            Self::Requantise { shift, first, entries } => vec![4, shift.into(), first.cast_unsigned(), entries],
            Self::Flatten => vec![5],
            Self::Embedding { outputs, tokens, positions } => vec![6, outputs, tokens, positions],
            Self::Scores { heads, keys } => vec![7, heads, keys],
            Self::Softmax { shift, bits, exponentials } => vec![8, shift.into(), bits.into(), exponentials],
            Self::Mix { values } => vec![9, values],
            Self::Add { other } => vec![10, other],
            Self::Normalise { is_centred, epsilon, shift } => vec![11, is_centred.into(), epsilon, shift.into()],
            Self::Scale { gains, biases } => vec![12, gains, biases],
            Self::SumPositions => vec![13],
        }
    }

    /// The sizes that [`Sizes::words`] gives these words of; none of any others.
    pub(crate) fn read(words: &[u32]) -> Option<Self> {
        let byte = |word: u32| u8::try_from(word).ok();
        Some(match *words {
            [0, outputs, weights] => Self::Dense { outputs, weights },
            [1, outputs, kernel, padding, weights] => Self::Conv2d { outputs, kernel, padding, weights },
            [2, size] => Self::SumPool { size },
            [3, mantissas, biases] => Self::Affine { mantissas, biases },
            [4, shift, first, entries] => Self::Requantise { shift: byte(shift)?, first: first.cast_signed(), entries },
            [5] => Self::Flatten,
            [6, outputs, tokens, positions] => Self::Embedding { outputs, tokens, positions },
            [7, heads, keys] => Self::Scores { heads, keys },
            [8, shift, bits, exponentials] => Self::Softmax { shift: byte(shift)?, bits: byte(bits)?, exponentials },
            [9, values] => Self::Mix { values },
            [10, other] => Self::Add { other },
            [11, centred @ (0 | 1), epsilon, shift] => {
                Self::Normalise { is_centred: centred == 1, epsilon, shift: byte(shift)? }
            }
            [12, gains, biases] => Self::Scale { gains, biases },
            [13] => Self::SumPositions,
            _ => return None,
        })
    }

    /// Bytes of one number of each part that the operation has, in order; a part can be without numbers.
    pub(crate) const fn widths(self) -> &'static [usize] {
        match self {
            Self::Dense { .. } | Self::Conv2d { .. } | Self::Requantise { .. } | Self::Softmax { .. } => &[2],
            Self::Embedding { .. } => &[2, 2],
            Self::Affine { .. } => &[1, 4],
            Self::Scale { .. } => &[2, 4],
            Self::SumPool { .. } | Self::Flatten | Self::Scores { .. } | Self::Mix { .. } | Self::Add { .. } => &[],
            Self::Normalise { .. } | Self::SumPositions => &[],
        }
    }

    /// The second tensor that it reads, if it reads one: 0 is the model's input, `n` the result of node `n − 1`.
    pub(crate) const fn second(self) -> Option<u32> {
        match self {
            Self::Scores { keys: second, .. } | Self::Mix { values: second } | Self::Add { other: second } => {
                Some(second)
            }
            Self::Dense { .. } | Self::Conv2d { .. } | Self::SumPool { .. } | Self::Affine { .. } => None,
            Self::Requantise { .. } | Self::Flatten | Self::Embedding { .. } | Self::Softmax { .. } => None,
            Self::Normalise { .. } | Self::Scale { .. } | Self::SumPositions => None,
        }
    }

    /// Shape of the result of an operation on one tensor, whatever its axes mean, or what does not fit.
    pub(crate) fn output(self, input: Shape) -> Result<Shape, &'static str> {
        match self {
            Self::Dense { outputs, weights } => {
                let is_vector = input.height == 1 && input.width == 1;
                let expected = u64::from(outputs).saturating_mul(input.elements());
                match is_vector && outputs > 0 && u64::from(weights) == expected && expected <= ELEMENTS_MAX {
                    true => Ok(Shape::vector(outputs)),
                    false => Err("weights of a dense layer are outputs times the vector's length"),
                }
            }
            Self::Conv2d { outputs, kernel, padding, weights } => convolved(input, outputs, kernel, padding, weights),
            Self::SumPool { size } => match size > 1 && size <= 16 && input.height >= size && input.width >= size {
                true => Ok(Shape { channels: input.channels, height: input.height / size, width: input.width / size }),
                false => Err("blocks of a pooling"),
            },
            Self::Affine { mantissas, biases } => {
                match [0, input.channels].contains(&mantissas) && biases == input.channels {
                    true => Ok(input),
                    false => Err("mantissas and biases are one for each channel"),
                }
            }
            Self::Requantise { shift, entries, .. } => match (1..=SHIFT_MAX).contains(&shift) && is_table(entries) {
                true => Ok(input),
                false => Err("shift or table of a requantisation"),
            },
            Self::Flatten => match u32::try_from(input.elements()) {
                Ok(length) => Ok(Shape::vector(length)),
                Err(_) => Err("too long for a vector"),
            },
            Self::Embedding { outputs, tokens, positions } => sequence::embedded(input, outputs, tokens, positions),
            Self::Softmax { shift, bits, exponentials } => {
                let is_sound = (1..=sequence::SHARE_BITS_MAX).contains(&bits) && is_table(exponentials);
                match is_sound && (1..=SHIFT_MAX).contains(&shift) {
                    true => Ok(input),
                    false => Err(SOFTMAX),
                }
            }
            Self::Normalise { epsilon, shift, .. } => {
                let is_sound = input.channels <= sequence::NORMALISED_MAX && epsilon > 0;
                match is_sound && (1..=SHIFT_MAX).contains(&shift) {
                    true => Ok(input),
                    false => Err("channels, epsilon or shift of a normalisation"),
                }
            }
            Self::Scale { gains, biases } => match gains == input.channels && biases == input.channels {
                true => Ok(input),
                false => Err("gains and biases are one for each channel"),
            },
            Self::SumPositions => Ok(Shape::vector(input.channels)),
            Self::Scores { .. } | Self::Mix { .. } | Self::Add { .. } => Err("an operation on two tensors"),
        }
    }
}

pub(crate) const SOFTMAX: &str = "shift, bits or exponentials of a softmax";

const fn is_table(entries: u32) -> bool {
    entries.is_power_of_two() && entries <= 1 << TABLE_BITS_MAX
}

fn convolved(input: Shape, outputs: u32, kernel: u32, padding: u32, weights: u32) -> Result<Shape, &'static str> {
    if kernel == 0 || kernel > 64 || padding >= kernel || outputs == 0 {
        return Err("window of a convolution");
    }
    let expected = [u64::from(kernel), u64::from(kernel), u64::from(input.channels)]
        .iter()
        .fold(u64::from(outputs), |product, factor| product.saturating_mul(*factor));
    let side = |length: u32| {
        let padded = length.checked_add(2 * padding).ok_or("side of a convolution")?;
        padded.checked_sub(kernel).map(|rest| rest + 1).ok_or("window larger than what it slides over")
    };
    if u64::from(weights) != expected || expected > ELEMENTS_MAX {
        return Err("weights of a convolution are outputs times channels times its window");
    }
    Ok(Shape { channels: outputs, height: side(input.height)?, width: side(input.width)? })
}

/// A node's sizes, and which tensor it is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) sizes: Sizes,
    pub(crate) input: u32,
}

impl Step {
    pub(crate) fn of(node: &Node) -> Self {
        Self { sizes: Sizes::of(&node.op), input: node.input }
    }
}

/// A model without its numbers and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    pub(crate) input: Shape,
    pub(crate) input_min: i16,
    pub(crate) input_max: i16,
    pub(crate) steps: Vec<Step>,
}

impl Graph {
    pub(crate) fn of(model: &Model) -> Self {
        let Model { input, input_min, input_max, nodes, .. } = model;
        let steps = nodes.iter().map(Step::of).collect();
        Self { input: *input, input_min: *input_min, input_max: *input_max, steps }
    }

    pub(crate) fn is_sequence(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.sizes, Sizes::Embedding { .. }))
    }

    /// Shapes of the input and of every node's result when the input has this width. `own` says of a node what its
    /// numbers have wrong, which the sizes do not tell.
    ///
    /// # Errors
    /// [`ModelError`] at the first node that does not fit, or a size out of bounds.
    pub(crate) fn shapes_at(
        &self,
        width: u32,
        own: impl Fn(usize) -> Result<(), &'static str>,
    ) -> Result<Vec<Shape>, ModelError> {
        if self.steps.is_empty() || self.steps.len() > NODES_MAX {
            return Err(ModelError::Size("number of nodes"));
        }
        if self.input_min > self.input_max {
            return Err(ModelError::Size("name or input range"));
        }
        let is_sequence = self.is_sequence();
        if width > self.input.width || (width < self.input.width && !is_sequence) {
            return Err(ModelError::Size("length of the input"));
        }
        let mut room = Room::new(is_sequence);
        let input = Form { shape: Shape { width, ..self.input }, is_long: [false, is_sequence] };
        room.take(input.shape)?;
        let mut forms = vec![input];
        for (index, step) in self.steps.iter().enumerate() {
            let form = own(index).and_then(|()| sequence::form(self, step, &forms));
            let form = form.map_err(|what| ModelError::Shape { node: index, what })?;
            room.take(form.shape)?;
            forms.push(form);
        }
        Ok(forms.iter().map(|form| form.shape).collect())
    }
}

/// What is left of the bounds on elements and on channels of all shapes.
struct Room {
    elements: u64,
    channels: u64,
}

impl Room {
    fn new(is_sequence: bool) -> Self {
        Self { elements: if is_sequence { SEQUENCE_VALUES_MAX } else { VALUES_MAX }, channels: VALUES_MAX }
    }

    fn take(&mut self, shape: Shape) -> Result<(), ModelError> {
        let left = |room: u64, taken: u64| room.checked_sub(taken).filter(|_| taken > 0);
        let elements = left(self.elements, shape.elements()).filter(|_| shape.elements() <= VALUES_MAX);
        let channels = left(self.channels, shape.channels.into());
        (self.elements, self.channels) = elements.zip(channels).ok_or(ModelError::Size("a tensor"))?;
        Ok(())
    }
}
