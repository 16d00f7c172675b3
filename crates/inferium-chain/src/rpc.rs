//! A validator's HTTP interface for light clients and senders.
//!
//! Binary answers are borsh, everything else JSON. Nothing here is believed by the other side;
//! what it asks for it can check.

use crate::{
    bundle::{BlockBundle, Certified, StateProof},
    engine::ProofReply,
    index::{FinalBlock, IndexError},
    mempool::SubmitError,
    node::ValidatorHandle,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use inferium_ledger::Rejection;
use inferium_types::{SignedTransaction, TransactionId, limits};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Blocks of one answer.
pub(crate) const PAGE_BLOCKS_MAX: u64 = 32;
/// Bytes of one answer, beyond its first block.
const PAGE_SIZE_MAX: usize = 2 * 1024 * 1024;
/// Longest wait for a block that is not there yet.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the certificate behind a state proof.
const PROOF_WAIT_MAX: Duration = Duration::from_secs(10);
/// Final blocks in which a proof's root is looked for.
const PROOF_DEPTH: u64 = 32;
/// Bytes of a state key.
const KEY_SIZE_MAX: usize = 256;

/// The routes of one validator, below `/rpc/v1/`. The owner binds them.
pub fn router(validator: ValidatorHandle) -> Router {
    Router::new()
        .route("/rpc/v1/transactions", post(submit))
        .route("/rpc/v1/transactions/{id}", get(transaction_status))
        .route("/rpc/v1/head", get(head))
        .route("/rpc/v1/blocks", get(blocks))
        .route("/rpc/v1/state", get(state))
        .layer(DefaultBodyLimit::max(limits::REFUTATION_SIZE_MAX))
        .with_state(validator)
}

/// An error as clients see it.
#[derive(Debug)]
struct RpcError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// The JSON of an error, and of a client's reading of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorDetail {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl IntoResponse for RpcError {
    fn into_response(self) -> Response {
        let detail = ErrorDetail { code: self.code.into(), message: self.message };
        (self.status, Json(ErrorBody { error: detail })).into_response()
    }
}

impl RpcError {
    fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", message: message.into() }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", message: message.into() }
    }
}

impl From<IndexError> for RpcError {
    fn from(error: IndexError) -> Self {
        tracing::error!(%error, "block index");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "storage", message: error.to_string() }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        let (status, code) = match &error {
            SubmitError::Signature(_) => (StatusCode::BAD_REQUEST, "signature"),
            SubmitError::Rejected(Rejection::NonceTooLow { .. }) => (StatusCode::BAD_REQUEST, "nonce_too_low"),
            SubmitError::Rejected(Rejection::NonceTooHigh { .. }) => (StatusCode::BAD_REQUEST, "nonce_too_high"),
            SubmitError::Rejected(Rejection::FeeUnpayable { .. }) => (StatusCode::BAD_REQUEST, "fee_unpayable"),
            SubmitError::Rejected(_) => (StatusCode::BAD_REQUEST, "rejected"),
            SubmitError::TooLarge { .. } => (StatusCode::BAD_REQUEST, "too_large"),
            SubmitError::Occupied { .. } => (StatusCode::BAD_REQUEST, "nonce_occupied"),
            SubmitError::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            SubmitError::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Self { status, code, message: error.to_string() }
    }
}

/// Answer to a submitted transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SubmittedBody {
    /// The transaction's id.
    pub(crate) id: String,
}

/// Where a transaction stands, as far as this node knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatusBody {
    /// `waiting`, `rejected` or `unknown`.
    pub(crate) status: String,
    /// Why it was rejected.
    pub(crate) reason: Option<String>,
}

/// The highest final block.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HeadBody {
    pub(crate) chain: String,
    pub(crate) height: u64,
    pub(crate) digest: String,
    pub(crate) timestamp_ms: Option<u64>,
}

async fn submit(State(validator): State<ValidatorHandle>, body: Bytes) -> Result<Json<SubmittedBody>, RpcError> {
    let transaction: SignedTransaction =
        inferium_types::decode(&body).map_err(|error| RpcError::bad_request(error.to_string()))?;
    let id = validator.submit(transaction)?;
    Ok(Json(SubmittedBody { id: id.to_string() }))
}

async fn transaction_status(
    State(validator): State<ValidatorHandle>,
    Path(id): Path<String>,
) -> Result<Json<StatusBody>, RpcError> {
    let id = TransactionId::from_hex(&id).ok_or_else(|| RpcError::bad_request("not a transaction id"))?;
    let (status, reason) = if validator.is_waiting(id) {
        ("waiting", None)
    } else {
        match validator.rejection(id) {
            Some(reason) => ("rejected", Some(reason)),
            None => ("unknown", None),
        }
    };
    Ok(Json(StatusBody { status: status.into(), reason }))
}

async fn head(State(validator): State<ValidatorHandle>) -> Json<HeadBody> {
    let head = validator.head().borrow().clone();
    Json(HeadBody {
        chain: validator.network_key().chain.to_string(),
        height: head.height,
        digest: head.digest.to_string(),
        timestamp_ms: head.header.map(|header| header.timestamp_ms),
    })
}

fn binary(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

#[derive(Debug, Deserialize)]
struct BlocksQuery {
    from: u64,
    limit: Option<u64>,
    wait_ms: Option<u64>,
    body: Option<bool>,
}

async fn blocks(
    State(validator): State<ValidatorHandle>,
    Query(query): Query<BlocksQuery>,
) -> Result<Response, RpcError> {
    let index = validator.index();
    if let Some(first) = index.first_height()?.filter(|first| query.from < *first) {
        return Err(RpcError {
            status: StatusCode::GONE,
            code: "pruned",
            message: format!("the first block kept is {first}"),
        });
    }
    let wait = Duration::from_millis(query.wait_ms.unwrap_or(0)).min(WAIT_MAX);
    let deadline = Instant::now() + wait;
    let mut head = validator.head();
    let with_body = query.body.unwrap_or(false);
    loop {
        let highest = head.borrow_and_update().height;
        if highest >= query.from {
            let page = page(&validator, query.from, query.limit.unwrap_or(PAGE_BLOCKS_MAX), with_body)?;
            if !page.is_empty() {
                return Ok(binary(inferium_types::encode(&page)));
            }
        }
        match timeout_at(deadline, head.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(RpcError::unavailable("the validator stops")),
            Err(_) => return Ok(binary(inferium_types::encode(&Vec::<BlockBundle>::new()))),
        }
    }
}

/// Blocks from `from` on, up to one that can be proven final; empty when there is none yet.
fn page(validator: &ValidatorHandle, from: u64, limit: u64, with_body: bool) -> Result<Vec<BlockBundle>, IndexError> {
    let index = validator.index();
    let (mut found, mut size): (Vec<Arc<FinalBlock>>, usize) = (Vec::new(), 0);
    for height in from..from.saturating_add(limit.clamp(1, PAGE_BLOCKS_MAX)) {
        let Some(block) = index.get(height)? else { break };
        size = size.saturating_add(inferium_types::encode(block.as_ref()).len());
        if size > PAGE_SIZE_MAX && !found.is_empty() {
            break;
        }
        found.push(block);
    }
    let Some(last) = found.last() else { return Ok(Vec::new()) };
    let mut beyond = None;
    if let Some(certified) = found.iter().rposition(|block| block.certificate.is_some()) {
        found.truncate(certified.saturating_add(1));
    } else {
        let Some((descendants, certificate)) = index.certified(last.header.height)? else { return Ok(Vec::new()) };
        beyond = Some(Certified { descendants, certificate });
    }
    let mut bundles: Vec<BlockBundle> = found
        .iter()
        .map(|block| BlockBundle {
            header: block.header.clone(),
            events: block.events.clone(),
            body: with_body.then(|| block.body.clone()),
            certified: block.certificate.map(|certificate| Certified { descendants: Vec::new(), certificate }),
        })
        .collect();
    if let (Some(last), Some(beyond)) = (bundles.last_mut(), beyond) {
        last.certified = Some(beyond);
    }
    Ok(bundles)
}

#[derive(Debug, Deserialize)]
struct StateQuery {
    key: String,
    min_height: Option<u64>,
}

async fn state(
    State(validator): State<ValidatorHandle>,
    Query(query): Query<StateQuery>,
) -> Result<Response, RpcError> {
    let key = hex::decode(&query.key).map_err(|_| RpcError::bad_request("key is not hex"))?;
    if key.len() > KEY_SIZE_MAX {
        return Err(RpcError::bad_request("key is too long"));
    }
    let deadline = Instant::now() + PROOF_WAIT_MAX;
    let mut head = validator.head();
    let at_least = query.min_height.unwrap_or(1).max(1);
    match timeout_at(deadline, head.wait_for(|head| head.height >= at_least)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Err(RpcError::unavailable(format!("block {at_least} is not final here"))),
    }
    let Some(reply) = validator.prove(key).await else {
        return Err(RpcError::unavailable("no proof could be made"));
    };
    loop {
        let highest = head.borrow_and_update().height;
        if let Some(proof) = certify(&validator, highest, &reply)? {
            return Ok(binary(inferium_types::encode(&proof)));
        }
        match timeout_at(deadline, head.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(RpcError::unavailable("the state's block is not certified yet")),
        }
    }
}

/// Finds the final block whose state the proof is about, and its certificate.
fn certify(validator: &ValidatorHandle, highest: u64, reply: &ProofReply) -> Result<Option<StateProof>, IndexError> {
    let index = validator.index();
    for height in (highest.saturating_sub(PROOF_DEPTH)..=highest).rev() {
        let Some(block) = index.get(height)? else { continue };
        if block.header.state_root == reply.root {
            let Some((descendants, certificate)) = index.certified(height)? else { return Ok(None) };
            return Ok(Some(StateProof {
                header: block.header.clone(),
                certified: Certified { descendants, certificate },
                value: reply.value.clone(),
                proof: reply.proof.clone(),
            }));
        }
    }
    Ok(None)
}
