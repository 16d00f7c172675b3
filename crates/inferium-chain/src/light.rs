//! The light client: follows the group's certificates and believes no RPC (SPEC C2).
//!
//! It may ask any validator; what it gets is checked against the group key, or thrown away and
//! asked for elsewhere. A validator can withhold blocks from it, never change them.

use crate::{
    bundle::{BlockBundle, Certified, Continue, InvalidBundle, InvalidStateProof, StateProof, verify_blocks},
    rpc::{ErrorBody, HeadBody, PAGE_BLOCKS_MAX, StatusBody},
};
use futures::{Stream, stream::FuturesUnordered};
use inferium_types::{
    Certificate, Digest, Event, Header, MerklePath, NetworkKey, SignedTransaction, TransactionId, merkle_path,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Verified blocks kept for subscribers that are a little behind.
const RECENT_MAX: usize = 256;
/// Bytes of their transactions at most, the newest block's aside.
const RECENT_SIZE_MAX: usize = 16 * 1024 * 1024;
/// Blocks that a subscriber may leave unread before its feed waits.
const SUBSCRIPTION_SIZE: usize = 64;
/// Bytes of one answer that are read.
const ANSWER_SIZE_MAX: usize = 8 * 1024 * 1024;
/// How long a poll for new blocks stays open.
const POLL_WAIT: Duration = Duration::from_secs(6);
/// Time for any other request, and for a poll beyond its wait. Longer than a validator waits for
/// the certificate behind a state proof.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// Pause after a URL failed, before the next is asked.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why no light client could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No URL to ask.
    #[error("there is no validator to ask")]
    NoUrls,
    /// The HTTP client can't be made.
    #[error("http client: {0}")]
    Http(#[from] reqwest::Error),
    /// Nobody gave a valid block in time.
    #[error("no validator gave a valid block: {reason}")]
    NoBlock {
        /// What was met last.
        reason: String,
    },
}

/// Why an entry could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no validator gave a valid proof: {reason}")]
pub struct GetError {
    /// What was met last.
    pub reason: String,
}

/// Why a transaction was not taken by any validator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// Every validator that answered refused it.
    #[error("{message}")]
    Refused {
        /// For programs: `nonce_too_low`, `nonce_too_high`, `nonce_occupied`, `fee_unpayable`, ...
        code: String,
        /// For people.
        message: String,
        /// True when no validator was out of reach, and each refused it with this code: none holds it.
        is_unanimous: bool,
    },
    /// Nobody answered.
    #[error("no validator answered: {reason}")]
    Unreachable {
        /// What was met last.
        reason: String,
    },
}

/// Where a transaction stands, as validators say. Not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionStatus {
    /// It waits for a block.
    Waiting,
    /// A proposer dropped it.
    Rejected {
        /// Why.
        reason: String,
    },
    /// Nobody knows it: it is in a block, or lost.
    Unknown,
}

/// A final block, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlock {
    /// Its header.
    pub header: Header,
    /// Its digest.
    pub digest: Digest,
    /// What it decided.
    pub events: Vec<Event>,
    /// The names of the transactions in it.
    pub transactions: Vec<TransactionId>,
    /// The transactions themselves, in the same order.
    pub signed: Vec<SignedTransaction>,
    /// Why it is final.
    pub certified: Certified,
}

/// What ties one event to the group key, as receipts hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    /// From the event to the block's receipts root.
    pub path: MerklePath,
    /// The block's header, and its descendants up to the certified one.
    pub headers: Vec<Header>,
    /// Certificate of the last header.
    pub certificate: Certificate,
}

impl VerifiedBlock {
    /// The proof of event `position`; `None` when there is no such event.
    #[must_use]
    pub fn event_proof(&self, position: usize) -> Option<EventProof> {
        let leaves: Vec<Digest> = self.events.iter().map(Event::hash).collect();
        let path = merkle_path(&leaves, position)?;
        let headers = std::iter::once(&self.header).chain(&self.certified.descendants).cloned().collect();
        Some(EventProof { path, headers, certificate: self.certified.certificate })
    }
}

/// A light client. Clones share its follower, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct LightClient {
    inner: Arc<Inner>,
    _follower: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Inner {
    network: NetworkKey,
    urls: Vec<String>,
    preferred: AtomicUsize,
    http: reqwest::Client,
    recent: Mutex<VecDeque<Arc<VerifiedBlock>>>,
    head: watch::Sender<Option<Arc<VerifiedBlock>>>,
    /// Why the follower left a validator last.
    failure: Mutex<Option<String>>,
}

/// Why one URL's answer is of no use.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer is too large")]
    TooLarge,
    #[error("{0}")]
    Encoding(#[from] inferium_types::InvalidEncoding),
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("a lie: {0}")]
    Bundle(#[from] InvalidBundle),
    #[error("a lie: {0}")]
    Proof(#[from] InvalidStateProof),
    #[error("no new block")]
    Stalled,
}

impl LightClient {
    /// Follows the network from its present head on, by the validators at `urls`; returns with the
    /// first verified block.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(network: NetworkKey, urls: Vec<String>) -> Result<Self, ConnectError> {
        if urls.is_empty() {
            return Err(ConnectError::NoUrls);
        }
        let urls = urls.into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        let http = reqwest::Client::builder().timeout(POLL_WAIT + REQUEST_TIMEOUT).build()?;
        let inner = Arc::new(Inner {
            network,
            urls,
            preferred: AtomicUsize::new(0),
            http,
            recent: Mutex::new(VecDeque::with_capacity(RECENT_MAX)),
            head: watch::Sender::new(None),
            failure: Mutex::new(None),
        });
        let follower = tokio::spawn({
            let inner = Arc::clone(&inner);
            async move { inner.follow().await }
        });
        let client = Self { inner, _follower: Arc::new(AbortOnDrop(follower)) };
        let mut head = client.inner.head.subscribe();
        match tokio::time::timeout(REQUEST_TIMEOUT, head.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(ConnectError::NoBlock { reason: client.inner.last_failure() }),
        }
        Ok(client)
    }

    /// The network.
    #[must_use]
    pub fn network_key(&self) -> NetworkKey {
        self.inner.network
    }

    /// The validators that are asked, without a slash at their end.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.inner.urls
    }

    /// The highest verified block, and news of it. Always holds one once connected.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Option<Arc<VerifiedBlock>>> {
        self.inner.head.subscribe()
    }

    /// Height of the highest verified block.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.inner.head.borrow().as_ref().map_or(0, |block| block.header.height)
    }

    /// Every verified block after the present head, in order and without gaps.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::Receiver<Arc<VerifiedBlock>> {
        self.subscribe_from(self.height().saturating_add(1))
    }

    /// Every verified block from `height` on, in order and without gaps, however slowly it is
    /// read. Ends when the client is dropped, or when no validator keeps the block any more.
    #[must_use]
    pub fn subscribe_from(&self, height: u64) -> mpsc::Receiver<Arc<VerifiedBlock>> {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_SIZE);
        let inner = Arc::downgrade(&self.inner);
        let head = self.inner.head.subscribe();
        tokio::spawn(feed(inner, head, height, sender));
        receiver
    }

    /// The value of a state entry in a final block not below the client's head, proven.
    ///
    /// # Errors
    /// [`GetError`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, GetError> {
        self.inner.get(key).await.map(|(_, value)| value)
    }

    /// The answers of all validators to [`Self::get`], each with the height of the block after which it holds, as they come.
    pub(crate) fn get_of_all<'a>(
        &'a self,
        key: &'a [u8],
    ) -> impl Stream<Item = Result<(u64, Option<Vec<u8>>), GetError>> + 'a {
        self.inner.get_of_all(key)
    }

    /// [`Self::get`], with the height of the block after which it holds.
    pub(crate) async fn get_with_height(&self, key: &[u8]) -> Result<(u64, Option<Vec<u8>>), GetError> {
        self.inner.get(key).await
    }

    /// Hands a transaction to validators until one takes it.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<TransactionId, PostError> {
        self.inner.submit(transaction, false).await
    }

    /// Hands a transaction to every validator, since one may withhold it.
    ///
    /// # Errors
    /// [`PostError`] when none took it.
    pub async fn submit_to_all(&self, transaction: &SignedTransaction) -> Result<TransactionId, PostError> {
        self.inner.submit(transaction, true).await
    }

    /// Where a transaction stands, as the first validator that knows it says.
    pub async fn status(&self, transaction: TransactionId) -> TransactionStatus {
        self.inner.status(transaction).await
    }
}

/// What became of a transaction that no validator took. A refusal says more than a broken connection.
fn failure(mut refusals: Vec<(String, String)>, unreachable: Option<String>) -> PostError {
    let Some((code, message)) = refusals.pop() else {
        let reason = unreachable.unwrap_or_else(|| "there is no validator to ask".into());
        return PostError::Unreachable { reason };
    };
    let is_unanimous = unreachable.is_none() && refusals.iter().all(|(other, _)| *other == code);
    PostError::Refused { code, message, is_unanimous }
}

/// How many of the newest blocks stay in memory.
fn kept(recent: &VecDeque<Arc<VerifiedBlock>>) -> usize {
    let mut size = 0_usize;
    let fits = |block: &&Arc<VerifiedBlock>| {
        let transactions = block.signed.iter().map(|signed| borsh::object_length(signed).unwrap_or(RECENT_SIZE_MAX));
        size = transactions.fold(size, usize::saturating_add);
        size <= RECENT_SIZE_MAX
    };
    recent.iter().rev().take(RECENT_MAX).take_while(fits).count().max(1)
}

/// Sends one subscriber its blocks: from memory where possible, from validators where not.
async fn feed(
    inner: std::sync::Weak<Inner>,
    mut head: watch::Receiver<Option<Arc<VerifiedBlock>>>,
    mut height: u64,
    sender: mpsc::Sender<Arc<VerifiedBlock>>,
) {
    loop {
        let blocks = {
            let Some(inner) = inner.upgrade() else { return };
            let highest = head.borrow_and_update().as_ref().map_or(0, |block| block.header.height);
            if highest < height {
                Vec::new()
            } else {
                match inner.recent_from(height) {
                    Some(blocks) => blocks,
                    None => match inner.fetch_old(height).await {
                        Ok(blocks) => blocks,
                        Err(error) => {
                            tracing::warn!(%error, height, "a subscriber is behind what validators keep");
                            return;
                        }
                    },
                }
            }
        };
        if blocks.is_empty() {
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
        for block in blocks {
            height = block.header.height.saturating_add(1);
            if sender.send(block).await.is_err() {
                return;
            }
        }
    }
}

impl Inner {
    fn urls_in_order(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.urls.len();
        (0..count).filter_map(move |step| {
            let position = first.wrapping_add(step) % count;
            self.urls.get(position).map(|url| (position, url.as_str()))
        })
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, AskError> {
        let mut response = request.send().await?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_SIZE_MAX {
                return Err(AskError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(bytes);
        }
        Err(match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => AskError::Refused { code: body.error.code, message: body.error.message },
            Err(_) => AskError::Refused { code: status.as_u16().to_string(), message: "no reason given".into() },
        })
    }

    fn last_failure(&self) -> String {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().unwrap_or_else(|| "timed out".into())
    }

    /// Follows the chain for ever, from the head that some validator names.
    async fn follow(&self) {
        let mut next: Option<Continue> = None;
        loop {
            let url = self.urls_in_order().next().map(|(_, url)| url.to_owned()).unwrap_or_default();
            match self.follow_once(&url, next).await {
                Ok(after) => next = Some(after),
                Err(error) => {
                    tracing::debug!(url, %error, "asking the next validator");
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{url}: {error}"));
                    self.preferred.fetch_add(1, Ordering::Relaxed);
                    // Nothing was verified yet: the head that this one named may be a lie, too.
                    if next.is_some_and(|next| next.parent.is_none()) {
                        next = None;
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn follow_once(&self, url: &str, next: Option<Continue>) -> Result<Continue, AskError> {
        let next = match next {
            Some(next) => next,
            None => {
                let bytes = self.ask(self.http.get(format!("{url}/rpc/v1/head")).timeout(REQUEST_TIMEOUT)).await?;
                let head: HeadBody = serde_json::from_slice(&bytes)
                    .map_err(|error| inferium_types::InvalidEncoding { reason: error.to_string() })?;
                return Ok(Continue { height: head.height.max(1), parent: None });
            }
        };
        let blocks = self.fetch(url, next, POLL_WAIT).await?;
        let Some(last) = blocks.last() else { return Err(AskError::Stalled) };
        let after = Continue { height: last.header.height.saturating_add(1), parent: Some(last.digest) };
        let last = Arc::clone(last);
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.extend(blocks);
            let surplus = recent.len().saturating_sub(kept(&recent));
            recent.drain(..surplus);
        }
        self.head.send_replace(Some(last));
        Ok(after)
    }

    /// Asks one validator for blocks and checks them.
    async fn fetch(&self, url: &str, after: Continue, wait: Duration) -> Result<Vec<Arc<VerifiedBlock>>, AskError> {
        let query = [
            ("from", after.height.to_string()),
            ("limit", PAGE_BLOCKS_MAX.to_string()),
            ("wait_ms", wait.as_millis().to_string()),
            ("body", "true".to_owned()),
        ];
        let request = self.http.get(format!("{url}/rpc/v1/blocks")).query(&query).timeout(wait + REQUEST_TIMEOUT);
        let bundles: Vec<BlockBundle> = inferium_types::decode(&self.ask(request).await?)?;
        if let Some(bare) = bundles.iter().find(|bundle| bundle.body.is_none()) {
            return Err(InvalidBundle::Body { height: bare.header.height }.into());
        }
        let verified = verify_blocks(&self.network, after, bundles)?;
        Ok(verified
            .into_iter()
            .map(|(bundle, digest, certified)| {
                let signed = bundle.body.map(|body| body.transactions).unwrap_or_default();
                Arc::new(VerifiedBlock {
                    transactions: signed.iter().map(SignedTransaction::id).collect(),
                    signed,
                    header: bundle.header,
                    digest,
                    events: bundle.events,
                    certified,
                })
            })
            .collect())
    }

    /// Blocks from `height` on that are in memory; `None` when the first of them is not.
    fn recent_from(&self, height: u64) -> Option<Vec<Arc<VerifiedBlock>>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.front()?.header.height > height {
            return None;
        }
        Some(recent.iter().filter(|block| block.header.height >= height).cloned().collect())
    }

    /// Blocks from `height` on that are not in memory any more.
    async fn fetch_old(&self, height: u64) -> Result<Vec<Arc<VerifiedBlock>>, AskError> {
        let mut last = AskError::Stalled;
        for (_, url) in self.urls_in_order() {
            match self.fetch(url, Continue { height, parent: None }, Duration::ZERO).await {
                Ok(blocks) if !blocks.is_empty() => return Ok(blocks),
                Ok(_) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn get(&self, key: &[u8]) -> Result<(u64, Option<Vec<u8>>), GetError> {
        let known = self.known();
        let mut reason = String::new();
        for (_, url) in self.urls_in_order() {
            match self.get_from(url, key, known).await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::debug!(url, %error, "no state proof");
                    reason = error.to_string();
                }
            }
        }
        Err(GetError { reason })
    }

    fn get_of_all<'a>(&'a self, key: &'a [u8]) -> impl Stream<Item = Result<(u64, Option<Vec<u8>>), GetError>> + 'a {
        let known = self.known();
        let ask = move |url: &'a str| async move {
            self.get_from(url, key, known).await.map_err(|error| GetError { reason: error.to_string() })
        };
        self.urls_in_order().map(|(_, url)| ask(url)).collect::<FuturesUnordered<_>>()
    }

    /// Height below which nothing is believed.
    fn known(&self) -> u64 {
        self.head.borrow().as_ref().map_or(1, |block| block.header.height)
    }

    async fn get_from(&self, url: &str, key: &[u8], known: u64) -> Result<(u64, Option<Vec<u8>>), AskError> {
        let query = [("key", hex::encode(key)), ("min_height", known.to_string())];
        let request = self.http.get(format!("{url}/rpc/v1/state")).query(&query).timeout(REQUEST_TIMEOUT);
        let proof: StateProof = inferium_types::decode(&self.ask(request).await?)?;
        proof.verify(&self.network, key, known)?;
        Ok((proof.header.height, proof.value))
    }

    async fn submit(&self, transaction: &SignedTransaction, to_all: bool) -> Result<TransactionId, PostError> {
        let bytes = inferium_types::encode(transaction);
        let mut taken = None;
        let mut refusals: Vec<(String, String)> = Vec::new();
        let mut unreachable: Option<String> = None;
        for (_, url) in self.urls_in_order() {
            let request = self.http.post(format!("{url}/rpc/v1/transactions")).body(bytes.clone());
            match self.ask(request.timeout(REQUEST_TIMEOUT)).await {
                Ok(_) => {
                    taken = Some(transaction.id());
                    if !to_all {
                        break;
                    }
                }
                Err(AskError::Refused { code, message }) => refusals.push((code, message)),
                // It may hold the transaction all the same.
                Err(error) => unreachable = Some(error.to_string()),
            }
        }
        taken.ok_or_else(|| failure(refusals, unreachable))
    }

    async fn status(&self, transaction: TransactionId) -> TransactionStatus {
        let mut rejected = None;
        for (_, url) in self.urls_in_order() {
            let request = self.http.get(format!("{url}/rpc/v1/transactions/{transaction}")).timeout(REQUEST_TIMEOUT);
            let Ok(bytes) = self.ask(request).await else { continue };
            let Ok(body) = serde_json::from_slice::<StatusBody>(&bytes) else { continue };
            match body.status.as_str() {
                "waiting" => return TransactionStatus::Waiting,
                "rejected" => rejected = body.reason,
                _ => {}
            }
        }
        match rejected {
            Some(reason) => TransactionStatus::Rejected { reason },
            None => TransactionStatus::Unknown,
        }
    }
}
