//! What a gateway's operator asks of it: API keys, usage, what is served and how busy that is.
//!
//! All of it takes the admin token, also on the loopback: other users of the machine, and pages that a browser there
//! shows, can reach a port, but not read the file that holds the token.

use super::fields::{integer, positive};
use super::{ApiState, bearer, error::ApiError, keys, object, whole_body};
use crate::clock::unix_ms;
use crate::hub::{NotRevoked, UNLIMITED};
use crate::keys::{AdminToken, ApiKey, hash_shown};
use crate::store::{KeyLimits, KeyTerms};
use crate::switch::{NotSet, WorkerSwitch};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use inferium_types::{Amount, Digest, Duty};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bytes of a request's body at most.
const BODY_MAX: usize = 64 * 1024;
/// Characters of a key's name at most.
pub(super) const NAME_MAX: usize = 64;
/// Seconds that a key may be good for at most: a hundred years.
pub(super) const EXPIRY_MAX_S: u64 = 100 * 366 * 86_400;

/// Opens `routes` to who shows the admin token.
pub(super) fn guard(routes: Router<ApiState>, token: &AdminToken) -> Router<ApiState> {
    routes
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(token.hash(), check_token))
}

async fn check_token(State(expected): State<Digest>, request: Request, next: Next) -> Response {
    match bearer(request.headers()).map(hash_shown) {
        Some(shown) if shown == expected => next.run(request).await,
        _ => ApiError::NoAdminToken.into_response(),
    }
}

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let keys: Vec<Value> = state.hub.keys().iter().map(keys::key_json).collect();
    Json(json!({"object": "list", "data": keys}))
}

/// Makes a key. The answer alone holds its secret; the gateway keeps a hash.
pub(super) async fn create(
    State(state): State<ApiState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let wanted = Wanted::parse(&whole_body(body)?, &state)?;
    let key = ApiKey::from_entropy(rand::random());
    let created_at_ms = unix_ms();
    let terms = KeyTerms {
        name: wanted.name,
        created_at_ms,
        expires_at_ms: wanted.expires_in_s.map(|seconds| created_at_ms.saturating_add(seconds.saturating_mul(1_000))),
        models: wanted.models,
        revoked_at_ms: None,
        limits: wanted.limits,
    };
    let view = state.hub.create_key(key.hash(), wanted.budget, terms).await?;
    let mut shown = keys::key_json(&view);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("secret".into(), key.reveal().into());
    }
    Ok((StatusCode::CREATED, Json(shown)))
}

pub(super) async fn revoke(
    State(state): State<ApiState>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(key) = key.map_err(|rejection| ApiError::invalid("key", rejection.body_text()))?;
    match state.hub.revoke_key(&key).await {
        Ok(view) => Ok(Json(keys::key_json(&view))),
        Err(NotRevoked::Unknown) => Err(ApiError::KeyNotFound(key)),
        Err(NotRevoked::Ambiguous(ids)) => Err(ApiError::KeyAmbiguous { name: key, ids }),
        Err(NotRevoked::Store(error)) => Err(error.into()),
    }
}

pub(super) async fn usage(
    State(state): State<ApiState>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::invalid("query", rejection.body_text()))?;
    keys::usage_of(&state, None, &query).await
}

pub(super) async fn status(State(state): State<ApiState>) -> Json<Value> {
    let head = state.head.borrow().as_ref().map(|block| (block.header.height, block.header.timestamp_ms));
    let (height, head_ms) = head.unwrap_or_default();
    let models: Vec<Value> = state
        .models
        .iter()
        .map(|model| {
            let load = state.hub.load(model.id);
            json!({
                "model": model.profile.name,
                "task": model.profile.task.name(),
                "class": model.profile.engine.name(),
                "workers": load.workers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "leases": load.leases,
                "slots": load.slots,
                "running": load.running,
            })
        })
        .collect();
    let metrics = &state.hub.metrics;
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "network_key": state.network.to_string(),
        "height": height,
        "head_age_ms": unix_ms().saturating_sub(head_ms),
        "queued": state.hub.queued(),
        "running": metrics.jobs_running.get(),
        "prompt_tokens": metrics.prompt_tokens.get(),
        "completion_tokens": metrics.completion_tokens.get(),
        "jobs": metrics.jobs.get(),
        "spent_nano": state.hub.keys().iter().fold(0u64, |sum, key| sum.saturating_add(key.record.spent.nano())),
        "segments_final": metrics.segments_final.get(),
        "segments_rejected": metrics.segments_rejected.get(),
        "models": models,
    }))
}

pub(super) async fn workers(State(state): State<ApiState>) -> Json<Value> {
    let workers: Vec<Value> = state.workers.iter().map(worker_json).collect();
    Json(json!({"object": "list", "data": workers}))
}

/// Has a worker pause, work again, or go.
pub(super) async fn set_duty(
    State(state): State<ApiState>,
    worker: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(shown) = worker.map_err(|rejection| ApiError::invalid("worker", rejection.body_text()))?;
    let mut duty = None;
    for (field, value) in object(&whole_body(body)?)? {
        match field.as_str() {
            "duty" => duty = value.as_str().and_then(Duty::named),
            _ => return Err(ApiError::Unsupported { param: field }),
        }
    }
    let names = || Duty::ALL.map(|duty| format!("`{}`", duty.name())).join(", ");
    let duty = duty.ok_or_else(|| ApiError::invalid("duty", format!("`duty` must be one of {}", names())))?;
    let is_it = |one: &&WorkerSwitch| one.name == shown || one.node.to_string() == shown;
    let found = state.workers.iter().find(is_it).ok_or_else(|| ApiError::WorkerNotFound(shown.clone()))?;
    match found.set(duty) {
        Ok(()) => Ok(Json(worker_json(found))),
        Err(NotSet::Draining) => {
            let message = format!("{} is going; start its network again, and it works", found.name);
            Err(ApiError::invalid("duty", message))
        }
        Err(NotSet::Disk(reason)) => Err(ApiError::Internal(reason)),
    }
}

fn worker_json(worker: &WorkerSwitch) -> Value {
    json!({"name": worker.name, "node": worker.node.to_string(), "duty": worker.duty.borrow().name()})
}

/// A key as it is asked for.
struct Wanted {
    name: String,
    budget: Amount,
    expires_in_s: Option<u64>,
    models: Option<Vec<String>>,
    limits: KeyLimits,
}

impl Wanted {
    fn parse(body: &[u8], state: &ApiState) -> Result<Self, ApiError> {
        let mut wanted = Self {
            name: String::new(),
            budget: UNLIMITED,
            expires_in_s: None,
            models: None,
            limits: KeyLimits::default(),
        };
        for (field, value) in object(body)? {
            match (field.as_str(), value) {
                (_, Value::Null) => {}
                ("name", value) => wanted.name = name(&value)?,
                ("budget_nano", value) => {
                    let nano = integer(&value).and_then(|nano| u64::try_from(nano).ok());
                    let nano = nano.filter(|nano| *nano > 0 && *nano < UNLIMITED.nano());
                    let nano = nano.ok_or_else(|| ApiError::invalid(&field, "a budget is a whole number above 0"))?;
                    wanted.budget = Amount::from_nano(nano);
                }
                ("expires_in_s", value) => {
                    let seconds = integer(&value).and_then(|seconds| u64::try_from(seconds).ok());
                    let seconds = seconds.filter(|seconds| (1..=EXPIRY_MAX_S).contains(seconds));
                    let message = format!("`expires_in_s` must be a whole number from 1 to {EXPIRY_MAX_S}");
                    wanted.expires_in_s = Some(seconds.ok_or_else(|| ApiError::invalid(&field, message))?);
                }
                ("requests_per_minute", value) => wanted.limits.requests = Some(positive(&field, &value)?),
                ("tokens_per_minute", value) => wanted.limits.tokens = Some(positive(&field, &value)?),
                ("models", value) => wanted.models = Some(models(&value, state)?),
                _ => return Err(ApiError::Unsupported { param: field }),
            }
        }
        Ok(wanted)
    }
}

fn name(value: &Value) -> Result<String, ApiError> {
    let name = value.as_str().map(str::trim).filter(|name| {
        let length = name.chars().count();
        (1..=NAME_MAX).contains(&length) && !name.chars().any(char::is_control)
    });
    let message = format!("a name is a line of 1 to {NAME_MAX} characters");
    name.map(str::to_owned).ok_or_else(|| ApiError::invalid("name", message))
}

/// Names of models that are served, each once and in order.
fn models(value: &Value, state: &ApiState) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::invalid("models", "`models` must be a list of names of models, with at least one");
    let names = value.as_array().filter(|names| !names.is_empty()).ok_or_else(wrong)?;
    let names: Vec<&str> = names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for name in names {
        found.push(state.model(name)?.profile.name.clone());
    }
    found.sort();
    found.dedup();
    Ok(found)
}
