//! The list against a gateway of the test's own.

use super::{Listing, listed};
use axum::{Json, Router, routing::get};
use inferium_types::{AgentId, Digest};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn agent(byte: u8) -> Value {
    json!({
        "id": hex::encode([byte; 32]), "name": "plain", "summary": "Says <b>less</b>.", "creator": hex::encode([9; 32]),
        "manifest_sha256": hex::encode([7; 32]), "price_nano": 10, "runs": 3,
    })
}

#[tokio::test]
async fn the_gateway_is_asked_only_for_what_is_not_known() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let list = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { Json(json!({"object": "list", "data": [agent(1), {"id": "nonsense"}, agent(2)]})) }
    };
    let listing = Arc::new(Listing::of(Router::new().route("/v1/agents", get(list))));
    let first = listing.list(|known| !known.is_empty()).await;
    assert_eq!(first.len(), 2, "what can't be read is left out");
    assert_eq!(first[&AgentId::from_hex(&hex::encode([1; 32])).unwrap()].runs, 3);
    assert_eq!(listing.list(|known| !known.is_empty()).await.len(), 2);
    // It has not what is wanted, but was just asked.
    assert_eq!(listing.list(|_| false).await.len(), 2);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_gateway_that_answers_there_are_no_words() {
    for listing in [Listing::default(), Listing::of(Router::new())] {
        let listing = Arc::new(listing);
        assert!(listing.list(|_| false).await.is_empty());
        assert!(listing.agent(&AgentId::new(Digest::ZERO)).await.is_none());
    }
}

#[tokio::test]
async fn all_pages_of_the_list_are_read_as_far_as_they_come() {
    async fn page(uri: axum::http::Uri) -> Result<Json<Value>, axum::http::StatusCode> {
        let (first, second) = (hex::encode([1; 32]), hex::encode([2; 32]));
        match uri.query() {
            None => Ok(Json(json!({"data": [agent(1)], "has_more": true, "last_id": first}))),
            Some(query) if query == format!("after={first}") => {
                Ok(Json(json!({"data": [agent(2)], "has_more": true, "last_id": second})))
            }
            Some(_) => Err(axum::http::StatusCode::BAD_GATEWAY),
        }
    }
    let listing = Arc::new(Listing::of(Router::new().route("/v1/agents", get(page))));
    assert_eq!(listing.list(|_| false).await.len(), 2);
}

#[test]
fn each_field_is_needed() {
    assert!(listed(&agent(1)).is_some());
    for field in ["id", "name", "summary", "creator", "manifest_sha256", "price_nano", "runs"] {
        let mut agent = agent(1);
        agent.as_object_mut().unwrap().remove(field);
        assert!(listed(&agent).is_none(), "{field}");
    }
}
