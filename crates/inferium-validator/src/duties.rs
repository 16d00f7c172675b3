//! The loop that turns the chain's assignments into verdicts and certifications.

use crate::check::{InvalidEvidence, SegmentFacts, authenticate, check_segment};
use crate::store::{StoreError, VerdictStore};
use inferium_chain::ValidatorHandle;
use inferium_engine::{Engine, EngineError};
use inferium_ledger::{SegmentState, StallState, State};
use inferium_types::{
    ModelProfile, NodeId, NodeRole, SecretKey, SegmentEvidence, SegmentId, Signature, StallId, Transaction,
    TransactionBody, VerdictVote, decode, limits,
    wire::{RelayedRequest, verify_relay_fetch},
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

/// Part of the verdict window, from its end, in which a member without evidence says so.
const UNAVAILABLE_PART: u64 = 4;
/// Blocks after which a duty that is still open on the chain is sent again.
const RESEND_BLOCKS: u64 = 20;
/// Segments whose evidence is kept in memory at a time.
const EVIDENCE_MAX: usize = 256;

/// How a validator does its duties.
#[derive(Debug)]
pub struct DutiesConfig {
    /// Its key.
    pub key: SecretKey,
    /// The profile that its engine serves.
    pub profile: ModelProfile,
    /// Where others reach it.
    pub url: String,
    /// Its record of verdicts.
    pub store: Arc<VerdictStore>,
}

/// A validator's duties under way. Clones share them.
#[derive(Debug, Clone)]
pub struct Duties {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: NodeId,
    key: SecretKey,
    profile: ModelProfile,
    url: String,
    store: Arc<VerdictStore>,
    engine: Arc<dyn Engine>,
    chain: ValidatorHandle,
    evidence: Mutex<BTreeMap<SegmentId, Arc<SegmentEvidence>>>,
    wake: mpsc::Sender<()>,
}

/// Why bytes that someone sent were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No such duty of this node now.
    #[error("not a duty of this validator now")]
    NoDuty,
    /// Not what the chain holds.
    #[error("{0}")]
    Evidence(#[from] InvalidEvidence),
    /// Not the claim's request.
    #[error("the request is not the claim's")]
    Request,
    /// Only the claim's worker gets the request.
    #[error("only the claim's worker may fetch the request")]
    NotTheWorker,
    /// Too much at once.
    #[error("too many segments wait")]
    Full,
    /// Our own disk.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Duties {
    /// Starts doing duties until `stop` turns true.
    ///
    /// A failing store ends the task with its error: the caller stops the node (SPEC C8).
    #[must_use]
    pub fn start(
        config: DutiesConfig,
        engine: Arc<dyn Engine>,
        chain: ValidatorHandle,
        stop: watch::Receiver<bool>,
    ) -> (Self, tokio::task::JoinHandle<Result<(), StoreError>>) {
        let (wake, woken) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            node: config.key.public_key(),
            key: config.key,
            profile: config.profile,
            url: config.url,
            store: config.store,
            engine,
            chain,
            evidence: Mutex::default(),
            wake,
        });
        let task = tokio::spawn(run(Arc::clone(&shared), woken, stop));
        (Self { shared }, task)
    }

    /// Takes a segment's evidence from its worker.
    pub(crate) fn lodge_evidence(&self, evidence: SegmentEvidence) -> Result<(), Refused> {
        let shared = &self.shared;
        let state = shared.chain.state();
        let facts = open_duty(&state, &shared.node, evidence.segment).ok_or(Refused::NoDuty)?;
        authenticate(&facts.0, &evidence)?;
        let mut kept = shared.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= EVIDENCE_MAX && !kept.contains_key(&evidence.segment) {
            return Err(Refused::Full);
        }
        kept.insert(evidence.segment, Arc::new(evidence));
        drop(kept);
        // A full channel means that the loop is about to look anyway.
        let _ = shared.wake.try_send(());
        Ok(())
    }

    /// Takes a request to relay from a gateway (SPEC T6).
    pub(crate) fn lodge_request(&self, id: StallId, bytes: &[u8]) -> Result<(), Refused> {
        let shared = &self.shared;
        let state = shared.chain.state();
        let stall = state.stall(&id).ok_or(Refused::NoDuty)?;
        let StallState::Relaying { relays, .. } = &stall.state else { return Err(Refused::NoDuty) };
        if !relays.iter().any(|(relay, _)| *relay == shared.node) {
            return Err(Refused::NoDuty);
        }
        let request: RelayedRequest = decode(bytes).map_err(|_| Refused::Request)?;
        if !request.matches(&stall.request) || !self.can_be_done(&state, &request) {
            return Err(Refused::Request);
        }
        shared.store.record_relayed(id, bytes)?;
        let _ = shared.wake.try_send(());
        Ok(())
    }

    /// True for a request that a worker of the lease could do: no one is held to another (SPEC T6).
    fn can_be_done(&self, state: &State, relayed: &RelayedRequest) -> bool {
        let request = &relayed.request;
        let tokens = u64::from(request.prompt_tokens).saturating_add(u64::from(request.tokens_max));
        let fits = state.lease(&request.lease).is_some_and(|lease| tokens <= u64::from(lease.terms.context_tokens));
        let prompt = self.shared.engine.render_chat(&relayed.payload.messages);
        let is_counted = prompt.is_ok_and(|prompt| u32::try_from(prompt.len()) == Ok(request.prompt_tokens));
        let stop = &relayed.payload.stop;
        let is_short = stop.len() <= limits::STOP_STRINGS_MAX
            && stop.iter().all(|text| text.len() <= limits::STOP_STRING_SIZE_MAX);
        fits && is_counted && is_short
    }

    /// Hands a relayed request to the claim's worker, who signs for it.
    pub(crate) fn fetch_request(&self, id: StallId, signature: &Signature) -> Result<Vec<u8>, Refused> {
        let shared = &self.shared;
        let state = shared.chain.state();
        let stall = state.stall(&id).ok_or(Refused::NoDuty)?;
        if !verify_relay_fetch(id, &stall.worker, signature) {
            return Err(Refused::NotTheWorker);
        }
        shared.store.relayed(id)?.ok_or(Refused::NoDuty)
    }
}

/// A segment that this validator still has to judge, and whether its time is almost over: in
/// milliseconds and in blocks, since a network that was down has done nothing meanwhile.
fn open_duty(state: &State, node: &NodeId, id: SegmentId) -> Option<(SegmentFacts, bool)> {
    let segment = state.segment(&id)?;
    let SegmentState::Judging { members, seed, replay, due_at_ms, due_at_height, .. } = &segment.state else {
        return None;
    };
    members.iter().find(|member| member.validator == *node && member.vote.is_none())?;
    let NodeRole::Worker { vrf } = state.node(&segment.worker)?.role.clone() else { return None };
    let beacon = state.lease(&segment.terms.lease)?.beacon;
    let facts = SegmentFacts { id, terms: segment.terms, vrf, beacon, seed: *seed, replay: *replay };
    let meta = state.meta();
    let part = |window: u64| window / UNAVAILABLE_PART;
    let is_late = due_at_ms.saturating_sub(meta.timestamp_ms) < part(meta.parameters.verdict_ms)
        && due_at_height.saturating_sub(meta.height) < part(meta.parameters.verdict_blocks);
    Some((facts, is_late))
}

/// What was sent, and when: sent again only if the chain still waits for it.
#[derive(Default)]
struct Sent {
    at: BTreeMap<Vec<u8>, u64>,
    next_nonce: u64,
    stuck_since: u64,
}

async fn run(
    shared: Arc<Shared>,
    mut woken: mpsc::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    let mut head = shared.chain.head();
    let (judged_tx, mut judged) = mpsc::channel::<(SegmentId, Result<VerdictVote, EngineError>)>(64);
    // Segments being replayed, or whose replay failed at a height: one try per block.
    let mut running: BTreeMap<SegmentId, Option<u64>> = BTreeMap::new();
    let mut sent = Sent::default();
    loop {
        let state = shared.chain.state();
        serve_node(&shared, &state, &mut sent);
        judge(&shared, &state, &mut running, &judged_tx, &mut sent)?;
        relay(&shared, &state, &mut sent)?;
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return Ok(()) },
            _ = woken.recv() => {}
            Some((segment, outcome)) = judged.recv() => {
                match outcome {
                    Ok(vote) => {
                        running.remove(&segment);
                        log_verdict(&shared, segment, &vote);
                        shared.store.record_verdict(segment, vote)?;
                    }
                    Err(error) => {
                        warn!(%segment, %error, "could not replay; trying again with the next block");
                        running.insert(segment, Some(state.height()));
                    }
                }
            }
            _ = stop.changed() => return Ok(()),
        }
    }
}

fn log_verdict(shared: &Shared, segment: SegmentId, vote: &VerdictVote) {
    match vote {
        VerdictVote::Valid { .. } => debug!(validator = %shared.node, %segment, "approved"),
        VerdictVote::Invalid { job, fault } => {
            info!(validator = %shared.node, %segment, job, ?fault, "rejected a segment");
        }
        VerdictVote::Unavailable => info!(validator = %shared.node, %segment, "got no evidence"),
    }
}

/// Keeps the node's own entries right: its profile and its URL.
fn serve_node(shared: &Shared, state: &State, sent: &mut Sent) {
    let declared = state.profile(&shared.profile.id()).is_some_and(|entry| entry.validators.contains(&shared.node));
    if !declared {
        let body = TransactionBody::DeclareProfile { profile: shared.profile.clone() };
        send(shared, state, sent, b"profile".to_vec(), body);
    }
    let Some(node) = state.node(&shared.node) else { return };
    if matches!(&node.role, NodeRole::Validator { url } if *url != shared.url) {
        let body = TransactionBody::SetUrl { url: shared.url.clone() };
        send(shared, state, sent, b"url".to_vec(), body);
    }
}

/// Starts and sends verdicts.
fn judge(
    shared: &Arc<Shared>,
    state: &State,
    running: &mut BTreeMap<SegmentId, Option<u64>>,
    judged: &mpsc::Sender<(SegmentId, Result<VerdictVote, EngineError>)>,
    sent: &mut Sent,
) -> Result<(), StoreError> {
    let mut open = Vec::new();
    for (id, _) in state.segments() {
        let Some((facts, is_late)) = open_duty(state, &shared.node, *id) else { continue };
        open.push(*id);
        if let Some(vote) = shared.store.verdict(*id)? {
            let key = id.digest().as_bytes().to_vec();
            send(shared, state, sent, key, TransactionBody::SubmitVerdict { segment: *id, vote });
            continue;
        }
        // Without evidence, or with evidence that our engine can't replay: no verdict but this one.
        if is_late && running.get(id).is_none_or(Option::is_some) {
            let has_evidence = shared.evidence.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
                && !running.contains_key(id);
            if !has_evidence {
                log_verdict(shared, *id, &VerdictVote::Unavailable);
                shared.store.record_verdict(*id, VerdictVote::Unavailable)?;
                continue;
            }
        }
        if running.get(id).is_some_and(|failed_at| failed_at.is_none_or(|height| height == state.height())) {
            continue;
        }
        let evidence = shared.evidence.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let Some(evidence) = evidence else { continue };
        running.insert(*id, None);
        let (shared, judged, id) = (Arc::clone(shared), judged.clone(), *id);
        tokio::spawn(async move {
            let outcome = check_segment(&facts, &evidence, &shared.node, &*shared.engine).await;
            // The loop is gone only when the node stops.
            let _ = judged.send((id, outcome)).await;
        });
    }
    running.retain(|id, _| open.contains(id));
    shared.evidence.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| open.contains(id));
    Ok(())
}

/// Certifies requests that this node holds for a worker, and forgets those whose claim is over.
fn relay(shared: &Shared, state: &State, sent: &mut Sent) -> Result<(), StoreError> {
    for id in shared.store.relayed_claims()? {
        if state.stall(&id).is_none() {
            shared.store.forget_relayed(id)?;
        }
    }
    for (id, stall) in state.stalls() {
        let StallState::Relaying { relays, .. } = &stall.state else { continue };
        let is_mine = relays.iter().any(|(relay, certified)| *relay == shared.node && !certified);
        if is_mine && shared.store.relayed(*id)?.is_some() {
            let key = id.digest().as_bytes().to_vec();
            send(shared, state, sent, key, TransactionBody::CertifyDelivery { stall: *id });
        }
    }
    Ok(())
}

/// Sends a transaction unless it is on its way already.
fn send(shared: &Shared, state: &State, sent: &mut Sent, key: Vec<u8>, body: TransactionBody) {
    let height = state.height();
    if sent.at.get(&key).is_some_and(|at| height < at.saturating_add(RESEND_BLOCKS)) {
        return;
    }
    sent.at.retain(|_, at| height < at.saturating_add(RESEND_BLOCKS));
    let on_chain = state.next_nonce(&shared.node);
    if on_chain >= sent.next_nonce {
        sent.next_nonce = on_chain;
        sent.stuck_since = height;
    } else if height >= sent.stuck_since.saturating_add(RESEND_BLOCKS) {
        // Something before it was dropped: begin again where the chain is.
        sent.next_nonce = on_chain;
        sent.stuck_since = height;
    }
    let transaction = Transaction { chain: state.meta().chain, sender: shared.node, nonce: sent.next_nonce, body };
    match shared.chain.submit(transaction.sign(&shared.key)) {
        Ok(_) => {
            sent.next_nonce = sent.next_nonce.saturating_add(1);
            sent.at.insert(key, height);
        }
        Err(error) => debug!(validator = %shared.node, %error, "a duty's transaction was not taken"),
    }
}
