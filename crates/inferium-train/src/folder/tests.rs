use super::{FolderError, FolderLock, RunFolder};
use crate::head::tests::{data, spec, trainer};
use crate::{Checkpoint, InvalidCheckpoint, Mismatch, Trainer, TrainingSpec, run_interval};
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
    fs::remove_dir_all(&path).unwrap();
    // A folder that was taken, and left before anything was begun in it, is as good as an empty one.
    drop(FolderLock::take(&path).unwrap());
    let taken = FolderLock::take(&path).unwrap();
    assert!(matches!(FolderLock::take(&path).unwrap_err(), FolderError::Locked { .. }));
    assert!(matches!(RunFolder::begin(&path, &one, "").unwrap_err(), FolderError::Locked { .. }));
    let begun = RunFolder::begin_in(taken, &one, "").unwrap();
    assert!(matches!(FolderLock::take(&path).unwrap_err(), FolderError::Locked { .. }));
    drop(begun);
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

#[test]
fn a_run_that_ended_early_or_says_another_length_is_not_the_run() {
    let path = empty("early");
    let folder = RunFolder::begin(&path, trainer().spec(), "").unwrap();
    let (spec, shapes) = (trainer().spec().clone(), trainer().shapes());
    let intervals = spec.intervals();
    let wrong = |claimed| Some(Mismatch::Intervals { expected: intervals, claimed });
    assert_eq!(folder.walk(&shapes).unwrap().check_end(&spec, intervals), wrong(0));
    train(&folder, intervals - 1);
    let early = folder.walk(&shapes).unwrap();
    assert_eq!(early.check_end(&spec, intervals - 1), wrong(intervals - 1), "an honest part is not the run");
    assert_eq!(early.check_end(&spec, intervals), wrong(intervals - 1));
    let last = train(&folder, 1);
    let whole = folder.walk(&shapes).unwrap();
    assert_eq!(whole.check_end(&spec, intervals), None);
    assert_eq!(whole.check_end(&spec, intervals + 1), wrong(intervals + 1));
    assert_eq!((whole.losses.len() as u64, whole.last), (spec.steps, Some(last)));
    assert_eq!(whole.first.unwrap().state, trainer().initial());
    // One checkpoint more than there are intervals, and one of a number that nobody counts to.
    for number in [intervals + 1, u64::MAX] {
        let more = path.join(format!("checkpoints/{number:08}.checkpoint"));
        fs::write(&more, b"").unwrap();
        assert!(matches!(folder.walk(&shapes).unwrap_err(), FolderError::TooMany { found, .. } if found == number));
        assert!(matches!(folder.last(&shapes).unwrap_err(), FolderError::TooMany { .. }));
        fs::remove_file(more).unwrap();
    }
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn every_kept_interval_must_have_its_steps_drawn_or_not() {
    let path = empty("short");
    let folder = RunFolder::begin(&path, trainer().spec(), "").unwrap();
    let (spec, shapes) = (trainer().spec().clone(), trainer().shapes());
    let before = train(&folder, 1);
    // An interval with one step fewer, sound as a file and chained.
    let short = TrainingSpec { interval: spec.interval - 1, ..spec };
    let mut state = before.state.clone();
    let (mut order, mut steps) = (crate::Order::new(&short), Vec::new());
    for _ in 0..short.interval {
        steps.push(crate::step(&trainer(), &mut order, &mut state).unwrap());
    }
    let record = Some(crate::IntervalRecord { job: before.next_job(), steps });
    folder.keep(&Checkpoint { spec: before.spec, record, state }, &shapes).unwrap();
    let refused = folder.walk(&shapes).unwrap_err();
    let FolderError::Structure { difference, .. } = &refused else { panic!("{refused}") };
    assert!(matches!(difference.what, Mismatch::Steps { .. }) && difference.interval == 1, "{refused}");
    assert_eq!(folder.last(&shapes).unwrap(), Some(before), "who goes on computes it again");
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_run_goes_on_from_the_end_of_the_unbroken_chain() {
    let path = empty("gap");
    let folder = RunFolder::begin(&path, trainer().spec(), "").unwrap();
    train(&folder, 4);
    let shapes = trainer().shapes();
    fs::remove_file(path.join("checkpoints/00000002.checkpoint")).unwrap();
    assert_eq!(folder.last(&shapes).unwrap().unwrap().index(), 1);
    let refused = folder.walk(&shapes).unwrap_err();
    assert!(matches!(&refused, FolderError::Missing { path } if path.ends_with("00000002.checkpoint")), "{refused}");
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn exported_files_are_what_the_last_state_makes() {
    let path = empty("exported");
    let folder = RunFolder::begin(&path, trainer().spec(), "").unwrap();
    let files = trainer().export(&train(&folder, u64::MAX).state);
    assert!(files.len() >= 2);
    for (name, bytes) in &files {
        let refused = folder.check_exported(&files).unwrap_err();
        assert!(refused.to_string().contains(&format!("{name} is missing")), "{refused}");
        folder.save(name, bytes).unwrap();
    }
    folder.check_exported(&files).unwrap();
    for (name, bytes) in &files {
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        for other in [other, [bytes.as_slice(), b" "].concat(), bytes[1..].to_vec()] {
            folder.save(name, &other).unwrap();
            let refused = folder.check_exported(&files).unwrap_err();
            assert!(matches!(&refused, FolderError::Exported { path, .. } if path.ends_with(name)), "{refused}");
        }
        folder.save(name, bytes).unwrap();
    }
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn only_regular_files_of_a_possible_size_are_read() {
    let path = empty("hostile");
    let folder = RunFolder::begin(&path, trainer().spec(), "text").unwrap();
    folder.save("a", b"12345").unwrap();
    assert_eq!(folder.load("a", 5).unwrap().unwrap(), b"12345");
    assert!(matches!(folder.load("a", 4).unwrap_err(), FolderError::TooLarge { most: 4, .. }));
    assert!(folder.load("b", 4).unwrap().is_none());
    assert!(matches!(folder.load("checkpoints", 4).unwrap_err(), FolderError::Irregular { .. }));
    // A file that takes no room on the disk and would take all of memory.
    let huge = fs::File::create(path.join("checkpoints/00000000.checkpoint")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert!(matches!(folder.shapes().unwrap_err(), FolderError::TooLarge { .. }));
    assert!(matches!(folder.last(&trainer().shapes()).unwrap_err(), FolderError::TooLarge { .. }));
    fs::remove_dir_all(path).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_neither_read_nor_written_through() {
    let path = empty("links");
    let folder = RunFolder::begin(&path, trainer().spec(), "text").unwrap();
    let theirs = path.join("theirs");
    fs::write(&theirs, b"theirs").unwrap();
    std::os::unix::fs::symlink(&theirs, path.join("result.json")).unwrap();
    assert!(matches!(folder.load("result.json", 100).unwrap_err(), FolderError::Irregular { .. }));
    std::os::unix::fs::symlink(&theirs, path.join("result.new")).unwrap();
    folder.save("result.json", b"ours").unwrap();
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    drop(folder);
    for (name, target) in [("lock", theirs), ("checkpoints", std::env::temp_dir())] {
        let (here, away) = (path.join(name), path.join("away"));
        fs::rename(&here, &away).unwrap();
        std::os::unix::fs::symlink(target, &here).unwrap();
        let refused = RunFolder::begin(&path, trainer().spec(), "text").unwrap_err();
        assert!(matches!(&refused, FolderError::Irregular { path } if *path == here), "{refused}");
        fs::remove_file(&here).unwrap();
        fs::rename(&away, &here).unwrap();
    }
    let folder = RunFolder::begin(&path, trainer().spec(), "text").unwrap();
    assert_eq!(folder.load("result.json", 100).unwrap().unwrap(), b"ours");
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_folder_without_a_spec_is_gone_on_with_only_if_all_in_it_is_ours() {
    let path = empty("locked-letters");
    fs::create_dir_all(path.join("checkpoints")).unwrap();
    fs::write(path.join("lock"), b"").unwrap();
    fs::write(path.join("data.jsonl"), b"half").unwrap();
    let one = spec(&data(90));
    fs::write(path.join("letter.txt"), b"mine").unwrap();
    let refused = RunFolder::begin(&path, &one, "text").unwrap_err();
    assert!(refused.to_string().contains("letter.txt"), "{refused}");
    assert_eq!(fs::read(path.join("data.jsonl")).unwrap(), b"half");
    fs::remove_file(path.join("letter.txt")).unwrap();
    assert_eq!(RunFolder::begin(&path, &one, "text").unwrap().data().unwrap(), "text");
    fs::remove_dir_all(path).unwrap();
}
