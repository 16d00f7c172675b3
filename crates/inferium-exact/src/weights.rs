//! Float weights from a safetensors file that says its own architecture.

use safetensors::tensor::{Dtype, SafeTensors};
use thiserror::Error;

use crate::compile::{FloatLayer, FloatModel};
use crate::model::Shape;

/// Most layers that a file names.
const LAYERS_MAX: usize = 256;

/// Why a file holds no float model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// Not a safetensors file.
    #[error("not a safetensors file: {0}")]
    File(String),
    /// Its metadata lacks a key, or one that can't be read.
    #[error("metadata `{0}` is missing or can't be read")]
    Metadata(&'static str),
    /// A tensor that a layer names is missing or not of 32-bit floats.
    #[error("tensor `{0}` is missing or not F32")]
    Tensor(String),
}

/// Reads a float model. Metadata of the file: `input` as `channels,height,width`; `input_range` as `min,max`;
/// `input_scale`; and `layers`, separated by commas: `dense NAME`, `conv NAME KERNEL PADDING`, `relu`, `pool SIZE`,
/// `flatten`. A layer's tensors are `NAME.weight` and `NAME.bias`.
///
/// # Errors
/// [`WeightsError`]; never a panic.
pub fn read_safetensors(name: &str, bytes: &[u8]) -> Result<FloatModel, WeightsError> {
    let file = |error: safetensors::SafeTensorError| WeightsError::File(error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(file)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(file)?;
    let metadata = metadata.metadata().as_ref().ok_or(WeightsError::Metadata("layers"))?;
    let text = |key: &'static str| metadata.get(key).map(String::as_str).ok_or(WeightsError::Metadata(key));
    let input: Vec<u32> = numbers(text("input")?).ok_or(WeightsError::Metadata("input"))?;
    let range: Vec<i16> = numbers(text("input_range")?).ok_or(WeightsError::Metadata("input_range"))?;
    let (&[channels, height, width], &[min, max]) = (input.as_slice(), range.as_slice()) else {
        return Err(WeightsError::Metadata("input"));
    };
    let scale = text("input_scale")?.trim().parse::<f32>().ok().filter(|scale| scale.is_finite() && *scale > 0.0);
    let scale = scale.ok_or(WeightsError::Metadata("input_scale"))?;
    let layers: Vec<&str> = text("layers")?.split(',').take(LAYERS_MAX + 1).collect();
    if layers.len() > LAYERS_MAX {
        return Err(WeightsError::Metadata("layers"));
    }
    Ok(FloatModel {
        name: name.to_owned(),
        input: Shape { channels, height, width },
        input_range: (min, max),
        input_scale: scale,
        layers: layers.iter().map(|layer| read_layer(layer, &tensors)).collect::<Result<_, _>>()?,
    })
}

fn numbers<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|number| number.trim().parse().ok()).collect()
}

fn read_layer(text: &str, tensors: &SafeTensors<'_>) -> Result<FloatLayer, WeightsError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<u32>().map_err(|_| WeightsError::Metadata("layers"));
    Ok(match words.as_slice() {
        ["relu"] => FloatLayer::Relu,
        ["flatten"] => FloatLayer::Flatten,
        ["pool", size] => FloatLayer::AveragePool(number(size)?),
        ["dense", name] => {
            FloatLayer::Dense { weights: tensor(tensors, name, "weight")?, biases: tensor(tensors, name, "bias")? }
        }
        ["conv", name, kernel, padding] => FloatLayer::Conv2d {
            kernel: number(kernel)?,
            padding: number(padding)?,
            weights: tensor(tensors, name, "weight")?,
            biases: tensor(tensors, name, "bias")?,
        },
        _ => return Err(WeightsError::Metadata("layers")),
    })
}

fn tensor(tensors: &SafeTensors<'_>, layer: &str, part: &str) -> Result<Vec<f32>, WeightsError> {
    let name = format!("{layer}.{part}");
    match tensors.tensor(&name) {
        Ok(view) if view.dtype() == Dtype::F32 => {
            let floats = view.data().chunks_exact(4).filter_map(|bytes| bytes.try_into().ok());
            Ok(floats.map(f32::from_le_bytes).collect())
        }
        _ => Err(WeightsError::Tensor(name)),
    }
}

#[cfg(test)]
mod tests;
