//! What answers hold.

use super::named;
use inferium_types::Duty;
use serde_json::{Map, Value, json};

/// Statuses of errors, with when each is given.
const ERRORS: [(u16, &str, &str); 13] = [
    (400, "BadRequest", "The request is not as it must be; `param` names what is wrong with it."),
    (401, "Unauthorized", "No API key, or one that is not known, expired or revoked."),
    (
        402,
        "PaymentRequired",
        "The budget does not cover what the request may cost. Sent again with a payment in `PAYMENT-SIGNATURE` (x402, version 2), as `payment-required` asks for it, the request is answered.",
    ),
    (403, "Forbidden", "The API key is for other models."),
    (404, "NotFound", "There is no such thing here."),
    (409, "Conflict", "It is there, and not so far; asking again later may help."),
    (413, "TooLarge", "The body is too large."),
    (426, "UpgradeRequired", "This address takes WebSockets only."),
    (429, "TooManyRequests", "More than is taken now; `retry-after` says when to try again."),
    (500, "InternalError", "The gateway failed."),
    (502, "WorkerFailed", "The worker failed, and so did another one."),
    (503, "NoWorker", "No worker serves the model now; `retry-after` says when to try again."),
    (405, "MethodNotAllowed", "This address does not take this method; `allow` says which it takes."),
];

/// The error of this status, as operations name it.
pub(super) fn error(status: u16) -> Value {
    let name = ERRORS.iter().find(|(of, ..)| *of == status).map_or("InternalError", |(_, name, _)| name);
    json!({"$ref": format!("#/components/responses/{name}")})
}

/// Errors by their names.
pub(super) fn errors() -> Value {
    let shown = ERRORS.iter().map(|(status, name, description)| {
        let mut headers = every_header();
        if matches!(status, 402) {
            headers.insert("payment-required".to_owned(), header("payment-required"));
            headers.insert("payment-response".to_owned(), header("payment-response"));
        }
        if matches!(status, 429 | 502) {
            headers.insert("x-should-retry".to_owned(), header("x-should-retry"));
        }
        if matches!(status, 429 | 503) {
            headers.insert("retry-after".to_owned(), header("retry-after"));
            headers.insert("retry-after-ms".to_owned(), header("retry-after-ms"));
        }
        let content = json!({"application/json": {"schema": named("Error")}});
        ((*name).to_owned(), json!({"description": description, "headers": headers, "content": content}))
    });
    Value::Object(shown.collect())
}

/// Headers by their names.
pub(super) fn headers() -> Value {
    let of = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let mut shown = json!({
        "x-request-id": of("The id that the request came with, or a new one."),
        "openai-processing-ms": of("Milliseconds until the answer began."),
        "x-inferium-job": of("The answer's first job, whose receipt is at `/v1/receipts/{job}`."),
        "idempotency-replayed": of("`true` if this is the answer of an earlier request that this one repeats."),
        "payment-required": of("Base64 of what x402 says of a 402: how much, in what, and where to pay."),
        "payment-response": of("Base64 of what became of the payment that the request was sent with."),
        "x-should-retry": of("`false` where sending the request again would be paid for once more."),
        "retry-after": of("Seconds after which to try again."),
        "retry-after-ms": of("The same in milliseconds."),
    });
    if let Some(shown) = shown.as_object_mut() {
        let description =
            "Of the API key's limits a minute, if it has some; times are written as `20ms`, `1s` or `6m0s`.";
        shown.extend(super::super::allowance::NAMES.iter().map(|name| (name.to_string(), of(description))));
    }
    shown
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// What every answer has.
fn every_header() -> Map<String, Value> {
    ["x-request-id", "openai-processing-ms"].map(|name| (name.to_owned(), header(name))).into_iter().collect()
}

fn answer(description: &str, headers: &Map<String, Value>, content: &Value) -> Value {
    json!({"description": description, "headers": headers, "content": content})
}

/// A success whose body is JSON of this schema.
pub(super) fn json_answer(schema: &str, description: &str) -> (u16, Value) {
    (200, answer(description, &every_header(), &json!({"application/json": {"schema": named(schema)}})))
}

/// As [`json_answer`], of something that a repetition of the request gets as well.
pub(super) fn made(schema: &str, description: &str) -> (u16, Value) {
    let mut headers = every_header();
    headers.insert("idempotency-replayed".to_owned(), header("idempotency-replayed"));
    (200, answer(description, &headers, &json!({"application/json": {"schema": named(schema)}})))
}

/// As [`json_answer`], of jobs.
pub(super) fn plain(schema: &str, description: &str) -> (u16, Value) {
    let mut headers = every_header();
    headers.insert("x-inferium-job".to_owned(), header("x-inferium-job"));
    headers.insert("idempotency-replayed".to_owned(), header("idempotency-replayed"));
    headers.insert("payment-response".to_owned(), header("payment-response"));
    let limits = super::super::allowance::NAMES;
    headers.extend(limits.iter().map(|name| (name.to_string(), header(name.as_str()))));
    (200, answer(description, &headers, &json!({"application/json": {"schema": named(schema)}})))
}

/// As [`plain`], or with `stream` a stream of events.
pub(super) fn streamed(schema: &str, events: &str) -> (u16, Value) {
    let (status, mut shown) = plain(schema, "The answer.");
    if let Some(content) = shown.get_mut("content").and_then(Value::as_object_mut) {
        let description = format!(
            "With `stream`: {events}. A failure is an event with an error; comments tell the place in the queue."
        );
        content
            .insert("text/event-stream".to_owned(), json!({"schema": {"type": "string", "description": description}}));
    }
    (status, shown)
}

/// A success whose body is a text.
pub(super) fn text_answer(kind: &str, description: &str) -> (u16, Value) {
    (200, json!({"description": description, "content": {kind: {"schema": {"type": "string"}}}}))
}

/// The header that makes a request safe to send again.
pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": super::super::once::NAME_MAX, "pattern": "^[ -~]+$"},
        "description": "A name of the client's for this request: sent again with the same name it is not done again, and gets the same answer.",
    })
}

/// Parameters that choose a page.
pub(super) fn page() -> Vec<Value> {
    let most = super::super::receipts::SLASHES_MAX;
    vec![
        json!({
            "name": "limit", "in": "query", "description": "How many.",
            "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": most},
        }),
        json!({
            "name": "after", "in": "query", "description": "The `next` of an earlier page.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
        }),
    ]
}

/// Parameters that choose a page by the last one's end.
pub(super) fn after_page(most: usize) -> Vec<Value> {
    vec![
        json!({
            "name": "limit", "in": "query", "description": "How many.",
            "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": most.min(100)},
        }),
        json!({
            "name": "after", "in": "query", "description": "The last id of the page before.",
            "schema": {"type": "string"},
        }),
    ]
}

/// Schemas of the public routes' answers.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut all = super::training::answers();
    all.extend(super::proofs::answers());
    all.extend([
        ("Error", error_object()),
        ("Usage", usage()),
        ("ChatCompletion", completion("chat.completion", &chat_choice())),
        ("Completion", completion("text_completion", &text_choice())),
        ("Response", response()),
        ("EmbeddingList", embeddings()),
        ("ClassificationList", classifications()),
        ("PartUsage", part_usage()),
        ("Jobs", jobs()),
        ("Model", model()),
        ("ModelList", list(&named("Model"))),
        ("TokenizerInfo", tokenizer()),
        ("Tokens", tokens()),
        ("TokensText", object(&json!({"prompt": text()}), &["prompt"])),
        ("Receipt", receipt()),
        ("SlashList", slashes()),
        ("File", file()),
        ("FileList", pages(&named("File"))),
        ("DeletedFile", full(&json!({"id": text(), "object": {"const": "file"}, "deleted": {"const": true}}))),
        ("Batch", batch()),
        ("BatchList", pages(&named("Batch"))),
        ("Key", key(false)),
        ("UsageList", usage_list()),
        ("PublishedBoard", board()),
        ("BoardList", list(&named("PublishedBoard"))),
        ("BoardInputs", board_inputs()),
        ("Agent", agent()),
        ("AgentCard", object(&json!({"name": text(), "version": text()}), &["name", "supportedInterfaces", "skills"])),
        ("AgentList", list(&named("Agent"))),
        ("Run", run()),
        ("RunList", list(&named("Run"))),
        ("Review", review()),
        ("DeletedReview", full(&json!({"object": {"const": "review"}, "run": text(), "deleted": {"const": true}}))),
        ("Version", object(&json!({"version": text()}), &["version"])),
        ("Health", object(&json!({"status": {"const": "ok"}}), &["status"])),
        ("Readiness", readiness()),
    ]);
    all
}

/// Schemas of the answers of routes for operators.
pub(super) fn admin_schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Error", error_object()),
        ("Health", object(&json!({"status": {"const": "ok"}}), &["status"])),
        ("Readiness", readiness()),
        ("Key", key(false)),
        ("NewKey", key(true)),
        ("KeyList", list(&named("Key"))),
        ("UsageList", usage_list()),
        ("Status", status()),
        ("Worker", worker()),
        ("WorkerList", list(&named("Worker"))),
    ]
}

fn agent() -> Value {
    let fields = json!({
        "id": text(), "object": {"const": "agent"}, "name": text(), "model_name": text(), "summary": text(),
        "creator": text(), "account": text(), "version": {"type": "integer"}, "manifest_sha256": text(),
        "model": text(), "price": text(), "price_nano": {"type": "integer"},
        "tools": {"type": "array", "items": text()}, "limits": {"type": "object"},
        "runs": {"type": "integer"}, "earned": text(), "readme": text(), "secrets": {"type": "array", "items": text()},
        "manifest": text(), "reviews": {"type": "object"},
    });
    object(&fields, &["id", "object", "name", "model_name", "creator", "version", "model", "price", "price_nano"])
}

fn run() -> Value {
    let fields = json!({
        "id": text(), "object": {"const": "run"}, "agent": {"type": "object"},
        "status": {"enum": ["running", "completed", "failed"]},
        "began_at": {"type": "integer"}, "ended_at": {"type": "integer"},
        "took_ms": {"type": "integer"}, "answer": text(), "error": text(),
        "calls": {"type": "array", "items": {"type": "object"}}, "usage": {"type": "object"},
        "price": text(), "cost": text(), "cost_nano": {"type": "integer"}, "inferium": {"type": "object"},
    });
    object(&fields, &["id", "object", "agent", "status"])
}

fn review() -> Value {
    full(&json!({
        "object": {"const": "review"}, "run": text(), "job": text(), "receipt_url": text(), "version": {"type": "integer"},
        "rating": {"type": "integer"}, "text": text(), "at": {"type": "integer"},
    }))
}

fn worker() -> Value {
    full(&json!({"name": text(), "node": text(), "duty": {"enum": Duty::ALL.map(Duty::name)}}))
}

/// An object with these fields, and perhaps others.
pub(super) fn object(fields: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": fields, "required": required})
}

/// An object all of whose fields are there.
fn full(fields: &Value) -> Value {
    let required: Vec<&String> = fields.as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
    json!({"type": "object", "properties": fields, "required": required})
}

pub(super) fn list(item: &Value) -> Value {
    full(&json!({"object": {"const": "list"}, "data": {"type": "array", "items": item}}))
}

/// A list of which this is a page.
fn pages(item: &Value) -> Value {
    full(&json!({
        "object": {"const": "list"}, "data": {"type": "array", "items": item},
        "first_id": text_or_null(), "last_id": text_or_null(), "has_more": {"type": "boolean"},
    }))
}

fn file() -> Value {
    full(&json!({
        "id": text(), "object": {"const": "file"}, "bytes": count(), "created_at": count(), "expires_at": count(),
        "filename": text(), "purpose": {"enum": ["batch", "batch_output"]}, "status": {"const": "processed"},
        "status_details": {"type": "null"},
    }))
}

fn batch() -> Value {
    let fault = full(&json!({"code": text(), "message": text(), "param": text_or_null(), "line": count_or_null()}));
    let faults = full(&json!({"object": {"const": "list"}, "data": {"type": "array", "items": fault}}));
    let status = ["validating", "in_progress", "cancelling", "completed", "failed", "expired", "cancelled"];
    with_cost(json!({
        "id": text(), "object": {"const": "batch"}, "endpoint": text(), "errors": {"anyOf": [faults, {"type": "null"}]},
        "input_file_id": text(), "completion_window": text(), "status": {"enum": status},
        "output_file_id": text_or_null(), "error_file_id": text_or_null(), "created_at": count(),
        "in_progress_at": count_or_null(), "expires_at": count(), "finalizing_at": count_or_null(),
        "completed_at": count_or_null(), "failed_at": count_or_null(), "expired_at": count_or_null(),
        "cancelling_at": count_or_null(), "cancelled_at": count_or_null(), "metadata": {"type": ["object", "null"]},
        "request_counts": full(&json!({"total": count(), "completed": count(), "failed": count()})),
    }))
}

fn text() -> Value {
    json!({"type": "string"})
}

fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn count_or_null() -> Value {
    json!({"type": ["integer", "null"], "minimum": 0})
}

fn error_object() -> Value {
    full(&json!({"error": full(&json!({
        "message": {"type": "string", "description": "For people."},
        "type": {"type": "string", "description": "The kind of error."},
        "param": {"type": ["string", "null"], "description": "The field or parameter that is wrong."},
        "code": {"type": "string", "description": "For programs."},
    }))}))
}

/// What something cost.
fn with_cost(mut fields: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("cost".to_owned(), json!({"type": "string", "description": "IFR, decimal."}));
        fields.insert("cost_nano".to_owned(), json!({"type": "integer", "description": "Billionths of an IFR."}));
    }
    full(&fields)
}

fn usage() -> Value {
    with_cost(json!({
        "prompt_tokens": count(), "completion_tokens": count(), "total_tokens": count(),
        "prompt_tokens_details": full(&json!({"cached_tokens": count()})),
        "completion_tokens_details": full(&json!({"reasoning_tokens": count()})),
    }))
}

fn part_usage() -> Value {
    with_cost(json!({"prompt_tokens": count(), "total_tokens": count()}))
}

fn jobs() -> Value {
    let job = full(&json!({
        "job": text(), "status": text(), "receipt_url": text(),
        "texts": {"type": "array", "items": count(), "minItems": 2, "maxItems": 2},
    }));
    full(&json!({"jobs": {"type": "array", "items": job}}))
}

fn completion(kind: &str, choice: &Value) -> Value {
    let extras = json!({"type": "object", "description": "Jobs, workers and addresses of receipts."});
    full(&json!({
        "id": text(), "object": {"const": kind}, "created": count(), "model": text(), "system_fingerprint": text(),
        "choices": {"type": "array", "items": choice}, "usage": named("Usage"), "inferium": extras,
    }))
}

fn chat_choice() -> Value {
    let call = full(&json!({
        "id": text(), "type": {"const": "function"}, "function": full(&json!({"name": text(), "arguments": text()})),
    }));
    let fields = json!({
        "role": {"const": "assistant"}, "content": text_or_null(), "refusal": {"type": "null"},
        "tool_calls": {"type": "array", "items": call},
    });
    full(&json!({
        "index": count(), "message": object(&fields, &["role", "content", "refusal"]),
        "logprobs": {"type": ["object", "null"]}, "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
    }))
}

fn text_choice() -> Value {
    full(&json!({
        "index": count(), "text": text(), "logprobs": {"type": ["object", "null"]},
        "finish_reason": {"enum": ["stop", "length"]},
    }))
}

fn response() -> Value {
    full(&json!({
        "id": text(), "object": {"const": "response"}, "created_at": count(), "model": text(),
        "status": {"enum": ["completed", "incomplete"]}, "error": {"type": "null"},
        "output": {"type": "array", "items": object(&json!({"id": text(), "type": text()}), &["id", "type"])},
        "usage": with_cost(json!({"input_tokens": count(), "output_tokens": count(), "total_tokens": count()})),
        "inferium": {"type": "object"},
    }))
}

fn embeddings() -> Value {
    let vector = json!({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]});
    let item = full(&json!({"object": {"const": "embedding"}, "index": count(), "embedding": vector}));
    full(&json!({
        "object": {"const": "list"}, "data": {"type": "array", "items": item}, "model": text(),
        "usage": named("PartUsage"), "inferium": named("Jobs"),
    }))
}

fn classifications() -> Value {
    let number = json!({"type": "number"});
    let score = full(&json!({"label": text(), "logprob": number, "tokens": count(), "is_greedy": {"type": "boolean"}}));
    let of_chat = full(&json!({
        "object": {"const": "classification"}, "index": count(), "label": text(), "num_classes": count(),
        "probs": {"type": "array", "items": number}, "scores": {"type": "array", "items": score},
    }));
    let of_classifier = full(&json!({
        "object": {"const": "classification"}, "index": count(), "label": text(), "class": count(), "num_classes": count(),
        "logits": {"type": "array", "items": {"type": "integer"}},
    }));
    let mut schema = full(&json!({
        "object": {"const": "list"}, "data": {"type": "array", "items": {"anyOf": [of_chat, of_classifier]}}, "model": text(),
        "usage": named("PartUsage"), "inferium": named("Jobs"),
    }));
    let proof = object(
        &json!({"object": {"const": "proof"}, "status": {"enum": ["queued", "failed"]}, "url": text(), "error": text()}),
        &["object", "status"],
    );
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.insert("proof".to_owned(), proof);
    }
    schema
}

fn model() -> Value {
    let yes = json!({"type": "boolean"});
    let fields = json!({
        "id": text(), "object": {"const": "model"}, "created": count(), "owned_by": text(), "task": text(),
        "context_length": count(), "max_model_len": count(),
        "pricing": full(&json!({
            "prompt": text(), "completion": text(), "prompt_max": text(), "completion_max": text(), "currency": {"const": "IFR"},
        })),
        "quantization": text(),
        "capabilities": full(&json!({
            "chat": yes, "completions": yes, "tools": yes, "structured_outputs": yes, "logprobs": yes, "embeddings": yes,
            "classifications": yes, "proofs": yes,
        })),
        "workers_online": count(), "model_profile": text(), "weights_root": text(), "engine": {"type": "object"},
        "verification": text(), "leases_ready": count(),
    });
    let mut schema = full(&fields);
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.insert("dimensions".to_owned(), count());
        fields.insert("labels".to_owned(), json!({"type": "array", "items": text()}));
        fields.insert("input".to_owned(), json!({"type": "object"}));
    }
    schema
}

fn tokenizer() -> Value {
    full(&json!({
        "bos_token": text_or_null(), "eos_token": text_or_null(), "pad_token": text_or_null(),
        "chat_template": text_or_null(), "max_model_len": count(), "vocab_size": count(),
    }))
}

fn tokens() -> Value {
    full(&json!({
        "count": count(), "max_model_len": count(), "tokens": {"type": "array", "items": count()},
        "token_strs": {"type": ["array", "null"], "items": text()},
    }))
}

fn receipt() -> Value {
    let fields = json!({
        "object": {"const": "inferium.receipt"}, "job": text(), "segment": text(),
        "status": {"type": "string", "description": "provisional, failed, rejected, or how it became final."},
        "reason": {"type": "string", "description": "Of a rejected one, why."},
        "proof": {"type": "string", "description": "The receipt's bytes in hex, of which all other fields follow."},
    });
    object(&fields, &["object", "job", "status"])
}

fn board() -> Value {
    let fields = json!({
        "object": {"const": "board"}, "id": text(), "name": text_or_null(), "created": count(),
        "status": {"enum": ["provisional", "final", "settled", "rejected"]},
        "suite": text_or_null(), "suite_id": text(), "receipt_url": text(), "inputs_url": text(),
        "board": {"type": ["object", "null"], "description": "Ranks, scores with intervals, cost; null until it is final."},
        "usage": {"type": "object", "description": "Of one that was just folded: items, and what they cost."},
    });
    object(&fields, &["object", "id", "status", "suite_id", "board"])
}

fn board_inputs() -> Value {
    full(&json!({
        "object": {"const": "board.inputs"}, "id": text(), "network": text(),
        "files": {"type": "array", "items": text()}, "input_salt": text(), "output_salt": text(), "board": text(),
    }))
}

fn slashes() -> Value {
    let slash = full(&json!({
        "slash": count(), "node": text(), "role": text(), "operator": text(), "rule": text(), "job": text_or_null(),
        "segment": text_or_null(), "amount_nano": count(), "height": count(), "disqualified": {"type": "boolean"},
        "releases_at_ms": count(), "state": {"enum": ["held", "burned", "overturned"]},
    }));
    let next =
        json!({"type": "string", "description": "What `after` of the next page must be; there if there is one."});
    object(&json!({"data": {"type": "array", "items": slash}, "next": next}), &["data"])
}

fn key(is_new: bool) -> Value {
    let mut fields = json!({
        "object": {"const": "inferium.key"}, "id": text(), "name": text(),
        "status": {"enum": ["active", "used up", "expired", "revoked"]}, "budget_nano": count_or_null(),
        "spent_nano": count(), "left_nano": count_or_null(), "created_at_ms": count(),
        "expires_at_ms": count_or_null(), "revoked_at_ms": count_or_null(),
        "models": {"type": ["array", "null"], "items": text()}, "requests_per_minute": count_or_null(),
        "tokens_per_minute": count_or_null(),
    });
    if let (Some(fields), true) = (fields.as_object_mut(), is_new) {
        fields.insert("secret".to_owned(), text());
    }
    full(&fields)
}

fn usage_list() -> Value {
    list(&full(&json!({
        "key": text(), "name": text(), "day": text(), "model": text(), "jobs": count(), "free_jobs": count(),
        "prompt_tokens": count(), "completion_tokens": count(), "cost_nano": count(), "cost_ifr": text(),
    })))
}

fn readiness() -> Value {
    full(&json!({
        "ready": {"type": "boolean"}, "height": count(), "head_age_ms": count(), "leases": count(),
        "models": {"type": "object", "additionalProperties": count()},
    }))
}

fn status() -> Value {
    let model = full(&json!({
        "model": text(), "task": text(), "class": text(), "workers": {"type": "array", "items": text()},
        "leases": count(), "slots": count(), "running": count(),
    }));
    full(&json!({
        "version": text(), "network_key": text(), "height": count(), "head_age_ms": count(), "queued": count(),
        "running": {"type": "integer"}, "prompt_tokens": count(), "completion_tokens": count(), "jobs": count(),
        "spent_nano": count(), "segments_final": count(), "segments_rejected": count(),
        "models": {"type": "array", "items": model},
    }))
}
