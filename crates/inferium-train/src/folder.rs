//! A run's folder: spec, data set, checkpoints. The one place of this crate that touches a disk.
//!
//! Every file is written under another name, brought to the disk, and renamed: a kill leaves the old file or the new one.

use crate::data::BYTES_MAX;
use crate::{Checkpoint, Difference, InvalidCheckpoint, Mismatch, TensorShape, TrainingSpec, check_end, check_record};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// How a spec's file begins; the encoding follows.
const SPEC_MAGIC: &[u8] = b"inferium-training-spec/1\n";
const SPEC: &str = "spec.bin";
const DATA: &str = "data.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const LOCK: &str = "lock";
/// What a folder has that a run was begun in and that has no spec yet: nothing else in it is overwritten.
const BEGUN: [&str; 5] = [LOCK, DATA, "data.new", "spec.new", CHECKPOINTS];
/// Bytes of a spec at most: its labels are the largest part.
const SPEC_BYTES_MAX: u64 = 1 << 24;
/// Bytes of a checkpoint at most.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;

/// A folder that no other process trains in while this is kept.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// The lock goes with it.
    _file: File,
}

/// What is kept of a run, checked as a whole: each checkpoint goes on from the one before, with the steps that the spec has there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Losses of all steps, in order.
    pub losses: Vec<f32>,
    /// The state before the first step; `None` before it is kept.
    pub first: Option<Checkpoint>,
    /// The last checkpoint.
    pub last: Option<Checkpoint>,
}

impl Kept {
    /// Whether this is the whole run: `claimed` is the number of intervals that its result says.
    #[must_use]
    pub fn check_end(&self, spec: &TrainingSpec, claimed: u64) -> Option<Mismatch> {
        let none = || Some(Mismatch::Intervals { expected: spec.intervals(), claimed: 0 });
        self.last.as_ref().map_or_else(none, |last| check_end(spec, last, claimed))
    }
}

/// A run's folder, which this process alone writes to.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    spec: TrainingSpec,
    /// Held while the folder is written to.
    _lock: Option<FolderLock>,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The disk refuses.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else.
    #[error("{path} is no run of this program: {reason}", path = path.display())]
    NoRun {
        /// Which folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is a run with other settings.
    #[error("{path} holds a run with another {field}; name another folder, or the settings that it was begun with", path = path.display())]
    AnotherRun {
        /// Which folder.
        path: PathBuf,
        /// The first field that differs.
        field: &'static str,
    },
    /// Another process trains there.
    #[error("another process trains in {path}", path = path.display())]
    Locked {
        /// Which folder.
        path: PathBuf,
    },
    /// A link, folder or pipe where a file should be: nothing is read through it.
    #[error("{path} is a link, or another kind of file than a run has there", path = path.display())]
    Irregular {
        /// Which one.
        path: PathBuf,
    },
    /// More bytes than a file of its kind can have.
    #[error("{path} is larger than {most} bytes, which is what it can have at most", path = path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Bytes at most.
        most: u64,
    },
    /// More checkpoints than the run has intervals.
    #[error("{path} has a checkpoint {found}, and its run has {intervals} intervals", path = path.display())]
    TooMany {
        /// Which folder.
        path: PathBuf,
        /// The highest number.
        found: u64,
        /// Intervals of the run.
        intervals: u64,
    },
    /// A checkpoint that others after it need.
    #[error("{path} is missing, and later checkpoints are there", path = path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// A file that is not what the last state makes.
    #[error("{path} is {reason}", path = path.display())]
    Exported {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// An interval that can't be of this run, whoever computed it.
    #[error("{path}: interval {interval}: {what}", path = path.display(), interval = difference.interval, what = difference.what)]
    Structure {
        /// Which folder.
        path: PathBuf,
        /// The first that is wrong.
        difference: Difference,
    },
    /// A checkpoint that is none of this run.
    #[error("{path}: {source}", path = path.display())]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidCheckpoint,
    },
}

impl FolderLock {
    /// Takes a folder that is empty, not there, or of a run that was begun: before anything long is computed for it.
    ///
    /// # Errors
    /// [`FolderError`]: it holds something else, or is in use.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(|source| disk(path, source))?;
        let lock_path = path.join(LOCK);
        // Neither is written through a link to elsewhere.
        let checkpoints = path.join(CHECKPOINTS);
        for (place, is_right) in
            [(&lock_path, fs::Metadata::is_file as fn(&_) -> _), (&checkpoints, fs::Metadata::is_dir)]
        {
            if fs::symlink_metadata(place).is_ok_and(|kind| !is_right(&kind)) {
                return Err(FolderError::Irregular { path: place.clone() });
            }
        }
        if !path.join(SPEC).exists() {
            let mut is_empty = true;
            for entry in fs::read_dir(path).map_err(|source| disk(path, source))? {
                let name = entry.map_err(|source| disk(path, source))?.file_name();
                if !name.to_str().is_some_and(|name| BEGUN.contains(&name)) {
                    return Err(no_run(path, &format!("it has no spec, and holds {name:?}")));
                }
                is_empty = false;
            }
            if !is_empty && !lock_path.exists() {
                return Err(no_run(path, "it is not empty, and has no spec"));
            }
        }
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path);
        let lock = lock.map_err(|source| disk(&lock_path, source))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => disk(&lock_path, source),
        })?;
        Ok(Self { path: path.to_owned(), _file: lock })
    }
}

impl RunFolder {
    /// Begins a run in a folder that is empty or not there, or goes on with the same run. The data set's text is kept beside it.
    ///
    /// # Errors
    /// [`FolderError`]: it holds something else, another run, or is in use.
    pub fn begin(path: &Path, spec: &TrainingSpec, data: &str) -> Result<Self, FolderError> {
        Self::begin_in(FolderLock::take(path)?, spec, data)
    }

    /// As [`RunFolder::begin`], in a folder that was taken before.
    ///
    /// # Errors
    /// As [`RunFolder::begin`].
    pub fn begin_in(lock: FolderLock, spec: &TrainingSpec, data: &str) -> Result<Self, FolderError> {
        let path = lock.path.clone();
        let path = path.as_path();
        let checkpoints = path.join(CHECKPOINTS);
        if path.join(SPEC).exists() {
            let kept = Self::open(path)?;
            if let Some(field) = kept.spec.difference(spec) {
                return Err(FolderError::AnotherRun { path: path.to_owned(), field });
            }
        } else {
            // The spec comes last: a folder that has one is whole.
            fs::create_dir_all(&checkpoints).map_err(|source| disk(&checkpoints, source))?;
            write(&path.join(DATA), data.as_bytes())?;
            let mut bytes = SPEC_MAGIC.to_vec();
            bytes.extend_from_slice(&inferium_types::encode(spec));
            write(&path.join(SPEC), &bytes)?;
        }
        Ok(Self { path: path.to_owned(), spec: spec.clone(), _lock: Some(lock) })
    }

    /// Opens a run to look at it.
    ///
    /// # Errors
    /// [`FolderError::NoRun`], [`FolderError::Disk`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let file = path.join(SPEC);
        let bytes = read(&file, SPEC_BYTES_MAX)?.ok_or_else(|| no_run(path, "it has no spec"))?;
        let encoded = bytes.strip_prefix(SPEC_MAGIC).ok_or_else(|| no_run(path, "its spec is of another version"))?;
        let spec: TrainingSpec = inferium_types::decode(encoded).map_err(|error| no_run(path, &error.to_string()))?;
        spec.check().map_err(|error| no_run(path, &error.to_string()))?;
        Ok(Self { path: path.to_owned(), spec, _lock: None })
    }

    /// What the run is.
    #[must_use]
    pub const fn spec(&self) -> &TrainingSpec {
        &self.spec
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the data set.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn data(&self) -> Result<String, FolderError> {
        let path = self.path.join(DATA);
        let bytes = read(&path, BYTES_MAX as u64)?.ok_or_else(|| no_run(&self.path, "it has no data set"))?;
        String::from_utf8(bytes).map_err(|error| disk(&path, io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Writes a file of the run whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        write(&self.path.join(name), bytes)
    }

    /// A file of the run, if there is one, of so many bytes at most.
    ///
    /// # Errors
    /// [`FolderError::Irregular`], [`FolderError::TooLarge`], [`FolderError::Disk`].
    pub fn load(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, FolderError> {
        read(&self.path.join(name), most)
    }

    /// Whether the folder has these files, [`crate::Trainer::export`] of the last state, byte for byte: they are what others load, and
    /// no root binds them.
    ///
    /// # Errors
    /// [`FolderError::Exported`] for the first that is missing or another one; else as [`RunFolder::load`].
    pub fn check_exported(&self, files: &[(String, Vec<u8>)]) -> Result<(), FolderError> {
        for (name, bytes) in files {
            let refused = |reason| FolderError::Exported { path: self.path.join(name), reason };
            match self.load(name, bytes.len() as u64) {
                Ok(Some(found)) if found == *bytes => {}
                Ok(Some(_)) | Err(FolderError::TooLarge { .. }) => {
                    return Err(refused("not what the last state makes: it was not written by this run"));
                }
                Ok(None) => return Err(refused("missing, and the run is finished")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps a checkpoint; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn keep(&self, checkpoint: &Checkpoint, shapes: &[TensorShape]) -> Result<(), FolderError> {
        let (path, bytes) = (self.place(checkpoint.index()), checkpoint.to_bytes(shapes));
        if bytes.len() as u64 > CHECKPOINT_BYTES_MAX {
            return Err(FolderError::TooLarge { path, most: CHECKPOINT_BYTES_MAX });
        }
        write(&path, &bytes)
    }

    /// The checkpoint after `index` intervals; `None` if there is none.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] for a file that is none of this run, [`FolderError::Disk`].
    pub fn checkpoint(&self, index: u64, shapes: &[TensorShape]) -> Result<Option<Checkpoint>, FolderError> {
        let path = self.place(index);
        let Some(bytes) = read(&path, CHECKPOINT_BYTES_MAX)? else { return Ok(None) };
        let invalid = |source| FolderError::Checkpoint { path: path.clone(), source };
        let checkpoint = Checkpoint::from_bytes(&bytes, self.spec.digest(), shapes).map_err(invalid)?;
        if checkpoint.index() != index {
            return Err(invalid(InvalidCheckpoint::Inconsistent { what: "interval" }));
        }
        Ok(Some(checkpoint))
    }

    /// The tensors that this run's first checkpoint says it trains, for who has no model at hand; `None` before it is there.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`], [`FolderError::Disk`].
    pub fn shapes(&self) -> Result<Option<Vec<TensorShape>>, FolderError> {
        let path = self.place(0);
        let Some(bytes) = read(&path, CHECKPOINT_BYTES_MAX)? else { return Ok(None) };
        match Checkpoint::shapes(&bytes) {
            Ok(shapes) => Ok(Some(shapes)),
            Err(source) => Err(FolderError::Checkpoint { path, source }),
        }
    }

    /// All that is kept, from the first state on: none may be missing, and each must go on from the one before it.
    ///
    /// # Errors
    /// [`FolderError::Structure`] for the first interval that does not, [`FolderError::Missing`]; else as
    /// [`RunFolder::checkpoint`] and [`RunFolder::kept`].
    pub fn walk(&self, shapes: &[TensorShape]) -> Result<Kept, FolderError> {
        let mut kept = Kept::default();
        for index in 0..self.kept()? {
            let missing = || FolderError::Missing { path: self.place(index) };
            let next = self.checkpoint(index, shapes)?.ok_or_else(missing)?;
            if let (Some(before), Some(record)) = (&kept.last, &next.record) {
                if let Some(what) = check_record(&self.spec, before, record) {
                    let difference = Difference { interval: before.index(), what };
                    return Err(FolderError::Structure { path: self.path.clone(), difference });
                }
                kept.losses.extend(record.steps.iter().map(crate::StepRecord::loss));
            } else {
                kept.first = Some(next.clone());
            }
            kept.last = Some(next);
        }
        Ok(kept)
    }

    /// The end of the unbroken chain from the first checkpoint on: what is missing or damaged, or does not go on from the one before it,
    /// ends it, and is computed again. `None` before the first.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] for one of another run or shape: that is a mix-up, not a crash. [`FolderError::Disk`].
    pub fn last(&self, shapes: &[TensorShape]) -> Result<Option<Checkpoint>, FolderError> {
        let mut last = None::<Checkpoint>;
        for index in 0..self.kept()? {
            let next = match self.checkpoint(index, shapes) {
                Ok(Some(next)) => next,
                Ok(None) | Err(FolderError::Checkpoint { source: InvalidCheckpoint::Damaged, .. }) => break,
                Err(error) => return Err(error),
            };
            let goes_on = match (&last, &next.record) {
                (Some(before), Some(record)) => check_record(&self.spec, before, record).is_none(),
                (None, None) => true,
                _ => false,
            };
            if !goes_on {
                break;
            }
            last = Some(next);
        }
        Ok(last)
    }

    /// One more than the highest number of a checkpoint's file.
    ///
    /// # Errors
    /// [`FolderError::TooMany`] if that is more than the run has intervals, [`FolderError::Disk`].
    pub fn kept(&self) -> Result<u64, FolderError> {
        let folder = self.path.join(CHECKPOINTS);
        let mut count = 0;
        for entry in fs::read_dir(&folder).map_err(|source| disk(&folder, source))? {
            let name = entry.map_err(|source| disk(&folder, source))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".checkpoint")?.parse::<u64>().ok());
            let intervals = self.spec.intervals();
            if let Some(found) = number.filter(|number| *number > intervals) {
                return Err(FolderError::TooMany { path: folder, found, intervals });
            }
            count = count.max(number.map_or(0, |number| number.saturating_add(1)));
        }
        Ok(count)
    }

    fn place(&self, index: u64) -> PathBuf {
        self.path.join(CHECKPOINTS).join(format!("{index:08}.checkpoint"))
    }
}

fn disk(path: &Path, source: io::Error) -> FolderError {
    FolderError::Disk { path: path.to_owned(), source }
}

fn no_run(path: &Path, reason: &str) -> FolderError {
    FolderError::NoRun { path: path.to_owned(), reason: reason.to_owned() }
}

/// A file of so many bytes at most; `None` if there is none. Folders come from others: no link is followed, and no pipe waited for.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FolderError> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        kind => kind.map_err(|source| disk(path, source))?,
    };
    if !kind.is_file() {
        return Err(FolderError::Irregular { path: path.to_owned() });
    }
    let too_large = || FolderError::TooLarge { path: path.to_owned(), most };
    if kind.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|source| disk(path, source))?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|source| disk(path, source))?;
    // It may have grown since.
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(Some(bytes)) }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let attempt = || -> io::Result<()> {
        let temporary = path.with_extension("new");
        // What a kill left, or a link that somebody put there: it is removed, never written through.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    attempt().map_err(|source| disk(path, source))
}
