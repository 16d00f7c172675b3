//! Entries of the ledger's state as values, read with patience.

use crate::light::{GetError, LightClient};
use borsh::BorshDeserialize;
use inferium_ledger::{Account, Node, StateKey, state_key};
use inferium_types::{NodeId, NodeRole, SignedTransaction, Transaction};
use std::{future::Future, time::Duration};

/// How often an entry is asked for, and after how long again.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

impl LightClient {
    /// A state entry in a final block not below the client's head, proven and decoded. Validators
    /// that don't answer for a moment are asked again: whoever acts on the chain can't do without.
    ///
    /// # Errors
    /// [`GetError`]: nobody gave a proof for a while, or the entry is of another type.
    pub async fn entry<T: BorshDeserialize>(&self, key: &StateKey) -> Result<Option<T>, GetError> {
        let key = state_key(key);
        decoded(patiently(|| self.get(&key)).await?)
    }

    /// [`Self::entry`], asked for once, with the height of the block after which it holds.
    pub(crate) async fn entry_at_once<T: BorshDeserialize>(
        &self,
        key: &StateKey,
    ) -> Result<(u64, Option<T>), GetError> {
        let (height, value) = self.get_with_height(&state_key(key)).await?;
        Ok((height, decoded(value)?))
    }

    /// The height of a final block by which the nonce of `signed` is used, as proven: no later block
    /// holds it. `None` while the nonce is free. Asked for once.
    ///
    /// # Errors
    /// [`GetError`]: nobody gave a proof.
    pub async fn nonce_used_at(&self, signed: &SignedTransaction) -> Result<Option<u64>, GetError> {
        let Transaction { sender, nonce, .. } = &signed.transaction;
        let (height, account) = self.entry_at_once::<Account>(&StateKey::Account(*sender)).await?;
        Ok((account.unwrap_or_default().nonce > *nonce).then_some(height))
    }

    /// Where a validator takes what is due to it, without a slash at its end; `None` for what is
    /// no validator.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub async fn validator_url(&self, validator: &NodeId) -> Result<Option<String>, GetError> {
        let node: Option<Node> = self.entry(&StateKey::Node(*validator)).await?;
        Ok(match node.map(|node| node.role) {
            Some(NodeRole::Validator { url }) => Some(url.trim_end_matches('/').to_owned()),
            Some(NodeRole::Worker { .. } | NodeRole::Gateway { .. }) | None => None,
        })
    }
}

fn decoded<T: BorshDeserialize>(bytes: Option<Vec<u8>>) -> Result<Option<T>, GetError> {
    let decoded = bytes.map(|bytes| inferium_types::decode(&bytes)).transpose();
    decoded.map_err(|error| GetError { reason: error.to_string() })
}

async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, GetError>
where
    F: Future<Output = Result<T, GetError>>,
{
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(error) if attempt < ATTEMPTS => tracing::debug!(%error, "state not read yet"),
            outcome => return outcome,
        }
        attempt += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
