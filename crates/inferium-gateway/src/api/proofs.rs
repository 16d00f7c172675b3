//! `/v1/proofs`: proofs of what classifiers said, asked for with an answer and made when a worker has time (SPEC V10).
//!
//! What everybody sees of one is which job's answer is proved, of which model, by which job, and how it stands. The proof, its statement and
//! what opens its commitment to the input are for the key that pays.

use super::boards::{Standing, decided, standing};
use super::choices::ifr;
use super::error::{ApiError, PROOF};
use super::parts::{Tried, spec as job_spec, try_alone};
use super::{ApiModel, ApiState};
use crate::clock::unix_ms;
use crate::gateway::ServedProofs;
use crate::hub::Hub;
use crate::store::{PROOFS_UNDER_WAY_MAX, ProofJob, ProofRecord, ProofState, StoreError};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use inferium_engine::Model;
use inferium_types::{Amount, Digest, JobAnswer, JobId, JobPayload, ProfileId, ProvingInput, proof_leaf};
use inferium_zk::{Hiding, ProofFile, Statement};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Pause before a proof is asked for again that no worker took, or that one failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Proofs of one answer that no committee approves, or that fail, after which it is given up.
const FAILED_MAX: u32 = 8;
/// How long an answer waits for a worker at most: as long as a task of its kind may take (SPEC T1).
const QUEUED_MAX_MS: u64 = 24 * 3_600_000;

/// What proofs about one classifier are asked with.
#[derive(Debug, Clone)]
pub(super) struct Provers {
    /// The classifier's profile.
    classifier: ProfileId,
    model: Arc<ApiModel>,
}

impl Provers {
    pub(super) fn new(served: &ServedProofs) -> Self {
        let model = Model::Prover(Arc::clone(&served.prover));
        let (profile, context_tokens) = (served.prover.profile(), model.context_tokens());
        let kind = inferium_types::TaskKind::Validation;
        let price_max = served.demand.price_max;
        let model = ApiModel { id: profile.id(), kind, profile, model, context_tokens, price_max };
        Self { classifier: served.classifier, model: Arc::new(model) }
    }

    /// What proves answers of this classifier; `None` where none are.
    pub(super) fn of<'a>(offered: &'a [Self], classifier: &ProfileId) -> Option<&'a Self> {
        offered.iter().find(|provers| provers.classifier == *classifier)
    }
}

/// Refuses a proof of so many inputs that could not be asked for, or paid for beside its answer, which is of so many jobs and costs so much at
/// most; before that is begun.
pub(super) async fn check(
    state: &ApiState,
    payer: Digest,
    model: &ApiModel,
    (inputs, jobs, answer): (usize, usize, Amount),
) -> Result<(), ApiError> {
    let Some(provers) = Provers::of(&state.provers, &model.id) else {
        let message = format!("what `{}` says is not proved here", model.profile.name);
        return Err(ApiError::invalid("provider.verification", message));
    };
    if let Model::Prover(prover) = &provers.model.model {
        if inputs > prover.inputs_max() || jobs > 1 {
            let (name, most) = (&model.profile.name, prover.inputs_max());
            let message = format!(
                "a proof is of one job, and of {most} inputs of `{name}` at most: with `zk`, ask for {inputs} in several requests"
            );
            return Err(ApiError::invalid("input", message));
        }
        let price = provers.model.price_max.prompt_token.nano();
        let proof = price.saturating_mul(prover.tokens(inputs).into());
        let cost = Amount::from_nano(proof.saturating_add(answer.nano()));
        let left = state.hub.key(payer).map_or(Amount::ZERO, |key| key.left);
        if cost > left {
            let message = format!("this with its proof costs up to {}, and {} is left", ifr(cost), ifr(left));
            return Err(ApiError::Budget(message, cost));
        }
    }
    check_room(state, payer).await
}

/// Asks for a proof of a job's answer; what a client is told of it with the answer.
pub(super) async fn ask(
    state: &ApiState,
    payer: Digest,
    model: &ApiModel,
    (job, tensors, hides): (JobId, Vec<Vec<i16>>, bool),
) -> Result<Value, ApiError> {
    let url = format!("/v1/proofs/{job}");
    // The answer is paid for, and is not lost with the proof.
    let failed = json!({"object": "proof", "status": "failed", "error": "there is no room for more proofs now"});
    let Some(provers) = Provers::of(&state.provers, &model.id) else { return Ok(failed) };
    let record = ProofRecord {
        payer,
        created_at_ms: unix_ms(),
        model: model.profile.name.clone(),
        prover: provers.model.id,
        inputs: u32::try_from(tensors.len()).unwrap_or(u32::MAX),
        input: ProvingInput { job, tensors, seed: rand::random(), hides },
        state: ProofState::Queued,
        rejected: 0,
        waits: None,
    };
    if !state.hub.disk(move |hub| hub.store.put_proof(&record)).await? {
        return Ok(failed);
    }
    state.hub.proof_added();
    Ok(json!({"object": "proof", "status": "queued", "url": url}))
}

/// Refuses one more answer with its proof where a key has as many under way as it may.
pub(super) async fn check_room(state: &ApiState, payer: Digest) -> Result<(), ApiError> {
    match state.hub.disk(move |hub| hub.store.proofs_under_way(payer)).await? {
        under_way if under_way >= PROOFS_UNDER_WAY_MAX => Err(ApiError::Overloaded),
        _ => Ok(()),
    }
}

/// Keeps the proof that an answer of private weights came with (SPEC V12): its committee decides, and no other is made.
pub(super) async fn keep(
    state: &ApiState,
    (payer, model): (Digest, &ApiModel),
    input: ProvingInput,
    (claimed, proof): (ProofJob, Vec<u8>),
) -> Result<Value, ApiError> {
    let id = input.job;
    let record = ProofRecord {
        payer,
        created_at_ms: unix_ms(),
        model: model.profile.name.clone(),
        prover: model.id,
        inputs: u32::try_from(input.tensors.len()).unwrap_or(u32::MAX),
        input,
        state: ProofState::Claimed(claimed.clone()),
        rejected: 0,
        waits: None,
    };
    let kept = move |hub: &Hub| {
        let has_room = hub.store.put_proof(&record)?;
        if has_room {
            hub.store.claim_proof(id, claimed, &proof)?;
        }
        Ok(has_room)
    };
    if !state.hub.disk(kept).await? {
        return Ok(json!({"object": "proof", "status": "failed", "error": "there is no room for more proofs now"}));
    }
    state.hub.proof_added();
    Ok(json!({"object": "proof", "status": "provisional", "url": format!("/v1/proofs/{id}")}))
}

/// Works on all proofs that there are, and come; ends only when the disk fails.
pub(crate) async fn run_proofs(state: ApiState) -> Result<(), StoreError> {
    let mut working = FuturesUnordered::new();
    let mut at_work = BTreeSet::new();
    loop {
        for (id, record) in state.hub.disk(|hub| hub.store.proofs()).await? {
            if !record.state.is_over() && at_work.insert(id) {
                let provers = state.provers.iter().find(|provers| provers.model.id == record.prover);
                let model = provers.map(|provers| Arc::clone(&provers.model));
                let task = Task { hub: Arc::clone(&state.hub), model, id };
                working.push(async move { (id, task.drive().await) }.boxed());
            }
        }
        tokio::select! {
            () = state.hub.next_proof() => {}
            Some((id, outcome)) = working.next() => {
                outcome?;
                at_work.remove(&id);
            }
        }
    }
}

/// An answer that is being proved.
struct Task {
    hub: Arc<Hub>,
    /// Nothing where the model is not proved any more.
    model: Option<Arc<ApiModel>>,
    id: JobId,
}

impl Task {
    /// To its end.
    async fn drive(self) -> Result<(), StoreError> {
        let id = self.id;
        // Its lease is opened while it waits for one.
        let _waits = self.model.as_ref().map(|model| self.hub.line_waits(model.id));
        let mut failed = 0;
        loop {
            let Some(record) = self.hub.disk(move |hub| hub.store.proof(id)).await? else { return Ok(()) };
            let outcome = match &record.state {
                ProofState::Approved(_) | ProofState::Failed(_) => return Ok(()),
                ProofState::Queued if record.rejected.saturating_add(failed) >= FAILED_MAX => {
                    Err(format!("{FAILED_MAX} proofs failed, or were not approved"))
                }
                ProofState::Queued if unix_ms().saturating_sub(record.created_at_ms) > QUEUED_MAX_MS => {
                    Err("no worker proved it within 24 hours".to_owned())
                }
                ProofState::Queued => match &self.model {
                    Some(model) => self.prove(model, &record, &mut failed).await?,
                    None if record.rejected > 0 => Err("its committee did not approve it".to_owned()),
                    None => Err("nothing here proves what this model says any more".to_owned()),
                },
                ProofState::Claimed(claimed) => {
                    let claimed = claimed.clone();
                    let is_approved = decided(&self.hub, claimed.job).await?;
                    let change = move |hub: &Hub| match is_approved {
                        true => hub.store.end_proof(id, ProofState::Approved(claimed)),
                        false => hub.store.reject_proof(id, rand::random()),
                    };
                    self.hub.disk(change).await?;
                    info!(job = %id, is_approved, "a committee decided about a proof");
                    Ok(())
                }
            };
            if let Err(why) = outcome {
                warn!(job = %id, why, "a proof was given up");
                let state = ProofState::Failed(why);
                return self.hub.disk(move |hub| hub.store.end_proof(id, state)).await;
            }
        }
    }

    /// One try: by whichever worker has time. Why it is given up, if it is.
    async fn prove(
        &self,
        model: &ApiModel,
        record: &ProofRecord,
        failed: &mut u32,
    ) -> Result<Result<(), String>, StoreError> {
        let (id, payload) = (self.id, JobPayload::prove(rand::random(), record.input.clone()));
        let tokens = match model.model.read(&payload.input) {
            Ok(prompt) => prompt.tokens(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let spec = match job_spec((model, record.payer), payload, tokens) {
            Ok(spec) => spec,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let began = Instant::now();
        let waits = match try_alone(&self.hub, spec).await {
            Ok(Tried::Done(done)) => {
                let (Some(job), JobAnswer::Proof(proof)) = (JobId::from_hex(&done.job), done.answer) else {
                    return Ok(Err("a worker answered something else".to_owned()));
                };
                let claimed = ProofJob {
                    job,
                    took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    cost: done.cost,
                    size: u64::try_from(proof.len()).unwrap_or(u64::MAX),
                    digest: proof_leaf(&proof),
                };
                self.hub.disk(move |hub| hub.store.claim_proof(id, claimed, &proof)).await?;
                return Ok(Ok(()));
            }
            Ok(Tried::NoRoom) => "a worker that proves".to_owned(),
            Ok(Tried::WorkerFailed(reason)) => {
                *failed = failed.saturating_add(1);
                // It has the seed, and may have made a proof with it.
                self.hub
                    .disk(move |hub| hub.store.change_proof(id, |record| record.input.seed = rand::random()))
                    .await?;
                format!("another worker: {reason}")
            }
            Err(ApiError::Budget(message, _)) => format!("more budget: {message}"),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if record.waits.as_ref() != Some(&waits) {
            self.hub.disk(move |hub| hub.store.change_proof(id, |record| record.waits = Some(waits))).await?;
        }
        tokio::time::sleep(AGAIN).await;
        Ok(Ok(()))
    }
}

/// Where a proof stands, in a word.
fn status(record: &ProofRecord, standing: Option<Standing>) -> &'static str {
    match (&record.state, standing) {
        (ProofState::Queued, _) => "queued",
        (ProofState::Failed(_), _) => "failed",
        // What was approved may be found wrong later (SPEC V4).
        (ProofState::Claimed(_) | ProofState::Approved(_), standing) => standing.map_or("provisional", Standing::name),
    }
}

/// Whether it was made by private weights: what proves them is a model that clients name.
fn is_private(state: &ApiState, record: &ProofRecord) -> bool {
    state.models.iter().any(|model| model.id == record.prover)
}

/// What everybody sees.
fn brief(is_private: bool, id: JobId, record: &ProofRecord, standing: Option<Standing>) -> Map<String, Value> {
    let job = record.state.job();
    let shown = json!({
        "object": "proof",
        "job": id.to_string(),
        "model": record.model,
        "status": status(record, standing),
        "created": record.created_at_ms / 1_000,
        "hides": match (is_private, record.input.hides) {
            (true, _) => "activations_and_weights",
            (false, true) => "activations",
            (false, false) => "nothing",
        },
        "rejected": record.rejected,
        "proof_job": job.map(|job| job.job.to_string()),
        "receipt_url": job.map(|job| format!("/v1/receipts/{}", job.job)),
        "digest": job.map(|job| job.digest.to_string()),
        "size": job.map(|job| job.size),
        "inputs": record.inputs,
        "took_ms": job.map(|job| job.took_ms),
        "cost": job.map(|job| ifr(job.cost)),
        "cost_nano": job.map(|job| job.cost.nano()),
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What who pays sees beside it: the statement, and what opens its commitment to the input.
fn details(id: JobId, record: &ProofRecord, proof: Option<&[u8]>) -> Map<String, Value> {
    let statement = proof.and_then(|proof| ProofFile::from_bytes(proof).ok()).map(|file| {
        let Statement { input, output, task, chain, prover, hiding } = file.statement;
        json!({
            "model": hex::encode(file.model), "input": hex::encode(input), "output": output, "task": hex::encode(task),
            "chain": hex::encode(chain), "prover": hex::encode(prover), "hiding": hiding == Hiding::Activations,
        })
    });
    let error = match &record.state {
        ProofState::Failed(why) => Some(why),
        ProofState::Queued | ProofState::Claimed(_) | ProofState::Approved(_) => None,
    };
    let shown = json!({
        "error": error,
        "waits": record.waits,
        "statement": statement,
        "seed": hex::encode(record.input.seed),
        "file_url": proof.map(|_| format!("/v1/proofs/{id}/file")),
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A record with where its proof's job stands. Waits for the disk.
fn with_standing(hub: &Hub, record: &ProofRecord) -> Result<Option<Standing>, StoreError> {
    record.state.job().map(|job| standing(hub, job.job)).transpose()
}

/// All proofs, the newest first.
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let found = state.hub.disk(|hub| {
        let mut found = Vec::new();
        for (id, record) in hub.store.proofs()? {
            let standing = with_standing(hub, &record)?;
            found.push((id, record, standing));
        }
        Ok(found)
    });
    let mut found = found.await?;
    found.sort_by_key(|(id, record, _)| (std::cmp::Reverse(record.created_at_ms), *id));
    let data =
        found.iter().map(|(id, record, standing)| brief(is_private(&state, record), *id, record, *standing).into());
    let data: Vec<Value> = data.collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

fn id_of(id: Result<Path<String>, PathRejection>) -> Result<JobId, ApiError> {
    let Path(id) = id.map_err(|rejection| ApiError::invalid("job", rejection.body_text()))?;
    JobId::from_hex(&id).ok_or(ApiError::Missing { what: PROOF, id })
}

pub(super) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let id = id_of(id)?;
    let found = state.hub.disk(move |hub| {
        let Some(record) = hub.store.proof(id)? else { return Ok(None) };
        let standing = with_standing(hub, &record)?;
        let proof = if is_final(standing) { hub.store.proved(id)? } else { None };
        Ok(Some((record, standing, proof)))
    });
    let missing = || ApiError::Missing { what: PROOF, id: id.to_string() };
    let (record, standing, proof) = found.await?.ok_or_else(missing)?;
    let mut shown = brief(is_private(&state, &record), id, &record, standing);
    if state.key(&headers).is_ok_and(|key| key.hash == record.payer) {
        shown.extend(details(id, &record, proof.as_deref()));
    }
    Ok(Json(shown.into()))
}

/// One that no committee approved is shown to nobody: another may come, and two of one input tell more than one.
const fn is_final(standing: Option<Standing>) -> bool {
    matches!(standing, Some(Standing::Final | Standing::Settled))
}

/// The proof with its statement, once it is final, for the key that pays for it.
pub(super) async fn file(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let id = id_of(id)?;
    let found = state.hub.disk(move |hub| {
        let Some(record) = hub.store.proof(id)?.filter(|record| record.payer == payer) else { return Ok(None) };
        if is_final(with_standing(hub, &record)?) { hub.store.proved(id) } else { Ok(None) }
    });
    let bytes = found.await?.ok_or_else(|| ApiError::Missing { what: PROOF, id: id.to_string() })?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

#[cfg(test)]
mod tests;
