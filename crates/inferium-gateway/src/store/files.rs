//! Files of keys and the batches that work on them.
//!
//! The result of a batch's line is one write together with the counts that it changes, so a kill loses no line that was answered, and
//! none is answered twice for one output. Output files hold nothing of their own: they are the lines, read in their order.

use super::{GatewayStore, StoreError};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::{Table, Transaction};
use inferium_types::{Amount, Digest};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// By owner and id.
const FILES: Table<(Digest, Digest), FileRecord> = Table::new("files");
/// What was uploaded, by the file's id.
const CONTENTS: Table<Digest, Vec<u8>> = Table::new("contents");
/// By owner and id.
const BATCHES: Table<(Digest, Digest), BatchRecord> = Table::new("batches");
/// By batch and number, from 0.
const LINES: Table<(Digest, u32), LineRecord> = Table::new("lines");

/// What is kept for each key.
const KEPT: Table<Digest, Kept> = Table::new("files-kept");

/// Lines that are read or removed at a time, at most, and their bytes, unless one alone has more.
pub(crate) const PAGE: usize = 256;
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Files of a key, those that batches made among them, and their bytes. Answers of a batch count as soon as they are there.
pub(crate) const FILES_MAX: usize = 1_000;
pub(crate) const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Batches of a key that are shown, and those of them that are not done.
pub(crate) const BATCHES_MAX: usize = 1_000;
pub(crate) const OPEN_MAX: usize = 16;
/// For how long a request with an `idempotency-key` gets what the first one made, and an SDK's retry what its first try did.
const NAMED_MS: u64 = 600_000;
const RETRIED_MS: u64 = 60_000;

/// Where a file's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum FileContent {
    Uploaded,
    /// The answers of this batch.
    Output(Digest),
    /// The lines of this batch that have no answer.
    Errors(Digest),
}

/// A file of a key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct FileRecord {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Milliseconds since 1970, as all times here.
    pub(crate) created_at_ms: u64,
    pub(crate) expires_at_ms: u64,
    pub(crate) content: FileContent,
    /// Of what was uploaded.
    pub(crate) digest: Digest,
    /// Hash of the `idempotency-key` that it was sent with.
    pub(crate) named: Option<Digest>,
}

/// What the files and batches of a key are in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Kept {
    files: u32,
    /// Of files, and of the answers of batches that have not ended.
    bytes: u64,
    batches: u32,
    /// Batches that have not ended.
    open: u32,
}

/// How a client says that it may have sent a request before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repetition {
    /// Hash of its `idempotency-key`.
    pub(crate) named: Option<Digest>,
    /// An SDK says that it sends it again.
    pub(crate) is_retry: bool,
}

/// What became of a request to make something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Made<T> {
    New(Digest, T),
    /// An earlier try made it.
    Known(Digest, T),
    /// The key has as many as it may have.
    Full,
    /// Its `idempotency-key` made something else.
    OtherThanNamed,
}

impl Repetition {
    /// What of `all` that its key has this request made before.
    fn find<T: Kind>(
        &self,
        wanted: &T,
        all: impl FnOnce() -> Result<Vec<(Digest, T)>, StoreError>,
    ) -> Result<Option<Made<T>>, StoreError> {
        let kept_ms = match (self.named, self.is_retry) {
            (Some(_), _) => NAMED_MS,
            (None, true) => RETRIED_MS,
            (None, false) => return Ok(None),
        };
        let now_ms = wanted.made().1;
        let mut recent = all()?.into_iter().filter(|(_, one)| one.made().1.saturating_add(kept_ms) > now_ms);
        let found = match self.named {
            Some(_) => recent.find(|(_, one)| one.made().0 == self.named),
            // What is over was no first try of something that is wanted now.
            None => recent.filter(|(_, one)| one.is_as(wanted) && !one.is_over()).max_by_key(|(_, one)| one.made().1),
        };
        Ok(found.map(|(id, one)| if one.is_as(wanted) { Made::Known(id, one) } else { Made::OtherThanNamed }))
    }
}

/// What clients have made.
trait Kind {
    /// Hash of the `idempotency-key` that it was made with, and when; milliseconds.
    fn made(&self) -> (Option<Digest>, u64);
    /// True if both were asked for alike.
    fn is_as(&self, other: &Self) -> bool;
    fn is_over(&self) -> bool;
}

impl Kind for FileRecord {
    fn made(&self) -> (Option<Digest>, u64) {
        (self.named, self.created_at_ms)
    }

    fn is_as(&self, other: &Self) -> bool {
        (&self.name, self.digest) == (&other.name, other.digest)
    }

    fn is_over(&self) -> bool {
        false
    }
}

impl Kind for BatchRecord {
    fn made(&self) -> (Option<Digest>, u64) {
        (self.named, self.created_at_ms)
    }

    fn is_as(&self, other: &Self) -> bool {
        (self.input, self.endpoint, &self.metadata) == (other.input, other.endpoint, &other.metadata)
    }

    fn is_over(&self) -> bool {
        self.status.has_ended()
    }
}

/// What a batch's lines ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Responses,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses];

    pub(crate) const fn url(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
        }
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum BatchStatus {
    Validating,
    InProgress,
    /// Lines that were begun are ended, others are not begun.
    Cancelling,
    Completed,
    Failed,
    Expired,
    Cancelled,
}

impl BatchStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::InProgress => "in_progress",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired | Self::Cancelled)
    }
}

/// Why a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    /// Of the input file, from 1.
    pub(crate) line: Option<u32>,
}

/// A batch of a key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BatchRecord {
    pub(crate) input: Digest,
    pub(crate) endpoint: Endpoint,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) status: BatchStatus,
    pub(crate) created_at_ms: u64,
    pub(crate) expires_at_ms: u64,
    pub(crate) in_progress_at_ms: Option<u64>,
    pub(crate) cancelling_at_ms: Option<u64>,
    pub(crate) ended_at_ms: Option<u64>,
    /// Lines in all.
    pub(crate) total: u32,
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) output_size: u64,
    pub(crate) errors_size: u64,
    pub(crate) cost: Amount,
    pub(crate) output: Option<Digest>,
    pub(crate) errors: Option<Digest>,
    pub(crate) faults: Vec<Fault>,
    /// Hash of the `idempotency-key` that it was asked for with.
    pub(crate) named: Option<Digest>,
}

/// What became of a batch's line.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LineRecord {
    /// It is of the error file.
    pub(crate) is_error: bool,
    /// JSON, without an end of line.
    pub(crate) text: String,
}

impl GatewayStore {
    /// Files of a key.
    pub(crate) fn files(&self, owner: Digest) -> Result<Vec<(Digest, FileRecord)>, StoreError> {
        // Those that batches made come on top of those that a key may send.
        self.of_owner(FILES, owner, FILES_MAX + 2 * BATCHES_MAX)
    }

    pub(crate) fn file(&self, owner: Digest, id: Digest) -> Result<Option<FileRecord>, StoreError> {
        self.store.get(FILES, &(owner, id))
    }

    /// Keeps a file, unless it is there already or its key has too much.
    pub(crate) fn put_file(
        &self,
        owner: Digest,
        record: FileRecord,
        content: &Vec<u8>,
        repetition: Repetition,
    ) -> Result<Made<FileRecord>, StoreError> {
        self.store.write(|tx| {
            // Nobody else writes meanwhile, so that what is read beside this transaction stands.
            if let Some(made) = repetition.find(&record, || self.files(owner))? {
                return Ok(made);
            }
            let kept: Kept = tx.get(KEPT, &owner)?.unwrap_or_default();
            let bytes = kept.bytes.saturating_add(record.size);
            if usize::try_from(kept.files).is_ok_and(|files| files >= FILES_MAX) || bytes > BYTES_MAX {
                return Ok(Made::Full);
            }
            let id = Digest::from(rand::random::<[u8; 32]>());
            tx.put(KEPT, &owner, &Kept { files: kept.files.saturating_add(1), bytes, ..kept })?;
            tx.put(CONTENTS, &id, content)?;
            tx.put(FILES, &(owner, id), &record)?;
            Ok(Made::New(id, record))
        })
    }

    /// True while a key may keep more.
    pub(crate) fn has_room(&self, owner: Digest) -> Result<bool, StoreError> {
        Ok(self.store.get(KEPT, &owner)?.unwrap_or_default().bytes < BYTES_MAX)
    }

    /// What was uploaded as this file.
    pub(crate) fn content(&self, id: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(CONTENTS, &id)
    }

    /// Forgets a file and what is in it.
    pub(crate) fn remove_file(&self, owner: Digest, id: Digest) -> Result<(), StoreError> {
        let Some(record) = self.file(owner, id)? else { return Ok(()) };
        // What a kill leaves of it is removed when it expires.
        match record.content {
            FileContent::Uploaded => {}
            FileContent::Output(batch) => self.remove_lines(batch, |line| !line.is_error)?,
            FileContent::Errors(batch) => self.remove_lines(batch, |line| line.is_error)?,
        }
        self.store.write(|tx| {
            // Someone else may have removed it meanwhile.
            if tx.get(FILES, &(owner, id))?.is_some() {
                change_kept(tx, owner, |kept| {
                    kept.files = kept.files.saturating_sub(1);
                    kept.bytes = kept.bytes.saturating_sub(record.size);
                })?;
            }
            tx.remove(CONTENTS, &id)?;
            tx.remove(FILES, &(owner, id))
        })
    }

    /// Batches of a key.
    pub(crate) fn batches(&self, owner: Digest) -> Result<Vec<(Digest, BatchRecord)>, StoreError> {
        self.of_owner(BATCHES, owner, BATCHES_MAX)
    }

    fn of_owner<T: BorshDeserialize>(
        &self,
        table: Table<(Digest, Digest), T>,
        owner: Digest,
        most: usize,
    ) -> Result<Vec<(Digest, T)>, StoreError> {
        let found = self.store.first(table, Some(&(owner, Digest::ZERO)), most)?;
        Ok(found.into_iter().take_while(|((of, _), _)| *of == owner).map(|((_, id), record)| (id, record)).collect())
    }

    pub(crate) fn batch(&self, owner: Digest, id: Digest) -> Result<Option<BatchRecord>, StoreError> {
        self.store.get(BATCHES, &(owner, id))
    }

    /// Owners and ids of the batches that have not ended.
    pub(crate) fn batches_to_do(&self) -> Result<Vec<(Digest, Digest)>, StoreError> {
        let mut found = Vec::new();
        self.store.for_each(BATCHES, |key, record| {
            if !record.status.has_ended() {
                found.push(key);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Keeps a batch, unless it is there already or its key has too many.
    pub(crate) fn put_batch(
        &self,
        owner: Digest,
        record: BatchRecord,
        repetition: Repetition,
    ) -> Result<Made<BatchRecord>, StoreError> {
        self.store.write(|tx| {
            if let Some(made) = repetition.find(&record, || self.batches(owner))? {
                return Ok(made);
            }
            let kept: Kept = tx.get(KEPT, &owner)?.unwrap_or_default();
            let is_over = |count: u32, most: usize| usize::try_from(count).is_ok_and(|count| count >= most);
            if is_over(kept.open, OPEN_MAX) || is_over(kept.batches, BATCHES_MAX) {
                return Ok(Made::Full);
            }
            let (batches, open) = (kept.batches.saturating_add(1), kept.open.saturating_add(1));
            let id = Digest::from(rand::random::<[u8; 32]>());
            tx.put(KEPT, &owner, &Kept { batches, open, ..kept })?;
            tx.put(BATCHES, &(owner, id), &record)?;
            Ok(Made::New(id, record))
        })
    }

    /// Changes a batch that has not ended; what it is then.
    pub(crate) fn change_batch(
        &self,
        owner: Digest,
        id: Digest,
        change: impl FnOnce(&mut BatchRecord),
    ) -> Result<Option<BatchRecord>, StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(BATCHES, &(owner, id))? else { return Ok(None) };
            if !record.status.has_ended() {
                change(&mut record);
                tx.put(BATCHES, &(owner, id), &record)?;
            }
            Ok(Some(record))
        })
    }

    /// Keeps what became of some lines, with their costs; a line that has a result keeps that. True while the key has room for more.
    pub(crate) fn put_lines(
        &self,
        owner: Digest,
        id: Digest,
        lines: &[(u32, LineRecord, Amount)],
    ) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(BATCHES, &(owner, id))? else { return Ok(true) };
            let mut bytes = 0_u64;
            for (number, line, cost) in lines {
                if tx.get(LINES, &(id, *number))?.is_none() {
                    tx.put(LINES, &(id, *number), line)?;
                    bytes = bytes.saturating_add(count(&mut record, line, *cost));
                }
            }
            let kept = change_kept(tx, owner, |kept| kept.bytes = kept.bytes.saturating_add(bytes))?;
            tx.put(BATCHES, &(owner, id), &record)?;
            Ok(kept.bytes < BYTES_MAX)
        })
    }

    /// Numbers of the lines that have a result.
    pub(crate) fn lines_done(&self, batch: Digest) -> Result<BTreeSet<u32>, StoreError> {
        let keys = self.store.keys_between(LINES, &(batch, 0), &(batch, u32::MAX))?;
        Ok(keys.into_iter().map(|(_, number)| number).collect())
    }

    /// The next lines that have a result, from number `from` on, in their order; none after the last.
    pub(crate) fn lines(&self, batch: Digest, from: u32) -> Result<Vec<(u32, LineRecord)>, StoreError> {
        let (mut lines, mut bytes) = (Vec::new(), 0_usize);
        self.store.look_from(LINES, &(batch, from), |(of, number), line| {
            bytes = bytes.saturating_add(line.text.len());
            let fits = of == batch && (lines.is_empty() || bytes <= PAGE_BYTES);
            if fits {
                lines.push((number, line));
            }
            Ok(if fits && lines.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(lines)
    }

    /// Ends a batch: its status, and the files that its lines make, which are good until `expires_at_ms`.
    pub(crate) fn end_batch(
        &self,
        owner: Digest,
        id: Digest,
        end: &BatchEnd,
    ) -> Result<Option<BatchRecord>, StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(BATCHES, &(owner, id))? else { return Ok(None) };
            if record.status.has_ended() {
                return Ok(Some(record));
            }
            record.status = end.status;
            record.ended_at_ms = Some(end.now_ms);
            record.faults.clone_from(&end.faults);
            if record.completed > 0 {
                let content = (FileContent::Output(id), "output", record.output_size);
                record.output = Some(put_result(tx, owner, content, end)?);
            }
            if record.failed > 0 {
                let content = (FileContent::Errors(id), "errors", record.errors_size);
                record.errors = Some(put_result(tx, owner, content, end)?);
            }
            let files = u32::from(record.output.is_some()).saturating_add(record.errors.is_some().into());
            change_kept(tx, owner, |kept| {
                kept.open = kept.open.saturating_sub(1);
                kept.files = kept.files.saturating_add(files);
            })?;
            tx.put(BATCHES, &(owner, id), &record)?;
            Ok(Some(record))
        })
    }

    /// Forgets files that have expired and that no batch is at work on, and batches that ended before `before_ms`.
    pub(crate) fn remove_expired_files(&self, now_ms: u64, before_ms: u64) -> Result<(), StoreError> {
        let (mut inputs, mut batches, mut files) = (BTreeSet::new(), Vec::new(), Vec::new());
        self.store.for_each(BATCHES, |key, record| {
            if !record.status.has_ended() {
                inputs.insert(record.input);
            } else if record.ended_at_ms.is_some_and(|ended| ended < before_ms) {
                batches.push(key);
            }
            Ok(())
        })?;
        self.store.for_each(FILES, |key, record| {
            if record.expires_at_ms <= now_ms && !inputs.contains(&key.1) {
                files.push(key);
            }
            Ok(())
        })?;
        for (owner, id) in files {
            self.remove_file(owner, id)?;
        }
        for key in batches {
            self.remove_lines(key.1, |_| true)?;
            self.store.write(|tx| {
                change_kept(tx, key.0, |kept| kept.batches = kept.batches.saturating_sub(1))?;
                tx.remove(BATCHES, &key)
            })?;
        }
        Ok(())
    }

    fn remove_lines(&self, batch: Digest, is_gone: impl Fn(&LineRecord) -> bool) -> Result<(), StoreError> {
        let mut from = 0;
        loop {
            let page = self.lines(batch, from)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.saturating_add(1);
            self.store.write(|tx| {
                let mut gone = page.iter().filter(|(_, line)| is_gone(line));
                gone.try_for_each(|(number, _)| tx.remove(LINES, &(batch, *number)))
            })?;
        }
    }
}

/// How a batch ended.
#[derive(Debug, Clone)]
pub(crate) struct BatchEnd {
    pub(crate) status: BatchStatus,
    pub(crate) faults: Vec<Fault>,
    pub(crate) now_ms: u64,
    pub(crate) expires_at_ms: u64,
}

fn change_kept(tx: &Transaction, owner: Digest, change: impl FnOnce(&mut Kept)) -> Result<Kept, StoreError> {
    let mut kept = tx.get(KEPT, &owner)?.unwrap_or_default();
    change(&mut kept);
    tx.put(KEPT, &owner, &kept)?;
    Ok(kept)
}

/// Counts a line in its batch; the bytes that it has in a file.
fn count(record: &mut BatchRecord, line: &LineRecord, cost: Amount) -> u64 {
    // Each has an end of line in its file.
    let size = u64::try_from(line.text.len()).unwrap_or(u64::MAX).saturating_add(1);
    let (number, sum) = if line.is_error {
        (&mut record.failed, &mut record.errors_size)
    } else {
        (&mut record.completed, &mut record.output_size)
    };
    *number = number.saturating_add(1);
    *sum = sum.saturating_add(size);
    record.cost = Amount::from_nano(record.cost.nano().saturating_add(cost.nano()));
    size
}

fn put_result(
    tx: &Transaction,
    owner: Digest,
    (content, kind, size): (FileContent, &str, u64),
    end: &BatchEnd,
) -> Result<Digest, StoreError> {
    let id = Digest::from(rand::random::<[u8; 32]>());
    let (created_at_ms, expires_at_ms) = (end.now_ms, end.expires_at_ms);
    let (digest, named) = (Digest::ZERO, None);
    let name = format!("batch_{kind}.jsonl");
    let record = FileRecord { name, size, created_at_ms, expires_at_ms, content, digest, named };
    tx.put(FILES, &(owner, id), &record)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
