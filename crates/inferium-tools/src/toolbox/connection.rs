//! A session with one server.

use super::address;
use super::definitions::TOOLS_MAX;
use super::meter::Allowance;
use super::process::{Process, Start};
use super::{ToolError, ToolOutcome, content};
use crate::host::{Bounds, Builtin, Embeddings, Host, Launch, Permit, Secret, Secrets, Server};
use crate::sandbox::{Network, Sandbox};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, JsonObject, PaginatedRequestParams, Tool,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::{RoleClient, ServiceExt};
use std::path::{Path, PathBuf};

/// Pages of a list of tools: a server could add one for ever.
const PAGES_MAX: usize = 32;

/// Where `documents` finds its key.
pub(crate) const EMBEDDINGS_KEY: &str = "EMBEDDINGS_KEY";

type Client = RunningService<RoleClient, ClientConfig>;

/// A server that was chosen to be started: all that can be refused without starting it was not.
pub(super) struct Plan<'a> {
    server: &'a Server,
    host: &'a Host,
    what: Planned<'a>,
}

enum Planned<'a> {
    Process { sandbox: Sandbox, program: PathBuf, arguments: Vec<String>, variables: Vec<(&'a str, &'a Secret)> },
    Remote { url: String, token: Option<&'a Secret> },
}

/// A session.
pub(super) struct Connection {
    client: Client,
    process: Option<Process>,
    allowance: Allowance,
}

/// Why a call brought no answer.
pub(super) enum Failed {
    /// The server said so; it is there for the next one.
    Answer(String),
    /// The server is of no more use.
    Lost(Option<String>),
}

impl<'a> Plan<'a> {
    /// Looks whether `host` runs `server` in `folder`.
    pub(super) fn new(
        server: &'a Server,
        folder: &Path,
        host: &'a Host,
        secrets: &'a Secrets,
    ) -> Result<Self, ToolError> {
        let bounds = &host.bounds;
        let sandbox = |read: Vec<PathBuf>, network: Network, processes: bool| Sandbox {
            folder: folder.to_owned(),
            read,
            network,
            processes,
            memory_bytes: bounds.memory_bytes,
            cpu_seconds: bounds.cpu_seconds,
            file_bytes: bounds.file_bytes,
        };
        let what = match &server.launch {
            Launch::Builtin(builtin) => {
                let embeddings = host.embeddings.as_ref().filter(|_| *builtin == Builtin::Documents);
                let port = embeddings.map(port).transpose().map_err(|reason| address_error(server, reason))?;
                Planned::Process {
                    sandbox: sandbox(Vec::new(), port.map_or(Network::None, Network::Port), false),
                    program: host.helper.clone(),
                    arguments: builtin_arguments(*builtin, embeddings),
                    variables: embeddings.map(|embeddings| (EMBEDDINGS_KEY, &embeddings.key)).into_iter().collect(),
                }
            }
            Launch::Command { program, arguments } => {
                let permit = permit(program, &host.permits)
                    .ok_or_else(|| ToolError::NotAllowed { server: server.name.clone(), program: program.clone() })?;
                let network = if permit.network { Network::Any } else { Network::None };
                Planned::Process {
                    sandbox: sandbox(permit.read.clone(), network, permit.processes),
                    program: permit.program.clone(),
                    arguments: arguments.clone(),
                    variables: secrets.iter().collect(),
                }
            }
            Launch::Url(url) => {
                let url = address::read(url, host.private_addresses).map_err(|reason| address_error(server, reason))?;
                Planned::Remote { url: url.into(), token: secrets.get(&Secrets::token_name(&server.name)) }
            }
        };
        Ok(Self { server, host, what })
    }

    /// Starts the server and lists its tools.
    pub(super) async fn open(self) -> Result<(Connection, Vec<Tool>), ToolError> {
        let bounds = &self.host.bounds;
        let (mut connection, started) = match self.what {
            Planned::Process { sandbox, program, arguments, variables } => {
                let start =
                    Start { helper: &self.host.helper, sandbox: &sandbox, program: &program, arguments, variables };
                let allowance = Allowance::new(bounds.response_bytes);
                let started = Process::start(start, &allowance);
                let (process, stdout, stdin) = started.map_err(|reason| start_error(self.server, reason))?;
                // The allowance ends a line before this does.
                let transport = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(usize::MAX);
                let mut process = Some(process);
                let client = tokio::time::timeout(bounds.start, identity().serve(transport)).await;
                match client {
                    Ok(Ok(client)) => {
                        let connection = Connection { client, process: process.take(), allowance };
                        let listed = tokio::time::timeout(bounds.start, connection.tools()).await;
                        (connection, listed)
                    }
                    Ok(Err(error)) => {
                        return Err(start_error(
                            self.server,
                            ended(&mut process, &allowance, bounds, Some(error.to_string())).await,
                        ));
                    }
                    Err(_) => {
                        return Err(start_error(
                            self.server,
                            ended(&mut process, &allowance, bounds, Some(slow(bounds))).await,
                        ));
                    }
                }
            }
            Planned::Remote { url, token } => {
                open_remote(&url, token, self.host).await.map_err(|reason| start_error(self.server, reason))?
            }
        };
        let reason = match started {
            Ok(Ok(tools)) => return Ok((connection, tools)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => slow(bounds),
        };
        let reason = connection.end(bounds, Some(reason)).await;
        Err(start_error(self.server, reason))
    }
}

type Listed = Result<Result<Vec<Tool>, ServiceError>, tokio::time::error::Elapsed>;

async fn open_remote(url: &str, token: Option<&Secret>, host: &Host) -> Result<(Connection, Listed), String> {
    let bounds = &host.bounds;
    let client = address::client(host.private_addresses, bounds.call.max(bounds.start))?;
    let response_bytes = usize::try_from(bounds.response_bytes).unwrap_or(usize::MAX);
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .max_json_response_size(response_bytes)
        .max_sse_event_size(response_bytes)
        .max_error_response_size(1_024);
    if let Some(token) = token {
        config = config.auth_header(token.expose());
    }
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let client = tokio::time::timeout(bounds.start, identity().serve(transport))
        .await
        .map_err(|_| slow(bounds))?
        .map_err(|error| match error {
            ClientInitializeError::TransportError { error, .. } => transport_words(&error),
            error => with_causes(&error),
        })?;
    let connection = Connection { client, process: None, allowance: Allowance::new(bounds.response_bytes) };
    let listed = tokio::time::timeout(bounds.start, connection.tools()).await;
    Ok((connection, listed))
}

impl Connection {
    /// Lists the server's tools, and no more of them than one too many.
    async fn tools(&self) -> Result<Vec<Tool>, ServiceError> {
        let _awake = self.process.as_ref().map(Process::awake);
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let mut page = PaginatedRequestParams::default();
            page.cursor = cursor;
            let mut listed = self.client.list_tools(Some(page)).await?;
            tools.append(&mut listed.tools);
            cursor = listed.next_cursor;
            if cursor.is_none() || tools.len() > TOOLS_MAX {
                return Ok(tools);
            }
        }
        Ok(tools)
    }

    /// Calls a tool.
    pub(super) async fn call(&self, tool: &str, arguments: JsonObject) -> Result<ToolOutcome, Failed> {
        self.allowance.renew();
        let _awake = self.process.as_ref().map(Process::awake);
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match self.client.call_tool(request).await {
            Ok(result) => Ok(content::outcome(result)),
            Err(ServiceError::McpError(error)) => Err(Failed::Answer(error.message.into_owned())),
            Err(ServiceError::TransportClosed) => Err(Failed::Lost(None)),
            Err(ServiceError::TransportSend(error)) => Err(Failed::Lost(Some(transport_words(&error)))),
            Err(ServiceError::UnexpectedResponse) => {
                Err(Failed::Answer("the server's answer is no result of a tool".to_owned()))
            }
            Err(error) => Err(Failed::Answer(with_causes(&error))),
        }
    }

    /// True if it is a program, which could fill the folder.
    pub(super) fn is_process(&self) -> bool {
        self.process.is_some()
    }

    /// Ends the session and the server's program, and says why: what it did to itself before what is known here.
    pub(super) async fn end(&mut self, bounds: &Bounds, reason: Option<String>) -> String {
        let reason = ended(&mut self.process, &self.allowance, bounds, reason).await;
        if self.client.close_with_timeout(CLOSE_WAIT).await.is_err() {
            tracing::debug!("the session of a tool server did not end by itself");
        }
        reason
    }
}

/// How long an ended session may take to notice.
const CLOSE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

async fn ended(
    process: &mut Option<Process>,
    allowance: &Allowance,
    bounds: &Bounds,
    reason: Option<String>,
) -> String {
    let own = match process {
        Some(process) => process.end(bounds).await,
        None => None,
    };
    if allowance.is_used_up() {
        return format!("it sent more than {} bytes at once", bounds.response_bytes);
    }
    own.or(reason).unwrap_or_else(|| "it ended the session".to_owned())
}

/// An error with what it was caused by, which libraries leave out of their own words.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

/// What kept a message from a server, without the names that the library has for its parts.
fn transport_words(error: &DynamicTransportError) -> String {
    let error = error.error.as_ref();
    match error.downcast_ref() {
        Some(StreamableHttpError::<reqwest::Error>::Client(error)) => with_causes(error),
        _ => with_causes(error),
    }
}

fn slow(bounds: &Bounds) -> String {
    format!("it was not ready within {} s", bounds.start.as_secs_f64())
}

fn start_error(server: &Server, reason: String) -> ToolError {
    ToolError::Start { server: server.name.clone(), reason }
}

fn address_error(server: &Server, reason: String) -> ToolError {
    ToolError::Address { server: server.name.clone(), reason }
}

/// What servers are told of who asks.
fn identity() -> ClientConfig {
    ClientConfig::new(ClientCapabilities::default(), Implementation::new("inferium", env!("CARGO_PKG_VERSION")))
}

/// The permit of a program: by its path, or by its file name if nothing else is given.
fn permit<'a>(program: &str, permits: &'a [Permit]) -> Option<&'a Permit> {
    let named = Path::new(program);
    let by_name = named.components().count() == 1;
    permits.iter().find(|permit| {
        permit.program == named || (by_name && permit.program.file_name().is_some_and(|name| name == named.as_os_str()))
    })
}

fn builtin_arguments(builtin: Builtin, embeddings: Option<&Embeddings>) -> Vec<String> {
    let mut arguments = vec!["tool".to_owned(), builtin.name().to_owned()];
    if let Some(embeddings) = embeddings {
        arguments.extend(["--embeddings-url".to_owned(), embeddings.base_url.clone()]);
        arguments.extend(["--embeddings-model".to_owned(), embeddings.model.clone()]);
    }
    arguments
}

/// The port of the endpoint for embeddings.
fn port(embeddings: &Embeddings) -> Result<u16, String> {
    let url = address::read(&embeddings.base_url, true)?;
    url.port_or_known_default().ok_or_else(|| format!("{:?} has no port", embeddings.base_url))
}
