//! Where workers lodge evidence and gateways lodge requests to relay.

use crate::duties::{Duties, Refused};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use inferium_types::{Digest, SegmentEvidence, Signature, StallId, decode, limits};

/// The routes of a validator's duties, to be merged with its chain's routes.
pub fn router(duties: Duties) -> Router {
    Router::new()
        .route("/duty/v1/evidence", post(evidence))
        .route("/duty/v1/stalls/{stall}", post(lodge))
        .route("/duty/v1/stalls/{stall}/fetch", post(fetch))
        .layer(DefaultBodyLimit::max(limits::MESSAGE_SIZE_MAX))
        .with_state(duties)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoDuty => StatusCode::NOT_FOUND,
            Self::Evidence(_) | Self::Request => StatusCode::BAD_REQUEST,
            Self::NotTheWorker => StatusCode::FORBIDDEN,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({"error": {"message": self.to_string()}}))).into_response()
    }
}

async fn evidence(State(duties): State<Duties>, body: Bytes) -> Result<StatusCode, Refused> {
    let evidence: SegmentEvidence = decode(&body).map_err(|_| Refused::Request)?;
    // Hashing megabytes must not hold up the server's thread.
    tokio::task::spawn_blocking(move || duties.lodge_evidence(evidence)).await.map_err(|_| Refused::NoDuty)??;
    Ok(StatusCode::ACCEPTED)
}

async fn lodge(State(duties): State<Duties>, Path(stall): Path<String>, body: Bytes) -> Result<StatusCode, Refused> {
    let stall = parse(&stall)?;
    // Nor must the template and the disk.
    tokio::task::spawn_blocking(move || duties.lodge_request(stall, &body)).await.map_err(|_| Refused::NoDuty)??;
    Ok(StatusCode::ACCEPTED)
}

async fn fetch(State(duties): State<Duties>, Path(stall): Path<String>, body: Bytes) -> Result<Vec<u8>, Refused> {
    let signature: Signature = decode(&body).map_err(|_| Refused::Request)?;
    duties.fetch_request(parse(&stall)?, &signature)
}

fn parse(stall: &str) -> Result<StallId, Refused> {
    Digest::from_hex(stall).map(StallId::new).ok_or(Refused::NoDuty)
}
