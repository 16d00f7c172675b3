//! The oldest rows go; pages go backwards without gaps.

use super::Kept;

#[test]
fn the_oldest_rows_are_forgotten_and_a_changed_row_keeps_its_place() {
    let mut kept = Kept::new(3);
    for key in 1..=4 {
        kept.insert(key, key * 10);
    }
    kept.insert(2, 99);
    assert_eq!((kept.rows.len(), kept.get(&1), kept.get(&2)), (3, None, Some(&99)));
    let keys: Vec<i32> = kept.newest(None).map(|(_, key, _)| *key).collect();
    assert_eq!(keys, [4, 3, 2]);
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let mut kept = Kept::new(10);
    for key in 0..7 {
        kept.insert(key, ());
    }
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page: Vec<(u64, i32)> = kept.newest(before).take(3).map(|(place, key, ())| (place, *key)).collect();
        let Some((last, _)) = page.last() else { break };
        before = Some(*last);
        seen.extend(page.iter().map(|(_, key)| *key));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn a_row_that_is_taken_out_leaves_no_place() {
    let mut kept = Kept::new(2);
    kept.insert(1, 'a');
    kept.insert(2, 'b');
    assert!(kept.is_full());
    assert_eq!((kept.remove(&1), kept.remove(&1)), (Some('a'), None));
    assert!(!kept.is_full());
    kept.insert(3, 'c');
    assert_eq!(kept.newest(None).map(|(_, key, _)| *key).collect::<Vec<_>>(), [3, 2]);
}
