//! `/v1/batches`: many requests in a file, whose answers are a file. A key sees its own batches and no others.

mod lines;
mod work;

pub(crate) use work::run;

use super::error::{ApiError, BATCH};
use super::fields::{fields, text};
use super::files::{Page, file_id, look_up};
use super::{ApiState, choices::ifr, object, once, whole_body};
use crate::clock::unix_ms;
use crate::store::{BATCHES_MAX, BatchRecord, BatchStatus, Endpoint, FileContent, Made, OPEN_MAX};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{
    Path, Query, State, rejection::BytesRejection, rejection::PathRejection, rejection::QueryRejection,
};
use axum::http::HeaderMap;
use axum::response::Response;
use inferium_types::{Amount, Digest};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a batch may take.
pub(super) const WINDOW: &str = "24h";
const WINDOW_MS: u64 = 86_400_000;
/// Notes of a client's at most, and characters of their names and values.
pub(super) const METADATA_MAX: usize = 16;
pub(super) const METADATA_NAME_MAX: usize = 64;
pub(super) const METADATA_VALUE_MAX: usize = 512;
/// Batches of a page at most.
pub(super) const PAGE_MAX: usize = 100;
const PREFIX: &str = "batch_";

/// The id behind what clients are shown.
pub(super) fn parse_id(prefix: &str, shown: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(shown.strip_prefix(prefix)?, &mut bytes).ok()?;
    Some(Digest::from(bytes))
}

/// A batch as it is asked for.
#[derive(Debug)]
struct Wanted {
    input: String,
    endpoint: Endpoint,
    metadata: Vec<(String, String)>,
}

impl Wanted {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let (mut input, mut endpoint, mut window, mut metadata) = (None, None, None, Vec::new());
        for (name, value) in object(body)? {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("input_file_id", value) => input = Some(text(&name, &value)?.to_owned()),
                ("endpoint", value) => endpoint = Some(read_endpoint(text(&name, &value)?)?),
                ("completion_window", value) => {
                    if text(&name, &value)? != WINDOW {
                        return Err(ApiError::invalid(&name, format!("`{name}` must be `{WINDOW}`")));
                    }
                    window = Some(WINDOW);
                }
                ("metadata", value) => metadata = notes(&name, &value)?,
                _ => return Err(ApiError::Unsupported { param: name }),
            }
        }
        let required = |name: &str| ApiError::invalid(name, format!("`{name}` is required"));
        window.ok_or_else(|| required("completion_window"))?;
        Ok(Self {
            input: input.ok_or_else(|| required("input_file_id"))?,
            endpoint: endpoint.ok_or_else(|| required("endpoint"))?,
            metadata,
        })
    }
}

fn read_endpoint(url: &str) -> Result<Endpoint, ApiError> {
    let urls = || Endpoint::ALL.map(|endpoint| endpoint.url().to_owned());
    let message = || format!("`endpoint` must be one of {}", super::names(&urls()));
    let found = Endpoint::ALL.into_iter().find(|endpoint| endpoint.url() == url);
    found.ok_or_else(|| ApiError::invalid("endpoint", message()))
}

fn notes(name: &str, value: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let wrong = || {
        let message = format!(
            "`{name}` must be an object of at most {METADATA_MAX} strings of up to {METADATA_VALUE_MAX} characters, \
             with names of up to {METADATA_NAME_MAX}"
        );
        ApiError::invalid(name, message)
    };
    let notes = fields(name, value)?;
    let read = |(name, value): (&String, &Value)| {
        let value = value.as_str()?;
        let fits = name.chars().count() <= METADATA_NAME_MAX && value.chars().count() <= METADATA_VALUE_MAX;
        fits.then(|| (name.clone(), value.to_owned()))
    };
    if notes.len() > METADATA_MAX {
        return Err(wrong());
    }
    notes.iter().map(read).collect::<Option<_>>().ok_or_else(wrong)
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let owner = state.payer(&headers)?;
    let repetition = once::repetition(&headers)?;
    let wanted = Wanted::parse(&whole_body(body)?)?;
    let (input, file) = look_up(&state, owner, &wanted.input).await?;
    if file.content != FileContent::Uploaded {
        return Err(ApiError::invalid("input_file_id", "the output of a batch can't be the input of another one"));
    }
    let created_at_ms = unix_ms();
    let record = BatchRecord {
        input,
        endpoint: wanted.endpoint,
        metadata: wanted.metadata,
        status: BatchStatus::Validating,
        created_at_ms,
        expires_at_ms: created_at_ms.saturating_add(WINDOW_MS),
        in_progress_at_ms: None,
        cancelling_at_ms: None,
        ended_at_ms: None,
        total: 0,
        completed: 0,
        failed: 0,
        output_size: 0,
        errors_size: 0,
        cost: Amount::ZERO,
        output: None,
        errors: None,
        faults: Vec::new(),
        named: repetition.named,
    };
    let made = state.hub.disk(move |hub| hub.store.put_batch(owner, record, repetition)).await?;
    if matches!(made, Made::New(..)) {
        state.hub.batch_added();
    }
    let message = format!("a key has at most {OPEN_MAX} batches that are not done, and {BATCHES_MAX} in 30 days");
    once::made(made, batch_json, ApiError::invalid("input_file_id", message))
}

pub(super) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let owner = state.payer(&headers)?;
    let Query(query) = query.map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
    let page = Page::parse(&query, PAGE_MAX, &[])?;
    let mut batches = state.hub.disk(move |hub| hub.store.batches(owner)).await?;
    batches.sort_by_key(|(id, batch)| std::cmp::Reverse((batch.created_at_ms, *id)));
    Ok(Json(page.shown(batches.iter().map(|(id, batch)| batch_json(*id, batch)).collect())))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (_, id, batch) = find(&state, &headers, id).await?;
    Ok(Json(batch_json(id, &batch)))
}

pub(super) async fn cancel(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (owner, id, _) = find(&state, &headers, id).await?;
    let changed = state.hub.disk(move |hub| {
        hub.store.change_batch(owner, id, |batch| {
            batch.status = BatchStatus::Cancelling;
            batch.cancelling_at_ms.get_or_insert_with(unix_ms);
        })
    });
    let batch = changed.await?.ok_or_else(|| missing(&batch_id(id)))?;
    if batch.status != BatchStatus::Cancelling {
        let message = format!("a batch that is {} can't be cancelled", batch.status.name());
        return Err(ApiError::invalid("batch_id", message));
    }
    state.hub.cancel_batch(id);
    Ok(Json(batch_json(id, &batch)))
}

/// A batch of the key that asks.
async fn find(
    state: &ApiState,
    headers: &HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<(Digest, Digest, BatchRecord), ApiError> {
    let owner = state.payer(headers)?;
    let Path(shown) = id.map_err(|rejection| ApiError::invalid("batch_id", rejection.body_text()))?;
    let id = parse_id(PREFIX, &shown).ok_or_else(|| missing(&shown))?;
    let batch = state.hub.disk(move |hub| hub.store.batch(owner, id)).await?;
    Ok((owner, id, batch.ok_or_else(|| missing(&shown))?))
}

fn missing(shown: &str) -> ApiError {
    ApiError::Missing { what: BATCH, id: shown.chars().take(255).collect() }
}

fn batch_id(id: Digest) -> String {
    format!("{PREFIX}{id}")
}

fn batch_json(id: Digest, batch: &BatchRecord) -> Value {
    let seconds = |at_ms: Option<u64>| at_ms.map(|at_ms| at_ms / 1_000);
    let ended = |as_what: BatchStatus| seconds(batch.ended_at_ms.filter(|_| batch.status == as_what));
    let faults: Vec<Value> = batch
        .faults
        .iter()
        .map(|fault| json!({"code": fault.code, "message": fault.message, "param": fault.param, "line": fault.line}))
        .collect();
    let notes: Map<String, Value> =
        batch.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "id": batch_id(id),
        "object": "batch",
        "endpoint": batch.endpoint.url(),
        "errors": (!faults.is_empty()).then(|| json!({"object": "list", "data": faults})),
        "input_file_id": file_id(batch.input),
        "completion_window": WINDOW,
        "status": batch.status.name(),
        "output_file_id": batch.output.map(file_id),
        "error_file_id": batch.errors.map(file_id),
        "created_at": batch.created_at_ms / 1_000,
        "in_progress_at": seconds(batch.in_progress_at_ms),
        "expires_at": batch.expires_at_ms / 1_000,
        // Files are made and the batch ended in one write.
        "finalizing_at": ended(BatchStatus::Completed),
        "completed_at": ended(BatchStatus::Completed),
        "failed_at": ended(BatchStatus::Failed),
        "expired_at": ended(BatchStatus::Expired),
        "cancelling_at": seconds(batch.cancelling_at_ms),
        "cancelled_at": ended(BatchStatus::Cancelled),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": (!notes.is_empty()).then_some(notes),
        "cost": ifr(batch.cost),
        "cost_nano": batch.cost.nano(),
    })
}

impl ApiState {
    /// The state as batches have it: what they ask for is done by leases of their own kind.
    fn for_batches(&self) -> Self {
        let models =
            self.models.iter().map(|model| Arc::new(super::ApiModel { kind: lines::KIND, ..(**model).clone() }));
        Self { models: models.collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
