//! What the scheduler asks of an arithmetic.

use crate::EngineError;
use crate::llama::Row;
use crate::pool::Pool;
use inferium_types::Digest;
use std::fmt::Debug;

/// What a sequence could begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix<'a> {
    /// Who shares it.
    pub(crate) scope: Digest,
    /// At most these tokens.
    pub(crate) tokens: &'a [u32],
}

/// A forward pass with its cache of keys and values.
pub(crate) trait Compute: Debug {
    /// One sequence's room in the cache.
    type Room: Debug + Send + Sync;

    /// Tokens that fit the cache in all.
    fn tokens_total(&self) -> usize;

    /// Tokens that are reserved.
    fn tokens_reserved(&self) -> usize;

    /// Tokens that ended sequences left for others to begin with.
    fn tokens_kept(&self) -> usize;

    /// Reserves room for a sequence of `tokens`, if there is enough; also says how many tokens of the prefix it holds already.
    fn reserve(&mut self, tokens: usize, prefix: Option<Prefix<'_>>) -> Option<(Self::Room, usize)>;

    /// Gives a sequence's room back; `tokens` are those that it holds for sure.
    fn release(&mut self, room: Self::Room, tokens: &[u32]);

    /// Computes all rows and stores their keys and values; [`Row::sequence`] is an index into `rooms`, and the rows of a
    /// sequence stand in the order of their positions.
    ///
    /// # Errors
    /// [`EngineError::Failed`]: nothing of the step counts, and no sequence of it can go on.
    fn run(&mut self, rows: &[Row], rooms: &mut [&mut Self::Room]) -> Result<(), EngineError>;

    /// Logits of the rows that wanted them, shape `[wanted, vocab]`.
    fn logits(&self) -> &[f32];

    /// What these were made from, shape `[wanted, width]`.
    fn hidden(&self) -> &[f32];

    /// Digests of what was computed for the traced rows, each with the row's index.
    fn take_traced(&mut self) -> Vec<(usize, Vec<Digest>)>;

    /// Logits of a row.
    fn vocab(&self) -> usize;

    /// Numbers of a hidden state.
    fn width(&self) -> usize;

    /// The threads that draw and hash.
    fn pool(&self) -> &Pool;
}
