//! SPEC V11: what a challenger does with what it is shown.

use super::{Found, Lost, Side, key, stand, terms};
use crate::shelf::tests::evidence;
use inferium_engine::{
    Audit, Audited, Classifier, ClassifierTerms, Embedder, EmbedderInfo, EngineError, EngineLoad, IntegerEngine, Model,
    VectorReceiver,
};
use inferium_exact::{Model as IntegerModel, Node, Op, Shape, synthetic};
use inferium_ledger::{Challenge, ShownRun, ShownSpan, Turn};
use inferium_types::{
    Amount, ClassifierInputs, Digest, Embedding, JobAnswer, JobEvidence, JobInput, JobOutput, JobPayload, Logits,
    NodeId, OpenedInput, OpenedOutput, ProfileId, RefutedClaim, SegmentId, TraceAsked, TraceShown, part_salt,
};
use std::sync::Arc;
use tokio::sync::Mutex;

const SALT: [u8; 32] = [2; 32];

/// A job of two inputs, as the worker did it.
struct Case {
    honest: Audited,
    worker: Audited,
    job: JobEvidence,
    challenge: Challenge,
}

async fn audit(model: &Audited, payload: &JobPayload, item: usize) -> Audit {
    let mut inputs = model.inputs(&payload.input).unwrap();
    model.audit(inputs.swap_remove(item)).await.unwrap()
}

/// Shows the leaves of what such a worker did, which says `lie` of what it computed.
async fn case(name: &str, worker: fn(&Classifier) -> Classifier, lie: fn(&mut Vec<i32>)) -> Case {
    let (model, tensor) = synthetic(name).unwrap().unwrap();
    let terms = ClassifierTerms::of(&model);
    let honest = Classifier::new(model.clone(), terms, None).unwrap();
    let lying = Arc::new(worker(&honest));
    let (worker, honest) = (Audited::Classifier(Arc::clone(&lying)), Audited::Classifier(Arc::new(honest)));
    let tensor: Vec<i16> = tensor.iter().map(|value| i16::try_from(*value).unwrap()).collect();
    let payload = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![vec![0; tensor.len()], tensor]));
    let (mut said, mut leaves) = (Vec::new(), Vec::new());
    for item in 0..2 {
        let audit = audit(&worker, &payload, item).await;
        let JobInput::Classify(inputs) = &payload.input else { panic!("inputs") };
        let input = lying.read(inputs).unwrap().swap_remove(item);
        let mut values = lying.classify(input).await.unwrap().0.values().to_vec();
        if item == 1 {
            lie(&mut values);
        }
        let logits = Logits::new(values);
        leaves.push(audit.leaf(&part_salt(&SALT, item), &logits.digest()));
        said.push(logits);
    }
    let output = JobOutput { salt: SALT, answer: JobAnswer::Logits(said) };
    let job = JobEvidence { payload, output, measured: None };
    Case { honest, worker, job, challenge: opened(leaves) }
}

/// A challenge whose worker has shown its evidence's leaves.
fn opened(leaves: Vec<Digest>) -> Challenge {
    Challenge {
        worker: NodeId::from_bytes([1; 32]),
        profile: ProfileId::new(Digest::ZERO),
        bond: Amount::ZERO,
        job: 0,
        items: u32::try_from(leaves.len()).unwrap(),
        tokens: 2,
        input: Digest::ZERO,
        output: Digest::ZERO,
        evidence_root: Digest::ZERO,
        leaves,
        run: None,
        turn: Turn::Challenger,
        due_at_ms: 0,
        due_at_height: 0,
    }
}

impl Case {
    async fn found(&self) -> Result<Found, Lost> {
        let segment = SegmentId::new(Digest::ZERO);
        Side { segment, model: &self.honest, job: &self.job }.found(&self.challenge, &Mutex::default()).await
    }

    /// The worker shows the run of an input, and what is asked of it until the challenger refutes; every question, and the claim.
    async fn play(&mut self) -> (Vec<u64>, RefutedClaim) {
        let Ok(Found::Ask(item)) = self.found().await else { panic!("an input") };
        let audit = audit(&self.worker, &self.job.payload, usize::try_from(item).unwrap()).await;
        let said = self.job.output.said()[usize::try_from(item).unwrap()];
        let item = u32::try_from(item).unwrap();
        let trace = audit.trace();
        let run = ShownRun { item, said, trace, spans: Vec::new(), chunk: None, sums: None };
        self.challenge.run = Some(run);
        let chunks = trace.values.div_ceil(256);
        let mut asked =
            if chunks == 1 { TraceAsked::Chunk { chunk: 0 } } else { TraceAsked::Span { first: 0, chunks } };
        let mut indices = vec![item.into()];
        loop {
            let shown = audit.shown(asked, (Digest::ZERO, said)).unwrap();
            let run = self.challenge.run.as_mut().unwrap();
            match (asked, shown) {
                (TraceAsked::Span { first, chunks }, TraceShown::Span(hashes)) => {
                    run.spans.push(ShownSpan { first, chunks, hashes });
                }
                (TraceAsked::Chunk { chunk }, TraceShown::Chunk(values)) => run.chunk = Some((chunk, values)),
                (TraceAsked::Sums { at }, TraceShown::Sums(sums)) => run.sums = Some((at, sums)),
                (asked, shown) => panic!("{shown:?} for {asked:?}"),
            }
            match self.found().await.unwrap() {
                Found::Refute(refutation) => return (indices, refutation.claim),
                Found::Ask(index) => {
                    indices.push(index);
                    let run = self.challenge.run.as_ref().unwrap();
                    asked = match &run.chunk {
                        Some((chunk, _)) => TraceAsked::Sums { at: chunk * 256 + index },
                        // Traces of these models are shown by the hashes of single chunks.
                        None => TraceAsked::Chunk { chunk: index },
                    };
                }
            }
        }
    }
}

fn crooked(classifier: &Classifier) -> Classifier {
    classifier.crooked().unwrap()
}

fn honest(classifier: &Classifier) -> Classifier {
    let (model, _) = synthetic(&classifier.model().name).unwrap().unwrap();
    let terms = ClassifierTerms::of(&model);
    Classifier::new(model, terms, None).unwrap()
}

#[tokio::test]
async fn other_weights_are_followed_to_the_first_sum_that_they_change() {
    let mut case = case("mlp-109k", crooked, |_| ()).await;
    let (asked, claim) = case.play().await;
    // Of the input of zeros the weights change nothing. The first output's sum is the 785th value.
    assert_eq!(asked, [1, 3, 784 - 3 * 256]);
    let RefutedClaim::Tile { tile, chunks, pieces } = claim else { panic!("a tile: {claim:?}") };
    assert!(tile < 13);
    // The whole value fits, so who approved it pays, too: all inputs but those of the chunk that was shown, and their weights in one piece.
    assert_eq!(chunks.iter().map(|chunk| chunk.chunk).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(pieces.iter().map(|piece| (piece.node, piece.part)).collect::<Vec<_>>(), [(0, 1)]);
}

#[tokio::test]
async fn answer_that_is_not_the_trace_s_is_opened() {
    let mut case = case("mlp-tiny", honest, |values| values[2] += 1).await;
    let (asked, claim) = case.play().await;
    assert_eq!(asked, [1]);
    let RefutedClaim::Output { opened, chunks } = claim else { panic!("an output: {claim:?}") };
    assert_eq!(Some(opened), case.job.output.open_part(1));
    assert_eq!(chunks.len(), 1);
}

#[tokio::test]
async fn other_input_or_length_is_told_from_other_arithmetic() {
    let mut case = case("mlp-tiny", honest, |_| ()).await;
    // The worker computed right of something else: its evidence is of an input that nobody asked about.
    let JobPayload { input, .. } = &case.job.payload;
    let JobInput::Classify(ClassifierInputs::Tensors(tensors)) = input else { panic!("tensors") };
    let mut asked = tensors.clone();
    asked[1][4] ^= 1;
    let other = JobPayload::classify([1; 32], ClassifierInputs::Tensors(asked));
    let theirs = std::mem::replace(&mut case.job.payload, other);
    assert!(matches!(case.found().await, Ok(Found::Ask(1))));
    let audit = audit(&case.worker, &theirs, 1).await;
    let TraceShown::Chunk(values) =
        audit.shown(TraceAsked::Chunk { chunk: 0 }, (Digest::ZERO, audit.said().unwrap())).unwrap()
    else {
        panic!("a chunk")
    };
    let trace = audit.trace();
    let (said, chunk) = (audit.said().unwrap(), Some((0, values)));
    case.challenge.run = Some(ShownRun { item: 1, said, trace, spans: Vec::new(), chunk, sums: None });
    let Ok(Found::Refute(refutation)) = case.found().await else { panic!("a refutation") };
    assert!(matches!(refutation.claim, RefutedClaim::Input { at: 4, .. }), "{refutation:?}");
    let changes: [fn(&mut ShownRun); 2] =
        [|run| run.trace.values += 1, |run| run.trace.before = Digest::sha256(b"before")];
    for change in changes {
        let mut run = case.challenge.run.clone().unwrap();
        change(&mut run);
        let changed = Challenge { run: Some(run), ..case.challenge.clone() };
        let found = Case {
            honest: case.honest.clone(),
            worker: case.worker.clone(),
            job: case.job.clone(),
            challenge: changed,
        }
        .found()
        .await;
        let Ok(Found::Refute(refutation)) = found else { panic!("a refutation") };
        assert!(matches!(refutation.claim, RefutedClaim::Length));
    }
}

#[tokio::test]
async fn honest_work_leads_nowhere() {
    let case = case("mlp-tiny", honest, |_| ()).await;
    let Err(Lost::Nowhere(reason)) = case.found().await else { panic!("something to do") };
    assert!(reason.contains("is what this node computes"), "{reason}");
}

/// Parts that are not there need nothing to be shown: a worker that stays silent is convicted as well.
#[tokio::test]
async fn parts_are_said_to_be_wrong_before_anything_is_shown() {
    let mut case = case("mlp-tiny", crooked, |_| ()).await;
    case.challenge.turn = Turn::Worker(TraceAsked::Leaves);
    case.challenge.leaves = Vec::new();
    assert!(matches!(case.found().await, Err(Lost::NotYet)));
    let JobAnswer::Logits(said) = &mut case.job.output.answer else { panic!("logits") };
    said.push(Logits::new(vec![1; 3]));
    let Ok(Found::Refute(refutation)) = case.found().await else { panic!("a refutation") };
    assert!(matches!(refutation.claim, RefutedClaim::Output { opened: OpenedOutput::Aside(_), .. }));
    case.challenge.items = 3;
    let Ok(Found::Refute(refutation)) = case.found().await else { panic!("a refutation") };
    assert!(matches!(refutation.claim, RefutedClaim::Input { opened: OpenedInput::Aside(_), .. }));
}

/// A turn that begins anew is the same one.
#[tokio::test]
async fn turns_are_named_by_what_was_shown() {
    let mut case = case("mlp-tiny", crooked, |_| ()).await;
    let first = stand(&case.challenge);
    case.challenge.due_at_ms += 1;
    assert_eq!(stand(&case.challenge), first);
    case.play().await;
    let last = stand(&case.challenge);
    assert!(last != first && key(SegmentId::new(Digest::ZERO), last) != key(SegmentId::new(Digest::ZERO), first));
    case.challenge.run.as_mut().unwrap().chunk = None;
    assert_ne!(stand(&case.challenge), last);
}

#[test]
fn challenge_names_its_job_by_leaf_and_path() {
    let evidence = evidence(1, "text");
    let named = terms(&evidence, 0).unwrap();
    assert_eq!((named.segment, &named.leaf), (evidence.segment, &evidence.leaves[0]));
    let hashes: Vec<Digest> = evidence.leaves.iter().map(inferium_types::JobLeaf::hash).collect();
    assert_eq!(named.path.root(named.leaf.hash()), Some(inferium_types::merkle_root(&hashes)));
    assert!(terms(&evidence, u32::try_from(evidence.leaves.len()).unwrap()).is_none());
}

/// Reads a text letter by letter, each a token.
#[derive(Debug)]
struct Letters {
    info: EmbedderInfo,
    engine: Arc<IntegerEngine>,
}

impl Embedder for Letters {
    fn model(&self) -> &EmbedderInfo {
        &self.info
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(text.bytes().map(|byte| u32::from(byte - b'a')).collect())
    }

    fn embed(&self, _: Vec<Vec<u32>>) -> Result<VectorReceiver, EngineError> {
        Err(EngineError::Stopped)
    }

    fn integers(&self) -> Option<&Arc<IntegerEngine>> {
        Some(&self.engine)
    }

    fn load(&self) -> EngineLoad {
        EngineLoad::default()
    }
}

/// Sums rows of four tokens, in texts of eight.
fn letters() -> Audited {
    let tokens = vec![1, 1, 0, 2, 30, 0, 0, 40];
    let embedding = Op::Embedding { outputs: 2, tokens, positions: vec![0; 16] };
    let nodes = vec![Node { op: embedding, input: 0 }, Node { op: Op::SumPositions, input: 1 }];
    let input = Shape { channels: 1, height: 1, width: 8 };
    let model = IntegerModel { name: "sums".into(), input, input_min: 0, input_max: 3, nodes };
    let info = EmbedderInfo {
        name: "sums".into(),
        weights_root: Digest::ZERO,
        tokenizer_hash: Digest::ZERO,
        engine_build: Digest::ZERO,
        kernel_tier: "integers".into(),
        width: 2,
        context_tokens: 8,
        vocab_size: 4,
    };
    let engine = Arc::new(IntegerEngine::new(Arc::new(model)).unwrap());
    let letters = Letters { info, engine: Arc::clone(&engine) };
    Audited::Embedder(Arc::new(letters), engine)
}

fn texts(texts: &[&str]) -> JobPayload {
    let model = letters();
    let Audited::Embedder(embedder, _) = &model else { panic!("an embedder") };
    let mut input = JobInput::Embed { texts: texts.iter().map(|text| (*text).into()).collect(), tokens: vec![] };
    Model::Embedder(Arc::clone(embedder)).fill_tokens(&mut input).unwrap();
    JobPayload { salt: [1; 32], input }
}

#[tokio::test]
async fn vectors_of_another_text_are_told_by_the_tokens_of_the_job() {
    let model = letters();
    let asked = texts(&["abca", "abcd"]);
    // Of other letters, and of fewer: of the first text it tells the truth.
    for other in ["abdd", "abc"] {
        let done = texts(&["abca", other]);
        let (mut said, mut leaves) = (Vec::new(), Vec::new());
        for item in 0..2 {
            let audit = audit(&model, &done, item).await;
            let embedding = Embedding::new(&[if item == 0 { 0.0 } else { 1.0 }]);
            leaves.push(audit.leaf(&part_salt(&SALT, item), &embedding.digest()));
            said.push(embedding);
        }
        let first = audit(&model, &done, 0).await;
        leaves[0] = first.leaf(&part_salt(&SALT, 0), &first.said().unwrap());
        let output = JobOutput { salt: SALT, answer: JobAnswer::Embeddings(said) };
        let job = JobEvidence { payload: asked.clone(), output, measured: None };
        let mut case = Case { honest: model.clone(), worker: model.clone(), job, challenge: opened(leaves) };
        assert!(matches!(case.found().await, Ok(Found::Ask(1))), "{other}");
        let theirs = audit(&model, &done, 1).await;
        let said = theirs.said().unwrap();
        let shown = theirs.shown(TraceAsked::Chunk { chunk: 0 }, (Digest::ZERO, said)).unwrap();
        let TraceShown::Chunk(values) = shown else { panic!("a chunk") };
        let (said, trace, chunk) = (said, theirs.trace(), Some((0, values)));
        case.challenge.run = Some(ShownRun { item: 1, said, trace, spans: Vec::new(), chunk, sums: None });
        let Ok(Found::Refute(refutation)) = case.found().await else { panic!("a refutation of {other}") };
        let RefutedClaim::Input { at, opened } = refutation.claim else { panic!("an input of {other}") };
        assert_eq!((at, Some(opened)), (if other == "abdd" { 2 } else { 0 }, asked.open_part(1)));
    }
}

/// What this node could not do for now is tried again.
#[test]
fn only_what_leads_nowhere_is_given_up() {
    assert!(matches!(Lost::from(EngineError::Stopped), Lost::ForNow(_)));
    assert!(matches!(Lost::from(EngineError::NotFinite), Lost::Nowhere(_)));
}

#[test]
fn a_text_without_tokens_is_not_read() {
    let refused = letters().inputs(&texts(&["abca", ""]).input).unwrap_err();
    assert_eq!(refused, EngineError::EmptyPrompt);
}
