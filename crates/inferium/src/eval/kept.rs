//! A run's file while it grows: each answer is a line, written before it counts.

use crate::cli::Failure;
use inferium_eval::{ItemRecord, Line, ReceiptRecord, Results, RunHead, Summary};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;

/// What a run has so far, and the file that it is kept in, if there is one.
pub(super) struct Kept {
    file: Option<File>,
    pub(super) results: Results,
}

impl Kept {
    /// Of no file: what is measured is shown and forgotten.
    pub(super) const fn nowhere(head: RunHead) -> Self {
        Self { file: None, results: Results::begin(head) }
    }

    /// Begins a file, or goes on with one of the same run. A line that was cut off is dropped, and so is the summary, which is
    /// written anew at the end.
    pub(super) fn open(path: &Path, head: RunHead) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(&error)),
        };
        let whole = text.get(..Results::whole(&text)).unwrap_or_default();
        let open = |length: usize| -> Result<File, Failure> {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| failed(&error))?;
            // Two runs would each ask everything, and write it twice. The lock ends with the process.
            file.try_lock().map_err(|error| match error {
                TryLockError::WouldBlock => Failure::usage(format!("{}: another run writes to it", path.display())),
                TryLockError::Error(error) => failed(&error),
            })?;
            file.set_len(u64::try_from(length).unwrap_or(u64::MAX)).map_err(|error| failed(&error))?;
            Ok(file)
        };
        if text.is_empty() {
            let mut kept = Self { file: Some(open(0)?), results: Results::begin(head.clone()) };
            kept.write(&Line::Run(Box::new(head)))?;
            return Ok(kept);
        }
        // What is no run is somebody's, and stays as it is.
        let mut results = Results::parse(whole)
            .map_err(|error| Failure::usage(format!("{} is no run to go on with: {error}", path.display())))?;
        if let Some(field) = difference(&results.head, &head) {
            return Err(Failure::usage(format!(
                "{} is of another run, with another {field}: name another --out",
                path.display()
            )));
        }
        let without_summary = whole.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
        let length = if results.summary.take().is_some() { without_summary } else { whole.len() };
        Ok(Self { file: Some(open(length)?), results })
    }

    pub(super) fn add_item(&mut self, item: ItemRecord) -> Result<(), Failure> {
        self.write(&Line::Item(item.clone()))?;
        self.results.items.push(item);
        Ok(())
    }

    pub(super) fn add_receipt(&mut self, receipt: ReceiptRecord) -> Result<(), Failure> {
        self.write(&Line::Receipt(receipt.clone()))?;
        self.results.receipts.insert(receipt.job, receipt.document);
        Ok(())
    }

    pub(super) fn finish(&mut self, summary: Summary) -> Result<(), Failure> {
        self.write(&Line::Summary(summary.clone()))?;
        self.results.summary = Some(summary);
        Ok(())
    }

    /// One write for each line, so that a kill leaves whole lines and at most one that is cut off.
    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("an answer can't be kept: {error}"));
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_string(line).map_err(|error| failed(&error))?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(|error| failed(&error))
    }
}

/// What two runs differ in, if answers of one can't stand in the other.
fn difference(kept: &RunHead, head: &RunHead) -> Option<&'static str> {
    let equal = [
        ("suite", kept.suite_id == head.suite_id),
        ("model", kept.model == head.model),
        ("root of the model's weights", kept.weights_root == head.weights_root),
        ("model profile", kept.model_profile == head.model_profile),
        ("seed", kept.seed == head.seed),
        ("limit", kept.items == head.items),
    ];
    equal.into_iter().find(|(_, is_equal)| !is_equal).map(|(field, _)| field)
}

#[cfg(test)]
mod tests;
