//! Models read what they can do something with, and nothing else.

use super::{Comparison, Model, Prompt, Unfit};
use crate::{EngineError, MockEmbedder, MockEmbedderOptions, MockEngine, MockOptions, ScoreRequest};
use inferium_types::{ChatMessage, Continuation, Digest, JobInput, ModelTask, SamplingParams, Shaping};
use std::sync::Arc;

fn chat() -> Model {
    Model::Chat(Arc::new(MockEngine::new(MockOptions::default())))
}

fn embedder(flavour: u64) -> Model {
    Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions { flavour, ..MockEmbedderOptions::default() })))
}

fn texts(texts: &[&str]) -> JobInput {
    JobInput::Embed { texts: texts.iter().map(|text| (*text).to_owned()).collect(), tokens: vec![] }
}

#[test]
fn inputs_are_read_by_models_that_take_them() {
    let message = ChatMessage { role: "user".into(), content: "hello".into() };
    let conversation = JobInput::Chat { messages: vec![message], shaping: Shaping::default() };
    assert!(matches!(chat().read(&conversation), Ok(Prompt::Text(tokens)) if !tokens.is_empty()));
    assert_eq!(embedder(0).read(&conversation), Err(EngineError::Task { does: "embedding" }));
    assert_eq!(chat().read(&texts(&["hello"])), Err(EngineError::Task { does: "chat" }));
    let Ok(Prompt::Texts(read)) = embedder(0).read(&texts(&["one", "two and more"])) else { panic!("not read") };
    assert_eq!(read.len(), 2);
    assert_eq!(Prompt::Texts(read.clone()).tokens(), read[0].len() + read[1].len());
}

#[test]
fn a_text_is_as_long_as_the_model_reads() {
    let model = embedder(0);
    let longest = model.context_tokens();
    let length = |text: &str| match model.read(&texts(&["short", text])) {
        Ok(Prompt::Texts(read)) => Ok(read[1].len()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    // The mock's tokens are bytes, and some of its own: the longest text is found from below.
    let fits = (1..).find(|size| length(&"x".repeat(size + 1)).is_err()).unwrap();
    assert_eq!(length(&"x".repeat(fits)), Ok(longest as usize));
    let tokens = u64::from(longest) + 1;
    assert_eq!(length(&"x".repeat(fits + 1)), Err(EngineError::TooLong { tokens, context_tokens: longest }));
}

#[test]
fn continuations_are_read_by_models_that_answer() {
    let one = |prompt: &[u32], tokens: &[u32]| Continuation { prompt: prompt.to_vec(), tokens: tokens.to_vec() };
    let score = |continuations: Vec<Continuation>| JobInput::Score { continuations, likeliest: 3 };
    let input = score(vec![one(&[1, 2], &[3]), one(&[4], &[5, 6, 7])]);
    let read = chat().read(&input).unwrap();
    assert_eq!(read.tokens(), 7);
    let Prompt::Scores(requests) = read else { panic!("{read:?}") };
    let second = ScoreRequest { prompt: vec![4], tokens: vec![5, 6, 7], likeliest: 3 };
    assert_eq!((requests.len(), &requests[1]), (2, &second));
    assert_eq!(embedder(0).read(&input), Err(EngineError::Task { does: "embedding" }));
    for (wrong, error) in [
        (one(&[], &[1]), EngineError::EmptyPrompt),
        (one(&[1], &[]), EngineError::EmptyPrompt),
        (one(&[1], &[9_999]), EngineError::UnknownToken { token: 9_999, vocab_size: 258 }),
        (one(&[1; 8_192], &[1]), EngineError::TooLong { tokens: 8_193, context_tokens: 8_192 }),
    ] {
        assert_eq!(chat().read(&score(vec![one(&[1], &[2]), wrong])), Err(error));
    }
}

/// Each class takes what it can compare, at the limit and no further.
#[test]
fn requests_fit_the_class_that_they_are_compared_in() {
    let message = |content: &str| ChatMessage { role: "user".into(), content: content.into() };
    let chat_of = |content: &str| JobInput::Chat { messages: vec![message(content)], shaping: Shaping::default() };
    let at = |temperature_micro| SamplingParams { temperature_micro, ..SamplingParams::GREEDY };
    let one = Continuation { prompt: vec![1], tokens: vec![2] };
    let score = JobInput::Score { continuations: vec![one], likeliest: 0 };
    for (comparison, scores, hot) in [
        (Comparison::Equal, Ok(()), Ok(())),
        (Comparison::Tolerant, Err(Unfit::Scores), Ok(())),
        (Comparison::Foreign, Err(Unfit::Scores), Err(Unfit::Temperature)),
    ] {
        assert_eq!(chat().fits(comparison, &score, &at(0)), scores);
        assert_eq!(chat().fits(comparison, &chat_of("hello"), &at(1_000_000)), Ok(()));
        assert_eq!(chat().fits(comparison, &chat_of("hello"), &at(1_000_001)), hot);
        assert_eq!(embedder(0).fits(comparison, &texts(&["hello"]), &at(0)), Ok(()));
    }
}

#[test]
fn profiles_say_what_a_model_does() {
    let (chat, embedder, other) =
        (chat().profile("m", "all"), embedder(0).profile("m", "all"), embedder(1).profile("m", "all"));
    assert_eq!(chat.task, ModelTask::Chat);
    assert!(matches!(embedder.task, ModelTask::Embed { width } if width > 0));
    assert!(embedder.is_well_formed() && embedder.template_hash == Digest::ZERO && embedder.eos_tokens.is_empty());
    assert_ne!(embedder.id(), other.id());
}
