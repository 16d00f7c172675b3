//! `POST /v1/chat/completions`.

use super::{ApiModel, ApiState, JOB_HEADER, error::ApiError, request::ChatRequest, sized, unix_s, whole_body};
use crate::hub::{Attempts, JobEvent, JobSpec};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use inferium_types::{Digest, FinishReason, JobPayload, ModelTask, Usage};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// An answer under way.
struct Running {
    state: ApiState,
    model: Arc<ApiModel>,
    attempts: Attempts,
    started: Instant,
    seen_text: bool,
}

pub(super) async fn completions(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let payer = state.payer(&headers)?;
    let body = whole_body(body)?;
    let request = sized(body.len(), move || ChatRequest::parse(&body)).await??;
    let (is_stream, include_usage) = (request.stream, request.include_usage);
    let model = Arc::clone(state.model(&request.model)?);
    let spec = prepare(Arc::clone(&model), request, payer).await?;
    let attempts = Attempts::start(&state.hub, spec).await?;
    let running = Running { state, model, attempts, started, seen_text: false };
    if is_stream { stream(running, include_usage).await } else { whole(running).await }
}

/// Tokenises, commits to the input, and checks all that a worker would: what it had to refuse is not sent.
async fn prepare(model: Arc<ApiModel>, mut request: ChatRequest, payer: Digest) -> Result<JobSpec, ApiError> {
    if model.profile.task != ModelTask::Chat {
        return Err(ApiError::OtherTask {
            model: request.model,
            does: model.profile.task.name(),
            url: "/v1/embeddings",
        });
    }
    let size = request.messages.iter().map(|message| message.content.len()).sum();
    sized(size, move || -> Result<JobSpec, ApiError> {
        let (messages, stop) = (std::mem::take(&mut request.messages), std::mem::take(&mut request.stop));
        let payload = JobPayload::chat(rand::random(), messages, stop);
        payload.check()?;
        model.fits(&payload.input, &request.sampling)?;
        let prompt = model.model.read(&payload.input);
        let prompt = prompt.map_err(|error| ApiError::invalid("messages", error.to_string()))?;
        let prompt_tokens = u32::try_from(prompt.tokens()).unwrap_or(u32::MAX);
        let tokens_max = request.answer_limit(prompt_tokens, model.context_tokens)?;
        let spec = JobSpec {
            profile: model.id,
            task: model.profile.task,
            input_commitment: payload.commitment(),
            payload: Arc::new(payload),
            prompt_tokens,
            tokens_max,
            sampling: request.sampling,
            client_seed: request.seed,
            payer,
        };
        spec.check(model.context_tokens)?;
        Ok(spec)
    })
    .await?
}

impl Running {
    /// The next event of the answer.
    async fn next(&mut self) -> JobEvent {
        let event = self.attempts.next().await;
        let metrics = &self.state.hub.metrics;
        if !matches!(event, JobEvent::Text(_)) {
            metrics.job_seconds.observe(self.started.elapsed().as_secs_f64());
        } else if !self.seen_text {
            metrics.observe_first_token(self.started.elapsed());
            self.seen_text = true;
        }
        event
    }

    fn id(&self) -> String {
        format!("chatcmpl-{}", self.attempts.job().to_string().get(..24).unwrap_or_default())
    }

    /// What is ours in an answer.
    fn extras(&self) -> Value {
        let job = self.attempts.job().to_string();
        json!({"job": job, "status": "provisional", "receipt_url": format!("/v1/receipts/{job}")})
    }

    fn job_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.attempts.job().to_string()).unwrap_or(HeaderValue::from_static(""))
    }

    fn fingerprint(&self) -> String {
        format!("inf_{}", self.model.id.to_string().get(..12).unwrap_or_default())
    }

    fn chunk(&self, created: u64, choices: &Value) -> Value {
        json!({
            "id": self.id(),
            "object": "chat.completion.chunk",
            "created": created,
            "model": self.model.profile.name,
            "system_fingerprint": self.fingerprint(),
            "choices": choices,
        })
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

const fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::EndOfText | FinishReason::StopString | FinishReason::Cancelled => "stop",
        FinishReason::Length => "length",
    }
}

async fn whole(mut running: Running) -> Result<Response, ApiError> {
    let mut content = String::new();
    let (usage, finish) = loop {
        match running.next().await {
            JobEvent::Text(text) => content.push_str(&text),
            // A conversation has none: the hub ends a job that sends some.
            JobEvent::Parts(_) => {}
            JobEvent::Done { usage, finish } => break (usage, finish),
            JobEvent::Failed { reason } => return Err(ApiError::WorkerFailed(reason)),
        }
    };
    let body = json!({
        "id": running.id(),
        "object": "chat.completion",
        "created": unix_s(),
        "model": running.model.profile.name,
        "system_fingerprint": running.fingerprint(),
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": null},
            "logprobs": null,
            "finish_reason": finish_name(finish),
        }],
        "usage": usage_json(usage),
        "inferium": running.extras(),
    });
    let mut response = Json(body).into_response();
    response.headers_mut().insert(JOB_HEADER, running.job_header());
    Ok(response)
}

/// Streams as server-sent events. The first event decides whether there is a stream at all, so
/// that a failure before any text is a plain error.
async fn stream(mut running: Running, include_usage: bool) -> Result<Response, ApiError> {
    let first = running.next().await;
    if let JobEvent::Failed { reason } = first {
        return Err(ApiError::WorkerFailed(reason));
    }
    let job_header = running.job_header();
    let created = unix_s();
    let opening =
        json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null}]);
    let opening = sse(&running.chunk(created, &opening));
    let state = (running, Some(first), Some(opening));
    let body = futures::stream::unfold(Some(state), move |state| async move {
        let (mut running, first, opening) = state?;
        if let Some(opening) = opening {
            return Some((Ok::<_, std::convert::Infallible>(opening), Some((running, first, None))));
        }
        let event = match first {
            Some(event) => event,
            None => running.next().await,
        };
        let (bytes, is_last) = render(&running, created, event, include_usage);
        Some((Ok(bytes), (!is_last).then_some((running, None, None))))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(JOB_HEADER, job_header);
    Ok(response)
}

fn sse(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// One event as bytes of the stream; true when it is the last.
fn render(running: &Running, created: u64, event: JobEvent, include_usage: bool) -> (Bytes, bool) {
    match event {
        JobEvent::Text(text) => {
            let choices = json!([{"index": 0, "delta": {"content": text}, "logprobs": null, "finish_reason": null}]);
            (sse(&running.chunk(created, &choices)), false)
        }
        JobEvent::Done { usage, finish } => {
            let choices = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_name(finish)}]);
            let mut last = running.chunk(created, &choices);
            let mut out = Vec::new();
            if include_usage {
                out.extend_from_slice(&sse(&last));
                last = running.chunk(created, &json!([]));
            }
            if let Some(fields) = last.as_object_mut() {
                fields.insert("usage".into(), usage_json(usage));
                fields.insert("inferium".into(), running.extras());
            }
            out.extend_from_slice(&sse(&last));
            out.extend_from_slice(b"data: [DONE]\n\n");
            (Bytes::from(out), true)
        }
        // A conversation has none: the hub ends a job that sends some.
        JobEvent::Parts(_) => (Bytes::new(), false),
        // Never a quiet end: clients read this event as an error.
        JobEvent::Failed { reason } => (sse(&ApiError::WorkerFailed(reason).body()), true),
    }
}
