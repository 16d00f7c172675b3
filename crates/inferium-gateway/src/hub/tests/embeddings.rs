//! SPEC J8: what a worker sends for texts, and what of it the client gets.

use super::parts::failure;
use super::*;
use inferium_types::{Embedding, JobAnswer, ModelTask};

const WIDTH: u32 = 4;
const TEXTS: u32 = 3;

fn embedding(first: f32) -> Embedding {
    Embedding::new(&[first, 0.0, -0.0, 1.0])
}

impl Stage {
    async fn submit_texts(&self) -> JobHandle {
        let payload = JobPayload::embed([4; 32], vec!["one".into(), "two".into(), "three".into()]);
        let task = ModelTask::Embed { width: WIDTH };
        let spec = JobSpec { task, payload: Arc::new(payload), ..self.spec(TEXTS) };
        self.hub.submit(&spec, JobId::new(Digest::sha256(b"texts")), 0, None, SOON).await.unwrap()
    }

    fn embed(&self, handle: &JobHandle, embeddings: &[Embedding]) {
        let parts = JobAnswer::Embeddings(embeddings.to_vec());
        self.hub.parts(self.worker.public_key(), handle.job, parts);
    }

    async fn finished(&self, handle: &JobHandle, embeddings: &[Embedding], finish: FinishReason) {
        self.answered(handle, JobAnswer::Embeddings(embeddings.to_vec()), finish).await;
    }
}

#[tokio::test]
async fn embeddings_reach_the_client_in_their_order() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit_texts().await;
    let all = [embedding(1.0), embedding(2.0), embedding(3.0)];
    stage.embed(&handle, &all[..1]);
    stage.embed(&handle, &all[1..]);
    stage.finished(&handle, &all, FinishReason::EndOfText).await;
    let mut got = Vec::new();
    loop {
        match handle.next().await {
            Some(JobEvent::Parts(JobAnswer::Embeddings(more))) => got.extend(more),
            Some(JobEvent::Done { usage, .. }) => break assert_eq!(usage.completion_tokens, TEXTS),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, all);
}

#[tokio::test]
async fn what_is_no_embedding_of_the_model_ends_the_job() {
    let asked = "the worker sent something else than was asked for";
    let more = "the worker sent more than was asked for";
    let cases = [
        (vec![Embedding::new(&[1.0; 3])], asked),
        (vec![Embedding::new(&[1.0; 5])], asked),
        (vec![Embedding::new(&[])], asked),
        (vec![embedding(f32::NAN)], asked),
        (vec![embedding(1.0), embedding(f32::INFINITY)], asked),
        (vec![embedding(1.0); 4], more),
    ];
    for (sent, reason) in cases {
        let stage = stage(PLENTY);
        let mut handle = stage.submit_texts().await;
        stage.embed(&handle, &sent);
        assert_eq!(failure(&mut handle).await, reason, "{sent:?}");
        assert_eq!(stage.reserved(), 0);
    }
    let stage = stage(PLENTY);
    let mut handle = stage.submit_texts().await;
    stage.embed(&handle, &[embedding(1.0), embedding(2.0), embedding(3.0)]);
    stage.embed(&handle, &[embedding(4.0)]);
    assert_eq!(failure(&mut handle).await, more);
}

#[tokio::test]
async fn text_for_texts_and_embeddings_for_a_conversation_end_the_job() {
    let asked = "the worker sent something else than was asked for";
    let stage = stage(PLENTY);
    let mut handle = stage.submit_texts().await;
    stage.hub.delta(stage.worker.public_key(), handle.job, piece(&[1], "a"));
    assert_eq!(failure(&mut handle).await, asked);
    let mut chat = stage.submit(b"chat").await.unwrap();
    stage.embed(&chat, &[embedding(1.0)]);
    assert_eq!(failure(&mut chat).await, asked);
}

/// Every text has its embedding, and a result is what was sent.
#[tokio::test]
async fn a_result_with_fewer_embeddings_is_not_taken() {
    let not_sent = "the worker's result is not what it sent";
    let all = [embedding(1.0), embedding(2.0), embedding(3.0)];
    for (sent, claimed, finish) in [
        (2, 2, FinishReason::EndOfText),
        (2, 2, FinishReason::Cancelled),
        (3, 3, FinishReason::Cancelled),
        (3, 3, FinishReason::Length),
        (3, 2, FinishReason::EndOfText),
        (2, 3, FinishReason::EndOfText),
        (0, 0, FinishReason::EndOfText),
    ] {
        let stage = stage(PLENTY);
        let mut handle = stage.submit_texts().await;
        stage.embed(&handle, &all[..sent]);
        stage.finished(&handle, &all[..claimed], finish).await;
        assert_eq!(failure(&mut handle).await, not_sent, "{sent} sent, {claimed} claimed, {finish:?}");
    }
    let stage = stage(PLENTY);
    let mut handle = stage.submit_texts().await;
    stage.embed(&handle, &all);
    let other = [embedding(1.0), embedding(2.0), embedding(3.5)];
    stage.finished(&handle, &other, FinishReason::EndOfText).await;
    assert_eq!(failure(&mut handle).await, not_sent);
}

/// A client that left pays for the whole, which is done in a moment; for a part of it nobody pays.
#[tokio::test]
async fn a_client_that_leaves_pays_for_all_or_nothing() {
    let all = [embedding(1.0), embedding(2.0), embedding(3.0)];
    for (sent, is_paid) in [(3, true), (1, false)] {
        let mut stage = stage(PLENTY);
        let mut unsigned = stage.unsigned.take().unwrap();
        let handle = stage.submit_texts().await;
        let (job, request) = (handle.job, handle.request.clone());
        stage.embed(&handle, &all[..1]);
        drop(handle);
        stage.hub.parts(stage.worker.public_key(), job, JobAnswer::Embeddings(all[1..sent].to_vec()));
        let output = JobOutput { salt: [5; 32], answer: JobAnswer::Embeddings(all[..sent].to_vec()) };
        let completion_tokens = u32::try_from(sent).unwrap();
        let result = JobResult {
            request: request.digest(),
            output_commitment: output.commitment(),
            evidence_root: Digest::ZERO,
            usage: Usage { prompt_tokens: 5, completion_tokens },
            finish: FinishReason::EndOfText,
        };
        stage.hub.finished(stage.worker.public_key(), job, result, [5; 32]).await;
        // 5 tokens read at 1, and three embeddings at 10.
        assert_eq!(unsigned.try_recv().map(|record| record.cost.nano()).ok(), is_paid.then_some(35));
        assert_eq!(stage.hub.has_failed(job), !is_paid);
    }
}
