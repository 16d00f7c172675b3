//! Hosting of agents' runs: how this binary starts the tools that they name.

use crate::cli::Failure;
use futures::future::BoxFuture;
use inferium_agent::Manifest;
use inferium_tools::{Host, Launch, Secret, Secrets, Server, ToolBox, ToolOutcome};
use inferium_types::{EngineClass, ModelProfile, ModelTask, RunTool};
use inferium_worker::{OpenTools, ToolResponse, Tools};
use serde_json::Value;
use std::path::Path;

/// True for a model whose worker can host agents that call it: it replays what other workers of it answer.
pub(crate) fn can_host(profile: &ModelProfile) -> bool {
    profile.task == ModelTask::Chat && matches!(profile.engine, EngineClass::Canonical { .. })
}

/// A host of what is built in.
pub(crate) fn host() -> Result<Host, Failure> {
    let helper = std::env::current_exe().map_err(|error| Failure::failed(format!("where is this program? {error}")))?;
    Ok(Host::new(helper))
}

/// The servers that a manifest names.
///
/// # Errors
/// A built-in server that this software does not have.
pub(crate) fn servers_of(manifest: &Manifest) -> Result<Vec<Server>, String> {
    let server = |(name, server): (&String, &inferium_agent::Server)| {
        let launch = match server.launch() {
            Some(inferium_agent::Launch::Builtin(builtin)) => Launch::Builtin(builtin.parse()?),
            Some(inferium_agent::Launch::Command([program, arguments @ ..])) => {
                Launch::Command { program: program.clone(), arguments: arguments.to_vec() }
            }
            Some(inferium_agent::Launch::Url(url)) => Launch::Url(url.to_owned()),
            // Not in a manifest that was read.
            Some(inferium_agent::Launch::Command([])) | None => return Err(format!("server {name:?} is nowhere")),
        };
        Ok(Server { name: name.clone(), launch })
    };
    manifest.tools.iter().map(server).collect()
}

/// Starts servers of tools as this host allows them.
#[derive(Debug)]
pub(crate) struct ToolServers(pub(crate) Host);

impl OpenTools for ToolServers {
    fn open<'a>(
        &'a self,
        manifest: &'a Manifest,
        folder: &'a Path,
        secrets: Vec<(String, String)>,
    ) -> BoxFuture<'a, Result<Box<dyn Tools>, String>> {
        Box::pin(async move {
            let servers = servers_of(manifest)?;
            let mut given = Secrets::default();
            for (name, value) in secrets {
                given.insert(name, Secret::new(value));
            }
            let opened = ToolBox::open(&servers, folder, &self.0, &given).await;
            let tools = opened.map_err(|error| error.to_string())?;
            Ok(Box::new(Opened(tools)) as Box<dyn Tools>)
        })
    }
}

struct Opened(ToolBox);

impl Tools for Opened {
    fn found(&self) -> Vec<RunTool> {
        let mut found: Vec<RunTool> = self
            .0
            .definitions()
            .iter()
            .map(|tool| RunTool {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.to_string(),
            })
            .collect();
        found.sort_by(|one, next| one.name.cmp(&next.name));
        found
    }

    fn call<'a>(&'a mut self, name: &'a str, arguments: &'a str) -> BoxFuture<'a, ToolResponse> {
        Box::pin(async move {
            // What a grammar let through is JSON; of a model without one it may be anything.
            let Ok(arguments) = serde_json::from_str::<Value>(arguments) else {
                return ToolResponse { text: "the arguments are no JSON".to_owned(), failed: true };
            };
            match self.0.call(name, arguments).await {
                ToolOutcome::Text(text) => ToolResponse { text, failed: false },
                ToolOutcome::Failed(text) => ToolResponse { text, failed: true },
            }
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.0.close())
    }
}
