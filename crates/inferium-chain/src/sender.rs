//! Sending transactions of one account through a light client: nonces, retries, outcomes.
//!
//! Sends may overlap. Each takes the account's next nonce and waits until a verified block holds
//! its transaction. When a transaction was dropped, its nonce is used again, so that the later
//! ones don't wait for ever: by a new signature over the same body if nothing else stands there.

use crate::light::{GetError, LightClient, PostError, TransactionStatus, VerifiedBlock};
use inferium_ledger::{Account, StateKey};
use inferium_types::{
    AccountId, Amount, Event, SecretKey, SignedTransaction, Transaction, TransactionBody, TransactionId,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};

/// How long a transaction may take altogether.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often validators are asked what became of a transaction that is not in a block yet.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);
/// Conflicting nonces that are met with a new one before giving up.
const NONCE_ATTEMPTS: u32 = 8;

/// A transaction in a final block.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The transaction.
    pub id: TransactionId,
    /// The block.
    pub block: Arc<VerifiedBlock>,
    /// Why it did nothing but cost its fee (SPEC M3), if so.
    pub failure: Option<String>,
}

/// Why a transaction is not in a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Validators refuse it.
    #[error("{message}")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// A proposer dropped it.
    #[error("dropped: {reason}")]
    Dropped {
        /// Why.
        reason: String,
    },
    /// The account's nonce could not be read.
    #[error(transparent)]
    Nonce(#[from] GetError),
    /// Nobody answered.
    #[error("no validator answered: {reason}")]
    Unreachable {
        /// What was met last.
        reason: String,
    },
    /// Another transaction of the account is in a block with its nonce.
    #[error("another transaction of this account has used nonce {nonce}")]
    NonceUsed {
        /// Which.
        nonce: u64,
    },
    /// Not in a block in time. It may still get there.
    #[error("not in a block after {} s", SEND_TIMEOUT.as_secs())]
    Timeout,
    /// The light client ended.
    #[error("the light client ended")]
    Ended,
}

impl From<PostError> for SendError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused { code, message, .. } => Self::Refused { code, message },
            PostError::Unreachable { reason } => Self::Unreachable { reason },
        }
    }
}

/// Nonces of the account, as this sender hands them out.
#[derive(Debug, Default)]
struct Nonces {
    /// The next fresh one; unknown until read from the chain.
    next: Option<u64>,
    /// Lower ones whose transactions were dropped.
    dropped: BTreeSet<u64>,
}

/// Sends transactions of one account. Clones share its nonces; no one else should sign with the
/// key meanwhile.
#[derive(Debug, Clone)]
pub struct Sender {
    client: LightClient,
    key: SecretKey,
    nonces: Arc<Mutex<Nonces>>,
}

/// What became of one attempt.
enum Attempt {
    Done(Result<Sent, SendError>),
    /// Another transaction has the nonce: sign anew with a later one.
    NonceTaken,
}

impl Sender {
    /// A sender for `key`'s account.
    #[must_use]
    pub fn new(client: LightClient, key: SecretKey) -> Self {
        Self { client, key, nonces: Arc::default() }
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.key.public_key()
    }

    /// The nonce that follows those in final blocks.
    async fn read_nonce(&self) -> Result<u64, GetError> {
        // Not with `entry`'s patience: all sends of the account wait behind the lock meanwhile, and
        // each has a deadline of its own.
        let key = StateKey::Account(self.account());
        let (_, account) = self.client.entry_at_once::<Account>(&key).await?;
        Ok(account.unwrap_or_default().nonce)
    }

    /// Signs, submits, and waits until a final block holds the transaction.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, body: TransactionBody) -> Result<Sent, SendError> {
        let deadline = Instant::now() + SEND_TIMEOUT;
        for _ in 0..NONCE_ATTEMPTS {
            match self.attempt(body.clone(), deadline).await {
                Attempt::Done(result) => return result,
                Attempt::NonceTaken => {}
            }
        }
        Err(SendError::Timeout)
    }

    fn sign(&self, nonce: u64, body: TransactionBody) -> SignedTransaction {
        let chain = self.client.network_key().chain;
        Transaction { chain, sender: self.account(), nonce, body }.sign(&self.key)
    }

    async fn attempt(&self, body: TransactionBody, deadline: Instant) -> Attempt {
        // Before it is submitted: the block must not pass by unseen.
        let mut blocks = self.client.subscribe();
        let signed = {
            let mut nonces = self.nonces.lock().await;
            let nonce = match self.take_nonce(&mut nonces).await {
                Ok(nonce) => nonce,
                Err(error) => return Attempt::Done(Err(error.into())),
            };
            let signed = self.sign(nonce, body);
            if let Err(error) = self.client.submit(&signed).await {
                // Read it from the chain again: the account may have moved on elsewhere.
                nonces.next = None;
                nonces.dropped.clear();
                return match error {
                    PostError::Refused { code, .. } if code == "nonce_too_low" || code == "nonce_occupied" => {
                        self.skip_occupied(&mut nonces, nonce, &code).await;
                        Attempt::NonceTaken
                    }
                    error => Attempt::Done(Err(error.into())),
                };
            }
            signed
        };
        self.wait(&signed, &mut blocks, deadline).await
    }

    async fn take_nonce(&self, nonces: &mut Nonces) -> Result<u64, GetError> {
        if let Some(nonce) = nonces.dropped.pop_first() {
            return Ok(nonce);
        }
        let nonce = match nonces.next {
            Some(nonce) => nonce,
            None => self.read_nonce().await?,
        };
        nonces.next = Some(nonce.saturating_add(1));
        Ok(nonce)
    }

    /// A transaction of an earlier life of this sender waits with `nonce`: the next one is free.
    async fn skip_occupied(&self, nonces: &mut Nonces, nonce: u64, code: &str) {
        if code == "nonce_occupied" {
            nonces.next = Some(nonce.saturating_add(1));
        } else {
            // Too low: a block that this client has not seen yet used it.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn wait(
        &self,
        signed: &SignedTransaction,
        blocks: &mut mpsc::Receiver<Arc<VerifiedBlock>>,
        deadline: Instant,
    ) -> Attempt {
        let result = follow(&self.client, signed, blocks, deadline).await;
        match &result {
            Err(SendError::NonceUsed { .. }) => {
                // Read it from the chain again: the account has moved on elsewhere.
                let mut nonces = self.nonces.lock().await;
                nonces.next = None;
                nonces.dropped.clear();
                return Attempt::NonceTaken;
            }
            Err(SendError::Timeout | SendError::Dropped { .. } | SendError::Refused { .. }) => {
                self.give_up(signed).await;
            }
            Ok(_) | Err(SendError::Nonce(_) | SendError::Unreachable { .. } | SendError::Ended) => {}
        }
        Attempt::Done(result)
    }

    /// Frees the nonce of a transaction that was dropped. If later ones wait behind it, a transfer
    /// of nothing takes its place, so that they can go on.
    async fn give_up(&self, signed: &SignedTransaction) {
        let nonce = signed.transaction.nonce;
        let mut nonces = self.nonces.lock().await;
        let Some(next) = nonces.next else { return };
        if next == nonce.saturating_add(1) {
            nonces.next = Some(nonce);
            return;
        }
        let nothing = TransactionBody::Transfer { to: self.account(), amount: Amount::ZERO };
        let filler = self.sign(nonce, nothing);
        if let Err(error) = self.client.submit_to_all(&filler).await {
            tracing::debug!(%error, nonce, "nonce left open");
            if matches!(&error, PostError::Refused { code, .. } if code == "fee_unpayable") {
                nonces.dropped.insert(nonce);
            }
        }
    }
}

/// Submits a transaction exactly as it is signed, and waits until a final block holds it.
///
/// For keys whose owner has read the very transaction: unlike a [`Sender`], this never signs, so a
/// nonce that something else has used meanwhile is an error.
///
/// # Errors
/// [`SendError`].
pub async fn send_signed(client: &LightClient, signed: &SignedTransaction) -> Result<Sent, SendError> {
    let deadline = Instant::now() + SEND_TIMEOUT;
    // Before it is submitted: the block must not pass by unseen.
    let mut blocks = client.subscribe();
    client.submit(signed).await?;
    follow(client, signed, &mut blocks, deadline).await
}

/// Waits until one of `blocks` holds a transaction that was submitted, and submits it again when
/// no validator has it any more.
async fn follow(
    client: &LightClient,
    signed: &SignedTransaction,
    blocks: &mut mpsc::Receiver<Arc<VerifiedBlock>>,
    deadline: Instant,
) -> Result<Sent, SendError> {
    let (id, nonce) = (signed.id(), signed.transaction.nonce);
    let mut seen = 0;
    // The block by which the nonce is used, once that is proven.
    let mut used_at: Option<u64> = None;
    let mut ask_at = Instant::now() + STATUS_INTERVAL;
    loop {
        match tokio::time::timeout_at(ask_at.min(deadline), blocks.recv()).await {
            Ok(Some(block)) if block.transactions.contains(&id) => {
                let failure = failure_of(&block, id);
                return Ok(Sent { id, block, failure });
            }
            Ok(Some(block)) => seen = block.header.height,
            Ok(None) => return Err(SendError::Ended),
            Err(_) if Instant::now() >= deadline => return Err(SendError::Timeout),
            Err(_) => {
                ask_at = Instant::now() + STATUS_INTERVAL;
                match client.status(id).await {
                    TransactionStatus::Waiting => {}
                    TransactionStatus::Rejected { reason } => return Err(SendError::Dropped { reason }),
                    // In a block that is on its way to this client, or withheld by the validator that
                    // took it, or of no use any more.
                    TransactionStatus::Unknown => match client.submit_to_all(signed).await {
                        Ok(_) | Err(PostError::Unreachable { .. }) => {}
                        Err(PostError::Refused { code, .. }) if code == "nonce_too_low" => {
                            // Who answers nothing now is asked again.
                            used_at = used_at.or(client.nonce_used_at(signed).await.ok().flatten());
                        }
                        Err(PostError::Refused { code, .. }) if code == "nonce_occupied" => {}
                        Err(error) => return Err(error.into()),
                    },
                }
            }
        }
        // What used it came by without this one in it.
        if used_at.is_some_and(|height| height <= seen) {
            return Err(SendError::NonceUsed { nonce });
        }
    }
}

/// Why the transaction did nothing, if the block says so.
fn failure_of(block: &VerifiedBlock, id: TransactionId) -> Option<String> {
    block.events.iter().find_map(|event| match event {
        Event::TransactionFailed { transaction, reason } if *transaction == id => Some(reason.clone()),
        _ => None,
    })
}
