//! Worker, gateway, and on demand a worker that cheats.

use super::Cheat;
use super::beside::{Beside, PROOF_TOKEN_PRICE};
use super::engine::Served;
use super::network::Network;
use super::register::{self, Registration};
use super::watch::{self, Failing, Failures};
use crate::cli::{Failure, UpArgs};
use crate::duty::DutyFile;
use crate::hardware;
use crate::home::DataDir;
use crate::hosting::{self, ToolServers};
use crate::progress::say;
use inferium_chain::{LightClient, Sender};
use inferium_engine::{FOLD_CONTEXT_TOKENS, Model, PROVE_CONTEXT_TOKENS, Prover, TRAIN_CONTEXT_TOKENS};
use inferium_gateway::{
    AdminToken, ApiKey, DemandTerms, Gateway, GatewayConfig, KeepDuty, ServedModel, ServedProofs, ServedTraining,
    WorkerSwitch,
};
use inferium_tools::{Embeddings, Host, Secret};
use inferium_train::Ground;
use inferium_types::{
    Amount, Duty, ModelTask, NodeId, NodeRole, OfferTerms, Price, ProfileId, TaskKind, Tier, TransactionBody,
    VrfSecretKey,
};
use inferium_web::Web;
use inferium_worker::{Boards, Crime, Hosting, Proving, Training, Worker, WorkerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch::{Receiver, Sender as Signal};

/// What the devnet's worker asks for a token.
const PRICE: Price = Price { prompt_token: Amount::from_nano(500), completion_token: Amount::from_nano(1_500) };
/// What it asks for a token of a text to embed; the embedding itself costs nothing more.
const EMBEDDING_PRICE: Price = Price { prompt_token: Amount::from_nano(100), completion_token: Amount::ZERO };
/// What it asks for a token of what is to be classified; the classification itself costs nothing more.
const CLASSIFICATION_PRICE: Price = EMBEDDING_PRICE;
/// Tokens that a lease of a classifier has room for in one job.
const CLASSIFICATION_CONTEXT: u32 = EMBEDDING_CONTEXT;
/// Tokens that a lease of an embedding model has room for in one job: many texts, each far shorter.
const EMBEDDING_CONTEXT: u32 = 4_096;
/// What a worker offers at most: what its engine generates at once. A job that waited in the engine for a place would miss its
/// first token's deadline, and its worker be reported; those that wait in the gateway are told their place.
const OFFER_SLOTS: u32 = 8;
/// Slots of the mock engine, which is bounded by nothing but the network.
const MOCK_OFFER_SLOTS: u32 = 1_024;
/// The least price of a run that it hosts: any.
const HOST_PRICE_MIN: Amount = Amount::from_nano(1);
/// What a worker asks for an item of results that it folds into a board.
const ITEM_PRICE: Amount = Amount::from_nano(10);
/// Boards that a worker folds at once.
const BOARD_SLOTS: u32 = 4;
/// A lease of boards; too small for planted jobs, which there are none of.
const BOARD_LEASE_JOBS: u32 = 32;
const BOARD_LEASE_ITEMS: u64 = 1_000_000;
/// What a trainer asks for an example that a step sees, or for a token of adapters' examples, and for an interval.
const TRAINING_PRICE: Price =
    Price { prompt_token: Amount::from_nano(10), completion_token: Amount::from_nano(10_000) };
/// Intervals that a trainer trains at once.
const TRAINING_SLOTS: u32 = 4;
/// A lease of training; too small for planted jobs, which there are none of.
const TRAINING_LEASE_JOBS: u32 = 32;
const TRAINING_LEASE_EXAMPLES: u64 = 4_000_000;
/// Proofs that a worker makes at once.
const PROOF_SLOTS: u32 = 2;
/// A lease of proofs; too small for planted jobs, which there are none of.
const PROOF_LEASE_JOBS: u32 = 32;
const PROOF_LEASE_TOKENS: u64 = 200_000;
/// A task of private weights, of one job that somebody waits for.
const PRIVATE_OPEN_MS: u64 = 60_000;
const PRIVATE_LEASE_MS: u64 = 120_000;
/// Runs of agents that a worker hosts at once.
const HOST_SLOTS: u32 = 8;
const LEASE_JOBS: u32 = 100_000;
const LEASE_TOKENS: u64 = 20_000_000;
const LEASE_MS: u64 = 3_600_000;
const OPEN_MS: u64 = 600_000;
const WORKER_STAKE: Amount = Amount::from_ifr(2_000);
const GATEWAY_BOND: Amount = Amount::from_ifr(2_000);
/// What the test account pays the gateway for its API key's budget.
const KEY_BUDGET: Amount = Amount::from_ifr(1_000);
/// The secret that the gateway's admin routes take.
pub(crate) const ADMIN_TOKEN: &str = "admin-token";
/// Time for the first lease.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The running services.
pub(crate) struct Services {
    pub(crate) api_key: ApiKey,
    pub(crate) admin_url: String,
    pub(crate) nodes: Vec<(String, NodeId)>,
    pub(crate) model: String,
    /// The embedding model, if one is served.
    pub(crate) embeddings: Option<String>,
    pub(crate) workers: usize,
    /// Model of each worker that takes work.
    working: Vec<String>,
    gateway_url: String,
    stop: Signal<bool>,
    failures: Failures,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Services {
    #[expect(clippy::too_many_arguments, reason = "the parts of one process, each made by its own step of `up`")]
    pub(crate) async fn start(
        data: &DataDir,
        network: &Network,
        (served, beside): (&[Served], &Beside),
        chain: &LightClient,
        arguments: &UpArgs,
        listener: TcpListener,
        admin: TcpListener,
        gateway_url: &str,
    ) -> Result<Self, Failure> {
        let faucet = Sender::new(chain.clone(), network.faucet.clone());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (failing, failures) = watch::channel();
        let admin_url = format!("http://{}", super::local(&admin)?);
        let mut services = Self {
            api_key: ApiKey::from_entropy(data.secret("api-key", rand::random)?),
            admin_url,
            nodes: Vec::new(),
            model: served.first().map_or_else(String::new, |served| served.profile.name.clone()),
            embeddings: served
                .iter()
                .find(|served| matches!(served.profile.task, ModelTask::Embed { .. }))
                .map(|served| served.profile.name.clone()),
            workers: 0,
            working: Vec::new(),
            gateway_url: gateway_url.to_owned(),
            stop,
            failures,
            tasks: Vec::new(),
        };
        let start = Start { data, network, served, beside, chain, faucet: &faucet, arguments, failing, stopped };
        let crime = arguments.crime.and_then(Cheat::worker);
        let mut workers = Vec::new();
        for served in served {
            let name = match served.profile.task {
                // Nothing that `up` serves is a profile of hosts, of boards, of training or of proofs.
                ModelTask::Chat
                | ModelTask::Host
                | ModelTask::Fold
                | ModelTask::Train
                | ModelTask::Prove
                | ModelTask::ProvePrivate { .. } => "worker".to_owned(),
                ModelTask::Embed { .. } => "embedder".to_owned(),
                // Of several each has a worker, the same one in whatever order they are named.
                ModelTask::Classify { .. } => {
                    let id = served.profile.id().to_string();
                    format!("classifier-{}", id.get(..8).unwrap_or_default())
                }
            };
            workers.push(Joining { name: name.clone(), served, crime: None, trains: false });
            if let Some(crime) = crime.filter(|crime| served.knows(*crime)) {
                workers.push(Joining { name: format!("{name}-{crime}"), served, crime: Some(crime), trains: false });
            }
        }
        workers.extend(start.trainer(crime)?);
        // Registrations wait for blocks, not for each other.
        let registrations = workers.iter().map(|worker| start.register_worker(&worker.name));
        let (gateway, registered) = futures::join!(
            start.register_gateway(&services.gateway_url),
            futures::future::try_join_all(registrations),
        );
        gateway?;
        registered?;
        let names = start.names(workers.iter().map(|worker| worker.name.as_str()))?;
        let switches: Vec<WorkerSwitch> =
            workers.iter().map(|worker| start.switch(&worker.name)).collect::<Result<_, _>>()?;
        let duties: Vec<Receiver<Duty>> = switches.iter().map(|switch| switch.duty.subscribe()).collect();
        start.gateway(&mut services, names, switches, listener, admin)?;
        for (worker, duty) in workers.iter().zip(duties) {
            start.worker(&mut services, worker, duty)?;
        }
        Ok(services)
    }

    /// Resolves when leases of every model are served whose workers take work.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let client = reqwest::Client::new();
        let address = format!("{}/ready", self.gateway_url);
        let poll = async {
            loop {
                if let Ok(response) = client.get(&address).send().await {
                    let body = response.json::<serde_json::Value>().await.unwrap_or_default();
                    let models = body.get("models").and_then(serde_json::Value::as_object);
                    let has_lease = |model: &String| models.and_then(|models| models.get(model)?.as_u64()) > Some(0);
                    let leases = body.get("leases").and_then(serde_json::Value::as_u64).unwrap_or(0);
                    let enough = u64::try_from(self.working.len()).unwrap_or(u64::MAX);
                    if self.working.iter().all(has_lease) && leases >= enough {
                        return;
                    }
                }
                tokio::time::sleep(READY_POLL).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, poll)
            .await
            .map_err(|_| Failure::failed(format!("no lease after {} s", READY_TIMEOUT.as_secs())))
    }

    /// Resolves when a service failed: the process must end.
    pub(crate) async fn failed(&self) -> Failure {
        Failure::failed(self.failures.first().await)
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // Whatever does not end in time ends with the process; nothing final is in it.
            let _ = tokio::time::timeout(STOP_TIMEOUT, task).await;
        }
    }
}

/// A worker that `up` starts.
struct Joining<'a> {
    name: String,
    served: &'a Served,
    crime: Option<Crime>,
    /// It is there to train, and takes no other work.
    trains: bool,
}

/// What starting a service takes.
struct Start<'a> {
    data: &'a DataDir,
    network: &'a Network,
    served: &'a [Served],
    beside: &'a Beside,
    chain: &'a LightClient,
    faucet: &'a Sender,
    arguments: &'a UpArgs,
    failing: Failing,
    stopped: Receiver<bool>,
}

impl Start<'_> {
    async fn register_gateway(&self, url: &str) -> Result<(), Failure> {
        let (key, operator) = (self.data.key("gateway")?, self.data.key("operator-gateway")?);
        let role = NodeRole::Gateway { url: url.to_owned() };
        let registration = Registration { key: &key, operator: &operator, role, stake: GATEWAY_BOND };
        register::ensure(self.chain, self.faucet, &registration).await?;
        self.pay_for_key(key.public_key()).await
    }

    async fn register_worker(&self, name: &str) -> Result<(), Failure> {
        let (key, operator) = (self.data.key(name)?, self.data.key(&format!("operator-{name}"))?);
        let role = NodeRole::Worker { vrf: self.vrf(name)?.public_key() };
        let registration = Registration { key: &key, operator: &operator, role, stake: WORKER_STAKE };
        register::ensure(self.chain, self.faucet, &registration).await
    }

    /// Names of all nodes, for the pages.
    fn names<'n>(&self, workers: impl Iterator<Item = &'n str>) -> Result<Vec<(String, NodeId)>, Failure> {
        let validators = self.network.validators.iter().enumerate();
        let mut names: Vec<(String, NodeId)> =
            validators.map(|(index, key)| (format!("validator-{index}"), key.public_key())).collect();
        for name in workers.chain(["gateway"]) {
            names.push((name.to_owned(), self.data.key(name)?.public_key()));
        }
        Ok(names)
    }

    fn gateway(
        &self,
        services: &mut Services,
        names: Vec<(String, NodeId)>,
        switches: Vec<WorkerSwitch>,
        listener: TcpListener,
        admin: TcpListener,
    ) -> Result<(), Failure> {
        let key = self.data.key("gateway")?;
        services.nodes.push(("gateway".into(), key.public_key()));
        let config = GatewayConfig {
            key,
            models: self
                .served
                .iter()
                .map(|served| self.model(served))
                .chain(self.beside.private.iter().map(private))
                .collect(),
            boards: Some(board_demand()),
            training: self.beside.grounds.iter().map(training).collect(),
            proofs: self.beside.provers().iter().map(proofs).collect(),
            store: self.data.path().join("gateway.redb"),
            api_keys: vec![(services.api_key.clone(), KEY_BUDGET)],
            admin_token: AdminToken::from_entropy(self.data.secret(ADMIN_TOKEN, rand::random)?),
            batches: !self.arguments.no_batches,
            workers: switches,
        };
        let gateway = Gateway::open(config, self.chain.clone()).map_err(|e| Failure::failed(e.to_string()))?;
        let web = Web::new(self.chain.clone(), names);
        let for_operators = web.for_operators().mount(gateway.admin_routes());
        for (listener, routes) in [(listener, web.mount(gateway.routes())), (admin, for_operators)] {
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                // Tokens are small; waiting to merge them would delay each.
                let _ = stream.set_nodelay(true);
            });
            self.failing.serve("gateway".into(), listener, routes);
        }
        let stopped = self.stopped.clone();
        self.supervise(services, "gateway", async move { gateway.run(stopped).await.map_err(|e| e.to_string()) });
        Ok(())
    }

    /// How a worker is paused and taken up again. What its operator wants of it stands over restarts; one that was drained works again
    /// then, since it is started.
    fn switch(&self, name: &str) -> Result<WorkerSwitch, Failure> {
        let file = DutyFile::of(self.data.path(), name);
        let duty = file.read()?;
        let keep: KeepDuty = Box::new(move |duty| file.write(duty).map_err(|failure| failure.to_string()));
        if duty == Duty::Paused {
            say(&format!("  {name} is paused; `inferium worker resume {name}` has it work again"));
        }
        let node = self.data.key(name)?.public_key();
        Ok(WorkerSwitch { name: name.to_owned(), node, duty: Signal::new(duty), keep })
    }

    /// On a first start the test account buys its API key's budget from the gateway.
    async fn pay_for_key(&self, gateway: NodeId) -> Result<(), Failure> {
        const PAID: &str = "api-key-paid";
        if self.data.load(PAID)?.is_none() {
            let account = Sender::new(self.chain.clone(), self.network.account.clone());
            register::send(&account, TransactionBody::Transfer { to: gateway, amount: KEY_BUDGET }).await?;
            self.data.save(PAID, b"paid\n")?;
        }
        Ok(())
    }

    fn worker(&self, services: &mut Services, joining: &Joining<'_>, duty: Receiver<Duty>) -> Result<(), Failure> {
        let Joining { name, served, crime, trains } = joining;
        let (name, crime, trains) = (name.as_str(), *crime, *trains);
        let key = self.data.key(name)?;
        let vrf = self.vrf(name)?;
        services.nodes.push((name.to_owned(), key.public_key()));
        services.workers = services.workers.saturating_add(1);
        // A trainer is leased when there is something to train.
        if *duty.borrow() == Duty::Working && !trains {
            services.working.push(served.profile.name.clone());
        }
        if let Some(crime) = crime {
            say(&format!("  a worker that cheats has joined ({crime}): {}", key.public_key()));
        }
        let model = match (&served.crooked, crime) {
            (Some(crooked), Some(_)) => crooked.clone(),
            _ => served.working.clone(),
        };
        let config = WorkerConfig {
            key,
            vrf,
            profile: served.profile.id(),
            // Of conversations a trainer takes none.
            offer: OfferTerms { slots: if trains { 0 } else { self.offer(served).slots }, ..self.offer(served) },
            store: self.data.path().join(format!("{name}.redb")),
            // What serves these tasks: a higher tier would wait until they starve.
            report: hardware::report(if trains {
                Tier::High
            } else {
                served.profile.task.least_tier(TaskKind::Inference.policy().tier)
            }),
            // The network stops as a whole, and goes on where it was.
            drain: Duration::ZERO,
            duty,
            server: served.server.clone(),
            hosting: if trains { None } else { self.hosting(services, served, crime)? },
            boards: if trains { None } else { self.boards(crime) },
            training: trains.then(|| Training {
                slots: TRAINING_SLOTS,
                price: TRAINING_PRICE,
                grounds: self.beside.grounds.clone(),
            }),
            proving: if trains { None } else { self.proving(served, crime) },
            crime,
            // A cheat is measured with what it claims to run.
            assessed: crime.map(|_| served.working.clone()),
            other: crime.and_then(|_| served.other.clone()),
        };
        let (chain, stopped) = (self.chain.clone(), self.stopped.clone());
        self.supervise(services, name, async move {
            Worker::run(config, model, chain, stopped).await.map_err(|e| e.to_string())
        });
        Ok(())
    }

    /// Workers of conversations host runs of agents as well, unless they cheat.
    fn hosting(&self, services: &Services, served: &Served, crime: Option<Crime>) -> Result<Option<Hosting>, Failure> {
        if !hosting::can_host(&served.profile) || crime.is_some() {
            return Ok(None);
        }
        // Vectors for searches come through the network, and are paid for by its own key.
        let embeddings = services.embeddings.as_ref().map(|model| Embeddings {
            base_url: format!("{}/v1", services.gateway_url),
            model: model.clone(),
            key: Secret::new(services.api_key.reveal()),
        });
        let host = Host { embeddings, ..hosting::host()? };
        Ok(Some(Hosting {
            slots: HOST_SLOTS,
            price_min: HOST_PRICE_MIN,
            folder: self.data.path().join("runs"),
            tools: Arc::new(ToolServers(host)),
        }))
    }

    /// All workers fold boards; where one is to be watched that inflates them, it alone does, so that it is met at once. Whoever commits
    /// another crime has no time for boards.
    fn boards(&self, crime: Option<Crime>) -> Option<Boards> {
        let watched = self.arguments.crime.and_then(Cheat::worker);
        let folds = match crime {
            Some(crime) => crime == Crime::InflatedBoard,
            None => watched != Some(Crime::InflatedBoard),
        };
        folds.then_some(Boards { slots: BOARD_SLOTS, item_price: ITEM_PRICE })
    }

    /// Workers of classifiers prove what these say; where one is to be watched that sends false proofs, or none, it alone does, so that it
    /// is met at once. Whoever commits another crime has no time for proofs.
    fn proving(&self, served: &Served, crime: Option<Crime>) -> Option<Proving> {
        let watched = self.arguments.crime.and_then(Cheat::worker);
        let proves = match crime {
            Some(crime) => crime.is_of_proofs(),
            None => !watched.is_some_and(Crime::is_of_proofs),
        };
        let prover = self.beside.prover(&served.profile.id()).filter(|_| proves)?;
        Some(Proving { slots: PROOF_SLOTS, token_price: PROOF_TOKEN_PRICE, prover: Arc::clone(prover) })
    }

    /// Who trains, if anybody is to: one that makes up losses in the place of an honest one, so that it is met at once.
    fn trainer(&self, crime: Option<Crime>) -> Result<Option<Joining<'_>>, Failure> {
        let crime = crime.filter(|crime| *crime == Crime::FabricatedLoss);
        if !self.arguments.training {
            return match crime {
                Some(crime) => Err(Failure::usage(format!("--crime {crime} is a trainer's: it goes with --training"))),
                None => Ok(None),
            };
        }
        // It is measured on conversations: what tier a machine is of shows nowhere else.
        let served = self.served.first().ok_or_else(|| Failure::failed("nothing is served"))?;
        let name = crime.map_or_else(|| "trainer".to_owned(), |crime| format!("trainer-{crime}"));
        Ok(Some(Joining { name, served, crime, trains: true }))
    }

    fn vrf(&self, name: &str) -> Result<VrfSecretKey, Failure> {
        let bytes = self.data.secret(&format!("{name}.vrf"), rand::random::<[u8; 32]>)?;
        VrfSecretKey::from_entropy(bytes).map_err(|_| Failure::failed(format!("the VRF key of {name} is damaged")))
    }

    fn model(&self, served: &Served) -> ServedModel {
        let OfferTerms { slots, price, context_tokens, .. } = self.offer(served);
        let demand = DemandTerms {
            price_max: price,
            jobs_max: LEASE_JOBS,
            tokens_max: LEASE_TOKENS,
            // Two leases fill a worker's offer; the next task meets another worker.
            slots: slots.div_ceil(2),
            context_tokens,
            open_ms: OPEN_MS,
            lease_ms: LEASE_MS,
        };
        ServedModel { profile: served.profile.clone(), model: served.model.clone(), demand }
    }

    fn offer(&self, served: &Served) -> OfferTerms {
        offer_of(served, if self.is_mock() { MOCK_OFFER_SLOTS } else { OFFER_SLOTS })
    }

    fn is_mock(&self) -> bool {
        self.arguments.serving.engine == crate::cli::EngineKind::Mock
    }

    /// Runs a service until the process ends, and the process with it if it fails.
    fn supervise(
        &self,
        services: &mut Services,
        name: &str,
        service: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        services.tasks.push(self.failing.watch(name.to_owned(), tokio::spawn(service)));
    }
}

/// What the gateway asks of the pool for boards.
fn board_demand() -> DemandTerms {
    DemandTerms {
        price_max: Price { prompt_token: ITEM_PRICE, completion_token: Amount::ZERO },
        jobs_max: BOARD_LEASE_JOBS,
        tokens_max: BOARD_LEASE_ITEMS,
        slots: BOARD_SLOTS.div_ceil(2),
        context_tokens: FOLD_CONTEXT_TOKENS,
        open_ms: OPEN_MS,
        lease_ms: LEASE_MS,
    }
}

/// What the gateway asks of the pool for training.
fn training(ground: &Ground) -> ServedTraining {
    let demand = DemandTerms {
        price_max: TRAINING_PRICE,
        jobs_max: TRAINING_LEASE_JOBS,
        tokens_max: TRAINING_LEASE_EXAMPLES,
        slots: TRAINING_SLOTS.div_ceil(2),
        context_tokens: TRAIN_CONTEXT_TOKENS,
        open_ms: OPEN_MS,
        lease_ms: LEASE_MS,
    };
    ServedTraining { ground: ground.clone(), demand }
}

/// What the gateway asks of the pool for proofs.
fn proofs((classifier, prover): &(ProfileId, Arc<Prover>)) -> ServedProofs {
    let demand = DemandTerms {
        price_max: Price { prompt_token: PROOF_TOKEN_PRICE, completion_token: Amount::ZERO },
        jobs_max: PROOF_LEASE_JOBS,
        tokens_max: PROOF_LEASE_TOKENS,
        slots: PROOF_SLOTS.div_ceil(2),
        context_tokens: PROVE_CONTEXT_TOKENS,
        open_ms: OPEN_MS,
        lease_ms: LEASE_MS,
    };
    ServedProofs { classifier: *classifier, prover: Arc::clone(prover), demand }
}

/// What the gateway asks of the pool for answers by private weights: a lease for each, since each spends an opening that does not come back.
fn private(prover: &Arc<Prover>) -> ServedModel {
    let demand = DemandTerms {
        price_max: Price { prompt_token: PROOF_TOKEN_PRICE, completion_token: Amount::ZERO },
        jobs_max: 1,
        tokens_max: PROVE_CONTEXT_TOKENS.into(),
        slots: 1,
        context_tokens: PROVE_CONTEXT_TOKENS,
        open_ms: PRIVATE_OPEN_MS,
        lease_ms: PRIVATE_LEASE_MS,
    };
    ServedModel { profile: prover.profile(), model: Model::Prover(Arc::clone(prover)), demand }
}

/// What a worker offers for a model: at most `slots`, and no more than its cache has room for, each with a whole context, when half as
/// many replays run beside them.
pub(crate) fn offer_of(served: &Served, slots: u32) -> OfferTerms {
    let context_tokens = served.model.context_tokens();
    match (&served.model, served.profile.task) {
        (_, ModelTask::Embed { .. }) => {
            OfferTerms { slots, price: EMBEDDING_PRICE, context_tokens: EMBEDDING_CONTEXT, batches: true }
        }
        (Model::Chat(engine), ModelTask::Chat) => {
            // A mock has none.
            let cache = Some(engine.load().kv_tokens_total).filter(|tokens| *tokens > 0);
            let fitting = cache.map_or(slots, |tokens| slots_in(tokens, context_tokens));
            OfferTerms { slots: slots.min(fitting), price: PRICE, context_tokens, batches: true }
        }
        (_, ModelTask::Classify { .. }) => {
            OfferTerms { slots, price: CLASSIFICATION_PRICE, context_tokens: CLASSIFICATION_CONTEXT, batches: true }
        }
        (
            Model::Embedder(_) | Model::Folder(_) | Model::Trainer(_) | Model::Classifier(_) | Model::Prover(_),
            ModelTask::Chat,
        )
        | (
            _,
            ModelTask::Host | ModelTask::Fold | ModelTask::Train | ModelTask::Prove | ModelTask::ProvePrivate { .. },
        ) => OfferTerms { slots, price: PRICE, context_tokens, batches: true },
    }
}

/// Slots that a cache has room for, with two replays for three of them; at least one.
fn slots_in(cache_tokens: u32, context_tokens: u32) -> u32 {
    let fitting = u64::from(cache_tokens) * 2 / (3 * u64::from(context_tokens.max(1)));
    // Two leases share them, each half.
    (u32::try_from(fitting).unwrap_or(u32::MAX) / 2 * 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::slots_in;

    #[test]
    fn a_cache_has_room_for_whole_contexts_of_answers_and_half_as_many_replays() {
        let found = [(98_304, 8_192), (98_303, 8_192), (98_304, 32_768), (98_304, 131_072), (1, u32::MAX), (8, 0)];
        assert_eq!(found.map(|(cache, context)| slots_in(cache, context)), [8, 6, 2, 1, 1, 4]);
    }
}
