//! One load of the model for all roles of the process.

use super::Cheat;
use crate::cli::{EngineKind, Failure, UpArgs};
use crate::progress::Step;
use inferium_engine::{
    Deviation, Engine, LlamaEngine, LoadOptions, MockEngine, MockOptions, SAMPLER_VERSION, WeakFormat,
};
use inferium_types::{EngineClass, ModelProfile};
use inferium_worker::Crime;
use std::path::Path;
use std::sync::Arc;

/// Kernel tiers are proven equal bit for bit by the engine's tests, so they are one class.
const TIER: &str = "all";
/// Tokens of the cache for all sequences of the process.
const CACHE_TOKENS: u32 = 16_384;

/// An engine and what it serves.
pub(crate) struct Served {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) profile: ModelProfile,
    /// What a worker with other weights runs on, when one is to be watched.
    pub(crate) wrong_weights: Option<Arc<dyn Engine>>,
}

pub(crate) fn load(arguments: &UpArgs, models: &Path) -> Result<Served, Failure> {
    serve(arguments.engine, &arguments.model, arguments.threads, arguments.crime.and_then(Cheat::worker), models)
}

/// Loads a model, fetched first if need be; for a crime of other weights, those too.
pub(crate) fn serve(
    kind: EngineKind,
    model: &str,
    threads: Option<u16>,
    crime: Option<Crime>,
    models: &Path,
) -> Result<Served, Failure> {
    let is_wrong = crime == Some(Crime::WrongWeights);
    match kind {
        EngineKind::Mock => {
            let mock = |flavour| -> Arc<dyn Engine> {
                Arc::new(MockEngine::new(MockOptions { flavour, ..MockOptions::default() }))
            };
            let engine = mock(0);
            let profile = profile_of("mock", &*engine);
            Ok(Served { engine, profile, wrong_weights: is_wrong.then(|| mock(1)) })
        }
        EngineKind::Llama => {
            let (name, path) = crate::model::pull(model, models)?;
            let step = Step::begin(&format!("model: {name}"));
            let engine = llama(&path, threads, None)?;
            let profile = profile_of(&name, &*engine);
            let wrong_weights = is_wrong.then(|| llama(&path, threads, Some(WeakFormat::Q4_0))).transpose()?;
            step.done();
            Ok(Served { engine, profile, wrong_weights })
        }
    }
}

fn llama(path: &Path, threads: Option<u16>, weights: Option<WeakFormat>) -> Result<Arc<dyn Engine>, Failure> {
    let mut options = LoadOptions {
        kv_tokens: CACHE_TOKENS,
        deviation: Deviation { weights, ..Deviation::default() },
        ..LoadOptions::default()
    };
    if let Some(threads) = threads {
        options.threads = usize::from(threads);
    }
    let engine = LlamaEngine::load(path, options).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Arc::new(engine))
}

fn profile_of(name: &str, engine: &dyn Engine) -> ModelProfile {
    let model = engine.model();
    ModelProfile {
        name: name.to_owned(),
        weights_root: model.weights_root,
        tokenizer_hash: model.tokenizer_hash,
        template_hash: model.template_hash,
        engine: EngineClass::Canonical { build: model.engine_build, tier: TIER.to_owned() },
        sampler_version: SAMPLER_VERSION,
        eos_tokens: model.eos_tokens.clone(),
    }
}
