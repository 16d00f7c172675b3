//! The answers to one request for text: each a job of its own, given whole or as a stream of server-sent events.

use super::asked::Asked;
use super::once::{GoodEnd, event_stream};
use super::{ApiModel, ApiState, JOB_HEADER, error::ApiError, sized, unix_s};
use crate::hub::{Attempts, Hub, JobEvent, JobSpec, KeyView, NoLease, Siblings, TakenTokens, TextPiece, Ticket};
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use inferium_engine::{Engine, EngineError, Model};
use inferium_types::{
    Amount, Digest, FinishReason, JobId, JobInput, JobOpening, JobOutput, JobPayload, ModelTask, NodeId, TokenScore,
    Usage,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::Instrument as _;

/// How long a stream waits for its first event before it begins without one.
const FIRST_EVENT: Duration = Duration::from_millis(20);
/// How often a request that waits for a worker is told its place.
const QUEUE_NEWS: Duration = Duration::from_millis(500);
/// Pieces of a stream that wait for a slow client.
const PIECES: usize = 64;

/// The model that a request is for, and its jobs: one for each answer.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) model: Arc<ApiModel>,
    pub(super) specs: Vec<JobSpec>,
}

/// The model that a request asks for: of several the first that its key and its routing allow, and a worker serves now.
pub(super) fn choose_model(state: &ApiState, asked: &Asked, key: &KeyView) -> Result<Arc<ApiModel>, ApiError> {
    let (mut first, mut refusal) = (None, None);
    for name in &asked.models {
        let found = state.model(name).and_then(|model| {
            let is_allowed = asked.models.len() == 1 || key.terms.allows(name);
            if is_allowed {
                model.suits(&asked.routing).map(|()| model)
            } else {
                let allowed = key.terms.models.clone().unwrap_or_default();
                Err(NoLease::NotAllowed { model: name.clone(), allowed }.into())
            }
        });
        match found {
            Ok(model) if state.hub.open_leases(model.id, model.kind).0 > 0 => return Ok(Arc::clone(model)),
            Ok(model) => drop(first.get_or_insert(model)),
            Err(error) => drop(refusal.get_or_insert(error)),
        }
    }
    let none = || refusal.unwrap_or_else(|| ApiError::invalid("model", "`model` is required"));
    first.map(Arc::clone).ok_or_else(none)
}

/// Where a model is asked for what it does.
pub(super) const fn url_of(task: ModelTask) -> &'static str {
    match task {
        ModelTask::Classify { .. } | ModelTask::ProvePrivate { .. } => "/v1/classifications",
        ModelTask::Embed { .. } => "/v1/embeddings",
        ModelTask::Chat | ModelTask::Host | ModelTask::Fold | ModelTask::Train | ModelTask::Prove => {
            "/v1/chat/completions"
        }
    }
}

/// The engine that reads for a model that answers in text.
pub(super) fn text_engine(model: &ApiModel) -> Result<Arc<dyn Engine>, ApiError> {
    match &model.model {
        Model::Chat(engine) => Ok(Arc::clone(engine)),
        Model::Embedder(_) | Model::Folder(_) | Model::Trainer(_) | Model::Classifier(_) | Model::Prover(_) => {
            let task = model.profile.task;
            Err(ApiError::OtherTask { model: model.profile.name.clone(), does: task.name(), url: url_of(task) })
        }
    }
}

/// Tokenises, commits to the inputs, and checks all that a worker would: what it had to refuse is not sent. `param` is where the
/// text came from.
pub(super) async fn prepare(
    model: Arc<ApiModel>,
    (asked, payer): (Asked, Digest),
    inputs: Vec<JobInput>,
    param: &'static str,
) -> Result<Prepared, ApiError> {
    text_engine(&model)?;
    let size = inputs.iter().map(size).fold(0, usize::saturating_add);
    sized(size, move || {
        let mut specs = Vec::new();
        for input in inputs {
            specs.extend(prepare_one(&model, (&asked, payer), input, param)?);
        }
        Ok(Prepared { model, specs })
    })
    .await?
}

/// Bytes of an input, about; a grammar takes its time whatever its size.
fn size(input: &JobInput) -> usize {
    if input.shaping().is_some_and(|shaping| shaping.grammar.is_some()) {
        return usize::MAX;
    }
    match input {
        JobInput::Chat { messages, .. } => messages.iter().map(|message| message.content.len()).sum(),
        JobInput::Complete { prompt, .. } => prompt.len().saturating_mul(4),
        JobInput::Embed { .. }
        | JobInput::Score { .. }
        | JobInput::Run(_)
        | JobInput::Fold(_)
        | JobInput::Train(_)
        | JobInput::Prove(_)
        | JobInput::Classify(_) => 0,
    }
}

fn prepare_one(
    model: &ApiModel,
    (asked, payer): (&Asked, Digest),
    input: JobInput,
    param: &'static str,
) -> Result<Vec<JobSpec>, ApiError> {
    let payload = JobPayload { salt: rand::random(), input };
    payload.check()?;
    model.fits(&payload.input, &asked.sampling)?;
    let prompt = model.model.read(&payload.input).map_err(|error| unreadable(asked, &error, param))?;
    let prompt_tokens = u32::try_from(prompt.tokens()).unwrap_or(u32::MAX);
    let tokens_max = asked.answer_limit(prompt_tokens, model.context_tokens)?;
    let payload = Arc::new(payload);
    let input_commitment = payload.commitment();
    let ticket = Ticket::default();
    let spec = |choice: u32| JobSpec {
        profile: model.id,
        kind: model.kind,
        task: ModelTask::Chat,
        payload: Arc::clone(&payload),
        input_commitment,
        prompt_tokens,
        tokens_max,
        sampling: asked.sampling,
        // Of one seed as many answers as are asked for, each another one.
        client_seed: asked.seed.map(|seed| seed.wrapping_add(choice.into())),
        payer,
        preferences: asked.routing.preferences.clone(),
        ticket: ticket.clone(),
        is_witnessed: asked.opening,
    };
    let specs: Vec<JobSpec> = (0..asked.choices).map(spec).collect();
    specs.iter().try_for_each(|spec| spec.check(model.context_tokens))?;
    Ok(specs)
}

/// Why an input can't be read, by the parameter that it comes from.
fn unreadable(asked: &Asked, error: &EngineError, param: &'static str) -> ApiError {
    match error {
        // The tokens of a prompt were looked at before.
        EngineError::UnknownToken { .. } => ApiError::invalid("logit_bias", error.to_string()),
        EngineError::Grammar { .. } => {
            let has_tools = asked.shaping.grammar.as_ref().is_some_and(|grammar| grammar.contains("\ncalls:"));
            let param = if has_tools { "tools" } else { "response_format" };
            ApiError::Schema { param: param.to_owned(), message: error.to_string() }
        }
        _ => ApiError::invalid(param, error.to_string()),
    }
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) job: JobId,
    worker: Option<NodeId>,
}

impl Origin {
    /// What is ours in an answer.
    pub(super) fn extras(&self) -> Value {
        let job = self.job.to_string();
        json!({
            "job": job,
            "worker": self.worker.map(|worker| worker.to_string()),
            "status": "provisional",
            "receipt_url": format!("/v1/receipts/{job}"),
        })
    }

    fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.job.to_string()).ok()
    }
}

/// An event of one of the answers.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) index: usize,
    pub(super) event: JobEvent,
    pub(super) origin: Origin,
}

/// The answers under way. Dropping them cancels all of them.
pub(super) struct Choices {
    events: SelectAll<BoxStream<'static, Happened>>,
    left: usize,
    first: Option<Origin>,
    hub: Arc<Hub>,
    started: Instant,
    seen_text: bool,
    /// Tokens of each answer that is not done.
    came: Vec<usize>,
    taken: TakenTokens,
}

impl Drop for Choices {
    fn drop(&mut self) {
        self.taken.came(self.came.iter().sum());
    }
}

impl Choices {
    /// Hands the first job to a lease, waiting for one with room; the others begin as there is room for them.
    async fn start(hub: Arc<Hub>, specs: Vec<JobSpec>) -> Result<Self, ApiError> {
        let started = Instant::now();
        hub.check_budget(&specs)?;
        let taken = hub.take_tokens(&specs)?;
        let left = specs.len();
        // Whatever comes of an answer, its prompt is read.
        let came = specs.iter().map(|spec| spec.prompt_tokens.try_into().unwrap_or(usize::MAX)).collect();
        let siblings: Arc<Siblings> = Arc::default();
        let mut specs = specs.into_iter();
        let mut streams = Vec::with_capacity(left);
        let mut first = None;
        if let Some(spec) = specs.next() {
            let attempts = Attempts::start(&hub, spec, &siblings).await?;
            let origin = origin(&attempts);
            first = Some(origin);
            streams.push(answer(0, attempts).boxed());
            streams.extend((1..).zip(specs).map(|(index, spec)| {
                let (hub, siblings) = (Arc::clone(&hub), Arc::clone(&siblings));
                let one = async move {
                    match Attempts::start(&hub, spec, &siblings).await {
                        Ok(attempts) => answer(index, attempts).left_stream(),
                        Err(error) => {
                            let event = JobEvent::Failed { reason: ApiError::from(error).to_string() };
                            futures::stream::once(async move { Happened { index, event, origin } }).right_stream()
                        }
                    }
                };
                one.flatten_stream().boxed()
            }));
        }
        Ok(Self {
            events: futures::stream::select_all(streams),
            left,
            first,
            hub,
            started,
            seen_text: false,
            came,
            taken,
        })
    }

    /// The next event of any answer; `None` after the last one of all.
    async fn next(&mut self) -> Option<Happened> {
        let happened = self.events.next().await?;
        if let Some(came) = self.came.get_mut(happened.index) {
            match &happened.event {
                JobEvent::Text(piece) => *came = came.saturating_add(piece.tokens.len()),
                JobEvent::Done { usage, .. } => {
                    *came = 0;
                    self.taken.done(*usage);
                }
                JobEvent::Parts(_) | JobEvent::Called(_) | JobEvent::Failed { .. } => {}
            }
        }
        let metrics = &self.hub.metrics;
        match happened.event {
            JobEvent::Text(_) if !self.seen_text => {
                metrics.observe_first_token(self.started.elapsed());
                self.seen_text = true;
            }
            JobEvent::Text(_) | JobEvent::Parts(_) | JobEvent::Called(_) => {}
            JobEvent::Done { .. } | JobEvent::Failed { .. } => {
                metrics.job_seconds.observe(self.started.elapsed().as_secs_f64());
                self.left = self.left.saturating_sub(1);
            }
        }
        Some(happened)
    }
}

/// The events of one of the answers.
fn answer(index: usize, attempts: Attempts) -> impl futures::Stream<Item = Happened> + Send {
    futures::stream::unfold(Some(attempts), move |attempts| async move {
        let mut attempts = attempts?;
        let event = attempts.next().await;
        let is_last = matches!(event, JobEvent::Done { .. } | JobEvent::Failed { .. });
        let happened = Happened { index, event, origin: origin(&attempts) };
        Some((happened, (!is_last).then_some(attempts)))
    })
}

fn origin(attempts: &Attempts) -> Origin {
    Origin { job: attempts.job(), worker: attempts.worker() }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) origin: Origin,
    pub(super) piece: TextPiece,
    pub(super) finish: FinishReason,
    /// If it was asked for.
    pub(super) opening: Option<String>,
}

impl Whole {
    /// What is ours in it.
    fn extras(&self) -> Value {
        let mut extras = self.origin.extras();
        if let (Some(fields), Some(opening)) = (extras.as_object_mut(), &self.opening) {
            fields.insert("opening".to_owned(), opening.as_str().into());
        }
        extras
    }
}

/// What is ours in whole answers: the first one's job, and of several answers all of them.
pub(super) fn whole_extras(wholes: &[Whole]) -> Value {
    joined(wholes.iter().map(Whole::extras).collect())
}

/// What is ours in answers that came piece by piece.
pub(super) fn extras<'a>(origins: impl Iterator<Item = &'a Origin>) -> Value {
    joined(origins.map(Origin::extras).collect())
}

fn joined(all: Vec<Value>) -> Value {
    let mut shown = all.first().cloned().unwrap_or(Value::Null);
    if let (Some(fields), true) = (shown.as_object_mut(), all.len() > 1) {
        fields.insert("choices".to_owned(), all.into());
    }
    shown
}

/// What shows to others what a job was asked and answered, as documents have it: base64 of a [`JobOpening`].
pub(super) fn opening(payload: &JobPayload, output: JobOutput) -> String {
    BASE64.encode(inferium_types::encode(&JobOpening { payload: payload.clone(), output }))
}

/// What all answers of a request took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bill {
    pub(super) usage: Usage,
    pub(super) cost: Amount,
}

impl Bill {
    /// Adds a job's.
    pub(super) fn add(&mut self, usage: Usage, cost: Amount) {
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(usage.prompt_tokens);
        self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(usage.completion_tokens);
        self.cost = Amount::from_nano(self.cost.nano().saturating_add(cost.nano()));
    }

    /// As chat and text completions have it. Tokens are those that are paid for: of several answers each one's prompt.
    pub(super) fn json(&self) -> Value {
        let Usage { prompt_tokens, completion_tokens } = self.usage;
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens.saturating_add(completion_tokens),
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "cost": ifr(self.cost),
            "cost_nano": self.cost.nano(),
        })
    }
}

/// An amount as a decimal number of IFR.
pub(super) fn ifr(amount: Amount) -> String {
    amount.to_string().trim_end_matches(" IFR").to_owned()
}

/// Runs all jobs to their ends; the first failure ends all of them.
pub(super) async fn gather(hub: &Arc<Hub>, specs: Vec<JobSpec>) -> Result<(Vec<Whole>, Bill), ApiError> {
    let count = specs.len();
    let payloads: Vec<Arc<JobPayload>> = specs.iter().map(|spec| Arc::clone(&spec.payload)).collect();
    let mut choices = Choices::start(Arc::clone(hub), specs).await?;
    let mut pieces = vec![TextPiece::default(); count];
    let mut wholes: Vec<Option<Whole>> = (0..count).map(|_| None).collect();
    let mut bill = Bill::default();
    while let Some(Happened { index, event, origin }) = choices.next().await {
        let (Some(piece), Some(whole)) = (pieces.get_mut(index), wholes.get_mut(index)) else { continue };
        match event {
            JobEvent::Text(more) => {
                piece.text.push_str(&more.text);
                piece.tokens.extend(more.tokens);
                piece.scores.extend(more.scores);
            }
            // Text has none: the hub ends a job that sends some.
            JobEvent::Parts(_) | JobEvent::Called(_) => {}
            JobEvent::Done { usage, finish, cost, output, .. } => {
                bill.add(usage, cost);
                let opening = output.zip(payloads.get(index)).map(|(output, payload)| opening(payload, *output));
                *whole = Some(Whole { origin, piece: std::mem::take(piece), finish, opening });
            }
            JobEvent::Failed { reason } => {
                // The other answers are ended with it, and what workers have done of them is paid for.
                return Err(ApiError::worker_failed(reason, count > 1));
            }
        }
    }
    Ok((wholes.into_iter().flatten().collect(), bill))
}

/// How answers are written as events.
pub(super) trait Render: Send + Sync + 'static {
    /// What comes before everything else.
    fn open(&mut self) -> Vec<Value>;
    /// More of an answer.
    fn text(&mut self, index: usize, piece: TextPiece) -> Vec<Value>;
    /// The end of an answer.
    fn done(&mut self, index: usize, finish: FinishReason, origin: &Origin) -> Vec<Value>;
    /// The end of all of them.
    fn close(&mut self, bill: &Bill) -> Vec<Value>;
    /// An error instead of what was still to come.
    fn fail(&mut self, error: &ApiError) -> Value;
    /// Whether events have names, by their `type`; if not, a last one says that the stream is at its end.
    fn is_named(&self) -> bool {
        false
    }
}

/// Answers as server-sent events. What fails before anything was sent is a plain error.
pub(super) async fn stream(hub: &Arc<Hub>, specs: Vec<JobSpec>, render: impl Render) -> Result<Response, ApiError> {
    let (waits, is_several) = (specs.first().cloned(), specs.len() > 1);
    let mut starting: BoxFuture<'static, _> = Box::pin(Choices::start(Arc::clone(hub), specs));
    let (mut choices, mut first) = (None, None);
    if let Ok(started) = timeout(FIRST_EVENT, &mut starting).await {
        let mut started = started?;
        first = timeout(FIRST_EVENT, started.next()).await.ok().flatten();
        if let Some(Happened { event: JobEvent::Failed { reason }, .. }) = first {
            return Err(ApiError::worker_failed(reason, is_several));
        }
        choices = Some(started);
    }
    let job = choices.as_ref().and_then(|choices| choices.first.as_ref()?.header());
    let (pieces, receiver) = mpsc::channel(PIECES);
    let good_end = GoodEnd::default();
    let mut stream = Stream { pieces, render, hub: Arc::clone(hub), good_end: good_end.clone() };
    let gather = async move {
        let started = match choices {
            Some(choices) => Ok(choices),
            None => match stream.queue(starting, waits).await {
                Some(started) => started,
                None => return,
            },
        };
        match started {
            Ok(choices) => stream.run(choices, first).await,
            Err(error) => {
                let event = stream.render.fail(&error);
                stream.send(vec![event]).await;
            }
        }
    };
    tokio::spawn(gather.in_current_span());
    let mut response = event_stream(receiver, Some(good_end));
    if let Some(job) = job {
        response.headers_mut().insert(JOB_HEADER, job);
    }
    Ok(response)
}

/// A stream on its way to a client; when that is gone, it ends, and its jobs with it.
struct Stream<R> {
    pieces: mpsc::Sender<Bytes>,
    render: R,
    hub: Arc<Hub>,
    good_end: GoodEnd,
}

impl<R: Render> Stream<R> {
    /// Tells a request its place in the queue until it begins; `None` when its client is gone.
    async fn queue(
        &self,
        mut starting: BoxFuture<'static, Result<Choices, ApiError>>,
        waits: Option<JobSpec>,
    ) -> Option<Result<Choices, ApiError>> {
        let mut news = interval(QUEUE_NEWS);
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                started = &mut starting => return Some(started),
                () = self.pieces.closed() => return None,
                _ = news.tick() => {
                    let place = waits.as_ref().map_or(0, |spec| self.hub.place(spec));
                    let comment = format!(": inferium queued pos={place}\n\n");
                    self.pieces.send(Bytes::from(comment)).await.ok()?;
                }
            }
        }
    }

    async fn run(&mut self, mut choices: Choices, mut first: Option<Happened>) {
        let opening = self.render.open();
        if !self.send(opening).await {
            return;
        }
        let mut bill = Bill::default();
        loop {
            let happened = match first.take() {
                Some(happened) => Some(happened),
                None => tokio::select! {
                    biased;
                    happened = choices.next() => happened,
                    () = self.pieces.closed() => return,
                },
            };
            let Some(Happened { index, event, origin }) = happened else { return };
            let mut events = match event {
                JobEvent::Text(piece) => self.render.text(index, piece),
                JobEvent::Parts(_) | JobEvent::Called(_) => Vec::new(),
                JobEvent::Done { usage, finish, cost, .. } => {
                    bill.add(usage, cost);
                    self.render.done(index, finish, &origin)
                }
                JobEvent::Failed { reason } => {
                    // Never a quiet end: clients read this event as an error.
                    let error = self.render.fail(&ApiError::WorkerFailed(reason));
                    self.send(vec![error]).await;
                    return;
                }
            };
            let is_last = choices.left == 0;
            if is_last {
                events.extend(self.render.close(&bill));
            }
            if !self.send(events).await {
                return;
            }
            if is_last {
                self.good_end.reached();
                if !self.render.is_named() {
                    let _ = self.pieces.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
                }
                return;
            }
        }
    }

    /// False when the client is gone.
    async fn send(&self, events: Vec<Value>) -> bool {
        let mut written = String::new();
        for event in events {
            match event.get("type").and_then(Value::as_str) {
                Some(name) if self.render.is_named() => written.push_str(&format!("event: {name}\ndata: {event}\n\n")),
                _ => written.push_str(&format!("data: {event}\n\n")),
            }
        }
        written.is_empty() || self.pieces.send(Bytes::from(written)).await.is_ok()
    }
}

/// What every answer says of itself.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: Arc<ApiModel>,
}

impl Head {
    /// With an id of its own behind `prefix`.
    pub(super) fn new(prefix: &str, model: &Arc<ApiModel>) -> Self {
        Self { id: fresh_id(prefix), created: unix_s(), model: Arc::clone(model) }
    }

    /// An answer of this kind of object, or a chunk of one.
    pub(super) fn shown(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model.profile.name,
            // Names everything that can change an answer.
            "system_fingerprint": format!("inf_{}", self.model.id.to_string().get(..12).unwrap_or_default()),
            "choices": choices,
        })
    }
}

/// Adds what an answer took, and what is ours in it.
pub(super) fn add_bill(answer: &mut Value, bill: &Bill, extras: Value) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("usage".to_owned(), bill.json());
        fields.insert("inferium".to_owned(), extras);
    }
}

/// The end of a stream of chunks. Clients that ask for usage read it from a chunk of its own, those that don't from the last one that
/// there is.
pub(super) fn close_chunks(last: Option<Value>, usage: Option<Value>, bill: &Bill, extras: Value) -> Vec<Value> {
    let mut events: Vec<Value> = last.into_iter().chain(usage).collect();
    if let Some(last) = events.last_mut() {
        add_bill(last, bill, extras);
    }
    events
}

/// A name that nothing else has.
pub(super) fn fresh_id(prefix: &str) -> String {
    format!("{prefix}{}", hex::encode(rand::random::<[u8; 12]>()))
}

/// The header that names a job.
pub(super) fn name_job(mut response: Response, origin: Option<&Origin>) -> Response {
    if let Some(job) = origin.and_then(Origin::header) {
        response.headers_mut().insert(JOB_HEADER, job);
    }
    response
}

/// Why an answer ended, in OpenAI's words.
pub(super) const fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::EndOfText | FinishReason::StopString | FinishReason::Cancelled => "stop",
        FinishReason::Length => "length",
    }
}

/// A token as people read it; special ones by their spelling.
pub(super) fn spelled(engine: &dyn Engine, token: u32) -> String {
    match engine.special(token) {
        Some(spelling) => spelling.to_owned(),
        None => String::from_utf8_lossy(engine.token_bytes(token)).into_owned(),
    }
}

/// Log probabilities as chat completions have them: of each token that has a text.
pub(super) fn chat_logprobs(engine: &dyn Engine, piece: &TextPiece) -> Vec<Value> {
    let one = |token: u32, logprob: f32| {
        let bytes = engine.token_bytes(token);
        json!({"token": spelled(engine, token), "logprob": logprob, "bytes": bytes})
    };
    let scored = piece.tokens.iter().zip(&piece.scores).filter(|(token, _)| !engine.model().is_eos(**token));
    scored
        .map(|(token, score): (&u32, &TokenScore)| {
            let mut entry = one(*token, score.logprob());
            let likeliest: Vec<Value> = score.likeliest().map(|(token, logprob)| one(token, logprob)).collect();
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("top_logprobs".to_owned(), likeliest.into());
            }
            entry
        })
        .collect()
}
