//! Byte-level BPE from a GGUF file's metadata.

use crate::gguf::Gguf;
use crate::{EngineError, LoadError};
use inferium_types::Digest;
use std::collections::BTreeMap;
use tokenizers::PreTokenizerWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

#[cfg(test)]
pub(crate) mod tests;

/// What GGUF's `tokenizer.ggml.token_type` calls normal; the others that matter here follow.
const TYPE_UNKNOWN: u32 = 2;
const TYPE_CONTROL: u32 = 3;
const TYPE_USER_DEFINED: u32 = 4;
const TYPE_UNUSED: u32 = 5;

const QWEN2_PATTERN: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3_PATTERN: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A model's tokenizer.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    /// Without added tokens: the spelling of a special token is text like any other.
    plain: tokenizers::Tokenizer,
    /// Special tokens by spelling.
    special: BTreeMap<String, u32>,
    /// Bytes of each token; empty for special ones.
    bytes: Vec<Vec<u8>>,
    spellings: Vec<String>,
    hash: Digest,
}

impl Tokenizer {
    /// Builds the tokenizer that a file describes.
    pub(crate) fn from_gguf(file: &Gguf) -> Result<Self, LoadError> {
        let kind = file.text("tokenizer.ggml.model")?.unwrap_or_default();
        if kind != "gpt2" {
            return Err(LoadError::unsupported(format!("tokenizer `{kind}`; only byte-level BPE (`gpt2`) is served")));
        }
        let spellings = file.texts("tokenizer.ggml.tokens")?;
        let types = file.integers("tokenizer.ggml.token_type")?;
        let merges = file.texts("tokenizer.ggml.merges")?;
        let pre = file.text("tokenizer.ggml.pre")?.unwrap_or("default").to_owned();
        Self::new(spellings, &types, &merges, &pre)
    }

    fn new(spellings: Vec<String>, types: &[u32], merges: &[String], pre: &str) -> Result<Self, LoadError> {
        if types.len() != spellings.len() || u32::try_from(spellings.len()).is_err() {
            return Err(LoadError::Tokenizer { reason: "types and tokens differ in number".to_owned() });
        }
        let mut special = BTreeMap::new();
        let mut bytes = Vec::with_capacity(spellings.len());
        let byte_of = byte_of_char();
        for ((id, spelling), &kind) in (0_u32..).zip(&spellings).zip(types) {
            let is_special = matches!(kind, TYPE_UNKNOWN | TYPE_CONTROL | TYPE_UNUSED);
            if is_special || kind == TYPE_USER_DEFINED {
                special.insert(spelling.clone(), id);
            }
            bytes.push(match kind {
                _ if is_special => Vec::new(),
                TYPE_USER_DEFINED => spelling.clone().into_bytes(),
                _ => spelling.chars().filter_map(|c| byte_of.get(&c).copied()).collect(),
            });
        }
        let hash = hash(&spellings, types, merges, pre);
        let plain = build(&spellings, merges, pre)?;
        Ok(Self { plain, special, bytes, spellings, hash })
    }

    /// Tokens of plain text; no spelling of a special token is recognised.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        self.plain
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| EngineError::Text { reason: error.to_string() })
    }

    /// The special tokens and the text between them, from left to right; of spellings that begin at the same place the
    /// longest counts.
    pub(crate) fn split_special<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while let Some(rest) = text.get(at..) {
            let found = self
                .special
                .iter()
                .filter(|(spelling, _)| !spelling.is_empty() && rest.starts_with(spelling.as_str()))
                .max_by_key(|(spelling, _)| spelling.len());
            if let Some((spelling, &id)) = found {
                if at > start {
                    pieces.push(Piece::Text(&text[start..at]));
                }
                pieces.push(Piece::Special(id));
                at += spelling.len();
                start = at;
            } else if let Some(next) = rest.chars().next() {
                at += next.len_utf8();
            } else {
                break;
            }
        }
        if start < text.len() {
            pieces.push(Piece::Text(&text[start..]));
        }
        pieces
    }

    /// Spellings of special tokens.
    pub(crate) fn specials(&self) -> impl Iterator<Item = &str> {
        self.special.keys().map(String::as_str)
    }

    /// A token's bytes; empty for special and unknown tokens.
    pub(crate) fn token_bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// A token's spelling in the vocabulary.
    pub(crate) fn spelling(&self, token: u32) -> Option<&str> {
        self.spellings.get(token as usize).map(String::as_str)
    }

    /// The id of a special token.
    pub(crate) fn special_id(&self, spelling: &str) -> Option<u32> {
        self.special.get(spelling).copied()
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.spellings.len()
    }

    pub(crate) fn hash(&self) -> Digest {
        self.hash
    }
}

/// A part of a rendered text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// A special token.
    Special(u32),
    /// Text between special tokens.
    Text(&'a str),
}

fn build(spellings: &[String], merges: &[String], pre: &str) -> Result<tokenizers::Tokenizer, LoadError> {
    let refuse = |reason: String| LoadError::Tokenizer { reason };
    let vocab = (0_u32..)
        .zip(spellings)
        .map(|(id, spelling)| (spelling.clone(), id))
        .collect::<tokenizers::models::bpe::Vocab>();
    let merges = merges
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
            None => Err(refuse(format!("merge `{merge}` has no space"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).build().map_err(|error| refuse(error.to_string()))?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer(pre)?));
    if pre == "qwen2" {
        tokenizer.with_normalizer(Some(NFC)).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(tokenizer)
}

/// How text is cut before merging. A wrong choice gives plausible but wrong tokens, so unknown names are refused.
fn pre_tokenizer(pre: &str) -> Result<PreTokenizerWrapper, LoadError> {
    let split = |pattern: &str| -> Result<PreTokenizerWrapper, LoadError> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| LoadError::Tokenizer { reason: error.to_string() })?;
        Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
    };
    match pre {
        "smollm" => Ok(Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into()),
        "default" | "gpt2" | "gpt-2" => Ok(ByteLevel::new(false, true, true).into()),
        "llama-bpe" | "llama3" | "llama-v3" => split(LLAMA3_PATTERN),
        "qwen2" => split(QWEN2_PATTERN),
        _ => Err(LoadError::unsupported(format!("pre-tokenizer `{pre}`"))),
    }
}

/// GPT-2's way of writing bytes as printable characters, reversed.
fn byte_of_char() -> BTreeMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut table = BTreeMap::new();
    let mut next = 256_u32;
    for byte in 0..=u8::MAX {
        if printable(byte) {
            table.insert(char::from(byte), byte);
        } else {
            if let Some(c) = char::from_u32(next) {
                table.insert(c, byte);
            }
            next += 1;
        }
    }
    table
}

fn hash(spellings: &[String], types: &[u32], merges: &[String], pre: &str) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"inferium/tokenizer/1\0");
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(pre);
    text(&spellings.len().to_string());
    spellings.iter().for_each(|spelling| text(spelling));
    text(&merges.len().to_string());
    merges.iter().for_each(|merge| text(merge));
    for kind in types {
        hasher.update(&kind.to_le_bytes());
    }
    Digest::from(*hasher.finalize().as_bytes())
}
