//! Attention of every token of a text to every token of it, over single-precision keys and values.

use super::Kernel;
use super::attention::softmax;
use super::dense::{DenseMatrix, Rows, product_here};
use super::matmul::untile;
use super::q8::LANES;

#[cfg(test)]
mod tests;

/// Attends with one head. `queries`, `keys`, `values` and `out` have the shape `[tokens][size]`, row-major; the size must be a
/// multiple of 16.
///
/// Both products are [`super::dense`]'s: scores sum over the head's dimensions, answers over the tokens, each in order.
pub(crate) fn attend(kernel: Kernel, size: usize, queries: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]) {
    let tokens = keys.len() / size;
    let rows = queries.len() / size;
    let places = tokens.next_multiple_of(LANES);
    let factor = 1.0 / (size as f32).sqrt();

    let keys = DenseMatrix::from_fn(tokens, size, |token, dimension| keys[token * size + dimension]);
    let product = product_here(kernel, &keys, Rows { values: queries, stride: size });
    let mut weights = vec![0.0; rows * places];
    let mut inverses = Vec::with_capacity(rows);
    for (row, scores) in weights.chunks_exact_mut(places).enumerate() {
        untile(&product, rows, row, 0, scores);
        inverses.push(kernel.run(
            #[inline(always)]
            || {
                scores.iter_mut().for_each(|score| *score *= factor);
                1.0 / softmax(scores, tokens)
            },
        ));
    }

    let values = DenseMatrix::from_fn(size, tokens, |dimension, token| values[token * size + dimension]);
    let product = product_here(kernel, &values, Rows { values: &weights, stride: places });
    for ((row, out), inverse) in out.chunks_exact_mut(size).enumerate().zip(inverses) {
        untile(&product, rows, row, 0, out);
        out.iter_mut().for_each(|x| *x *= inverse);
    }
}
