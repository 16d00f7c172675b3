//! Sending the evidence of a segment to the members that were drawn to check it.

use crate::store::SegmentRecord;
use inferium_chain::{GetError, LightClient};
use inferium_ledger::{Lease, Node, StateKey};
use inferium_types::{
    Digest, JobEvidence, NodeId, NodeRole, Ppm, SegmentEvidence, VrfProof, VrfSecretKey, encode, vrf_input,
};
use std::time::Duration;
use tracing::{debug, warn};

/// Attempts for one member, with a growing wait between them: about a minute in all, so that a member that starts
/// anew within its window gets what it has to judge.
const ATTEMPTS: u32 = 20;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);
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

/// Evidence on its way to members of a committee.
pub(crate) struct Handover {
    pub(crate) record: SegmentRecord,
    pub(crate) seed: Digest,
    pub(crate) replay: Ppm,
    /// The lease's, while the worker still has it.
    pub(crate) vrf_proof: Option<VrfProof>,
    pub(crate) vrf: VrfSecretKey,
    pub(crate) chain: LightClient,
    pub(crate) http: reqwest::Client,
}

impl Handover {
    /// Sends it to each member until it has it.
    pub(crate) async fn run(self, members: Vec<NodeId>) {
        let segment = self.record.terms.id();
        if let Err(error) = self.send(members).await {
            warn!(%segment, %error, "could not read from the chain where evidence goes");
        }
    }

    async fn send(self, members: Vec<NodeId>) -> Result<(), GetError> {
        let lease = self.record.terms.lease;
        let vrf_proof = match self.vrf_proof {
            Some(proof) => proof,
            None => match self.chain.entry::<Lease>(&StateKey::Lease(lease)).await? {
                Some(entry) => self.vrf.prove(&vrf_input(&entry.beacon, lease)),
                None => return Ok(()),
            },
        };
        let bytes = to_bytes(&assemble(&self.record, vrf_proof, &self.seed, self.replay));
        for member in members {
            let node = self.chain.entry::<Node>(&StateKey::Node(member)).await?;
            let Some(NodeRole::Validator { url }) = node.map(|node| node.role) else { continue };
            tokio::spawn(deliver(self.http.clone(), member, url, bytes.clone()));
        }
        Ok(())
    }
}

/// Sends evidence to one member until it has it.
async fn deliver(client: reqwest::Client, member: NodeId, url: String, evidence: bytes::Bytes) {
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
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
    warn!(%member, "could not deliver evidence");
}

/// Evidence as it travels.
pub(crate) fn to_bytes(evidence: &SegmentEvidence) -> bytes::Bytes {
    encode(evidence).into()
}
