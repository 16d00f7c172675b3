//! Answering a request that a gateway says was never answered (SPEC T6).
//!
//! The relays hold the request; the worker fetches it there, does the job, and puts the result on
//! the chain, so that a gateway that never delivered can't have it slashed.

use crate::job::{self, JobContext};
use crate::server::Server;
use inferium_chain::{GetError, LightClient, Sender};
use inferium_engine::{Model, Prover};
use inferium_ledger::{Lease, Node, Stall, StateKey};
use inferium_seal::SealingSecret;
use inferium_types::{
    Digest, NodeId, NodeRole, SealPurpose, Sealed, SecretKey, StallId, TransactionBody, VrfSecretKey, decode, encode,
    vrf_input,
    wire::{RelayFetch, RelayedRequest},
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// Time for one relay.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait before an answer that did not get through is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// One claim being answered.
pub(crate) struct Answerer {
    pub(crate) id: StallId,
    pub(crate) relays: Vec<NodeId>,
    pub(crate) key: SecretKey,
    pub(crate) vrf: VrfSecretKey,
    pub(crate) chain: LightClient,
    pub(crate) sender: Sender,
    pub(crate) http: reqwest::Client,
    pub(crate) model: Model,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) prover: Option<Arc<Prover>>,
}

impl Answerer {
    /// Tries until the claim is over, answered or not: an honest worker pays for no relay that is
    /// away for a moment.
    pub(crate) async fn run(self) {
        loop {
            match self.try_once().await {
                Ok(true) => return,
                Ok(false) => info!(stall = %self.id, "answered a certified request"),
                Err(reason) => warn!(stall = %self.id, reason, "a certified request is not answered yet"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Answers, if there is still something to answer; true when there is not.
    async fn try_once(&self) -> Result<bool, String> {
        let unread = |error: GetError| format!("the claim can't be read: {error}");
        let Some(claim) = self.chain.entry::<Stall>(&StateKey::Stall(self.id)).await.map_err(unread)? else {
            return Ok(true);
        };
        let lease = self.chain.entry::<Lease>(&StateKey::Lease(claim.lease)).await.map_err(unread)?;
        let Some(lease) = lease else { return Ok(true) };
        let vrf_output = self.vrf.prove(&vrf_input(&lease.beacon, claim.lease)).output();
        let mode = lease.terms.mode;
        let (model, server) = job::model_for(
            lease.terms.kind,
            self.chain.network_key(),
            (&self.model, self.server.as_ref()),
            None,
            self.prover.as_ref(),
        );
        let context = JobContext::honest(model, server, vrf_output, mode);
        self.answer(&claim.request, context).await.map(|()| false)
    }

    /// Fetches, executes and answers.
    async fn answer(&self, request: &Digest, context: JobContext) -> Result<(), String> {
        let relayed = self.fetch(request).await.ok_or("no relay gave the request")?;
        let (outbox, mut sent) = mpsc::channel(64);
        let drain = async { while sent.recv().await.is_some() {} };
        // Nobody cancels this job: the flag stays as it is.
        let (_keep, never) = watch::channel(false);
        let run = job::run(context, relayed.request, relayed.payload, outbox, never);
        let (outcome, ()) = tokio::join!(run, drain);
        let finished = outcome.map_err(|refusal| format!("it can't be done: {refusal}"))?;
        let body = TransactionBody::AnswerStall { stall: self.id, result: finished.leaf.result };
        self.sender.send(body).await.map(drop).map_err(|error| format!("the answer was not taken: {error}"))
    }

    async fn fetch(&self, request: &Digest) -> Option<RelayedRequest> {
        let sealing = SealingSecret::generate(&mut rand::rng());
        let body = encode(&RelayFetch::sign(self.id, sealing.public_key(), &self.key));
        for relay in &self.relays {
            let Ok(Some(node)) = self.chain.entry::<Node>(&StateKey::Node(*relay)).await else { continue };
            let NodeRole::Validator { url } = node.role else { continue };
            let address = format!("{}/duty/v1/stalls/{}/fetch", url.trim_end_matches('/'), self.id);
            let Ok(response) = self.http.post(&address).timeout(FETCH_TIMEOUT).body(body.clone()).send().await else {
                continue;
            };
            let Ok(bytes) = response.bytes().await else { continue };
            match self.open(&sealing, &bytes) {
                Some(relayed) if relayed.matches(request) => return Some(relayed),
                _ => {}
            }
        }
        None
    }

    fn open(&self, sealing: &SealingSecret, bytes: &[u8]) -> Option<RelayedRequest> {
        let sealed: Sealed = decode(bytes).ok()?;
        let purpose = SealPurpose::Fetched { stall: self.id, worker: self.key.public_key() };
        decode(&sealing.open(&purpose, &sealed).ok()?).ok()
    }
}
