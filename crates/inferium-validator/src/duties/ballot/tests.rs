//! SPEC V2: bound before anything is seen, and shown as it was bound.

use super::{next_step, salt_of};
use inferium_ledger::{Ballot, Member, Phase};
use inferium_types::{Digest, JobFault, SecretKey, SegmentId, TransactionBody, VerdictVote};

const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };
const INVALID: VerdictVote = VerdictVote::Invalid { job: 1, fault: JobFault::Token };
const OTHERS: Ballot = Ballot::Committed { commitment: Digest::ZERO };

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn about() -> (SegmentId, Digest) {
    (SegmentId::new(Digest::sha256(b"segment")), Digest::sha256(b"seed"))
}

/// What the node of key 1 does beside those of 2 and 3.
fn step(ballots: [Ballot; 3], phase: Phase, vote: VerdictVote, is_committing: bool) -> Option<TransactionBody> {
    let members: Vec<Member> =
        (1..).zip(ballots).map(|(of, ballot)| Member { validator: key(of).public_key(), ballot }).collect();
    next_step((&members, phase), &key(1), about(), vote, is_committing)
}

fn commitment(vote: VerdictVote) -> Digest {
    let (segment, seed) = about();
    vote.commitment(segment, &seed, &key(1).public_key(), &salt_of(&key(1), about()))
}

#[test]
fn a_member_commits_until_it_is_the_last() {
    let blank = Ballot::Blank;
    let segment = about().0;
    let commits = Some(TransactionBody::CommitVerdict { segment, commitment: commitment(VALID) });
    let open = Some(TransactionBody::SubmitVerdict { segment, vote: VALID, salt: None });
    assert_eq!(step([blank, blank, blank], Phase::Committing, VALID, false), commits);
    assert_eq!(step([blank, OTHERS, blank], Phase::Committing, VALID, false), commits);
    assert_eq!(step([blank, OTHERS, OTHERS], Phase::Committing, VALID, false), open);
    let given = Ballot::Given { vote: INVALID };
    assert_eq!(step([blank, given, given], Phase::Committing, VALID, false), open, "what others said changes nothing");
    assert_eq!(step([blank, OTHERS, OTHERS], Phase::Committing, VALID, true), commits, "one is on its way");
}

#[test]
fn what_was_committed_to_is_shown_when_it_may_be() {
    let mine = Ballot::Committed { commitment: commitment(INVALID) };
    let segment = about().0;
    let shows = Some(TransactionBody::SubmitVerdict { segment, vote: INVALID, salt: Some(salt_of(&key(1), about())) });
    assert_eq!(step([mine, OTHERS, OTHERS], Phase::Revealing, INVALID, false), shows);
    assert_eq!(step([mine, OTHERS, Ballot::Blank], Phase::Revealing, INVALID, false), shows);
    for phase in [Phase::Committing, Phase::Closed] {
        assert_eq!(step([mine, OTHERS, OTHERS], phase, INVALID, false), None, "{phase:?}");
    }
    // Never another vote than that, and nothing twice.
    assert_eq!(step([mine, OTHERS, OTHERS], Phase::Revealing, VALID, false), None);
    for phase in [Phase::Committing, Phase::Revealing, Phase::Closed] {
        assert_eq!(step([Ballot::Given { vote: INVALID }, OTHERS, OTHERS], phase, INVALID, false), None);
    }
}

#[test]
fn who_is_late_or_has_no_seat_says_nothing() {
    for phase in [Phase::Revealing, Phase::Closed] {
        assert_eq!(step([Ballot::Blank, OTHERS, OTHERS], phase, VALID, false), None);
    }
    let strangers = [Member { validator: key(2).public_key(), ballot: Ballot::Blank }];
    assert_eq!(next_step((&strangers, Phase::Committing), &key(1), about(), VALID, false), None);
}

/// A node that was killed between commitment and reveal finds the same salt again; no other node, and no other
/// judgement, has it.
#[test]
fn a_salt_is_of_one_key_and_one_judgement() {
    let (segment, seed) = about();
    let salt = salt_of(&key(1), about());
    assert_eq!(salt, salt_of(&key(1), about()));
    let others = [
        salt_of(&key(2), about()),
        salt_of(&key(1), (segment, Digest::ZERO)),
        salt_of(&key(1), (SegmentId::new(Digest::ZERO), seed)),
    ];
    assert!(!others.contains(&salt));
}
