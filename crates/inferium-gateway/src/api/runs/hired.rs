//! Runs that other runs hired (SPEC A3): the ledger opened them, and they are hosted like those that clients ask for.

use super::super::ApiState;
use super::super::error::ApiError;
use super::agents::Found;
use super::kept;
use super::open::{Asked, Waiting, hosted};
use crate::clock::unix_ms;
use crate::hub::{HiredRun, Hub};
use crate::store::{HiredRecord, RunRecord};
use inferium_types::{Amount, Digest, JobInput, LeaseId, step_request};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Has hired runs hosted for as long as the gateway runs.
pub(crate) async fn host_hired(state: ApiState, mut hired: mpsc::UnboundedReceiver<HiredRun>) {
    while let Some(one) = hired.recv().await {
        let state = state.clone();
        tokio::spawn(async move {
            let _ends = EndsHired { hub: Arc::clone(&state.hub), run: one.run };
            host(&state, one).await;
        });
    }
}

/// Whatever comes of it, it is over then.
struct EndsHired {
    hub: Arc<Hub>,
    run: LeaseId,
}

impl Drop for EndsHired {
    fn drop(&mut self) {
        self.hub.end_hired(self.run);
    }
}

async fn host(state: &ApiState, hired: HiredRun) {
    let HiredRun { run, by, agent, payer, .. } = hired;
    let began_at_ms = unix_ms();
    if let Err(error) = begin(state, hired, began_at_ms).await {
        warn!(%run, %error, "a hired run can't be hosted");
        if let Some(opener) = &state.runs {
            // What was set aside for it goes back.
            opener.close(run).await;
        }
        let shown = json!({
            "id": run.to_string(),
            "object": "run",
            "agent": {"id": agent.to_string()},
            "hired_by": by.to_string(),
            "status": "failed",
            "began_at": began_at_ms / 1_000,
            "ended_at": unix_ms() / 1_000,
            "error": error.to_string(),
            "calls": [],
        })
        .to_string();
        let record = RunRecord { began_at_ms, brief: shown.clone(), shown };
        let kept = state.hub.disk(move |hub| hub.store.put_run(payer, run, &record)).await;
        state.hub.must(kept);
    }
}

/// To the run's end, unless it can't begin.
async fn begin(state: &ApiState, hired: HiredRun, began_at_ms: u64) -> Result<(), ApiError> {
    let HiredRun { run, by, agent: id, version, payload, payer } = hired;
    let opener = state.runs.clone().ok_or_else(|| ApiError::Internal("this gateway follows no chain".to_owned()))?;
    let unknown = || ApiError::AgentNotFound(format!("there is no agent {id} of the version that was hired"));
    // The ledger opened the run of this version; what is published since is another.
    let agent = opener.entry(id).await?.filter(|agent| agent.terms.version_digest() == version).ok_or_else(unknown)?;
    let JobInput::Run(input) = &payload.input else {
        return Err(ApiError::Internal("what a hired run is given is no run's input".to_owned()));
    };
    if Digest::sha256(input.manifest.as_bytes()) != agent.terms.manifest {
        let message = "the manifest under `hire` is not the one that the chain has of that version";
        return Err(ApiError::RunFailed(message.to_owned()));
    }
    let found = Found { id, manifest: input.manifest.clone(), agent };
    let reserved = state.hub.reserve_run(payer, found.agent.terms.model, Amount::ZERO)?;
    let request = step_request(run, 0, &Digest::ZERO, &payload.commitment());
    // Nobody waits for it: the run is looked up when it is done.
    let ((news, _), (ended, _answered)) = (mpsc::channel(1), oneshot::channel());
    let asked = Asked {
        payload: Arc::new(payload),
        payer,
        secrets: Vec::new(),
        found,
        hired_by: Some(by),
        hires_max: Amount::ZERO,
    };
    hosted(Arc::clone(&state.hub), opener, asked, (request, began_at_ms), reserved, Waiting { news, ended }).await;
    Ok(())
}

/// Tells in a run that is shown what became of those that it hired.
pub(super) async fn tell(state: &ApiState, (payer, run): (Digest, LeaseId), shown: &mut Value) -> Result<(), ApiError> {
    let Some(calls) = shown.get_mut("calls").and_then(Value::as_array_mut) else { return Ok(()) };
    for (place, call) in (0u32..).zip(calls) {
        let Some(call) = call.as_object_mut().filter(|call| call.get("type").is_some_and(|of| of == "hire")) else {
            continue;
        };
        let (id, status, error) = match state.hub.disk(move |hub| hub.store.hired((run, place))).await? {
            None => (None, json!("ordered"), Value::Null),
            Some(HiredRecord::Refused { reason }) => (None, json!("refused"), json!(reason)),
            Some(HiredRecord::Opened { run: hired }) => {
                let (status, error) = outcome(state, payer, hired).await?;
                (Some(hired.to_string()), status, error)
            }
        };
        call.insert("run".to_owned(), json!(id));
        call.insert("status".to_owned(), status);
        if !error.is_null() {
            call.insert("error".to_owned(), error);
        }
    }
    Ok(())
}

async fn outcome(state: &ApiState, payer: Digest, run: LeaseId) -> Result<(Value, Value), ApiError> {
    // Asked first: a run that ends in between is kept by then.
    let is_under_way = state.hub.is_hosting(run);
    let kept = kept(state, payer, run).await?;
    let field = |name: &str| kept.as_ref().and_then(|shown| shown.get(name)).cloned().unwrap_or_default();
    Ok(match (&kept, is_under_way) {
        (Some(_), _) => (field("status"), field("error")),
        (None, true) => (json!("in_progress"), Value::Null),
        (None, false) => (
            json!("unknown"),
            json!("the gateway stopped before it was over, or keeps it no more; what it did not earn went back"),
        ),
    })
}
