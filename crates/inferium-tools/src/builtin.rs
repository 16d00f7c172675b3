//! The servers that are built in, and the process that confines itself: what the host's binary does as `tool …`.

mod documents;
mod folder;
mod table;
mod watch;

use crate::host::{Builtin, Embeddings, Secret};
use crate::sandbox::Sandbox;
use crate::toolbox::EMBEDDINGS_KEY;
use futures::future::BoxFuture;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Bytes of an answer at most: half of what a host takes by default, and more than a model reads.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What a built-in server does.
trait Tools: Send + Sync + 'static {
    /// Its tools: name, what it does, schema of its arguments.
    fn list(&self) -> Vec<(&'static str, String, Value)>;

    /// Calls a tool; the error is what the model is told.
    fn call<'a>(&'a self, tool: &'a str, arguments: Value) -> BoxFuture<'a, Result<String, String>>;
}

/// Does what the words after `tool` say: `sandbox JSON PROGRAM …`, which becomes the program (see
/// [`Sandbox`](crate::Sandbox)), or the name of a [`Builtin`], which serves MCP on the standard streams for the files of
/// the working folder until they end.
///
/// To be called first of all, while the process has one thread. Exit codes: 0 done, 2 wrong words, 126 not started.
pub fn helper(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let first = arguments.next().unwrap_or_default();
    let (code, reason) = if first == "sandbox" {
        match sandbox(arguments) {
            Ok(never_returned) => (126, never_returned),
            Err(reason) => (2, reason),
        }
    } else {
        match first.to_string_lossy().parse().and_then(|builtin| serve(builtin, arguments)) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(reason) => (2, reason),
        }
    };
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{reason}");
    ExitCode::from(code)
}

/// Becomes the program; else says why not.
fn sandbox(mut arguments: impl Iterator<Item = OsString>) -> Result<String, String> {
    let (Some(sandbox), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("`tool sandbox` takes a sandbox and a program".to_owned());
    };
    let sandbox: Sandbox = serde_json::from_str(&sandbox.to_string_lossy()).map_err(|error| error.to_string())?;
    let arguments: Vec<OsString> = arguments.collect();
    Ok(sandbox.exec(Path::new(&program), &arguments).to_string())
}

fn serve(builtin: Builtin, arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let folder = folder::Folder::open(Path::new("."))?;
    let tools: Box<dyn Tools> = match builtin {
        Builtin::Documents => Box::new(documents::Documents::new(folder, embeddings(arguments)?)?),
        Builtin::Table => Box::new(table::Table::new(folder)),
        Builtin::Watch => Box::new(watch::Watch::new(folder)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let server = Serving { builtin, tools };
        let running = server.serve(rmcp::transport::stdio()).await.map_err(|error| error.to_string())?;
        running.waiting().await.map(|_| ()).map_err(|error| error.to_string())
    })
}

fn embeddings(arguments: impl Iterator<Item = OsString>) -> Result<Option<Embeddings>, String> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(None),
        ["--embeddings-url", base_url, "--embeddings-model", model] => Ok(Some(Embeddings {
            base_url: (*base_url).to_owned(),
            model: (*model).to_owned(),
            key: Secret::new(std::env::var(EMBEDDINGS_KEY).unwrap_or_default()),
        })),
        _ => Err("`tool documents` takes --embeddings-url URL --embeddings-model MODEL, or nothing".to_owned()),
    }
}

struct Serving {
    builtin: Builtin,
    tools: Box<dyn Tools>,
}

impl ServerHandler for Serving {
    fn get_info(&self) -> ServerConfig {
        let name = format!("inferium-{}", self.builtin);
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(name, env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools.list().into_iter().map(|(name, description, properties)| {
            let Value::Object(schema) = properties else { return Tool::new(name, description, JsonObject::new()) };
            Tool::new(name, description, schema)
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let answer = self.tools.call(&request.name, arguments).await;
        let result = match answer {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(within(text))]),
            Err(reason) => CallToolResult::error(vec![ContentBlock::text(within(reason))]),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

/// An answer, cut where it would be too long to be taken.
fn within(mut text: String) -> String {
    if text.len() > ANSWER_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ANSWER_BYTES_MAX));
        text.push_str("\n[cut here: the answer is too long]");
    }
    text
}

/// The schema of an object with these properties, of which the first `required` ones must be there.
fn schema(properties: &[(&str, Value)], required: usize) -> Value {
    let names: Vec<&str> = properties.iter().take(required).map(|(name, _)| *name).collect();
    let properties: JsonObject =
        properties.iter().map(|(name, property)| ((*name).to_owned(), property.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}

/// Arguments as a tool takes them.
fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    serde_json::from_value(arguments).map_err(|error| format!("arguments: {error}"))
}

fn unknown(tool: &str) -> String {
    format!("there is no tool {tool:?}")
}
