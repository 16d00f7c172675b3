//! The portable inner loop: the definition of the product.

use super::{Lane16, Micro};
use crate::kernel::q8::{LANES, RowBlock, TileBlock};

pub(super) struct Scalar;

impl Micro for Scalar {
    fn run<const TILES: usize, const ROWS: usize>(
        tiles: [&[TileBlock]; TILES],
        rows: [&[RowBlock]; ROWS],
    ) -> [[Lane16; ROWS]; TILES] {
        tiles.map(|tile| rows.map(|row| one(tile, row)))
    }
}

/// Sixteen outputs of one row.
fn one(tile: &[TileBlock], row: &[RowBlock]) -> Lane16 {
    let mut outputs = [0.0_f32; LANES];
    for (weights, x) in tile.iter().zip(row) {
        let mut sums = [x.offset; LANES];
        for (group, xs) in weights.quants.iter().zip(&x.quants) {
            let xs = xs.map(i32::from);
            for (sum, ws) in sums.iter_mut().zip(group) {
                let [a, b, c, d] = ws.map(i32::from);
                // 32 products below 2¹⁵ cannot overflow; wrapping spares the check.
                *sum = sum.wrapping_add(
                    (a.wrapping_mul(xs[0]).wrapping_add(b.wrapping_mul(xs[1])))
                        .wrapping_add(c.wrapping_mul(xs[2]).wrapping_add(d.wrapping_mul(xs[3]))),
                );
            }
        }
        for ((output, sum), scale) in outputs.iter_mut().zip(sums).zip(weights.scales) {
            *output += (sum as f32) * (scale * x.scale);
        }
    }
    outputs
}
