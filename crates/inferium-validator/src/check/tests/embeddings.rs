//! SPEC J8: embeddings are computed again, and every lie about them has its fault.

use super::*;
use inferium_engine::{Embedder, MockEmbedder, MockEmbedderOptions};
use inferium_types::{Embedding, part_salt};

const TEXTS: [&str; 3] = ["one", "two words", "one"];

fn embedder(flavour: u64) -> MockEmbedder {
    MockEmbedder::new(MockEmbedderOptions { flavour, ..MockEmbedderOptions::default() })
}

fn model() -> Model {
    Model::Embedder(Arc::new(embedder(0)))
}

/// A request for texts, done by a model of this flavour.
async fn embedded(payload: JobPayload, request: JobRequest, flavour: u64) -> Job {
    let JobInput::Embed { texts, .. } = &payload.input else { panic!("no texts") };
    let texts = texts.iter().map(|text| embedder(flavour).encode(text).unwrap()).collect();
    let mut vectors = embedder(flavour).embed(texts).unwrap();
    let (mut embeddings, mut leaves) = (Vec::new(), Vec::new());
    while let Some(vector) = vectors.recv().await {
        let vector = vector.unwrap();
        let embedding = Embedding::new(&vector.values);
        leaves.push(embedding.leaf(&part_salt(&SALT, embeddings.len()), &vector.states));
        embeddings.push(embedding);
    }
    rebound(payload, request, (embeddings, leaves), FinishReason::EndOfText)
}

/// The job of these embeddings and leaves.
fn rebound(
    payload: JobPayload,
    request: JobRequest,
    (embeddings, digests): (Vec<Embedding>, Vec<Digest>),
    finish: FinishReason,
) -> Job {
    bound((payload, request), JobAnswer::Embeddings(embeddings), digests, finish)
}

fn asked(sequence: u64) -> (JobPayload, JobRequest) {
    let payload = JobPayload::embed([1; 32], TEXTS.map(str::to_owned).to_vec());
    let tokens = model().read(&payload.input).unwrap().tokens();
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&sequence.to_be_bytes()])),
        lease: lease(),
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(tokens).unwrap(),
        tokens_max: 3,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    (payload, request)
}

async fn honest(sequence: u64) -> Job {
    let (payload, request) = asked(sequence);
    embedded(payload, request, 0).await
}

async fn fault_of(job: Job) -> Option<JobFault> {
    let (facts, evidence) = segment(&[honest(0).await, job], Ppm::ONE);
    authenticate(&facts, &evidence).unwrap();
    match check_segment(&facts, &evidence, &model()).await.unwrap() {
        VerdictVote::Valid { .. } => None,
        VerdictVote::Invalid { job: 1, fault } => Some(fault),
        other => panic!("{other:?}"),
    }
}

/// The embeddings of a job, and the leaves of its evidence.
fn embeddings(job: &Job) -> (Vec<Embedding>, Vec<Digest>) {
    let JobAnswer::Embeddings(embeddings) = &job.evidence.output.answer else { panic!("no embeddings") };
    (embeddings.clone(), job.digests.clone())
}

#[tokio::test]
async fn honest_embeddings_are_valid() {
    assert_eq!(fault_of(honest(1).await).await, None);
}

#[tokio::test]
async fn another_model_or_one_other_bit_is_found() {
    let (payload, request) = asked(1);
    assert_eq!(fault_of(embedded(payload, request, 1).await).await, Some(JobFault::Embedding));
    for position in 0..3 {
        let job = honest(1).await;
        let (mut changed, leaves) = embeddings(&job);
        let mut values: Vec<f32> = changed[position].values().collect();
        values[7] = f32::from_bits(values[7].to_bits() ^ 1);
        changed[position] = Embedding::new(&values);
        let changed = (changed, leaves);
        let job = rebound(job.evidence.payload, job.leaf.request, changed, FinishReason::EndOfText);
        assert_eq!(fault_of(job).await, Some(JobFault::Embedding), "{position}");
    }
}

/// The right embeddings under a root that is not theirs: what a planted job looks like (SPEC V5), and a worker that has
/// the vectors from somebody else and never read the texts.
#[tokio::test]
async fn another_root_is_found() {
    let mut job = honest(1).await;
    job.leaf.result.evidence_root = Digest::sha256(b"something");
    assert_eq!(fault_of(job).await, Some(JobFault::Embedding));
    let job = honest(1).await;
    let (copied, _) = embeddings(&job);
    let leaf = |(index, one): (usize, &Embedding)| one.leaf(&part_salt(&SALT, index), &Digest::ZERO);
    let leaves = copied.iter().enumerate().map(leaf).collect();
    let job = rebound(job.evidence.payload, job.leaf.request, (copied, leaves), FinishReason::EndOfText);
    assert_eq!(fault_of(job).await, Some(JobFault::Embedding));
}

#[tokio::test]
async fn fewer_more_or_other_answers_than_texts_are_found() {
    // Two of three, and said to be all.
    let job = honest(1).await;
    let (two, leaves) = embeddings(&job);
    let two = || (two[..2].to_vec(), leaves[..2].to_vec());
    for finish in [FinishReason::EndOfText, FinishReason::Cancelled] {
        let job = rebound(job.evidence.payload.clone(), job.leaf.request.clone(), two(), finish);
        assert_eq!(fault_of(job).await, Some(JobFault::Embedding), "{finish:?}");
    }
    // All of them, and said to have ended otherwise.
    for finish in [FinishReason::Cancelled, FinishReason::Length, FinishReason::StopString] {
        let job = honest(1).await;
        let all = embeddings(&job);
        let job = rebound(job.evidence.payload, job.leaf.request, all, finish);
        assert_eq!(fault_of(job).await, Some(JobFault::Finish), "{finish:?}");
    }
    // More than there are texts: the request allows four.
    let (payload, request) = asked(1);
    let request = JobRequest { tokens_max: 4, ..request };
    let (mut four, mut leaves) = embeddings(&honest(1).await);
    four.push(four[0].clone());
    leaves.push(leaves[0]);
    let four = (four, leaves);
    assert_eq!(fault_of(rebound(payload, request, four, FinishReason::EndOfText)).await, Some(JobFault::Prompt));
    // Billed for another number than there are.
    let mut job = honest(1).await;
    job.leaf.result.usage.completion_tokens = 2;
    assert_eq!(fault_of(job).await, Some(JobFault::Embedding));
    // A text.
    let mut job = honest(1).await;
    job.evidence.output = JobOutput::text([2; 32], vec![1, 2, 3], "abc".into());
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Embedding));
}

#[tokio::test]
async fn what_the_model_does_not_read_is_no_honest_work() {
    let mut job = honest(1).await;
    job.evidence.payload = JobPayload::chat([1; 32], Vec::new(), Vec::new());
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    let mut dearer = honest(1).await;
    dearer.leaf.request.prompt_tokens += 1;
    dearer.recommit();
    assert_eq!(fault_of(dearer).await, Some(JobFault::Prompt));
    // A conversation is answered by text.
    let mut chat = work(plan(1)).await;
    chat.evidence.output.answer = JobAnswer::Embeddings(Vec::new());
    chat.recommit();
    assert_eq!(super::fault_of(chat).await, Some(JobFault::Text));
}

/// A text that the model does not read is no honest work: how much it reads belongs to its profile.
#[tokio::test]
async fn a_text_that_is_too_long_is_a_fault_and_no_failure() {
    let (facts, evidence) = segment(&[honest(0).await], Ppm::ONE);
    let short = MockEmbedderOptions { context_tokens: 4, ..MockEmbedderOptions::default() };
    let reads_less = Model::Embedder(Arc::new(MockEmbedder::new(short)));
    let vote = check_segment(&facts, &evidence, &reads_less).await;
    assert_eq!(vote, Ok(VerdictVote::Invalid { job: 0, fault: JobFault::Prompt }));
}

/// A failure of our own engine is no verdict.
#[tokio::test]
async fn failing_embedder_convicts_no_one() {
    let (facts, evidence) = segment(&[honest(0).await], Ppm::ONE);
    for options in [
        MockEmbedderOptions { max_active: 0, ..MockEmbedderOptions::default() },
        MockEmbedderOptions { max_texts: 2, ..MockEmbedderOptions::default() },
    ] {
        let broken = Model::Embedder(Arc::new(MockEmbedder::new(options.clone())));
        let vote = check_segment(&facts, &evidence, &broken).await;
        assert!(vote.is_err(), "{options:?}: {vote:?}");
    }
}

/// SPEC N2: a capability task of an embedding model is a chain of texts.
#[tokio::test]
async fn capability_task_of_an_embedder_is_checked() {
    let assessed = async |lie: bool| {
        let (mut jobs, mut last): (Vec<Job>, _) = (Vec::new(), Digest::ZERO);
        for index in 0..3 {
            let payload = assessment_payload(model().task(), &beacon(), lease(), index, &last);
            let tokens = u32::try_from(model().read(&payload.input).unwrap().tokens()).unwrap();
            let request = assessment_request(lease(), index, &payload, tokens);
            let job = embedded(payload, request, u64::from(lie && index == 1)).await;
            last = job.leaf.hash();
            jobs.push(job);
        }
        let (facts, evidence) = segment(&jobs, Ppm::ONE);
        let facts = SegmentFacts { kind: TaskKind::Benchmark, ..facts };
        check_segment(&facts, &evidence, &model()).await.unwrap()
    };
    assert!(matches!(assessed(false).await, VerdictVote::Valid { .. }));
    assert_eq!(assessed(true).await, VerdictVote::Invalid { job: 1, fault: JobFault::Embedding });
}
