//! The capability task: the worker measures its machine when the chain wants to know (SPEC N2).

use super::{Core, Own, WorkerError, offer::is_barred};
use crate::job::{self, FinishedJob, JobContext};
use crate::server::Server;
use crate::store::{LeaseRecord, SegmentRecord};
use inferium_chain::{GetError, LightClient, Sender};
use inferium_engine::Model;
use inferium_ledger::{Capability, Lease, LeaseState, Meta, Node, Profile, StateKey};
use inferium_types::{
    CapabilityReport, Digest, JobTotals, NodeId, ProfileId, SegmentTerms, TransactionBody, VrfSecretKey,
    assessment_payload, assessment_request, limits, merkle_root, vrf_input,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Part of the time for a call, from its end, in which the worker comes even though it is busy.
const CALL_PART: u64 = 2;

impl Core {
    /// Asks for the capability task when the chain wants one, unless that is under way.
    pub(super) fn check_capability(&self) {
        let Ok(permit) = Arc::clone(&self.measuring).try_acquire_owned() else { return };
        let is_busy = self.leases.values().any(|work| !work.running.is_empty());
        let (chain, sender, me) = (self.chain.clone(), self.sender.clone(), self.me);
        let (profile, report) = (self.config.profile, self.config.report.clone());
        tokio::spawn(async move {
            if let Err(error) = ask(&chain, &sender, me, profile, report, is_busy).await {
                debug!(%error, "the capability task could not be asked for");
            }
            drop(permit);
        });
    }

    /// Works on the task that the chain just set, and hands its segment back to the loop.
    pub(super) fn begin_assessment(&self, record: LeaseRecord) {
        info!(lease = %record.lease, "measuring this machine");
        let model = self.config.assessed.as_ref().unwrap_or(&self.model).clone();
        let server = self.config.server.clone();
        let (chain, own) = (self.chain.clone(), self.own_tx.clone());
        let (vrf, key) = (self.config.vrf.clone(), self.config.key.clone());
        tokio::spawn(async move {
            let done = match window(&chain).await {
                Ok((time, items)) => run(&record, (&model, server.as_ref()), &vrf, time, items).await,
                Err(error) => Err(error.to_string()),
            };
            match done {
                Ok(jobs) => {
                    let leaves: Vec<_> = jobs.iter().map(|job| job.leaf.clone()).collect();
                    let hashes: Vec<_> = leaves.iter().map(inferium_types::JobLeaf::hash).collect();
                    let totals = JobTotals::of(&leaves).unwrap_or_default();
                    let terms = SegmentTerms { lease: record.lease, index: 0, totals, root: merkle_root(&hashes) };
                    let segment = SegmentRecord {
                        terms,
                        gateway: record.gateway,
                        worker_signature: terms.sign_as_worker(&key),
                        // The worker is its own client here.
                        gateway_signature: Some(terms.sign_as_gateway(&key)),
                        forced_proof: None,
                        planted: None,
                        leaves,
                        jobs: jobs.into_iter().map(|job| job.evidence).collect(),
                    };
                    // The loop is gone only when the worker stops.
                    let _ = own.send(Own::Measured(Box::new(segment))).await;
                }
                Err(reason) => warn!(lease = %record.lease, reason, "the capability task was not done"),
            }
        });
    }

    /// SPEC C8: on disk before the signatures leave.
    pub(super) fn on_measured(&mut self, record: SegmentRecord) -> Result<(), WorkerError> {
        let Some(signature) = record.gateway_signature else { return Ok(()) };
        // A block that is handled again after a crash sets the same task again.
        if self.store.segment(record.terms.id())?.is_some() {
            return Ok(());
        }
        self.store.put_segment(&record)?;
        self.commit(record, signature);
        Ok(())
    }
}

/// How long to work on the task, and on how many jobs at most.
async fn window(chain: &LightClient) -> Result<(Duration, u32), GetError> {
    let meta: Option<Meta> = chain.entry(&StateKey::Meta).await?;
    let parameters = meta.map(|meta| meta.parameters).unwrap_or_else(inferium_types::Parameters::mainnet);
    Ok((Duration::from_millis(parameters.assessment_ms), parameters.assessment_items_max))
}

/// Does one job after the other until the time is over.
async fn run(
    record: &LeaseRecord,
    (model, server): (&Model, Option<&Arc<Server>>),
    vrf: &VrfSecretKey,
    time: Duration,
    items: u32,
) -> Result<Vec<FinishedJob>, String> {
    let until = Instant::now() + time;
    let vrf_output = vrf.prove(&vrf_input(&record.beacon, record.lease)).output();
    let (mut jobs, mut last, mut tokens): (Vec<FinishedJob>, _, u64) = (Vec::new(), Digest::ZERO, 0);
    for index in 0..items.min(record.terms.jobs_max) {
        if index > 0 && Instant::now() >= until {
            break;
        }
        let mut payload = assessment_payload(model.task(), &record.beacon, record.lease, index, &last);
        model.fill_tokens(&mut payload.input).map_err(|error| error.to_string())?;
        let prompt = model.read(&payload.input).map_err(|error| error.to_string())?;
        let prompt_tokens = u32::try_from(prompt.tokens()).map_err(|_| "a prompt without end".to_owned())?;
        let request = assessment_request(record.lease, index, &payload, prompt_tokens);
        tokens = tokens.saturating_add(request.tokens());
        if index > 0 && tokens > limits::SEGMENT_TOKENS_MAX.min(record.terms.tokens_max) {
            break;
        }
        let mode = record.terms.mode;
        let context = JobContext::honest(model.clone(), server.cloned(), vrf_output, mode);
        let job = job::run_unread(context, request, payload).await.map_err(|error| error.to_string())?;
        last = job.leaf.hash();
        jobs.push(job);
    }
    Ok(jobs)
}

/// Posts the request for a task when the worker has no tier, or is called and idle or late.
async fn ask(
    chain: &LightClient,
    sender: &Sender,
    me: NodeId,
    profile: ProfileId,
    report: CapabilityReport,
    is_busy: bool,
) -> Result<(), WorkerError> {
    let (Some(meta), Some(node), Some(known)) = (
        chain.entry::<Meta>(&StateKey::Meta).await?,
        chain.entry::<Node>(&StateKey::Node(me)).await?,
        chain.entry::<Profile>(&StateKey::Profile(profile)).await?,
    ) else {
        return Ok(());
    };
    let enough = usize::try_from(meta.parameters.profile_operators_min).unwrap_or(usize::MAX);
    if !node.is_active(meta.epoch) || known.validators.len() < enough || is_barred(chain, me, profile).await? {
        return Ok(());
    }
    let capability: Option<Capability> = chain.entry(&StateKey::Capability(me)).await?;
    if let Some(capability) = &capability {
        let late_ms = meta.timestamp_ms.saturating_add(meta.parameters.assessment_call_ms / CALL_PART);
        let is_wanted = match (capability.tier, capability.call_due_ms) {
            (None, _) => true,
            (Some(_), Some(due_ms)) => !is_busy || due_ms < late_ms,
            (Some(_), None) => false,
        };
        if !is_wanted {
            return Ok(());
        }
        if let Some(lease) = capability.lease
            && let Some(lease) = chain.entry::<Lease>(&StateKey::Lease(lease)).await?
            && (lease.state == LeaseState::Active || lease.segments_pending > 0)
        {
            return Ok(());
        }
    }
    let sent = sender.send(TransactionBody::OpenAssessment { profile, report }).await;
    let sent = sent.map_err(|error| WorkerError::Chain { reason: error.to_string() })?;
    if let Some(failure) = sent.failure {
        debug!(failure, "no capability task yet");
    }
    Ok(())
}
