//! A model with changed matrices, as a file of its own.

use super::{Gguf, floats};
use crate::LoadError;
use candle_core::quantized::gguf_file::{Value, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;

#[cfg(test)]
mod tests;

/// What the format calls a model's name.
const NAME: &str = "general.name";
/// And where its tensors begin.
const ALIGNMENT: &str = "general.alignment";

/// Writes the model of the GGUF file `base` under another name, with what `changes` says added to some matrices: of each as many numbers as it
/// has, row by row. Those are written in single precision, all else as it is there. The same model and changes give the same bytes.
///
/// # Errors
/// [`LoadError`]: the base can't be read, has no such matrix, or one of another size; or the file can't be written.
pub fn merge_gguf(
    base: &Path,
    name: &str,
    changes: &BTreeMap<String, Vec<f32>>,
    out: &mut (impl Write + Seek),
) -> Result<(), LoadError> {
    let mut gguf = Gguf::open(base)?;
    if let Some(missing) = changes.keys().find(|name| !gguf.has_tensor(name)) {
        return Err(LoadError::MissingTensor { tensor: missing.clone() });
    }
    let mut names: Vec<String> = gguf.content.tensor_infos.keys().cloned().collect();
    names.sort_unstable();
    let mut tensors: Vec<(String, QTensor)> = Vec::with_capacity(names.len());
    for name in names {
        let tensor = gguf.tensor(&name)?;
        let tensor = match changes.get(&name) {
            Some(change) => added(&name, &tensor, change)?,
            None => tensor,
        };
        tensors.push((name, tensor));
    }
    let name = Value::String(name.to_owned());
    let mut metadata: BTreeMap<&str, &Value> =
        gguf.content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    metadata.insert(NAME, &name);
    // What is written is aligned as files are that do not say how.
    metadata.remove(ALIGNMENT);
    let metadata: Vec<(&str, &Value)> = metadata.into_iter().collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write(out, &metadata, &tensors).map_err(LoadError::library)
}

fn added(name: &str, tensor: &QTensor, change: &[f32]) -> Result<QTensor, LoadError> {
    let (mut numbers, dimensions) = (floats(tensor)?, tensor.shape().dims().to_vec());
    if numbers.len() != change.len() {
        return Err(LoadError::Shape { tensor: name.to_owned(), expected: vec![change.len()], found: dimensions });
    }
    numbers.iter_mut().zip(change).for_each(|(number, more)| *number += more);
    let whole = Tensor::from_vec(numbers, dimensions, &Device::Cpu).map_err(LoadError::library)?;
    QTensor::quantize(&whole, GgmlDType::F32).map_err(LoadError::library)
}
