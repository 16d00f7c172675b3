//! A transcript is the run's, to the byte, or it is refused.

use super::*;
use crate::run::call_seed;
use inferium_types::{
    FinishReason, JobId, JobRequest, JobResult, ModelOutput, RunCall, RunFile, RunTool, RunTranscript, SamplingParams,
    Shaping, Usage, merkle_root,
};

const MANIFEST: &str = "name = \"reader\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Be brief.\"\n\
    [tools.docs]\nbuiltin = \"documents\"\n[[prepare]]\ntool = \"docs__list\"\n\
    [limits]\nsteps = 2\ntokens = 1000\ntool_calls = 2\nseconds = 60\n";

/// A sound run, and what the chain knows of it.
struct Sound {
    facts: RunFacts,
    leaf: JobLeaf,
    payload: JobPayload,
    transcript: RunTranscript,
}

fn sound() -> Sound {
    let lease = LeaseId::new(Digest::sha256(b"a run"));
    let files = vec![RunFile { name: "a.md".into(), bytes: b"A".to_vec() }];
    let input = RunInput { manifest: MANIFEST.into(), task: "List them.".into(), files };
    let payload = JobPayload { salt: [1; 32], input: JobInput::Run(input.clone()) };
    let facts = RunFacts {
        lease,
        manifest: Digest::sha256(MANIFEST.as_bytes()),
        limits: Limits { steps: 2, tokens: 1_000, tool_calls: 2, run_ms: 60_000 },
        input: payload.commitment(),
    };
    let tools = vec![RunTool { name: "docs__list".into(), description: "Lists.".into(), parameters: "{}".into() }];
    let manifest = Manifest::read(MANIFEST).unwrap();
    let mut run = Run::new(lease, &manifest, (&input, [1; 32]), facts.limits, &tools).unwrap();
    let tool = CallRecord::Tool {
        name: "docs__list".into(),
        arguments: "{}".into(),
        response: "a.md".into(),
        failed: false,
        salt: [2; 32],
    };
    run.take(&tool).unwrap();
    let Next::Model { job, input, sampling, tokens_max } = run.next() else { panic!("no model call") };
    let asked = JobPayload { salt: [3; 32], input };
    let request = JobRequest {
        job,
        lease: LeaseId::new(Digest::sha256(b"another")),
        sequence: 9,
        attempt: 0,
        input_commitment: asked.commitment(),
        prompt_tokens: 50,
        tokens_max,
        sampling,
        client_seed: Some(call_seed(job)),
    };
    let output = ModelOutput { salt: [4; 32], tokens: vec![1, 2], text: "a.md".into() };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.job_output().commitment(),
        evidence_root: Digest::sha256(b"logits"),
        usage: Usage { prompt_tokens: 50, completion_tokens: 2 },
        finish: FinishReason::EndOfText,
    };
    let model = CallRecord::Model { leaf: JobLeaf { request, result }, salt: [3; 32], output };
    let transcript = RunTranscript { tools, calls: vec![tool, model], answer: "a.md".into() };
    let request = step_request(lease, 0, &Digest::ZERO, &facts.input);
    let leaf = JobLeaf { result: step_result(&request, Digest::ZERO, &[], true), request };
    Sound { facts, leaf, payload, transcript }
}

impl Sound {
    /// Checks it, its result made for what it says.
    fn outcome(&self) -> Result<Checked, RunFault> {
        let output = JobOutput { salt: [5; 32], answer: JobAnswer::Run(self.transcript.clone()) };
        let result = step_result(&self.leaf.request, output.commitment(), &self.transcript.public(), true);
        let leaf = JobLeaf { request: self.leaf.request.clone(), result };
        check(&self.facts, &leaf, &self.payload, &output)
    }
}

#[test]
fn a_sound_run_names_its_model_calls() {
    let sound = sound();
    let checked = sound.outcome().unwrap();
    assert_eq!((checked.models.len(), checked.tokens), (1, 52));
    let call = &checked.models[0];
    assert_eq!((call.index, call.leaf.request.job), (1, JobId::of_call(sound.facts.lease, 0, 1)));
    let payload = checked.payload(call);
    assert_eq!(payload.commitment(), call.leaf.request.input_commitment);
    let JobInput::Chat { messages, .. } = &payload.input else { panic!("no conversation") };
    assert!(messages[1].content.contains("a.md") && messages[1].content.ends_with("List them."));
}

#[test]
fn what_the_run_was_opened_with_is_what_it_is_given() {
    let other_task = |sound: &mut Sound| {
        let JobInput::Run(input) = &mut sound.payload.input else { panic!("no run") };
        input.task.push('!');
    };
    let other_manifest = |sound: &mut Sound| sound.facts.manifest = Digest::ZERO;
    let no_run = |sound: &mut Sound| {
        sound.payload.input = JobInput::Chat { messages: vec![], shaping: Shaping::default() };
    };
    for change in [&other_task as &dyn Fn(&mut Sound), &other_manifest, &no_run] {
        let mut sound = sound();
        change(&mut sound);
        assert_eq!(sound.outcome(), Err(RunFault::Input));
    }
    let mut sound = sound();
    sound.leaf.request.sequence = 1;
    assert_eq!(sound.outcome(), Err(RunFault::Request));
}

#[test]
fn calls_are_those_that_follow_in_their_order() {
    let with = |change: &dyn Fn(&mut RunTranscript)| {
        let mut sound = sound();
        change(&mut sound.transcript);
        sound.outcome().map(|_| ())
    };
    assert_eq!(with(&|_| {}), Ok(()));
    // A tool may answer anything: but then the model was asked something else.
    let other_response = |run: &mut RunTranscript| {
        let CallRecord::Tool { response, .. } = &mut run.calls[0] else { panic!("no tool") };
        response.push_str("b.md");
    };
    assert_eq!(with(&other_response), Err(RunFault::Call(1)));
    assert_eq!(with(&|run| run.calls.swap(0, 1)), Err(RunFault::Call(0)));
    assert_eq!(with(&|run| drop(run.calls.remove(0))), Err(RunFault::Call(0)));
    assert_eq!(with(&|run| run.calls.push(run.calls[0].clone())), Err(RunFault::Call(2)));
    assert_eq!(with(&|run| drop(run.calls.pop())), Err(RunFault::Answer));
    assert_eq!(with(&|run| run.answer.push('!')), Err(RunFault::Answer));
    assert_eq!(with(&|run| run.tools[0].name = "other__list".into()), Err(RunFault::Tools));
    // Another tool, of which the model was not told: its conversation would be another.
    assert_eq!(with(&|run| run.tools[0].description.push('!')), Err(RunFault::Call(1)));
    assert_eq!(with(&|run| run.calls[0] = spend()), Err(RunFault::Call(0)));
    let other_sampling = |run: &mut RunTranscript| {
        let CallRecord::Model { leaf, .. } = &mut run.calls[1] else { panic!("no model") };
        leaf.request.sampling = SamplingParams { temperature_micro: 1, ..SamplingParams::GREEDY };
        leaf.result.request = leaf.request.digest();
    };
    assert_eq!(with(&other_sampling), Err(RunFault::Call(1)));
}

fn spend() -> CallRecord {
    let to = inferium_types::AgentId::new(Digest::ZERO).account();
    CallRecord::Spend { order: inferium_types::SpendOrder::Pay { to, amount: inferium_types::Amount::from_nano(1) } }
}

#[test]
fn the_result_commits_to_what_was_called() {
    let sound = sound();
    let output = JobOutput { salt: [5; 32], answer: JobAnswer::Run(sound.transcript.clone()) };
    let calls = sound.transcript.public();
    let leaf = |commitment, calls: &[RunCall], is_answer| {
        let request = sound.leaf.request.clone();
        JobLeaf { result: step_result(&request, commitment, calls, is_answer), request }
    };
    let outcome = |leaf: &JobLeaf| check(&sound.facts, leaf, &sound.payload, &output).map(|_| ());
    assert_eq!(outcome(&leaf(output.commitment(), &calls, true)), Ok(()));
    assert_eq!(outcome(&leaf(Digest::ZERO, &calls, true)), Err(RunFault::Result));
    assert_eq!(outcome(&leaf(output.commitment(), &calls[..1], true)), Err(RunFault::Result));
    assert_eq!(outcome(&leaf(output.commitment(), &calls, false)), Err(RunFault::Result));
    let roots: Vec<Digest> = calls.iter().map(RunCall::hash).collect();
    assert_eq!(leaf(output.commitment(), &calls, true).result.evidence_root, merkle_root(&roots));
}

#[test]
fn a_transcript_has_a_size() {
    let mut sound = sound();
    sound.transcript.tools[0].description = "x".repeat(limits::TRANSCRIPT_SIZE_MAX);
    assert_eq!(sound.outcome(), Err(RunFault::Size));
}
