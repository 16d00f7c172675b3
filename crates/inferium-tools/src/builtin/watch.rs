//! `watch`: what is new in a text since an earlier run.

use super::folder::Folder;
use super::{Tools, read, schema, unknown};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::fmt::Write as _;
use std::time::Duration;

/// Bytes of a text at most.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Changed lines that are shown at most.
const LINES_MAX: usize = 200;

/// After this long a difference is found that is right but may not be the shortest.
const DIFF_TIME: Duration = Duration::from_secs(5);

/// What the name of a file ends with that is as it was in the run before.
const PREVIOUS: &str = ".previous";

pub(super) struct Watch {
    folder: Folder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    name: String,
    text: String,
}

impl Watch {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    fn compare(&self, name: &str, text: &str) -> Result<String, String> {
        let Some(old) = self.folder.kept(name, TEXT_BYTES_MAX)? else {
            return Ok(format!("nothing is remembered as {name:?} yet: all of it is new"));
        };
        Ok(difference(&old, text))
    }

    /// What changed in the files of the run since the run before, of which each is there as `NAME.previous`.
    fn changes(&self) -> Result<String, String> {
        let (files, _) = self.folder.files()?;
        let is_now = |file: &&super::folder::Entry| !file.path.ends_with(PREVIOUS);
        let mut words = String::new();
        for file in files.iter().filter(is_now) {
            let before = format!("{}{PREVIOUS}", file.path);
            let told = match files.iter().find(|other| other.path == before) {
                Some(other) => difference(
                    &self.folder.text(&other.path, TEXT_BYTES_MAX)?,
                    &self.folder.text(&file.path, TEXT_BYTES_MAX)?,
                ),
                None => "it was not there before".to_owned(),
            };
            let _ = writeln!(words, "{}: {}", file.path, told.trim_end());
        }
        for gone in files.iter().filter_map(|file| file.path.strip_suffix(PREVIOUS)) {
            if !files.iter().any(|file| file.path == gone) {
                let _ = writeln!(words, "{gone}: it is gone");
            }
        }
        Ok(if words.is_empty() { "the folder has no files".to_owned() } else { words })
    }

    fn remember(&self, name: &str, text: &str) -> Result<String, String> {
        self.folder.keep(name, text)?;
        Ok(format!("remembered {} lines as {name:?}", text.lines().count()))
    }

    fn do_call(&self, tool: &str, arguments: Value) -> Result<String, String> {
        if tool == "changes" {
            return read::<Nothing>(arguments).and_then(|Nothing {}| self.changes());
        }
        let Arguments { name, text } = read(arguments)?;
        let is_name = (1..=64).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && !name.starts_with('.');
        if !is_name {
            return Err(format!("name: 1 to 64 of a-z, A-Z, 0-9, -, _ and ., not beginning with a dot; not {name:?}"));
        }
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > TEXT_BYTES_MAX {
            return Err(format!("text: at most {TEXT_BYTES_MAX} bytes"));
        }
        match tool {
            "compare" => self.compare(&name, &text),
            "remember" => self.remember(&name, &text),
            _ => Err(unknown(tool)),
        }
    }
}

/// Lines that were added and removed.
fn difference(old: &str, new: &str) -> String {
    let difference = TextDiff::configure().timeout(DIFF_TIME).diff_lines(old, new);
    let changed = difference.iter_all_changes().filter_map(|change| match change.tag() {
        ChangeTag::Equal => None,
        ChangeTag::Delete => Some(('-', change.value())),
        ChangeTag::Insert => Some(('+', change.value())),
    });
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() {
        return "nothing changed".to_owned();
    }
    let count = |sign: char| changed.iter().filter(|(of, _)| *of == sign).count();
    let mut words = format!("{} lines added (+), {} removed (-):\n", count('+'), count('-'));
    for (sign, line) in changed.iter().take(LINES_MAX) {
        let _ = writeln!(words, "{sign} {}", line.trim_end_matches(['\r', '\n']));
    }
    if changed.len() > LINES_MAX {
        let _ = writeln!(words, "[{} more]", changed.len().saturating_sub(LINES_MAX));
    }
    words
}

impl Tools for Watch {
    fn list(&self) -> Vec<(&'static str, String, Value)> {
        let arguments = schema(
            &[
                ("name", json!({"type": "string", "description": "what the text is remembered as, such as prices"})),
                ("text", json!({"type": "string", "description": "the text as it is now"})),
            ],
            2,
        );
        let compare = "Tells which lines were added to a text and removed from it since it was remembered, in this run or an earlier one.";
        let remember = "Remembers a text for later runs, in place of the one remembered before.";
        let changes = "Tells which lines of each file were added and removed since the run before.";
        vec![
            ("changes", changes.to_owned(), schema(&[], 0)),
            ("compare", compare.to_owned(), arguments.clone()),
            ("remember", remember.to_owned(), arguments),
        ]
    }

    fn call<'a>(&'a self, tool: &'a str, arguments: Value) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move { self.do_call(tool, arguments) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Watch};
    use crate::testing::Scratch;
    use serde_json::json;

    fn call(scratch: &Scratch, tool: &str, name: &str, text: &str) -> Result<String, String> {
        // Each call as another run makes it.
        Watch::new(Folder::open(scratch.path()).unwrap()).do_call(tool, json!({"name": name, "text": text}))
    }

    #[test]
    fn changes_are_told_from_run_to_run() {
        let scratch = Scratch::new("watch");
        assert!(call(&scratch, "compare", "prices", "a\n").unwrap().contains("all of it is new"));
        assert_eq!(call(&scratch, "remember", "prices", "a\nb\nc\n").unwrap(), "remembered 3 lines as \"prices\"");
        assert_eq!(call(&scratch, "compare", "prices", "a\nb\nc\n").unwrap(), "nothing changed");
        let changed = call(&scratch, "compare", "prices", "a\nB\nc\nd\n").unwrap();
        assert_eq!(changed, "2 lines added (+), 1 removed (-):\n- b\n+ B\n+ d\n");
        assert!(call(&scratch, "compare", "news", "a\n").unwrap().contains("all of it is new"), "names are apart");
    }

    #[test]
    fn changes_of_files_are_told_by_what_the_run_before_had() {
        let scratch = Scratch::new("watch-files");
        let changes = || Watch::new(Folder::open(scratch.path()).unwrap()).do_call("changes", json!({})).unwrap();
        assert_eq!(changes(), "the folder has no files");
        let write = |name: &str, text: &str| std::fs::write(scratch.path().join(name), text).unwrap();
        write("a.txt", "one\ntwo\n");
        assert_eq!(changes(), "a.txt: it was not there before\n");
        write("a.txt.previous", "one\ntwo\n");
        assert_eq!(changes(), "a.txt: nothing changed\n");
        write("a.txt.previous", "one\n");
        write("b.txt.previous", "x\n");
        assert_eq!(changes(), "a.txt: 1 lines added (+), 0 removed (-):\n+ two\nb.txt: it is gone\n");
    }

    #[test]
    fn names_stay_in_their_folder() {
        let scratch = Scratch::new("watch-names");
        for name in ["", "../a", "a/b", ".a", "ä", &"a".repeat(65)] {
            assert!(call(&scratch, "remember", name, "text").unwrap_err().starts_with("name:"), "{name:?}");
        }
        let long = "x".repeat((1 << 20) + 1);
        assert!(call(&scratch, "remember", "a", &long).unwrap_err().starts_with("text:"));
        assert!(call(&scratch, "forget", "a", "").unwrap_err().contains("no tool"));
    }

    #[test]
    fn long_changes_are_cut() {
        let scratch = Scratch::new("watch-long");
        call(&scratch, "remember", "a", "").unwrap();
        let lines: String = (0..500).map(|n| format!("{n}\n")).collect();
        let changed = call(&scratch, "compare", "a", &lines).unwrap();
        assert!(changed.starts_with("500 lines added (+), 0 removed (-):\n+ 0\n"), "{changed}");
        assert!(changed.ends_with("+ 199\n[300 more]\n"), "{changed}");
    }
}
