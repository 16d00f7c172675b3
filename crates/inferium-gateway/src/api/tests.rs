//! What clients see over real HTTP: every answer that is no success is an error object.

mod keys;

use super::*;
use crate::gateway::DemandTerms;
use crate::store::{GatewayStore, UnsignedRecord, tests as records};
use inferium_engine::{
    Classifier, ClassifierTerms, Engine, EngineError, EngineLoad, GenerateRequest, MockEmbedder, MockEmbedderOptions,
    MockEngine, MockOptions, Model, ModelInfo, ReplayReceiver, ReplayRequest, ScoreReceiver, ScoreRequest,
    StepReceiver, TraceReceiver, TraceRequest,
};
use inferium_types::{
    AccountId, Amount, ChainId, ChatMessage, GroupKey, ImpossibleJob, Price, PublicKey, SecretKey, SlashRule,
    SlashedNode,
};
use serde_json::Value;
use std::sync::Mutex;
use std::thread::ThreadId;

/// A gateway's routes on a port of their own.
pub(super) struct Served {
    pub(super) hub: Arc<Hub>,
    pub(super) state: ApiState,
    pub(super) url: String,
    pub(super) admin_url: String,
    pub(super) admin_token: String,
    pub(super) client: reqwest::Client,
    pub(super) key: String,
    path: std::path::PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(super) async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

pub(super) async fn serve() -> Served {
    serve_with(Arc::new(MockEngine::new(MockOptions::default())), |_| ()).await
}

/// A model whose leases have room for this many tokens.
fn served(name: &str, model: Model, context_tokens: u32) -> ServedModel {
    let price_max = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(1) };
    let demand =
        DemandTerms { price_max, jobs_max: 1, tokens_max: 1, slots: 1, context_tokens, open_ms: 1, lease_ms: 1 };
    ServedModel { profile: model.profile(name, "mock"), model, demand }
}

/// As the gateway has a model that it serves.
pub(super) fn api_model(name: &str, model: Model, context_tokens: u32) -> ApiModel {
    let profile = model.profile(name, "mock");
    let price_max = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(1) };
    ApiModel { id: profile.id(), kind: TaskKind::Inference, profile, model, context_tokens, price_max }
}

/// A gateway over a store with what `earlier` left in it.
async fn serve_with(engine: Arc<dyn Engine>, earlier: impl FnOnce(&GatewayStore)) -> Served {
    let path = std::env::temp_dir().join(format!("inferium-api-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    let key = ApiKey::from_entropy([1; 24]);
    store.ensure_key(key.hash(), Amount::from_ifr(1)).unwrap();
    earlier(&store);
    let (hub, _) = Hub::new(SecretKey::from_bytes([1; 32]).unwrap(), store).unwrap();
    let embedder = Arc::new(MockEmbedder::new(MockEmbedderOptions::default()));
    let (integers, _) = inferium_exact::synthetic("mlp-tiny").unwrap().unwrap();
    let terms = ClassifierTerms::of(&integers);
    let classifier = Arc::new(Classifier::new(integers, terms, None).unwrap());
    let models = [
        served("mock", Model::Chat(engine), 100),
        served("vectors", Model::Embedder(embedder), 4_096),
        served("classes", Model::Classifier(classifier), 4_096),
    ];
    let network = NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([0; 96]) };
    let (_, head) = watch::channel(None);
    let state = ApiState::new(Arc::clone(&hub), network, head, &models).with_batches(true);
    hub.name_models(models.iter().map(|served| (served.profile.id(), served.profile.name.clone())).collect());
    let token = AdminToken::from_entropy([2; 32]);
    let (admin, admin_token) = (admin_router(state.clone(), &token), token.reveal());
    let (url, admin_url) = (listen(router(state.clone())).await, listen(admin).await);
    Served { hub, state, url, admin_url, admin_token, client: reqwest::Client::new(), key: key.reveal(), path }
}

impl Served {
    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// Status, code and parameter of an error object with all of its fields.
fn shape(status: u16, body: &Value) -> (u16, &str, Option<&str>) {
    let error = body.get("error").unwrap();
    assert!(error["message"].is_string() && error["type"].is_string() && body.as_object().unwrap().len() == 1);
    (status, error["code"].as_str().unwrap(), error["param"].as_str())
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_an_error_object() {
    let served = serve().await;
    let cases = [
        ("/nothing", (404, "unknown_url", None)),
        ("/v1/receipts/%ff", (400, "invalid_value", Some("job"))),
        ("/v1/receipts/zz", (404, "job_not_found", Some("job"))),
        ("/v1/training/runs/%ff", (400, "invalid_value", Some("run_id"))),
        ("/v1/training/runs/zz", (404, "run_not_found", Some("run_id"))),
        ("/v1/boards/%ff", (400, "invalid_value", Some("board_id"))),
        ("/v1/boards/zz", (404, "board_not_found", Some("board_id"))),
        ("/v1/boards/zz/inputs", (404, "board_not_found", Some("board_id"))),
        ("/v1/models/%ff", (400, "invalid_value", Some("model"))),
        ("/v1/models/other/model", (404, "model_not_found", Some("model"))),
        ("/v1/worker", (426, "upgrade_required", None)),
        ("/v1/chat/completions", (405, "method_not_allowed", None)),
        ("/v1/key", (401, "invalid_api_key", None)),
        ("/v1/slashes?limit=0", (400, "invalid_value", Some("limit"))),
        ("/v1/slashes?limit=1001", (400, "invalid_value", Some("limit"))),
        ("/v1/slashes?limit=", (400, "invalid_value", Some("limit"))),
        ("/v1/slashes?limit=-1", (400, "invalid_value", Some("limit"))),
        ("/v1/slashes?after=x", (400, "invalid_value", Some("after"))),
    ];
    for (path, expected) in cases {
        let (status, body) = served.get(path).await;
        assert_eq!(shape(status, &body), expected, "{path}");
    }
    for (method, path, expected) in
        [("GET", "/nothing", (404, "unknown_url", None)), ("POST", "/metrics", (405, "method_not_allowed", None))]
    {
        let request = served.client.request(method.parse().unwrap(), format!("{}{path}", served.admin_url));
        let response = request.send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!(shape(status, &body), expected, "{path}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_told_which_are() {
    let served = serve().await;
    let response = served.client.get(format!("{}/v1/chat/completions", served.url)).send().await.unwrap();
    assert_eq!(response.headers()[header::ALLOW], "POST");
}

#[tokio::test]
async fn a_browser_may_read_when_to_try_again_and_which_job_it_was() {
    let served = serve().await;
    let request = served.client.post(format!("{}/v1/chat/completions", served.url));
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3});
    let request = request.bearer_auth(&served.key).header(header::ORIGIN, "http://example.org").json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let exposed = response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().to_lowercase();
    for name in ["retry-after", "x-inferium-job", "x-request-id"] {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{exposed}");
    }
    let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
    assert_eq!(shape(status, &body), (503, "no_worker_available", None));
}

#[tokio::test]
async fn more_than_any_worker_measured_is_an_error_about_the_context() {
    let error =
        ApiError::from(crate::hub::NoLease::Impossible(ImpossibleJob::Context { tokens: 101, context_tokens: 100 }));
    assert_eq!(
        shape(error.clone().into_response().status().as_u16(), &error.body()),
        (400, "context_length_exceeded", Some("messages"))
    );
}

#[tokio::test]
async fn slashes_are_read_page_by_page() {
    let served = serve().await;
    for number in 1..=5u64 {
        let slash = SlashedNode {
            slash: number << 60,
            releases_at_ms: 0,
            node: PublicKey::from_bytes([1; 32]),
            role: "worker".into(),
            operator: AccountId::from_bytes([2; 32]),
            rule: SlashRule::WrongResult,
            segment: None,
            job: None,
            amount: Amount::from_nano(number),
            disqualified: false,
        };
        served.hub.store.put_slash(&slash, number).unwrap();
    }
    let (status, whole) = served.get("/v1/slashes").await;
    assert_eq!((status, whole["data"].as_array().unwrap().len(), whole.get("next")), (200, 5, None));
    let first = &whole["data"][0];
    for field in ["slash", "node", "role", "rule", "job", "amount_nano", "height", "state"] {
        assert!(first.get(field).is_some(), "{field}");
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/slashes?limit=2".to_owned());
    loop {
        let (_, page) = served.get(&path).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2);
        seen.extend(data.iter().map(|slash| slash["height"].as_u64().unwrap()));
        let Some(next) = page.get("next") else { break };
        path = format!("/v1/slashes?limit=2&after={}", next.as_str().unwrap());
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

/// An engine that knows which threads rendered.
#[derive(Debug)]
struct Watched(MockEngine, Mutex<Vec<ThreadId>>);

impl Engine for Watched {
    fn special(&self, token: u32) -> Option<&str> {
        self.0.special(token)
    }

    fn tokenizer(&self) -> inferium_engine::TokenizerInfo {
        self.0.tokenizer()
    }

    fn check_shaping(&self, shaping: &inferium_types::Shaping) -> Result<(), EngineError> {
        self.0.check_shaping(shaping)
    }

    fn model(&self) -> &ModelInfo {
        self.0.model()
    }

    fn generate(&self, request: GenerateRequest) -> Result<StepReceiver, EngineError> {
        self.0.generate(request)
    }

    fn replay(&self, request: ReplayRequest) -> Result<ReplayReceiver, EngineError> {
        self.0.replay(request)
    }

    fn trace(&self, request: TraceRequest) -> Result<TraceReceiver, EngineError> {
        self.0.trace(request)
    }

    fn score(&self, request: ScoreRequest) -> Result<ScoreReceiver, EngineError> {
        self.0.score(request)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.0.encode(text)
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError> {
        self.1.lock().unwrap().push(std::thread::current().id());
        self.0.render_chat(messages)
    }

    fn spells_special(&self, messages: &[ChatMessage]) -> bool {
        self.0.spells_special(messages)
    }

    fn token_bytes(&self, token: u32) -> &[u8] {
        self.0.token_bytes(token)
    }

    fn load(&self) -> EngineLoad {
        self.0.load()
    }
}

/// All requests of this test are served by its one thread.
#[tokio::test]
async fn a_long_prompt_is_tokenised_where_no_one_waits_for_it() {
    let engine = Arc::new(Watched(MockEngine::new(MockOptions::default()), Mutex::default()));
    let served = serve_with(Arc::clone(&engine) as Arc<dyn Engine>, |_| ()).await;
    for size in [200, 20_000] {
        let body = json!({"model": "mock", "messages": [{"role": "user", "content": "a".repeat(size)}]});
        let request = served.client.post(format!("{}/v1/chat/completions", served.url));
        let response = request.bearer_auth(&served.key).json(&body).send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!(shape(status, &body), (400, "context_length_exceeded", Some("messages")));
        // The template adds 18 tokens of its own.
        let counted = format!("the prompt has {} and asks for", size + 18);
        assert!(body["error"]["message"].as_str().unwrap().contains(&counted), "{body}");
    }
    let (here, threads) = (std::thread::current().id(), engine.1.lock().unwrap().clone());
    assert!(threads.len() == 2 && threads[0] == here && threads[1] != here);
}

/// The limits of what workers take are the types' own; here they have the name of the parameter.
#[tokio::test]
async fn what_workers_would_refuse_is_refused_by_its_parameter() {
    let served = serve().await;
    let message = json!({"role": "user", "content": ""});
    let cases = [
        (json!({"stop": vec!["x"; limits::STOP_STRINGS_MAX]}), (503, "no_worker_available", None)),
        (json!({"stop": vec!["x"; limits::STOP_STRINGS_MAX + 1]}), (400, "invalid_value", Some("stop"))),
        (json!({"stop": ""}), (400, "invalid_value", Some("stop"))),
        (json!({"stop": ["x", ""]}), (400, "invalid_value", Some("stop"))),
        (json!({"stop": "s".repeat(limits::STOP_STRING_SIZE_MAX + 1)}), (400, "invalid_value", Some("stop"))),
        (json!({"messages": vec![message; limits::MESSAGES_MAX + 1]}), (400, "invalid_value", Some("messages"))),
    ];
    for (extra, expected) in cases {
        let mut body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        let request = served.client.post(format!("{}/v1/chat/completions", served.url));
        let response = request.bearer_auth(&served.key).json(&body).send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!(shape(status, &body), expected, "{body}");
    }
    let refusals = [
        (ImpossibleJob::NoTokens, (400, "invalid_value", Some("messages"))),
        (ImpossibleJob::Size, (413, "body_too_large", None)),
    ];
    for (reason, expected) in refusals {
        let error = ApiError::from(reason);
        assert_eq!(shape(error.clone().into_response().status().as_u16(), &error.body()), expected);
    }
}

/// The same figure that a refused request is told: what is reserved can't be spent.
#[tokio::test]
async fn a_key_has_left_what_is_neither_spent_nor_reserved() {
    let payer = ApiKey::from_entropy([1; 24]).hash();
    let segment = records::segment(0, &[(1, 300)]);
    let engine = Arc::new(MockEngine::new(MockOptions::default()));
    let served = serve_with(engine, |store| {
        store.ensure_key(payer, Amount::from_nano(1_000)).unwrap();
        store.put_lease(&records::lease_record(1)).unwrap();
        let unsigned = records::unsigned(&segment).into_iter().map(|record| UnsignedRecord { payer, ..record });
        store.put_unsigned(&unsigned.collect::<Vec<_>>()).unwrap();
    })
    .await;
    let request = served.client.get(format!("{}/v1/key", served.url)).bearer_auth(&served.key);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&body["budget_nano"], &body["spent_nano"], &body["left_nano"]),
        (&json!(1_000), &json!(0), &json!(700))
    );
    assert_eq!(served.hub.left(payer), Amount::from_nano(700));
}

#[tokio::test]
async fn a_job_whose_segment_was_never_committed_is_not_said_to_be_judged() {
    let segment = records::segment(0, &[(1, 300)]);
    let job = segment.leaves[0].request.job;
    let engine = Arc::new(MockEngine::new(MockOptions::default()));
    let served = serve_with(engine, |store| {
        store.put_segment(&segment).unwrap();
        store.close_lease(records::lease(1), &[]).unwrap();
    })
    .await;
    let (status, body) = served.get(&format!("/v1/receipts/{job}")).await;
    let reason = "the worker put it into no block before its lease closed; it cost nothing";
    let expected =
        json!({"object": "inferium.receipt", "job": job.to_string(), "status": "rejected", "reason": reason});
    assert_eq!((status, body), (200, expected));
}

#[tokio::test]
async fn models_say_what_they_do() {
    let served = serve().await;
    let (status, list) = served.get("/v1/models").await;
    let told: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|m| (&m["id"], &m["task"], &m["dimensions"])).collect();
    let (chat, vectors, classes) = (json!("mock"), json!("vectors"), json!("classes"));
    assert_eq!(status, 200);
    let nothing = Value::Null;
    let expected = [
        (&chat, &json!("chat"), &nothing),
        (&vectors, &json!("embedding"), &json!(32)),
        (&classes, &json!("classification"), &nothing),
    ];
    assert_eq!(told, expected);
    let (of_vectors, of_classes) = (&list["data"][1], &list["data"][2]);
    assert_eq!((&of_vectors["labels"], &of_vectors["input"]), (&nothing, &nothing));
    assert_eq!(of_classes["labels"].as_array().unwrap().len(), 3);
    assert_eq!((&of_classes["input"]["type"], &of_classes["input"]["minimum"]), (&json!("tensor"), &json!(0)));
    let can = |model: &Value| {
        [&model["capabilities"]["embeddings"], &model["capabilities"]["classifications"]].map(|can| can == true)
    };
    assert_eq!([&list["data"][0], of_vectors, of_classes].map(can), [[false, true], [true, false], [false, true]]);
    let (_, one) = served.get("/v1/models/vectors").await;
    assert_eq!((&one, &one["context_length"]), (&list["data"][1], &json!(256)));
    let (status, missing) = served.get("/v1/models/other").await;
    assert_eq!(status, 404);
    assert!(
        missing["error"]["message"].as_str().unwrap().ends_with("this gateway serves `mock`, `vectors`, `classes`")
    );
}

#[tokio::test]
async fn each_model_has_its_url() {
    let served = serve().await;
    let wrong = (400, "invalid_value", Some("model"));
    let zeros = "0".repeat(64);
    let training = json!({
        "batch": 32, "data": "0", "held_out_ppm": 200_000, "interval": 1, "learning_rate_nano": 10_000_000, "measured_max": 10_000,
        "model": {"name": "0", "tokenizer": zeros, "weights_root": zeros}, "steps": 1, "vectors": "", "warmup_steps": 10,
        "weight_decay_nano": 10_000_000,
    });
    let cases = [
        ("/v1/chat/completions", json!({"model": "vectors", "messages": [{"role": "user", "content": "hi"}]}), wrong),
        ("/v1/embeddings", json!({"model": "mock", "input": "hi"}), wrong),
        ("/v1/embeddings", json!({"model": "other", "input": "hi"}), (404, "model_not_found", Some("model"))),
        ("/v1/embeddings", json!({"model": "vectors", "input": "hi"}), (503, "no_worker_available", None)),
        ("/v1/training/runs", training, (404, "not_offered", None)),
        (
            "/v1/embeddings",
            json!({"model": "vectors", "input": "hi", "dimensions": 31}),
            (400, "invalid_value", Some("dimensions")),
        ),
        (
            "/v1/embeddings",
            json!({"model": "vectors", "input": "hi", "dimensions": 32}),
            (503, "no_worker_available", None),
        ),
        (
            "/v1/embeddings",
            json!({"model": "vectors", "input": ["hi", "x".repeat(254)]}),
            (503, "no_worker_available", None),
        ),
        (
            "/v1/embeddings",
            json!({"model": "vectors", "input": ["hi", "x".repeat(255)]}),
            (400, "context_length_exceeded", Some("input")),
        ),
        ("/v1/embeddings", json!([]), (400, "invalid_json", None)),
    ];
    for (path, body, expected) in cases {
        let request = served.client.post(format!("{}{path}", served.url));
        let response = request.bearer_auth(&served.key).json(&body).send().await.unwrap();
        let (status, answer) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!(shape(status, &answer), expected, "{body}: {answer}");
    }
    let response = served.client.post(format!("{}/v1/embeddings", served.url)).json(&json!({})).send().await.unwrap();
    assert_eq!(response.status(), 401);
}
