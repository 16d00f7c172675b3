//! Vectors of the ledger: `vectors/ledger/*.json` at the root, one file for each kind of operation,
//! for ledgers in other languages. `vectors/README.md` says how to read them, and
//! `vectors/check.py` recomputes them from SPEC.md alone.
//!
//! They are made here, by this ledger, and compared with what is committed. After a change of rules
//! `INFERIUM_BLESS=1 cargo test --release -p inferium-ledger vectors` writes them anew.

mod agents;
mod book;
mod capability;
mod challenges;
mod courts;
mod evidence;
mod forced;
mod foreign;
mod governance;
mod history;
mod json;
mod kinds;
mod money;
mod moot;
mod nodes;
mod pool;
mod refutations;
mod segments;
mod stake;
mod stalls;
mod statistics;
mod traces;
mod turns;
mod verdicts;
mod views;

use book::Book;
use inferium_types::{PARAMETERS, ParameterUnit, Parameters};
use json::{Json, View as _};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What writes the files instead of comparing with them.
const BLESS: &str = "INFERIUM_BLESS";

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "vectors"].iter().collect()
}

/// Every parameter with its unit, defaults and bounds: what the vectors' ledgers start from.
fn parameters() -> String {
    let (mainnet, devnet) = (Parameters::mainnet(), Parameters::devnet(4));
    let rows = PARAMETERS.iter().map(|rule| {
        let unit = match rule.unit {
            ParameterUnit::Nano => "nano",
            ParameterUnit::Ppm => "ppm",
            ParameterUnit::Milliseconds => "ms",
            ParameterUnit::Count => "count",
        };
        let row = Json::object([
            ("unit", Json::text(unit)),
            ("default", rule.value(&mainnet).view()),
            ("devnet", rule.value(&devnet).view()),
            ("min", rule.min.view()),
            ("max", rule.max.view()),
            ("is_critical", rule.is_critical.view()),
        ]);
        (rule.name, row)
    });
    Json::object([("parameters", Json::object(rows))]).document()
}

fn documents() -> BTreeMap<PathBuf, String> {
    let mut book = Book::default();
    let pages: [fn(&mut Book); 20] = [
        money::write,
        nodes::write,
        pool::write,
        segments::write,
        verdicts::write,
        stalls::write,
        evidence::write,
        stake::write,
        governance::write,
        capability::write,
        history::write,
        forced::write,
        statistics::write,
        foreign::write,
        agents::write,
        challenges::write,
        refutations::write,
        kinds::write,
        courts::write,
        turns::write,
    ];
    for write in pages {
        write(&mut book);
    }
    let mut documents = BTreeMap::from([(folder().join("parameters.json"), parameters())]);
    for (name, text) in book.documents() {
        documents.insert(folder().join("ledger").join(name), text);
    }
    documents
}

/// The first line in which two texts differ.
fn difference(committed: &str, made: &str) -> String {
    let lines = committed.lines().zip(made.lines()).enumerate();
    match lines.filter(|(_, (committed, made))| committed != made).map(|(at, pair)| (at + 1, pair)).next() {
        Some((line, (committed, made))) => format!("line {line}:\n  committed: {committed}\n  made:      {made}"),
        None => format!("{} lines are committed, {} were made", committed.lines().count(), made.lines().count()),
    }
}

#[test]
fn vectors_are_as_committed_and_no_file_is_left_over() {
    let documents = documents();
    let is_blessed = std::env::var_os(BLESS).is_some();
    if is_blessed {
        std::fs::create_dir_all(folder().join("ledger")).unwrap();
        for (path, text) in &documents {
            std::fs::write(path, text).unwrap();
        }
    }
    for (path, made) in &documents {
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == *made,
            "{} differs from what the ledger gives; {BLESS}=1 writes it anew. {}",
            path.display(),
            difference(&committed, made)
        );
    }
    for entry in std::fs::read_dir(folder().join("ledger")).unwrap() {
        let path = entry.unwrap().path();
        assert!(documents.contains_key(&path), "nothing makes {}", path.display());
    }
}
