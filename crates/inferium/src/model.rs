//! `inferium model`: the catalogue and the models of this machine.

use crate::cli::{Failure, ModelArgs, ModelCommand, PullArgs};
use crate::home::models_dir;
use crate::output;
use crate::progress::{DownloadBar, print, say};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_engine::source::{self, CATALOGUE, CatalogueEntry, ModelKind, SourceError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The model of a network that names none.
pub(crate) const DEFAULT: &str = "smollm2-135m-instruct";

/// The embedding model of a network that names none.
pub(crate) const EMBEDDER: &str = "all-minilm-l6-v2";

fn failure(error: SourceError) -> Failure {
    match error {
        SourceError::AllFailed { .. } => Failure::network(error.to_string()),
        SourceError::Unknown { .. } => Failure::usage(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

pub(crate) fn run(command: ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::Pull(PullArgs { name, sha256, models }) => {
            pull_any(&name, sha256.as_deref(), &models_dir(models.dir))
        }
        ModelCommand::List(models) => list(&models_dir(models.dir)),
        ModelCommand::Show(ModelArgs { name, models }) => show(&name, &models_dir(models.dir)),
        ModelCommand::Rm(ModelArgs { name, models }) => {
            source::remove(&models_dir(models.dir), &name).map_err(failure)?;
            say(&format!("removed {name}"));
            if output::is_json() { output::print_json(&json!({ "removed": name })) } else { Ok(()) }
        }
    }
}

fn pull_any(name: &str, sha256: Option<&str>, dir: &Path) -> Result<(), Failure> {
    if name.starts_with("http://") || name.starts_with("https://") {
        let sha256 =
            sha256.ok_or_else(|| Failure::usage("an address needs --sha256, the checksum that the file must have"))?;
        let mut bar = DownloadBar::new(name);
        let model = source::pull_url(name, sha256, dir, &mut |progress| bar.update(progress)).map_err(failure)?;
        return pulled(&model.name, &model.path);
    }
    if sha256.is_some() {
        return Err(Failure::usage("--sha256 goes with an address; the catalogue has its own checksums"));
    }
    if source::find(name).is_none() && Path::new(name).exists() {
        let model = source::pull_path(Path::new(name), dir).map_err(failure)?;
        say(&format!("imported {} as {}", name, model.name));
        return pulled(&model.name, &model.path);
    }
    let (name, path) = fetch(name, dir)?;
    pulled(&name, &path)
}

fn pulled(name: &str, path: &Path) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(&json!({ "name": name, "path": path }));
    }
    print(&path.display().to_string())
}

/// Makes sure that a model is on this machine, and returns its name and file or folder.
pub(crate) fn pull(name: &str, wanted: ModelKind, dir: &Path) -> Result<(String, PathBuf), Failure> {
    if let Some(entry) = source::find(name)
        && entry.kind != wanted
    {
        let of = match entry.kind {
            ModelKind::Embedding => "--embeddings",
            _ => "--model",
        };
        return Err(Failure::usage(format!("{} is for {}: name it with {of}", entry.name, entry.kind)));
    }
    fetch(name, dir)
}

fn fetch(name: &str, dir: &Path) -> Result<(String, PathBuf), Failure> {
    let Some(entry) = source::find(name) else {
        let model = source::show(dir, name).map_err(failure)?;
        return Ok((model.name, model.path));
    };
    let mut bar = DownloadBar::new(entry.name);
    let path = source::pull(entry, dir, &mut |progress| bar.update(progress)).map_err(failure)?;
    Ok((entry.name.to_owned(), path))
}

fn list(dir: &Path) -> Result<(), Failure> {
    let installed = source::list(dir).map_err(failure)?;
    if output::is_json() {
        let models: Vec<_> = installed
            .iter()
            .map(|m| {
                json!({
                    "name": m.name,
                    "path": m.path,
                    "size_bytes": m.size_bytes,
                    "sha256": m.sha256,
                    "catalogued": m.is_catalogued,
                })
            })
            .collect();
        let catalogue: Vec<_> = CATALOGUE.iter().map(entry_json).collect();
        let rows: Vec<_> = models.iter().chain(&catalogue).cloned().collect();
        return output::print_json_or(&json!({"installed": models, "catalogue": catalogue}), &rows);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["model", "for", "size", "here", "licence"]);
    for entry in CATALOGUE {
        let here = installed.iter().any(|m| m.name == entry.name);
        table.add_row([
            entry.name.into(),
            entry.kind.to_string(),
            megabytes(entry.size_bytes()),
            (if here { "yes" } else { "no" }).into(),
            entry.license.to_owned(),
        ]);
    }
    for model in installed.iter().filter(|m| !m.is_catalogued) {
        let kind = if model.path.is_dir() { ModelKind::Embedding } else { ModelKind::Chat };
        let size = megabytes(model.size_bytes);
        table.add_row([model.name.clone(), kind.to_string(), size, "yes".into(), "imported".into()]);
    }
    print(&table.to_string())
}

fn show(name: &str, dir: &Path) -> Result<(), Failure> {
    let installed = source::show(dir, name).ok();
    let entry = source::find(name);
    if entry.is_none() && installed.is_none() {
        return source::show(dir, name).map(drop).map_err(failure);
    }
    if output::is_json() {
        let here = installed.map(|m| json!({"path": m.path, "size_bytes": m.size_bytes, "sha256": m.sha256}));
        return output::print_json(&json!({"catalogue": entry.map(entry_json), "installed": here}));
    }
    let mut lines = Vec::new();
    if let Some(entry) = entry {
        lines.push(format!(
            "{}\n  for      {}\n  size     {}\n  licence  {}",
            entry.name,
            entry.kind,
            megabytes(entry.size_bytes()),
            entry.license
        ));
        for file in entry.files {
            lines.push(format!("  file     {}\n  sha256   {}", file.name, file.sha256));
        }
        lines.extend(entry.sources.iter().map(|source| format!("  source   {source}")));
    }
    match installed {
        Some(model) => lines.push(format!("  here     {}", model.path.display())),
        None => lines.push(format!("  here     no; get it with: inferium model pull {name}")),
    }
    print(&lines.join("\n"))
}

fn entry_json(entry: &CatalogueEntry) -> serde_json::Value {
    json!({
        "name": entry.name,
        "aliases": entry.aliases,
        "for": entry.kind.to_string(),
        "files": entry
            .files
            .iter()
            .map(|file| json!({"name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes}))
            .collect::<Vec<_>>(),
        "size_bytes": entry.size_bytes(),
        "license": entry.license,
        "sources": entry.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}
