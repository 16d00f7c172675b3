//! The pages, by address.

mod agent;
mod boards;
mod explorer;
mod governance;
mod leaderboard;
mod nodes;
mod proofs;
mod start;
pub(crate) mod studios;
mod table;
mod training;
mod wallet;
mod work;

use crate::WebState;
use crate::layout::{Section, Shell};
use crate::respond::{self, Form};
use axum::{
    Router,
    http::StatusCode,
    response::Response,
    routing::{MethodRouter, get, post},
};
use maud::{Markup, html};
use serde_json::{Value, json};

/// A page in every form that it can be sent in.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Of the document.
    pub(crate) title: String,
    pub(crate) section: Section,
    pub(crate) html: Markup,
    pub(crate) json: Value,
    /// Its table, if it has one.
    pub(crate) csv: Option<String>,
    /// Scripts and styles beside those of all pages.
    pub(crate) scripts: &'static [&'static str],
    pub(crate) styles: &'static [&'static str],
}

impl Page {
    pub(crate) fn new(title: impl Into<String>, section: Section, html: Markup, json: Value) -> Self {
        Self { title: title.into(), section, html, json, csv: None, scripts: &[], styles: &[] }
    }
}

/// A page that is not there, or that can't be made now.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// Nobody knows what the address names.
    Unknown(String),
    /// The network does not say.
    Unavailable(String),
}

impl From<inferium_chain::GetError> for NoPage {
    fn from(error: inferium_chain::GetError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A page, or why there is none.
pub(crate) type Found = Result<Page, NoPage>;

pub(crate) fn routes(state: WebState) -> Router {
    let mut router = Router::new()
        .route("/", get(start::start))
        .route("/api/v1/events", get(crate::events::stream))
        .route("/api/v1/transactions", post(wallet::submit))
        .route("/api/v1/transactions/{id}", get(wallet::standing))
        .route("/api/v1/segments/{id}", get(work::standing))
        .route("/api/v1/accounts/{id}", get(wallet::account))
        .route("/search", get(explorer::search));
    let listed: [(&str, MethodRouter<WebState>); 14] = [
        ("/studios", get(studios::catalogue)),
        ("/playground", get(start::playground)),
        ("/explorer", get(explorer::overview)),
        ("/explorer/blocks", get(explorer::blocks)),
        ("/explorer/transactions", get(explorer::transactions)),
        ("/explorer/segments", get(work::segments)),
        ("/explorer/tasks", get(work::tasks)),
        ("/explorer/slashes", get(nodes::slashes)),
        ("/leaderboard", get(leaderboard::leaderboard)),
        ("/boards", get(boards::boards)),
        ("/training", get(training::runs)),
        ("/proofs", get(proofs::proofs)),
        ("/governance", get(governance::proposals)),
        ("/wallet", get(wallet::page)),
    ];
    for (address, handler) in listed {
        for form in ["", ".json", ".csv"] {
            router = router.route(&format!("{address}{form}"), handler.clone());
        }
    }
    router
        .route("/studios/{id}", get(agent::agent))
        .route("/training/{id}", get(training::run))
        .route("/explorer/blocks/{id}", get(explorer::block))
        .route("/explorer/transactions/{id}", get(explorer::transaction))
        .route("/explorer/segments/{id}", get(work::segment))
        .route("/explorer/tasks/{id}", get(work::task))
        .route("/explorer/receipts/{id}", get(work::receipt))
        .route("/explorer/nodes/{id}", get(nodes::node))
        .route("/explorer/accounts/{id}", get(nodes::account))
        .route("/governance/{id}", get(governance::proposal))
        .with_state(state)
}

impl WebState {
    fn shell(&self) -> Shell {
        Shell { network_key: self.chain.network_key().to_string(), height: self.chain.height() }
    }

    /// Sends a page, or the page that says why there is none.
    fn send(&self, form: Form, found: Found) -> Response {
        match found {
            Ok(page) => respond::page(form, StatusCode::OK, &self.shell(), &page),
            Err(NoPage::Unknown(what)) => self.sorry(form, StatusCode::NOT_FOUND, "Not found", &what),
            Err(NoPage::Unavailable(why)) => {
                self.sorry(form, StatusCode::SERVICE_UNAVAILABLE, "The network does not say", &why)
            }
        }
    }

    fn sorry(&self, form: Form, status: StatusCode, title: &str, text: &str) -> Response {
        let html = html! {
            section.sorry {
                p.code { (status.as_u16()) }
                h1 { (title) }
                p { (text) }
                p { a.button href="/explorer" { "To the explorer" } " " a href="/" { "or to the first page" } }
            }
        };
        let json = json!({"error": {"code": status.as_u16(), "message": text}});
        // A table of nothing is no answer either.
        let form = if form == Form::Csv { Form::Json } else { form };
        respond::page(form, status, &self.shell(), &Page::new(title, Section::Start, html, json))
    }
}

/// The page for an address that nobody has.
pub(crate) fn not_found(state: &WebState, text: &str) -> Response {
    state.sorry(Form::Html, StatusCode::NOT_FOUND, "Not found", text)
}
