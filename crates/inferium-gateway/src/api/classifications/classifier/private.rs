//! What a classifier of private weights says (SPEC V12): its worker proves it, or there is no answer.

use super::super::super::choices::ifr;
use super::super::super::parts::{Done, Extras, JobExtras, PartUsage, respond, run_all, spec};
use super::super::super::{ApiModel, ApiState, error::ApiError, proofs, sized};
use super::{Classified, ClassifiedList, Hides, Reading, Request};
use crate::hub::{JobSpec, Preferences};
use crate::store::ProofJob;
use axum::{body::Bytes, response::Response};
use inferium_engine::Prover;
use inferium_exact::argmax;
use inferium_ledger::{Profile, StateKey};
use inferium_types::{
    Amount, ClassifierInputs, ClassifierReads, Digest, JobAnswer, JobId, JobPayload, ModelTask, ProvingInput,
    proof_leaf,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request waits for a lease, which is opened for it: nobody has one for nothing, since each job spends an opening.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before it looks for one again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long it waits until it asks the chain whether there can be one: the last task may wait for a worker of another tier (SPEC N3).
const SPENT_AFTER: Duration = Duration::from_secs(10);

impl Reading {
    fn of_private(prover: &Prover) -> Self {
        let (shape, least, most) = prover.inputs();
        let elements = u32::try_from(shape.elements()).unwrap_or(u32::MAX);
        let reads = ClassifierReads::Tensors { elements, least, most };
        Self { reads, shape: [shape.channels, shape.height, shape.width] }
    }
}

/// How many openings there were, when the chain opens no task any more and none of its leases has a job left. What can't be read is not known
/// to be spent.
async fn spent(state: &ApiState, model: &ApiModel) -> Option<u32> {
    let (ModelTask::ProvePrivate { openings }, Some(opener)) = (model.profile.task, &state.runs) else { return None };
    let entry: Profile = opener.chain.entry(&StateKey::Profile(model.id)).await.ok().flatten()?;
    let has_lease = state.hub.active_leases(model.id, model.kind).1 > 0;
    (entry.openings_spent >= openings && !has_lease).then_some(openings)
}

pub(in super::super) async fn create(
    state: &ApiState,
    payer: Digest,
    (model, prover): (Arc<ApiModel>, Arc<Prover>),
    body: Bytes,
) -> Result<Response, ApiError> {
    let reading = Reading::of_private(&prover);
    let request = sized(usize::MAX, move || Request::parse(&body, reading)).await??;
    let Request { inputs, opening, routing, proof } = request;
    if proof == Some(Hides::Nothing) {
        let message = "weights that are private are proved with by proofs that hide";
        return Err(ApiError::invalid("proof.hides", message));
    }
    model.suits(&routing)?;
    let ClassifierInputs::Tensors(tensors) = inputs else {
        return Err(ApiError::invalid("input", "this classifier reads numbers"));
    };
    proofs::check_room(state, payer).await?;
    // The task is drawn here: what it names is this request, and nobody else's.
    let job = JobId::new(Digest::from(rand::random::<[u8; 32]>()));
    let input = ProvingInput { job, tensors, seed: rand::random(), hides: true };
    let payload = JobPayload::prove(rand::random(), input.clone());
    let tokens = model.model.read(&payload.input).map_err(|error| ApiError::invalid("input", error.to_string()))?;
    let asked = spec((&model, payer), payload, tokens.tokens())?;
    // Before a lease is opened for it: what it costs at most, and that there is nothing to choose.
    let cost = asked.cost_max(&model.price_max);
    let left = state.hub.key(payer).map_or(Amount::ZERO, |key| key.left);
    if cost > left {
        let message = format!("this costs up to {}, and {} is left", ifr(cost), ifr(left));
        return Err(ApiError::Budget(message, cost));
    }
    if routing.preferences != Preferences::default() {
        let message = "private weights have one owner: no other worker can be preferred";
        return Err(ApiError::invalid("provider", message));
    }
    // A lease that was opened for a request has spent an opening: it goes on though the client is gone.
    let answering = answer_and_keep((state.clone(), payer, model), input, asked, opening);
    tokio::spawn(answering).await.map_err(|error| ApiError::Internal(error.to_string()))?
}

/// Has it answered, and keeps the proof.
async fn answer_and_keep(
    (state, payer, model): (ApiState, Digest, Arc<ApiModel>),
    input: ProvingInput,
    asked: JobSpec,
    opening: bool,
) -> Result<Response, ApiError> {
    // A lease is opened for it while it waits for one, and for no other while it has it.
    let _waits = state.hub.line_waits(model.id);
    let began = Instant::now();
    let done = loop {
        match run_all(&state.hub, vec![asked.clone()]).await {
            Ok(mut done) => break done.pop().ok_or(ApiError::NoWorker)?,
            Err(ApiError::NoWorker | ApiError::Overloaded) if began.elapsed() > PATIENCE => {
                return Err(ApiError::NoWorker);
            }
            Err(ApiError::NoWorker | ApiError::Overloaded) => tokio::time::sleep(AGAIN).await,
            Err(error) => return Err(error),
        }
        if began.elapsed() > SPENT_AFTER
            && let Some(openings) = spent(&state, &model).await
        {
            return Err(ApiError::OpeningsSpent { model: model.profile.name.clone(), openings });
        }
    };
    let JobAnswer::Proof(bytes) = &done.answer else {
        return Err(ApiError::WorkerFailed("it answered something else".to_owned()));
    };
    let claimed = ProofJob {
        job: JobId::from_hex(&done.job).ok_or_else(|| ApiError::WorkerFailed("a job without an id".to_owned()))?,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        cost: done.cost,
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        digest: proof_leaf(bytes),
    };
    let (reading, proved) = (input.clone(), bytes.clone());
    let outputs = model.model.prove_aside(move |prover| prover.outputs(&reading, &proved)).await;
    // Nobody is told what is not proved; its committee will say the same of the worker.
    let outputs = outputs.ok().flatten();
    let outputs = outputs.ok_or_else(|| ApiError::WorkerFailed("its proof does not hold".to_owned()))?;
    let kept = proofs::keep(&state, (payer, &model), input, (claimed, bytes.clone())).await?;
    Ok(answer(&model, outputs, done, opening, kept))
}

fn answer(model: &ApiModel, outputs: Vec<Vec<i32>>, done: Done, opening: bool, proof: serde_json::Value) -> Response {
    let count = outputs.len();
    let of = |(index, logits): (usize, Vec<i32>)| {
        let class = argmax(&logits);
        // Private weights have no labels but the places of their numbers.
        let (label, num_classes) = (class.to_string(), logits.len());
        Classified { object: "classification", index, label, class, num_classes, logits }
    };
    let data = outputs.into_iter().enumerate().map(of).collect();
    let jobs = vec![JobExtras::new(&done, (0, count), opening)];
    let usage = PartUsage::of(std::slice::from_ref(&done));
    let model = model.profile.name.clone();
    let list = ClassifiedList { object: "list", data, model, usage, inferium: Extras { jobs }, proof: Some(proof) };
    respond(&list, &list.inferium)
}
