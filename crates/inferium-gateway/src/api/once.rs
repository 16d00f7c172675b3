//! Requests that are sent again are done once.
//!
//! Clients repeat what they had no answer to, and SDKs do so by themselves; every repetition that began anew would be paid for anew. So a
//! request that a client may repeat runs apart from its connection, and what it answers is kept for a while. A repetition joins it while it
//! runs and gets its answer when it is done: the same status, bytes and events, with `idempotency-replayed: true`.
//!
//! | asked with | repeats | goes on without a listener | is kept |
//! | --- | --- | --- | --- |
//! | `idempotency-key` | the request of this account with the same key | [`NAMED_GRACE`] | an hour |
//! | `x-stainless-retry-count` above 0, as SDKs of OpenAI's family send it | one of this account with the same body that no client listens to | [`RETRY_GRACE`], a stream not at all | a minute |
//! | neither | nothing | not at all | not at all |
//!
//! Only what succeeded is kept: whoever was refused, or shown an error, is to ask again, and what an SDK then repeats begins anew. Answers are kept in memory, within bounds.

mod table;

use super::error::ApiError;
use super::{ApiState, SHOULD_RETRY, allowance, whole_body};
use crate::store::{Made, Repetition};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, OriginalUri, Request, State, rejection::BytesRejection};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use inferium_types::Digest;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
pub(super) use table::Table;
use table::{Asked, Begun, Number};
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// How long a request with an `idempotency-key` goes on when nobody listens any more.
const NAMED_GRACE: Duration = Duration::from_secs(10);
/// How long one goes on that an SDK may repeat: SDKs wait half a second before they do.
const RETRY_GRACE: Duration = Duration::from_millis(800);
/// Characters of an `idempotency-key` at most.
pub(super) const NAME_MAX: usize = 255;

/// How far an answer has come. Who listens holds a receiver of it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    head: Option<(StatusCode, HeaderMap)>,
    chunks: Vec<Bytes>,
    /// All of an answer that nobody can join: its one listener takes it as it comes.
    passed: Mutex<Option<Body>>,
    /// Nothing more comes.
    is_done: bool,
    /// A client got all of it, as far as can be known here.
    was_heard: AtomicBool,
}

impl Progress {
    fn size(&self) -> usize {
        self.chunks.iter().map(Bytes::len).fold(0, usize::saturating_add)
    }
}

/// In an answer's extensions: whether its stream came to a good end.
#[derive(Debug, Clone, Default)]
pub(super) struct GoodEnd(Arc<AtomicBool>);

impl GoodEnd {
    pub(super) fn reached(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_reached(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A response whose events come from elsewhere, as soon as they are there; `good_end` is how whoever keeps answers learns that all came.
pub(super) fn event_stream(receiver: mpsc::Receiver<Bytes>, good_end: Option<GoodEnd>) -> Response {
    let body = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok::<Bytes, std::convert::Infallible>(bytes), receiver))
    });
    let mut response = Response::new(Body::from_stream(body));
    if let Some(good_end) = good_end {
        response.extensions_mut().insert(good_end);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Lets a request run, join another one, or take its answer.
pub(super) async fn once(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let account = state.account(request.headers());
    let mut response = match begin(&state, account, request).await {
        Ok(Turn::Alone(request)) => next.run(request).await,
        Ok(Turn::Join(answer)) => listen(answer, true).await,
        Ok(Turn::First(request, running, answer)) => {
            tokio::spawn(running.run(request, next).in_current_span());
            listen(answer, false).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(account) = account {
        allowance::tell(response.headers_mut(), &state.hub.limits(account));
    }
    response
}

/// What becomes of a request.
enum Turn {
    /// It can't be repeated.
    Alone(Request),
    Join(watch::Receiver<Progress>),
    First(Request, Running, watch::Receiver<Progress>),
}

/// Repetitions count for no limit.
async fn begin(state: &ApiState, account: Option<Digest>, request: Request) -> Result<Turn, ApiError> {
    let headers = request.headers();
    let name = headers.get(IDEMPOTENCY_KEY).map(name).transpose()?;
    let retries = retries(headers);
    let is_named = name.is_some();
    let asked = match (name, retries) {
        (Some(name), _) => Asked::Named(name),
        (None, Some(retries)) => Asked::Attempt(retries),
        (None, None) => {
            account.map(|account| state.hub.take_request(account)).transpose()?;
            return Ok(Turn::Alone(request));
        }
    };
    let account = state.payer(headers)?;
    let address = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |uri| uri.0.clone());
    let (parts, body) = request.into_parts();
    let body: Result<Bytes, BytesRejection> =
        Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
    let body = whole_body(body)?;
    let hash = Digest::of("inferium/request/1", &[address.path().as_bytes(), &body]);
    Ok(match state.once.begin(account, hash, asked)? {
        Begun::Known(progress) => Turn::Join(progress),
        Begun::New(number, progress, answer) => {
            if let Err(over) = state.hub.take_request(account) {
                state.once.refuse(number);
                return Err(over.into());
            }
            let running = Running { table: Arc::clone(&state.once), number, progress, is_named };
            Turn::First(Request::from_parts(parts, Body::from(body)), running, answer)
        }
    })
}

/// How a request says that it repeats one that made something to keep: what that made tells by itself, also after a restart.
pub(super) fn repetition(headers: &HeaderMap) -> Result<Repetition, ApiError> {
    let name = headers.get(IDEMPOTENCY_KEY).map(name).transpose()?;
    Ok(Repetition {
        named: name.map(|name| Digest::of("inferium/idempotency-key/1", &[name.as_bytes()])),
        is_retry: retries(headers).is_some_and(|retries| retries > 0),
    })
}

/// Answers with what a request made, or an earlier one that it repeats.
pub(super) fn made<T>(
    made: Made<T>,
    show: impl FnOnce(Digest, &T) -> Value,
    full: ApiError,
) -> Result<Response, ApiError> {
    match made {
        Made::New(id, one) => Ok(Json(show(id, &one)).into_response()),
        Made::Known(id, one) => Ok(([(REPLAYED, "true")], Json(show(id, &one))).into_response()),
        Made::Full => Err(full),
        Made::OtherThanNamed => Err(ApiError::IdempotencyKeyReused),
    }
}

/// Which attempt of an SDK's it is, from 0, if it says so.
fn retries(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_COUNT)?.to_str().ok()?.parse().ok()
}

fn name(value: &HeaderValue) -> Result<String, ApiError> {
    let name = value.to_str().ok().filter(|name| (1..=NAME_MAX).contains(&name.len()));
    let message = || format!("`idempotency-key` must be 1 to {NAME_MAX} characters of ASCII");
    name.map(str::to_owned).ok_or_else(|| ApiError::invalid("idempotency-key", message()))
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With an answer to keep.
    Good,
    /// With an error for an answer, which is noted.
    Refused,
    /// With nothing that a repetition should know of.
    Bad,
}

/// Whether SDKs send a request again by themselves that was answered like this.
fn is_retried(status: StatusCode, headers: &HeaderMap) -> bool {
    let code = status.as_u16();
    let is_forbidden = headers.get(SHOULD_RETRY).is_some_and(|value| value == "false");
    !is_forbidden && (matches!(code, 408 | 409 | 429) || code >= 500)
}

/// A request that runs apart from its connection. Whatever happens to it, nobody waits for it in vain.
struct Running {
    table: Arc<Table>,
    number: Number,
    progress: Arc<watch::Sender<Progress>>,
    is_named: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.progress.borrow().is_done {
            self.table.forget(self.number);
            self.progress.send_modify(|progress| progress.is_done = true);
        }
    }
}

impl Running {
    /// Runs it for whoever listens, and keeps its answer if it is one.
    async fn run(self, request: Request, next: Next) {
        let end = tokio::select! {
            end = self.answer(request, next) => end,
            // Dropping the answer under way cancels its jobs.
            () = self.unheard() => End::Bad,
        };
        match end {
            End::Good => {
                let size = self.progress.borrow().size();
                self.table.keep(self.number, size);
            }
            End::Refused => {}
            End::Bad => self.table.forget(self.number),
        }
        self.progress.send_modify(|progress| progress.is_done = true);
    }

    /// Copies the answer to who listens.
    async fn answer(&self, request: Request, next: Next) -> End {
        let (parts, body) = next.run(request).await.into_parts();
        let is_refused = is_retried(parts.status, &parts.headers);
        let good_end = parts.extensions.get::<GoodEnd>().cloned();
        // SDKs repeat no stream that has begun.
        let is_repeatable = parts.status.is_success() && (good_end.is_none() || self.is_named);
        if is_refused {
            self.table.refuse(self.number);
        } else if !is_repeatable {
            self.table.forget(self.number);
        }
        let is_passed = parts.status.is_success() && !is_repeatable;
        let (passed, body) = if is_passed { (Some(body), Body::empty()) } else { (None, body) };
        self.progress.send_modify(|progress| {
            progress.head = Some((parts.status, parts.headers));
            progress.passed = Mutex::new(passed);
        });
        if is_passed {
            return End::Bad;
        }
        let mut chunks = body.into_data_stream();
        let bad = if is_refused { End::Refused } else { End::Bad };
        loop {
            let chunk = tokio::select! {
                biased;
                () = self.progress.closed(), if !is_repeatable => return bad,
                chunk = chunks.next() => chunk,
            };
            match chunk {
                Some(Ok(bytes)) => self.progress.send_modify(|progress| progress.chunks.push(bytes)),
                Some(Err(_)) => return bad,
                None if is_repeatable && good_end.is_none_or(|end| end.is_reached()) => return End::Good,
                None => return bad,
            }
        }
    }

    /// Returns when nobody has listened for a while, and nobody can listen any more.
    async fn unheard(&self) {
        let grace = if self.is_named { NAMED_GRACE } else { RETRY_GRACE };
        loop {
            self.progress.closed().await;
            tokio::time::sleep(grace).await;
            if self.table.forget_unheard(self.number, &self.progress) {
                return;
            }
        }
    }
}

/// The answer as one client gets it.
async fn listen(mut answer: watch::Receiver<Progress>, is_replay: bool) -> Response {
    let head = answer.wait_for(|progress| progress.head.is_some() || progress.is_done).await;
    let head = head.ok().and_then(|progress| progress.head.clone());
    let Some((status, headers)) = head else {
        return ApiError::Internal("the request ended without an answer".into()).into_response();
    };
    let passed = answer.borrow().passed.lock().unwrap_or_else(PoisonError::into_inner).take();
    let is_stream =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = match passed {
        Some(body) => body,
        None if is_stream => Body::from_stream(pieces(answer)),
        None => Body::from(whole(answer).await),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if is_replay {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

async fn whole(mut answer: watch::Receiver<Progress>) -> Bytes {
    let Ok(progress) = answer.wait_for(|progress| progress.is_done).await else { return Bytes::new() };
    let body = match progress.chunks.as_slice() {
        [only] => only.clone(),
        chunks => chunks.concat().into(),
    };
    progress.was_heard.store(true, Ordering::Release);
    drop(progress);
    body
}

/// The chunks of a stream from its first one on, as they come.
fn pieces(answer: watch::Receiver<Progress>) -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures::stream::unfold((answer, 0usize), |(mut answer, index)| async move {
        let found = answer.wait_for(|progress| progress.chunks.len() > index || progress.is_done).await;
        let progress = found.ok()?;
        let Some(chunk) = progress.chunks.get(index).cloned() else {
            progress.was_heard.store(true, Ordering::Release);
            return None;
        };
        drop(progress);
        Some((Ok(chunk), (answer, index.saturating_add(1))))
    })
}

#[cfg(test)]
mod tests;
