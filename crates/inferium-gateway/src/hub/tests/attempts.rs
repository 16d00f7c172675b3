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
    second_at(stage, 1)
}

/// One that costs so many times as much.
fn second_at(stage: &Stage, times: u64) -> Second {
    let worker = SecretKey::from_bytes([7; 32]).unwrap();
    let lease = LeaseId::of_task(TaskId::new(Digest::sha256(b"second")));
    let mut record = lease_record(lease, stage.profile, worker.public_key());
    record.price.completion_token = Amount::from_nano(record.price.completion_token.nano() * times);
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
    let attempts = Attempts::start(&stage.hub, stage.spec(3), &Arc::default()).await.unwrap();
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
    let mut attempts = Attempts::start(&stage.hub, stage.spec(3), &Arc::default()).await.unwrap();
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

/// A key with 105 left: an answer of ten tokens costs that on the cheap lease, and ten times as much on the dear one.
#[tokio::test(start_paused = true)]
async fn who_can_pay_the_cheapest_lease_is_served_by_it_and_all_answers_of_a_request_are_paid_for_or_none_begins() {
    let mut stage = stage(Amount::from_nano(105));
    let mut dear = second_at(&stage, 10);
    let (fits, beyond) = (stage.spec(10), stage.spec(11));
    assert_eq!(stage.hub.check_budget(std::slice::from_ref(&fits)), Ok(()));
    let refused = |cost| NoLease::Budget { cost: Amount::from_nano(cost), left: Amount::from_nano(105) };
    assert_eq!(stage.hub.check_budget(std::slice::from_ref(&beyond)), Err(refused(115)));
    assert_eq!(stage.hub.check_budget(&[stage.spec(5), stage.spec(5)]), Err(refused(110)));
    let attempts = Attempts::start(&stage.hub, fits, &Arc::default()).await.unwrap();
    assert_eq!(job_of(&mut stage.inbox).await.lease, stage.lease);
    assert!(dear.inbox.try_recv().is_err());
    drop(attempts);
    assert_eq!(
        Attempts::start(&stage.hub, beyond, &Arc::default())
            .await
            .err()
            .map(|error| matches!(error, NoLease::Budget { .. })),
        Some(true)
    );
}

/// More answers than there are slots: those that wait get the slots of those that are done, however long that takes.
#[tokio::test(start_paused = true)]
async fn answers_of_one_request_wait_for_each_other_and_strangers_do_not() {
    let mut stage = stage(PLENTY);
    let siblings = Arc::default();
    let mut running = Vec::new();
    for _ in 0..SLOTS {
        running.push(Attempts::start(&stage.hub, stage.spec(3), &siblings).await.unwrap());
    }
    let (hub, spec, own) = (Arc::clone(&stage.hub), stage.spec(3), Arc::clone(&siblings));
    let waiting = tokio::spawn(async move { Attempts::start(&hub, spec, &own).await.map(|attempts| attempts.job()) });
    let stranger = Attempts::start(&stage.hub, stage.spec(3), &Arc::default()).await;
    assert_eq!(stranger.err(), Some(NoLease::Busy));
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    assert!(!waiting.is_finished() && siblings.any_begun());
    let first = job_of(&mut stage.inbox).await;
    stage.hub.end(first.job, &crate::hub::Ending::Disconnected);
    assert!(waiting.await.unwrap().is_ok());
}
