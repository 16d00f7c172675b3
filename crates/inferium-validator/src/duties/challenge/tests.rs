//! SPEC V11: what a challenger does with what it is shown.

use super::{Found, Side, terms};
use crate::shelf::tests::evidence;
use inferium_engine::{Audit, Classifier, ClassifierTerms, Model, Prompt};
use inferium_exact::synthetic;
use inferium_ledger::{Challenge, ShownRun, ShownSpan, Turn};
use inferium_types::{
    Amount, ClassifierInputs, Digest, JobAnswer, JobEvidence, JobOutput, JobPayload, Logits, NodeId, ProfileId,
    RefutedClaim, TraceAsked, TraceShown,
};
use std::sync::Arc;

/// A job of two inputs, as the worker did it.
struct Case {
    honest: Arc<Classifier>,
    worker: Arc<Classifier>,
    job: JobEvidence,
    challenge: Challenge,
}

async fn audit(classifier: &Arc<Classifier>, payload: &JobPayload, item: usize) -> Audit {
    let model = Model::Classifier(Arc::clone(classifier));
    let Prompt::Inputs(mut inputs) = model.read(&payload.input).unwrap() else { panic!("inputs") };
    classifier.audit(inputs.swap_remove(item)).await.unwrap()
}

/// Shows the leaves of what such a worker did, which says `lie` of what it computed.
async fn case(name: &str, worker: fn(&Classifier) -> Classifier, lie: fn(&mut Vec<i32>)) -> Case {
    let (model, tensor) = synthetic(name).unwrap().unwrap();
    let terms = ClassifierTerms::of(&model);
    let honest = Arc::new(Classifier::new(model, terms, None).unwrap());
    let worker = Arc::new(worker(&honest));
    let tensor: Vec<i16> = tensor.iter().map(|value| i16::try_from(*value).unwrap()).collect();
    let payload = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![vec![0; tensor.len()], tensor]));
    let (mut said, mut leaves) = (Vec::new(), Vec::new());
    for item in 0..2 {
        let audit = audit(&worker, &payload, item).await;
        let mut values = audit.logits().values().to_vec();
        if item == 1 {
            lie(&mut values);
        }
        let logits = Logits::new(values);
        leaves.push(audit.leaf(&logits));
        said.push(logits);
    }
    let output = JobOutput { salt: [2; 32], answer: JobAnswer::Logits(said) };
    let job = JobEvidence { payload, output, measured: None };
    let challenge = Challenge {
        worker: NodeId::from_bytes([1; 32]),
        profile: ProfileId::new(Digest::ZERO),
        bond: Amount::ZERO,
        job: 0,
        items: 2,
        tokens: 2,
        input: Digest::ZERO,
        output: Digest::ZERO,
        evidence_root: Digest::ZERO,
        leaves,
        run: None,
        turn: Turn::Challenger,
        due_at_ms: 0,
        due_at_height: 0,
    };
    Case { honest, worker, job, challenge }
}

impl Case {
    async fn found(&self) -> Result<Found, String> {
        Side { classifier: &self.honest, job: &self.job }.found(&self.challenge).await
    }

    /// The worker shows the run of an input, and what is asked of it until the challenger refutes; every question, and the claim.
    async fn play(&mut self) -> (Vec<u64>, RefutedClaim) {
        let Ok(Found::Ask(item)) = self.found().await else { panic!("an input") };
        let audit = audit(&self.worker, &self.job.payload, usize::try_from(item).unwrap()).await;
        let JobAnswer::Logits(said) = &self.job.output.answer else { panic!("logits") };
        let said = said[usize::try_from(item).unwrap()].clone();
        let item = u32::try_from(item).unwrap();
        let trace = audit.trace();
        let run = ShownRun { item, said: said.digest(), trace, spans: Vec::new(), chunk: None, sums: None };
        self.challenge.run = Some(run);
        let chunks = trace.values.div_ceil(256);
        let mut asked =
            if chunks == 1 { TraceAsked::Chunk { chunk: 0 } } else { TraceAsked::Span { first: 0, chunks } };
        let mut indices = vec![item.into()];
        loop {
            let shown = audit.shown(asked, &said).unwrap();
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
    let RefutedClaim::Output { output, chunks } = claim else { panic!("an output: {claim:?}") };
    assert_eq!(output, case.job.output);
    assert_eq!(chunks.len(), 1);
}

#[tokio::test]
async fn other_input_or_length_is_told_from_other_arithmetic() {
    let mut case = case("mlp-tiny", honest, |_| ()).await;
    // The worker computed right of something else: its evidence is of an input that nobody asked about.
    let JobPayload { input, .. } = &case.job.payload;
    let inferium_types::JobInput::Classify(ClassifierInputs::Tensors(tensors)) = input else { panic!("tensors") };
    let mut asked = tensors.clone();
    asked[1][4] ^= 1;
    let other = JobPayload::classify([1; 32], ClassifierInputs::Tensors(asked));
    let theirs = std::mem::replace(&mut case.job.payload, other);
    assert!(matches!(case.found().await, Ok(Found::Ask(1))));
    let audit = audit(&case.worker, &theirs, 1).await;
    let TraceShown::Chunk(values) = audit.shown(TraceAsked::Chunk { chunk: 0 }, audit.logits()).unwrap() else {
        panic!("a chunk")
    };
    let trace = audit.trace();
    let (said, chunk) = (audit.logits().digest(), Some((0, values)));
    case.challenge.run = Some(ShownRun { item: 1, said, trace, spans: Vec::new(), chunk, sums: None });
    let Ok(Found::Refute(refutation)) = case.found().await else { panic!("a refutation") };
    assert!(matches!(refutation.claim, RefutedClaim::Input { at: 4, .. }), "{refutation:?}");
    let changes: [fn(&mut ShownRun); 2] =
        [|run| run.trace.values += 1, |run| run.trace.before = Digest::sha256(b"before")];
    for change in changes {
        let mut run = case.challenge.run.clone().unwrap();
        change(&mut run);
        let changed = Challenge { run: Some(run), ..case.challenge.clone() };
        let found = Side { classifier: &case.honest, job: &case.job }.found(&changed).await;
        let Ok(Found::Refute(refutation)) = found else { panic!("a refutation") };
        assert!(matches!(refutation.claim, RefutedClaim::Length));
    }
}

#[tokio::test]
async fn honest_work_leads_nowhere() {
    let case = case("mlp-tiny", honest, |_| ()).await;
    let reason = case.found().await.err().unwrap();
    assert!(reason.contains("is what this node computes"), "{reason}");
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
