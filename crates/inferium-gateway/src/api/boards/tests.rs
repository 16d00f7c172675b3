use super::{BoardRequest, NAME_MAX};
use crate::api::error::ApiError;
use inferium_types::limits;
use serde_json::{Value, json};

fn parse(body: &Value) -> Result<BoardRequest, ApiError> {
    BoardRequest::parse(&serde_json::to_vec(body).unwrap())
}

fn param(body: &Value) -> Option<String> {
    match parse(body).unwrap_err() {
        ApiError::Invalid { param, .. } | ApiError::Unsupported { param } => Some(param),
        _ => None,
    }
}

#[test]
fn files_and_a_name_are_read() {
    let request = parse(&json!({"files": ["a", "b"], "name": "n"})).unwrap();
    assert_eq!((request.files, request.name.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("n")));
    let most = vec!["a"; limits::FOLD_FILES_MAX];
    let longest = "ü".repeat(NAME_MAX);
    assert!(parse(&json!({"files": most, "name": longest})).is_ok());
    assert!(parse(&json!({"files": ["a"], "name": null})).unwrap().name.is_none());
}

#[test]
fn whatever_is_wrong_is_named() {
    let too_many = vec!["a"; limits::FOLD_FILES_MAX + 1];
    for (body, expected) in [
        (json!({}), "files"),
        (json!({"files": []}), "files"),
        (json!({"files": "a"}), "files"),
        (json!({"files": [1]}), "files[0]"),
        (json!({"files": too_many}), "files"),
        (json!({"files": ["a"], "name": ""}), "name"),
        (json!({"files": ["a"], "name": "a".repeat(NAME_MAX + 1)}), "name"),
        (json!({"files": ["a"], "name": "a\nb"}), "name"),
        (json!({"files": ["a"], "name": 1}), "name"),
        (json!({"files": ["a"], "more": 1}), "more"),
    ] {
        assert_eq!(param(&body).as_deref(), Some(expected), "{body}");
    }
}
