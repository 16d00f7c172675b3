//! The authenticated store of the ledger's entries, and proofs about it.
//!
//! Entries live in QMDB's `current::ordered` database: its root proves that a key has a value
//! now, or that it has none. Keys are hashed, so that the tree is balanced and a key of any
//! length fits; the value holds the key itself too, so that the whole state can be read back.

use crate::keys::{EngineDigest, from_engine_digest};
use commonware_codec::{Copying, Decode as _, Encode as _, RangeCfg};
use commonware_cryptography::Sha256;
use commonware_glue::stateful::db::{AttachableResolver, DatabaseSet, Shared};
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context as StorageContext,
    journal::contiguous::variable::Config as LogConfig,
    mmr::{self, full::Config as MerkleConfig},
    qmdb::{
        Error as QmdbError,
        any::{ordered::variable::Operation, value::VariableEncoding},
        current::{
            VariableConfig,
            ordered::{
                proof::constant::{ExclusionProof, KeyValueProof},
                variable,
            },
        },
        sync::{Request, Source, source},
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use futures::StreamExt as _;
use inferium_types::Digest;
use std::num::{NonZeroU64, NonZeroUsize};

/// Bytes of one stored entry, key and value together.
pub(crate) const ENTRY_SIZE_MAX: usize = 128 * 1024;
/// Digests of one proof at most: a path in a tree of up to 2^63 operations, and its peaks.
const PROOF_DIGESTS_MAX: usize = 256;
/// Bytes of the status bitmap's chunks; a proof holds one.
const CHUNK_SIZE: usize = 32;
/// Read and write buffers. Small: there are several per validator, and blocks are few kilobytes.
const BUFFER_SIZE: NonZeroUsize = NZUsize!(64 * 1024);
/// Operations per file of the log; pruning drops whole files.
const OPERATIONS_PER_FILE: NonZeroU64 = NZU64!(4_096);

type StoreKey = EngineDigest;
type StoreValue = Vec<u8>;
type StoreOperation = Operation<mmr::Family, StoreKey, StoreValue>;
/// How the log decodes values: a bounded byte string.
type ValueCodec = (RangeCfg<usize>, ());

/// The database of one validator.
pub(crate) type Database<E> =
    variable::Db<mmr::Family, E, StoreKey, StoreValue, Sha256, EightCap, CHUNK_SIZE, Sequential>;
/// The database as the application runner shares it.
pub(crate) type Databases<E> = Shared<Database<E>>;
/// A block's writes before the root is known.
pub(crate) type Batch<E> = <Databases<E> as DatabaseSet<E>>::Unmerkleized;
/// A block's writes with their root.
pub(crate) type SealedBatch<E> = <Databases<E> as DatabaseSet<E>>::Merkleized;
/// What a block commits to for state sync.
pub(crate) type SyncTarget = commonware_storage::qmdb::sync::Target<mmr::Family, EngineDigest>;

type Inclusion = KeyValueProof<mmr::Family, StoreKey, EngineDigest, CHUNK_SIZE>;
type Exclusion = ExclusionProof<mmr::Family, StoreKey, VariableEncoding<StoreValue>, EngineDigest, CHUNK_SIZE>;

/// The store failed; a node that meets it must stop (SPEC C8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state store: {reason}")]
pub(crate) struct StoreError {
    pub(crate) reason: String,
}

impl From<QmdbError<mmr::Family>> for StoreError {
    fn from(error: QmdbError<mmr::Family>) -> Self {
        Self { reason: error.to_string() }
    }
}

/// The place of a peer to fetch the state from: there is none. A validator that was away replays
/// blocks; one that lost its data is set up anew from a copy. (The engine's own state fetch takes
/// operations of fixed shape only, and ours vary in size.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoStateSync;

/// What [`NoStateSync`] answers.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("state can't be fetched from peers")]
pub(crate) struct StateSyncUnsupported;

impl Source for NoStateSync {
    type Family = mmr::Family;
    type Digest = EngineDigest;
    type Op = StoreOperation;
    type Error = StateSyncUnsupported;

    async fn serve(&self, _: Request<mmr::Family>) -> source::Result<Self> {
        Err(StateSyncUnsupported)
    }
}

impl<E: StorageContext + Spawner> AttachableResolver<Database<E>> for NoStateSync {
    async fn attach_database(&self, _: Databases<E>) {}
}

fn value_codec() -> ValueCodec {
    (RangeCfg::new(0..=ENTRY_SIZE_MAX), ())
}

/// The store's configuration under the partition prefix `name`.
pub(crate) fn config(
    name: &str,
    cache: CacheRef,
) -> VariableConfig<EightCap, <StoreOperation as commonware_codec::Read>::Cfg, Sequential> {
    VariableConfig {
        merkle_config: MerkleConfig {
            journal_partition: format!("{name}-state-tree"),
            metadata_partition: format!("{name}-state-pinned"),
            items_per_blob: OPERATIONS_PER_FILE,
            write_buffer: BUFFER_SIZE,
            replay_buffer: BUFFER_SIZE,
            strategy: Sequential,
            page_cache: cache.clone(),
        },
        journal_config: LogConfig {
            partition: format!("{name}-state-log"),
            items_per_section: OPERATIONS_PER_FILE,
            compression: None,
            codec_config: ((), value_codec()),
            page_cache: cache,
            write_buffer: BUFFER_SIZE,
            replay_buffer: BUFFER_SIZE,
        },
        grafted_metadata_partition: format!("{name}-state-bitmap"),
        translator: EightCap,
        init_cache: Some(NZUsize!(1_024)),
        init_buffer: NZUsize!(1 << 18),
        init_concurrency: (),
    }
}

/// Where the ledger's `key` stands in the store.
pub(crate) fn store_key(key: &[u8]) -> StoreKey {
    crate::keys::to_engine_digest(Digest::of("inferium/state-key/1", &[key]))
}

fn store_value(key: &[u8], value: &[u8]) -> StoreValue {
    inferium_types::encode(&(key, value))
}

/// Adds a block's changes to `batch`, in the order given.
pub(crate) fn write_changes<E: StorageContext + Spawner>(
    mut batch: Batch<E>,
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
) -> Batch<E> {
    for (key, value) in changes {
        let value = value.map(|value| store_value(&key, &value));
        // A larger one could be written and never be read again.
        assert!(
            value.as_ref().is_none_or(|value| value.len() <= ENTRY_SIZE_MAX),
            "an entry is larger than the store's"
        );
        batch = batch.write(store_key(&key), value);
    }
    batch
}

/// Every entry of the store, as the ledger wrote them.
pub(crate) async fn entries<E: StorageContext + Spawner>(
    database: &Database<E>,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut entries = Vec::new();
    let mut stream = std::pin::pin!(database.stream_range(..));
    while let Some(item) = stream.next().await {
        let (_, bytes) = item?;
        let entry = inferium_types::decode(&bytes).map_err(|error| StoreError { reason: error.to_string() })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The root that proofs are checked against.
pub(crate) fn root<E: StorageContext + Spawner>(database: &Database<E>) -> Digest {
    from_engine_digest(&database.root())
}

/// The value of `key` now, if any, and the proof of that.
pub(crate) async fn prove<E: StorageContext + Spawner>(
    database: &Database<E>,
    key: &[u8],
) -> Result<(Option<Vec<u8>>, Vec<u8>), StoreError> {
    let place = store_key(key);
    let Some(bytes) = database.get(&place).await? else {
        let proof = database.exclusion_proof(&place).await?;
        return Ok((None, proof.encode().to_vec()));
    };
    let (_, value): (Vec<u8>, Vec<u8>) =
        inferium_types::decode(&bytes).map_err(|error| StoreError { reason: error.to_string() })?;
    let proof = database.key_value_proof(place).await?;
    Ok((Some(value), proof.encode().to_vec()))
}

/// True when `proof` shows that under `root` the value of `key` is `value`, or that it has none.
pub(crate) fn verify(root: Digest, key: &[u8], value: Option<&[u8]>, proof: &[u8]) -> bool {
    let root = crate::keys::to_engine_digest(root);
    let place = store_key(key);
    match value {
        Some(value) => Inclusion::decode_cfg(Copying(proof), &(PROOF_DIGESTS_MAX, ())).is_ok_and(|proof| {
            proof.verify::<Sha256, VariableEncoding<StoreValue>>(place, store_value(key, value), &root)
        }),
        None => {
            let codec = (PROOF_DIGESTS_MAX, ((), value_codec()), value_codec());
            Exclusion::decode_cfg(Copying(proof), &codec).is_ok_and(|proof| proof.verify::<Sha256>(&place, &root))
        }
    }
}

#[cfg(test)]
mod tests;
