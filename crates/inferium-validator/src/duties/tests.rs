//! SPEC T6: what no worker would take is relayed to none, since the chain would hold it to the answer.

use super::{Refused, check_can_be_done};
use inferium_engine::{Engine, MockEngine, MockOptions};
use inferium_types::{
    ChatMessage, Digest, ImpossibleJob, JobId, JobPayload, JobRequest, LeaseId, SamplingParams, limits,
    wire::RelayedRequest,
};

const CONTEXT: u32 = 256;

fn engine() -> MockEngine {
    MockEngine::new(MockOptions::default())
}

fn relayed() -> RelayedRequest {
    let messages = vec![ChatMessage { role: "user".into(), content: "are you there?".into() }];
    let prompt = engine().render_chat(&messages).unwrap();
    let payload = JobPayload { salt: [1; 32], messages, stop: vec!["stop".into()] };
    let request = JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence: 0,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max: 10,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    RelayedRequest { request, payload }
}

fn refusal(change: impl FnOnce(&mut RelayedRequest)) -> Option<Refused> {
    let mut relayed = relayed();
    change(&mut relayed);
    check_can_be_done(&relayed, CONTEXT, &engine()).err()
}

fn impossible(change: impl FnOnce(&mut RelayedRequest)) -> ImpossibleJob {
    match refusal(change) {
        Some(Refused::Impossible(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_a_worker_takes_is_relayed() {
    assert!(refusal(|_| {}).is_none());
    let room = CONTEXT - relayed().request.prompt_tokens;
    assert!(refusal(|relayed| relayed.request.tokens_max = room).is_none());
}

#[test]
fn a_request_that_every_worker_refuses_is_not() {
    assert_eq!(impossible(|relayed| relayed.request.tokens_max = 0), ImpossibleJob::NoTokens);
    let room = CONTEXT - relayed().request.prompt_tokens;
    let reason = impossible(|relayed| relayed.request.tokens_max = room + 1);
    assert_eq!(reason, ImpossibleJob::Context { tokens: u64::from(CONTEXT) + 1, context_tokens: CONTEXT });
    let reason = impossible(|relayed| relayed.request.sequence = limits::SEQUENCE_MAX + 1);
    assert_eq!(reason, ImpossibleJob::Sequence);
    assert_eq!(impossible(|relayed| relayed.payload.stop = vec![String::new()]), ImpossibleJob::StopString { size: 0 });
    let size = limits::STOP_STRING_SIZE_MAX + 1;
    let reason = impossible(|relayed| relayed.payload.stop = vec!["x".repeat(size)]);
    assert_eq!(reason, ImpossibleJob::StopString { size });
}

#[test]
fn a_prompt_of_another_length_is_not_the_requests() {
    let claimed = relayed().request.prompt_tokens + 1;
    match refusal(|relayed| relayed.request.prompt_tokens = claimed) {
        Some(Refused::PromptTokens { found, claimed: named }) => {
            assert_eq!((u32::try_from(found), named), (Ok(claimed - 1), claimed));
        }
        other => panic!("{other:?}"),
    }
}
