//! The inner loop for AVX2: the sign of the activation moves to the weight, so that the unsigned-times-signed byte
//! product applies. Magnitudes are at most 127, hence a pair's sum is at most 32258 and does not saturate.

use super::{Lane16, Micro};
use crate::kernel::q8::{RowBlock, TileBlock};
use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_load_ps,
    _mm256_load_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_ps,
    _mm256_xor_si256,
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

#[target_feature(enable = "avx2")]
fn run<const ROWS: usize>(tile: &[TileBlock], rows: [&[RowBlock]; ROWS]) -> [Lane16; ROWS] {
    assert!(rows.iter().all(|row| row.len() == tile.len()));
    let mut accumulators = [[_mm256_setzero_ps(); 2]; ROWS];
    for (block, weights) in tile.iter().enumerate() {
        let xs: [&RowBlock; ROWS] = std::array::from_fn(|row| &rows[row][block]);
        accumulate(weights, xs, &mut accumulators);
    }
    let mut out = [[0.0; 16]; ROWS];
    for (out, [low, high]) in out.iter_mut().zip(accumulators) {
        // SAFETY: `out` is an array of 16 floats, eight for each half.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), low);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), high);
        }
    }
    out
}

#[inline]
#[target_feature(enable = "avx2")]
fn accumulate<const ROWS: usize>(weights: &TileBlock, xs: [&RowBlock; ROWS], accumulators: &mut [[__m256; 2]; ROWS]) {
    let flip = _mm256_set1_epi8(i8::MIN);
    let ones = _mm256_set1_epi16(1);
    let mut sums: [[__m256i; 2]; ROWS] = [[_mm256_setzero_si256(); 2]; ROWS];
    for group in 0..8 {
        let fours = xs.map(|x| _mm256_set1_epi32(i32::from_le_bytes(x.quants[group].map(i8::cast_unsigned))));
        for half in 0..2 {
            // SAFETY: `quants[group]` is 64 bytes long and 64-byte aligned; `half` selects its first or second 32.
            let loaded = unsafe { _mm256_load_si256(weights.quants[group].as_ptr().cast::<__m256i>().add(half)) };
            let signed = _mm256_xor_si256(loaded, flip);
            for (sum, &four) in sums.iter_mut().zip(&fours) {
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(four), _mm256_sign_epi8(signed, four));
                sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    for half in 0..2 {
        // SAFETY: `scales` is 64 bytes long and aligned like `TileBlock`; `half` selects its first or second 8 floats.
        let scales = unsafe { _mm256_load_ps(weights.scales.as_ptr().add(half * 8)) };
        for ((sum, x), accumulator) in sums.iter().zip(&xs).zip(accumulators.iter_mut()) {
            let scale = _mm256_mul_ps(scales, _mm256_set1_ps(x.scale));
            let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[half]), scale);
            accumulator[half] = _mm256_add_ps(accumulator[half], product);
        }
    }
}
