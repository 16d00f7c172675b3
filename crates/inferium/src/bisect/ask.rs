//! Questions to one validator about its replay.

use crate::cli::Failure;
use inferium_types::{Digest, MerkleNode, NodeId, SegmentId, SignedTrace, VerdictVote, decode};
use std::time::Duration;
use tokio::time::Instant;

/// Time for a validator to replay a job.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause before a busy validator is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of an answer that are read.
const ANSWER_SIZE_MAX: usize = 4_096;

/// A validator that answers for its replay.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) validator: NodeId,
    pub(super) name: String,
    pub(super) vote: VerdictVote,
    pub(super) signed: SignedTrace,
    /// Of its trace.
    pub(super) address: String,
}

impl Side {
    /// Asks for the root of a validator's trace, and checks that it is its own and about this.
    pub(super) async fn open(
        (segment, draw, job): (SegmentId, Digest, u32),
        validator: NodeId,
        name: &str,
        url: &str,
        vote: VerdictVote,
    ) -> Result<Self, String> {
        let address = format!("{}/duty/v1/traces/{segment}/{draw}/{job}", url.trim_end_matches('/'));
        let signed: SignedTrace = decode(&ask(&address).await?).map_err(|error| error.to_string())?;
        let claim = &signed.claim;
        if (claim.segment, claim.draw, claim.job) != (segment, draw, job) {
            return Err("it answers about something else".to_owned());
        }
        if !signed.is_from(&validator) {
            return Err("what it says is not signed by it".to_owned());
        }
        Ok(Self { validator, name: name.to_owned(), vote, signed, address })
    }

    /// The children of a node of its tree, as it says.
    pub(super) async fn children(&self, node: MerkleNode) -> Result<[Digest; 2], Failure> {
        let address = format!("{}/{}/{}", self.address, node.height, node.index);
        let said = |reason| Failure::network(format!("{} does not go on: {reason}", self.name));
        decode(&ask(&address).await.map_err(said)?).map_err(|error| said(error.to_string()))
    }
}

/// An answer's bytes; asks again while the validator is busy with another trace.
async fn ask(address: &str) -> Result<Vec<u8>, String> {
    let http = reqwest::Client::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut response = http.get(address).timeout(PATIENCE).send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_SIZE_MAX {
                return Err("its answer is too large".to_owned());
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(bytes);
        }
        if status == reqwest::StatusCode::TOO_MANY_REQUESTS && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(serde_json::Value::as_str);
        return Err(message.map_or_else(|| format!("it answers {status}"), str::to_owned));
    }
}
