//! Each end of a connection has its own reason, and no connection is open but to who proved its keys.

use super::{SessionError, next, next_clear, serve};
use crate::hub::{Hub, LeaseUse};
use crate::store::tests::lease_record;
use crate::store::{GatewayStore, LeaseRecord};
use axum::extract::ws::{Message, WebSocketUpgrade};
use futures::{SinkExt as _, StreamExt as _};
use inferium_seal::{SealingSecret, SessionOpener, SessionSealer};
use inferium_types::{
    JobId, SecretKey, VrfPublicKey, decode, encode,
    wire::{GatewayMessage, SessionHello, WorkerMessage},
};
use std::sync::Arc;
use tokio_tungstenite::tungstenite;

async fn read(messages: Vec<Result<Message, axum::Error>>) -> Result<WorkerMessage, SessionError> {
    next_clear(&mut futures::stream::iter(messages)).await
}

/// The direction from a worker to its gateway.
fn ends() -> (SessionSealer, SessionOpener) {
    let mut rng = rand::rng();
    let [worker, gateway] = std::array::from_fn(|_| SealingSecret::generate(&mut rng));
    let node = |byte| SecretKey::from_bytes([byte; 32]).unwrap().public_key();
    let session = SessionHello {
        worker: node(1),
        worker_nonce: [1; 32],
        worker_key: worker.public_key(),
        gateway: node(2),
        gateway_nonce: [2; 32],
        gateway_key: gateway.public_key(),
    };
    let purpose = session.from_worker();
    let (encapsulated, sealer) = SessionSealer::new(&worker, &gateway.public_key(), &purpose, &mut rng).unwrap();
    (sealer, SessionOpener::new(&gateway, &worker.public_key(), &encapsulated, &purpose).unwrap())
}

fn delta(text: &str) -> WorkerMessage {
    WorkerMessage::Delta {
        job: JobId::from_hex(&"7".repeat(64)).unwrap(),
        tokens: vec![1],
        text: text.into(),
        scores: Vec::new(),
    }
}

#[tokio::test]
async fn messages_are_read_between_signs_of_life() {
    let message = WorkerMessage::Refused { job: JobId::from_hex(&"7".repeat(64)).unwrap(), reason: "busy".into() };
    let life = [Message::Ping(bytes::Bytes::new()), Message::Pong(bytes::Bytes::new())].map(Ok);
    let stream = life.into_iter().chain([Ok(Message::Binary(encode(&message).into()))]).collect();
    assert_eq!(read(stream).await.unwrap(), message);
}

#[tokio::test]
async fn every_end_says_why() {
    let broken = || axum::Error::new(std::io::Error::other("reset by the peer"));
    let cases = [
        (Vec::new(), "the worker closed the connection"),
        (vec![Ok(Message::Close(None))], "the worker closed the connection"),
        (vec![Ok(Message::Text("hi".into()))], "not a message of the protocol, or not in its place"),
        (vec![Ok(Message::Binary(vec![255].into()))], "not a message of the protocol, or not in its place"),
        (vec![Err(broken())], "the connection broke: reset by the peer"),
    ];
    for (messages, reason) in cases {
        assert_eq!(read(messages).await.unwrap_err().to_string(), reason);
    }
}

#[tokio::test]
async fn frames_are_read_in_the_order_in_which_they_were_sealed_and_each_once() {
    // Which of three frames arrive, and how many of them are read.
    for (arrive, expected) in [(vec![0, 1, 2], 3), (vec![0, 0], 1), (vec![1, 0], 0), (vec![0, 2], 1)] {
        let (mut sealer, mut opener) = ends();
        let frames: Vec<Vec<u8>> = ["a", "b", "c"].map(|text| sealer.seal(encode(&delta(text))).unwrap()).into();
        assert!(frames.iter().all(|frame| frame.len() == frames[0].len()));
        let messages = arrive.iter().map(|index: &usize| Ok(Message::Binary(frames[*index].clone().into())));
        let mut source = futures::stream::iter(messages.collect::<Vec<_>>());
        for text in ["a", "b", "c"].into_iter().take(expected) {
            assert_eq!(next(&mut opener, &mut source).await.unwrap(), delta(text), "{arrive:?}");
        }
        let reason = next(&mut opener, &mut source).await.unwrap_err().to_string();
        let end =
            if expected == arrive.len() { "the worker closed the connection" } else { "the sealed bytes don't open" };
        assert_eq!(reason, end, "{arrive:?}");
    }
}

#[tokio::test]
async fn changed_frames_and_clear_messages_end_a_session() {
    for attack in ["changed", "clear", "nothing", "no message"] {
        let (mut sealer, mut opener) = ends();
        let mut frame = sealer.seal(encode(&delta("text"))).unwrap();
        match attack {
            "changed" => frame[3] ^= 4,
            "clear" => frame = encode(&delta("text")),
            "nothing" => frame.clear(),
            _ => frame = ends_with(&mut opener, vec![255]),
        }
        let mut source = futures::stream::iter([Ok(Message::Binary(frame.into()))]);
        let error = next(&mut opener, &mut source).await.unwrap_err();
        let is_expected = match attack {
            "no message" => matches!(error, SessionError::Message),
            _ => matches!(error, SessionError::Seal(_)),
        };
        assert!(is_expected, "{attack}: {error}");
    }
}

/// A frame of bytes that are no message, and the other end that opens it.
fn ends_with(opener: &mut SessionOpener, bytes: Vec<u8>) -> Vec<u8> {
    let (mut sealer, other) = ends();
    *opener = other;
    sealer.seal(bytes).unwrap()
}

fn worker() -> SecretKey {
    SecretKey::from_bytes([2; 32]).unwrap()
}

/// What a worker with a lease hears of a gateway, when someone between them changes a handshake.
async fn heard(attack: &str) -> Option<Result<GatewayMessage, String>> {
    let path = std::env::temp_dir().join(format!("inferium-session-{:032x}", rand::random::<u128>()));
    let key = SecretKey::from_bytes([1; 32]).unwrap();
    let store = GatewayStore::open(&path, &key).unwrap();
    let (hub, _outlets) = Hub::new(key.clone(), store).unwrap();
    let (record, vrf) =
        (LeaseRecord { worker: worker().public_key(), ..lease_record(1) }, VrfPublicKey::from_bytes([0; 96]));
    hub.add_leases(vec![(record, vrf, LeaseUse::default())]);
    let route = axum::routing::get(move |upgrade: WebSocketUpgrade| {
        let hub = Arc::clone(&hub);
        async move { upgrade.on_upgrade(move |socket| serve(hub, socket)) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/", route)).await });
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let [own, other] = std::array::from_fn(|_| SealingSecret::generate(&mut rand::rng()));
    let sent_key = if attack == "swapped key" { other.public_key() } else { own.public_key() };
    let hello = WorkerMessage::Hello { worker: worker().public_key(), nonce: [5; 32], key: sent_key };
    socket.send(tungstenite::Message::Binary(encode(&hello).into())).await.unwrap();
    let answer: GatewayMessage = decode(&socket.next().await.unwrap().unwrap().into_data()).unwrap();
    let GatewayMessage::Hello { gateway, nonce, key: gateway_key, encapsulated, signature } = answer else {
        panic!("{answer:?}")
    };
    let session = SessionHello {
        worker: worker().public_key(),
        worker_nonce: [5; 32],
        worker_key: own.public_key(),
        gateway,
        gateway_nonce: nonce,
        gateway_key,
    };
    assert_eq!(session.verify(&key.public_key(), &signature), attack != "swapped key", "the worker would see it");
    let mut opener = SessionOpener::new(&own, &gateway_key, &encapsulated, &session.from_gateway()).unwrap();
    let began = if attack == "swapped direction" { &other } else { &own };
    let (encapsulated, mut sealer) =
        SessionSealer::new(began, &gateway_key, &session.from_worker(), &mut rand::rng()).unwrap();
    let prove = WorkerMessage::Prove { encapsulated, signature: session.sign(&worker()) };
    socket.send(tungstenite::Message::Binary(encode(&prove).into())).await.unwrap();
    let welcome = match socket.next().await {
        Some(Ok(tungstenite::Message::Binary(frame))) => opener.open(&frame).map_err(|error| error.to_string()),
        _ => return None,
    };
    if attack != "none" {
        // What the worker says first shows that the direction is someone else's.
        let frame = sealer.seal(encode(&delta("text"))).unwrap();
        socket.send(tungstenite::Message::Binary(frame.into())).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            assert!(!message.is_binary(), "{attack}");
        }
    }
    drop(socket);
    let _ = std::fs::remove_file(path);
    Some(welcome.map(|message| decode(&message).unwrap()))
}

#[tokio::test]
async fn a_session_opens_for_who_proves_both_keys() {
    assert_eq!(heard("none").await, Some(Ok(GatewayMessage::Welcome)));
}

#[tokio::test]
async fn a_sealing_key_that_was_swapped_opens_no_session() {
    assert_eq!(heard("swapped key").await, None);
    // The signatures are good; the first frame ends it.
    assert_eq!(heard("swapped direction").await, Some(Ok(GatewayMessage::Welcome)));
}
