//! The house keeps its own rules: arrows between crates, and files that stay readable.

#![expect(clippy::expect_used, reason = "a test that can't read the sources has to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file at most; tests of a file are in a file of their own.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Crate and what it may use, as the table of ARCHITECTURE.md says.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        let is_crate = name == "inferium" || name.starts_with("inferium-");
        let uses = cells.get(2)?.split(',').map(str::trim).filter(|word| !word.is_empty());
        is_crate.then(|| (name.to_owned(), uses.map(|word| format!("inferium-{word}")).collect()))
    });
    rows.collect()
}

fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("crates")).expect("there are crates");
    entries.map(|entry| entry.expect("readable").path()).collect()
}

/// Our own crates in the `[dependencies]` of a manifest.
fn used(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
    names.filter(|name| name.starts_with("inferium-")).map(str::to_owned).collect()
}

#[test]
fn every_crate_uses_only_what_the_map_allows() {
    let documented = documented();
    let found: BTreeSet<String> =
        crates().iter().map(|path| path.file_name().expect("named").to_string_lossy().into_owned()).collect();
    assert_eq!(found, documented.keys().cloned().collect(), "the map names other crates than there are");
    for path in crates() {
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        let extra: Vec<_> = used(&manifest).difference(&documented[&name]).cloned().collect();
        assert!(extra.is_empty(), "{name} uses {extra:?} without an arrow in ARCHITECTURE.md");
    }
}

#[test]
fn pure_crates_have_no_io_and_forbid_unsafe_code() {
    for name in ["inferium-types", "inferium-ledger", "inferium-sampling"] {
        let path = root().join("crates").join(name);
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        for word in ["tokio", "reqwest", "axum", "redb", "rand "] {
            let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
            assert!(!dependencies.lines().any(|line| line.starts_with(word)), "{name} depends on {word}");
        }
        let lib = fs::read_to_string(path.join("src/lib.rs")).expect("a lib.rs");
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{name} may use unsafe code");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn source_files_stay_short() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    assert!(found.len() > 50, "the sources are not where this test looks");
    for path in found {
        let lines = fs::read_to_string(&path).expect("readable").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; {LINES_MAX} are allowed", path.display());
    }
}
