//! Models and profiles.

use super::parse::parse_sha256;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `inferium model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Download a model of the catalogue or of an address, or import a GGUF file.
    Pull(PullArgs),
    /// List the models of the catalogue and of this machine.
    List(ModelsDir),
    /// Tell what a model is and where it comes from.
    Show(ModelArgs),
    /// Remove a model from this machine.
    Rm(ModelArgs),
}

/// A model to get.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// A name of the catalogue, a path, or an http(s) address of a GGUF file.
    pub(crate) name: String,
    /// SHA-256 of the file at an address, as 64 hex digits.
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    pub(crate) sha256: Option<String>,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
}

/// A model of the catalogue or of this machine.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) models: ModelsDir,
}

/// Where models are kept.
#[derive(Debug, Args)]
pub(crate) struct ModelsDir {
    /// The folder of models [default: ~/.inferium/models].
    #[arg(long = "models", env = "INFERIUM_MODELS", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// `inferium profile`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Measure honest engines and cheats on a model, fit thresholds, and say whether they separate.
    ///
    /// Finished runs are kept: the same command goes on after an interruption.
    Calibrate {
        /// The model.
        #[arg(default_value = crate::model::DEFAULT)]
        name: String,
        /// Answers of each run.
        #[arg(long, default_value_t = 96, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
        jobs: u32,
        /// Tokens of an answer at most.
        #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_048))]
        tokens: u32,
        /// Where runs and report go [default: a folder beside the models].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        models: ModelsDir,
    },
    /// Let honest engines answer and judge each answer as a validator does: none may be rejected.
    ///
    /// Finished jobs are kept: the same command goes on, and a larger number of jobs adds to them.
    Honest(crate::honest::HonestArgs),
}
