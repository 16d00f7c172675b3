//! What runs in the background must not end unseen: the process ends with it, and says why.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Reasons that may wait to be read; the first one ends the process.
const REASONS: usize = 8;

/// Where parts of the process report that they failed. Clones report to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Failing(mpsc::Sender<String>);

/// What failed.
#[derive(Debug)]
pub(crate) struct Failures(tokio::sync::Mutex<mpsc::Receiver<String>>);

pub(crate) fn channel() -> (Failing, Failures) {
    let (failing, failures) = mpsc::channel(REASONS);
    (Failing(failing), Failures(tokio::sync::Mutex::new(failures)))
}

impl Failing {
    /// Waits for a service; its failure, or its panic, becomes the process's.
    pub(crate) fn watch<E: std::fmt::Display + Send + 'static>(
        &self,
        name: String,
        service: JoinHandle<Result<(), E>>,
    ) -> JoinHandle<()> {
        let failing = self.0.clone();
        tokio::spawn(async move {
            let reason = match service.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                // The runtime ends, and everything with it.
                Err(error) if error.is_cancelled() => return,
                Err(error) => error.to_string(),
            };
            // Nobody listens any more when the process ends already.
            let _ = failing.send(format!("{name}: {reason}")).await;
        })
    }

    /// Serves HTTP as long as the process lives.
    pub(crate) fn serve<L>(&self, name: String, listener: L, routes: axum::Router)
    where
        L: axum::serve::Listener,
        L::Addr: std::fmt::Debug,
    {
        let server = tokio::spawn(async move {
            match axum::serve(listener, routes).await {
                Ok(()) => Err("the HTTP server ended".to_owned()),
                Err(error) => Err(format!("the HTTP server ended: {error}")),
            }
        });
        self.watch(name, server);
    }
}

impl Failures {
    /// Resolves with the first failure; never without one.
    pub(crate) async fn first(&self) -> String {
        match self.0.lock().await.recv().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
