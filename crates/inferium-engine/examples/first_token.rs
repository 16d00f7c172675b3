//! Time from a chat request to its first token by the engine alone, to hold against the gateway's:
//! `first_token MODEL.gguf WORDS RUNS` prints one line of JSON.
//!
//! Everything that an engine does for a request is in it: template, tokenizer, prefill, sampling. The prompt is the load
//! generator's.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a command-line tool for developers")]

use inferium_engine::{Engine, GenerateRequest, LlamaEngine, LoadOptions};
use inferium_types::{ChatMessage, SamplingParams, Shaping};
use std::path::Path;
use std::time::{Duration, Instant};

const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 700_000, top_p_ppm: 1_000_000, top_k: 0 };

fn first_token(engine: &LlamaEngine, messages: &[ChatMessage], run: u8) -> Duration {
    let started = Instant::now();
    let prompt = engine.render_chat(messages).unwrap();
    let request = GenerateRequest {
        prompt,
        max_tokens: 1,
        sampling: SAMPLING,
        seed: [run; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    engine.generate(request).unwrap().blocking_recv().unwrap().unwrap();
    started.elapsed()
}

fn main() {
    let [path, words, runs] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let (words, runs): (usize, u8) = (words.parse().unwrap(), runs.parse().unwrap());
    let engine = LlamaEngine::load(Path::new(&path), LoadOptions::default()).unwrap();
    let messages = [ChatMessage { role: "user".into(), content: vec!["water"; words].join(" ") }];
    first_token(&engine, &messages, 0);
    // As the load generator does: one a second, so that the engine has gone to rest meanwhile.
    let mut times: Vec<Duration> = (0..runs)
        .map(|run| {
            std::thread::sleep(Duration::from_secs(1));
            first_token(&engine, &messages, run)
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{{\"first_token_ms\":{{\"p50\":{:.3},\"p90\":{:.3}}}}}", at(50), at(90));
}
