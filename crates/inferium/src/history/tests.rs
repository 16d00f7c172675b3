//! Where the blocks begin that validators keep, by what servers of the tests' own answer.

use super::first_kept;
use axum::{Router, extract::Query, http::StatusCode, routing::get};
use std::collections::BTreeMap;

/// A validator that keeps blocks from `first` on, at an address of its own.
async fn validator(first: u64) -> String {
    let answer = move |Query(query): Query<BTreeMap<String, u64>>| async move {
        if query["from"] < first { StatusCode::GONE } else { StatusCode::OK }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/rpc/v1/blocks", get(answer))).await });
    url
}

#[tokio::test]
async fn the_first_kept_block_is_the_earliest_of_any_validator() {
    for (one, other, expected) in [(1, 1, 1), (2, 2, 2), (700, 512, 512), (1_000, 1_000, 1_000), (999, 1, 1)] {
        let urls = [validator(one).await, validator(other).await];
        assert_eq!(first_kept(&urls, 1_000).await.ok(), Some(expected), "{one} {other}");
    }
}

/// It may have what the others lost, so that nothing is said instead of something wrong.
#[tokio::test]
async fn a_validator_that_is_not_reached_may_have_the_block() {
    let gone = "http://127.0.0.1:9".to_owned();
    let urls = [validator(1).await, gone.clone()];
    assert_eq!(first_kept(&urls, 1_000).await.ok(), Some(1));
    let failure = first_kept(&[validator(5).await, gone.clone()], 1_000).await.unwrap_err();
    assert!(failure.to_string().contains("nobody says whether block 1 is kept"), "{failure}");
    assert!(first_kept(&[gone], 1).await.is_err());
}
