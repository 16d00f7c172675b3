//! Float weights and calibration inputs to a model. The only place where floats are, and nothing of it runs later.

use thiserror::Error;

use crate::interval::{Interval, indices, intervals};
use crate::kernel::apply_all;
use crate::model::{Model, ModelError, Node, Op, Shape, TABLE_BITS_MAX, Table};
use crate::run::{RunError, check_input};

/// Largest activation behind a table.
const ACTIVATION_MAX: f64 = 127.0;
/// Bits of weights, without their sign.
const WEIGHT_MAX: f64 = 127.0;
/// Mantissas that scale a channel's sums, from the finest on; a coarser one is taken where sums would get too large.
/// Each bit less halves a sum's range, and with it the tables that it needs.
const MANTISSAS: [u8; 3] = [7, 3, 1];
/// How much finer than one step of the activation the table's index should be, in bits.
const INDEX_BITS_FINER: i32 = 2;

/// A layer of float weights.
#[derive(Debug, Clone, PartialEq)]
pub enum FloatLayer {
    /// `y[o] = Σ_i w[o][i] x[i] + b[o]`.
    Dense {
        /// Row by row, one row for each output.
        weights: Vec<f32>,
        /// One for each output.
        biases: Vec<f32>,
    },
    /// Windows of `kernel`², zeros around.
    Conv2d {
        /// Side of the window.
        kernel: u32,
        /// Zeros around.
        padding: u32,
        /// By output channel, input channel, row, column.
        weights: Vec<f32>,
        /// One for each output channel.
        biases: Vec<f32>,
    },
    /// Negative values become 0; only behind a layer of weights.
    Relu,
    /// Mean of blocks of this side.
    AveragePool(u32),
    /// To a vector.
    Flatten,
}

/// A float model over integer inputs: element `x` stands for `x · input_scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatModel {
    /// For people.
    pub name: String,
    /// Shape of the input.
    pub input: Shape,
    /// Smallest and largest input element.
    pub input_range: (i16, i16),
    /// What an input of 1 stands for.
    pub input_scale: f32,
    /// Layers in order.
    pub layers: Vec<FloatLayer>,
}

/// Why weights did not become a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// A layer does not fit those before it.
    #[error("layer {layer}: {what}")]
    Layer {
        /// Which layer.
        layer: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// There is nothing to calibrate with, or what there is does not fit the model.
    #[error("calibration: {0}")]
    Calibration(String),
    /// The result is not a model of the contract.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A model under construction, the calibration's values at its end, and what a 1 there stands for.
struct Builder {
    model: Model,
    values: Vec<Vec<i32>>,
    scale: f64,
}

/// Compiles a float model; `calibration` are inputs as the model will meet them, some dozens.
///
/// # Errors
/// [`CompileError`] when layers do not fit, calibration is missing, or sums would leave the contract's range.
pub fn compile(float: &FloatModel, calibration: &[Vec<i32>]) -> Result<Model, CompileError> {
    let model = Model {
        name: float.name.clone(),
        input: float.input,
        input_min: float.input_range.0,
        input_max: float.input_range.1,
        nodes: Vec::new(),
    };
    if calibration.is_empty() {
        return Err(CompileError::Calibration("no inputs".to_owned()));
    }
    for input in calibration {
        check_input(&model, input).map_err(|error: RunError| CompileError::Calibration(error.to_string()))?;
    }
    let mut builder = Builder { model, values: calibration.to_vec(), scale: f64::from(float.input_scale) };
    let mut layers = float.layers.iter().enumerate().peekable();
    while let Some((index, layer)) = layers.next() {
        let next = layers.peek().map(|(_, next)| *next);
        builder.layer(index, layer, next)?;
        // A rectifier is part of the table behind the layer of weights before it.
        if next == Some(&FloatLayer::Relu) {
            layers.next();
        }
    }
    builder.model.check()?;
    Ok(builder.model)
}

impl Builder {
    fn layer(&mut self, index: usize, layer: &FloatLayer, next: Option<&FloatLayer>) -> Result<(), CompileError> {
        let wrong = |what| CompileError::Layer { layer: index, what };
        let (op, weights, biases) = match layer {
            FloatLayer::Relu => return Err(wrong("a rectifier stands behind a layer of weights")),
            FloatLayer::Flatten if next != Some(&FloatLayer::Relu) => return self.push(Op::Flatten),
            FloatLayer::AveragePool(size) if next != Some(&FloatLayer::Relu) => {
                self.scale /= f64::from(*size).powi(2);
                return self.push(Op::SumPool { size: *size });
            }
            FloatLayer::Flatten | FloatLayer::AveragePool(_) => {
                return Err(wrong("a rectifier stands behind a layer of weights"));
            }
            FloatLayer::Dense { weights, biases } => {
                let outputs = u32::try_from(biases.len()).map_err(|_| wrong("too wide"))?;
                (Op::Dense { outputs, weights: Vec::new() }, weights, biases)
            }
            FloatLayer::Conv2d { kernel, padding, weights, biases } => {
                let outputs = u32::try_from(biases.len()).map_err(|_| wrong("too wide"))?;
                (Op::Conv2d { outputs, kernel: *kernel, padding: *padding, weights: Vec::new() }, weights, biases)
            }
        };
        let is_sound = !biases.is_empty() && !weights.is_empty() && weights.len() % biases.len() == 0;
        if !is_sound || weights.iter().chain(biases).any(|weight| !weight.is_finite()) {
            return Err(wrong("weights are missing, not finite, or no multiple of the biases"));
        }
        self.weights(&op, weights, biases, next.is_none())?;
        if next.is_some() { self.requantise(next == Some(&FloatLayer::Relu)) } else { Ok(()) }
    }

    /// Adds the operation to the graph and takes the calibration through it.
    fn push(&mut self, op: Op) -> Result<(), CompileError> {
        let input = u32::try_from(self.model.nodes.len()).map_err(|_| ModelError::Size("number of nodes"))?;
        let shape = match self.model.nodes.is_empty() {
            true => self.model.input,
            false => self.model.shapes()?.last().copied().unwrap_or(self.model.input),
        };
        op.output(shape).map_err(|what| ModelError::Shape { node: input as usize, what })?;
        apply_all(&op, shape, &mut self.values);
        self.model.nodes.push(Node { op, input });
        Ok(())
    }

    /// Sums and their affine step, with the finest mantissas that the range of sums has room for.
    fn weights(&mut self, op: &Op, weights: &[f32], biases: &[f32], is_last: bool) -> Result<(), CompileError> {
        let depth = self.model.nodes.len();
        let mut failure = ModelError::Size("mantissas");
        for finest in MANTISSAS {
            let quantised = quantise(weights, biases, finest, self.scale);
            let op = match op {
                Op::Conv2d { outputs, kernel, padding, .. } => {
                    Op::Conv2d { outputs: *outputs, kernel: *kernel, padding: *padding, weights: quantised.weights }
                }
                _ => Op::Dense { outputs: u32::try_from(biases.len()).unwrap_or(0), weights: quantised.weights },
            };
            let affine = Op::Affine { mantissas: quantised.mantissas, biases: quantised.biases };
            self.model.nodes.truncate(depth);
            let node = u32::try_from(depth).unwrap_or(u32::MAX);
            self.model.nodes.push(Node { op: op.clone(), input: node });
            self.model.nodes.push(Node { op: affine.clone(), input: node.saturating_add(1) });
            let found = intervals(&self.model);
            self.model.nodes.truncate(depth);
            match found.map(|all| all.last().copied()) {
                // A table's window is at most 2^30, which has to hold the whole interval; outputs have no table.
                Ok(Some(last)) if is_last || last.max - last.min < (1 << 30) - (1 << 16) => {
                    self.push(op)?;
                    self.push(affine)?;
                    self.scale = quantised.scale;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error @ ModelError::Overflow { .. }) => failure = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(failure.into())
    }

    /// The table that makes activations of what the affine step gave.
    fn requantise(&mut self, is_rectified: bool) -> Result<(), CompileError> {
        let reach = intervals(&self.model)?.last().copied().ok_or(ModelError::Size("number of nodes"))?;
        let size = |value: &i32| if is_rectified { (*value).max(0) } else { value.saturating_abs() };
        let largest = self.values.iter().flatten().map(size).max().unwrap_or(0).max(1);
        let step = self.scale * f64::from(largest) / ACTIVATION_MAX;
        // The index is finer than the activation, unless the interval is too wide for the largest table.
        #[expect(clippy::cast_possible_truncation, reason = "a small logarithm")]
        let wanted = (step / self.scale).log2().floor() as i32 - INDEX_BITS_FINER;
        let (shift, first, bits) = window(reach, u8::try_from(wanted.clamp(1, 16)).unwrap_or(1))?;
        let width = self.scale * f64::from(1_u32 << shift);
        let lowest = if is_rectified { 0.0 } else { -ACTIVATION_MAX };
        let entry = |offset: i32| {
            let value = (f64::from(first + offset) * width / step).round().clamp(lowest, ACTIVATION_MAX);
            #[expect(clippy::cast_possible_truncation, reason = "clamped to seven bits and a sign")]
            let value = value as i16;
            value
        };
        let table = Table { first, values: (0..1_i32 << bits).map(entry).collect() };
        self.scale = step;
        self.push(Op::Requantise { shift, table })
    }
}

/// The table of an interval of sums: from which shift on, at least this one, its index fits the largest table; its first index; the bits of its length.
pub(crate) fn window(reach: Interval, least: u8) -> Result<(u8, i32, u8), ModelError> {
    let bits = |shift: u8| {
        let reach = indices(reach, shift);
        u8::try_from(64 - (reach.max - reach.min).leading_zeros()).unwrap_or(u8::MAX)
    };
    let mut shift = least;
    while bits(shift) > TABLE_BITS_MAX && shift < 16 {
        shift += 1;
    }
    if bits(shift) > TABLE_BITS_MAX {
        return Err(ModelError::Size("the table that a layer needs"));
    }
    let first = i32::try_from(indices(reach, shift).min).map_err(|_| ModelError::Size("a table"))?;
    Ok((shift, first, bits(shift)))
}

struct Quantised {
    weights: Vec<i16>,
    mantissas: Vec<u8>,
    biases: Vec<i32>,
    scale: f64,
}

/// Weights of each channel to eight bits of its own scale, which is a mantissa times one unit that all channels share.
fn quantise(weights: &[f32], biases: &[f32], finest: u8, scale: f64) -> Quantised {
    let width = weights.len() / biases.len();
    let largest = |row: &[f32]| row.iter().fold(0.0_f64, |max, weight| max.max(f64::from(weight.abs())));
    let largest: Vec<f64> = weights.chunks(width).map(largest).collect();
    let widest = largest.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let unit = widest / WEIGHT_MAX / f64::from(finest);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the finest mantissa")]
    let mantissa = |max: &f64| (max / WEIGHT_MAX / unit).ceil().clamp(1.0, f64::from(finest)) as u8;
    let mantissas: Vec<u8> = largest.iter().map(mantissa).collect();
    let rows = weights.chunks(width).zip(&mantissas);
    #[expect(clippy::cast_possible_truncation, reason = "clamped to seven bits and a sign")]
    let rounded = |weight: &f32, mantissa: u8| {
        (f64::from(*weight) / (unit * f64::from(mantissa))).round().clamp(-WEIGHT_MAX, WEIGHT_MAX) as i16
    };
    let quantised = rows.flat_map(|(row, mantissa)| row.iter().map(move |weight| rounded(weight, *mantissa)));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "casts of floats saturate, and the gate refuses what is too large"
    )]
    let biases = biases.iter().map(|bias| (f64::from(*bias) / (unit * scale)).round() as i32).collect();
    Quantised { weights: quantised.collect(), mantissas, biases, scale: unit * scale }
}

impl FloatModel {
    /// What the float model answers, to compare with: the usual arithmetic, in f64.
    ///
    /// # Errors
    /// [`CompileError::Layer`] where weights do not fit.
    pub fn logits(&self, input: &[i32]) -> Result<Vec<f64>, CompileError> {
        let mut values: Vec<f64> = input.iter().map(|value| f64::from(*value) * f64::from(self.input_scale)).collect();
        let mut shape = self.input;
        for (layer, found) in self.layers.iter().enumerate() {
            let wrong = || CompileError::Layer { layer, what: "does not fit those before it" };
            (values, shape) = float_layer(found, &values, shape).ok_or_else(wrong)?;
        }
        Ok(values)
    }
}

fn float_layer(layer: &FloatLayer, values: &[f64], shape: Shape) -> Option<(Vec<f64>, Shape)> {
    let (height, width) = (shape.height as usize, shape.width as usize);
    let at = |channel: usize, y: Option<usize>, x: Option<usize>| {
        let (y, x) = (y.filter(|y| *y < height)?, x.filter(|x| *x < width)?);
        values.get((channel * height + y) * width + x).copied()
    };
    Some(match layer {
        FloatLayer::Relu => (values.iter().map(|value| value.max(0.0)).collect(), shape),
        FloatLayer::Flatten => (values.to_vec(), Shape::vector(u32::try_from(values.len()).ok()?)),
        FloatLayer::AveragePool(size) => {
            let shape = Op::SumPool { size: *size }.output(shape).ok()?;
            let side = *size as usize;
            let cells = |channel: usize, y: usize, x: usize| {
                let cells = (0..side).flat_map(|dy| (0..side).map(move |dx| (dy, dx)));
                cells.filter_map(|(dy, dx)| at(channel, Some(y * side + dy), Some(x * side + dx))).sum::<f64>()
            };
            let pooled = positions(shape).map(|(channel, y, x)| cells(channel, y, x) / f64::from(*size).powi(2));
            (pooled.collect(), shape)
        }
        FloatLayer::Dense { weights, biases } => {
            let rows = weights.chunks_exact(values.len()).zip(biases);
            let sum = |(row, bias): (&[f32], &f32)| {
                f64::from(*bias) + row.iter().zip(values).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
            };
            (rows.map(sum).collect(), Shape::vector(u32::try_from(biases.len()).ok()?))
        }
        FloatLayer::Conv2d { kernel, padding, weights, biases } => {
            let outputs = u32::try_from(biases.len()).ok()?;
            let sizes = Op::Conv2d { outputs, kernel: *kernel, padding: *padding, weights: vec![0; weights.len()] };
            let (side, padding) = (*kernel as usize, *padding as usize);
            let window = shape.channels as usize * side * side;
            let sum = |(output, y, x): (usize, usize, usize)| {
                let weights = weights.iter().skip(output * window).take(window).enumerate();
                let products = weights.map(|(index, weight)| {
                    let (dy, dx) = (index / side % side, index % side);
                    let value = at(index / (side * side), (y + dy).checked_sub(padding), (x + dx).checked_sub(padding));
                    f64::from(*weight) * value.unwrap_or(0.0)
                });
                products.sum::<f64>() + biases.get(output).map_or(0.0, |bias| f64::from(*bias))
            };
            let shape = sizes.output(shape).ok()?;
            (positions(shape).map(sum).collect(), shape)
        }
    })
}

fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    let (channels, height, width) = (shape.channels as usize, shape.height as usize, shape.width as usize);
    (0..channels).flat_map(move |channel| (0..height).flat_map(move |y| (0..width).map(move |x| (channel, y, x))))
}

#[cfg(test)]
mod tests;
