use super::{BLOCK, Q8_0_BYTES, Q8Matrix, RowBlock, quantise_row, quantise_weights, sanitise_weights};
use crate::kernel::{Kernel, Tier};
use proptest::prelude::*;

proptest! {
    #[test]
    fn activations_quantise_alike_on_every_tier(bits in prop::collection::vec(any::<u32>(), BLOCK * 2)) {
        // Any bits at all, also infinities and NaN.
        let row: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
        let quantise = |tier| {
            let mut blocks = [RowBlock::ZERO; 2];
            quantise_row(Kernel::new(tier).unwrap(), &row, &mut blocks);
            blocks.map(|b| (b.quants, b.scale.to_bits(), b.offset))
        };
        for tier in Tier::available() {
            prop_assert_eq!(quantise(tier), quantise(Tier::Scalar));
        }
    }

    #[test]
    fn quantising_is_near(row in prop::collection::vec(-8.0_f32..8.0, BLOCK)) {
        let mut blocks = [RowBlock::ZERO];
        quantise_row(Kernel::new(Tier::Scalar).unwrap(), &row, &mut blocks);
        let [block] = blocks;
        let mut sum = 0;
        for (quant, x) in block.quants.as_flattened().iter().zip(&row) {
            prop_assert!((f32::from(*quant) * block.scale - x).abs() <= block.scale * 0.5001);
            sum += i32::from(*quant);
        }
        prop_assert_eq!(block.offset, -128 * sum);
    }

    #[test]
    fn packed_rows_come_back(rows in 1_usize..40, seed in any::<u64>()) {
        let columns = 64;
        let weights = crate::kernel::matmul::tests::numbers(seed, rows * columns);
        let matrix = Q8Matrix::pack(columns, &[&quantise_weights(&weights)]).unwrap();
        for (row, expected) in weights.chunks_exact(columns).enumerate() {
            let mut out = vec![0.0; columns];
            matrix.dequantise_row(row, &mut out);
            for (a, b) in out.iter().zip(expected) {
                prop_assert!((a - b).abs() < 0.005);
            }
        }
    }
}

#[test]
fn half_is_rounded_to_even() {
    let mut row = [0.0; BLOCK];
    row[..5].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -2.5]);
    let mut blocks = [RowBlock::ZERO];
    quantise_row(Kernel::new(Tier::Scalar).unwrap(), &row, &mut blocks);
    assert_eq!(blocks[0].quants.as_flattened()[..5], [127, 0, 2, 2, -2]);
    assert_eq!(blocks[0].scale, 1.0);
}

#[test]
fn weights_round_half_away_and_keep_the_layout() {
    let mut weights = [0.0; BLOCK];
    weights[..4].copy_from_slice(&[-127.0, 0.5, 1.5, -2.5]);
    let bytes = quantise_weights(&weights);
    assert_eq!(bytes.len(), Q8_0_BYTES);
    // 1.0 as f16 is 0x3C00.
    assert_eq!(bytes[..6], [0x00, 0x3C, 129, 1, 2, 253]);
}

#[test]
fn stacked_parts_keep_their_order_and_odd_sizes_are_refused() {
    let (a, b) = (quantise_weights(&[1.0; 32]), quantise_weights(&[-1.0; 64]));
    let matrix = Q8Matrix::pack(32, &[&a, &b]).unwrap();
    assert_eq!((matrix.rows(), matrix.tiles()), (3, 1));
    let mut out = [0.0; 32];
    matrix.dequantise_row(2, &mut out);
    assert!(out.iter().all(|x| (x + 1.0).abs() < 0.001));
    assert!(Q8Matrix::pack(33, &[&a]).is_none());
    assert!(Q8Matrix::pack(0, &[&a]).is_none());
    assert!(Q8Matrix::pack(64, &[&a]).is_none());
}

#[test]
fn the_quant_that_no_tier_can_negate_is_replaced() {
    let mut bytes = quantise_weights(&[1.0; 32]);
    bytes[5] = 0x80;
    sanitise_weights(&mut bytes);
    assert_eq!(bytes[5], 0x81);
    // The scale's bytes are no quants.
    bytes[0] = 0x80;
    sanitise_weights(&mut bytes);
    assert_eq!(bytes[0], 0x80);
}
