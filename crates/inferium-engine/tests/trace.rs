//! A trace on the real model: the same however it is computed, and different first where an engine departs.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::engine;
use inferium_engine::{
    Deviation, Engine, EngineError, GenerateRequest, LlamaEngine, LoadOptions, Step, Tier, Trace, TraceRequest,
    WeakCache, WeakFormat,
};
use inferium_types::{ChatMessage, Digest, SamplingParams, Shaping, TraceStage};
use std::sync::OnceLock;

const TOKENS: u32 = 40;
const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 800_000, top_p_ppm: 950_000, top_k: 0 };

/// One answer as it was generated, token by token, and its trace.
struct Reference {
    request: GenerateRequest,
    steps: Vec<Step>,
    trace: Trace,
}

fn one_thread() -> LoadOptions {
    LoadOptions { threads: 1, ..LoadOptions::default() }
}

fn claim(request: &GenerateRequest, steps: &[Step]) -> TraceRequest {
    TraceRequest { prompt: request.prompt.clone(), output: steps.iter().map(|step| step.token).collect() }
}

fn traced(engine: &LlamaEngine, request: TraceRequest) -> Trace {
    engine.trace(request).unwrap().blocking_recv().unwrap().unwrap()
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let engine = engine(one_thread());
        let message = ChatMessage { role: "user".into(), content: "Write a long poem about old ships.".into() };
        let prompt = engine.render_chat(&[message]).unwrap();
        let request = GenerateRequest {
            prompt,
            max_tokens: TOKENS,
            sampling: SAMPLING,
            seed: [3; 32],
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: false,
        };
        let mut receiver = engine.generate(request.clone()).unwrap();
        let steps: Vec<Step> = std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect();
        let trace = traced(&engine, claim(&request, &steps));
        Reference { request, steps, trace }
    })
}

fn trace_with(options: LoadOptions) -> Trace {
    let reference = reference();
    traced(&engine(options), claim(&reference.request, &reference.steps))
}

/// Position and stage of the first cell that differs from the reference.
fn first_difference(other: &Trace) -> Option<(u32, TraceStage)> {
    let trace = &reference().trace;
    assert_eq!(trace.shape, other.shape);
    let index = trace.cells.iter().zip(&other.cells).position(|(one, other)| one != other)?;
    trace.shape.cell(index as u64).map(|cell| (cell.position, cell.stage))
}

fn departs_at(deviation: Deviation) -> (u32, TraceStage) {
    first_difference(&trace_with(LoadOptions { deviation, ..LoadOptions::default() })).unwrap()
}

#[test]
fn a_trace_has_every_cell_and_its_logits_are_those_of_decoding() {
    let Reference { request, steps, trace } = reference();
    assert_eq!(steps.len(), TOKENS as usize);
    assert_eq!(trace.shape.prompt_tokens as usize, request.prompt.len());
    assert_eq!((trace.shape.output_tokens, trace.shape.layers), (TOKENS, 30));
    assert_eq!(trace.cells.len() as u64, trace.shape.cells());
    let is_logits = |index| trace.shape.cell(index).is_some_and(|cell| cell.stage == TraceStage::Logits);
    let logits: Vec<Digest> =
        (0..).zip(&trace.cells).filter(|(index, _)| is_logits(*index)).map(|(_, digest)| *digest).collect();
    assert_eq!(logits, steps.iter().map(|step| step.digest).collect::<Vec<_>>());
    assert!(!trace.cells.contains(&Digest::ZERO), "every layer was computed");
}

#[test]
fn threads_chunks_and_instruction_sets_give_the_same_trace() {
    for chunk_rows in [2, 7, 512] {
        assert_eq!(first_difference(&trace_with(LoadOptions { chunk_rows, ..one_thread() })), None, "{chunk_rows}");
    }
    for tier in Tier::available() {
        let options = LoadOptions { tier: Some(tier), threads: 2, ..LoadOptions::default() };
        assert_eq!(first_difference(&trace_with(options)), None, "{tier:?}");
    }
}

/// Beside streams and other traces a trace gets few rows of a step, at times a single one, as decoding has; and streams are what
/// they are without it.
#[test]
fn a_trace_in_a_busy_batch_is_the_same_and_changes_nothing_else() {
    let Reference { request, steps, trace } = reference();
    let engine = engine(LoadOptions { threads: 2, chunk_rows: 2, ..LoadOptions::default() });
    let streams: Vec<_> = (0..4).map(|_| engine.generate(request.clone()).unwrap()).collect();
    let traces: Vec<_> = (0..3).map(|_| engine.trace(claim(request, steps)).unwrap()).collect();
    drop(engine.trace(claim(request, steps)).unwrap());
    for mut stream in streams {
        let found: Vec<Step> = std::iter::from_fn(|| stream.blocking_recv()).map(Result::unwrap).collect();
        assert_eq!(&found, steps);
    }
    for found in traces {
        assert!(&found.blocking_recv().unwrap().unwrap() == trace);
    }
}

#[test]
fn an_engine_that_departs_from_a_layer_on_is_found_at_exactly_that_layer() {
    for layer in [0, 1, 13, 29] {
        let deviation =
            Deviation { coarse_activations: true, coarse_from_layer: layer as usize, ..Deviation::default() };
        assert_eq!(departs_at(deviation), (0, TraceStage::KeysAndValues { layer }));
    }
    // Only what comes after the layers is rounded coarsely.
    let deviation = Deviation { coarse_activations: true, coarse_from_layer: 30, ..Deviation::default() };
    let first_drawn = reference().trace.shape.first_drawn();
    assert_eq!(departs_at(deviation), (first_drawn, TraceStage::Logits));
}

#[test]
fn every_other_deviation_is_found_at_what_it_changes() {
    let plain = Deviation::default;
    let cache = Deviation { cache: Some(WeakCache::Fp8), ..plain() };
    assert_eq!(departs_at(cache), (0, TraceStage::KeysAndValues { layer: 0 }));
    let skipped = Deviation { skipped_layers: 2, ..plain() };
    assert_eq!(departs_at(skipped), (0, TraceStage::KeysAndValues { layer: 14 }));
    let weights = Deviation { weights: Some(WeakFormat::Q4_0), ..plain() };
    assert_eq!(departs_at(weights).0, 0);
    // One key alone is attended to in every order alike, so it shows later, and in a sum of attention.
    let order = Deviation { batch_dependent: true, ..plain() };
    let options = LoadOptions { deviation: order, chunk_rows: 2, ..one_thread() };
    let (position, stage) = first_difference(&trace_with(options)).unwrap();
    assert!(position > 0 && matches!(stage, TraceStage::Attention { .. }), "{position} {stage:?}");
}

#[test]
fn a_changed_token_is_found_where_it_was_drawn() {
    let Reference { request, steps, .. } = reference();
    let mut changed = claim(request, steps);
    changed.output[17] ^= 1;
    let found = first_difference(&traced(&engine(one_thread()), changed)).unwrap();
    assert_eq!(found, (request.prompt.len() as u32 + 16, TraceStage::Logits));
    let mut changed = claim(request, steps);
    changed.prompt[5] ^= 1;
    assert_eq!(first_difference(&traced(&engine(one_thread()), changed)), Some((5, TraceStage::Token)));
}

#[test]
fn what_can_not_be_replayed_can_not_be_traced() {
    let engine = engine(LoadOptions { kv_tokens: 64, ..one_thread() });
    let refused = |prompt: Vec<u32>, output: Vec<u32>| engine.trace(TraceRequest { prompt, output }).unwrap_err();
    assert!(engine.trace(TraceRequest { prompt: vec![1; 32], output: vec![1; 32] }).is_ok());
    let too_long = EngineError::TooLong { tokens: 65, context_tokens: 64 };
    assert_eq!(refused(vec![1; 32], vec![1; 33]), too_long);
    assert_eq!(refused(Vec::new(), vec![1]), EngineError::EmptyPrompt);
    assert_eq!(refused(vec![1], Vec::new()), EngineError::EmptyPrompt);
    let vocab_size = engine.model().vocab_size;
    let unknown = EngineError::UnknownToken { token: vocab_size, vocab_size };
    assert_eq!(refused(vec![1], vec![vocab_size]), unknown);
}
