//! A gateway that a command asks and waits for.

use crate::admin::{answer, refusal};
use crate::cli::{Failure, ServerArgs};
use crate::run::{Server, server};
use reqwest::Client;
use serde_json::Value;
use std::time::Duration;

/// Time to connect, and for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(120);

/// A gateway, with the API key that is shown to it.
pub(crate) struct Remote {
    runtime: tokio::runtime::Runtime,
    http: Client,
    server: Server,
}

impl Remote {
    pub(crate) fn of(arguments: &ServerArgs) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot ask the network: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).build();
        Ok(Self { runtime, http: http.map_err(|error| failed(&error))?, server: server(arguments)? })
    }

    /// Sends JSON; the JSON that answers it. Paths are below the API's beginning.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.http.post(format!("{}/{path}", self.server.base)).bearer_auth(&self.server.key);
        self.runtime.block_on(answer(request.json(body), &self.server.base))
    }

    /// The JSON of a path.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.http.get(format!("{}/{path}", self.server.base)).bearer_auth(&self.server.key);
        self.runtime.block_on(answer(request, &self.server.base))
    }

    /// The bytes of a path, so many at most.
    pub(crate) fn file(&self, path: &str, most: usize) -> Result<Vec<u8>, Failure> {
        let base = &self.server.base;
        let unreachable =
            |error: reqwest::Error| Failure::network(format!("the gateway at {base} does not answer: {error}"));
        let request = self.http.get(format!("{base}/{path}")).bearer_auth(&self.server.key);
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            let mut bytes = Vec::new();
            while let Some(more) = response.chunk().await.map_err(unreachable)? {
                if bytes.len().saturating_add(more.len()) > most {
                    return Err(Failure::refused(format!(
                        "{path} has more than {most} bytes, which is what it can have"
                    )));
                }
                bytes.extend_from_slice(&more);
            }
            if status.is_success() {
                return Ok(bytes);
            }
            Err(refusal(status.as_u16(), &serde_json::from_slice(&bytes).unwrap_or_default()))
        })
    }
}
