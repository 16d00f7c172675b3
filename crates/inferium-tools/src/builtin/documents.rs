//! `documents`: lists, reads and searches the texts of the folder.
//!
//! Passages are ranked by the cosine of their vectors with the question's where the host gives an endpoint for
//! embeddings, else by words (BM25); each answer says by which.

mod passages;
mod vectors;

use super::folder::Folder;
use super::{Tools, read, schema, unknown};
use crate::host::Embeddings;
use bm25::{SearchEngineBuilder, Tokenizer};
use futures::future::BoxFuture;
use passages::{Passage, passages};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use vectors::Vectors;

/// Bytes of a file that is read or searched.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Bytes of all files that are searched.
const SEARCHED_BYTES_MAX: u64 = 32 << 20;

/// Lines that are read at once, if not asked otherwise.
const LINES_DEFAULT: usize = 200;

/// Passages that are found at most.
const PASSAGES_MAX: usize = 20;

pub(super) struct Documents {
    folder: Folder,
    vectors: Option<Vectors>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArguments {
    path: String,
    from_line: Option<usize>,
    lines: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    query: String,
    k: Option<usize>,
}

/// Words as people search them: letters and digits, in small letters.
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    }
}

impl Documents {
    pub(super) fn new(folder: Folder, embeddings: Option<Embeddings>) -> Result<Self, String> {
        Ok(Self { folder, vectors: embeddings.map(Vectors::new).transpose()? })
    }

    fn list_files(&self) -> Result<String, String> {
        let (files, more) = self.folder.files()?;
        if files.is_empty() {
            return Ok("the folder is empty".to_owned());
        }
        let mut words = String::new();
        for file in &files {
            let _ = writeln!(words, "{} ({} bytes)", file.path, file.bytes);
        }
        if more {
            words.push_str("[there are more]\n");
        }
        Ok(words)
    }

    fn read(&self, arguments: &ReadArguments) -> Result<String, String> {
        let text = self.folder.text(&arguments.path, FILE_BYTES_MAX)?;
        let first = arguments.from_line.unwrap_or(1).max(1);
        let count = arguments.lines.unwrap_or(LINES_DEFAULT).max(1);
        let lines: Vec<&str> = text.lines().collect();
        let part: Vec<&str> = lines.iter().skip(first.saturating_sub(1)).take(count).copied().collect();
        if part.is_empty() {
            return Ok(format!("{} has {} lines", arguments.path, lines.len()));
        }
        let last = first.saturating_sub(1).saturating_add(part.len());
        Ok(format!("{}, lines {first} to {last} of {}:\n{}", arguments.path, lines.len(), part.join("\n")))
    }

    async fn search(&self, arguments: &SearchArguments) -> Result<String, String> {
        let query = arguments.query.trim();
        let k = arguments.k.unwrap_or(5);
        if query.is_empty() || !(1..=PASSAGES_MAX).contains(&k) {
            return Err(format!("query is not empty, k is 1 to {PASSAGES_MAX}"));
        }
        let (passages, skipped) = self.passages()?;
        let (mut ranked, by) = match &self.vectors {
            Some(vectors) => match vectors.rank(query, &passages).await {
                Ok(ranked) => (ranked, "by meaning (vectors)".to_owned()),
                // Words find something as well, and a run has no other try.
                Err(reason) => {
                    (by_words(query, &passages), format!("by words (BM25), since there are no vectors: {reason}"))
                }
            },
            None => (by_words(query, &passages), "by words (BM25)".to_owned()),
        };
        // Of two that are as good the earlier one, whatever order they were found in.
        ranked.sort_by(|(a, left), (b, right)| right.total_cmp(left).then(a.cmp(b)));
        ranked.truncate(k);
        let mut words = format!("{} of {} passages, ranked {by}", ranked.len(), passages.len());
        if skipped > 0 {
            let _ = write!(words, "; files that are no texts, or too large to search: {skipped}");
        }
        words.push('\n');
        for (rank, (index, score)) in ranked.iter().enumerate() {
            let Some(passage) = passages.get(*index) else { continue };
            let Passage { path, first_line, last_line, text } = passage;
            let rank = rank.saturating_add(1);
            let _ = write!(words, "\n{rank}. {path}, lines {first_line} to {last_line}, score {score:.3}\n{text}\n");
        }
        Ok(words)
    }

    /// All passages of the folder's texts, and how many files hold none.
    fn passages(&self) -> Result<(Vec<Passage>, usize), String> {
        let (mut found, mut skipped, mut left) = (Vec::new(), 0_usize, SEARCHED_BYTES_MAX);
        for file in self.folder.files()?.0 {
            let text = (file.bytes <= left.min(FILE_BYTES_MAX)).then(|| self.folder.text(&file.path, FILE_BYTES_MAX));
            match text {
                Some(Ok(text)) => {
                    left = left.saturating_sub(file.bytes);
                    found.extend(passages(&file.path, &text));
                }
                Some(Err(_)) | None => skipped = skipped.saturating_add(1),
            }
        }
        Ok((found, skipped))
    }

    async fn do_call(&self, tool: &str, arguments: Value) -> Result<String, String> {
        match tool {
            "list" => read::<Nothing>(arguments).and_then(|Nothing {}| self.list_files()),
            "read" => self.read(&read(arguments)?),
            "search" => self.search(&read(arguments)?).await,
            _ => Err(unknown(tool)),
        }
    }
}

/// Passages that have a word of the question, with their scores.
fn by_words(query: &str, passages: &[Passage]) -> Vec<(usize, f64)> {
    if passages.is_empty() {
        return Vec::new();
    }
    let texts = passages.iter().map(|passage| passage.text.clone());
    let engine = SearchEngineBuilder::<u32, u32, Words>::with_tokenizer_and_corpus(Words, texts).build();
    let found = engine.search(query, None).into_iter();
    found.filter_map(|hit| Some((usize::try_from(hit.document.id).ok()?, f64::from(hit.score)))).collect()
}

impl Tools for Documents {
    fn list(&self) -> Vec<(&'static str, String, Value)> {
        let path = json!({"type": "string", "description": "a path as `list` shows it"});
        let line = json!({"type": "integer", "minimum": 1, "description": "first line, 1 if not given"});
        let lines = json!({"type": "integer", "minimum": 1, "description": "how many lines, 200 if not given"});
        let query = json!({"type": "string", "description": "what the passages are to be about"});
        let k = json!({"type": "integer", "minimum": 1, "maximum": PASSAGES_MAX, "description": "how many passages, 5 if not given"});
        let by = if self.vectors.is_some() { "by meaning" } else { "by the words they share with the query" };
        vec![
            ("list", "Lists the files of the folder, with their sizes.".to_owned(), schema(&[], 0)),
            (
                "read",
                "Reads lines of a text file.".to_owned(),
                schema(&[("path", path), ("from_line", line), ("lines", lines)], 1),
            ),
            (
                "search",
                format!("Finds the passages of all text files that fit a query best, {by}, and says where they are."),
                schema(&[("query", query), ("k", k)], 1),
            ),
        ]
    }

    fn call<'a>(&'a self, tool: &'a str, arguments: Value) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.do_call(tool, arguments))
    }
}

#[cfg(test)]
mod tests;
