//! Answers that are shaped (SPEC J10): whoever replays one bends the same logits, and tells the same scores.

use super::*;
use inferium_types::{ForeignBounds, TokenScore};

const YES_OR_NO: &str = "start: \"yes\" | \"no\"";

/// An honest answer to a conversation, or to tokens that are to be gone on with.
async fn shaped(shaping: Shaping, is_chat: bool) -> Job {
    let messages = vec![ChatMessage { role: "user".into(), content: "Is it?".into() }];
    let payload = if is_chat {
        JobPayload::chat([1; 32], messages, shaping)
    } else {
        JobPayload::complete([1; 32], vec![72, 105, 33], shaping)
    };
    let request = JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: lease(),
        sequence: 7,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt_of(&engine_of(0), &payload).len()).unwrap(),
        tokens_max: 20,
        sampling: SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    answer(engine_of(0), payload, request, &plan(0)).await
}

fn ruled() -> Shaping {
    Shaping { grammar: Some(YES_OR_NO.to_owned()), ..Shaping::default() }
}

fn bent() -> Shaping {
    Shaping {
        bias: vec![(u32::from(b'q'), 40_000_000)],
        presence_penalty_micro: 1_500_000,
        frequency_penalty_micro: 500_000,
        likeliest: Some(3),
        ..Shaping::default()
    }
}

/// The same answer to another input.
fn reshape(job: &mut Job, change: impl FnOnce(&mut Shaping)) {
    match &mut job.evidence.payload.input {
        JobInput::Chat { shaping, .. } | JobInput::Complete { shaping, .. } => change(shaping),
        other => panic!("no text: {other:?}"),
    }
    job.recommit();
}

fn scores(job: &mut Job) -> &mut Vec<TokenScore> {
    let JobAnswer::Text { scores, .. } = &mut job.evidence.output.answer else { panic!("no text") };
    scores
}

#[tokio::test]
async fn honest_shaped_answers_are_valid() {
    for is_chat in [true, false] {
        for shaping in [Shaping::default(), ruled(), bent(), Shaping { likeliest: Some(0), ..ruled() }] {
            let job = shaped(shaping, is_chat).await;
            assert!(matches!(judge(&[job]).await, VerdictVote::Valid { .. }));
        }
    }
    let mut said = shaped(ruled(), true).await;
    assert!(matches!(said.text().as_str(), "yes" | "no"));
    let mut many = shaped(bent(), true).await;
    assert!(many.text().starts_with('q'), "the raised token comes first");
}

#[tokio::test]
async fn an_answer_that_another_shape_gave_is_found() {
    let ruleless = shaped(Shaping::default(), true).await;
    let mut job = ruleless;
    reshape(&mut job, |shaping| *shaping = ruled());
    assert_eq!(fault_of(job).await, Some(JobFault::Token));
    let mut job = shaped(bent(), true).await;
    reshape(&mut job, |shaping| shaping.bias.clear());
    assert_eq!(fault_of(job).await, Some(JobFault::Token));
    let mut job = shaped(bent(), false).await;
    reshape(&mut job, |shaping| (shaping.presence_penalty_micro, shaping.frequency_penalty_micro) = (0, 0));
    assert_eq!(fault_of(job).await, Some(JobFault::Token));
}

#[tokio::test]
async fn scores_are_held_to_the_bit_and_to_their_number() {
    let changes: [fn(&mut Vec<TokenScore>); 4] = [
        |scores| {
            let likeliest: Vec<(u32, f32)> = scores[2].likeliest().collect();
            scores[2] = TokenScore::new(scores[2].logprob().next_down(), &likeliest);
        },
        |scores| {
            let mut likeliest: Vec<(u32, f32)> = scores[0].likeliest().collect();
            likeliest.swap(0, 1);
            scores[0] = TokenScore::new(scores[0].logprob(), &likeliest);
        },
        |scores| drop(scores.pop()),
        Vec::clear,
    ];
    for change in changes {
        let mut job = shaped(bent(), true).await;
        change(scores(&mut job));
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Score));
    }
    let mut job = shaped(Shaping::default(), true).await;
    scores(&mut job).push(TokenScore::new(-1.0, &[]));
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Score), "nobody asked for one");
}

#[tokio::test]
async fn no_honest_worker_takes_what_can_t_be_read() {
    for change in
        [(|shaping: &mut Shaping| shaping.grammar = Some("start: nowhere".into())) as fn(&mut Shaping), |shaping| {
            shaping.bias.push((u32::MAX, 1));
        }]
    {
        let mut job = shaped(Shaping::default(), true).await;
        reshape(&mut job, change);
        assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    }
}

#[tokio::test]
async fn where_results_are_measured_nothing_is_bent_and_nothing_scored() {
    let classes = [
        EngineClass::Foreign { verifier: Digest::ZERO, bounds: ForeignBounds::USUAL },
        EngineClass::Tolerance { verifier: Digest::ZERO, calibration: super::tolerance::calibration() },
    ];
    for shaping in [ruled(), bent(), Shaping { likeliest: Some(0), ..Shaping::default() }] {
        let job = shaped(shaping, true).await;
        let (mut facts, evidence) = segment(&[job], Ppm::ONE);
        for class in &classes {
            facts.engine = class.clone();
            let vote = check_segment(&facts, &evidence, &model_of(0)).await.unwrap();
            assert_eq!(vote, VerdictVote::Invalid { job: 0, fault: JobFault::Prompt });
        }
    }
}
