//! `inferium bench`: how fast a server answers, measured from outside.

mod load;
mod plot;
mod report;

use crate::cli::{BenchServeArgs, Failure};
use crate::output;
use crate::progress::{CountBar, print, say};
use crate::run::{Api, server};
use load::{Load, Prompts, Sample};
use report::Report;
use std::time::Duration;

/// Loads a server, and prints what it took.
pub(crate) async fn run(arguments: BenchServeArgs) -> Result<(), Failure> {
    if arguments.shared_words > arguments.prompt_words {
        return Err(Failure::usage("a prompt can't begin with more shared words than it has: see --prompt-words"));
    }
    let api = Api::new(server(&arguments.server)?, &arguments.model)?;
    api.check().await?;
    let prompts = Prompts::new(arguments.seed, arguments.prompt_words, arguments.shared_words);
    let load = Load::new(&api, prompts, arguments.max_tokens, arguments.temperature);
    for number in 0..arguments.warmup {
        let sample = load.ask(u64::from(number), Duration::ZERO).await;
        if let Some(error) = &sample.error {
            return Err(Failure::failed(format!("{} does not serve this: {error}", api.base)));
        }
    }
    let bar = CountBar::new("requests", u64::from(arguments.requests));
    let (samples, took) = tokio::select! {
        measured = measure(&load, &arguments, &bar) => measured,
        _ = tokio::signal::ctrl_c() => return Err(Failure::failed("stopped")),
    };
    bar.done();
    let report = Report::new(&arguments, &samples, took);
    if let Some(path) = &arguments.plot {
        let drawn = plot::draw(&report, path);
        drawn.map_err(|error| Failure::failed(format!("cannot draw {}: {error}", path.display())))?;
        say(&format!("distributions are drawn in {}", path.display()));
    }
    if output::is_json() {
        output::print_json(&report.json())?;
    } else {
        print(&report.table())?;
    }
    if report.answers == 0 { Err(Failure::failed("no request was answered")) } else { Ok(()) }
}

async fn measure(load: &Load, arguments: &BenchServeArgs, bar: &CountBar) -> (Vec<Sample>, Duration) {
    let (first, count) = (u64::from(arguments.warmup), arguments.requests);
    match arguments.rate {
        Some(rate) => load.open(first, count, (rate, arguments.arrivals, arguments.seed), bar).await,
        None => load.closed(first, count, arguments.concurrency.unwrap_or(1), bar).await,
    }
}

#[cfg(test)]
mod tests;
