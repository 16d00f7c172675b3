//! What a validator's duties are, and what others may hand in for them.

mod ballot;
mod challenge;
mod outbox;
mod replays;
mod round;
mod trace;

use crate::archive::Archive;
use crate::check::{InvalidEvidence, RunDuty, SegmentFacts, authenticate};
use crate::shelf::{Room, Shelf};
use crate::store::VerdictStore;
use inferium_agent::RunFacts;
use inferium_chain::ValidatorHandle;
use inferium_engine::{Comparison, EngineError, Model, Unfit};
use inferium_ledger::{Phase, Segment, SegmentState, StallState, State};
use inferium_seal::{SealError, SealingSecret, seal};
use inferium_store::StoreError;
use inferium_types::{
    ImpossibleJob, InvalidEncoding, ModelProfile, ModelTask, NodeId, NodeRole, ProfileId, SealPurpose, Sealed,
    SealedEvidence, SealingKeyProof, SecretKey, SegmentEvidence, SegmentId, StallId, decode, limits,
    wire::{RelayFetch, RelayedRequest},
};
use replays::TimeLeft;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Part of the verdict window, from its end, in which a member without evidence says so.
const UNAVAILABLE_PART: u64 = 4;
/// Part of the verdict window, from its end, in which a replay does not wait for others.
const HASTE_PART: u64 = 2;
/// Pieces of news that wait for the loop; what finds no place is met with the next block.
const NEWS_QUEUE: usize = 256;
/// Bytes of a request that is relayed: its private half, and room for its public one and its seal.
const RELAYED_SIZE_MAX: usize = limits::PAYLOAD_SIZE_MAX + 1_024 + Sealed::OVERHEAD;

/// How a validator does its duties.
#[derive(Debug)]
pub struct DutiesConfig {
    /// Its key.
    pub key: SecretKey,
    /// What it replays: each model under its profile.
    pub models: Vec<(ModelProfile, Model)>,
    /// Where others reach it.
    pub url: String,
    /// How it cheats, on a devnet that is to watch it.
    pub crime: Option<ValidatorCrime>,
    /// Its record of verdicts.
    pub store: Arc<VerdictStore>,
}

/// A way to cheat as a validator, to be watched being caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidatorCrime {
    /// It approves everything and replays nothing.
    Lazy,
    /// It replays, and approves what it finds wrong.
    Complacent,
    /// The same together with others, who all attest one replay that none of them made.
    Accomplice,
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
    /// Of this process alone.
    sealing: SealingSecret,
    models: BTreeMap<ProfileId, (ModelProfile, Model)>,
    url: String,
    crime: Option<ValidatorCrime>,
    store: Arc<VerdictStore>,
    chain: ValidatorHandle,
    shelf: Shelf,
    archive: Archive,
    tracing: trace::Tracing,
    news: mpsc::Sender<News>,
}

/// What was handed in between two blocks.
#[derive(Debug, Clone, Copy)]
enum News {
    Evidence(SegmentId),
    Request(StallId),
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
    /// For someone else.
    #[error("sealed for {member}, not for this validator")]
    Recipient {
        /// Whom it is for.
        member: NodeId,
    },
    /// Sealed to a former process of this node, or not openable at all.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// A sealing key was asked for with something else.
    #[error("a nonce is 64 hexadecimal digits")]
    Nonce,
    /// Bytes that are nothing.
    #[error("not decodable: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// More bytes than any request has.
    #[error("{size} bytes; a request has at most {RELAYED_SIZE_MAX}")]
    TooLarge {
        /// How many.
        size: usize,
    },
    /// Not the claim's request.
    #[error("the request is not the claim's")]
    Request,
    /// No worker is held to it.
    #[error("no worker could do it: {0}")]
    Impossible(#[from] ImpossibleJob),
    /// The messages are no prompt of this model.
    #[error("no worker could read it: {0}")]
    Prompt(#[from] EngineError),
    /// Another prompt than the request names.
    #[error("the prompt has {found} tokens, not {claimed}")]
    PromptTokens {
        /// As the engine counts.
        found: usize,
        /// As the request says.
        claimed: u32,
    },
    /// Another number of texts or continuations than the request names.
    #[error("there are {found} texts or continuations, not {claimed}")]
    Parts {
        /// In the payload.
        found: usize,
        /// As the request says.
        claimed: u32,
    },
    /// Not on the lease's profile.
    #[error("no worker of the profile takes it: {0}")]
    Unfit(#[from] Unfit),
    /// Only the claim's worker gets the request.
    #[error("only the claim's worker may fetch the request")]
    NotTheWorker,
    /// Too much at once.
    #[error("too many segments wait")]
    Full,
    /// No names of anything.
    #[error("segment and draw are 64 hexadecimal digits each")]
    Judgement,
    /// Nothing of it can be traced here.
    #[error(
        "this validator keeps nothing of that judgement: it did not make it by a replay, nobody disagreed, or it was too long ago"
    )]
    NotKept,
    /// It judged with another engine than it has now.
    #[error("this validator does not serve the segment's model any more")]
    NotServed,
    /// Its verdicts agree about the job.
    #[error("no verdicts disagree about job {job}; they do about {doubted:?}")]
    NotDoubted {
        /// Position in the segment.
        job: u32,
        /// Those about which they do.
        doubted: Vec<u32>,
    },
    /// An empty answer.
    #[error("job {job} has no tokens to trace")]
    NothingToTrace {
        /// Position in the segment.
        job: u32,
    },
    /// Too deep, too far right, or a leaf.
    #[error("the trace has no such node with two children")]
    NoNode,
    /// One at a time.
    #[error("another trace is being made; ask again")]
    Tracing,
    /// Our own engine.
    #[error("could not trace: {0}")]
    Engine(EngineError),
    /// Our own disk.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Our own mistake.
    #[error("the validator failed")]
    Internal,
}

impl Duties {
    /// Starts doing duties until `stop` turns true.
    ///
    /// A failing store ends the task with its error: the caller stops the node (SPEC C8).
    ///
    /// # Errors
    /// [`StoreError`]: what a former run left can't be read.
    pub fn start(
        config: DutiesConfig,
        chain: ValidatorHandle,
        stop: watch::Receiver<bool>,
    ) -> Result<(Self, tokio::task::JoinHandle<Result<(), StoreError>>), StoreError> {
        let (news, heard) = mpsc::channel(NEWS_QUEUE);
        // It takes no weights to fold boards: whoever runs this software judges them (SPEC L2).
        let folder = (ModelProfile::folder(), Model::folder(chain.network_key()));
        // Nor does it to train (SPEC X3).
        let trainer = (inferium_train::profile(), inferium_train::model());
        let shared = Arc::new(Shared {
            node: config.key.public_key(),
            key: config.key,
            sealing: SealingSecret::generate(&mut rand::rng()),
            models: config
                .models
                .into_iter()
                .chain([folder, trainer])
                .map(|(profile, model)| (profile.id(), (profile, model)))
                .collect(),
            url: config.url,
            crime: config.crime,
            shelf: Shelf::open(Arc::clone(&config.store), Room::default())?,
            archive: Archive::open(Arc::clone(&config.store), Room::default())?,
            tracing: trace::Tracing::default(),
            store: config.store,
            chain,
            news,
        });
        let task = tokio::spawn(round::run(Arc::clone(&shared), heard, stop));
        Ok((Self { shared }, task))
    }

    /// The chain's state as this validator has it.
    pub(crate) fn state(&self) -> State {
        self.shared.chain.state()
    }

    /// Proves the key that this process seals to (SPEC J2). It goes with the process, so that what was
    /// sent to it stays unread when the node's key is stolen later.
    pub(crate) fn prove_sealing_key(&self, nonce: &[u8; 32]) -> SealingKeyProof {
        SealingKeyProof::sign(self.shared.sealing.public_key(), nonce, &self.shared.key)
    }

    /// Takes a segment's evidence from its worker, who sends it once.
    ///
    /// Ensures: what was taken is on disk until the segment is judged.
    pub(crate) fn lodge_evidence(&self, sealed: &SealedEvidence) -> Result<(), Refused> {
        let shared = &self.shared;
        let state = shared.chain.state();
        let evidence = open_evidence(&shared.node, &shared.sealing, sealed, |segment| {
            open_duty(&state, &shared.node, segment).map(|duty| duty.facts)
        })?;
        let segment = evidence.segment;
        if !shared.shelf.put(state.height(), evidence)? {
            return Err(Refused::Full);
        }
        // A full queue is no loss: the next block's look at everything finds it.
        let _ = shared.news.try_send(News::Evidence(segment));
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
        if bytes.len() > RELAYED_SIZE_MAX {
            return Err(Refused::TooLarge { size: bytes.len() });
        }
        let opened = shared.sealing.open(&SealPurpose::Lodged { stall: id, relay: shared.node }, &decode(bytes)?)?;
        let relayed: RelayedRequest = decode(&opened)?;
        if !relayed.matches(&stall.request) {
            return Err(Refused::Request);
        }
        let lease = state.lease(&relayed.request.lease).ok_or(Refused::NoDuty)?;
        // It has the duty only because it declared the profile; it may serve another one since.
        let (profile, model) = shared.models.get(&lease.terms.profile).ok_or(Refused::NoDuty)?;
        // SPEC X3: whether an interval leads to numbers that are none shows only to who trains it.
        if profile.task == ModelTask::Train {
            return Err(Refused::NoDuty);
        }
        check_can_be_done(&relayed, (lease.terms.context_tokens, Comparison::from(&profile.engine)), model)?;
        shared.store.record_relayed(id, state.height(), &opened)?;
        let _ = shared.news.try_send(News::Request(id));
        Ok(())
    }

    /// Hands a relayed request to the claim's worker, who signs for it, sealed to the key that it names.
    pub(crate) fn fetch_request(&self, id: StallId, fetch: &RelayFetch) -> Result<Sealed, Refused> {
        let shared = &self.shared;
        let state = shared.chain.state();
        let stall = state.stall(&id).ok_or(Refused::NoDuty)?;
        if !fetch.is_from(&stall.worker, id) {
            return Err(Refused::NotTheWorker);
        }
        let request = shared.store.relayed(id)?.ok_or(Refused::NoDuty)?;
        let purpose = SealPurpose::Fetched { stall: id, worker: stall.worker };
        Ok(seal(fetch.key, &purpose, &request, &mut rand::rng())?)
    }
}

/// Opens evidence and checks that it is what the chain holds. What is cheap to see comes first: for
/// whom it is, and whether it is wanted.
fn open_evidence(
    node: &NodeId,
    sealing: &SealingSecret,
    sealed: &SealedEvidence,
    duty: impl FnOnce(SegmentId) -> Option<SegmentFacts>,
) -> Result<SegmentEvidence, Refused> {
    if sealed.member != *node {
        return Err(Refused::Recipient { member: sealed.member });
    }
    let facts = duty(sealed.segment).filter(|facts| facts.seed == sealed.draw).ok_or(Refused::NoDuty)?;
    let evidence: SegmentEvidence = decode(&sealing.open(&sealed.purpose(), &sealed.sealed)?)?;
    authenticate(&facts, &evidence)?;
    Ok(evidence)
}

/// Checks that a worker with this lease could do it: no one is held to another (SPEC T6).
fn check_can_be_done(
    relayed: &RelayedRequest,
    (context_tokens, comparison): (u32, Comparison),
    model: &Model,
) -> Result<(), Refused> {
    relayed.request.check(context_tokens)?;
    relayed.payload.check()?;
    let (found, claimed) = (model.read(&relayed.payload.input)?.tokens(), relayed.request.prompt_tokens);
    if u32::try_from(found) != Ok(claimed) {
        return Err(Refused::PromptTokens { found, claimed });
    }
    model.fits(comparison, &relayed.payload.input, &relayed.request.sampling)?;
    if let Some(found) = relayed.payload.input.parts() {
        let claimed = relayed.request.tokens_max;
        if u32::try_from(found) != Ok(claimed) {
            return Err(Refused::Parts { found, claimed });
        }
    }
    Ok(())
}

/// A segment that this validator still has to judge.
struct Duty {
    facts: SegmentFacts,
    /// When its verdict is due; Unix milliseconds.
    due_ms: u64,
    /// Until then, in milliseconds and in blocks, since a network that was down has done nothing meanwhile.
    left: TimeLeft,
}

/// What this validator has to do about a segment. Who is bound to a verdict has judged (SPEC V2).
fn open_duty(state: &State, node: &NodeId, id: SegmentId) -> Option<Duty> {
    let segment = state.segment(&id)?;
    let SegmentState::Judging { members, phase: Phase::Committing, seed, replay, due_at_height, .. } = &segment.state
    else {
        return None;
    };
    members.iter().find(|member| member.validator == *node && !member.ballot.is_bound())?;
    let NodeRole::Worker { vrf } = state.node(&segment.worker)?.role.clone() else { return None };
    let beacon = state.lease(&segment.terms.lease)?.beacon;
    let facts = SegmentFacts {
        id,
        terms: segment.terms,
        vrf,
        beacon,
        seed: *seed,
        replay: *replay,
        profile: segment.profile,
        kind: segment.kind,
        known_wrong: segment.opening.known_wrong(),
        engine: state.profile(&segment.profile)?.engine().clone(),
        run: run_duty(state, segment),
    };
    let meta = state.meta();
    let due_ms = segment.verdict_due_ms(meta)?;
    let (rest_ms, rest_blocks) = (due_ms.saturating_sub(meta.timestamp_ms), due_at_height.saturating_sub(meta.height));
    let parameters = &meta.parameters;
    let is_in_last =
        |window_ms: u64, part: u64| rest_ms < window_ms / part && rest_blocks < parameters.verdict_blocks / part;
    // Long segments have longer, and take longer; a run has as long as its limits may take.
    let tokens = facts.run.as_ref().map_or_else(|| segment.terms.totals.tokens(), |duty| duty.run.limits.tokens);
    let tokens_ms = tokens.saturating_mul(parameters.verdict_token_ms);
    let left = if is_in_last(parameters.verdict_ms, UNAVAILABLE_PART) {
        TimeLeft::Late
    } else if is_in_last(parameters.verdict_ms.saturating_add(tokens_ms), HASTE_PART) {
        TimeLeft::Half
    } else {
        TimeLeft::Enough
    };
    Some(Duty { facts, due_ms, left })
}

/// Of a segment of a run, what the run is.
fn run_duty(state: &State, segment: &Segment) -> Option<RunDuty> {
    let run = state.run(&segment.terms.lease)?;
    let facts = RunFacts { lease: segment.terms.lease, manifest: run.manifest, limits: run.limits, input: run.input };
    Some(RunDuty { run: facts, model: run.model })
}

#[cfg(test)]
mod tests;
