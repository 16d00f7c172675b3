//! Messages of gateways: jobs begin, are cancelled, and their segments are agreed on.

use super::{Core, Own, WorkerError};
use crate::crime::Crime;
use crate::job::{self, JobContext};
use inferium_types::{
    JobId, JobPayload, JobRequest, NodeId,
    wire::{GatewayMessage, WorkerMessage},
};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

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
        let mode = work.record.terms.mode;
        let context = JobContext {
            model: self.model.clone(),
            server: self.config.server.clone(),
            vrf_output: work.vrf_output,
            mode,
            crime,
            truth: self.config.assessed.clone(),
            other: self.config.other.clone(),
            copies: self.copies.clone(),
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
}

fn refuse(outbox: &mpsc::Sender<WorkerMessage>, job: JobId, reason: impl ToString) {
    // A full or closed outbox means that the session is being lost.
    let _ = outbox.try_send(WorkerMessage::Refused { job, reason: reason.to_string() });
}
