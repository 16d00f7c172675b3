//! Fingerprints of a model's last hidden states: 16 random ±1 projections of a vector, in 18 bytes.
//!
//! Whoever ran the same forward pass has nearly the same sketch; other weights, another cache format, skipped layers
//! or another prompt move it. A sketch says nothing about how tokens were drawn from the logits.

use crate::philox::philox4x32_10;
use inferium_types::{SKETCHES_PER_WINDOW, Sketch};

#[cfg(test)]
mod tests;

/// Projections of one vector.
pub const SKETCH_SIZE: usize = 16;
/// Signs in one block of random bits.
const BLOCK: usize = 128;

/// A random projection to [`SKETCH_SIZE`] numbers.
#[derive(Clone, Debug)]
pub struct Projection {
    key: [u32; 2],
}

impl Projection {
    /// The projection that the first 8 bytes of a seed give.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = seed;
        Self { key: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])] }
    }

    /// `R h / √d`, with signs R from Philox: row `r`, columns from `128 c` on have the bits of counter `(r, c, 0, 0)`,
    /// lowest first; a set bit is +1.
    ///
    /// `hidden`: the input of the language-model head at one position, shape `[d]`.
    #[must_use]
    pub fn apply(&self, hidden: &[f32]) -> [f32; SKETCH_SIZE] {
        let norm = 1.0 / libm::sqrt(hidden.len().max(1) as f64);
        let mut projected = [0.0; SKETCH_SIZE];
        for (row, out) in (0_u32..).zip(projected.iter_mut()) {
            let mut sum = 0.0_f64;
            for (column, part) in (0_u32..).zip(hidden.chunks(BLOCK)) {
                let signs = philox4x32_10([row, column, 0, 0], self.key);
                for (bits, values) in signs.iter().zip(part.chunks(32)) {
                    let mut bits = *bits;
                    let mut part = 0.0_f32;
                    for &value in values {
                        // The lowest bit, moved to where a float has its sign.
                        part += f32::from_bits(value.to_bits() ^ (((bits & 1) ^ 1) << 31));
                        bits >>= 1;
                    }
                    sum += f64::from(part);
                }
            }
            *out = (sum * norm) as f32;
        }
        projected
    }
}

/// Rounds a projection to a byte each, with one scale. What is not finite counts as zero.
#[must_use]
pub fn sketch(projected: &[f32; SKETCH_SIZE]) -> Sketch {
    let finite = projected.map(|value| if value.is_finite() { value } else { 0.0 });
    let largest = finite.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    // Upwards to the next bfloat16, so that no value exceeds 127 steps.
    let bits = (largest / 127.0).to_bits().saturating_add(0xFFFF) >> 16;
    let scale = u16::try_from(bits).unwrap_or(u16::MAX);
    let step = f32::from_bits(u32::from(scale) << 16);
    let values = finite.map(|value| if step > 0.0 { (value / step).round().clamp(-127.0, 127.0) as i8 } else { 0 });
    Sketch { scale, values }
}

/// How far a claimed sketch is from one's own projection: the Euclidean distance, relative to one's own; at most 2, which is
/// what an opposite vector has. A claim that is no number, or about nothing, is that far as well.
#[must_use]
pub fn sketch_error(claimed: &Sketch, own: &[f32; SKETCH_SIZE]) -> f64 {
    const FARTHEST: f64 = 2.0;
    let step = f64::from(f32::from_bits(u32::from(claimed.scale) << 16));
    let mut distance = 0.0;
    let mut length = 0.0;
    for (&value, &own) in claimed.values.iter().zip(own) {
        let (claimed, own) = (f64::from(value) * step, f64::from(own));
        distance += (claimed - own) * (claimed - own);
        length += own * own;
    }
    let error = libm::sqrt(distance / length);
    if error < FARTHEST { error } else { FARTHEST }
}

/// The positions within window `window` of `size` tokens that are sketched, ascending: the first [`SKETCHES_PER_WINDOW`]
/// distinct ones that Philox draws with the first 8 bytes of `seed` as its key; all of a shorter window.
#[must_use]
pub fn window_positions(seed: [u8; 32], window: u32, size: usize) -> Vec<usize> {
    let Projection { key } = Projection::new(seed);
    let mut drawn: Vec<usize> = Vec::with_capacity(SKETCHES_PER_WINDOW);
    let mut block = 0;
    while drawn.len() < size.min(SKETCHES_PER_WINDOW) {
        for random in philox4x32_10([window, block, 1, 0], key) {
            let position = ((u64::from(random) * size as u64) >> 32) as usize;
            if drawn.len() < SKETCHES_PER_WINDOW && !drawn.contains(&position) {
                drawn.push(position);
            }
        }
        block += 1;
    }
    drawn.sort_unstable();
    drawn
}
