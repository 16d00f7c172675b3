//! Keys over HTTP: made and revoked by who has the admin token, used within their terms.

use super::*;
use crate::clock::unix_ms;
use crate::store::KeyTerms;

const TOKEN: AdminToken = AdminToken::from_entropy([2; 32]);

impl Served {
    /// Status and body of a request with a bearer token.
    async fn ask(&self, method: &str, url: String, token: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(method, format!("{}/admin/v1{path}", self.admin_url), &TOKEN.reveal(), body).await
    }

    async fn as_key(&self, key: &Value, path: &str) -> (u16, Value) {
        self.ask("GET", format!("{}{path}", self.url), key["secret"].as_str().unwrap(), None).await
    }

    async fn chat(&self, key: &Value, model: &str) -> (u16, Value) {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4});
        let url = format!("{}/v1/chat/completions", self.url);
        self.ask("POST", url, key["secret"].as_str().unwrap(), Some(body)).await
    }
}

#[tokio::test]
async fn admin_routes_take_the_admin_token_alone() {
    let served = serve().await;
    let other = AdminToken::from_entropy([3; 32]).reveal();
    for token in [served.key.as_str(), other.as_str(), "", "inferium-admin-"] {
        for (method, path) in
            [("GET", "keys"), ("POST", "keys"), ("DELETE", "keys/x"), ("GET", "usage"), ("GET", "status")]
        {
            let url = format!("{}/admin/v1/{path}", served.admin_url);
            let (status, body) = served.ask(method, url, token, None).await;
            assert_eq!(shape(status, &body), (401, "invalid_admin_token", None), "{method} {path}");
        }
    }
    let (status, body) = served.ask("GET", format!("{}/admin/v1/keys", served.url), &TOKEN.reveal(), None).await;
    assert_eq!(shape(status, &body), (404, "unknown_url", None), "the public port has no admin routes");
    // Metrics need no token, as before.
    let metrics = served.client.get(format!("{}/metrics", served.admin_url)).send().await.unwrap();
    assert_eq!(metrics.status().as_u16(), 200);
}

#[tokio::test]
async fn a_new_key_works_and_its_secret_is_shown_once() {
    let served = serve().await;
    let wanted = json!({"name": "laptop", "budget_nano": 7, "expires_in_s": 60, "models": ["vectors", "mock", "mock"]});
    let (status, key) = served.admin("POST", "/keys", Some(wanted)).await;
    assert_eq!(status, 201, "{key}");
    assert_eq!(key["models"], json!(["mock", "vectors"]));
    let (_, shown) = served.as_key(&key, "/v1/key").await;
    assert_eq!((&shown["name"], &shown["budget_nano"], &shown["left_nano"]), (&json!("laptop"), &json!(7), &json!(7)));
    assert_eq!((&shown["status"], &shown["id"]), (&json!("active"), &key["id"]));
    let lifetime = shown["expires_at_ms"].as_u64().unwrap() - shown["created_at_ms"].as_u64().unwrap();
    assert_eq!(lifetime, 60_000);
    let (_, listed) = served.admin("GET", "/keys", None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "it, and the one of the gateway's configuration");
    let secret = key["secret"].as_str().unwrap();
    assert!(!listed.to_string().contains(secret) && !shown.to_string().contains(secret));
    // Nothing that names it lets anyone guess it.
    assert!(!secret.contains(key["id"].as_str().unwrap().strip_prefix("key-").unwrap()));
}

#[tokio::test]
async fn a_key_is_made_as_it_was_asked_for_or_not_at_all() {
    let served = serve().await;
    let cases = [
        (json!({"budget_nano": 0}), (400, "invalid_value", Some("budget_nano"))),
        (json!({"budget_nano": u64::MAX}), (400, "invalid_value", Some("budget_nano"))),
        (json!({"budget_nano": "5"}), (400, "invalid_value", Some("budget_nano"))),
        (json!({"expires_in_s": 0}), (400, "invalid_value", Some("expires_in_s"))),
        (json!({"expires_in_s": 4_000_000_000u64}), (400, "invalid_value", Some("expires_in_s"))),
        (json!({"name": ""}), (400, "invalid_value", Some("name"))),
        (json!({"name": "a\nb"}), (400, "invalid_value", Some("name"))),
        (json!({"name": "x".repeat(65)}), (400, "invalid_value", Some("name"))),
        (json!({"models": []}), (400, "invalid_value", Some("models"))),
        (json!({"models": ["nothing"]}), (404, "model_not_found", Some("model"))),
        (json!({"bugdet_nano": 5}), (400, "unsupported_parameter", Some("bugdet_nano"))),
        (json!([]), (400, "invalid_json", None)),
    ];
    for (wanted, expected) in cases {
        let (status, body) = served.admin("POST", "/keys", Some(wanted.clone())).await;
        assert_eq!(shape(status, &body), expected, "{wanted}");
    }
    assert_eq!(served.hub.keys().len(), 1);
}

#[tokio::test]
async fn a_revoked_key_is_refused_for_ever() {
    let served = serve().await;
    let (_, key) = served.admin("POST", "/keys", Some(json!({"name": "lost"}))).await;
    let (status, revoked) = served.admin("DELETE", "/keys/lost", None).await;
    assert_eq!((status, &revoked["status"]), (200, &json!("revoked")));
    for path in ["/v1/key", "/v1/usage", "/v1/models"] {
        let (status, body) = served.as_key(&key, path).await;
        assert_eq!(shape(status, &body), (401, "invalid_api_key", None), "{path}");
        assert!(body["error"]["message"].as_str().unwrap().contains("revoked"));
    }
    let (status, body) = served.chat(&key, "mock").await;
    assert_eq!(shape(status, &body), (401, "invalid_api_key", None));
    // Also after a restart, which reads the store; and revoking it again is nothing new.
    let kept = served.hub.store.key_terms().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1.revoked_at_ms, revoked["revoked_at_ms"].as_u64());
    let (_, again) = served.admin("DELETE", &format!("/keys/{}", key["id"].as_str().unwrap()), None).await;
    assert_eq!(again, revoked);
    // The name may be used again, and then means the new one.
    let (_, second) = served.admin("POST", "/keys", Some(json!({"name": "lost"}))).await;
    let (_, gone) = served.admin("DELETE", "/keys/lost", None).await;
    assert_eq!(gone["id"], second["id"]);
}

#[tokio::test]
async fn revoking_says_which_key_it_cannot_find_or_tell() {
    let served = serve().await;
    for _ in 0..2 {
        served.admin("POST", "/keys", Some(json!({"name": "twin"}))).await;
    }
    let (status, body) = served.admin("DELETE", "/keys/twin", None).await;
    assert_eq!(shape(status, &body), (400, "invalid_value", Some("key")));
    assert_eq!(body["error"]["message"].as_str().unwrap().matches("key-").count(), 2, "{body}");
    // The key of the gateway's configuration has no name; no name finds it.
    for name in ["nobody", "%20"] {
        let (status, body) = served.admin("DELETE", &format!("/keys/{name}"), None).await;
        assert_eq!(shape(status, &body), (404, "key_not_found", Some("key")));
    }
}

#[tokio::test]
async fn an_expired_key_says_when_it_expired() {
    let key = ApiKey::from_entropy([5; 24]);
    let expired = KeyTerms { expires_at_ms: Some(951_827_696_000), ..KeyTerms::default() };
    let current = KeyTerms { expires_at_ms: Some(unix_ms() + 3_600_000), ..KeyTerms::default() };
    for (terms, expected) in [(expired, 401), (current, 200)] {
        let served = serve_with(Arc::new(MockEngine::new(MockOptions::default())), |store| {
            store.create_key(key.hash(), Amount::from_ifr(1), &terms).unwrap();
        })
        .await;
        let (status, body) = served.as_key(&json!({"secret": key.reveal()}), "/v1/key").await;
        assert_eq!(status, expected, "{body}");
        if expected == 401 {
            assert_eq!(shape(status, &body), (401, "invalid_api_key", None));
            assert_eq!(body["error"]["message"], "this API key expired on 2000-02-29 12:34:56 UTC");
        }
    }
}

#[tokio::test]
async fn a_key_sees_and_uses_its_models_alone() {
    let served = serve().await;
    let (_, key) = served.admin("POST", "/keys", Some(json!({"models": ["vectors"]}))).await;
    let (_, models) = served.as_key(&key, "/v1/models").await;
    let names: Vec<&str> = models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["vectors"]);
    let (status, body) = served.chat(&key, "mock").await;
    assert_eq!(shape(status, &body), (403, "model_not_allowed", Some("model")));
    assert_eq!(body["error"]["type"], "permission_error");
    assert_eq!(body["error"]["message"], "this API key may not use `mock`, only `vectors`");
    // Of its own model it is refused nothing: no worker is there.
    let url = format!("{}/v1/embeddings", served.url);
    let body = json!({"model": "vectors", "input": "a"});
    let (status, body) = served.ask("POST", url, key["secret"].as_str().unwrap(), Some(body)).await;
    assert_eq!(shape(status, &body), (503, "no_worker_available", None));
    // Who shows no key sees what is served.
    let (_, all) = served.get("/v1/models").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn usage_is_rows_or_a_table() {
    let served = serve_with(Arc::new(MockEngine::new(MockOptions::default())), |store| {
        store.put_lease(&records::lease_record(1)).unwrap();
        let payer = ApiKey::from_entropy([1; 24]).hash();
        let mut segment = records::segment(0, &[(1, 10), (2, 20)]);
        segment.payers[0].0 = payer;
        store.put_segment(&segment).unwrap();
    })
    .await;
    let (status, rows) = served.ask("GET", format!("{}/v1/usage", served.url), &served.key, None).await;
    assert_eq!(status, 200);
    let rows = rows["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "nobody sees what others use");
    assert_eq!((&rows[0]["jobs"], &rows[0]["cost_nano"], &rows[0]["free_jobs"]), (&json!(1), &json!(10), &json!(0)));
    assert_eq!((&rows[0]["prompt_tokens"], &rows[0]["completion_tokens"]), (&json!(1), &json!(2)));
    let (_, all) = served.admin("GET", "/usage", None).await;
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let csv = served.client.get(format!("{}/v1/usage?format=csv", served.url)).bearer_auth(&served.key);
    let csv = csv.send().await.unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let text = csv.text().await.unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 3, "a head, a row, and the end of the last line: {text}");
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    let (status, body) = served.ask("GET", format!("{}/v1/usage?format=xml", served.url), &served.key, None).await;
    assert_eq!(shape(status, &body), (400, "invalid_value", Some("format")));
}

#[tokio::test]
async fn limits_a_minute_are_kept_and_told() {
    let served = serve().await;
    let (status, key) =
        served.admin("POST", "/keys", Some(json!({"requests_per_minute": 2, "tokens_per_minute": 60}))).await;
    assert_eq!((status, &key["requests_per_minute"], &key["tokens_per_minute"]), (201, &json!(2), &json!(60)));
    let ask = |tokens: u32| {
        let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens});
        let request = served.client.post(format!("{}/v1/chat/completions", served.url)).json(&body);
        let secret = key["secret"].as_str().unwrap().to_owned();
        async move {
            let response = request.bearer_auth(secret).send().await.unwrap();
            let headers = response.headers().clone();
            (response.status().as_u16(), headers, response.json::<Value>().await.unwrap())
        }
    };
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let (status, headers, body) = ask(70).await;
    assert_eq!(shape(status, &body), (429, "rate_limit_exceeded", None));
    assert_eq!(header(&headers, "x-should-retry"), "false", "no minute has room for so much");
    // No worker is there: the tokens come back, the request was one.
    let (status, headers, _) = ask(4).await;
    assert_eq!(status, 503);
    assert_eq!(header(&headers, "x-ratelimit-limit-requests"), "2");
    assert_eq!(header(&headers, "x-ratelimit-remaining-requests"), "0");
    assert_eq!(
        (header(&headers, "x-ratelimit-limit-tokens"), header(&headers, "x-ratelimit-remaining-tokens")),
        ("60".into(), "60".into())
    );
    assert!(matches!(&*header(&headers, "x-ratelimit-reset-requests"), "1m0s" | "60s" | "59s"));
    let (status, headers, body) = ask(4).await;
    assert_eq!(shape(status, &body), (429, "rate_limit_exceeded", None));
    let wait_ms: u64 = header(&headers, "retry-after-ms").parse().unwrap();
    assert!((20_000..=30_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(header(&headers, "retry-after"), wait_ms.div_ceil(1_000).to_string());
    // A key without limits is told of none.
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
    let request =
        served.client.post(format!("{}/v1/chat/completions", served.url)).bearer_auth(&served.key).json(&body);
    let headers = request.send().await.unwrap().headers().clone();
    assert!(!headers.keys().any(|name| name.as_str().starts_with("x-ratelimit")));
}
