//! A worker on a real chain with a real relay: what a kill, or a gateway that moves, must not cost it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use axum::{extract::Request, http::StatusCode, middleware, response::IntoResponse};
use inferium_chain::{
    LightClient, Pace, Sender, ValidatorHandle, ValidatorSetup, VerifiedBlock, deal, free_loopback, router,
    start_validators,
};
use inferium_engine::{Engine, MockEngine, MockOptions, Model};
use inferium_ledger::{Offer, StateKey};
use inferium_seal::{SealingSecret, seal};
use inferium_types::{
    Amount, CapabilityReport, ChatMessage, Digest, Duty, Event, Genesis, GenesisNode, JobId, JobPayload, JobRequest,
    LeaseEnd, LeaseId, ModelProfile, NodeRole, OfferTerms, Parameters, Price, SamplingParams, SealPurpose,
    SealingKeyProof, SecretKey, StallId, TaskKind, TaskTerms, Tier, Transaction, TransactionBody, VerificationMode,
    VrfSecretKey, decode, encode,
    wire::{RelayFetch, RelayedRequest},
};
use inferium_validator::{Duties, DutiesConfig, VerdictStore};
use inferium_worker::{Worker, WorkerConfig};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};

const PRICE: Price = Price { prompt_token: Amount::from_nano(500), completion_token: Amount::from_nano(1_500) };
/// Far above what any of these waits takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn validator() -> SecretKey {
    key(1)
}

fn worker() -> SecretKey {
    key(2)
}

fn gateway() -> SecretKey {
    key(3)
}

/// Every node has an operator of its own.
fn operator(of: &SecretKey) -> SecretKey {
    let [first, ..] = of.to_bytes();
    key(100 + first)
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_entropy([7; 32]).unwrap()
}

fn engine() -> Arc<dyn Engine> {
    Arc::new(MockEngine::new(MockOptions::default()))
}

fn profile() -> ModelProfile {
    Model::Chat(engine()).profile("mock", "mock")
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

/// One validator that is the relay, too; a gateway and a worker on its ledger.
struct World {
    directory: PathBuf,
    url: String,
    chain: LightClient,
    blocks: mpsc::Receiver<Arc<VerifiedBlock>>,
    handle: ValidatorHandle,
    /// Whether the relay gives requests to the worker.
    gives: watch::Sender<bool>,
    /// How often the worker asked it to.
    asked: watch::Receiver<u32>,
    /// What the worker is told.
    duty: watch::Sender<Duty>,
    /// Of a worker that ended by itself.
    ended: Arc<Notify>,
    _stop: watch::Sender<bool>,
}

impl World {
    async fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("inferium-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let (listener, url) = listen().await;
        let handle = start_validator(&directory, &url).await;
        let (stop, stopped) = watch::channel(false);
        let store = Arc::new(VerdictStore::open(&directory.join("validator.redb"), &validator()).unwrap());
        let config = DutiesConfig {
            key: validator(),
            models: vec![(profile(), Model::Chat(engine()))],
            url: url.clone(),
            crime: None,
            store,
        };
        let (duties, _task) = Duties::start(config, handle.clone(), stopped).unwrap();
        let (gives, may_give) = watch::channel(true);
        let (count, asked) = watch::channel(0);
        let gate = middleware::from_fn(move |request: Request, next: middleware::Next| {
            let is_fetch = request.uri().path().ends_with("/fetch");
            let is_open = *may_give.borrow();
            if is_fetch {
                count.send_modify(|count| *count += 1);
            }
            async move {
                if is_fetch && !is_open {
                    StatusCode::SERVICE_UNAVAILABLE.into_response()
                } else {
                    next.run(request).await
                }
            }
        });
        let routes = router(handle.clone()).merge(inferium_validator::router(duties)).layer(gate);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let chain = LightClient::connect(handle.network_key(), vec![url.clone()]).await.unwrap();
        // From the first: the profile may be declared before this client is there.
        let blocks = chain.subscribe_from(1);
        let (duty, ended) = (watch::Sender::new(Duty::Working), Arc::default());
        Self { directory, url, chain, blocks, handle, gives, asked, duty, ended, _stop: stop }
    }

    async fn send(&self, key: SecretKey, body: TransactionBody) {
        let sent = Sender::new(self.chain.clone(), key).send(body).await.unwrap();
        assert_eq!(sent.failure, None);
    }

    async fn register(&self, key: SecretKey, role: NodeRole) {
        let operator = operator(&key);
        let operator_signature =
            Transaction::sign_as_operator(self.chain.network_key().chain, &key.public_key(), &role, &operator);
        let (operator, stake) = (operator.public_key(), Amount::from_ifr(2_000));
        self.send(key, TransactionBody::RegisterNode { role, operator, operator_signature, stake }).await;
    }

    /// The next event that `pick` picks. No one is slashed on the way there.
    async fn event<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let find = async {
            loop {
                let block = self.blocks.recv().await.unwrap();
                assert!(!block.events.iter().any(|event| matches!(event, Event::Slashed(_))), "{:?}", block.events);
                if let Some(found) = block.events.iter().find_map(&pick) {
                    return found;
                }
            }
        };
        in_time(what, find).await
    }

    /// Hands the relay the request of a claim, as who proves to be `relay` at its URL.
    async fn lodge(&self, stall: StallId, relay: &SecretKey, request: Vec<u8>) -> StatusCode {
        let (http, nonce, relay) = (reqwest::Client::new(), [9; 32], relay.public_key());
        let proof = http.get(format!("{}/duty/v1/seal/{}", self.url, hex::encode(nonce))).send().await.unwrap();
        let proof: SealingKeyProof = decode(&proof.bytes().await.unwrap()).unwrap();
        let key = proof.verify(&validator().public_key(), &nonce).unwrap();
        let sealed = seal(key, &SealPurpose::Lodged { stall, relay }, &request, &mut rand::rng()).unwrap();
        let address = format!("{}/duty/v1/stalls/{stall}", self.url);
        http.post(address).body(encode(&sealed)).send().await.unwrap().status()
    }

    /// A worker in a runtime of its own, so that it can be killed with everything it started.
    fn start_worker(&self) -> Runtime {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = WorkerConfig {
            key: worker(),
            vrf: vrf(),
            profile: profile().id(),
            offer: OfferTerms { slots: 2, price: PRICE, context_tokens: 4_096, batches: true },
            store: self.directory.join("worker.redb"),
            report: CapabilityReport {
                tier: Tier::Mid,
                cpu: "test".into(),
                features: Vec::new(),
                cores: 1,
                memory_mib: 1,
                accelerators: Vec::new(),
            },
            drain: Duration::ZERO,
            duty: self.duty.subscribe(),
            server: None,
            hosting: None,
            boards: None,
            training: None,
            proving: None,
            crime: None,
            assessed: None,
            other: None,
        };
        let (network, url, ended) = (self.chain.network_key(), self.url.clone(), Arc::clone(&self.ended));
        runtime.spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            let chain = LightClient::connect(network, vec![url]).await.unwrap();
            Worker::run(config, Model::Chat(engine()), chain, stopped).await.unwrap();
            ended.notify_one();
        });
        runtime
    }

    /// A worker at work on a lease of the gateway, which is at `url`.
    async fn lease(&mut self, url: String) -> (Runtime, LeaseId) {
        self.register(gateway(), NodeRole::Gateway { url }).await;
        self.register(worker(), NodeRole::Worker { vrf: vrf().public_key() }).await;
        let runtime = self.start_worker();
        self.event("the profile", |event| matches!(event, Event::ProfileDeclared { .. }).then_some(())).await;
        // SPEC N3: nothing is leased to a machine that was not measured.
        self.event("the measure", |event| matches!(event, Event::CapabilityMeasured { .. }).then_some(())).await;
        let lease = self.ask_for_a_lease().await;
        (runtime, lease)
    }

    /// The lease of a task that the gateway opens.
    async fn ask_for_a_lease(&mut self) -> LeaseId {
        self.open_task().await;
        self.event("the lease", granted).await
    }

    async fn open_task(&self) {
        let terms = TaskTerms {
            kind: TaskKind::Inference,
            mode: VerificationMode::Exact,
            tier: Tier::Mid,
            profile: profile().id(),
            price_max: PRICE,
            jobs_max: 100,
            tokens_max: 100_000,
            slots: 1,
            context_tokens: 1_024,
            open_ms: 60_000,
            lease_ms: 600_000,
        };
        self.send(gateway(), TransactionBody::OpenTask { terms }).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn start_validator(directory: &std::path::Path, url: &str) -> ValidatorHandle {
    let node = validator().public_key();
    let dealing = deal(rand::rng(), &[node]).unwrap();
    let mut accounts: Vec<_> =
        [validator(), worker(), gateway()].iter().map(|key| (key.public_key(), Amount::from_ifr(100_000))).collect();
    let mut operators: Vec<_> = [validator(), worker(), gateway()]
        .iter()
        .map(|key| (operator(key).public_key(), Amount::from_ifr(1_000)))
        .collect();
    accounts.sort_unstable();
    operators.sort_unstable();
    let genesis = Genesis {
        name: "test".into(),
        timestamp_ms: 1,
        group: dealing.group,
        sharing: dealing.sharing,
        // Time for a worker to be killed and come back.
        parameters: Parameters { stall_answer_ms: 120_000, ..Parameters::devnet(1) },
        accounts,
        operators,
        validators: vec![GenesisNode {
            node,
            operator: operator(&validator()).public_key(),
            stake: Amount::from_ifr(100_000),
            url: url.to_owned(),
        }],
    };
    let listen = free_loopback(1).unwrap().remove(0);
    let setup = ValidatorSetup {
        name: "validator".into(),
        secret_key: validator(),
        share: dealing.shares[0].clone(),
        genesis: Arc::new(genesis),
        peers: vec![(node, listen)],
        listen,
        directory: directory.join("chain"),
        pace: Pace { idle_ms: 100, busy_ms: 20 },
    };
    start_validators(vec![setup]).await.unwrap().remove(0)
}

/// The lease that a gateway's task was given.
fn granted(event: &Event) -> Option<LeaseId> {
    match event {
        Event::LeaseGranted { lease, terms, .. } if terms.kind == TaskKind::Inference => Some(*lease),
        _ => None,
    }
}

/// A request that the worker never saw, as a gateway may claim.
fn request(lease: LeaseId) -> RelayedRequest {
    let messages = vec![ChatMessage { role: "user".into(), content: "are you there?".into() }];
    let payload = JobPayload::chat([1; 32], messages, Vec::new());
    let prompt = engine().render_chat(payload.as_chat().unwrap().0).unwrap();
    let request = JobRequest {
        job: JobId::new(Digest::sha256(b"job")),
        lease,
        sequence: 3,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max: 10,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    RelayedRequest { request, payload }
}

/// SPEC T6: the chain tells of a claim once, and a worker that forgets it pays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_open_when_the_worker_was_killed_is_answered() {
    let mut world = World::start("claim").await;
    let (_gateway, gateway_url) = listen().await;
    let (runtime, lease) = world.lease(gateway_url).await;
    world.gives.send_replace(false);

    let relayed = request(lease);
    let stall = StallId::of_job(lease, relayed.request.sequence);
    world.send(gateway(), TransactionBody::ReportStall { request: relayed.request.clone() }).await;
    world.event("the draw", |event| matches!(event, Event::StallReported { .. }).then_some(())).await;
    // For another relay, or no request at all.
    assert_eq!(world.lodge(stall, &worker(), encode(&relayed)).await, StatusCode::BAD_REQUEST);
    assert_eq!(world.lodge(stall, &validator(), b"are you there?".to_vec()).await, StatusCode::BAD_REQUEST);
    assert_eq!(world.lodge(stall, &validator(), encode(&relayed)).await, StatusCode::ACCEPTED);
    world.event("the certificate", |event| matches!(event, Event::StallCertified { .. }).then_some(())).await;
    // It tries and, with the relay away, tries again: the block of the claim is behind it.
    in_time("the worker", world.asked.wait_for(|count| *count >= 2)).await.unwrap();
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();

    // What the relay gives is readable for the worker only, even when someone repeats what it asked.
    world.gives.send_replace(true);
    let sealing = SealingSecret::generate(&mut rand::rng());
    let address = format!("{}/duty/v1/stalls/{stall}/fetch", world.url);
    let asked = |fetch: RelayFetch| reqwest::Client::new().post(&address).body(encode(&fetch)).send();
    let stranger = asked(RelayFetch::sign(stall, sealing.public_key(), &gateway())).await.unwrap();
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
    let given = asked(RelayFetch::sign(stall, sealing.public_key(), &worker())).await.unwrap().bytes().await.unwrap();
    assert!(!given.windows(b"are you there?".len()).any(|window| window == b"are you there?"));
    let purpose = SealPurpose::Fetched { stall, worker: worker().public_key() };
    assert_eq!(sealing.open(&purpose, &decode(&given).unwrap()).unwrap(), encode(&relayed));

    let runtime = world.start_worker();
    let answered = |event: &Event| match event {
        Event::StallAnswered { stall, .. } => Some(*stall),
        _ => None,
    };
    assert_eq!(world.event("the answer", answered).await, stall);
    runtime.shutdown_background();
    world.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_goes_where_its_gateway_went() {
    let mut world = World::start("moved").await;
    let ((old, old_url), (new, new_url)) = (listen().await, listen().await);
    let (runtime, _) = world.lease(old_url).await;
    let _held = in_time("a connection to the old URL", old.accept()).await.unwrap();
    world.send(gateway(), TransactionBody::SetUrl { url: new_url }).await;
    in_time("a connection to the new URL", new.accept()).await.unwrap();
    runtime.shutdown_background();
    world.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_pauses_works_again_and_goes_as_its_operator_wants_it() {
    let mut world = World::start("duty").await;
    let (_gateway, url) = listen().await;
    let (runtime, lease) = world.lease(url).await;
    let closed = |lease| {
        move |event: &Event| match event {
            Event::LeaseEnded { lease: ended, end: LeaseEnd::ClosedByWorker, .. } if *ended == lease => Some(()),
            _ => None,
        }
    };
    world.duty.send_replace(Duty::Paused);
    world.event("the end of its lease", closed(lease)).await;
    let offer = StateKey::Offer((profile().id(), worker().public_key()));
    let is_offered = || async { world.chain.entry::<Offer>(&offer).await.unwrap().is_some_and(|o| o.terms.slots > 0) };
    in_time("the end of its offer", async { while is_offered().await {} }).await;
    // A task that comes now waits, and is leased once the worker works again.
    world.open_task().await;
    world.duty.send_replace(Duty::Working);
    let second = world.event("the lease", granted).await;
    world.duty.send_replace(Duty::Draining);
    world.event("the end of its second lease", closed(second)).await;
    in_time("the worker", world.ended.notified()).await;
    runtime.shutdown_background();
    world.handle.stop().await;
}
