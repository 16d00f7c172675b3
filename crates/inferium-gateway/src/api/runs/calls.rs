//! The model calls of runs: each a job on a lease of the agent's model, with a receipt like any other.

use super::super::{ApiModel, ApiState, sized};
use crate::hub::{CallAsked, Hub, JobEvent, JobSpec, NoLease, Preferences, Ticket};
use inferium_agent::call_seed;
use inferium_types::{Amount, JobId, ModelOutput, ModelTask, NodeId, wire::ModelAnswer};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a call waits for a lease with room.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries of a call: what the first worker failed at, another may do.
const TRIES: u8 = 2;

/// Answers hosts for as long as the gateway runs.
pub(crate) async fn answer_calls(state: ApiState, mut calls: mpsc::UnboundedReceiver<CallAsked>) {
    while let Some(asked) = calls.recv().await {
        let state = state.clone();
        tokio::spawn(async move {
            tokio::select! {
                outcome = answer(&state, &asked) => state.hub.answer_call(&asked, outcome).await,
                // Nobody waits for it any more, and nobody pays for more of it.
                () = asked.is_over() => {}
            }
        });
    }
}

async fn answer(state: &ApiState, asked: &CallAsked) -> Result<(ModelAnswer, Amount), String> {
    let model = state.models.iter().find(|model| model.id == asked.model);
    let model = model.ok_or("this gateway does not serve the agent's model")?;
    let spec = spec(model, asked).await?;
    let (mut reason, mut avoid) = ("no worker serves the agent's model".to_owned(), None);
    for attempt in 0..TRIES {
        match one(&state.hub, &spec, (JobId::of_call(asked.lease, 0, asked.call), attempt), avoid).await {
            Ok(done) => return Ok(done),
            Err((failure, worker)) => (reason, avoid) = (failure, worker.or(avoid)),
        }
    }
    Err(reason)
}

async fn spec(model: &Arc<ApiModel>, asked: &CallAsked) -> Result<JobSpec, String> {
    let payload = &asked.payload;
    payload.check().map_err(|error| error.to_string())?;
    model.fits(&payload.input, &asked.sampling).map_err(|error| error.to_string())?;
    // A conversation with what tools said, and a grammar: other requests do not wait for it.
    let (reader, input) = (Arc::clone(model), payload.input.clone());
    let prompt = sized(usize::MAX, move || reader.model.read(&input)).await.map_err(|error| error.to_string())?;
    let prompt = prompt.map_err(|error| error.to_string())?;
    let prompt_tokens = u32::try_from(prompt.tokens()).unwrap_or(u32::MAX);
    let context = u64::from(model.context_tokens).min(asked.tokens_left);
    let room = u32::try_from(context.saturating_sub(u64::from(prompt_tokens))).unwrap_or(u32::MAX);
    if room == 0 {
        return Err(format!(
            "the conversation has {prompt_tokens} tokens; the run has {} left, the model reads {}",
            asked.tokens_left, model.context_tokens
        ));
    }
    let spec = JobSpec {
        profile: model.id,
        kind: model.kind,
        task: ModelTask::Chat,
        input_commitment: payload.commitment(),
        payload: Arc::new(payload.clone()),
        prompt_tokens,
        tokens_max: asked.tokens_max.min(room),
        sampling: asked.sampling,
        client_seed: Some(call_seed(JobId::of_call(asked.lease, 0, asked.call))),
        payer: asked.payer,
        preferences: Preferences::default(),
        ticket: Ticket::default(),
        is_witnessed: true,
    };
    spec.check(model.context_tokens).map_err(|error| error.to_string())?;
    Ok(spec)
}

/// One try; whose it was when it failed.
async fn one(
    hub: &Arc<Hub>,
    spec: &JobSpec,
    (job, attempt): (JobId, u8),
    avoid: Option<NodeId>,
) -> Result<(ModelAnswer, Amount), (String, Option<NodeId>)> {
    let submitted = hub.submit(spec, job, attempt, avoid, PATIENCE).await;
    let mut handle = submitted.map_err(|refusal: NoLease| (refusal.to_string(), None))?;
    let worker = hub.worker_of(handle.request.lease);
    loop {
        match handle.next().await {
            Some(JobEvent::Text(_) | JobEvent::Parts(_) | JobEvent::Called(_)) => {}
            Some(JobEvent::Done { cost, leaf, output, .. }) => {
                let output = output.as_deref().and_then(ModelOutput::of);
                let output = output.ok_or_else(|| ("the job was lost".to_owned(), worker))?;
                return Ok((ModelAnswer { leaf: *leaf, output }, cost));
            }
            None => return Err(("the job was lost".to_owned(), worker)),
            Some(JobEvent::Failed { reason }) => return Err((reason, worker)),
        }
    }
}
