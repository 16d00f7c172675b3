//! One tile of a run: each element by the definition in `docs/exact.md`, from operands that are asked for one by one.
//!
//! Written apart from the interpreter on purpose. Of values within the gate's bounds the two agree; of others, which
//! only a liar has, this gives something that is the same everywhere.

use crate::sequence::{RECIPROCAL_BITS, inverse_root};
use crate::sizes::Sizes;

use super::TILE;
use super::layout::{Layout, Reading};

/// What a tile is computed from, as far as it was opened.
pub trait Operands {
    /// The value at a position of the stream.
    fn value(&mut self, at: u64) -> Option<i32>;
    /// A number of a node, by part (from 1, as in the model's id) and index in that part; mantissas are unsigned
    /// bytes, all others signed.
    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32>;
}

impl Layout {
    /// Partial sum after `tile` of the value at this position of the stream, from what the sum was `before` it (0 for
    /// the first tile); of operations that are no sums, the value itself. None when an operand is missing, which ends
    /// it at once, or when there is no such tile.
    #[must_use]
    pub fn execute(&self, at: u64, tile: u32, before: i32, operands: &mut dyn Operands) -> Option<i32> {
        let (tensor, index) = self.place(at)?;
        let reading = self.reading(tensor)?;
        if tile >= self.tiles(at)? {
            return None;
        }
        let (height, width) = (u64::from(reading.result.height.max(1)), u64::from(reading.result.width.max(1)));
        let place = Place { index, channel: index / width / height, y: index / width % height, x: index % width };
        let mut element = Element { layout: self, reading, place, operands };
        let Some(count) = reading.operands() else { return element.value() };
        let first = u64::from(tile) * TILE as u64;
        let last = count.min(first + TILE as u64);
        let before = if tile == 0 { 0 } else { before };
        (first..last).try_fold(before, |sum, operand| Some(sum.wrapping_add(element.product(operand)?)))
    }
}

/// Where in the result an element is.
#[derive(Clone, Copy)]
struct Place {
    index: u64,
    channel: u64,
    y: u64,
    x: u64,
}

struct Element<'a> {
    layout: &'a Layout,
    reading: Reading,
    place: Place,
    operands: &'a mut dyn Operands,
}

impl Element<'_> {
    fn first(&mut self, index: u64) -> Option<i32> {
        self.operands.value(self.layout.at(self.reading.step.input, index)?)
    }

    fn second(&mut self, index: u64) -> Option<i32> {
        let second = self.reading.step.sizes.second()?;
        self.operands.value(self.layout.at(second, index)?)
    }

    fn number(&mut self, part: u32, index: u64) -> Option<i32> {
        self.operands.number(self.reading.node, part, index)
    }

    /// One summand of a sum.
    fn product(&mut self, operand: u64) -> Option<i32> {
        let Reading { input, second, .. } = self.reading;
        let Place { index, channel, y, x } = self.place;
        let (height, width) = (u64::from(input.height), u64::from(input.width));
        match self.reading.step.sizes {
            Sizes::Dense { .. } => {
                let weight = self.number(1, index * input.elements() + operand)?;
                Some(weight.wrapping_mul(self.first(operand)?))
            }
            Sizes::Conv2d { kernel, padding, .. } => {
                let (kernel, padding) = (u64::from(kernel.max(1)), u64::from(padding));
                let (from, dy, dx) = (operand / kernel / kernel, operand / kernel % kernel, operand % kernel);
                // Both coordinates are those of the padded input; what is padding reads neither a value nor a weight.
                let inside = |place: u64, side: u64| place.checked_sub(padding).filter(|place| *place < side);
                let (Some(row), Some(column)) = (inside(y + dy, height), inside(x + dx, width)) else {
                    return Some(0);
                };
                let weight = self.number(1, channel * u64::from(input.channels) * kernel * kernel + operand)?;
                Some(weight.wrapping_mul(self.first((from * height + row) * width + column)?))
            }
            Sizes::SumPool { size } => {
                let size = u64::from(size.max(1));
                let (row, column) = (y * size + operand / size, x * size + operand % size);
                self.first((channel * height + row) * width + column)
            }
            Sizes::Scores { heads, .. } => {
                let feature = channel * (u64::from(input.channels) / u64::from(heads.max(1))) + operand;
                let query = self.first(feature * width + y)?;
                Some(query.wrapping_mul(self.second(feature * u64::from(second.width) + x)?))
            }
            Sizes::Mix { .. } => {
                let size = u64::from(second.channels / input.channels.max(1)).max(1);
                let share = self.first((channel / size * height + x) * width + operand)?;
                Some(share.wrapping_mul(self.second(channel * u64::from(second.width) + operand)?))
            }
            Sizes::SumPositions => self.first(index * input.area() + operand),
            _ => None,
        }
    }

    /// An element of an operation that is no sum.
    fn value(&mut self) -> Option<i32> {
        let Place { index, channel, x, .. } = self.place;
        match self.reading.step.sizes {
            Sizes::Affine { mantissas, .. } => {
                let mantissa = if mantissas == 0 { 1 } else { self.number(1, channel)? };
                Some(mantissa.wrapping_mul(self.first(index)?).wrapping_add(self.number(2, channel)?))
            }
            Sizes::Scale { .. } => {
                let gain = self.number(1, channel)?;
                Some(gain.wrapping_mul(self.first(index)?).wrapping_add(self.number(2, channel)?))
            }
            Sizes::Requantise { shift, first, entries } => {
                let entry = rounded(self.first(index)?.into(), shift) - i64::from(first);
                // The gate has no index outside of the table; of a liar's values those outside have some entry, or
                // zero.
                let entry = u64::try_from(entry).unwrap_or(0);
                if entry < u64::from(entries) { self.number(1, entry) } else { Some(0) }
            }
            Sizes::Flatten => self.first(index),
            Sizes::Embedding { outputs, tokens, .. } => {
                let row = |number: u64| number * u64::from(outputs) + channel;
                let token = row(u64::try_from(self.first(x)?).unwrap_or(0));
                let entry = if token < u64::from(tokens) { self.number(1, token)? } else { 0 };
                Some(entry.wrapping_add(self.number(2, row(x))?))
            }
            Sizes::Add { .. } => Some(self.first(index)?.wrapping_add(self.second(index)?)),
            Sizes::Softmax { shift, bits, exponentials } => self.share(shift, bits, exponentials),
            Sizes::Normalise { is_centred, epsilon, shift } => self.normal(is_centred, epsilon, shift),
            _ => None,
        }
    }

    /// What a value of a softmax's row becomes.
    fn share(&mut self, shift: u8, bits: u8, exponentials: u32) -> Option<i32> {
        let Place { index, x, .. } = self.place;
        let width = u64::from(self.reading.input.width);
        let start = index.checked_sub(x)?;
        let mut largest = i64::MIN;
        for column in 0..width {
            largest = largest.max(self.first(start + column)?.into());
        }
        let last = u64::from(exponentials).saturating_sub(1);
        let (mut sum, mut own) = (0_i64, 0_i64);
        for column in 0..width {
            let below = rounded(largest - i64::from(self.first(start + column)?), shift);
            let exponential = i64::from(self.number(1, u64::try_from(below).unwrap_or(0).min(last))?);
            sum = sum.saturating_add(exponential);
            if column == x {
                own = exponential;
            }
        }
        let reciprocal = (1_i64 << RECIPROCAL_BITS) / sum.max(1);
        Some(i32::try_from(own.saturating_mul(reciprocal) >> RECIPROCAL_BITS.saturating_sub(bits)).unwrap_or(0))
    }

    /// What a value of a normalised position becomes.
    fn normal(&mut self, is_centred: bool, epsilon: u32, shift: u8) -> Option<i32> {
        let input = self.reading.input;
        let (area, channels) = (input.area().max(1), u64::from(input.channels.max(1)));
        let position = self.place.index % area;
        let mut sum = 0_i64;
        for channel in 0..channels {
            sum = sum.saturating_add(self.first(channel * area + position)?.into());
        }
        let mean = if is_centred { sum.div_euclid(i64::from(input.channels.max(1))) } else { 0 };
        // A liar's values can be far beyond the gate's ±2^16, and their squares beyond 64 bits.
        let (mut squares, mut own) = (i128::from(epsilon), 0_i64);
        for channel in 0..channels {
            let centred = i64::from(self.first(channel * area + position)?).saturating_sub(mean);
            squares = squares.saturating_add(i128::from(centred).pow(2));
            if channel == self.place.channel {
                own = centred;
            }
        }
        let root = inverse_root(u64::try_from(squares).unwrap_or(u64::MAX));
        Some(i32::try_from(rounded(own.saturating_mul(root.into()), shift)).unwrap_or(0))
    }
}

/// `⌊(z + 2^(shift−1)) / 2^shift⌋`.
fn rounded(value: i64, shift: u8) -> i64 {
    value.saturating_add(1_i64 << shift.saturating_sub(1)) >> shift
}
