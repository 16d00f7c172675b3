use super::{MockEngine, MockOptions, VOCAB};
use crate::{Engine, EngineError, GenerateRequest, ReplayRequest, Step};
use inferium_types::{ChatMessage, SamplingParams};
use std::time::Duration;

const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 700_000, top_p_ppm: 900_000, top_k: 40 };

fn request(max_tokens: u32) -> GenerateRequest {
    GenerateRequest { prompt: vec![72, 105], max_tokens, sampling: SAMPLING, seed: [5; 32], measure: false }
}

fn steps(engine: &MockEngine, max_tokens: u32) -> Vec<Step> {
    let mut receiver = engine.generate(request(max_tokens)).unwrap();
    std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
}

fn replayed(engine: &MockEngine, output: Vec<u32>) -> Vec<Step> {
    let GenerateRequest { prompt, sampling, seed, .. } = request(1);
    engine
        .replay(ReplayRequest { prompt, output, sampling, seed, measure: false })
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
