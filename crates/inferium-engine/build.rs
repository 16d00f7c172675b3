//! Hashes everything that can change a result, so that two engines can tell whether they must agree.

#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Crates whose version may change results, by name in the lock file.
const INFLUENTIAL: [&str; 13] = [
    "blake3",
    "candle-core",
    // What a grammar allows.
    "derivre",
    "libm",
    "llguidance",
    "minijinja",
    "minijinja-contrib",
    "safetensors",
    "tokenizers",
    "toktrie",
    // What letters and accents are, for tokenizers.
    "unicode-normalization-alignments",
    "unicode_categories",
    "inferium-sampling",
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut hasher = blake3::Hasher::new();
    for folder in ["src", "../inferium-sampling/src"] {
        let folder_path = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder_path.display());
        let mut files = Vec::new();
        collect(&folder_path, &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(&root).or_else(|_| file.strip_prefix(&folder_path)).unwrap_or(&file);
            let contents = fs::read(&file)?;
            hasher.update(&(name.as_os_str().len() as u64).to_le_bytes());
            hasher.update(name.to_string_lossy().as_bytes());
            hasher.update(&(contents.len() as u64).to_le_bytes());
            hasher.update(&contents);
        }
    }
    let lock = root.join("../../Cargo.lock");
    if let Ok(text) = fs::read_to_string(&lock) {
        println!("cargo::rerun-if-changed={}", lock.display());
        hasher.update(influential_versions(&text).as_bytes());
    }
    println!("cargo::rustc-env=INFERIUM_ENGINE_BUILD={}", hasher.finalize().to_hex());
    Ok(())
}

/// Files that fetch models, compare results that are there already, or compute others than the canonical ones.
const WITHOUT_INFLUENCE: [&str; 8] =
    ["llamacpp", "source", "fixed", "gross", "sequential", "sketch", "calibration", "measures"];

/// All Rust files below a folder that can change a result.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".rs").unwrap_or(&name);
        if stem == "tests" || WITHOUT_INFLUENCE.contains(&stem) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// `name version` of each influential crate of the lock file, a line each.
fn influential_versions(lock: &str) -> String {
    let mut found = String::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = value.trim_matches('"');
        } else if let Some(value) = line.strip_prefix("version = ")
            && INFLUENTIAL.contains(&name)
        {
            found.push_str(&format!("{name} {}\n", value.trim_matches('"')));
        }
    }
    found
}
