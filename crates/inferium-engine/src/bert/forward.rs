//! The forward pass over one text.

use super::weights::{Layer, Linear, Norm, Weights};
use crate::kernel::dense::{Rows, product};
use crate::kernel::matmul::{Lane16, untile};
use crate::kernel::{Kernel, full_attention, math};
use crate::pool::Pool;
use crate::{EngineError, TextVector};
use inferium_types::Digest;

/// The forward pass: what it needs besides a text.
#[derive(Debug)]
pub(crate) struct Forward {
    weights: Weights,
    kernel: Kernel,
    pool: Pool,
    /// Layers that are left out at the end: a deviation that is not canonical.
    skipped_layers: usize,
}

/// Rows that one task between products works on.
const ROWS_PER_TASK: usize = 16;

impl Forward {
    pub(crate) fn new(weights: Weights, kernel: Kernel, pool: Pool, skipped_layers: usize) -> Self {
        Self { weights, kernel, pool, skipped_layers }
    }

    /// The vectors of texts, each of them alone: shape `[width]`, length 1. A text's tokens are in the vocabulary, and no more
    /// than there are positions.
    ///
    /// # Errors
    /// [`EngineError::NotFinite`] for a text whose numbers leave the range of floats.
    pub(crate) fn vectors(&self, texts: &[&[u32]]) -> Vec<Result<TextVector, EngineError>> {
        let mut results = vec![Err(EngineError::NotFinite); texts.len()];
        self.pool.install(|| {
            self.pool.for_each_chunk(&mut results, 1, |index, result| {
                for result in result {
                    *result = self.vector(texts[index]);
                }
            });
        });
        results
    }

    fn vector(&self, tokens: &[u32]) -> Result<TextVector, EngineError> {
        let mut stream = self.embed(tokens);
        let count = self.weights.layers.len().saturating_sub(self.skipped_layers);
        for layer in self.weights.layers.iter().take(count) {
            self.attention(layer, &mut stream);
            self.feed_forward(layer, &mut stream);
        }
        let mut values = self.mean(&stream);
        let unit = self.kernel.run(
            #[inline(always)]
            || math::unit(&mut values),
        );
        unit.map(|()| TextVector { values, states: states_digest(&stream) }).ok_or(EngineError::NotFinite)
    }

    fn width(&self) -> usize {
        self.weights.config.width
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let (weights, width) = (&self.weights, self.width());
        let mut stream = vec![0.0; tokens.len() * width];
        let rows = stream.chunks_exact_mut(width).zip(tokens).zip(weights.positions.chunks_exact(width));
        for ((row, &token), position) in rows {
            let word = &weights.words[token as usize * width..][..width];
            for (((x, word), kind), position) in row.iter_mut().zip(word).zip(&weights.kind).zip(position) {
                *x = (word + kind) + position;
            }
        }
        self.normalise(&mut stream, &weights.embedding_norm);
        stream
    }

    fn attention(&self, layer: &Layer, stream: &mut [f32]) {
        let (width, size) = (self.width(), self.weights.config.head_size());
        let rows = stream.len() / width;
        let product = self.product(&layer.query_key_value, stream);
        // Head by head: queries, keys and values of all rows, then the answers.
        let mut heads = vec![0.0; rows * width];
        self.pool.for_each_chunk(&mut heads, rows * size, |head, out| {
            let part = |part: usize| {
                let first = part * width + head * size;
                let bias = &layer.query_key_value.bias[first..][..size];
                let mut values = vec![0.0; rows * size];
                for (row, values) in values.chunks_exact_mut(size).enumerate() {
                    untile(&product, rows, row, first, values);
                    math::add(values, bias);
                }
                values
            };
            let [queries, keys, values] = [0, 1, 2].map(part);
            full_attention::attend(self.kernel, size, &queries, &keys, &values, out);
        });
        let mut attended = vec![0.0; rows * width];
        for (head, answers) in heads.chunks_exact(rows * size).enumerate() {
            for (row, answer) in attended.chunks_exact_mut(width).zip(answers.chunks_exact(size)) {
                row[head * size..][..size].copy_from_slice(answer);
            }
        }
        self.add_and_normalise(&layer.attention_output, &attended, &layer.attention_norm, stream);
    }

    fn feed_forward(&self, layer: &Layer, stream: &mut [f32]) {
        let hidden = self.weights.config.hidden;
        let rows = stream.len() / self.width();
        let product = self.product(&layer.up, stream);
        let mut inner = vec![0.0; rows * hidden];
        self.for_rows(&mut inner, hidden, |row, inner| {
            untile(&product, rows, row, 0, inner);
            self.kernel.run(
                #[inline(always)]
                || {
                    math::add(inner, &layer.up.bias);
                    math::gelu(inner);
                },
            );
        });
        self.add_and_normalise(&layer.down, &inner, &layer.output_norm, stream);
    }

    /// `norm((product + bias) + stream)`, into the stream.
    fn add_and_normalise(&self, linear: &Linear, input: &[f32], norm: &Norm, stream: &mut [f32]) {
        let (width, epsilon) = (self.width(), self.weights.config.norm_epsilon);
        let rows = stream.len() / width;
        let product = self.product(linear, input);
        self.for_rows(stream, width, |row, stream| {
            let mut sum = vec![0.0; width];
            untile(&product, rows, row, 0, &mut sum);
            self.kernel.run(
                #[inline(always)]
                || {
                    math::add(&mut sum, &linear.bias);
                    math::add(stream, &sum);
                    math::layer_norm(stream, &norm.weight, &norm.bias, epsilon);
                },
            );
        });
    }

    fn normalise(&self, stream: &mut [f32], norm: &Norm) {
        let epsilon = self.weights.config.norm_epsilon;
        self.for_rows(stream, self.width(), |_, row| {
            self.kernel.run(
                #[inline(always)]
                || math::layer_norm(row, &norm.weight, &norm.bias, epsilon),
            );
        });
    }

    fn product(&self, linear: &Linear, input: &[f32]) -> Vec<Lane16> {
        let stride = linear.weight.columns();
        product(self.kernel, &self.pool, &linear.weight, Rows { values: input, stride })
    }

    /// The mean of the rows.
    fn mean(&self, stream: &[f32]) -> Vec<f32> {
        let width = self.width();
        let mut mean = vec![0.0; width];
        for row in stream.chunks_exact(width) {
            math::add(&mut mean, row);
        }
        let count = (stream.len() / width) as f32;
        mean.iter_mut().for_each(|x| *x /= count);
        mean
    }

    /// `work(row, numbers)` for each row of `size` numbers.
    fn for_rows(&self, items: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
        self.pool.for_each_chunk(items, size * ROWS_PER_TASK, |task, rows| {
            for (index, row) in rows.chunks_exact_mut(size).enumerate() {
                work(task * ROWS_PER_TASK + index, row);
            }
        });
    }
}

/// The digest of all rows' bits.
fn states_digest(stream: &[f32]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"inferium/states/1\0");
    for number in stream {
        hasher.update(&number.to_le_bytes());
    }
    Digest::from(*hasher.finalize().as_bytes())
}
