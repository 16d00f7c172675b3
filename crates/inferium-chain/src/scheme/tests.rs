use super::*;
use crate::{
    keys::{EngineDigest, signature_bytes},
    testing::Group,
};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::{
    simplex::types::{ConflictingNotarize, Notarize, Nullification, Nullify},
    types::{Epoch, View},
};
use commonware_parallel::Sequential;
use commonware_utils::{TestRng, non_empty};
use inferium_types::{Digest as Hash, SeedSignature};

#[test]
fn certificates_that_the_engine_makes_are_those_that_light_clients_accept() {
    let group = Group::new(4);
    let network = group.genesis.network_key();
    for (view, parent_view) in [(1, 0), (9, 8), (300, 127), (70_000, 128)] {
        let header_digest = Hash::sha256(b"block");
        let proposal = Group::proposal(view, parent_view, header_digest);
        let finalization = group.finalize(&proposal);
        let pair = finalization.certificate.get().unwrap();
        let signature = signature_bytes(&pair.vote_signature);
        let certificate = inferium_types::Certificate { epoch: 0, view, parent_view, signature };
        certificate.verify(network.chain, &network.group, header_digest).unwrap();
        certificate.verify(network.chain, &network.group, Hash::sha256(b"other")).unwrap_err();
        inferium_types::Certificate { view: view + 1, ..certificate }
            .verify(network.chain, &network.group, header_digest)
            .unwrap_err();
        let other = Group::with_seed(4, 2).genesis.network_key();
        certificate.verify(other.chain, &other.group, header_digest).unwrap_err();
    }
}

#[test]
fn seeds_of_final_and_skipped_views_verify() {
    let group = Group::new(4);
    let network = group.genesis.network_key();
    let finalization = group.finalize(&Group::proposal(200, 199, Hash::sha256(b"block")));
    let of_final = finalization.certificate.get().unwrap().seed_signature;
    let round = Round::new(Epoch::zero(), View::new(200));
    let votes: Vec<_> =
        group.schemes[1..].iter().map(|scheme| Nullify::sign::<EngineDigest>(scheme, round).unwrap()).collect();
    let skipped = Nullification::from_nullifies(&group.schemes[0], non_empty![@votes.iter()], &Sequential).unwrap();
    let of_skipped = skipped.certificate.get().unwrap().seed_signature;
    // The seed is the view's, whatever became of the view, and whoever signed.
    assert_eq!(of_final, of_skipped);
    let seed = SeedSignature { view: 200, signature: signature_bytes(&of_final) };
    assert!(seed.verify(network.chain, &network.group, 0));
    assert!(!seed.verify(network.chain, &network.group, 1));
    assert!(!SeedSignature { view: 201, ..seed }.verify(network.chain, &network.group, 0));
}

#[test]
fn conflicting_votes_convict_their_signer_and_no_one_else() {
    let group = Group::new(4);
    let (one, other) = (Group::proposal(9, 8, Hash::sha256(b"one")), Group::proposal(9, 8, Hash::sha256(b"other")));
    let sign = |scheme: &Scheme, proposal: &_| Notarize::sign(scheme, Clone::clone(proposal)).unwrap();
    let evidence = ConflictingNotarize::new(sign(&group.schemes[0], &one), sign(&group.schemes[0], &other));
    assert!(evidence.verify(&mut TestRng::new(1), &group.schemes[2], &Sequential));
    // Who knows the victim's threshold share, but not its key, proves nothing against it.
    let forger = Scheme { identity: group.schemes[1].identity.clone(), ..group.schemes[0].clone() };
    let forged = ConflictingNotarize::new(sign(&forger, &one), sign(&forger, &other));
    assert!(!forged.verify(&mut TestRng::new(1), &group.schemes[2], &Sequential));
}

#[test]
fn vote_signatures_survive_their_encoding() {
    let group = Group::new(4);
    let vote = Notarize::sign(&group.schemes[0], Group::proposal(9, 8, Hash::sha256(b"one"))).unwrap();
    let signature = vote.attestation.signature.get().unwrap().clone();
    let bytes = signature.encode();
    assert_eq!(bytes.len(), VoteSignature::SIZE);
    assert_eq!(VoteSignature::decode(Copying(&bytes[..])).unwrap(), signature);
    assert!(VoteSignature::decode(Copying(&bytes[1..])).is_err());
}
