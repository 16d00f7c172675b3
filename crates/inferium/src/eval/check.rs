//! `inferium eval verify`, `compare` and `board`: what is kept is folded anew before anything is said of it.

use super::ask::Asker;
use super::{load, percent, show};
use crate::cli::{Failure, ServerArgs};
use crate::output;
use crate::progress::{CountBar, print, say};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_eval::{
    BUILTIN, Board, BoardDocument, BoardRow, Bound, Comparison, Interval, Item, ItemRecord, Results, Score, Suite,
    bound, compare,
};
use inferium_gateway::verify_document;
use inferium_types::{Amount, NetworkKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A run that was read and folded anew.
struct Checked {
    path: PathBuf,
    suite: Suite,
    results: Results,
}

/// Reads a run and checks its scores.
fn read(path: &Path, folder: Option<&str>) -> Result<Checked, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let refused = |error: inferium_eval::InvalidResults| {
        Failure::refused(format!("{}: the run does not hold: {error}", path.display()))
    };
    let results = Results::parse(&text).map_err(refused)?;
    let suite = suite_of(&results, folder)?;
    results.check(&suite).map_err(refused)?;
    Ok(Checked { path: path.to_owned(), suite, results })
}

fn suite_of(results: &Results, folder: Option<&str>) -> Result<Suite, Failure> {
    if let Some(folder) = folder {
        return load(folder);
    }
    let name = results.head.suite.as_str();
    if BUILTIN.contains(&name) {
        return load(name);
    }
    Err(Failure::usage(format!(
        "the run is of the suite `{name}`, which does not come with this program: name its folder with --suite"
    )))
}

pub(super) fn parse_key(text: &str) -> Result<NetworkKey, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("the network key: {error}")))
}

pub(super) async fn verify(
    path: &Path,
    folder: Option<&str>,
    network_key: Option<&str>,
    again: Option<(u32, ServerArgs)>,
) -> Result<(), Failure> {
    let checked = read(path, folder)?;
    let key = network_key.map(parse_key).transpose()?;
    let bound = match &key {
        Some(key) => check_receipts(&checked.suite, &checked.results, key)?,
        None => Open::default(),
    };
    let asked = match again {
        Some((count, server)) => ask_again(&checked, count, &server).await?,
        None => 0,
    };
    let stored = checked.results.receipts.len();
    let receipts = if key.is_some() { stored } else { 0 };
    let Some(summary) = &checked.results.summary else { return Err(Failure::failed("the run has no summary")) };
    if output::is_json() {
        let mut document = show::run_json(&checked.results, summary);
        document.insert("valid".into(), json!(true));
        document.insert("receipts_stored".into(), json!(stored));
        document.insert("receipts_checked".into(), json!(receipts));
        document.insert("items_open".into(), json!({"question_and_answer": bound.whole, "answer": bound.answer}));
        document.insert("asked_again".into(), json!(asked));
        return output::print_json(&document.into());
    }
    let mut lines = vec!["valid: every score follows from the answers in the file".to_owned()];
    lines.push(match (stored, receipts) {
        (0, _) => "receipts: none in the file".to_owned(),
        (_, 0) => format!("receipts: {stored} in the file, not checked; --network-key KEY checks them"),
        (_, checked) => {
            format!("receipts: all {checked} hold, and are of this model profile, these jobs and this usage")
        }
    });
    lines.extend(bound.in_words(checked.results.items.len()));
    if receipts > 0 {
        lines.push("weights: as the server named them; a receipt names its profile, not the weights".to_owned());
    }
    if asked > 0 {
        lines.push(format!("asked again: {asked} items, each with the answer of the file"));
    }
    lines.extend(show::in_words(&checked.suite, &checked.results, summary, key.is_some()));
    print(&lines.join("\n"))
}

/// Items whose jobs are opened from their receipts.
#[derive(Debug, Default)]
struct Open {
    /// Question and answer are those of their jobs.
    whole: usize,
    /// The answer is; what was asked are tokens.
    answer: usize,
}

impl Open {
    fn in_words(&self, items: usize) -> Option<String> {
        match self {
            Self { whole: 0, answer: 0 } => None,
            Self { whole, answer: 0 } => Some(format!(
                "answers: of {whole} of {items} items the receipts open to this question, and to this answer"
            )),
            Self { answer, .. } => Some(format!(
                "answers: of {answer} of {items} items the receipts open to this answer; the questions are tokens, and not compared"
            )),
        }
    }
}

/// Checks every receipt offline, that it says the same of its job as the run does, and what was asked and answered.
fn check_receipts(suite: &Suite, results: &Results, key: &NetworkKey) -> Result<Open, Failure> {
    let mut open = Open::default();
    if results.receipts.is_empty() {
        return Ok(open);
    }
    let items: BTreeMap<&str, &Item> = suite.items().iter().map(|item| (item.id.as_str(), item)).collect();
    let Some(claimed) = &results.head.model_profile else {
        return Err(Failure::refused("the run names no model profile, so its receipts are of any model"));
    };
    let bar = CountBar::new("receipts", u64::try_from(results.receipts.len()).unwrap_or(u64::MAX));
    let mut done = 0;
    for item in &results.items {
        let (mut usage, mut fee, mut is_whole) = ((0_u64, 0_u64), 0_u64, !item.jobs.is_empty());
        let mut leaves = Vec::new();
        for job in &item.jobs {
            let Some(document) = results.receipts.get(job) else {
                is_whole = false;
                continue;
            };
            let wrong = |what: &str| Failure::refused(format!("item {}: the receipt of job {job} {what}", item.id));
            let facts = verify_document(document.to_string().as_bytes(), key)
                .map_err(|error| wrong(&format!("does not hold: {error}")))?;
            if facts.job.request.job.to_string() != *job {
                return Err(wrong("is of another job"));
            }
            let profile = facts.outcome.profile.to_string();
            if *claimed != profile {
                return Err(wrong(&format!("is of the model profile {profile}")));
            }
            let of_job = facts.job.result.usage;
            usage.0 = usage.0.saturating_add(of_job.prompt_tokens.into());
            usage.1 = usage.1.saturating_add(of_job.completion_tokens.into());
            fee = fee.saturating_add(facts.fee.nano());
            leaves.push(facts.job);
            done += 1;
            bar.set(done);
        }
        if is_whole && (usage, fee) != ((item.prompt_tokens, item.completion_tokens), item.cost_nano) {
            return Err(Failure::refused(format!(
                "item {}: its receipts say {} tokens of prompt, {} of answer and {fee} nano-IFR, the run {}, {} and {}",
                item.id, usage.0, usage.1, item.prompt_tokens, item.completion_tokens, item.cost_nano
            )));
        }
        let (Some(of_suite), true) = (items.get(item.id.as_str()), is_whole) else { continue };
        let found = bound(suite, of_suite, item, &leaves);
        match found.map_err(|fault| Failure::refused(format!("item {} {fault}", item.id)))? {
            Bound::Whole => open.whole += 1,
            Bound::Answer => open.answer += 1,
            Bound::Nothing => {}
        }
    }
    bar.done();
    Ok(open)
}

/// Asks about items again, drawn by nobody who made the file; how many.
async fn ask_again(checked: &Checked, count: u32, server: &ServerArgs) -> Result<usize, Failure> {
    let Checked { suite, results, .. } = checked;
    let asker = Asker::new(server, &results.head.model).await?;
    if asker.said("weights_root") != results.head.weights_root {
        return Err(Failure::refused(format!(
            "the server's `{}` has other weights than the run's",
            results.head.model
        )));
    }
    let kept: BTreeMap<&str, &ItemRecord> = results.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let drawn = suite.order(rand::random()).into_iter().filter_map(|index| suite.items().get(index));
    let drawn: Vec<(&Item, &ItemRecord)> = drawn
        .filter_map(|item| Some((item, *kept.get(item.id.as_str())?)))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .collect();
    let bar = CountBar::new("asking again", u64::try_from(drawn.len()).unwrap_or(u64::MAX));
    for (done, (item, record)) in drawn.iter().enumerate() {
        let found = asker.ask(suite, item).await?;
        if found.answer != record.answer {
            return Err(Failure::refused(format!("item {}: asked again, the model answers something else", item.id)));
        }
        bar.set(done + 1);
    }
    bar.done();
    Ok(drawn.len())
}

pub(super) fn compare_runs(files: &[PathBuf], folder: Option<&str>) -> Result<(), Failure> {
    let runs: Vec<Checked> = files.iter().map(|path| read(path, folder)).collect::<Result<_, _>>()?;
    let Some(first) = runs.first() else { return Err(Failure::usage("there is nothing to compare")) };
    let scores = |run: &Checked| run.results.scores(&run.suite).map_err(|error| Failure::refused(error.to_string()));
    let base = scores(first)?;
    let mut rows = Vec::new();
    for run in &runs {
        if run.suite.id() != first.suite.id() {
            return Err(Failure::usage(format!(
                "{} is of the suite `{}`, {} of `{}`: only runs of one suite can be compared",
                first.path.display(),
                first.suite.name(),
                run.path.display(),
                run.suite.name()
            )));
        }
        rows.push((run, compare(&base, &scores(run)?)));
    }
    if output::is_json() {
        let data: Vec<Value> = rows.iter().map(|(run, found)| comparison_json(run, found)).collect();
        return output::print_json(
            &json!({"suite": first.suite.name(), "suite_id": first.suite.id().to_string(), "data": data}),
        );
    }
    let metric = first.suite.scorer().metrics().first().copied().unwrap_or_default();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "file",
        "model",
        metric,
        "better on",
        "worse on",
        "equal on",
        "verdict",
    ]);
    for (place, (run, found)) in rows.iter().enumerate() {
        let counts = [found.better, found.worse, found.equal].map(|count| count.to_string());
        let [better, worse, equal] = if place == 0 { Default::default() } else { counts };
        let verdict = if place == 0 { "" } else { found.verdict.name() };
        let score = main_score(run).map(show::score_in_words).unwrap_or_default();
        let file = run.path.display().to_string();
        table.add_row([file, run.results.head.model.clone(), score, better, worse, equal, verdict.to_owned()]);
    }
    print(&table.to_string())
}

fn main_score(run: &Checked) -> Option<&Score> {
    run.results.summary.as_ref()?.scores.first()
}

fn comparison_json(run: &Checked, found: &Comparison) -> Value {
    json!({
        "file": run.path.display().to_string(),
        "model": run.results.head.model,
        "weights_root": run.results.head.weights_root,
        "score": main_score(run),
        "better": found.better,
        "worse": found.worse,
        "equal": found.equal,
        "share_better": found.share,
        "verdict": found.verdict.name(),
    })
}

pub(super) fn board(files: &[PathBuf], folder: Option<&str>, network_key: Option<&str>) -> Result<(), Failure> {
    let key = network_key.map(parse_key).transpose()?;
    let mut boards: BTreeMap<String, (Suite, Board)> = BTreeMap::new();
    for path in files {
        let Checked { suite, results, .. } = read(path, folder)?;
        if let Some(key) = &key {
            let named = |failure| Failure::refused(format!("{}: {failure}", path.display()));
            check_receipts(&suite, &results, key).map_err(named)?;
        }
        let Some(summary) = &results.summary else { continue };
        if summary.items < summary.suite_items {
            say(&format!("{}: only {} of {} items: left out", path.display(), summary.items, summary.suite_items));
            continue;
        }
        let key = format!("{} {}", suite.name(), suite.id());
        boards.entry(key).or_insert_with(|| (suite, Board::default())).1.add(&results.head, summary);
    }
    let rows: Vec<(&Suite, BoardRow)> =
        boards.values().flat_map(|(suite, board)| board.rows().into_iter().map(move |row| (suite, row))).collect();
    if output::is_json() {
        return output::print_json(
            &json!({ "data": rows.iter().map(|row| row_json(row, key.is_some())).collect::<Vec<_>>() }),
        );
    }
    let mut table = Table::new();
    let receipts = if key.is_some() { "verified" } else { "receipts (unchecked)" };
    let header = ["suite", "rank", "model", "score", "items", "runs", "ms an item", "1,000 items", receipts, "again"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for (suite, row) in &rows {
        let metric = suite.scorer().metrics().first().copied().unwrap_or_default();
        let score = Score { metric: metric.to_owned(), interval: row.score };
        table.add_row([
            suite.name().to_owned(),
            row.rank.to_string(),
            row.model.clone(),
            format!("{metric} {}", show::score_in_words(&score)),
            row.items.to_string(),
            row.runs.to_string(),
            row.milliseconds_median.to_string(),
            Amount::from_nano(row.cost_nano_per_thousand).to_string(),
            format!("{} %", percent(row.receipts_ppm)),
            row.command.clone(),
        ]);
    }
    print(&table.to_string())
}

/// A board of the network, whose receipts were all checked.
pub(super) fn board_table(board: &BoardDocument) -> Table {
    let mut table = Table::new();
    let header = ["rank", "model", "score", "items", "runs", "ms an item", "1,000 items", "verified", "again"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for row in &board.rows {
        let interval = Interval { mean: row.score_ppm, low: row.low_ppm, high: row.high_ppm };
        let score = Score { metric: board.metric.clone(), interval };
        table.add_row([
            row.rank.to_string(),
            row.model.clone(),
            format!("{} {}", board.metric, show::score_in_words(&score)),
            row.items.to_string(),
            row.runs.to_string(),
            row.milliseconds_median.to_string(),
            Amount::from_nano(row.cost_nano_per_thousand).to_string(),
            format!("{} %", percent(row.receipts_verified_ppm)),
            row.command.clone(),
        ]);
    }
    table
}

/// A row; whether its receipts were checked is said by the name of their share.
fn row_json((suite, row): &(&Suite, BoardRow), is_checked: bool) -> Value {
    let receipts = if is_checked { "receipts_verified_ppm" } else { "receipts_unchecked_ppm" };
    json!({
        "suite": suite.name(),
        "suite_id": suite.id().to_string(),
        "metric": suite.scorer().metrics().first(),
        "rank": row.rank,
        "model": row.model,
        "weights_root": row.weights_root,
        "model_profile": row.model_profile,
        "score": row.score,
        "items": row.items,
        "runs": row.runs,
        "milliseconds_median": row.milliseconds_median,
        "cost_nano_per_thousand": row.cost_nano_per_thousand,
        receipts: row.receipts_ppm,
        "command": row.command,
    })
}

#[cfg(test)]
mod tests;
