//! How fast the engine alone decodes some streams at once, to hold against the network's: `decode MODEL.gguf STREAMS TOKENS RUNS` prints
//! one line of JSON.
//!
//! A stream's speed is that of its tokens after the first, as a client of a streamed answer sees it; of each run the streams' mean
//! is taken, of all runs the median.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a command-line tool for developers")]

use inferium_engine::{Engine, GenerateRequest, LlamaEngine, LoadOptions};
use inferium_types::{ChatMessage, SamplingParams, Shaping};
use std::path::Path;
use std::time::Instant;

/// Tokens a second of one stream, read on a thread of its own.
fn stream(engine: &LlamaEngine, number: u8, tokens: u32) -> f64 {
    let messages = [ChatMessage { role: "user".into(), content: format!("Write a long story about whale {number}.") }];
    let request = GenerateRequest {
        prompt: engine.render_chat(&messages).unwrap(),
        max_tokens: tokens,
        sampling: SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 },
        seed: [number; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let mut steps = engine.generate(request).unwrap();
    steps.blocking_recv().unwrap().unwrap();
    let (started, mut count) = (Instant::now(), 0);
    while let Some(step) = steps.blocking_recv() {
        step.unwrap();
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

fn main() {
    let [path, streams, tokens, runs] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let (streams, tokens, runs): (u8, u32, u8) =
        (streams.parse().unwrap(), tokens.parse().unwrap(), runs.parse().unwrap());
    let engine = LlamaEngine::load(Path::new(&path), LoadOptions::default()).unwrap();
    let engine = &engine;
    stream(engine, 0, 8);
    let mut speeds: Vec<f64> = (0..runs)
        .map(|run| {
            let all: Vec<f64> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..streams)
                    .map(|number| scope.spawn(move || stream(engine, run.wrapping_mul(streams) + number, tokens)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            all.iter().sum::<f64>() / all.len() as f64
        })
        .collect();
    speeds.sort_unstable_by(f64::total_cmp);
    println!("{{\"stream_tokens_per_second\":{:.2}}}", speeds[speeds.len() / 2]);
}
