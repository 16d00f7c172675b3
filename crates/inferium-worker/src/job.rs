//! One job: from a request to a result and its evidence.

mod crooked;
mod foreign;

pub(crate) use crooked::Copies;

use crate::crime::Crime;
use crate::server::{Server, ServerError};
use inferium_engine::{
    Answer, Classifier, ClassifierInput, Comparison, Embedder, Engine, EngineError, Folded, GenerateRequest, Model,
    Prompt, Prover, ReplayRequest, ScoreRequest, Scoring, Step, TextModel, TextVector, Trained, Unfit,
};
use inferium_sampling::Fingerprint;
use inferium_train::Ground;
use inferium_types::{
    Digest, Embedding, FinishReason, JobAnswer, JobEvidence, JobInput, JobLeaf, JobOutput, JobPayload, JobRequest,
    JobResult, Logits, MeasuredEvidence, NetworkKey, Shaping, TaskKind, TokenScore, Usage, VerificationMode,
    board_leaf, merkle_root, part_salt, proof_leaf, replay_seed, wire::WorkerMessage,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Tokens after which a truncating worker stops.
const TRUNCATED_TOKENS: usize = 4;
/// Pieces of an answer that nobody reads.
const UNREAD: usize = 64;

/// A finished job, as it goes into a segment.
#[derive(Debug, Clone)]
pub struct FinishedJob {
    /// Request and result.
    pub leaf: JobLeaf,
    /// What a committee may ask for.
    pub evidence: JobEvidence,
}

/// What a job needs besides its request.
#[derive(Debug, Clone)]
pub(crate) struct JobContext {
    pub(crate) model: Model,
    /// What draws in the model's place, of a foreign engine (SPEC V9).
    pub(crate) server: Option<Arc<Server>>,
    /// The worker's VRF output for the lease.
    pub(crate) vrf_output: Digest,
    /// How the lease's results are verified.
    pub(crate) mode: VerificationMode,
    /// Whose prompts may begin with what was computed for each other.
    pub(crate) prefix_scope: Option<Digest>,
    pub(crate) crime: Option<Crime>,
    /// The true model, for a crime that forges what it says.
    pub(crate) truth: Option<Model>,
    /// What a crime that copies has to copy from.
    pub(crate) copies: Copies,
    /// The other model of a crime that answers with one.
    pub(crate) other: Option<Arc<TextModel>>,
}

impl JobContext {
    /// Of work that no crime touches.
    pub(crate) fn honest(
        model: Model,
        server: Option<Arc<Server>>,
        vrf_output: Digest,
        mode: VerificationMode,
    ) -> Self {
        Self {
            model,
            server,
            vrf_output,
            mode,
            prefix_scope: None,
            crime: None,
            truth: None,
            copies: Copies::default(),
            other: None,
        }
    }

    fn comparison(&self) -> Comparison {
        match self.mode {
            _ if self.server.is_some() => Comparison::Foreign,
            VerificationMode::Sampled => Comparison::Tolerant,
            VerificationMode::Exact | VerificationMode::Replicated | VerificationMode::Zk => Comparison::Equal,
        }
    }
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobRefusal {
    /// The payload is another one's.
    #[error("the payload is not what the request commits to")]
    Payload,
    /// The prompt was counted otherwise.
    #[error("the prompt has {found} tokens, the request says {expected}")]
    PromptTokens {
        /// What the request says.
        expected: u32,
        /// What there is.
        found: usize,
    },
    /// The engine refused, or failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// The texts, inputs, continuations, boards or intervals were counted otherwise.
    #[error("{parts} texts, inputs, continuations, boards or intervals, the request says {tokens_max}")]
    Parts {
        /// What there is.
        parts: usize,
        /// What the request says.
        tokens_max: u32,
    },
    /// Not on the lease's profile.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// The server behind the worker failed.
    #[error("{0}")]
    Server(#[from] ServerError),
    /// A run of an agent came to nothing.
    #[error("{0}")]
    Run(#[from] crate::host::RunFailure),
    /// Nobody takes the answer.
    #[error("the gateway is gone")]
    GatewayGone,
}

/// The salt of a result: secret like the VRF output behind it, and the same whenever the request is
/// done again, so that an honest worker has one result for a request.
pub(crate) fn output_salt(vrf_output: &Digest, request: &JobRequest) -> [u8; 32] {
    *Digest::of("inferium/output-salt/1", &[vrf_output.as_bytes(), request.digest().as_bytes()]).as_bytes()
}

/// Runs a job: streams pieces to `outbox`, ends when the answer does or `cancel` turns true.
pub(crate) async fn run(
    context: JobContext,
    request: JobRequest,
    payload: JobPayload,
    outbox: mpsc::Sender<WorkerMessage>,
    cancel: watch::Receiver<bool>,
) -> Result<FinishedJob, JobRefusal> {
    if payload.commitment() != request.input_commitment {
        return Err(JobRefusal::Payload);
    }
    let prompt = context.model.read_aside(&payload.input).await?;
    if u32::try_from(prompt.tokens()) != Ok(request.prompt_tokens) {
        return Err(JobRefusal::PromptTokens { expected: request.prompt_tokens, found: prompt.tokens() });
    }
    if let Some(parts) = payload.input.parts()
        && u32::try_from(parts) != Ok(request.tokens_max)
    {
        return Err(JobRefusal::Parts { parts, tokens_max: request.tokens_max });
    }
    context.model.fits(context.comparison(), &payload.input, &request.sampling)?;
    let finished = match (&context.model, prompt) {
        (Model::Chat(engine), Prompt::Scores(scored)) => {
            score(&context, &**engine, scored, (request, payload), &outbox).await?
        }
        (Model::Chat(_), Prompt::Text(_)) if context.copies.has_one_for(&context, &request) => {
            crooked::copy(&context, (request, payload), &outbox).await?
        }
        (Model::Chat(engine), Prompt::Text(prompt)) if let Some(server) = &context.server => {
            foreign::answer((&context, server), &**engine, &prompt, (request, payload), &outbox, cancel).await?
        }
        (Model::Chat(engine), Prompt::Text(prompt)) if context.other.is_some() => {
            crooked::another(&context, &**engine, prompt, (request, payload), &outbox).await?
        }
        (Model::Chat(engine), Prompt::Text(prompt)) => {
            answer(&context, &**engine, prompt, (request, payload), &outbox, cancel).await?
        }
        (Model::Embedder(embedder), Prompt::Texts(texts)) => {
            embed(&context, &**embedder, texts, (request, payload), &outbox).await?
        }
        (Model::Classifier(classifier), Prompt::Inputs(inputs)) => {
            classify(&context, classifier, inputs, (request, payload), &outbox).await?
        }
        (Model::Trainer(_), Prompt::Interval(_)) => train(&context, (request, payload), &outbox).await?,
        (Model::Prover(_), Prompt::Answer(_)) => prove(&context, (request, payload), &outbox).await?,
        (Model::Folder(_), Prompt::Board(folded)) => fold(&context, folded, (request, payload), &outbox).await?,
        // A model reads only what it can do something with.
        (model, _) => return Err(EngineError::Task { does: model.task().name() }.into()),
    };
    let message = WorkerMessage::Finished {
        job: finished.leaf.request.job,
        result: finished.leaf.result.clone(),
        output_salt: finished.evidence.output.salt,
    };
    outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
    context.copies.keep(&context, &finished);
    Ok(finished)
}

/// Answers a conversation.
async fn answer(
    context: &JobContext,
    engine: &dyn Engine,
    prompt: Vec<u32>,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
    mut cancel: watch::Receiver<bool>,
) -> Result<FinishedJob, JobRefusal> {
    let shaping = payload.input.shaping().ok_or(JobRefusal::Payload)?;
    let seed = replay_seed(&request, &prompt, &context.vrf_output);
    let mut evidence = Evidence::new(context.mode, seed);
    let mut asked = GenerateRequest {
        prompt: prompt.clone(),
        max_tokens: request.tokens_max,
        sampling: request.sampling,
        seed,
        shaping: shaping.clone(),
        prefix_scope: context.prefix_scope,
        measure: context.mode == VerificationMode::Sampled,
    };
    if let Some(crime) = context.crime {
        asked = crime.bend(engine, payload.as_chat().map(|(messages, _)| messages), asked).await?;
    }
    let mut steps = engine.generate(asked)?;
    let mut answer = Answer::new(&shaping.stop, request.tokens_max);
    let mut own = Vec::new();
    let mut scores = Vec::new();
    while answer.finish().is_none() {
        let step: Step = tokio::select! {
            biased;
            changed = cancel.changed() => {
                if changed.is_err() || *cancel.borrow() {
                    let text = answer.cancel();
                    send_delta(outbox, &request, Vec::new(), text, Vec::new()).await?;
                }
                continue;
            }
            step = steps.recv() => step.ok_or(EngineError::Stopped)??,
        };
        if let (Some(Crime::ForgedLogprobs), Some(measured)) = (context.crime, &step.measured) {
            own.push(Arc::clone(measured));
        }
        evidence.push(&step, context.crime);
        let text = answer.push(engine, step.token);
        let text = if context.crime == Some(Crime::EditedText) { crooked::edited(&text) } else { text };
        let score: Vec<TokenScore> = step.score.into_iter().collect();
        scores.extend_from_slice(&score);
        send_delta(outbox, &request, vec![step.token], text, score).await?;
        if context.crime == Some(Crime::Truncated) && answer.tokens().len() >= TRUNCATED_TOKENS {
            break;
        }
    }
    // Stops the engine when the answer ended before the model did.
    drop(steps);
    let mut more = crooked::More::default();
    if context.crime == Some(Crime::OverGeneration) && answer.finish() == Some(FinishReason::EndOfText) {
        more =
            crooked::go_on(context, engine, (&prompt, answer.tokens()), (&request, shaping.likeliest), &mut evidence)
                .await?;
        send_delta(outbox, &request, more.tokens.clone(), more.text.clone(), more.scores.clone()).await?;
        scores.append(&mut more.scores);
    }
    if let (false, Some(Model::Chat(truth))) = (own.is_empty(), &context.truth) {
        let replay = ReplayRequest {
            prompt,
            output: answer.tokens().to_vec(),
            sampling: request.sampling,
            seed,
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: true,
        };
        evidence = crooked::forge(&**truth, replay, &own).await?;
    }
    let text = if context.crime == Some(Crime::EditedText) {
        crooked::edited(answer.text())
    } else {
        answer.text().to_owned()
    };
    let end = more.end.or(answer.finish()).unwrap_or(FinishReason::EndOfText);
    let tokens = [answer.tokens(), &more.tokens].concat();
    let answer = JobAnswer::Text { tokens, text: text + &more.text, scores };
    Ok(finish(context, (request, payload), answer, end, evidence))
}

/// Embeds texts (SPEC J8): all of them, whoever still waits, since a part of them is worth nothing to anyone.
async fn embed(
    context: &JobContext,
    embedder: &dyn Embedder,
    texts: Vec<Vec<u32>>,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let wanted = texts.len();
    let mut vectors = embedder.embed(texts)?;
    let (mut embeddings, mut leaves) = (Vec::with_capacity(wanted), Vec::with_capacity(wanted));
    let salt = output_salt(&context.vrf_output, &request);
    while embeddings.len() < wanted {
        let TextVector { values, states } = vectors.recv().await.ok_or(EngineError::Stopped)??;
        let mut embedding = Embedding::new(&values);
        match context.crime {
            Some(Crime::EditedText) => embedding = crooked::edited_embedding(&values),
            // What it computed once serves for all.
            Some(Crime::Copied) => embedding = embeddings.first().cloned().unwrap_or(embedding),
            _ => {}
        }
        let message = WorkerMessage::Embeddings { job: request.job, embeddings: vec![embedding.clone()] };
        outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
        leaves.push(embedding.leaf(&part_salt(&salt, embeddings.len()), &states));
        embeddings.push(embedding);
    }
    let answer = JobAnswer::Embeddings(embeddings);
    Ok(finish(context, (request, payload), answer, FinishReason::EndOfText, Evidence::Exact(leaves)))
}

/// Classifies inputs (SPEC J12): all of them, as embeddings.
async fn classify(
    context: &JobContext,
    classifier: &Arc<Classifier>,
    inputs: Vec<ClassifierInput>,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let (mut all, mut leaves): (Vec<Logits>, Vec<Digest>) = (Vec::new(), Vec::new());
    let salt = output_salt(&context.vrf_output, &request);
    for input in inputs {
        let (mut logits, states) = classifier.classify(input).await?;
        match context.crime {
            Some(Crime::EditedText) => logits = crooked::edited_logits(&logits),
            // What it computed once serves for all.
            Some(Crime::Copied) => logits = all.first().cloned().unwrap_or(logits),
            _ => {}
        }
        let message = WorkerMessage::Logits { job: request.job, logits: vec![logits.clone()] };
        outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
        leaves.push(logits.leaf(&part_salt(&salt, all.len()), &states));
        all.push(logits);
    }
    let answer = JobAnswer::Logits(all);
    Ok(finish(context, (request, payload), answer, FinishReason::EndOfText, Evidence::Exact(leaves)))
}

/// Scores continuations (SPEC J9): all of them, as embeddings.
async fn score(
    context: &JobContext,
    engine: &dyn Engine,
    scored: Vec<ScoreRequest>,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let mut scoring = Scoring::new(engine, scored);
    let (mut all, mut leaves) = (Vec::new(), Vec::new());
    while let Some(found) = scoring.next().await {
        let (mut scores, positions) = found?;
        match context.crime {
            Some(Crime::EditedText) => scores = crooked::edited_scores(scores),
            // What it computed once serves for all of this length.
            Some(Crime::Copied) => crooked::copy_scores(&all, &mut scores),
            _ => {}
        }
        let message = WorkerMessage::Scores { job: request.job, scores: vec![scores.clone()] };
        outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
        leaves.push(TokenScore::leaf(&scores, &positions));
        all.push(scores);
    }
    let answer = JobAnswer::Scores(all);
    Ok(finish(context, (request, payload), answer, FinishReason::EndOfText, Evidence::Exact(leaves)))
}

/// Sends the board that results fold to (SPEC L2).
async fn fold(
    context: &JobContext,
    folded: Folded,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let Folded { mut board, steps, .. } = folded;
    if context.crime == Some(Crime::InflatedBoard) {
        board = crooked::inflated(&board);
    }
    let message = WorkerMessage::Board { job: request.job, board: board.clone() };
    outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
    let evidence = Evidence::Exact(vec![board_leaf(&board, &steps)]);
    Ok(finish(context, (request, payload), JobAnswer::Board(board), FinishReason::EndOfText, evidence))
}

/// Trains an interval (SPEC X3): all of it, as embeddings.
async fn train(
    context: &JobContext,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let JobInput::Train(input) = &payload.input else { return Err(JobRefusal::Payload) };
    let Trained { mut interval, trace } = context.model.train_aside(input).await?;
    if context.crime == Some(Crime::FabricatedLoss) {
        interval = crooked::fabricated(&interval);
    }
    let message = WorkerMessage::Trained { job: request.job, interval: interval.clone() };
    outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
    let evidence = Evidence::Exact(vec![interval.leaf(&trace)]);
    let answer = JobAnswer::Intervals(vec![interval]);
    Ok(finish(context, (request, payload), answer, FinishReason::EndOfText, evidence))
}

/// Proves what a classifier said (SPEC V10): all of it, as embeddings.
async fn prove(
    context: &JobContext,
    (request, payload): (JobRequest, JobPayload),
    outbox: &mpsc::Sender<WorkerMessage>,
) -> Result<FinishedJob, JobRefusal> {
    let JobInput::Prove(input) = &payload.input else { return Err(JobRefusal::Payload) };
    let (input, lease) = (input.clone(), request.lease);
    let mut proof = context.model.prove_aside(move |prover| prover.prove(&input, lease)).await?;
    if context.crime == Some(Crime::FalseProof) {
        crooked::falsify(&mut proof);
    }
    let message = WorkerMessage::Proof { job: request.job, proof: proof.clone() };
    outbox.send(message).await.map_err(|_| JobRefusal::GatewayGone)?;
    let evidence = Evidence::Exact(vec![proof_leaf(&proof)]);
    Ok(finish(context, (request, payload), JobAnswer::Proof(proof), FinishReason::EndOfText, evidence))
}

/// Does one job as an honest worker does it, with no gateway and no chain: for tools that measure workers.
///
/// `vrf_output` is the worker's for the request's lease; `mode` says what is shown of the run.
///
/// # Errors
/// [`JobRefusal`].
pub async fn answer_honestly(
    model: Model,
    mode: VerificationMode,
    vrf_output: Digest,
    request: JobRequest,
    payload: JobPayload,
) -> Result<FinishedJob, JobRefusal> {
    run_unread(JobContext::honest(model, None, vrf_output, mode), request, payload).await
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

/// What a verifier compares a run with, as far as the run has come.
#[derive(Debug)]
enum Evidence {
    /// Digests of all positions.
    Exact(Vec<Digest>),
    /// Figures that are compared within a tolerance (SPEC V6).
    Sampled(Box<Fingerprint>),
    /// A server's run shows nothing (SPEC V9).
    Unseen,
}

impl Evidence {
    fn new(mode: VerificationMode, seed: [u8; 32]) -> Self {
        match mode {
            VerificationMode::Sampled => Self::Sampled(Box::new(Fingerprint::new(seed))),
            VerificationMode::Exact | VerificationMode::Replicated | VerificationMode::Zk => Self::Exact(Vec::new()),
        }
    }

    fn push(&mut self, step: &Step, crime: Option<Crime>) {
        match (self, &step.measured) {
            (Self::Exact(digests), _) => digests.push(step.digest),
            (Self::Sampled(fingerprint), Some(measured)) if crime == Some(Crime::ForgedSketches) => {
                let mut other = measured.hidden.clone();
                other.rotate_left(1);
                fingerprint.push(measured.logprob, &other);
            }
            (Self::Sampled(fingerprint), Some(measured)) => fingerprint.push(measured.logprob, &measured.hidden),
            // Every step is measured when that was asked for.
            (Self::Sampled(_), None) | (Self::Unseen, _) => {}
        }
    }

    /// The root that binds it, and what is shown besides.
    fn finish(self) -> (Digest, Option<MeasuredEvidence>) {
        match self {
            Self::Exact(digests) => (merkle_root(&digests), None),
            Self::Sampled(fingerprint) => {
                let measured = fingerprint.finish();
                (measured.root(), Some(measured))
            }
            Self::Unseen => (merkle_root(&[]), None),
        }
    }
}

async fn send_delta(
    outbox: &mpsc::Sender<WorkerMessage>,
    request: &JobRequest,
    tokens: Vec<u32>,
    text: String,
    scores: Vec<TokenScore>,
) -> Result<(), JobRefusal> {
    outbox
        .send(WorkerMessage::Delta { job: request.job, tokens, text, scores })
        .await
        .map_err(|_| JobRefusal::GatewayGone)
}

fn finish(
    context: &JobContext,
    (request, payload): (JobRequest, JobPayload),
    answer: JobAnswer,
    finish: FinishReason,
    evidence: Evidence,
) -> FinishedJob {
    let output = JobOutput { salt: output_salt(&context.vrf_output, &request), answer };
    let (evidence_root, measured) = evidence.finish();
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root,
        usage: Usage {
            prompt_tokens: request.prompt_tokens,
            completion_tokens: u32::try_from(output.answer.len()).unwrap_or(u32::MAX),
        },
        finish,
    };
    FinishedJob { leaf: JobLeaf { request, result }, evidence: JobEvidence { payload, output, measured } }
}

/// What does jobs of a kind: `own` with its server, but where boards are folded, intervals trained on a ground, or answers proved.
pub(crate) fn model_for(
    kind: TaskKind,
    network: NetworkKey,
    (own, server): (&Model, Option<&Arc<Server>>),
    ground: Option<&Ground>,
    prover: Option<&Arc<Prover>>,
) -> (Model, Option<Arc<Server>>) {
    match (kind, prover) {
        (TaskKind::Leaderboard, _) => (Model::folder(network), None),
        (TaskKind::Training, _) => (ground.unwrap_or(&Ground::Vectors).model(), None),
        (TaskKind::Validation, Some(prover)) => (Model::Prover(Arc::clone(prover)), None),
        _ => (own.clone(), server.map(Arc::clone)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
