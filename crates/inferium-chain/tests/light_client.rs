//! Light clients against real validators over HTTP, some of which lie.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use axum::{
    Json, Router,
    body::Bytes,
    extract::Request,
    http::Method,
    middleware,
    response::{IntoResponse, Response},
};
use common::{TestNetwork, key, rich};
use inferium_chain::{LightClient, PostError, SendError, Sender, ValidatorHandle, router, send_signed};
use inferium_ledger::{Account, StateKey, state_key};
use inferium_types::{Amount, Digest, SignedTransaction, TransactionBody};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn serve_honest(validator: &ValidatorHandle) -> String {
    serve(router(validator.clone())).await
}

/// An RPC that changes a byte in the middle of every binary answer.
async fn serve_liar(validator: &ValidatorHandle) -> String {
    let lie = middleware::from_fn(|request: Request, next: middleware::Next| async move {
        let is_binary = request.uri().path().ends_with("/blocks") || request.uri().path().ends_with("/state");
        let response: Response = next.run(request).await;
        if !is_binary {
            return response;
        }
        let (parts, body) = response.into_parts();
        let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        Response::from_parts(parts, Bytes::from(bytes).into())
    });
    serve(router(validator.clone()).layer(lie)).await
}

/// An RPC that says yes to the first transaction, throws it away, and brings `rival` to the chain.
async fn serve_withholder(validator: &ValidatorHandle, rival: SignedTransaction) -> String {
    let (handle, rival) = (validator.clone(), Arc::new(Mutex::new(Some(rival))));
    let withhold = middleware::from_fn(move |request: Request, next: middleware::Next| {
        let rival = (request.method() == Method::POST).then(|| rival.lock().unwrap().take()).flatten();
        let handle = handle.clone();
        async move {
            match rival {
                Some(rival) => {
                    Json(serde_json::json!({ "id": handle.submit(rival).unwrap().to_string() })).into_response()
                }
                None => next.run(request).await,
            }
        }
    });
    serve(router(validator.clone()).layer(withhold)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_another_transaction_used_is_noticed() {
    let network = TestNetwork::new("rival", 1);
    let validators = network.start().await;
    common::reach(&validators[0], 1).await;
    let pay = TransactionBody::Transfer { to: key(101).public_key(), amount: Amount::from_ifr(1) };

    // As after a kill: a transaction of the sender's former life gets to the chain before its own.
    let url = serve_withholder(&validators[0], network.transfer(&rich(), 0, &key(102), 5)).await;
    let client = LightClient::connect(network.genesis.network_key(), vec![url]).await.unwrap();
    Sender::new(client, rich()).send(pay.clone()).await.unwrap();
    let balance = |number| validators[0].state().account(&key(number).public_key()).balance;
    assert_eq!((balance(101), balance(102)), (Amount::from_ifr(1), Amount::from_ifr(5)));

    // What its owner has read before signing is not signed anew.
    let url = serve_withholder(&validators[0], network.transfer(&rich(), 2, &key(102), 5)).await;
    let client = LightClient::connect(network.genesis.network_key(), vec![url]).await.unwrap();
    let signed = network.transfer(&rich(), 2, &key(101), 1);
    assert_eq!(send_signed(&client, &signed).await.unwrap_err(), SendError::NonceUsed { nonce: 2 });
    assert_eq!((balance(101), balance(102)), (Amount::from_ifr(1), Amount::from_ifr(10)));
    validators[0].stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_light_client_follows_sends_and_reads_although_some_lie() {
    let network = TestNetwork::new("light", 4);
    let validators = network.start().await;
    let dead = "http://127.0.0.1:9".to_owned();
    let urls = vec![
        serve_liar(&validators[0]).await,
        dead,
        serve_honest(&validators[1]).await,
        serve_honest(&validators[2]).await,
    ];
    let client = LightClient::connect(network.genesis.network_key(), urls.clone()).await.unwrap();
    let mut blocks = client.subscribe_from(1);
    let mut parent = None;
    for height in 1..=5 {
        let block = tokio::time::timeout(Duration::from_secs(30), blocks.recv()).await.unwrap().unwrap();
        assert_eq!(block.header.height, height);
        assert_eq!(block.digest, block.header.digest());
        assert!(parent.is_none_or(|parent| parent == block.header.parent));
        parent = Some(block.digest);
    }

    let sender = Sender::new(client.clone(), rich());
    let pay = |ifr| TransactionBody::Transfer { to: key(101).public_key(), amount: Amount::from_ifr(ifr) };
    let sent = sender.send(pay(1)).await.unwrap();
    assert!(sent.block.transactions.contains(&sent.id));
    assert_eq!(sent.failure, None);
    // Overlapping sends keep their nonces apart.
    let results = futures::future::join_all((0..20).map(|_| sender.send(pay(1)))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // More than there is: included, paid for, without effect.
    let failed = sender.send(pay(200_000_000)).await.unwrap();
    assert!(failed.failure.is_some());

    let account = client.get(&state_key(&StateKey::Account(key(101).public_key()))).await.unwrap().unwrap();
    let account: Account = inferium_types::decode(&account).unwrap();
    assert_eq!(account.balance, Amount::from_ifr(21));
    assert_eq!(client.get(&state_key(&StateKey::Account(key(102).public_key()))).await.unwrap(), None);
    let url = client.validator_url(&network.keys[0].public_key()).await.unwrap();
    assert_eq!(url.as_deref(), Some("http://localhost"), "paths are appended to it");
    assert_eq!(client.validator_url(&rich().public_key()).await.unwrap(), None);

    // Two senders of one account collide, and both get through.
    let (one, other) = (Sender::new(client.clone(), rich()), Sender::new(client.clone(), rich()));
    let (one, other) = tokio::join!(one.send(pay(1)), other.send(pay(1)));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");

    // A late subscriber gets everything from the height it asks for.
    let mut late = client.subscribe_from(2);
    for height in 2..=client.height() {
        assert_eq!(late.recv().await.unwrap().header.height, height);
    }
    validators[0].stop().await;
}

/// An RPC that has no space for transactions.
async fn serve_full(validator: &ValidatorHandle) -> String {
    let full = middleware::from_fn(|request: Request, next: middleware::Next| async move {
        if request.method() != Method::POST {
            return next.run(request).await;
        }
        let error = serde_json::json!({"error": {"code": "full", "message": "too many transactions are waiting"}});
        (axum::http::StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response()
    });
    serve(router(validator.clone()).layer(full)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_unanimous_if_every_validator_answers_and_says_the_same() {
    let network = TestNetwork::new("refusals", 1);
    let validators = network.start().await;
    common::reach(&validators[0], 1).await;
    let (honest, full) = (serve_honest(&validators[0]).await, serve_full(&validators[0]).await);
    let dead = "http://127.0.0.1:9".to_owned();
    let unpayable = network.transfer(&key(120), 0, &key(101), 1);
    let cases = [
        (vec![honest.clone(), honest.clone()], "fee_unpayable", true),
        (vec![honest.clone(), dead.clone()], "fee_unpayable", false),
        (vec![dead, honest.clone()], "fee_unpayable", false),
        (vec![honest.clone(), full], "full", false),
    ];
    for (urls, expected, unanimous) in cases {
        let client = LightClient::connect(network.genesis.network_key(), urls).await.unwrap();
        let error = client.submit_to_all(&unpayable).await.unwrap_err();
        let PostError::Refused { code, is_unanimous, .. } = &error else { panic!("{error:?}") };
        // Which refusal comes last depends on whom the client asks first.
        assert!(code == expected || !unanimous, "{error:?}");
        assert_eq!(*is_unanimous, unanimous, "{error:?}");
    }
    // A nonce is used once a final block says so, and stays so.
    let client = LightClient::connect(network.genesis.network_key(), vec![honest]).await.unwrap();
    let signed = network.transfer(&rich(), 0, &key(101), 1);
    assert_eq!(client.nonce_used_at(&signed).await, Ok(None));
    let sent = send_signed(&client, &signed).await.unwrap();
    let used_at = client.nonce_used_at(&signed).await.unwrap().unwrap();
    assert!(used_at >= sent.block.header.height);
    let refused = client.submit_to_all(&network.transfer(&rich(), 0, &key(102), 1)).await.unwrap_err();
    assert!(
        matches!(&refused, PostError::Refused { code, is_unanimous: true, .. } if code == "nonce_too_low"),
        "{refused:?}"
    );
    validators[0].stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_liars_only_nothing_is_believed() {
    let network = TestNetwork::new("liars", 1);
    let validators = network.start().await;
    common::reach(&validators[0], 2).await;
    let urls = vec![serve_liar(&validators[0]).await];
    assert!(LightClient::connect(network.genesis.network_key(), urls).await.is_err());

    // Nor is an honest RPC of another chain.
    let mut other = network.genesis.network_key();
    other.chain = inferium_types::ChainId::new(Digest::ZERO);
    let urls = vec![serve_honest(&validators[0]).await];
    let refused = LightClient::connect(other, urls).await.unwrap_err().to_string();
    assert!(refused.contains("a lie"), "it says what was met last: {refused}");
    validators[0].stop().await;
}
