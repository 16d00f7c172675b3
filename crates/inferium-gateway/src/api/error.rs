//! Errors as clients of OpenAI's API read them.

use super::pay::Due;
use super::{RETRY_AFTER_MS, SHOULD_RETRY};
use crate::hub::{NoLease, OverLimit};
use crate::store::StoreError;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use inferium_types::{Amount, ImpossibleJob};
use serde_json::{Value, json};

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no API key: send `Authorization: Bearer sk-inferium-...`")]
    NoApiKey,
    #[error("this API key is not known here")]
    InvalidApiKey,
    #[error("this API key was revoked")]
    RevokedApiKey,
    #[error("this API key expired on {}", crate::api::keys::date_time(*.at_ms))]
    ExpiredApiKey { at_ms: u64 },
    #[error("this URL takes the admin token: `Authorization: Bearer inferium-admin-...`")]
    NoAdminToken,
    #[error("there is no worker `{0}`")]
    WorkerNotFound(String),
    #[error("no key has the id or name `{0}`")]
    KeyNotFound(String),
    #[error("the name `{name}` is that of several keys, {}; give an id", names(.ids))]
    KeyAmbiguous { name: String, ids: Vec<String> },
    #[error("{0}")]
    ModelNotAllowed(String),
    #[error("the body is not valid JSON: {0}")]
    Json(String),
    #[error("{message}")]
    Invalid { param: String, message: String },
    #[error("`{param}` is not supported by this gateway")]
    Unsupported { param: String },
    #[error("{message}")]
    Schema { param: String, message: String },
    #[error("`{param}`: only text can be read here")]
    Content { param: String },
    #[error("the model `{model}` does not exist here; this gateway serves {}", names(.served))]
    ModelNotFound { model: String, served: Vec<String> },
    #[error("the model `{model}` is for {does}; its URL is {url}")]
    OtherTask { model: String, does: &'static str, url: &'static str },
    #[error("text {index} has {tokens} tokens; `{model}` reads at most {context} of one text")]
    TextLength { index: usize, tokens: u64, model: String, context: u32 },
    // Begins with the words by which clients know this error, whose codes differ from server to server.
    #[error(
        "this model's maximum context length is {context} tokens; the prompt has {prompt} and asks for {wanted} more"
    )]
    ContextLength { prompt: u32, wanted: u32, context: u32 },
    #[error(
        "this model's maximum context length is {context} tokens, as workers measured it; prompt and answer take {tokens}"
    )]
    MeasuredContext { tokens: u64, context: u32 },
    #[error("the budget of this API key is used up: {0}")]
    Budget(String, Amount),
    #[error("{message}")]
    Payment { code: &'static str, message: String },
    #[error("this API key may ask for {} {} a minute, and this request is for {}", .0.limit, .0.limited.name(), .0.asked)]
    OverLimit(OverLimit),
    #[error("all workers are busy; try again shortly")]
    Overloaded,
    #[error("no worker serves this model at the moment")]
    NoWorker,
    #[error(
        "all {openings} openings are spent for which the key of `{model}` hides its weights: its owner makes another key"
    )]
    OpeningsSpent { model: String, openings: u32 },
    #[error("the worker failed: {0}")]
    WorkerFailed(String),
    #[error("the worker failed: {0}; what was done before is paid for, and would be once more")]
    WorkerFailedPaid(String),
    #[error("this `idempotency-key` was sent with another request before")]
    IdempotencyKeyReused,
    #[error("the gateway failed: {0}")]
    Internal(String),
    #[error("the body is too large")]
    TooLarge,
    #[error("{} {what} `{id}`", if matches!(*.what, BOARD | TRAINING | PROOF) { "there is no" } else { "this API key has no" })]
    Missing { what: &'static str, id: String },
    #[error("{0}")]
    AgentNotFound(String),
    #[error("the chain: {0}")]
    Chain(String),
    #[error("the run came to nothing, and cost nothing but its model calls: {0}")]
    RunFailed(String),
    #[error("the board `{id}` is {status}; its inputs are shown once it is final")]
    BoardNotFinal { id: String, status: &'static str },
    #[error("no such job")]
    JobNotFound,
    #[error("unknown URL")]
    UnknownUrl,
    /// The gateway is run without it.
    #[error("this gateway does not offer {0}")]
    NotOffered(&'static str),
    #[error("this URL does not take this method")]
    MethodNotAllowed,
    #[error("this URL takes WebSockets only: {0}")]
    NoWebSocket(String),
}

/// What [`ApiError::Missing`] may be missing.
pub(super) const BATCH: &str = "batch";
pub(super) const BOARD: &str = "board";
pub(super) const TRAINING: &str = "run of training";
pub(super) const PROOF: &str = "proof of the job";
pub(super) const FILE: &str = "file";
pub(super) const RUN: &str = "run";
pub(super) const REVIEW: &str = "review of the run";

/// Names of models, each in backticks.
pub(crate) fn names(models: &[String]) -> String {
    models.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl ApiError {
    /// A failure; `is_paid`: something of the request was done, and is paid for.
    pub(crate) fn worker_failed(reason: String, is_paid: bool) -> Self {
        if is_paid { Self::WorkerFailedPaid(reason) } else { Self::WorkerFailed(reason) }
    }

    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::Invalid { param: param.into(), message: message.into() }
    }

    /// (status, type, code, param)
    fn class(&self) -> (StatusCode, &'static str, &'static str, Option<&str>) {
        const INVALID: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        match self {
            Self::NoApiKey | Self::InvalidApiKey | Self::RevokedApiKey | Self::ExpiredApiKey { .. } => {
                (StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key", None)
            }
            Self::NoAdminToken => (StatusCode::UNAUTHORIZED, INVALID, "invalid_admin_token", None),
            Self::WorkerNotFound(_) => (StatusCode::NOT_FOUND, INVALID, "worker_not_found", Some("worker")),
            Self::KeyNotFound(_) => (StatusCode::NOT_FOUND, INVALID, "key_not_found", Some("key")),
            Self::KeyAmbiguous { .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_value", Some("key")),
            Self::ModelNotAllowed(_) => (StatusCode::FORBIDDEN, "permission_error", "model_not_allowed", Some("model")),
            Self::Json(_) => (StatusCode::BAD_REQUEST, INVALID, "invalid_json", None),
            Self::Invalid { param, .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_value", Some(param)),
            Self::Schema { param, .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_json_schema", Some(param)),
            Self::Content { param } => (StatusCode::BAD_REQUEST, INVALID, "unsupported_content", Some(param)),
            Self::Unsupported { param } => (StatusCode::BAD_REQUEST, INVALID, "unsupported_parameter", Some(param)),
            Self::ModelNotFound { .. } => (StatusCode::NOT_FOUND, INVALID, "model_not_found", Some("model")),
            Self::OtherTask { .. } => (StatusCode::BAD_REQUEST, INVALID, "invalid_value", Some("model")),
            Self::TextLength { .. } => (StatusCode::BAD_REQUEST, INVALID, "context_length_exceeded", Some("input")),
            Self::ContextLength { .. } | Self::MeasuredContext { .. } => {
                (StatusCode::BAD_REQUEST, INVALID, "context_length_exceeded", Some("messages"))
            }
            Self::Payment { code, .. } => (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", code, None),
            Self::Budget(..) => (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "payment_required", None),
            Self::OverLimit(_) | Self::Overloaded => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded", None)
            }
            Self::NoWorker => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "no_worker_available", None),
            Self::OpeningsSpent { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "openings_spent", Some("model")),
            Self::IdempotencyKeyReused => (StatusCode::BAD_REQUEST, INVALID, "idempotency_key_reused", None),
            Self::WorkerFailed(_) | Self::WorkerFailedPaid(_) => {
                (StatusCode::BAD_GATEWAY, SERVER, "worker_failed", None)
            }
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, SERVER, "internal_error", None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, INVALID, "body_too_large", None),
            Self::Missing { what, .. } => {
                let (code, param) = match *what {
                    BATCH => ("batch_not_found", "batch_id"),
                    BOARD => ("board_not_found", "board_id"),
                    RUN | TRAINING => ("run_not_found", "run_id"),
                    _ => ("file_not_found", "file_id"),
                };
                (StatusCode::NOT_FOUND, INVALID, code, Some(param))
            }
            Self::AgentNotFound(_) => (StatusCode::NOT_FOUND, INVALID, "agent_not_found", Some("agent")),
            Self::Chain(_) => (StatusCode::BAD_GATEWAY, SERVER, "chain_refused", None),
            Self::RunFailed(_) => (StatusCode::BAD_GATEWAY, SERVER, "run_failed", None),
            Self::BoardNotFinal { .. } => (StatusCode::CONFLICT, INVALID, "board_not_final", Some("board_id")),
            Self::JobNotFound => (StatusCode::NOT_FOUND, INVALID, "job_not_found", Some("job")),
            Self::UnknownUrl => (StatusCode::NOT_FOUND, INVALID, "unknown_url", None),
            Self::NotOffered(_) => (StatusCode::NOT_FOUND, INVALID, "not_offered", None),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", None),
            Self::NoWebSocket(_) => (StatusCode::UPGRADE_REQUIRED, INVALID, "upgrade_required", None),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.class().0
    }

    /// The error object.
    pub(crate) fn body(&self) -> Value {
        let (_, kind, code, param) = self.class();
        json!({"error": {"message": self.to_string(), "type": kind, "param": param, "code": code}})
    }
}

impl From<OverLimit> for ApiError {
    fn from(over: OverLimit) -> Self {
        Self::OverLimit(over)
    }
}

impl From<NoLease> for ApiError {
    fn from(reason: NoLease) -> Self {
        match reason {
            NoLease::NoWorker => Self::NoWorker,
            NoLease::Busy => Self::Overloaded,
            NoLease::Budget { cost, .. } => Self::Budget(reason.to_string(), cost),
            NoLease::NotAllowed { .. } => Self::ModelNotAllowed(reason.to_string()),
            NoLease::Impossible(reason) => reason.into(),
        }
    }
}

/// What no worker could do, by the parameter that asks for it.
impl From<ImpossibleJob> for ApiError {
    fn from(reason: ImpossibleJob) -> Self {
        match reason {
            ImpossibleJob::Context { tokens, context_tokens: context } => Self::MeasuredContext { tokens, context },
            ImpossibleJob::StopStrings { .. } | ImpossibleJob::StopString { .. } => {
                Self::invalid("stop", reason.to_string())
            }
            ImpossibleJob::NoTokens | ImpossibleJob::Messages { .. } => Self::invalid("messages", reason.to_string()),
            ImpossibleJob::Texts { .. } => Self::invalid("input", reason.to_string()),
            // The API has refused these by their names.
            ImpossibleJob::Sampling => Self::invalid("temperature", reason.to_string()),
            ImpossibleJob::Role => Self::invalid("messages", reason.to_string()),
            ImpossibleJob::Likeliest { .. } => Self::invalid("logprobs", reason.to_string()),
            ImpossibleJob::BiasedTokens { .. } | ImpossibleJob::Bias => Self::invalid("logit_bias", reason.to_string()),
            ImpossibleJob::Penalty => Self::invalid("presence_penalty", reason.to_string()),
            ImpossibleJob::Grammar { .. } | ImpossibleJob::GrammarLines { .. } => {
                Self::Schema { param: "response_format".into(), message: reason.to_string() }
            }
            ImpossibleJob::Size => Self::TooLarge,
            ImpossibleJob::Training => Self::invalid("data", reason.to_string()),
            ImpossibleJob::Run | ImpossibleJob::Files { .. } => Self::invalid("files", reason.to_string()),
            // Chosen by the gateway, of leases that still have some.
            ImpossibleJob::Sequence => Self::NoWorker,
        }
    }
}

/// A failed read; a failed write has stopped the gateway.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, ..) = self.class();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        match &self {
            Self::NoApiKey
            | Self::InvalidApiKey
            | Self::RevokedApiKey
            | Self::ExpiredApiKey { .. }
            | Self::NoAdminToken => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::OverLimit(OverLimit { wait_ms: Some(wait_ms), .. }) => {
                headers.insert(header::RETRY_AFTER, wait_ms.div_ceil(1_000).into());
                headers.insert(RETRY_AFTER_MS, (*wait_ms).into());
            }
            // There will never be room for so much.
            Self::OverLimit(OverLimit { wait_ms: None, .. }) => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            Self::Overloaded | Self::NoWorker => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                headers.insert(RETRY_AFTER_MS, HeaderValue::from_static("1000"));
            }
            Self::Budget(_, cost) => {
                let due = (Due(*cost), self.clone());
                response.extensions_mut().insert(due);
            }
            Self::WorkerFailedPaid(_) | Self::OpeningsSpent { .. } => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            Self::NoWebSocket(_) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            _ => {}
        }
        response
    }
}
