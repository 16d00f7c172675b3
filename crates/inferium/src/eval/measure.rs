//! `inferium eval run`: asks, keeps, adds up.

use super::ask::Asker;
use super::kept::Kept;
use super::{load, percent, show};
use crate::cli::{EvalRunArgs, Failure};
use crate::progress::{CountBar, say};
use futures::{Stream, StreamExt as _, stream};
use inferium_eval::{ReceiptRecord, RunHead, Suite, summarise};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) async fn run(arguments: &EvalRunArgs) -> Result<(), Failure> {
    let suite = load(&arguments.suite)?;
    let asker = Asker::new(&arguments.server, &arguments.model).await?;
    asker.check(&suite)?;
    let head = head(arguments, &suite, &asker);
    let mut kept = match &arguments.out {
        Some(path) => Kept::open(path, head)?,
        None => Kept::nowhere(head),
    };
    let measured = tokio::select! {
        measured = measure(arguments, &suite, &asker, &mut kept) => measured,
        // Dropped, the requests are closed, and with them the workers' jobs.
        _ = tokio::signal::ctrl_c() => Err(Failure::failed("stopped")),
    };
    if let Err(failure) = measured {
        let (done, all) = (kept.results.items.len(), kept.results.head.items);
        match arguments.out {
            Some(_) => say(&format!("{done} of {all} answers are kept; the same command goes on after them")),
            None => say(&format!("{done} of {all} answers are lost; with --out FILE they would be kept")),
        }
        return Err(failure);
    }
    kept.finish(summarise(&suite, &kept.results).map_err(|error| Failure::failed(error.to_string()))?)?;
    show::run(&suite, &kept.results, arguments.out.as_deref())
}

fn head(arguments: &EvalRunArgs, suite: &Suite, asker: &Asker) -> RunHead {
    let all = u64::try_from(suite.items().len()).unwrap_or(u64::MAX);
    let items = arguments.limit.map_or(all, |limit| limit.min(all));
    let limit = if items < all { format!(" --limit {items}") } else { String::new() };
    let (name, model) = (&arguments.suite, &arguments.model);
    RunHead {
        version: 1,
        suite: suite.name().to_owned(),
        suite_id: suite.id().to_string(),
        model: model.clone(),
        weights_root: asker.said("weights_root"),
        model_profile: asker.said("model_profile"),
        verification: asker.said("verification"),
        seed: arguments.seed,
        items,
        command: format!("inferium eval run {name} {model} --seed {}{limit}", arguments.seed),
    }
}

/// Asks what was not asked yet, then waits for receipts that are not there yet.
async fn measure(arguments: &EvalRunArgs, suite: &Suite, asker: &Asker, kept: &mut Kept) -> Result<(), Failure> {
    let count = usize::try_from(kept.results.head.items).unwrap_or(usize::MAX);
    let drawn: Vec<usize> = suite.order(arguments.seed).into_iter().take(count).collect();
    let done: BTreeSet<String> = kept.results.items.iter().map(|item| item.id.clone()).collect();
    let waiting =
        drawn.into_iter().filter_map(|index| suite.items().get(index)).filter(|item| !done.contains(&item.id));
    let asked = stream::iter(waiting).map(|item| asker.ask(suite, item)).buffer_unordered(arguments.parallel.into());
    let bar = CountBar::new(suite.name(), kept.results.head.items);
    let result = answers(asked, kept, suite, &bar).await;
    bar.done();
    result?;
    if arguments.receipts { receipts(arguments, asker, kept).await } else { Ok(()) }
}

async fn answers(
    asked: impl Stream<Item = Result<inferium_eval::ItemRecord, Failure>>,
    kept: &mut Kept,
    suite: &Suite,
    bar: &CountBar,
) -> Result<(), Failure> {
    let metric = suite.scorer().metrics().first().copied().unwrap_or_default();
    let first = |scores: &Option<Vec<u32>>| scores.as_ref().and_then(|all| all.first()).map(|score| u64::from(*score));
    let mut sum: Option<u64> = kept.results.items.iter().map(|item| first(&item.scores_ppm)).sum();
    bar.set(kept.results.items.len());
    let mut asked = std::pin::pin!(asked);
    while let Some(item) = asked.next().await {
        let item = item?;
        sum = sum.zip(first(&item.scores_ppm)).map(|(sum, score)| sum.saturating_add(score));
        kept.add_item(item)?;
        let done = kept.results.items.len();
        // Of retrieval there is no score before all passages are known.
        let mean = sum.and_then(|sum| sum.checked_div(u64::try_from(done).ok()?)).and_then(|mean| mean.try_into().ok());
        if let Some(mean) = mean {
            bar.rename(format!("{}: {metric} {} %", suite.name(), percent(mean)));
        }
        bar.set(done);
    }
    Ok(())
}

async fn receipts(arguments: &EvalRunArgs, asker: &Asker, kept: &mut Kept) -> Result<(), Failure> {
    let jobs: Vec<String> = kept.results.items.iter().flat_map(|item| item.jobs.clone()).collect();
    if jobs.is_empty() {
        return Err(Failure::refused("this server's answers name no jobs: there are no receipts"));
    }
    let all = jobs.len();
    let missing: Vec<String> = jobs.into_iter().filter(|job| !kept.results.receipts.contains_key(job)).collect();
    let mut done = all.saturating_sub(missing.len());
    let timeout = Duration::from_secs(arguments.timeout);
    let asked = stream::iter(missing).map(|job| async move {
        let document = crate::receipt::get(&job, asker.base(), timeout).await;
        (job, document)
    });
    let mut asked = std::pin::pin!(asked.buffer_unordered(arguments.parallel.into()));
    let bar = CountBar::new("receipts", u64::try_from(all).unwrap_or(u64::MAX));
    bar.set(done);
    let mut without = Vec::new();
    while let Some((job, document)) = asked.next().await {
        match document {
            Ok(document) => {
                let document = serde_json::from_str(&document)
                    .map_err(|error| Failure::failed(format!("the receipt of job {job} is no JSON: {error}")))?;
                kept.add_receipt(ReceiptRecord { job, document })?;
            }
            Err(failure) => without.push(failure.to_string()),
        }
        done += 1;
        bar.set(done);
    }
    bar.done();
    // A job that the network found wrong is a fact about this run, not a failure of it: its share of receipts says so.
    if let Some(first) = without.first() {
        say(&format!("{} jobs have no receipt; the first: {first}", without.len()));
    }
    Ok(())
}
