//! Hashes the sources, so that two trainers can tell whether they must agree.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "how a build script talks to cargo")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files that compare, keep or draw what was computed already.
const WITHOUT_INFLUENCE: [&str; 6] = ["audit", "checkpoint", "export", "folder", "tests", "verify"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("src");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        let contents = fs::read(&file)?;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(contents.len() as u64).to_le_bytes());
        hasher.update(&contents);
    }
    println!("cargo::rustc-env=INFERIUM_TRAINING_BUILD={}", hasher.finalize().to_hex());
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if WITHOUT_INFLUENCE.contains(&stem.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
