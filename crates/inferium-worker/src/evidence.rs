//! Sending the evidence of a segment to the members that were drawn to check it, sealed to each.

use crate::store::SegmentRecord;
use inferium_chain::{GetError, LightClient, SealingKeyError, sealing_key};
use inferium_ledger::{Lease, Node, StateKey};
use inferium_seal::{SealError, seal};
use inferium_types::{
    Digest, JobEvidence, NodeId, NodeRole, Ppm, SealPurpose, SealedEvidence, SegmentEvidence, SegmentId, VrfProof,
    VrfSecretKey, encode, vrf_input,
};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long evidence is tried to bring to its members, reads of the chain included: so long that a member that starts
/// anew within its window gets what it has to judge.
const WINDOW: Duration = Duration::from_secs(70);
/// Wait between two tries: it doubles up to [`WAIT_MAX`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Time for one try.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a drawn committee gets to see: every leaf, and of the drawn jobs only the payloads and what their windows' draw opens.
///
/// `known_wrong` is a planted job that is not judged again.
pub(crate) fn assemble(
    record: &SegmentRecord,
    vrf_proof: VrfProof,
    seed: &Digest,
    replay: Ppm,
    known_wrong: Option<u32>,
) -> SegmentEvidence {
    let segment = record.terms.id();
    let jobs: Vec<(u32, JobEvidence)> = (0u32..)
        .zip(&record.jobs)
        .filter(|(index, _)| segment.draws_job(seed, *index, replay) && known_wrong != Some(*index))
        .map(|(index, job)| (index, job.opened(segment, seed, index)))
        .collect();
    SegmentEvidence { segment, vrf_proof, leaves: record.leaves.clone(), jobs }
}

/// Why evidence is not where it belongs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Chain(#[from] GetError),
    #[error("the lease is gone")]
    Lease,
    #[error("the member is no validator any more")]
    Member,
    #[error("it answers {0}")]
    Status(u16),
    #[error("it can't be reached: {0}")]
    Http(String),
    #[error(transparent)]
    Key(#[from] SealingKeyError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Evidence on its way to members of a committee.
pub(crate) struct Handover {
    pub(crate) record: SegmentRecord,
    pub(crate) seed: Digest,
    pub(crate) replay: Ppm,
    pub(crate) known_wrong: Option<u32>,
    /// The lease's, while the worker still has it.
    pub(crate) vrf_proof: Option<VrfProof>,
    pub(crate) vrf: VrfSecretKey,
    pub(crate) chain: LightClient,
    pub(crate) http: reqwest::Client,
}

impl Handover {
    /// Sends it to each member until it has it; no member waits for another.
    pub(crate) async fn run(self, members: Vec<NodeId>) {
        let (segment, until) = (self.record.terms.id(), Instant::now() + WINDOW);
        let vrf_proof = match retried(until, || self.proof()).await {
            Ok(proof) => proof,
            Err(error) => {
                warn!(%segment, %error, "could not put evidence together");
                return;
            }
        };
        let evidence = to_bytes(&assemble(&self.record, vrf_proof, &self.seed, self.replay, self.known_wrong));
        for member in members {
            let chain = self.chain.clone();
            let parcel =
                Parcel { http: self.http.clone(), segment, draw: self.seed, member, evidence: evidence.clone() };
            tokio::spawn(async move {
                let sent = deliver(until, || url(&chain, member), |url| parcel.send(url)).await;
                if let Err(error) = sent {
                    warn!(%segment, %member, %error, "could not deliver evidence");
                }
            });
        }
    }

    /// The proof behind the lease's seeds. A lease that the worker has no more is read from the chain.
    async fn proof(&self) -> Result<VrfProof, Undelivered> {
        if let Some(proof) = self.vrf_proof {
            return Ok(proof);
        }
        let lease = self.record.terms.lease;
        let entry: Lease = self.chain.entry(&StateKey::Lease(lease)).await?.ok_or(Undelivered::Lease)?;
        Ok(self.vrf.prove(&vrf_input(&entry.beacon, lease)))
    }
}

/// Finds out where a member is, and sends until it has what it must have.
async fn deliver<F, S>(
    until: Instant,
    find: impl FnMut() -> F,
    mut send: impl FnMut(String) -> S,
) -> Result<(), Undelivered>
where
    F: Future<Output = Result<String, Undelivered>>,
    S: Future<Output = Result<(), Undelivered>>,
{
    let url = retried(until, find).await?;
    retried(until, || send(url.clone())).await
}

/// Tries again and again, with a growing wait between, until that is no use or the time is over.
async fn retried<T, F>(until: Instant, mut attempt: impl FnMut() -> F) -> Result<T, Undelivered>
where
    F: Future<Output = Result<T, Undelivered>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match attempt().await {
            Err(error) if error.may_pass() && Instant::now() + wait < until => {
                debug!(%error, "evidence not delivered yet");
            }
            outcome => return outcome,
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
}

impl Undelivered {
    /// False for what the chain itself says: it stays so.
    const fn may_pass(&self) -> bool {
        match self {
            // Members follow the chain too, and may not have reached the draw yet.
            // One that started anew has another sealing key.
            Self::Chain(_) | Self::Status(_) | Self::Http(_) | Self::Key(_) | Self::Seal(_) => true,
            Self::Lease | Self::Member => false,
        }
    }
}

async fn url(chain: &LightClient, member: NodeId) -> Result<String, Undelivered> {
    let node: Option<Node> = chain.entry(&StateKey::Node(member)).await?;
    match node.map(|node| node.role) {
        Some(NodeRole::Validator { url }) => Ok(url),
        Some(NodeRole::Worker { .. } | NodeRole::Gateway { .. }) | None => Err(Undelivered::Member),
    }
}

/// Evidence for one member.
struct Parcel {
    http: reqwest::Client,
    segment: SegmentId,
    draw: Digest,
    member: NodeId,
    evidence: bytes::Bytes,
}

impl Parcel {
    /// Seals it to the key that the member has now, and hands it over.
    async fn send(&self, url: String) -> Result<(), Undelivered> {
        let key = sealing_key(&self.http, &url, &self.member, rand::random()).await?;
        let Self { segment, draw, member, .. } = *self;
        let purpose = SealPurpose::Evidence { segment, draw, member };
        let sealed = seal(key, &purpose, &self.evidence, &mut rand::rng())?;
        let body = encode(&SealedEvidence { segment, draw, member, sealed });
        let address = format!("{}/duty/v1/evidence", url.trim_end_matches('/'));
        let response = self.http.post(address).timeout(TIMEOUT).body(body).send().await;
        let status = response.map_err(|error| Undelivered::Http(error.to_string()))?.status();
        if status.is_success() { Ok(()) } else { Err(Undelivered::Status(status.as_u16())) }
    }
}

/// Evidence as it travels.
pub(crate) fn to_bytes(evidence: &SegmentEvidence) -> bytes::Bytes {
    encode(evidence).into()
}

#[cfg(test)]
mod tests;
