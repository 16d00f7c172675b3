//! Claims that a worker did not answer (SPEC T6): reported on the chain, the request handed to the
//! relays that the beacon draws, and the lease given jobs again once the claim is over.

use crate::hub::Hub;
use inferium_chain::{LightClient, Sender, sealing_key};
use inferium_ledger::{Node, Stall, StateKey};
use inferium_seal::seal;
use inferium_types::{
    JobPayload, JobRequest, NodeId, NodeRole, SealPurpose, StallId, TransactionBody, encode, wire::RelayedRequest,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How long a lease gets no jobs when its worker did not answer and the chain took no claim.
const UNCLAIMED_WAIT: Duration = Duration::from_secs(60);
/// Time for a relay to take a request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often the chain is asked whether a claim is over: that one lapsed is in no event.
const POLL_PAUSE: Duration = Duration::from_secs(2);

/// A request that got no answer, whose lease is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) id: StallId,
    relayed: RelayedRequest,
}

impl Claim {
    pub(crate) fn new(id: StallId, request: JobRequest, payload: &JobPayload) -> Self {
        Self { id, relayed: RelayedRequest { request, payload: payload.clone() } }
    }
}

/// Claims under way.
#[derive(Debug)]
pub(crate) struct Stalls {
    hub: Arc<Hub>,
    chain: LightClient,
    sender: Sender,
    http: reqwest::Client,
    requests: Mutex<BTreeMap<StallId, RelayedRequest>>,
}

impl Stalls {
    pub(crate) fn new(hub: Arc<Hub>, chain: LightClient, sender: Sender) -> Self {
        Self { hub, chain, sender, http: reqwest::Client::new(), requests: Mutex::default() }
    }

    /// Sees every claim to its end, for as long as the gateway runs.
    pub(crate) async fn run(self: Arc<Self>, mut claims: mpsc::UnboundedReceiver<Claim>) {
        while let Some(claim) = claims.recv().await {
            tokio::spawn(Arc::clone(&self).follow(claim));
        }
    }

    async fn follow(self: Arc<Self>, claim: Claim) {
        let (id, request) = (claim.id, claim.relayed.request.clone());
        warn!(lease = %request.lease, job = %request.job, "a worker does not answer; reporting it");
        // Before it is sent: the relays may be drawn before the sender sees its block.
        self.requests().insert(id, claim.relayed);
        let is_taken = match self.sender.send(TransactionBody::ReportStall { request }).await {
            Ok(sent) if sent.failure.is_none() => {
                info!(stall = %id, "reported");
                true
            }
            Ok(sent) => {
                debug!(stall = %id, failure = sent.failure, "the report had no effect");
                false
            }
            Err(error) => {
                debug!(stall = %id, %error, "the report was not taken");
                false
            }
        };
        if !is_taken {
            tokio::time::sleep(UNCLAIMED_WAIT).await;
        }
        while self.is_open(id).await {
            tokio::time::sleep(POLL_PAUSE).await;
        }
        self.requests().remove(&id);
        self.hub.resume(id);
    }

    /// True while the chain has the claim, as far as can be told.
    async fn is_open(&self, id: StallId) -> bool {
        match self.chain.entry::<Stall>(&StateKey::Stall(id)).await {
            Ok(entry) => entry.is_some(),
            Err(error) => {
                debug!(stall = %id, %error, "claim not read yet");
                true
            }
        }
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, BTreeMap<StallId, RelayedRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the request to the drawn relays; true when the claim is ours.
    pub(crate) fn relay(self: &Arc<Self>, id: StallId, relays: &[NodeId]) -> bool {
        let request = self.requests().remove(&id);
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
            match self.lodge(id, relay, &request).await {
                Ok(()) => return,
                Err(reason) => debug!(%relay, reason, "relay did not take the request yet"),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// Seals the request to the relay's key, which it has to prove first: a relay that started anew
    /// has another one.
    async fn lodge(&self, id: StallId, relay: NodeId, request: &[u8]) -> Result<(), String> {
        let url = self.url(relay).await.ok_or("the chain does not say where it is")?;
        let key = sealing_key(&self.http, &url, &relay, rand::random()).await.map_err(|error| error.to_string())?;
        let sealed = seal(key, &SealPurpose::Lodged { stall: id, relay }, request, &mut rand::rng());
        let body = encode(&sealed.map_err(|error| error.to_string())?);
        let address = format!("{}/duty/v1/stalls/{id}", url.trim_end_matches('/'));
        let sent = self.http.post(address).timeout(TIMEOUT).body(body).send().await;
        let sent = sent.and_then(reqwest::Response::error_for_status);
        sent.map(drop).map_err(|error| error.to_string())
    }

    async fn url(&self, relay: NodeId) -> Option<String> {
        let node: Node = self.chain.entry(&StateKey::Node(relay)).await.ok().flatten()?;
        match node.role {
            NodeRole::Validator { url } => Some(url),
            NodeRole::Worker { .. } | NodeRole::Gateway { .. } => None,
        }
    }
}
