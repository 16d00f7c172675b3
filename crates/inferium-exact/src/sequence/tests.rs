use proptest::prelude::*;

use crate::interval::intervals;
use crate::kernel::infer;
use crate::model::{ACCUMULATOR_MAX, Model, ModelError, Node, Op, Shape, Table};
use crate::run::{RunError, run};

use super::apply::softmax;

pub(crate) struct Draw(blake3::OutputReader);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    pub(crate) fn short(&mut self, bits: u32) -> i16 {
        let mut two = [0; 2];
        self.0.fill(&mut two);
        i16::from_le_bytes(two) >> (16 - bits)
    }

    pub(crate) fn shorts(&mut self, count: usize, bits: u32) -> Vec<i16> {
        (0..count).map(|_| self.short(bits)).collect()
    }
}

const VOCABULARY: usize = 23;

/// One layer of attention with what is around it, of drawn numbers: a requantisation's table is 2^16 entries that clamp.
pub(crate) fn transformer(seed: u64, length: u32, heads: u32, size: u32, is_centred: bool) -> Model {
    let mut draw = Draw::new(seed);
    let width = (heads * size) as usize;
    let mut nodes = Vec::new();
    let mut push = |op: Op, input: u32| {
        nodes.push(Node { op, input });
        nodes.len() as u32
    };
    let outputs = heads * size;
    let tokens = draw.shorts(VOCABULARY * width, 12);
    let positions = draw.shorts(length as usize * width, 10);
    let table = |shift: u8| {
        let entry = |index: i32| i16::try_from((index - (1 << 15)).clamp(-500, 700)).unwrap();
        Op::Requantise { shift, table: Table { first: -(1 << 15), values: (0..1 << 16).map(entry).collect() } }
    };
    let conv = |weights| Op::Conv2d { outputs, kernel: 1, padding: 0, weights };
    let embedded = push(Op::Embedding { outputs, tokens, positions }, 0);
    let [query, key, value] = [(); 3].map(|()| {
        let sums = push(conv(draw.shorts(width * width, 8)), embedded);
        push(table(10), sums)
    });
    let scores = push(Op::Scores { heads, keys: key }, query);
    let exponentials = (0..64).map(|index| (8000_i16 >> (index / 5)) - (index & 1)).map(|e| e.max(0)).collect();
    let shares = push(Op::Softmax { shift: 13, bits: 16, exponentials }, scores);
    let mixed = push(Op::Mix { values: value }, shares);
    let mixed = push(table(14), mixed);
    let sum = push(Op::Add { other: mixed }, embedded);
    let shift = 15;
    let normal = push(Op::Normalise { is_centred, epsilon: 1 + u32::from(draw.short(16).unsigned_abs()), shift }, sum);
    let biases = draw.shorts(width, 16).into_iter().map(i32::from).collect();
    let scaled = push(Op::Scale { gains: draw.shorts(width, 12), biases }, normal);
    let last = push(table(12), scaled);
    push(Op::SumPositions, last);
    let input = Shape { channels: 1, height: 1, width: length };
    Model { name: "drawn".into(), input, input_min: 0, input_max: VOCABULARY as i16 - 1, nodes }
}

pub(crate) fn tokens(draw: &mut Draw, length: usize) -> Vec<i32> {
    (0..length).map(|_| i32::from(draw.short(16).unsigned_abs()) % VOCABULARY as i32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_fast_path_is_the_interpreter_at_every_length_and_values_stay_in_their_intervals(
        seed in any::<u64>(), length in 1_u32..20, heads in 1_u32..4, size in 1_u32..21, is_centred in any::<bool>(),
    ) {
        let model = transformer(seed, length, heads, size, is_centred);
        let bounds = intervals(&model).unwrap();
        let mut draw = Draw::new(!seed);
        for length in [1, 1 + length / 2, length] {
            let input = tokens(&mut draw, length as usize);
            let trace = run(&model, &input).unwrap();
            prop_assert_eq!(&infer(&model, &input).unwrap(), trace.output());
            let engine = crate::Engine::new(&model).unwrap();
            prop_assert_eq!(&engine.trace(&input).unwrap(), &trace);
            let shapes = model.shapes_at(length).unwrap();
            for ((bound, values), shape) in bounds.iter().zip(&trace.values).zip(shapes) {
                prop_assert_eq!(values.len() as u64, shape.elements());
                prop_assert!(bound.max <= ACCUMULATOR_MAX && bound.min >= -ACCUMULATOR_MAX);
                prop_assert!(values.iter().all(|value| (bound.min..=bound.max).contains(&i64::from(*value))));
            }
        }
    }

    #[test]
    fn shares_are_parts_of_a_whole(
        row in prop::collection::vec(-400_000_000_i32..400_000_000, 1..300), shift in 1_u8..=16, bits in 1_u8..=16,
        first in 1_i16..=1000,
    ) {
        let exponentials: Vec<i16> = (0..256).map(|index| first >> (index / 16)).collect();
        let shares = softmax(&row, shift, bits, &exponentials);
        prop_assert!(shares.iter().all(|share| *share >= 0));
        prop_assert!(shares.iter().map(|share| i64::from(*share)).sum::<i64>() <= 1 << bits);
        let at = |index: usize| (row[index], shares[index]);
        let order = (1..row.len()).all(|index| (at(index).0 > at(0).0) <= (at(index).1 >= at(0).1));
        prop_assert!(order, "a larger score has no smaller share");
    }
}

#[test]
fn a_shorter_sequence_is_the_same_as_in_a_model_of_that_length() {
    let model = transformer(7, 9, 2, 5, true);
    let input = tokens(&mut Draw::new(1), 4);
    let mut shorter = model.clone();
    shorter.input.width = 4;
    if let Op::Embedding { positions, .. } = &mut shorter.nodes[0].op {
        positions.truncate(4 * 10);
    }
    assert_eq!(run(&model, &input).unwrap().output(), run(&shorter, &input).unwrap().output());
}

#[test]
fn what_is_no_sequence_of_the_model_is_refused() {
    let model = transformer(7, 9, 2, 5, true);
    assert_eq!(infer(&model, &[]), Err(RunError::Sequence { found: 0, most: 9 }));
    assert_eq!(infer(&model, &[0; 10]), Err(RunError::Sequence { found: 10, most: 9 }));
    assert_eq!(infer(&model, &[0, VOCABULARY as i32]), Err(RunError::Range { index: 1 }));
    assert_eq!(run(&model, &[0, -1]).unwrap_err(), RunError::Range { index: 1 });
    let (fixed, mut input) = crate::synthetic("mlp-tiny").unwrap().unwrap();
    input.pop();
    assert_eq!(infer(&fixed, &input), Err(RunError::Length { found: 11, expected: 12 }));
    assert!(fixed.shapes_at(0).is_err() && model.shapes_at(0).is_err() && model.shapes_at(10).is_err());
}

/// What the gate says when a node was changed.
fn refusal(index: usize, change: impl FnOnce(&mut Model)) -> ModelError {
    let mut model = transformer(7, 9, 2, 5, true);
    change(&mut model);
    let found = model.check().unwrap_err();
    let is_there = match &found {
        ModelError::Size(_) => true,
        ModelError::Shape { node, .. } | ModelError::Overflow { node, .. } | ModelError::Table { node, .. } => {
            *node == index
        }
    };
    assert!(is_there, "{found}");
    assert!(infer(&model, &[1, 2]).is_err() && run(&model, &[1, 2]).is_err());
    found
}

#[test]
fn operations_that_do_not_fit_are_refused_where_they_stand() {
    let last = 16;
    assert_eq!(transformer(7, 9, 2, 5, true).nodes.len(), last);
    let replaced = |index: usize, op: Op| {
        refusal(index, move |model| {
            model.nodes[index].op = op;
        })
    };
    // Of a sequence, nothing whose weights or shape would depend on its length.
    replaced(last - 1, Op::Flatten);
    replaced(last - 1, Op::SumPool { size: 2 });
    replaced(last - 1, Op::Dense { outputs: 1, weights: vec![1; 90] });
    replaced(last - 1, Op::Conv2d { outputs: 1, kernel: 3, padding: 1, weights: vec![1; 90] });
    // Scores, mixtures and sums of tensors that do not fit, or come later.
    for op in [Op::Scores { heads: 3, keys: 5 }, Op::Scores { heads: 0, keys: 5 }, Op::Scores { heads: 2, keys: 0 }] {
        replaced(7, op);
    }
    replaced(7, Op::Scores { heads: 2, keys: u32::MAX });
    replaced(9, Op::Mix { values: 8 });
    replaced(9, Op::Mix { values: 10 });
    refusal(9, |model| model.nodes[9].input = 8);
    replaced(11, Op::Add { other: 8 });
    replaced(11, Op::Add { other: 12 });
    // Numbers of an operation's own.
    replaced(8, Op::Softmax { shift: 0, bits: 13, exponentials: vec![1] });
    replaced(8, Op::Softmax { shift: 9, bits: 17, exponentials: vec![1] });
    for exponentials in [vec![], vec![0], vec![-1], vec![1, 2], vec![3, 2, 1], vec![4, 2, 0, -1], vec![1; 1 << 17]] {
        replaced(8, Op::Softmax { shift: 9, bits: 13, exponentials });
    }
    replaced(12, Op::Normalise { is_centred: true, epsilon: 0, shift: 15 });
    replaced(12, Op::Normalise { is_centred: true, epsilon: 1, shift: 17 });
    replaced(13, Op::Scale { gains: vec![1; 9], biases: vec![1; 10] });
    replaced(13, Op::Scale { gains: vec![i16::MAX; 10], biases: vec![i32::MAX; 10] });
    // Tables of an embedding have a row for each token and position, no more and no less.
    for (rows, positions) in [(VOCABULARY - 1, 9), (VOCABULARY + 1, 9), (VOCABULARY, 8), (VOCABULARY, 10), (0, 0)] {
        let (tokens, positions) = (vec![0; rows * 10], vec![0; positions * 10]);
        replaced(0, Op::Embedding { outputs: 10, tokens, positions });
    }
    refusal(0, |model| model.input_min = -1);
    refusal(0, |model| model.input.width = u32::MAX);
    refusal(0, |model| model.input.channels = 2);
    refusal(1, |model| model.nodes[1].op = model.nodes[0].op.clone());
}

/// An embedding of the largest entries, and operations each of which reads the one before it.
fn chain(operations: impl IntoIterator<Item = Op>) -> Model {
    let tokens = vec![i16::MAX; VOCABULARY * 10];
    let embedding = Op::Embedding { outputs: 10, tokens, positions: vec![i16::MAX; 90] };
    let operations = std::iter::once(embedding).chain(operations);
    let nodes = (0..).zip(operations).map(|(input, op)| Node { op, input }).collect();
    let input = Shape { channels: 1, height: 1, width: 9 };
    Model { name: "chain".into(), input, input_min: 0, input_max: VOCABULARY as i16 - 1, nodes }
}

#[test]
fn values_that_could_get_too_large_are_refused() {
    let normalise = || Op::Normalise { is_centred: true, epsilon: 1, shift: 14 };
    let scale = |gain: i16| Op::Scale { gains: vec![gain; 10], biases: vec![0; 10] };
    // Values of up to 65,534 are normalised, larger ones are not.
    assert_eq!(chain([normalise()]).check(), Ok(()));
    assert_eq!(chain([scale(1), normalise()]).check(), Ok(()));
    assert!(matches!(chain([scale(2), normalise()]).check(), Err(ModelError::Shape { node: 2, .. })));
    assert!(matches!(chain([scale(i16::MAX)]).check(), Err(ModelError::Overflow { node: 1, .. })));
    // Squares of 65,534.
    let scores = Op::Scores { heads: 10, keys: 1 };
    assert!(matches!(chain([scores]).check(), Err(ModelError::Overflow { node: 1, .. })));
    // Scores within the bound, and their differences beyond it.
    let softmax = || Op::Softmax { shift: 9, bits: 13, exponentials: vec![1] };
    let mut model = chain([scale(15_000), softmax()]);
    assert_eq!(model.check(), Ok(()));
    if let Op::Embedding { tokens, positions, .. } = &mut model.nodes[0].op {
        tokens[..10].fill(i16::MIN);
        positions[..10].fill(i16::MIN);
    }
    assert!(matches!(model.check(), Err(ModelError::Overflow { node: 2, .. })));
    // Shares of 2^16 of values of 16 bits and a sign.
    let mut model =
        chain([Op::Scores { heads: 1, keys: 0 }, Op::Softmax { shift: 9, bits: 16, exponentials: vec![1] }]);
    model.nodes[1].input = 0;
    model.nodes.push(Node { op: Op::Mix { values: 1 }, input: 3 });
    assert!(matches!(model.check(), Err(ModelError::Overflow { node: 3, .. })));
    if let Op::Softmax { bits, .. } = &mut model.nodes[2].op {
        *bits = 13;
    }
    assert_eq!(model.check(), Ok(()));
    // Scores of more than 2^22 pairs, long before a sum of exponentials has no reciprocal.
    let mut model = chain([Op::Scores { heads: 1, keys: 0 }]);
    model.nodes[1].input = 0;
    model.nodes.push(Node { op: Op::Softmax { shift: 9, bits: 1, exponentials: vec![i16::MAX] }, input: 2 });
    let mut length = |width: u32| {
        model.input.width = width;
        if let Op::Embedding { outputs, tokens, positions } = &mut model.nodes[0].op {
            *outputs = 1;
            *tokens = vec![0; VOCABULARY];
            *positions = vec![0; width as usize];
        }
        model.check()
    };
    assert_eq!(length(1_000), Ok(()));
    assert_eq!(length(2_047), Ok(()));
    assert!(matches!(length(2_049), Err(ModelError::Size(_))), "scores are as many as the square of the length");
}

#[test]
fn ids_cover_every_number_and_files_come_back() {
    let model = transformer(7, 9, 2, 5, true);
    assert_eq!(crate::decode(&crate::encode(&model).unwrap()).unwrap(), model);
    let alone = |op: Op| Model { nodes: vec![Node { op, input: 0 }], ..model.clone() };
    for node in model.nodes.iter().filter(|node| !matches!(node.op, Op::Requantise { .. } | Op::Conv2d { .. })) {
        let id = crate::model_id(&alone(node.op.clone()));
        let bytes = borsh::to_vec(&node.op).unwrap();
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            if let Ok(op) = borsh::from_slice::<Op>(&other) {
                assert_ne!(op, node.op);
                assert_ne!(crate::model_id(&alone(op)), id, "byte {index} of {:?}", node.op);
            }
        }
    }
    let id = crate::model_id(&model);
    let mut shorter = model;
    shorter.input.width -= 1;
    assert_ne!(crate::model_id(&shorter), id);
}

/// Every operation on sequences, with few numbers.
pub(crate) fn small() -> Model {
    let mut draw = Draw::new(3);
    let mut model = chain([
        Op::Scores { heads: 2, keys: 1 },
        Op::Softmax { shift: 9, bits: 13, exponentials: vec![900, 500, 200, 0] },
        Op::Mix { values: 1 },
        Op::Requantise { shift: 13, table: Table { first: -1024, values: draw.shorts(2048, 9) } },
        Op::Add { other: 1 },
        Op::Normalise { is_centred: true, epsilon: 9, shift: 15 },
        Op::Scale { gains: draw.shorts(10, 9), biases: vec![100; 10] },
        Op::SumPositions,
    ]);
    if let Op::Embedding { tokens, positions, .. } = &mut model.nodes[0].op {
        (*tokens, *positions) = (draw.shorts(tokens.len(), 10), draw.shorts(positions.len(), 9));
    }
    model
}

#[test]
fn a_damaged_file_is_an_error_or_another_model_and_takes_no_memory() {
    let bytes = crate::encode(&small()).unwrap();
    let mut models = 0;
    for index in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[index] ^= flip;
            let mut found = None;
            let taken = allocation_counter::measure(|| found = Some(crate::decode(&damaged)));
            assert!(taken.bytes_max < 16 * bytes.len() as u64 + (1 << 20), "{} bytes at {index}", taken.bytes_max);
            if let Some(Ok(model)) = found {
                models += 1;
                assert_eq!(crate::encode(&model).unwrap(), damaged, "two files of one model, at {index}");
                let input = vec![i32::from(model.input_min); model.input.width.min(3) as usize];
                assert_eq!(infer(&model, &input).unwrap(), run(&model, &input).unwrap().output());
            }
        }
    }
    assert!(models > bytes.len(), "most of a file are numbers that may be others");
}

/// What these operations mean, once and for all: another answer here is another version of the contract. A second
/// implementation, written from its text in exact fractions, gave the same values.
#[test]
fn a_known_model_has_a_known_id_and_known_answers() {
    let model = small();
    let of = |tokens: &[i32]| {
        let values = run(&model, tokens).unwrap().values;
        let bytes: Vec<u8> = values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        blake3::hash(&bytes).to_hex()[..16].to_owned()
    };
    let found = [
        blake3::Hash::from(crate::model_id(&model)).to_hex()[..16].to_owned(),
        of(&[5]),
        of(&[1, 2, 3, 22]),
        of(&[9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ];
    assert_eq!(found, ["20fb5df165b62138", "76b8eaaa44c9e8b9", "330eb92e7d791d0d", "74e71523f32e280a"]);
    assert_eq!(infer(&model, &[5]).unwrap()[..5], [-151_628, -291_300, 820_816, -150_830, -322_728]);
}
