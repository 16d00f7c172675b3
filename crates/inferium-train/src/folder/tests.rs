use super::{FolderError, RunFolder};
use crate::head::tests::{data, spec, trainer};
use crate::{Checkpoint, InvalidCheckpoint, Trainer, TrainingSpec, run_interval};
use std::fs;
use std::path::PathBuf;

/// An empty folder of this test's own.
fn empty(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-train-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

/// Trains until the end, or until so many intervals were done.
fn train(folder: &RunFolder, at_most: u64) -> Checkpoint {
    let (trainer, shapes) = (trainer(), trainer().shapes());
    let mut now = folder.last(&shapes).unwrap().unwrap_or_else(|| {
        let first = Checkpoint { spec: trainer.spec().digest(), record: None, state: trainer.initial() };
        folder.keep(&first, &shapes).unwrap();
        first
    });
    for _ in 0..at_most {
        if now.index() == trainer.spec().intervals() {
            break;
        }
        let (state, record) = run_interval(&trainer, now.next_job(), now.state.clone(), &mut |_| ()).unwrap();
        now = Checkpoint { record: Some(record), state, ..now };
        folder.keep(&now, &shapes).unwrap();
    }
    now
}

#[test]
fn a_run_that_was_stopped_ends_as_one_that_was_not() {
    let (whole, cut) = (empty("whole"), empty("cut"));
    let begin = |path| RunFolder::begin(path, trainer().spec(), "{}").unwrap();
    let expected = train(&begin(&whole), u64::MAX);
    train(&begin(&cut), 4);
    // The kill came while the next checkpoint was written, and the one before it did not get whole to the disk.
    fs::write(cut.join("checkpoints/00000005.new"), b"inferium-checkpoint/1\nhalf").unwrap();
    let last = cut.join("checkpoints/00000004.checkpoint");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    let found = train(&begin(&cut), u64::MAX);
    assert_eq!(found, expected);
    for index in 0..=expected.index() {
        let name = format!("checkpoints/{index:08}.checkpoint");
        assert_eq!(fs::read(whole.join(&name)).unwrap(), fs::read(cut.join(&name)).unwrap(), "{name}");
    }
    for path in [whole, cut] {
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn a_folder_of_another_run_or_of_something_else_is_refused() {
    let path = empty("another");
    let one = spec(&data(90));
    drop(RunFolder::begin(&path, &one, "the text").unwrap());
    let opened = RunFolder::open(&path).unwrap();
    assert_eq!((opened.spec(), opened.data().unwrap().as_str()), (&one, "the text"));
    let other = TrainingSpec { batch: one.batch + 1, ..one.clone() };
    let refused = RunFolder::begin(&path, &other, "the text").unwrap_err();
    assert!(matches!(refused, FolderError::AnotherRun { field: "batch size", .. }), "{refused}");
    fs::write(path.join("spec.bin"), b"inferium-training-spec/1\n").unwrap();
    assert!(matches!(RunFolder::open(&path).unwrap_err(), FolderError::NoRun { .. }));
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("letter.txt"), b"mine").unwrap();
    assert!(matches!(RunFolder::begin(&path, &one, "").unwrap_err(), FolderError::NoRun { .. }));
    assert!(matches!(RunFolder::open(&path).unwrap_err(), FolderError::NoRun { .. }));
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn one_process_trains_at_a_time() {
    let path = empty("locked");
    let one = spec(&data(90));
    let held = RunFolder::begin(&path, &one, "").unwrap();
    assert!(matches!(RunFolder::begin(&path, &one, "").unwrap_err(), FolderError::Locked { .. }));
    drop(held);
    assert!(RunFolder::begin(&path, &one, "").is_ok());
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_checkpoint_of_another_run_or_place_is_a_mix_up_and_no_crash() {
    let path = empty("mixed");
    let folder = RunFolder::begin(&path, trainer().spec(), "").unwrap();
    train(&folder, 2);
    let shapes = trainer().shapes();
    let place = |index: u64| path.join(format!("checkpoints/{index:08}.checkpoint"));
    fs::copy(place(1), place(3)).unwrap();
    let refused = folder.last(&shapes).unwrap_err();
    assert!(
        matches!(refused, FolderError::Checkpoint { source: InvalidCheckpoint::Inconsistent { .. }, .. }),
        "{refused}"
    );
    let mut other = folder.checkpoint(2, &shapes).unwrap().unwrap();
    other.spec = inferium_types::Digest::ZERO;
    fs::write(place(3), other.to_bytes(&shapes)).unwrap();
    let refused = folder.last(&shapes).unwrap_err();
    assert!(
        matches!(refused, FolderError::Checkpoint { source: InvalidCheckpoint::AnotherRun { .. }, .. }),
        "{refused}"
    );
    assert!(folder.checkpoint(9, &shapes).unwrap().is_none());
    fs::remove_dir_all(path).unwrap();
}
