//! Challenges: from "this job is wrong" down to one tile, which the ledger computes itself (SPEC V11).

use crate::{Digest, JobLeaf, MerklePath, OpenedInput, OpenedOutput, SegmentId};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What the run of an integer model is committed to by: all of its values, as a tree that opens piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TraceRoot {
    /// Digest of what was computed before the integer model, of a text its vector's states; zero where there is nothing.
    pub before: Digest,
    /// Elements of the model's input.
    pub length: u32,
    /// Values: the input's, and those of each operation's result.
    pub values: u64,
    /// BLAKE3 hash of these, as `docs/exact.md` lays them out.
    pub root: Digest,
}

impl TraceRoot {
    /// What evidence holds of it (see [`crate::Logits::leaf`]).
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/trace/1", self)
    }
}

/// What opens a challenge: one job of a segment.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChallengeTerms {
    /// The segment.
    pub segment: SegmentId,
    /// The job.
    pub leaf: JobLeaf,
    /// Its place in the segment.
    pub path: MerklePath,
}

/// What a worker is asked to show next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TraceAsked {
    /// The leaves of the job's evidence.
    Leaves,
    /// The run of one input.
    Run {
        /// Which input of the job.
        item: u32,
    },
    /// The hashes of the parts of a span of chunks.
    Span {
        /// Its first chunk.
        first: u64,
        /// Its chunks.
        chunks: u64,
    },
    /// The values of one chunk.
    Chunk {
        /// Which.
        chunk: u64,
    },
    /// The partial sums of one value.
    Sums {
        /// Its place among all values.
        at: u64,
    },
}

/// How a challenge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ChallengeEnd {
    /// The ledger computed what was shown to be wrong.
    Refuted,
    /// The worker did not show what it was asked.
    Withheld,
    /// The challenger did not go on.
    Abandoned,
    /// What it was about is gone: rejected otherwise, or planted by order.
    Moot,
}

/// What a worker shows.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TraceShown {
    /// The leaves of the job's evidence.
    Leaves(Vec<Digest>),
    /// What one of them is made of.
    Run {
        /// The part's salt.
        salt: Digest,
        /// Digest of what was answered.
        said: Digest,
        /// All values.
        trace: TraceRoot,
    },
    /// Hashes of a span's parts.
    Span(Vec<Digest>),
    /// Values of a chunk.
    Chunk(Vec<i32>),
    /// Partial sums of a value, the value last.
    Sums(Vec<i32>),
}

/// Says nothing of the values: what is shown stands on the chain, and need not stand in logs (SPEC J2).
impl fmt::Debug for TraceShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaves(leaves) => write!(f, "{} leaves", leaves.len()),
            Self::Run { trace, .. } => write!(f, "a run of {} values", trace.values),
            Self::Span(hashes) => write!(f, "{} hashes", hashes.len()),
            Self::Chunk(values) => write!(f, "{} values", values.len()),
            Self::Sums(sums) => write!(f, "{} sums", sums.len()),
        }
    }
}

/// One step from a leaf of a model's tree to its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModelRise {
    /// The other child.
    pub sibling: Digest,
    /// Whether that is the left one.
    pub is_left: bool,
}

/// A leaf of a model's tree, with its way to the model's id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenedPiece {
    /// The operation; of the model's header the greatest number.
    pub node: u32,
    /// 0 for sizes, then the operation's numbers.
    pub part: u32,
    /// Which 16 KiB of them.
    pub piece: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// From the leaf upwards.
    pub rises: Vec<ModelRise>,
}

/// A chunk of a trace, with its way to a hash that was shown.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenedChunk {
    /// Which.
    pub chunk: u64,
    /// Its values.
    pub values: Vec<i32>,
    /// Siblings from the chunk upwards, as far as to what was shown.
    pub path: Vec<Digest>,
}

/// Says nothing of the values (SPEC J2).
impl fmt::Debug for OpenedChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedChunk({}, {} values)", self.chunk, self.values.len())
    }
}

/// What shows that a trace is wrong, by what the worker has shown of it and the model's id alone.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Refutation {
    /// The model's header and the sizes of each operation, in order.
    pub outline: Vec<OpenedPiece>,
    /// What is wrong.
    pub claim: RefutedClaim,
}

/// What of a trace is wrong.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RefutedClaim {
    /// The model computes another number of values from such an input, or takes none of that length.
    Length,
    /// One tile: what its operands come to is not what was shown behind it.
    Tile {
        /// Which of the value that sums were shown of.
        tile: u32,
        /// Its operands.
        chunks: Vec<OpenedChunk>,
        /// The model's numbers in it.
        pieces: Vec<OpenedPiece>,
    },
    /// The request's input is none that the model takes, is in other parts than were answered, or the run begins otherwise.
    Input {
        /// Place of a value that differs, where lengths don't.
        at: u64,
        /// Of what the request commits to.
        opened: OpenedInput,
    },
    /// The result's output is of another kind, in other parts than were answered, or is not what the trace ends with.
    Output {
        /// Of what the result commits to.
        opened: OpenedOutput,
        /// The last values.
        chunks: Vec<OpenedChunk>,
    },
}
