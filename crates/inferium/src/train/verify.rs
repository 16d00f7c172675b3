//! `inferium train verify`: runs drawn intervals again, and refuses what differs by a bit.

use super::base::{self, Base};
use super::{RunResult, VECTORS, begin, failure, open, show};
use crate::cli::{Failure, VerifyArgs};
use crate::output;
use crate::progress::{CountBar, print, say};
use inferium_train::{
    Audit, Checkpoint, DataSet, Difference, RunFolder, TensorShape, Trainer, Vectors, draw, verify_interval,
};
use inferium_types::Digest;
use serde_json::json;
use std::time::Instant;

pub(super) fn run(arguments: &VerifyArgs) -> Result<(), Failure> {
    let folder = open(&arguments.dir)?;
    let spec = folder.spec();
    let text = folder.data().map_err(failure)?;
    let refused = |error: &dyn std::fmt::Display| Failure::refused(error.to_string());
    let data = DataSet::parse(&text).map_err(|error| refused(&error))?;
    data.check(spec.data.root).map_err(|error| refused(&error))?;
    let (_, last) = show::walk(&folder)?;
    let last = last.filter(|last| last.index() > 0);
    let last = last.ok_or_else(|| Failure::usage("this run has no interval yet: there is nothing to verify"))?;
    let result = RunResult::load(&folder)?;
    if result.as_ref().is_some_and(|result| result.root != last.root().to_string()) {
        return Err(Failure::refused("the result names another root than the checkpoints lead to"));
    }
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
    let trainer = base.trainer(spec, &data, vectors, &arguments.machine)?;
    if let Some(difference) = again(trainer.as_ref(), &folder, &drawn)? {
        return Err(Failure::refused(format!(
            "interval {} was not trained as claimed: {}",
            difference.interval, difference.what
        )));
    }
    let seconds = began.elapsed().as_secs_f64();
    let claims = result.as_ref().map(|result| claims(trainer.as_ref(), &folder, &last, result)).transpose()?;
    if output::is_json() {
        return output::print_json(&json!({
            "run": spec.digest().to_string(),
            "root": last.root().to_string(),
            "beacon": beacon.to_string(),
            "intervals": audit.intervals,
            "verified": drawn,
            "missed": audit.missed,
            "cost": audit.cost,
            "seconds": seconds,
            "is_equal": true,
            "vectors_verified": embedded,
            "is_measured": claims.is_some(),
        }));
    }
    let mut lines = vec![
        format!("equal     {} of {} intervals, to the bit, in {seconds:.1} s", drawn.len(), audit.intervals),
        format!("root      {}", last.root()),
        format!("beacon    {beacon}"),
    ];
    if embedded > 0 {
        lines.push(format!("vectors   {embedded} of {} lines embedded again: equal, to the bit", data.lines().len()));
    }
    lines.push(match claims {
        Some(()) => "measured  again on the held-out part, before and after: as the result says".to_owned(),
        None => "measured  nothing: the run is not finished".to_owned(),
    });
    print(&lines.join("\n"))
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
    let bytes = folder.load(VECTORS).map_err(failure)?;
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
fn claims(trainer: &dyn Trainer, folder: &RunFolder, last: &Checkpoint, result: &RunResult) -> Result<(), Failure> {
    let first = checkpoint(folder, 0, &trainer.shapes())?;
    for (at, when, claimed) in [(&first, "before", result.before), (last, "after", result.after)] {
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
