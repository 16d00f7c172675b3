//! SPEC J9: what a worker sends for continuations, and what of it the client gets.

use super::parts::failure;
use super::*;
use inferium_types::{Continuation, JobAnswer, TokenScore};

fn score(logprob: f32, likeliest: &[(u32, f32)]) -> TokenScore {
    TokenScore::new(logprob, likeliest)
}

/// Scores of a continuation of so many tokens.
fn of(tokens: usize) -> Vec<TokenScore> {
    vec![score(-1.0, &[(4, -0.5), (5, -1.0)]); tokens]
}

impl Stage {
    /// Two continuations, of one and of two tokens, with the two likeliest.
    async fn submit_continuations(&self) -> JobHandle {
        let one = |tokens: usize| Continuation { prompt: vec![1], tokens: vec![2; tokens] };
        let payload = JobPayload::score([4; 32], vec![one(1), one(2)], 2);
        let spec = JobSpec { payload: Arc::new(payload), ..self.spec(2) };
        self.hub.submit(&spec, JobId::new(Digest::sha256(b"scores")), 0, None, SOON).await.unwrap()
    }

    fn score(&self, handle: &JobHandle, scores: Vec<Vec<TokenScore>>) {
        self.hub.parts(self.worker.public_key(), handle.job, JobAnswer::Scores(scores));
    }
}

#[tokio::test]
async fn scores_reach_the_client_in_their_order() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit_continuations().await;
    stage.score(&handle, vec![of(1)]);
    stage.score(&handle, vec![of(2)]);
    stage.answered(&handle, JobAnswer::Scores(vec![of(1), of(2)]), FinishReason::EndOfText).await;
    let mut got = JobAnswer::Scores(Vec::new());
    loop {
        match handle.next().await {
            Some(JobEvent::Parts(more)) => assert!(got.append(more)),
            Some(JobEvent::Done { usage, .. }) => break assert_eq!(usage.completion_tokens, 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, JobAnswer::Scores(vec![of(1), of(2)]));
}

#[tokio::test]
async fn what_are_no_scores_of_the_continuations_end_the_job() {
    let asked = "the worker sent something else than was asked for";
    let more = "the worker sent more than was asked for";
    let two = [(4, -0.5), (5, -1.0)];
    let cases = [
        (vec![of(2)], asked),
        (vec![of(1), of(1)], asked),
        (vec![Vec::new()], asked),
        (vec![vec![score(f32::NAN, &two)]], asked),
        (vec![vec![score(f32::NEG_INFINITY, &two)]], asked),
        (vec![vec![score(-1.0, &[(4, f32::NAN), (5, -1.0)])]], asked),
        (vec![vec![score(-1.0, &two[..1])]], asked),
        (vec![of(1), of(2), of(1)], more),
    ];
    for (sent, reason) in cases {
        let stage = stage(PLENTY);
        let mut handle = stage.submit_continuations().await;
        stage.score(&handle, sent.clone());
        assert_eq!(failure(&mut handle).await, reason, "{sent:?}");
        assert_eq!(stage.reserved(), 0);
    }
    // Text, and embeddings.
    let other = stage(PLENTY);
    let mut handle = other.submit_continuations().await;
    other.hub.delta(other.worker.public_key(), handle.job, piece(&[1], "a"));
    assert_eq!(failure(&mut handle).await, asked);
    let other = stage(PLENTY);
    let mut handle = other.submit_continuations().await;
    other.hub.parts(other.worker.public_key(), handle.job, JobAnswer::Embeddings(Vec::new()));
    assert_eq!(failure(&mut handle).await, asked);
    // Scores for a conversation.
    let mut chat = other.submit(b"chat").await.unwrap();
    other.score(&chat, vec![of(1)]);
    assert_eq!(failure(&mut chat).await, asked);
}

#[tokio::test]
async fn a_result_with_fewer_scores_is_not_taken() {
    let not_sent = "the worker's result is not what it sent";
    for (sent, finish) in [
        (vec![of(1)], FinishReason::EndOfText),
        (vec![of(1)], FinishReason::Cancelled),
        (vec![of(1), of(2)], FinishReason::Length),
    ] {
        let stage = stage(PLENTY);
        let mut handle = stage.submit_continuations().await;
        stage.score(&handle, sent.clone());
        stage.answered(&handle, JobAnswer::Scores(sent), finish).await;
        assert_eq!(failure(&mut handle).await, not_sent, "{finish:?}");
    }
}
