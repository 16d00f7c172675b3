//! Where workers lodge evidence and gateways lodge requests to relay, and where anyone asks why
//! something is as it is (SPEC T8), or what a replay computed that verdicts disagree about (V8).

use crate::duties::{Duties, Refused};
use crate::why;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use inferium_seal::SealError;
use inferium_types::{
    Digest, MerkleNode, NodeId, SealedEvidence, SegmentId, StallId, TaskId, decode, encode, limits, wire::RelayFetch,
};

/// The routes of a validator's duties, to be merged with its chain's routes.
pub fn router(duties: Duties) -> Router {
    Router::new()
        .route("/duty/v1/seal/{nonce}", get(sealing_key))
        .route("/duty/v1/evidence", post(evidence))
        .route("/duty/v1/stalls/{stall}", post(lodge))
        .route("/duty/v1/stalls/{stall}/fetch", post(fetch))
        .route("/duty/v1/traces/{segment}/{draw}/{job}", get(trace))
        .route("/duty/v1/traces/{segment}/{draw}/{job}/{height}/{index}", get(trace_node))
        .route("/why/v1/{what}/{id}", get(why))
        .layer(DefaultBodyLimit::max(limits::MESSAGE_SIZE_MAX + SealedEvidence::OVERHEAD))
        .with_state(duties)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoDuty
            | Self::NotServed
            | Self::NotKept
            | Self::NotDoubted { .. }
            | Self::NothingToTrace { .. }
            | Self::NoNode => StatusCode::NOT_FOUND,
            Self::Nonce
            | Self::Judgement
            | Self::Seal(SealError::NotOpened | SealError::InvalidKey)
            | Self::Evidence(_)
            | Self::Encoding(_)
            | Self::Request
            | Self::Impossible(_)
            | Self::Prompt(_)
            | Self::PromptTokens { .. }
            | Self::Parts { .. }
            | Self::Unfit(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotTheWorker => StatusCode::FORBIDDEN,
            Self::Recipient { .. } => StatusCode::MISDIRECTED_REQUEST,
            // Who asks for the key that is there now will be heard.
            Self::Seal(SealError::UnknownKey) => StatusCode::CONFLICT,
            Self::Full | Self::Tracing => StatusCode::TOO_MANY_REQUESTS,
            Self::Engine(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Internal | Self::Seal(SealError::Exhausted) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({"error": {"message": self.to_string()}}))).into_response()
    }
}

/// The key that this process seals to, proven to who asked with this nonce.
async fn sealing_key(State(duties): State<Duties>, Path(nonce): Path<String>) -> Result<Vec<u8>, Refused> {
    let nonce = Digest::from_hex(&nonce).ok_or(Refused::Nonce)?;
    Ok(encode(&duties.prove_sealing_key(nonce.as_bytes())))
}

async fn evidence(State(duties): State<Duties>, body: Bytes) -> Result<StatusCode, Refused> {
    let evidence: SealedEvidence = decode(&body)?;
    apart(move || duties.lodge_evidence(&evidence)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn lodge(State(duties): State<Duties>, Path(stall): Path<String>, body: Bytes) -> Result<StatusCode, Refused> {
    let stall = parse(&stall)?;
    apart(move || duties.lodge_request(stall, &body)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn fetch(State(duties): State<Duties>, Path(stall): Path<String>, body: Bytes) -> Result<Vec<u8>, Refused> {
    let fetch: RelayFetch = decode(&body)?;
    duties.fetch_request(parse(&stall)?, &fetch).map(|sealed| encode(&sealed))
}

/// What this validator says of its replay of a job, where verdicts disagree (SPEC V8).
async fn trace(
    State(duties): State<Duties>,
    Path((segment, draw, job)): Path<(String, String, u32)>,
) -> Result<Vec<u8>, Refused> {
    let signed = duties.trace(judgement(&segment, &draw)?, job).await?;
    Ok(encode(&signed))
}

/// The children of one node of the tree over that replay.
async fn trace_node(
    State(duties): State<Duties>,
    Path((segment, draw, job, height, index)): Path<(String, String, u32, u32, u64)>,
) -> Result<Vec<u8>, Refused> {
    let node = MerkleNode { height, index };
    let children = duties.trace_node(judgement(&segment, &draw)?, job, node).await?;
    Ok(encode(&children))
}

fn judgement(segment: &str, draw: &str) -> Result<(SegmentId, Digest), Refused> {
    let parse = |text| Digest::from_hex(text).ok_or(Refused::Judgement);
    Ok((SegmentId::new(parse(segment)?), parse(draw)?))
}

/// What the ledger says of a task, node or segment; 404 when it has none of this name.
async fn why(
    State(duties): State<Duties>,
    Path((what, id)): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, Refused> {
    let state = duties.state();
    let id = Digest::from_hex(&id).ok_or(Refused::NoDuty)?;
    let said = match what.as_str() {
        "task" => why::task(&state, TaskId::new(id)),
        "node" => why::node(&state, NodeId::from_bytes(*id.as_bytes())),
        "segment" => why::segment(&state, SegmentId::new(id)),
        _ => None,
    };
    said.map(Json).ok_or(Refused::NoDuty)
}

/// Does what takes long (hashing megabytes, a template, the disk) without holding up the server's thread.
async fn apart(work: impl FnOnce() -> Result<(), Refused> + Send + 'static) -> Result<(), Refused> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "what was handed in could not be looked at");
        Err(Refused::Internal)
    })
}

fn parse(stall: &str) -> Result<StallId, Refused> {
    Digest::from_hex(stall).map(StallId::new).ok_or(Refused::NoDuty)
}

#[cfg(test)]
mod tests;
