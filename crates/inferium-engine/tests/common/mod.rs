//! The real models for tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use inferium_engine::{BertEmbedder, EmbedderOptions, LlamaEngine, LoadOptions, source};
use std::path::PathBuf;
use std::sync::OnceLock;

/// SmolLM2-135M: the file that `INFERIUM_TEST_MODEL` names, else fetched once into the target folder.
pub(crate) fn model_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetched("INFERIUM_TEST_MODEL", "smollm2")).clone()
}

/// all-MiniLM-L6-v2: the folder that `INFERIUM_TEST_EMBEDDER` names, else fetched once into the target folder.
pub(crate) fn embedder_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fetched("INFERIUM_TEST_EMBEDDER", "all-minilm-l6-v2")).clone()
}

fn fetched(variable: &str, name: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
            source::pull(source::find(name).unwrap(), &folder, &mut |_| ()).unwrap()
        }
    }
}

/// An engine over SmolLM2.
pub(crate) fn engine(options: LoadOptions) -> LlamaEngine {
    LlamaEngine::load(&model_path(), options).unwrap()
}

/// An embedder over MiniLM.
pub(crate) fn embedder(options: EmbedderOptions) -> BertEmbedder {
    BertEmbedder::load(&embedder_path(), options).unwrap()
}
