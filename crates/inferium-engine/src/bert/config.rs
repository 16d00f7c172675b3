//! The settings of a model, from the JSON files of its folder.

use crate::LoadError;
use crate::kernel::q8::LANES;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

#[cfg(test)]
mod tests;

/// The sizes of a model that is served: an encoder, the mean over the tokens, length 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Numbers of a token's state, and values of a vector.
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Numbers between the two products of the feed-forward part.
    pub(crate) hidden: usize,
    pub(crate) vocab: usize,
    /// Rows of the table of positions.
    pub(crate) positions: usize,
    /// Rows of the table of token types, of which the first is used.
    pub(crate) types: usize,
    pub(crate) norm_epsilon: f32,
    /// Tokens of one text at most, special ones included.
    pub(crate) context: usize,
}

/// What is read of `config.json`; the names are the file's.
#[derive(Debug, Deserialize)]
struct Encoder {
    model_type: String,
    hidden_act: String,
    position_embedding_type: Option<String>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
}

/// What is read of `sentence_bert_config.json`.
#[derive(Debug, Deserialize)]
struct Sentence {
    max_seq_length: usize,
    #[serde(default)]
    do_lower_case: bool,
}

/// What is read of an entry of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// What is read of `1_Pooling/config.json`.
#[derive(Debug, Deserialize)]
struct Pooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

impl Config {
    /// Reads the settings of a folder and refuses what this engine does not compute.
    pub(crate) fn read(folder: &Path) -> Result<Self, LoadError> {
        let encoder: Encoder = read_json(&folder.join("config.json"))?;
        let sentence: Sentence = read_json(&folder.join("sentence_bert_config.json"))?;
        refuse_other_modules(folder)?;
        refuse_other_encoders(&encoder)?;
        if sentence.do_lower_case {
            return Err(LoadError::unsupported("lower case before the tokenizer"));
        }
        let config = Self {
            width: encoder.hidden_size,
            layers: encoder.num_hidden_layers,
            heads: encoder.num_attention_heads,
            hidden: encoder.intermediate_size,
            vocab: encoder.vocab_size,
            positions: encoder.max_position_embeddings,
            types: encoder.type_vocab_size,
            norm_epsilon: encoder.layer_norm_eps,
            context: sentence.max_seq_length.min(encoder.max_position_embeddings),
        };
        config.check()?;
        Ok(config)
    }

    /// Numbers of a head.
    pub(crate) fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// What else than the tensors says what a text's vector is, and whether it has one, as numbers for its digest.
    pub(crate) fn settings(&self) -> [usize; 3] {
        [self.layers, self.heads, self.context]
    }

    fn check(&self) -> Result<(), LoadError> {
        let is_served = |size: usize| size > 0 && size.is_multiple_of(LANES);
        if !is_served(self.width) || !is_served(self.hidden) {
            let (width, hidden) = (self.width, self.hidden);
            return Err(LoadError::unsupported(format!(
                "widths {width} and {hidden}; multiples of {LANES} are served"
            )));
        }
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) || !is_served(self.head_size()) {
            return Err(LoadError::unsupported(format!("{} heads at a width of {}", self.heads, self.width)));
        }
        if self.layers == 0 || self.types == 0 || self.vocab == 0 || u32::try_from(self.vocab).is_err() {
            return Err(LoadError::unsupported("no layers, no token types, or no vocabulary of 32-bit tokens"));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon.is_finite()) {
            return Err(LoadError::unsupported(format!("a layer norm's epsilon of {}", self.norm_epsilon)));
        }
        Ok(())
    }
}

fn refuse_other_encoders(encoder: &Encoder) -> Result<(), LoadError> {
    if encoder.model_type != "bert" {
        return Err(LoadError::unsupported(format!("encoder `{}`; only `bert` is served", encoder.model_type)));
    }
    if encoder.hidden_act != "gelu" {
        return Err(LoadError::unsupported(format!("activation `{}`; only `gelu` is served", encoder.hidden_act)));
    }
    match encoder.position_embedding_type.as_deref() {
        None | Some("absolute") => Ok(()),
        Some(other) => Err(LoadError::unsupported(format!("positions `{other}`; only `absolute` ones are served"))),
    }
}

/// A vector is the encoder's states, their mean, and that at length 1; anything else would be another vector.
fn refuse_other_modules(folder: &Path) -> Result<(), LoadError> {
    let modules: Vec<Module> = read_json(&folder.join("modules.json"))?;
    let kinds: Vec<&str> = modules.iter().map(|module| module.kind.rsplit('.').next().unwrap_or_default()).collect();
    let ["Transformer", "Pooling", "Normalize"] = kinds[..] else {
        return Err(LoadError::unsupported(format!(
            "modules {kinds:?}; Transformer, Pooling and Normalize are served"
        )));
    };
    let mut path = folder.to_path_buf();
    // The file names a folder beside itself, and nothing else.
    path.extend(Path::new(&modules[1].path).file_name());
    let pooling: Pooling = read_json(&path.join("config.json"))?;
    let others =
        [pooling.pooling_mode_cls_token, pooling.pooling_mode_max_tokens, pooling.pooling_mode_mean_sqrt_len_tokens];
    if !pooling.pooling_mode_mean_tokens || others.contains(&true) {
        return Err(LoadError::unsupported("pooling other than the mean over the tokens"));
    }
    Ok(())
}

/// Reads a file as JSON.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let text = fs::read(path).map_err(|error| LoadError::open(path, &error))?;
    serde_json::from_slice(&text).map_err(|error| LoadError::damaged(path, error))
}
