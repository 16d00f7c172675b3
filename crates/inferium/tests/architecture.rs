//! The house keeps its own rules: arrows between crates, and files that stay readable.

#![expect(clippy::expect_used, reason = "a test that can't read the sources has to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file at most; tests of a file are in a file of their own.
const LINES_MAX: usize = 800;

/// Modules of the standard library that pure crates have no use for.
const IMPURE: [&str; 6] = ["env", "fs", "net", "process", "thread", "time"];

/// The pure crate that has unsafe code, for instructions of a processor, and the one file of it that may.
const UNSAFE: [(&str, &str); 1] = [("inferium-exact", "src/kernel/x86.rs")];

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
fn every_crate_uses_exactly_what_the_map_says() {
    let documented = documented();
    let found: BTreeSet<String> =
        crates().iter().map(|path| path.file_name().expect("named").to_string_lossy().into_owned()).collect();
    assert_eq!(found, documented.keys().cloned().collect(), "the map names other crates than there are");
    for path in crates() {
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        assert_eq!(used(&manifest), documented[&name], "what {name} uses, and its row of ARCHITECTURE.md");
    }
}

#[test]
fn pure_crates_have_no_io_and_forbid_unsafe_code() {
    for name in
        ["inferium-types", "inferium-ledger", "inferium-sampling", "inferium-eval", "inferium-exact", "inferium-zk"]
    {
        let path = root().join("crates").join(name);
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        for word in ["tokio", "reqwest", "axum", "redb", "rand "] {
            let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
            assert!(!dependencies.lines().any(|line| line.starts_with(word)), "{name} depends on {word}");
        }
        let lib = fs::read_to_string(path.join("src/lib.rs")).expect("a lib.rs");
        let mut found = Vec::new();
        sources(&path.join("src"), &mut found);
        match UNSAFE.iter().find(|(of, _)| *of == name) {
            None => assert!(lib.contains("#![forbid(unsafe_code)]"), "{name} may use unsafe code"),
            Some((_, only)) => {
                assert!(lib.contains("#![deny(unsafe_code)]"), "{name} may use unsafe code anywhere");
                for source in &found {
                    let text = fs::read_to_string(source).expect("readable");
                    let may = text.contains("expect(unsafe_code");
                    assert_eq!(may, source.ends_with(only), "{}: unsafe code is in {only} alone", source.display());
                    assert!(!text.contains("allow(unsafe_code"), "{} allows unsafe code", source.display());
                }
            }
        }
        for source in found.iter().filter(|path| !is_test(path)) {
            let modules = std_modules(&fs::read_to_string(source).expect("readable"));
            let impure: Vec<_> = IMPURE.iter().filter(|module| modules.contains(**module)).collect();
            assert!(impure.is_empty(), "{} uses std's {impure:?}", source.display());
        }
    }
}

#[test]
fn the_standard_librarys_modules_are_found_however_they_are_named() {
    let text = "use std::{\n    collections::BTreeMap,\n    fs::{self, File},\n    net,\n};\nlet t = std::time::Instant::now();";
    let expected = ["collections", "BTreeMap", "fs", "self", "File", "net", "time"];
    assert_eq!(std_modules(text), expected.map(str::to_owned).into());
}

/// Modules of the standard library that a text names; of a group also what is named below them.
fn std_modules(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let named = text.split("std::").skip(1).flat_map(|rest| {
        let named = match rest.strip_prefix('{') {
            Some(group) => group.split(';').next().unwrap_or_default(),
            None => rest.split(|c| !is_word(c)).next().unwrap_or_default(),
        };
        named.split(move |c| !is_word(c)).filter(|word| !word.is_empty())
    });
    named.map(str::to_owned).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
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
