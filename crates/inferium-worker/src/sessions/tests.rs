//! Sessions go where the gateway is, and end when nobody needs them.

use super::Sessions;
use crate::session::{SessionEvent, SessionId};
use futures::{SinkExt as _, StreamExt as _};
use inferium_types::{
    NodeId, SecretKey, decode, encode,
    wire::{GatewayMessage, SessionHello, WorkerMessage},
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn gateway() -> SecretKey {
    key(2)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn read(socket: &mut WebSocketStream<TcpStream>) -> WorkerMessage {
    decode(&socket.next().await.unwrap().unwrap().into_data()).unwrap()
}

async fn write(socket: &mut WebSocketStream<TcpStream>, message: &GatewayMessage) {
    socket.send(Message::Binary(encode(message).into())).await.unwrap();
}

/// The gateway's half of the handshake.
async fn welcome(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
    let WorkerMessage::Hello { worker, nonce: worker_nonce } = read(&mut socket).await else { panic!("no hello") };
    let (gateway_key, gateway_nonce) = (gateway(), [7; 32]);
    let hello = SessionHello { worker, worker_nonce, gateway: gateway_key.public_key(), gateway_nonce };
    let signature = hello.sign(&gateway_key);
    write(&mut socket, &GatewayMessage::Hello { gateway: hello.gateway, nonce: gateway_nonce, signature }).await;
    let WorkerMessage::Prove { signature } = read(&mut socket).await else { panic!("no proof") };
    assert!(hello.verify(&worker, &signature));
    write(&mut socket, &GatewayMessage::Welcome).await;
    socket
}

/// True once the worker's side is gone.
async fn is_closed(mut socket: WebSocketStream<TcpStream>) -> bool {
    !matches!(socket.next().await, Some(Ok(Message::Binary(_))))
}

async fn opened(events: &mut mpsc::Receiver<(SessionId, SessionEvent)>) -> (SessionId, mpsc::Sender<WorkerMessage>) {
    match events.recv().await {
        Some((id, SessionEvent::Opened(outbox))) => (id, outbox),
        other => panic!("{other:?}"),
    }
}

fn sessions() -> (Sessions, mpsc::Receiver<(SessionId, SessionEvent)>, NodeId) {
    let (sender, events) = mpsc::channel(16);
    (Sessions::new(key(1), sender), events, gateway().public_key())
}

#[tokio::test]
async fn a_gateway_that_moved_is_met_at_its_new_url() {
    let (mut sessions, mut events, gateway) = sessions();
    let ((old, old_url), (new, new_url)) = (listen().await, listen().await);
    assert!(!sessions.keep(gateway, old_url.clone()), "the first ends none");
    let old_socket = welcome(&old).await;
    let (first, outbox) = opened(&mut events).await;
    sessions.set_outbox(gateway, Some(outbox));
    assert!(sessions.is_current(first) && sessions.outbox(gateway).is_some());
    assert!(!sessions.keep(gateway, old_url), "the same URL changes nothing");
    assert!(sessions.is_current(first) && sessions.outbox(gateway).is_some());

    assert!(sessions.keep(gateway, new_url));
    assert!(!sessions.is_current(first), "what the old one still says is out of date");
    assert!(sessions.outbox(gateway).is_none(), "nothing goes to the old URL any more");
    assert!(is_closed(old_socket).await);
    let _new_socket = welcome(&new).await;
    let (second, _outbox) = opened(&mut events).await;
    assert!(sessions.is_current(second) && second != first);
}

#[tokio::test]
async fn a_session_that_is_ended_closes_and_is_not_opened_again() {
    let (mut sessions, mut events, gateway) = sessions();
    let (listener, url) = listen().await;
    sessions.keep(gateway, url);
    let socket = welcome(&listener).await;
    let (id, outbox) = opened(&mut events).await;
    sessions.set_outbox(gateway, Some(outbox));
    sessions.end(gateway);
    assert!(!sessions.has(gateway) && !sessions.is_current(id) && sessions.outbox(gateway).is_none());
    assert!(is_closed(socket).await);
    // Its task is gone, and with it the only other sender of events.
    drop(sessions);
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn a_session_that_breaks_is_opened_again() {
    let (mut sessions, mut events, gateway) = sessions();
    let (listener, url) = listen().await;
    sessions.keep(gateway, url);
    drop(welcome(&listener).await);
    let (id, _outbox) = opened(&mut events).await;
    assert!(matches!(events.recv().await, Some((lost, SessionEvent::Lost)) if lost == id));
    let _socket = welcome(&listener).await;
    assert_eq!(opened(&mut events).await.0, id, "the same session, open again");
}
