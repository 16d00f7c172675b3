use proptest::prelude::*;

use super::*;
use crate::model::{ACCUMULATOR_MAX, Node, Op, Table};
use crate::root::{MODEL_PIECE, each_leaf, header, model_id, parts};
use crate::run::{Trace, run};
use crate::sequence::tests::{Draw, small, tokens, transformer};
use crate::synthetic::synthetic;

fn random(seed: u64, count: usize) -> Vec<i32> {
    let mut bytes = vec![0; 4 * count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.as_chunks().0.iter().map(|four| i32::from_le_bytes(*four)).collect()
}

/// A number below `below`, drawn.
fn pick(seed: u64, below: u64) -> u64 {
    let hash = blake3::hash(&seed.to_le_bytes());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % below.max(1)
}

fn recorded(chunks: u64, missing: usize) -> Recorded {
    let count = usize::try_from(chunks).unwrap() * TRACE_CHUNK - missing;
    Recorded::from_values(7, random(chunks, count))
}

#[test]
fn the_hash_is_blake3_over_the_stream() {
    for count in [0, 1, 2, 255, 256, 257, 511, 512, 513, 1023, 1025, 3000, 256 * 1025 + 1] {
        let recorded = Recorded::from_values(9, random(3, count));
        let bytes: Vec<u8> = recorded.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        let expected = blake3::Hasher::new_derive_key("inferium exact trace 2026-12").update(&bytes).finalize();
        let root = recorded.root();
        assert_eq!((root.length, root.values, root.hash), (9, count as u64, *expected.as_bytes()));
        assert_eq!(recorded.hash(root.whole()), root.hash);
        assert_eq!(root.whole().chunks, count.div_ceil(256).max(1) as u64);
    }
}

/// Every part of a span: shown, and refused when anything of it is another.
fn check_shown(recorded: &Recorded, span: Span) {
    let (root, shown, hash) = (recorded.root(), recorded.show(span), recorded.hash(span));
    assert_eq!(shown.len() as u64, span.parts());
    assert!(shown.len() <= SHOWN_MAX);
    if span.chunks == 1 {
        assert!(shown.is_empty() && !root.shows(span, &hash, &[]) && !root.shows(span, &hash, &[hash]));
        return;
    }
    assert!(root.shows(span, &hash, &shown));
    let (mut end, mut sizes) = (span.first, Vec::new());
    for index in 0..span.parts() {
        let part = span.part(index).unwrap();
        assert_eq!((part.first, span.part_of(end)), (end, Some(index)));
        assert_eq!(shown[usize::try_from(index).unwrap()], recorded.hash(part));
        end += part.chunks;
        sizes.push(part.chunks);
    }
    assert_eq!((end, span.part(span.parts()), span.part_of(end)), (span.first + span.chunks, None, None));
    assert!(sizes[0].is_power_of_two() && sizes[..sizes.len() - 1].iter().all(|size| *size == sizes[0]));
    assert!(sizes[0] == 1 || span.chunks.div_ceil(sizes[0] / 2) > SHOWN_MAX as u64);

    let wrong = |change: &dyn Fn(&mut Vec<[u8; 32]>)| {
        let mut other = shown.clone();
        change(&mut other);
        assert!(!root.shows(span, &hash, &other));
    };
    wrong(&|shown| shown.truncate(shown.len() - 1));
    wrong(&|shown| shown.push([0; 32]));
    wrong(&|shown| shown.clear());
    wrong(&|shown| shown.swap(0, 1));
    for index in [0, shown.len() / 2, shown.len() - 1] {
        wrong(&|shown| shown[index][31] ^= 1);
    }
    let mut other = hash;
    other[0] ^= 128;
    assert!(!root.shows(span, &other, &shown));
    // The whole has the hash of a root, which the same chunks of a longer trace have not.
    let longer = TraceRoot { values: 256 * (root.whole().chunks + 1), ..root };
    assert!(span != root.whole() || !longer.shows(span, &hash, &shown));
}

/// A chunk of a span: opened by its siblings, and not when anything of it is another.
fn check_climb(recorded: &Recorded, span: Span, chunk: u64) {
    let (root, hash) = (recorded.root(), recorded.hash(span));
    let (values, path) = (recorded.chunk(chunk), recorded.path(span, chunk));
    assert_eq!(root.climb(span, chunk, values, &path), Some(hash));
    let mut longer = path.clone();
    longer.push([0; 32]);
    assert_eq!(root.climb(span, chunk, values, &longer), None);
    for index in 0..path.len() {
        assert_eq!(root.climb(span, chunk, values, &path[..index]), None);
        let mut other = path.clone();
        other[index][index] ^= 4;
        assert!(root.climb(span, chunk, values, &other).is_some_and(|other| other != hash));
    }
    let mut other = values.to_vec();
    other[0] ^= 1;
    assert!(root.climb(span, chunk, &other, &path).is_some_and(|other| other != hash));
    assert_eq!(root.climb(span, chunk, &values[1..], &path), None);
    assert_eq!(root.climb(span, span.first + span.chunks, values, &path), None);
    assert_eq!(root.climb(span, span.first.wrapping_sub(1), values, &path), None);
    if span.chunks > 1 {
        let neighbour = if chunk == span.first { chunk + 1 } else { chunk - 1 };
        assert_ne!(root.climb(span, neighbour, values, &path), Some(hash));
    }
}

#[test]
fn every_part_is_shown_and_nothing_else_is() {
    for (chunks, missing) in
        [(1, 0), (1, 255), (2, 0), (2, 9), (3, 0), (5, 255), (1023, 1), (1024, 0), (1025, 3), (3000, 7)]
    {
        let recorded = recorded(chunks, missing);
        let root = recorded.root();
        let last = chunks - 1;
        for chunk in [0, 1, 2, last / 2, last / 2 + 1, 1023, 1024, last.saturating_sub(1), last] {
            if chunk > last {
                assert!(recorded.chunk(chunk).is_empty());
                continue;
            }
            let mut span = root.whole();
            loop {
                check_shown(&recorded, span);
                check_climb(&recorded, span, chunk);
                let Some(part) = span.part_of(chunk) else { break };
                span = span.part(part).unwrap();
            }
            assert_eq!(span, Span { first: chunk, chunks: 1 });
            let (hash, values) = (recorded.hash(span), recorded.chunk(chunk));
            assert!(root.shows_chunk(chunk, &hash, values));
            assert!(!root.shows_chunk(chunk, &hash, &values[1..]));
            assert!(!root.shows_chunk(chunk, &hash, &[values, &[0]].concat()));
            assert!(!root.shows_chunk(chunk + 1, &hash, values));
            assert!(!root.shows_chunk(u64::MAX, &hash, values));
            let mut other = values.to_vec();
            *other.last_mut().unwrap() ^= i32::MIN;
            assert!(!root.shows_chunk(chunk, &hash, &other));
        }
        assert!(recorded.chunk(chunks).is_empty() && recorded.chunk(u64::MAX).is_empty());
    }
}

#[test]
fn what_is_no_subtree_is_refused() {
    let recorded = recorded(13, 0);
    let root = recorded.root();
    let mut found = Vec::new();
    for (first, chunks) in (0..15).flat_map(|first| (0..15).map(move |chunks| (first, chunks))) {
        let span = Span { first, chunks };
        if root.has(span) {
            check_shown(&recorded, span);
            (first..first + chunks).for_each(|chunk| check_climb(&recorded, span, chunk));
            found.push((first, chunks));
        } else {
            assert_eq!((recorded.hash(span), recorded.show(span)), ([0; 32], vec![]));
            assert!(
                recorded.path(span, first).is_empty() && root.climb(span, first, recorded.chunk(first), &[]).is_none()
            );
        }
    }
    let pairs = [(0, 13), (0, 8), (0, 4), (4, 4), (8, 4), (8, 5)];
    let expected = pairs.into_iter().chain((0..6).map(|pair| (2 * pair, 2))).chain((0..13).map(|chunk| (chunk, 1)));
    let mut expected: Vec<_> = expected.collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn spans_of_any_size_have_few_parts_and_nothing_panics(
        first in any::<u64>(), chunks in any::<u64>(), shift in 0_u32..64, values in any::<u64>(),
        chunk in any::<u64>(),
    ) {
        let span = Span { first: first >> shift, chunks: chunks >> shift };
        prop_assert!(span.parts() <= SHOWN_MAX as u64);
        if let Some(part) = span.part(span.parts() / 2) {
            prop_assert!(part.chunks < span.chunks && span.part_of(part.first) == Some(span.parts() / 2));
        }
        let root = TraceRoot { length: 1, values, hash: [0; 32] };
        for span in [span, root.whole(), Span { first: chunk, chunks: 1 }] {
            let shown = vec![[0; 32]; usize::try_from(span.parts()).unwrap()];
            prop_assert!(!root.shows(span, &root.hash, &shown));
            for chunk in [chunk, root.whole().chunks - 1] {
                prop_assert_ne!(root.climb(span, chunk, &[0; 256], &[[0; 32]; 3]), Some(root.hash));
                prop_assert!(!root.shows_chunk(chunk, &root.hash, &[0; 256]));
            }
        }
    }
}

/// A network of images with every operation that it can have, of drawn numbers.
fn pictures(seed: u64, input: Shape, outputs: u32, kernel: u32, padding: u32) -> Model {
    let mut draw = Draw::new(seed);
    let (mut nodes, mut short) = (Vec::new(), |bits| i32::from(draw.short(bits)));
    let mut push = |op: Op, input: u32| {
        nodes.push(Node { op, input });
        nodes.len() as u32
    };
    let shorts = |count: u32, bits: u32, short: &mut dyn FnMut(u32) -> i32| -> Vec<i16> {
        (0..count).map(|_| short(bits) as i16).collect()
    };
    let weights = shorts(outputs * input.channels * kernel * kernel, 8, &mut short);
    let sums = push(Op::Conv2d { outputs, kernel, padding, weights }, 0);
    let biases: Vec<i32> = (0..outputs).map(|_| short(16)).collect();
    let mantissas = (0..outputs).map(|_| (short(16) & 7) as u8).collect();
    let scaled = push(Op::Affine { mantissas, biases: biases.clone() }, sums);
    let entry = |index: i32| i16::try_from((index - 8192).clamp(-500, 700)).unwrap();
    let table = Table { first: -8192, values: (0..1 << 14).map(entry).collect() };
    let values = push(Op::Requantise { shift: 12, table }, scaled);
    let pooled = push(Op::SumPool { size: 2 }, values);
    push(Op::Affine { mantissas: vec![], biases: biases.clone() }, pooled);
    let normal = push(Op::Normalise { is_centred: seed & 1 == 0, epsilon: 77, shift: 15 }, values);
    let scaled = push(Op::Scale { gains: shorts(outputs, 12, &mut short), biases }, normal);
    push(Op::Add { other: values }, scaled);
    let exponentials = (0..64).map(|index| 8000_i16 >> (index / 5)).collect();
    let shares = push(Op::Softmax { shift: 3, bits: 14, exponentials }, values);
    push(Op::SumPositions, values);
    push(Op::Flatten, pooled);
    let vector = push(Op::Flatten, shares);
    let side = |side: u32| side + 2 * padding + 1 - kernel;
    let length = outputs * side(input.height) * side(input.width);
    let last = push(Op::Dense { outputs: 3, weights: shorts(3 * length, 6, &mut short) }, vector);
    push(Op::Affine { mantissas: vec![1; 3], biases: vec![5; 3] }, last);
    Model { name: "pictures".into(), input, input_min: 0, input_max: 255, nodes }
}

fn picture(model: &Model, seed: u64) -> Vec<i32> {
    let count = usize::try_from(model.input.elements()).unwrap();
    random(seed, count).iter().map(|value| value & 255).collect()
}

/// Reads the stream and the model, without one operand.
struct Reader<'a> {
    stream: &'a [i32],
    /// By node and part.
    numbers: Vec<Vec<Vec<i32>>>,
    reads: usize,
    values: Vec<u64>,
    withheld: usize,
}

impl<'a> Reader<'a> {
    fn new(model: &Model, stream: &'a [i32]) -> Self {
        let outline = Outline::of(model);
        let number = |bytes: &[u8]| match *bytes {
            [byte] => i32::from(byte),
            [low, high] => i32::from(i16::from_le_bytes([low, high])),
            _ => i32::from_le_bytes(bytes.try_into().unwrap()),
        };
        let node = |(index, node): (u32, &Node)| {
            let each = (1..).zip(parts(&node.op).1).map(|(part, bytes)| {
                let width = outline.width(index, part).unwrap();
                assert!(bytes.len().is_multiple_of(width) && MODEL_PIECE.is_multiple_of(width));
                bytes.chunks(width).map(number).collect()
            });
            let each: Vec<Vec<i32>> = each.collect();
            assert_eq!(outline.width(index, each.len() as u32 + 1), None);
            assert_eq!(outline.width(index, 0), None);
            each
        };
        let numbers = (0..).zip(&model.nodes).map(node).collect();
        Self { stream, numbers, reads: 0, values: Vec::new(), withheld: usize::MAX }
    }

    fn count(&mut self) -> Option<()> {
        self.reads += 1;
        (self.reads - 1 != self.withheld).then_some(())
    }
}

impl Operands for Reader<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.count()?;
        self.values.push(at);
        self.stream.get(usize::try_from(at).ok()?).copied()
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        self.count()?;
        let part = self.numbers[node as usize].get((part as usize).checked_sub(1)?)?;
        part.get(usize::try_from(index).ok()?).copied()
    }
}

/// Values of a run, at most `most` of each tensor, are what their tiles give.
fn check_executed(model: &Model, input: &[i32], most: u64) {
    let trace = run(model, input).unwrap();
    let recorded = Recorded::of(model, &trace).unwrap();
    let engine = Engine::new(model).unwrap();
    assert_eq!(engine.commit(input).unwrap(), (trace.output().to_vec(), recorded.root()));
    let layout = Outline::of(model).laid_out(u32::try_from(input.len()).unwrap()).unwrap();
    assert_eq!(layout.values(), recorded.root().values);
    assert_eq!(layout.tensors() as usize, model.nodes.len() + 1);
    let stream = recorded.values();
    let mut reader = Reader::new(model, stream);
    for (tensor, values) in (0..).zip(&trace.values) {
        let count = values.len() as u64;
        assert_eq!((layout.elements(tensor), layout.at(tensor, count)), (Some(count), None));
        for draw in 0..count.min(most) {
            let index = if count <= most { draw } else { pick(draw + 1000 * u64::from(tensor), count) };
            let value = values[usize::try_from(index).unwrap()];
            let at = layout.at(tensor, index).unwrap();
            assert_eq!(layout.place(at), Some((tensor, index)));
            assert_eq!(stream[usize::try_from(at).unwrap()], value);
            if tensor == 0 {
                assert_eq!((layout.tiles(at), layout.execute(at, 0, 0, &mut reader)), (None, None));
                continue;
            }
            check_value(&layout, &mut reader, at, value);
        }
    }
    let end = layout.values();
    assert_eq!((layout.place(end), layout.tiles(end), layout.place(u64::MAX)), (None, None, None));
    assert_eq!((layout.elements(layout.tensors()), layout.at(layout.tensors(), 0)), (None, None));
    assert_eq!(layout.execute(end, 0, 0, &mut reader), None);
}

fn check_value(layout: &Layout, reader: &mut Reader<'_>, at: u64, value: i32) {
    let (tensor, _) = layout.place(at).unwrap();
    let (tiles, own) = (layout.tiles(at).unwrap(), layout.at(tensor, 0).unwrap());
    let is_sum = layout.reading(tensor).unwrap().operands().is_some();
    let mut sum = 0;
    for tile in 0..tiles {
        (reader.reads, reader.withheld) = (0, usize::MAX);
        reader.values.clear();
        let before = sum;
        sum = layout.execute(at, tile, before, reader).unwrap();
        assert!(i64::from(sum).abs() <= ACCUMULATOR_MAX);
        assert!(reader.values.iter().all(|read| *read < own), "only earlier tensors are read");
        let reads = reader.reads;
        assert!(!is_sum || reads <= 2 * TILE);
        for withheld in [0, reads / 2, reads.saturating_sub(1)].into_iter().filter(|withheld| *withheld < reads) {
            (reader.reads, reader.withheld) = (0, withheld);
            assert_eq!(layout.execute(at, tile, before, reader), None);
            assert_eq!(reader.reads, withheld + 1, "nothing is read after what is missing");
        }
        reader.withheld = usize::MAX;
        if is_sum && tile > 0 {
            assert_eq!(layout.execute(at, tile, before.wrapping_add(1), reader), Some(sum.wrapping_add(1)));
        }
    }
    assert_eq!(sum, value);
    assert_eq!(layout.execute(at, tiles, sum, reader), None);
    assert_eq!(layout.execute(at, u32::MAX, sum, reader), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_value_of_pictures_is_what_its_tiles_give(
        channels in 1_u32..9, outputs in 1_u32..7, kernel in 1_u32..5, padding in 0_u32..4, height in 5_u32..9,
        width in 5_u32..10, seed in any::<u64>(),
    ) {
        let input = Shape { channels, height, width };
        let model = pictures(seed, input, outputs, kernel, padding.min(kernel - 1));
        check_executed(&model, &picture(&model, seed), 60);
    }

    #[test]
    fn every_value_of_sequences_is_what_its_tiles_give(
        seed in any::<u64>(), length in 1_u32..90, heads in 1_u32..4, size in 1_u32..90, is_centred in any::<bool>(),
    ) {
        let model = transformer(seed, length, heads, (size / heads).max(1), is_centred);
        let input = tokens(&mut Draw::new(!seed), length as usize);
        for length in [1, input.len().div_ceil(2), input.len()] {
            check_executed(&model, &input[..length], 25);
        }
    }
}

#[test]
fn all_values_of_small_models_are_what_their_tiles_give() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let (model, input) = synthetic(name).unwrap().unwrap();
        check_executed(&model, &input, 3000);
    }
    check_executed(&small(), &[5, 1, 22, 9], u64::MAX);
    check_executed(&small(), &[7], u64::MAX);
    let model = pictures(4, Shape { channels: 9, height: 5, width: 6 }, 4, 3, 1);
    check_executed(&model, &picture(&model, 1), u64::MAX);
}

#[test]
fn a_stream_has_a_sequences_positions_together() {
    let model = small();
    let input = [5, 1, 22];
    let trace = run(&model, &input).unwrap();
    let recorded = Recorded::of(&model, &trace).unwrap();
    assert_eq!(recorded.values()[..3], input);
    // The embedding: ten channels of three positions.
    let embedded = &trace.values[1];
    let by_position: Vec<i32> = (0..3).flat_map(|t| (0..10).map(move |c| embedded[c * 3 + t])).collect();
    assert_eq!(recorded.values()[3..33], by_position);
    // The scores have rows, so they stand as they are.
    assert_eq!(recorded.values()[33..51], trace.values[2]);
    let mut shorter = trace.clone();
    shorter.values[2].pop();
    assert!(Recorded::of(&model, &shorter).is_err());
    assert!(Recorded::of(&model, &Trace { values: vec![] }).is_err());
    let engine = Engine::new(&model).unwrap();
    assert!(engine.commit(&[]).is_err() && engine.commit(&[0; 10]).is_err() && engine.commit(&[-1]).is_err());
}

fn models() -> [Model; 4] {
    [
        small(),
        transformer(5, 40, 2, 30, true),
        pictures(9, Shape { channels: 3, height: 9, width: 8 }, 5, 3, 1),
        synthetic("lenet-5").unwrap().unwrap().0,
    ]
}

#[test]
fn every_leaf_gives_the_id_and_no_other_bytes_do() {
    for model in models() {
        let (tree, id) = (ModelTree::new(&model), model_id(&model));
        assert_eq!(tree.id(), id);
        let mut leaves = Vec::new();
        each_leaf(&model, |place, bytes| leaves.push((place, bytes.to_vec())));
        assert_eq!(leaves[0].0, (u32::MAX, 0, 0));
        for ((node, part, piece), expected) in leaves {
            let (bytes, rises) = tree.open(node, part, piece).unwrap();
            assert_eq!(bytes, expected);
            assert!(bytes.len() <= MODEL_PIECE);
            let climbed = |bytes: &[u8], rises: &[Rise]| climb_to_id(node, part, piece, bytes, rises);
            assert_eq!(climbed(&bytes, &rises), id);
            let mut other = bytes.clone();
            *other.last_mut().unwrap() ^= 1;
            assert_ne!(climbed(&other, &rises), id);
            assert_ne!(climbed(&bytes[1..], &rises), id);
            assert_ne!(climbed(&[&bytes[..], &[0]].concat(), &rises), id);
            assert_ne!(climbed(&bytes, &rises[1..]), id);
            let places =
                [(node ^ 1, part, piece), (node, part + 1, piece), (node, part, piece ^ 1), (part, node, piece)];
            for (node, part, piece) in places.into_iter().filter(|place| *place != (node, part, piece)) {
                assert_ne!(climb_to_id(node, part, piece, &bytes, &rises), id);
            }
            for index in 0..rises.len() {
                let mut other = rises.clone();
                other[index].is_left ^= true;
                assert_ne!(climbed(&bytes, &other), id);
                other.clone_from(&rises);
                other[index].sibling[5] ^= 1;
                assert_ne!(climbed(&bytes, &other), id);
            }
        }
        let nodes = model.nodes.len() as u32;
        for (node, part, piece) in
            [(nodes, 0, 0), (0, 9, 0), (0, 1, 1000), (0, 0, 1), (u32::MAX, 0, 1), (u32::MAX, 1, 0)]
        {
            assert_eq!(tree.open(node, part, piece), None);
        }
    }
}

/// The leaves that an outline is read from.
fn opened(model: &Model) -> (Vec<u8>, Vec<Vec<u8>>) {
    let tree = ModelTree::new(model);
    let sizes = (0..model.nodes.len() as u32).map(|node| tree.open(node, 0, 0).unwrap().0);
    (tree.open(u32::MAX, 0, 0).unwrap().0, sizes.collect())
}

fn read(header: &[u8], sizes: &[Vec<u8>]) -> Option<Outline> {
    Outline::read(header, &sizes.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn outlines_are_read_from_leaves() {
    for model in models() {
        let (header, sizes) = opened(&model);
        let outline = Outline::of(&model);
        assert_eq!(read(&header, &sizes).as_ref(), Some(&outline));
        assert_eq!(outline.nodes() as usize, model.nodes.len());
        assert_eq!(outline.width(outline.nodes(), 1), None);
        let longest = u32::try_from(model.input.elements()).unwrap();
        for length in [0, 1, longest - 1, longest, longest + 1, u32::MAX] {
            let is_legal = length == longest || (model.is_sequence() && length > 0 && length < longest);
            assert_eq!(outline.laid_out(length).is_some(), is_legal, "{length} of {longest}");
        }
    }
    // Numbers of 16 bits, bytes, and 32 bits; and an operation without any.
    let outline = Outline::of(&pictures(9, Shape { channels: 3, height: 9, width: 8 }, 5, 3, 1));
    assert_eq!(
        [(0, 1), (1, 1), (1, 2), (3, 1)].map(|(node, part)| outline.width(node, part)),
        [Some(2), Some(1), Some(4), None]
    );
}

/// Gives anything, and not for ever.
struct Wild(u64);

impl Operands for Wild {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.0 = self.0.checked_sub(1)?;
        Some([i32::MIN, i32::MAX, -1, 0, 70_000][usize::try_from((at ^ self.0) % 5).unwrap()])
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        self.value(index ^ u64::from(node ^ part))
    }
}

/// Whatever an outline is read from: it is refused, or everything can be asked of it, in little memory.
fn check_hostile(header: &[u8], sizes: &[Vec<u8>], seed: u64) -> bool {
    let bytes = header.len() + sizes.iter().map(Vec::len).sum::<usize>();
    let mut is_read = false;
    let taken = allocation_counter::measure(|| {
        let Some(outline) = read(header, sizes) else { return };
        is_read = true;
        for length in [0, 1, 9, u32::MAX] {
            let Some(layout) = outline.laid_out(length) else { continue };
            for tensor in 0..=layout.tensors() {
                let at = layout.at(tensor, pick(seed, layout.elements(tensor).unwrap_or(0))).unwrap_or(u64::MAX);
                let tiles = layout.tiles(at).unwrap_or(0);
                assert!(tiles as usize <= SUMS_MAX);
                for tile in [0, tiles.saturating_sub(1), tiles] {
                    let _ = layout.execute(at, tile, i32::MAX, &mut Wild(300));
                }
            }
        }
    });
    assert!(taken.bytes_max < 64 * bytes as u64 + 4096, "{} bytes of {bytes}", taken.bytes_max);
    is_read
}

#[test]
fn hostile_outlines_are_refused_or_harmless() {
    for model in models().into_iter().take(3) {
        let (header, sizes) = opened(&model);
        assert!(check_hostile(&header, &sizes, 1));
        for node in 0..sizes.len() {
            for place in (0..sizes[node].len()).step_by(4) {
                let values = [0, 1, 2, 3, 64, 1 << 16, 1 << 22, 1 << 27, 1 << 31, u32::MAX - 1, u32::MAX];
                for (seed, value) in (0..).zip(values) {
                    let mut other = sizes.clone();
                    other[node][place..place + 4].copy_from_slice(&value.to_le_bytes());
                    check_hostile(&header, &other, seed);
                }
            }
            for length in 0..sizes[node].len() {
                let mut other = sizes.clone();
                other[node].truncate(length);
                assert!(!check_hostile(&header, &other, 0));
            }
            let mut other = sizes.clone();
            other[node].extend([0; 4]);
            assert!(!check_hostile(&header, &other, 0));
            other.remove(node);
            assert!(!check_hostile(&header, &other, 0));
        }
        for place in 0..26 {
            for value in [0, 1, 127, 128, 255] {
                let mut other = header.clone();
                other[place] = value;
                check_hostile(&other, &sizes, place as u64);
            }
            assert!(!check_hostile(&header[..place], &sizes, 0));
        }
        for name in [&[255][..], &[b'a'; 65]] {
            assert!(!check_hostile(&[&header[..26], name].concat(), &sizes, 0));
        }
        assert!(check_hostile(&[&header[..26], &[b'a'; 64]].concat(), &sizes, 0), "an outline has no name");
    }
}

/// An outline of these words.
fn worded(input: Shape, nodes: &[&[u32]]) -> Option<Outline> {
    let model = Model { name: String::new(), input, input_min: 0, input_max: 1, nodes: vec![] };
    let mut header = header(&model);
    header[18..26].copy_from_slice(&(nodes.len() as u64).to_le_bytes());
    let bytes = |words: &&[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    read(&header, &nodes.iter().map(bytes).collect::<Vec<Vec<u8>>>())
}

#[test]
fn bounds_of_the_contract_are_the_outlines() {
    let vector = Shape::vector(4);
    assert!(worded(vector, &[&[0, 2, 8, 0]]).is_some());
    for nodes in [&[0, 2, 8, 1][..], &[0, 2, 9, 0], &[0, 0, 0, 0], &[14, 0], &[5], &[], &[5, 0, 0], &[11, 2, 1, 1, 0]] {
        assert!(worded(vector, &[nodes]).is_none(), "{nodes:?}");
    }
    assert!(worded(vector, &[]).is_none());
    let flat: &[u32] = &[5, 0];
    assert!(worded(vector, &[flat; 1024]).is_some() && worded(vector, &[flat; 1025]).is_none());
    // All values together are at most 2^22.
    let half = Shape { channels: 2, height: 1 << 10, width: 1 << 10 };
    assert!(worded(half, &[flat]).is_some() && worded(half, &[flat; 2]).is_none());
    // Sums of more than 2^19 operands have no layout.
    let sum = |length: u32| worded(Shape::vector(length), &[&[0, 1, length, 0]]).unwrap().laid_out(length);
    assert_eq!(sum(1 << 19).unwrap().tiles(1 << 19), Some(8192));
    assert!(sum((1 << 19) + 1).is_none());
}

/// What a tile reads: tensors with indices there, and parts with indices there.
struct Order<'a> {
    layout: &'a Layout,
    values: Vec<(u32, u64)>,
    numbers: Vec<(u32, u64)>,
}

impl Operands for Order<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.values.push(self.layout.place(at)?);
        Some(1)
    }

    fn number(&mut self, _: u32, part: u32, index: u64) -> Option<i32> {
        self.numbers.push((part, index));
        Some(1)
    }
}

/// The value of the last tensor with this index reads these values in this tile, and these weights.
fn check_order(input: Shape, nodes: &[&[u32]], index: u64, tile: u32, values: &[(u32, u64)], weights: &[u64]) {
    let outline = worded(input, nodes).unwrap();
    let layout = outline.laid_out(u32::try_from(input.elements()).unwrap()).unwrap();
    let mut order = Order { layout: &layout, values: vec![], numbers: vec![] };
    let at = layout.at(layout.tensors() - 1, index).unwrap();
    let sum = layout.execute(at, tile, 1000, &mut order).unwrap();
    assert_eq!(sum / 1000, i32::from(tile > 0), "before the first tile a sum is 0");
    assert_eq!(order.values, values);
    assert_eq!(order.numbers, weights.iter().map(|index| (1, *index)).collect::<Vec<_>>());
}

#[test]
fn operands_are_read_in_their_order() {
    let of = |tensor: u32, indices: &[u64]| indices.iter().map(|index| (tensor, *index)).collect::<Vec<_>>();
    // Channel 1 of 2 outputs, in the upper right corner, whose window is half padding.
    let input = Shape { channels: 2, height: 3, width: 4 };
    let weights = [3, 4, 6, 7, 12, 13, 15, 16].map(|index| 18 + index);
    let conv: &[u32] = &[1, 2, 3, 1, 36, 0];
    check_order(input, &[conv], 12 + 3, 0, &of(0, &[2, 3, 6, 7, 14, 15, 18, 19]), &weights);
    check_order(input, &[&[2, 2, 0]], 2 + 1, 0, &of(0, &[14, 15, 18, 19]), &[]);
    check_order(input, &[&[13, 0]], 1, 0, &of(0, &(12..24).collect::<Vec<_>>()), &[]);
    // A row of 130 weights: 64, 64 and 2.
    let dense: &[u32] = &[0, 2, 260, 0];
    for (tile, range) in [(0, 0..64), (1, 64..128), (2, 128..130)] {
        let range: Vec<u64> = range.collect();
        let weights: Vec<u64> = range.iter().map(|index| 130 + index).collect();
        check_order(Shape::vector(130), &[dense], 1, tile, &of(0, &range), &weights);
    }
    // Convolutions go on by channel, whatever of the window is padding: 9 · 8 operands, of which the second tile has 8.
    let input = Shape { channels: 8, height: 1, width: 1 };
    check_order(input, &[&[1, 1, 3, 1, 72, 0]], 0, 0, &of(0, &[0, 1, 2, 3, 4, 5, 6]), &[4, 13, 22, 31, 40, 49, 58]);
    check_order(input, &[&[1, 1, 3, 1, 72, 0]], 0, 1, &of(0, &[7]), &[67]);
    // Queries are rows and keys columns; what is read of both alternates.
    let input = Shape { channels: 4, height: 1, width: 3 };
    let scores: &[u32] = &[7, 2, 0, 0];
    check_order(input, &[scores], 9 + 2 * 3, 0, &of(0, &[8, 6, 11, 9]), &[]);
    let mixed = [(2, 12), (0, 9), (2, 13), (0, 10), (2, 14), (0, 11)];
    check_order(input, &[scores, &[8, 1, 1, 1, 1], &[9, 0, 2]], 3 * 3 + 1, 0, &mixed, &[]);
}

proptest! {
    #[test]
    fn random_bytes_are_no_outline(
        header in prop::collection::vec(any::<u8>(), 0..40),
        sizes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..6),
        words in prop::collection::vec(prop::collection::vec(0_u32..6, 1..7), 1..8), width in 0_u32..6,
    ) {
        check_hostile(&header, &sizes, 0);
        let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
        let input = Shape { channels: 1 + width % 3, height: 1, width };
        if let Some(layout) = worded(input, &words).and_then(|outline| outline.laid_out(width)) {
            prop_assert!(layout.values() > 0);
        }
    }
}
