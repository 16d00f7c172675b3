//! One load of each model for all roles of the process; another one for workers whose engine is another.

use super::Cheat;
use super::foreign;
use crate::cli::{ClassKind, EngineKind, Failure, ServingArgs, UpArgs};
use crate::progress::Step;
use inferium_calibration::{known_calibration, read_calibration};
use inferium_engine::source::{self, ModelKind};
use inferium_engine::{
    Arithmetic, BertEmbedder, Classifier, ClassifierTerms, Deviation, Embedder, EmbedderDeviation, EmbedderOptions,
    EncoderTerms, InvalidClassifier, LlamaEngine, LoadError, LoadOptions, MockEmbedder, MockEmbedderOptions,
    MockEngine, MockOptions, Model, TextModel,
};
use inferium_types::{Calibration, EngineClass, ForeignBounds, ModelProfile, ModelTask};
use inferium_worker::{Crime, Server};
use std::path::Path;
use std::sync::Arc;

/// Kernel tiers are proven equal bit for bit by the engine's tests, so they are one class.
const TIER: &str = "all";
/// Tokens of the cache for all sequences of the process: eight answers, which is what a worker offers at once, and four replays, each as
/// long as SmolLM2's context. A job that waited in the engine for room would miss its first token's deadline, and its worker be
/// reported. Pages are allocated as they are used, at 23 kB a token: 2.3 GB when all of them are.
const CACHE_TOKENS: u32 = 12 * 8_192;
/// llama.cpp allocates all of its cache when it starts.
const LLAMACPP_CACHE_TOKENS: u32 = 24_576;
/// What a mock of an embedding model is called.
const MOCK_EMBEDDER: &str = "mock-embedder";
/// How far a mock of the tolerance class is off.
const MOCK_NOISE_MILLI: u16 = 20;

/// A model that is served.
pub(crate) struct Served {
    /// Verifies, and reads and writes text.
    pub(crate) model: Model,
    /// What workers run: the same, where replay is equality.
    pub(crate) working: Model,
    pub(crate) profile: ModelProfile,
    /// What a worker runs whose crime is another engine, when one is to be watched.
    pub(crate) crooked: Option<Model>,
    /// The server that draws for workers, of the foreign class.
    pub(crate) server: Option<Arc<Server>>,
    /// What a validator replays with whose engine departs from the others', when one is to be watched.
    pub(crate) skewed: Option<Model>,
    /// What a worker answers with whose crime is another model, when one is to be watched.
    pub(crate) other: Option<Arc<TextModel>>,
}

impl Served {
    /// True when a worker of this model can commit a crime.
    pub(crate) const fn knows(&self, crime: Crime) -> bool {
        match self.profile.task {
            // Whoever trains is a worker of its own.
            ModelTask::Chat => !matches!(crime, Crime::FabricatedLoss) && !crime.is_of_proofs(),
            // Of floats layers can be left out, and integers computed with other weights.
            ModelTask::Embed { .. } if matches!(crime, Crime::SkippedLayers | Crime::WrongWeights) => {
                self.crooked.is_some()
            }
            ModelTask::Embed { .. } => crime.is_of_embeddings(),
            ModelTask::Classify { .. } => crime.is_of_classifiers() || crime.is_of_proofs(),
            ModelTask::Host
            | ModelTask::Fold
            | ModelTask::Train
            | ModelTask::Prove
            | ModelTask::ProvePrivate { .. } => false,
        }
    }
}

/// All models of a network, the one that chats first.
pub(crate) fn load(arguments: &UpArgs, models: &Path) -> Result<Vec<Served>, Failure> {
    let other = other_model(arguments)?;
    let mut served = vec![Served { other, ..serve(&arguments.serving, arguments.crime, models)? }];
    if let Some(name) = &arguments.embeddings {
        served.push(serve_embeddings(name, &arguments.serving, arguments.crime, models)?);
    }
    for path in &arguments.classifier {
        let is_crooked = arguments.crime == Some(Cheat::Worker(Crime::WrongWeights));
        let classifier = serve_classifier(path, &arguments.serving, (&served, is_crooked), models)?;
        let name = &classifier.profile.name;
        if served.iter().any(|other| other.profile.name == *name) {
            return Err(Failure::usage(format!("{}: there is another model of the name {name}", path.display())));
        }
        served.push(classifier);
    }
    Ok(served)
}

/// The other model of a cheat that answers with one.
fn other_model(arguments: &UpArgs) -> Result<Option<Arc<TextModel>>, Failure> {
    let is_wanted = arguments.crime == Some(Cheat::Worker(Crime::AnotherModel));
    match (&arguments.other_model, is_wanted) {
        (None, false) => Ok(None),
        (Some(_), false) => Err(Failure::usage("--other-model is for --crime another-model")),
        (_, true) if !Arithmetic::LlamaCpp.is_built_in() => Err(Failure::usage(LoadError::WithoutLlamaCpp.to_string())),
        (None, true) => Err(Failure::usage(
            "--crime another-model needs --other-model FILE: a GGUF file of any model that llama.cpp reads",
        )),
        (Some(path), true) => {
            let threads = arguments.serving.threads.map_or(1, usize::from);
            let model = TextModel::load(path, threads)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
            Ok(Some(Arc::new(model)))
        }
    }
}

/// Loads a model, fetched first if need be; for a cheat that takes another engine, that too.
pub(crate) fn serve(arguments: &ServingArgs, cheat: Option<Cheat>, models: &Path) -> Result<Served, Failure> {
    let deviation = cheat.and_then(Cheat::worker).and_then(Crime::deviation);
    let of_validator = cheat.and_then(Cheat::of_validator);
    let class = arguments.class();
    let is_exact = class != ClassKind::Tolerance;
    if is_exact && arguments.calibration.is_some() {
        return Err(Failure::usage("--calibration is for --class tolerance"));
    }
    foreign::check(arguments, cheat.is_some())?;
    check_engine(arguments)?;
    match arguments.engine {
        EngineKind::Mock => {
            let calibration = calibration(arguments, "mock")?;
            let mock = |flavour, noise_milli| {
                Model::Chat(Arc::new(MockEngine::new(MockOptions { flavour, noise_milli, ..MockOptions::default() })))
            };
            let model = mock(0, 0);
            let working = if is_exact { model.clone() } else { mock(0, MOCK_NOISE_MILLI) };
            let profile = profile_of("mock", &model, class, calibration);
            Ok(Served {
                model,
                working,
                profile,
                server: None,
                crooked: deviation.map(|_| mock(1, 0)),
                skewed: of_validator.map(|_| mock(1, 0)),
                other: None,
            })
        }
        EngineKind::Llama | EngineKind::Llamacpp | EngineKind::Openai => {
            let (name, path) = crate::model::pull(&arguments.model, ModelKind::Chat, models)?;
            let calibration = calibration(arguments, &name)?;
            let step = Step::begin(&format!("model: {name}"));
            // Of the tolerance class, cheats add up in the other order as well.
            let loaded = |deviation: Deviation| {
                llama(&path, arguments.threads, Deviation { batch_dependent: !is_exact, ..deviation })
            };
            let model = llama(&path, arguments.threads, Deviation::default())?;
            let working = match class {
                _ if arguments.engine == EngineKind::Llamacpp => llamacpp(&path, arguments.threads)?,
                // What draws for a worker of the foreign class is the server.
                ClassKind::Canonical | ClassKind::Foreign => model.clone(),
                ClassKind::Tolerance => loaded(Deviation::default())?,
            };
            let profile = profile_of(&name, &model, class, calibration);
            let crooked = deviation.map(loaded).transpose()?;
            let skewed = of_validator.map(|deviation| llama(&path, arguments.threads, deviation)).transpose()?;
            step.done();
            Ok(Served { model, working, profile, crooked, skewed, server: None, other: None })
        }
    }
}

/// Loads an embedding model: with the mock engine, a mock under the same name.
pub(crate) fn serve_embeddings(
    name: &str,
    arguments: &ServingArgs,
    cheat: Option<Cheat>,
    models: &Path,
) -> Result<Served, Failure> {
    let crime = cheat.and_then(Cheat::worker);
    let is_crooked = crime == Some(Crime::SkippedLayers);
    // A name of the catalogue is that, whatever the folder one stands in holds.
    if source::find(name).is_none() && BertEmbedder::has_integers(Path::new(name)) {
        return serve_integers(Path::new(name), arguments, crime);
    }
    match arguments.engine {
        EngineKind::Mock => {
            let mock = |flavour| {
                Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions {
                    flavour,
                    ..MockEmbedderOptions::default()
                })))
            };
            let model = mock(0);
            let profile = model.profile(MOCK_EMBEDDER, TIER);
            Ok(Served {
                working: model.clone(),
                model,
                profile,
                crooked: is_crooked.then(|| mock(1)),
                skewed: None,
                server: None,
                other: None,
            })
        }
        EngineKind::Llama | EngineKind::Llamacpp | EngineKind::Openai => {
            let (name, path) = crate::model::pull(name, ModelKind::Embedding, models)?;
            let step = Step::begin(&format!("model: {name}"));
            let loaded = |deviation| bert(&path, arguments.threads, deviation).map(Model::Embedder);
            let model = loaded(EmbedderDeviation::default())?;
            let profile = model.profile(&name, TIER);
            let crooked = is_crooked
                .then(|| loaded(EmbedderDeviation { skipped_layers: 1, ..EmbedderDeviation::default() }))
                .transpose()?;
            step.done();
            Ok(Served { working: model.clone(), model, profile, crooked, skewed: None, server: None, other: None })
        }
    }
}

/// Loads an embedding model of integers from its folder, whichever engine answers conversations.
fn serve_integers(folder: &Path, arguments: &ServingArgs, crime: Option<Crime>) -> Result<Served, Failure> {
    if crime == Some(Crime::SkippedLayers) {
        return Err(Failure::usage("--crime skipped-layers is of embedding models of floats"));
    }
    let step = Step::begin(&format!("model: {}", folder.display()));
    let loaded = |bent_weights| {
        let deviation = EmbedderDeviation { bent_weights, ..EmbedderDeviation::default() };
        BertEmbedder::load_integers(folder, &embedder_options(arguments.threads, deviation))
            .map(Arc::new)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))
    };
    let embedder = loaded(false)?;
    let name = embedder.model().name.clone();
    if source::find(&name).is_some() {
        let folder = folder.display();
        return Err(Failure::usage(format!(
            "{folder}: {name} is a model of the catalogue; give the folder another name"
        )));
    }
    let crooked = (crime == Some(Crime::WrongWeights)).then(|| loaded(true)).transpose()?;
    let crooked = crooked.map(|embedder| Model::Embedder(embedder));
    let served = honest(Model::Embedder(embedder), &name, folder)?;
    step.done();
    Ok(Served { crooked, ..served })
}

/// A model of a file or folder under this name, which every worker and validator runs as it is.
fn honest(model: Model, name: &str, path: &Path) -> Result<Served, Failure> {
    let profile = model.profile(name, TIER);
    if !profile.is_well_formed() {
        return Err(Failure::usage(format!("{}: {name:?} can't be a model's name", path.display())));
    }
    Ok(Served { working: model.clone(), model, profile, crooked: None, skewed: None, server: None, other: None })
}

/// Loads a classifier, and the embedding model behind one of texts: one of `loaded`, if it is there.
pub(crate) fn serve_classifier(
    path: &Path,
    arguments: &ServingArgs,
    (loaded, is_crooked): (&[Served], bool),
    models: &Path,
) -> Result<Served, Failure> {
    let wrong = |error: InvalidClassifier| Failure::usage(format!("{}: {error}", path.display()));
    let (terms, integers) = ClassifierTerms::read(path).map_err(wrong)?;
    let encoder = terms.encoder.as_ref().map(|EncoderTerms { name, .. }| {
        let known = loaded.iter().find(|served| served.profile.name == *name);
        let model = match known {
            Some(served) => served.model.clone(),
            None => Model::Embedder(encoder_of(name, arguments, models)?),
        };
        match model {
            Model::Embedder(embedder) => Ok(embedder),
            _ => Err(Failure::usage(format!("{}: {name} gives texts no vectors", path.display()))),
        }
    });
    let name = terms.name.clone();
    let step = Step::begin(&format!("classifier: {name}"));
    let classifier = Classifier::new(integers, terms, encoder.transpose()?).map_err(wrong)?;
    let crooked = is_crooked.then(|| classifier.crooked()).flatten();
    let crooked = crooked.map(|classifier| Model::Classifier(Arc::new(classifier)));
    let served = honest(Model::Classifier(Arc::new(classifier)), &name, path)?;
    step.done();
    Ok(Served { crooked, ..served })
}

/// The embedding model behind a classifier: the one of that name whatever engine answers conversations, since of another one's vectors
/// its numbers mean nothing.
fn encoder_of(name: &str, arguments: &ServingArgs, models: &Path) -> Result<Arc<dyn Embedder>, Failure> {
    if name == MOCK_EMBEDDER {
        return Ok(Arc::new(MockEmbedder::new(MockEmbedderOptions::default())));
    }
    let (name, path) = crate::model::pull(name, ModelKind::Embedding, models)?;
    let step = Step::begin(&format!("model: {name}"));
    let embedder = bert(&path, arguments.threads, EmbedderDeviation::default())?;
    step.done();
    Ok(embedder)
}

fn embedder_options(threads: Option<u16>, deviation: EmbedderDeviation) -> EmbedderOptions {
    let mut options = EmbedderOptions { deviation, ..EmbedderOptions::default() };
    if let Some(threads) = threads {
        options.threads = usize::from(threads);
    }
    options
}

fn bert(path: &Path, threads: Option<u16>, deviation: EmbedderDeviation) -> Result<Arc<dyn Embedder>, Failure> {
    let embedder = BertEmbedder::load(path, embedder_options(threads, deviation))
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Arc::new(embedder))
}

/// The calibration that was named, or is known; none but of the tolerance class.
fn calibration(arguments: &ServingArgs, model: &str) -> Result<Option<Calibration>, Failure> {
    match (arguments.class(), &arguments.calibration) {
        (ClassKind::Canonical | ClassKind::Foreign, _) => Ok(None),
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

/// llama.cpp computes for tolerance profiles alone, in programs that have it.
fn check_engine(arguments: &ServingArgs) -> Result<(), Failure> {
    if arguments.engine != EngineKind::Llamacpp {
        return Ok(());
    }
    if !Arithmetic::LlamaCpp.is_built_in() {
        return Err(Failure::usage(LoadError::WithoutLlamaCpp.to_string()));
    }
    if arguments.class == ClassKind::Canonical {
        return Err(Failure::usage(
            "--engine llamacpp is for --class tolerance: its results are never equal to the canonical engine's",
        ));
    }
    Ok(())
}

fn llama(path: &Path, threads: Option<u16>, deviation: Deviation) -> Result<Model, Failure> {
    started(path, threads, LoadOptions { deviation, kv_tokens: CACHE_TOKENS, ..LoadOptions::default() })
}

fn llamacpp(path: &Path, threads: Option<u16>) -> Result<Model, Failure> {
    let options =
        LoadOptions { arithmetic: Arithmetic::LlamaCpp, kv_tokens: LLAMACPP_CACHE_TOKENS, ..LoadOptions::default() };
    started(path, threads, options)
}

fn started(path: &Path, threads: Option<u16>, mut options: LoadOptions) -> Result<Model, Failure> {
    if let Some(threads) = threads {
        options.threads = usize::from(threads);
    }
    let engine = LlamaEngine::load(path, options).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Model::Chat(Arc::new(engine)))
}

fn profile_of(name: &str, model: &Model, class: ClassKind, calibration: Option<Calibration>) -> ModelProfile {
    let profile = model.profile(name, TIER);
    let engine = match (profile.engine, calibration) {
        (EngineClass::Canonical { build, .. }, Some(calibration)) => {
            EngineClass::Tolerance { verifier: build, calibration }
        }
        (EngineClass::Canonical { build, .. }, None) if class == ClassKind::Foreign => {
            EngineClass::Foreign { verifier: build, bounds: ForeignBounds::USUAL }
        }
        (of_model, _) => of_model,
    };
    ModelProfile { engine, ..profile }
}

#[cfg(test)]
mod tests;
