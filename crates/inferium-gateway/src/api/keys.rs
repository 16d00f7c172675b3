//! What a key is, has left, and was used for.

use super::{ApiState, error::ApiError};
use crate::clock::unix_ms;
use crate::hub::{KeyView, UNLIMITED, key_id};
use crate::store::UsageRow;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use inferium_types::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The key that asks.
pub(super) async fn key(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    Ok(Json(key_json(&state.key(&headers)?)))
}

/// What the key that asks was used for, by day and model.
pub(super) async fn usage(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let Query(query) = query.map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
    usage_of(&state, Some(payer), &query).await
}

/// Usage of one key or of all, as JSON or, with `format=csv`, as a table of a spreadsheet.
pub(super) async fn usage_of(
    state: &ApiState,
    payer: Option<Digest>,
    query: &BTreeMap<String, String>,
) -> Result<Response, ApiError> {
    let is_csv = match query.get("format").map(String::as_str) {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(ApiError::invalid("format", "`format` must be `json` or `csv`")),
    };
    let rows = state.hub.disk(move |hub| hub.store.usage(payer)).await?;
    let names: BTreeMap<Digest, String> =
        state.hub.keys().into_iter().map(|view| (view.hash, view.terms.name)).collect();
    let rows: Vec<Row> = rows.iter().map(|row| Row::new(state, &names, row)).collect();
    if !is_csv {
        let data: Vec<Value> = rows.iter().map(Row::json).collect();
        return Ok(Json(json!({"object": "list", "data": data})).into_response());
    }
    let mut out =
        String::from("key,name,day,model,jobs,free_jobs,prompt_tokens,completion_tokens,cost_nano,cost_ifr\r\n");
    for row in &rows {
        row.csv(&mut out);
    }
    let name = (header::CONTENT_DISPOSITION, "attachment; filename=\"inferium-usage.csv\"");
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), name], out).into_response())
}

/// A row of usage as people read it.
struct Row {
    key: String,
    name: String,
    day: String,
    model: String,
    row: UsageRow,
}

impl Row {
    fn new(state: &ApiState, names: &BTreeMap<Digest, String>, row: &UsageRow) -> Self {
        Self {
            key: key_id(row.payer),
            name: names.get(&row.payer).cloned().unwrap_or_default(),
            day: day(row.day),
            // One that is served no more has no name here.
            model: state.hub.model_name(row.profile).unwrap_or_else(|| row.profile.to_string()),
            row: *row,
        }
    }

    fn json(&self) -> Value {
        let usage = self.row.usage;
        json!({
            "key": self.key,
            "name": self.name,
            "day": self.day,
            "model": self.model,
            "jobs": usage.jobs,
            "free_jobs": usage.free_jobs,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost_nano": usage.cost.nano(),
            "cost_ifr": usage.cost.to_string(),
        })
    }

    fn csv(&self, out: &mut String) {
        let usage = self.row.usage;
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "{},{},{},{},{},{},{},{},{},{}\r\n",
            self.key,
            field(&self.name),
            self.day,
            field(&self.model),
            usage.jobs,
            usage.free_jobs,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cost.nano(),
            field(&usage.cost.to_string()),
        );
    }
}

/// Text as a field of a CSV file (RFC 4180); what a spreadsheet would compute is made plain text.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A key without its secret.
pub(super) fn key_json(view: &KeyView) -> Value {
    let is_limited = view.record.budget != UNLIMITED;
    json!({
        "object": "inferium.key",
        "id": key_id(view.hash),
        "name": view.terms.name,
        "status": status(view),
        "budget_nano": is_limited.then(|| view.record.budget.nano()),
        "spent_nano": view.record.spent.nano(),
        "left_nano": is_limited.then(|| view.left.nano()),
        "created_at_ms": view.terms.created_at_ms,
        "expires_at_ms": view.terms.expires_at_ms,
        "revoked_at_ms": view.terms.revoked_at_ms,
        "models": view.terms.models,
        "requests_per_minute": view.terms.limits.requests,
        "tokens_per_minute": view.terms.limits.tokens,
    })
}

fn status(view: &KeyView) -> &'static str {
    if view.terms.revoked_at_ms.is_some() {
        "revoked"
    } else if view.terms.expires_at_ms.is_some_and(|expires| expires <= unix_ms()) {
        "expired"
    } else if view.left.is_zero() {
        "used up"
    } else {
        "active"
    }
}

/// A day as 2026-11-29.
fn day(days: u32) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(i64::from(days).saturating_mul(86_400));
    at.map_or_else(|_| days.to_string(), |at| at.date().to_string())
}

/// A moment as 2026-11-29 07:03:34 UTC.
pub(crate) fn date_time(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    time::OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| format!("{seconds} s after 1970"),
        |at| format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second()),
    )
}

#[cfg(test)]
mod tests;
