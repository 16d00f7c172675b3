//! What was delivered is signed, charged and kept: once each, over crashes and at any moment.

use super::*;
use crate::hub::keep_unsigned;

impl Stage {
    /// Writes what is finished, as the running gateway does.
    pub(super) async fn keep(&mut self) {
        let (_stop, stopped) = watch::channel(true);
        keep_unsigned(Arc::clone(&self.hub), self.unsigned.take().unwrap(), stopped).await;
    }

    /// The gateway is killed and starts again over the same store.
    pub(super) fn killed(self) -> Stage {
        let Stage { hub, folder, .. } = self;
        drop(Arc::into_inner(hub).unwrap());
        let store = GatewayStore::open(&folder.0.join("gateway.redb"), &key()).unwrap();
        stage_over(store, folder)
    }

    pub(super) fn recover(&self) {
        let records = self.hub.store.leases().unwrap();
        let leases = records.into_iter().map(|record| (record, self.vrf.public_key(), LeaseUse::default()));
        self.hub.add_leases(leases.collect());
    }
}

#[tokio::test]
async fn a_finished_job_survives_a_kill_and_its_worker_is_paid() {
    let mut stage = stage(Amount::from_nano(100));
    let mut handle = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut handle).await;
    let job = handle.job;
    drop(handle);
    stage.keep().await;
    let stage = stage.killed();
    assert!(stage.hub.is_known(job), "also before its lease was read from the chain");
    assert_eq!((stage.reserved(), stage.left()), (35, 65));
    stage.recover();
    assert!(stage.hub.is_known(job));
    assert_eq!((stage.reserved(), stage.left()), (35, 65));
    let used = {
        let inner = stage.hub.lock();
        let entry = inner.leases.get(&stage.lease).unwrap();
        (entry.jobs_used, entry.tokens_used)
    };
    assert_eq!(used, (1, 8));
    let terms = stage.segment(0, std::slice::from_ref(&leaf));
    stage.sign(&terms, &[job]).unwrap();
    assert_eq!((stage.reserved(), stage.left()), (0, 65));
    let stage = stage.killed();
    assert_eq!((stage.reserved(), stage.left()), (0, 65));
    assert!(!stage.hub.is_known(job) && stage.hub.store.job(job).unwrap().is_some());
}

#[tokio::test]
async fn jobs_that_finish_while_the_gateway_stops_are_kept_too() {
    let mut stage = stage(PLENTY);
    stage.keep().await;
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.finish(&mut handle).await;
    let job = handle.job;
    drop(handle);
    assert!(stage.killed().hub.is_known(job));
}

#[tokio::test]
async fn a_lease_that_closed_while_the_gateway_was_down_frees_what_was_reserved() {
    let mut stage = stage(Amount::from_nano(35));
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.finish(&mut handle).await;
    let job = handle.job;
    drop(handle);
    stage.keep().await;
    let stage = stage.killed();
    stage.hub.close_lease(stage.lease).unwrap();
    assert_eq!((stage.reserved(), stage.left()), (0, 35));
    assert!(!stage.hub.is_known(job) && stage.hub.has_failed(job));
    let stage = stage.killed();
    assert!(!stage.hub.is_known(job));
}

#[tokio::test]
async fn a_segment_that_was_never_committed_comes_back_when_its_lease_closes() {
    let stage = stage(Amount::from_nano(35));
    let mut handle = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut handle).await;
    let terms = stage.segment(0, std::slice::from_ref(&leaf));
    stage.sign(&terms, &[handle.job]).unwrap();
    assert_eq!(stage.left(), 0);
    stage.hub.close_lease(stage.lease).unwrap();
    assert_eq!((stage.left(), stage.reserved()), (35, 0));
    assert_eq!(stage.hub.budget(stage.payer).unwrap().spent, Amount::ZERO);
}

#[tokio::test]
async fn a_rejected_segments_cost_comes_back_once() {
    let stage = stage(Amount::from_nano(70));
    let mut leaves = Vec::new();
    for (index, name) in [(0, b"1"), (1, b"2")] {
        let mut handle = stage.submit(name).await.unwrap();
        leaves.push(stage.finish(&mut handle).await);
        let terms = stage.segment(index, &leaves[leaves.len() - 1..]);
        stage.sign(&terms, &[handle.job]).unwrap();
    }
    assert_eq!(stage.left(), 0);
    for _ in 0..2 {
        let rejected = SegmentStatus::Rejected(inferium_types::RejectReason::Unresolved);
        stage.hub.decide_segment(SegmentId::of_lease(stage.lease, 0), rejected).unwrap();
        assert_eq!((stage.left(), stage.reserved()), (35, 0));
    }
}

/// Requests are not held up by the disk, and see the job reserved until it is spent.
#[tokio::test]
async fn while_a_segment_is_signed_the_hub_is_free_and_the_budget_whole() {
    let stage = stage(Amount::from_nano(100));
    let mut handle = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut handle).await;
    let (job, terms) = (handle.job, stage.segment(0, std::slice::from_ref(&leaf)));
    // The disk is busy for as long as the test wants: a store has one writer at a time.
    let (busy, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.hub.store.while_writing(|| {
                busy.wait();
                go.wait();
            });
        });
        busy.wait();
        let signing: Vec<_> = (0..2).map(|_| scope.spawn(|| stage.sign(&terms, &[job]))).collect();
        for _ in 0..1_000 {
            assert_eq!((stage.left(), stage.hub.is_known(job)), (65, true));
            std::thread::yield_now();
        }
        go.wait();
        let signatures: Vec<Signature> = signing.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
        assert_eq!(signatures[0], signatures[1], "a second proposal meanwhile gets the same answer");
    });
    assert_eq!((stage.left(), stage.reserved()), (65, 0));
    assert_eq!(stage.hub.budget(stage.payer).unwrap().spent.nano(), 35);
}
