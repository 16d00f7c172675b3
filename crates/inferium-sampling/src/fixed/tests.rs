use super::*;
use proptest::prelude::*;

fn real(q: Q64) -> f64 {
    q as f64 / ONE as f64
}

#[test]
fn products_round_down_and_stay_in_range() {
    assert_eq!(times(ONE, ONE), ONE);
    assert_eq!(times(3 * ONE, ONE / 2), 3 * ONE / 2);
    assert_eq!(times(1, ONE - 1), 0, "below the last bit");
    assert_eq!(times(Q64::MAX, ONE), Q64::MAX);
    assert_eq!(times(Q64::MAX, ONE + 1), Q64::MAX);
    assert_eq!(times((1 << 32) * ONE, (1 << 31) * ONE), (1 << 63) * ONE, "the largest power");
    assert_eq!(times((1 << 32) * ONE, (1 << 32) * ONE), Q64::MAX, "one beyond it");
}

#[test]
fn powers_and_logarithms_at_their_ends() {
    assert_eq!(exp2(0), ONE);
    assert_eq!(exp2(1 << 32), 2 * ONE);
    assert_eq!(exp2(-(1 << 32)), ONE / 2);
    assert_eq!(exp2(63 << 32), (1 << 63) * ONE);
    assert_eq!(exp2(64 << 32), Q64::MAX);
    assert_eq!(exp2(-(64 << 32)), 1);
    assert_eq!(exp2(-(64 << 32) - 1), 0);
    assert_eq!(exp2(i128::MAX), Q64::MAX);
    assert_eq!(exp2(i128::MIN), 0);
    assert_eq!(log2_ratio(1, 1), Some(0));
    assert_eq!(log2_ratio(1_000_000, 1_000_000), Some(0));
    assert_eq!(log2_ratio(8, 1), Some(3 << 32));
    assert_eq!(log2_ratio(1, 8), Some(-(3 << 32)));
    assert_eq!((log2_ratio(0, 1), log2_ratio(1, 0)), (None, None));
    assert_eq!(log2_ratio(u64::MAX, 1).map(|log| log >> 32), Some(63));
    assert_eq!(log2_ratio(1, u64::MAX).map(|log| log >> 32), Some(-64));
    assert_eq!(log2_ratio(u64::MAX, u64::MAX), Some(0));
}

proptest! {
    #[test]
    fn bounds_are_below_and_near(a in 1u64..1 << 50, b in 1u64..1 << 50, x in -60.0f64..60.0) {
        let exact = (a as f64 / b as f64).log2();
        let log = log2_ratio(a, b).unwrap() as f64 / 4_294_967_296.0;
        prop_assert!(log <= exact + 1e-12 && exact - log < 1e-9, "{log} {exact}");

        let log = (x * 4_294_967_296.0) as i64;
        let exact = (log as f64 / 4_294_967_296.0).exp2();
        let found = real(exp2(i128::from(log)));
        prop_assert!(found <= exact * (1.0 + 1e-14), "{found} {exact}");
        // Below 2^-40 the last bits are few.
        prop_assert!(found >= exact * (1.0 - 1e-12) - 1e-18, "{found} {exact}");
    }

    #[test]
    fn products_agree_with_reals(a in 0u128..1 << 90, b in 0u128..1 << 90) {
        let exact = real(a) * real(b);
        prop_assert!((real(times(a, b)) - exact).abs() <= exact * 1e-12 + 1e-18);
    }
}
