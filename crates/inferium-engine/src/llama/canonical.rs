//! The canonical arithmetic, as the scheduler uses it.

use super::{Batch, Cache, Forward, Row, SequenceCache};
use crate::EngineError;
use crate::pool::Pool;
use crate::scheduler::{Compute, Prefix};
use inferium_types::Digest;

/// The forward pass with its cache.
#[derive(Debug)]
pub(crate) struct Canonical {
    pub(crate) forward: Forward,
    pub(crate) cache: Cache,
}

impl Compute for Canonical {
    type Room = SequenceCache;

    fn tokens_total(&self) -> usize {
        self.cache.tokens_total()
    }

    fn tokens_reserved(&self) -> usize {
        self.cache.tokens_reserved()
    }

    fn tokens_kept(&self) -> usize {
        self.cache.tokens_kept()
    }

    fn reserve(&mut self, tokens: usize, prefix: Option<Prefix<'_>>) -> Option<(SequenceCache, usize)> {
        self.cache.reserve(tokens, prefix)
    }

    fn release(&mut self, room: SequenceCache, tokens: &[u32]) {
        self.cache.release(room, tokens);
    }

    fn run(&mut self, rows: &[Row], rooms: &mut [&mut SequenceCache]) -> Result<(), EngineError> {
        for row in rows {
            self.cache.grow(rooms[row.sequence], row.position + 1);
        }
        self.forward.run(&mut Batch { rows, caches: rooms });
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        self.forward.logits()
    }

    fn hidden(&self) -> &[f32] {
        self.forward.hidden()
    }

    fn take_traced(&mut self) -> Vec<(usize, Vec<Digest>)> {
        self.forward.take_traced()
    }

    fn vocab(&self) -> usize {
        self.forward.vocab()
    }

    fn width(&self) -> usize {
        self.forward.width()
    }

    fn pool(&self) -> &Pool {
        self.forward.pool()
    }
}
