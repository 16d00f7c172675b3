//! One tile of every kind of operation, computed of a run's values and of values that only a liar has (SPEC V11,
//! `docs/exact.md`). What the ledger comes to shows best where it is what was shown: any other number convicts.

use super::book::{Book, Page, with};
use super::challenges::{WRONG, usual};
use crate::tests::challenges::player::{Player, piece};
use crate::tests::support::*;
use inferium_exact::{Layout, Model, ModelTree, Node, Op, Operands, Outline, Shape, Table, model_id};
use inferium_types::{Digest, OpenedPiece, Refutation, RefutedClaim, TransactionBody};
use std::collections::BTreeSet;

pub(super) fn write(book: &mut Book) {
    let page = &mut book.page("refuted_tile");
    let mut player = usual(Player::approved("mlp-tiny", WRONG));
    player.open();
    player.show();
    player.ask(1);
    player.show();
    let tables = Subject::new(tables(), 65);
    let (tame, high, low) = (tables.tame(0), tables.wild([i32::MAX; 6]), tables.wild([i32::MIN; 6]));
    let mut sums =
        |name, values: &[i32], at, wrong| Case { name, subject: &tables, at }.add(page, &player, values, wrong);
    sums("the first tile of a sum", &tame, (1, 0, 0), true);
    sums("the last tile of a sum", &tame, (1, 1, 1), true);
    sums("a sum that leaves 32 bits", &high, (1, 0, 1), false);
    sums("an entry of a table", &tame, (2, 1, 0), false);
    sums("a value above the table", &high, (2, 0, 0), false);
    sums("a value below the table", &low, (2, 0, 0), false);
    sums("an affine value that leaves 32 bits", &high, (3, 1, 0), false);
    sums("an affine value", &tame, (3, 0, 0), false);
    let images = Subject::new(images(), 32);
    let (tame, wild) = (images.tame(0), images.wild([i32::MAX, -3, i32::MIN, 1 << 16, 5, -(1 << 30)]));
    let mut image =
        |name, values: &[i32], at, wrong| Case { name, subject: &images, at }.add(page, &player, values, wrong);
    image("a corner of a convolution", &tame, (1, 0, 0), false);
    image("an edge of a convolution", &tame, (1, 23, 0), false);
    image("a convolution inside that leaves 32 bits", &wild, (1, 21, 0), false);
    image("a block of a pooling", &tame, (2, 7, 0), false);
    image("a block that leaves 32 bits", &wild, (2, 1, 0), false);
    image("an element of a vector that was an image", &tame, (3, 5, 0), false);
    image("a window without padding", &wild, (4, 2, 0), false);
    let attention = Subject::new(attention(), 3);
    let (tame, wild) = (attention.tame(3), attention.wild([7, i32::MAX, -5, i32::MIN, 1 << 20, 2]));
    let mut heads =
        |name, values: &[i32], at, wrong| Case { name, subject: &attention, at }.add(page, &player, values, wrong);
    heads("an embedding", &tame, (1, 4, 0), true);
    heads("tokens that there are not, above", &wild, (1, 0, 0), false);
    heads("tokens that there are not, below", &wild, (1, 2, 0), false);
    heads("a score", &tame, (2, 15, 0), false);
    heads("a score that leaves 32 bits", &wild, (2, 4, 0), false);
    heads("a share", &tame, (3, 13, 0), true);
    heads("a share of values far apart", &wild, (3, 10, 0), false);
    heads("a mixture", &tame, (4, 7, 0), false);
    heads("a mixture that leaves 32 bits", &wild, (4, 10, 0), false);
    let residual = Subject::new(residual(), 3);
    let (tame, wild) = (residual.tame(3), residual.wild([i32::MAX, 9, i32::MIN, -(1 << 30), 1 << 17, -1]));
    let mut rest =
        |name, values: &[i32], at, wrong| Case { name, subject: &residual, at }.add(page, &player, values, wrong);
    rest("a normalised value", &tame, (2, 10, 0), true);
    rest("a normalised value at another position", &tame, (2, 3, 0), false);
    rest("a normalised value at the last position", &tame, (2, 5, 0), false);
    rest("a normalised value of large ones", &wild, (2, 1, 0), false);
    rest("a normalised value without the mean", &tame, (3, 4, 0), false);
    rest("a scaled value", &tame, (4, 8, 0), false);
    rest("a scaled value that leaves 32 bits", &wild, (4, 3, 0), false);
    rest("a sum of two", &tame, (5, 5, 0), false);
    rest("a sum of two that leaves 32 bits", &wild, (5, 0, 0), false);
    rest("a sum of positions", &tame, (6, 1, 0), false);
    missing(page, &player, &attention, &residual);
    let refutation = Box::new(Refutation { outline: Vec::new(), claim: RefutedClaim::Length });
    let body = TransactionBody::RefuteTrace { segment: player.segment, refutation };
    page.doors(&player.chain, &player.challenger, &body);
}

fn node(input: u32, op: Op) -> Node {
    Node { op, input }
}

/// A sum of two tiles, a table, and affine values.
fn tables() -> Model {
    let weights = (0..130).map(|index| index % 11 - 5).collect();
    let table = Table { first: -2, values: vec![-100, -7, 30, 4_000] };
    let nodes = vec![
        node(0, Op::Dense { outputs: 2, weights }),
        node(1, Op::Requantise { shift: 6, table }),
        node(1, Op::Affine { mantissas: vec![200, 3], biases: vec![-70_000, 70_000] }),
    ];
    Model { name: "tables".into(), input: Shape::vector(65), input_min: -128, input_max: 127, nodes }
}

fn images() -> Model {
    let weights = |count: i16| (0..count).map(|index| index * 7 % 19 - 9).collect::<Vec<i16>>();
    let nodes = vec![
        node(0, Op::Conv2d { outputs: 2, kernel: 3, padding: 1, weights: weights(36) }),
        node(1, Op::SumPool { size: 2 }),
        node(2, Op::Flatten),
        node(2, Op::Conv2d { outputs: 3, kernel: 2, padding: 0, weights: weights(24) }),
    ];
    let input = Shape { channels: 2, height: 4, width: 4 };
    Model { name: "images".into(), input, input_min: -128, input_max: 127, nodes }
}

fn embedding() -> Node {
    let tokens = (0..12).map(|index| index * 13 % 29 - 11).collect();
    let positions = (0..16).map(|index| 5 - index).collect();
    node(0, Op::Embedding { outputs: 4, tokens, positions })
}

fn sequence(name: &str, nodes: Vec<Node>) -> Model {
    let input = Shape { channels: 1, height: 1, width: 4 };
    Model { name: name.into(), input, input_min: 0, input_max: 2, nodes }
}

fn attention() -> Model {
    let nodes = vec![
        embedding(),
        node(1, Op::Scores { heads: 2, keys: 1 }),
        node(2, Op::Softmax { shift: 2, bits: 15, exponentials: vec![30_000, 20_000, 9_000, 100] }),
        node(3, Op::Mix { values: 1 }),
    ];
    sequence("attention", nodes)
}

fn residual() -> Model {
    let nodes = vec![
        embedding(),
        node(1, Op::Normalise { is_centred: true, epsilon: 7, shift: 16 }),
        node(1, Op::Normalise { is_centred: false, epsilon: u32::MAX, shift: 9 }),
        node(2, Op::Scale { gains: vec![300, -300, 7, 1], biases: vec![1, -2, 3, -70_000] }),
        node(4, Op::Add { other: 1 }),
        node(5, Op::SumPositions),
    ];
    sequence("residual", nodes)
}

/// A model, and a length of its input.
struct Subject {
    model: Model,
    length: u32,
    layout: Layout,
}

impl Subject {
    fn new(model: Model, length: u32) -> Self {
        let layout = Outline::of(&model).laid_out(length).unwrap();
        Self { model, length, layout }
    }

    /// Small values; those of the input are below `tokens`, if there are any.
    fn tame(&self, tokens: i32) -> Vec<i32> {
        let length = i32::try_from(self.length).unwrap();
        let value = |index: i32| match index < length && tokens > 0 {
            true => index % tokens,
            false => index * 37 % 101 - 45,
        };
        (0..i32::try_from(self.layout.values()).unwrap()).map(value).collect()
    }

    /// Values of a liar, in turn.
    fn wild(&self, values: [i32; 6]) -> Vec<i32> {
        values.into_iter().cycle().take(self.layout.values().try_into().unwrap()).collect()
    }

    fn open(&self, place: (u32, u32, u32)) -> OpenedPiece {
        piece(&ModelTree::new(&self.model), place.0, place.1, place.2)
    }

    fn outline(&self) -> Vec<OpenedPiece> {
        let nodes = 0..u32::try_from(self.model.nodes.len()).unwrap();
        std::iter::once(u32::MAX).chain(nodes).map(|node| self.open((node, 0, 0))).collect()
    }

    /// All sums of a value, and what the tile reads of the model.
    fn sums(&self, values: &[i32], at: u64, tile: u32) -> (Vec<i32>, Vec<OpenedPiece>) {
        let (mut sums, mut pieces): (Vec<i32>, _) = (Vec::new(), BTreeSet::new());
        for each in 0..self.layout.tiles(at).unwrap() {
            let mut reader = Reader { subject: self, values, pieces: BTreeSet::new() };
            let before = sums.last().copied().unwrap_or(0);
            sums.push(self.layout.execute(at, each, before, &mut reader).unwrap());
            if each == tile {
                pieces = reader.pieces;
            }
        }
        (sums, pieces.into_iter().map(|place| self.open(place)).collect())
    }

    /// The chain in which this model's run has these values, and the one at `at` these sums.
    fn shown(&self, player: &Player, values: &[i32], at: u64, sums: Vec<i32>) -> Chain {
        with(&player.chain, |state| {
            let key = (player.segment, id(&player.challenger));
            let mut entry = player.challenge().unwrap().clone();
            let run = entry.run.as_mut().unwrap();
            (run.trace.length, run.trace.values) = (self.length, values.len().try_into().unwrap());
            (run.chunk, run.sums) = (Some((0, values.to_vec())), Some((at, sums)));
            state.profiles.get_mut(&entry.profile).unwrap().profile.weights_root = Digest::from(model_id(&self.model));
            state.set_challenge(key, Some(entry));
        })
    }

    fn refutation(&self, player: &Player, tile: u32, pieces: Vec<OpenedPiece>) -> TransactionBody {
        let claim = RefutedClaim::Tile { tile, chunks: Vec::new(), pieces };
        let refutation = Box::new(Refutation { outline: self.outline(), claim });
        TransactionBody::RefuteTrace { segment: player.segment, refutation }
    }
}

/// A value by tensor and index, and a tile of it.
struct Case<'a> {
    name: &'static str,
    subject: &'a Subject,
    at: (u32, u64, u32),
}

impl Case<'_> {
    /// What was shown is right, and refused for that; where that is `wrong` as well, what is one more convicts.
    fn add(self, page: &mut Page<'_>, player: &Player, values: &[i32], wrong: bool) {
        let Self { name, subject, at: (tensor, index, tile) } = self;
        let at = subject.layout.at(tensor, index).unwrap();
        let (mut sums, pieces) = subject.sums(values, at, tile);
        let body = subject.refutation(player, tile, pieces);
        let chain = subject.shown(player, values, at, sums.clone());
        page.invalid(name, "V11", &chain, &player.challenger, body.clone(), "evidence");
        if wrong {
            sums[usize::try_from(tile).unwrap()] += 1;
            let chain = subject.shown(player, values, at, sums);
            page.valid(&format!("{name}: one more"), "V11", &chain, &player.challenger, body);
        }
    }
}

/// Numbers that are not there, and lengths that the model takes and does not take.
fn missing(page: &mut Page<'_>, player: &Player, attention: &Subject, residual: &Subject) {
    let mut refuse = |name: &str, subject: &Subject, (tensor, index): (u32, u64), drop: usize| {
        let (values, at) = (subject.tame(3), subject.layout.at(tensor, index).unwrap());
        let (sums, mut pieces) = subject.sums(&values, at, 0);
        pieces.remove(drop);
        let body = subject.refutation(player, 0, pieces);
        let chain = subject.shown(player, &values, at, sums);
        page.invalid(name, "V11", &chain, &player.challenger, body, "evidence");
    };
    refuse("an embedding without the tokens' table", attention, (1, 4), 0);
    refuse("an embedding without the positions' table", attention, (1, 4), 1);
    refuse("a share without the exponentials", attention, (3, 13), 0);
    refuse("a scaled value without its gain", residual, (4, 8), 0);
    refuse("a scaled value without its bias", residual, (4, 8), 1);
    // A sequence may be as long as the longest, and no longer: then nothing else is looked at.
    for (name, length, error) in [
        ("a sequence as long as the longest", 4, Some("evidence")),
        ("a sequence of one position", 1, Some("evidence")),
        ("a sequence of one position more", 5, None),
        ("a sequence of nothing", 0, None),
    ] {
        let whole = Subject::new(self::residual(), length.clamp(1, 4));
        let values = whole.tame(3);
        let mut chain = whole.shown(player, &values, 0, Vec::new());
        chain = with(&chain, |state| {
            let key = (player.segment, id(&player.challenger));
            let mut entry = state.challenge(&key.0, &key.1).unwrap().clone();
            entry.run.as_mut().unwrap().trace.length = length;
            state.set_challenge(key, Some(entry));
        });
        let refutation = Box::new(Refutation { outline: whole.outline(), claim: RefutedClaim::Length });
        let body = TransactionBody::RefuteTrace { segment: player.segment, refutation };
        match error {
            Some(error) => page.invalid(name, "V11", &chain, &player.challenger, body, error),
            None => page.valid(name, "V11", &chain, &player.challenger, body),
        }
    }
}

/// Operands, with what was read of the model.
struct Reader<'a> {
    subject: &'a Subject,
    values: &'a [i32],
    pieces: BTreeSet<(u32, u32, u32)>,
}

impl Operands for Reader<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.values.get(usize::try_from(at).ok()?).copied()
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        self.pieces.insert((node, part, 0));
        self.subject.model.number(node, part, index)
    }
}
