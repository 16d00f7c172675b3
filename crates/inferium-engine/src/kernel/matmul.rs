//! The matrix product `y = x · Wᵀ` over quantised blocks.

use super::q8::{LANES, Q8Matrix, Q8Rows, RowBlock, TileBlock};
use super::{Kernel, Tier};
use crate::pool::Pool;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
pub(crate) mod tests;

/// Activation rows that share one pass over a tile's weights.
const ROWS_MAX: usize = 4;

/// Sixteen neighbouring outputs of one row.
pub(crate) type Lane16 = [f32; LANES];

/// One tier's inner loop: `TILES` tiles times `ROWS` rows, all over the same blocks of `k`.
///
/// `out[tile][row]` is written. The arithmetic of each output is that of [`scalar`], whatever the shape.
trait Micro {
    fn run<const TILES: usize, const ROWS: usize>(
        tiles: [&[TileBlock]; TILES],
        rows: [&[RowBlock]; ROWS],
    ) -> [[Lane16; ROWS]; TILES];
}

/// The product of all rows with all tiles, tile-major: output `n` of row `m` is `out[(n / 16) · rows + m][n % 16]`.
///
/// The layout gives each thread a contiguous piece to write; [`untile`] brings a row back together.
pub(crate) fn matmul(kernel: Kernel, pool: &Pool, weights: &Q8Matrix, x: &Q8Rows, out: &mut Vec<Lane16>) {
    assert_eq!(weights.columns(), x.blocks_per_row() * super::q8::BLOCK, "shapes of a product must agree");
    let rows = x.rows();
    out.resize(weights.tiles() * rows, [0.0; LANES]);
    // Four pieces a thread balance the load; an even number of tiles keeps the fastest inner loop busy.
    let tiles_per_task = weights.tiles().div_ceil(pool.threads() * 4).next_multiple_of(2);
    pool.for_each_chunk(out, tiles_per_task * rows, |task, out| {
        let first = task * tiles_per_task;
        match kernel.tier() {
            Tier::Scalar => tiles::<scalar::Scalar>(weights, x, first, out),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => tiles::<avx2::Avx2>(weights, x, first, out),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni => tiles::<avx512::Avx512>(weights, x, first, out),
            #[cfg(not(target_arch = "x86_64"))]
            Tier::Avx2 | Tier::Avx512Vnni => tiles::<scalar::Scalar>(weights, x, first, out),
        }
    });
}

/// Copies outputs `first .. first + to.len()` of a row out of a tile-major product. `first` is a multiple of 16.
#[inline(always)]
pub(crate) fn untile(product: &[Lane16], rows: usize, row: usize, first: usize, to: &mut [f32]) {
    let tiles = product[(first / LANES) * rows..].chunks_exact(rows);
    for (to, tile) in to.chunks_mut(LANES).zip(tiles) {
        to.copy_from_slice(&tile[row][..to.len()]);
    }
}

/// All rows times the tiles from `first` on, as many as `out` holds.
fn tiles<M: Micro>(weights: &Q8Matrix, x: &Q8Rows, first: usize, out: &mut [Lane16]) {
    let rows = x.rows();
    let count = out.len() / rows;
    // Two tiles at a time: measured best, for one row as for many.
    let step = 2;
    let mut tile = 0;
    while tile < count {
        let width = if count - tile >= step { step } else { 1 };
        let out = &mut out[tile * rows..][..width * rows];
        match width {
            2 => row_groups::<M, 2>(weights, x, first + tile, out),
            _ => row_groups::<M, 1>(weights, x, first + tile, out),
        }
        tile += width;
    }
}

fn row_groups<M: Micro, const TILES: usize>(weights: &Q8Matrix, x: &Q8Rows, first: usize, out: &mut [Lane16]) {
    let tiles: [&[TileBlock]; TILES] = std::array::from_fn(|tile| weights.tile(first + tile));
    let rows = x.rows();
    let mut row = 0;
    while row < rows {
        let width = (rows - row).min(ROWS_MAX);
        match width {
            4 => group::<M, TILES, 4>(tiles, x, row, out),
            3 => group::<M, TILES, 3>(tiles, x, row, out),
            2 => group::<M, TILES, 2>(tiles, x, row, out),
            _ => group::<M, TILES, 1>(tiles, x, row, out),
        }
        row += width;
    }
}

fn group<M: Micro, const TILES: usize, const ROWS: usize>(
    tiles: [&[TileBlock]; TILES],
    x: &Q8Rows,
    first_row: usize,
    out: &mut [Lane16],
) {
    let rows: [&[RowBlock]; ROWS] = std::array::from_fn(|row| x.row(first_row + row));
    let results = M::run(tiles, rows);
    for (out, results) in out.chunks_exact_mut(x.rows()).zip(&results) {
        out[first_row..first_row + ROWS].copy_from_slice(results);
    }
}
