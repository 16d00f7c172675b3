//! SPEC A2: a run is what follows from its rules, and its model said what it cites.

use super::*;
use crate::check::RunDuty;
use inferium_agent::{Manifest, Next, Run, RunEnd, RunFacts, call_seed};
use inferium_types::{AgentLimits, CallRecord, ModelOutput, RunInput, RunTranscript, step_request, step_result};

const MANIFEST: &str = "name = \"a\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Be brief.\"\n\
    answer_tokens = 12\ntemperature = 0.7\n[limits]\nsteps = 2\ntokens = 5000\ntool_calls = 0\nseconds = 60\n";

/// What a worker of another lease answers, by a model of this flavour.
async fn answered(
    payload: JobPayload,
    (job, tokens_max): (JobId, u32),
    sampling: SamplingParams,
    flavour: u64,
) -> CallRecord {
    let engine = engine_of(flavour);
    let prompt = engine.render_chat(payload.as_chat().unwrap().0).unwrap();
    let request = JobRequest {
        job,
        lease: LeaseId::new(Digest::sha256(b"another lease")),
        sequence: 4,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max,
        sampling,
        client_seed: Some(call_seed(job)),
    };
    // Of no use to a request with a seed of its own.
    let seed = replay_seed(&request, &prompt, &Digest::sha256(b"another worker's"));
    let asked = GenerateRequest {
        prompt,
        max_tokens: tokens_max,
        sampling,
        seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let (mut steps, mut answer, mut digests) =
        (engine.generate(asked).unwrap(), Answer::new(&[], tokens_max), Vec::new());
    while answer.finish().is_none() {
        let step = steps.recv().await.unwrap().unwrap();
        digests.push(step.digest);
        answer.push(&engine, step.token);
    }
    let (tokens, text) = (answer.tokens().to_vec(), answer.text().to_owned());
    let output = ModelOutput { salt: [3; 32], tokens, text };
    let usage =
        Usage { prompt_tokens: request.prompt_tokens, completion_tokens: u32::try_from(digests.len()).unwrap() };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.job_output().commitment(),
        evidence_root: merkle_root(&digests),
        usage,
        finish: answer.finish().unwrap(),
    };
    CallRecord::Model { leaf: JobLeaf { request, result }, salt: payload.salt, output }
}

/// A run whose model is of this flavour, as a segment whose result is made for its transcript after `change`.
async fn judged(flavour: u64, change: impl FnOnce(&mut RunTranscript)) -> VerdictVote {
    let input = RunInput { manifest: MANIFEST.into(), task: "Why?".into(), files: Vec::new() };
    let payload = JobPayload { salt: [1; 32], input: JobInput::Run(input.clone()) };
    let limits = AgentLimits { steps: 2, tokens: 5_000, tool_calls: 0, run_ms: 60_000 };
    let manifest = Manifest::read(MANIFEST).unwrap();
    let mut run = Run::new(lease(), &manifest, (&input, payload.salt), limits, &[]).unwrap();
    let Next::Model { job, input, sampling, tokens_max } = run.next() else { panic!("no model call") };
    let call = answered(JobPayload { salt: [2; 32], input }, (job, tokens_max), sampling, flavour).await;
    run.take(&call).unwrap();
    let Next::End(RunEnd::Answered(answer)) = run.next() else { panic!("no end") };
    let mut transcript = RunTranscript { tools: Vec::new(), calls: vec![call], answer };
    change(&mut transcript);
    let request = step_request(lease(), 0, &Digest::ZERO, &payload.commitment());
    let output = JobOutput { salt: [4; 32], answer: JobAnswer::Run(transcript.clone()) };
    let result = step_result(&request, output.commitment(), &transcript.public(), true);
    let facts =
        RunFacts { lease: lease(), manifest: Digest::sha256(MANIFEST.as_bytes()), limits, input: payload.commitment() };
    let job = Job {
        leaf: JobLeaf { request, result },
        evidence: JobEvidence { payload, output, measured: None },
        digests: Vec::new(),
    };
    let (mut about, evidence) = segment(&[job], Ppm::ONE);
    about.kind = TaskKind::Agent;
    about.run = Some(RunDuty { run: facts, model: ProfileId::new(Digest::sha256(b"model")) });
    assert_eq!(about.model(), ProfileId::new(Digest::sha256(b"model")));
    vote(&about, &evidence).await
}

#[tokio::test]
async fn an_honest_run_is_valid_with_the_effort_of_its_replays() {
    let vote = judged(0, |_| {}).await;
    assert!(matches!(vote, VerdictVote::Valid { .. }), "{vote:?}");
}

#[tokio::test]
async fn another_model_s_answer_is_found() {
    let vote = judged(1, |_| {}).await;
    assert_eq!(vote, VerdictVote::Invalid { job: 0, fault: JobFault::ModelCall });
}

#[tokio::test]
async fn what_does_not_follow_is_found() {
    let invalid = VerdictVote::Invalid { job: 0, fault: JobFault::Run };
    assert_eq!(judged(0, |run| run.answer.push('!')).await, invalid);
    assert_eq!(judged(0, |run| run.calls.clear()).await, invalid);
    let twice = |run: &mut RunTranscript| run.calls.push(run.calls[0].clone());
    assert_eq!(judged(0, twice).await, invalid);
    // Bound, and not what the model's tokens say.
    let edited = |run: &mut RunTranscript| {
        let CallRecord::Model { leaf, output, .. } = &mut run.calls[0] else { panic!("no model call") };
        output.text.push('!');
        leaf.result.output_commitment = output.job_output().commitment();
        run.answer = output.text.trim().to_owned();
    };
    assert_eq!(judged(0, edited).await, VerdictVote::Invalid { job: 0, fault: JobFault::ModelCall });
}
