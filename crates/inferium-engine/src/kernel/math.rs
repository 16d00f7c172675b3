//! Elementwise functions and row sums of the canonical arithmetic; all of it compiles to plain IEEE operations.

use super::q8::LANES;

#[cfg(test)]
mod tests;

/// 1.5 · 2²³: adding it to a float of magnitude below 2²² rounds to an integer, half to even.
const ROUNDER: f32 = 12_582_912.0;

/// Rounds to an integer, half to even; defined (if meaningless) bits outside ±2²².
#[inline(always)]
pub(crate) fn round_half_even_i32(value: f32) -> i32 {
    ((value + ROUNDER).to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32)
}

/// eˣ to about 1e-7 relative: Cephes' polynomial of degree 6 on [−ln2/2, ln2/2], in plain multiplications and
/// additions, so that it vectorises and has the same bits everywhere.
///
/// Arguments are limited to −87..=88: below, the result is e⁻⁸⁷ ≈ 1.6e-38; NaN counts as −87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let value = (p * (r * r) + r) + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32).wrapping_add(127);
    value * f32::from_bits((exponent as u32) << 23)
}

/// Adds the lanes in halves: 8, 4, 2, 1.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// RMS norm of a row: `(x · (1 / √(Σx²/n + ε))) · w`. The length must be a multiple of 16.
#[inline(always)]
pub(crate) fn rms_norm(row: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mut lanes = [0.0_f32; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    let mean = sum_lanes(lanes) / row.len() as f32;
    let inverse = 1.0 / (mean + epsilon).sqrt();
    for ((out, x), w) in out.iter_mut().zip(row).zip(weight) {
        *out = (x * inverse) * w;
    }
}

/// Layer norm of a row, in place: `μ = Σx/n`, `((x − μ) · (1 / √(Σ(x − μ)²/n + ε))) · w + b`. The length must be a multiple
/// of 16.
#[inline(always)]
pub(crate) fn layer_norm(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mut lanes = [0.0_f32; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    let mean = sum_lanes(lanes) / count;
    lanes = [0.0; LANES];
    for chunk in row.as_chunks_mut::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x -= mean;
            *lane += *x * *x;
        }
    }
    let inverse = 1.0 / (sum_lanes(lanes) / count + epsilon).sqrt();
    for ((x, w), b) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x * inverse) * w + b;
    }
}

/// The error function to about 5e-7: a rational function of degree 13 over 8, in plain operations, so that it vectorises and
/// has the same bits everywhere. Beyond ±4 it is ±1 to the last bit or two; NaN counts as −4.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = if x > -4.0 { x } else { -4.0 };
    let x = if x < 4.0 { x } else { 4.0 };
    let square = x * x;
    let mut p = -2.726_142_3e-10_f32;
    p = p * square + 2.770_681_4e-8;
    p = p * square - 2.101_024_e-6;
    p = p * square - 5.692_506_4e-5;
    p = p * square - 7.349_906_3e-4;
    p = p * square - 2.954_6e-3;
    p = p * square - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5_f32;
    q = q * square - 2.133_740_5e-4;
    q = q * square - 1.682_827e-3;
    q = q * square - 7.373_329_2e-3;
    q = q * square - 1.426_473_9e-2;
    (x * p) / q
}

/// GELU of each number, in place: `(x · 0.5) · (1 + erf(x · (1/√2)))`.
#[inline(always)]
pub(crate) fn gelu(row: &mut [f32]) {
    for x in row {
        *x = (*x * 0.5) * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// Brings a row to length 1: `x / √(Σx²)`. `None` if the length is zero or not finite. The row's own length must be a multiple
/// of 16.
#[inline(always)]
pub(crate) fn unit(row: &mut [f32]) -> Option<()> {
    let mut lanes = [0.0_f32; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    let length = sum_lanes(lanes).sqrt();
    if length == 0.0 || !length.is_finite() {
        return None;
    }
    for x in row {
        *x /= length;
    }
    Some(())
}

/// `silu(gate) · up`, into `gate`.
#[inline(always)]
pub(crate) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        *gate = (x / (1.0 + exp(-x))) * up;
    }
}

/// Adds `delta` to `row`.
#[inline(always)]
pub(crate) fn add(row: &mut [f32], delta: &[f32]) {
    for (x, d) in row.iter_mut().zip(delta) {
        *x += d;
    }
}

/// Rotates the pairs `(2i, 2i+1)` of each head by the angles of one position.
#[inline(always)]
pub(crate) fn rope(row: &mut [f32], angles: &[(f32, f32)]) {
    for head in row.chunks_exact_mut(angles.len() * 2) {
        for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
            let [a, b] = *pair;
            *pair = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

/// IEEE half to single, exact (infinities become 65536, which no table of ours holds).
#[inline(always)]
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    /// 2¹¹²: the difference of the two formats' exponent biases.
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    // The sign fills the upper bits; all of them but the first make way for the larger exponent.
    let bits = (i32::from(half.cast_signed()) << 13).cast_unsigned() & 0x8FFF_E000;
    f32::from_bits(bits) * SCALE
}

/// Single to IEEE half, round to nearest even; magnitudes above 65504 and NaN saturate.
#[inline(always)]
pub(crate) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude < SMALLEST_NORMAL_HALF {
        // 0.5 has the ulp of half's subnormals: the addition does the rounding.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits();
        return sign | subnormal as u16;
    }
    let rounded = magnitude.saturating_add(0x0FFF + ((magnitude >> 13) & 1));
    if rounded >= 0x4780_0000 {
        return sign | 0x7BFF;
    }
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

/// 2⁻¹⁴ as single-precision bits.
const SMALLEST_NORMAL_HALF: u32 = 0x3880_0000;

/// As [`f32_to_f16`], but magnitudes below 2⁻¹⁴ become zero: subnormals would make reading the cache slow.
#[inline(always)]
pub(crate) fn f32_to_f16_flushed(value: f32) -> u16 {
    if value.to_bits() & 0x7FFF_FFFF < SMALLEST_NORMAL_HALF {
        return 0;
    }
    f32_to_f16(value)
}
