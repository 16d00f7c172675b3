use super::*;
use crate::compile::CompileError;
use crate::kernel::Engine;
use crate::model::{ModelError, Op};
use crate::run::run;

const WIDTH: usize = 24;
const HIDDEN: usize = 40;
const VOCABULARY: usize = 50;
const LENGTH: usize = 12;
const CONFIG: BertConfig = BertConfig { heads: 3, length: LENGTH as u32, norm_epsilon: 1e-12 };

struct Draw(blake3::OutputReader);

impl Draw {
    /// Uniform in ±1.
    fn float(&mut self) -> f32 {
        let mut bytes = [0; 2];
        self.0.fill(&mut bytes);
        f32::from(i16::from_le_bytes(bytes)) / 32768.0
    }
}

/// An encoder of two layers, in a file; `skip` is a tensor that it lacks.
fn file(prefix: &str, skip: &str) -> Vec<u8> {
    file_of(prefix, skip, HIDDEN, 0.35)
}

/// The same with another width between the layers of feed-forward parts, and weights of another size.
fn file_of(prefix: &str, skip: &str, hidden: usize, size: f32) -> Vec<u8> {
    let mut draw = Draw(blake3::Hasher::new().update(b"bert").finalize_xof());
    let mut tensors: Vec<(String, Vec<usize>, f32, f32)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![VOCABULARY, WIDTH], 1.0, 0.0),
        ("embeddings.position_embeddings.weight".into(), vec![LENGTH + 3, WIDTH], 0.3, 0.0),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, WIDTH], 0.1, 0.0),
    ];
    let norm = |tensors: &mut Vec<_>, name: &str| {
        tensors.push((format!("{name}.weight"), vec![WIDTH], 0.4, 1.0));
        tensors.push((format!("{name}.bias"), vec![WIDTH], 0.2, 0.0));
    };
    norm(&mut tensors, "embeddings.LayerNorm");
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let square = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        let dense = square.map(|part| (part, WIDTH, WIDTH)).into_iter();
        for (part, inputs, outputs) in
            dense.chain([("intermediate.dense", WIDTH, hidden), ("output.dense", hidden, WIDTH)])
        {
            tensors.push((name(&format!("{part}.weight")), vec![outputs, inputs], size, 0.0));
            tensors.push((name(&format!("{part}.bias")), vec![outputs], 0.2, 0.0));
        }
        norm(&mut tensors, &name("attention.output.LayerNorm"));
        norm(&mut tensors, &name("output.LayerNorm"));
    }
    let (mut header, mut numbers) = (Vec::new(), Vec::new());
    for (name, shape, size, middle) in tensors.into_iter().filter(|(name, ..)| name != skip) {
        let begin = numbers.len();
        for _ in 0..shape.iter().product() {
            numbers.extend((middle + size * draw.float()).to_le_bytes());
        }
        let end = numbers.len();
        header.push(format!(
            "\"{prefix}{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

fn texts(count: usize, seed: &str) -> Vec<Vec<i32>> {
    let mut draw = Draw(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof());
    let mut below = |bound: usize| (f64::from(draw.float().abs()) * 0.999 * bound as f64) as usize;
    (0..count).map(|_| (0..=below(LENGTH)).map(|_| below(VOCABULARY) as i32).collect()).collect()
}

#[test]
fn an_integer_encoder_points_where_the_float_encoder_does() {
    let float = read_bert("small", CONFIG, &file("", "")).unwrap();
    assert_eq!((float.width(), float.vocabulary()), (WIDTH, VOCABULARY));
    let model = compile_bert(&float, &texts(400, "calibration")).unwrap();
    assert_eq!(model, compile_bert(&float, &texts(400, "calibration")).unwrap());
    let engine = Engine::new(&model).unwrap();
    for tokens in texts(60, "test") {
        let output = engine.infer(&tokens).unwrap();
        assert_eq!(output, run(&model, &tokens).unwrap().output());
        let expected = float.embed(&tokens).unwrap();
        let dot: f64 = output.iter().zip(&expected).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let length = output.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>().sqrt();
        assert!(dot / length > 0.999, "{} for {tokens:?}", dot / length);
    }
    // Words, positions, gains and biases of five normalisations, and the layers.
    let layer = 4 * (WIDTH + 1) * WIDTH + (WIDTH + 1) * HIDDEN + (HIDDEN + 1) * WIDTH;
    assert_eq!(model.parameters() as usize, (VOCABULARY + LENGTH) * WIDTH + 10 * WIDTH + 2 * layer);
    let at_positions = 4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN + 2 * LENGTH * WIDTH;
    assert_eq!(model.multiplications().unwrap() as usize, 2 * LENGTH * at_positions);
}

#[test]
fn names_may_have_a_prefix_and_what_a_file_lacks_is_said() {
    assert_eq!(read_bert("a", CONFIG, &file("", "")), read_bert("a", CONFIG, &file("bert.", "")));
    for name in [
        "encoder.layer.1.attention.self.key.bias",
        "embeddings.LayerNorm.weight",
        "encoder.layer.0.output.dense.weight",
    ] {
        assert_eq!(read_bert("a", CONFIG, &file("", name)), Err(WeightsError::Tensor(name.into())));
    }
    let refused = |config| assert!(matches!(read_bert("a", config, &file("", "")), Err(WeightsError::Tensor(_))));
    refused(BertConfig { length: LENGTH as u32 + 4, ..CONFIG });
    refused(BertConfig { length: 0, ..CONFIG });
    refused(BertConfig { heads: 5, ..CONFIG });
    refused(BertConfig { heads: 0, ..CONFIG });
    assert!(matches!(read_bert("a", CONFIG, b"nothing"), Err(WeightsError::File(_))));
}

#[test]
fn calibration_that_does_not_fit_is_refused() {
    let float = read_bert("small", CONFIG, &file("", "")).unwrap();
    for texts in [vec![], vec![vec![]], vec![vec![1; LENGTH + 1]], vec![vec![VOCABULARY as i32]], vec![vec![-1]]] {
        assert!(matches!(compile_bert(&float, &texts), Err(CompileError::Calibration(_))));
    }
    let float =
        read_bert("a name that is longer than the sixty-four bytes that a model's name has", CONFIG, &file("", ""));
    assert!(matches!(
        compile_bert(&float.unwrap(), &texts(2, "calibration")),
        Err(CompileError::Model(ModelError::Size(_)))
    ));
}

#[test]
fn weights_of_no_or_absurd_size_are_refused() {
    let empty = read_bert("x", CONFIG, &file_of("", "", 0, 0.35)).unwrap_err();
    assert_eq!(empty, WeightsError::Tensor("encoder.layer.0.intermediate.dense.weight".into()));
    let float = read_bert("x", CONFIG, &file_of("", "", HIDDEN, 3e38)).unwrap();
    assert!(matches!(compile_bert(&float, &texts(3, "absurd")), Err(CompileError::Calibration(_))));
}

#[test]
fn a_model_has_no_position_beyond_the_longest_sequence() {
    let float = read_bert("small", BertConfig { length: 5, ..CONFIG }, &file("", "")).unwrap();
    let model = compile_bert(&float, &[vec![1, 2, 3]]).unwrap();
    assert!(Engine::new(&model).unwrap().infer(&[1; 6]).is_err());
    assert!(matches!(&model.nodes[0].op, Op::Embedding { positions, .. } if positions.len() == 5 * WIDTH));
}
