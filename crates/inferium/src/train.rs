//! `inferium train`: trains on this machine, or has a network train, keeps every interval, and checks what was trained.
//!
//! What a step is, what is committed to and how it is verified is `inferium-train`'s; here are models, files and words.

mod base;
mod begin;
mod curve;
mod network;
mod publish;
mod show;
mod verify;

use crate::cli::{Failure, HeadArgs, LoraArgs, TrainCommand};
use inferium_train::{Evaluation, FolderError, Kept, RunFolder, TrainingSpec};
use inferium_types::Digest;
use serde::{Deserialize, Serialize};

/// The file of a finished run.
const RESULT: &str = "result.json";
/// Bytes of it at most.
const RESULT_BYTES_MAX: u64 = 1 << 16;
/// The vectors that a classifier is trained on.
const VECTORS: &str = "vectors.bin";
/// The picture of a run's losses.
const PICTURE: &str = "loss.svg";

pub(crate) fn run(command: TrainCommand) -> Result<(), Failure> {
    match command {
        TrainCommand::Head(arguments) => {
            let HeadArgs { training, remote, .. } = &*arguments;
            begin::run(training, remote, |text| begin::head(&arguments, text))
        }
        TrainCommand::Lora(arguments) => {
            let LoraArgs { training, remote, .. } = &*arguments;
            begin::run(training, remote, |_| begin::lora(&arguments))
        }
        TrainCommand::Publish(arguments) => publish::run(&arguments),
        TrainCommand::Verify(arguments) => verify::run(&arguments),
        TrainCommand::Show { dir } => show::run(&open(&dir)?),
    }
}

/// What a finished run says of itself. The same run says the same, to the byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunResult {
    /// The spec's digest.
    run: String,
    /// The root after the last interval.
    root: String,
    /// Intervals.
    intervals: u64,
    /// Measured on the held-out part before the first step.
    before: Evaluation,
    /// Measured after the last one.
    after: Evaluation,
}

impl RunResult {
    /// Of a run, if it is finished.
    fn load(folder: &RunFolder) -> Result<Option<Self>, Failure> {
        let Some(bytes) = folder.load(RESULT, RESULT_BYTES_MAX).map_err(failure)? else { return Ok(None) };
        let damaged = |error: &dyn std::fmt::Display| {
            Failure::refused(format!("{}: {error}", folder.path().join(RESULT).display()))
        };
        let result: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&format!("{:?}", error.to_string())))?;
        if result.run != folder.spec().digest().to_string() {
            return Err(damaged(&"it is another run's"));
        }
        Ok(Some(result))
    }

    /// Refuses a result that the checkpoints do not lead to: another root, or not all of the run's intervals.
    fn check(&self, folder: &RunFolder, kept: &Kept) -> Result<(), Failure> {
        if kept.last.as_ref().is_none_or(|last| last.root().to_string() != self.root) {
            return Err(Failure::refused("the result names another root than the checkpoints lead to"));
        }
        kept.check_end(folder.spec(), self.intervals).map_or(Ok(()), |what| Err(Failure::refused(what.to_string())))
    }
}

/// Bytes of a file of vectors of so many lines, and a little more for its head.
fn vectors_bytes(lines: usize, width: u32) -> u64 {
    u64::try_from(lines).unwrap_or(u64::MAX).saturating_mul(u64::from(width)).saturating_mul(4).saturating_add(1_024)
}

/// The share of lines that no step sees, in words.
fn held_out(spec: &TrainingSpec) -> String {
    let percent = f64::from(spec.data.held_out.get()) / 1e4;
    format!("{percent} % of the lines, of which {} are measured on at most", spec.data.measured_max)
}

fn open(dir: &std::path::Path) -> Result<RunFolder, Failure> {
    RunFolder::open(dir).map_err(failure)
}

fn failure(error: FolderError) -> Failure {
    match error {
        FolderError::AnotherRun { .. } | FolderError::NoRun { .. } => Failure::usage(error.to_string()),
        FolderError::Checkpoint { .. }
        | FolderError::Irregular { .. }
        | FolderError::TooLarge { .. }
        | FolderError::TooMany { .. }
        | FolderError::Exported { .. }
        | FolderError::Missing { .. }
        | FolderError::Structure { .. } => Failure::refused(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

/// The seed of one purpose, from the number that people give.
fn seed(purpose: &str, number: u64) -> Digest {
    Digest::of("inferium/training-seed/1", &[purpose.as_bytes(), &number.to_be_bytes()])
}
