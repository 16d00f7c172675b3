//! The key that a validator seals to (SPEC J2): asked of it when it is needed, since it goes with the
//! validator's process, and believed for its node's signature only.

use inferium_types::{NodeId, SealingKey, SealingKeyProof, decode};
use std::time::Duration;

/// Time for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a validator's sealing key is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyError {
    /// No connection, or it broke.
    #[error("it can't be asked for its sealing key: {reason}")]
    Http {
        /// Why.
        reason: String,
    },
    /// It answers with an error.
    #[error("asked for its sealing key it answers {status}")]
    Status {
        /// The status of HTTP.
        status: u16,
    },
    /// Not the node, an old answer, or none at all.
    #[error("it did not prove its sealing key")]
    Proof,
}

impl From<reqwest::Error> for SealingKeyError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http { reason: error.to_string() }
    }
}

/// Asks the validator at `url` for the key that it seals to now. Who answers has to prove that it is `node`.
///
/// Requires: `nonce` is random, and used once.
///
/// # Errors
/// [`SealingKeyError`]. Each of them may pass.
pub async fn sealing_key(
    http: &reqwest::Client,
    url: &str,
    node: &NodeId,
    nonce: [u8; 32],
) -> Result<SealingKey, SealingKeyError> {
    let address = format!("{}/duty/v1/seal/{}", url.trim_end_matches('/'), hex::encode(nonce));
    let mut response = http.get(address).timeout(TIMEOUT).send().await?;
    let status = response.status();
    if !status.is_success() {
        return Err(SealingKeyError::Status { status: status.as_u16() });
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        answer.extend_from_slice(&chunk);
        if answer.len() > SealingKeyProof::SIZE {
            return Err(SealingKeyError::Proof);
        }
    }
    let proof: SealingKeyProof = decode(&answer).map_err(|_| SealingKeyError::Proof)?;
    proof.verify(node, &nonce).ok_or(SealingKeyError::Proof)
}

#[cfg(test)]
mod tests;
