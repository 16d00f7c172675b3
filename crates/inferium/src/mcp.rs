//! `inferium mcp`: a network as tools of whoever speaks the Model Context Protocol on stdin and stdout.
//!
//! | tool | what it does | spends |
//! |---|---|---|
//! | `network` | chain, height, purse | |
//! | `models`, `agents` | what can be asked, with prices | |
//! | `ask` | asks a model | from the API key's budget |
//! | `run_agent` | has an agent do something | from the API key's budget |
//! | `receipt` | gets a job's receipt, and verifies it here | |
//! | `balance` | what an account holds, proven | |
//! | `transaction` | whether a transaction is final | |
//! | `transfer` | sends money of the account that signs | from that account |
//!
//! All that a process spends stays below one limit (`--spend-max`), of which each call first sets aside what it may cost at most. A transfer is
//! shown to the client's user in words and signed once they agree; a client that can't ask its user moves no money, unless `--yes` was said.

mod confirm;
mod purse;
mod tools;

use crate::cli::{Failure, McpArgs};
use crate::run::{Api, server};
use crate::up;
use crate::wallet::{priced, unattended_key};
use confirm::{Consent, Pending};
use inferium_chain::{LightClient, Sender};
use inferium_types::NetworkKey;
use purse::Purse;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::{Map, Value};
use std::sync::Arc;
use tools::{Call, Transfer};

const ABOUT: &str = "Inferium, a decentralised network of AI inference: ask its models and agents, verify receipts of what they answered, look at its chain, \
                     and send its money, IFR. Amounts are decimal IFR; a nano-IFR is 0.000000001.";

/// Serves until stdin ends.
pub(crate) async fn run(arguments: McpArgs) -> Result<(), Failure> {
    let (network, chain) = up::connect(&crate::home::data_dir(arguments.server.network.data.clone())).await?;
    let server = Server(Arc::new(Inner {
        api: Api::new(server(&arguments.server)?, "")?,
        pages: network.base_url.trim_end_matches('/').trim_end_matches("/v1").to_owned(),
        network: chain.network_key(),
        sender: unattended_key(&arguments)?.map(|key| Sender::new(chain.clone(), key)),
        purse: Purse::new(arguments.spend_max),
        unasked: arguments.yes,
        chain,
        pending: Pending::default(),
    }));
    // Stdout is the protocol's; whatever else is said goes to stderr.
    let running = server.serve(rmcp::transport::stdio()).await;
    let running = running.map_err(|error| Failure::failed(format!("no client spoke the protocol: {error}")))?;
    running.waiting().await.map(drop).map_err(|error| Failure::failed(error.to_string()))
}

#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    api: Api,
    /// Where the explorer is, without a slash at the end.
    pages: String,
    chain: LightClient,
    /// Receipts are verified against it.
    network: NetworkKey,
    /// Of the account that signs.
    sender: Option<Sender>,
    purse: Purse,
    /// Transfers are signed without asking.
    unasked: bool,
    pending: Pending,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("inferium", env!("CARGO_PKG_VERSION")))
            .with_instructions(ABOUT)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all(self.0.sender.is_some())))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.clone().unwrap_or_default();
        let call = Call::read(&request.name, arguments, self.0.sender.is_some())
            .map_err(|reason| ErrorData::invalid_params(reason, None))?;
        let done = match call {
            Call::Transfer(transfer) => match self.transfer(transfer, &request, &context).await {
                Ok(Ended::Asking(response)) => return Ok(response),
                Ok(Ended::Sent(told)) => Ok(told),
                Err(failure) => Err(failure),
            },
            other => self.0.read_or_ask(other).await,
        };
        Ok(CallToolResponse::Complete(match done {
            Ok(told) => result(told),
            Err(failure) => CallToolResult::error(vec![ContentBlock::text(failure.to_string())]),
        }))
    }
}

/// What became of a transfer.
enum Ended {
    /// The client asks its user, and calls again.
    Asking(CallToolResponse),
    Sent(Map<String, Value>),
}

impl Server {
    async fn transfer(
        &self,
        transfer: Transfer,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Ended, Failure> {
        let sender = self.0.sender.as_ref().ok_or_else(|| Failure::usage("no account signs here"))?;
        let (words, bound) = priced(&self.0.chain, sender.account(), transfer.body()).await?;
        // Before anybody is asked: what would be refused needs no agreement.
        self.0.purse.has_room_for(bound)?;
        let consent = if self.0.unasked {
            Consent::Given
        } else {
            self.0.pending.ask(&words, &transfer.identity(bound), request, context).await?
        };
        match consent {
            Consent::Given => self.0.send(sender, transfer, bound).await.map(Ended::Sent),
            Consent::Asking(asking) => Ok(Ended::Asking(asking.into())),
        }
    }
}

/// As text and as what it is: not every client reads both.
fn result(told: Map<String, Value>) -> CallToolResult {
    CallToolResult::structured(Value::Object(told))
}
