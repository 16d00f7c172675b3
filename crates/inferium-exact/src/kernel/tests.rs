use proptest::prelude::*;

use super::*;
use crate::model::Node;
use crate::run::run;
use crate::synthetic::synthetic;

#[test]
fn the_fast_path_is_the_interpreter() {
    for name in ["mlp-tiny", "cnn-tiny", "lenet-5"] {
        let (model, input) = synthetic(name).unwrap().unwrap();
        assert_eq!(infer(&model, &input).unwrap(), run(&model, &input).unwrap().output(), "{name}");
    }
}

fn node(op: Op, input: u32) -> Node {
    Node { op, input }
}

proptest! {
    #[test]
    fn random_convolutions_and_sums_are_the_interpreters(
        channels in 1_u32..4, outputs in 1_u32..4, kernel in 1_u32..5, padding in 0_u32..4,
        height in 4_u32..8, width in 4_u32..9, seed in any::<u64>(),
    ) {
        let padding = padding.min(kernel - 1);
        let mut bytes = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut number = || { let mut two = [0; 2]; bytes.fill(&mut two); i16::from_le_bytes(two) };
        let weights = (0..outputs * channels * kernel * kernel).map(|_| number() / 16).collect();
        let (out_height, out_width) = (height + 2 * padding + 1 - kernel, width + 2 * padding + 1 - kernel);
        let flat = outputs * out_height * out_width;
        let nodes = vec![
            node(Op::Conv2d { outputs, kernel, padding, weights }, 0),
            node(Op::Flatten, 1),
        ];
        let input = Shape { channels, height, width };
        let model = Model { name: String::new(), input, input_min: -128, input_max: 127, nodes };
        let values: Vec<i32> = (0..input.elements()).map(|_| i32::from(number() >> 8)).collect();
        let fast = infer(&model, &values).unwrap();
        prop_assert_eq!(fast.len() as u32, flat);
        let expected = run(&model, &values).unwrap();
        prop_assert_eq!(&fast, expected.output());
        let weights: Vec<i16> = (0..3 * input.elements()).map(|_| number() / 8).collect();
        let nodes = vec![node(Op::Flatten, 0), node(Op::Dense { outputs: 3, weights }, 1)];
        let model = Model { nodes, ..model };
        let expected = run(&model, &values).unwrap();
        prop_assert_eq!(infer(&model, &values).unwrap(), expected.output());
    }
}
