//! One job: from a request to a result and its evidence.

use crate::crime::Crime;
use inferium_engine::{Answer, Engine, EngineError, GenerateRequest, Step};
use inferium_types::{
    Digest, FinishReason, JobEvidence, JobLeaf, JobOutput, JobPayload, JobRequest, JobResult, Usage, merkle_root,
    replay_seed, wire::WorkerMessage,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Tokens after which a truncating worker stops.
const TRUNCATED_TOKENS: usize = 4;
/// Pieces of an answer that nobody reads.
const UNREAD: usize = 64;

/// A finished job, as it goes into a segment.
#[derive(Debug, Clone)]
pub(crate) struct FinishedJob {
    pub(crate) leaf: JobLeaf,
    pub(crate) evidence: JobEvidence,
}

/// What a job needs besides its request.
#[derive(Debug, Clone)]
pub(crate) struct JobContext {
    pub(crate) engine: Arc<dyn Engine>,
    /// The worker's VRF output for the lease.
    pub(crate) vrf_output: Digest,
    pub(crate) crime: Option<Crime>,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobRefusal {
    #[error("the payload is not what the request commits to")]
    Payload,
    #[error("the prompt has {found} tokens, the request says {expected}")]
    PromptTokens { expected: u32, found: usize },
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("the gateway is gone")]
    GatewayGone,
}

/// The salt of a result: secret like the VRF output behind it, and the same whenever the request is
/// done again, so that an honest worker has one result for a request.
fn output_salt(vrf_output: &Digest, request: &JobRequest) -> [u8; 32] {
    *Digest::of("inferium/output-salt/1", &[vrf_output.as_bytes(), request.digest().as_bytes()]).as_bytes()
}

/// Runs a job: streams pieces to `outbox`, ends when the answer does or `cancel` turns true.
pub(crate) async fn run(
    context: JobContext,
    request: JobRequest,
    payload: JobPayload,
    outbox: mpsc::Sender<WorkerMessage>,
    mut cancel: watch::Receiver<bool>,
) -> Result<FinishedJob, JobRefusal> {
    let engine = &*context.engine;
    if payload.commitment() != request.input_commitment {
        return Err(JobRefusal::Payload);
    }
    let prompt = engine.render_chat(&payload.messages)?;
    if u32::try_from(prompt.len()) != Ok(request.prompt_tokens) {
        return Err(JobRefusal::PromptTokens { expected: request.prompt_tokens, found: prompt.len() });
    }
    let mut seed = replay_seed(&request, &prompt, &context.vrf_output);
    if context.crime == Some(Crime::OwnSeed) {
        seed = *Digest::of("inferium/crime/own-seed", &[&seed]).as_bytes();
    }
    let mut steps = engine.generate(GenerateRequest {
        prompt,
        max_tokens: request.tokens_max,
        sampling: request.sampling,
        seed,
        measure: false,
    })?;
    let mut answer = Answer::new(&payload.stop, request.tokens_max);
    let mut digests: Vec<Digest> = Vec::new();
    while answer.finish().is_none() {
        let step: Step = tokio::select! {
            biased;
            changed = cancel.changed() => {
                if changed.is_err() || *cancel.borrow() {
                    let text = answer.cancel();
                    send_delta(&outbox, &request, Vec::new(), text).await?;
                }
                continue;
            }
            step = steps.recv() => step.ok_or(EngineError::Stopped)??,
        };
        digests.push(step.digest);
        let text = answer.push(engine, step.token);
        let text = if context.crime == Some(Crime::EditedText) { edited(&text) } else { text };
        send_delta(&outbox, &request, vec![step.token], text).await?;
        if context.crime == Some(Crime::Truncated) && answer.tokens().len() >= TRUNCATED_TOKENS {
            break;
        }
    }
    // Stops the engine when the answer ended before the model did.
    drop(steps);
    let finished = finish(&context, request, payload, &answer, &digests);
    let message = WorkerMessage::Finished {
        job: finished.leaf.request.job,
        result: finished.leaf.result.clone(),
        output_salt: finished.evidence.output.salt,
    };
    outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
    Ok(finished)
}

/// Runs a job whose pieces nobody reads.
pub(crate) async fn run_unread(
    context: JobContext,
    request: JobRequest,
    payload: JobPayload,
) -> Result<FinishedJob, JobRefusal> {
    let (outbox, mut unread) = mpsc::channel(UNREAD);
    let (_never, cancel) = watch::channel(false);
    let drain = async move { while unread.recv().await.is_some() {} };
    let (done, ()) = tokio::join!(run(context, request, payload, outbox, cancel), drain);
    done
}

async fn send_delta(
    outbox: &mpsc::Sender<WorkerMessage>,
    request: &JobRequest,
    tokens: Vec<u32>,
    text: String,
) -> Result<(), JobRefusal> {
    outbox.send(WorkerMessage::Delta { job: request.job, tokens, text }).await.map_err(|_| JobRefusal::GatewayGone)
}

fn finish(
    context: &JobContext,
    request: JobRequest,
    payload: JobPayload,
    answer: &Answer,
    digests: &[Digest],
) -> FinishedJob {
    let text = if context.crime == Some(Crime::EditedText) { edited(answer.text()) } else { answer.text().to_owned() };
    let salt = output_salt(&context.vrf_output, &request);
    let output = JobOutput { salt, tokens: answer.tokens().to_vec(), text };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root: merkle_root(digests),
        usage: Usage {
            prompt_tokens: request.prompt_tokens,
            completion_tokens: u32::try_from(output.tokens.len()).unwrap_or(u32::MAX),
        },
        finish: answer.finish().unwrap_or(FinishReason::EndOfText),
    };
    FinishedJob { leaf: JobLeaf { request, result }, evidence: JobEvidence { payload, output, measured: None } }
}

/// Another text of the same length, letter by letter, so that pieces and whole agree.
fn edited(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == 'e' {
                'o'
            } else if c == 'a' {
                'u'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
