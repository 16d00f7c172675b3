//! SPEC L1: an answer is the one that its jobs gave, or it is refused; and an item without openings says so.

use super::*;
use crate::testing::{final_run, opening};
use crate::{Results, builtin};
use inferium_types::{
    Digest, FinishReason, JobId, JobOutput, JobPayload, JobRequest, JobResult, LeaseId, SamplingParams, Usage, encode,
};

fn suite(name: &str) -> Suite {
    builtin(name).unwrap().unwrap()
}

fn encoded(opening: &JobOpening) -> String {
    STANDARD.encode(encode(opening))
}

/// The leaf that commits to this.
fn leaf(opening: &JobOpening, tokens_max: u32) -> JobLeaf {
    let request = JobRequest {
        job: JobId::new(Digest::sha256(b"job")),
        lease: LeaseId::new(Digest::sha256(b"lease")),
        sequence: 0,
        attempt: 0,
        input_commitment: opening.payload.commitment(),
        prompt_tokens: 3,
        tokens_max,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: opening.output.commitment(),
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: 3, completion_tokens: 2 },
        finish: FinishReason::EndOfText,
    };
    JobLeaf { request, result }
}

fn record(answer: Answer, openings: Vec<String>) -> ItemRecord {
    let jobs = openings.iter().map(|_| String::new()).collect();
    ItemRecord {
        id: String::new(),
        answer,
        scores_ppm: None,
        jobs,
        openings,
        prompt_tokens: 0,
        completion_tokens: 0,
        cost_nano: 0,
        milliseconds: 0,
    }
}

#[test]
fn a_conversation_is_bound_to_question_and_answer() {
    let (suite, text) = (suite("arithmetic"), "It is 7.");
    let item = &suite.items()[3];
    let said = |text: &str| Answer::Text { text: text.to_owned() };
    let given = opening(&suite, item, text);
    let Template::Chat { tokens_max, .. } = suite.template() else { panic!("no chat") };
    let tokens_max = *tokens_max;
    let check = |opening: &JobOpening, answer: &str, job: &JobLeaf| {
        bound(&suite, item, &record(said(answer), vec![encoded(opening)]), std::slice::from_ref(job))
    };
    let sound = leaf(&given, tokens_max);
    assert_eq!(check(&given, text, &sound), Ok(Bound::Whole));
    assert_eq!(check(&given, "It is 8.", &sound), Err(OpeningFault::Answer));
    // Another item's question, a longer or shorter answer that was asked for, and a drawn one.
    let other = opening(&suite, &suite.items()[4], text);
    assert_eq!(check(&other, text, &leaf(&other, tokens_max)), Err(OpeningFault::Question));
    for wrong in [tokens_max - 1, tokens_max + 1] {
        assert_eq!(check(&given, text, &leaf(&given, wrong)), Err(OpeningFault::Question), "{wrong}");
    }
    let mut drawn = sound.clone();
    drawn.request.sampling.temperature_micro = 1;
    assert_eq!(check(&given, text, &drawn), Err(OpeningFault::Question));
    let mut shaped = given.clone();
    let JobInput::Chat { shaping, .. } = &mut shaped.payload.input else { panic!("no chat") };
    shaping.grammar = Some("start: \"It is 7.\"".into());
    assert_eq!(check(&shaped, text, &leaf(&shaped, tokens_max)), Err(OpeningFault::Question));
    // What does not open this job at all.
    assert_eq!(check(&given, text, &leaf(&other, tokens_max)), Err(OpeningFault::Job));
    let mut salted = given;
    salted.output.salt[0] ^= 1;
    assert_eq!(check(&salted, text, &sound), Err(OpeningFault::Job));
}

#[test]
fn as_many_openings_as_jobs_or_none() {
    let suite = suite("arithmetic");
    let item = &suite.items()[0];
    let given = opening(&suite, item, "7");
    let (answer, job) = (Answer::Text { text: "7".into() }, leaf(&given, 24));
    assert_eq!(
        bound(&suite, item, &record(answer.clone(), Vec::new()), std::slice::from_ref(&job)),
        Ok(Bound::Nothing)
    );
    let twice = record(answer.clone(), vec![encoded(&given); 2]);
    assert_eq!(bound(&suite, item, &twice, std::slice::from_ref(&job)), Err(OpeningFault::Count));
    assert_eq!(bound(&suite, item, &twice, &[job.clone(), job.clone()]), Err(OpeningFault::Count), "one conversation");
    for odd in ["", "%", "AAAA", &encoded(&given)[4..]] {
        let record = record(answer.clone(), vec![odd.to_owned()]);
        assert_eq!(bound(&suite, item, &record, std::slice::from_ref(&job)), Err(OpeningFault::Encoding), "{odd}");
    }
}

#[test]
fn vectors_are_bound_over_one_job_or_two() {
    let suite = suite("towns");
    let item = &suite.items()[5];
    let Target::Passage(passage) = &item.target else { panic!("no passage") };
    let vectors = [inferium_types::Embedding::new(&[0.5, -1.0]), inferium_types::Embedding::new(&[2.0, 0.25])];
    let texts = [suite.prompt(item), passage.clone()];
    let of = |texts: &[String], vectors: &[inferium_types::Embedding]| JobOpening {
        payload: JobPayload::embed([1; 32], texts.to_vec()),
        output: JobOutput { salt: [2; 32], answer: JobAnswer::Embeddings(vectors.to_vec()) },
    };
    let written = |vector: &inferium_types::Embedding| {
        STANDARD.encode(vector.values().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    };
    let answer = Answer::Vectors { input: written(&vectors[0]), passage: written(&vectors[1]) };
    let check = |openings: &[JobOpening], answer: &Answer| {
        let leaves: Vec<JobLeaf> = openings.iter().map(|opening| leaf(opening, 2)).collect();
        bound(&suite, item, &record(answer.clone(), openings.iter().map(encoded).collect()), &leaves)
    };
    assert_eq!(check(&[of(&texts, &vectors)], &answer), Ok(Bound::Whole));
    assert_eq!(check(&[of(&texts[..1], &vectors[..1]), of(&texts[1..], &vectors[1..])], &answer), Ok(Bound::Whole));
    let swapped = Answer::Vectors { input: written(&vectors[1]), passage: written(&vectors[0]) };
    assert_eq!(check(&[of(&texts, &vectors)], &swapped), Err(OpeningFault::Answer));
    let turned = [texts[1].clone(), texts[0].clone()];
    assert_eq!(check(&[of(&turned, &vectors)], &answer), Err(OpeningFault::Question));
    assert_eq!(check(&[of(&texts[..1], &vectors[..1])], &answer), Err(OpeningFault::Question));
}

#[test]
fn likelihoods_are_bound_to_scores_behind_a_beginning_that_all_share() {
    let suite = suite("everyday");
    let item = &suite.items()[0];
    let score = |logprob: f32| TokenScore::new(logprob, &[]);
    // The prompt is [1, 2]; two of four ends have two tokens. Behind each stands one more, which is not of it.
    let ends: [&[u32]; 4] = [&[3], &[4, 5], &[6, 7], &[8]];
    let continuations: Vec<Continuation> =
        ends.iter().map(|end| Continuation { prompt: vec![1], tokens: [&[2], *end, &[0]].concat() }).collect();
    let scores: Vec<Vec<TokenScore>> = ends
        .iter()
        .enumerate()
        .map(|(place, end)| {
            let own = end.iter().map(|_| score(-0.1 - f32::from(u8::try_from(place).unwrap())));
            std::iter::once(score(-4.0)).chain(own).chain([score(-9.0)]).collect()
        })
        .collect();
    let given = JobOpening {
        payload: JobPayload::score([1; 32], continuations.clone(), 1),
        output: JobOutput { salt: [2; 32], answer: JobAnswer::Scores(scores) },
    };
    let check = |opening: &JobOpening, logprobs_nano: &[i64]| {
        let record = record(Answer::Likelihoods { logprobs_nano: logprobs_nano.to_vec() }, vec![encoded(opening)]);
        bound(&suite, item, &record, &[leaf(opening, 4)])
    };
    let one = |place: u8| nano([f64::from(-0.1 - f32::from(place))]).unwrap();
    let honest = [one(0), 2 * one(1), 2 * one(2), one(3)];
    assert_eq!(honest[0], -100_000_001, "as a single-precision number has it");
    assert_eq!(check(&given, &honest), Ok(Bound::Answer));
    assert_eq!(check(&given, &honest.map(|sum| sum + 1)), Err(OpeningFault::Answer));
    // With the prompt's own tokens in it: as if it were one token shorter, which is no fault that can be seen here.
    assert_eq!(check(&given, &honest.map(|sum| sum - 4_000_000_000)), Ok(Bound::Answer));
    // One choice counted from another place than the others.
    let mut uneven = honest;
    uneven[0] -= 4_000_000_000;
    assert_eq!(check(&given, &uneven), Err(OpeningFault::Answer));
    assert_eq!(check(&given, &honest[..3]), Err(OpeningFault::Answer));
    let mut longer = continuations;
    longer[0].prompt.push(9);
    let longer = JobOpening { payload: JobPayload::score([1; 32], longer, 1), output: given.output };
    assert_eq!(check(&longer, &honest), Err(OpeningFault::Question));
    let chat = opening(&self::suite("arithmetic"), &self::suite("arithmetic").items()[0], "7");
    assert_eq!(check(&chat, &honest), Err(OpeningFault::Question));
}

/// The runs that tests of boards are made of are whole.
#[test]
fn runs_for_tests_are_bound() {
    let run: Results = final_run("good", 2, 3);
    assert!(run.items.iter().all(|item| item.openings.len() == item.jobs.len()));
}
