//! Messages of gateways: jobs begin, are cancelled, and their segments are agreed on.

use super::{Core, Own, WorkerError};
use crate::crime::Crime;
use crate::host::{self, Hosting, ModelReply, RunContext, RunFailure};
use crate::job::{self, JobContext, JobRefusal};
use inferium_agent::is_secret_name;
use inferium_chain::LightClient;
use inferium_engine::Model;
use inferium_ledger::{Run, StateKey};
use inferium_types::{
    Digest, JobId, JobPayload, JobRequest, NodeId, ProfileId, TaskKind, step_request,
    wire::{GatewayMessage, RunSecret, WorkerMessage},
};
use tokio::sync::{mpsc, watch};
use tracing::{Instrument as _, debug, info_span, warn};

/// Secrets of a run at most, and bytes of each.
const SECRETS_MAX: usize = 16;
const SECRET_SIZE_MAX: usize = 4_096;
/// Jobs that may run while a claim is being answered.
const JOBS_BESIDE_CLAIM: usize = 2;

impl Core {
    pub(super) fn on_message(&mut self, gateway: NodeId, message: GatewayMessage) -> Result<(), WorkerError> {
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
            GatewayMessage::Secrets { step, secrets } => self.take_secrets(gateway, step, secrets),
            GatewayMessage::ModelCalled { step, call, outcome } => {
                if let Some(run) = self.runs.get(&step) {
                    // A run asks for one answer at a time.
                    let _ = run.try_send((call, outcome));
                }
            }
            GatewayMessage::Hello { .. } | GatewayMessage::Welcome => {}
        }
        Ok(())
    }

    fn start_job(&mut self, gateway: NodeId, request: JobRequest, payload: JobPayload) -> Result<(), WorkerError> {
        let Some(outbox) = self.sessions.outbox(gateway).cloned() else { return Ok(()) };
        let job = request.job;
        if self.config.crime == Some(Crime::Silent) {
            debug!(%job, "keeping silent");
            return Ok(());
        }
        let kind = self.leases.get(&request.lease).map(|work| work.record.terms.kind);
        if self.config.crime == Some(Crime::LateProof) && kind == Some(TaskKind::Validation) {
            debug!(%job, "keeping a proof");
            return Ok(());
        }
        // A claim has a deadline that costs stake, and its job shares the engine with all others. Some go on all the
        // same: claims are cheap, and must not be a way to stop a worker.
        let running: usize = self.leases.values().map(|work| work.running.len()).sum();
        if !self.answering.is_empty() && running >= JOBS_BESIDE_CLAIM {
            refuse(&outbox, job, "a claim is being answered first");
            return Ok(());
        }
        let Some(work) = self.leases.get_mut(&request.lease) else {
            refuse(&outbox, job, "the lease is not known here");
            return Ok(());
        };
        if work.record.terms.kind == TaskKind::Agent {
            return self.start_run(gateway, outbox, request, payload);
        }
        if let Err(reason) = work.check(gateway, &request, &payload) {
            refuse(&outbox, job, reason);
            return Ok(());
        }
        if let Some(record) = work.take(request.sequence) {
            self.store.put_lease(record)?;
        }
        let (cancel, cancelled) = watch::channel(false);
        work.begin(&request, cancel);
        let crime = self.config.crime;
        let terms = work.record.terms;
        let vrf_output = work.vrf_output;
        // How soon an answer begins tells what was asked before, so only jobs of one gateway share it.
        let prefix_scope = Some(Digest::of_value("inferium/prefix-scope/1", &work.record.gateway));
        let (model, server) = self.model_for(&terms);
        let context = JobContext {
            model,
            server,
            vrf_output,
            mode: terms.mode,
            prefix_scope,
            crime,
            truth: self.config.assessed.clone(),
            other: self.config.other.clone(),
            copies: self.copies.clone(),
        };
        let (own, lease) = (self.own_tx.clone(), request.lease);
        // The gateway's log tells which request the job is of.
        let span = info_span!("job", %job);
        let run = async move {
            let outcome = job::run(context, request, payload, outbox.clone(), cancelled).await;
            if let Err(refusal) = &outcome {
                let _ = outbox.send(WorkerMessage::Refused { job, reason: refusal.to_string() }).await;
            }
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::JobDone(lease, job, outcome.map(Box::new))).await;
        };
        tokio::spawn(run.instrument(span));
        Ok(())
    }

    /// Keeps what the tools of a run are given until its job is there: of this gateway's own runs alone, or another could put its own in.
    fn take_secrets(&mut self, gateway: NodeId, step: JobId, secrets: Vec<RunSecret>) {
        let is_small = secrets.len() <= SECRETS_MAX
            && secrets.iter().all(|one| is_secret_name(&one.name) && one.value.len() <= SECRET_SIZE_MAX);
        let is_its_own = self.leases.values().any(|work| {
            let record = &work.record;
            record.gateway == gateway
                && record.terms.kind == TaskKind::Agent
                && step_request(record.lease, 0, &Digest::ZERO, &Digest::ZERO).job == step
        });
        if is_small && is_its_own {
            self.secrets.insert(step, secrets);
        }
    }

    /// Hosts the run that a lease is (SPEC A2).
    fn start_run(
        &mut self,
        gateway: NodeId,
        outbox: mpsc::Sender<WorkerMessage>,
        request: JobRequest,
        payload: JobPayload,
    ) -> Result<(), WorkerError> {
        let (job, lease) = (request.job, request.lease);
        let secrets = self.secrets.remove(&job).unwrap_or_default();
        let Some(hosting) = self.config.hosting.clone() else {
            refuse(&outbox, job, RunFailure::NotAHost);
            return Ok(());
        };
        let Some(work) = self.leases.get_mut(&lease) else { return Ok(()) };
        if let Err(reason) = work.check_run(gateway, &request, &payload) {
            refuse(&outbox, job, reason);
            return Ok(());
        }
        if let Some(record) = work.take(request.sequence) {
            self.store.put_lease(record)?;
        }
        let (cancel, cancelled) = watch::channel(false);
        work.begin(&request, cancel);
        let salt = job::output_salt(&work.vrf_output, &request);
        let (sender, replies) = mpsc::channel(4);
        self.runs.insert(job, sender);
        let (chain, own) = (self.chain.clone(), self.own_tx.clone());
        let host = (hosting, self.config.profile, self.model.clone());
        let span = info_span!("run", %lease);
        let run = async move {
            let context = context_of(&chain, host, &request, (salt, secrets), outbox.clone(), replies).await;
            let outcome = match context {
                Ok(context) => host::run(context, request, payload, cancelled).await,
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = &outcome {
                let _ = outbox.send(WorkerMessage::Refused { job, reason: refusal.to_string() }).await;
            }
            // The loop is gone only when the worker stops.
            let _ = own.send(Own::JobDone(lease, job, outcome.map(Box::new))).await;
        };
        tokio::spawn(run.instrument(span));
        Ok(())
    }
}

/// What a run of this worker needs, as the chain pinned it.
async fn context_of(
    chain: &LightClient,
    (hosting, profile, model): (Hosting, ProfileId, Model),
    request: &JobRequest,
    (salt, secrets): ([u8; 32], Vec<RunSecret>),
    outbox: mpsc::Sender<WorkerMessage>,
    replies: mpsc::Receiver<ModelReply>,
) -> Result<RunContext, JobRefusal> {
    let run: Option<Run> = chain.entry(&StateKey::Run(request.lease)).await.map_err(|_| RunFailure::Input)?;
    let run = run.ok_or(RunFailure::Input)?;
    let engine = match model {
        Model::Chat(engine) if run.model == profile => engine,
        Model::Chat(_)
        | Model::Embedder(_)
        | Model::Folder(_)
        | Model::Trainer(_)
        | Model::Classifier(_)
        | Model::Prover(_) => {
            return Err(RunFailure::OtherModel.into());
        }
    };
    let Run { manifest, limits, input, .. } = run;
    let lease = request.lease;
    Ok(RunContext { hosting, lease, manifest, limits, input, salt, secrets, engine, outbox, replies })
}

fn refuse(outbox: &mpsc::Sender<WorkerMessage>, job: JobId, reason: impl ToString) {
    // A full or closed outbox means that the session is being lost.
    let _ = outbox.try_send(WorkerMessage::Refused { job, reason: reason.to_string() });
}
