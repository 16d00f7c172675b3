use super::{MockEmbedder, MockEmbedderOptions, VOCAB};
use crate::{Embedder, EngineError};
use std::time::Duration;

fn vectors(embedder: &MockEmbedder, texts: &[&str]) -> Vec<Vec<f32>> {
    let tokens = texts.iter().map(|text| embedder.encode(text).unwrap()).collect();
    let mut receiver = embedder.embed(tokens).unwrap();
    std::iter::from_fn(|| receiver.blocking_recv()).map(|vector| vector.unwrap().values).collect()
}

#[test]
fn vectors_have_length_one_and_depend_on_their_own_text_only() {
    let embedder = MockEmbedder::new(MockEmbedderOptions { width: 48, ..MockEmbedderOptions::default() });
    let together = vectors(&embedder, &["a", "b", "a", ""]);
    assert_eq!(together.len(), 4);
    assert_eq!(together[0], together[2]);
    assert_ne!(together[0], together[1]);
    assert_eq!(vectors(&embedder, &[""])[0], together[3]);
    for vector in &together {
        assert_eq!(vector.len(), 48);
        let length: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

/// Pins bits, so that other machines are held to them.
#[test]
fn a_vector_is_pinned() {
    let embedder = MockEmbedder::new(MockEmbedderOptions { width: 2, ..MockEmbedderOptions::default() });
    let bits: Vec<u32> = vectors(&embedder, &["pinned"])[0].iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, [3_210_622_181, 1_056_849_640]);
}

#[test]
fn another_flavour_or_width_is_another_model() {
    let of = |flavour, width| MockEmbedder::new(MockEmbedderOptions { flavour, width, ..Default::default() });
    let (honest, twin, other, wide) = (of(0, 8), of(0, 8), of(1, 8), of(0, 9));
    assert_eq!(honest.model(), twin.model());
    assert_eq!(vectors(&honest, &["x"]), vectors(&twin, &["x"]));
    assert_ne!(honest.model().weights_root, other.model().weights_root);
    assert_ne!(vectors(&honest, &["x"]), vectors(&other, &["x"]));
    assert_ne!(honest.model().weights_root, wide.model().weights_root);
    assert_eq!(of(0, 0).model().width, 1);
}

#[test]
fn limits_are_kept() {
    let options = MockEmbedderOptions { context_tokens: 5, max_texts: 2, max_active: 1, ..Default::default() };
    let embedder = MockEmbedder::new(options.clone());
    let tokens = |text: &str| embedder.encode(text).unwrap();
    assert_eq!(embedder.embed(vec![]).unwrap_err(), EngineError::EmptyPrompt);
    assert_eq!(embedder.embed(vec![tokens("a"), vec![]]).unwrap_err(), EngineError::EmptyPrompt);
    let long = embedder.embed(vec![tokens("abcd")]).unwrap_err();
    assert_eq!(long, EngineError::TooLong { tokens: 6, context_tokens: 5 });
    assert!(embedder.embed(vec![tokens("abc"), tokens("")]).is_ok());
    let many = embedder.embed(vec![tokens("a"); 3]).unwrap_err();
    assert_eq!(many, EngineError::TooManyTexts { texts: 3, texts_max: 2 });
    let unknown = embedder.embed(vec![vec![VOCAB]]).unwrap_err();
    assert_eq!(unknown, EngineError::UnknownToken { token: VOCAB, vocab_size: VOCAB });
    assert!(embedder.embed(vec![vec![VOCAB - 1]]).is_ok());
    assert_eq!(embedder.load().active, 0);
    let busy = MockEmbedder::new(MockEmbedderOptions { max_active: 0, ..options });
    assert_eq!(busy.embed(vec![tokens("a")]).unwrap_err(), EngineError::Busy { queued: 0 });
}

#[tokio::test]
async fn the_delay_is_kept_and_a_dropped_receiver_cancels() {
    let delay = Duration::from_millis(5);
    let embedder = MockEmbedder::new(MockEmbedderOptions { text_delay: delay, ..Default::default() });
    let texts = vec![embedder.encode("a").unwrap(); 4];
    let start = std::time::Instant::now();
    let mut receiver = embedder.embed(texts.clone()).unwrap();
    assert_eq!(embedder.load().active, 1);
    let mut count = 0;
    while receiver.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 4);
    assert!(start.elapsed() >= delay * 4);
    drop(embedder.embed(vec![texts[0].clone(); 2048]).unwrap());
    while embedder.load().active > 0 {
        tokio::task::yield_now().await;
    }
}
