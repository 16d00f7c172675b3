//! `GET /api/v1/events`: the live head as server-sent events.

use crate::WebState;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use inferium_types::Event;
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// After so much silence a comment shows that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Each final block as an event `block`, from now on. A reader that is too slow misses blocks and sees by their heights.
pub(crate) async fn stream(State(state): State<WebState>) -> Response {
    let news = state.index.news();
    let body = futures::stream::unfold(news, |mut news| async move {
        let bytes = next(&mut news).await?;
        Some((Ok::<_, Infallible>(bytes), news))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn next(news: &mut Receiver<crate::index::News>) -> Option<Bytes> {
    loop {
        match tokio::time::timeout(KEEP_ALIVE, news.recv()).await {
            Err(_) => return Some(Bytes::from_static(b": alive\n\n")),
            Ok(Ok(news)) => return Some(Bytes::from(format!("event: block\ndata: {}\n\n", as_json(&news.block)))),
            Ok(Err(RecvError::Lagged(_))) => {}
            Ok(Err(RecvError::Closed)) => return None,
        }
    }
}

fn as_json(block: &crate::index::Block) -> Value {
    let segments = block.events.iter().filter_map(|event| match event {
        Event::SegmentCommitted { segment, .. } => Some((segment, "committed")),
        Event::CommitteeDrawn { segment, .. } => Some((segment, "checking")),
        Event::RevealsOpened { segment, .. } => Some((segment, "revealing")),
        Event::SegmentApproved(outcome) => Some((&outcome.segment, if outcome.settled { "settled" } else { "final" })),
        Event::SegmentRejected { segment, .. } => Some((segment, "rejected")),
        _ => None,
    });
    json!({
        "height": block.header.height,
        "digest": block.digest.to_string(),
        "timestamp_ms": block.header.timestamp_ms,
        "proposer": block.header.proposer.to_string(),
        "transactions": block.transactions.len(),
        "events": block.events.len(),
        "segments": segments.map(|(segment, state)| json!({"segment": segment.to_string(), "state": state})).collect::<Vec<_>>(),
    })
}
