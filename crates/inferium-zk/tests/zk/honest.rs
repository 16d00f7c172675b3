use inferium_exact::{Model, Node, Op, Shape, Table, synthetic};
use inferium_zk::{Hiding, ProveError, ProvingKey, adversary, register, verify};

use super::{case, case_of, rng};

#[test]
fn true_statements_verify() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        for name in ["mlp-tiny", "cnn-tiny"] {
            let case = case(name, hiding);
            assert_eq!(verify(case.key.verifying_key(), &case.statement, &case.proof()), Ok(()), "{name} {hiding:?}");
        }
    }
}

#[test]
fn lenet_verifies() {
    let case = case("lenet-5", Hiding::Nothing);
    assert_eq!(verify(case.key.verifying_key(), &case.statement, &case.proof()), Ok(()));
}

#[test]
fn a_verifier_makes_its_key_from_the_model_alone() {
    let case = case("mlp-tiny", Hiding::Nothing);
    let key = register(case.key.model().clone()).unwrap();
    assert_eq!(key.weights(), case.key.verifying_key().weights());
    assert_eq!(key.model(), case.key.verifying_key().model());
    assert!(adversary::is_about(&key, case.key.model()));
    assert_eq!(verify(&key, &case.statement, &case.proof()), Ok(()));
}

#[test]
fn shapes_of_every_kind_verify() {
    // Strides of pooling that leave edges, padding on one layer, no mantissas, odd widths, one output.
    let conv = |outputs, kernel, padding, count: i32| Op::Conv2d {
        outputs,
        kernel,
        padding,
        weights: (0..count).map(|at| i16::try_from(at * 37 % 23 - 11).unwrap()).collect(),
    };
    let affine = |channels: i32, with: bool| Op::Affine {
        mantissas: if with { (0..channels).map(|at| u8::try_from(1 + at % 5).unwrap()).collect() } else { Vec::new() },
        biases: (0..channels).map(|at| at * 13 - 20).collect(),
    };
    let table = |first: i32, bits: u32| Table {
        first,
        values: (0..1_i32 << bits).map(|at| i16::try_from((first + at).clamp(-20, 100)).unwrap()).collect(),
    };
    let dense = |outputs, count: i32| Op::Dense {
        outputs,
        weights: (0..count).map(|at| i16::try_from(at * 29 % 19 - 9).unwrap()).collect(),
    };
    let ops = vec![
        conv(3, 3, 2, 3 * 2 * 9),
        affine(3, true),
        Op::Requantise { shift: 6, table: table(-1024, 11) },
        Op::SumPool { size: 3 },
        conv(5, 2, 0, 5 * 3 * 4),
        affine(5, false),
        Op::Requantise { shift: 4, table: table(-16384, 15) },
        Op::Flatten,
        dense(1, 5 * 4),
        affine(1, true),
    ];
    let nodes = (0..).zip(ops).map(|(input, op)| Node { op, input }).collect();
    let input = Shape { channels: 2, height: 9, width: 7 };
    let model = Model { name: "odd".into(), input, input_min: -64, input_max: 63, nodes };
    let values: Vec<i32> = (0..126).map(|at| at * 41 % 128 - 64).collect();
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case_of(model.clone(), values.clone(), hiding);
        assert!(case.trace.values.iter().skip(3).any(|values| values.iter().any(|value| *value != 0)));
        assert_eq!(verify(case.key.verifying_key(), &case.statement, &case.proof()), Ok(()), "{hiding:?}");
    }
}

#[test]
fn what_cannot_be_proved_is_refused_with_a_reason() {
    let (mut model, input) = synthetic("mlp-tiny").unwrap().unwrap();
    model.input_max = 200;
    assert!(matches!(ProvingKey::new(model.clone()), Err(ProveError::Unsupported(_))));
    model.input_max = 255;
    model.nodes.truncate(3);
    assert!(matches!(ProvingKey::new(model), Err(ProveError::Unsupported(_))));
    let case = case("mlp-tiny", Hiding::Nothing);
    assert!(case.key.commit(&input[1..], &[0; 32], Hiding::Nothing).is_err());
    let mut statement = case.statement.clone();
    statement.output[0] += 1;
    assert!(matches!(case.key.prove(case.commitment(), &statement, &mut rng(2)), Err(ProveError::Statement(_))));
}

#[test]
fn every_opening_has_two_bits_more_than_a_hundred() {
    let (min, max) = adversary::variables();
    assert_eq!(adversary::hiding_variables(), max);
    assert_eq!(adversary::hiding_bits(max + 1), None, "more than the domain of its code holds");
    for variables in min..=max {
        let bits = adversary::opening_bits(variables).unwrap();
        assert!(bits >= 102.0, "{variables} variables: {bits} bits");
        let (bits, support) = adversary::hiding_bits(variables).unwrap();
        assert!(bits >= 102.0 && support == "Proven", "{variables} variables, hiding: {bits} bits, {support}");
    }
}
