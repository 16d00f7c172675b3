//! The inner loop for AVX2: the sign of the activation moves to the weight, so that the unsigned-times-signed byte
//! product applies. Magnitudes are at most 127, hence a pair's sum is at most 32258 and does not saturate.

use super::{Lane16, Micro};
use crate::kernel::q8::{RowBlock, TileBlock};
use std::arch::x86_64::{
    __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_load_ps, _mm256_load_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_ps, _mm256_xor_si256,
};

pub(super) struct Avx2;

impl Micro for Avx2 {
    fn run<const TILES: usize, const ROWS: usize>(
        tiles: [&[TileBlock]; TILES],
        rows: [&[RowBlock]; ROWS],
    ) -> [[Lane16; ROWS]; TILES] {
        let mut out = [[[0.0; 16]; ROWS]; TILES];
        for (tile, out) in tiles.into_iter().zip(&mut out) {
            // Half of the registers of AVX-512, half as wide: two rows of one tile at a time.
            for (rows, out) in rows.chunks(2).zip(out.chunks_mut(2)) {
                // SAFETY: only reached through a `Kernel` of this tier, which exists only if the processor has AVX2.
                unsafe {
                    match (rows, out) {
                        ([a, b], [out_a, out_b]) => [*out_a, *out_b] = run(tile, [*a, *b]),
                        ([a], [out_a]) => [*out_a] = run(tile, [*a]),
                        _ => {}
                    }
                }
            }
        }
        out
    }
}

// Plain loops over indices: closures inside array functions are not compiled for the enabled instructions.
#[expect(clippy::needless_range_loop, reason = "see above")]
#[target_feature(enable = "avx2")]
fn run<const ROWS: usize>(tile: &[TileBlock], rows: [&[RowBlock]; ROWS]) -> [Lane16; ROWS] {
    let flip = _mm256_set1_epi8(i8::MIN);
    let ones = _mm256_set1_epi16(1);
    for row in 0..ROWS {
        assert!(rows[row].len() == tile.len(), "rows must be as long as tiles");
    }
    let mut outputs = [[_mm256_setzero_ps(); 2]; ROWS];
    for (block, weights) in tile.iter().enumerate() {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for group in 0..8 {
            let address = weights.quants[group].as_ptr().cast::<__m256i>();
            // SAFETY: `quants[group]` is 64 bytes long and 64-byte aligned.
            let (low, high) = unsafe { (_mm256_load_si256(address), _mm256_load_si256(address.add(1))) };
            let (low, high) = (_mm256_xor_si256(low, flip), _mm256_xor_si256(high, flip));
            for row in 0..ROWS {
                // SAFETY: `block` is below the length of every row, asserted above.
                let [a, b, c, d] = unsafe { rows[row].get_unchecked(block) }.quants[group];
                let four = _mm256_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]));
                let magnitudes = _mm256_abs_epi8(four);
                let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(low, four));
                sums[row][0] = _mm256_add_epi32(sums[row][0], _mm256_madd_epi16(pairs, ones));
                let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(high, four));
                sums[row][1] = _mm256_add_epi32(sums[row][1], _mm256_madd_epi16(pairs, ones));
            }
        }
        for half in 0..2 {
            // SAFETY: `scales` is 64 bytes long and aligned like `TileBlock`; `half` selects its first or second 8 floats.
            let scales = unsafe { _mm256_load_ps(weights.scales.as_ptr().add(half * 8)) };
            for row in 0..ROWS {
                // SAFETY: `block` is below the length of every row, asserted above.
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(unsafe { rows[row].get_unchecked(block) }.scale));
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[row][half]), scale);
                outputs[row][half] = _mm256_add_ps(outputs[row][half], product);
            }
        }
    }
    let mut out = [[0.0; 16]; ROWS];
    for row in 0..ROWS {
        // SAFETY: the place is an array of 16 floats, eight for each half.
        unsafe {
            _mm256_storeu_ps(out[row].as_mut_ptr(), outputs[row][0]);
            _mm256_storeu_ps(out[row].as_mut_ptr().add(8), outputs[row][1]);
        }
    }
    out
}
