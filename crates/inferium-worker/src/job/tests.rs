//! Jobs and segments: honest work passes what a validator recomputes, each crime does not.

use super::{FinishedJob, JobContext, JobRefusal, run};
use crate::crime::Crime;
use inferium_engine::{Answer, Engine, MockEngine, MockOptions, ReplayRequest};
use inferium_types::{
    ChatMessage, Digest, FinishReason, JobId, JobPayload, JobRequest, LeaseId, SamplingParams, VerificationMode,
    merkle_root, replay_seed, wire::WorkerMessage,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

fn engine(flavour: u64) -> Arc<dyn Engine> {
    Arc::new(MockEngine::new(MockOptions { flavour, ..MockOptions::default() }))
}

pub(crate) fn context(crime: Option<Crime>) -> JobContext {
    JobContext {
        engine: engine(0),
        vrf_output: Digest::sha256(b"vrf"),
        mode: VerificationMode::Exact,
        crime,
        truth: None,
    }
}

pub(crate) fn job(sequence: u64) -> (JobRequest, JobPayload) {
    let messages = vec![ChatMessage { role: "user".into(), content: "tell me something".into() }];
    let payload = JobPayload { salt: [1; 32], messages, stop: Vec::new() };
    let prompt = engine(0).render_chat(&payload.messages).unwrap();
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
    let output = &job.evidence.output;
    let engine = engine(0);
    let mut answer = Answer::new(&job.evidence.payload.stop, request.tokens_max);
    for token in &output.tokens {
        answer.push(&*engine, *token);
    }
    if result.finish == FinishReason::Cancelled {
        answer.cancel();
    }
    let prompt = engine.render_chat(&job.evidence.payload.messages).unwrap();
    let seed = replay_seed(request, &prompt, &Digest::sha256(b"vrf"));
    let mut digests = Vec::new();
    if !output.tokens.is_empty() {
        let replay =
            ReplayRequest { prompt, output: output.tokens.clone(), sampling: request.sampling, seed, measure: false };
        let steps = engine.replay(replay).unwrap().await.unwrap().unwrap();
        if steps.iter().zip(&output.tokens).any(|(step, token)| step.token != *token) {
            return false;
        }
        digests.extend(steps.iter().map(|step| step.digest));
    }
    job.leaf.is_consistent()
        && answer.finish() == Some(result.finish)
        && answer.text() == output.text
        && answer.tokens() == output.tokens
        && result.evidence_root == merkle_root(&digests)
        && result.output_commitment == output.commitment()
        && u32::try_from(output.tokens.len()) == Ok(result.usage.completion_tokens)
}

#[tokio::test]
async fn honest_result_is_what_a_validator_recomputes() {
    let stopped = |(request, mut payload): (JobRequest, JobPayload)| {
        payload.stop = vec!["e".into(), "a".into(), "t".into()];
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
            WorkerMessage::Delta { job: of, tokens: more, text: piece } => {
                assert_eq!(of, finished.leaf.request.job);
                tokens.extend(more);
                text.push_str(&piece);
            }
            WorkerMessage::Finished { result, output_salt, .. } => end = Some((result, output_salt)),
            _ => {}
        }
    }
    assert_eq!((text, tokens), (finished.evidence.output.text.clone(), finished.evidence.output.tokens.clone()));
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
    let (honest, _) = done(context(None), job(0)).await;
    let honest = honest.unwrap();
    for crime in [Crime::EditedText, Crime::Truncated, Crime::OwnSeed, Crime::Warmer, Crime::Hotter, Crime::BestOfFour]
    {
        let (outcome, _) = done(context(Some(crime)), job(0)).await;
        let finished = outcome.unwrap();
        assert_ne!(finished.leaf, honest.leaf, "{crime}");
        assert!(!is_right(&finished).await, "{crime}");
    }
    let wrong_weights = JobContext { engine: engine(1), ..context(Some(Crime::WrongWeights)) };
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
    let sampled = |crime| JobContext { mode: VerificationMode::Sampled, truth: Some(engine(0)), ..context(crime) };
    let honest = done(sampled(None), job(0)).await.0.unwrap();
    let sketches = done(sampled(Some(Crime::ForgedSketches)), job(0)).await.0.unwrap();
    assert_eq!(sketches.evidence.output, honest.evidence.output);
    let shown = |job: &FinishedJob| job.evidence.measured.clone().unwrap();
    assert_eq!(shown(&sketches).windows[0].logprobs, shown(&honest).windows[0].logprobs);
    assert_ne!(shown(&sketches).windows[0].sketches, shown(&honest).windows[0].sketches);
    assert!(shown(&sketches).opens(&[0, 1]));

    // The true model's log probabilities of what other weights answered.
    let other = JobContext { engine: engine(1), ..sampled(Some(Crime::ForgedLogprobs)) };
    let forged = done(other, job(0)).await.0.unwrap();
    let prompt = engine(0).render_chat(&job(0).1.messages).unwrap();
    let seed = replay_seed(&forged.leaf.request, &prompt, &Digest::sha256(b"vrf"));
    let output = forged.evidence.output.tokens.clone();
    let replay = ReplayRequest { prompt, output, sampling: forged.leaf.request.sampling, seed, measure: true };
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
