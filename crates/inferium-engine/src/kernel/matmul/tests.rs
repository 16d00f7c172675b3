use super::{Lane16, matmul, untile};
use crate::kernel::q8::{BLOCK, Q8Matrix, Q8Rows, quantise_row, quantise_weights};
use crate::kernel::{Kernel, Tier};
use crate::pool::Pool;
use proptest::prelude::*;

/// Numbers in -1..1 from a seed.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / 8_388_608.0 - 1.0
        })
        .collect()
}

fn product(tier: Tier, threads: usize, weights: &Q8Matrix, x: &[f32], rows: usize) -> Vec<u32> {
    let kernel = Kernel::new(tier).unwrap();
    let pool = Pool::new(threads).unwrap();
    let columns = x.len() / rows;
    let mut inputs = Q8Rows::default();
    inputs.reshape(rows, columns);
    let blocks = inputs.blocks_per_row();
    for (row, to) in x.chunks_exact(columns).zip(inputs.blocks_mut().chunks_exact_mut(blocks)) {
        quantise_row(kernel, row, to);
    }
    let mut out: Vec<Lane16> = Vec::new();
    pool.install(|| matmul(kernel, &pool, weights, &inputs, &mut out));
    let mut flat = vec![0.0; rows * weights.rows()];
    for (row, to) in flat.chunks_exact_mut(weights.rows()).enumerate() {
        untile(&out, rows, row, 0, to);
    }
    flat.iter().map(|y| y.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn tiers_threads_and_batches_give_the_same_bits(
        rows in 1_usize..11,
        outputs in 1_usize..100,
        blocks in 1_usize..6,
        seed in any::<u64>(),
    ) {
        let columns = blocks * BLOCK;
        let bytes = quantise_weights(&numbers(seed, outputs * columns));
        let weights = Q8Matrix::pack(columns, &[&bytes]).unwrap();
        let x = numbers(seed ^ 99, rows * columns);
        let expected = product(Tier::Scalar, 1, &weights, &x, rows);
        for tier in Tier::available() {
            prop_assert_eq!(&product(tier, 1, &weights, &x, rows), &expected);
            prop_assert_eq!(&product(tier, 2, &weights, &x, rows), &expected);
            for (row, expected) in x.chunks_exact(columns).zip(expected.chunks_exact(outputs)) {
                prop_assert_eq!(&product(tier, 1, &weights, row, 1), expected);
            }
        }
    }
}

/// The largest magnitudes everywhere: where an implementation that saturates would differ.
#[test]
fn extreme_quants_do_not_saturate() {
    let columns = 64;
    for (w, x) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
        let bytes = quantise_weights(&vec![w; 16 * columns]);
        let weights = Q8Matrix::pack(columns, &[&bytes]).unwrap();
        let row = vec![x; columns];
        let expected = product(Tier::Scalar, 1, &weights, &row, 1);
        let value = f32::from_bits(expected[0]);
        assert!((value - w * x * 64.0).abs() < 0.1, "{value}");
        for tier in Tier::available() {
            assert_eq!(product(tier, 1, &weights, &row, 1), expected);
        }
    }
}

#[test]
fn the_product_is_near_the_exact_one() {
    let (outputs, columns) = (20, 576);
    let w = numbers(3, outputs * columns);
    let x = numbers(4, columns);
    let weights = Q8Matrix::pack(columns, &[&quantise_weights(&w)]).unwrap();
    let y = product(Tier::detect(), 1, &weights, &x, 1);
    for (y, w) in y.iter().zip(w.chunks_exact(columns)) {
        let exact: f64 = w.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        assert!((f64::from(f32::from_bits(*y)) - exact).abs() < 0.3, "{exact}");
    }
}
