//! Decay in integers, against real numbers.

use super::{ROOTS, decayed};

#[test]
fn the_roots_are_the_roots_of_one_half() {
    for (index, root) in ROOTS.into_iter().enumerate() {
        let exact = 2f64.powf(-1.0 / 2f64.powi(i32::try_from(index).unwrap() + 1));
        assert!((root as f64 / 2f64.powi(64) - exact).abs() < 1e-15, "root {index}");
    }
}

#[test]
fn decay_halves_at_each_half_life_and_never_grows() {
    const POOL: u64 = 250_000_000_000_000_000;
    assert_eq!(decayed(POOL, 0, 1_000), POOL);
    assert_eq!(decayed(POOL, 1_000, 1_000), POOL / 2);
    assert_eq!(decayed(POOL, 3_000, 1_000), POOL / 8);
    assert_eq!(decayed(POOL, 64_000, 1_000), 0);
    assert_eq!(decayed(POOL, u64::MAX, 1), 0);
    assert_eq!(decayed(POOL, 5, 0), 0);
    let mut last = POOL;
    for at_ms in 0..4_000 {
        let now = decayed(POOL, at_ms, 1_000);
        assert!(now <= last, "grows at {at_ms}");
        let exact = POOL as f64 * 2f64.powf(-(at_ms as f64) / 1_000.0);
        assert!((now as f64 / exact - 1.0).abs() < 1e-8, "{now} at {at_ms}, should be {exact}");
        last = now;
    }
}

#[test]
fn small_amounts_decay_to_nothing_without_trouble() {
    assert_eq!(decayed(1, 999_999, 1_000_000), 1);
    assert_eq!(decayed(1, 1_000_001, 1_000_000), 0);
    assert_eq!(decayed(0, 17, 1_000), 0);
    assert_eq!(decayed(u64::MAX, 0, 1), u64::MAX);
    assert_eq!(decayed(u64::MAX, 1, u64::MAX), u64::MAX);
    assert_eq!(decayed(u64::MAX, u64::MAX, u64::MAX), 1 << 63);
}
