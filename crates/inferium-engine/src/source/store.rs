//! The folder of models.

use super::{CATALOGUE, CatalogueFile, Progress, SourceError, find};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The weights of a model that is a folder.
const WEIGHTS: &str = "model.safetensors";

/// A model in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledModel {
    /// The catalogue's name, or the file's name without its ending.
    pub name: String,
    /// The file, or the folder of its files.
    pub path: PathBuf,
    /// Size of the file, or of that with the weights.
    pub size_bytes: u64,
    /// SHA-256 of that file as noted when it came, 64 hex digits.
    pub sha256: Option<String>,
    /// Whether it is a model of the catalogue, with all of its files.
    pub is_catalogued: bool,
}

/// The models in the folder, by name. A folder that does not exist has none.
///
/// # Errors
/// [`SourceError::Io`] if the folder cannot be read.
pub fn list(models_dir: &Path) -> Result<Vec<InstalledModel>, SourceError> {
    if !models_dir.exists() {
        return Ok(Vec::new());
    }
    let fail = |error: std::io::Error| SourceError::io("read", models_dir, error);
    let mut models = Vec::new();
    for entry in fs::read_dir(models_dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let is_file = path.extension().is_some_and(|extension| extension == "gguf") && path.is_file();
        if is_file || path.join(WEIGHTS).is_file() {
            models.push(describe(path)?);
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

fn describe(path: PathBuf) -> Result<InstalledModel, SourceError> {
    let weights = if path.is_dir() { path.join(WEIGHTS) } else { path.clone() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size_bytes = fs::metadata(&weights).map_err(|error| SourceError::io("read", &weights, error))?.len();
    let noted = |file: &Path| fs::read_to_string(note_path(file)).ok().map(|note| note.trim().to_owned());
    let entry = CATALOGUE.iter().find(|entry| entry.place() == name);
    let stem = name.trim_end_matches(".gguf");
    Ok(InstalledModel {
        name: entry.map_or(stem, |entry| entry.name).to_owned(),
        is_catalogued: entry.is_some_and(|entry| {
            let folder = path.parent().unwrap_or(&path);
            entry.files.iter().all(|file| noted(&entry.file_path(folder, file)).as_deref() == Some(file.sha256))
        }),
        sha256: noted(&weights),
        path,
        size_bytes,
    })
}

/// The model of a name or alias, if it is in the folder.
///
/// # Errors
/// - [`SourceError::Unknown`]: there is none.
/// - [`SourceError::Io`]: the folder cannot be read.
pub fn show(models_dir: &Path, name: &str) -> Result<InstalledModel, SourceError> {
    let models = list(models_dir)?;
    let canonical = find(name).map_or(name, |entry| entry.name);
    let known = models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
    models
        .into_iter()
        .find(|model| model.name.eq_ignore_ascii_case(canonical))
        .ok_or_else(|| SourceError::Unknown { name: name.to_owned(), known })
}

/// Removes a model from the folder.
///
/// # Errors
/// As [`show`].
pub fn remove(models_dir: &Path, name: &str) -> Result<(), SourceError> {
    let model = show(models_dir, name)?;
    if model.path.is_dir() {
        return fs::remove_dir_all(&model.path).map_err(|error| SourceError::io("remove", &model.path, error));
    }
    let note = note_path(&model.path);
    fs::remove_file(&model.path).map_err(|error| SourceError::io("remove", &model.path, error))?;
    if note.exists() {
        fs::remove_file(&note).map_err(|error| SourceError::io("remove", &note, error))?;
    }
    Ok(())
}

/// Copies a GGUF file into the folder, under its own name.
///
/// # Errors
/// - [`SourceError::NotGguf`]: it is none.
/// - [`SourceError::Io`]: it cannot be read, or the folder not be written.
pub fn pull_path(file: &Path, models_dir: &Path) -> Result<InstalledModel, SourceError> {
    let mut magic = [0; 4];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    read.map_err(|error| SourceError::io("read", file, error))?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if &magic != b"GGUF" || !name.ends_with(".gguf") {
        return Err(SourceError::NotGguf { path: file.to_path_buf() });
    }
    fs::create_dir_all(models_dir).map_err(|error| SourceError::io("create", models_dir, error))?;
    let _lock = lock(models_dir, &name)?;
    let target = models_dir.join(&name);
    let staged = models_dir.join(format!("{name}.import"));
    fs::copy(file, &staged).map_err(|error| SourceError::io("copy", file, error))?;
    let files = CATALOGUE.iter().filter(|entry| entry.place() == name).flat_map(|entry| entry.files);
    let expected = files.map(|file| file.sha256).next();
    install(&staged, &target, expected)?;
    describe(target)
}

/// Gives a downloaded file its place, once its checksum and its kind are right.
pub(super) fn adopt(staged: &Path, target: &Path, sha256: &str) -> Result<InstalledModel, SourceError> {
    let mut magic = [0; 4];
    let read = File::open(staged).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_err() || &magic != b"GGUF" {
        fs::remove_file(staged).map_err(|error| SourceError::io("remove", staged, error))?;
        return Err(SourceError::NotGguf { path: target.to_path_buf() });
    }
    install(staged, target, Some(sha256))?;
    describe(target.to_path_buf())
}

/// Holds off other processes that pull the same file; released when dropped, also by a crash.
pub(super) fn lock(models_dir: &Path, file: &str) -> Result<File, SourceError> {
    let path = models_dir.join(format!(".{file}.lock"));
    let lock = File::create(&path).map_err(|error| SourceError::io("create", &path, error))?;
    lock.lock().map_err(|error| SourceError::io("lock", &path, error))?;
    Ok(lock)
}

/// Whether the right file is in its place already. One with a wrong checksum is removed.
pub(super) fn is_intact(
    target: &Path,
    file: &CatalogueFile,
    progress: &mut dyn FnMut(Progress),
) -> Result<bool, SourceError> {
    let Ok(metadata) = fs::metadata(target) else {
        return Ok(false);
    };
    let noted = fs::read_to_string(note_path(target)).unwrap_or_default();
    if metadata.len() == file.size_bytes && noted.trim() == file.sha256 {
        return Ok(true);
    }
    progress(Progress::Verifying);
    if sha256(target)? == file.sha256 {
        note(target, file.sha256)?;
        return Ok(true);
    }
    fs::remove_file(target).map_err(|error| SourceError::io("remove", target, error))?;
    Ok(false)
}

/// Checks a staged file and moves it to its place; a wrong one is removed.
pub(super) fn install(staged: &Path, target: &Path, expected: Option<&str>) -> Result<(), SourceError> {
    let found = sha256(staged)?;
    if let Some(expected) = expected
        && found != expected
    {
        fs::remove_file(staged).map_err(|error| SourceError::io("remove", staged, error))?;
        let file = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(SourceError::Checksum { file, expected: expected.to_owned(), found });
    }
    let sync = File::open(staged).and_then(|file| file.sync_all());
    sync.map_err(|error| SourceError::io("sync", staged, error))?;
    fs::rename(staged, target).map_err(|error| SourceError::io("rename", staged, error))?;
    note(target, &found)
}

fn sha256(path: &Path) -> Result<String, SourceError> {
    let fail = |error: std::io::Error| SourceError::io("read", path, error);
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(fail)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The note beside a model file that holds its checksum, so that it need not be read again every time.
fn note_path(model: &Path) -> PathBuf {
    beside(model, ".sha256")
}

/// A path with something after the file's name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

fn note(model: &Path, checksum: &str) -> Result<(), SourceError> {
    let path = note_path(model);
    let write = File::create(&path).and_then(|mut file| {
        writeln!(file, "{checksum}")?;
        file.sync_all()
    });
    write.map_err(|error| SourceError::io("write", &path, error))
}
