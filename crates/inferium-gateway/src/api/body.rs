//! Bodies that are refused before their end.
//!
//! A connection is closed when an answer is sent while its request still comes, and a client that is busy sending sees a broken pipe, not
//! the answer. So what is left of a body that nobody wants is read, and thrown away.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures::{Stream, StreamExt as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes up to which a body is with its request, or in what a connection holds.
const SMALL: u64 = 64 * 1024;
/// Bytes that are read for nothing at most, and for how long.
const REST_MAX: usize = 64 * 1024 * 1024;
const REST_FOR: Duration = Duration::from_secs(10);

/// The request, with a body that is read to its end whatever becomes of it.
pub(super) fn to_its_end(request: Request) -> Request {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_small = length.map_or(!request.headers().contains_key(header::TRANSFER_ENCODING), |length| length <= SMALL);
    if is_small {
        return request;
    }
    request.map(|body| Body::from_stream(ToItsEnd(Some(body.into_data_stream()))))
}

/// A body; none after its end.
struct ToItsEnd(Option<BodyDataStream>);

impl Stream for ToItsEnd {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(context);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.0 = None;
        }
        polled
    }
}

impl Drop for ToItsEnd {
    fn drop(&mut self) {
        let (Some(body), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(tokio::time::timeout(REST_FOR, drain(body)));
    }
}

async fn drain(mut body: BodyDataStream) {
    let mut left = REST_MAX;
    while let Some(Ok(bytes)) = body.next().await {
        let Some(less) = left.checked_sub(bytes.len()) else { return };
        left = less;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::{Router, routing::post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A client that writes all of its request before it reads a byte.
    async fn asked(size: usize) -> String {
        let refuse = post(|| async { StatusCode::PAYLOAD_TOO_LARGE });
        let layer = axum::middleware::from_fn(|request: Request, next: axum::middleware::Next| async move {
            next.run(to_its_end(request)).await
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", refuse).layer(layer)).await });
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..size / 1024 {
            connection.write_all(&[b' '; 1024]).await.unwrap();
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn who_sends_what_nobody_reads_gets_the_answer_nevertheless() {
        for size in [32 * 1024, 32 * 1024 * 1024] {
            assert!(asked(size).await.starts_with("HTTP/1.1 413"), "{size} bytes");
        }
    }
}
