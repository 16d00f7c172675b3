//! A run from its opening on the chain to its end.

use super::super::ApiState;
use super::super::choices::ifr;
use super::super::error::ApiError;
use super::agents::Found;
use super::shown_news;
use crate::clock::unix_ms;
use crate::hub::{Hub, JobEvent, JobHandle, RunNews, RunReservation, RunSpec, calls_max};
use crate::store::{OrdersRecord, RunRecord};
use inferium_agent::hires;
use inferium_chain::{LightClient, Sender};
use inferium_types::{
    Amount, CallRecord, Digest, Event, JobAnswer, JobId, JobInput, JobPayload, JobRequest, LeaseId, RunFile, RunInput,
    RunTerms, RunTranscript, SpendOrder, TransactionBody, Usage, step_request, wire::RunSecret,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long a run waits for a host; milliseconds.
const OPEN_MS: u64 = 60_000;
/// How long after that the host has to be there.
const HOST_WAIT: Duration = Duration::from_millis(OPEN_MS + 10_000);
/// News of a run that wait for whoever reads them.
const NEWS: usize = 1_024;

/// The chain, where agents are and runs are opened.
#[derive(Debug)]
pub(in super::super) struct Opener {
    pub(in super::super) chain: LightClient,
    pub(in super::super) sender: Sender,
}

/// What a client asks of an agent.
#[derive(Debug)]
pub(in super::super) struct RunAsk {
    /// Its name or id.
    pub(in super::super) agent: String,
    pub(in super::super) task: String,
    /// By ascending name.
    pub(in super::super) files: Vec<RunFile>,
    pub(in super::super) secrets: Vec<RunSecret>,
    /// What a run may cost at most, its model calls not included.
    pub(in super::super) price_max: Option<Amount>,
    /// The version digest that the client has seen.
    pub(in super::super) version: Option<String>,
}

/// A run that is under way. Dropping it cancels the run.
#[derive(Debug)]
pub(in super::super) struct Begun {
    pub(in super::super) run: LeaseId,
    pub(in super::super) job: JobId,
    /// What it does; closed when it is over.
    pub(in super::super) news: mpsc::Receiver<RunNews>,
    pub(in super::super) ended: oneshot::Receiver<Result<Ended, ApiError>>,
}

impl Begun {
    /// Waits for the run's end, which has what it did on the way as well.
    pub(in super::super) async fn end(mut self) -> Result<Ended, ApiError> {
        while self.news.recv().await.is_some() {}
        self.ended.await.map_err(|_| ApiError::Internal("the run was lost".to_owned()))?
    }
}

/// A run that is over, with its answer.
#[derive(Debug)]
pub(in super::super) struct Ended {
    pub(in super::super) answer: String,
    pub(in super::super) usage: Usage,
    pub(in super::super) cost: Amount,
    /// The run, as the API shows it.
    pub(in super::super) shown: Value,
}

/// Opens a run and has it hosted; what can be refused at once is.
///
/// The run goes on by itself from the first word to the chain: a client that leaves, at any moment, ends it.
pub(in super::super) async fn begin(state: &ApiState, payer: Digest, ask: RunAsk) -> Result<Begun, ApiError> {
    let opener = state.runs.clone().ok_or_else(|| ApiError::Internal("this gateway follows no chain".to_owned()))?;
    let found = opener.find(state, &ask.agent).await?;
    let terms = &found.agent.terms;
    let model = state.models.iter().find(|model| model.id == terms.model);
    let model = model
        .ok_or_else(|| ApiError::AgentNotFound(format!("this gateway does not serve the model of {:?}", ask.agent)))?;
    let hires_max = calls_max(&model.price_max, terms.limits.tokens);
    // What the client has seen is what it pays for.
    let version = terms.version_digest().to_string();
    if ask.version.as_ref().is_some_and(|seen| *seen != version) {
        return Err(ApiError::invalid("version", format!("the agent's version is {version} now")));
    }
    if ask.price_max.is_some_and(|most| terms.price > most) {
        return Err(ApiError::invalid("price_max", format!("a run costs {} now", terms.price)));
    }
    let input = RunInput { manifest: found.manifest.clone(), task: ask.task, files: ask.files };
    let payload = JobPayload { salt: rand::random(), input: JobInput::Run(input) };
    payload.check()?;
    let reserved = state.hub.reserve_run(payer, terms.model, terms.price)?;
    let (news_sender, news) = mpsc::channel(NEWS);
    let (opened_sender, opened) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel();
    let waiting = Waiting { news: news_sender, ended: ended_sender };
    let asked = Asked { payload: Arc::new(payload), payer, secrets: ask.secrets, found, hired_by: None, hires_max };
    tokio::spawn(whole(Arc::clone(&state.hub), opener, asked, reserved, opened_sender, waiting));
    let lost = |_| ApiError::Internal("the run was lost".to_owned());
    let (run, job) = opened.await.map_err(lost)??;
    Ok(Begun { run, job, news, ended })
}

/// A run that is asked for.
pub(super) struct Asked {
    pub(super) payload: Arc<JobPayload>,
    /// Whose key pays the model calls.
    pub(super) payer: Digest,
    pub(super) secrets: Vec<RunSecret>,
    pub(super) found: Found,
    /// The run that hired it, whose agent's account pays the price; the key does for others.
    pub(super) hired_by: Option<LeaseId>,
    /// What the model calls of those that it hires may cost together.
    pub(super) hires_max: Amount,
}

/// Who waits for a run.
pub(super) struct Waiting {
    pub(super) news: mpsc::Sender<RunNews>,
    pub(super) ended: oneshot::Sender<Result<Ended, ApiError>>,
}

/// A run from its opening to its end, whoever still waits for it.
async fn whole(
    hub: Arc<Hub>,
    opener: Arc<Opener>,
    asked: Asked,
    reserved: RunReservation,
    opened: oneshot::Sender<Result<(LeaseId, JobId), ApiError>>,
    waiting: Waiting,
) {
    let began_at_ms = unix_ms();
    let commitment = asked.payload.commitment();
    let run = match opener.open(&asked.found, commitment).await {
        Ok(run) => run,
        Err(error) => {
            drop(opened.send(Err(error)));
            return;
        }
    };
    let request = step_request(run, 0, &Digest::ZERO, &commitment);
    // Nobody is there any more when this fails, and the lease is given up as nobody's (`Hub::retire_stray_runs`).
    if opened.send(Ok((run, request.job))).is_err() {
        return;
    }
    hosted(hub, opener, asked, (request, began_at_ms), reserved, waiting).await;
}

/// A run that the chain has opened, to its end. The run is kept for its key, whatever comes of it.
pub(super) async fn hosted(
    hub: Arc<Hub>,
    opener: Arc<Opener>,
    asked: Asked,
    (request, began_at_ms): (JobRequest, u64),
    mut reserved: RunReservation,
    Waiting { news, mut ended }: Waiting,
) {
    let Asked { payload, payer, secrets, found, hired_by, hires_max } = asked;
    let (run, terms) = (request.lease, &found.agent.terms);
    let spec = RunSpec {
        request,
        payload,
        payer,
        price: if hired_by.is_some() { Amount::ZERO } else { terms.price },
        time: Duration::from_millis(terms.limits.run_ms),
        secrets,
        model: terms.model,
        tokens_max: terms.limits.tokens,
        tool_calls: terms.limits.tool_calls,
        is_hired: hired_by.is_some(),
        hires_max,
    };
    let mut calls = Vec::new();
    let followed = tokio::select! {
        followed = follow(&hub, &spec, (&news, &mut calls), (&found, began_at_ms), &mut reserved) => Some(followed),
        () = ended.closed() => None,
    };
    drop(news);
    if !matches!(followed, Some(Ok(_))) {
        opener.close(run).await;
    }
    let mut shown = match &followed {
        Some(Ok(done)) => done.shown.clone(),
        Some(Err(error)) => failed(run, (&found, began_at_ms), &calls, &error.to_string()),
        None => failed(run, (&found, began_at_ms), &calls, "the client left"),
    };
    if let (Some(by), Some(fields)) = (hired_by, shown.as_object_mut()) {
        fields.insert("hired_by".to_owned(), by.to_string().into());
    }
    let mut brief = shown.clone();
    if let Some(fields) = brief.as_object_mut() {
        fields.remove("calls");
    }
    let record = RunRecord { began_at_ms, shown: shown.to_string(), brief: brief.to_string() };
    let kept = hub.disk(move |hub| hub.store.put_run(payer, run, &record)).await;
    hub.must(kept);
    if let Some(followed) = followed {
        // A client that is gone by now does not read it.
        drop(ended.send(followed));
    }
}

impl Opener {
    /// Opens the run on the chain: its lease has its name.
    async fn open(&self, found: &Found, input: Digest) -> Result<LeaseId, ApiError> {
        let terms = run_terms(found, input);
        let sent = self.sender.send(TransactionBody::OpenRun { terms }).await;
        let sent = sent.map_err(|error| ApiError::Chain(error.to_string()))?;
        if let Some(failure) = sent.failure {
            return Err(ApiError::Chain(failure));
        }
        let opened = sent.block.events.iter().find_map(|event| match event {
            Event::RunOpened { run, input: of, .. } if *of == input => Some(*run),
            _ => None,
        });
        opened.ok_or_else(|| ApiError::Internal("the block that opened the run does not name it".to_owned()))
    }

    /// Gives a run up: what it would have cost goes back when the chain closes it.
    pub(super) async fn close(&self, lease: LeaseId) {
        match self.sender.send(TransactionBody::CloseLease { lease }).await {
            Ok(sent) => debug!(%lease, failure = sent.failure, "a run was given up"),
            // It expires by itself.
            Err(error) => warn!(%lease, %error, "a run could not be given up"),
        }
    }
}

fn run_terms(found: &Found, input: Digest) -> RunTerms {
    RunTerms { agent: found.id, version: found.agent.terms.version_digest(), input, open_ms: OPEN_MS }
}

/// Waits for the host, and for the run's end.
async fn follow(
    hub: &Arc<Hub>,
    spec: &RunSpec,
    (news, calls): (&mpsc::Sender<RunNews>, &mut Vec<RunNews>),
    about: (&Found, u64),
    reserved: &mut RunReservation,
) -> Result<Ended, ApiError> {
    let until = Instant::now() + HOST_WAIT;
    loop {
        let room = hub.more_room();
        tokio::pin!(room);
        room.as_mut().enable();
        if hub.is_hosted(spec.request.lease) {
            break;
        }
        let waited = tokio::time::timeout_at(until, room).await;
        waited.map_err(|_| ApiError::RunFailed("no worker hosts agents at the moment".to_owned()))?;
    }
    reserved.release();
    let began = Instant::now();
    let mut handle: JobHandle = hub.submit_run(spec)?;
    let mut transcript = RunTranscript::default();
    loop {
        match handle.next().await {
            Some(JobEvent::Called(one)) => {
                calls.push(one.clone());
                // News are for who reads them; the run's end tells all of it.
                let _ = news.try_send(one);
            }
            Some(JobEvent::Parts(JobAnswer::Run(whole))) => transcript = whole,
            Some(JobEvent::Text(_) | JobEvent::Parts(_)) => {}
            Some(JobEvent::Done { cost, leaf, .. }) => {
                let hires = hires(spec.request.lease, &spec.payload, about.0.agent.terms.limits, &transcript);
                let tasks = hires.iter().map(|(place, given)| (*place, task_of(given))).collect();
                // Before anybody hears of the run: what it ordered is not lost with this process.
                // A key pays for model calls at most twice what the run that it asked for may take: what was hired hires nobody.
                if let Some(orders) = OrdersRecord::of(*leaf, &transcript, (spec.payer, hires, spec.hires_max)) {
                    hub.disk(move |hub| hub.store.put_orders(&orders)).await?;
                }
                let host = hub.host_of(spec.request.lease);
                return Ok(ended(spec, about, (cost, calls, transcript, tasks), (host, began.elapsed())));
            }
            Some(JobEvent::Failed { reason }) => return Err(ApiError::RunFailed(reason)),
            None => return Err(ApiError::RunFailed("the run was lost".to_owned())),
        }
    }
}

/// What a run's model calls took, and cost.
fn sums(news: &[RunNews]) -> (Usage, u64) {
    let (mut usage, mut cost) = (Usage::default(), 0u64);
    for one in news {
        if let RunNews::Model { usage: of, cost: costs, .. } = one {
            usage.prompt_tokens = usage.prompt_tokens.saturating_add(of.prompt_tokens);
            usage.completion_tokens = usage.completion_tokens.saturating_add(of.completion_tokens);
            cost = cost.saturating_add(costs.nano());
        }
    }
    (usage, cost)
}

fn shown_usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}

fn shown_agent(found: &Found) -> Value {
    let version = found.agent.terms.version_digest().to_string();
    json!({
        "id": found.id.to_string(), "name": found.agent.name, "version": found.agent.version, "version_digest": version,
    })
}

fn ended(
    spec: &RunSpec,
    (found, began_at_ms): (&Found, u64),
    (price, news, transcript, tasks): (Amount, &[RunNews], RunTranscript, BTreeMap<u32, String>),
    (host, took): (Option<inferium_types::NodeId>, Duration),
) -> Ended {
    let (usage, calls_cost) = sums(news);
    let cost = Amount::from_nano(price.nano().saturating_add(calls_cost));
    let job = spec.request.job.to_string();
    let shown = json!({
        "id": spec.request.lease.to_string(),
        "object": "run",
        "agent": shown_agent(found),
        "status": "completed",
        "began_at": began_at_ms / 1_000,
        "ended_at": unix_ms() / 1_000,
        // From when its host had it: before that the chain opened it, and drew the host.
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answer": transcript.answer,
        "calls": shown_calls(&transcript, news, &tasks),
        "usage": shown_usage(&usage),
        "price": ifr(price),
        "cost": ifr(cost),
        "cost_nano": cost.nano(),
        "inferium": {
            "job": job,
            "worker": host.map(|host| host.to_string()),
            "status": "provisional",
            "receipt_url": format!("/v1/receipts/{job}"),
        },
    });
    Ended { answer: transcript.answer, usage, cost, shown }
}

/// What a hired run is to do.
fn task_of(given: &JobPayload) -> String {
    match &given.input {
        JobInput::Run(input) => input.task.clone(),
        _ => String::new(),
    }
}

/// The calls of a run: what was said in them, and what they took; of those that hire, what for.
fn shown_calls(transcript: &RunTranscript, news: &[RunNews], tasks: &BTreeMap<u32, String>) -> Vec<Value> {
    let mut took = news.iter().filter_map(|one| match one {
        RunNews::Tool { took_ms, .. } => Some(*took_ms),
        RunNews::Model { .. } => None,
    });
    let mut answers = news.iter().filter_map(|one| match one {
        RunNews::Model { cost, took_ms, .. } => Some((*cost, *took_ms)),
        RunNews::Tool { .. } => None,
    });
    let shown = (0u32..).zip(&transcript.calls).map(|(place, call)| match call {
        CallRecord::Model { leaf, output, .. } => {
            let (cost, took_ms) = answers.next().unzip();
            json!({
                "type": "model",
                "job": leaf.request.job.to_string(),
                "text": output.text,
                "prompt_tokens": leaf.result.usage.prompt_tokens,
                "completion_tokens": leaf.result.usage.completion_tokens,
                "cost": cost.map(ifr),
                "took_ms": took_ms,
            })
        }
        CallRecord::Tool { name, arguments, response, failed, .. } => json!({
            "type": "tool",
            "name": name,
            "arguments": arguments,
            "response": response,
            "failed": failed,
            "took_ms": took.next(),
        }),
        CallRecord::Spend { order: SpendOrder::Pay { to, amount } } => {
            json!({"type": "spend", "to": to.to_string(), "amount": ifr(*amount)})
        }
        CallRecord::Spend { order: SpendOrder::Hire { run } } => {
            json!({"type": "hire", "agent": run.agent.to_string(), "task": tasks.get(&place)})
        }
    });
    shown.collect()
}

fn failed(run: LeaseId, (found, began_at_ms): (&Found, u64), news: &[RunNews], reason: &str) -> Value {
    let (usage, cost) = sums(news);
    json!({
        "id": run.to_string(),
        "object": "run",
        "agent": shown_agent(found),
        "status": "failed",
        "began_at": began_at_ms / 1_000,
        "ended_at": unix_ms() / 1_000,
        "error": reason,
        // What the model answered before is paid for.
        "calls": news.iter().map(shown_news).collect::<Vec<_>>(),
        "usage": shown_usage(&usage),
        "cost": ifr(Amount::from_nano(cost)),
        "cost_nano": cost,
    })
}
