//! The canonical single-precision arithmetic, for callers that bring their own weights: what is trained with it has the same bits
//! on every machine, tier and number of threads.

use crate::LoadError;
use crate::engine::engine_build;
use crate::kernel::dense::{DenseMatrix, Rows, product};
use crate::kernel::matmul::untile;
use crate::kernel::{ENCODER_ARITHMETIC_VERSION, Kernel, Tier, math};
use crate::pool::Pool;
use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// Rows that one task between products works on.
const ROWS_PER_TASK: usize = 16;

/// Threads and instructions that compute; neither shows in results.
#[derive(Debug)]
pub struct Exact {
    kernel: Kernel,
    pool: Pool,
}

/// A matrix of weights: `rows` outputs by `columns` inputs.
#[derive(Debug)]
pub struct ExactMatrix {
    weights: DenseMatrix,
}

impl ExactMatrix {
    /// The matrix whose weight for output `row` and input `column` is `weight(row, column)`; at least one of each.
    #[must_use]
    pub fn from_fn(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        assert!(rows > 0 && columns > 0, "a matrix of weights has rows and columns");
        Self { weights: DenseMatrix::from_fn(rows, columns, weight) }
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.weights.rows()
    }

    /// Inputs.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.weights.columns()
    }
}

impl Exact {
    /// Starts the threads; `tier` is `None` for the fastest that the processor has.
    ///
    /// # Errors
    /// [`LoadError::Tier`] if the processor has no such instructions, [`LoadError::Threads`].
    pub fn new(threads: usize, tier: Option<Tier>) -> Result<Self, LoadError> {
        let tier = tier.unwrap_or_else(Tier::detect);
        let kernel = Kernel::new(tier).ok_or(LoadError::Tier { tier })?;
        let pool = Pool::new(threads).map_err(|error| LoadError::Threads { reason: error.to_string() })?;
        Ok(Self { kernel, pool })
    }

    /// Digest of everything that can change a result: equal bits are promised between equal builds.
    #[must_use]
    pub fn build() -> Digest {
        engine_build(ENCODER_ARITHMETIC_VERSION)
    }

    /// `x · Wᵀ`: shape `[n, columns]` to `[n, rows]`, row-major. Each number is `y = 0; for k in order { y = y + w · x }`.
    #[must_use]
    pub fn product(&self, matrix: &ExactMatrix, x: &[f32]) -> Vec<f32> {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        assert!(x.len().is_multiple_of(columns), "shapes of a product must agree");
        let count = x.len() / columns;
        if count == 0 {
            return Vec::new();
        }
        self.pool.install(|| {
            let tiled = product(self.kernel, &self.pool, &matrix.weights, Rows { values: x, stride: columns });
            let mut out = vec![0.0; count * rows];
            self.pool.for_each_chunk(&mut out, rows * ROWS_PER_TASK, |task, piece| {
                for (index, row) in piece.chunks_exact_mut(rows).enumerate() {
                    untile(&tiled, count, task * ROWS_PER_TASK + index, 0, row);
                }
            });
            out
        })
    }

    /// `work(index, piece)` for each piece of `size` items, on all threads; `index` counts pieces. The pieces must not depend on
    /// each other.
    pub fn for_each<T: Send>(&self, items: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let kernel = self.kernel;
        self.pool.install(|| {
            self.pool.for_each_chunk(items, size, |index, piece| {
                kernel.run(
                    #[inline(always)]
                    || work(index, piece),
                );
            });
        });
    }
}

/// eˣ to about 1e-7 relative, with the same bits everywhere. Arguments are limited to −87..=88; NaN counts as −87.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    math::exp(x)
}
