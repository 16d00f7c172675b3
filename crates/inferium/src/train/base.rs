//! Base models: fetched by name, checked by hash.

use crate::cli::{Failure, MachineArgs};
use crate::home::models_dir;
use crate::progress::{CountBar, Step};
use inferium_engine::source::ModelKind;
use inferium_engine::{BertEmbedder, Embedder as _, EmbedderOptions};
use inferium_train::{AdapterBase, BaseModel, DataSet, Ground, HeadTrainer, Method, Trainer, TrainingSpec, Vectors};
use inferium_types::Digest;
use std::sync::Arc;

/// Texts that are handed to the embedder at once.
const TEXTS: usize = 64;

/// A base model, loaded.
pub(super) enum Base {
    Embedder(Box<BertEmbedder>, BaseModel),
    Decoder(Arc<AdapterBase>),
}

impl Base {
    pub(super) fn embedder(name: &str, machine: &MachineArgs) -> Result<Self, Failure> {
        let (name, path) = crate::model::pull(name, ModelKind::Embedding, &models_dir(machine.models.dir.clone()))?;
        let step = Step::begin(&format!("model: {name}"));
        let options = EmbedderOptions { threads: threads(machine), ..EmbedderOptions::default() };
        let embedder = BertEmbedder::load(&path, options).map_err(|error| Failure::failed(error.to_string()))?;
        step.done();
        let info = embedder.model();
        let model = BaseModel { name, weights_root: info.weights_root, tokenizer_hash: info.tokenizer_hash };
        Ok(Self::Embedder(Box::new(embedder), model))
    }

    pub(super) fn decoder(name: &str, machine: &MachineArgs) -> Result<Self, Failure> {
        let (name, path) = crate::model::pull(name, ModelKind::Chat, &models_dir(machine.models.dir.clone()))?;
        let step = Step::begin(&format!("model: {name}"));
        let base = AdapterBase::load(name, &path, threads(machine));
        let base = base.map_err(|error| Failure::failed(error.to_string()))?;
        step.done();
        Ok(Self::Decoder(Arc::new(base)))
    }

    /// The base that a spec names, if what has that name here is it.
    pub(super) fn of(spec: &TrainingSpec, machine: &MachineArgs) -> Result<Self, Failure> {
        if spec.engine != TrainingSpec::class() {
            let [theirs, ours] = [&spec.engine, &TrainingSpec::class()].map(build);
            return Err(Failure::refused(format!(
                "the run is of build {theirs}, and this program is {ours}: results are equal within one build alone"
            )));
        }
        let base = match spec.method {
            Method::Head { .. } => Self::embedder(&spec.model.name, machine)?,
            Method::Lora { .. } => Self::decoder(&spec.model.name, machine)?,
        };
        if *base.model() != spec.model {
            return Err(Failure::refused(format!(
                "{:?} has other weights or another tokenizer here than the run's: {}, and not {}",
                spec.model.name,
                base.model().weights_root,
                spec.model.weights_root
            )));
        }
        Ok(base)
    }

    pub(super) fn model(&self) -> &BaseModel {
        match self {
            Self::Embedder(_, model) => model,
            Self::Decoder(base) => base.model(),
        }
    }

    /// A trainer of a run; a classifier's is given the vectors of all lines.
    pub(super) fn trainer(
        self,
        spec: &TrainingSpec,
        data: &DataSet,
        vectors: Option<Vectors>,
    ) -> Result<Box<dyn Trainer>, Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::refused(error.to_string());
        match self {
            Self::Embedder(..) => {
                let vectors = vectors.ok_or_else(|| Failure::failed("a classifier is trained on vectors"))?;
                let trainer = HeadTrainer::new(spec.clone(), data, vectors).map_err(|error| invalid(&error))?;
                Ok(Box::new(trainer))
            }
            Self::Decoder(base) => Ok(Box::new(base.trainer(spec.clone(), data).map_err(|error| invalid(&error))?)),
        }
    }

    /// What runs on it stand on.
    pub(super) fn ground(&self) -> Ground {
        match self {
            Self::Embedder(..) => Ground::Vectors,
            Self::Decoder(base) => Ground::Decoder(Arc::clone(base)),
        }
    }

    /// Examples that the training part makes.
    pub(super) fn examples(&self, spec: &TrainingSpec, data: &DataSet) -> Result<u64, Failure> {
        self.ground().examples(spec, data).map_err(|error| Failure::refused(error.to_string()))
    }
}

/// The first digits of a class's build.
fn build(class: &inferium_types::EngineClass) -> String {
    match class {
        inferium_types::EngineClass::Canonical { build, .. } => format!("{build:?}"),
        other => other.name().to_owned(),
    }
}

fn threads(machine: &MachineArgs) -> usize {
    machine.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// What vectors are made from: texts, model and arithmetic.
pub(super) fn source(data: &DataSet, model: &BaseModel) -> Digest {
    let class = inferium_types::encode(&TrainingSpec::class());
    let root = data.root();
    let parts: [&[u8]; 4] = [root.as_bytes(), model.weights_root.as_bytes(), model.tokenizer_hash.as_bytes(), &class];
    Digest::of("inferium/vectors-source/1", &parts)
}

/// Embeds these lines, in their order; `each` gets each vector with its line.
pub(super) fn embed(
    embedder: &BertEmbedder,
    data: &DataSet,
    lines: &[usize],
    mut each: impl FnMut(usize, Vec<f32>),
) -> Result<(), Failure> {
    let bar = CountBar::new("vectors", u64::try_from(lines.len()).unwrap_or(u64::MAX));
    let mut done = 0;
    for lines in lines.chunks(TEXTS) {
        let refused = |line: usize, error: &dyn std::fmt::Display| Failure::refused(format!("line {line}: {error}"));
        let mut texts = Vec::with_capacity(lines.len());
        for line in lines {
            let text = data.lines().get(*line).map_or("", |line| line.text.as_str());
            let tokens = embedder.encode(text).map_err(|error| refused(line + 1, &error))?;
            let most = embedder.model().context_tokens;
            if tokens.len() > most as usize {
                return Err(refused(line + 1, &format!("{} tokens; the model reads {most}", tokens.len())));
            }
            texts.push(tokens);
        }
        let mut receiver = embedder.embed(texts).map_err(|error| Failure::failed(error.to_string()))?;
        for line in lines {
            let vector = receiver.blocking_recv();
            let vector = vector.ok_or_else(|| Failure::failed("the embedder stopped"))?;
            each(*line, vector.map_err(|error| refused(line + 1, &error))?.values);
            done += 1;
            bar.set(done);
        }
    }
    bar.done();
    Ok(())
}

/// The vectors of all lines.
pub(super) fn vectors(embedder: &BertEmbedder, data: &DataSet) -> Result<Vectors, Failure> {
    let lines: Vec<usize> = (0..data.lines().len()).collect();
    let mut numbers = Vec::new();
    embed(embedder, data, &lines, |_, vector| numbers.extend(vector))?;
    Vectors::new(embedder.model().width as usize, numbers).map_err(|error| Failure::failed(error.to_string()))
}
