//! Where things are kept: the data folder, its lock, keys, and what later commands need to know.

use crate::cli::Failure;
use inferium_types::SecretKey;
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Marks a folder as ours, so that `--fresh` never deletes another.
const MARKER: &str = "inferium-data";

/// The user's folder for everything of ours.
fn home() -> PathBuf {
    std::env::var_os("INFERIUM_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".inferium"))
}

/// The folder of models.
pub(crate) fn models_dir(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| home().join("models"))
}

/// The folder of a model's calibration.
pub(crate) fn calibration_dir(given: Option<PathBuf>, model: &str) -> PathBuf {
    given.unwrap_or_else(|| home().join("calibration").join(model))
}

/// The folder of a network's data.
pub(crate) fn data_dir(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| home().join("devnet"))
}

/// Where a worker that joins a network keeps its data.
pub(crate) fn worker_dir(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| home().join("worker"))
}

/// The file of the user's wallet.
pub(crate) fn wallet_file(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| home().join("wallet.json"))
}

/// The machine's clock; milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The key `name` of a devnet whose data folder is `data`, which a running network may hold locked.
/// `None` where the folder has no such key: it belongs to no devnet of this machine.
pub(crate) fn devnet_key(data: &Path, name: &str) -> Result<Option<SecretKey>, Failure> {
    let path = data.join("keys").join(format!("{name}.key"));
    if !path.exists() {
        return Ok(None);
    }
    let damaged = || Failure::failed(format!("{} is damaged", path.display()));
    let bytes: [u8; 32] = read(&path)?.try_into().map_err(|_| damaged())?;
    SecretKey::from_bytes(bytes).map(Some).map_err(|_| damaged())
}

/// The secret `name` of a devnet whose data folder is `data`; `None` where the folder has no such secret.
pub(crate) fn devnet_secret<const SIZE: usize>(data: &Path, name: &str) -> Result<Option<[u8; SIZE]>, Failure> {
    let path = data.join("keys").join(name);
    if !path.exists() {
        return Ok(None);
    }
    let damaged = |_| Failure::failed(format!("{} is damaged", path.display()));
    read(&path)?.try_into().map(Some).map_err(damaged)
}

/// A moment as 2026-11-29 07:03 UTC.
pub(crate) fn date_time(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    time::OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| format!("{seconds} s after 1970"),
        |at| format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()),
    )
}

/// A data folder that this process alone uses.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens or makes the folder and locks it; with `fresh`, empties it first.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Self, Failure> {
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot {what} the data folder {}: {error}", path.display()))
        };
        fs::create_dir_all(path).map_err(|e| cannot("make", &e))?;
        let is_empty = fs::read_dir(path).map_err(|e| cannot("read", &e))?.next().is_none();
        let marker = path.join(MARKER);
        if !is_empty && !marker.exists() {
            return Err(Failure::usage(format!(
                "{} is not an inferium data folder and not empty; choose another with --data",
                path.display()
            )));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&marker)
            .map_err(|e| cannot("open", &e))?;
        if lock.try_lock().is_err() {
            return Err(Failure::failed(format!("another process uses the data folder {}", path.display())));
        }
        restrict(path, 0o700).map_err(|e| cannot("protect", &e))?;
        if fresh {
            for entry in fs::read_dir(path).map_err(|e| cannot("read", &e))? {
                let entry = entry.map_err(|e| cannot("read", &e))?.path();
                if entry == marker {
                    continue;
                }
                let removed = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
                removed.map_err(|e| cannot("empty", &e))?;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside, made when missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|e| Failure::failed(format!("cannot make {}: {e}", path.display())))?;
        Ok(path)
    }

    /// The secret `name`: what the file holds, or a new one that is on disk before it is used.
    pub(crate) fn secret<const SIZE: usize>(
        &self,
        name: &str,
        make: impl FnOnce() -> [u8; SIZE],
    ) -> Result<[u8; SIZE], Failure> {
        let folder = self.folder("keys")?;
        let path = folder.join(name);
        if path.exists() {
            let bytes = read(&path)?;
            return bytes
                .as_slice()
                .try_into()
                .map_err(|_| Failure::failed(format!("{} is damaged: {} bytes", path.display(), bytes.len())));
        }
        let bytes = make();
        write(&path, &bytes)?;
        Ok(bytes)
    }

    /// The signing key `name`.
    pub(crate) fn key(&self, name: &str) -> Result<SecretKey, Failure> {
        let bytes = self.secret(&format!("{name}.key"), rand::random::<[u8; 32]>)?;
        SecretKey::from_bytes(bytes).map_err(|_| Failure::failed(format!("the key {name} is damaged")))
    }

    /// A file's bytes, if it exists.
    pub(crate) fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path.join(name);
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// Writes a file whole or not at all.
    pub(crate) fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        write(&self.path.join(name), bytes)
    }

    pub(crate) fn save_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(value).map_err(|e| Failure::failed(e.to_string()))?;
        self.save(name, &text)
    }
}

/// Reads JSON that a running network left in a data folder.
pub(crate) fn load_json<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|e| Failure::failed(format!("{} is damaged: {e}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| Failure::failed(format!("cannot read {}: {e}", path.display())))
}

/// Temporary name, fsync, rename: a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let attempt = || -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&temporary)?;
        restrict(&temporary, 0o600)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    attempt().map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}
