//! A run's folder: spec, data set, checkpoints. The one place of this crate that touches a disk.
//!
//! Every file is written under another name, brought to the disk, and renamed: a kill leaves the old file or the new one.

use crate::{Checkpoint, InvalidCheckpoint, TensorShape, TrainingSpec};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// How a spec's file begins; the encoding follows.
const SPEC_MAGIC: &[u8] = b"inferium-training-spec/1\n";
const SPEC: &str = "spec.bin";
const DATA: &str = "data.jsonl";
const CHECKPOINTS: &str = "checkpoints";

/// A run's folder, which this process alone writes to.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    spec: TrainingSpec,
    /// Held while the folder is written to.
    _lock: Option<File>,
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
    /// A checkpoint that is none of this run.
    #[error("{path}: {source}", path = path.display())]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidCheckpoint,
    },
}

impl RunFolder {
    /// Begins a run in a folder that is empty or not there, or goes on with the same run. The data set's text is kept beside it.
    ///
    /// # Errors
    /// [`FolderError`]: it holds something else, another run, or is in use.
    pub fn begin(path: &Path, spec: &TrainingSpec, data: &str) -> Result<Self, FolderError> {
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(path).map_err(|source| disk(path, source))?;
        let is_empty = fs::read_dir(path).map_err(|source| disk(path, source))?.next().is_none();
        let lock_path = path.join("lock");
        if !is_empty && !lock_path.exists() && !path.join(SPEC).exists() {
            return Err(no_run(path, "it is not empty, and has no spec"));
        }
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path);
        let lock = lock.map_err(|source| disk(&lock_path, source))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => disk(&lock_path, source),
        })?;
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
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_run(path, "it has no spec")),
            bytes => bytes.map_err(|source| disk(&file, source))?,
        };
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
        fs::read_to_string(&path).map_err(|source| disk(&path, source))
    }

    /// Writes a file of the run whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        write(&self.path.join(name), bytes)
    }

    /// A file of the run, if there is one.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn load(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).map_err(|source| disk(&path, source)),
        }
    }

    /// Keeps a checkpoint; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn keep(&self, checkpoint: &Checkpoint, shapes: &[TensorShape]) -> Result<(), FolderError> {
        write(&self.place(checkpoint.index()), &checkpoint.to_bytes(shapes))
    }

    /// The checkpoint after `index` intervals; `None` if there is none.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] for a file that is none of this run, [`FolderError::Disk`].
    pub fn checkpoint(&self, index: u64, shapes: &[TensorShape]) -> Result<Option<Checkpoint>, FolderError> {
        let path = self.place(index);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|source| disk(&path, source))?,
        };
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
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(disk(&path, source)),
            Ok(bytes) => match Checkpoint::shapes(&bytes) {
                Ok(shapes) => Ok(Some(shapes)),
                Err(source) => Err(FolderError::Checkpoint { path, source }),
            },
        }
    }

    /// The last whole checkpoint: damaged ones after it count as not there, and are computed again. `None` before the first.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] for one of another run or shape: that is a mix-up, not a crash. [`FolderError::Disk`].
    pub fn last(&self, shapes: &[TensorShape]) -> Result<Option<Checkpoint>, FolderError> {
        for index in (0..self.kept()?).rev() {
            match self.checkpoint(index, shapes) {
                Ok(Some(checkpoint)) => return Ok(Some(checkpoint)),
                Ok(None) | Err(FolderError::Checkpoint { source: InvalidCheckpoint::Damaged, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// One more than the highest number of a checkpoint's file.
    ///
    /// # Errors
    /// [`FolderError::Disk`].
    pub fn kept(&self) -> Result<u64, FolderError> {
        let folder = self.path.join(CHECKPOINTS);
        let mut count = 0;
        for entry in fs::read_dir(&folder).map_err(|source| disk(&folder, source))? {
            let name = entry.map_err(|source| disk(&folder, source))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".checkpoint")?.parse::<u64>().ok());
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

fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let attempt = || -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&temporary)?;
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
