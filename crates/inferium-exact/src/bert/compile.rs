//! An encoder's float weights and calibration texts to an integer model.
//!
//! Every scale is chosen once: activations by what calibration saw, weights as fine as the interval analysis of the sums
//! that they are in allows. Weights of up to 16 bits cost nothing more than those of 8: they are stored and
//! multiplied as 16-bit numbers either way.

use super::forward::{LayerRanges, gelu};
use super::{FloatBert, Layer, Linear, Norm};
use crate::compile::{CompileError, window};
use crate::interval::{Interval, after};
use crate::model::{Model, ModelError, Node, Op, Shape, TABLE_BITS_MAX, Table};
use crate::sequence::{Channels, RECIPROCAL_BITS};

/// Sums are laid out to stay within this, a little less than 2^29: twice that is the widest window of a table.
const SUM_MAX: f64 = 526_000_000.0;
/// Largest entry of an embedding's tables.
const EMBEDDED_MAX: f64 = 16_383.0;
/// Largest activation.
const ACTIVATION_MAX: f64 = 4_095.0;
/// Largest activation between the two layers of a feed-forward part, whose sums are four times as long.
const INNER_MAX: f64 = 2_047.0;
/// Largest query, key and value.
const HEAD_MAX: f64 = 2_047.0;
/// A residual's part from a layer may be larger than the residual itself, up to this.
const PART_MAX: f64 = 32_767.0;
/// How much finer than one step of the activation a table's index is, in bits, where the interval leaves room.
const INDEX_BITS_FINER: f64 = 3.0;
/// Step of the exponentials' index, in nats.
const EXPONENT_STEP: f64 = 1.0 / 512.0;
/// Where exponentials end, in nats.
const EXPONENT_END: f64 = 12.0;
/// Bits of a row's shares.
const SHARE_BITS: u8 = 16;
/// Least reciprocal of a sum of exponentials, when all of the longest sequence are equal.
const RECIPROCAL_LEAST: i64 = 1 << 8;
/// Bits that a normalisation drops: its results have 16 with their sign.
const NORM_SHIFT: u8 = 14;

/// A tensor of the integer model: its index among inputs of nodes, and what a 1 stands for.
#[derive(Debug, Clone, Copy)]
struct Value {
    index: u32,
    scale: f64,
}

/// A scale, which weights or texts of absurd size make none.
fn sound(scale: f64) -> Result<f64, CompileError> {
    match scale.is_finite() && scale > 0.0 {
        true => Ok(scale),
        false => Err(CompileError::Calibration("values that leave the range of floats".to_owned())),
    }
}

struct Builder {
    model: Model,
    all: Vec<Channels>,
}

/// Compiles an encoder; `calibration` are texts as the model will meet them, as token ids with their special tokens, some
/// dozens. The model takes token ids, and its output is the sum of the last layer's rows: its direction is the
/// embedding, and who reads it scales it to length 1.
///
/// # Errors
/// [`CompileError`] when calibration is missing or does not fit, or the result is not a model of the contract.
pub fn compile_bert(float: &FloatBert, calibration: &[Vec<i32>]) -> Result<Model, CompileError> {
    if calibration.is_empty() {
        return Err(CompileError::Calibration("no texts".to_owned()));
    }
    let mut ranges = float.ranges();
    for tokens in calibration {
        float.rows(tokens, &mut ranges)?;
    }
    let last = float.vocabulary().saturating_sub(1);
    let input_max = i16::try_from(last).map_err(|_| ModelError::Size("the vocabulary: at most 32,768 tokens"))?;
    let input = Shape { channels: 1, height: 1, width: float.config.length };
    let model = Model { name: float.name.clone(), input, input_min: 0, input_max, nodes: Vec::new() };
    let tokens = Interval { min: 0, max: input_max.into() };
    let mut builder = Builder { model, all: vec![vec![tokens]] };
    let embedded = builder.embed(float)?;
    let bound = ranges.norm.bound();
    let mut stream = builder.normalise(embedded, &float.norm, bound, float.config.norm_epsilon)?;
    for (layer, ranges) in float.layers.iter().zip(&ranges.layers) {
        stream = builder.layer(float, layer, ranges, stream)?;
    }
    builder.push(Op::SumPositions, stream.index)?;
    builder.model.check()?;
    Ok(builder.model)
}

impl Builder {
    fn push(&mut self, op: Op, input: u32) -> Result<u32, CompileError> {
        let index = self.model.nodes.len();
        self.model.nodes.push(Node { op, input });
        let shapes = self.model.shapes()?;
        if let Some(node) = self.model.nodes.get(index) {
            let channels = after(&self.model, index, node, &self.all, &shapes)?;
            self.all.push(channels);
        }
        u32::try_from(index + 1).map_err(|_| ModelError::Size("number of nodes").into())
    }

    fn channels(&self, value: Value) -> &[Interval] {
        self.all.get(value.index as usize).map_or(&[], Vec::as_slice)
    }

    fn embed(&mut self, float: &FloatBert) -> Result<Value, CompileError> {
        let scale = largest(&float.words).max(largest(&float.positions)) / EMBEDDED_MAX;
        let table = |floats: &[f32]| floats.iter().map(|float| short(f64::from(*float) / scale)).collect();
        let (tokens, positions) = (table(&float.words), table(&float.positions));
        let outputs = u32::try_from(float.width).map_err(|_| ModelError::Size("the width"))?;
        let index = self.push(Op::Embedding { outputs, tokens, positions }, 0)?;
        Ok(Value { index, scale })
    }

    fn layer(
        &mut self,
        float: &FloatBert,
        layer: &Layer,
        ranges: &LayerRanges,
        stream: Value,
    ) -> Result<Value, CompileError> {
        let epsilon = float.config.norm_epsilon;
        let step = |bound: f64, largest: f64| bound / largest;
        let mut head = |linear: &Linear, bound: f64| {
            let sums = self.linear(linear, stream)?;
            self.requantise(sums, step(bound, HEAD_MAX), HEAD_MAX, |x| x)
        };
        let query = head(&layer.query, ranges.query.bound())?;
        let key = head(&layer.key, ranges.key.bound())?;
        let value = head(&layer.value, ranges.value.bound())?;
        let mixed = self.attend(float, query, key, value)?;
        let mixed = self.requantise(mixed, step(ranges.mixed.bound(), ACTIVATION_MAX), ACTIVATION_MAX, |x| x)?;
        let part = self.linear(&layer.attended, mixed)?;
        let sum = self.residual(stream, part)?;
        let stream = self.normalise(sum, &layer.attended_norm, ranges.attended_norm.bound(), epsilon)?;
        let inner = self.linear(&layer.up, stream)?;
        let inner = self.requantise(inner, step(ranges.inner.bound(), INNER_MAX), INNER_MAX, gelu)?;
        let part = self.linear(&layer.down, inner)?;
        let sum = self.residual(stream, part)?;
        self.normalise(sum, &layer.norm, ranges.norm.bound(), epsilon)
    }

    /// A part in the residual's scale, added to it.
    fn residual(&mut self, stream: Value, part: Value) -> Result<Value, CompileError> {
        let part = self.requantise(part, stream.scale, PART_MAX, |x| x)?;
        let index = self.push(Op::Add { other: part.index }, stream.index)?;
        Ok(Value { index, scale: stream.scale })
    }

    /// Weights in the finest unit for which no sum can leave its range, and biases in the scale of the sums.
    fn linear(&mut self, linear: &Linear, x: Value) -> Result<Value, CompileError> {
        let channels = self.channels(x);
        let rows = linear.weights.chunks_exact(channels.len().max(1)).zip(&linear.biases);
        let reach = |(row, bias): (&[f32], &f32)| {
            let (mut low, mut high) = (0.0, 0.0);
            for (weight, channel) in row.iter().zip(channels) {
                let (a, b) = (f64::from(*weight) * channel.min as f64, f64::from(*weight) * channel.max as f64);
                low += a.min(b).min(0.0);
                high += a.max(b).max(0.0);
            }
            high.max(-low) + f64::from(bias.abs()) / x.scale
        };
        let farthest = rows.map(reach).fold(0.0, f64::max);
        let unit = (farthest / SUM_MAX).max(largest(&linear.weights) / f64::from(i16::MAX)).max(f64::MIN_POSITIVE);
        let weights = linear.weights.iter().map(|weight| short(f64::from(*weight) / unit)).collect();
        let scale = unit * x.scale;
        let biases = linear.biases.iter().map(|bias| int(f64::from(*bias) / scale)).collect();
        let outputs = u32::try_from(linear.biases.len()).map_err(|_| ModelError::Size("a layer"))?;
        let sums = self.push(Op::Conv2d { outputs, kernel: 1, padding: 0, weights }, x.index)?;
        let index = self.push(Op::Affine { mantissas: Vec::new(), biases }, sums)?;
        Ok(Value { index, scale })
    }

    /// A table that makes activations of `step` each, within ± `bound`, of what a function makes of the values.
    fn requantise(
        &mut self,
        z: Value,
        step: f64,
        bound: f64,
        function: impl Fn(f64) -> f64,
    ) -> Result<Value, CompileError> {
        let reach = self.channels(z).iter().fold(Interval::POINT, |sum, one| sum.union(*one));
        let (step, scale) = (sound(step)?, sound(z.scale)?);
        let wanted = ((step / scale).log2() - INDEX_BITS_FINER).floor().clamp(1.0, 16.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 16")]
        let (shift, first, bits) = window(reach, wanted as u8)?;
        let width = z.scale * f64::from(1_u32 << shift);
        let entry = |offset: i32| short((function(f64::from(first + offset) * width) / step).clamp(-bound, bound));
        let table = Table { first, values: (0..1_i32 << bits).map(entry).collect() };
        let index = self.push(Op::Requantise { shift, table }, z.index)?;
        Ok(Value { index, scale: step })
    }

    fn attend(&mut self, float: &FloatBert, query: Value, key: Value, value: Value) -> Result<Value, CompileError> {
        let heads = float.config.heads;
        let scores = self.push(Op::Scores { heads, keys: key.index }, query.index)?;
        let size = float.width as f64 / f64::from(heads.max(1));
        let nats = sound(query.scale * key.scale / size.sqrt())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 16")]
        let shift = (EXPONENT_STEP / nats).log2().floor().clamp(1.0, 16.0) as u8;
        let width = nats * f64::from(1_u32 << shift);
        let count = int(EXPONENT_END / width).clamp(1, 1 << TABLE_BITS_MAX).cast_unsigned().next_power_of_two();
        // The longest sequence's sum still has a reciprocal of some bits.
        let whole = (1_i64 << RECIPROCAL_BITS) / RECIPROCAL_LEAST / i64::from(float.config.length.max(1));
        let whole = whole.clamp(1, i64::from(i16::MAX)) as f64;
        let exponential = |index: u32| short(whole * (-f64::from(index) * width).exp());
        let exponentials = (0..count).map(exponential).collect();
        let shares = self.push(Op::Softmax { shift, bits: SHARE_BITS, exponentials }, scores)?;
        let index = self.push(Op::Mix { values: value.index }, shares)?;
        Ok(Value { index, scale: value.scale / f64::from(1_u32 << SHARE_BITS) })
    }

    /// Normalised, scaled by channel, and in activations whose largest stands for `bound`.
    fn normalise(&mut self, x: Value, norm: &Norm, bound: f64, epsilon: f64) -> Result<Value, CompileError> {
        let count = norm.gains.len() as f64;
        let epsilon = int(count * epsilon / x.scale.powi(2)).max(1).cast_unsigned();
        let index = self.push(Op::Normalise { is_centred: true, epsilon, shift: NORM_SHIFT }, x.index)?;
        let bits = RECIPROCAL_BITS - NORM_SHIFT;
        let unit = count.sqrt() / f64::from(1_u32 << bits);
        let sizes = norm.gains.iter().zip(&norm.biases);
        let farthest = sizes.map(|(gain, bias)| f64::from(gain.abs()) * count.sqrt() + f64::from(bias.abs()));
        let farthest = farthest.fold(f64::MIN_POSITIVE, f64::max);
        let scale = farthest / SUM_MAX;
        let scale = scale.max(largest(&norm.gains) * unit / f64::from(i16::MAX));
        let gains = norm.gains.iter().map(|gain| short(f64::from(*gain) * unit / scale)).collect();
        let biases = norm.biases.iter().map(|bias| int(f64::from(*bias) / scale)).collect();
        let index = self.push(Op::Scale { gains, biases }, index)?;
        self.requantise(Value { index, scale }, bound / ACTIVATION_MAX, ACTIVATION_MAX, |x| x)
    }
}

fn largest(floats: &[f32]) -> f64 {
    floats.iter().fold(0.0, |max, float| max.max(f64::from(float.abs())))
}

/// The nearest 16-bit number.
#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn short(float: f64) -> i16 {
    float.round() as i16
}

/// The nearest 32-bit number; the gate refuses what is too large.
#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn int(float: f64) -> i32 {
    float.round() as i32
}
