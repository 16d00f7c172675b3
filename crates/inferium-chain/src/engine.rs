//! The wiring of one validator: consensus, block storage, application, mempool gossip.
//!
//! Generic over runtime and network, so that the same wiring runs on the deterministic runtime of
//! simulations. All of the engine's unstable parts are named here, in `application.rs` and in
//! `store.rs`; an upgrade touches those.

use crate::{
    application::{ChainApplication, Marshal},
    block::{BLOCK_SIZE_MAX, Block},
    execution::Core,
    index::IndexError,
    keys::{EngineDigest, EngineKey},
    mempool::Mempool,
    scheme::{Scheme, SeedElector},
    store::{self, Databases, NoStateSync, StoreError},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporter, Reporters,
    marshal::{
        self, Update,
        core::Actor as MarshalActor,
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex::{
        self,
        config::{Floor, ForwardPolicy, SkipPolicy},
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{Digested, Digestible as _, certificate::ConstantProvider};
use commonware_glue::stateful::{
    Config as StatefulConfig, Mailbox as StatefulMailbox, PruneConfig, Stateful, SyncPlan, db::SyncEngineConfig,
};
use commonware_p2p::{Blocker, Provider, Receiver, Recipients, Sender, max_message_size};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Quota, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::{archive::prunable, translator::TwoCap};
use commonware_utils::{NZDuration, NZU16, NZU32, NZU64, NZUsize};
use futures::{FutureExt as _, future::Either};
use inferium_ledger::{CorruptState, InvalidBlock, State};
use inferium_types::{Digest, SignedTransaction};
use rand_core::{CryptoRng, Rng};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// One consensus epoch for ever: the committee of this version does not change.
const EPOCH_LENGTH: NonZeroU64 = NonZeroU64::MAX;
/// Read and write buffers of journals and archives.
const BUFFER_SIZE: NonZeroUsize = NZUsize!(64 * 1024);
/// Messages between the engine's tasks.
const MAILBOX_SIZE: NonZeroUsize = NZUsize!(256);
/// Views kept behind the last final one.
const VIEWS_KEPT: ViewDelta = ViewDelta::new(64);
/// Blocks that the engine keeps for peers that were away. Older ones are in the index.
const ENGINE_BLOCKS_KEPT: usize = 8_192;
/// Bytes of one message of passed-on transactions.
const GOSSIP_SIZE_MAX: usize = 256 * 1024;
/// Transactions in one such message.
const GOSSIP_COUNT_MAX: usize = 512;
/// How often own transactions that still wait are passed on again.
const GOSSIP_AGAIN: Duration = Duration::from_secs(5);

/// The network's channels: identifier, and messages per second from each peer. The network keeps
/// room for a second's burst of each, so these also bound memory.
pub(crate) const CHANNELS: [(u64, Quota); 6] = [
    (VOTES, Quota::per_second(NZU32!(512))),
    (CERTIFICATES, Quota::per_second(NZU32!(256))),
    (CERTIFICATE_FETCH, Quota::per_second(NZU32!(128))),
    (BLOCK_FETCH, Quota::per_second(NZU32!(64))),
    (BLOCKS, Quota::per_second(NZU32!(128))),
    (TRANSACTIONS, Quota::per_second(NZU32!(64))),
];
const VOTES: u64 = 0;
const CERTIFICATES: u64 = 1;
const CERTIFICATE_FETCH: u64 = 2;
const BLOCK_FETCH: u64 = 3;
const BLOCKS: u64 = 4;
const TRANSACTIONS: u64 = 5;

/// Why a validator could not be wired up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("opening block storage: {0}")]
    Archive(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    State(#[from] CorruptState),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Upgrade(#[from] InvalidBlock),
    #[error("a network channel is missing")]
    Channel,
}

/// The largest message that any part sends; the network panics on larger ones.
pub(crate) fn message_size_max(validators: u32) -> u32 {
    max_message_size(&[
        simplex::max_payload_size::<Scheme, EngineDigest>(validators),
        marshal::max_payload_size::<Standard<Block>, Scheme>(validators, &()),
        GOSSIP_SIZE_MAX,
        BLOCK_SIZE_MAX,
    ])
}

/// A question about the store.
pub(crate) struct ProofRequest {
    pub(crate) key: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<ProofReply, StoreError>>,
}

/// Its answer: value and proof under `root`.
pub(crate) struct ProofReply {
    pub(crate) root: Digest,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) proof: Vec<u8>,
}

/// What one validator is made of.
pub(crate) struct Parts<M, B, TX, RX> {
    /// Prefix of its storage partitions.
    pub(crate) name: String,
    /// Its key in the network.
    pub(crate) key: EngineKey,
    /// Its signing scheme.
    pub(crate) scheme: Scheme,
    /// What application and services share.
    pub(crate) core: Core,
    /// Transactions to pass on.
    pub(crate) gossip: mpsc::Receiver<SignedTransaction>,
    /// Questions about the store.
    pub(crate) proofs: mpsc::Receiver<ProofRequest>,
    /// Who the peers are.
    pub(crate) peers: M,
    /// Cuts off peers that misbehave.
    pub(crate) blocker: B,
    /// One pair per entry of [`CHANNELS`], in their order.
    pub(crate) channels: Vec<(TX, RX)>,
}

/// Starts a validator; resolves once consensus runs. The handle ends when the engine does.
///
/// `wrap` may observe final blocks on their way to the application.
#[expect(clippy::too_many_lines, reason = "one wiring, read from top to bottom")]
pub(crate) async fn start<E, M, B, TX, RX, R, W>(
    context: E,
    parts: Parts<M, B, TX, RX>,
    wrap: W,
) -> Result<(Handle<()>, Marshal), EngineError>
where
    E: Clock + CryptoRng + Rng + Spawner + Storage + Metrics,
    M: Provider<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey> + Sync,
    TX: Sender<PublicKey = EngineKey>,
    RX: Receiver<PublicKey = EngineKey>,
    R: Reporter<Activity = Update<Block>>,
    W: FnOnce(StatefulMailbox<E, ChainApplication>) -> R,
{
    let Parts { name, key, scheme, core, gossip, proofs, peers, blocker, channels } = parts;
    let Ok([votes, certificates, certificate_fetch, block_fetch, blocks, transactions]) =
        <[(TX, RX); 6]>::try_from(channels)
    else {
        return Err(EngineError::Channel);
    };
    let cache = CacheRef::new(NZU16!(4_096), NZUsize!(512));
    for seed in core.index.seeds()? {
        core.seeds.insert(seed.view, seed.signature);
    }

    let resolver = marshal_resolver::init(
        context.child("block_fetch"),
        marshal_resolver::Config {
            public_key: key.clone(),
            peer_provider: peers.clone(),
            blocker: blocker.clone(),
            mailbox_size: MAILBOX_SIZE,
            fetch_timeout: NZDuration!(Duration::from_secs(2)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        block_fetch,
    );
    let (dissemination, buffer) = buffered::Engine::new(
        context.child("blocks"),
        buffered::Config {
            public_key: key,
            mailbox_size: MAILBOX_SIZE,
            deque_size: 10,
            priority: true,
            codec_config: (),
            peer_provider: peers.clone(),
            strategy: Sequential,
        },
    );
    dissemination.start(blocks);

    let archive = |error: commonware_storage::archive::Error| EngineError::Archive(error.to_string());
    let finalizations = prunable::Archive::init(
        context.child("finalizations"),
        archive_config(&name, "finalizations", cache.clone(), ()),
    )
    .await
    .map_err(archive)?;
    let final_blocks =
        prunable::Archive::init(context.child("final_blocks"), archive_config(&name, "blocks", cache.clone(), ()))
            .await
            .map_err(archive)?;
    let plan = SyncPlan::init(context.child("plan"), name.clone()).await;
    let genesis = core.genesis_block.clone();
    let genesis_digest = genesis.digest();
    let (marshal_actor, marshal, floor) = MarshalActor::<_, Standard<Block>, _, _, _, _, _>::init(
        context.child("marshal"),
        finalizations,
        final_blocks,
        marshal::Config {
            provider: ConstantProvider::new(scheme.clone()),
            epocher: FixedEpocher::new(EPOCH_LENGTH),
            start: plan.marshal_start(Digested::precomputed(genesis, genesis_digest)),
            partition_prefix: name.clone(),
            mailbox_size: MAILBOX_SIZE,
            view_retention: VIEWS_KEPT,
            prunable_items_per_section: NZU64!(256),
            page_cache: cache.clone(),
            replay_buffer: BUFFER_SIZE,
            key_write_buffer: BUFFER_SIZE,
            value_write_buffer: BUFFER_SIZE,
            block_codec_config: (),
            max_repair: NZUsize!(32),
            max_pending_acks: NZUsize!(16),
            strategy: Sequential,
        },
    )
    .await;
    let (stateful, application) = Stateful::new(
        context.child("application"),
        StatefulConfig {
            application: ChainApplication::new(core.clone(), marshal.clone()),
            db_config: store::config(&name, cache.clone()),
            provider: (),
            marshal: (marshal.clone(), floor),
            mailbox_size: MAILBOX_SIZE,
            plan,
            resolvers: NoStateSync,
            sync_config: SyncEngineConfig {
                fetch_batch_size: NZU64!(16),
                apply_batch_size: NZU64!(64),
                max_outstanding_requests: NZUsize!(8),
            },
            prune_config: Some(PruneConfig {
                maintenance_interval: NZUsize!(256),
                retained_marshal_blocks: ENGINE_BLOCKS_KEPT,
                retained_qmdb_blocks: 0,
            }),
            strategy: Sequential,
        },
    );
    let deferred =
        Deferred::new(context.child("deferred"), application.clone(), marshal.clone(), FixedEpocher::new(EPOCH_LENGTH));

    // The application waits for its base state, which is read from the databases: this request
    // must be the first message that the application's runner handles.
    let mut request = Box::pin({
        let application = application.clone();
        async move { application.subscribe_databases().await }
    });
    let early = (&mut request).now_or_never();
    marshal_actor.start(wrap(application), buffer, resolver);
    stateful.start();
    let databases = match early {
        Some(databases) => databases,
        None => request.await,
    };
    load_base::<E>(&core, &databases).await?;

    context.child("proofs").spawn(move |_| serve_proofs::<E>(databases, proofs));
    let (sender, receiver) = transactions;
    let mempool = core.mempool.clone();
    context.child("gossip_in").spawn(move |_| receive_transactions(receiver, mempool));
    let mempool = core.mempool.clone();
    context.child("gossip_out").spawn(move |clock| send_transactions(clock, sender, gossip, mempool));

    let blame = core.blame.reporter(core.network.chain, &scheme);
    let engine = simplex::Engine::new(
        context.child("simplex"),
        simplex::Config {
            scheme,
            elector: SeedElector::new(),
            blocker,
            automaton: deferred.clone(),
            relay: deferred.clone(),
            reporter: Reporters::from((blame, Reporters::from((core.seeds.clone(), deferred)))),
            strategy: Sequential,
            partition: format!("{name}-consensus"),
            mailbox_size: MAILBOX_SIZE,
            epoch: Epoch::zero(),
            floor: Floor::Genesis(genesis_digest),
            replay_buffer: BUFFER_SIZE,
            write_buffer: BUFFER_SIZE,
            page_cache: cache,
            leader_timeout: core.pace.leader_timeout(),
            certification_timeout: core.pace.certification_timeout(),
            timeout_retry: Duration::from_millis(500),
            view_retention: VIEWS_KEPT,
            skip: SkipPolicy::Enabled {
                timeout: core.pace.certification_timeout().saturating_add(Duration::from_secs(3)),
                budget: simplex::SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(Duration::from_secs(2)),
            fetch_retry_delay: Duration::from_millis(200),
            forward: ForwardPolicy::Disabled,
            // Evidence of conflicting votes must not be best effort (SPEC S).
            track_historical_votes: true,
        },
    );
    Ok((engine.start(votes, certificates, certificate_fetch), marshal))
}

fn archive_config<C>(name: &str, what: &str, cache: CacheRef, codec_config: C) -> prunable::Config<TwoCap, C> {
    prunable::Config {
        translator: TwoCap,
        metadata_partition: format!("{name}-{what}-metadata"),
        key_partition: format!("{name}-{what}-key"),
        key_page_cache: cache,
        value_partition: format!("{name}-{what}-value"),
        compression: None,
        codec_config,
        items_per_section: NZU64!(256),
        key_write_buffer: BUFFER_SIZE,
        value_write_buffer: BUFFER_SIZE,
        replay_buffer: BUFFER_SIZE,
    }
}

/// Rebuilds the ledger's state from the store, or takes the genesis when the store is empty.
async fn load_base<E: commonware_storage::Context + Spawner>(
    core: &Core,
    databases: &Databases<E>,
) -> Result<(), EngineError> {
    let database = databases.read().await;
    let entries = store::entries::<E>(&database).await?;
    let state = if entries.is_empty() { State::genesis(&core.genesis) } else { State::from_entries(entries)? };
    let (height, root) = (state.height(), store::root::<E>(&database));
    tracing::info!(height, %root, "state loaded");
    state.check_protocol()?;
    core.states.set_base(height, root, state);
    Ok(())
}

/// Answers questions about the store until nobody can ask any more.
async fn serve_proofs<E: commonware_storage::Context + Spawner>(
    databases: Databases<E>,
    mut requests: mpsc::Receiver<ProofRequest>,
) {
    while let Some(request) = requests.recv().await {
        // One lock over root and proof: they must be of the same block.
        let database = databases.read().await;
        let root = store::root::<E>(&database);
        let proven = store::prove::<E>(&database, &request.key).await;
        drop(database);
        let reply = proven.map(|(value, proof)| ProofReply { root, value, proof });
        // Whoever asked may have gone.
        let _ = request.reply.send(reply);
    }
}

/// Takes transactions that other validators pass on.
async fn receive_transactions<RX: Receiver<PublicKey = EngineKey>>(mut receiver: RX, mempool: Mempool) {
    while let Ok((_, message)) = receiver.recv().await {
        let Ok(transactions) = inferium_types::decode::<Vec<SignedTransaction>>(message.as_ref()) else {
            tracing::debug!("undecodable transactions from a validator");
            continue;
        };
        for transaction in transactions.into_iter().take(GOSSIP_COUNT_MAX) {
            if let Err(error) = mempool.receive(transaction) {
                tracing::debug!(%error, "transaction from a validator not taken");
            }
        }
    }
}

/// Passes own transactions on, and again what still waits after a while.
async fn send_transactions<E: Clock, TX: Sender<PublicKey = EngineKey>>(
    clock: E,
    mut sender: TX,
    mut queue: mpsc::Receiver<SignedTransaction>,
    mempool: Mempool,
) {
    let mut again = Box::pin(clock.sleep(GOSSIP_AGAIN));
    loop {
        let next = Box::pin(queue.recv());
        let mut batch = match futures::future::select(next, again).await {
            Either::Left((None, _)) => return,
            Either::Left((Some(transaction), sleep)) => {
                again = sleep;
                vec![transaction]
            }
            Either::Right(_) => {
                again = Box::pin(clock.sleep(GOSSIP_AGAIN));
                mempool.unconfirmed(GOSSIP_COUNT_MAX / 4)
            }
        };
        while let (true, Ok(transaction)) = (batch.len() < GOSSIP_COUNT_MAX, queue.try_recv()) {
            batch.push(transaction);
        }
        for message in messages(batch) {
            sender.send(Recipients::All, message, false);
        }
    }
}

/// Packs transactions into messages of bounded size.
fn messages(transactions: Vec<SignedTransaction>) -> Vec<Vec<u8>> {
    let (mut messages, mut packed, mut size) = (Vec::new(), Vec::new(), 4usize);
    for transaction in transactions {
        let length = inferium_types::encode(&transaction).len();
        if size.saturating_add(length) > GOSSIP_SIZE_MAX && !packed.is_empty() {
            messages.push(inferium_types::encode(&packed));
            packed = Vec::new();
            size = 4;
        }
        size = size.saturating_add(length);
        packed.push(transaction);
    }
    if !packed.is_empty() {
        messages.push(inferium_types::encode(&packed));
    }
    messages
}
