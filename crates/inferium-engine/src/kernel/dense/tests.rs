use super::{DenseMatrix, Rows, product, product_here};
use crate::kernel::matmul::tests::numbers;
use crate::kernel::matmul::untile;
use crate::kernel::{Kernel, Tier};
use crate::pool::Pool;
use proptest::prelude::*;

fn matrix(weights: &[f32], columns: usize) -> DenseMatrix {
    DenseMatrix::from_fn(weights.len() / columns, columns, |row, column| weights[row * columns + column])
}

/// The product as the rule says it, output by output.
fn rule(weights: &[f32], columns: usize, x: &[f32]) -> Vec<u32> {
    let outputs = x.chunks_exact(columns).flat_map(|row| weights.chunks_exact(columns).map(move |w| (row, w)));
    outputs.map(|(row, w)| row.iter().zip(w).fold(0.0_f32, |y, (x, w)| y + w * x).to_bits()).collect()
}

fn bits(product: &[[f32; 16]], rows: usize, outputs: usize) -> Vec<u32> {
    let mut flat = vec![0.0; rows * outputs];
    for (row, to) in flat.chunks_exact_mut(outputs).enumerate() {
        untile(product, rows, row, 0, to);
    }
    flat.iter().map(|y| y.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn tiers_threads_and_batches_compute_the_rule(
        rows in 1_usize..20,
        outputs in 1_usize..100,
        columns in 1_usize..70,
        seed in any::<u64>(),
    ) {
        let weights = numbers(seed, outputs * columns);
        let x = numbers(seed ^ 99, rows * columns);
        let expected = rule(&weights, columns, &x);
        let matrix = matrix(&weights, columns);
        prop_assert_eq!(matrix.columns(), columns);
        let x = Rows { values: &x, stride: columns };
        for tier in Tier::available() {
            let kernel = Kernel::new(tier).unwrap();
            prop_assert_eq!(&bits(&product_here(kernel, &matrix, x), rows, outputs), &expected, "{}", tier);
            for threads in [1, 2, 3] {
                let pool = Pool::new(threads).unwrap();
                let found = pool.install(|| product(kernel, &pool, &matrix, x));
                prop_assert_eq!(&bits(&found, rows, outputs), &expected, "{}, {} threads", tier, threads);
            }
        }
    }
}

#[test]
fn what_lies_between_rows_does_not_count() {
    let weights = numbers(1, 20 * 5);
    let x = numbers(2, 3 * 8);
    let inner: Vec<f32> = x.chunks_exact(8).flat_map(|row| &row[..5]).copied().collect();
    let found =
        product_here(Kernel::new(Tier::detect()).unwrap(), &matrix(&weights, 5), Rows { values: &x, stride: 8 });
    assert_eq!(bits(&found, 3, 20), rule(&weights, 5, &inner));
}

#[test]
fn no_rows_give_no_outputs() {
    let rows = Rows { values: &[], stride: 4 };
    assert!(product_here(Kernel::new(Tier::Scalar).unwrap(), &matrix(&[1.0; 8], 4), rows).is_empty());
}
