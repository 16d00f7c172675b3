//! `inferium train head|lora --on-network`: a classifier's vectors are made here, the steps are taken by workers, and what a committee approved is kept here.
//!
//! The folder that comes of it is like that of a run on one machine: `inferium train show` and `verify` read it.

use super::begin::{self, Finished, Kind};
use super::{RunResult, VECTORS, failure, show};
use crate::cli::{Failure, TrainingArgs};
use crate::keys::text;
use crate::progress::{CountBar, Step, say};
use crate::remote::Remote;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use inferium_train::{
    Checkpoint, DataSet, FolderLock, Method, Order, RunFolder, Trainer, TrainingSpec, announced, check_record,
};
use inferium_types::Digest;
use serde_json::{Value, json};
use std::time::Duration;

/// Where runs are.
const RUNS: &str = "training/runs";
/// Pause between two questions how far the run is.
const POLL: Duration = Duration::from_millis(500);
/// Intervals of a run unless others are asked for: each is trained again, so that few are enough.
const INTERVALS: u64 = 10;
/// Steps of an interval at most, as the network takes them.
const STEPS_MAX: u64 = 8_192;
/// Tokens that the steps of an interval of adapters see, unless fewer are asked for.
const TOKENS: u64 = inferium_train::ADAPTER_TOKENS_MAX;
/// How a spec's file begins.
const SPEC_MAGIC: &[u8] = b"inferium-training-spec/1\n";

/// What the run is made of here.
struct Own {
    text: String,
    data: DataSet,
    kind: Kind,
    /// The spec without what is drawn.
    open: TrainingSpec,
}

/// Sends a run, follows it to its end, and keeps what comes of it.
pub(super) fn run(
    training: &TrainingArgs,
    remote: &Remote,
    (kind, lock): (Kind, FolderLock),
    (text_of, data): (String, DataSet),
) -> Result<(), Failure> {
    let open = open(training, &kind, &data)?;
    let own = Own { text: text_of, data, kind, open };
    let begun = remote.post(RUNS, &body(&own))?;
    let id = text(&begun, "id").to_owned();
    if Digest::from_hex(&id).is_none() {
        return Err(Failure::refused("the gateway names no run"));
    }
    say(&format!("run {id}"));
    let spec = drawn_spec(remote, &id, &own)?;
    let folder = RunFolder::begin_in(lock, &spec, &own.text).map_err(failure)?;
    if RunResult::load(&folder)?.is_some() {
        say("this run is finished: nothing is left to train");
        return show::run(&folder);
    }
    let vectors = match own.kind.vectors {
        Some((vectors, source)) => {
            folder.save(VECTORS, &vectors.to_bytes(&source)).map_err(failure)?;
            Some(vectors)
        }
        None => None,
    };
    let trainer = own.kind.base.trainer(&spec, &own.data, vectors)?;
    let trainer = trainer.as_ref();
    let first = Checkpoint { spec: spec.digest(), record: None, state: trainer.initial() };
    let shapes = trainer.shapes();
    folder.keep(&first, &shapes).map_err(failure)?;
    let last = follow(remote, &id, trainer, &folder)?;
    for (name, bytes) in trainer.export(&last.state) {
        // The run's own words of what comes of it: other bytes would be another run's.
        if file(remote, &id, &name, bytes.len())? != bytes {
            return Err(Failure::refused(format!("the gateway's {name} is not what the last state makes")));
        }
    }
    let before = begin::measured(trainer, &first, "before")?;
    begin::finish(trainer, &folder, Finished { before, last })
}

/// The run as it is announced.
fn open(training: &TrainingArgs, kind: &Kind, data: &DataSet) -> Result<TrainingSpec, Failure> {
    if training.seed != 0 {
        return Err(Failure::usage("--seed is for this machine: the network draws order and first weights"));
    }
    let mut spec = begin::without_steps(training, kind, data);
    // Which lines are held out is drawn later; any draw leaves about as many examples.
    let examples = kind.base.examples(&spec, data)?;
    let per_epoch = Order::steps_per_epoch(examples, spec.batch);
    spec.steps = training.steps.unwrap_or_else(|| kind.epochs.saturating_mul(per_epoch));
    let most = match spec.method {
        Method::Head { .. } => STEPS_MAX,
        Method::Lora { sequence, .. } => TOKENS / u64::from(spec.batch).saturating_mul(sequence.into()).max(1),
    };
    let usual = spec.steps.div_ceil(INTERVALS).clamp(1, most.max(1));
    spec.interval = training.interval.unwrap_or_else(|| u32::try_from(usual).unwrap_or(u32::MAX));
    let spec = announced(spec);
    spec.check().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(spec)
}

fn body(own: &Own) -> Value {
    let TrainingSpec { method, model, data, optimiser, batch, steps, interval, .. } = &own.open;
    let vectors = own.kind.vectors.as_ref().map(|(vectors, _)| BASE64.encode(vectors.bits()));
    let adapters = match method {
        Method::Head { .. } => Value::Null,
        Method::Lora { rank, alpha_milli, layers, sequence } => {
            json!({"rank": rank, "alpha": alpha_milli / 1_000, "layers": layers, "sequence": sequence})
        }
    };
    json!({
        "data": own.text,
        "vectors": vectors,
        "adapters": adapters,
        "model": {"name": model.name, "weights_root": model.weights_root.to_string(), "tokenizer": model.tokenizer_hash.to_string()},
        "steps": steps,
        "interval": interval,
        "batch": batch,
        "learning_rate_nano": optimiser.learning_rate_nano,
        "weight_decay_nano": optimiser.weight_decay_nano,
        "warmup_steps": optimiser.warmup_steps,
        "held_out_ppm": data.held_out.get(),
        "measured_max": data.measured_max,
    })
}

/// A file of a run, of so many bytes at most.
fn file(remote: &Remote, id: &str, name: &str, most: usize) -> Result<Vec<u8>, Failure> {
    remote.file(&format!("{RUNS}/{id}/files/{name}"), most)
}

/// Why a run does not go on, if it does not.
fn check_standing(run: &Value) -> Result<(), Failure> {
    match text(run, "status") {
        "failed" => Err(Failure::failed(format!("the network gave the run up: {}", text(run, "error")))),
        _ => Ok(()),
    }
}

/// The spec with what was drawn, which is just what was sent otherwise.
fn drawn_spec(remote: &Remote, id: &str, own: &Own) -> Result<TrainingSpec, Failure> {
    let step = Step::begin("announced; its order is drawn by the beacon");
    let beacon = loop {
        let run = remote.get(&format!("{RUNS}/{id}"))?;
        check_standing(&run)?;
        let beacon = run.pointer("/announcement/drawn").and_then(Value::as_str).and_then(Digest::from_hex);
        if let Some(beacon) = beacon {
            break beacon;
        }
        std::thread::sleep(POLL);
    };
    step.done();
    let spec = own
        .kind
        .base
        .ground()
        .drawn(&own.open, &beacon, &own.data)
        .map_err(|error| Failure::refused(error.to_string()))?;
    let encoded = [SPEC_MAGIC, &inferium_types::encode(&spec)].concat();
    if file(remote, id, "spec.bin", encoded.len())? != encoded {
        return Err(Failure::refused("the network trains another run than the one that was sent and drawn"));
    }
    Ok(spec)
}

/// Keeps every interval that is final, until all are.
fn follow(remote: &Remote, id: &str, trainer: &dyn Trainer, folder: &RunFolder) -> Result<Checkpoint, Failure> {
    let (spec, shapes) = (trainer.spec(), trainer.shapes());
    let missing = || Failure::failed(format!("{} has no first checkpoint", folder.path().display()));
    let mut at = folder.last(&shapes).map_err(failure)?.ok_or_else(missing)?;
    let bar = CountBar::new("training", spec.steps);
    bar.go_on_from(at.state.step);
    let mut said = String::new();
    loop {
        let run = remote.get(&format!("{RUNS}/{id}"))?;
        let done = run.get("intervals_done").and_then(Value::as_u64).unwrap_or(0).min(spec.intervals());
        while at.index() < done {
            at = fetched(remote, id, (trainer, folder), &at)?;
            let loss = at.record.as_ref().and_then(|record| record.steps.last()).map(inferium_train::StepRecord::loss);
            bar.rename(format!("loss {:.4}", loss.unwrap_or(f32::NAN)));
            bar.set(usize::try_from(at.state.step).unwrap_or(usize::MAX));
        }
        if text(&run, "status") == "finished" && at.index() == spec.intervals() {
            bar.done();
            return Ok(at);
        }
        check_standing(&run)?;
        let waits = text(&run, "waits");
        if !waits.is_empty() && waits != said {
            waits.clone_into(&mut said);
            say(&format!("waits for {waits:?}"));
        }
        std::thread::sleep(POLL);
    }
}

/// The next checkpoint: of this run, and chained to the one before it.
fn fetched(
    remote: &Remote,
    id: &str,
    (trainer, folder): (&dyn Trainer, &RunFolder),
    at: &Checkpoint,
) -> Result<Checkpoint, Failure> {
    let (spec, shapes) = (trainer.spec(), trainer.shapes());
    let name = format!("{:08}.checkpoint", at.index().saturating_add(1));
    // A state, records of its steps, names of tensors.
    let records = usize::try_from(spec.interval).unwrap_or(usize::MAX).saturating_mul(64);
    let most = at.state.to_bytes().len().saturating_add(records).saturating_add(1 << 16);
    let bytes = file(remote, id, &name, most)?;
    let wrong = |error: &dyn std::fmt::Display| Failure::refused(format!("the gateway's {name}: {error}"));
    let next = Checkpoint::from_bytes(&bytes, spec.digest(), &shapes).map_err(|error| wrong(&error))?;
    let record = next.record.as_ref().ok_or_else(|| wrong(&"it has no interval"))?;
    if let Some(what) = check_record(spec, at, record) {
        return Err(wrong(&what));
    }
    folder.keep(&next, &shapes).map_err(failure)?;
    Ok(next)
}
