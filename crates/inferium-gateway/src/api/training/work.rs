//! The work of runs: announced, drawn, and then one interval after another, each from the end of one that was approved.
//!
//! What a worker claims is on disk before anything is made of it, and an interval counts once its committee approved it: whatever ends the
//! gateway, a run goes on from its last interval that is final.

use super::{Standing, Trainers, decided, standing, usage};
use crate::api::ApiState;
use crate::api::parts::{Done, Tried, spec as job_spec, try_alone};
use crate::hub::Hub;
use crate::store::{IntervalRow, PendingInterval, StoreError, TrainingRecord, TrainingState};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use inferium_train::{
    Checkpoint, DataSet, Ground, InvalidInterval, Method, Trainer, TrainingSpec, Vectors, claimed, input,
};
use inferium_types::{Digest, JobAnswer, JobId, JobPayload, TrainingInput};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Pause before a job is asked for again that no worker took, or that one failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Jobs of a run that no committee approves, after which it is given up.
const REJECTED_MAX: u32 = 32;
/// Workers in a row that fail a job, after which its run is given up.
const FAILED_MAX: u32 = 8;

/// Works on all runs that there are, and come; ends only when the disk fails.
pub(crate) async fn run(state: ApiState) -> Result<(), StoreError> {
    if state.trainers.is_empty() {
        return std::future::pending().await;
    }
    let mut working = FuturesUnordered::new();
    let mut at_work = BTreeSet::new();
    loop {
        for (id, record) in state.hub.disk(|hub| hub.store.trainings()).await? {
            let Some(spec) = super::spec_of(&record) else { continue };
            // One of a kind, or on a model, that is not trained here any more waits until it is.
            let Some(trainers) = Trainers::of(&state.trainers, &spec).cloned() else { continue };
            if !record.state.is_over() && at_work.insert(id) {
                let hub = Arc::clone(&state.hub);
                working.push(async move { (id, Run { hub, trainers, id }.drive().await) }.boxed());
            }
        }
        tokio::select! {
            () = state.hub.next_training() => {}
            Some((id, outcome)) = working.next() => {
                outcome?;
                at_work.remove(&id);
            }
        }
    }
}

/// What a run is trained with, read again from the disk.
pub(super) struct Prepared {
    pub(super) trainer: Box<dyn Trainer>,
    material: Material,
}

impl Prepared {
    /// Of a run whose spec this is; none where something is gone. Waits for the disk.
    pub(super) fn load(
        hub: &Hub,
        trainers: &[Trainers],
        id: Digest,
        encoded: &[u8],
    ) -> Result<Option<Self>, StoreError> {
        let Ok(spec) = inferium_types::decode::<TrainingSpec>(encoded) else { return Ok(None) };
        let Some(trainers) = Trainers::of(trainers, &spec) else { return Ok(None) };
        let Some(material) = Material::load(hub, id, &spec)? else { return Ok(None) };
        // What does not hold together any more ends its run, and not the gateway.
        let trainer = trainers.ground.trainer(spec, &material.data, &material.bits()).ok();
        Ok(trainer.map(|trainer| Self { trainer, material }))
    }

    fn spec(&self) -> &TrainingSpec {
        self.trainer.spec()
    }

    /// The last checkpoint that counts. Waits for the disk.
    pub(super) fn last(&self, hub: &Hub, id: Digest) -> Result<Option<Checkpoint>, StoreError> {
        let Some(record) = hub.store.training(id)? else { return Ok(None) };
        let Some(bytes) = hub.store.training_checkpoint(id, record.progress.intervals)? else { return Ok(None) };
        let read = Checkpoint::from_bytes(&bytes, self.spec().digest(), &self.trainer.shapes());
        Ok(read.ok())
    }
}

/// What a run is trained on.
struct Material {
    text: String,
    data: DataSet,
    /// Of a classifier.
    vectors: Option<Vectors>,
}

impl Material {
    /// None where it is gone. Waits for the disk.
    fn load(hub: &Hub, id: Digest, spec: &TrainingSpec) -> Result<Option<Self>, StoreError> {
        let Some((text, bits)) = hub.store.training_data(id)? else { return Ok(None) };
        let data = DataSet::parse(&text).map_err(StoreError::new)?;
        let vectors = match spec.method {
            Method::Head { width, .. } => {
                let width = usize::try_from(width).unwrap_or(usize::MAX);
                Some(Vectors::from_bits(width, &bits).map_err(StoreError::new)?)
            }
            Method::Lora { .. } => None,
        };
        Ok(Some(Self { text, data, vectors }))
    }

    fn bits(&self) -> Vec<u8> {
        self.vectors.as_ref().map_or_else(Vec::new, Vectors::bits)
    }

    fn input(&self, spec: &TrainingSpec, at: Option<&Checkpoint>) -> TrainingInput {
        input(spec, &self.text, self.vectors.as_ref(), at)
    }
}

/// Why a run does not go on.
enum Stop {
    Disk(StoreError),
    /// In words, for who pays.
    Failed(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Disk(error)
    }
}

struct Run {
    hub: Arc<Hub>,
    trainers: Trainers,
    id: Digest,
}

impl Run {
    /// A run to its end.
    async fn drive(self) -> Result<(), StoreError> {
        let id = self.id;
        let state = match self.go_on().await {
            Ok(()) => TrainingState::Finished,
            Err(Stop::Disk(error)) => return Err(error),
            Err(Stop::Failed(why)) => {
                warn!(run = %id, why, "a run of training was given up");
                TrainingState::Failed(why)
            }
        };
        info!(run = %id, ?state, "a run of training is over");
        self.hub
            .disk(move |hub| hub.store.change_training(id, |record| (record.state, record.waits) = (state, None)))
            .await
    }

    async fn record(&self) -> Result<TrainingRecord, Stop> {
        let id = self.id;
        let record = self.hub.disk(move |hub| hub.store.training(id)).await?;
        record.ok_or_else(|| Stop::Failed("the run is forgotten".to_owned()))
    }

    async fn go_on(&self) -> Result<(), Stop> {
        // Its lease is opened while it waits for one.
        let _waits = self.hub.line_waits(self.trainers.model.id);
        while self.record().await?.spec.is_none() {
            self.begin().await?;
        }
        let record = self.record().await?;
        let (id, payer) = (self.id, record.payer);
        let gone = || Stop::Failed("what the run is trained on is gone".to_owned());
        let encoded = record.spec.ok_or_else(gone)?;
        let own = [self.trainers.clone()];
        let prepared = self.hub.disk(move |hub| Prepared::load(hub, &own, id, &encoded)).await?;
        let prepared = Arc::new(prepared.ok_or_else(gone)?);
        loop {
            let (kept, hub_prepared) = (self.id, Arc::clone(&prepared));
            let at = self.hub.disk(move |hub| hub_prepared.last(hub, kept)).await?.ok_or_else(gone)?;
            if at.index() >= prepared.spec().intervals() {
                self.check_all().await?;
                let (measuring, ground) = (Arc::clone(&prepared), self.trainers.ground.clone());
                let after = tokio::task::spawn_blocking(move || evaluated(&ground, measuring.trainer.as_ref(), &at));
                let after = after.await.map_err(|error| Stop::Failed(error.to_string()))??;
                self.hub.disk(move |hub| hub.store.change_training(id, |record| record.after = Some(after))).await?;
                return Ok(());
            }
            self.interval(&prepared, payer, at).await?;
        }
    }

    /// Announces the run, and begins it with what drew the announcement's committee.
    async fn begin(&self) -> Result<(), Stop> {
        let id = self.id;
        let TrainingRecord { payer, open, announcement, .. } = self.record().await?;
        let read = |bytes: &[u8]| inferium_types::decode::<TrainingSpec>(bytes);
        let open = read(&open).map_err(|error| Stop::Failed(error.to_string()))?;
        let spec = open.clone();
        let gone = || Stop::Failed("what the run is trained on is gone".to_owned());
        let material = self.hub.disk(move |hub| Material::load(hub, id, &spec)).await?.ok_or_else(gone)?;
        let Some(job) = announcement else {
            let done = self.job(payer, material.input(&open, None)).await?;
            let job = JobId::from_hex(&done.job);
            self.hub.disk(move |hub| hub.store.change_training(id, |record| record.announcement = job)).await?;
            return Ok(());
        };
        let drawn_by = match decided(&self.hub, job).await? {
            true => self.draw_of(job).await?,
            false => None,
        };
        let Some(beacon) = drawn_by else {
            // It is announced anew, and so drawn anew.
            let rejected = self.hub.disk(move |hub| {
                hub.store.change_training(id, |record| {
                    (record.announcement, record.rejected) = (None, record.rejected.saturating_add(1));
                })
            });
            rejected.await?;
            return self.check_rejected().await;
        };
        let ground = self.trainers.ground.clone();
        let begun = tokio::task::spawn_blocking(move || {
            let invalid = |error: InvalidInterval| error.to_string();
            let spec = ground.drawn(&open, &beacon, &material.data).map_err(invalid)?;
            let trainer = ground.trainer(spec.clone(), &material.data, &material.bits()).map_err(invalid)?;
            let first = Checkpoint { spec: spec.digest(), record: None, state: trainer.initial() };
            let before = evaluated(&ground, trainer.as_ref(), &first).map_err(|_| "it can't be measured".to_owned())?;
            Ok::<_, String>((inferium_types::encode(&spec), first.to_bytes(&trainer.shapes()), before))
        });
        let begun = begun.await.map_err(|error| Stop::Failed(error.to_string()))?;
        let (spec, first, before) = begun.map_err(Stop::Failed)?;
        self.hub.disk(move |hub| hub.store.begin_training(id, (beacon, spec), &first, &before)).await?;
        Ok(())
    }

    /// The next interval, until a committee has decided about one that a worker claimed.
    async fn interval(&self, prepared: &Arc<Prepared>, payer: Digest, at: Checkpoint) -> Result<(), Stop> {
        let (id, index) = (self.id, at.index());
        let pending = self.hub.disk(move |hub| hub.store.pending_interval(id)).await?;
        let job = match pending {
            Some(pending) => pending.row.job,
            None => self.claim(prepared, payer, at).await?,
        };
        if decided(&self.hub, job).await? {
            self.hub.disk(move |hub| hub.store.approve_pending(id, index)).await?;
            return Ok(());
        }
        warn!(run = %id, interval = index, %job, "an interval was not approved: it is trained again");
        self.hub.disk(move |hub| hub.store.reject_pending(id)).await?;
        self.check_rejected().await
    }

    /// What was final may have been found wrong since (SPEC V4): then all that follows from it is wrong as well.
    async fn check_all(&self) -> Result<(), Stop> {
        let id = self.id;
        let wrong = self.hub.disk(move |hub| {
            for (index, row) in (1_u64..).zip(hub.store.training_intervals(id)?) {
                if standing(hub, row.job)? == Standing::Rejected {
                    return Ok(Some(index));
                }
            }
            Ok(None)
        });
        match wrong.await? {
            None => Ok(()),
            Some(index) => Err(Stop::Failed(format!("interval {index} was approved, and found wrong later"))),
        }
    }

    async fn check_rejected(&self) -> Result<(), Stop> {
        if self.record().await?.rejected >= REJECTED_MAX {
            return Err(Stop::Failed(format!("{REJECTED_MAX} of its jobs were not approved")));
        }
        Ok(())
    }

    /// Has a worker train an interval, and keeps what it claims.
    async fn claim(&self, prepared: &Arc<Prepared>, payer: Digest, at: Checkpoint) -> Result<JobId, Stop> {
        for _ in 0..FAILED_MAX {
            let asked = prepared.material.input(prepared.spec(), Some(&at));
            let Done { job, answer, cost, .. } = self.job(payer, asked).await?;
            let JobAnswer::Intervals(intervals) = answer else { continue };
            let Some(interval) = intervals.first() else { continue };
            let (Some(job), Ok(next)) = (JobId::from_hex(&job), claimed(prepared.spec(), &at, interval)) else {
                // Its committee will say so too.
                warn!(run = %self.id, job, "a worker claims what can't be an interval");
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let losses = interval.steps.iter().map(|step| step.loss_bits).collect();
            let row = IntervalRow { job, root: next.root(), losses, cost };
            let pending = PendingInterval { row, checkpoint: next.to_bytes(&prepared.trainer.shapes()) };
            let id = self.id;
            self.hub.disk(move |hub| hub.store.put_pending(id, &pending)).await?;
            return Ok(job);
        }
        Err(Stop::Failed("workers claim what can't be an interval".to_owned()))
    }

    /// A job, by whichever worker does it.
    async fn job(&self, payer: Digest, asked: TrainingInput) -> Result<Done, Stop> {
        let payload = JobPayload::train(rand::random(), asked);
        let trainer = Arc::clone(&self.trainers.model);
        let read = tokio::task::spawn_blocking(move || {
            let examples = trainer.model.read(&payload.input).map(|prompt| prompt.tokens());
            (payload, examples)
        });
        let (payload, examples) = read.await.map_err(|error| Stop::Failed(error.to_string()))?;
        let examples = examples.map_err(|error| Stop::Failed(error.to_string()))?;
        let mut failed = 0;
        loop {
            let count = usize::try_from(usage(examples).prompt_tokens).unwrap_or(usize::MAX);
            let spec = job_spec((&self.trainers.model, payer), payload.clone(), count);
            let spec = spec.map_err(|error| Stop::Failed(error.to_string()))?;
            let waits = match try_alone(&self.hub, spec).await {
                Ok(Tried::Done(done)) => {
                    self.waits_for(None).await?;
                    return Ok(*done);
                }
                Ok(Tried::NoRoom) => "a worker of tier High that trains".to_owned(),
                Ok(Tried::WorkerFailed(reason)) if failed < FAILED_MAX => {
                    failed += 1;
                    format!("another worker: {reason}")
                }
                Ok(Tried::WorkerFailed(reason)) => return Err(Stop::Failed(reason)),
                Err(error) => return Err(Stop::Failed(error.to_string())),
            };
            self.waits_for(Some(waits)).await?;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn waits_for(&self, waits: Option<String>) -> Result<(), Stop> {
        let id = self.id;
        if self.record().await?.waits != waits {
            self.hub.disk(move |hub| hub.store.change_training(id, |record| record.waits = waits)).await?;
        }
        Ok(())
    }

    /// What drew the committee of a job's segment.
    async fn draw_of(&self, job: JobId) -> Result<Option<Digest>, Stop> {
        let drawn = self.hub.disk(move |hub| match hub.store.job(job)? {
            Some((segment, _)) => hub.store.draw_of(segment),
            None => Ok(None),
        });
        Ok(drawn.await?)
    }
}

/// What a state comes to on the held-out part, as JSON.
fn evaluated(ground: &Ground, trainer: &dyn Trainer, at: &Checkpoint) -> Result<String, Stop> {
    let failed = |error: &dyn std::fmt::Display| Stop::Failed(error.to_string());
    let _turn = ground.turn();
    let measured = trainer.evaluate(&at.state.parameters, &mut |_, _| ()).map_err(|error| failed(&error))?;
    serde_json::to_string(&measured).map_err(|error| failed(&error))
}
