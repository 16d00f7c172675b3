//! SPEC V8: a trace is made where verdicts disagree, once, and two of them lead to where engines depart.

use super::{Source, Tracing};
use crate::archive::{Archive, tests as archive_tests};
use crate::duties::Refused;
use crate::shelf::{Room, tests::evidence};
use crate::store::tests::{key, path, segment};
use crate::store::{Judgement, VerdictStore};
use axum::{http::StatusCode, response::IntoResponse};
use inferium_engine::{Engine, GenerateRequest, MockEmbedder, MockEmbedderOptions, MockEngine, MockOptions, Model};
use inferium_types::{
    ChatMessage, Digest, JobFault, JobOutput, JobPayload, MerkleNode, ModelProfile, ProfileId, SamplingParams,
    SecretKey, SegmentEvidence, Shaping, SignedTrace, TraceSearch, TraceStage, VerdictVote,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const TOKENS: u32 = 9;
const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };

/// A validator as far as traces go.
struct Member {
    archive: Archive,
    store: Arc<VerdictStore>,
    key: SecretKey,
    models: BTreeMap<ProfileId, (ModelProfile, Model)>,
    tracing: Tracing,
    path: PathBuf,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Member {
    fn new(name: &str, options: MockOptions) -> Self {
        Self::at(path(name), options)
    }

    fn at(path: PathBuf, options: MockOptions) -> Self {
        let store = Arc::new(VerdictStore::open(&path, &key()).unwrap());
        let archive = Archive::open(Arc::clone(&store), Room::default()).unwrap();
        let model = Model::Chat(Arc::new(MockEngine::new(options)));
        let models = BTreeMap::from([(archive_tests::profile(), (model.profile("mock", "all"), model))]);
        Self { archive, store, key: key(), models, tracing: Tracing::default(), path }
    }

    fn source(&self) -> Source<'_> {
        Source { archive: &self.archive, store: &self.store, key: &self.key, models: &self.models }
    }

    /// Keeps the evidence of an honest answer, about whose job `wrong` verdicts disagree.
    fn keep(&self, wrong: u32) {
        let invalid = VerdictVote::Invalid { job: wrong, fault: JobFault::Logits };
        archive_tests::keep_votes(&self.archive, about(), 1, &[(1, VALID), (2, VALID), (3, invalid)], &honest());
    }

    async fn signed(&self, job: u32) -> Result<SignedTrace, Refused> {
        self.tracing.signed(&self.source(), (about(), job)).await
    }

    async fn children(&self, job: u32, node: MerkleNode) -> Result<[Digest; 2], Refused> {
        self.tracing.children(&self.source(), (about(), job), node).await
    }
}

fn about() -> Judgement {
    (segment(1), Digest::sha256(b"draw"))
}

/// Three jobs: an answer, the same again, and an empty one.
fn honest() -> SegmentEvidence {
    let engine = MockEngine::new(MockOptions::default());
    let messages = vec![ChatMessage { role: "user".into(), content: "where?".into() }];
    let sampling = SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };
    let prompt = engine.render_chat(&messages).unwrap();
    let request = GenerateRequest {
        prompt,
        max_tokens: TOKENS,
        sampling,
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let mut steps = engine.generate(request).unwrap();
    let mut tokens = Vec::new();
    while let Ok(step) = steps.try_recv() {
        tokens.push(step.unwrap().token);
    }
    let mut evidence = evidence(1, "");
    let (_, mut job) = evidence.jobs.remove(0);
    job.payload = JobPayload::chat([0; 32], messages, Vec::new());
    let empty = (2, job.clone());
    job.output = JobOutput::text([0; 32], tokens, String::new());
    evidence.jobs = vec![(0, job.clone()), (1, job), empty];
    evidence
}

fn status(refused: Refused) -> StatusCode {
    refused.into_response().status()
}

#[tokio::test]
async fn two_traces_lead_to_where_engines_depart() {
    let noisy = MockOptions { noise_milli: 20, ..MockOptions::default() };
    let members = [Member::new("trace-one", MockOptions::default()), Member::new("trace-two", noisy)];
    for member in &members {
        member.keep(1);
    }
    let [one, two] = [members[0].signed(1).await.unwrap(), members[1].signed(1).await.unwrap()];
    assert!(one.is_from(&key().public_key()));
    assert_eq!(one.claim.shape, two.claim.shape);
    assert_eq!((one.claim.segment, one.claim.draw, one.claim.job), (about().0, about().1, 1));
    let shape = one.claim.shape;
    let mut search = TraceSearch::new(shape.cells(), [one.claim.root, two.claim.root]).unwrap();
    while let Some(node) = search.question() {
        let shown = [members[0].children(1, node).await.unwrap(), members[1].children(1, node).await.unwrap()];
        search.answer(shown).unwrap();
    }
    let cell = shape.cell(search.found().unwrap().0).unwrap();
    assert_eq!((cell.position, cell.stage), (shape.first_drawn(), TraceStage::FinalNorm));
}

#[tokio::test]
async fn equal_engines_sign_equal_roots() {
    let members = [Member::new("equal-one", MockOptions::default()), Member::new("equal-two", MockOptions::default())];
    for member in &members {
        member.keep(0);
    }
    assert_eq!(members[0].signed(0).await.unwrap(), members[1].signed(0).await.unwrap());
}

/// SPEC C8: even with another engine a restarted node says what it said.
#[tokio::test]
async fn a_trace_is_made_once_and_stands() {
    let member = Member::new("trace-stands", MockOptions::default());
    member.keep(0);
    let signed = member.signed(0).await.unwrap();
    let top = MerkleNode::top(signed.claim.shape.cells());
    let children = member.children(0, top).await.unwrap();
    let path = member.path.clone();
    let other = path.with_extension("copy");
    drop(member.store.trace((about(), 0)).unwrap().unwrap());
    std::fs::copy(&path, &other).unwrap();
    drop(member);
    let again = Member::at(other, MockOptions { flavour: 7, ..MockOptions::default() });
    assert_eq!(again.children(0, top).await.unwrap(), children);
    assert_eq!(again.signed(0).await.unwrap(), signed);
}

#[tokio::test]
async fn what_nobody_disagrees_about_is_not_traced() {
    let member = Member::new("trace-refused", MockOptions::default());
    assert_eq!(member.signed(0).await.map_err(status), Err(StatusCode::NOT_FOUND), "nothing is kept");
    archive_tests::keep_votes(&member.archive, about(), 1, &[], &honest());
    assert!(matches!(member.signed(0).await, Err(Refused::NotKept)), "nobody voted");
    let member = Member::new("trace-doubted", MockOptions::default());
    member.keep(1);
    for job in [0, 2, u32::MAX] {
        let refused = member.signed(job).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("no verdicts disagree about job {job}; they do about [1]"));
        assert_eq!(status(refused), StatusCode::NOT_FOUND);
    }
    let unknown = member.tracing.signed(&member.source(), ((segment(1), Digest::ZERO), 1)).await;
    assert!(matches!(unknown, Err(Refused::NotKept)), "another draw");
}

/// A validator that was started anew with another model says nothing new of what the old one judged.
#[tokio::test]
async fn only_the_engine_that_judged_is_traced() {
    let member = Member::new("trace-served", MockOptions::default());
    member.keep(0);
    let (_, served) = member.models.first_key_value().unwrap();
    let other = BTreeMap::from([(ProfileId::new(Digest::ZERO), served.clone())]);
    let other = Source { models: &other, ..member.source() };
    let refused = member.tracing.signed(&other, (about(), 0)).await.unwrap_err();
    assert_eq!(refused.to_string(), "this validator does not serve the segment's model any more");
    assert_eq!(status(refused), StatusCode::NOT_FOUND);
    let signed = member.signed(0).await.unwrap();
    // What it said before stands.
    assert_eq!(member.tracing.signed(&other, (about(), 0)).await.unwrap(), signed);
}

/// Embeddings are compared whole, vector by vector.
#[tokio::test]
async fn embeddings_have_no_trace() {
    let member = Member::new("trace-embedder", MockOptions::default());
    member.keep(0);
    let embedder = Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions::default())));
    let models = BTreeMap::from([(archive_tests::profile(), (embedder.profile("mock", "all"), embedder))]);
    let of_texts = Source { models: &models, ..member.source() };
    let refused = member.tracing.signed(&of_texts, (about(), 0)).await.unwrap_err();
    assert_eq!(refused.to_string(), "could not trace: the model is for embedding, and was given another input");
}

#[tokio::test]
async fn bad_questions_get_a_clear_answer() {
    let member = Member::new("trace-bad", MockOptions::default());
    member.keep(2);
    let refused = member.signed(2).await.unwrap_err();
    assert_eq!(refused.to_string(), "job 2 has no tokens to trace");
    assert_eq!(status(refused), StatusCode::NOT_FOUND);
    let member = Member::new("trace-node", MockOptions::default());
    member.keep(0);
    let count = member.signed(0).await.unwrap().claim.shape.cells();
    let top = MerkleNode::top(count);
    for node in [
        MerkleNode { height: 0, index: 0 },
        MerkleNode { index: 1, ..top },
        MerkleNode { height: top.height + 1, index: 0 },
        MerkleNode { height: u32::MAX, index: u64::MAX },
    ] {
        assert!(matches!(member.children(0, node).await, Err(Refused::NoNode)), "{node:?}");
    }
    // A context that is too short for what honest members replayed.
    let short = Member::new("trace-short", MockOptions { context_tokens: 4, ..MockOptions::default() });
    short.keep(0);
    assert_eq!(short.signed(0).await.map_err(status), Err(StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test]
async fn one_trace_is_made_at_a_time() {
    let member = Member::new("trace-busy", MockOptions::default());
    member.keep(0);
    let busy = member.tracing.held.lock().await;
    let refused = member.signed(0).await.unwrap_err();
    assert!(matches!(refused, Refused::Tracing));
    assert_eq!(status(refused), StatusCode::TOO_MANY_REQUESTS);
    drop(busy);
    assert!(member.signed(0).await.is_ok());
}
