//! Eight-bit blocks: weights as Q8_0 repacked for the matrix product, activations quantised per row.

use super::Kernel;
use super::math::{f16_to_f32, f32_to_f16, round_half_even_i32};

#[cfg(test)]
mod tests;

/// Values of one quantisation block, along `k`.
pub(crate) const BLOCK: usize = 32;

/// Output rows interleaved in one tile: the 32-bit lanes of a 512-bit register.
pub(crate) const LANES: usize = 16;

/// Bytes of one Q8_0 block as stored and hashed: the f16 scale, then 32 quants.
pub(crate) const Q8_0_BYTES: usize = 2 + BLOCK;

/// One block of 16 output rows: `quants[group][row][i]` is `w + 128` at `k = 4·group + i`, so that one 512-bit load
/// brings four consecutive weights of every row, unsigned as the VNNI instruction wants its first factor.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct TileBlock {
    pub(crate) scales: [f32; LANES],
    pub(crate) quants: [[[u8; 4]; LANES]; BLOCK / 4],
}

impl TileBlock {
    const ZERO: Self = Self { scales: [0.0; LANES], quants: [[[128; 4]; LANES]; BLOCK / 4] };
}

/// A weight matrix of `rows` outputs by `columns` inputs, in tiles of 16 rows.
#[derive(Debug)]
pub(crate) struct Q8Matrix {
    rows: usize,
    columns: usize,
    /// Tile by tile, each with its blocks in the order of `k`.
    blocks: Vec<TileBlock>,
}

impl Q8Matrix {
    /// Stacks matrices of `columns` inputs, each given as row-major Q8_0 bytes, on top of each other.
    ///
    /// Rows beyond the last are zero up to a full tile. `None` if a size does not fit.
    pub(crate) fn pack(columns: usize, parts: &[&[u8]]) -> Option<Self> {
        if columns == 0 || !columns.is_multiple_of(BLOCK) {
            return None;
        }
        let blocks_per_row = columns / BLOCK;
        let row_bytes = blocks_per_row * Q8_0_BYTES;
        if parts.iter().any(|part| part.len() % row_bytes != 0) {
            return None;
        }
        let rows = parts.iter().map(|part| part.len() / row_bytes).sum::<usize>();
        let mut blocks = vec![TileBlock::ZERO; rows.div_ceil(LANES) * blocks_per_row];
        let row_slices = parts.iter().flat_map(|part| part.chunks_exact(row_bytes));
        for (row, bytes) in row_slices.enumerate() {
            let tile = &mut blocks[(row / LANES) * blocks_per_row..][..blocks_per_row];
            for (block, bytes) in tile.iter_mut().zip(bytes.chunks_exact(Q8_0_BYTES)) {
                put_row(block, row % LANES, bytes);
            }
        }
        Some(Self { rows, columns, blocks })
    }

    #[cfg(test)]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// How many tiles of 16 rows there are.
    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The blocks of a tile, in the order of `k`.
    #[inline(always)]
    pub(crate) fn tile(&self, tile: usize) -> &[TileBlock] {
        let count = self.columns / BLOCK;
        &self.blocks[tile * count..][..count]
    }

    /// Writes one row as floats: `quant · scale`.
    pub(crate) fn dequantise_row(&self, row: usize, out: &mut [f32]) {
        let lane = row % LANES;
        for (block, out) in self.tile(row / LANES).iter().zip(out.chunks_exact_mut(BLOCK)) {
            let scale = block.scales[lane];
            for (four, out) in block.quants.iter().zip(out.chunks_exact_mut(4)) {
                for (&quant, out) in four[lane].iter().zip(out) {
                    *out = (f32::from(quant) - 128.0) * scale;
                }
            }
        }
    }
}

fn put_row(block: &mut TileBlock, lane: usize, bytes: &[u8]) {
    block.scales[lane] = f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]));
    for (group, four) in block.quants.iter_mut().zip(bytes[2..].chunks_exact(4)) {
        for (to, &from) in group[lane].iter_mut().zip(four) {
            *to = from ^ 0x80;
        }
    }
}

/// Quantises weights to row-major Q8_0 bytes; the length must be a multiple of 32.
pub(crate) fn quantise_weights(weights: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(weights.len() / BLOCK * Q8_0_BYTES);
    for block in weights.chunks_exact(BLOCK) {
        let largest = block.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        let scale = f32_to_f16(largest / 127.0);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        bytes.extend_from_slice(&scale.to_le_bytes());
        for weight in block {
            let quant = (weight * inverse).round().clamp(-127.0, 127.0) as i8;
            bytes.push(quant.cast_unsigned());
        }
    }
    bytes
}

/// Makes foreign Q8_0 bytes safe for every tier: the quant −128, which no quantiser writes, becomes −127.
pub(crate) fn sanitise_weights(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(Q8_0_BYTES) {
        for quant in &mut block[2..] {
            if *quant == 0x80 {
                *quant = 0x81;
            }
        }
    }
}

/// One quantised block of an activation row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct RowBlock {
    pub(crate) quants: [[i8; 4]; BLOCK / 4],
    pub(crate) scale: f32,
    /// `−128 · Σ quants`: what the unsigned form of the weights adds too much.
    pub(crate) offset: i32,
}

impl RowBlock {
    const ZERO: Self = Self { quants: [[0; 4]; BLOCK / 4], scale: 0.0, offset: 0 };
}

/// Quantised activation rows of equal length.
#[derive(Debug, Default)]
pub(crate) struct Q8Rows {
    blocks_per_row: usize,
    blocks: Vec<RowBlock>,
}

impl Q8Rows {
    /// Sets the shape; the contents are undefined until each row is written.
    pub(crate) fn reshape(&mut self, rows: usize, columns: usize) {
        self.blocks_per_row = columns / BLOCK;
        self.blocks.resize(rows * self.blocks_per_row, RowBlock::ZERO);
    }

    pub(crate) fn rows(&self) -> usize {
        self.blocks.len().checked_div(self.blocks_per_row).unwrap_or(0)
    }

    pub(crate) fn blocks_per_row(&self) -> usize {
        self.blocks_per_row
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &[RowBlock] {
        &self.blocks[row * self.blocks_per_row..][..self.blocks_per_row]
    }

    /// The blocks of all rows, for writing row by row.
    pub(crate) fn blocks_mut(&mut self) -> &mut [RowBlock] {
        &mut self.blocks
    }
}

/// Quantises one activation row into its blocks.
pub(crate) fn quantise_row(kernel: Kernel, row: &[f32], blocks: &mut [RowBlock]) {
    kernel.run(
        #[inline(always)]
        || {
            for (block, values) in blocks.iter_mut().zip(row.chunks_exact(BLOCK)) {
                quantise_block(values, block);
            }
        },
    );
}

/// [`quantise_row`] with one scale for the whole row: a deviation that is not canonical.
pub(crate) fn quantise_row_coarsely(row: &[f32], blocks: &mut [RowBlock]) {
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let step = if scale > 0.0 { scale } else { 1.0 };
    for (block, values) in blocks.iter_mut().zip(row.chunks_exact(BLOCK)) {
        let mut sum = 0_i32;
        for (quant, value) in block.quants.as_flattened_mut().iter_mut().zip(values) {
            let rounded = round_half_even_i32(value / step).clamp(-127, 127);
            sum = sum.wrapping_add(rounded);
            *quant = rounded as i8;
        }
        block.scale = scale;
        block.offset = sum.wrapping_mul(-128);
    }
}

#[inline(always)]
fn quantise_block(values: &[f32], block: &mut RowBlock) {
    // The bits of non-negative floats order like the floats; an integer maximum has no order of its own to define.
    let mut largest_bits = 0_u32;
    for value in values {
        largest_bits = largest_bits.max(value.to_bits() & 0x7FFF_FFFF);
    }
    let largest = f32::from_bits(largest_bits);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut sum = 0_i32;
    let mut flat = [0_i8; BLOCK];
    for (quant, value) in flat.iter_mut().zip(values) {
        let rounded = round_half_even_i32(value * inverse).clamp(-127, 127);
        sum = sum.wrapping_add(rounded);
        *quant = rounded as i8;
    }
    let (fours, _) = flat.as_chunks::<4>();
    block.quants.copy_from_slice(fours);
    block.scale = largest / 127.0;
    block.offset = sum.wrapping_mul(-128);
}
