//! Commitments to verdicts: SPEC V2.

use super::sample::Gen;
use crate::*;

/// What the name is a hash of is written out here once more: other ledgers compute it, too.
#[test]
fn a_commitment_is_one_of_segment_draw_member_vote_and_salt() {
    let mut g = Gen::new(8);
    let (segment, seed, validator, salt): (SegmentId, Digest, NodeId, Digest) =
        (g.next(), g.digest(), g.next(), g.digest());
    let votes = [
        VerdictVote::Valid { effort: g.digest() },
        VerdictVote::Valid { effort: g.digest() },
        VerdictVote::Invalid { job: 1, fault: JobFault::Token },
        VerdictVote::Invalid { job: 2, fault: JobFault::Token },
        VerdictVote::Invalid { job: 1, fault: JobFault::Leaf },
        VerdictVote::Unavailable,
        VerdictVote::Measured { effort: g.digest(), statistics: g.next() },
        VerdictVote::Measured { effort: g.digest(), statistics: g.next() },
    ];
    let mut found = std::collections::BTreeSet::new();
    for vote in votes {
        let commitment = vote.commitment(segment, &seed, &validator, &salt);
        let (of, encoded) = (segment.digest(), encode(&vote));
        let parts: [&[u8]; 5] = [of.as_bytes(), seed.as_bytes(), validator.as_bytes(), &encoded, salt.as_bytes()];
        assert_eq!(commitment, Digest::of("inferium/verdict-commit/1", &parts));
        found.insert(commitment);
        // Worthless for another segment, another draw, another member, and without its salt.
        for other in [
            vote.commitment(g.next(), &seed, &validator, &salt),
            vote.commitment(segment, &g.digest(), &validator, &salt),
            vote.commitment(segment, &seed, &g.next(), &salt),
            vote.commitment(segment, &seed, &validator, &g.digest()),
        ] {
            found.insert(other);
        }
    }
    assert_eq!(found.len(), votes.len() * 5);
}
