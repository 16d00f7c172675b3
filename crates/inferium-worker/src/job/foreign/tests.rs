//! SPEC V9: jobs that a server does, over real HTTP.

use crate::job::tests::{context, done, job};
use crate::job::{FinishedJob, JobContext, JobRefusal};
use crate::server::tests::{Fake, Speech, engine, fake};
use crate::server::{Server, ServerConfig, ServerError};
use inferium_engine::Answer;
use inferium_types::{FinishReason, JobPayload, JobRequest, VerificationMode, merkle_root, wire::WorkerMessage};
use std::sync::Arc;
use std::time::Duration;

const SILENCE: Duration = Duration::from_millis(300);

async fn served(fake: &Fake) -> JobContext {
    let config = ServerConfig { silence: SILENCE, ..ServerConfig::new(&fake.url) };
    let server = Server::connect(config, &*engine()).await.unwrap();
    JobContext { server: Some(Arc::new(server)), mode: VerificationMode::Sampled, ..context(None) }
}

/// A job that such a server does, with what was sent of it.
async fn ask(
    speech: Speech,
    change: impl FnOnce(&mut JobRequest, &mut JobPayload),
) -> (Result<FinishedJob, JobRefusal>, Vec<WorkerMessage>) {
    let probe = match &speech {
        Speech::Text(_) => speech.clone(),
        _ => Speech::Honest { flavour: 0, has_ids: true },
    };
    let fake = fake(probe, speech, &["*"]).await;
    let (mut request, mut payload) = job(0);
    change(&mut request, &mut payload);
    request.input_commitment = payload.commitment();
    done(served(&fake).await, (request, payload)).await
}

async fn error(speech: Speech) -> ServerError {
    match ask(speech, |_, _| {}).await.0 {
        Err(JobRefusal::Server(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// What a verifier recomputes without a replay: text, count and end from the tokens; and nothing is shown of the run.
fn is_consistent(job: &FinishedJob) -> bool {
    let (tokens, text) = job.evidence.output.as_text().unwrap();
    let (request, result) = (&job.leaf.request, &job.leaf.result);
    let mut answer = Answer::new(job.evidence.payload.as_chat().unwrap().1, request.tokens_max);
    for token in tokens {
        answer.push(&*engine(), *token);
    }
    answer.text() == text
        && answer.tokens() == tokens
        && answer.finish() == Some(result.finish)
        && usize::try_from(result.usage.completion_tokens) == Ok(tokens.len())
        && job.evidence.measured.is_none()
        && result.evidence_root == merkle_root(&[])
}

fn sent(messages: &[WorkerMessage]) -> (Vec<u32>, String) {
    let mut all = (Vec::new(), String::new());
    for message in messages {
        if let WorkerMessage::Delta { tokens, text, .. } = message {
            all.0.extend(tokens);
            all.1.push_str(text);
        }
    }
    all
}

#[tokio::test]
async fn a_server_with_ids_gives_an_answer_like_any() {
    let (job, messages) = ask(Speech::Honest { flavour: 0, has_ids: true }, |_, _| {}).await;
    let job = job.unwrap();
    assert!(is_consistent(&job));
    assert_eq!((job.leaf.result.finish, job.leaf.result.usage.completion_tokens), (FinishReason::Length, 40));
    let (tokens, text) = job.evidence.output.as_text().unwrap();
    assert_eq!(sent(&messages), (tokens.to_vec(), text.to_owned()), "what was streamed is what is committed");
    assert!(matches!(messages.last(), Some(WorkerMessage::Finished { .. })));
}

/// Or a client could repeat an unlikely draw until the worker is convicted of it.
#[tokio::test]
async fn a_clients_seed_is_not_the_servers() {
    let speech = Speech::Honest { flavour: 0, has_ids: true };
    let fake = fake(speech.clone(), speech, &["*"]).await;
    let context = served(&fake).await;
    for _ in 0..2 {
        let (request, payload) = job(0);
        let request = JobRequest { client_seed: Some(42), ..request };
        done(context.clone(), (request, payload)).await.0.unwrap();
    }
    let asked = fake.asked.lock().unwrap();
    let seeds: Vec<u64> = asked.iter().map(|body| body["seed"].as_u64().unwrap()).collect();
    assert!(seeds.len() == 3 && seeds[1] != seeds[2] && !seeds.contains(&42), "{seeds:?}");
}

#[tokio::test]
async fn text_without_ids_is_read_with_the_models_tokenizer() {
    let (job, messages) = ask(Speech::Text("fine words"), |_, _| {}).await;
    let job = job.unwrap();
    assert!(is_consistent(&job));
    let expected: Vec<u32> = b"fine words".iter().map(|byte| u32::from(*byte)).chain([257]).collect();
    let (tokens, text) = job.evidence.output.as_text().unwrap();
    assert_eq!((tokens, text, job.leaf.result.finish), (&expected[..], "fine words", FinishReason::EndOfText));
    assert_eq!(sent(&messages).0, expected);
    // Longer than it may be: cut where the job says, to the token, whatever the server counts.
    let (job, _) = ask(Speech::Text("one two three four five six seven eight nine ten eleven twelve"), |_, _| {}).await;
    let job = job.unwrap();
    assert!(is_consistent(&job));
    assert_eq!((job.leaf.result.finish, job.leaf.result.usage.completion_tokens), (FinishReason::Length, 40));
}

#[tokio::test]
async fn the_worker_ends_answers_at_stop_strings() {
    let stop = |_: &mut JobRequest, payload: &mut JobPayload| {
        let (messages, _) = payload.as_chat().map(|(messages, stop)| (messages.to_vec(), stop.to_vec())).unwrap();
        *payload = JobPayload::chat(payload.salt, messages, vec![" word".into()]);
    };
    let (job, _) = ask(Speech::Text("fine words, and more of them"), stop).await;
    let job = job.unwrap();
    assert!(is_consistent(&job));
    assert_eq!(job.evidence.output.as_text().unwrap().1, "fine");
    assert_eq!(job.leaf.result.finish, FinishReason::StopString);
}

#[tokio::test]
async fn a_server_that_fails_is_an_error_that_quotes_nothing_and_nothing_hangs() {
    let refused = error(Speech::Status(500)).await;
    assert_eq!(refused, ServerError::Refused { status: 500, shown: String::new() });
    assert!(!refused.to_string().contains("secret"));
    assert_eq!(error(Speech::Bytes("data: {\"choices\"", false)).await, ServerError::Truncated);
    let half = "data: {\"choices\": [{\"delta\": {\"content\": \"H\"}, \"token_ids\": [72]}]}\n\n";
    assert_eq!(error(Speech::Bytes(half, false)).await, ServerError::Truncated);
    assert_eq!(error(Speech::Bytes(half, true)).await, ServerError::Silent { after: SILENCE });
    assert_eq!(error(Speech::Bytes(": alive\n\n", true)).await, ServerError::Silent { after: SILENCE });
    let short = "data: {\"choices\": [{\"delta\": {\"content\": \"H\"}, \"token_ids\": [72], \"finish_reason\": \"length\"}]}\n\n";
    assert_eq!(error(Speech::Bytes(short, false)).await, ServerError::Short { found: 1, wanted: 40 });
}

#[tokio::test]
async fn a_server_that_went_away_is_an_error() {
    let speech = Speech::Honest { flavour: 0, has_ids: true };
    let fake = fake(speech.clone(), speech, &["*"]).await;
    let mut context = served(&fake).await;
    let server = context.server.take().and_then(Arc::into_inner).unwrap();
    context.server = Some(Arc::new(server.moved("http://127.0.0.1:9")));
    let refusal = done(context, job(0)).await.0.err().unwrap();
    assert!(matches!(refusal, JobRefusal::Server(ServerError::Unreachable { .. })), "{refusal}");
}

/// Who waits no more gets what there is, and the server is let go.
#[tokio::test]
async fn a_cancelled_job_ends_where_it_is() {
    let half = "data: {\"choices\": [{\"delta\": {\"content\": \"H\"}, \"token_ids\": [72]}]}\n\n";
    let fake = fake(Speech::Honest { flavour: 0, has_ids: true }, Speech::Bytes(half, true), &["*"]).await;
    let context = served(&fake).await;
    let (request, payload) = job(0);
    let (outbox, mut messages) = tokio::sync::mpsc::channel(100);
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    let run = tokio::spawn(crate::job::run(context, request, payload, outbox, cancelled));
    let first = messages.recv().await.unwrap();
    assert!(matches!(first, WorkerMessage::Delta { ref tokens, .. } if tokens == &[72]));
    cancel.send_replace(true);
    let job = run.await.unwrap().unwrap();
    assert_eq!(
        (job.leaf.result.finish, job.evidence.output.as_text()),
        (FinishReason::Cancelled, Some((&[72][..], "H")))
    );
}
