use super::{MockEngine, MockOptions, VOCAB};
use crate::{Engine, EngineError, GenerateRequest, ReplayRequest, Step, Trace, TraceRequest};
use inferium_types::{ChatMessage, SamplingParams, Shaping, TraceStage};
use std::time::Duration;

const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 700_000, top_p_ppm: 900_000, top_k: 40 };

fn request(max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: vec![72, 105],
        max_tokens,
        sampling: SAMPLING,
        seed: [5; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    }
}

fn steps(engine: &MockEngine, max_tokens: u32) -> Vec<Step> {
    let mut receiver = engine.generate(request(max_tokens)).unwrap();
    std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
}

fn replayed(engine: &MockEngine, output: Vec<u32>) -> Vec<Step> {
    let GenerateRequest { prompt, sampling, seed, .. } = request(1);
    engine
        .replay(ReplayRequest {
            prompt,
            output,
            sampling,
            seed,
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: false,
        })
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap()
}

#[test]
fn a_replay_equals_the_generation() {
    let engine = MockEngine::new(MockOptions::default());
    let generated = steps(&engine, 100);
    assert_eq!(generated.len(), 100);
    assert_eq!(replayed(&engine, generated.iter().map(|step| step.token).collect()), generated);
}

#[test]
fn another_flavour_and_a_changed_token_are_found() {
    let engine = MockEngine::new(MockOptions::default());
    let generated = steps(&engine, 20);
    let mut output: Vec<u32> = generated.iter().map(|step| step.token).collect();
    let other = MockEngine::new(MockOptions { flavour: 1, ..MockOptions::default() });
    assert_ne!(replayed(&other, output.clone())[0].digest, generated[0].digest);
    output[10] ^= 1;
    let replay = replayed(&engine, output);
    assert_eq!(replay[..=10], generated[..=10]);
    assert_ne!(replay[11].digest, generated[11].digest);
}

#[test]
fn texts_end_if_asked_to() {
    let engine = MockEngine::new(MockOptions { end_one_in: 10, ..MockOptions::default() });
    let generated = steps(&engine, 1000);
    assert!(generated.len() < 1000);
    assert!(engine.model().is_eos(generated.last().unwrap().token));
}

#[test]
fn limits_are_kept() {
    let engine = MockEngine::new(MockOptions { context_tokens: 10, max_active: 1, ..MockOptions::default() });
    assert!(matches!(engine.generate(request(9)), Err(EngineError::TooLong { tokens: 11, .. })));
    assert_eq!(engine.generate(request(0)).unwrap_err(), EngineError::EmptyPrompt);
    let unknown = GenerateRequest { prompt: vec![VOCAB], ..request(1) };
    assert!(matches!(engine.generate(unknown), Err(EngineError::UnknownToken { token: VOCAB, .. })));
    assert_eq!(engine.load().active, 0);
    let busy = MockEngine::new(MockOptions { max_active: 0, ..MockOptions::default() });
    assert!(matches!(busy.generate(request(1)), Err(EngineError::Busy { .. })));
}

#[tokio::test]
async fn the_delay_is_kept_and_a_dropped_receiver_cancels() {
    let delay = Duration::from_millis(5);
    let engine = MockEngine::new(MockOptions { token_delay: delay, ..MockOptions::default() });
    let start = std::time::Instant::now();
    let mut receiver = engine.generate(request(4)).unwrap();
    while receiver.recv().await.is_some() {}
    assert!(start.elapsed() >= delay * 4);
    drop(engine.generate(request(u32::from(u8::MAX))).unwrap());
    while engine.load().active > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn chats_render_and_text_round_trips() {
    let engine = MockEngine::new(MockOptions::default());
    let tokens = engine.render_chat(&[ChatMessage { role: "user".into(), content: "é".into() }]).unwrap();
    assert_eq!(engine.decode(&tokens), "user\néassistant\n");
    assert_eq!(engine.decode(&engine.encode("漢 🦀").unwrap()), "漢 🦀");
}

fn traced(engine: &MockEngine, output: &[u32]) -> Trace {
    let request = TraceRequest { prompt: request(1).prompt, output: output.to_vec() };
    engine.trace(request).unwrap().blocking_recv().unwrap().unwrap()
}

/// The stage and position of the first cell that differs.
fn first_difference(one: &Trace, other: &Trace) -> Option<(u32, TraceStage)> {
    assert_eq!(one.shape, other.shape);
    let index = one.cells.iter().zip(&other.cells).position(|(one, other)| one != other)?;
    one.shape.cell(index as u64).map(|cell| (cell.position, cell.stage))
}

#[test]
fn a_trace_has_every_cell_and_ends_in_the_digests_of_the_generation() {
    let engine = MockEngine::new(MockOptions::default());
    let generated = steps(&engine, 20);
    let output: Vec<u32> = generated.iter().map(|step| step.token).collect();
    let trace = traced(&engine, &output);
    assert_eq!(trace.cells.len() as u64, trace.shape.cells());
    let cells = (0..)
        .zip(&trace.cells)
        .filter(|(index, _)| trace.shape.cell(*index).is_some_and(|cell| cell.stage == TraceStage::Logits));
    let logits: Vec<_> = cells.map(|(_, digest)| *digest).collect();
    assert_eq!(logits, generated.iter().map(|step| step.digest).collect::<Vec<_>>());
    assert_eq!(traced(&engine, &output), trace);
}

#[test]
fn a_trace_finds_another_flavour_noise_and_a_changed_token_where_they_begin() {
    let engine = MockEngine::new(MockOptions::default());
    let output: Vec<u32> = steps(&engine, 20).iter().map(|step| step.token).collect();
    let honest = traced(&engine, &output);
    let other = |options| traced(&MockEngine::new(options), &output);
    let flavour = other(MockOptions { flavour: 1, ..MockOptions::default() });
    assert_eq!(first_difference(&honest, &flavour), Some((0, TraceStage::Embedding)));
    let noise = other(MockOptions { noise_milli: 20, ..MockOptions::default() });
    assert_eq!(first_difference(&honest, &noise), Some((1, TraceStage::FinalNorm)));
    let mut changed = output;
    changed[7] ^= 1;
    // The position before drew it, and says so in the digest of its logits.
    assert_eq!(first_difference(&honest, &traced(&engine, &changed)), Some((8, TraceStage::Logits)));
}

#[test]
fn what_can_not_be_replayed_can_not_be_traced() {
    let engine = MockEngine::new(MockOptions { context_tokens: 4, ..MockOptions::default() });
    let refused = |prompt: &[u32], output: &[u32]| {
        engine.trace(TraceRequest { prompt: prompt.to_vec(), output: output.to_vec() }).unwrap_err()
    };
    assert!(engine.trace(TraceRequest { prompt: vec![1, 2], output: vec![3, 4] }).is_ok());
    assert_eq!(refused(&[1, 2], &[3, 4, 5]), EngineError::TooLong { tokens: 5, context_tokens: 4 });
    assert_eq!(refused(&[], &[3]), EngineError::EmptyPrompt);
    assert_eq!(refused(&[1], &[]), EngineError::EmptyPrompt);
    assert_eq!(refused(&[1], &[VOCAB]), EngineError::UnknownToken { token: VOCAB, vocab_size: VOCAB });
}
