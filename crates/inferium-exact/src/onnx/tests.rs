use proptest::prelude::*;
use prost::Message as _;
use prost::bytes::Bytes;

use super::proto::{
    Dimension, GraphProto, ModelProto, OperatorSet, Property, TensorShape, TensorType, TypeProto, ValueInfo,
};
use super::*;
use crate::{compile, model_id, read_safetensors};

fn value(name: &str, sides: &[u32]) -> ValueInfo {
    // The batch has no number.
    let dims = std::iter::once(None).chain(sides.iter().map(|side| Some(i64::from(*side))));
    let shape = Some(TensorShape { dim: dims.map(|dim_value| Dimension { dim_value }).collect() });
    ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(TensorType { shape }) }) }
}

fn tensor(name: &str, dims: &[i64], floats: &[f32], is_raw: bool) -> TensorProto {
    let mut tensor = TensorProto { name: name.into(), dims: dims.to_vec(), data_type: 1, ..TensorProto::default() };
    match is_raw {
        true => tensor.raw_data = floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>().into(),
        false => tensor.float_data = floats.to_vec(),
    }
    tensor
}

fn shape(name: &str, sides: &[i64]) -> TensorProto {
    TensorProto { name: name.into(), dims: vec![2], data_type: 7, int64_data: sides.to_vec(), ..TensorProto::default() }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), ..Attribute::default() }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, ..Attribute::default() }
}

/// A node that reads the first name and the tensors after it; its result is called after it.
fn node(op: &str, name: &str, input: &[&str], attribute: &[Attribute]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: name.into(),
        input: input.iter().map(|name| (*name).into()).collect(),
        output: vec![format!("{name}-out")],
        attribute: attribute.to_vec(),
        ..NodeProto::default()
    }
}

fn file(input: &[u32], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let output = nodes.last().and_then(|node| node.output.first()).cloned().unwrap_or_default();
    let ends = (vec![value("in", input)], vec![ValueInfo { name: output, r#type: None }]);
    let graph = GraphProto { node: nodes, initializer, input: ends.0, output: ends.1 };
    let property = |key: &str, value: &str| Property { key: key.into(), value: value.into() };
    ModelProto {
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: 13 }],
        metadata_props: vec![property("input_range", "0,255"), property("input_scale", "0.003921569")],
    }
}

fn read(file: &ModelProto) -> Result<FloatModel, OnnxError> {
    read_onnx("net", &file.encode_to_vec(), OnnxOptions::default())
}

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// Weights of a small network: a convolution, two matrices, and their biases.
fn parts() -> [(&'static str, Vec<usize>, Vec<f32>); 6] {
    [
        ("a.weight", vec![3, 1, 3, 3], numbers(27, 1)),
        ("a.bias", vec![3], numbers(3, 2)),
        ("b.weight", vec![5, 27], numbers(135, 3)),
        ("b.bias", vec![5], numbers(5, 4)),
        ("c.weight", vec![4, 5], numbers(20, 5)),
        ("c.bias", vec![4], numbers(4, 6)),
    ]
}

fn network(is_raw: bool) -> ModelProto {
    let [aw, ab, bw, bb, cw, cb] = parts();
    let columns: Vec<f32> =
        (0..5).flat_map(|row| cw.2.iter().skip(row).step_by(5).copied().collect::<Vec<_>>()).collect();
    let tensors = vec![
        tensor("aw", &[3, 1, 3, 3], &aw.2, is_raw),
        tensor("ab", &[3], &ab.2, is_raw),
        tensor("bw", &[5, 27], &bw.2, is_raw),
        tensor("bb", &[5], &bb.2, is_raw),
        // As files of Keras and TensorFlow have them: columns are outputs.
        tensor("cw", &[5, 4], &columns, is_raw),
        tensor("cb", &[4], &cb.2, is_raw),
        shape("to", &[-1, 27]),
    ];
    let window =
        [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1]), ints("strides", &[1, 1]), int("group", 1)];
    let nodes = vec![
        node("Identity", "i", &["in"], &[]),
        node("Conv", "a", &["i-out", "aw", "ab"], &window),
        node("Relu", "r", &["a-out"], &[]),
        node("AveragePool", "p", &["r-out"], &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        node("Reshape", "f", &["p-out", "to"], &[]),
        node("Gemm", "b", &["f-out", "bw", "bb"], &[int("transB", 1)]),
        node("Relu", "s", &["b-out"], &[]),
        node("MatMul", "m", &["s-out", "cw"], &[]),
        node("Add", "c", &["cb", "m-out"], &[]),
    ];
    file(&[1, 6, 6], nodes, tensors)
}

/// The same weights as a safetensors file.
fn safetensors_file() -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let parts = parts();
    let bytes: Vec<Vec<u8>> =
        parts.iter().map(|part| part.2.iter().flat_map(|float| float.to_le_bytes()).collect()).collect();
    let views = parts
        .iter()
        .zip(&bytes)
        .map(|((name, sides, _), bytes)| (*name, TensorView::new(Dtype::F32, sides.clone(), bytes).unwrap()));
    let metadata = [
        ("input", "1,6,6"),
        ("input_range", "0,255"),
        ("input_scale", "0.003921569"),
        ("layers", "conv a 3 1,relu,pool 2,flatten,dense b,relu,dense c"),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    serialize(views, Some(metadata)).unwrap()
}

#[test]
fn one_network_in_two_formats_is_one_model() {
    let calibration: Vec<Vec<i32>> = (0..5).map(|k| (0..36).map(|i| (i * 37 + k * 11) % 256).collect()).collect();
    let expected = read_safetensors("net", &safetensors_file()).unwrap();
    let model = compile(&expected, &calibration).unwrap();
    for is_raw in [false, true] {
        let float = read(&network(is_raw)).unwrap();
        assert_eq!(float, expected);
        assert_eq!(model_id(&compile(&float, &calibration).unwrap()), model_id(&model));
    }
}

#[test]
fn constants_and_flatten_are_read_and_a_conv_has_no_biases() {
    let constant =
        Attribute { name: "value".into(), t: Some(tensor("", &[1, 1, 1, 1], &[2.0], true)), ..Attribute::default() };
    let nodes = vec![
        node("Constant", "w", &[], &[constant]),
        node("Conv", "a", &["in", "w-out"], &[]),
        node("Flatten", "f", &["a-out"], &[int("axis", 1)]),
        node("Flatten", "g", &["f-out"], &[int("axis", -1)]),
    ];
    let model = read(&file(&[1, 2, 3], nodes, vec![])).unwrap();
    let conv = FloatLayer::Conv2d { kernel: 1, padding: 0, weights: vec![2.0], biases: vec![0.0] };
    assert_eq!(model.layers, [conv, FloatLayer::Flatten]);
}

#[test]
fn what_the_file_does_not_say_the_caller_does() {
    let mut file = network(true);
    file.metadata_props.clear();
    let bytes = file.encode_to_vec();
    let read = |input_range, input_scale| read_onnx("net", &bytes, OnnxOptions { input_range, input_scale });
    assert_eq!(
        read(None, Some(1.0)).unwrap_err().to_string(),
        "`input_range` is neither in the file's metadata nor given"
    );
    assert_eq!(
        read(Some((-3, 3)), None).unwrap_err().to_string(),
        "`input_scale` is neither in the file's metadata nor given"
    );
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(read(Some((0, 1)), Some(scale)), Err(OnnxError::Terms("input_scale", "no number above zero")));
    }
    let model = read(Some((-3, 3)), Some(0.5)).unwrap();
    assert_eq!((model.input_range, model.input_scale), ((-3, 3), 0.5));
    let options = OnnxOptions { input_range: Some((0, 1)), input_scale: None };
    let error = read_onnx("net", &network(true).encode_to_vec(), options).unwrap_err();
    assert_eq!(error, OnnxError::Terms("input_range", "another one in the file's metadata"));
}

/// Why the network is refused after a change of its graph.
fn refusal(change: &dyn Fn(&mut GraphProto)) -> String {
    let mut file = network(true);
    change(file.graph.as_mut().unwrap());
    read(&file).unwrap_err().to_string()
}

#[test]
fn a_convolution_that_is_not_in_the_contract_is_refused_by_its_name() {
    let of = refusal;
    let conv = |attribute: Attribute| {
        of(&|graph| {
            graph.node[1].attribute.retain(|one| one.name != attribute.name);
            graph.node[1].attribute.push(attribute.clone());
        })
    };
    let text = |name: &str, s: &'static str| Attribute {
        name: name.into(),
        s: Bytes::from_static(s.as_bytes()),
        ..Attribute::default()
    };
    assert_eq!(conv(ints("strides", &[2, 2])), "Conv `a`: strides 2, 2 are not in the contract");
    assert_eq!(conv(ints("dilations", &[2, 2])), "Conv `a`: dilations 2, 2 are not in the contract");
    assert_eq!(conv(int("group", 3)), "Conv `a`: group 3 is not in the contract");
    assert_eq!(
        conv(ints("pads", &[0, 1, 0, 1])),
        "Conv `a`: pads 0, 1, 0, 1; the same on four sides is in the contract"
    );
    assert_eq!(conv(ints("pads", &[-1; 4])), "Conv `a`: pads -1, -1, -1, -1 are not in the contract");
    assert_eq!(
        conv(text("auto_pad", "SAME_UPPER")),
        "Conv `a`: of auto_pad only NOTSET and VALID are read; write pads"
    );
    assert_eq!(conv(ints("kernel_shape", &[3, 1])), "Conv `a`: kernel_shape 3, 1 for weights of 3 × 3");
    assert_eq!(conv(int("new", 1)), "Conv `a`: the attribute `new` is not read");
}

#[test]
fn other_nodes_that_are_not_in_the_contract_are_refused_by_their_names() {
    let of = refusal;
    let op = |index: usize, op: &str| of(&|graph| graph.node[index].op_type = op.into());
    assert_eq!(op(2, "Sigmoid"), "Sigmoid `r`: not in the contract");
    assert_eq!(op(8, "Softmax"), "Softmax `c`: it reads `cb`, and the result before it is `m-out`: chains are read");
    let alpha = Attribute { name: "alpha".into(), f: 0.5, ..Attribute::default() };
    assert_eq!(of(&|graph| graph.node[5].attribute.push(alpha.clone())), "Gemm `b`: alpha 0.5 is not in the contract");
    assert_eq!(of(&|graph| graph.node[5].attribute.clear()), "Gemm `b`: a matrix for 5 values, and an input of 27");
    assert_eq!(
        of(&|graph| graph.node[3].attribute.truncate(1)),
        "AveragePool `p`: blocks of 2 × 2 with strides [1, 1]; square ones side by side are in the contract"
    );
    assert_eq!(of(&|graph| graph.node[4].input.truncate(1)), "Reshape `f`: an input is missing");
    assert_eq!(
        of(&|graph| graph.initializer[6].int64_data = vec![3, 9]),
        "Reshape `f`: to [3, 9]; to the batch and 27 is in the contract"
    );
    assert_eq!(of(&|graph| graph.node[5].input[1] = "bb".into()), "Gemm `b`: its weights are no matrix");
    assert_eq!(
        of(&|graph| graph.node[7].input[1] = "bw".into()),
        "MatMul `m`: `bw` is no tensor of the file, or was read before"
    );
    assert_eq!(of(&|graph| graph.node[5].domain = "com.x".into()), "Gemm `b`: operators of `com.x` are not read");
    assert_eq!(of(&|graph| graph.initializer[0].dims[0] = 4), "Conv `a`: 27 weights in a tensor of [4, 1, 3, 3]");
    assert_eq!(of(&|graph| graph.initializer[0].dims[0] = -3), "Conv `a`: a negative side of its weights");
    assert_eq!(
        of(&|graph| graph.initializer[0].data_type = 10),
        "Conv `a`: its weights are not 32-bit floats in this file"
    );
    assert_eq!(
        of(&|graph| graph.initializer[0].data_location = 1),
        "Conv `a`: its weights are not 32-bit floats in this file"
    );
    assert_eq!(
        of(&|graph| graph.output[0].name = "m-out".into()),
        "graph: the output is `m-out`, and the chain ends in `c-out`"
    );
    assert_eq!(of(&|graph| graph.input.push(value("x", &[1]))), "graph: 2 inputs and 1 outputs; one of each is read");
    assert_eq!(
        of(&|graph| drop(graph.node.remove(0))),
        "Conv `a`: it reads `i-out`, and the result before it is `in`: chains are read"
    );
    let mut old = network(true);
    old.opset_import[0].version = 6;
    assert_eq!(read(&old).unwrap_err().to_string(), "graph: operator set 6; 7 and later are read");
}

/// What reading takes at most.
fn measured(bytes: &[u8]) -> Result<FloatModel, OnnxError> {
    let mut found = None;
    let taken = allocation_counter::measure(|| found = Some(read_onnx("net", bytes, OnnxOptions::default())));
    assert!(taken.bytes_max < 8 * bytes.len() as u64 + (3 << 20), "{} of {}", taken.bytes_max, bytes.len());
    found.unwrap()
}

#[test]
fn damage_is_an_error_or_another_model_and_takes_no_memory() {
    for is_raw in [false, true] {
        let bytes = network(is_raw).encode_to_vec();
        for index in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[index] ^= flip;
                drop(measured(&damaged));
            }
            assert!(measured(&bytes[..index]).is_err(), "cut at {index}");
        }
    }
}

#[test]
fn many_small_parts_are_refused_before_they_are_made() {
    // Empty nodes, initializers, attributes, sides and shapes: two bytes or one each.
    let wrapped = |tag: u8, inner: &[u8]| {
        let mut bytes = vec![tag << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend(inner);
        bytes
    };
    let many = |tag: u8| [tag << 3 | 2, 0].repeat(1 << 20);
    let ones = vec![1; 1 << 20];
    let in_node = |inner: &[u8]| wrapped(7, &wrapped(1, inner));
    let files = [
        wrapped(7, &many(1)),
        wrapped(7, &many(5)),
        wrapped(7, &many(11)),
        many(7),
        many(8),
        in_node(&many(1)),
        in_node(&many(5)),
        in_node(&wrapped(5, &wrapped(8, &ones))),
        wrapped(7, &wrapped(5, &wrapped(1, &ones))),
        wrapped(7, &wrapped(5, &[8, 1].repeat(1 << 20))),
        wrapped(7, &wrapped(5, &wrapped(7, &ones))),
    ];
    for file in files {
        assert_eq!(measured(&file).unwrap_err(), OnnxError::Parts);
    }
    // One tensor that every node reads is no way to have it many times.
    let mut file = network(true);
    let graph = file.graph.as_mut().unwrap();
    graph.initializer[4] = tensor("cw", &[5, 5], &numbers(25, 9), true);
    graph.node.truncate(8);
    graph.node.push(node("MatMul", "n", &["m-out", "cw"], &[]));
    assert!(read(&file).unwrap_err().to_string().ends_with("was read before"));
}

proptest! {
    #[test]
    fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(measured(&bytes).is_err());
    }
}
