use super::*;
use crate::testing::{Group, key};
use inferium_types::Event;

fn event(number: u8) -> Event {
    Event::UrlChanged { node: key(number).public_key(), url: format!("http://{number}") }
}

/// `count` blocks, each with two events; only the last is certified.
fn chain(group: &Group, count: u64) -> Vec<BlockBundle> {
    let mut parent = Digest::ZERO;
    let mut bundles = Vec::new();
    for height in 1..=count {
        let events = vec![event(1), event(u8::try_from(height).unwrap())];
        let body = Body::default();
        let header = group.header(height, parent, &events, body.root());
        parent = header.digest();
        bundles.push(BlockBundle { header, events, body: Some(body), certified: None });
    }
    let last = bundles.last_mut().unwrap();
    last.certified = Some(Certified { descendants: Vec::new(), certificate: group.certify(&last.header) });
    bundles
}

fn verify(group: &Group, bundles: Vec<BlockBundle>) -> Result<usize, InvalidBundle> {
    let after = Continue { height: 1, parent: Some(Digest::ZERO) };
    verify_blocks(&group.genesis.network_key(), after, bundles).map(|blocks| blocks.len())
}

#[test]
fn honest_blocks_are_accepted_and_each_can_be_proven() {
    let group = Group::new(4);
    let network = group.genesis.network_key();
    let blocks = verify_blocks(&network, Continue { height: 1, parent: Some(Digest::ZERO) }, chain(&group, 4)).unwrap();
    assert_eq!(blocks.len(), 4);
    for (bundle, digest, certified) in &blocks {
        assert_eq!(bundle.header.digest(), *digest);
        certified.verify(&network, &bundle.header).unwrap();
    }
}

#[test]
fn a_forged_certificate_is_rejected() {
    let group = Group::new(4);
    let mut bundles = chain(&group, 3);
    let header = bundles[2].header.clone();
    let stranger = Group::with_seed(4, 2);
    bundles[2].certified = Some(Certified { descendants: Vec::new(), certificate: stranger.certify(&header) });
    assert!(matches!(verify(&group, bundles), Err(InvalidBundle::Certificate { height: 3, .. })));
    // One of the group's own, but of another block.
    let mut bundles = chain(&group, 3);
    let other = group.certify(&bundles[1].header);
    bundles[2].certified = Some(Certified { descendants: Vec::new(), certificate: other });
    assert!(matches!(verify(&group, bundles), Err(InvalidBundle::Certificate { height: 3, .. })));
}

#[test]
fn blocks_without_a_certificate_at_the_end_are_rejected() {
    let group = Group::new(4);
    let mut bundles = chain(&group, 3);
    bundles.pop();
    assert_eq!(verify(&group, bundles), Err(InvalidBundle::Uncertified { height: 2 }));
}

#[test]
fn changed_missing_and_reordered_events_are_rejected() {
    let group = Group::new(4);
    let mut changed = chain(&group, 3);
    changed[1].events[0] = event(9);
    assert_eq!(verify(&group, changed), Err(InvalidBundle::Events { height: 2 }));
    let mut missing = chain(&group, 3);
    missing[1].events.pop();
    assert_eq!(verify(&group, missing), Err(InvalidBundle::Events { height: 2 }));
    let mut reordered = chain(&group, 3);
    reordered[1].events.swap(0, 1);
    assert_eq!(verify(&group, reordered), Err(InvalidBundle::Events { height: 2 }));
    let mut added = chain(&group, 3);
    added[1].events.push(event(9));
    assert_eq!(verify(&group, added), Err(InvalidBundle::Events { height: 2 }));
}

#[test]
fn a_changed_body_is_rejected() {
    let group = Group::new(4);
    let mut bundles = chain(&group, 3);
    bundles[0].body.as_mut().unwrap().transactions.push(group.transfer(&key(100), 0, 1));
    assert_eq!(verify(&group, bundles), Err(InvalidBundle::Body { height: 1 }));
}

#[test]
fn another_chain_is_rejected() {
    let (group, other) = (Group::new(4), Group::with_seed(4, 2));
    assert_eq!(verify(&group, chain(&other, 3)), Err(InvalidBundle::Chain));
}

#[test]
fn gaps_repetitions_and_other_orders_are_rejected() {
    let group = Group::new(4);
    let mut gap = chain(&group, 4);
    gap.remove(1);
    assert_eq!(verify(&group, gap), Err(InvalidBundle::Height { expected: 2, found: 3 }));
    let mut late = chain(&group, 4);
    late.remove(0);
    assert_eq!(verify(&group, late), Err(InvalidBundle::Height { expected: 1, found: 2 }));
    let mut swapped = chain(&group, 4);
    swapped.swap(0, 1);
    assert_eq!(verify(&group, swapped), Err(InvalidBundle::Height { expected: 1, found: 2 }));
}

#[test]
fn a_block_that_does_not_follow_is_rejected() {
    let group = Group::new(4);
    let mut bundles = chain(&group, 3);
    // Height and events fit, but it is not the parent of the next one.
    bundles[1].header.timestamp_ms += 1;
    assert_eq!(verify(&group, bundles), Err(InvalidBundle::Parent { height: 3 }));
    let network = group.genesis.network_key();
    let after = Continue { height: 1, parent: Some(Digest::sha256(b"another")) };
    assert_eq!(verify_blocks(&network, after, chain(&group, 3)), Err(InvalidBundle::Parent { height: 1 }));
}

#[test]
fn descendants_must_lead_from_the_block_to_the_certificate() {
    let group = Group::new(4);
    let network = group.genesis.network_key();
    let bundles = chain(&group, 4);
    let headers: Vec<Header> = bundles.iter().map(|bundle| bundle.header.clone()).collect();
    let certificate = group.certify(&headers[3]);
    let honest = Certified { descendants: headers[1..].to_vec(), certificate };
    honest.verify(&network, &headers[0]).unwrap();
    let gap = Certified { descendants: headers[2..].to_vec(), certificate };
    assert_eq!(gap.verify(&network, &headers[0]), Err(InvalidBundle::Parent { height: 3 }));
    let short = Certified { descendants: headers[1..3].to_vec(), certificate };
    assert!(matches!(short.verify(&network, &headers[0]), Err(InvalidBundle::Certificate { .. })));
}

#[test]
fn a_stale_state_proof_is_rejected() {
    let group = Group::new(4);
    let bundle = chain(&group, 1).remove(0);
    let proof =
        StateProof { header: bundle.header, certified: bundle.certified.unwrap(), value: None, proof: Vec::new() };
    let network = group.genesis.network_key();
    assert_eq!(proof.verify(&network, b"key", 2), Err(InvalidStateProof::Stale { found: 1, known: 2 }));
    assert_eq!(proof.verify(&network, b"key", 1), Err(InvalidStateProof::Proof { height: 1 }));
}
