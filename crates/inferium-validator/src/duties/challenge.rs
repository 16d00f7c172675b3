//! Challenging what a court approved against this node's replay (SPEC V11): before the ledger one validator that is right is enough.
//!
//! Whatever the worker has shown stands in the state, so each block says what is to be done next, over restarts too.

use super::Shared;
use super::outbox::Sent;
use crate::store::Judgement;
use inferium_engine::{Audit, Audited, AuditedInput, ShownChunks};
use inferium_ledger::{Challenge, Runs, SegmentState, ShownRun, State, Turn, runs_of};
use inferium_store::StoreError;
use inferium_types::{
    ChallengeTerms, Digest, JobEvidence, Refutation, RefutedClaim, SegmentEvidence, SegmentId, TransactionBody,
    evidence_leaf, merkle_path,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{info, warn};

/// What a look at a challenge came to.
pub(super) type Moved = (SegmentId, Option<TransactionBody>);

/// Challenges of this node.
pub(super) struct Challenging {
    /// Those whose next move is being found.
    moving: BTreeSet<SegmentId>,
    /// Those that lead nowhere: what differs is none of what the ledger can compute.
    given_up: BTreeSet<SegmentId>,
    moved: mpsc::Sender<Moved>,
}

impl Challenging {
    pub(super) const fn new(moved: mpsc::Sender<Moved>) -> Self {
        Self { moving: BTreeSet::new(), given_up: BTreeSet::new(), moved }
    }

    /// Does what there is to do about each segment that was approved although this node found it wrong.
    pub(super) fn look(&mut self, shared: &Arc<Shared>, state: &State, sent: &mut Sent) -> Result<(), StoreError> {
        let outvoted = shared.archive.outvoted(&shared.node);
        self.given_up.retain(|segment| outvoted.iter().any(|((id, _), _)| id == segment));
        for (about, job) in outvoted {
            let (id, _) = about;
            let Some(segment) = state.segment(&id) else { continue };
            if self.moving.contains(&id) || self.given_up.contains(&id) || !is_of_integers(state, id) {
                continue;
            }
            match state.challenge(&id, &shared.node) {
                None if matches!(segment.state, SegmentState::Final { .. }) && has_bond(shared, state) => {
                    let key = inferium_types::encode(&(id, "challenge"));
                    let evidence =
                        if sent.is_on_its_way(&key, state.height()) { None } else { shared.archive.get(about)? };
                    if let Some(terms) = evidence.and_then(|evidence| terms(&evidence, job)) {
                        info!(validator = %shared.node, segment = %id, job, "challenging what was approved against this node's replay");
                        sent.send(shared, state, &key, TransactionBody::OpenChallenge { terms: Box::new(terms) });
                    }
                }
                Some(challenge) if challenge.turn == Turn::Challenger => {
                    self.moving.insert(id);
                    let (shared, moved, challenge) = (Arc::clone(shared), self.moved.clone(), challenge.clone());
                    tokio::spawn(async move {
                        let body = next_move(&shared, about, &challenge).await;
                        // The loop is gone only when the node stops.
                        let _ = moved.send((id, body)).await;
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next move is known: on its way, or there is none.
    pub(super) fn on_moved(&mut self, (id, body): Moved, shared: &Shared, state: &State, sent: &mut Sent) {
        self.moving.remove(&id);
        let Some(body) = body else {
            self.given_up.insert(id);
            return;
        };
        let key = inferium_types::encode(&(id, &body));
        sent.send(shared, state, &key, body);
    }
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

/// What to do in this node's turn. `None` when there is nothing, which is said in the log.
async fn next_move(shared: &Shared, about: Judgement, challenge: &Challenge) -> Option<TransactionBody> {
    let segment = about.0;
    let found = async {
        let evidence = shared.archive.get(about).map_err(|error| error.to_string())?.ok_or("its evidence is gone")?;
        let job = evidence.jobs.into_iter().find(|(index, _)| *index == challenge.job).ok_or("its job is gone")?.1;
        let model = shared.models.get(&challenge.profile).and_then(|(_, model)| Audited::of(model));
        let model = model.ok_or("its model is not served here any more")?;
        let side = Side { model: &model, job: &job };
        side.found(challenge).await
    };
    match found.await {
        Ok(Found::Ask(index)) => Some(TransactionBody::AskTrace { segment, index }),
        Ok(Found::Refute(refutation)) => Some(TransactionBody::RefuteTrace { segment, refutation }),
        Err(reason) => {
            warn!(validator = %shared.node, %segment, reason, "a challenge leads nowhere");
            None
        }
    }
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
    pub(super) model: &'a Audited,
    pub(super) job: &'a JobEvidence,
}

impl Side<'_> {
    pub(super) async fn found(&self, challenge: &Challenge) -> Result<Found, String> {
        let Some(run) = &challenge.run else { return self.item(challenge).await.map(|item| Found::Ask(item.into())) };
        let audit = self.audit(run.item).await?;
        self.look(&audit, run)
    }

    /// An input whose evidence is not what this node computes; or else one whose answer is not.
    async fn item(&self, challenge: &Challenge) -> Result<u32, String> {
        let mut answered_wrong = None;
        let answered = Audited::said(&self.job.output.answer);
        for ((item, leaf), input) in (0_u32..).zip(&challenge.leaves).zip(self.inputs()?) {
            let [said, run] = self.model.run(input).await.map_err(|error| error.to_string())?;
            if *leaf != evidence_leaf(&said, &run) {
                return Ok(item);
            }
            let index = usize::try_from(item).map_err(|_| "no such input")?;
            if answered.get(index) != Some(&said) {
                answered_wrong.get_or_insert(item);
            }
        }
        answered_wrong.ok_or_else(|| "what the worker shows is what this node computes".to_owned())
    }

    fn look(&self, audit: &Audit, run: &ShownRun) -> Result<Found, String> {
        let refute = |claim| Ok(Found::Refute(Box::new(Refutation { outline: audit.outline(), claim })));
        let spans: Vec<ShownChunks> = run.spans.iter().map(|span| (span.first, span.chunks)).collect();
        let own = audit.trace();
        // A text of another length than the job's is a run of another input.
        if run.trace.length != own.length && audit.reads_any_length() {
            return refute(RefutedClaim::Input { at: 0, payload: self.job.payload.clone() });
        }
        if (run.trace.before, run.trace.length, run.trace.values) != (own.before, own.length, own.values) {
            return refute(RefutedClaim::Length);
        }
        if run.trace.root == own.root {
            let chunks = audit.opened_output(&spans);
            return refute(RefutedClaim::Output { output: self.job.output.clone(), chunks });
        }
        if let Some((at, sums)) = &run.sums {
            let tile = audit.differing_tile(*at, sums).ok_or("the sums are what this node computes")?;
            let (chunks, pieces) = audit.opened_tile(*at, tile, &spans);
            return refute(RefutedClaim::Tile { tile, chunks, pieces });
        }
        if let Some((chunk, values)) = &run.chunk {
            let index = audit.differing_value(*chunk, values).ok_or("the values are what this node computes")?;
            return match audit.input_at(*chunk, index) {
                Some(at) => refute(RefutedClaim::Input { at, payload: self.job.payload.clone() }),
                None => Ok(Found::Ask(index)),
            };
        }
        let span = run.spans.last().ok_or("nothing of the run is shown")?;
        let part = audit.differing_part((span.first, span.chunks), &span.hashes);
        part.map(Found::Ask).ok_or_else(|| "the hashes are what this node computes".to_owned())
    }

    fn inputs(&self) -> Result<Vec<AuditedInput>, String> {
        self.model.inputs(&self.job.payload.input).map_err(|error| error.to_string())
    }

    async fn audit(&self, item: u32) -> Result<Audit, String> {
        let mut inputs = self.inputs()?;
        let index = usize::try_from(item).map_err(|_| "no such input")?;
        if index >= inputs.len() {
            return Err("no such input".to_owned());
        }
        self.model.audit(inputs.swap_remove(index)).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
