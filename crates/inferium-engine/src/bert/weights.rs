//! Loading and hashing the served tensors.

use super::config::Config;
use crate::LoadError;
use crate::kernel::dense::DenseMatrix;
use crate::leaf::leaf;
use inferium_types::{Digest, merkle_root};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A product with the bias that is added to it.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: DenseMatrix,
    pub(crate) bias: Vec<f32>,
}

/// The numbers of a layer norm.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// One encoder block.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Queries, keys and values, stacked: they have the same input.
    pub(crate) query_key_value: Linear,
    pub(crate) attention_output: Linear,
    pub(crate) attention_norm: Norm,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) output_norm: Norm,
}

/// All weights, ready to compute with.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) config: Config,
    /// Shape `[vocab][width]`.
    pub(crate) words: Vec<f32>,
    /// Shape `[positions][width]`.
    pub(crate) positions: Vec<f32>,
    /// The first token type's row.
    pub(crate) kind: Vec<f32>,
    pub(crate) embedding_norm: Norm,
    pub(crate) layers: Vec<Layer>,
}

impl Weights {
    /// Reads all weights and returns them with their Merkle root, to which the model's settings belong too.
    pub(crate) fn load(path: &Path, config: Config) -> Result<(Self, Digest), LoadError> {
        let bytes = fs::read(path).map_err(|error| LoadError::open(path, &error))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| LoadError::damaged(path, error))?;
        let mut reader = Reader { file, leaves: BTreeMap::new() };
        let width = config.width;
        let words = reader.tensor("embeddings.word_embeddings.weight", &[config.vocab, width])?;
        let positions = reader.tensor("embeddings.position_embeddings.weight", &[config.positions, width])?;
        let mut kind = reader.tensor("embeddings.token_type_embeddings.weight", &[config.types, width])?;
        kind.truncate(width);
        let embedding_norm = reader.norm("embeddings.LayerNorm", width)?;
        let layers = (0..config.layers).map(|index| reader.layer(&config, index)).collect::<Result<_, _>>()?;

        let epsilon = blake3::hash(&config.norm_epsilon.to_le_bytes());
        let settings = leaf("settings", "bert gelu mean unit", &config.settings(), epsilon);
        let leaves: Vec<Digest> = reader.leaves.into_values().chain([settings]).collect();
        Ok((Self { config, words, positions, kind, embedding_norm, layers }, merkle_root(&leaves)))
    }
}

/// Reads tensors and keeps the leaf of each for the Merkle tree, in the order of names.
struct Reader<'a> {
    file: SafeTensors<'a>,
    leaves: BTreeMap<String, Digest>,
}

impl Reader<'_> {
    fn layer(&mut self, config: &Config, index: usize) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let (width, hidden) = (config.width, config.hidden);
        let parts = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Layer {
            query_key_value: self.stacked(&parts, width, width)?,
            attention_output: self.stacked(&[name("attention.output.dense")], width, width)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            up: self.stacked(&[name("intermediate.dense")], hidden, width)?,
            down: self.stacked(&[name("output.dense")], width, hidden)?,
            output_norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, LoadError> {
        Ok(Norm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            bias: self.tensor(&format!("{name}.bias"), &[width])?,
        })
    }

    /// Products of the same input, each of `rows` outputs, on top of each other.
    fn stacked(&mut self, names: &[String], rows: usize, columns: usize) -> Result<Linear, LoadError> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.extend(self.tensor(&format!("{name}.weight"), &[rows, columns])?);
            bias.extend(self.tensor(&format!("{name}.bias"), &[rows])?);
        }
        let weight = DenseMatrix::from_fn(bias.len(), columns, |row, column| weights[row * columns + column]);
        Ok(Linear { weight, bias })
    }

    /// The numbers of a tensor, row-major.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let Ok(view) = self.file.tensor(name) else {
            return Err(LoadError::MissingTensor { tensor: name.to_owned() });
        };
        if view.dtype() != Dtype::F32 {
            return Err(LoadError::tensor(name, format!("is of type {:?}; only F32 is served", view.dtype())));
        }
        if view.shape() != shape {
            return Err(LoadError::tensor(name, format!("has shape {:?}, not {shape:?}", view.shape())));
        }
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        // The bits of what is not a number differ between processors.
        if values.iter().any(|value| !value.is_finite()) {
            return Err(LoadError::tensor(name, "has numbers that are not finite"));
        }
        self.leaves.insert(name.to_owned(), leaf(name, "f32", shape, blake3::hash(view.data())));
        Ok(values)
    }
}
