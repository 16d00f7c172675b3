//! The worker's loop: chain events, gateways' messages and finished jobs meet here.

mod assessment;
mod challenges;
mod claims;
mod drain;
mod jobs;
mod offer;
mod openings;
mod recovery;
mod segments;

use crate::crime::Crime;
use crate::host::{Hosting, ModelReply};
use crate::job::{self, Copies, FinishedJob, JobRefusal};
use crate::lease::{Agreement, LeaseUse, LeaseWork};
use crate::server::Server;
use crate::session::{SessionEvent, SessionId};
use crate::sessions::Sessions;
use crate::store::{ChallengeRecord, LeaseRecord, SegmentRecord, WorkerStore};
use inferium_chain::{GetError, LightClient, Sender, VerifiedBlock};
use inferium_engine::{AuditDesk, Model, Prover, TextModel};
use inferium_ledger::{Node, StateKey};
use inferium_store::StoreError;
use inferium_train::Ground;
use inferium_types::{
    Amount, CapabilityReport, Digest, Duty, Event, JobId, LeaseId, ModelProfile, NodeId, NodeRole, OfferTerms,
    Parameters, Price, ProfileId, ProposalOutcome, SecretKey, SegmentId, SegmentTerms, StallId, TaskKind, TaskTerms,
    VrfSecretKey, step_request,
    wire::{RunSecret, WorkerMessage},
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{debug, info, warn};

/// How often the standing offer is compared with what the chain holds.
const OFFER_CHECK: Duration = Duration::from_secs(10);
/// Blocks between two writes of the cursor when nothing happens.
const CURSOR_BLOCKS: u64 = 64;
/// Wait before the chain is asked again where a gateway is.
const FIND_AGAIN: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its key: account, node and signatures.
    pub key: SecretKey,
    /// Seeds its sampling.
    pub vrf: VrfSecretKey,
    /// The profile of the model that it serves.
    pub profile: ProfileId,
    /// What it offers.
    pub offer: OfferTerms,
    /// Where it keeps what it must not forget.
    pub store: PathBuf,
    /// What it says of its machine (SPEC N2).
    pub report: CapabilityReport,
    /// How long a stop may wait until what was signed is judged and opened; zero: not at all.
    pub drain: Duration,
    /// Whether it takes work, as its operator wants it; one that drains ends when all is judged, however long that takes.
    pub duty: watch::Receiver<Duty>,
    /// The server that draws, of a foreign engine (SPEC V9); else the model does.
    pub server: Option<Arc<Server>>,
    /// How it hosts runs of agents; it does not where there is nothing (SPEC A2).
    pub hosting: Option<Hosting>,
    /// How it folds boards; it does not where there is nothing (SPEC L2).
    pub boards: Option<Boards>,
    /// How it trains intervals of runs; it does not where there is nothing (SPEC X3).
    pub training: Option<Training>,
    /// How it proves what its classifier says, if it does (SPEC V10).
    pub proving: Option<Proving>,
    /// On a devnet: how it cheats.
    pub crime: Option<Crime>,
    /// On a devnet: what a cheat with other weights lets be measured.
    pub assessed: Option<Model>,
    /// On a devnet: the other model of a cheat that answers with one.
    pub other: Option<Arc<TextModel>>,
}

/// How a worker folds boards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boards {
    /// Boards at once.
    pub slots: u32,
    /// What it asks for an item of the results.
    pub item_price: Amount,
}

/// How a worker trains.
#[derive(Debug, Clone)]
pub struct Training {
    /// Intervals at once, on each ground.
    pub slots: u32,
    /// What it asks for an example that an interval's steps see, or for a token of it (SPEC X3), and for the interval.
    pub price: Price,
    /// What it trains on.
    pub grounds: Vec<Ground>,
}

impl Training {
    /// What it trains on for jobs of a profile.
    pub(crate) fn ground(&self, profile: ProfileId) -> Option<&Ground> {
        self.grounds.iter().find(|ground| ground.profile().id() == profile)
    }
}

/// How a worker proves.
#[derive(Debug, Clone)]
pub struct Proving {
    /// Proofs at once.
    pub slots: u32,
    /// What it asks for a token of a proof: each counts as [`inferium_types::limits::PROOF_TOKENS`], and those of its input.
    pub token_price: Amount,
    /// Its classifier, registered.
    pub prover: Arc<Prover>,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Its disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain can't be followed.
    #[error("the chain can't be followed: {reason}")]
    Chain {
        /// Why.
        reason: String,
    },
}

impl From<GetError> for WorkerError {
    fn from(error: GetError) -> Self {
        Self::Chain { reason: error.to_string() }
    }
}

/// Things that come back from tasks of the worker's own.
enum Own {
    JobDone(LeaseId, JobId, Result<Box<FinishedJob>, JobRefusal>),
    Committed(SegmentTerms, Result<(), String>),
    /// How many of the lease's segments the chain has, if it has the lease.
    Retry(SegmentTerms, Result<Option<u32>, GetError>),
    /// Where a gateway is.
    Found(NodeId, String),
    Rested(LeaseId),
    ClaimOver(StallId),
    ChallengeOver((SegmentId, NodeId)),
    /// The capability task's segment.
    Measured(Box<SegmentRecord>),
    /// The job that was ordered for a lease's next segment.
    Planted(LeaseId, Result<Box<FinishedJob>, JobRefusal>),
    /// Segments that were opened, or owe no opening.
    Opened(Vec<SegmentId>),
    /// Segments that could not be opened, and whether the chain had asked for them.
    Unopened(Vec<SegmentId>, bool),
    /// The offer is withdrawn since this block; which time it was.
    Withdrawn(u32, u64),
    /// What governance made of them.
    Parameters(Box<Parameters>),
}

/// A running worker.
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// Works until `stop` turns true, and then on until it has drained. The node must be registered.
    ///
    /// # Errors
    /// [`WorkerError`]: it can't go on, and must not.
    pub async fn run(
        config: WorkerConfig,
        model: Model,
        chain: LightClient,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), WorkerError> {
        let store = WorkerStore::open(&config.store, &config.key)?;
        let (session_tx, mut session_rx) = mpsc::channel(1_024);
        let (own_tx, mut own_rx) = mpsc::channel(1_024);
        let from = store.cursor()?;
        // A first start takes up the chain where it is; a later one misses no block.
        let mut blocks = from.map_or_else(|| chain.subscribe(), |next| chain.subscribe_from(next));
        let mut core = Core {
            me: config.key.public_key(),
            sender: Sender::new(chain.clone(), config.key.clone()),
            sessions: Sessions::new(config.key.clone(), session_tx),
            config,
            model,
            chain,
            store,
            http: reqwest::Client::new(),
            leases: BTreeMap::new(),
            answering: BTreeSet::new(),
            showing: BTreeSet::new(),
            audits: Arc::default(),
            own_tx,
            saved_cursor: from.unwrap_or(0),
            followed: 0,
            offering: Arc::new(Semaphore::new(1)),
            measuring: Arc::new(Semaphore::new(1)),
            parameters: Parameters::mainnet(),
            now_ms: 0,
            unopened: BTreeMap::new(),
            drain: drain::Drain::default(),
            copies: Copies::default(),
            runs: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        if let Some(parameters) = openings::read_parameters(&core.chain).await? {
            core.parameters = parameters;
        }
        core.recover().await?;
        let mut duty = core.config.duty.clone();
        core.on_duty(*duty.borrow_and_update())?;
        let mut offer_check = tokio::time::interval(OFFER_CHECK);
        offer_check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_stopping = false;
        // Far away until the worker is to stop.
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        while !core.is_drained()? {
            tokio::select! {
                block = blocks.recv() => match block {
                    Some(block) => core.on_block(&block)?,
                    None => return Err(WorkerError::Chain { reason: "the stream of blocks ended".into() }),
                },
                Some((session, event)) = session_rx.recv() => core.on_session(session, event)?,
                Some(own) = own_rx.recv() => core.on_own(own)?,
                _ = offer_check.tick() => {
                    core.check_offer();
                    core.close_again();
                    core.check_capability();
                }
                Ok(()) = duty.changed(), if !core.drain.leaves => {
                    let wanted = *duty.borrow_and_update();
                    core.on_duty(wanted)?;
                }
                _ = stop.changed(), if !is_stopping => {
                    is_stopping = true;
                    let patience = core.config.drain;
                    if patience.is_zero() {
                        return Ok(());
                    }
                    deadline.as_mut().reset(tokio::time::Instant::now() + patience);
                    core.on_duty(Duty::Draining)?;
                }
                () = &mut deadline => {
                    warn!("gone before all was judged: evidence that nobody got costs its segment's fee");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

struct Core {
    me: NodeId,
    config: WorkerConfig,
    model: Model,
    chain: LightClient,
    sender: Sender,
    store: WorkerStore,
    http: reqwest::Client,
    leases: BTreeMap<LeaseId, LeaseWork>,
    sessions: Sessions,
    /// Claims that are being answered.
    answering: BTreeSet<StallId>,
    /// Challenges of its jobs.
    showing: BTreeSet<(SegmentId, NodeId)>,
    /// The run that challenges look into.
    audits: Arc<tokio::sync::Mutex<AuditDesk>>,
    own_tx: mpsc::Sender<Own>,
    saved_cursor: u64,
    /// The last block that was handled.
    followed: u64,
    /// Held while the offer is being checked.
    offering: Arc<Semaphore>,
    /// Held while the capability task is being asked for.
    measuring: Arc<Semaphore>,
    /// In force.
    parameters: Parameters,
    /// Time of the last block; milliseconds.
    now_ms: u64,
    /// Segments to open, and when at the latest.
    unopened: BTreeMap<SegmentId, openings::DueOpening>,
    /// The way out.
    drain: drain::Drain,
    /// Of a worker that copies.
    copies: Copies,
    /// Where answers to model calls of runs go.
    runs: BTreeMap<JobId, mpsc::Sender<ModelReply>>,
    /// What the tools of runs are given that begin soon.
    secrets: BTreeMap<JobId, Vec<RunSecret>>,
}

impl Core {
    fn on_block(&mut self, block: &VerifiedBlock) -> Result<(), WorkerError> {
        self.now_ms = block.header.timestamp_ms;
        let mut mine = false;
        for event in &block.events {
            mine |= self.on_event(event)?;
        }
        self.followed = block.header.height;
        let next = block.header.height.saturating_add(1);
        if mine || next >= self.saved_cursor.saturating_add(CURSOR_BLOCKS) {
            self.store.set_cursor(next)?;
            self.saved_cursor = next;
        }
        self.open_segments()
    }

    fn on_granted(&mut self, record: LeaseRecord) -> Result<(), WorkerError> {
        let lease = record.lease;
        // An offer of a former run, with another model: this one could only answer wrongly.
        if !self.serves(record.terms.profile) {
            warn!(%lease, profile = %record.terms.profile, "closing a lease of a model that is not served here now");
            self.close(lease);
            return Ok(());
        }
        // A block that is handled again must not set back what the lease has come to.
        if self.leases.contains_key(&lease) {
            return Ok(());
        }
        if record.terms.kind == TaskKind::Benchmark {
            self.begin_assessment(record);
            return Ok(());
        }
        self.store.put_lease(&record)?;
        info!(%lease, gateway = %record.gateway, "got a lease");
        if self.drain.begun {
            self.close(lease);
        }
        self.serve(record, 0, LeaseUse::default());
        Ok(())
    }

    /// Handles one event of the chain; true when it was about this worker.
    fn on_event(&mut self, event: &Event) -> Result<bool, WorkerError> {
        match event {
            Event::LeaseGranted { lease, worker, gateway, terms, price, beacon, expires_at_ms, .. }
                if *worker == self.me =>
            {
                let record = LeaseRecord {
                    lease: *lease,
                    gateway: *gateway,
                    terms: *terms,
                    price: *price,
                    beacon: *beacon,
                    expires_at_ms: *expires_at_ms,
                    ended: false,
                    sequence_limit: 0,
                };
                self.on_granted(record)?;
            }
            Event::LeaseEnded { lease, worker, end, .. } if *worker == self.me => {
                debug!(%lease, ?end, "lease ended");
                if let Some(work) = self.leases.get_mut(lease) {
                    work.record.ended = true;
                    self.store.put_lease(&work.record)?;
                }
                self.drop_if_done(*lease)?;
            }
            Event::LeaseClosed { lease, worker, .. } if *worker == self.me => self.forget_lease(*lease)?,
            Event::ProfileDeclared { profile, .. } if self.serves(*profile) => {
                self.check_offer();
                self.check_capability();
            }
            Event::CapabilityMeasured { worker, score, tier, .. } if *worker == self.me => {
                info!(score, tier = tier.name(), "this machine was measured");
            }
            Event::AssessmentCalled { worker, .. } if *worker == self.me => self.check_capability(),
            Event::TierLost { worker } if *worker == self.me => {
                warn!("this worker has no tier any more");
                self.check_capability();
            }
            Event::CommitteeDrawn { segment, worker, members, seed, replay, planted, .. } if *worker == self.me => {
                self.send_evidence(*segment, members, seed, *replay, *planted)?;
            }
            Event::SegmentRejected { segment, worker, reason, .. } if *worker == self.me => {
                warn!(%segment, ?reason, "segment rejected");
                self.unopened.remove(segment);
                self.drain.on_over(*segment);
                self.store.remove_segment(*segment)?;
            }
            Event::SegmentApproved(outcome) if outcome.worker == self.me => {
                debug!(segment = %outcome.segment, settled = outcome.settled, "segment approved");
                if outcome.settled {
                    self.unopened.remove(&outcome.segment);
                    self.drain.on_over(outcome.segment);
                    self.store.remove_segment(outcome.segment)?;
                } else {
                    self.drain.on_judged(outcome.segment);
                    if outcome.planted.is_none() {
                        self.open_later(outcome.segment);
                    }
                }
            }
            Event::OpeningAsked { segment, worker, .. } if *worker == self.me => self.open_now(*segment),
            Event::ForcedErrorOpened { segment, worker, kind, caught, .. } if *worker == self.me => {
                info!(%segment, ?kind, caught = caught.len(), "a planted job was opened");
                self.unopened.remove(segment);
                self.drain.on_opened([*segment]);
                for work in self.leases.values_mut() {
                    work.opened(*segment);
                }
            }
            Event::ProposalClosed { outcome: ProposalOutcome::Executed, .. } => self.refresh_parameters(),
            Event::StallCertified { stall, worker, relays, .. } if *worker == self.me => {
                warn!(%stall, "a gateway says that a request got no answer");
                self.on_claim(*stall, relays)?;
            }
            Event::ChallengeOpened { segment, challenger, worker, job, .. } if *worker == self.me => {
                warn!(%segment, job, %challenger, "a validator challenges a job of this worker");
                self.on_challenge(ChallengeRecord { segment: *segment, challenger: *challenger, job: *job })?;
            }
            // Also while its former URL is being read.
            Event::UrlChanged { node, url } if self.has_lease_of(*node) => {
                if self.sessions.keep(*node, url.clone()) {
                    info!(gateway = %node, url, "the gateway moved");
                    self.cancel_jobs(*node);
                }
            }
            Event::SuspicionChanged { worker, profile, suspicion, .. } if *worker == self.me => {
                warn!(%profile, suspicion = suspicion.name(), "what replays say of this worker's results has changed");
            }
            Event::Slashed(slash) if slash.node == self.me => {
                warn!(rule = slash.rule.name(), amount = %slash.amount, "this worker was slashed");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// True for the profile of its model, of hosts if it is one, of boards if it folds, of training if it trains, and of proofs if it
    /// proves.
    fn serves(&self, profile: ProfileId) -> bool {
        profile == self.config.profile
            || (self.config.hosting.is_some() && profile == ModelProfile::host().id())
            || (self.config.boards.is_some() && profile == ModelProfile::folder().id())
            || self.config.training.as_ref().is_some_and(|training| training.ground(profile).is_some())
            || self.config.proving.as_ref().is_some_and(|proving| profile == proving.prover.profile().id())
    }

    /// What does jobs of a lease.
    fn model_for(&self, terms: &TaskTerms) -> (Model, Option<Arc<Server>>) {
        let ground = self.config.training.as_ref().and_then(|training| training.ground(terms.profile));
        let prover = self.config.proving.as_ref().map(|proving| &proving.prover);
        let own = (&self.model, self.config.server.as_ref());
        job::model_for(terms.kind, self.chain.network_key(), own, ground, prover)
    }

    /// Opens what it takes to serve a lease.
    fn serve(&mut self, record: LeaseRecord, next_index: u32, used: LeaseUse) {
        let (lease, gateway) = (record.lease, record.gateway);
        if self.leases.contains_key(&lease) {
            return;
        }
        let work = LeaseWork::new(record, &self.config.vrf, next_index, used);
        if let Some(outbox) = self.sessions.outbox(gateway) {
            // A full or closed outbox means that the session is being lost; it says so itself.
            let _ = outbox.try_send(ready(&work));
        }
        self.leases.insert(lease, work);
        if !self.sessions.has(gateway) {
            tokio::spawn(find_gateway(self.chain.clone(), gateway, self.own_tx.clone()));
        }
    }

    fn on_session(&mut self, session: SessionId, event: SessionEvent) -> Result<(), WorkerError> {
        if !self.sessions.is_current(session) {
            return Ok(());
        }
        let gateway = session.gateway;
        match event {
            SessionEvent::Opened(outbox) => {
                for work in self.leases.values().filter(|work| work.record.gateway == gateway && !work.record.ended) {
                    let _ = outbox.try_send(ready(work));
                }
                self.sessions.set_outbox(gateway, Some(outbox));
                self.propose_again(gateway)
            }
            SessionEvent::Lost => {
                self.sessions.set_outbox(gateway, None);
                self.cancel_jobs(gateway);
                Ok(())
            }
            SessionEvent::Received(message) => self.on_message(gateway, message),
        }
    }

    /// The gateway can't get what they send any more.
    fn cancel_jobs(&self, gateway: NodeId) {
        for work in self.leases.values().filter(|work| work.record.gateway == gateway) {
            for cancel in work.running.values() {
                let _ = cancel.send(true);
            }
        }
    }

    fn on_own(&mut self, own: Own) -> Result<(), WorkerError> {
        match own {
            Own::JobDone(lease, job, outcome) => {
                self.runs.remove(&job);
                if let Some(work) = self.leases.get_mut(&lease) {
                    if let Err(refusal) = &outcome {
                        debug!(%job, %refusal, "job not done");
                    }
                    work.end(job, outcome.ok().map(|finished| *finished));
                }
                self.next_segment(lease)?;
            }
            Own::Committed(terms, Ok(())) => self.on_committed(terms)?,
            Own::Rested(lease) => {
                if let Some(work) = self.leases.get_mut(&lease).filter(|w| w.agreement == Agreement::Resting) {
                    work.agreement = Agreement::Idle;
                }
                self.next_segment(lease)?;
            }
            Own::Committed(terms, Err(reason)) => self.retry_later(terms, &reason),
            Own::Retry(terms, Ok(committed)) => self.retry(terms, committed)?,
            Own::Retry(terms, Err(error)) => self.retry_later(terms, &error.to_string()),
            Own::Found(gateway, url) => {
                // What an event said meanwhile is newer.
                if self.has_lease_of(gateway) && !self.sessions.has(gateway) {
                    self.sessions.keep(gateway, url);
                }
            }
            Own::ClaimOver(stall) => self.on_claim_over(stall)?,
            Own::ChallengeOver(key) => self.on_challenge_over(key)?,
            Own::Measured(record) => self.on_measured(*record)?,
            Own::Planted(lease, done) => {
                if let Err(error) = &done {
                    warn!(%lease, %error, "could not plant what was ordered: the segment will not be paid");
                }
                if let Some(work) = self.leases.get_mut(&lease) {
                    work.plant(done.ok().map(|job| *job));
                }
                self.next_segment(lease)?;
            }
            Own::Withdrawn(begin, height) => self.drain.on_withdrawn(begin, height),
            Own::Opened(segments) => self.drain.on_opened(segments),
            Own::Unopened(segments, is_asked) => self.on_unopened(&segments, is_asked)?,
            Own::Parameters(parameters) => self.parameters = *parameters,
        }
        Ok(())
    }

    /// The chain closed the lease: what it has not committed by now is lost.
    fn forget_lease(&mut self, lease: LeaseId) -> Result<(), WorkerError> {
        self.secrets.remove(&step_request(lease, 0, &Digest::ZERO, &Digest::ZERO).job);
        if let Some(work) = self.leases.remove(&lease) {
            self.end_idle_session(work.record.gateway);
            if let Agreement::Proposed(terms) | Agreement::Committing(terms) = work.agreement {
                warn!(%lease, index = terms.index, "the lease was closed before its last segment");
                self.store.remove_segment(terms.id())?;
            }
            for cancel in work.running.values() {
                let _ = cancel.send(true);
            }
        }
        Ok(self.store.remove_lease(lease)?)
    }

    fn drop_if_done(&mut self, lease: LeaseId) -> Result<(), WorkerError> {
        if self.leases.get(&lease).is_some_and(LeaseWork::is_done)
            && let Some(work) = self.leases.remove(&lease)
        {
            self.end_idle_session(work.record.gateway);
            self.store.remove_lease(lease)?;
        }
        Ok(())
    }

    /// A gateway without a lease here has nothing to say.
    fn end_idle_session(&mut self, gateway: NodeId) {
        if !self.has_lease_of(gateway) {
            self.sessions.end(gateway);
        }
    }

    fn has_lease_of(&self, gateway: NodeId) -> bool {
        self.leases.values().any(|work| work.record.gateway == gateway)
    }
}

/// Reads where a gateway is, however long that takes: the loop does not wait for it.
async fn find_gateway(chain: LightClient, gateway: NodeId, own: mpsc::Sender<Own>) {
    while !own.is_closed() {
        match chain.entry::<Node>(&StateKey::Node(gateway)).await {
            Ok(node) => {
                let Some(NodeRole::Gateway { url }) = node.map(|node| node.role) else {
                    warn!(%gateway, "a lease's gateway is not registered");
                    return;
                };
                // The loop is gone only when the worker stops.
                let _ = own.send(Own::Found(gateway, url)).await;
                return;
            }
            Err(error) => {
                warn!(%gateway, %error, "could not read where a gateway is yet");
                tokio::time::sleep(FIND_AGAIN).await;
            }
        }
    }
}

fn ready(work: &LeaseWork) -> WorkerMessage {
    WorkerMessage::LeaseReady { lease: work.record.lease, vrf_proof: work.vrf_proof, sequence_from: work.next_sequence }
}
