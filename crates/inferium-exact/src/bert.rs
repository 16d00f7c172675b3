//! Encoders of the BERT kind (all-MiniLM-L6-v2 and its like): float weights, what they answer, and the integer model of them.
//!
//! Floats are here and in `compile`, and nothing of either runs after a model was compiled; beside them only in `direction`.

mod compile;
mod forward;
mod range;

pub use compile::compile_bert;

use safetensors::tensor::{Dtype, SafeTensors};

use crate::weights::WeightsError;

/// Most layers that are read; with this many a model's nodes stay within the contract's bound.
const LAYERS_MAX: usize = 32;

/// What a file of weights does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BertConfig {
    /// Heads of each attention; they divide the width.
    pub heads: u32,
    /// Tokens of the longest sequence that the integer model shall take, up to the positions of the file.
    pub length: u32,
    /// Added to variances.
    pub norm_epsilon: f64,
}

impl BertConfig {
    /// Of all-MiniLM-L6-v2: 12 heads, up to 256 tokens.
    pub const MINILM: Self = Self { heads: 12, length: 256, norm_epsilon: 1e-12 };
}

/// `y = W x + b` at each position.
#[derive(Debug, Clone, PartialEq)]
struct Linear {
    /// Row by row, one row for each output.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

/// Gains and biases behind a normalisation.
#[derive(Debug, Clone, PartialEq)]
struct Norm {
    gains: Vec<f32>,
    biases: Vec<f32>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// An encoder's float weights. Its answer to a text is the mean of the last layer's rows, scaled to length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatBert {
    name: String,
    config: BertConfig,
    width: usize,
    /// A row for each token.
    words: Vec<f32>,
    /// A row for each position up to the longest sequence, with the kind of a first sentence added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl FloatBert {
    /// Channels of each position, and numbers of the answer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of tokens that it knows.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.words.len() / self.width.max(1)
    }
}

/// Reads an encoder from a safetensors file of 32-bit floats with BERT's names (`embeddings.word_embeddings.weight`,
/// `encoder.layer.0.attention.self.query.weight` and so on), with or without `bert.` before them. A pooler is not read.
///
/// # Errors
/// [`WeightsError`] with the tensor that is missing, has another shape than the rest of the file asks for, or is not F32.
pub fn read_bert(name: &str, config: BertConfig, bytes: &[u8]) -> Result<FloatBert, WeightsError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| WeightsError::File(error.to_string()))?;
    let words = "embeddings.word_embeddings.weight";
    let prefix = if tensors.tensor(words).is_err() { "bert." } else { "" };
    let file = File { tensors, prefix };
    let (words, shape) = file.tensor(words)?;
    let &[_, width] = shape.as_slice() else {
        return Err(WeightsError::Tensor("embeddings.word_embeddings.weight".to_owned()));
    };
    let (mut positions, _) = file.tensor("embeddings.position_embeddings.weight")?;
    let (kinds, _) = file.tensor("embeddings.token_type_embeddings.weight")?;
    let wanted = width.saturating_mul(config.length as usize);
    if width == 0 || kinds.len() < width || wanted == 0 || positions.len() < wanted {
        return Err(WeightsError::Tensor("embeddings.position_embeddings.weight".to_owned()));
    }
    positions.truncate(wanted);
    for row in positions.chunks_exact_mut(width) {
        row.iter_mut().zip(&kinds).for_each(|(position, kind)| *position += kind);
    }
    let layers = (0..LAYERS_MAX).take_while(|layer| file.has(&format!("encoder.layer.{layer}.output.dense.weight")));
    let layers: Vec<Layer> = layers.map(|layer| file.layer(layer, width)).collect::<Result<_, _>>()?;
    if layers.is_empty() || config.heads == 0 || !width.is_multiple_of(config.heads as usize) {
        return Err(WeightsError::Tensor("encoder.layer.0.output.dense.weight".to_owned()));
    }
    let norm = file.norm("embeddings.LayerNorm", width)?;
    Ok(FloatBert { name: name.to_owned(), config, width, words, positions, norm, layers })
}

struct File<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
}

impl File<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// Its finite numbers, and its shape.
    fn tensor(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), WeightsError> {
        let refused = || WeightsError::Tensor(name.to_owned());
        let view = self.tensors.tensor(&format!("{}{name}", self.prefix)).map_err(|_| refused())?;
        let floats = view.data().chunks_exact(4).filter_map(|bytes| bytes.try_into().ok()).map(f32::from_le_bytes);
        let floats: Vec<f32> = floats.collect();
        match view.dtype() == Dtype::F32 && floats.iter().all(|float| float.is_finite()) {
            true => Ok((floats, view.shape().to_vec())),
            false => Err(refused()),
        }
    }

    fn sized(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let (floats, found) = self.tensor(name)?;
        if found == shape { Ok(floats) } else { Err(WeightsError::Tensor(name.to_owned())) }
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, WeightsError> {
        let weights = self.sized(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Linear { weights, biases: self.sized(&format!("{name}.bias"), &[outputs])? })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, WeightsError> {
        let gains = self.sized(&format!("{name}.weight"), &[width])?;
        Ok(Norm { gains, biases: self.sized(&format!("{name}.bias"), &[width])? })
    }

    fn layer(&self, layer: usize, width: usize) -> Result<Layer, WeightsError> {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let (_, shape) = self.tensor(&name("intermediate.dense.weight"))?;
        let hidden = shape.first().copied().filter(|hidden| *hidden > 0);
        let hidden = hidden.ok_or_else(|| WeightsError::Tensor(name("intermediate.dense.weight")))?;
        let square = |part: &str| self.linear(&name(part), width, width);
        Ok(Layer {
            query: square("attention.self.query")?,
            key: square("attention.self.key")?,
            value: square("attention.self.value")?,
            attended: square("attention.output.dense")?,
            attended_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            up: self.linear(&name("intermediate.dense"), width, hidden)?,
            down: self.linear(&name("output.dense"), hidden, width)?,
            norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }
}

#[cfg(test)]
mod tests;
