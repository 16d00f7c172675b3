//! A Llama-family model as plain numbers, for those who train on top of it.

use crate::engine::eos_tokens;
use crate::gguf::Gguf;
use crate::leaf::leaf;
use crate::llama::Config;
use crate::text::Tokenizer;
use crate::{EngineError, LoadError};
use inferium_types::{Digest, merkle_root};
use std::collections::BTreeMap;
use std::path::Path;

/// The shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderShape {
    /// Transformer blocks.
    pub layers: usize,
    /// Numbers of a token's state.
    pub width: usize,
    /// Numbers between the products of the feed-forward part.
    pub hidden: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; it divides `heads`.
    pub kv_heads: usize,
    /// Numbers of a head; even.
    pub head_size: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Tokens of a text at most.
    pub context: usize,
    /// Base of the rotary angles.
    pub rope_base: f32,
    /// What norms add below the root.
    pub norm_epsilon: f32,
}

/// The weights of one block; matrices are row-major, `[outputs, inputs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderLayer {
    /// Norm before the attention, `[width]`.
    pub attention_norm: Vec<f32>,
    /// `[heads · head_size, width]`; the numbers of a head stand in pairs `(2i, 2i+1)` that are rotated together.
    pub query: Vec<f32>,
    /// `[kv_heads · head_size, width]`, paired as the queries.
    pub key: Vec<f32>,
    /// `[kv_heads · head_size, width]`.
    pub value: Vec<f32>,
    /// `[width, heads · head_size]`.
    pub attention_output: Vec<f32>,
    /// Norm before the feed-forward part, `[width]`.
    pub ffn_norm: Vec<f32>,
    /// `[hidden, width]`.
    pub gate: Vec<f32>,
    /// `[hidden, width]`.
    pub up: Vec<f32>,
    /// `[width, hidden]`.
    pub down: Vec<f32>,
}

/// All weights of a decoder, dequantised to single precision.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderWeights {
    /// The shape.
    pub shape: DecoderShape,
    /// `[vocab, width]`.
    pub embedding: Vec<f32>,
    /// The blocks, first to last.
    pub layers: Vec<DecoderLayer>,
    /// Norm after the last block, `[width]`.
    pub output_norm: Vec<f32>,
    /// `[vocab, width]`; `None`: the embedding serves as the head.
    pub head: Option<Vec<f32>>,
}

/// A decoder's weights, what names them, and its tokenizer.
#[derive(Debug)]
pub struct Decoder {
    /// The weights.
    pub weights: DecoderWeights,
    /// Merkle root over the tensors: name, type, shape and bytes as computed with. Not that of a [`crate::ModelInfo`], whose
    /// tensors are served in 8 bits.
    pub weights_root: Digest,
    /// The token that ends a text.
    pub end: u32,
    tokenizer: Tokenizer,
}

impl Decoder {
    /// Reads a GGUF file. SmolLM2-135M takes 540 MB.
    ///
    /// # Errors
    /// [`LoadError`], one variant per cause.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let mut file = Gguf::open(path)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        let config = Config::read(&file, tokenizer.vocab_size())?;
        let end = eos_tokens(&file, &tokenizer)?.first().copied();
        let end = end.ok_or_else(|| LoadError::unsupported("no token that ends a text"))?;
        let (weights, weights_root) = Reader { file: &mut file, leaves: BTreeMap::new() }.read(&config)?;
        Ok(Self { weights, weights_root, end, tokenizer })
    }

    /// Tokens of plain text, without special ones.
    ///
    /// # Errors
    /// [`EngineError::Text`] if the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text)
    }

    /// Digest of the tokenizer.
    #[must_use]
    pub fn tokenizer_hash(&self) -> Digest {
        self.tokenizer.hash()
    }
}

/// Reads tensors and keeps the leaf of each for the Merkle tree, in the order of names.
struct Reader<'a> {
    file: &'a mut Gguf,
    leaves: BTreeMap<String, Digest>,
}

impl Reader<'_> {
    fn read(mut self, config: &Config) -> Result<(DecoderWeights, Digest), LoadError> {
        let table = [config.vocab, config.width];
        let embedding = self.tensor("token_embd.weight".to_owned(), &table)?;
        let head = match self.file.has_tensor("output.weight") {
            true => Some(self.tensor("output.weight".to_owned(), &table)?),
            false => None,
        };
        let layers = (0..config.layers).map(|index| self.layer(config, index)).collect::<Result<_, _>>()?;
        let output_norm = self.tensor("output_norm.weight".to_owned(), &[config.width])?;
        let shape = DecoderShape {
            layers: config.layers,
            width: config.width,
            hidden: config.hidden,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_size: config.head_size,
            vocab: config.vocab,
            context: config.context,
            rope_base: config.rope_base,
            norm_epsilon: config.norm_epsilon,
        };
        let leaves: Vec<Digest> = self.leaves.into_values().collect();
        Ok((DecoderWeights { shape, embedding, layers, output_norm, head }, merkle_root(&leaves)))
    }

    fn layer(&mut self, config: &Config, index: usize) -> Result<DecoderLayer, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        if ["attn_q", "attn_k", "attn_v"].iter().any(|part| self.file.has_tensor(&format!("blk.{index}.{part}.bias"))) {
            return Err(LoadError::unsupported("biases of the attention"));
        }
        let (width, hidden, query, kv) = (config.width, config.hidden, config.query_width(), config.kv_width());
        Ok(DecoderLayer {
            attention_norm: self.tensor(name("attn_norm"), &[width])?,
            query: self.tensor(name("attn_q"), &[query, width])?,
            key: self.tensor(name("attn_k"), &[kv, width])?,
            value: self.tensor(name("attn_v"), &[kv, width])?,
            attention_output: self.tensor(name("attn_output"), &[width, query])?,
            ffn_norm: self.tensor(name("ffn_norm"), &[width])?,
            gate: self.tensor(name("ffn_gate"), &[hidden, width])?,
            up: self.tensor(name("ffn_up"), &[hidden, width])?,
            down: self.tensor(name("ffn_down"), &[width, hidden])?,
        })
    }

    fn tensor(&mut self, name: String, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let values = self.file.floats(&name, shape)?;
        let mut hasher = blake3::Hasher::new();
        for value in &values {
            hasher.update(&value.to_le_bytes());
        }
        self.leaves.insert(name.clone(), leaf(&name, "f32", shape, hasher.finalize()));
        Ok(values)
    }
}
