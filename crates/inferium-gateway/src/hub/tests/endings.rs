//! How jobs end that their workers don't: by time, by the client, and what a late worker gets.

use super::*;
use crate::hub::deadlines::{CANCEL_PATIENCE, NEXT_TOKEN, first_token};
use inferium_types::StallId;

/// A stage whose deadlines are watched. Time stands still unless everything waits.
fn watched() -> Stage {
    let stage = stage(PLENTY);
    let hub = Arc::clone(&stage.hub);
    tokio::spawn(async move { hub.watch_deadlines().await });
    stage
}

impl Stage {
    fn claim_of(&self, handle: &JobHandle) -> StallId {
        StallId::of_job(self.lease, handle.request.sequence)
    }

    fn token(&self, handle: &JobHandle, token: u32, text: &str) {
        self.hub.delta(self.worker.public_key(), handle.job, piece(&[token], text));
    }
}

async fn reason(handle: &mut JobHandle) -> String {
    loop {
        match handle.next().await {
            Some(JobEvent::Failed { reason }) => return reason,
            Some(JobEvent::Text(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_first_token_in_time_is_ended_and_reported_once() {
    let mut stage = watched();
    let began = Instant::now();
    let mut first = stage.submit(b"1").await.unwrap();
    let mut second = stage.submit(b"2").await.unwrap();
    assert_eq!(reason(&mut first).await, "the worker did not answer in time");
    reason(&mut second).await;
    assert_eq!(began.elapsed().as_secs(), first_token(5).as_secs());
    let claims = [stage.claim_of(&first), stage.claim_of(&second)];
    assert!(claims.contains(&stage.claims.try_recv().unwrap().id));
    assert!(stage.claims.try_recv().is_err(), "one claim per lease at a time (SPEC T6)");
    assert!(stage.hub.has_failed(first.job));
    // The worker is told, and its lease gets nothing more for now.
    assert!(matches!(stage.submit(b"3").await, Err(NoLease::NoWorker)));
    assert_eq!((stage.reserved(), stage.hub.lock().deadlines.len()), (0, 0));
    let mut told = Vec::new();
    while let Ok(message) = stage.inbox.try_recv() {
        told.push(message);
    }
    assert!(told.contains(&GatewayMessage::Cancel { job: first.job }));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_over_gives_its_lease_jobs_again() {
    let mut stage = watched();
    let mut late = stage.submit(b"late").await.unwrap();
    reason(&mut late).await;
    let claim = stage.claims.recv().await.unwrap().id;
    assert_eq!(claim, stage.claim_of(&late));
    stage.hub.resume(StallId::new(Digest::ZERO));
    assert!(matches!(stage.submit(b"next").await, Err(NoLease::NoWorker)), "another claim says nothing");
    stage.hub.resume(claim);
    assert!(stage.submit(b"next").await.is_ok());
}

/// However long a claim takes, its lease gets nothing meanwhile.
#[tokio::test(start_paused = true)]
async fn time_alone_does_not_end_a_suspension() {
    let stage = watched();
    let mut late = stage.submit(b"late").await.unwrap();
    reason(&mut late).await;
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert!(matches!(stage.submit(b"next").await, Err(NoLease::NoWorker)));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_progress_even_without_text() {
    let stage = watched();
    let mut handle = stage.submit(b"job").await.unwrap();
    let began = Instant::now();
    tokio::time::advance(Duration::from_secs(9)).await;
    stage.token(&handle, 1, "");
    tokio::time::advance(Duration::from_secs(19)).await;
    assert!(stage.is_running(handle.job));
    stage.token(&handle, 2, "");
    reason(&mut handle).await;
    assert_eq!(began.elapsed().as_secs(), 9 + 19 + NEXT_TOKEN.as_secs());
}

#[tokio::test(start_paused = true)]
async fn text_without_tokens_is_no_progress() {
    let stage = watched();
    let mut handle = stage.submit(b"job").await.unwrap();
    let began = Instant::now();
    tokio::time::advance(Duration::from_secs(9)).await;
    stage.hub.delta(stage.worker.public_key(), handle.job, piece(&[], "hm"));
    reason(&mut handle).await;
    assert_eq!(began.elapsed().as_secs(), first_token(5).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_ended_soon_and_no_one_is_reported() {
    let mut stage = watched();
    let first = stage.submit(b"job").await.unwrap();
    let mut second = stage.submit(b"other").await.unwrap();
    let (job, began) = (first.job, Instant::now());
    drop(first);
    tokio::time::advance(Duration::from_secs(1)).await;
    // Tokens that come all the same buy no time.
    stage.hub.delta(stage.worker.public_key(), job, piece(&[1], "a"));
    assert_eq!(stage.hub.lock().deadlines.first(), Some(&(began + CANCEL_PATIENCE, job)));
    tokio::time::sleep_until(began + CANCEL_PATIENCE + Duration::from_millis(10)).await;
    assert!(!stage.is_running(job) && stage.hub.has_failed(job));
    assert!(stage.claims.try_recv().is_err());
    assert!(stage.submit(b"next").await.is_ok(), "the lease is not suspended");
    // A job that somebody waits for is another matter.
    reason(&mut second).await;
    assert!(stage.claims.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_watcher_wakes_for_a_deadline_that_is_earlier_than_what_it_waits_for() {
    let stage = watched();
    let mut long = stage.spec(3);
    long.prompt_tokens = 90;
    let slow = stage.hub.submit(&long, JobId::new(Digest::sha256(b"slow")), 0, None, SOON).await.unwrap();
    // The watcher sleeps until the slow one's deadline.
    tokio::time::advance(Duration::from_millis(1)).await;
    let began = Instant::now();
    let mut quick = stage.submit(b"quick").await.unwrap();
    reason(&mut quick).await;
    assert_eq!(began.elapsed().as_secs(), first_token(5).as_secs());
    assert!(stage.is_running(slow.job));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_gone_is_not_late() {
    let mut stage = watched();
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.hub.session_lost(stage.worker.public_key(), &stage.outbox);
    assert_eq!(reason(&mut handle).await, "the worker's connection broke");
    assert!(stage.claims.try_recv().is_err());
}

#[tokio::test]
async fn a_request_that_gives_up_waiting_leaves_its_place() {
    let stage = stage(PLENTY);
    let _first = stage.submit(b"1").await.unwrap();
    let _second = stage.submit(b"2").await.unwrap();
    {
        let waits = stage.submit(b"3");
        tokio::pin!(waits);
        assert!(futures::poll!(waits.as_mut()).is_pending());
        assert_eq!(stage.hub.lock().waiting.len(), 1);
    }
    assert_eq!(stage.hub.lock().waiting.len(), 0);
}
