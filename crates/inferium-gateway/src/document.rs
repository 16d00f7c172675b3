//! Receipts as files: JSON that people can read and that verifies as a whole.
//!
//! The proof is in the field `proof`, the receipt's canonical bytes in hex. Every other field is
//! derived from it, so that a document with any field changed, added or missing is refused.

use inferium_types::{InvalidReceipt, NetworkKey, Receipt, ReceiptFacts};
use serde_json::{Value, json};

/// Why a file is no valid receipt.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// Not JSON.
    #[error("json: {0}")]
    Json(String),
    /// No proof in it.
    #[error("proof: the field `proof` is missing or not lower-case hex")]
    NoProof,
    /// The proof proves nothing.
    #[error(transparent)]
    Receipt(#[from] InvalidReceipt),
    /// A field says something else than the proof.
    #[error("document: field `{field}` does not say what the proof says")]
    Field {
        /// The first such field.
        field: String,
    },
}

/// The document of a receipt that was verified.
#[must_use]
pub fn receipt_document(receipt: &Receipt, facts: &ReceiptFacts) -> Value {
    let (job, outcome) = (&facts.job, &facts.outcome);
    json!({
        "object": "inferium.receipt",
        "version": 1,
        "status": facts.status.name(),
        "job": job.request.job.to_string(),
        "attempt": job.request.attempt,
        "lease": outcome.lease.to_string(),
        "segment": outcome.segment.to_string(),
        "model_profile": outcome.profile.to_string(),
        "worker": outcome.worker.to_string(),
        "gateway": outcome.gateway.to_string(),
        "input_commitment": job.request.input_commitment.to_string(),
        "output_commitment": job.result.output_commitment.to_string(),
        "evidence_root": job.result.evidence_root.to_string(),
        "usage": {
            "prompt_tokens": job.result.usage.prompt_tokens,
            "completion_tokens": job.result.usage.completion_tokens,
        },
        "finish": job.result.finish.name(),
        "fee_nano": facts.fee.nano(),
        "approved_by": outcome.approvers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "replayed_ppm": outcome.replayed.get(),
        "chain": receipt.headers.first().map(|header| header.chain.to_string()),
        "height": facts.height,
        "timestamp_ms": facts.timestamp_ms,
        "block": facts.block.to_string(),
        "proof": hex::encode(inferium_types::encode(receipt)),
    })
}

/// Checks a document's bytes against a network key.
///
/// # Errors
/// [`InvalidDocument`] with the check that failed.
pub fn verify_document(bytes: &[u8], key: &NetworkKey) -> Result<ReceiptFacts, InvalidDocument> {
    let found: Value = serde_json::from_slice(bytes).map_err(|e| InvalidDocument::Json(e.to_string()))?;
    let proof = found.get("proof").and_then(Value::as_str).ok_or(InvalidDocument::NoProof)?;
    let proof = hex::decode(proof).map_err(|_| InvalidDocument::NoProof)?;
    let receipt = Receipt::from_bytes(&proof)?;
    let facts = receipt.verify(key)?;
    let expected = receipt_document(&receipt, &facts);
    if found == expected {
        return Ok(facts);
    }
    Err(InvalidDocument::Field { field: first_difference(&expected, &found) })
}

fn first_difference(expected: &Value, found: &Value) -> String {
    let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) else {
        return "(the document)".into();
    };
    let changed = expected.iter().find(|(name, value)| found.get(*name) != Some(value)).map(|(name, _)| name);
    let added = found.keys().find(|name| !expected.contains_key(*name));
    changed.or(added).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
