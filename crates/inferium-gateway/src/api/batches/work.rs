//! The work of batches: each line goes through the handler that serves it to clients, on leases of batches.
//!
//! A line's result is on disk before it counts; whatever ends the gateway, a line that has one is not done again. A line waits for a lease
//! with room, for its key's limits, and for nothing else.

use super::lines::{self, Line};
use crate::api::error::ApiError;
use crate::api::{ApiState, chat, completions, embeddings, responses};
use crate::clock::unix_ms;
use crate::hub::{OverLimit, Pending};
use crate::store::{BYTES_MAX, BatchEnd, BatchStatus, Endpoint, Fault, LineRecord, StoreError};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use inferium_types::{Amount, Digest, ProfileId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

/// Lines of one batch that are at work or wait for room.
const AT_ONCE: usize = 32;
/// Lines of one key that are at work: what they are answered with is in memory until it is on disk.
const ANSWERED_AT_ONCE: usize = 32;
/// How often a line is tried that workers fail.
const TRIES: u32 = 3;
/// How long a line waits for news of room before it looks by itself: a key's budget makes none.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often what has expired is forgotten.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How long what a batch made is kept.
const KEPT_MS: u64 = crate::api::files::KEPT_MS;

/// Works on all batches that there are, and come; ends only when the disk fails.
pub(crate) async fn run(state: ApiState) -> Result<(), StoreError> {
    let state = state.for_batches();
    let mut turns: BTreeMap<Digest, Arc<Semaphore>> = BTreeMap::new();
    let mut sweep = tokio::time::interval(SWEEP);
    let mut working = FuturesUnordered::new();
    let mut at_work = BTreeSet::new();
    loop {
        for (owner, id) in state.hub.disk(|hub| hub.store.batches_to_do()).await? {
            if at_work.insert(id) {
                let of_owner = turns.entry(owner).or_insert_with(|| Arc::new(Semaphore::new(ANSWERED_AT_ONCE)));
                let (state, turns) = (ApiState { acting: Some(owner), ..state.clone() }, Arc::clone(of_owner));
                working.push(async move { (id, work(&state, turns, owner, id).await) }.boxed());
            }
        }
        tokio::select! {
            () = state.hub.next_batch() => {}
            Some((id, outcome)) = working.next() => {
                outcome?;
                state.hub.batch_ended(id);
                at_work.remove(&id);
            }
            _ = sweep.tick() => {
                let now_ms = unix_ms();
                state.hub.disk(move |hub| hub.store.remove_expired_files(now_ms, now_ms.saturating_sub(KEPT_MS))).await?;
            }
        }
    }
}

/// One batch to its end.
async fn work(state: &ApiState, turns: Arc<Semaphore>, owner: Digest, id: Digest) -> Result<(), StoreError> {
    let Some(mut batch) = state.hub.disk(move |hub| hub.store.batch(owner, id)).await? else { return Ok(()) };
    let content = {
        let input = batch.input;
        state.hub.disk(move |hub| hub.store.content(input)).await?
    };
    let endpoint = batch.endpoint;
    // A file of megabytes takes a while to read.
    let read = state.hub.disk(move |_| Ok(lines::read(&content.unwrap_or_default(), endpoint))).await?;
    let lines = match read {
        Ok(lines) => lines,
        Err(faults) => return end(state, owner, id, BatchStatus::Failed, faults).await,
    };
    if batch.status == BatchStatus::Validating {
        let total = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let changed = state.hub.disk(move |hub| {
            hub.store.change_batch(owner, id, |batch| {
                batch.total = total;
                // It may have been cancelled meanwhile.
                if batch.status == BatchStatus::Validating {
                    batch.status = BatchStatus::InProgress;
                    batch.in_progress_at_ms = Some(unix_ms());
                }
            })
        });
        let Some(changed) = changed.await? else { return Ok(()) };
        batch = changed;
    }
    info!(batch = %super::batch_id(id), lines = batch.total, "a batch is at work");
    let stop = if batch.status == BatchStatus::Cancelling {
        Some(Stop::Cancelled)
    } else {
        let done = state.hub.disk(move |hub| hub.store.lines_done(id)).await?;
        let left = lines.iter().filter(|line| !done.contains(&line.number)).cloned().collect();
        let (state, expires_at_ms) = (state.clone(), batch.expires_at_ms);
        Arc::new(Batch { state, turns, owner, id, endpoint, expires_at_ms }).run(left).await?
    };
    match stop {
        None => end(state, owner, id, BatchStatus::Completed, Vec::new()).await,
        Some(Stop::Cancelled) => end(state, owner, id, BatchStatus::Cancelled, Vec::new()).await,
        Some(Stop::Failed(fault)) => end(state, owner, id, BatchStatus::Failed, vec![fault]).await,
        Some(Stop::Expired) => {
            let code = json!({"code": "batch_expired", "message": "the batch was not done in time"});
            let late =
                lines.iter().map(|line| (line.number, unanswered(line, &code), Amount::ZERO)).collect::<Vec<_>>();
            state.hub.disk(move |hub| hub.store.put_lines(owner, id, &late)).await?;
            end(state, owner, id, BatchStatus::Expired, Vec::new()).await
        }
    }
}

async fn end(
    state: &ApiState,
    owner: Digest,
    id: Digest,
    status: BatchStatus,
    faults: Vec<Fault>,
) -> Result<(), StoreError> {
    let now_ms = unix_ms();
    let end = BatchEnd { status, faults, now_ms, expires_at_ms: now_ms.saturating_add(KEPT_MS) };
    state.hub.disk(move |hub| hub.store.end_batch(owner, id, &end)).await?;
    info!(batch = %super::batch_id(id), status = status.name(), "a batch has ended");
    Ok(())
}

/// Why a batch ends before its last line.
#[derive(Debug, Clone)]
enum Stop {
    Cancelled,
    Expired,
    Failed(Fault),
}

/// What became of a line.
enum Outcome {
    /// It has a result, to be kept.
    Done(LineRecord, Amount),
    /// The batch stopped before it was begun.
    Left,
    /// No line can be done any more.
    Fatal(Fault),
}

/// A batch at work.
struct Batch {
    state: ApiState,
    /// A permit for each line at work.
    turns: Arc<Semaphore>,
    owner: Digest,
    id: Digest,
    endpoint: Endpoint,
    expires_at_ms: u64,
}

impl Batch {
    /// Works on `left`, the lines without a result, several at a time; lines that were begun are ended whatever stops it.
    async fn run(self: Arc<Self>, left: Vec<Line>) -> Result<Option<Stop>, StoreError> {
        let (hub, owner) = (&self.state.hub, self.owner);
        if !hub.disk(move |hub| hub.store.has_room(owner)).await? {
            return Ok(Some(Stop::Failed(no_room())));
        }
        let (halt, halted) = watch::channel(false);
        let pending: Vec<(Line, Option<(ProfileId, Pending)>)> = left
            .into_iter()
            .map(|line| {
                let model = line.model.as_deref().and_then(|name| self.state.model(name).ok());
                // Nothing is asked of the pool for lines that would be refused: each lease costs a fee.
                let model = model.filter(|model| hub.may_ask(self.owner, model.id));
                let waits = model.map(|model| (model.id, hub.line_waits(model.id)));
                (line, waits)
            })
            .collect();
        let work = pending.into_iter().map(|(line, waits)| {
            let (batch, mut halted) = (Arc::clone(&self), halted.clone());
            let one = async move {
                let profile = waits.as_ref().map(|(profile, _)| *profile);
                let outcome = batch.answer(&line, profile, &mut halted).await;
                (line.number, outcome, waits)
            };
            one.boxed()
        });
        let mut work = futures::stream::iter(work).buffer_unordered(AT_ONCE);
        let expires = Duration::from_millis(self.expires_at_ms.saturating_sub(unix_ms()));
        let stops = async {
            tokio::select! {
                () = hub.batch_cancelled(self.id) => Stop::Cancelled,
                () = tokio::time::sleep(expires) => Stop::Expired,
            }
        };
        tokio::pin!(stops);
        let mut stop = None;
        loop {
            let found = tokio::select! {
                found = work.next() => found,
                why = &mut stops, if stop.is_none() => {
                    stop = Some(why);
                    halt.send_replace(true);
                    continue;
                }
            };
            match found {
                None => return Ok(stop),
                Some((number, outcome, _)) => match outcome {
                    Outcome::Left => {}
                    Outcome::Done(line, cost) => {
                        let id = self.id;
                        let kept = hub.disk(move |hub| hub.store.put_lines(owner, id, &[(number, line, cost)]));
                        if !kept.await? && stop.is_none() {
                            halt.send_replace(true);
                            stop = Some(Stop::Failed(no_room()));
                        }
                    }
                    Outcome::Fatal(fault) => {
                        halt.send_replace(true);
                        // Whatever stopped it before, that is why it failed.
                        stop = Some(Stop::Failed(fault));
                    }
                },
            }
        }
    }

    /// Answers a line, as soon as there is room for it.
    async fn answer(&self, line: &Line, profile: Option<ProfileId>, halted: &mut watch::Receiver<bool>) -> Outcome {
        let hub = &self.state.hub;
        let (mut is_counted, mut tries) = (false, 0);
        loop {
            if *halted.borrow() {
                return Outcome::Left;
            }
            // Said by no lease while there is none, and none is asked for.
            if !hub.has_budget(self.owner) {
                let spent = ApiError::Budget("nothing is left of it".into(), Amount::ZERO);
                return refused(line, &spent);
            }
            let more_room = hub.more_room();
            tokio::pin!(more_room);
            more_room.as_mut().enable();
            let mut wait = LOOK_AGAIN;
            let has_slot = || profile.is_none_or(|profile| hub.has_slot(profile, lines::KIND));
            if has_slot() {
                let turn = self.turns.acquire().await;
                // Others may have had it meanwhile, or the batch was stopped.
                if *halted.borrow() || !has_slot() {
                    continue;
                }
                let outcome = self.ask(line, &mut is_counted).await;
                drop(turn);
                match outcome {
                    Ok((body, cost)) => return Outcome::Done(answered(line, 200, &body, false), cost),
                    Err(ApiError::Overloaded | ApiError::NoWorker) => {}
                    // Lines beside this one reserve what they may cost, which is more than they will.
                    Err(ApiError::Budget(..)) if hub.has_reserved(self.owner) => {}
                    Err(ApiError::OverLimit(OverLimit { wait_ms: Some(wait_ms), .. })) => {
                        wait = Duration::from_millis(wait_ms);
                    }
                    Err(ApiError::WorkerFailed(_)) if tries < TRIES => tries += 1,
                    Err(error) => return refused(line, &error),
                }
            }
            tokio::select! {
                () = more_room, if wait == LOOK_AGAIN => {}
                () = tokio::time::sleep(wait) => {}
                _ = halted.wait_for(|halted| *halted) => {}
            }
        }
    }

    /// Hands a line to the handler that a client's request would get; its answer and what that cost.
    /// A line is one request of its key, however often it is tried.
    async fn ask(&self, line: &Line, is_counted: &mut bool) -> Result<(String, Amount), ApiError> {
        if !*is_counted {
            self.state.hub.take_request(self.owner)?;
            *is_counted = true;
        }
        let (state, headers, body) = (State(self.state.clone()), HeaderMap::new(), Ok(line.body.clone()));
        let answer = async {
            let answer = match self.endpoint {
                Endpoint::Chat => chat::completions(state, headers, body).await,
                Endpoint::Completions => completions::create(state, headers, body).await,
                Endpoint::Embeddings => embeddings::create(state, headers, body).await,
                Endpoint::Responses => responses::create(state, headers, body).await,
            }?;
            whole(answer).await
        };
        // What would cost a client its connection must not cost all batches theirs.
        let answer = AssertUnwindSafe(answer).catch_unwind().await;
        answer.unwrap_or_else(|_| Err(ApiError::Internal("the line could not be worked on".into())))
    }
}

/// An answer's body, and what it says that it cost.
async fn whole(answer: Response) -> Result<(String, Amount), ApiError> {
    let failed = |error: &dyn std::fmt::Display| ApiError::Internal(error.to_string());
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.map_err(|error| failed(&error))?;
    let body = String::from_utf8(bytes.into()).map_err(|error| failed(&error))?;
    // It may be megabytes, of which nothing else is looked at.
    let Shown { usage } = serde_json::from_str(&body).map_err(|error| failed(&error))?;
    Ok((body, Amount::from_nano(usage.map(|usage| usage.cost_nano).unwrap_or_default())))
}

#[derive(Deserialize)]
struct Shown {
    usage: Option<ShownUsage>,
}

#[derive(Deserialize)]
struct ShownUsage {
    #[serde(default)]
    cost_nano: u64,
}

/// The key has no room for more answers.
fn no_room() -> Fault {
    let message = format!("the key's files and answers take {BYTES_MAX} bytes, which is all that it has; delete some");
    Fault { code: "storage_full".into(), message, param: None, line: None }
}

/// A line that has an error for an answer, or an error that all lines would have.
fn refused(line: &Line, error: &ApiError) -> Outcome {
    let status = error.status();
    let body = error.body();
    if matches!(status.as_u16(), 401 | 402) {
        let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned();
        warn!(%error, "a batch can't go on");
        let number = line.number.saturating_add(1);
        return Outcome::Fatal(Fault { code, message: error.to_string(), param: None, line: Some(number) });
    }
    Outcome::Done(answered(line, status.as_u16(), &body.to_string(), true), Amount::ZERO)
}

/// A line of an output or error file. `body` is JSON, and goes in as it is.
fn answered(line: &Line, status: u16, body: &str, is_error: bool) -> LineRecord {
    let (id, request) = (rand::random::<u128>(), rand::random::<u64>());
    let custom_id = Value::from(line.custom_id.as_str());
    let text = format!(
        r#"{{"id":"batch_req_{id:032x}","custom_id":{custom_id},"response":{{"status_code":{status},"request_id":"req-{request:016x}","body":{body}}},"error":null}}"#
    );
    LineRecord { is_error, text }
}

/// A line of an error file that was not begun.
fn unanswered(line: &Line, error: &Value) -> LineRecord {
    let id = format!("batch_req_{:032x}", rand::random::<u128>());
    let text = json!({"id": id, "custom_id": line.custom_id, "response": null, "error": error}).to_string();
    LineRecord { is_error: true, text }
}
