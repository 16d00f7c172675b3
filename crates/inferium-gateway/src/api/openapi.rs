//! The API's description: `GET /openapi.json`, an OpenAPI 3.1 document.
//!
//! Router and document are made of one table, so a route that is not described can't be served. What bodies may hold is written in
//! [`requests`], with the constants that the parsers check; a test compares both, value by value. Schemas are written as JSON: parsers read
//! bodies field by field, to refuse each by its name, and there are no types that schemas could be derived from.

mod answers;
mod operations;
mod proofs;
mod requests;
mod training;

pub(super) use operations::{admin, model, public};

use super::{ApiState, once, pay};
use axum::{
    Router,
    body::Bytes,
    http::header,
    middleware,
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document's address.
pub(super) const PATH: &str = "/openapi.json";

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everyone.
    Open,
    /// Everyone; an API key changes the answer.
    OpenOrKey,
    /// Who shows an API key.
    Key,
    /// Who shows the admin token.
    Admin,
}

/// What is to be known of a route.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// Name of a function in a generated client.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    pub(super) parameters: Vec<Value>,
    /// Name of the body's schema.
    pub(super) request: Option<&'static str>,
    /// How the body is written.
    pub(super) media: &'static str,
    /// Answers that are no errors, by status.
    pub(super) answers: Vec<(u16, Value)>,
    /// It is worked on by workers, so that sending it again must not begin it anew.
    pub(super) is_paid: bool,
    /// Statuses of errors, beside those that follow from `access` and `request`.
    pub(super) errors: &'static [u16],
}

/// A route: what serves it, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<ApiState>,
    pub(super) operation: Operation,
}

/// Routes that are served and described together.
#[derive(Debug)]
pub(super) struct Routes(pub(super) Vec<Route>);

impl Routes {
    pub(super) fn router(self, state: &ApiState) -> Router<ApiState> {
        self.0.into_iter().fold(Router::new(), |router, route| {
            let handler = if route.operation.is_paid {
                // What is known is not paid for again.
                let paid = route.handler.layer(middleware::from_fn_with_state(state.clone(), pay::pay));
                paid.layer(middleware::from_fn_with_state(state.clone(), once::once))
            } else {
                route.handler
            };
            router.route(route.path, handler)
        })
    }

    /// What the document says of them, by path. `servers` are the addresses that they are below, if not only the document's own.
    fn paths(&self, servers: Option<&Value>, paths: &mut BTreeMap<String, Map<String, Value>>) {
        for route in &self.0 {
            // A name that may hold slashes is a wildcard to the router.
            let item = paths.entry(route.path.replace("{*", "{")).or_default();
            item.insert(route.method.to_owned(), route.operation.json());
            if let Some(servers) = servers {
                item.insert("servers".to_owned(), servers.clone());
            }
        }
    }
}

impl Operation {
    fn json(&self) -> Value {
        let mut responses: BTreeMap<String, Value> =
            self.answers.iter().map(|(status, answer)| (status.to_string(), answer.clone())).collect();
        let of_access: &[u16] = match self.access {
            Access::Open => &[],
            Access::OpenOrKey | Access::Key | Access::Admin => &[401],
        };
        let of_request: &[u16] = if self.request.is_some() { &[400, 413] } else { &[] };
        for status in [self.errors, of_access, of_request].concat() {
            responses.insert(status.to_string(), answers::error(status));
        }
        let security = match self.access {
            Access::Open => json!([]),
            Access::OpenOrKey => json!([{}, {"apiKey": []}]),
            Access::Key => json!([{"apiKey": []}]),
            Access::Admin => json!([{"adminToken": []}]),
        };
        let mut shown = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "security": security,
            "responses": responses,
        });
        if let Some(fields) = shown.as_object_mut() {
            let mut parameters = self.parameters.clone();
            if self.is_paid {
                parameters.push(answers::idempotency_key());
            }
            if !parameters.is_empty() {
                fields.insert("parameters".to_owned(), parameters.into());
            }
            if let Some(name) = self.request {
                let content = json!({self.media: {"schema": named(name)}});
                fields.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
            }
        }
        shown
    }
}

/// The schema of this name.
fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The document of the public routes; `models` are the names of what is served.
pub(super) fn document(models: &[&str], with_batches: bool) -> Value {
    let mut paths = BTreeMap::new();
    let below = json!({
        "url": "/m/{model}",
        "description": "One model alone, for clients that name none.",
        "variables": {"model": {"default": models.first().unwrap_or(&""), "enum": models}},
    });
    model().paths(Some(&json!([{"url": "/"}, below])), &mut paths);
    public(with_batches).paths(None, &mut paths);
    let description = "An OpenAI-compatible API over a network of workers whose results are verified. Every answer has `x-request-id`; \
                       every error is an object `error` with `message`, `type`, `param` and `code`. A field whose value is null is as good \
                       as absent; a field that is not known is refused by its name.";
    let security = json!({
        "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer sk-inferium-...`"},
    });
    whole("Inferium", description, (&paths, &security), &public_schemas())
}

/// The document of the routes for operators.
pub(super) fn admin_document() -> Value {
    let mut paths = BTreeMap::new();
    admin().paths(None, &mut paths);
    let security = json!({
        "adminToken": {"type": "http", "scheme": "bearer", "description": "The operator's token, from a file of the gateway's data folder."},
    });
    let schemas = requests::admin_schemas().into_iter().chain(answers::admin_schemas()).collect();
    whole("Inferium, for operators", "Metrics, API keys and the state of a gateway.", (&paths, &security), &schemas)
}

fn public_schemas() -> BTreeMap<&'static str, Value> {
    requests::schemas().into_iter().chain(answers::schemas()).collect()
}

fn whole(
    title: &str,
    description: &str,
    (paths, security): (&BTreeMap<String, Map<String, Value>>, &Value),
    schemas: &BTreeMap<&'static str, Value>,
) -> Value {
    let mut paths = paths.clone();
    paths.entry(PATH.to_owned()).or_default().insert("get".to_owned(), operations::description().json());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": answers::errors(),
            "headers": answers::headers(),
            "securitySchemes": security,
        },
    })
}

/// Serves a document, written once.
pub(super) fn serve<S: Clone + Send + Sync + 'static>(document: &Value) -> MethodRouter<S> {
    let written = Bytes::from(document.to_string());
    get(move || async move { ([(header::CONTENT_TYPE, "application/json")], written).into_response() })
}

#[cfg(test)]
mod tests;
