//! The pages of a network: playground, explorer, leaderboard, governance, wallet.
//!
//! ```text
//! validators ──verified blocks──► Index ──► pages (HTML, JSON, CSV) ──► browser
//!                entries, proven ──────────►   islands (ES modules) ──► /v1 of the gateway
//! ```
//!
//! Pages are written on the server and work without scripts; scripts add what needs them: streams, checks of
//! receipts from the network key, signatures, charts. Nothing comes from another origin, and the policy that says
//! so has no exception for inline code.
//!
//! What this crate is *not*: it is no source of truth. The [`Index`] remembers what verified blocks said and forgets
//! the oldest; balances, stakes and proposals are read from the chain with a proof each time; receipts are checked in
//! the browser. It holds no key: wallets sign in the page and send a finished transaction.
//!
//! Invariants: memory is bounded by the constants of [`Index`], whatever the chain holds; every page has a JSON twin
//! (`.json`, or `accept: application/json`) of the same data; what a stranger wrote is escaped or shown as text.

#![forbid(unsafe_code)]

mod assets;
mod events;
mod index;
mod layout;
mod pages;
mod respond;
mod story;

pub use index::Index;

use axum::{Router, extract::Request, middleware, response::Response, routing::get};
use inferium_chain::LightClient;
use inferium_types::NodeId;
use std::{collections::BTreeMap, sync::Arc};
use tower::ServiceExt as _;

/// The pages of one network. Clones share their index.
#[derive(Debug, Clone)]
pub struct Web {
    state: WebState,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct WebState {
    pub(crate) chain: LightClient,
    pub(crate) index: Arc<Index>,
    pub(crate) names: Arc<BTreeMap<NodeId, String>>,
    pub(crate) http: reqwest::Client,
}

impl Web {
    /// Pages over `chain`, which they follow from its first block on for as long as the value or a clone lives.
    /// `names` are those of nodes, for people.
    #[must_use]
    pub fn new(chain: LightClient, names: impl IntoIterator<Item = (String, NodeId)>) -> Self {
        let index = Index::follow(&chain);
        let names = names.into_iter().map(|(name, id)| (id, name)).collect();
        Self { state: WebState { chain, index, names: Arc::new(names), http: reqwest::Client::new() } }
    }

    /// The pages, with `api` for every other address: the gateway's routes stay as they are.
    ///
    /// A browser that asks for an address nobody has gets a page that says so, everyone else the API's answer.
    pub fn mount(self, api: Router) -> Router {
        let lost = self.state.clone();
        let fallback = move |request: Request| {
            let (api, state) = (api.clone(), lost.clone());
            async move { elsewhere(api, &state, request).await }
        };
        pages::routes(self.state)
            .route("/assets/{*path}", get(assets::serve))
            .layer(middleware::from_fn(respond::harden))
            .fallback(fallback)
    }
}

async fn elsewhere(api: Router, state: &WebState, request: Request) -> Response {
    if respond::is_for_a_page(&request) {
        return respond::with_policy(pages::not_found(state, "There is nothing at this address."));
    }
    match api.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests;
