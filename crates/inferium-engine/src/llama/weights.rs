//! Loading and hashing the served tensors.

use super::Config;
use crate::LoadError;
use crate::gguf::{Gguf, Q8Tensor, WeakFormat};
use crate::kernel::q8::Q8Matrix;
use crate::leaf::leaf;
use inferium_types::{Digest, merkle_root};
use std::collections::BTreeMap;

/// One transformer block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    /// Queries, keys and values, stacked: they have the same input.
    pub(crate) query_key_value: Q8Matrix,
    pub(crate) attention_output: Q8Matrix,
    pub(crate) ffn_norm: Vec<f32>,
    /// Gate and up projection, stacked.
    pub(crate) gate_up: Q8Matrix,
    pub(crate) down: Q8Matrix,
}

/// All weights, ready to compute with.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) config: Config,
    pub(crate) embedding: Q8Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Vec<f32>,
    /// `None`: the embedding serves as the head.
    head: Option<Q8Matrix>,
    /// Cosine and sine of each position's angles, `head_size / 2` a position.
    pub(crate) angles: Vec<(f32, f32)>,
}

impl Weights {
    /// Reads all weights and returns them with their Merkle root; positions beyond `context` get no angles.
    pub(crate) fn load(
        file: &mut Gguf,
        config: Config,
        context: usize,
        weaken: Option<WeakFormat>,
    ) -> Result<(Self, Digest), LoadError> {
        let mut reader = Reader { file, weaken, leaves: BTreeMap::new() };
        let embedding = reader.stacked(&[("token_embd.weight".to_owned(), config.vocab)], config.width)?;
        let head = match reader.file.has_tensor("output.weight") {
            true => Some(reader.stacked(&[("output.weight".to_owned(), config.vocab)], config.width)?),
            false => None,
        };
        let layers = (0..config.layers).map(|index| reader.layer(&config, index)).collect::<Result<_, _>>()?;
        let output_norm = reader.vector("output_norm.weight".to_owned(), config.width)?;
        let leaves: Vec<Digest> = reader.leaves.into_values().collect();
        let angles = rope_angles(&config, context);
        Ok((Self { config, embedding, layers, output_norm, head, angles }, merkle_root(&leaves)))
    }

    /// The matrix from the last hidden state to the logits.
    pub(crate) fn head(&self) -> &Q8Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

/// Reads tensors and keeps the leaf of each for the Merkle tree, in the order of names.
struct Reader<'a> {
    file: &'a mut Gguf,
    weaken: Option<WeakFormat>,
    leaves: BTreeMap<String, Digest>,
}

impl Reader<'_> {
    fn layer(&mut self, config: &Config, index: usize) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        for part in ["attn_q", "attn_k", "attn_v"] {
            if self.file.has_tensor(&format!("blk.{index}.{part}.bias")) {
                return Err(LoadError::unsupported("biases of the attention"));
            }
        }
        let (query, kv) = (config.query_width(), config.kv_width());
        Ok(Layer {
            attention_norm: self.vector(name("attn_norm"), config.width)?,
            query_key_value: self
                .stacked(&[(name("attn_q"), query), (name("attn_k"), kv), (name("attn_v"), kv)], config.width)?,
            attention_output: self.stacked(&[(name("attn_output"), config.width)], query)?,
            ffn_norm: self.vector(name("ffn_norm"), config.width)?,
            gate_up: self
                .stacked(&[(name("ffn_gate"), config.hidden), (name("ffn_up"), config.hidden)], config.width)?,
            down: self.stacked(&[(name("ffn_down"), config.width)], config.hidden)?,
        })
    }

    fn vector(&mut self, name: String, len: usize) -> Result<Vec<f32>, LoadError> {
        let values = self.file.vector(&name, len)?;
        let mut hasher = blake3::Hasher::new();
        for value in &values {
            hasher.update(&value.to_le_bytes());
        }
        let leaf = leaf(&name, "f32", &[len], hasher.finalize());
        self.leaves.insert(name, leaf);
        Ok(values)
    }

    fn stacked(&mut self, parts: &[(String, usize)], columns: usize) -> Result<Q8Matrix, LoadError> {
        let mut tensors: Vec<Q8Tensor> = Vec::new();
        for (name, rows) in parts {
            let tensor = self.file.matrix(name, *rows, columns, self.weaken)?;
            let leaf = leaf(name, "q8_0", &[tensor.rows, tensor.columns], blake3::hash(&tensor.bytes));
            self.leaves.insert(name.clone(), leaf);
            tensors.push(tensor);
        }
        let bytes: Vec<&[u8]> = tensors.iter().map(|tensor| tensor.bytes.as_slice()).collect();
        Q8Matrix::pack(columns, &bytes).ok_or_else(|| LoadError::unsupported(format!("rows of {columns} numbers")))
    }
}

/// `position · base^(−2i/D)` as (cos, sin), computed in f64 with `libm`.
fn rope_angles(config: &Config, context: usize) -> Vec<(f32, f32)> {
    let half = config.head_size / 2;
    let frequencies: Vec<f64> =
        (0..half).map(|i| libm::pow(f64::from(config.rope_base), -2.0 * i as f64 / config.head_size as f64)).collect();
    let mut angles = Vec::with_capacity(context * half);
    for position in 0..context {
        for frequency in &frequencies {
            let angle = position as f64 * frequency;
            angles.push((libm::cos(angle) as f32, libm::sin(angle) as f32));
        }
    }
    angles
}
