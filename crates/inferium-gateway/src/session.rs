//! The other end of a worker's connection: proven both ways, and sealed from then on (SPEC J2).

use crate::hub::{Hub, NotSigned, TextPiece};
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::{SinkExt as _, Stream, StreamExt as _};
use inferium_seal::{SealError, SealingSecret, SessionOpener, SessionSealer};
use inferium_types::{
    JobAnswer, JobId, NodeId, SegmentTerms, Signature, decode, encode,
    wire::{GatewayMessage, Planting, SessionHello, WorkerMessage},
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

/// Messages that wait for the socket before a lease counts as busy.
const OUTBOX_SIZE: usize = 1_024;
/// Time for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the handshake took longer than {} s", HANDSHAKE.as_secs())]
    Timeout,
    #[error("the connection broke: {0}")]
    Broken(#[from] axum::Error),
    #[error("not a message of the protocol, or not in its place")]
    Message,
    #[error("{0}")]
    Seal(#[from] SealError),
    #[error("worker {0} did not prove that it is")]
    Identity(NodeId),
    #[error("worker {0} has no lease with this gateway")]
    NoLease(NodeId),
    #[error("the worker closed the connection")]
    Closed,
}

/// Serves one connection until it breaks.
pub(crate) async fn serve(hub: Arc<Hub>, mut socket: WebSocket) {
    let handshake = tokio::time::timeout(HANDSHAKE, handshake(&hub, &mut socket)).await;
    let Proven { worker, mut sealer, mut opener } = match handshake.unwrap_or(Err(SessionError::Timeout)) {
        Ok(proven) => proven,
        Err(error) => {
            // Anyone can fail here: no reason to fill the log.
            debug!(%error, "a worker's handshake failed");
            return;
        }
    };
    info!(%worker, "worker connected");
    let (outbox, mut outgoing) = mpsc::channel::<GatewayMessage>(OUTBOX_SIZE);
    let (mut sink, mut source) = socket.split();
    let write = async {
        while let Some(message) = outgoing.recv().await {
            sink.feed(sealed(&mut sealer, &message)?).await?;
            // What is ready now goes out in one write.
            while let Ok(more) = outgoing.try_recv() {
                sink.feed(sealed(&mut sealer, &more)?).await?;
            }
            sink.flush().await?;
        }
        Ok::<(), SessionError>(())
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = listen(&hub, worker, &outbox, &mut opener, &mut source) => ended,
    };
    match ended {
        Ok(()) | Err(SessionError::Closed) => info!(%worker, "worker disconnected"),
        Err(error) => warn!(%worker, %error, "worker disconnected"),
    }
    hub.session_lost(worker, &outbox);
}

fn binary(bytes: Vec<u8>) -> Message {
    Message::Binary(Bytes::from(bytes))
}

fn sealed(sealer: &mut SessionSealer, message: &GatewayMessage) -> Result<Message, SealError> {
    sealer.seal(encode(message)).map(binary)
}

/// What a handshake ends with.
struct Proven {
    worker: NodeId,
    sealer: SessionSealer,
    opener: SessionOpener,
}

/// Both sides prove their keys, and those that they seal to; only workers that hold a lease get in.
async fn handshake(hub: &Hub, socket: &mut WebSocket) -> Result<Proven, SessionError> {
    let WorkerMessage::Hello { worker, nonce: worker_nonce, key: worker_key } = next_clear(socket).await? else {
        return Err(SessionError::Message);
    };
    // Of this connection alone: what was said in it stays unread when a key is stolen later.
    let own = SealingSecret::generate(&mut rand::rng());
    let (gateway, gateway_nonce, gateway_key) = (hub.node(), rand::random(), own.public_key());
    let hello = SessionHello { worker, worker_nonce, worker_key, gateway, gateway_nonce, gateway_key };
    let (encapsulated, mut sealer) = SessionSealer::new(&own, &worker_key, &hello.from_gateway(), &mut rand::rng())?;
    let signature = hello.sign(&hub.key);
    let answer = GatewayMessage::Hello { gateway, nonce: gateway_nonce, key: gateway_key, encapsulated, signature };
    socket.send(binary(encode(&answer))).await?;
    let WorkerMessage::Prove { encapsulated, signature } = next_clear(socket).await? else {
        return Err(SessionError::Message);
    };
    if !hello.verify(&worker, &signature) {
        return Err(SessionError::Identity(worker));
    }
    if !hub.knows_worker(worker) {
        return Err(SessionError::NoLease(worker));
    }
    let opener = SessionOpener::new(&own, &worker_key, &encapsulated, &hello.from_worker())?;
    socket.send(sealed(&mut sealer, &GatewayMessage::Welcome)?).await?;
    Ok(Proven { worker, sealer, opener })
}

/// A message of the handshake.
async fn next_clear<S>(source: &mut S) -> Result<WorkerMessage, SessionError>
where
    S: Stream<Item = Result<Message, axum::Error>> + Unpin,
{
    decode(&next_frame(source).await?).map_err(|_| SessionError::Message)
}

/// A message after it. One that does not open ends the session: nothing after it could be trusted.
async fn next<S>(opener: &mut SessionOpener, source: &mut S) -> Result<WorkerMessage, SessionError>
where
    S: Stream<Item = Result<Message, axum::Error>> + Unpin,
{
    let message = opener.open(&next_frame(source).await?)?;
    decode(&message).map_err(|_| SessionError::Message)
}

async fn next_frame<S>(source: &mut S) -> Result<Bytes, SessionError>
where
    S: Stream<Item = Result<Message, axum::Error>> + Unpin,
{
    loop {
        match source.next().await.ok_or(SessionError::Closed)?? {
            Message::Binary(bytes) => return Ok(bytes),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(_) => return Err(SessionError::Message),
            Message::Close(_) => return Err(SessionError::Closed),
        }
    }
}

/// Handles what the worker says, for as long as it says what it may.
async fn listen<S>(
    hub: &Arc<Hub>,
    worker: NodeId,
    outbox: &mpsc::Sender<GatewayMessage>,
    opener: &mut SessionOpener,
    source: &mut S,
) -> Result<(), SessionError>
where
    S: Stream<Item = Result<Message, axum::Error>> + Unpin,
{
    loop {
        let message = next(opener, source).await?;
        receive(hub, worker, outbox, message).await?;
    }
}

async fn receive(
    hub: &Arc<Hub>,
    worker: NodeId,
    outbox: &mpsc::Sender<GatewayMessage>,
    message: WorkerMessage,
) -> Result<(), SessionError> {
    match message {
        WorkerMessage::LeaseReady { lease, vrf_proof, sequence_from } => {
            hub.lease_ready(worker, lease, &vrf_proof, sequence_from, outbox);
        }
        WorkerMessage::Delta { job, tokens, text, scores } => {
            hub.delta(worker, job, TextPiece { text, tokens, scores });
        }
        WorkerMessage::Logits { job, logits } => hub.parts(worker, job, JobAnswer::Logits(logits)),
        WorkerMessage::Embeddings { job, embeddings } => hub.parts(worker, job, JobAnswer::Embeddings(embeddings)),
        WorkerMessage::Scores { job, scores } => hub.parts(worker, job, JobAnswer::Scores(scores)),
        WorkerMessage::Board { job, board } => hub.parts(worker, job, JobAnswer::Board(board)),
        WorkerMessage::Proof { job, proof } => hub.parts(worker, job, JobAnswer::Proof(proof)),
        WorkerMessage::Trained { job, interval } => hub.parts(worker, job, JobAnswer::Intervals(vec![interval])),
        WorkerMessage::CallModel { step, call, payload, sampling, tokens_max } => {
            hub.call_model(worker, (step, call), payload, (sampling, tokens_max), outbox);
        }
        WorkerMessage::CalledTool { step, tool, took_ms, failed } => {
            hub.called_tool(worker, step, tool, took_ms, failed);
        }
        WorkerMessage::Transcript { step, transcript } => hub.parts(worker, step, JobAnswer::Run(transcript)),
        WorkerMessage::Finished { job, result, output_salt } => hub.finished(worker, job, result, output_salt).await,
        WorkerMessage::Refused { job, reason } => hub.refused(worker, job, &reason),
        WorkerMessage::Segment { terms, jobs, signature, planted } => {
            // Signing waits for the disk; other messages must not.
            let proposal = Proposal { terms, jobs, signature, planted };
            tokio::spawn(sign(Arc::clone(hub), worker, outbox.clone(), proposal));
        }
        WorkerMessage::Hello { .. } | WorkerMessage::Prove { .. } => return Err(SessionError::Message),
    }
    Ok(())
}

/// A segment that a worker proposes.
struct Proposal {
    terms: SegmentTerms,
    jobs: Vec<JobId>,
    signature: Signature,
    planted: Option<Planting>,
}

async fn sign(hub: Arc<Hub>, worker: NodeId, outbox: mpsc::Sender<GatewayMessage>, proposal: Proposal) {
    let (signing, terms) = (Arc::clone(&hub), proposal.terms);
    let outcome = tokio::task::spawn_blocking(move || {
        let Proposal { terms, jobs, signature, planted } = proposal;
        signing.sign_segment(worker, &terms, &jobs, &signature, planted.as_ref())
    })
    .await;
    let (lease, index) = (terms.lease, terms.index);
    let answer = match outcome {
        Ok(Ok(signature)) => GatewayMessage::SegmentSigned { lease, index, signature },
        Ok(Err(NotSigned::Refused(refusal))) => {
            GatewayMessage::SegmentRefused { lease, index, undelivered: refusal.undelivered, reason: refusal.reason }
        }
        // The gateway is failing: a refusal would cost the worker what it did; it proposes again
        // when the gateway is back.
        Ok(Err(NotSigned::Store(error))) => {
            hub.must::<()>(Err(error));
            return;
        }
        Err(error) => {
            error!(%worker, %lease, index, %error, "signing a segment failed");
            return;
        }
    };
    // A broken session proposes again when it is back.
    let _ = outbox.send(answer).await;
}

#[cfg(test)]
mod tests;
