//! SPEC L2: what a worker sends for results, and what of it the client gets.

use super::parts::failure;
use super::*;
use inferium_eval::testing::{file, final_run, network};
use inferium_eval::{BoardDocument, fold_board};
use inferium_types::{FoldInput, JobAnswer, ModelTask};

fn input() -> FoldInput {
    FoldInput { network: network(), files: vec![file(&final_run("good", 2, 0))] }
}

fn board() -> String {
    fold_board(&input(), &network()).unwrap().board
}

impl Stage {
    async fn submit_results(&self) -> JobHandle {
        let payload = JobPayload::fold([4; 32], input());
        let spec = JobSpec { task: ModelTask::Fold, payload: Arc::new(payload), ..self.spec(1) };
        self.hub.submit(&spec, JobId::new(Digest::sha256(b"results")), 0, None, SOON).await.unwrap()
    }

    fn send(&self, handle: &JobHandle, board: &str) {
        self.hub.parts(self.worker.public_key(), handle.job, JobAnswer::Board(board.to_owned()));
    }
}

#[tokio::test]
async fn a_board_reaches_the_client_with_its_salt() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit_results().await;
    stage.send(&handle, &board());
    stage.answered(&handle, JobAnswer::Board(board()), FinishReason::EndOfText).await;
    assert!(matches!(handle.next().await, Some(JobEvent::Parts(JobAnswer::Board(got))) if got == board()));
    let Some(JobEvent::Done { usage, salt, leaf, .. }) = handle.next().await else { panic!("not done") };
    assert_eq!((usage.completion_tokens, salt), (1, [5; 32]));
    let output = JobOutput { salt, answer: JobAnswer::Board(board()) };
    assert_eq!(leaf.result.output_commitment, output.commitment());
}

/// An inflated board has the form of one: that it is none is the committee's to find.
#[tokio::test]
async fn what_is_no_board_ends_the_job() {
    let asked = "the worker sent something else than was asked for";
    for sent in ["", "{}", "no board", &board().replacen(':', ": ", 1)] {
        let stage = stage(PLENTY);
        let mut handle = stage.submit_results().await;
        stage.send(&handle, sent);
        assert_eq!(failure(&mut handle).await, asked, "{sent:?}");
        assert_eq!(stage.reserved(), 0);
    }
    let stage = stage(PLENTY);
    let mut handle = stage.submit_results().await;
    let mut inflated = BoardDocument::parse(&board()).unwrap();
    inflated.rows[0].model = "a".repeat(300_000);
    stage.send(&handle, &inflated.encode());
    assert_eq!(failure(&mut handle).await, asked, "too large");
}

#[tokio::test]
async fn a_second_board_or_a_result_that_was_not_sent_is_not_taken() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit_results().await;
    stage.send(&handle, &board());
    stage.send(&handle, &board());
    assert_eq!(failure(&mut handle).await, "the worker sent more than was asked for");
    let stage = self::stage(PLENTY);
    let mut handle = stage.submit_results().await;
    stage.send(&handle, &board());
    let mut other = BoardDocument::parse(&board()).unwrap();
    other.rows[0].score_ppm = 1;
    stage.answered(&handle, JobAnswer::Board(other.encode()), FinishReason::EndOfText).await;
    assert_eq!(failure(&mut handle).await, "the worker's result is not what it sent");
    for finish in [FinishReason::Cancelled, FinishReason::Length] {
        let stage = self::stage(PLENTY);
        let mut handle = stage.submit_results().await;
        stage.send(&handle, &board());
        stage.answered(&handle, JobAnswer::Board(board()), finish).await;
        assert_eq!(failure(&mut handle).await, "the worker's result is not what it sent", "{finish:?}");
    }
}

#[tokio::test]
async fn a_board_for_a_conversation_ends_the_job() {
    let stage = stage(PLENTY);
    let mut chat = stage.submit(b"chat").await.unwrap();
    stage.send(&chat, &board());
    assert_eq!(failure(&mut chat).await, "the worker sent something else than was asked for");
}
