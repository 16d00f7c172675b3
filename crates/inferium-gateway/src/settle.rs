//! Brings clients' payments to the chain: each is sent at once, and again until it is decided.
//!
//! A payment ends in one of three ways. The chain's follower meets its block; all validators refuse it, so that none holds it; or its sender's nonce
//! is proven to be used by a block that was followed without it. Whatever is less sure is sent again, also by the next run of the gateway.

use crate::hub::{Hub, Settled};
use crate::store::StoreError;
use inferium_chain::{GetError, LightClient, PostError};
use inferium_types::{SignedTransaction, TransactionId};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info};

/// Wait before a payment is sent again for the first time; each later wait is twice as long.
const RESEND_WAIT: Duration = Duration::from_secs(2);
/// The longest of these.
const RESEND_WAIT_MAX: Duration = Duration::from_secs(60);

/// What payments need of a chain.
pub(crate) trait Chain: Clone + Send + Sync + 'static {
    /// Hands a transaction to every validator.
    fn submit(&self, signed: &SignedTransaction) -> impl Future<Output = Result<TransactionId, PostError>> + Send;

    /// Height of a final block by which the transaction's nonce is used, as proven.
    fn nonce_used_at(&self, signed: &SignedTransaction) -> impl Future<Output = Result<Option<u64>, GetError>> + Send;
}

impl Chain for LightClient {
    async fn submit(&self, signed: &SignedTransaction) -> Result<TransactionId, PostError> {
        self.submit_to_all(signed).await
    }

    async fn nonce_used_at(&self, signed: &SignedTransaction) -> Result<Option<u64>, GetError> {
        LightClient::nonce_used_at(self, signed).await
    }
}

/// Sends what comes out of `payments`, side by side, until it is decided. Ends when the disk fails.
pub(crate) async fn settle(
    hub: Arc<Hub>,
    chain: impl Chain,
    mut payments: mpsc::UnboundedReceiver<TransactionId>,
) -> Result<(), StoreError> {
    // As many as are under way, which the hub bounds.
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            Some(id) = payments.recv() => {
                sending.spawn(pursue(Arc::clone(&hub), chain.clone(), id));
            }
            Some(ended) = sending.join_next() => ended.unwrap_or_else(|error| Err(StoreError::new(error)))?,
            else => return Ok(()),
        }
    }
}

/// Sends one payment until it is decided.
async fn pursue(hub: Arc<Hub>, chain: impl Chain, id: TransactionId) -> Result<(), StoreError> {
    let Some((signed, mut settled)) = hub.pending_payment(id) else { return Ok(()) };
    let mut followed = hub.followed();
    let mut wait = RESEND_WAIT;
    loop {
        let used_at = match chain.submit(&signed).await {
            Ok(_) => None,
            Err(PostError::Refused { code, message, is_unanimous: true }) if is_final(&code) => {
                info!(payment = %id, code, "all validators refuse a client's payment");
                return hub.refuse_payment(id, format!("validators refuse this payment: {message}")).await;
            }
            Err(error) => {
                debug!(payment = %id, %error, "no validator took a client's payment");
                // Who proves nothing now is asked again.
                chain.nonce_used_at(&signed).await.ok().flatten()
            }
        };
        let is_void = tokio::select! {
            () = decided(&mut settled) => return Ok(()),
            () = passed(&mut followed, used_at) => true,
            () = tokio::time::sleep(wait) => false,
        };
        if is_void {
            let nonce = signed.transaction.nonce;
            info!(payment = %id, nonce, "a client's payment is in no block, and can't be any more");
            let reason = "its nonce is used: by another transaction, or by this one before the gateway was shown it";
            return hub.refuse_payment(id, format!("this payment can be in no block any more: {reason}")).await;
        }
        wait = wait.saturating_mul(2).min(RESEND_WAIT_MAX);
    }
}

async fn decided(settled: &mut watch::Receiver<Option<Settled>>) {
    // Its sender goes when the payment is decided.
    let _ = settled.wait_for(Option::is_some).await;
}

/// Resolves once the payments of the block at `height` are settled; never without a height.
async fn passed(followed: &mut watch::Receiver<u64>, height: Option<u64>) {
    let Some(height) = height else { return std::future::pending().await };
    if followed.wait_for(|followed| *followed >= height).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// True for refusals that say of a transaction that the validator does not hold it, nor will before it is shown again. A nonce that is used says
/// less: its block may be on its way here. What says something of the validator alone says nothing of the transaction.
fn is_final(code: &str) -> bool {
    matches!(code, "fee_unpayable" | "nonce_occupied" | "nonce_too_high" | "rejected" | "signature" | "too_large")
}

#[cfg(test)]
mod tests;
