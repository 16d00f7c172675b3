//! `inferium train show`: what a run is, and how it went.

use super::{PICTURE, RunResult, curve, failure, held_out};
use crate::cli::Failure;
use crate::output;
use crate::progress::print;
use inferium_train::{Audit, Checkpoint, Evaluation, Kept, Method, RunFolder, TrainingSpec};
use inferium_types::{Digest, EngineClass};
use serde_json::{Value, json};

/// What is kept of a run: what is damaged, not chained or of another number of steps is refused.
pub(super) fn kept(folder: &RunFolder) -> Result<Kept, Failure> {
    let Some(shapes) = folder.shapes().map_err(failure)? else { return Ok(Kept::default()) };
    folder.walk(&shapes).map_err(failure)
}

pub(super) fn run(folder: &RunFolder) -> Result<(), Failure> {
    let kept = kept(folder)?;
    let result = RunResult::load(folder)?;
    if let Some(result) = &result {
        result.check(folder, &kept)?;
    }
    let (losses, last) = (&kept.losses, kept.last.as_ref());
    if output::is_json() {
        return output::print_json(&document(folder, losses, last, result.as_ref()));
    }
    print(&in_words(folder, losses, last, result.as_ref()).join("\n"))
}

fn document(folder: &RunFolder, losses: &[f32], last: Option<&Checkpoint>, result: Option<&RunResult>) -> Value {
    let spec = folder.spec();
    json!({
        "run": spec.digest().to_string(),
        "folder": folder.path(),
        "method": method(&spec.method),
        "model": { "name": spec.model.name, "weights_root": spec.model.weights_root.to_string(), "tokenizer": spec.model.tokenizer_hash.to_string() },
        "class": { "name": spec.engine.name(), "build": build(spec).to_string() },
        "data": {
            "root": spec.data.root.to_string(),
            "held_out_ppm": spec.data.held_out.get(),
            "measured_max": spec.data.measured_max,
            "examples": spec.data.examples,
        },
        "order": spec.order.to_string(),
        "seed": spec.seed.to_string(),
        "learning_rate_nano": spec.optimiser.learning_rate_nano,
        "weight_decay_nano": spec.optimiser.weight_decay_nano,
        "warmup_steps": spec.optimiser.warmup_steps,
        "batch": spec.batch,
        "steps": spec.steps,
        "interval": spec.interval,
        "intervals": spec.intervals(),
        "intervals_done": last.map_or(0, Checkpoint::index),
        "root": last.map(|last| last.root().to_string()),
        "is_finished": result.is_some(),
        "before": result.map(|result| measured(&result.before)),
        "after": result.map(|result| measured(&result.after)),
        "losses": losses,
    })
}

/// An evaluation with what follows from it.
pub(super) fn measured(evaluation: &Evaluation) -> Value {
    let mut value = json!(evaluation);
    value["loss"] = json!(evaluation.loss());
    if let Some(share) = evaluation.accuracy() {
        value["accuracy"] = json!(share);
    }
    if let Some(perplexity) = evaluation.perplexity() {
        value["perplexity"] = json!(perplexity);
    }
    value
}

fn method(method: &Method) -> Value {
    match method {
        Method::Head { labels, width, vectors } => {
            json!({"kind": "head", "labels": labels, "width": width, "vectors": vectors.to_string()})
        }
        Method::Lora { rank, alpha_milli, layers, sequence } => json!({
            "kind": "lora", "rank": rank, "alpha_milli": alpha_milli, "layers": layers, "sequence": sequence,
        }),
    }
}

fn in_words(folder: &RunFolder, losses: &[f32], last: Option<&Checkpoint>, result: Option<&RunResult>) -> Vec<String> {
    let spec = folder.spec();
    let what = match &spec.method {
        Method::Head { labels, .. } => {
            let names: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
            format!("classifier of {} labels: {}", labels.len(), names.join(", "))
        }
        Method::Lora { rank, alpha_milli, layers, sequence } => format!(
            "adapters of rank {rank} (alpha {}) in the last {layers} layers, sequences of {sequence} tokens",
            f64::from(*alpha_milli) / 1e3
        ),
    };
    let done = last.map_or(0, Checkpoint::index);
    let audit = Audit::usual(spec.intervals());
    let mut rows = vec![
        ("run", spec.digest().to_string()),
        ("trains", what),
        ("model", format!("{:?} (weights {})", spec.model.name, spec.model.weights_root)),
        ("class", format!("{}, build {:?}: equal bits on every machine", spec.engine.name(), build(spec))),
        ("data", format!("{} examples (root {})", spec.data.examples, spec.data.root)),
        ("held out", held_out(spec)),
        ("steps", steps(spec)),
        ("intervals", format!("{done} of {}, of {} steps", spec.intervals(), spec.interval)),
        ("root", last.map_or_else(|| "none yet".to_owned(), |last| last.root().to_string())),
        ("audit", audit_in_words(&audit)),
    ];
    match result {
        Some(result) => {
            rows.push(("before", result.before.in_words()));
            rows.push(("after", result.after.in_words()));
            rows.push(("picture", folder.path().join(PICTURE).display().to_string()));
        }
        None => rows.push(("after", "not finished: the same command goes on".to_owned())),
    }
    let mut lines: Vec<String> = rows.into_iter().map(|(name, text)| format!("{name:9} {text}")).collect();
    if !losses.is_empty() {
        lines.push(String::new());
        lines.extend(curve::in_terminal(losses));
    }
    lines
}

/// The build within which results are equal.
fn build(spec: &TrainingSpec) -> Digest {
    match &spec.engine {
        EngineClass::Canonical { build, .. } => *build,
        EngineClass::Tolerance { verifier, .. } | EngineClass::Foreign { verifier, .. } => *verifier,
    }
}

pub(super) fn steps(spec: &TrainingSpec) -> String {
    let rate = f64::from(spec.optimiser.learning_rate_nano) / 1e9;
    format!("{} of {} examples, learning rate {rate}", spec.steps, spec.batch)
}

/// What an audit comes to, and what it does not.
pub(super) fn audit_in_words(audit: &Audit) -> String {
    format!(
        "{} of {} intervals: a cheat in a tenth of them is missed with {:.1} %, in a single one (enough to put other weights in) with \
         {:.1} %, at {:.1} % of the training's cost; --all misses none",
        audit.drawn,
        audit.intervals,
        audit.missed * 100.0,
        audit.missed_in_one() * 100.0,
        audit.cost * 100.0
    )
}
