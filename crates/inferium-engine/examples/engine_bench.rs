//! Measures the engine on a model file: `engine_bench MODEL.gguf [tier]`.
//!
//! Prints tokens per second for prompts, replays and generations, for one and two threads and one and eight streams, and
//! the resident memory; of llama.cpp too, if it is built in.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a command-line tool for developers")]

use inferium_engine::{
    Arithmetic, Engine, GenerateRequest, LlamaEngine, LoadOptions, MockEngine, MockOptions, ReplayRequest, TraceRequest,
};
use inferium_sampling::Fingerprint;
use inferium_types::{SamplingParams, Shaping};
use std::path::Path;
use std::time::Instant;

/// Generates; where runs are shown, with what a worker of a tolerance profile shows of them.
fn generate(engine: &dyn Engine, prompts: usize, prompt_len: u32, max_tokens: u32, shown: bool) -> usize {
    let receivers: Vec<_> = (0..prompts)
        .map(|index| {
            let prompt =
                (0..prompt_len).map(|i| (1000 + i * 37 + index as u32 * 101) % engine.model().vocab_size).collect();
            let request = GenerateRequest {
                prompt,
                max_tokens,
                sampling: SamplingParams::GREEDY,
                seed: [1; 32],
                shaping: Shaping::default(),
                prefix_scope: None,
                measure: shown,
            };
            engine.generate(request).unwrap()
        })
        .collect();
    let mut count = 0;
    for mut receiver in receivers {
        let mut fingerprint = Fingerprint::new([1; 32]);
        while let Some(step) = receiver.blocking_recv() {
            if let Some(measured) = step.unwrap().measured {
                fingerprint.push(measured.logprob, &measured.hidden);
            }
            count += 1;
        }
        std::hint::black_box(fingerprint.finish());
    }
    count
}

fn replay(engine: &LlamaEngine, prompt_len: u32, output_len: u32, measure: bool) {
    let token = |i: u32| 1000 + (i * 37) % 40_000;
    let request = ReplayRequest {
        prompt: (0..prompt_len).map(token).collect(),
        output: (0..output_len).map(token).collect(),
        sampling: SamplingParams::GREEDY,
        seed: [1; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure,
    };
    engine.replay(request).unwrap().blocking_recv().unwrap().unwrap();
}

fn trace(engine: &LlamaEngine, prompt_len: u32, output_len: u32) {
    let token = |i: u32| 1000 + (i * 37) % 40_000;
    let request =
        TraceRequest { prompt: (0..prompt_len).map(token).collect(), output: (0..output_len).map(token).collect() };
    engine.trace(request).unwrap().blocking_recv().unwrap().unwrap();
}

/// Processor seconds of all threads so far: what a busy machine does not distort much.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// Runs `work`, which returns a count of tokens, and prints the rates.
fn measure(name: &str, work: impl FnOnce() -> usize) {
    let (start, before) = (Instant::now(), processor_seconds());
    let count = work();
    let (wall, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - before);
    let count = count as f64;
    println!("  {name:<24} {:7.1} tok/s, {:7.1} per processor second", count / wall, count / processor);
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let tier = std::env::args().nth(2).map(|tier| tier.parse().unwrap());
    let mock = MockEngine::new(MockOptions::default());
    println!("mock, 1,000 requests of 64 tokens");
    measure("mock", || generate(&mock, 1000, 8, 64, false));
    for arithmetic in [Arithmetic::Canonical, Arithmetic::LlamaCpp].into_iter().filter(|kind| kind.is_built_in()) {
        for threads in [1, 2] {
            let tier = tier.filter(|_| arithmetic == Arithmetic::Canonical);
            bench(&path, LoadOptions { threads, tier, arithmetic, ..LoadOptions::default() });
        }
    }
}

fn bench(path: &str, options: LoadOptions) {
    let (start, threads, arithmetic) = (Instant::now(), options.threads, options.arithmetic);
    let engine = LlamaEngine::load(Path::new(path), options).unwrap();
    println!(
        "{} threads, {}: loaded in {:.2} s, {} MiB",
        threads,
        engine.model().kernel_tier,
        start.elapsed().as_secs_f64(),
        resident_mib()
    );
    generate(&engine, 1, 16, 16, false);
    measure("prompt 512", || {
        generate(&engine, 1, 512, 1, false);
        512
    });
    measure("replay 512 (all heads)", || {
        replay(&engine, 1, 512, false);
        512
    });
    measure("replay 512, measured", || {
        replay(&engine, 1, 512, true);
        512
    });
    if arithmetic == Arithmetic::Canonical {
        measure("replay 512, traced", || {
            trace(&engine, 1, 512);
            512
        });
    }
    measure("decode, 1 stream", || generate(&engine, 1, 8, 128, false));
    measure("decode, 1 stream, shown", || generate(&engine, 1, 8, 128, true));
    measure("decode, 8 streams", || generate(&engine, 8, 8, 128, false));
    measure("decode, 8 streams, shown", || generate(&engine, 8, 8, 128, true));
    println!("  resident: {} MiB", resident_mib());
}
