//! Challenging what a court approved against this node's replay (SPEC V11): before the ledger one validator that is right is enough.
//!
//! Whatever the worker has shown stands in the state, so each block says what is to be done next, over restarts too.

use super::Shared;
use super::outbox::Sent;
use crate::store::Judgement;
use inferium_engine::{Audit, AuditDesk, Audited, EngineError, ShownChunks};
use inferium_ledger::{Challenge, Runs, Segment, SegmentState, ShownRun, State, Turn, runs_of};
use inferium_store::StoreError;
use inferium_types::{
    ChallengeTerms, Digest, JobEvidence, OpenedInput, OpenedOutput, Refutation, RefutedClaim, SegmentEvidence,
    SegmentId, TraceAsked, TransactionBody, evidence_leaf, merkle_path, part_salt,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tracing::{info, warn};

/// What a look at a challenge came to, with what had been shown until then.
pub(super) type Moved = (SegmentId, Stand, Result<TransactionBody, Lost>);

/// What has been shown in a challenge, which names a turn of it, however often that begins anew: whether it is this node's, the input whose run is shown, the spans of it,
/// and whether a chunk and sums are.
type Stand = (bool, Option<u32>, u32, bool, bool);

fn stand(challenge: &Challenge) -> Stand {
    let is_own = challenge.turn == Turn::Challenger;
    challenge.run.as_ref().map_or((is_own, None, 0, false, false), |run| {
        let spans = u32::try_from(run.spans.len()).unwrap_or(u32::MAX);
        (is_own, Some(run.item), spans, run.chunk.is_some(), run.sums.is_some())
    })
}

/// Why a challenge does not go on.
#[derive(Debug)]
pub(super) enum Lost {
    /// The worker has to show something first.
    NotYet,
    /// It leads nowhere.
    Nowhere(String),
    /// Something of this node failed, and may not when it is tried again.
    ForNow(String),
}

impl From<&str> for Lost {
    fn from(reason: &str) -> Self {
        Self::Nowhere(reason.to_owned())
    }
}

impl From<EngineError> for Lost {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::ForNow(error.to_string()),
            error => Self::Nowhere(error.to_string()),
        }
    }
}

impl From<StoreError> for Lost {
    fn from(error: StoreError) -> Self {
        Self::ForNow(error.to_string())
    }
}

/// Challenges of this node.
pub(super) struct Challenging {
    /// Those whose next move is being found.
    moving: BTreeSet<SegmentId>,
    /// Those that lead nowhere: what differs is none of what the ledger can compute.
    given_up: BTreeSet<SegmentId>,
    /// What was found to do in a turn, if anything: sent again, not found again.
    found: BTreeMap<SegmentId, (Stand, Option<TransactionBody>)>,
    moved: mpsc::Sender<Moved>,
    /// At most one run is kept whole.
    desk: Arc<Mutex<AuditDesk>>,
}

impl Challenging {
    pub(super) fn new(moved: mpsc::Sender<Moved>) -> Self {
        let (moving, given_up, found) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { moving, given_up, found, moved, desk: Arc::default() }
    }

    /// Does what there is to do about each segment that was approved although this node found it wrong.
    pub(super) fn look(&mut self, shared: &Arc<Shared>, state: &State, sent: &mut Sent) -> Result<(), StoreError> {
        let outvoted = shared.archive.outvoted(&shared.node);
        let is_over = |segment: &SegmentId| state.segment(segment).is_none();
        self.given_up.retain(|segment| !is_over(segment));
        let over: Vec<SegmentId> = self.found.keys().copied().filter(is_over).collect();
        for segment in over {
            self.found.remove(&segment);
            self.forget(segment);
        }
        for (about, job) in outvoted {
            let (id, _) = about;
            let Some(segment) = state.segment(&id) else { continue };
            if self.moving.contains(&id) || self.given_up.contains(&id) || !is_of_integers(state, id) {
                continue;
            }
            match state.challenge(&id, &shared.node) {
                None if may_challenge(segment, shared, job) && has_bond(shared, state) => {
                    let key = inferium_types::encode(&(id, "challenge"));
                    let evidence =
                        if sent.is_on_its_way(&key, state.height()) { None } else { shared.archive.get(about)? };
                    if let Some(terms) = evidence.and_then(|evidence| terms(&evidence, job)) {
                        info!(validator = %shared.node, segment = %id, job, "challenging what was approved against this node's replay");
                        sent.send(shared, state, &key, TransactionBody::OpenChallenge { terms: Box::new(terms) });
                    }
                }
                // What can be said before anything is shown waits for nothing. Of another draw this node may know another job.
                Some(challenge)
                    if matches!(challenge.turn, Turn::Challenger | Turn::Worker(TraceAsked::Leaves))
                        && challenge.job == job =>
                {
                    let turn = stand(challenge);
                    if let Some((of, found)) = self.found.get(&id)
                        && *of == turn
                    {
                        if let Some(body) = found {
                            sent.send(shared, state, &key(id, turn), body.clone());
                        }
                        continue;
                    }
                    self.moving.insert(id);
                    let (shared, moved, challenge) = (Arc::clone(shared), self.moved.clone(), challenge.clone());
                    let desk = Arc::clone(&self.desk);
                    tokio::spawn(async move {
                        let found = next_move(&shared, about, &challenge, &desk).await;
                        // The loop is gone only when the node stops.
                        let _ = moved.send((id, turn, found)).await;
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next move is known: on its way, or there is none.
    pub(super) fn on_moved(&mut self, (id, turn, found): Moved, shared: &Shared, state: &State, sent: &mut Sent) {
        self.moving.remove(&id);
        match found {
            Ok(body) => {
                sent.send(shared, state, &key(id, turn), body.clone());
                self.found.insert(id, (turn, Some(body)));
            }
            Err(Lost::NotYet) => {
                self.found.insert(id, (turn, None));
            }
            Err(Lost::Nowhere(reason)) => {
                warn!(validator = %shared.node, segment = %id, reason, "a challenge leads nowhere");
                self.given_up.insert(id);
                self.forget(id);
            }
            // The next block brings it up again.
            Err(Lost::ForNow(reason)) => {
                warn!(validator = %shared.node, segment = %id, reason, "a challenge does not go on yet");
            }
        }
    }

    /// A run of this segment is not asked for any more.
    fn forget(&self, id: SegmentId) {
        let desk = Arc::clone(&self.desk);
        tokio::spawn(async move { desk.lock().await.forget(id) });
    }
}

/// Names what is sent in one turn: the same question may be asked in another.
fn key(id: SegmentId, turn: Stand) -> Vec<u8> {
    inferium_types::encode(&(id, "challenge", turn))
}

/// Of several judgements of a segment the chain takes the last in which this node was outvoted.
fn may_challenge(segment: &Segment, shared: &Shared, job: u32) -> bool {
    matches!(&segment.state, SegmentState::Final { approval, .. } if approval.rejections.contains(&(shared.node, job)))
}

/// A refused transaction would cost its fee with every try.
fn has_bond(shared: &Shared, state: &State) -> bool {
    state.account(&shared.node).balance > state.meta().parameters.dispute_bond
}

/// What a text becomes before the integer model no ledger computes: there a challenge may end nowhere, and cost its bond.
fn is_of_integers(state: &State, id: SegmentId) -> bool {
    let profile = state.segment(&id).and_then(|segment| state.profile(&segment.profile));
    profile.is_some_and(|entry| matches!(runs_of(&entry.profile), Some(Runs::Tensors | Runs::Tokens)))
}

fn terms(evidence: &SegmentEvidence, job: u32) -> Option<ChallengeTerms> {
    let index = usize::try_from(job).ok()?;
    let leaf = evidence.leaves.get(index)?.clone();
    let hashes: Vec<Digest> = evidence.leaves.iter().map(inferium_types::JobLeaf::hash).collect();
    Some(ChallengeTerms { segment: evidence.segment, leaf, path: merkle_path(&hashes, index)? })
}

/// What to do in this node's turn.
async fn next_move(
    shared: &Shared,
    about: Judgement,
    challenge: &Challenge,
    desk: &Mutex<AuditDesk>,
) -> Result<TransactionBody, Lost> {
    let segment = about.0;
    let evidence = shared.archive.get(about)?.ok_or("its evidence is gone")?;
    let job = evidence.jobs.into_iter().find(|(index, _)| *index == challenge.job).ok_or("its job is gone")?.1;
    let model = shared.models.get(&challenge.profile).and_then(|(_, model)| Audited::of(model));
    let model = model.ok_or("its model is not served here any more")?;
    let side = Side { segment, model: &model, job: &job };
    Ok(match side.found(challenge, desk).await? {
        Found::Ask(index) => TransactionBody::AskTrace { segment, index },
        Found::Refute(refutation) => TransactionBody::RefuteTrace { segment, refutation },
    })
}

/// What the challenger does next.
pub(super) enum Found {
    /// Looks closer, at this of what was shown last.
    Ask(u64),
    /// Has the ledger compute it.
    Refute(Box<Refutation>),
}

/// What the challenger knows: the job, and how it is computed.
pub(super) struct Side<'a> {
    pub(super) segment: SegmentId,
    pub(super) model: &'a Audited,
    pub(super) job: &'a JobEvidence,
}

impl Side<'_> {
    pub(super) async fn found(&self, challenge: &Challenge, desk: &Mutex<AuditDesk>) -> Result<Found, Lost> {
        if let Some(claim) = self.aside(challenge) {
            return Ok(Found::Refute(Box::new(Refutation { outline: Vec::new(), claim })));
        }
        if challenge.turn != Turn::Challenger {
            return Err(Lost::NotYet);
        }
        let Some(run) = &challenge.run else { return self.item(challenge).await.map(|item| Found::Ask(item.into())) };
        let mut inputs = self.model.inputs(&self.job.payload.input)?;
        let index = usize::try_from(run.item).map_err(|_| "no such input")?;
        if index >= inputs.len() {
            return Err("no such input".into());
        }
        let name = (self.segment, challenge.job, run.item);
        let mut desk = desk.lock().await;
        let found = self.look(desk.audit(name, self.model, inputs.swap_remove(index)).await?, run)?;
        if matches!(found, Found::Refute(_)) {
            desk.forget(self.segment);
        }
        Ok(found)
    }

    /// What is wrong without a look at any run: other kinds of input or answer than the model's, or not one answer for each input.
    fn aside(&self, challenge: &Challenge) -> Option<RefutedClaim> {
        let (input, output) = (self.job.payload.committed(), self.job.output.committed());
        match self.model.takes([&input, &output], challenge.items) {
            [false, _] => Some(RefutedClaim::Input { at: 0, opened: OpenedInput::Aside(input) }),
            [_, false] => Some(RefutedClaim::Output { opened: OpenedOutput::Aside(output), chunks: Vec::new() }),
            [true, true] => None,
        }
    }

    /// An input whose evidence is not what this node computes; or else one whose answer is not.
    async fn item(&self, challenge: &Challenge) -> Result<u32, Lost> {
        let mut answered_wrong = None;
        let answered = self.job.output.said();
        let runs = self.model.runs(self.model.inputs(&self.job.payload.input)?).await?;
        for (index, (leaf, (said, run))) in challenge.leaves.iter().zip(runs).enumerate() {
            let item = u32::try_from(index).map_err(|_| "no such input")?;
            // Where the model says nothing, whatever is said is wrong.
            let salt = part_salt(&self.job.output.salt, index);
            if said.is_none_or(|said| *leaf != evidence_leaf(&salt, &said, &run)) {
                return Ok(item);
            }
            if answered.get(index) != said.as_ref() {
                answered_wrong.get_or_insert(item);
            }
        }
        answered_wrong.ok_or_else(|| "what the worker shows is what this node computes".into())
    }

    fn look(&self, audit: &Audit, run: &ShownRun) -> Result<Found, Lost> {
        let refute = |claim| Ok(Found::Refute(Box::new(Refutation { outline: audit.outline(), claim })));
        let spans: Vec<ShownChunks> = run.spans.iter().map(|span| (span.first, span.chunks)).collect();
        let own = audit.trace();
        if !audit.fits(&run.trace) {
            return refute(RefutedClaim::Length);
        }
        let item = usize::try_from(run.item).map_err(|_| "no such input")?;
        let input = |at| {
            let opened = self.job.payload.open_part(item).ok_or("the input has no such part")?;
            refute(RefutedClaim::Input { at, opened })
        };
        // A text of another length than the job's is a run of another input.
        if run.trace.length != own.length {
            return input(0);
        }
        if run.trace.root == own.root {
            let opened = self.job.output.open_part(item).ok_or("the answer has no such part")?;
            return refute(RefutedClaim::Output { opened, chunks: audit.opened_output(&spans) });
        }
        if let Some((at, sums)) = &run.sums {
            let tile = audit.differing_tile(*at, sums).ok_or("the sums are what this node computes")?;
            let (chunks, pieces) = audit.opened_tile(*at, tile, &spans);
            return refute(RefutedClaim::Tile { tile, chunks, pieces });
        }
        if let Some((chunk, values)) = &run.chunk {
            let index = audit.differing_value(*chunk, values).ok_or("the values are what this node computes")?;
            return match audit.input_at(*chunk, index) {
                Some(at) => input(at),
                None => Ok(Found::Ask(index)),
            };
        }
        let span = run.spans.last().ok_or("nothing of the run is shown")?;
        let part = audit.differing_part((span.first, span.chunks), &span.hashes);
        part.map(Found::Ask).ok_or_else(|| "the hashes are what this node computes".into())
    }
}

#[cfg(test)]
mod tests;
