//! What shows a trace to be wrong: everything is opened under the model's id and under what the worker has shown, and computed here (SPEC V11).

use super::{ChallengeKey, Runs, exact_root, raw, runs_of, shown_hash, shown_value, span_of};
use crate::Rejection;
use crate::entries::{Challenge, ShownRun};
use crate::execute::Block;
use inferium_exact::{Layout, MODEL_PIECE, Operands, Outline, Rise, Span, TRACE_CHUNK, climb_to_id, direction};
use inferium_types::{
    CommittedKind, Digest, Embedding, Logits, NodeId, OpenedChunk, OpenedInput, OpenedOutput, OpenedPiece, Refutation,
    RefutedClaim, SegmentId,
};
use std::collections::BTreeMap;

/// What is not shown to be wrong, and why not.
const fn not(why: &'static str) -> Rejection {
    Rejection::Evidence { why }
}

impl Block {
    /// SPEC V11: the challenger, at any time; but for parts that are not there once a run is shown. What does not convict changes nothing.
    pub(crate) fn refute_trace(
        &mut self,
        sender: NodeId,
        segment: SegmentId,
        refutation: &Refutation,
    ) -> Result<(), Rejection> {
        let key: ChallengeKey = (segment, sender);
        let challenge = self.state.challenges.get(&key).cloned().ok_or(Rejection::Unknown { what: "challenge" })?;
        if !challenge.is_open() {
            return Err(Rejection::WrongState { what: "a refutation of what is over" });
        }
        let profile = self.state.profiles.get(&challenge.profile).ok_or(Rejection::Unknown { what: "profile" })?;
        let runs = runs_of(&profile.profile).ok_or(not("the profile is not of integers"))?;
        if let Some(is_other) = aside(&challenge, runs, &refutation.claim)? {
            return if is_other {
                self.uphold_challenge(key, &challenge, true);
                Ok(())
            } else {
                Err(not("each part was answered"))
            };
        }
        let run = challenge.run.as_ref();
        let run = run.ok_or(Rejection::WrongState { what: "a refutation of what is not shown" })?;
        let outline = outline(&refutation.outline, &profile.profile.weights_root)?;
        let is_whole = runs == Runs::Texts || run.trace.before == Digest::ZERO;
        let layout =
            outline.laid_out(run.trace.length).filter(|layout| layout.values() == run.trace.values && is_whole);
        let is_bound = match (&refutation.claim, layout) {
            // Whatever else is claimed: it is no run of this model.
            (_, None) => true,
            (RefutedClaim::Length, Some(_)) => return Err(not("the model computes so many values")),
            (RefutedClaim::Tile { tile, chunks, pieces }, Some(layout)) => {
                let weights = &profile.profile.weights_root;
                let mut opened = Opened { run, outline: &outline, chunks: open(run, chunks)?, pieces: BTreeMap::new() };
                opened.pieces = pieces_of(pieces, weights)?;
                refute_tile(run, &layout, *tile, &mut opened)?
            }
            (RefutedClaim::Input { at, opened }, Some(layout)) => {
                refute_input(&challenge, run, (&layout, runs), *at, opened)?;
                true
            }
            (RefutedClaim::Output { opened: shown, chunks }, Some(layout)) => {
                let opened = Opened { run, outline: &outline, chunks: open(run, chunks)?, pieces: BTreeMap::new() };
                refute_output(&challenge, (&layout, runs), shown, &opened)?;
                true
            }
        };
        self.uphold_challenge(key, &challenge, is_bound);
        Ok(())
    }
}

/// Sizes of the whole model, each leaf under its id.
fn outline(pieces: &[OpenedPiece], id: &Digest) -> Result<Outline, Rejection> {
    let (header, nodes) = pieces.split_first().ok_or(not("the model's header is missing"))?;
    let is_in_order = (0_u32..).zip(nodes).all(|(node, piece)| (piece.node, piece.part, piece.piece) == (node, 0, 0));
    if (header.node, header.part, header.piece) != (u32::MAX, 0, 0) || !is_in_order {
        return Err(not("the model's sizes are out of order"));
    }
    if !pieces.iter().all(|piece| is_of(piece, id)) {
        return Err(not("a piece is not the model's"));
    }
    let sizes: Vec<&[u8]> = nodes.iter().map(|piece| piece.bytes.as_slice()).collect();
    Outline::read(&header.bytes, &sizes).ok_or(not("the model's sizes are not whole"))
}

fn is_of(piece: &OpenedPiece, id: &Digest) -> bool {
    let rises = piece.rises.iter();
    let rises: Vec<Rise> =
        rises.map(|rise| Rise { sibling: *rise.sibling.as_bytes(), is_left: rise.is_left }).collect();
    climb_to_id(piece.node, piece.part, piece.piece, &piece.bytes, &rises) == *id.as_bytes()
}

type Pieces<'a> = BTreeMap<(u32, u32, u32), &'a [u8]>;

fn pieces_of<'a>(pieces: &'a [OpenedPiece], id: &Digest) -> Result<Pieces<'a>, Rejection> {
    if !pieces.iter().all(|piece| is_of(piece, id)) {
        return Err(not("a piece is not the model's"));
    }
    Ok(pieces.iter().map(|piece| ((piece.node, piece.part, piece.piece), piece.bytes.as_slice())).collect())
}

/// Values of chunks that hash to what was shown.
fn open<'a>(run: &ShownRun, chunks: &'a [OpenedChunk]) -> Result<BTreeMap<u64, &'a [i32]>, Rejection> {
    let is_shown = |opened: &OpenedChunk| {
        let spans = run.spans.iter().rev().map(|shown| Span { first: shown.first, chunks: shown.chunks });
        // The narrowest that was shown around it; the whole, if no other.
        let part = spans.filter_map(|span| span.part(span.part_of(opened.chunk)?)).next();
        let part = part.unwrap_or_else(|| span_of(&run.trace));
        let hash = shown_hash(run, part)?;
        let found = exact_root(&run.trace).climb(part, opened.chunk, &opened.values, &raw(&opened.path))?;
        Some(found == *hash.as_bytes())
    };
    match chunks.iter().all(|opened| is_shown(opened) == Some(true)) {
        true => Ok(chunks.iter().map(|opened| (opened.chunk, opened.values.as_slice())).collect()),
        false => Err(not("a chunk is not the trace's")),
    }
}

/// What was opened: where a tile's operands come from.
struct Opened<'a> {
    run: &'a ShownRun,
    outline: &'a Outline,
    chunks: BTreeMap<u64, &'a [i32]>,
    pieces: Pieces<'a>,
}

impl Opened<'_> {
    fn read(&self, at: u64) -> Option<i32> {
        let size = u64::try_from(TRACE_CHUNK).ok()?;
        let place = usize::try_from(at.checked_rem(size)?).ok()?;
        let chunk = self.chunks.get(&at.checked_div(size)?);
        chunk.and_then(|values| values.get(place).copied()).or_else(|| shown_value(self.run, at))
    }
}

impl Operands for Opened<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.read(at)
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        let width = self.outline.width(node, part)?;
        let start = usize::try_from(index).ok()?.checked_mul(width)?;
        let piece = u32::try_from(start.checked_div(MODEL_PIECE)?).ok()?;
        let within = start.checked_rem(MODEL_PIECE)?;
        let bytes = self.pieces.get(&(node, part, piece))?.get(within..within.checked_add(width)?)?;
        match *bytes {
            [byte] => Some(i32::from(byte)),
            [low, high] => Some(i32::from(i16::from_le_bytes([low, high]))),
            [a, b, c, d] => Some(i32::from_le_bytes([a, b, c, d])),
            _ => None,
        }
    }
}

/// The tile whose sums were shown. True when the value itself is wrong, which evidence binds; partial sums the worker may have made up when it was
/// asked, and who approved the run has not seen them.
fn refute_tile(run: &ShownRun, layout: &Layout, tile: u32, opened: &mut Opened<'_>) -> Result<bool, Rejection> {
    let (at, sums) = run.sums.as_ref().ok_or(Rejection::WrongState { what: "a tile of a value without sums" })?;
    let tiles = layout.tiles(*at).ok_or(not("an input's value is not computed"))?;
    let shown_value = sums.last().copied();
    let whole = (0..tiles).try_fold(0, |before, tile| layout.execute(*at, tile, before, opened));
    let is_bound = whole.is_some() && whole != shown_value;
    if u32::try_from(sums.len()).ok() != Some(tiles) {
        return Ok(is_bound);
    }
    let index = usize::try_from(tile).map_err(|_| Rejection::Overflow)?;
    let shown = sums.get(index).ok_or(Rejection::OutOfBounds { field: "tile" })?;
    let before = index.checked_sub(1).and_then(|before| sums.get(before)).copied().unwrap_or(0);
    match layout.execute(*at, tile, before, opened) {
        None => Err(not("an operand is not opened")),
        Some(found) if found == *shown => Err(not("the tile is right")),
        Some(_) => Ok(is_bound),
    }
}

/// What is claimed without a part of it: true where kind or number of the parts are others than the model's answers. `None` of other claims.
fn aside(challenge: &Challenge, runs: Runs, claim: &RefutedClaim) -> Result<Option<bool>, Rejection> {
    match claim {
        RefutedClaim::Input { opened: opened @ OpenedInput::Aside(_), .. } => {
            is_other_input(challenge, runs, opened).map(Some)
        }
        RefutedClaim::Output { opened: opened @ OpenedOutput::Aside(_), .. } => {
            is_other_output(challenge, runs, opened).map(Some)
        }
        _ => Ok(None),
    }
}

/// Shown of what the request commits to: whether that is no input of the model, or has another number of parts than were answered.
fn is_other_input(challenge: &Challenge, runs: Runs, opened: &OpenedInput) -> Result<bool, Rejection> {
    let expected = match runs {
        Runs::Tensors => CommittedKind::Tensors,
        Runs::Tokens => CommittedKind::Tokens,
        // What a text's input is made of no ledger can compute.
        Runs::Texts => return Err(not("the input is not of integers")),
    };
    let committed = opened.committed().filter(|_| opened.commitment() == Some(challenge.input));
    let committed = committed.ok_or(not("the request commits to another input"))?;
    Ok((committed.kind, committed.parts) != (expected, challenge.items.into()))
}

/// The same of what the result commits to.
fn is_other_output(challenge: &Challenge, runs: Runs, opened: &OpenedOutput) -> Result<bool, Rejection> {
    let expected = match runs {
        Runs::Tensors | Runs::Texts => CommittedKind::Logits,
        Runs::Tokens => CommittedKind::Vectors,
    };
    let committed = opened.committed().filter(|_| opened.commitment() == Some(challenge.output));
    let committed = committed.ok_or(not("the result commits to another output"))?;
    Ok((committed.kind, committed.parts) != (expected, challenge.items.into()))
}

/// Another length than the input's, or a value of the shown chunk that is not the input's.
fn refute_input(
    challenge: &Challenge,
    run: &ShownRun,
    (layout, runs): (&Layout, Runs),
    at: u64,
    opened: &OpenedInput,
) -> Result<(), Rejection> {
    let is_other = is_other_input(challenge, runs, opened)?;
    let OpenedInput::Part { part, path, .. } = opened else { return Err(not("no part is opened")) };
    if is_other {
        return Ok(());
    }
    if path.index != u64::from(run.item) {
        return Err(not("it is another part of the input"));
    }
    let asked = part.integers();
    if u32::try_from(asked.len()) != Ok(run.trace.length) {
        return Ok(());
    }
    let shown = shown_value(run, at).ok_or(not("the value is not shown"))?;
    let Some((0, index)) = layout.place(at) else { return Err(not("the value is not the input's")) };
    let index = usize::try_from(index).map_err(|_| Rejection::Overflow)?;
    match asked.get(index) {
        Some(asked) if *asked == i64::from(shown) => Err(not("the value is the input's")),
        Some(_) | None => Ok(()),
    }
}

/// What was answered: as its digest says, and as the trace ends.
fn refute_output(
    challenge: &Challenge,
    (layout, runs): (&Layout, Runs),
    shown: &OpenedOutput,
    opened: &Opened<'_>,
) -> Result<(), Rejection> {
    let is_other = is_other_output(challenge, runs, shown)?;
    let OpenedOutput::Part { said, path, .. } = shown else { return Err(not("no part is opened")) };
    if is_other {
        return Ok(());
    }
    if path.index != u64::from(opened.run.item) {
        return Err(not("it is another part of the output"));
    }
    if *said != opened.run.said {
        return Ok(());
    }
    let last = layout.tensors().saturating_sub(1);
    let places = 0..layout.elements(last).unwrap_or(0);
    let values: Option<Vec<i32>> = places.map(|index| layout.at(last, index).and_then(|at| opened.read(at))).collect();
    let values = values.ok_or(not("a last value is not opened"))?;
    let ends = match runs {
        Runs::Tensors | Runs::Texts => Some(Logits::new(values).digest()),
        Runs::Tokens => direction(&values).map(|vector| Embedding::new(&vector).digest()),
    };
    if ends == Some(*said) { Err(not("the answer is what the trace ends with")) } else { Ok(()) }
}
