//! Commitments to a run that are opened piece by piece, and one tile of a run computed again from what was opened.
//!
//! Who settles a dispute over a run has neither the model nor the run, only the model's id and a [`TraceRoot`]. The
//! run's values are one stream (the input, then each node's result) under BLAKE3, whose tree shows any part of it:
//! `tree` is the hashing, `recorded` the side that has the values. An [`Outline`] is what the sizes in the model's id
//! say, and its [`Layout`] where each value stands in the stream, what it is computed from and how: sums in tiles of
//! [`TILE`] operands, so that no step reads more than a few pieces. `docs/exact.md`, section Audits, is the
//! definition.
//!
//! # Invariants
//! - Nothing that is read here is trusted: sizes, hashes, paths and values of a liar give a refusal, never a panic.
//! - [`Layout::execute`] of true operands is the interpreter's value, whatever the order of its tiles' operands in
//!   the stream.

use std::borrow::Borrow;

use crate::kernel::Engine;
use crate::model::{Model, ModelError, Shape};
use crate::run::RunError;

mod execute;
mod layout;
mod model_tree;
mod outline;
mod recorded;
mod tree;

pub use execute::Operands;
pub use layout::Layout;
pub use model_tree::{ModelTree, Rise, climb_to_id};
pub use outline::Outline;
pub use recorded::Recorded;
pub use tree::{Span, TRACE_CONTEXT, TraceRoot};

/// Values of one chunk of a trace: 1 KiB, the leaf of BLAKE3's own tree.
pub const TRACE_CHUNK: usize = 256;
/// Hashes shown at once.
pub const SHOWN_MAX: usize = 1024;
/// Operands of one tile of a sum.
pub const TILE: usize = 64;
/// Partial sums of one value at most: a model with longer sums has no [`Layout`].
pub const SUMS_MAX: usize = 8192;

impl<M: Borrow<Model>> Engine<M> {
    /// The output of a run and the commitment to all its values, without keeping them: what [`Recorded::root`] gives
    /// of the run.
    ///
    /// # Errors
    /// [`RunError`] when the input is not of the model's shape and range.
    pub fn commit(&self, input: &[i32]) -> Result<(Vec<i32>, TraceRoot), RunError> {
        self.check(input)?;
        let shapes = shapes(self.model(), input.len())?;
        let (mut hasher, mut values, mut shapes) = (tree::hasher(), 0_u64, shapes.into_iter());
        let mut bytes = Vec::new();
        let output = self.visit(input, |tensor| {
            values = values.saturating_add(tensor.len() as u64);
            if let Some(shape) = shapes.next() {
                each_in_stream(tensor, shape, |value| {
                    bytes.extend(value.to_le_bytes());
                    if bytes.len() >= BUFFER {
                        hasher.update(&bytes);
                        bytes.clear();
                    }
                });
            }
        })?;
        let hash = *hasher.update(&bytes).finalize().as_bytes();
        Ok((output, TraceRoot { length: u32::try_from(input.len()).unwrap_or(u32::MAX), values, hash }))
    }
}

/// Bytes that are hashed at once: as many chunks as the widest instructions take side by side, a few times over.
const BUFFER: usize = 1 << 16;

/// Shapes of a run's tensors, whose input has so many elements.
fn shapes(model: &Model, elements: usize) -> Result<Vec<Shape>, ModelError> {
    match u32::try_from(elements) {
        Ok(length) if model.is_sequence() => model.shapes_at(length),
        _ => model.shapes(),
    }
}

/// Whether the stream holds a tensor of this shape position by position, which is another order than the contract's.
const fn is_by_position(shape: Shape) -> bool {
    shape.height == 1
}

/// Shows `each` value of a tensor, in the stream's order.
fn each_in_stream(values: &[i32], shape: Shape, mut each: impl FnMut(i32)) {
    if !is_by_position(shape) {
        return values.iter().for_each(|value| each(*value));
    }
    let width = shape.width.max(1) as usize;
    for column in 0..width {
        values.iter().skip(column).step_by(width).for_each(|value| each(*value));
    }
}

#[cfg(test)]
mod tests;
