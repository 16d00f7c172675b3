//! Shaped answers on the real model: generation and replay bend the same logits (SPEC J10).

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::engine;
use inferium_engine::{Engine, GenerateRequest, LlamaEngine, LoadOptions, ReplayRequest, Step};
use inferium_types::{SamplingParams, Shaping};

const WARM: SamplingParams = SamplingParams { temperature_micro: 1_200_000, top_p_ppm: 950_000, top_k: 0 };
const PERSON: &str = r#"start: %json {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}}, "required": ["name", "age"],
    "additionalProperties": false, "x-guidance": {"whitespace_flexible": false}}"#;

fn generate(engine: &LlamaEngine, prompt: &[u32], shaping: &Shaping, seed: u8) -> Vec<Step> {
    let request = GenerateRequest {
        prompt: prompt.to_vec(),
        max_tokens: 80,
        sampling: WARM,
        seed: [seed; 32],
        shaping: shaping.clone(),
        prefix_scope: None,
        measure: false,
    };
    let mut receiver = engine.generate(request).unwrap();
    let mut steps = Vec::new();
    while let Some(step) = receiver.blocking_recv() {
        steps.push(step.unwrap());
    }
    steps
}

fn replay(engine: &LlamaEngine, prompt: &[u32], steps: &[Step], shaping: &Shaping, seed: u8) -> Vec<Step> {
    let request = ReplayRequest {
        prompt: prompt.to_vec(),
        output: steps.iter().map(|step| step.token).collect(),
        sampling: WARM,
        seed: [seed; 32],
        shaping: shaping.clone(),
        prefix_scope: None,
        measure: false,
    };
    engine.replay(request).unwrap().blocking_recv().unwrap().unwrap()
}

fn text(engine: &LlamaEngine, steps: &[Step]) -> String {
    engine.decode(&steps.iter().map(|step| step.token).collect::<Vec<_>>())
}

#[test]
fn replay_gives_every_token_digest_and_score_of_a_shaped_answer() {
    // Rows of a replay that come in pieces, on another number of threads.
    let one = engine(LoadOptions { threads: 1, ..LoadOptions::default() });
    let other = engine(LoadOptions { threads: 2, chunk_rows: 7, ..LoadOptions::default() });
    let prompt = one.encode("Describe a person as JSON:\n").unwrap();
    let shapes = [
        Shaping { grammar: Some(PERSON.to_owned()), likeliest: Some(4), ..Shaping::default() },
        Shaping {
            bias: vec![(28, -100_000_000), (198, 3_500_000)],
            presence_penalty_micro: 700_000,
            frequency_penalty_micro: 300_000,
            likeliest: Some(0),
            ..Shaping::default()
        },
    ];
    for shaping in shapes {
        for seed in 0..3 {
            let steps = generate(&one, &prompt, &shaping, seed);
            assert_eq!(replay(&other, &prompt, &steps, &shaping, seed), steps);
            assert!(steps.iter().all(|step| step.score.is_some()));
        }
    }
}

#[test]
fn a_schema_holds_the_smallest_model_to_it() {
    let engine = engine(LoadOptions::default());
    let prompt = engine.encode("Describe a person as JSON:\n").unwrap();
    let shaping = Shaping { grammar: Some(PERSON.to_owned()), ..Shaping::default() };
    for seed in 0..5 {
        let steps = generate(&engine, &prompt, &shaping, seed);
        assert!(engine.model().is_eos(steps.last().unwrap().token), "{}", text(&engine, &steps));
        let person: serde_json::Value = serde_json::from_str(&text(&engine, &steps)).unwrap();
        assert!(person["name"].is_string() && person["age"].as_u64().unwrap() <= 150);
        assert_eq!(person.as_object().unwrap().len(), 2);
    }
}

#[test]
fn a_token_that_is_not_allowed_is_told_by_a_replay() {
    let engine = engine(LoadOptions::default());
    let prompt = engine.encode("Describe a person as JSON:\n").unwrap();
    let shaping = Shaping { grammar: Some(PERSON.to_owned()), ..Shaping::default() };
    let free = generate(&engine, &prompt, &Shaping::default(), 1);
    let bound = replay(&engine, &prompt, &free, &shaping, 1);
    assert!(bound.iter().zip(&free).any(|(bound, free)| bound.token != free.token));
    // The logits are the same: a shape bends what is drawn from, and not what is computed.
    assert!(
        bound.iter().zip(&free).filter(|(bound, free)| bound.token == free.token).all(|(b, f)| b.digest == f.digest)
    );
}
