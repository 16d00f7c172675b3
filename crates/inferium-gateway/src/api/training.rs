//! `/v1/training/runs`: runs of training, of classifiers and of adapters, whose intervals workers train, and committees train again (SPEC X3).
//!
//! Whoever sends a run is told its name at once. It is announced as a job, its order is drawn, and then one interval follows another, each
//! from the end of one that its committee approved ([`work`]). What everybody sees of a run is its settings, losses, roots and jobs; what
//! it is trained on, and what comes of it, are for the key that pays.

mod work;

pub(crate) use work::run as run_trainings;

use super::boards::{Standing, decided, standing};
use super::choices::ifr;
use super::error::{ApiError, TRAINING};
use super::fields::{fields, text, within};
use super::{ApiModel, ApiState, object, sized, whole_body};
use crate::clock::unix_ms;
use crate::gateway::ServedTraining;
use crate::hub::Hub;
use crate::store::{IntervalRow, PendingInterval, Progress, StoreError, TrainingRecord, TrainingState};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use inferium_train::{
    ADAPTER_TOKENS_MAX, BaseModel, DataSet, DataTerms, Ground, Method, OptimiserTerms, TrainingSpec, Vectors,
    announced, input,
};
use inferium_types::{Amount, Digest, JobPayload, Ppm, TaskKind, Usage, limits};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Intervals of a run at most.
pub(super) const INTERVALS_MAX: u64 = 1_024;
/// Bytes of all its checkpoints at most.
const CHECKPOINTS_SIZE_MAX: u64 = 64 * 1024 * 1024;
/// Steps of a run at most.
pub(super) const STEPS_MAX: u32 = 1 << 17;
/// Bytes of a name of a model.
const NAME_MAX: usize = 256;
/// The file of a run's spec, as `inferium train` keeps it.
const SPEC_FILE: &str = "spec.bin";
const SPEC_MAGIC: &[u8] = b"inferium-training-spec/1\n";

/// What intervals of one ground are asked with.
#[derive(Debug, Clone)]
pub(super) struct Trainers {
    ground: Ground,
    model: Arc<ApiModel>,
}

impl Trainers {
    pub(super) fn new(served: &ServedTraining) -> Self {
        let (profile, model) = (served.ground.profile(), served.ground.model());
        let (context_tokens, price_max) = (served.demand.context_tokens, served.demand.price_max);
        let (id, kind) = (profile.id(), TaskKind::Training);
        let model = ApiModel { id, kind, profile, model, context_tokens, price_max };
        Self { ground: served.ground.clone(), model: Arc::new(model) }
    }

    /// What trains runs with this spec; `None` where they are not offered, or on another model.
    fn of<'a>(offered: &'a [Self], spec: &TrainingSpec) -> Option<&'a Self> {
        offered.iter().find(|trainers| trainers.ground.takes(spec))
    }
}

/// A body of `POST /v1/training/runs`.
#[derive(Debug)]
struct TrainingRequest {
    data: String,
    /// Of a classifier.
    vectors: Option<Vec<u8>>,
    /// Of adapters.
    adapters: Option<AdapterTerms>,
    model: BaseModel,
    batch: u32,
    steps: u32,
    interval: Option<u32>,
    optimiser: OptimiserTerms,
    held_out: Ppm,
    measured_max: Option<u32>,
}

/// What adapters are to be.
#[derive(Debug, Clone, Copy)]
struct AdapterTerms {
    rank: u32,
    alpha: u32,
    layers: u32,
    sequence: u32,
}

impl AdapterTerms {
    fn parse(given: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut read = Self { rank: 8, alpha: 16, layers: 8, sequence: 64 };
        for (field, value) in given {
            let param = format!("adapters.{field}");
            match field.as_str() {
                _ if value.is_null() => {}
                "rank" => read.rank = within(&param, value, 1, 256)?,
                "alpha" => read.alpha = within(&param, value, 1, 1_000)?,
                "layers" => read.layers = within(&param, value, 1, 1_024)?,
                "sequence" => read.sequence = within(&param, value, 2, 512)?,
                _ => return Err(ApiError::Unsupported { param }),
            }
        }
        Ok(read)
    }
}

impl TrainingRequest {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const NANO: u32 = 1_000_000_000;
        let missing = |field: &str| ApiError::invalid(field, format!("`{field}` is required"));
        let (mut data, mut vectors, mut model, mut steps) = (None, None, None, None);
        let mut interval = None;
        let mut read = Self {
            data: String::new(),
            vectors: None,
            adapters: None,
            model: BaseModel { name: String::new(), weights_root: Digest::ZERO, tokenizer_hash: Digest::ZERO },
            batch: 32,
            steps: 0,
            interval: None,
            optimiser: OptimiserTerms {
                learning_rate_nano: 10_000_000,
                weight_decay_nano: 10_000_000,
                warmup_steps: 10,
            },
            held_out: Ppm::new(200_000),
            measured_max: None,
        };
        for (field, value) in &object(body)? {
            let name = field.as_str();
            match name {
                _ if value.is_null() => {}
                "data" => data = Some(text(name, value)?.to_owned()),
                "vectors" => vectors = Some(decoded(text(name, value)?)?),
                "adapters" => read.adapters = Some(AdapterTerms::parse(fields(name, value)?)?),
                "model" => model = Some(base_model(fields(name, value)?)?),
                "steps" => steps = Some(within(name, value, 1, STEPS_MAX)?),
                "interval" => interval = Some(within(name, value, 1, steps_max())?),
                "batch" => read.batch = within(name, value, 1, 4_096)?,
                "learning_rate_nano" => read.optimiser.learning_rate_nano = within(name, value, 1, NANO)?,
                "weight_decay_nano" => read.optimiser.weight_decay_nano = within(name, value, 0, NANO)?,
                "warmup_steps" => read.optimiser.warmup_steps = within(name, value, 0, STEPS_MAX)?,
                "held_out_ppm" => read.held_out = Ppm::new(within(name, value, 1, 999_999)?),
                "measured_max" => read.measured_max = Some(within(name, value, 1, 1 << 20)?),
                other => return Err(ApiError::Unsupported { param: other.to_owned() }),
            }
        }
        Ok(Self {
            data: data.ok_or_else(|| missing("data"))?,
            vectors,
            model: model.ok_or_else(|| missing("model"))?,
            steps: steps.ok_or_else(|| missing("steps"))?,
            interval,
            ..read
        })
    }

    /// The run as it is announced, with what it is trained on.
    fn open(self) -> Result<Open, ApiError> {
        let of_data = |error: &dyn std::fmt::Display| ApiError::invalid("data", error.to_string());
        let data = DataSet::parse(&self.data).map_err(|error| of_data(&error))?;
        let (method, vectors) = match self.adapters {
            Some(_) if self.vectors.is_some() => {
                return Err(ApiError::invalid(
                    "vectors",
                    "adapters are trained on texts: `vectors` are a classifier's",
                ));
            }
            Some(AdapterTerms { rank, alpha, layers, sequence }) => {
                (Method::Lora { rank, alpha_milli: alpha.saturating_mul(1_000), layers, sequence }, None)
            }
            None => {
                let missing = "`vectors` is required of a classifier, and `adapters` of adapters";
                let bits = self.vectors.as_deref().ok_or_else(|| ApiError::invalid("vectors", missing))?;
                let labels = data.labels().map_err(|error| of_data(&error))?;
                let (method, vectors) = classifier(&data, labels, bits)?;
                (method, Some(vectors))
            }
        };
        let spec = announced(TrainingSpec {
            method,
            model: self.model,
            engine: TrainingSpec::class(),
            data: DataTerms {
                root: data.root(),
                held_out: self.held_out,
                measured_max: self.measured_max.unwrap_or(if vectors.is_some() { 10_000 } else { 100 }),
                examples: 1,
            },
            order: Digest::ZERO,
            seed: Digest::ZERO,
            optimiser: self.optimiser,
            batch: self.batch,
            steps: self.steps.into(),
            // As few as there can be are enough where each is trained again.
            interval: self.interval.unwrap_or_else(|| self.steps.div_ceil(10).min(steps_max())),
        });
        Ok(Open { spec, text: self.data, vectors, lines: data.lines().len() })
    }
}

/// A classifier of these labels on vectors of all lines.
fn classifier(data: &DataSet, labels: Vec<String>, bits: &[u8]) -> Result<(Method, Vectors), ApiError> {
    let lines = data.lines().len();
    let width = (bits.len() / 4).checked_div(lines).unwrap_or(0);
    if width == 0 || width.saturating_mul(lines).saturating_mul(4) != bits.len() {
        let message = format!("`vectors` has {} bytes, which are no vectors of {lines} lines", bits.len());
        return Err(ApiError::invalid("vectors", message));
    }
    let of_vectors = |error: &dyn std::fmt::Display| ApiError::invalid("vectors", error.to_string());
    let vectors = Vectors::from_bits(width, bits).map_err(|error| of_vectors(&error))?;
    let width = u32::try_from(width).map_err(|error| of_vectors(&error))?;
    Ok((Method::Head { labels, width, vectors: vectors.root() }, vectors))
}

fn steps_max() -> u32 {
    u32::try_from(limits::TRAINING_STEPS_MAX).unwrap_or(u32::MAX)
}

fn decoded(text: &str) -> Result<Vec<u8>, ApiError> {
    BASE64.decode(text).map_err(|error| ApiError::invalid("vectors", format!("`vectors` is no Base64: {error}")))
}

fn base_model(given: &Map<String, Value>) -> Result<BaseModel, ApiError> {
    let param = |field: &str| format!("model.{field}");
    let of = |field: &str| {
        let param = param(field);
        let value = given.get(field).ok_or_else(|| ApiError::invalid(&param, format!("`{param}` is required")))?;
        text(&param, value).map(str::to_owned)
    };
    let hash = |field: &str| {
        let message = || format!("`{}` has 64 hex digits", param(field));
        Digest::from_hex(&of(field)?).ok_or_else(|| ApiError::invalid(&param(field), message()))
    };
    if let Some(other) = given.keys().find(|key| !matches!(key.as_str(), "name" | "weights_root" | "tokenizer")) {
        return Err(ApiError::Unsupported { param: param(other) });
    }
    let name = of("name")?;
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "model.name",
            format!("`model.name` has 1 to {NAME_MAX} bytes, and no control characters"),
        ));
    }
    Ok(BaseModel { name, weights_root: hash("weights_root")?, tokenizer_hash: hash("tokenizer")? })
}

/// A run that is not begun.
#[derive(Debug)]
struct Open {
    spec: TrainingSpec,
    text: String,
    /// Of a classifier.
    vectors: Option<Vectors>,
    lines: usize,
}

impl Open {
    /// Checks that the network could train it, and that what it leaves can be kept.
    fn check(&self, trainers: &Trainers) -> Result<(), ApiError> {
        let payload = JobPayload::train([0; 32], input(&self.spec, &self.text, self.vectors.as_ref(), None));
        payload.check()?;
        trainers.model.model.read(&payload.input).map_err(|error| ApiError::invalid("data", error.to_string()))?;
        let (intervals, state) = (self.spec.intervals(), trainers.ground.state_size(&self.spec).unwrap_or(u64::MAX));
        let too_many = |message: String| Err(ApiError::invalid("interval", message));
        if intervals > INTERVALS_MAX {
            return too_many(format!("{intervals} intervals; a run has at most {INTERVALS_MAX}"));
        }
        let kept = intervals.saturating_add(1).saturating_mul(state);
        if kept > CHECKPOINTS_SIZE_MAX {
            return too_many(format!(
                "{intervals} checkpoints of {state} bytes; at most {CHECKPOINTS_SIZE_MAX} are kept"
            ));
        }
        let seen = u64::from(self.spec.interval).saturating_mul(self.step_units());
        let (what, most) = match self.spec.method {
            Method::Head { .. } => ("examples", u64::from(limits::TRAINING_EXAMPLES_MAX)),
            Method::Lora { .. } => ("tokens", ADAPTER_TOKENS_MAX),
        };
        if seen > most {
            return too_many(format!("the steps of an interval see {seen} {what}; at most {most} are possible"));
        }
        Ok(())
    }

    /// What a step sees at most, as it is paid: examples of a classifier, tokens of adapters.
    fn step_units(&self) -> u64 {
        let tokens = match self.spec.method {
            Method::Head { .. } => 1,
            Method::Lora { sequence, .. } => u64::from(sequence),
        };
        tokens.saturating_mul(self.spec.batch.into())
    }

    /// What all of it costs at most, at what the gateway offers.
    fn cost_max(&self, trainer: &ApiModel) -> Amount {
        let examples = self.spec.steps.saturating_mul(self.step_units()).saturating_add(1);
        let intervals = self.spec.intervals().saturating_add(1);
        let part = |price: Amount, count: u64| price.nano().saturating_mul(count);
        let price = trainer.price_max;
        Amount::from_nano(part(price.prompt_token, examples).saturating_add(part(price.completion_token, intervals)))
    }
}

/// Begins a run; one that was sent before goes on, or is shown.
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let key = state.key(&headers)?;
    let body = whole_body(body)?;
    let request = sized(body.len(), move || TrainingRequest::parse(&body)).await??;
    let trainers = Arc::clone(&state.trainers);
    if trainers.is_empty() {
        return Err(ApiError::NotOffered("training"));
    }
    // One at a time, so that others' requests find a thread.
    let turn = Arc::clone(&state.folding).acquire_owned().await;
    let turn = turn.map_err(|error| ApiError::Internal(error.to_string()))?;
    let opened = tokio::task::spawn_blocking({
        move || {
            let _turn = turn;
            let open = request.open()?;
            let trainers = Trainers::of(&trainers, &open.spec).ok_or_else(|| not_offered(&trainers, &open.spec))?;
            open.check(trainers)?;
            let cost = open.cost_max(&trainers.model);
            Ok::<_, ApiError>((open, cost))
        }
    });
    let (open, cost) = opened.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let id = Digest::of("inferium/training-run/1", &[key.hash.as_bytes(), open.spec.digest().as_bytes()]);
    if cost > key.left {
        let message = format!("this run costs up to {}, and {} is left", ifr(cost), ifr(key.left));
        return Err(ApiError::Budget(message, cost));
    }
    let record = TrainingRecord {
        payer: key.hash,
        created_at_ms: unix_ms(),
        open: inferium_types::encode(&open.spec),
        lines: u64::try_from(open.lines).unwrap_or(u64::MAX),
        state: TrainingState::Announced,
        announcement: None,
        drawn: None,
        spec: None,
        progress: Progress::default(),
        rejected: 0,
        waits: None,
        before: None,
        after: None,
    };
    let data = (open.text, open.vectors.as_ref().map_or_else(Vec::new, Vectors::bits));
    let kept = state.hub.disk(move |hub| match hub.store.training(id)? {
        // What failed goes on from its last interval: the budget may be another now.
        Some(TrainingRecord { state: TrainingState::Failed(_), .. }) => {
            hub.store.change_training(id, |record| {
                let is_drawn = record.spec.is_some();
                record.state = if is_drawn { TrainingState::Training } else { TrainingState::Announced };
                (record.rejected, record.waits) = (0, None);
            })?;
            Ok(true)
        }
        Some(_) => Ok(true),
        None => hub.store.put_training(id, &record, &data),
    });
    if !kept.await? {
        return Err(ApiError::Overloaded);
    }
    state.hub.training_added();
    shown(&state.hub, id, Some(key.hash)).await
}

fn not_offered(offered: &[Trainers], spec: &TrainingSpec) -> ApiError {
    let base = offered.iter().find_map(|trainers| match &trainers.ground {
        Ground::Decoder(base) => Some(base.model()),
        Ground::Vectors => None,
    });
    match (&spec.method, base) {
        (Method::Head { .. }, _) => ApiError::NotOffered("training of classifiers"),
        (Method::Lora { .. }, None) => ApiError::NotOffered("training of adapters"),
        (Method::Lora { .. }, Some(base)) => {
            let message = format!("adapters are trained on `{}` of the weights {} here", base.name, base.weights_root);
            ApiError::invalid("model", message)
        }
    }
}

/// A run with all that everybody may see of it, and for who pays why it does not go on.
async fn shown(hub: &Arc<Hub>, id: Digest, reader: Option<Digest>) -> Result<Json<Value>, ApiError> {
    let found = hub.disk(move |hub| {
        let Some(record) = hub.store.training(id)? else { return Ok(None) };
        let mut rows = Vec::new();
        for row in hub.store.training_intervals(id)? {
            let standing = standing(hub, row.job)?;
            rows.push((row, standing));
        }
        let pending = hub.store.pending_interval(id)?;
        let announced = record.announcement.map(|job| standing(hub, job)).transpose()?;
        Ok(Some((record, rows, pending, announced)))
    });
    let missing = || ApiError::Missing { what: TRAINING, id: id.to_string() };
    let (record, rows, pending, announced) = found.await?.ok_or_else(missing)?;
    let mut shown = brief(id, &record, reader);
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(details(&record, &rows, pending.as_ref(), announced));
    }
    Ok(Json(shown))
}

/// The spec of a run: as it was drawn, or as it was announced.
fn spec_of(record: &TrainingRecord) -> Option<TrainingSpec> {
    inferium_types::decode(record.spec.as_ref().unwrap_or(&record.open)).ok()
}

/// What a list has of a run.
fn brief(id: Digest, record: &TrainingRecord, reader: Option<Digest>) -> Value {
    let (spec, Progress { intervals, cost, last }) = (spec_of(record), record.progress);
    let of = |read: &dyn Fn(&TrainingSpec) -> Value| spec.as_ref().map(read);
    let (status, error) = match &record.state {
        TrainingState::Announced => ("announced", None),
        TrainingState::Training => ("training", None),
        TrainingState::Finished => ("finished", None),
        TrainingState::Failed(why) => ("failed", Some(why)),
    };
    // A budget that is left, and what workers wrote, are nobody else's business.
    let is_payer = reader == Some(record.payer);
    let labels = of(&|spec| match &spec.method {
        Method::Head { labels, .. } => json!(labels.len()),
        Method::Lora { .. } => Value::Null,
    });
    let adapters = of(&|spec| match &spec.method {
        Method::Head { .. } => Value::Null,
        Method::Lora { rank, alpha_milli, layers, sequence } => {
            json!({"rank": rank, "alpha": f64::from(*alpha_milli) / 1e3, "layers": layers, "sequence": sequence})
        }
    });
    let measured = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "object": "training.run",
        "id": id.to_string(),
        "status": status,
        "error": error.map(|words| if is_payer { words.as_str() } else { "it did not go on; its key is told why" }),
        "waits": record.waits.as_deref().map(|words| if is_payer { words } else { "a worker" }),
        "created": record.created_at_ms / 1_000,
        "method": of(&|spec| json!(match spec.method { Method::Head { .. } => "head", Method::Lora { .. } => "lora" })),
        "adapters": adapters,
        "model": of(&|spec| json!({"name": spec.model.name, "weights_root": spec.model.weights_root.to_string(), "tokenizer": spec.model.tokenizer_hash.to_string()})),
        "labels": labels,
        "lines": record.lines,
        "steps": of(&|spec| json!(spec.steps)),
        "intervals": of(&|spec| json!(spec.intervals())),
        "intervals_done": intervals,
        "root": last.map(|(root, _)| root.to_string()),
        "loss": last.map(|(_, bits)| f32::from_bits(bits)),
        "rejected": record.rejected,
        "before": measured(&record.before),
        "after": measured(&record.after),
        "cost": ifr(cost),
        "cost_nano": cost.nano(),
    })
}

fn details(
    record: &TrainingRecord,
    rows: &[(IntervalRow, Standing)],
    pending: Option<&PendingInterval>,
    announced: Option<Standing>,
) -> Map<String, Value> {
    let spec = spec_of(record);
    let of = |read: &dyn Fn(&TrainingSpec) -> Value| spec.as_ref().map(read);
    let receipt = |job: &dyn std::fmt::Display| format!("/v1/receipts/{job}");
    let job = |(index, (row, standing)): (u64, &(IntervalRow, Standing))| {
        let steps = spec.as_ref().map(|spec| spec.steps_of(index)).unwrap_or_default();
        json!({
            "interval": index, "job": row.job.to_string(), "root": row.root.to_string(), "status": standing.name(),
            "first_step": steps.0, "steps": row.losses.len(), "cost_nano": row.cost.nano(), "receipt_url": receipt(&row.job),
        })
    };
    let losses: Vec<f32> = rows.iter().flat_map(|(row, _)| &row.losses).map(|bits| f32::from_bits(*bits)).collect();
    let shown = json!({
        "run": spec.as_ref().filter(|_| record.spec.is_some()).map(|spec| spec.digest().to_string()),
        "data_root": of(&|spec| json!(spec.data.root.to_string())),
        "examples": of(&|spec| json!(spec.data.examples)),
        "held_out_ppm": of(&|spec| json!(spec.data.held_out.get())),
        "measured_max": of(&|spec| json!(spec.data.measured_max)),
        "batch": of(&|spec| json!(spec.batch)),
        "interval": of(&|spec| json!(spec.interval)),
        "learning_rate_nano": of(&|spec| json!(spec.optimiser.learning_rate_nano)),
        "weight_decay_nano": of(&|spec| json!(spec.optimiser.weight_decay_nano)),
        "warmup_steps": of(&|spec| json!(spec.optimiser.warmup_steps)),
        "order": of(&|spec| json!(spec.order.to_string())),
        "seed": of(&|spec| json!(spec.seed.to_string())),
        "announcement": record.announcement.map(|job| json!({
            "job": job.to_string(), "status": announced.map(Standing::name), "receipt_url": receipt(&job),
            "drawn": record.drawn.map(|drawn| drawn.to_string()),
        })),
        "losses": losses,
        "jobs": (0_u64..).zip(rows).map(job).collect::<Vec<_>>(),
        "pending": pending.map(|pending| json!({
            "job": pending.row.job.to_string(), "receipt_url": receipt(&pending.row.job),
        })),
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// All runs, the newest first.
pub(super) async fn list(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let reader = state.key(&headers).ok().map(|key| key.hash);
    let found = state.hub.disk(|hub| hub.store.trainings());
    let mut found = found.await?;
    found.sort_by_key(|(_, record)| std::cmp::Reverse(record.created_at_ms));
    let data: Vec<Value> = found.iter().map(|(id, record)| brief(*id, record, reader)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

fn id_of(id: Result<Path<String>, PathRejection>) -> Result<Digest, ApiError> {
    let Path(id) = id.map_err(|rejection| ApiError::invalid("run_id", rejection.body_text()))?;
    Digest::from_hex(&id).ok_or(ApiError::Missing { what: TRAINING, id })
}

pub(super) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    shown(&state.hub, id_of(id)?, state.key(&headers).ok().map(|key| key.hash)).await
}

/// A file of a run, for the key that pays for it: its spec, a checkpoint, or what was trained.
pub(super) async fn file(
    State(state): State<ApiState>,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let payer = state.payer(&headers)?;
    let Path((run, name)) = path.map_err(|rejection| ApiError::invalid("run_id", rejection.body_text()))?;
    let missing = || ApiError::Missing { what: TRAINING, id: run.clone() };
    let id = Digest::from_hex(&run).ok_or_else(missing)?;
    let record = state.hub.disk(move |hub| hub.store.training(id)).await?;
    let record = record.filter(|record| record.payer == payer).ok_or_else(missing)?;
    let wanted = name.clone();
    let trainers = Arc::clone(&state.trainers);
    let bytes = state.hub.disk(move |hub| file_of(hub, &trainers, id, (&record, &wanted))).await?;
    let no_file = || ApiError::invalid("file", format!("this run has no file `{name}`, or not yet"));
    let bytes = bytes.ok_or_else(no_file)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Waits for the disk.
fn file_of(
    hub: &Hub,
    trainers: &[Trainers],
    id: Digest,
    (record, name): (&TrainingRecord, &str),
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(encoded) = &record.spec else { return Ok(None) };
    if name == SPEC_FILE {
        return Ok(Some([SPEC_MAGIC, encoded].concat()));
    }
    if let Some(index) = name.strip_suffix(".checkpoint").and_then(|index| index.parse::<u64>().ok()) {
        return hub.store.training_checkpoint(id, index);
    }
    if record.state != TrainingState::Finished {
        return Ok(None);
    }
    let Some(prepared) = work::Prepared::load(hub, trainers, id, encoded)? else { return Ok(None) };
    let Some(last) = prepared.last(hub, id)? else { return Ok(None) };
    let files = prepared.trainer.export(&last.state);
    Ok(files.into_iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes))
}

/// What a job of a run uses at most.
fn usage(examples: usize) -> Usage {
    Usage { prompt_tokens: u32::try_from(examples).unwrap_or(u32::MAX), completion_tokens: 1 }
}

#[cfg(test)]
mod tests;
