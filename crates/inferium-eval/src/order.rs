//! The order of items, drawn from a seed.

use inferium_types::Digest;

/// A permutation of `0..count` by Fisher and Yates; draw `i` is from a digest of the seed and `i`.
#[must_use]
pub fn permutation(seed: &Digest, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let place = u64::try_from(last).unwrap_or(u64::MAX);
        let draw = Digest::of("inferium/permutation/1", &[seed.as_bytes(), &place.to_be_bytes()]);
        let other = usize::try_from(draw.draw(place.saturating_add(1))).unwrap_or(last);
        order.swap(last, other.min(last));
    }
    order
}

#[cfg(test)]
mod tests;
