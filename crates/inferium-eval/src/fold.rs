//! The fold that the network does: from results files to the bytes of a board (SPEC L2).
//!
//! Worker, validators, gateway and whoever recomputes a board call the one function here, [`fold_board`]. Any change of what it
//! gives is another set of rules: another build of `ModelProfile::folder`.

use crate::board::{Board, BoardRow};
use crate::bound::{Bound, OpeningFault, bound};
use crate::builtin::{BUILTIN, builtin};
use crate::item::Item;
use crate::results::{InvalidResults, ItemRecord, Results, RunHead};
use crate::suite::{Suite, Template};
use inferium_types::{
    CheckedCertificates, Digest, FoldInput, InvalidReceipt, JobLeaf, NetworkKey, Receipt, ReceiptFacts, limits,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the encoding.
const VERSION: u32 = 1;
/// Characters of a model's name, letters and digits aside: none that a shell reads otherwise than it stands.
const NAME_MARKS: [char; 7] = ['-', '_', '.', ':', '/', '@', '+'];

/// What a fold came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Items of all files: what the job is paid by.
    pub items: u32,
    /// The board's bytes: JSON of a [`BoardDocument`] in its one form.
    pub board: String,
    /// What each file came to on the way.
    pub steps: Vec<Digest>,
}

/// A board as it is published: whole numbers and text alone, so that it has one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardDocument {
    /// Of the encoding.
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// Its hash; hex.
    pub suite_id: String,
    /// The suite's score.
    pub metric: String,
    /// The key that receipts were checked against.
    pub network: String,
    /// SHA-256 of each file, in the order in which they were given; hex.
    pub files: Vec<String>,
    /// Items of all files.
    pub items: u64,
    /// Files that count for nothing, ascending.
    pub left_out: Vec<LeftOut>,
    /// Models, the best mean first.
    pub rows: Vec<DocumentRow>,
}

/// A file that holds and does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Its place among the files, from 0.
    pub file: u32,
    /// Why.
    pub reason: String,
}

/// One model of a published board; the fields of [`BoardRow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentRow {
    /// One more than models are surely better.
    pub rank: u64,
    /// As the files name it.
    pub model: String,
    /// As the server said it; hex. No receipt proves it.
    pub weights_root: Option<String>,
    /// What the receipts are of; hex.
    pub model_profile: Option<String>,
    /// The mean; parts per million.
    pub score_ppm: u32,
    /// The interval's lower end.
    pub low_ppm: u32,
    /// Its upper end.
    pub high_ppm: u32,
    /// Runs.
    pub runs: u64,
    /// Items of the largest run.
    pub items: u64,
    /// The median time of an item, as the runs' makers measured it; milliseconds.
    pub milliseconds_median: u64,
    /// Cost of a thousand items by their receipts; billionths of an IFR.
    pub cost_nano_per_thousand: u64,
    /// Items all of whose receipts were checked; parts per million.
    pub receipts_verified_ppm: u32,
    /// What runs the largest run again.
    pub command: String,
}

impl From<BoardRow> for DocumentRow {
    fn from(row: BoardRow) -> Self {
        Self {
            rank: row.rank,
            model: row.model,
            weights_root: row.weights_root,
            model_profile: row.model_profile,
            score_ppm: row.score.mean,
            low_ppm: row.score.low,
            high_ppm: row.score.high,
            runs: row.runs,
            items: row.items,
            milliseconds_median: row.milliseconds_median,
            cost_nano_per_thousand: row.cost_nano_per_thousand,
            receipts_verified_ppm: row.receipts_ppm,
            command: row.command,
        }
    }
}

impl BoardDocument {
    /// Reads a board's bytes.
    ///
    /// # Errors
    /// [`NotABoard`]: other bytes than [`fold_board`] writes.
    pub fn parse(text: &str) -> Result<Self, NotABoard> {
        let document: Self = serde_json::from_str(text).map_err(|error| NotABoard(error.to_string()))?;
        match document.version == VERSION && document.encode() == text {
            true => Ok(document),
            false => Err(NotABoard("not in its one form".to_owned())),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        // A type of ours with text and whole numbers alone always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Bytes that are no board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no board: {0}")]
pub struct NotABoard(String);

/// Why nothing is folded: whoever gave the files is at fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No file, or too many.
    #[error("{found} results files; 1 to {} are allowed", limits::FOLD_FILES_MAX)]
    Files {
        /// How many.
        found: usize,
    },
    /// Too many items.
    #[error("{found} items; at most {} are allowed", limits::FOLD_ITEMS_MAX)]
    Items {
        /// How many.
        found: usize,
    },
    /// Receipts of another network prove nothing here.
    #[error("the files are to be checked against another network's key")]
    Network,
    /// A file does not hold.
    #[error("file {file}: the run does not hold: {error}")]
    Results {
        /// From 0.
        file: usize,
        /// What does not hold.
        error: InvalidResults,
    },
    /// Of a suite that these rules don't know.
    #[error("file {file}: boards are folded of {}; this run is of {suite:?}", BUILTIN.join(", "))]
    Suite {
        /// From 0.
        file: usize,
        /// What it is of.
        suite: String,
    },
    /// A board is of one suite.
    #[error("file {file} is of the suite {found}, the first one of {expected}: a board is of one suite")]
    Mixed {
        /// From 0.
        file: usize,
        /// The first file's.
        expected: String,
        /// This one's.
        found: String,
    },
    /// A text in the head that no run has.
    #[error("file {file}: its {field} is none that a run has")]
    Head {
        /// From 0.
        file: usize,
        /// Which.
        field: &'static str,
    },
    /// Receipts are of a profile, and the run names none.
    #[error("file {file}: the run names no model profile, so its receipts are of any model")]
    NoProfile {
        /// From 0.
        file: usize,
    },
    /// A receipt that does not hold, or says something else than the run.
    #[error("file {file}, item {item}: the receipt of job {job} {fault}")]
    Receipt {
        /// From 0.
        file: usize,
        /// The item.
        item: String,
        /// The job; hex.
        job: String,
        /// What is wrong.
        fault: ReceiptFault,
    },
    /// What an item's jobs were asked or answered is not what the run says.
    #[error("file {file}: item {item} {fault}")]
    Opening {
        /// From 0.
        file: usize,
        /// The item.
        item: String,
        /// What is wrong.
        fault: OpeningFault,
    },
    /// Usage or cost of an item are not those of its receipts.
    #[error("file {file}, item {item}: its receipts say another usage or cost than the run")]
    Usage {
        /// From 0.
        file: usize,
        /// The item.
        item: String,
    },
    /// One job, two items.
    #[error("file {file}: job {job} stands in another file too")]
    Twice {
        /// From 0.
        file: usize,
        /// The job; hex.
        job: String,
    },
    /// Nothing counts.
    #[error("no run is left: {reason}")]
    Empty {
        /// Why the first file does not count.
        reason: String,
    },
}

/// What is wrong with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// No proof in it.
    #[error("has no proof in it")]
    NoProof,
    /// The proof proves nothing.
    #[error("does not hold: {0}")]
    Invalid(InvalidReceipt),
    /// It proves another job.
    #[error("is of another job")]
    Job,
    /// It proves another model's.
    #[error("is of another model profile than the run")]
    Profile,
}

/// A hash over the ids of all suites that come with this program, in the order of their names: what boards are folded of.
#[must_use]
pub fn suites_digest() -> Digest {
    Digest::of_value("inferium/board-suites/1", &board_suites())
}

/// Ids of the suites that boards are folded of, by name.
#[must_use]
pub fn board_suites() -> Vec<Digest> {
    BUILTIN.iter().filter_map(|name| builtin(name)?.ok()).map(|suite| suite.id()).collect()
}

/// Folds results into a board, as a pure function of the input: each file is scored anew, every receipt is checked against
/// `network`, which must be the input's, and ranks follow.
///
/// A run counts that is whole, final and open: of all items of its suite, each with receipts for all of its jobs, from which its answer
/// is opened, and its question too unless that is tokens. Others are named in [`BoardDocument::left_out`]. Cost: some microseconds for an item, and one pairing check for each certificate that receipts have.
///
/// # Errors
/// [`Refused`] with the first thing that is wrong.
pub fn fold_board(input: &FoldInput, network: &NetworkKey) -> Result<Folded, Refused> {
    if !input.is_well_formed() {
        return Err(Refused::Files { found: input.files.len() });
    }
    if input.network != *network {
        return Err(Refused::Network);
    }
    let runs = read_all(&input.files)?;
    let count = runs.iter().map(|run| run.items.len()).sum();
    let items = u32::try_from(count).ok().filter(|items| *items <= limits::FOLD_ITEMS_MAX);
    let items = items.ok_or(Refused::Items { found: count })?;
    let suite = suite_of(&runs)?;
    let mut fold = Fold {
        suite,
        network,
        board: Board::default(),
        jobs: BTreeSet::new(),
        checked: CheckedCertificates::default(),
    };
    let (mut left_out, mut steps) = (Vec::new(), Vec::new());
    for ((file, run), text) in runs.iter().enumerate().zip(&input.files) {
        let (step, reason) = fold.add(file, run, text)?;
        steps.push(step);
        if let Some(reason) = reason {
            left_out.push(LeftOut { file: u32::try_from(file).unwrap_or(u32::MAX), reason: reason.to_owned() });
        }
    }
    let Fold { suite, board, .. } = fold;
    let rows: Vec<DocumentRow> = board.rows().into_iter().map(DocumentRow::from).collect();
    if rows.is_empty() {
        let reason = left_out.into_iter().next().map(|one| one.reason).unwrap_or_default();
        return Err(Refused::Empty { reason });
    }
    let document = BoardDocument {
        version: VERSION,
        suite: suite.name().to_owned(),
        suite_id: suite.id().to_string(),
        metric: suite.scorer().metrics().first().copied().unwrap_or_default().to_owned(),
        network: network.to_string(),
        files: input.files.iter().map(|file| Digest::sha256(file.as_bytes()).to_string()).collect(),
        items: items.into(),
        left_out,
        rows,
    };
    Ok(Folded { items, board: document.encode(), steps })
}

fn read_all(files: &[String]) -> Result<Vec<Results>, Refused> {
    let read = |(file, text): (usize, &String)| Results::parse(text).map_err(|error| Refused::Results { file, error });
    files.iter().enumerate().map(read).collect()
}

/// The one suite that all runs are of.
fn suite_of(runs: &[Results]) -> Result<Suite, Refused> {
    let unknown = |file: usize, run: &Results| Refused::Suite { file, suite: run.head.suite.clone() };
    let Some(first) = runs.first() else { return Err(Refused::Files { found: 0 }) };
    let suite = builtin(&first.head.suite).and_then(Result::ok).ok_or_else(|| unknown(0, first))?;
    for (file, run) in runs.iter().enumerate() {
        if builtin(&run.head.suite).is_none() {
            return Err(unknown(file, run));
        }
        if run.head.suite != first.head.suite {
            let (expected, found) = (first.head.suite.clone(), run.head.suite.clone());
            return Err(Refused::Mixed { file, expected, found });
        }
    }
    Ok(suite)
}

/// A fold under way.
struct Fold<'a> {
    suite: Suite,
    network: &'a NetworkKey,
    board: Board,
    /// Of all files so far.
    jobs: BTreeSet<String>,
    checked: CheckedCertificates,
}

impl Fold<'_> {
    /// Adds a run; what it came to, and why it does not count if it does not.
    fn add(&mut self, file: usize, run: &Results, text: &str) -> Result<(Digest, Option<&'static str>), Refused> {
        let summary = run.check(&self.suite).map_err(|error| Refused::Results { file, error })?;
        check_head(file, &run.head)?;
        for job in run.items.iter().flat_map(|item| &item.jobs) {
            if !self.jobs.insert(job.clone()) {
                return Err(Refused::Twice { file, job: job.clone() });
            }
        }
        let mut proven = Vec::with_capacity(run.receipts.len());
        let items: BTreeMap<&str, &Item> = self.suite.items().iter().map(|item| (item.id.as_str(), item)).collect();
        let mut least = Bound::Whole;
        for record in &run.items {
            let leaves = check_receipts((self.network, &mut self.checked), (file, run), record, &mut proven)?;
            // A run that holds has no other items.
            let Some(item) = items.get(record.id.as_str()) else { continue };
            let found = match leaves {
                Some(leaves) => bound(&self.suite, item, record, &leaves).map_err(|fault| Refused::Opening {
                    file,
                    item: record.id.clone(),
                    fault,
                })?,
                None => Bound::Nothing,
            };
            least = least.min(found);
        }
        let wanted = match self.suite.template() {
            Template::Completion { .. } => Bound::Answer,
            Template::Chat { .. } | Template::Embedding {} => Bound::Whole,
        };
        let scores: BTreeMap<usize, Vec<u32>> =
            run.scores(&self.suite).map_err(|error| Refused::Results { file, error })?;
        let scores: Vec<(u64, Vec<u32>)> =
            scores.into_iter().map(|(index, scores)| (u64::try_from(index).unwrap_or(u64::MAX), scores)).collect();
        let file_hash = Digest::sha256(text.as_bytes());
        let step = Digest::of_value("inferium/board-step/1", &(file_hash, scores, proven));
        let reason = if summary.items < summary.suite_items {
            Some("it is of a part of the suite")
        } else if summary.receipts_ppm < crate::PPM {
            Some("not all of its items are final: receipts are missing")
        } else if least < wanted {
            Some("not all of its answers are open: who reads them has no proof that its jobs gave them")
        } else {
            let command = format!("inferium eval run {} {} --seed {}", run.head.suite, run.head.model, run.head.seed);
            self.board.add(&RunHead { command, ..run.head.clone() }, &summary);
            None
        };
        Ok((step, reason))
    }
}

/// Checks an item's receipts, adds the blocks and fees that they prove, and gives their leaves, in the order of its jobs; `None` when
/// some are missing.
fn check_receipts(
    (network, checked): (&NetworkKey, &mut CheckedCertificates),
    (file, run): (usize, &Results),
    item: &ItemRecord,
    proven: &mut Vec<(Digest, u64)>,
) -> Result<Option<Vec<JobLeaf>>, Refused> {
    let (mut usage, mut fee, mut is_whole) = ((0_u64, 0_u64), 0_u64, !item.jobs.is_empty());
    let mut leaves = Vec::with_capacity(item.jobs.len());
    for job in &item.jobs {
        let Some(document) = run.receipts.get(job) else {
            is_whole = false;
            continue;
        };
        let Some(claimed) = &run.head.model_profile else { return Err(Refused::NoProfile { file }) };
        let wrong = |fault| Refused::Receipt { file, item: item.id.clone(), job: job.clone(), fault };
        let facts = verify(document, network, checked).map_err(wrong)?;
        if facts.job.request.job.to_string() != *job {
            return Err(wrong(ReceiptFault::Job));
        }
        if facts.outcome.profile.to_string() != *claimed {
            return Err(wrong(ReceiptFault::Profile));
        }
        let of_job = facts.job.result.usage;
        usage.0 = usage.0.saturating_add(of_job.prompt_tokens.into());
        usage.1 = usage.1.saturating_add(of_job.completion_tokens.into());
        fee = fee.saturating_add(facts.fee.nano());
        proven.push((facts.block, facts.fee.nano()));
        leaves.push(facts.job);
    }
    if is_whole && (usage, fee) != ((item.prompt_tokens, item.completion_tokens), item.cost_nano) {
        return Err(Refused::Usage { file, item: item.id.clone() });
    }
    Ok(is_whole.then_some(leaves))
}

/// Of a receipt's document its proof counts: all else in it is for people.
fn verify(
    document: &Value,
    network: &NetworkKey,
    checked: &mut CheckedCertificates,
) -> Result<ReceiptFacts, ReceiptFault> {
    let proof = document.get("proof").and_then(Value::as_str).ok_or(ReceiptFault::NoProof)?;
    let proof = hex::decode(proof).map_err(|_| ReceiptFault::NoProof)?;
    let receipt = Receipt::from_bytes(&proof).map_err(ReceiptFault::Invalid)?;
    receipt.verify_among(network, checked).map_err(ReceiptFault::Invalid)
}

/// What a board shows of a head: a name that can stand in a command, and hashes.
fn check_head(file: usize, head: &RunHead) -> Result<(), Refused> {
    let is_name = (1..=limits::NAME_SIZE_MAX).contains(&head.model.len())
        && head.model.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && head.model.chars().all(|letter| letter.is_ascii_alphanumeric() || NAME_MARKS.contains(&letter));
    let is_hash = |text: &Option<String>| text.as_deref().is_none_or(|text| Digest::from_hex(text).is_some());
    match (is_name, is_hash(&head.weights_root), is_hash(&head.model_profile)) {
        (false, ..) => Err(Refused::Head { file, field: "model" }),
        (true, false, _) => Err(Refused::Head { file, field: "weights_root" }),
        (true, true, false) => Err(Refused::Head { file, field: "model_profile" }),
        (true, true, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
