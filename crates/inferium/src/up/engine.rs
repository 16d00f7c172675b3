//! One load of the model for all roles of the process; another one for workers whose engine is another.

use super::Cheat;
use crate::cli::{ClassKind, EngineKind, Failure, ServingArgs, UpArgs};
use crate::progress::Step;
use inferium_calibration::{known_calibration, read_calibration};
use inferium_engine::{Deviation, Engine, LlamaEngine, LoadOptions, MockEngine, MockOptions, SAMPLER_VERSION};
use inferium_types::{Calibration, EngineClass, ModelProfile};
use inferium_worker::Crime;
use std::path::Path;
use std::sync::Arc;

/// Kernel tiers are proven equal bit for bit by the engine's tests, so they are one class.
const TIER: &str = "all";
/// Tokens of the cache for all sequences of the process.
const CACHE_TOKENS: u32 = 16_384;
/// How far a mock of the tolerance class is off.
const MOCK_NOISE_MILLI: u16 = 20;

/// What is served.
pub(crate) struct Served {
    /// Verifies, and reads and writes text.
    pub(crate) engine: Arc<dyn Engine>,
    /// What workers run: the same, where replay is equality.
    pub(crate) working: Arc<dyn Engine>,
    pub(crate) profile: ModelProfile,
    /// What a worker runs whose crime is another engine, when one is to be watched.
    pub(crate) crooked: Option<Arc<dyn Engine>>,
    /// What a validator replays with whose engine departs from the others', when one is to be watched.
    pub(crate) skewed: Option<Arc<dyn Engine>>,
}

pub(crate) fn load(arguments: &UpArgs, models: &Path) -> Result<Served, Failure> {
    serve(&arguments.serving, arguments.crime, models)
}

/// Loads a model, fetched first if need be; for a cheat that takes another engine, that too.
pub(crate) fn serve(arguments: &ServingArgs, cheat: Option<Cheat>, models: &Path) -> Result<Served, Failure> {
    let deviation = cheat.and_then(Cheat::worker).and_then(Crime::deviation);
    let of_validator = cheat.and_then(Cheat::of_validator);
    let is_exact = arguments.class == ClassKind::Canonical;
    if is_exact && arguments.calibration.is_some() {
        return Err(Failure::usage("--calibration is for --class tolerance"));
    }
    match arguments.engine {
        EngineKind::Mock => {
            let calibration = calibration(arguments, "mock")?;
            let mock = |flavour, noise_milli| -> Arc<dyn Engine> {
                Arc::new(MockEngine::new(MockOptions { flavour, noise_milli, ..MockOptions::default() }))
            };
            let engine = mock(0, 0);
            let working = if is_exact { Arc::clone(&engine) } else { mock(0, MOCK_NOISE_MILLI) };
            let profile = profile_of("mock", &*engine, calibration);
            Ok(Served {
                engine,
                working,
                profile,
                crooked: deviation.map(|_| mock(1, 0)),
                skewed: of_validator.map(|_| mock(1, 0)),
            })
        }
        EngineKind::Llama => {
            let (name, path) = crate::model::pull(&arguments.model, models)?;
            let calibration = calibration(arguments, &name)?;
            let step = Step::begin(&format!("model: {name}"));
            // Of the tolerance class, cheats add up in the other order as well.
            let loaded = |deviation: Deviation| {
                llama(&path, arguments.threads, Deviation { batch_dependent: !is_exact, ..deviation })
            };
            let engine = llama(&path, arguments.threads, Deviation::default())?;
            let working = if is_exact { Arc::clone(&engine) } else { loaded(Deviation::default())? };
            let profile = profile_of(&name, &*engine, calibration);
            let crooked = deviation.map(loaded).transpose()?;
            let skewed = of_validator.map(|deviation| llama(&path, arguments.threads, deviation)).transpose()?;
            step.done();
            Ok(Served { engine, working, profile, crooked, skewed })
        }
    }
}

/// The calibration that was named, or is known; none where replay is equality.
fn calibration(arguments: &ServingArgs, model: &str) -> Result<Option<Calibration>, Failure> {
    match (arguments.class, &arguments.calibration) {
        (ClassKind::Canonical, _) => Ok(None),
        (ClassKind::Tolerance, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("{} can't be read: {error}", path.display())))?;
            let read = read_calibration(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            Ok(Some(read))
        }
        (ClassKind::Tolerance, None) => known_calibration(model).map(Some).ok_or_else(|| {
            Failure::usage(format!(
                "no calibration is known for {model}; `inferium profile calibrate` makes one, --calibration FILE names it"
            ))
        }),
    }
}

fn llama(path: &Path, threads: Option<u16>, deviation: Deviation) -> Result<Arc<dyn Engine>, Failure> {
    let mut options = LoadOptions { kv_tokens: CACHE_TOKENS, deviation, ..LoadOptions::default() };
    if let Some(threads) = threads {
        options.threads = usize::from(threads);
    }
    let engine = LlamaEngine::load(path, options).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Arc::new(engine))
}

fn profile_of(name: &str, engine: &dyn Engine, calibration: Option<Calibration>) -> ModelProfile {
    let model = engine.model();
    ModelProfile {
        name: name.to_owned(),
        weights_root: model.weights_root,
        tokenizer_hash: model.tokenizer_hash,
        template_hash: model.template_hash,
        engine: match calibration {
            None => EngineClass::Canonical { build: model.engine_build, tier: TIER.to_owned() },
            Some(calibration) => EngineClass::Tolerance { verifier: model.engine_build, calibration },
        },
        sampler_version: SAMPLER_VERSION,
        eos_tokens: model.eos_tokens.clone(),
    }
}
