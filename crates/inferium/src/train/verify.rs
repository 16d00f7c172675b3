//! `inferium train verify`: runs drawn intervals again, and refuses what differs by a bit.

use super::base::{self, Base};
use super::{RunResult, VECTORS, begin, failure, held_out, open, show, vectors_bytes};
use crate::cli::{Failure, VerifyArgs};
use crate::output;
use crate::progress::{CountBar, print, say};
use inferium_train::{
    Audit, Checkpoint, DataSet, Difference, Method, RunFolder, TensorShape, Trainer, TrainingSpec, Vectors,
    check_first, draw, verify_interval,
};
use inferium_types::Digest;
use serde_json::{Value, json};
use std::time::Instant;

pub(super) fn run(arguments: &VerifyArgs) -> Result<(), Failure> {
    let folder = open(&arguments.dir)?;
    let spec = folder.spec();
    if let Some(asked) = arguments.run.filter(|asked| *asked != spec.digest()) {
        return Err(Failure::refused(format!("the folder's run is {}, and not {asked}", spec.digest())));
    }
    let text = folder.data().map_err(failure)?;
    let refused = |error: &dyn std::fmt::Display| Failure::refused(error.to_string());
    let data = DataSet::parse(&text).map_err(|error| refused(&error))?;
    data.check(spec.data.root).map_err(|error| refused(&error))?;
    let kept = show::kept(&folder)?;
    let result = RunResult::load(&folder)?;
    if let Some(result) = &result {
        result.check(&folder, &kept)?;
    }
    let ends = (kept.first, kept.last.filter(|last| last.index() > 0));
    let (Some(first), Some(last)) = ends else {
        return Err(Failure::usage("this run has no interval yet: there is nothing to verify"));
    };
    let audit = match (arguments.all, arguments.intervals) {
        (true, _) => Audit::of(last.index(), last.index()),
        (false, Some(drawn)) => Audit::of(last.index(), drawn),
        (false, None) => Audit::usual(last.index()),
    };
    let beacon = arguments.beacon.unwrap_or_else(|| Digest::from(rand::random::<[u8; 32]>()));
    let drawn = draw(&beacon, &last.root(), &audit);
    say(&show::audit_in_words(&audit));
    let base = Base::of(spec, &arguments.machine)?;
    let began = Instant::now();
    let (vectors, embedded) = vectors_again(&base, &folder, &data, arguments.all, &beacon)?;
    let trainer = base.trainer(spec, &data, vectors)?;
    if let Some(what) = check_first(trainer.as_ref(), &first) {
        return Err(Failure::refused(what.to_string()));
    }
    if let Some(difference) = again(trainer.as_ref(), &folder, &drawn)? {
        return Err(Failure::refused(format!(
            "interval {} was not trained as claimed: {}",
            difference.interval, difference.what
        )));
    }
    let seconds = began.elapsed().as_secs_f64();
    if let Some(result) = &result {
        claims(trainer.as_ref(), [&first, &last], result)?;
        folder.check_exported(&trainer.export(&last.state)).map_err(failure)?;
    }
    let verified = Verified { audit, beacon, drawn, seconds, embedded };
    if output::is_json() {
        return output::print_json(&verified.document(spec, &last, result.as_ref()));
    }
    print(&verified.in_words(spec, &last, result.as_ref()).join("\n"))
}

/// What was run again.
struct Verified {
    audit: Audit,
    beacon: Digest,
    drawn: Vec<u64>,
    seconds: f64,
    embedded: usize,
}

impl Verified {
    fn document(&self, spec: &TrainingSpec, last: &Checkpoint, result: Option<&RunResult>) -> Value {
        json!({
            "run": spec.digest().to_string(),
            "data_root": spec.data.root.to_string(),
            "held_out_ppm": spec.data.held_out.get(),
            "measured_max": spec.data.measured_max,
            "model": { "name": spec.model.name, "weights_root": spec.model.weights_root.to_string(), "tokenizer": spec.model.tokenizer_hash.to_string() },
            "steps": spec.steps,
            "root": last.root().to_string(),
            "beacon": self.beacon.to_string(),
            "intervals": self.audit.intervals,
            "intervals_of_run": spec.intervals(),
            "verified": self.drawn,
            "missed": self.audit.missed,
            "missed_in_one": self.audit.missed_in_one(),
            "cost": self.audit.cost,
            "seconds": self.seconds,
            "is_equal": true,
            "vectors_verified": self.embedded,
            "is_finished": result.is_some(),
            "is_measured": result.is_some(),
            "before": result.map(|result| show::measured(&result.before)),
            "after": result.map(|result| show::measured(&result.after)),
        })
    }

    fn in_words(&self, spec: &TrainingSpec, last: &Checkpoint, result: Option<&RunResult>) -> Vec<String> {
        let again =
            format!("{} of {} intervals, to the bit, in {:.1} s", self.drawn.len(), self.audit.intervals, self.seconds);
        let mut rows = vec![
            ("run", spec.digest().to_string()),
            ("data", format!("root {}", spec.data.root)),
            ("held out", held_out(spec)),
            ("model", format!("{:?} (weights {})", spec.model.name, spec.model.weights_root)),
            ("steps", show::steps(spec)),
            ("equal", again),
            ("root", last.root().to_string()),
            ("beacon", self.beacon.to_string()),
        ];
        if self.embedded > 0 {
            rows.push(("vectors", format!("{} lines embedded again: equal, to the bit", self.embedded)));
        }
        if let Some(result) = result {
            rows.push(("before", result.before.in_words()));
            rows.push(("after", result.after.in_words()));
            rows.push(("measured", "again on the held-out part, before and after: as the result says".to_owned()));
            rows.push(("files", "those for others are what the last state makes, byte for byte".to_owned()));
        } else {
            let (done, all) = (last.index(), spec.intervals());
            rows.push(("measured", format!("nothing: the run is not finished ({done} of {all} intervals)")));
        }
        rows.into_iter().map(|(name, text)| format!("{name:9} {text}")).collect()
    }
}

/// The vectors that the run names, of which a drawn few are made again; how many these were. Nothing where none are trained on.
fn vectors_again(
    base: &Base,
    folder: &RunFolder,
    data: &DataSet,
    is_all: bool,
    beacon: &Digest,
) -> Result<(Option<Vectors>, usize), Failure> {
    let Base::Embedder(embedder, model) = base else { return Ok((None, 0)) };
    let Method::Head { width, .. } = &folder.spec().method else { return Ok((None, 0)) };
    let bytes = folder.load(VECTORS, vectors_bytes(data.lines().len(), *width)).map_err(failure)?;
    let bytes = bytes.ok_or_else(|| Failure::refused(format!("{} has no {VECTORS}", folder.path().display())))?;
    let vectors = Vectors::from_bytes(&bytes, &base::source(data, model));
    let vectors = vectors.map_err(|error| Failure::refused(format!("{VECTORS}: {error}")))?;
    let count = u64::try_from(data.lines().len()).unwrap_or(u64::MAX);
    let audit = if is_all { Audit::of(count, count) } else { Audit::usual(count) };
    let lines = draw(beacon, &vectors.root(), &audit);
    let lines: Vec<usize> = lines.into_iter().filter_map(|line| usize::try_from(line).ok()).collect();
    let mut forged = None;
    base::embed(embedder, data, &lines, |line, vector| {
        if !vectors.is(line, &vector) {
            forged = forged.or(Some(line));
        }
    })?;
    match forged {
        Some(line) => Err(Failure::refused(format!("the vector of line {} is not the model's", line + 1))),
        None => Ok((Some(vectors), lines.len())),
    }
}

/// Runs these intervals again; the first difference ends it.
fn again(trainer: &dyn Trainer, folder: &RunFolder, drawn: &[u64]) -> Result<Option<Difference>, Failure> {
    let shapes = trainer.shapes();
    let steps: u64 = drawn.iter().map(|index| trainer.spec().steps_of(*index)).map(|(first, end)| end - first).sum();
    let bar = CountBar::new("verifying", steps);
    let mut done = 0;
    for index in drawn {
        let start = checkpoint(folder, *index, &shapes)?;
        let end = checkpoint(folder, index.saturating_add(1), &shapes)?;
        let Some(record) = end.record else { continue };
        let difference = verify_interval(trainer, &start, &record, &mut |_| {
            done += 1;
            bar.set(done);
        });
        let difference = difference.map_err(|error| Failure::refused(format!("interval {index}: {error}")))?;
        if difference.is_some() {
            return Ok(difference);
        }
    }
    bar.done();
    Ok(None)
}

/// Measures again what the result says.
fn claims(trainer: &dyn Trainer, [first, last]: [&Checkpoint; 2], result: &RunResult) -> Result<(), Failure> {
    for (at, when, claimed) in [(first, "before", result.before), (last, "after", result.after)] {
        let found = begin::measured(trainer, at, when)?;
        if found != claimed {
            let (claimed, found) = (claimed.in_words(), found.in_words());
            return Err(Failure::refused(format!("{when} the run it was measured {found}, and not {claimed}")));
        }
    }
    Ok(())
}

fn checkpoint(folder: &RunFolder, index: u64, shapes: &[TensorShape]) -> Result<Checkpoint, Failure> {
    let missing = || Failure::refused(format!("{} has no checkpoint {index}", folder.path().display()));
    folder.checkpoint(index, shapes).map_err(failure)?.ok_or_else(missing)
}
