//! The reciprocal of a square root, in integers.

use super::RECIPROCAL_BITS;

/// `⌊2^29 / √v⌋`: the one s with `s² · v ≤ 2^58 < (s + 1)² · v`. Zero of zero, which no operation asks for.
pub(crate) fn inverse_root(v: u64) -> u32 {
    // s² · v ≤ 2^58 says the same as s² ≤ ⌊2^58 / v⌋, because s² is an integer.
    let square = (1_u64 << (2 * RECIPROCAL_BITS)).checked_div(v).unwrap_or(0);
    u32::try_from(square.isqrt()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_the_one(v: u64) -> bool {
        let (s, v) = (u128::from(inverse_root(v)), u128::from(v));
        s * s * v <= 1 << 58 && (s + 1) * (s + 1) * v > 1 << 58
    }

    #[test]
    fn small_numbers_squares_and_their_neighbours() {
        assert!((1..200_000).all(is_the_one));
        assert!((1..=1_u64 << 29).step_by(997).all(|root| {
            let around = (root * root).saturating_sub(1).max(1)..=root * root + 1;
            around.into_iter().all(is_the_one)
        }));
        assert_eq!([inverse_root(0), inverse_root(1), inverse_root(4)], [0, 1 << 29, 1 << 28]);
        assert_eq!([inverse_root(1 << 58), inverse_root((1 << 58) + 1)], [1, 0]);
    }

    proptest! {
        #[test]
        fn any_number(v in 1_u64.., shift in 0_u32..64) {
            prop_assert!(is_the_one((v >> shift).max(1)));
        }
    }
}
