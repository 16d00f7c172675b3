//! The HTTP surface: what clients of OpenAI-compatible servers expect.

mod admin;
mod allowance;
mod asked;
mod batches;
mod boards;
mod body;
mod calls;
mod chat;
mod choices;
mod classifications;
mod completions;
mod embeddings;
mod error;
mod fields;
mod files;
mod keys;

mod models;
mod once;
mod openapi;
mod parts;
mod pay;
mod proofs;
mod receipts;
mod request;
mod responses;
mod routing;
mod runs;
mod schema;
mod tokenizer;
mod tools;
mod training;

use crate::gateway::{DemandTerms, ServedModel, ServedProofs, ServedTraining};
use crate::hub::{Hub, KeyRefusal, KeyView};
use crate::keys::{AdminToken, ApiKey};
use crate::switch::WorkerSwitch;
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
};
pub(crate) use batches::run as run_batches;
use error::ApiError;
pub(crate) use error::names;
use inferium_chain::{LightClient, Sender, VerifiedBlock};
use inferium_engine::{Comparison, Model, Unfit};
use inferium_seal::FRAME_OVERHEAD_MAX;
use inferium_types::{
    Amount, Digest, EngineClass, JobInput, ModelProfile, ModelTask, NetworkKey, Price, ProfileId, SamplingParams,
    TaskKind, limits,
};
use proofs::Provers;
pub(crate) use proofs::run_proofs;
use routing::Routing;
pub(crate) use runs::{answer_calls, host_hired};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, watch};
use tower_http::cors::{Any, CorsLayer};
use tower_http::trace::TraceLayer;
use tracing::{Span, info_span};
use training::Trainers;
pub(crate) use training::run_trainings;

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
    /// What folds results into boards: no model that clients name.
    folder: Arc<ApiModel>,
    /// What trains intervals, if any are trained: no models that clients name either.
    trainers: Arc<[Trainers]>,
    /// What proves answers of classifiers.
    provers: Arc<[Provers]>,
    /// Boards that are folded, and runs that are read, here before a worker is asked.
    folding: Arc<Semaphore>,
    /// Whose batch asks: no request, so that it shows no key.
    acting: Option<Digest>,
    /// Whether it has files and batches.
    with_batches: bool,
    /// Workers that its operator pauses and takes up again.
    workers: Arc<[WorkerSwitch]>,
    /// Requests that may be sent again.
    once: Arc<once::Table>,
    /// The chain, where agents are and their runs are opened; none in tests of other things.
    runs: Option<Arc<runs::Opener>>,
    /// Where clients may pay; nowhere if nobody brings payments to a chain.
    payee: Option<pay::Payee>,
    created_s: u64,
}

/// A model that clients may ask for.
#[derive(Debug, Clone)]
struct ApiModel {
    id: ProfileId,
    /// Of the leases that serve it.
    kind: TaskKind,
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
            // Whatever reads texts before it, what decides is integers.
            (_, ModelTask::Classify { .. } | ModelTask::ProvePrivate { .. }) => "int8",
            // Hosts, boards and training have no weights; no gateway serves one as a model.
            (_, ModelTask::Host | ModelTask::Fold | ModelTask::Train | ModelTask::Prove) => "unknown",
        }
    }

    /// Of boards of this network (SPEC L2).
    fn folder(network: NetworkKey) -> Self {
        let (profile, model) = (ModelProfile::folder(), Model::folder(network));
        let context_tokens = model.context_tokens();
        let price_max = Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO };
        Self { id: profile.id(), kind: TaskKind::Leaderboard, profile, model, context_tokens, price_max }
    }

    /// Checks that the model is what a request's routing asks for.
    fn suits(&self, routing: &Routing) -> Result<(), ApiError> {
        let (name, mode, quantization) = (&self.profile.name, self.profile.mode().name(), self.quantization());
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
                kind: served.kinds().first().copied().unwrap_or(TaskKind::Inference),
                profile: served.profile.clone(),
                model: served.model.clone(),
                context_tokens: served.demand.context_tokens,
                price_max: served.demand.price_max,
            })
        });
        Self {
            hub,
            network,
            head,
            models: models.collect(),
            folder: Arc::new(ApiModel::folder(network)),
            trainers: Arc::default(),
            provers: Arc::default(),
            folding: Arc::new(Semaphore::new(1)),
            acting: None,
            with_batches: false,
            workers: Arc::default(),
            once: Arc::default(),
            payee: None,
            runs: None,
            created_s: unix_s(),
        }
    }

    /// Lets clients pay while they ask.
    pub(crate) fn with_payments(mut self) -> Self {
        self.payee = Some(pay::Payee { chain: self.network.chain, account: self.hub.node() });
        self
    }

    /// Lets clients run agents.
    pub(crate) fn with_runs(mut self, chain: LightClient, sender: Sender) -> Self {
        self.runs = Some(Arc::new(runs::Opener { chain, sender }));
        self
    }

    /// With boards at this price at most, if any are folded.
    pub(crate) fn with_boards(mut self, demand: Option<DemandTerms>) -> Self {
        if let Some(DemandTerms { price_max, context_tokens, .. }) = demand {
            let folder = ApiModel::folder(self.network);
            self.folder = Arc::new(ApiModel { price_max, context_tokens, ..folder });
        }
        self
    }

    /// With training on these grounds, each at a price at most.
    pub(crate) fn with_training(self, training: &[ServedTraining]) -> Self {
        Self { trainers: training.iter().map(Trainers::new).collect(), ..self }
    }

    /// With proofs of what these classifiers say.
    pub(crate) fn with_proofs(self, proofs: &[ServedProofs]) -> Self {
        Self { provers: proofs.iter().map(Provers::new).collect(), ..self }
    }

    /// With these workers of its operator.
    pub(crate) fn with_workers(self, workers: Arc<[WorkerSwitch]>) -> Self {
        Self { workers, ..self }
    }

    /// With files and batches, or without.
    pub(crate) fn with_batches(self, with_batches: bool) -> Self {
        Self { with_batches, ..self }
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
        let of =
            |model: &Arc<ApiModel>| (model.profile.name.clone(), self.hub.open_leases(model.id, model.kind).0.into());
        self.models.iter().map(of).collect()
    }

    /// The account of a request's bearer token, whether or not it is known.
    fn account(&self, headers: &HeaderMap) -> Option<Digest> {
        bearer(headers)?.parse::<ApiKey>().ok().map(|key| key.hash())
    }

    /// The payer behind a request's bearer token.
    fn payer(&self, headers: &HeaderMap) -> Result<Digest, ApiError> {
        self.key(headers).map(|key| key.hash)
    }

    /// The API key that a request shows, if it may be used now.
    fn key(&self, headers: &HeaderMap) -> Result<KeyView, ApiError> {
        let hash = match self.acting {
            Some(acting) => acting,
            None => {
                let token = bearer(headers).ok_or(ApiError::NoApiKey)?;
                token.parse::<ApiKey>().map_err(|_| ApiError::InvalidApiKey)?.hash()
            }
        };
        self.hub.key(hash).map_err(|refusal| match refusal {
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
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(Any)
        .expose_headers(
            allowance::NAMES
                .into_iter()
                .chain([
                    REQUEST_ID,
                    JOB_HEADER,
                    PROCESSING_MS,
                    header::RETRY_AFTER,
                    RETRY_AFTER_MS,
                    SHOULD_RETRY,
                    once::REPLAYED,
                    pay::PAYMENT_REQUIRED,
                    pay::PAYMENT_RESPONSE,
                ])
                .collect::<Vec<_>>(),
        );
    let names: Vec<&str> = state.models.iter().map(|model| model.profile.name.as_str()).collect();
    let mut routes = openapi::model()
        .router(&state)
        .merge(openapi::public(state.with_batches).router(&state))
        .with_state(state.clone())
        .route(openapi::PATH, openapi::serve(&openapi::document(&names, state.with_batches)));
    for model in state.models.iter() {
        let name = &model.profile.name;
        let of_model = || {
            openapi::model().router(&state).with_state(ApiState { models: [Arc::clone(model)].into(), ..state.clone() })
        };
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
        .layer(TraceLayer::new_for_http().make_span_with(request_span).on_failure(()))
        .layer(middleware::from_fn_with_state(state, observe))
}

/// The routes for operators.
pub(crate) fn admin_router(state: ApiState, token: &AdminToken) -> Router {
    let is_admin = |route: &openapi::Route| route.operation.access == openapi::Access::Admin;
    let (guarded, open): (Vec<_>, Vec<_>) = openapi::admin().0.into_iter().partition(is_admin);
    openapi::Routes(open)
        .router(&state)
        .merge(admin::guard(openapi::Routes(guarded).router(&state), token))
        .route(openapi::PATH, openapi::serve(&openapi::admin_document()))
        .fallback(|| async { ApiError::UnknownUrl })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(middleware::from_fn(identify))
        .with_state(state)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// False where a repetition would be paid for once more.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const JOB_HEADER: HeaderName = HeaderName::from_static("x-inferium-job");

/// Gives every answer a request id, and counts it.
async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = identify(request, next).await;
    let label = crate::metrics::StatusLabel { status: response.status().as_u16() };
    state.hub.metrics.requests.get_or_create(&label).inc();
    response
}

/// Gives every answer a request id: the client's, unless that is absurdly long.
async fn identify(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).filter(|value| value.len() <= 128).cloned();
    let id = given.or_else(|| HeaderValue::from_str(&format!("req-{:016x}", rand::random::<u64>())).ok());
    if let Some(id) = &id {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let started = Instant::now();
    let mut response = next.run(body::to_its_end(request)).await;
    if let Ok(elapsed) = HeaderValue::from_str(&started.elapsed().as_millis().to_string()) {
        response.headers_mut().insert(PROCESSING_MS, elapsed);
    }
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What logs and traces of a request have in common, until its answer's last byte: its id, never its query, body or key.
fn request_span(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    info_span!("request", id, method = %request.method(), path = request.uri().path())
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
