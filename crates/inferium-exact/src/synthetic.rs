//! Models with weights drawn from a name: for tests, and for measurements where only sizes matter.

use crate::compile::{CompileError, FloatLayer, FloatModel, compile};
use crate::model::{Model, Shape};

/// Names that [`synthetic`] knows.
pub const SYNTHETIC_NAMES: [&str; 6] = ["mlp-109k", "lenet-5", "dense-4m", "cnn-264k", "mlp-tiny", "cnn-tiny"];

/// What the layers of a synthetic model are drawn from.
struct Draw(blake3::OutputReader);

impl Draw {
    fn new(name: &str, part: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("inferium exact synthetic 2026-11");
        Self(hasher.update(name.as_bytes()).update(b"/").update(part.as_bytes()).finalize_xof())
    }

    fn word(&mut self) -> u16 {
        let mut bytes = [0; 2];
        self.0.fill(&mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Uniform in ±1/√`fan`·√3, so that values keep their size from layer to layer.
    fn weights(&mut self, count: usize, fan: usize) -> Vec<f32> {
        #[expect(clippy::cast_precision_loss, reason = "a layer's width")]
        let bound = (3.0 / fan as f32).sqrt();
        (0..count).map(|_| (f32::from(self.word()) / 32768.0 - 1.0) * bound).collect()
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> FloatLayer {
        FloatLayer::Dense { weights: self.weights(inputs * outputs, inputs), biases: self.weights(outputs, 64) }
    }

    fn conv(&mut self, channels: usize, outputs: usize, kernel: u32, padding: u32) -> FloatLayer {
        let window = channels * (kernel as usize).pow(2);
        let weights = self.weights(window * outputs, window);
        FloatLayer::Conv2d { kernel, padding, weights, biases: self.weights(outputs, 64) }
    }

    fn mlp(&mut self, widths: &[usize]) -> Vec<FloatLayer> {
        let mut layers = Vec::new();
        for pair in widths.windows(2) {
            if let [inputs, outputs] = pair {
                layers.push(self.dense(*inputs, *outputs));
                layers.push(FloatLayer::Relu);
            }
        }
        layers.pop();
        layers
    }
}

/// The model of this name with an input for it, or nothing if there is none. The same on every machine.
///
/// # Errors
/// [`CompileError`], which would be a defect of this crate.
pub fn synthetic(name: &str) -> Result<Option<(Model, Vec<i32>)>, CompileError> {
    use FloatLayer::{AveragePool, Flatten, Relu};
    let mut draw = Draw::new(name, "weights");
    let image = |channels, side| Shape { channels, height: side, width: side };
    let (input, layers) = match name {
        "mlp-109k" => (Shape::vector(784), draw.mlp(&[784, 128, 64, 10])),
        "dense-4m" => (Shape::vector(1024), draw.mlp(&[1024, 1024, 1024, 1024, 512, 512, 10])),
        "mlp-tiny" => (Shape::vector(12), draw.mlp(&[12, 10, 6, 3])),
        "lenet-5" => {
            let mut layers = vec![draw.conv(1, 6, 5, 2), Relu, AveragePool(2), draw.conv(6, 16, 5, 0), Relu];
            layers.extend([AveragePool(2), Flatten]);
            layers.extend(draw.mlp(&[400, 120, 84, 10]));
            (image(1, 28), layers)
        }
        "cnn-264k" => {
            let mut layers = vec![draw.conv(3, 16, 5, 0), Relu, AveragePool(2), draw.conv(16, 32, 5, 0), Relu];
            layers.extend([AveragePool(2), Flatten]);
            layers.extend(draw.mlp(&[800, 256, 168, 10]));
            (image(3, 32), layers)
        }
        "cnn-tiny" => {
            let mut layers = vec![draw.conv(2, 3, 3, 1), Relu, AveragePool(2), draw.conv(3, 2, 2, 0), Relu];
            layers.extend([Flatten, draw.dense(8, 3)]);
            (image(2, 6), layers)
        }
        _ => return Ok(None),
    };
    let float = FloatModel { name: name.to_owned(), input, input_range: (0, 255), input_scale: 1.0 / 255.0, layers };
    let length = usize::try_from(input.elements()).unwrap_or(0);
    let mut draw = Draw::new(name, "inputs");
    let calibration: Vec<Vec<i32>> =
        (0..4).map(|_| (0..length).map(|_| i32::from(draw.word() >> 8)).collect()).collect();
    let model = compile(&float, &calibration)?;
    Ok(calibration.into_iter().next().map(|input| (model, input)))
}
