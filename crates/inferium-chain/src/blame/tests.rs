use super::*;
use crate::testing::Group;
use commonware_consensus::{
    simplex::types::{ConflictingFinalize, ConflictingNotarize, NullifyFinalize},
    types::{Epoch, View},
};

fn proposal(name: &str) -> Proposal<EngineDigest> {
    Group::proposal(300, 129, Digest::sha256(name.as_bytes()))
}

fn found(group: &Group, activity: Activity<Scheme, EngineDigest>) -> Vec<Equivocation> {
    let blame = Blame::default();
    let _ = blame.reporter(group.genesis.network_key().chain, &group.schemes[2]).report(activity);
    blame.found()
}

/// The bytes that the ledger checks are those that the engine signs, for each kind of vote.
#[test]
fn pairs_that_the_engine_reports_convict_their_signer() {
    let group = Group::new(4);
    let chain = group.genesis.network_key().chain;
    let scheme = &group.schemes[1];
    let notarize = |name: &str| Notarize::sign(scheme, proposal(name)).unwrap();
    let finalize = |name: &str| Finalize::sign(scheme, proposal(name)).unwrap();
    let nullify = Nullify::sign::<EngineDigest>(scheme, Round::new(Epoch::zero(), View::new(300))).unwrap();
    for activity in [
        Activity::ConflictingNotarize(ConflictingNotarize::new(notarize("a"), notarize("b"))),
        Activity::ConflictingFinalize(ConflictingFinalize::new(finalize("a"), finalize("b"))),
        Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize("a"))),
    ] {
        let [pair] = found(&group, activity)[..] else { panic!("one pair") };
        assert_eq!(pair.validator, from_engine_key(&group.schemes[0].participants()[1]));
        assert!(pair.first.signed_by(chain, &pair.validator) && pair.second.signed_by(chain, &pair.validator));
        assert!(pair.first.contradicts(&pair.second));
        assert_eq!((pair.first.epoch, pair.first.view), (0, 300));
    }
}

/// The engine reports votes that it has not verified: who forges one convicts nobody.
#[test]
fn a_pair_with_a_forged_vote_is_not_kept() {
    let group = Group::new(4);
    let own = Notarize::sign(&group.schemes[1], proposal("a")).unwrap();
    let mut forged = Notarize::sign(&group.schemes[3], proposal("b")).unwrap();
    forged.attestation.signer = own.attestation.signer;
    let activity = Activity::ConflictingNotarize(ConflictingNotarize::new(own, forged));
    assert_eq!(found(&group, activity), []);
}

#[test]
fn honest_votes_are_no_evidence() {
    let group = Group::new(4);
    let vote = Notarize::sign(&group.schemes[1], proposal("a")).unwrap();
    assert_eq!(found(&group, Activity::Notarize(vote)), []);
}
