//! `inferium studio tools`: a creator tries tools as hosts run them, in the same sandbox.

use crate::cli::{Failure, ToolsArgs};
use crate::hosting::servers_of;
use crate::output;
use crate::progress::{Step, print};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_agent::Manifest;
use inferium_tools::{
    Builtin, Embeddings, Host, Launch, Permit, Secret, Secrets, Server, ToolBox, ToolDefinition, ToolError, ToolOutcome,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) async fn run(arguments: ToolsArgs) -> Result<(), Failure> {
    let mut servers = arguments.manifest.as_deref().map_or(Ok(Vec::new()), of_manifest)?;
    let builtin = |builtin: &Builtin| Server { name: builtin.to_string(), launch: Launch::Builtin(*builtin) };
    servers.extend(arguments.builtin.iter().map(builtin));
    if servers.is_empty() {
        return Err(Failure::refused("the manifest has no tools"));
    }
    let (host, secrets) = (host(&arguments)?, secrets(&arguments.secret)?);
    let step = Step::begin(&format!("servers of tools: {}", servers.len()));
    let tools = ToolBox::open(&servers, &arguments.folder, &host, &secrets).await.map_err(failure)?;
    step.done();
    let outcome = match &arguments.call {
        Some(name) => call(&tools, name, arguments.arguments.clone()).await,
        None => list(tools.definitions()),
    };
    tools.close().await;
    outcome
}

/// The servers of a manifest.
fn of_manifest(file: &Path) -> Result<Vec<Server>, Failure> {
    let wrong = |reason: String| Failure::usage(format!("{}: {reason}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot read it: {error}")))?;
    let manifest = Manifest::read(&text).map_err(wrong)?;
    servers_of(&manifest).map_err(wrong)
}

fn host(arguments: &ToolsArgs) -> Result<Host, Failure> {
    let helper = std::env::current_exe().map_err(|error| Failure::failed(format!("where is this program? {error}")))?;
    let mut host = Host::new(helper);
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    };
    let read = arguments.read.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    let (network, processes) = (arguments.network, arguments.processes);
    for program in &arguments.allow {
        host.permits.push(Permit { program: absolute(program)?, read: read.clone(), network, processes });
    }
    host.private_addresses = arguments.private_addresses;
    if let (Some(base_url), Some(model)) = (&arguments.embeddings_url, &arguments.embeddings_model) {
        let key = Secret::new(std::env::var("OPENAI_API_KEY").unwrap_or_default());
        host.embeddings = Some(Embeddings { base_url: base_url.clone(), model: model.clone(), key });
    }
    Ok(host)
}

/// Secrets by the variables of their names, which other users of the machine can't read.
fn secrets(names: &[String]) -> Result<Secrets, Failure> {
    let mut secrets = Secrets::default();
    for name in names {
        let value = std::env::var(name).map_err(|_| Failure::usage(format!("there is no variable {name}")))?;
        secrets.insert(name.clone(), Secret::new(value));
    }
    Ok(secrets)
}

fn failure(error: ToolError) -> Failure {
    match error {
        ToolError::NotAllowed { .. } => Failure::refused(format!("{error}; allow it with --allow")),
        ToolError::Start { .. } => Failure::failed(error.to_string()),
        _ => Failure::refused(error.to_string()),
    }
}

async fn call(tools: &ToolBox, name: &str, arguments: Value) -> Result<(), Failure> {
    match tools.call(name, arguments).await {
        ToolOutcome::Text(text) if output::is_json() => output::print_json(&json!({"tool": name, "text": text})),
        ToolOutcome::Text(text) => print(&text),
        ToolOutcome::Failed(reason) => Err(Failure::failed(reason)),
    }
}

fn list(tools: &[ToolDefinition]) -> Result<(), Failure> {
    if output::is_json() {
        return output::print_json(&json!({"data": tools}));
    }
    if tools.is_empty() {
        return print("no tools");
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["tool", "arguments", "what it does"]);
    for tool in tools {
        table.add_row([tool.name.clone(), arguments_in_words(&tool.parameters), tool.description.clone()]);
    }
    print(&table.to_string())
}

/// The names of a tool's arguments; those that may be left out in brackets.
fn arguments_in_words(parameters: &Value) -> String {
    let required = |name: &str| parameters["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    let names = parameters["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
    names.map(|name| if required(name) { name.clone() } else { format!("[{name}]") }).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{arguments_in_words, servers_of};
    use inferium_tools::{Builtin, Launch};
    use serde_json::json;

    #[test]
    fn a_manifest_s_servers_are_what_hosts_start() {
        let with = |tools: &str| {
            let text = inferium_agent::Manifest::template("plain", "a", "mock").unwrap();
            servers_of(&inferium_agent::Manifest::read(&format!("{text}\n{tools}")).unwrap())
        };
        let servers = with(
            "[tools.a]\ncommand = ['a', 'b']\n[tools.b]\nurl = 'https://a.example/mcp'\n[tools.c]\nbuiltin = 'table'\n",
        );
        let launches: Vec<Launch> = servers.unwrap().into_iter().map(|server| server.launch).collect();
        let command = Launch::Command { program: "a".to_owned(), arguments: vec!["b".to_owned()] };
        let url = Launch::Url("https://a.example/mcp".to_owned());
        assert_eq!(launches, [command, url, Launch::Builtin(Builtin::Table)]);
        assert!(with("[tools.a]\nbuiltin = 'tables'\n").unwrap_err().contains("there are documents, table, watch"));
    }

    #[test]
    fn arguments_that_may_be_left_out_are_in_brackets() {
        let parameters = json!({"properties": {"k": {}, "query": {}}, "required": ["query"]});
        assert_eq!(arguments_in_words(&parameters), "[k]\nquery");
        assert_eq!(arguments_in_words(&json!({})), "");
    }
}
