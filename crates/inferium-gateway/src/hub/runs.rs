//! Runs of agents: the one step of each, and the model calls that its host asks for (SPEC A2).

use super::jobs::{JobHandle, RunningJob};
use super::{Ending, Hub, NoLease};
use crate::metrics::ModelLabel;
use inferium_types::{
    AgentId, Amount, CallRecord, Digest, JobAnswer, JobId, JobPayload, JobRequest, LeaseId, ModelTask, NodeId, Price,
    ProfileId, RunTranscript, SamplingParams, TaskKind, Usage, limits,
    wire::{GatewayMessage, ModelAnswer, RunSecret},
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Runs of a key at once.
pub(super) const RUNS_AT_ONCE: u32 = 16;
/// How long a run's lease may lie idle before it is nobody's.
const STRAY: Duration = Duration::from_secs(30);
/// Model calls of a run that may fail, before it is over.
const FAILED_MAX: u32 = 2;
/// Bytes of a tool's name.
const TOOL_NAME_MAX: usize = 64;
/// Time for a host beyond the run's own, before the gateway gives up on it.
const HOST_PATIENCE: Duration = Duration::from_secs(10);

/// A run that a lease was granted for.
#[derive(Debug, Clone)]
pub(crate) struct RunSpec {
    pub(crate) request: JobRequest,
    pub(crate) payload: Arc<JobPayload>,
    pub(crate) payer: Digest,
    /// What the run costs, its model calls not included.
    pub(crate) price: Amount,
    /// How long it may take.
    pub(crate) time: Duration,
    pub(crate) secrets: Vec<RunSecret>,
    /// The agent's model.
    pub(crate) model: ProfileId,
    /// Tokens of all its model calls.
    pub(crate) tokens_max: u64,
    /// Calls of tools.
    pub(crate) tool_calls: u32,
    /// Whether another agent's account pays the price, and not the key.
    pub(crate) is_hired: bool,
    /// What the model calls of those that it hires may cost together.
    pub(crate) hires_max: Amount,
}

/// What model calls of so many tokens cost at most, however they are divided.
pub(crate) fn calls_max(price: &Price, tokens: u64) -> Amount {
    Amount::from_nano(price.prompt_token.max(price.completion_token).nano().saturating_mul(tokens))
}

/// A run that another one hired, and that the ledger opened.
#[derive(Debug)]
pub(crate) struct HiredRun {
    pub(crate) run: LeaseId,
    /// The run that hired it.
    pub(crate) by: LeaseId,
    pub(crate) agent: AgentId,
    pub(crate) version: Digest,
    pub(crate) payload: JobPayload,
    /// Whose key pays its model calls.
    pub(crate) payer: Digest,
}

/// What a run did, as it happens.
#[derive(Debug, Clone)]
pub(crate) enum RunNews {
    /// A job of its model.
    Model { job: JobId, usage: Usage, cost: Amount, took_ms: u64 },
    /// A call of a tool.
    Tool { tool: String, took_ms: u64, failed: bool },
}

/// The gateway's book of a run under way.
#[derive(Debug)]
pub(super) struct RunBook {
    model: ProfileId,
    /// Tokens that its model calls may still take.
    tokens_left: u64,
    /// The call that is being answered.
    asked: Option<u32>,
    /// Model calls that were answered: [`inferium_types::JobLeaf::hash`] of each.
    served: BTreeMap<u32, Digest>,
    /// Model calls that failed.
    failed: u32,
    /// Calls of tools that it may still tell of.
    tool_calls_left: u32,
    /// Whether another agent's account pays the price, and not the key.
    pub(super) is_hired: bool,
    /// Gone with the run: answers that are being made for it end with it.
    alive: watch::Sender<()>,
}

impl RunBook {
    /// True when a transcript's model calls are those that this gateway had done, and all of them.
    pub(super) fn matches(&self, transcript: &RunTranscript) -> bool {
        let claimed = (0u32..).zip(&transcript.calls).filter_map(|(index, call)| match call {
            CallRecord::Model { leaf, .. } => Some((index, leaf.hash())),
            CallRecord::Tool { .. } | CallRecord::Spend { .. } => None,
        });
        claimed.eq(self.served.iter().map(|(index, hash)| (*index, *hash)))
    }
}

/// A model call that a host asks for.
#[derive(Debug)]
pub(crate) struct CallAsked {
    pub(crate) step: JobId,
    pub(crate) lease: LeaseId,
    pub(crate) call: u32,
    pub(crate) payload: JobPayload,
    pub(crate) sampling: SamplingParams,
    pub(crate) tokens_max: u32,
    /// Of prompt and answer, as much as the run has left.
    pub(crate) tokens_left: u64,
    pub(crate) payer: Digest,
    pub(crate) model: ProfileId,
    since: Instant,
    outbox: mpsc::Sender<GatewayMessage>,
    alive: watch::Receiver<()>,
}

impl CallAsked {
    /// Resolves when the run is over.
    pub(crate) async fn is_over(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }
}

/// A run's part of a key's budget, from before it is opened until its host has it; and its place among the key's runs.
#[derive(Debug)]
pub(crate) struct RunReservation {
    hub: Arc<Hub>,
    payer: Digest,
    /// What is reserved still.
    price: Amount,
}

impl RunReservation {
    /// Gives the money back, which whoever has the run reserves anew; the place stays taken.
    pub(crate) fn release(&mut self) {
        let price = std::mem::take(&mut self.price);
        if !price.is_zero() {
            self.hub.lock().budgets.free(self.payer, price);
        }
    }
}

impl Drop for RunReservation {
    fn drop(&mut self) {
        self.release();
        let mut inner = self.hub.lock();
        if let Some(runs) = inner.runs.get_mut(&self.payer) {
            *runs = runs.saturating_sub(1);
            if *runs == 0 {
                inner.runs.remove(&self.payer);
            }
        }
    }
}

impl Hub {
    /// True once the host of a run's lease is there.
    pub(crate) fn is_hosted(&self, lease: LeaseId) -> bool {
        self.lock().leases.get(&lease).is_some_and(|entry| entry.is_open())
    }

    /// The host of a run's lease, once there is one.
    pub(crate) fn host_of(&self, lease: LeaseId) -> Option<NodeId> {
        self.lock().leases.get(&lease).map(|entry| entry.record.worker)
    }

    /// Takes a run's price from a key's budget, before the chain is asked for anything.
    pub(crate) fn reserve_run(
        self: &Arc<Self>,
        payer: Digest,
        model: ProfileId,
        price: Amount,
    ) -> Result<RunReservation, NoLease> {
        let mut inner = self.lock();
        inner.check_model(payer, model)?;
        let left = inner.budgets.left(payer);
        if price > left {
            return Err(NoLease::Budget { cost: price, left });
        }
        let runs = inner.runs.entry(payer).or_default();
        if *runs >= RUNS_AT_ONCE {
            return Err(NoLease::Busy);
        }
        *runs = runs.saturating_add(1);
        inner.budgets.reserve(payer, price);
        Ok(RunReservation { hub: Arc::clone(self), payer, price })
    }

    /// Has a run hosted that another one hired.
    pub(crate) fn host_hired(&self, hired: HiredRun) {
        self.lock().hired.insert(hired.run);
        // Nobody listens only when the gateway stops.
        let _ = self.hired.send(hired);
    }

    /// A hired run is over, and kept.
    pub(crate) fn end_hired(&self, run: LeaseId) {
        self.lock().hired.remove(&run);
    }

    /// True from when a hired run was opened until it is over and kept.
    pub(crate) fn is_hosting(&self, run: LeaseId) -> bool {
        self.lock().hired.contains(&run)
    }

    /// Gives up leases of runs that nobody follows, as after a restart, or when a client left while its run was being opened.
    pub(crate) fn retire_stray_runs(&self) {
        let mut inner = self.lock();
        for entry in inner.leases.values_mut().filter(|entry| entry.record.terms.kind == TaskKind::Agent) {
            entry.retire_unused(STRAY);
        }
    }

    /// Hands a run to its host.
    pub(crate) fn submit_run(self: &Arc<Self>, spec: &RunSpec) -> Result<JobHandle, NoLease> {
        let job = spec.request.job;
        let mut guard = self.lock();
        let inner = &mut *guard;
        let left = inner.budgets.left(spec.payer);
        if spec.price > left {
            return Err(NoLease::Budget { cost: spec.price, left });
        }
        let entry = inner.leases.get_mut(&spec.request.lease).filter(|entry| entry.is_open());
        let entry = entry.ok_or(NoLease::NoWorker)?;
        // The lease is one run: its host begins it once, and no restart of either side begins it again.
        if entry.was_begun() {
            return Err(NoLease::NoWorker);
        }
        let outbox = entry.outbox.clone().ok_or(NoLease::NoWorker)?;
        let secrets = GatewayMessage::Secrets { step: job, secrets: spec.secrets.clone() };
        let message = GatewayMessage::Job { request: spec.request.clone(), payload: JobPayload::clone(&spec.payload) };
        let is_sent = (spec.secrets.is_empty() || outbox.try_send(secrets).is_ok()) && outbox.try_send(message).is_ok();
        if !is_sent {
            return Err(NoLease::Busy);
        }
        entry.take(job, spec.request.tokens());
        inner.budgets.reserve(spec.payer, spec.price);
        let label = ModelLabel { model: "agents".to_owned() };
        let (sender, events) = mpsc::unbounded_channel();
        let deadline = Instant::now() + spec.time + HOST_PATIENCE;
        let book = RunBook {
            model: spec.model,
            tokens_left: spec.tokens_max,
            asked: None,
            served: BTreeMap::new(),
            failed: 0,
            tool_calls_left: spec.tool_calls,
            is_hired: spec.is_hired,
            alive: watch::channel(()).0,
        };
        let running = RunningJob::of_run(spec, sender, deadline, label.clone(), book);
        inner.running.insert(job, running);
        let is_earliest = inner.set_deadline(job, deadline);
        drop(guard);
        if is_earliest {
            self.sooner.notify_one();
        }
        self.metrics.jobs_running.inc();
        self.metrics.models.running.get_or_create(&label).inc();
        Ok(JobHandle::new(self, spec.request.clone(), events))
    }

    // From hosts.

    /// A host asks for an answer of the run's model: one at a time.
    pub(crate) fn call_model(
        &self,
        worker: NodeId,
        (step, call): (JobId, u32),
        payload: JobPayload,
        (sampling, tokens_max): (SamplingParams, u32),
        outbox: &mpsc::Sender<GatewayMessage>,
    ) {
        let asked = {
            let mut inner = self.lock();
            if !inner.serves(worker, step) {
                return;
            }
            let Some(running) = inner.running.get_mut(&step) else { return };
            let (lease, payer) = (running.request.lease, running.payer);
            let Some(book) = &mut running.run else { return };
            let is_next = book.asked.is_none()
                && book.failed < FAILED_MAX
                && book.served.last_key_value().is_none_or(|(last, _)| *last < call);
            if !is_next {
                drop(inner);
                self.end(step, &Ending::NotAsAsked);
                return;
            }
            book.asked = Some(call);
            let (model, tokens_left, outbox, alive) =
                (book.model, book.tokens_left, outbox.clone(), book.alive.subscribe());
            let since = Instant::now();
            CallAsked {
                step,
                lease,
                call,
                payload,
                sampling,
                tokens_max,
                tokens_left,
                payer,
                model,
                since,
                outbox,
                alive,
            }
        };
        // Nobody listens only when the gateway stops.
        let _ = self.calls.send(asked);
    }

    /// What a run's host has to say about a tool.
    pub(crate) fn called_tool(&self, worker: NodeId, step: JobId, tool: String, took_ms: u64, failed: bool) {
        let mut inner = self.lock();
        if !inner.serves(worker, step) {
            return;
        }
        let Some(running) = inner.running.get_mut(&step) else { return };
        let Some(book) = &mut running.run else { return };
        // A run has so many calls, and their names are ones that models can say.
        if book.tool_calls_left == 0 || tool.len() > TOOL_NAME_MAX {
            drop(inner);
            self.end(step, &Ending::NotAsAsked);
            return;
        }
        book.tool_calls_left -= 1;
        running.tell(RunNews::Tool { tool, took_ms, failed });
    }

    /// Gives a host the answer that it asked for, or says why there is none.
    pub(crate) async fn answer_call(&self, asked: &CallAsked, outcome: Result<(ModelAnswer, Amount), String>) {
        let outcome = {
            let mut inner = self.lock();
            let Some(running) = inner.running.get_mut(&asked.step) else { return };
            let Some(book) = &mut running.run else { return };
            book.asked = None;
            match outcome {
                Ok((answer, cost)) => {
                    let usage = answer.leaf.result.usage;
                    book.tokens_left = book.tokens_left.saturating_sub(usage.tokens());
                    book.served.insert(asked.call, answer.leaf.hash());
                    let took_ms = u64::try_from(asked.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    running.tell(RunNews::Model { job: answer.leaf.request.job, usage, cost, took_ms });
                    Ok(answer)
                }
                Err(reason) => {
                    book.failed = book.failed.saturating_add(1);
                    Err(reason)
                }
            }
        };
        let message = GatewayMessage::ModelCalled { step: asked.step, call: asked.call, outcome };
        // A session that is lost ends the run itself.
        let _ = asked.outbox.send(message).await;
    }
}

impl RunningJob {
    /// What is wrong with a transcript, if something is.
    pub(super) fn take_transcript(&mut self, transcript: &RunTranscript) -> Option<Ending> {
        let is_new = matches!(&self.answer, JobAnswer::Run(before) if *before == RunTranscript::default());
        let is_small = borsh::object_length(transcript).is_ok_and(|size| size <= limits::TRANSCRIPT_SIZE_MAX);
        let is_sound = is_small
            && self.task == ModelTask::Host
            && is_new
            && self.run.as_ref().is_some_and(|run| run.matches(transcript));
        if !is_sound {
            return Some(Ending::NotAsAsked);
        }
        self.answer = JobAnswer::Run(transcript.clone());
        None
    }
}
