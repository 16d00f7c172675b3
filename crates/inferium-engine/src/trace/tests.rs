use super::{Tracer, cache_cell, row_cell, token_cell};
use crate::pool::Pool;
use inferium_types::Digest;

#[test]
fn a_cell_tells_every_bit_apart() {
    assert_ne!(row_cell(&[0.0, 1.0]), row_cell(&[-0.0, 1.0]));
    assert_ne!(row_cell(&[1.0]), row_cell(&[f32::from_bits(1.0_f32.to_bits() + 1)]));
    assert_ne!(row_cell(&[1.0]), row_cell(&[1.0, 0.0]));
    assert_eq!(row_cell(&[1.0, 2.0]), row_cell(&[1.0, 2.0]));
    assert_ne!(token_cell(1), token_cell(2));
    // What the cache rounds away is not there.
    assert_eq!(cache_cell(&[1.0], &[2.0]), cache_cell(&[1.000_01], &[2.0]));
    assert_ne!(cache_cell(&[1.0], &[2.0]), cache_cell(&[2.0], &[1.0]));
}

#[test]
fn only_traced_rows_are_noted_each_in_its_order() {
    let pool = Pool::new(2).unwrap();
    let mut tracer = Tracer::default();
    tracer.begin([0, 2].into_iter());
    let stream = [1.0, 2.0, 3.0];
    pool.install(|| tracer.stream(&pool, &stream, 1));
    for row in 0..3 {
        tracer.cached(row, &[row as f32], &[0.0]);
    }
    pool.install(|| tracer.left_out(&pool, &stream, 1));
    tracer.head(1, &[9.0]);
    tracer.head(2, &[9.0]);
    let (first, third) = (row_cell(&[1.0]), row_cell(&[3.0]));
    assert_eq!(
        tracer.take(),
        [
            (0, vec![first, cache_cell(&[0.0], &[0.0]), Digest::ZERO, first, first]),
            (2, vec![third, cache_cell(&[2.0], &[0.0]), Digest::ZERO, third, third, row_cell(&[9.0])]),
        ]
    );
    tracer.begin(std::iter::empty());
    pool.install(|| tracer.stream(&pool, &stream, 1));
    assert_eq!(tracer.take(), []);
}
