//! Sending the evidence of a segment to the members that were drawn to check it.

use crate::store::SegmentRecord;
use inferium_types::{Digest, JobEvidence, NodeId, Ppm, SegmentEvidence, VrfProof, encode};
use std::time::Duration;
use tracing::{debug, warn};

/// Attempts for one member, with a growing wait between them.
const ATTEMPTS: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a drawn committee gets to see: every leaf, and the payloads of the drawn jobs only.
pub(crate) fn assemble(record: &SegmentRecord, vrf_proof: VrfProof, seed: &Digest, replay: Ppm) -> SegmentEvidence {
    let segment = record.terms.id();
    let jobs: Vec<(u32, JobEvidence)> = (0u32..)
        .zip(&record.jobs)
        .filter(|(index, _)| segment.draws_job(seed, *index, replay))
        .map(|(index, job)| (index, job.clone()))
        .collect();
    SegmentEvidence { segment, vrf_proof, leaves: record.leaves.clone(), jobs }
}

/// Sends evidence to one member until it has it.
pub(crate) async fn deliver(client: reqwest::Client, member: NodeId, url: String, evidence: bytes::Bytes) {
    let address = format!("{}/duty/v1/evidence", url.trim_end_matches('/'));
    let mut wait = FIRST_WAIT;
    for _ in 0..ATTEMPTS {
        match client.post(&address).timeout(TIMEOUT).body(evidence.clone()).send().await {
            Ok(response) if response.status().is_success() => return,
            // The member follows the chain too, and may not have reached the draw yet.
            Ok(response) => debug!(%member, status = %response.status(), "evidence not taken yet"),
            Err(error) => debug!(%member, %error, "evidence not delivered yet"),
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2);
    }
    warn!(%member, "could not deliver evidence");
}

/// Evidence as it travels.
pub(crate) fn to_bytes(evidence: &SegmentEvidence) -> bytes::Bytes {
    encode(evidence).into()
}
