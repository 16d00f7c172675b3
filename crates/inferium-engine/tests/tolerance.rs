//! What is measured where bits can't be equal, on the real model: honest noise, and weaker work than was promised.
//!
//! 300 tokens of three prompts from each engine, replayed by the canonical one. The figures are not calibrated thresholds (these need
//! many more tokens) but what no calibration could do without: honest noise is small, and everything else larger.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::engine;
use inferium_engine::{
    Deviation, Engine, GenerateRequest, LlamaEngine, LoadOptions, Measured, ReplayRequest, Step, Tier, WeakCache,
    WeakFormat,
};
use inferium_sampling::{Projection, sketch, sketch_error};
use inferium_types::{ChatMessage, SamplingParams, Shaping};
use std::sync::Arc;

const TOKENS: u32 = 100;
const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 700_000, top_p_ppm: 1_000_000, top_k: 50 };
const QUESTIONS: [&str; 3] =
    ["Tell the history of the potato in Europe.", "How does a compiler work?", "Write a story about a whale."];

fn load(deviation: Deviation) -> LlamaEngine {
    engine(LoadOptions { threads: 2, deviation, ..LoadOptions::default() })
}

fn prompts(engine: &LlamaEngine) -> Vec<GenerateRequest> {
    let prompt =
        |question: &str| engine.render_chat(&[ChatMessage { role: "user".into(), content: question.into() }]).unwrap();
    (0_u8..)
        .zip(QUESTIONS)
        .map(|(number, question)| GenerateRequest {
            prompt: prompt(question),
            max_tokens: TOKENS,
            sampling: SAMPLING,
            seed: [number; 32],
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: true,
        })
        .collect()
}

/// One by one: honest noise comes from a batch of one against a replay of many rows.
fn generate(engine: &LlamaEngine, request: &GenerateRequest) -> Vec<Step> {
    let mut receiver = engine.generate(request.clone()).unwrap();
    std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
}

fn replay(engine: &LlamaEngine, request: &GenerateRequest, steps: &[Step]) -> Vec<Step> {
    let GenerateRequest { prompt, sampling, seed, .. } = request.clone();
    let output = steps.iter().map(|step| step.token).collect();
    engine
        .replay(ReplayRequest {
            prompt,
            output,
            sampling,
            seed,
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: true,
        })
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap()
}

fn measured(step: &Step) -> &Arc<Measured> {
    step.measured.as_ref().unwrap()
}

/// Shares and means over all positions: tokens that differ, differences of log probabilities, errors of sketches.
#[derive(Debug)]
struct Noise {
    flips: f64,
    logprob: f64,
    sketch: f64,
}

fn noise(canonical: &LlamaEngine, deviation: Deviation) -> Noise {
    let worker = load(deviation);
    let projection = Projection::new([9; 32]);
    let (mut positions, mut noise) = (0.0, Noise { flips: 0.0, logprob: 0.0, sketch: 0.0 });
    for request in prompts(&worker) {
        let claimed = generate(&worker, &request);
        let own = replay(canonical, &request, &claimed);
        for (claimed, own) in claimed.iter().zip(&own) {
            let (theirs, own) = (measured(claimed), measured(own));
            positions += 1.0;
            noise.flips += f64::from(u8::from(!own.check.unwrap().agrees()));
            noise.logprob += (theirs.logprob - own.logprob).abs();
            let claim = sketch(&projection.apply(&theirs.hidden));
            noise.sketch += sketch_error(&claim, &projection.apply(&own.hidden));
        }
    }
    assert!(positions >= 200.0);
    Noise { flips: noise.flips / positions, logprob: noise.logprob / positions, sketch: noise.sketch / positions }
}

#[test]
fn honest_noise_is_small_and_cheaper_work_is_not() {
    let canonical = load(Deviation::default());
    let none = noise(&canonical, Deviation::default());
    assert!(none.flips == 0.0 && none.logprob == 0.0 && none.sketch < 0.01, "equal bits, and rounding: {none:?}");

    let honest = noise(&canonical, Deviation { batch_dependent: true, ..Deviation::default() });
    assert!(honest.logprob > 0.0, "this engine is to differ");
    assert!(honest.flips < 0.06 && honest.logprob < 0.06 && honest.sketch < 0.06, "{honest:?}");

    for (name, deviation, times) in [
        ("4-bit weights", Deviation { weights: Some(WeakFormat::Q4_0), ..Deviation::default() }, 4.0),
        (
            "8-bit rows",
            Deviation { weights: Some(WeakFormat::Q8Rows), coarse_activations: true, ..Deviation::default() },
            1.5,
        ),
        ("8-bit cache", Deviation { cache: Some(WeakCache::Fp8), ..Deviation::default() }, 1.2),
        ("4-bit cache", Deviation { cache: Some(WeakCache::Int4), ..Deviation::default() }, 4.0),
        ("two layers less", Deviation { skipped_layers: 2, ..Deviation::default() }, 4.0),
    ] {
        let cheat = noise(&canonical, deviation);
        assert!(cheat.sketch > honest.sketch * times, "{name}: {cheat:?}, honest {honest:?}");
    }
}

#[test]
fn a_batch_dependent_engine_is_honest_but_not_equal() {
    let canonical = load(Deviation::default());
    let stock = load(Deviation { batch_dependent: true, ..Deviation::default() });
    assert_ne!(stock.model().engine_build, canonical.model().engine_build);
    assert_eq!(stock.model().weights_root, canonical.model().weights_root);
    let request = prompts(&stock).remove(0);
    let steps = generate(&stock, &request);
    // Its own replay has many rows a step, and so another order.
    let again = replay(&stock, &request, &steps);
    assert!(steps.iter().zip(&again).any(|(one, other)| one.digest != other.digest));
    // Many rows are added up in the canonical order.
    let digests = |steps: Vec<Step>| steps.into_iter().map(|step| step.digest).collect::<Vec<_>>();
    assert_eq!(digests(again), digests(replay(&canonical, &request, &steps)));
}

#[test]
fn only_what_is_asked_for_is_measured() {
    let canonical = load(Deviation::default());
    let request = GenerateRequest { measure: false, ..prompts(&canonical).remove(0) };
    assert!(generate(&canonical, &request).iter().all(|step| step.measured.is_none()));
    let request = GenerateRequest { max_tokens: 5, measure: true, ..request };
    for step in generate(&canonical, &request) {
        let measured = measured(&step);
        assert!(measured.check.is_none(), "its token is the sampler's own");
        assert!(measured.logprob <= 0.0 && measured.hidden.len() == 576);
    }
}

/// Verifiers compare what they measure for equality: hidden states and log probabilities have the same bits on any threads,
/// instruction sets, and in any batch.
#[test]
fn canonical_engines_measure_the_same_to_the_bit() {
    let canonical = load(Deviation::default());
    let request = GenerateRequest { max_tokens: 60, ..prompts(&canonical).remove(0) };
    let steps = generate(&load(Deviation { batch_dependent: true, ..Deviation::default() }), &request);
    let bits = |steps: &[Step]| -> Vec<(u64, Vec<u32>, [u64; 4])> {
        let own = |step: &Step| {
            let measured = measured(step);
            let check = measured.check.unwrap();
            let figures = [check.gap, check.margin, check.surprisal, check.variance].map(f64::to_bits);
            (measured.logprob.to_bits(), measured.hidden.iter().map(|value| value.to_bits()).collect(), figures)
        };
        steps.iter().map(own).collect()
    };
    let expected = bits(&replay(&canonical, &request, &steps));
    for tier in Tier::available() {
        let engine = engine(LoadOptions { threads: 1, tier: Some(tier), ..LoadOptions::default() });
        // Two at once: rows of both are in each step.
        let other = prompts(&engine).remove(1);
        let others = std::thread::scope(|scope| {
            let beside = scope.spawn(|| generate(&engine, &GenerateRequest { max_tokens: 30, ..other.clone() }));
            let own = replay(&engine, &request, &steps);
            assert!(!beside.join().unwrap().is_empty());
            own
        });
        assert!(bits(&others) == expected, "{tier:?}");
    }
}
