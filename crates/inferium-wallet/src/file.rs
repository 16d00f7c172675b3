//! Keystores on disk: the one place of this crate that touches files.

use crate::{Keystore, KeystoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Bytes of a keystore's file that are read; real ones have some 500.
const FILE_SIZE_MAX: u64 = 16 * 1024;

/// Why a keystore's file could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something is there already; a wallet is never overwritten.
    #[error("it exists already, and a wallet is never overwritten")]
    Exists,
    /// The disk, or a permission.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Someone else on this machine may read it, or change it.
    #[error("others can get at it (mode {mode:04o}); `chmod 600` it, and change its password if they may have")]
    Open {
        /// The file's permissions.
        mode: u32,
    },
    /// What it holds is no keystore.
    #[error("{0}")]
    Keystore(#[from] KeystoreError),
}

/// Reads a keystore that only its owner can get at.
///
/// # Errors
/// [`FileError::Io`], [`FileError::Open`] or [`FileError::Keystore`].
pub fn read_keystore(path: &Path) -> Result<Keystore, FileError> {
    let mut text = String::new();
    let file = File::open(path)?;
    check_mode(&file)?;
    match file.take(FILE_SIZE_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Keystore::from_json(&text)?),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeystoreError::Malformed.into()),
        Err(error) => Err(error.into()),
    }
}

/// A password is all that protects a copy, and whoever has one may guess for as long as they like.
#[cfg(unix)]
fn check_mode(file: &File) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Open { mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &File) -> Result<(), FileError> {
    Ok(())
}

/// Writes a new keystore, whole or not at all, readable by its owner only.
///
/// # Errors
/// [`FileError::Exists`] or [`FileError::Io`].
pub fn create_keystore(path: &Path, keystore: &Keystore) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    // Takes the name, so that nobody else's file can get it between a check and the rename.
    new_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists,
        _ => FileError::Io(error),
    })?;
    // Beside the name that is ours, so that no two writers share it.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let written = write(temporary, path, folder, keystore.to_json().as_bytes());
    if written.is_err() {
        // The error that led here says more than one of tidying up.
        let _ = fs::remove_file(temporary);
        let _ = fs::remove_file(path);
    }
    Ok(written?)
}

fn write(temporary: &Path, path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    if temporary.exists() {
        // Of a run that was cut short: whoever has the name may remove it.
        fs::remove_file(temporary)?;
    }
    let mut file = new_file(temporary)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(folder)?.sync_all()
}

/// A file that did not exist, closed to others from its first moment.
fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
