//! What a worker can be asked, at each limit and one beyond it (SPEC J1, T6).

use crate::{
    ChatMessage, Digest, ImpossibleJob, JobId, JobPayload, JobRequest, LeaseId, SamplingParams, encode, limits,
};

fn request(sequence: u64, prompt_tokens: u32, tokens_max: u32) -> JobRequest {
    JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens,
        tokens_max,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    }
}

fn payload(messages: usize, content: usize, stop: &[usize]) -> JobPayload {
    let message = ChatMessage { role: "user".into(), content: "x".repeat(content) };
    JobPayload {
        salt: [0; 32],
        messages: vec![message; messages],
        stop: stop.iter().map(|size| "s".repeat(*size)).collect(),
    }
}

#[test]
fn request_fits_the_context_and_asks_for_something() {
    assert_eq!(request(0, 1, 1).check(2), Ok(()));
    assert_eq!(request(0, 1, 2).check(2), Err(ImpossibleJob::Context { tokens: 3, context_tokens: 2 }));
    let all = 2 * u64::from(u32::MAX);
    let both = request(0, u32::MAX, u32::MAX).check(u32::MAX);
    assert_eq!(both, Err(ImpossibleJob::Context { tokens: all, context_tokens: u32::MAX }));
    assert_eq!(request(0, 0, 1).check(2), Err(ImpossibleJob::NoTokens));
    assert_eq!(request(0, 1, 0).check(2), Err(ImpossibleJob::NoTokens));
}

#[test]
fn sequences_end_where_the_next_would_not_be_another() {
    assert_eq!(request(limits::SEQUENCE_MAX, 1, 1).check(2), Ok(()));
    assert_eq!(request(limits::SEQUENCE_MAX + 1, 1, 1).check(2), Err(ImpossibleJob::Sequence));
    assert_eq!(request(u64::MAX, 1, 1).check(2), Err(ImpossibleJob::Sequence));
}

#[test]
fn private_half_has_limits() {
    let (count, size) = (limits::STOP_STRINGS_MAX, limits::STOP_STRING_SIZE_MAX);
    assert_eq!(payload(1, 1, &vec![size; count]).check(), Ok(()));
    assert_eq!(payload(1, 1, &[1, 0]).check(), Err(ImpossibleJob::StopString { size: 0 }));
    assert_eq!(payload(1, 1, &[size + 1]).check(), Err(ImpossibleJob::StopString { size: size + 1 }));
    assert_eq!(payload(1, 1, &vec![1; count + 1]).check(), Err(ImpossibleJob::StopStrings { count: count + 1 }));
    let many = limits::MESSAGES_MAX;
    assert_eq!(payload(many, 1, &[]).check(), Ok(()));
    assert_eq!(payload(many + 1, 1, &[]).check(), Err(ImpossibleJob::Messages { count: many + 1 }));
    let room = limits::PAYLOAD_SIZE_MAX - encode(&payload(1, 0, &[])).len();
    assert_eq!(payload(1, room, &[]).check(), Ok(()));
    assert_eq!(payload(1, room + 1, &[]).check(), Err(ImpossibleJob::Size));
}
