//! On the real model: adapters begin at what the engine serves, and steps have the same bits whatever computes them.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use inferium_engine::exact::Exact;
use inferium_engine::{Decoder, Engine as _, LlamaEngine, LoadOptions, ScoreRequest, Tier, source};
use inferium_train::{
    BaseModel, DataSet, DataTerms, LoraTrainer, Method, OptimiserTerms, Order, Trainer, TrainingSpec, step,
};
use inferium_types::{Digest, Ppm};
use std::path::{Path, PathBuf};

/// SmolLM2-135M: the file that `INFERIUM_TEST_MODEL` names, else fetched once into the target folder.
fn model_path() -> PathBuf {
    match std::env::var_os("INFERIUM_TEST_MODEL") {
        Some(path) => path.into(),
        None => {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
            source::pull(source::find("smollm2").unwrap(), &folder, &mut |_| ()).unwrap()
        }
    }
}

fn data() -> DataSet {
    let lines = [
        "The capital of France is Paris, and the capital of Italy is Rome.",
        "Water boils at one hundred degrees Celsius at sea level.",
        "monsoon: rainy season in southern Asia when the southwestern monsoon blows, bringing heavy rains",
        "A triangle has three sides, a square has four, and a pentagon has five.",
        "The cat sat on the mat and looked out of the window at the birds.",
        "She sells sea shells by the sea shore.",
    ];
    DataSet::parse(&lines.map(|line| format!("{{\"text\": \"{line}\"}}\n")).concat()).unwrap()
}

fn spec(data: &DataSet, decoder: &Decoder) -> TrainingSpec {
    let mut spec = TrainingSpec {
        method: Method::Lora { rank: 4, alpha_milli: 8_000, layers: 2, sequence: 64 },
        model: BaseModel {
            name: "smollm2".into(),
            weights_root: decoder.weights_root,
            tokenizer_hash: decoder.tokenizer_hash(),
        },
        engine: TrainingSpec::class(),
        data: DataTerms { root: data.root(), held_out: Ppm::new(300_000), measured_max: 10, examples: 1 },
        order: Digest::of("order", &[]),
        seed: Digest::of("seed", &[]),
        optimiser: OptimiserTerms { learning_rate_nano: 5_000_000, weight_decay_nano: 0, warmup_steps: 0 },
        batch: 2,
        steps: 3,
        interval: 1,
    };
    spec.data.examples = LoraTrainer::count(&spec, data, &|text| decoder.encode(text), decoder.end).unwrap();
    spec
}

fn trainer(data: &DataSet, decoder: &Decoder, exact: Exact) -> LoraTrainer {
    let encode = |text: &str| decoder.encode(text);
    let spec = spec(data, decoder);
    LoraTrainer::new(spec, data, decoder.weights.clone(), &encode, decoder.end, exact).unwrap()
}

#[test]
fn adapters_begin_at_what_the_engine_serves() {
    let (data, decoder) = (data(), Decoder::load(&model_path()).unwrap());
    let trainer = trainer(&data, &decoder, Exact::new(2, None).unwrap());
    let engine = LlamaEngine::load(&model_path(), LoadOptions { threads: 2, ..LoadOptions::default() }).unwrap();
    let split = data.split(&trainer.spec().order, trainer.spec().data.held_out).unwrap();
    let parameters = trainer.initial().parameters;
    for (example, line) in split.training.into_iter().enumerate() {
        let mut tokens = decoder.encode(&data.lines()[line].text).unwrap();
        tokens.push(decoder.end);
        let (prompt, said) = (tokens[..1].to_vec(), tokens[1..].to_vec());
        let scores = engine.score(ScoreRequest { prompt, tokens: said, likeliest: 0 }).unwrap();
        let scores = scores.blocking_recv().unwrap().unwrap();
        let served = scores.iter().map(|score| -score.score.logprob()).sum::<f32>() / scores.len() as f32;
        let (loss, _) = trainer.gradient(&parameters, &[example]).unwrap();
        // The engine computes in 8 bits, and so close to it.
        assert!((loss - served).abs() < 0.06, "line {line}: {loss} and {served}");
    }
}

#[test]
fn steps_have_the_same_bits_on_every_tier_and_number_of_threads() {
    let (data, decoder) = (data(), Decoder::load(&model_path()).unwrap());
    let run = |threads, tier| {
        let trainer = trainer(&data, &decoder, Exact::new(threads, Some(tier)).unwrap());
        let (mut state, mut order) = (trainer.initial(), Order::new(trainer.spec()));
        let records = [(); 2].map(|()| step(&trainer, &mut order, &mut state).unwrap());
        assert_ne!(records[0].loss_bits, records[1].loss_bits);
        records
    };
    let expected = run(1, Tier::detect());
    assert_eq!(run(3, Tier::detect()), expected);
    assert_eq!(run(2, Tier::Scalar), expected);
}
