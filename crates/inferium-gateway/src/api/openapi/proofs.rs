//! Routes of proofs, with their answers.

use super::super::proofs;
use super::answers::{json_answer, list, object};
use super::operations::{operation, path};
use super::{Access, Operation, Route, named};
use axum::routing::get;
use serde_json::{Value, json};

const PROOFS: &str = "proofs";

/// Proofs of what classifiers said.
pub(super) fn routes() -> Vec<Route> {
    let job = || path("job", json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}), "The job whose answer is proved.");
    let all = Operation {
        errors: &[500],
        ..operation(
            "listProofs",
            PROOFS,
            Access::Open,
            "Proofs that were asked for, the newest first",
            vec![json_answer("ProofList", "The proofs.")],
        )
    };
    let show = Operation {
        parameters: vec![job()],
        errors: &[400, 404, 500],
        ..operation(
            "showProof",
            PROOFS,
            Access::OpenOrKey,
            "A proof: how it stands and what it hides; to the key that pays also its statement, and what opens its commitment to the input",
            vec![json_answer("Proof", "The proof.")],
        )
    };
    let bytes = json!({
        "description": "The proof with its statement, as `inferium zk verify` and `inferium receipt verify --proof` read it.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    });
    let file = Operation {
        parameters: vec![job()],
        errors: &[400, 404, 500],
        ..operation("downloadProof", PROOFS, Access::Key, "A proof of this API key", vec![(200, bytes)])
    };
    vec![
        Route { method: "get", path: "/v1/proofs", handler: get(proofs::list), operation: all },
        Route { method: "get", path: "/v1/proofs/{job}", handler: get(proofs::show), operation: show },
        Route { method: "get", path: "/v1/proofs/{job}/file", handler: get(proofs::file), operation: file },
    ]
}

/// What proofs look like.
pub(super) fn answers() -> Vec<(&'static str, Value)> {
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let fields = json!({
        "object": {"const": "proof"}, "job": {"type": "string"}, "model": {"type": "string"}, "created": {"type": "integer"},
        "status": {"enum": ["queued", "provisional", "final", "settled", "rejected", "failed"]},
        "hides": {"enum": ["activations", "nothing"]}, "rejected": {"type": "integer"}, "inputs": {"type": "integer"},
        "proof_job": or_null("string"), "receipt_url": or_null("string"), "digest": or_null("string"), "size": or_null("integer"),
        "took_ms": or_null("integer"), "cost": or_null("string"), "cost_nano": or_null("integer"),
        "error": or_null("string"), "waits": or_null("string"), "statement": or_null("object"), "seed": {"type": "string"},
        "file_url": or_null("string"),
    });
    let proof = object(&fields, &["object", "job", "model", "status", "hides"]);
    vec![("Proof", proof), ("ProofList", list(&named("Proof")))]
}
