//! How a page is sent: as HTML, JSON or CSV, and under which policy.

use crate::layout::{self, Shell};
use crate::pages::Page;
use axum::{
    Json,
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use std::convert::Infallible;

/// Scripts, styles and connections of this origin alone; nothing inline, nothing framed.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      frame-ancestors 'none'; form-action 'self'";

/// In which form a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Html,
    /// The rows alone, for a page that is there already.
    Partial,
    /// For programs.
    Json,
    /// The table, for a spreadsheet.
    Csv,
}

impl Form {
    fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        if path.ends_with(".json") {
            return Self::Json;
        }
        if path.ends_with(".csv") {
            return Self::Csv;
        }
        if parts.headers.contains_key("hx-request") {
            return Self::Partial;
        }
        let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("application/json") && !accept.contains("text/html") { Self::Json } else { Self::Html }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// The last part of an address without the ending that names its form.
pub(crate) fn bare(id: &str) -> &str {
    id.strip_suffix(".json").or_else(|| id.strip_suffix(".csv")).unwrap_or(id)
}

/// Sends a page.
pub(crate) fn page(form: Form, status: StatusCode, shell: &Shell, page: &Page) -> Response {
    let mut response = match form {
        Form::Json => Json(&page.json).into_response(),
        Form::Csv => match page.csv.clone() {
            Some(table) => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], table).into_response(),
            None => return (StatusCode::NOT_FOUND, "this page has no table\n").into_response(),
        },
        Form::Partial => Html(page.html.clone().into_string()).into_response(),
        Form::Html => Html(layout::document(shell, page).into_string()).into_response(),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, hx-request"));
    response
}

/// True when a browser asks for an address that the API does not have.
pub(crate) fn is_for_a_page(request: &Request) -> bool {
    let path = request.uri().path();
    let wants_html = |headers: &HeaderMap| {
        headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
    };
    let is_api = path.starts_with("/v1/") || matches!(path, "/health" | "/ready" | "/version" | "/openapi.json");
    request.method() == axum::http::Method::GET && !is_api && wants_html(request.headers())
}

/// Puts every answer under the policy.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    with_policy(next.run(request).await)
}

/// An answer under the policy.
pub(crate) fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}
