//! SPEC C8, V2: evidence that was taken outlives the process, within bounds.

use super::{Room, Shelf, size_of};
use crate::store::VerdictStore;
use crate::store::tests::{key, path, segment};
use inferium_types::{
    Digest, FinishReason, JobEvidence, JobId, JobLeaf, JobOutput, JobPayload, JobRequest, JobResult, LeaseId,
    SamplingParams, SegmentEvidence, Usage, VrfSecretKey,
};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn evidence(byte: u8, text: &str) -> SegmentEvidence {
    let request = JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence: 0,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens: 1,
        tokens_max: 1,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: Digest::ZERO,
        evidence_root: Digest::ZERO,
        usage: Usage::default(),
        finish: FinishReason::EndOfText,
    };
    let payload = JobPayload::chat([0; 32], Vec::new(), Vec::new());
    let output = JobOutput::text([0; 32], Vec::new(), text.into());
    SegmentEvidence {
        segment: segment(byte),
        vrf_proof: VrfSecretKey::from_entropy([5; 32]).unwrap().prove(&Digest::ZERO),
        leaves: vec![JobLeaf { request, result }],
        jobs: vec![(0, JobEvidence { payload, output, measured: None })],
    }
}

fn open(path: &Path, room: Room) -> Shelf {
    Shelf::open(Arc::new(VerdictStore::open(path, &key()).unwrap()), room).unwrap()
}

#[test]
fn evidence_outlives_the_process_until_it_is_not_wanted() {
    let path = path("evidence");
    {
        let shelf = open(&path, Room::default());
        assert!(!shelf.has(segment(1)));
        assert_eq!(shelf.get(segment(1)).unwrap(), None);
        assert!(shelf.put(1, evidence(1, "one")).unwrap());
        assert!(shelf.put(1, evidence(2, "two")).unwrap());
    }
    {
        let shelf = open(&path, Room::default());
        assert_eq!(shelf.get(segment(1)).unwrap(), Some(evidence(1, "one")));
        assert_eq!(shelf.get(segment(2)).unwrap(), Some(evidence(2, "two")));
        shelf.retain(1, |id| id == segment(2)).unwrap();
        assert!(!shelf.has(segment(1)) && shelf.has(segment(2)));
    }
    let shelf = open(&path, Room::default());
    assert_eq!(shelf.get(segment(1)).unwrap(), None);
    assert_eq!(shelf.get(segment(2)).unwrap(), Some(evidence(2, "two")));
    drop(shelf);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn room_ends_by_count_over_restarts_too() {
    let path = path("count");
    let room = Room { count: 2, ..Room::default() };
    {
        let shelf = open(&path, room);
        assert!(shelf.put(1, evidence(1, "")).unwrap());
        assert!(shelf.put(1, evidence(2, "")).unwrap());
    }
    let shelf = open(&path, room);
    assert!(!shelf.put(1, evidence(3, "")).unwrap());
    assert!(shelf.put(1, evidence(2, "")).unwrap(), "the same again takes no room");
    shelf.retain(1, |id| id != segment(1)).unwrap();
    assert!(shelf.put(1, evidence(3, "")).unwrap());
    drop(shelf);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn room_ends_by_bytes_over_restarts_too() {
    let path = path("bytes");
    let (large, small) = (evidence(1, &"x".repeat(10_000)), evidence(2, ""));
    let exact = size_of(&large).unwrap() + size_of(&small).unwrap();
    {
        let shelf = open(&path, Room { count: 9, size: exact - 1 });
        assert!(shelf.put(1, large).unwrap());
        assert!(!shelf.put(1, small.clone()).unwrap(), "a byte is missing");
    }
    let shelf = open(&path, Room { count: 9, size: exact });
    assert!(shelf.put(1, small).unwrap());
    assert!(!shelf.put(1, evidence(3, "")).unwrap());
    drop(shelf);
    std::fs::remove_file(path).unwrap();
}

/// A node that was killed may begin with a state from before the evidence came.
#[test]
fn evidence_is_not_forgotten_for_a_state_that_is_older() {
    let path = path("older");
    let shelf = open(&path, Room::default());
    assert!(shelf.put(10, evidence(1, "one")).unwrap());
    drop(shelf);
    let shelf = open(&path, Room::default());
    shelf.retain(9, |_| false).unwrap();
    assert!(shelf.has(segment(1)));
    shelf.retain(10, |_| false).unwrap();
    assert!(!shelf.has(segment(1)));
    drop(shelf);
    std::fs::remove_file(path).unwrap();
}
