//! Traces of a replay: digests of everything that it computes, by which two validators that disagree find the
//! first thing that differs (SPEC V8).
//!
//! A trace's cells stand in the order in which a decoder computes: position by position, stage by stage. So all that the
//! first differing cell was computed from is equal. Each side signs the Merkle root over its cells before it is asked about
//! them; a search from the root downwards then needs one exchange for each level, and nobody can change its mind meanwhile.

use crate::merkle::{bind_count, node_hash};
use crate::{Digest, JobEvidence, MerkleNode, NodeId, SecretKey, SegmentId, Signature};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

const CLAIM_DOMAIN: &str = "inferium/trace/1";
const KEY_DOMAIN: &str = "inferium/trace-key/1";
const CELL_DOMAIN: &str = "inferium/trace-cell/1";
/// Stages before the first layer: token and embedding.
const STAGES_BEFORE: u64 = 2;
/// Stages of a layer.
const STAGES_OF_LAYER: u64 = 3;
/// Stages after the last layer, where a token of the answer is drawn.
const STAGES_AFTER: u64 = 2;

/// What is computed at one position, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceStage {
    /// The token that is fed: nothing is computed yet.
    Token,
    /// The residual stream after the embedding.
    Embedding,
    /// What a layer stores of the position in its cache.
    KeysAndValues {
        /// From 0.
        layer: u32,
    },
    /// The residual stream after a layer's attention.
    Attention {
        /// From 0.
        layer: u32,
    },
    /// The residual stream after a layer's feed-forward part.
    FeedForward {
        /// From 0.
        layer: u32,
    },
    /// The input of the language-model head, where a token of the answer is drawn.
    FinalNorm,
    /// The logits, where a token of the answer is drawn.
    Logits,
}

impl TraceStage {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Embedding => "embedding",
            Self::KeysAndValues { .. } => "keys_and_values",
            Self::Attention { .. } => "attention",
            Self::FeedForward { .. } => "feed_forward",
            Self::FinalNorm => "final_norm",
            Self::Logits => "logits",
        }
    }

    /// The layer that it belongs to, from 0.
    #[must_use]
    pub const fn layer(self) -> Option<u32> {
        match self {
            Self::KeysAndValues { layer } | Self::Attention { layer } | Self::FeedForward { layer } => Some(layer),
            Self::Token | Self::Embedding | Self::FinalNorm | Self::Logits => None,
        }
    }
}

/// One cell of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceCell {
    /// Position in prompt and answer, from 0.
    pub position: u32,
    /// What is computed there.
    pub stage: TraceStage,
}

/// Which cells a trace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TraceShape {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer. The last one is fed to nothing, and has no position.
    pub output_tokens: u32,
    /// Layers of the model.
    pub layers: u32,
}

impl TraceShape {
    /// Positions that are computed: prompt and answer but for its last token. None without a prompt or an answer.
    #[must_use]
    pub const fn positions(&self) -> u32 {
        if self.prompt_tokens == 0 || self.output_tokens == 0 {
            return 0;
        }
        self.prompt_tokens.saturating_add(self.output_tokens).saturating_sub(1)
    }

    /// The first position at which a token of the answer is drawn.
    #[must_use]
    pub const fn first_drawn(&self) -> u32 {
        self.prompt_tokens.saturating_sub(1)
    }

    /// Stages of a position at which no token is drawn.
    const fn stages(&self) -> u64 {
        // 2 + 3 * 2^32 is far below 2^64.
        STAGES_BEFORE + STAGES_OF_LAYER * self.layers as u64
    }

    /// Cells in all; at the end of the numbers the greatest of them.
    #[must_use]
    pub const fn cells(&self) -> u64 {
        let positions = self.positions() as u64;
        let drawn = if positions == 0 { 0 } else { self.output_tokens as u64 };
        positions.saturating_mul(self.stages()).saturating_add(drawn.saturating_mul(STAGES_AFTER))
    }

    /// The stages of a position, in order; none when there is no such position.
    pub fn stages_at(&self, position: u32) -> impl Iterator<Item = TraceStage> + use<> {
        let is_there = position < self.positions();
        let is_drawn = is_there && position >= self.first_drawn();
        let layers = if is_there { self.layers } else { 0 };
        let before = [TraceStage::Token, TraceStage::Embedding];
        let of_layer = |layer| {
            [TraceStage::KeysAndValues { layer }, TraceStage::Attention { layer }, TraceStage::FeedForward { layer }]
        };
        let after = [TraceStage::FinalNorm, TraceStage::Logits];
        before
            .into_iter()
            .filter(move |_| is_there)
            .chain((0..layers).flat_map(of_layer))
            .chain(after.into_iter().filter(move |_| is_drawn))
    }

    /// Cell `index` in the order of the trace.
    #[must_use]
    pub fn cell(&self, index: u64) -> Option<TraceCell> {
        let (plain, drawn) = (self.stages(), self.stages() + STAGES_AFTER);
        let before = u64::from(self.first_drawn()).checked_mul(plain)?;
        let (position, stage) = match index.checked_sub(before) {
            None => (index / plain, index % plain),
            Some(after) => (u64::from(self.first_drawn()) + after / drawn, after % drawn),
        };
        let position = u32::try_from(position).ok().filter(|position| *position < self.positions())?;
        let layers = STAGES_BEFORE..plain;
        let stage = if layers.contains(&stage) {
            let layer = u32::try_from((stage - STAGES_BEFORE) / STAGES_OF_LAYER).ok()?;
            match (stage - STAGES_BEFORE) % STAGES_OF_LAYER {
                0 => TraceStage::KeysAndValues { layer },
                1 => TraceStage::Attention { layer },
                _ => TraceStage::FeedForward { layer },
            }
        } else {
            match stage.checked_sub(plain) {
                None if stage == 0 => TraceStage::Token,
                None => TraceStage::Embedding,
                Some(0) => TraceStage::FinalNorm,
                Some(_) => TraceStage::Logits,
            }
        };
        Some(TraceCell { position, stage })
    }
}

/// What hides a trace's digests from everybody who was not given the job's evidence: without it a digest of one position
/// would tell which of all tokens stands there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceKey(Digest);

/// Says nothing of the key: it may end up in a log (SPEC J2).
impl fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceKey")
    }
}

impl TraceKey {
    /// The key of a job's trace: from both salts that are in its evidence, and nowhere else but with its worker and gateway.
    #[must_use]
    pub fn of(segment: SegmentId, job: u32, evidence: &JobEvidence) -> Self {
        let (input, output) = (&evidence.payload.salt, &evidence.output.salt);
        Self(Digest::of(KEY_DOMAIN, &[segment.digest().as_bytes(), &job.to_be_bytes(), input, output]))
    }

    /// Cell `index` as it is shown, of the digest of what was computed there.
    #[must_use]
    pub fn hide(&self, index: u64, computed: &Digest) -> Digest {
        Digest::of(CELL_DOMAIN, &[self.0.as_bytes(), &index.to_be_bytes(), computed.as_bytes()])
    }
}

/// What a validator says of its replay of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TraceClaim {
    /// The segment.
    pub segment: SegmentId,
    /// The seed that drew the committee.
    pub draw: Digest,
    /// Position of the job in the segment.
    pub job: u32,
    /// Which cells there are.
    pub shape: TraceShape,
    /// Merkle root over them, hidden by the job's [`TraceKey`].
    pub root: Digest,
}

/// A [`TraceClaim`] that its validator stands by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTrace {
    /// The claim.
    pub claim: TraceClaim,
    /// The validator's.
    pub signature: Signature,
}

impl SignedTrace {
    /// Signs a claim.
    #[must_use]
    pub fn sign(claim: TraceClaim, validator: &SecretKey) -> Self {
        Self { claim, signature: validator.sign(CLAIM_DOMAIN, &crate::encode(&claim)) }
    }

    /// True when `validator` itself claims this.
    #[must_use]
    pub fn is_from(&self, validator: &NodeId) -> bool {
        validator.verify(CLAIM_DOMAIN, &crate::encode(&self.claim), &self.signature)
    }
}

/// An answer that does not hash to what its side signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not hash to what was signed")]
pub struct UnboundAnswer {
    /// Whose: 0 for the first side, 1 for the second.
    pub side: usize,
}

/// The search for the first cell that differs between two traces of one shape: from their roots downwards, one exchange for
/// each level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSearch {
    count: u64,
    node: MerkleNode,
    /// What each side has bound itself to at `node`: at the top its signed root, below that the node itself.
    bound: [Digest; 2],
    /// Siblings of the way down, from the top, of each side.
    siblings: [Vec<Digest>; 2],
    exchanges: u32,
}

impl TraceSearch {
    /// A search in two trees of `count` leaves; `None` when their roots are equal, and so is everything below, or when there
    /// are fewer than two: no trace has so few.
    #[must_use]
    pub fn new(count: u64, roots: [Digest; 2]) -> Option<Self> {
        let [first, second] = roots;
        let search = Self {
            count,
            node: MerkleNode::top(count),
            bound: roots,
            siblings: [Vec::new(), Vec::new()],
            exchanges: 0,
        };
        (first != second && count > 1).then_some(search)
    }

    /// The node whose children both sides have to show next; `None` once the cell is found.
    #[must_use]
    pub fn question(&self) -> Option<MerkleNode> {
        (self.node.height > 0).then_some(self.node)
    }

    /// Goes on with what both sides showed.
    ///
    /// # Errors
    /// [`UnboundAnswer`]: the search stays where it is, and goes on with a right answer.
    pub fn answer(&mut self, shown: [[Digest; 2]; 2]) -> Result<(), UnboundAnswer> {
        for (side, ([left, right], bound)) in shown.iter().zip(&self.bound).enumerate() {
            let node = node_hash(*left, *right);
            let is_top = self.node == MerkleNode::top(self.count);
            let hash = if is_top { bind_count(self.count, node) } else { node };
            if hash != *bound {
                return Err(UnboundAnswer { side });
            }
        }
        let Some((left, Some(right))) = self.node.children(self.count) else { return Ok(()) };
        self.exchanges = self.exchanges.saturating_add(1);
        let [[left_0, right_0], [left_1, right_1]] = shown;
        // Everything before the first difference is equal: the left half is looked at first.
        let (node, bound, siblings) = if left_0 == left_1 {
            (right, [right_0, right_1], [left_0, left_1])
        } else {
            (left, [left_0, left_1], [right_0, right_1])
        };
        self.node = node;
        self.bound = bound;
        for (way, sibling) in self.siblings.iter_mut().zip(siblings) {
            way.push(sibling);
        }
        // A node with one child is that child.
        while let Some((only, None)) = self.node.children(self.count) {
            self.node = only;
        }
        Ok(())
    }

    /// The first cell that differs, and what each side has there; `None` while the search goes on.
    #[must_use]
    pub fn found(&self) -> Option<(u64, [Digest; 2])> {
        (self.node.height == 0).then_some((self.node.index, self.bound))
    }

    /// The siblings of the way to the cell, from the cell upwards, of each side: with the shape they are a
    /// [`MerklePath`](crate::MerklePath) to what the side signed.
    #[must_use]
    pub fn paths(&self) -> [Vec<Digest>; 2] {
        self.siblings.clone().map(|siblings| siblings.into_iter().rev().collect())
    }

    /// Questions that both sides answered.
    #[must_use]
    pub const fn exchanges(&self) -> u32 {
        self.exchanges
    }
}
