//! Entries of the ledger's state as values, read with patience.

use crate::light::{GetError, LightClient};
use borsh::BorshDeserialize;
use futures::{Stream, StreamExt as _};
use inferium_ledger::{Account, Node, StateKey, state_key};
use inferium_types::{NodeId, NodeRole, SignedTransaction, Transaction};
use std::{future::Future, time::Duration};

/// How often an entry is asked for, and after how long again.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// How long other validators may take for an answer that may be newer than the first.
const NEWEST_WAIT: Duration = Duration::from_secs(1);

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

    /// [`Self::entry`] after the newest block that any validator proves, so that what another process saw in a final block is in it.
    /// All are asked; once one has answered, the others have a moment more.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub async fn newest_entry<T: BorshDeserialize>(&self, key: &StateKey) -> Result<Option<T>, GetError> {
        let key = state_key(key);
        decoded(patiently(|| newest(self.get_of_all(&key))).await?)
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

/// The answer after the highest block, of those that come in time.
async fn newest<T>(answers: impl Stream<Item = Result<(u64, T), GetError>>) -> Result<T, GetError> {
    let mut answers = std::pin::pin!(answers);
    let mut found: Result<(u64, T), GetError> = Err(GetError { reason: "there is no validator to ask".to_owned() });
    while found.is_err() {
        match answers.next().await {
            Some(answer) => found = answer,
            None => break,
        }
    }
    let (mut height, mut value) = found?;
    let later = async {
        while let Some(answer) = answers.next().await {
            if let Ok((other, told)) = answer
                && other > height
            {
                (height, value) = (other, told);
            }
        }
    };
    // Who is slow or away holds nobody up.
    let _ = tokio::time::timeout(NEWEST_WAIT, later).await;
    Ok(value)
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
