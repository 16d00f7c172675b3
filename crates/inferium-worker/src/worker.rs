//! The worker's loop: chain events, gateways' messages and finished jobs meet here.

use crate::crime::Crime;
use crate::evidence;
use crate::job::{self, FinishedJob, JobContext, JobRefusal};
use crate::lease::{Agreement, LeaseWork};
use crate::session::{self, SessionEvent};
use crate::stall;
use crate::store::{LeaseRecord, SegmentRecord, StoreError, WorkerStore};
use inferium_chain::{LightClient, Sender, VerifiedBlock};
use inferium_engine::Engine;
use inferium_ledger::{
    Lease, LeaseState, Meta, Node, Offer, Profile, Segment, SegmentState, Stall, StateKey, state_key,
};
use inferium_types::{
    Digest, Event, JobId, JobPayload, JobRequest, LeaseId, NodeId, NodeRole, OfferTerms, Ppm, ProfileId, SecretKey,
    SegmentCommitment, SegmentId, SegmentTerms, Signature, StallId, TransactionBody, VrfSecretKey, decode, vrf_input,
    wire::{GatewayMessage, WorkerMessage},
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{debug, info, warn};

/// How often the standing offer is compared with what the chain holds.
const OFFER_CHECK: Duration = Duration::from_secs(10);
/// Blocks between two writes of the cursor when nothing happens.
const CURSOR_BLOCKS: u64 = 64;
/// Sequences that one write to disk reserves.
const SEQUENCE_STEP: u64 = 1_024;
/// Jobs of a segment from which the lease counts as busy, and how long it then collects.
const BUSY_JOBS: u32 = 32;
const BUSY_REST: Duration = Duration::from_secs(1);
/// How often a state entry is asked for again, and after how long.
const READ_ATTEMPTS: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(500);
/// Wait before a segment's transaction is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its key: account, node and signatures.
    pub key: SecretKey,
    /// Seeds its sampling.
    pub vrf: VrfSecretKey,
    /// What its engine serves.
    pub profile: ProfileId,
    /// What it offers.
    pub offer: OfferTerms,
    /// Where it keeps what it must not forget.
    pub store: PathBuf,
    /// On a devnet: how it cheats.
    pub crime: Option<Crime>,
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

fn chain_error(error: impl std::fmt::Display) -> WorkerError {
    WorkerError::Chain { reason: error.to_string() }
}

/// Things that come back from tasks of the worker's own.
enum Own {
    JobDone(LeaseId, JobId, Result<Box<FinishedJob>, JobRefusal>),
    Committed(SegmentTerms, Result<(), String>),
    Retry(SegmentTerms),
    Rested(LeaseId),
}

/// A running worker.
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// Works until `stop` turns true. The node must be registered.
    ///
    /// # Errors
    /// [`WorkerError`]: it can't go on, and must not.
    pub async fn run(
        config: WorkerConfig,
        engine: Arc<dyn Engine>,
        chain: LightClient,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), WorkerError> {
        let store = WorkerStore::open(&config.store)?;
        let (session_tx, mut session_rx) = mpsc::channel(1_024);
        let (own_tx, mut own_rx) = mpsc::channel(1_024);
        let from = store.cursor()?;
        // A first start takes up the chain where it is; a later one misses no block.
        let mut blocks = from.map_or_else(|| chain.subscribe(), |next| chain.subscribe_from(next));
        let mut core = Core {
            me: config.key.public_key(),
            sender: Sender::new(chain.clone(), config.key.clone()),
            config,
            engine,
            chain,
            store,
            http: reqwest::Client::new(),
            leases: BTreeMap::new(),
            sessions: BTreeMap::new(),
            stops: BTreeMap::new(),
            session_tx,
            own_tx,
            saved_cursor: from.unwrap_or(0),
            offering: Arc::new(Semaphore::new(1)),
        };
        core.recover().await?;
        let mut offer_check = tokio::time::interval(OFFER_CHECK);
        offer_check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                block = blocks.recv() => match block {
                    Some(block) => core.on_block(&block).await?,
                    None => return Err(WorkerError::Chain { reason: "the stream of blocks ended".into() }),
                },
                Some((gateway, event)) = session_rx.recv() => core.on_session(gateway, event)?,
                Some(own) = own_rx.recv() => core.on_own(own).await?,
                _ = offer_check.tick() => core.check_offer(),
                _ = stop.changed() => break,
            }
        }
        for stop in core.stops.values() {
            // A session that ended already needs no stopping.
            let _ = stop.send(true);
        }
        Ok(())
    }
}

struct Core {
    me: NodeId,
    config: WorkerConfig,
    engine: Arc<dyn Engine>,
    chain: LightClient,
    sender: Sender,
    store: WorkerStore,
    http: reqwest::Client,
    leases: BTreeMap<LeaseId, LeaseWork>,
    sessions: BTreeMap<NodeId, mpsc::Sender<WorkerMessage>>,
    stops: BTreeMap<NodeId, watch::Sender<bool>>,
    session_tx: mpsc::Sender<(NodeId, SessionEvent)>,
    own_tx: mpsc::Sender<Own>,
    saved_cursor: u64,
    /// Held while the offer is being checked.
    offering: Arc<Semaphore>,
}

impl Core {
    /// Takes up what a former run left: leases, and segments that are signed but not settled.
    async fn recover(&mut self) -> Result<(), WorkerError> {
        for record in self.store.leases()? {
            let on_chain: Option<Lease> = self.read(&StateKey::Lease(record.lease)).await?;
            match on_chain {
                Some(lease) => {
                    let ended = lease.state != LeaseState::Active;
                    self.serve(LeaseRecord { ended, ..record }, lease.segments).await?;
                }
                None => self.store.remove_lease(record.lease)?,
            }
        }
        for record in self.store.segments()? {
            self.recover_segment(record).await?;
        }
        Ok(())
    }

    async fn recover_segment(&mut self, record: SegmentRecord) -> Result<(), WorkerError> {
        let id = record.terms.id();
        let on_chain: Option<Segment> = self.read(&StateKey::Segment(id)).await?;
        if let Some(segment) = on_chain {
            if let SegmentState::Judging { members, seed, replay, .. } = &segment.state {
                let waiting: Vec<NodeId> = members.iter().filter(|m| m.vote.is_none()).map(|m| m.validator).collect();
                self.send_evidence(id, &waiting, seed, *replay).await?;
            }
            return Ok(());
        }
        match self.leases.get_mut(&record.terms.lease) {
            // Signed, and not on the chain: agree on it again before anything else.
            Some(work) if record.terms.index >= work.next_index => {
                work.next_index = record.terms.index.saturating_add(1);
                match record.gateway_signature {
                    Some(signature) => self.commit(record, signature),
                    None => work.agreement = Agreement::Proposed(record.terms),
                }
            }
            _ => self.store.remove_segment(id)?,
        }
        Ok(())
    }

    async fn read<T: borsh::BorshDeserialize>(&self, key: &StateKey) -> Result<Option<T>, WorkerError> {
        read(&self.chain, key).await
    }

    async fn on_block(&mut self, block: &VerifiedBlock) -> Result<(), WorkerError> {
        let mut mine = false;
        for event in &block.events {
            mine |= self.on_event(event).await?;
        }
        let next = block.header.height.saturating_add(1);
        if mine || next >= self.saved_cursor.saturating_add(CURSOR_BLOCKS) {
            self.store.set_cursor(next)?;
            self.saved_cursor = next;
        }
        Ok(())
    }

    /// Handles one event of the chain; true when it was about this worker.
    async fn on_event(&mut self, event: &Event) -> Result<bool, WorkerError> {
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
                self.store.put_lease(&record)?;
                info!(%lease, %gateway, "got a lease");
                self.serve(record, 0).await?;
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
            Event::ProfileDeclared { profile, .. } if *profile == self.config.profile => self.check_offer(),
            Event::CommitteeDrawn { segment, worker, members, seed, replay, .. } if *worker == self.me => {
                self.send_evidence(*segment, members, seed, *replay).await?;
            }
            Event::SegmentRejected { segment, worker, reason, .. } if *worker == self.me => {
                warn!(%segment, ?reason, "segment rejected");
                self.store.remove_segment(*segment)?;
            }
            Event::SegmentApproved(outcome) if outcome.worker == self.me => {
                debug!(segment = %outcome.segment, settled = outcome.settled, "segment approved");
                if outcome.settled {
                    self.store.remove_segment(outcome.segment)?;
                }
            }
            Event::StallCertified { stall, worker, relays, .. } if *worker == self.me => {
                warn!(%stall, "a gateway says that a request got no answer");
                self.answer_stall(*stall, relays).await?;
            }
            Event::Slashed(slash) if slash.node == self.me => {
                warn!(rule = slash.rule.name(), amount = %slash.amount, "this worker was slashed");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opens what it takes to serve a lease.
    async fn serve(&mut self, record: LeaseRecord, next_index: u32) -> Result<(), WorkerError> {
        let lease = record.lease;
        if self.leases.contains_key(&lease) {
            return Ok(());
        }
        let vrf_proof = self.config.vrf.prove(&vrf_input(&record.beacon, lease));
        let (gateway, next_sequence) = (record.gateway, record.sequence_limit);
        let work = LeaseWork {
            record,
            vrf_proof,
            vrf_output: vrf_proof.output(),
            running: BTreeMap::new(),
            finished: Vec::new(),
            next_sequence,
            next_index,
            agreement: Agreement::Idle,
        };
        self.leases.insert(lease, work);
        if let Some(outbox) = self.sessions.get(&gateway) {
            // A full or closed outbox means that the session is being lost; it says so itself.
            let _ = outbox.try_send(WorkerMessage::LeaseReady { lease, vrf_proof, sequence_from: next_sequence });
        } else if !self.stops.contains_key(&gateway) {
            let node: Option<Node> = self.read(&StateKey::Node(gateway)).await?;
            let Some(NodeRole::Gateway { url }) = node.map(|node| node.role) else { return Ok(()) };
            let (stop, stopped) = watch::channel(false);
            self.stops.insert(gateway, stop);
            let task = session::keep(self.config.key.clone(), gateway, url, self.session_tx.clone(), stopped);
            tokio::spawn(task);
        }
        Ok(())
    }

    fn on_session(&mut self, gateway: NodeId, event: SessionEvent) -> Result<(), WorkerError> {
        match event {
            SessionEvent::Opened(outbox) => {
                for work in self.leases.values().filter(|work| work.record.gateway == gateway && !work.record.ended) {
                    let ready = WorkerMessage::LeaseReady {
                        lease: work.record.lease,
                        vrf_proof: work.vrf_proof,
                        sequence_from: work.next_sequence,
                    };
                    let _ = outbox.try_send(ready);
                }
                self.sessions.insert(gateway, outbox);
                self.propose_again(gateway)?;
            }
            SessionEvent::Lost => {
                self.sessions.remove(&gateway);
                for work in self.leases.values_mut().filter(|work| work.record.gateway == gateway) {
                    for cancel in work.running.values() {
                        let _ = cancel.send(true);
                    }
                }
            }
            SessionEvent::Received(message) => self.on_message(gateway, message)?,
        }
        Ok(())
    }

    /// After a break, proposes again what the gateway may not have seen.
    fn propose_again(&self, gateway: NodeId) -> Result<(), WorkerError> {
        for work in self.leases.values().filter(|work| work.record.gateway == gateway) {
            let Agreement::Proposed(terms) = &work.agreement else { continue };
            if let Some(record) = self.store.segment(terms.id())? {
                self.propose(&record);
            }
        }
        Ok(())
    }

    fn on_message(&mut self, gateway: NodeId, message: GatewayMessage) -> Result<(), WorkerError> {
        match message {
            GatewayMessage::Job { request, payload } => self.start_job(gateway, request, payload)?,
            GatewayMessage::Cancel { job } => {
                for work in self.leases.values().filter(|work| work.record.gateway == gateway) {
                    if let Some(cancel) = work.running.get(&job) {
                        let _ = cancel.send(true);
                    }
                }
            }
            GatewayMessage::SegmentSigned { lease, index, signature } => {
                self.on_signed(gateway, lease, index, signature)?;
            }
            GatewayMessage::SegmentRefused { lease, index, undelivered, reason } => {
                warn!(%lease, index, reason, "the gateway refused a segment");
                self.on_refused(gateway, lease, index, &undelivered)?;
            }
            GatewayMessage::Hello { .. } | GatewayMessage::Welcome => {}
        }
        Ok(())
    }

    fn start_job(&mut self, gateway: NodeId, request: JobRequest, payload: JobPayload) -> Result<(), WorkerError> {
        let Some(outbox) = self.sessions.get(&gateway).cloned() else { return Ok(()) };
        let job = request.job;
        if self.config.crime == Some(Crime::Silent) {
            debug!(%job, "keeping silent");
            return Ok(());
        }
        let work = self.leases.get_mut(&request.lease).filter(|work| work.takes(gateway, &request));
        let Some(work) = work else {
            // A full or closed outbox means that the session is being lost.
            let _ = outbox.try_send(WorkerMessage::Refused { job, reason: "not a job that the lease takes".into() });
            return Ok(());
        };
        work.next_sequence = request.sequence.saturating_add(1);
        if request.sequence >= work.record.sequence_limit {
            // SPEC C8: on disk before anything about the job is signed; in steps, since each costs a sync.
            work.record.sequence_limit = request.sequence.saturating_add(SEQUENCE_STEP);
            self.store.put_lease(&work.record)?;
        }
        let (cancel, cancelled) = watch::channel(false);
        work.running.insert(job, cancel);
        let context = JobContext {
            engine: Arc::clone(&self.engine),
            vrf_output: work.vrf_output,
            salt: output_salt(&work.vrf_output, &request),
            crime: self.config.crime,
        };
        let (own, lease) = (self.own_tx.clone(), request.lease);
        tokio::spawn(async move {
            let outcome = job::run(context, request, payload, outbox.clone(), cancelled).await;
            if let Err(refusal) = &outcome {
                let _ = outbox.send(WorkerMessage::Refused { job, reason: refusal.to_string() }).await;
            }
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::JobDone(lease, job, outcome.map(Box::new))).await;
        });
        Ok(())
    }

    async fn on_own(&mut self, own: Own) -> Result<(), WorkerError> {
        match own {
            Own::JobDone(lease, job, outcome) => {
                if let Some(work) = self.leases.get_mut(&lease) {
                    work.running.remove(&job);
                    match outcome {
                        Ok(finished) => work.finished.push(*finished),
                        Err(refusal) => debug!(%job, %refusal, "job not done"),
                    }
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
            Own::Committed(terms, Err(reason)) => {
                debug!(lease = %terms.lease, index = terms.index, reason, "segment not committed yet");
                let own = self.own_tx.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(COMMIT_RETRY).await;
                    let _ = own.send(Own::Retry(terms)).await;
                });
            }
            Own::Retry(terms) => self.retry(terms).await?,
        }
        Ok(())
    }

    /// The next segment may follow at once, unless the lease is so busy that waiting a little
    /// lets one segment hold much more.
    fn on_committed(&mut self, terms: SegmentTerms) -> Result<(), WorkerError> {
        let lease = terms.lease;
        let is_busy = terms.totals.jobs >= BUSY_JOBS;
        if let Some(work) = self.leases.get_mut(&lease) {
            work.agreement = if is_busy && !work.record.ended { Agreement::Resting } else { Agreement::Idle };
        }
        if is_busy {
            let own = self.own_tx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(BUSY_REST).await;
                let _ = own.send(Own::Rested(lease)).await;
            });
        }
        self.next_segment(lease)
    }

    /// Proposes the lease's next segment when there is something to commit.
    fn next_segment(&mut self, lease: LeaseId) -> Result<(), WorkerError> {
        let Some(work) = self.leases.get_mut(&lease) else { return Ok(()) };
        if let Some(record) = work.make_segment(&self.config.key) {
            // SPEC C8: on disk before the signature leaves.
            self.store.put_segment(&record)?;
            self.propose(&record);
        }
        self.drop_if_done(lease)
    }

    fn propose(&self, record: &SegmentRecord) {
        let Some(outbox) = self.sessions.get(&record.gateway) else { return };
        let message = WorkerMessage::Segment {
            terms: record.terms,
            jobs: record.leaves.iter().map(|leaf| leaf.request.job).collect(),
            signature: record.worker_signature,
        };
        let outbox = outbox.clone();
        tokio::spawn(async move {
            // A lost session proposes again when it is back.
            let _ = outbox.send(message).await;
        });
    }

    fn on_signed(
        &mut self,
        gateway: NodeId,
        lease: LeaseId,
        index: u32,
        signature: Signature,
    ) -> Result<(), WorkerError> {
        let Some(mut record) = self.store.segment(SegmentId::of_lease(lease, index))? else { return Ok(()) };
        let is_awaited =
            self.leases.get(&lease).is_some_and(|work| work.agreement == Agreement::Proposed(record.terms));
        if !is_awaited || record.gateway != gateway || !record.terms.signed_by_gateway(&gateway, &signature) {
            return Ok(());
        }
        record.gateway_signature = Some(signature);
        self.store.put_segment(&record)?;
        self.commit(record, signature);
        Ok(())
    }

    fn commit(&mut self, record: SegmentRecord, gateway_signature: Signature) {
        let terms = record.terms;
        if let Some(work) = self.leases.get_mut(&terms.lease) {
            work.agreement = Agreement::Committing(terms);
        }
        let commitment = SegmentCommitment { terms, worker_signature: record.worker_signature, gateway_signature };
        let (sender, own) = (self.sender.clone(), self.own_tx.clone());
        tokio::spawn(async move {
            let outcome = sender.send(TransactionBody::CommitSegment { commitment }).await;
            let _ = own.send(Own::Committed(terms, outcome.map(drop).map_err(|e| e.to_string()))).await;
        });
    }

    /// Tries a segment again, unless the chain has it or its lease is gone.
    async fn retry(&mut self, terms: SegmentTerms) -> Result<(), WorkerError> {
        let on_chain: Option<Lease> = self.read(&StateKey::Lease(terms.lease)).await?;
        let record = self.store.segment(terms.id())?;
        match (on_chain, record) {
            (Some(lease), Some(record)) if lease.segments == terms.index => {
                if let Some(signature) = record.gateway_signature {
                    self.commit(record, signature);
                }
            }
            (Some(_), _) => {
                if let Some(work) = self.leases.get_mut(&terms.lease) {
                    work.agreement = Agreement::Idle;
                }
                self.next_segment(terms.lease)?;
            }
            (None, _) => self.forget_lease(terms.lease)?,
        }
        Ok(())
    }

    /// Takes out what the gateway did not get and proposes the rest; when nothing can be agreed
    /// on, the work is lost and the lease over (SPEC J3: never more than one segment).
    fn on_refused(
        &mut self,
        gateway: NodeId,
        lease: LeaseId,
        index: u32,
        undelivered: &[JobId],
    ) -> Result<(), WorkerError> {
        let Some(work) = self.leases.get_mut(&lease).filter(|work| work.record.gateway == gateway) else {
            return Ok(());
        };
        if !matches!(&work.agreement, Agreement::Proposed(terms) if terms.index == index) {
            return Ok(());
        }
        let id = SegmentId::of_lease(lease, index);
        let record = self.store.segment(id)?;
        self.store.remove_segment(id)?;
        work.agreement = Agreement::Idle;
        work.next_index = index;
        if undelivered.is_empty() {
            work.finished.clear();
            work.record.ended = true;
            let sender = self.sender.clone();
            tokio::spawn(async move {
                if let Err(error) = sender.send(TransactionBody::CloseLease { lease }).await {
                    debug!(%lease, %error, "the lease was not closed");
                }
            });
        } else if let Some(record) = record {
            let jobs = record.leaves.into_iter().zip(record.jobs);
            let kept = jobs.filter(|(leaf, _)| !undelivered.contains(&leaf.request.job));
            work.finished.extend(kept.map(|(leaf, evidence)| FinishedJob { leaf, evidence }));
        }
        self.next_segment(lease)
    }

    /// The chain closed the lease: what it has not committed by now is lost.
    fn forget_lease(&mut self, lease: LeaseId) -> Result<(), WorkerError> {
        if let Some(work) = self.leases.remove(&lease) {
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
        if self.leases.get(&lease).is_some_and(LeaseWork::is_done) {
            self.leases.remove(&lease);
            self.store.remove_lease(lease)?;
        }
        Ok(())
    }

    async fn send_evidence(
        &self,
        segment: SegmentId,
        members: &[NodeId],
        seed: &Digest,
        replay: Ppm,
    ) -> Result<(), WorkerError> {
        let Some(record) = self.store.segment(segment)? else { return Ok(()) };
        let vrf_proof = match self.leases.get(&record.terms.lease) {
            Some(work) => work.vrf_proof,
            None => {
                let lease: Option<Lease> = self.read(&StateKey::Lease(record.terms.lease)).await?;
                let Some(lease) = lease else { return Ok(()) };
                self.config.vrf.prove(&vrf_input(&lease.beacon, record.terms.lease))
            }
        };
        let bytes = evidence::to_bytes(&evidence::assemble(&record, vrf_proof, seed, replay));
        for member in members {
            let node: Option<Node> = self.read(&StateKey::Node(*member)).await?;
            let Some(NodeRole::Validator { url }) = node.map(|node| node.role) else { continue };
            tokio::spawn(evidence::deliver(self.http.clone(), *member, url, bytes.clone()));
        }
        Ok(())
    }

    async fn answer_stall(&self, id: StallId, relays: &[NodeId]) -> Result<(), WorkerError> {
        if self.config.crime == Some(Crime::Silent) {
            return Ok(());
        }
        let claim: Option<Stall> = self.read(&StateKey::Stall(id)).await?;
        let Some(claim) = claim else { return Ok(()) };
        let lease: Option<Lease> = self.read(&StateKey::Lease(claim.lease)).await?;
        let Some(lease) = lease else { return Ok(()) };
        let vrf_output = self.config.vrf.prove(&vrf_input(&lease.beacon, claim.lease)).output();
        let answer = stall::Answerer {
            id,
            claim,
            relays: relays.to_vec(),
            key: self.config.key.clone(),
            chain: self.chain.clone(),
            sender: self.sender.clone(),
            http: self.http.clone(),
            context: JobContext { engine: Arc::clone(&self.engine), vrf_output, salt: rand::random(), crime: None },
        };
        tokio::spawn(answer.run());
        Ok(())
    }

    /// Makes the chain's offer ours, unless one such check is under way.
    fn check_offer(&self) {
        let Ok(permit) = Arc::clone(&self.offering).try_acquire_owned() else { return };
        let (chain, sender, me) = (self.chain.clone(), self.sender.clone(), self.me);
        let (profile, terms) = (self.config.profile, self.config.offer);
        tokio::spawn(async move {
            if let Err(error) = post_offer(&chain, &sender, me, profile, terms).await {
                debug!(%error, "the offer could not be checked");
            }
            drop(permit);
        });
    }
}

/// The salt of a result: secret like the VRF output behind it, and the same whenever the request is
/// done again, so that an honest worker has one result for a request.
fn output_salt(vrf_output: &Digest, request: &JobRequest) -> [u8; 32] {
    *Digest::of("inferium/output-salt/1", &[vrf_output.as_bytes(), request.digest().as_bytes()]).as_bytes()
}

/// A proven state entry. Validators that don't answer for a moment are asked again.
async fn read<T: borsh::BorshDeserialize>(chain: &LightClient, key: &StateKey) -> Result<Option<T>, WorkerError> {
    let mut attempt = 0;
    let bytes = loop {
        match chain.get(&state_key(key)).await {
            Ok(bytes) => break bytes,
            Err(error) if attempt < READ_ATTEMPTS => debug!(%error, "state not read yet"),
            Err(error) => return Err(chain_error(error)),
        }
        attempt += 1;
        tokio::time::sleep(READ_PAUSE).await;
    };
    bytes.map(|bytes| decode(&bytes).map_err(chain_error)).transpose()
}

/// Posts the offer when the chain knows the profile, the node may work, and no such offer stands.
async fn post_offer(
    chain: &LightClient,
    sender: &Sender,
    me: NodeId,
    profile: ProfileId,
    terms: OfferTerms,
) -> Result<(), WorkerError> {
    let known: Option<Profile> = read(chain, &StateKey::Profile(profile)).await?;
    let node: Option<Node> = read(chain, &StateKey::Node(me)).await?;
    let meta: Option<Meta> = read(chain, &StateKey::Meta).await?;
    let standing: Option<Offer> = read(chain, &StateKey::Offer((profile, me))).await?;
    let is_standing = standing.is_some_and(|offer| offer.terms == terms);
    let may_work = node.zip(meta).is_some_and(|(node, meta)| node.is_active(meta.epoch));
    if known.is_none() || is_standing || !may_work {
        return Ok(());
    }
    let sent = sender.send(TransactionBody::SetOffer { profile, terms }).await.map_err(chain_error)?;
    match sent.failure {
        None => info!(%profile, slots = terms.slots, "offer posted"),
        Some(failure) => warn!(%profile, failure, "the offer was refused"),
    }
    Ok(())
}
