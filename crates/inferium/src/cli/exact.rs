//! Integer models, and proofs of what they answer.

use super::client::ServerArgs;
use super::models::ModelsDir;
use super::parse::{parse_id, parse_range};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use inferium_exact::SYNTHETIC_NAMES;
use inferium_types::Digest;
use std::path::PathBuf;

/// `inferium exact`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExactCommand {
    /// Make an integer model of float weights.
    ///
    /// Of an ONNX file, of a safetensors file whose metadata says its layers, or of a sentence encoder: a folder of
    /// sentence-transformers, or the name of one that `inferium list` has.
    Compile(CompileArgs),
    /// Show a model: its id, operations, shapes, parameters, and how far its sums are from the bound.
    Show {
        /// The model.
        #[arg(value_name = "FILE.ifx")]
        model: PathBuf,
    },
    /// Run a model: the label and the logits of every input.
    Run {
        /// The model.
        #[arg(value_name = "FILE.ifx")]
        model: PathBuf,
        /// Inputs of whole numbers: .jsonl (an array a line), .json, .csv, .npy, or .u8 (bytes as they are).
        #[arg(long, value_name = "DATA")]
        input: PathBuf,
    },
}

/// `inferium exact compile`.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The float weights: .onnx, .safetensors, or a sentence encoder.
    #[arg(value_name = "MODEL")]
    pub(crate) weights: PathBuf,
    /// Some dozens of inputs as the model will meet them, of whole numbers: .jsonl, .json, .csv, .npy or .u8; of a sentence encoder a
    /// text file with a text in each line.
    #[arg(long, value_name = "DATA")]
    pub(crate) calibration: PathBuf,
    /// Where the model goes: a file, of a sentence encoder a folder.
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// The model's name [default: that of the weights' file].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Smallest and largest input element, where an ONNX file's metadata does not say it.
    #[arg(long, value_name = "MIN,MAX", value_parser = parse_range, allow_hyphen_values = true)]
    pub(crate) input_range: Option<(i16, i16)>,
    /// What an input of 1 stands for, where an ONNX file's metadata does not say it: 0.003921569 of pixels that were divided by 255.
    #[arg(long, value_name = "X")]
    pub(crate) input_scale: Option<f32>,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
    /// Write over a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `inferium zk`.
#[derive(Debug, Subcommand)]
pub(crate) enum ZkCommand {
    /// Prove what an integer model answers to an input, which the proof does not show.
    Prove(Box<ProveArgs>),
    /// Check a proof: `inferium zk verify MODEL.ifx PROOF`, or with --key instead of the model.
    #[command(allow_missing_positional = true)]
    Verify(Box<CheckArgs>),
    /// Write a model's verification key, which follows from the model alone.
    Key {
        /// The model.
        #[arg(value_name = "FILE.ifx")]
        model: PathBuf,
        /// Where the key goes.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Write over a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Make weights private: draw a secret, and write the key of proofs that hide them, a number of times.
    Hide(Box<HideArgs>),
    /// Get a proof that was asked for with an answer, waiting until its committee has verified it.
    Fetch(Box<FetchArgs>),
    /// Measure proofs of models with drawn weights: time, memory, size; each in a process of its own.
    Bench(ZkBenchArgs),
}

/// `inferium zk hide`.
#[derive(Debug, Args)]
pub(crate) struct HideArgs {
    /// The model, which nobody else needs.
    #[arg(value_name = "FILE.ifx")]
    pub(crate) model: PathBuf,
    /// For so many proofs at least; a key for more makes each proof slower.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) openings: u32,
    /// Where the secret goes, with the count of what was opened; a name that is free. A copy of it counts for itself: have none.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: PathBuf,
    /// Where the key goes: what everybody else verifies with.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Write over a key that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `inferium zk fetch`.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The job whose answer is proved, from `x-inferium-job` or the answer's `inferium.job`.
    pub(crate) job: String,
    /// Where the proof goes, with what it proves.
    #[arg(long, value_name = "PROOF")]
    pub(crate) out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `inferium zk verify`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The model that the proof is about.
    #[arg(value_name = "FILE.ifx", conflicts_with = "key")]
    pub(crate) model: Option<PathBuf>,
    /// The proof.
    #[arg(value_name = "PROOF")]
    pub(crate) proof: PathBuf,
    /// The model's verification key, of `inferium zk key`: some hundred bytes, to be had from whom you trust for the model.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Refuse a proof for another task, as 64 hex digits.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) task: Option<Digest>,
    /// Refuse a proof for another chain.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) chain: Option<Digest>,
    /// Refuse a proof by another prover.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) prover: Option<Digest>,
    /// Refuse a proof about another input, by its commitment.
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) committed_input: Option<Digest>,
}

/// `inferium zk prove`.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The model.
    #[arg(value_name = "FILE.ifx")]
    pub(crate) model: PathBuf,
    /// The input, of whole numbers: .jsonl, .json, .csv, .npy or .u8.
    #[arg(long, value_name = "DATA")]
    pub(crate) input: PathBuf,
    /// Which input of a file with several, from 0.
    #[arg(long, value_name = "N")]
    pub(crate) index: Option<usize>,
    /// All inputs of the file in one proof, 32 at most: hardly dearer than one. Of a number that is no power of two the last one is proved again.
    #[arg(long, conflicts_with = "index")]
    pub(crate) all: bool,
    /// What the proof hides.
    #[arg(long, value_enum, default_value_t = Hides::Activations)]
    pub(crate) hiding: Hides,
    /// Hide the weights too, by the secret of `inferium zk hide`, which counts this proof.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: Option<PathBuf>,
    /// Where the proof goes, with what it proves.
    #[arg(long, value_name = "PROOF")]
    pub(crate) out: PathBuf,
    /// The task that it is for, as 64 hex digits: it is a proof for no other [default: zeros, none].
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) task: Option<Digest>,
    /// The chain that it is for [default: zeros, none].
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) chain: Option<Digest>,
    /// Who proves it [default: zeros, nobody].
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    pub(crate) prover: Option<Digest>,
    /// Write over a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What a proof hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hides {
    /// The input, and all that is computed from it but the output: zero-knowledge.
    Activations,
    /// Nothing: the proof is short and quick to check, but says things about the input.
    None,
}

/// `inferium zk bench`.
#[derive(Debug, Args)]
pub(crate) struct ZkBenchArgs {
    /// Measure this model; can be given several times [default: mlp-109k, lenet-5, dense-4m, cnn-264k].
    #[arg(long = "model", value_name = "NAME", value_parser = PossibleValuesParser::new(SYNTHETIC_NAMES))]
    pub(crate) models: Vec<String>,
    /// What the proofs hide.
    #[arg(long, value_enum, default_value_t = Hides::Activations)]
    pub(crate) hiding: Hides,
    /// Hide the weights too, by keys for so many proofs at least.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) openings: Option<u32>,
    /// Proofs to measure of each model, after one that is not counted.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) proofs: u32,
    /// Measure in this process: what a process of its own is started with.
    #[arg(long, hide = true)]
    pub(crate) alone: bool,
}
