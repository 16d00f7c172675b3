//! What is known of a challenged job (SPEC V11).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{Amount, Digest, NodeId, Parameters, ProfileId, TraceAsked, TraceRoot};

/// A validator's claim that one job of a segment was computed wrong.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Challenge {
    /// Who computed it.
    pub worker: NodeId,
    /// With which model.
    pub profile: ProfileId,
    /// Locked.
    pub bond: Amount,
    /// Position of the job in the segment.
    pub job: u32,
    /// Inputs of the job.
    pub items: u32,
    /// Tokens of the job, by which turns are longer.
    pub tokens: u64,
    /// Commitment to these.
    pub input: Digest,
    /// Commitment to the answer.
    pub output: Digest,
    /// Root over what was shown of each input's run.
    pub evidence_root: Digest,
    /// The leaves under it, once they are shown.
    pub leaves: Vec<Digest>,
    /// The run that is looked into, once it is shown.
    pub run: Option<ShownRun>,
    /// Whose turn it is.
    pub turn: Turn,
    /// Until when; milliseconds.
    pub due_at_ms: u64,
    /// Height before which nobody is late.
    pub due_at_height: u64,
}

impl Challenge {
    /// Time for a turn; milliseconds.
    pub(crate) const fn window_ms(&self, parameters: &Parameters) -> u64 {
        parameters.stall_answer_ms.saturating_add(self.tokens.saturating_mul(parameters.stall_token_ms))
    }

    /// False once it is lost: what is left says only that its challenger had its turn.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.turn, Turn::Over)
    }
}

/// Who has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Turn {
    /// The worker, by showing this.
    Worker(TraceAsked),
    /// The challenger.
    Challenger,
    /// Nobody: the challenger did not go on.
    Over,
}

/// What a worker has shown of one run.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShownRun {
    /// Which input of the job.
    pub item: u32,
    /// Digest of what was answered.
    pub said: Digest,
    /// All values.
    pub trace: TraceRoot,
    /// Spans of it, each within one of the span before.
    pub spans: Vec<ShownSpan>,
    /// A chunk and its values.
    pub chunk: Option<(u64, Vec<i32>)>,
    /// The place of a value of the chunk, and its partial sums.
    pub sums: Option<(u64, Vec<i32>)>,
}

/// A span of chunks by the hashes of its parts.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShownSpan {
    /// Its first chunk.
    pub first: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Of each part.
    pub hashes: Vec<Digest>,
}
