//! Arguments, bounds and what is offered.

use super::*;

fn arguments(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("not an object: {value}") };
    fields
}

fn refusal(name: &str, value: Value) -> String {
    Call::read(name, arguments(value), true).unwrap_err()
}

fn address() -> String {
    inferium_types::SecretKey::from_bytes([7; 32]).unwrap().public_key().to_string()
}

#[test]
fn every_tool_that_is_offered_is_understood_and_its_schema_names_what_it_needs() {
    let given = json!({
        "prompt": "Hi", "agent": "a", "task": "t", "job": "00", "transaction": "00", "to": address(), "amount": "1",
    });
    for tool in all(true) {
        let required = tool.input_schema["required"].as_array().unwrap();
        let needed = required.iter().map(|name| {
            let name = name.as_str().unwrap();
            assert!(tool.input_schema["properties"].get(name).is_some(), "{}: {name}", tool.name);
            (name.to_owned(), given[name].clone())
        });
        let needed: Map<String, Value> = needed.collect();
        assert!(Call::read(&tool.name, needed.clone(), true).is_ok(), "{}", tool.name);
        for name in needed.keys() {
            let mut without = needed.clone();
            without.remove(name);
            assert!(Call::read(&tool.name, without, true).is_err(), "{} without {name}", tool.name);
        }
        let mut more = needed;
        more.insert("extra".to_owned(), json!(1));
        assert!(Call::read(&tool.name, more, true).unwrap_err().contains("extra"), "{}", tool.name);
    }
}

#[test]
fn transfers_are_offered_only_where_an_account_signs() {
    assert!(all(true).iter().any(|tool| tool.name == "transfer"));
    assert!(!all(false).iter().any(|tool| tool.name == "transfer"));
    let asked = arguments(json!({"to": address(), "amount": "1"}));
    assert!(Call::read("transfer", asked, false).unwrap_err().contains("--as"));
}

#[test]
fn wrong_arguments_are_named() {
    assert!(refusal("transfer", json!({"to": "me", "amount": "1"})).contains("`to`"));
    assert!(refusal("transfer", json!({"to": address(), "amount": "0"})).contains("`amount`"));
    assert!(refusal("transfer", json!({"to": address(), "amount": "-1"})).contains("`amount`"));
    assert!(refusal("transfer", json!({"to": address(), "amount": 1})).contains("arguments"));
    assert!(refusal("ask", json!({"prompt": "Hi", "tokens_max": 0})).contains("tokens_max"));
    assert!(refusal("ask", json!({"prompt": "Hi", "tokens_max": TOKENS_MAX + 1})).contains("tokens_max"));
    assert!(Call::read("ask", arguments(json!({"prompt": "Hi", "tokens_max": TOKENS_MAX})), true).is_ok());
    assert!(refusal("fly", json!({})).contains("fly"));
}

#[test]
fn two_transfers_that_differ_are_never_the_same_question() {
    let to = AccountId::from_hex(&address()).unwrap();
    let other = inferium_types::SecretKey::from_bytes([8; 32]).unwrap().public_key();
    let of = |to, nano, bound| Transfer { to, amount: Amount::from_nano(nano) }.identity(Amount::from_nano(bound));
    assert_ne!(of(to, 1, 5), of(to, 2, 5));
    assert_ne!(of(to, 1, 5), of(other, 1, 5));
    assert_ne!(of(to, 1, 5), of(to, 1, 6), "another fee");
    assert_eq!(of(to, 1, 5), of(to, 1, 5));
}

#[test]
fn what_is_set_aside_is_no_less_than_any_answer_costs() {
    let prices = Prices { prompt: 3, completion: 5 };
    assert_eq!(bound_of(&prices, 10, 7), Amount::from_nano((10 + TEMPLATE_TOKENS) * 3 + 7 * 5));
    assert_eq!(
        bound_of(&Prices { prompt: u64::MAX, completion: u64::MAX }, u64::MAX, u64::MAX),
        Amount::from_nano(u64::MAX)
    );
}

#[test]
fn a_model_is_found_by_name_or_as_the_first_for_conversations() {
    let model = |id: &str, chat: bool| json!({"id": id, "capabilities": {"chat": chat}});
    let models = [model("vectors", false), model("small", true), model("large", true)];
    assert_eq!(text(model_of(&models, None).unwrap(), "id"), "small");
    assert_eq!(text(model_of(&models, Some("large")).unwrap(), "id"), "large");
    assert!(model_of(&models, Some("huge")).unwrap_err().to_string().contains("large"));
    assert!(model_of(&[], None).is_err());
}

#[test]
fn without_a_price_in_ifr_nothing_is_asked() {
    assert!(prices(&json!({"id": "m"})).is_err());
    assert!(prices(&json!({"id": "m", "pricing": {"prompt_max": "free", "completion_max": "1"}})).is_err());
    let lowest = json!({"id": "m", "pricing": {"prompt": "0.000000001", "completion": "0.000000001"}});
    assert!(prices(&lowest).is_err(), "the cheapest worker may be busy");
    let known = prices(&json!({"id": "m", "pricing": {"prompt_max": "0.000000002", "completion_max": "1"}})).unwrap();
    assert_eq!((known.prompt, known.completion), (2, 1_000_000_000));
}
