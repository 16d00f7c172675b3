use super::{Verdict, compare, is_beyond_chance};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn scores(right: impl Fn(usize) -> bool) -> BTreeMap<usize, Vec<u32>> {
    (0..100).map(|index| (index, vec![if right(index) { 1_000_000 } else { 0 }])).collect()
}

#[test]
fn only_items_that_tell_them_apart_decide() {
    let first = scores(|index| index < 50);
    let better = compare(&first, &scores(|index| index < 58));
    assert_eq!((better.better, better.worse, better.equal, better.verdict), (8, 0, 92, Verdict::Better));
    let worse = compare(&scores(|index| index < 58), &first);
    assert_eq!((worse.better, worse.worse, worse.verdict), (0, 8, Verdict::Worse));
    // Ten up and ten down say nothing, and neither do three up.
    let mixed = compare(&first, &scores(|index| (10..60).contains(&index)));
    assert_eq!((mixed.better, mixed.worse, mixed.verdict), (10, 10, Verdict::Unclear));
    assert_eq!(compare(&first, &scores(|index| index < 53)).verdict, Verdict::Unclear);
    assert_eq!(compare(&first, &first).share, crate::Interval::UNKNOWN);
}

#[test]
fn items_that_one_did_not_answer_do_not_count() {
    let half: BTreeMap<usize, Vec<u32>> = scores(|_| true).into_iter().take(50).collect();
    let found = compare(&scores(|_| false), &half);
    assert_eq!((found.better, found.worse, found.equal), (50, 0, 0));
}

/// Of five coins that all fall alike, p is 1/16; of six, 1/32.
#[test]
fn few_items_on_one_side_are_chance() {
    let verdict = |better: usize| compare(&scores(|_| false), &scores(|index| index < better)).verdict;
    assert_eq!([4, 5, 6].map(verdict), [Verdict::Unclear, Verdict::Unclear, Verdict::Better]);
    assert_eq!(compare(&scores(|index| index < 5), &scores(|_| false)).verdict, Verdict::Unclear);
    assert_eq!(compare(&scores(|index| index < 6), &scores(|_| false)).verdict, Verdict::Worse);
    // Tables of the sign test: of 20 items, 5 or fewer; of 100, 39 or fewer.
    assert!(is_beyond_chance(5, 15) && !is_beyond_chance(6, 14));
    assert!(is_beyond_chance(39, 61) && !is_beyond_chance(40, 60));
    assert!(!is_beyond_chance(0, 0));
}

#[test]
fn many_items_are_told_apart_as_finely_as_few() {
    // At 100,000 the normal distribution and the exact one agree: half of n less 1.96 halves of its root, and a half.
    assert!(is_beyond_chance(49_680, 50_320) && !is_beyond_chance(49_700, 50_300));
    assert!(!is_beyond_chance(500_000, 500_000) && is_beyond_chance(0, u64::MAX) && is_beyond_chance(9, u64::MAX));
}

proptest! {
    #[test]
    fn the_test_is_the_exact_one(one in 0_u64..60, other in 0_u64..60) {
        // Pascal's triangle.
        let count = usize::try_from(one + other).unwrap();
        let mut row = vec![1_u128];
        for _ in 0..count {
            let next = row.windows(2).map(|pair| pair[0] + pair[1]);
            row = std::iter::once(1).chain(next).chain(std::iter::once(1)).collect();
        }
        let tail: u128 = row.iter().take(usize::try_from(one.min(other)).unwrap() + 1).sum();
        prop_assert_eq!(is_beyond_chance(one, other), tail * 40 <= 1 << count);
    }
}
