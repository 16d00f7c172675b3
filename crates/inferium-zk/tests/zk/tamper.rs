use inferium_exact::{Model, Node, Op, Shape, Table, run};
use inferium_zk::adversary::{self, Crime, Edit, Part};
use inferium_zk::{Hiding, Proof, ProvingKey, VerifyError, verify};

use super::{Case, SEED, case, case_of, rng};

/// Flips bytes of a proof, `stride` apart; all of them take minutes (`examples/every_byte.rs`).
fn flip(case: &Case, stride: usize) -> usize {
    let bytes = case.proof().as_bytes().to_vec();
    let mut flipped = 0;
    for index in (0..64.min(bytes.len())).chain((64..bytes.len()).step_by(stride)) {
        let mut damaged = bytes.clone();
        damaged[index] ^= [0x01, 0x80, 0x40, 0xff][index % 4];
        let verdict = verify(case.key.verifying_key(), &case.statement, &Proof::from_bytes(damaged));
        assert!(verdict.is_err(), "byte {index} of {}", bytes.len());
        flipped += 1;
    }
    flipped
}

#[test]
fn a_flipped_byte_is_rejected() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        assert!(flip(&case("mlp-tiny", hiding), 1511) > 100);
    }
}

#[test]
fn cut_and_lengthened_proofs_are_rejected() {
    let case = case("mlp-tiny", Hiding::Nothing);
    let bytes = case.proof().as_bytes().to_vec();
    for length in (0..bytes.len()).step_by(1009) {
        let cut = Proof::from_bytes(bytes[..length].to_vec());
        assert_eq!(verify(case.key.verifying_key(), &case.statement, &cut), Err(VerifyError::Encoding));
    }
    let longer = Proof::from_bytes([bytes.as_slice(), &[0]].concat());
    assert_eq!(verify(case.key.verifying_key(), &case.statement, &longer), Err(VerifyError::Encoding));
}

#[test]
fn a_proof_of_one_statement_is_none_of_another() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case("mlp-tiny", hiding);
        let proof = case.proof();
        let key = case.key.verifying_key();
        assert_eq!(verify(key, &case.statement, &proof), Ok(()));
        let mut others = vec![case.statement.clone(); 8];
        others[0].output[1] += 1;
        others[1].input[5] ^= 1;
        others[2].task[0] ^= 1;
        others[3].chain[31] ^= 1;
        others[4].prover[7] ^= 1;
        others[5].hiding = if hiding == Hiding::Nothing { Hiding::Activations } else { Hiding::Nothing };
        others[6].output.push(0);
        others[7].output[0] = i32::MAX;
        for (index, other) in others.iter().enumerate() {
            assert!(verify(key, other, &proof).is_err(), "{index}");
        }
    }
}

/// Proves a true statement as a criminal does, with a falsified trace for one.
pub(super) fn commit_crime(case: &Case, crime: &Crime) -> Result<(), VerifyError> {
    let told = (&case.trace, &case.statement);
    let proof = adversary::prove(&case.key, case.commitment(), told, crime, &mut rng(4)).unwrap();
    verify(case.key.verifying_key(), &case.statement, &proof)
}

pub(super) fn edit(part: Part, at: usize, add: i64) -> Edit {
    Edit { split: 0, part, at, add }
}

#[test]
fn falsified_traces_are_rejected() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case("mlp-tiny", hiding);
        assert_eq!(commit_crime(&case, &Crime::default()), Ok(()), "the honest prover of the same code");
        let Some(Op::Requantise { shift, .. }) = case.key.model().nodes.get(2).map(|node| &node.op) else {
            panic!("the model is another one")
        };
        let step = 1_i64 << shift;
        let (upper, lower) = (0x7f00_0001 / step, 0x7f00_0001 % step);
        let crimes = [
            // Sums stay right, the remainder leaves its range: only look-ups can tell.
            vec![edit(Part::Hi, 0, 1), edit(Part::Lo, 0, -step)],
            vec![edit(Part::Hi, 0, -1), edit(Part::Lo, 0, step)],
            // Around the prime, in both directions.
            vec![edit(Part::Hi, 1, upper), edit(Part::Lo, 1, lower)],
            vec![edit(Part::Hi, 1, -upper), edit(Part::Lo, 1, -lower)],
            // Another row of the table, another value, padding too.
            vec![edit(Part::Hi, 2, 1)],
            vec![edit(Part::Lo, 2, 1)],
            vec![edit(Part::Activation, 3, 1)],
            vec![edit(Part::Activation, 15, 1)],
            // Books of look-ups that do not balance.
            vec![edit(Part::Multiplicity, 0, 1)],
            vec![edit(Part::RangeMultiplicity, 5, 1)],
            vec![edit(Part::Multiplicity, 0, 1), edit(Part::Multiplicity, 1, -1)],
        ];
        for (index, edits) in crimes.into_iter().enumerate() {
            assert!(commit_crime(&case, &Crime { edits, ..Crime::default() }).is_err(), "crime {index}, {hiding:?}");
        }
    }
}

/// A remainder that stands for another one, with the books put right: look-ups hold, sums do not.
#[test]
fn a_split_of_another_number_is_rejected_though_its_rows_are_in_their_tables() {
    let case = case("mlp-tiny", Hiding::Nothing);
    let sums = &case.trace.values[2];
    let Some(Op::Requantise { shift, .. }) = case.key.model().nodes.get(2).map(|node| &node.op) else {
        panic!("the model is another one")
    };
    let rest = |value: i32| usize::try_from((value + (1 << (shift - 1))) & ((1 << shift) - 1)).unwrap();
    let at = sums.iter().position(|sum| rest(*sum) > 0).unwrap();
    let own = rest(sums[at]);
    let edits =
        vec![edit(Part::Lo, at, -1), edit(Part::RangeMultiplicity, own, -1), edit(Part::RangeMultiplicity, own - 1, 1)];
    assert_eq!(
        commit_crime(&case, &Crime { edits, ..Crime::default() }),
        Err(VerifyError::Relation("a check of messages"))
    );
}

#[test]
fn a_message_that_is_another_one_is_rejected() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case("mlp-tiny", hiding);
        let (messages, _) = adversary::demand(case.key.verifying_key());
        for lie in (0..messages).step_by(61).chain([messages - 1]) {
            let crime = Crime { lie: Some(lie), ..Crime::default() };
            assert!(commit_crime(&case, &crime).is_err(), "message {lie} of {messages}, {hiding:?}");
        }
    }
}

#[test]
fn an_input_out_of_range_is_rejected() {
    // The tables of this model have room for a wider input, so that the gate lets it run.
    let (model, mut input) = (layers(), vec![100, 3, 77, 126]);
    let honest = case_of(model.clone(), input.clone(), Hiding::Nothing);
    for wrong in [128, -1, 200] {
        input[3] = wrong;
        // The trace is right for this input: only its range is not.
        let mut wider = model.clone();
        (wider.input_min, wider.input_max) = (-1, 200);
        let trace = run(&wider, &input).unwrap();
        let commitment = adversary::commit(&honest.key, &input, &SEED, Hiding::Nothing).unwrap();
        let mut statement = honest.statement.clone();
        statement.input = *commitment.root();
        statement.output = trace.output().to_vec();
        let told = (&trace, &statement);
        let proof = adversary::prove(&honest.key, commitment, told, &Crime::default(), &mut rng(5)).unwrap();
        assert!(verify(honest.key.verifying_key(), &statement, &proof).is_err(), "{wrong}");
    }
}

/// Two layers of one shape with different weights, and a third one.
pub(super) fn layers() -> Model {
    let dense = |outputs, seed: i32| Op::Dense {
        outputs,
        weights: (0..4 * outputs).zip(0_i32..).map(|(_, at)| i16::try_from(at * seed % 19 - 9).unwrap()).collect(),
    };
    let table = || Table { first: -512, values: (-512_i16..512).map(|at| at.clamp(-20, 100)).collect() };
    let affine = |channels| Op::Affine { mantissas: Vec::new(), biases: vec![5; channels] };
    let ops = vec![
        dense(4, 29),
        affine(4),
        Op::Requantise { shift: 4, table: table() },
        dense(4, 31),
        affine(4),
        Op::Requantise { shift: 4, table: table() },
        dense(2, 37),
        affine(2),
    ];
    let nodes = (0..).zip(ops).map(|(input, op)| Node { op, input }).collect();
    Model { name: "layers".into(), input: Shape::vector(4), input_min: 0, input_max: 127, nodes }
}

#[test]
fn other_weights_and_swapped_layers_are_rejected() {
    let (model, input) = (layers(), vec![100, 3, 77, 126]);
    let honest = case_of(model.clone(), input.clone(), Hiding::Nothing);
    let mut other = model.clone();
    if let Op::Dense { weights, .. } = &mut other.nodes[0].op {
        weights[5] += 1;
    }
    let mut swapped = model;
    let second = swapped.nodes[3].op.clone();
    swapped.nodes[3].op = core::mem::replace(&mut swapped.nodes[0].op, second);
    for wrong in [other, swapped] {
        let trace = run(&wrong, &input).unwrap();
        // Under its own name it proves; the verifier holds the other key.
        let own = case_of(wrong.clone(), input.clone(), Hiding::Nothing);
        assert_eq!(verify(own.key.verifying_key(), &own.statement, &own.proof()), Ok(()));
        assert!(verify(honest.key.verifying_key(), &own.statement, &own.proof()).is_err());
        // And under the other's name, with its own numbers.
        let key = adversary::disguise(ProvingKey::new(wrong).unwrap(), honest.key.verifying_key());
        let commitment = adversary::commit(&key, &input, &SEED, Hiding::Nothing).unwrap();
        let mut statement = honest.statement.clone();
        statement.output = trace.output().to_vec();
        let told = (&trace, &statement);
        let proof = adversary::prove(&key, commitment, told, &Crime::default(), &mut rng(6)).unwrap();
        assert!(verify(honest.key.verifying_key(), &statement, &proof).is_err());
    }
}

#[test]
fn random_bytes_are_no_proof() {
    let case = case("mlp-tiny", Hiding::Nothing);
    for seed in 0..200_u64 {
        let mut bytes = vec![0; 1 << (seed % 12)];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        assert!(verify(case.key.verifying_key(), &case.statement, &Proof::from_bytes(bytes)).is_err());
    }
}
