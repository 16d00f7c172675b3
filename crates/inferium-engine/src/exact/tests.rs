use super::{Exact, ExactMatrix};
use crate::Tier;

fn number(index: usize) -> f32 {
    ((index * 7919 + 13) % 101) as f32 / 50.0 - 1.0
}

#[test]
fn products_have_the_same_bits_on_every_tier_and_number_of_threads() {
    let (rows, columns, count) = (37, 29, 19);
    let matrix = ExactMatrix::from_fn(rows, columns, |row, column| number(row * 31 + column));
    let x: Vec<f32> = (0..count * columns).map(number).collect();
    let mut expected = Vec::new();
    for input in x.chunks_exact(columns) {
        for row in 0..rows {
            let mut sum = 0.0_f32;
            for (column, value) in input.iter().enumerate() {
                sum += number(row * 31 + column) * value;
            }
            expected.push(sum.to_bits());
        }
    }
    for tier in Tier::available() {
        for threads in [1, 2, 3] {
            let exact = Exact::new(threads, Some(tier)).unwrap();
            let bits: Vec<u32> = exact.product(&matrix, &x).into_iter().map(f32::to_bits).collect();
            assert_eq!(bits, expected, "{tier} on {threads} threads");
        }
    }
}

#[test]
fn a_product_of_no_rows_is_empty() {
    let exact = Exact::new(1, None).unwrap();
    assert!(exact.product(&ExactMatrix::from_fn(1, 1, |_, _| 1.0), &[]).is_empty());
}

#[test]
fn pieces_are_worked_on_once_each() {
    let exact = Exact::new(3, None).unwrap();
    let mut items = vec![0_usize; 103];
    exact.for_each(&mut items, 10, |index, piece| piece.iter_mut().for_each(|item| *item += index + 1));
    assert!(items.iter().enumerate().all(|(place, item)| *item == place / 10 + 1));
}
