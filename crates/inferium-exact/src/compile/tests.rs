use super::*;
use crate::model::ACCUMULATOR_MAX;
use crate::root::model_id;
use crate::run::{argmax, run, split};
use crate::synthetic::synthetic;

/// A two-layer classifier of three patterns, with float weights that are known.
fn patterns() -> (FloatModel, Vec<Vec<i32>>) {
    let hidden: Vec<f32> = (0..6 * 8_i32).map(|i| ((i * 37 % 17) - 8) as f32 / 11.0).collect();
    let output: Vec<f32> = (0..3 * 6_i32).map(|i| ((i * 29 % 13) - 6) as f32 / 5.0).collect();
    let layers = vec![
        FloatLayer::Dense { weights: hidden, biases: vec![0.1, -0.2, 0.0, 0.3, -0.1, 0.05] },
        FloatLayer::Relu,
        FloatLayer::Dense { weights: output, biases: vec![0.0, 0.1, -0.1] },
    ];
    let float = FloatModel {
        name: "patterns".into(),
        input: Shape::vector(8),
        input_range: (0, 255),
        input_scale: 1.0 / 255.0,
        layers,
    };
    let inputs = (0..200_i32).map(|n| (0..8).map(|i| (n * 71 + i * i * 53 + n * i * 29) % 256).collect()).collect();
    (float, inputs)
}

#[test]
fn the_integer_model_says_what_the_float_model_says() {
    let (float, inputs) = patterns();
    let model = compile(&float, &inputs[..50]).unwrap();
    let mut same = 0;
    for input in &inputs {
        let logits = float.logits(input).unwrap();
        let expected = (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        same += usize::from(argmax(run(&model, input).unwrap().output()) == expected);
    }
    assert!(same >= 196, "{same} of 200 labels agree");
}

#[test]
fn compiling_is_deterministic_and_the_id_depends_on_every_number() {
    let (float, inputs) = patterns();
    let model = compile(&float, &inputs).unwrap();
    assert_eq!(model_id(&model), model_id(&compile(&float, &inputs).unwrap()));
    let mut other = model.clone();
    if let Op::Requantise { table, .. } = &mut other.nodes[2].op {
        table.values[7] ^= 1;
    }
    assert_ne!(model_id(&model), model_id(&other));
    let mut other = model.clone();
    if let Op::Affine { biases, .. } = &mut other.nodes[4].op {
        biases[2] += 1;
    }
    assert_ne!(model_id(&model), model_id(&other));
}

#[test]
fn no_value_of_a_run_leaves_its_interval() {
    for name in ["mlp-tiny", "cnn-tiny", "mlp-109k"] {
        let (model, input) = synthetic(name).unwrap().unwrap();
        let bounds = intervals(&model).unwrap();
        let trace = run(&model, &input).unwrap();
        let highest = vec![255; input.len()];
        let extreme = run(&model, &highest).unwrap();
        for (bound, values) in bounds.iter().zip(&trace.values).chain(bounds.iter().zip(&extreme.values)) {
            assert!(bound.max <= ACCUMULATOR_MAX && bound.min >= -ACCUMULATOR_MAX);
            assert!(values.iter().all(|value| (bound.min..=bound.max).contains(&i64::from(*value))), "{name}");
        }
    }
}

#[test]
fn sums_that_could_wrap_are_refused() {
    let weights = vec![i16::MAX; 4096];
    let nodes = vec![Node { op: Op::Dense { outputs: 1, weights }, input: 0 }];
    let input = Shape::vector(4096);
    let model = Model { name: String::new(), input, input_min: -128, input_max: 255, nodes };
    assert!(matches!(model.check(), Err(ModelError::Overflow { node: 0, .. })));
}

#[test]
fn a_table_that_misses_an_index_is_refused() {
    let (float, inputs) = patterns();
    let mut model = compile(&float, &inputs).unwrap();
    if let Op::Requantise { table, .. } = &mut model.nodes[2].op {
        table.first += 1;
    }
    assert!(matches!(model.check(), Err(ModelError::Table { node: 2, .. })));
}

#[test]
fn negative_values_are_split_by_the_floor() {
    for (value, expected) in [(-1, (0, 7)), (-8, (0, 0)), (-9, (-1, 15)), (-24, (-1, 0)), (7, (0, 15)), (8, (1, 0))] {
        let (hi, lo) = split(value, 4);
        assert_eq!((hi, lo), expected, "{value}");
        assert_eq!(hi * 16 + lo, value + 8);
    }
}
