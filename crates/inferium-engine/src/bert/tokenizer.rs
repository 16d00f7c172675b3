//! WordPiece from a `tokenizer.json`.

use super::config::read_json;
use crate::{EngineError, LoadError};
use inferium_types::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

#[cfg(test)]
mod tests;

/// A model's tokenizer.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    /// Without added tokens: the spelling of a special token is text like any other.
    plain: tokenizers::Tokenizer,
    /// Special tokens before the text.
    before: Vec<u32>,
    /// Special tokens after it.
    after: Vec<u32>,
    vocab_size: usize,
    hash: Digest,
}

/// What is read of the file. Truncation and padding are not: nothing is cut off, and texts are computed one by one.
#[derive(Debug, Deserialize)]
struct File {
    normalizer: Normalizer,
    pre_tokenizer: Kind,
    post_processor: Template,
    model: Model,
}

#[derive(Debug, Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Debug, Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: BTreeMap<String, u32>,
}

/// What is put around a text.
#[derive(Debug, Deserialize)]
struct Template {
    #[serde(rename = "type")]
    kind: String,
    single: Vec<Piece>,
    special_tokens: BTreeMap<String, Special>,
}

#[derive(Debug, Deserialize)]
enum Piece {
    SpecialToken { id: String },
    Sequence { id: String },
}

#[derive(Debug, Deserialize)]
struct Special {
    ids: Vec<u32>,
}

impl Tokenizer {
    /// Builds the tokenizer that a file describes.
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        Self::new(read_json(path)?)
    }

    fn new(file: File) -> Result<Self, LoadError> {
        let refuse = |reason: String| LoadError::Tokenizer { reason };
        // Files of before 2020 don't say what their model is.
        let model = file.model.kind.as_deref().unwrap_or("WordPiece");
        for (found, served) in [
            (model, "WordPiece"),
            (file.normalizer.kind.as_str(), "BertNormalizer"),
            (file.pre_tokenizer.kind.as_str(), "BertPreTokenizer"),
            (file.post_processor.kind.as_str(), "TemplateProcessing"),
        ] {
            if found != served {
                return Err(LoadError::unsupported(format!("`{found}` in the tokenizer; only `{served}` is served")));
            }
        }
        let vocab_size = file.model.vocab.len();
        let mut ids: Vec<u32> = file.model.vocab.values().copied().collect();
        ids.sort_unstable();
        if (0_u32..).zip(&ids).any(|(expected, &id)| id != expected) {
            return Err(refuse("the ids of its tokens are not 0, 1, 2, …".to_owned()));
        }
        if !file.model.vocab.contains_key(&file.model.unk_token) {
            return Err(refuse(format!("its vocabulary lacks `{}`", file.model.unk_token)));
        }
        let (before, after) = around(&file.post_processor, vocab_size).map_err(refuse)?;
        let hash = hash(&file, &before, &after);

        let model = WordPiece::builder()
            .vocab(file.model.vocab.into_iter().collect::<tokenizers::models::bpe::Vocab>())
            .unk_token(file.model.unk_token)
            .continuing_subword_prefix(file.model.continuing_subword_prefix)
            .max_input_chars_per_word(file.model.max_input_chars_per_word)
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        let mut plain = tokenizers::Tokenizer::new(model);
        plain.with_pre_tokenizer(Some(BertPreTokenizer));
        let Normalizer { clean_text, handle_chinese_chars, strip_accents, lowercase, .. } = file.normalizer;
        let normalizer = BertNormalizer::new(clean_text, handle_chinese_chars, strip_accents, lowercase);
        plain.with_normalizer(Some(normalizer)).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { plain, before, after, vocab_size, hash })
    }

    /// Tokens of a text, with the special ones around them.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding =
            self.plain.encode_fast(text, false).map_err(|error| EngineError::Text { reason: error.to_string() })?;
        Ok([&self.before, encoding.get_ids(), &self.after].concat())
    }

    /// Special tokens around every text.
    pub(crate) fn around(&self) -> usize {
        self.before.len() + self.after.len()
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub(crate) fn hash(&self) -> Digest {
        self.hash
    }
}

/// The special tokens before and after a text.
fn around(template: &Template, vocab_size: usize) -> Result<(Vec<u32>, Vec<u32>), String> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut texts = 0;
    for piece in &template.single {
        match piece {
            Piece::Sequence { id } if id == "A" => texts += 1,
            Piece::Sequence { id } => return Err(format!("its template wants a text `{id}`")),
            Piece::SpecialToken { id } => {
                let special = template.special_tokens.get(id).ok_or(format!("its template lacks `{id}`"))?;
                let side = if texts == 0 { &mut before } else { &mut after };
                side.extend_from_slice(&special.ids);
            }
        }
    }
    if texts != 1 {
        return Err(format!("its template has the text {texts} times"));
    }
    if before.iter().chain(&after).any(|&id| id as usize >= vocab_size) {
        return Err("a special token is not in the vocabulary".to_owned());
    }
    Ok((before, after))
}

/// Everything that changes tokens: texts and lists with their length before them.
fn hash(file: &File, before: &[u32], after: &[u32]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"inferium/wordpiece/1\0");
    let normalizer = &file.normalizer;
    // Unless said otherwise, accents go with upper case.
    let strip_accents = normalizer.strip_accents.unwrap_or(normalizer.lowercase);
    let switches =
        [normalizer.clean_text, normalizer.handle_chinese_chars, strip_accents, normalizer.lowercase].map(u8::from);
    hasher.update(&switches);
    hasher.update(&(file.model.max_input_chars_per_word as u64).to_le_bytes());
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(&file.model.unk_token);
    text(&file.model.continuing_subword_prefix);
    text(&file.model.vocab.len().to_string());
    file.model.vocab.keys().for_each(|spelling| text(spelling));
    let ids = file.model.vocab.values().copied();
    for side in [before, after] {
        text(&side.len().to_string());
    }
    for id in ids.chain(before.iter().copied()).chain(after.iter().copied()) {
        hasher.update(&id.to_le_bytes());
    }
    Digest::from(*hasher.finalize().as_bytes())
}
