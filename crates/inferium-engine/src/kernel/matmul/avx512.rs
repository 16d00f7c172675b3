//! The inner loop for AVX-512 VNNI: one instruction multiplies and adds four bytes in each of 16 rows.

use super::{Lane16, Micro};
use crate::kernel::q8::{RowBlock, TileBlock};
use std::arch::x86_64::{
    _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_load_ps,
    _mm512_load_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps,
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

/// How far ahead weights are fetched, in blocks of 576 bytes: about the latency of memory at its full rate.
const PREFETCH_BLOCKS: usize = 32;

// Plain loops over indices: closures inside array functions are not compiled for the enabled instructions, and keep the
// sums in memory instead of registers.
#[expect(clippy::needless_range_loop, reason = "see above")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run<const TILES: usize, const ROWS: usize>(
    tiles: [&[TileBlock]; TILES],
    rows: [&[RowBlock]; ROWS],
) -> [[Lane16; ROWS]; TILES] {
    let count = tiles[0].len();
    for tile in 0..TILES {
        assert!(tiles[tile].len() == count, "tiles must be of one length");
    }
    for row in 0..ROWS {
        assert!(rows[row].len() == count, "rows must be as long as tiles");
    }
    let mut outputs = [[_mm512_setzero_ps(); ROWS]; TILES];
    for block in 0..count {
        let mut sums = [[_mm512_setzero_si512(); ROWS]; TILES];
        for row in 0..ROWS {
            // SAFETY: `block` is below the length of every row, asserted above.
            let offset = _mm512_set1_epi32(unsafe { rows[row].get_unchecked(block) }.offset);
            for tile in 0..TILES {
                sums[tile][row] = offset;
            }
        }
        for group in 0..8 {
            let mut weights = [_mm512_setzero_si512(); TILES];
            for tile in 0..TILES {
                // SAFETY: `block` is below the length of every tile, asserted above. `quants[group]` is 64 bytes long and
                // 64-byte aligned, since `TileBlock` is and the scales before it take 64 bytes. A prefetch may name any
                // address.
                unsafe {
                    let address = tiles[tile].get_unchecked(block).quants[group].as_ptr();
                    weights[tile] = _mm512_load_si512(address.cast());
                    if ROWS <= 4 {
                        let ahead = address.wrapping_byte_add(PREFETCH_BLOCKS * size_of::<TileBlock>());
                        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    }
                }
            }
            for row in 0..ROWS {
                // SAFETY: `block` is below the length of every row, asserted above.
                let [a, b, c, d] = unsafe { rows[row].get_unchecked(block) }.quants[group];
                let four = _mm512_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]));
                for tile in 0..TILES {
                    sums[tile][row] = _mm512_dpbusd_epi32(sums[tile][row], weights[tile], four);
                }
            }
        }
        for tile in 0..TILES {
            // SAFETY: `block` is in range as above; `scales` is 64 bytes long and, as the first field, aligned like
            // `TileBlock`.
            let scales = unsafe { _mm512_load_ps(tiles[tile].get_unchecked(block).scales.as_ptr()) };
            for row in 0..ROWS {
                // SAFETY: `block` is below the length of every row, asserted above.
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(unsafe { rows[row].get_unchecked(block) }.scale));
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[tile][row]), scale);
                outputs[tile][row] = _mm512_add_ps(outputs[tile][row], product);
            }
        }
    }
    let mut out = [[[0.0; 16]; ROWS]; TILES];
    for tile in 0..TILES {
        for row in 0..ROWS {
            // SAFETY: the place is an array of 16 floats.
            unsafe { _mm512_storeu_ps(out[tile][row].as_mut_ptr(), outputs[tile][row]) }
        }
    }
    out
}
