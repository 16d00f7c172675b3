//! Requests are read whole, every label is scored after its text, and the likeliest is named.

use super::*;
use inferium_engine::{MockEmbedder, MockEmbedderOptions, MockEngine, MockOptions};
use inferium_types::{Amount, Price, TaskKind};
use serde_json::json;

fn parse(body: &Value) -> Result<ClassificationRequest, ApiError> {
    ClassificationRequest::parse(body.to_string().as_bytes())
}

/// The parameter that a body is refused for.
fn refusal(body: &Value) -> String {
    match parse(body).unwrap_err() {
        ApiError::Invalid { param, .. } | ApiError::Unsupported { param } => param,
        other => panic!("{other}"),
    }
}

fn body() -> Value {
    json!({"model": "m", "input": ["a", "b"], "labels": ["yes", "no"]})
}

#[test]
fn labels_are_for_all_texts_or_for_each() {
    let item = |text: &str, labels: &[&str]| Item {
        text: text.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let shared = parse(&body()).unwrap();
    assert_eq!(shared.items, [item("a", &["yes", "no"]), item("b", &["yes", "no"])]);
    assert_eq!((shared.is_raw, shared.instructions), (false, None));
    let own = parse(&json!({"model": "m", "input": ["a", "b"], "labels": [["x", "y"], ["x", "y", "z"]], "raw": true}));
    let own = own.unwrap();
    assert_eq!(own.items, [item("a", &["x", "y"]), item("b", &["x", "y", "z"])]);
    assert!(own.is_raw);
    let one = parse(&json!({"model": "m", "input": "a", "labels": ["x", "y"], "instructions": "Say x.", "user": "u"}));
    assert_eq!(one.unwrap().instructions.as_deref(), Some("Say x."));
}

#[test]
fn whatever_is_wrong_is_refused_by_its_name() {
    let with = |name: &str, value: Value| {
        let mut body = body();
        body[name] = value;
        body
    };
    let many = |count: usize| (0..count).map(|label| label.to_string()).collect::<Vec<_>>();
    for (name, value) in [
        ("model", json!("")),
        ("model", json!(1)),
        ("input", json!([])),
        ("input", json!("")),
        ("input", json!(["a", ""])),
        ("input", json!([1, 2])),
        ("input", json!(7)),
        ("input", json!(vec!["x"; TEXTS_MAX + 1])),
        ("labels", json!(null)),
        ("labels", json!("yes")),
        ("labels", json!([])),
        ("labels", json!(["yes"])),
        ("labels", json!(["yes", ""])),
        ("labels", json!(["yes", "yes"])),
        ("labels", json!(["yes", 1])),
        ("labels", json!([["yes", "no"]])),
        ("labels", json!([["yes", "no"], ["yes"]])),
        ("labels", json!([["yes", "no"], "no"])),
        ("labels", json!(many(LABELS_MAX + 1))),
        ("instructions", json!(1)),
        ("raw", json!("yes")),
        ("temperature", json!(1)),
    ] {
        assert_eq!(refusal(&with(name, value)), name);
    }
    assert!(parse(&with("labels", json!(many(LABELS_MAX)))).is_ok());
    let mut both = with("raw", json!(true));
    both["instructions"] = json!("x");
    assert_eq!(refusal(&both), "instructions");
    // 64 labels for each of 64 texts are the most.
    let most = |texts: usize| json!({"model": "m", "input": vec!["x"; texts], "labels": many(LABELS_MAX)});
    assert!(parse(&most(64)).is_ok());
    assert_eq!(refusal(&most(65)), "labels");
    assert!(matches!(ClassificationRequest::parse(b"[]"), Err(ApiError::Json(_))));
}

fn of(model: Model) -> ApiModel {
    let profile = model.profile("m", "mock");
    let price = Price { prompt_token: Amount::from_nano(2), completion_token: Amount::ZERO };
    ApiModel { id: profile.id(), kind: TaskKind::Inference, profile, model, context_tokens: 300, price_max: price }
}

fn chat() -> ApiModel {
    of(Model::Chat(Arc::new(MockEngine::new(MockOptions::default()))))
}

fn continuations(request: &ClassificationRequest) -> Vec<Continuation> {
    let specs = prepare(&chat(), request, Digest::ZERO).unwrap();
    let of = |spec: &JobSpec| match &spec.payload.input {
        JobInput::Score { continuations, likeliest: 1 } => {
            let tokens: usize = continuations.iter().map(Continuation::len).sum();
            assert_eq!(u32::try_from(tokens), Ok(spec.prompt_tokens));
            assert_eq!(u32::try_from(continuations.len()), Ok(spec.tokens_max));
            continuations.clone()
        }
        other => panic!("{other:?}"),
    };
    specs.iter().flat_map(of).collect()
}

/// The mock's tokens are bytes.
#[test]
fn every_label_stands_after_its_text() {
    let engine = MockEngine::new(MockOptions::default());
    let bytes = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
    let raw = parse(&json!({"model": "m", "input": ["Is it?", "So"], "labels": [" yes", " no"], "raw": true})).unwrap();
    let expected = [("Is it?", " yes"), ("Is it?", " no"), ("So", " yes"), ("So", " no")];
    let expected = expected.map(|(prompt, tokens)| Continuation { prompt: bytes(prompt), tokens: bytes(tokens) });
    assert_eq!(continuations(&raw), expected);
    let templated = continuations(&parse(&body()).unwrap());
    let words = engine.decode(&templated[0].prompt);
    assert!(words.contains("yes, no") && words.ends_with("assistant\n"), "{words}");
    assert_eq!((templated[0].tokens.clone(), templated.len()), (bytes("yes"), 4));
    let mut told = body();
    told["instructions"] = json!("Is it good?");
    let told = engine.decode(&continuations(&parse(&told).unwrap())[0].prompt);
    assert!(told.contains("Is it good?") && !told.contains("yes, no"), "{told}");
}

#[test]
fn what_no_worker_takes_is_refused_first() {
    let request = |text: String| {
        parse(&json!({"model": "m", "input": ["x", text], "labels": ["yes", "no"], "raw": true})).unwrap()
    };
    // 300 tokens, with the answer's one.
    assert!(prepare(&chat(), &request("x".repeat(296)), Digest::ZERO).is_ok());
    let error = prepare(&chat(), &request("x".repeat(297)), Digest::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "text 1 has 300 tokens; `m` reads at most 299 of one text");
    let embedder = of(Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions::default()))));
    let error = prepare(&embedder, &request("x".into()), Digest::ZERO).unwrap_err();
    assert!(matches!(error, ApiError::OtherTask { does: "embedding", .. }), "{error}");
}

/// A prompt is read once for each of its labels: what is told before it counts each time.
#[test]
fn a_request_has_so_many_tokens_and_no_more() {
    let request = |texts: usize| {
        let labels: Vec<String> = (10..74).map(|label| label.to_string()).collect();
        parse(&json!({"model": "m", "input": vec!["x".repeat(254); texts], "labels": labels, "raw": true})).unwrap()
    };
    // 64 labels of two tokens after 254, and 16 such texts.
    assert!(prepare(&chat(), &request(16), Digest::ZERO).is_ok());
    match prepare(&chat(), &request(17), Digest::ZERO).unwrap_err() {
        ApiError::Invalid { param, message } => assert!(param == "input" && message.contains("262144"), "{message}"),
        other => panic!("{other}"),
    }
    let mut told = body();
    told["instructions"] = json!("x".repeat(10_000));
    assert!(parse(&told).unwrap().size() > 20_000, "for each text");
}

fn score(logprob: f32, best: f32) -> TokenScore {
    TokenScore::new(logprob, &[(7, best)])
}

#[test]
fn the_likeliest_label_is_named_and_shares_sum_to_one() {
    let labels = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let mut scores = [
        vec![score(-2.0, -0.5)],
        vec![score(-0.5, -0.5), score(-0.25, -0.25)],
        vec![score(-4.0, -0.5)],
        vec![score(-9.0, -0.5)],
    ]
    .into_iter();
    let found = classification(3, &labels, &mut scores);
    assert_eq!((found.index, found.label.as_str(), found.num_classes), (3, "b", 3));
    assert!((found.probs.iter().sum::<f64>() - 1.0).abs() < 1e-12 && found.probs[1] > found.probs[0]);
    assert!((found.probs[0] / found.probs[2] - 2.0_f64.exp()).abs() < 1e-9);
    let shown: Vec<(f64, usize, bool)> =
        found.scores.iter().map(|score| (score.logprob, score.tokens, score.is_greedy)).collect();
    assert_eq!(shown, [(-2.0, 1, false), (-0.75, 2, true), (-4.0, 1, false)]);
    assert_eq!(scores.len(), 1, "only its own are taken");
    // Of equals the first.
    let mut equal = [vec![score(-1.0, -1.0)], vec![score(-1.0, -1.0)]].into_iter();
    assert_eq!(classification(0, &labels[..2], &mut equal).label, "a");
}

#[test]
fn damaged_bodies_are_refused_or_within_limits() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let samples = [
        body().to_string().into_bytes(),
        json!({"model": "m", "input": "a", "labels": [["x", "y"]], "raw": true, "user": "u"}).to_string().into_bytes(),
        json!({"model": "m", "input": ["a"], "labels": ["x", "y"], "instructions": "i"}).to_string().into_bytes(),
    ];
    let memory = Memory { fixed: 16 * 1024, per_byte: 512 };
    let target = Target { name: "a classification request", form: Form::Text, cases: 20_000, memory };
    let tally = target.run(&samples, |bytes| match ClassificationRequest::parse(bytes) {
        Ok(request) => {
            assert!(!request.model.is_empty() && (1..=TEXTS_MAX).contains(&request.items.len()), "{request:?}");
            for item in &request.items {
                assert!(!item.text.is_empty() && (2..=LABELS_MAX).contains(&item.labels.len()), "{request:?}");
            }
            Outcome::Value
        }
        Err(_) => Outcome::Refused,
    });
    let tally = tally.unwrap();
    assert!(tally.refused > tally.cases / 4 && tally.refused < tally.cases, "{tally:?}");
}
