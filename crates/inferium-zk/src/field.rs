//! The field, its extension, and small things about multilinear polynomials. Everywhere the first variable of a point
//! is the most significant bit of an index.

use p3_field::extension::QuinticTrinomialExtensionField;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_koala_bear::KoalaBear;
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::{Poly, PolyView};
use rand_core::utils::next_word_via_fill;
use rand_core::{CryptoRng, TryCryptoRng, TryRng};

/// KoalaBear, p = 2³¹ − 2²⁴ + 1.
pub(crate) type F = KoalaBear;
/// Its extension of degree 5: what challenges are drawn from.
pub(crate) type EF = QuinticTrinomialExtensionField<F>;

/// The table of eq(point, ·).
pub(crate) fn eq_table(point: &[EF]) -> Vec<EF> {
    Poly::new_from_point(point, EF::ONE).into_evals()
}

/// eq(a, b) of two points of one length.
pub(crate) fn eq(a: &[EF], b: &[EF]) -> EF {
    a.iter().zip(b).map(|(a, b)| EF::ONE - *a - *b + (*a * *b).double()).product()
}

/// eq of the bits of `index` and a point.
pub(crate) fn eq_bits(index: usize, point: &[EF]) -> EF {
    let last = point.len().saturating_sub(1);
    let factor = |(at, x): (usize, &EF)| if index >> (last - at) & 1 == 1 { *x } else { EF::ONE - *x };
    point.iter().enumerate().map(factor).product()
}

/// The multilinear extension of base-field values.
pub(crate) fn evaluate(values: &[F], point: &[EF]) -> EF {
    PolyView::<F>::new(values).eval_base(&Point::new(point.to_vec()))
}

/// The multilinear extension of 0, 1, 2, … of as many values as the point has bits for.
pub(crate) fn evaluate_index(point: &[EF]) -> EF {
    point.iter().fold(EF::ZERO, |sum, x| sum.double() + *x)
}

/// Σ a·b.
pub(crate) fn inner(a: &[EF], b: &[EF]) -> EF {
    a.iter().zip(b).map(|(a, b)| *a * *b).sum()
}

/// Bits of an index below `length`.
pub(crate) fn bits_of(length: usize) -> usize {
    length.next_power_of_two().trailing_zeros() as usize
}

/// Lagrange's basis over the points 0, 1, …, `count` − 1 at `x`. None if `x` is one of them, or below `2 · count`
/// denominators vanish, neither of which a drawn point meets.
pub(crate) fn lagrange(count: usize, x: EF) -> Option<Vec<EF>> {
    let node = |index: usize| F::from_usize(index);
    let distances: Vec<EF> = (0..count).map(|index| x - node(index)).collect();
    let all: EF = distances.iter().copied().product();
    let mut basis = Vec::with_capacity(count);
    for (index, distance) in distances.iter().enumerate() {
        let others = (0..count).filter(|other| *other != index);
        let denominator: F = others.map(|other| node(index) - node(other)).product();
        basis.push(all * (*distance * denominator).try_inverse()?);
    }
    Some(basis)
}

/// Randomness from a seed: BLAKE3 as a stream. One seed commits to one input; proofs get theirs from a generator.
#[derive(Clone)]
pub(crate) struct Stream(blake3::OutputReader);

impl Stream {
    pub(crate) fn new(seed: &[u8; 32], purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("inferium zk 2026-11 randomness");
        Self(hasher.update(seed).update(purpose.as_bytes()).finalize_xof())
    }

    pub(crate) fn seeded(rng: &mut impl CryptoRng, purpose: &str) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self::new(&seed, purpose)
    }

    /// Uniform: words at or above the prime are drawn again.
    pub(crate) fn element(&mut self) -> F {
        loop {
            let mut bytes = [0; 4];
            self.0.fill(&mut bytes);
            let word = u32::from_le_bytes(bytes) & 0x7fff_ffff;
            if word < 0x7f00_0001 {
                return F::from_u32(word);
            }
        }
    }
}

impl TryRng for Stream {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
