//! `inferium train publish`: a finished run as a model that networks serve.
//!
//! A classifier becomes an integer model on its embedding model's vectors, which every machine computes alike to the bit; adapters are
//! added to the weights of the model that they were trained on.

use super::{RunResult, VECTORS, base, base::Base, failure, vectors_bytes};
use crate::cli::{Failure, PublishArgs};
use crate::files;
use crate::output;
use crate::progress::{Step, print, say};
use inferium_engine::{ClassifierTerms, Embedder as _, EncoderTerms, VECTOR_SCALE, merge_gguf, quantised};
use inferium_exact::{Engine, FloatLayer, FloatModel, Model, Shape, argmax, compile, model_id};
use inferium_train::{Checkpoint, DataSet, Method, RunFolder, TensorShape, Vectors, adapter_changes};
use serde_json::json;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Vectors that a classifier's integers are fitted to, spread over those that were trained on.
const CALIBRATION_VECTORS: usize = 256;

pub(super) fn run(arguments: &PublishArgs) -> Result<(), Failure> {
    files::check_free(&arguments.out, false)?;
    let folder = super::open(&arguments.dir)?;
    let result = RunResult::load(&folder)?;
    let result =
        result.ok_or_else(|| Failure::usage("this run is not finished: nothing of it can be published yet"))?;
    let shapes = folder.shapes().map_err(failure)?.unwrap_or_default();
    let kept = folder.walk(&shapes).map_err(failure)?;
    result.check(&folder, &kept)?;
    let last = kept.last.ok_or_else(|| Failure::refused("this run has no checkpoint"))?;
    match &folder.spec().method {
        Method::Head { .. } => head(arguments, &folder, &last),
        Method::Lora { .. } => lora(arguments, &folder, (&last, &shapes)),
    }
}

/// How often the integers say what the floats say of held-out lines, and what is right.
struct Agreement {
    lines: usize,
    alike: usize,
    float_right: usize,
    exact_right: usize,
}

fn head(arguments: &PublishArgs, folder: &RunFolder, last: &Checkpoint) -> Result<(), Failure> {
    let spec = folder.spec();
    let Method::Head { labels, width, vectors: root } = &spec.method else {
        return Err(Failure::failed("no classifier"));
    };
    let refused = |error: &dyn std::fmt::Display| Failure::refused(error.to_string());
    let data = DataSet::parse(&folder.data().map_err(failure)?).map_err(|error| refused(&error))?;
    let bytes = folder.load(VECTORS, vectors_bytes(data.lines().len(), *width)).map_err(failure)?;
    let bytes = bytes.ok_or_else(|| Failure::refused(format!("{} has no {VECTORS}", folder.path().display())))?;
    let vectors = Vectors::from_bytes(&bytes, &base::source(&data, &spec.model)).map_err(|error| refused(&error))?;
    if vectors.root() != *root {
        return Err(Failure::refused(format!("{VECTORS} is not what the run was trained on")));
    }
    let split = data.split(&spec.order, spec.data.held_out).map_err(|error| refused(&error))?;
    let parameters = &last.state.parameters;
    let count = labels.len().saturating_mul(*width as usize);
    let Some((weights, biases)) = parameters.split_at_checked(count) else {
        return Err(Failure::refused("the last state is of another shape"));
    };
    // Its numbers mean nothing on the vectors of another model, nor on those of another build.
    let base = Base::of(spec, &arguments.machine)?;
    let Base::Embedder(embedder, _) = &base else { return Err(Failure::failed("no embedder was loaded")) };
    let encoder = EncoderTerms::of(&spec.model.name, embedder.model());
    let root = last.root().to_string();
    let name = arguments.name.clone();
    let name = name.unwrap_or_else(|| format!("{}-{}", spec.model.name, root.get(..8).unwrap_or_default()));
    let float = FloatModel {
        // The contract has room for so much; the classifier's own name stands beside it.
        name: name.chars().take(16).collect(),
        input: Shape::vector(*width),
        input_range: (-VECTOR_SCALE, VECTOR_SCALE),
        input_scale: 1.0 / f32::from(VECTOR_SCALE),
        layers: vec![FloatLayer::Dense { weights: weights.to_vec(), biases: biases.to_vec() }],
    };
    let integers =
        |line: &usize| vectors.line(*line).map(|vector| vector.iter().map(|value| quantised(*value)).collect());
    let step = split.training.len().div_ceil(CALIBRATION_VECTORS).max(1);
    let calibration: Vec<Vec<i32>> = split.training.iter().step_by(step).filter_map(integers).collect();
    let model = compile(&float, &calibration).map_err(|error| refused(&error))?;
    let held_out: Vec<usize> = split.held_out.iter().take(spec.data.measured_max as usize).copied().collect();
    let mut found = Agreement { lines: 0, alike: 0, float_right: 0, exact_right: 0 };
    let engine = Engine::new(&model).map_err(|error| refused(&error))?;
    for line in &held_out {
        let Some(input) = integers(line) else { continue };
        let exact = argmax(&engine.infer(&input).map_err(|error| refused(&error))?);
        let Ok(logits) = float.logits(&input) else { continue };
        let mut best = 0;
        for (class, logit) in logits.iter().enumerate() {
            if logits.get(best).is_some_and(|most| logit > most) {
                best = class;
            }
        }
        let target = data.lines().get(*line).and_then(|line| line.label.as_ref());
        let is_right = |class: usize| labels.get(class) == target;
        found.lines += 1;
        found.alike += usize::from(exact == best);
        found.float_right += usize::from(is_right(best));
        found.exact_right += usize::from(is_right(exact));
    }
    let terms = ClassifierTerms { name, labels: labels.clone(), encoder: Some(encoder) };
    write_folder(&arguments.out, &terms.files(&model).map_err(|error| refused(&error))?)?;
    tell(&terms, &model, &found, &arguments.out)
}

fn tell(terms: &ClassifierTerms, model: &Model, found: &Agreement, out: &Path) -> Result<(), Failure> {
    let id = hex::encode(model_id(model));
    let Agreement { lines, alike, float_right, exact_right } = *found;
    if output::is_json() {
        return output::print_json(&json!({
            "name": terms.name, "classifier": out, "model_id": id, "encoder": terms.encoder, "labels": terms.labels,
            "held_out": {"lines": lines, "same_label": alike, "float_correct": float_right, "integer_correct": exact_right},
        }));
    }
    let share = |count: usize| 100.0 * count as f64 / lines.max(1) as f64;
    print(&format!(
        "{} on {} held-out lines: {:.2} % right in integers, {:.2} % in floats, the same label for {:.2} %\nmodel id   {id}\n\n\
         Serve it:  inferium up --classifier {}",
        terms.name,
        lines,
        share(exact_right),
        share(float_right),
        share(alike),
        out.display(),
    ))
}

/// All files or none: the folder takes its name when they are there.
fn write_folder(out: &Path, files: &[(&'static str, Vec<u8>)]) -> Result<(), Failure> {
    let part = part_of(out);
    let failed = |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", out.display()));
    std::fs::create_dir(&part).map_err(failed)?;
    let write = || {
        for (name, bytes) in files {
            std::fs::write(part.join(name), bytes)?;
        }
        std::fs::rename(&part, out)
    };
    write().map_err(|error| {
        // It was made here, and is of no use.
        let _ = std::fs::remove_dir_all(&part);
        failed(error)
    })
}

/// A name beside `out` that nobody else has.
fn part_of(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    out.with_file_name(name)
}

fn lora(
    arguments: &PublishArgs,
    folder: &RunFolder,
    (last, shapes): (&Checkpoint, &[TensorShape]),
) -> Result<(), Failure> {
    let (spec, out) = (folder.spec(), &arguments.out);
    if arguments.name.is_some() {
        return Err(Failure::usage("--name is for classifiers: a chat model has the name of its file"));
    }
    if out.extension().is_none_or(|extension| extension != "gguf") {
        return Err(Failure::usage("a chat model is a file that ends in .gguf: --out NAME.gguf"));
    }
    let name = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Refuses what has the base's name here and is another model.
    drop(Base::of(spec, &arguments.machine)?);
    let models = crate::home::models_dir(arguments.machine.models.dir.clone());
    let (_, path) = crate::model::pull(&spec.model.name, inferium_engine::source::ModelKind::Chat, &models)?;
    let changes = adapter_changes(spec, shapes, &last.state)
        .ok_or_else(|| Failure::refused("the last state is none of adapters of this shape"))?;
    let step = Step::begin("adapters: into the weights");
    let part = part_of(out);
    let failed = |error: &dyn std::fmt::Display| {
        // It was made here, and is of no use.
        let _ = std::fs::remove_file(&part);
        Failure::failed(format!("cannot write {}: {error}", out.display()))
    };
    let file = std::fs::OpenOptions::new().create_new(true).write(true).open(&part);
    let mut file = BufWriter::new(file.map_err(|error| failed(&error))?);
    merge_gguf(&path, &name, &changes, &mut file).map_err(|error| failed(&error))?;
    file.flush().map_err(|error| failed(&error))?;
    file.get_ref().sync_all().map_err(|error| failed(&error))?;
    std::fs::rename(&part, out).map_err(|error| failed(&error))?;
    step.done();
    let base = &spec.model.name;
    if output::is_json() {
        return output::print_json(&json!({"name": name, "model": out, "matrices": changes.len(), "base": base}));
    }
    say(&format!("{} matrices of {base} changed", changes.len()));
    print(&format!("Serve it:  inferium model pull {} && inferium up --model {name}", out.display()))
}
