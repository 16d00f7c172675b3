//! Final blocks as this node serves them: header, body, events, certificate.
//!
//! Node-local, one redb file. A block is written before the engine is told that it was applied,
//! so the index has no gap after a crash; writing the same block again is harmless.

use crate::block::Body;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{Certificate, Digest, Event, Header, SeedSignature};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, backends::InMemoryBackend};
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const SEEDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("seeds");
/// Blocks kept in memory for those who follow the head.
const RECENT_MAX: usize = 64;
/// Bytes of redb's page cache. Followers read recent blocks, which stay in memory anyway.
const CACHE_SIZE: usize = 2 * 1024 * 1024;
/// Blocks kept on disk unless told otherwise.
pub(crate) const RETENTION_DEFAULT: u64 = 100_000;
/// Views of seeds kept for restarts.
const SEED_VIEWS_MAX: u64 = 16_384;

/// A block that is final.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalBlock {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Body,
    /// What it decided.
    pub events: Vec<Event>,
    /// Its own certificate; `None` when it became final through a descendant's.
    pub certificate: Option<Certificate>,
}

/// The index failed; a node that meets it must stop (SPEC C8).
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database failed.
    #[error("block index: {0}")]
    Database(#[from] Box<redb::Error>),
    /// A record does not decode.
    #[error("block index: block {height} is corrupt")]
    Corrupt {
        /// Its height.
        height: u64,
    },
    /// Another block of this height was final before.
    #[error("block index: two final blocks of height {height}")]
    Conflict {
        /// The height.
        height: u64,
    },
}

macro_rules! from_redb {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for IndexError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )+};
}
from_redb!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError,);

/// The index of one validator.
#[derive(Debug, Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    retention: u64,
    recent: Mutex<VecDeque<Arc<FinalBlock>>>,
}

impl Index {
    /// Opens the index in `directory`, which must exist.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open(directory: &Path) -> Result<Self, IndexError> {
        let database = Database::builder().set_cache_size(CACHE_SIZE).create(directory.join("blocks.redb"))?;
        Self::with_database(database, RETENTION_DEFAULT)
    }

    /// An index in memory, for simulations.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn in_memory(retention: u64) -> Result<Self, IndexError> {
        let database = Database::builder().set_cache_size(CACHE_SIZE).create_with_backend(InMemoryBackend::new())?;
        Self::with_database(database, retention)
    }

    fn with_database(database: Database, retention: u64) -> Result<Self, IndexError> {
        let write = database.begin_write()?;
        write.open_table(BLOCKS)?;
        write.open_table(SEEDS)?;
        write.commit()?;
        let recent = Mutex::new(VecDeque::with_capacity(RECENT_MAX));
        Ok(Self { inner: Arc::new(Inner { database, retention, recent }) })
    }

    /// Writes a final block and the seeds that came with it; durable when this returns.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn insert(&self, block: &Arc<FinalBlock>, seeds: &[SeedSignature]) -> Result<(), IndexError> {
        let height = block.header.height;
        let known = self.get(height)?;
        if known.is_some_and(|known| known.header != block.header) {
            return Err(IndexError::Conflict { height });
        }
        let write = self.inner.database.begin_write()?;
        {
            let mut blocks = write.open_table(BLOCKS)?;
            blocks.insert(height, inferium_types::encode(block.as_ref()).as_slice())?;
            if let Some(old) = height.checked_sub(self.inner.retention) {
                blocks.remove(old)?;
            }
            let mut table = write.open_table(SEEDS)?;
            for seed in seeds {
                table.insert(seed.view, seed.signature.as_slice())?;
            }
            let oldest = block.header.view.saturating_sub(SEED_VIEWS_MAX);
            table.retain_in(..oldest, |_, _| false)?;
        }
        write.commit()?;
        let mut recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|kept| kept.header.height < height);
        recent.push_back(Arc::clone(block));
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        Ok(())
    }

    /// The final block of `height`, if it is kept.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn get(&self, height: u64) -> Result<Option<Arc<FinalBlock>>, IndexError> {
        {
            let recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(block) = recent.iter().rev().find(|block| block.header.height == height) {
                return Ok(Some(Arc::clone(block)));
            }
        }
        let read = self.inner.database.begin_read()?;
        let table = read.open_table(BLOCKS)?;
        let Some(bytes) = table.get(height)? else { return Ok(None) };
        let block = inferium_types::decode(bytes.value()).map_err(|_| IndexError::Corrupt { height })?;
        Ok(Some(Arc::new(block)))
    }

    /// The highest block.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn last(&self) -> Result<Option<Arc<FinalBlock>>, IndexError> {
        let read = self.inner.database.begin_read()?;
        let table = read.open_table(BLOCKS)?;
        let Some((height, bytes)) = table.last()? else { return Ok(None) };
        let height = height.value();
        let block = inferium_types::decode(bytes.value()).map_err(|_| IndexError::Corrupt { height })?;
        Ok(Some(Arc::new(block)))
    }

    /// The lowest height that is kept.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn first_height(&self) -> Result<Option<u64>, IndexError> {
        let read = self.inner.database.begin_read()?;
        let table = read.open_table(BLOCKS)?;
        Ok(table.first()?.map(|(height, _)| height.value()))
    }

    /// The seeds kept, ascending by view.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn seeds(&self) -> Result<Vec<SeedSignature>, IndexError> {
        let read = self.inner.database.begin_read()?;
        let table = read.open_table(SEEDS)?;
        let mut seeds = Vec::new();
        for row in table.iter()? {
            let (view, bytes) = row?;
            if let Ok(signature) = <[u8; 48]>::try_from(bytes.value()) {
                seeds.push(SeedSignature { view: view.value(), signature });
            }
        }
        Ok(seeds)
    }

    /// The nearest certified block at or after `height`: its certificate, and the headers after
    /// `height` up to it. `None` while there is none within a receipt's bounds.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn certified(&self, height: u64) -> Result<Option<(Vec<Header>, Certificate)>, IndexError> {
        let mut descendants = Vec::new();
        let mut next = height;
        while descendants.len() < inferium_types::limits::RECEIPT_HEADERS_MAX {
            let Some(block) = self.get(next)? else { return Ok(None) };
            if next > height {
                descendants.push(block.header.clone());
            }
            if let Some(certificate) = block.certificate {
                return Ok(Some((descendants, certificate)));
            }
            next = next.saturating_add(1);
        }
        Ok(None)
    }

    /// The digest of the final block of `height`, if it is kept.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn digest(&self, height: u64) -> Result<Option<Digest>, IndexError> {
        Ok(self.get(height)?.map(|block| block.header.digest()))
    }
}

#[cfg(test)]
mod tests;
