//! Worker, gateway, and on demand a worker that cheats.

use super::Cheat;
use super::engine::Served;
use super::network::Network;
use super::register::{self, Registration};
use super::watch::{self, Failing, Failures};
use crate::cli::{Failure, UpArgs};
use crate::hardware;
use crate::home::DataDir;
use crate::progress::say;
use inferium_chain::{LightClient, Sender};
use inferium_gateway::{AdminToken, ApiKey, DemandTerms, Gateway, GatewayConfig, ServedModel};
use inferium_types::{Amount, ModelTask, NodeId, NodeRole, OfferTerms, Price, TaskKind, TransactionBody, VrfSecretKey};
use inferium_web::Web;
use inferium_worker::{Crime, Worker, WorkerConfig};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch::{Receiver, Sender as Signal};

/// What the devnet's worker asks for a token.
const PRICE: Price = Price { prompt_token: Amount::from_nano(500), completion_token: Amount::from_nano(1_500) };
/// What it asks for a token of a text to embed; the embedding itself costs nothing more.
const EMBEDDING_PRICE: Price = Price { prompt_token: Amount::from_nano(100), completion_token: Amount::ZERO };
/// Tokens that a lease of an embedding model has room for in one job: many texts, each far shorter.
const EMBEDDING_CONTEXT: u32 = 4_096;
/// Two leases of this many slots fill a worker's offer; the next task meets another worker.
const LEASE_SLOTS: u32 = 8;
const OFFER_SLOTS: u32 = 16;
/// Slots of the mock engine, which is bounded by nothing but the network.
const MOCK_LEASE_SLOTS: u32 = 512;
const MOCK_OFFER_SLOTS: u32 = 1_024;
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
        served: &[Served],
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
            embeddings: served.get(1).map(|served| served.profile.name.clone()),
            workers: 0,
            gateway_url: gateway_url.to_owned(),
            stop,
            failures,
            tasks: Vec::new(),
        };
        let start = Start { data, network, served, chain, faucet: &faucet, arguments, failing, stopped };
        let crime = arguments.crime.and_then(Cheat::worker);
        let mut workers = Vec::new();
        for served in served {
            let name = match served.profile.task {
                ModelTask::Chat => "worker",
                ModelTask::Embed { .. } => "embedder",
            };
            workers.push((name.to_owned(), served, None));
            if let Some(crime) = crime.filter(|crime| served.knows(*crime)) {
                workers.push((format!("{name}-{crime}"), served, Some(crime)));
            }
        }
        // Registrations wait for blocks, not for each other.
        let registrations = workers.iter().map(|(name, ..)| start.register_worker(name));
        let (gateway, registered) = futures::join!(
            start.register_gateway(&services.gateway_url),
            futures::future::try_join_all(registrations),
        );
        gateway?;
        registered?;
        let names = start.names(workers.iter().map(|(name, ..)| name.as_str()))?;
        start.gateway(&mut services, names, listener, admin)?;
        for (name, served, crime) in workers {
            start.worker(&mut services, &name, served, crime)?;
        }
        Ok(services)
    }

    /// Resolves when leases of every model are served.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let client = reqwest::Client::new();
        let address = format!("{}/ready", self.gateway_url);
        let poll = async {
            loop {
                if let Ok(response) = client.get(&address).send().await {
                    let body = response.json::<serde_json::Value>().await.unwrap_or_default();
                    let models = body.get("models").and_then(serde_json::Value::as_object);
                    let is_served =
                        models.is_some_and(|models| models.values().all(|leases| leases.as_u64() > Some(0)));
                    let leases = body.get("leases").and_then(serde_json::Value::as_u64).unwrap_or(0);
                    if is_served && leases >= u64::try_from(self.workers).unwrap_or(u64::MAX) {
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

/// What starting a service takes.
struct Start<'a> {
    data: &'a DataDir,
    network: &'a Network,
    served: &'a [Served],
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
        listener: TcpListener,
        admin: TcpListener,
    ) -> Result<(), Failure> {
        let key = self.data.key("gateway")?;
        services.nodes.push(("gateway".into(), key.public_key()));
        let config = GatewayConfig {
            key,
            models: self.served.iter().map(|served| self.model(served)).collect(),
            store: self.data.path().join("gateway.redb"),
            api_keys: vec![(services.api_key.clone(), KEY_BUDGET)],
            admin_token: AdminToken::from_entropy(self.data.secret(ADMIN_TOKEN, rand::random)?),
        };
        let gateway = Gateway::open(config, self.chain.clone()).map_err(|e| Failure::failed(e.to_string()))?;
        let public = Web::new(self.chain.clone(), names).mount(gateway.routes());
        for (listener, routes) in [(listener, public), (admin, gateway.admin_routes())] {
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

    fn worker(
        &self,
        services: &mut Services,
        name: &str,
        served: &Served,
        crime: Option<Crime>,
    ) -> Result<(), Failure> {
        let key = self.data.key(name)?;
        let vrf = self.vrf(name)?;
        services.nodes.push((name.to_owned(), key.public_key()));
        services.workers = services.workers.saturating_add(1);
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
            offer: self.offer(served),
            store: self.data.path().join(format!("{name}.redb")),
            // What serves these tasks: a higher tier would wait until they starve.
            report: hardware::report(served.profile.task.least_tier(TaskKind::Inference.policy().tier)),
            // The network stops as a whole, and goes on where it was.
            drain: Duration::ZERO,
            server: served.server.clone(),
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

    fn vrf(&self, name: &str) -> Result<VrfSecretKey, Failure> {
        let bytes = self.data.secret(&format!("{name}.vrf"), rand::random::<[u8; 32]>)?;
        VrfSecretKey::from_entropy(bytes).map_err(|_| Failure::failed(format!("the VRF key of {name} is damaged")))
    }

    fn model(&self, served: &Served) -> ServedModel {
        let OfferTerms { price, context_tokens, .. } = self.offer(served);
        let demand = DemandTerms {
            price_max: price,
            jobs_max: LEASE_JOBS,
            tokens_max: LEASE_TOKENS,
            slots: if self.is_mock() { MOCK_LEASE_SLOTS } else { LEASE_SLOTS },
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

/// What a worker offers for a model.
pub(crate) fn offer_of(served: &Served, slots: u32) -> OfferTerms {
    match served.profile.task {
        ModelTask::Chat => OfferTerms { slots, price: PRICE, context_tokens: served.model.context_tokens() },
        ModelTask::Embed { .. } => OfferTerms { slots, price: EMBEDDING_PRICE, context_tokens: EMBEDDING_CONTEXT },
    }
}
