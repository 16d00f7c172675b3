//! `inferium run`: one question from the command line or a pipe, or a chat on a terminal.

mod api;
mod chat;

use crate::cli::{Failure, RunArgs, ServerArgs};
use crate::home::{data_dir, devnet_secret};
use crate::output;
use crate::progress::print;
use api::Stats;
pub(crate) use api::{Api, Events};
use inferium_gateway::ApiKey;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

/// Bytes of a question that comes by a pipe at most.
const QUESTION_MAX: u64 = 8 * 1024 * 1024;
/// Where OpenAI's clients find their server and key.
const BASE_URL: &str = "OPENAI_BASE_URL";
const API_KEY: &str = "OPENAI_API_KEY";

/// How answers are drawn; what is not set is the model's.
#[derive(Debug, Clone, Default)]
struct Options {
    system: Option<String>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<u64>,
    max_tokens: Option<u32>,
    verbose: bool,
}

pub(crate) async fn run(arguments: RunArgs, verbose: bool) -> Result<(), Failure> {
    let api = Api::new(server(&arguments.server)?, &arguments.model)?;
    let options = Options {
        system: arguments.system,
        temperature: arguments.temperature,
        top_p: None,
        seed: arguments.seed,
        max_tokens: arguments.max_tokens,
        verbose,
    };
    let question = arguments.prompt.join(" ");
    if !question.is_empty() {
        return once(&api, &options, &question).await;
    }
    if std::io::stdin().is_terminal() {
        api.check().await?;
        return chat::chat(&api, options).await;
    }
    let mut question = String::new();
    let read = std::io::stdin().take(QUESTION_MAX + 1).read_to_string(&mut question);
    read.map_err(|error| Failure::usage(format!("stdin can't be read as text: {error}")))?;
    if u64::try_from(question.len()).unwrap_or(u64::MAX) > QUESTION_MAX {
        return Err(Failure::usage("the question on stdin is longer than 8 MiB"));
    }
    let question = question.trim_end_matches(['\r', '\n']);
    if question.trim().is_empty() {
        return Err(Failure::usage("nothing was asked: stdin is empty"));
    }
    once(&api, &options, question).await
}

/// A server of OpenAI's API.
pub(crate) struct Server {
    /// Where its API begins, without a slash at the end.
    pub(crate) base: String,
    /// The API key.
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn new(base: &str, key: String) -> Result<Self, Failure> {
        let base = base.trim().trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::usage(format!("{base:?} is no http(s) address")));
        }
        Ok(Self { base, key })
    }
}

/// The server that is asked, and with which key.
pub(crate) fn server(arguments: &ServerArgs) -> Result<Server, Failure> {
    let from_variable = || std::env::var(API_KEY).ok().filter(|key| !key.trim().is_empty());
    let given = arguments.key_file.as_deref().map(first_line).transpose()?;
    let url = match (&arguments.url, &arguments.network.data) {
        (Some(url), _) => Some(url.clone()),
        // Named for this program, so more to the point than what all clients of the API read.
        (None, Some(_)) => None,
        (None, None) => std::env::var(BASE_URL).ok().filter(|url| !url.trim().is_empty()),
    };
    if let Some(base) = url {
        let key = given.or_else(from_variable);
        let key =
            key.ok_or_else(|| Failure::usage(format!("no API key for {base}: set {API_KEY}, or name a --key-file")))?;
        return Server::new(&base, key);
    }
    let data = data_dir(arguments.network.data.clone());
    let base = crate::up::network_file(&data)?.base_url;
    let own = || -> Result<String, Failure> {
        let secret = devnet_secret(&data, "api-key")?;
        let secret = secret.ok_or_else(|| Failure::usage(format!("{} has no API key", data.display())))?;
        Ok(ApiKey::from_entropy(secret).reveal())
    };
    Server::new(&base, given.map_or_else(own, Ok)?)
}

fn first_line(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| Failure::usage(format!("{} is empty", path.display())))
}

/// Asks one thing and prints the answer alone.
async fn once(api: &Api, options: &Options, question: &str) -> Result<(), Failure> {
    let mut messages: Vec<Value> =
        options.system.iter().map(|text| json!({"role": "system", "content": text})).collect();
    messages.push(json!({"role": "user", "content": question}));
    let is_json = output::is_json();
    let mut show = |text: &str| if is_json { Ok(()) } else { write_out(text) };
    let answer = tokio::select! {
        answer = api.ask(&messages, options, &mut show) => answer?,
        // Dropped, the request is closed, and with it the worker's job.
        _ = tokio::signal::ctrl_c() => return Err(Failure::failed("stopped")),
    };
    if is_json {
        return output::print_json(&answer.json());
    }
    print("")?;
    if options.verbose {
        tell(&answer.stats);
    }
    Ok(())
}

/// A piece of an answer on stdout, at once.
fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("cannot write to stdout: {error}")))
}

/// How an answer went, on stderr.
fn tell(stats: &Stats) {
    for line in stats.lines() {
        crate::progress::say(&line);
    }
}

#[cfg(test)]
mod tests;
