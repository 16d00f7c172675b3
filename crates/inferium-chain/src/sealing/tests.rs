//! SPEC J2: nobody but the node itself gives out what is sealed to, and what it gave before is worth nothing.

use super::{SealingKeyError, sealing_key};
use axum::{Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get};
use inferium_types::{SealingKey, SealingKeyProof, SecretKey, encode};
use std::convert::Infallible;

fn node(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn key() -> SealingKey {
    SealingKey::from_bytes([7; 32])
}

/// What the first node's server makes of a nonce, and what who asked with `nonce` makes of that.
async fn asked<R: IntoResponse + 'static>(
    nonce: [u8; 32],
    answer: impl Fn([u8; 32]) -> R + Clone + Send + Sync + 'static,
) -> Result<SealingKey, SealingKeyError> {
    let respond = move |Path(nonce): Path<String>| {
        let answer = answer.clone();
        async move { answer(hex::decode(nonce).unwrap().try_into().unwrap()).into_response() }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/duty/v1/seal/{nonce}", get(respond));
    tokio::spawn(async move { axum::serve(listener, router).await });
    sealing_key(&reqwest::Client::new(), &url, &node(1).public_key(), nonce).await
}

#[tokio::test]
async fn a_key_is_believed_when_the_node_gives_it_to_who_asks() {
    let honest = asked([3; 32], |nonce| encode(&SealingKeyProof::sign(key(), &nonce, &node(1)))).await;
    assert_eq!(honest, Ok(key()));
    let another = asked([3; 32], |nonce| encode(&SealingKeyProof::sign(key(), &nonce, &node(2)))).await;
    assert_eq!(another, Err(SealingKeyError::Proof));
    let repeated = asked([3; 32], |_| encode(&SealingKeyProof::sign(key(), &[4; 32], &node(1)))).await;
    assert_eq!(repeated, Err(SealingKeyError::Proof), "it was another's nonce");
    let swapped = asked([3; 32], |nonce| {
        let proof = SealingKeyProof::sign(key(), &nonce, &node(1));
        encode(&SealingKeyProof { key: SealingKey::from_bytes([8; 32]), ..proof })
    });
    assert_eq!(swapped.await, Err(SealingKeyError::Proof));
}

#[tokio::test]
async fn answers_that_are_none_say_so() {
    assert_eq!(asked([3; 32], |_| Vec::<u8>::new()).await, Err(SealingKeyError::Proof));
    let cut = |nonce: [u8; 32]| encode(&SealingKeyProof::sign(key(), &nonce, &node(1)))[..95].to_vec();
    assert_eq!(asked([3; 32], cut).await, Err(SealingKeyError::Proof));
    let endless = |_| axum::body::Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(vec![7u8; 64])));
    assert_eq!(asked([3; 32], endless).await, Err(SealingKeyError::Proof));
    let refused = asked([3; 32], |_| StatusCode::NOT_FOUND).await;
    assert_eq!(refused, Err(SealingKeyError::Status { status: 404 }));
    let nobody = sealing_key(&reqwest::Client::new(), "http://127.0.0.1:9", &node(1).public_key(), [3; 32]).await;
    assert!(matches!(nobody, Err(SealingKeyError::Http { .. })), "{nobody:?}");
}
