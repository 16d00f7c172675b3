//! Reading GGUF files: metadata with checked types, tensors as floats or as Q8_0.

mod alignment;
mod merge;
#[cfg(feature = "llamacpp")]
mod served;

pub use merge::merge_gguf;

use crate::LoadError;
use crate::kernel::q8::{BLOCK, Q8_0_BYTES, quantise_weights, sanitise_weights};
use alignment::refuse_alignment_of_nothing;
use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Weaker weights than the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakFormat {
    /// Rounded to 4 bits, symmetric, in blocks of 32.
    Q4_0,
    /// Rounded to 8 bits with one scale for each row of outputs.
    Q8Rows,
}

/// An open GGUF file.
#[derive(Debug)]
pub(crate) struct Gguf {
    content: Content,
    file: BufReader<File>,
}

/// A tensor of two dimensions as it is served: row-major Q8_0.
#[derive(Debug)]
pub(crate) struct Q8Tensor {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let file = File::open(path).map_err(|source| LoadError::open(path, &source))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        refuse_alignment_of_nothing(&mut file)?;
        let content = Content::read(&mut file).map_err(LoadError::library)?;
        Ok(Self { content, file })
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// A string; `None` if the key is absent.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(key, "a string")),
        }
    }

    /// A non-negative integer of any width; `None` if the key is absent.
    pub(crate) fn integer(&self, key: &str) -> Result<Option<u32>, LoadError> {
        self.value(key).map(|value| integer(value).ok_or_else(|| wrong_type(key, "a u32"))).transpose()
    }

    /// A float; `None` if the key is absent.
    pub(crate) fn float(&self, key: &str) -> Result<Option<f32>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(key, "an f32")),
        }
    }

    /// A list of strings; an error if the key is absent.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, LoadError> {
        self.list(key, |value| match value {
            Value::String(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A list of integers; an error if the key is absent.
    pub(crate) fn integers(&self, key: &str) -> Result<Vec<u32>, LoadError> {
        self.list(key, integer)
    }

    fn list<T>(&self, key: &str, item: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, LoadError> {
        match self.value(key) {
            None => Err(LoadError::MissingKey { key: key.to_owned() }),
            Some(Value::Array(values)) => {
                values.iter().map(|value| item(value).ok_or_else(|| wrong_type(key, "a list of one type"))).collect()
            }
            Some(_) => Err(wrong_type(key, "a list")),
        }
    }

    /// Whether the file has a tensor of that name.
    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A tensor of one dimension with exactly `len` floats.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensor(name)?;
        let values = floats(&tensor)?;
        if values.len() != len {
            return Err(LoadError::Shape {
                tensor: name.to_owned(),
                expected: vec![len],
                found: tensor.shape().dims().to_vec(),
            });
        }
        Ok(values)
    }

    /// A tensor of exactly this shape, as floats.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let tensor = self.tensor(name)?;
        let found = tensor.shape().dims();
        if found != shape {
            return Err(LoadError::Shape { tensor: name.to_owned(), expected: shape.to_vec(), found: found.to_vec() });
        }
        floats(&tensor)
    }

    /// A matrix of the given shape as Q8_0: as it is in the file if it is Q8_0 there, else converted.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        weaken: Option<WeakFormat>,
    ) -> Result<Q8Tensor, LoadError> {
        let tensor = self.tensor(name)?;
        let found = tensor.shape().dims().to_vec();
        if found != [rows, columns] || !columns.is_multiple_of(BLOCK) {
            return Err(LoadError::Shape { tensor: name.to_owned(), expected: vec![rows, columns], found });
        }
        let bytes = match weaken {
            Some(WeakFormat::Q4_0) => {
                let full = tensor.dequantize(&Device::Cpu).map_err(LoadError::library)?;
                let weak = QTensor::quantize(&full, GgmlDType::Q4_0).map_err(LoadError::library)?;
                quantise_weights(&floats(&weak)?)
            }
            Some(WeakFormat::Q8Rows) => {
                let mut weights = floats(&tensor)?;
                weights.chunks_exact_mut(columns).for_each(round_to_8_bits);
                quantise_weights(&weights)
            }
            None if tensor.dtype() == GgmlDType::Q8_0 => {
                let mut bytes = tensor.data().map_err(LoadError::library)?.into_owned();
                sanitise_weights(&mut bytes);
                bytes
            }
            None => quantise_weights(&floats(&tensor)?),
        };
        // The kernels read by shape.
        if bytes.len() != rows * columns / BLOCK * Q8_0_BYTES {
            return Err(LoadError::file(format!("tensor `{name}` has {} bytes", bytes.len())));
        }
        Ok(Q8Tensor { rows, columns, bytes })
    }

    fn tensor(&mut self, name: &str) -> Result<QTensor, LoadError> {
        if !self.has_tensor(name) {
            return Err(LoadError::MissingTensor { tensor: name.to_owned() });
        }
        self.content.tensor(&mut self.file, name, &Device::Cpu).map_err(LoadError::library)
    }
}

fn round_to_8_bits(row: &mut [f32]) {
    let largest = row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    for weight in row {
        *weight = (*weight / step).round_ties_even() * step;
    }
}

fn floats(tensor: &QTensor) -> Result<Vec<f32>, LoadError> {
    let dense = tensor.dequantize(&Device::Cpu).map_err(LoadError::library)?;
    dense.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(LoadError::library)
}

fn integer(value: &Value) -> Option<u32> {
    match *value {
        Value::U8(v) => Some(v.into()),
        Value::U16(v) => Some(v.into()),
        Value::U32(v) => Some(v),
        Value::U64(v) => v.try_into().ok(),
        Value::I8(v) => v.try_into().ok(),
        Value::I16(v) => v.try_into().ok(),
        Value::I32(v) => v.try_into().ok(),
        Value::I64(v) => v.try_into().ok(),
        _ => None,
    }
}

fn wrong_type(key: &str, expected: &'static str) -> LoadError {
    LoadError::WrongType { key: key.to_owned(), expected }
}
