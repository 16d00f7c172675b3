//! Runs of agents, asked of a gateway: `inferium studio run`, `runs`, `logs`, and manifests brought to it.

use crate::admin::{answer, refusal};
use crate::cli::{Failure, RunAgentArgs, ServerArgs};
use crate::home::date_time;
use crate::keys::{rows, text};
use crate::output;
use crate::progress::{print, say};
use crate::run::{Events, Server, server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use futures::StreamExt as _;
use inferium_types::{AgentId, limits};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the name of a file ends with that is as it was in the run before.
const PREVIOUS: &str = ".previous";
/// Time without a sign of life. A run may be silent for as long as its model answers.
const SILENCE: Duration = Duration::from_secs(600);

/// The gateway that runs are asked of.
struct Api {
    http: Client,
    server: Server,
}

impl Api {
    fn of(arguments: &ServerArgs) -> Result<Self, Failure> {
        let http = Client::builder().connect_timeout(Duration::from_secs(10)).read_timeout(SILENCE).build();
        let http = http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, server: server(arguments)? })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.base)).bearer_auth(&self.server.key)
    }

    async fn ask(&self, path: &str) -> Result<Value, Failure> {
        answer(self.request(Method::GET, path), &self.server.base).await
    }
}

/// Brings a manifest to the gateway of the network in a data folder.
pub(super) async fn bring(arguments: &ServerArgs, agent: AgentId, manifest: Vec<u8>) -> Result<(), Failure> {
    let api = Api::of(arguments)?;
    let request = api.request(Method::PUT, &format!("/agents/{agent}/manifest")).body(manifest);
    answer(request.header("content-type", "text/plain; charset=utf-8"), &api.server.base).await.map(drop)
}

/// An agent as the gateway shows it.
pub(super) async fn agent(agent: &str, arguments: &ServerArgs) -> Result<Value, Failure> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if agent.is_empty() || !agent.chars().all(is_plain) {
        return Err(Failure::usage(format!("{agent:?} is neither the name of an agent nor an id")));
    }
    Api::of(arguments)?.ask(&format!("/agents/{agent}")).await
}

pub(super) async fn run(arguments: RunAgentArgs) -> Result<(), Failure> {
    let api = Api::of(&arguments.server)?;
    let task = task_of(&arguments.task)?;
    let secrets = secrets_of(&arguments.secrets)?;
    let mut before = BTreeMap::new();
    loop {
        // Read anew each time: a watcher is there for what changes, and gets what was there the time before as well.
        let now = files_of(&arguments.files)?;
        let previous = before.into_iter().map(|(name, bytes)| (format!("{name}{PREVIOUS}"), bytes));
        let files: Vec<Value> =
            now.clone().into_iter().chain(previous).map(|(name, bytes)| file_json(&name, &bytes)).collect();
        before = if arguments.every.is_some() { now } else { BTreeMap::new() };
        let body = json!({
            "agent": arguments.agent,
            "input": task,
            "files": files,
            "secrets": secrets,
            "price_max": arguments.price_max.map(|most| most.to_string().trim_end_matches(" IFR").to_owned()),
            "stream": true,
        });
        let run = one(&api, &body).await?;
        show_answer(&run)?;
        let Some(pause) = arguments.every else { return Ok(()) };
        tokio::time::sleep(pause).await;
    }
}

/// What the agent is to do: the arguments, or what comes by a pipe.
fn task_of(words: &[String]) -> Result<String, Failure> {
    let task = words.join(" ");
    if !task.is_empty() {
        return Ok(task);
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage("say what the agent is to do, as arguments or by a pipe"));
    }
    let most = u64::try_from(limits::RUN_TASK_SIZE_MAX).unwrap_or(u64::MAX);
    let mut task = String::new();
    let read = std::io::stdin().take(most + 1).read_to_string(&mut task);
    read.map_err(|error| Failure::usage(format!("stdin can't be read as text: {error}")))?;
    if task.len() > limits::RUN_TASK_SIZE_MAX {
        return Err(Failure::usage(format!("what comes on stdin is longer than {} bytes", limits::RUN_TASK_SIZE_MAX)));
    }
    match task.trim() {
        "" => Err(Failure::usage("nothing was asked: stdin is empty")),
        task => Ok(task.to_owned()),
    }
}

/// Files for the run's folder: those that were named, and all files of folders that were, not those in folders below.
fn files_of(named: &[PathBuf]) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let failed =
        |path: &Path, error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let mut paths = Vec::new();
    for path in named {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(|error| failed(path, error))? {
                let entry = entry.map_err(|error| failed(path, error))?;
                let is_plain = entry.file_type().is_ok_and(|kind| kind.is_file());
                if is_plain && !entry.file_name().to_string_lossy().starts_with('.') {
                    paths.push(entry.path());
                }
            }
        } else {
            paths.push(path.clone());
        }
    }
    let mut files = BTreeMap::new();
    let mut size = 0usize;
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, error))?;
        size = size.saturating_add(bytes.len());
        if size > limits::RUN_FILES_SIZE_MAX {
            let most = limits::RUN_FILES_SIZE_MAX;
            return Err(Failure::usage(format!("the files have more than {most} bytes together, which is the most")));
        }
        if files.insert(name.clone(), bytes).is_some() {
            return Err(Failure::usage(format!("two files are called {name:?}")));
        }
    }
    Ok(files)
}

fn file_json(name: &str, bytes: &[u8]) -> Value {
    json!({"name": name, "content": STANDARD.encode(bytes), "encoding": "base64"})
}

/// Secrets from this process's environment, by their names.
fn secrets_of(names: &[String]) -> Result<Map<String, Value>, Failure> {
    let value = |name: &String| {
        let value = std::env::var(name)
            .map_err(|_| Failure::usage(format!("the environment has no variable {name}, or not in UTF-8")))?;
        Ok((name.clone(), Value::String(value)))
    };
    names.iter().map(value).collect()
}

/// One run, whose calls are told as they come.
async fn one(api: &Api, body: &Value) -> Result<Value, Failure> {
    let base = &api.server.base;
    let lost = |error: &dyn std::fmt::Display| Failure::network(format!("the gateway at {base} is lost: {error}"));
    let response = api.request(Method::POST, "/runs").json(body).send().await.map_err(|error| lost(&error))?;
    let status = response.status();
    if !status.is_success() {
        let body: Value = response.json().await.map_err(|error| lost(&error))?;
        return Err(refusal(status.as_u16(), &body));
    }
    let (mut events, mut bytes) = (Events::default(), response.bytes_stream());
    while let Some(piece) = bytes.next().await {
        for event in events.take(&piece.map_err(|error| lost(&error))?)? {
            let event: Value = serde_json::from_str(&event).map_err(|error| lost(&error))?;
            if event.get("error").is_some_and(Value::is_object) {
                return Err(refusal(502, &event));
            }
            match (text(&event, "type"), text(&event, "status")) {
                ("", "completed") => return Ok(event),
                ("", _) => say(&format!("run {}", text(&event, "id"))),
                _ => say(&call_line(&event)),
            }
        }
    }
    Err(lost(&"the stream ended before the run"))
}

fn call_line(event: &Value) -> String {
    let number = |field: &str| event.get(field).and_then(Value::as_u64).unwrap_or(0);
    match text(event, "type") {
        "model" => format!(
            "  model  {} + {} tokens, {} IFR",
            number("prompt_tokens"),
            number("completion_tokens"),
            text(event, "cost")
        ),
        "tool" => {
            let failed = event.get("failed").and_then(Value::as_bool).unwrap_or(false);
            let end = if failed { "failed" } else { "done" };
            format!("  tool   {} {end} in {} ms", text(event, "name"), number("took_ms"))
        }
        other => format!("  {other}"),
    }
}

fn show_answer(run: &Value) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(run);
    }
    say(&format!("cost {} IFR, of which the agent's price is {}", text(run, "cost"), text(run, "price")));
    print(text(run, "answer"))
}

pub(super) async fn list(arguments: &ServerArgs) -> Result<(), Failure> {
    let list = Api::of(arguments)?.ask("/runs").await?;
    if output::is_json() {
        return output::print_json(&list);
    }
    if rows(&list).is_empty() {
        return print("No runs yet: `inferium studio run AGENT` makes one.");
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["began", "run", "agent", "status", "cost"]);
    for run in rows(&list) {
        let began = run.get("began_at").and_then(Value::as_u64).unwrap_or(0).saturating_mul(1_000);
        let agent = run.pointer("/agent/name").and_then(Value::as_str).unwrap_or_default();
        table.add_row([&date_time(began), text(run, "id"), agent, text(run, "status"), text(run, "cost")]);
    }
    print(&table.to_string())
}

/// An id that can stand in an address.
fn id_of(run: &str) -> Result<&str, Failure> {
    let is_id = !run.is_empty() && run.chars().all(|one| one.is_ascii_hexdigit());
    let wrong = || Failure::usage(format!("{run:?} is no id of a run; `inferium studio runs` has them"));
    if is_id { Ok(run) } else { Err(wrong()) }
}

/// Says what a run was worth.
pub(super) async fn review(run: &str, rating: u8, words: &str, arguments: &ServerArgs) -> Result<(), Failure> {
    let api = Api::of(arguments)?;
    let request = api.request(Method::PUT, &format!("/runs/{}/review", id_of(run)?));
    let review = answer(request.json(&json!({"rating": rating, "text": words})), &api.server.base).await?;
    if output::is_json() {
        return output::print_json(&review);
    }
    print(&format!("published: {rating} of 5 for the run {}", text(&review, "run")))
}

pub(super) async fn logs(run: &str, arguments: &ServerArgs) -> Result<(), Failure> {
    let run = id_of(run)?;
    let run = Api::of(arguments)?.ask(&format!("/runs/{run}")).await?;
    if output::is_json() {
        return output::print_json(&run);
    }
    let mut lines = vec![format!("run {}: {}", text(&run, "id"), text(&run, "status"))];
    for call in run.get("calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        match text(call, "type") {
            "model" => lines.push(format!("model ({}): {}", text(call, "job"), text(call, "text"))),
            "tool" => {
                lines.push(format!("tool {} {}", text(call, "name"), text(call, "arguments")));
                lines.push(format!("  {}", text(call, "response").replace('\n', "\n  ")));
            }
            "spend" => lines.push(format!("pay {} IFR to {}", text(call, "amount"), text(call, "to"))),
            "hire" => {
                lines.push(format!("hire {} for: {}", text(call, "agent"), text(call, "task")));
                let of = [("run", text(call, "run")), ("because", text(call, "error"))];
                let of = of.into_iter().filter(|(_, value)| !value.is_empty());
                let of: String = of.map(|(name, value)| format!(", {name} {value}")).collect();
                lines.push(format!("  {}{of}", text(call, "status")));
            }
            other => lines.push(other.to_owned()),
        }
    }
    for (field, name) in [("answer", "answer"), ("error", "failed")] {
        if !text(&run, field).is_empty() {
            lines.push(format!("{name}: {}", text(&run, field)));
        }
    }
    if !text(&run, "cost").is_empty() {
        lines.push(format!("cost {} IFR", text(&run, "cost")));
    }
    print(&lines.join("\n"))
}
