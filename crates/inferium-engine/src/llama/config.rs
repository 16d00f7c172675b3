//! A model's shape, read from its metadata.

use crate::LoadError;
use crate::gguf::Gguf;
use crate::kernel::attention::HEAD_SIZES;

/// The shape of a Llama-family model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) layers: usize,
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    pub(crate) rope_base: f32,
    pub(crate) norm_epsilon: f32,
}

impl Config {
    /// Reads and checks the shape.
    pub(crate) fn read(file: &Gguf, vocab: usize) -> Result<Self, LoadError> {
        let architecture = file.text("general.architecture")?.unwrap_or_default();
        if architecture != "llama" {
            return Err(LoadError::unsupported(format!("architecture `{architecture}`; only `llama` is served")));
        }
        let required = |key: &str| -> Result<usize, LoadError> {
            let key = format!("llama.{key}");
            file.integer(&key)?.map(|value| value as usize).ok_or(LoadError::MissingKey { key })
        };
        let heads = required("attention.head_count")?;
        let width = required("embedding_length")?;
        let head_size = match file.integer("llama.attention.key_length")? {
            Some(size) => size as usize,
            None => width.checked_div(heads).unwrap_or(0),
        };
        let config = Self {
            layers: required("block_count")?,
            width,
            hidden: required("feed_forward_length")?,
            heads,
            kv_heads: file.integer("llama.attention.head_count_kv")?.map_or(heads, |count| count as usize),
            head_size,
            vocab,
            context: required("context_length")?,
            rope_base: file.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
            norm_epsilon: file.float("llama.attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
        };
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Gguf) -> Result<(), LoadError> {
        if !HEAD_SIZES.contains(&self.head_size) {
            return Err(LoadError::unsupported(format!("heads of {} numbers; one of {HEAD_SIZES:?}", self.head_size)));
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return Err(LoadError::unsupported(format!("{} heads over {} key heads", self.heads, self.kv_heads)));
        }
        if self.layers == 0 || self.context == 0 || self.vocab == 0 || self.width == 0 || self.hidden == 0 {
            return Err(LoadError::unsupported("a size of zero"));
        }
        let rotated = file.integer("llama.rope.dimension_count")?.map_or(self.head_size, |count| count as usize);
        if rotated != self.head_size {
            return Err(LoadError::unsupported("partial rotary embeddings"));
        }
        if file.text("llama.rope.scaling.type")?.is_some_and(|kind| kind != "none")
            || file.has_tensor("rope_freqs.weight")
        {
            return Err(LoadError::unsupported("scaled rotary embeddings"));
        }
        if file.integer("llama.expert_count")?.unwrap_or(0) > 0 {
            return Err(LoadError::unsupported("mixtures of experts"));
        }
        Ok(())
    }

    /// Columns of the queries.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Columns of the keys, and of the values.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Query heads that share one key head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
