//! A run with everything that can be shown of it: what a challenged worker shows, and what a challenger finds and opens (SPEC V11).

use crate::{Classifier, ClassifierInput, Embedder, EngineError, Model, Prompt};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use inferium_exact::{
    Layout, MODEL_PIECE, Model as Integers, ModelTree, Op, Operands, Outline, Recorded, Span, TRACE_CHUNK, direction,
};
use inferium_types::limits::REFUTATION_SIZE_MAX;
use inferium_types::{
    ClassifierReads, Committed, CommittedKind, Digest, Embedding, JobEvidence, JobInput, Logits, ModelRise,
    OpenedChunk, OpenedPiece, SegmentId, TraceAsked, TraceRoot, TraceShown, encode, evidence_leaf, part_salt,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// The engine of an integer model, which those who serve it and those who audit it share.
pub type IntegerEngine = inferium_exact::Engine<Arc<Integers>>;

/// Bytes of a refutation beside what it opens, at most.
const ENVELOPE: usize = 1_024;
/// Bytes of one tile at most: 64 operands in chunks of their own with their paths, and a few pieces of the model. An input is smaller.
const TILE_SIZE: usize = 64 * (TRACE_CHUNK * 4 + 16 + 11 * 32) + 4 * (MODEL_PIECE + 1_024);

/// A served model whose answers follow from one run of integers for each part of a job.
#[derive(Clone, Debug)]
pub enum Audited {
    /// Classifies.
    Classifier(Arc<Classifier>),
    /// Embeds texts by integers.
    Embedder(Arc<dyn Embedder>, Arc<IntegerEngine>),
}

/// What one run is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditedInput {
    /// An input of a classifier.
    Classified(ClassifierInput),
    /// Tokens of a text to embed.
    Tokens(Vec<u32>),
}

/// The run of one input, kept whole.
#[derive(Debug)]
pub struct Audit {
    engine: Arc<IntegerEngine>,
    said: Option<Digest>,
    trace: TraceRoot,
    recorded: Recorded,
    layout: Layout,
}

/// What was audited last, which is asked for again in the next turn. One run at a time: of a long text it takes hundreds of megabytes.
#[derive(Debug, Default)]
pub struct AuditDesk {
    last: Option<(RunName, Audit)>,
    /// Leaves of a job, which each of its challengers asks for first.
    leaves: Option<((SegmentId, u32), Vec<Digest>)>,
}

/// Names a run: its segment, its job's place there, and the job's input.
pub type RunName = (SegmentId, u32, u32);

impl AuditDesk {
    /// The run of this name, which is made if it is not the last one.
    ///
    /// # Errors
    /// As [`Audited::audit`].
    pub async fn audit(&mut self, name: RunName, model: &Audited, input: AuditedInput) -> Result<&Audit, EngineError> {
        // The other is gone before this one is there.
        let audit = match self.last.take().filter(|(last, _)| *last == name) {
            Some((_, audit)) => audit,
            None => model.audit(input).await?,
        };
        Ok(&self.last.insert((name, audit)).1)
    }

    /// The leaves of a job's evidence, one for each input, which are made if they are not the last ones.
    ///
    /// # Errors
    /// As [`Audited::runs`]; [`EngineError::Tensor`] where not every input has an answer.
    pub async fn leaves(
        &mut self,
        name: (SegmentId, u32),
        model: &Audited,
        job: &JobEvidence,
    ) -> Result<Vec<Digest>, EngineError> {
        if let Some((_, leaves)) = self.leaves.as_ref().filter(|(last, _)| *last == name) {
            return Ok(leaves.clone());
        }
        let said = job.output.said();
        let runs = model.runs(model.inputs(&job.payload.input)?).await?;
        if said.len() != runs.len() {
            return Err(refused(&"not every input has an answer"));
        }
        let leaf = |(index, (said, (_, run))): (usize, (&Digest, &(_, Digest)))| {
            evidence_leaf(&part_salt(&job.output.salt, index), said, run)
        };
        let leaves: Vec<Digest> = said.iter().zip(&runs).enumerate().map(leaf).collect();
        self.leaves = Some((name, leaves.clone()));
        Ok(leaves)
    }

    /// Nothing of this segment is asked for any more.
    pub fn forget(&mut self, segment: SegmentId) {
        self.last.take_if(|((of, _, _), _)| *of == segment);
        self.leaves.take_if(|((of, _), _)| *of == segment);
    }
}

/// A span of chunks that was shown by the hashes of its parts: its first chunk, and how many.
pub type ShownChunks = (u64, u64);

impl Audited {
    /// The model, if its runs can be opened.
    #[must_use]
    pub fn of(model: &Model) -> Option<Self> {
        match model {
            Model::Classifier(classifier) => Some(Self::Classifier(Arc::clone(classifier))),
            Model::Embedder(embedder) => {
                embedder.integers().map(|engine| Self::Embedder(Arc::clone(embedder), Arc::clone(engine)))
            }
            Model::Chat(_) | Model::Folder(_) | Model::Trainer(_) | Model::Prover(_) => None,
        }
    }

    /// The parts of a job, each of which is run.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn inputs(&self, input: &JobInput) -> Result<Vec<AuditedInput>, EngineError> {
        let model = match self {
            Self::Classifier(classifier) => Model::Classifier(Arc::clone(classifier)),
            Self::Embedder(embedder, _) => Model::Embedder(Arc::clone(embedder)),
        };
        match model.read(input)? {
            Prompt::Inputs(inputs) => Ok(inputs.into_iter().map(AuditedInput::Classified).collect()),
            Prompt::Texts(texts) => Ok(texts.into_iter().map(AuditedInput::Tokens).collect()),
            _ => Err(EngineError::Task { does: model.task().name() }),
        }
    }

    /// What inputs and answers of such a model are committed to as.
    fn kinds(&self) -> [CommittedKind; 2] {
        match self {
            Self::Classifier(classifier) => match classifier.model().reads {
                ClassifierReads::Texts => [CommittedKind::Whole, CommittedKind::Logits],
                ClassifierReads::Tensors { .. } => [CommittedKind::Tensors, CommittedKind::Logits],
            },
            Self::Embedder(..) => [CommittedKind::Tokens, CommittedKind::Vectors],
        }
    }

    /// Runs an input without keeping what is computed: digests of what the model says, which may be nothing, and of the run. Never blocks the
    /// caller.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub async fn run(&self, input: AuditedInput) -> Result<(Option<Digest>, Digest), EngineError> {
        let (own, (elements, before)) = (self.clone(), self.elements(input).await?);
        aside(move || {
            let (output, root) = own.engine().commit(&elements).map_err(|error| refused(&error))?;
            Ok((own.said_of(&output), committed(before, root).digest()))
        })
        .await
    }

    /// Runs inputs as [`Audited::run`] does, in their order, on all threads there are.
    ///
    /// # Errors
    /// As [`Audited::run`].
    pub async fn runs(&self, inputs: Vec<AuditedInput>) -> Result<Vec<(Option<Digest>, Digest)>, EngineError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        stream::iter(inputs).map(|input| self.run(input)).buffered(threads).try_collect().await
    }

    /// Whether input and answer of a job are of the model's kinds, each with as many parts as were answered (SPEC V11). What a text's input is made
    /// of no ledger can compute, so of texts to classify nothing is asked.
    #[must_use]
    pub fn takes(&self, [input, output]: [&Committed; 2], items: u32) -> [bool; 2] {
        let [of_input, of_output] = self.kinds();
        let is = |committed: &Committed, kind| (committed.kind, committed.parts) == (kind, u64::from(items));
        [of_input == CommittedKind::Whole || is(input, of_input), is(output, of_output)]
    }

    /// Runs an input and keeps every value: four bytes for each, in the order of the contract. Never blocks the caller.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub async fn audit(&self, input: AuditedInput) -> Result<Audit, EngineError> {
        let (own, (elements, before)) = (self.clone(), self.elements(input).await?);
        aside(move || {
            let engine = Arc::clone(own.engine());
            let trace = engine.trace(&elements).map_err(|error| refused(&error))?;
            let said = own.said_of(trace.output());
            let recorded = Recorded::of(engine.model(), &trace).map_err(|error| refused(&error))?;
            let root = recorded.root();
            let layout = Outline::of(engine.model()).laid_out(root.length).ok_or_else(|| refused(&"no layout"))?;
            Ok(Audit { engine, said, trace: committed(before, root), recorded, layout })
        })
        .await
    }

    fn engine(&self) -> &Arc<IntegerEngine> {
        match self {
            Self::Classifier(classifier) => classifier.engine(),
            Self::Embedder(_, engine) => engine,
        }
    }

    /// What the integer model is given, and the digest of what was computed before.
    async fn elements(&self, input: AuditedInput) -> Result<(Vec<i32>, Digest), EngineError> {
        match (self, input) {
            (Self::Classifier(classifier), AuditedInput::Classified(input)) => classifier.elements(input).await,
            (Self::Embedder(..), AuditedInput::Tokens(tokens)) => Ok((elements_of(&tokens), Digest::ZERO)),
            (Self::Classifier(_), AuditedInput::Tokens(_)) => Err(EngineError::Task { does: "classification" }),
            (Self::Embedder(..), AuditedInput::Classified(_)) => Err(EngineError::Task { does: "embedding" }),
        }
    }

    /// Integers without a direction are no vector.
    fn said_of(&self, output: &[i32]) -> Option<Digest> {
        match self {
            Self::Classifier(_) => Some(Logits::new(output.to_vec()).digest()),
            Self::Embedder(..) => direction(output).map(|values| Embedding::new(&values).digest()),
        }
    }
}

/// Why a model can't be audited, if it can't: a refutation shows the sizes of all operations, and with them an input or a tile.
pub(crate) fn unauditable(model: &Integers) -> Option<String> {
    let size = encode(&outline(model)).len();
    let room = REFUTATION_SIZE_MAX.saturating_sub(ENVELOPE).saturating_sub(TILE_SIZE);
    if size > room {
        let found = model.nodes.len();
        return Some(format!("{found} operations, whose sizes take {size} bytes; a dispute has room for {room}"));
    }
    let layout = u32::try_from(model.input.elements()).ok().and_then(|length| Outline::of(model).laid_out(length));
    let reason = "a value of the model is the sum of more products than can be shown in a dispute";
    layout.is_none().then(|| reason.to_owned())
}

/// Tokens as an integer model reads them.
pub(crate) fn elements_of(tokens: &[u32]) -> Vec<i32> {
    tokens.iter().map(|token| i32::try_from(*token).unwrap_or(i32::MAX)).collect()
}

/// What evidence binds of a run.
pub(crate) fn committed(before: Digest, root: inferium_exact::TraceRoot) -> TraceRoot {
    TraceRoot { before, length: root.length, values: root.values, root: Digest::from(root.hash) }
}

/// A model that answers otherwise: the weights of one output of its first layer are one nearer to zero. For devnets, to be watched being
/// caught.
pub(crate) fn bent(model: &Integers) -> Option<Integers> {
    let mut model = model.clone();
    let weights = model.nodes.iter_mut().find_map(|node| match &mut node.op {
        Op::Dense { outputs, weights } | Op::Conv2d { outputs, weights, .. } => Some((*outputs, weights)),
        _ => None,
    });
    let (outputs, weights) = weights?;
    let row = weights.len() / usize::try_from(outputs).ok()?.max(1);
    // Towards zero, so that every interval narrows and the gate still holds.
    weights.iter_mut().take(row).for_each(|weight| *weight -= weight.signum());
    Some(model)
}

pub(crate) fn refused(reason: &impl ToString) -> EngineError {
    EngineError::Tensor { reason: reason.to_string() }
}

/// Work for a thread that nobody waits for.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)?
}

impl Audit {
    /// Digest of what the model says; `None` where that is nothing.
    #[must_use]
    pub const fn said(&self) -> Option<Digest> {
        self.said
    }

    /// Whether such a run is one of the model, though maybe of another input.
    #[must_use]
    pub fn fits(&self, trace: &TraceRoot) -> bool {
        let layout = Outline::of(self.engine.model()).laid_out(trace.length);
        layout.is_some_and(|layout| layout.values() == trace.values) && trace.before == self.trace.before
    }

    /// What the run is committed to by.
    #[must_use]
    pub const fn trace(&self) -> TraceRoot {
        self.trace
    }

    /// Its leaf of the evidence of a job, where the part has this salt and the answer to it the digest `said`.
    #[must_use]
    pub fn leaf(&self, salt: &Digest, said: &Digest) -> Digest {
        evidence_leaf(salt, said, &self.trace.digest())
    }

    /// What is asked of this run, of a part with this salt to which was answered what has the digest `said`. `None` when it has no such thing,
    /// or it is no question about one run.
    #[must_use]
    pub fn shown(&self, asked: TraceAsked, (salt, said): (Digest, Digest)) -> Option<TraceShown> {
        match asked {
            TraceAsked::Leaves => None,
            TraceAsked::Run { .. } => Some(TraceShown::Run { salt, said, trace: self.trace }),
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
        outline(self.engine.model())
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
        let tree = ModelTree::new(self.engine.model());
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

fn outline(model: &Integers) -> Vec<OpenedPiece> {
    let tree = ModelTree::new(model);
    let nodes = u32::try_from(model.nodes.len()).unwrap_or(0);
    std::iter::once(u32::MAX).chain(0..nodes).filter_map(|node| piece(&tree, (node, 0, 0))).collect()
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
        let outline = Outline::of(audit.engine.model());
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
        self.audit.engine.model().number(node, part, index)
    }
}
