//! SPEC L2: boards are folded again, and every lie about them has its fault.

use super::*;
use inferium_eval::testing::{file, final_run, network, sealed};
use inferium_eval::{BoardDocument, fold_board};
use inferium_types::{FoldInput, board_leaf};

fn model() -> Model {
    Model::folder(network())
}

fn files() -> Vec<String> {
    vec![file(&final_run("good", 2, 0)), file(&final_run("bad", 1, 2))]
}

fn asked(sequence: u64, files: Vec<String>) -> (JobPayload, JobRequest) {
    let payload = JobPayload::fold([1; 32], FoldInput { network: network(), files });
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&sequence.to_be_bytes()])),
        lease: lease(),
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: 240,
        tokens_max: 1,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    (payload, request)
}

/// The board of a job's files, and what they came to on the way.
fn folded() -> (String, Vec<Digest>) {
    let folded = fold_board(&FoldInput { network: network(), files: files() }, &network()).unwrap();
    (folded.board, folded.steps)
}

fn job_of(sequence: u64, board: String, steps: &[Digest]) -> Job {
    let leaf = board_leaf(&board, steps);
    bound(asked(sequence, files()), JobAnswer::Board(board), vec![leaf], FinishReason::EndOfText)
}

fn honest(sequence: u64) -> Job {
    let (board, steps) = folded();
    job_of(sequence, board, &steps)
}

async fn vote_on(jobs: &[Job]) -> VerdictVote {
    let (mut facts, evidence) = segment(jobs, Ppm::ONE);
    facts.kind = TaskKind::Leaderboard;
    authenticate(&facts, &evidence).unwrap();
    check_segment(&facts, &evidence, &model()).await.unwrap()
}

async fn fault_of(job: Job) -> Option<JobFault> {
    match vote_on(&[honest(0), job]).await {
        VerdictVote::Valid { .. } => None,
        VerdictVote::Invalid { job: 1, fault } => Some(fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn honest_board_is_valid() {
    assert_eq!(fault_of(honest(1)).await, None);
}

/// The smallest lie: one part per million, and the evidence made to fit.
#[tokio::test]
async fn inflated_board_is_found() {
    let (board, steps) = folded();
    let mut document = BoardDocument::parse(&board).unwrap();
    document.rows[1].score_ppm += 1;
    assert_eq!(fault_of(job_of(1, document.encode(), &steps)).await, Some(JobFault::Board));
    let mut document = BoardDocument::parse(&board).unwrap();
    document.rows.swap(0, 1);
    assert_eq!(fault_of(job_of(1, document.encode(), &steps)).await, Some(JobFault::Board));
    // Other bytes that say the same.
    assert_eq!(fault_of(job_of(1, board.replacen(':', ": ", 1), &steps)).await, Some(JobFault::Board));
}

/// Who has the board from somebody else does not know what its files came to on the way.
#[tokio::test]
async fn board_that_was_not_folded_is_found() {
    let (board, steps) = folded();
    assert_eq!(fault_of(job_of(1, board.clone(), &[])).await, Some(JobFault::Board));
    assert_eq!(fault_of(job_of(1, board, &steps[..1])).await, Some(JobFault::Board));
    let answer = JobAnswer::Embeddings(Vec::new());
    let other = bound(asked(1, files()), answer, Vec::new(), FinishReason::EndOfText);
    assert_eq!(fault_of(other).await, Some(JobFault::Board));
}

#[tokio::test]
async fn another_count_or_end_is_found() {
    let mut job = honest(1);
    job.leaf.request.prompt_tokens = 239;
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    let mut job = honest(1);
    job.leaf.request.tokens_max = 2;
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    let mut job = honest(1);
    job.leaf.result.finish = FinishReason::Cancelled;
    assert_eq!(fault_of(job).await, Some(JobFault::Finish));
}

/// Files that do not fold are no honest work, whatever board there is.
#[tokio::test]
async fn files_that_do_not_fold_are_no_work() {
    let mut inflated = final_run("bad", 1, 2);
    inflated.items[0].scores_ppm = Some(vec![1_000_000]);
    let files = vec![file(&final_run("good", 2, 0)), file(&sealed(inflated))];
    let (board, steps) = folded();
    let leaf = board_leaf(&board, &steps);
    let job = bound(asked(1, files), JobAnswer::Board(board), vec![leaf], FinishReason::EndOfText);
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
}

/// SPEC V2: what is attested follows from the fold, and is in no evidence.
#[tokio::test]
async fn effort_is_what_files_came_to() {
    let (facts, evidence) = segment(&[honest(0)], Ppm::ONE);
    let leaves = Digest::of_value("inferium/effort-leaves/1", &evidence.leaves);
    let effort = VerdictVote::effort(facts.id, &facts.seed, &leaves, &folded().1);
    assert_eq!(vote_on(&[honest(0)]).await, VerdictVote::Valid { effort });
}
