//! SPEC C8, V2: a verdict is on disk before it leaves, one per segment, for ever.

use super::VerdictStore;
use inferium_types::{Digest, JobFault, SecretKey, SegmentId, StallId, VerdictVote};
use std::path::PathBuf;

pub(crate) fn key() -> SecretKey {
    SecretKey::from_bytes([1; 32]).unwrap()
}

pub(crate) fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-verdicts-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

pub(crate) fn segment(byte: u8) -> SegmentId {
    SegmentId::new(Digest::from([byte; 32]))
}

const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };
const FIRST: Digest = Digest::ZERO;
const INVALID: VerdictVote = VerdictVote::Invalid { job: 3, fault: JobFault::Token };

#[test]
fn first_verdict_of_a_segment_stands_for_ever() {
    let path = path("first");
    {
        let store = VerdictStore::open(&path, &key()).unwrap();
        assert_eq!(store.verdict((segment(1), FIRST)).unwrap(), None);
        assert_eq!(store.record_verdict((segment(1), FIRST), VALID).unwrap(), VALID);
        assert_eq!(store.record_verdict((segment(1), FIRST), INVALID).unwrap(), VALID);
        assert_eq!(
            store.record_verdict((segment(2), FIRST), VerdictVote::Unavailable).unwrap(),
            VerdictVote::Unavailable
        );
    }
    let store = VerdictStore::open(&path, &key()).unwrap();
    assert_eq!(store.verdict((segment(1), FIRST)).unwrap(), Some(VALID));
    assert_eq!(store.record_verdict((segment(1), FIRST), INVALID).unwrap(), VALID);
    assert_eq!(store.record_verdict((segment(2), FIRST), VALID).unwrap(), VerdictVote::Unavailable);
    assert_eq!(store.verdict((segment(3), FIRST)).unwrap(), None);
    let again = Digest::sha256(b"another draw");
    // Who is drawn anew looks at the segment anew.
    assert_eq!(store.verdict((segment(1), again)).unwrap(), None);
    assert_eq!(store.record_verdict((segment(1), again), INVALID).unwrap(), INVALID);
    assert_eq!(store.verdict((segment(1), FIRST)).unwrap(), Some(VALID));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn relayed_requests_survive_until_forgotten() {
    let path = path("relayed");
    let stall = StallId::new(Digest::from([7; 32]));
    {
        let store = VerdictStore::open(&path, &key()).unwrap();
        assert_eq!(store.relayed(stall).unwrap(), None);
        store.record_relayed(stall, 9, b"request").unwrap();
    }
    let store = VerdictStore::open(&path, &key()).unwrap();
    assert_eq!(store.relayed(stall).unwrap().as_deref(), Some(b"request".as_slice()));
    assert_eq!(store.relayed_claims().unwrap(), [(stall, 9)]);
    store.forget_relayed(stall).unwrap();
    store.forget_relayed(stall).unwrap();
    assert_eq!(store.relayed_claims().unwrap(), []);
    assert_eq!(store.relayed(stall).unwrap(), None);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn store_is_open_once() {
    let path = path("once");
    let _store = VerdictStore::open(&path, &key()).unwrap();
    assert!(VerdictStore::open(&path, &key()).is_err());
    std::fs::remove_file(&path).unwrap();
}
