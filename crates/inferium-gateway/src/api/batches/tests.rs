//! Files and batches over real HTTP, and what is wrong with lines.

use super::super::tests::{Served, serve};
use super::*;

const LINE: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"mock"}}"#;

fn faults(content: &str) -> Vec<(Option<u32>, String)> {
    let found = lines::read(content.as_bytes(), Endpoint::Chat).unwrap_err();
    found.into_iter().map(|fault| (fault.line, fault.code)).collect()
}

#[test]
fn lines_are_read_and_empty_ones_skipped() {
    let second = LINE.replace(r#""a""#, r#""b""#).replace(r#""model":"mock""#, r#""models":["mock"],"stream":false"#);
    let read = lines::read(format!("{LINE}\r\n\n{second}\n").as_bytes(), Endpoint::Chat).unwrap();
    let shown: Vec<_> = read.iter().map(|line| (line.number, line.custom_id.as_str(), line.model.as_deref())).collect();
    assert_eq!(shown, [(0, "a", Some("mock")), (2, "b", Some("mock"))]);
}

#[test]
fn each_fault_names_its_line() {
    let cases = [
        ("{".to_owned(), "invalid_json_line"),
        ("[]".to_owned(), "invalid_json_line"),
        (LINE.to_owned(), "duplicate_custom_id"),
        (LINE.replace("POST", "GET"), "invalid_request"),
        (LINE.replace("chat/", ""), "mismatched_url"),
        (LINE.replace(r#"{"model":"mock"}"#, "1"), "invalid_request"),
        (LINE.replace(r#""model":"mock""#, r#""stream":true"#), "invalid_request"),
        (LINE.replace("method", "verb"), "invalid_request"),
        (LINE.replace(r#""a""#, r#""""#), "invalid_request"),
        (LINE.replace('a', &"a".repeat(600)), "invalid_request"),
    ];
    for (wrong, code) in cases {
        assert_eq!(faults(&format!("{LINE}\n{wrong}")), [(Some(2), code.to_owned())], "{wrong}");
    }
    assert_eq!(faults("\n \n"), [(None, "empty_file".to_owned())]);
}

#[test]
fn a_file_has_no_more_lines_than_are_taken() {
    let line = |number: usize| LINE.replace(r#""a""#, &format!(r#""{number}""#)) + "\n";
    let most: String = (0..lines::LINES_MAX).map(line).collect();
    assert_eq!(lines::read(most.as_bytes(), Endpoint::Chat).unwrap().len(), lines::LINES_MAX);
    let over = most + &line(lines::LINES_MAX);
    assert_eq!(faults(&over), [(None, "too_many_lines".to_owned())]);
}

async fn send(served: &Served, request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.bearer_auth(&served.key).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn upload(served: &Served, content: Vec<u8>, purpose: &'static str) -> (u16, Value) {
    let mut form = format!("--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--x\r\n");
    form += "content-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n";
    let body = [form.into_bytes(), content, b"\r\n--x--\r\n".to_vec()].concat();
    let request = served.client.post(format!("{}/v1/files", served.url)).body(body);
    send(served, request.header("content-type", "multipart/form-data; boundary=x")).await
}

#[tokio::test]
async fn a_file_is_kept_as_it_came_and_bounded() {
    let served = serve().await;
    let (status, file) = upload(&served, LINE.into(), "batch").await;
    assert_eq!((status, file["bytes"].as_u64(), &file["filename"]), (200, Some(LINE.len() as u64), &json!("a.jsonl")));
    let url = format!("{}/v1/files/{}", served.url, file["id"].as_str().unwrap());
    let content = served.client.get(format!("{url}/content")).bearer_auth(&served.key).send().await.unwrap();
    assert_eq!(content.text().await.unwrap(), LINE);
    let (_, list) = send(&served, served.client.get(format!("{}/v1/files?limit=1", served.url))).await;
    assert_eq!((&list["data"][0], list["has_more"].as_bool()), (&file, Some(false)));
    assert_eq!(served.client.get(&url).send().await.unwrap().status(), 401);
    let (status, gone) = send(&served, served.client.delete(&url)).await;
    assert_eq!((status, gone["deleted"].as_bool()), (200, Some(true)));
    let (status, missing) = send(&served, served.client.get(&url)).await;
    assert_eq!((status, missing["error"]["code"].as_str()), (404, Some("file_not_found")));
    assert_eq!(upload(&served, LINE.into(), "fine-tune").await.0, 400);
    assert_eq!(upload(&served, Vec::new(), "batch").await.0, 400);
    assert_eq!(upload(&served, vec![b' '; super::super::files::SIZE_MAX], "batch").await.0, 200);
    assert_eq!(upload(&served, vec![b' '; super::super::files::SIZE_MAX + 1], "batch").await.0, 413);
}

#[tokio::test]
async fn an_sdk_that_tries_again_gets_what_its_first_try_made() {
    let served = serve().await;
    let (_, file) = upload(&served, LINE.into(), "batch").await;
    let wanted = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let ask = |header: &'static str, value: &'static str| {
        let request = served.client.post(format!("{}/v1/batches", served.url)).json(&wanted).header(header, value);
        request.bearer_auth(&served.key).send()
    };
    let first: Value = ask("x-stainless-retry-count", "0").await.unwrap().json().await.unwrap();
    let again = ask("x-stainless-retry-count", "1").await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap()["id"], first["id"]);
    let named: Value = ask("idempotency-key", "mine").await.unwrap().json().await.unwrap();
    assert_ne!(named["id"], first["id"]);
    assert_eq!(ask("idempotency-key", "mine").await.unwrap().json::<Value>().await.unwrap()["id"], named["id"]);
    let other = json!({"input_file_id": file["id"], "endpoint": "/v1/completions", "completion_window": "24h"});
    let other = served.client.post(format!("{}/v1/batches", served.url)).json(&other).header("idempotency-key", "mine");
    let (status, error) = send(&served, other).await;
    assert_eq!((status, error["error"]["code"].as_str()), (400, Some("idempotency_key_reused")));
}

#[tokio::test]
async fn a_key_that_has_spent_all_is_told_so_though_no_lease_is_there() {
    let mut served = serve().await;
    let key = crate::keys::ApiKey::from_entropy([7; 24]);
    let created = served.state.hub.create_key(key.hash(), Amount::ZERO, crate::store::KeyTerms::default());
    created.await.unwrap();
    served.key = key.reveal();
    let (_, file) = upload(&served, LINE.into(), "batch").await;
    let wanted = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let url = format!("{}/v1/batches", served.url);
    let (_, batch) = send(&served, served.client.post(&url).json(&wanted)).await;
    let work = tokio::spawn(run(served.state.clone()));
    let ended = loop {
        let (_, shown) = send(&served, served.client.get(format!("{url}/{}", batch["id"].as_str().unwrap()))).await;
        if shown["status"] != "validating" && shown["status"] != "in_progress" {
            break shown;
        }
    };
    work.abort();
    assert_eq!((&ended["status"], &ended["errors"]["data"][0]["code"]), (&json!("failed"), &json!("payment_required")));
}

#[tokio::test]
async fn a_batch_is_asked_for_with_all_it_needs_and_can_be_cancelled() {
    let served = serve().await;
    let (_, file) = upload(&served, LINE.into(), "batch").await;
    let url = format!("{}/v1/batches", served.url);
    let right = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    for (field, value) in [
        ("endpoint", json!("/v1/classifications")),
        ("completion_window", json!("1h")),
        ("completion_window", json!(null)),
        ("metadata", json!({"a": 1})),
        ("other", json!(1)),
    ] {
        let mut wrong = right.clone();
        wrong[field] = value;
        let (status, error) = send(&served, served.client.post(&url).json(&wrong)).await;
        assert_eq!((status, error["error"]["param"].as_str()), (400, Some(field)));
    }
    let (status, batch) = send(&served, served.client.post(&url).json(&right)).await;
    assert_eq!((status, batch["status"].as_str()), (200, Some("validating")));
    // Its file is in use.
    let of_file = format!("{}/v1/files/{}", served.url, file["id"].as_str().unwrap());
    assert_eq!(send(&served, served.client.delete(of_file)).await.0, 400);
    let of_batch = format!("{url}/{}", batch["id"].as_str().unwrap());
    let (status, cancelled) = send(&served, served.client.post(format!("{of_batch}/cancel"))).await;
    assert_eq!((status, cancelled["status"].as_str()), (200, Some("cancelling")));
    let work = tokio::spawn(run(served.state.clone()));
    let ended = loop {
        let (_, shown) = send(&served, served.client.get(&of_batch)).await;
        if shown["status"] != "cancelling" {
            break shown;
        }
    };
    work.abort();
    assert_eq!((&ended["status"], ended["request_counts"]["completed"].as_u64()), (&json!("cancelled"), Some(0)));
    let (status, error) = send(&served, served.client.get(format!("{url}/batch_x"))).await;
    assert_eq!((status, error["error"]["code"].as_str()), (404, Some("batch_not_found")));
}
