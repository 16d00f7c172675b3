//! A host against a gateway that plays by a script, and tools that do as they are told.

use super::*;
use inferium_agent::call_seed;
use inferium_engine::{MockEngine, MockOptions, Model};
use inferium_types::{JobInput, ModelOutput, RunFile, SamplingParams, VerificationMode, merkle_root, step_request};
use std::sync::Mutex;

const MANIFEST: &str =
    "name = \"reader\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Be brief.\"\nanswer_tokens = 16\n";
const TOOLS: &str = "[tools.docs]\nbuiltin = \"documents\"\n[[prepare]]\ntool = \"docs__read\"\n";
const LIMITS: &str = "[limits]\nsteps = 3\ntokens = 20000\ntool_calls = 2\nseconds = 60\n";

/// What the tools of a test do, and what became of them.
#[derive(Debug, Default)]
struct Script {
    /// What a call gives; none hangs.
    response: Option<&'static str>,
    refuse: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Files of the folder while it was there.
    files: Vec<(String, Vec<u8>)>,
    folder: PathBuf,
    secrets: Vec<(String, String)>,
    closed: bool,
}

#[derive(Debug)]
struct Scripted(Arc<Script>);

impl OpenTools for Scripted {
    fn open<'a>(
        &'a self,
        manifest: &'a Manifest,
        folder: &'a Path,
        secrets: Vec<(String, String)>,
    ) -> BoxFuture<'a, Result<Box<dyn Tools>, String>> {
        Box::pin(async move {
            if self.0.refuse {
                return Err("this host has no such server".to_owned());
            }
            let mut seen = self.0.seen.lock().unwrap();
            let files = std::fs::read_dir(folder).unwrap().map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
            });
            *seen = Seen { files: files.collect(), folder: folder.to_owned(), secrets, closed: false };
            Ok(Box::new(Opened(Arc::clone(&self.0), manifest.tools.is_empty())) as Box<dyn Tools>)
        })
    }
}

struct Opened(Arc<Script>, bool);

impl Tools for Opened {
    fn found(&self) -> Vec<RunTool> {
        let tool = |name: &str| RunTool { name: name.into(), description: "Reads.".into(), parameters: "{}".into() };
        if self.1 { Vec::new() } else { vec![tool("docs__read")] }
    }

    fn call<'a>(&'a mut self, _name: &'a str, _arguments: &'a str) -> BoxFuture<'a, ToolResponse> {
        Box::pin(async {
            match self.0.response {
                Some(text) => ToolResponse { text: text.into(), failed: false },
                None => std::future::pending().await,
            }
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.0.seen.lock().unwrap().closed = true;
        Box::pin(std::future::ready(()))
    }
}

/// A run that is about to be hosted.
struct Stage {
    context: RunContext,
    request: JobRequest,
    payload: JobPayload,
    said: mpsc::Receiver<WorkerMessage>,
    answers: mpsc::Sender<ModelReply>,
    script: Arc<Script>,
    cancel: watch::Sender<bool>,
    cancelled: watch::Receiver<bool>,
}

fn stage(manifest: &str, script: Script) -> Stage {
    let script = Arc::new(script);
    let lease = LeaseId::new(Digest::of("inferium/test", &[manifest.as_bytes(), &rand::random::<[u8; 8]>()]));
    let files = vec![RunFile { name: "a.md".into(), bytes: b"A".to_vec() }];
    let input = RunInput { manifest: manifest.into(), task: "Read it.".into(), files };
    let payload = JobPayload { salt: [1; 32], input: JobInput::Run(input) };
    let (outbox, said) = mpsc::channel(64);
    let (answers, replies) = mpsc::channel(4);
    let (cancel, cancelled) = watch::channel(false);
    let hosting = Hosting {
        slots: 1,
        price_min: Amount::from_nano(1),
        folder: std::env::temp_dir().join(format!("inferium-host-{}", std::process::id())),
        tools: Arc::new(Scripted(Arc::clone(&script))),
    };
    let context = RunContext {
        hosting,
        lease,
        manifest: Digest::sha256(manifest.as_bytes()),
        limits: AgentLimits { steps: 3, tokens: 20_000, tool_calls: 2, run_ms: 60_000 },
        input: payload.commitment(),
        salt: [2; 32],
        secrets: vec![RunSecret { name: "TOKEN".into(), value: "t".into() }],
        engine: Arc::new(engine()),
        outbox,
        replies,
    };
    let request = step_request(lease, 0, &Digest::ZERO, &payload.commitment());
    Stage { context, request, payload, said, answers, script, cancel, cancelled }
}

impl Stage {
    /// Hosts it; the model answers so many times, each answer changed by `forge`, then it is not there.
    async fn host_forged(
        self,
        mut times: usize,
        forge: impl Fn(&mut ModelAnswer),
    ) -> (Result<FinishedJob, JobRefusal>, Vec<WorkerMessage>, Arc<Script>) {
        let Self { context, request, payload, mut said, answers, script, cancel: _cancel, cancelled } = self;
        let lease = context.lease;
        let gateway = async {
            let mut messages = Vec::new();
            while let Some(message) = said.recv().await {
                if let WorkerMessage::CallModel { call, payload, sampling, tokens_max, .. } = &message {
                    let outcome = if times > 0 {
                        let mut given = answer(lease, *call, payload, (*sampling, *tokens_max)).await;
                        forge(&mut given);
                        Ok(given)
                    } else {
                        Err("no worker".to_owned())
                    };
                    times = times.saturating_sub(1);
                    answers.send((*call, outcome)).await.unwrap();
                }
                messages.push(message);
            }
            messages
        };
        let (outcome, messages) = tokio::join!(run(context, request, payload, cancelled), gateway);
        (outcome, messages, script)
    }

    async fn host(self, times: usize) -> (Result<FinishedJob, JobRefusal>, Vec<WorkerMessage>, Arc<Script>) {
        self.host_forged(times, |_| {}).await
    }
}

fn engine() -> MockEngine {
    MockEngine::new(MockOptions::default())
}

/// What an honest worker of the agent's model answers.
async fn answer(
    lease: LeaseId,
    call: u32,
    payload: &JobPayload,
    (sampling, tokens_max): (SamplingParams, u32),
) -> ModelAnswer {
    let model = Model::Chat(Arc::new(engine()));
    let job = JobId::of_call(lease, 0, call);
    let request = JobRequest {
        job,
        lease: LeaseId::new(Digest::ZERO),
        sequence: 1,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(model.read(&payload.input).unwrap().tokens()).unwrap(),
        tokens_max,
        sampling,
        client_seed: Some(call_seed(job)),
    };
    let vrf = Digest::sha256(b"another worker's");
    let done = crate::answer_honestly(model, VerificationMode::Exact, vrf, request, payload.clone()).await.unwrap();
    ModelAnswer { leaf: done.leaf, output: ModelOutput::of(&done.evidence.output).unwrap() }
}

fn failure(outcome: Result<FinishedJob, JobRefusal>) -> RunFailure {
    match outcome {
        Err(JobRefusal::Run(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_run_is_hosted_to_its_end_and_leaves_nothing() {
    let manifest = format!("{MANIFEST}secrets = [\"TOKEN\"]\n{TOOLS}{LIMITS}");
    let stage = stage(&manifest, Script { response: Some("found"), ..Script::default() });
    let (facts, payload, request) = (
        inferium_agent::RunFacts {
            lease: stage.context.lease,
            manifest: stage.context.manifest,
            limits: stage.context.limits,
            input: stage.context.input,
        },
        stage.payload.clone(),
        stage.request.clone(),
    );
    let (outcome, messages, script) = stage.host(3).await;
    let finished = outcome.unwrap();
    assert_eq!((finished.leaf.request.clone(), finished.leaf.result.usage.completion_tokens), (request, 1));
    // What whoever checks it finds.
    let output = &finished.evidence.output;
    inferium_agent::check(&facts, &finished.leaf, &payload, output).unwrap();
    let JobAnswer::Run(transcript) = &output.answer else { panic!("no run") };
    let CallRecord::Model { output: said, .. } = &transcript.calls[1] else { panic!("no model call") };
    assert_eq!((transcript.calls.len(), transcript.answer.as_str()), (2, said.text.trim()));
    let kinds: Vec<&str> = messages
        .iter()
        .map(|message| match message {
            WorkerMessage::CalledTool { .. } => "tool",
            WorkerMessage::CallModel { .. } => "model",
            WorkerMessage::Transcript { .. } => "transcript",
            WorkerMessage::Finished { .. } => "finished",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["tool", "model", "transcript", "finished"]);
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen.files, [("a.md".to_owned(), b"A".to_vec())]);
    assert_eq!(seen.secrets, [("TOKEN".to_owned(), "t".to_owned())]);
    assert!(seen.closed && !seen.folder.exists(), "{:?}", seen.folder);
}

#[tokio::test]
async fn what_is_not_the_run_s_is_not_begun() {
    let manifest = format!("{MANIFEST}{LIMITS}");
    let changed = async |change: &dyn Fn(&mut Stage)| {
        let mut stage = stage(&manifest, Script::default());
        change(&mut stage);
        failure(stage.host(3).await.0)
    };
    assert_eq!(changed(&|stage| stage.context.manifest = Digest::ZERO).await, RunFailure::Input);
    assert_eq!(changed(&|stage| stage.context.input = Digest::ZERO).await, RunFailure::Input);
    assert_eq!(changed(&|stage| stage.payload.salt = [9; 32]).await, RunFailure::Input);
    assert_eq!(changed(&|stage| stage.request.input_commitment = Digest::ZERO).await, RunFailure::Input);
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_nothing_is_left() {
    let with_tools = format!("{MANIFEST}{TOOLS}{LIMITS}");
    let needs = format!("{MANIFEST}secrets = [\"OTHER_KEY\"]\n{LIMITS}");
    let (outcome, ..) = stage(&needs, Script::default()).host(3).await;
    assert_eq!(failure(outcome), RunFailure::Secret("OTHER_KEY".into()));
    let (outcome, ..) = stage(&with_tools, Script { refuse: true, ..Script::default() }).host(3).await;
    assert_eq!(failure(outcome), RunFailure::Tools("this host has no such server".into()));
    let (outcome, _, script) =
        stage(&with_tools, Script { response: Some("found"), ..Script::default() }).host(0).await;
    assert_eq!(failure(outcome), RunFailure::Model("no worker".into()));
    let seen = script.seen.lock().unwrap();
    assert!(seen.closed && !seen.folder.exists());
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_takes_no_longer_than_the_run_may() {
    let manifest = format!("{MANIFEST}{TOOLS}{LIMITS}");
    let (outcome, _, script) = stage(&manifest, Script::default()).host(3).await;
    assert_eq!(failure(outcome), RunFailure::OutOfTime(60));
    assert!(!script.seen.lock().unwrap().folder.exists());
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_ends() {
    let manifest = format!("{MANIFEST}{TOOLS}{LIMITS}");
    let stage = stage(&manifest, Script::default());
    stage.cancel.send(true).unwrap();
    let (outcome, _, _) = stage.host(3).await;
    assert_eq!(failure(outcome), RunFailure::Cancelled);
}

/// Whoever answered in the model's place, the host does not put its name to it.
#[tokio::test]
async fn an_answer_that_is_not_the_model_s_is_not_gone_on_with() {
    let manifest = format!("{MANIFEST}{LIMITS}");
    let rebound =
        |given: &mut ModelAnswer| given.leaf.result.output_commitment = given.output.job_output().commitment();
    let forged = async |forge: &dyn Fn(&mut ModelAnswer)| {
        let stage = stage(&manifest, Script::default());
        let (outcome, messages, _) = stage.host_forged(1, forge).await;
        assert!(!messages.iter().any(|message| matches!(message, WorkerMessage::Finished { .. })));
        failure(outcome)
    };
    let other_text = |given: &mut ModelAnswer| {
        given.output.text.push('!');
        rebound(given);
    };
    let other_token = |given: &mut ModelAnswer| {
        let ModelOutput { tokens, text, .. } = &mut given.output;
        tokens[0] = if tokens[0] == 65 { 66 } else { 65 };
        let engine = engine();
        let mut answer = inferium_engine::Answer::new(&[], given.leaf.request.tokens_max);
        tokens.iter().for_each(|token| drop(answer.push(&engine, *token)));
        *text = answer.text().to_owned();
        rebound(given);
    };
    let other_logits = |given: &mut ModelAnswer| given.leaf.result.evidence_root = merkle_root(&[]);
    assert_eq!(forged(&other_text).await, RunFailure::Forged(JobFault::Text));
    assert_eq!(forged(&other_token).await, RunFailure::Forged(JobFault::Token));
    assert_eq!(forged(&other_logits).await, RunFailure::Forged(JobFault::Logits));
}
