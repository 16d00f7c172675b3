//! SPEC J9: scores are computed again, and every lie about them has its fault.

use super::*;
use inferium_engine::{EngineError, Prompt, Scoring};
use inferium_types::{Continuation, TokenScore};

fn asked(sequence: u64) -> (JobPayload, JobRequest) {
    let one = |prompt: &[u32], tokens: &[u32]| Continuation { prompt: prompt.to_vec(), tokens: tokens.to_vec() };
    let continuations = vec![one(&[72, 105], &[97, 98]), one(&[72, 105], &[98, 97]), one(&[72], &[97])];
    let payload = JobPayload::score([1; 32], continuations, 2);
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&sequence.to_be_bytes()])),
        lease: lease(),
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: 4 + 4 + 2,
        tokens_max: 3,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    (payload, request)
}

/// The scores of a request by a model of this flavour, and their leaves.
async fn scores_of(payload: &JobPayload, flavour: u64) -> (Vec<Vec<TokenScore>>, Vec<Digest>) {
    let Prompt::Scores(requests) = model_of(flavour).read(&payload.input).unwrap() else { panic!("nothing to score") };
    let engine = engine_of(flavour);
    let mut scoring = Scoring::new(&engine, requests);
    let (mut scores, mut leaves) = (Vec::new(), Vec::new());
    while let Some(found) = scoring.next().await {
        let (found, positions) = found.unwrap();
        leaves.push(TokenScore::leaf(&found, &positions));
        scores.push(found);
    }
    (scores, leaves)
}

/// The job of these scores and leaves.
fn rebound(
    asked: (JobPayload, JobRequest),
    (scores, digests): (Vec<Vec<TokenScore>>, Vec<Digest>),
    finish: FinishReason,
) -> Job {
    bound(asked, JobAnswer::Scores(scores), digests, finish)
}

async fn scored(sequence: u64, flavour: u64) -> Job {
    let asked = asked(sequence);
    let scores = scores_of(&asked.0, flavour).await;
    rebound(asked, scores, FinishReason::EndOfText)
}

async fn fault_of(job: Job) -> Option<JobFault> {
    // Beside a conversation: a model that answers does both.
    let (facts, evidence) = segment(&[work(plan(0)).await, job], Ppm::ONE);
    match vote(&facts, &evidence).await {
        VerdictVote::Valid { .. } => None,
        VerdictVote::Invalid { job: 1, fault } => Some(fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn honest_scores_are_valid() {
    assert_eq!(fault_of(scored(1, 0).await).await, None);
}

#[tokio::test]
async fn another_model_one_other_bit_or_another_root_is_found() {
    assert_eq!(fault_of(scored(1, 1).await).await, Some(JobFault::Score));
    let (scores, leaves) = scores_of(&asked(1).0, 0).await;
    let likeliest = |score: &TokenScore| score.likeliest().collect::<Vec<_>>();
    let bit = |value: f32| f32::from_bits(value.to_bits() ^ 1);
    let honest = &scores[1][1];
    let (mut figure, mut token) = (likeliest(honest), likeliest(honest));
    figure[1].1 = bit(figure[1].1);
    token[0].0 += 1;
    for lie in [
        TokenScore::new(bit(honest.logprob()), &likeliest(honest)),
        TokenScore::new(honest.logprob(), &figure),
        TokenScore::new(honest.logprob(), &token),
    ] {
        let mut other = scores.clone();
        other[1][1] = lie;
        let job = rebound(asked(1), (other, leaves.clone()), FinishReason::EndOfText);
        assert_eq!(fault_of(job).await, Some(JobFault::Score));
    }
    // Right scores from somebody else, and a planted job's root (SPEC V5).
    let copied = scores.iter().map(|scores| TokenScore::leaf(scores, &[])).collect();
    assert_eq!(
        fault_of(rebound(asked(1), (scores.clone(), copied), FinishReason::EndOfText)).await,
        Some(JobFault::Score)
    );
    let mut planted = scored(1, 0).await;
    planted.leaf.result.evidence_root = Digest::sha256(b"something");
    assert_eq!(fault_of(planted).await, Some(JobFault::Score));
}

#[tokio::test]
async fn fewer_more_or_other_answers_than_continuations_are_found() {
    let (scores, leaves) = scores_of(&asked(1).0, 0).await;
    let two = (scores[..2].to_vec(), leaves[..2].to_vec());
    assert_eq!(fault_of(rebound(asked(1), two, FinishReason::EndOfText)).await, Some(JobFault::Finish));
    for finish in [FinishReason::Cancelled, FinishReason::Length] {
        // The length is reached: three of three.
        let all = (scores.clone(), leaves.clone());
        assert_eq!(fault_of(rebound(asked(1), all, finish)).await, Some(JobFault::Finish), "{finish:?}");
    }
    for tokens_max in [2, 4] {
        let (payload, request) = asked(1);
        let mut job = rebound((payload, request), (scores.clone(), leaves.clone()), FinishReason::EndOfText);
        job.leaf.request.tokens_max = tokens_max;
        job.leaf.result.usage.completion_tokens = tokens_max.min(3);
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Prompt), "{tokens_max}");
    }
    let mut text = scored(1, 0).await;
    text.evidence.output = JobOutput::text([2; 32], vec![1, 2, 3], "abc".into());
    text.recommit();
    assert_eq!(fault_of(text).await, Some(JobFault::Score));
    // A conversation is answered by text.
    let mut chat = work(plan(1)).await;
    chat.evidence.output.answer = JobAnswer::Scores(Vec::new());
    chat.recommit();
    assert_eq!(fault_of(chat).await, Some(JobFault::Text));
}

#[tokio::test]
async fn what_the_model_does_not_read_is_no_honest_work() {
    let (scores, leaves) = scores_of(&asked(1).0, 0).await;
    let with = |continuation: Continuation| {
        let (_, request) = asked(1);
        let mut continuations = vec![Continuation { prompt: vec![1], tokens: vec![1] }; 2];
        continuations.push(continuation);
        let payload = JobPayload::score([1; 32], continuations.clone(), 2);
        let tokens: usize = continuations.iter().map(Continuation::len).sum();
        let prompt_tokens = u32::try_from(tokens).unwrap();
        let request = JobRequest { input_commitment: payload.commitment(), prompt_tokens, ..request };
        rebound((payload, request), (scores.clone(), leaves.clone()), FinishReason::EndOfText)
    };
    for (prompt, tokens) in [(vec![], vec![1]), (vec![1], vec![]), (vec![1], vec![9_999]), (vec![9_999], vec![1])] {
        assert_eq!(fault_of(with(Continuation { prompt, tokens })).await, Some(JobFault::Prompt));
    }
    // How much fits is our own engine's affair, and no verdict.
    let long = with(Continuation { prompt: vec![1; 9_000], tokens: vec![1] });
    let (facts, evidence) = segment(&[long], Ppm::ONE);
    let vote = check_segment(&facts, &evidence, &model_of(0)).await;
    assert!(matches!(vote, Err(EngineError::TooLong { .. })), "{vote:?}");
    let mut dearer = scored(1, 0).await;
    dearer.leaf.request.prompt_tokens += 1;
    dearer.recommit();
    assert_eq!(fault_of(dearer).await, Some(JobFault::Prompt));
}

/// Within a tolerance nothing is compared to the bit, and no honest worker takes it.
#[tokio::test]
async fn scores_have_no_place_on_a_tolerance_profile() {
    let mut job = scored(0, 0).await;
    let fingerprint = Fingerprint::new([0; 32]).finish();
    job.leaf.result.evidence_root = fingerprint.root();
    job.evidence.measured = Some(fingerprint);
    let (facts, evidence) = tolerance::drawn(&[job]);
    let vote = check_segment(&facts, &evidence, &model_of(0)).await;
    assert_eq!(vote, Ok(VerdictVote::Invalid { job: 0, fault: JobFault::Prompt }));
}

/// A failure of our own engine is no verdict.
#[tokio::test]
async fn a_failing_engine_convicts_no_one() {
    let (facts, evidence) = segment(&[scored(0, 0).await], Ppm::ONE);
    let full = Model::Chat(Arc::new(MockEngine::new(MockOptions { max_active: 0, ..MockOptions::default() })));
    assert!(check_segment(&facts, &evidence, &full).await.is_err());
}
