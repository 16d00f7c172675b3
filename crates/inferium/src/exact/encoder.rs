//! `inferium exact compile` of sentence encoders.

use super::{load, refused, show};
use crate::cli::{CompileArgs, Failure};
use crate::progress::Step;
use crate::{files, home};
use inferium_engine::BertEmbedder;
use inferium_engine::source::{self, ModelKind};
use std::path::Path;

/// Largest file of texts that is read, in bytes.
const TEXTS_BYTES_MAX: u64 = 1 << 26;

/// Whether this is a sentence encoder rather than a file: a folder, or a name that the catalogue has.
pub(super) fn is_named(weights: &Path) -> bool {
    weights.is_dir() || (!weights.exists() && known(weights).is_some())
}

fn known(weights: &Path) -> Option<&str> {
    weights.to_str().filter(|name| source::find(name).is_some_and(|entry| entry.kind == ModelKind::Embedding))
}

/// Makes the folder that `inferium up --embeddings` serves.
pub(super) fn make(arguments: &CompileArgs) -> Result<(), Failure> {
    let CompileArgs { weights, calibration, out, name, force, input_range, input_scale, models } = arguments;
    if input_range.is_some() || input_scale.is_some() {
        return Err(refused(weights, &"a sentence encoder reads tokens, which have no range and scale of their own"));
    }
    if out.extension().is_some_and(|ending| ending == "ifx") {
        return Err(Failure::usage("a sentence encoder and its tokenizer go to a folder: name one with --out"));
    }
    if !force {
        files::check_free(out, false)?;
    }
    let texts = texts(calibration)?;
    let folder = match known(weights).filter(|_| !weights.exists()) {
        Some(name) => crate::model::pull(name, ModelKind::Embedding, &home::models_dir(models.dir.clone()))?.1,
        None => weights.clone(),
    };
    let folder = if folder.is_dir() { folder } else { folder.parent().unwrap_or(&folder).to_owned() };
    let own = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let step = Step::begin(&format!("compiles with {} texts", texts.len()));
    let made = BertEmbedder::compile_integers(&folder, name.as_ref().unwrap_or(&own), &texts);
    let made = made.map_err(|error| refused(weights, &error))?;
    step.done();
    std::fs::create_dir_all(out).map_err(|error| Failure::failed(format!("cannot make {}: {error}", out.display())))?;
    let file = out.join("model.ifx");
    if *force && file.exists() {
        // Until both are written there is no model: never a new tokenizer beside an old one.
        std::fs::remove_file(&file)
            .map_err(|error| Failure::failed(format!("cannot remove {}: {error}", file.display())))?;
    }
    for (name, bytes) in &made {
        files::write(&out.join(name), bytes, *force)?;
    }
    show(&file, &load(&file)?)
}

/// The lines of a file that are not empty.
fn texts(path: &Path) -> Result<Vec<String>, Failure> {
    let bytes = files::read(path, TEXTS_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| refused(path, &"not a text in UTF-8"))?;
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { Err(refused(path, &"there is no text in it")) } else { Ok(lines) }
}
