use super::*;
use crate::testing::{Group, key};
use commonware_utils::TestRng;

#[test]
fn a_dealt_share_signs_for_its_validator_only() {
    let group = Group::new(4);
    let nodes: Vec<NodeId> = group.genesis.validators.iter().map(|validator| validator.node).collect();
    let dealing = deal(TestRng::new(1), &nodes).unwrap();
    assert_eq!(dealing.group, group.genesis.group);
    let mut keys: Vec<SecretKey> = (1..=4).map(key).collect();
    keys.sort_by_key(SecretKey::public_key);
    for (key, share) in keys.iter().zip(&dealing.shares) {
        assert!(signer(&group.genesis, key, share).is_ok());
    }
    assert_eq!(signer(&group.genesis, &keys[0], &dealing.shares[1]).err(), Some(DealError::Share));
    assert_eq!(signer(&group.genesis, &keys[0], &[]).err(), Some(DealError::Share));
    assert_eq!(signer(&group.genesis, &key(9), &dealing.shares[0]).err(), Some(DealError::Share));
}

#[test]
fn a_genesis_with_another_sharing_is_refused() {
    let (group, other) = (Group::new(4), Group::with_seed(4, 2));
    let dealing = deal(TestRng::new(1), &[key(1).public_key()]).unwrap();
    let validator = group.genesis.validators[0].node;
    let secret = (1..=4).map(key).find(|key| key.public_key() == validator).unwrap();
    for sharing in [other.genesis.sharing, Vec::new(), dealing.sharing] {
        let genesis = Genesis { sharing, ..group.genesis.clone() };
        assert_eq!(signer(&genesis, &secret, &dealing.shares[0]).err(), Some(DealError::Sharing));
    }
}

#[test]
fn nobody_and_the_same_validator_twice_are_refused() {
    assert_eq!(deal(TestRng::new(1), &[]).err(), Some(DealError::Validators));
    let twice = [key(1).public_key(), key(1).public_key()];
    assert_eq!(deal(TestRng::new(1), &twice).err(), Some(DealError::Validators));
}
