use super::{AT_ONCE, Score, ScoreRequest, Scoring, highest, score};
use crate::{Engine, EngineError, GenerateRequest, MockEngine, MockOptions};
use inferium_types::{SamplingParams, Shaping};

fn request(prompt: &[u32], tokens: &[u32]) -> ScoreRequest {
    ScoreRequest { prompt: prompt.to_vec(), tokens: tokens.to_vec(), likeliest: 1 }
}

fn scored(engine: &MockEngine, request: ScoreRequest) -> Vec<Score> {
    engine.score(request).unwrap().blocking_recv().unwrap().unwrap()
}

/// What a model writes by itself is the likeliest at each of its positions, and has the digests of the generation.
#[test]
fn scores_of_a_greedy_answer_are_its_own() {
    let engine = MockEngine::new(MockOptions::default());
    let (prompt, sampling) = (vec![72, 105], SamplingParams::GREEDY);
    let asked = GenerateRequest {
        prompt: prompt.clone(),
        max_tokens: 20,
        sampling,
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: true,
    };
    let mut steps = engine.generate(asked).unwrap();
    let steps: Vec<_> = std::iter::from_fn(|| steps.blocking_recv()).map(Result::unwrap).collect();
    let tokens: Vec<u32> = steps.iter().map(|step| step.token).collect();
    let scores = scored(&engine, request(&prompt, &tokens));
    assert_eq!(scores.len(), 20);
    for (score, step) in scores.iter().zip(&steps) {
        assert_eq!(score.digest, step.digest);
        assert_eq!(score.score.logprob(), step.measured.as_ref().unwrap().logprob as f32);
        assert_eq!(score.score.likeliest().collect::<Vec<_>>(), [(step.token, score.score.logprob())]);
    }
    // Another token has another score, and changes all after it.
    let mut other = tokens;
    other[10] ^= 1;
    let changed = scored(&engine, request(&prompt, &other));
    assert_eq!(changed[..10], scores[..10]);
    assert!(changed[10].score.logprob() < scores[10].score.logprob());
    assert_ne!(changed[11], scores[11]);
}

#[test]
fn what_can_never_be_scored_is_refused() {
    let engine = MockEngine::new(MockOptions { context_tokens: 4, ..MockOptions::default() });
    assert_eq!(engine.score(request(&[], &[1])).unwrap_err(), EngineError::EmptyPrompt);
    assert_eq!(engine.score(request(&[1], &[])).unwrap_err(), EngineError::EmptyPrompt);
    assert_eq!(scored(&engine, request(&[1, 2], &[3, 4])).len(), 2);
    assert!(matches!(engine.score(request(&[1, 2], &[3, 4, 5])), Err(EngineError::TooLong { tokens: 5, .. })));
    assert!(matches!(engine.score(request(&[1], &[999])), Err(EngineError::UnknownToken { token: 999, .. })));
}

/// In order, however many the engine takes at once; an engine that has no room for the first is busy.
#[tokio::test]
async fn many_are_scored_in_their_order() {
    let engine = MockEngine::new(MockOptions::default());
    let requests: Vec<ScoreRequest> = (0..3 * AT_ONCE as u32).map(|one| request(&[one], &[one + 1, one + 2])).collect();
    let mut scoring = Scoring::new(&engine, requests.clone());
    for one in requests {
        let expected = engine.score(one).unwrap().await.unwrap();
        assert_eq!(
            scoring.next().await,
            Some(expected.map(|all| all.into_iter().map(|of| (of.score, of.digest)).unzip()))
        );
    }
    assert_eq!(scoring.next().await, None);
    let full = MockEngine::new(MockOptions { max_active: 0, ..MockOptions::default() });
    assert!(matches!(Scoring::new(&full, vec![request(&[1], &[2])]).next().await, Some(Err(EngineError::Busy { .. }))));
}

#[test]
fn the_likeliest_come_in_order_and_equals_by_their_id() {
    let logits = [1.0, 3.0, -2.0, 3.0, 2.0, 3.5];
    assert_eq!(highest(&logits, 0), []);
    assert_eq!(highest(&logits, 1), [(5, 3.5)]);
    assert_eq!(highest(&logits, 4), [(5, 3.5), (1, 3.0), (3, 3.0), (4, 2.0)]);
    assert_eq!(highest(&logits, 9).len(), logits.len());
}

/// A model whose numbers left their range has scores all the same, finite ones, and the same as anybody's.
#[test]
fn scores_are_finite_whatever_the_logits() {
    let logits = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
    for token in 0..4 {
        let score = score(&logits, token, 4).score;
        assert!(score.logprob().is_finite() && score.logprob() <= 0.0);
        assert!(score.likeliest().all(|(_, logprob)| logprob.is_finite()) && score.likeliest().next().unwrap().0 == 1);
    }
}

#[test]
fn log_probabilities_are_those_of_the_softmax() {
    let logits = [0.0, 1.0, 2.0, f32::MIN];
    let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    for (token, logit) in (0_u32..).zip(logits).take(3) {
        let found = score(&logits, token, 2);
        let expected = f64::from(logit) - total.ln();
        assert!((f64::from(found.score.logprob()) - expected).abs() < 1e-6);
        let likeliest: Vec<(u32, f32)> = found.score.likeliest().collect();
        assert_eq!(likeliest.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(likeliest[0].1, score(&logits, 2, 0).score.logprob());
    }
    assert_ne!(score(&logits, 0, 0).digest, score(&logits, 1, 0).digest);
}
