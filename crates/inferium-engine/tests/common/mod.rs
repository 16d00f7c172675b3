//! The real model for tests.

use inferium_engine::{LlamaEngine, LoadOptions, source};
use std::path::PathBuf;
use std::sync::OnceLock;

/// SmolLM2-135M: the file that `INFERIUM_TEST_MODEL` names, else fetched once into the target folder.
pub(crate) fn model_path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("INFERIUM_TEST_MODEL") {
        Some(path) => path.into(),
        None => {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
            source::pull(source::find("smollm2").unwrap(), &folder, &mut |_| ()).unwrap()
        }
    })
    .clone()
}

/// An engine over it.
pub(crate) fn engine(options: LoadOptions) -> LlamaEngine {
    LlamaEngine::load(&model_path(), options).unwrap()
}
