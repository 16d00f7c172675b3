use super::permutation;
use inferium_types::Digest;
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn every_index_is_there_once(seed: [u8; 32], count in 0_usize..300) {
        let order = permutation(&Digest::from(seed), count);
        prop_assert_eq!(order.len(), count);
        prop_assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), (0..count).collect());
    }
}

#[test]
fn the_order_is_this_one_on_every_machine() {
    assert_eq!(permutation(&Digest::ZERO, 10), GOLDEN);
}

/// Computed by a second implementation in Python: another order is another choice of items in published runs.
const GOLDEN: [usize; 10] = [3, 4, 8, 0, 9, 2, 6, 5, 7, 1];

#[test]
fn each_index_comes_first_about_as_often() {
    let mut first = [0_u32; 8];
    for seed in 0..8_000_u32 {
        first[permutation(&Digest::of("test", &[&seed.to_be_bytes()]), 8)[0]] += 1;
    }
    // Six standard deviations of a binomial distribution.
    assert!(first.iter().all(|count| count.abs_diff(1_000) < 178), "{first:?}");
}
