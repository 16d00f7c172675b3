//! BLAKE3's own tree over the stream: its leaves, its subtrees and what is shown of them.
//!
//! The tree over n chunks splits at the largest power of two below n, which is the same as pairing neighbours level
//! by level and letting the one that is left over rise as it is. So the nodes of level k are the aligned groups of
//! 2^k chunks, and the last of them may be shorter.

use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, Mode, hash_derive_key_context};
use blake3::hazmat::{merge_subtrees_non_root, merge_subtrees_root};

use super::{SHOWN_MAX, TRACE_CHUNK};

/// Domain of the hashes over streams of values.
pub const TRACE_CONTEXT: &str = "inferium exact trace 2026-12";

static KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(TRACE_CONTEXT));

/// Of a whole stream.
pub(super) fn hasher() -> Hasher {
    Hasher::new_from_context_key(&KEY)
}

/// The commitment to the values of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceRoot {
    /// Elements of the input.
    pub length: u32,
    /// Values in the stream.
    pub values: u64,
    /// BLAKE3 over the stream, under [`TRACE_CONTEXT`].
    pub hash: [u8; 32],
}

/// Chunks that stand together and are one subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first chunk.
    pub first: u64,
    /// How many.
    pub chunks: u64,
}

impl Span {
    /// The logarithm of the chunks in each part.
    fn part_bits(self) -> u32 {
        // The smallest power of two of chunks with few enough parts.
        self.chunks.div_ceil(SHOWN_MAX as u64).max(1).checked_next_power_of_two().map_or(63, u64::ilog2)
    }

    /// How many hashes are shown of it, at most [`SHOWN_MAX`]; of one chunk none.
    #[must_use]
    pub fn parts(self) -> u64 {
        if self.chunks > 1 { self.chunks.div_ceil(1 << self.part_bits()) } else { 0 }
    }

    /// One of its parts: aligned groups of a power of two of chunks, of which the last may be shorter.
    #[must_use]
    pub fn part(self, index: u64) -> Option<Self> {
        if index >= self.parts() {
            return None;
        }
        let size = 1_u64 << self.part_bits();
        let before = index.checked_mul(size)?;
        let first = self.first.checked_add(before)?;
        Some(Self { first, chunks: self.chunks.checked_sub(before)?.min(size) })
    }

    /// Which of its parts holds the chunk.
    #[must_use]
    pub fn part_of(self, chunk: u64) -> Option<u64> {
        let part = self.inside(chunk)? >> self.part_bits();
        (part < self.parts()).then_some(part)
    }

    /// Where in the span the chunk stands.
    pub(super) fn inside(self, chunk: u64) -> Option<u64> {
        chunk.checked_sub(self.first).filter(|inside| *inside < self.chunks)
    }

    /// The level of the tree that it is a node of.
    pub(super) fn level(self) -> u32 {
        self.chunks.max(1).checked_next_power_of_two().map_or(63, u64::ilog2)
    }
}

impl TraceRoot {
    /// All chunks: one for each 256 values that are begun, and at least one.
    #[must_use]
    pub fn whole(&self) -> Span {
        Span { first: 0, chunks: self.values.div_ceil(TRACE_CHUNK as u64).max(1) }
    }

    /// Whether a span is a subtree of this tree.
    pub(super) fn has(&self, span: Span) -> bool {
        let whole = self.whole();
        let Some(end) = span.first.checked_add(span.chunks).filter(|end| *end <= whole.chunks) else { return false };
        let is_aligned = span.first.trailing_zeros() >= span.level();
        // Only at the right edge is a node shorter than its level says.
        span.chunks > 0 && is_aligned && (span.chunks.is_power_of_two() || end == whole.chunks)
    }

    /// Whether `shown` are the hashes of the span's parts, for a span whose hash is `hash`; of the whole that is the
    /// root's. Of one chunk there is nothing to be shown, so nothing is.
    #[must_use]
    pub fn shows(&self, span: Span, hash: &[u8; 32], shown: &[[u8; 32]]) -> bool {
        let is_whole_number = shown.len() as u64 == span.parts() && !shown.is_empty();
        is_whole_number && self.has(span) && fold(shown, span == self.whole()) == Some(*hash)
    }

    /// Whether `values` are the chunk's, for a chunk whose hash is `hash`; of a trace of one chunk that is the
    /// root's.
    #[must_use]
    pub fn shows_chunk(&self, chunk: u64, hash: &[u8; 32], values: &[i32]) -> bool {
        self.chunk_hash(chunk, values) == Some(*hash)
    }

    /// The hash that a span has when this chunk of it has these values and these siblings, from below upwards. None
    /// when the chunk is not in the span, the span is no subtree of this trace, or the path or the values are not as
    /// many as they have to be.
    #[must_use]
    pub fn climb(&self, span: Span, chunk: u64, values: &[i32], path: &[[u8; 32]]) -> Option<[u8; 32]> {
        if !self.has(span) {
            return None;
        }
        let (mut index, mut count) = (span.inside(chunk)?, span.chunks);
        let mut hash = self.chunk_hash(chunk, values)?;
        let mut path = path.iter();
        while count > 1 {
            let is_root = count == 2 && span == self.whole();
            if index % 2 == 1 {
                hash = merge(path.next()?, &hash, is_root);
            } else if index + 1 < count {
                hash = merge(&hash, path.next()?, is_root);
            }
            (index, count) = (index / 2, count.div_ceil(2));
        }
        path.next().is_none().then_some(hash)
    }

    /// How many values a chunk has.
    fn chunk_values(&self, chunk: u64) -> Option<u64> {
        self.whole().inside(chunk)?;
        let before = chunk.checked_mul(TRACE_CHUNK as u64)?;
        Some(self.values.checked_sub(before)?.min(TRACE_CHUNK as u64))
    }

    pub(super) fn chunk_hash(&self, chunk: u64, values: &[i32]) -> Option<[u8; 32]> {
        if self.chunk_values(chunk)? != values.len() as u64 {
            return None;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut hasher = hasher();
        if self.whole().chunks == 1 {
            return Some(*hasher.update(&bytes).finalize().as_bytes());
        }
        // Of more than one chunk none is empty, which this would not take.
        let offset = chunk.checked_mul(4 * TRACE_CHUNK as u64)?;
        Some(hasher.set_input_offset(offset).update(&bytes).finalize_non_root())
    }
}

pub(super) fn merge(left: &[u8; 32], right: &[u8; 32], is_root: bool) -> [u8; 32] {
    let mode = Mode::DeriveKeyMaterial(&KEY);
    match is_root {
        true => *merge_subtrees_root(left, right, mode).as_bytes(),
        false => merge_subtrees_non_root(left, right, mode),
    }
}

/// The level above this one. The root is finalised otherwise than all others.
pub(super) fn above(level: &[[u8; 32]], is_whole: bool) -> Vec<[u8; 32]> {
    let is_root = is_whole && level.len() == 2;
    let each = |two: &[[u8; 32]]| match two {
        [left, right] => merge(left, right, is_root),
        [single, ..] => *single,
        [] => [0; 32],
    };
    level.chunks(2).map(each).collect()
}

fn fold(shown: &[[u8; 32]], is_whole: bool) -> Option<[u8; 32]> {
    let mut level = shown.to_vec();
    while level.len() > 1 {
        level = above(&level, is_whole);
    }
    level.first().copied()
}
