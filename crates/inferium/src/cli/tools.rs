//! Arguments of `inferium studio tools`.

use clap::Args;
use inferium_tools::Builtin;
use std::path::PathBuf;

/// Which tools, where, and what they may do.
#[derive(Debug, Args)]
pub(crate) struct ToolsArgs {
    /// A manifest, whose `tools` are started.
    #[arg(value_name = "MANIFEST", required_unless_present = "builtin")]
    pub(crate) manifest: Option<PathBuf>,
    /// A server that every host has: documents, table or watch; once for each.
    #[arg(long, value_name = "NAME")]
    pub(crate) builtin: Vec<Builtin>,
    /// The folder that the tools work in: they read and write all of it, and nothing else.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// A program that the manifest may name; once for each.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) allow: Vec<PathBuf>,
    /// What allowed programs read beside themselves and the system's libraries, such as their virtual environment.
    #[arg(long, value_name = "PATH", requires = "allow")]
    pub(crate) read: Vec<PathBuf>,
    /// Let allowed programs use the network.
    #[arg(long, requires = "allow")]
    pub(crate) network: bool,
    /// Let allowed programs start processes.
    #[arg(long, requires = "allow")]
    pub(crate) processes: bool,
    /// Let servers be at private addresses, such as this machine's own.
    #[arg(long)]
    pub(crate) private_addresses: bool,
    /// A secret that tools are given, by its name: it is taken from the variable of that name.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Vec<String>,
    /// Where `documents` gets vectors from, such as http://localhost:8080/v1; the key is taken from `OPENAI_API_KEY`.
    #[arg(long, value_name = "URL", requires = "embeddings_model")]
    pub(crate) embeddings_url: Option<String>,
    /// The model of those vectors.
    #[arg(long, value_name = "MODEL", requires = "embeddings_url")]
    pub(crate) embeddings_model: Option<String>,
    /// Call this tool instead of listing all.
    #[arg(long, value_name = "TOOL")]
    pub(crate) call: Option<String>,
    /// What it is called with, a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = parse_arguments, requires = "call")]
    pub(crate) arguments: serde_json::Value,
}

fn parse_arguments(text: &str) -> Result<serde_json::Value, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("arguments of a tool are a JSON object".to_owned()) }
}
