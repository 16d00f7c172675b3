//! Runs of agents: the worker as their host (SPEC A2).
//!
//! What comes next in a run is `inferium-agent`'s business. Here its calls are made: the model's through the gateway, which
//! has another lease's worker answer, and those of tools in a folder that is the run's alone and gone with it.
//!
//! A host answers for all that a run says, its model's answers included: it replays each with its own engine while the run
//! goes on, and signs none that is not equal.

use crate::job::{FinishedJob, JobRefusal};
use futures::future::BoxFuture;
use inferium_agent::{Manifest, Next, Run, RunEnd};
use inferium_engine::{Engine, EngineError, replay_seeded};
use inferium_types::{
    AgentLimits, Amount, CallRecord, Digest, JobAnswer, JobEvidence, JobFault, JobId, JobLeaf, JobOutput, JobPayload,
    JobRequest, LeaseId, RunInput, RunTool, RunTranscript, limits, step_input, step_result,
    wire::{ModelAnswer, RunSecret, WorkerMessage},
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a worker hosts runs.
#[derive(Debug, Clone)]
pub struct Hosting {
    /// Runs at once.
    pub slots: u32,
    /// The least price of a run that it takes.
    pub price_min: Amount,
    /// Where runs have their folders.
    pub folder: PathBuf,
    /// What starts servers of tools.
    pub tools: Arc<dyn OpenTools>,
}

/// Starts the servers of tools that a manifest names.
pub trait OpenTools: fmt::Debug + Send + Sync {
    /// Starts them with `folder` as all that they see, and `secrets` by name and value.
    ///
    /// # Errors
    /// In words, for whoever asked for the run.
    fn open<'a>(
        &'a self,
        manifest: &'a Manifest,
        folder: &'a Path,
        secrets: Vec<(String, String)>,
    ) -> BoxFuture<'a, Result<Box<dyn Tools>, String>>;
}

/// The tools of one run. Dropping them ends their servers.
pub trait Tools: Send {
    /// What there is, by ascending name.
    fn found(&self) -> Vec<RunTool>;
    /// Calls one; always comes back.
    fn call<'a>(&'a mut self, name: &'a str, arguments: &'a str) -> BoxFuture<'a, ToolResponse>;
    /// Ends the servers.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResponse {
    /// In words when it failed.
    pub text: String,
    /// True when it failed.
    pub failed: bool,
}

/// Why a run came to nothing. Whoever asked for it is told, and pays nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunFailure {
    /// It hosts nothing.
    #[error("this worker hosts no agents")]
    NotAHost,
    /// The input is not the one that the run was opened with, or not a run's.
    #[error("what the run is given is not what it was opened with")]
    Input,
    /// The manifest.
    #[error("the manifest: {0}")]
    Manifest(String),
    /// A secret is missing.
    #[error("the agent's tools need the secret `{0}`")]
    Secret(String),
    /// The tools.
    #[error("the tools: {0}")]
    Tools(String),
    /// The folder.
    #[error("the run's folder: {0}")]
    Folder(String),
    /// The model gave no answer.
    #[error("the model: {0}")]
    Model(String),
    /// The model's answer does not fit the call.
    #[error("the model's answer: {0}")]
    Answer(String),
    /// It hosts agents of its own model alone.
    #[error("this worker does not have the agent's model, and so could not answer for the run")]
    OtherModel,
    /// Whoever answered is not the model.
    #[error("another worker's answer is not what the model says ({0:?}): the run can't go on with it")]
    Forged(JobFault),
    /// What it prepares is too long.
    #[error("what the agent prepares is too long with this task in it")]
    TooLong,
    /// Out of tokens.
    #[error("the run has used all its tokens ({0})")]
    OutOfTokens(u64),
    /// Out of time.
    #[error("the run took longer than {0} s")]
    OutOfTime(u64),
    /// Too much was said in it.
    #[error("the run's transcript is larger than {} bytes", limits::TRANSCRIPT_SIZE_MAX)]
    Size,
    /// Nobody waits for it.
    #[error("nobody waits for the run any more")]
    Cancelled,
}

/// What the gateway answered to a model call.
pub(crate) type ModelReply = (u32, Result<ModelAnswer, String>);

/// What a run needs besides its request.
pub(crate) struct RunContext {
    pub(crate) hosting: Hosting,
    pub(crate) lease: LeaseId,
    /// As the chain pinned them.
    pub(crate) manifest: Digest,
    pub(crate) limits: AgentLimits,
    pub(crate) input: Digest,
    /// Secret, and the same for the same request (see [`crate::job`]).
    pub(crate) salt: [u8; 32],
    pub(crate) secrets: Vec<RunSecret>,
    /// Replays what its model is said to have answered.
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) outbox: mpsc::Sender<WorkerMessage>,
    pub(crate) replies: mpsc::Receiver<ModelReply>,
}

/// Hosts a run to its end, or until `cancel` turns true.
pub(crate) async fn run(
    mut context: RunContext,
    request: JobRequest,
    payload: JobPayload,
    mut cancel: watch::Receiver<bool>,
) -> Result<FinishedJob, JobRefusal> {
    let time = Duration::from_millis(context.limits.run_ms);
    let until = Instant::now() + time;
    let transcript = tokio::select! {
        outcome = host(&mut context, &request, &payload) => outcome?,
        () = tokio::time::sleep_until(until) => return Err(RunFailure::OutOfTime(time.as_secs()).into()),
        _ = cancel.wait_for(|cancelled| *cancelled) => return Err(RunFailure::Cancelled.into()),
    };
    if borsh::object_length(&transcript).map_or(true, |size| size > limits::TRANSCRIPT_SIZE_MAX) {
        return Err(RunFailure::Size.into());
    }
    let calls = transcript.public();
    let output = JobOutput { salt: context.salt, answer: JobAnswer::Run(transcript.clone()) };
    let result = step_result(&request, output.commitment(), &calls, true);
    let step = request.job;
    let gone = |_| JobRefusal::GatewayGone;
    context.outbox.send(WorkerMessage::Transcript { step, transcript }).await.map_err(gone)?;
    let finished = WorkerMessage::Finished { job: step, result: result.clone(), output_salt: output.salt };
    context.outbox.send(finished).await.map_err(gone)?;
    let evidence = JobEvidence { payload, output, measured: None };
    Ok(FinishedJob { leaf: JobLeaf { request, result }, evidence })
}

/// Makes the run's calls until it is over.
async fn host(
    context: &mut RunContext,
    request: &JobRequest,
    payload: &JobPayload,
) -> Result<RunTranscript, RunFailure> {
    let inferium_types::JobInput::Run(input) = &payload.input else { return Err(RunFailure::Input) };
    let commitment = payload.commitment();
    let is_given = commitment == context.input
        && input.is_well_formed()
        && request.input_commitment == step_input(context.lease, 0, &Digest::ZERO, &commitment)
        && Digest::sha256(input.manifest.as_bytes()) == context.manifest;
    if !is_given {
        return Err(RunFailure::Input);
    }
    let manifest = Manifest::read(&input.manifest).map_err(RunFailure::Manifest)?;
    let secrets = manifest.secrets.iter().map(|name| {
        let given = context.secrets.iter().find(|secret| secret.name == *name);
        given.map(|secret| (name.clone(), secret.value.clone())).ok_or_else(|| RunFailure::Secret(name.clone()))
    });
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    let folder = Folder::make(&context.hosting.folder, context.lease, input).await?;
    let opened = context.hosting.tools.open(&manifest, &folder.path, secrets).await;
    let mut tools = opened.map_err(RunFailure::Tools)?;
    let outcome = drive(context, request.job, (&manifest, input, payload.salt), &mut *tools).await;
    tools.close().await;
    outcome
}

async fn drive(
    context: &mut RunContext,
    step: JobId,
    (manifest, input, salt_of_run): (&Manifest, &RunInput, [u8; 32]),
    tools: &mut dyn Tools,
) -> Result<RunTranscript, RunFailure> {
    let found = tools.found();
    let run = Run::new(context.lease, manifest, (input, salt_of_run), context.limits, &found);
    let mut run = run.map_err(|error| RunFailure::Tools(error.to_string()))?;
    let mut calls: Vec<CallRecord> = Vec::new();
    let mut replays: JoinSet<Result<Result<Vec<Digest>, JobFault>, EngineError>> = JoinSet::new();
    let mut size = borsh::object_length(&found).unwrap_or(usize::MAX);
    loop {
        let index = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let call = match run.next() {
            Next::End(RunEnd::Answered(answer)) => {
                while let Some(replayed) = replays.join_next().await {
                    let outcome = replayed.map_err(|error| RunFailure::Model(error.to_string()))?;
                    outcome.map_err(|error| RunFailure::Model(error.to_string()))?.map_err(RunFailure::Forged)?;
                }
                return Ok(RunTranscript { tools: found, calls, answer });
            }
            Next::End(RunEnd::TooLong) => return Err(RunFailure::TooLong),
            Next::End(RunEnd::OutOfTokens { used }) => return Err(RunFailure::OutOfTokens(used)),
            Next::Spend(order) => CallRecord::Spend { order },
            Next::Tool { name, arguments } => {
                let began = Instant::now();
                let ToolResponse { text: response, failed } = tools.call(&name, &arguments).await;
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let note = WorkerMessage::CalledTool { step, tool: name.clone(), took_ms, failed };
                // Whoever waits for the run misses no more than the news.
                let _ = context.outbox.send(note).await;
                CallRecord::Tool { name, arguments, response, failed, salt: salt(&context.salt, index) }
            }
            Next::Model { input, sampling, tokens_max, .. } => {
                let payload = JobPayload { salt: salt(&context.salt, index), input };
                let asked =
                    WorkerMessage::CallModel { step, call: index, payload: payload.clone(), sampling, tokens_max };
                context.outbox.send(asked).await.map_err(|_| RunFailure::Cancelled)?;
                let ModelAnswer { leaf, output } = reply(&mut context.replies, index).await?;
                replays.spawn(replayed(
                    Arc::clone(&context.engine),
                    leaf.clone(),
                    payload.clone(),
                    output.job_output(),
                ));
                CallRecord::Model { leaf, salt: payload.salt, output }
            }
        };
        run.take(&call).map_err(|error| RunFailure::Answer(error.to_string()))?;
        size = size.saturating_add(borsh::object_length(&call).unwrap_or(usize::MAX));
        if size > limits::TRANSCRIPT_SIZE_MAX {
            return Err(RunFailure::Size);
        }
        calls.push(call);
    }
}

/// Whether an answer is the model's.
async fn replayed(
    engine: Arc<dyn Engine>,
    leaf: JobLeaf,
    payload: JobPayload,
    output: JobOutput,
) -> Result<Result<Vec<Digest>, JobFault>, EngineError> {
    // How soon a replay is done tells nobody anything but its host.
    replay_seeded(&*engine, (&leaf, &payload, &output), Some(Digest::ZERO)).await
}

/// The gateway's answer to call `index`.
async fn reply(replies: &mut mpsc::Receiver<ModelReply>, index: u32) -> Result<ModelAnswer, RunFailure> {
    loop {
        // The session is lost, and the run with it.
        let (call, outcome) = replies.recv().await.ok_or(RunFailure::Cancelled)?;
        if call == index {
            return outcome.map_err(RunFailure::Model);
        }
    }
}

/// Of call `index`: secret like the run's own, and another one.
fn salt(of_run: &[u8; 32], index: u32) -> [u8; 32] {
    *Digest::of("inferium/run-salt/1", &[of_run, &index.to_be_bytes()]).as_bytes()
}

/// A run's folder; gone when it is dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    async fn make(parent: &Path, lease: LeaseId, input: &RunInput) -> Result<Self, RunFailure> {
        let path = parent.join(format!("run-{lease}"));
        let files = input.files.clone();
        let made = tokio::task::spawn_blocking(move || {
            // What a kill left behind.
            drop(std::fs::remove_dir_all(&path));
            std::fs::create_dir_all(&path)?;
            let folder = Self { path };
            for file in files {
                // Its name is one, no path (`RunInput::is_well_formed`).
                std::fs::write(folder.path.join(&file.name), &file.bytes)?;
            }
            Ok::<_, std::io::Error>(folder)
        });
        let made = made.await.map_err(|error| RunFailure::Folder(error.to_string()))?;
        made.map_err(|error| RunFailure::Folder(error.to_string()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is in it that anybody needs; the next run of this name makes it anew.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

#[cfg(test)]
mod tests;
