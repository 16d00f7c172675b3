//! Requests to go on with a text: every parameter is honoured or refused by its name.

use super::*;

fn parse(extra: &Value) -> Result<CompletionRequest, ApiError> {
    let mut body = json!({"model": "m", "prompt": "hi"});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    CompletionRequest::parse(body.to_string().as_bytes())
}

fn param(extra: &Value) -> String {
    match parse(extra) {
        Err(ApiError::Invalid { param, .. } | ApiError::Unsupported { param }) => param,
        other => panic!("{extra}: {other:?}"),
    }
}

#[test]
fn prompts_are_texts_or_tokens_one_or_many() {
    let prompts = |prompt: Value| parse(&json!({"prompt": prompt})).unwrap().prompts;
    assert_eq!(prompts(json!("a")), [Prompt::Text("a".into())]);
    assert_eq!(prompts(json!(["a", ""])), [Prompt::Text("a".into()), Prompt::Text(String::new())]);
    assert_eq!(prompts(json!([1, 2])), [Prompt::Tokens(vec![1, 2])]);
    assert_eq!(prompts(json!([[1], [2, 3]])), [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]);
    for bad in [json!(1), json!([-1]), json!([1.5]), json!([[1], "a", {}]), json!([]), json!(vec!["x"; 257])] {
        assert_eq!(param(&json!({"prompt": bad})), "prompt");
    }
    assert_eq!(prompts(json!(vec!["x"; 256])).len(), 256);
}

#[test]
fn defaults_are_those_of_the_api_that_clients_know() {
    let request = parse(&json!({})).unwrap();
    assert_eq!((request.asked.tokens_max, request.echo, request.asked.choices), (Some(16), false, 1));
    assert_eq!(request.asked.shaping.likeliest, None);
}

#[test]
fn what_does_not_go_together_is_named() {
    for (extra, expected) in [
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 0, "echo": true}), "max_tokens"),
        (json!({"max_tokens": 0, "echo": true, "logprobs": 1, "n": 2}), "max_tokens"),
        (json!({"logprobs": 21}), "logprobs"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"stream": true, "echo": true, "logprobs": 1}), "stream"),
        (json!({"prompt": vec!["x"; 256], "n": 2}), "n"),
        (json!({"tools": []}), "tools"),
    ] {
        assert_eq!(param(&extra), expected, "{extra}");
    }
    let neutral = json!({"suffix": "", "best_of": 1, "user": "u", "echo": false, "stop": null});
    assert_eq!(parse(&neutral).unwrap(), parse(&json!({})).unwrap());
}

/// One score says all exactly when nothing but the likeliest next token is asked for.
#[test]
fn a_score_answers_what_it_can() {
    let is_score = |extra: Value| parse(&extra).unwrap().is_score();
    let asked = json!({"echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0, "seed": 1234});
    assert!(is_score(asked.clone()));
    assert!(is_score(json!({"echo": true, "logprobs": 0, "max_tokens": 0})));
    for (name, value) in [
        ("echo", json!(false)),
        ("logprobs", Value::Null),
        ("max_tokens", json!(2)),
        ("temperature", json!(0.1)),
        ("n", json!(2)),
        ("logit_bias", json!({"1": 1})),
        ("stop", json!("x")),
    ] {
        let mut other = asked.clone();
        other[name] = value;
        assert!(!is_score(other), "{name}");
    }
}
