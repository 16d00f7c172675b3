//! Accuracy of integer models beside the float models that they were compiled from, and how long one inference takes.
//!
//! `cargo run --release -p inferium-exact --example accuracy -- FOLDER`, with what `models/exact/train.py` wrote there.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has to stop")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::path::PathBuf;
use std::time::Instant;

use inferium_exact::{Engine, OnnxOptions, argmax, compile, encode, model_id, read_onnx, read_safetensors, run};

fn images(bytes: &[u8]) -> Vec<Vec<i32>> {
    bytes.chunks_exact(784).map(|image| image.iter().map(|pixel| i32::from(*pixel)).collect()).collect()
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (calibration, test, labels) = (images(&read("calibration.u8")), images(&read("test.u8")), read("test.labels"));
    for name in ["mlp", "lenet"] {
        let float = read_safetensors(name, &read(&format!("{name}.safetensors"))).unwrap();
        let model = compile(&float, &calibration).unwrap();
        if let Ok(bytes) = std::fs::read(folder.join(format!("{name}.onnx"))) {
            let other = compile(&read_onnx(name, &bytes, OnnxOptions::default()).unwrap(), &calibration).unwrap();
            assert_eq!(model_id(&other), model_id(&model), "the ONNX file is the same model");
        }
        let engine = Engine::new(&model).unwrap();
        let (mut exact, mut floating, mut same) = (0, 0, 0);
        let mut seconds = 0.0;
        for (image, label) in test.iter().zip(&labels) {
            let begin = Instant::now();
            let output = engine.infer(image).unwrap();
            seconds += begin.elapsed().as_secs_f64();
            assert_eq!(output, run(&model, image).unwrap().output(), "the fast path is the interpreter");
            let logits = float.logits(image).unwrap();
            let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            exact += usize::from(argmax(&output) == usize::from(*label));
            floating += usize::from(best == usize::from(*label));
            same += usize::from(best == argmax(&output));
        }
        let percent = |count: usize| count as f64 * 100.0 / test.len() as f64;
        println!(
            "{name}: float {:.2} %, integer {:.2} %, same label {:.2} % of {} images; {} parameters, file {} bytes, \
             {:.0} µs an image, id {}",
            percent(floating),
            percent(exact),
            percent(same),
            test.len(),
            model.parameters(),
            encode(&model).unwrap().len(),
            seconds * 1e6 / test.len() as f64,
            blake3::Hash::from(model_id(&model)).to_hex(),
        );
    }
}
