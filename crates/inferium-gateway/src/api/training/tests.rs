use super::{INTERVALS_MAX, Open, Trainers, TrainingRequest};
use crate::api::error::ApiError;
use crate::gateway::{DemandTerms, ServedTraining};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use inferium_train::{Ground, Method};
use inferium_types::{Amount, Digest, Price, limits};
use serde_json::{Value, json};

const LINES: usize = 12;

fn body() -> Value {
    let data: String =
        (0..LINES).map(|line| format!("{{\"text\": \"{line}\", \"label\": \"{}\"}}\n", ["a", "b"][line % 2])).collect();
    let vectors: Vec<u8> = (0..LINES * 2).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
    json!({
        "data": data, "vectors": BASE64.encode(vectors), "steps": 20, "interval": 5, "batch": 4,
        "model": {"name": "mock", "weights_root": "0".repeat(64), "tokenizer": "0".repeat(64)},
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut body = body();
    body[field] = value;
    body
}

fn trainer() -> Trainers {
    let price_max = Price { prompt_token: Amount::from_nano(10), completion_token: Amount::from_nano(1_000) };
    let demand = DemandTerms {
        price_max,
        jobs_max: 32,
        tokens_max: 1_000_000,
        slots: 1,
        context_tokens: inferium_train::model().context_tokens(),
        open_ms: 1_000,
        lease_ms: 1_000,
    };
    Trainers::new(&ServedTraining { ground: Ground::Vectors, demand })
}

fn opened(body: &Value) -> Result<Open, ApiError> {
    let open = TrainingRequest::parse(&serde_json::to_vec(body).unwrap())?.open()?;
    open.check(&trainer()).map(|()| open)
}

fn refused(body: &Value) -> String {
    match opened(body).unwrap_err() {
        ApiError::Invalid { param, .. } | ApiError::Unsupported { param } => param,
        other => panic!("{other}"),
    }
}

#[test]
fn a_run_is_read_with_what_is_usual_where_nothing_is_said() {
    let open = opened(&body()).unwrap();
    assert_eq!((open.lines, open.spec.intervals(), open.spec.batch), (LINES, 4, 4));
    assert_eq!((open.spec.order, open.spec.seed), (Digest::ZERO, Digest::ZERO), "nobody chooses what is drawn");
    assert_eq!(open.spec.optimiser.learning_rate_nano, 10_000_000);
    let mut short = body();
    short.as_object_mut().unwrap().retain(|field, _| field != "interval" && field != "batch");
    let usual = opened(&short).unwrap().spec;
    assert_eq!((usual.interval, usual.batch), (2, 32));
    // Nothing is as good as not said.
    assert_eq!(opened(&with("interval", Value::Null)).unwrap().spec.interval, 2);
}

/// Examples, each interval, and the announcement.
#[test]
fn a_run_costs_its_examples_and_intervals() {
    let cost = opened(&body()).unwrap().cost_max(&trainer().model);
    assert_eq!(cost.nano(), 10 * (20 * 4 + 1) + 1_000 * (4 + 1));
}

fn adapters(terms: Value) -> Value {
    let mut body = with("adapters", terms);
    body.as_object_mut().unwrap().remove("vectors");
    body
}

fn open(body: &Value) -> Result<Open, ApiError> {
    TrainingRequest::parse(&serde_json::to_vec(body).unwrap())?.open()
}

#[test]
fn adapters_are_read_with_what_is_usual_and_without_vectors() {
    let method = |terms: Value| open(&adapters(terms)).unwrap().spec.method;
    assert_eq!(method(json!({})), Method::Lora { rank: 8, alpha_milli: 16_000, layers: 8, sequence: 64 });
    let given = json!({"rank": 4, "alpha": 2, "layers": 1, "sequence": 32});
    assert_eq!(method(given), Method::Lora { rank: 4, alpha_milli: 2_000, layers: 1, sequence: 32 });
    let refused = |terms: Value| match open(&adapters(terms)).unwrap_err() {
        ApiError::Invalid { param, .. } | ApiError::Unsupported { param } => param,
        other => panic!("{other}"),
    };
    for (field, value) in [("rank", 0), ("alpha", 1_001), ("layers", 0), ("sequence", 513), ("dropout", 1)] {
        assert_eq!(refused(json!({field: value})), format!("adapters.{field}"));
    }
    assert_eq!(refused(json!(1)), "adapters");
    let both = open(&with("adapters", json!({}))).unwrap_err();
    assert!(both.to_string().contains("a classifier's"), "{both}");
}

/// A token is what they are paid by, and a run of another kind than those that are trained is not begun.
#[test]
fn adapters_cost_their_tokens_and_are_no_classifier() {
    let asked = open(&adapters(json!({"sequence": 32}))).unwrap();
    assert_eq!(asked.cost_max(&trainer().model).nano(), 10 * (20 * 4 * 32 + 1) + 1_000 * (4 + 1));
    assert!(Trainers::of(&[trainer()], &asked.spec).is_none());
    assert!(Trainers::of(&[trainer()], &open(&body()).unwrap().spec).is_some());
    assert!(asked.check(&trainer()).unwrap_err().to_string().contains("profile is of classifiers"));
}

#[test]
fn what_is_no_run_is_refused_by_its_field() {
    for (field, value) in [
        ("data", json!(1)),
        ("data", json!("")),
        ("data", json!("{\"text\": \"one\", \"label\": \"a\"}\n")),
        ("vectors", json!("?")),
        ("vectors", json!("")),
        ("vectors", json!(BASE64.encode([0; 4]))),
        ("steps", json!(0)),
        ("steps", json!(u64::MAX)),
        ("interval", json!(0)),
        ("interval", json!(limits::TRAINING_STEPS_MAX + 1)),
        ("batch", json!(4_097)),
        ("learning_rate_nano", json!(0)),
        ("learning_rate_nano", json!(1_000_000_001)),
        ("held_out_ppm", json!(1_000_000)),
        ("order", json!("0".repeat(64))),
        ("seed", json!(1)),
    ] {
        assert_eq!(refused(&with(field, value.clone())), field, "{value}");
    }
    for field in ["data", "vectors", "model", "steps"] {
        assert_eq!(refused(&with(field, Value::Null)), field);
    }
    let model = |field: &str, value: Value| {
        let mut model = body()["model"].clone();
        model[field] = value;
        refused(&with("model", model))
    };
    assert_eq!(model("name", json!("a\u{7}")), "model.name");
    assert_eq!(model("weights_root", json!("0")), "model.weights_root");
    assert_eq!(model("url", json!("x")), "model.url");
}

/// So many intervals, and not one more; so many examples, and not one more.
#[test]
fn a_run_has_its_bounds() {
    let of = |steps: u64, interval: u64, batch: u64| {
        let mut body = with("steps", json!(steps));
        (body["interval"], body["batch"]) = (json!(interval), json!(batch));
        body
    };
    assert_eq!(opened(&of(INTERVALS_MAX, 1, 4)).unwrap().spec.intervals(), INTERVALS_MAX);
    assert_eq!(refused(&of(INTERVALS_MAX + 1, 1, 4)), "interval");
    let most = u64::from(limits::TRAINING_EXAMPLES_MAX);
    assert!(opened(&of(100, 25, most / 25)).is_ok());
    assert_eq!(refused(&of(100, 26, most / 25)), "interval");
}
