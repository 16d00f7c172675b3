use super::{Audit, BOTH_FROM, COST_MAX, MISSED_MAX, draw, missed};
use inferium_types::Digest;

/// `C(n, k)` exactly, for small numbers.
fn choose(n: u128, k: u128) -> u128 {
    if k > n { 0 } else { (0..k).fold(1, |product, i| product * (n - i) / (i + 1)) }
}

#[test]
fn the_chance_is_that_of_draws_without_replacement() {
    for (n, m, q) in [(10, 1, 3), (10, 10, 1), (20, 2, 16), (50, 5, 22), (60, 7, 0), (12, 3, 10)] {
        let expected = choose(n - m, q) as f64 / choose(n, q) as f64;
        let found = missed(n as u64, m as u64, q as u64);
        assert!((found - expected).abs() < 1e-12, "{n} {m} {q}: {found} and {expected}");
    }
    assert!((missed(10, 0, 10) - 1.0).abs() < f64::EPSILON, "where nothing is wrong nothing is found");
}

#[test]
fn one_interval_is_missed_with_the_share_that_is_not_drawn() {
    let usual = Audit::usual(300);
    assert_eq!(usual.drawn, 28);
    assert!((usual.missed_in_one() - 272.0 / 300.0).abs() < 1e-9, "{}", usual.missed_in_one());
    assert!(Audit::of(300, 300).missed_in_one().abs() < f64::EPSILON);
    assert!((Audit::of(300, 0).missed_in_one() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn the_default_is_the_fewest_that_catch() {
    for intervals in 1..600 {
        let audit = Audit::usual(intervals);
        assert!(audit.missed <= MISSED_MAX, "{audit:?}");
        assert!(Audit::of(intervals, audit.drawn - 1).missed > MISSED_MAX, "{audit:?}");
    }
    assert_eq!(Audit::usual(0).drawn, 0);
    assert_eq!(Audit::usual(1).drawn, 1);
    assert_eq!(Audit::usual(1_000_000).drawn, 29);
}

#[test]
fn both_goals_are_reached_from_the_stated_number_on_and_not_before() {
    let before = Audit::usual(BOTH_FROM - 1);
    assert!(!before.is_within_both() && before.cost > COST_MAX, "{before:?}");
    assert!((BOTH_FROM..5_000).all(|intervals| Audit::usual(intervals).is_within_both()));
}

#[test]
fn draws_are_distinct_sorted_and_follow_from_beacon_and_root() {
    let audit = Audit::of(100, 40);
    let (beacon, root) = (Digest::of("beacon", &[]), Digest::of("root", &[]));
    let drawn = draw(&beacon, &root, &audit);
    assert_eq!(drawn.len(), 40);
    assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|index| *index < 100));
    assert_eq!(draw(&beacon, &root, &audit), drawn);
    assert_ne!(draw(&Digest::ZERO, &root, &audit), drawn);
    assert_ne!(draw(&beacon, &Digest::ZERO, &audit), drawn);
    assert_eq!(draw(&beacon, &root, &Audit::of(7, 9)), (0..7).collect::<Vec<_>>(), "more than all are all");
}
