//! `/v1/files`: what batches read and write. A key sees its own files and no others.

use super::error::{ApiError, FILE};
use super::{ApiState, batches::parse_id, once};
use crate::clock::unix_ms;
use crate::store::{BYTES_MAX, FILES_MAX, FileContent, FileRecord, StoreError};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use inferium_types::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Bytes of a file at most.
pub(super) const SIZE_MAX: usize = 16 * 1024 * 1024;
/// What the form around a file takes at most.
const FORM_MAX: usize = 64 * 1024;
/// Bytes of an upload's body at most.
pub(super) const BODY_MAX: usize = SIZE_MAX + FORM_MAX;
/// Files of a page at most.
pub(super) const PAGE_MAX: usize = FILES_MAX;
/// How long files are kept, if it is not said.
pub(super) const KEPT_MS: u64 = 30 * 86_400_000;
/// Seconds for which a file may be kept when that is said.
pub(super) const EXPIRY_S: (u64, u64) = (3_600, KEPT_MS / 1_000);
/// Characters of a file's name at most.
const NAME_MAX: usize = 255;
const PREFIX: &str = "file-";

/// What a client sends.
#[derive(Debug, Default)]
struct Upload {
    content: Option<(String, Bytes)>,
    purpose: Option<String>,
    expires_in_s: Option<u64>,
}

pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let owner = state.payer(&headers)?;
    let repetition = once::repetition(&headers)?;
    let form = form.map_err(|rejection| ApiError::invalid("file", rejection.body_text()))?;
    let upload = Upload::read(form).await?;
    let purpose = upload.purpose.ok_or_else(|| ApiError::invalid("purpose", "`purpose` is required"))?;
    if purpose != "batch" {
        return Err(ApiError::invalid("purpose", "`purpose` must be `batch`: files are for nothing else here"));
    }
    let (name, content) = upload.content.ok_or_else(|| ApiError::invalid("file", "`file` is required"))?;
    if content.len() > SIZE_MAX {
        return Err(ApiError::TooLarge);
    }
    if content.is_empty() {
        return Err(ApiError::invalid("file", "the file is empty"));
    }
    let created_at_ms = unix_ms();
    let kept_ms = upload.expires_in_s.map_or(KEPT_MS, |seconds| seconds.saturating_mul(1_000));
    let record = FileRecord {
        name,
        size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        created_at_ms,
        expires_at_ms: created_at_ms.saturating_add(kept_ms),
        content: FileContent::Uploaded,
        digest: Digest::sha256(&content),
        named: repetition.named,
    };
    let made = state.hub.disk(move |hub| hub.store.put_file(owner, record, &content.into(), repetition)).await?;
    let message = format!(
        "a key has at most {FILES_MAX} files, and {BYTES_MAX} bytes in them and in the answers of its batches; delete some"
    );
    once::made(made, file_json, ApiError::invalid("file", message))
}

impl Upload {
    async fn read(mut form: Multipart) -> Result<Self, ApiError> {
        let mut upload = Self::default();
        while let Some(field) = form.next_field().await.map_err(unreadable)? {
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "file" => {
                    let shown = field.file_name().unwrap_or("batch.jsonl").chars().filter(|one| !one.is_control());
                    let shown = shown.take(NAME_MAX).collect();
                    upload.content = Some((shown, field.bytes().await.map_err(unreadable)?));
                }
                "purpose" => upload.purpose = Some(text(field).await?),
                "expires_after[anchor]" => {
                    if text(field).await? != "created_at" {
                        return Err(ApiError::invalid(&name, format!("`{name}` must be `created_at`")));
                    }
                }
                "expires_after[seconds]" => {
                    let (least, most) = EXPIRY_S;
                    let seconds = text(field).await?.parse().ok().filter(|seconds| (least..=most).contains(seconds));
                    let wrong = || ApiError::invalid(&name, format!("`{name}` must be from {least} to {most}"));
                    upload.expires_in_s = Some(seconds.ok_or_else(wrong)?);
                }
                _ => return Err(ApiError::Unsupported { param: name }),
            }
        }
        Ok(upload)
    }
}

async fn text(field: Field<'_>) -> Result<String, ApiError> {
    field.text().await.map_err(unreadable)
}

fn unreadable(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge
    } else {
        ApiError::invalid("file", error.body_text())
    }
}

pub(super) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let owner = state.payer(&headers)?;
    let Query(query) = query.map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
    let page = Page::parse(&query, PAGE_MAX, &["purpose", "order"])?;
    let purpose = query.get("purpose").map(String::as_str);
    let is_oldest_first = match query.get("order").map(String::as_str) {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(ApiError::invalid("order", "`order` must be `asc` or `desc`")),
    };
    let mut files = state.hub.disk(move |hub| hub.store.files(owner)).await?;
    let now_ms = unix_ms();
    files.retain(|(_, file)| file.expires_at_ms > now_ms && purpose.is_none_or(|wanted| wanted == purpose_of(file)));
    files.sort_by_key(|(id, file)| (file.created_at_ms, *id));
    if !is_oldest_first {
        files.reverse();
    }
    Ok(Json(page.shown(files.iter().map(|(id, file)| file_json(*id, file)).collect())))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (_, id, file) = find(&state, &headers, id).await?;
    Ok(Json(file_json(id, &file)))
}

pub(super) async fn delete(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (owner, id, _) = find(&state, &headers, id).await?;
    let outcome = state.hub.disk(move |hub| {
        let batches = hub.store.batches(owner)?;
        if batches.iter().any(|(_, batch)| batch.input == id && !batch.status.has_ended()) {
            return Ok(false);
        }
        hub.store.remove_file(owner, id)?;
        Ok(true)
    });
    if !outcome.await? {
        return Err(ApiError::invalid("file_id", "a batch is at work on this file; cancel that first"));
    }
    Ok(Json(json!({"id": file_id(id), "object": "file", "deleted": true})))
}

pub(super) async fn content(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let (_, id, file) = find(&state, &headers, id).await?;
    let kind = (header::CONTENT_TYPE, "application/jsonl");
    match file.content {
        FileContent::Uploaded => {
            let content = state.hub.disk(move |hub| hub.store.content(id)).await?;
            let content = content.ok_or_else(|| ApiError::Missing { what: FILE, id: file_id(id) })?;
            Ok(([kind], content).into_response())
        }
        FileContent::Output(batch) => Ok(([kind], lines(state, batch, false)).into_response()),
        FileContent::Errors(batch) => Ok(([kind], lines(state, batch, true)).into_response()),
    }
}

/// The lines of a batch that have, or have not, an answer, as they are read.
fn lines(state: ApiState, batch: Digest, are_errors: bool) -> Body {
    Body::from_stream(futures::stream::try_unfold(0, move |from| {
        let hub = std::sync::Arc::clone(&state.hub);
        async move {
            let page = hub.disk(move |hub| hub.store.lines(batch, from)).await?;
            let Some((last, _)) = page.last() else { return Ok(None) };
            let next = last.saturating_add(1);
            let mut text = String::new();
            for (_, line) in page.iter().filter(|(_, line)| line.is_error == are_errors) {
                // Writing to a String can't fail.
                let _ = writeln!(text, "{}", line.text);
            }
            Ok::<_, StoreError>(Some((text, next)))
        }
    }))
}

/// A file of the key that asks.
async fn find(
    state: &ApiState,
    headers: &HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<(Digest, Digest, FileRecord), ApiError> {
    let owner = state.payer(headers)?;
    let Path(shown) = id.map_err(|rejection| ApiError::invalid("file_id", rejection.body_text()))?;
    let (id, file) = look_up(state, owner, &shown).await?;
    Ok((owner, id, file))
}

/// A file of `owner` by its id.
pub(super) async fn look_up(state: &ApiState, owner: Digest, shown: &str) -> Result<(Digest, FileRecord), ApiError> {
    let missing = || ApiError::Missing { what: FILE, id: shown.chars().take(NAME_MAX).collect() };
    let id = parse_id(PREFIX, shown).ok_or_else(missing)?;
    let file = state.hub.disk(move |hub| hub.store.file(owner, id)).await?;
    let file = file.filter(|file| file.expires_at_ms > unix_ms()).ok_or_else(missing)?;
    Ok((id, file))
}

pub(super) fn file_id(id: Digest) -> String {
    format!("{PREFIX}{id}")
}

const fn purpose_of(file: &FileRecord) -> &'static str {
    match file.content {
        FileContent::Uploaded => "batch",
        FileContent::Output(_) | FileContent::Errors(_) => "batch_output",
    }
}

fn file_json(id: Digest, file: &FileRecord) -> Value {
    json!({
        "id": file_id(id),
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at_ms / 1_000,
        "expires_at": file.expires_at_ms / 1_000,
        "filename": file.name,
        "purpose": purpose_of(file),
        "status": "processed",
        "status_details": null,
    })
}

/// Which part of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Parses a query, of which `others` are read elsewhere.
    pub(super) fn parse(query: &BTreeMap<String, String>, most: usize, others: &[&str]) -> Result<Self, ApiError> {
        if let Some(other) =
            query.keys().find(|name| *name != "limit" && *name != "after" && !others.contains(&name.as_str()))
        {
            return Err(ApiError::Unsupported { param: other.clone() });
        }
        let limit = query.get("limit").map(|limit| limit.parse().ok().filter(|limit| (1..=most).contains(limit)));
        let wrong = || ApiError::invalid("limit", format!("`limit` must be a whole number from 1 to {most}"));
        let limit = limit.map_or(Ok(most.min(100)), |limit| limit.ok_or_else(wrong))?;
        Ok(Self { limit, after: query.get("after").cloned() })
    }

    /// The page of a list, as SDKs of OpenAI's family go through it.
    pub(super) fn shown(&self, all: Vec<Value>) -> Value {
        let is_after = |one: &Value| self.after.as_deref().is_some_and(|after| one.get("id") == Some(&after.into()));
        let from = if self.after.is_some() {
            all.iter().position(is_after).map_or(all.len(), |place| place.saturating_add(1))
        } else {
            0
        };
        let has_more = all.len().saturating_sub(from) > self.limit;
        let data: Vec<Value> = all.into_iter().skip(from).take(self.limit).collect();
        let id = |one: Option<&Value>| one.and_then(|one| one.get("id")).cloned();
        let (first, last) = (id(data.first()), id(data.last()));
        json!({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more})
    }
}
