//! The connection to a gateway: opened by the worker, authenticated both ways and sealed from then
//! on (SPEC J2), opened again when it breaks.

use bytes::Bytes;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use inferium_seal::{FRAME_OVERHEAD_MAX, SealError, SealingSecret, SessionOpener, SessionSealer};
use inferium_types::{
    NodeId, SecretKey, decode, encode, limits,
    wire::{GatewayMessage, SessionHello, WorkerMessage},
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message, protocol::WebSocketConfig};
use tracing::{debug, info};

/// Wait before the first new attempt; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Messages that wait for the socket before jobs have to.
const OUTBOX_SIZE: usize = 1_024;

/// One session: of two with the same gateway, the later has the higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId {
    pub(crate) gateway: NodeId,
    pub(crate) number: u64,
}

/// What a session tells the worker.
#[expect(clippy::large_enum_variant, reason = "messages are the common case; the others are rare")]
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// Open: messages for the gateway go here until it is lost.
    Opened(mpsc::Sender<WorkerMessage>),
    /// A message.
    Received(GatewayMessage),
    /// Lost; it is being opened again.
    Lost,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the other side did not prove that it is the gateway")]
    Identity,
    #[error("not a message of the protocol")]
    Message,
    #[error("{0}")]
    Seal(#[from] SealError),
    #[error("the gateway closed the connection")]
    Closed,
}

/// Keeps a session with one gateway until the other end of `stop` is gone.
pub(crate) async fn keep(
    key: SecretKey,
    id: SessionId,
    url: String,
    events: mpsc::Sender<(SessionId, SessionEvent)>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut wait = RETRY_MIN;
    loop {
        let mut was_open = false;
        let outcome = tokio::select! {
            outcome = run(&key, id, &url, &events, &mut was_open) => outcome,
            _ = &mut stop => return,
        };
        // Its outbox goes with the session, which is no break: nothing is lost, and nothing opened again.
        if stop.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return;
        }
        if let Err(error) = &outcome {
            debug!(gateway = %id.gateway, url, %error, "session ended");
        }
        if was_open {
            wait = RETRY_MIN;
            if events.send((id, SessionEvent::Lost)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = &mut stop => return,
        }
        wait = wait.saturating_mul(2).min(RETRY_MAX);
    }
}

async fn run(
    key: &SecretKey,
    id: SessionId,
    url: &str,
    events: &mpsc::Sender<(SessionId, SessionEvent)>,
    was_open: &mut bool,
) -> Result<(), SessionError> {
    let gateway = id.gateway;
    let address = format!("{}/v1/worker", url.trim_end_matches('/').replacen("http", "ws", 1));
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits::MESSAGE_SIZE_MAX + FRAME_OVERHEAD_MAX))
        .max_frame_size(Some(limits::MESSAGE_SIZE_MAX + FRAME_OVERHEAD_MAX));
    let (socket, _) = tokio_tungstenite::connect_async_with_config(address, Some(config), true)
        .await
        .map_err(|e| SessionError::Connect(e.to_string()))?;
    let (mut sink, mut source) = socket.split();
    let (mut sealer, mut opener) = handshake(key, gateway, &mut sink, &mut source).await?;
    info!(%gateway, url, "session open");

    let (outbox, mut outgoing) = mpsc::channel::<WorkerMessage>(OUTBOX_SIZE);
    *was_open = true;
    if events.send((id, SessionEvent::Opened(outbox))).await.is_err() {
        return Ok(());
    }
    let write = async {
        while let Some(message) = outgoing.recv().await {
            sink.feed(sealed(&mut sealer, &message)?).await.map_err(broken)?;
            // What is ready now goes out in one write.
            while let Ok(more) = outgoing.try_recv() {
                sink.feed(sealed(&mut sealer, &more)?).await.map_err(broken)?;
            }
            sink.flush().await.map_err(broken)?;
        }
        Ok::<(), SessionError>(())
    };
    let read = async {
        loop {
            let message = receive(&mut opener, &mut source).await?;
            if events.send((id, SessionEvent::Received(message))).await.is_err() {
                return Ok::<(), SessionError>(());
            }
        }
    };
    tokio::select! {
        outcome = write => outcome,
        outcome = read => outcome,
    }
}

fn broken(error: WebSocketError) -> SessionError {
    SessionError::Broken(error.to_string())
}

fn sealed(sealer: &mut SessionSealer, message: &WorkerMessage) -> Result<Message, SealError> {
    sealer.seal(encode(message)).map(|frame| Message::Binary(frame.into()))
}

/// Both sides prove their keys, and those that they seal to.
async fn handshake<W, R>(
    key: &SecretKey,
    gateway: NodeId,
    sink: &mut W,
    source: &mut R,
) -> Result<(SessionSealer, SessionOpener), SessionError>
where
    W: Sink<Message, Error = WebSocketError> + Unpin,
    R: Stream<Item = Result<Message, WebSocketError>> + Unpin,
{
    // Of this connection alone: what was said in it stays unread when a key is stolen later.
    let own = SealingSecret::generate(&mut rand::rng());
    let (worker, worker_nonce, worker_key) = (key.public_key(), rand::random(), own.public_key());
    let hello = WorkerMessage::Hello { worker, nonce: worker_nonce, key: worker_key };
    sink.send(Message::Binary(encode(&hello).into())).await.map_err(broken)?;
    let answer = decode(&receive_frame(source).await?).map_err(|_| SessionError::Message)?;
    let GatewayMessage::Hello { gateway: claimed, nonce: gateway_nonce, key: gateway_key, encapsulated, signature } =
        answer
    else {
        return Err(SessionError::Message);
    };
    let hello = SessionHello { worker, worker_nonce, worker_key, gateway, gateway_nonce, gateway_key };
    if claimed != gateway || !hello.verify(&gateway, &signature) {
        return Err(SessionError::Identity);
    }
    let mut opener = SessionOpener::new(&own, &gateway_key, &encapsulated, &hello.from_gateway())?;
    let (encapsulated, sealer) = SessionSealer::new(&own, &gateway_key, &hello.from_worker(), &mut rand::rng())?;
    let prove = WorkerMessage::Prove { encapsulated, signature: hello.sign(key) };
    sink.send(Message::Binary(encode(&prove).into())).await.map_err(broken)?;
    match receive(&mut opener, source).await? {
        GatewayMessage::Welcome => Ok((sealer, opener)),
        _ => Err(SessionError::Message),
    }
}

/// A message after the handshake. One that does not open ends the session: nothing after it could be
/// trusted.
async fn receive<R>(opener: &mut SessionOpener, source: &mut R) -> Result<GatewayMessage, SessionError>
where
    R: Stream<Item = Result<Message, WebSocketError>> + Unpin,
{
    let message = opener.open(&receive_frame(source).await?)?;
    decode(&message).map_err(|_| SessionError::Message)
}

async fn receive_frame<R>(source: &mut R) -> Result<Bytes, SessionError>
where
    R: Stream<Item = Result<Message, WebSocketError>> + Unpin,
{
    loop {
        match source.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Text(_))) => return Err(SessionError::Message),
            Some(Ok(Message::Close(_))) | None => return Err(SessionError::Closed),
            Some(Err(error)) => return Err(SessionError::Broken(error.to_string())),
        }
    }
}
