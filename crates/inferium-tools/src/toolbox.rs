//! The tools of one run.

mod address;
mod connection;
mod content;
mod definitions;
mod error;
mod meter;
mod process;

pub use error::ToolError;

pub(crate) use connection::EMBEDDINGS_KEY;

use crate::host::{Bounds, Host, Secrets, Server};
use connection::{Connection, Failed, Plan};
use definitions::{Definitions, check_server_name};
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// How often a folder is measured while a program that can write to it works.
const FOLDER_INTERVAL: Duration = Duration::from_millis(500);

/// Files and folders that are counted at most: one with more of them is full, whatever their size.
const FOLDER_ENTRIES_MAX: usize = 20_000;

/// A tool, as a model is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolDefinition {
    /// `SERVER__TOOL`, at most 64 of a-z, A-Z, 0-9, `-` and `_`; other characters of the tool's own name are `_`.
    pub name: String,
    /// What it does, in its server's words.
    pub description: String,
    /// JSON schema of its arguments, which are an object.
    pub parameters: Value,
}

/// What became of a call, for the model to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolOutcome {
    /// The tool's answer.
    Text(String),
    /// Why there is none: the tool's own words, or what happened to its server.
    Failed(String),
}

/// The servers of one run, started, with their tools.
///
/// Dropping it kills all programs of it; [`ToolBox::close`] also waits until they are gone.
#[derive(Debug)]
pub struct ToolBox {
    servers: Vec<Running>,
    definitions: Definitions,
    folder: PathBuf,
    bounds: Bounds,
    calls: AtomicU32,
}

#[derive(Debug)]
struct Running {
    name: String,
    /// One call at a time: a server's bounds are those of a call.
    link: Mutex<Link>,
}

enum Link {
    Open(Box<Connection>),
    /// Why it is of no more use.
    Gone(String),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(_) => f.write_str("Open"),
            Self::Gone(reason) => f.debug_tuple("Gone").field(reason).finish(),
        }
    }
}

impl ToolBox {
    /// Starts `servers` for a run whose files are in `folder`, all at once, and lists their tools.
    ///
    /// `folder` is the run's alone: programs read and write all of it, and nothing beside it.
    ///
    /// # Errors
    /// What this host does not run is refused before anything is started; a server that does not start, or whose tools a
    /// model could not be told of, ends the others.
    pub async fn open(servers: &[Server], folder: &Path, host: &Host, secrets: &Secrets) -> Result<Self, ToolError> {
        let folder_error = |reason: String| ToolError::Folder { path: folder.to_owned(), reason };
        let path = folder.canonicalize().map_err(|error| folder_error(error.to_string()))?;
        if !path.is_dir() {
            return Err(folder_error("it is no folder".to_owned()));
        }
        let mut names = BTreeSet::new();
        for server in servers {
            check_server_name(&server.name)?;
            if !names.insert(&server.name) {
                return Err(ToolError::ServerTwice(server.name.clone()));
            }
        }
        let is_odd = |text: &str| text.contains('\0');
        for (name, secret) in secrets.iter() {
            if name.is_empty() || name.contains('=') || is_odd(name) || is_odd(secret.expose()) {
                return Err(ToolError::Secret(name.to_owned()));
            }
        }
        let plans = servers.iter().map(|server| Plan::new(server, &path, host, secrets));
        let plans = plans.collect::<Result<Vec<_>, _>>()?;
        let opened = join_all(plans.into_iter().map(Plan::open)).await;
        Self::gather(servers, opened, path, &host.bounds).await
    }

    async fn gather(
        servers: &[Server],
        opened: Vec<Result<(Connection, Vec<rmcp::model::Tool>), ToolError>>,
        folder: PathBuf,
        bounds: &Bounds,
    ) -> Result<Self, ToolError> {
        let mut tools = Self {
            servers: Vec::new(),
            definitions: Definitions::default(),
            folder,
            bounds: bounds.clone(),
            calls: AtomicU32::new(0),
        };
        let mut failure = None;
        for (server, opened) in servers.iter().zip(opened) {
            let index = tools.servers.len();
            let added = opened.and_then(|(connection, listed)| {
                let link = Mutex::new(Link::Open(Box::new(connection)));
                tools.servers.push(Running { name: server.name.clone(), link });
                tools.definitions.add(index, &server.name, listed)
            });
            failure = failure.or(added.err());
        }
        match failure {
            None => Ok(tools),
            Some(error) => {
                tools.close().await;
                Err(error)
            }
        }
    }

    /// The tools, in the order of their servers.
    #[must_use]
    pub fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions.list
    }

    /// Calls the tool that models know as `name`.
    ///
    /// `arguments` are an object, or null for none. Ends after [`Bounds::call`] at the latest, waiting for another call of
    /// the same server included; calls of several servers run beside each other.
    pub async fn call(&self, name: &str, arguments: Value) -> ToolOutcome {
        let deadline = Instant::now() + self.bounds.call;
        let Some((index, tool)) = self.definitions.owners.get(name) else {
            let names: Vec<&str> = self.definitions.list.iter().map(|tool| tool.name.as_str()).collect();
            return ToolOutcome::Failed(format!("there is no tool {name:?}; there are {}", names.join(", ")));
        };
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            Value::Null => serde_json::Map::new(),
            _ => return ToolOutcome::Failed("arguments of a tool are a JSON object".to_owned()),
        };
        let counted = self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
            (calls < self.bounds.calls_max).then(|| calls.saturating_add(1))
        });
        if counted.is_err() {
            return ToolOutcome::Failed(format!("this run has made the {} calls that it can", self.bounds.calls_max));
        }
        match self.servers.get(*index) {
            Some(server) => self.call_server(server, tool, arguments, deadline).await,
            None => ToolOutcome::Failed(format!("the server of {name:?} is gone")),
        }
    }

    async fn call_server(
        &self,
        server: &Running,
        tool: &str,
        arguments: serde_json::Map<String, Value>,
        deadline: Instant,
    ) -> ToolOutcome {
        let name = &server.name;
        let slow = format!("it did not answer within {} s, and was stopped", self.bounds.call.as_secs_f64());
        let Ok(mut link) = timeout_at(deadline, server.link.lock()).await else {
            return ToolOutcome::Failed(format!("server {name} had no time for this call beside others"));
        };
        let connection = match &mut *link {
            Link::Open(connection) => connection,
            Link::Gone(reason) => return ToolOutcome::Failed(format!("server {name} is gone: {reason}")),
        };
        let writes = connection.is_process();
        let outcome = tokio::select! {
            outcome = timeout_at(deadline, connection.call(tool, arguments)) => {
                outcome.unwrap_or(Err(Failed::Lost(Some(slow))))
            }
            reason = self.until_full(), if writes => Err(Failed::Lost(Some(reason))),
        };
        let outcome = match outcome {
            // An answer is no licence to have filled the folder before it.
            Ok(answer) if writes => match self.full().await {
                None => Ok(answer),
                Some(reason) => Err(Failed::Lost(Some(reason))),
            },
            outcome => outcome,
        };
        match outcome {
            Ok(answer) => answer,
            Err(Failed::Answer(reason)) => ToolOutcome::Failed(reason),
            Err(Failed::Lost(reason)) => {
                let reason = connection.end(&self.bounds, reason).await;
                *link = Link::Gone(reason.clone());
                ToolOutcome::Failed(format!("server {name} is gone: {reason}"))
            }
        }
    }

    /// Waits until the folder holds more than it may.
    async fn until_full(&self) -> String {
        loop {
            tokio::time::sleep(FOLDER_INTERVAL).await;
            if let Some(reason) = self.full().await {
                return reason;
            }
        }
    }

    /// Says that the folder holds more than it may, if it does.
    async fn full(&self) -> Option<String> {
        let (folder, max) = (self.folder.clone(), self.bounds.folder_bytes);
        let is_full = tokio::task::spawn_blocking(move || is_over(folder, max)).await;
        is_full.unwrap_or(false).then(|| format!("the run's folder holds more than {max} bytes, or too many files"))
    }

    /// Ends all servers, and waits until their programs are gone.
    pub async fn close(self) {
        join_all(self.servers.into_iter().map(|server| async {
            if let Link::Open(mut connection) = server.link.into_inner() {
                connection.end(&self.bounds, None).await;
            }
        }))
        .await;
    }
}

/// True if the files below `folder` are over `max` bytes together, or too many to count.
fn is_over(folder: PathBuf, max: u64) -> bool {
    let (mut waiting, mut entries, mut bytes) = (vec![folder], 0_usize, 0_u64);
    while let Some(folder) = waiting.pop() {
        // What was removed meanwhile holds nothing.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            entries = entries.saturating_add(1);
            // Of the entry itself: what a link leads to is not of this folder.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
            bytes = bytes.saturating_add(metadata.len());
            if entries > FOLDER_ENTRIES_MAX || bytes > max {
                return true;
            }
        }
    }
    false
}
