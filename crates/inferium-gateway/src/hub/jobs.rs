//! Jobs: from a request to a worker, and to exactly one end.
//!
//! A job ends by its result ([`Hub::finished`]) or by [`Hub::end`], and by nothing else: there the
//! lease gets its slot back, the payer its budget, the worker its cancellation, the client its
//! last event, and a worker that did not answer its claim.

use super::deadlines::{CANCEL_PATIENCE, NEXT_TOKEN, first_token};
use super::runs::RunBook;
use super::{Ending, Hub, Inner, NoLease, Preferences, RunNews, RunSpec};
use crate::metrics::{Metrics, ModelLabel};
use crate::stall::Claim;
use crate::store::UnsignedRecord;
use inferium_engine::BoardDocument;
use inferium_types::{
    Amount, Digest, FinishReason, ImpossibleJob, JobAnswer, JobId, JobInput, JobLeaf, JobOutput, JobPayload,
    JobRequest, JobResult, LeaseId, ModelTask, NodeId, Price, ProfileId, SamplingParams, StallId, TaskKind, TokenScore,
    TrainedInterval, Usage, limits, step_result, wire::GatewayMessage,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

/// Requests of a kind that wait for a lease with room.
const WAITING_MAX: usize = 512;
/// Most that the sequence of a lease's next job is above its last one's.
const SEQUENCE_STEP_MAX: u64 = 4;
/// Bytes of a worker's reason to refuse a job.
const REASON_MAX: usize = 1_024;
/// Bytes of text that one token may stand for, and some for the whole.
const TOKEN_TEXT_MAX: usize = 256;

/// A piece of an answer in text.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextPiece {
    /// May lag behind the tokens.
    pub(crate) text: String,
    /// Tokens, with the score of each if that was asked for.
    pub(crate) tokens: Vec<u32>,
    pub(crate) scores: Vec<TokenScore>,
}

/// What a job tells the request that waits for it.
#[derive(Debug, Clone)]
pub(crate) enum JobEvent {
    /// More of an answer in text.
    Text(TextPiece),
    /// More of an answer that has a part for each part of its input, in their order.
    Parts(JobAnswer),
    /// What a run of an agent did.
    Called(RunNews),
    /// The end; with request, result and output if they were asked for ([`JobSpec::is_witnessed`]).
    Done {
        usage: Usage,
        finish: FinishReason,
        cost: Amount,
        leaf: Box<JobLeaf>,
        /// Of the result's commitment.
        salt: [u8; 32],
        output: Option<Box<JobOutput>>,
    },
    /// No answer, or no more of it.
    Failed { reason: String },
}

/// What a client asked, ready for a worker.
#[derive(Debug, Clone)]
pub(crate) struct JobSpec {
    pub(crate) profile: ProfileId,
    /// Kind of the leases that may take it.
    pub(crate) kind: TaskKind,
    /// What the profile's model does.
    pub(crate) task: ModelTask,
    pub(crate) payload: Arc<JobPayload>,
    /// To the payload: hashing a long prompt takes a while, so it is done once.
    pub(crate) input_commitment: Digest,
    pub(crate) prompt_tokens: u32,
    pub(crate) tokens_max: u32,
    pub(crate) sampling: SamplingParams,
    pub(crate) client_seed: Option<u64>,
    pub(crate) payer: Digest,
    pub(crate) preferences: Preferences,
    pub(crate) ticket: Ticket,
    /// Whether the end tells request, result and output.
    pub(crate) is_witnessed: bool,
}

impl JobSpec {
    /// What a worker is asked.
    pub(super) const fn request(&self, job: JobId, attempt: u8, lease: LeaseId, sequence: u64) -> JobRequest {
        JobRequest {
            job,
            lease,
            sequence,
            attempt,
            input_commitment: self.input_commitment,
            prompt_tokens: self.prompt_tokens,
            tokens_max: self.tokens_max,
            sampling: self.sampling,
            client_seed: self.client_seed,
        }
    }

    /// What it costs at most.
    pub(crate) fn cost_max(&self, price: &Price) -> Amount {
        let usage = Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.tokens_max };
        price.fee(&usage).unwrap_or(Amount::from_nano(u64::MAX))
    }

    /// Checks that a lease with this context could take it, whichever that may be.
    pub(crate) const fn check(&self, context_tokens: u32) -> Result<(), ImpossibleJob> {
        self.request(JobId::new(Digest::ZERO), 0, LeaseId::new(Digest::ZERO), 0).check(context_tokens)
    }
}

/// A job that a worker is at.
#[derive(Debug)]
pub(super) struct RunningJob {
    pub(super) request: JobRequest,
    payload: Arc<JobPayload>,
    pub(super) payer: Digest,
    cost_max: Amount,
    pub(super) task: ModelTask,
    /// As far as it has come.
    pub(super) answer: JobAnswer,
    events: mpsc::UnboundedSender<JobEvent>,
    /// The client left: only then may the worker say that the answer was cancelled.
    cancelled: bool,
    pub(super) deadline: Instant,
    label: ModelLabel,
    began: Instant,
    /// When its last tokens came.
    last_token: Option<Instant>,
    is_witnessed: bool,
    /// Of a run of an agent.
    pub(super) run: Option<RunBook>,
}

impl RunningJob {
    /// A run that its host has.
    pub(super) fn of_run(
        spec: &RunSpec,
        events: mpsc::UnboundedSender<JobEvent>,
        deadline: Instant,
        label: ModelLabel,
        book: RunBook,
    ) -> Self {
        Self {
            request: spec.request.clone(),
            payload: Arc::clone(&spec.payload),
            payer: spec.payer,
            cost_max: spec.price,
            task: ModelTask::Host,
            answer: spec.payload.input.no_answer(),
            events,
            cancelled: false,
            deadline,
            label,
            began: Instant::now(),
            last_token: None,
            is_witnessed: false,
            run: Some(book),
        }
    }

    /// Tells whoever waits for a run what it did.
    pub(super) fn tell(&self, news: RunNews) {
        // A receiver that is gone has cancelled the job.
        let _ = self.events.send(JobEvent::Called(news));
    }

    /// Measures what tokens took that came just now.
    fn measure(&mut self, tokens: usize, metrics: &Metrics) {
        let Ok(count) = u32::try_from(tokens) else { return };
        if count == 0 {
            return;
        }
        let now = Instant::now();
        let Some(last) = self.last_token.replace(now) else {
            let took = now.saturating_duration_since(self.began);
            metrics.model_first_token.get_or_create(&self.label).observe(took.as_secs_f64());
            return;
        };
        let each = now.saturating_duration_since(last).as_secs_f64() / f64::from(count);
        let histogram = metrics.inter_token.get_or_create(&self.label);
        (0..count).for_each(|_| histogram.observe(each));
    }

    /// Takes the next parts of an answer; what is wrong with them, if something is: another kind, or more of them, than was
    /// asked for, or one that no model gives.
    fn take(&mut self, more: &JobAnswer) -> Option<Ending> {
        if let JobAnswer::Run(transcript) = more {
            return self.take_transcript(transcript);
        }
        let room = usize::try_from(self.request.tokens_max).unwrap_or(usize::MAX);
        let so_far = self.answer.len();
        let is_sound = match (more, self.task, &self.payload.input) {
            (JobAnswer::Embeddings(embeddings), ModelTask::Embed { width }, _) => embeddings.iter().all(|embedding| {
                let mut values = embedding.values();
                u32::try_from(values.len()) == Ok(width) && values.all(f32::is_finite)
            }),
            (JobAnswer::Scores(scores), _, JobInput::Score { continuations, likeliest }) => {
                let asked = continuations.iter().skip(so_far);
                scores.iter().zip(asked).all(|(scores, asked)| {
                    scores.len() == asked.tokens.len() && scores.iter().all(|one| is_sound(one, *likeliest))
                })
            }
            (JobAnswer::Logits(logits), ModelTask::Classify { classes, .. }, JobInput::Classify(_)) => {
                logits.iter().all(|one| u32::try_from(one.values().len()) == Ok(classes))
            }
            (JobAnswer::Board(board), ModelTask::Fold, JobInput::Fold(_)) => {
                board.len() <= limits::BOARD_SIZE_MAX && BoardDocument::parse(board).is_ok()
            }
            (JobAnswer::Intervals(intervals), ModelTask::Train, JobInput::Train(_)) => {
                intervals.iter().all(TrainedInterval::is_bounded)
            }
            // Whether it holds is its committee's to say.
            (JobAnswer::Proof(proof), ModelTask::Prove | ModelTask::ProvePrivate { .. }, JobInput::Prove(_)) => {
                !proof.is_empty() && proof.len() <= limits::PROOF_SIZE_MAX
            }
            _ => false,
        };
        if !is_sound {
            return Some(Ending::NotAsAsked);
        }
        if so_far.saturating_add(more.len()) > room {
            return Some(Ending::TooMuch);
        }
        (!self.answer.append(more.clone())).then_some(Ending::NotAsAsked)
    }
}

/// Whether a score tells of as many tokens as it was asked to, and of each a number.
fn is_sound(score: &TokenScore, likeliest: u8) -> bool {
    let mut figures = score.likeliest();
    let is_counted = figures.len() == usize::from(likeliest);
    is_counted && score.logprob().is_finite() && figures.all(|(_, logprob)| logprob.is_finite())
}

/// A job under way, as the request that waits for it holds it. Dropping it before the end
/// cancels the job.
#[derive(Debug)]
pub(crate) struct JobHandle {
    pub(crate) job: JobId,
    pub(crate) request: JobRequest,
    events: mpsc::UnboundedReceiver<JobEvent>,
    hub: Arc<Hub>,
    finished: bool,
}

impl JobHandle {
    pub(super) fn new(hub: &Arc<Hub>, request: JobRequest, events: mpsc::UnboundedReceiver<JobEvent>) -> Self {
        Self { job: request.job, request, events, hub: Arc::clone(hub), finished: false }
    }

    /// The next event; after `Done` or `Failed` there is none.
    pub(crate) async fn next(&mut self) -> Option<JobEvent> {
        let event = self.events.recv().await;
        if matches!(event, None | Some(JobEvent::Done { .. } | JobEvent::Failed { .. })) {
            self.finished = true;
        }
        event
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if !self.finished {
            self.hub.cancel(self.job);
        }
    }
}

impl Hub {
    // From clients.

    /// Hands a job to the lease with the least work, waiting for room up to `patience`.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        spec: &JobSpec,
        job: JobId,
        attempt: u8,
        avoid: Option<NodeId>,
        patience: Duration,
    ) -> Result<JobHandle, NoLease> {
        let deadline = Instant::now() + patience;
        let mut waiting = None;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.try_submit(spec, job, attempt, avoid) {
                Err(NoLease::Busy) => self.pressed(spec),
                outcome => {
                    if matches!(outcome, Err(NoLease::NoWorker)) {
                        self.pressed(spec);
                    }
                    return outcome;
                }
            }
            if waiting.is_none() {
                waiting = Some(Waiting::join(self, spec).ok_or(NoLease::Busy)?);
            }
            tokio::time::timeout_at(deadline, room).await.map_err(|_| NoLease::Busy)?;
        }
    }

    /// Hands a job to the lease with the least work, if one has room now.
    pub(super) fn try_submit(
        self: &Arc<Self>,
        spec: &JobSpec,
        job: JobId,
        attempt: u8,
        avoid: Option<NodeId>,
    ) -> Result<JobHandle, NoLease> {
        // It may be megabytes: copied before anyone has to wait for it.
        let payload = JobPayload::clone(&spec.payload);
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.check_model(spec.payer, spec.profile)?;
        let request = inner.choose_lease(spec, job, attempt, avoid)?;
        let Some(entry) = inner.leases.get_mut(&request.lease) else { return Err(NoLease::NoWorker) };
        let Some(outbox) = &entry.outbox else { return Err(NoLease::NoWorker) };
        let cost = spec.cost_max(&entry.record.price);
        let left = inner.budgets.left(spec.payer);
        if cost > left {
            return Err(NoLease::Budget { cost, left });
        }
        let message = GatewayMessage::Job { request: request.clone(), payload };
        if outbox.try_send(message).is_err() {
            return Err(NoLease::Busy);
        }
        // A request that passed its check is at most `SEQUENCE_MAX`. Gaps of random size: a job that a worker plants
        // takes a sequence in one, and must not be known by it (SPEC V5).
        entry.next_sequence = request.sequence + rand::random_range(1..=SEQUENCE_STEP_MAX);
        entry.take(job, request.tokens());
        inner.budgets.reserve(spec.payer, cost);
        let label = ModelLabel { model: inner.names.get(&spec.profile).cloned().unwrap_or_default() };
        let (sender, events) = mpsc::unbounded_channel();
        let deadline = Instant::now() + first_token(spec.prompt_tokens);
        let running = RunningJob {
            request: request.clone(),
            payload: Arc::clone(&spec.payload),
            payer: spec.payer,
            cost_max: cost,
            task: spec.task,
            answer: spec.payload.input.no_answer(),
            events: sender,
            cancelled: false,
            deadline,
            label: label.clone(),
            began: Instant::now(),
            last_token: None,
            is_witnessed: spec.is_witnessed,
            run: None,
        };
        inner.running.insert(job, running);
        let is_earliest = inner.set_deadline(job, deadline);
        drop(guard);
        if is_earliest {
            self.sooner.notify_one();
        }
        self.metrics.jobs_running.inc();
        self.metrics.models.running.get_or_create(&label).inc();
        debug!(%job, lease = %request.lease, attempt, "job given to a worker");
        Ok(JobHandle::new(self, request, events))
    }

    /// Tells the worker that nobody waits for the job any more. What it has done by then is a
    /// result like any other; it has a moment to say so.
    fn cancel(&self, job: JobId) {
        let mut inner = self.lock();
        let Some(running) = inner.running.get_mut(&job) else { return };
        running.cancelled = true;
        let (lease, deadline) = (running.request.lease, running.deadline);
        let is_earliest = inner.set_deadline(job, deadline.min(Instant::now() + CANCEL_PATIENCE));
        let outbox = inner.leases.get(&lease).and_then(|entry| entry.outbox.clone());
        drop(inner);
        if is_earliest {
            self.sooner.notify_one();
        }
        tell_cancelled(outbox, job);
    }

    // From workers.

    pub(crate) fn delta(&self, worker: NodeId, job: JobId, piece: TextPiece) {
        let mut inner = self.lock();
        if !inner.serves(worker, job) {
            return;
        }
        let Some(running) = inner.running.get_mut(&job) else { return };
        let room = usize::try_from(running.request.tokens_max).unwrap_or(usize::MAX);
        let text_room = room.saturating_add(1).saturating_mul(TOKEN_TEXT_MAX);
        let likeliest = running.payload.input.shaping().and_then(|shaping| shaping.likeliest);
        let is_scored = match likeliest {
            Some(count) => {
                piece.scores.len() == piece.tokens.len() && piece.scores.iter().all(|one| is_sound(one, count))
            }
            None => piece.scores.is_empty(),
        };
        let JobAnswer::Text { tokens: so_far, text: text_so_far, scores } = &mut running.answer else {
            drop(inner);
            self.end(job, &Ending::NotAsAsked);
            return;
        };
        if !is_scored {
            drop(inner);
            self.end(job, &Ending::NotAsAsked);
            return;
        }
        let is_text_over = text_so_far.len().saturating_add(piece.text.len()) > text_room;
        if is_text_over || so_far.len().saturating_add(piece.tokens.len()) > room {
            drop(inner);
            self.end(job, &Ending::TooMuch);
            return;
        }
        so_far.extend_from_slice(&piece.tokens);
        text_so_far.push_str(&piece.text);
        scores.extend_from_slice(&piece.scores);
        running.measure(piece.tokens.len(), &self.metrics);
        let is_progress = !piece.tokens.is_empty();
        if !piece.text.is_empty() || !piece.scores.is_empty() {
            // A receiver that is gone has cancelled the job.
            let _ = running.events.send(JobEvent::Text(piece));
        }
        // A token may have no text of its own yet, and text alone is no progress. A job that was
        // cancelled has no more time for any.
        if is_progress && !running.cancelled && inner.set_deadline(job, Instant::now() + NEXT_TOKEN) {
            drop(inner);
            self.sooner.notify_one();
        }
    }

    /// More of an answer in parts.
    pub(crate) fn parts(&self, worker: NodeId, job: JobId, more: JobAnswer) {
        let mut inner = self.lock();
        if !inner.serves(worker, job) {
            return;
        }
        let Some(running) = inner.running.get_mut(&job) else { return };
        if let Some(ending) = running.take(&more) {
            drop(inner);
            self.end(job, &ending);
            return;
        }
        let is_progress = !more.is_empty() && !running.cancelled;
        // A receiver that is gone has cancelled the job.
        let _ = running.events.send(JobEvent::Parts(more));
        if is_progress && inner.set_deadline(job, Instant::now() + NEXT_TOKEN) {
            drop(inner);
            self.sooner.notify_one();
        }
    }

    /// The end of a job: taken only when it is byte for byte what the client got. Returns once the
    /// job is on its way to the disk, which the client does not wait for.
    pub(crate) async fn finished(self: &Arc<Self>, worker: NodeId, job: JobId, result: JobResult, salt: [u8; 32]) {
        let Some(record) = self.take_result(worker, job, result, salt) else { return };
        if let Err(mpsc::error::SendError(record)) = self.unsigned.send(record).await {
            // The gateway is stopping; whoever wrote many at once does not any more.
            let kept = self.disk(move |hub| hub.store.put_unsigned(&[record])).await;
            self.must(kept);
        }
    }

    fn take_result(&self, worker: NodeId, job: JobId, result: JobResult, salt: [u8; 32]) -> Option<UnsignedRecord> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if !inner.serves(worker, job) {
            return None;
        }
        let running = inner.running.get_mut(&job)?;
        // The job ends here, whatever comes of it.
        let output =
            JobOutput { salt, answer: std::mem::replace(&mut running.answer, JobAnswer::Embeddings(Vec::new())) };
        let leaf = JobLeaf { request: running.request.clone(), result };
        let is_counted = u32::try_from(output.answer.len()) == Ok(leaf.result.usage.completion_tokens);
        let is_cancelled = leaf.result.finish == FinishReason::Cancelled;
        // Every part of the input has its answer, whoever still waits: some of them are worth nothing (SPEC J8, J9).
        let is_whole = leaf.result.finish == FinishReason::EndOfText
            && leaf.result.usage.completion_tokens == leaf.request.tokens_max;
        let is_early = match &output.answer {
            JobAnswer::Embeddings(_)
            | JobAnswer::Scores(_)
            | JobAnswer::Board(_)
            | JobAnswer::Intervals(_)
            | JobAnswer::Logits(_)
            | JobAnswer::Proof(_) => !is_whole,
            JobAnswer::Text { .. } => is_cancelled && !running.cancelled,
            // Its leaves are the calls that the gateway knows of.
            JobAnswer::Run(transcript) => {
                leaf.result != step_result(&leaf.request, output.commitment(), &transcript.public(), true)
            }
        };
        if is_early || !leaf.is_consistent() || !is_counted || leaf.result.output_commitment != output.commitment() {
            drop(guard);
            self.end(job, &Ending::NotAsSent);
            return None;
        }
        let running = inner.remove_running(job)?;
        let (usage, finish) = (leaf.result.usage, leaf.result.finish);
        let unused = u64::from(leaf.request.tokens_max).saturating_sub(u64::from(usage.completion_tokens));
        let entry = inner.leases.get_mut(&leaf.request.lease)?;
        let is_hired = running.run.as_ref().is_some_and(|run| run.is_hired);
        let cost = if is_hired { Amount::ZERO } else { entry.record.price.fee(&usage).unwrap_or_default() };
        let record = UnsignedRecord { leaf, payer: running.payer, cost };
        entry.tokens_used = entry.tokens_used.saturating_sub(unused);
        entry.unsigned.insert(job, record.clone());
        // From here on the reservation is exactly the cost.
        inner.budgets.free(running.payer, running.cost_max);
        inner.budgets.reserve(running.payer, cost);
        drop(guard);
        self.metrics.jobs_running.dec();
        let models = &self.metrics.models;
        models.running.get_or_create(&running.label).dec();
        models.jobs.get_or_create(&running.label).inc();
        models.prompt_tokens.get_or_create(&running.label).inc_by(usage.prompt_tokens.into());
        models.completion_tokens.get_or_create(&running.label).inc_by(usage.completion_tokens.into());
        self.metrics.jobs.inc();
        self.metrics.prompt_tokens.inc_by(u64::from(usage.prompt_tokens));
        self.metrics.completion_tokens.inc_by(u64::from(usage.completion_tokens));
        let _ = running.events.send(JobEvent::Done {
            usage,
            finish,
            cost,
            leaf: Box::new(record.leaf.clone()),
            salt,
            output: running.is_witnessed.then(|| Box::new(output)),
        });
        self.room.notify_waiters();
        Some(record)
    }

    pub(crate) fn refused(&self, worker: NodeId, job: JobId, reason: &str) {
        let serves = self.lock().serves(worker, job);
        if serves {
            // Whoever asked reads it, and it may be kept.
            let end = reason.floor_char_boundary(REASON_MAX);
            self.end(job, &Ending::Refused(reason.get(..end).unwrap_or_default().to_owned()));
        }
    }

    // The end of a job without a result.

    /// Ends a job; it costs nothing, and its worker need not go on with it. A worker that is late
    /// with a job that somebody waits for is reported, and its lease suspended (SPEC T6).
    pub(crate) fn end(&self, job: JobId, ending: &Ending) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let is_late = *ending == Ending::Late;
        // A token may have come since the deadline was looked at.
        if is_late && inner.running.get(&job).is_some_and(|running| running.deadline > Instant::now()) {
            return;
        }
        let Some(running) = inner.remove_running(job) else { return };
        let mut outbox = None;
        let mut claim = None;
        if let Some(entry) = inner.leases.get_mut(&running.request.lease) {
            // SPEC V12: of private weights the lease's one job is done, whatever came of it.
            let is_private = matches!(running.task, ModelTask::ProvePrivate { .. });
            entry.jobs_used = entry.jobs_used.saturating_sub((!is_private).into());
            entry.tokens_used = entry.tokens_used.saturating_sub(running.request.tokens());
            outbox = entry.outbox.clone();
            // SPEC A2, X3, V12: no claim is made about a run, about an interval of training, nor about private weights.
            let is_claimed = running.run.is_none() && running.task != ModelTask::Train && !is_private;
            if is_late && !running.cancelled && is_claimed {
                let id = StallId::of_job(running.request.lease, running.request.sequence);
                claim = entry.suspend(id).then(|| Claim::new(id, running.request, &running.payload));
            }
        }
        inner.budgets.free(running.payer, running.cost_max);
        inner.remember_failed(job);
        drop(guard);
        tell_cancelled(outbox, job);
        self.metrics.jobs_running.dec();
        self.metrics.models.running.get_or_create(&running.label).dec();
        if let Some(claim) = claim {
            // Nobody listens only when the gateway stops.
            let _ = self.claims.send(claim);
            self.leases_changed();
        }
        let _ = running.events.send(JobEvent::Failed { reason: ending.to_string() });
        self.room.notify_waiters();
    }
}

impl Inner {
    pub(super) fn serves(&self, worker: NodeId, job: JobId) -> bool {
        self.running
            .get(&job)
            .and_then(|running| self.leases.get(&running.request.lease))
            .is_some_and(|entry| entry.record.worker == worker)
    }

    /// Takes a job out of every place that says that it runs.
    fn remove_running(&mut self, job: JobId) -> Option<RunningJob> {
        let running = self.running.remove(&job)?;
        self.deadlines.remove(&(running.deadline, job));
        if let Some(entry) = self.leases.get_mut(&running.request.lease) {
            entry.running.remove(&job);
        }
        Some(running)
    }
}

/// The place of a request among those that wait for room; 0 while it does not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket(Arc<AtomicU64>);

impl Hub {
    /// How many requests for the same leases wait since before, this one included; 0 if it does not wait.
    pub(crate) fn place(&self, spec: &JobSpec) -> usize {
        let ticket = spec.ticket.0.load(Ordering::Relaxed);
        let inner = self.lock();
        inner.waiting.range(..=ticket).filter(|(_, waits)| **waits == (spec.profile, spec.kind)).count()
    }
}

/// A request that waits for room.
struct Waiting<'a> {
    hub: &'a Hub,
    ticket: u64,
}

impl<'a> Waiting<'a> {
    fn join(hub: &'a Hub, spec: &JobSpec) -> Option<Self> {
        let mut inner = hub.lock();
        if inner.waiting.values().filter(|(_, kind)| *kind == spec.kind).count() >= WAITING_MAX {
            return None;
        }
        inner.next_ticket = inner.next_ticket.saturating_add(1);
        let ticket = inner.next_ticket;
        inner.waiting.insert(ticket, (spec.profile, spec.kind));
        spec.ticket.0.store(ticket, Ordering::Relaxed);
        hub.metrics.waiting.inc();
        Some(Self { hub, ticket })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.hub.lock().waiting.remove(&self.ticket);
        self.hub.metrics.waiting.dec();
    }
}

fn tell_cancelled(outbox: Option<mpsc::Sender<GatewayMessage>>, job: JobId) {
    let Some(outbox) = outbox else { return };
    if let Err(mpsc::error::TrySendError::Full(message)) = outbox.try_send(GatewayMessage::Cancel { job }) {
        tokio::spawn(async move {
            let _ = outbox.send(message).await;
        });
    }
}
