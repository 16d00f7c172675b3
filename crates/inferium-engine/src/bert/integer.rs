//! The embedder over an integer model of sequences: the same integers on every machine whatever computes them, and their direction as floats.

use super::config::Config;
use super::engine::{BertEmbedder, EmbedderOptions, pool};
use super::tokenizer::Tokenizer;
use crate::audit::{IntegerEngine, bent, committed, elements_of, refused, unauditable};
use crate::{EmbedderInfo, EngineError, LoadError, TextVector};
use inferium_exact::{
    BertConfig, FILE_BYTES_MAX, Model, compile_bert, direction, direction_build, encode, model_id, read_bert,
};
use inferium_types::Digest;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The integer model in an embedder's folder; its `tokenizer.json` stands beside it.
const MODEL_FILE: &str = "model.ifx";
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Encoders of the integer contract (docs/exact.md): the vector of a text is the direction of the model's output, and every bit of it follows from
/// the model's file.
impl BertEmbedder {
    /// Whether a folder holds an integer model that reads text.
    #[must_use]
    pub fn has_integers(folder: &Path) -> bool {
        folder.join(MODEL_FILE).is_file() && folder.join(TOKENIZER_FILE).is_file()
    }

    /// Loads `model.ifx` and `tokenizer.json` of a folder, whose name is the model's, and starts its thread. Of `options`, the instructions
    /// and the layers that are left out are without meaning here.
    ///
    /// # Errors
    /// [`LoadError`], one variant per cause.
    pub fn load_integers(folder: &Path, options: &EmbedderOptions) -> Result<Self, LoadError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = read(&folder.join(MODEL_FILE))?;
        Self::of_integers(name, model, Tokenizer::load(&folder.join(TOKENIZER_FILE))?, options)
    }

    /// The files of the folder that [`Self::load_integers`] reads, made of a folder of sentence-transformers: names and bytes. The integers are
    /// fitted to `texts`, some dozens of the kind that will be embedded.
    ///
    /// # Errors
    /// [`LoadError`]: a folder that [`Self::load`] would not load, an encoder that the contract has no room for, or a text that it does not read.
    pub fn compile_integers(
        folder: &Path,
        name: &str,
        texts: &[String],
    ) -> Result<[(&'static str, Vec<u8>); 2], LoadError> {
        let config = Config::read(folder)?;
        let tokenizer_path = folder.join(TOKENIZER_FILE);
        let tokenizer = Tokenizer::load(&tokenizer_path)?;
        let count = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let terms = BertConfig {
            heads: count(config.heads),
            length: count(config.context),
            norm_epsilon: f64::from(config.norm_epsilon),
        };
        let unsupported = |error: &dyn std::fmt::Display| LoadError::unsupported(error.to_string());
        let weights = bytes(&folder.join("model.safetensors"))?;
        let float = read_bert(name, terms, &weights).map_err(|error| unsupported(&error))?;
        let sequence = |text: &String| {
            let tokens = tokenizer.encode(text).map_err(|error| unsupported(&error))?;
            if tokens.len() > config.context {
                return Err(unsupported(&format!("a text of {} tokens; {} at most", tokens.len(), config.context)));
            }
            Ok(tokens.into_iter().map(|token| i32::try_from(token).unwrap_or(i32::MAX)).collect())
        };
        let sequences: Vec<Vec<i32>> = texts.iter().map(sequence).collect::<Result<_, LoadError>>()?;
        let model = compile_bert(&float, &sequences).map_err(|error| unsupported(&error))?;
        let model = encode(&model).map_err(|error| unsupported(&error))?;
        Ok([(TOKENIZER_FILE, bytes(&tokenizer_path)?), (MODEL_FILE, model)])
    }

    fn of_integers(
        name: String,
        model: Model,
        tokenizer: Tokenizer,
        options: &EmbedderOptions,
    ) -> Result<Self, LoadError> {
        if !model.is_sequence() {
            return Err(LoadError::unsupported("an integer model of something else than sequences".to_owned()));
        }
        let shapes = model.shapes().map_err(|error| LoadError::unsupported(error.to_string()))?;
        let width = shapes.last().map_or(0, |shape| shape.elements());
        let (vocab, expected) = (tokenizer.vocab_size(), i64::from(model.input_max) + 1);
        if model.input_min != 0 || i64::try_from(vocab) != Ok(expected) {
            return Err(LoadError::Tokenizer { reason: format!("it has {vocab} tokens, the model {expected}") });
        }
        if model.input.width as usize <= tokenizer.around() {
            return Err(LoadError::unsupported(format!(
                "texts of {} tokens, special ones included",
                model.input.width
            )));
        }
        let info = EmbedderInfo {
            name,
            weights_root: Digest::from(model_id(&model)),
            tokenizer_hash: tokenizer.hash(),
            engine_build: Digest::from(direction_build()),
            kernel_tier: "integers".to_owned(),
            width: u32::try_from(width).unwrap_or(u32::MAX),
            context_tokens: model.input.width,
            vocab_size: u32::try_from(vocab).unwrap_or(u32::MAX),
        };
        if let Some(reason) = unauditable(&model) {
            return Err(LoadError::unsupported(reason));
        }
        let model = match options.deviation.bent_weights {
            true => bent(&model).ok_or_else(|| LoadError::unsupported("a model without weights".to_owned()))?,
            false => model,
        };
        let engine = IntegerEngine::new(Arc::new(model)).map_err(|error| LoadError::unsupported(error.to_string()))?;
        let engine = Arc::new(engine);
        let pool = pool(options)?;
        let threads = pool.threads();
        let own = Arc::clone(&engine);
        let vectors = move |texts: &[&[u32]]| {
            let mut results = vec![Err(EngineError::NotFinite); texts.len()];
            pool.install(|| {
                pool.for_each_chunk(&mut results, 1, |index, result| {
                    for result in result {
                        *result = texts.get(index).map_or(Err(EngineError::NotFinite), |text| vector(&own, text));
                    }
                });
            });
            results
        };
        let mut embedder = Self::start(info, tokenizer, options, threads, vectors)?;
        embedder.integers = Some(engine);
        Ok(embedder)
    }
}

/// A file of as many bytes at most as the contract has room for.
fn bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let open = |error: std::io::Error| LoadError::Open { path: path.to_owned(), reason: error.to_string() };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(open)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(open)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(LoadError::Open {
            path: path.to_owned(),
            reason: format!("larger than the {FILE_BYTES_MAX} bytes that are read"),
        });
    }
    Ok(bytes)
}

fn read(path: &Path) -> Result<Model, LoadError> {
    inferium_exact::decode(&bytes(path)?)
        .map_err(|error| LoadError::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// The vector of a text, with the digest of its run.
fn vector(engine: &IntegerEngine, text: &[u32]) -> Result<TextVector, EngineError> {
    let (output, root) = engine.commit(&elements_of(text)).map_err(|error| refused(&error))?;
    let values = direction(&output).ok_or(EngineError::NotFinite)?;
    Ok(TextVector { values, states: committed(Digest::ZERO, root).digest() })
}
