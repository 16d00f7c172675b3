//! Batches run on leases of their own, which come and go with what waits.

use super::*;
use std::collections::BTreeSet;

impl Stage {
    /// Another lease, of this kind, whose worker is ready.
    fn lease_of(&self, kind: TaskKind, name: &[u8]) -> LeaseId {
        let lease = LeaseId::new(Digest::sha256(name));
        let mut record = lease_record(lease, self.profile, self.worker.public_key());
        record.terms.kind = kind;
        self.hub.add_leases(vec![(record, self.vrf.public_key(), LeaseUse::default())]);
        let proof = self.vrf.prove(&vrf_input(&Digest::sha256(b"beacon"), lease));
        self.hub.lease_ready(self.worker.public_key(), lease, &proof, 0, &self.outbox);
        lease
    }

    fn batch_spec(&self) -> JobSpec {
        JobSpec { kind: TaskKind::Batch, ..self.spec(3) }
    }
}

#[tokio::test]
async fn lines_run_on_leases_for_batches_and_requests_on_the_others() {
    let stage = stage(Amount::from_ifr(1));
    let job = |name: &[u8]| JobId::new(Digest::sha256(name));
    assert_eq!(stage.hub.try_submit(&stage.batch_spec(), job(b"a"), 0, None).unwrap_err(), NoLease::NoWorker);
    let for_batches = stage.lease_of(TaskKind::Batch, b"batch");
    let line = stage.hub.try_submit(&stage.batch_spec(), job(b"b"), 0, None).unwrap();
    let request = stage.hub.try_submit(&stage.spec(3), job(b"c"), 0, None).unwrap();
    assert_eq!((line.request.lease, request.request.lease), (for_batches, stage.lease));
    assert_eq!(stage.hub.open_leases(stage.profile, TaskKind::Inference).0, 1);
}

#[tokio::test]
async fn an_idle_lease_is_given_up_and_never_the_last() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile, kind) = (&stage.hub, stage.profile, TaskKind::Inference);
    assert!(!hub.retire(profile, kind, Retired::Idle, 1), "it is the only one");
    let running = stage.submit(b"job").await.unwrap();
    assert_eq!(running.request.lease, stage.lease);
    let second = stage.lease_of(kind, b"second");
    assert_eq!(hub.active_leases(profile, kind), (2, 2));
    assert!(hub.retire(profile, kind, Retired::Idle, 1));
    assert_eq!(hub.retired(), [second], "the other one is at work");
    assert_eq!((hub.active_leases(profile, kind), hub.open_leases(profile, kind).0), ((1, 1), 1));
    assert!(!hub.retire(profile, kind, Retired::Idle, 0), "nothing else is idle");
    assert!(hub.is_retiring(profile, kind));
    hub.reinstate(second);
    assert_eq!((hub.open_leases(profile, kind).0, hub.is_retiring(profile, kind)), (2, false));
    assert!(hub.retire(profile, kind, Retired::Idle, 1));
    hub.end_lease(second);
    assert_eq!((hub.retired(), hub.is_retiring(profile, kind)), (Vec::new(), false), "it is closed");
}

#[tokio::test]
async fn a_lease_is_not_idle_before_a_segment_holds_all_that_it_did() {
    let stage = stage(Amount::from_ifr(1));
    let mut job = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut job).await;
    assert!(!stage.hub.retire(stage.profile, TaskKind::Inference, Retired::Idle, 0));
    let terms = stage.segment(0, std::slice::from_ref(&leaf));
    stage.sign(&terms, &[leaf.request.job]).unwrap();
    assert!(stage.hub.retire(stage.profile, TaskKind::Inference, Retired::Idle, 0));
    assert_eq!(stage.hub.retired(), [stage.lease]);
}

#[tokio::test]
async fn a_lease_that_others_need_ends_what_it_has_and_gets_no_more() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile, kind) = (&stage.hub, stage.profile, TaskKind::Batch);
    let lease = stage.lease_of(kind, b"batch");
    let mut line = hub.try_submit(&stage.batch_spec(), JobId::new(Digest::sha256(b"a")), 0, None).unwrap();
    assert!(hub.retire(profile, kind, Retired::Busy, 0) && !hub.has_slot(profile, kind));
    assert_eq!((hub.retired(), hub.is_retiring(profile, kind)), (Vec::new(), true), "it is at work");
    let next = hub.try_submit(&stage.batch_spec(), JobId::new(Digest::sha256(b"b")), 0, None);
    assert_eq!(next.unwrap_err(), NoLease::NoWorker);
    let leaf = stage.finish(&mut line).await;
    let terms = SegmentTerms { lease, ..stage.segment(0, std::slice::from_ref(&leaf)) };
    stage.sign(&terms, &[leaf.request.job]).unwrap();
    assert_eq!(hub.retired(), [lease]);
}

#[tokio::test]
async fn a_lease_whose_worker_is_away_is_no_slot_to_give() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile, kind) = (&stage.hub, stage.profile, TaskKind::Batch);
    let away = stage.lease_of(kind, b"away");
    hub.session_lost(stage.worker.public_key(), &stage.outbox);
    assert!(!hub.retire(profile, kind, Retired::Busy, 0));
    // Even if it is given up for another reason, it keeps nobody from giving one that helps.
    assert!(hub.retire(profile, kind, Retired::Idle, 0) && !hub.is_retiring(profile, kind));
    let here = stage.lease_of(kind, b"here");
    assert!(hub.retire(profile, kind, Retired::Busy, 0) && hub.is_retiring(profile, kind));
    assert_eq!(BTreeSet::from_iter(hub.retired()), BTreeSet::from([away, here]));
}

#[tokio::test(start_paused = true)]
async fn a_lease_for_batches_is_kept_for_a_minute_without_work() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile, kind) = (&stage.hub, stage.profile, TaskKind::Batch);
    let lease = stage.lease_of(kind, b"batch");
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(!hub.retire(profile, kind, Retired::Unused, 0));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(hub.retire(profile, kind, Retired::Unused, 0));
    assert_eq!(hub.retired(), [lease]);
}

#[tokio::test(start_paused = true)]
async fn batches_stand_back_for_a_while_once_a_request_finds_no_room() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile) = (&stage.hub, stage.profile);
    let elsewhere = Preferences {
        only: Some(vec![SecretKey::from_bytes([9; 32]).unwrap().public_key()]),
        ..Preferences::default()
    };
    let picky = JobSpec { preferences: elsewhere, ..stage.spec(3) };
    let job = |name: &[u8]| JobId::new(Digest::sha256(name));
    hub.submit(&picky, job(b"picky"), 0, None, Duration::ZERO).await.unwrap_err();
    assert!(!hub.is_pressed(profile), "others would have found a lease");
    hub.submit(&stage.batch_spec(), job(b"line"), 0, None, Duration::ZERO).await.unwrap_err();
    assert!(!hub.is_pressed(profile), "nobody waits for a line");
    hub.end_lease(stage.lease);
    hub.submit(&stage.spec(3), job(b"request"), 0, None, Duration::ZERO).await.unwrap_err();
    assert!(hub.is_pressed(profile));
    hub.backlog_changed().await;
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(hub.is_pressed(profile));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!hub.is_pressed(profile));
}

#[tokio::test]
async fn only_lines_that_can_be_paid_for_ask_for_leases() {
    let stage = stage(Amount::from_ifr(1));
    let payer = stage.spec(3).payer;
    assert!(stage.hub.may_ask(payer, stage.profile));
    let stranger = Digest::sha256(b"stranger");
    assert!(!stage.hub.may_ask(stranger, stage.profile) && !stage.hub.has_budget(stranger), "it has no budget");
}

#[tokio::test]
async fn news_come_when_lines_wait_and_when_none_does_any_more() {
    let stage = stage(Amount::from_ifr(1));
    let (hub, profile) = (&stage.hub, stage.profile);
    assert!(!hub.has_backlog(profile));
    let (first, second) = (hub.line_waits(profile), hub.line_waits(profile));
    hub.backlog_changed().await;
    drop(first);
    assert!(hub.has_backlog(profile));
    drop(second);
    hub.backlog_changed().await;
    assert!(!hub.has_backlog(profile));
}
