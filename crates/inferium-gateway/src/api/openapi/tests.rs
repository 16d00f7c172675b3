//! What the document says of a body is what the gateway does with it, over real HTTP.

use super::super::tests::{Served, serve};
use super::*;

/// Numbers that the classifier of these tests reads.
const TINY: usize = 12;

/// Values that a field may be given: some right, most wrong, many just beside a limit.
fn values() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!("a"),
        json!("auto"),
        json!("required"),
        json!("none"),
        json!("float"),
        json!("base64"),
        json!("price"),
        json!("allow"),
        json!("disabled"),
        json!([]),
        json!([""]),
        json!(["a"]),
        json!(["a", "a"]),
        json!(["a", "b"]),
        json!(["text"]),
        json!([["a", "b"]]),
        json!([["a"]]),
        json!([1, 2]),
        json!([[1], [2, 3]]),
        json!([[]]),
        json!([1.5]),
        json!([-1]),
        json!([null]),
        json!(["a", 1]),
        json!({}),
        json!({"a": 1}),
        json!({"1": 1}),
        json!({"1": 100.5}),
        json!({"-1": 1}),
        json!({"1": null}),
        json!("a".repeat(64)),
        json!("a".repeat(65)),
        json!("a".repeat(256)),
        json!("a".repeat(257)),
        json!("0".repeat(64)),
        json!(["0".repeat(64)]),
        json!(["a", "b", "c", "d"]),
        json!(["a", "b", "c", "d", "e"]),
        json!(vec!["a"; 257]),
    ];
    values.extend(forms());
    values.extend(messages());
    values.extend([-2.1, -2.0, -1.5, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.1, 100.0].map(|number| json!(number)));
    values.extend([-3i64, -2, -1, 0, 1, 2, 3, 16, 17, 20, 21, 257].map(|number| json!(number)));
    values.extend([u32::MAX.into(), u64::from(u32::MAX) + 1, u64::MAX - 1, u64::MAX].map(|number: u64| json!(number)));
    values
}

/// Forms of answers, tools, and other objects.
fn forms() -> Vec<Value> {
    vec![
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_schema"}),
        json!({"type": "xml"}),
        json!({"type": 1}),
        json!({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}),
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": null}}),
        json!({"type": "json_schema", "json_schema": {"name": "a"}}),
        json!({"type": "json_schema", "json_schema": {"name": 1, "schema": {}}}),
        json!({"type": "json_schema", "json_schema": {"schema": {}, "other": 1}}),
        json!({"type": "json_schema", "schema": {"type": "object"}}),
        json!({"type": "json_schema", "schema": 1}),
        json!({"type": "json_schema", "schema": {}, "other": 1}),
        json!({"format": {"type": "text"}}),
        json!({"format": null, "verbosity": "low"}),
        json!({"format": 1}),
        json!({"other": 1}),
        json!({"include_usage": true}),
        json!({"include_usage": null}),
        json!({"include_usage": 1}),
        json!({"include_obfuscation": false}),
        json!({"include_obfuscation": true}),
        json!({"order": ["0".repeat(64)]}),
        json!({"order": ["x"]}),
        json!({"only": null}),
        json!({"sort": "price"}),
        json!({"sort": "speed"}),
        json!({"allow_fallbacks": 1}),
        json!({"max_price": {"prompt": 1}}),
        json!({"max_price": {"prompt": "0.5", "completion": 0}}),
        json!({"max_price": {"prompt": null}}),
        json!({"max_price": {"image": 1}}),
        json!({"max_price": {"prompt": "much"}}),
        json!({"data_collection": "allow"}),
        json!({"data_collection": "deny"}),
        json!({"type": "function", "function": {"name": "look"}}),
        json!({"type": "function", "function": {}}),
        json!({"type": "function", "name": "look"}),
        json!({"type": "custom", "name": "look"}),
        json!({"type": "function"}),
        json!([{"type": "function", "function": {"name": "look"}}]),
        json!([{"type": "function", "function": {"name": "look at"}}]),
        json!([{"type": "function", "function": {"name": "look", "parameters": {}, "strict": true, "description": null}}]),
        json!([{"type": "function", "function": {"name": "look", "parameters": 1}}]),
        json!([{"type": "function", "name": "look"}]),
        json!([{"type": "function", "function": {"name": "look", "other": 1}}]),
        json!([{"type": "function", "function": {"name": "l"}, "x": 1}]),
        json!([{"type": "function", "name": ""}]),
        json!([{"type": "web_search"}]),
        json!([{"name": "look"}]),
        json!(["message.output_text.logprobs"]),
        json!(["file_search_call.results"]),
        json!(["reasoning.encrypted_content"]),
    ]
}

/// Conversations, and items of the Responses API.
fn messages() -> Vec<Value> {
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let one = [
        json!({"role": "user", "content": "hi"}),
        json!({"role": "user"}),
        json!({"content": "hi"}),
        json!({"role": "user", "content": null}),
        json!({"role": "developer", "content": "hi", "name": "a"}),
        json!({"role": "function", "content": "hi"}),
        json!({"role": 1, "content": "hi"}),
        json!({"role": "user", "content": ""}),
        json!({"role": "user", "content": []}),
        json!({"role": "user", "content": 1}),
        json!({"role": "user", "content": [{"type": "text", "text": "hi"}]}),
        json!({"role": "user", "content": [{"type": "text"}]}),
        json!({"role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
        json!({"role": "user", "content": [{"type": "image_url"}]}),
        json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
        json!({"role": "user", "content": "hi", "other": 1}),
        json!({"role": "user", "content": "hi", "other": null}),
        json!({"role": "assistant", "refusal": "no"}),
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "assistant", "tool_calls": []}),
        json!({"role": "user", "content": "hi", "tool_calls": [call]}),
        json!({"role": "user", "content": "hi", "tool_calls": []}),
        json!({"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}),
        json!({"role": "assistant", "tool_calls": [{"id": "c"}]}),
        json!({"role": "tool", "content": "1", "tool_call_id": "c"}),
        json!({"role": "tool", "content": "1"}),
        json!({"role": "tool", "tool_call_id": "c"}),
        json!({"role": "assistant", "content": "hi", "annotations": []}),
        json!({"role": "assistant", "content": "hi", "annotations": [1]}),
        json!({"role": "assistant", "content": "hi", "reasoning": "why"}),
        json!({"role": "assistant", "content": "hi", "reasoning_content": 1}),
        json!({"type": "message", "role": "user", "content": "hi"}),
        json!({"type": "message", "role": "tool", "content": "hi"}),
        json!({"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}),
        json!({"type": "function_call", "name": "look"}),
        json!({"type": "function_call_output", "call_id": "c", "output": "1"}),
        json!({"type": "function_call_output", "output": "1"}),
        json!({"type": "reasoning"}),
        json!("hi"),
        json!(1),
    ];
    one.into_iter().map(|message| json!([message])).collect()
}

/// An operation that takes a body, and one that it takes.
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "/v1/chat/completions",
            "ChatRequest",
            json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]}),
        ),
        (
            "/v1/chat/completions",
            "ChatRequest",
            json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "logprobs": true}),
        ),
        ("/v1/completions", "CompletionRequest", json!({"model": "mock", "prompt": "hi"})),
        ("/v1/completions", "CompletionRequest", json!({"model": "mock", "prompt": "hi", "echo": true, "logprobs": 1})),
        ("/v1/responses", "ResponseRequest", json!({"model": "mock", "input": "hi"})),
        ("/v1/embeddings", "EmbeddingRequest", json!({"model": "vectors", "input": "hi"})),
        ("/v1/classifications", "ClassificationRequest", json!({"model": "mock", "input": "hi", "labels": ["a", "b"]})),
        ("/v1/classifications", "ClassificationRequest", json!({"model": "classes", "input": vec![0; TINY]})),
        ("/tokenize", "TokenizeRequest", json!({"prompt": "hi"})),
        ("/detokenize", "DetokenizeRequest", json!({"tokens": [1]})),
        ("/admin/v1/keys", "KeyRequest", json!({})),
    ]
}

/// Whether a schema allows a value: the words that the document uses, and a panic at any other.
fn allows(document: &Value, schema: &Value, value: &Value) -> bool {
    let Some(words) = schema.as_object() else { return schema != &json!(false) };
    let check = |schema: &Value, value: &Value| allows(document, schema, value);
    words.iter().all(|(word, rule)| match word.as_str() {
        "$ref" => check(document.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value),
        "type" => {
            let kinds = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
            kinds.iter().any(|kind| is_of_kind(kind.as_str().unwrap(), value))
        }
        "enum" => rule
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one == value || (one.is_number() && one.as_f64() == value.as_f64())),
        // 1 and 1.0 are one number.
        "const" => rule == value || (rule.is_number() && rule.as_f64() == value.as_f64()),
        "not" => !check(rule, value),
        "allOf" => rule.as_array().unwrap().iter().all(|schema| check(schema, value)),
        "anyOf" => rule.as_array().unwrap().iter().any(|schema| check(schema, value)),
        "if" => !check(rule, value) || check(&words["then"], value),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => match (value.as_u64(), rule.as_u64()) {
            (Some(number), Some(most)) => number <= most,
            _ => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        },
        "minLength" | "maxLength" => value.as_str().is_none_or(|text| is_within(word, text.chars().count(), rule)),
        "minItems" | "maxItems" => value.as_array().is_none_or(|items| is_within(word, items.len(), rule)),
        "maxProperties" => value.as_object().is_none_or(|fields| is_within(word, fields.len(), rule)),
        "pattern" => {
            value.as_str().is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| check(rule, item))),
        "prefixItems" => value
            .as_array()
            .is_none_or(|items| items.iter().zip(rule.as_array().unwrap()).all(|(item, schema)| check(schema, item))),
        "uniqueItems" => value
            .as_array()
            .is_none_or(|items| items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))),
        "required" => {
            let names: Vec<&str> = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            value.as_object().is_none_or(|fields| names.iter().all(|name| fields.contains_key(*name)))
        }
        "properties" => value.as_object().is_none_or(|fields| {
            let described = rule.as_object().unwrap();
            fields.iter().all(|(name, value)| described.get(name).is_none_or(|schema| check(schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|fields| {
            let described = words.get("properties").and_then(Value::as_object);
            let others =
                fields.iter().filter(|(name, _)| described.is_none_or(|described| !described.contains_key(*name)));
            others.into_iter().all(|(_, value)| check(rule, value))
        }),
        "propertyNames" => value.as_object().is_none_or(|fields| fields.keys().all(|name| check(rule, &json!(name)))),
        "description" | "default" | "then" => true,
        other => panic!("`{other}` is not understood"),
    })
}

fn is_within(word: &str, count: usize, limit: &Value) -> bool {
    let limit = usize::try_from(limit.as_u64().unwrap()).unwrap();
    if word.starts_with("min") { count >= limit } else { count <= limit }
}

fn is_of_kind(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("`{other}` is no kind"),
    }
}

/// Whether a body is one that the gateway would work on, if there were workers; `None` where that is a matter of more than its form:
/// which models there are, what they know, what fits their context, and what fields say together.
async fn is_taken(served: &Served, path: &str, body: &Value) -> Option<bool> {
    let is_admin = path.starts_with("/admin");
    let (base, key) = if is_admin { (&served.admin_url, &served.admin_token) } else { (&served.url, &served.key) };
    let request = served.client.post(format!("{base}{path}")).bearer_auth(key).json(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    let (code, message) = (answer["error"]["code"].as_str(), answer["error"]["message"].as_str().unwrap_or_default());
    match (status, code) {
        // Of its form, these are as they must be.
        (200 | 201 | 503, _) | (404, Some("model_not_found")) | (400, Some("context_length_exceeded")) => Some(true),
        (400, _) => {
            let of_more = [
                "vocabulary",
                "gives vectors of",
                "is verified as",
                "is computed with as",
                "lists for",
                "which is not in `tools`",
                "there are no `tools`",
                "only a classifier has some of its own",
                "a classifier has labels of its own",
                "this classifier reads",
                "must be an array of integers or an object with an `image`",
                "elements, the model takes",
                "must be an integer from 0 to",
            ];
            if of_more.iter().any(|words| message.contains(words)) { None } else { Some(false) }
        }
        other => panic!("{path} {body}: {other:?} {message}"),
    }
}

#[tokio::test]
async fn bodies_are_taken_exactly_if_their_schema_allows_them() {
    let served = serve().await;
    let (public, admin) = (document(&["mock"], true), admin_document());
    let mut wrong = Vec::new();
    for (path, name, base) in bodies() {
        let document = if path.starts_with("/admin") { &admin } else { &public };
        let schema = named(name);
        let properties = document["components"]["schemas"][name]["properties"].as_object().unwrap();
        assert_eq!(is_taken(&served, path, &base).await, Some(true), "{path} {base}");
        let (mut taken, mut refused) = (0, 0);
        let unknown = "unknown".to_owned();
        for (field, value) in
            properties.keys().chain([&unknown]).flat_map(|field| values().into_iter().map(move |value| (field, value)))
        {
            let mut body = base.clone();
            body[field] = value;
            let Some(is_taken) = is_taken(&served, path, &body).await else { continue };
            if is_taken {
                taken += 1;
            } else {
                refused += 1;
            }
            if is_taken != allows(document, &schema, &body) {
                wrong.push(format!("{path} {} {}: taken {is_taken}", field, body[field]));
            }
        }
        assert!(taken > 10 && refused > 50, "{path}: {taken} taken, {refused} refused");
        for field in base.as_object().unwrap().keys() {
            let mut body = base.clone();
            body.as_object_mut().unwrap().remove(field);
            if let Some(is_taken) = is_taken(&served, path, &body).await
                && is_taken != allows(document, &schema, &body)
            {
                wrong.push(format!("{path} without {field}: taken {is_taken}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_path_of_a_document_is_served_with_these_methods_and_no_others() {
    let served = serve().await;
    for (base, path_of) in [(&served.url, "/openapi.json"), (&served.admin_url, "/openapi.json")] {
        let found: Value = served.client.get(format!("{base}{path_of}")).send().await.unwrap().json().await.unwrap();
        for (path, item) in found["paths"].as_object().unwrap() {
            let url = format!("{base}{}", path.replace("{id}", "a").replace("{job}", "a").replace("{key}", "a"));
            for method in ["get", "post", "put", "delete"] {
                let request = served
                    .client
                    .request(method.to_uppercase().parse().unwrap(), &url)
                    .bearer_auth(&served.admin_token);
                let response = request.send().await.unwrap();
                let (status, is_documented) = (response.status().as_u16(), item.get(method).is_some());
                assert_eq!(status != 405, is_documented, "{method} {path}: {status}");
                if is_documented {
                    let described = &item[method]["responses"];
                    assert!(described.get(status.to_string()).is_some(), "{method} {path}: {status} is not described");
                    let code = response
                        .json::<Value>()
                        .await
                        .ok()
                        .and_then(|body| body["error"]["code"].as_str().map(str::to_owned));
                    assert_ne!(code.as_deref(), Some("unknown_url"), "{path}");
                }
            }
        }
    }
}

#[test]
fn every_reference_of_a_document_leads_somewhere_and_operations_have_names_of_their_own() {
    for document in [document(&["a/b"], true), admin_document()] {
        let mut ids = std::collections::BTreeSet::new();
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                    }
                    if let Some(id) = fields.get("operationId").and_then(Value::as_str) {
                        assert!(ids.insert(id), "{id}");
                    }
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        assert!(ids.len() > 5);
    }
}

#[tokio::test]
async fn the_document_is_answered_like_everything_else() {
    let served = serve().await;
    let response =
        served.client.get(format!("{}{PATH}", served.url)).header("x-request-id", "mine").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-request-id"]), (200, &"mine".parse().unwrap()));
    let found: Value = response.json().await.unwrap();
    assert_eq!(found["openapi"], "3.1.0");
    let chat = &found["paths"]["/v1/chat/completions"];
    assert_eq!(chat["servers"][1]["variables"]["model"]["enum"], json!(["mock", "vectors", "classes"]));
    assert_eq!(chat["post"]["security"], json!([{"apiKey": []}]));
    for status in ["400", "401", "402", "403", "404", "413", "429", "500", "502", "503"] {
        let name = chat["post"]["responses"][status]["$ref"].as_str().unwrap();
        let schema = &found.pointer(&name[1..]).unwrap()["content"]["application/json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Error", "{status}");
    }
}
