//! A model file with the weights that are served, for engines that read files by themselves.

use super::{Gguf, floats};
use crate::LoadError;
use candle_core::quantized::gguf_file::{Value, write};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Says where tensors begin; the writer always lets them begin at multiples of 32, which is what its absence means.
const ALIGNMENT: &str = "general.alignment";

/// A file that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What can't be removed lies in the system's folder of such files.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Gguf {
    /// Writes the file anew: matrices as they are served, Q8_0, vectors in single precision, metadata as they are.
    pub(crate) fn write_served(&mut self) -> Result<TemporaryFile, LoadError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("inferium-served-{}-{number}.gguf", std::process::id()));
        // Never a file that somebody else has put there.
        let file = File::create_new(&path).map_err(|error| LoadError::open(&path, &error))?;
        let written = TemporaryFile(path);
        let mut names: Vec<String> = self.content.tensor_infos.keys().cloned().collect();
        names.sort();
        let tensors: Vec<(String, QTensor)> =
            names.into_iter().map(|name| Ok((name.clone(), self.served(&name)?))).collect::<Result<_, LoadError>>()?;
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut metadata: Vec<(&str, &Value)> =
            self.content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        metadata.retain(|(key, _)| *key != ALIGNMENT);
        metadata.sort_by_key(|(key, _)| *key);
        let mut to = BufWriter::with_capacity(1 << 20, file);
        write(&mut to, &metadata, &tensors).map_err(LoadError::library)?;
        to.flush().map_err(|error| LoadError::open(written.path(), &error))?;
        Ok(written)
    }

    fn served(&mut self, name: &str) -> Result<QTensor, LoadError> {
        let tensor = self.tensor(name)?;
        let shape = tensor.shape().clone();
        if let [rows, columns] = *shape.dims() {
            let bytes = self.matrix(name, rows, columns, None)?.bytes;
            let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, GgmlDType::Q8_0);
            return storage.and_then(|storage| QTensor::new(storage, shape)).map_err(LoadError::library);
        }
        let values = floats(&tensor)?;
        let dense = Tensor::from_vec(values, shape, &Device::Cpu);
        dense.and_then(|dense| QTensor::quantize(&dense, GgmlDType::F32)).map_err(LoadError::library)
    }
}
