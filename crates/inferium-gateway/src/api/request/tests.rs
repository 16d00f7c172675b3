//! Claims about chat requests: every parameter is honoured or refused by its name.

use super::super::error::ApiError;
use super::ChatRequest;
use inferium_types::{SamplingParams, limits};
use serde_json::{Value, json};

fn body(extra: &Value) -> Vec<u8> {
    let mut fields = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().unwrap() {
        fields[name] = value.clone();
    }
    serde_json::to_vec(&fields).unwrap()
}

fn parse(extra: &Value) -> Result<ChatRequest, ApiError> {
    ChatRequest::parse(&body(extra))
}

fn good(extra: &Value) -> ChatRequest {
    parse(extra).unwrap_or_else(|error| panic!("{extra}: {error}"))
}

/// The parameter that a refusal names, and whether it is one that is not supported.
fn refused(extra: &Value) -> (String, bool) {
    match parse(extra) {
        Err(ApiError::Invalid { param, .. }) => (param, false),
        Err(ApiError::Unsupported { param }) => (param, true),
        other => panic!("{extra}: {other:?}"),
    }
}

#[test]
fn least_request_has_the_defaults() {
    let request = good(&json!({}));
    assert_eq!(request.asked.models, ["m"]);
    assert_eq!((request.messages[0].role.as_str(), request.messages[0].content.as_str()), ("user", "hi"));
    assert_eq!(request.asked.sampling, SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 1_000_000, top_k: 0 });
    assert_eq!(
        (request.asked.stream, request.asked.include_usage, request.asked.tokens_max, request.asked.seed),
        (false, false, None, None)
    );
    assert!(request.asked.shaping.stop.is_empty());
}

#[test]
fn null_is_as_good_as_absent() {
    for name in ["stream", "temperature", "top_p", "stop", "seed", "max_tokens", "tools", "n", "whatever"] {
        assert_eq!(good(&json!({name: null})), good(&json!({})), "{name}");
    }
}

#[test]
fn sampling_is_read_in_integers() {
    for (given, expected) in
        [(json!(0), 0), (json!(2), 2_000_000), (json!(0.7), 700_000), (json!(1e-6), 1), (json!(1.25), 1_250_000)]
    {
        assert_eq!(good(&json!({"temperature": given})).asked.sampling.temperature_micro, expected);
    }
    for (given, expected) in [(json!(0), 1), (json!(1), 1_000_000), (json!(0.9), 900_000), (json!(1e-9), 1)] {
        assert_eq!(good(&json!({"top_p": given})).asked.sampling.top_p_ppm, expected);
    }
    for (given, expected) in [(json!(0), 0), (json!(-1), 0), (json!(40), 40), (json!(u32::MAX), u32::MAX)] {
        assert_eq!(good(&json!({"top_k": given})).asked.sampling.top_k, expected);
    }
    for (given, expected) in
        [(json!(0), 0), (json!(-1), u64::MAX), (json!(u64::MAX), u64::MAX), (json!(i64::MIN), 1 << 63)]
    {
        assert_eq!(good(&json!({"seed": given})).asked.seed, Some(expected));
    }
}

#[test]
fn longer_name_of_the_limit_wins() {
    assert_eq!(good(&json!({"max_tokens": 5})).asked.tokens_max, Some(5));
    assert_eq!(good(&json!({"max_completion_tokens": 6})).asked.tokens_max, Some(6));
    assert_eq!(good(&json!({"max_tokens": 5, "max_completion_tokens": 6})).asked.tokens_max, Some(6));
    assert_eq!(good(&json!({"max_tokens": u32::MAX})).asked.tokens_max, Some(u32::MAX));
}

#[test]
fn stop_is_a_text_or_a_few() {
    assert_eq!(good(&json!({"stop": "x"})).asked.shaping.stop, ["x"]);
    assert_eq!(good(&json!({"stop": []})).asked.shaping.stop, [] as [&str; 0]);
    let most = vec!["s".repeat(limits::STOP_STRING_SIZE_MAX); limits::STOP_STRINGS_MAX];
    assert_eq!(good(&json!({"stop": most})).asked.shaping.stop, most);
    for bad in [json!(1), json!(["x", 1]), json!({})] {
        assert_eq!(refused(&json!({"stop": bad})), ("stop".into(), false));
    }
}

#[test]
fn streams_and_their_usage() {
    let request = good(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    assert!(request.asked.stream && request.asked.include_usage);
    assert!(
        !good(&json!({"stream_options": {"include_usage": false, "include_obfuscation": false}})).asked.include_usage
    );
    assert_eq!(refused(&json!({"stream_options": 1})), ("stream_options".into(), false));
    assert_eq!(
        refused(&json!({"stream_options": {"include_usage": 1}})),
        ("stream_options.include_usage".into(), false)
    );
    assert_eq!(refused(&json!({"stream_options": {"other": 1}})), ("stream_options.other".into(), true));
    assert_eq!(
        refused(&json!({"stream_options": {"include_obfuscation": true}})),
        ("stream_options.include_obfuscation".into(), true)
    );
}

#[test]
fn each_bad_value_is_named() {
    let cases = [
        ("model", json!(1)),
        ("model", json!("")),
        ("messages", json!([])),
        ("messages", json!("hi")),
        ("stream", json!("yes")),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(1.5)),
        ("max_completion_tokens", json!(u64::from(u32::MAX) + 1)),
        ("temperature", json!(-0.1)),
        ("temperature", json!(2.000_001)),
        ("temperature", json!("hot")),
        ("top_p", json!(1.01)),
        ("top_p", json!(-0.01)),
        ("top_k", json!(-2)),
        ("top_k", json!(0.5)),
        ("top_k", json!(u64::from(u32::MAX) + 1)),
        ("seed", json!(1.5)),
        ("seed", json!("1")),
        ("n", json!(0)),
        ("n", json!(17)),
        ("presence_penalty", json!(2.01)),
        ("frequency_penalty", json!(-2.01)),
        ("logprobs", json!(3)),
        ("top_logprobs", json!(3)),
        ("top_logprobs", json!(21)),
        ("logit_bias", json!({"x": 1})),
        ("logit_bias", json!({"1": 101})),
        ("logit_bias", json!([1])),
        ("tools", json!({})),
        ("tool_choice", json!("perhaps")),
        ("tool_choice", json!("required")),
        ("tool_choice", json!({"type": "function", "function": {"name": "absent"}})),
        ("parallel_tool_calls", json!("yes")),
        ("response_format", json!("json")),
        ("provider", json!([])),
    ];
    for (name, value) in cases {
        assert_eq!(refused(&json!({name: value})), (name.to_owned(), false));
    }
}

#[test]
fn model_and_messages_are_required() {
    for (missing, text) in
        [("model", r#"{"messages":[{"role":"user","content":"x"}]}"#), ("messages", r#"{"model":"m"}"#)]
    {
        let error = ChatRequest::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(&error, ApiError::Invalid { param, .. } if param == missing), "{error:?}");
        assert_eq!(error.body()["error"]["param"], missing);
    }
}

#[test]
fn what_is_not_json_is_said_to_be_none() {
    for text in ["", "{", "[]", "1", "\"x\"", "{\"model\":}"] {
        assert!(matches!(ChatRequest::parse(text.as_bytes()), Err(ApiError::Json(_))), "{text}");
    }
}

#[test]
fn what_changes_nothing_is_taken() {
    let neutral = json!({
        "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "store": true, "n": 1, "presence_penalty": 0,
        "frequency_penalty": 0.0, "logprobs": false, "logit_bias": {}, "tools": [], "functions": [],
        "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"],
    });
    let (neutral, plain) = (good(&neutral), good(&json!({})));
    assert_eq!((neutral.asked, neutral.messages), (plain.asked, plain.messages));
    assert!(!neutral.tools.may_call());
}

#[test]
fn what_would_change_the_answer_is_refused_by_name() {
    let cases = [
        ("functions", json!([{}])),
        ("modalities", json!(["audio"])),
        ("modalities", json!(["text", "audio"])),
        ("prediction", json!({})),
        ("best_of", json!(2)),
        ("made_up", json!(1)),
    ];
    for (name, value) in cases {
        assert_eq!(refused(&json!({name: value})), (name.to_owned(), true));
    }
}

#[test]
fn messages_are_read_part_by_part() {
    let one = |message: Value| good(&json!({"messages": [message]})).messages.remove(0);
    assert_eq!(one(json!({"role": "developer", "content": "x"})).role, "system");
    assert_eq!(one(json!({"role": "assistant", "content": "", "tool_calls": null, "refusal": null})).content, "");
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    assert_eq!(one(json!({"role": "user", "content": parts})).content, "ab");
    let cases = [
        (json!(1), "messages[0]", false),
        (json!({"content": "x"}), "messages[0].role", false),
        (json!({"role": "user"}), "messages[0].content", false),
        (json!({"role": "king", "content": "x"}), "messages[0].role", false),
        (json!({"role": "function", "content": "x"}), "messages[0].role", true),
        (json!({"role": "tool", "content": "x"}), "messages[0].tool_call_id", false),
        (
            json!({"role": "user", "content": "x", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}),
            "messages[0].tool_calls",
            false,
        ),
        (json!({"role": "user", "content": 1}), "messages[0].content", false),
        (json!({"role": "user", "content": [{"type": "text"}]}), "messages[0].content", false),
        (json!({"role": "user", "content": [{"text": "x"}]}), "messages[0].content", false),
        (json!({"role": "user", "content": "x", "name": 1}), "messages[0].name", false),
        (json!({"role": "assistant", "tool_calls": [1]}), "messages[0].tool_calls", false),
        (json!({"role": "user", "content": "x", "audio": {}}), "messages[0].audio", true),
    ];
    for (message, param, unsupported) in cases {
        assert_eq!(refused(&json!({"messages": [message]})), (param.to_owned(), unsupported));
    }
    let image = json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]});
    let error = parse(&image).unwrap_err();
    assert_eq!(error.body()["error"]["code"], "unsupported_content");
    assert_eq!(error.body()["error"]["param"], "messages[0].content[type=image_url]");
    assert_eq!(one(json!({"role": "user", "content": "x", "name": "Ann"})).content, "Ann: x");
    let second = json!({"messages": [{"role": "user", "content": "x"}, {"role": "user"}]});
    assert_eq!(refused(&second).0, "messages[1].content");
}

/// The answer's limit: what is asked for, or a default, within the room; each boundary is exact.
#[test]
fn answer_has_the_room_that_the_context_leaves() {
    let limit =
        |wanted: Option<u32>, prompt, context| good(&json!({"max_tokens": wanted})).asked.answer_limit(prompt, context);
    assert_eq!(limit(None, 10, 8_192), Ok(512));
    assert_eq!(limit(None, 10, 522), Ok(512));
    assert_eq!(limit(None, 10, 521), Ok(511));
    assert_eq!(limit(None, 10, 11), Ok(1));
    assert_eq!(limit(Some(5), 10, 15), Ok(5));
    let full = |prompt, wanted, context| Err(ApiError::ContextLength { prompt, wanted, context });
    assert_eq!(limit(Some(6), 10, 15), full(10, 6, 15));
    assert_eq!(limit(None, 10, 10), full(10, 1, 10));
    assert_eq!(limit(None, 11, 10), full(11, 1, 10));
    assert_eq!(limit(Some(u32::MAX), u32::MAX, u32::MAX), full(u32::MAX, u32::MAX, u32::MAX));
}

/// Some clients' arithmetic ends at a zero with a sign.
#[test]
fn negative_zero_is_zero() {
    assert_eq!(good(&json!({"temperature": -0.0})).asked.sampling.temperature_micro, 0);
    assert_eq!(good(&json!({"top_p": -0.0})).asked.sampling.top_p_ppm, 1);
}

/// What a client's bytes are read as is within the limits that a request has, whatever they are.
#[test]
fn damaged_bodies_are_refused_or_within_limits() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let samples = [
        body(&json!({})),
        body(&json!({
            "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 5, "max_tokens": 7,
            "temperature": 0.7, "top_p": 0.9, "top_k": 40, "stop": ["a", "b"], "seed": 42, "user": "u", "n": 1,
            "presence_penalty": 0, "logit_bias": {}, "tools": [], "tool_choice": "none",
            "response_format": {"type": "text"}, "modalities": ["text"],
        })),
        body(&json!({"stop": "x", "seed": -1, "temperature": 0, "top_p": 1, "messages": [
            {"role": "system", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b", "name": "c"},
        ]})),
    ];
    // A value of JSON is larger than its text.
    let memory = Memory { fixed: 16 * 1024, per_byte: 256 };
    let target = Target { name: "a chat request", form: Form::Text, cases: 20_000, memory };
    let tally = target.run(&samples, |bytes| match ChatRequest::parse(bytes) {
        Ok(request) => {
            let SamplingParams { temperature_micro, top_p_ppm, .. } = request.asked.sampling;
            assert!(temperature_micro <= 2_000_000 && (1..=1_000_000).contains(&top_p_ppm), "{request:?}");
            assert!(!request.asked.models.is_empty() && !request.messages.is_empty(), "{request:?}");
            assert!(
                request.messages.len() <= limits::MESSAGES_MAX
                    && request.asked.shaping.stop.len() <= limits::STOP_STRINGS_MAX
            );
            assert!(request.asked.tokens_max != Some(0), "{request:?}");
            // A limit that the context has no room for is an error, never a wrapped number.
            assert!(
                request.asked.answer_limit(10, 100).is_ok_and(|limit| (1..=90).contains(&limit))
                    || request.asked.tokens_max > Some(90)
            );
            Outcome::Value
        }
        Err(_) => Outcome::Refused,
    });
    let tally = tally.unwrap();
    assert!(tally.refused > tally.cases / 4 && tally.refused < tally.cases, "{tally:?}");
}

/// What shapes sampling becomes a part of the job.
#[test]
fn what_shapes_an_answer_is_read_in_integers() {
    let request = good(&json!({
        "presence_penalty": 0.5, "frequency_penalty": -2, "logit_bias": {"7": 100, "3": -0.25}, "stop": "x", "n": 3,
        "logprobs": true, "top_logprobs": 20,
    }));
    let shaping = &request.asked.shaping;
    assert_eq!((shaping.presence_penalty_micro, shaping.frequency_penalty_micro), (500_000, -2_000_000));
    assert_eq!(shaping.bias, [(3, -250_000), (7, 100_000_000)]);
    assert_eq!((shaping.likeliest, request.asked.choices), (Some(20), 3));
    assert_eq!(good(&json!({"logprobs": true})).asked.shaping.likeliest, Some(0));
    let many: serde_json::Map<String, Value> = (0..=300).map(|token: u32| (token.to_string(), json!(1))).collect();
    assert_eq!(refused(&json!({"logit_bias": many})), ("logit_bias".into(), false));
}

/// Calls and results of tools become turns that every template knows.
#[test]
fn a_round_with_a_tool_is_a_conversation() {
    let call =
        |name: &str| json!({"id": "1", "type": "function", "function": {"name": name, "arguments": "{\"a\": 1}"}});
    let messages = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [call("f"), call("g")]},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
        {"role": "user", "content": "so?"},
    ]);
    let turns: Vec<(String, String)> =
        good(&json!({"messages": messages})).messages.into_iter().map(|turn| (turn.role, turn.content)).collect();
    let call = |name: &str| format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{\"a\": 1}}}}\n</tool_call>");
    let result = |text: &str| format!("<tool_response>\n{text}\n</tool_response>");
    let expected = [
        ("user", "hi".to_owned()),
        ("assistant", format!("{}\n{}", call("f"), call("g"))),
        ("user", format!("{}\n{}", result("one"), result("two"))),
        ("user", "so?".to_owned()),
    ];
    assert_eq!(turns, expected.map(|(role, content)| (role.to_owned(), content)));
}

#[test]
fn routing_is_read_by_the_names_that_others_gave_it() {
    let node = "ab".repeat(32);
    let wish = json!({
        "order": [node], "only": [node], "ignore": [], "allow_fallbacks": false, "require_parameters": true, "sort": "price",
        "max_price": {"prompt": 0.5, "completion": "2"}, "verification": "exact", "quantizations": ["int8"],
        "data_collection": "allow",
    });
    let routing = good(&json!({"provider": wish})).asked.routing;
    assert!(routing.preferences.is_by_price && !routing.preferences.allows_others);
    assert_eq!(routing.preferences.prompt_million_max.unwrap().nano(), 500_000_000);
    assert_eq!((routing.verification.as_deref(), routing.preferences.order.len()), (Some("exact"), 1));
    for (field, value, unsupported) in [
        ("sort", json!("latency"), true),
        ("zdr", json!(true), true),
        ("data_collection", json!("deny"), true),
        ("order", json!(["somebody"]), false),
        ("allow_fallbacks", json!(1), false),
    ] {
        assert_eq!(refused(&json!({"provider": {field: value}})), (format!("provider.{field}"), unsupported));
    }
    assert_eq!(refused(&json!({"provider": {"max_price": {"image": 1}}})), ("provider.max_price.image".into(), true));
    assert_eq!(good(&json!({"models": ["b", "c"]})).asked.models, ["m", "b", "c"]);
}
