//! The gateway's half of the chain: tasks that it keeps open, and what became of its segments.

use crate::gateway::{DemandTerms, GatewayError};
use crate::hub::Hub;
use crate::stall::Stalls;
use crate::store::{ApprovalRecord, LeaseRecord, SegmentStatus, SlashRecord};
use inferium_chain::{LightClient, SendError, Sender, VerifiedBlock};
use inferium_ledger::{Lease, LeaseState, Node, StateKey, Task, state_key};
use inferium_types::{Event, NodeId, NodeRole, ProfileId, TaskId, TransactionBody, VrfPublicKey, decode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

/// Wait before a refused task is opened again.
const REOPEN_WAIT: Duration = Duration::from_secs(1);
/// How often a state entry is asked for again, and after how long.
const READ_ATTEMPTS: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(500);
/// Blocks between two writes of the cursor when nothing happens.
const CURSOR_BLOCKS: u64 = 64;

fn chain_error(error: impl std::fmt::Display) -> GatewayError {
    GatewayError::Chain { reason: error.to_string() }
}

/// What became of a task that was to be opened.
type Opened = Result<(), SendError>;

/// Follows the chain for the hub.
pub(crate) struct ChainSide {
    pub(crate) hub: Arc<Hub>,
    pub(crate) chain: LightClient,
    pub(crate) sender: Sender,
    pub(crate) profile: ProfileId,
    pub(crate) demand: DemandTerms,
    pub(crate) stalls: Arc<Stalls>,
    me: NodeId,
    open_tasks: BTreeSet<TaskId>,
    opening: bool,
    opened: (mpsc::Sender<Opened>, mpsc::Receiver<Opened>),
    saved_cursor: u64,
}

impl ChainSide {
    pub(crate) fn new(
        hub: Arc<Hub>,
        chain: LightClient,
        sender: Sender,
        profile: ProfileId,
        demand: DemandTerms,
        stalls: Arc<Stalls>,
    ) -> Self {
        let me = hub.node();
        Self {
            hub,
            chain,
            sender,
            profile,
            demand,
            stalls,
            me,
            open_tasks: BTreeSet::new(),
            opening: false,
            opened: mpsc::channel(4),
            saved_cursor: 0,
        }
    }

    /// Runs until `stop` turns true.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), GatewayError> {
        let from = self.hub.store.cursor()?;
        let mut blocks = from.map_or_else(|| self.chain.subscribe(), |next| self.chain.subscribe_from(next));
        self.saved_cursor = from.unwrap_or(0);
        self.recover().await?;
        loop {
            self.keep_demand();
            tokio::select! {
                block = blocks.recv() => match block {
                    Some(block) => self.on_block(&block).await?,
                    None => return Err(GatewayError::Chain { reason: "the stream of blocks ended".into() }),
                },
                Some(outcome) = self.opened.1.recv() => {
                    self.opening = false;
                    if let Err(error) = outcome {
                        warn!(%error, "could not open a task");
                    }
                }
                _ = stop.changed() => return Ok(()),
            }
        }
    }

    async fn recover(&mut self) -> Result<(), GatewayError> {
        for record in self.hub.store.leases()? {
            let on_chain: Option<Lease> = self.read(&StateKey::Lease(record.lease)).await?;
            match on_chain.filter(|lease| lease.state == LeaseState::Active) {
                Some(lease) => self.add_lease(record, lease.jobs, lease.tokens).await?,
                None => self.hub.store.remove_lease(record.lease)?,
            }
        }
        for task in self.hub.store.tasks()? {
            let on_chain: Option<Task> = self.read(&StateKey::Task(task)).await?;
            if on_chain.is_some() {
                self.open_tasks.insert(task);
            } else {
                self.hub.store.remove_task(task)?;
            }
        }
        Ok(())
    }

    async fn read<T: borsh::BorshDeserialize>(&self, key: &StateKey) -> Result<Option<T>, GatewayError> {
        let mut attempt = 0;
        let bytes = loop {
            match self.chain.get(&state_key(key)).await {
                Ok(bytes) => break bytes,
                // Validators that don't answer for a moment are asked again.
                Err(error) if attempt < READ_ATTEMPTS => debug!(%error, "state not read yet"),
                Err(error) => return Err(chain_error(error)),
            }
            attempt += 1;
            tokio::time::sleep(READ_PAUSE).await;
        };
        bytes.map(|bytes| decode(&bytes).map_err(chain_error)).transpose()
    }

    /// Keeps one task waiting in the pool at any time, so that a worker that joins, or has slots
    /// free again, is leased in the very block that says so.
    fn keep_demand(&mut self) {
        if self.opening || !self.open_tasks.is_empty() {
            return;
        }
        self.opening = true;
        let (sender, done, terms) = (self.sender.clone(), self.opened.0.clone(), self.demand.task(self.profile));
        tokio::spawn(async move {
            let outcome = sender.send(TransactionBody::OpenTask { terms }).await;
            let failed = match &outcome {
                Ok(sent) => sent.failure.clone(),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = failed {
                debug!(reason, "task not opened yet");
                tokio::time::sleep(REOPEN_WAIT).await;
            }
            // The follower is gone only when the gateway stops.
            let _ = done.send(outcome.map(drop)).await;
        });
    }

    async fn on_block(&mut self, block: &VerifiedBlock) -> Result<(), GatewayError> {
        let height = block.header.height;
        let mut mine = false;
        for (position, event) in block.events.iter().enumerate() {
            mine |= self.on_event(block, position, event).await?;
        }
        self.hub.metrics.chain_height.set(i64::try_from(height).unwrap_or(i64::MAX));
        let next = height.saturating_add(1);
        if mine || next >= self.saved_cursor.saturating_add(CURSOR_BLOCKS) {
            self.hub.store.set_cursor(next)?;
            self.saved_cursor = next;
        }
        Ok(())
    }

    async fn on_event(&mut self, block: &VerifiedBlock, position: usize, event: &Event) -> Result<bool, GatewayError> {
        match event {
            Event::TaskOpened { task, requester, .. } if *requester == self.me => {
                self.hub.store.put_task(*task)?;
                self.open_tasks.insert(*task);
            }
            Event::TaskExpired { task, requester } if *requester == self.me => self.task_gone(*task)?,
            Event::LeaseGranted { lease, task, worker, gateway, terms, price, beacon, expires_at_ms }
                if *gateway == self.me =>
            {
                self.task_gone(*task)?;
                let record = LeaseRecord {
                    lease: *lease,
                    worker: *worker,
                    terms: *terms,
                    price: *price,
                    beacon: *beacon,
                    expires_at_ms: *expires_at_ms,
                };
                self.hub.store.put_lease(&record)?;
                info!(%lease, %worker, "lease granted");
                self.add_lease(record, 0, 0).await?;
            }
            Event::LeaseEnded { lease, gateway, end, .. } if *gateway == self.me => {
                info!(%lease, ?end, "lease ended");
                self.hub.end_lease(*lease);
            }
            Event::LeaseClosed { lease, gateway, refund, .. } if *gateway == self.me => {
                info!(%lease, %refund, "lease closed");
                self.hub.close_lease(*lease);
                self.hub.store.close_lease(*lease)?;
            }
            Event::SegmentApproved(outcome) if outcome.gateway == self.me => {
                if let Some(proof) = block.event_proof(position) {
                    let approval = ApprovalRecord::new(outcome.clone(), proof);
                    self.hub.store.decide_segment(outcome.segment, SegmentStatus::Approved(approval))?;
                }
                if !outcome.settled {
                    self.hub.metrics.segments_final.inc();
                }
            }
            Event::SegmentRejected { segment, gateway, worker, reason, .. } if *gateway == self.me => {
                warn!(%segment, %worker, ?reason, "a segment was rejected; its jobs cost nothing");
                self.hub.store.decide_segment(*segment, SegmentStatus::Rejected(*reason))?;
                self.hub.metrics.segments_rejected.inc();
            }
            Event::StallReported { stall, relays, .. } => return Ok(self.stalls.relay(*stall, relays)),
            Event::Slashed(slash) => {
                warn!(node = %slash.node, role = slash.role, rule = slash.rule.name(), amount = %slash.amount,
                    disqualified = slash.disqualified, "slashed");
                let record = SlashRecord { slash: slash.clone(), height: block.header.height, burned: false };
                self.hub.store.put_slash(slash_number(block.header.height, position), &record)?;
            }
            Event::SlashReleased { node, rule, .. } => {
                let held = self
                    .hub
                    .store
                    .slashes()?
                    .into_iter()
                    .find(|(_, record)| record.slash.node == *node && record.slash.rule == *rule && !record.burned);
                if let Some((number, record)) = held {
                    self.hub.store.put_slash(number, &SlashRecord { burned: true, ..record })?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn task_gone(&mut self, task: TaskId) -> Result<(), GatewayError> {
        self.open_tasks.remove(&task);
        Ok(self.hub.store.remove_task(task)?)
    }

    async fn add_lease(&self, record: LeaseRecord, jobs: u32, tokens: u64) -> Result<(), GatewayError> {
        let node: Option<Node> = self.read(&StateKey::Node(record.worker)).await?;
        let Some(vrf) = node.and_then(worker_key) else {
            warn!(worker = %record.worker, "a lease's worker is not registered");
            return Ok(());
        };
        self.hub.add_lease(record, vrf, jobs, tokens);
        Ok(())
    }
}

fn worker_key(node: Node) -> Option<VrfPublicKey> {
    match node.role {
        NodeRole::Worker { vrf } => Some(vrf),
        NodeRole::Validator { .. } | NodeRole::Gateway { .. } => None,
    }
}

/// Names a slash by where it stands on the chain, so that a block seen twice adds none.
fn slash_number(height: u64, position: usize) -> u64 {
    height.saturating_mul(1 << 20).saturating_add(u64::try_from(position).unwrap_or(0))
}
