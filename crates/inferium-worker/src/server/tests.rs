//! A server in the same process, honest or not, by real HTTP.

use super::*;
use axum::{Json, Router, body::Body, http::StatusCode, response::IntoResponse, routing};
use futures::{StreamExt, stream};
use inferium_engine::{GenerateRequest, MockEngine, MockOptions, TextStream};
use inferium_types::Shaping;
use std::sync::{Arc, Mutex};

pub(crate) fn engine() -> Arc<MockEngine> {
    Arc::new(MockEngine::new(MockOptions::default()))
}

impl Server {
    /// The same at another address.
    pub(crate) fn moved(self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self }
    }
}

/// What a server says: to what tries it, and to a stream.
#[derive(Clone)]
pub(crate) enum Speech {
    /// Draws with a seed of its own, and gives ids or not.
    Honest { flavour: u64, has_ids: bool },
    /// Says this text, without ids.
    Text(&'static str),
    /// Sends these bytes as a stream, and ends or hangs.
    Bytes(&'static str, bool),
    /// Refuses with a status, or sends on to itself.
    Status(u16),
}

pub(crate) struct Fake {
    pub(crate) url: String,
    /// Bodies that were asked with.
    pub(crate) asked: Arc<Mutex<Vec<Value>>>,
}

/// A server that says one thing when it is tried, and another one in streams. What its `takes` leaves out it refuses.
pub(crate) async fn fake(probe: Speech, speech: Speech, takes: &'static [&'static str]) -> Fake {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let chat = move |Json(body): Json<Value>| {
        seen.lock().unwrap().push(body.clone());
        let speech = if body["stream"] == json!(true) { speech.clone() } else { probe.clone() };
        async move {
            let known = ["model", "messages", "stream", "temperature", "top_p", "max_tokens", "seed"];
            let is_known = |name: &String| known.contains(&name.as_str()) || takes.contains(&name.as_str());
            if !takes.contains(&"*") && !body.as_object().unwrap().keys().all(is_known) {
                return (StatusCode::BAD_REQUEST, "unknown parameter").into_response();
            }
            say(speech, &body).await
        }
    };
    let models = || async { Json(json!({"data": [{"id": "first"}, {"id": "second"}]})) };
    let app =
        Router::new().route("/v1/chat/completions", routing::post(chat)).route("/v1/models", routing::get(models));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Fake { url, asked }
}

async fn say(speech: Speech, body: &Value) -> axum::response::Response {
    let is_stream = body["stream"] == json!(true);
    match speech {
        Speech::Status(status) => {
            let elsewhere = [("location", "/v1/chat/completions")];
            (StatusCode::from_u16(status).unwrap(), elsewhere, "the prompt was: secret").into_response()
        }
        Speech::Bytes(bytes, hangs) => {
            let end = stream::pending::<Result<String, std::io::Error>>();
            let begin = stream::once(async move { Ok(bytes.to_owned()) });
            if hangs { Body::from_stream(begin.chain(end)).into_response() } else { bytes.into_response() }
        }
        Speech::Text(text) if is_stream => {
            let max = usize::try_from(body["max_tokens"].as_u64().unwrap()).unwrap();
            let (text, reason) = if text.len() > max { (&text[..max], "length") } else { (text, "stop") };
            let chunk = json!({"choices": [{"delta": {"content": text}, "finish_reason": reason}]});
            format!("data: {chunk}\n\ndata: [DONE]\n\n").into_response()
        }
        Speech::Text(_) => {
            Json(json!({"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]})).into_response()
        }
        Speech::Honest { flavour, has_ids } => honest(flavour, has_ids, is_stream, body).await,
    }
}

async fn honest(flavour: u64, has_ids: bool, is_stream: bool, body: &Value) -> axum::response::Response {
    let engine = MockEngine::new(MockOptions { flavour, ..MockOptions::default() });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages: Vec<ChatMessage> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| ChatMessage { role: text(&message["role"]), content: text(&message["content"]) })
        .collect();
    let micro = |name: &str| u32::try_from((body[name].as_f64().unwrap() * 1e6).round() as u64).unwrap();
    let prompt = engine.render_chat(&messages).unwrap();
    let prompt_tokens = prompt.len();
    let request = GenerateRequest {
        prompt,
        max_tokens: u32::try_from(body["max_tokens"].as_u64().unwrap()).unwrap(),
        sampling: SamplingParams { temperature_micro: micro("temperature"), top_p_ppm: micro("top_p"), top_k: 0 },
        seed: [77; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let mut steps = engine.generate(request).unwrap();
    let (mut stream, mut chunks) = (TextStream::new(), Vec::new());
    while let Some(step) = steps.recv().await {
        let token = step.unwrap().token;
        let content = stream.push(&engine, token);
        let ids = if has_ids { json!([token]) } else { Value::Null };
        chunks.push(json!({"index": 0, "delta": {"content": content}, "token_ids": ids, "finish_reason": null}));
    }
    if !is_stream {
        return Json(json!({"choices": [chunks[0]], "usage": {"prompt_tokens": prompt_tokens}})).into_response();
    }
    chunks.push(json!({"index": 0, "delta": {"content": stream.finish()}, "finish_reason": "length"}));
    let lines: String = chunks.iter().map(|choice| format!("data: {}\n\n", json!({"choices": [choice]}))).collect();
    format!("{lines}data: [DONE]\n\n").into_response()
}

const HONEST: Speech = Speech::Honest { flavour: 0, has_ids: true };

async fn connect(fake: &Fake) -> Result<Server, ServerError> {
    Server::connect(ServerConfig { silence: Duration::from_millis(300), ..ServerConfig::new(&fake.url) }, &*engine())
        .await
}

/// What a server is asked, as far as it takes it.
async fn fields(takes: &'static [&'static str]) -> (Server, Value) {
    let fake = fake(HONEST, HONEST, takes).await;
    let server = connect(&fake).await.unwrap();
    let last = fake.asked.lock().unwrap().last().cloned().unwrap();
    (server, last)
}

#[tokio::test]
async fn a_server_is_asked_for_as_much_as_it_takes() {
    let (server, body) = fields(&["*"]).await;
    assert_eq!((server.dialect, server.has_ids(), server.model()), (Dialect::Ids, true, "first"));
    assert_eq!((&body["top_k"], &body["return_token_ids"], &body["min_p"]), (&json!(1024), &json!(true), &json!(0.0)));
    // Whatever the model's files or the operator say.
    assert_eq!((&body["repetition_penalty"], &body["repeat_penalty"]), (&json!(1.0), &json!(1.0)));
    assert_eq!((&body["presence_penalty"], &body["frequency_penalty"]), (&json!(0), &json!(0)));
    let (server, body) = fields(&["top_k"]).await;
    assert_eq!((server.dialect, body.get("logprobs"), &body["top_k"]), (Dialect::TopK, None, &json!(1024)));
    assert_eq!((body.get("repetition_penalty"), body.get("presence_penalty")), (None, None));
}

/// It would draw from more than a verifier keeps, and be barred for it.
#[tokio::test]
async fn a_server_without_top_k_is_refused_at_once() {
    let fake = fake(HONEST, HONEST, &["min_p"]).await;
    let error = connect(&fake).await.err().unwrap();
    assert_eq!(error, ServerError::TopK);
    assert!(error.to_string().contains("`top_k`") && error.to_string().contains("1024"), "{error}");
    assert_eq!(fake.asked.lock().unwrap().len(), 3);
}

/// What llama-server names beside a character of several tokens is not what it drew.
#[tokio::test]
async fn a_server_with_ids_beside_its_log_probabilities_only_has_none() {
    let answer = |choice: &str| format!(r#"{{"choices": [{{{choice}}}]}}"#);
    for (choice, has_ids) in [
        (r#""logprobs": {"content": [{"id": 5, "token": "a", "logprob": -0.5}]}"#, false),
        (r#""logprobs": {"content": [{"token": "token_id:5", "logprob": -0.5}]}"#, true),
        (r#""token_ids": [5]"#, true),
    ] {
        let fake = fake(Speech::Bytes(answer(choice).leak(), false), HONEST, &["*"]).await;
        assert_eq!(connect(&fake).await.unwrap().has_ids(), has_ids, "{choice}");
    }
}

/// Prompts and keys go to nobody else.
#[tokio::test]
async fn a_server_that_sends_elsewhere_is_refused_and_nobody_follows() {
    for status in [301, 302, 303, 307, 308] {
        let first = fake(Speech::Status(status), HONEST, &["*"]).await;
        let shown = ": the prompt was: secret".to_owned();
        assert_eq!(connect(&first).await.err(), Some(ServerError::Refused { status, shown }));
        let later = fake(HONEST, Speech::Status(status), &["*"]).await;
        let server = connect(&later).await.unwrap();
        let messages = [ChatMessage { role: "user".into(), content: "hi".into() }];
        let refused = server.ask(&question(&messages, SamplingParams::GREEDY), &*engine()).await.err();
        assert_eq!(refused, Some(ServerError::Refused { status, shown: String::new() }));
        assert_eq!((first.asked.lock().unwrap().len(), later.asked.lock().unwrap().len()), (1, 2));
    }
}

/// Neither what tries it nor a question, whatever its sampling is.
#[tokio::test]
async fn every_question_has_a_seed_of_its_own() {
    let fake = fake(HONEST, HONEST, &["top_k"]).await;
    let server = connect(&fake).await.unwrap();
    let messages = [ChatMessage { role: "user".into(), content: "hi".into() }];
    let drawn = SamplingParams { temperature_micro: 700_000, top_p_ppm: 950_000, top_k: 50 };
    for sampling in [drawn, drawn, SamplingParams::GREEDY] {
        server.ask(&question(&messages, sampling), &*engine()).await.unwrap();
    }
    let asked = fake.asked.lock().unwrap();
    let seeds: std::collections::BTreeSet<i64> = asked.iter().map(|body| body["seed"].as_i64().unwrap()).collect();
    assert_eq!((asked.len(), seeds.len()), (5, 5), "one of them was refused");
    assert!(seeds.iter().all(|seed| i32::try_from(*seed).is_ok_and(|seed| seed >= 0)), "{seeds:?}");
}

#[tokio::test]
async fn a_key_and_a_name_are_used() {
    let fake = fake(HONEST, HONEST, &["*"]).await;
    let config =
        ServerConfig { model: Some("mine".into()), key: Some("s3cret".into()), ..ServerConfig::new(&fake.url) };
    assert!(!format!("{config:?}").contains("s3cret"));
    let server = Server::connect(config, &*engine()).await.unwrap();
    assert_eq!((server.model(), &fake.asked.lock().unwrap()[0]["model"]), ("mine", &json!("mine")));
}

#[tokio::test]
async fn a_server_that_is_no_use_is_refused_at_once() {
    let nobody = Fake { url: "http://127.0.0.1:9".into(), asked: Arc::default() };
    assert!(matches!(connect(&nobody).await, Err(ServerError::Unreachable { .. })));
    let of = async |probe| connect(&fake(probe, HONEST, &["*"]).await).await.err().unwrap();
    // Before there are jobs, what it says may be shown.
    let refused = |status| ServerError::Refused { status, shown: ": the prompt was: secret".into() };
    for status in [400, 401, 404, 422, 500] {
        assert_eq!(of(Speech::Status(status)).await, refused(status));
    }
    assert_eq!(of(Speech::Bytes("<html>", false)).await, ServerError::Broken { what: "no JSON" });
    assert_eq!(of(Speech::Bytes("{}", false)).await, ServerError::Broken { what: "no choice" });
    let after = Duration::from_millis(300);
    assert_eq!(of(Speech::Bytes("{", true)).await, ServerError::Silent { after });
    let expected = engine().render_chat(&[ChatMessage { role: "user".into(), content: PROBE.into() }]).unwrap().len();
    let other = r#"{"choices": [{}], "usage": {"prompt_tokens": 3}}"#;
    assert_eq!(of(Speech::Bytes(other, false)).await, ServerError::OtherPrompt { found: 3, expected });
}

fn question(messages: &[ChatMessage], sampling: SamplingParams) -> Question<'_> {
    Question { messages, prompt_tokens: 9, sampling, tokens_max: 40 }
}

#[tokio::test]
async fn a_question_is_asked_as_the_job_says() {
    let messages = [ChatMessage { role: "user".into(), content: "hi".into() }];
    let sampling = SamplingParams { temperature_micro: 700_000, top_p_ppm: 950_000, top_k: 50 };
    let engine = engine();
    let with_ids = fake(HONEST, HONEST, &["*"]).await;
    connect(&with_ids).await.unwrap().ask(&question(&messages, sampling), &*engine).await.unwrap();
    let body = with_ids.asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!((&body["temperature"], &body["top_p"], &body["top_k"]), (&json!(0.7), &json!(0.95), &json!(50)));
    assert_eq!(body["max_tokens"], json!(40));
    assert_eq!(body.get("stop"), None, "the worker ends answers itself");
    // Without ids a few more are asked for, as far as they fit.
    let without = fake(HONEST, HONEST, &["top_k"]).await;
    let server = Server { has_ids: false, ..connect(&without).await.unwrap() };
    assert_eq!(server.slack(&question(&messages, sampling), &*engine), 8 + 5);
    let near = Question { prompt_tokens: 8_192 - 43, ..question(&messages, sampling) };
    assert_eq!(server.slack(&near, &*engine), 3);
    server.ask(&question(&messages, sampling), &*engine).await.unwrap();
    let body = without.asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!((&body["max_tokens"], &body["top_k"]), (&json!(40 + 8 + 5), &json!(50)));
}
