//! A record that nobody vouches for is not shown as a clean one.

use super::{Slashes, newest, slash_list, slashes};
use axum::{Json, Router, extract::Query, http::StatusCode, routing::get};
use inferium_types::SecretKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

async fn gateway(routes: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

async fn saying(status: StatusCode, body: Value) -> Slashes {
    slashes(&gateway(Router::new().route("/v1/slashes", get(move || async move { (status, Json(body)) }))).await).await
}

#[tokio::test]
async fn a_gateway_that_gives_no_list_leaves_slashes_unknown() {
    let node = SecretKey::from_bytes([1; 32]).unwrap().public_key();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let answers = [
        slashes(&format!("http://{closed}/v1")).await,
        saying(StatusCode::INTERNAL_SERVER_ERROR, json!({"data": []})).await,
        saying(StatusCode::OK, json!({})).await,
    ];
    for answer in answers {
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(slash_list(&answer, &node), None);
    }
}

#[tokio::test]
async fn older_slashes_are_asked_for_too() {
    let page = |Query(query): Query<BTreeMap<String, String>>| async move {
        Json(match query.get("after").map(String::as_str) {
            None => json!({"data": [3, 2], "next": "2"}),
            Some("2") => json!({"data": [1]}),
            Some(_) => Value::Null,
        })
    };
    let url = gateway(Router::new().route("/v1/slashes", get(page))).await;
    assert_eq!(slashes(&url).await, Ok([3, 2, 1].map(Value::from).to_vec()));
}

#[tokio::test]
async fn slashes_are_shown_with_their_node() {
    let [one, other] = [1, 2].map(|byte| SecretKey::from_bytes([byte; 32]).unwrap().public_key());
    let slash = json!({"node": one.to_string(), "rule": "wrong_result"});
    let answer = saying(StatusCode::OK, json!({"data": [slash]})).await;
    assert_eq!(slash_list(&answer, &one), Some(vec![slash]));
    assert_eq!(slash_list(&answer, &other), Some(Vec::new()));
}

#[test]
fn the_newest_slash_is_the_least_height_to_show_stakes_of() {
    let at = |height: u64| json!({"node": "n", "height": height});
    assert_eq!(newest(&Ok(vec![at(7), at(9), at(8)])), 9);
    assert_eq!(newest(&Ok(Vec::new())), 0);
    assert_eq!(newest(&Err("no answer".into())), 0);
}
