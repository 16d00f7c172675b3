//! The HTTP surface: what clients of OpenAI-compatible servers expect.

mod admin;
mod asked;
mod calls;
mod chat;
mod choices;
mod classifications;
mod completions;
mod embeddings;
mod error;
mod fields;
mod keys;
mod models;
mod parts;
mod receipts;
mod request;
mod responses;
mod routing;
mod schema;
mod tokenizer;
mod tools;

use crate::gateway::ServedModel;
use crate::hub::{Hub, KeyRefusal, KeyView};
use crate::keys::{AdminToken, ApiKey};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Request, State,
        rejection::BytesRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use error::ApiError;
pub(crate) use error::names;
use inferium_chain::VerifiedBlock;
use inferium_engine::{Comparison, Model, Unfit};
use inferium_seal::FRAME_OVERHEAD_MAX;
use inferium_types::{
    Digest, EngineClass, JobInput, ModelProfile, ModelTask, NetworkKey, Price, ProfileId, SamplingParams, limits,
};
use routing::Routing;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tower_http::cors::{Any, CorsLayer};

/// Bytes of a request's body at most.
const BODY_MAX: usize = 8 * 1024 * 1024;
/// Age of the newest block from which the gateway is not ready any more; milliseconds.
const HEAD_AGE_MAX_MS: u64 = 30_000;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct ApiState {
    hub: Arc<Hub>,
    network: NetworkKey,
    /// The newest verified block.
    head: watch::Receiver<Option<Arc<VerifiedBlock>>>,
    models: Arc<[Arc<ApiModel>]>,
    created_s: u64,
}

/// A model that clients may ask for.
#[derive(Debug)]
struct ApiModel {
    id: ProfileId,
    profile: ModelProfile,
    model: Model,
    /// Longest prompt with its answer that leases are asked for.
    context_tokens: u32,
    /// What leases cost at most.
    price_max: Price,
}

impl ApiModel {
    /// How its weights are computed with, in the words of OpenRouter.
    fn quantization(&self) -> &'static str {
        match (&self.profile.engine, self.profile.task) {
            // Whatever the server behind a worker has.
            (EngineClass::Foreign { .. }, _) => "unknown",
            // Matrices are served as Q8_0, whatever a file has them in.
            (_, ModelTask::Chat) => "int8",
            (_, ModelTask::Embed { .. }) => "fp32",
        }
    }

    /// Checks that the model is what a request's routing asks for.
    fn suits(&self, routing: &Routing) -> Result<(), ApiError> {
        let (name, mode, quantization) = (&self.profile.name, self.profile.engine.mode().name(), self.quantization());
        if let Some(wanted) = routing.verification.as_ref().filter(|wanted| *wanted != mode) {
            let message = format!("`{name}` is verified as `{mode}`, not as `{wanted}`");
            return Err(ApiError::invalid("provider.verification", message));
        }
        let allowed = routing.quantizations.as_ref();
        if allowed.is_some_and(|allowed| !allowed.iter().any(|one| one == quantization)) {
            let message = format!("`{name}` is computed with as `{quantization}`");
            return Err(ApiError::invalid("provider.quantizations", message));
        }
        Ok(())
    }

    /// Checks what no worker of the profile would take.
    fn fits(&self, input: &JobInput, sampling: &SamplingParams) -> Result<(), ApiError> {
        self.model.fits(Comparison::from(&self.profile.engine), input, sampling).map_err(|unfit| {
            let param = match unfit {
                Unfit::Scores => "model",
                Unfit::Temperature => "temperature",
                Unfit::SpecialToken => "messages",
                Unfit::Likeliest => "logprobs",
                Unfit::Completion => "model",
                Unfit::Shaping => match input.shaping() {
                    Some(shaping) if shaping.grammar.is_some() => "response_format",
                    Some(shaping) if !shaping.bias.is_empty() => "logit_bias",
                    _ => "presence_penalty",
                },
            };
            ApiError::invalid(param, unfit.to_string())
        })
    }
}

impl ApiState {
    pub(crate) fn new(
        hub: Arc<Hub>,
        network: NetworkKey,
        head: watch::Receiver<Option<Arc<VerifiedBlock>>>,
        models: &[ServedModel],
    ) -> Self {
        let models = models.iter().map(|served| {
            Arc::new(ApiModel {
                id: served.profile.id(),
                profile: served.profile.clone(),
                model: served.model.clone(),
                context_tokens: served.demand.context_tokens,
                price_max: served.demand.price_max,
            })
        });
        Self { hub, network, head, models: models.collect(), created_s: unix_s() }
    }

    /// The model of this name.
    fn model(&self, name: &str) -> Result<&Arc<ApiModel>, ApiError> {
        self.models.iter().find(|model| model.profile.name == name).ok_or_else(|| {
            let served = self.models.iter().map(|model| model.profile.name.clone()).collect();
            ApiError::ModelNotFound { model: name.to_owned(), served }
        })
    }

    /// Leases that are open, by model.
    fn leases(&self) -> serde_json::Map<String, serde_json::Value> {
        let of = |model: &Arc<ApiModel>| (model.profile.name.clone(), self.hub.open_leases(model.id).0.into());
        self.models.iter().map(of).collect()
    }

    /// The payer behind a request's bearer token.
    fn payer(&self, headers: &HeaderMap) -> Result<Digest, ApiError> {
        self.key(headers).map(|key| key.hash)
    }

    /// The API key that a request shows, if it may be used now.
    fn key(&self, headers: &HeaderMap) -> Result<KeyView, ApiError> {
        let token = bearer(headers).ok_or(ApiError::NoApiKey)?;
        let key: ApiKey = token.parse().map_err(|_| ApiError::InvalidApiKey)?;
        self.hub.key(key.hash()).map_err(|refusal| match refusal {
            KeyRefusal::Unknown => ApiError::InvalidApiKey,
            KeyRefusal::Revoked => ApiError::RevokedApiKey,
            KeyRefusal::Expired(at_ms) => ApiError::ExpiredApiKey { at_ms },
        })
    }
}

/// A request's bearer token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The public routes.
pub(crate) fn router(state: ApiState) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(Any)
        .expose_headers([REQUEST_ID, JOB_HEADER, PROCESSING_MS, header::RETRY_AFTER, RETRY_AFTER_MS]);
    let mut routes = Router::new()
        .merge(model_routes())
        .route("/v1/models/{*id}", get(models::show))
        .route("/v1/receipts/{job}", get(receipts::receipt))
        .route("/v1/slashes", get(receipts::slashes))
        .route("/v1/key", get(keys::key))
        .route("/v1/usage", get(keys::usage))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/v1/worker", get(worker))
        .with_state(state.clone());
    for model in state.models.iter() {
        let name = &model.profile.name;
        let of_model = || model_routes().with_state(ApiState { models: [Arc::clone(model)].into(), ..state.clone() });
        routes = routes.nest(&format!("/m/{name}"), of_model());
        if name.contains('/') {
            routes = routes.nest(&format!("/m/{}", name.replace('/', "%2F")), of_model());
        }
    }
    routes
        .fallback(|| async { ApiError::UnknownUrl })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(cors)
        .layer(middleware::from_fn_with_state(state, observe))
}

/// What can be asked of models: of all of them, and below `/m/{model}` of one alone, for clients that name none.
fn model_routes() -> Router<ApiState> {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/completions", post(completions::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/classifications", post(classifications::create))
        .route("/v1/models", get(models::list))
        .route("/tokenizer_info", get(tokenizer::info))
        .route("/tokenize", post(tokenizer::tokenize))
        .route("/detokenize", post(tokenizer::detokenize))
}

/// The routes for operators.
pub(crate) fn admin_router(state: ApiState, token: &AdminToken) -> Router {
    Router::new()
        .merge(admin::routes(state.clone(), token))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .fallback(|| async { ApiError::UnknownUrl })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .with_state(state)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const JOB_HEADER: HeaderName = HeaderName::from_static("x-inferium-job");

/// Gives every answer a request id and counts it.
async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).filter(|value| value.len() <= 128).cloned();
    let started = Instant::now();
    let mut response = next.run(request).await;
    if let Ok(elapsed) = HeaderValue::from_str(&started.elapsed().as_millis().to_string()) {
        response.headers_mut().insert(PROCESSING_MS, elapsed);
    }
    let id = given.or_else(|| HeaderValue::from_str(&format!("req-{:016x}", rand::random::<u64>())).ok());
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let label = crate::metrics::StatusLabel { status: response.status().as_u16() };
    state.hub.metrics.requests.get_or_create(&label).inc();
    response
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

async fn version() -> Json<serde_json::Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// Ready: the chain moves, and a worker is connected; which models have one is told as well.
async fn ready(State(state): State<ApiState>) -> Response {
    let head = state.head.borrow().as_ref().map(|block| (block.header.height, block.header.timestamp_ms));
    let (height, head_ms) = head.unwrap_or_default();
    let age_ms = (unix_s() * 1_000).saturating_sub(head_ms);
    let models = state.leases();
    let leases = models.values().filter_map(serde_json::Value::as_u64).fold(0, u64::saturating_add);
    let is_ready = age_ms <= HEAD_AGE_MAX_MS && leases > 0;
    let status = if is_ready { axum::http::StatusCode::OK } else { axum::http::StatusCode::SERVICE_UNAVAILABLE };
    (
        status,
        Json(json!({"ready": is_ready, "height": height, "head_age_ms": age_ms, "leases": leases, "models": models})),
    )
        .into_response()
}

async fn metrics(State(state): State<ApiState>) -> Response {
    let content_type = (header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([content_type], state.hub.metrics.encode()).into_response()
}

/// A worker's session.
async fn worker(
    State(state): State<ApiState>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| ApiError::NoWebSocket(rejection.body_text()))?;
    Ok(upgrade
        .max_message_size(limits::MESSAGE_SIZE_MAX + FRAME_OVERHEAD_MAX)
        .max_frame_size(limits::MESSAGE_SIZE_MAX + FRAME_OVERHEAD_MAX)
        .on_upgrade(move |socket| crate::session::serve(state.hub, socket)))
}

/// Bytes of a request up to which it is read and tokenised on a thread that serves others too.
const INLINE_MAX: usize = 16 * 1024;

/// Does what takes its time by the size of the request: at once when that is little, and where no
/// other request waits for it when it is not.
async fn sized<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    if size <= INLINE_MAX {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::Internal(error.to_string()))
}

/// The fields of a body that is a JSON object.
fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::Json("expected an object".into())),
        Err(error) => Err(ApiError::Json(error.to_string())),
    }
}

/// A request's body, whole.
fn whole_body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge
        } else {
            ApiError::Json(rejection.body_text())
        }
    })
}

fn unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests;
