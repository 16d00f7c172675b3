//! The pages of a network: studios, playground, explorer, leaderboard, governance, wallet.
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
//! the oldest; balances, stakes, agents and proposals are read from the chain with a proof each time; words of agents'
//! manifests come from the gateway and are shown where their hash is the chain's; receipts are checked in the browser. It holds no key: wallets sign in the page and send a finished transaction.
//!
//! Invariants: memory is bounded by the constants of [`Index`], whatever the chain holds; every page has a JSON twin
//! (`.json`, or `accept: application/json`) of the same data; what a stranger wrote is escaped or shown as text.

#![forbid(unsafe_code)]

mod assets;
mod events;
mod index;
mod layout;
mod listing;
mod pages;
mod readme;
mod respond;
mod story;

pub use index::Index;

use crate::listing::Listing;
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
    /// What the gateway tells of agents.
    pub(crate) listing: Arc<Listing>,
    /// Pages show what only operators can use.
    pub(crate) is_for_operators: bool,
}

impl Web {
    /// Pages over `chain`, which they follow from its first block on for as long as the value or a clone lives.
    /// `names` are those of nodes, for people.
    #[must_use]
    pub fn new(chain: LightClient, names: impl IntoIterator<Item = (String, NodeId)>) -> Self {
        let index = Index::follow(&chain);
        let names = names.into_iter().map(|(name, id)| (id, name)).collect();
        let http = reqwest::Client::new();
        let (names, listing) = (Arc::new(names), Arc::default());
        Self { state: WebState { chain, index, names, http, listing, is_for_operators: false } }
    }

    /// The same pages with what operators use: for an address that has the gateway's admin routes.
    #[must_use]
    pub fn for_operators(&self) -> Self {
        Self { state: WebState { is_for_operators: true, ..self.state.clone() } }
    }

    /// The pages, with `api` for every other address: the gateway's routes stay as they are. Pages of agents ask it what
    /// their manifests say.
    ///
    /// A browser that asks for an address nobody has gets a page that says so, everyone else the API's answer.
    pub fn mount(mut self, api: Router) -> Router {
        self.state.listing = Arc::new(Listing::of(api.clone()));
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

/// The catalogue of agents as a document, over an index alone: what a browser is sent, for measurements without a network.
#[must_use]
pub fn catalogue_of(index: &Index, query: &BTreeMap<String, String>) -> String {
    let asked = pages::studios::Asked::of(query);
    let page = pages::studios::page(&index.read(), &BTreeMap::new(), &asked);
    let shell = layout::Shell { network_key: String::new(), height: 0 };
    layout::document(&shell, &page).into_string()
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
