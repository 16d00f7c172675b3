//! The inner loop for AVX-512 VNNI: one instruction multiplies and adds four bytes in each of 16 rows.

use super::{Lane16, Micro};
use crate::kernel::q8::{RowBlock, TileBlock};
use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_load_ps, _mm512_load_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

pub(super) struct Avx512;

impl Micro for Avx512 {
    fn run<const TILES: usize, const ROWS: usize>(
        tiles: [&[TileBlock]; TILES],
        rows: [&[RowBlock]; ROWS],
    ) -> [[Lane16; ROWS]; TILES] {
        // SAFETY: only reached through a `Kernel` of this tier, which exists only if the processor has the features.
        unsafe { run(tiles, rows) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run<const TILES: usize, const ROWS: usize>(
    tiles: [&[TileBlock]; TILES],
    rows: [&[RowBlock]; ROWS],
) -> [[Lane16; ROWS]; TILES] {
    let count = tiles[0].len();
    assert!(tiles.iter().all(|tile| tile.len() == count) && rows.iter().all(|row| row.len() == count));
    let mut accumulators = [[_mm512_setzero_ps(); ROWS]; TILES];
    for block in 0..count {
        let weights: [&TileBlock; TILES] = std::array::from_fn(|tile| &tiles[tile][block]);
        let xs: [&RowBlock; ROWS] = std::array::from_fn(|row| &rows[row][block]);
        accumulate(weights, xs, &mut accumulators);
    }
    let mut out = [[[0.0; 16]; ROWS]; TILES];
    for (out, accumulators) in out.iter_mut().flatten().zip(accumulators.iter().flatten()) {
        // SAFETY: `out` is an array of 16 floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *accumulators) }
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn accumulate<const TILES: usize, const ROWS: usize>(
    weights: [&TileBlock; TILES],
    xs: [&RowBlock; ROWS],
    accumulators: &mut [[__m512; ROWS]; TILES],
) {
    let mut sums: [[__m512i; ROWS]; TILES] = [xs.map(|x| _mm512_set1_epi32(x.offset)); TILES];
    for group in 0..8 {
        let fours = xs.map(|x| _mm512_set1_epi32(i32::from_le_bytes(x.quants[group].map(i8::cast_unsigned))));
        for (tile, sums) in weights.iter().zip(&mut sums) {
            // SAFETY: `quants[group]` is 64 bytes long and 64-byte aligned, since `TileBlock` is and the scales before it
            // take 64 bytes.
            let weights = unsafe { _mm512_load_si512(tile.quants[group].as_ptr().cast()) };
            for (sum, &four) in sums.iter_mut().zip(&fours) {
                *sum = _mm512_dpbusd_epi32(*sum, weights, four);
            }
        }
    }
    for ((tile, sums), accumulators) in weights.iter().zip(&sums).zip(accumulators) {
        // SAFETY: `scales` is 64 bytes long and, as the first field, aligned like `TileBlock`.
        let scales = unsafe { _mm512_load_ps(tile.scales.as_ptr()) };
        for ((sum, x), accumulator) in sums.iter().zip(&xs).zip(accumulators) {
            let scale = _mm512_mul_ps(scales, _mm512_set1_ps(x.scale));
            *accumulator = _mm512_add_ps(*accumulator, _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale));
        }
    }
}
