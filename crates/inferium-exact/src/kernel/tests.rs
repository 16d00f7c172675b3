use proptest::prelude::*;

use super::*;
use crate::model::{Node, Table};
use crate::run::{apply, run};
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

/// Numbers drawn from a seed.
fn draw(seed: u64) -> impl FnMut() -> i16 {
    let mut bytes = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    move || {
        let mut two = [0; 2];
        bytes.fill(&mut two);
        i16::from_le_bytes(two)
    }
}

/// What [`crate::run`] does, and every tier of this machine in every way that it can be asked.
fn check_all_tiers(model: &Model, inputs: &[Vec<i32>]) {
    for tier in Tier::available() {
        let engine = Engine::with_tier(model, tier).unwrap();
        let expected: Vec<Trace> = inputs.iter().map(|input| run(model, input).unwrap()).collect();
        for (input, expected) in inputs.iter().zip(&expected) {
            assert_eq!(engine.trace(input).unwrap(), *expected, "{tier}");
            assert_eq!(engine.infer(input).unwrap(), expected.output(), "{tier}");
        }
        let outputs: Vec<_> = expected.iter().map(Trace::output).collect();
        assert_eq!(engine.infer_batch(inputs).unwrap(), outputs, "{tier}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "which tiers ran is what a reader of the log wants to know")]
fn tiers_that_this_machine_has_run_and_others_are_refused() {
    let (model, input) = synthetic("lenet-5").unwrap().unwrap();
    let expected = run(&model, &input).unwrap();
    let mut ran = Vec::new();
    for tier in Tier::ALL {
        match Engine::with_tier(&model, tier) {
            Ok(engine) => {
                assert!(tier.is_supported());
                assert_eq!(engine.tier(), tier);
                assert_eq!(engine.infer(&input).unwrap(), expected.output());
                let own = match tier {
                    Tier::Scalar => ["portable"; 5],
                    Tier::Avx2 => ["vpmaddwd"; 5],
                    // Sums of pooling blocks need more than a byte.
                    Tier::Avx512Vnni => ["vpdpbusd", "vpdpwssd", "vpdpwssd", "vpdpbusd", "vpdpbusd"],
                };
                assert_eq!(engine.instructions(), own);
                ran.push(tier);
            }
            Err(error) => assert_eq!(error, TierError::Unsupported(tier)),
        }
    }
    assert!(ran.contains(&Tier::Scalar));
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(ran.contains(&Tier::Avx2), is_x86_feature_detected!("avx2"));
        let has_vnni = ["avx512f", "avx512bw", "avx512vl", "avx512vnni"].map(|name| match name {
            "avx512f" => is_x86_feature_detected!("avx512f"),
            "avx512bw" => is_x86_feature_detected!("avx512bw"),
            "avx512vl" => is_x86_feature_detected!("avx512vl"),
            _ => is_x86_feature_detected!("avx512vnni"),
        });
        assert_eq!(ran.contains(&Tier::Avx512Vnni), has_vnni == [true; 4]);
    }
    assert_eq!(ran, Tier::available());
    assert_eq!(Engine::new(&model).unwrap().tier(), *ran.last().unwrap());
    println!("tiers that ran: {}", ran.iter().map(Tier::to_string).collect::<Vec<_>>().join(", "));
}

/// One product of every tier beside the interpreter's, which wraps. No gate: any weights, any values that fit.
fn check_product(op: &Op, shape: Shape, values: &[i32]) {
    let reach = Interval {
        min: values.iter().copied().min().unwrap().into(),
        max: values.iter().copied().max().unwrap().into(),
    };
    let size = usize::try_from(shape.elements()).unwrap();
    let expected: Vec<i32> = values.chunks(size).flat_map(|values| apply(op, values, shape, None)).collect();
    for tier in Tier::available() {
        let product = Product::new(op, shape, reach, tier, None).unwrap();
        assert_eq!(product.sums(values, Layout::Planes), expected, "{tier}, {}", product.instruction());
    }
}

#[test]
fn the_one_pair_of_products_that_leaves_32_bits_wraps_everywhere_and_the_gate_refuses_it() {
    for length in 1..40_u32 {
        let op = Op::Dense { outputs: 17, weights: vec![i16::MIN; 17 * length as usize] };
        check_product(&op, Shape::vector(length), &vec![i32::from(i16::MIN); length as usize]);
        let nodes = vec![node(op, 0)];
        let (input_min, input_max) = (i16::MIN, i16::MAX);
        let model = Model { name: String::new(), input: Shape::vector(length), input_min, input_max, nodes };
        assert!(matches!(Engine::new(&model), Err(ModelError::Overflow { .. })));
    }
    // 2^31 wraps in `pmaddwd`; the sum with −2^30 does not.
    let weights = vec![i16::MIN, i16::MIN, i16::MAX, 0];
    check_product(&Op::Dense { outputs: 1, weights }, Shape::vector(4), &[-32768, -32768, -32768, 5]);
}

/// What is shorter than a walk is not read, and what is as long is.
fn check_bounds<M: micro::Micro<Value: std::fmt::Debug>>(micro: M) {
    let walk = micro::Walk::new(vec![0, 100], M::GROUP);
    let (weights, values) = (vec![M::weights(|_, _| 1); 4], vec![M::narrow(1); 100 + M::GROUP]);
    let sum = i32::try_from(2 * M::GROUP).unwrap();
    assert_eq!(micro.sums::<1, 1>(&weights, &values, [0], &walk), [[[sum; 16]; 1]; 1]);
    assert_eq!(micro.sums::<4, 2>(&weights, &values, [0; 4], &walk), [[[sum; 16]; 2]; 4]);
    for start in [1, usize::MAX - 50, usize::MAX] {
        assert_eq!(micro.sums::<1, 1>(&weights, &values, [start], &walk), [[[0; 16]; 1]; 1]);
        assert_eq!(micro.sums::<4, 1>(&weights, &values, [0, 0, start, 0], &walk), [[[0; 16]; 1]; 4]);
    }
    assert_eq!(micro.sums::<1, 1>(&weights, &values[1..], [0], &walk), [[[0; 16]; 1]; 1]);
    assert_eq!(micro.sums::<1, 4>(&weights, &values, [0], &walk), [[[0; 16]; 4]; 1]);
    // Indices beyond a table, and a table without entries, are not read beyond it either.
    for table in [&[3_i16, 4][..], &[]] {
        for sum in [i32::MIN, -1, 0, 1, 2, i32::MAX] {
            let look = micro::Look { mantissas: &[1; 16], biases: &[0; 16], shift: 1, first: 0, table };
            let mut places = [0; 16];
            micro.look(&[sum; 16], look, &mut places[..7]);
            assert!(places[..7].iter().all(|place| *place == 0 || table.contains(place)));
            assert_eq!(places[7..], [0; 9]);
        }
    }
}

#[test]
fn no_tier_reads_beyond_what_it_is_given() {
    check_bounds(micro::Scalar);
    #[cfg(target_arch = "x86_64")]
    {
        x86::Avx2::detect().into_iter().for_each(check_bounds);
        x86::Vnni::detect().into_iter().for_each(check_bounds);
        x86::Vnni::detect().map(x86::Vnni::bytes).into_iter().for_each(check_bounds);
    }
}

#[test]
fn the_widest_bytes_do_not_saturate() {
    for (weight, value) in [(-128, 255), (127, 255), (-128, 0), (i16::MIN, 255), (i16::MAX, 255)] {
        for length in [1, 2, 3, 4, 5, 63, 64, 65, 255] {
            let op = Op::Dense { outputs: 33, weights: vec![weight; 33 * length] };
            check_product(&op, Shape::vector(u32::try_from(length).unwrap()), &vec![value; length]);
        }
    }
}

#[test]
fn inputs_can_be_split_among_threads_in_any_way() {
    for name in ["mlp-tiny", "cnn-tiny", "lenet-5"] {
        let (model, input) = synthetic(name).unwrap().unwrap();
        let mut number = draw(7);
        let inputs: Vec<Vec<i32>> =
            (0..13).map(|_| input.iter().map(|_| i32::from(number()) & 255).collect()).collect();
        let expected: Vec<Vec<i32>> =
            inputs.iter().map(|input| run(&model, input).unwrap().output().to_vec()).collect();
        for tier in Tier::available() {
            let engine = Engine::with_tier(&model, tier).unwrap();
            for threads in 1..=inputs.len() {
                let share = inputs.len().div_ceil(threads);
                let parts = std::thread::scope(|scope| {
                    let parts = inputs.chunks(share).map(|part| scope.spawn(|| engine.infer_batch(part).unwrap()));
                    let parts: Vec<_> = parts.collect();
                    parts.into_iter().flat_map(|part| part.join().unwrap()).collect::<Vec<_>>()
                });
                assert_eq!(parts, expected, "{name}, {tier}, {threads} threads");
            }
        }
    }
}

#[test]
fn a_batch_is_refused_for_its_one_wrong_input_and_an_empty_one_is_empty() {
    let (model, input) = synthetic("mlp-tiny").unwrap().unwrap();
    let engine = Engine::new(&model).unwrap();
    let mut wrong = input.clone();
    wrong[3] = 256;
    assert_eq!(engine.infer_batch(&[input.clone(), wrong]), Err(RunError::Range { index: 3 }));
    assert!(matches!(engine.infer_batch(&[&input[1..]]), Err(RunError::Length { .. })));
    assert_eq!(engine.infer_batch::<Vec<i32>>(&[]), Ok(Vec::new()));
}

#[test]
fn a_model_that_is_no_chain_runs_too() {
    // The second dense layer reads the input again; a table ends it, and values of 32 bits are multiplied.
    let table = Table { first: -8, values: (0..16).collect() };
    let nodes = vec![
        node(Op::Dense { outputs: 2, weights: vec![100, -100, 3, 4] }, 0),
        node(Op::Dense { outputs: 1, weights: vec![1, -1] }, 0),
        node(Op::Dense { outputs: 1, weights: vec![2, 1] }, 1),
        node(Op::Requantise { shift: 16, table }, 3),
    ];
    let model = Model { name: String::new(), input: Shape::vector(2), input_min: -600, input_max: 600, nodes };
    check_all_tiers(&model, &[vec![600, -600], vec![-600, 600], vec![1, 2]]);
    assert!(Engine::new(&model).unwrap().instructions().contains(&"wide"));
}

fn floats(number: &mut impl FnMut() -> i16, count: u32, fan: u32) -> Vec<f32> {
    (0..count).map(|_| f32::from(number()) / 32768.0 / f64::from(fan).sqrt() as f32).collect()
}

proptest! {
    #[test]
    fn products_of_all_tiers_are_the_interpreters(
        items in 1_usize..20, inputs in 1_u32..70, outputs in 1_u32..90, seed in any::<u64>(), is_bytes in any::<bool>(),
    ) {
        let mut number = draw(seed);
        // One in eight is an extreme.
        let mut value = |low: i16, high: i16| match number() {
            n if n & 15 == 0 => low,
            n if n & 15 == 1 => high,
            n if is_bytes => low + (n >> 4 & 255),
            n => n,
        };
        let (low, high) = if is_bytes { (-128, 127) } else { (i16::MIN, i16::MAX) };
        let weights = (0..inputs * outputs).map(|_| value(low, high)).collect();
        let (low, high) = if is_bytes { (0, 255) } else { (i16::MIN, i16::MAX) };
        let values: Vec<i32> = (0..items * inputs as usize).map(|_| i32::from(value(low, high))).collect();
        check_product(&Op::Dense { outputs, weights }, Shape::vector(inputs), &values);
    }

    #[test]
    fn convolutions_of_all_tiers_are_the_interpreters(
        items in 1_usize..4, channels in 1_u32..7, outputs in 1_u32..40, kernel in 1_u32..6, padding in 0_u32..5,
        height in 5_u32..9, width in 5_u32..12, seed in any::<u64>(), is_bytes in any::<bool>(),
    ) {
        let mut number = draw(seed);
        let padding = padding.min(kernel - 1);
        let shape = Shape { channels, height, width };
        let mut weight = || if is_bytes { number() >> 8 } else { number() };
        let weights = (0..outputs * channels * kernel * kernel).map(|_| weight()).collect();
        let value = |n: i16| i32::from(if is_bytes { n & 255 } else { n });
        let count = items * usize::try_from(shape.elements()).unwrap();
        let values: Vec<i32> = (0..count).map(|_| value(number())).collect();
        check_product(&Op::Conv2d { outputs, kernel, padding, weights }, shape, &values);
    }

    #[test]
    fn compiled_networks_are_the_interpreters_in_all_tiers(
        items in 1_usize..6, channels in 1_u32..4, kernel in 1_u32..4, padding in 0_u32..3, size in 2_u32..4, wide in 1_u32..40,
        side in 7_u32..12, seed in any::<u64>(), low in -300_i16..=0,
    ) {
        use crate::compile::{FloatLayer, FloatModel, compile};
        let (mut number, padding) = (draw(seed), padding.min(kernel - 1));
        let input = Shape { channels, height: side, width: side + 1 };
        let mut conv = |inputs: u32, outputs: u32| FloatLayer::Conv2d {
            kernel, padding,
            weights: floats(&mut number, outputs * inputs * kernel * kernel, inputs * kernel * kernel),
            biases: floats(&mut number, outputs, 16),
        };
        let mut layers = vec![conv(channels, wide), FloatLayer::Relu, FloatLayer::AveragePool(size), conv(wide, 5)];
        prop_assume!((side + 2 * padding + 1 - kernel) / size + 2 * padding >= kernel);
        let after = |side: u32| (side + 2 * padding + 1 - kernel) / size + 2 * padding + 1 - kernel;
        // No rectifier: values below zero reach the dense layer, which reads them flattened.
        layers.push(FloatLayer::Flatten);
        let fan = 5 * after(side) * after(side + 1);
        for (inputs, outputs) in [(fan, 19), (19, 3)] {
            let (weights, biases) = (floats(&mut number, inputs * outputs, inputs), floats(&mut number, outputs, 16));
            layers.extend([FloatLayer::Dense { weights, biases }, FloatLayer::Relu]);
        }
        layers.pop();
        let float = FloatModel { name: String::new(), input, input_range: (low, 255), input_scale: 1.0 / 255.0, layers };
        let range = 256 - i32::from(low);
        let mut inputs: Vec<Vec<i32>> = (0..items)
            .map(|_| (0..input.elements()).map(|_| i32::from(low) + i32::from(number()).rem_euclid(range)).collect())
            .collect();
        inputs[0].fill(low.into());
        // Where weights happen to be small, a bias can be too large a multiple of their unit: such a network is refused.
        let compiled = compile(&float, &inputs);
        prop_assume!(compiled.is_ok());
        let model = compiled.unwrap();
        inputs.push(vec![255; inputs[0].len()]);
        check_all_tiers(&model, &inputs);
    }
}

#[test]
fn a_visit_shows_the_trace_value_by_value() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let (model, input) = synthetic(name).unwrap().unwrap();
        let engine = Engine::new(&model).unwrap();
        let mut seen = Vec::new();
        let output = engine.visit(&input, |values| seen.push(values.to_vec())).unwrap();
        let trace = run(&model, &input).unwrap();
        assert_eq!((seen, output.as_slice()), (trace.values.clone(), trace.output()), "{name}");
        assert!(engine.visit(&input[1..], |_| unreachable!("nothing is run")).is_err());
    }
}
