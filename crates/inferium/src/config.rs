//! The configuration file: what no flag and no variable says.
//!
//! Its keys are the variables of the command line in lower case, without `INFERIUM_`: `data = "/srv/inferium"` is what
//! `INFERIUM_DATA` says, and `--data`. So there is one list of settings, and each has all three ways.

use crate::cli::{Cli, Failure};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const PREFIX: &str = "INFERIUM_";
/// Names the file itself.
const CONFIG: &str = "INFERIUM_CONFIG";

/// Reads the command line, over the variables, over the file. Ends the process where the command line asks for help or is
/// wrong.
pub(crate) fn command_line() -> Result<Cli, Failure> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut command = Cli::command();
    if let Some((path, is_named)) = file(&arguments)
        && (is_named || path.exists())
    {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("cannot read the configuration {}: {error}", path.display())))?;
        let values = read(&text, &settings(&command))
            .map_err(|reason| Failure::usage(format!("the configuration {}: {reason}", path.display())))?;
        command = with_defaults(command, &values);
    }
    let matches = command.get_matches_from(arguments);
    Cli::from_arg_matches(&matches).map_err(|error| error.exit())
}

/// The configuration's file, and whether somebody named it.
fn file(arguments: &[OsString]) -> Option<(PathBuf, bool)> {
    if let Some(named) = named(arguments).or_else(|| std::env::var_os(CONFIG)) {
        return Some((named.into(), true));
    }
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some((folder.join("inferium").join("config.toml"), false))
}

/// What `--config` names. It is looked for before the command line is read, since it says what that one defaults to.
fn named(arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().cloned();
        }
        if let Some(path) = argument.to_str().and_then(|argument| argument.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// The key of an argument that the file may set.
fn key_of(argument: &Arg) -> Option<String> {
    let name = argument.get_env().and_then(OsStr::to_str).filter(|name| *name != CONFIG)?;
    argument.get_action().takes_values().then_some(())?;
    name.strip_prefix(PREFIX).map(str::to_lowercase)
}

/// All keys that the file may have.
fn settings(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(key_of);
    own.chain(command.get_subcommands().flat_map(settings)).collect()
}

/// The file's keys and values, each as the command line would have it.
fn read(text: &str, known: &BTreeSet<String>) -> Result<BTreeMap<String, String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !known.contains(&key) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(format!("unknown key `{key}`; known are {}", known.join(", ")));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => return Err(format!("`{key}` must be a text or a whole number")),
        };
        values.insert(key, value);
    }
    Ok(values)
}

fn with_defaults(command: Command, values: &BTreeMap<String, String>) -> Command {
    let command = command.mut_args(|argument| match key_of(&argument).and_then(|key| values.get(&key)) {
        Some(value) => argument.default_value(value.clone()),
        None => argument,
    });
    command.mut_subcommands(|subcommand| with_defaults(subcommand, values))
}

#[cfg(test)]
mod tests;
