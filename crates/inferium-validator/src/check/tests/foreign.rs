//! SPEC V9: of a server that nobody knows its tokens are measured, whatever seed it drew them with; what the worker makes of
//! them is exact.

use super::*;
use inferium_sampling::{Bets, SequentialTest, Suspicion};
use inferium_types::{DrawCount, ForeignBounds, ReplayStatistics};

fn engine_class() -> EngineClass {
    EngineClass::Foreign { verifier: Digest::ZERO, bounds: ForeignBounds::USUAL }
}

/// Drawn by a server with a seed of its own.
fn served(sequence: u64) -> Plan {
    Plan { tokens_max: 100, own_seed: true, ..plan(sequence) }
}

/// What a worker shows of its run: nothing.
fn unseen(mut job: Job) -> Job {
    job.leaf.result.evidence_root = merkle_root(&[]);
    job.evidence.measured = None;
    job
}

async fn done(plan: Plan) -> Job {
    unseen(work(plan).await)
}

async fn voted(jobs: &[Job]) -> VerdictVote {
    let (facts, evidence) = segment(jobs, Ppm::ONE);
    vote(&SegmentFacts { engine: engine_class(), ..facts }, &evidence).await
}

async fn measured(jobs: &[Job]) -> ReplayStatistics {
    let vote = voted(jobs).await;
    *vote.statistics().unwrap_or_else(|| panic!("{vote:?}"))
}

async fn fault(job: Job) -> JobFault {
    match voted(&[job]).await {
        VerdictVote::Invalid { job: 0, fault } => fault,
        other => panic!("{other:?}"),
    }
}

fn suspicion(found: &ReplayStatistics) -> Suspicion {
    let bets = Bets::of(&engine_class()).unwrap();
    let mut test = SequentialTest::default();
    test.judge(&bets, found);
    test.suspicion(&bets)
}

#[tokio::test]
async fn honest_servers_draw_as_they_like() {
    let plans = [
        served(0),
        Plan { temperature_micro: 0, ..served(1) },
        Plan { client_seed: Some(42), tokens_max: 33, ..served(2) },
        Plan { cancel_after: Some(0), ..served(3) },
        Plan { cancel_after: Some(5), ..served(4) },
        Plan { noise_milli: Some(20), ..served(5) },
    ];
    let mut jobs = Vec::new();
    for plan in plans {
        jobs.push(done(plan).await);
    }
    let found = measured(&jobs).await;
    assert!(engine_class().gives(&found));
    assert_eq!((found.draws.positions, found.draws.outside), (100 + 100 + 33 + 5 + 100, 0));
    assert_eq!(suspicion(&found), Suspicion::None);

    // Whoever replays on the canonical engine measures the same to the bit, and has the same effort.
    let (facts, evidence) = segment(&jobs, Ppm::ONE);
    let facts = SegmentFacts { engine: engine_class(), ..facts };
    let other = check_segment(&facts, &evidence, &model_of(0)).await.unwrap();
    assert_eq!(other.statistics(), Some(&found));
    assert_eq!(other, voted(&jobs).await);
}

#[tokio::test]
async fn another_model_is_no_fault_of_one_job_and_convicts() {
    let found = measured(&[done(Plan { flavour: 1, temperature_micro: 0, ..served(0) }).await]).await;
    assert!(found.draws.outside > 50, "{}", found.draws.outside);
    assert_eq!(suspicion(&found), Suspicion::Convicted);
    let empty = measured(&[done(Plan { cancel_after: Some(0), ..served(0) }).await]).await;
    assert_eq!(empty.draws, DrawCount::default());
}

#[tokio::test]
async fn what_the_worker_makes_of_the_tokens_is_exact() {
    let mut edited = done(served(0)).await;
    edited.text().push('!');
    edited.recommit();
    assert_eq!(fault(edited).await, JobFault::Text);

    let mut fewer = done(Plan { cancel_after: Some(5), ..served(0) }).await;
    fewer.leaf.result.usage.completion_tokens -= 1;
    assert_eq!(fault(fewer).await, JobFault::Finish);

    let mut unknown = done(served(0)).await;
    unknown.write(|tokens| tokens[3] = 99_999);
    unknown.recommit();
    assert_eq!(fault(unknown).await, JobFault::Token);

    let mut ended = done(served(0)).await;
    ended.cut(7, FinishReason::EndOfText);
    assert_eq!(fault(unseen(ended)).await, JobFault::Finish, "nothing ended it");

    let mut counted = done(served(0)).await;
    counted.leaf.request.prompt_tokens -= 1;
    counted.recommit();
    assert_eq!(fault(counted).await, JobFault::Prompt);

    // It shows nothing of its run, and binds nothing else.
    let bound = work(served(0)).await;
    assert_eq!(fault(bound).await, JobFault::Windows);
    let shown = work(Plan { noise_milli: Some(0), ..served(0) }).await;
    let (facts, evidence) = segment(&[shown], Ppm::ONE);
    let facts = SegmentFacts { engine: engine_class(), ..facts };
    assert_eq!(authenticate(&facts, &evidence), Err(InvalidEvidence::Windows { job: 0 }));
}
