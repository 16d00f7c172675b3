//! What a step costs, and what verification does: `cargo bench -p inferium-train`. Models are drawn, of the real ones' shapes: times don't
//! depend on what weights are. Every figure is the median of several.

#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "a measurement: it times and prints")]

use inferium_engine::exact::Exact;
use inferium_engine::{DecoderLayer, DecoderShape, DecoderWeights};
use inferium_train::{
    Audit, BaseModel, Checkpoint, DataSet, DataTerms, HeadTrainer, LoraTrainer, Method, OptimiserTerms, Order, Trainer,
    TrainingSpec, Vectors, run_interval, verify_interval,
};
use inferium_types::{Digest, Ppm};
use std::error::Error;
use std::time::Instant;

/// Measurements of which a figure is the median.
const RUNS: usize = 5;
/// Numbers of a vector of all-MiniLM-L6-v2.
const WIDTH: usize = 384;
/// Labels of the data set in `datasets/topics`.
const LABELS: usize = 12;
/// Tokens of a text, as of that data set.
const TOKENS: usize = 22;

/// Numbers without a pattern.
fn numbers(count: usize, bound: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * bound
    };
    (0..count).map(next).collect()
}

fn data() -> Result<DataSet, Box<dyn Error>> {
    let lines = (0..2_400).map(|line| format!("{{\"text\": \"{line}\", \"label\": \"{}\"}}\n", line % LABELS));
    Ok(DataSet::parse(&lines.collect::<String>())?)
}

fn spec(data: &DataSet, method: Method, batch: u32, interval: u32) -> Result<TrainingSpec, Box<dyn Error>> {
    let mut spec = TrainingSpec {
        method,
        model: BaseModel { name: "drawn".into(), weights_root: Digest::ZERO, tokenizer_hash: Digest::ZERO },
        engine: TrainingSpec::class(),
        data: DataTerms { root: data.root(), held_out: Ppm::new(200_000), measured_max: 100, examples: 0 },
        order: Digest::ZERO,
        seed: Digest::ZERO,
        optimiser: OptimiserTerms { learning_rate_nano: 1_000_000, weight_decay_nano: 0, warmup_steps: 0 },
        batch,
        steps: 1_000,
        interval,
    };
    spec.data.examples = data.split(&spec.order, spec.data.held_out)?.training.len() as u64;
    Ok(spec)
}

/// A decoder of SmolLM2-135M's shape.
fn decoder() -> DecoderWeights {
    let shape = DecoderShape {
        layers: 30,
        width: 576,
        hidden: 1_536,
        heads: 9,
        kv_heads: 3,
        head_size: 64,
        vocab: 49_152,
        context: 2_048,
        rope_base: 100_000.0,
        norm_epsilon: 1e-5,
    };
    let (square, kv, wide) = (576 * 576, 192 * 576, 1_536 * 576);
    let layer = |_| DecoderLayer {
        attention_norm: vec![1.0; 576],
        query: numbers(square, 0.05),
        key: numbers(kv, 0.05),
        value: numbers(kv, 0.05),
        attention_output: numbers(square, 0.05),
        ffn_norm: vec![1.0; 576],
        gate: numbers(wide, 0.05),
        up: numbers(wide, 0.05),
        down: numbers(wide, 0.05),
    };
    DecoderWeights {
        embedding: numbers(49_152 * 576, 0.1),
        layers: (0..30).map(layer).collect(),
        output_norm: vec![1.0; 576],
        head: None,
        shape,
    }
}

/// The median time of a measurement, in milliseconds.
fn median(mut measure: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        measure()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

fn report(name: &str, trainer: &dyn Trainer) -> Result<(), Box<dyn Error>> {
    let shapes = trainer.shapes();
    let first = Checkpoint { spec: trainer.spec().digest(), record: None, state: trainer.initial() };
    let (mut state, mut order) = (first.state.clone(), Order::new(trainer.spec()));
    let step = median(|| inferium_train::step(trainer, &mut order, &mut state).map(drop).map_err(Into::into))?;
    let (end, record) = run_interval(trainer, first.next_job(), first.state.clone(), &mut |_| ())?;
    let verify = median(|| match verify_interval(trainer, &first, &record, &mut |_| ())? {
        None => Ok(()),
        Some(difference) => Err(format!("two runs differ: {difference:?}").into()),
    })?;
    let after = Checkpoint { record: Some(record), state: end, ..first };
    let mut bytes = Vec::new();
    let keep = median(|| {
        bytes = after.to_bytes(&shapes);
        Ok(())
    })?;
    let (interval, size) = (trainer.spec().interval, bytes.len() / 1_000);
    println!(
        "{name}: {step:.1} ms a step; an interval of {interval} verified in {verify:.1} ms; checkpoint {size} kB in {keep:.1} ms"
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = data()?;
    let labels = data.labels()?;
    let vectors = Vectors::new(WIDTH, numbers(data.lines().len() * WIDTH, 0.05))?;
    let method = Method::Head { labels, width: WIDTH as u32, vectors: vectors.root() };
    let trainer = HeadTrainer::new(spec(&data, method, 32, 4)?, &data, vectors)?;
    report("head, 12 labels, 32 texts", &trainer)?;

    let method = Method::Lora { rank: 8, alpha_milli: 16_000, layers: 8, sequence: 64 };
    let spec = spec(&data, method, 8, 1)?;
    let encode = |text: &str| Ok(text.bytes().cycle().take(TOKENS - 1).map(u32::from).collect());
    for threads in [1, 2] {
        let exact = Exact::new(threads, None)?;
        let trainer = LoraTrainer::new(spec.clone(), &data, decoder(), &encode, 2, exact)?;
        let name = format!("lora, SmolLM2-135M, 8 texts of {TOKENS} tokens, {threads} threads");
        report(&name, &trainer)?;
    }

    println!("intervals  drawn  missed  cost");
    for intervals in [20, 50, 100, 200, 270, 500, 1_000, 10_000] {
        let Audit { drawn, missed, cost, .. } = Audit::usual(intervals);
        println!("{intervals:9}  {drawn:5}  {:5.1} %  {:4.1} %", missed * 100.0, cost * 100.0);
    }
    Ok(())
}
