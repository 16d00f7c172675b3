//! `inferium train head` and `lora`: begins a run, or goes on with it; where a network trains, [`super::network`] does.

use super::base::{self, Base};
use super::network;
use super::{PICTURE, RESULT, RunResult, VECTORS, curve, failure, seed, show, vectors_bytes};
use crate::cli::{Failure, HeadArgs, LoraArgs, RemoteArgs, ServerArgs, TrainingArgs};
use crate::progress::{CountBar, say};
use crate::remote::Remote;
use inferium_train::{
    Checkpoint, DataSet, DataTerms, Evaluation, FolderLock, Method, OptimiserTerms, Order, RunFolder, Trainer,
    TrainingSpec, Vectors, check_first, run_interval,
};
use inferium_types::Digest;
use std::path::Path;

/// What the kinds of training differ in.
pub(super) struct Kind {
    pub(super) base: Base,
    method: Method,
    /// Of a classifier, with the digest of what they are made from.
    pub(super) vectors: Option<(Vectors, Digest)>,
    pub(super) epochs: u64,
    learning_rate: u32,
    batch: u32,
    measure: u32,
}

/// Reads the data set, takes the folder, and trains here or has it trained.
pub(super) fn run(
    training: &TrainingArgs,
    remote: &RemoteArgs,
    kind: impl FnOnce(&DataSet) -> Result<Kind, Failure>,
) -> Result<(), Failure> {
    let (text, data) = read(training)?;
    // Before minutes of vectors: whether the folder can be had at all.
    let lock = FolderLock::take(&training.out).map_err(failure)?;
    let Some(url) = &remote.on_network else { return train(training, kind(&data)?, lock, &text, &data) };
    let RemoteArgs { key_file, .. } = remote;
    let gateway = Remote::of(&ServerArgs {
        url: (!url.is_empty()).then(|| url.clone()),
        key_file: key_file.clone(),
        network: crate::cli::NetworkDir { data: None },
    })?;
    network::run(training, &gateway, (kind(&data)?, lock), (text, data))
}

pub(super) fn head(arguments: &HeadArgs, data: &DataSet) -> Result<Kind, Failure> {
    let labels = data.labels().map_err(|error| refused(&arguments.training, &error))?;
    let base = Base::embedder(&arguments.model, &arguments.training.machine)?;
    let Base::Embedder(embedder, model) = &base else { return Err(Failure::failed("no embedder was loaded")) };
    let source = base::source(data, model);
    let vectors = match kept_vectors(&arguments.training.out, &source, data.lines().len()) {
        Some(vectors) => vectors,
        None => base::vectors(embedder, data)?,
    };
    let width = u32::try_from(vectors.width()).unwrap_or(u32::MAX);
    Ok(Kind {
        base,
        method: Method::Head { labels, width, vectors: vectors.root() },
        vectors: Some((vectors, source)),
        epochs: arguments.epochs,
        learning_rate: arguments.learning_rate,
        batch: arguments.batch,
        measure: arguments.measure,
    })
}

pub(super) fn lora(arguments: &LoraArgs) -> Result<Kind, Failure> {
    let LoraArgs { rank, alpha, layers, sequence, .. } = *arguments;
    Ok(Kind {
        base: Base::decoder(&arguments.model, &arguments.training.machine)?,
        method: Method::Lora { rank, alpha_milli: alpha.saturating_mul(1_000), layers, sequence },
        vectors: None,
        epochs: arguments.epochs,
        learning_rate: arguments.learning_rate,
        batch: arguments.batch,
        measure: arguments.measure,
    })
}

/// The vectors that a run in this folder has, if they are whole and the run's: it was stopped, and they are made already.
fn kept_vectors(folder: &Path, source: &Digest, lines: usize) -> Option<Vectors> {
    let folder = RunFolder::open(folder).ok()?;
    let Method::Head { vectors: root, width, .. } = folder.spec().method else { return None };
    let bytes = folder.load(VECTORS, vectors_bytes(lines, width)).ok()??;
    let vectors = Vectors::from_bytes(&bytes, source).ok()?;
    (vectors.root() == root).then_some(vectors)
}

fn read(arguments: &TrainingArgs) -> Result<(String, DataSet), Failure> {
    let path = &arguments.data;
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let data = DataSet::parse(&text).map_err(|error| refused(arguments, &error))?;
    Ok((text, data))
}

fn refused(arguments: &TrainingArgs, error: &dyn std::fmt::Display) -> Failure {
    Failure::refused(format!("{}: {error}", arguments.data.display()))
}

/// The spec of a run, but for its steps and examples.
pub(super) fn without_steps(arguments: &TrainingArgs, kind: &Kind, data: &DataSet) -> TrainingSpec {
    TrainingSpec {
        method: kind.method.clone(),
        model: kind.base.model().clone(),
        engine: TrainingSpec::class(),
        data: DataTerms { root: data.root(), held_out: arguments.held_out, measured_max: kind.measure, examples: 1 },
        order: seed("order", arguments.seed),
        seed: seed("weights", arguments.seed),
        optimiser: OptimiserTerms {
            learning_rate_nano: kind.learning_rate,
            weight_decay_nano: arguments.weight_decay,
            warmup_steps: arguments.warmup,
        },
        batch: kind.batch,
        steps: 1,
        interval: 1,
    }
}

fn spec(arguments: &TrainingArgs, kind: &Kind, data: &DataSet) -> Result<TrainingSpec, Failure> {
    let mut spec = without_steps(arguments, kind, data);
    spec.data.examples = kind.base.examples(&spec, data)?;
    let per_epoch = Order::steps_per_epoch(spec.data.examples, spec.batch);
    spec.steps = arguments.steps.unwrap_or_else(|| kind.epochs.saturating_mul(per_epoch));
    spec.interval = arguments.interval.unwrap_or_else(|| TrainingSpec::usual_interval(spec.steps));
    spec.check().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(spec)
}

fn train(arguments: &TrainingArgs, kind: Kind, lock: FolderLock, text: &str, data: &DataSet) -> Result<(), Failure> {
    let spec = spec(arguments, &kind, data)?;
    let folder = RunFolder::begin_in(lock, &spec, text).map_err(failure)?;
    if RunResult::load(&folder)?.is_some() {
        say("this run is finished: nothing is left to train");
        return show::run(&folder);
    }
    let vectors = match kind.vectors {
        Some((vectors, source)) => {
            folder.save(VECTORS, &vectors.to_bytes(&source)).map_err(failure)?;
            Some(vectors)
        }
        None => None,
    };
    let trainer = kind.base.trainer(&spec, data, vectors)?;
    let trainer = trainer.as_ref();
    let shapes = trainer.shapes();
    let first = Checkpoint { spec: spec.digest(), record: None, state: trainer.initial() };
    let begun = match folder.last(&shapes).map_err(failure)? {
        Some(last) => {
            if let Some(what) =
                folder.checkpoint(0, &shapes).map_err(failure)?.and_then(|kept| check_first(trainer, &kept))
            {
                return Err(Failure::refused(what.to_string()));
            }
            say(&format!("going on after {} of {} intervals", last.index(), spec.intervals()));
            last
        }
        None => {
            folder.keep(&first, &shapes).map_err(failure)?;
            first.clone()
        }
    };
    let before = measured(trainer, &first, "before")?;
    say(&format!("before: {}", before.in_words()));
    let last = steps(trainer, &folder, begun)?;
    finish(trainer, &folder, Finished { before, last })
}

/// A run whose steps are all taken.
pub(super) struct Finished {
    pub(super) before: Evaluation,
    pub(super) last: Checkpoint,
}

/// Measures what was trained, and writes what others read.
pub(super) fn finish(trainer: &dyn Trainer, folder: &RunFolder, finished: Finished) -> Result<(), Failure> {
    let (Finished { before, last }, spec, shapes) = (finished, trainer.spec(), trainer.shapes());
    let after = measured(trainer, &last, "after")?;
    for (name, bytes) in trainer.export(&last.state) {
        folder.save(&name, &bytes).map_err(failure)?;
    }
    let losses = folder.walk(&shapes).map_err(failure)?.losses;
    let picture = curve::draw(&losses).map_err(|error| Failure::failed(format!("cannot draw {PICTURE}: {error}")))?;
    folder.save(PICTURE, picture.as_bytes()).map_err(failure)?;
    // The result comes last: a run that has one is finished.
    let result = RunResult {
        run: spec.digest().to_string(),
        root: last.root().to_string(),
        intervals: last.index(),
        before,
        after,
    };
    let bytes = serde_json::to_vec_pretty(&result).map_err(|error| Failure::failed(error.to_string()))?;
    folder.save(RESULT, &bytes).map_err(failure)?;
    show::run(folder)
}

/// All steps from a checkpoint on; each interval is on the disk before the next one begins.
fn steps(trainer: &dyn Trainer, folder: &RunFolder, mut now: Checkpoint) -> Result<Checkpoint, Failure> {
    let (spec, shapes) = (trainer.spec(), trainer.shapes());
    let bar = CountBar::new("training", spec.steps);
    bar.go_on_from(now.state.step);
    let mut smooth: Option<f32> = None;
    while now.index() < spec.intervals() {
        let (state, record) = run_interval(trainer, now.next_job(), now.state, &mut |step| {
            let mean = smooth.map_or(step.loss(), |mean| mean * 0.9 + step.loss() * 0.1);
            smooth = Some(mean);
            bar.rename(format!("loss {mean:.4}"));
            bar.set(usize::try_from(step.step.saturating_add(1)).unwrap_or(usize::MAX));
        })
        .map_err(|error| Failure::failed(error.to_string()))?;
        now = Checkpoint { spec: now.spec, record: Some(record), state };
        folder.keep(&now, &shapes).map_err(failure)?;
    }
    bar.done();
    Ok(now)
}

/// Measures a checkpoint on the held-out part.
pub(super) fn measured(trainer: &dyn Trainer, at: &Checkpoint, when: &str) -> Result<Evaluation, Failure> {
    let bar = CountBar::new(&format!("measuring {when}"), 0);
    let measured = trainer.evaluate(&at.state.parameters, &mut |done, all| {
        bar.resize(all);
        bar.set(usize::try_from(done).unwrap_or(usize::MAX));
    });
    bar.done();
    measured.map_err(|error| Failure::failed(error.to_string()))
}
