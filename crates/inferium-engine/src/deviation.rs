//! Ways to depart from the canonical arithmetic: what other engines do honestly, and what cheats do.
//!
//! Tolerance profiles are calibrated against these, and devnets and tests have them for workers to be caught with. A canonical
//! worker that uses one fails equality at once.

use crate::WeakFormat;
use crate::kernel::math::{f16_to_f32, f32_to_f16_flushed};
use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// How an engine departs from the canonical arithmetic; the default does not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Deviation {
    /// Attention adds up in another order when a step has few rows, as stock engines do: honest, and not reproducible
    /// bit by bit.
    pub batch_dependent: bool,
    /// Serves weaker weights than the file's.
    pub weights: Option<WeakFormat>,
    /// Rounds activations to 8 bits with one scale a row instead of one for 32 numbers.
    pub coarse_activations: bool,
    /// The first layer that does so; those before it are canonical.
    pub coarse_from_layer: usize,
    /// Keeps keys and values in a weaker format.
    pub cache: Option<WeakCache>,
    /// Leaves out as many of the middle layers.
    pub skipped_layers: usize,
}

/// Weaker formats of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakCache {
    /// 8-bit floats with 3 bits of mantissa (E4M3).
    Fp8,
    /// 4-bit integers with one scale for each head of a token.
    Int4,
}

/// Rows of a step below which a batch-dependent engine adds up in its other order.
pub(crate) const FEW_ROWS: usize = 8;

impl Deviation {
    /// The layers that are computed, of `layers`.
    pub(crate) fn computes(&self, layer: usize, layers: usize) -> bool {
        let first = layers.saturating_sub(self.skipped_layers) / 2;
        layer < first || layer >= first + self.skipped_layers
    }

    /// Whether a layer's activations are rounded coarsely.
    pub(crate) fn rounds_coarsely(&self, layer: usize) -> bool {
        self.coarse_activations && layer >= self.coarse_from_layer
    }

    /// The build digest of an engine with this deviation: whoever computes otherwise is of another class.
    pub(crate) fn build(&self, canonical: Digest) -> Digest {
        if *self == Self::default() {
            return canonical;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"inferium/deviation/1\0");
        hasher.update(canonical.as_bytes());
        hasher.update(format!("{self:?}").as_bytes());
        Digest::from(*hasher.finalize().as_bytes())
    }
}

impl WeakCache {
    /// Rounds the key or value of one head, shape `[D]`, to what the format keeps.
    pub(crate) fn round(self, head: &mut [f32]) {
        match self {
            Self::Fp8 => {
                for value in head {
                    *value = e4m3(f16_to_f32(f32_to_f16_flushed(*value)));
                }
            }
            Self::Int4 => {
                let largest = head.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let step = if largest > 0.0 { largest / 7.0 } else { 1.0 };
                for value in head {
                    *value = (*value / step).round_ties_even().clamp(-7.0, 7.0) * step;
                }
            }
        }
    }
}

/// The nearest 8-bit float of the kind E4M3, ties to even; beyond the largest one, that.
fn e4m3(value: f32) -> f32 {
    const LARGEST: f32 = 448.0;
    const SMALLEST_NORMAL: f32 = 1.0 / 64.0;
    let size = value.abs().clamp(SMALLEST_NORMAL, LARGEST);
    // The power of two below, an eighth of it: the exponent's bits alone.
    let step = f32::from_bits(size.to_bits() & 0x7F80_0000) / 8.0;
    (value / step).round_ties_even().clamp(-LARGEST / step, LARGEST / step) * step
}
