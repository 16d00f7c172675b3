//! An agent as a server of the Model Context Protocol: `/mcp/{agent}`, over streamable HTTP, without sessions.

use super::super::ApiState;
use super::super::error::ApiError;
use super::agents::opener;
use super::open::{RunAsk, begin};
use axum::body::Body;
use axum::extract::{Path, Request, State, rejection::PathRejection};
use axum::response::{IntoResponse as _, Response};
use inferium_agent::Manifest;
use inferium_types::{Digest, RunFile, is_file_name};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use rmcp::{RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt as _;

/// What agents are asked by.
const RUN: &str = "run";

pub(in super::super) async fn serve(
    State(state): State<ApiState>,
    agent: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let payer = state.key(request.headers())?.hash;
    let agent = agent.map(|Path(agent)| agent).unwrap_or_default();
    let found = opener(&state)?.find(&state, &agent).await?;
    let manifest = Manifest::read(&found.manifest).map_err(ApiError::Internal)?;
    let server = Server {
        state,
        payer,
        agent: found.id.to_string(),
        name: found.agent.name,
        about: format!("{} {}", manifest.summary, manifest.readme.trim()).trim().to_owned(),
    };
    // Who asks shows an API key, so that a page of another site can't: hosts need no list.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    let service =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    match service.oneshot(request).await {
        Ok(response) => Ok(response.map(Body::new).into_response()),
        Err(never) => match never {},
    }
}

/// One agent, for whoever's key it is.
#[derive(Debug, Clone)]
struct Server {
    state: ApiState,
    payer: Digest,
    agent: String,
    name: String,
    about: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    task: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(self.name.clone(), env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({
            "type": "object",
            "properties": {
                "task": {"type": "string", "description": "what the agent is to do"},
                "files": {
                    "type": "object", "additionalProperties": {"type": "string"},
                    "description": "texts that its tools see, by file name",
                },
            },
            "required": ["task"],
            "additionalProperties": false,
        });
        let Value::Object(schema) = schema else { return Ok(ListToolsResult::with_all_items(Vec::new())) };
        let about = format!("Has the agent {} do something. {}", self.name, self.about);
        Ok(ListToolsResult::with_all_items(vec![Tool::new(RUN, about, schema)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != RUN {
            return Err(ErrorData::invalid_params(format!("there is no tool {:?}", request.name), None));
        }
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let Arguments { task, files } = serde_json::from_value(arguments)
            .map_err(|error| ErrorData::invalid_params(format!("arguments: {error}"), None))?;
        if let Some(name) = files.keys().find(|name| !is_file_name(name)) {
            return Err(ErrorData::invalid_params(format!("{name:?} is no plain file name"), None));
        }
        let files = files.into_iter().map(|(name, text)| RunFile { name, bytes: text.into_bytes() }).collect();
        let ask =
            RunAsk { agent: self.agent.clone(), task, files, secrets: Vec::new(), price_max: None, version: None };
        let result = match self.run(ask).await {
            Ok((answer, run)) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(answer)]);
                result.structured_content = Some(run);
                result
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

impl Server {
    /// The answer, and what there is to know of the run.
    async fn run(&self, ask: RunAsk) -> Result<(String, Value), ApiError> {
        let ended = begin(&self.state, self.payer, ask).await?.end().await?;
        let field = |name: &str| ended.shown.get(name).cloned().unwrap_or_default();
        let run = json!({
            "answer": ended.answer, "run": field("id"), "cost": field("cost"), "inferium": field("inferium"),
        });
        Ok((ended.answer, run))
    }
}
