//! `inferium zk`: proves what integer models answer, and checks proofs.
//!
//! What is proved and what a proof hides is `inferium-zk`'s and `docs/zk.md`'s; here are files, progress and words.

mod bench;
mod fetch;
pub(crate) mod secret;

use crate::cli::{CheckArgs, Failure, HideArgs, Hides, ProveArgs, ZkCommand};
use crate::exact::{self, data, in_words, load, refused, visible};
use crate::progress::{Step, print};
use crate::{files, output, usage};
use inferium_exact::{argmax, run as run_model};
use inferium_types::Digest;
use inferium_zk::{
    BATCH_BITS_MAX, FILE_BYTES_MAX, Hiding, KEY_BYTES_MAX, ProofFile, ProveError, ProvingKey, Stage, Statement,
    VerifyingKey, register, verify,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use secret::SecretFile;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use zeroize::Zeroizing;

pub(crate) fn run(command: ZkCommand) -> Result<(), Failure> {
    match command {
        ZkCommand::Prove(arguments) => prove(&arguments),
        ZkCommand::Verify(arguments) => check(&arguments),
        ZkCommand::Key { model, out, force } => write_key(&model, &out, force),
        ZkCommand::Hide(arguments) => hide(&arguments),
        ZkCommand::Fetch(arguments) => fetch::run(&arguments),
        ZkCommand::Bench(arguments) => bench::run(&arguments),
    }
}

impl From<Hides> for Hiding {
    fn from(hides: Hides) -> Self {
        match hides {
            Hides::Activations => Self::Activations,
            Hides::None => Self::Nothing,
        }
    }
}

/// What a proof is called: only one that is masked says nothing of the input.
const fn kind(hiding: Hiding) -> &'static str {
    match hiding {
        Hiding::Activations => "zero-knowledge",
        Hiding::Nothing => "succinct",
    }
}

/// What stays hidden, and what does not; of a proof alone it is not known whether its key hides weights.
const fn hidden(hiding: Hiding, are_weights: Option<bool>) -> &'static str {
    match (hiding, are_weights) {
        (Hiding::Activations, Some(true)) => {
            "hidden are the weights, the input, and all that was computed from it; not the output"
        }
        (Hiding::Activations, Some(false)) => {
            "hidden are the input and all that was computed from it; not the output, nor the weights"
        }
        (Hiding::Activations, None) => {
            "hidden are the input and all that was computed from it; not the output, and the weights only by a key of private ones"
        }
        (Hiding::Nothing, _) => "nothing is hidden: the proof's numbers depend on the input",
    }
}

/// Shows what a prover is at, stage by stage.
struct Stages {
    step: Option<Step>,
    text: String,
}

impl Stages {
    const fn new() -> Self {
        Self { step: None, text: String::new() }
    }

    /// Ends the stage before, if this is another one.
    fn begin(&mut self, text: &str) {
        if self.text != text {
            self.done();
            text.clone_into(&mut self.text);
            self.step = Some(Step::begin(text));
        }
    }

    fn tell(&mut self, stage: Stage) {
        match stage {
            Stage::Run => self.begin("runs the model"),
            Stage::Trace => self.begin("commits to what was computed"),
            Stage::Pads => self.begin("draws pads of messages"),
            Stage::Lookups => self.begin("proves look-ups"),
            Stage::Layer { count, .. } => self.begin(&format!("proves {count} layers")),
            Stage::Claims => self.begin("makes one claim of all"),
            Stage::Masks => self.begin("proves the checks of masked messages"),
            Stage::Openings => self.begin("opens the commitments"),
        }
    }

    fn done(&mut self) {
        if let Some(step) = self.step.take() {
            step.done();
        }
    }
}

/// What a proof took: seconds on the clock, and of processors where the kernel tells.
struct Took {
    wall: f64,
    cpu: Option<f64>,
}

impl Took {
    /// Runs and measures.
    fn of<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (begin, before) = (Instant::now(), usage::cpu_seconds());
        let done = work();
        let cpu = usage::cpu_seconds().zip(before).map(|(after, before)| after - before);
        (done, Self { wall: begin.elapsed().as_secs_f64(), cpu })
    }
}

/// The peak of resident memory so far, in MB of 10^6 bytes.
fn peak_mb() -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "memory of a machine, in MB with one decimal")]
    usage::peak_bytes().map(|bytes| round(bytes as f64 / 1e6, 1))
}

/// With so many decimals.
fn round(value: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (value * unit).round() / unit
}

fn prove(arguments: &ProveArgs) -> Result<(), Failure> {
    let ProveArgs { model: path, input, index, all, hiding, out, force, .. } = arguments;
    files::check_free(out, *force)?;
    let model = load(path)?;
    let inputs = chosen(input, data::read(input, exact::terms(&model))?, (*index, *all))?;
    let mut expected = Vec::new();
    for values in &inputs {
        expected.extend(run_model(&model, values).map_err(|error| refused(input, &error))?.output());
    }
    let hiding = Hiding::from(*hiding);
    let mut stages = Stages::new();
    let wrong = |error: ProveError| refused(path, &error);
    stages.begin("commits to the model");
    let secret = arguments.secret.as_deref().map(SecretFile::open).transpose()?;
    let (key, registered) = Took::of(|| match &secret {
        Some(secret) => secret.key(model),
        None => ProvingKey::new(model).map_err(wrong),
    });
    let key = key?;
    if let Some(secret) = &secret {
        if hiding == Hiding::Nothing {
            return Err(Failure::usage("--secret hides the weights, and --hiding none nothing: one of them"));
        }
        if key.openings_left() == Some(0) {
            return Err(refused(path, &ProveError::Openings));
        }
        secret.spend().map_err(Failure::failed)?;
    }
    stages.begin("commits to the input");
    // Whoever knows the seed can try inputs until one gives the commitment.
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let (proved, took) = Took::of(|| {
        let commitment = key.commit_batch(&inputs, &seed, hiding)?;
        let part = |digest: Option<Digest>| digest.map_or([0; 32], |digest| *digest.as_bytes());
        let statement = Statement {
            input: *commitment.root(),
            output: expected,
            task: part(arguments.task),
            chain: part(arguments.chain),
            prover: part(arguments.prover),
            hiding,
        };
        let mut rng = StdRng::from_seed(rand::random());
        let proof = key.prove_watched(commitment, &statement, &mut rng, &mut |stage| stages.tell(stage))?;
        Ok((statement, proof))
    });
    stages.done();
    let (statement, proof) = proved.map_err(wrong)?;
    let file = ProofFile { model: *key.verifying_key().model(), statement, proof };
    let bytes = file.to_bytes().map_err(|error| refused(path, &error))?;
    files::write(out, &bytes, *force)?;
    let mut document = document(&file, Some(inputs.len()));
    let round_all = |seconds: Option<f64>| seconds.map(|seconds| round(seconds, 3));
    let more = [
        ("file", json!(out)),
        ("name", json!(key.model().name)),
        ("params", json!(key.model().parameters())),
        ("register_s", json!(round(registered.wall, 3))),
        ("prove_s", json!(round(took.wall, 3))),
        ("prove_cpu_s", json!(round_all(took.cpu))),
        ("peak_rss_mb", json!(peak_mb())),
        ("hides_weights", json!(secret.is_some())),
        ("openings_left", json!(key.openings_left())),
    ];
    more.into_iter().for_each(|(name, value)| document[name] = value);
    if output::is_json() {
        return output::print_json(&document);
    }
    let mut lines = vec![format!("proof       {}, {} bytes, {}", out.display(), bytes.len(), kind(hiding))];
    lines.extend(in_lines(&file, Some(&key.model().name), Some((inputs.len(), secret.is_some()))));
    lines.extend(key.openings_left().map(|left| format!("openings    {left} more proofs hide these weights")));
    let cpu = took.cpu.map_or_else(String::new, |cpu| format!(", {cpu:.2} s of processor time"));
    lines.push(format!("took        {:.2} s{cpu}; before it {:.2} s for the model", took.wall, registered.wall));
    if let Some(peak) = peak_mb() {
        lines.push(format!("memory      {peak:.1} MB at most"));
    }
    print(&lines.join("\n"))
}

/// The inputs that are proved of a file's: one, or all of them, and the last one again until they are a power of two.
fn chosen(
    path: &Path,
    mut inputs: Vec<Vec<i32>>,
    (index, all): (Option<usize>, bool),
) -> Result<Vec<Vec<i32>>, Failure> {
    let (count, most) = (inputs.len(), 1 << BATCH_BITS_MAX);
    let name = path.display();
    match index {
        None if all && count > most => {
            Err(Failure::usage(format!("{name} has {count} inputs, a proof is of {most} at most")))
        }
        None if all => {
            let last = inputs.last().cloned().unwrap_or_default();
            inputs.resize(count.next_power_of_two(), last);
            Ok(inputs)
        }
        None if count > 1 => Err(Failure::usage(format!(
            "{name} has {count} inputs: choose one with --index, or prove all of them at once with --all"
        ))),
        None => Ok(inputs),
        Some(index) if index < count => Ok(vec![inputs.swap_remove(index)]),
        Some(index) => {
            Err(Failure::usage(format!("{} has no input {index}: they are 0 to {}", path.display(), count - 1)))
        }
    }
}

/// What a proof's file says, of so many inputs where that is known, and the proof's size and digest.
pub(crate) fn document(file: &ProofFile, inputs: Option<usize>) -> Value {
    let ProofFile { model, statement, proof } = file;
    let hex = |bytes: &[u8; 32]| Digest::from(*bytes).to_string();
    json!({
        "model": hex(model),
        "input": hex(&statement.input),
        "output": statement.output,
        "inputs": inputs,
        "label": (inputs == Some(1)).then(|| argmax(&statement.output)),
        "labels": inputs.map(|inputs| labels(&statement.output, inputs)),
        "task": hex(&statement.task),
        "chain": hex(&statement.chain),
        "prover": hex(&statement.prover),
        "hiding": statement.hiding == Hiding::Activations,
        "kind": kind(statement.hiding),
        "proof_bytes": proof.as_bytes().len(),
        "proof_digest": hex(&proof.digest()),
    })
}

/// The label of each input.
fn labels(output: &[i32], inputs: usize) -> Vec<usize> {
    let classes = output.len().checked_div(inputs).unwrap_or(0).max(1);
    output.chunks(classes).map(argmax).collect()
}

/// The same for people, with how many inputs it is of and whether weights are hidden where the key is known.
pub(crate) fn in_lines(file: &ProofFile, name: Option<&str>, known: Option<(usize, bool)>) -> Vec<String> {
    let ProofFile { model, statement, .. } = file;
    let (inputs, are_weights) = known.unzip();
    let hex = |bytes: &[u8; 32]| Digest::from(*bytes).to_string();
    let name = name.map_or_else(String::new, |name| format!(", {}", visible(name)));
    let mut lines = vec![
        format!("model       {}{name}", hex(model)),
        format!("input       committed to as {}", hex(&statement.input)),
    ];
    let output = &statement.output;
    match inputs {
        None => lines.push(format!("output      {}", in_words(output))),
        Some(inputs) => {
            let classes = output.len().checked_div(inputs).unwrap_or(0).max(1);
            let of = |said: &[i32]| format!("label {}; {}", argmax(said), in_words(said));
            let said = output.chunks(classes).enumerate();
            lines.extend(said.map(|(index, said)| match index {
                0 => format!("output      {}", of(said)),
                _ => format!("            {}", of(said)),
            }));
        }
    }
    let about = [("task", &statement.task), ("chain", &statement.chain), ("prover", &statement.prover)];
    let named = about.into_iter().filter(|(_, digest)| **digest != [0; 32]);
    lines.extend(named.map(|(what, digest)| format!("{what:<12}{}", hex(digest))));
    lines.push(format!("hiding      {}", hidden(statement.hiding, are_weights)));
    lines
}

/// A verifier's key, of the model or of a file, and the model's name where that is known.
pub(crate) fn key_of(model: Option<&Path>, key: Option<&Path>) -> Result<(VerifyingKey, Option<String>), Failure> {
    match (model, key) {
        (Some(path), None) => {
            let model = load(path)?;
            let name = model.name.clone();
            let step = Step::begin("commits to the model");
            let key = register(model).map_err(|error| refused(path, &error))?;
            step.done();
            Ok((key, Some(name)))
        }
        (None, Some(path)) => {
            let bytes = files::read(path, KEY_BYTES_MAX as u64)?;
            Ok((VerifyingKey::from_bytes(&bytes).map_err(|error| refused(path, &error))?, None))
        }
        (None, None) | (Some(_), Some(_)) => {
            Err(Failure::usage("a proof is checked against the model, FILE.ifx PROOF, or its key, --key FILE PROOF"))
        }
    }
}

fn check(arguments: &CheckArgs) -> Result<(), Failure> {
    let (model, key, path) = (arguments.model.as_deref(), arguments.key.as_deref(), arguments.proof.as_path());
    let bytes = files::read(path, FILE_BYTES_MAX as u64)?;
    let file = ProofFile::from_bytes(&bytes).map_err(|error| refused(path, &error))?;
    let (key, name) = key_of(model, key)?;
    if file.model != *key.model() {
        let [found, wanted] = [&file.model, key.model()].map(|id| Digest::from(*id));
        return Err(refused(path, &format!("rejected: it is about the model {found}, not {wanted}")));
    }
    let CheckArgs { task, chain, prover, committed_input, .. } = arguments;
    let statement = &file.statement;
    // A proof for one task is none for another: who expects one says so.
    for (what, wanted, found) in [
        ("task", task, &statement.task),
        ("chain", chain, &statement.chain),
        ("prover", prover, &statement.prover),
        ("committed input", committed_input, &statement.input),
    ] {
        let found = Digest::from(*found);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(refused(path, &format!("rejected: its {what} is {found}, not {wanted}")));
        }
    }
    let (verdict, took) = Took::of(|| verify(&key, &file.statement, &file.proof));
    verdict.map_err(|error| refused(path, &format!("rejected: {error}")))?;
    let milliseconds = round(took.wall * 1e3, 2);
    if output::is_json() {
        let mut document = document(&file, key.inputs(&file.statement));
        let weights = Digest::from(*key.weights()).to_string();
        let more = [
            ("is_valid", json!(true)),
            ("name", json!(name)),
            ("weights", json!(weights)),
            ("verify_ms", json!(milliseconds)),
            ("hides_weights", json!(key.openings().is_some())),
        ];
        more.into_iter().for_each(|(name, value)| document[name] = value);
        return output::print_json(&document);
    }
    let kind = kind(file.statement.hiding);
    let mut lines = vec![format!(
        "verified    {kind} proof, {} bytes, in {milliseconds:.1} ms: the prover knows an input of which the model's output is this",
        file.proof.as_bytes().len(),
    )];
    lines.extend(in_lines(&file, name.as_deref(), known(&key, &file.statement)));
    print(&lines.join("\n"))
}

/// Of how many inputs a statement is, and whether its key hides weights.
pub(crate) fn known(key: &VerifyingKey, statement: &Statement) -> Option<(usize, bool)> {
    key.inputs(statement).map(|inputs| (inputs, key.openings().is_some()))
}

/// What networks call private weights: as the file of their key, or of the model at their owner, without its ending.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes weights private.
fn hide(arguments: &HideArgs) -> Result<(), Failure> {
    let HideArgs { model: path, openings, secret: secret_path, key: out, force } = arguments;
    files::check_free(out, *force)?;
    secret::check_free(secret_path)?;
    let model = load(path)?;
    let name = model.name.clone();
    let step = Step::begin("commits to the model");
    let (_, key) = SecretFile::create(secret_path, &model, *openings)?;
    step.done();
    let key = key.verifying_key();
    let bytes = key.to_bytes().map_err(|error| refused(path, &error))?;
    files::write(out, &bytes, *force)?;
    let [model, weights] = [key.model(), key.weights()].map(|digest| Digest::from(*digest).to_string());
    let openings = key.openings();
    if output::is_json() {
        return output::print_json(&json!({
            "key": out, "secret": secret_path, "bytes": bytes.len(), "name": name, "model": model, "weights": weights,
            "openings": openings,
        }));
    }
    print(&format!(
        "key         {}, {} bytes: for everybody\nsecret      {}: for nobody; with the model it proves\nmodel       {model}, {}\n\
         weights     {weights}\nopenings    {} proofs hide these weights",
        out.display(),
        bytes.len(),
        secret_path.display(),
        visible(&name),
        openings.unwrap_or(0)
    ))
}

fn write_key(path: &Path, out: &Path, force: bool) -> Result<(), Failure> {
    files::check_free(out, force)?;
    let (key, name) = key_of(Some(path), None)?;
    let bytes = key.to_bytes().map_err(|error| refused(path, &error))?;
    files::write(out, &bytes, force)?;
    let [model, weights] = [key.model(), key.weights()].map(|digest| Digest::from(*digest).to_string());
    if output::is_json() {
        let document = json!({"file": out, "bytes": bytes.len(), "name": name, "model": model, "weights": weights});
        return output::print_json(&document);
    }
    let name = name.map_or_else(String::new, |name| format!(", {}", visible(&name)));
    print(&format!(
        "key         {}, {} bytes\nmodel       {model}{name}\nweights     {weights}",
        out.display(),
        bytes.len()
    ))
}

#[cfg(test)]
mod tests;
