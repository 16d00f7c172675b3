//! The other end of a worker's connection.

use crate::hub::{Hub, NotSigned};
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use inferium_types::{
    JobId, NodeId, SegmentTerms, Signature, decode, encode,
    wire::{GatewayMessage, SessionHello, WorkerMessage},
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, info};

/// Messages that wait for the socket before a lease counts as busy.
const OUTBOX_SIZE: usize = 1_024;
/// Time for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves one connection until it breaks.
pub(crate) async fn serve(hub: Arc<Hub>, mut socket: WebSocket) {
    let worker = match tokio::time::timeout(HANDSHAKE, handshake(&hub, &mut socket)).await {
        Ok(Some(worker)) => worker,
        Ok(None) | Err(_) => {
            debug!("a worker's handshake failed");
            return;
        }
    };
    info!(%worker, "worker connected");
    let (outbox, mut outgoing) = mpsc::channel::<GatewayMessage>(OUTBOX_SIZE);
    let (mut sink, mut source) = socket.split();
    let write = async {
        while let Some(message) = outgoing.recv().await {
            if sink.feed(binary(&message)).await.is_err() {
                return;
            }
            // What is ready now goes out in one write.
            while let Ok(more) = outgoing.try_recv() {
                if sink.feed(binary(&more)).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    };
    let read = async {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(bytes) = message else { continue };
            let Ok(message) = decode::<WorkerMessage>(&bytes) else { return };
            receive(&hub, worker, &outbox, message).await;
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    info!(%worker, "worker disconnected");
    hub.session_lost(worker, &outbox);
}

fn binary(message: &GatewayMessage) -> Message {
    Message::Binary(Bytes::from(encode(message)))
}

/// Both sides prove their keys; only workers that hold a lease get in.
async fn handshake(hub: &Hub, socket: &mut WebSocket) -> Option<NodeId> {
    let WorkerMessage::Hello { worker, nonce: worker_nonce } = next(socket).await? else { return None };
    let (gateway, gateway_nonce) = (hub.node(), rand::random());
    let hello = SessionHello { worker, worker_nonce, gateway, gateway_nonce };
    let answer = GatewayMessage::Hello { gateway, nonce: gateway_nonce, signature: hello.sign(&hub.key) };
    socket.send(binary(&answer)).await.ok()?;
    let WorkerMessage::Prove { signature } = next(socket).await? else { return None };
    if !hello.verify(&worker, &signature) || !hub.knows_worker(worker) {
        return None;
    }
    socket.send(binary(&GatewayMessage::Welcome)).await.ok()?;
    Some(worker)
}

async fn next(socket: &mut WebSocket) -> Option<WorkerMessage> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Binary(bytes) => return decode(&bytes).ok(),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(_) | Message::Close(_) => return None,
        }
    }
}

async fn receive(hub: &Arc<Hub>, worker: NodeId, outbox: &mpsc::Sender<GatewayMessage>, message: WorkerMessage) {
    match message {
        WorkerMessage::LeaseReady { lease, vrf_proof, sequence_from } => {
            hub.lease_ready(worker, lease, &vrf_proof, sequence_from, outbox);
        }
        WorkerMessage::Delta { job, tokens, text } => hub.delta(worker, job, &tokens, text),
        WorkerMessage::Finished { job, result, output_salt } => hub.finished(worker, job, result, output_salt).await,
        WorkerMessage::Refused { job, reason } => hub.refused(worker, job, &reason),
        WorkerMessage::Segment { terms, jobs, signature } => {
            // Signing waits for the disk; other messages must not.
            tokio::spawn(sign(Arc::clone(hub), worker, outbox.clone(), terms, jobs, signature));
        }
        WorkerMessage::Hello { .. } | WorkerMessage::Prove { .. } => {}
    }
}

async fn sign(
    hub: Arc<Hub>,
    worker: NodeId,
    outbox: mpsc::Sender<GatewayMessage>,
    terms: SegmentTerms,
    jobs: Vec<JobId>,
    signature: Signature,
) {
    let signing = Arc::clone(&hub);
    let outcome = tokio::task::spawn_blocking(move || signing.sign_segment(worker, &terms, &jobs, &signature)).await;
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
        Err(_) => return,
    };
    // A broken session proposes again when it is back.
    let _ = outbox.send(answer).await;
}
