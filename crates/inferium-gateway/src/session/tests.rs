//! Each end of a connection has its own reason.

use super::{SessionError, next, next_clear};
use axum::extract::ws::Message;
use inferium_seal::{SealingSecret, SessionOpener, SessionSealer};
use inferium_types::{
    JobId, SecretKey, encode,
    wire::{SessionHello, WorkerMessage},
};

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
    WorkerMessage::Delta { job: JobId::from_hex(&"7".repeat(64)).unwrap(), tokens: vec![1], text: text.into() }
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
