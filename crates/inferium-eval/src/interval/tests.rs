use super::{Interval, PPM, ceil_sqrt, wilson};
use proptest::prelude::*;

const WHOLE: u64 = PPM as u64;

/// The textbook's formula in floating point.
fn textbook(sum: f64, n: f64) -> (f64, f64) {
    let (z, p) = (3.841_459_f64.sqrt(), sum / n);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[test]
fn intervals_are_the_textbooks() {
    // Ends for 8 of 10, 0 of 10 and 50 of 100, as tables have them.
    assert_eq!(wilson(8 * WHOLE, 10), Interval { mean: 800_000, low: 490_162, high: 943_318 });
    assert_eq!(wilson(0, 10), Interval { mean: 0, low: 0, high: 277_533 });
    assert_eq!(wilson(50 * WHOLE, 100), Interval { mean: 500_000, low: 403_831, high: 596_169 });
}

#[test]
fn nothing_says_nothing() {
    assert_eq!(wilson(0, 0), Interval::UNKNOWN);
    assert_eq!(wilson(u64::MAX, 1).mean, PPM);
}

proptest! {
    #[test]
    fn integers_are_within_a_few_millionths_of_floating_point(n in 1_u64..1_000_000, share in 0.0_f64..=1.0) {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test")]
        let (sum, (low, high)) = {
            let sum = (share * (n * WHOLE) as f64) as u64;
            (sum, textbook(sum as f64 / 1e6, n as f64))
        };
        let found = wilson(sum, n);
        prop_assert!((f64::from(found.low) / 1e6 - low).abs() < 3e-6, "{found:?} {low}");
        prop_assert!((f64::from(found.high) / 1e6 - high).abs() < 3e-6, "{found:?} {high}");
    }

    #[test]
    fn the_mean_is_inside_and_no_count_overflows(sum: u64, n: u64) {
        let Interval { mean, low, high } = wilson(sum, n);
        prop_assert!(low <= mean && mean <= high && high <= PPM);
    }

    #[test]
    fn more_items_make_it_narrower(right in 0_u64..=50) {
        let (few, many) = (wilson(right * WHOLE, 50), wilson(right * 100 * WHOLE, 5_000));
        prop_assert!(many.high - many.low < few.high - few.low);
        prop_assert_eq!(many.mean, few.mean);
    }

    #[test]
    fn roots_are_rounded_up(value in 0_u128..1 << 120) {
        let root = ceil_sqrt(value);
        prop_assert!(root * root >= value);
        prop_assert!(root == 0 || (root - 1) * (root - 1) < value);
    }
}
