//! Against a server in the same process, by real HTTP.

use super::Asker;
use crate::cli::{Failure, ServerArgs};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use inferium_eval::{Answer, Item, ItemRecord, Suite, builtin};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What a server was asked, and how it answers: the n-th request after the list of models.
#[derive(Clone)]
struct Script {
    seen: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
    answer: fn(usize, &str) -> Response,
}

async fn serve(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/v1/models" {
        let model = json!({"id": "m", "task": "chat", "weights_root": "ab"});
        return Json(json!({ "data": [model] })).into_response();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let count = {
        let mut seen = script.seen.lock().unwrap();
        seen.push((path.clone(), parts.headers, serde_json::from_slice(&body).unwrap()));
        seen.len() - 1
    };
    (script.answer)(count, &path)
}

/// The first item of a suite, asked at a server that answers so; and what was asked.
async fn asked(
    suite: &str,
    answer: fn(usize, &str) -> Response,
) -> (Result<ItemRecord, Failure>, Vec<(String, HeaderMap, Value)>) {
    asked_about(suite, answer, |_| ()).await
}

async fn asked_about(
    suite: &str,
    answer: fn(usize, &str) -> Response,
    change: fn(&mut Item),
) -> (Result<ItemRecord, Failure>, Vec<(String, HeaderMap, Value)>) {
    let script = Script { seen: Arc::default(), answer };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(script.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let key_file: PathBuf = std::env::temp_dir().join(format!("inferium-eval-key-{}", rand::random::<u64>()));
    std::fs::write(&key_file, "sk-test\n").unwrap();
    let network = crate::cli::NetworkDir { data: None };
    let arguments = ServerArgs { url: Some(url), key_file: Some(key_file.clone()), network };
    let asker = Asker::new(&arguments, "m").await.unwrap();
    std::fs::remove_file(&key_file).unwrap();
    let suite: Suite = builtin(suite).unwrap().unwrap();
    asker.check(&suite).unwrap();
    let mut item = suite.items()[0].clone();
    change(&mut item);
    let found = asker.ask(&suite, &item).await;
    server.abort();
    let seen = script.seen.lock().unwrap().clone();
    (found, seen)
}

fn said(text: &str) -> Response {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}});
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 2, "cost_nano": 7});
    Json(json!({"choices": [choice], "usage": usage, "inferium": {"job": "ab"}})).into_response()
}

fn refused(status: u16, headers: [(&'static str, &'static str); 1]) -> Response {
    let body = json!({"error": {"message": "not now", "type": "server_error"}});
    (StatusCode::from_u16(status).unwrap(), headers, Json(body)).into_response()
}

#[tokio::test]
async fn a_busy_server_is_asked_again_under_the_same_name() {
    let (found, seen) = asked("arithmetic", |count, _| match count {
        0 => refused(503, [("retry-after-ms", "1")]),
        1 => refused(429, [("retry-after", "0")]),
        _ => said("It is 9."),
    })
    .await;
    let found = found.unwrap();
    assert_eq!(found.answer, Answer::Text { text: "It is 9.".into() });
    assert_eq!((found.scores_ppm, found.jobs), (Some(vec![1_000_000]), vec!["ab".to_owned()]));
    assert_eq!((found.prompt_tokens, found.completion_tokens, found.cost_nano), (9, 2, 7));
    let names: Vec<_> = seen.iter().map(|(_, headers, _)| headers["idempotency-key"].clone()).collect();
    assert!(names.len() == 3 && names.iter().all(|name| *name == names[0]), "{names:?}");
    let (path, headers, body) = &seen[0];
    assert_eq!((path.as_str(), headers["authorization"].to_str().unwrap()), ("/v1/chat/completions", "Bearer sk-test"));
    let message = json!([{"role": "user", "content": "What is 5 + 4? Answer with the number alone."}]);
    let expected =
        json!({"model": "m", "messages": message, "max_tokens": 24, "temperature": 0, "seed": 1234, "stop": ["\n\n"]});
    assert_eq!(*body, expected);
}

/// Ids are whatever a suite's author likes.
#[tokio::test]
async fn items_of_any_id_are_asked() {
    let mut names = Vec::new();
    for change in [
        |item: &mut Item| item.id = "Stra\u{df}e \u{6771}\u{4eac}\n".into(),
        |item: &mut Item| item.id = "x".repeat(100_000),
    ] {
        let (found, seen) = asked_about("arithmetic", |_, _| said("It is 9."), change).await;
        assert_eq!(found.unwrap().scores_ppm, Some(vec![1_000_000]));
        names.extend(seen.iter().map(|(_, headers, _)| headers["idempotency-key"].to_str().unwrap().to_owned()));
    }
    assert!(names.len() == 2 && names[0] != names[1] && names.iter().all(|name| name.len() == 69), "{names:?}");
}

#[tokio::test]
async fn a_refusal_is_final() {
    for answer in [(|_, _: &str| refused(402, [("x-none", "")])) as fn(usize, &str) -> Response, |_, _| {
        refused(500, [("x-should-retry", "false")])
    }] {
        let (found, seen) = asked("arithmetic", answer).await;
        assert_eq!((found.unwrap_err().to_string().as_str(), seen.len()), ("not now", 1));
    }
}

#[tokio::test]
async fn choices_are_scored_beyond_the_tokens_of_the_prompt() {
    fn answer(_: usize, path: &str) -> Response {
        if path == "/tokenize" {
            return Json(json!({"tokens": [1, 2]})).into_response();
        }
        let choice = |index: u32, own: &[f64]| {
            let all: Vec<Value> =
                [json!(null), json!(-9.5)].into_iter().chain(own.iter().map(|one| json!(one))).collect();
            json!({"index": index, "logprobs": {"token_logprobs": all}})
        };
        // In no order.
        let choices = [choice(3, &[-4.0]), choice(0, &[-1.5]), choice(1, &[-1.0, -1.0]), choice(2, &[-3.0])];
        Json(json!({"choices": choices, "usage": {"prompt_tokens": 4}, "inferium": {"jobs": [{"job": "a"}, {"job": "b"}]}}))
            .into_response()
    }
    let (found, seen) = asked("everyday", answer).await;
    let found = found.unwrap();
    let logprobs_nano = vec![-1_500_000_000, -2_000_000_000, -3_000_000_000, -4_000_000_000];
    assert_eq!(found.answer, Answer::Likelihoods { logprobs_nano });
    assert_eq!((found.jobs, found.prompt_tokens), (vec!["a".to_owned(), "b".to_owned()], 4));
    let prompts = &seen[1].2["prompt"];
    assert_eq!(prompts[0], "A fish breathes under water with its gills");
    assert_eq!(
        (&seen[0].2["prompt"], seen[1].0.as_str()),
        (&json!("A fish breathes under water with its"), "/v1/completions")
    );
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    let nothing: fn(usize, &str) -> Response = |_, _| Json(json!({})).into_response();
    let cut: fn(usize, &str) -> Response = |_, path| match path {
        "/tokenize" => Json(json!({"tokens": [1, 2, 3]})).into_response(),
        _ => {
            let choice = |index: u32| json!({"index": index, "logprobs": {"token_logprobs": [null, -1.0, -1.0]}});
            Json(json!({"choices": [choice(0), choice(1), choice(2), choice(3)]})).into_response()
        }
    };
    for (suite, answer, expected) in [
        ("arithmetic", nothing, "item arithmetic-001: the server answered no text"),
        ("everyday", nothing, "item everyday-001: the server answered /tokenize without tokens"),
        ("everyday", cut, "no log probabilities for a choice"),
    ] {
        let said = asked(suite, answer).await.0.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}
