//! Training on this machine, and by a network.

use super::models::ModelsDir;
use super::parse::{parse_id, parse_percent};
use clap::{Args, Subcommand};
use inferium_types::{Digest, Ppm};
use std::path::PathBuf;

/// `inferium train`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Train a classifier on the vectors of an embedding model: texts with labels.
    Head(Box<HeadArgs>),
    /// Train low-rank adapters of a chat model to say texts like these.
    Lora(Box<LoraArgs>),
    /// Run intervals of a run again, and refuse it where anything differs.
    Verify(VerifyArgs),
    /// Make of a finished run what networks serve: of a classifier a folder for --classifier, of adapters a chat model with
    /// them in its weights.
    Publish(PublishArgs),
    /// Show a run: what it is, losses, and what was measured before and after.
    Show {
        /// The run's folder.
        dir: PathBuf,
    },
}

/// What all kinds of training have in common.
#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    /// The data set: a line of JSON for each text, `{"text": …, "label": …}` or `{"text": …}`.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) data: PathBuf,
    /// Where the run is kept; the same command goes on where it was stopped.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Steps, instead of --epochs.
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u64).range(1..=4_294_967_296))]
    pub(crate) steps: Option<u64>,
    /// Weight decay: what a step takes away of a weight is this times the learning rate.
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = parse_nano)]
    pub(crate) weight_decay: u32,
    /// Steps in which the learning rate grows to its full size.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) warmup: u32,
    /// Draws the held-out part, the order of examples and the first weights.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Steps between checkpoints [default: as many as make 270 intervals, from which on verification is cheap].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) interval: Option<u32>,
    /// Share of lines that is only measured on, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = parse_percent)]
    pub(crate) held_out: Ppm,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// What does not show in results.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Threads that compute [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
}

/// Which network trains, if this machine does not.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// Have the network train whose API begins there, like http://127.0.0.1:8080/v1 [default: as `inferium run` finds it]. The API
    /// key is OPENAI_API_KEY, or the data folder's. Order and first weights are the beacon's.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub(crate) on_network: Option<String>,
    /// A file whose first line is the API key.
    #[arg(long, value_name = "FILE", requires = "on_network")]
    pub(crate) key_file: Option<PathBuf>,
}

/// `inferium train head`.
#[derive(Debug, Args)]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// The embedding model.
    #[arg(long, default_value = crate::model::EMBEDDER)]
    pub(crate) model: String,
    /// How often every text is seen.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) epochs: u64,
    /// Learning rate.
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = parse_nano)]
    pub(crate) learning_rate: u32,
    /// Texts of a step.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) batch: u32,
    /// Held-out texts to measure on at most.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) measure: u32,
}

/// `inferium train lora`.
#[derive(Debug, Args)]
pub(crate) struct LoraArgs {
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// The model.
    #[arg(long, default_value = crate::model::DEFAULT)]
    pub(crate) model: String,
    /// How often every text is seen.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) epochs: u64,
    /// Learning rate.
    #[arg(long, value_name = "X", default_value = "0.002", value_parser = parse_nano)]
    pub(crate) learning_rate: u32,
    /// Texts of a step.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) batch: u32,
    /// Held-out texts to measure on at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) measure: u32,
    /// Rank of each adapter.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) rank: u32,
    /// Adapters count alpha / rank.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) alpha: u32,
    /// Layers that have adapters, from the last one down.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) layers: u32,
    /// Tokens of an example at most; longer texts are several.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub(crate) sequence: u32,
}

/// `inferium train publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The run's folder.
    pub(crate) dir: PathBuf,
    /// Where to write it: a new folder of a classifier, a new file NAME.gguf of a chat model.
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// Name of a classifier, that clients ask for [default: that of the base model, with the first digits of the run's root].
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// `inferium train verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The run's folder.
    pub(crate) dir: PathBuf,
    /// Intervals to run again, drawn by the beacon [default: as many as find a cheat in a tenth of them with 95 %].
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) intervals: Option<u64>,
    /// Run all of it again.
    #[arg(long)]
    pub(crate) all: bool,
    /// The run that it must be: the digest that `train show` prints; a folder of another one is refused.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) run: Option<Digest>,
    /// What draws the intervals: 64 hex digits that nobody knew when the run ended [default: drawn now].
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) beacon: Option<Digest>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// A number from 0 to 1 in billionths, as specs hold it.
fn parse_nano(text: &str) -> Result<u32, String> {
    let expected = || format!("{text:?} is no number from 0 to 1");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) {
        return Err(expected());
    }
    if decimals.len() > 9 {
        return Err("at most nine decimals are possible".to_owned());
    }
    let nano: u64 = format!("{whole}{decimals:0<9}").parse().map_err(|_| expected())?;
    u32::try_from(nano).ok().filter(|nano| *nano <= 1_000_000_000).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::parse_nano;

    #[test]
    fn rates_are_read_exactly() {
        assert_eq!(parse_nano("0.01"), Ok(10_000_000));
        assert_eq!(parse_nano("1"), Ok(1_000_000_000));
        assert_eq!(parse_nano("0.000000001"), Ok(1));
        assert_eq!(parse_nano("0"), Ok(0));
        for bad in ["", ".5", "-1", "1.1", "1e-3", "0.0000000001", "2", "x", "0.1.2"] {
            assert!(parse_nano(bad).is_err(), "{bad}");
        }
    }
}
