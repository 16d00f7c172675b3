//! A run with everything that can be shown of it: what a challenged worker shows, and what a challenger finds and opens (SPEC V11).

use super::{Classifier, ClassifierInput};
use crate::EngineError;
use inferium_exact::{Layout, MODEL_PIECE, ModelTree, Operands, Outline, Recorded, Span, TRACE_CHUNK};
use inferium_types::limits::REFUTATION_SIZE_MAX;
use inferium_types::{Digest, Logits, ModelRise, OpenedChunk, OpenedPiece, TraceAsked, TraceRoot, TraceShown, encode};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a refutation beside what it opens, at most.
const ENVELOPE: usize = 1_024;

/// The run of one input, kept whole.
#[derive(Debug)]
pub struct Audit {
    classifier: Arc<Classifier>,
    logits: Logits,
    trace: TraceRoot,
    recorded: Recorded,
    layout: Layout,
}

/// A span of chunks that was shown by the hashes of its parts: its first chunk, and how many.
pub type ShownChunks = (u64, u64);

impl Classifier {
    /// Runs an input and keeps every value: four bytes for each, in the order of the contract. Never blocks the caller.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub async fn audit(self: &Arc<Self>, input: ClassifierInput) -> Result<Audit, EngineError> {
        let (elements, before) = self.elements(input).await?;
        let classifier = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let failed = |reason: String| EngineError::Tensor { reason };
            let model = classifier.engine.model();
            let trace = classifier.engine.trace(&elements).map_err(|error| failed(error.to_string()))?;
            let logits = Logits::new(trace.output().to_vec());
            let recorded = Recorded::of(model, &trace).map_err(|error| failed(error.to_string()))?;
            let root = recorded.root();
            let layout = Outline::of(model).laid_out(root.length).ok_or_else(|| failed("no layout".to_owned()))?;
            let trace = committed(before, root);
            Ok(Audit { classifier, logits, trace, recorded, layout })
        })
        .await
        .map_err(|_| EngineError::Stopped)?
    }
}

/// What evidence binds of a run.
pub(super) fn committed(before: Digest, root: inferium_exact::TraceRoot) -> TraceRoot {
    TraceRoot { before, length: root.length, values: root.values, root: Digest::from(root.hash) }
}

impl Audit {
    /// What the model says.
    #[must_use]
    pub const fn logits(&self) -> &Logits {
        &self.logits
    }

    /// What the run is committed to by.
    #[must_use]
    pub const fn trace(&self) -> TraceRoot {
        self.trace
    }

    /// Its leaf of the evidence of a job whose answer to this input is `said`.
    #[must_use]
    pub fn leaf(&self, said: &Logits) -> Digest {
        said.leaf(&self.trace.digest())
    }

    /// What is asked of this run. `None` when it has no such thing, or it is no question about one run.
    #[must_use]
    pub fn shown(&self, asked: TraceAsked, said: &Logits) -> Option<TraceShown> {
        match asked {
            TraceAsked::Leaves => None,
            TraceAsked::Run { .. } => Some(TraceShown::Run { said: said.digest(), trace: self.trace }),
            TraceAsked::Span { first, chunks } => {
                let hashes = self.recorded.show(Span { first, chunks });
                Some(TraceShown::Span(hashes.into_iter().map(Digest::from).collect()))
            }
            TraceAsked::Chunk { chunk } => Some(TraceShown::Chunk(self.recorded.chunk(chunk).to_vec())),
            TraceAsked::Sums { at } => {
                let tiles = self.layout.tiles(at)?;
                let (mut sums, mut operands) = (Vec::new(), Operand::of(self));
                for tile in 0..tiles {
                    sums.push(self.layout.execute(at, tile, sums.last().copied().unwrap_or(0), &mut operands)?);
                }
                Some(TraceShown::Sums(sums))
            }
        }
    }

    /// The first part of a span whose hash is another than this run's.
    #[must_use]
    pub fn differing_part(&self, (first, chunks): ShownChunks, shown: &[Digest]) -> Option<u64> {
        let own = self.recorded.show(Span { first, chunks });
        (0_u64..).zip(own).zip(shown).find(|((_, own), shown)| own != shown.as_bytes()).map(|((index, _), _)| index)
    }

    /// The first value of a chunk that is another than this run's, by its index in the chunk.
    #[must_use]
    pub fn differing_value(&self, chunk: u64, shown: &[i32]) -> Option<u64> {
        let own = self.recorded.chunk(chunk);
        (0_u64..).zip(own.iter().zip(shown)).find(|(_, (own, shown))| own != shown).map(|(index, _)| index)
    }

    /// The place among all values of one in a chunk, if it is one of the input's: no one computes it.
    #[must_use]
    pub fn input_at(&self, chunk: u64, index: u64) -> Option<u64> {
        let at = chunk.checked_mul(TRACE_CHUNK as u64)?.checked_add(index)?;
        matches!(self.layout.place(at), Some((0, _))).then_some(at)
    }

    /// The first tile whose sum does not follow from the one shown before it.
    #[must_use]
    pub fn differing_tile(&self, at: u64, sums: &[i32]) -> Option<u32> {
        let tiles = self.layout.tiles(at)?;
        if usize::try_from(tiles).ok() != Some(sums.len()) {
            return Some(0);
        }
        let before = std::iter::once(0).chain(sums.iter().copied());
        let mut operands = Operand::of(self);
        (0..tiles)
            .zip(before.zip(sums))
            .find(|(tile, (before, sum))| self.layout.execute(at, *tile, *before, &mut operands) != Some(**sum))
            .map(|(tile, _)| tile)
    }

    /// The model's header and sizes under its id.
    #[must_use]
    pub fn outline(&self) -> Vec<OpenedPiece> {
        let tree = ModelTree::new(self.classifier.engine.model());
        let nodes = u32::try_from(self.classifier.engine.model().nodes.len()).unwrap_or(0);
        std::iter::once(u32::MAX).chain(0..nodes).filter_map(|node| piece(&tree, (node, 0, 0))).collect()
    }

    /// What a value is computed from, if it can be shown at once, or else this tile of it: chunks under what was shown, but for the one whose values
    /// were, and pieces of the model.
    #[must_use]
    pub fn opened_tile(&self, at: u64, tile: u32, spans: &[ShownChunks]) -> (Vec<OpenedChunk>, Vec<OpenedPiece>) {
        let tiles = self.layout.tiles(at).unwrap_or(0);
        let whole = self.opened_tiles(at, 0..tiles, spans);
        let room = REFUTATION_SIZE_MAX.saturating_sub(ENVELOPE);
        // Partial sums are the worker's word of now; that the value is wrong convicts who approved it, too.
        if encode(&(self.outline(), &whole)).len() <= room {
            return whole;
        }
        self.opened_tiles(at, tile..tile.saturating_add(1), spans)
    }

    fn opened_tiles(&self, at: u64, tiles: Range<u32>, spans: &[ShownChunks]) -> (Vec<OpenedChunk>, Vec<OpenedPiece>) {
        let mut operands = Operand::of(self);
        for tile in tiles {
            // What it comes to is known; this is about what it reads.
            let _ = self.layout.execute(at, tile, 0, &mut operands);
        }
        operands.chunks.remove(&chunk_of(at));
        let tree = ModelTree::new(self.classifier.engine.model());
        let pieces = operands.pieces.iter().filter_map(|name| piece(&tree, *name)).collect();
        (self.opened(&operands.chunks, spans), pieces)
    }

    /// The chunks of the last values, which are the answer.
    #[must_use]
    pub fn opened_output(&self, spans: &[ShownChunks]) -> Vec<OpenedChunk> {
        let last = self.layout.tensors().saturating_sub(1);
        let elements = self.layout.elements(last).unwrap_or(0);
        let chunks = (0..elements).filter_map(|index| self.layout.at(last, index)).map(chunk_of).collect();
        self.opened(&chunks, spans)
    }

    fn opened(&self, chunks: &BTreeSet<u64>, spans: &[ShownChunks]) -> Vec<OpenedChunk> {
        let open = |chunk: &u64| {
            let spans = spans.iter().rev().map(|(first, chunks)| Span { first: *first, chunks: *chunks });
            let part = spans.filter_map(|span| span.part(span.part_of(*chunk)?)).next();
            let part = part.unwrap_or_else(|| self.recorded.root().whole());
            let path = self.recorded.path(part, *chunk).into_iter().map(Digest::from).collect();
            OpenedChunk { chunk: *chunk, values: self.recorded.chunk(*chunk).to_vec(), path }
        };
        chunks.iter().map(open).collect()
    }
}

fn chunk_of(at: u64) -> u64 {
    at / TRACE_CHUNK as u64
}

fn piece(tree: &ModelTree, (node, part, piece): (u32, u32, u32)) -> Option<OpenedPiece> {
    let (bytes, rises) = tree.open(node, part, piece)?;
    let rise = |rise: inferium_exact::Rise| ModelRise { sibling: Digest::from(rise.sibling), is_left: rise.is_left };
    Some(OpenedPiece { node, part, piece, bytes, rises: rises.into_iter().map(rise).collect() })
}

/// Operands from this run and its model, with what was read.
struct Operand<'a> {
    audit: &'a Audit,
    outline: Outline,
    chunks: BTreeSet<u64>,
    pieces: BTreeSet<(u32, u32, u32)>,
}

impl<'a> Operand<'a> {
    fn of(audit: &'a Audit) -> Self {
        let outline = Outline::of(audit.classifier.engine.model());
        Self { audit, outline, chunks: BTreeSet::new(), pieces: BTreeSet::new() }
    }
}

impl Operands for Operand<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.chunks.insert(chunk_of(at));
        self.audit.recorded.values().get(usize::try_from(at).ok()?).copied()
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        let start = usize::try_from(index).ok()? * self.outline.width(node, part)?;
        self.pieces.insert((node, part, u32::try_from(start / MODEL_PIECE).ok()?));
        self.audit.classifier.engine.model().number(node, part, index)
    }
}
