//! The side that has the values: a run's stream with its tree.

use crate::model::{Model, ModelError};
use crate::run::Trace;

use super::tree::{Span, TraceRoot, above};
use super::{TRACE_CHUNK, each_in_stream, shapes};

/// A run laid out as the stream that its commitment is over, with the tree: 4 bytes for each value, and a sixteenth
/// of that for hashes.
#[derive(Debug, Clone)]
pub struct Recorded {
    root: TraceRoot,
    values: Vec<i32>,
    /// Hashes of the chunks, then of each level above them; the last one is the root's.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Recorded {
    /// Of what [`crate::run`] or [`crate::Engine::trace`] kept of a run of this model.
    ///
    /// # Errors
    /// [`ModelError`] when the model's shapes do not fit, or the trace's tensors are not of them.
    pub fn of(model: &Model, trace: &Trace) -> Result<Self, ModelError> {
        let input = trace.values.first().map_or(0, Vec::len);
        let shapes = shapes(model, input)?;
        let lengths = trace.values.iter().map(|tensor| tensor.len() as u64);
        if !lengths.eq(shapes.iter().map(|shape| shape.elements())) {
            return Err(ModelError::Size("a tensor of the trace"));
        }
        let mut values = Vec::with_capacity(trace.values.iter().map(Vec::len).sum());
        for (tensor, shape) in trace.values.iter().zip(shapes) {
            each_in_stream(tensor, shape, |value| values.push(value));
        }
        Ok(Self::from_values(u32::try_from(input).unwrap_or(u32::MAX), values))
    }

    /// Of any values in the stream's order, for instance those of somebody who lies. `length` is how many elements
    /// the input is said to have.
    #[must_use]
    pub fn from_values(length: u32, values: Vec<i32>) -> Self {
        let mut root = TraceRoot { length, values: values.len() as u64, hash: [0; 32] };
        let chunks = values.chunks(TRACE_CHUNK).chain(values.is_empty().then_some(&[][..]));
        let leaves = (0_u64..).zip(chunks).map(|(chunk, values)| root.chunk_hash(chunk, values).unwrap_or_default());
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(above(level, true));
        }
        root.hash = levels.last().and_then(|level| level.first()).copied().unwrap_or_default();
        Self { root, values, levels }
    }

    /// The commitment.
    #[must_use]
    pub const fn root(&self) -> TraceRoot {
        self.root
    }

    /// The stream.
    #[must_use]
    pub fn values(&self) -> &[i32] {
        &self.values
    }

    /// Hash of a span: of the whole the root's, of what is no subtree zeros.
    #[must_use]
    pub fn hash(&self, span: Span) -> [u8; 32] {
        let hash = || {
            let level = self.levels.get(span.level() as usize)?;
            level.get(usize::try_from(span.first >> span.level()).ok()?).copied()
        };
        if self.root.has(span) { hash().unwrap_or_default() } else { [0; 32] }
    }

    /// Hashes of a span's parts; of one chunk, and of what is no subtree, none.
    #[must_use]
    pub fn show(&self, span: Span) -> Vec<[u8; 32]> {
        if !self.root.has(span) {
            return Vec::new();
        }
        (0..span.parts()).filter_map(|index| span.part(index)).map(|part| self.hash(part)).collect()
    }

    /// A chunk's values; none when there is no such chunk.
    #[must_use]
    pub fn chunk(&self, chunk: u64) -> &[i32] {
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
        self.values.chunks(TRACE_CHUNK).nth(chunk).unwrap_or_default()
    }

    /// The siblings on a chunk's way to the span's hash, from below upwards; none when the chunk is not in the span
    /// or that is no subtree.
    #[must_use]
    pub fn path(&self, span: Span, chunk: u64) -> Vec<[u8; 32]> {
        if !self.root.has(span) || span.inside(chunk).is_none() {
            return Vec::new();
        }
        let mut index = usize::try_from(chunk).unwrap_or(usize::MAX);
        let mut path = Vec::new();
        for level in self.levels.iter().take(span.level() as usize) {
            path.extend(level.get(index ^ 1));
            index /= 2;
        }
        path
    }
}
