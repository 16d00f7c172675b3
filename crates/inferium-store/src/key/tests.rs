//! Keys come back as they were, and their bytes compare as they do.

use super::Key;
use inferium_types::{Digest, LeaseId, PublicKey};
use std::fmt::Debug;

fn comes_back<K: Key + PartialEq + Debug>(key: K) {
    let bytes = key.to_bytes();
    assert_eq!(bytes.len(), K::SIZE);
    assert_eq!(K::read(&bytes), Some(key));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(K::read(&longer), None, "a longer key is another key");
}

#[test]
fn keys_come_back() {
    comes_back(());
    comes_back(7u32);
    comes_back(u64::MAX);
    comes_back(Digest::from([3; 32]));
    comes_back(LeaseId::new(Digest::from([4; 32])));
    comes_back(PublicKey::from_bytes([5; 32]));
    comes_back((9u64, LeaseId::new(Digest::from([6; 32]))));
    assert_eq!(u64::read(&[0; 7]), None, "a shorter key is no key");
}

#[test]
fn bytes_compare_as_numbers_do() {
    let numbers = [0u64, 1, 255, 256, 65_535, 65_536, u64::MAX];
    for pair in numbers.windows(2) {
        assert!(pair[0].to_bytes() < pair[1].to_bytes(), "{pair:?}");
        assert!((pair[0], Digest::from([255; 32])).to_bytes() < (pair[1], Digest::ZERO).to_bytes(), "{pair:?}");
    }
}
