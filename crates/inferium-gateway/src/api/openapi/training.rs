//! Routes of training, with their bodies and answers.

use super::super::training;
use super::answers::{json_answer, list, object};
use super::operations::{operation, path};
use super::requests::body;
use super::{Access, Operation, Route, named};
use axum::routing::{get, post};
use serde_json::{Value, json};

const TRAINING: &str = "training";

/// Runs of training, and what comes of them.
pub(super) fn routes() -> Vec<Route> {
    let id = || path("run_id", json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}), "A run of training, by its id.");
    let create = Operation {
        request: Some("TrainingRequest"),
        errors: &[402, 403, 404, 429, 500, 503],
        ..operation(
            "createTrainingRun",
            TRAINING,
            Access::Key,
            "Has a classifier or adapters trained: each interval by a worker, and again by a committee; one that was sent before goes on, or is shown",
            vec![json_answer("TrainingRun", "The run.")],
        )
    };
    let all = Operation {
        errors: &[500],
        ..operation(
            "listTrainingRuns",
            TRAINING,
            Access::Open,
            "Runs of training, the newest first",
            vec![json_answer("TrainingRunList", "The runs.")],
        )
    };
    let show = Operation {
        parameters: vec![id()],
        errors: &[400, 404, 500],
        ..operation(
            "showTrainingRun",
            TRAINING,
            Access::Open,
            "A run: its settings, the loss of every step, and the roots and jobs of its intervals",
            vec![json_answer("TrainingRun", "The run.")],
        )
    };
    let name = path(
        "file",
        json!({"type": "string"}),
        "`spec.bin`, `00000000.checkpoint` and so on, and of a finished run `head.safetensors` and `labels.json`, or `adapter_model.safetensors` and `adapter_config.json`.",
    );
    let bytes = json!({
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    });
    let file = Operation {
        parameters: vec![id(), name],
        errors: &[400, 404, 500],
        ..operation(
            "downloadTrainingFile",
            TRAINING,
            Access::Key,
            "A file of a run of this API key",
            vec![(200, bytes)],
        )
    };
    let run = "/v1/training/runs/{run_id}";
    vec![
        Route { method: "post", path: "/v1/training/runs", handler: post(training::create), operation: create },
        Route { method: "get", path: "/v1/training/runs", handler: get(training::list), operation: all },
        Route { method: "get", path: run, handler: get(training::show), operation: show },
        Route {
            method: "get",
            path: "/v1/training/runs/{run_id}/files/{file}",
            handler: get(training::file),
            operation: file,
        },
    ]
}

/// The body of a request.
pub(super) fn request() -> Value {
    let count = |least: u32, most: u32, usual: Option<u32>, what: &str| {
        let mut field = json!({"type": "integer", "minimum": least, "maximum": most, "description": what});
        if let (Some(usual), Some(fields)) = (usual, field.as_object_mut()) {
            fields.insert("default".to_owned(), usual.into());
        }
        field
    };
    let text = |what: &str| json!({"type": "string", "minLength": 1, "description": what});
    let hash = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let model = json!({
        "type": "object", "additionalProperties": false, "required": ["name", "weights_root", "tokenizer"],
        "properties": {"name": text("Its name."), "weights_root": hash, "tokenizer": hash},
        "description": "What the vectors are of, which the network does not check; of adapters what they are of, which it does.",
    });
    let adapters = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "rank": count(1, 256, Some(8), "Rank of each adapter."),
            "alpha": count(1, 1_000, Some(16), "Adapters count alpha / rank."),
            "layers": count(1, 1_024, Some(8), "Layers that have adapters, from the last one down."),
            "sequence": count(2, 512, Some(64), "Tokens of an example at most; longer texts are several."),
        },
        "description": "Has adapters trained, without `vectors`: low-rank ones of the queries and values of a chat model.",
    });
    const NANO: u32 = 1_000_000_000;
    let fields = vec![
        ("data", text("The data set: a line of JSON for each text, of a classifier with its label.")),
        ("vectors", text("Of a classifier: Base64 of the vectors of all lines, floats of four bytes, little-endian.")),
        ("adapters", adapters),
        ("model", model),
        ("steps", count(1, training::STEPS_MAX, None, "Steps.")),
        ("interval", count(1, 8_192, None, "Steps of an interval, which is a job; a tenth of all if nothing is said.")),
        ("batch", count(1, 4_096, Some(32), "Examples of a step.")),
        ("learning_rate_nano", count(1, NANO, Some(10_000_000), "Learning rate, in billionths.")),
        ("weight_decay_nano", count(0, NANO, Some(10_000_000), "Weight decay, in billionths.")),
        ("warmup_steps", count(0, training::STEPS_MAX, Some(10), "Steps in which the rate grows to its full size.")),
        ("held_out_ppm", count(1, 999_999, Some(200_000), "Share of lines that no step sees.")),
        (
            "measured_max",
            count(
                1,
                1 << 20,
                None,
                "How many of them are measured on at most: 10,000 of a classifier if nothing is said, of adapters 100, and 256 at most.",
            ),
        ),
    ];
    body(fields, &["data", "model", "steps"])
}

/// What runs look like.
pub(super) fn answers() -> Vec<(&'static str, Value)> {
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let fields = json!({
        "object": {"const": "training.run"}, "id": {"type": "string"}, "created": {"type": "integer"},
        "status": {"enum": ["announced", "training", "finished", "failed"]},
        "error": or_null("string"), "waits": or_null("string"),
        "method": {"enum": ["head", "lora"]}, "adapters": or_null("object"), "labels": or_null("integer"), "lines": {"type": "integer"},
        "steps": {"type": "integer"}, "intervals": {"type": "integer"}, "intervals_done": {"type": "integer"},
        "root": or_null("string"), "loss": or_null("number"), "rejected": {"type": "integer"},
        "before": or_null("object"), "after": or_null("object"),
        "cost": {"type": "string"}, "cost_nano": {"type": "integer"},
        "announcement": or_null("object"), "pending": or_null("object"),
        "losses": {"type": "array", "items": {"type": "number"}, "description": "Of every step whose interval is final."},
        "jobs": {"type": "array", "items": {"type": "object"}, "description": "Of every interval that is final."},
    });
    let run = object(&fields, &["object", "id", "status", "steps", "intervals", "intervals_done"]);
    vec![("TrainingRun", run), ("TrainingRunList", list(&named("TrainingRun")))]
}
