//! `/v1/boards`: results that workers fold into boards, committees fold again, and everybody may (SPEC L2).
//!
//! Whoever publishes gets the board at once, as provisional as any answer. It is shown to others when it is final, with what it takes to
//! recompute it: files, salts and commitments, which the job's receipt holds too.

use super::error::{ApiError, BOARD};
use super::fields::{array, string};
use super::parts::{Done, PartUsage, run_all, spec};
use super::{ApiState, JOB_HEADER, object, sized, unix_s, whole_body};
use crate::hub::Hub;
use crate::store::{BoardRecord, SegmentStatus, StoreError};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection, rejection::PathRejection},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse as _, Response},
};
use inferium_engine::{BoardDocument, EngineError, Prompt};
use inferium_types::{Digest, FoldInput, JobAnswer, JobId, JobInput, JobOutput, JobPayload, limits};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Characters of a board's name.
pub(super) const NAME_MAX: usize = 64;

/// A body of `POST /v1/boards`.
#[derive(Debug)]
struct BoardRequest {
    name: Option<String>,
    files: Vec<String>,
}

impl BoardRequest {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let (mut name, mut files) = (None, Vec::new());
        for (field, value) in &object(body)? {
            match field.as_str() {
                _ if value.is_null() => {}
                "name" => name = Some(read_name(&string(field, value)?)?),
                "files" => files = read_files(value)?,
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        if files.is_empty() {
            return Err(ApiError::invalid("files", "`files` is required: at least one results file, as text"));
        }
        Ok(Self { name, files })
    }
}

fn read_name(name: &str) -> Result<String, ApiError> {
    let fits = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(name.to_owned())
    } else {
        Err(ApiError::invalid("name", format!("`name` has 1 to {NAME_MAX} characters")))
    }
}

fn read_files(value: &Value) -> Result<Vec<String>, ApiError> {
    let items = array("files", value)?;
    if items.len() > limits::FOLD_FILES_MAX {
        let message = format!("`files` has {} files; at most {} are allowed", items.len(), limits::FOLD_FILES_MAX);
        return Err(ApiError::invalid("files", message));
    }
    items.iter().enumerate().map(|(index, item)| string(&format!("files[{index}]"), item)).collect()
}

/// Has results folded; the board is provisional until its committee has folded it again.
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let body = whole_body(body)?;
    let BoardRequest { name, files } = sized(body.len(), move || BoardRequest::parse(&body)).await??;
    let folder = Arc::clone(&state.folder);
    let input = FoldInput { network: state.network, files };
    let payload = JobPayload::fold(rand::random(), input);
    // What no worker may fold is refused here, before anybody is paid.
    payload.check()?;
    // Who can't pay for one item is not folded for; one at a time, so that others' requests find a thread.
    state.hub.check_budget(&[spec((&folder, payer), payload.clone(), 1)?])?;
    let turn = Arc::clone(&state.folding).acquire_owned().await;
    let turn = turn.map_err(|error| ApiError::Internal(error.to_string()))?;
    let folded = tokio::task::spawn_blocking({
        let folder = Arc::clone(&folder);
        move || {
            let _turn = turn;
            folder.model.read(&payload.input).map(|prompt| (payload, prompt)).map_err(refused)
        }
    });
    let (payload, prompt) = folded.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let items = Prompt::tokens(&prompt);
    // Not by what a worker will say: its board may be another.
    let suite = match &prompt {
        Prompt::Board(folded) => BoardDocument::parse(&folded.board).ok(),
        _ => None,
    };
    let suite = suite.and_then(|board| Digest::from_hex(&board.suite_id));
    let suite = suite.ok_or_else(|| ApiError::Internal("a board was folded of no suite".to_owned()))?;
    // A lease of boards is opened when somebody waits for one.
    let _waits = state.hub.line_waits(folder.id);
    let done = run_all(&state.hub, vec![spec((&folder, payer), payload.clone(), items)?]).await?;
    let usage = PartUsage::of(&done);
    let done = done.into_iter().next().ok_or(ApiError::NoWorker)?;
    let record = keep(&state, (name, suite), done, payload).await?;
    let mut shown = show_board(&record, Standing::Provisional, true);
    if let Some(fields) = shown.as_object_mut() {
        let usage = json!({"items": usage.prompt_tokens, "cost": usage.cost(), "cost_nano": usage.cost_nano()});
        fields.insert("usage".to_owned(), usage);
    }
    let mut response = Json(shown).into_response();
    if let Ok(job) = HeaderValue::from_str(&record.job.to_string()) {
        response.headers_mut().insert(JOB_HEADER, job);
    }
    Ok(response)
}

fn refused(error: EngineError) -> ApiError {
    ApiError::invalid("files", error.to_string())
}

/// Keeps a board that a worker gave, with what it was folded from.
async fn keep(
    state: &ApiState,
    (name, suite): (Option<String>, Digest),
    done: Done,
    payload: JobPayload,
) -> Result<BoardRecord, ApiError> {
    let Done { job, answer, salt, .. } = done;
    let job = JobId::from_hex(&job).ok_or(ApiError::JobNotFound)?;
    let output = JobOutput { salt, answer };
    let created_at_ms = unix_s().saturating_mul(1_000);
    let record = BoardRecord { job, suite, name, created_at_ms, output };
    let kept = record.clone();
    let written = state.hub.disk(move |hub| {
        let mut spared: BTreeSet<JobId> = latest_final(hub, suite)?.map(|(board, _)| board.job).into_iter().collect();
        // Nobody's board goes before it is decided.
        for board in hub.store.boards_of(suite)? {
            if standing(hub, board.job)? == Standing::Provisional {
                spared.insert(board.job);
            }
        }
        hub.store.put_board(&kept, &payload, &spared)
    });
    written.await?;
    Ok(record)
}

fn document_of(output: &JobOutput) -> Option<BoardDocument> {
    match &output.answer {
        JobAnswer::Board(board) => BoardDocument::parse(board).ok(),
        _ => None,
    }
}

/// How far a board has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Provisional,
    Final,
    Settled,
    /// Found wrong, or given up: it is no board.
    Rejected,
}

impl Standing {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Final => "final",
            Self::Settled => "settled",
            Self::Rejected => "rejected",
        }
    }

    const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Settled)
    }
}

/// Pause between two questions whether a job is final.
const DECIDED_POLL: Duration = Duration::from_millis(200);

/// Whether a committee approves a job; waits until that is decided.
pub(super) async fn decided(hub: &Arc<Hub>, job: JobId) -> Result<bool, StoreError> {
    loop {
        match hub.disk(move |hub| standing(hub, job)).await? {
            Standing::Provisional => tokio::time::sleep(DECIDED_POLL).await,
            Standing::Final | Standing::Settled => return Ok(true),
            Standing::Rejected => return Ok(false),
        }
    }
}

/// Waits for the disk.
pub(super) fn standing(hub: &Hub, job: JobId) -> Result<Standing, StoreError> {
    // Asked before the store: a job leaves the hub's memory only after the store has it.
    let is_known = hub.is_known(job);
    let Some((segment, _)) = hub.store.job(job)? else {
        return Ok(if is_known { Standing::Provisional } else { Standing::Rejected });
    };
    Ok(match hub.store.segment(segment)?.map(|record| record.status) {
        None | Some(SegmentStatus::Provisional) => Standing::Provisional,
        Some(SegmentStatus::Rejected(_) | SegmentStatus::Uncommitted) => Standing::Rejected,
        Some(SegmentStatus::Approved(approval)) if approval.outcome.settled => Standing::Settled,
        Some(SegmentStatus::Approved(_)) => Standing::Final,
    })
}

/// The newest board of a suite that a committee approved. Waits for the disk.
fn latest_final(hub: &Hub, suite: Digest) -> Result<Option<(BoardRecord, Standing)>, StoreError> {
    for board in hub.store.boards_of(suite)?.into_iter().rev() {
        let standing = standing(hub, board.job)?;
        if standing.is_final() {
            return Ok(Some((board, standing)));
        }
    }
    Ok(None)
}

/// A board as it is shown: what stands on it only `with_board`.
fn show_board(record: &BoardRecord, standing: Standing, with_board: bool) -> Value {
    let document = document_of(&record.output);
    let job = record.job.to_string();
    json!({
        "object": "board",
        "id": job,
        // Words of whoever published it, who is charged for a board that others see.
        "name": record.name.as_ref().filter(|_| with_board),
        "status": standing.name(),
        "created": record.created_at_ms / 1_000,
        "suite": document.as_ref().map(|board| &board.suite),
        "suite_id": record.suite.to_string(),
        "receipt_url": format!("/v1/receipts/{job}"),
        "inputs_url": format!("/v1/boards/{job}/inputs"),
        "board": document.filter(|_| with_board),
    })
}

/// The last final board of each suite.
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let found = state.hub.disk(|hub| {
        let mut found = Vec::new();
        for suite in inferium_engine::board_suites() {
            found.extend(latest_final(hub, suite)?);
        }
        Ok(found)
    });
    let data: Vec<Value> = found.await?.iter().map(|(record, standing)| show_board(record, *standing, true)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// A board that was published here.
async fn board_of(
    state: &ApiState,
    id: Result<Path<String>, PathRejection>,
) -> Result<(BoardRecord, Standing), ApiError> {
    let Path(id) = id.map_err(|rejection| ApiError::invalid("board_id", rejection.body_text()))?;
    let missing = || ApiError::Missing { what: BOARD, id: id.clone() };
    let job = JobId::from_hex(&id).ok_or_else(missing)?;
    let found = state.hub.disk(move |hub| {
        let Some(record) = hub.store.board(job)? else { return Ok(None) };
        let standing = standing(hub, job)?;
        Ok(Some((record, standing)))
    });
    found.await?.ok_or_else(missing)
}

pub(super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (record, standing) = board_of(&state, id).await?;
    Ok(Json(show_board(&record, standing, standing.is_final())))
}

/// What a final board was folded from, and what its commitments on the chain open with.
pub(super) async fn inputs(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let (record, standing) = board_of(&state, id).await?;
    let job = record.job;
    let id = job.to_string();
    if !standing.is_final() {
        return Err(ApiError::BoardNotFinal { id, status: standing.name() });
    }
    let payload = state.hub.disk(move |hub| hub.store.board_inputs(job)).await?;
    let Some(JobPayload { salt, input: JobInput::Fold(input) }) = payload else {
        return Err(ApiError::Missing { what: BOARD, id });
    };
    let board = match record.output.answer {
        JobAnswer::Board(board) => board,
        _ => String::new(),
    };
    Ok(Json(json!({
        "object": "board.inputs",
        "id": id,
        "network": input.network.to_string(),
        "files": input.files,
        "input_salt": hex::encode(salt),
        "output_salt": hex::encode(record.output.salt),
        "board": board,
    })))
}

#[cfg(test)]
mod tests;
