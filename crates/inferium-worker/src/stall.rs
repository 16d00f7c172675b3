//! Answering a request that a gateway says was never answered (SPEC T6).
//!
//! The relays hold the request; the worker fetches it there, does the job, and puts the result on
//! the chain, so that a gateway that never delivered can't have it slashed.

use crate::job::{self, JobContext};
use inferium_chain::{LightClient, Sender};
use inferium_ledger::{Node, Stall, StateKey, state_key};
use inferium_types::{
    NodeId, NodeRole, SecretKey, StallId, TransactionBody, decode, encode,
    wire::{RelayedRequest, sign_relay_fetch},
};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// Time for one relay.
const FETCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// One claim being answered.
pub(crate) struct Answerer {
    pub(crate) id: StallId,
    pub(crate) claim: Stall,
    pub(crate) relays: Vec<NodeId>,
    pub(crate) key: SecretKey,
    pub(crate) chain: LightClient,
    pub(crate) sender: Sender,
    pub(crate) http: reqwest::Client,
    pub(crate) context: JobContext,
}

impl Answerer {
    /// Fetches, executes and answers.
    pub(crate) async fn run(self) {
        let Some(relayed) = self.fetch().await else {
            warn!(stall = %self.id, "no relay gave the request");
            return;
        };
        let (outbox, mut sent) = mpsc::channel(64);
        let drain = async { while sent.recv().await.is_some() {} };
        // Nobody cancels this job: the flag stays as it is.
        let (_keep, never) = watch::channel(false);
        let run = job::run(self.context, relayed.request, relayed.payload, outbox, never);
        let (outcome, ()) = tokio::join!(run, drain);
        match outcome {
            Ok(finished) => {
                let body = TransactionBody::AnswerStall { stall: self.id, result: finished.leaf.result };
                match self.sender.send(body).await {
                    Ok(_) => info!(stall = %self.id, "answered a certified request"),
                    Err(error) => warn!(stall = %self.id, %error, "the answer was not taken"),
                }
            }
            Err(refusal) => warn!(stall = %self.id, %refusal, "a certified request can't be done"),
        }
    }

    async fn fetch(&self) -> Option<RelayedRequest> {
        let signature = sign_relay_fetch(self.id, &self.key);
        for relay in &self.relays {
            let Ok(Some(bytes)) = self.chain.get(&state_key(&StateKey::Node(*relay))).await else { continue };
            let Ok(node) = decode::<Node>(&bytes) else { continue };
            let NodeRole::Validator { url } = node.role else { continue };
            let address = format!("{}/duty/v1/stalls/{}/fetch", url.trim_end_matches('/'), self.id);
            let Ok(response) = self.http.post(&address).timeout(FETCH_TIMEOUT).body(encode(&signature)).send().await
            else {
                continue;
            };
            let Ok(bytes) = response.bytes().await else { continue };
            match decode::<RelayedRequest>(&bytes) {
                Ok(relayed) if relayed.matches(&self.claim.request) => return Some(relayed),
                _ => {}
            }
        }
        None
    }
}
