//! Why a model cannot be loaded.

use std::path::{Path, PathBuf};

/// Why a model file cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {reason}", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not a sound GGUF file.
    #[error("not a readable GGUF file: {reason}")]
    File {
        /// What the reader says.
        reason: String,
    },
    /// A metadata key that every such model has is absent.
    #[error("the file has no metadata key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata key has another type.
    #[error("metadata key `{key}` is not {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A tensor that every such model has is absent.
    #[error("the file has no tensor `{tensor}`")]
    MissingTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape, or rows that are no multiple of 32.
    #[error("tensor `{tensor}` has shape {found:?}, not {expected:?} with rows of a multiple of 32")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape that the metadata demand.
        expected: Vec<usize>,
        /// The shape of the file.
        found: Vec<usize>,
    },
    /// A file of a model in several files cannot be made sense of.
    #[error("{path} is damaged, or not what its name says: {reason}", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// A tensor cannot be computed with.
    #[error("tensor `{tensor}` {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is of a kind that this engine does not know.
    #[error("unsupported model: {reason}")]
    Unsupported {
        /// What it is that is not supported.
        reason: String,
    },
    /// The tokenizer cannot be built.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// Why.
        reason: String,
    },
    /// The processor cannot run the tier that was asked for.
    #[error("this processor cannot run the {tier} kernels")]
    Tier {
        /// The tier.
        tier: crate::Tier,
    },
    /// The cache is too small for a single page.
    #[error("a cache of {kv_tokens} tokens cannot hold a sequence")]
    CacheTooSmall {
        /// Its size.
        kv_tokens: u32,
    },
    /// The engine is not part of this program.
    #[error("this program was built without llama.cpp; `cargo build --release --features llamacpp` builds one with it")]
    WithoutLlamaCpp,
    /// llama.cpp refuses the file or the settings.
    #[error("llama.cpp: {reason}")]
    LlamaCpp {
        /// What it says.
        reason: String,
    },
    /// The engine's threads cannot be started.
    #[error("cannot start threads: {reason}")]
    Threads {
        /// What the system says.
        reason: String,
    },
}

impl LoadError {
    pub(crate) fn file(source: impl std::fmt::Display) -> Self {
        Self::File { reason: source.to_string() }
    }

    /// What the library that reads GGUF files says, without the backtrace that it adds where `RUST_BACKTRACE` is set: that is no
    /// reason for people, and to name its places reads the whole program's symbols.
    pub(crate) fn library(error: candle_core::Error) -> Self {
        match error {
            candle_core::Error::WithBacktrace { inner, .. } => Self::library(*inner),
            other => Self::file(other),
        }
    }

    pub(crate) fn open(path: &Path, error: &std::io::Error) -> Self {
        Self::Open { path: path.to_path_buf(), reason: error.to_string() }
    }

    pub(crate) fn damaged(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(crate) fn tensor(tensor: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { tensor: tensor.to_owned(), reason: reason.into() }
    }

    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported { reason: reason.into() }
    }
}
