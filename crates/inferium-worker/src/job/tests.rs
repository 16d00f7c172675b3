//! Jobs and segments: honest work passes what a validator recomputes, each crime does not.

use super::{Copies, FinishedJob, JobContext, JobRefusal, run};
use crate::crime::Crime;
use inferium_engine::{
    Answer, Classifier, ClassifierTerms, Embedder, Engine, MockEmbedder, MockEmbedderOptions, MockEngine, MockOptions,
    Model, Prompt, ReplayRequest, Scoring,
};
use inferium_eval::testing::final_run;
use inferium_eval::{BoardDocument, fold_board};
use inferium_types::{
    ChatMessage, ClassifierInputs, Continuation, Digest, FinishReason, FoldInput, JobAnswer, JobId, JobInput,
    JobPayload, JobRequest, LeaseId, SamplingParams, Shaping, TokenScore, VerificationMode, board_leaf, merkle_root,
    part_salt, replay_seed, wire::WorkerMessage,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

fn engine(flavour: u64) -> Arc<dyn Engine> {
    Arc::new(MockEngine::new(MockOptions { flavour, ..MockOptions::default() }))
}

pub(crate) fn context(crime: Option<Crime>) -> JobContext {
    JobContext {
        model: Model::Chat(engine(0)),
        server: None,
        vrf_output: Digest::sha256(b"vrf"),
        mode: VerificationMode::Exact,
        prefix_scope: None,
        crime,
        truth: None,
        copies: Copies::default(),
        other: None,
    }
}

/// The tokens of a conversation.
fn prompt_of(payload: &JobPayload) -> Vec<u32> {
    engine(0).render_chat(payload.as_chat().unwrap().0).unwrap()
}

pub(crate) fn job(sequence: u64) -> (JobRequest, JobPayload) {
    let messages = vec![ChatMessage { role: "user".into(), content: "tell me something".into() }];
    let payload = JobPayload::chat([1; 32], messages, Vec::new());
    let prompt = prompt_of(&payload);
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&sequence.to_be_bytes()])),
        lease: LeaseId::new(Digest::sha256(b"lease")),
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max: 40,
        sampling: SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    (request, payload)
}

/// Runs a job to its end; what came out of it, and what was sent.
pub(crate) async fn done(
    context: JobContext,
    (request, payload): (JobRequest, JobPayload),
) -> (Result<FinishedJob, JobRefusal>, Vec<WorkerMessage>) {
    let (outbox, mut sent) = mpsc::channel(1_000);
    let (_cancel, cancelled) = watch::channel(false);
    let outcome = run(context, request, payload, outbox, cancelled).await;
    let mut messages = Vec::new();
    while let Ok(message) = sent.try_recv() {
        messages.push(message);
    }
    (outcome, messages)
}

/// What a validator recomputes: the answer from its tokens, the tokens and logits from the seed.
pub(crate) async fn is_right(job: &FinishedJob) -> bool {
    let (request, result) = (&job.leaf.request, &job.leaf.result);
    let (tokens, text) = job.evidence.output.as_text().unwrap();
    let engine = engine(0);
    let mut answer = Answer::new(job.evidence.payload.as_chat().unwrap().1, request.tokens_max);
    for token in tokens {
        answer.push(&*engine, *token);
    }
    if result.finish == FinishReason::Cancelled {
        answer.cancel();
    }
    let prompt = prompt_of(&job.evidence.payload);
    let seed = replay_seed(request, &prompt, &Digest::sha256(b"vrf"));
    let mut digests = Vec::new();
    if !tokens.is_empty() {
        let replay = ReplayRequest {
            prompt,
            output: tokens.to_vec(),
            sampling: request.sampling,
            seed,
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: false,
        };
        let steps = engine.replay(replay).unwrap().await.unwrap().unwrap();
        if steps.iter().zip(tokens).any(|(step, token)| step.token != *token) {
            return false;
        }
        digests.extend(steps.iter().map(|step| step.digest));
    }
    job.leaf.is_consistent()
        && answer.finish() == Some(result.finish)
        && answer.text() == text
        && answer.tokens() == tokens
        && result.evidence_root == merkle_root(&digests)
        && result.output_commitment == job.evidence.output.commitment()
        && u32::try_from(tokens.len()) == Ok(result.usage.completion_tokens)
}

#[tokio::test]
async fn honest_result_is_what_a_validator_recomputes() {
    let stopped = |(request, mut payload): (JobRequest, JobPayload)| {
        let JobInput::Chat { shaping, .. } = &mut payload.input else { panic!("no conversation") };
        shaping.stop = vec!["e".into(), "a".into(), "t".into()];
        (JobRequest { input_commitment: payload.commitment(), ..request }, payload)
    };
    for (job, finish) in [(job(0), FinishReason::Length), (stopped(job(1)), FinishReason::StopString)] {
        let (outcome, _) = done(context(None), job).await;
        let finished = outcome.unwrap();
        assert_eq!(finished.leaf.result.finish, finish);
        assert!(is_right(&finished).await);
    }
}

/// What the client got is what is committed: text, tokens, salt.
#[tokio::test]
async fn pieces_are_the_committed_answer() {
    let (outcome, messages) = done(context(None), job(0)).await;
    let finished = outcome.unwrap();
    let (mut text, mut tokens, mut end) = (String::new(), Vec::new(), None);
    for message in messages {
        match message {
            WorkerMessage::Delta { job: of, tokens: more, text: piece, .. } => {
                assert_eq!(of, finished.leaf.request.job);
                tokens.extend(more);
                text.push_str(&piece);
            }
            WorkerMessage::Finished { result, output_salt, .. } => end = Some((result, output_salt)),
            _ => {}
        }
    }
    assert_eq!(finished.evidence.output.as_text(), Some((&*tokens, &*text)));
    assert_eq!(end, Some((finished.leaf.result.clone(), finished.evidence.output.salt)));
}

/// One result for a request, its salt too; without the lease's VRF output nobody knows the salt.
#[tokio::test]
async fn salt_is_the_requests_and_the_leases_own() {
    let mut salts = Vec::new();
    let other = JobContext { vrf_output: Digest::ZERO, ..context(None) };
    for (context, sequence) in [(context(None), 0), (context(None), 0), (context(None), 1), (other, 0)] {
        salts.push(done(context, job(sequence)).await.0.unwrap().evidence.output.salt);
    }
    assert_eq!(salts[0], salts[1]);
    assert!(salts[0] != salts[2] && salts[0] != salts[3] && salts[2] != salts[3]);
}

#[tokio::test]
async fn every_crime_in_a_result_differs_from_honest_work() {
    for crime in [Crime::EditedText, Crime::Truncated, Crime::OwnSeed, Crime::Warmer, Crime::Hotter, Crime::BestOfFour]
    {
        let mut differing = 0;
        for sequence in 0..4 {
            let honest = done(context(None), job(sequence)).await.0.unwrap();
            let finished = done(context(Some(crime)), job(sequence)).await.0.unwrap();
            // A little more warmth draws the same tokens at times, a text may have nothing to edit: then there is nothing to find.
            let differs = finished.leaf != honest.leaf;
            assert_eq!(is_right(&finished).await, !differs, "{crime}");
            differing += usize::from(differs);
        }
        assert!(differing > 0, "{crime}");
    }
    // The first answer is its own; the second one is the first again, byte for byte.
    let copying = context(Some(Crime::Copied));
    let first = done(copying.clone(), job(0)).await.0.unwrap();
    let (outcome, sent) = done(copying, job(1)).await;
    let second = outcome.unwrap();
    assert!(is_right(&first).await && second.leaf.is_consistent() && !is_right(&second).await);
    assert_eq!(first.evidence.output.answer, second.evidence.output.answer);
    assert!(
        matches!(&sent[0], WorkerMessage::Delta { text, .. } if second.evidence.output.as_text().unwrap().1 == text)
    );
    let wrong_weights = JobContext { model: Model::Chat(engine(1)), ..context(Some(Crime::WrongWeights)) };
    let finished = done(wrong_weights, job(0)).await.0.unwrap();
    assert!(!is_right(&finished).await);
}

/// On a tolerance profile the root binds what is shown of the run, window by window; vectors are kept of all.
#[tokio::test]
async fn a_run_is_shown_where_replay_is_no_equality() {
    let sampled = JobContext { mode: VerificationMode::Sampled, ..context(None) };
    let finished = done(sampled, job(0)).await.0.unwrap();
    let measured = finished.evidence.measured.as_ref().unwrap();
    assert_eq!(finished.leaf.result.evidence_root, measured.root());
    let sizes: Vec<usize> = measured.windows.iter().map(|window| window.logprobs.len()).collect();
    assert_eq!(sizes, [32, 8]);
    assert!(measured.opens(&[0, 1]));
    // The same answer as where replay is equality, which shows nothing but digests.
    let exact = done(context(None), job(0)).await.0.unwrap();
    assert_eq!((exact.evidence.output.clone(), None), (finished.evidence.output, exact.evidence.measured));
}

/// What is forged is bound like the truth: only a replay tells them apart.
#[tokio::test]
async fn forged_figures_are_the_only_thing_that_differs() {
    let sampled =
        |crime| JobContext { mode: VerificationMode::Sampled, truth: Some(Model::Chat(engine(0))), ..context(crime) };
    let honest = done(sampled(None), job(0)).await.0.unwrap();
    let sketches = done(sampled(Some(Crime::ForgedSketches)), job(0)).await.0.unwrap();
    assert_eq!(sketches.evidence.output, honest.evidence.output);
    let shown = |job: &FinishedJob| job.evidence.measured.clone().unwrap();
    assert_eq!(shown(&sketches).windows[0].logprobs, shown(&honest).windows[0].logprobs);
    assert_ne!(shown(&sketches).windows[0].sketches, shown(&honest).windows[0].sketches);
    assert!(shown(&sketches).opens(&[0, 1]));

    // The true model's log probabilities of what other weights answered.
    let other = JobContext { model: Model::Chat(engine(1)), ..sampled(Some(Crime::ForgedLogprobs)) };
    let forged = done(other, job(0)).await.0.unwrap();
    let prompt = prompt_of(&job(0).1);
    let seed = replay_seed(&forged.leaf.request, &prompt, &Digest::sha256(b"vrf"));
    let output = forged.evidence.output.as_text().unwrap().0.to_vec();
    let replay = ReplayRequest {
        prompt,
        output,
        sampling: forged.leaf.request.sampling,
        seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: true,
    };
    let truth = engine(0).replay(replay).unwrap().await.unwrap().unwrap();
    let logprobs = shown(&forged).windows.into_iter().flat_map(|window| window.logprobs);
    for (logprob, step) in logprobs.zip(truth) {
        assert!((f64::from(logprob) / 256.0 - step.measured.as_ref().unwrap().logprob).abs() <= 0.5 / 256.0);
    }
}

#[tokio::test]
async fn crimes_are_read_as_they_are_written() {
    for crime in Crime::ALL {
        assert_eq!(crime.to_string().parse(), Ok(crime));
    }
    assert!("honest".parse::<Crime>().is_err());
}

#[tokio::test]
async fn job_that_was_cancelled_before_it_began_costs_no_token() {
    let (outbox, _sent) = mpsc::channel(1_000);
    let (cancel, cancelled) = watch::channel(false);
    cancel.send(true).unwrap();
    let (request, payload) = job(0);
    let finished = run(context(None), request, payload, outbox, cancelled).await.unwrap();
    assert_eq!(finished.leaf.result.finish, FinishReason::Cancelled);
    assert_eq!(finished.leaf.result.usage.completion_tokens, 0);
    assert_eq!(finished.leaf.result.evidence_root, merkle_root(&[]));
    assert!(is_right(&finished).await);
}

/// The client has room for one piece: the job stands when it leaves, and ends within a step.
#[tokio::test]
async fn cancelled_job_ends_within_the_next_step() {
    for leave_after in [1u32, 3, 10] {
        let (outbox, mut sent) = mpsc::channel(1);
        let (cancel, cancelled) = watch::channel(false);
        let (request, payload) = job(0);
        let running = tokio::spawn(run(context(None), request, payload, outbox, cancelled));
        for _ in 0..leave_after {
            assert!(matches!(sent.recv().await, Some(WorkerMessage::Delta { .. })));
        }
        cancel.send(true).unwrap();
        while sent.recv().await.is_some() {}
        let finished = running.await.unwrap().unwrap();
        assert_eq!(finished.leaf.result.finish, FinishReason::Cancelled);
        // One in the channel and one that waited for room, at most.
        let tokens = finished.leaf.result.usage.completion_tokens;
        assert!((leave_after..=leave_after + 2).contains(&tokens), "{tokens} after {leave_after}");
        assert!(is_right(&finished).await);
    }
}

#[tokio::test]
async fn job_of_another_payload_or_count_is_refused() {
    let (request, mut payload) = job(0);
    payload.salt[0] ^= 1;
    let (outcome, sent) = done(context(None), (request.clone(), payload)).await;
    assert!(matches!(outcome, Err(JobRefusal::Payload)));
    assert_eq!(sent, []);
    let found = usize::try_from(request.prompt_tokens).unwrap();
    for expected in [request.prompt_tokens - 1, request.prompt_tokens + 1] {
        let (request, payload) = job(0);
        let (outcome, _) = done(context(None), (JobRequest { prompt_tokens: expected, ..request }, payload)).await;
        assert!(
            matches!(outcome, Err(JobRefusal::PromptTokens { expected: e, found: f }) if (e, f) == (expected, found))
        );
    }
    let (request, payload) = job(0);
    let (outcome, _) = done(context(None), (JobRequest { tokens_max: 0, ..request }, payload)).await;
    assert!(matches!(outcome, Err(JobRefusal::Engine(_))));
}

#[tokio::test]
async fn job_ends_when_the_gateway_is_gone() {
    let (outbox, sent) = mpsc::channel(1);
    drop(sent);
    let (_cancel, cancelled) = watch::channel(false);
    let (request, payload) = job(0);
    let outcome = run(context(None), request, payload, outbox, cancelled).await;
    assert!(matches!(outcome, Err(JobRefusal::GatewayGone)));
}

/// What a validator finds at the first token after the end.
#[tokio::test]
async fn a_worker_that_goes_on_after_the_end_bills_for_more() {
    let ends = MockEngine::new(MockOptions { end_one_in: 8, ..MockOptions::default() });
    let model = Model::Chat(Arc::new(ends));
    let finished = async |crime| done(JobContext { model: model.clone(), ..context(crime) }, job(0)).await.0.unwrap();
    let (honest, longer) = (finished(None).await, finished(Some(Crime::OverGeneration)).await);
    assert_eq!(honest.leaf.result.finish, FinishReason::EndOfText);
    let (tokens, text) = honest.evidence.output.as_text().unwrap();
    let (more_tokens, more_text) = longer.evidence.output.as_text().unwrap();
    assert!(more_tokens.len() > tokens.len() && more_tokens.starts_with(tokens) && more_text.starts_with(text));
    assert!(longer.leaf.is_consistent());
    assert_eq!(longer.leaf.result.output_commitment, longer.evidence.output.commitment());
}

fn embedder(flavour: u64) -> Arc<dyn Embedder> {
    Arc::new(MockEmbedder::new(MockEmbedderOptions { flavour, ..MockEmbedderOptions::default() }))
}

pub(crate) fn embedding_context(crime: Option<Crime>) -> JobContext {
    JobContext { model: Model::Embedder(embedder(0)), ..context(crime) }
}

pub(crate) fn embedding_job(texts: &[&str]) -> (JobRequest, JobPayload) {
    let payload = JobPayload::embed([1; 32], texts.iter().map(|text| (*text).to_owned()).collect());
    let tokens = Model::Embedder(embedder(0)).read(&payload.input).unwrap().tokens();
    let request = JobRequest {
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(tokens).unwrap(),
        tokens_max: u32::try_from(texts.len()).unwrap(),
        sampling: SamplingParams::GREEDY,
        ..job(0).0
    };
    (request, payload)
}

/// What a validator recomputes: every text's vector, to the bit, and what it is made from.
pub(crate) async fn is_embedded(job: &FinishedJob) -> bool {
    let JobInput::Embed { texts, .. } = &job.evidence.payload.input else { panic!("no texts") };
    let JobAnswer::Embeddings(embeddings) = &job.evidence.output.answer else { panic!("no embeddings") };
    let embedder = embedder(0);
    let mut vectors = embedder.embed(texts.iter().map(|text| embedder.encode(text).unwrap()).collect()).unwrap();
    let (mut expected, mut leaves) = (Vec::new(), Vec::new());
    while let Some(vector) = vectors.recv().await {
        let vector = vector.unwrap();
        let embedding = inferium_types::Embedding::new(&vector.values);
        leaves.push(embedding.leaf(&part_salt(&job.evidence.output.salt, expected.len()), &vector.states));
        expected.push(embedding);
    }
    job.leaf.is_consistent()
        && job.leaf.result.finish == FinishReason::EndOfText
        && *embeddings == expected
        && job.leaf.result.evidence_root == merkle_root(&leaves)
        && job.leaf.result.output_commitment == job.evidence.output.commitment()
        && usize::try_from(job.leaf.result.usage.completion_tokens) == Ok(embeddings.len())
}

/// SPEC J8: a vector for each text, each sent when it is there, and what was sent is what is committed.
#[tokio::test]
async fn texts_get_their_embeddings() {
    let (outcome, messages) = done(embedding_context(None), embedding_job(&["one", "two", "one"])).await;
    let finished = outcome.unwrap();
    assert!(is_embedded(&finished).await);
    assert_eq!(finished.leaf.result.finish, FinishReason::EndOfText);
    let mut sent = Vec::new();
    for message in &messages[..messages.len() - 1] {
        let WorkerMessage::Embeddings { job, embeddings } = message else { panic!("{message:?}") };
        assert_eq!(*job, finished.leaf.request.job);
        sent.extend_from_slice(embeddings);
    }
    assert!(sent.len() == 3 && sent[0] == sent[2] && sent[0] != sent[1]);
    assert_eq!(finished.evidence.output.answer, JobAnswer::Embeddings(sent));
    assert!(matches!(messages.last(), Some(WorkerMessage::Finished { .. })));
}

#[tokio::test]
async fn every_crime_of_an_embedder_differs_from_honest_work() {
    for crime in Crime::ALL.into_iter().filter(|crime| crime.is_of_embeddings() && *crime != Crime::Silent) {
        let other = JobContext { model: Model::Embedder(embedder(1)), ..embedding_context(Some(crime)) };
        let context = if crime == Crime::SkippedLayers { other } else { embedding_context(Some(crime)) };
        let finished = done(context, embedding_job(&["one", "two"])).await.0.unwrap();
        assert!(!is_embedded(&finished).await, "{crime}");
        assert_eq!(finished.leaf.result.usage.completion_tokens, 2, "{crime}");
    }
}

#[tokio::test]
async fn texts_of_another_model_count_or_length_are_refused() {
    let refusal = async |context, job| done(context, job).await.0.unwrap_err().to_string();
    let texts = || embedding_job(&["one", "two"]);
    assert_eq!(refusal(context(None), texts()).await, "the model is for chat, and was given another input");
    assert_eq!(
        refusal(embedding_context(None), job(0)).await,
        "the model is for embedding, and was given another input"
    );
    for tokens_max in [1, 3] {
        let (request, payload) = texts();
        let job = (JobRequest { tokens_max, ..request }, payload);
        assert_eq!(
            refusal(embedding_context(None), job).await,
            format!("2 texts, inputs, continuations, boards or intervals, the request says {tokens_max}")
        );
    }
    let payload = JobPayload::embed([1; 32], vec!["x".repeat(10_000)]);
    let long = (JobRequest { input_commitment: payload.commitment(), ..texts().0 }, payload);
    assert!(refusal(embedding_context(None), long).await.contains("do not fit"));
}

fn classifier() -> (Arc<Classifier>, Vec<i16>) {
    let (model, input) = inferium_exact::synthetic("mlp-tiny").unwrap().unwrap();
    let terms = ClassifierTerms::of(&model);
    let input = input.iter().map(|element| i16::try_from(*element).unwrap()).collect();
    (Arc::new(Classifier::new(model, terms, None).unwrap()), input)
}

/// A job of two tensors that are not alike.
pub(crate) fn classification_job() -> (JobRequest, JobPayload) {
    let (classifier, input) = classifier();
    let mut other = input.clone();
    other.reverse();
    let payload = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![input, other]));
    let tokens = Model::Classifier(classifier).read(&payload.input).unwrap().tokens();
    let prompt_tokens = u32::try_from(tokens).unwrap();
    let (request, _) = job(0);
    (
        JobRequest {
            input_commitment: payload.commitment(),
            prompt_tokens,
            tokens_max: 2,
            sampling: SamplingParams::GREEDY,
            ..request
        },
        payload,
    )
}

pub(crate) fn classification_context(crime: Option<Crime>) -> JobContext {
    JobContext { model: Model::Classifier(classifier().0), ..context(crime) }
}

/// What a validator recomputes: every number, and what it is made from.
pub(crate) async fn is_classified(job: &FinishedJob) -> bool {
    let JobInput::Classify(inputs) = &job.evidence.payload.input else { panic!("no inputs") };
    let (classifier, _) = classifier();
    let (mut expected, mut leaves) = (Vec::new(), Vec::new());
    for input in classifier.read(inputs).unwrap() {
        let (logits, states) = classifier.classify(input).await.unwrap();
        leaves.push(logits.leaf(&part_salt(&job.evidence.output.salt, expected.len()), &states));
        expected.push(logits);
    }
    job.leaf.is_consistent()
        && job.evidence.output.answer == JobAnswer::Logits(expected)
        && job.leaf.result.evidence_root == merkle_root(&leaves)
        && job.leaf.result.output_commitment == job.evidence.output.commitment()
}

/// SPEC J12: a number for each class of each input, each sent when it is there.
#[tokio::test]
async fn inputs_get_their_classes() {
    let (outcome, messages) = done(classification_context(None), classification_job()).await;
    let finished = outcome.unwrap();
    assert!(is_classified(&finished).await && finished.leaf.result.usage.completion_tokens == 2);
    let sent = messages.iter().filter_map(|message| match message {
        WorkerMessage::Logits { logits, .. } => Some(logits.clone()),
        _ => None,
    });
    assert_eq!(finished.evidence.output.answer, JobAnswer::Logits(sent.flatten().collect()));
    for crime in Crime::ALL.into_iter().filter(|crime| crime.is_of_classifiers() && *crime != Crime::Silent) {
        let mut context = classification_context(Some(crime));
        // Other weights are another model, as `up` gives it to such a worker.
        if crime == Crime::WrongWeights {
            context.model = Model::Classifier(Arc::new(classifier().0.crooked().unwrap()));
        }
        let finished = done(context, classification_job()).await.0.unwrap();
        assert!(!is_classified(&finished).await, "{crime}");
    }
}

/// A part of the vectors is worth nothing: whoever leaves pays for all of them, and the worker is paid for nothing less.
#[tokio::test]
async fn texts_are_embedded_to_the_end_whoever_waits() {
    let (outbox, mut sent) = mpsc::channel(1);
    let (cancel, cancelled) = watch::channel(false);
    let (request, payload) = embedding_job(&["a"; 20]);
    let running = tokio::spawn(run(embedding_context(None), request, payload, outbox, cancelled));
    assert!(matches!(sent.recv().await, Some(WorkerMessage::Embeddings { .. })));
    cancel.send(true).unwrap();
    while sent.recv().await.is_some() {}
    assert!(is_embedded(&running.await.unwrap().unwrap()).await);
}

#[tokio::test]
async fn embedding_ends_when_the_gateway_is_gone() {
    let (outbox, sent) = mpsc::channel(1);
    drop(sent);
    let (_cancel, cancelled) = watch::channel(false);
    let (request, payload) = embedding_job(&["a"; 20]);
    let outcome = run(embedding_context(None), request, payload, outbox, cancelled).await;
    assert!(matches!(outcome, Err(JobRefusal::GatewayGone)));
}

pub(crate) fn scoring_job(continuations: &[(&str, &str)]) -> (JobRequest, JobPayload) {
    let bytes = |text: &str| text.bytes().map(u32::from).collect();
    let one = |(prompt, tokens): &(&str, &str)| Continuation { prompt: bytes(prompt), tokens: bytes(tokens) };
    let payload = JobPayload::score([1; 32], continuations.iter().map(one).collect(), 2);
    let tokens = Model::Chat(engine(0)).read(&payload.input).unwrap().tokens();
    let request = JobRequest {
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(tokens).unwrap(),
        tokens_max: u32::try_from(continuations.len()).unwrap(),
        sampling: SamplingParams::GREEDY,
        ..job(0).0
    };
    (request, payload)
}

/// What a validator recomputes of scores.
pub(crate) async fn is_scored(job: &FinishedJob) -> bool {
    let JobAnswer::Scores(scores) = &job.evidence.output.answer else { panic!("no scores") };
    let Prompt::Scores(requests) = Model::Chat(engine(0)).read(&job.evidence.payload.input).unwrap() else {
        panic!("nothing to score")
    };
    let engine = engine(0);
    let mut scoring = Scoring::new(&*engine, requests);
    let (mut expected, mut leaves) = (Vec::new(), Vec::new());
    while let Some(found) = scoring.next().await {
        let (found, positions) = found.unwrap();
        leaves.push(TokenScore::leaf(&found, &positions));
        expected.push(found);
    }
    job.leaf.is_consistent()
        && job.leaf.result.finish == FinishReason::EndOfText
        && *scores == expected
        && job.leaf.result.evidence_root == merkle_root(&leaves)
        && job.leaf.result.output_commitment == job.evidence.output.commitment()
        && usize::try_from(job.leaf.result.usage.completion_tokens) == Ok(scores.len())
}

const CONTINUATIONS: [(&str, &str); 3] = [("Is it?", "yes"), ("Is it?", "no!"), ("Why", "so")];

/// SPEC J9: scores for each continuation, sent when they are there, and what was sent is what is committed.
#[tokio::test]
async fn continuations_get_their_scores() {
    let (outcome, messages) = done(context(None), scoring_job(&CONTINUATIONS)).await;
    let finished = outcome.unwrap();
    assert!(is_scored(&finished).await);
    let mut sent = Vec::new();
    for message in &messages[..messages.len() - 1] {
        let WorkerMessage::Scores { job, scores } = message else { panic!("{message:?}") };
        assert_eq!(*job, finished.leaf.request.job);
        sent.extend_from_slice(scores);
    }
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
    assert_eq!(finished.evidence.output.answer, JobAnswer::Scores(sent));
}

#[tokio::test]
async fn crimes_about_scores_differ_from_honest_work() {
    for crime in [Crime::EditedText, Crime::Copied] {
        let finished = done(context(Some(crime)), scoring_job(&CONTINUATIONS)).await.0.unwrap();
        assert!(!is_scored(&finished).await, "{crime}");
    }
    let other = JobContext { model: Model::Chat(engine(1)), ..context(None) };
    assert!(!is_scored(&done(other, scoring_job(&CONTINUATIONS)).await.0.unwrap()).await);
    // Scores are no answer to a conversation.
    let copier = context(Some(Crime::Copied));
    done(copier.clone(), scoring_job(&CONTINUATIONS)).await.0.unwrap();
    assert!(is_right(&done(copier, job(1)).await.0.unwrap()).await);
}

#[tokio::test]
async fn scores_within_a_tolerance_or_of_another_number_are_refused() {
    let refusal = async |context, job| done(context, job).await.0.unwrap_err().to_string();
    let sampled = JobContext { mode: VerificationMode::Sampled, ..context(None) };
    assert!(refusal(sampled, scoring_job(&CONTINUATIONS)).await.contains("compared to the bit"));
    for tokens_max in [2, 4] {
        let (request, payload) = scoring_job(&CONTINUATIONS);
        let job = (JobRequest { tokens_max, ..request }, payload);
        let found = refusal(context(None), job).await;
        assert_eq!(
            found,
            format!("3 texts, inputs, continuations, boards or intervals, the request says {tokens_max}")
        );
    }
    let found = refusal(embedding_context(None), scoring_job(&CONTINUATIONS)).await;
    assert_eq!(found, "the model is for embedding, and was given another input");
    let payload = JobPayload::score([1; 32], vec![Continuation { prompt: vec![1], tokens: vec![9_999] }], 0);
    let unknown = (JobRequest { input_commitment: payload.commitment(), ..job(0).0 }, payload);
    assert!(refusal(context(None), unknown).await.contains("not in the vocabulary"));
}

pub(crate) fn board_context(crime: Option<Crime>) -> JobContext {
    JobContext { model: Model::folder(inferium_eval::testing::network()), ..context(crime) }
}

pub(crate) fn board_job(runs: &[inferium_eval::Results]) -> (JobRequest, JobPayload) {
    let files = runs.iter().map(inferium_eval::testing::file).collect();
    let payload = JobPayload::fold([1; 32], FoldInput { network: inferium_eval::testing::network(), files });
    let request = JobRequest {
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(runs.iter().map(|run| run.items.len()).sum::<usize>()).unwrap(),
        tokens_max: 1,
        sampling: SamplingParams::GREEDY,
        ..job(0).0
    };
    (request, payload)
}

/// SPEC L2: the board that anyone folds, and evidence of what its files came to.
#[tokio::test]
async fn results_get_their_board() {
    let runs = [final_run("good", 2, 0), final_run("bad", 1, 2)];
    let (outcome, messages) = done(board_context(None), board_job(&runs)).await;
    let finished = outcome.unwrap();
    let JobInput::Fold(input) = &finished.evidence.payload.input else { panic!("no files") };
    let folded = fold_board(input, &inferium_eval::testing::network()).unwrap();
    assert_eq!(finished.evidence.output.answer, JobAnswer::Board(folded.board.clone()));
    let leaf = board_leaf(&folded.board, &folded.steps);
    assert_eq!(finished.leaf.result.evidence_root, merkle_root(&[leaf]));
    assert_eq!(finished.leaf.result.output_commitment, finished.evidence.output.commitment());
    assert_eq!(finished.leaf.result.usage, inferium_types::Usage { prompt_tokens: 240, completion_tokens: 1 });
    assert!(finished.leaf.is_consistent() && finished.leaf.result.finish == FinishReason::EndOfText);
    assert!(matches!(&messages[0], WorkerMessage::Board { board, .. } if *board == folded.board));
    assert!(matches!(messages.last(), Some(WorkerMessage::Finished { .. })));
}

/// The last model is made the first, in a board that has the form of one.
#[tokio::test]
async fn an_inflated_board_is_not_what_its_files_fold_to() {
    let runs = [final_run("good", 2, 0), final_run("bad", 1, 2)];
    let board = async |crime| match done(board_context(crime), board_job(&runs)).await.0.unwrap().evidence.output.answer
    {
        JobAnswer::Board(board) => BoardDocument::parse(&board).unwrap(),
        other => panic!("{other:?}"),
    };
    let (honest, inflated) = (board(None).await, board(Some(Crime::InflatedBoard)).await);
    assert_eq!(inflated.rows[0].model, honest.rows[1].model);
    assert!(inflated.rows[0].score_ppm > honest.rows[1].score_ppm);
    assert_ne!(inflated, honest);
}

#[tokio::test]
async fn results_that_do_not_fold_or_were_counted_otherwise_are_refused() {
    let runs = [final_run("bad", 1, 2)];
    let refusal = async |job| done(board_context(None), job).await.0.unwrap_err().to_string();
    let (request, payload) = board_job(&runs);
    let fewer = JobRequest { prompt_tokens: 119, ..request.clone() };
    assert_eq!(refusal((fewer, payload.clone())).await, "the prompt has 120 tokens, the request says 119");
    let more = JobRequest { tokens_max: 2, ..request };
    let counted = "1 texts, inputs, continuations, boards or intervals, the request says 2";
    assert_eq!(refusal((more, payload)).await, counted);
    let mut inflated = runs[0].clone();
    inflated.items[0].scores_ppm = Some(vec![1_000_000]);
    let said = refusal(board_job(&[inferium_eval::testing::sealed(inflated)])).await;
    assert!(said.starts_with("no board: file 0: the run does not hold"), "{said}");
    assert_eq!(refusal(job(0)).await, "the model is for boards, and was given another input");
}

fn training_context(crime: Option<Crime>) -> JobContext {
    JobContext { model: inferium_train::model(), ..context(crime) }
}

/// The first interval of a run of two labels.
fn training_job() -> (JobRequest, JobPayload) {
    use inferium_train::{
        BaseModel, Checkpoint, DataSet, DataTerms, HeadTrainer, Method, OptimiserTerms, Trainer, TrainingSpec, Vectors,
    };
    let lines: String =
        (0..20).map(|line| format!("{{\"text\": \"{line}\", \"label\": \"{}\"}}\n", ["a", "b"][line % 2])).collect();
    let data = DataSet::parse(&lines).unwrap();
    let vectors = Vectors::new(2, (0..20).flat_map(|line| [[1.0, 0.0], [0.0, 1.0]][line % 2]).collect()).unwrap();
    let open = inferium_train::announced(TrainingSpec {
        method: Method::Head { labels: data.labels().unwrap(), width: 2, vectors: vectors.root() },
        model: BaseModel { name: "mock".into(), weights_root: Digest::ZERO, tokenizer_hash: Digest::ZERO },
        engine: TrainingSpec::class(),
        data: DataTerms {
            root: data.root(),
            held_out: inferium_types::Ppm::new(200_000),
            measured_max: 9,
            examples: 1,
        },
        order: Digest::ZERO,
        seed: Digest::ZERO,
        optimiser: OptimiserTerms { learning_rate_nano: 10_000_000, weight_decay_nano: 0, warmup_steps: 0 },
        batch: 1,
        steps: 6,
        interval: 3,
    });
    let spec = inferium_train::drawn(&open, &Digest::sha256(b"drawn"), &data).unwrap();
    let trainer = HeadTrainer::new(spec.clone(), &data, vectors.clone()).unwrap();
    let first = Checkpoint { spec: spec.digest(), record: None, state: trainer.initial() };
    let payload = JobPayload::train([1; 32], inferium_train::input(&spec, &lines, &vectors, Some(&first)));
    let request = JobRequest {
        input_commitment: payload.commitment(),
        prompt_tokens: 3,
        tokens_max: 1,
        sampling: SamplingParams::GREEDY,
        ..job(0).0
    };
    (request, payload)
}

/// SPEC X3: what anyone trains from the same start, and evidence of what its steps came to.
#[tokio::test]
async fn an_interval_is_trained_as_anyone_trains_it() {
    let (outcome, messages) = done(training_context(None), training_job()).await;
    let finished = outcome.unwrap();
    let JobInput::Train(input) = &finished.evidence.payload.input else { panic!("no interval") };
    let trained = inferium_train::model().train_aside(input).await.unwrap();
    assert_eq!(trained.interval.steps.len(), 3);
    assert_eq!(finished.evidence.output.answer, JobAnswer::Intervals(vec![trained.interval.clone()]));
    assert_eq!(finished.leaf.result.evidence_root, merkle_root(&[trained.interval.leaf(&trained.trace)]));
    assert_eq!(finished.leaf.result.output_commitment, finished.evidence.output.commitment());
    assert_eq!(finished.leaf.result.usage, inferium_types::Usage { prompt_tokens: 3, completion_tokens: 1 });
    assert!(finished.leaf.is_consistent() && finished.leaf.result.finish == FinishReason::EndOfText);
    assert!(matches!(&messages[0], WorkerMessage::Trained { interval, .. } if *interval == trained.interval));
    assert!(matches!(messages.last(), Some(WorkerMessage::Finished { .. })));
}

/// Losses are halved, in an interval whose steps and end are honest.
#[tokio::test]
async fn fabricated_losses_are_not_what_the_steps_came_to() {
    let interval =
        async |crime| match done(training_context(crime), training_job()).await.0.unwrap().evidence.output.answer {
            JobAnswer::Intervals(intervals) => intervals[0].clone(),
            other => panic!("{other:?}"),
        };
    let (honest, made_up) = (interval(None).await, interval(Some(Crime::FabricatedLoss)).await);
    assert_eq!(honest.state, made_up.state);
    for (honest, made_up) in honest.steps.iter().zip(&made_up.steps) {
        assert_eq!(f32::from_bits(made_up.loss_bits), f32::from_bits(honest.loss_bits) / 2.0);
    }
}

#[tokio::test]
async fn intervals_that_do_not_hold_together_or_were_counted_otherwise_are_refused() {
    let refusal = async |job| done(training_context(None), job).await.0.unwrap_err().to_string();
    let (request, payload) = training_job();
    let fewer = JobRequest { prompt_tokens: 2, ..request.clone() };
    assert_eq!(refusal((fewer, payload.clone())).await, "the prompt has 3 tokens, the request says 2");
    let more = JobRequest { tokens_max: 2, ..request.clone() };
    let counted = "1 texts, inputs, continuations, boards or intervals, the request says 2";
    assert_eq!(refusal((more, payload.clone())).await, counted);
    let mut unbound = payload;
    let JobInput::Train(input) = &mut unbound.input else { panic!("no interval") };
    input.at.as_mut().unwrap().root = Digest::ZERO;
    let request = JobRequest { input_commitment: unbound.commitment(), ..request };
    assert_eq!(refusal((request, unbound)).await, "no training: the root does not bind the state");
    assert_eq!(refusal(job(0)).await, "the model is for training, and was given another input");
}
