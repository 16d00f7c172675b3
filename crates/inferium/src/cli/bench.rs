//! What measures a server.

use super::client::ServerArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `inferium bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Load a server of the chat API, and measure how soon its answers come: `inferium bench serve --rate 20`.
    Serve(Box<BenchServeArgs>),
}

/// `inferium bench serve`.
#[derive(Debug, Args)]
pub(crate) struct BenchServeArgs {
    /// The model.
    #[arg(default_value = crate::model::DEFAULT)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Open loop: requests leave at this rate, a second on average, whatever the answers do.
    #[arg(long, value_name = "PER-SECOND", conflicts_with = "concurrency", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// How the requests of an open loop are spaced.
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson, requires = "rate")]
    pub(crate) arrivals: Arrivals,
    /// Closed loop: so many clients, each of which asks again when it has its answer [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: Option<u32>,
    /// Requests in all.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests: u32,
    /// Requests beforehand that count for nothing.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) warmup: u32,
    /// Words of each prompt.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) prompt_words: u32,
    /// How many of them all prompts begin with.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) shared_words: u32,
    /// Tokens of an answer at most.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// From 0, always the likeliest, to 2.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub(crate) temperature: f64,
    /// The same seed asks the same prompts at the same times.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Draw the distributions into a file.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// As independent clients do.
    Poisson,
    /// Evenly.
    Constant,
}

fn rate(text: &str) -> Result<f64, String> {
    let expected = || format!("{text:?} is no rate; expected requests a second, above 0 and at most 100000");
    let rate: f64 = text.parse().map_err(|_| expected())?;
    if rate > 0.0 && rate <= 100_000.0 { Ok(rate) } else { Err(expected()) }
}
