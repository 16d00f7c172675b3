//! Requests are read whole, and packed into jobs that a worker takes.

use super::*;
use crate::api::JOB_HEADER;
use inferium_engine::{MockEmbedder, MockEmbedderOptions, Model};
use inferium_types::{Amount, Price, TaskKind, Usage};
use serde_json::json;

fn parse(body: &Value) -> Result<EmbeddingRequest, ApiError> {
    EmbeddingRequest::parse(body.to_string().as_bytes())
}

/// The parameter that a body is refused for.
fn refused(body: &Value) -> String {
    match parse(body).unwrap_err() {
        ApiError::Invalid { param, .. } | ApiError::Unsupported { param } => param,
        other => panic!("{other}"),
    }
}

#[test]
fn what_clients_send_is_read() {
    let one = parse(&json!({"model": "m", "input": "text"})).unwrap();
    assert_eq!((one.texts, one.format, one.dimensions), (vec!["text".to_owned()], Format::Float, None));
    let many = parse(&json!({
        "model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3, "user": "u", "metadata": {},
    }));
    let many = many.unwrap();
    assert_eq!((many.texts.len(), many.format, many.dimensions), (2, Format::Base64, Some(3)));
    assert_eq!(parse(&json!({"model": "m", "input": "x", "dimensions": null})).unwrap().dimensions, None);
    assert_eq!(parse(&json!({"model": "m", "input": vec!["x"; TEXTS_MAX]})).unwrap().texts.len(), 2_048);
}

#[test]
fn whatever_is_wrong_is_refused_by_its_name() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "input": "text"});
        body[name] = value;
        body
    };
    for value in [
        json!(""),
        json!([]),
        json!([""]),
        json!(["a", ""]),
        json!(7),
        json!({}),
        json!(true),
        json!(["a", null]),
        json!(vec!["x"; 2_049]),
    ] {
        assert_eq!(refused(&with("input", value)), "input");
    }
    for ids in [json!([1, 2]), json!([[1, 2], [3]])] {
        let error = parse(&with("input", ids)).unwrap_err().to_string();
        assert!(error.contains("vocabulary") && error.contains("check_embedding_ctx_length"), "{error}");
    }
    for (name, value) in [
        ("encoding_format", json!("hex")),
        ("encoding_format", json!(1)),
        ("dimensions", json!(0)),
        ("dimensions", json!(-1)),
        ("dimensions", json!(1.5)),
        ("model", json!(1)),
        ("model", json!("")),
        ("temperature", json!(1)),
    ] {
        assert_eq!(refused(&with(name, value)), name);
    }
    assert_eq!(refused(&json!({"model": "m"})), "input");
    assert_eq!(refused(&json!({"input": "text"})), "model");
    assert!(matches!(EmbeddingRequest::parse(b"[]"), Err(ApiError::Json(_))));
    assert!(matches!(EmbeddingRequest::parse(b"{"), Err(ApiError::Json(_))));
}

fn model() -> ApiModel {
    let model = Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions::default())));
    let profile = model.profile("m", "mock");
    let price = Price { prompt_token: Amount::from_nano(2), completion_token: Amount::ZERO };
    ApiModel { id: profile.id(), kind: TaskKind::Inference, profile, model, context_tokens: 4_096, price_max: price }
}

/// The mock's tokens are bytes, with one at each end.
#[test]
fn texts_are_packed_into_jobs_in_their_order() {
    let packed = |texts: Vec<String>| prepare(&model(), texts, Digest::ZERO).unwrap();
    let sizes = |specs: &[JobSpec]| specs.iter().map(|s| (s.tokens_max, s.prompt_tokens)).collect::<Vec<_>>();
    assert_eq!(sizes(&packed(vec!["abc".into()])), [(1, 5)]);
    assert_eq!(sizes(&packed(vec!["a".into(); 65])), [(64, 192), (1, 3)]);
    // 8 texts of 256 tokens are the most of one job.
    assert_eq!(sizes(&packed(vec!["x".repeat(254); 8])), [(8, 2_048)]);
    assert_eq!(sizes(&packed(vec!["x".repeat(254); 9])), [(8, 2_048), (1, 256)]);
    let numbered: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let in_jobs: Vec<String> = packed(numbered.clone())
        .iter()
        .flat_map(|spec| match &spec.payload.input {
            JobInput::Embed { texts, .. } => texts.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(in_jobs, numbered);
}

#[test]
fn a_text_that_the_model_does_not_read_is_named() {
    let texts = vec!["fits".into(), "x".repeat(255)];
    let error = prepare(&model(), texts, Digest::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "text 1 has 257 tokens; `m` reads at most 256 of one text");
}

async fn written(format: Format, opening: bool) -> Value {
    let done = |job: &str, values: &[f32]| Done {
        job: job.into(),
        answer: JobAnswer::Embeddings(vec![Embedding::new(values)]),
        usage: Usage { prompt_tokens: if job == "j0" { 3 } else { 4 }, completion_tokens: 1 },
        cost: Amount::from_nano(7),
        salt: [0; 32],
        payload: Arc::new(JobPayload::embed([5; 32], vec![job.into()])),
    };
    let response = answer(&model(), vec![done("j0", &[0.1, -2.0]), done("j1", &[1e-7, 3.0])], (format, opening));
    assert_eq!(response.headers()[JOB_HEADER], "j0");
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn vectors_are_written_as_they_were_asked_for() {
    let floats = written(Format::Float, false).await;
    assert_eq!(floats["data"][0], json!({"object": "embedding", "index": 0, "embedding": [0.1, -2.0]}));
    assert_eq!(floats["data"][1]["embedding"], json!([1e-7, 3.0]));
    assert_eq!(floats["usage"], json!({"prompt_tokens": 7, "total_tokens": 7, "cost": "0.000000014", "cost_nano": 14}));
    let jobs = &floats["inferium"]["jobs"];
    assert_eq!(
        jobs[1],
        json!({"job": "j1", "status": "provisional", "receipt_url": "/v1/receipts/j1", "texts": [1, 1]})
    );
    let encoded = written(Format::Base64, true).await;
    let bytes = BASE64.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, [0.1f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat());
    let opening = BASE64.decode(encoded["inferium"]["jobs"][1]["opening"].as_str().unwrap()).unwrap();
    let opening: inferium_types::JobOpening = inferium_types::decode(&opening).unwrap();
    assert_eq!(opening.payload, JobPayload::embed([5; 32], vec!["j1".into()]));
    assert_eq!(opening.output.answer, JobAnswer::Embeddings(vec![Embedding::new(&[1e-7, 3.0])]));
}

#[test]
fn damaged_bodies_are_refused_or_within_limits() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let body = |value: &Value| value.to_string().into_bytes();
    let samples = [
        body(&json!({"model": "m", "input": "text"})),
        body(&json!({
            "model": "m", "input": ["a", "b", "c"], "encoding_format": "base64", "dimensions": 3, "user": "u", "metadata": {},
        })),
        body(&json!({"model": "m", "input": [[1, 2], [3]], "encoding_format": "float"})),
    ];
    // A value of JSON is larger than its text.
    let memory = Memory { fixed: 16 * 1024, per_byte: 256 };
    let target = Target { name: "an embedding request", form: Form::Text, cases: 20_000, memory };
    let tally = target.run(&samples, |bytes| match EmbeddingRequest::parse(bytes) {
        Ok(request) => {
            assert!(!request.model.is_empty() && request.dimensions != Some(0), "{request:?}");
            assert!((1..=TEXTS_MAX).contains(&request.texts.len()), "{request:?}");
            assert!(request.texts.iter().all(|text| !text.is_empty()), "{request:?}");
            Outcome::Value
        }
        Err(_) => Outcome::Refused,
    });
    let tally = tally.unwrap();
    assert!(tally.refused > tally.cases / 4 && tally.refused < tally.cases, "{tally:?}");
}
