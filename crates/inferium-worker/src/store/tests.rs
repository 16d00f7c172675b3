//! What a worker must not forget survives.

use super::{ClaimRecord, LeaseRecord, WorkerStore};
use inferium_types::{
    Amount, Digest, LeaseId, Price, ProfileId, PublicKey, SecretKey, SegmentId, StallId, TaskKind, TaskTerms,
    VerificationMode,
};
use std::path::PathBuf;

fn key() -> SecretKey {
    SecretKey::from_bytes([8; 32]).unwrap()
}

pub(crate) fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-worker-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

pub(crate) fn lease_record(byte: u8) -> LeaseRecord {
    let price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(2) };
    LeaseRecord {
        sequence_limit: 0,
        lease: LeaseId::new(Digest::from([byte; 32])),
        gateway: PublicKey::from_bytes([9; 32]),
        terms: TaskTerms {
            kind: TaskKind::Inference,
            mode: VerificationMode::Exact,
            tier: inferium_types::Tier::Mid,
            profile: ProfileId::new(Digest::ZERO),
            price_max: price,
            jobs_max: 10,
            tokens_max: 1_000,
            slots: 1,
            context_tokens: 512,
            open_ms: 1,
            lease_ms: 1,
        },
        price,
        beacon: Digest::sha256(b"beacon"),
        expires_at_ms: 77,
        ended: false,
    }
}

#[test]
fn cursor_and_leases_survive_reopening() {
    let path = path("leases");
    {
        let store = WorkerStore::open(&path, &key()).unwrap();
        assert_eq!(store.cursor().unwrap(), None);
        assert_eq!(store.leases().unwrap(), []);
        store.set_cursor(41).unwrap();
        store.set_cursor(42).unwrap();
        for byte in 1..=3 {
            store.put_lease(&lease_record(byte)).unwrap();
        }
        store.put_lease(&LeaseRecord { ended: true, ..lease_record(2) }).unwrap();
        store.remove_lease(lease_record(3).lease).unwrap();
    }
    let store = WorkerStore::open(&path, &key()).unwrap();
    assert_eq!(store.cursor().unwrap(), Some(42));
    assert_eq!(store.leases().unwrap(), [lease_record(1), LeaseRecord { ended: true, ..lease_record(2) }]);
    drop(store);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn unknown_things_are_absent_and_removing_them_is_no_harm() {
    let path = path("absent");
    let store = WorkerStore::open(&path, &key()).unwrap();
    let unknown = SegmentId::new(Digest::ZERO);
    assert_eq!(store.segment(unknown).unwrap(), None);
    store.remove_segment(unknown).unwrap();
    store.remove_lease(lease_record(1).lease).unwrap();
    assert_eq!(store.segment_ids().unwrap(), []);
    drop(store);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn store_is_open_once() {
    let path = path("once");
    let _store = WorkerStore::open(&path, &key()).unwrap();
    assert!(WorkerStore::open(&path, &key()).is_err());
    std::fs::remove_file(&path).unwrap();
}

/// A claim that is not answered yet survives a kill, or its worker pays for it.
#[test]
fn claims_survive_until_they_are_over() {
    let path = path("claims");
    let claim = |sequence| ClaimRecord {
        stall: StallId::of_job(lease_record(1).lease, sequence),
        relays: vec![PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32])],
    };
    {
        let store = WorkerStore::open(&path, &key()).unwrap();
        assert_eq!(store.claims().unwrap(), []);
        store.put_claim(&claim(1)).unwrap();
        store.put_claim(&claim(2)).unwrap();
        store.remove_claim(claim(1).stall).unwrap();
        store.remove_claim(claim(3).stall).unwrap();
    }
    assert_eq!(WorkerStore::open(&path, &key()).unwrap().claims().unwrap(), [claim(2)]);
    std::fs::remove_file(path).unwrap();
}
