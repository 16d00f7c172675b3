//! The vector of a sentence: what is made of an encoder's integers, by those who serve it and by those who check it.
//!
//! The only floats behind a compiled model. Each is an IEEE 754 number that one operation rounds once, so it is the same on every machine.

use crate::CONTRACT_VERSION;

/// What [`direction_build`] is derived under. It changes with what becomes of the integers, and with what an encoder is given.
const BUILD_CONTEXT: &str = "inferium integer embedder 2026-12";

/// Names the contract's version with what [`direction`] makes of its integers: profiles of sentence encoders of integers have it as their build.
#[must_use]
pub fn direction_build() -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(BUILD_CONTEXT);
    *hasher.update(&CONTRACT_VERSION.to_le_bytes()).finalize().as_bytes()
}

/// Integers at length 1, `None` of zeros. The sum of squares is exact; it in double precision, its root, each quotient and that in
/// single precision are rounded once, to the nearest.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "rounded to the nearest float, as stated"
)]
pub fn direction(integers: &[i32]) -> Option<Vec<f32>> {
    let squares: u128 = integers.iter().map(|value| u128::from(value.unsigned_abs()).pow(2)).sum();
    let length = (squares as f64).sqrt();
    (squares > 0).then(|| integers.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_brought_to_length_one() {
        assert_eq!(direction(&[3, -4]), Some(vec![0.6, -0.8]));
        assert_eq!(direction(&[0, 0]), None);
        assert_eq!(direction(&[]), None);
        // Squares of the largest values of the contract, which no float holds exactly.
        let large = direction(&[1_001_836_546; 384]).unwrap();
        assert_eq!(large, [0.051_031_04; 384]);
        assert_eq!(direction(&[i32::MIN]), Some(vec![-1.0]));
    }
}
