//! Claims that a worker did not answer (SPEC T6): reported on the chain, and the request handed
//! to the relays that the beacon draws.

use crate::hub::Hub;
use inferium_chain::{LightClient, Sender};
use inferium_ledger::{Node, StateKey, state_key};
use inferium_types::{JobId, NodeId, NodeRole, StallId, TransactionBody, decode, encode, wire::RelayedRequest};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{debug, info, warn};

const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Claims under way.
#[derive(Debug)]
pub(crate) struct Stalls {
    chain: LightClient,
    sender: Sender,
    http: reqwest::Client,
    requests: Mutex<BTreeMap<StallId, RelayedRequest>>,
}

impl Stalls {
    pub(crate) fn new(chain: LightClient, sender: Sender) -> Self {
        Self { chain, sender, http: reqwest::Client::new(), requests: Mutex::default() }
    }

    /// Reports a job that got no answer, once per lease, and gives the lease no more jobs.
    pub(crate) fn report(self: &Arc<Self>, hub: &Hub, job: JobId) {
        let Some((request, payload)) = hub.stalled(job) else { return };
        if !hub.suspend(request.lease) {
            return;
        }
        let id = StallId::of_job(request.lease, request.sequence);
        warn!(lease = %request.lease, %job, "a worker does not answer; reporting it");
        let relayed = RelayedRequest { request: request.clone(), payload };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).insert(id, relayed);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            match this.sender.send(TransactionBody::ReportStall { request }).await {
                Ok(sent) if sent.failure.is_none() => info!(stall = %id, "reported"),
                Ok(sent) => debug!(stall = %id, failure = sent.failure, "the report had no effect"),
                Err(error) => debug!(stall = %id, %error, "the report was not taken"),
            }
        });
    }

    /// Hands the request to the drawn relays; true when the claim is ours.
    pub(crate) fn relay(self: &Arc<Self>, id: StallId, relays: &[NodeId]) -> bool {
        let request = self.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(request) = request else { return false };
        let bytes = bytes::Bytes::from(encode(&request));
        for relay in relays {
            tokio::spawn(Arc::clone(self).hand_over(id, *relay, bytes.clone()));
        }
        true
    }

    async fn hand_over(self: Arc<Self>, id: StallId, relay: NodeId, request: bytes::Bytes) {
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS {
            if let Some(url) = self.url(relay).await {
                let address = format!("{}/duty/v1/stalls/{id}", url.trim_end_matches('/'));
                match self.http.post(&address).body(request.clone()).send().await {
                    Ok(response) if response.status().is_success() => return,
                    Ok(response) => debug!(%relay, status = %response.status(), "relay did not take the request yet"),
                    Err(error) => debug!(%relay, %error, "relay not reached yet"),
                }
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn url(&self, relay: NodeId) -> Option<String> {
        let bytes = self.chain.get(&state_key(&StateKey::Node(relay))).await.ok().flatten()?;
        match decode::<Node>(&bytes).ok()?.role {
            NodeRole::Validator { url } => Some(url),
            NodeRole::Worker { .. } | NodeRole::Gateway { .. } => None,
        }
    }
}
