//! The matrix product `y = x · Wᵀ` over single-precision numbers: each output is `y = 0; for k in order { y = y + w · x }`.

use super::matmul::Lane16;
use super::q8::LANES;
use super::{Kernel, Tier};
use crate::pool::Pool;

#[cfg(test)]
mod tests;

/// One column of a tile: the weights of sixteen neighbouring outputs for the same input.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Column([f32; LANES]);

/// A weight matrix of `rows` outputs by `columns` inputs, in tiles of 16 rows.
#[derive(Debug, Default)]
pub(crate) struct DenseMatrix {
    rows: usize,
    columns: usize,
    /// Tile by tile, each with its columns in order.
    tiles: Vec<Column>,
}

impl DenseMatrix {
    /// A matrix whose weight for output `row` and input `column` is `weight(row, column)`. Rows beyond the last are zero up to
    /// a full tile. There must be at least one column.
    pub(crate) fn from_fn(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut matrix = Self { rows, columns, tiles: Vec::new() };
        matrix.tiles.resize(matrix.tile_count() * columns, Column([0.0; LANES]));
        for (tile, tile_columns) in matrix.tiles.chunks_exact_mut(columns).enumerate() {
            let first = tile * LANES;
            for (input, column) in tile_columns.iter_mut().enumerate() {
                for (lane, value) in column.0.iter_mut().enumerate().take(rows - first) {
                    *value = weight(first + lane, input);
                }
            }
        }
        matrix
    }

    /// Outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    fn tile_count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    #[inline(always)]
    fn tile(&self, tile: usize) -> &[Column] {
        &self.tiles[tile * self.columns..][..self.columns]
    }
}

/// Input rows, each beginning `stride` numbers after the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    fn count(self) -> usize {
        self.values.len() / self.stride
    }

    #[inline(always)]
    fn row(self, row: usize, columns: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..columns]
    }
}

/// The product of all rows with all tiles, tile-major as [`super::matmul::matmul`]'s: output `n` of row `m` is
/// `out[(n / 16) · rows + m][n % 16]`.
///
/// Rows must be at least as long as the matrix has columns. Must be called inside [`Pool::install`].
pub(crate) fn product(kernel: Kernel, pool: &Pool, weights: &DenseMatrix, x: Rows<'_>) -> Vec<Lane16> {
    let rows = x.count();
    let mut out = vec![[0.0; LANES]; weights.tile_count() * rows];
    // Four pieces a thread balance the load.
    let tiles_per_task = weights.tile_count().div_ceil(pool.threads() * 4).next_multiple_of(2);
    pool.for_each_chunk(&mut out, tiles_per_task * rows, |task, out| {
        tiles(kernel, weights, x, task * tiles_per_task, out);
    });
    out
}

/// [`product`] on the calling thread.
pub(crate) fn product_here(kernel: Kernel, weights: &DenseMatrix, x: Rows<'_>) -> Vec<Lane16> {
    let mut out = vec![[0.0; LANES]; weights.tile_count() * x.count()];
    tiles(kernel, weights, x, 0, &mut out);
    out
}

/// All rows times the tiles from `first` on, as many as `out` holds.
fn tiles(kernel: Kernel, weights: &DenseMatrix, x: Rows<'_>, first: usize, out: &mut [Lane16]) {
    // How many outputs are computed together never shows in them; it is what each tier's registers hold.
    match kernel.tier() {
        Tier::Scalar => kernel.run(
            #[inline(always)]
            || shaped::<1, 2>(weights, x, first, out),
        ),
        Tier::Avx2 => kernel.run(
            #[inline(always)]
            || shaped::<1, 4>(weights, x, first, out),
        ),
        Tier::Avx512Vnni => kernel.run(
            #[inline(always)]
            || shaped::<2, 8>(weights, x, first, out),
        ),
    }
}

/// [`tiles`] in blocks of `TILES` tiles and `ROWS` rows, and smaller ones at the ends.
#[inline(always)]
fn shaped<const TILES: usize, const ROWS: usize>(weights: &DenseMatrix, x: Rows<'_>, first: usize, out: &mut [Lane16]) {
    let rows = x.count();
    let count = out.len().checked_div(rows).unwrap_or(0);
    let mut tile = 0;
    while tile < count {
        let to = &mut out[tile * rows..];
        if tile + TILES <= count {
            strip::<TILES, ROWS>(weights, x, first + tile, to);
            tile += TILES;
        } else {
            strip::<1, ROWS>(weights, x, first + tile, to);
            tile += 1;
        }
    }
}

/// All rows times `TILES` tiles.
#[inline(always)]
fn strip<const TILES: usize, const ROWS: usize>(weights: &DenseMatrix, x: Rows<'_>, first: usize, out: &mut [Lane16]) {
    let rows = x.count();
    let mut row = 0;
    while row + ROWS <= rows {
        block::<TILES, ROWS>(weights, x, first, row, out);
        row += ROWS;
    }
    if ROWS > 4 && row + 4 <= rows {
        block::<TILES, 4>(weights, x, first, row, out);
        row += 4;
    }
    if ROWS > 2 && row + 2 <= rows {
        block::<TILES, 2>(weights, x, first, row, out);
        row += 2;
    }
    while row < rows {
        block::<TILES, 1>(weights, x, first, row, out);
        row += 1;
    }
}

/// `TILES` tiles times `ROWS` rows: each output is a sum in the order of the columns.
#[inline(always)]
fn block<const TILES: usize, const ROWS: usize>(
    weights: &DenseMatrix,
    x: Rows<'_>,
    first: usize,
    row: usize,
    out: &mut [Lane16],
) {
    let columns = weights.columns;
    let tiles: [&[Column]; TILES] = std::array::from_fn(
        #[inline(always)]
        |tile| weights.tile(first + tile),
    );
    let inputs: [&[f32]; ROWS] = std::array::from_fn(
        #[inline(always)]
        |index| x.row(row + index, columns),
    );
    let mut sums = [[[0.0_f32; LANES]; ROWS]; TILES];
    for column in 0..columns {
        for (sums, tile) in sums.iter_mut().zip(&tiles) {
            let weights = tile[column].0;
            for (sums, input) in sums.iter_mut().zip(&inputs) {
                let value = input[column];
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += weight * value;
                }
            }
        }
    }
    let rows = x.count();
    for (tile, sums) in sums.iter().enumerate() {
        out[tile * rows + row..][..ROWS].copy_from_slice(sums);
    }
}
