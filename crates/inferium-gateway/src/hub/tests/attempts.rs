//! One answer from several tries: hedges and retries (SPEC T6, T7).

use super::*;
use crate::hub::Attempts;

/// A second worker with a lease of its own at the same gateway.
struct Second {
    worker: SecretKey,
    lease: LeaseId,
    _outbox: mpsc::Sender<GatewayMessage>,
    inbox: mpsc::Receiver<GatewayMessage>,
}

fn second(stage: &Stage) -> Second {
    let worker = SecretKey::from_bytes([7; 32]).unwrap();
    let lease = LeaseId::of_task(TaskId::new(Digest::sha256(b"second")));
    let record = lease_record(lease, stage.profile, worker.public_key());
    stage.hub.store.put_lease(&record).unwrap();
    stage.hub.add_leases(vec![(record, stage.vrf.public_key(), LeaseUse::default())]);
    let (outbox, inbox) = mpsc::channel(64);
    let proof = stage.vrf.prove(&vrf_input(&Digest::sha256(b"beacon"), lease));
    stage.hub.lease_ready(worker.public_key(), lease, &proof, 0, &outbox);
    Second { worker, lease, _outbox: outbox, inbox }
}

async fn job_of(inbox: &mut mpsc::Receiver<GatewayMessage>) -> inferium_types::JobRequest {
    match inbox.recv().await {
        Some(GatewayMessage::Job { request, .. }) => request,
        other => panic!("no job: {other:?}"),
    }
}

/// The first try is at the stage's worker: it has the lower rank by name or not, so whoever gets
/// the job is asked.
async fn started(stage: &mut Stage, second: &mut Second) -> (Attempts, inferium_types::JobRequest, bool) {
    let attempts = Attempts::start(&stage.hub, stage.spec(3)).await.unwrap();
    tokio::select! {
        request = job_of(&mut stage.inbox) => (attempts, request, true),
        request = job_of(&mut second.inbox) => (attempts, request, false),
    }
}

fn text_of(stage: &Stage, worker: &SecretKey, job: JobId, text: &str) {
    stage.hub.delta(worker.public_key(), job, piece(&[97], text));
}

#[tokio::test(start_paused = true)]
async fn a_slow_job_is_hedged_and_the_first_text_wins() {
    let mut stage = stage(PLENTY);
    let mut second = second(&stage);
    let (mut attempts, first, is_stages) = started(&mut stage, &mut second).await;
    let next = tokio::spawn(async move {
        let event = attempts.next().await;
        (attempts, event)
    });
    let hedge = if is_stages { job_of(&mut second.inbox).await } else { job_of(&mut stage.inbox).await };
    assert_ne!(hedge.job, first.job);
    assert_ne!(hedge.lease, first.lease);
    assert_eq!(hedge.attempt, 0);
    let worker = if is_stages { second.worker.clone() } else { stage.worker.clone() };
    text_of(&stage, &worker, hedge.job, "a");
    let (attempts, event) = next.await.unwrap();
    assert!(matches!(event, JobEvent::Text(piece) if piece.text == "a"));
    assert_eq!(attempts.job(), hedge.job, "the client gets the hedge's answer");
    // The loser is cancelled as soon as it shows anything.
    assert!(stage.is_running(first.job));
    let loser = if is_stages { stage.worker.clone() } else { second.worker.clone() };
    text_of(&stage, &loser, first.job, "b");
    let inbox = if is_stages { &mut stage.inbox } else { &mut second.inbox };
    assert!(matches!(inbox.recv().await, Some(GatewayMessage::Cancel { job }) if job == first.job));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_answers_in_time_is_not_hedged() {
    let mut stage = stage(PLENTY);
    let mut second = second(&stage);
    let (mut attempts, first, is_stages) = started(&mut stage, &mut second).await;
    let worker = if is_stages { stage.worker.clone() } else { second.worker.clone() };
    text_of(&stage, &worker, first.job, "a");
    assert!(matches!(attempts.next().await, JobEvent::Text(_)));
    // The next token takes longer than a hedge would wait for.
    let waiting = tokio::time::timeout(Duration::from_secs(9), attempts.next()).await;
    assert!(waiting.is_err(), "nothing came");
    let other = if is_stages { second.inbox.try_recv() } else { stage.inbox.try_recv() };
    assert!(other.is_err(), "no hedge: {other:?}");
}

#[tokio::test(start_paused = true)]
async fn without_another_worker_nothing_is_hedged() {
    let mut stage = stage(PLENTY);
    let mut attempts = Attempts::start(&stage.hub, stage.spec(3)).await.unwrap();
    let first = job_of(&mut stage.inbox).await;
    let waiting = tokio::time::timeout(Duration::from_secs(9), attempts.next()).await;
    assert!(waiting.is_err());
    assert!(stage.inbox.try_recv().is_err());
    text_of(&stage, &stage.worker, first.job, "late");
    assert!(matches!(attempts.next().await, JobEvent::Text(piece) if piece.text == "late"));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_takes_the_place_of_a_first_try_that_fails() {
    let mut stage = stage(PLENTY);
    let mut second = second(&stage);
    let (mut attempts, first, is_stages) = started(&mut stage, &mut second).await;
    let hub = Arc::clone(&stage.hub);
    let (failing, other) = if is_stages { (&stage.worker, &second.worker) } else { (&second.worker, &stage.worker) };
    let next = tokio::spawn(async move {
        let event = attempts.next().await;
        (attempts, event)
    });
    let hedge = if is_stages { job_of(&mut second.inbox).await } else { job_of(&mut stage.inbox).await };
    hub.refused(failing.public_key(), first.job, "busy");
    hub.delta(other.public_key(), hedge.job, piece(&[97], "a"));
    let (attempts, event) = next.await.unwrap();
    assert!(matches!(event, JobEvent::Text(_)), "{event:?}");
    assert_eq!(attempts.job(), hedge.job);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_unseen_is_tried_once_more_elsewhere() {
    let mut stage = stage(PLENTY);
    let mut second = second(&stage);
    let (mut attempts, first, is_stages) = started(&mut stage, &mut second).await;
    let (failing, other) = if is_stages { (&stage.worker, &second.worker) } else { (&second.worker, &stage.worker) };
    let (failing, other) = (failing.public_key(), other.public_key());
    stage.hub.refused(failing, first.job, "busy");
    let hub = Arc::clone(&stage.hub);
    let next = tokio::spawn(async move {
        let event = attempts.next().await;
        (attempts, event)
    });
    let retry = if is_stages { job_of(&mut second.inbox).await } else { job_of(&mut stage.inbox).await };
    assert_eq!((retry.job, retry.attempt), (first.job, 1));
    assert_eq!(retry.lease == second.lease, is_stages);
    hub.refused(other, retry.job, "busy, too");
    let (_, event) = next.await.unwrap();
    assert!(matches!(event, JobEvent::Failed { .. }), "a second failure is the answer: {event:?}");
}
