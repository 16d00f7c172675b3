//! SPEC J12: classifications are computed again, and every lie about them has its fault.

use super::*;
use inferium_engine::{Classifier, ClassifierTerms};
use inferium_exact::synthetic;
use inferium_types::{ClassifierInputs, Logits, part_salt};

fn classifier() -> (Arc<Classifier>, Vec<i16>) {
    let (model, input) = synthetic("mlp-tiny").unwrap().unwrap();
    let terms = ClassifierTerms::of(&model);
    let input = input.iter().map(|element| i16::try_from(*element).unwrap()).collect();
    (Arc::new(Classifier::new(model, terms, None).unwrap()), input)
}

fn model() -> Model {
    Model::Classifier(classifier().0)
}

/// Three inputs, of which the first and the last are the same.
fn inputs() -> ClassifierInputs {
    let (_, input) = classifier();
    let mut other = input.clone();
    other.reverse();
    ClassifierInputs::Tensors(vec![input.clone(), other, input])
}

fn asked(sequence: u64) -> (JobPayload, JobRequest) {
    let payload = JobPayload::classify([1; 32], inputs());
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

/// What the model says of the inputs, and the leaves of that.
async fn classified(inputs: &ClassifierInputs) -> (Vec<Logits>, Vec<Digest>) {
    let (classifier, _) = classifier();
    let (mut all, mut leaves) = (Vec::new(), Vec::new());
    for input in classifier.read(inputs).unwrap() {
        let (logits, states) = classifier.classify(input).await.unwrap();
        leaves.push(logits.leaf(&part_salt(&SALT, all.len()), &states));
        all.push(logits);
    }
    (all, leaves)
}

fn rebound(
    (payload, request): (JobPayload, JobRequest),
    (logits, leaves): (Vec<Logits>, Vec<Digest>),
    finish: FinishReason,
) -> Job {
    bound((payload, request), JobAnswer::Logits(logits), leaves, finish)
}

async fn honest(sequence: u64) -> Job {
    rebound(asked(sequence), classified(&inputs()).await, FinishReason::EndOfText)
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

#[tokio::test]
async fn honest_classifications_are_valid() {
    assert_eq!(fault_of(honest(1).await).await, None);
}

#[tokio::test]
async fn a_number_one_higher_is_found_wherever_it_is() {
    let (right, leaves) = classified(&inputs()).await;
    for position in 0..3 {
        for class in 0..right[position].values().len() {
            let mut changed = right.clone();
            let mut values = changed[position].values().to_vec();
            values[class] += 1;
            changed[position] = Logits::new(values);
            let job = rebound(asked(1), (changed, leaves.clone()), FinishReason::EndOfText);
            assert_eq!(fault_of(job).await, Some(JobFault::Classification), "{position} {class}");
        }
    }
    // One class fewer, and one more.
    for change in [-1_isize, 1] {
        let mut values = right[0].values().to_vec();
        values.resize(values.len().checked_add_signed(change).unwrap(), 0);
        let changed = vec![Logits::new(values), right[1].clone(), right[2].clone()];
        let job = rebound(asked(1), (changed, leaves.clone()), FinishReason::EndOfText);
        assert_eq!(fault_of(job).await, Some(JobFault::Classification));
    }
}

/// The right answer of a worker that has it from somebody else: it can't name what was computed on the way.
#[tokio::test]
async fn an_answer_without_its_computation_is_found() {
    let (right, _) = classified(&inputs()).await;
    let leaf = |(index, logits): (usize, &Logits)| logits.leaf(&part_salt(&SALT, index), &Digest::ZERO);
    let leaves = right.iter().enumerate().map(leaf).collect();
    let job = rebound(asked(1), (right, leaves), FinishReason::EndOfText);
    assert_eq!(fault_of(job).await, Some(JobFault::Classification));
    let mut job = honest(1).await;
    job.leaf.result.evidence_root = Digest::sha256(b"something");
    assert_eq!(fault_of(job).await, Some(JobFault::Classification));
}

#[tokio::test]
async fn fewer_answers_than_inputs_and_other_ends_are_found() {
    let (right, leaves) = classified(&inputs()).await;
    let two = || (right[..2].to_vec(), leaves[..2].to_vec());
    assert_eq!(fault_of(rebound(asked(1), two(), FinishReason::EndOfText)).await, Some(JobFault::Classification));
    let all = (right, leaves);
    assert_eq!(fault_of(rebound(asked(1), all, FinishReason::Cancelled)).await, Some(JobFault::Finish));
    // Of another kind.
    let mut job = honest(1).await;
    job.evidence.output = JobOutput::text([2; 32], vec![1, 2, 3], "abc".into());
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Classification));
}

/// What no honest worker reads: too few elements, an element out of range, texts.
#[tokio::test]
async fn inputs_that_are_none_of_the_models_are_no_honest_work() {
    let (_, input) = classifier();
    let short = ClassifierInputs::Tensors(vec![input[1..].to_vec(); 3]);
    let beyond = ClassifierInputs::Tensors(vec![vec![i16::MAX; input.len()]; 3]);
    for inputs in [short, beyond] {
        let mut job = honest(1).await;
        job.evidence.payload = JobPayload::classify([1; 32], inputs);
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    }
}

/// SPEC N2: a capability task of a classifier is a chain of drawn tensors, each of which it reads.
#[tokio::test]
async fn capability_task_of_a_classifier_is_checked() {
    let assessed = async |lie: bool| {
        let (mut jobs, mut last): (Vec<Job>, _) = (Vec::new(), Digest::ZERO);
        for index in 0..3 {
            let payload = assessment_payload(model().task(), &beacon(), lease(), index, &last);
            let tokens = u32::try_from(model().read(&payload.input).unwrap().tokens()).unwrap();
            let request = assessment_request(lease(), index, &payload, tokens);
            let JobInput::Classify(inputs) = &payload.input else { panic!("{payload:?}") };
            let (mut logits, leaves) = classified(inputs).await;
            if lie && index == 1 {
                logits[0] = Logits::new(vec![0; logits[0].values().len()]);
            }
            let job = rebound((payload, request), (logits, leaves), FinishReason::EndOfText);
            last = job.leaf.hash();
            jobs.push(job);
        }
        let (facts, evidence) = segment(&jobs, Ppm::ONE);
        let facts = SegmentFacts { kind: TaskKind::Benchmark, ..facts };
        check_segment(&facts, &evidence, &model()).await.unwrap()
    };
    assert!(matches!(assessed(false).await, VerdictVote::Valid { .. }));
    assert_eq!(assessed(true).await, VerdictVote::Invalid { job: 1, fault: JobFault::Classification });
}

/// SPEC V11: only what a vote names can be challenged, so no other fault is named where a run is wrong.
#[tokio::test]
async fn nothing_hides_a_run_that_is_wrong() {
    let lie = async |finish| {
        let (mut logits, leaves) = classified(&inputs()).await;
        logits[1] = Logits::new(vec![0; 3]);
        rebound(asked(1), (logits, leaves), finish)
    };
    assert_eq!(fault_of(lie(FinishReason::Cancelled).await).await, Some(JobFault::Classification));
    // Another job before it that no worker reads, or whose leaf says otherwise.
    let (payload, request) = asked(0);
    let other = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![vec![1]; 3]));
    let unreadable = (other.clone(), JobRequest { input_commitment: other.commitment(), ..request.clone() });
    let counted = (payload, JobRequest { tokens_max: 9, ..request });
    for first in [unreadable, counted] {
        let first = rebound(first, classified(&inputs()).await, FinishReason::EndOfText);
        for (second, expected) in [
            (lie(FinishReason::EndOfText).await, (1, JobFault::Classification)),
            (honest(1).await, (0, JobFault::Prompt)),
        ] {
            let (facts, evidence) = segment(&[first.clone(), second], Ppm::ONE);
            let vote = check_segment(&facts, &evidence, &model()).await.unwrap();
            assert_eq!(vote, VerdictVote::Invalid { job: expected.0, fault: expected.1 });
        }
    }
    // Totals that are not the leaves' have their fault at the first job.
    let (mut facts, evidence) = segment(&[honest(0).await, lie(FinishReason::EndOfText).await], Ppm::ONE);
    facts.terms.totals.jobs += 1;
    let vote = check_segment(&facts, &evidence, &model()).await.unwrap();
    assert_eq!(vote, VerdictVote::Invalid { job: 1, fault: JobFault::Classification });
    let (mut facts, evidence) = segment(&[honest(0).await, honest(1).await], Ppm::ONE);
    facts.terms.totals.jobs += 1;
    let vote = check_segment(&facts, &evidence, &model()).await.unwrap();
    assert_eq!(vote, VerdictVote::Invalid { job: 0, fault: JobFault::Leaf });
    // Nor does a lie that can't be challenged, since its leaf says otherwise.
    let mut first = lie(FinishReason::EndOfText).await;
    first.leaf.result.request = Digest::ZERO;
    let (facts, evidence) = segment(&[first.clone(), lie(FinishReason::EndOfText).await], Ppm::ONE);
    let vote = check_segment(&facts, &evidence, &model()).await.unwrap();
    assert_eq!(vote, VerdictVote::Invalid { job: 1, fault: JobFault::Classification });
    let (facts, evidence) = segment(&[first, honest(0).await], Ppm::ONE);
    let vote = check_segment(&facts, &evidence, &model()).await.unwrap();
    assert_eq!(vote, VerdictVote::Invalid { job: 0, fault: JobFault::Leaf });
}

/// Parts that are not there convict before the ledger as well, if the vote names them; of a job without any there is nothing to convict of.
#[tokio::test]
async fn inputs_of_another_kind_are_answered_wrong() {
    let of = |inputs: ClassifierInputs| {
        let tokens_max = u32::try_from(inputs.len()).unwrap();
        let payload = JobPayload::classify([1; 32], inputs);
        let request = JobRequest { input_commitment: payload.commitment(), tokens_max, ..asked(1).1 };
        (payload, request)
    };
    let texts = of(ClassifierInputs::Texts(vec!["one".into(); 3]));
    let job = rebound(texts, classified(&inputs()).await, FinishReason::EndOfText);
    assert_eq!(fault_of(job).await, Some(JobFault::Classification));
    for count in [0, 513] {
        let many = of(ClassifierInputs::Tensors(vec![vec![1]; count]));
        let logits = (vec![Logits::new(vec![0; 3]); count], vec![Digest::ZERO; count]);
        let job = rebound(many, logits, FinishReason::EndOfText);
        assert_eq!(fault_of(job).await, Some(JobFault::Prompt), "{count}: beyond what is asked");
    }
}
