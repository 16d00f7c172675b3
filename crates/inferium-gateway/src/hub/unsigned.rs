//! Keeping finished jobs until a signed segment holds them: a gateway that is killed must still
//! know what it delivered, or it would refuse to sign, and the worker would not be paid.

use super::Hub;
use crate::store::UnsignedRecord;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Jobs of one write.
const BATCH_MAX: usize = 1_024;
/// Pause after a write, in which more gathers: at most this much is lost by a crash, and a busy
/// gateway does not sync its disk for every job.
const GATHER: Duration = Duration::from_millis(20);

/// Writes finished jobs, many at once, until `stop` turns true; then what is left.
pub(crate) async fn keep_unsigned(
    hub: Arc<Hub>,
    mut queue: mpsc::Receiver<UnsignedRecord>,
    mut stop: watch::Receiver<bool>,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = queue.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            // What is in the queue is still received.
            () = stopped(&mut stop), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let records = std::mem::take(&mut batch);
        let outcome = hub.disk(move |hub| hub.store.put_unsigned(&records)).await;
        if hub.must(outcome).is_none() {
            return;
        }
        if !queue.is_closed() {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stopped(&mut stop) => {}
            }
        }
    }
}

/// Returns once `stop` is true, or whoever would say so is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
