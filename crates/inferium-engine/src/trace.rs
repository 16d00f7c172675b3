//! Traces: a digest of everything that a replay computes, so that two engines that disagree can find where (SPEC V8).

use crate::EngineError;
use crate::kernel::math::f32_to_f16_flushed;
use crate::pool::Pool;
use inferium_types::{Digest, TraceShape};
use tokio::sync::oneshot;

#[cfg(test)]
mod tests;

/// Separates these hashes from every other hash of the protocol; ends in the version.
const CELL_DOMAIN: &[u8] = b"inferium/trace-stage/1\0";

/// What to trace: the replay of a claimed output. Nothing is drawn, so how it was drawn does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// The tokens that were continued; at least one.
    pub prompt: Vec<u32>,
    /// The claimed tokens; at least one.
    pub output: Vec<u32>,
}

/// What a replay computes, as digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which cells there are.
    pub shape: TraceShape,
    /// One digest for each, in the order of [`TraceShape::cell`]. Those of logits are
    /// [`inferium_sampling::position_digest`] of the claimed token and the logits.
    pub cells: Vec<Digest>,
}

/// The result of a trace.
pub type TraceReceiver = oneshot::Receiver<Result<Trace, EngineError>>;

impl TraceRequest {
    /// The shape of its trace by a model of `layers` layers.
    pub(crate) fn shape(&self, layers: usize) -> TraceShape {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        TraceShape {
            prompt_tokens: count(self.prompt.len()),
            output_tokens: count(self.output.len()),
            layers: count(layers),
        }
    }
}

/// The digest of a token that is fed.
pub(crate) fn token_cell(token: u32) -> Digest {
    cell(&token.to_le_bytes())
}

/// The digest of a row of numbers, by their bits.
pub(crate) fn row_cell(row: &[f32]) -> Digest {
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    cell(&bytes)
}

/// The digest of a position's key and value in one layer, as the cache keeps them: in half precision.
fn cache_cell(key: &[f32], value: &[f32]) -> Digest {
    let halves = key.iter().chain(value).map(|value| f32_to_f16_flushed(*value));
    let bytes: Vec<u8> = halves.flat_map(u16::to_le_bytes).collect();
    cell(&bytes)
}

fn cell(bytes: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(CELL_DOMAIN);
    hasher.update(bytes);
    Digest::from(*hasher.finalize().as_bytes())
}

/// Notes what a step computes for the rows that are traced. Without such rows it does nothing.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    /// The traced rows, ascending, each with its cells so far.
    rows: Vec<(usize, Vec<Digest>)>,
}

impl Tracer {
    /// Begins a step in which these rows are traced.
    pub(crate) fn begin(&mut self, traced: impl Iterator<Item = usize>) {
        self.rows.clear();
        self.rows.extend(traced.map(|row| (row, Vec::new())));
    }

    /// Notes the residual stream, row-major with rows of `width`. Must be called inside [`Pool::install`].
    pub(crate) fn stream(&mut self, pool: &Pool, stream: &[f32], width: usize) {
        pool.for_each_chunk(&mut self.rows, 1, |_, rows| {
            for (row, cells) in rows {
                cells.push(row_cell(&stream[*row * width..][..width]));
            }
        });
    }

    /// Notes what the cache gets of a row, if it is traced.
    pub(crate) fn cached(&mut self, row: usize, key: &[f32], value: &[f32]) {
        if let Some(cells) = self.of(row) {
            cells.push(cache_cell(key, value));
        }
    }

    /// Notes a layer that is left out: nothing is stored, and the stream stays.
    pub(crate) fn left_out(&mut self, pool: &Pool, stream: &[f32], width: usize) {
        for (_, cells) in &mut self.rows {
            cells.push(Digest::ZERO);
        }
        self.stream(pool, stream, width);
        self.stream(pool, stream, width);
    }

    /// Notes the input of the head for a row, if it is traced.
    pub(crate) fn head(&mut self, row: usize, normed: &[f32]) {
        if let Some(cells) = self.of(row) {
            cells.push(row_cell(normed));
        }
    }

    /// The cells of the traced rows, from embedding to final norm, in the order of the rows.
    pub(crate) fn take(&mut self) -> Vec<(usize, Vec<Digest>)> {
        std::mem::take(&mut self.rows)
    }

    fn of(&mut self, row: usize) -> Option<&mut Vec<Digest>> {
        let place = self.rows.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        self.rows.get_mut(place).map(|(_, cells)| cells)
    }
}
