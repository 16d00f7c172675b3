//! One proof of several inputs: what is true of all verifies, and what is false of one of them does not.

use inferium_exact::{Model, Node, Op, Shape, Trace, run, synthetic};
use inferium_zk::adversary::{self, Crime, Edit, Part};
use inferium_zk::{
    BATCH_BITS_MAX, Hiding, InputCommitment, Proof, ProofFile, ProveError, ProvingKey, Statement, VerifyError,
    VerifyingKey, register, verify,
};

use super::tamper::layers;
use super::{SEED, case, in_order, rng};

/// A model, a batch of inputs, and the true statement about them.
struct Batch {
    key: ProvingKey,
    inputs: Vec<Vec<i32>>,
    traces: Vec<Trace>,
    statement: Statement,
}

/// So many inputs, all different, the first of them the model's own.
fn inputs(model: &Model, own: &[i32], count: i32) -> Vec<Vec<i32>> {
    let (least, range) = (i32::from(model.input_min), i32::from(model.input_max) - i32::from(model.input_min) + 1);
    let other = |item: i32| {
        own.iter().zip(0..).map(|(value, at)| (value - least + item * (37 + 11 * at)) % range + least).collect()
    };
    (0..count).map(other).collect()
}

fn batch_of(model: Model, inputs: Vec<Vec<i32>>, hiding: Hiding) -> Batch {
    let traces: Vec<Trace> = inputs.iter().map(|input| run(&model, input).unwrap()).collect();
    let key = ProvingKey::new(model).unwrap();
    let root = *key.commit_batch(&inputs, &SEED, hiding).unwrap().root();
    let output = traces.iter().flat_map(Trace::output).copied().collect();
    let statement = Statement { input: root, output, task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
    Batch { key, inputs, traces, statement }
}

fn batch(name: &str, count: i32, hiding: Hiding) -> Batch {
    let (model, own) = synthetic(name).unwrap().unwrap();
    let inputs = inputs(&model, &own, count);
    batch_of(model, inputs, hiding)
}

impl Batch {
    fn commitment(&self) -> InputCommitment {
        self.key.commit_batch(&self.inputs, &SEED, self.statement.hiding).unwrap()
    }

    fn proof(&self) -> Proof {
        in_order(|| self.key.prove(self.commitment(), &self.statement, &mut rng(1)).unwrap())
    }

    fn verify(&self, statement: &Statement, proof: &Proof) -> Result<(), VerifyError> {
        verify(self.key.verifying_key(), statement, proof)
    }

    /// A true statement, proved as a criminal does.
    fn commit_crime(&self, crime: &Crime) -> Result<(), VerifyError> {
        let told = (self.traces.as_slice(), &self.statement);
        let proof = adversary::prove_batch(&self.key, self.commitment(), told, crime, &mut rng(4)).unwrap();
        self.verify(&self.statement, &proof)
    }

    /// Outputs of one input.
    fn classes(&self) -> usize {
        self.statement.output.len() / self.inputs.len()
    }
}

#[test]
fn batches_of_all_sizes_verify() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        for (name, counts) in [("mlp-tiny", &[1, 2, 4, 8, 32][..]), ("cnn-tiny", &[1, 2, 4, 8]), ("lenet-5", &[2, 8])] {
            for count in counts {
                let case = batch(name, *count, hiding);
                let key = case.key.verifying_key();
                assert_eq!(key.inputs(&case.statement), usize::try_from(*count).ok());
                let proof = case.proof();
                assert_eq!(case.verify(&case.statement, &proof), Ok(()), "{count} of {name}, {hiding:?}");
                let bits = usize::try_from(count.trailing_zeros()).unwrap();
                // The batch's own key and the one input's are the same to everyone else.
                let batched = key.batched(bits).unwrap();
                assert_eq!((batched.id(), batched.weights()), (key.id(), key.weights()));
                assert_eq!(batched.digest(&case.statement), key.digest(&case.statement));
                assert_eq!(verify(&batched, &case.statement, &proof), Ok(()));
            }
        }
    }
}

#[test]
fn a_batch_of_one_is_the_proof_of_one() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let (one, of_one) = (case("cnn-tiny", hiding), batch("cnn-tiny", 1, hiding));
        assert_eq!(one.statement, of_one.statement);
        assert_eq!(one.proof(), of_one.proof());
        let batched = one.key.verifying_key().batched(3).unwrap();
        assert_eq!(verify(&batched, &one.statement, &one.proof()), Ok(()));
    }
}

/// Digests of statements and proofs. A change of one that is meant is another version of the protocol (`PROTOCOL`).
#[test]
fn statements_and_proofs_are_this_versions() {
    for (name, hiding, digest, proof) in [
        (
            "mlp-tiny",
            Hiding::Nothing,
            "c5ae768158afb7d39572aef0d9cff982575141bfd45f105ead5251bcf30ad2d0",
            "0111893c47fa403729fca4ce973b0762119c4a599b6226c3b9b36b66023ac9b2",
        ),
        (
            "cnn-tiny",
            Hiding::Activations,
            "ba1429e69f4d3b7f3c7bd56d908554c7a6ec621748e0da0742ee4f1d3d2831dd",
            "3637d9cf03627080809f8de765de80a59b6bfb1585af5fe3b8aa184ca88d4b02",
        ),
    ] {
        let case = case(name, hiding);
        let hex = |bytes: [u8; 32]| blake3::Hash::from(bytes).to_hex().to_string();
        let found = (hex(case.key.verifying_key().digest(&case.statement)), hex(case.proof().digest()));
        assert_eq!(found, (digest.to_owned(), proof.to_owned()), "{name}");
    }
}

#[test]
fn other_statements_about_a_batch_are_rejected() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = batch("mlp-tiny", 4, hiding);
        let (proof, classes) = (case.proof(), case.classes());
        assert_eq!(case.verify(&case.statement, &proof), Ok(()));
        let mut others = vec![case.statement.clone(); 7];
        // One number of one input's output, two inputs' outputs, the input of another batch.
        others[0].output[2 * classes + 1] += 1;
        (0..classes).for_each(|class| others[1].output.swap(class, 3 * classes + class));
        let mut inputs = case.inputs.clone();
        inputs.swap(0, 1);
        others[2].input = *case.key.commit_batch(&inputs, &SEED, hiding).unwrap().root();
        assert_ne!(others[2].input, case.statement.input);
        // Batches of other sizes, and no batches.
        others[3].output.truncate(classes);
        others[4].output.truncate(2 * classes);
        others[5].output.extend_from_within(..);
        others[6].task[0] ^= 1;
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, case.statement);
            assert!(case.verify(other, &proof).is_err(), "{index}, {hiding:?}");
        }
        for length in [0, 1, classes - 1, classes + 1, 3 * classes, 4 * classes - 1, 64 * classes] {
            let mut other = case.statement.clone();
            other.output.resize(length, 0);
            assert_eq!(case.verify(&other, &proof), Err(VerifyError::Statement), "{length}");
            assert_eq!(case.key.verifying_key().inputs(&other), None);
        }
        // And what is false is not proved in the first place.
        let refused = case.key.prove(case.commitment(), &others[1], &mut rng(2));
        assert!(matches!(refused, Err(ProveError::Statement(_))));
    }
}

/// Another batch's proof under this statement's name: each is true, and each holds for itself alone.
#[test]
fn a_proof_of_one_batch_is_none_of_another() {
    let case = batch("mlp-tiny", 2, Hiding::Nothing);
    let mut inputs = case.inputs.clone();
    inputs.reverse();
    let other = batch_of(case.key.model().clone(), inputs, Hiding::Nothing);
    assert_eq!(other.verify(&other.statement, &other.proof()), Ok(()));
    assert!(case.verify(&case.statement, &other.proof()).is_err());
    assert!(case.verify(&other.statement, &case.proof()).is_err());
    // The criminal proves the other order's traces under this commitment.
    let told = (other.traces.as_slice(), &other.statement);
    for commitment in [case.commitment(), other.commitment()] {
        let is_own = commitment.root() == other.commitment().root();
        let proof = adversary::prove_batch(&case.key, commitment, told, &Crime::default(), &mut rng(3)).unwrap();
        assert_eq!(case.verify(&other.statement, &proof).is_ok(), is_own);
    }
    let mut mixed = other.statement.clone();
    mixed.input = case.statement.input;
    let told = (other.traces.as_slice(), &mixed);
    let proof = adversary::prove_batch(&case.key, case.commitment(), told, &Crime::default(), &mut rng(3)).unwrap();
    assert!(case.verify(&mixed, &proof).is_err());
}

/// To the commitment to one input, two inputs are that one and zeros: what they come to is true, and is not what was
/// committed to.
#[test]
fn a_commitment_to_another_number_of_inputs_is_none_to_this_one() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let (model, own) = synthetic("mlp-tiny").unwrap().unwrap();
        let inputs = [own, vec![0; 12], vec![0; 12], vec![0; 12]];
        let all = batch_of(model, inputs.to_vec(), hiding);
        let classes = all.classes();
        for (committed, claimed) in [(1, 2), (1, 4), (2, 4), (4, 2), (2, 2)] {
            let commitment = all.key.commit_batch(&inputs[..committed], &SEED, hiding).unwrap();
            let bits = usize::try_from(u32::trailing_zeros(claimed)).unwrap();
            let commitment = adversary::mistake(&all.key, commitment, bits).unwrap();
            let claimed = 1 << bits;
            let mut statement = all.statement.clone();
            statement.input = *commitment.root();
            statement.output.truncate(claimed * classes);
            let told = (&all.traces[..claimed], &statement);
            let proof = adversary::prove_batch(&all.key, commitment, told, &Crime::default(), &mut rng(7)).unwrap();
            let verdict = all.verify(&statement, &proof);
            assert_eq!(verdict.is_ok(), committed == claimed, "{committed} for {claimed}, {hiding:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_false_output_of_one_input_is_not_proved_by_a_criminal() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = batch("mlp-tiny", 4, hiding);
        let classes = case.classes();
        for item in 0..4 {
            let mut statement = case.statement.clone();
            statement.output[item * classes] += 1;
            let told = (case.traces.as_slice(), &statement);
            let proof = adversary::prove_batch(&case.key, case.commitment(), told, &Crime::default(), &mut rng(5));
            // The hiding prover runs the verifier's relations, and they are only found false where they are proved.
            assert!(proof.map_or(true, |proof| case.verify(&statement, &proof).is_err()), "{item}, {hiding:?}");
        }
    }
}

#[test]
fn a_falsified_trace_of_one_input_is_rejected() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = batch("mlp-tiny", 4, hiding);
        assert_eq!(case.commit_crime(&Crime::default()), Ok(()), "the honest prover of the same code");
        let Some(Op::Requantise { shift, .. }) = case.key.model().nodes.get(2).map(|node| &node.op) else {
            panic!("the model is another one")
        };
        let step = 1_i64 << shift;
        // Ten outputs are padded to sixteen.
        let edit = |item: usize, part: Part, at: usize, add: i64| Edit { split: 0, part, at: 16 * item + at, add };
        for item in [0, 2, 3] {
            let crimes = [
                vec![edit(item, Part::Hi, 0, 1), edit(item, Part::Lo, 0, -step)],
                vec![edit(item, Part::Hi, 2, 1)],
                vec![edit(item, Part::Lo, 2, 1)],
                vec![edit(item, Part::Activation, 3, 1)],
                vec![edit(item, Part::Activation, 15, 1)],
                // What is added to one input is taken from another.
                vec![edit(item, Part::Activation, 4, 1), edit((item + 1) % 4, Part::Activation, 4, -1)],
                vec![edit(item, Part::Lo, 4, 1), edit((item + 1) % 4, Part::Lo, 4, -1)],
                vec![edit(0, Part::Multiplicity, item, 1)],
            ];
            for (index, edits) in crimes.into_iter().enumerate() {
                let verdict = case.commit_crime(&Crime { edits, ..Crime::default() });
                assert!(verdict.is_err(), "crime {index}, item {item}, {hiding:?}");
            }
        }
    }
}

/// Two inputs' remainders of one element are exchanged: look-ups hold and their books balance, only sums are wrong.
#[test]
fn a_wrong_sum_of_one_input_is_rejected_though_its_rows_are_in_their_tables() {
    let case = batch("mlp-tiny", 4, Hiding::Nothing);
    let Some(Op::Requantise { shift, .. }) = case.key.model().nodes.get(2).map(|node| &node.op) else {
        panic!("the model is another one")
    };
    let rest =
        |item: usize, at: usize| i64::from((case.traces[item].values[2][at] + (1 << (shift - 1))) & ((1 << shift) - 1));
    let at = (0..10).find(|at| rest(1, *at) != rest(2, *at)).unwrap();
    let add = rest(2, at) - rest(1, at);
    let edit = |item: usize, add| Edit { split: 0, part: Part::Lo, at: 16 * item + at, add };
    let crime = Crime { edits: vec![edit(1, add), edit(2, -add)], ..Crime::default() };
    assert_eq!(case.commit_crime(&crime), Err(VerifyError::Relation("a check of messages")));
}

#[test]
fn an_input_out_of_range_in_a_batch_is_rejected() {
    let case = batch_of(layers(), vec![vec![100, 3, 77, 126], vec![1, 127, 0, 9]], Hiding::Nothing);
    // A trace that is right for this input: only its range is not.
    let mut wider = case.key.model().clone();
    (wider.input_min, wider.input_max) = (-1, 200);
    for (item, wrong) in [(0, 128), (1, 200), (1, -1)] {
        let mut inputs = case.inputs.clone();
        inputs[item][3] = wrong;
        assert!(matches!(case.key.commit_batch(&inputs, &SEED, Hiding::Nothing), Err(ProveError::Run(_))));
        let traces: Vec<Trace> = inputs.iter().map(|input| run(&wider, input).unwrap()).collect();
        let commitment = adversary::commit_batch(&case.key, &inputs, &SEED, Hiding::Nothing).unwrap();
        let mut statement = case.statement.clone();
        statement.input = *commitment.root();
        statement.output = traces.iter().flat_map(Trace::output).copied().collect();
        let told = (traces.as_slice(), &statement);
        let proof = adversary::prove_batch(&case.key, commitment, told, &Crime::default(), &mut rng(5)).unwrap();
        assert!(case.verify(&statement, &proof).is_err(), "{wrong}");
    }
}

#[test]
fn a_flipped_byte_of_a_batch_is_rejected() {
    for (hiding, stride) in [(Hiding::Nothing, 2503), (Hiding::Activations, 9001)] {
        let case = batch("mlp-tiny", 4, hiding);
        let bytes = case.proof().as_bytes().to_vec();
        for index in (0..48).chain((48..bytes.len()).step_by(stride)) {
            let mut damaged = bytes.clone();
            damaged[index] ^= [0x01, 0x80, 0x40, 0xff][index % 4];
            assert!(case.verify(&case.statement, &Proof::from_bytes(damaged)).is_err(), "byte {index}");
        }
    }
}

#[test]
fn a_message_of_a_batch_that_is_another_one_is_rejected() {
    let case = batch("cnn-tiny", 4, Hiding::Nothing);
    let (messages, _) = adversary::demand(&case.key.verifying_key().batched(2).unwrap());
    assert!(messages > adversary::demand(case.key.verifying_key()).0, "more look-ups");
    for lie in (0..messages).step_by(41).chain([messages - 1]) {
        let crime = Crime { lie: Some(lie), ..Crime::default() };
        assert!(case.commit_crime(&crime).is_err(), "message {lie} of {messages}");
    }
}

#[test]
fn what_is_no_batch_is_refused_with_a_reason() {
    let case = batch("mlp-tiny", 2, Hiding::Nothing);
    let own = &case.inputs[0];
    for count in [0, 3, 31, 33, 64] {
        let refused = case.key.commit_batch(&vec![own.clone(); count], &SEED, Hiding::Nothing);
        assert!(matches!(refused, Err(ProveError::Unsupported(_))), "{count}");
    }
    assert!(matches!(case.key.verifying_key().batched(BATCH_BITS_MAX + 1), Err(ProveError::Unsupported(_))));
    assert!(matches!(case.key.verifying_key().batched(usize::MAX), Err(ProveError::Unsupported(_))));
    assert!(case.key.commit_batch(&[own.as_slice(), &own[1..]], &SEED, Hiding::Nothing).is_err());
    // A commitment for one model is none for another.
    let other = batch("cnn-tiny", 2, Hiding::Nothing);
    assert!(case.key.prove(other.commitment(), &case.statement, &mut rng(2)).is_err());
}

/// A batch of eight would be proved; more are more look-ups than the error budget counts.
#[test]
fn a_batch_that_is_too_large_for_a_model_is_refused_before_anything_is_committed() {
    let affine = Op::Affine { mantissas: Vec::new(), biases: vec![7] };
    let ops = [Op::Dense { outputs: 1, weights: vec![0; 1 << 21] }, affine];
    let nodes = (0..).zip(ops).map(|(input, op)| Node { op, input }).collect();
    let model = Model { name: "wide".into(), input: Shape::vector(1 << 21), input_min: 0, input_max: 1, nodes };
    let key = register(model).unwrap();
    assert!(key.batched(3).is_ok());
    for bits in [4, 5] {
        assert!(matches!(key.batched(bits), Err(ProveError::Unsupported(_))), "{bits}");
    }
    let output = vec![7; 1 << 5];
    let statement =
        Statement { input: [0; 32], output, task: [0; 32], chain: [0; 32], prover: [0; 32], hiding: Hiding::Nothing };
    assert_eq!(verify(&key, &statement, &Proof::from_bytes(vec![0; 99])), Err(VerifyError::Statement));
}

#[test]
fn a_batch_verifies_from_its_files() {
    let case = batch("cnn-tiny", 8, Hiding::Activations);
    let key = case.key.verifying_key();
    let file = ProofFile { model: *key.model(), statement: case.statement.clone(), proof: case.proof() };
    let read = ProofFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
    assert_eq!(read, file);
    let of_batch = key.batched(3).unwrap().to_bytes().unwrap();
    assert_eq!(of_batch, key.to_bytes().unwrap());
    let again = VerifyingKey::from_bytes(&of_batch).unwrap();
    assert_eq!(verify(&again, &read.statement, &read.proof), Ok(()));
    // A file that says that it has more outputs than bytes is refused before there is memory for them.
    let bytes = file.to_bytes().unwrap();
    let mut longer = bytes[..4 + 64].to_vec();
    longer.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    longer.extend(&bytes[4 + 64 + 1..]);
    assert!(ProofFile::from_bytes(&longer).is_err());
}

/// χ² of the numbers' position among 64 equal parts of the field, less its mean.
fn excess(numbers: &[u32]) -> f64 {
    super::hiding::chi_square(numbers) - 63.0
}

#[test]
fn masked_messages_of_a_batch_are_uniform_and_the_simulator_needs_no_witness() {
    let case = batch("mlp-tiny", 4, Hiding::Activations);
    let prove = |seed| case.key.prove(case.commitment(), &case.statement, &mut rng(seed)).unwrap();
    let mut sum = 0.0;
    let mut length = 0;
    for seed in 0..4 {
        let proof = prove(200 + seed);
        assert_eq!(case.verify(&case.statement, &proof), Ok(()));
        let numbers = adversary::messages(&proof).unwrap();
        sum += excess(&numbers);
        length = numbers.len();
    }
    // Eight deviations of the mean of four.
    assert!((sum / 4.0).abs() < 45.0, "{}", sum / 4.0);
    let (holds, numbers) = adversary::simulate(case.key.verifying_key(), &case.statement, &mut rng(9)).unwrap();
    assert!(holds);
    assert_eq!(numbers.len(), length);
    assert!(excess(&numbers).abs() < 92.0);
    let (model, own) = synthetic("mlp-tiny").unwrap().unwrap();
    let plain = batch_of(model, vec![vec![0; own.len()]; 4], Hiding::Nothing);
    assert!(excess(&adversary::messages(&plain.proof()).unwrap()) > 100.0, "the test can fail");
}
