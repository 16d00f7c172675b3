//! candle's own quantised llama on the model file that our engine serves, at Q8_0 as ours: prefill and decode on one
//! thread, in tokens per second. See docs/performance.md for the command.

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, IndexOp, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

/// Rewrites a model with every quantised matrix at Q8_0.
fn to_q8(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut source = File::open(from)?;
    let content = gguf_file::Content::read(&mut source)?;
    let mut tensors = Vec::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut source, name, &Device::Cpu)?;
        let tensor = match tensor.dtype() {
            GgmlDType::F32 => tensor,
            _ => QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?,
        };
        tensors.push((name.as_str(), tensor));
    }
    let metadata: Vec<_> = content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut out = BufWriter::new(File::create(to)?);
    gguf_file::write(&mut out, &metadata, &tensors)?;
    out.flush()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::args().nth(1).ok_or("usage: candle_stock MODEL.gguf")?;
    let q8 = std::env::temp_dir().join(format!("candle-stock-{}.gguf", std::process::id()));
    to_q8(Path::new(&model), &q8)?;
    let mut file = File::open(&q8)?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut weights = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    std::fs::remove_file(&q8)?;

    let prompt: Vec<u32> = (0..512u32).map(|i| (1000 + i * 37) % 49_152).collect();
    let input = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
    weights.forward(&input.i((.., ..8))?, 0)?;
    let started = Instant::now();
    let logits = weights.forward(&input, 0)?;
    println!("prefill 512  {:7.1} tok/s", 512.0 / started.elapsed().as_secs_f64());

    let mut token = logits.argmax(candle_core::D::Minus1)?.flatten_all()?.to_vec1::<u32>()?[0];
    let short = input.i((.., ..16))?.contiguous()?;
    weights.forward(&short, 0)?;
    let started = Instant::now();
    const STEPS: usize = 128;
    for step in 0..STEPS {
        let input = Tensor::new(&[token], &Device::Cpu)?.unsqueeze(0)?;
        let logits = weights.forward(&input, 16 + step)?;
        token = logits.argmax(candle_core::D::Minus1)?.flatten_all()?.to_vec1::<u32>()?[0];
    }
    println!("decode {STEPS}   {:7.1} tok/s", STEPS as f64 / started.elapsed().as_secs_f64());
    Ok(())
}
