//! Each end of a connection has its own reason.

use super::{SessionError, next};
use axum::extract::ws::Message;
use inferium_types::{JobId, encode, wire::WorkerMessage};

async fn read(messages: Vec<Result<Message, axum::Error>>) -> Result<WorkerMessage, SessionError> {
    next(&mut futures::stream::iter(messages)).await
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
