//! Requests for responses: every parameter is honoured or refused by its name.

use super::*;

fn parse(extra: &Value) -> Result<ResponseRequest, ApiError> {
    let mut body = json!({"model": "m", "input": "hi"});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    ResponseRequest::parse(body.to_string().as_bytes())
}

fn turns(extra: &Value) -> Vec<(String, String)> {
    parse(extra).unwrap().chat.messages.into_iter().map(|turn| (turn.role, turn.content)).collect()
}

#[test]
fn input_is_a_text_or_items() {
    let text = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    assert_eq!(turns(&json!({"instructions": "be brief"})), [text("system", "be brief"), text("user", "hi")]);
    let items = json!([
        {"role": "developer", "content": "rules"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "r"},
        {"type": "function_call_output", "call_id": "2", "output": "s"},
    ]);
    let response = tools::response;
    let expected = [
        text("system", "rules"),
        text("user", "ab"),
        text("assistant", &format!("c\n{}", tools::written("f", "{}"))),
        text("user", &format!("{}\n{}", response("r"), response("s"))),
    ];
    assert_eq!(turns(&json!({"input": items})), expected);
}

#[test]
fn state_that_is_not_kept_is_refused_by_its_name() {
    for (name, value) in [
        ("previous_response_id", json!("resp_1")),
        ("background", json!(true)),
        ("conversation", json!("c")),
        ("truncation", json!("auto")),
        ("n", json!(2)),
        ("stop", json!("x")),
        ("max_tokens", json!(1)),
        ("made_up", json!(1)),
    ] {
        let error = parse(&json!({name: value})).unwrap_err();
        assert!(matches!(&error, ApiError::Unsupported { param } if param == name), "{name}: {error:?}");
    }
    for (extra, expected) in [
        (json!({"input": []}), "input"),
        (json!({"input": 1}), "input"),
        (json!({"input": [{"type": "item_reference"}]}), "input[0][type=item_reference]"),
        (json!({"input": [{"role": "king", "content": "x"}]}), "input[0].role"),
        (json!({"include": ["file_search_call.results"]}), "include[\"file_search_call.results\"]"),
        (json!({"text": {"format": {"type": "grammar"}}}), "text.format[type=grammar]"),
    ] {
        assert_eq!(parse(&extra).unwrap_err().body()["error"]["param"], expected, "{extra}");
    }
}

#[test]
fn what_asks_for_nothing_is_taken() {
    let plain = parse(&json!({})).unwrap().chat;
    let repeated = |extra: Value| parse(&extra).unwrap().repeated;
    assert_eq!(repeated(json!({"tools": null, "text": null, "tool_choice": null})), repeated(json!({})));
    assert!(parse(&json!({"store": true})).is_ok());
    let neutral = json!({"store": false, "background": false, "truncation": "disabled", "include": [], "metadata": {}});
    assert_eq!(parse(&neutral).unwrap().chat, plain);
    let scored = parse(&json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2})).unwrap();
    assert_eq!(scored.chat.asked.shaping.likeliest, Some(2));
    let shaped =
        parse(&json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}}))
            .unwrap();
    assert!(shaped.chat.asked.shaping.grammar.is_some());
}
