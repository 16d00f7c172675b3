//! SPEC V8: what a verdict was made from is kept while members may disagree, and for a day when they do.

use super::{Archive, KEPT_MS, Notes};
use crate::shelf::{Room, size_of, tests::evidence};
use crate::store::tests::{key, path, segment};
use crate::store::{Judgement, KeptTrace, VerdictStore};
use inferium_types::{
    Amount, Digest, Event, JobFault, JobTotals, LeaseId, NodeId, Ppm, Price, ProfileId, RejectReason, SegmentEvidence,
    SegmentId, SegmentOutcome, SignedTrace, TraceClaim, TraceShape, VerdictVote,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const DRAW: Digest = Digest::ZERO;
const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };
const WRONG: VerdictVote = VerdictVote::Invalid { job: 0, fault: JobFault::Logits };

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

const fn given(segment: SegmentId, validator: NodeId, vote: VerdictVote) -> Event {
    Event::VerdictGiven { segment, validator, vote }
}

fn drawn(segment: SegmentId, seed: Digest) -> Event {
    let (worker, profile) = (node(9), ProfileId::new(Digest::ZERO));
    let (members, replay) = (Vec::new(), Ppm::ONE);
    Event::CommitteeDrawn { segment, worker, profile, members, seed, replay, planted: None, due_at_ms: 0 }
}

fn approved(segment: SegmentId) -> Event {
    let nothing = Amount::ZERO;
    Event::SegmentApproved(SegmentOutcome {
        segment,
        lease: LeaseId::new(Digest::ZERO),
        worker: node(9),
        gateway: node(8),
        profile: ProfileId::new(Digest::ZERO),
        root: Digest::ZERO,
        totals: JobTotals::default(),
        price: Price { prompt_token: nothing, completion_token: nothing },
        fee: nothing,
        approvers: Vec::new(),
        replayed: Ppm::ONE,
        planted: None,
        to_worker: nothing,
        to_each_approver: nothing,
        settled: false,
    })
}

fn rejected(segment: SegmentId) -> Event {
    let (worker, gateway, reason) = (node(9), node(8), RejectReason::Unresolved);
    Event::SegmentRejected { segment, lease: LeaseId::new(Digest::ZERO), worker, gateway, reason }
}

fn dismissed(segment: SegmentId) -> Event {
    Event::DisputeClosed { segment, challenger: node(7), upheld: false, returned: Amount::ZERO }
}

fn open(path: &Path, room: Room) -> (Archive, Arc<VerdictStore>) {
    let store = Arc::new(VerdictStore::open(path, &key()).unwrap());
    (Archive::open(Arc::clone(&store), room).unwrap(), store)
}

fn about(byte: u8) -> Judgement {
    (segment(byte), DRAW)
}

fn keep(archive: &Archive, byte: u8, height: u64, votes: &[(u8, VerdictVote)]) {
    keep_votes(archive, about(byte), height, votes, &evidence(byte, "text"));
}

/// The profile of what tests keep.
pub(crate) fn profile() -> ProfileId {
    ProfileId::new(Digest::sha256(b"profile"))
}

/// Keeps evidence as of a height at which these votes are public.
pub(crate) fn keep_votes(
    archive: &Archive,
    about: Judgement,
    height: u64,
    votes: &[(u8, VerdictVote)],
    evidence: &SegmentEvidence,
) {
    let votes: BTreeMap<NodeId, VerdictVote> = votes.iter().map(|(voter, vote)| (node(*voter), *vote)).collect();
    let notes = Notes { profile: profile(), height, taken_ms: height * 1_000, size: 0, votes, closed_ms: None };
    archive.keep(about, notes, evidence).unwrap();
}

fn is_kept(archive: &Archive, byte: u8) -> bool {
    assert_eq!(archive.profile(about(byte)), archive.doubted(about(byte)).map(|_| profile()));
    assert_eq!(archive.doubted(about(byte)).is_some(), archive.get(about(byte)).unwrap().is_some());
    archive.doubted(about(byte)).is_some()
}

#[test]
fn agreement_ends_it_with_the_decision_and_disagreement_a_day_later() {
    for decided in [approved, rejected, dismissed] {
        let path = path("archive-day");
        let (archive, _) = open(&path, Room::default());
        keep(&archive, 1, 5, &[(1, VALID)]);
        keep(&archive, 2, 5, &[(1, VALID)]);
        archive.follow(6, 6_000, &[given(segment(1), node(2), VALID), given(segment(2), node(2), WRONG)]).unwrap();
        archive.tidy(6_000).unwrap();
        assert!(is_kept(&archive, 1), "its committee still sits");
        archive.follow(7, 7_000, &[decided(segment(1)), decided(segment(2))]).unwrap();
        archive.tidy(7_000).unwrap();
        assert!(!is_kept(&archive, 1));
        assert_eq!(archive.doubted(about(2)), Some(BTreeSet::from([0])));
        archive.tidy(7_000 + KEPT_MS).unwrap();
        assert!(is_kept(&archive, 2));
        archive.tidy(7_001 + KEPT_MS).unwrap();
        assert!(!is_kept(&archive, 2));
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_no_one_decides_is_forgotten_as_well() {
    let path = path("archive-undecided");
    let (archive, _) = open(&path, Room::default());
    keep(&archive, 1, 5, &[]);
    archive.tidy(5_000 + KEPT_MS).unwrap();
    assert!(is_kept(&archive, 1));
    archive.tidy(5_001 + KEPT_MS).unwrap();
    assert!(!is_kept(&archive, 1));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn votes_count_for_their_own_draw_and_segment() {
    let path = path("archive-draw");
    let (archive, _) = open(&path, Room::default());
    keep(&archive, 1, 5, &[(1, VALID)]);
    // Widened: the same draw goes on.
    archive.follow(6, 6_000, &[drawn(segment(1), DRAW), given(segment(2), node(2), WRONG)]).unwrap();
    assert_eq!(archive.doubted(about(1)), Some(BTreeSet::new()));
    // A court is drawn: what it says is about other jobs.
    archive.follow(7, 7_000, &[drawn(segment(1), Digest::sha256(b"court"))]).unwrap();
    archive.follow(8, 8_000, &[given(segment(1), node(2), WRONG)]).unwrap();
    assert_eq!(archive.doubted(about(1)), Some(BTreeSet::new()));
    assert_eq!(archive.doubted((segment(1), Digest::sha256(b"court"))), None);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let path = path("archive-restart");
    {
        let (archive, _) = open(&path, Room::default());
        keep(&archive, 1, 5, &[(1, VALID)]);
        keep(&archive, 2, 6, &[(1, WRONG)]);
        archive.follow(7, 7_000, &[given(segment(1), node(2), WRONG)]).unwrap();
        archive.follow(8, 8_000, &[]).unwrap();
        assert_eq!(archive.next_block(9), Some(9));
    }
    let (archive, _) = open(&path, Room::default());
    assert_eq!(archive.doubted(about(1)), Some(BTreeSet::from([0])));
    // What said nothing is not written: it is looked at again.
    assert_eq!(archive.next_block(9), Some(7));
    // An old block again says nothing new to who knows it.
    archive.follow(6, 6_000, &[given(segment(1), node(3), VALID), given(segment(2), node(3), VALID)]).unwrap();
    assert_eq!(archive.doubted(about(2)), Some(BTreeSet::new()));
    archive.follow(9, 9_000, &[approved(segment(1)), approved(segment(2))]).unwrap();
    assert_eq!(archive.next_block(20), None, "nothing is undecided");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_oldest_makes_room_first_of_what_nobody_disagrees_about() {
    let path = path("archive-room");
    let room = Room { count: 2, ..Room::default() };
    let (archive, _) = open(&path, room);
    keep(&archive, 1, 1, &[(1, VALID), (2, WRONG)]);
    keep(&archive, 2, 2, &[(1, VALID)]);
    keep(&archive, 3, 3, &[(1, VALID), (2, WRONG)]);
    assert_eq!([1, 2, 3].map(|byte| is_kept(&archive, byte)), [true, false, true]);
    keep(&archive, 4, 4, &[]);
    assert_eq!([1, 3, 4].map(|byte| is_kept(&archive, byte)), [false, true, true]);
    drop(archive);
    let _ = std::fs::remove_file(&path);
    let size = size_of(&evidence(1, "text")).unwrap();
    let (archive, _) = open(&path, Room { count: 9, size: 2 * size });
    for byte in 1..=3 {
        keep(&archive, byte, byte.into(), &[]);
    }
    assert_eq!([1, 2, 3].map(|byte| is_kept(&archive, byte)), [false, true, true]);
    drop(archive);
    let (archive, _) = open(&path, Room { count: 9, size: size - 1 });
    keep(&archive, 5, 5, &[]);
    assert!(!is_kept(&archive, 5), "larger than all room");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn traces_go_with_their_evidence() {
    let path = path("archive-traces");
    let (archive, store) = open(&path, Room::default());
    let trace = |byte| {
        let shape = TraceShape { prompt_tokens: 1, output_tokens: 1, layers: 1 };
        let claim = TraceClaim { segment: segment(byte), draw: DRAW, job: 0, shape, root: Digest::ZERO };
        KeptTrace { signed: SignedTrace::sign(claim, &key()), cells: vec![Digest::ZERO] }
    };
    for byte in [1, 2] {
        keep(&archive, byte, 1, &[(1, VALID), (2, WRONG)]);
        store.record_trace((about(byte), 0), &trace(byte)).unwrap();
    }
    archive.follow(2, 2_000, &[approved(segment(1))]).unwrap();
    archive.tidy(2_001 + KEPT_MS).unwrap();
    // The first was decided and is over; the second is not decided, and was taken as long ago.
    assert_eq!(store.trace((about(1), 0)).unwrap(), None);
    assert_eq!(store.trace((about(2), 0)).unwrap(), None);
    keep(&archive, 3, 3, &[(1, VALID), (2, WRONG)]);
    store.record_trace((about(3), 0), &trace(3)).unwrap();
    archive.tidy(4_000).unwrap();
    assert_eq!(store.trace((about(3), 0)).unwrap(), Some(trace(3)));
    std::fs::remove_file(path).unwrap();
}

/// A node's state may be behind its own store after a crash, and it judges in that state.
#[test]
fn blocks_are_looked_at_again_for_what_was_judged_before_them() {
    let path = path("archive-thrown-back");
    let (archive, _) = open(&path, Room::default());
    keep(&archive, 1, 5, &[(1, VALID)]);
    archive.follow(6, 6_000, &[given(segment(1), node(2), VALID)]).unwrap();
    keep(&archive, 2, 5, &[(1, VALID)]);
    assert_eq!(archive.next_block(6), Some(6));
    archive.follow(6, 6_000, &[given(segment(1), node(2), VALID), given(segment(2), node(2), WRONG)]).unwrap();
    assert_eq!(archive.doubted(about(1)), Some(BTreeSet::new()));
    assert_eq!(archive.doubted(about(2)), Some(BTreeSet::from([0])));
    assert_eq!(archive.next_block(6), None);
    std::fs::remove_file(path).unwrap();
}

/// SPEC V11: what a member found computed wrong it may have to challenge, whether or not anybody is asked for a trace.
#[test]
fn outvoted_members_keep_what_they_judged() {
    let wrong = VerdictVote::Invalid { job: 3, fault: JobFault::Classification };
    let path = path("outvoted");
    let (archive, _) = open(&path, Room::default());
    keep(&archive, 1, 1, &[(1, wrong), (2, VALID)]);
    keep(&archive, 2, 1, &[(1, VALID), (2, VALID)]);
    assert_eq!(archive.outvoted(&node(1)), [], "it is not over");
    archive.follow(2, 10, &[approved(segment(1)), approved(segment(2))]).unwrap();
    archive.tidy(11).unwrap();
    assert_eq!(archive.outvoted(&node(1)), [(about(1), 3)]);
    assert_eq!(archive.outvoted(&node(2)), []);
    assert!(archive.get(about(1)).unwrap().is_some());
    assert!(archive.get(about(2)).unwrap().is_none(), "nobody disagreed");
    archive.tidy(11 + KEPT_MS).unwrap();
    assert_eq!(archive.outvoted(&node(1)), []);
}
