//! The admin routes of a running gateway, for who can read the data folder's admin token.

use crate::cli::Failure;
use crate::home::{data_dir, devnet_secret};
use crate::up::{self, ADMIN_TOKEN};
use inferium_gateway::AdminToken;
use reqwest::{Client, Method};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway that is asked as its operator.
#[derive(Debug)]
pub(crate) struct Admin {
    http: Client,
    url: String,
    token: String,
}

impl Admin {
    /// The gateway of the network in a data folder. Nothing is asked of it yet.
    pub(crate) fn of(data: Option<PathBuf>) -> Result<Self, Failure> {
        let data = data_dir(data);
        let file = up::network_file(&data)?;
        let token = devnet_secret(&data, ADMIN_TOKEN)?.ok_or_else(|| {
            Failure::usage(format!("{} has no admin token: start its network once more", data.display()))
        })?;
        let http = client()?;
        Ok(Self { http, url: file.admin_url, token: AdminToken::from_entropy(token).reveal() })
    }

    /// The address of the pages for operators, with the token behind `#`, which browsers send to nobody.
    pub(crate) fn pages(&self) -> String {
        format!("{}/#admin={}", self.url, self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// The body of an answer, or why there is none.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{}/admin/v1{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request, &self.url).await
    }
}

/// An HTTP client that gives up.
pub(crate) fn client() -> Result<Client, Failure> {
    let client = Client::builder().timeout(TIMEOUT).build();
    client.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))
}

/// The JSON that answers a request; what the gateway refuses is a refusal, with its reason.
pub(crate) async fn answer(request: reqwest::RequestBuilder, url: &str) -> Result<Value, Failure> {
    let unreachable = |error: reqwest::Error| {
        Failure::network(format!("the gateway at {url} does not answer (is `inferium up` running?): {error}"))
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body: Value = response.json().await.map_err(unreachable)?;
    if status.is_success() { Ok(body) } else { Err(refusal(status.as_u16(), &body)) }
}

/// What an error object says.
pub(crate) fn refusal(status: u16, body: &Value) -> Failure {
    let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    // What the server could not do says nothing of the request.
    if status >= 500 { Failure::failed(message) } else { Failure::refused(message) }
}
