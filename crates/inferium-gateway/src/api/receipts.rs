//! Receipts and slashes.

use super::{ApiState, error::ApiError};
use crate::document::receipt_document;
use crate::store::{ApprovalRecord, SegmentRecord, SegmentStatus, SlashRecord};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use inferium_types::{Digest, JobId, JobLeaf, Receipt, RejectReason, SegmentId, merkle_path};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Slashes of one page at most, and when no number is asked for.
pub(super) const SLASHES_MAX: usize = 1_000;

/// `202` while the chain has not decided, then the receipt.
pub(super) async fn receipt(
    State(state): State<ApiState>,
    job: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(job) = job.map_err(|rejection| ApiError::invalid("job", rejection.body_text()))?;
    let job = JobId::from_hex(&job).ok_or(ApiError::JobNotFound)?;
    // Asked before the store: a job leaves the hub's memory only after the store has it.
    let is_known = state.hub.is_known(job);
    let found = state.hub.disk(move |hub| {
        let Some((segment, index)) = hub.store.job(job)? else { return Ok(None) };
        Ok(hub.store.segment(segment)?.map(|record| (record, index)))
    });
    let Some((record, index)) = found.await? else {
        if is_known {
            return Ok(provisional(job, None));
        }
        if state.hub.has_failed(job) {
            return Ok(
                Json(json!({"object": "inferium.receipt", "job": job.to_string(), "status": "failed"})).into_response()
            );
        }
        return Err(ApiError::JobNotFound);
    };
    match &record.status {
        SegmentStatus::Provisional => Ok(provisional(job, Some(record.terms.id()))),
        SegmentStatus::Rejected(reason) => Ok(Json(rejected(job, why_rejected(*reason))).into_response()),
        SegmentStatus::Uncommitted => {
            let reason = "the worker put it into no block before its lease closed; it cost nothing";
            Ok(Json(rejected(job, reason)).into_response())
        }
        SegmentStatus::Approved(approval) => {
            let receipt = build(&record, approval, index).ok_or(ApiError::JobNotFound)?;
            // Milliseconds of arithmetic, which requests of others must not wait for.
            let key = state.network;
            let verified = tokio::task::spawn_blocking(move || {
                receipt.verify(&key).map(|facts| receipt_document(&receipt, &facts)).map_err(|error| error.to_string())
            });
            let document = verified.await.map_err(|error| ApiError::Internal(error.to_string()))?;
            Ok(Json(document.map_err(ApiError::Internal)?).into_response())
        }
    }
}

/// Not decided yet; with the segment that both sides signed, once they have.
fn provisional(job: JobId, segment: Option<SegmentId>) -> Response {
    let mut body = json!({"object": "inferium.receipt", "job": job.to_string(), "status": "provisional"});
    if let (Some(segment), Some(fields)) = (segment, body.as_object_mut()) {
        fields.insert("segment".into(), segment.to_string().into());
    }
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

const fn why_rejected(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::ProvenWrong { .. } => "the result was proven wrong; it cost nothing",
        RejectReason::Unresolved => "the committee came to no decision; it cost nothing",
        RejectReason::Unavailable => "the worker gave no evidence; it cost nothing",
        RejectReason::Unopened => "the worker did not say what it had been ordered to plant; it cost nothing",
        RejectReason::RunOver => "another segment of its run was rejected; it cost nothing",
        RejectReason::Statistics => "replays of its worker's jobs are no honest work of the model; it cost nothing",
    }
}

fn rejected(job: JobId, reason: &str) -> Value {
    json!({"object": "inferium.receipt", "job": job.to_string(), "status": "rejected", "reason": reason})
}

fn build(record: &SegmentRecord, approval: &ApprovalRecord, index: u32) -> Option<Receipt> {
    let index = usize::try_from(index).ok()?;
    let hashes: Vec<Digest> = record.leaves.iter().map(JobLeaf::hash).collect();
    Some(Receipt {
        job: record.leaves.get(index)?.clone(),
        job_path: merkle_path(&hashes, index)?,
        outcome: approval.outcome.clone(),
        outcome_path: approval.path.clone(),
        headers: approval.headers.clone(),
        certificate: approval.certificate,
    })
}

/// A page of slashes, newest first; `next` is there when there are older ones, and is what `after`
/// of the next page must be.
pub(super) async fn slashes(
    State(state): State<ApiState>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
    let page = SlashPage::parse(&query)?;
    // One more than asked for tells whether there are older ones.
    let count = page.limit.saturating_add(1);
    let mut records = state.hub.disk(move |hub| hub.store.slashes(page.after, count)).await?;
    let has_more = records.len() > page.limit;
    records.truncate(page.limit);
    let mut answer = json!({"data": records.iter().map(|(_, record)| slash_json(record)).collect::<Vec<_>>()});
    if has_more
        && let Some((number, _)) = records.last()
        && let Some(fields) = answer.as_object_mut()
    {
        // As text: not every client's numbers are that long.
        fields.insert("next".into(), number.to_string().into());
    }
    Ok(Json(answer))
}

/// Which slashes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlashPage {
    limit: usize,
    after: Option<u64>,
}

impl SlashPage {
    fn parse(query: &BTreeMap<String, String>) -> Result<Self, ApiError> {
        let limit = match query.get("limit").map(|text| text.parse::<usize>()) {
            None => SLASHES_MAX,
            Some(Ok(limit)) if (1..=SLASHES_MAX).contains(&limit) => limit,
            Some(_) => {
                let message = format!("`limit` must be a whole number from 1 to {SLASHES_MAX}");
                return Err(ApiError::invalid("limit", message));
            }
        };
        let after = query.get("after").map(|text| text.parse()).transpose();
        let after = after.map_err(|_| ApiError::invalid("after", "`after` must be the `next` of an earlier page"))?;
        Ok(Self { limit, after })
    }
}

fn slash_json(record: &SlashRecord) -> Value {
    json!({
        "slash": record.slash.slash,
        "node": record.slash.node.to_string(),
        "role": record.slash.role,
        "operator": record.slash.operator.to_string(),
        "rule": record.slash.rule.name(),
        "job": record.slash.job.map(|job| job.to_string()),
        "segment": record.slash.segment.map(|segment| segment.to_string()),
        "amount_nano": record.slash.amount.nano(),
        "height": record.height,
        "disqualified": record.slash.disqualified,
        "releases_at_ms": record.slash.releases_at_ms,
        "state": record.state.name(),
    })
}
