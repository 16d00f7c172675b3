//! The gateway's half of the chain: tasks that it keeps open, and what became of its segments.

use crate::demand::Demand;
use crate::gateway::{DemandTerms, GatewayError, ServedModel, ServedProofs, ServedTraining};
use crate::hub::{HiredRun, Hub, LeaseUse, Retired, calls_max};
use crate::stall::Stalls;
use crate::store::{ApprovalRecord, HiredRecord, LeaseRecord, OrdersRecord, SegmentStatus, SlashState, StoreError};
use inferium_chain::{LightClient, Sender, Sent as SentTransaction, VerifiedBlock};
use inferium_ledger::{Account, Agent, Lease, LeaseState, Meta, Node, StateKey, Task};
use inferium_types::{
    AgentSpend, AgentTerms, Amount, Event, LeaseId, ModelProfile, NodeId, NodeRole, Price, ProfileId, ProposalOutcome,
    RunTerms, SegmentId, SlashedNode, SpendOrder, TaskId, TaskKind, TaskTerms, TransactionBody, VrfPublicKey,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

/// Wait before a refused task is opened again.
const REOPEN_WAIT: Duration = Duration::from_secs(1);
/// Blocks between two writes of the cursor when nothing happens.
const CURSOR_BLOCKS: u64 = 64;

/// What is asked for of the pool: leases of a kind, for a profile.
type Wanted = (ProfileId, TaskKind);
/// A task that was sent, and the block that holds it.
type Sent = (Wanted, Option<u64>);

/// Follows the chain for the hub.
pub(crate) struct ChainSide {
    hub: Arc<Hub>,
    chain: LightClient,
    sender: Sender,
    /// What is asked for, and what is in the pool of it.
    demands: BTreeMap<Wanted, (TaskTerms, Demand)>,
    /// Leases that this gateway is closing.
    closing: BTreeSet<LeaseId>,
    /// Runs whose orders are being brought to the ledger.
    spending: Arc<Mutex<BTreeSet<LeaseId>>>,
    /// What leases of models cost at most.
    prices: Arc<BTreeMap<ProfileId, Price>>,
    closed: (mpsc::Sender<LeaseId>, mpsc::Receiver<LeaseId>),
    stalls: Arc<Stalls>,
    me: NodeId,
    /// Blocks that hold the tasks that were sent; none for one that no block will hold.
    sent: (mpsc::Sender<Sent>, mpsc::Receiver<Sent>),
    saved_cursor: u64,
}

impl ChainSide {
    pub(crate) fn new(
        hub: Arc<Hub>,
        chain: LightClient,
        sender: Sender,
        models: &[ServedModel],
        (boards, training, proofs): (Option<DemandTerms>, &[ServedTraining], &[ServedProofs]),
        stalls: Arc<Stalls>,
    ) -> Self {
        let me = hub.node();
        Self {
            hub,
            chain,
            sender,
            demands: models
                .iter()
                .flat_map(|served| {
                    served.kinds().iter().map(|kind| {
                        let terms = served.demand.task(&served.profile, *kind);
                        ((served.profile.id(), *kind), (terms, Demand::new(None)))
                    })
                })
                .chain(boards.map(|demand| {
                    let (profile, kind) = (ModelProfile::folder(), TaskKind::Leaderboard);
                    ((profile.id(), kind), (demand.task(&profile, kind), Demand::new(None)))
                }))
                .chain(training.iter().map(|ServedTraining { ground, demand }| {
                    let (profile, kind) = (ground.profile(), TaskKind::Training);
                    ((profile.id(), kind), (demand.task(&profile, kind), Demand::new(None)))
                }))
                .chain(proofs.iter().map(|ServedProofs { prover, demand, .. }| {
                    let (profile, kind) = (prover.profile(), TaskKind::Validation);
                    ((profile.id(), kind), (demand.task(&profile, kind), Demand::new(None)))
                }))
                .collect(),
            closing: BTreeSet::new(),
            spending: Arc::default(),
            prices: Arc::new(models.iter().map(|served| (served.profile.id(), served.demand.price_max)).collect()),
            closed: mpsc::channel(4),
            stalls,
            me,
            sent: mpsc::channel(4),
            saved_cursor: 0,
        }
    }

    /// Runs until `stop` turns true.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), GatewayError> {
        let from = self.hub.disk(|hub| hub.store.cursor()).await?;
        let mut blocks = from.map_or_else(|| self.chain.subscribe(), |next| self.chain.subscribe_from(next));
        self.saved_cursor = from.unwrap_or(0);
        // What was followed before does not come again.
        let head = self.chain.height();
        for (_, demand) in self.demands.values_mut() {
            *demand = Demand::new(from.filter(|next| *next <= head).map(|_| head));
        }
        self.read_forced_share().await?;
        self.recover().await?;
        self.spend_what_is_left().await?;
        loop {
            self.keep_demand();
            tokio::select! {
                block = blocks.recv() => match block {
                    Some(block) => self.on_block(&block).await?,
                    None => return Err(GatewayError::Chain { reason: "the stream of blocks ended".into() }),
                },
                Some((wanted, height)) = self.sent.1.recv() => {
                    if let Some((_, demand)) = self.demands.get_mut(&wanted) {
                        demand.sent(height);
                    }
                }
                Some(lease) = self.closed.1.recv() => drop(self.closing.remove(&lease)),
                () = self.hub.backlog_changed() => {}
                _ = stop.changed() => return Ok(()),
            }
        }
    }

    /// Finds out what became of leases and tasks while the gateway was away.
    async fn recover(&mut self) -> Result<(), GatewayError> {
        let mut known = Vec::new();
        for record in self.hub.disk(|hub| hub.store.leases()).await? {
            // One that is gone was closed in a block that comes now: what became of its segments
            // stands in blocks before it.
            let on_chain: Option<Lease> = self.chain.entry(&StateKey::Lease(record.lease)).await?;
            if let Some(lease) = on_chain {
                let ended = lease.state != LeaseState::Active;
                known.push((record, LeaseUse { jobs: lease.jobs, tokens: lease.tokens, ended }));
            }
        }
        self.add_leases(known).await?;
        for task in self.hub.disk(|hub| hub.store.tasks()).await? {
            let on_chain: Option<Task> = self.chain.entry(&StateKey::Task(task)).await?;
            if let Some(on_chain) = on_chain {
                self.task_opened(task, &on_chain.terms);
            } else {
                self.hub.disk(move |hub| hub.store.remove_task(task)).await?;
            }
        }
        Ok(())
    }

    /// Keeps one task of each profile waiting in the pool at any time, so that a worker that joins, or
    /// has slots free again, is leased in the very block that says so; one for batches only while lines wait.
    fn keep_demand(&mut self) {
        self.share_slots();
        for (wanted, (terms, demand)) in &mut self.demands {
            if !is_wanted(&self.hub, *wanted, terms) || !demand.take() {
                continue;
            }
            let (profile, terms) = (*wanted, *terms);
            let (chain, sender, done) = (self.chain.clone(), self.sender.clone(), self.sent.0.clone());
            tokio::spawn(async move {
                let height = open_task(&chain, &sender, terms).await;
                if height.is_none() {
                    tokio::time::sleep(REOPEN_WAIT).await;
                }
                // The follower is gone only when the gateway stops.
                let _ = done.send((profile, height)).await;
            });
        }
    }

    /// Gives up leases whose slots are wanted for the other kind, and closes those that are given up and idle. Which task gets the slots
    /// is the pool's choice, and it prefers those for requests that someone waits for: while a batch has no lease at all and nobody
    /// waits, none of these is opened (see [`is_wanted`]).
    fn share_slots(&mut self) {
        let profiles: BTreeSet<ProfileId> = self.demands.keys().map(|(profile, _)| *profile).collect();
        for profile in profiles {
            let has_task = |kind| self.demands.get(&(profile, kind)).is_some_and(|(_, demand)| demand.waits());
            if self.hub.is_pressed(profile) {
                // One lease at a time: what its slots become is seen before another one is given up.
                if has_task(TaskKind::Inference) && !self.hub.is_retiring(profile, TaskKind::Batch) {
                    self.hub.retire(profile, TaskKind::Batch, Retired::Busy, 0);
                }
            } else if !self.hub.has_backlog(profile) {
                self.hub.retire(profile, TaskKind::Batch, Retired::Unused, 0);
                self.hub.retire(profile, TaskKind::Leaderboard, Retired::Unused, 0);
                self.hub.retire(profile, TaskKind::Training, Retired::Unused, 0);
                self.hub.retire(profile, TaskKind::Validation, Retired::Unused, 0);
            } else if has_task(TaskKind::Batch)
                && is_starving(&self.hub, profile)
                && !self.hub.is_retiring(profile, TaskKind::Inference)
            {
                self.hub.retire(profile, TaskKind::Inference, Retired::Idle, 1);
            }
        }
        self.hub.retire_stray_runs();
        for lease in self.hub.retired() {
            if self.closing.insert(lease) {
                self.close(lease);
            }
        }
    }

    fn close(&self, lease: LeaseId) {
        info!(%lease, "closing an idle lease");
        let (hub, sender, done) = (Arc::clone(&self.hub), self.sender.clone(), self.closed.0.clone());
        tokio::spawn(async move {
            let failure = match sender.send(TransactionBody::CloseLease { lease }).await {
                Ok(sent) => sent.failure,
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = failure {
                warn!(%lease, reason, "could not close a lease");
                tokio::time::sleep(REOPEN_WAIT).await;
                hub.reinstate(lease);
                // The follower is gone only when the gateway stops. Of one that was closed its block tells.
                let _ = done.send(lease).await;
            }
        });
    }

    /// One of a profile that is not served any more is left to expire.
    fn task_opened(&mut self, task: TaskId, terms: &TaskTerms) {
        if let Some((_, demand)) = self.demands.get_mut(&(terms.profile, terms.kind)) {
            demand.opened(task);
        }
    }

    async fn on_block(&mut self, block: &VerifiedBlock) -> Result<(), GatewayError> {
        let height = block.header.height;
        let mut mine = false;
        for (position, event) in block.events.iter().enumerate() {
            mine |= self.on_event(block, position, event).await?;
        }
        for payment in self.hub.payments_of(&block.transactions) {
            let failure = block.events.iter().find_map(|event| match event {
                Event::TransactionFailed { transaction, reason } if *transaction == payment => Some(reason.clone()),
                _ => None,
            });
            info!(%payment, failure, "a client's payment is final");
            self.hub.settle_payment(payment, failure).await?;
            mine = true;
        }
        self.hub.payments_followed(height);
        self.hub.metrics.chain_height.set(i64::try_from(height).unwrap_or(i64::MAX));
        let next = height.saturating_add(1);
        if mine || next >= self.saved_cursor.saturating_add(CURSOR_BLOCKS) {
            self.hub.disk(move |hub| hub.store.set_cursor(next)).await?;
            self.saved_cursor = next;
        }
        for (_, demand) in self.demands.values_mut() {
            demand.followed(height);
        }
        Ok(())
    }

    /// True when the event was this gateway's business.
    async fn on_event(&mut self, block: &VerifiedBlock, position: usize, event: &Event) -> Result<bool, GatewayError> {
        match event {
            Event::TaskOpened { task, requester, .. } if *requester == self.me => {
                let task = *task;
                self.hub.disk(move |hub| hub.store.put_task(task)).await?;
                // One that is gone was leased or has expired: an event that comes says so.
                let on_chain: Option<Task> = self.chain.entry(&StateKey::Task(task)).await?;
                if let Some(on_chain) = on_chain {
                    self.task_opened(task, &on_chain.terms);
                }
            }
            Event::TaskExpired { task, requester } if *requester == self.me => self.task_gone(*task).await?,
            Event::LeaseGranted { lease, task, worker, gateway, terms, price, beacon, expires_at_ms }
                if *gateway == self.me =>
            {
                self.task_gone(*task).await?;
                let record = LeaseRecord {
                    lease: *lease,
                    worker: *worker,
                    terms: *terms,
                    price: *price,
                    beacon: *beacon,
                    expires_at_ms: *expires_at_ms,
                };
                let kept = record.clone();
                self.hub.disk(move |hub| hub.store.put_lease(&kept)).await?;
                info!(%lease, %worker, "lease granted");
                self.add_leases(vec![(record, LeaseUse::default())]).await?;
            }
            Event::LeaseEnded { lease, gateway, end, .. } if *gateway == self.me => {
                info!(%lease, ?end, "lease ended");
                self.hub.end_lease(*lease);
                self.closing.remove(lease);
            }
            Event::LeaseClosed { lease, gateway, refund, .. } if *gateway == self.me => {
                info!(%lease, %refund, "lease closed");
                let lease = *lease;
                self.hub.disk(move |hub| hub.close_lease(lease)).await?;
            }
            // SPEC X3: what draws the committee of a run's announcement draws the run's order.
            Event::CommitteeDrawn { segment, profile, seed, .. }
                if self.demands.contains_key(&(*profile, TaskKind::Training)) =>
            {
                let (segment, seed) = (*segment, *seed);
                return Ok(self.hub.disk(move |hub| hub.store.note_draw(segment, seed)).await?);
            }
            Event::AgentRetired { agent, .. } | Event::AgentClosed { agent, .. } => {
                let agent = *agent;
                return Ok(self.hub.disk(move |hub| hub.store.remove_agent(agent)).await?);
            }
            Event::SegmentApproved(outcome) if outcome.gateway == self.me => {
                if let Some(proof) = block.event_proof(position) {
                    let approval = SegmentStatus::Approved(ApprovalRecord::new(outcome.clone(), proof));
                    self.decide(outcome.segment, approval).await?;
                } else {
                    error!(segment = %outcome.segment, height = block.header.height, position,
                        "the block proves no approval of the segment: its jobs have no receipts");
                }
                if outcome.settled {
                    self.spend(outcome.lease).await?;
                } else {
                    self.hub.metrics.segments_final.inc();
                }
            }
            Event::SegmentRejected { segment, gateway, worker, reason, .. } if *gateway == self.me => {
                warn!(%segment, %worker, ?reason, "a segment was rejected; its jobs cost nothing");
                let rejected = *segment;
                self.hub.disk(move |hub| forget_orders(hub, rejected)).await?;
                self.decide(*segment, SegmentStatus::Rejected(*reason)).await?;
                self.hub.metrics.segments_rejected.inc();
            }
            Event::ProposalClosed { outcome: ProposalOutcome::Executed, .. } => self.read_forced_share().await?,
            Event::StallReported { stall, relays, .. } => return Ok(self.stalls.relay(*stall, relays)),
            Event::StallAnswered { stall, gateway } if *gateway == self.me => self.hub.resume(*stall),
            Event::Slashed(slash) => self.on_slashed(block.header.height, slash.clone()).await?,
            Event::SlashReleased { slash, .. } => self.end_slash(*slash, SlashState::Burned).await?,
            Event::SlashOverturned { slash, .. } => self.end_slash(*slash, SlashState::Overturned).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// SPEC A3: a run's step is settled, so what it ordered can be spent. The ledger decides whether the policy allows it.
    async fn spend(&self, run: LeaseId) -> Result<(), GatewayError> {
        let Some(record) = self.hub.disk(move |hub| hub.store.orders(run)).await? else { return Ok(()) };
        // One at a time: two of one run would each take what the other brought for what it could not bring.
        let Some(one) = Spending::begin(&self.spending, run) else { return Ok(()) };
        let (hub, sender, chain) = (Arc::clone(&self.hub), self.sender.clone(), self.chain.clone());
        let prices = Arc::clone(&self.prices);
        tokio::spawn(async move {
            let _one = one;
            let mut hired_max = record.hired_max;
            for (place, spend) in record.spends() {
                let order = spend.order;
                let refused = match &order {
                    SpendOrder::Hire { run } => too_much(&chain, run, &prices, &mut hired_max).await,
                    SpendOrder::Pay { .. } => None,
                };
                if let Some(reason) = refused {
                    warn!(%run, place, reason, "an agent's order is not brought to the ledger");
                    let refused = HiredRecord::Refused { reason };
                    let kept = hub.disk(move |hub| hub.store.put_hired((run, place), &refused)).await;
                    hub.must(kept);
                    continue;
                }
                let sent = spent(&sender, spend).await;
                match &sent.failure {
                    None => info!(%run, place, "an agent's order was spent"),
                    Some(reason) => warn!(%run, place, reason, "an agent's order was refused"),
                }
                if let SpendOrder::Hire { run: terms } = order {
                    let hired = hire(&hub, (run, place), &terms, (&record, &sent)).await;
                    hub.must(hired);
                }
            }
            let removed = hub.disk(move |hub| hub.store.remove_orders(run)).await;
            hub.must(removed);
        });
        Ok(())
    }

    /// Orders of runs that were settled while this gateway was away, or before all of them were brought to the ledger. One that was
    /// brought is refused the second time.
    async fn spend_what_is_left(&self) -> Result<(), GatewayError> {
        let settled = self.hub.disk(|hub| {
            let mut settled = Vec::new();
            for (run, job) in hub.store.ordering()? {
                let Some((segment, _)) = hub.store.job(job)? else { continue };
                let status = hub.store.segment(segment)?.map(|record| record.status);
                if matches!(status, Some(SegmentStatus::Approved(approval)) if approval.outcome.settled) {
                    settled.push(run);
                }
            }
            Ok(settled)
        });
        for run in settled.await? {
            self.spend(run).await?;
        }
        Ok(())
    }

    async fn on_slashed(&self, height: u64, slash: SlashedNode) -> Result<(), GatewayError> {
        warn!(node = %slash.node, role = slash.role, rule = slash.rule.name(), amount = %slash.amount,
            disqualified = slash.disqualified, "slashed");
        Ok(self.hub.disk(move |hub| hub.store.put_slash(&slash, height)).await?)
    }

    async fn end_slash(&self, number: u64, state: SlashState) -> Result<(), GatewayError> {
        Ok(self.hub.disk(move |hub| hub.store.end_slash(number, state)).await?)
    }

    async fn decide(&self, segment: SegmentId, status: SegmentStatus) -> Result<(), GatewayError> {
        Ok(self.hub.disk(move |hub| hub.decide_segment(segment, status)).await?)
    }

    async fn task_gone(&mut self, task: TaskId) -> Result<(), GatewayError> {
        for (_, demand) in self.demands.values_mut() {
            demand.gone(task);
        }
        Ok(self.hub.disk(move |hub| hub.store.remove_task(task)).await?)
    }

    /// How much is planted, as governance has it now (SPEC V5).
    async fn read_forced_share(&self) -> Result<(), GatewayError> {
        if let Some(meta) = self.chain.entry::<Meta>(&StateKey::Meta).await? {
            self.hub.forced_share.store(meta.parameters.forced_share.get(), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn add_leases(&self, records: Vec<(LeaseRecord, LeaseUse)>) -> Result<(), GatewayError> {
        let mut leases = Vec::with_capacity(records.len());
        for (record, used) in records {
            let node: Option<Node> = self.chain.entry(&StateKey::Node(record.worker)).await?;
            match node.and_then(worker_key) {
                Some(vrf) => leases.push((record, vrf, used)),
                None => warn!(worker = %record.worker, "a lease's worker is not registered"),
            }
        }
        self.hub.add_leases(leases);
        Ok(())
    }
}

/// True while lines of batches could be done and no lease is there for them.
fn is_starving(hub: &Hub, profile: ProfileId) -> bool {
    hub.has_backlog(profile) && !hub.is_pressed(profile) && hub.active_leases(profile, TaskKind::Batch).0 == 0
}

/// Whether a task should wait in the pool.
fn is_wanted(hub: &Hub, (profile, kind): Wanted, terms: &TaskTerms) -> bool {
    match kind {
        // SPEC V12: one for each request, and none beside it, since what is not used is spent.
        TaskKind::Validation if terms.jobs_max == 1 => hub.lines(profile) > hub.active_leases(profile, kind).0,
        // One more only when those that are there are used up.
        TaskKind::Batch => {
            hub.has_backlog(profile) && !hub.is_pressed(profile) && hub.active_leases(profile, kind).1 == 0
        }
        // Whoever waits for an answer comes first: a batch gets nothing while they have no lease, or too few.
        // Nobody keeps a lease of boards, of training or of proofs for nothing.
        TaskKind::Leaderboard | TaskKind::Training | TaskKind::Validation => {
            hub.has_backlog(profile) && hub.active_leases(profile, kind).1 == 0
        }
        _ => !is_starving(hub, profile) || hub.active_leases(profile, kind).0 == 0,
    }
}

/// A batch's task no larger than the gateway can pay for with half of what it has; `None` where that is less than a context.
fn affordable(terms: TaskTerms, balance: Amount) -> Option<TaskTerms> {
    let dearer = terms.price_max.prompt_token.max(terms.price_max.completion_token);
    let tokens = (balance.nano() / 2).checked_div(dearer.nano()).unwrap_or(u64::MAX);
    let tokens_max = terms.tokens_max.min(tokens);
    (tokens_max >= u64::from(terms.context_tokens)).then_some(TaskTerms { tokens_max, ..terms })
}

/// Brings an order to the ledger, however long that takes.
async fn spent(sender: &Sender, spend: AgentSpend) -> SentTransaction {
    let run = spend.run;
    let spend = Box::new(spend);
    loop {
        match sender.send(TransactionBody::SpendAsAgent { spend: spend.clone() }).await {
            Ok(sent) => return sent,
            Err(error) => debug!(%run, %error, "an agent's order could not be sent yet"),
        }
        tokio::time::sleep(REOPEN_WAIT).await;
    }
}

/// A run whose orders are being brought to the ledger.
struct Spending {
    all: Arc<Mutex<BTreeSet<LeaseId>>>,
    run: LeaseId,
}

impl Spending {
    /// `None` while another one of the run goes on.
    fn begin(all: &Arc<Mutex<BTreeSet<LeaseId>>>, run: LeaseId) -> Option<Self> {
        let is_new = all.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        is_new.then(|| Self { all: Arc::clone(all), run })
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
    }
}

/// What a rejected run ordered is never spent (SPEC A2).
fn forget_orders(hub: &Hub, rejected: SegmentId) -> Result<(), StoreError> {
    for (run, job) in hub.store.ordering()? {
        if hub.store.job(job)?.is_some_and(|(segment, _)| segment == rejected) {
            hub.store.remove_orders(run)?;
        }
    }
    Ok(())
}

/// Why the key of a run does not pay for what an order hires, if it does not. What counts is what the chain has of the hired agent,
/// whatever its manifest says.
async fn too_much(
    chain: &LightClient,
    run: &RunTerms,
    prices: &BTreeMap<ProfileId, Price>,
    left: &mut Amount,
) -> Option<String> {
    let hired = loop {
        match chain.entry::<Agent>(&StateKey::Agent(run.agent)).await {
            Ok(hired) => break hired,
            Err(error) => debug!(agent = %run.agent, %error, "a hired agent can't be looked up yet"),
        }
        tokio::time::sleep(REOPEN_WAIT).await;
    };
    // What is not there, or is another version, the ledger refuses.
    let terms = hired.map(|hired| hired.terms).filter(|terms| terms.version_digest() == run.version)?;
    beyond(&terms, prices, left)
}

/// Why model calls of a run by these terms are not paid, if they are not: those of all that a run hires may cost as much as its own
/// could, which its client has seen. Else they are counted.
fn beyond(terms: &AgentTerms, prices: &BTreeMap<ProfileId, Price>, left: &mut Amount) -> Option<String> {
    let Some(price) = prices.get(&terms.model) else {
        return Some("this gateway does not serve the hired agent's model".to_owned());
    };
    let cost = calls_max(price, terms.limits.tokens);
    if cost > *left {
        return Some(format!(
            "the hired run's model calls may cost {cost}, and {left} are left for those that this run hires"
        ));
    }
    *left = Amount::from_nano(left.nano().saturating_sub(cost.nano()));
    None
}

/// Keeps what became of an order to hire, and has the run hosted that the ledger opened.
async fn hire(
    hub: &Arc<Hub>,
    order: (LeaseId, u32),
    terms: &RunTerms,
    (record, sent): (&OrdersRecord, &SentTransaction),
) -> Result<(), StoreError> {
    let opened = sent.block.events.iter().find_map(|event| match event {
        Event::RunOpened { run, input, .. } if *input == terms.input && sent.failure.is_none() => Some(*run),
        _ => None,
    });
    let outcome = match opened {
        Some(run) => HiredRecord::Opened { run },
        // Where an order was brought before, by a process that is gone, what became of it stands there, unless that went with it.
        None => HiredRecord::Refused { reason: sent.failure.clone().unwrap_or_else(|| "no run was opened".to_owned()) },
    };
    hub.disk(move |hub| hub.store.put_hired(order, &outcome)).await?;
    let payload = record.hires.iter().find(|(place, _)| *place == order.1).map(|(_, payload)| payload.clone());
    if let (Some(run), Some(payload)) = (opened, payload) {
        let (agent, version) = (terms.agent, terms.version);
        hub.host_hired(HiredRun { run, by: order.0, agent, version, payload, payer: record.payer });
    }
    Ok(())
}

/// Opens a task and says in which block it is; none when nobody can serve it yet.
async fn open_task(chain: &LightClient, sender: &Sender, mut terms: TaskTerms) -> Option<u64> {
    // A refused task costs its fee: the chain is asked first whether anyone was measured for it.
    match chain.entry::<Meta>(&StateKey::Meta).await {
        Ok(Some(meta)) if meta.workers_for(terms.tier) == 0 => {
            debug!(tier = terms.tier.name(), "no worker was measured for the tier yet");
            return None;
        }
        Ok(_) => {}
        Err(error) => {
            warn!(%error, "could not read who serves");
            return None;
        }
    }
    if terms.kind == TaskKind::Batch {
        match chain.entry::<Account>(&StateKey::Account(sender.account())).await {
            Ok(account) => {
                let Some(within) = affordable(terms, account.unwrap_or_default().balance) else {
                    debug!("the gateway's balance is too small for a lease of a batch");
                    return None;
                };
                terms = within;
            }
            Err(error) => {
                warn!(%error, "could not read what the gateway has");
                return None;
            }
        }
    }
    match sender.send(TransactionBody::OpenTask { terms }).await {
        Ok(sent) => match sent.failure {
            None => Some(sent.block.header.height),
            Some(reason) => {
                debug!(reason, "task not opened yet");
                None
            }
        },
        Err(error) => {
            warn!(%error, "could not open a task");
            None
        }
    }
}

fn worker_key(node: Node) -> Option<VrfPublicKey> {
    match node.role {
        NodeRole::Worker { vrf } => Some(vrf),
        NodeRole::Validator { .. } | NodeRole::Gateway { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferium_types::{AgentLimits, Digest, Recipients, SpendingPolicy, Tier, VerificationMode};

    /// SPEC A3: whoever asks one agent does not pay for many.
    #[test]
    fn what_a_run_hires_may_cost_as_much_as_the_run_itself_at_most() {
        let (cheap, dear) = (ProfileId::new(Digest::sha256(b"cheap")), ProfileId::new(Digest::sha256(b"dear")));
        let price = |nano| Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(nano) };
        let prices = BTreeMap::from([(cheap, price(2)), (dear, price(100))]);
        let terms = |model, tokens| AgentTerms {
            manifest: Digest::ZERO,
            model,
            price: Amount::from_nano(1),
            limits: AgentLimits { steps: 1, tokens, tool_calls: 0, run_ms: 1_000 },
            policy: SpendingPolicy {
                per_run: Amount::ZERO,
                per_day: Amount::ZERO,
                recipients: Recipients::Nobody,
                expires_at_ms: 0,
            },
        };
        let mut left = Amount::from_nano(200);
        let hired = [(cheap, 60), (cheap, 41), (dear, 1), (cheap, 40), (cheap, 1)];
        let refused = hired.map(|(model, tokens)| beyond(&terms(model, tokens), &prices, &mut left).is_some());
        assert_eq!((refused, left), ([false, true, true, false, true], Amount::ZERO), "120 and 80 of 200");
        assert!(beyond(&terms(cheap, 1), &prices, &mut Amount::from_nano(0)).is_some(), "what was hired hires nobody");
        let unknown = terms(ProfileId::new(Digest::ZERO), 0);
        assert!(beyond(&unknown, &prices, &mut left).is_some_and(|reason| reason.contains("does not serve")));
    }

    #[test]
    fn the_orders_of_a_run_are_brought_once_at_a_time() {
        let (all, run) = (Arc::default(), LeaseId::new(Digest::ZERO));
        let one = Spending::begin(&all, run);
        assert!(one.is_some() && Spending::begin(&all, run).is_none());
        drop(one);
        assert!(Spending::begin(&all, run).is_some());
    }

    #[test]
    fn a_batch_s_lease_takes_at_most_half_of_what_the_gateway_has() {
        let terms = TaskTerms {
            kind: TaskKind::Batch,
            mode: VerificationMode::Exact,
            tier: Tier::Mid,
            profile: ProfileId::new(Digest::ZERO),
            price_max: Price { prompt_token: Amount::from_nano(5), completion_token: Amount::from_nano(10) },
            jobs_max: 1,
            tokens_max: 100,
            slots: 1,
            context_tokens: 1,
            open_ms: 1,
            lease_ms: 1,
        };
        let terms = TaskTerms { context_tokens: 50, ..terms };
        let tokens = |nano| affordable(terms, Amount::from_nano(nano)).map(|terms| terms.tokens_max);
        assert_eq!([2_000, 1_999, 1_000, 999, 0].map(tokens), [Some(100), Some(99), Some(50), None, None]);
        let free = Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO };
        let free = affordable(TaskTerms { price_max: free, ..terms }, Amount::ZERO);
        assert_eq!(free.map(|terms| terms.tokens_max), Some(100));
    }
}
