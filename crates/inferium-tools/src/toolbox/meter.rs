//! How much a server has sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// What a server may still send, in bytes: shared by who reads and who asks.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    left: Arc<AtomicU64>,
    max: u64,
}

impl Allowance {
    pub(super) fn new(max: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(max)), max }
    }

    /// Begins a new answer.
    pub(super) fn renew(&self) {
        self.left.store(self.max, Ordering::Relaxed);
    }

    /// True if the server has sent more than it may; what came after it was not kept.
    pub(super) fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn take(&self, bytes: u64) -> bool {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        taken.is_ok_and(|left| left > bytes)
    }
}

/// What a server sends, for as long as its allowance lasts; then the stream is at its end.
pub(super) struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

impl<R> Metered<R> {
    pub(super) fn new(inner: R, allowance: Allowance) -> Self {
        Self { inner, allowance }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        if read > 0 && !self.allowance.take(u64::try_from(read).unwrap_or(u64::MAX)) {
            buffer.set_filled(before);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Metered};
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_stream_ends_where_its_allowance_does() {
        let allowance = Allowance::new(8);
        let mut metered = Metered::new(&b"0123456789"[..], allowance.clone());
        let mut first = [0; 4];
        metered.read_exact(&mut first).await.unwrap();
        assert!(!allowance.is_used_up());
        let mut rest = Vec::new();
        assert_eq!(metered.read_to_end(&mut rest).await.unwrap(), 0, "the rest is more than is left");
        assert!(allowance.is_used_up());
    }

    #[tokio::test]
    async fn each_answer_has_the_allowance_for_itself() {
        let allowance = Allowance::new(8);
        let mut metered = Metered::new(&b"0123456789"[..], allowance.clone());
        let mut half = [0; 5];
        for expected in [b"01234", b"56789"] {
            allowance.renew();
            metered.read_exact(&mut half).await.unwrap();
            assert_eq!(&half, expected);
        }
    }
}
