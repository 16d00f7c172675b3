//! Sessions go where the gateway is, end when nobody needs them, and are readable for their two sides.

use super::Sessions;
use crate::session::{SessionEvent, SessionId};
use futures::{SinkExt as _, StreamExt as _};
use inferium_seal::{SealError, SealingSecret, SessionOpener, SessionSealer};
use inferium_types::{
    ChatMessage, Digest, JobId, JobPayload, JobRequest, LeaseId, NodeId, SamplingParams, SealingKey, SecretKey, decode,
    encode,
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

async fn frame(socket: &mut Socket) -> Vec<u8> {
    socket.next().await.unwrap().unwrap().into_data().to_vec()
}

async fn write(socket: &mut Socket, frame: Vec<u8>) {
    socket.send(Message::Binary(frame.into())).await.unwrap();
}

type Socket = WebSocketStream<TcpStream>;

/// The gateway's end of an open session.
struct Gateway {
    socket: Socket,
    sealer: SessionSealer,
    opener: SessionOpener,
    /// All that an observer of the connection saw.
    seen: Vec<u8>,
}

impl Gateway {
    async fn send(&mut self, message: &GatewayMessage) {
        let frame = self.sealer.seal(encode(message)).unwrap();
        self.seen.extend_from_slice(&frame);
        write(&mut self.socket, frame).await;
    }

    async fn receive(&mut self) -> Result<WorkerMessage, SealError> {
        let frame = frame(&mut self.socket).await;
        self.seen.extend_from_slice(&frame);
        self.opener.open(&frame).map(|message| decode(&message).unwrap())
    }
}

/// Accepts a connection, and reads who opens it.
async fn accept(listener: &TcpListener) -> (Socket, NodeId, [u8; 32], SealingKey) {
    let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
    let WorkerMessage::Hello { worker, nonce, key } = decode(&frame(&mut socket).await).unwrap() else {
        panic!("no hello")
    };
    (socket, worker, nonce, key)
}

/// The gateway's half of the handshake.
async fn welcome(listener: &TcpListener) -> Gateway {
    let (mut socket, worker, worker_nonce, worker_key) = accept(listener).await;
    let (gateway_key, own) = (gateway(), SealingSecret::generate(&mut rand::rng()));
    let hello = SessionHello {
        worker,
        worker_nonce,
        worker_key,
        gateway: gateway_key.public_key(),
        gateway_nonce: [7; 32],
        gateway_key: own.public_key(),
    };
    let (encapsulated, sealer) =
        SessionSealer::new(&own, &worker_key, &hello.from_gateway(), &mut rand::rng()).unwrap();
    let answer = GatewayMessage::Hello {
        gateway: hello.gateway,
        nonce: hello.gateway_nonce,
        key: own.public_key(),
        encapsulated,
        signature: hello.sign(&gateway_key),
    };
    write(&mut socket, encode(&answer)).await;
    let WorkerMessage::Prove { encapsulated, signature } = decode(&frame(&mut socket).await).unwrap() else {
        panic!("no proof")
    };
    assert!(hello.verify(&worker, &signature));
    let opener = SessionOpener::new(&own, &worker_key, &encapsulated, &hello.from_worker()).unwrap();
    let mut gateway = Gateway { socket, sealer, opener, seen: Vec::new() };
    gateway.send(&GatewayMessage::Welcome).await;
    gateway
}

/// True once the worker's side is gone.
async fn is_closed(mut gateway: Gateway) -> bool {
    !matches!(gateway.socket.next().await, Some(Ok(Message::Binary(_))))
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

/// A job whose text is easy to find.
fn job() -> GatewayMessage {
    let messages = vec![ChatMessage { role: "user".into(), content: "quixotic zephyrs".into() }];
    let payload = JobPayload::chat([1; 32], messages, Vec::new());
    let request = JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence: 0,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: 3,
        tokens_max: 9,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    GatewayMessage::Job { request, payload }
}

fn delta(text: &str) -> WorkerMessage {
    WorkerMessage::Delta {
        job: JobId::new(Digest::ZERO),
        tokens: vec![0x0102_0304],
        text: text.into(),
        scores: Vec::new(),
    }
}

#[tokio::test]
async fn who_sees_the_connection_reads_neither_prompt_nor_answer() {
    let (mut sessions, mut events, gateway) = sessions();
    let (listener, url) = listen().await;
    sessions.keep(gateway, url);
    let mut gateway = welcome(&listener).await;
    let (_, outbox) = opened(&mut events).await;
    gateway.send(&job()).await;
    match events.recv().await {
        Some((_, SessionEvent::Received(message))) => assert_eq!(message, job()),
        other => panic!("{other:?}"),
    }
    for text in ["jabber", "wocky"] {
        outbox.send(delta(text)).await.unwrap();
        assert_eq!(gateway.receive().await, Ok(delta(text)));
    }
    let holds = |seen: &[u8], part: &[u8]| seen.windows(part.len()).any(|window| window == part);
    for part in ["quixotic", "zephyrs", "jabber", "wocky"].map(str::as_bytes).into_iter().chain([&[4, 3, 2, 1][..]]) {
        assert!(!holds(&gateway.seen, part), "{part:?} is readable");
    }
    // The same search finds them where they are readable.
    assert!(holds(&encode(&job()), b"quixotic") && holds(&encode(&delta("wocky")), &[4, 3, 2, 1]));
}

/// Someone between the two changes, repeats, swaps or leaves out frames, or says something of its own.
#[tokio::test]
async fn a_frame_that_does_not_open_ends_the_session() {
    let (mut sessions, mut events, gateway) = sessions();
    let (listener, url) = listen().await;
    sessions.keep(gateway, url);
    for attack in ["changed", "repeated", "swapped", "cut", "clear", "reflected"] {
        let mut gateway = welcome(&listener).await;
        let (id, outbox) = opened(&mut events).await;
        let [first, second] = std::array::from_fn(|_| gateway.sealer.seal(encode(&job())).unwrap());
        let bad = match attack {
            "changed" => {
                let mut changed = first;
                changed[40] ^= 1;
                changed
            }
            "repeated" => {
                write(&mut gateway.socket, first.clone()).await;
                assert!(matches!(events.recv().await, Some((_, SessionEvent::Received(_)))));
                first
            }
            "swapped" => second,
            "cut" => first[..first.len() - 1].to_vec(),
            "clear" => encode(&job()),
            _ => {
                outbox.send(delta("text")).await.unwrap();
                frame(&mut gateway.socket).await
            }
        };
        write(&mut gateway.socket, bad).await;
        match events.recv().await {
            Some((lost, SessionEvent::Lost)) => assert_eq!(lost, id, "{attack}"),
            other => panic!("{attack}: {other:?}"),
        }
        assert!(is_closed(gateway).await, "{attack}");
    }
}

/// Someone between the two puts in a sealing key of its own, so that it could read what is sent.
#[tokio::test]
async fn a_sealing_key_that_was_swapped_opens_no_session() {
    let (mut sessions, mut events, gateway_id) = sessions();
    let (listener, url) = listen().await;
    sessions.keep(gateway_id, url);
    for swapped in ["gateway's", "worker's", "encapsulated"] {
        let (mut socket, worker, worker_nonce, worker_key) = accept(&listener).await;
        let [own, other] = std::array::from_fn(|_| SealingSecret::generate(&mut rand::rng()));
        // As the gateway signs it when it sees another key of the worker's.
        let hello = SessionHello {
            worker,
            worker_nonce,
            worker_key: if swapped == "worker's" { other.public_key() } else { worker_key },
            gateway: gateway_id,
            gateway_nonce: [7; 32],
            gateway_key: own.public_key(),
        };
        let signature = hello.sign(&gateway());
        let (key, begun) = if swapped == "gateway's" { (other.public_key(), &other) } else { (own.public_key(), &own) };
        let begun = if swapped == "encapsulated" { &other } else { begun };
        let (encapsulated, mut sealer) =
            SessionSealer::new(begun, &worker_key, &hello.from_gateway(), &mut rand::rng()).unwrap();
        let answer = GatewayMessage::Hello { gateway: gateway_id, nonce: [7; 32], key, encapsulated, signature };
        write(&mut socket, encode(&answer)).await;
        if swapped == "encapsulated" {
            // The signature is good: it shows by the first message.
            let _prove = frame(&mut socket).await;
            write(&mut socket, sealer.seal(encode(&GatewayMessage::Welcome)).unwrap()).await;
        }
        assert!(!matches!(socket.next().await, Some(Ok(Message::Binary(_)))), "{swapped}");
    }
    assert!(events.try_recv().is_err(), "no session was opened");
}
