//! Files that people name: read up to a bound, written whole or not at all, and never over another one unasked.

use crate::cli::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Reads a file of so many bytes at most.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > most {
        return Err(Failure::refused(format!("{}: larger than the {most} bytes that are read", path.display())));
    }
    Ok(bytes)
}

/// Refuses a name that is taken, before the work whose result should have it.
pub(crate) fn check_free(path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(taken(path));
    }
    let folder = folder(path);
    if folder.is_dir() { Ok(()) } else { Err(Failure::usage(format!("there is no folder {}", folder.display()))) }
}

/// Writes a file under a name that is free, or with `force` under any. Nobody sees a part of it.
pub(crate) fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = attempt(&temporary, path, bytes, force);
    // It has another name by now, or is of no use.
    let _ = fs::remove_file(&temporary);
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => Failure::failed(format!("cannot write {}: {error}", path.display())),
    })
}

fn attempt(temporary: &Path, path: &Path, bytes: &[u8], force: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if force {
        fs::rename(temporary, path)?;
    } else if let Err(error) = fs::hard_link(temporary, path) {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        // A file system without links: the name is taken first, then given to what was written.
        OpenOptions::new().create_new(true).write(true).open(path)?;
        fs::rename(temporary, path)?;
    }
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn taken(path: &Path) -> Failure {
    Failure::refused(format!("{} is there already; name another file, or write over it with --force", path.display()))
}

#[cfg(test)]
mod tests;
