//! SPEC A2: what a host may have of a gateway, and what of it counts.

use super::*;
use crate::hub::runs::{HiredRun, RunNews, RunSpec};
use inferium_types::{
    AgentId, CallRecord, JobAnswer, JobInput, ModelOutput, RunInput, RunTranscript, SamplingParams, step_request,
    step_result,
    wire::{ModelAnswer, RunSecret},
};

const PRICE: Amount = Amount::from_nano(1_000);

/// A stage whose lease is a run, the calls that its host asks for, and the run.
fn run_stage(budget: Amount) -> (Stage, mpsc::UnboundedReceiver<CallAsked>, RunSpec) {
    let folder = Folder(std::env::temp_dir().join(format!("inferium-hub-{:032x}", rand::random::<u128>())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let store = GatewayStore::open(&folder.0.join("gateway.redb"), &key()).unwrap();
    let payer = Digest::sha256(b"payer");
    store.ensure_key(payer, budget).unwrap();
    let (worker, vrf) = (SecretKey::from_bytes([2; 32]).unwrap(), VrfSecretKey::from_entropy([3; 32]).unwrap());
    let (hub, Outlets { claims, unsigned, calls, .. }) = Hub::new(key(), store).unwrap();
    let profile = inferium_types::ModelProfile::host().id();
    let lease = LeaseId::of_task(TaskId::new(Digest::sha256(b"run")));
    let (outbox, inbox) = mpsc::channel(64);
    let stage =
        Stage { hub, claims, unsigned: Some(unsigned), worker, vrf, lease, outbox, inbox, payer, profile, folder };
    let mut record = lease_record(lease, profile, stage.worker.public_key());
    record.terms =
        TaskTerms { kind: TaskKind::Agent, jobs_max: 3, tokens_max: 1, slots: 1, context_tokens: 0, ..record.terms };
    record.price = Price { prompt_token: Amount::ZERO, completion_token: PRICE };
    stage.hub.store.put_lease(&record).unwrap();
    stage.hub.add_leases(vec![(record, stage.vrf.public_key(), LeaseUse::default())]);
    let input = RunInput { manifest: "a manifest".into(), task: "Do it.".into(), files: Vec::new() };
    let payload = JobPayload { salt: [1; 32], input: JobInput::Run(input) };
    let spec = RunSpec {
        request: step_request(lease, 0, &Digest::ZERO, &payload.commitment()),
        payload: Arc::new(payload),
        payer,
        price: PRICE,
        time: Duration::from_secs(60),
        secrets: vec![RunSecret { name: "TOKEN".into(), value: "t".into() }],
        model: ProfileId::new(Digest::sha256(b"model")),
        tokens_max: 100,
        tool_calls: 1,
        is_hired: false,
        hires_max: Amount::ZERO,
    };
    (stage, calls, spec)
}

impl Stage {
    fn host_is_there(&self) {
        let proof = self.vrf.prove(&vrf_input(&Digest::sha256(b"beacon"), self.lease));
        self.hub.lease_ready(self.worker.public_key(), self.lease, &proof, 0, &self.outbox);
        assert!(self.hub.is_hosted(self.lease));
    }

    fn call(&self, step: JobId, call: u32) {
        let payload = JobPayload::chat([6; 32], Vec::new(), Vec::new());
        let how = (SamplingParams::GREEDY, 10);
        self.hub.call_model(self.worker.public_key(), (step, call), payload, how, &self.outbox);
    }

    /// The host says that it is done.
    async fn host_finished(&self, spec: &RunSpec, transcript: &RunTranscript) {
        self.hub.parts(self.worker.public_key(), spec.request.job, JobAnswer::Run(transcript.clone()));
        let output = JobOutput { salt: [5; 32], answer: JobAnswer::Run(transcript.clone()) };
        let result = step_result(&spec.request, output.commitment(), &transcript.public(), true);
        self.hub.finished(self.worker.public_key(), spec.request.job, result, output.salt).await;
    }
}

/// What the model is said to have answered to call `call`, in 12 tokens.
fn answered(lease: LeaseId, call: u32) -> ModelAnswer {
    let request = inferium_types::JobRequest {
        job: JobId::of_call(lease, 0, call),
        lease: LeaseId::of_task(TaskId::new(Digest::sha256(b"another"))),
        sequence: 1,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens: 10,
        tokens_max: 2,
        sampling: SamplingParams::GREEDY,
        client_seed: Some(1),
    };
    let output = ModelOutput { salt: [7; 32], tokens: vec![1, 2], text: "ab".into() };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.job_output().commitment(),
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: 10, completion_tokens: 2 },
        finish: FinishReason::EndOfText,
    };
    ModelAnswer { leaf: JobLeaf { request, result }, output }
}

fn transcript(answers: &[ModelAnswer]) -> RunTranscript {
    let record = |answer: &ModelAnswer| CallRecord::Model {
        leaf: answer.leaf.clone(),
        salt: [6; 32],
        output: answer.output.clone(),
    };
    RunTranscript { tools: Vec::new(), calls: answers.iter().map(record).collect(), answer: "ab".into() }
}

#[tokio::test]
async fn a_run_is_handed_over_answered_and_paid() {
    let (mut stage, mut calls, spec) = run_stage(PLENTY);
    assert!(!stage.hub.is_hosted(stage.lease));
    assert!(matches!(stage.hub.submit_run(&spec), Err(NoLease::NoWorker)), "no host yet");
    stage.host_is_there();
    let before = stage.left();
    let mut handle = stage.hub.submit_run(&spec).unwrap();
    assert_eq!((stage.reserved(), before - stage.left()), (PRICE.nano(), PRICE.nano()));
    assert!(
        matches!(stage.inbox.recv().await, Some(GatewayMessage::Secrets { secrets, .. }) if secrets == spec.secrets)
    );
    assert!(matches!(stage.inbox.recv().await, Some(GatewayMessage::Job { request, .. }) if request == spec.request));
    assert!(matches!(stage.hub.submit_run(&spec), Err(NoLease::NoWorker)), "it is begun once");

    let step = spec.request.job;
    stage.call(step, 0);
    let asked = calls.recv().await.unwrap();
    assert_eq!((asked.lease, asked.call, asked.tokens_max, asked.tokens_left), (stage.lease, 0, 10, 100));
    let given = answered(stage.lease, 0);
    stage.hub.answer_call(&asked, Ok((given.clone(), Amount::from_nano(7)))).await;
    assert!(matches!(stage.inbox.recv().await, Some(GatewayMessage::ModelCalled { call: 0, outcome: Ok(_), .. })));
    let told = handle.next().await;
    assert!(matches!(told, Some(JobEvent::Called(RunNews::Model { cost, .. })) if cost == Amount::from_nano(7)));
    stage.hub.called_tool(stage.worker.public_key(), step, "docs__read".into(), 3, false);
    assert!(matches!(handle.next().await, Some(JobEvent::Called(RunNews::Tool { took_ms: 3, .. }))));
    stage.call(step, 2);
    let asked = calls.recv().await.unwrap();
    assert_eq!(asked.tokens_left, 88, "what the first call took is gone");
    stage.hub.answer_call(&asked, Err("no worker".into())).await;
    assert!(matches!(stage.inbox.recv().await, Some(GatewayMessage::ModelCalled { outcome: Err(_), .. })));

    let done = transcript(&[given]);
    stage.host_finished(&spec, &done).await;
    assert!(matches!(handle.next().await, Some(JobEvent::Parts(JobAnswer::Run(run))) if run == done));
    assert!(matches!(handle.next().await, Some(JobEvent::Done { cost, .. }) if cost == PRICE));
    let output = JobOutput { salt: [5; 32], answer: JobAnswer::Run(done.clone()) };
    let result = step_result(&spec.request, output.commitment(), &done.public(), true);
    let leaf = JobLeaf { request: spec.request.clone(), result };
    let terms = stage.segment(0, &[leaf]);
    stage.sign(&terms, &[step]).unwrap();
    assert_eq!((stage.reserved(), before - stage.left()), (0, PRICE.nano()));
}

/// A host can't say that the model answered what it did not, nor leave out what it did.
#[tokio::test]
async fn a_hired_run_costs_the_key_its_model_calls_alone() {
    let (stage, mut calls, spec) = run_stage(Amount::from_nano(10));
    let spec = RunSpec { price: Amount::ZERO, is_hired: true, ..spec };
    stage.host_is_there();
    let before = stage.left();
    let mut handle = stage.hub.submit_run(&spec).unwrap();
    assert_eq!(stage.reserved(), 0, "its price is more than the key has");
    stage.call(spec.request.job, 0);
    let asked = calls.recv().await.unwrap();
    assert_eq!(asked.payer, stage.payer, "whose key the model calls are on");
    let given = answered(stage.lease, 0);
    stage.hub.answer_call(&asked, Ok((given.clone(), Amount::from_nano(7)))).await;
    assert!(matches!(handle.next().await, Some(JobEvent::Called(RunNews::Model { .. }))));
    stage.host_finished(&spec, &transcript(&[given])).await;
    assert!(matches!(handle.next().await, Some(JobEvent::Parts(_))));
    assert!(matches!(handle.next().await, Some(JobEvent::Done { cost, .. }) if cost == Amount::ZERO));
    assert_eq!((stage.reserved(), stage.left()), (0, before));
}

#[tokio::test]
async fn a_hired_run_is_known_until_it_is_kept() {
    let (stage, _, spec) = run_stage(PLENTY);
    let run = spec.request.lease;
    assert!(!stage.hub.is_hosting(run));
    let (agent, payload) = (AgentId::new(Digest::ZERO), JobPayload::clone(&spec.payload));
    let hired = HiredRun { run, by: run, agent, version: Digest::ZERO, payload, payer: spec.payer };
    stage.hub.host_hired(hired);
    assert!(stage.hub.is_hosting(run));
    stage.hub.end_hired(run);
    assert!(!stage.hub.is_hosting(run));
}

#[tokio::test]
async fn a_transcript_holds_the_calls_that_were_answered() {
    let other = {
        let mut other = answered(LeaseId::of_task(TaskId::new(Digest::sha256(b"run"))), 0);
        other.output.text.push('!');
        other.leaf.result.output_commitment = other.output.job_output().commitment();
        other
    };
    let true_one = answered(LeaseId::of_task(TaskId::new(Digest::sha256(b"run"))), 0);
    for claimed in [vec![], vec![other], vec![true_one.clone(), true_one.clone()]] {
        let (stage, mut calls, spec) = run_stage(PLENTY);
        stage.host_is_there();
        let handle = stage.hub.submit_run(&spec).unwrap();
        stage.call(spec.request.job, 0);
        let asked = calls.recv().await.unwrap();
        stage.hub.answer_call(&asked, Ok((true_one.clone(), Amount::ZERO))).await;
        stage.host_finished(&spec, &transcript(&claimed)).await;
        assert_eq!(after_news(handle).await, "the worker sent something else than was asked for");
        assert_eq!(stage.reserved(), 0, "it costs nothing");
    }
}

#[tokio::test]
async fn a_result_commits_to_the_transcript_that_was_sent() {
    let (stage, _calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    let handle = stage.hub.submit_run(&spec).unwrap();
    let done = transcript(&[]);
    stage.hub.parts(stage.worker.public_key(), spec.request.job, JobAnswer::Run(done.clone()));
    let output = JobOutput { salt: [5; 32], answer: JobAnswer::Run(done) };
    let no_answer = step_result(&spec.request, output.commitment(), &[], false);
    stage.hub.finished(stage.worker.public_key(), spec.request.job, no_answer, output.salt).await;
    assert_eq!(after_news(handle).await, "the worker's result is not what it sent");
}

#[tokio::test]
async fn a_host_has_one_call_at_a_time_and_only_of_its_own_run() {
    let (stage, mut calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    let handle = stage.hub.submit_run(&spec).unwrap();
    let payload = JobPayload::chat([6; 32], Vec::new(), Vec::new());
    let stranger = SecretKey::from_bytes([9; 32]).unwrap().public_key();
    let how = (SamplingParams::GREEDY, 10);
    stage.hub.call_model(stranger, (spec.request.job, 0), payload, how, &stage.outbox);
    stage.call(JobId::new(Digest::ZERO), 0);
    assert!(calls.try_recv().is_err());
    stage.call(spec.request.job, 0);
    stage.call(spec.request.job, 1);
    assert!(calls.try_recv().is_ok() && calls.try_recv().is_err());
    assert_eq!(after_news(handle).await, "the worker sent something else than was asked for");
}

#[tokio::test]
async fn a_key_pays_for_a_run_or_has_none() {
    let (stage, _calls, spec) = run_stage(Amount::from_nano(PRICE.nano() - 1));
    stage.host_is_there();
    assert!(matches!(stage.hub.reserve_run(stage.payer, spec.model, PRICE), Err(NoLease::Budget { .. })));
    assert!(matches!(stage.hub.submit_run(&spec), Err(NoLease::Budget { cost, .. }) if cost == PRICE));
    let (stage, _calls, spec) = run_stage(PRICE);
    stage.host_is_there();
    let mut reserved = stage.hub.reserve_run(stage.payer, spec.model, PRICE).unwrap();
    assert_eq!((stage.left(), stage.reserved()), (0, PRICE.nano()));
    assert!(matches!(stage.hub.reserve_run(stage.payer, spec.model, PRICE), Err(NoLease::Budget { .. })));
    reserved.release();
    let _handle = stage.hub.submit_run(&spec).unwrap();
    drop(reserved);
    assert_eq!((stage.left(), stage.reserved()), (0, PRICE.nano()), "reserved once");
}

#[tokio::test]
async fn a_key_has_so_many_runs_at_once() {
    let (stage, _calls, spec) = run_stage(PLENTY);
    let one = || stage.hub.reserve_run(stage.payer, spec.model, PRICE);
    let mut all: Vec<_> = (0..super::super::runs::RUNS_AT_ONCE).map(|_| one().unwrap()).collect();
    assert!(matches!(one(), Err(NoLease::Busy)));
    drop(all.pop());
    let again = one().unwrap();
    drop((all, again));
    assert_eq!(stage.reserved(), 0);
}

/// A lease of a run that nobody follows is given up; one at work is not.
#[tokio::test(start_paused = true)]
async fn runs_that_are_nobody_s_are_closed() {
    let (stage, _calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    tokio::time::advance(Duration::from_secs(29)).await;
    stage.hub.retire_stray_runs();
    assert_eq!(stage.hub.retired(), []);
    let handle = stage.hub.submit_run(&spec).unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    stage.hub.retire_stray_runs();
    assert_eq!(stage.hub.retired(), []);
    drop(handle);
    stage.hub.refused(stage.worker.public_key(), spec.request.job, "nobody waits");
    stage.hub.retire_stray_runs();
    assert_eq!(stage.hub.retired(), [stage.lease]);
}

/// What a host tells has bounds: it is kept, and shown to whoever waits.
#[tokio::test]
async fn a_host_tells_of_so_many_tools_and_fails_so_often() {
    for (names, is_over) in
        [(vec!["docs__read".to_owned()], false), (vec!["a".into(), "b".into()], true), (vec!["x".repeat(65)], true)]
    {
        let (stage, _calls, spec) = run_stage(PLENTY);
        stage.host_is_there();
        let _handle = stage.hub.submit_run(&spec).unwrap();
        for name in names {
            stage.hub.called_tool(stage.worker.public_key(), spec.request.job, name, 1, false);
        }
        assert_eq!(stage.hub.has_failed(spec.request.job), is_over);
    }
    let (stage, mut calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    let handle = stage.hub.submit_run(&spec).unwrap();
    for call in 0..2 {
        stage.call(spec.request.job, call);
        let asked = calls.recv().await.unwrap();
        stage.hub.answer_call(&asked, Err("no worker".into())).await;
    }
    stage.call(spec.request.job, 2);
    assert_eq!(after_news(handle).await, "the worker sent something else than was asked for");
}

/// An answer that is being made for a run ends with it.
#[tokio::test]
async fn calls_end_with_their_run() {
    let (stage, mut calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    let handle = stage.hub.submit_run(&spec).unwrap();
    stage.call(spec.request.job, 0);
    let asked = calls.recv().await.unwrap();
    assert!(tokio::time::timeout(SOON, asked.is_over()).await.is_err());
    stage.hub.refused(stage.worker.public_key(), spec.request.job, "no more");
    asked.is_over().await;
    drop(handle);
}

/// SPEC A2: no claim is made about a run, however long its host is silent.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_late_ends_without_a_claim() {
    let (mut stage, _calls, spec) = run_stage(PLENTY);
    stage.host_is_there();
    let handle = stage.hub.submit_run(&spec).unwrap();
    let hub = Arc::clone(&stage.hub);
    let watching = tokio::spawn(async move { hub.watch_deadlines().await });
    assert_eq!(after_news(handle).await, "the worker did not answer in time");
    assert!(stage.claims.try_recv().is_err());
    watching.abort();
}

/// Why a run came to nothing, whatever it told before.
async fn after_news(mut handle: JobHandle) -> String {
    loop {
        match handle.next().await {
            Some(JobEvent::Called(_) | JobEvent::Parts(_)) => {}
            Some(JobEvent::Failed { reason }) => return reason,
            other => panic!("{other:?}"),
        }
    }
}
