//! What the gateway tells of agents, boards, training and proofs beside the chain: manifests are on no chain, so their words come from here.
//!
//! The gateway's routes are asked in this process. What they say of agents counts only where its hash is the chain's.

use axum::{Router, body::Body, extract::Request};
use inferium_types::{AccountId, AgentId, Amount, Digest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

/// How long a page waits for words; without them it shows what the chain has.
const PATIENCE: Duration = Duration::from_millis(60);
/// Bytes of an answer at most.
const ANSWER_SIZE_MAX: usize = 16 << 20;
/// Pages of the list that are read.
const PAGES_MAX: usize = 200;
/// The list is asked for again after so many times what it took, so that it takes a tenth of one core at most.
const REST: u32 = 10;
const REST_MIN: Duration = Duration::from_millis(250);

/// An agent as the gateway lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) creator: AccountId,
    /// SHA-256 of the manifest that the words are of.
    pub(crate) manifest: Digest,
    pub(crate) price: Amount,
    pub(crate) runs: u64,
}

pub(crate) type ById = BTreeMap<AgentId, Listed>;

/// The gateway's list, as it was told last.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    api: Option<Router>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    list: Arc<ById>,
    is_asking: bool,
    /// Not asked before.
    next: Option<Instant>,
}

impl Listing {
    pub(crate) fn of(api: Router) -> Self {
        Self { api: Some(api), known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list; asked for anew, and waited for a moment, where `suffices` says that it has not what is wanted.
    pub(crate) async fn list(self: &Arc<Self>, suffices: impl FnOnce(&ById) -> bool) -> Arc<ById> {
        {
            let mut known = self.known();
            let is_due = known.next.is_none_or(|next| next <= Instant::now());
            if self.api.is_none() || known.is_asking || !is_due || suffices(&known.list) {
                return Arc::clone(&known.list);
            }
            known.is_asking = true;
        }
        let listing = Arc::clone(self);
        let asking = tokio::spawn(async move { listing.ask().await });
        // It goes on when the page does not wait for it any more.
        let _ = tokio::time::timeout(PATIENCE, asking).await;
        Arc::clone(&self.known().list)
    }

    async fn ask(&self) {
        let began = Instant::now();
        let list = self.pages().await;
        let mut known = self.known();
        known.is_asking = false;
        known.next = Some(Instant::now() + began.elapsed().saturating_mul(REST).max(REST_MIN));
        if let Some(list) = list {
            known.list = Arc::new(list);
        }
    }

    /// All pages of the list, as far as they come; none if the first does not.
    async fn pages(&self) -> Option<ById> {
        let mut list = ById::new();
        let mut path = "/v1/agents".to_owned();
        for page in 0..PAGES_MAX {
            let Some(answer) = self.get(&path).await else { return (page > 0).then_some(list) };
            let data = answer.get("data").and_then(Value::as_array);
            list.extend(data.into_iter().flatten().filter_map(listed));
            let has_more = answer.get("has_more").and_then(Value::as_bool).unwrap_or(false);
            let last = answer.get("last_id").and_then(Value::as_str).and_then(AgentId::from_hex);
            match last.filter(|_| has_more) {
                Some(last) => path = format!("/v1/agents?after={last}"),
                None => break,
            }
        }
        Some(list)
    }

    /// An agent with its manifest, if the gateway has it as it is now.
    pub(crate) async fn agent(&self, id: &AgentId) -> Option<Value> {
        self.get(&format!("/v1/agents/{id}")).await
    }

    /// The last final boards, if the gateway says.
    pub(crate) async fn boards(&self) -> Option<Value> {
        self.get("/v1/boards").await
    }

    /// Runs of training, if the gateway says.
    pub(crate) async fn trainings(&self) -> Option<Value> {
        self.get("/v1/training/runs").await
    }

    /// Proofs of answers, if the gateway says.
    pub(crate) async fn proofs(&self) -> Option<Value> {
        self.get("/v1/proofs").await
    }

    /// A run of training, if the gateway has it.
    pub(crate) async fn training(&self, id: &Digest) -> Option<Value> {
        self.get(&format!("/v1/training/runs/{id}")).await
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let api = self.api.clone()?;
        let request = Request::get(path).body(Body::empty()).ok()?;
        let response = match api.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if !response.status().is_success() {
            return None;
        }
        let bytes = axum::body::to_bytes(response.into_body(), ANSWER_SIZE_MAX).await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn listed(agent: &Value) -> Option<(AgentId, Listed)> {
    let text = |name: &str| agent.get(name).and_then(Value::as_str);
    let number = |name: &str| agent.get(name).and_then(Value::as_u64);
    let listed = Listed {
        name: text("name")?.to_owned(),
        summary: text("summary")?.to_owned(),
        creator: AccountId::from_hex(text("creator")?)?,
        manifest: Digest::from_hex(text("manifest_sha256")?)?,
        price: Amount::from_nano(number("price_nano")?),
        runs: number("runs")?,
    };
    Some((AgentId::from_hex(text("id")?)?, listed))
}

#[cfg(test)]
mod tests;
