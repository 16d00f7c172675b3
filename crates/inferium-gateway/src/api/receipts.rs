//! Receipts, slashes, and what a key has left.

use super::{ApiState, error::ApiError};
use crate::document::receipt_document;
use crate::store::{ApprovalRecord, SegmentRecord, SegmentStatus};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use inferium_types::{Digest, JobId, JobLeaf, Receipt, RejectReason, merkle_path};
use serde_json::{Value, json};

/// `202` while the chain has not decided, then the receipt.
pub(super) async fn receipt(State(state): State<ApiState>, Path(job): Path<String>) -> Result<Response, ApiError> {
    let job = JobId::from_hex(&job).ok_or(ApiError::JobNotFound)?;
    let store = &state.hub.store;
    // Asked before the store: a job leaves the hub's memory only after the store has it.
    let is_known = state.hub.is_known(job);
    let internal = |error: crate::StoreError| ApiError::Internal(error.to_string());
    let Some((segment, index)) = store.job(job).map_err(internal)? else {
        if is_known {
            return Ok(provisional(job));
        }
        if state.hub.has_failed(job) {
            return Ok(
                Json(json!({"object": "inferium.receipt", "job": job.to_string(), "status": "failed"})).into_response()
            );
        }
        return Err(ApiError::JobNotFound);
    };
    let record = store.segment(segment).map_err(internal)?.ok_or(ApiError::JobNotFound)?;
    match &record.status {
        SegmentStatus::Provisional => Ok(provisional(job)),
        SegmentStatus::Rejected(reason) => Ok(Json(rejected(job, *reason)).into_response()),
        SegmentStatus::Approved(approval) => {
            let receipt = build(&record, approval, index).ok_or(ApiError::JobNotFound)?;
            let facts =
                receipt.verify(&state.chain.network_key()).map_err(|error| ApiError::Internal(error.to_string()))?;
            Ok(Json(receipt_document(&receipt, &facts)).into_response())
        }
    }
}

fn provisional(job: JobId) -> Response {
    let body = json!({"object": "inferium.receipt", "job": job.to_string(), "status": "provisional"});
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn rejected(job: JobId, reason: RejectReason) -> Value {
    let reason = match reason {
        RejectReason::ProvenWrong { .. } => "the result was proven wrong; it cost nothing",
        RejectReason::Unresolved => "the committee came to no decision; it cost nothing",
        RejectReason::Unavailable => "the worker gave no evidence; it cost nothing",
    };
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

pub(super) async fn slashes(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let records = state.hub.store.slashes().map_err(|error| ApiError::Internal(error.to_string()))?;
    let data: Vec<Value> = records
        .into_iter()
        .map(|(_, record)| {
            json!({
                "node": record.slash.node.to_string(),
                "role": record.slash.role,
                "operator": record.slash.operator.to_string(),
                "rule": record.slash.rule.name(),
                "job": record.slash.job.map(|job| job.to_string()),
                "segment": record.slash.segment.map(|segment| segment.to_string()),
                "amount_nano": record.slash.amount.nano(),
                "height": record.height,
                "disqualified": record.slash.disqualified,
                "state": if record.burned { "burned" } else { "held" },
            })
        })
        .collect();
    Ok(Json(json!({"data": data})))
}

/// What the key that asks may still spend.
pub(super) async fn key(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let payer = state.payer(&headers)?;
    let record = state.hub.store.key(payer).map_err(|e| ApiError::Internal(e.to_string()))?.unwrap_or_default();
    Ok(Json(json!({
        "object": "inferium.key",
        "budget_nano": record.budget.nano(),
        "spent_nano": record.spent.nano(),
        "left_nano": record.budget.nano().saturating_sub(record.spent.nano()),
    })))
}
