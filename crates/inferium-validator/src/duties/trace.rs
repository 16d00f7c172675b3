//! Answers about this node's replays of jobs that verdicts disagree about (SPEC V8).
//!
//! A trace costs a replay, and anyone may ask: so it is made only where verdicts on the chain disagree, one at a time, once for each
//! job, and kept as long as its evidence is.

use super::{Duties, Refused, Shared};
use crate::archive::Archive;
use crate::store::{Judgement, KeptTrace, TraceName, VerdictStore};
use inferium_engine::{Engine, EngineError, Model, Prompt, TraceRequest};
use inferium_types::{
    Digest, JobEvidence, MerkleNode, MerkleTree, ModelProfile, ProfileId, SecretKey, SegmentEvidence, SignedTrace,
    TraceClaim, TraceKey,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// The trace that was asked about last, so that a search does not read it anew for each question.
#[derive(Debug, Default)]
pub(super) struct Tracing {
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    name: TraceName,
    signed: SignedTrace,
    tree: MerkleTree,
}

impl Duties {
    /// What this node says of its replay of a job.
    ///
    /// Ensures: what it returns is on disk, and the same whenever it is asked.
    pub(crate) async fn trace(&self, about: Judgement, job: u32) -> Result<SignedTrace, Refused> {
        self.outlive(move |shared| async move { shared.tracing.signed(&shared.source(), (about, job)).await }).await
    }

    /// The children of a node of the tree over a job's trace.
    pub(crate) async fn trace_node(
        &self,
        about: Judgement,
        job: u32,
        node: MerkleNode,
    ) -> Result<[Digest; 2], Refused> {
        let children = move |shared: Arc<Shared>| async move {
            shared.tracing.children(&shared.source(), (about, job), node).await
        };
        self.outlive(children).await
    }

    /// What was begun goes on when the asker is gone: a trace is paid for once, and not again by everyone who does not wait.
    async fn outlive<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.shared))).await.map_err(|_| Refused::Internal)?
    }
}

/// What traces are made from.
pub(super) struct Source<'a> {
    archive: &'a Archive,
    store: &'a VerdictStore,
    key: &'a SecretKey,
    models: &'a BTreeMap<ProfileId, (ModelProfile, Model)>,
}

impl Shared {
    fn source(&self) -> Source<'_> {
        Source { archive: &self.archive, store: &self.store, key: &self.key, models: &self.models }
    }
}

impl Source<'_> {
    /// What the judgement was made with. Embeddings are compared whole, vector by vector, and have no
    /// trace; runs of models of integers are challenged instead (V11).
    fn engine(&self, about: Judgement) -> Result<&Arc<dyn Engine>, Refused> {
        let profile = self.archive.profile(about).ok_or(Refused::NotKept)?;
        match self.models.get(&profile) {
            Some((_, Model::Chat(engine))) => Ok(engine),
            Some((_, model)) => Err(Refused::Engine(EngineError::Task { does: model.task().name() })),
            // Another engine's trace would be no word on that judgement.
            None => Err(Refused::NotServed),
        }
    }
}

impl Tracing {
    async fn signed(&self, from: &Source<'_>, name: TraceName) -> Result<SignedTrace, Refused> {
        let held = self.hold(from, name).await?;
        held.as_ref().map(|held| held.signed).ok_or(Refused::Internal)
    }

    async fn children(&self, from: &Source<'_>, name: TraceName, node: MerkleNode) -> Result<[Digest; 2], Refused> {
        let held = self.hold(from, name).await?;
        held.as_ref().ok_or(Refused::Internal)?.tree.children(node).ok_or(Refused::NoNode)
    }

    /// Holds the trace of a job, made now if it never was.
    async fn hold(&self, from: &Source<'_>, name: TraceName) -> Result<MutexGuard<'_, Option<Held>>, Refused> {
        let (about, job) = name;
        let doubted = from.archive.doubted(about).filter(|doubted| !doubted.is_empty()).ok_or(Refused::NotKept)?;
        if !doubted.contains(&job) {
            return Err(Refused::NotDoubted { job, doubted: doubted.into_iter().collect() });
        }
        let mut held = self.held.try_lock().map_err(|_| Refused::Tracing)?;
        if held.as_ref().is_some_and(|held| held.name == name) {
            return Ok(held);
        }
        let kept = match from.store.trace(name)? {
            Some(kept) => kept,
            None => {
                let evidence = from.archive.get(about)?.ok_or(Refused::NotKept)?;
                let kept = trace_job(name, &evidence, from.key, from.engine(about)?).await?;
                from.store.record_trace(name, &kept)?;
                kept
            }
        };
        let KeptTrace { signed, cells } = kept;
        let tree = tokio::task::spawn_blocking(move || MerkleTree::new(cells)).await.map_err(|_| Refused::Internal)?;
        *held = Some(Held { name, signed, tree });
        Ok(held)
    }
}

/// Replays a job once more, and signs for all that it computes.
async fn trace_job(
    (about, job): TraceName,
    evidence: &SegmentEvidence,
    key: &SecretKey,
    engine: &Arc<dyn Engine>,
) -> Result<KeptTrace, Refused> {
    let (_, evidence) = evidence.jobs.iter().find(|(index, _)| *index == job).ok_or(Refused::NotKept)?;
    let JobEvidence { payload, output, .. } = evidence;
    let (tokens, _) =
        output.as_text().filter(|(tokens, _)| !tokens.is_empty()).ok_or(Refused::NothingToTrace { job })?;
    let (segment, draw) = about;
    let hidden_by = TraceKey::of(segment, job, evidence);
    let prompt = Model::Chat(Arc::clone(engine)).read(&payload.input).map_err(Refused::Engine)?;
    let Prompt::Text(prompt) = prompt else { return Err(Refused::NothingToTrace { job }) };
    let request = TraceRequest { prompt, output: tokens.to_vec() };
    let traced = engine.trace(request).map_err(Refused::Engine)?.await;
    let trace = traced.map_err(|_| Refused::Engine(EngineError::Stopped))?.map_err(Refused::Engine)?;
    let key = key.clone();
    let signed = tokio::task::spawn_blocking(move || {
        let cells: Vec<Digest> =
            (0_u64..).zip(&trace.cells).map(|(index, computed)| hidden_by.hide(index, computed)).collect();
        let root = inferium_types::merkle_root(&cells);
        let claim = TraceClaim { segment, draw, job, shape: trace.shape, root };
        KeptTrace { signed: SignedTrace::sign(claim, &key), cells }
    });
    signed.await.map_err(|_| Refused::Internal)
}

#[cfg(test)]
mod tests;
