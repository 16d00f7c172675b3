//! The gateway as a whole.

use crate::api;
use crate::chainside::ChainSide;
use crate::hub::{Hub, Outlets, keep_unsigned};
use crate::keys::{AdminToken, ApiKey};
use crate::settle::settle;
use crate::stall::Stalls;
use crate::store::{GatewayStore, StoreError};
use crate::switch::WorkerSwitch;
use axum::Router;
use inferium_chain::{GetError, LightClient, Sender};
use inferium_engine::{Model, Prover};
use inferium_ledger::LEASE_JOBS_MAX;
use inferium_train::Ground;
use inferium_types::{Amount, ModelProfile, Price, ProfileId, SecretKey, TaskKind, TaskTerms};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A lease of batches is this many times as large as one for requests that someone waits for.
const BATCH_FACTOR: u32 = 10;

/// What a gateway asks of the pool, again and again.
#[derive(Debug, Clone, Copy)]
pub struct DemandTerms {
    /// Price at most.
    pub price_max: Price,
    /// Jobs of one lease.
    pub jobs_max: u32,
    /// Tokens of one lease.
    pub tokens_max: u64,
    /// Slots of one lease.
    pub slots: u32,
    /// Context that jobs may need; tokens.
    pub context_tokens: u32,
    /// How long a task waits; milliseconds.
    pub open_ms: u64,
    /// How long a lease lasts; milliseconds.
    pub lease_ms: u64,
}

impl DemandTerms {
    pub(crate) fn task(&self, profile: &ModelProfile, kind: TaskKind) -> TaskTerms {
        let factor = if kind == TaskKind::Batch { BATCH_FACTOR } else { 1 };
        TaskTerms {
            kind,
            mode: profile.mode(),
            tier: profile.task.least_tier(kind.policy().tier),
            profile: profile.id(),
            price_max: self.price_max,
            jobs_max: self.jobs_max.saturating_mul(factor).min(LEASE_JOBS_MAX.max(self.jobs_max)),
            tokens_max: self.tokens_max.saturating_mul(factor.into()),
            slots: self.slots,
            context_tokens: self.context_tokens,
            open_ms: self.open_ms,
            lease_ms: self.lease_ms,
        }
    }
}

/// A model that a gateway serves.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// What workers are asked for, and the name that clients ask for.
    pub profile: ModelProfile,
    /// Reads and counts what clients send.
    pub model: Model,
    /// What is asked of the pool.
    pub demand: DemandTerms,
}

impl ServedModel {
    /// The kinds of its tasks, the one of requests that somebody waits for first: answers of private weights are proofs (SPEC V12).
    pub(crate) const fn kinds(&self) -> &'static [TaskKind] {
        if self.profile.task.is_proof() { &[TaskKind::Validation] } else { &[TaskKind::Inference, TaskKind::Batch] }
    }
}

/// What a gateway has trained.
#[derive(Debug, Clone)]
pub struct ServedTraining {
    /// What runs are trained on top of.
    pub ground: Ground,
    /// What is asked of the pool while a run is under way.
    pub demand: DemandTerms,
}

/// A classifier whose answers a gateway has proved.
#[derive(Debug, Clone)]
pub struct ServedProofs {
    /// The classifier's profile.
    pub classifier: ProfileId,
    /// Reads and counts what is to be proved.
    pub prover: Arc<Prover>,
    /// What is asked of the pool while proofs wait.
    pub demand: DemandTerms,
}

/// How a gateway serves.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Its key: account, node and signatures.
    pub key: SecretKey,
    /// What it serves: names of its own, each.
    pub models: Vec<ServedModel>,
    /// What it asks of the pool when somebody publishes results; without it no board is folded here (SPEC L2).
    pub boards: Option<DemandTerms>,
    /// What it has trained, each on another ground; runs of no other kind are taken here (SPEC X3).
    pub training: Vec<ServedTraining>,
    /// Classifiers whose answers it has proved for who asks (SPEC V10).
    pub proofs: Vec<ServedProofs>,
    /// Where it keeps what it must not forget.
    pub store: PathBuf,
    /// Keys that may spend, with their budgets.
    pub api_keys: Vec<(ApiKey, Amount)>,
    /// Who shows it may make and revoke keys at the admin routes.
    pub admin_token: AdminToken,
    /// Whether it takes files and batches.
    pub batches: bool,
    /// Workers of the same operator that its admin routes pause and take up again.
    pub workers: Vec<WorkerSwitch>,
}

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Its disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain can't be followed.
    #[error("the chain can't be followed: {reason}")]
    Chain {
        /// Why.
        reason: String,
    },
}

impl From<GetError> for GatewayError {
    fn from(error: GetError) -> Self {
        Self::Chain { reason: error.to_string() }
    }
}

/// A gateway: routes to serve, and a task to run beside them.
#[derive(Debug)]
pub struct Gateway {
    hub: Arc<Hub>,
    chain: LightClient,
    sender: Sender,
    models: Vec<ServedModel>,
    boards: Option<DemandTerms>,
    training: Vec<ServedTraining>,
    proofs: Vec<ServedProofs>,
    outlets: Outlets,
    admin_token: AdminToken,
    batches: bool,
    workers: Arc<[WorkerSwitch]>,
}

impl Gateway {
    /// Opens the gateway's store and makes its keys known. The node must be registered before
    /// [`Gateway::run`].
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub fn open(config: GatewayConfig, chain: LightClient) -> Result<Self, GatewayError> {
        let store = GatewayStore::open(&config.store, &config.key)?;
        for (key, budget) in &config.api_keys {
            store.ensure_key(key.hash(), *budget)?;
        }
        let sender = Sender::new(chain.clone(), config.key.clone());
        let (hub, outlets) = Hub::new(config.key, store)?;
        let named = config.models.iter().map(|served| served.profile.clone()).chain([ModelProfile::folder()]);
        let named = named.chain(config.training.iter().map(|served| served.ground.profile()));
        let named = named.chain(config.proofs.iter().map(|served| served.prover.profile()));
        hub.name_models(named.map(|profile| (profile.id(), profile.name)).collect());
        let GatewayConfig { models, boards, training, proofs, admin_token, batches, workers, .. } = config;
        Ok(Self {
            hub,
            chain,
            sender,
            models,
            boards,
            training,
            proofs,
            outlets,
            admin_token,
            batches,
            workers: workers.into(),
        })
    }

    /// The public routes: the OpenAI API, receipts, and workers' sessions.
    pub fn routes(&self) -> Router {
        api::router(self.api_state())
    }

    /// The routes for operators: metrics, the state of what is served, API keys, workers; and every public one.
    pub fn admin_routes(&self) -> Router {
        api::admin_router(self.api_state(), &self.admin_token).fallback_service(self.routes())
    }

    fn api_state(&self) -> api::ApiState {
        api::ApiState::new(Arc::clone(&self.hub), self.chain.network_key(), self.chain.head(), &self.models)
            .with_payments()
            .with_batches(self.batches)
            .with_boards(self.boards)
            .with_training(&self.training)
            .with_proofs(&self.proofs)
            .with_workers(Arc::clone(&self.workers))
            .with_runs(self.chain.clone(), self.sender.clone())
    }

    /// Follows the chain until `stop` turns true.
    ///
    /// # Errors
    /// [`GatewayError`]: it can't go on, and must not.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), GatewayError> {
        let api_state = self.api_state();
        // In a task of its own: lines by the thousand hold up nothing else. It ends with this.
        let mut batches = JoinSet::new();
        if self.batches {
            batches.spawn(api::run_batches(self.api_state()));
        }
        // So are runs of training.
        let mut trainings = JoinSet::new();
        trainings.spawn(api::run_trainings(self.api_state()));
        // And proofs.
        let mut proofs = JoinSet::new();
        proofs.spawn(api::run_proofs(self.api_state()));
        let Outlets { mut fatal, claims, unsigned, payments, calls, hired } = self.outlets;
        let answering = api::answer_calls(api_state.clone(), calls);
        let hosting = api::host_hired(api_state, hired);
        let keeper = tokio::spawn(keep_unsigned(Arc::clone(&self.hub), unsigned, stop.clone()));
        let stalls = Arc::new(Stalls::new(Arc::clone(&self.hub), self.chain.clone(), self.sender.clone()));
        let settling = settle(Arc::clone(&self.hub), self.chain.clone(), payments);
        let side = ChainSide::new(
            Arc::clone(&self.hub),
            self.chain,
            self.sender,
            &self.models,
            (self.boards, &self.training, &self.proofs),
            Arc::clone(&stalls),
        );
        tokio::select! {
            outcome = side.run(stop) => outcome?,
            outcome = settling => outcome?,
            Some(error) = fatal.recv() => return Err(error.into()),
            Some(outcome) = batches.join_next() => {
                return outcome.unwrap_or_else(|error| Err(StoreError::new(error))).map_err(Into::into);
            }
            Some(outcome) = trainings.join_next() => {
                return outcome.unwrap_or_else(|error| Err(StoreError::new(error))).map_err(Into::into);
            }
            Some(outcome) = proofs.join_next() => {
                return outcome.unwrap_or_else(|error| Err(StoreError::new(error))).map_err(Into::into);
            }
            () = self.hub.watch_deadlines() => {}
            () = stalls.run(claims) => {}
            () = answering => {}
            () = hosting => {}
        }
        // What is finished is on disk before the gateway is gone.
        let _ = keeper.await;
        match fatal.try_recv() {
            Ok(error) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_for_batches_is_larger_and_within_the_rules() {
        let price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(2) };
        let demand = DemandTerms {
            price_max: price,
            jobs_max: 200_000,
            tokens_max: 7,
            slots: 4,
            context_tokens: 100,
            open_ms: 1,
            lease_ms: 1,
        };
        let model = Model::Chat(Arc::new(inferium_engine::MockEngine::new(inferium_engine::MockOptions::default())));
        let profile = model.profile("mock", "mock");
        let usual = demand.task(&profile, TaskKind::Inference);
        let batch = demand.task(&profile, TaskKind::Batch);
        assert_eq!((usual.kind, usual.jobs_max, usual.tokens_max), (TaskKind::Inference, 200_000, 7));
        assert_eq!((batch.kind, batch.jobs_max, batch.tokens_max), (TaskKind::Batch, LEASE_JOBS_MAX, 70));
        assert_eq!((batch.slots, batch.price_max), (usual.slots, usual.price_max));
    }
}
