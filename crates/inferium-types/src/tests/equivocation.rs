//! Evidence against validators in consensus: SPEC S. That the bytes are those of the consensus
//! engine is tested where the engine is.

use super::sample::Gen;
use crate::VoteSubject::{Finalize, Notarize, Nullify};
use crate::*;

fn vote(epoch: u64, view: u64, subject: VoteSubject) -> ConsensusVote {
    ConsensusVote { epoch, view, subject, signature: Gen::new(1).next() }
}

#[test]
fn only_votes_that_no_honest_validator_signs_contradict_each_other() {
    let mut g = Gen::new(2);
    let (block, other) = (g.digest(), g.digest());
    let notarize = |parent_view, block| vote(3, 9, Notarize { parent_view, block });
    let finalize = |parent_view, block| vote(3, 9, Finalize { parent_view, block });
    let nullify = vote(3, 9, Nullify);
    for (first, second, expected) in [
        (notarize(8, block), notarize(8, other), true),
        (notarize(8, block), notarize(7, block), true),
        (notarize(8, block), notarize(8, block), false),
        (finalize(8, block), finalize(8, other), true),
        (finalize(8, block), finalize(8, block), false),
        (nullify, finalize(8, block), true),
        (nullify, nullify, false),
        // Who notarised may skip the view when it takes too long, and finalises what is notarised.
        (notarize(8, block), nullify, false),
        (notarize(8, block), finalize(8, block), false),
        (notarize(8, block), finalize(8, other), false),
    ] {
        assert_eq!(first.contradicts(&second), expected, "{first:?} {second:?}");
        assert_eq!(second.contradicts(&first), expected, "{second:?} {first:?}");
        let later = ConsensusVote { view: 10, ..second };
        assert!(!first.contradicts(&later), "another view");
        let next = ConsensusVote { epoch: 4, ..second };
        assert!(!first.contradicts(&next), "another epoch");
    }
}

#[test]
fn a_signature_is_over_chain_view_and_subject() {
    let mut g = Gen::new(3);
    let (chain, key): (ChainId, SecretKey) = (g.next(), SecretKey::from_bytes(*g.digest().as_bytes()).unwrap());
    let block = g.digest();
    let mut message = vec![3, 0xac, 0x02, 7];
    message.extend_from_slice(block.as_bytes());
    let domain = [crate::certificate::consensus_namespace(chain).as_slice(), b"_NOTARIZE"].concat();
    let signature = key.sign_in(&domain, &message);
    let signed = ConsensusVote { epoch: 3, view: 300, subject: Notarize { parent_view: 7, block }, signature };
    let signer = key.public_key();
    assert_eq!(ConsensusVote::sign(chain, 3, 300, signed.subject, &key), signed);
    assert!(signed.signed_by(chain, &signer));
    assert!(!signed.signed_by(g.next(), &signer), "another chain");
    assert!(!signed.signed_by(chain, &g.next()), "another validator");
    for changed in [
        ConsensusVote { epoch: 4, ..signed },
        ConsensusVote { view: 301, ..signed },
        ConsensusVote { subject: Notarize { parent_view: 6, block }, ..signed },
        ConsensusVote { subject: Notarize { parent_view: 7, block: g.digest() }, ..signed },
        ConsensusVote { subject: Finalize { parent_view: 7, block }, ..signed },
        ConsensusVote { subject: Nullify, ..signed },
    ] {
        assert!(!changed.signed_by(chain, &signer), "{changed:?}");
    }
}
