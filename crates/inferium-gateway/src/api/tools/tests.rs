//! Tools are read whole, and make grammars that engines can read.

use super::*;
use inferium_engine::{Engine, EngineError, MockEngine, MockOptions};
use inferium_types::Shaping;
use serde_json::json;

fn tools(list: &Value, choice: Option<Value>, parallel: Option<bool>) -> Result<Tools, ApiError> {
    let mut tools = Tools::default();
    tools.take("tools", list)?;
    if let Some(choice) = choice {
        tools.take("tool_choice", &choice)?;
    }
    tools.parallel = parallel;
    tools.check()?;
    Ok(tools)
}

fn weather() -> Value {
    json!([
        {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
        {"type": "function", "name": "now"},
    ])
}

/// What an engine says of a grammar.
fn read(grammar: &str) -> Result<(), EngineError> {
    let shaping = Shaping { grammar: Some(grammar.to_owned()), ..Shaping::default() };
    MockEngine::new(MockOptions::default()).check_shaping(&shaping)
}

#[test]
fn every_choice_is_a_grammar_that_engines_read() {
    for choice in [None, Some(json!("auto")), Some(json!("required")), Some(json!({"type": "function", "name": "now"}))]
    {
        for parallel in [None, Some(true), Some(false)] {
            for text in [None, Some("%json {\"type\": \"object\"}")] {
                let grammar = tools(&weather(), choice.clone(), parallel).unwrap().grammar(text).unwrap();
                assert_eq!(read(&grammar), Ok(()), "{grammar}");
            }
        }
    }
}

#[test]
fn nothing_is_told_and_bound_where_nothing_may_be_called() {
    for found in [tools(&json!([]), None, None), tools(&weather(), Some(json!("none")), None)] {
        let found = found.unwrap();
        assert!(!found.may_call() && found.instructions().is_none() && found.grammar(None).is_none());
        assert_eq!(found.grammar(Some("%json {}")).as_deref(), Some("start: %json {}\n"));
    }
}

#[test]
fn the_model_is_told_name_description_and_parameters() {
    let told = tools(&weather(), None, None).unwrap().instructions().unwrap();
    for part in ["\"weather\"", "of a city", "\"city\"", "\"now\""] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn each_fault_of_a_tool_is_named() {
    let function = |fields: Value| json!([{"type": "function", "function": fields}]);
    let cases = [
        (json!([1]), "tools[0]"),
        (json!([{}]), "tools[0].type"),
        (json!([{"type": "web_search"}]), "tools[0][type=web_search]"),
        (function(json!({})), "tools[0].function"),
        (function(json!({"name": ""})), "tools[0].function.name"),
        (function(json!({"name": "a b"})), "tools[0].function.name"),
        (function(json!({"name": "x".repeat(65)})), "tools[0].function.name"),
        (function(json!({"name": "f", "parameters": 1})), "tools[0].function.parameters"),
        (function(json!({"name": "f", "other": 1})), "tools[0].function.other"),
        (json!([{"type": "function", "name": "f"}, {"type": "function", "name": "f"}]), "tools"),
    ];
    for (list, param) in cases {
        let error = tools(&list, None, None).unwrap_err();
        assert_eq!(error.body()["error"]["param"], param, "{list}");
    }
    let most = json!([{"type": "function", "name": "x".repeat(64)}]);
    assert!(tools(&most, None, None).is_ok());
}

#[test]
fn a_schema_that_can_t_be_had_is_refused_by_engines() {
    let list = json!([{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "odd"}}}}]);
    let grammar = tools(&list, None, None).unwrap().grammar(None).unwrap();
    assert!(matches!(read(&grammar), Err(EngineError::Grammar { .. })));
}
